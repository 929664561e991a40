// The session with the site's broker: commands out, records of workers in, each with the time of its arrival.
// Must not: wait for anything but its own session and replies.
#include "bench.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdio.h>
#include <string.h>

#define LEAVE_MS 2000

// ---- listening ------------------------------------------------------------------------------------------------

static void on_process(struct watched *worker, const struct reeve_value *record, int64_t now_ns)
{
    const char *state = reeve_get_str(record, "state");
    int64_t run = reeve_get_int(record, "run", 0);
    state = state != NULL ? state : "";
    if (run != worker->run || strcmp(state, worker->state) != 0) {
        worker->record_ns = now_ns; // the same again, with other counters, is no news
    }
    (void)snprintf(worker->state, sizeof(worker->state), "%s", state);
    worker->run = run;
    worker->pid = (pid_t)reeve_get_int(record, "pid", 0);
}

static void on_status(struct watched *worker, const struct reeve_value *record, int64_t now_ns)
{
    const char *state = reeve_get_str(record, "state");
    uint64_t epoch = (uint64_t)reeve_get_int(record, "epoch", 0);
    worker->online_ns = epoch != worker->epoch ? now_ns : worker->online_ns;
    worker->epoch = epoch;
    worker->online = state != NULL && strcmp(state, "offline") != 0;
}

static void on_lwt(struct watched *worker, const struct reeve_value *record, int64_t now_ns)
{
    worker->dead_epoch = (uint64_t)reeve_get_int(record, "epoch", 0);
    worker->dead_ns = now_ns;
}

static const struct leaf {
    const char *name;
    void (*take)(struct watched *worker, const struct reeve_value *record, int64_t now_ns);
} leaves[] = {{"process", on_process}, {"status", on_status}, {"lwt", on_lwt}};

static struct reeve_value *read_record(const struct reeve_delivery *delivery)
{
    struct reeve_value *record = NULL;
    enum reeve_err err = reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire,
                                            delivery->topic, &record, NULL);
    return err == REEVE_OK ? record : NULL; // empty: removed
}

static void on_worker(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    int64_t now_ns = reeve_clock_mono_ns();
    struct bench *bench = arg;
    struct reeve_topic topic = reeve_topic_parse(reeve_bus_root(bus), delivery->topic);
    struct watched *worker = topic.kind == REEVE_TOPIC_WORKER ? bench_watched(bench, topic.worker) : NULL;
    REEVE_VALUE_AUTO record = read_record(delivery);
    for (size_t i = 0; worker != NULL && i < REEVE_ARRAY_LEN(leaves); i++) {
        if (strcmp(leaves[i].name, topic.leaf) == 0) {
            leaves[i].take(worker, record, now_ns);
        }
    }
}

static void on_node(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct bench *bench = arg;
    REEVE_VALUE_AUTO record = read_record(delivery);
    const char *state = reeve_get_str(record, "state");
    (void)bus;
    bench->node_ready = state != NULL && strcmp(state, "online") == 0;
}

// ---- the session ----------------------------------------------------------------------------------------------

static void on_ready(struct reeve_bus *bus, void *arg)
{
    struct bench *bench = arg;
    (void)bus;
    bench->ready = true;
}

// A session that ends in the middle ends the benchmark: what it measures would be a reconnect.
static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    struct bench *bench = arg;
    (void)bus;
    (void)retry_ms;
    bench->lost = *why;
}

static bool is_ready(struct bench *bench, const void *arg)
{
    (void)arg;
    return bench->ready;
}

static bool is_node_ready(struct bench *bench, const void *arg)
{
    (void)arg;
    return bench->node_ready;
}

enum reeve_err control_listen(struct bench *bench, const char *below_root, reeve_bus_handler *handler, void *arg,
                              struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    (void)reeve_topic_make(filter, SITE_ROOT, "%s", below_root);
    return reeve_bus_subscribe(bench->bus, filter, 1, 0, handler, arg, why);
}

