// Rows and records for people and programs; see view.h.
// Must not: print.
#include "view.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

static const char *state_of(const struct reeve_verdict *verdict)
{
    return reeve_state_text(verdict->state);
}

size_t view_select(const struct lookup *lookup, const struct selector *selector, struct view_worker **ret)
{
    const struct reeve_known_worker **workers = NULL;
    size_t len = reeve_registry_workers(lookup->registry, &workers);
    struct view_worker *views = calloc(len + 1, sizeof *views);
    size_t count = 0;
    int64_t now_mono = reeve_clock_mono_ms();
    for (size_t i = 0; views != NULL && i < len; i++) {
        struct reeve_verdict verdict = reeve_registry_verdict(lookup->registry, workers[i], now_mono);
        if (verdict.rule != 0 && selector_fits(selector, workers[i], state_of(&verdict))) {
            views[count++] = (struct view_worker){.worker = workers[i], .verdict = verdict};
        }
    }
    free(workers);
    *ret = views;
    return count;
}

enum colour view_state_colour(enum reeve_state state)
{
    switch (state) {
    case REEVE_STATE_RUNNING:
        return COLOUR_GOOD;
    case REEVE_STATE_STARTING:
    case REEVE_STATE_STOPPING:
    case REEVE_STATE_RESTARTING:
        return COLOUR_WARN;
    case REEVE_STATE_FAILED:
    case REEVE_STATE_LOST:
    case REEVE_STATE_UNKNOWN:
        return COLOUR_BAD;
    case REEVE_STATE_CREATED:
    case REEVE_STATE_STOPPED:
    case REEVE_STATE_COUNT:
        break;
    }
    return COLOUR_DIM;
}

// ---- the table of workers -------------------------------------------------------------------------------------

static const struct table_column plain_columns[] = {
    {"NODE", false}, {"NAME", false}, {"TYPE", false},    {"STATE", false}, {"AVAIL", false},
    {"PID", true},   {"RUN", true},   {"RESTARTS", true}, {"SINCE", true},  {"WHY", false}};
static const struct table_column wide_columns[] = {
    {"NODE", false},  {"NAME", false},     {"TYPE", false},         {"STATE", false},
    {"AVAIL", false}, {"PID", true},       {"RUN", true},           {"RESTARTS", true},
    {"SINCE", true},  {"EXCHANGE", false}, {"CAPABILITIES", false}, {"LABELS", false},
    {"MEMORY", true}, {"CPU", true},       {"PROGRAM", false},      {"WHY", false}};
static const struct table_column use_columns[] = {
    {"NODE", false}, {"NAME", false},  {"TYPE", false}, {"STATE", false},   {"AVAIL", false}, {"PID", true},
    {"CPU%", true},  {"MEMORY", true}, {"JOBS", true},  {"RESTARTS", true}, {"SINCE", true},  {"WHY", false}};

void view_table_init(struct table *table, unsigned flags)
{
    if (flags & VIEW_WIDE) {
        table_init(table, wide_columns, REEVE_ARRAY_LEN(wide_columns));
    } else if (flags & VIEW_USE) {
        table_init(table, use_columns, REEVE_ARRAY_LEN(use_columns));
    } else {
        table_init(table, plain_columns, REEVE_ARRAY_LEN(plain_columns));
    }
}

static void add_number(struct table *table, const struct reeve_value *record, const char *key, bool zero_is_none)
{
    int64_t number = reeve_get_int(record, key, 0);
    if (reeve_value_get(record, key) == NULL || (zero_is_none && number == 0)) {
        table_add(table, COLOUR_DIM, NULL);
    } else {
        table_addf(table, "%" PRId64, number);
    }
}

static void add_age(struct table *table, int64_t at)
{
    char text[REEVE_UNITS_TEXT_LEN];
    int64_t age_ms = reeve_clock_wall_ms() - at;
    table_add(table, COLOUR_NONE, at > 0 ? reeve_duration_human(age_ms > 0 ? age_ms : 0, text) : NULL);
}

