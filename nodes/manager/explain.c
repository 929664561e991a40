// show and why: everything about one worker, and why it is in the state it is in, in sentences, the most important
// first. Must not: conclude anything that the rooms do not say; it only puts their words in order.
#include "health.h"
#include "hold.h"
#include "pool.h"
#include "select.h"

#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_value(struct reeve_value *map, const char *key, struct reeve_value *value)
{
    if (value != NULL) {
        (void)reeve_value_put(map, key, value); /* remembered: reeve_value_built() */
    }
}

// The hold of a worker; NULL when there is none. Caller frees.
static struct reeve_value *hold_of(const struct manager *manager, const struct fleet_worker_info *info)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    if (manager->holds == NULL || map == NULL) {
        return NULL;
    }
    hold_put_verdict(manager->holds, info->node, info->name, map);
    const struct reeve_value *hold = reeve_value_get(map, "hold");
    return hold != NULL ? reeve_value_clone(hold) : NULL;
}

// Open alarms about this worker. Caller frees.
static struct reeve_value *alarms_of(const struct manager *manager, const struct fleet_worker_info *info)
{
    char subject[REEVE_NAME_SIZE];
    REEVE_VALUE_AUTO open = manager->alarms != NULL ? alarms_value(manager->alarms) : NULL;
    struct reeve_value *list = reeve_value_list();
    (void)alarm_subject(info->node, info->name, subject);
    for (size_t i = 0; i < reeve_value_len(open); i++) {
        const struct reeve_value *alarm = reeve_value_at(open, i);
        const char *about = reeve_get_str(alarm, "subject");
        if (reeve_str_eq(about, subject) || reeve_str_eq(about, info->name)) { // duplicates are alarms of a name
            (void)reeve_value_add(list, reeve_value_clone(alarm));             /* remembered: reeve_value_built() */
        }
    }
    return list;
}

// ---- show -------------------------------------------------------------------------------------------------------

struct one_args {
    char *worker;
};
static const struct reeve_field one_fields[] = {{.name = "worker",
                                                 .type = REEVE_FIELD_STR,
                                                 .flags = REEVE_FIELD_REQUIRED,
                                                 .offset = offsetof(struct one_args, worker),
                                                 .doc = "Name, or `node/name`."}};
const struct reeve_record op_show_args = REEVE_RECORD("show", struct one_args, one_fields, "Which worker.");
const struct reeve_record op_why_args = REEVE_RECORD("why", struct one_args, one_fields, "Which worker.");

