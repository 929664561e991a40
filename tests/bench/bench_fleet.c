// The fleet alone, fed with the records of very many workers straight from memory: bytes and microseconds per worker
// and per message, without broker, bus and disk. What the whole manager needs is measured by reeve-bench.
//   bench-fleet [workers] [nodes]
// Must not: be a timed test; it prints what it saw.
#include "fleet_internal.h"

#include "fake_store.h"

#include <malloc.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/presence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "reeve/v1/local"

static struct manager manager;
static reeve_bus_handler *handlers[8];
static const char *filters[8];
static void *handler_args[8];
static size_t handlers_len, published;
static int64_t skip_ns; // the clock of the fleet is ahead of the real one by this

// ---- the manager's hands ----------------------------------------------------------------------------------------

void manager_publish(struct manager *of, enum leaving_kind kind, const char *topic, struct reeve_value *value,
                     int64_t expiry_ms)
{
    (void)of;
    (void)kind;
    (void)topic;
    (void)expiry_ms;
    reeve_value_free(value);
    published++;
}

void manager_after_commit(struct manager *of, void (*fn)(struct manager *manager, bool committed, void *arg), void *arg)
{
    fn(of, true, arg);
}

enum reeve_err manager_subscribe(struct manager *of, const char *filter, unsigned flags, reeve_bus_handler *handler,
                                 void *arg, struct reeve_why *why)
{
    (void)of;
    (void)flags;
    (void)why;
    filters[handlers_len] = filter;
    handler_args[handlers_len] = arg;
    handlers[handlers_len++] = handler;
    return REEVE_OK;
}

void manager_unsubscribe(struct manager *of, const char *filter)
{
    (void)of;
    (void)filter;
}

// ---- records ----------------------------------------------------------------------------------------------------

struct message {
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_buf payload;
};

static void encode(struct message *message, struct reeve_value *value)
{
    message->payload = (struct reeve_buf)REEVE_BUF_INIT(0);
    if (reeve_msgpack_write(value, &message->payload) != REEVE_OK) {
        exit(1);
    }
    reeve_value_free(value);
}

static const char *worker_name(size_t i, char buf[REEVE_NAME_SIZE])
{
    (void)snprintf(buf, REEVE_NAME_SIZE, "worker-swap-kraken-host%zu-%08zx", i % 3, i * 2654435761u & 0xffffffffu);
    return buf;
}

static void process_message(struct message *message, size_t i, const char *node)
{
    char name[REEVE_NAME_SIZE];
    REEVE_STRV_AUTO capabilities = {0};
    REEVE_VALUE_AUTO labels = reeve_value_map();
    reeve_put_str(labels, "desk", "emea");
    reeve_put_str(labels, "team", "market-making");
    (void)reeve_strv_add(&capabilities, "swap");
    (void)reeve_strv_add(&capabilities, "limit-orders");
    (void)reeve_strv_add(&capabilities, "cancel-all");
    (void)reeve_topic_make(message->topic, ROOT, "worker/%s/%s/process", node, worker_name(i, name));
    const struct reeve_process_record record = {.epoch = 1700000000000,
                                                .run = 1 + (int64_t)i % 7,
                                                .state = REEVE_STATE_RUNNING,
                                                .since = 1700000000000 + (int64_t)i,
                                                .at = 1700000000000 + (int64_t)i,
                                                .wanted = true,
                                                .speaks = true,
                                                .type = "swap",
                                                .exchange = "kraken",
                                                .program = "/usr/lib/reeve/reeve-worker-swap",
                                                .origin = "command",
                                                .capabilities = &capabilities,
                                                .labels = labels,
                                                .spec_version = 3,
                                                .pid = 1000 + (int64_t)i,
                                                .started_at = 1700000000000 + (int64_t)i,
                                                .ready_at = 1700000000200 + (int64_t)i,
                                                .memory_limit_bytes = 512 << 20,
                                                .why = "run 1",
                                                .pool = "swap"};
    encode(message, reeve_process_value(&record));
}

