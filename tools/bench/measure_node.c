// The timed steps: one start, one restart, one last will, a crowd, the CLI.
// Must not: tell a number that was not seen to be true; every round's process is looked at, and counted.
#include "child.h"
#include "machine.h"
#include "measure.h"

#include <errno.h>
#include <reeve/clock.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ONE   "one" // tells when it runs
#define SDK   "sdk" // reeve-worker-probe
#define TYPE  "crowd"
#define NS_MS 1e-6

#define MS(id, goal_ms, text)                                                                                          \
    {                                                                                                                  \
        .name = id, .what = text, .unit = "ms", .scale = NS_MS, .goal = goal_ms                                        \
    }
static struct series spawn =
    MS("spawn", 0, "posix_spawn() of the worker by this program -> its first instruction: the floor");
static struct series start_record = MS("start", 10, "start command published -> `process` says running");
static struct series start_pulse = MS("start_worker", 0, "start command published -> first instruction of the worker");
static struct series start_done = MS("start_done", 0, "start command published -> reply `done`");
static struct series stop_done = MS("stop_done", 0, "stop command published -> reply `done`: the process is gone");
static struct series restart_pulse = MS("restart", 4, "SIGKILL -> first instruction of the new process, no back-off");
static struct series restart_record = MS("restart_record", 4, "SIGKILL -> `process` names the new pid, no back-off");
static struct series lwt = MS("lwt", 5, "SIGKILL of an SDK worker -> its `lwt` at a subscriber");
static struct series sdk_back = MS("sdk_back", 0, "SIGKILL of an SDK worker -> `status` of its next session");
static struct series crowd_up =
    MS("start_100", 250, "one start command for 100 -> reply `done` and all `process` say running");
static struct series crowd_pulse =
    MS("start_100_workers", 0, "one start command for 100 -> first instruction of the last worker");
static struct series crowd_down =
    MS("stop_100", 250, "one stop command for 100 -> reply `done` and all `process` say stopped");
static struct series cli_start = MS("cli_start", 0, "`reeve start` as a whole process");
static struct series cli_stop = MS("cli_stop", 20, "`reeve stop` as a whole process");

// ---- what was seen ------------------------------------------------------------------------------------------

// Processes that were alive when they were said to run.
struct processes {
    size_t len;
    struct {
        pid_t pid;
        uint64_t start_time;
    } items[SERIES_MAX];
};
static struct processes seen; // of one step at a time

static bool saw(const struct processes *processes, pid_t pid, uint64_t start_time)
{
    for (size_t i = 0; i < processes->len; i++) {
        if (processes->items[i].pid == pid && processes->items[i].start_time == start_time) {
            return true;
        }
    }
    return false;
}

// Counts the worker's process if it is alive, is who says so itself, and was not counted before.
static void see(struct processes *processes, const struct watched *worker)
{
    uint64_t start_time = machine_start_time(worker->pid);
    bool true_pid = worker->pulse_pid == 0 || worker->pulse_pid == worker->pid;
    if (start_time != 0 && true_pid && processes->len < SERIES_MAX && !saw(processes, worker->pid, start_time)) {
        processes->items[processes->len].pid = worker->pid;
        processes->items[processes->len++].start_time = start_time;
    }
}

static size_t count_alive(const struct processes *processes)
{
    size_t alive = 0;
    for (size_t i = 0; i < processes->len; i++) {
        alive += machine_start_time(processes->items[i].pid) == processes->items[i].start_time ? 1 : 0;
    }
    return alive;
}

// ---- conditions -----------------------------------------------------------------------------------------------

struct newer {
    const struct watched *worker;
    int64_t run;        // above this
    bool pulses;        // the worker also says it itself
    pid_t before_pulse; // of the run before
};

static bool is_running(struct bench *bench, const void *arg)
{
    const struct newer *newer = arg;
    const struct watched *worker = newer->worker;
    (void)bench;
    return worker->run > newer->run && strcmp(worker->state, "running") == 0 && worker->pid != 0 &&
           (!newer->pulses || worker->pulse_pid == worker->pid);
}

static bool is_stopped(struct bench *bench, const void *arg)
{
    (void)bench;
    return strcmp(((const struct watched *)arg)->state, "stopped") == 0;
}

