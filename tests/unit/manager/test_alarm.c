// Alarms: opened, counted, renewed, acknowledged, closed; what is stored and what is retained; duplicates that others
// report; after a failed turn and after a restart.
#include "fake_store.h"

#include "alarm_room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(call) assert_int_equal(call, REEVE_OK)

static struct fake fake;

// query.c is another room's.
enum reeve_err not_found(struct reeve_why *why, const char *kind, const char *name, const char *const *names)
{
    const char *near = reeve_near(name, names);
    return reeve_fail(why, REEVE_NOENT, "no %s \"%s\"%s%s", kind, name, near != NULL ? ", did you mean " : "",
                      near != NULL ? near : "");
}

static void begin(void)
{
    struct reeve_why why = {0};
    assert_ok(alarms_new(&fake.manager, &fake.manager.alarms, &why));
    assert_ok(alarms_load(fake.manager.alarms, &why));
}

static int setup(void **state)
{
    (void)state;
    fake_init(&fake);
    fake_store_reset();
    begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    alarms_free(fake.manager.alarms);
    fake_done(&fake);
    fake_store_reset();
    return 0;
}

static void restart(void)
{
    fake.manager.started_at = fake.wall_ms + 1;
    alarms_free(fake.manager.alarms);
    fake.filters_len = 0;
    begin();
}

static void open_flapping(enum alarm_severity severity, const char *message)
{
    struct reeve_value *detail = reeve_value_map();
    reeve_put_int(detail, "changes", 7);
    alarm_open(&fake.manager, "flapping", "alpha_mm-1", severity, detail, "%s", message);
}

static void pass(int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        fake_time(&fake, 1000);
        alarms_tick(fake.manager.alarms);
    }
    fake_turn(&fake, true);
}

static const struct reeve_value *retained(const char *topic)
{
    const struct fake_item *item = fake_find(&fake, topic);
    assert_non_null(item);
    assert_int_equal(item->kind, LEAVING_RECORD);
    assert_int_equal(item->expiry_ms, 0);
    return item->value;
}

#define FLAPPING "alarm/flapping/alpha_mm-1"

static void an_alarm_is_retained_and_stored_until_it_is_closed(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    assert_true(alarm_is_open(&fake.manager, "flapping", "alpha_mm-1"));
    assert_int_equal(alarms_len(fake.manager.alarms), 1);
    assert_int_equal(fake_count(&fake, "alarm/*"), 0); // before the commit nothing leaves
    fake_turn(&fake, true);
    const struct reeve_value *record = retained(FLAPPING);
    assert_string_equal(reeve_get_str(record, "kind"), "flapping");
    assert_string_equal(reeve_get_str(record, "subject"), "alpha_mm-1");
    assert_string_equal(reeve_get_str(record, "severity"), "warning");
    assert_string_equal(reeve_get_str(record, "message"), "changed 7 times");
    assert_string_equal(reeve_get_str(record, "manager"), "main");
    assert_int_equal(reeve_get_int(record, "count", 0), 1);
    assert_int_equal(reeve_get_int(record, "opened_at", 0), FAKE_WALL);
    assert_int_equal(reeve_get_int(record, "changed_at", 0), FAKE_WALL);
    assert_int_equal(reeve_get_int(reeve_value_get(record, "detail"), "changes", 0), 7);
    assert_null(reeve_value_get(record, "acknowledged_by"));
    assert_non_null(fake_store_document(STORE_ALARM, "flapping/alpha_mm-1"));
    alarm_close(&fake.manager, "flapping", "alpha_mm-1");
    alarm_close(&fake.manager, "flapping", "alpha_mm-1"); // not open = nothing
    alarm_close(&fake.manager, "flapping", "never");
    fake_turn(&fake, true);
    assert_null(retained(FLAPPING));
    assert_int_equal(fake_count(&fake, "alarm/*"), 2);
    assert_null(fake_store_document(STORE_ALARM, "flapping/alpha_mm-1"));
    assert_false(alarm_is_open(&fake.manager, "flapping", "alpha_mm-1"));
}

