// show and node show: everything about one worker or one node: the witnesses, the verdict, and what its node adds.
// Must not: fail because the node is away; then it shows what the broker holds.
#include "commands.h"
#include "target.h"
#include "view.h"

#include <reeve/clock.h>
#include <stdlib.h>
#include <string.h>

#define LOG_LINES "10"

struct showing {
    const struct invocation *inv;
    struct site site;
    struct session session;
    struct lookup lookup;
    struct orders describe, logs;
    struct selector selector;
};

static void showing_done(struct showing *showing)
{
    session_done(&showing->session);
    orders_done(&showing->describe);
    orders_done(&showing->logs);
    lookup_done(&showing->lookup);
    selector_done(&showing->selector);
    site_done(&showing->site);
}
#define SHOWING_AUTO __attribute__((cleanup(showing_done))) struct showing

static enum reeve_err begin(struct showing *showing, struct reeve_why *why)
{
    enum reeve_err err = site_load(showing->inv, &showing->site, why);
    if (err == REEVE_OK) {
        err = session_init(&showing->session, &showing->site, why);
    }
    return err == REEVE_OK ? lookup_init(&showing->lookup, &showing->session, why) : err;
}

// `describe` and the last lines, when the node is there to ask. What went wrong stands in the orders.
static enum reeve_err ask_node(struct showing *showing, const char *node, const char *worker, struct reeve_why *why)
{
    const char *root = showing->site.root;
    const char *lines = opt_value(showing->inv, OPT_TAIL);
    struct reeve_value *tail = reeve_value_map();
    struct reeve_value *which = reeve_value_map();
    reeve_put_str(tail, "workers", worker);
    reeve_put_str(tail, "tail", lines != NULL ? lines : LOG_LINES);
    reeve_put_str(which, "workers", worker);
    showing->describe.op = "describe";
    showing->logs.op = "logs";
    enum reeve_err err = orders_add(&showing->describe, root, node, "", which, why);
    enum reeve_err logs_err = orders_add(&showing->logs, root, node, "", tail, why);
    if (err == REEVE_OK && logs_err == REEVE_OK) {
        err = orders_perform(&showing->describe, &showing->session, &showing->lookup, why);
    }
    if (err == REEVE_OK && order_done(showing->describe.items[0])) {
        err = orders_perform(&showing->logs, &showing->session, &showing->lookup, why);
    }
    return err == REEVE_OK ? logs_err : err;
}

static const struct reeve_value *worker_part(const struct orders *orders, const char *worker)
{
    const struct reeve_value *result = orders->len > 0 ? orders->items[0]->result : NULL;
    return reeve_value_get(reeve_value_get(result, "workers"), worker);
}

// ---- one worker, for people -------------------------------------------------------------------------------------

static void heading(struct reeve_buf *out, const char *text, const char *note)
{
    reeve_buf_puts(out, "\n");
    output_colour(out, COLOUR_BOLD, text);
    reeve_buf_printf(out, "%s%s\n", note[0] != '\0' ? "  " : "", note);
}

static void put_record(struct reeve_buf *out, const char *title, const struct reeve_value *record)
{
    heading(out, title, record == NULL ? "(none)" : "");
    view_record(out, record, 1);
}