enum reeve_err control_new(struct bench *bench, struct reeve_why *why)
{
    (void)snprintf(bench->url, sizeof(bench->url), "mqtt://127.0.0.1:%d", bench->site.port);
    bench->broker = (struct reeve_broker){.url = bench->url,
                                          .username = (char *)(uintptr_t)site_username(SITE_ADMIN), // only read
                                          .password = bench->site.passwords[SITE_ADMIN],
                                          .version = 5};
    const struct reeve_bus_options options = {.loop = &bench->loop,
                                              .broker = &bench->broker,
                                              .root = SITE_ROOT,
                                              .client = site_username(SITE_ADMIN),
                                              .on_ready = on_ready,
                                              .on_lost = on_lost,
                                              .arg = bench};
    return reeve_bus_new(&options, &bench->bus, why);
}

enum reeve_err control_connect(struct bench *bench, struct reeve_why *why)
{
    reeve_bus_start(bench->bus);
    return bench_wait(bench, is_ready, NULL, "the session with the broker", why);
}

enum reeve_err control_open(struct bench *bench, struct reeve_why *why)
{
    enum reeve_err err = control_new(bench, why);
    if (err == REEVE_OK) {
        err = control_listen(bench, "node/" SITE_NODE "/status", on_node, bench, why);
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(leaves) && err == REEVE_OK; i++) {
        char filter[64];
        (void)snprintf(filter, sizeof(filter), "worker/" SITE_NODE "/+/%s", leaves[i].name);
        err = control_listen(bench, filter, on_worker, bench, why);
    }
    if (err == REEVE_OK) {
        err = control_connect(bench, why);
    }
    return err == REEVE_OK ? bench_wait(bench, is_node_ready, NULL, "the node is online", why) : err;
}

static void on_left(struct reeve_bus *bus, void *arg)
{
    struct bench *bench = arg;
    (void)bus;
    bench->left = true;
}

void control_close(struct bench *bench)
{
    if (bench->bus == NULL) {
        return;
    }
    reeve_bus_stop(bench->bus, LEAVE_MS, on_left, bench);
    while (!bench->left) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE); // ends with LEAVE_MS
    }
    reeve_bus_free(bench->bus);
    bench->bus = NULL;
}

// ---- commanding -----------------------------------------------------------------------------------------------

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    struct order *order = arg;
    (void)bus;
    if (err == REEVE_OK && !reeve_phase_terminal(reply->phase)) {
        return;
    }
    order->over_ns = reeve_clock_mono_ns();
    order->over = true;
    order->phase = err == REEVE_OK ? reply->phase : REEVE_PHASE_FAILED;
    (void)reeve_fail(&order->why, REEVE_INTERNAL, "%s: %s", reeve_phase_text(order->phase), // kept for control_await()
                     err != REEVE_OK          ? reeve_err_text(err)
                     : reply->message != NULL ? reply->message
                                              : "");
}

enum reeve_err control_send(struct bench *bench, const char *worker, const char *op, struct reeve_value *args,
                            struct order *order, struct reeve_why *why)
{
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO owned = args != NULL ? args : reeve_value_map();
    struct reeve_command command = {.args = owned};
    if (worker != NULL) {
        (void)reeve_topic_make(topic, SITE_ROOT, "worker/" SITE_NODE "/%s/cmd/%s", worker, op);
    } else {
        (void)reeve_topic_make(topic, SITE_ROOT, "node/" SITE_NODE "/cmd/%s", op);
    }
    *order = (struct order){.sent_ns = reeve_clock_mono_ns()};
    enum reeve_err err = reeve_bus_request(bench->bus, topic, &command, DEADLINE_MS, on_reply, order, order->id, why);
    command.args = NULL; // ours
    reeve_command_done(&command);
    return err;
}

static bool is_over(struct bench *bench, const void *arg)
{
    (void)bench;
    return ((const struct order *)arg)->over;
}

enum reeve_err control_await(struct bench *bench, struct order *order, const char *what, struct reeve_why *why)
{
    enum reeve_err err = bench_wait(bench, is_over, order, what, why);
    if (!order->over) {
        reeve_bus_request_cancel(bench->bus, order->id); // `order` is the caller's, and he leaves
    }
    if (err == REEVE_OK && order->phase != REEVE_PHASE_DONE) {
        return reeve_fail(why, REEVE_INTERNAL, "%s: %s", what, order->why.text);
    }
    return err;
}

enum reeve_err control_do(struct bench *bench, const char *worker, const char *op, struct reeve_value *args,
                          struct reeve_why *why)
{
    struct order order;
    enum reeve_err err = control_send(bench, worker, op, args, &order, why);
    return err == REEVE_OK ? control_await(bench, &order, op, why) : err;
}
