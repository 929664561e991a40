// Tables and sections of what the manager says; see fleet_view.h.
// Must not: let foreign text reach a terminal unescaped; tables and output_print() escape it.
#include "fleet_view.h"

#include "view.h"

#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/units.h>
#include <string.h>

// ---- cells --------------------------------------------------------------------------------------------------------

static void add_number(struct table *table, int64_t number)
{
    table_addf(table, "%" PRId64, number);
}

static const char *join(const struct reeve_value *container, struct reeve_buf *out)
{
    bool pairs = reeve_value_kind(container) == REEVE_MAP;
    for (size_t i = 0; i < reeve_value_len(container); i++) {
        const char *text = reeve_value_text(reeve_value_at(container, i));
        reeve_buf_printf(out, "%s%s%s%s", i > 0 ? "," : "", pairs ? reeve_value_key(container, i) : "",
                         pairs ? "=" : "", text != NULL ? text : "?");
    }
    return reeve_buf_str(out);
}

void fleet_cell(struct table *table, const struct reeve_value *record, const char *key)
{
    const struct reeve_value *value = reeve_value_get(record, key);
    REEVE_BUF_AUTO joined = REEVE_BUF_INIT(4096);
    switch (reeve_value_kind(value)) {
    case REEVE_INT:
        add_number(table, reeve_value_number(value, 0));
        return;
    case REEVE_BOOL:
        table_add(table, COLOUR_NONE, reeve_value_truth(value, false) ? "yes" : "no");
        return;
    case REEVE_LIST:
    case REEVE_MAP:
        table_add(table, COLOUR_NONE, join(value, &joined));
        return;
    case REEVE_FLOAT:
        table_addf(table, "%g", reeve_value_real(value, 0));
        return;
    case REEVE_STR:
    case REEVE_NULL:
    case REEVE_BIN:
        break;
    }
    table_add(table, COLOUR_NONE, reeve_value_text(value));
}

enum colour fleet_state_colour(const char *state)
{
    static const struct {
        const char *text;
        enum colour colour;
    } rows[] = {{"running", COLOUR_GOOD},  {"online", COLOUR_GOOD},     {"healthy", COLOUR_GOOD},
                {"ready", COLOUR_GOOD},    {"done", COLOUR_GOOD},       {"starting", COLOUR_WARN},
                {"stopping", COLOUR_WARN}, {"restarting", COLOUR_WARN}, {"warning", COLOUR_WARN},
                {"failed", COLOUR_BAD},    {"lost", COLOUR_BAD},        {"unhealthy", COLOUR_BAD},
                {"dead", COLOUR_BAD},      {"error", COLOUR_BAD},       {"invalid", COLOUR_BAD},
                {"unknown", COLOUR_BAD},   {"stale", COLOUR_BAD}};
    for (size_t i = 0; state != NULL && i < REEVE_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].text, state) == 0) {
            return rows[i].colour;
        }
    }
    return COLOUR_DIM;
}

void fleet_cell_state(struct table *table, const char *state)
{
    table_add(table, fleet_state_colour(state), state);
}

void fleet_cell_age(struct table *table, int64_t at)
{
    char text[REEVE_UNITS_TEXT_LEN];
    int64_t age_ms = reeve_clock_wall_ms() - at;
    table_add(table, COLOUR_NONE, at > 0 ? reeve_duration_human(age_ms > 0 ? age_ms : 0, text) : NULL);
}

void fleet_write(struct table *table, bool wide)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    table_write(table, wide ? 0 : output_width(), output_has_colour(), &out);
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
}

// ---- verdicts -----------------------------------------------------------------------------------------------------

static const struct table_column plain_columns[] = {
    {"NODE", false}, {"NAME", false}, {"TYPE", false},    {"STATE", false}, {"AVAIL", false}, {"HEALTH", false},
    {"POOL", false}, {"JOBS", true},  {"RESTARTS", true}, {"SINCE", true},  {"WHY", false}};
