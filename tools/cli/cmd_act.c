// start, stop, restart, kill, signal, reset, rm; drain and undrain; reload and shutdown of nodes; call.
// All of them: find out who is meant, send, wait, tell.
// Must not: know what an operation does; the node does.
#include "commands.h"
#include "output.h"
#include "target.h"
#include "up.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/spec.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *command, *op; // where they differ
} op_names[] = {{"rm", "remove"}};

static const char *op_of(const struct invocation *inv)
{
    const char *name = inv->command->name;
    const char *space = strchr(name, ' ');
    name = space != NULL ? space + 1 : name;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(op_names); i++) {
        if (strcmp(op_names[i].command, name) == 0) {
            return op_names[i].op;
        }
    }
    return name;
}

static struct orders orders_for(const struct invocation *inv, const char *op)
{
    return (struct orders){.op = op, .dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)};
}

static int tell(const struct invocation *inv, const struct orders *orders)
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

// ---- who is meant, by selector ----------------------------------------------------------------------------------

struct intent {
    const struct invocation *inv;
    const struct selector *selector;
    const struct reeve_value *args; // of the operation; NULL
    bool to_itself;                 // the worker answers, not its node
};

static enum reeve_err perform(const struct intent *intent, const struct site *site, struct orders *orders,
                              struct reeve_why *why)
{
    SESSION_AUTO session = {0};
    LOOKUP_AUTO lookup = {0};
    enum reeve_err err = session_init(&session, site, why);
    if (err == REEVE_OK) {
        err = lookup_init(&lookup, &session, why);
    }
    if (err == REEVE_OK) {
        err = intent->to_itself ? target_want_speaker(intent->selector, &lookup, why)
                                : target_want(intent->selector, &lookup, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&session, why);
    }
    if (err == REEVE_OK) {
        err = target_resolve(intent->selector, &lookup, intent->args, orders, why);
    }
    bool only_print = opt_given(intent->inv, OPT_PRINT_MQTT);
    bool speaks = false; // then its node need not be there
    if (err == REEVE_OK && intent->to_itself && !only_print) {
        err = target_await_speaker(&lookup, orders->items[0]->node, orders->items[0]->worker, &speaks, why);
    }
    return err == REEVE_OK && !only_print ? orders_perform(orders, &session, speaks ? NULL : &lookup, why) : err;
}

