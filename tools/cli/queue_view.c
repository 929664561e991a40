// Queues and jobs for people; see queue_view.h.
// Must not: let foreign text reach a terminal unescaped; tables, view_record() and output_print() escape it.
#include "queue_view.h"

#include "fleet_view.h"
#include "follow.h"
#include "view.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/str.h>
#include <reeve/units.h>
#include <string.h>

enum colour queue_state_colour(const char *state)
{
    static const struct {
        const char *text;
        enum colour colour;
    } rows[] = {{"running", COLOUR_GOOD}, {"paused", COLOUR_WARN},    {"draining", COLOUR_WARN},
                {"active", COLOUR_GOOD},  {"completed", COLOUR_NONE}, {"failed", COLOUR_BAD},
                {"unknown", COLOUR_BAD},  {"cancelled", COLOUR_WARN}, {"waiting", COLOUR_NONE},
                {"delayed", COLOUR_DIM}};
    for (size_t i = 0; state != NULL && i < REEVE_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].text, state) == 0) {
            return rows[i].colour;
        }
    }
    return COLOUR_DIM;
}

static void cell_state(struct table *table, const char *state)
{
    table_add(table, queue_state_colour(state), state);
}

static void cell_duration(struct table *table, int64_t ms)
{
    char text[REEVE_UNITS_TEXT_LEN];
    table_add(table, COLOUR_NONE, ms > 0 ? reeve_duration_human(ms, text) : NULL);
}

// "12", "0.4", "-": a rate is a float, or a whole number when it is one.
static void cell_rate(struct table *table, const struct reeve_value *status, const char *key)
{
    double rate = reeve_value_real(reeve_value_get(status, key), 0);
    if (rate <= 0) {
        table_add(table, COLOUR_DIM, NULL);
    } else {
        table_addf(table, rate < 10 ? "%.1f" : "%.0f", rate);
    }
}

// What somebody has to do something about stands out.
static void cell_bad(struct table *table, const struct reeve_value *status, const char *key)
{
    char text[24];
    int64_t number = reeve_get_int(status, key, 0);
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    table_add(table, number > 0 ? COLOUR_BAD : COLOUR_NONE, text);
}

// ---- queues -------------------------------------------------------------------------------------------------------

void queue_table_init(struct table *table)
{
    static const struct table_column columns[] = {
        {"QUEUE", false},  {"STATE", false}, {"WAITING", true}, {"DELAYED", true}, {"ACTIVE", true}, {"FAILED", true},
        {"UNKNOWN", true}, {"OLDEST", true}, {"IN/S", true},    {"OUT/S", true},   {"WORKERS", true}};
    table_init(table, columns, REEVE_ARRAY_LEN(columns));
}

void queue_table_add(struct table *table, const char *name, const struct reeve_value *status)
{
    static const char *const counts[] = {"waiting", "delayed", "active"};
    table_add(table, COLOUR_BOLD, name);
    cell_state(table, reeve_get_str(status, "state"));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(counts); i++) {
        fleet_cell(table, status, counts[i]);
    }
    cell_bad(table, status, "failed");
    cell_bad(table, status, "unknown");
    cell_duration(table, reeve_get_int(status, "oldest_ms", 0));
    cell_rate(table, status, "added_per_s");
    cell_rate(table, status, "completed_per_s");
    fleet_cell(table, status, "workers");
}

static void show_workers(const struct reeve_value *workers)
{
    static const struct table_column columns[] = {
        {"WORKER", false}, {"CAPACITY", true}, {"IN HAND", true}, {"TYPES", false}};
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(workers); i++) {
        const struct reeve_value *worker = reeve_value_at(workers, i);
        table_add(&table, COLOUR_BOLD, reeve_get_str(worker, "worker"));
        fleet_cell(&table, worker, "capacity");
        fleet_cell(&table, worker, "in_hand");
        fleet_cell(&table, worker, "types");
    }
    if (table_rows(&table) > 0) {
        output_print("\n");
        fleet_write(&table, false);
    }
}

void queue_view_show(const char *name, const struct reeve_value *described)
{
    const struct reeve_value *status = reeve_value_get(described, "status");
    const char *state = reeve_get_str(status, "state");
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    output_colour(&out, COLOUR_BOLD, name);
    follow_put_text(&out, state, "  ");
    reeve_buf_puts(&out, "\n");
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
    show_workers(reeve_value_get(described, "workers"));
    REEVE_BUF_AUTO rest = REEVE_BUF_INIT(0);
    fleet_section(&rest, "status", status);
    fleet_section(&rest, "spec", reeve_value_get(described, "spec"));
    (void)output_write(&rest); /* as above */
}

