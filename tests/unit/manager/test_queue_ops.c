// Ops on queues and on jobs: every state with every op on it, bounds, dry runs, and what they leave on disk.
#include "queue_fixture.h"

static struct qf qf;

static int set_up(void **state)
{
    (void)state;
    qf_init(&qf);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qf_done(&qf);
    return 0;
}

static int64_t number(const struct reeve_value *result, const char *key)
{
    return reeve_get_int(result, key, -1);
}

static const char *listed(const struct reeve_value *list, size_t index)
{
    const char *text = reeve_value_text(reeve_value_at(list, index));
    return text != NULL ? text : "";
}

static const char *id_at(const struct reeve_value *result, size_t index)
{
    const char *id = reeve_get_str(reeve_value_at(reeve_value_get(result, "jobs"), index), "id");
    return id != NULL ? id : "";
}

// ---- queues -------------------------------------------------------------------------------------------------------

static void a_queue_is_made_and_changed(void **state)
{
    (void)state;
    const struct reeve_value *result = qf_op(&qf, "q", "apply", "{concurrency: 2, kind: queue, name: q}");
    assert_true(reeve_get_bool(result, "created", false));
    assert_string_equal(listed(reeve_value_get(result, "changed"), 0), "concurrency");
    result = qf_op(&qf, "q", "apply", "{concurrency: 2, rate: {count: 5, per: 1s}}");
    assert_false(reeve_get_bool(result, "created", true));
    assert_int_equal(reeve_value_len(reeve_value_get(result, "changed")), 1);
    assert_string_equal(listed(reeve_value_get(result, "changed"), 0), "rate");
    assert_non_null(qf_queue(&qf, "q")->starts);
    result = qf_op(&qf, "q", "apply", "{concurrency: 2, rate: {count: 5, per: 1s}}");
    assert_int_equal(reeve_value_len(reeve_value_get(result, "changed")), 0);
    qf_restart(&qf, 0);
    assert_int_equal(qf_queue(&qf, "q")->spec.rate.count, 5);
    assert_int_equal(qf_queue(&qf, "q")->spec.concurrency, 2);
}

static void a_wrong_spec_changes_nothing(void **state)
{
    (void)state;
    qf_refused(&qf, "q", "apply", "{concurency: 2}", REEVE_INVALID, "concurrency");
    qf_refused(&qf, "q", "apply", "{kind: pool}", REEVE_INVALID, "queue");
    qf_refused(&qf, "q", "apply", "{name: other}", REEVE_INVALID, "the topic says q");
    qf_refused(&qf, "q", "apply", "{schedules: [{name: s, cron: '61 * * * *', job: {type: t}}]}", REEVE_INVALID,
               "schedules[0].cron");
    assert_null(qf_queue(&qf, "q"));
    assert_null(fake_find(&qf.fake, "queue/q/status"));
    qf_refused(&qf, "q", "pause", NULL, REEVE_NOENT, "q");
}

static void durability_changes_only_while_it_is_empty(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{durability: memory}");
    (void)qf_op(&qf, "q", "pause", NULL);
    (void)qf_op(&qf, "q", "apply", "{durability: commit}");
    assert_true(qf_queue(&qf, "q")->paused);
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_refused(&qf, "q", "apply", "{durability: memory}", REEVE_CONFLICT, "durability");
    (void)qf_op(&qf, "q", "purge", NULL);
    qf_refused(&qf, "q", "apply", "{durability: memory}", REEVE_CONFLICT, "ids (1)"); // it is known still
    assert_int_equal(qf_queue(&qf, "q")->spec.durability, REEVE_DURABILITY_COMMIT);
}

static void switches_are_kept(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    (void)qf_op(&qf, "q", "pause", NULL);
    (void)qf_op(&qf, "q", "drain", NULL);
    qf_hello(&qf, "q", "w1", 4, "[work]");
    qf_restart(&qf, 0);
    assert_true(qf_queue(&qf, "q")->paused);
    assert_true(qf_queue(&qf, "q")->draining);
    (void)qf_op(&qf, "q", "resume", NULL);
    assert_false(qf_queue(&qf, "q")->paused);
    assert_false(qf_queue(&qf, "q")->draining);
}

