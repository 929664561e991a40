// The records of simulated nodes and workers: the same tables as real ones, with the keys and sizes of a small
// trading site. Must not: say anything that a daemon or a worker of the SDK would not.
#include "simulation.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <reeve/presence.h>
#include <stdlib.h>

#define MIB (1 << 20)

int64_t jittered(int64_t ms)
{
    int64_t span = ms / 10;
    return ms - span + (int64_t)random() % (2 * span + 1);
}

static uint32_t seconds(int64_t ms)
{
    return (uint32_t)((ms + 999) / 1000);
}

static void say(struct simulation *simulation, struct mqtt *mqtt, struct mqtt_publish *publish,
                const struct reeve_value *record)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(MQTT_PACKET_MAX);
    (void)simulation;
    if (record == NULL || reeve_value_built(record) != REEVE_OK || reeve_msgpack_write(record, &bytes) != REEVE_OK) {
        give_up("out of memory");
    }
    publish->payload = bytes.data;
    publish->payload_len = bytes.len;
    mqtt_publish(mqtt, publish);
}

static struct reeve_value *desk_labels(int number)
{
    static const char *const desks[] = {"alpha", "beta", "gamma", "delta"};
    struct reeve_value *labels = reeve_value_map();
    reeve_put_str(labels, "desk", desks[number % 4]);
    reeve_put_str(labels, "tier", number % 3 == 0 ? "gold" : "silver");
    return labels;
}

// ---- nodes ----------------------------------------------------------------------------------------------------

static int64_t count_running(const struct sim_node *node, int64_t *ret_total)
{
    const struct simulation *simulation = node->simulation;
    int64_t running = 0;
    *ret_total = 0;
    for (int i = node->number; i < simulation->workers_len; i += simulation->nodes_len) {
        running += simulation->workers[i].state == REEVE_STATE_RUNNING;
        *ret_total += 1;
    }
    return running;
}

void say_node(struct sim_node *node)
{
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO labels = desk_labels(node->number);
    struct reeve_node_status status = {
        .epoch = node->epoch,
        .state = "online",
        .boot_id = reeve_boot_id(),
        .version = REEVE_VERSION,
        .host = node->name,
        .region = simulated_region(node->number),
        .limits = "v2 (memory cpu pids)",
        .labels = labels,
        .pid = 1000 + node->number,
        .started_at = node->started_at,
        .at = reeve_clock_wall_ms(),
        .heartbeat_ms = SIMULATED_NODE_BEAT_MS,
        .ttl_ms = (int64_t)3 * SIMULATED_NODE_BEAT_MS,
        .cpus = 64,
        .memory_bytes = (int64_t)262144 * MIB,
        .workers_max = 1000,
        .beat = ++node->beat,
    };
    status.workers_running = count_running(node, &status.workers_total);
    REEVE_VALUE_AUTO record = reeve_node_status_value(&status);
    struct mqtt_publish publish = {.topic =
                                       reeve_topic_make(topic, node->simulation->root, "node/%s/status", node->name),
                                   .qos1 = true,
                                   .retain = true,
                                   .expiry_s = seconds(status.ttl_ms)};
    say(node->simulation, node->mqtt, &publish, record);
}

void say_metrics(struct sim_node *node)
{
    char topic[REEVE_TOPIC_SIZE];
    struct simulation *simulation = node->simulation;
    REEVE_VALUE_AUTO metrics = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    int64_t now = reeve_clock_wall_ms();
    for (int i = node->number; i < simulation->workers_len; i += simulation->nodes_len) {
        const struct sim_worker *worker = &simulation->workers[i];
        if (worker->state == REEVE_STATE_RUNNING) {
            struct reeve_value *usage = reeve_value_map();
            reeve_put_int(usage, "memory_bytes", (int64_t)(60 + i % 20) * MIB + random() % MIB);
            reeve_put_int(usage, "cpu_ms", (now - worker->started_at) / (10 + i % 50));
            (void)reeve_value_put(workers, worker->name, usage); // reeve_value_built()
        }
    }
    reeve_put_int(metrics, "at", now);
    (void)reeve_value_put(metrics, "load", reeve_value_float(0.5 + (double)(random() % 100) / 100)); // as above
    reeve_put_int(metrics, "memory_total_bytes", (int64_t)262144 * MIB);
    reeve_put_int(metrics, "memory_free_bytes", (int64_t)131072 * MIB);
    (void)reeve_value_put(metrics, "workers", workers); // as above
    struct mqtt_publish publish = {.topic = reeve_topic_make(topic, simulation->root, "node/%s/metrics", node->name)};
    say(simulation, node->mqtt, &publish, metrics);
}

// ---- workers --------------------------------------------------------------------------------------------------

static char orders[] = "orders", quotes[] = "quotes", websocket[] = "websocket";
static char *capability_items[] = {orders, quotes, websocket, NULL};
static const struct reeve_strv capabilities = {.items = capability_items, .len = 3};
static char memory[] = "memory", cpu[] = "cpu", pids[] = "pids";
static char *enforced_items[] = {memory, cpu, pids, NULL};

