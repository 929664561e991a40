// Jobs when things go wrong: acks that do not come, other sessions and managers, jobs that are another's, a lease that
// is over, jobs that do not end, a bus that takes nothing, a worker that leaves.
// Must not: need a broker; job_bench.c is bus and clock.
#include "job_bench.h"

static size_t sent_again(const char *id)
{
    size_t times = 0;
    for (size_t i = 0; i < bench_entries(); i++) {
        times += strcmp(bench_entry(i)->id, id) == 0 ? 1 : 0;
    }
    return times;
}

static struct reeve_job_notice notice(const char *id, int64_t attempt, const char *reason, int64_t grace_ms)
{
    return (struct reeve_job_notice){
        .id = {id, strlen(id)}, .attempt = attempt, .reason = {reason, strlen(reason)}, .grace_ms = grace_ms};
}

static void begin(int64_t concurrency, int64_t prefetch)
{
    bench_serve(concurrency, prefetch);
    bench_ready(7);
    bench_ack();
    bench_clear();
}

static void give(const char *const *ids) // ends with NULL
{
    struct bench_batch batch = {0};
    for (size_t i = 0; ids[i] != NULL; i++) {
        batch.jobs[i] = bench_item(ids[i], 1);
    }
    bench_batch(&batch);
}
#define GIVE(...) give((const char *const[]){__VA_ARGS__, NULL})

static void done(const char *id)
{
    (void)reeve_job_done(bench_job(id), NULL); /* always OK */
    bench_turn();
}

static void confirm_all(void)
{
    while (bench.reports_len > 0) {
        int64_t seq = bench_last()->seq;
        bench_clear();
        BATCH(.ack = seq);
    }
}

// ---- acks
// -------------------------------------------------------------------------------------------------------------------

static void an_entry_whose_ack_is_lost_is_sent_once_more(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a");
    done("a");
    assert_int_equal(sent_again("a"), 1);
    bench_pass(BENCH_LEASE_MS / 3 - 1);
    assert_int_equal(sent_again("a"), 1);
    bench_pass(2);
    assert_int_equal(sent_again("a"), 2);
    bench_ack();
    bench_pass(60000);
    assert_int_equal(sent_again("a"), 2);
    assert_true(worker_jobs_finished(bench.worker));
}

static void the_ack_of_the_first_report_counts_after_the_second(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a");
    done("a");
    int64_t first = bench_last()->seq;
    bench_pass(BENCH_LEASE_MS / 3);
    assert_int_equal(sent_again("a"), 2);
    BATCH(.ack = first);
    assert_true(worker_jobs_finished(bench.worker));
}

static void nobody_who_answers_is_asked_less_and_less_often(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a");
    done("a");
    bench_pass(600000);
    assert_in_range(sent_again("a"), 8, 20); // not the 300 of every second second
    BATCH(.hello = true);
    assert_true(bench_last()->hello);
    assert_int_equal(bench_last()->entries_len, 1);
    bench_ack();
    assert_true(worker_jobs_finished(bench.worker));
}

static void an_ack_of_what_was_never_sent_is_malformed(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a");
    done("a");
    BATCH(.ack = bench_last()->seq + 1);
    assert_int_equal(bench.worker->jobs.malformed, 1);
    assert_false(worker_jobs_finished(bench.worker));
}

static void a_bus_that_takes_nothing_is_asked_again_and_nothing_is_lost(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a", "b");
    bench_clear();
    bench.refuse = REEVE_LIMIT;
    done("a");
    done("b");
    bench_pass(1000);
    assert_int_equal(bench.reports_len, 0);
    bench.refuse = REEVE_OK;
    bench_pass(JOBS_RETRY_MS);
    assert_int_equal(bench_entries(), 2);
    assert_int_equal(bench_last()->entries_len, 2);
}

// ---- sessions and managers
// -----------------------------------------------------------------------------------------------------

