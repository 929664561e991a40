// Health over a fleet: what each message and each round of the cursor finds, alarms until they are over, actions within their
// bounds. Must not: need a broker or a real fleet.
#include "fake_fleet.h"
#include "fake_rooms.h"
#include "fake_store.h"

#include "health_room.h"

#include <stdio.h>
#include <string.h>

static struct fake fake;

static struct health *health(void)
{
    return fake.manager.health;
}

static int setup(void **state)
{
    (void)state;
    fake_store_reset();
    fake_fleet_reset();
    fake_alarms_len = 0;
    fake_replaced = 0;
    fake_holds = (struct fake_hold){0};
    fake_init(&fake);
    assert_int_equal(health_new(&fake.manager, &fake.manager.health, NULL), REEVE_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    health_free(health());
    fake_done(&fake);
    fake_fleet_reset();
    fake_store_reset();
    return 0;
}

static struct health_policy *policy(void)
{
    return &fake.manager.config.manager.health;
}

static void run_for(int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        fake_time(&fake, 1000);
        health_tick(health());
    }
    fake_turn(&fake, true);
}

static enum health_level level(const struct fleet_worker *worker)
{
    return health_of(health(), worker->node, worker->name);
}

static struct fleet_worker *seen_worker(const char *name)
{
    struct fleet_worker *worker = fake_worker("alpha", name);
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    return worker;
}

static void see(struct fleet_worker *worker, enum reeve_state state)
{
    worker->info.state = state;
    worker->info.last_known = state;
    worker->info.availability = state == REEVE_STATE_RUNNING ? REEVE_AVAILABILITY_IDLE : REEVE_AVAILABILITY_NONE;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
}

// ---- levels -------------------------------------------------------------------------------------------------------------

static void health_is_known_at_once_and_touches_the_verdict_only_when_it_changes(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    int64_t since = health_healthy_since(health(), "alpha", "mm-1");
    assert_int_equal(since, fake.mono_ms);
    assert_int_equal(worker->touched, 1);
    run_for(60000);
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    assert_int_equal(worker->touched, 1);
    assert_int_equal(health_healthy_since(health(), "alpha", "mm-1"), since);
    see(worker, REEVE_STATE_LOST);
    assert_int_equal(level(worker), HEALTH_WARNING);
    assert_int_equal(health_healthy_since(health(), "alpha", "mm-1"), 0);
    assert_int_equal(worker->touched, 2);
    fake_worker_tell(&fake, FLEET_WORKER_GONE, worker);
    assert_int_equal(level(worker), HEALTH_UNKNOWN);
    assert_null(health_value(health(), "alpha", "nobody"));
}