static void the_same_again_is_counted_and_shown_now_and_then(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    fake_turn(&fake, true);
    for (int i = 0; i < 59; i++) { // a room that says so at each of its ticks
        open_flapping(ALARM_WARNING, "changed 7 times");
        pass(1000);
    }
    assert_int_equal(fake_count(&fake, FLAPPING), 1);
    assert_int_equal(fake_store_writes(), 1);
    pass(1000);
    assert_int_equal(fake_count(&fake, FLAPPING), 2);
    assert_int_equal(reeve_get_int(retained(FLAPPING), "count", 0), 60);
    assert_int_equal(reeve_get_int(retained(FLAPPING), "changed_at", 0), FAKE_WALL); // only counted
    assert_int_equal(reeve_get_int(fake_store_document(STORE_ALARM, "flapping/alpha_mm-1"), "count", 0), 60);
    pass(300000);
    assert_int_equal(fake_count(&fake, FLAPPING), 2);
}

static void a_new_text_is_shown_within_seconds_and_a_severity_at_once(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    fake_turn(&fake, true);
    for (int i = 0; i < 4; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "changed %d times", 8 + i);
        fake_time(&fake, 1000);
        open_flapping(ALARM_WARNING, text);
        alarms_tick(fake.manager.alarms);
    }
    fake_turn(&fake, true);
    assert_int_equal(fake_count(&fake, FLAPPING), 1);
    pass(1000);
    assert_int_equal(fake_count(&fake, FLAPPING), 2);
    assert_string_equal(reeve_get_str(retained(FLAPPING), "message"), "changed 11 times");
    assert_int_equal(reeve_get_int(retained(FLAPPING), "changed_at", 0), FAKE_WALL + 4000);
    assert_int_equal(reeve_get_int(retained(FLAPPING), "opened_at", 0), FAKE_WALL);
    open_flapping(ALARM_ERROR, "changed 11 times");
    fake_turn(&fake, true);
    assert_int_equal(fake_count(&fake, FLAPPING), 3);
    assert_string_equal(reeve_get_str(retained(FLAPPING), "severity"), "error");
}

static void they_outlive_the_manager(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    assert_ok(fake_call(&fake, &op_acknowledge_args, NULL,
                        "{kind: flapping, subject: alpha/mm-1, by: Ada, note: looking}", op_acknowledge_run, NULL));
    alarm_open(&fake.manager, "pool_unplaceable", "swap", ALARM_ERROR, NULL, "no node");
    fake_turn(&fake, true);
    REEVE_VALUE_AUTO before = alarms_value(fake.manager.alarms);
    restart();
    REEVE_VALUE_AUTO after = alarms_value(fake.manager.alarms);
    assert_int_equal(reeve_value_len(after), 2);
    assert_true(reeve_value_equal(before, after));
    assert_string_equal(reeve_get_str(reeve_value_at(after, 0), "kind"), "pool_unplaceable"); // errors first
    fake_forget_items(&fake);
    alarms_publish(fake.manager.alarms); // a new session
    fake_turn(&fake, true);
    assert_int_equal(fake_count(&fake, "alarm/*"), 2);
    assert_string_equal(reeve_get_str(retained(FLAPPING), "acknowledged_by"), "Ada");
    alarm_close(&fake.manager, "flapping", "alpha_mm-1");
    assert_int_equal(alarms_len(fake.manager.alarms), 1);
}

static void a_failed_turn_leaves_what_the_store_has(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    fake_turn(&fake, true);
    fake_store_refuse(REEVE_IO);
    alarm_open(&fake.manager, "unhealthy", "alpha_mm-2", ALARM_ERROR, NULL, "never stored");
    alarm_close(&fake.manager, "flapping", "alpha_mm-1");
    fake_turn(&fake, false);
    fake_store_refuse(REEVE_OK);
    assert_ok(alarms_load(fake.manager.alarms, NULL));
    assert_true(alarm_is_open(&fake.manager, "flapping", "alpha_mm-1"));
    assert_false(alarm_is_open(&fake.manager, "unhealthy", "alpha_mm-2"));
    assert_int_equal(fake_count(&fake, "alarm/*"), 1);
    alarm_close(&fake.manager, "flapping", "alpha_mm-1"); // by who opened it, who is still there
    assert_int_equal(alarms_len(fake.manager.alarms), 0);
}

// ---- acknowledging ----------------------------------------------------------------------------------------------

static enum reeve_err acknowledge(const char *args, struct reeve_why *why)
{
    return fake_call(&fake, &op_acknowledge_args, NULL, args, op_acknowledge_run, why);
}

