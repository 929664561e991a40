// Restart policy and back-off: the schedule as documented, jitter, healthy time, the window, exit 125.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>

#include <reeve/lifecycle.h>

#include "dice.h"

static const struct reeve_backoff_policy preset = REEVE_BACKOFF_PRESET;
static const struct reeve_exit crash = {.code = 1, .ran_ms = 5};

#define NO_JITTER 0.5 // the dice's middle

static enum reeve_event next(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy, int64_t now,
                             int64_t *ret_delay_ms)
{
    *ret_delay_ms = -1;
    return reeve_backoff_next(backoff, policy, &crash, now, NO_JITTER, ret_delay_ms);
}

static void expect_again(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy, int64_t now,
                         int64_t want_ms)
{
    int64_t delay = 0;
    assert_int_equal(next(backoff, policy, now, &delay), REEVE_EVENT_EXIT_AGAIN);
    assert_int_equal(delay, want_ms);
}

static void expect_gave_up(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy, int64_t now)
{
    int64_t delay = 0;
    assert_int_equal(next(backoff, policy, now, &delay), REEVE_EVENT_EXIT_GAVE_UP);
    assert_int_equal(delay, 0);
}

static void the_preset_schedule_then_failed_then_afresh(void **state)
{
    (void)state;
    static const int64_t delays[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000};
    struct reeve_backoff backoff = {0};
    for (int round = 0; round < 2; round++) {
        int64_t now = 1000;
        for (size_t i = 0; i < REEVE_ARRAY_LEN(delays); i++) {
            expect_again(&backoff, &preset, now, delays[i]);
            assert_int_equal(backoff.failures, i + 1);
            now += delays[i] + 5;
        }
        expect_gave_up(&backoff, &preset, now);
        reeve_backoff_forget(&backoff); // reset starts afresh: the second round is the same
        assert_int_equal(backoff.failures, 0);
    }
}

static void factor_and_bound(void **state)
{
    (void)state;
    const struct reeve_backoff_policy policy = {.initial_ms = 1000, .max_ms = 10000, .factor = 3};
    struct reeve_backoff backoff = {0};
    expect_again(&backoff, &policy, 0, 1000);
    expect_again(&backoff, &policy, 0, 3000);
    expect_again(&backoff, &policy, 0, 9000);
    for (int i = 0; i < 1000; i++) {
        expect_again(&backoff, &policy, 0, 10000);
    }
}

static void odd_policies_stay_within_reason(void **state)
{
    (void)state;
    static const struct {
        struct reeve_backoff_policy policy;
        int64_t delay_ms;
    } cases[] = {
        {{.initial_ms = 0, .max_ms = 30000, .factor = 2, .jitter = 0.5}, 0},
        {{.initial_ms = -5, .max_ms = 30000, .factor = 2}, 0},
        {{.initial_ms = 100, .max_ms = 0, .factor = 2}, 0},
        {{.initial_ms = 500, .max_ms = 200, .factor = 2}, 200},
        {{.initial_ms = 500, .max_ms = 30000, .factor = 0.1}, 500},
        {{.initial_ms = 500, .max_ms = 30000, .factor = 1}, 500},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        struct reeve_backoff backoff = {0};
        for (int n = 0; n < 5; n++) {
            expect_again(&backoff, &cases[i].policy, 0, cases[i].delay_ms);
        }
    }
}

static void a_million_failures_overflow_nothing(void **state)
{
    (void)state;
    const struct reeve_backoff_policy policy = {.initial_ms = 1, .max_ms = INT64_C(1) << 52, .factor = 10};
    struct reeve_backoff backoff = {.failures = INT64_C(1) << 40};
    expect_again(&backoff, &policy, INT64_C(1) << 60, INT64_C(1) << 52);
}

