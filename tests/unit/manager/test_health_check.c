// Each check below, at and above its threshold; levels; windows of time, rate and trend. Pure: no fleet, no clock.
// Must not: need anything but health_check.c and health_window.c.
#include "health_room.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct health_policy policy = {.memory_percent = 90,
                                            .memory_trend_ms = 600000,
                                            .progress_ms = 600000,
                                            .error_rate = 0.5,
                                            .error_window_ms = 300000,
                                            .error_jobs_min = 5,
                                            .flapping_changes = 6,
                                            .flapping_window_ms = 600000,
                                            .crash_loop_restarts = 5,
                                            .crash_loop_window_ms = 600000};
static struct fleet_worker_info info;
static struct health_facts facts;
static struct health_check checks[HEALTH_CHECKS_MAX];
static size_t len;

static int setup(void **state)
{
    (void)state;
    info = (struct fleet_worker_info){.node = "alpha", .name = "mm-1", .state = REEVE_STATE_RUNNING,
                                      .availability = REEVE_AVAILABILITY_IDLE, .supervised = true, .speaks = true,
                                      .wanted = true, .memory_bytes = -1, .memory_limit_bytes = -1};
    facts = (struct health_facts){.info = &info, .policy = &policy, .stalled_ms = -1};
    return 0;
}

static const struct health_check *check(const char *name)
{
    len = health_check_all(&facts, checks);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(checks[i].name, name) == 0) {
            return &checks[i];
        }
    }
    return NULL;
}

static enum health_level level(void)
{
    len = health_check_all(&facts, checks);
    return health_check_level(&facts, checks, len);
}

#define assert_ok(name)    assert_true(check(name) != NULL && check(name)->ok)
#define assert_fails(name) assert_true(check(name) != NULL && !check(name)->ok && check(name)->message[0] != '\0')
#define assert_none(name)  assert_null(check(name))

static void a_running_worker_is_healthy_with_heartbeat_process_and_restarts(void **state)
{
    (void)state;
    assert_ok("heartbeat");
    assert_ok("process");
    assert_ok("restarts");
    assert_int_equal(len, 3); // what nothing is known of does not apply
    assert_int_equal(level(), HEALTH_HEALTHY);
}

static void heartbeat_follows_the_session(void **state)
{
    (void)state;
    info.state = REEVE_STATE_LOST;
    assert_fails("heartbeat");
    assert_ok("process");
    assert_int_equal(level(), HEALTH_WARNING);
    info.speaks = false;
    assert_none("heartbeat");
}

static void a_process_that_is_missing_fails_only_when_it_is_to_run(void **state)
{
    (void)state;
    info.state = REEVE_STATE_RESTARTING;
    assert_fails("process");
    assert_fails("heartbeat");
    assert_int_equal(level(), HEALTH_UNHEALTHY);
    info.wanted = false;
    info.state = REEVE_STATE_STOPPED;
    assert_none("process");
    assert_none("heartbeat");
    assert_int_equal(level(), HEALTH_UNKNOWN);
}

static void who_is_on_its_way_or_out_of_sight_is_unknown(void **state)
{
    static const enum reeve_state states[] = {REEVE_STATE_CREATED, REEVE_STATE_STARTING, REEVE_STATE_STOPPING,
                                              REEVE_STATE_UNKNOWN};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(states); i++) {
        info.state = states[i];
        assert_int_equal(level(), HEALTH_UNKNOWN);
    }
}

static void restarts_fail_at_the_threshold_and_when_its_node_gave_up(void **state)
{
    (void)state;
    facts.restarts = 4;
    assert_ok("restarts");
    facts.restarts = 5;
    assert_fails("restarts");
    assert_true(check("restarts")->value == 5 && check("restarts")->threshold == 5);
    facts.restarts = 0;
    info.state = REEVE_STATE_FAILED;
    info.speaks = false; // process and restarts: two
    assert_fails("restarts");
    assert_int_equal(level(), HEALTH_UNHEALTHY);
}

static void flapping_shows_at_the_threshold(void **state)
{
    (void)state;
    facts.changes = 5;
    assert_none("flapping");
    facts.changes = 6;
    assert_fails("flapping");
}

static void memory_may_fill_its_share_and_no_more(void **state)
{
    (void)state;
    info.memory_limit_bytes = 1000;
    info.memory_bytes = 900;
    assert_ok("memory");
    info.memory_bytes = 901;
    assert_fails("memory");
    assert_true(fabs(check("memory")->value - 90.1) < 0.001);
    info.memory_limit_bytes = 0; // without a limit there is no share
    assert_none("memory");
}