static void a_check_it_declares_counts_as_soon_as_it_says_so(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    fake_worker_beat(&fake, worker, "{jobs: 0, checks: [{name: quotes, ok: true, value: 1}]}");
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    fake_worker_beat(&fake, worker, "{jobs: 0, checks: [{name: quotes, ok: false, value: 12, fail: 10, message: no quotes}]}");
    assert_int_equal(level(worker), HEALTH_WARNING);
    REEVE_VALUE_AUTO verdict = reeve_value_map();
    health_put_verdict(health(), "alpha", "mm-1", verdict);
    assert_string_equal(reeve_get_str(verdict, "health"), "warning");
    const struct reeve_value *failing = reeve_value_get(verdict, "checks_failing");
    assert_string_equal(reeve_value_text(reeve_value_at(failing, 0)), "check.quotes: no quotes");
    REEVE_VALUE_AUTO shown = health_value(health(), "alpha", "mm-1");
    assert_int_equal(reeve_value_len(reeve_value_get(shown, "checks")), 4);
    fake_worker_beat(&fake, worker, "{jobs: 0, checks: [{name: quotes, ok: true, value: 1}]}");
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    fake_worker_beat(&fake, worker, "{jobs: 0, checks: garbage, work: garbage}");
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void a_probe_is_found_by_the_cursor_and_forgotten_when_it_passes(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("web-1");
    worker->info.speaks = false;
    worker->process = fake_parse("{probes: [{name: http, ok: false, failures: 3, message: 503}]}");
    run_for(2000);
    assert_int_equal(level(worker), HEALTH_WARNING);
    reeve_value_free(worker->process);
    worker->process = fake_parse("{probes: [{name: http, ok: true, failures: 0}]}");
    run_for(2000);
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void the_rate_of_errors_is_of_the_window(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    fake_worker_beat(&fake, worker, "{jobs: 0, work: {done: 1000, failed: 900}}"); // before we looked: says nothing
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    fake_worker_beat(&fake, worker, "{jobs: 0, work: {done: 1002, failed: 904}}");
    assert_int_equal(level(worker), HEALTH_WARNING);
    fake_worker_beat(&fake, worker, "{jobs: 0, work: {done: 3, failed: 0}}"); // another process counts from 0
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    fake_worker_beat(&fake, worker, "{jobs: 0, work: {done: 3, failed: 9}}");
    assert_int_equal(level(worker), HEALTH_WARNING);
    run_for(301000);
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void progress_stands_still_only_with_a_job_in_hand(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    fake_worker_beat(&fake, worker, "{jobs: 0, work: {done: 0, failed: 0, progress: 1, progress_at: 5}}");
    run_for(900000);
    assert_int_equal(level(worker), HEALTH_HEALTHY); // idle
    fake_worker_beat(&fake, worker, "{jobs: 0, work: {done: 0, failed: 0, progress: 1, progress_at: 5}}");
    worker->info.jobs = 1;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    assert_int_equal(level(worker), HEALTH_HEALTHY); // a job that has just begun
    run_for(601000);
    assert_int_equal(level(worker), HEALTH_WARNING);
    fake_worker_beat(&fake, worker, "{jobs: 1, work: {done: 0, failed: 0, progress: 0.5, progress_at: 9}}");
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    run_for(599000);
    fake_worker_beat(&fake, worker, "{jobs: 1, work: {done: 1, failed: 0, progress: 0.5, progress_at: 9}}"); // one ended
    run_for(590000);
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void a_leak_is_seen_before_the_limit_is_reached(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    worker->info.memory_limit_bytes = 1LL << 30;
    for (int64_t s = 0; s < 120; s++) {
        worker->info.memory_bytes = (100LL << 20) + s * (2LL << 20); // 2 MiB a second: full after eight minutes
        run_for(1000);
    }
    assert_int_equal(level(worker), HEALTH_WARNING);
    worker->info.run++; // another process: what the former one took says nothing of it
    run_for(2000);
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void while_the_manager_is_cut_off_nothing_is_concluded(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    fake_fleet_held = true;
    see(worker, REEVE_STATE_RESTARTING);
    run_for(60000);
    assert_int_equal(level(worker), HEALTH_HEALTHY);
    assert_int_equal(fake_alarms_len, 0);
    struct fleet_worker *new = seen_worker("mm-2");
    fake_fleet_held = false;
    run_for(1000);
    assert_int_equal(level(worker), HEALTH_UNHEALTHY);
    assert_int_equal(level(new), HEALTH_HEALTHY); // met while blind
}

// ---- alarms -------------------------------------------------------------------------------------------------------------

static bool is_open(const char *kind, const char *name)
{
    char subject[REEVE_NAME_SIZE];
    return alarm_is_open(&fake.manager, kind, alarm_subject("alpha", name, subject));
}

static void unhealthy_opens_after_its_time_and_closes_when_it_is_over(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    see(worker, REEVE_STATE_RESTARTING);
    run_for(29000);
    assert_false(is_open("unhealthy", "mm-1"));
    see(worker, REEVE_STATE_RUNNING); // a moment of health is overlooked
    run_for(5000);
    see(worker, REEVE_STATE_RESTARTING);
    run_for(1000);
    assert_true(is_open("unhealthy", "mm-1"));
    assert_int_equal(fake.orders_len, 0); // policy: alarm
    run_for(60000);
    assert_int_equal(fake_alarms[0].count, 1); // said once
    see(worker, REEVE_STATE_RUNNING);
    run_for(9000);
    assert_true(is_open("unhealthy", "mm-1"));
    run_for(2000);
    assert_false(is_open("unhealthy", "mm-1"));
    run_for(20000);
    assert_int_equal(reeve_map_len(health()->watched), 0);
}

static void flapping_opens_at_six_changes_and_closes_at_half(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    for (int i = 0; i < 6; i++) {
        assert_false(is_open("flapping", "mm-1"));
        run_for(60000);
        see(worker, i % 2 == 0 ? REEVE_STATE_RESTARTING : REEVE_STATE_RUNNING);
    }
    assert_true(is_open("flapping", "mm-1"));
    run_for(239000);
    assert_true(is_open("flapping", "mm-1")); // six within ten minutes
    run_for(180000); // four
    assert_true(is_open("flapping", "mm-1"));
    run_for(2000); // three
    assert_false(is_open("flapping", "mm-1"));
}

static void a_node_that_comes_and_goes_makes_no_worker_flap(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    for (int i = 0; i < 20; i++) {
        see(worker, i % 2 == 0 ? REEVE_STATE_UNKNOWN : REEVE_STATE_RUNNING);
        run_for(1000);
    }
    assert_false(is_open("flapping", "mm-1"));
}

static void a_session_that_is_lost_again_and_again_flaps_as_well(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    for (int i = 0; i < 6; i++) {
        see(worker, i % 2 == 0 ? REEVE_STATE_LOST : REEVE_STATE_RUNNING);
    }
    assert_true(is_open("flapping", "mm-1"));
}

static void a_crash_loop_is_open_until_it_is_over(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    worker->info.restarts = 4;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    assert_false(is_open("crash_loop", "mm-1"));
    worker->info.restarts = 5;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    assert_true(is_open("crash_loop", "mm-1"));
    see(worker, REEVE_STATE_FAILED);
    run_for(1200000);
    assert_true(is_open("crash_loop", "mm-1")); // its node gave up: not over
    see(worker, REEVE_STATE_RUNNING);
    run_for(11000);
    assert_false(is_open("crash_loop", "mm-1"));
}

static void restarts_before_we_looked_are_no_loop(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    worker->info.restarts = 1000;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void who_is_stopped_or_forgotten_has_no_alarm(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    see(worker, REEVE_STATE_RESTARTING);
    run_for(31000);
    assert_true(is_open("unhealthy", "mm-1"));
    worker->info.wanted = false;
    see(worker, REEVE_STATE_STOPPED);
    assert_false(is_open("unhealthy", "mm-1"));
    worker->info.wanted = true;
    see(worker, REEVE_STATE_RESTARTING);
    run_for(31000);
    assert_true(is_open("unhealthy", "mm-1"));
    fake_worker_tell(&fake, FLEET_WORKER_GONE, worker);
    assert_false(is_open("unhealthy", "mm-1"));
}

static void who_was_stopped_by_hand_does_not_go_on_flapping(void **state)
{
    (void)state;
    struct fleet_worker *worker = seen_worker("mm-1");
    for (int i = 0; i < 12; i++) {
        worker->info.restarts++;
        see(worker, i % 2 == 0 ? REEVE_STATE_RESTARTING : REEVE_STATE_RUNNING);
    }
    assert_true(is_open("flapping", "mm-1"));
    assert_true(is_open("crash_loop", "mm-1"));
    worker->info.wanted = false;
    see(worker, REEVE_STATE_STOPPED);
    run_for(5000);
    assert_false(is_open("flapping", "mm-1"));
    assert_false(is_open("crash_loop", "mm-1"));
    assert_int_equal(fake_alarms[0].count, 1); // not opened and closed again and again
    for (int i = 0; i < 3; i++) { // stopped and started by hand three times is no flapping
        worker->info.wanted = true;
        see(worker, REEVE_STATE_RUNNING);
        worker->info.wanted = false;
        see(worker, REEVE_STATE_STOPPED);
    }
    worker->info.wanted = true;
    see(worker, REEVE_STATE_RUNNING);
    run_for(2000);
    assert_false(is_open("flapping", "mm-1"));
    assert_int_equal(level(worker), HEALTH_HEALTHY);
}

static void an_alarm_of_a_former_manager_is_closed_when_it_is_over(void **state)
{
    (void)state;
    char subject[REEVE_NAME_SIZE];
    alarm_open(&fake.manager, "unhealthy", alarm_subject("alpha", "mm-1", subject), ALARM_ERROR, NULL, "before");
    (void)seen_worker("mm-1");
    run_for(12000);
    assert_false(is_open("unhealthy", "mm-1"));
}

// ---- actions ------------------------------------------------------------------------------------------------------------

static void a_worker_is_restarted_once_in_five_minutes(void **state)
{
    (void)state;
    policy()->on_unhealthy = HEALTH_ACTION_RESTART;
    struct fleet_worker *worker = seen_worker("mm-1");
    see(worker, REEVE_STATE_RESTARTING);
    run_for(31000);
    assert_int_equal(fake_order_count(&fake, "restart"), 1);
    assert_non_null(strstr(fake_alarms[0].message, "it is restarted"));
    run_for(298000);
    assert_int_equal(fake_order_count(&fake, "restart"), 1);
    run_for(3000);
    assert_int_equal(fake_order_count(&fake, "restart"), 2);
    see(worker, REEVE_STATE_FAILED); // a restart would be refused
    run_for(301000);
    assert_int_equal(fake_order_count(&fake, "reset"), 1);
}

static void one_worker_is_not_restarted_again_because_its_type_is_large(void **state)
{
    (void)state;
    char name[32];
    policy()->on_unhealthy = HEALTH_ACTION_RESTART;
    for (int i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof name, "mm-%02d", i); /* short */
        (void)seen_worker(name);
    }
    see(fake_worker("alpha", "mm-00"), REEVE_STATE_RESTARTING);
    run_for(200000);
    assert_int_equal(fake_order_count(&fake, "restart"), 1);
}

static void at_most_a_tenth_of_a_type_is_acted_on_at_once(void **state)
{
    (void)state;
    char name[32];
    policy()->on_unhealthy = HEALTH_ACTION_RESTART;
    for (int i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof name, "mm-%02d", i); /* short */
        see(seen_worker(name), REEVE_STATE_RESTARTING);
    }
    struct fleet_worker *other = seen_worker("swap-1");
    other->info.type = "swap";
    see(other, REEVE_STATE_RESTARTING);
    run_for(60000);
    assert_int_equal(fake_order_count(&fake, "restart"), 5); // 4 of 40, and one of another type
    assert_int_equal(fake_alarms_len, 41);
    size_t explained = 0;
    for (size_t i = 0; i < fake_alarms_len; i++) {
        explained += strstr(fake_alarms[i].message, "nothing is done: 4 workers of its type") != NULL;
    }
    assert_int_equal(explained, 36);
    run_for(301000);
    assert_int_equal(fake_order_count(&fake, "restart"), 10);
}

static void who_must_not_be_touched_is_not(void **state)
{
    (void)state;
    policy()->on_unhealthy = HEALTH_ACTION_RESTART;
    struct fleet_worker *unsafe = seen_worker("mm-1");
    unsafe->info.safe_to_stop = false;
    unsafe->info.unsafe_reason = "an order is open";
    see(unsafe, REEVE_STATE_RESTARTING);
    run_for(40000);
    assert_int_equal(fake.orders_len, 0);
    assert_non_null(strstr(fake_alarms[0].message, "an order is open"));
    unsafe->info.safe_to_stop = true;
    fake_holds.shut_down = "mm-1";
    run_for(400000);
    fake_holds.shut_down = NULL;
    fake_holds.fleet_stopped = true;
    run_for(400000);
    fake_holds.fleet_stopped = false;
    fake_node("alpha")->info.liveness = REEVE_DEAD;
    run_for(400000);
    assert_int_equal(fake.orders_len, 0);
    fake_node("alpha")->info.liveness = REEVE_LIVE;
    run_for(1000);
    assert_int_equal(fake.orders_len, 1); // nothing is in the way any more
}

static void a_pool_is_asked_for_another_and_without_a_pool_it_is_restarted(void **state)
{
    (void)state;
    policy()->on_unhealthy = HEALTH_ACTION_REPLACE;
    see(seen_worker("mm-1"), REEVE_STATE_RESTARTING);
    run_for(31000);
    assert_int_equal(fake_replaced, 1);
    assert_int_equal(fake_order_count(&fake, "restart"), 1); // the stand-in has no pools
}

// ---- cost ---------------------------------------------------------------------------------------------------------------

static void a_tick_looks_at_a_tenth(void **state)
{
    (void)state;
    char name[32];
    fake_fleet_held = true;
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "mm-%04d", i); /* short */
        (void)seen_worker(name);
    }
    health_tick(health());
    assert_int_equal(health()->looks, 0);
    fake_fleet_held = false;
    health_tick(health()); // all of them once
    assert_int_equal(health_of(health(), "alpha", "mm-1999"), HEALTH_HEALTHY);
    uint64_t before = health()->looks;
    health_tick(health());
    assert_in_range(health()->looks - before, 200, 201);
    for (int i = 0; i < 10; i++) {
        health_tick(health());
    }
    assert_in_range(health()->looks - before, 2200, 2211);
    assert_true(sizeof(struct health_worker) <= 112); // what everybody costs; the rest only after something happened
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(health_is_known_at_once_and_touches_the_verdict_only_when_it_changes),
        TEST(a_check_it_declares_counts_as_soon_as_it_says_so),
        TEST(a_probe_is_found_by_the_cursor_and_forgotten_when_it_passes),
        TEST(the_rate_of_errors_is_of_the_window),
        TEST(progress_stands_still_only_with_a_job_in_hand),
        TEST(a_leak_is_seen_before_the_limit_is_reached),
        TEST(while_the_manager_is_cut_off_nothing_is_concluded),
        TEST(unhealthy_opens_after_its_time_and_closes_when_it_is_over),
        TEST(flapping_opens_at_six_changes_and_closes_at_half),
        TEST(a_node_that_comes_and_goes_makes_no_worker_flap),
        TEST(a_session_that_is_lost_again_and_again_flaps_as_well),
        TEST(a_crash_loop_is_open_until_it_is_over),
        TEST(restarts_before_we_looked_are_no_loop),
        TEST(who_is_stopped_or_forgotten_has_no_alarm),
        TEST(who_was_stopped_by_hand_does_not_go_on_flapping),
        TEST(an_alarm_of_a_former_manager_is_closed_when_it_is_over),
        TEST(a_worker_is_restarted_once_in_five_minutes),
        TEST(one_worker_is_not_restarted_again_because_its_type_is_large),
        TEST(at_most_a_tenth_of_a_type_is_acted_on_at_once),
        TEST(who_must_not_be_touched_is_not),
        TEST(a_pool_is_asked_for_another_and_without_a_pool_it_is_restarted),
        TEST(a_tick_looks_at_a_tenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
