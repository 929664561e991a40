// Why a job is where it is: each reason is named, with what somebody needs who wants to change it.
#include "queue_fixture.h"

static struct qf qf;

static int set_up(void **state)
{
    (void)state;
    qf_init(&qf);
    (void)qf_op(&qf, "q", "apply", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qf_done(&qf);
    return 0;
}

// `why` says the first, some line of the details the second (NULL = not asked).
static void explains(const char *id, const char *why, const char *detail)
{
    char args[64];
    (void)snprintf(args, sizeof args, "{id: %s}", id);
    const struct reeve_value *result = qf_op(&qf, "q", "explain", args);
    const struct reeve_value *details = reeve_value_get(result, "details");
    bool found = detail == NULL;
    assert_string_equal(reeve_get_str(result, "state"), qf_state(&qf, "q", id));
    assert_string_equal(reeve_get_str(result, "why"), reeve_value_text(reeve_value_at(details, 0)));
    if (strstr(reeve_get_str(result, "why"), why) == NULL) {
        fail_msg("%s: %s", id, reeve_get_str(result, "why"));
    }
    for (size_t i = 0; i < reeve_value_len(details); i++) {
        found = found || strstr(reeve_value_text(reeve_value_at(details, i)), detail) != NULL;
    }
    if (!found) {
        REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
        (void)reeve_json_write(details, 0, &json); /* for the eye */
        fail_msg("%s: no detail says %s: %s", id, detail, reeve_buf_str(&json));
    }
}

static void nobody_takes_it(void **state)
{
    (void)state;
    qf_add(&qf, "q", "{id: a, type: work, requires: [cpus>=4]}");
    explains("a", "no worker takes jobs of queue q", NULL);
    qf_hello(&qf, "q", "w1", 4, "[mail, pay]");
    explains("a", "no worker takes type work", "mail, pay");
    qf_hello(&qf, "q", "w2", 4, "[work]");
    explains("a", "no worker has what it requires: alpha/w2 lacks cpus>=4", NULL);
    qf_hello(&qf, "q", "big", 4, "[work]");
    explains("a", "active at alpha/big", NULL);
}

static void workers_are_full_or_closed(void **state)
{
    (void)state;
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work}");
    qf_add(&qf, "q", "{id: c, type: work}");
    qf_add(&qf, "q", "{id: d, type: work, priority: 9}");
    explains("b", "the 1 worker that may do it is full: 1 jobs in hand", "1 job of its kind is before it");
    explains("c", "is full", "2 jobs of its kind are before it");
    explains("d", "is full", NULL);
    qf_hello(&qf, "q", "w2", 1, "[\"*\"]");
    qf_add(&qf, "q", "{id: e, type: work}");
    explains("e", "all 2 workers that may do it are full: 2 jobs in hand", NULL);
    qf_hello(&qf, "q", "w1", 0, "[work]");
    qf_hello(&qf, "q", "w2", 0, "[work]");
    explains("e", "paused or drain", NULL);
}

static void limits_of_the_queue(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{concurrency: 1, rate: {count: 2, per: 10s}}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work}");
    explains("b", "concurrency: 1 of 1 jobs of the queue are active", NULL);
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    qf_report(&qf, "q", "w1", "b", "done", "{}", NULL);
    qf_time(&qf, 4000);
    qf_add(&qf, "q", "{id: c, type: work}");
    explains("c", "rate: 2 starts in 10s are used up, the next one may be in 6", NULL);
    (void)qf_op(&qf, "q", "pause", NULL);
    explains("c", "queue q is paused", "rate:");
    (void)qf_op(&qf, "q", "resume", NULL);
    qf_add(&qf, "q", "{id: d, type: other}"); // what nobody does comes before what is only held back
    explains("d", "no worker takes type other", "rate:");
}

