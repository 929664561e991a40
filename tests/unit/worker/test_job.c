// Jobs in a worker: from a batch to the report of their end, and what a handler may say on the way.
// Must not: need a broker; job_bench.c is bus and clock.
#include "job_bench.h"

static struct reeve_job_item of_type(const char *id, const char *type, const char *payload, size_t payload_len)
{
    struct reeve_job_item item = bench_item(id, 1);
    item.type = (struct reeve_span){type, strlen(type)};
    item.payload = (struct reeve_span){payload, payload_len};
    return item;
}

static void the_first_report_of_a_session_is_a_hello(void **state)
{
    (void)state;
    bench_serve(2, 3);
    bench_turn();
    assert_int_equal(bench.reports_len, 0); // no session, nothing is said
    bench_ready(7);
    assert_int_equal(bench.reports_len, 1);
    const struct bench_report *hello = bench_last();
    assert_true(hello->hello);
    assert_int_equal(hello->epoch, 7);
    assert_int_equal(hello->seq, 1);
    assert_int_equal(hello->capacity, 5);
    assert_int_equal(hello->hand_len, 0);
    bench_ack();
    bench_clear();
    bench_pass(25000);
    assert_int_equal(bench.reports_len, 1); // with its heartbeat
    assert_false(bench_last()->hello);
    assert_int_equal(bench_last()->seq, 2);
}

static void a_job_alone_is_done_and_reported_in_the_same_turn(void **state)
{
    (void)state;
    bench_serve(1, 0);
    bench_ready(7);
    bench_clear();
    BATCH(.ack = 1, .jobs = {of_type("a", "at_once", "\x2a", 1)});
    assert_int_equal(bench.reports_len, 1);
    assert_int_equal(bench_last()->got, 1);
    const struct bench_entry *entry = bench_find("a", REEVE_JOB_OUTCOME_DONE);
    assert_non_null(entry);
    assert_int_equal(entry->attempt, 1);
    assert_int_equal(entry->data, 42);
    bench_ack();
    assert_true(worker_jobs_finished(bench.worker));
    assert_int_equal(bench.worker->jobs.table_used, 0);
}

static void what_ends_in_one_turn_leaves_in_one_message(void **state)
{
    (void)state;
    bench_serve(4, 4);
    bench_ready(7);
    BATCH(.ack = 1, .jobs = {bench_item("a", 1), bench_item("b", 1), bench_item("c", 1)});
    bench_clear();
    struct reeve_why why = {.text = "no"};
    (void)reeve_job_done(bench_job("a"), reeve_value_int(7));
    (void)reeve_job_fail(bench_job("b"), &why);
    (void)reeve_job_retry(bench_job("c"), &why, 1500);
    assert_int_equal(bench.reports_len, 0);
    bench_turn();
    assert_int_equal(bench.reports_len, 1);
    assert_int_equal(bench_last()->entries_len, 3);
    assert_int_equal(bench_find("a", REEVE_JOB_OUTCOME_DONE)->data, 7);
    assert_string_equal(bench_find("b", REEVE_JOB_OUTCOME_FAILED)->error, "no");
    assert_int_equal(bench_find("c", REEVE_JOB_OUTCOME_RETRY)->delay_ms, 1500);
    assert_int_equal(bench.worker->status.work.done, 1);
    assert_int_equal(bench.worker->status.work.failed, 2);
}

static void jobs_begin_in_order_and_the_rest_waits(void **state)
{
    (void)state;
    bench_serve(2, 2);
    bench_ready(7);
    BATCH(.jobs = {bench_item("a", 1), bench_item("b", 1), bench_item("c", 1), bench_item("d", 1)});
    assert_int_equal(bench_ran, 2);
    assert_int_equal(reeve_worker_jobs_in_hand(bench.worker), 4);
    (void)reeve_job_done(bench_job("b"), NULL);
    bench_turn();
    assert_int_equal(bench_ran, 3);
    assert_int_equal(bench_job("c")->phase, JOB_RUNNING);
    assert_int_equal(bench_job("d")->phase, JOB_WAITING);
    assert_null(reeve_worker_job_find(bench.worker, BENCH_QUEUE, "b"));
}

