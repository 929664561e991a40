// queue create, queue update: specs of queues from files and options to the manager. `create` asks first what would
// change: a queue that is there and says something else is not overwritten by somebody who thinks that it is new. Must
// not: send anything unless all files are right.
#include "ask.h"
#include "commands.h"
#include "job_args.h"
#include "queue_args.h"
#include "queue_view.h"

#include <stdlib.h>
#include <string.h>

struct applying {
    struct asking asking;
    struct queue_items queues;
    struct mistakes mistakes;
    struct orders orders;
};

static void applying_done(struct applying *applying)
{
    orders_done(&applying->orders);
    asking_done(&applying->asking);
    queue_items_done(&applying->queues);
    mistakes_done(&applying->mistakes);
}
#define APPLYING_AUTO __attribute__((cleanup(applying_done))) struct applying

static bool is_create(const struct invocation *inv)
{
    return strcmp(inv->command->name, "queue create") == 0;
}

// Options alone say what is to change of a queue that is there.
static bool changes_some(const struct invocation *inv)
{
    return !is_create(inv) && !opt_given(inv, OPT_FILE);
}

// ---- what is wanted
// ---------------------------------------------------------------------------------------------------

static enum reeve_err read_wanted(struct applying *applying, struct reeve_why *why)
{
    const struct invocation *inv = applying->asking.inv;
    REEVE_VALUE_AUTO options = reeve_value_map();
    enum reeve_err err = inv->args_len > 0 ? job_args_queue(inv, why) : REEVE_OK;
    if (err != REEVE_OK) {
        return err;
    }
    if (opt_given(inv, OPT_FILE)) {
        return queue_args_files(inv, &applying->mistakes, &applying->queues, why);
    }
    if (inv->args_len == 0) {
        return reeve_fail(why, REEVE_INVALID, "which queue? reeve %s QUEUE, or --file", inv->command->name);
    }
    if (is_create(inv)) {
        return queue_args_one(inv, inv->args[0], NULL, &applying->queues, why);
    }
    err = queue_args_options(inv, options, why); // the rest is known when the manager has told its spec
    return err == REEVE_OK && reeve_value_len(options) == 0
               ? reeve_fail(why, REEVE_INVALID, "what is to change? give options such as --rate 100/1s, or --file")
               : err;
}

// The exit code; what went wrong was told.
static int read_current(struct applying *applying)
{
    const struct invocation *inv = applying->asking.inv;
    ORDERS_AUTO orders = {0};
    struct reeve_why why = {0};
    enum reeve_err err = asking_order(&applying->asking, "queue", inv->args[0], "describe", NULL, &orders, &why);
    if (err == REEVE_OK && orders_exit(&orders) != EXIT_DONE) {
        return asking_fail(inv, &orders, queue_advise);
    }
    if (err == REEVE_OK) {
        err = queue_args_one(inv, inv->args[0], reeve_value_get(orders.items[0]->result, "spec"), &applying->queues,
                             &why);
    }
    return err == REEVE_OK ? EXIT_DONE : output_fail_why(inv, err, &why);
}

// ---- sending
// ----------------------------------------------------------------------------------------------------------

static enum reeve_err add_orders(const struct applying *applying, struct orders *orders, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < applying->queues.len; i++) {
        const struct queue_item *queue = &applying->queues.items[i];
        err = orders_add_to(orders, applying->asking.site.root, "queue", queue->name, reeve_value_clone(queue->spec),
                            why);
    }
    return err;
}

static enum reeve_err perform(struct applying *applying, struct orders *orders, struct reeve_why *why)
{
    enum reeve_err err = add_orders(applying, orders, why);
    return err == REEVE_OK ? orders_perform(orders, &applying->asking.session, NULL, why) : err;
}

static void put_changed(const struct reeve_value *changed, struct reeve_buf *out)
{
    for (size_t i = 0; i < reeve_value_len(changed); i++) {
        const char *key = reeve_value_text(reeve_value_at(changed, i));
        reeve_buf_printf(out, "%s%s", i == 0 ? "" : ", ", key != NULL ? key : "?");
    }
}

