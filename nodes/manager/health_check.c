// From facts to checks, one row each. Pure: no clock, no fleet, no allocation.
// A threshold that is reached fails, but memory may fill its share of the limit. None failing = healthy, one = warning, more =
// unhealthy. Must not: know what follows from it.
#include "health_room.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void set(struct health_check *check, const char *name, bool ok, double value, double threshold)
{
    *check = (struct health_check){.ok = ok, .value = value, .threshold = threshold};
    (void)snprintf(check->name, sizeof check->name, "%s", name); /* cut */
}

#define SAY(check, ...) (void)snprintf((check)->message, sizeof(check)->message, __VA_ARGS__) /* cut is good enough */

static bool is_wanted(const struct fleet_worker_info *info)
{
    return info->wanted || !info->supervised;
}

// ---- one check each: false = does not apply -------------------------------------------------------------------------

static bool check_heartbeat(const struct health_facts *facts, struct health_check *check)
{
    const struct fleet_worker_info *info = facts->info;
    bool silent = info->state == REEVE_STATE_LOST || info->state == REEVE_STATE_FAILED ||
                  info->state == REEVE_STATE_RESTARTING;
    if (!info->speaks || !is_wanted(info)) {
        return false;
    }
    set(check, "heartbeat", !silent, NAN, NAN);
    check->text = silent ? "silent" : "live";
    if (silent) {
        SAY(check, "%s", info->state == REEVE_STATE_LOST ? "its session is dead or stale" : "it has no session");
    }
    return true;
}

static bool check_process(const struct health_facts *facts, struct health_check *check)
{
    const struct fleet_worker_info *info = facts->info;
    bool missing = info->state == REEVE_STATE_FAILED || info->state == REEVE_STATE_RESTARTING ||
                   info->state == REEVE_STATE_STOPPED;
    if (!info->supervised || !info->wanted) {
        return false;
    }
    set(check, "process", !missing, NAN, NAN);
    check->text = reeve_state_text(info->state);
    if (missing) {
        SAY(check, "it is to run, and its process is %s", reeve_state_text(info->state));
    }
    return true;
}

static bool check_restarts(const struct health_facts *facts, struct health_check *check)
{
    const struct fleet_worker_info *info = facts->info;
    int64_t most = facts->policy->crash_loop_restarts;
    if (!info->supervised || !info->wanted || most <= 0) {
        return false;
    }
    bool failed = info->state == REEVE_STATE_FAILED;
    set(check, "restarts", !failed && facts->restarts < most, (double)facts->restarts, (double)most);
    if (failed) {
        SAY(check, "its node gave up on it; `reset` starts it afresh");
    } else if (!check->ok) {
        SAY(check, "it was restarted %lld times or more within %lld s", (long long)most,
            (long long)(facts->policy->crash_loop_window_ms / 1000));
    }
    return true;
}

static bool check_flapping(const struct health_facts *facts, struct health_check *check)
{
    int64_t most = facts->policy->flapping_changes;
    if (most <= 0 || facts->changes < most) { // told only when it fails: it is nothing that somebody measures
        return false;
    }
    set(check, "flapping", false, (double)facts->changes, (double)most);
    SAY(check, "it came and went %lld times or more within %lld s", (long long)most,
        (long long)(facts->policy->flapping_window_ms / 1000));
    return true;
}

static bool check_memory(const struct health_facts *facts, struct health_check *check)
{
    const struct fleet_worker_info *info = facts->info;
    int64_t most = facts->policy->memory_percent;
    if (info->memory_bytes < 0 || info->memory_limit_bytes <= 0 || most <= 0) {
        return false;
    }
    double percent = 100.0 * (double)info->memory_bytes / (double)info->memory_limit_bytes;
    set(check, "memory", percent <= (double)most, percent, (double)most);
    if (!check->ok) {
        SAY(check, "its memory is above %lld %% of its limit", (long long)most);
    }
    return true;
}

static bool check_memory_trend(const struct health_facts *facts, struct health_check *check)
{
    const struct fleet_worker_info *info = facts->info;
    int64_t horizon = facts->policy->memory_trend_ms;
    if (info->memory_bytes < 0 || info->memory_limit_bytes <= 0 || horizon <= 0 || facts->memory_slope <= 0) {
        return false;
    }
    double left_ms = (double)(info->memory_limit_bytes - info->memory_bytes) / facts->memory_slope;
    left_ms = left_ms > 0 ? left_ms : 0;
    set(check, "memory_trend", left_ms > (double)horizon, floor(left_ms / 1000), (double)horizon / 1000);
    if (!check->ok) {
        SAY(check, "as its memory grows, its limit is reached within %lld s", (long long)(horizon / 1000));
    }
    return true;
}

static bool check_progress(const struct health_facts *facts, struct health_check *check)
{
    int64_t longest = facts->policy->progress_ms;
    if (facts->stalled_ms < 0 || longest <= 0) {
        return false;
    }
    set(check, "progress", facts->stalled_ms < longest, (double)(facts->stalled_ms / 1000), (double)longest / 1000);
    if (!check->ok) {
        SAY(check, "the job in hand made no progress for %lld s", (long long)(longest / 1000));
    }
    return true;
}