static void a_new_session_begins_with_a_hello_and_all_that_is_not_confirmed(void **state)
{
    (void)state;
    begin(2, 2);
    GIVE("a", "b", "c");
    done("a");
    bench_clear();
    bench_ready(9);
    assert_int_equal(bench.reports_len, 1);
    const struct bench_report *hello = bench_last();
    assert_true(hello->hello);
    assert_int_equal(hello->epoch, 9);
    assert_int_equal(hello->seq, 1);
    assert_int_equal(hello->got, 0);
    assert_string_equal(hello->hand, "b:1 c:1 a:1"); // what has ended too: its entry might have needed another message
    assert_int_equal(hello->entries_len, 1);
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_DONE));
    BATCH(.worker_epoch = 7, .ack = 1); // of the session before
    assert_false(worker_jobs_finished(bench.worker));
    assert_int_equal(bench.worker->jobs.batches_ignored, 1);
    bench_ack();
    assert_int_equal(bench.worker->jobs.links[0].kept, 0);
}

static void what_ends_while_there_is_no_session_leaves_with_the_next(void **state)
{
    (void)state;
    begin(2, 0);
    GIVE("a");
    bench_clear();
    worker_jobs_session(bench.worker, false);
    done("a");
    bench_pass(2000);
    assert_int_equal(bench.reports_len, 0);
    bench_ready(9);
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_DONE));
}

static void a_manager_of_an_earlier_epoch_is_not_obeyed(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a");
    BATCH(.manager_epoch = 99, .jobs = {bench_item("b", 1)}, .seq = 2, .cancels = {notice("a", 1, "x", 1000)});
    assert_null(reeve_worker_job_find(bench.worker, BENCH_QUEUE, "b"));
    assert_string_equal(bench_cancels, "");
    assert_int_equal(bench.worker->jobs.batches_ignored, 1);
}

static void a_new_manager_confirms_only_what_was_sent_to_it(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a", "b");
    done("a");
    int64_t lost = bench_last()->seq; // to a manager that died with it
    done("b");
    bench.manager_epoch = 200;
    bench_clear();
    BATCH(.ack = lost + 1); // it has heard b's, not a's
    assert_true(bench_last()->hello);
    assert_int_equal(bench_last()->manager_epoch, 200);
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_DONE));
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_DONE));
    bench_ack();
    assert_true(worker_jobs_finished(bench.worker));
}

static void a_batch_that_is_missing_is_answered_with_the_hand(void **state)
{
    (void)state;
    begin(4, 4);
    GIVE("a");
    bench_clear();
    BATCH(.seq = 3, .jobs = {bench_item("c", 1)});
    assert_true(bench_last()->hello);
    assert_int_equal(bench_last()->got, 3);
    assert_string_equal(bench_last()->hand, "a:1 c:1");
}

static void an_ack_behind_a_missing_batch_is_not_taken(void **state)
{
    (void)state;
    begin(4, 0);
    GIVE("a");
    done("a");
    BATCH(.seq = bench.batch_seq + 1, .ack = bench_last()->seq); // the last number repeated: of one that did not come
    assert_false(worker_jobs_finished(bench.worker));
    assert_int_equal(bench.worker->jobs.gaps, 1);
    assert_true(bench_last()->hello);
    bench_ack();
    assert_true(worker_jobs_finished(bench.worker));
}

static void what_can_not_be_read_is_ignored_and_counted(void **state)
{
    (void)state;
    begin(4, 0);
    struct reeve_delivery delivery = {
        .topic = "reeve/v1/local/worker/alpha/mm-1/job", .payload = "\x81\xa5queue", .payload_len = 7};
    worker_on_job(NULL, &delivery, bench.worker);
    BATCH(.queue = "others", .jobs = {bench_item("a", 1)});
    assert_int_equal(bench.worker->jobs.malformed, 1);
    assert_int_equal(bench.worker->jobs.batches_ignored, 1);
    assert_int_equal(reeve_worker_jobs_in_hand(bench.worker), 0);
}

// ---- jobs that are another's
// -----------------------------------------------------------------------------------------------------

static enum reeve_err stored_err;
static size_t stored_len;
static void on_stored(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg)
{
    (void)worker;
    (void)job;
    (void)arg;
    stored_err = err;
    stored_len++;
}

