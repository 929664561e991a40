// reeve-bench-job-producer: enqueues jobs at a queue of Reeve as it is told, through the bus library, as a program of a
// user would. Must not: take a job for enqueued whose command has no terminal reply that says so.
#include "job_order.h"

#include <fcntl.h>
#include <reeve/bus.h>
#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BATCH         500          // jobs of a command
#define BATCH_BYTES   (400u << 10) // of their payloads
#define COMMANDS_MAX  8            // without an answer
#define REPLY_MS      60000
#define LEAVE_MS      2000
#define PAYLOAD_MAX   8192
#define PAYLOAD_FRAME 19 // {number, pad} without the pad's letters

struct producer {
    uv_loop_t loop;
    struct reeve_broker broker;
    struct reeve_bus *bus;
    uv_poll_t orders, clock;
    int clock_fd;
    struct job_lines lines;
    struct job_order order;
    struct job_sent sent;
    bool busy, over;
    uint64_t commands; // without an answer
    char topic[REEVE_TOPIC_SIZE];
    char pad[PAYLOAD_MAX];
};

static void produce(struct producer *producer);

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    struct producer *producer = arg;
    (void)bus;
    if (err != REEVE_OK) {
        job_order_failed("enqueue: %s", reeve_err_text(err));
    }
    if (!reeve_phase_terminal(reply->phase)) {
        return;
    }
    if (reply->phase != REEVE_PHASE_DONE) {
        job_order_failed("enqueue: %s: %s", reeve_phase_text(reply->phase),
                         reply->message != NULL ? reply->message : "");
    }
    producer->commands--;
    producer->order.acked += (uint64_t)reeve_get_int(reply->result, "accepted", 0);
    if (job_order_over(&producer->order)) {
        producer->order.acked_ns = job_now_ns();
        producer->busy = false;
        job_order_tell(&producer->order);
    } else if (!producer->order.paced) {
        produce(producer);
    }
}

static struct reeve_value *make_job(struct producer *producer, uint64_t number)
{
    struct reeve_value *job = reeve_value_map(), *payload = reeve_value_map();
    size_t pad = producer->order.bytes > PAYLOAD_FRAME ? producer->order.bytes - PAYLOAD_FRAME : 0;
    reeve_put_int(payload, "number", (int64_t)number);
    (void)reeve_value_put(payload, "pad", reeve_value_strn(producer->pad, pad)); // reeve_value_built(), by the bus
    reeve_put_str(job, "type", "noop");
    (void)reeve_value_put(job, "payload", payload); // as above
    return job;
}

static void send_jobs(struct producer *producer, uint64_t count)
{
    struct reeve_why why = {0};
    struct reeve_value *args = reeve_value_map(), *jobs = reeve_value_list();
    uint64_t first = producer->order.first + producer->order.sent, now_ns = job_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        producer->sent.ns[first + i] = now_ns;
        (void)reeve_value_add(jobs, make_job(producer, first + i)); // as above
    }
    (void)reeve_value_put(args, "jobs", jobs); // as above
    reeve_put_bool(args, "brief", true);
    struct reeve_command command = {.args = args};
    enum reeve_err err =
        reeve_bus_request(producer->bus, producer->topic, &command, REPLY_MS, on_reply, producer, NULL, &why);
    if (err != REEVE_OK) {
        job_order_failed("enqueue: %s", why.text);
    }
    reeve_command_done(&command);
    producer->order.sent += count;
    producer->commands++;
}

static void wait_for(struct producer *producer, uint64_t ns)
{
    struct itimerspec when = {.it_value = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}};
    (void)timerfd_settime(producer->clock_fd, 0, &when, NULL); // a valid time
}

static void produce(struct producer *producer)
{
    uint64_t wait_ns = 0, due = 1, batch = BATCH_BYTES / (producer->order.bytes + 1);
    batch = batch < BATCH ? batch : BATCH;
    while (producer->busy && due > 0 && (producer->order.paced || producer->commands < COMMANDS_MAX)) {
        due = job_order_due(&producer->order, job_now_ns(), batch, &wait_ns);
        if (due > 0) {
            send_jobs(producer, due);
        } else if (wait_ns != UINT64_MAX) {
            wait_for(producer, wait_ns);
        }
    }
}