static void a_named_person_acknowledges_and_it_stays_open(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    fake_turn(&fake, true);
    fake_time(&fake, 90000);
    assert_ok(acknowledge("{kind: flapping, subject: alpha_mm-1, by: Ada Lovelace, note: known}", NULL));
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    fake_turn(&fake, true);
    const struct reeve_value *record = retained(FLAPPING);
    assert_string_equal(reeve_get_str(record, "acknowledged_by"), "Ada Lovelace");
    assert_string_equal(reeve_get_str(record, "note"), "known");
    assert_int_equal(reeve_get_int(record, "acknowledged_at", 0), FAKE_WALL + 90000);
    assert_true(alarm_is_open(&fake.manager, "flapping", "alpha_mm-1"));
    assert_ok(acknowledge("{kind: flapping, subject: alpha/mm-1, by: Grace}", NULL)); // another one, without a note
    fake_turn(&fake, true);
    assert_string_equal(reeve_get_str(retained(FLAPPING), "acknowledged_by"), "Grace");
    assert_null(reeve_value_get(retained(FLAPPING), "note"));
    open_flapping(ALARM_WARNING, "changed 9 times"); // the same, worse: still seen
    pass(5000);
    assert_string_equal(reeve_get_str(retained(FLAPPING), "acknowledged_by"), "Grace");
    open_flapping(ALARM_ERROR, "changed 9 times"); // that nobody has seen
    fake_turn(&fake, true);
    assert_null(reeve_value_get(retained(FLAPPING), "acknowledged_by"));
    assert_null(reeve_value_get(fake_store_document(STORE_ALARM, "flapping/alpha_mm-1"), "acknowledged_by"));
}

static void acknowledging_needs_a_name_and_an_alarm(void **state)
{
    (void)state;
    struct reeve_why why = {0};
    open_flapping(ALARM_WARNING, "changed 7 times");
    fake_turn(&fake, true);
    assert_int_equal(acknowledge("{kind: flapping, subject: alpha_mm-1}", &why), REEVE_INVALID);
    assert_non_null(strstr(why.place, "by"));
    assert_int_equal(acknowledge("{kind: flapping, subject: alpha_mm-1, by: '  '}", &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "blank"));
    assert_int_equal(acknowledge("{kind: flapping, subject: alpha_mm-1, by: ''}", &why), REEVE_INVALID);
    assert_int_equal(acknowledge("{kind: flapping, subject: alpha_mm-1, by: Ada, nota: x}", &why), REEVE_INVALID);
    assert_int_equal(acknowledge("{kind: flapping, subject: alpha_mm-2, by: Ada}", &why), REEVE_NOENT);
    assert_non_null(strstr(why.text, "did you mean flapping/alpha_mm-1"));
    assert_int_equal(acknowledge("{kind: flapping, subject: a/b/c, by: Ada}", &why), REEVE_NOENT);
    assert_int_equal(fake_count(&fake, "alarm/*"), 1);
    assert_null(reeve_value_get(retained(FLAPPING), "acknowledged_by"));
}

static void listing_is_by_kind_and_by_page(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        char subject[32];
        (void)snprintf(subject, sizeof subject, "alpha_mm-%d", i);
        fake_time(&fake, 1000);
        alarm_open(&fake.manager, i < 3 ? "flapping" : "unhealthy", subject, i == 1 ? ALARM_ERROR : ALARM_WARNING, NULL,
                   "x");
    }
    assert_ok(acknowledge("{kind: flapping, subject: alpha_mm-0, by: Ada}", NULL));
    const struct {
        const char *args;
        int64_t total;
        const char *first;
        size_t len;
    } rows[] = {{"{}", 5, "alpha_mm-1", 5},
                {"{kind: flapping}", 3, "alpha_mm-1", 3},
                {"{kind: 'un*'}", 2, "alpha_mm-4", 2},
                {"{open_only: true}", 4, "alpha_mm-1", 4},
                {"{offset: 1, limit: 2}", 5, "alpha_mm-4", 2},
                {"{offset: 9}", 5, NULL, 0},
                {"{kind: none}", 0, NULL, 0}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_ok(fake_call(&fake, &op_alarms_args, NULL, rows[i].args, op_alarms_run, NULL));
        const struct reeve_value *list = reeve_value_get(fake.reply.result, "alarms");
        assert_int_equal(reeve_get_int(fake.reply.result, "total", -1), rows[i].total);
        assert_int_equal(reeve_value_len(list), rows[i].len);
        if (rows[i].first != NULL) {
            assert_string_equal(reeve_get_str(reeve_value_at(list, 0), "subject"), rows[i].first);
        }
    }
}

