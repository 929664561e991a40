// Timers, signals and the end of a loop.
// Must not sleep: every wait is a turn of the loop with a deadline.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <reeve/clock.h>
#include <reeve/loop.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct seen {
    int fired;
    int closed;
    uint64_t generation;
    int signal;
};

static void on_fire(struct reeve_timer *timer, void *arg)
{
    struct seen *seen = arg;
    seen->fired++;
    seen->generation = timer->generation;
}

static void on_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct seen *seen = arg;
    seen->closed++;
}

static void a_timer_fires_once_with_its_generation(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct seen seen = {0};
    struct reeve_timer timer;
    reeve_timer_init(&loop, &timer, on_fire, &seen);
    assert_false(reeve_timer_armed(&timer));
    reeve_timer_start(&timer, 10, 7);
    assert_true(reeve_timer_armed(&timer));
    int64_t begun_mono = reeve_clock_mono_ms();
    (void)uv_run(&loop, UV_RUN_DEFAULT); // ends: a timer that fired is no longer active
    assert_int_equal(seen.fired, 1);
    assert_int_equal(seen.generation, 7);
    assert_true(reeve_clock_mono_ms() - begun_mono >= 9);
    assert_false(reeve_timer_armed(&timer));
    reeve_timer_close(&timer, on_closed);
    reeve_loop_finish(&loop);
    assert_int_equal(seen.closed, 1);
}

static void starting_again_replaces_and_stop_prevents(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct seen seen = {0};
    struct reeve_timer timer;
    reeve_timer_init(&loop, &timer, on_fire, &seen);
    reeve_timer_start(&timer, 60000, 1);
    reeve_timer_start(&timer, -5, 2); // below zero is now
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(seen.fired, 1);
    assert_int_equal(seen.generation, 2);
    reeve_timer_start(&timer, 0, 3);
    reeve_timer_stop(&timer);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(seen.fired, 1);
    reeve_timer_close(&timer, NULL);
    reeve_loop_finish(&loop);
}

static void on_signal(int signal, void *arg)
{
    struct seen *seen = arg;
    seen->signal = signal;
}

static void signals_arrive_on_the_loop_and_sigpipe_is_ignored(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct seen seen = {0};
    struct reeve_signals *signals = NULL;
    struct reeve_why why = {0};
    assert_int_equal(reeve_signals_new(&loop, on_signal, &seen, &signals, &why), REEVE_OK);
    static const int all[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(all); i++) {
        seen.signal = 0;
        assert_int_equal(kill(getpid(), all[i]), 0);
        while (seen.signal == 0) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_int_equal(seen.signal, all[i]);
    }
    assert_int_equal(kill(getpid(), SIGPIPE), 0); // would end the process
    reeve_signals_free(signals);
    reeve_signals_free(NULL);
    reeve_loop_finish(&loop);
}

static void finish_closes_what_was_left_open(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct seen seen = {0};
    struct reeve_timer timer;
    reeve_timer_init(&loop, &timer, on_fire, &seen);
    reeve_timer_start(&timer, 60000, 1);
    reeve_loop_finish(&loop);
    assert_int_equal(seen.fired, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_once_with_its_generation),
        cmocka_unit_test(starting_again_replaces_and_stop_prevents),
        cmocka_unit_test(signals_arrive_on_the_loop_and_sigpipe_is_ignored),
        cmocka_unit_test(finish_closes_what_was_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