static void what_is_beyond_the_capacity_goes_back(void **state)
{
    (void)state;
    bench_serve(1, -1);
    bench_ready(7);
    BATCH(.jobs = {bench_item("a", 1), bench_item("b", 1)});
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_RELEASED));
    assert_int_equal(reeve_worker_jobs_in_hand(bench.worker), 1);
}

static void the_same_attempt_twice_is_one(void **state)
{
    (void)state;
    bench_serve(4, 0);
    bench_ready(7);
    BATCH(.jobs = {bench_item("a", 1), bench_item("a", 1)});
    BATCH(.jobs = {bench_item("a", 1)});
    assert_int_equal(bench_ran, 1);
    (void)reeve_job_done(bench_job("a"), NULL);
    bench_turn();
    BATCH(.jobs = {bench_item("a", 1)}); // not confirmed yet: still known
    assert_int_equal(bench_ran, 1);
    assert_int_equal(bench.worker->jobs.repeated, 3);
}

static void an_error_of_the_handler_is_a_retry_with_its_reason(void **state)
{
    (void)state;
    bench_serve(4, 0);
    bench_ready(7);
    BATCH(.jobs = {of_type("a", "fails", "", 0), of_type("b", "unheard-of", "", 0)});
    assert_string_equal(bench_find("a", REEVE_JOB_OUTCOME_RETRY)->error, "it does not go");
    assert_int_equal(bench_find("a", REEVE_JOB_OUTCOME_RETRY)->delay_ms, -1);
    assert_string_equal(bench_find("b", REEVE_JOB_OUTCOME_RETRY)->error, "this worker does no jobs of type unheard-of");
}

static void payload_and_checkpoint_are_decoded_when_asked_for(void **state)
{
    (void)state;
    struct reeve_job_item item = of_type("a", "manual", "\x81\xa2ms\x05", 5);
    item.checkpoint = (struct reeve_span){"\xa3two", 4};
    item.timeout_ms = 5000;
    bench_serve(1, 0);
    bench_ready(7);
    BATCH(.jobs = {item});
    struct reeve_job *job = bench_job("a");
    assert_int_equal(reeve_get_int(reeve_job_payload(job), "ms", 0), 5);
    assert_string_equal(reeve_value_text(reeve_job_checkpoint_value(job)), "two");
    assert_string_equal(reeve_job_id(job), "a");
    assert_string_equal(reeve_job_type(job), "manual");
    assert_string_equal(reeve_job_queue(job), BENCH_QUEUE);
    assert_int_equal(reeve_job_timeout_ms(job), 5000);
    assert_false(reeve_job_reconciling(job));
}

static enum reeve_err stored_err;
static size_t stored_len;
static void on_stored(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg)
{
    (void)worker;
    (void)job;
    assert_ptr_equal(arg, &stored_len);
    stored_err = err;
    stored_len++;
}

static void a_checkpoint_is_stored_when_it_is_confirmed_and_not_before(void **state)
{
    (void)state;
    stored_len = 0;
    bench_serve(1, 0);
    bench_ready(7);
    BATCH(.ack = 1, .jobs = {bench_item("a", 1)});
    assert_int_equal(reeve_job_checkpoint(bench_job("a"), reeve_value_int(3), on_stored, &stored_len, NULL), REEVE_OK);
    bench_turn();
    int64_t seq = bench_last()->seq;
    assert_int_equal(bench_find("a", REEVE_JOB_OUTCOME_CHECKPOINT)->data, 3);
    assert_int_equal(stored_len, 0);
    BATCH(.ack = seq - 1);
    assert_int_equal(stored_len, 0);
    BATCH(.ack = seq);
    assert_int_equal(stored_len, 1);
    assert_int_equal(stored_err, REEVE_OK);
    assert_int_equal(reeve_job_checkpoint(bench_job("a"), NULL, on_stored, &stored_len, NULL), REEVE_OK);
    (void)reeve_job_done(bench_job("a"), NULL);
    bench_turn();
    bench_ack();
    assert_int_equal(stored_len, 1); // not of a job that has ended
    assert_true(worker_jobs_finished(bench.worker));
}

