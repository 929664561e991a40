// Runs with real shims and real processes: start, readiness, stop, kill, watchdog, outcomes.
#include "run_fixture.h"

#include <errno.h>
#include <reeve/file.h>
#include <unistd.h>

#include "cgroup.h"
#include "shim/sweep.h"

static void exit_code_is_reported(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "exit", "7");
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_int_equal(f->started, 1);
    assert_int_equal(f->ready, 1);
    assert_true(f->start_time > 0);
    assert_string_equal(f->outcome.cause, "exit");
    assert_int_equal(f->outcome.code, 7);
    assert_int_equal(f->outcome.signal, 0);
    assert_true(f->outcome.ended_at > 1600000000000);
    run_forget(&f->host, "w", 1);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/runs/w/1", f->dir);
    assert_int_equal(access(path, F_OK), -1);
}

static void signal_is_reported(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "raise", "12");
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "signal");
    assert_int_equal(f->outcome.code, -1);
    assert_int_equal(f->outcome.signal, SIGUSR2);
    assert_false(f->outcome.oom);
}

static void failed_exec_says_why(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][3] = {
        {"/no/such/program", NULL, "execve /no/such/program: No such file or directory"},
        {"no-such-program", NULL, "execve no-such-program: No such file or directory"},
        {"group", NULL, "execve group: Permission denied"}, // in /etc, and nowhere after it
        {"/etc/passwd", NULL, "execve /etc/passwd: Permission denied"},
        {"/bin/true", "/no/such/folder", "chdir /no/such/folder: No such file or directory"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        const char *const argv[] = {cases[i][0], NULL};
        const char *const env[] = {"PATH=/etc:/no/such/folder", NULL};
        struct run_plan plan = fixture_plan(f, "", "");
        plan.run = (int64_t)i + 1;
        plan.argv = argv;
        plan.env = env;
        plan.cwd = cases[i][1];
        fixture_start(f, &plan);
        WAIT_FOR(f, f->ended == (int)i + 1);
        assert_int_equal(f->started, 0);
        assert_string_equal(f->outcome.cause, "exec");
        assert_string_equal(f->outcome.error, cases[i][2]);
        assert_int_equal(f->outcome.code, -1);
    }
}

static void program_is_found_by_the_workers_path(void **state)
{
    struct fixture *f = *state;
    static const char *const argv[] = {"false", NULL};
    struct run_plan plan = fixture_plan(f, "", "");
    plan.argv = argv;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "exit");
    assert_int_equal(f->outcome.code, 1);
}

static void bad_plans_are_refused_and_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct run *run = NULL;
    struct reeve_why why = {0};
    struct run_plan plan = fixture_plan(f, "exit", "0");
    plan.worker = "../w";
    assert_int_equal(run_start(&f->host, &plan, f, &run, &why), REEVE_INVALID);
    plan = fixture_plan(f, "exit", "0");
    plan.stop_signal = 99;
    assert_int_equal(run_start(&f->host, &plan, f, &run, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "stop_signal"));
    plan = fixture_plan(f, "exit", "0");
    struct run_host no_shim = f->host;
    no_shim.shim_path = "/no/such/shim";
    assert_int_equal(run_start(&no_shim, &plan, f, &run, &why), REEVE_NOENT);
    assert_null(run);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/runs/w/1", f->dir);
    assert_int_equal(access(path, F_OK), -1);
}

// Where another user can execute it: the tree may be in a folder that only its owner enters.
static const char *child_for_anybody(const struct fixture *f, char path[PATH_MAX])
{
    char command[3 * PATH_MAX];
    (void)snprintf(path, PATH_MAX, "%s/run-child", f->dir);
    (void)snprintf(command, sizeof(command), "chmod 0711 '%s' && install -m 0755 '%s' '%s'", f->dir, CHILD_PATH, path);
    assert_int_equal(system(command), 0);
    return path;
}

static void worker_is_isolated(void **state)
{
    struct fixture *f = *state;
    char child[PATH_MAX];
    struct run_plan plan = fixture_plan(f, "show", NULL);
    const char *const argv[] = {child_for_anybody(f, child), "show", NULL};
    plan.argv = argv;
    plan.ready = RUN_READY_NOTIFY;
    plan.nofile = 64;
    if (geteuid() == 0) {
        plan.uid = 65534;
        plan.gid = 65534;
        plan.user = "nobody";
    }
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_int_equal(f->outcome.code, 0);
    char *log = fixture_log(f, "current");
    assert_non_null(log);
    static const char *const facts[] = {
        " o fd 0 char\n",
        " o fd 1 pipe\n",
        " o fd 2 pipe\n",
        " o fd 3 pipe\n",
        " o umask 022\n",
        " o session 1\n",
        " o cwd /\n",
        " o token 1 ppid_env yes\n",
        " o NoNewPrivs:\t1\n",
        " o SigBlk:\t0000000000000000\n",
        " o SigIgn:\t0000000000000000\n",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(facts); i++) {
        if (strstr(log, facts[i]) == NULL) {
            fail_msg("no \"%s\" in:\n%s", facts[i], log);
        }
    }
    assert_null(strstr(log, "fd 4"));
    assert_null(strstr(log, "fd 5"));
    if (geteuid() == 0) {
        assert_non_null(strstr(log, " o uid 65534 gid 65534\n"));
        assert_non_null(strstr(log, " o Groups:\t65534 \n"));
    }
    free(log);
}

