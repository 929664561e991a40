// From a selector to orders: which node has the worker that is meant, and which nodes have some that fit.
// Must not: send anything.
#ifndef REEVE_CLI_TARGET_H
#define REEVE_CLI_TARGET_H

#include "order.h"
#include "selector.h"

// Without asking anybody: with node/name, --node, or the site's node for bare names. NOENT when only presence can tell.
enum reeve_err target_offline(const struct selector *selector, const struct site *site, const struct reeve_value *args,
                              struct orders *orders, struct reeve_why *why);
// What has to be read for it; before session_open().
enum reeve_err target_want(const struct selector *selector, struct lookup *lookup, struct reeve_why *why);
// For what the worker itself answers: its records, too.
enum reeve_err target_want_speaker(const struct selector *selector, struct lookup *lookup, struct reeve_why *why);
// Until the worker has a live session, for a moment: one that has just been started is about to. *ret_speaks false: its
// process is gone, or nobody knows it, and its node has to answer. OFFLINE: it runs, and does not speak.
enum reeve_err target_await_speaker(struct lookup *lookup, const char *node, const char *worker, bool *ret_speaks,
                                    struct reeve_why *why);
// `args` (NULL = none) are put into every command. NOENT with near names, CONFLICT when a bare name is on two nodes,
// OFFLINE when the node is not there.
enum reeve_err target_resolve(const struct selector *selector, struct lookup *lookup, const struct reeve_value *args,
                              struct orders *orders, struct reeve_why *why);
// The one worker that a name means, for commands about one. *ret_node gets the node's name.
enum reeve_err target_one(struct lookup *lookup, const char *node, const char *worker, char ret_node[REEVE_NAME_SIZE],
                          struct reeve_why *why);

#endif
