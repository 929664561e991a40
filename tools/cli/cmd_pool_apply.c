// pool apply: pools from files to the manager. Nothing is sent unless all files are right.
// Must not: look at nodes; whether a pool can be placed is the manager's to say.
#include "ask.h"
#include "commands.h"
#include "fleet_view.h"
#include "mistakes.h"
#include "pool_wait.h"

#include <inttypes.h>
#include <reeve/pool.h>
#include <stdlib.h>

struct applying {
    struct asking asking;
    struct reeve_pools pools;
    struct mistakes mistakes;
    struct orders orders;
};

static void applying_done(struct applying *applying)
{
    orders_done(&applying->orders);
    asking_done(&applying->asking);
    reeve_pools_done(&applying->pools);
    mistakes_done(&applying->mistakes);
}
#define APPLYING_AUTO __attribute__((cleanup(applying_done))) struct applying

// ---- files --------------------------------------------------------------------------------------------------------

// The same name in two files is a mistake of the second.
static void check_twins(struct applying *applying, const struct reeve_pools *more, const char *path)
{
    for (size_t i = 0; i < more->len; i++) {
        for (size_t j = 0; j < applying->pools.len; j++) {
            if (reeve_str_eq(more->items[i].name, applying->pools.items[j].name)) {
                output_note("%s: pool '%s' is defined in another file already", path, more->items[i].name);
                applying->mistakes.errors++;
            }
        }
    }
}

static enum reeve_err append(struct applying *applying, struct reeve_pools *more)
{
    struct reeve_pools *all = &applying->pools;
    struct reeve_pool_spec *items = realloc(all->items, (all->len + more->len + 1) * sizeof *items);
    if (items == NULL) {
        reeve_pools_done(more);
        return REEVE_NOMEM;
    }
    for (size_t i = 0; i < more->len; i++) {
        items[all->len + i] = more->items[i];
    }
    all->items = items;
    all->len += more->len;
    free(more->items);
    *more = (struct reeve_pools){0};
    return REEVE_OK;
}

static enum reeve_err load_file(struct applying *applying, const char *path)
{
    struct reeve_pools more = {0};
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return REEVE_NOMEM;
    }
    enum reeve_err err = reeve_pool_load_file(path, &more, errors);
    mistakes_take(&applying->mistakes, errors);
    applying->mistakes.errors += err != REEVE_OK && errors->errors == 0 ? 1 : 0;
    free(errors);
    if (err != REEVE_OK) {
        return err == REEVE_NOMEM ? err : REEVE_OK;
    }
    check_twins(applying, &more, path);
    return append(applying, &more);
}

static enum reeve_err load_files(struct applying *applying, struct reeve_why *why)
{
    const struct invocation *inv = applying->asking.inv;
    const char *path;
    size_t count = 0;
    enum reeve_err err = REEVE_OK;
    for (size_t at = 0; err == REEVE_OK && (path = opt_next(inv, OPT_FILE, &at)) != NULL; count++) {
        err = load_file(applying, path);
    }
    for (size_t i = 0; err == REEVE_OK && i < inv->args_len; i++, count++) {
        err = load_file(applying, inv->args[i]);
    }
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    if (count == 0) {
        return reeve_fail(why, REEVE_INVALID, "which file? reeve pool apply -f FILE; - is standard input");
    }
    size_t errors = applying->mistakes.errors;
    return errors == 0
               ? REEVE_OK
               : reeve_fail(why, REEVE_INVALID, "%zu mistake%s; nothing was applied", errors, errors == 1 ? "" : "s");
}

// ---- sending ------------------------------------------------------------------------------------------------------

static enum reeve_err add_orders(struct applying *applying, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < applying->pools.len; i++) {
        const struct reeve_pool_spec *pool = &applying->pools.items[i];
        struct reeve_value *args = NULL;
        // Secrets and all: it is what the manager has to know.
        err = reeve_pool_encode(pool, REEVE_ENCODE_SKIP_PRESETS | REEVE_ENCODE_WITH_SECRETS, &args);
        err = err == REEVE_OK
                  ? orders_add_to(&applying->orders, applying->asking.site.root, "pool", pool->name, args, why)
                  : reeve_fail(why, err, "out of memory");
    }
    return err;
}

static enum reeve_err perform(struct applying *applying, struct reeve_why *why)
{
    enum reeve_err err = asking_begin(&applying->asking, applying->asking.inv, why);
    if (err == REEVE_OK) {
        err = asking_open(&applying->asking, why);
    }
    if (err == REEVE_OK) {
        err = add_orders(applying, why);
    }
    return err == REEVE_OK ? orders_perform(&applying->orders, &applying->asking.session, NULL, why) : err;
}

// ---- telling ------------------------------------------------------------------------------------------------------

static void put_changed(const struct reeve_value *changed, struct reeve_buf *out)
{
    for (size_t i = 0; i < reeve_value_len(changed); i++) {
        const char *key = reeve_value_text(reeve_value_at(changed, i));
        reeve_buf_printf(out, "%s%s", i == 0 ? ": " : ", ", key != NULL ? key : "?");
    }
}

