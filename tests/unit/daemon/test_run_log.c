// Output of workers: format, rotation within its bounds, a full disk, watching for growth.
#include "run_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <reeve/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t size_of(const struct fixture *f, const char *file)
{
    char path[PATH_MAX + 32];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/%s", f->log_dir, file);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static int count_of(const char *text, const char *needle)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at++) {
        count++;
    }
    return count;
}

static void entries_have_time_stream_and_text(void **state)
{
    struct fixture *f = *state;
    const struct run_plan plan = fixture_plan(f, "print", "3");
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    char *log = fixture_log(f, "current");
    assert_non_null(log);
    assert_non_null(strstr(log, "Z s run 1 started pid="));
    assert_non_null(strstr(log, "Z o 00000002 xxxxxx"));
    assert_non_null(strstr(log, "Z e last words\n")); // without a newline of its own
    assert_non_null(strstr(log, "Z s run 1 ended cause=exit code=0 signal=0\n"));
    for (const char *line = log; *line != '\0'; line = strchr(line, '\n') + 1) {
        int year = 0;
        int month = 0;
        int day = 0;
        int hour = 0;
        int minute = 0;
        int second = 0;
        int ms = 0;
        assert_int_equal(
            sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ ", &year, &month, &day, &hour, &minute, &second, &ms), 7);
        assert_int_equal(line[24], ' ');
        // The same date by the C library.
        struct tm tm = {.tm_year = year - 1900,
                        .tm_mon = month - 1,
                        .tm_mday = day,
                        .tm_hour = hour,
                        .tm_min = minute,
                        .tm_sec = second};
        const time_t there = timegm(&tm);
        assert_true(there <= time(NULL) && there > time(NULL) - 60);
    }
    free(log);
}

static void rotation_keeps_its_bounds_and_whole_lines(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "print", "2000"); // about 270 kB with stamps
    plan.log_bytes_max = 20000;
    plan.log_files_max = 3;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    static const char *const files[] = {"current", ".1", ".2", ".3"};
    int lines = 0;
    int last = 2000;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(files); i++) {
        assert_in_range(size_of(f, files[i]), 1, 20000);
        char *log = fixture_log(f, files[i]);
        const int here = count_of(log, " o 0");
        lines += here;
        if (here > 0) { // older files hold older lines, without a gap
            const char *first = strstr(log, " o 0");
            assert_int_equal(atoi(first + 3) + here, last);
            last = atoi(first + 3);
        }
        assert_int_equal(log[strlen(log) - 1], '\n');
        free(log);
    }
    assert_true(lines > 400);
    assert_int_equal(size_of(f, ".4"), -1);
}

static void rotation_without_old_files(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "print", "500");
    plan.log_bytes_max = 10000;
    plan.log_files_max = 0;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    assert_in_range(size_of(f, "current"), 1, 10000);
    assert_int_equal(size_of(f, ".1"), -1);
}

static void long_lines_become_entries_that_go_on(void **state)
{
    struct fixture *f = *state;
    static const char *const argv[] = {"/bin/sh", "-c", "head -c 20000 /dev/zero | tr '\\0' y; echo end", NULL};
    struct run_plan plan = fixture_plan(f, "", "");
    plan.argv = argv;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    char *log = fixture_log(f, "current");
    assert_int_equal(count_of(log, "Z O y"), 2);
    assert_int_equal(count_of(log, "Z o y"), 1);
    assert_non_null(strstr(log, "yyyend\n"));
    int letters = 0;
    for (const char *at = log; *at != '\0'; at++) {
        letters += *at == 'y';
    }
    assert_int_equal(letters, 20000);
    free(log);
}

static void logs_of_runs_follow_each_other(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "print", "1");
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 1);
    plan.run = 2;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ended == 2);
    char *log = fixture_log(f, "current");
    assert_int_equal(count_of(log, "Z o 00000000"), 2);
    assert_true(strstr(log, "run 1 ended") < strstr(log, "run 2 started"));
    free(log);
}

static void growth_is_told_only_while_watched(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "print-on-signal", "hello");
    plan.ready = RUN_READY_NOTIFY;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
    WAIT_FOR(f, f->statuses == 1);
    assert_int_equal(f->grew, 0);
    run_watch_log(f->run, true);
    assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
    WAIT_FOR(f, f->grew >= 1);
    run_watch_log(f->run, false);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
}

// ---- full disks; mounting needs root

static bool mount_small(const char *path)
{
    assert_int_equal(reeve_dir_make(path, 0755, NULL), REEVE_OK);
    return mount("tmpfs", path, "tmpfs", 0, "size=256k") == 0;
}

static void fill_disk(const char *dir)
{
    char path[PATH_MAX + 16];
    static const char block[4096];
    (void)snprintf(path, sizeof(path), "%s/filler", dir);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof(block)) > 0) {
        // until it is full
    }
    assert_int_equal(errno, ENOSPC);
    (void)close(fd);
}

