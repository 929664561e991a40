// What leaves the daemon: retained records, events, audit, metrics.
// Must not: decide anything; every function publishes what is.
#include "daemon.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void publish(struct daemon *daemon, const struct reeve_bus_message *message, const struct reeve_value *value)
{
    struct reeve_why why;
    enum reeve_err err = reeve_bus_publish_value(daemon->bus, message, value, &why);
    if (err != REEVE_OK && err != REEVE_OFFLINE) {
        reeve_log(REEVE_LOG_WARNING, "publish", "topic=%s error=\"%s\" ignoring", message->topic, why.text);
    }
}

// ---- the node ---------------------------------------------------------------------------------------------------

static const char *host_name(void)
{
    static char name[256];
    if (name[0] == '\0' && gethostname(name, sizeof name - 1) != 0) {
        (void)snprintf(name, sizeof name, "unknown");
    }
    return name;
}

static void count_workers(const struct daemon *daemon, struct reeve_node_status *status)
{
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        const struct worker *worker = it.value;
        status->workers_total++;
        status->workers_running += worker->machine.state == REEVE_STATE_RUNNING;
        status->workers_failed += worker->machine.state == REEVE_STATE_FAILED;
    }
}

// What the node keeps for itself is no capacity. At least something is left: 0 would read as not known.
static int64_t cpus_for_workers(const struct node_config *config)
{
    const double left = (double)sysconf(_SC_NPROCESSORS_ONLN) - config->node.reserved.cpus;
    return left < 1 ? 1 : (int64_t)left;
}

static int64_t memory_for_workers(const struct node_config *config, int64_t total)
{
    const int64_t left = total - config->node.reserved.memory_bytes;
    return left < 1 ? 1 : left;
}

void publish_node(struct daemon *daemon, bool goodbye)
{
    struct sysinfo info = {0};
    (void)sysinfo(&info);
    const int64_t heartbeat_ms = lease_heartbeat_ms(daemon);
    struct reeve_node_status status = {
        .epoch = reeve_bus_epoch(daemon->bus),
        .state = goodbye ? "offline" : daemon->draining ? "draining" : "online",
        .boot_id = reeve_boot_id(),
        .version = REEVE_VERSION,
        .host = host_name(),
        .region = daemon->config.node.region,
        .limits = cgroup_host_text(daemon->cgroups),
        .labels = daemon->config.node.labels,
        .pid = getpid(),
        .started_at = daemon->started_at,
        .at = reeve_clock_wall_ms(),
        .heartbeat_ms = heartbeat_ms,
        .ttl_ms = 3 * heartbeat_ms,
        .cpus = cpus_for_workers(&daemon->config),
        .memory_bytes = memory_for_workers(&daemon->config, (int64_t)info.totalram * info.mem_unit),
        .workers_max = daemon->config.node.workers_max,
        .beat = goodbye ? 0 : lease_beat(&daemon->beats, reeve_clock_mono_ms()), // before it leaves [lease-4]
    };
    REEVE_VALUE_AUTO round_trip = endpoints_value(daemon);
    status.round_trip = round_trip;
    count_workers(daemon, &status);
    char topic[REEVE_TOPIC_SIZE];
    (void)reeve_topic_make(topic, daemon->config.node.root, "node/%s/status", daemon->config.node.name);
    REEVE_VALUE_AUTO value = reeve_node_status_value(&status);
    // A goodbye stays: it has no successor that would renew it.
    publish(daemon, &(struct reeve_bus_message){.topic = topic, .qos = 1, .retain = true, .class = REEVE_BUS_STATE,
                                                .expiry_ms = goodbye ? 0 : status.ttl_ms},
            value);
}

// ---- workers ------------------------------------------------------------------------------------------------------

static void put_exit_record(const struct worker *worker, struct reeve_process_record *record)
{
    record->has_exit = worker->has_exit;
    record->exit = (struct reeve_exit){.code = worker->exit.code,
                                       .signal = worker->exit.signal,
                                       .oom = worker->exit.oom,
                                       .ran_ms = worker->exit.ran_ms};
    record->exit_cause = worker->exit.cause;
    record->exit_at = worker->exit.ended_at;
    record->exit_run = worker->ended_run;
}

