// See job_bench.h. Everything goes through the same functions as in a worker; only the bus and the clock are others.
// Must not: look into a message otherwise than by the readers of job.h.
#include "job_bench.h"

#include <reeve/clock.h>

struct bench bench;
bool bench_own;
size_t bench_ran;
char bench_cancels[1024];
bool bench_cancel_ends;

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return 1700000000000 + bench.now_ms;
}

static int64_t mono_ns(void *arg)
{
    (void)arg;
    return bench.now_ms * 1000000;
}

static const struct reeve_clock fake = {.wall_ms = wall_ms, .mono_ns = mono_ns};

// ---- handlers
// --------------------------------------------------------------------------------------------------------------

static enum reeve_err manual(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    (void)worker;
    (void)job; // found by its id
    (void)why;
    bench_ran++;
    return REEVE_OK;
}

static void cancel(struct reeve_worker *worker, struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    char word[128];
    (void)worker;
    assert_true(grace_ms > 0);
    (void)snprintf(word, sizeof word, "%s%s:%s", bench_cancels[0] == '\0' ? "" : " ", reeve_job_id(job), reason);
    (void)strncat(bench_cancels, word, sizeof bench_cancels - strlen(bench_cancels) - 1);
    if (bench_cancel_ends) {
        (void)reeve_job_cancelled(job);
    }
}

static enum reeve_err at_once(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    size_t len;
    const void *payload = reeve_job_payload_bytes(job, &len);
    (void)worker;
    (void)why;
    bench_ran++;
    return reeve_job_done_bytes(job, payload, len);
}

static enum reeve_err fails(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    (void)worker;
    (void)job;
    bench_ran++;
    return reeve_fail(why, REEVE_CONFLICT, "it does not go");
}

static const struct reeve_worker_job_type types[] = {
    {.type = "manual", .run = manual, .cancel = cancel, .reconcile = manual},
    {.type = "deaf", .run = manual},
    {.type = "at_once", .run = at_once},
    {.type = "fails", .run = fails},
    {0},
};
static const struct reeve_worker_program program = {.type = "bench", .version = "1", .jobs = types};

// ---- the bus
// --------------------------------------------------------------------------------------------------------------------

static void read_hand(struct bench_report *report, struct reeve_span hand)
{
    struct reeve_cursor cursor = REEVE_CURSOR(hand.data, hand.len);
    report->hand_len = hand.len == 0 ? 0 : reeve_cursor_list(&cursor);
    size_t at = 0;
    for (size_t i = 0; i < report->hand_len; i++) {
        struct reeve_span id;
        int64_t attempt;
        assert_int_equal(reeve_job_hand_read(&cursor, &id, &attempt), REEVE_OK);
        if (at < sizeof report->hand - 100) {
            at += (size_t)snprintf(report->hand + at, sizeof report->hand - at, "%s%.*s:%lld", at == 0 ? "" : " ",
                                   (int)id.len, id.data, (long long)attempt);
        }
    }
}

static void copy_text(char *to, size_t size, struct reeve_span from)
{
    (void)snprintf(to, size, "%.*s", (int)from.len, from.len == 0 ? "" : from.data); /* cut is enough to compare */
}

static void read_entries(struct bench_report *report, struct reeve_span entries)
{
    struct reeve_cursor cursor = REEVE_CURSOR(entries.data, entries.len);
    report->entries_len = entries.len == 0 ? 0 : reeve_cursor_list(&cursor);
    report->entries = calloc(report->entries_len + 1, sizeof *report->entries);
    assert_non_null(report->entries);
    assert_true(report->entries_len <= REEVE_JOBS_IN_MESSAGE_MAX);
    for (size_t i = 0; i < report->entries_len; i++) {
        struct bench_entry *to = &report->entries[i];
        struct reeve_job_entry entry;
        assert_int_equal(reeve_job_entry_read(&cursor, &entry), REEVE_OK);
        copy_text(to->id, sizeof to->id, entry.id);
        copy_text(to->error, sizeof to->error, entry.error);
        copy_text(to->text, sizeof to->text, entry.text);
        to->attempt = entry.attempt;
        to->outcome = entry.outcome;
        to->progress = entry.progress;
        to->delay_ms = entry.delay_ms;
        struct reeve_cursor data = REEVE_CURSOR(entry.data.data, entry.data.len);
        to->data = entry.data.len == 0 ? -1 : reeve_cursor_int(&data);
    }
}

