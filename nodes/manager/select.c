// Who is meant: names, globs, filters and requirements, for every op on workers. Every filter becomes a requirement, so
// that there is one way of comparing. Must not: act, or let a site's broker or manager be meant by anything but its own
// name.
#include "select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE (2UL * REEVE_NAME_SIZE)

enum reeve_err not_found(struct reeve_why *why, const char *kind, const char *name, const char *const *names)
{
    const char *near = reeve_near(name, names);
    return near != NULL ? reeve_fail(why, REEVE_NOENT, "no %s \"%s\", did you mean '%s'?", kind, name, near)
                        : reeve_fail(why, REEVE_NOENT, "no %s \"%s\"", kind, name);
}

// ---- near names -------------------------------------------------------------------------------------------------

struct names {
    const struct fleet *fleet;
    const char **items; // NULL-terminated
    size_t len, cap;
};

static bool add_name(struct names *names, const char *name)
{
    if (names->len < names->cap) {
        names->items[names->len++] = name;
    }
    return names->len < names->cap;
}

static bool add_worker(const struct fleet_worker *worker, void *arg)
{
    struct names *names = arg;
    return add_name(names, fleet_worker_info(names->fleet, worker).name);
}

static bool add_node(const struct fleet_node *node, void *arg)
{
    struct names *names = arg;
    return add_name(names, fleet_node_info(names->fleet, node).name);
}

// `node` NULL: of all nodes.
static enum reeve_err no_worker(const struct fleet *fleet, const char *node, const char *worker, struct reeve_why *why)
{
    struct names names = {.fleet = fleet, .cap = fleet_workers_len(fleet) + 1};
    names.items = calloc(names.cap + 1, sizeof *names.items);
    if (names.items == NULL) {
        return reeve_fail(why, REEVE_NOENT, "no worker \"%s\"", worker);
    }
    if (node != NULL) {
        fleet_each_worker_of(fleet, node, add_worker, &names);
    } else {
        fleet_each_worker(fleet, add_worker, &names);
    }
    enum reeve_err err = not_found(why, "worker", worker, names.items);
    free(names.items);
    return err;
}

static enum reeve_err no_node(const struct fleet *fleet, const char *node, struct reeve_why *why)
{
    const char *items[4098] = {0}; // more nodes have no better near name
    struct names names = {.fleet = fleet, .items = items, .cap = REEVE_ARRAY_LEN(items) - 1};
    fleet_each_node(fleet, add_node, &names);
    return not_found(why, "node", node, items);
}

// ---- names ------------------------------------------------------------------------------------------------------

// "mm-1", "alpha/mm-1"; either part may be a glob.
static enum reeve_err check_name(const char *text, struct reeve_why *why)
{
    const char *slash = strchr(text, '/');
    if (text[0] == '\0' || (slash != NULL && (slash == text || slash[1] == '\0' || strchr(slash + 1, '/') != NULL))) {
        return reeve_fail_at(why, REEVE_INVALID, "workers", "\"%s\" is no worker: give a name, `node/name` or a glob",
                             text);
    }
    return strlen(text) < KEY_SIZE
               ? REEVE_OK
               : reeve_fail_at(why, REEVE_INVALID, "workers", "\"%.20s...\" is longer than two names", text);
}

// What the map of names points at.
static char missing, there;

static enum reeve_err add_item(struct selection *selection, const char *text, struct reeve_why *why)
{
    enum reeve_err err = check_name(text, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (reeve_glob_is(text)) {
        return reeve_strv_add(&selection->globs, text);
    }
    if (selection->names == NULL) {
        selection->names = reeve_map_new(0);
    }
    return selection->names == NULL ? REEVE_NOMEM : reeve_map_put(selection->names, text, &missing, NULL);
}

static const char *key_of(const struct fleet_worker_info *info, char key[KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, "%s/%s", info->node, info->name); /* two names fit */
    return key;
}

static bool mark(const struct fleet_worker *worker, void *arg)
{
    struct selection *selection = arg;
    struct fleet_worker_info info = fleet_worker_info(selection->fleet, worker);
    char key[KEY_SIZE];
    const char *const forms[] = {info.name, key_of(&info, key)};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(forms); i++) {
        if (reeve_map_get(selection->names, forms[i]) != NULL) {
            (void)reeve_map_put(selection->names, forms[i], &there, NULL); /* replaced: no memory is needed */
        }
    }
    return true;
}

