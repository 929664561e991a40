// What simulated nodes do when they are told: replies, records and states of a daemon, without its disk and without
// processes, so at once. Must not: know why they are told.
#include "simulation.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <string.h>

struct sim_order { // a command in hand
    struct sim_node *node;
    struct mqtt *mqtt; // on which it came
    const struct reeve_command *command;
    int64_t seq;
};

static void answer(struct sim_order *order, enum reeve_phase phase, const char *code, const char *message,
                   const struct reeve_value *result)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(MQTT_PACKET_MAX);
    const struct reeve_reply reply = {.id = order->command->id,
                                      .seq = ++order->seq,
                                      .phase = phase,
                                      .code = code,
                                      .message = message,
                                      .result = result,
                                      .by = order->node->name,
                                      .epoch = (int64_t)order->node->epoch,
                                      .at = reeve_clock_wall_ms()};
    if (order->command->reply_to == NULL) {
        return;
    }
    if (reeve_reply_encode(&reply, &bytes) != REEVE_OK) {
        give_up("out of memory");
    }
    mqtt_publish(order->mqtt, &(struct mqtt_publish){.topic = order->command->reply_to,
                                                     .payload = bytes.data,
                                                     .payload_len = bytes.len,
                                                     .qos1 = true,
                                                     .correlation = order->command->correlation,
                                                     .correlation_len = order->command->correlation_len});
    atomic_fetch_add(&order->node->simulation->truth->replies, 1);
}

// ---- life cycle -----------------------------------------------------------------------------------------------

static void enter(struct sim_worker *worker, enum reeve_state state)
{
    worker->state = state;
    worker->since_at = reeve_clock_wall_ms();
    say_process(worker);
    tell_truth(worker);
}

static void stop_worker(struct sim_worker *worker)
{
    if (worker->state == REEVE_STATE_STOPPED) {
        return;
    }
    enter(worker, REEVE_STATE_STOPPING);
    worker_says_goodbye(worker);
    worker->stopped_at = reeve_clock_wall_ms();
    enter(worker, REEVE_STATE_STOPPED);
}

static void start_worker(struct sim_worker *worker)
{
    if (worker->state == REEVE_STATE_RUNNING) {
        return;
    }
    worker->run++;
    worker->started_at = reeve_clock_wall_ms();
    enter(worker, REEVE_STATE_STARTING);
    worker->silent = false;
    worker_speaks(worker);
    enter(worker, REEVE_STATE_RUNNING);
}

static void restart_worker(struct sim_worker *worker)
{
    stop_worker(worker);
    start_worker(worker);
}

// ---- the worker's own ops ---------------------------------------------------------------------------------------

static void become(struct sim_worker *worker, enum reeve_availability availability)
{
    worker->availability = availability;
    if (worker->state == REEVE_STATE_RUNNING && !worker->silent) {
        say_status(worker, false);
    }
}

static void take_offline(struct sim_worker *worker)
{
    become(worker, REEVE_AVAILABILITY_OFFLINE);
}

static void take_pause(struct sim_worker *worker)
{
    become(worker, REEVE_AVAILABILITY_PAUSED);
}

static void take_drain(struct sim_worker *worker)
{
    become(worker, REEVE_AVAILABILITY_DRAINING);
}

static void take_work(struct sim_worker *worker)
{
    become(worker, simulated_processing(worker->number) ? REEVE_AVAILABILITY_PROCESSING : REEVE_AVAILABILITY_IDLE);
}

static const struct sim_op {
    const char *name;
    void (*run)(struct sim_worker *worker);
    const char *state; // of the result
} ops[] = {
    {"stop", stop_worker, "stopped"},       {"kill", stop_worker, "stopped"},     {"start", start_worker, "running"},
    {"restart", restart_worker, "running"}, {"offline", take_offline, "running"}, {"online", take_work, "running"},
    {"pause", take_pause, "running"},       {"resume", take_work, "running"},     {"drain", take_drain, "running"}};

static const struct sim_op *find_op(const char *name)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ops); i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

// ---- of one worker, or several ----------------------------------------------------------------------------------

