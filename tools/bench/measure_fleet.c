// What is timed at a manager: its start, last wills, emergency stops, queries.
// Must not: tell a number of a phase whose audit does not hold.
#include "child.h"
#include "fleet.h"
#include "machine.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_MS     1e-6
#define BURST_MAX 100
#define QUERIES   50

#define MS(id, goal_ms, goal_of_, text)                                                                                \
    {                                                                                                                  \
        .name = id, .what = text, .unit = "ms", .scale = NS_MS, .goal = (goal_ms), .of = (goal_of_)                    \
    }
static struct series start_known =
    MS("start_known", 0, GOAL_MAX, "exec of the first manager, empty store -> its status says that the fleet is known");
static struct series start_stats = MS("start_stats", 0, GOAL_MAX, "... -> `stats` has every worker");
static struct series start_verdicts =
    MS("start_verdicts", 0, GOAL_MAX, "... -> a subscriber has a verdict on every worker");
static struct series start_messages = {.name = "start_messages",
                                       .what = "verdicts published by the first manager until it was quiet",
                                       .unit = "messages",
                                       .scale = 1};
static struct series restart_messages = {.name = "restart_messages",
                                         .what = "verdicts published from SIGKILL to the audit, 5 workers were cut",
                                         .unit = "messages",
                                         .scale = 1};
static struct series restart_known =
    MS("restart_known", 1000, GOAL_MAX, "exec after SIGKILL -> status says that the fleet is known");
static struct series restart_stats =
    MS("restart_stats", 1000, GOAL_MAX, "exec after SIGKILL -> `stats` has every worker");
static struct series will_broker = MS("will_broker", 0, GOAL_P99, "connection cut -> last will at a subscriber");
static struct series will_manager =
    MS("will_manager", 0, GOAL_P99, "last will at a subscriber -> verdict `lost` at the same subscriber");
static struct series will_verdict =
    MS("will_verdict", 50, GOAL_P99, "connection cut -> verdict `lost` at a subscriber");
static struct series will_back =
    MS("will_back", 0, GOAL_P99, "status of the next session -> verdict `running` at a subscriber");
static struct series burst_verdict =
    MS("burst_verdict", 0, GOAL_P99, "a hundred connections cut at once: cut -> verdict `lost`, each");
static struct series stop_tenth =
    MS("stop_tenth", 2000, GOAL_MAX, "stop of a tenth of the workers on all nodes -> terminal reply with counts");
static struct series start_tenth = MS("start_tenth", 0, GOAL_MAX, "start of the same -> terminal reply");
static struct series stop_all = MS("stop_all", 0, GOAL_MAX, "stop of everybody -> terminal reply with counts");
static struct series start_all = MS("start_all", 0, GOAL_MAX, "start of everybody -> terminal reply");
static struct series query_stats = MS("query_stats", 0, GOAL_P99, "`stats` of all");
static struct series query_list = MS("query_list", 0, GOAL_P99, "`list`, a page of 500");
static struct series query_find = MS("query_find", 0, GOAL_P99, "`find` by type, exchange and a requirement");

static void add_between(struct series *series, int64_t from_ns, int64_t to_ns)
{
    series_add(series, to_ns - from_ns);
}

// ---- start and restart ----------------------------------------------------------------------------------------

static bool has_all_verdicts(struct bench *bench, const void *arg)
{
    const struct fleet_bench *fleet = fleet_of(bench);
    (void)arg;
    return (int64_t)fleet->seen_len == fleet->options->workers;
}