static void list_enforced(const struct worker *worker, struct reeve_process_record *record)
{
    const struct {
        const char *name;
        bool on;
    } rows[] = {{"memory", worker->enforced.memory}, {"cpu", worker->enforced.cpu}, {"pids", worker->enforced.pids}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (rows[i].on) {
            (void)reeve_strv_add(&record->enforced, rows[i].name); /* out of memory: the list is shorter */
        }
    }
}

static const char *program_of(const struct worker *worker)
{
    return worker->spec.command.len > 0 ? worker->spec.command.items[0] : NULL;
}

struct reeve_value *process_value(const struct worker *worker)
{
    const struct daemon *daemon = worker->daemon;
    int64_t now_mono = reeve_clock_mono_ms();
    struct reeve_process_record record = {
        .epoch = reeve_bus_epoch(daemon->bus),
        .run = worker->last_run,
        .state = worker->machine.state,
        .since = worker->since_at,
        .at = reeve_clock_wall_ms(),
        .wanted = worker->machine.wanted,
        .speaks = worker->speaks,
        .type = worker->spec.type,
        .exchange = worker->spec.exchange,
        .program = program_of(worker),
        .origin = worker_is_sites(worker) ? "site" : worker->origin,
        .capabilities = &worker->spec.capabilities,
        .labels = worker->spec.labels,
        .pool = worker->spec.pool,
        .account = worker->spec.account,
        .attributes = worker->spec.attributes,
        .fence = worker->spec.fence,
        .spec_version = worker->spec_version,
        .pid = worker->pid,
        .started_at = worker->pid != 0 ? worker->started_at : 0,
        .ready_at = worker->ready_at,
        .restarts = worker->restarts,
        .failures = worker->backoff.failures,
        .next_start_at = worker->next_start_at,
        .ttl_at = worker->ttl_until_mono > 0 ? reeve_clock_wall_ms() + worker->ttl_until_mono - now_mono : 0,
        .memory_limit_bytes = worker->spec.memory_limit_bytes,
        .pids_limit = worker->spec.max_pids,
        .cpu_limit = worker->spec.cpu_limit,
        .not_enforced = worker->not_enforced[0] != '\0' ? worker->not_enforced : NULL,
        .why = worker->why[0] != '\0' ? worker->why : NULL,
    };
    REEVE_VALUE_AUTO probes = probes_value(worker);
    record.probes = probes;
    put_exit_record(worker, &record);
    list_enforced(worker, &record);
    struct reeve_value *value = reeve_process_value(&record);
    reeve_strv_done(&record.enforced);
    return value;
}

void publish_worker(struct worker *worker)
{
    struct daemon *daemon = worker->daemon;
    char topic[REEVE_TOPIC_SIZE];
    worker->dirty = false;
    if (daemon->bus == NULL || worker->adopting) {
        return;
    }
    (void)reeve_topic_make(topic, daemon->config.node.root, "worker/%s/%s/process", daemon->config.node.name, worker->name);
    REEVE_VALUE_AUTO value = process_value(worker);
    publish(daemon, &(struct reeve_bus_message){.topic = topic, .qos = 1, .retain = true, .class = REEVE_BUS_STATE}, value);
}

void publish_mark(struct worker *worker)
{
    worker->dirty = true;
    worker->daemon->any_dirty = true;
}

void publish_worker_removed(struct daemon *daemon, const char *name)
{
    static const char *const leaves[] = {"process", "status", "lwt"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(leaves); i++) {
        char topic[REEVE_TOPIC_SIZE];
        (void)reeve_topic_make(topic, daemon->config.node.root, "worker/%s/%s/%s", daemon->config.node.name, name, leaves[i]);
        (void)reeve_bus_publish(daemon->bus,
                                &(struct reeve_bus_message){.topic = topic, .qos = 1, .retain = true, .class = REEVE_BUS_STATE},
                                NULL); /* offline: the next session clears ghosts */
    }
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", name);
    publish_event(daemon, "worker_removed", detail);
}

void publish_session(struct daemon *daemon)
{
    publish_node(daemon, false);
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        publish_worker(it.value);
    }
}

// ---- events and audit -----------------------------------------------------------------------------------------------

