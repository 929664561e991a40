// Selecting workers; see selector.h.
// Must not: guess. What fits nothing is an error of the caller.
#include "selector.h"

#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>

void selector_done(struct selector *selector)
{
    free(selector->names);
    reeve_value_free(selector->labels);
    *selector = (struct selector){0};
}

// A name that may hold wildcards: those aside, it has to be a name.
static enum reeve_err check_pattern(const char *text, const char *what, struct reeve_why *why)
{
    char plain[REEVE_NAME_SIZE];
    struct reeve_why reason;
    size_t len = strlen(text);
    if (!reeve_glob_is(text)) {
        if (reeve_name_check(text, &reason) != REEVE_OK) {
            return reeve_fail(why, REEVE_INVALID, "%s: %s", what, reason.text);
        }
        return REEVE_OK;
    }
    if (len >= sizeof plain) {
        return reeve_fail(why, REEVE_INVALID, "%s: longer than %d characters", what, REEVE_NAME_LEN_MAX);
    }
    (void)snprintf(plain, sizeof plain, "%s", text);
    for (char *at = plain; *at != '\0'; at++) {
        *at = *at == '*' || *at == '?' ? 'x' : *at;
    }
    if (plain[0] == '-' || plain[0] == '_' || reeve_name_check(plain, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "%s: \"%.63s\" can fit no name (a-z 0-9 _ - and the wildcards * ?)", what,
                          text);
    }
    return REEVE_OK;
}

static enum reeve_err read_name(const char *text, struct selector_name *ret, struct reeve_why *why)
{
    const char *slash = strchr(text, '/');
    size_t node_len = slash != NULL ? (size_t)(slash - text) : 0;
    ret->worker = slash != NULL ? slash + 1 : text;
    if (slash != NULL && (node_len == 0 || node_len > REEVE_NAME_LEN_MAX)) {
        return reeve_fail(why, REEVE_INVALID, "'%.100s': expected a worker's name or node/name", text);
    }
    (void)snprintf(ret->node, sizeof ret->node, "%.*s", (int)node_len, text);
    enum reeve_err err = node_len > 0 ? check_pattern(ret->node, "node", why) : REEVE_OK;
    return err == REEVE_OK ? check_pattern(ret->worker, "worker", why) : err;
}

static enum reeve_err read_labels(const struct invocation *inv, struct selector *ret, struct reeve_why *why)
{
    const char *text;
    for (size_t at = 0; (text = opt_next(inv, OPT_LABEL, &at)) != NULL;) {
        char key[128];
        size_t len = strcspn(text, "=");
        if (len == 0 || text[len] != '=' || len >= sizeof key) {
            return reeve_fail(why, REEVE_INVALID, "--label: '%.100s' given, expected KEY=VALUE", text);
        }
        (void)snprintf(key, sizeof key, "%.*s", (int)len, text);
        ret->labels = ret->labels != NULL ? ret->labels : reeve_value_map();
        reeve_put_str(ret->labels, key, text + len + 1);
    }
    return ret->labels == NULL || reeve_value_built(ret->labels) == REEVE_OK
               ? REEVE_OK
               : reeve_fail(why, REEVE_NOMEM, "out of memory");
}

