// A worker that takes jobs, and a manager that says anything: the input is a list of steps, each a batch with numbers
// from the edges, a handler's word, or time that passes. No number breaks anything, what is kept stays within its
// bounds, and nothing is left at the end. The bytes of batches are fuzz_job_batch.c's. Must not: need a loop that runs;
// turns are called.
#include "fuzz.h"
#include "worker.h"

#include <reeve/clock.h>
#include <stdlib.h>
#include <string.h>

static int64_t now_ms;
static struct reeve_worker *worker;
static struct reeve_job *running[64];
static size_t running_len;

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return 1700000000000 + now_ms;
}

static int64_t mono_ns(void *arg)
{
    (void)arg;
    return now_ms * 1000000;
}

static enum reeve_err run(struct reeve_worker *of, struct reeve_job *job, struct reeve_why *why)
{
    (void)of;
    (void)why;
    REEVE_ASSERT(running_len < REEVE_ARRAY_LEN(running));
    running[running_len++] = job;
    return REEVE_OK;
}

static void cancel(struct reeve_worker *of, struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    (void)of;
    REEVE_ASSERT(reason[0] != '\0' && grace_ms > 0);
    for (size_t i = 0; (job->attempt & 1) != 0 && i < running_len; i++) { // others do not listen
        if (running[i] == job) {
            running[i] = running[--running_len];
            (void)reeve_job_cancelled(job); /* always OK */
            return;
        }
    }
}

static enum reeve_err send_report(struct reeve_worker *of, const struct reeve_bus_message *message)
{
    struct reeve_job_report report;
    (void)of;
    REEVE_ASSERT(reeve_job_report_read(message->payload, message->payload_len, &report, NULL) == REEVE_OK);
    REEVE_ASSERT(report.capacity <= 8);
    return REEVE_OK;
}

struct input {
    const uint8_t *at, *end;
};

static unsigned next(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static int64_t number(struct input *input)
{
    static const int64_t edges[] = {
        0,        1, 2, 3, 5, 8, 100, 6000, 1000000, INT32_MAX, (INT64_C(1) << 53) - 1, INT64_C(1) << 53, INT64_MAX - 1,
        INT64_MAX};
    return edges[next(input) % REEVE_ARRAY_LEN(edges)];
}

static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"};

static struct reeve_span id(struct input *input)
{
    return (struct reeve_span){ids[next(input) % REEVE_ARRAY_LEN(ids)], 1};
}

static int64_t attempt(struct input *input)
{
    int64_t given = number(input);
    return given < 1 ? 1 : given;
}

static void batch(struct input *input)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_batch_writer writer;
    struct job_link *link = &worker->jobs.links[0];
    unsigned flags = next(input);
    struct reeve_job_batch head = {.queue = {"q", 1},
                                   .manager_epoch =
                                       (flags & 1) != 0 ? worker->jobs.manager_epoch + 1 : worker->jobs.manager_epoch,
                                   .worker_epoch = (int64_t)worker->session.epoch,
                                   .seq = (flags & 2) != 0 ? number(input) : link->got + 1,
                                   .ack = (flags & 4) != 0 ? number(input) : link->seq,
                                   .lease_ms = number(input),
                                   .hello = (flags & 8) != 0};
    reeve_job_batch_begin(&writer, &buf, &head);
    for (unsigned n = next(input) % 8; n > 0; n--) {
        reeve_job_batch_job(&writer, &(struct reeve_job_item){.id = id(input),
                                                              .attempt = attempt(input),
                                                              .type = {"t", 1},
                                                              .reconcile = (flags & 16) != 0,
                                                              .timeout_ms = number(input)});
    }
    struct reeve_job_notice notice = {
        .id = id(input), .attempt = attempt(input), .reason = {"r", 1}, .grace_ms = number(input)};
    if ((flags & 32) != 0) {
        reeve_job_batch_cancel(&writer, &notice);
    }
    if ((flags & 64) != 0) {
        reeve_job_batch_abandon(&writer, &notice);
    }
    REEVE_ASSERT(reeve_job_batch_end(&writer) == REEVE_OK);
    struct reeve_delivery delivery = {.topic = "job", .payload = buf.data, .payload_len = buf.len};
    worker_on_job(NULL, &delivery, worker);
}