static void a_fenced_job_is_told_and_what_it_says_is_dropped(void **state)
{
    (void)state;
    stored_len = 0;
    begin(2, 0);
    GIVE("a");
    struct reeve_job *job = bench_job("a");
    assert_int_equal(reeve_job_checkpoint(job, NULL, on_stored, NULL, NULL), REEVE_OK);
    bench_turn();
    int64_t seq = bench_last()->seq;
    bench_clear();
    BATCH(.ack = seq, .abandons = {notice("a", 1, "fenced", 500)});
    assert_int_equal(stored_len, 1);
    assert_int_equal(stored_err, REEVE_CONFLICT); // not confirmed by the ack that came with it
    assert_string_equal(bench_cancels, "a:fenced");
    assert_int_equal(reeve_worker_jobs_in_hand(bench.worker), 0);
    assert_int_equal(reeve_job_checkpoint(job, NULL, on_stored, NULL, NULL), REEVE_CONFLICT);
    assert_int_equal(reeve_job_progress(job, 1, NULL), REEVE_CONFLICT);
    bench_turn();
    assert_int_equal(bench_entries(), 0);
    assert_int_equal(jobs_capacity(bench.worker, &bench.worker->jobs.links[0]), 3); // its handler still has a slot
    (void)reeve_job_done(job, reeve_value_int(1));
    bench_turn();
    assert_int_equal(bench_entries(), 0);
    assert_int_equal(jobs_capacity(bench.worker, &bench.worker->jobs.links[0]), 4);
    assert_true(worker_jobs_finished(bench.worker));
}

static void what_a_fenced_job_said_and_was_not_sent_is_not_sent(void **state)
{
    (void)state;
    begin(2, 0);
    GIVE("a");
    struct reeve_job *job = bench_job("a");
    bench_clear();
    assert_int_equal(reeve_job_checkpoint(job, NULL, NULL, NULL, NULL), REEVE_OK);
    BATCH(.abandons = {notice("a", 1, "fenced", 500)});
    assert_int_equal(bench_entries(), 0);
    (void)reeve_job_done(job, NULL);
    bench_turn();
    assert_true(worker_jobs_finished(bench.worker));
}

static void a_later_attempt_waits_until_the_handler_of_the_earlier_has_ended(void **state)
{
    (void)state;
    begin(2, 2);
    GIVE("a");
    struct reeve_job *first = bench_job("a");
    BATCH(.jobs = {bench_item("a", 2), bench_item("b", 1)});
    assert_string_equal(bench_cancels, "a:fenced");
    struct reeve_job *second = bench_job("a");
    assert_int_equal(reeve_job_attempt(second), 2);
    assert_int_equal(second->phase, JOB_WAITING);
    assert_int_equal(bench_job("b")->phase, JOB_RUNNING); // others go past it
    (void)reeve_job_done(first, NULL);
    bench_turn();
    assert_int_equal(second->phase, JOB_RUNNING);
    BATCH(.jobs = {bench_item("a", 1)}); // an earlier one once more
    assert_ptr_equal(bench_job("a"), second);
}

// ---- the lease
// ----------------------------------------------------------------------------------------------------------------------

static void a_lease_that_is_over_takes_all_jobs_away(void **state)
{
    (void)state;
    begin(1, 1);
    GIVE("a", "b");
    struct reeve_job *a = bench_job("a");
    bench_clear();
    bench_pass(BENCH_LEASE_MS - 1);
    assert_string_equal(bench_cancels, "");
    assert_true(bench.reports_len >= 3); // at least three times in a lease
    bench_pass(2);
    assert_string_equal(bench_cancels, "a:lease");
    assert_int_equal(reeve_worker_jobs_in_hand(bench.worker), 0);
    assert_true(bench_last()->hello); // whoever hears it knows that nothing is in hand
    assert_int_equal(bench_last()->hand_len, 0);
    size_t entries = bench_entries();
    (void)reeve_job_done(a, NULL);
    bench_pass(JOBS_GRACE_MS);
    assert_int_equal(bench_entries(), entries);
}

static void a_hello_of_its_own_is_followed_by_all_that_is_not_confirmed(void **state)
{
    (void)state;
    begin(2, 0);
    GIVE("a", "b");
    bench_pass(1000);
    done("a"); // late after 3000 and after 7000
    bench_pass(BENCH_LEASE_MS - 1001);
    bench_clear();
    bench_pass(1);
    assert_string_equal(bench_cancels, "b:lease");
    assert_true(bench_last()->hello); // whoever takes it as complete confirms all before it
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_DONE));
}