static enum reeve_err start_manager(struct fleet_bench *fleet, int64_t *ret_began_ns, struct series *known,
                                    struct series *stats, struct reeve_why *why)
{
    *ret_began_ns = reeve_clock_mono_ns();
    enum reeve_err err = fleet_start_manager(fleet, why);
    if (err == REEVE_OK) {
        err = bench_wait(&fleet->bench, fleet_is_known, NULL, "the manager knows the fleet", why);
    }
    int64_t total = -1, deadline_mono = reeve_clock_mono_ms() + DEADLINE_MS;
    while (err == REEVE_OK && total < fleet->options->workers && reeve_clock_mono_ms() < deadline_mono) {
        REEVE_VALUE_AUTO result = NULL;
        err = fleet_do(fleet, "stats", NULL, NULL, &result, why);
        total = reeve_get_int(result, "total", -1);
    }
    if (err == REEVE_OK && total != fleet->options->workers) {
        err = reeve_fail(why, REEVE_INTERNAL, "stats has %lld workers", (long long)total);
    }
    if (err == REEVE_OK) {
        add_between(known, *ret_began_ns, fleet->known_ns);
        add_between(stats, *ret_began_ns, reeve_clock_mono_ns());
    }
    return err;
}

enum reeve_err measure_first_start(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    int64_t began_ns = 0;
    enum reeve_err err = start_manager(fleet, &began_ns, &start_known, &start_stats, why);
    if (err == REEVE_OK) {
        err = bench_wait(&fleet->bench, has_all_verdicts, NULL, "a verdict on every worker", why);
    }
    if (err == REEVE_OK) {
        add_between(&start_verdicts, began_ns, reeve_clock_mono_ns());
        err = fleet_audit(fleet, report, "start", why);
    }
    if (err == REEVE_OK) {
        err = fleet_quiet(fleet, why); // health is judged once the manager has heard everybody
    }
    series_add(&start_messages, (int64_t)fleet->verdicts);
    report_series(report, &start_messages);
    report_series(report, &start_known);
    report_series(report, &start_stats);
    report_series(report, &start_verdicts);
    return err;
}

static enum reeve_err tell_some(struct fleet_bench *fleet, const char *verb, int first, int count,
                                struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (int i = first; err == REEVE_OK && i < first + count && i < fleet->options->sessions; i++) {
        err = fleet_tell(fleet, verb, i, why);
    }
    return err;
}

// Some are cut before the manager is killed and some while it is away: the next one has to find out.
static enum reeve_err restart(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    enum { BEFORE = 3, MEANWHILE = 2 };
    int64_t began_ns = 0;
    uint64_t verdicts = fleet->verdicts;
    enum reeve_err err = tell_some(fleet, "cut", 0, BEFORE, why);
    if (err == REEVE_OK) {
        err = fleet_pass(fleet, 100, why);
    }
    child_kill(&fleet->manager);
    if (err == REEVE_OK) {
        err = tell_some(fleet, "cut", BEFORE, MEANWHILE, why);
    }
    if (err == REEVE_OK) {
        err = fleet_pass(fleet, 100, why);
    }
    if (err == REEVE_OK) {
        err = start_manager(fleet, &began_ns, &restart_known, &restart_stats, why);
    }
    if (err == REEVE_OK) {
        err = fleet_audit(fleet, report, "restart", why);
    }
    series_add(&restart_messages, (int64_t)(fleet->verdicts - verdicts));
    if (err == REEVE_OK) {
        err = tell_some(fleet, "back", 0, BEFORE + MEANWHILE, why);
    }
    return err == REEVE_OK ? fleet_audit(fleet, report, "back_after_restart", why) : err;
}

enum reeve_err measure_restarts(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (int64_t i = 0; err == REEVE_OK && i < fleet->options->restarts; i++) {
        err = restart(fleet, report, why);
    }
    report_series(report, &restart_known);
    report_series(report, &restart_stats);
    report_series(report, &restart_messages);
    return err;
}

// ---- last wills -----------------------------------------------------------------------------------------------

static bool is_lost(struct bench *bench, const void *arg)
{
    const struct fleet_seen *seen = &fleet_of(bench)->seen[*(const int *)arg];
    return seen->state == REEVE_STATE_LOST;
}

