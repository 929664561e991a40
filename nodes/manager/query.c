// Questions about the fleet: list find stats health describe, and forget. show and why are in explain.c.
// Must not: change anything, but for `forget`.
#include "account_room.h"
#include "health.h"
#include "hold.h"
#include "pool.h"
#include "select.h"

#include <assert.h>
#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX         500
#define RESULT_BYTES_MAX 900000 // of what a list holds: a message has at most 1 MiB [payload-4]
#define GROUPS_MAX       1000   // of each by_*; more are counted in `left_out`

static void put_value(struct reeve_value *map, const char *key, struct reeve_value *value)
{
    (void)reeve_value_put(map, key, value); /* remembered: reeve_value_built() */
}

static size_t encoded_size(const struct reeve_value *value)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_msgpack_write(value, &buf) == REEVE_OK ? buf.len : RESULT_BYTES_MAX;
}

// ---- list -------------------------------------------------------------------------------------------------------

struct list_args {
    struct select_args select;
    bool offline;
    int64_t offset, limit;
};
static const struct reeve_field list_fields[] = {
    SELECT_FIELDS(struct list_args, select),
    {.name = "offline",
     .type = REEVE_FIELD_BOOL,
     .offset = offsetof(struct list_args, offline),
     .preset = "true",
     .doc = "Also workers that do not run."},
    {.name = "offset",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct list_args, offset),
     .min = 0,
     .max = 1000000,
     .preset = "0",
     .doc = "So many are passed over."},
    {.name = "limit",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct list_args, limit),
     .min = 1,
     .max = LIST_MAX,
     .preset = "200",
     .doc = "At most so many."},
};
const struct reeve_record op_list_args = REEVE_RECORD("list", struct list_args, list_fields, "Which workers.");

struct listing {
    struct manager *manager;
    const struct list_args *args;
    const struct selection *selection; // of a list without selector; NULL otherwise
    struct reeve_value *workers;
    int64_t total;
    size_t bytes;
    bool full;
};

static bool list_worker(const struct fleet_worker *worker, void *arg)
{
    struct listing *listing = arg;
    struct fleet_worker_info info = fleet_worker_info(listing->manager->fleet, worker);
    if (!listing->args->offline && !fleet_worker_live(&info)) {
        return true;
    }
    int64_t at = listing->total++;
    if (at < listing->args->offset || listing->full ||
        (int64_t)reeve_value_len(listing->workers) == listing->args->limit) {
        return true;
    }
    struct reeve_value *verdict = fleet_verdict_value(listing->manager->fleet, worker);
    listing->bytes += encoded_size(verdict);
    listing->full = listing->bytes > RESULT_BYTES_MAX && reeve_value_len(listing->workers) > 0;
    if (listing->full) {
        reeve_value_free(verdict); // the next page begins with it
    } else {
        (void)reeve_value_add(listing->workers, verdict); /* remembered: reeve_value_built() */
    }
    return true;
}

enum reeve_err op_list_run(struct call *call, struct reeve_why *why)
{
    const struct list_args *args = call->args;
    struct selection selection;
    struct listing listing = {.manager = call->manager, .args = args, .workers = reeve_value_list()};
    enum reeve_err err = selection_init(&selection, call->manager, &args->select, why);
    bool everybody = !selection.anything; // only then also the site's own: nothing is done to them
    selection_done(&selection);
    if (err == REEVE_OK && everybody) {
        fleet_each_worker(call->manager->fleet, list_worker, &listing);
    } else if (err == REEVE_OK) {
        err = select_each(call->manager, &args->select, true, list_worker, &listing, NULL, why);
    }
    if (err != REEVE_OK) {
        reeve_value_free(listing.workers);
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    size_t len = reeve_value_len(listing.workers);
    reeve_put_int(result, "total", listing.total);
    reeve_put_int(result, "offset", args->offset);
    put_value(result, "workers", listing.workers);
    return call_done(call, result, "%zu of %lld workers", len, (long long)listing.total);
}

// ---- find -------------------------------------------------------------------------------------------------------

struct find_args {
    struct select_args select;
    int64_t count;
};
static const struct reeve_field find_fields[] = {
    SELECT_FIELDS(struct find_args, select),
    {.name = "count",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct find_args, count),
     .min = 1,
     .max = LIST_MAX,
     .preset = "1",
     .doc = "At most so many workers."},
};
const struct reeve_record op_find_args =
    REEVE_RECORD("find", struct find_args, find_fields, "What the worker has to be.");

