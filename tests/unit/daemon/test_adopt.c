// What happens to runs whose daemon was killed, and to what dead shims leave.
#include "run_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/plan.h"
#include "shim/sweep.h"

// ---- a daemon that can be killed: a child that uses run.h and writes what it hears into a pipe

struct daemon {
    pid_t pid;
    int pipe;
};

// Told by the daemon once its worker has started.
struct news {
    pid_t pid;
    uint64_t start_time;
    int ready;
};

_Noreturn static void daemon_child(struct fixture *f, const struct run_plan *plan, int out)
{
    fixture_start(f, plan);
    WAIT_FOR(f, f->started == 1 && (plan->ready != RUN_READY_NOTIFY || f->ready == 1));
    const struct news news = {.pid = f->pid, .start_time = f->start_time, .ready = f->ready};
    if (write(out, &news, sizeof(news)) != sizeof(news)) {
        _exit(1);
    }
    for (;;) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static struct news run_and_kill_daemon(struct fixture *f, const struct run_plan *plan)
{
    int ends[2];
    struct news news = {0};
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        (void)uv_loop_fork(&f->loop);
        (void)alarm(30);
        daemon_child(f, plan, ends[1]);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &news, sizeof(news)), sizeof(news));
    (void)close(ends[0]);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(fixture_is_alive(news.pid));
    return news;
}

static struct run_adopted adopt(struct fixture *f)
{
    struct run_adopted adopted = {0};
    struct reeve_why why = {0};
    if (run_adopt(&f->host, "w", f, &adopted, &why) != REEVE_OK) {
        fail_msg("run_adopt: %s", why.text);
    }
    f->run = adopted.run;
    return adopted;
}

static void live_run_is_taken_over(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "ready", NULL);
    plan.run = 41;
    plan.ready = RUN_READY_NOTIFY;
    const struct news news = run_and_kill_daemon(f, &plan);
    const struct run_adopted adopted = adopt(f);
    assert_non_null(adopted.run);
    assert_false(adopted.has_outcome);
    assert_int_equal(adopted.last_run, 41);
    assert_int_equal(run_number(adopted.run), 41);
    WAIT_FOR(f, f->started == 1 && f->ready == 1);
    assert_int_equal(f->pid, news.pid);
    assert_int_equal(f->start_time, news.start_time);
    assert_string_equal(f->status, "warming up");
    run_stop(f->run, -1);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
}

static void adopted_run_tells_its_true_exit_code(void **state)
{
    struct fixture *f = *state;
    static const char *const sleeper[] = {"/bin/sh", "-c",
                                          "trap 'exit 23' USR1; echo > /proc/self/fd/3; sleep 30 & wait", NULL};
    struct run_plan plan = fixture_plan(f, "", "");
    plan.argv = sleeper;
    plan.ready = RUN_READY_NOTIFY;
    (void)run_and_kill_daemon(f, &plan);
    (void)adopt(f);
    WAIT_FOR(f, f->started == 1);
    assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "exit");
    assert_int_equal(f->outcome.code, 23);
}

// A pidfd is readable once its process has ended; it need not be our child.
static void wait_for_end(pid_t pid)
{
    struct pollfd poll_fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    if (poll_fd.fd >= 0) {
        assert_int_equal(poll(&poll_fd, 1, FIXTURE_DEADLINE_MS), 1);
        (void)close(poll_fd.fd);
    }
}

static void run_that_ended_meanwhile_is_reported(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "pause", NULL);
    struct sweep_stat stat;
    const struct news news = run_and_kill_daemon(f, &plan);
    assert_true(sweep_stat(news.pid, &stat));
    assert_int_equal(kill(news.pid, SIGQUIT), 0);
    wait_for_end(stat.ppid);
    const struct run_adopted adopted = adopt(f);
    assert_null(adopted.run);
    assert_true(adopted.has_outcome);
    assert_int_equal(adopted.outcome.signal, SIGQUIT);
    assert_string_equal(adopted.outcome.cause, "signal");
    assert_true(adopted.outcome.ended_at > 1600000000000);
    run_forget(&f->host, "w", adopted.last_run);
    assert_false(adopt(f).has_outcome);
}