static void jitter_stays_in_its_share(void **state)
{
    (void)state;
    struct dice dice = {dice_seed()};
    int64_t low = INT64_MAX;
    int64_t high = 0;
    for (int i = 0; i < 20000; i++) {
        struct reeve_backoff backoff = {0};
        int64_t delay = 0;
        const struct reeve_backoff_policy policy = {.initial_ms = 1000, .max_ms = 1000, .factor = 2, .jitter = 0.1};
        enum reeve_event event = reeve_backoff_next(&backoff, &policy, &crash, 0, dice_fraction(&dice), &delay);
        assert_int_equal(event, REEVE_EVENT_EXIT_AGAIN);
        low = delay < low ? delay : low;
        high = delay > high ? delay : high;
    }
    assert_in_range(low, 900, 910);
    assert_in_range(high, 1090, 1100); // also above max_ms
}

static void jitter_at_its_ends(void **state)
{
    (void)state;
    const struct reeve_backoff_policy policy = {.initial_ms = 1000, .max_ms = 1000, .factor = 2, .jitter = 1};
    struct reeve_backoff backoff = {0};
    int64_t delay = -1;
    assert_int_equal(reeve_backoff_next(&backoff, &policy, &crash, 0, 0, &delay), REEVE_EVENT_EXIT_AGAIN);
    assert_int_equal(delay, 0);
    assert_int_equal(reeve_backoff_next(&backoff, &policy, &crash, 0, 0.9999999, &delay), REEVE_EVENT_EXIT_AGAIN);
    assert_int_equal(delay, 2000);
}

static enum reeve_event end_after(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy,
                                  int64_t ran_ms, int64_t *ret_delay_ms)
{
    const struct reeve_exit end = {.code = 1, .ran_ms = ran_ms};
    return reeve_backoff_next(backoff, policy, &end, 0, NO_JITTER, ret_delay_ms);
}

static void a_healthy_run_forgets_what_was_before_it(void **state)
{
    (void)state;
    struct reeve_backoff backoff = {0};
    int64_t delay = 0;
    for (int i = 0; i < 10; i++) {
        expect_again(&backoff, &preset, 0, i < 8 ? 100 << i : i == 8 ? 25600 : 30000);
    }
    assert_int_equal(end_after(&backoff, &preset, preset.healthy_ms, &delay), REEVE_EVENT_EXIT_AGAIN);
    assert_int_equal(delay, 100); // its own end counts
    assert_int_equal(backoff.failures, 1);
    assert_int_equal(backoff.ends_len, 1); // and the window is empty but for it
    assert_int_equal(end_after(&backoff, &preset, preset.healthy_ms - 1, &delay), REEVE_EVENT_EXIT_AGAIN);
    assert_int_equal(delay, 200); // one ms short of healthy forgets nothing
}

static void without_a_healthy_time_nothing_is_forgotten(void **state)
{
    (void)state;
    struct reeve_backoff_policy policy = preset;
    policy.healthy_ms = 0;
    struct reeve_backoff backoff = {0};
    int64_t delay = 0;
    expect_again(&backoff, &policy, 0, 100);
    assert_int_equal(end_after(&backoff, &policy, INT64_MAX, &delay), REEVE_EVENT_EXIT_AGAIN);
    assert_int_equal(delay, 200);
}

static void the_window_moves(void **state)
{
    (void)state;
    const struct reeve_backoff_policy policy = {.factor = 1, .restarts_max = 3, .window_ms = 1000};
    struct reeve_backoff backoff = {0};
    expect_again(&backoff, &policy, 0, 0);
    expect_again(&backoff, &policy, 400, 0);
    expect_again(&backoff, &policy, 800, 0);
    struct reeve_backoff copy = backoff;
    expect_gave_up(&copy, &policy, 999);      // 0, 400 and 800 are in the window
    expect_again(&backoff, &policy, 1000, 0); // the end at 0 has left it
    expect_gave_up(&backoff, &policy, 1399);
}

static void without_a_limit_it_never_gives_up(void **state)
{
    (void)state;
    const struct reeve_backoff_policy policy = {.factor = 1, .restarts_max = 0, .window_ms = 1000000};
    struct reeve_backoff backoff = {0};
    for (int i = 0; i < 1000; i++) {
        expect_again(&backoff, &policy, i, 0);
    }
}

