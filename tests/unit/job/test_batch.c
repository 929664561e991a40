// What a manager hands to a worker: written and read again, damaged, cut short.
#include "job_test.h"

#include <reeve/str.h>
#include <stdio.h>

static const struct reeve_job_batch full_head = {.queue = {"mail", 4},
                                                 .manager_epoch = 7,
                                                 .worker_epoch = 1700000000000,
                                                 .seq = 3,
                                                 .ack = 9,
                                                 .lease_ms = 15000,
                                                 .hello = true};
static const struct reeve_job_item full_item = {.id = {"order-1", 7},
                                                .type = {"mail.send", 9},
                                                .payload = {"\x91\x05", 2},
                                                .checkpoint = {"\xa2hi", 3},
                                                .attempt = 2,
                                                .timeout_ms = 60000,
                                                .reconcile = true};
static const struct reeve_job_item small_item = {.id = {"j", 1}, .type = {"t", 1}, .attempt = 1};
static const struct reeve_job_notice full_notice = {
    .id = {"order-1", 7}, .reason = {"line 1\nline 2", 13}, .attempt = 2, .grace_ms = 10000};
static const struct reeve_job_notice small_notice = {.id = {"j", 1}, .attempt = 1};

static void put_full(struct reeve_buf *buf)
{
    struct reeve_job_batch_writer writer;
    reeve_job_batch_begin(&writer, buf, &full_head);
    reeve_job_batch_job(&writer, &full_item);
    reeve_job_batch_job(&writer, &small_item);
    reeve_job_batch_cancel(&writer, &full_notice);
    reeve_job_batch_abandon(&writer, &small_notice);
    reeve_job_batch_abandon(&writer, &full_notice);
    assert_int_equal(reeve_job_batch_end(&writer), REEVE_OK);
}

static void same_item(const struct reeve_job_item *a, const struct reeve_job_item *b)
{
    assert_true(reeve_span_eq(a->id, b->id) && reeve_span_eq(a->type, b->type) &&
                reeve_span_eq(a->payload, b->payload) && reeve_span_eq(a->checkpoint, b->checkpoint));
    assert_true(a->attempt == b->attempt && a->timeout_ms == b->timeout_ms && a->reconcile == b->reconcile);
}

static void same_notice(const struct reeve_job_notice *a, const struct reeve_job_notice *b)
{
    assert_true(reeve_span_eq(a->id, b->id) && reeve_span_eq(a->reason, b->reason) && a->attempt == b->attempt &&
                a->grace_ms == b->grace_ms);
}

static void a_batch_is_read_as_it_was_written(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_batch batch;
    struct reeve_job_item item;
    struct reeve_job_notice notice;
    put_full(&buf);
    assert_int_equal(reeve_job_batch_read(buf.data, buf.len, &batch, NULL), REEVE_OK);
    is_text(batch.queue, "mail");
    assert_int_equal(batch.manager_epoch, 7);
    assert_int_equal(batch.worker_epoch, 1700000000000);
    assert_true(batch.seq == 3 && batch.ack == 9 && batch.lease_ms == 15000 && batch.hello);
    struct reeve_cursor jobs = REEVE_CURSOR(batch.jobs.data, batch.jobs.len);
    assert_int_equal(reeve_cursor_list(&jobs), 2);
    assert_int_equal(reeve_job_item_read(&jobs, &item), REEVE_OK);
    same_item(&item, &full_item);
    assert_int_equal(reeve_job_item_read(&jobs, &item), REEVE_OK);
    same_item(&item, &small_item);
    assert_int_equal(reeve_cursor_end(&jobs, NULL), REEVE_OK);
    struct reeve_cursor cancels = REEVE_CURSOR(batch.cancels.data, batch.cancels.len);
    assert_int_equal(reeve_cursor_list(&cancels), 1);
    assert_int_equal(reeve_job_notice_read(&cancels, &notice), REEVE_OK);
    same_notice(&notice, &full_notice);
    assert_int_equal(reeve_cursor_end(&cancels, NULL), REEVE_OK);
    struct reeve_cursor abandons = REEVE_CURSOR(batch.abandons.data, batch.abandons.len);
    assert_int_equal(reeve_cursor_list(&abandons), 2);
    assert_int_equal(reeve_job_notice_read(&abandons, &notice), REEVE_OK);
    same_notice(&notice, &small_notice);
    assert_int_equal(reeve_job_notice_read(&abandons, &notice), REEVE_OK);
    same_notice(&notice, &full_notice);
    assert_int_equal(reeve_cursor_end(&abandons, NULL), REEVE_OK);
}