static void add_size(struct table *table, int64_t bytes)
{
    char text[REEVE_UNITS_TEXT_LEN];
    table_add(table, COLOUR_NONE, bytes > 0 ? reeve_size_human(bytes, text) : NULL);
}

static const char *type_of(const struct reeve_known_worker *worker)
{
    const char *type = reeve_get_str(worker->process_record, "type");
    return type != NULL ? type : reeve_get_str(worker->status_record, "type");
}

static int64_t since_of(const struct reeve_known_worker *worker)
{
    int64_t since = reeve_get_int(worker->process_record, "since", 0);
    return since != 0 ? since : reeve_get_int(worker->status_record, "started_at", 0);
}

static void add_list(struct table *table, const struct reeve_value *list)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        const char *item = reeve_value_text(reeve_value_at(list, i));
        bool pairs = reeve_value_kind(list) == REEVE_MAP;
        reeve_buf_printf(&text, "%s%s%s%s", i > 0 ? "," : "", pairs ? reeve_value_key(list, i) : "", pairs ? "=" : "",
                         item != NULL ? item : "?");
    }
    table_add(table, COLOUR_NONE, reeve_buf_str(&text));
}

static void add_wide(struct table *table, const struct reeve_value *process)
{
    const struct reeve_value *limits = reeve_value_get(process, "limits");
    double cpus = reeve_value_real(reeve_value_get(limits, "cpus"), 0);
    table_add(table, COLOUR_NONE, reeve_get_str(process, "exchange"));
    add_list(table, reeve_value_get(process, "capabilities"));
    add_list(table, reeve_value_get(process, "labels"));
    add_size(table, reeve_get_int(limits, "memory_bytes", 0));
    if (cpus > 0) {
        table_addf(table, "%g", cpus);
    } else {
        table_add(table, COLOUR_DIM, NULL);
    }
    table_add(table, COLOUR_NONE, reeve_get_str(process, "command"));
}

static void add_use(struct table *table, const struct view_worker *view)
{
    if (view->use.known) {
        table_addf(table, "%.1f", 100 * view->use.cpu);
        add_size(table, view->use.memory_bytes);
    } else {
        table_add(table, COLOUR_DIM, NULL);
        table_add(table, COLOUR_DIM, NULL);
    }
    add_number(table, view->worker->status_record, "jobs", false);
}

void view_table_add(struct table *table, const struct view_worker *view, unsigned flags)
{
    const struct reeve_known_worker *worker = view->worker;
    table_add(table, COLOUR_NONE, worker->node);
    table_add(table, COLOUR_BOLD, worker->name);
    table_add(table, COLOUR_NONE, type_of(worker));
    table_add(table, view_state_colour(view->verdict.state), state_of(&view->verdict));
    table_add(table, COLOUR_NONE, reeve_availability_text(view->verdict.availability));
    add_number(table, worker->process_record != NULL ? worker->process_record : worker->status_record, "pid", true);
    if (flags & VIEW_USE) {
        add_use(table, view);
    } else {
        add_number(table, worker->process_record, "run", true);
    }
    add_number(table, worker->process_record, "restarts", false);
    add_age(table, since_of(worker));
    if (flags & VIEW_WIDE) {
        add_wide(table, worker->process_record);
    }
    table_add(table, COLOUR_NONE, view->verdict.why);
}

// ---- JSON -----------------------------------------------------------------------------------------------------

static void put_copy(struct reeve_value *map, const char *key, const struct reeve_value *value)
{
    if (value != NULL) {
        (void)reeve_value_put(map, key, reeve_value_clone(value)); /* remembered: reeve_value_built() */
    }
}

static void put_verdict(struct reeve_value *map, const struct reeve_verdict *verdict)
{
    reeve_put_str(map, "state", reeve_state_text(verdict->state));
    reeve_put_str_opt(map, "availability", reeve_availability_text(verdict->availability));
    reeve_put_str(map, "source", reeve_source_text(verdict->source));
    if (verdict->unsupervised) {
        reeve_put_bool(map, "unsupervised", true);
    }
    if (verdict->last_known != verdict->state) {
        reeve_put_str(map, "last_known", reeve_state_text(verdict->last_known));
    }
    reeve_put_str_opt(map, "why", verdict->why);
}

