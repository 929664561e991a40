// Real processes behind real guards: what they are given, what is heard of them, and that nothing of them is left.
// Must not: wait without a deadline.
#include "cmocka_all.h"
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <reeve/buf.h>
#include <reeve/clock.h>
#include <reeve/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 20000

struct seen {
    struct reeve_buf out, err;
    struct guard_word end;
    int ended;
    const char *kill_at; // stop it once this stands in its output
    int64_t grace_ms;
    const char *ack_at;
};

static void on_out(struct process *process, const char *data, size_t len, void *arg)
{
    struct seen *seen = arg;
    reeve_buf_append(&seen->out, data, len);
    if (seen->kill_at != NULL && strstr(reeve_buf_str(&seen->out), seen->kill_at) != NULL) {
        process_stop(process, seen->grace_ms);
        seen->kill_at = NULL;
    }
    if (seen->ack_at != NULL && strstr(reeve_buf_str(&seen->out), seen->ack_at) != NULL) {
        assert_true(process_ack(process, "ok 1\n"));
        seen->ack_at = NULL;
    }
}

static void on_err(struct process *process, const char *data, size_t len, void *arg)
{
    (void)process;
    reeve_buf_append(&((struct seen *)arg)->err, data, len);
}

static void on_ended(struct process *process, const struct guard_word *end, void *arg)
{
    struct seen *seen = arg;
    (void)process;
    seen->end = *end;
    seen->ended++;
}

static const struct process_watch watch = {.out = on_out, .err = on_err, .ended = on_ended};

// ---- running one
// -----------------------------------------------------------------------------------------------------

struct setup {
    uv_loop_t loop;
    struct processes *processes;
    struct seen seen;
    struct limits limits;
    const char *cwd;
    char *input;
    size_t input_len;
    bool expired;
};

static void set_up(struct setup *setup)
{
    *setup = (struct setup){.seen = {.out = REEVE_BUF_INIT(8 << 20), .err = REEVE_BUF_INIT(1 << 20)}};
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&setup->loop), 0);
    assert_ok(processes_new(&setup->loop, &setup->processes, NULL));
}

static void tear_down(struct setup *setup)
{
    processes_stop(setup->processes);
    reeve_loop_finish(&setup->loop);
    reeve_buf_done(&setup->seen.out);
    reeve_buf_done(&setup->seen.err);
}

static void fill(struct reeve_strv *list, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        assert_ok(reeve_strv_add(list, *texts));
    }
}

static struct process *start(struct setup *setup, const char *const *argv)
{
    static const char *const env_texts[] = {"PATH=/usr/bin:/bin", "A=two words", NULL};
    REEVE_STRV_AUTO args = {0}, env = {0};
    struct process *process = NULL;
    fill(&args, argv);
    fill(&env, env_texts);
    struct process_plan plan = {.argv = &args,
                                .env = &env,
                                .cwd = setup->cwd,
                                .limits = &setup->limits,
                                .input = setup->input,
                                .input_len = setup->input_len};
    assert_ok(process_start(setup->processes, &plan, &watch, &setup->seen, &process, NULL));
    assert_null(plan.input);
    return process;
}

static void on_deadline(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    ((struct setup *)arg)->expired = true;
}

static void wait_ended(struct setup *setup)
{
    struct reeve_timer timer;
    reeve_timer_init(&setup->loop, &timer, on_deadline, setup);
    reeve_timer_start(&timer, DEADLINE_MS, 0);
    while (setup->seen.ended == 0 && !setup->expired) {
        (void)uv_run(&setup->loop, UV_RUN_ONCE);
    }
    assert_false(setup->expired);
    reeve_timer_close(&timer, NULL);
    (void)uv_run(&setup->loop, UV_RUN_NOWAIT);
}

#define SHELL(text) ((const char *const[]){"sh", "-c", (text), NULL})

static void run(struct setup *setup, const char *const *argv)
{
    (void)start(setup, argv);
    wait_ended(setup);
}

// Of the pids that stand in a text.
static bool all_gone(const char *pids)
{
    for (char *end; *pids != '\0'; pids = end) {
        const long pid = strtol(pids, &end, 10);
        if (end == pids) {
            break;
        }
        if (kill((pid_t)pid, 0) == 0 || errno != ESRCH) {
            return false;
        }
    }
    return true;
}

static size_t count_fds(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count;
}

// ---- tests
// -----------------------------------------------------------------------------------------------------------

