// Runs under a lease [lease-3]: the shim ends them in time, whoever is there to see it.
#include "run_fixture.h"

#include <reeve/clock.h>

#define SLACK_MS 1500 // of a loaded machine, where a test may only be late

static struct run_plan leased(struct fixture *f, const char *mode, const char *arg, int64_t in_ms, int64_t grace_ms)
{
    struct run_plan plan = fixture_plan(f, mode, arg);
    plan.lease_until_ms = reeve_clock_mono_ms() + in_ms;
    plan.lease_grace_ms = grace_ms;
    return plan;
}

static void on_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

// Runs the loop until then.
static void run_until(struct fixture *f, int64_t at_mono)
{
    uv_timer_t timer;
    bool fired = false;
    const int64_t in_ms = at_mono - reeve_clock_mono_ms();
    (void)uv_timer_init(&f->loop, &timer);
    timer.data = &fired;
    uv_update_time(&f->loop);
    (void)uv_timer_start(&timer, on_time, in_ms > 0 ? (uint64_t)in_ms : 0, 0);
    WAIT_FOR(f, fired);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); // its end
}

static void lease_ends_in_order(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = leased(f, "pause", "", 600, 400);
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lease");
    assert_int_equal(f->outcome.signal, SIGTERM);
    assert_true(reeve_clock_mono_ms() >= plan.lease_until_ms - 400);
    assert_true(f->outcome.ran_ms < 600 + SLACK_MS);
    char *log = fixture_log(f, "current");
    assert_non_null(strstr(log, "lease ends in "));
    free(log);
}

static void lease_ends_the_whole_group_by_force(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = leased(f, "daemonize", "ignore-term", 700, 200);
    plan.ready = RUN_READY_NOTIFY;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    const pid_t grandchild = (pid_t)atoi(f->status);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lease");
    assert_int_equal(f->outcome.signal, SIGKILL);
    assert_false(fixture_is_alive(grandchild));
    assert_true(reeve_clock_mono_ms() >= plan.lease_until_ms);
    assert_true(reeve_clock_mono_ms() < plan.lease_until_ms + SLACK_MS);
}

static void renewal_moves_the_end(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = leased(f, "pause", "", 500, 100);
    fixture_start(f, &plan);
    run_lease(f->run, plan.lease_until_ms + 400, 100); // before it has started: kept until it has
    WAIT_FOR(f, f->started == 1);
    run_lease(f->run, plan.lease_until_ms + 700, 100);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lease");
    assert_true(reeve_clock_mono_ms() >= plan.lease_until_ms + 600);
}

static void lease_ends_without_a_daemon(void **state)
{
    struct fixture *f = *state;
    struct run_adopted adopted = {0};
    const struct run_plan plan = leased(f, "pause", "", 500, 100);
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    run_detach(f->run); // as a daemon that is killed does
    f->run = NULL;
    fixture_arm(f);
    while (fixture_is_alive(f->pid) && !f->timed_out) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    fixture_disarm(f);
    assert_false(f->timed_out);
    assert_true(reeve_clock_mono_ms() < plan.lease_until_ms + SLACK_MS);
    do { // the shim writes the outcome a moment later
        assert_int_equal(run_adopt(&f->host, "w", f, &adopted, NULL), REEVE_OK);
        f->run = adopted.run;
        if (adopted.run != NULL) {
            WAIT_FOR(f, f->ended > 0);
            adopted.outcome = f->outcome;
            adopted.has_outcome = true;
        }
    } while (!adopted.has_outcome);
    assert_string_equal(adopted.outcome.cause, "lease");
}

static void lease_can_be_taken_away(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = leased(f, "pause", "", 300, 100);
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    run_lease(f->run, 0, 0);
    run_until(f, plan.lease_until_ms + 100);
    assert_int_equal(f->ended, 0);
    run_stop(f->run, 1000);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
}

static void what_was_asked_to_end_is_not_saved_any_more(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = leased(f, "daemonize", "ignore-term", 900, 600);
    plan.ready = RUN_READY_NOTIFY;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    run_until(f, plan.lease_until_ms - 400);
    assert_non_null(f->run);
    run_lease(f->run, plan.lease_until_ms + 60000, 600);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lease");
}

static void lease_cuts_the_grace_time_of_a_stop(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = leased(f, "daemonize", "ignore-term", 600, 100);
    plan.ready = RUN_READY_NOTIFY;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    run_stop(f->run, 60000);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "kill"); // of the stop, not of the lease
    assert_true(reeve_clock_mono_ms() < plan.lease_until_ms + SLACK_MS);
}

static void lease_that_is_over_lets_nothing_begin(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "pause", "");
    plan.lease_until_ms = 1;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lease");
    assert_int_equal(f->outcome.signal, SIGKILL);
}

static void own_end_under_a_lease_is_its_own(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = leased(f, "exit", "7", 60000, 100);
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "exit");
    assert_int_equal(f->outcome.code, 7);
}

int main(void)
{
#define RUN_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        RUN_TEST(lease_ends_in_order),
        RUN_TEST(lease_ends_the_whole_group_by_force),
        RUN_TEST(renewal_moves_the_end),
        RUN_TEST(lease_ends_without_a_daemon),
        RUN_TEST(lease_can_be_taken_away),
        RUN_TEST(what_was_asked_to_end_is_not_saved_any_more),
        RUN_TEST(lease_cuts_the_grace_time_of_a_stop),
        RUN_TEST(lease_that_is_over_lets_nothing_begin),
        RUN_TEST(own_end_under_a_lease_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