void say_process(struct sim_worker *worker)
{
    char topic[REEVE_TOPIC_SIZE];
    struct simulation *simulation = worker->simulation;
    REEVE_VALUE_AUTO labels = desk_labels(worker->number);
    bool alive = worker->state != REEVE_STATE_STOPPED;
    const struct reeve_process_record process = {
        .epoch = worker->node->epoch,
        .run = worker->run,
        .state = worker->state,
        .since = worker->since_at,
        .at = reeve_clock_wall_ms(),
        .wanted = worker->state == REEVE_STATE_RUNNING || worker->state == REEVE_STATE_STARTING,
        .speaks = true,
        .type = simulated_type(worker->number, simulation->nodes_len),
        .exchange = simulated_exchange(worker->number, simulation->nodes_len),
        .program = "/opt/trading/bin/worker",
        .origin = "command",
        .capabilities = &capabilities,
        .labels = labels,
        .spec_version = 1,
        .pid = alive ? 2000 + worker->number : 0,
        .started_at = alive ? worker->started_at : 0,
        .ready_at = worker->state == REEVE_STATE_RUNNING ? worker->started_at : 0,
        .memory_limit_bytes = (int64_t)256 * MIB,
        .pids_limit = 64,
        .cpu_limit = 0.5,
        .enforced = {.items = enforced_items, .len = 3},
        .has_exit = !alive,
        .exit = {.ran_ms = worker->stopped_at - worker->started_at},
        .exit_cause = "stop",
        .exit_at = worker->stopped_at,
        .exit_run = alive ? 0 : worker->run,
    };
    REEVE_VALUE_AUTO record = reeve_process_value(&process);
    struct mqtt_publish publish = {
        .topic = reeve_topic_make(topic, simulation->root, "worker/%s/%s/process", worker->node->name, worker->name),
        .qos1 = true,
        .retain = true};
    say(simulation, worker->node->mqtt, &publish, record);
    atomic_fetch_add(&simulation->truth->records, 1);
}

struct reeve_value *exit_value(const struct sim_worker *worker)
{
    struct reeve_value *end = reeve_value_map();
    reeve_put_int(end, "code", 0);
    reeve_put_bool(end, "oom", false);
    reeve_put_str(end, "cause", "stop");
    reeve_put_int(end, "run", worker->run);
    return end;
}

// What two ops of a trading program look like.
static const struct reeve_value *declared_commands(void)
{
    static struct reeve_value *commands; // for the life of the process
    static const char *const names[] = {"rebalance", "cancel-all"};
    if (commands == NULL) {
        commands = reeve_value_list();
        for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
            struct reeve_value *command = reeve_value_map();
            reeve_put_str(command, "name", names[i]);
            reeve_put_str(command, "summary", "An op of this program, with a line about it.");
            (void)reeve_value_add(commands, command); // reeve_value_built()
        }
    }
    return commands;
}

static struct reeve_value *work_value(struct sim_worker *worker)
{
    struct reeve_value *work = reeve_value_map();
    worker->jobs_done += worker->availability == REEVE_AVAILABILITY_PROCESSING ? 1 : 0;
    reeve_put_int(work, "done", worker->jobs_done);
    reeve_put_int(work, "failed", 0);
    return work;
}

void say_status(struct sim_worker *worker, bool goodbye)
{
    char topic[REEVE_TOPIC_SIZE];
    struct simulation *simulation = worker->simulation;
    REEVE_VALUE_AUTO work = work_value(worker);
    const struct reeve_worker_status status = {
        .epoch = worker->epoch,
        .run = worker->run,
        .offline = goodbye,
        .availability = worker->availability,
        .type = simulated_type(worker->number, simulation->nodes_len),
        .version = "4.2.0",
        .capabilities = &capabilities,
        .commands = declared_commands(),
        .pid = 2000 + worker->number,
        .jobs = worker->availability == REEVE_AVAILABILITY_PROCESSING ? 1 : 0,
        .heartbeat_ms = simulation->heartbeat_ms,
        .ttl_ms = 3 * simulation->heartbeat_ms,
        .started_at = worker->started_at,
        .at = reeve_clock_wall_ms(),
        .safe_to_stop = true,
        .work = work,
    };
    REEVE_VALUE_AUTO record = reeve_worker_status_value(&status);
    struct mqtt_publish publish = {
        .topic = reeve_topic_make(topic, simulation->root, "worker/%s/%s/status", worker->node->name, worker->name),
        .qos1 = true,
        .retain = true,
        .expiry_s = seconds(status.ttl_ms)};
    say(simulation, worker->own != NULL ? worker->own : worker->node->mqtt, &publish, record);
    atomic_fetch_add(&simulation->truth->heartbeats, 1);
}
