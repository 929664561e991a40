// Specs of queues from files and options. A file holds one or more documents, each of them a map with `queue:` or
// `queues:` (a list) and nothing else, or a bare spec, `kind: queue` allowed beside it.
// Must not: ask the manager, send anything.
#ifndef REEVE_CLI_QUEUE_ARGS_H
#define REEVE_CLI_QUEUE_ARGS_H

#include "mistakes.h"

#include <reeve/value.h>

#define QUEUES_MAX 256 // of one command line

struct queue_item {
    char name[REEVE_NAME_SIZE];
    struct reeve_value *spec; // MAP, without what equals its preset
};
struct queue_items {
    struct queue_item *items;
    size_t len;
};
void queue_items_done(struct queue_items *items);

// What options say, as keys of a spec; INVALID names the option.
enum reeve_err queue_args_options(const struct invocation *inv, struct reeve_value *ret, struct reeve_why *why);
// One queue: `spec` as it is (borrowed), or NULL, with what options say on top.
enum reeve_err queue_args_one(const struct invocation *inv, const char *name, const struct reeve_value *spec,
                              struct queue_items *ret, struct reeve_why *why);
// All --file, with what options say on top. All mistakes go to `mistakes`; then INVALID.
enum reeve_err queue_args_files(const struct invocation *inv, struct mistakes *mistakes, struct queue_items *ret,
                                struct reeve_why *why);

#endif