static void nothing_starts_while_it_is_paused(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    (void)qf_op(&qf, "q", "pause", NULL);
    qf_hello(&qf, "q", "w1", 4, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    assert_string_equal(qf_state(&qf, "q", "a"), "waiting");
    (void)qf_op(&qf, "q", "resume", NULL);
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
}

static void more_of_a_key_go_when_max_per_key_grows(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 9, "[work]");
    qf_add(&qf, "q", "{id: a, type: work, key: k}");
    qf_add(&qf, "q", "{id: b, type: work, key: k}");
    qf_add(&qf, "q", "{id: c, type: work, key: k}");
    assert_int_equal(qf_queue(&qf, "q")->key_waiting, 2);
    (void)qf_op(&qf, "q", "apply", "{max_per_key: 2}");
    assert_string_equal(qf_state(&qf, "q", "b"), "active");
    assert_string_equal(qf_state(&qf, "q", "c"), "waiting");
    assert_int_equal(qf_queue(&qf, "q")->key_waiting, 1);
}

static void a_queue_with_jobs_is_deleted_by_force_only(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work, key: k}");
    qf_refused(&qf, "q", "delete", NULL, REEVE_CONFLICT, "2 jobs");
    size_t posted = qf.posted_len;
    (void)qf_op(&qf, "q", "delete", "{force: true}");
    assert_null(qf_queue(&qf, "q"));
    assert_true(qf.posted_len > posted); // its worker is told to abandon
    assert_null(fake_find(&qf.fake, "queue/q/status")->value);
    assert_int_equal(job_index_len(qf.fake.manager.queues->index), 0);
    qf_restart(&qf, 0);
    assert_null(qf_queue(&qf, "q"));
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_add(&qf, "q", "{id: a, type: other}"); // its ids are forgotten too
}

static void describe_tells_spec_status_and_workers(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{concurrency: 3}");
    qf_hello(&qf, "q", "w1", 4, "[work, mail]");
    qf_add(&qf, "q", "{id: a, type: work}");
    const struct reeve_value *result = qf_op(&qf, "q", "describe", NULL);
    const struct reeve_value *worker = reeve_value_at(reeve_value_get(result, "workers"), 0);
    assert_string_equal(reeve_get_str(result, "queue"), "q");
    assert_int_equal(number(reeve_value_get(result, "spec"), "concurrency"), 3);
    assert_int_equal(number(reeve_value_get(result, "status"), "active"), 1);
    assert_string_equal(reeve_get_str(worker, "worker"), "alpha/w1");
    assert_int_equal(number(worker, "capacity"), 4);
    assert_int_equal(number(worker, "in_hand"), 1);
    assert_string_equal(listed(reeve_value_get(worker, "types"), 1), "mail");
}

static void purge_takes_what_waits_and_leaves_the_ids(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work}");
    qf_add(&qf, "q", "{id: c, type: work, delay_ms: 5000}");
    qf_add(&qf, "q", "{id: d, type: work, after: [a]}");
    const struct reeve_value *result = qf_op(&qf, "q", "purge", NULL);
    assert_int_equal(number(result, "removed"), 3);
    assert_false(reeve_get_bool(result, "more", true));
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
    assert_string_equal(qf_state(&qf, "q", "b"), "cancelled"); // its id is known
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_CANCELLED], 0);
    qf_refused(&qf, "q", "purge", "{states: [active]}", REEVE_CONFLICT, "cancel");
    qf_refused(&qf, "q", "purge", "{states: [gone]}", REEVE_INVALID, "gone");
    qf_report(&qf, "q", "w1", "a", "done", "{ok: true}", NULL);
    assert_int_equal(number(qf_op(&qf, "q", "purge", "{states: completed}"), "removed"), 1);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 0);
}

