// The broker's store (mosquitto.db): where it is, and setting it aside and back.
// Must not: read it. What a damaged one looks like, only the broker knows.
#ifndef REEVE_BROKER_STORE_H
#define REEVE_BROKER_STORE_H

#include <limits.h>

#include <reeve/err.h>

#define STORE_ASIDE_MAX 3 // copies kept: enough to look into, not enough to fill a disk

struct store {
    char path[PATH_MAX];  // "" = the configuration keeps none
    char aside[PATH_MAX]; // where it was set aside; "" = it was not
};

// From Mosquitto's configuration file (persistence, persistence_location, persistence_file).
// NOENT, DENIED, IO: it can't be read. Includes (include_dir) are not followed.
enum reeve_err store_find(const char *config, struct store *ret, struct reeve_why *why);
bool store_exists(const struct store *store);
// Rename to <path>.damaged-<utc>, then remove the oldest above STORE_ASIDE_MAX.
enum reeve_err store_set_aside(struct store *store, struct reeve_why *why);
// Rename back, over what may have been written since.
enum reeve_err store_restore(struct store *store, struct reeve_why *why);

#endif
