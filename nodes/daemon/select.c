// Which workers a command means: by name, glob, type, exchange, labels, state; or all, said explicitly.
// Must not: change anything.
#include "daemon.h"

#include <stdlib.h>
#include <string.h>

struct selector {
    const struct reeve_value *names; // string or list of names and globs; NULL
    const char *type, *exchange, *state;
    const struct reeve_value *labels;
    bool all;
};

static bool name_matches(const struct reeve_value *names, const char *name)
{
    if (names == NULL) {
        return true;
    }
    if (reeve_value_kind(names) == REEVE_STR) {
        return reeve_glob_match(reeve_value_text(names), name);
    }
    for (size_t i = 0; i < reeve_value_len(names); i++) {
        const char *pattern = reeve_value_text(reeve_value_at(names, i));
        if (pattern != NULL && reeve_glob_match(pattern, name)) {
            return true;
        }
    }
    return false;
}

static bool labels_match(const struct reeve_value *wanted, const struct reeve_value *labels)
{
    for (size_t i = 0; i < reeve_value_len(wanted); i++) {
        const char *pattern = reeve_value_text(reeve_value_at(wanted, i));
        const char *actual = reeve_get_str(labels, reeve_value_key(wanted, i));
        if (actual == NULL || pattern == NULL || !reeve_glob_match(pattern, actual)) {
            return false;
        }
    }
    return true;
}

static bool text_matches(const char *pattern, const char *actual)
{
    return pattern == NULL || (actual != NULL && reeve_glob_match(pattern, actual));
}

static bool is_named(const struct reeve_value *names, const char *name)
{
    for (size_t i = 0; reeve_value_kind(names) == REEVE_LIST && i < reeve_value_len(names); i++) {
        if (reeve_str_eq(reeve_value_text(reeve_value_at(names, i)), name)) {
            return true;
        }
    }
    return reeve_value_kind(names) == REEVE_STR && strcmp(reeve_value_text(names), name) == 0;
}

// The site's broker carries the commands, and its manager gives them: a wildcard must not mean them, only their names do.
static bool is_spared(const struct selector *selector, const struct worker *worker)
{
    return worker_is_sites(worker) && !is_named(selector->names, worker->name);
}

static bool selects(const struct selector *selector, const struct worker *worker)
{
    if (is_spared(selector, worker)) {
        return false;
    }
    return name_matches(selector->names, worker->name) && text_matches(selector->type, worker->spec.type) &&
           text_matches(selector->exchange, worker->spec.exchange) &&
           labels_match(selector->labels, worker->spec.labels) &&
           text_matches(selector->state, reeve_state_text(worker->machine.state));
}

// "type=swap" and "label.desk=a" as a name: what a person types on one line.
static void read_shorthand(struct selector *selector, const char **ret_type)
{
    const char *text = reeve_value_text(selector->names);
    if (text != NULL && reeve_str_starts(text, "type=")) {
        *ret_type = text + strlen("type=");
        selector->names = NULL;
    } else if (text != NULL && strcmp(text, "*") == 0) {
        selector->all = true;
    }
}

static enum reeve_err read_selector(const struct pending *pending, struct selector *ret, struct reeve_why *why)
{
    const struct reeve_value *args = pending->command.args;
    *ret = (struct selector){
        .names = reeve_value_get(args, "workers"),
        .type = reeve_get_str(args, "type"),
        .exchange = reeve_get_str(args, "exchange"),
        .state = reeve_get_str(args, "state"),
        .labels = reeve_value_get(args, "labels"),
        .all = reeve_get_bool(args, "all", false),
    };
    enum reeve_kind kind = reeve_value_kind(ret->names);
    if (ret->names != NULL && kind != REEVE_STR && kind != REEVE_LIST) {
        return reeve_fail(why, REEVE_INVALID, "args.workers: %s given, expected a name, a glob or a list of them",
                          reeve_kind_text(kind));
    }
    if (ret->labels != NULL && reeve_value_kind(ret->labels) != REEVE_MAP) {
        return reeve_fail(why, REEVE_INVALID, "args.labels: %s given, expected a map such as {\"desk\": \"a\"}",
                          reeve_kind_text(reeve_value_kind(ret->labels)));
    }
    read_shorthand(ret, &ret->type);
    bool says_something = ret->names != NULL || ret->type != NULL || ret->exchange != NULL || ret->state != NULL ||
                          reeve_value_len(ret->labels) > 0 || ret->all;
    if (!says_something) {
        return reeve_fail(why, REEVE_INVALID,
                          "which workers? give `workers` (names or globs), `type`, `exchange`, `labels`, "
                          "`state`, or `all: true`");
    }
    return REEVE_OK;
}

