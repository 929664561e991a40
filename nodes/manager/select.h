// Selectors taken apart, for the ops that only read. Ops that act use select_each() of manager.h.
// Must not: be used to act: it can mean the site's own broker and manager.
#ifndef REEVE_MANAGER_SELECT_H
#define REEVE_MANAGER_SELECT_H

#include "manager.h"

#define SELECT_TESTS_MAX 64 // requirements, filters and labels of one selector

struct selection {
    const struct fleet *fleet;
    struct reeve_map *names; // "name" or "node/name", of those without a glob; NULL = none
    struct reeve_strv globs;
    bool named;                                       // names or globs were given
    struct reeve_requirement tests[SELECT_TESTS_MAX]; // type=..., label.desk=..., cpus>=4: all of them
    size_t tests_len;
    bool anything; // it says something
};

// INVALID names the argument; NOENT a name that nobody has, with near ones. `selection` needs selection_done() in any
// case.
enum reeve_err selection_init(struct selection *selection, struct manager *manager, const struct select_args *args,
                              struct reeve_why *why);
void selection_done(struct selection *selection);
// Whether a worker is meant. `ret_missed` (NULL allowed): how many tests it passed before one failed, tests_len when
// all did.
bool selection_has(const struct selection *selection, const struct fleet_worker *worker, size_t *ret_passed);
bool selection_named(const struct selection *selection,
                     const struct fleet_worker *worker);                            // by name or glob, or nobody was
bool select_is_sites(const struct fleet *fleet, const struct fleet_worker *worker); // its own broker or manager
// One worker, of `name` or `node/name`. INVALID for a glob and for a name that several nodes have, NOENT with near
// names.
enum reeve_err select_one(struct manager *manager, const char *text, const struct fleet_worker **ret,
                          struct reeve_why *why);

#endif