static void put_lines(struct reeve_buf *out, const struct reeve_value *lines)
{
    heading(out, "last log lines", reeve_value_len(lines) == 0 ? "(none)" : "");
    for (size_t i = 0; i < reeve_value_len(lines); i++) {
        const struct reeve_value *line = reeve_value_at(lines, i);
        const char *text = reeve_get_str(line, "text");
        const char *stream = reeve_get_str(line, "stream");
        reeve_buf_printf(out, "  %s ", stream != NULL && strcmp(stream, "err") == 0 ? "!" : "|");
        output_escape(out, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
        reeve_buf_puts(out, "\n");
    }
}

static void put_lwt(struct reeve_buf *out, const struct reeve_known_worker *worker)
{
    heading(out, "last will", worker->lwt.will ? "" : "(none)");
    if (worker->lwt.will) {
        bool counts = worker->lwt.epoch >= worker->status.epoch;
        reeve_buf_printf(out, "  epoch: %llu%s\n", (unsigned long long)worker->lwt.epoch,
                         counts ? "" : " (of an earlier session: means nothing)");
    }
}

static void put_verdict(struct reeve_buf *out, const struct view_worker *view)
{
    const struct reeve_verdict *verdict = &view->verdict;
    const char *availability = reeve_availability_text(verdict->availability);
    output_colour(out, COLOUR_BOLD, view->worker->node);
    reeve_buf_puts(out, "/");
    output_colour(out, COLOUR_BOLD, view->worker->name);
    reeve_buf_puts(out, "  ");
    output_colour(out, view_state_colour(verdict->state), reeve_state_text(verdict->state));
    reeve_buf_printf(out, "%s%s  (%s%s)\n", availability[0] != '\0' ? " " : "", availability,
                     reeve_source_text(verdict->source), verdict->unsupervised ? ", unsupervised" : "");
    reeve_buf_puts(out, "  ");
    output_escape(out, verdict->why, strlen(verdict->why));
    reeve_buf_puts(out, "\n");
}

static int show_text(const struct showing *showing, const struct view_worker *view)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    const struct reeve_known_worker *worker = view->worker;
    const struct reeve_value *described = worker_part(&showing->describe, worker->name);
    put_verdict(&out, view);
    put_record(&out, "process, says the node", worker->process_record);
    put_record(&out, "status, says the worker", worker->status_record);
    put_lwt(&out, worker);
    put_record(&out, "spec", reeve_value_get(described, "spec"));
    const char *schedule = reeve_get_str(described, "restarts");
    if (schedule != NULL) {
        reeve_buf_printf(&out, "  restarts: %s\n", schedule);
    }
    put_lines(&out, worker_part(&showing->logs, worker->name));
    if (showing->describe.len > 0 && !order_done(showing->describe.items[0])) {
        reeve_buf_puts(&out, "\n");
        output_note("spec and log are not known: %s", showing->describe.items[0]->message);
    }
    return output_write(&out);
}

// ---- one worker, for programs -------------------------------------------------------------------------------------

static void put_copy(struct reeve_value *map, const char *key, const struct reeve_value *value)
{
    (void)reeve_value_put(
        map, key, value != NULL ? reeve_value_clone(value) : reeve_value_null()); /* remembered: reeve_value_built() */
}

static int show_json(const struct showing *showing, const struct view_worker *view)
{
    const struct reeve_known_worker *worker = view->worker;
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_str(map, "node", worker->node);
    reeve_put_str(map, "name", worker->name);
    (void)reeve_value_put(map, "verdict", view_worker_value(view)); /* remembered: reeve_value_built() */
    put_copy(map, "process", worker->process_record);
    put_copy(map, "status", worker->status_record);
    if (worker->lwt.will) {
        struct reeve_value *lwt = reeve_value_map();
        reeve_put_int(lwt, "epoch", (int64_t)worker->lwt.epoch);
        (void)reeve_value_put(map, "lwt", lwt); /* remembered: reeve_value_built() */
    } else {
        put_copy(map, "lwt", NULL);
    }
    put_copy(map, "describe", worker_part(&showing->describe, worker->name));
    put_copy(map, "log", worker_part(&showing->logs, worker->name));
    return output_json(map, false);
}

// A worker that only its node knows (its record has not arrived), or that nobody knows.
static int show_unknown(const struct showing *showing, const char *name)
{
    const struct order *order = showing->describe.items[0];
    int exit_code = orders_exit(&showing->describe);
    if (exit_code != EXIT_DONE) {
        return output_fail(showing->inv, exit_code, "%s", order->message);
    }
    return output_fail(showing->inv, EXIT_REFUSED, "there is no worker '%s'", name);
}