static bool is_running(struct bench *bench, const void *arg)
{
    const struct fleet_seen *seen = &fleet_of(bench)->seen[*(const int *)arg];
    return seen->state == REEVE_STATE_RUNNING;
}

static void add_will(const struct fleet_bench *fleet, int worker)
{
    const struct fleet_seen *seen = &fleet->seen[worker];
    int64_t cut_ns = atomic_load(&fleet->truth->workers[worker].cut_ns);
    add_between(&will_broker, cut_ns, seen->lwt_ns);
    add_between(&will_verdict, cut_ns, seen->changed_ns);
    add_between(&will_manager, seen->lwt_ns, seen->changed_ns);
}

static enum reeve_err one_will(struct fleet_bench *fleet, int worker, struct reeve_why *why)
{
    enum reeve_err err = fleet_tell(fleet, "cut", worker, why);
    if (err == REEVE_OK) {
        err = bench_wait(&fleet->bench, is_lost, &worker, "the verdict after a last will", why);
    }
    if (err == REEVE_OK) {
        add_will(fleet, worker);
        err = fleet_pass(fleet, 20 + random() % 80, why); // not in step with any timer
    }
    if (err == REEVE_OK) {
        err = fleet_tell(fleet, "back", worker, why);
    }
    if (err == REEVE_OK) {
        err = bench_wait(&fleet->bench, is_running, &worker, "the verdict on a worker that is back", why);
    }
    if (err == REEVE_OK) {
        add_between(&will_back, atomic_load(&fleet->truth->workers[worker].born_ns), fleet->seen[worker].changed_ns);
    }
    return err;
}

static enum reeve_err burst(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    int count = fleet->options->sessions < BURST_MAX ? (int)fleet->options->sessions : BURST_MAX;
    enum reeve_err err = tell_some(fleet, "cut", 0, count, why);
    for (int i = 0; err == REEVE_OK && i < count; i++) {
        err = bench_wait(&fleet->bench, is_lost, &i, "the verdicts after many last wills", why);
    }
    for (int i = 0; err == REEVE_OK && i < count; i++) {
        add_between(&burst_verdict, atomic_load(&fleet->truth->workers[i].cut_ns), fleet->seen[i].changed_ns);
    }
    if (err == REEVE_OK) {
        err = fleet_audit(fleet, report, "burst", why);
    }
    if (err == REEVE_OK) {
        err = tell_some(fleet, "back", 0, count, why);
    }
    return err == REEVE_OK ? fleet_audit(fleet, report, "back_after_burst", why) : err;
}

enum reeve_err measure_wills(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (int64_t i = 0; err == REEVE_OK && i < fleet->options->wills; i++) {
        err = one_will(fleet, (int)(i % fleet->options->sessions), why);
    }
    report_check(report, "wills_answered", (int64_t)will_verdict.len, fleet->options->wills);
    if (err == REEVE_OK) {
        err = fleet_audit(fleet, report, "wills", why);
    }
    for (int i = 0; err == REEVE_OK && i < 3; i++) {
        err = burst(fleet, report, why);
    }
    report_series(report, &will_verdict);
    report_series(report, &will_broker);
    report_series(report, &will_manager);
    report_series(report, &will_back);
    report_series(report, &burst_verdict);
    return err;
}

// ---- emergency stops ------------------------------------------------------------------------------------------

struct emergency {
    const char *op;       // stop, start
    const char *exchange; // NULL = all
    const char *count;    // key of the result: how many
    struct series *series;
    const char *phase; // of the audit
};

static int64_t count_meant(const struct fleet_bench *fleet, const char *exchange)
{
    int64_t count = 0;
    for (int i = 0; i < fleet->options->workers; i++) {
        const char *own = simulated_exchange(i, (int)fleet->options->nodes);
        count += exchange == NULL || strcmp(own, exchange) == 0 ? 1 : 0;
    }
    return count;
}

