// Jobs by the clock: once for each time that is due, across restarts and changes of the clock, and not while the last
// one is live.
#include "queue_fixture.h"

#include <time.h>

static struct qf qf;

static int64_t utc(int year, int month, int day, int hour, int minute)
{
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};
    return (int64_t)timegm(&tm) * 1000;
}

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

static void go_to(int64_t wall_ms)
{
    fake_time(&qf.fake, wall_ms - qf.fake.wall_ms);
    qf_tick(&qf);
}

static bool fired(int64_t at)
{
    char id[64];
    (void)snprintf(id, sizeof id, "nightly-%lld", (long long)at);
    return strcmp(qf_state(&qf, "q", id), "none") != 0;
}

static void finish(int64_t at)
{
    char text[64];
    (void)snprintf(text, sizeof text, "{ids: [nightly-%lld]}", (long long)at);
    (void)qf_op(&qf, "q", "cancel", text);
}

static int64_t jobs_len(void)
{
    return (int64_t)qf_queue(&qf, "q")->rates.added;
}

#define NIGHTLY "name: nightly, cron: '30 2 * * *', time_zone: Europe/Berlin, job: {type: work, payload: {n: 1}}"

static void a_time_that_the_clocks_skip_fires_once(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 3, 28, 12, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY ", overlap: allow}]}");
    go_to(utc(2026, 3, 29, 0, 59)); // 01:59 in Berlin; then it is 03:00
    assert_int_equal(jobs_len(), 0);
    go_to(utc(2026, 3, 29, 1, 0));
    assert_true(fired(utc(2026, 3, 29, 1, 0)));
    go_to(utc(2026, 3, 29, 12, 0));
    assert_int_equal(jobs_len(), 1);
    go_to(utc(2026, 3, 30, 0, 29));
    assert_int_equal(jobs_len(), 1);
    go_to(utc(2026, 3, 30, 0, 30)); // 02:30 by summer time
    assert_true(fired(utc(2026, 3, 30, 0, 30)));
    assert_int_equal(jobs_len(), 2);
}

static void a_time_that_comes_twice_fires_once(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 10, 24, 12, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY ", overlap: allow}]}");
    go_to(utc(2026, 10, 25, 0, 30));
    assert_true(fired(utc(2026, 10, 25, 0, 30)));
    qf_restart(&qf, 30 * 60 * 1000); // a manager that was not there when it came first
    go_to(utc(2026, 10, 25, 1, 30)); // 02:30 again
    go_to(utc(2026, 10, 25, 12, 0));
    assert_false(fired(utc(2026, 10, 25, 1, 30)));
    go_to(utc(2026, 10, 26, 1, 30)); // by winter time
    assert_true(fired(utc(2026, 10, 26, 1, 30)));
}

static void the_next_is_skipped_while_the_last_one_is_live(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY "}]}");
    go_to(utc(2026, 1, 1, 1, 30));
    assert_int_equal(jobs_len(), 1);
    go_to(utc(2026, 1, 2, 1, 30));
    assert_int_equal(jobs_len(), 1);
    qf_restart(&qf, 1000); // it is live still, for the next manager as well
    go_to(utc(2026, 1, 3, 1, 30));
    assert_false(fired(utc(2026, 1, 3, 1, 30)));
    finish(utc(2026, 1, 1, 1, 30));
    go_to(utc(2026, 1, 3, 12, 0));
    assert_false(fired(utc(2026, 1, 3, 1, 30))); // what was skipped does not come later
    go_to(utc(2026, 1, 4, 1, 30));
    assert_true(fired(utc(2026, 1, 4, 1, 30)));
}

static void of_what_was_missed_the_last_one_is_made_up_for(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY ", overlap: allow}]}"); // no tick before it is killed
    qf_restart(&qf, 4LL * 86400 * 1000);
    qf_tick(&qf);
    assert_int_equal(jobs_len(), 1);
    assert_true(fired(utc(2026, 1, 4, 1, 30)));
    qf_restart(&qf, 1000);
    qf_tick(&qf);
    assert_int_equal(jobs_len(), 0); // counted from the start: nothing was added
    go_to(utc(2026, 1, 5, 1, 30));
    assert_true(fired(utc(2026, 1, 5, 1, 30)));
}

static void or_it_is_skipped(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY ", missed: skip}]}");
    qf_restart(&qf, 4LL * 86400 * 1000);
    qf_tick(&qf);
    assert_int_equal(jobs_len(), 0);
    go_to(utc(2026, 1, 5, 1, 30));
    assert_int_equal(jobs_len(), 1);
}

// The turn in which it fired was not committed: it fires again, under the same id.
static void a_turn_that_is_undone_is_no_harm(void **state)
{
    (void)state;
    struct manager *manager = &qf.fake.manager;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY "}]}");
    fake_time(&qf.fake, utc(2026, 1, 1, 1, 30) - qf.fake.wall_ms);
    queues_tick(manager->queues);
    queues_turn(manager->queues);
    assert_int_equal(jobs_len(), 1);
    store_undo(manager->store);
    assert_int_equal(queues_load(manager->queues, NULL), REEVE_OK);
    queues_settle(manager->queues, false);
    assert_false(fired(utc(2026, 1, 1, 1, 30)));
    qf_tick(&qf);
    assert_true(fired(utc(2026, 1, 1, 1, 30)));
}