struct reeve_value *view_worker_value(const struct view_worker *view)
{
    static const char *const keys[] = {"pid",    "run",  "restarts", "since",        "exchange",      "capabilities",
                                       "labels", "exit", "limits",   "not_enforced", "next_start_at", "desired"};
    const struct reeve_known_worker *worker = view->worker;
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "node", worker->node);
    reeve_put_str(map, "name", worker->name);
    reeve_put_str_opt(map, "type", type_of(worker));
    put_verdict(map, &view->verdict);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        put_copy(map, keys[i], reeve_value_get(worker->process_record, keys[i]));
    }
    put_copy(map, "epoch", reeve_value_get(worker->status_record, "epoch"));
    put_copy(map, "jobs", reeve_value_get(worker->status_record, "jobs"));
    if (view->use.known) {
        (void)reeve_value_put(map, "cpu", reeve_value_float(view->use.cpu)); /* remembered: reeve_value_built() */
        reeve_put_int(map, "memory_bytes", view->use.memory_bytes);
    }
    return map;
}

// ---- nodes ----------------------------------------------------------------------------------------------------

static const struct table_column node_columns[] = {
    {"NODE", false}, {"STATE", false}, {"WORKERS", true},  {"RUNNING", true}, {"FAILED", true},
    {"CPUS", true},  {"MEMORY", true}, {"VERSION", false}, {"UP", true},      {"LIMITS", false}};

void view_node_table_init(struct table *table)
{
    table_init(table, node_columns, REEVE_ARRAY_LEN(node_columns));
}

// What its status says while it lives; otherwise what became of it.
static const char *node_state(const struct lookup *lookup, const struct reeve_known_node *node, enum colour *ret_colour)
{
    enum reeve_liveness liveness = reeve_registry_node_liveness(lookup->registry, node, reeve_clock_mono_ms());
    const char *state = reeve_get_str(node->record, "state");
    *ret_colour = COLOUR_BAD;
    if (liveness == REEVE_LIVE && state != NULL) {
        *ret_colour = strcmp(state, "online") == 0 ? COLOUR_GOOD : COLOUR_WARN;
        return state;
    }
    if (liveness == REEVE_LEFT) {
        *ret_colour = COLOUR_DIM;
        return "offline";
    }
    return reeve_liveness_text(liveness);
}

void view_node_table_add(struct table *table, const struct lookup *lookup, const struct reeve_known_node *node)
{
    enum colour colour;
    const struct reeve_value *workers = reeve_value_get(node->record, "workers");
    const struct reeve_value *capacity = reeve_value_get(node->record, "capacity");
    const char *state = node_state(lookup, node, &colour);
    table_add(table, COLOUR_BOLD, node->name);
    table_add(table, colour, state);
    add_number(table, workers, "total", false);
    add_number(table, workers, "running", false);
    add_number(table, workers, "failed", false);
    add_number(table, capacity, "cpus", true);
    add_size(table, reeve_get_int(capacity, "memory_bytes", 0));
    table_add(table, COLOUR_NONE, reeve_get_str(node->record, "version"));
    add_age(table, reeve_get_int(node->record, "started_at", 0));
    table_add(table, COLOUR_NONE, reeve_get_str(node->record, "limits"));
}

struct reeve_value *view_node_value(const struct lookup *lookup, const struct reeve_known_node *node)
{
    enum colour colour;
    enum reeve_liveness liveness = reeve_registry_node_liveness(lookup->registry, node, reeve_clock_mono_ms());
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "name", node->name);
    reeve_put_str(map, "state", node_state(lookup, node, &colour));
    reeve_put_str(map, "liveness", reeve_liveness_text(liveness));
    put_copy(map, "status", node->record);
    return map;
}