static void a_limit_beyond_the_ring_is_the_ring(void **state)
{
    (void)state;
    const struct reeve_backoff_policy policy = {.factor = 1, .restarts_max = 1000, .window_ms = 1000000};
    struct reeve_backoff backoff = {0};
    for (int i = 0; i < REEVE_BACKOFF_WINDOW_MAX; i++) {
        expect_again(&backoff, &policy, i, 0);
    }
    expect_gave_up(&backoff, &policy, REEVE_BACKOFF_WINDOW_MAX);
}

static void what_the_policy_says_of_an_end(void **state)
{
    (void)state;
    static const struct reeve_exit clean = {.code = 0};
    static const struct reeve_exit killed = {.code = -1, .signal = SIGKILL};
    static const struct reeve_exit terminated = {.code = -1, .signal = SIGTERM};
    static const struct reeve_exit oom = {.code = -1, .signal = SIGKILL, .oom = true};
    static const struct reeve_exit leave = {.code = 125};
    static const struct {
        enum reeve_restart_policy restart;
        const struct reeve_exit *end;
        enum reeve_event want;
    } cases[] = {
        {REEVE_RESTART_ALWAYS, &clean, REEVE_EVENT_EXIT_AGAIN},
        {REEVE_RESTART_ALWAYS, &crash, REEVE_EVENT_EXIT_AGAIN},
        {REEVE_RESTART_ALWAYS, &killed, REEVE_EVENT_EXIT_AGAIN},
        {REEVE_RESTART_ALWAYS, &leave, REEVE_EVENT_EXIT_FINAL},
        {REEVE_RESTART_ON_FAILURE, &clean, REEVE_EVENT_EXIT_FINAL},
        {REEVE_RESTART_ON_FAILURE, &crash, REEVE_EVENT_EXIT_AGAIN},
        {REEVE_RESTART_ON_FAILURE, &terminated, REEVE_EVENT_EXIT_AGAIN},
        {REEVE_RESTART_ON_FAILURE, &oom, REEVE_EVENT_EXIT_AGAIN},
        {REEVE_RESTART_ON_FAILURE, &leave, REEVE_EVENT_EXIT_FINAL},
        {REEVE_RESTART_NEVER, &clean, REEVE_EVENT_EXIT_FINAL},
        {REEVE_RESTART_NEVER, &crash, REEVE_EVENT_EXIT_FINAL},
        {REEVE_RESTART_NEVER, &oom, REEVE_EVENT_EXIT_FINAL},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        struct reeve_backoff_policy policy = preset;
        policy.restart = cases[i].restart;
        struct reeve_backoff backoff = {0};
        int64_t delay = -1;
        bool final = cases[i].want == REEVE_EVENT_EXIT_FINAL;
        assert_int_equal(reeve_backoff_next(&backoff, &policy, cases[i].end, 0, NO_JITTER, &delay), cases[i].want);
        assert_int_equal(delay, final ? 0 : 100);
        assert_int_equal(backoff.failures, final ? 0 : 1); // a final end leaves no trace
    }
}

static void clean_is_exit_0_and_nothing_else(void **state)
{
    (void)state;
    assert_true(reeve_exit_clean(&(struct reeve_exit){.code = 0}));
    assert_false(reeve_exit_clean(&(struct reeve_exit){.code = 1}));
    assert_false(reeve_exit_clean(&(struct reeve_exit){.code = -1, .signal = SIGTERM}));
    assert_false(reeve_exit_clean(&(struct reeve_exit){.code = 0, .signal = SIGTERM}));
    assert_false(reeve_exit_clean(&(struct reeve_exit){.code = 0, .oom = true}));
}