static int act(const struct intent *intent, const char *op)
{
    const struct invocation *inv = intent->inv;
    SITE_AUTO site = {0};
    ORDERS_AUTO orders = orders_for(inv, op);
    struct reeve_why why = {0};
    bool only_print = opt_given(inv, OPT_PRINT_MQTT);
    enum reeve_err err = site_load(inv, &site, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    err = only_print ? target_offline(intent->selector, &site, intent->args, &orders, &why) : REEVE_NOENT;
    if (err == REEVE_NOENT) {
        err = perform(intent, &site, &orders, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    return only_print ? orders_print_mqtt(inv, &site, &orders) : tell(inv, &orders);
}

// ---- the operations on workers ------------------------------------------------------------------------------------

static enum reeve_err put_grace(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *grace = opt_value(inv, OPT_GRACE);
    int64_t ms;
    struct reeve_why reason;
    if (grace == NULL) {
        return REEVE_OK;
    }
    if (reeve_duration_parse(grace, &ms, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--grace: %s", reason.text);
    }
    reeve_put_str(args, "grace", grace);
    return REEVE_OK;
}

// Capitals or digits: a name of a worker begins with a small letter or a digit, and one of digits alone means a signal
// here.
static bool is_signal(const char *text)
{
    int number;
    bool shaped = text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-")] == '\0';
    return shaped && reeve_signal_parse(text, &number, NULL) == REEVE_OK;
}

// `reeve signal HUP mm-1`, and the other way round as well. Leaves the names in *first .. *end.
static enum reeve_err put_signal(const struct invocation *inv, struct reeve_value *args, size_t *first, size_t *end,
                                 struct reeve_why *why)
{
    int number;
    if (is_signal(inv->args[0])) {
        reeve_put_str(args, "signal", inv->args[0]);
        *first = 1;
        return REEVE_OK;
    }
    if (*end > 1 && is_signal(inv->args[*end - 1])) {
        reeve_put_str(args, "signal", inv->args[--*end]);
        return REEVE_OK;
    }
    struct reeve_why reason;
    enum reeve_err err = reeve_signal_parse(inv->args[0], &number, &reason);
    return reeve_fail(why, REEVE_INVALID, "%s",
                      err != REEVE_OK ? reason.text : "write the signal in capitals, such as HUP");
}

int cmd_act(const struct invocation *inv)
{
    SELECTOR_AUTO selector = {0};
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    size_t first = 0;
    size_t end = inv->args_len;
    enum reeve_err err = put_grace(inv, args, &why);
    if (err == REEVE_OK && strcmp(inv->command->name, "signal") == 0) {
        err = put_signal(inv, args, &first, &end, &why);
    }
    if (err == REEVE_OK) {
        err = selector_read(inv, first, end, &selector, &why);
    }
    if (err == REEVE_OK && !selector_says_something(&selector)) {
        err =
            reeve_fail(&why, REEVE_INVALID, "which workers? give names, --type, --exchange, --label, --state or --all");
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    return act(&(struct intent){.inv = inv, .selector = &selector, .args = args}, op_of(inv));
}

// ---- call: what a worker itself declares ----------------------------------------------------------------------------

static enum reeve_err put_json(struct reeve_value *args, const char *text, struct reeve_why *why)
{
    REEVE_VALUE_AUTO json = NULL;
    enum reeve_err err = reeve_json_read(text, strlen(text), &reeve_limits_wire, "argument", &json, why);
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(json); i++) {
        err = reeve_value_put(args, reeve_value_key(json, i), reeve_value_clone(reeve_value_at(json, i)));
    }
    return err;
}

// key=value; a value that is JSON (5, true, "x", [1]) is taken as such, everything else is text.
static enum reeve_err put_pair(struct reeve_value *args, const char *text, struct reeve_why *why)
{
    char key[128];
    size_t len = strcspn(text, "=");
    if (len == 0 || len >= sizeof key || text[len] != '=') {
        return reeve_fail(why, REEVE_INVALID, "'%.100s' given, expected KEY=VALUE or a JSON object", text);
    }
    (void)snprintf(key, sizeof key, "%.*s", (int)len, text);
    const char *value = text + len + 1;
    struct reeve_value *json = NULL;
    if (reeve_json_read(value, strlen(value), &reeve_limits_wire, NULL, &json, NULL) != REEVE_OK) {
        json = reeve_value_str(value);
    }
    return reeve_value_put(args, key, json);
}

static enum reeve_err read_call_args(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 2; err == REEVE_OK && i < inv->args_len; i++) {
        err = inv->args[i][0] == '{' ? put_json(args, inv->args[i], why) : put_pair(args, inv->args[i], why);
    }
    return err;
}

int cmd_call(const struct invocation *inv)
{
    SELECTOR_AUTO selector = {0};
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    const char *node;
    const char *worker;
    enum reeve_err err = selector_read(inv, 0, 1, &selector, &why);
    if (err == REEVE_OK && !selector_single(&selector, &node, &worker)) {
        err = reeve_fail(&why, REEVE_INVALID, "`reeve call` takes one worker, not a glob");
    }
    struct reeve_why reason;
    if (err == REEVE_OK && reeve_name_check(inv->args[1], &reason) != REEVE_OK) {
        err = reeve_fail(&why, REEVE_INVALID, "operation: %s", reason.text);
    }
    if (err == REEVE_OK) {
        err = read_call_args(inv, args, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    return act(&(struct intent){.inv = inv, .selector = &selector, .args = args, .to_itself = true}, inv->args[1]);
}

// ---- nodes --------------------------------------------------------------------------------------------------------

static enum reeve_err perform_nodes(const struct invocation *inv, const struct site *site, struct orders *orders,
                                    struct reeve_why *why)
{
    SESSION_AUTO session = {0};
    LOOKUP_AUTO lookup = {0};
    REEVE_ASSERT(orders->len > 0);
    enum reeve_err err = session_init(&session, site, why);
    if (err == REEVE_OK) {
        err = lookup_init(&lookup, &session, why);
    }
    if (err == REEVE_OK) { // all when one was typed: for "did you mean"
        err = lookup_want_nodes(&lookup, inv->args_len > 0 ? NULL : orders->items[0]->node, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&session, why);
    }
    return err == REEVE_OK ? orders_perform(orders, &session, &lookup, why) : err;
}

// The nodes that are named, --node, or the site's own.
static enum reeve_err add_named_nodes(const struct invocation *inv, const struct site *site,
                                      const struct reeve_value *args, struct orders *orders, struct reeve_why *why)
{
    const char *preset = opt_value(inv, OPT_NODE) != NULL ? opt_value(inv, OPT_NODE) : site->node;
    size_t count = inv->args_len > 0 ? inv->args_len : 1;
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < count; i++) {
        const char *node = inv->args_len > 0 ? inv->args[i] : preset;
        struct reeve_why reason;
        if (node[0] == '\0') {
            return reeve_fail(why, REEVE_INVALID, "which node? `reeve node ls` shows those there are");
        }
        if (reeve_name_check(node, &reason) != REEVE_OK) {
            return reeve_fail(why, REEVE_INVALID, "node: %s", reason.text);
        }
        err = orders_add(orders, site->root, node, "", reeve_value_clone(args), why);
    }
    return err;
}

// `reload` of a site's own node means the user's file as it is now; a dry run puts back what was there.
static enum reeve_err perform_reload(const struct invocation *inv, const struct site *site, struct orders *orders,
                                     struct reeve_why *why)
{
    REEVE_AUTO_FREE char *old = NULL;
    struct reeve_why late;
    enum reeve_err err = up_config_refresh(inv, site, &old, why);
    if (err == REEVE_OK) {
        err = perform_nodes(inv, site, orders, why);
    }
    bool kept = err == REEVE_OK && orders_exit(orders) == EXIT_DONE && !orders->dry_run;
    if (old != NULL && !kept && up_config_restore(site, old, &late) != REEVE_OK) {
        output_note("%s", late.text);
    }
    return err;
}

static int act_nodes(const struct invocation *inv, const struct reeve_value *args)
{
    SITE_AUTO site = {0};
    ORDERS_AUTO orders = orders_for(inv, op_of(inv));
    struct reeve_why why = {0};
    bool only_print = opt_given(inv, OPT_PRINT_MQTT);
    enum reeve_err err = site_load(inv, &site, &why);
    if (err == REEVE_OK) {
        err = add_named_nodes(inv, &site, args, &orders, &why);
    }
    bool own = orders.len == 1 && site.dir[0] != '\0' && strcmp(orders.items[0]->node, site.node) == 0;
    if (err == REEVE_OK && !only_print) {
        err = own && strcmp(orders.op, "reload") == 0 ? perform_reload(inv, &site, &orders, &why)
                                                      : perform_nodes(inv, &site, &orders, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    return only_print ? orders_print_mqtt(inv, &site, &orders) : tell(inv, &orders);
}

int cmd_node_act(const struct invocation *inv)
{
    REEVE_VALUE_AUTO args = reeve_value_map();
    if (opt_given(inv, OPT_KEEP_WORKERS)) {
        reeve_put_str(args, "workers", "keep");
    }
    return act_nodes(inv, args);
}

// A worker is written node/name here: a bare name is a node's.
static bool means_workers(const struct invocation *inv)
{
    return inv->args_len > 0 && strchr(inv->args[0], '/') != NULL;
}

int cmd_drain(const struct invocation *inv)
{
    bool drains = strcmp(op_of(inv), "drain") == 0;
    if (means_workers(inv)) {
        SELECTOR_AUTO selector = {0};
        struct reeve_why why = {0};
        enum reeve_err err = selector_read(inv, 0, inv->args_len, &selector, &why);
        if (err == REEVE_OK && inv->args_len > 1) {
            err = reeve_fail(&why, REEVE_INVALID, "one worker at a time: draining is between it and you");
        }
        if (err != REEVE_OK) {
            return output_fail_why(inv, err, &why);
        }
        return act(&(struct intent){.inv = inv, .selector = &selector, .to_itself = true}, drains ? "drain" : "resume");
    }
    REEVE_VALUE_AUTO args = reeve_value_map();
    if (opt_given(inv, OPT_STOP)) {
        reeve_put_bool(args, "stop", true);
    }
    return act_nodes(inv, args);
}