enum reeve_err op_show_run(struct call *call, struct reeve_why *why)
{
    const struct one_args *args = call->args;
    struct manager *manager = call->manager;
    const struct fleet_worker *worker;
    enum reeve_err err = select_one(manager, args->worker, &worker, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct fleet_worker_info info = fleet_worker_info(manager->fleet, worker);
    struct reeve_value *result = reeve_value_map();
    put_value(result, "verdict", fleet_verdict_value(manager->fleet, worker));
    put_value(result, "health", manager->health != NULL ? health_value(manager->health, info.node, info.name) : NULL);
    put_value(result, "process", fleet_process_record(manager->fleet, worker));
    put_value(result, "status", fleet_status_record(manager->fleet, worker));
    put_value(result, "hold", hold_of(manager, &info));
    put_value(result, "pool", manager->pools != NULL ? pool_of_worker_value(manager, info.node, info.name) : NULL);
    reeve_put_str_opt(result, "account", info.account);
    put_value(result, "alarms", alarms_of(manager, &info));
    return call_done(call, result, "%s/%s is %s", info.node, info.name, reeve_state_text(info.state));
}

// ---- why --------------------------------------------------------------------------------------------------------

struct telling {
    struct manager *manager;
    const struct fleet_worker *worker;
    struct fleet_worker_info info;
    struct reeve_value *sentences;
};

__attribute__((format(printf, 2, 3))) static void tell(struct telling *telling, const char *fmt, ...)
{
    char text[700];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut where too long */
    va_end(args);
    (void)reeve_value_add(telling->sentences, reeve_value_str(text)); /* remembered: reeve_value_built() */
}

static const char *ago(int64_t at, char buf[REEVE_UNITS_TEXT_LEN])
{
    int64_t ms = reeve_clock_wall_ms() - at;
    return reeve_duration_human(ms > 0 ? ms : 0, buf);
}

static void tell_state(struct telling *telling)
{
    const struct fleet_worker_info *info = &telling->info;
    char because[320];
    char since[REEVE_UNITS_TEXT_LEN];
    const char *availability = reeve_availability_text(info->availability);
    (void)fleet_why(telling->manager->fleet, telling->worker, because, sizeof because);
    bool says_more = because[0] != '\0' && strcmp(because, availability) != 0;
    tell(telling, "%s/%s is %s%s%s%s%s%s%s%s.", info->node, info->name, reeve_state_text(info->state),
         availability[0] != '\0' ? " and " : "", availability, info->since_at > 0 ? ", for " : "",
         info->since_at > 0 ? ago(info->since_at, since) : "", says_more ? ": " : "", says_more ? because : "",
         info->source == REEVE_SOURCE_INFERRED ? " (inferred, nobody sees it)" : "");
    if (info->state == REEVE_STATE_UNKNOWN && info->last_known != REEVE_STATE_UNKNOWN) {
        tell(telling, "When last heard of it was %s.", reeve_state_text(info->last_known));
    }
}

static void tell_holds(struct telling *telling)
{
    const struct manager *manager = telling->manager;
    const struct fleet_worker_info *info = &telling->info;
    REEVE_VALUE_AUTO hold = hold_of(manager, info);
    const char *kind = reeve_get_str(hold, "kind");
    const char *by = reeve_get_str(hold, "by");
    const char *reason = reeve_get_str(hold, "reason");
    int64_t at = reeve_get_int(hold, "at", 0);
    char since[REEVE_UNITS_TEXT_LEN];
    if (hold != NULL) {
        tell(telling, "A person said %s%s%s%s%s%s%s.", kind != NULL ? kind : "that it takes no work",
             by != NULL ? ", " : "", by != NULL ? by : "", at > 0 ? ", before " : "", at > 0 ? ago(at, since) : "",
             reason != NULL ? ": " : "", reason != NULL ? reason : "");
    }
    if (manager->holds != NULL && hold_fleet_stopped(manager->holds)) {
        tell(telling, "The whole fleet is stopped: nothing is started before `start` with `all`.");
    } else if (manager->holds != NULL && hold_fleet_offline(manager->holds)) {
        tell(telling, "The whole fleet is offline: nobody takes work before `online` with `all`.");
    }
}

static void tell_own_word(struct telling *telling)
{
    const struct fleet_worker_info *info = &telling->info;
    REEVE_VALUE_AUTO status = fleet_status_record(telling->manager->fleet, telling->worker);
    const char *reason = reeve_get_str(status, "reason");
    bool waits = info->availability == REEVE_AVAILABILITY_PAUSED || info->availability == REEVE_AVAILABILITY_DRAINING ||
                 info->availability == REEVE_AVAILABILITY_OFFLINE;
    if (waits && reason != NULL) {
        tell(telling, "It says of being %s: %s.", reeve_availability_text(info->availability), reason);
    }
    if (info->jobs > 0) {
        tell(telling, "It has %lld job%s in hand.", (long long)info->jobs, info->jobs == 1 ? "" : "s");
    }
    if (!info->safe_to_stop) {
        tell(telling, "It says that it is not safe to stop%s%s.", info->unsafe_reason != NULL ? ": " : "",
             info->unsafe_reason != NULL ? info->unsafe_reason : "");
    }
}

static void tell_health(struct telling *telling)
{
    const struct fleet_worker_info *info = &telling->info;
    const struct health *health = telling->manager->health;
    REEVE_VALUE_AUTO value = health != NULL ? health_value(health, info->node, info->name) : NULL;
    const struct reeve_value *checks = reeve_value_get(value, "checks");
    for (size_t i = 0; i < reeve_value_len(checks); i++) {
        const struct reeve_value *check = reeve_value_at(checks, i);
        const char *name = reeve_get_str(check, "name");
        const char *message = reeve_get_str(check, "message");
        if (!reeve_get_bool(check, "ok", true)) {
            tell(telling, "Health, %s: %s.", name != NULL ? name : "a check", message != NULL ? message : "fails");
        }
    }
}

static void tell_node(struct telling *telling)
{
    const struct fleet_worker_info *info = &telling->info;
    const struct fleet *fleet = telling->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, info->node);
    struct fleet_node_info node_info = fleet_node_info(fleet, node);
    static const char *const words[] = {
        [REEVE_ABSENT] = "is not known", [REEVE_STALE] = "is silent", [REEVE_DEAD] = "died", [REEVE_LEFT] = "has left"};
    char since[REEVE_UNITS_TEXT_LEN];
    if (node_info.liveness != REEVE_LIVE && (info->supervised || node_info.liveness != REEVE_ABSENT)) {
        tell(telling, "Node %s %s, seen %s ago.", info->node, words[node_info.liveness],
             reeve_duration_human(reeve_clock_mono_ms() - node_info.away_since_mono, since));
    }
    if (node_info.draining) {
        tell(telling, "Node %s drains: it starts nothing.", info->node);
    }
    if (info->unsupervised) {
        tell(telling, "Nobody restarts it if it ends: its node is not there.");
    }
}