static const struct table_column wide_columns[] = {
    {"NODE", false},         {"NAME", false},     {"TYPE", false},    {"STATE", false},   {"AVAIL", false},
    {"HEALTH", false},       {"POOL", false},     {"JOBS", true},     {"RESTARTS", true}, {"SINCE", true},
    {"REGION", false},       {"EXCHANGE", false}, {"ACCOUNT", false}, {"PID", true},      {"RUN", true},
    {"CAPABILITIES", false}, {"LABELS", false},   {"HOLD", false},    {"WHY", false}};

static void add_verdict(struct table *table, const struct reeve_value *verdict, bool wide)
{
    static const char *const more[] = {"region", "exchange", "account", "pid", "run", "capabilities", "labels"};
    fleet_cell(table, verdict, "node");
    table_add(table, COLOUR_BOLD, reeve_get_str(verdict, "worker"));
    fleet_cell(table, verdict, "type");
    fleet_cell_state(table, reeve_get_str(verdict, "state"));
    fleet_cell(table, verdict, "availability");
    fleet_cell_state(table, reeve_get_str(verdict, "health"));
    fleet_cell(table, verdict, "pool");
    fleet_cell(table, verdict, "jobs");
    fleet_cell(table, verdict, "restarts");
    fleet_cell_age(table, reeve_get_int(verdict, "since", 0));
    for (size_t i = 0; wide && i < REEVE_ARRAY_LEN(more); i++) {
        fleet_cell(table, verdict, more[i]);
    }
    if (wide) {
        fleet_cell(table, reeve_value_get(verdict, "hold"), "kind");
    }
    fleet_cell(table, verdict, "why");
}

void fleet_view_verdicts(const struct reeve_value *list, bool wide)
{
    TABLE_AUTO table = {0};
    table_init(&table, wide ? wide_columns : plain_columns,
               wide ? REEVE_ARRAY_LEN(wide_columns) : REEVE_ARRAY_LEN(plain_columns));
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        add_verdict(&table, reeve_value_at(list, i), wide);
    }
    fleet_write(&table, wide);
}

void fleet_view_names(const struct reeve_value *list)
{
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        const char *node = reeve_get_str(reeve_value_at(list, i), "node");
        const char *name = reeve_get_str(reeve_value_at(list, i), "worker");
        output_print("%s/%s\n", node != NULL ? node : "?", name != NULL ? name : "?");
    }
}

// ---- sections -----------------------------------------------------------------------------------------------------

void fleet_section(struct reeve_buf *out, const char *title, const struct reeve_value *record)
{
    if (reeve_value_len(record) == 0) {
        return;
    }
    reeve_buf_puts(out, "\n");
    output_colour(out, COLOUR_BOLD, title);
    reeve_buf_puts(out, "\n");
    view_record(out, record, 1);
}

static void put_text(struct reeve_buf *out, enum colour colour, const char *text)
{
    REEVE_BUF_AUTO escaped = REEVE_BUF_INIT(8192);
    output_escape(&escaped, text, strlen(text));
    output_colour(out, colour, reeve_buf_str(&escaped));
}

static void put_pair(struct reeve_buf *out, const struct reeve_value *record, const char *key, enum colour colour)
{
    const char *text = reeve_get_str(record, key);
    if (text != NULL) {
        reeve_buf_puts(out, " ");
        put_text(out, colour != COLOUR_NONE ? colour : fleet_state_colour(text), text);
    }
}

static void put_checks(struct reeve_buf *out, const struct reeve_value *checks)
{
    for (size_t i = 0; i < reeve_value_len(checks); i++) {
        const struct reeve_value *check = reeve_value_at(checks, i);
        const char *name = reeve_get_str(check, "name");
        const char *message = reeve_get_str(check, "message");
        bool ok = reeve_get_bool(check, "ok", true);
        reeve_buf_puts(out, "  ");
        output_colour(out, ok ? COLOUR_GOOD : COLOUR_BAD, ok ? "ok  " : "fail");
        reeve_buf_puts(out, "  ");
        put_text(out, COLOUR_NONE, name != NULL ? name : "?");
        reeve_buf_puts(out, message != NULL ? ": " : "");
        put_text(out, COLOUR_NONE, message != NULL ? message : "");
        reeve_buf_puts(out, "\n");
    }
}

