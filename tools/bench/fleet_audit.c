// The audit of a fleet: `stats`, every page of `list`, and the verdicts that a subscriber has, against the simulation.
// Must not: be patient for ever, or let one worker pass that is missing, doubled or wrong.
#include "fleet.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 200 // between two looks

struct audit {
    struct fleet_bench *fleet;
    uint8_t *told; // by worker: how often `list` named it
    int64_t missing, surplus, wrong, wrong_totals;
    char first[200]; // the first thing that was wrong
};

static const struct {
    enum reeve_state state;
    const char *total; // of `stats`: how many
} expectations[] = {[SIMULATED_UNBORN] = {REEVE_STATE_UNKNOWN, "unknown"},
                    [SIMULATED_RUNNING] = {REEVE_STATE_RUNNING, "online"},
                    [SIMULATED_MUTE] = {REEVE_STATE_LOST, "lost"},
                    [SIMULATED_STOPPED] = {REEVE_STATE_STOPPED, "stopped"}};

static enum simulated_state truth_of(const struct fleet_bench *fleet, int worker)
{
    return (enum simulated_state)atomic_load(&fleet->truth->workers[worker].state);
}

int64_t fleet_count(const struct fleet_bench *fleet, enum simulated_state state)
{
    int64_t count = 0;
    for (int i = 0; i < fleet->options->workers; i++) {
        count += truth_of(fleet, i) == state ? 1 : 0;
    }
    return count;
}

