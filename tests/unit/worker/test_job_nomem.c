// The first, second, third ... allocation of a worker that takes jobs fails: no job is lost by it. Each is reported, or
// not in the hand of the next hello, so that the manager gives it again. Needs --wrap for malloc and its kin.
// Must not: fail the allocations of the bench.
#include "job_bench.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t len, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t len, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long fail_in = -1; // allocations until the one that fails; -1 = none does
static bool failed, all_fail;

static bool fails(void)
{
    if (bench_own || fail_in < 0 || fail_in-- > 0) {
        return false;
    }
    fail_in = all_fail ? 0 : -1;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t len, size_t size)
{
    return fails() ? NULL : __real_calloc(len, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

#define JOBS 6
static const char *const ids[JOBS] = {"a", "b", "c", "d", "e", "f"};

static void give(int64_t attempt, const bool *skip)
{
    struct bench_batch batch = {0};
    size_t len = 0;
    for (size_t i = 0; i < JOBS; i++) {
        if (!skip[i]) {
            batch.jobs[len] = bench_item(ids[i], attempt);
            batch.jobs[len].timeout_ms = 50000;
            batch.jobs[len++].payload = (struct reeve_span){"\x81\xa2ms\x05", 5};
        }
    }
    bench_batch(&batch);
}

static struct reeve_job *find(const char *id)
{
    return reeve_worker_job_find(bench.worker, BENCH_QUEUE, id);
}

// Whatever may allocate; what a handler could not say it does not say.
static void work(void)
{
    struct reeve_why why = {.text = "for some reason"};
    struct reeve_job *job = find("a");
    if (job != NULL) {
        (void)reeve_job_payload(job);
        (void)reeve_job_log(job, "a line");
        (void)reeve_job_progress(job, 0.5, "half");
        (void)reeve_job_checkpoint(job, reeve_value_int(3), NULL, NULL, &why);
        bench_turn();
        (void)reeve_job_done(job, reeve_value_int(7));
    }
    if ((job = find("b")) != NULL) {
        (void)reeve_job_retry(job, &why, 5);
    }
    if ((job = find("c")) != NULL) {
        (void)reeve_job_done_bytes(job, "\x07", 1);
    }
    if ((job = find("d")) != NULL) {
        BATCH(.cancels = {{.id = {"d", 1}, .attempt = reeve_job_attempt(job), .grace_ms = 100}});
        (void)reeve_job_cancelled(job);
    }
    if ((job = find("e")) != NULL) {
        BATCH(.abandons = {{.id = {"e", 1}, .attempt = reeve_job_attempt(job)}});
        (void)reeve_job_done(job, NULL);
    }
    if ((job = find("f")) != NULL) {
        (void)reeve_job_release(job);
    }
    bench_turn();
}

static bool ended(const char *id)
{
    for (size_t i = 0; i < bench_entries(); i++) {
        if (strcmp(bench_entry(i)->id, id) == 0 && reeve_job_outcome_ends(bench_entry(i)->outcome)) {
            return true;
        }
    }
    return strcmp(id, "e") == 0; // taken away: nothing of it is heard
}

static void once(long n)
{
    bool skip[JOBS] = {false};
    void *state = NULL;
    failed = false;
    assert_int_equal(bench_setup(&state), 0);
    bench_serve(8, 0);
    fail_in = n;
    bench_ready(7);
    bench_pass(1000);
    give(1, skip);
    work();
    fail_in = -1;
    bench_pass(2 * JOBS_RETRY_MS);
    BATCH(.hello = true);
    assert_true(bench_last()->hello);
    for (size_t i = 0; i < JOBS; i++) {
        skip[i] = ended(ids[i]);
        assert_true(skip[i] || strstr(bench_last()->hand, ids[i]) == NULL); // said, or given again
    }
    give(2, skip);
    work();
    for (size_t i = 0; i < JOBS; i++) {
        assert_true(ended(ids[i]));
    }
    bench_ack();
    assert_true(worker_jobs_finished(bench.worker));
    assert_int_equal(bench.worker->jobs.table_used, 0);
    assert_int_equal(bench_teardown(&state), 0);
}

static void no_job_is_lost_for_lack_of_memory(void **state)
{
    (void)state;
    long n = 0;
    do {
        once(n++);
    } while (failed);
    assert_true(n > 20); // else nothing was tried
}

static void nor_when_there_is_none_for_a_while(void **state)
{
    (void)state;
    long n = 0;
    all_fail = true;
    do {
        once(n++);
    } while (failed);
    all_fail = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_job_is_lost_for_lack_of_memory),
        cmocka_unit_test(nor_when_there_is_none_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