static enum reeve_err await_run(struct bench *bench, const struct watched *worker, int64_t run, struct reeve_why *why)
{
    const struct newer newer = {.worker = worker, .run = run, .pulses = strcmp(worker->name, SDK) != 0};
    return bench_wait(bench, is_running, &newer, "a new run is running", why);
}

static enum reeve_err start_one(struct bench *bench, const struct watched *worker, struct order *order,
                                struct reeve_why *why)
{
    int64_t run = worker->run;
    enum reeve_err err = control_send(bench, worker->name, "start", NULL, order, why);
    if (err == REEVE_OK) {
        err = control_await(bench, order, "start", why);
    }
    return err == REEVE_OK ? await_run(bench, worker, run, why) : err;
}

static enum reeve_err stop_one(struct bench *bench, const struct watched *worker, struct order *order,
                               struct reeve_why *why)
{
    enum reeve_err err = control_send(bench, worker->name, "stop", NULL, order, why);
    if (err == REEVE_OK) {
        err = control_await(bench, order, "stop", why);
    }
    return err == REEVE_OK ? bench_wait(bench, is_stopped, worker, "the worker is stopped", why) : err;
}

// ---- workers ----------------------------------------------------------------------------------------------------

static struct reeve_value *worker_spec(const char *name, const char *const command[])
{
    struct reeve_value *spec = reeve_value_map();
    struct reeve_value *argv = reeve_value_list();
    struct reeve_value *restart = reeve_value_map();
    for (size_t i = 0; command[i] != NULL; i++) {
        (void)reeve_value_add(argv, reeve_value_str(command[i])); // reeve_value_built()
    }
    reeve_put_str(restart, "initial", "0");
    reeve_put_int(restart, "limit", 0);
    reeve_put_str(spec, "name", name);
    reeve_put_str(spec, "desired", "stopped");
    (void)reeve_value_put(spec, "command", argv);    // reeve_value_built()
    (void)reeve_value_put(spec, "restart", restart); // as above
    return spec;
}

static const char *crowd_name(int number, char name[REEVE_NAME_SIZE])
{
    (void)snprintf(name, REEVE_NAME_SIZE, TYPE "-%03d", number);
    return name;
}

struct watched *crowd_member(struct bench *bench, int number)
{
    char name[REEVE_NAME_SIZE];
    return bench_watched(bench, crowd_name(number, name));
}

static bool all_known(struct bench *bench, const void *arg)
{
    size_t known = 0;
    (void)arg;
    for (size_t i = 0; i < bench->workers_len; i++) {
        known += bench->workers[i].state[0] != '\0' ? 1 : 0;
    }
    return known == CROWD + 2;
}

static enum reeve_err define_workers(struct bench *bench, struct report *report, struct reeve_why *why)
{
    char program[SITE_PATH_SIZE], socket[SITE_PATH_SIZE], probe[SITE_PATH_SIZE], name[REEVE_NAME_SIZE];
    struct reeve_value *args = reeve_value_map();
    struct reeve_value *workers = reeve_value_list();
    (void)report;
    (void)site_program(&bench->site, "reeve-bench-pulse", program);
    (void)site_program(&bench->site, "reeve-worker-probe", probe);
    (void)site_path(&bench->site, "pulse", socket);
    (void)reeve_value_add(workers, worker_spec(ONE, (const char *const[]){program, socket, ONE, NULL})); // ..._built()
    (void)reeve_value_add(workers, worker_spec(SDK, (const char *const[]){probe, NULL}));                // as above
    for (int i = 0; i < CROWD; i++) {
        struct reeve_value *spec = worker_spec(crowd_name(i, name), (const char *const[]){program, socket, name, NULL});
        reeve_put_str(spec, "type", TYPE);
        (void)reeve_value_add(workers, spec); // as above
    }
    (void)reeve_value_put(args, "workers", workers); // as above
    enum reeve_err err = control_do(bench, NULL, "apply", args, why);
    return err == REEVE_OK ? bench_wait(bench, all_known, NULL, "all workers are known", why) : err;
}

// ---- the floor ----------------------------------------------------------------------------------------------------

static bool pulsed_as(struct bench *bench, const void *arg)
{
    return bench_watched(bench, ONE)->pulse_pid == *(const pid_t *)arg;
}