static bool check_errors(const struct health_facts *facts, struct health_check *check)
{
    const struct health_policy *policy = facts->policy;
    int64_t ended = facts->done + facts->failed;
    if (policy->error_rate <= 0 || ended == 0 || ended < policy->error_jobs_min) {
        return false;
    }
    double rate = (double)facts->failed / (double)ended;
    set(check, "errors", rate < policy->error_rate, rate, policy->error_rate);
    if (!check->ok) {
        SAY(check, "of its jobs within %lld s a share of %g or more failed", (long long)(policy->error_window_ms / 1000),
            policy->error_rate);
    }
    return true;
}

static bool (*const rows[])(const struct health_facts *facts, struct health_check *check) = {
    check_heartbeat, check_process,      check_restarts, check_flapping,
    check_memory,    check_memory_trend, check_progress, check_errors,
};

// ---- declared by the worker, probed by its node -----------------------------------------------------------------------

static void copy_declared(const struct reeve_value *declared, const char *prefix, struct health_check *check)
{
    const char *name = reeve_get_str(declared, "name");
    const char *message = reeve_get_str(declared, "message");
    const struct reeve_value *value = reeve_value_get(declared, "value");
    char full[sizeof check->name];
    (void)snprintf(full, sizeof full, "%s%.60s", prefix, name == NULL ? "unnamed" : name); /* cut */
    set(check, full, reeve_get_bool(declared, "ok", true), reeve_value_real(value, NAN),
        reeve_value_real(reeve_value_get(declared, "fail"), NAN));
    if (reeve_value_kind(value) == REEVE_STR) {
        check->text = reeve_value_text(value);
    }
    if (message != NULL || !check->ok) {
        SAY(check, "%s", message != NULL ? message : "it fails");
    }
}

static size_t copy_all(const struct reeve_value *list, const char *prefix, struct health_check *checks, size_t len)
{
    size_t n = reeve_value_kind(list) == REEVE_LIST ? reeve_value_len(list) : 0;
    for (size_t i = 0; i < n && len < HEALTH_CHECKS_MAX; i++) {
        copy_declared(reeve_value_at(list, i), prefix, &checks[len++]);
    }
    return len;
}

size_t health_check_all(const struct health_facts *facts, struct health_check checks[HEALTH_CHECKS_MAX])
{
    static_assert(REEVE_ARRAY_LEN(rows) + 32 <= HEALTH_CHECKS_MAX, "room for 16 declared checks and as many probes");
    size_t len = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        len += rows[i](facts, &checks[len]) ? 1 : 0;
    }
    if (facts->info->state == REEVE_STATE_RUNNING || facts->info->state == REEVE_STATE_LOST) {
        len = copy_all(facts->domain, "check.", checks, len);
        len = copy_all(facts->probes, "probe.", checks, len);
    }
    return len;
}

enum health_level health_check_level(const struct health_facts *facts, const struct health_check *checks, size_t len)
{
    const struct fleet_worker_info *info = facts->info;
    size_t failing = 0;
    bool on_its_way = info->state == REEVE_STATE_CREATED || info->state == REEVE_STATE_STARTING ||
                      info->state == REEVE_STATE_STOPPING;
    bool to_be_gone = !is_wanted(info) || (!info->supervised && info->state == REEVE_STATE_STOPPED);
    if (info->state == REEVE_STATE_UNKNOWN || on_its_way || (to_be_gone && info->state != REEVE_STATE_RUNNING)) {
        return HEALTH_UNKNOWN;
    }
    for (size_t i = 0; i < len; i++) {
        failing += checks[i].ok ? 0 : 1;
    }
    return failing == 0 ? HEALTH_HEALTHY : failing == 1 ? HEALTH_WARNING : HEALTH_UNHEALTHY;
}

// ---- as a record ------------------------------------------------------------------------------------------------------

static void put_number(struct reeve_value *map, const char *key, double number)
{
    if (isfinite(number)) {
        bool whole = number == floor(number) && fabs(number) < 1e15;
        (void)reeve_value_put(map, key, whole ? reeve_value_int((int64_t)number) : reeve_value_float(number)); /* remembered */
    }
}

struct reeve_value *health_checks_value(const struct health_check *checks, size_t len)
{
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        struct reeve_value *map = reeve_value_map();
        reeve_put_str(map, "name", checks[i].name);
        reeve_put_bool(map, "ok", checks[i].ok);
        if (checks[i].text != NULL) {
            reeve_put_str(map, "value", checks[i].text);
        } else {
            put_number(map, "value", checks[i].value);
        }
        put_number(map, "threshold", checks[i].threshold);
        reeve_put_str_opt(map, "message", checks[i].message);
        (void)reeve_value_add(list, map); /* remembered: reeve_value_built() */
    }
    return list;
}
