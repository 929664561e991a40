// Inside presence: what a registry is made of, for registry.c (looking) and intake.c (taking in).
// Must not: be included from outside shared/presence.
// Entries live in the maps and nowhere else; intake.c alone adds and removes them.
#ifndef REEVE_PRESENCE_REGISTRY_H
#define REEVE_PRESENCE_REGISTRY_H

#include "record.h"

#include <reeve/map.h>

#define REGISTRY_KEY_SIZE (2 * REEVE_NAME_SIZE) // <node>/<worker>

struct reeve_registry {
    char root[REEVE_TOPIC_SIZE];
    struct reeve_map *nodes;   // name -> struct reeve_known_node
    struct reeve_map *workers; // <node>/<worker> -> struct reeve_known_worker
    uint64_t generation;
    int64_t disconnected, reconnected, grace_ms; // the reader's own connection, as the fold takes them
    int64_t heard;                               // when the last message came in
    struct reeve_registry_stats stats;
};

const char *registry_worker_key(char buf[REGISTRY_KEY_SIZE], const char *node, const char *worker); // returns buf
void registry_node_free(void *node);
void registry_worker_free(void *worker);

#endif