// All of them are new, or say what is asked for already.
static int check_new(struct applying *applying)
{
    const struct invocation *inv = applying->asking.inv;
    ORDERS_AUTO orders = {.op = "apply", .dry_run = true};
    struct reeve_why why = {0};
    enum reeve_err err = perform(applying, &orders, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    for (size_t i = 0; i < orders.len; i++) {
        const struct order *order = orders.items[i];
        const struct reeve_value *changed = reeve_value_get(order->result, "changed");
        if (order_done(order) && !reeve_get_bool(order->result, "created", true) && reeve_value_len(changed) > 0) {
            REEVE_BUF_AUTO keys = REEVE_BUF_INIT(4096);
            put_changed(changed, &keys);
            return output_fail(inv, EXIT_REFUSED,
                               "queue %s is there already and differs in %s; `reeve queue update` changes it",
                               order->subject, reeve_buf_str(&keys));
        }
    }
    return EXIT_DONE;
}

// ---- telling
// ----------------------------------------------------------------------------------------------------------

static void print_applied(const struct order *order)
{
    const struct reeve_value *changed = reeve_value_get(order->result, "changed");
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    if (reeve_get_bool(order->result, "created", false)) {
        reeve_buf_puts(&text, "created");
    } else if (reeve_value_len(changed) == 0) {
        reeve_buf_puts(&text, "unchanged");
    } else {
        reeve_buf_puts(&text, "changed: ");
        put_changed(changed, &text);
    }
    output_print("%s: %s%s\n", order->about, order->orders->dry_run ? "dry run: " : "", reeve_buf_str(&text));
}

static int tell(const struct applying *applying)
{
    const struct orders *orders = &applying->orders;
    if (opt_given(applying->asking.inv, OPT_JSON)) {
        REEVE_VALUE_AUTO value = orders_value(orders);
        int written = output_json(value, false);
        return written != EXIT_DONE ? written : orders_exit(orders);
    }
    for (size_t i = 0; !orders->no_wait && i < orders->len; i++) {
        const struct order *order = orders->items[i];
        if (order_done(order)) {
            print_applied(order);
        } else {
            const char *phase = order->err == REEVE_OK ? reeve_phase_text(order->phase) : reeve_err_text(order->err);
            output_note("apply %s: %s: %s", order->about, phase, order->message);
        }
    }
    if (orders->no_wait) {
        orders_print(orders);
    }
    return fflush(stdout) == 0 ? orders_exit(orders) : EXIT_REFUSED;
}

static int print_mqtt(struct applying *applying)
{
    const struct invocation *inv = applying->asking.inv;
    struct reeve_why why = {0};
    if (changes_some(inv)) {
        return output_fail(inv, EXIT_USAGE, "--print-mqtt needs the whole spec: `apply` replaces it; give --file, too");
    }
    enum reeve_err err = site_load(inv, &applying->asking.site, &why);
    err = err == REEVE_OK ? add_orders(applying, &applying->orders, &why) : err;
    return err == REEVE_OK ? orders_print_mqtt(inv, &applying->asking.site, &applying->orders)
                           : output_fail_why(inv, err, &why);
}

int cmd_queue_apply(const struct invocation *inv)
{
    APPLYING_AUTO applying = {
        .asking = {.inv = inv},
        .orders = {.op = "apply", .dry_run = opt_given(inv, OPT_DRY_RUN), .no_wait = opt_given(inv, OPT_NO_WAIT)}};
    struct reeve_why why = {0};
    mistakes_init(&applying.mistakes);
    enum reeve_err err = read_wanted(&applying, &why);
    if (err != REEVE_OK) {
        return mistakes_fail(inv, &applying.mistakes, err, &why);
    }
    if (opt_given(inv, OPT_PRINT_MQTT)) {
        return print_mqtt(&applying);
    }
    err = asking_begin(&applying.asking, inv, &why);
    if (err == REEVE_OK) {
        err = asking_open(&applying.asking, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    int exit_code = changes_some(inv) ? read_current(&applying) : is_create(inv) ? check_new(&applying) : EXIT_DONE;
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    err = perform(&applying, &applying.orders, &why);
    return err == REEVE_OK ? tell(&applying) : output_fail_why(inv, err, &why);
}
