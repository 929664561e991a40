// How long a worker's start, end and restart take through a real shim, and what a shim costs in memory. JSON on stdout.
// usage: bench-run [rounds]
// Must not: be a timed test; machines are shared and only ratios mean something.
#include <limits.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "shim/sweep.h"

#define ROUNDS_MAX 10000
#define SHIMS      50
#define SETTLE_MS  300

struct bench {
    uv_loop_t loop;
    struct run_host host;
    char dir[PATH_MAX - 64];
    char log_dir[PATH_MAX];
    int started;
    int ended;
    pid_t pid;
    int64_t run;
};

struct series {
    int64_t ns[ROUNDS_MAX];
    int len;
};

static void on_started(struct run *run, pid_t pid, uint64_t start_time, void *arg)
{
    struct bench *bench = arg;
    (void)run;
    (void)start_time;
    bench->pid = pid;
    bench->started++;
}

static void on_ended(struct run *run, const struct run_outcome *outcome, void *arg)
{
    struct bench *bench = arg;
    (void)outcome;
    bench->ended++;
    run_forget(&bench->host, "w", run_number(run));
}

static const struct run_handlers handlers = {.started = on_started, .ended = on_ended};

static void wait_for(struct bench *bench, const int *counter, int wanted)
{
    while (*counter < wanted) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
}

static struct run *start(struct bench *bench)
{
    static const char *const argv[] = {"/bin/sleep", "1000", NULL};
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct reeve_why why = {0};
    struct run *run = NULL;
    const struct run_plan plan = {.worker = "w",
                                  .run = ++bench->run,
                                  .argv = argv,
                                  .env = env,
                                  .uid = (uid_t)-1,
                                  .gid = (gid_t)-1,
                                  .stop_signal = SIGTERM,
                                  .stop_grace_ms = 1000,
                                  .log_bytes_max = 1 << 20,
                                  .log_files_max = 2,
                                  .log_dir = bench->log_dir};
    if (run_start(&bench->host, &plan, bench, &run, &why) != REEVE_OK) {
        (void)fprintf(stderr, "bench-run: %s\n", why.text);
        exit(1);
    }
    return run;
}

static int compare(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void print_series(const char *name, struct series *series)
{
    qsort(series->ns, (size_t)series->len, sizeof(series->ns[0]), compare);
    (void)printf("  \"%s\": {\"p50_us\": %lld, \"p99_us\": %lld, \"max_us\": %lld},\n", name,
                 (long long)series->ns[series->len / 2] / 1000, (long long)series->ns[series->len * 99 / 100] / 1000,
                 (long long)series->ns[series->len - 1] / 1000);
}

static void time_restarts(struct bench *bench, int rounds)
{
    static struct series call;
    static struct series start_to_started;
    static struct series kill_to_ended;
    static struct series kill_to_new_pid;
    (void)start(bench);
    wait_for(bench, &bench->started, 1);
    for (int i = 0; i < rounds; i++) {
        const int64_t killed = reeve_clock_mono_ns();
        (void)kill(bench->pid, SIGKILL);
        wait_for(bench, &bench->ended, bench->ended + 1);
        const int64_t ended = reeve_clock_mono_ns();
        (void)start(bench);
        const int64_t returned = reeve_clock_mono_ns();
        wait_for(bench, &bench->started, bench->started + 1);
        const int64_t started = reeve_clock_mono_ns();
        kill_to_ended.ns[kill_to_ended.len++] = ended - killed;
        call.ns[call.len++] = returned - ended;
        start_to_started.ns[start_to_started.len++] = started - ended;
        kill_to_new_pid.ns[kill_to_new_pid.len++] = started - killed;
    }
    (void)kill(bench->pid, SIGKILL);
    wait_for(bench, &bench->ended, bench->ended + 1);
    (void)printf("  \"rounds\": %d,\n", rounds);
    print_series("run_start_call", &call);
    print_series("start_to_started", &start_to_started);
    print_series("kill_to_ended", &kill_to_ended);
    print_series("kill_to_new_pid", &kill_to_new_pid);
}

static void stop_loop(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static long pss_kb(pid_t pid)
{
    char path[64];
    char text[2048];
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (sweep_read(path, text, sizeof(text)) <= 0) {
        return -1;
    }
    const char *line = strstr(text, "\nPss:");
    return line == NULL ? -1 : strtol(line + 5, NULL, 10);
}

static long shim_pss_kb(const struct bench *bench)
{
    struct sweep_stat stat;
    return sweep_stat(bench->pid, &stat) ? pss_kb(stat.ppid) : -1;
}

// A shim gives memory back right after it has said `started`.
static void settle(struct bench *bench)
{
    uv_timer_t timer;
    (void)uv_timer_init(&bench->loop, &timer);
    (void)uv_timer_start(&timer, stop_loop, SETTLE_MS, 0);
    (void)uv_run(&bench->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&bench->loop, UV_RUN_NOWAIT);
}

static void measure_memory(struct bench *bench)
{
    struct run *runs[SHIMS];
    const int ended = bench->ended;
    int started = bench->started;
    long alone = 0;
    for (int i = 0; i < SHIMS; i++) {
        runs[i] = start(bench);
        wait_for(bench, &bench->started, ++started);
        if (i == 0) {
            settle(bench);
            alone = shim_pss_kb(bench);
        }
    }
    settle(bench);
    (void)printf("  \"shim_pss_kb_alone\": %ld,\n  \"shim_pss_kb_of_%d\": %ld\n", alone, SHIMS, shim_pss_kb(bench));
    for (int i = 0; i < SHIMS; i++) {
        run_kill(runs[i]);
    }
    wait_for(bench, &bench->ended, ended + SHIMS);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const int rounds = argc > 1 ? atoi(argv[1]) : 200;
    (void)snprintf(bench.dir, sizeof(bench.dir), "/tmp/reeve-bench-XXXXXX");
    if (rounds < 1 || rounds > ROUNDS_MAX || mkdtemp(bench.dir) == NULL || uv_loop_init(&bench.loop) != 0) {
        (void)fprintf(stderr, "usage: bench-run [rounds]\n");
        return 2;
    }
    (void)snprintf(bench.log_dir, sizeof(bench.log_dir), "%s/logs/w", bench.dir);
    bench.host =
        (struct run_host){.loop = &bench.loop, .state_dir = bench.dir, .shim_path = SHIM_PATH, .handlers = &handlers};
    (void)printf("{\n");
    time_restarts(&bench, rounds);
    measure_memory(&bench);
    (void)printf("}\n");
    (void)reeve_dir_remove(bench.dir, NULL); // a temporary folder
    return 0;
}