static void a_trend_fails_when_the_limit_is_near_in_time(void **state)
{
    (void)state;
    info.memory_limit_bytes = 700000;
    info.memory_bytes = 100000;
    facts.memory_slope = 0.999; // 600,600 ms
    assert_ok("memory_trend");
    facts.memory_slope = 1; // 600,000 ms
    assert_fails("memory_trend");
    assert_true(check("memory_trend")->value == 600);
    facts.memory_slope = 0;
    assert_none("memory_trend");
}

static void progress_fails_when_it_stands_still_with_a_job_in_hand(void **state)
{
    (void)state;
    assert_none("progress");
    facts.stalled_ms = 599999;
    assert_ok("progress");
    facts.stalled_ms = 600000;
    assert_fails("progress");
}

static void errors_fail_at_their_rate_and_only_with_enough_jobs(void **state)
{
    (void)state;
    facts.failed = 4;
    assert_none("errors");
    facts.failed = 5;
    assert_fails("errors");
    facts.done = 6;
    assert_ok("errors"); // 5 of 11
    facts.done = 5;
    assert_fails("errors"); // a half
    assert_true(check("errors")->value == 0.5);
}

static void what_is_switched_off_does_not_apply(void **state)
{
    (void)state;
    static const struct health_policy off = {0};
    facts.policy = &off;
    facts.restarts = facts.changes = facts.failed = 1000;
    facts.stalled_ms = INT64_MAX;
    facts.memory_slope = 1e9;
    info.memory_limit_bytes = 1;
    info.memory_bytes = 1000;
    assert_int_equal(level(), HEALTH_HEALTHY);
    assert_int_equal(len, 2); // heartbeat and process
}

static struct reeve_value *declared(const char *name, bool ok)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "name", name);
    reeve_put_bool(map, "ok", ok);
    assert_int_equal(reeve_value_put(map, "value", reeve_value_float(12.5)), REEVE_OK);
    assert_int_equal(reeve_value_put(map, "fail", reeve_value_int(10)), REEVE_OK);
    return map;
}

static void declared_checks_and_probes_count_like_others(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO domain = reeve_value_list();
    REEVE_VALUE_AUTO probes = reeve_value_list();
    assert_int_equal(reeve_value_add(domain, declared("quotes", false)), REEVE_OK);
    assert_int_equal(reeve_value_add(domain, declared("margin", true)), REEVE_OK);
    facts.domain = domain;
    assert_fails("check.quotes");
    assert_ok("check.margin");
    assert_true(check("check.quotes")->value == 12.5 && check("check.quotes")->threshold == 10);
    assert_int_equal(level(), HEALTH_WARNING);
    assert_int_equal(reeve_value_add(probes, declared("web", false)), REEVE_OK);
    facts.probes = probes;
    assert_fails("probe.web");
    assert_int_equal(level(), HEALTH_UNHEALTHY);
    info.state = REEVE_STATE_RESTARTING; // they were of a process that is no more
    assert_none("check.quotes");
    assert_none("probe.web");
}

static void a_flood_of_declared_checks_is_cut(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO domain = reeve_value_list();
    for (int i = 0; i < 200; i++) {
        assert_int_equal(reeve_value_add(domain, i % 2 == 0 ? declared("x", false) : reeve_value_int(i)), REEVE_OK);
    }
    facts.domain = domain;
    (void)level();
    assert_int_equal(len, HEALTH_CHECKS_MAX);
}

static void as_a_record_each_has_value_threshold_and_message(void **state)
{
    (void)state;
    info.memory_limit_bytes = 1000;
    info.memory_bytes = 950;
    info.state = REEVE_STATE_LOST;
    (void)level();
    REEVE_VALUE_AUTO list = health_checks_value(checks, len);
    assert_int_equal(reeve_value_len(list), len);
    const struct reeve_value *heartbeat = reeve_value_at(list, 0);
    assert_string_equal(reeve_get_str(heartbeat, "name"), "heartbeat");
    assert_string_equal(reeve_get_str(heartbeat, "value"), "silent");
    assert_null(reeve_value_get(heartbeat, "threshold"));
    const struct reeve_value *memory = reeve_value_at(list, 3);
    assert_int_equal(reeve_get_int(memory, "value", 0), 95);
    assert_int_equal(reeve_get_int(memory, "threshold", 0), 90);
    assert_string_equal(reeve_get_str(memory, "message"), "its memory is above 90 % of its limit");
}

// ---- windows ------------------------------------------------------------------------------------------------------------