void fleet_view_worker(const struct reeve_value *shown)
{
    static const struct {
        const char *key, *title;
    } parts[] = {{"hold", "held by a person"},
                 {"pool", "pool"},
                 {"account", "account"},
                 {"process", "process, says the node"},
                 {"status", "status, says the worker"}};
    const struct reeve_value *verdict = reeve_value_get(shown, "verdict");
    const struct reeve_value *health = reeve_value_get(shown, "health");
    const struct reeve_value *alarms = reeve_value_get(shown, "alarms");
    const char *node = reeve_get_str(verdict, "node");
    const char *why = reeve_get_str(verdict, "why");
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    put_text(&out, COLOUR_BOLD, node != NULL ? node : "?");
    reeve_buf_puts(&out, "/");
    put_text(&out, COLOUR_BOLD, reeve_get_str(verdict, "worker") != NULL ? reeve_get_str(verdict, "worker") : "?");
    put_pair(&out, verdict, "state", COLOUR_NONE);
    put_pair(&out, verdict, "availability", COLOUR_BOLD);
    put_pair(&out, health, "health", COLOUR_NONE);
    reeve_buf_puts(&out, "\n  ");
    put_text(&out, COLOUR_NONE, why != NULL ? why : "");
    reeve_buf_puts(&out, "\n");
    fleet_section(&out, "verdict", verdict);
    if (reeve_value_len(reeve_value_get(health, "checks")) > 0) {
        reeve_buf_puts(&out, "\n");
        output_colour(&out, COLOUR_BOLD, "health");
        reeve_buf_puts(&out, "\n");
        put_checks(&out, reeve_value_get(health, "checks"));
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        fleet_section(&out, parts[i].title, reeve_value_get(shown, parts[i].key));
    }
    (void)output_write(&out); /* a failure shows when stdout is flushed at the end */
    if (reeve_value_len(alarms) > 0) {
        output_print("\n");
        fleet_view_alarms(alarms);
    }
}

// ---- statistics ---------------------------------------------------------------------------------------------------

static void stats_table(const struct reeve_value *groups, const char *title)
{
    const struct table_column columns[] = {
        {title, false}, {"TOTAL", true}, {"ALIVE", true}, {"IDLE", true}, {"PROCESSING", true}};
    static const char *const keys[] = {"total", "alive", "idle", "processing"};
    TABLE_AUTO table = {0};
    bool says_nothing = reeve_value_len(groups) == 1 && strcmp(reeve_value_key(groups, 0), "none") == 0;
    if (reeve_value_len(groups) == 0 || says_nothing) {
        return;
    }
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(groups); i++) {
        table_add(&table, COLOUR_BOLD, reeve_value_key(groups, i));
        for (size_t k = 0; k < REEVE_ARRAY_LEN(keys); k++) {
            fleet_cell(&table, reeve_value_at(groups, i), keys[k]);
        }
    }
    output_print("\n");
    fleet_write(&table, false);
}

void fleet_view_stats(const struct reeve_value *stats)
{
    static const char *const totals[] = {"alive",  "online",   "offline", "idle", "processing",
                                         "paused", "draining", "expired", "lost", "unknown"};
    static const struct {
        const char *key, *title;
    } groups[] = {{"by_type", "TYPE"},   {"by_exchange", "EXCHANGE"}, {"by_region", "REGION"},
                  {"by_state", "STATE"}, {"by_node", "NODE"},         {"by_pool", "POOL"}};
    int64_t total = reeve_get_int(stats, "total", 0);
    output_print("%" PRId64 " worker%s:", total, total == 1 ? "" : "s");
    for (size_t i = 0, told = 0; i < REEVE_ARRAY_LEN(totals); i++) {
        int64_t number = reeve_get_int(stats, totals[i], 0);
        if (number > 0 || i == 0) {
            output_print("%s %" PRId64 " %s", told++ > 0 ? "," : "", number, totals[i]);
        }
    }
    output_print("\n");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(groups); i++) {
        stats_table(reeve_value_get(stats, groups[i].key), groups[i].title);
    }
}

