// 10,000 jobs through a worker while a simulated manager and the way to it fail at random: reports and batches are lost
// or late, sessions end, managers die, leases run out, jobs are fenced and cancelled. Whatever happens: an attempt
// begins at most once, what a handler did is what is reported, nothing that a handler finished is lost while its
// attempt is the job's, a checkpoint counts only when the manager has it, and when the faults end all jobs do.
// Seed: REEVE_TEST_SEED, else of the clock; printed.
// Must not: know how the worker does it; it sees what a manager and a handler see.
#include "job_bench.h"

#include <reeve/id.h>

#define JOBS        10000
#define STEPS_MAX   400000
#define ATTEMPTS    64 // of one job, remembered
#define LEASE_MS    BENCH_LEASE_MS
#define CONCURRENCY 20
#define PREFETCH    30
#define WIRE_MAX    512
#define REFUSED_MAX 512

enum where { AWAY, ACTIVE, COMPLETED };
struct model { // a job
    enum where where;
    int64_t attempt, seq; // the batch it left in
    int64_t active_since;
    bool began[ATTEMPTS];
    bool finished[ATTEMPTS]; // by its handler, which was told nothing else
    int64_t checkpoint;      // the manager's
    size_t done_accepted;
};
static struct model models[JOBS];
static size_t completed, next_new, wasted;

static struct { // the manager's side of the link
    int64_t epoch, session, report_seq, batch_seq, heard_ms, capacity;
    bool hello, known;
    int64_t ack;
    bool answer;
    size_t active;
    struct {
        char id[16];
        int64_t attempt;
    } refused[REFUSED_MAX]; // to be abandoned: said before anything else is confirmed
    size_t refused_len;
} manager;

struct packet { // on its way to the manager
    size_t report;
    int64_t session;
};
static struct bench_report wire[WIRE_MAX];
static size_t wire_len;
static uint64_t dice;
static bool faults;

static uint64_t throw_dice(uint64_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % below;
}

static bool one_in(uint64_t n)
{
    return faults && throw_dice(n) == 0;
}

static size_t number_of(const char *id)
{
    size_t number = (size_t)strtoul(id + 1, NULL, 10);
    assert_true(id[0] == 'j' && number < JOBS);
    return number;
}

// ---- handlers
// -----------------------------------------------------------------------------------------------------------------

static struct reeve_job *running[CONCURRENCY + 1];
static size_t running_len;

static void forget(struct reeve_job *job)
{
    for (size_t i = 0; i < running_len; i++) {
        if (running[i] == job) {
            running[i] = running[--running_len];
            return;
        }
    }
    fail_msg("a job that was not running");
}

static enum reeve_err run(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    struct model *model = &models[number_of(reeve_job_id(job))];
    int64_t attempt = reeve_job_attempt(job);
    (void)worker;
    (void)why;
    assert_true(attempt > 0 && attempt < ATTEMPTS);
    assert_false(model->began[attempt]);
    model->began[attempt] = true;
    assert_true(running_len < CONCURRENCY);
    for (size_t i = 0; i < running_len; i++) {
        assert_string_not_equal(reeve_job_id(running[i]), reeve_job_id(job)); // never two attempts side by side
    }
    running[running_len++] = job;
    return REEVE_OK;
}

static void cancel(struct reeve_worker *worker, struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    (void)worker;
    (void)grace_ms;
    (void)reason;
    if (throw_dice(2) == 0) { // else it ends later, or never hears
        forget(job);
        (void)reeve_job_cancelled(job);
    }
}

static const struct reeve_worker_job_type types[] = {{.type = "manual", .run = run, .cancel = cancel}, {0}};
static const struct reeve_worker_program program = {.type = "property", .version = "1", .jobs = types};

static void stored(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg)
{
    (void)worker;
    if (err == REEVE_OK) {
        const struct model *model = &models[number_of(reeve_job_id(job))];
        assert_true(model->checkpoint >= (int64_t)(intptr_t)arg); // it is on the manager's disk
    }
}