enum { NEAR_MAX = 4096 };

// "did you mean": the nearest of the names this node has.
static const char *near_worker(const struct daemon *daemon, const char *name)
{
    const char **names = calloc(reeve_map_len(daemon->workers) + 1, sizeof *names);
    size_t len = 0;
    struct reeve_map_iter it = {0};
    while (names != NULL && len < NEAR_MAX && reeve_map_next(daemon->workers, &it)) {
        names[len++] = it.key;
    }
    const char *near = names != NULL ? reeve_near(name, names) : NULL;
    free(names);
    return near;
}

static enum reeve_err no_such_worker(const struct pending *pending, const char *name, struct reeve_why *why)
{
    char quoted[96];
    const char *near = near_worker(pending->daemon, name);
    return reeve_fail(why, REEVE_NOENT, "node %s has no worker %s%s%s%s", pending->daemon->config.node.name,
                      reeve_log_quote(name, quoted, sizeof quoted), near != NULL ? ", did you mean '" : "",
                      near != NULL ? near : "", near != NULL ? "'?" : "");
}

// A name without wildcards that fits nothing is a mistake, even when other names of the list fit.
static enum reeve_err check_names(const struct pending *pending, const struct selector *selector, struct reeve_why *why)
{
    size_t count = reeve_value_kind(selector->names) == REEVE_LIST ? reeve_value_len(selector->names) : 1;
    for (size_t i = 0; selector->names != NULL && i < count; i++) {
        const struct reeve_value *item =
            reeve_value_kind(selector->names) == REEVE_LIST ? reeve_value_at(selector->names, i) : selector->names;
        const char *name = reeve_value_text(item);
        if (name == NULL) {
            return reeve_fail(why, REEVE_INVALID, "args.workers[%zu]: %s given, expected a name or a glob", i,
                              reeve_kind_text(reeve_value_kind(item)));
        }
        if (!reeve_glob_is(name) && daemon_worker(pending->daemon, name) == NULL) {
            return no_such_worker(pending, name, why);
        }
    }
    return REEVE_OK;
}

static enum reeve_err select_one(struct pending *pending, struct reeve_why *why)
{
    pending->single = true;
    if (daemon_worker(pending->daemon, pending->worker) == NULL) {
        return no_such_worker(pending, pending->worker, why);
    }
    return pending_add_target(pending, pending->worker, why);
}

enum reeve_err select_workers(struct pending *pending, struct reeve_why *why)
{
    struct selector selector;
    if (pending->worker[0] != '\0') {
        return select_one(pending, why);
    }
    enum reeve_err err = read_selector(pending, &selector, why);
    if (err == REEVE_OK) {
        err = check_names(pending, &selector, why);
    }
    struct reeve_map_iter it = {0};
    while (err == REEVE_OK && reeve_map_next(pending->daemon->workers, &it)) {
        if (selects(&selector, it.value)) {
            err = pending_add_target(pending, it.key, why);
        }
    }
    if (err == REEVE_OK && pending->targets_len == 0) {
        err = reeve_fail(why, REEVE_NOENT, "no worker of node %s fits", pending->daemon->config.node.name);
    }
    const char *name = reeve_value_text(selector.names);
    pending->single = err == REEVE_OK && pending->targets_len == 1 && name != NULL && !reeve_glob_is(name);
    return err;
}