static void newest_connection_counts(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    (void)run_and_kill_daemon(f, &plan);
    struct run_adopted first = adopt(f);
    WAIT_FOR(f, f->started == 1);
    run_detach(first.run);
    (void)adopt(f);
    WAIT_FOR(f, f->started == 2);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
}

// A daemon that gives an order and dies at once is obeyed, even when its successor connects in the same turn of the
// shim.
static void last_orders_of_a_replaced_daemon_count(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    struct sweep_stat stat;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    assert_true(sweep_stat(f->pid, &stat));
    assert_int_equal(kill(stat.ppid, SIGSTOP), 0); // so that both wait for it together
    run_stop(f->run, -1);
    run_detach(f->run);
    (void)adopt(f);
    assert_int_equal(kill(stat.ppid, SIGCONT), 0);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "stop");
}

static void stop_goes_on_without_the_daemon(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "daemonize", "ignore-term");
    plan.ready = RUN_READY_NOTIFY;
    plan.stop_grace_ms = 200;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    const pid_t grandchild = (pid_t)atoi(f->status);
    struct sweep_stat stat;
    assert_true(sweep_stat(f->pid, &stat));
    run_stop(f->run, -1);
    run_detach(f->run);
    f->run = NULL;
    wait_for_end(stat.ppid);
    assert_false(fixture_is_alive(grandchild));
    const struct run_adopted adopted = adopt(f);
    assert_true(adopted.has_outcome);
    assert_string_equal(adopted.outcome.cause, "kill");
}

// A name in the way of the file `exit`: the outcome stays in the shim until a daemon has taken it.
static void outcome_that_cannot_be_written_is_held(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    struct sweep_stat stat;
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    const struct news news = run_and_kill_daemon(f, &plan);
    assert_true(sweep_stat(news.pid, &stat));
    (void)snprintf(path, sizeof(path), "%s/runs/w/1/exit/in-the-way", f->dir);
    assert_int_equal(reeve_dir_make(path, 0700, NULL), REEVE_OK);
    assert_int_equal(kill(news.pid, SIGQUIT), 0);
    wait_for_end(news.pid);
    const struct run_adopted adopted = adopt(f);
    assert_non_null(adopted.run);
    assert_true(fixture_is_alive(stat.ppid));
    WAIT_FOR(f, f->ended == 1);
    assert_int_equal(f->outcome.signal, SIGQUIT);
    wait_for_end(stat.ppid);
}

// ---- any instant: either side is killed after 0, 1, 2 ... tenths of a millisecond

#define INSTANTS 60

// Live processes with this text in their command line; *ret_pid is the first of them (/proc is in order of pids).
static int count_processes(const char *tag, pid_t *ret_pid)
{
    DIR *dir = opendir("/proc");
    int count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[PATH_MAX];
        char text[1024];
        const pid_t pid = (pid_t)atoi(entry->d_name);
        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        const ssize_t len = pid > 1 ? sweep_read(path, text, sizeof(text)) : 0;
        if (len > 0 && memmem(text, (size_t)len, tag, strlen(tag)) != NULL && fixture_is_alive(pid)) {
            *ret_pid = count == 0 ? pid : *ret_pid;
            count++;
        }
    }
    (void)closedir(dir);
    return count;
}

static void spin_us(int64_t us)
{
    const int64_t until = reeve_clock_mono_ns() + us * 1000;
    while (reeve_clock_mono_ns() < until) {
        // an instant is too short for a timer
    }
}

static void daemon_may_be_killed_at_any_instant(void **state)
{
    struct fixture *f = *state;
    pid_t pid = 0;
    int alive = 0;
    for (int i = 0; i < INSTANTS; i++) {
        struct run_plan plan = fixture_plan(f, "pause", f->dir); // the folder's name marks our workers
        plan.run = i + 1;
        const pid_t daemon = fork();
        if (daemon == 0) {
            (void)uv_loop_fork(&f->loop);
            fixture_start(f, &plan);
            for (;;) {
                (void)uv_run(&f->loop, UV_RUN_ONCE);
            }
        }
        spin_us(i * 100);
        assert_int_equal(kill(daemon, SIGKILL), 0);
        assert_int_equal(waitpid(daemon, NULL, 0), daemon);
        const struct run_adopted adopted = adopt(f);
        if (adopted.run != NULL) {
            alive++;
            const int ended = f->ended;
            run_kill(adopted.run);
            WAIT_FOR(f, f->ended == ended + 1);
        }
        assert_int_equal(count_processes(f->dir, &pid), 0);
        run_forget(&f->host, "w", adopted.last_run);
    }
    assert_in_range(alive, 1, INSTANTS - 1); // both kinds of instants were met
}