static void a_full_queue_is_told_and_tried_again(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{jobs_max: 1, schedules: [{" NIGHTLY "}]}");
    qf_add(&qf, "q", "{id: a, type: work}");
    go_to(utc(2026, 1, 1, 1, 30));
    qf_tick(&qf);
    assert_false(fired(utc(2026, 1, 1, 1, 30)));
    assert_true(alarm_is_open(&qf.fake.manager, "schedule_refused", "q_nightly"));
    assert_int_equal(fake_alarms[0].count, 1);
    (void)qf_op(&qf, "q", "cancel", "{ids: [a]}");
    qf_tick(&qf);
    assert_true(fired(utc(2026, 1, 1, 1, 30)));
    assert_false(alarm_is_open(&qf.fake.manager, "schedule_refused", "q_nightly"));
}

static void a_queue_that_drains_gets_none(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY "}]}");
    (void)qf_op(&qf, "q", "drain", NULL);
    go_to(utc(2026, 1, 1, 1, 30));
    assert_int_equal(jobs_len(), 0);
    (void)qf_op(&qf, "q", "resume", NULL);
    qf_tick(&qf);
    assert_int_equal(jobs_len(), 0);
    go_to(utc(2026, 1, 2, 1, 30));
    assert_int_equal(jobs_len(), 1);
}

static void a_changed_schedule_goes_on(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY "}]}");
    go_to(utc(2026, 1, 1, 1, 30));
    (void)qf_op(&qf, "q", "apply",
                "{schedules: [{name: nightly, cron: '0 * * * *', overlap: allow, job: {type: mail}}]}");
    go_to(utc(2026, 1, 1, 2, 0));
    assert_true(fired(utc(2026, 1, 1, 2, 0)));
    assert_int_equal(jobs_len(), 2);
    (void)qf_op(&qf, "q", "apply", "{schedules: []}");
    go_to(utc(2026, 1, 1, 5, 0));
    assert_int_equal(jobs_len(), 2);
}

static void what_passed_before_a_change_is_not_due(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY "}]}");
    go_to(utc(2026, 1, 1, 1, 30));
    go_to(utc(2026, 1, 1, 12, 10));
    (void)qf_op(&qf, "q", "apply", "{schedules: [{name: nightly, cron: '0 * * * *', job: {type: mail}}]}");
    qf_tick(&qf);
    assert_int_equal(jobs_len(), 1); // 12:00 was no time of it then
    go_to(utc(2026, 1, 1, 13, 0));
    assert_int_equal(jobs_len(), 1); // the first one is live still
    (void)qf_op(&qf, "q", "apply", "{schedules: []}");
    go_to(utc(2026, 2, 1, 12, 0));
    (void)qf_op(&qf, "q", "apply", "{schedules: [{" NIGHTLY "}]}"); // a new one of that name
    qf_tick(&qf);
    assert_int_equal(jobs_len(), 1);
    go_to(utc(2026, 2, 2, 1, 30));
    assert_int_equal(jobs_len(), 2);
}

static void an_alarm_goes_with_its_schedule(void **state)
{
    (void)state;
    fake_time(&qf.fake, utc(2026, 1, 1, 0, 0) - qf.fake.wall_ms);
    (void)qf_op(&qf, "q", "apply", "{jobs_max: 1, schedules: [{" NIGHTLY "}]}");
    qf_add(&qf, "q", "{id: a, type: work}");
    go_to(utc(2026, 1, 1, 1, 30));
    assert_true(alarm_is_open(&qf.fake.manager, "schedule_refused", "q_nightly"));
    (void)qf_op(&qf, "q", "apply", "{jobs_max: 1}");
    assert_false(alarm_is_open(&qf.fake.manager, "schedule_refused", "q_nightly"));
    (void)qf_op(&qf, "q", "apply", "{jobs_max: 1, schedules: [{" NIGHTLY "}]}");
    go_to(utc(2026, 1, 2, 1, 30));
    assert_true(alarm_is_open(&qf.fake.manager, "schedule_refused", "q_nightly"));
    (void)qf_op(&qf, "q", "delete", "{force: true}");
    assert_false(alarm_is_open(&qf.fake.manager, "schedule_refused", "q_nightly"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_time_that_the_clocks_skip_fires_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_time_that_comes_twice_fires_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_is_skipped_while_the_last_one_is_live, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_what_was_missed_the_last_one_is_made_up_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(or_it_is_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_turn_that_is_undone_is_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_queue_is_told_and_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_that_drains_gets_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_changed_schedule_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_passed_before_a_change_is_not_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_alarm_goes_with_its_schedule, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("manager_queue_schedule", tests, NULL, NULL);
}