static void a_purge_is_bounded(void **state)
{
    char job[64];
    int64_t removed = 0;
    int commands = 0;
    bool more = true;
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    for (int i = 0; i < 1100; i++) {
        (void)snprintf(job, sizeof job, "{id: j%d, type: work%s}", i, i % 2 == 0 ? ", delay_ms: 9999" : "");
        qf_add(&qf, "q", job);
    }
    for (; more; commands++) {
        const struct reeve_value *result = qf_op(&qf, "q", "purge", NULL);
        removed += number(result, "removed");
        more = reeve_get_bool(result, "more", true);
    }
    assert_int_equal(removed, 1100);
    assert_int_equal(commands, 2);
}

// ---- jobs ---------------------------------------------------------------------------------------------------------

static void cancel_in_every_state(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{cancel_grace: 2s}");
    qf_hello_reconciles(&qf, "q", "w1", 2, "[work, pay]", NULL);
    qf_add(&qf, "q", "{id: active, type: work}");
    qf_add(&qf, "q", "{id: paid, type: pay}");
    qf_report(&qf, "q", "w1", "paid", "no_return", NULL, NULL);
    qf_add(&qf, "q", "{id: waiting, type: work}");
    qf_add(&qf, "q", "{id: delayed, type: work, delay_ms: 5000}");
    const struct reeve_value *result = qf_op(&qf, "q", "cancel", "{ids: [active, paid, waiting, delayed, never]}");
    assert_int_equal(number(result, "done"), 3);
    const struct reeve_value *refused = reeve_value_get(result, "refused");
    assert_int_equal(reeve_value_len(refused), 2);
    assert_string_equal(reeve_get_str(reeve_value_at(refused, 0), "id"), "paid");
    assert_string_equal(reeve_get_str(reeve_value_at(refused, 0), "code"), "conflict");
    assert_string_equal(reeve_get_str(reeve_value_at(refused, 1), "code"), "not_found");
    assert_string_equal(qf_state(&qf, "q", "waiting"), "cancelled");
    assert_string_equal(qf_state(&qf, "q", "delayed"), "cancelled");
    assert_string_equal(qf_state(&qf, "q", "active"), "active");
    assert_int_equal(qf_cancels(&qf, "active"), 1);
    assert_int_equal(qf_cancels(&qf, "paid"), 0);
    assert_int_equal(number(qf_op(&qf, "q", "cancel", "{ids: active}"), "done"), 1);
    assert_int_equal(qf_cancels(&qf, "active"), 1); // once
    qf_report(&qf, "q", "w1", "active", "cancelled", NULL, NULL);
    assert_string_equal(qf_state(&qf, "q", "active"), "cancelled");
    result = qf_op(&qf, "q", "cancel", "{ids: [active]}");
    assert_int_equal(number(result, "done"), 0);
}