static enum reeve_err run_emergency(struct fleet_bench *fleet, const struct emergency *emergency, struct report *report,
                                    struct reeve_why *why)
{
    char check[64];
    int64_t ns = 0, meant = count_meant(fleet, emergency->exchange);
    REEVE_VALUE_AUTO result = NULL;
    struct reeve_value *args = reeve_value_map();
    if (emergency->exchange != NULL) {
        reeve_put_str(args, "exchange", emergency->exchange);
    } else {
        reeve_put_bool(args, "all", true);
    }
    enum reeve_err err = fleet_do(fleet, emergency->op, args, &ns, &result, why);
    if (err != REEVE_OK) {
        return err;
    }
    series_add(emergency->series, ns);
    (void)snprintf(check, sizeof check, "%s_counted", emergency->phase);
    report_check(report, check, reeve_get_int(result, emergency->count, -1), meant);
    (void)snprintf(check, sizeof check, "%s_unreachable", emergency->phase);
    report_check(report, check, reeve_get_int(result, "unreachable", -1), 0);
    return fleet_audit(fleet, report, emergency->phase, why);
}

enum reeve_err measure_stops(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (int i = 0; err == REEVE_OK && i < fleet->options->crowd_rounds; i++) {
        const char *exchange = simulated_exchange_at(i);
        const struct emergency stop = {"stop", exchange, "stopped", &stop_tenth, "stop_tenth"};
        const struct emergency start = {"start", exchange, "done", &start_tenth, "start_tenth"};
        err = run_emergency(fleet, &stop, report, why);
        if (err == REEVE_OK) {
            err = run_emergency(fleet, &start, report, why);
        }
    }
    report_series(report, &stop_tenth);
    report_series(report, &start_tenth);
    return err;
}

enum reeve_err measure_stop_all(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    static const struct emergency stop = {"stop", NULL, "stopped", &stop_all, "stop_all"};
    static const struct emergency start = {"start", NULL, "done", &start_all, "start_all"};
    enum reeve_err err = REEVE_OK;
    for (int i = 0; err == REEVE_OK && i < fleet->options->all_rounds; i++) {
        err = run_emergency(fleet, &stop, report, why);
        if (err == REEVE_OK) {
            err = run_emergency(fleet, &start, report, why);
        }
    }
    report_series(report, &stop_all);
    report_series(report, &start_all);
    return err;
}

// ---- queries --------------------------------------------------------------------------------------------------

static struct reeve_value *page_args(void)
{
    struct reeve_value *args = reeve_value_map();
    reeve_put_bool(args, "all", true);
    reeve_put_int(args, "limit", FLEET_PAGE);
    return args;
}

static struct reeve_value *find_args(void)
{
    struct reeve_value *args = reeve_value_map();
    reeve_put_str(args, "type", simulated_type(0, 1));
    reeve_put_str(args, "exchange", simulated_exchange_at(0));
    reeve_put_str(args, "require", "memory>=1MiB");
    return args;
}

enum reeve_err measure_queries(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    const struct {
        const char *op;
        struct reeve_value *(*args)(void);
        struct series *series;
    } queries[] = {{"stats", NULL, &query_stats}, {"list", page_args, &query_list}, {"find", find_args, &query_find}};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(queries); i++) {
        for (int round = 0; err == REEVE_OK && round < QUERIES; round++) {
            struct fleet_answer answer;
            err = fleet_ask(fleet, queries[i].op, queries[i].args != NULL ? queries[i].args() : NULL, &answer, why);
            reeve_value_free(answer.result);
            if (err == REEVE_OK && answer.phase != REEVE_PHASE_DONE) { // `find` of nobody is an answer too
                report_skip(report, queries[i].series->name, answer.why.text);
                break;
            }
            series_add(queries[i].series, answer.over_ns - answer.sent_ns);
        }
        report_series(report, queries[i].series);
    }
    return err;
}