static void stop_ends_a_willing_worker(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    run_stop(f->run, -1);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
    assert_int_equal(f->outcome.signal, SIGTERM);
    assert_true(f->outcome.ran_ms < 5000);
}

static void stop_before_it_started_works_too(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    fixture_start(f, &plan);
    run_stop(f->run, 2000);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
}

static void stop_of_a_stopped_process_works(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    struct reeve_why why;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    assert_int_equal(run_signal(f->run, SIGSTOP, &why), REEVE_OK);
    for (struct sweep_stat stat = {0}; stat.state != 'T';) { // else SIGTERM, the lower number, would be delivered first
        assert_true(sweep_stat(f->pid, &stat));
    }
    run_stop(f->run, -1);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
}

// A grandchild in its own session, deaf to SIGTERM as its parent: nothing of it may survive.
static pid_t start_daemonizer(struct fixture *f, const char *how, struct run_plan *plan)
{
    *plan = fixture_plan(f, "daemonize", how);
    plan->ready = RUN_READY_NOTIFY;
    plan->stop_grace_ms = 100;
    fixture_start(f, plan);
    WAIT_FOR(f, f->ready == 1);
    const pid_t grandchild = (pid_t)atoi(f->status);
    assert_true(grandchild > 1);
    assert_true(fixture_is_alive(grandchild));
    return grandchild;
}

static void grace_over_kills_everything(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan;
    const pid_t grandchild = start_daemonizer(f, "ignore-term", &plan);
    run_stop(f->run, -1);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "kill");
    assert_int_equal(f->outcome.signal, SIGKILL);
    assert_false(fixture_is_alive(grandchild));
    assert_false(fixture_is_alive(f->pid));
}

static void grandchildren_end_with_their_worker(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan;
    const pid_t grandchild = start_daemonizer(f, "", &plan);
    assert_int_equal(kill(f->pid, SIGKILL), 0);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "signal");
    assert_false(fixture_is_alive(grandchild));
}

static void kill_ends_at_once(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan;
    const pid_t grandchild = start_daemonizer(f, "ignore-term", &plan);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "kill");
    assert_false(fixture_is_alive(grandchild));
}

static void readiness_is_told_once(void **state)
{
    struct fixture *f = *state;
    static const char *const modes[] = {"ready", "newline"};
    for (int i = 0; i < 2; i++) {
        struct run_plan plan = fixture_plan(f, modes[i], NULL);
        plan.run = i + 1;
        plan.ready = RUN_READY_NOTIFY;
        fixture_start(f, &plan);
        WAIT_FOR(f, f->ready == i + 1);
        run_kill(f->run);
        WAIT_FOR(f, f->ended == i + 1);
        assert_int_equal(f->ready, i + 1);
    }
    assert_string_equal(f->status, "warming up");
}

static void no_notify_descriptor_without_need(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "ready", NULL); // its write() to descriptor 3 fails
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_int_equal(f->outcome.code, 70);
}

static void silent_worker_is_ended_by_the_watchdog(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "watchdog", "4");
    plan.watchdog_ms = 150;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->statuses == 1); // four heartbeats kept it alive for longer than the watchdog's time
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "watchdog");
    assert_int_equal(f->outcome.signal, SIGKILL); // it ignores SIGABRT
    assert_true(f->outcome.ran_ms >= 200 + 150 + 2000 - 50);
}

static void killed_shim_takes_its_worker_along(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan;
    struct sweep_stat stat;
    const pid_t grandchild = start_daemonizer(f, "ignore-term", &plan);
    assert_true(sweep_stat(f->pid, &stat));
    assert_int_equal(kill(stat.ppid, SIGKILL), 0);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lost");
    assert_int_equal(f->outcome.code, -1);
    assert_false(fixture_is_alive(f->pid));
    assert_false(fixture_is_alive(grandchild)); // found by its token
}

static void signals_do_not_end_the_shim(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    struct sweep_stat stat;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGPIPE};
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    assert_true(sweep_stat(f->pid, &stat));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(signals); i++) {
        assert_int_equal(kill(stat.ppid, signals[i]), 0);
    }
    run_stop(f->run, -1);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
}