static void a_worker_that_does_not_end_a_cancelled_job_loses_it(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{cancel_grace: 2s}");
    qf_hello(&qf, "q", "w1", 2, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    (void)qf_op(&qf, "q", "cancel", "{ids: [a]}");
    qf_time(&qf, 2000);
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
    qf_time(&qf, 1500);
    assert_string_equal(qf_state(&qf, "q", "a"), "cancelled");
}

static void a_cancel_outlives_the_manager(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{cancel_grace: 2s}");
    qf_hello(&qf, "q", "w1", 2, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    (void)qf_op(&qf, "q", "cancel", "{ids: [a]}");
    qf_restart(&qf, 100);
    qf_forget_posted(&qf);
    qf_hello(&qf, "q", "w1", 2, "[work]");
    assert_int_equal(qf_cancels(&qf, "a"), 1);
    qf_time(&qf, 3100);
    assert_string_equal(qf_state(&qf, "q", "a"), "cancelled");
}

static void many_are_cancelled_by_what_they_are(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_add(&qf, "q", "{id: a, type: mail.send, key: k}");
    qf_add(&qf, "q", "{id: b, type: mail.read, key: k}");
    qf_time(&qf, 60000);
    qf_add(&qf, "q", "{id: c, type: mail.send}");
    qf_add(&qf, "q", "{id: d, type: pay, delay_ms: 5000}");
    const struct reeve_value *result =
        qf_op(&qf, "q", "cancel", "{filter: {type: 'mail.*', older_than_ms: 30000, limit: 1}}");
    assert_int_equal(number(result, "done"), 1);
    assert_true(reeve_get_bool(result, "more", false));
    result = qf_op(&qf, "q", "cancel", "{filter: {type: 'mail.*', older_than_ms: 30000}}");
    assert_int_equal(number(result, "done"), 1);
    assert_false(reeve_get_bool(result, "more", true));
    assert_string_equal(qf_state(&qf, "q", "c"), "waiting");
    assert_int_equal(number(qf_op(&qf, "q", "cancel", "{filter: {state: delayed}}"), "done"), 1);
    assert_int_equal(number(qf_op(&qf, "q", "cancel", "{filter: {}}"), "done"), 1);
    qf_refused(&qf, "q", "cancel", "{filter: {state: failed}}", REEVE_CONFLICT, "failed");
    qf_refused(&qf, "q", "cancel", NULL, REEVE_INVALID, "ids");
    qf_refused(&qf, "q", "cancel", "{ids: [a], filter: {}}", REEVE_INVALID, "not beside");
}

static void fail_job(const char *id, const char *error)
{
    qf_report(&qf, "q", "w1", id, "failed", NULL, error);
    assert_string_equal(qf_state(&qf, "q", id), "failed");
}

static void a_failed_job_lives_again(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{keep_failed: {age: 7d, count: 100}}");
    qf_hello(&qf, "q", "w1", 2, "[work]");
    qf_add(&qf, "q", "{id: a, type: work, key: k, priority: 7, payload: {n: 1}}");
    qf_report(&qf, "q", "w1", "a", "checkpoint", "{step: 2}", NULL);
    fail_job("a", "no such host");
    (void)qf_op(&qf, "q", "pause", NULL);
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{ids: [a]}"), "done"), 1);
    const struct job *job = qf_job(&qf, "q", "a");
    assert_non_null(job);
    assert_int_equal(job->state, REEVE_JOB_WAITING);
    assert_int_equal(job->attempt, 1);
    assert_int_equal(job->failures, 0);
    assert_int_equal(job->priority, 7);
    assert_string_equal(job->key->text, "k");
    assert_true((job->flags & JOB_FLAG_CHECKPOINT) != 0);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_FAILED], 0);
    qf_restart(&qf, 0); // as it lies on disk
    job = qf_job(&qf, "q", "a");
    assert_int_equal(job->state, REEVE_JOB_WAITING);
    (void)qf_op(&qf, "q", "resume", NULL);
    qf_hello(&qf, "q", "w1", 2, "[work]");
    assert_int_equal(qf_job(&qf, "q", "a")->attempt, 2);
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    const struct reeve_value *result = qf_op(&qf, "q", "retry", "{ids: [a]}");
    assert_int_equal(number(result, "done"), 0); // completed: not done again
}

static void retry_in_the_other_states(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{backoff: {kind: fixed, delay: 1h, jitter: 0}}");
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_report(&qf, "q", "w1", "a", "retry", NULL, "later");
    assert_string_equal(qf_state(&qf, "q", "a"), "delayed");
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{ids: [a]}"), "done"), 1);
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
    qf_add(&qf, "q", "{id: b, type: work}");
    const struct reeve_value *result = qf_op(&qf, "q", "retry", "{ids: [a, b]}");
    assert_int_equal(number(result, "done"), 0);
    assert_int_equal(reeve_value_len(reeve_value_get(result, "refused")), 2);
    (void)qf_op(&qf, "q", "cancel", "{ids: [b]}");
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{filter: {state: cancelled}}"), "done"), 1);
    assert_string_equal(qf_state(&qf, "q", "b"), "waiting");
}

