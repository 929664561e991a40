// What follows from health: alarms that stay open until they are over, and by policy a restart or a replacement of a worker that
// stays unhealthy, within bounds: one action per worker within five minutes, a tenth of a type at once, nobody who is not safe
// to stop. Must not: judge.
#include "health_room.h"

#include "hold.h"
#include "pool.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- alarms ---------------------------------------------------------------------------------------------------------

static const struct {
    unsigned bit;
    const char *kind;
} kinds[] = {{HEALTH_ALARM_FLAPPING, "flapping"},
             {HEALTH_ALARM_CRASH_LOOP, "crash_loop"},
             {HEALTH_ALARM_UNHEALTHY, "unhealthy"}};

static void close_one(struct health *health, struct health_worker *worker, const char *node, const char *name, unsigned bit)
{
    char subject[REEVE_NAME_SIZE];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(kinds); i++) {
        if (kinds[i].bit == bit) {
            alarm_close(health->manager, kinds[i].kind, alarm_subject(node, name, subject));
        }
    }
    worker->alarms = (uint8_t)(worker->alarms & ~bit);
}

void health_close_alarms(struct health *health, struct health_worker *worker, const char *node, const char *name)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(kinds); i++) {
        close_one(health, worker, node, name, kinds[i].bit); // also one that a former manager opened
    }
    worker->unhealthy_mono = 0;
}

static struct reeve_value *about(const struct fleet_worker_info *info)
{
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "node", info->node);
    reeve_put_str(detail, "worker", info->name);
    return detail;
}

// What a former manager opened and did not live to close is ours now.
static void take_over(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info)
{
    char subject[REEVE_NAME_SIZE];
    (void)alarm_subject(info->node, info->name, subject); /* returns subject */
    for (size_t i = 0; i < REEVE_ARRAY_LEN(kinds); i++) {
        if (alarm_is_open(health->manager, kinds[i].kind, subject)) {
            worker->alarms = (uint8_t)(worker->alarms | kinds[i].bit);
        }
    }
}

// Opened at the threshold, closed below half of it.
static bool with_hysteresis(bool open, int64_t count, int64_t threshold)
{
    return threshold > 0 && (open ? count > threshold / 2 : count >= threshold);
}

static void act_on_flapping(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                            const struct health_facts *facts)
{
    char subject[REEVE_NAME_SIZE];
    bool open = worker->alarms & HEALTH_ALARM_FLAPPING;
    bool should = with_hysteresis(open, facts->changes, facts->policy->flapping_changes);
    if (open && !should) {
        close_one(health, worker, info->node, info->name, HEALTH_ALARM_FLAPPING);
    } else if (!open && should) {
        worker->alarms |= HEALTH_ALARM_FLAPPING;
        alarm_open(health->manager, "flapping", alarm_subject(info->node, info->name, subject), ALARM_WARNING, about(info),
                   "%s/%s came and went %lld times within %lld s", info->node, info->name, (long long)facts->changes,
                   (long long)(facts->policy->flapping_window_ms / 1000));
    }
}

static void act_on_crash_loop(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                              const struct health_facts *facts)
{
    char subject[REEVE_NAME_SIZE];
    bool open = worker->alarms & HEALTH_ALARM_CRASH_LOOP;
    bool gave_up = info->state == REEVE_STATE_FAILED && info->wanted;
    bool should = gave_up || with_hysteresis(open, facts->restarts, facts->policy->crash_loop_restarts);
    if (open && !should) {
        close_one(health, worker, info->node, info->name, HEALTH_ALARM_CRASH_LOOP);
    } else if (!open && should) {
        worker->alarms |= HEALTH_ALARM_CRASH_LOOP;
        alarm_open(health->manager, "crash_loop", alarm_subject(info->node, info->name, subject), ALARM_ERROR, about(info),
                   gave_up ? "%s/%s: its node gave up after %lld failures, %lld restarts"
                           : "%s/%s was restarted %lld times within %lld s",
                   info->node, info->name, (long long)(gave_up ? info->failures : facts->restarts),
                   (long long)(gave_up ? info->restarts : facts->policy->crash_loop_window_ms / 1000));
    }
}

// ---- actions: bounds --------------------------------------------------------------------------------------------------

struct counting {
    const struct fleet *fleet;
    const char *type;
    int64_t count;
};

static bool count_each(const struct fleet_worker *worker, void *arg)
{
    struct counting *counting = arg;
    counting->count += reeve_str_eq(fleet_worker_info(counting->fleet, worker).type, counting->type) ? 1 : 0;
    return true;
}