static void keys_and_those_that_hold_them(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{backoff: {kind: fixed, delay: 5s, jitter: 0}}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    qf_add(&qf, "q", "{id: a, type: work, key: acct-7}");
    qf_add(&qf, "q", "{id: b, type: work, key: acct-7}");
    qf_add(&qf, "q", "{id: c, type: work, key: acct-7}");
    explains("b", "its key \"acct-7\" is held by a (active at alpha/w1)", NULL);
    explains("c", "held by a", "1 job of its key is before it");
    qf_report(&qf, "q", "w1", "a", "retry", NULL, "busy");
    explains("b", "its key \"acct-7\" is held by a (delayed)", NULL);
    explains("a", "attempt 1 failed with \"busy\" (1 of 3 that may fail); the next one at ",
             "2 jobs of its key wait for it");
    (void)qf_op(&qf, "q", "pause", NULL);
    qf_time(&qf, 5001);
    explains("b", "its key \"acct-7\" is held by a (waiting)", "paused");
}

static void times_and_dependencies(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{attempts: 1}");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work, delay_ms: 90000}");
    qf_add(&qf, "q", "{id: c, type: work, after: [a, b]}");
    explains("b", "delayed until 2023-11-14T22:14:50.000Z, in ", NULL);
    explains("c", "waits for 2 jobs: a (waiting), b (delayed)", "no worker takes");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    qf_report(&qf, "q", "w1", "a", "retry", NULL, "gone");
    assert_string_equal(qf_state(&qf, "q", "a"), "failed");
    explains("a", "failed at 2023-11-14T22:13:20.000Z: gone", "it stays until `retry` or `remove`");
    explains("c", "a (failed: retry it or cancel this one)", NULL);
    (void)qf_op(&qf, "q", "retry", "{ids: [a]}");
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    explains("c", "waits for 1 job: b (delayed)", NULL);
    explains("a", "completed at", "2 attempts, the last one at alpha/w1");
}

static void what_is_active(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{timeout: 1m, lease: 4s}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_progress(&qf, "q", "w1", "a", 0.25, "page 3");
    qf_time(&qf, 3000);
    explains("a", "active at alpha/w1 since 2023-11-14T22:13:20.000Z", "progress 25 %: page 3");
    explains("a", "attempt 1", "its time is over in 57");
    explains("a", "attempt 1", "was last heard 3");
    (void)qf_op(&qf, "q", "cancel", "{ids: [a]}");
    explains("a", "active", "to be cancelled");
    qf_restart(&qf, 100);
    explains("a", "active at alpha/w1", "has not answered yet");
}

static void what_is_unknown(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{poison_after: 2}");
    qf_hello_reconciles(&qf, "q", "w1", 2, "[pay]", NULL);
    qf_add(&qf, "q", "{id: a, type: pay}");
    qf_report(&qf, "q", "w1", "a", "no_return", NULL, NULL);
    explains("a", "active", "past its point of no return");
    qf_worker_died(&qf, "w1");
    qf_hello_reconciles(&qf, "q", "w2", 2, "[pay]", NULL);
    explains("a", "whether it was done is not known", "no worker reconciles type pay");
    qf_hello_reconciles(&qf, "q", "w3", 2, "[]", "[pay]");
    explains("a", "is reconciled at alpha/w3", NULL);
    qf_worker_died(&qf, "w3");
    explains("a", "whether it was done", "2 workers died with it in hand: it is not tried again until `retry`");
}

static void of_many_jobs_the_place_is_found(void **state)
{
    char job[48];
    (void)state;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(job, sizeof job, "{id: j%d, type: work, key: k%d}", i, i % 2);
        qf_add(&qf, "q", job);
    }
    explains("j299", "its key \"k1\" is held by j1 (waiting)", "148 jobs of its key are before it");
}

static void what_is_forgotten(void **state)
{
    (void)state;
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    (void)qf_op(&qf, "q", "remove", "{ids: [a]}");
    explains("a", "completed at", "only its id is known any more");
    qf_refused(&qf, "q", "explain", "{id: z}", REEVE_NOENT, "no job z in queue q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_takes_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(workers_are_full_or_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_of_the_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_and_those_that_hold_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(times_and_dependencies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_active, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_many_jobs_the_place_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_forgotten, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("manager_job_explain", tests, NULL, NULL);
}