static void a_parked_unknown_job_is_reconciled_again(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{poison_after: 1}");
    qf_hello_reconciles(&qf, "q", "w1", 2, "[pay]", "[pay]");
    qf_add(&qf, "q", "{id: a, type: pay}");
    qf_report(&qf, "q", "w1", "a", "no_return", NULL, NULL);
    qf_worker_died(&qf, "w1");
    assert_string_equal(qf_state(&qf, "q", "a"), "unknown");
    assert_true(alarm_is_open(&qf.fake.manager, "job_unknown", "q"));
    qf_hello_reconciles(&qf, "q", "w2", 2, "[pay]", "[pay]");
    assert_string_equal(qf_state(&qf, "q", "a"), "unknown"); // parked: nobody gets it
    assert_int_equal(number(qf_op(&qf, "q", "cancel", "{ids: [a]}"), "done"), 0);
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{filter: {state: unknown}}"), "done"), 1);
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
    qf_report(&qf, "q", "w2", "a", "done", "{}", NULL);
    assert_string_equal(qf_state(&qf, "q", "a"), "completed");
    qf_tick(&qf);
    assert_false(alarm_is_open(&qf.fake.manager, "job_unknown", "q"));
}

static void dead_letters_are_retried_by_their_error(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 9, "[work, mail]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: mail}");
    qf_add(&qf, "q", "{id: c, type: work}");
    fail_job("a", "timeout after 5 s");
    fail_job("b", "read: timeout");
    fail_job("c", "no such account");
    qf_hello(&qf, "q", "w1", 0, "[work]"); // takes nothing more
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{filter: {error: 'timeout*'}}"), "done"), 1);
    assert_string_equal(qf_state(&qf, "q", "a"), "waiting");
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{filter: {error: timeout, type: 'm*'}}"), "done"), 1);
    assert_string_equal(qf_state(&qf, "q", "b"), "waiting");
    assert_string_equal(qf_state(&qf, "q", "c"), "failed");
}

static void a_retried_job_waits_for_others_again(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 9, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work, after: [a]}");
    (void)qf_op(&qf, "q", "cancel", "{ids: [b]}");
    (void)qf_op(&qf, "q", "retry", "{ids: [b]}");
    assert_string_equal(qf_state(&qf, "q", "b"), "waiting");
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    assert_string_equal(qf_state(&qf, "q", "b"), "active");
}

static void what_is_removed_leaves_its_id(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work}");
    qf_report(&qf, "q", "w1", "a", "done", "{n: 1}", NULL);
    const struct reeve_value *result = qf_op(&qf, "q", "remove", "{ids: [a, b]}");
    assert_int_equal(number(result, "done"), 1);
    assert_int_equal(reeve_value_len(reeve_value_get(result, "refused")), 1);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 0);
    assert_string_equal(qf_state(&qf, "q", "a"), "completed");
    assert_null(reeve_value_get(qf_op(&qf, "q", "show", "{id: a}"), "result"));
    assert_int_equal(number(qf_op(&qf, "q", "retry", "{ids: [a]}"), "done"), 0);
}

// ---- looking ------------------------------------------------------------------------------------------------------

