// What is there: nodes and workers, read once from the site's retained records.
// When is the reading complete? MQTT does not say. On Mosquitto the probe that makes a session ready is published after
// the last SUBACK and comes back behind the retained records, so that ready means complete. Other brokers (NATS) send
// them when they find the time: lookup_settle() waits until none came for a short while, bounded. Must not: judge by
// the age of records; the fold does, and a single reading has no ages (its `reconnected` and `disconnected` stay 0).
#ifndef REEVE_CLI_LOOKUP_H
#define REEVE_CLI_LOOKUP_H

#include "session.h"

#include <reeve/presence.h>

#define LOOKUP_QUIET_MS 30   // no record for this long: that was all
#define LOOKUP_LIMIT_MS 3000 // of a site that never becomes quiet

struct lookup {
    struct session *session;
    struct reeve_registry *registry;
    struct reeve_strv filters;                         // that are read
    int64_t last_mono;                                 // arrival of the newest record
    void (*changed)(struct lookup *lookup, void *arg); // called after each; NULL
    void *arg;
};

enum reeve_err lookup_init(struct lookup *lookup, struct session *session, struct reeve_why *why);
void lookup_done(struct lookup *lookup); // the struct itself stays until its session is done
#define LOOKUP_AUTO __attribute__((cleanup(lookup_done))) struct lookup

// What to read; before session_open(). NULL = of all nodes.
enum reeve_err lookup_want_all(struct lookup *lookup, const char *node, struct reeve_why *why);
enum reeve_err lookup_want_nodes(struct lookup *lookup, const char *node, struct reeve_why *why);
enum reeve_err lookup_want_worker(struct lookup *lookup, const char *node, const char *worker, struct reeve_why *why);
// Until no record came for LOOKUP_QUIET_MS.
enum reeve_err lookup_settle(struct lookup *lookup, struct reeve_why *why);

// [cmd-9]: OK when commands to the node would arrive; OFFLINE with the reason otherwise.
enum reeve_err lookup_node_there(const struct lookup *lookup, const char *node, struct reeve_why *why);

#endif