static void the_lease_counts_from_when_the_confirmed_report_was_sent(void **state)
{
    (void)state;
    begin(1, 0);
    GIVE("a"); // at 0
    bench_pass(BENCH_LEASE_MS / 2);
    int64_t seq = bench_last()->seq; // sent by then
    int64_t sent_ms = bench.worker->jobs.links[0].reported_mono;
    bench_pass(1000);
    BATCH(.ack = seq); // but confirmed only now
    while (bench_cancels[0] == '\0') {
        bench_pass(1);
        assert_true(bench.now_ms <= sent_ms + BENCH_LEASE_MS + 1);
    }
    assert_true(bench.now_ms >= sent_ms + BENCH_LEASE_MS);
}

static void a_lease_that_is_renewed_lasts(void **state)
{
    (void)state;
    begin(1, 0);
    GIVE("a");
    for (int i = 0; i < 100; i++) {
        bench_pass(BENCH_LEASE_MS / 4);
        confirm_all();
    }
    assert_string_equal(bench_cancels, "");
    assert_non_null(bench_job("a"));
}

static void with_nothing_in_hand_no_lease_ends(void **state)
{
    (void)state;
    begin(1, 0);
    bench_pass(10 * BENCH_LEASE_MS);
    GIVE("a");
    assert_int_equal(bench.worker->jobs.leases_over, 0);
    bench_pass(BENCH_LEASE_MS - 1);
    assert_non_null(bench_job("a"));
}

// ---- jobs that are to end
// ------------------------------------------------------------------------------------------------------------

static void a_job_that_is_cancelled_while_it_waits_ends_at_once(void **state)
{
    (void)state;
    begin(1, 1);
    GIVE("a", "b");
    BATCH(.cancels = {notice("b", 1, "asked", 1000), notice("a", 7, "asked", 1000)});
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_CANCELLED));
    assert_string_equal(bench_cancels, ""); // b had not begun, and of a another attempt is meant
    assert_int_equal(bench_ran, 1);
}

static void a_running_job_is_told_and_ends_or_is_ended_after_its_grace(void **state)
{
    (void)state;
    begin(2, 0);
    GIVE("a", "b");
    bench_cancel_ends = true;
    BATCH(.cancels = {notice("a", 1, "asked", 1000)});
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_CANCELLED));
    bench_cancel_ends = false;
    struct reeve_job *b = bench_job("b");
    BATCH(.cancels = {notice("b", 1, "asked", 1000)});
    bench_pass(999);
    assert_null(bench_find("b", REEVE_JOB_OUTCOME_CANCELLED));
    bench_pass(2);
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_CANCELLED));
    assert_string_equal(bench_cancels, "a:cancelled b:cancelled");
    confirm_all();
    (void)reeve_job_done(b, NULL); // the handler may still use it, and is not heard
    bench_turn();
    assert_null(bench_find("b", REEVE_JOB_OUTCOME_DONE));
    assert_true(worker_jobs_finished(bench.worker));
}

static void what_a_cancelled_job_says_in_its_grace_counts(void **state)
{
    (void)state;
    begin(2, 0);
    GIVE("a");
    BATCH(.cancels = {notice("a", 1, "asked", 1000)});
    done("a");
    bench_pass(5000);
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_DONE));
    assert_null(bench_find("a", REEVE_JOB_OUTCOME_CANCELLED));
}

static void keep_alive(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 500) {
        bench_pass(500);
        if (bench.reports_len > 0) {
            bench_ack();
        }
    }
}

static void out_of_time_it_is_told_and_then_ended_to_be_tried_again(void **state)
{
    (void)state;
    struct reeve_job_item item = bench_item("a", 1);
    item.timeout_ms = 3000;
    begin(2, 0);
    BATCH(.jobs = {item});
    keep_alive(2500);
    assert_string_equal(bench_cancels, "");
    keep_alive(1000);
    assert_string_equal(bench_cancels, "a:timeout");
    struct reeve_job *job = bench_job("a");
    keep_alive(JOBS_GRACE_MS + 500);
    assert_string_equal(bench_find("a", REEVE_JOB_OUTCOME_RETRY)->error, "timeout");
    assert_int_equal(bench.worker->jobs.timeouts, 1);
    (void)reeve_job_cancelled(job);
    bench_turn();
    assert_true(worker_jobs_finished(bench.worker));
}