// ---- bounds -----------------------------------------------------------------------------------------------------

static int lines_of_refusal;

static void count_lines(enum reeve_log_level level, const char *line, void *arg)
{
    (void)arg;
    lines_of_refusal += level == REEVE_LOG_ERROR && strstr(line, "refused") != NULL;
}

static void more_than_the_bound_are_refused_and_told_once(void **state)
{
    (void)state;
    char subject[32];
    lines_of_refusal = 0;
    reeve_log_set_sink(count_lines, NULL);
    for (int i = 0; i < ALARMS_MAX + 5; i++) {
        (void)snprintf(subject, sizeof subject, "w-%d", i);
        alarm_open(&fake.manager, "unhealthy", subject, ALARM_WARNING, reeve_value_map(), "x");
    }
    assert_int_equal(alarms_len(fake.manager.alarms), ALARMS_MAX);
    assert_int_equal(alarms_refused(fake.manager.alarms), 5);
    assert_int_equal(lines_of_refusal, 1);
    alarm_open(&fake.manager, "unhealthy", "w-0", ALARM_WARNING, NULL, "one that is open is no new one");
    assert_int_equal(alarms_refused(fake.manager.alarms), 5);
    alarm_close(&fake.manager, "unhealthy", "w-0");
    alarm_open(&fake.manager, "unhealthy", subject, ALARM_WARNING, NULL, "now there is room");
    assert_true(alarm_is_open(&fake.manager, "unhealthy", subject));
    reeve_log_set_sink(NULL, NULL);
    fake_turn(&fake, true);
    restart();
    assert_int_equal(alarms_len(fake.manager.alarms), ALARMS_MAX);
    assert_ok(fake_call(&fake, &op_alarms_args, NULL, "{limit: 500}", op_alarms_run, NULL));
    assert_int_equal(reeve_value_len(reeve_value_get(fake.reply.result, "alarms")), 500);
}

static void a_record_keeps_to_its_bound(void **state)
{
    (void)state;
    char *text = malloc(20001);
    memset(text, 'x', 20000);
    text[20000] = '\0';
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "large", text);
    alarm_open(&fake.manager, "unhealthy", "w", ALARM_WARNING, detail, "%s", text);
    free(text);
    fake_turn(&fake, true);
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(0);
    const struct reeve_value *record = retained("alarm/unhealthy/w");
    assert_ok(reeve_msgpack_write(record, &bytes));
    assert_true(bytes.len < 1000);
    assert_true(reeve_get_bool(reeve_value_get(record, "detail"), "left_out", false));
    for (int i = 0; i < 1000; i++) { // replies too: 1,000 x 4 KiB of detail
        char subject[32];
        char filler[3000];
        memset(filler, 'y', sizeof filler - 1);
        filler[sizeof filler - 1] = '\0';
        struct reeve_value *more = reeve_value_map();
        reeve_put_str(more, "filler", filler);
        (void)snprintf(subject, sizeof subject, "w-%d", i);
        alarm_open(&fake.manager, "unhealthy", subject, ALARM_WARNING, more, "x");
    }
    assert_ok(fake_call(&fake, &op_alarms_args, NULL, "{limit: 500}", op_alarms_run, NULL));
    assert_ok(reeve_msgpack_write(fake.reply.result, &bytes));
    assert_true(bytes.len < 700000);
    assert_int_equal(reeve_get_int(fake.reply.result, "total", 0), 1001);
    assert_in_range(reeve_value_len(reeve_value_get(fake.reply.result, "alarms")), 100, 200);
}

static void assert_subjects_differ(const char *node_a, const char *worker_a, const char *node_b, const char *worker_b)
{
    char a[REEVE_NAME_SIZE];
    char b[REEVE_NAME_SIZE];
    assert_ok(reeve_name_check(alarm_subject(node_a, worker_a, a), NULL));
    assert_ok(reeve_name_check(alarm_subject(node_b, worker_b, b), NULL));
    assert_string_not_equal(a, b);
}