static struct reeve_value *commands(void)
{
    static const char *const names[] = {"pause", "resume", "drain", "configure", "describe", "quote", "flatten"};
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
        struct reeve_value *command = reeve_value_map();
        struct reeve_value *arg = reeve_value_map();
        struct reeve_value *args = reeve_value_list();
        reeve_put_str(command, "name", names[i]);
        reeve_put_str(command, "summary", "What this command does, in a sentence as they are written.");
        reeve_put_str(arg, "name", "reason");
        reeve_put_str(arg, "type", "string");
        (void)reeve_value_add(args, arg);
        (void)reeve_value_put(command, "args", args);
        (void)reeve_value_add(list, command);
    }
    return list;
}

static void status_message(struct message *message, size_t i, const char *node, int64_t at)
{
    char name[REEVE_NAME_SIZE];
    REEVE_VALUE_AUTO list = commands();
    (void)reeve_topic_make(message->topic, ROOT, "worker/%s/%s/status", node, worker_name(i, name));
    const struct reeve_worker_status status = {.epoch = 1700000000000 + i,
                                               .run = 1 + (int64_t)i % 7,
                                               .availability = REEVE_AVAILABILITY_IDLE,
                                               .type = "swap",
                                               .version = "1.4.2",
                                               .commands = list,
                                               .pid = 1000 + (int64_t)i,
                                               .heartbeat_ms = 20000,
                                               .ttl_ms = 60000,
                                               .started_at = 1700000000000 + (int64_t)i,
                                               .at = at,
                                               .safe_to_stop = true};
    encode(message, reeve_worker_status_value(&status));
}

static void node_message(struct message *message, const char *node, int64_t at, int64_t total)
{
    (void)reeve_topic_make(message->topic, ROOT, "node/%s/status", node);
    const struct reeve_node_status status = {.epoch = 1700000000000,
                                             .state = "online",
                                             .version = "0.1.0",
                                             .host = node,
                                             .region = "eu-central",
                                             .at = at,
                                             .heartbeat_ms = 5000,
                                             .ttl_ms = 15000,
                                             .cpus = 64,
                                             .memory_bytes = 1LL << 37,
                                             .workers_total = total};
    encode(message, reeve_node_status_value(&status));
}

// ---- measuring --------------------------------------------------------------------------------------------------

static long rss_kb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%*d %ld", &pages) != 1) {
            pages = 0;
        }
        (void)fclose(file);
    }
    return pages * 4;
}

static void deliver(const struct message *message, bool retained)
{
    const struct reeve_delivery delivery = {.topic = message->topic,
                                            .payload = message->payload.data,
                                            .payload_len = message->payload.len,
                                            .retained = retained};
    for (size_t i = 0; i < handlers_len; i++) {
        if (reeve_topic_match(filters[i], message->topic + sizeof ROOT)) {
            handlers[i](NULL, &delivery, handler_args[i]);
        }
    }
}

// Makes the message, delivers it; the ns that the delivery took.
static int64_t timed(struct message *message, bool retained)
{
    int64_t begun = reeve_clock_mono_ns();
    deliver(message, retained);
    int64_t ns = reeve_clock_mono_ns() - begun;
    reeve_buf_done(&message->payload);
    return ns;
}

static int64_t real_ns(void *arg)
{
    struct timespec now;
    (void)arg;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + skip_ns;
}

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return 1700000100000 + real_ns(NULL) / 1000000;
}