static struct health_type *type_of(struct health *health, const char *name)
{
    const char *key = name != NULL ? name : "";
    struct health_type *type = reeve_map_get(health->types, key);
    if (type == NULL) {
        type = calloc(1, sizeof *type);
        if (type != NULL && reeve_map_put(health->types, key, type, NULL) != REEVE_OK) {
            free(type);
            type = NULL; // too many types: nothing is done rather than too much
        }
    }
    return type;
}

static bool type_has_room(const struct health *health, const struct health_type *type, const char *name, int64_t now,
                          int64_t *ret_acted)
{
    struct counting counting = {.fleet = health->manager->fleet, .type = name};
    *ret_acted = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(type->acted_mono); i++) {
        *ret_acted += type->acted_mono[i] != 0 && now - type->acted_mono[i] < HEALTH_ACT_AGAIN_MS ? 1 : 0;
    }
    if (*ret_acted == 0) {
        return true;
    }
    if (*ret_acted >= (int64_t)REEVE_ARRAY_LEN(type->acted_mono)) {
        return false; // more can't be remembered
    }
    fleet_each_worker(counting.fleet, count_each, &counting);
    return *ret_acted < counting.count / HEALTH_ACT_SHARE;
}

// Why nothing is done now, in words; NULL = it may be.
static const char *hindrance(struct health *health, const struct health_worker *worker, const struct fleet_worker_info *info,
                             int64_t now, char *buf, size_t buf_len)
{
    const struct holds *holds = health->manager->holds;
    const struct health_type *type = type_of(health, info->type);
    const struct fleet_node *node = fleet_node(health->manager->fleet, info->node);
    int64_t acted = 0;
    if (hold_fleet_stopped(holds) || hold_worker_shut_down(holds, info->node, info->name)) {
        return "it is to be stopped";
    }
    if (!info->supervised || !info->wanted) {
        return "no node has its process";
    }
    if (node == NULL || fleet_node_info(health->manager->fleet, node).liveness != REEVE_LIVE) {
        return "its node is away";
    }
    if (!info->safe_to_stop) {
        (void)snprintf(buf, buf_len, "it is not safe to stop: %s",
                       info->unsafe_reason != NULL ? info->unsafe_reason : "no reason given"); /* cut */
        return buf;
    }
    if (worker->acted_mono != 0 && now - worker->acted_mono < HEALTH_ACT_AGAIN_MS) {
        (void)snprintf(buf, buf_len, "something was done %lld s ago; the next in %lld s",
                       (long long)((now - worker->acted_mono) / 1000),
                       (long long)((HEALTH_ACT_AGAIN_MS - (now - worker->acted_mono)) / 1000)); /* fits */
        return buf;
    }
    if (type == NULL || !type_has_room(health, type, info->type, now, &acted)) {
        (void)snprintf(buf, buf_len, "%lld workers of its type were acted on within %d s, which is a tenth of them",
                       (long long)acted, HEALTH_ACT_AGAIN_MS / 1000); /* fits */
        return buf;
    }
    return NULL;
}

// ---- actions ----------------------------------------------------------------------------------------------------------

static void restarted(struct manager *manager, const struct order *order, enum reeve_err err, const struct reeve_reply *reply)
{
    char quoted[320];
    if (reply != NULL && reply->phase == REEVE_PHASE_DONE) {
        return;
    }
    const char *said = reply == NULL ? reeve_err_text(err) : reply->message != NULL ? reply->message : reeve_phase_text(reply->phase);
    (void)manager;
    reeve_log(REEVE_LOG_WARNING, "health", "worker=%s/%s op=%s error=%s retrying in %d s", order->node, order->worker, order->op,
              reeve_log_quote(said, quoted, sizeof quoted), HEALTH_ACT_AGAIN_MS / 1000);
}

static const char *restart(struct health *health, const struct fleet_worker_info *info)
{
    // One that its node gave up is refused a restart: it is started afresh.
    bool failed = info->state == REEVE_STATE_FAILED;
    struct order order = {.op = failed ? "reset" : "restart", .end = restarted};
    (void)snprintf(order.node, sizeof order.node, "%s", info->node);     /* a name */
    (void)snprintf(order.worker, sizeof order.worker, "%s", info->name); /* a name */
    enum reeve_err err = order_send(health->manager, &order, NULL);
    return err == REEVE_OK ? "it is restarted" : "it could not be restarted: no session, or too many orders";
}

static const char *replace(struct health *health, const struct fleet_worker_info *info, const char *cause)
{
    struct reeve_why why = {.text = ""};
    enum reeve_err err = pools_replace(health->manager, info->node, info->name, cause, &why);
    if (err == REEVE_OK) {
        return "its pool replaces it";
    }
    return err == REEVE_NOENT ? restart(health, info) : "its pool did not replace it";
}