static void subjects_are_names_and_tell_workers_apart(void **state)
{
    (void)state;
    char buf[REEVE_NAME_SIZE];
    const char *const fifty = "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvw";
    assert_string_equal(alarm_subject("alpha", "mm-1", buf), "alpha_mm-1");
    assert_string_equal(alarm_subject("alpha", "mm_1", buf), "alpha_mm_1");
    assert_subjects_differ("a_b", "c", "a", "b_c");
    assert_subjects_differ(fifty, "mm-1", fifty, "mm-2");
    assert_subjects_differ("alpha", fifty, "alpha", "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvx");
    alarm_open(&fake.manager, "account_invalid", "Desk A/1", ALARM_ERROR, NULL, "x"); // no name at all
    assert_true(alarm_is_open(&fake.manager, "account_invalid", "Desk A/1"));
    fake_turn(&fake, true);
    assert_non_null(retained("alarm/account_invalid/desk-a-1-*"));
    alarm_close(&fake.manager, "account_invalid", "Desk A/1");
    assert_int_equal(alarms_len(fake.manager.alarms), 0);
}

// ---- what others say --------------------------------------------------------------------------------------------

#define OF_A_WORKER                                                                                                    \
    "{kind: duplicate, node: alpha, worker: mm-1, epoch: 5, pid: 10, other_epoch: 6, other_pid: 11, at: 7}"
#define OF_A_NODE "{subject: alpha, message: 'two daemons hold this name', at: 7}"

static void a_reported_duplicate_is_taken_in_and_closes_when_it_is_over(void **state)
{
    (void)state;
    fake_deliver(&fake, "alarm/duplicate/mm-1", OF_A_WORKER, false);
    fake_deliver(&fake, "alarm/duplicate/alpha", OF_A_NODE, false);
    fake_turn(&fake, true);
    const struct reeve_value *record = retained("alarm/duplicate/mm-1");
    assert_non_null(strstr(reeve_get_str(record, "message"), "two workers on node alpha hold the name mm-1"));
    assert_int_equal(reeve_get_int(reeve_value_get(record, "detail"), "other_pid", 0), 11);
    assert_string_equal(reeve_get_str(record, "severity"), "error");
    assert_string_equal(reeve_get_str(retained("alarm/duplicate/alpha"), "message"), "two daemons hold this name");
    assert_ok(acknowledge("{kind: duplicate, subject: mm-1, by: Ada}", NULL));
    fake_turn(&fake, true);
    pass(300000);
    fake_deliver(&fake, "alarm/duplicate/mm-1", OF_A_WORKER, false); // a third one tried
    pass(299000);
    assert_int_equal(alarms_len(fake.manager.alarms), 2);
    assert_int_equal(reeve_get_int(retained("alarm/duplicate/mm-1"), "count", 0), 2);
    pass(1000);
    assert_null(retained("alarm/duplicate/alpha")); // 10 minutes after it was told
    assert_int_equal(alarms_len(fake.manager.alarms), 1);
    pass(300000);
    assert_null(retained("alarm/duplicate/mm-1"));
    assert_int_equal(alarms_len(fake.manager.alarms), 0);
    assert_null(fake_store_document(STORE_ALARM, "duplicate/mm-1"));
}

static void its_own_records_come_back_and_are_no_news(void **state)
{
    (void)state;
    fake_deliver(&fake, "alarm/duplicate/mm-1", OF_A_WORKER, false);
    fake_turn(&fake, true);
    for (int i = 0; i < 5; i++) { // the echo of what it published, live and kept
        fake_deliver_value(&fake, "alarm/duplicate/mm-1", reeve_value_clone(retained("alarm/duplicate/mm-1")),
                           i % 2 == 0);
        fake_turn(&fake, true);
    }
    assert_int_equal(fake_count(&fake, "alarm/*"), 1);
    pass(600000);
    assert_int_equal(alarms_len(fake.manager.alarms), 0);
}

static void what_is_kept_and_not_open_is_removed(void **state)
{
    (void)state;
    fake_deliver(&fake, "alarm/flapping/w", "{kind: flapping, subject: w, manager: main}",
                 true); // of a store that was lost
    fake_deliver(&fake, "alarm/flapping/x", "{kind: flapping, subject: x, manager: other}", true);
    fake_deliver(&fake, "alarm/strange/y", "{text: somebody else}", true);
    fake_deliver(&fake, "alarm/flapping/z", "{kind: flapping, subject: z, manager: main}",
                 false); // an echo, closed meanwhile
    fake_turn(&fake, true);
    assert_int_equal(fake_count(&fake, "alarm/*"), 1);
    assert_null(retained("alarm/flapping/w"));
    assert_int_equal(alarms_len(fake.manager.alarms), 0);
}