static void empty_disk(const char *dir)
{
    char path[PATH_MAX + 16];
    (void)snprintf(path, sizeof(path), "%s/filler", dir);
    assert_int_equal(unlink(path), 0);
}

static void full_log_disk_is_told_and_survived(void **state)
{
    struct fixture *f = *state;
    if (!mount_small(f->log_dir)) {
        skip();
    }
    struct run_plan plan = fixture_plan(f, "print-on-signal", "hello");
    static char text[8001];
    memset(text, 'z', sizeof(text) - 1);
    const char *const argv[] = {plan.argv[0], plan.argv[1], text, NULL};
    plan.argv = argv;
    plan.ready = RUN_READY_NOTIFY;
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    fill_disk(f->log_dir);
    for (int i = 1; i <= 20; i++) { // more than a pipe's 64 kB: it is drained all the same
        assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
        WAIT_FOR(f, f->statuses == i);
    }
    WAIT_FOR(f, f->log_failures == 1);
    assert_string_equal(f->log_error, "No space left on device");
    assert_int_equal(f->log_recoveries, 0);
    empty_disk(f->log_dir);
    WAIT_FOR(f, f->log_recoveries == 1);
    assert_non_null(strstr(f->log_error, "lines dropped"));
    assert_int_equal(atoi(f->log_error), 20);
    assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
    WAIT_FOR(f, f->statuses == 21);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
    char *log = fixture_log(f, "current");
    assert_non_null(strstr(log, "lines dropped: No space left on device\n"));
    assert_non_null(strstr(strstr(log, "lines dropped"), "Z o zzzz"));
    free(log);
    assert_int_equal(f->log_failures, 1);
    assert_int_equal(umount2(f->log_dir, MNT_DETACH), 0);
}

static void full_state_disk_does_not_cost_the_outcome(void **state)
{
    struct fixture *f = *state;
    char runs[PATH_MAX];
    (void)snprintf(runs, sizeof(runs), "%s/runs", f->dir);
    if (!mount_small(runs)) {
        skip();
    }
    const struct run_plan plan = fixture_plan(f, "pause", NULL);
    fixture_start(f, &plan);
    WAIT_FOR(f, f->started == 1);
    fill_disk(runs);
    (void)kill(f->pid, SIGQUIT);
    WAIT_FOR(f, f->ended == 1);
    assert_int_equal(f->outcome.signal, SIGQUIT);
    struct run_adopted adopted = {0};
    assert_int_equal(run_adopt(&f->host, "w", f, &adopted, NULL), REEVE_OK);
    assert_true(adopted.has_outcome); // also on disk, in blocks taken at the start
    assert_int_equal(adopted.outcome.signal, SIGQUIT);
    struct run *run = NULL;
    struct reeve_why why = {0};
    struct run_plan next = fixture_plan(f, "pause", NULL);
    next.run = 2;
    assert_int_equal(run_start(&f->host, &next, f, &run, &why), REEVE_IO); // refused with its reason, not half done
    assert_non_null(strstr(why.text, "No space left on device"));
    assert_int_equal(umount2(runs, MNT_DETACH), 0);
}

static void removed_log_folder_is_a_failure_that_heals(void **state)
{
    struct fixture *f = *state;
    struct run_plan plan = fixture_plan(f, "print-on-signal", "hello");
    plan.ready = RUN_READY_NOTIFY;
    plan.log_bytes_max = 100; // so that the next line opens a file
    fixture_start(f, &plan);
    WAIT_FOR(f, f->ready == 1);
    assert_int_equal(reeve_dir_remove(f->log_dir, NULL), REEVE_OK);
    assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
    WAIT_FOR(f, f->statuses == 1);
    assert_int_equal(run_signal(f->run, SIGUSR1, NULL), REEVE_OK);
    WAIT_FOR(f, f->log_failures == 1);
    assert_int_equal(reeve_dir_make(f->log_dir, 0755, NULL), REEVE_OK);
    WAIT_FOR(f, f->log_recoveries == 1);
    run_kill(f->run);
    WAIT_FOR(f, f->ended == 1);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        LOG_TEST(entries_have_time_stream_and_text),
        LOG_TEST(rotation_keeps_its_bounds_and_whole_lines),
        LOG_TEST(rotation_without_old_files),
        LOG_TEST(long_lines_become_entries_that_go_on),
        LOG_TEST(logs_of_runs_follow_each_other),
        LOG_TEST(growth_is_told_only_while_watched),
        LOG_TEST(full_log_disk_is_told_and_survived),
        LOG_TEST(full_state_disk_does_not_cost_the_outcome),
        LOG_TEST(removed_log_folder_is_a_failure_that_heals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