static void the_schedule_in_words(void **state)
{
    (void)state;
    static const struct {
        struct reeve_backoff_policy policy;
        const char *text;
    } cases[] = {
        {REEVE_BACKOFF_PRESET,
         "100ms 200ms 400ms 800ms 1s600ms 3s200ms 6s400ms 12s800ms 25s600ms 30s (+-10%), then failed "
         "after 10 in 10m, forgets after 10s"},
        {{.initial_ms = 1000, .max_ms = 10000, .factor = 3, .restart = REEVE_RESTART_ON_FAILURE},
         "on failure 1s 3s 9s 10s"},
        {{.initial_ms = 1000, .max_ms = 10000, .factor = 1}, "1s"},
        {{.initial_ms = 0, .max_ms = 10000, .factor = 2, .jitter = 0.1, .restarts_max = 5, .window_ms = 60000},
         "at once, then failed after 5 in 1m"},
        {{.initial_ms = 1000, .max_ms = 60000, .factor = 2, .restarts_max = 3, .window_ms = 60000},
         "1s 2s 4s, then failed after 3 in 1m"},
        {{.initial_ms = 1, .max_ms = 3600000, .factor = 2},
         "1ms 2ms 4ms 8ms 16ms 32ms 64ms 128ms 256ms 512ms 1s24ms 2s48ms ... 1h"},
        {{.initial_ms = 1, .max_ms = 3600000, .factor = 2, .restarts_max = 14, .window_ms = 60000},
         "1ms 2ms 4ms 8ms 16ms 32ms 64ms 128ms 256ms 512ms 1s24ms 2s48ms ... 8s192ms, then failed after 14 in 1m"},
        {{.restart = REEVE_RESTART_NEVER, .initial_ms = 100, .max_ms = 100, .factor = 1}, "never restarted"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        char buf[REEVE_BACKOFF_SCHEDULE_LEN];
        assert_string_equal(reeve_backoff_schedule(&cases[i].policy, buf, sizeof(buf)), cases[i].text);
    }
}

static void the_schedule_is_cut_at_the_buffer(void **state)
{
    (void)state;
    char buf[12];
    memset(buf, 'x', sizeof(buf));
    assert_string_equal(reeve_backoff_schedule(&preset, buf, 8), "100ms 2");
    assert_int_equal(buf[8], 'x');
}

// Random ends at random times: what comes out against a count over a plain list of all ends.
static void random_ends_follow_the_plain_count(void **state)
{
    (void)state;
    struct dice dice = {dice_seed()};
    for (int round = 0; round < 300; round++) {
        struct reeve_backoff_policy policy = preset;
        policy.restarts_max = 1 + dice_below(&dice, 12);
        policy.window_ms = 1 + dice_below(&dice, 5000);
        struct reeve_backoff backoff = {0};
        int64_t ends[200];
        size_t first = 0;
        int64_t now = 0;
        for (size_t i = 0; i < REEVE_ARRAY_LEN(ends); i++) {
            struct reeve_exit end = {.code = 1, .ran_ms = dice_below(&dice, 12000)};
            now += dice_below(&dice, 800);
            first = end.ran_ms >= policy.healthy_ms ? i : first;
            ends[i] = now;
            int64_t in_window = 0;
            for (size_t j = first; j <= i; j++) {
                in_window += ends[j] > now - policy.window_ms;
            }
            int64_t delay = 0;
            enum reeve_event event = reeve_backoff_next(&backoff, &policy, &end, now, dice_fraction(&dice), &delay);
            assert_int_equal(event == REEVE_EVENT_EXIT_GAVE_UP, in_window > policy.restarts_max);
            assert_int_equal(backoff.failures, i - first + 1);
            assert_true(delay <= 33000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_preset_schedule_then_failed_then_afresh),
        cmocka_unit_test(factor_and_bound),
        cmocka_unit_test(odd_policies_stay_within_reason),
        cmocka_unit_test(a_million_failures_overflow_nothing),
        cmocka_unit_test(jitter_stays_in_its_share),
        cmocka_unit_test(jitter_at_its_ends),
        cmocka_unit_test(a_healthy_run_forgets_what_was_before_it),
        cmocka_unit_test(without_a_healthy_time_nothing_is_forgotten),
        cmocka_unit_test(the_window_moves),
        cmocka_unit_test(without_a_limit_it_never_gives_up),
        cmocka_unit_test(a_limit_beyond_the_ring_is_the_ring),
        cmocka_unit_test(what_the_policy_says_of_an_end),
        cmocka_unit_test(clean_is_exit_0_and_nothing_else),
        cmocka_unit_test(the_schedule_in_words),
        cmocka_unit_test(the_schedule_is_cut_at_the_buffer),
        cmocka_unit_test(random_ends_follow_the_plain_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