static enum reeve_err spawn_round(struct bench *bench, char *const argv[], struct reeve_why *why)
{
    static char *const no_env[] = {NULL};
    pid_t pid = 0;
    int64_t begun_ns = reeve_clock_mono_ns();
    errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, no_env);
    if (errno != 0) {
        return reeve_fail_errno(why, "%s", argv[0]);
    }
    enum reeve_err err = bench_wait(bench, pulsed_as, &pid, "the spawned worker runs", why);
    series_add(&spawn, bench_watched(bench, ONE)->pulse_ns - begun_ns);
    child_stop(&pid, DEADLINE_MS);
    return err;
}

// What no supervisor can go below for one process. A start has two: the shim and the worker.
static enum reeve_err measure_spawn(struct bench *bench, struct report *report, struct reeve_why *why)
{
    char program[SITE_PATH_SIZE], socket[SITE_PATH_SIZE], name[] = ONE;
    (void)site_program(&bench->site, "reeve-bench-pulse", program);
    (void)site_path(&bench->site, "pulse", socket);
    enum reeve_err err = REEVE_OK;
    for (int i = 0; i < report->rounds && err == REEVE_OK; i++) {
        err = spawn_round(bench, (char *const[]){program, socket, name, NULL}, why);
    }
    report_series(report, &spawn);
    return err;
}

// ---- one --------------------------------------------------------------------------------------------------------

static enum reeve_err measure_start(struct bench *bench, struct report *report, struct reeve_why *why)
{
    const struct watched *one = bench_watched(bench, ONE);
    struct order order;
    int64_t gone = 0;
    seen.len = 0;
    for (int i = 0; i < report->rounds; i++) {
        enum reeve_err err = start_one(bench, one, &order, why);
        if (err != REEVE_OK) {
            return err;
        }
        series_add(&start_record, one->record_ns - order.sent_ns);
        series_add(&start_pulse, one->pulse_ns - order.sent_ns);
        series_add(&start_done, order.over_ns - order.sent_ns);
        see(&seen, one);
        pid_t pid = one->pid;
        err = stop_one(bench, one, &order, why);
        if (err != REEVE_OK) {
            return err;
        }
        series_add(&stop_done, order.over_ns - order.sent_ns);
        gone += machine_start_time(pid) == 0 ? 1 : 0;
    }
    report_check(report, "start_processes", (int64_t)seen.len, report->rounds);
    report_check(report, "stop_gone", gone, report->rounds);
    report_series(report, &start_record);
    report_series(report, &start_pulse);
    report_series(report, &start_done);
    report_series(report, &stop_done);
    return REEVE_OK;
}

static enum reeve_err kill_rounds(struct bench *bench, const struct watched *one, int rounds, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    see(&seen, one);
    for (int i = 0; i < rounds && err == REEVE_OK; i++) {
        int64_t run = one->run;
        int64_t killed_ns = reeve_clock_mono_ns();
        (void)kill(one->pid, SIGKILL); // a failure shows as a run that never comes
        err = await_run(bench, one, run, why);
        if (err == REEVE_OK) {
            series_add(&restart_pulse, one->pulse_ns - killed_ns);
            series_add(&restart_record, one->record_ns - killed_ns);
            see(&seen, one);
        }
    }
    return err;
}

static enum reeve_err measure_restart(struct bench *bench, struct report *report, struct reeve_why *why)
{
    const struct watched *one = bench_watched(bench, ONE);
    struct order order;
    seen.len = 0;
    enum reeve_err err = start_one(bench, one, &order, why);
    if (err == REEVE_OK) {
        err = kill_rounds(bench, one, report->rounds, why);
    }
    if (err == REEVE_OK) {
        report_check(report, "restart_processes", (int64_t)seen.len, report->rounds + 1);
        report_check(report, "restart_alive", (int64_t)count_alive(&seen), 1);
        report_series(report, &restart_pulse);
        report_series(report, &restart_record);
        err = stop_one(bench, one, &order, why);
    }
    return err;
}

// ---- an SDK worker ----------------------------------------------------------------------------------------------

static bool is_online(struct bench *bench, const void *arg)
{
    const struct watched *worker = arg;
    (void)bench;
    return worker->online && worker->epoch > worker->dead_epoch && strcmp(worker->state, "running") == 0;
}

struct above {
    const struct watched *worker;
    uint64_t epoch;
    int64_t run; // its session may be known before its process is: the pid would be the one before
};