static void times_leave_the_window(void **state)
{
    (void)state;
    struct health_times times = {0};
    for (int i = 0; i < 6; i++) {
        health_times_add(&times, 1000000 + i * 60000);
    }
    assert_int_equal(health_times_within(&times, 600000, 1300000), 6);
    assert_int_equal(health_times_within(&times, 600000, 1599000), 6);
    assert_int_equal(health_times_within(&times, 600000, 1600000), 5);
    assert_int_equal(health_times_within(&times, 600000, 9000000), 0);
    for (int i = 0; i < 1000; i++) {
        health_times_add(&times, 9000000);
    }
    assert_int_equal(health_times_within(&times, 600000, 9000000), HEALTH_TIMES_MAX);
}

static void a_rate_forgets_tenth_by_tenth(void **state)
{
    (void)state;
    struct health_rate rate = {0};
    int64_t done, failed;
    health_rate_add(&rate, 10, 1, 300000, 900000);
    health_rate_add(&rate, 20, 2, 300000, 1100000);
    health_rate_sum(&rate, 300000, 1100000, &done, &failed);
    assert_int_equal(done, 30);
    assert_int_equal(failed, 3);
    health_rate_sum(&rate, 300000, 1200000, &done, &failed); // the first tenth is out, without anything new
    assert_int_equal(done, 20);
    assert_int_equal(failed, 2);
    health_rate_add(&rate, 5, 5, 300000, 1350000);
    health_rate_sum(&rate, 300000, 1350000, &done, &failed);
    assert_int_equal(done, 25);
    health_rate_add(&rate, 1, 0, 300000, 90000000); // after a long while everything is
    health_rate_sum(&rate, 300000, 90000000, &done, &failed);
    assert_int_equal(done, 1);
    assert_int_equal(failed, 0);
}

static void a_trend_is_a_line_through_enough_samples(void **state)
{
    (void)state;
    struct health_trend trend = {0};
    const int64_t limit = 1LL << 30;
    int64_t now = 5000000;
    int64_t every = health_trend_every_ms(600000);
    assert_int_equal(every, 15000);
    for (int i = 0; i < HEALTH_SAMPLES_MIN - 1; i++, now += every) {
        health_trend_add(&trend, (100LL << 20) + i * (15LL << 20), 600000, now);
    }
    assert_true(health_trend_slope(&trend, limit) == 0); // too few
    health_trend_add(&trend, (100LL << 20) + 5 * (15LL << 20), 600000, now);
    double per_s = health_trend_slope(&trend, limit) * 1000;
    assert_true(fabs(per_s - (1 << 20)) < 10000); // 1 MiB a second
    health_trend_add(&trend, 1, 600000, now + 1); // too soon: not taken
    assert_true(fabs(health_trend_slope(&trend, limit) * 1000 - per_s) < 1);
    for (int i = 0; i < 2 * HEALTH_SAMPLES; i++) { // flat for a while: the ring has only that
        now += every;
        health_trend_add(&trend, 200LL << 20, 600000, now);
    }
    assert_true(health_trend_slope(&trend, limit) == 0);
}

static void noise_and_shrinking_are_no_trend(void **state)
{
    (void)state;
    struct health_trend noise = {0}, shrinking = {0};
    for (int i = 0; i < HEALTH_SAMPLES; i++) {
        health_trend_add(&noise, (100LL << 20) + (i % 3) * 4096, 600000, 1000000 + i * 15000);
        health_trend_add(&shrinking, (500LL << 20) - i * (20LL << 20), 600000, 1000000 + i * 15000);
    }
    assert_true(health_trend_slope(&noise, 1LL << 30) == 0);
    assert_true(health_trend_slope(&shrinking, 1LL << 30) == 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_running_worker_is_healthy_with_heartbeat_process_and_restarts),
        TEST(heartbeat_follows_the_session),
        TEST(a_process_that_is_missing_fails_only_when_it_is_to_run),
        TEST(who_is_on_its_way_or_out_of_sight_is_unknown),
        TEST(restarts_fail_at_the_threshold_and_when_its_node_gave_up),
        TEST(flapping_shows_at_the_threshold),
        TEST(memory_may_fill_its_share_and_no_more),
        TEST(a_trend_fails_when_the_limit_is_near_in_time),
        TEST(progress_fails_when_it_stands_still_with_a_job_in_hand),
        TEST(errors_fail_at_their_rate_and_only_with_enough_jobs),
        TEST(what_is_switched_off_does_not_apply),
        TEST(declared_checks_and_probes_count_like_others),
        TEST(a_flood_of_declared_checks_is_cut),
        TEST(as_a_record_each_has_value_threshold_and_message),
        TEST(times_leave_the_window),
        TEST(a_rate_forgets_tenth_by_tenth),
        TEST(a_trend_is_a_line_through_enough_samples),
        TEST(noise_and_shrinking_are_no_trend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