static void on_clock(uv_poll_t *poll, int status, int events)
{
    struct producer *producer = poll->data;
    uint64_t times;
    (void)status;
    (void)events;
    if (read(producer->clock_fd, &times, sizeof times) == (ssize_t)sizeof times && producer->busy) {
        produce(producer);
    }
}

static void on_orders(uv_poll_t *poll, int status, int events)
{
    struct producer *producer = poll->data;
    (void)status;
    (void)events;
    const char *line = job_lines_next(&producer->lines, &producer->over);
    if (line != NULL &&
        (producer->busy || !job_order_read(&producer->order, line) || producer->order.bytes > PAYLOAD_MAX)) {
        job_order_failed("no order: %s", line);
    }
    if (line != NULL) {
        producer->busy = true;
        produce(producer);
    }
    if (producer->over) {
        uv_stop(&producer->loop); // who started it has gone or wants it to end
    }
}

static bool poll_fd(struct producer *producer, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    poll->data = producer;
    return uv_poll_init(&producer->loop, poll, fd) == 0 && uv_poll_start(poll, UV_READABLE, callback) == 0;
}

static void on_ready(struct reeve_bus *bus, void *arg)
{
    struct producer *producer = arg;
    (void)bus;
    if (!uv_is_active((uv_handle_t *)&producer->orders) &&
        !poll_fd(producer, &producer->orders, STDIN_FILENO, on_orders)) {
        job_order_failed("standard input can't be watched");
    }
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    (void)bus;
    (void)retry_ms;
    (void)arg;
    job_order_failed("session lost: %s", why->text); // what was measured would be a reconnect
}

static char *text_of(const struct reeve_value *map, const char *key)
{
    const char *text = reeve_get_str(map, key);
    if (text == NULL) {
        job_order_failed("%s is missing", key);
    }
    return (char *)(uintptr_t)text; // only read
}

int main(int argc, char **argv)
{
    static struct producer producer;
    struct reeve_why why = {0};
    REEVE_VALUE_AUTO config = NULL;
    reeve_log_set_level(REEVE_LOG_ERROR);
    if (argc != 2 || reeve_file_read_value(argv[1], &reeve_limits_file, &config, &why) != REEVE_OK) {
        job_order_failed("usage: reeve-bench-job-producer CONFIG %s", why.text);
    }
    const struct reeve_value *broker = reeve_value_get(config, "broker");
    producer.broker = (struct reeve_broker){.url = text_of(broker, "url"),
                                            .username = text_of(broker, "username"),
                                            .password = text_of(broker, "password"),
                                            .version = 5};
    const struct reeve_bus_options options = {.loop = &producer.loop,
                                              .broker = &producer.broker,
                                              .root = text_of(config, "root"),
                                              .client = text_of(broker, "username"),
                                              .on_ready = on_ready,
                                              .on_lost = on_lost,
                                              .arg = &producer};
    memset(producer.pad, 'x', sizeof producer.pad);
    (void)reeve_topic_make(producer.topic, options.root, "queue/%s/cmd/enqueue", text_of(config, "queue"));
    (void)fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK); // a pipe of ours
    producer.clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (uv_loop_init(&producer.loop) != 0 || !poll_fd(&producer, &producer.clock, producer.clock_fd, on_clock) ||
        job_sent_open(&producer.sent, text_of(config, "sent"), &why) != REEVE_OK ||
        reeve_bus_new(&options, &producer.bus, &why) != REEVE_OK) {
        job_order_failed("%s", why.text);
    }
    reeve_bus_start(producer.bus);
    (void)uv_run(&producer.loop, UV_RUN_DEFAULT); // until uv_stop()
    reeve_value_free(reeve_value_take(&config));
    return EXIT_SUCCESS; // the system takes the session back; it has no last will
}