static void output_error_and_exit_code_are_heard(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    run(&setup, SHELL("echo out; echo err >&2; exit 7"));
    assert_string_equal(reeve_buf_str(&setup.seen.out), "out\n");
    assert_string_equal(reeve_buf_str(&setup.seen.err), "err\n");
    assert_int_equal(setup.seen.end.code, 7);
    assert_int_equal(setup.seen.end.signal, 0);
    assert_false(setup.seen.end.told);
    assert_string_equal(setup.seen.end.error, "");
    assert_int_equal(setup.seen.end.left_behind, 0);
    tear_down(&setup);
}

static void a_signal_is_told_from_an_exit_code(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    run(&setup, SHELL("kill -SEGV $$"));
    assert_int_equal(setup.seen.end.code, -1);
    assert_int_equal(setup.seen.end.signal, SIGSEGV);
    tear_down(&setup);
}

static void arguments_and_environment_are_as_given_and_nothing_else(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    run(&setup, (const char *const[]){"/usr/bin/printf", "<%s>", "$(id)", "a b", "", "*", "'\"", NULL});
    assert_string_equal(reeve_buf_str(&setup.seen.out), "<$(id)><a b><><*><'\">");
    tear_down(&setup);
    set_up(&setup);
    run(&setup, (const char *const[]){"env", NULL});
    assert_string_equal(reeve_buf_str(&setup.seen.out), "PATH=/usr/bin:/bin\nA=two words\n");
    tear_down(&setup);
    set_up(&setup);
    setup.cwd = "/proc";
    run(&setup, SHELL("pwd; ls self/fd | tr '\\n' ' '"));
    assert_string_equal(reeve_buf_str(&setup.seen.out), "/proc\n0 1 2 3 4 "); // 4: the folder that ls reads
    tear_down(&setup);
}

static void what_can_not_be_started_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *program, *cwd, *error;
    } rows[] = {{"no-such-program", NULL, "execve no-such-program: No such file or directory"},
                {"/etc", NULL, "execve /etc: Permission denied"},
                {"true", "/no/such/folder", "chdir /no/such/folder: No such file or directory"}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct setup setup;
        set_up(&setup);
        setup.cwd = rows[i].cwd;
        run(&setup, (const char *const[]){rows[i].program, NULL});
        assert_string_equal(setup.seen.end.error, rows[i].error);
        tear_down(&setup);
    }
}

static void a_script_without_an_interpreter_is_given_to_no_shell(void **state)
{
    (void)state;
    char path[] = "/tmp/reeve-command-XXXXXX";
    char error[200];
    struct setup setup;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "echo ran\n", 9), 9);
    assert_int_equal(fchmod(fd, 0700), 0);
    (void)close(fd);
    set_up(&setup);
    run(&setup, (const char *const[]){path, NULL});
    (void)snprintf(error, sizeof error, "execve %s: Exec format error", path);
    assert_string_equal(setup.seen.end.error, error);
    assert_string_equal(reeve_buf_str(&setup.seen.out), "");
    tear_down(&setup);
    (void)unlink(path);
}

static void a_megabyte_goes_in_and_comes_out(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.input_len = 1 << 20;
    setup.input = malloc(setup.input_len);
    assert_non_null(setup.input);
    memset(setup.input, 'x', setup.input_len);
    run(&setup, (const char *const[]){"cat", NULL});
    assert_int_equal(setup.seen.out.len, 1 << 20);
    assert_int_equal(setup.seen.end.code, 0);
    tear_down(&setup);
}

static void one_that_reads_nothing_of_it_is_no_trouble(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.input_len = 1 << 20;
    setup.input = calloc(1, setup.input_len);
    run(&setup, SHELL("exec <&-; echo closed"));
    assert_string_equal(reeve_buf_str(&setup.seen.out), "closed\n");
    assert_int_equal(setup.seen.end.code, 0);
    tear_down(&setup);
}

// Three descendants: one of the group, one of a session of its own, one that forked twice and lost its parent.
#define FAMILY                                                                                                         \
    "sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & "                                                 \
    "(setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 1000\" & exit' &); "

static void what_a_command_leaves_behind_is_killed(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    // Lines of a few bytes come whole: wait until all three have told their pids.
    run(&setup, SHELL("{ " FAMILY " } | { read a; read b; read c; echo $a $b $c; }"));
    assert_int_equal(setup.seen.end.code, 0);
    assert_int_equal(setup.seen.end.left_behind, 3);
    assert_true(all_gone(reeve_buf_str(&setup.seen.out)));
    tear_down(&setup);
}