static void one_that_somebody_removed_comes_back(void **state)
{
    (void)state;
    open_flapping(ALARM_WARNING, "changed 7 times");
    fake_turn(&fake, true);
    fake_deliver(&fake, FLAPPING, "", false);
    fake_deliver(&fake, "alarm/flapping/none", "", false);
    fake_turn(&fake, true);
    assert_int_equal(fake_count(&fake, "alarm/*"), 2);
    assert_non_null(retained(FLAPPING));
}

static void garbage_is_counted(void **state)
{
    (void)state;
    fake_deliver_bytes(&fake, "alarm/duplicate/mm-1", "\xc1\xff", 2, false);
    fake_deliver(&fake, "alarm/duplicate/mm-1", "[1, 2]", false);
    fake_deliver(&fake, "alarm/duplicate/MM.1", OF_A_WORKER, false);
    fake_turn(&fake, true);
    assert_int_equal(fake.manager.counters.malformed, 2);
    assert_int_equal(alarms_len(fake.manager.alarms), 0);
    assert_int_equal(fake_count(&fake, "alarm/*"), 0);
}

static void one_that_a_room_opened_too_waits_for_both(void **state)
{
    (void)state;
    fake_deliver(&fake, "alarm/duplicate/mm-1", OF_A_WORKER, false);
    alarm_open(&fake.manager, "duplicate", "mm-1", ALARM_ERROR, NULL, "on alpha and beta");
    pass(700000);
    assert_true(alarm_is_open(&fake.manager, "duplicate", "mm-1")); // the room has not closed it
    alarm_close(&fake.manager, "duplicate", "mm-1");
    assert_false(alarm_is_open(&fake.manager, "duplicate", "mm-1"));
    alarm_open(&fake.manager, "duplicate", "mm-2", ALARM_ERROR, NULL, "on alpha and beta");
    fake_deliver(&fake, "alarm/duplicate/mm-2", OF_A_WORKER, false);
    alarm_close(&fake.manager, "duplicate", "mm-2");
    assert_true(alarm_is_open(&fake.manager, "duplicate", "mm-2")); // told a moment ago
    pass(600000);
    assert_false(alarm_is_open(&fake.manager, "duplicate", "mm-2"));
}

static void after_a_restart_a_duplicate_has_to_be_seen_again(void **state)
{
    (void)state;
    alarm_open(&fake.manager, "duplicate", "main", ALARM_ERROR, NULL, "manager main left");
    alarm_open(&fake.manager, "unhealthy", "w", ALARM_ERROR, NULL, "two checks fail");
    pass(700000);
    assert_int_equal(alarms_len(fake.manager.alarms), 2);
    restart();
    pass(599000);
    assert_int_equal(alarms_len(fake.manager.alarms), 2);
    assert_ok(alarms_load(fake.manager.alarms, NULL)); // after a failed turn: who opened one is still there
    alarm_open(&fake.manager, "duplicate", "fresh", ALARM_ERROR, NULL, "on alpha and beta");
    assert_ok(alarms_load(fake.manager.alarms, NULL));
    pass(600000);
    assert_false(alarm_is_open(&fake.manager, "duplicate", "main"));
    assert_true(alarm_is_open(&fake.manager, "duplicate", "fresh"));
    assert_true(alarm_is_open(&fake.manager, "unhealthy", "w"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    reeve_log_set_level(REEVE_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(an_alarm_is_retained_and_stored_until_it_is_closed),
        TEST(the_same_again_is_counted_and_shown_now_and_then),
        TEST(a_new_text_is_shown_within_seconds_and_a_severity_at_once),
        TEST(they_outlive_the_manager),
        TEST(a_failed_turn_leaves_what_the_store_has),
        TEST(a_named_person_acknowledges_and_it_stays_open),
        TEST(acknowledging_needs_a_name_and_an_alarm),
        TEST(listing_is_by_kind_and_by_page),
        TEST(more_than_the_bound_are_refused_and_told_once),
        TEST(a_record_keeps_to_its_bound),
        TEST(subjects_are_names_and_tell_workers_apart),
        TEST(a_reported_duplicate_is_taken_in_and_closes_when_it_is_over),
        TEST(its_own_records_come_back_and_are_no_news),
        TEST(what_is_kept_and_not_open_is_removed),
        TEST(one_that_somebody_removed_comes_back),
        TEST(garbage_is_counted),
        TEST(one_that_a_room_opened_too_waits_for_both),
        TEST(after_a_restart_a_duplicate_has_to_be_seen_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
