// The benchmark's life: site, loop, session, and waiting.
// Must not: measure; see measure_*.c.
#include "bench.h"

#include <reeve/clock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS 20 // how late a deadline or Ctrl-C may be noticed; too seldom to disturb

static void on_tick(struct reeve_timer *timer, void *arg)
{
    (void)arg;
    reeve_timer_start(timer, TICK_MS, 0);
}

static void on_signal(int number, void *arg)
{
    struct bench *bench = arg;
    bench->interrupted = bench->interrupted || number != SIGHUP;
}

enum reeve_err bench_start(struct bench *bench, const char *bin_dir, const char *parent_dir, struct reeve_why *why)
{
    bench->pulse_fd = -1;
    (void)snprintf(bench->site.bin_dir, sizeof(bench->site.bin_dir), "%s", bin_dir);
    if (uv_loop_init(&bench->loop) != 0) {
        return reeve_fail(why, REEVE_NOMEM, "no loop");
    }
    reeve_timer_init(&bench->loop, &bench->tick, on_tick, bench);
    reeve_timer_start(&bench->tick, 0, 0);
    enum reeve_err err = reeve_signals_new(&bench->loop, on_signal, bench, &bench->signals, why);
    return err == REEVE_OK ? site_start(&bench->site, parent_dir, why) : err;
}

enum reeve_err bench_start_node(struct bench *bench, struct reeve_why *why)
{
    enum reeve_err err = site_start_daemon(&bench->site, why);
    if (err == REEVE_OK) {
        err = pulses_open(bench, why);
    }
    return err == REEVE_OK ? control_open(bench, why) : err;
}

void bench_stop(struct bench *bench)
{
    control_close(bench);
    site_stop(&bench->site);
    pulses_close(bench);
    reeve_signals_free(bench->signals);
    reeve_timer_close(&bench->tick, NULL);
    reeve_loop_finish(&bench->loop);
}

struct watched *bench_watched(struct bench *bench, const char *name)
{
    for (size_t i = 0; i < bench->workers_len; i++) {
        if (strcmp(bench->workers[i].name, name) == 0) {
            return &bench->workers[i];
        }
    }
    if (bench->workers_len == WATCHED_MAX) {
        return NULL;
    }
    struct watched *worker = &bench->workers[bench->workers_len++];
    (void)snprintf(worker->name, sizeof(worker->name), "%s", name);
    return worker;
}

enum reeve_err bench_wait(struct bench *bench, bench_condition *condition, const void *arg, const char *what,
                          struct reeve_why *why)
{
    int64_t deadline_mono = reeve_clock_mono_ms() + DEADLINE_MS;
    while (!condition(bench, arg)) {
        if (bench->interrupted) {
            return reeve_fail(why, REEVE_CANCELLED, "interrupted");
        }
        if (bench->lost.text[0] != '\0') {
            return reeve_fail(why, REEVE_OFFLINE, "%s: %s", what, bench->lost.text);
        }
        if (reeve_clock_mono_ms() > deadline_mono) {
            return reeve_fail(why, REEVE_TIMEOUT, "not within %d s: %s", DEADLINE_MS / 1000, what);
        }
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    return REEVE_OK;
}