// By the epoch that was killed: will and next session may arrive in one turn of the loop.
static bool is_dead(struct bench *bench, const void *arg)
{
    const struct above *above = arg;
    (void)bench;
    return above->worker->dead_epoch >= above->epoch;
}

static bool is_back(struct bench *bench, const void *arg)
{
    const struct above *above = arg;
    return above->worker->epoch > above->epoch && above->worker->run > above->run && is_online(bench, above->worker);
}

static enum reeve_err lwt_round(struct bench *bench, const struct watched *sdk, int64_t *deaths, struct reeve_why *why)
{
    const struct above above = {.worker = sdk, .epoch = sdk->epoch, .run = sdk->run};
    int64_t killed_ns = reeve_clock_mono_ns();
    (void)kill(sdk->pid, SIGKILL); // a failure shows as a will that never comes
    enum reeve_err err = bench_wait(bench, is_dead, &above, "the last will arrives", why);
    if (err != REEVE_OK) {
        return err;
    }
    *deaths += sdk->dead_epoch == above.epoch ? 1 : 0;
    series_add(&lwt, sdk->dead_ns - killed_ns);
    err = bench_wait(bench, is_back, &above, "its next session is online", why);
    if (err == REEVE_OK) {
        series_add(&sdk_back, sdk->online_ns - killed_ns);
        see(&seen, sdk);
    }
    return err;
}

static enum reeve_err measure_lwt(struct bench *bench, struct report *report, struct reeve_why *why)
{
    const struct watched *sdk = bench_watched(bench, SDK);
    struct order order;
    int64_t deaths = 0;
    seen.len = 0;
    enum reeve_err err = start_one(bench, sdk, &order, why);
    if (err == REEVE_OK) {
        err = bench_wait(bench, is_online, sdk, "the SDK worker is online", why);
    }
    for (int i = 0; i < report->rounds && err == REEVE_OK; i++) {
        err = lwt_round(bench, sdk, &deaths, why);
    }
    if (err == REEVE_OK) {
        report_check(report, "lwt_epochs", deaths, report->rounds);
        report_check(report, "lwt_processes", (int64_t)seen.len, report->rounds);
        report_series(report, &lwt);
        report_series(report, &sdk_back);
        err = stop_one(bench, sdk, &order, why);
    }
    return err;
}

// ---- a crowd ----------------------------------------------------------------------------------------------------

static bool crowd_runs(struct bench *bench, const void *arg)
{
    const int64_t *runs = arg;
    for (int i = 0; i < CROWD; i++) {
        const struct newer newer = {.worker = crowd_member(bench, i), .run = runs[i], .pulses = true};
        if (!is_running(bench, &newer)) {
            return false;
        }
    }
    return true;
}

static bool crowd_rests(struct bench *bench, const void *arg)
{
    (void)arg;
    for (int i = 0; i < CROWD; i++) {
        if (!is_stopped(bench, crowd_member(bench, i))) {
            return false;
        }
    }
    return true;
}

static enum reeve_err crowd_do(struct bench *bench, const char *op, bench_condition *condition, const void *arg,
                               struct order *order, struct reeve_why *why)
{
    struct reeve_value *args = reeve_value_map();
    reeve_put_str(args, "type", TYPE);
    enum reeve_err err = control_send(bench, NULL, op, args, order, why);
    if (err == REEVE_OK) {
        err = control_await(bench, order, op, why);
    }
    return err == REEVE_OK ? bench_wait(bench, condition, arg, "all of the crowd", why) : err;
}

static int64_t last_record_ns(struct bench *bench, int64_t at_least)
{
    for (int i = 0; i < CROWD; i++) {
        int64_t ns = crowd_member(bench, i)->record_ns;
        at_least = ns > at_least ? ns : at_least;
    }
    return at_least;
}

enum reeve_err crowd_start(struct bench *bench, int64_t *ret_ns, int64_t *ret_pulse_ns, struct reeve_why *why)
{
    int64_t runs[CROWD];
    struct order order;
    for (int i = 0; i < CROWD; i++) {
        runs[i] = crowd_member(bench, i)->run;
    }
    enum reeve_err err = crowd_do(bench, "start", crowd_runs, runs, &order, why);
    if (err != REEVE_OK) {
        return err;
    }
    *ret_ns = last_record_ns(bench, order.over_ns) - order.sent_ns;
    *ret_pulse_ns = 0;
    for (int i = 0; i < CROWD; i++) {
        int64_t ns = crowd_member(bench, i)->pulse_ns - order.sent_ns;
        *ret_pulse_ns = ns > *ret_pulse_ns ? ns : *ret_pulse_ns;
    }
    return REEVE_OK;
}