static void say(struct input *input)
{
    unsigned what = next(input);
    if (running_len == 0) {
        return;
    }
    size_t index = what % running_len;
    struct reeve_job *job = running[index];
    if ((what & 0xc0) == 0) {
        (void)reeve_job_checkpoint(job, NULL, NULL, NULL, NULL); /* refused when it is not ours any more */
        return;
    }
    running[index] = running[--running_len];
    if ((what & 0x80) != 0) {
        (void)reeve_job_done(job, NULL); /* always OK */
    } else {
        (void)reeve_job_retry(job, NULL, number(input)); /* always OK */
    }
}

static void pass(int64_t ms)
{
    now_ms += ms < 1000000 ? ms : 1000000;
    worker_jobs_touch(worker);
}

static void step(struct input *input)
{
    unsigned what = next(input);
    if (what % 8 < 4) {
        batch(input);
    } else if (what % 8 < 6) {
        say(input);
    } else if (what % 8 == 6) {
        pass(number(input));
    } else if (what % 16 == 7) {
        worker->session.epoch++;
        worker_jobs_session(worker, true);
    } else {
        worker->status.paused = !worker->status.paused;
        worker_jobs_may(worker);
    }
    worker_jobs_turn(worker);
    REEVE_ASSERT(worker->jobs.in_hand <= 8 && worker->jobs.links[0].kept <= 2 * 8 + JOBS_KEPT_BEYOND);
}

static void open_worker(void)
{
    static const struct reeve_worker_job_type types[] = {{.type = "t", .run = run, .cancel = cancel, .reconcile = run},
                                                         {0}};
    static const struct reeve_worker_program program = {.type = "fuzz", .version = "1", .jobs = types};
    static const struct reeve_clock clock = {.wall_ms = wall_ms, .mono_ns = mono_ns};
    worker = calloc(1, sizeof *worker);
    REEVE_ASSERT(worker != NULL && uv_loop_init(&worker->loop) == 0);
    now_ms = 1000000;
    running_len = 0;
    reeve_clock_set(&clock);
    worker->program = &program;
    worker->settings.heartbeat_ms = 20000;
    (void)snprintf(worker->settings.root, sizeof worker->settings.root, "r"); /* fits */
    (void)snprintf(worker->settings.node, sizeof worker->settings.node, "n"); /* fits */
    (void)snprintf(worker->settings.name, sizeof worker->settings.name, "w"); /* fits */
    worker_leave_init(worker);
    REEVE_ASSERT(worker_jobs_init(worker) == REEVE_OK);
    worker->jobs.send = send_report;
    worker->jobs.manager_epoch = 1;
    worker->session.epoch = 1;
    REEVE_ASSERT(reeve_worker_serve(worker, &(struct reeve_worker_queue){.queue = "q", .concurrency = 4}, NULL) ==
                 REEVE_OK);
    worker_jobs_session(worker, true);
    worker_jobs_turn(worker);
}

static void close_worker(void)
{
    while (running_len > 0) {
        (void)reeve_job_done(running[--running_len], NULL); /* always OK */
    }
    worker_jobs_turn(worker);
    jobs_acked(&worker->jobs.links[0], worker->jobs.links[0].seq);
    worker->status.paused = true; // what waits goes back
    worker_jobs_may(worker);
    worker_jobs_turn(worker);
    while (running_len > 0) {                               // had begun when those before them ended
        (void)reeve_job_done(running[--running_len], NULL); /* always OK */
    }
    worker_jobs_turn(worker);
    jobs_acked(&worker->jobs.links[0], worker->jobs.links[0].seq);
    worker_jobs_turn(worker);
    REEVE_ASSERT(worker_jobs_finished(worker) && worker->jobs.table_used == 0 && worker->jobs.due_len == 0);
    worker_jobs_close(worker);
    worker_leave_close(worker);
    reeve_loop_finish(&worker->loop);
    worker_jobs_done(worker);
    free(worker);
    reeve_clock_set(NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input input = {data, data + len};
    open_worker();
    for (size_t steps = 0; input.at < input.end && steps < 2000; steps++) {
        step(&input);
    }
    close_worker();
    return 0;
}
