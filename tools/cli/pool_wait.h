// Waiting until pools are what they should be, by their retained status; on a terminal with a line that tells how far.
// Must not: ask the manager over and over; it publishes what changes.
#ifndef REEVE_CLI_POOL_WAIT_H
#define REEVE_CLI_POOL_WAIT_H

#include "session.h"

#define POOL_WAIT_PRESET_MS 300000

struct pool_goal {
    char pool[REEVE_NAME_SIZE];
    int64_t version; // of the template; another one after it = it was undone, or somebody applied a newer one
    int64_t size;    // -1 = whatever it is
};
// All of them: ready, nothing starting, leaving or being rolled out. TIMEOUT with where the first of them stands;
// CONFLICT when the version was left again. The time is --timeout from now, or the preset.
enum reeve_err pool_wait(const struct invocation *inv, struct session *session, const struct pool_goal *goals,
                         size_t goals_len, struct reeve_why *why);

#endif