static void a_list_goes_on_where_it_ended(void **state)
{
    char job[64];
    char args[96];
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 3, "[work]");
    for (int i = 0; i < 10; i++) {
        (void)snprintf(job, sizeof job, "{id: j%d, type: %s}", i, i < 6 ? "work" : "mail");
        qf_add(&qf, "q", job);
        if (i % 3 == 0 && i < 6) {
            (void)snprintf(job, sizeof job, "j%d", i);
            qf_report(&qf, "q", "w1", job, "done", "{}", NULL);
        }
    }
    // Live and ended ones in one order, the newest first.
    int64_t next = 0;
    int expected = 9;
    bool more = true;
    while (more) {
        (void)snprintf(args, sizeof args, "{limit: 3, before: %lld}", (long long)next);
        const struct reeve_value *result = qf_op(&qf, "q", "list", args);
        size_t len = reeve_value_len(reeve_value_get(result, "jobs"));
        for (size_t i = 0; i < len; i++) {
            (void)snprintf(job, sizeof job, "j%d", expected--);
            assert_string_equal(id_at(result, i), job);
        }
        more = reeve_get_bool(result, "more", false);
        next = number(result, "next");
    }
    assert_int_equal(expected, -1);
    assert_string_equal(id_at(qf_op(&qf, "q", "list", "{state: completed}"), 0), "j3");
    assert_string_equal(id_at(qf_op(&qf, "q", "list", "{state: completed, type: work, limit: 1}"), 0), "j3");
    assert_string_equal(id_at(qf_op(&qf, "q", "list", "{state: active, limit: 1}"), 0), "j4");
    assert_string_equal(id_at(qf_op(&qf, "q", "list", "{type: 'w*', limit: 1}"), 0), "j5");
    assert_int_equal(reeve_value_len(reeve_value_get(qf_op(&qf, "q", "list", "{key: none}"), "jobs")), 0);
}

// Bodies are read for a type: so many in one command, and what is older is not told before what is newer.
static void a_search_that_is_cut_goes_on(void **state)
{
    char text[64];
    int commands = 0;
    int found = 0;
    int64_t next = 0;
    bool more = true;
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{durability: memory, keep_completed: {age: 1d, count: 0}}");
    qf_add(&qf, "q", "{id: old, type: mail, delay_ms: 99999999}");
    qf_hello(&qf, "q", "w1", 1, "[work]");
    for (int i = 0; i < 5100; i++) {
        (void)snprintf(text, sizeof text, "{id: j%d, type: work}", i);
        qf_add(&qf, "q", text);
        (void)snprintf(text, sizeof text, "j%d", i);
        qf_report(&qf, "q", "w1", text, "done", "{}", NULL);
        qf_forget_posted(&qf);
    }
    for (; more; commands++) {
        (void)snprintf(text, sizeof text, "{type: mail, before: %lld}", (long long)next);
        const struct reeve_value *result = qf_op(&qf, "q", "list", text);
        found += (int)reeve_value_len(reeve_value_get(result, "jobs"));
        more = reeve_get_bool(result, "more", false);
        next = number(result, "next");
    }
    assert_int_equal(commands, 2);
    assert_int_equal(found, 1);
}

// So does one through many live jobs: their numbers are tried, not all of them looked through.
static void a_search_among_many_goes_on(void **state)
{
    char text[96] = "";
    int commands = 0;
    int found = 0;
    int64_t next = 0;
    bool more = true;
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{durability: memory}");
    (void)qf_op(&qf, "other", "apply", "{durability: memory}");
    qf_add(&qf, "q", "{id: old, type: mail}");
    qf.fake.manager.queues->number = 150000; // as if there had been so many
    qf_add(&qf, "q", "{id: young, type: mail}");
    for (int i = 0; i < 10100; i++) {
        (void)snprintf(text, sizeof text, "{id: j%d, type: work}", i);
        qf_add(&qf, "other", text);
        qf_forget_posted(&qf);
    }
    for (; more; commands++) {
        (void)snprintf(text, sizeof text, "{limit: 10, before: %lld}", (long long)next);
        const struct reeve_value *result = qf_op(&qf, "q", "list", text);
        size_t len = reeve_value_len(reeve_value_get(result, "jobs"));
        assert_true(len == 0 || strcmp(id_at(result, 0), found == 0 ? "young" : "old") == 0);
        found += (int)len;
        more = reeve_get_bool(result, "more", false);
        assert_true(!more || next == 0 || number(result, "next") < next);
        next = number(result, "next");
    }
    assert_int_equal(commands, 2);
    assert_int_equal(found, 2);
    assert_string_equal(id_at(qf_op(&qf, "other", "list", "{limit: 1}"), 0), "j10099");
}