// "pool swap: created, version 1" · "changed: template, size; version 2 is rolled out" · "unchanged"
static void print_applied(const struct order *order)
{
    const struct reeve_value *result = order->result;
    const struct reeve_value *changed = reeve_value_get(result, "changed");
    const char *update = reeve_get_str(result, "update");
    int64_t version = reeve_get_int(result, "version", 0);
    bool rolling = update != NULL && !reeve_str_eq(update, "none");
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    if (reeve_get_bool(result, "created", false)) {
        reeve_buf_printf(&text, "created, version %" PRId64, version);
    } else if (reeve_value_len(changed) == 0 && !rolling) {
        reeve_buf_printf(&text, "unchanged, version %" PRId64, version);
    } else {
        reeve_buf_puts(&text, "changed");
        put_changed(changed, &text);
        reeve_buf_printf(&text, rolling ? "; version %" PRId64 " is rolled out" : ", version %" PRId64, version);
    }
    output_print("%s: %s%s\n", order->about, order->orders->dry_run ? "dry run: " : "", reeve_buf_str(&text));
}

static void print_placement(const struct reeve_value *placement)
{
    const char *line = reeve_get_str(placement, "line");
    const struct reeve_value *nodes = reeve_value_get(placement, "nodes");
    if (reeve_value_text(placement) != NULL) {
        line = reeve_value_text(placement);
    }
    if (line != NULL) {
        output_print("  placement: %s\n", line);
    }
    for (size_t i = 0; line == NULL && i < reeve_value_len(nodes); i++) {
        const struct reeve_value *node = reeve_value_at(nodes, i);
        const char *name = reeve_get_str(node, "node");
        const char *reason = reeve_get_str(node, "reason");
        output_print("  %s %s: %s\n", reeve_get_bool(node, "fits", false) ? "fits   " : "does not fit",
                     name != NULL ? name : "?", reason != NULL ? reason : "");
    }
}

static int tell_text(const struct applying *applying)
{
    const struct orders *orders = &applying->orders;
    if (orders->no_wait) {
        orders_print(orders);
        return orders_exit(orders);
    }
    for (size_t i = 0; i < orders->len; i++) {
        const struct order *order = orders->items[i];
        if (order_done(order)) {
            print_applied(order);
            print_placement(reeve_value_get(order->result, "placement"));
        } else {
            const char *phase = order->err == REEVE_OK ? reeve_phase_text(order->phase) : reeve_err_text(order->err);
            output_note("apply %s: %s: %s", order->about, phase, order->message);
        }
    }
    return fflush(stdout) == 0 ? orders_exit(orders) : EXIT_REFUSED;
}

// ---- until they are ready -------------------------------------------------------------------------------------------

static int read_goal(struct applying *applying, const char *name, struct pool_goal *ret)
{
    REEVE_VALUE_AUTO described = NULL;
    int exit_code = asking_read(&applying->asking, "pool", name, "describe", NULL, &described);
    const struct reeve_value *status = reeve_value_get(described, "status");
    (void)snprintf(ret->pool, sizeof ret->pool, "%s", name);
    ret->version = reeve_get_int(status, "version", 0);
    ret->size = reeve_get_int(status, "size", -1);
    return exit_code;
}

static int wait_for(struct applying *applying, struct pool_goal *goals, size_t len)
{
    const struct invocation *inv = applying->asking.inv;
    struct reeve_why why = {0};
    for (size_t i = 0; i < len; i++) {
        int exit_code = read_goal(applying, applying->pools.items[i].name, &goals[i]);
        if (exit_code != EXIT_DONE) {
            return exit_code;
        }
    }
    enum reeve_err err = pool_wait(inv, &applying->asking.session, goals, len, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    for (size_t i = 0; !opt_given(inv, OPT_JSON) && i < len; i++) {
        output_print("pool %s: %" PRId64 " ready\n", goals[i].pool, goals[i].size);
    }
    return EXIT_DONE;
}

static int wait_ready(struct applying *applying)
{
    struct pool_goal *goals = calloc(applying->pools.len + 1, sizeof *goals);
    if (goals == NULL) {
        return output_fail(applying->asking.inv, EXIT_REFUSED, "out of memory");
    }
    int exit_code = wait_for(applying, goals, applying->pools.len);
    free(goals);
    return exit_code;
}

static int tell(struct applying *applying)
{
    const struct invocation *inv = applying->asking.inv;
    bool json = opt_given(inv, OPT_JSON);
    int exit_code = json ? orders_exit(&applying->orders) : tell_text(applying);
    if (exit_code == EXIT_DONE && opt_given(inv, OPT_WAIT) && !applying->orders.dry_run && !applying->orders.no_wait) {
        exit_code = wait_ready(applying);
    }
    if (!json) {
        return fflush(stdout) == 0 ? exit_code : EXIT_REFUSED;
    }
    REEVE_VALUE_AUTO value = orders_value(&applying->orders);
    int written = output_json(value, false);
    return written != EXIT_DONE ? written : exit_code;
}

int cmd_pool_apply(const struct invocation *inv)
{
    APPLYING_AUTO applying = {
        .asking = {.inv = inv},
        .orders = {.op = "apply", .dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)}};
    struct reeve_why why = {0};
    mistakes_init(&applying.mistakes);
    enum reeve_err err = load_files(&applying, &why);
    if (err != REEVE_OK) {
        return mistakes_fail(inv, &applying.mistakes, err, &why);
    }
    if (opt_given(inv, OPT_PRINT_MQTT)) {
        err = site_load(inv, &applying.asking.site, &why);
        err = err == REEVE_OK ? add_orders(&applying, &why) : err;
        return err == REEVE_OK ? orders_print_mqtt(inv, &applying.asking.site, &applying.orders)
                               : output_fail_why(inv, err, &why);
    }
    err = perform(&applying, &why);
    return err == REEVE_OK ? tell(&applying) : output_fail_why(inv, err, &why);
}
