// Ops about the node itself: list, describe, drain, undrain, shutdown.
// Must not: let secrets out: specs are encoded without them.
#include "daemon.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_LIMIT_PRESET 200
#define LIST_LIMIT_MAX 400 // process records of up to 2 KiB each stay below the 1 MiB of a message

static bool asks_for_some(const struct pending *pending)
{
    return reeve_value_len(pending->command.args) > 0;
}

// Selectors are optional for reading ops: none means all.
static enum reeve_err select_optional(struct pending *pending, struct reeve_why *why)
{
    static const char *const keys[] = {"workers", "type", "exchange", "labels", "state", "all"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        if (reeve_value_get(pending->command.args, keys[i]) != NULL) {
            return select_workers(pending, why);
        }
    }
    enum reeve_err err = REEVE_OK;
    struct reeve_map_iter it = {0};
    while (err == REEVE_OK && reeve_map_next(pending->daemon->workers, &it)) {
        err = pending_add_target(pending, it.key, why);
    }
    return err;
}

static void refuse_read(struct pending *pending, enum reeve_err err, const struct reeve_why *why)
{
    char text[640];
    pending_finish(pending, REEVE_PHASE_REJECTED, err, reeve_why_format(why, text, sizeof text), NULL);
}

// ---- list -----------------------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct target *)a)->worker, ((const struct target *)b)->worker);
}

void op_list_act(struct pending *pending)
{
    struct reeve_why why = {0};
    enum reeve_err err = select_optional(pending, &why);
    if (err != REEVE_OK) {
        refuse_read(pending, err, &why);
        return;
    }
    if (pending->targets_len > 0) {
        qsort(pending->targets, pending->targets_len, sizeof *pending->targets, by_name);
    }
    int64_t offset = reeve_get_int(pending->command.args, "offset", 0);
    int64_t limit = reeve_get_int(pending->command.args, "limit", LIST_LIMIT_PRESET);
    offset = offset < 0 ? 0 : offset;
    limit = limit < 1 || limit > LIST_LIMIT_MAX ? LIST_LIMIT_MAX : limit;
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    for (int64_t i = offset; i < (int64_t)pending->targets_len && i < offset + limit; i++) {
        const struct worker *worker = target_worker(pending, &pending->targets[i]);
        (void)reeve_value_put(workers, worker->name, process_value(worker)); /* remembered: reeve_value_built() */
    }
    reeve_put_int(result, "total", (int64_t)pending->targets_len);
    reeve_put_int(result, "offset", offset);
    (void)reeve_value_put(result, "workers", workers); /* remembered: reeve_value_built() */
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, result);
}

// ---- describe -------------------------------------------------------------------------------------------------

static struct reeve_value *describe_worker(const struct worker *worker)
{
    struct reeve_value *map = reeve_value_map();
    struct reeve_value *spec = NULL;
    char text[4096];
    const struct reeve_backoff_policy policy = reeve_spec_backoff(&worker->spec);
    (void)reeve_value_put(map, "process", process_value(worker)); /* remembered: reeve_value_built() */
    if (reeve_spec_encode(&worker->spec, REEVE_ENCODE_SKIP_PRESETS, &spec) == REEVE_OK) {
        (void)reeve_value_put(map, "spec", spec); /* remembered: reeve_value_built() */
    }
    reeve_put_str(map, "restarts", reeve_backoff_schedule(&policy, text, sizeof text));
    reeve_put_str(map, "logs", spawn_log_dir(worker, text, sizeof text));
    reeve_put_str(map, "origin", worker->origin);
    reeve_put_int(map, "version", worker->spec_version);
    reeve_put_int(map, "created_at", worker->created_at);
    if (worker->spec.self_stop_after_ms > 0) {
        const int64_t left_ms = worker_lease_until(worker) - reeve_clock_mono_ms();
        reeve_put_int(map, "lease_left_ms", left_ms > 0 ? left_ms : 0);
    }
    int64_t memory;
    int64_t cpu_us;
    if (cgroup_usage(worker->daemon->cgroups, worker->name, &memory, &cpu_us)) {
        put_usage(map, memory, cpu_us);
    }
    return map;
}

static void put_counters(const struct daemon *daemon, struct reeve_value *map)
{
    const struct daemon_counters *counters = &daemon->counters;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"commands", counters->commands},
        {"refused", counters->refused},
        {"malformed", counters->malformed},
        {"duplicates", counters->duplicates},
        {"expired", counters->expired},
        {"retained", counters->retained},
        {"store_failures", counters->store_failures},
        {"spawns", counters->spawns},
        {"spawn_failures", counters->spawn_failures},
        {"exits", counters->exits},
        {"oom_kills", counters->oom_kills},
        {"lost_runs", counters->lost_runs},
        {"events", counters->events},
        {"turns", counters->turns},
        {"leases_refused", counters->leases_refused},
        {"commands_in_hand", reeve_map_len(daemon->commands)},
    };
    struct reeve_value *values = reeve_value_map();
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        reeve_put_int(values, rows[i].name, (int64_t)rows[i].value);
    }
    (void)reeve_value_put(map, "counters", values); /* remembered: reeve_value_built() */
}