static void a_kill_reaches_everything_and_only_after_the_grace(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.seen.kill_at = "ready";
    setup.seen.grace_ms = 200;
    const int64_t began = reeve_clock_mono_ms();
    run(&setup, SHELL("trap '' TERM; { " FAMILY
                      " sleep 1000; } | { read a; read b; read c; echo $a $b $c ready; sleep 1000; }"));
    assert_true(reeve_clock_mono_ms() - began >= 200);
    assert_int_equal(setup.seen.end.signal, SIGKILL);
    assert_true(setup.seen.end.told);
    assert_true(all_gone(reeve_buf_str(&setup.seen.out)));
    tear_down(&setup);
}

static void one_that_obeys_sigterm_ends_by_itself(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.seen.kill_at = "ready";
    setup.seen.grace_ms = DEADLINE_MS;
    run(&setup, SHELL("trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.05; done"));
    assert_int_equal(setup.seen.end.code, 9);
    assert_true(setup.seen.end.told);
    assert_string_equal(reeve_buf_str(&setup.seen.out), "ready\nbye\n");
    tear_down(&setup);
}

static void a_stopped_process_hears_it_too(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.seen.kill_at = "ready";
    setup.seen.grace_ms = DEADLINE_MS;
    run(&setup, SHELL("echo ready; kill -STOP $$; sleep 1000"));
    assert_int_equal(setup.seen.end.signal, SIGTERM);
    tear_down(&setup);
}

static void it_waits_on_descriptor_3_for_a_word(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.seen.ack_at = "asked";
    run(&setup, SHELL("echo asked; read word number <&3; echo $word-$number"));
    assert_string_equal(reeve_buf_str(&setup.seen.out), "asked\nok-1\n");
    tear_down(&setup);
}

static void limits_are_those_of_the_plan(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.limits = (struct limits){.memory_bytes = 512 << 20, .cpu_ms = 1500, .files = 40, .file_size_bytes = 1 << 20};
    run(&setup, SHELL("ulimit -v; ulimit -t; ulimit -n; ulimit -f; ulimit -c"));
    assert_string_equal(reeve_buf_str(&setup.seen.out), "524288\n2\n40\n2048\n0\n");
    tear_down(&setup);
    set_up(&setup);
    setup.limits.cpu_ms = 1;
    run(&setup, SHELL("while :; do :; done"));
    assert_true(setup.seen.end.signal == SIGXCPU || setup.seen.end.signal == SIGKILL);
    tear_down(&setup);
}

static void nothing_stays_open_here(void **state)
{
    (void)state;
    struct setup setup;
    const size_t before = count_fds();
    set_up(&setup);
    for (int i = 0; i < 20; i++) {
        setup.seen.ended = 0;
        run(&setup, SHELL("exit 0"));
    }
    assert_int_equal(processes_len(setup.processes), 0);
    tear_down(&setup);
    // What libuv keeps for all loops of a process stays.
    assert_true(count_fds() <= before + 2);
}