static enum reeve_err check_names(struct selection *selection, struct reeve_why *why)
{
    if (selection->names == NULL) {
        return REEVE_OK;
    }
    fleet_each_worker(selection->fleet, mark, selection);
    for (struct reeve_map_iter it = {0}; reeve_map_next(selection->names, &it);) {
        char node[KEY_SIZE];
        const char *slash = strchr(it.key, '/');
        if (it.value == &there) {
            continue;
        }
        if (slash == NULL) {
            return no_worker(selection->fleet, NULL, it.key, why);
        }
        (void)snprintf(node, sizeof node, "%.*s", (int)(slash - it.key), it.key); /* checked: it fits */
        return fleet_node(selection->fleet, node) == NULL ? no_node(selection->fleet, node, why)
                                                          : no_worker(selection->fleet, node, slash + 1, why);
    }
    return REEVE_OK;
}

// ---- filters ----------------------------------------------------------------------------------------------------

static enum reeve_err add_test(struct selection *selection, const struct reeve_requirement *test, const char *place,
                               struct reeve_why *why)
{
    if (selection->tests_len == SELECT_TESTS_MAX) {
        return reeve_fail_at(why, REEVE_LIMIT, place, "more than %d conditions", SELECT_TESTS_MAX);
    }
    selection->tests[selection->tests_len++] = *test;
    return REEVE_OK;
}

static enum reeve_err add_filter(struct selection *selection, const char *prefix, const char *key, const char *text,
                                 const char *place, struct reeve_why *why)
{
    struct reeve_requirement test = {.compare = REEVE_COMPARE_EQ};
    if (text == NULL) {
        return REEVE_OK;
    }
    if (text[0] == '\0' || strlen(text) >= sizeof test.text) {
        return reeve_fail_at(why, REEVE_INVALID, place, "%s", text[0] == '\0' ? "is empty" : "is too long");
    }
    if (strlen(prefix) + strlen(key) >= sizeof test.key) {
        return reeve_fail_at(why, REEVE_INVALID, place, "is too long");
    }
    (void)snprintf(test.key, sizeof test.key, "%s%s", prefix, key);
    (void)snprintf(test.text, sizeof test.text, "%s", text); /* checked: both fit */
    return add_test(selection, &test, place, why);
}

static enum reeve_err add_labels(struct selection *selection, const struct reeve_value *labels, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(labels); i++) {
        char place[REEVE_PATH_SIZE];
        const char *key = reeve_value_key(labels, i);
        err = add_filter(selection, "label.", key, reeve_value_text(reeve_value_at(labels, i)),
                         reeve_path_join(place, "labels", key), why);
    }
    return err;
}

static enum reeve_err add_requirements(struct selection *selection, const struct reeve_strv *require,
                                       struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < require->len; i++) {
        struct reeve_requirements made = {.len = 0};
        REEVE_VALUE_AUTO text = reeve_value_str(require->items[i]);
        err = text == NULL ? REEVE_NOMEM : reeve_requirements_add(&made, text, "require", why);
        for (size_t k = 0; err == REEVE_OK && k < made.len; k++) {
            err = add_test(selection, &made.items[k], "require", why);
        }
    }
    return err;
}

