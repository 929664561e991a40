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
    bool compact;
    struct presence_blobs *blobs; // of a compact one: what many records have in common
};

const char *registry_worker_key(char buf[REGISTRY_KEY_SIZE], const char *node, const char *worker); // returns buf

// A record in little memory: what many records share (the names of keys, capabilities, labels, commands) is kept once.
// Payloads are msgpack maps that were read once, so they are well formed. NULL when out of memory.
struct presence_blobs *presence_blobs_new(void);
void presence_blobs_free(struct presence_blobs *blobs); // after all that was kept
struct reeve_kept *presence_keep(struct presence_blobs *blobs, const void *payload, size_t payload_len);
void presence_kept_free(struct reeve_kept *kept); // NULL allowed
struct reeve_value *presence_kept_value(const struct reeve_kept *kept);

void registry_node_free(void *node);
void registry_worker_free(void *worker);

#endif
