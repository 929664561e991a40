// Finding out who is meant; see target.h.
// Must not: act on a worker because its name comes near.
#include "target.h"

#include <reeve/clock.h>
#include <stdlib.h>
#include <string.h>

#define SPEAK_MS 3000 // from the start of a program to its first word, on a loaded machine

static struct reeve_value *merged(struct reeve_value *args, const struct reeve_value *more)
{
    for (size_t i = 0; i < reeve_value_len(more); i++) {
        (void)reeve_value_put(args, reeve_value_key(more, i),
                              reeve_value_clone(reeve_value_at(more, i))); /* remembered: reeve_value_built() */
    }
    return args;
}

static bool is_plain(const char *node)
{
    return node != NULL && node[0] != '\0' && !reeve_glob_is(node);
}

// ---- without asking -------------------------------------------------------------------------------------------

// Names of the selector that are meant on `node`, as the args want them; the array is the caller's to free().
static const char **names_for(const struct selector *selector, const char *node)
{
    const char **names = calloc(selector->names_len + 1, sizeof *names);
    size_t len = 0;
    for (size_t i = 0; names != NULL && i < selector->names_len; i++) {
        const struct selector_name *name = &selector->names[i];
        if (name->node[0] == '\0' || reeve_glob_match(name->node, node)) {
            names[len++] = name->worker;
        }
    }
    return names;
}

enum reeve_err target_offline(const struct selector *selector, const struct site *site, const struct reeve_value *args,
                              struct orders *orders, struct reeve_why *why)
{
    const char *node;
    const char *worker;
    if (selector_single(selector, &node, &worker) && (node[0] != '\0' || site->node[0] != '\0')) {
        return orders_add(orders, site->root, node[0] != '\0' ? node : site->node, worker,
                          args != NULL ? reeve_value_clone(args) : NULL, why);
    }
    node = is_plain(selector->node) ? selector->node : selector->node == NULL ? site->node : "";
    for (size_t i = 0; i < selector->names_len; i++) {
        if (selector->names[i].node[0] != '\0' && strcmp(selector->names[i].node, node) != 0) {
            node = "";
        }
    }
    if (node[0] == '\0') {
        return reeve_fail(why, REEVE_NOENT, "which node is meant only the site can tell; say --node");
    }
    const char **names = names_for(selector, node);
    if (names == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = orders_add(orders, site->root, node, "", merged(selector_args(selector, names), args), why);
    free(names);
    return err;
}

// ---- one worker -----------------------------------------------------------------------------------------------

enum reeve_err target_want(const struct selector *selector, struct lookup *lookup, struct reeve_why *why)
{
    const char *node;
    const char *worker;
    if (!selector_single(selector, &node, &worker)) {
        return lookup_want_all(lookup, is_plain(selector->node) ? selector->node : NULL, why);
    }
    return node[0] != '\0' ? lookup_want_nodes(lookup, node, why) : lookup_want_worker(lookup, NULL, worker, why);
}

enum reeve_err target_want_speaker(const struct selector *selector, struct lookup *lookup, struct reeve_why *why)
{
    const char *node;
    const char *worker;
    if (!selector_single(selector, &node, &worker)) {
        return reeve_fail(why, REEVE_INVALID, "one worker is meant here, not several");
    }
    return lookup_want_worker(lookup, node[0] != '\0' ? node : NULL, worker, why);
}

struct speaker {
    const struct lookup *lookup;
    const char *node, *worker;
    bool speaks;
};

// A message to a session that is not there goes nowhere, and nobody says so [cmd-9].
static bool speaks_or_gone(void *arg)
{
    struct speaker *speaker = arg;
    const struct reeve_known_worker *known =
        reeve_registry_worker(speaker->lookup->registry, speaker->node, speaker->worker);
    if (known == NULL || (known->process.present && !reeve_state_has_process(known->process.state))) {
        return true;
    }
    bool this_run = known->status.run == 0 || !known->process.present || known->status.run == known->process.run;
    speaker->speaks = this_run && reeve_liveness(&known->status, &known->lwt, REEVE_WORKER_HEARTBEAT_MS,
                                                 reeve_clock_mono_ms()) == REEVE_LIVE;
    return speaker->speaks;
}

enum reeve_err target_await_speaker(struct lookup *lookup, const char *node, const char *worker, bool *ret_speaks,
                                    struct reeve_why *why)
{
    struct speaker speaker = {.lookup = lookup, .node = node, .worker = worker};
    int64_t end_mono = reeve_clock_mono_ms() + SPEAK_MS;
    int64_t deadline_mono = lookup->session->deadline_mono < end_mono ? lookup->session->deadline_mono : end_mono;
    enum reeve_err err = session_run(lookup->session, speaks_or_gone, &speaker, deadline_mono, why);
    *ret_speaks = speaker.speaks;
    return err != REEVE_TIMEOUT
               ? err
               : reeve_fail(why, REEVE_OFFLINE, "worker %s/%s runs, but has no session with the broker to take this",
                            node, worker);
}

static enum reeve_err ambiguous(const struct reeve_known_worker **workers, size_t len, const char *name,
                                struct reeve_why *why)
{
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < len && used < sizeof list - REEVE_NAME_SIZE; i++) {
        if (strcmp(workers[i]->name, name) == 0) {
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", workers[i]->node);
        }
    }
    return reeve_fail(why, REEVE_CONFLICT, "worker %s is on more than one node (%s); say which: node/%s", name, list,
                      name);
}