enum reeve_err selector_read(const struct invocation *inv, size_t first, size_t end, struct selector *ret,
                             struct reeve_why *why)
{
    enum reeve_state state;
    *ret = (struct selector){.node = opt_value(inv, OPT_NODE),
                             .type = opt_value(inv, OPT_TYPE),
                             .exchange = opt_value(inv, OPT_EXCHANGE),
                             .state = opt_value(inv, OPT_STATE),
                             .all = opt_given(inv, OPT_ALL)};
    ret->names = calloc(end - first + 1, sizeof *ret->names);
    if (ret->names == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = REEVE_OK;
    for (size_t i = first; err == REEVE_OK && i < end; i++) {
        err = read_name(inv->args[i], &ret->names[ret->names_len++], why);
    }
    if (err == REEVE_OK && ret->node != NULL) {
        err = check_pattern(ret->node, "--node", why);
    }
    if (err == REEVE_OK && ret->state != NULL && !reeve_glob_is(ret->state) && !reeve_state_parse(ret->state, &state)) {
        err = reeve_fail(why, REEVE_INVALID,
                         "--state: '%.40s' given, expected one of created starting running stopping stopped restarting "
                         "failed lost unknown",
                         ret->state);
    }
    return err == REEVE_OK ? read_labels(inv, ret, why) : err;
}

static bool has_filters(const struct selector *selector)
{
    return selector->type != NULL || selector->exchange != NULL || selector->state != NULL || selector->labels != NULL;
}

bool selector_says_something(const struct selector *selector)
{
    return selector->names_len > 0 || has_filters(selector) || selector->all;
}

bool selector_single(const struct selector *selector, const char **ret_node, const char **ret_worker)
{
    if (selector->names_len != 1 || has_filters(selector) || selector->all) {
        return false;
    }
    const struct selector_name *name = &selector->names[0];
    const char *node = name->node[0] != '\0' ? name->node : selector->node != NULL ? selector->node : "";
    if (reeve_glob_is(name->worker) || reeve_glob_is(node)) {
        return false;
    }
    *ret_node = node;
    *ret_worker = name->worker;
    return true;
}

static bool text_fits(const char *pattern, const char *text)
{
    return pattern == NULL || (text != NULL && reeve_glob_match(pattern, text));
}

static bool labels_fit(const struct reeve_value *wanted, const struct reeve_value *labels)
{
    for (size_t i = 0; i < reeve_value_len(wanted); i++) {
        if (!text_fits(reeve_value_text(reeve_value_at(wanted, i)),
                       reeve_get_str(labels, reeve_value_key(wanted, i)))) {
            return false;
        }
    }
    return true;
}

static bool name_fits(const struct selector *selector, const struct reeve_known_worker *worker)
{
    for (size_t i = 0; i < selector->names_len; i++) {
        const struct selector_name *name = &selector->names[i];
        if (reeve_glob_match(name->worker, worker->name) &&
            (name->node[0] == '\0' || reeve_glob_match(name->node, worker->node))) {
            return true;
        }
    }
    return selector->names_len == 0;
}

bool selector_fits(const struct selector *selector, const struct reeve_known_worker *worker, const char *state)
{
    const struct reeve_value *process = worker->process_record;
    const char *type = reeve_get_str(process, "type");
    if (type == NULL) {
        type = reeve_get_str(worker->status_record, "type"); // one that was started by hand
    }
    return name_fits(selector, worker) && text_fits(selector->node, worker->node) && text_fits(selector->type, type) &&
           text_fits(selector->exchange, reeve_get_str(process, "exchange")) && text_fits(selector->state, state) &&
           labels_fit(selector->labels, reeve_value_get(process, "labels"));
}

struct reeve_value *selector_args(const struct selector *selector, const char *const *names)
{
    struct reeve_value *args = reeve_value_map();
    if (names != NULL && names[0] != NULL) {
        struct reeve_value *list = reeve_value_list();
        for (size_t i = 0; names[i] != NULL; i++) {
            (void)reeve_value_add(list, reeve_value_str(names[i])); /* remembered: reeve_value_built() */
        }
        (void)reeve_value_put(args, "workers", list); /* remembered: reeve_value_built() */
    }
    reeve_put_str_opt(args, "type", selector->type);
    reeve_put_str_opt(args, "exchange", selector->exchange);
    reeve_put_str_opt(args, "state", selector->state);
    if (selector->labels != NULL) {
        (void)reeve_value_put(args, "labels",
                              reeve_value_clone(selector->labels)); /* remembered: reeve_value_built() */
    }
    if (selector->all) {
        reeve_put_bool(args, "all", true);
    }
    return args;
}
