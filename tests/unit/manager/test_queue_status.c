// What is told of a queue: how often, with what in it, events and records of jobs, the alarm for what nobody can do,
// retention.
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

static const struct reeve_value *status(void)
{
    const struct fake_item *item = fake_find(&qf.fake, "queue/q/status");
    assert_non_null(item);
    assert_int_equal(item->kind, LEAVING_RECORD);
    return item->value;
}

static int64_t number(const char *key)
{
    return reeve_get_int(status(), key, -1);
}

static double rate(const char *key)
{
    return reeve_value_real(reeve_value_get(status(), key), -1);
}

// ---- status -------------------------------------------------------------------------------------------------------

static void it_leaves_once_a_second_when_it_changes_and_every_ten_else(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_tick(&qf);
    qf_tick(&qf);
    fake_forget_items(&qf.fake);
    for (int i = 0; i < 30; i++) {
        qf_tick(&qf);
    }
    assert_int_equal(fake_count(&qf.fake, "queue/q/status"), 3);
    fake_forget_items(&qf.fake);
    qf_add(&qf, "q", "{id: a, type: work}");
    for (int i = 0; i < 10; i++) { // something asks for ticks all the time
        fake_time(&qf.fake, 200);
        queues_tick(qf.fake.manager.queues);
        qf_turn(&qf);
    }
    assert_in_range(fake_count(&qf.fake, "queue/q/status"), 2, 3);
}

static void it_counts_what_is_there(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_hello(&qf, "q", "w2", 0, "[work]");
    qf_add(&qf, "q", "{id: a, type: work, key: k}");
    qf_add(&qf, "q", "{id: b, type: work, key: k}");
    qf_add(&qf, "q", "{id: c, type: work, after: [a]}");
    qf_add(&qf, "q", "{id: d, type: work, delay_ms: 99999}");
    qf_time(&qf, 4000);
    qf_hello(&qf, "q", "w1", 1, "[work]"); // it is there
    qf_add(&qf, "q", "{id: e, type: work}");
    qf_add(&qf, "q", "{id: f, type: other}");
    qf_tick(&qf);
    assert_string_equal(reeve_get_str(status(), "queue"), "q");
    assert_string_equal(reeve_get_str(status(), "state"), "running");
    assert_string_equal(reeve_get_str(status(), "durability"), "commit");
    static const struct {
        const char *key;
        int64_t number;
    } rows[] = {{"waiting", 4}, {"delayed", 1},   {"active", 1},         {"unknown", 0},        {"completed", 0},
                {"workers", 2}, {"capacity", 1},  {"workers_in_use", 1}, {"blocked_by_key", 1}, {"blocked_by_after", 1},
                {"failed", 0},  {"unmatched", 1}, {"oldest_ms", 5000},   {"service_ms", 0},     {"cancelled", 0}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (number(rows[i].key) != rows[i].number) {
            fail_msg("%s is %lld", rows[i].key, (long long)number(rows[i].key));
        }
    }
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    qf_tick(&qf);
    assert_int_equal(number("service_ms"), 5000);
    assert_int_equal(number("completed"), 1);
    assert_int_equal(number("blocked_by_after"), 0);
    assert_int_equal(number("blocked_by_key"), 0);
}

static void rates_are_those_of_the_last_second(void **state)
{
    char job[32];
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 100, "[work]");
    qf_tick(&qf);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(job, sizeof job, "{id: j%d, type: work}", i);
        qf_add(&qf, "q", job);
    }
    qf_report(&qf, "q", "w1", "j0", "done", "{}", NULL);
    qf_report(&qf, "q", "w1", "j1", "retry", NULL, "no");
    qf_tick(&qf);
    assert_true(rate("added_per_s") > 19.9 && rate("added_per_s") < 20.1);
    assert_true(rate("started_per_s") > 19.9 && rate("completed_per_s") > 0.9 && rate("failed_per_s") > 0.9);
    assert_int_equal(number("retried"), 1);
    assert_int_equal(number("service_ms"), 1); // 0 is: not known
    qf_tick(&qf);
    qf_tick(&qf);
    assert_true(rate("added_per_s") < 0.1); // told that it is over
}

static void its_state_is_told(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{durability: memory}");
    (void)qf_op(&qf, "q", "drain", NULL);
    qf_tick(&qf);
    assert_string_equal(reeve_get_str(status(), "state"), "draining");
    assert_string_equal(reeve_get_str(status(), "durability"), "memory");
    (void)qf_op(&qf, "q", "pause", NULL);
    qf_tick(&qf);
    assert_string_equal(reeve_get_str(status(), "state"), "paused");
    qf_restart(&qf, 0);
    fake_forget_items(&qf.fake);
    queues_publish(qf.fake.manager.queues); // a new session
    qf_turn(&qf);
    assert_string_equal(reeve_get_str(status(), "state"), "paused");
}

// ---- events and records -------------------------------------------------------------------------------------------

static size_t changes_len(void)
{
    const struct fake_item *item = fake_find(&qf.fake, "queue/q/event");
    return item != NULL ? reeve_value_len(reeve_value_get(item->value, "changes")) : 0;
}