static void shim_may_be_killed_at_any_instant(void **state)
{
    struct fixture *f = *state;
    pid_t pid = 0;
    for (int i = 0; i < INSTANTS; i++) {
        struct run_plan plan = fixture_plan(f, "pause", f->dir);
        char tag[64];
        plan.run = 1000000000 + (int64_t)getpid() * 1000 + i; // in nobody else's command line
        (void)snprintf(tag, sizeof(tag), "%lld", (long long)plan.run);
        fixture_start(f, &plan);
        spin_us(i * 100);
        while (count_processes(tag, &pid) == 0) {
            // its command line is not there before exec is through; after it, also in its child until that has executed
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        WAIT_FOR(f, f->ended == i + 1);
        assert_string_equal(f->outcome.cause, "lost");
        assert_int_equal(count_processes(f->dir, &pid), 0);
        run_forget(&f->host, "w", plan.run);
    }
}

// ---- folders as a dead shim leaves them, made by hand

static void put(char *buf, size_t *len, const char *key, const char *value)
{
    *len += (size_t)sprintf(buf + *len, "%s=%s", key, value) + 1;
}

static void fake_run(struct fixture *f, int64_t number, const char *boot_id, const char *token)
{
    char dir[PATH_MAX];
    char path[PATH_MAX + 16];
    char plan[2048];
    char text[32];
    size_t len = 0;
    (void)snprintf(dir, sizeof(dir), "%s/runs/w/%lld", f->dir, (long long)number);
    assert_int_equal(reeve_dir_make(dir, 0700, NULL), REEVE_OK);
    (void)snprintf(text, sizeof(text), "%lld", (long long)number);
    put(plan, &len, "worker", "w");
    put(plan, &len, "run", text);
    put(plan, &len, "boot_id", boot_id);
    put(plan, &len, "token", token);
    put(plan, &len, "argv", "/bin/true");
    put(plan, &len, "stop_signal", "15");
    put(plan, &len, "log_bytes_max", "1000");
    put(plan, &len, "log_dir", "/tmp");
    put(plan, &len, "end", "1");
    (void)snprintf(path, sizeof(path), "%s/plan", dir);
    fixture_write(path, plan, len);
}

static void fake_start(struct fixture *f, int64_t number, pid_t pid, uint64_t start_time, const char *boot_id)
{
    char path[PATH_MAX];
    char text[PLAN_RECORD_MAX];
    struct plan_start start = {.pid = pid, .start_time = start_time};
    (void)snprintf(start.boot_id, sizeof(start.boot_id), "%s", boot_id);
    (void)snprintf(path, sizeof(path), "%s/runs/w/%lld/start", f->dir, (long long)number);
    fixture_write(path, text, plan_start_write(&start, text));
}

static pid_t spawn_stranger(void)
{
    const pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(60);
        for (;;) {
            (void)pause();
        }
    }
    return pid;
}