static int64_t checkpoints = 0;
static void act_on_a_job(void)
{
    if (running_len == 0) {
        return;
    }
    struct reeve_job *job = running[throw_dice(running_len)];
    struct model *model = &models[number_of(reeve_job_id(job))];
    struct reeve_why why = {.text = "as told"};
    uint64_t what = throw_dice(10);
    if (what == 0) {
        int64_t number = ++checkpoints;
        if (reeve_job_checkpoint(job, reeve_value_int(number), stored, (void *)(intptr_t)number, NULL) != REEVE_OK) {
            checkpoints--; // fenced, or too many wait
        }
        return;
    }
    forget(job);
    if (what == 1 && faults) {
        (void)reeve_job_retry(job, &why, 0);
        return;
    }
    bool ours = reeve_worker_job_find(bench.worker, BENCH_QUEUE, reeve_job_id(job)) == job;
    model->finished[reeve_job_attempt(job)] = ours && job->cause == JOB_CAUSE_NONE;
    (void)reeve_job_done(job, reeve_value_int((int64_t)number_of(reeve_job_id(job))));
}

// ---- the manager
// ----------------------------------------------------------------------------------------------------------------

static void take_back(struct model *model)
{
    if (model->where == ACTIVE) {
        model->where = AWAY;
        manager.active--;
    }
}

static void refuse(const struct bench_entry *entry) // [job-4]
{
    for (size_t i = 0; i < manager.refused_len; i++) {
        if (manager.refused[i].attempt == entry->attempt && strcmp(manager.refused[i].id, entry->id) == 0) {
            return;
        }
    }
    assert_true(manager.refused_len < REFUSED_MAX);
    (void)snprintf(manager.refused[manager.refused_len].id, 16, "%s", entry->id); /* fits */
    manager.refused[manager.refused_len++].attempt = entry->attempt;
}

static void take_entry(const struct bench_entry *entry)
{
    struct model *model = &models[number_of(entry->id)];
    if (entry->attempt != model->attempt || model->where != ACTIVE) {
        if (entry->outcome == REEVE_JOB_OUTCOME_CHECKPOINT) {
            refuse(entry);
        }
        return; // or known already
    }
    if (entry->outcome == REEVE_JOB_OUTCOME_CHECKPOINT) {
        model->checkpoint = entry->data > model->checkpoint ? entry->data : model->checkpoint;
        return;
    }
    assert_true(entry->outcome == REEVE_JOB_OUTCOME_DONE || model->began[entry->attempt] ||
                entry->outcome == REEVE_JOB_OUTCOME_RELEASED || entry->outcome == REEVE_JOB_OUTCOME_CANCELLED);
    take_back(model);
    if (entry->outcome == REEVE_JOB_OUTCOME_DONE) {
        assert_true(model->began[entry->attempt]);
        assert_true(entry->data == (int64_t)number_of(entry->id));
        model->where = COMPLETED;
        model->done_accepted++;
        completed++;
    }
}

// What is not in the hand, and was in a batch that arrived, is lost; what a handler has finished is never among it.
static void compare_hand(const struct bench_report *report)
{
    char words[sizeof report->hand + 2];
    (void)snprintf(words, sizeof words, " %s ", report->hand); /* fits */
    for (size_t i = 0; i < JOBS; i++) {
        char word[64];
        struct model *model = &models[i];
        (void)snprintf(word, sizeof word, " j%zu:%lld ", i, (long long)model->attempt); /* fits */
        if (model->where == ACTIVE && model->seq <= report->got && strstr(words, word) == NULL) {
            assert_false(model->finished[model->attempt]);
            take_back(model);
        }
    }
}

static void take_report(const struct bench_report *report)
{
    if (report->epoch != manager.session) {
        manager.session = report->epoch;
        manager.report_seq = 0;
        manager.batch_seq = 0;
        manager.known = false;
        for (size_t i = 0; i < JOBS; i++) {
            models[i].seq = 0; // whatever it had, a hello will tell
        }
    }
    manager.heard_ms = bench.now_ms;
    bool gap = manager.known && report->seq != manager.report_seq + 1;
    manager.report_seq = report->seq;
    manager.capacity = report->capacity;
    if (gap || (!manager.known && !report->hello)) {
        manager.known = false;
        manager.hello = true;
        return; // it confirms nothing that it can't know to be complete
    }
    for (size_t i = 0; i < report->entries_len; i++) {
        take_entry(&report->entries[i]);
    }
    if (report->hello) {
        compare_hand(report);
        manager.known = true;
        manager.hello = false;
    }
    manager.ack = report->seq;
    manager.answer = true;
}