static void shim_is_no_child_of_the_daemon(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    struct sweep_stat worker;
    struct sweep_stat shim;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    assert_true(sweep_stat(f->pid, &worker));
    assert_true(sweep_stat(worker.ppid, &shim));
    assert_int_not_equal(shim.ppid, getpid());
    assert_int_equal(getsid(worker.ppid), worker.ppid);
    assert_int_equal(worker.start_time, f->start_time);
}

// A memory limit, as far as this host lets it be set.
static void out_of_memory_is_recognised(void **state)
{
    struct fixture *f = *state;
    struct cgroup_host *host = NULL;
    struct cgroup_enforced enforced;
    struct reeve_why why = {0};
    const struct cgroup_limits limits = {.memory_bytes = 32 << 20};
    char oom[512];
    char killer[512];
    REEVE_STRV_AUTO procs = {0};
    assert_int_equal(cgroup_host_new("test", f->dir, &host, &why), REEVE_OK);
    assert_int_equal(cgroup_make(host, "w", &limits, &enforced, &why), REEVE_OK);
    if (!enforced.memory) {
        cgroup_remove(host, "w");
        cgroup_host_free(host);
        print_message("no memory limit here: %s\n", why.text);
        skip();
    }
    cgroup_paths(host, "w", &procs, oom, killer);
    struct run_plan plan = fixture_plan(f, "allocate", "200");
    plan.cgroup_procs = (const char *const *)procs.items;
    plan.cgroup_oom = oom;
    plan.cgroup_kill = killer[0] != '\0' ? killer : NULL;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    cgroup_remove(host, "w");
    cgroup_host_free(host);
    assert_string_equal(f->outcome.cause, "signal");
    assert_int_equal(f->outcome.signal, SIGKILL);
    assert_true(f->outcome.oom);
}

static void cgroup_kill_ends_the_group(void **state)
{
    struct fixture *f = *state;
    struct cgroup_host *host = NULL;
    struct cgroup_enforced enforced;
    struct reeve_why why = {0};
    const struct cgroup_limits limits = {.pids = 50};
    char oom[512];
    char killer[512];
    REEVE_STRV_AUTO procs = {0};
    assert_int_equal(cgroup_host_new("test", f->dir, &host, &why), REEVE_OK);
    assert_int_equal(cgroup_make(host, "w", &limits, &enforced, &why), REEVE_OK);
    cgroup_paths(host, "w", &procs, oom, killer);
    if (procs.len == 0) {
        cgroup_host_free(host);
        skip();
    }
    struct run_plan plan = fixture_plan(f, "daemonize", "ignore-term");
    plan.ready = RUN_READY_NOTIFY;
    plan.cgroup_procs = (const char *const *)procs.items;
    plan.cgroup_kill = killer[0] != '\0' ? killer : NULL;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    const pid_t grandchild = (pid_t)atoi(f->status);
    for (size_t i = 0; i < procs.len; i++) {
        char members[128];
        char wanted[32];
        assert_true(sweep_read(procs.items[i], members, sizeof(members)) > 0);
        (void)snprintf(wanted, sizeof(wanted), "%d\n", (int)f->pid);
        assert_non_null(strstr(members, wanted));
    }
    int64_t memory = 0;
    int64_t cpu = 0;
    (void)cgroup_usage(host, "w", &memory, &cpu);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
    assert_false(fixture_is_alive(grandchild));
    cgroup_remove(host, "w");
    REEVE_STRV_AUTO after = {0};
    cgroup_paths(host, "w", &after, oom, killer);
    assert_int_equal(after.len, 0);
    cgroup_host_free(host);
}

int main(void)
{
#define RUN_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        RUN_TEST(exit_code_is_reported),
        RUN_TEST(signal_is_reported),
        RUN_TEST(failed_exec_says_why),
        RUN_TEST(program_is_found_by_the_workers_path),
        RUN_TEST(bad_plans_are_refused_and_leave_nothing),
        RUN_TEST(worker_is_isolated),
        RUN_TEST(stop_ends_a_willing_worker),
        RUN_TEST(stop_before_it_started_works_too),
        RUN_TEST(stop_of_a_stopped_process_works),
        RUN_TEST(grace_over_kills_everything),
        RUN_TEST(grandchildren_end_with_their_worker),
        RUN_TEST(kill_ends_at_once),
        RUN_TEST(readiness_is_told_once),
        RUN_TEST(no_notify_descriptor_without_need),
        RUN_TEST(silent_worker_is_ended_by_the_watchdog),
        RUN_TEST(killed_shim_takes_its_worker_along),
        RUN_TEST(signals_do_not_end_the_shim),
        RUN_TEST(shim_is_no_child_of_the_daemon),
        RUN_TEST(out_of_memory_is_recognised),
        RUN_TEST(cgroup_kill_ends_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