// ---- records ----------------------------------------------------------------------------------------------------

static bool ends_in(const char *key, const char *end)
{
    size_t key_len = strlen(key);
    size_t end_len = strlen(end);
    return key_len >= end_len && strcmp(key + key_len - end_len, end) == 0;
}

static void put_time(struct reeve_buf *out, int64_t at)
{
    char text[REEVE_CLOCK_TEXT_LEN];
    char age[REEVE_UNITS_TEXT_LEN];
    int64_t age_ms = reeve_clock_wall_ms() - at;
    reeve_buf_printf(out, "%s (%s%s%s)", reeve_clock_format(at, text), age_ms < 0 ? "in " : "",
                     reeve_duration_human(age_ms < 0 ? -age_ms : age_ms, age), age_ms < 0 ? "" : " ago");
}

static void put_number(struct reeve_buf *out, const char *key, int64_t number)
{
    char text[REEVE_UNITS_TEXT_LEN];
    if ((ends_in(key, "_at") || strcmp(key, "at") == 0 || strcmp(key, "since") == 0) && number > 0) {
        put_time(out, number);
    } else if (ends_in(key, "_ms")) {
        reeve_buf_puts(out, reeve_duration_human(number, text));
    } else if (ends_in(key, "_bytes")) {
        reeve_buf_puts(out, reeve_size_human(number, text));
    } else {
        reeve_buf_printf(out, "%" PRId64, number);
    }
}

static void put_scalar(struct reeve_buf *out, const char *key, const struct reeve_value *value)
{
    const char *text = reeve_value_text(value);
    if (reeve_value_kind(value) == REEVE_INT) {
        put_number(out, key, reeve_value_number(value, 0));
    } else if (text != NULL) {
        output_escape(out, text, strlen(text));
    } else {
        REEVE_BUF_AUTO json = REEVE_BUF_INIT(64u << 10);
        (void)reeve_json_write(value, 0, &json); /* what can't be written shows as nothing */
        reeve_buf_puts(out, reeve_buf_str(&json));
    }
}

static bool all_scalars(const struct reeve_value *list)
{
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        enum reeve_kind kind = reeve_value_kind(reeve_value_at(list, i));
        if (kind == REEVE_LIST || kind == REEVE_MAP) {
            return false;
        }
    }
    return true;
}

static void put_list(struct reeve_buf *out, const struct reeve_value *list, unsigned depth)
{
    if (all_scalars(list)) {
        for (size_t i = 0; i < reeve_value_len(list); i++) {
            reeve_buf_puts(out, i > 0 ? " " : "");
            put_scalar(out, "", reeve_value_at(list, i));
        }
        reeve_buf_puts(out, "\n");
        return;
    }
    reeve_buf_puts(out, "\n");
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        REEVE_BUF_AUTO json = REEVE_BUF_INIT(64u << 10);
        (void)reeve_json_write(reeve_value_at(list, i), 0, &json); /* what can't be written shows as nothing */
        reeve_buf_printf(out, "%*s- %s\n", (int)(2 * depth + 2), "", reeve_buf_str(&json));
    }
}

void view_record(struct reeve_buf *out, const struct reeve_value *record, unsigned depth)
{
    for (size_t i = 0; i < reeve_value_len(record); i++) {
        const char *key = reeve_value_key(record, i);
        const struct reeve_value *value = reeve_value_at(record, i);
        REEVE_BUF_AUTO shown = REEVE_BUF_INIT(4096);
        output_escape(&shown, key, strlen(key));
        reeve_buf_printf(out, "%*s%s: ", (int)(2 * depth), "", reeve_buf_str(&shown));
        if (reeve_value_kind(value) == REEVE_MAP && depth < 8) {
            reeve_buf_puts(out, "\n");
            view_record(out, value, depth + 1);
        } else if (reeve_value_kind(value) == REEVE_LIST) {
            put_list(out, value, depth);
        } else {
            put_scalar(out, key, value);
            reeve_buf_puts(out, "\n");
        }
    }
}