// A state or availability that does not exist would fit nobody for ever: a slip of the pen.
static enum reeve_err check_word(const char *text, const char *const *words, const char *place, struct reeve_why *why)
{
    if (text == NULL || reeve_glob_is(text)) {
        return REEVE_OK;
    }
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            return REEVE_OK;
        }
    }
    const char *near = reeve_near(text, words);
    return reeve_fail_at(why, REEVE_INVALID, place, "there is no %s \"%s\"%s%s%s", place, text,
                         near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

static enum reeve_err add_filters(struct selection *selection, const struct select_args *args, struct reeve_why *why)
{
    static const char *const states[] = {
#define X(id, text) text,
        REEVE_STATE_LIST(X)
#undef X
            NULL};
    static const char *const availabilities[] = {"idle", "processing", "paused", "draining", "offline", NULL};
    const struct {
        const char *key, *text;
    } rows[] = {{"type", args->type},     {"exchange", args->exchange},
                {"region", args->region}, {"node", args->node},
                {"pool", args->pool},     {"account", args->account},
                {"state", args->state},   {"availability", args->availability}};
    enum reeve_err err = check_word(args->state, states, "state", why);
    if (err == REEVE_OK) {
        err = check_word(args->availability, availabilities, "availability", why);
    }
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(rows); i++) {
        err = add_filter(selection, "", rows[i].key, rows[i].text, rows[i].key, why);
    }
    if (err == REEVE_OK && args->node != NULL && !reeve_glob_is(args->node) &&
        fleet_node(selection->fleet, args->node) == NULL) {
        err = no_node(selection->fleet, args->node, why);
    }
    return err;
}

// ---- selections -------------------------------------------------------------------------------------------------

enum reeve_err selection_init(struct selection *selection, struct manager *manager, const struct select_args *args,
                              struct reeve_why *why)
{
    *selection = (struct selection){.fleet = manager->fleet, .named = args->workers.len > 0};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < args->workers.len; i++) {
        err = add_item(selection, args->workers.items[i], why);
    }
    if (err == REEVE_OK) {
        err = add_filters(selection, args, why);
    }
    if (err == REEVE_OK) {
        err = add_labels(selection, args->labels, why);
    }
    if (err == REEVE_OK) {
        err = add_requirements(selection, &args->require, why);
    }
    selection->anything = selection->named || selection->tests_len > 0 || args->all;
    if (err == REEVE_OK && args->all && selection->named) {
        err = reeve_fail_at(why, REEVE_INVALID, "all", "is given and `workers` too: which of them is meant?");
    }
    if (err == REEVE_NOMEM) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    return err == REEVE_OK ? check_names(selection, why) : err;
}

void selection_done(struct selection *selection)
{
    reeve_map_free(selection->names, NULL);
    reeve_strv_done(&selection->globs);
    selection->names = NULL;
}

bool select_is_sites(const struct fleet *fleet, const struct fleet_worker *worker)
{
    return reeve_str_eq(fleet_worker_info(fleet, worker).origin, "site");
}

// A glob without a slash is one for the name.
static bool glob_has(const char *glob, const struct fleet_worker_info *info, const char *key)
{
    return reeve_glob_match(glob, strchr(glob, '/') != NULL ? key : info->name);
}

bool selection_named(const struct selection *selection, const struct fleet_worker *worker)
{
    if (!selection->named) {
        return true;
    }
    char key[KEY_SIZE];
    struct fleet_worker_info info = fleet_worker_info(selection->fleet, worker);
    (void)key_of(&info, key);
    if (selection->names != NULL &&
        (reeve_map_get(selection->names, info.name) != NULL || reeve_map_get(selection->names, key) != NULL)) {
        return true;
    }
    for (size_t i = 0; i < selection->globs.len; i++) {
        if (glob_has(selection->globs.items[i], &info, key)) {
            return true;
        }
    }
    return false;
}

static bool named_plainly(const struct selection *selection, const struct fleet_worker *worker)
{
    char key[KEY_SIZE];
    struct fleet_worker_info info = fleet_worker_info(selection->fleet, worker);
    (void)key_of(&info, key);
    return selection->names != NULL &&
           (reeve_map_get(selection->names, info.name) != NULL || reeve_map_get(selection->names, key) != NULL);
}

bool selection_has(const struct selection *selection, const struct fleet_worker *worker, size_t *ret_passed)
{
    size_t passed = 0;
    while (passed < selection->tests_len &&
           reeve_requirement_met(&selection->tests[passed], fleet_worker_attribute, worker)) {
        passed++;
    }
    if (ret_passed != NULL) {
        *ret_passed = passed;
    }
    return passed == selection->tests_len;
}