// As others read it: the names of the protocol, and what is empty left out.
static void the_message_is_that_of_the_protocol(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    struct reeve_value *value = NULL;
    put_full(&buf);
    assert_int_equal(reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &value, NULL), REEVE_OK);
    assert_int_equal(reeve_json_write(value, 0, &json), REEVE_OK);
    reeve_value_free(value);
    assert_string_equal(
        reeve_buf_str(&json),
        "{\"queue\":\"mail\",\"manager_epoch\":7,\"worker_epoch\":1700000000000,\"seq\":3,\"ack\":9,\"lease_ms\":15000,"
        "\"hello\":true,\"jobs\":[{\"id\":\"order-1\",\"attempt\":2,\"type\":\"mail.send\",\"payload\":[5],"
        "\"checkpoint\":"
        "\"hi\",\"reconcile\":true,\"timeout_ms\":60000},{\"id\":\"j\",\"attempt\":1,\"type\":\"t\"}],\"cancels\":[{"
        "\"id\":"
        "\"order-1\",\"attempt\":2,\"reason\":\"line 1\\nline 2\",\"grace_ms\":10000}],\"abandons\":[{\"id\":\"j\","
        "\"attempt\":1},{\"id\":\"order-1\",\"attempt\":2,\"reason\":\"line 1\\nline 2\",\"grace_ms\":10000}]}");
}

static void an_empty_batch_is_an_acknowledgement(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_batch_writer writer;
    const struct reeve_job_batch head = {.queue = {"q", 1}, .manager_epoch = 1, .worker_epoch = 2, .ack = 5};
    struct reeve_job_batch batch = {.seq = 77};
    reeve_job_batch_begin(&writer, &buf, &head);
    assert_int_equal(reeve_job_batch_end(&writer), REEVE_OK);
    assert_int_equal(reeve_job_batch_read(buf.data, buf.len, &batch, NULL), REEVE_OK);
    assert_true(batch.seq == 0 && batch.ack == 5 && batch.lease_ms == 0 && !batch.hello);
    assert_int_equal(batch.jobs.len + batch.cancels.len + batch.abandons.len, 0);
}

static void lists_alone_and_long_ones(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 4096; n *= 16) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_job_batch_writer writer;
        struct reeve_job_batch batch;
        reeve_buf_puts(&buf, "before"); // of the caller
        reeve_job_batch_begin(&writer, &buf, &full_head);
        for (size_t i = 0; i < n; i++) {
            reeve_job_batch_abandon(&writer, &small_notice);
        }
        assert_int_equal(reeve_job_batch_end(&writer), REEVE_OK);
        assert_int_equal(reeve_job_batch_read(buf.data + 6, buf.len - 6, &batch, NULL), REEVE_OK);
        struct reeve_cursor cursor = REEVE_CURSOR(batch.abandons.data, batch.abandons.len);
        assert_int_equal(reeve_cursor_list(&cursor), n);
        assert_int_equal(batch.jobs.len, 0);
    }
}

static void a_batch_that_does_not_fit_says_so(void **state)
{
    (void)state;
    for (size_t max = 0; max < 300; max++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(max + 1);
        struct reeve_job_batch_writer writer;
        struct reeve_job_batch batch;
        reeve_job_batch_begin(&writer, &buf, &full_head);
        reeve_job_batch_job(&writer, &full_item);
        reeve_job_batch_cancel(&writer, &full_notice);
        if (reeve_job_batch_end(&writer) != REEVE_OK) {
            assert_int_equal(buf.err, REEVE_LIMIT);
            continue;
        }
        assert_int_equal(reeve_job_batch_read(buf.data, buf.len, &batch, NULL), REEVE_OK);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    put_full(&buf);
    for (size_t len = 0; len < buf.len; len++) {
        struct reeve_job_batch batch;
        struct reeve_why why = {.text = ""};
        char *copy = exact_copy(buf.data, len);
        assert_int_equal(reeve_job_batch_read(copy, len, &batch, &why), REEVE_INVALID);
        assert_true(strncmp(why.place, "byte ", 5) == 0);
        free(copy);
    }
}

static void what_is_left_is_a_mistake(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_batch batch;
    struct reeve_why why = {.text = ""};
    put_full(&buf);
    reeve_pack_null(&buf);
    assert_int_equal(reeve_job_batch_read(buf.data, buf.len, &batch, &why), REEVE_INVALID);
    assert_string_equal(why.text, "there is more behind the value");
}

static void keys_of_a_later_version_are_skipped(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_batch batch;
    struct reeve_job_item item;
    put_json(&buf,
             "{\"colour\": {\"a\": [1]}, \"queue\": \"q\", \"worker_epoch\": 2.0, \"manager_epoch\": 1, \"jobs\": "
             "[{\"x\": 1, \"type\": \"t\", \"attempt\": 1, \"id\": \"j\", \"payload\": null}]}");
    assert_int_equal(reeve_job_batch_read(buf.data, buf.len, &batch, NULL), REEVE_OK);
    struct reeve_cursor cursor = REEVE_CURSOR(batch.jobs.data, batch.jobs.len);
    assert_int_equal(reeve_cursor_list(&cursor), 1);
    assert_int_equal(reeve_job_item_read(&cursor, &item), REEVE_OK);
    same_item(&item, &small_item);
}

#define HEAD "\"queue\": \"q\", \"manager_epoch\": 1, \"worker_epoch\": 2"

static void every_mistake_has_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *want;
    } rows[] = {
        {"[]", "list given, expected a map of jobs for a worker"},
        {"{}", "queue: is missing, expected the name of a queue"},
        {"{\"queue\": \"q\", \"worker_epoch\": 1}",
         "manager_epoch: is missing, expected a whole number from 1 to 9007199254740991"},
        {"{\"queue\": \"q\", \"manager_epoch\": 1}",
         "worker_epoch: is missing, expected a whole number from 1 to 9007199254740991"},
        {"{" HEAD ", \"seq\": -1}", "seq: is -1, expected a whole number, not negative"},
        {"{\"queue\": \"q\", \"manager_epoch\": 9007199254740992}",
         "manager_epoch: is 9007199254740992, expected a whole number from 1 to 9007199254740991"},
        {"{\"queue\": \"q/r\"}", "queue: is \"q/r\", expected the name of a queue"},
        {"{" HEAD ", \"ack\": \"5\"}", "ack: string given, expected a whole number, not negative"},
        {"{" HEAD ", \"lease_ms\": 0.5}", "lease_ms: number given, expected whole milliseconds, not negative"},
        {"{" HEAD ", \"hello\": 1}", "hello: whole number given, expected true or false"},
        {"{" HEAD ", \"jobs\": {}}", "jobs: map given, expected a list of jobs"},
        {"{" HEAD ", \"cancels\": 5}", "cancels: whole number given, expected a list of maps"},
        {"{" HEAD ", \"abandons\": \"x\"}", "abandons: string given, expected a list of maps"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_job_batch batch = {.seq = 77};
        struct reeve_why why = {.text = ""};
        put_json(&buf, rows[i].json);
        assert_int_equal(reeve_job_batch_read(buf.data, buf.len, &batch, &why), REEVE_INVALID);
        says(&why, rows[i].json, rows[i].want);
        assert_int_equal(batch.seq, 77); // untouched
    }
}

