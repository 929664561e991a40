// The two clocks, their replacement, and wall time as text.
// Must not: sleep.
#include "cmocka_all.h"

#include <string.h>
#include <time.h>

#include <reeve/clock.h>

static int64_t fake_wall(void *arg)
{
    return *(int64_t *)arg;
}

static int64_t fake_mono(void *arg)
{
    return *(int64_t *)arg * 1000;
}

static void real_clocks_follow_the_system(void **state)
{
    (void)state;
    struct timespec before;
    struct timespec after;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &before), 0);
    int64_t ns = reeve_clock_mono_ns();
    int64_t ms = reeve_clock_mono_ms();
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &after), 0);
    assert_true(ns >= before.tv_sec * 1000000000LL + before.tv_nsec);
    assert_true(ns <= after.tv_sec * 1000000000LL + after.tv_nsec);
    assert_true(ms >= ns / 1000000 && ms <= after.tv_sec * 1000LL + after.tv_nsec / 1000000);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &before), 0);
    int64_t wall = reeve_clock_wall_ms();
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &after), 0);
    assert_true(wall >= before.tv_sec * 1000LL + before.tv_nsec / 1000000);
    assert_true(wall <= after.tv_sec * 1000LL + after.tv_nsec / 1000000);
}

static void a_test_can_replace_both(void **state)
{
    (void)state;
    int64_t now = 5000000;
    const struct reeve_clock fake = {.wall_ms = fake_wall, .mono_ns = fake_mono, .arg = &now};
    reeve_clock_set(&fake);
    assert_int_equal(reeve_clock_wall_ms(), 5000000);
    assert_true(reeve_clock_mono_ns() == INT64_C(5000000000));
    assert_int_equal(reeve_clock_mono_ms(), 5000);
    now = 6000000;
    assert_int_equal(reeve_clock_mono_ms(), 6000);
    reeve_clock_set(NULL);
    assert_true(reeve_clock_wall_ms() > INT64_C(1700000000000));
}

static void wall_time_is_shown_in_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {INT64_C(1795351578123), "2026-11-22T12:46:18.123Z"},
        {INT64_C(951782400005), "2000-02-29T00:00:00.005Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {INT64_MIN, "-292275055-05-16T16:47:04.192Z"},
        {INT64_MAX, "292278994-08-17T07:12:55.807Z"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char buf[REEVE_CLOCK_TEXT_LEN];
        assert_ptr_equal(reeve_clock_format(rows[i].ms, buf), buf);
        assert_string_equal(buf, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_clocks_follow_the_system),
        cmocka_unit_test(a_test_can_replace_both),
        cmocka_unit_test(wall_time_is_shown_in_utc_with_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