enum reeve_err crowd_stop(struct bench *bench, int64_t *ret_ns, struct reeve_why *why)
{
    struct order order;
    enum reeve_err err = crowd_do(bench, "stop", crowd_rests, NULL, &order, why);
    if (err == REEVE_OK) {
        *ret_ns = last_record_ns(bench, order.over_ns) - order.sent_ns;
    }
    return err;
}

static enum reeve_err measure_crowd(struct bench *bench, struct report *report, struct reeve_why *why)
{
    int64_t alive = 0, left = 0, ns = 0, pulse_ns = 0;
    for (int round = 0; round < report->crowd_rounds; round++) {
        enum reeve_err err = crowd_start(bench, &ns, &pulse_ns, why);
        if (err != REEVE_OK) {
            return err;
        }
        series_add(&crowd_up, ns);
        series_add(&crowd_pulse, pulse_ns);
        seen.len = 0;
        for (int i = 0; i < CROWD; i++) {
            see(&seen, crowd_member(bench, i));
        }
        alive += (int64_t)seen.len;
        err = crowd_stop(bench, &ns, why);
        if (err != REEVE_OK) {
            return err;
        }
        series_add(&crowd_down, ns);
        left += (int64_t)count_alive(&seen);
    }
    report_check(report, "start_100_processes", alive, (int64_t)report->crowd_rounds * CROWD);
    report_check(report, "stop_100_left", left, 0);
    report_series(report, &crowd_up);
    report_series(report, &crowd_pulse);
    report_series(report, &crowd_down);
    return REEVE_OK;
}

// ---- the CLI ----------------------------------------------------------------------------------------------------

static enum reeve_err time_cli(struct bench *bench, const char *op, struct series *series, struct reeve_why *why)
{
    char program[SITE_PATH_SIZE];
    (void)site_program(&bench->site, "reeve", program);
    const char *const argv[] = {program, op, "--site", bench->site.dir, ONE, NULL};
    int64_t begun_ns = reeve_clock_mono_ns();
    enum reeve_err err = child_run(argv, NULL, STDERR_FILENO, why);
    series_add(series, reeve_clock_mono_ns() - begun_ns);
    return err;
}

static enum reeve_err cli_round(struct bench *bench, const struct watched *one, int64_t *gone, struct reeve_why *why)
{
    int64_t run = one->run;
    enum reeve_err err = time_cli(bench, "start", &cli_start, why);
    if (err == REEVE_OK) {
        err = await_run(bench, one, run, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    see(&seen, one);
    pid_t pid = one->pid;
    err = time_cli(bench, "stop", &cli_stop, why);
    *gone += machine_start_time(pid) == 0 ? 1 : 0;
    return err == REEVE_OK ? bench_wait(bench, is_stopped, one, "the worker is stopped", why) : err;
}

static enum reeve_err measure_cli(struct bench *bench, struct report *report, struct reeve_why *why)
{
    char program[SITE_PATH_SIZE];
    const struct watched *one = bench_watched(bench, ONE);
    int64_t gone = 0;
    if (access(site_program(&bench->site, "reeve", program), X_OK) != 0) {
        report_skip(report, "cli_stop", "there is no `reeve` beside this program");
        return REEVE_OK;
    }
    seen.len = 0;
    for (int i = 0; i < report->rounds; i++) {
        enum reeve_err err = cli_round(bench, one, &gone, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    report_check(report, "cli_processes", (int64_t)seen.len, report->rounds);
    report_check(report, "cli_stop_gone", gone, report->rounds);
    report_series(report, &cli_start);
    report_series(report, &cli_stop);
    return REEVE_OK;
}

const struct step node_steps[] = {
    {"memory of the empty daemon", measure_memory_empty},
    {"defining workers", define_workers},
    {"spawn", measure_spawn},
    {"start", measure_start},
    {"restart", measure_restart},
    {"last will", measure_lwt},
    {"start and stop of 100", measure_crowd},
    {"memory with 100", measure_memory_crowd},
    {"the CLI", measure_cli},
    {NULL, NULL},
};
