// What a worker tells of its jobs: written and read again, damaged, cut short.
#include "job_test.h"

#include <stdio.h>

#define ENTRY(id_, attempt_, outcome_, ...)                                                                            \
    {                                                                                                                  \
        .id = {id_, sizeof(id_) - 1}, .attempt = (attempt_), .outcome = REEVE_JOB_OUTCOME_##outcome_, __VA_ARGS__      \
    }

static const struct reeve_job_entry entries[] = {
    ENTRY("a", 1, DONE, .data = {"\x91\x05", 2}, .progress = -1, .delay_ms = -1),
    ENTRY("b", 2, RETRY, .error = {"no route\nto host", 16}, .progress = -1, .delay_ms = 1500),
    ENTRY("b", 3, RETRY, .progress = -1, .delay_ms = 0),
    ENTRY("c", 1, FAILED, .error = {"bad address", 11}, .progress = -1, .delay_ms = -1),
    ENTRY("d", 1, CANCELLED, .progress = -1, .delay_ms = -1),
    ENTRY("e", 1, RELEASED, .progress = -1, .delay_ms = -1),
    ENTRY("f", 7, NOT_DONE, .progress = -1, .delay_ms = -1),
    ENTRY("g", 1, PROGRESS, .text = {"half", 4}, .progress = 0.5, .delay_ms = -1),
    ENTRY("g", 1, PROGRESS, .progress = 0, .delay_ms = -1),
    ENTRY("g", 1, CHECKPOINT, .data = {"\x07", 1}, .progress = -1, .delay_ms = -1),
    ENTRY("g", 1, NO_RETURN, .data = {"\x07", 1}, .progress = -1, .delay_ms = -1),
    ENTRY("g", 1, LOG, .text = {"größe", 7}, .progress = -1, .delay_ms = -1),
};

static const struct reeve_job_report full_head = {.worker = {"alpha/mail-1", 12},
                                                  .epoch = 1700000000000,
                                                  .seq = 4,
                                                  .got = 3,
                                                  .capacity = 16,
                                                  .manager_epoch = 7,
                                                  .hello = true,
                                                  .types = {"\x92\xa1t\xa1*", 5},
                                                  .reconciles = {"\x90", 1},
                                                  .hand = {"\x92\x92\xa1x\x01\x92\xa1y\x02", 9}};

static void put_full(struct reeve_buf *buf)
{
    struct reeve_job_report_writer writer;
    reeve_job_report_begin(&writer, buf, &full_head);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(entries); i++) {
        reeve_job_report_entry(&writer, &entries[i]);
    }
    assert_int_equal(reeve_job_report_end(&writer), REEVE_OK);
}

static void same_entry(const struct reeve_job_entry *a, const struct reeve_job_entry *b)
{
    assert_true(reeve_span_eq(a->id, b->id) && reeve_span_eq(a->data, b->data) && reeve_span_eq(a->error, b->error) &&
                reeve_span_eq(a->text, b->text));
    assert_true(a->attempt == b->attempt && a->outcome == b->outcome && a->delay_ms == b->delay_ms);
    assert_true((a->progress < 0 && b->progress < 0) || a->progress == b->progress);
}

static void a_report_is_read_as_it_was_written(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_report report;
    put_full(&buf);
    assert_int_equal(reeve_job_report_read(buf.data, buf.len, &report, NULL), REEVE_OK);
    is_text(report.worker, "alpha/mail-1");
    assert_true(report.epoch == 1700000000000 && report.seq == 4 && report.got == 3 && report.capacity == 16 &&
                report.manager_epoch == 7 && report.hello);
    is_json(report.types, "[\"t\", \"*\"]");
    is_json(report.reconciles, "[]");
    struct reeve_cursor hand = REEVE_CURSOR(report.hand.data, report.hand.len);
    struct reeve_span id;
    int64_t attempt;
    assert_int_equal(reeve_cursor_list(&hand), 2);
    assert_int_equal(reeve_job_hand_read(&hand, &id, &attempt), REEVE_OK);
    is_text(id, "x");
    assert_int_equal(attempt, 1);
    assert_int_equal(reeve_job_hand_read(&hand, &id, &attempt), REEVE_OK);
    is_text(id, "y");
    assert_int_equal(attempt, 2);
    assert_int_equal(reeve_cursor_end(&hand, NULL), REEVE_OK);
    struct reeve_cursor cursor = REEVE_CURSOR(report.entries.data, report.entries.len);
    assert_int_equal(reeve_cursor_list(&cursor), REEVE_ARRAY_LEN(entries));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(entries); i++) {
        struct reeve_job_entry entry;
        assert_int_equal(reeve_job_entry_read(&cursor, &entry), REEVE_OK);
        same_entry(&entry, &entries[i]);
    }
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
}