static void note(struct audit *audit, int64_t *counter, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void note(struct audit *audit, int64_t *counter, const char *fmt, ...)
{
    va_list ap;
    ++*counter;
    va_start(ap, fmt);
    if (audit->first[0] == '\0') {
        (void)vsnprintf(audit->first, sizeof audit->first, fmt, ap); // cut
    }
    va_end(ap);
}

static void check_verdict(struct audit *audit, int worker, const char *where, enum reeve_state state,
                          enum reeve_availability availability)
{
    char name[REEVE_NAME_SIZE];
    enum reeve_state expected = expectations[truth_of(audit->fleet, worker)].state;
    (void)simulated_worker(worker, (int)audit->fleet->options->nodes, name);
    if (state != expected) {
        note(audit, &audit->wrong, "%s says that %s is %s; it is %s", where, name, reeve_state_text(state),
             reeve_state_text(expected));
    } else if (expected == REEVE_STATE_RUNNING &&
               availability !=
                   (simulated_processing(worker) ? REEVE_AVAILABILITY_PROCESSING : REEVE_AVAILABILITY_IDLE)) {
        note(audit, &audit->wrong, "%s says that %s, which is running, is '%s'", where, name,
             reeve_availability_text(availability));
    }
}

// ---- what a subscriber has ------------------------------------------------------------------------------------

static void check_retained(struct audit *audit)
{
    const struct fleet_bench *fleet = audit->fleet;
    char name[REEVE_NAME_SIZE];
    for (int i = 0; i < fleet->options->workers; i++) {
        const struct fleet_seen *seen = &fleet->seen[i];
        if (!seen->present) {
            note(audit, &audit->missing, "no verdict was published for %s",
                 simulated_worker(i, (int)fleet->options->nodes, name));
        } else {
            check_verdict(audit, i, "a retained verdict", seen->state, seen->availability);
        }
    }
    if (fleet->strangers > 0) {
        note(audit, &audit->surplus, "%llu verdicts about workers that do not exist",
             (unsigned long long)fleet->strangers);
    }
}

// ---- list -----------------------------------------------------------------------------------------------------

static void check_row(struct audit *audit, const struct reeve_value *row)
{
    char key[SIMULATED_KEY_SIZE];
    enum reeve_state state = REEVE_STATE_UNKNOWN;
    enum reeve_availability availability = REEVE_AVAILABILITY_NONE;
    const char *node = reeve_get_str(row, "node"), *worker = reeve_get_str(row, "worker");
    const char *state_text = reeve_get_str(row, "state"), *availability_text = reeve_get_str(row, "availability");
    (void)snprintf(key, sizeof key, "%s/%s", node != NULL ? node : "", worker != NULL ? worker : "");
    const struct fleet_seen *seen = reeve_map_get(audit->fleet->by_key, key);
    if (seen == NULL) {
        note(audit, &audit->surplus, "`list` has %s, which does not exist", key);
        return;
    }
    size_t number = (size_t)(seen - audit->fleet->seen);
    if (audit->told[number]++ > 0) {
        note(audit, &audit->surplus, "`list` has %s twice", key);
    }
    if (state_text == NULL || !reeve_state_parse(state_text, &state)) {
        note(audit, &audit->wrong, "`list` has %s without a state", key);
        return;
    }
    if (availability_text != NULL && !reeve_availability_parse(availability_text, &availability)) {
        availability = REEVE_AVAILABILITY_NONE;
    }
    check_verdict(audit, (int)number, "`list`", state, availability);
}

static enum reeve_err check_page(struct audit *audit, int64_t offset, int64_t *ret_rows, struct reeve_why *why)
{
    REEVE_VALUE_AUTO result = NULL;
    struct reeve_value *args = reeve_value_map();
    reeve_put_bool(args, "offline", true);
    reeve_put_bool(args, "all", true);
    reeve_put_int(args, "offset", offset);
    reeve_put_int(args, "limit", FLEET_PAGE);
    enum reeve_err err = fleet_do(audit->fleet, "list", args, NULL, &result, why);
    const struct reeve_value *rows = reeve_value_get(result, "workers");
    for (size_t i = 0; i < reeve_value_len(rows); i++) {
        check_row(audit, reeve_value_at(rows, i));
    }
    *ret_rows = (int64_t)reeve_value_len(rows);
    return err;
}

static enum reeve_err check_list(struct audit *audit, struct reeve_why *why)
{
    char name[REEVE_NAME_SIZE];
    const struct fleet_options *options = audit->fleet->options;
    int64_t rows = FLEET_PAGE;
    enum reeve_err err = REEVE_OK;
    for (int64_t offset = 0; err == REEVE_OK && rows > 0 && offset <= options->workers; offset += rows) {
        err = check_page(audit, offset, &rows, why);
    }
    for (int i = 0; err == REEVE_OK && i < options->workers; i++) {
        if (audit->told[i] == 0) {
            note(audit, &audit->missing, "`list` has no %s", simulated_worker(i, (int)options->nodes, name));
        }
    }
    return err;
}

// ---- stats ----------------------------------------------------------------------------------------------------

static void check_total(struct audit *audit, const char *key, int64_t told, int64_t expected)
{
    if (told != expected) {
        note(audit, &audit->wrong_totals, "`stats` says %s %lld; it is %lld", key, (long long)told,
             (long long)expected);
    }
}

static enum reeve_err check_stats(struct audit *audit, struct reeve_why *why)
{
    REEVE_VALUE_AUTO stats = NULL;
    const struct fleet_bench *fleet = audit->fleet;
    enum reeve_err err = fleet_do(audit->fleet, "stats", NULL, NULL, &stats, why);
    if (err != REEVE_OK) {
        return err;
    }
    const struct reeve_value *by_state = reeve_value_get(stats, "by_state");
    int64_t running = fleet_count(fleet, SIMULATED_RUNNING), lost = fleet_count(fleet, SIMULATED_MUTE);
    int64_t stopped = fleet_count(fleet, SIMULATED_STOPPED);
    check_total(audit, "total", reeve_get_int(stats, "total", -1), fleet->options->workers);
    check_total(audit, "lost", reeve_get_int(stats, "lost", -1), lost);
    check_total(audit, "unknown", reeve_get_int(stats, "unknown", -1), 0);
    check_total(audit, "running", reeve_get_int(reeve_value_get(by_state, "running"), "total", 0), running);
    check_total(audit, "stopped", reeve_get_int(reeve_value_get(by_state, "stopped"), "total", 0), stopped);
    return REEVE_OK;
}

// ---- all of it ------------------------------------------------------------------------------------------------

static bool agrees(const struct audit *audit)
{
    return audit->missing + audit->surplus + audit->wrong + audit->wrong_totals == 0;
}

static enum reeve_err look(struct audit *audit, struct reeve_why *why)
{
    audit->missing = audit->surplus = audit->wrong = audit->wrong_totals = 0;
    audit->first[0] = '\0';
    memset(audit->told, 0, (size_t)audit->fleet->options->workers);
    check_retained(audit);
    enum reeve_err err = check_stats(audit, why);
    return err == REEVE_OK ? check_list(audit, why) : err;
}

static void tell(const struct audit *audit, struct report *report, const char *phase)
{
    char name[64];
    const struct {
        const char *what;
        int64_t counted;
    } rows[] = {{"missing", audit->missing},
                {"surplus", audit->surplus},
                {"wrong", audit->wrong},
                {"wrong_totals", audit->wrong_totals}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        (void)snprintf(name, sizeof name, "%s_%s", phase, rows[i].what);
        report_check(report, name, rows[i].counted, 0);
    }
}

enum reeve_err fleet_audit(struct fleet_bench *fleet, struct report *report, const char *phase, struct reeve_why *why)
{
    struct audit audit = {.fleet = fleet, .told = calloc((size_t)fleet->options->workers, 1)};
    if (audit.told == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    int64_t deadline_mono = reeve_clock_mono_ms() + fleet->options->patience_ms;
    enum reeve_err err = look(&audit, why);
    while (err == REEVE_OK && !agrees(&audit) && reeve_clock_mono_ms() < deadline_mono) {
        err = fleet_pass(fleet, LOOK_MS, why);
        if (err == REEVE_OK) {
            err = look(&audit, why);
        }
    }
    free(audit.told);
    if (err != REEVE_OK) {
        return err;
    }
    tell(&audit, report, phase);
    return agrees(&audit) ? REEVE_OK : reeve_fail(why, REEVE_INTERNAL, "audit after %s: %s", phase, audit.first);
}