// What is asked beside the selector, in the order in which it is asked.
enum step { STEP_RUNS, STEP_ALLOWED, STEP_IDLE, STEP_COUNT };
static const char *const step_texts[] = {"running", "allowed to take work", "idle"};

struct found {
    const struct fleet_worker *worker;
    struct fleet_worker_info info;
};
struct finding {
    struct manager *manager;
    const struct selection *selection;
    struct found *found;
    size_t found_len, found_cap;
    size_t candidates;                            // named, or everybody
    size_t passed[SELECT_TESTS_MAX + STEP_COUNT]; // how many were left after each condition
    bool no_memory;
};

static size_t steps_passed(const struct finding *finding, const struct fleet_worker_info *info)
{
    if (info->state != REEVE_STATE_RUNNING || info->session != REEVE_LIVE) {
        return STEP_RUNS;
    }
    const struct holds *holds = finding->manager->holds;
    if (holds != NULL && !hold_takes_work(holds, info->node, info->name)) {
        return STEP_ALLOWED;
    }
    return info->availability == REEVE_AVAILABILITY_IDLE ? STEP_COUNT : STEP_IDLE;
}

static void keep_found(struct finding *finding, const struct fleet_worker *worker, const struct fleet_worker_info *info)
{
    if (finding->found_len == finding->found_cap) {
        size_t cap = finding->found_cap > 0 ? 2 * finding->found_cap : 64;
        struct found *grown = realloc(finding->found, cap * sizeof *grown);
        if (grown == NULL) {
            finding->no_memory = true;
            return;
        }
        finding->found = grown;
        finding->found_cap = cap;
    }
    finding->found[finding->found_len++] = (struct found){worker, *info};
}

static bool find_on(const struct fleet_worker *worker, void *arg)
{
    struct finding *finding = arg;
    const struct selection *selection = finding->selection;
    size_t tests;
    if (!selection_named(selection, worker) || select_is_sites(selection->fleet, worker)) {
        return true;
    }
    finding->candidates++;
    bool fits = selection_has(selection, worker, &tests);
    struct fleet_worker_info info = fleet_worker_info(selection->fleet, worker);
    size_t steps = fits ? steps_passed(finding, &info) : 0;
    for (size_t i = 0; i < tests + steps; i++) {
        finding->passed[i]++;
    }
    if (fits && steps == STEP_COUNT) {
        keep_found(finding, worker, &info);
    }
    return true;
}

// The least loaded first; among idle ones, whoever waits longest.
static int by_load(const void *a, const void *b)
{
    const struct fleet_worker_info *left = &((const struct found *)a)->info;
    const struct fleet_worker_info *right = &((const struct found *)b)->info;
    if (left->jobs != right->jobs) {
        return left->jobs < right->jobs ? -1 : 1;
    }
    if (left->changed_mono != right->changed_mono) {
        return left->changed_mono < right->changed_mono ? -1 : 1;
    }
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : strcmp(left->node, right->node);
}

// "nobody: of 40 workers 12 are type=trading, 3 of those are running, none is idle"
static enum reeve_err nobody(const struct finding *finding, struct reeve_why *why)
{
    char text[400];
    const struct selection *selection = finding->selection;
    size_t used = (size_t)snprintf(text, sizeof text, "nobody: of %zu workers", finding->candidates);
    for (size_t i = 0; i < selection->tests_len + STEP_COUNT && used < sizeof text; i++) {
        char buf[REEVE_REQUIREMENT_TEXT_SIZE];
        bool test = i < selection->tests_len;
        const char *what =
            test ? reeve_requirement_text(&selection->tests[i], buf) : step_texts[i - selection->tests_len];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %zu %s %s", i > 0 ? ", of those" : "",
                                 finding->passed[i],
                                 test                      ? "meet"
                                 : finding->passed[i] == 1 ? "is"
                                                           : "are",
                                 what); /* cut */
        if (finding->passed[i] == 0) {
            break;
        }
    }
    return reeve_fail(why, REEVE_NOENT, "%s", text);
}