static void a_point_of_no_return_needs_somebody_who_reconciles(void **state)
{
    (void)state;
    struct reeve_why why = {0};
    bench_serve(2, 0);
    bench_ready(7);
    BATCH(.jobs = {of_type("a", "deaf", "", 0), bench_item("b", 1)});
    assert_int_equal(reeve_job_no_return(bench_job("a"), reeve_value_int(1), NULL, NULL, &why), REEVE_UNSUPPORTED);
    assert_int_equal(reeve_job_no_return(bench_job("b"), reeve_value_int(1), NULL, NULL, &why), REEVE_OK);
    bench_turn();
    assert_null(bench_find("a", REEVE_JOB_OUTCOME_NO_RETURN));
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_NO_RETURN));
    BATCH(.cancels = {{.id = {"b", 1}, .attempt = 1}}); // nothing is cancelled past it
    assert_string_equal(bench_cancels, "");
}

static void only_a_reconciling_attempt_says_not_done(void **state)
{
    (void)state;
    struct reeve_job_item item = bench_item("a", 2);
    item.reconcile = true;
    bench_serve(2, 0);
    bench_ready(7);
    BATCH(.jobs = {item, bench_item("b", 1)});
    assert_true(reeve_job_reconciling(bench_job("a")));
    (void)reeve_job_not_done(bench_job("a"));
    (void)reeve_job_not_done(bench_job("b"));
    bench_turn();
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_NOT_DONE));
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_RETRY));
}

static void of_progress_the_newest_wins_and_lines_go_along(void **state)
{
    (void)state;
    bench_serve(1, 0);
    bench_ready(7);
    BATCH(.ack = 1, .jobs = {bench_item("a", 1)});
    bench_pass(1500);
    bench_clear();
    (void)reeve_job_progress(bench_job("a"), 0.25, "page 1");
    (void)reeve_job_progress(bench_job("a"), 0.5, "page 2");
    (void)reeve_job_log(bench_job("a"), "line \xff one");
    bench_turn();
    assert_int_equal(bench_entries(), 2);
    const struct bench_entry *progress = bench_find("a", REEVE_JOB_OUTCOME_PROGRESS);
    assert_true(progress->progress == 0.5);
    assert_string_equal(progress->text, "page 2");
    assert_string_equal(bench_find("a", REEVE_JOB_OUTCOME_LOG)->text, "line \xef\xbf\xbd one");
    bench_clear();
    (void)reeve_job_progress(bench_job("a"), 0.6, NULL);
    bench_turn();
    assert_int_equal(bench.reports_len, 0); // five times a second
    bench_pass(JOBS_TALK_MS);
    assert_int_equal(bench_entries(), 1);
}

static void paused_it_takes_nothing_and_gives_back_what_waits(void **state)
{
    (void)state;
    bench_serve(1, 4);
    bench_ready(7);
    BATCH(.ack = 1, .jobs = {bench_item("a", 1), bench_item("b", 1)});
    bench_clear();
    bench.worker->status.paused = true;
    worker_jobs_may(bench.worker);
    bench_turn();
    assert_int_equal(bench_last()->capacity, 0);
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_RELEASED));
    assert_non_null(bench_job("a")); // runs on
    BATCH(.jobs = {bench_item("c", 1)});
    assert_non_null(bench_find("c", REEVE_JOB_OUTCOME_RELEASED));
    bench.worker->status.paused = false;
    worker_jobs_may(bench.worker);
    bench_turn();
    assert_int_equal(bench_last()->capacity, 5);
}

