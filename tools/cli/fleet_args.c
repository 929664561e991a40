// From options to a selector of the manager's ops; see fleet_args.h.
// Must not: judge names that only the manager knows (pools, types, regions).
#include "fleet_args.h"

#include "selector.h"

#include <reeve/str.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum option_id id;
    const char *key;
} texts[] = {
    {OPT_NODE, "node"}, {OPT_TYPE, "type"},       {OPT_EXCHANGE, "exchange"}, {OPT_REGION, "region"},
    {OPT_POOL, "pool"}, {OPT_ACCOUNT, "account"}, {OPT_STATE, "state"},       {OPT_AVAILABILITY, "availability"},
};

static enum reeve_err check_availability(const char *text, struct reeve_why *why)
{
    enum reeve_availability availability;
    if (text == NULL || reeve_glob_is(text) || reeve_availability_parse(text, &availability)) {
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_INVALID,
                      "--availability: '%.40s' given, expected one of idle processing paused draining offline", text);
}

static enum reeve_err put_requirements(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *list = NULL;
    const char *text;
    enum reeve_err err = REEVE_OK;
    for (size_t at = 0; err == REEVE_OK && (text = opt_next(inv, OPT_REQUIRE, &at)) != NULL;) {
        struct reeve_requirement requirement;
        struct reeve_why reason;
        if (reeve_requirement_parse(text, &requirement, &reason) != REEVE_OK) {
            err = reeve_fail(why, REEVE_INVALID, "--require: %s", reason.text);
        } else {
            list = list != NULL ? list : reeve_value_list();
            (void)reeve_value_add(list, reeve_value_str(text)); /* remembered: reeve_value_built() */
        }
    }
    if (list != NULL) {
        (void)reeve_value_put(args, "require", list); /* remembered: reeve_value_built() */
    }
    return err;
}

static void put_names(const struct invocation *inv, struct reeve_value *args)
{
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < inv->args_len; i++) {
        (void)reeve_value_add(list, reeve_value_str(inv->args[i])); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(args, "workers", list); /* remembered: reeve_value_built() */
}

enum reeve_err fleet_args_put(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    SELECTOR_AUTO selector = {0};
    enum reeve_err err = selector_read(inv, 0, inv->args_len, &selector, why); // checks names, node, state and labels
    if (err == REEVE_OK) {
        err = check_availability(opt_value(inv, OPT_AVAILABILITY), why);
    }
    if (err == REEVE_OK && inv->args_len > 0) {
        put_names(inv, args);
    }
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(texts); i++) {
        reeve_put_str_opt(args, texts[i].key, opt_value(inv, texts[i].id));
    }
    if (err == REEVE_OK && selector.labels != NULL) {
        (void)reeve_value_put(args, "labels", reeve_value_take(&selector.labels)); /* remembered: reeve_value_built() */
    }
    if (err == REEVE_OK) {
        err = put_requirements(inv, args, why);
    }
    if (err == REEVE_OK && opt_given(inv, OPT_ALL)) {
        reeve_put_bool(args, "all", true);
    }
    return err == REEVE_OK && reeve_value_built(args) != REEVE_OK ? reeve_fail(why, REEVE_NOMEM, "out of memory") : err;
}

bool fleet_args_say_something(const struct reeve_value *args)
{
    return reeve_value_len(args) > 0;
}

// ---- without asking ---------------------------------------------------------------------------------------------

static enum reeve_err add(struct reeve_requirements *requirements, const char *key, const char *value,
                          struct reeve_why *why)
{
    char text[REEVE_REQUIREMENT_TEXT_SIZE];
    if (requirements->len == REEVE_REQUIREMENTS_MAX) {
        return reeve_fail(why, REEVE_LIMIT, "more than %d filters", REEVE_REQUIREMENTS_MAX);
    }
    if (snprintf(text, sizeof text, "%s=%s", key, value) >= (int)sizeof text) {
        return reeve_fail(why, REEVE_INVALID, "--%s: '%.40s...' is too long", key, value);
    }
    return reeve_requirement_parse(text, &requirements->items[requirements->len++], why);
}