static struct reeve_value *found_value(struct finding *finding, int64_t count)
{
    struct reeve_value *workers = reeve_value_list();
    size_t bytes = 0;
    qsort(finding->found, finding->found_len, sizeof *finding->found, by_load);
    for (size_t i = 0; i < finding->found_len && (int64_t)i < count && bytes < RESULT_BYTES_MAX; i++) {
        struct reeve_value *verdict = fleet_verdict_value(finding->manager->fleet, finding->found[i].worker);
        bytes += encoded_size(verdict);
        (void)reeve_value_add(workers, verdict); /* remembered: reeve_value_built() */
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_int(result, "total", (int64_t)finding->found_len);
    put_value(result, "workers", workers);
    return result;
}

enum reeve_err op_find_run(struct call *call, struct reeve_why *why)
{
    const struct find_args *args = call->args;
    struct selection selection;
    struct finding finding = {.manager = call->manager, .selection = &selection};
    enum reeve_err err = selection_init(&selection, call->manager, &args->select, why);
    if (err == REEVE_OK) {
        fleet_each_worker(call->manager->fleet, find_on, &finding);
        err = finding.no_memory        ? reeve_fail(why, REEVE_NOMEM, "out of memory")
              : finding.found_len == 0 ? nobody(&finding, why)
                                       : REEVE_OK;
    }
    if (err == REEVE_OK) {
        struct reeve_value *result = found_value(&finding, args->count);
        err = call_done(call, result, "%zu fit, the least loaded first", finding.found_len);
    }
    free(finding.found);
    selection_done(&selection);
    return err;
}

// ---- stats ------------------------------------------------------------------------------------------------------

struct stats_args {
    struct select_args select;
};
static const struct reeve_field stats_fields[] = {SELECT_FIELDS(struct stats_args, select)};
const struct reeve_record op_stats_args =
    REEVE_RECORD("stats", struct stats_args, stats_fields, "Which workers are counted.");

#define STATS(X)                                                                                                       \
    X(total) X(alive) X(online) X(offline) X(idle) X(processing) X(paused) X(draining) X(expired) X(lost) X(unknown)
enum statistic {
#define X(name) STAT_##name,
    STATS(X)
#undef X
        STAT_COUNT
};
static const char *const stat_names[] = {
#define X(name) #name,
    STATS(X)
#undef X
};

struct group { // a value of one attribute
    int64_t total, alive, idle, processing;
};
static const char *const group_names[] = {"by_type", "by_exchange", "by_region", "by_state", "by_node"};

struct counting {
    struct manager *manager;
    int64_t stats[STAT_COUNT];
    struct reeve_map *groups[REEVE_ARRAY_LEN(group_names)]; // value -> struct group
    int64_t left_out;
};

static void count_in(struct counting *counting, size_t which, const char *value, const bool *is)
{
    struct reeve_map *map = counting->groups[which];
    const char *key = value != NULL ? value : "none";
    struct group *group = reeve_map_get(map, key);
    if (group == NULL) {
        group = calloc(1, sizeof *group);
        if (group == NULL || reeve_map_put(map, key, group, NULL) != REEVE_OK) {
            free(group);
            counting->left_out++;
            return;
        }
    }
    group->total++;
    group->alive += is[STAT_alive];
    group->idle += is[STAT_idle];
    group->processing += is[STAT_processing];
}

static bool count_on(const struct fleet_worker *worker, void *arg)
{
    struct counting *counting = arg;
    struct fleet_worker_info info = fleet_worker_info(counting->manager->fleet, worker);
    bool live = fleet_worker_live(&info);
    bool online = live && info.state != REEVE_STATE_LOST && info.availability != REEVE_AVAILABILITY_OFFLINE;
    const bool is[] = {
        [STAT_total] = true,
        [STAT_alive] = live,
        [STAT_online] = online,
        [STAT_offline] = !online,
        [STAT_idle] = info.availability == REEVE_AVAILABILITY_IDLE,
        [STAT_processing] = info.availability == REEVE_AVAILABILITY_PROCESSING,
        [STAT_paused] = info.availability == REEVE_AVAILABILITY_PAUSED,
        [STAT_draining] = info.availability == REEVE_AVAILABILITY_DRAINING,
        [STAT_expired] = info.session == REEVE_STALE,
        [STAT_lost] = info.state == REEVE_STATE_LOST,
        [STAT_unknown] = info.state == REEVE_STATE_UNKNOWN,
    };
    const char *const values[] = {info.type, info.exchange, info.region, reeve_state_text(info.state), info.node};
    static_assert(REEVE_ARRAY_LEN(values) == REEVE_ARRAY_LEN(group_names), "a value per group");
    static_assert(REEVE_ARRAY_LEN(is) == STAT_COUNT, "every number is counted");
    for (size_t i = 0; i < STAT_COUNT; i++) {
        counting->stats[i] += is[i];
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(values); i++) {
        count_in(counting, i, values[i], is);
    }
    return true;
}

static struct reeve_value *groups_value(const struct reeve_map *groups)
{
    struct reeve_value *map = reeve_value_map();
    for (struct reeve_map_iter it = {0}; reeve_map_next(groups, &it);) {
        const struct group *group = it.value;
        struct reeve_value *value = reeve_value_map();
        reeve_put_int(value, "total", group->total);
        reeve_put_int(value, "alive", group->alive);
        reeve_put_int(value, "idle", group->idle);
        reeve_put_int(value, "processing", group->processing);
        put_value(map, it.key, value);
    }
    return map;
}

static struct reeve_value *stats_value(const struct counting *counting)
{
    struct reeve_value *result = reeve_value_map();
    for (size_t i = 0; i < STAT_COUNT; i++) {
        reeve_put_int(result, stat_names[i], counting->stats[i]);
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(group_names); i++) {
        put_value(result, group_names[i], groups_value(counting->groups[i]));
    }
    if (counting->left_out > 0) {
        reeve_put_int(result, "left_out", counting->left_out);
    }
    return result;
}

enum reeve_err op_stats_run(struct call *call, struct reeve_why *why)
{
    const struct stats_args *args = call->args;
    struct counting counting = {.manager = call->manager};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(group_names); i++) {
        counting.groups[i] = reeve_map_new(GROUPS_MAX);
        err = counting.groups[i] == NULL ? REEVE_NOMEM : err;
    }
    err = err == REEVE_OK ? select_each(call->manager, &args->select, true, count_on, &counting, NULL, why)
                          : reeve_fail(why, err, "out of memory");
    if (err == REEVE_OK) {
        err = call_done(call, stats_value(&counting), "%lld workers, %lld alive", (long long)counting.stats[STAT_total],
                        (long long)counting.stats[STAT_alive]);
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(group_names); i++) {
        reeve_map_free(counting.groups[i], free);
    }
    return err;
}