static void a_queue_that_is_not_served_any_more_is_forgotten_when_it_is_empty(void **state)
{
    (void)state;
    bench_serve(1, 4);
    bench_ready(7);
    BATCH(.jobs = {bench_item("a", 1), bench_item("b", 1)});
    reeve_worker_unserve(bench.worker, BENCH_QUEUE);
    bench_turn();
    assert_int_equal(bench_last()->capacity, 0);
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_RELEASED));
    assert_null(worker_jobs_queues_value(bench.worker));
    (void)reeve_job_done(bench_job("a"), NULL);
    bench_turn();
    assert_non_null(jobs_link(bench.worker, BENCH_QUEUE, strlen(BENCH_QUEUE)));
    bench_ack();
    assert_null(jobs_link(bench.worker, BENCH_QUEUE, strlen(BENCH_QUEUE)));
}

static void what_can_not_be_served_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct reeve_why why = {0};
    char name[16];
    assert_int_equal(reeve_worker_serve(bench.worker, &(struct reeve_worker_queue){.queue = "No"}, &why),
                     REEVE_INVALID);
    assert_int_equal(
        reeve_worker_serve(bench.worker, &(struct reeve_worker_queue){.queue = "q", .concurrency = 1001}, &why),
        REEVE_INVALID);
    for (int i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        (void)snprintf(name, sizeof name, "q%d", i); /* short */
        assert_int_equal(reeve_worker_serve(bench.worker, &(struct reeve_worker_queue){.queue = name}, &why), REEVE_OK);
    }
    assert_int_equal(reeve_worker_serve(bench.worker, &(struct reeve_worker_queue){.queue = "more"}, &why),
                     REEVE_LIMIT);
    assert_int_equal(reeve_worker_serve(bench.worker, &(struct reeve_worker_queue){.queue = "q3"}, &why), REEVE_OK);
}

static void a_result_that_is_too_large_is_left_out_and_the_job_is_done(void **state)
{
    (void)state;
    size_t len = 2 << 20;
    char *large = malloc(len);
    bench_serve(1, 0);
    bench_ready(7);
    BATCH(.jobs = {bench_item("a", 1)});
    assert_non_null(large);
    memset(large, 'x', len);
    (void)reeve_job_done(bench_job("a"), reeve_value_strn(large, len));
    free(large);
    bench_turn();
    assert_int_equal(bench_find("a", REEVE_JOB_OUTCOME_DONE)->data, -1);
    assert_non_null(strstr(bench_find("a", REEVE_JOB_OUTCOME_LOG)->text, "left out"));
}

static void reports_stay_below_the_size_of_a_message(void **state)
{
    (void)state;
    enum { LEN = 400 << 10 };
    static char large[LEN];
    memset(large, 'x', LEN);
    bench_serve(8, 0);
    bench_ready(7);
    BATCH(.jobs = {bench_item("a", 1), bench_item("b", 1), bench_item("c", 1), bench_item("d", 1)});
    bench_clear();
    const char *const ids[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        (void)reeve_job_done(bench_job(ids[i]), reeve_value_strn(large, LEN));
    }
    bench_turn();
    assert_int_equal(bench.reports_len, 2); // take_report() has checked each
    assert_int_equal(bench_entries(), 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_report_of_a_session_is_a_hello),
        TEST(a_job_alone_is_done_and_reported_in_the_same_turn),
        TEST(what_ends_in_one_turn_leaves_in_one_message),
        TEST(jobs_begin_in_order_and_the_rest_waits),
        TEST(what_is_beyond_the_capacity_goes_back),
        TEST(the_same_attempt_twice_is_one),
        TEST(an_error_of_the_handler_is_a_retry_with_its_reason),
        TEST(payload_and_checkpoint_are_decoded_when_asked_for),
        TEST(a_checkpoint_is_stored_when_it_is_confirmed_and_not_before),
        TEST(a_point_of_no_return_needs_somebody_who_reconciles),
        TEST(only_a_reconciling_attempt_says_not_done),
        TEST(of_progress_the_newest_wins_and_lines_go_along),
        TEST(paused_it_takes_nothing_and_gives_back_what_waits),
        TEST(a_queue_that_is_not_served_any_more_is_forgotten_when_it_is_empty),
        TEST(what_can_not_be_served_is_refused_with_the_reason),
        TEST(a_result_that_is_too_large_is_left_out_and_the_job_is_done),
        TEST(reports_stay_below_the_size_of_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