static void deliver(bool lose)
{
    if (wire_len == 0) {
        return;
    }
    if (!lose) {
        take_report(&wire[0]);
    }
    free(wire[0].entries);
    memmove(&wire[0], &wire[1], --wire_len * sizeof wire[0]);
}

static struct model *to_send(size_t *ret)
{
    for (size_t tries = 0; tries < 40; tries++) {
        size_t i = throw_dice(next_new < 200 ? 1 : next_new);
        if (models[i].where == AWAY && models[i].attempt > 0 && models[i].attempt < ATTEMPTS - 2) {
            *ret = i;
            return &models[i];
        }
    }
    if (next_new >= JOBS) {
        for (size_t i = 0; i < JOBS; i++) {
            if (models[i].where == AWAY) {
                *ret = i;
                return &models[i];
            }
        }
        return NULL;
    }
    *ret = next_new;
    return &models[next_new++];
}

static void send_batch(bool lose)
{
    static char ids[8][16];
    struct reeve_job_notice abandons[BENCH_NOTICES_MAX];
    memset(abandons, 0, sizeof abandons);
    struct bench_batch batch = {.manager_epoch = manager.epoch,
                                .worker_epoch = manager.session,
                                .hello = manager.hello,
                                .ack = manager.answer ? manager.ack : 0};
    if (manager.session == 0) {
        return;
    }
    size_t len = 0;
    while (manager.known && len < 7 && manager.active < (size_t)manager.capacity) {
        size_t number;
        struct model *model = to_send(&number);
        if (model == NULL) {
            break;
        }
        (void)snprintf(ids[len], sizeof ids[len], "j%zu", number); /* fits */
        model->where = ACTIVE;
        model->attempt++;
        model->seq = manager.batch_seq + 1;
        model->active_since = bench.now_ms;
        manager.active++;
        batch.jobs[len] = bench_item(ids[len], model->attempt);
        len++;
    }
    if (one_in(30) && running_len > 0) {
        struct reeve_job *job = running[throw_dice(running_len)];
        struct reeve_job_notice notice = {
            .id = {job->bytes, job->id_len}, .attempt = reeve_job_attempt(job), .grace_ms = 100};
        *(one_in(2) ? batch.cancels : batch.abandons) = notice;
        if (batch.abandons[0].attempt != 0) {
            take_back(&models[number_of(job->bytes)]); // given to another
        }
    }
    size_t told = 0;
    for (; told < BENCH_NOTICES_MAX - 1 && told < manager.refused_len && batch.abandons[0].attempt == 0; told++) {
        abandons[told] = (struct reeve_job_notice){.id = {manager.refused[told].id, strlen(manager.refused[told].id)},
                                                   .attempt = manager.refused[told].attempt};
    }
    if (told > 0) {
        memcpy(batch.abandons, abandons, sizeof abandons);
    }
    if (told < manager.refused_len) {
        batch.ack = 0;
    }
    bool carries = len + told > 0 || batch.cancels[0].attempt + batch.abandons[0].attempt > 0;
    manager.batch_seq += carries ? 1 : 0;
    batch.seq = bench.batch_seq = manager.batch_seq;
    manager.answer = manager.answer && told < manager.refused_len;
    if (!lose) { // what is lost is not told again: the worker misses the number
        bench_batch(&batch);
    }
    manager.refused_len -= told;
    memmove(&manager.refused[0], &manager.refused[told], manager.refused_len * sizeof manager.refused[0]);
}