// As others read it: the names of the protocol, and what is empty left out.
static void the_message_is_that_of_the_protocol(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    struct reeve_value *value = NULL;
    struct reeve_job_report_writer writer;
    struct reeve_job_report head = full_head;
    reeve_job_report_begin(&writer, &buf, &head);
    reeve_job_report_entry(&writer, &entries[0]);
    reeve_job_report_entry(&writer, &entries[1]);
    reeve_job_report_entry(&writer, &entries[7]);
    assert_int_equal(reeve_job_report_end(&writer), REEVE_OK);
    assert_int_equal(reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &value, NULL), REEVE_OK);
    assert_int_equal(reeve_json_write(value, 0, &json), REEVE_OK);
    reeve_value_free(value);
    assert_string_equal(
        reeve_buf_str(&json),
        "{\"worker\":\"alpha/mail-1\",\"epoch\":1700000000000,\"seq\":4,\"got\":3,\"capacity\":16,\"manager_epoch\":7,"
        "\"hello\":true,\"types\":[\"t\",\"*\"],\"reconciles\":[],\"hand\":[[\"x\",1],[\"y\",2]],\"entries\":[{\"id\":"
        "\"a\","
        "\"attempt\":1,\"outcome\":\"done\",\"data\":[5]},{\"id\":\"b\",\"attempt\":2,\"outcome\":\"retry\",\"error\":"
        "\"no "
        "route\\nto host\",\"delay_ms\":1500},{\"id\":\"g\",\"attempt\":1,\"outcome\":\"progress\",\"text\":\"half\","
        "\"progress\":0.5}]}");
}

static void a_report_without_entries(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_report_writer writer;
    struct reeve_job_report report;
    const struct reeve_job_report head = {.worker = {"a/b", 3}, .epoch = 1, .seq = 1};
    reeve_job_report_begin(&writer, &buf, &head);
    assert_int_equal(reeve_job_report_end(&writer), REEVE_OK);
    assert_int_equal(reeve_job_report_read(buf.data, buf.len, &report, NULL), REEVE_OK);
    assert_int_equal(report.capacity + report.got + report.manager_epoch, 0);
    assert_int_equal(report.entries.len + report.hand.len + report.types.len, 0);
    assert_false(report.hello);
}

static void a_report_that_does_not_fit_says_so(void **state)
{
    (void)state;
    for (size_t max = 1; max < 400; max++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(max);
        struct reeve_job_report_writer writer;
        struct reeve_job_report report;
        reeve_job_report_begin(&writer, &buf, &full_head);
        reeve_job_report_entry(&writer, &entries[0]);
        reeve_job_report_entry(&writer, &entries[1]);
        if (reeve_job_report_end(&writer) != REEVE_OK) {
            assert_int_equal(buf.err, REEVE_LIMIT);
            continue;
        }
        assert_int_equal(reeve_job_report_read(buf.data, buf.len, &report, NULL), REEVE_OK);
    }
}