static struct reeve_value *describe_node(const struct daemon *daemon)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "node", daemon->config.node.name);
    reeve_put_str(map, "version", REEVE_VERSION);
    reeve_put_str(map, "state", daemon->leaving ? "offline" : daemon->draining ? "draining" : "online");
    reeve_put_str(map, "state_dir", daemon->config.node.state_dir);
    reeve_put_str(map, "config", daemon->config.path);
    reeve_put_str(map, "limits", cgroup_host_text(daemon->cgroups));
    reeve_put_int(map, "started_at", daemon->started_at);
    reeve_put_int(map, "workers", (int64_t)reeve_map_len(daemon->workers));
    reeve_put_bool(map, "store_failing", daemon->store_failing);
    put_counters(daemon, map);
    (void)reeve_value_put(map, "bus", reeve_bus_stats_value(daemon->bus)); /* remembered: reeve_value_built() */
    return map;
}

void op_describe_act(struct pending *pending)
{
    struct reeve_why why = {0};
    if (!asks_for_some(pending)) {
        pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, describe_node(pending->daemon));
        return;
    }
    enum reeve_err err = select_workers(pending, &why);
    if (err == REEVE_OK && pending->targets_len > 64) {
        err = reeve_fail(&why, REEVE_LIMIT, "%zu workers fit; `describe` answers for 64 at most", pending->targets_len);
    }
    if (err != REEVE_OK) {
        refuse_read(pending, err, &why);
        return;
    }
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    for (size_t i = 0; i < pending->targets_len; i++) {
        const struct worker *worker = target_worker(pending, &pending->targets[i]);
        (void)reeve_value_put(workers, worker->name, describe_worker(worker)); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(result, "workers", workers); /* remembered: reeve_value_built() */
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, result);
}

// ---- drain, undrain --------------------------------------------------------------------------------------------

enum reeve_err op_drain_prepare(struct pending *pending, struct reeve_why *why)
{
    return store_number_set(pending->daemon->store, "draining", 1, why);
}

static void stop_all_but_the_sites(struct daemon *daemon, struct reeve_value *stopped)
{
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        struct worker *worker = it.value;
        struct reeve_why why;
        if (!worker_is_sites(worker) && worker_step(worker, REEVE_EVENT_STOP, "drain", &why) == REEVE_OK) {
            (void)reeve_value_add(stopped, reeve_value_str(worker->name)); /* remembered: reeve_value_built() */
        }
    }
}

void op_drain_act(struct pending *pending)
{
    struct daemon *daemon = pending->daemon;
    struct reeve_value *result = reeve_value_map();
    daemon->draining = true;
    if (reeve_get_bool(pending->command.args, "stop", false)) {
        struct reeve_value *stopped = reeve_value_list();
        stop_all_but_the_sites(daemon, stopped);
        (void)reeve_value_put(result, "stopping", stopped); /* remembered: reeve_value_built() */
    }
    reeve_put_str(result, "state", "draining");
    publish_node(daemon, false);
    publish_event(daemon, "draining", NULL);
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, result);
}

enum reeve_err op_undrain_prepare(struct pending *pending, struct reeve_why *why)
{
    return store_number_set(pending->daemon->store, "draining", 0, why);
}

void op_undrain_act(struct pending *pending)
{
    pending->daemon->draining = false;
    publish_node(pending->daemon, false);
    publish_event(pending->daemon, "undrained", NULL);
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, NULL);
}

// ---- shutdown -----------------------------------------------------------------------------------------------------

static enum reeve_err read_keep(const struct pending *pending, bool *ret_keep, struct reeve_why *why)
{
    const struct reeve_value *workers = reeve_value_get(pending->command.args, "workers");
    const char *text = workers == NULL ? "stop" : reeve_value_text(workers);
    if (text == NULL || (strcmp(text, "stop") != 0 && strcmp(text, "keep") != 0)) {
        return reeve_fail(why, REEVE_INVALID, "args.workers: expected stop or keep");
    }
    *ret_keep = strcmp(text, "keep") == 0;
    return REEVE_OK;
}

enum reeve_err op_shutdown_prepare(struct pending *pending, struct reeve_why *why)
{
    bool keep;
    return read_keep(pending, &keep, why);
}

static void leave_after_reply(struct daemon *daemon, bool committed, const struct reeve_why *why, void *arg)
{
    (void)committed;
    (void)why;
    daemon_leave(daemon, arg != NULL);
}

void op_shutdown_act(struct pending *pending)
{
    struct daemon *daemon = pending->daemon;
    bool keep = false;
    bool resumed = pending->seq == 0; // no `accepted` by us: a former daemon took it and has left; this one stays
    (void)read_keep(pending, &keep, NULL); /* checked in prepare */
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, resumed ? "the daemon had left and is back" : "leaving", NULL);
    if (!resumed) {
        daemon_after_commit(daemon, leave_after_reply, keep ? daemon : NULL);
    }
}
