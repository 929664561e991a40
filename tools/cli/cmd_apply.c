// apply: worker specs from files to a node. Nothing is sent unless all files are right.
// Must not: look at this host for what the specs name; they run on the node.
#include "commands.h"
#include "mistakes.h"
#include "order.h"
#include "output.h"

#include <reeve/spec.h>
#include <stdlib.h>

struct loading {
    struct reeve_specs specs;
    struct mistakes mistakes;
};

static void loading_done(struct loading *loading)
{
    reeve_specs_done(&loading->specs);
    mistakes_done(&loading->mistakes);
}
#define LOADING_AUTO __attribute__((cleanup(loading_done))) struct loading

// The same name in two files is a mistake of the second.
static void check_twins(struct loading *loading, const struct reeve_specs *more, const char *path)
{
    for (size_t i = 0; i < more->len; i++) {
        for (size_t j = 0; j < loading->specs.len; j++) {
            const char *name = more->items[i].name;
            if (name != NULL && reeve_str_eq(name, loading->specs.items[j].name)) {
                output_note("%s: worker '%s' is defined in another file already", path, name);
                loading->mistakes.errors++;
            }
        }
    }
}

static enum reeve_err append(struct loading *loading, struct reeve_specs *more)
{
    struct reeve_spec *items = realloc(loading->specs.items, (loading->specs.len + more->len + 1) * sizeof *items);
    if (items == NULL) {
        reeve_specs_done(more);
        return REEVE_NOMEM;
    }
    for (size_t i = 0; i < more->len; i++) {
        items[loading->specs.len + i] = more->items[i];
    }
    loading->specs.items = items;
    loading->specs.len += more->len;
    free(more->items);
    *more = (struct reeve_specs){0};
    return REEVE_OK;
}

static enum reeve_err load_file(struct loading *loading, const char *path)
{
    struct reeve_specs more = {0};
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return REEVE_NOMEM;
    }
    enum reeve_err err = reeve_spec_load_file(path, &more, errors);
    mistakes_take(&loading->mistakes, errors);
    bool nomem = err == REEVE_NOMEM;
    loading->mistakes.errors += err != REEVE_OK && errors->errors == 0 ? 1 : 0;
    free(errors);
    if (err != REEVE_OK) {
        return nomem ? err : REEVE_OK;
    }
    check_twins(loading, &more, path);
    return append(loading, &more);
}

static enum reeve_err load_files(const struct invocation *inv, struct loading *loading, struct reeve_why *why)
{
    const char *path;
    size_t count = 0;
    enum reeve_err err = REEVE_OK;
    for (size_t at = 0; err == REEVE_OK && (path = opt_next(inv, OPT_FILE, &at)) != NULL; count++) {
        err = load_file(loading, path);
    }
    for (size_t i = 0; err == REEVE_OK && i < inv->args_len; i++, count++) {
        err = load_file(loading, inv->args[i]);
    }
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    if (count == 0) {
        return reeve_fail(why, REEVE_INVALID, "which file? reeve apply -f FILE; - is standard input");
    }
    size_t errors = loading->mistakes.errors;
    if (errors > 0) {
        return reeve_fail(why, REEVE_INVALID, "%zu mistake%s; nothing was applied", errors, errors == 1 ? "" : "s");
    }
    return REEVE_OK;
}

// {workers: [...]}, secrets and all: it is what the node has to know.
static struct reeve_value *apply_args(const struct reeve_specs *specs)
{
    struct reeve_value *args = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < specs->len; i++) {
        struct reeve_value *spec = NULL;
        // A failed one adds NULL, which the list remembers.
        (void)reeve_spec_encode(&specs->items[i], REEVE_ENCODE_SKIP_PRESETS | REEVE_ENCODE_WITH_SECRETS, &spec);
        (void)reeve_value_add(list, spec); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(args, "workers", list); /* remembered: reeve_value_built() */
    return args;
}

static enum reeve_err perform(const struct site *site, struct orders *orders, struct reeve_why *why)
{
    SESSION_AUTO session = {0};
    LOOKUP_AUTO lookup = {0};
    REEVE_ASSERT(orders->len > 0);
    enum reeve_err err = session_init(&session, site, why);
    if (err == REEVE_OK) {
        err = lookup_init(&lookup, &session, why);
    }
    if (err == REEVE_OK) {
        err = lookup_want_nodes(&lookup, orders->items[0]->node, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&session, why);
    }
    return err == REEVE_OK ? orders_perform(orders, &session, &lookup, why) : err;
}

static int show(const struct invocation *inv, const struct orders *orders)
{
    int exit_code = orders_exit(orders);
    if (opt_given(inv, OPT_JSON)) {
        REEVE_VALUE_AUTO value = orders_value(orders);
        int written = output_json(value, false);
        return written != EXIT_DONE ? written : exit_code;
    }
    orders_print(orders);
    return fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
}

static enum reeve_err address(const struct invocation *inv, struct site *site, const struct loading *loading,
                              struct orders *orders, struct reeve_why *why)
{
    struct reeve_why reason;
    enum reeve_err err = site_load(inv, site, why);
    if (err != REEVE_OK) {
        return err;
    }
    const char *node = opt_value(inv, OPT_NODE) != NULL ? opt_value(inv, OPT_NODE) : site->node;
    if (node[0] == '\0') {
        return reeve_fail(why, REEVE_INVALID, "to which node? say --node; `reeve node ls` shows those there are");
    }
    if (reeve_name_check(node, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--node: %s", reason.text);
    }
    return orders_add(orders, site->root, node, "", apply_args(&loading->specs), why);
}

int cmd_apply(const struct invocation *inv)
{
    SITE_AUTO site = {0};
    LOADING_AUTO loading = {0};
    ORDERS_AUTO orders = {
        .op = "apply", .dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)};
    struct reeve_why why = {0};
    mistakes_init(&loading.mistakes);
    enum reeve_err err = load_files(inv, &loading, &why);
    if (err != REEVE_OK) {
        return mistakes_fail(inv, &loading.mistakes, err, &why);
    }
    err = address(inv, &site, &loading, &orders, &why);
    if (err == REEVE_OK && opt_given(inv, OPT_PRINT_MQTT)) {
        return orders_print_mqtt(inv, &site, &orders);
    }
    if (err == REEVE_OK) {
        err = perform(&site, &orders, &why);
    }
    return err == REEVE_OK ? show(inv, &orders) : output_fail_why(inv, err, &why);
}