static void lease_of_manager(void)
{
    if (bench.now_ms - manager.heard_ms > LEASE_MS + 1000) {
        for (size_t i = 0; i < JOBS; i++) {
            if (models[i].where == ACTIVE) {
                models[i].finished[models[i].attempt] = false; // the price of a lease
                take_back(&models[i]);
                wasted++;
            }
        }
        manager.known = false;
        manager.heard_ms = bench.now_ms;
        manager.hello = true;
    }
}

static void new_manager(void)
{
    manager.epoch++;
    manager.known = false;
    manager.hello = true;
    manager.batch_seq = 0;
    manager.report_seq = 0;
    manager.answer = false;
    manager.refused_len = 0;
    while (wire_len > 0) {
        deliver(true);
    }
    for (size_t i = 0; i < JOBS; i++) {
        models[i].seq = 0;
    }
    manager.heard_ms = bench.now_ms;
    send_batch(false);
}

// ---- the schedule
// ---------------------------------------------------------------------------------------------------------------

static void collect(void)
{
    for (size_t i = 0; i < bench.reports_len; i++) {
        if (wire_len == WIRE_MAX) {
            deliver(false);
        }
        wire[wire_len++] = bench.reports[i]; // with its entries
    }
    bench.reports_len = 0;
}

static uint64_t session = 1;
static void step(void)
{
    uint64_t what = throw_dice(100);
    if (what < 40) {
        act_on_a_job();
        bench_turn();
    } else if (what < 70) {
        collect();
        deliver(one_in(60));
    } else if (what < 90) {
        if (manager.answer || manager.hello || manager.active < (size_t)manager.capacity) {
            send_batch(one_in(60));
        }
    } else {
        bench_pass((int64_t)throw_dice(one_in(50) ? 8000 : 60));
    }
    if (one_in(2000)) {
        collect();
        while (wire_len > 0) { // of a session that ends some arrive
            deliver(one_in(2));
        }
        bench_ready(++session);
    }
    if (one_in(3000)) {
        collect();
        new_manager();
    }
    if (one_in(500)) {
        bench.refuse = bench.refuse == REEVE_OK ? REEVE_LIMIT : REEVE_OK;
    }
    bench.refuse = faults ? bench.refuse : REEVE_OK;
    collect();
    lease_of_manager();
    assert_true(reeve_worker_jobs_in_hand(bench.worker) <= CONCURRENCY + PREFETCH);
}

static uint64_t seed_of(void)
{
    const char *text = getenv("REEVE_TEST_SEED");
    uint64_t seed = text == NULL ? 0 : strtoull(text, NULL, 0);
    if (seed == 0) {
        reeve_random_bytes(&seed, sizeof seed);
    }
    return seed == 0 ? 1 : seed;
}

static void ten_thousand_jobs_whatever_happens(void **state)
{
    (void)state;
    uint64_t seed = dice = seed_of();
    print_message("REEVE_TEST_SEED=0x%llx\n", (unsigned long long)seed);
    faults = true;
    manager.epoch = 100;
    bench.worker->program = &program;
    bench_serve(CONCURRENCY, PREFETCH);
    bench_ready(session);
    size_t steps = 0;
    while (completed < JOBS && steps < STEPS_MAX) {
        faults = completed < JOBS - JOBS / 20; // the last of them in peace: they must get there by themselves
        step();
        steps++;
    }
    print_message(
        "steps %zu, sessions %llu, managers %lld, taken back by lease %zu, resent %llu, fenced %llu, leases %llu\n",
        steps, (unsigned long long)session, (long long)manager.epoch - 99, wasted,
        (unsigned long long)bench.worker->jobs.resent, (unsigned long long)bench.worker->jobs.fenced,
        (unsigned long long)bench.worker->jobs.leases_over);
    assert_int_equal(completed, JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(models[i].done_accepted, 1);
    }
    for (size_t i = 0; i < 20000 && !(worker_jobs_finished(bench.worker) && running_len == 0); i++) {
        step();
    }
    assert_int_equal(running_len, 0);
    assert_true(worker_jobs_finished(bench.worker));
    assert_int_equal(bench.worker->jobs.table_used, 0);
    assert_int_equal(bench.worker->jobs.due_len, 0);
    while (wire_len > 0) {
        deliver(true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ten_thousand_jobs_whatever_happens, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