static enum reeve_err find(struct showing *showing, char node[REEVE_NAME_SIZE], const char **ret_worker,
                           struct reeve_why *why)
{
    const char *given;
    enum reeve_err err = selector_read(showing->inv, 0, 1, &showing->selector, why);
    if (err == REEVE_OK && !selector_single(&showing->selector, &given, ret_worker)) {
        err = reeve_fail(why, REEVE_INVALID, "`reeve show` takes one worker, not a glob");
    }
    if (err == REEVE_OK) {
        err = begin(showing, why);
    }
    if (err == REEVE_OK) {
        err = lookup_want_worker(&showing->lookup, given[0] != '\0' ? given : NULL, *ret_worker, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&showing->session, why);
    }
    return err == REEVE_OK ? target_one(&showing->lookup, given, *ret_worker, node, why) : err;
}

int cmd_show(const struct invocation *inv)
{
    SHOWING_AUTO showing = {.inv = inv};
    struct reeve_why why = {0};
    char node[REEVE_NAME_SIZE];
    const char *worker = "";
    enum reeve_err err = find(&showing, node, &worker, &why);
    if (err == REEVE_OK) {
        err = ask_node(&showing, node, worker, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    const struct reeve_known_worker *known = reeve_registry_worker(showing.lookup.registry, node, worker);
    if (known == NULL) {
        return show_unknown(&showing, worker);
    }
    const struct view_worker view = {
        .worker = known,
        .verdict = reeve_registry_verdict(showing.lookup.registry, known, reeve_clock_mono_ms()),
    };
    return opt_given(inv, OPT_JSON) ? show_json(&showing, &view) : show_text(&showing, &view);
}

// ---- one node -----------------------------------------------------------------------------------------------------

static enum reeve_err ask_about_node(struct showing *showing, const char *node, struct reeve_why *why)
{
    enum reeve_err err = lookup_want_nodes(&showing->lookup, node, why);
    if (err == REEVE_OK) {
        err = session_open(&showing->session, why);
    }
    showing->describe.op = "describe";
    if (err == REEVE_OK) {
        err = orders_add(&showing->describe, showing->site.root, node, "", NULL, why);
    }
    return err == REEVE_OK ? orders_perform(&showing->describe, &showing->session, &showing->lookup, why) : err;
}

static int node_json(const struct showing *showing, const struct reeve_known_node *known)
{
    REEVE_VALUE_AUTO map = view_node_value(&showing->lookup, known);
    put_copy(map, "describe", showing->describe.items[0]->result);
    return output_json(map, false);
}

static int node_text(const struct showing *showing, const struct reeve_known_node *known)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    TABLE_AUTO table;
    view_node_table_init(&table);
    view_node_table_add(&table, &showing->lookup, known);
    table_write(&table, output_width(), output_has_colour(), &out);
    put_record(&out, "status", known->record);
    put_record(&out, "the daemon says", showing->describe.items[0]->result);
    return output_write(&out);
}

int cmd_node_show(const struct invocation *inv)
{
    SHOWING_AUTO showing = {.inv = inv};
    struct reeve_why why = {0};
    struct reeve_why reason;
    enum reeve_err err = begin(&showing, &why);
    const char *node = inv->args_len > 0                  ? inv->args[0]
                       : opt_value(inv, OPT_NODE) != NULL ? opt_value(inv, OPT_NODE)
                                                          : showing.site.node;
    if (err == REEVE_OK && reeve_name_check(node, &reason) != REEVE_OK) {
        err = reeve_fail(&why, REEVE_INVALID, "which node? %s", reason.text);
    }
    if (err == REEVE_OK) {
        err = ask_about_node(&showing, node, &why);
    }
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    const struct reeve_known_node *known = reeve_registry_node(showing.lookup.registry, node);
    int exit_code = orders_exit(&showing.describe);
    if (known == NULL) {
        return output_fail(inv, EXIT_AWAY, "%s", showing.describe.items[0]->message);
    }
    int written = opt_given(inv, OPT_JSON) ? node_json(&showing, known) : node_text(&showing, known);
    if (exit_code != EXIT_DONE) {
        output_note("%s", showing.describe.items[0]->message);
    }
    return written != EXIT_DONE ? written : exit_code;
}