static void run_one(const char *id)
{
    char job[128];
    (void)snprintf(job, sizeof job, "{id: %s, type: work, backoff: {kind: fixed, delay_ms: 10, jitter: 0}}", id);
    qf_add(&qf, "q", job);
    qf_report(&qf, "q", "w1", id, "retry", NULL, "not yet");
    qf_time(&qf, 10);
    qf_report(&qf, "q", "w1", id, "done", "{}", NULL);
    assert_string_equal(qf_state(&qf, "q", id), "completed");
}

static void failures_are_events(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w1", 9, "[work]");
    run_one("a");
    assert_int_equal(fake_count(&qf.fake, "queue/q/event"), 1);
    const struct fake_item *item = fake_find(&qf.fake, "queue/q/event");
    const struct reeve_value *change = reeve_value_at(reeve_value_get(item->value, "changes"), 0);
    assert_int_equal(item->kind, LEAVING_BULK);
    assert_string_equal(reeve_get_str(item->value, "queue"), "q");
    assert_string_equal(reeve_get_str(change, "id"), "a");
    assert_string_equal(reeve_get_str(change, "state"), "delayed");
    assert_string_equal(reeve_get_str(change, "error"), "not yet");
    assert_int_equal(reeve_get_int(change, "attempt", 0), 1);
    qf_add(&qf, "q", "{id: b, type: work}");
    qf_report(&qf, "q", "w1", "b", "failed", NULL, "never");
    assert_int_equal(fake_count(&qf.fake, "queue/q/event"), 2);
}

static void all_or_none(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{events: none}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    run_one("a");
    assert_null(fake_find(&qf.fake, "queue/q/event"));
    (void)qf_op(&qf, "q", "apply", "{events: all}");
    run_one("b");
    const char *expected[] = {"waiting", "active", "delayed", "waiting", "active", "completed"};
    size_t seen = 0;
    for (size_t i = 0; i < qf.fake.items_len; i++) {
        const struct reeve_value *changes = reeve_value_get(qf.fake.items[i].value, "changes");
        for (size_t at = 0; at < reeve_value_len(changes); at++, seen++) {
            assert_true(seen < REEVE_ARRAY_LEN(expected));
            assert_string_equal(reeve_get_str(reeve_value_at(changes, at), "state"), expected[seen]);
        }
    }
    assert_int_equal(seen, REEVE_ARRAY_LEN(expected));
    assert_null(fake_find(&qf.fake, "job/q/*"));
}

static void what_comes_back_is_told(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{job_records: true, events: failures}");
    qf_hello(&qf, "q", "w1", 9, "[work, pay]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: pay}");
    qf_report(&qf, "q", "w1", "b", "no_return", NULL, NULL);
    qf_report(&qf, "q", "w1", "b", "retry", NULL, "can't tell");
    assert_int_equal(changes_len(), 1); // unknown
    assert_string_equal(reeve_get_str(fake_find(&qf.fake, "job/q/b")->value, "state"), "unknown");
    qf_worker_died(&qf, "w1");
    assert_string_equal(reeve_get_str(fake_find(&qf.fake, "job/q/a")->value, "state"), "waiting");
}

static void an_event_is_bounded(void **state)
{
    char job[32];
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(job, sizeof job, "{id: j%d, type: work}", i);
        qf_add(&qf, "q", job);
    }
    (void)qf_op(&qf, "q", "cancel", "{filter: {}}");
    assert_int_equal(changes_len(), 256);
    assert_int_equal(reeve_get_int(fake_find(&qf.fake, "queue/q/event")->value, "more", 0), 44);
    qf_turn(&qf);
    assert_int_equal(fake_count(&qf.fake, "queue/q/event"), 1);
}

static const char *record_state(void)
{
    const struct fake_item *item = fake_find(&qf.fake, "job/q/a");
    assert_non_null(item);
    assert_true(item->expiry_ms > 0);
    return reeve_get_str(item->value, "state");
}

static void records_of_jobs_where_they_are_asked_for(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{job_records: true, events: none}");
    qf_add(&qf, "q", "{id: a, type: work}");
    assert_string_equal(record_state(), "waiting");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    assert_string_equal(record_state(), "active");
    fake_forget_items(&qf.fake);
    for (int i = 1; i <= 22; i++) { // ten a second
        fake_time(&qf.fake, 100);
        qf_progress(&qf, "q", "w1", "a", i / 22.0, "going");
    }
    assert_in_range(fake_count(&qf.fake, "job/q/a"), 3, 4);
    qf_tick(&qf); // the last word is told
    const struct reeve_value *record = fake_find(&qf.fake, "job/q/a")->value;
    assert_true(reeve_value_real(reeve_value_get(record, "progress"), 0) > 0.99);
    assert_string_equal(reeve_get_str(record, "text"), "going");
    qf_report(&qf, "q", "w1", "a", "done", "{}", NULL);
    assert_string_equal(record_state(), "completed");
    (void)qf_op(&qf, "q", "remove", "{ids: [a]}");
    assert_null(fake_find(&qf.fake, "job/q/a")->value);
    assert_null(fake_find(&qf.fake, "queue/q/event"));
}