// What programs say last is often no UTF-8; the report goes out all the same.
static void words_of_a_program_are_mended(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_report_writer writer;
    struct reeve_job_report report;
    struct reeve_job_entry entry = ENTRY("a", 1, FAILED, .error = {"caf\xe9", 4}, .progress = -1, .delay_ms = -1);
    reeve_job_report_begin(&writer, &buf, &full_head);
    reeve_job_report_entry(&writer, &entry);
    assert_int_equal(reeve_job_report_end(&writer), REEVE_OK);
    assert_int_equal(reeve_job_report_read(buf.data, buf.len, &report, NULL), REEVE_OK);
    struct reeve_cursor cursor = REEVE_CURSOR(report.entries.data, report.entries.len);
    assert_int_equal(reeve_cursor_list(&cursor), 1);
    assert_int_equal(reeve_job_entry_read(&cursor, &entry), REEVE_OK);
    is_text(entry.error, "caf\xef\xbf\xbd");
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    put_full(&buf);
    for (size_t len = 0; len < buf.len; len++) {
        struct reeve_job_report report;
        struct reeve_why why = {.text = ""};
        char *copy = exact_copy(buf.data, len);
        assert_int_equal(reeve_job_report_read(copy, len, &report, &why), REEVE_INVALID);
        assert_true(strncmp(why.place, "byte ", 5) == 0);
        free(copy);
    }
}

static void what_is_left_is_a_mistake(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_report report;
    struct reeve_why why = {.text = ""};
    put_full(&buf);
    reeve_pack_null(&buf);
    assert_int_equal(reeve_job_report_read(buf.data, buf.len, &report, &why), REEVE_INVALID);
    assert_string_equal(why.text, "there is more behind the value");
}

#define HEAD "\"worker\": \"a/b\", \"epoch\": 1, \"seq\": 1, \"capacity\": 1"

static void every_mistake_has_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *want;
    } rows[] = {
        {"5", "whole number given, expected a report: a map"},
        {"{\"epoch\": 1, \"seq\": 1, \"capacity\": 1}", "worker: is missing, expected node/worker"},
        {"{\"worker\": \"a/b\", \"seq\": 1, \"capacity\": 1}",
         "epoch: is missing, expected a whole number from 1 to 9007199254740991"},
        {"{\"worker\": \"a/b\", \"epoch\": 1, \"capacity\": 1}", "seq: is missing, expected a whole number from 1"},
        {"{\"worker\": \"a/b\", \"epoch\": 1, \"seq\": 1}",
         "capacity: is missing, expected a whole number from 0 to 65536"},
        {"{\"worker\": 5}", "worker: whole number given, expected node/worker"},
        {"{\"worker\": \"ab\"}", "worker: is \"ab\", expected node/worker"},
        {"{\"worker\": \"a/\"}", "worker: is \"a/\", expected node/worker"},
        {"{\"worker\": \"/b\"}", "worker: is \"/b\", expected node/worker"},
        {"{\"worker\": \"a/b/c\"}", "worker: is \"a/b/c\", expected node/worker"},
        {"{\"worker\": \"A/b\"}", "worker: is \"A/b\", expected node/worker"},
        {"{" HEAD ", \"got\": -1}", "got: is -1, expected a whole number, not negative"},
        {"{\"capacity\": 65537}", "capacity: is 65537, expected a whole number from 0 to 65536"},
        {"{\"seq\": 0}", "seq: is 0, expected a whole number from 1"},
        {"{\"epoch\": 0}", "epoch: is 0, expected a whole number from 1 to 9007199254740991"},
        {"{" HEAD ", \"types\": \"t\"}", "types: string given, expected a list of types, or of *"},
        {"{" HEAD ", \"types\": [5]}", "types: whole number given, expected a list of types, or of *"},
        {"{" HEAD ", \"reconciles\": [\"t\", \"a b\"]}", "reconciles: has \"a b\", expected a list of types, or of *"},
        {"{" HEAD ", \"hand\": {}}", "hand: map given, expected a list of [id, attempt]"},
        {"{" HEAD ", \"entries\": {}}", "entries: map given, expected a list of maps"},
        {"{" HEAD ", \"hello\": 0}", "hello: whole number given, expected true or false"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_job_report report = {.seq = 77};
        struct reeve_why why = {.text = ""};
        put_json(&buf, rows[i].json);
        assert_int_equal(reeve_job_report_read(buf.data, buf.len, &report, &why), REEVE_INVALID);
        says(&why, rows[i].json, rows[i].want);
        assert_int_equal(report.seq, 77); // untouched
    }
}