static enum reeve_err add_labels(const struct reeve_value *labels, struct reeve_requirements *ret,
                                 struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(labels); i++) {
        char key[160];
        (void)snprintf(key, sizeof key, "label.%s", reeve_value_key(labels, i));
        err = add(ret, key, reeve_value_text(reeve_value_at(labels, i)), why);
    }
    return err;
}

enum reeve_err fleet_filter_read(const struct reeve_value *args, struct fleet_filter *ret, struct reeve_why *why)
{
    const struct reeve_value *require = reeve_value_get(args, "require");
    enum reeve_err err = REEVE_OK;
    *ret = (struct fleet_filter){.args = args};
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(texts); i++) {
        const char *value = reeve_get_str(args, texts[i].key);
        err = value != NULL ? add(&ret->requirements, texts[i].key, value, why) : REEVE_OK;
    }
    if (err == REEVE_OK) {
        err = add_labels(reeve_value_get(args, "labels"), &ret->requirements, why);
    }
    return err == REEVE_OK && require != NULL ? reeve_requirements_add(&ret->requirements, require, "require", why)
                                              : err;
}

static const char *scalar_text(const struct reeve_value *value, char *buf)
{
    switch (reeve_value_kind(value)) {
    case REEVE_STR:
        return reeve_value_text(value);
    case REEVE_INT:
        (void)snprintf(buf, 128, "%lld", (long long)reeve_value_number(value, 0));
        return buf;
    case REEVE_FLOAT:
        (void)snprintf(buf, 128, "%g", reeve_value_real(value, 0));
        return buf;
    case REEVE_BOOL:
        return reeve_value_truth(value, false) ? "true" : "false";
    case REEVE_NULL:
    case REEVE_BIN:
    case REEVE_LIST:
    case REEVE_MAP:
        break;
    }
    return NULL;
}

// A verdict record as a thing with attributes: its own keys, `label.<key>`, and the fields of `attributes`.
static const char *attribute(const void *thing, const char *key, size_t n, char *buf)
{
    const struct reeve_value *verdict = thing;
    const struct reeve_value *value = reeve_value_get(verdict, key);
    if (reeve_str_starts(key, "label.")) {
        value = reeve_value_get(reeve_value_get(verdict, "labels"), key + strlen("label."));
    } else if (value == NULL) {
        value = reeve_value_get(reeve_value_get(verdict, "attributes"), key);
    }
    if (reeve_value_kind(value) == REEVE_LIST) {
        return scalar_text(reeve_value_at(value, n), buf);
    }
    return n == 0 ? scalar_text(value, buf) : NULL;
}

static bool name_fits(const struct reeve_value *names, const struct reeve_value *verdict)
{
    const char *node = reeve_get_str(verdict, "node");
    const char *worker = reeve_get_str(verdict, "worker");
    for (size_t i = 0; i < reeve_value_len(names); i++) {
        const char *pattern = reeve_value_text(reeve_value_at(names, i));
        const char *slash = strchr(pattern, '/');
        char wanted[REEVE_NAME_SIZE];
        (void)snprintf(wanted, sizeof wanted, "%.*s", slash != NULL ? (int)(slash - pattern) : 0, pattern);
        bool there = slash == NULL || (node != NULL && reeve_glob_match(wanted, node));
        if (there && worker != NULL && reeve_glob_match(slash != NULL ? slash + 1 : pattern, worker)) {
            return true;
        }
    }
    return names == NULL;
}

bool fleet_filter_fits(const struct fleet_filter *filter, const struct reeve_value *verdict)
{
    return name_fits(reeve_value_get(filter->args, "workers"), verdict) &&
           reeve_requirements_met(&filter->requirements, attribute, verdict, NULL);
}