static void a_wrong_entry_leaves_the_others(void **state)
{
    (void)state;
    static const char *const items[] = {
        "5",
        "{}",
        "{\"id\": \"j\"}",
        "{\"id\": \"j\", \"attempt\": 1}",
        "{\"id\": \"j\", \"type\": \"t\"}",
        "{\"id\": \"j\", \"type\": \"t\", \"attempt\": 0}",
        "{\"id\": \"j \", \"type\": \"t\", \"attempt\": 1}",
        "{\"id\": \"j\", \"type\": \"t\", \"attempt\": 1, \"reconcile\": 1}",
        "{\"id\": \"j\", \"type\": \"t\", \"attempt\": 1, \"timeout_ms\": -1}",
        "[]",
    };
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    reeve_pack_list(&buf, 2 * REEVE_ARRAY_LEN(items));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(items); i++) {
        put_json(&buf, items[i]);
        put_json(&buf, "{\"id\": \"j\", \"type\": \"t\", \"attempt\": 1}");
    }
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    assert_int_equal(reeve_cursor_list(&cursor), 2 * REEVE_ARRAY_LEN(items));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(items); i++) {
        struct reeve_job_item item;
        assert_int_equal(reeve_job_item_read(&cursor, &item), REEVE_INVALID);
        assert_int_equal(reeve_job_item_read(&cursor, &item), REEVE_OK);
        same_item(&item, &small_item);
    }
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
    struct reeve_cursor again = REEVE_CURSOR(buf.data, buf.len);
    size_t wrong = 0;
    for (size_t left = reeve_cursor_list(&again); left > 0; left--) {
        struct reeve_job_notice notice;
        wrong += reeve_job_notice_read(&again, &notice) != REEVE_OK;
    }
    assert_int_equal(wrong, 7);
    assert_int_equal(reeve_cursor_end(&again, NULL), REEVE_OK);
}

static void states_and_outcomes_have_their_words(void **state)
{
    (void)state;
    for (int i = 0; i < REEVE_JOB_STATE_COUNT; i++) {
        enum reeve_job_state back = REEVE_JOB_STATE_COUNT;
        assert_true(reeve_job_state_parse(reeve_job_state_text((enum reeve_job_state)i), &back));
        assert_int_equal(back, i);
        assert_int_equal(reeve_job_state_live(back), i <= REEVE_JOB_UNKNOWN);
    }
    enum reeve_job_state none;
    assert_false(reeve_job_state_parse("done", &none));
    assert_true(reeve_job_outcome_ends(REEVE_JOB_OUTCOME_NOT_DONE));
    assert_false(reeve_job_outcome_ends(REEVE_JOB_OUTCOME_PROGRESS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_read_as_it_was_written),
        cmocka_unit_test(the_message_is_that_of_the_protocol),
        cmocka_unit_test(an_empty_batch_is_an_acknowledgement),
        cmocka_unit_test(lists_alone_and_long_ones),
        cmocka_unit_test(a_batch_that_does_not_fit_says_so),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_is_left_is_a_mistake),
        cmocka_unit_test(keys_of_a_later_version_are_skipped),
        cmocka_unit_test(every_mistake_has_its_place),
        cmocka_unit_test(a_wrong_entry_leaves_the_others),
        cmocka_unit_test(states_and_outcomes_have_their_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
