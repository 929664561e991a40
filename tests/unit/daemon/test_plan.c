// The files of a run: read back as written, and refused when damaged at any byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/plan.h"

static const char whole[] = "worker=mm-1\0run=7\0boot_id=b\0token=t\0argv=/bin/echo\0argv=a=b\0env=A=1\0env=B=\0"
                            "log_dir=/l\0stop_signal=15\0stop_grace_ms=1000\0log_bytes_max=100\0log_files_max=2\0"
                            "unknown=x\0uid=1000\0cgroup_procs=/c/cgroup.procs\0end=1"; // and the literal's own NUL

static bool read_copy(const char *data, size_t len, struct plan *ret)
{
    static char copy[PLAN_SIZE_MAX];
    const char *error = NULL;
    memcpy(copy, data, len);
    const bool read = plan_read(copy, len, ret, &error);
    assert_int_equal(read, error == NULL);
    return read;
}

static void plan_reads_back(void **state)
{
    static struct plan plan;
    (void)state;
    assert_true(read_copy(whole, sizeof(whole), &plan));
    assert_string_equal(plan.worker, "mm-1");
    assert_int_equal(plan.run, 7);
    assert_int_equal(plan.uid, 1000);
    assert_int_equal(plan.gid, -1);
    assert_null(plan.cwd);
    assert_int_equal(plan.argv.len, 2);
    assert_string_equal(plan.argv.items[1], "a=b");
    assert_null(plan.argv.items[2]);
    assert_string_equal(plan.env.items[0], "A=1");
    assert_string_equal(plan.env.items[1], "B=");
    assert_string_equal(plan.cgroup_procs.items[0], "/c/cgroup.procs");
}

static void cut_plans_are_refused(void **state)
{
    static struct plan plan;
    (void)state;
    for (size_t len = 0; len < sizeof(whole); len++) {
        assert_false(read_copy(whole, len, &plan));
    }
}

static void bad_values_are_refused(void **state)
{
    static struct plan plan;
    static const char *const bad[] = {"run=0",           "run=x",  "run=99999999999999999999", "stop_signal=65",
                                      "log_bytes_max=0", "uid=-2", "gid=4294967296",           "stop_grace_ms=-1",
                                      "no equals sign"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char data[sizeof(whole) + 64];
        const size_t head = sizeof(whole) - sizeof("end=1");
        memcpy(data, whole, head);
        memcpy(data + head, bad[i], strlen(bad[i]) + 1); // the last one of a key counts
        memcpy(data + head + strlen(bad[i]) + 1, "end=1", 6);
        assert_false(read_copy(data, head + strlen(bad[i]) + 1 + 6, &plan));
    }
}

static void too_many_arguments_are_refused(void **state)
{
    static struct plan plan;
    static char data[PLAN_SIZE_MAX];
    (void)state;
    const size_t head = sizeof(whole) - sizeof("end=1");
    memcpy(data, whole, head);
    size_t len = head;
    for (int i = 0; i < PLAN_ARGS_MAX - 2; i++) {
        memcpy(data + len, "argv=", 6);
        len += 6;
    }
    memcpy(data + len, "end=1", 6);
    assert_true(read_copy(data, len + 6, &plan));
    assert_null(plan.argv.items[PLAN_ARGS_MAX]);
    memcpy(data + len, "argv=", 6);
    memcpy(data + len + 6, "end=1", 6);
    assert_false(read_copy(data, len + 12, &plan));
}

static void random_bytes_do_no_harm(void **state)
{
    static struct plan plan;
    char data[sizeof(whole)];
    unsigned seed = 1;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        memcpy(data, whole, sizeof(whole));
        for (int i = 0; i < 3; i++) {
            data[(size_t)rand_r(&seed) % sizeof(data)] = (char)rand_r(&seed);
        }
        (void)read_copy(data, sizeof(data), &plan);
    }
}

static void start_reads_back(void **state)
{
    const struct plan_start start = {.pid = 4711, .start_time = UINT64_MAX, .boot_id = "bacf-063d"};
    struct plan_start back;
    char text[PLAN_RECORD_MAX];
    (void)state;
    const size_t len = plan_start_write(&start, text);
    assert_true(plan_start_read(text, len, &back));
    assert_int_equal(back.pid, 4711);
    assert_true(back.start_time == UINT64_MAX);
    assert_string_equal(back.boot_id, "bacf-063d");
    for (size_t cut = 0; cut < len; cut++) {
        (void)plan_start_write(&start, text);
        assert_false(plan_start_read(text, cut, &back));
    }
}

static void exit_reads_back(void **state)
{
    struct shim_outcome outcome = {
        .ended_at = 1795354433543, .ran_ms = 12, .code = -1, .signal = 9, .core = 1, .oom = 1, .cause = "signal"};
    struct shim_outcome back;
    char text[PLAN_RECORD_MAX];
    (void)state;
    memset(outcome.error, 'x', sizeof(outcome.error) - 1);
    const size_t len = plan_exit_write(&outcome, text);
    assert_true(plan_exit_read(text, len, &back));
    assert_memory_equal(&outcome, &back, sizeof(outcome));
    for (size_t cut = 0; cut < len; cut++) {
        (void)plan_exit_write(&outcome, text);
        assert_false(plan_exit_read(text, cut, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_reads_back),         cmocka_unit_test(cut_plans_are_refused),
        cmocka_unit_test(bad_values_are_refused),  cmocka_unit_test(too_many_arguments_are_refused),
        cmocka_unit_test(random_bytes_do_no_harm), cmocka_unit_test(start_reads_back),
        cmocka_unit_test(exit_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