// ---- health -------------------------------------------------------------------------------------------------------

// The messages of the checks that fail, or their names.
static void add_failing(struct table *table, const struct reeve_value *checks)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(8192);
    size_t told = 0;
    for (size_t i = 0; i < reeve_value_len(checks); i++) {
        const struct reeve_value *check = reeve_value_at(checks, i);
        const char *name = reeve_get_str(check, "name");
        const char *message = reeve_get_str(check, "message");
        if (!reeve_get_bool(check, "ok", true)) {
            reeve_buf_printf(&text, "%s%s%s%s", told++ > 0 ? "; " : "", name != NULL ? name : "?",
                             message != NULL ? ": " : "", message != NULL ? message : "");
        }
    }
    table_add(table, COLOUR_NONE, reeve_buf_str(&text));
}

void fleet_view_health(const struct reeve_value *health)
{
    static const struct table_column columns[] = {
        {"NODE", false}, {"NAME", false}, {"HEALTH", false}, {"FAILING", false}};
    const struct reeve_value *workers = reeve_value_get(health, "workers");
    TABLE_AUTO table = {0};
    output_print("%" PRId64 " healthy, %" PRId64 " warning, %" PRId64 " unhealthy, %" PRId64 " unknown\n",
                 reeve_get_int(health, "healthy", 0), reeve_get_int(health, "warning", 0),
                 reeve_get_int(health, "unhealthy", 0), reeve_get_int(health, "unknown", 0));
    if (reeve_value_len(workers) == 0) {
        return;
    }
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(workers); i++) {
        const struct reeve_value *worker = reeve_value_at(workers, i);
        fleet_cell(&table, worker, "node");
        table_add(&table, COLOUR_BOLD, reeve_get_str(worker, "worker"));
        fleet_cell_state(&table, reeve_get_str(worker, "health"));
        add_failing(&table, reeve_value_get(worker, "checks"));
    }
    output_print("\n");
    fleet_write(&table, false);
}

// ---- alarms -------------------------------------------------------------------------------------------------------

void fleet_view_alarms(const struct reeve_value *list)
{
    static const struct table_column columns[] = {{"KIND", false},   {"SUBJECT", false}, {"SEVERITY", false},
                                                  {"COUNT", true},   {"SINCE", true},    {"SEEN BY", false},
                                                  {"MESSAGE", false}};
    TABLE_AUTO table = {0};
    if (reeve_value_len(list) == 0) {
        output_print("no alarms\n");
        return;
    }
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        const struct reeve_value *alarm = reeve_value_at(list, i);
        table_add(&table, COLOUR_BOLD, reeve_get_str(alarm, "kind"));
        fleet_cell(&table, alarm, "subject");
        fleet_cell_state(&table, reeve_get_str(alarm, "severity"));
        fleet_cell(&table, alarm, "count");
        fleet_cell_age(&table, reeve_get_int(alarm, "opened_at", 0));
        fleet_cell(&table, alarm, "acknowledged_by");
        fleet_cell(&table, alarm, "message");
    }
    fleet_write(&table, false);
}

// ---- what did not work --------------------------------------------------------------------------------------------

void fleet_view_failures(const struct reeve_value *entries, const char *key, const char *good)
{
    for (size_t i = 0; i < reeve_value_len(entries); i++) {
        const struct reeve_value *entry = reeve_value_at(entries, i);
        const char *what = reeve_get_str(entry, key);
        const char *message = reeve_get_str(entry, "message");
        if (what == NULL) { // a bare text: the message itself
            message = reeve_value_text(entry);
        } else if (strcmp(what, good) == 0) {
            continue;
        }
        output_print("%s: %s%s%s\n", reeve_value_key(entries, i), what != NULL ? what : "",
                     what != NULL && message != NULL ? ": " : "", message != NULL ? message : "");
    }
}