static void tell_process(struct telling *telling)
{
    const struct fleet_worker_info *info = &telling->info;
    REEVE_VALUE_AUTO process = fleet_process_record(telling->manager->fleet, telling->worker);
    int64_t next = reeve_get_int(process, "next_start_at", 0) - reeve_clock_wall_ms();
    char text[REEVE_UNITS_TEXT_LEN];
    if (process != NULL && !info->wanted && info->state != REEVE_STATE_STOPPED) {
        tell(telling, "It is wanted stopped.");
    } else if (process != NULL && !info->wanted) {
        tell(telling, "Nobody wants it to run: `start` starts it.");
    }
    if (info->state == REEVE_STATE_FAILED) {
        tell(telling, "Its node gave up after %lld failures: `reset` starts it afresh.", (long long)info->failures);
    }
    if (info->state == REEVE_STATE_RESTARTING && next > 0) {
        tell(telling, "It is started again in %s, after %lld failure%s in a row.", reeve_duration_human(next, text),
             (long long)info->failures, info->failures == 1 ? "" : "s");
    }
    const char *not_enforced = reeve_get_str(process, "not_enforced");
    if (not_enforced != NULL) {
        tell(telling, "Not enforced: %s.", not_enforced);
    }
}

static void tell_pool(struct telling *telling)
{
    const struct fleet_worker_info *info = &telling->info;
    const struct manager *manager = telling->manager;
    REEVE_VALUE_AUTO member = manager->pools != NULL ? pool_of_worker_value(manager, info->node, info->name) : NULL;
    if (member != NULL) {
        const char *pool = reeve_get_str(member, "pool");
        const char *state = reeve_get_str(member, "state");
        const char *cause = reeve_get_str(member, "cause");
        tell(telling, "Pool %s: %s%s%s.", pool != NULL ? pool : "?", state != NULL ? state : "has it",
             cause != NULL ? ", " : "", cause != NULL ? cause : "");
    } else if (info->pool != NULL) {
        tell(telling, "It says that it belongs to pool %s, which does not know it.", info->pool);
    }
}

static void tell_alarms(struct telling *telling)
{
    REEVE_VALUE_AUTO alarms = alarms_of(telling->manager, &telling->info);
    for (size_t i = 0; i < reeve_value_len(alarms); i++) {
        const struct reeve_value *alarm = reeve_value_at(alarms, i);
        const char *kind = reeve_get_str(alarm, "kind");
        const char *message = reeve_get_str(alarm, "message");
        tell(telling, "Alarm %s: %s.", kind != NULL ? kind : "?", message != NULL ? message : "open");
    }
}

static void tell_manager(struct telling *telling)
{
    if (fleet_held(telling->manager->fleet)) {
        tell(telling, "The manager itself was just cut off, or has just begun: verdicts are held for a while, nobody "
                      "is called lost.");
    }
}

enum reeve_err op_why_run(struct call *call, struct reeve_why *why)
{
    static void (*const parts[])(struct telling * telling) = {tell_state,  tell_holds,  tell_own_word,
                                                              tell_health, tell_node,   tell_process,
                                                              tell_pool,   tell_alarms, tell_manager};
    const struct one_args *args = call->args;
    struct telling telling = {.manager = call->manager, .sentences = reeve_value_list()};
    enum reeve_err err = select_one(call->manager, args->worker, &telling.worker, why);
    if (err != REEVE_OK) {
        reeve_value_free(telling.sentences);
        return err;
    }
    telling.info = fleet_worker_info(call->manager->fleet, telling.worker);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        parts[i](&telling);
    }
    struct reeve_value *result = reeve_value_map();
    char name[2 * REEVE_NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s/%s", telling.info.node, telling.info.name); /* two names fit */
    reeve_put_str(result, "worker", name);
    const char *first = reeve_value_text(reeve_value_at(telling.sentences, 0));
    char message[400];
    (void)snprintf(message, sizeof message, "%s", first != NULL ? first : ""); /* cut where too long */
    put_value(result, "why", telling.sentences);
    return call_done(call, result, "%s", message);
}