static void a_handler_that_gives_up_for_lack_of_time_is_a_retry(void **state)
{
    (void)state;
    struct reeve_job_item item = bench_item("a", 1);
    item.timeout_ms = 3000;
    begin(2, 0);
    bench_cancel_ends = true;
    BATCH(.jobs = {item});
    keep_alive(4000);
    assert_string_equal(bench_find("a", REEVE_JOB_OUTCOME_RETRY)->error, "timeout");
    assert_null(bench_find("a", REEVE_JOB_OUTCOME_CANCELLED));
}

static void a_deaf_job_runs_to_its_end_and_its_report_counts(void **state)
{
    (void)state;
    struct reeve_job_item item = bench_item("a", 1);
    item.type = (struct reeve_span){"deaf", 4};
    begin(2, 0);
    BATCH(.jobs = {item});
    BATCH(.cancels = {notice("a", 1, "asked", 1000)});
    keep_alive(20000);
    done("a");
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_DONE));
}

// ---- bounds, and the end
// -----------------------------------------------------------------------------------------------------------

static void with_nobody_who_confirms_no_more_is_taken_at_last(void **state)
{
    (void)state;
    char id[16];
    begin(2, 2);
    for (int i = 0; i < 200; i++) {
        struct reeve_job_item item = bench_item(id, 1);
        (void)snprintf(id, sizeof id, "j%d", i); /* short */
        item.id.len = strlen(id);
        item.type = (struct reeve_span){"at_once", 7};
        item.payload = (struct reeve_span){"\x01", 1};
        BATCH(.jobs = {item});
    }
    struct job_link *link = &bench.worker->jobs.links[0];
    assert_int_equal(bench_last()->capacity, 0);
    assert_int_equal(link->kept, 4 + JOBS_KEPT_BEYOND);
    assert_true(bench_last()->hello); // what was not taken is not in the hand
    confirm_all();
    assert_int_equal(link->kept, 0);
    bench_pass(30000);
    assert_int_equal(bench_last()->capacity, 4);
    GIVE("a");
    for (int i = 0; i < 4 + JOBS_KEPT_BEYOND; i++) {
        assert_int_equal(reeve_job_checkpoint(bench_job("a"), NULL, NULL, NULL, NULL), REEVE_OK);
    }
    assert_int_equal(reeve_job_checkpoint(bench_job("a"), NULL, NULL, NULL, NULL), REEVE_LIMIT);
}

static void a_worker_that_leaves_waits_for_its_jobs_and_their_confirmation(void **state)
{
    (void)state;
    struct reeve_worker *worker = bench.worker;
    begin(1, 1);
    GIVE("a", "b");
    bench_clear();
    reeve_worker_leave(worker, 0); // its program has no `drain`
    bench_turn();
    assert_int_equal(bench_last()->capacity, 0);
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_RELEASED));
    assert_false(worker->leave.drained);
    done("a");
    assert_false(worker->leave.drained);
    bench_ack();
    assert_true(worker->leave.drained);
}

static void what_is_not_finished_in_time_is_stopped_and_then_ended(void **state)
{
    (void)state;
    struct reeve_worker *worker = bench.worker;
    begin(2, 0);
    GIVE("a", "b");
    reeve_worker_leave(worker, 0);
    worker->jobs.drained_asked = false; // as of a program that has not said that it is drained
    assert_true(worker_jobs_stop(worker));
    assert_string_equal(bench_cancels, "a:stop b:stop");
    (void)reeve_job_cancelled(bench_job("a"));
    bench_turn();
    assert_string_equal(bench_find("a", REEVE_JOB_OUTCOME_RETRY)->error, "the worker leaves");
    bench_pass(JOBS_STOP_GRACE_MS);
    assert_string_equal(bench_find("b", REEVE_JOB_OUTCOME_RETRY)->error, "the worker leaves");
    assert_false(worker_jobs_stop(worker));
    assert_false(worker->leave.drained);
    bench_ack();
    assert_true(worker->leave.drained);
}