static struct sim_worker *find_worker(const struct sim_node *node, const char *name)
{
    char key[SIMULATED_KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", node->name, name);
    return reeve_map_get(node->simulation->by_key, key);
}

static struct reeve_value *outcome_value(const struct sim_op *op, const struct sim_worker *worker)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "outcome", "done");
    reeve_put_str(map, "worker", worker->name);
    reeve_put_str(map, "state", op->state);
    reeve_put_int(map, "run", worker->run);
    if (worker->state == REEVE_STATE_STOPPED) {
        (void)reeve_value_put(map, "exit", exit_value(worker)); // reeve_value_built()
    }
    return map;
}

static void do_one(struct sim_order *order, const struct sim_op *op, const char *name)
{
    struct sim_worker *worker = find_worker(order->node, name);
    if (worker == NULL) {
        answer(order, REEVE_PHASE_REJECTED, "not_found", "this node has no such worker", NULL);
        return;
    }
    answer(order, REEVE_PHASE_ACCEPTED, NULL, NULL, NULL);
    op->run(worker);
    REEVE_VALUE_AUTO result = outcome_value(op, worker);
    answer(order, REEVE_PHASE_DONE, NULL, NULL, result);
}

static bool is_meant(const struct reeve_value *args, const struct sim_worker *worker)
{
    const struct reeve_value *names = reeve_value_get(args, "workers");
    const char *only = reeve_value_text(names);
    if (reeve_get_bool(args, "all", false) || (only != NULL && reeve_glob_match(only, worker->name))) {
        return true;
    }
    for (size_t i = 0; reeve_value_kind(names) == REEVE_LIST && i < reeve_value_len(names); i++) {
        if (reeve_glob_match(reeve_value_text(reeve_value_at(names, i)), worker->name)) {
            return true;
        }
    }
    return false;
}

static void do_several(struct sim_order *order, const struct sim_op *op)
{
    struct simulation *simulation = order->node->simulation;
    REEVE_VALUE_AUTO result = reeve_value_map();
    struct reeve_value *outcomes = reeve_value_map();
    answer(order, REEVE_PHASE_ACCEPTED, NULL, NULL, NULL);
    for (int i = order->node->number; i < simulation->workers_len; i += simulation->nodes_len) {
        struct sim_worker *worker = &simulation->workers[i];
        if (is_meant(order->command->args, worker)) {
            op->run(worker);
            (void)reeve_value_put(outcomes, worker->name, outcome_value(op, worker)); // reeve_value_built()
        }
    }
    reeve_put_int(result, "done", (int64_t)reeve_value_len(outcomes));
    reeve_put_int(result, "failed", 0);
    reeve_put_int(result, "rejected", 0);
    reeve_put_int(result, "superseded", 0);
    (void)reeve_value_put(result, "workers", outcomes); // as above
    answer(order, REEVE_PHASE_DONE, NULL, NULL, result);
}

static void do_order(struct sim_order *order, const struct reeve_topic *topic)
{
    const struct sim_op *op = find_op(topic->leaf);
    if (op == NULL) {
        answer(order, REEVE_PHASE_REJECTED, "unsupported", "a simulated node does not do this", NULL);
    } else if (topic->kind == REEVE_TOPIC_WORKER_CMD) {
        do_one(order, op, topic->worker);
    } else {
        do_several(order, op);
    }
}

void take_order(struct sim_node *node, struct mqtt *mqtt, const struct reeve_delivery *delivery)
{
    struct reeve_topic topic = reeve_topic_parse(node->simulation->root, delivery->topic);
    struct reeve_command command = {0};
    if (topic.kind != REEVE_TOPIC_NODE_CMD && topic.kind != REEVE_TOPIC_WORKER_CMD) {
        return; // a record of its own: daemons and workers hear those too
    }
    atomic_fetch_add(&node->simulation->truth->commands, 1);
    if (reeve_command_decode(delivery, "workers", &command, NULL) == REEVE_OK) {
        struct sim_order order = {.node = node, .mqtt = mqtt, .command = &command};
        do_order(&order, &topic);
    } else {
        atomic_fetch_add(&node->simulation->truth->malformed, 1);
    }
    reeve_command_done(&command);
}