static enum reeve_err take_report(struct reeve_worker *worker, const struct reeve_bus_message *message)
{
    struct reeve_job_report read;
    struct reeve_why why = {0};
    (void)worker;
    if (bench.refuse != REEVE_OK) {
        return bench.refuse;
    }
    bench_own = true;
    assert_string_equal(message->topic, "reeve/v1/local/queue/" BENCH_QUEUE "/report");
    assert_true(message->payload_len <= 1024u * 1024u);
    if (reeve_job_report_read(message->payload, message->payload_len, &read, &why) != REEVE_OK) {
        fail_msg("%s: %s", why.place, why.text);
    }
    assert_true(reeve_span_is(read.worker, "alpha/mm-1"));
    assert_true(bench.reports_len < BENCH_REPORTS_MAX);
    struct bench_report *report = &bench.reports[bench.reports_len++];
    *report = (struct bench_report){.epoch = read.epoch,
                                    .seq = read.seq,
                                    .got = read.got,
                                    .capacity = read.capacity,
                                    .manager_epoch = read.manager_epoch,
                                    .hello = read.hello,
                                    .bytes = message->payload_len};
    read_hand(report, read.hand);
    read_entries(report, read.entries);
    bench_own = false;
    return REEVE_OK;
}

// ---- the worker
// -------------------------------------------------------------------------------------------------------------------

int bench_setup(void **state)
{
    (void)state;
    bench = (struct bench){.now_ms = 1000000, .manager_epoch = 100};
    bench_ran = 0;
    bench_cancels[0] = '\0';
    bench_cancel_ends = false;
    reeve_clock_set(&fake);
    struct reeve_worker *worker = bench.worker = calloc(1, sizeof *worker);
    if (worker == NULL || uv_loop_init(&worker->loop) != 0) {
        return -1;
    }
    worker->program = &program;
    worker->settings.heartbeat_ms = 20000;
    (void)snprintf(worker->settings.root, sizeof worker->settings.root, "reeve/v1/local"); /* fits */
    (void)snprintf(worker->settings.node, sizeof worker->settings.node, "alpha");          /* fits */
    (void)snprintf(worker->settings.name, sizeof worker->settings.name, "mm-1");           /* fits */
    worker_leave_init(worker);
    if (worker_jobs_init(worker) != REEVE_OK || worker_jobs_declare(worker) != REEVE_OK) {
        return -1;
    }
    worker->jobs.send = take_report;
    return 0;
}

int bench_teardown(void **state)
{
    (void)state;
    bench_clear();
    worker_jobs_close(bench.worker);
    worker_leave_close(bench.worker);
    reeve_loop_finish(&bench.worker->loop);
    worker_jobs_done(bench.worker);
    free(bench.worker);
    reeve_clock_set(NULL);
    return 0;
}