static enum reeve_err unknown(const struct lookup *lookup, const char *name, struct reeve_why *why)
{
    const struct reeve_known_worker **workers = NULL;
    size_t len = reeve_registry_workers(lookup->registry, &workers);
    const char **names = calloc(len + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < len; i++) {
        names[i] = workers[i]->name;
    }
    const char *near = names != NULL ? reeve_near(name, names) : NULL;
    enum reeve_err err =
        reeve_fail(why, REEVE_NOENT, "there is no worker '%s'%s%s%s", name, near != NULL ? "; did you mean '" : "",
                   near != NULL ? near : "", near != NULL ? "'?" : "; `reeve ls` shows those there are");
    free(names);
    free(workers);
    return err;
}

// Nodes that have `name`: how many, and the first of them. Where one of them lives, those that do not are left out:
// their records are of yesterday.
static size_t count_nodes(const struct lookup *lookup, const char *name, char ret_node[REEVE_NAME_SIZE],
                          struct reeve_why *ambiguity)
{
    const struct reeve_known_worker **workers = NULL;
    size_t len = reeve_registry_workers(lookup->registry, &workers);
    size_t found = 0;
    size_t live = 0;
    for (size_t i = 0; i < len; i++) {
        if (strcmp(workers[i]->name, name) != 0) {
            continue;
        }
        bool lives = lookup_node_there(lookup, workers[i]->node, NULL) == REEVE_OK;
        if (found == 0 || (lives && live == 0)) {
            (void)snprintf(ret_node, REEVE_NAME_SIZE, "%s", workers[i]->node);
        }
        found++;
        live += lives;
    }
    found = live > 0 ? live : found;
    if (found > 1) {
        (void)ambiguous(workers, len, name, ambiguity); /* returned by the caller */
    }
    free(workers);
    return found;
}

enum reeve_err target_one(struct lookup *lookup, const char *node, const char *worker, char ret_node[REEVE_NAME_SIZE],
                          struct reeve_why *why)
{
    const char *own = lookup->session->site->node;
    if (node != NULL && node[0] != '\0') {
        (void)snprintf(ret_node, REEVE_NAME_SIZE, "%s", node);
        return REEVE_OK;
    }
    size_t found = count_nodes(lookup, worker, ret_node, why);
    if (found == 0) { // not there, or the broker sends retained records late
        enum reeve_err err = lookup_settle(lookup, why);
        if (err != REEVE_OK) {
            return err;
        }
        found = count_nodes(lookup, worker, ret_node, why);
    }
    if (found > 1) {
        return REEVE_CONFLICT;
    }
    if (found == 0 && own[0] == '\0') {
        // The names that are there were not asked for; for "did you mean" they are worth a second look.
        enum reeve_err err = lookup_want_all(lookup, NULL, why);
        err = err == REEVE_OK ? lookup_settle(lookup, why) : err;
        return err == REEVE_OK ? unknown(lookup, worker, why) : err;
    }
    if (found == 0) {
        (void)snprintf(ret_node, REEVE_NAME_SIZE, "%s", own); // it knows best, and knows near names
    }
    return REEVE_OK;
}