static const char *do_it(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                         const char *cause, int64_t now)
{
    struct health_type *type = type_of(health, info->type);
    worker->acted_mono = now;
    type->acted_mono[type->next] = now;
    type->next = (type->next + 1) % REEVE_ARRAY_LEN(type->acted_mono);
    health->actions++;
    return health->manager->config.manager.health.on_unhealthy == HEALTH_ACTION_REPLACE ? replace(health, info, cause)
                                                                                        : restart(health, info);
}

static void failing_text(const struct health_check *checks, size_t len, char *buf, size_t buf_len)
{
    size_t used = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < len && used < buf_len; i++) {
        if (!checks[i].ok) {
            used += (size_t)snprintf(buf + used, buf_len - used, "%s%s", used > 0 ? ", " : "", checks[i].name); /* cut */
        }
    }
}

static void act_on_unhealthy(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                             const struct health_check *checks, size_t len)
{
    char subject[REEVE_NAME_SIZE], failing[200], buf[200];
    int64_t now = reeve_clock_mono_ms();
    const struct health_policy *policy = &health->manager->config.manager.health;
    bool open = worker->alarms & HEALTH_ALARM_UNHEALTHY;
    if (now - worker->unhealthy_mono < policy->unhealthy_for_ms) {
        return;
    }
    const char *hinders = policy->on_unhealthy == HEALTH_ACTION_ALARM ? NULL : hindrance(health, worker, info, now, buf, sizeof buf);
    bool acts = policy->on_unhealthy != HEALTH_ACTION_ALARM && hinders == NULL;
    if (open && !acts) {
        return; // it has been said; what hinders is said when it opens
    }
    failing_text(checks, len, failing, sizeof failing);
    const char *done = acts ? do_it(health, worker, info, failing, now) : NULL;
    health->refused_actions += hinders != NULL ? 1 : 0;
    worker->alarms |= HEALTH_ALARM_UNHEALTHY;
    struct reeve_value *detail = about(info);
    (void)reeve_value_put(detail, "checks", health_checks_value(checks, len)); /* remembered: reeve_value_built() */
    reeve_put_str_opt(detail, "action", done != NULL ? done : hinders);
    alarm_open(health->manager, "unhealthy", alarm_subject(info->node, info->name, subject), ALARM_ERROR, detail,
               "%s/%s is unhealthy: %s%s%s%s", info->node, info->name, failing, done != NULL ? "; " : hinders != NULL ? "; nothing is done: " : "",
               done != NULL ? done : "", done == NULL && hinders != NULL ? hinders : "");
}

// Since when it is unhealthy, with breaks shorter than HEALTH_CLEAR_MS overlooked.
static void count_unhealthy(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info)
{
    int64_t now = reeve_clock_mono_ms();
    if (worker->level == HEALTH_UNHEALTHY) {
        worker->unhealthy_mono = worker->unhealthy_mono != 0 ? worker->unhealthy_mono : now;
        return;
    }
    bool unknown = worker->level == HEALTH_UNKNOWN && info->state == REEVE_STATE_UNKNOWN;
    bool was = worker->unhealthy_mono != 0 || worker->alarms & HEALTH_ALARM_UNHEALTHY;
    if (was && !unknown && now - worker->since_mono >= HEALTH_CLEAR_MS) {
        worker->unhealthy_mono = 0;
        close_one(health, worker, info->node, info->name, HEALTH_ALARM_UNHEALTHY);
    }
}

// Somebody ended it: what was is over, and does not count when it is started again.
static void was_ended(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info)
{
    if (worker->alarms != 0 || worker->unhealthy_mono != 0) {
        health_close_alarms(health, worker, info->node, info->name);
    }
    if (worker->more != NULL) {
        worker->more->restarts = (struct health_times){0};
        worker->more->changes = (struct health_times){0};
    }
}

void health_act(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                const struct health_check *checks, size_t len)
{
    const struct health_facts facts = health_facts(health, worker, info);
    if (!worker->taken_over) {
        worker->taken_over = true;
        take_over(health, worker, info);
    }
    if (info->supervised && !info->wanted && !fleet_worker_live(info)) {
        was_ended(health, worker, info);
        return;
    }
    act_on_flapping(health, worker, info, &facts);
    act_on_crash_loop(health, worker, info, &facts);
    count_unhealthy(health, worker, info);
    if (worker->level == HEALTH_UNHEALTHY) {
        act_on_unhealthy(health, worker, info, checks, len);
    }
}
