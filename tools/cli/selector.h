// Which workers are meant: names, node/name, globs, --node, --type, --exchange, --label, --state, --all.
// Must not: send anything; it only decides.
#ifndef REEVE_CLI_SELECTOR_H
#define REEVE_CLI_SELECTOR_H

#include "options.h"

#include <reeve/presence.h>

struct selector_name {
    char node[REEVE_NAME_SIZE]; // "" = any; may be a glob
    const char *worker;         // name or glob; borrowed from argv
};
struct selector {
    struct selector_name *names;
    size_t names_len;
    const char *node, *type, *exchange, *state; // borrowed; NULL
    bool all;
    struct reeve_value *labels; // MAP or NULL; owned
};

// From the arguments `first` .. `end`-1 and the options. INVALID for what can be no name.
enum reeve_err selector_read(const struct invocation *inv, size_t first, size_t end, struct selector *ret,
                             struct reeve_why *why);
void selector_done(struct selector *selector);
#define SELECTOR_AUTO __attribute__((cleanup(selector_done))) struct selector

bool selector_says_something(const struct selector *selector);
// The only worker that can be meant: one plain name, no filters. *ret_node "" when any node may have it.
bool selector_single(const struct selector *selector, const char **ret_node, const char **ret_worker);
// Names, node and filters; `state` is the text of the state to compare with --state.
bool selector_fits(const struct selector *selector, const struct reeve_known_worker *worker, const char *state);
// The args of a command to one node: {workers type exchange labels state all}. `names` (NULL-terminated): what of the
// names is meant there.
struct reeve_value *selector_args(const struct selector *selector, const char *const *names);

#endif