// ---- health -----------------------------------------------------------------------------------------------------

struct health_args {
    struct select_args select;
};
static const struct reeve_field health_fields[] = {SELECT_FIELDS(struct health_args, select)};
const struct reeve_record op_health_args = REEVE_RECORD("health", struct health_args, health_fields, "Whose health.");

struct examining {
    struct manager *manager;
    int64_t levels[HEALTH_UNHEALTHY + 1];
    struct reeve_value *workers;
    size_t bytes;
    int64_t left_out;
    bool all; // list the healthy ones too
};

static bool examine(const struct fleet_worker *worker, void *arg)
{
    struct examining *examining = arg;
    struct fleet_worker_info info = fleet_worker_info(examining->manager->fleet, worker);
    const struct health *health = examining->manager->health;
    enum health_level level = health != NULL ? health_of(health, info.node, info.name) : HEALTH_UNKNOWN;
    examining->levels[level]++;
    if (!examining->all && level != HEALTH_WARNING && level != HEALTH_UNHEALTHY) {
        return true;
    }
    struct reeve_value *value = health != NULL ? health_value(health, info.node, info.name) : NULL;
    value = value != NULL ? value : reeve_value_map();
    reeve_put_str(value, "node", info.node);
    reeve_put_str(value, "worker", info.name);
    reeve_put_str(value, "health", health_level_text(level));
    examining->bytes += encoded_size(value);
    if (reeve_value_len(examining->workers) == LIST_MAX || examining->bytes > RESULT_BYTES_MAX) {
        examining->left_out++;
        reeve_value_free(value);
        return true;
    }
    (void)reeve_value_add(examining->workers, value); /* remembered: reeve_value_built() */
    return true;
}