void bench_serve(int64_t concurrency, int64_t prefetch)
{
    struct reeve_worker_queue queue = {.queue = BENCH_QUEUE, .concurrency = concurrency, .prefetch = prefetch};
    struct reeve_why why = {0};
    if (reeve_worker_serve(bench.worker, &queue, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
}

void bench_ready(uint64_t epoch)
{
    worker_jobs_session(bench.worker, false);
    bench.worker->session.epoch = epoch;
    bench.batch_seq = 0;
    worker_jobs_session(bench.worker, true);
    bench_turn();
}

void bench_turn(void)
{
    worker_jobs_turn(bench.worker);
}

void bench_pass(int64_t ms)
{
    int64_t end = bench.now_ms + ms;
    struct worker_jobs *jobs = &bench.worker->jobs;
    bench_turn();
    while (reeve_timer_armed(&jobs->timer) && jobs->timer_at <= end) {
        bench.now_ms = jobs->timer_at > bench.now_ms ? jobs->timer_at : bench.now_ms;
        reeve_timer_stop(&jobs->timer); // as when it fires
        worker_jobs_touch(bench.worker);
        bench_turn();
    }
    bench.now_ms = end;
}

void bench_clear(void)
{
    for (size_t i = 0; i < bench.reports_len; i++) {
        free(bench.reports[i].entries);
    }
    bench.reports_len = 0;
}

const struct bench_report *bench_last(void)
{
    assert_true(bench.reports_len > 0);
    return &bench.reports[bench.reports_len - 1];
}

size_t bench_entries(void)
{
    size_t len = 0;
    for (size_t i = 0; i < bench.reports_len; i++) {
        len += bench.reports[i].entries_len;
    }
    return len;
}

const struct bench_entry *bench_entry(size_t index)
{
    for (size_t i = 0; i < bench.reports_len; i++) {
        if (index < bench.reports[i].entries_len) {
            return &bench.reports[i].entries[index];
        }
        index -= bench.reports[i].entries_len;
    }
    fail_msg("no such entry");
    return NULL;
}

const struct bench_entry *bench_find(const char *id, enum reeve_job_outcome outcome)
{
    for (size_t i = bench_entries(); i > 0; i--) {
        const struct bench_entry *entry = bench_entry(i - 1);
        if (strcmp(entry->id, id) == 0 && entry->outcome == outcome) {
            return entry;
        }
    }
    return NULL;
}

// ---- the manager
// ------------------------------------------------------------------------------------------------------------------

struct reeve_job_item bench_item(const char *id, int64_t attempt)
{
    return (struct reeve_job_item){.id = {id, strlen(id)}, .type = {"manual", strlen("manual")}, .attempt = attempt};
}

static int64_t next_seq(const struct bench_batch *batch)
{
    bool carries = batch->jobs[0].id.len + batch->cancels[0].id.len + batch->abandons[0].id.len > 0;
    if (batch->seq != 0) {
        bench.batch_seq = batch->seq;
    } else if (carries) {
        bench.batch_seq++;
    }
    return bench.batch_seq; // a batch that carries nothing repeats the last
}

void bench_batch(const struct bench_batch *batch)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_batch_writer writer;
    bench_own = true;
    const char *queue = batch->queue == NULL ? BENCH_QUEUE : batch->queue;
    struct reeve_job_batch head = {
        .queue = {queue, strlen(queue)},
        .manager_epoch = batch->manager_epoch != 0 ? batch->manager_epoch : bench.manager_epoch,
        .worker_epoch = batch->worker_epoch != 0 ? batch->worker_epoch : (int64_t)bench.worker->session.epoch,
        .seq = next_seq(batch),
        .ack = batch->ack,
        .lease_ms = batch->lease_ms != 0 ? batch->lease_ms : BENCH_LEASE_MS,
        .hello = batch->hello};
    reeve_job_batch_begin(&writer, &buf, &head);
    for (size_t i = 0; batch->jobs[i].id.len > 0; i++) {
        reeve_job_batch_job(&writer, &batch->jobs[i]);
    }
    for (size_t i = 0; batch->cancels[i].id.len > 0; i++) {
        reeve_job_batch_cancel(&writer, &batch->cancels[i]);
    }
    for (size_t i = 0; batch->abandons[i].id.len > 0; i++) {
        reeve_job_batch_abandon(&writer, &batch->abandons[i]);
    }
    assert_int_equal(reeve_job_batch_end(&writer), REEVE_OK);
    struct reeve_delivery delivery = {
        .topic = "reeve/v1/local/worker/alpha/mm-1/job", .payload = buf.data, .payload_len = buf.len};
    bench_own = false;
    worker_on_job(NULL, &delivery, bench.worker);
    bench_turn();
}

void bench_ack(void)
{
    BATCH(.ack = bench_last()->seq);
}

struct reeve_job *bench_job(const char *id)
{
    struct reeve_job *job = reeve_worker_job_find(bench.worker, BENCH_QUEUE, id);
    assert_non_null(job);
    return job;
}