// ---- what nobody can do -------------------------------------------------------------------------------------------

static void what_nobody_can_do_raises_an_alarm(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{unmatched_alarm: 5s}");
    qf_hello(&qf, "q", "w1", 1, "[work]");
    qf_add(&qf, "q", "{id: full, type: work}");
    qf_add(&qf, "q", "{id: waits, type: work}"); // its worker is full: that is no reason
    qf_add(&qf, "q", "{id: a, type: work, requires: [cpus>=4]}");
    for (int i = 0; i < 5; i++) {
        qf_tick(&qf);
        qf_hello(&qf, "q", "w1", 1, "[work]");
    }
    assert_false(alarm_is_open(&qf.fake.manager, "job_unmatched", "q"));
    qf_tick(&qf);
    assert_true(alarm_is_open(&qf.fake.manager, "job_unmatched", "q"));
    assert_non_null(strstr(fake_alarms[0].message, "1 jobs of type work"));
    assert_non_null(strstr(fake_alarms[0].message, "alpha/w1 lacks cpus>=4"));
    assert_int_equal(number("unmatched"), 1);
    qf_hello(&qf, "q", "big", 1, "[work]");
    qf_tick(&qf);
    assert_false(alarm_is_open(&qf.fake.manager, "job_unmatched", "q"));
    assert_int_equal(qf_queue(&qf, "q")->unmatched, 0);
}

static void an_alarm_of_a_former_manager_is_closed(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", NULL);
    alarm_open(&qf.fake.manager, "job_unmatched", "q", ALARM_WARNING, NULL, "from before");
    qf_tick(&qf);
    assert_false(alarm_is_open(&qf.fake.manager, "job_unmatched", "q"));
}

static void an_unknown_job_that_nobody_reconciles_raises_it_too(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{unmatched_alarm: 1s}");
    qf_hello(&qf, "q", "w1", 2, "[pay]");
    qf_add(&qf, "q", "{id: a, type: pay}");
    qf_report(&qf, "q", "w1", "a", "no_return", NULL, NULL);
    qf_worker_died(&qf, "w1");
    qf_hello(&qf, "q", "w2", 2, "[pay]");
    qf_tick(&qf);
    qf_tick(&qf);
    assert_true(alarm_is_open(&qf.fake.manager, "job_unmatched", "q"));
    assert_non_null(strstr(fake_alarms[0].message, "no worker reconciles type pay"));
}

// ---- retention ----------------------------------------------------------------------------------------------------

static void complete(int first, int len)
{
    char text[48];
    for (int i = first; i < first + len; i++) {
        (void)snprintf(text, sizeof text, "{id: j%d, type: work}", i);
        qf_add(&qf, "q", text);
        (void)snprintf(text, sizeof text, "j%d", i);
        qf_report(&qf, "q", "w1", text, "done", "{}", NULL);
    }
}

static void only_so_many_are_kept(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{keep_completed: {age: 1d, count: 50}}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    complete(0, 300);
    qf_tick(&qf);
    qf_tick(&qf);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 50);
    assert_string_equal(qf_state(&qf, "q", "j0"), "completed"); // the id is known
    assert_null(reeve_value_get(qf_op(&qf, "q", "show", "{id: j0}"), "result"));
    assert_non_null(reeve_value_get(qf_op(&qf, "q", "show", "{id: j299}"), "result"));
    qf_restart(&qf, 0);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 50);
}

static void what_is_old_goes_and_its_id_later(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{keep_completed: {age: 1h, count: 0}, id_retention: 2h}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    complete(0, 10);
    fake_time(&qf.fake, 3500 * 1000);
    qf_tick(&qf);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 10);
    fake_time(&qf.fake, 200 * 1000);
    qf_tick(&qf);
    assert_int_equal(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 0);
    assert_string_equal(qf_state(&qf, "q", "j3"), "completed");
    fake_time(&qf.fake, 3600 * 1000);
    qf_tick(&qf);
    assert_string_equal(qf_state(&qf, "q", "j3"), "none");
}

static void a_busy_queue_is_kept_small_in_its_turns(void **state)
{
    (void)state;
    (void)qf_op(&qf, "q", "apply", "{keep_completed: {age: 1d, count: 10}}");
    qf_hello(&qf, "q", "w1", 9, "[work]");
    complete(0, 1000); // not one tick
    assert_in_range(qf_queue(&qf, "q")->counts[REEVE_JOB_COMPLETED], 10, 215);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_leaves_once_a_second_when_it_changes_and_every_ten_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_counts_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rates_are_those_of_the_last_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_state_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_are_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_or_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_back_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_of_jobs_where_they_are_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_can_do_raises_an_alarm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_alarm_of_a_former_manager_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_job_that_nobody_reconciles_raises_it_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_so_many_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_old_goes_and_its_id_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_queue_is_kept_small_in_its_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("manager_queue_status", tests, NULL, NULL);
}