static int by_number(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

int main(int argc, char **argv)
{
    static const struct reeve_clock clock = {.wall_ms = wall_ms, .mono_ns = real_ns};
    size_t workers = argc > 1 ? (size_t)atol(argv[1]) : 10000;
    size_t nodes = argc > 2 ? (size_t)atol(argv[2]) : 3;
    uv_loop_t loop;
    struct message message;
    char node[REEVE_NAME_SIZE];
    static char root[] = ROOT;
    reeve_clock_set(&clock);
    reeve_log_set_level(REEVE_LOG_ERROR);
    (void)uv_loop_init(&loop);
    manager.loop = &loop;
    manager.config.manager.root = root;
    manager.config.manager.workers_max = 100000;
    manager.config.manager.forget_after_ms = 86400000;
    long before = rss_kb();
    if (fleet_new(&manager, &manager.fleet, NULL) != REEVE_OK) {
        return 1;
    }
    struct fleet *fleet = manager.fleet;

    // Everything retained, as a manager reads it that has just begun.
    int64_t taking = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < nodes; i++) {
        (void)snprintf(node, sizeof node, "node-%zu", i);
        node_message(&message, node, 1, (int64_t)(workers / nodes));
        taking += timed(&message, true);
    }
    for (size_t i = 0; i < workers; i++) {
        (void)snprintf(node, sizeof node, "node-%zu", i % nodes);
        process_message(&message, i, node);
        bytes += message.payload.len;
        taking += timed(&message, true);
        status_message(&message, i, node, 1);
        bytes += message.payload.len;
        taking += timed(&message, true);
    }
    fleet_session(fleet);
    int64_t begun = reeve_clock_mono_ns();
    fleet_ready(fleet);
    int64_t ready_ns = reeve_clock_mono_ns() - begun;
    long after = rss_kb();

    skip_ns += 5100LL * 1000000;
    begun = reeve_clock_mono_ns();
    fleet_look(fleet);
    int64_t look_ns = reeve_clock_mono_ns() - begun;
    size_t at_start = published;

    // Heartbeats of everybody, five times.
    int64_t beats = 0;
    for (size_t i = 0; i < 5 * workers; i++) {
        (void)snprintf(node, sizeof node, "node-%zu", i % workers % nodes);
        status_message(&message, i % workers, node, 2 + (int64_t)i);
        beats += timed(&message, false);
    }
    size_t by_beats = published - at_start;

    // A look through everybody that finds nothing.
    skip_ns += 4000LL * 1000000;
    for (size_t i = 0; i < nodes; i++) {
        (void)snprintf(node, sizeof node, "node-%zu", i);
        node_message(&message, node, 5, (int64_t)(workers / nodes));
        (void)timed(&message, false);
    }
    skip_ns += 9000LL * 1000000;
    begun = reeve_clock_mono_ns();
    fleet_look(fleet);
    int64_t scan_ns = reeve_clock_mono_ns() - begun;

    // Last wills of a tenth of them.
    size_t wills = workers / 10;
    int64_t *ns = calloc(wills + 1, sizeof *ns);
    for (size_t i = 0; i < wills; i++) {
        char name[REEVE_NAME_SIZE];
        (void)snprintf(node, sizeof node, "node-%zu", i % nodes);
        (void)reeve_topic_make(message.topic, ROOT, "worker/%s/%s/lwt", node, worker_name(i, name));
        message.payload = (struct reeve_buf)REEVE_BUF_INIT(0);
        (void)reeve_lwt_encode(1700000000000 + i, &message.payload);
        ns[i] = timed(&message, false);
    }
    qsort(ns, wills, sizeof *ns, by_number);
    printf("{\"workers\": %zu, \"nodes\": %zu, \"record_bytes\": %zu, \"rss_before_kb\": %ld, \"rss_kb\": %ld, "
           "\"bytes_per_worker\": %ld, "
           "\"take_retained_us\": %.1f, \"ready_ms\": %.1f, \"after_grace_ms\": %.1f, \"verdicts_at_start\": %zu, "
           "\"heartbeat_us\": %.1f, \"verdicts_by_heartbeats\": %zu, \"scan_ms\": %.1f, \"will_us_median\": %.1f, "
           "\"will_us_p99\": %.1f, "
           "\"attribute_sets\": %zu, \"rss_end_kb\": %ld}\n",
           workers, nodes, bytes / workers, before, after, (after - before) * 1024 / (long)workers,
           (double)taking / 1e3 / (double)(2 * workers), (double)ready_ns / 1e6, (double)look_ns / 1e6, at_start,
           (double)beats / 1e3 / (double)(5 * workers), by_beats, (double)scan_ns / 1e6, (double)ns[wills / 2] / 1e3,
           (double)ns[wills * 99 / 100] / 1e3, reeve_map_len(fleet->attrs), rss_kb());
    free(ns);
    fleet_free(fleet);
    fake_store_reset();
    reeve_loop_finish(&loop);
    return 0;
}
