// Which managers there are, and the one that is meant: from retained manager/+/status and manager/+/lwt.
// A manager's session is judged like a node's: by its heartbeat, its goodbye and its will. Must not: ask a manager.
#ifndef REEVE_CLI_MANAGERS_H
#define REEVE_CLI_MANAGERS_H

#include "session.h"

#include <reeve/presence.h>

struct managers {
    struct session *session;
    struct reeve_registry *registry; // of "nodes" that are managers
    int64_t last_mono;               // arrival of the newest record
};

enum reeve_err managers_init(struct managers *managers, struct session *session, struct reeve_why *why);
void managers_done(struct managers *managers);
// Before session_open(): costs no round trip of its own.
enum reeve_err managers_want(struct managers *managers, struct reeve_why *why);
// The one that is meant: `given` (NULL = the only one that is there). OFFLINE with what to do when none is there;
// INVALID when there are several.
enum reeve_err managers_choose(struct managers *managers, const char *given, char ret[REEVE_NAME_SIZE],
                               struct reeve_why *why);
// Sorted by name; as reeve_registry_nodes().
size_t managers_list(const struct managers *managers, const struct reeve_known_node ***ret);
const struct reeve_known_node *managers_get(const struct managers *managers, const char *name); // NULL
enum reeve_liveness managers_liveness(const struct managers *managers, const struct reeve_known_node *manager);
const char *managers_state(const struct managers *managers, const struct reeve_known_node *manager); // "online", "dead"
// Until no record came for a moment: for brokers that send retained ones when they find the time.
enum reeve_err managers_settle(struct managers *managers, struct reeve_why *why);

#endif
