// What a program tells about its work: when it counts as turned, as changed, as the same; bounds; the record.
// Must not: need a broker.
#include "worker.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct worker_check check(const char *name, bool ok, double value)
{
    struct worker_check made = {.ok = ok, .value = value, .warn = NAN, .fail = 10};
    (void)snprintf(made.name, sizeof made.name, "%s", name); /* short */
    return made;
}

static enum work_change tell(struct worker_work *work, const char *name, bool ok, double value)
{
    struct worker_check told = check(name, ok, value);
    enum work_change change = WORK_SAME;
    assert_int_equal(worker_work_check(work, &told, &change), REEVE_OK);
    return change;
}

static void a_check_turns_changes_or_stays(void **state)
{
    (void)state;
    struct worker_work work = {0};
    assert_int_equal(tell(&work, "quotes", true, 1), WORK_CHANGED);
    assert_int_equal(tell(&work, "quotes", true, 1), WORK_SAME); // NAN thresholds are the same as themselves
    assert_int_equal(tell(&work, "quotes", true, 2), WORK_CHANGED);
    assert_int_equal(tell(&work, "quotes", false, 11), WORK_TURNED);
    assert_int_equal(tell(&work, "quotes", false, 12), WORK_CHANGED);
    assert_int_equal(tell(&work, "quotes", true, 1), WORK_TURNED);
    assert_int_equal(tell(&work, "margin", false, 1), WORK_TURNED); // new, and failing at once
    assert_int_equal(work.checks_len, 2);
}

static void at_most_sixteen_are_declared_and_a_known_one_is_still_renewed(void **state)
{
    (void)state;
    struct worker_work work = {0};
    enum work_change change;
    char name[16];
    for (int i = 0; i < REEVE_WORKER_CHECKS_MAX; i++) {
        (void)snprintf(name, sizeof name, "c%d", i); /* short */
        (void)tell(&work, name, true, i);
    }
    struct worker_check more = check("more", true, 1);
    assert_int_equal(worker_work_check(&work, &more, &change), REEVE_LIMIT);
    assert_int_equal(tell(&work, "c3", false, 1), WORK_TURNED);
    assert_int_equal(worker_work_clear(&work, "c3"), WORK_TURNED); // a failing one ends: who looks should know at once
    assert_int_equal(worker_work_clear(&work, "c3"), WORK_SAME);
    assert_int_equal(worker_work_check(&work, &more, &change), REEVE_OK);
    assert_string_equal(work.checks[2].name, "c2");
    assert_string_equal(work.checks[3].name, "c4");
    assert_string_equal(work.checks[15].name, "more");
}

static void progress_told_again_is_no_progress(void **state)
{
    (void)state;
    struct worker_work work = {0};
    assert_int_equal(worker_work_progress(&work, -1, NULL, 1), WORK_SAME);
    assert_int_equal(worker_work_progress(&work, 0.5, "half", 100), WORK_CHANGED);
    assert_int_equal(worker_work_progress(&work, 0.5, "half", 200), WORK_SAME);
    assert_int_equal(work.progress_at, 100);
    assert_int_equal(worker_work_progress(&work, 0.5, "still half", 300), WORK_CHANGED);
    assert_int_equal(work.progress_at, 300);
    assert_int_equal(worker_work_progress(&work, 7, NULL, 400), WORK_CHANGED);
    assert_true(work.progress == 1);
    assert_int_equal(worker_work_progress(&work, NAN, NULL, 500), WORK_CHANGED);
    assert_int_equal(work.progress_at, 0);
}

static void the_records_leave_out_what_was_not_told(void **state)
{
    (void)state;
    struct worker_work work = {0};
    assert_null(worker_work_checks_value(&work));
    assert_null(worker_work_value(&work));
    (void)tell(&work, "quotes", false, 11);
    work.failed = 2;
    REEVE_VALUE_AUTO checks = worker_work_checks_value(&work);
    REEVE_VALUE_AUTO told = worker_work_value(&work);
    assert_int_equal(reeve_value_len(checks), 1);
    const struct reeve_value *entry = reeve_value_at(checks, 0);
    assert_string_equal(reeve_get_str(entry, "name"), "quotes");
    assert_false(reeve_get_bool(entry, "ok", true));
    assert_true(reeve_value_real(reeve_value_get(entry, "value"), 0) == 11);
    assert_true(reeve_value_real(reeve_value_get(entry, "fail"), 0) == 10);
    assert_null(reeve_value_get(entry, "warn"));
    assert_null(reeve_value_get(entry, "message"));
    assert_int_equal(reeve_get_int(told, "failed", -1), 2);
    assert_int_equal(reeve_get_int(told, "done", -1), 0);
    assert_null(reeve_value_get(told, "progress"));
    (void)worker_work_progress(&work, 0.25, "a quarter", 77);
    REEVE_VALUE_AUTO more = worker_work_value(&work);
    assert_true(reeve_value_real(reeve_value_get(more, "progress"), 0) == 0.25);
    assert_string_equal(reeve_get_str(more, "text"), "a quarter");
    assert_int_equal(reeve_get_int(more, "progress_at", 0), 77);
}

static void offline_before_draining_before_paused_before_jobs(void **state)
{
    (void)state;
    static struct reeve_worker worker;
    worker.status.jobs = 1;
    assert_int_equal(worker_availability(&worker), REEVE_AVAILABILITY_PROCESSING);
    worker.status.paused = true;
    assert_int_equal(worker_availability(&worker), REEVE_AVAILABILITY_PAUSED);
    worker.status.draining = true;
    assert_int_equal(worker_availability(&worker), REEVE_AVAILABILITY_DRAINING);
    worker.status.offline = true;
    assert_int_equal(worker_availability(&worker), REEVE_AVAILABILITY_OFFLINE);
    worker.status = (struct worker_status){0};
    assert_int_equal(worker_availability(&worker), REEVE_AVAILABILITY_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_turns_changes_or_stays),
        cmocka_unit_test(at_most_sixteen_are_declared_and_a_known_one_is_still_renewed),
        cmocka_unit_test(progress_told_again_is_no_progress),
        cmocka_unit_test(the_records_leave_out_what_was_not_told),
        cmocka_unit_test(offline_before_draining_before_paused_before_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