// ---- several --------------------------------------------------------------------------------------------------

static const char *machine_state(const struct reeve_known_worker *worker)
{
    return reeve_get_str(worker->process_record, "state");
}

// Every plain name has to be somewhere, and without a node in one place only.
static enum reeve_err check_names(const struct selector *selector, const struct lookup *lookup, struct reeve_why *why)
{
    for (size_t i = 0; i < selector->names_len; i++) {
        const struct selector_name *name = &selector->names[i];
        char node[REEVE_NAME_SIZE];
        if (reeve_glob_is(name->worker) || name->node[0] != '\0' || is_plain(selector->node)) {
            continue; // globs may fit nothing; a node that is named tells itself
        }
        size_t found = count_nodes(lookup, name->worker, node, why);
        if (found != 1) {
            return found == 0 ? unknown(lookup, name->worker, why) : REEVE_CONFLICT;
        }
    }
    return REEVE_OK;
}

// The names as they are to be sent to `node`: globs, and plain names that are there.
static const char **names_on(const struct selector *selector, const struct lookup *lookup, const char *node)
{
    const char **names = names_for(selector, node);
    size_t len = 0;
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        bool told = is_plain(selector->node); // then the node itself refuses what it has not
        if (told || reeve_glob_is(names[i]) || reeve_registry_worker(lookup->registry, node, names[i]) != NULL) {
            names[len++] = names[i];
        }
    }
    if (names != NULL) {
        names[len] = NULL;
    }
    return names;
}

static enum reeve_err add_node(const struct selector *selector, const struct lookup *lookup, const char *node,
                               const struct reeve_value *args, struct orders *orders, struct reeve_why *why)
{
    const char **names = names_on(selector, lookup, node);
    if (names == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err =
        orders_add(orders, lookup->session->site->root, node, "", merged(selector_args(selector, names), args), why);
    free(names);
    return err;
}

// Nodes come sorted, their workers together.
static enum reeve_err add_nodes(const struct selector *selector, const struct lookup *lookup,
                                const struct reeve_value *args, struct orders *orders, struct reeve_why *why)
{
    const struct reeve_known_worker **workers = NULL;
    size_t len = reeve_registry_workers(lookup->registry, &workers);
    const char *last = "";
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < len; i++) {
        bool daemons = workers[i]->process_record != NULL; // one started by hand takes no orders from a daemon
        if (daemons && strcmp(workers[i]->node, last) != 0 &&
            selector_fits(selector, workers[i], machine_state(workers[i]))) {
            last = workers[i]->node;
            err = add_node(selector, lookup, last, args, orders, why);
        }
    }
    free(workers);
    return err;
}

enum reeve_err target_resolve(const struct selector *selector, struct lookup *lookup, const struct reeve_value *args,
                              struct orders *orders, struct reeve_why *why)
{
    const char *node;
    const char *worker;
    char found[REEVE_NAME_SIZE];
    const struct site *site = lookup->session->site;
    if (selector_single(selector, &node, &worker)) {
        enum reeve_err err = target_one(lookup, node, worker, found, why);
        return err == REEVE_OK
                   ? orders_add(orders, site->root, found, worker, args != NULL ? reeve_value_clone(args) : NULL, why)
                   : err;
    }
    enum reeve_err err = lookup_settle(lookup, why);
    if (err == REEVE_OK && is_plain(selector->node)) {
        return add_node(selector, lookup, selector->node, args, orders, why);
    }
    if (err == REEVE_OK) {
        err = check_names(selector, lookup, why);
    }
    if (err == REEVE_OK) {
        err = add_nodes(selector, lookup, args, orders, why);
    }
    if (err == REEVE_OK && orders->len == 0) {
        return reeve_fail(why, REEVE_NOENT, "no worker fits; `reeve ls` shows those there are");
    }
    return err;
}