static void show_tells_everything(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{timeout: 1m, backoff: {kind: fixed, delay: 1s, jitter: 0}}");
    qf_hello(&qf, "q", "w1", 3, "[work]");
    qf_add(&qf, "q", "{id: a, type: work, key: k, priority: 3, payload: {to: [1, 2]}, requires: {cpus: 2}}");
    qf_report(&qf, "q", "w1", "a", "log", NULL, "looking");
    qf_report(&qf, "q", "w1", "a", "checkpoint", "{step: 1}", NULL);
    qf_report(&qf, "q", "w1", "a", "retry", NULL, "not yet");
    qf_time(&qf, 1001);
    qf_progress(&qf, "q", "w1", "a", 0.5, "half");
    const struct reeve_value *shown = qf_op(&qf, "q", "show", "{id: a}");
    assert_string_equal(reeve_get_str(shown, "state"), "active");
    assert_string_equal(reeve_get_str(shown, "worker"), "alpha/w1");
    assert_string_equal(reeve_get_str(shown, "error"), "not yet");
    assert_string_equal(reeve_get_str(shown, "text"), "half");
    assert_string_equal(reeve_get_str(shown, "key"), "k");
    assert_string_equal(reeve_get_str(shown, "durability"), "commit");
    assert_int_equal(number(shown, "attempt"), 2);
    assert_int_equal(number(shown, "failures"), 1);
    assert_int_equal(number(shown, "deaths"), 0);
    assert_int_equal(number(shown, "timeout_ms"), 60000);
    assert_int_equal(number(shown, "logs_len"), 1);
    assert_int_equal(number(reeve_value_get(shown, "checkpoint"), "step"), 1);
    assert_int_equal(reeve_value_len(reeve_value_get(reeve_value_get(shown, "payload"), "to")), 2);
    assert_int_equal(number(reeve_value_get(shown, "requires"), "cpus"), 2);
    assert_string_equal(reeve_get_str(reeve_value_at(reeve_value_get(shown, "history"), 0), "what"), "retry");
    assert_true(reeve_value_real(reeve_value_get(shown, "progress"), 0) > 0.49);
    qf_report(&qf, "q", "w1", "a", "done", "[7]", NULL);
    shown = qf_op(&qf, "q", "show", "{id: a}");
    assert_string_equal(reeve_get_str(shown, "state"), "completed");
    assert_int_equal(reeve_value_len(reeve_value_get(shown, "result")), 1);
    assert_true(number(shown, "ended_at") > 0);
    const struct reeve_value *logs = qf_op(&qf, "q", "logs", "{id: a}");
    assert_string_equal(reeve_get_str(reeve_value_at(reeve_value_get(logs, "lines"), 0), "text"), "looking");
    qf_refused(&qf, "q", "show", "{id: b}", REEVE_NOENT, "no job b");
    qf_refused(&qf, "q", "show", "{id: 'not an id'}", REEVE_NOENT, "no job");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_queue_is_made_and_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_spec_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(durability_changes_only_while_it_is_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(switches_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_starts_while_it_is_paused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_of_a_key_go_when_max_per_key_grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_with_jobs_is_deleted_by_force_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(describe_tells_spec_status_and_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(purge_takes_what_waits_and_leaves_the_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_purge_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancel_in_every_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_that_does_not_end_a_cancelled_job_loses_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancel_outlives_the_manager, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_cancelled_by_what_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_job_lives_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(retry_in_the_other_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_parked_unknown_job_is_reconciled_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dead_letters_are_retried_by_their_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_retried_job_waits_for_others_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_removed_leaves_its_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_list_goes_on_where_it_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_search_that_is_cut_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_search_among_many_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(show_tells_everything, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("manager_queue_ops", tests, NULL, NULL);
}