// Of the first few descriptors more and more are free: whichever call fails, the start is refused whole and nothing
// stays open.
static void a_start_that_lacks_descriptors_is_refused_and_leaves_none(void **state)
{
    (void)state;
    static const char *const argv[] = {"true", NULL};
    struct rlimit before;
    struct setup setup;
    set_up(&setup);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const size_t open_fds = count_fds();
    int refused = 0;
    for (rlim_t limit = 4; limit < 64 && setup.seen.ended == 0; limit++) {
        REEVE_STRV_AUTO args = {0}, env = {0};
        struct process *process = NULL;
        struct reeve_why why = {0};
        fill(&args, argv);
        struct process_plan plan = {
            .argv = &args, .env = &env, .limits = &setup.limits, .input = strdup("x"), .input_len = 1};
        const struct rlimit low = {.rlim_cur = limit, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        const enum reeve_err err = process_start(setup.processes, &plan, &watch, &setup.seen, &process, &why);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (err == REEVE_OK) {
            wait_ended(&setup);
            continue;
        }
        refused++;
        assert_non_null(plan.input); // still the caller's
        free(plan.input);
        assert_true(why.text[0] != '\0');
        assert_int_equal(count_fds(), open_fds);
    }
    assert_true(refused >= 3 && setup.seen.ended == 1);
    tear_down(&setup);
}

static void a_killed_guard_takes_everything_with_it(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    setup.seen.ack_at = "ready"; // then the shell goes on and kills its parent, the guard
    run(&setup,
        SHELL("{ " FAMILY
              " sleep 1000; } | { read a; read b; read c; echo $a $b $c $$ ready; read x <&3; kill -KILL $PPID; "
              "sleep 1000; }"));
    assert_int_equal(setup.seen.end.code, -1);
    assert_non_null(strstr(setup.seen.end.error, "guard"));
    // Orphans come to us and are killed as SIGCHLD tells of them.
    const int64_t end = reeve_clock_mono_ms() + DEADLINE_MS;
    while (!all_gone(reeve_buf_str(&setup.seen.out)) && reeve_clock_mono_ms() < end) {
        (void)uv_run(&setup.loop, UV_RUN_NOWAIT);
        (void)poll(NULL, 0, 1);
    }
    assert_true(all_gone(reeve_buf_str(&setup.seen.out)));
    tear_down(&setup);
}

static void on_out_pass(struct process *process, const char *data, size_t len, void *arg)
{
    (void)process;
    (void)arg;
    if (write(STDOUT_FILENO, data, len) < 0) {
        _exit(1);
    }
}

// A worker that dies by SIGKILL: its commands end, and all that they started.
static void a_killed_worker_takes_everything_with_it(void **state)
{
    (void)state;
    int ends[2];
    char text[200] = "";
    assert_int_equal(pipe(ends), 0);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); // orphans go to init, as they would
    const pid_t worker = fork();
    if (worker == 0) {
        static const struct process_watch pass = {.out = on_out_pass, .err = on_err, .ended = on_ended};
        static struct setup setup;
        REEVE_STRV_AUTO argv = {0}, env = {0};
        struct process *process;
        (void)dup2(ends[1], STDOUT_FILENO);
        set_up(&setup);
        fill(&argv, SHELL("trap '' TERM; { " FAMILY
                          " sleep 1000; } | { read a; read b; read c; echo $a $b $c $$; sleep 1000; }"));
        fill(&env, (const char *const[]){"PATH=/usr/bin:/bin", NULL});
        struct process_plan plan = {.argv = &argv, .env = &env, .limits = &setup.limits};
        if (process_start(setup.processes, &plan, &pass, &setup.seen, &process, NULL) != REEVE_OK) {
            _exit(1);
        }
        (void)uv_run(&setup.loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    (void)close(ends[1]);
    for (size_t len = 0; strchr(text, '\n') == NULL;) {
        const ssize_t got = read(ends[0], text + len, sizeof text - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
    }
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_int_equal(waitpid(worker, NULL, 0), worker);
    const int64_t end = reeve_clock_mono_ms() + DEADLINE_MS;
    while (!all_gone(text) && reeve_clock_mono_ms() < end) {
        (void)poll(NULL, 0, 1); // an end that tells nobody here
    }
    assert_true(all_gone(text));
    (void)close(ends[0]);
}

static void leaving_kills_what_runs(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    (void)start(&setup, SHELL("trap '' TERM; sleep 1000"));
    (void)start(&setup, SHELL("sleep 1000"));
    assert_int_equal(processes_len(setup.processes), 2);
    tear_down(&setup);
    assert_int_equal(setup.seen.ended, 2);
    assert_int_equal(setup.seen.end.signal, SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_error_and_exit_code_are_heard),
        cmocka_unit_test(a_signal_is_told_from_an_exit_code),
        cmocka_unit_test(arguments_and_environment_are_as_given_and_nothing_else),
        cmocka_unit_test(what_can_not_be_started_says_why),
        cmocka_unit_test(a_script_without_an_interpreter_is_given_to_no_shell),
        cmocka_unit_test(a_megabyte_goes_in_and_comes_out),
        cmocka_unit_test(one_that_reads_nothing_of_it_is_no_trouble),
        cmocka_unit_test(what_a_command_leaves_behind_is_killed),
        cmocka_unit_test(a_kill_reaches_everything_and_only_after_the_grace),
        cmocka_unit_test(one_that_obeys_sigterm_ends_by_itself),
        cmocka_unit_test(a_stopped_process_hears_it_too),
        cmocka_unit_test(it_waits_on_descriptor_3_for_a_word),
        cmocka_unit_test(limits_are_those_of_the_plan),
        cmocka_unit_test(nothing_stays_open_here),
        cmocka_unit_test(a_start_that_lacks_descriptors_is_refused_and_leaves_none),
        cmocka_unit_test(a_killed_guard_takes_everything_with_it),
        cmocka_unit_test(a_killed_worker_takes_everything_with_it),
        cmocka_unit_test(leaving_kills_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