void publish_event(struct daemon *daemon, const char *kind, struct reeve_value *detail)
{
    REEVE_VALUE_AUTO event = detail != NULL ? detail : reeve_value_map();
    char topic[REEVE_TOPIC_SIZE];
    daemon->counters.events++;
    if (daemon->bus == NULL) {
        return;
    }
    reeve_put_str(event, "kind", kind);
    reeve_put_int(event, "seq", (int64_t)++daemon->event_seq);
    reeve_put_int(event, "epoch", (int64_t)reeve_bus_epoch(daemon->bus));
    reeve_put_int(event, "at", reeve_clock_wall_ms());
    (void)reeve_topic_make(topic, daemon->config.node.root, "node/%s/event", daemon->config.node.name);
    publish(daemon, &(struct reeve_bus_message){.topic = topic, .qos = 1, .class = REEVE_BUS_EVENT}, event);
}

void publish_audit(struct daemon *daemon, const struct pending *pending, enum reeve_phase phase, const char *code,
                   const char *message)
{
    REEVE_VALUE_AUTO entry = reeve_value_map();
    char topic[REEVE_TOPIC_SIZE];
    reeve_put_str(entry, "id", pending->command.id != NULL ? pending->command.id : "unknown");
    reeve_put_str(entry, "topic", pending->topic);
    reeve_put_str_opt(entry, "op", pending->op != NULL ? pending->op->name : NULL);
    reeve_put_str_opt(entry, "issuer", pending->command.issuer);
    reeve_put_str(entry, "phase", reeve_phase_text(phase));
    reeve_put_str_opt(entry, "code", code);
    reeve_put_str_opt(entry, "message", message);
    reeve_put_int(entry, "at", reeve_clock_wall_ms());
    (void)reeve_topic_make(topic, daemon->config.node.root, "audit/%s", daemon->config.node.name);
    publish(daemon, &(struct reeve_bus_message){.topic = topic, .qos = 1, .class = REEVE_BUS_EVENT}, entry);
}

// ---- metrics ----------------------------------------------------------------------------------------------------------

// What the host can't tell (-1) is left out.
void put_usage(struct reeve_value *map, int64_t memory_bytes, int64_t cpu_us)
{
    if (memory_bytes >= 0) {
        reeve_put_int(map, "memory_bytes", memory_bytes);
    }
    if (cpu_us >= 0) {
        reeve_put_int(map, "cpu_ms", cpu_us / 1000);
    }
}

static struct reeve_value *worker_usage(const struct worker *worker)
{
    int64_t memory;
    int64_t cpu_us;
    if (worker->pid == 0 || !cgroup_usage(worker->daemon->cgroups, worker->name, &memory, &cpu_us)) {
        return NULL;
    }
    struct reeve_value *map = reeve_value_map();
    put_usage(map, memory, cpu_us);
    return map;
}

void publish_metrics(struct daemon *daemon)
{
    REEVE_VALUE_AUTO metrics = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    char topic[REEVE_TOPIC_SIZE];
    double load[1] = {0};
    struct sysinfo info = {0};
    (void)sysinfo(&info);
    (void)getloadavg(load, 1);
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        struct reeve_value *usage = worker_usage(it.value);
        if (usage != NULL) {
            (void)reeve_value_put(workers, it.key, usage); /* remembered: reeve_value_built() */
        }
    }
    reeve_put_int(metrics, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(metrics, "load", reeve_value_float(load[0])); /* remembered: reeve_value_built() */
    reeve_put_int(metrics, "memory_total_bytes", (int64_t)info.totalram * info.mem_unit);
    reeve_put_int(metrics, "memory_free_bytes", (int64_t)info.freeram * info.mem_unit);
    reeve_put_int(metrics, "commands", (int64_t)daemon->counters.commands);
    reeve_put_int(metrics, "refused", (int64_t)daemon->counters.refused);
    reeve_put_int(metrics, "spawns", (int64_t)daemon->counters.spawns);
    reeve_put_int(metrics, "exits", (int64_t)daemon->counters.exits);
    reeve_put_int(metrics, "store_failures", (int64_t)daemon->counters.store_failures);
    (void)reeve_value_put(metrics, "workers", workers);                                   /* remembered: reeve_value_built() */
    (void)reeve_value_put(metrics, "bus", reeve_bus_stats_value(daemon->bus)); /* remembered: reeve_value_built() */
    (void)reeve_topic_make(topic, daemon->config.node.root, "node/%s/metrics", daemon->config.node.name);
    publish(daemon, &(struct reeve_bus_message){.topic = topic, .qos = 0, .class = REEVE_BUS_BULK}, metrics);
}