#define GOOD "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"done\"}"

static void a_wrong_entry_leaves_the_others(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "5",
        "{}",
        "{\"attempt\": 1, \"outcome\": \"done\"}",
        "{\"id\": \"a\", \"outcome\": \"done\"}",
        "{\"id\": \"a\", \"attempt\": 1}",
        "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"Done\"}",
        "{\"id\": \"a\", \"attempt\": 1, \"outcome\": 0}",
        "{\"id\": \"a/b\", \"attempt\": 1, \"outcome\": \"done\"}",
        "{\"id\": \"a\", \"attempt\": 0, \"outcome\": \"done\"}",
        "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"done\", \"error\": 5}",
        "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"progress\", \"progress\": \"x\"}",
        "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"retry\", \"delay_ms\": -5}",
        "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"done\", \"data\": [[[[[[[[[[[[[1]]]]]]]]]]]]]}",
    };
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    reeve_pack_list(&buf, 2 * REEVE_ARRAY_LEN(wrong));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        put_json(&buf, wrong[i]);
        put_json(&buf, GOOD);
    }
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    assert_int_equal(reeve_cursor_list(&cursor), 2 * REEVE_ARRAY_LEN(wrong));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        struct reeve_job_entry entry = {.attempt = 77};
        enum reeve_err err = reeve_job_entry_read(&cursor, &entry);
        assert_int_equal(err, i == REEVE_ARRAY_LEN(wrong) - 1 ? REEVE_LIMIT : REEVE_INVALID);
        assert_true(i + 1 < REEVE_ARRAY_LEN(wrong) || (reeve_span_is(entry.id, "a") && entry.attempt == 1));
        assert_int_equal(reeve_job_entry_read(&cursor, &entry), REEVE_OK);
    }
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
}

static void progress_is_kept_within_its_ends(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        double want;
    } rows[] = {{"1.0000001", 1}, {"-0.5", 0}, {"1", 1}, {"0", 0}, {"0.25", 0.25}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char json[120];
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_job_entry entry;
        (void)snprintf(json, sizeof(json),
                       "{\"id\": \"a\", \"attempt\": 1, \"outcome\": \"progress\", \"progress\": %s}", rows[i].json);
        put_json(&buf, json);
        struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
        assert_int_equal(reeve_job_entry_read(&cursor, &entry), REEVE_OK);
        assert_true(entry.progress == rows[i].want);
    }
}

static void what_is_in_hand_is_read_in_pairs(void **state)
{
    (void)state;
    static const char *const wrong[] = {"5",          "[]",           "[\"a\"]",    "[\"a\", 1, 2]",
                                        "[1, \"a\"]", "[\"a b\", 1]", "[\"a\", 0]", "{\"a\": 1}"};
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        put_json(&buf, wrong[i]);
    }
    put_json(&buf, "[\"a\", 5]");
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    struct reeve_span id;
    int64_t attempt;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        assert_int_equal(reeve_job_hand_read(&cursor, &id, &attempt), REEVE_INVALID);
    }
    assert_int_equal(reeve_job_hand_read(&cursor, &id, &attempt), REEVE_OK);
    assert_int_equal(attempt, 5);
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_read_as_it_was_written), cmocka_unit_test(the_message_is_that_of_the_protocol),
        cmocka_unit_test(a_report_without_entries),           cmocka_unit_test(a_report_that_does_not_fit_says_so),
        cmocka_unit_test(words_of_a_program_are_mended),      cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_is_left_is_a_mistake),          cmocka_unit_test(every_mistake_has_its_place),
        cmocka_unit_test(a_wrong_entry_leaves_the_others),    cmocka_unit_test(progress_is_kept_within_its_ends),
        cmocka_unit_test(what_is_in_hand_is_read_in_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