// ---- jobs ---------------------------------------------------------------------------------------------------------

// The time that tells most of a job in its state.
static int64_t time_of(const struct reeve_value *job)
{
    int64_t ended_at = reeve_get_int(job, "ended_at", 0);
    int64_t started_at = reeve_get_int(job, "started_at", 0);
    return ended_at > 0 ? ended_at : started_at > 0 ? started_at : reeve_get_int(job, "added_at", 0);
}

static void cell_progress(struct table *table, const struct reeve_value *job)
{
    double progress = reeve_value_real(reeve_value_get(job, "progress"), -1);
    if (progress < 0) {
        table_add(table, COLOUR_DIM, NULL);
    } else {
        table_addf(table, "%.0f %%", progress * 100);
    }
}

void queue_view_jobs(const struct reeve_value *jobs, bool wide)
{
    static const struct table_column columns[] = {
        {"ID", false},   {"TYPE", false}, {"STATE", false},   {"PRIO", true},    {"ATTEMPT", true},
        {"ADDED", true}, {"SINCE", true}, {"PROGRESS", true}, {"WORKER", false}, {"ERROR", false}};
    TABLE_AUTO table = {0};
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(jobs); i++) {
        const struct reeve_value *job = reeve_value_at(jobs, i);
        table_add(&table, COLOUR_BOLD, reeve_get_str(job, "id"));
        fleet_cell(&table, job, "type");
        cell_state(&table, reeve_get_str(job, "state"));
        fleet_cell(&table, job, "priority");
        fleet_cell(&table, job, "attempt");
        fleet_cell_age(&table, reeve_get_int(job, "added_at", 0));
        fleet_cell_age(&table, time_of(job));
        cell_progress(&table, job);
        fleet_cell(&table, job, "worker");
        fleet_cell(&table, job, "error");
    }
    fleet_write(&table, wide);
}

// A section for what is a tree of its own, so that a payload of one number has a place, too.
static void put_tree(struct reeve_buf *out, const char *title, const struct reeve_value *value)
{
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    enum reeve_kind kind = reeve_value_kind(value);
    if (value == NULL || kind == REEVE_NULL) {
        return;
    }
    if (kind == REEVE_MAP) {
        fleet_section(out, title, value);
    } else if (reeve_json_write(value, 0, &json) == REEVE_OK) { // terminals obey nothing of it
        reeve_buf_printf(out, "\n%s: %s\n", title, reeve_buf_str(&json));
    }
}

void queue_view_job(const struct reeve_value *job)
{
    static const char *const trees[] = {"payload", "checkpoint", "result"};
    const char *id = reeve_get_str(job, "id");
    const char *state = reeve_get_str(job, "state");
    REEVE_VALUE_AUTO plain = reeve_value_clone(job);
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(trees); i++) {
        (void)reeve_value_remove(plain, trees[i]);
    }
    follow_put_text(&out, id != NULL ? id : "?", "job ");
    follow_put_text(&out, state, "  ");
    follow_put_text(&out, reeve_get_str(job, "error"), ": ");
    reeve_buf_puts(&out, "\n");
    view_record(&out, plain, 1);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(trees); i++) {
        put_tree(&out, trees[i], reeve_value_get(job, trees[i]));
    }
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
}

void queue_view_logs(const struct reeve_value *lines, bool timestamps)
{
    for (size_t i = 0; i < reeve_value_len(lines); i++) {
        const struct reeve_value *line = reeve_value_at(lines, i);
        const char *text = reeve_get_str(line, "text");
        REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
        if (timestamps) {
            char at[REEVE_CLOCK_TEXT_LEN];
            reeve_buf_printf(&out, "%s %" PRId64 " ", reeve_clock_format(reeve_get_int(line, "at", 0), at),
                             reeve_get_int(line, "attempt", 0));
        }
        follow_put_text(&out, text != NULL ? text : "", "");
        reeve_buf_puts(&out, "\n");
        (void)output_write(&out); /* as above */
    }
}

// ---- what to do about it --------------------------------------------------------------------------------------------

void queue_advise(const struct order *order, struct reeve_buf *text)
{
    bool of_queue = strcmp(order->orders->op, "enqueue") == 0 || reeve_str_starts(order->message, "no queue");
    if (order->err == REEVE_OK && strcmp(order->code, reeve_err_text(REEVE_NOENT)) == 0 && of_queue) {
        reeve_buf_printf(text, "; `reeve queue create %s` makes it", order->subject);
    }
}