static void end_stranger(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void stranger_with_a_reused_pid_is_unharmed(void **state)
{
    struct fixture *f = *state;
    const pid_t stranger = spawn_stranger();
    struct sweep_stat stat;
    assert_true(sweep_stat(stranger, &stat));
    fake_run(f, 5, reeve_boot_id(), "aaaa");
    fake_start(f, 5, stranger, stat.start_time - 1, reeve_boot_id());
    const struct run_adopted adopted = adopt(f);
    assert_null(adopted.run);
    assert_true(adopted.has_outcome);
    assert_string_equal(adopted.outcome.cause, "lost");
    assert_int_equal(adopted.last_run, 5);
    assert_true(fixture_is_alive(stranger));
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    end_stranger(stranger);
}

static void leftover_with_the_right_start_time_is_ended(void **state)
{
    struct fixture *f = *state;
    const pid_t leftover = spawn_stranger();
    struct sweep_stat stat;
    assert_true(sweep_stat(leftover, &stat));
    fake_run(f, 5, reeve_boot_id(), "aaaa");
    fake_start(f, 5, leftover, stat.start_time, reeve_boot_id());
    const struct run_adopted adopted = adopt(f);
    assert_non_null(adopted.run);
    assert_false(adopted.has_outcome);
    WAIT_FOR(f, f->ended == 1);
    assert_string_equal(f->outcome.cause, "lost");
    int status = 0;
    assert_int_equal(waitpid(leftover, &status, 0), leftover);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void run_of_another_boot_ended_with_its_host(void **state)
{
    struct fixture *f = *state;
    const pid_t stranger = spawn_stranger();
    struct sweep_stat stat;
    assert_true(sweep_stat(stranger, &stat));
    fake_run(f, 5, "another-boot", "aaaa");
    fake_start(f, 5, stranger, stat.start_time, "another-boot");
    const struct run_adopted adopted = adopt(f);
    assert_null(adopted.run);
    assert_string_equal(adopted.outcome.cause, "host");
    assert_true(fixture_is_alive(stranger));
    end_stranger(stranger);
}

static void half_made_run_is_cleared_away(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    fake_run(f, 3, reeve_boot_id(), "aaaa");
    (void)snprintf(path, sizeof(path), "%s/runs/w/4", f->dir);
    assert_int_equal(reeve_dir_make(path, 0700, NULL), REEVE_OK);
    (void)snprintf(path, sizeof(path), "%s/runs/w/4/plan", f->dir);
    fixture_write(path, "worker=w\0run=4\0argv=/bin/tr", 28); // cut by a full disk, or by a daemon's death
    const struct run_adopted adopted = adopt(f);
    assert_null(adopted.run);
    assert_false(adopted.has_outcome);
    assert_int_equal(adopted.last_run, 4);
    (void)snprintf(path, sizeof(path), "%s/runs/w/4", f->dir);
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof(path), "%s/runs/w/3", f->dir); // older ones go too
    assert_int_equal(access(path, F_OK), -1);
}

static void nothing_is_nothing(void **state)
{
    struct fixture *f = *state;
    const struct run_adopted adopted = adopt(f);
    assert_null(adopted.run);
    assert_false(adopted.has_outcome);
    assert_int_equal(adopted.last_run, 0);
    struct run_adopted bad;
    assert_int_equal(run_adopt(&f->host, "../w", f, &bad, NULL), REEVE_INVALID);
}

// A state folder whose sockets' paths are above the 108 bytes of sockaddr_un.
static void long_paths_work(void **state)
{
    struct fixture *f = *state;
    char deep[PATH_MAX];
    (void)snprintf(deep, sizeof(deep), "%s/%0100d/%0100d", f->dir, 1, 2);
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    f->host.state_dir = deep;
    (void)run_and_kill_daemon(f, &plan);
    (void)adopt(f);
    WAIT_FOR(f, f->started == 1);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
}

int main(void)
{
#define ADOPT_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ADOPT_TEST(live_run_is_taken_over),
        ADOPT_TEST(adopted_run_tells_its_true_exit_code),
        ADOPT_TEST(run_that_ended_meanwhile_is_reported),
        ADOPT_TEST(newest_connection_counts),
        ADOPT_TEST(last_orders_of_a_replaced_daemon_count),
        ADOPT_TEST(stop_goes_on_without_the_daemon),
        ADOPT_TEST(outcome_that_cannot_be_written_is_held),
        ADOPT_TEST(daemon_may_be_killed_at_any_instant),
        ADOPT_TEST(shim_may_be_killed_at_any_instant),
        ADOPT_TEST(stranger_with_a_reused_pid_is_unharmed),
        ADOPT_TEST(leftover_with_the_right_start_time_is_ended),
        ADOPT_TEST(run_of_another_boot_ended_with_its_host),
        ADOPT_TEST(half_made_run_is_cleared_away),
        ADOPT_TEST(nothing_is_nothing),
        ADOPT_TEST(long_paths_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