enum reeve_err op_health_run(struct call *call, struct reeve_why *why)
{
    static const enum health_level levels[] = {HEALTH_HEALTHY, HEALTH_WARNING, HEALTH_UNHEALTHY, HEALTH_UNKNOWN};
    const struct health_args *args = call->args;
    struct selection selection;
    enum reeve_err err = selection_init(&selection, call->manager, &args->select, why);
    struct examining examining = {
        .manager = call->manager, .workers = reeve_value_list(), .all = selection.anything && !args->select.all};
    selection_done(&selection);
    if (err == REEVE_OK) {
        err = select_each(call->manager, &args->select, true, examine, &examining, NULL, why);
    }
    if (err != REEVE_OK) {
        reeve_value_free(examining.workers);
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    for (size_t i = 0; i < REEVE_ARRAY_LEN(levels); i++) {
        reeve_put_int(result, health_level_text(levels[i]), examining.levels[levels[i]]);
    }
    put_value(result, "workers", examining.workers);
    if (examining.left_out > 0) {
        reeve_put_int(result, "left_out", examining.left_out);
    }
    return call_done(call, result, "%lld healthy, %lld warning, %lld unhealthy",
                     (long long)examining.levels[HEALTH_HEALTHY], (long long)examining.levels[HEALTH_WARNING],
                     (long long)examining.levels[HEALTH_UNHEALTHY]);
}

// ---- describe ---------------------------------------------------------------------------------------------------

struct no_args {
    char none;
};
static const struct reeve_field no_fields[1];
const struct reeve_record op_describe_args = {
    .name = "describe", .size = sizeof(struct no_args), .fields = no_fields, .fields_len = 0, .doc = "Nothing."};

static struct reeve_value *counters_value(const struct manager *manager)
{
    struct fleet_counters fleet = fleet_counters(manager->fleet);
    const struct manager_counters *own = &manager->counters;
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {{"commands", own->commands},
                {"refused", own->refused},
                {"malformed", own->malformed + fleet.malformed},
                {"duplicates", own->duplicates},
                {"expired", own->expired},
                {"retained", own->retained},
                {"store_failures", own->store_failures},
                {"turns", own->turns},
                {"events", own->events},
                {"reloads", own->reloads},
                {"messages", fleet.messages},
                {"verdicts", fleet.verdicts},
                {"verdicts_unchanged", fleet.verdicts_unchanged},
                {"forgotten", fleet.forgotten},
                {"duplicate_workers", fleet.duplicates},
                {"scans", fleet.scans}};
    struct reeve_value *map = reeve_value_map();
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        reeve_put_int(map, rows[i].name, (int64_t)rows[i].count);
    }
    return map;
}

static bool count_node(const struct fleet_node *node, void *arg)
{
    (void)node;
    ++*(int64_t *)arg;
    return true;
}

enum reeve_err op_describe_run(struct call *call, struct reeve_why *why)
{
    struct manager *manager = call->manager;
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *holds = reeve_value_map();
    int64_t nodes = 0;
    (void)why;
    fleet_each_node(manager->fleet, count_node, &nodes);
    reeve_put_str(result, "name", manager->config.manager.name);
    reeve_put_str(result, "version", REEVE_VERSION);
    reeve_put_int(result, "epoch", manager->bus != NULL ? (int64_t)reeve_bus_epoch(manager->bus) : 0);
    reeve_put_int(result, "started_at", manager->started_at);
    reeve_put_int(result, "schema", STORE_SCHEMA);
    reeve_put_bool(result, "known", fleet_known(manager->fleet));
    reeve_put_bool(result, "held", fleet_held(manager->fleet));
    put_value(result, "counters", counters_value(manager));
    reeve_put_int(result, "workers", (int64_t)fleet_workers_len(manager->fleet));
    reeve_put_int(result, "nodes", nodes);
    reeve_put_int(result, "pools", manager->pools != NULL ? (int64_t)pools_len(manager->pools) : 0);
    reeve_put_int(result, "accounts", manager->accounts != NULL ? (int64_t)accounts_len(manager->accounts) : 0);
    reeve_put_bool(holds, "fleet_stopped", manager->holds != NULL && hold_fleet_stopped(manager->holds));
    reeve_put_bool(holds, "global_offline", manager->holds != NULL && hold_fleet_offline(manager->holds));
    put_value(result, "holds", holds);
    return call_done(call, result, "manager %s %s", manager->config.manager.name, REEVE_VERSION);
}

// ---- forget -----------------------------------------------------------------------------------------------------

struct forget_args {
    char *worker;
};
static const struct reeve_field forget_fields[] = {{.name = "worker",
                                                    .type = REEVE_FIELD_STR,
                                                    .flags = REEVE_FIELD_REQUIRED,
                                                    .offset = offsetof(struct forget_args, worker),
                                                    .doc = "Name, or `node/name`."}};
const struct reeve_record op_forget_args = REEVE_RECORD("forget", struct forget_args, forget_fields, "Which worker.");

enum reeve_err op_forget_run(struct call *call, struct reeve_why *why)
{
    const struct forget_args *args = call->args;
    const struct fleet_worker *worker;
    enum reeve_err err = select_one(call->manager, args->worker, &worker, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct fleet_worker_info info = fleet_worker_info(call->manager->fleet, worker);
    char node[REEVE_NAME_SIZE];
    char name[REEVE_NAME_SIZE];
    (void)snprintf(node, sizeof node, "%s", info.node);
    (void)snprintf(name, sizeof name, "%s", info.name); /* names: they fit */
    err = call->command.dry_run ? fleet_may_forget(call->manager->fleet, node, name, why)
                                : fleet_forget(call->manager->fleet, node, name, why);
    return err == REEVE_OK
               ? call_done(call, NULL, "%s/%s %s forgotten", node, name, call->command.dry_run ? "would be" : "is")
               : err;
}