static void in_a_hurry_everything_is_handed_back_in_one_last_report(void **state)
{
    (void)state;
    stored_len = 0;
    begin(1, 1);
    GIVE("a", "b");
    assert_int_equal(reeve_job_checkpoint(bench_job("a"), NULL, on_stored, NULL, NULL), REEVE_OK);
    bench_turn();
    bench_clear();
    worker_jobs_goodbye(bench.worker);
    assert_int_equal(stored_len, 1);
    assert_int_equal(stored_err, REEVE_CANCELLED);
    assert_int_equal(bench.reports_len, 1);
    assert_non_null(bench_find("a", REEVE_JOB_OUTCOME_RETRY));
    assert_non_null(bench_find("b", REEVE_JOB_OUTCOME_RELEASED));
    assert_string_equal(bench_cancels, "a:stop");
}

static void a_drain_that_is_resumed_takes_jobs_again(void **state)
{
    (void)state;
    begin(1, 1);
    GIVE("a");
    bench.worker->status.draining = true;
    worker_jobs_may(bench.worker);
    bench_turn();
    assert_int_equal(bench_last()->capacity, 0);
    bench.worker->status.draining = false;
    worker_jobs_may(bench.worker);
    bench_turn();
    assert_int_equal(bench_last()->capacity, 2);
}

static void a_worker_that_plays_dead_says_nothing(void **state)
{
    (void)state;
    begin(1, 1);
    GIVE("a");
    bench_clear();
    bench.worker->status.hanging = true;
    done("a");
    bench_pass(1000);
    assert_int_equal(bench.reports_len, 0);
    bench.worker->status.hanging = false;
    worker_jobs_touch(bench.worker);
    bench_turn();
    assert_int_equal(bench_entries(), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_setup, bench_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_entry_whose_ack_is_lost_is_sent_once_more),
        TEST(the_ack_of_the_first_report_counts_after_the_second),
        TEST(nobody_who_answers_is_asked_less_and_less_often),
        TEST(an_ack_of_what_was_never_sent_is_malformed),
        TEST(a_bus_that_takes_nothing_is_asked_again_and_nothing_is_lost),
        TEST(a_new_session_begins_with_a_hello_and_all_that_is_not_confirmed),
        TEST(what_ends_while_there_is_no_session_leaves_with_the_next),
        TEST(a_manager_of_an_earlier_epoch_is_not_obeyed),
        TEST(a_new_manager_confirms_only_what_was_sent_to_it),
        TEST(a_batch_that_is_missing_is_answered_with_the_hand),
        TEST(an_ack_behind_a_missing_batch_is_not_taken),
        TEST(what_can_not_be_read_is_ignored_and_counted),
        TEST(a_fenced_job_is_told_and_what_it_says_is_dropped),
        TEST(what_a_fenced_job_said_and_was_not_sent_is_not_sent),
        TEST(a_later_attempt_waits_until_the_handler_of_the_earlier_has_ended),
        TEST(a_lease_that_is_over_takes_all_jobs_away),
        TEST(a_hello_of_its_own_is_followed_by_all_that_is_not_confirmed),
        TEST(the_lease_counts_from_when_the_confirmed_report_was_sent),
        TEST(a_lease_that_is_renewed_lasts),
        TEST(with_nothing_in_hand_no_lease_ends),
        TEST(a_job_that_is_cancelled_while_it_waits_ends_at_once),
        TEST(a_running_job_is_told_and_ends_or_is_ended_after_its_grace),
        TEST(what_a_cancelled_job_says_in_its_grace_counts),
        TEST(out_of_time_it_is_told_and_then_ended_to_be_tried_again),
        TEST(a_handler_that_gives_up_for_lack_of_time_is_a_retry),
        TEST(a_deaf_job_runs_to_its_end_and_its_report_counts),
        TEST(with_nobody_who_confirms_no_more_is_taken_at_last),
        TEST(a_worker_that_leaves_waits_for_its_jobs_and_their_confirmation),
        TEST(what_is_not_finished_in_time_is_stopped_and_then_ended),
        TEST(in_a_hurry_everything_is_handed_back_in_one_last_report),
        TEST(a_drain_that_is_resumed_takes_jobs_again),
        TEST(a_worker_that_plays_dead_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