struct walk {
    const struct selection *selection;
    bool (*each)(const struct fleet_worker *worker, void *arg);
    void *arg;
    size_t count;
};

static bool walk_on(const struct fleet_worker *worker, void *arg)
{
    struct walk *walk = arg;
    const struct selection *selection = walk->selection;
    if (!selection_named(selection, worker) || !selection_has(selection, worker, NULL) ||
        (select_is_sites(selection->fleet, worker) && !named_plainly(selection, worker))) {
        return true;
    }
    walk->count++;
    return walk->each(worker, walk->arg);
}

enum reeve_err select_each(struct manager *manager, const struct select_args *select, bool preset_all,
                           bool (*each)(const struct fleet_worker *worker, void *arg), void *arg, size_t *ret_count,
                           struct reeve_why *why)
{
    struct selection selection;
    enum reeve_err err = selection_init(&selection, manager, select, why);
    if (err == REEVE_OK && !selection.anything && !preset_all) {
        err = reeve_fail_at(why, REEVE_INVALID, "workers",
                            "who is meant? Give `workers`, a filter such as `type`, or `all`");
    }
    if (err == REEVE_OK) {
        struct walk walk = {.selection = &selection, .each = each, .arg = arg};
        fleet_each_worker(manager->fleet, walk_on, &walk);
        if (ret_count != NULL) {
            *ret_count = walk.count;
        }
    }
    selection_done(&selection);
    return err;
}

// ---- one --------------------------------------------------------------------------------------------------------

struct search {
    const struct fleet *fleet;
    const char *name;
    const struct fleet_worker *found;
    char nodes[160]; // of all that have the name
    size_t count;
};

static bool search_on(const struct fleet_worker *worker, void *arg)
{
    struct search *search = arg;
    struct fleet_worker_info info = fleet_worker_info(search->fleet, worker);
    if (strcmp(info.name, search->name) == 0) {
        size_t used = strlen(search->nodes);
        search->found = worker;
        (void)snprintf(search->nodes + used, sizeof search->nodes - used, "%s%s", search->count > 0 ? ", " : "",
                       info.node); /* cut */
        search->count++;
    }
    return true;
}

static enum reeve_err select_by_name(const struct fleet *fleet, const char *name, const struct fleet_worker **ret,
                                     struct reeve_why *why)
{
    struct search search = {.fleet = fleet, .name = name};
    fleet_each_worker(fleet, search_on, &search);
    if (search.count > 1) {
        return reeve_fail_at(why, REEVE_INVALID, "worker", "\"%s\" is on %s: say `node/%s`", name, search.nodes, name);
    }
    if (search.count == 0) {
        return no_worker(fleet, NULL, name, why);
    }
    *ret = search.found;
    return REEVE_OK;
}

enum reeve_err select_one(struct manager *manager, const char *text, const struct fleet_worker **ret,
                          struct reeve_why *why)
{
    const char *slash = strchr(text, '/');
    char node[REEVE_NAME_SIZE];
    if (reeve_glob_is(text)) {
        return reeve_fail_at(why, REEVE_INVALID, "worker", "takes one worker, \"%.80s\" is a glob", text);
    }
    if (text[0] == '\0' || (slash != NULL && (slash == text || slash - text >= REEVE_NAME_SIZE || slash[1] == '\0'))) {
        return reeve_fail_at(why, REEVE_INVALID, "worker", "\"%.80s\" is no worker: give a name or `node/name`", text);
    }
    if (slash == NULL) {
        return select_by_name(manager->fleet, text, ret, why);
    }
    (void)snprintf(node, sizeof node, "%.*s", (int)(slash - text), text); /* checked: it fits */
    const struct fleet_worker *found = fleet_worker(manager->fleet, node, slash + 1);
    if (found == NULL) {
        return fleet_node(manager->fleet, node) == NULL ? no_node(manager->fleet, node, why)
                                                        : no_worker(manager->fleet, node, slash + 1, why);
    }
    *ret = found;
    return REEVE_OK;
}
