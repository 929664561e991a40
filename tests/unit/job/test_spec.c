// A job as it is enqueued: every key, every mistake with its place, and what makes two jobs the same.
#include "job_test.h"

#include <reeve/str.h>
#include <stdio.h>

static enum reeve_err read_spec(const struct reeve_buf *buf, struct reeve_job_spec *ret, struct reeve_why *why)
{
    struct reeve_cursor cursor = REEVE_CURSOR(buf->data, buf->len);
    enum reeve_err err = reeve_job_spec_read(&cursor, ret, why);
    if (cursor.err == REEVE_OK) {
        assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK); // behind the job, right or wrong
    }
    return err;
}

static struct reeve_job_spec spec_of(struct reeve_buf *buf, const char *json)
{
    struct reeve_job_spec spec;
    struct reeve_why why = {.text = ""};
    reeve_buf_reset(buf);
    put_json(buf, json);
    enum reeve_err err = read_spec(buf, &spec, &why);
    says(&why, json, "");
    assert_int_equal(err, REEVE_OK);
    return spec;
}

static const char all_keys[] =
    "{\"id\": \"order-17_b\", \"type\": \"mail.send\", \"payload\": {\"to\": [\"a\", \"b\"]}, \"priority\": 9, "
    "\"key\": "
    "\"customer 5\", \"delay_ms\": 1500, \"attempts\": 1000, \"backoff\": {\"kind\": \"fixed\", \"delay_ms\": 100, "
    "\"max_ms\": 200, \"jitter\": 0.5}, \"timeout_ms\": 60000, \"requires\": {\"type\": \"trading\"}, \"after\": "
    "[\"order-16\", \"x\"], \"dedupe\": {\"key\": \"k\", \"window_ms\": 10}}";

static void every_key_is_read(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec = spec_of(&buf, all_keys);
    is_text(spec.id, "order-17_b");
    is_text(spec.type, "mail.send");
    is_json(spec.payload, "{\"to\": [\"a\", \"b\"]}");
    assert_int_equal(spec.priority, 9);
    is_text(spec.key, "customer 5");
    assert_int_equal(spec.delay_ms, 1500);
    assert_int_equal(spec.run_at, 0);
    assert_int_equal(spec.attempts, 1000);
    assert_int_equal(spec.backoff.kind, REEVE_JOB_BACKOFF_FIXED);
    assert_int_equal(spec.backoff.delay_ms, 100);
    assert_int_equal(spec.backoff.max_ms, 200);
    assert_true(spec.backoff.jitter == 0.5);
    assert_int_equal(spec.timeout_ms, 60000);
    is_json(spec.requires, "{\"type\": \"trading\"}");
    is_json(spec.after, "[\"order-16\", \"x\"]");
    is_text(spec.dedupe_key, "k");
    assert_int_equal(spec.dedupe_ms, 10);
    is_json(spec.raw, all_keys);
}

static void what_is_not_said_is_preset(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"type\": \"t\"}",
        "{\"type\": \"t\", \"id\": null, \"payload\": null, \"priority\": null, \"key\": null, \"delay_ms\": null, "
        "\"run_at\": null, \"attempts\": null, \"backoff\": null, \"requires\": null, \"after\": null, \"dedupe\": "
        "null, \"timeout_ms\": null}",
        "{\"type\": \"t\", \"after\": [], \"requires\": {}, \"backoff\": {}}",
        "{\"type\": \"t\", \"requires\": []}",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_job_spec spec = spec_of(&buf, rows[i]);
        is_text(spec.type, "t");
        assert_int_equal(spec.id.len + spec.payload.len + spec.key.len + spec.requires.len + spec.after.len +
                             spec.dedupe_key.len,
                         0);
        assert_int_equal(spec.priority, REEVE_JOB_PRIORITY_PRESET);
        assert_true(spec.delay_ms == 0 && spec.run_at == 0 && spec.attempts == 0 && spec.timeout_ms == 0);
        assert_true(spec.backoff.kind == REEVE_JOB_BACKOFF_PRESET && spec.backoff.delay_ms == 0 &&
                    spec.backoff.max_ms == 0 && spec.backoff.jitter < 0);
        assert_int_equal(spec.raw.len, buf.len);
    }
}

static void other_spellings_of_values(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec = spec_of(&buf, "{\"type\": \"t\", \"priority\": 0.0, \"run_at\": 1700000000000.0}");
    assert_int_equal(spec.priority, 0);
    assert_int_equal(spec.run_at, 1700000000000);
    spec = spec_of(&buf, "{\"type\": \"t\", \"requires\": \"cpus>=4, gpu\", \"payload\": false}");
    is_json(spec.requires, "\"cpus>=4, gpu\"");
    is_json(spec.payload, "false");
    spec = spec_of(&buf, "{\"type\": \"t\", \"requires\": [\"cpus>=4\"], \"backoff\": {\"kind\": \"exponential\"}}");
    is_json(spec.requires, "[\"cpus>=4\"]");
    assert_int_equal(spec.backoff.kind, REEVE_JOB_BACKOFF_EXPONENTIAL);
}

#define TEN "0123456789"
#define MS  "expected whole milliseconds from 0 to 315619200000 (10 years)"
static const struct {
    const char *json;
    const char *want;
} mistakes[] = {
    {"{}", "type: is missing, expected 1 to 63 of A-Z a-z 0-9 _ - ."},
    {"{\"type\": null}", "type: is missing, expected 1 to 63 of A-Z a-z 0-9 _ - ."},
    {"[1]", "list given, expected a job: a map with its type"},
    {"null", "nothing given, expected a job: a map with its type"},
    {"\"mail\"", "string given, expected a job: a map with its type"},
    {"{\"typ\": \"t\"}", "typ: unknown key, did you mean type?"},
    {"{\"type\": \"t\", \"delay\": 5}", "delay: unknown key, did you mean delay_ms?"},
    {"{\"type\": \"t\", \"colour\": 5}",
     "colour: unknown key, expected id type payload priority key delay_ms run_at attempts backoff timeout_ms "
     "requires after dedupe"},
    {"{\"type\": \"t\", \"Pay\\nload\": 5}", "Pay?load: unknown key, did you mean payload?"},
    {"{\"type\": 5}", "type: whole number given, expected 1 to 63 of A-Z a-z 0-9 _ - ."},
    {"{\"type\": \"\"}", "type: is \"\", expected 1 to 63 of A-Z a-z 0-9 _ - ."},
    {"{\"type\": \"a/b\"}", "type: is \"a/b\", expected 1 to 63 of A-Z a-z 0-9 _ - ."},
    {"{\"type\": \"" TEN TEN TEN TEN TEN TEN "0123\"}",
     "type: is \"" TEN TEN TEN TEN TEN TEN "0123\", expected 1 to 63 of A-Z a-z 0-9 _ - ."},
    {"{\"type\": \"t\", \"id\": \"a.b\"}", "id: is \"a.b\", expected 1 to 80 of A-Z a-z 0-9 _ -"},
    {"{\"type\": \"t\", \"id\": 5}", "id: whole number given, expected 1 to 80 of A-Z a-z 0-9 _ -"},
    {"{\"type\": \"t\", \"priority\": 10}", "priority: is 10, expected a whole number from 0 to 9"},
    {"{\"type\": \"t\", \"priority\": -1}", "priority: is -1, expected a whole number from 0 to 9"},
    {"{\"type\": \"t\", \"priority\": 1.5}", "priority: number given, expected a whole number from 0 to 9"},
    {"{\"type\": \"t\", \"priority\": \"5\"}", "priority: string given, expected a whole number from 0 to 9"},
    {"{\"type\": \"t\", \"key\": \"\"}", "key: has 0 bytes, expected 1 to 128 bytes of printable text"},
    {"{\"type\": \"t\", \"key\": \"a\\nb\"}", "key: is \"a\\nb\", expected 1 to 128 bytes of printable text"},
    {"{\"type\": \"t\", \"key\": [\"a\"]}", "key: list given, expected 1 to 128 bytes of printable text"},
    {"{\"type\": \"t\", \"delay_ms\": -1}", "delay_ms: is -1, " MS},
    {"{\"type\": \"t\", \"delay_ms\": 315619200001}", "delay_ms: is 315619200001, " MS},
    {"{\"type\": \"t\", \"delay_ms\": \"5s\"}", "delay_ms: string given, " MS},
    {"{\"type\": \"t\", \"timeout_ms\": true}", "timeout_ms: true or false given, " MS},
    {"{\"type\": \"t\", \"run_at\": 0}", "run_at: is 0, expected milliseconds since 1970, a whole number"},
    {"{\"type\": \"t\", \"run_at\": 5, \"delay_ms\": 0}", "run_at: is given beside delay_ms: keep one of them"},
    {"{\"type\": \"t\", \"attempts\": 0}", "attempts: is 0, expected a whole number from 1 to 1000"},
    {"{\"type\": \"t\", \"attempts\": 1001}", "attempts: is 1001, expected a whole number from 1 to 1000"},
    {"{\"type\": \"t\", \"backoff\": 5}",
     "backoff: whole number given, expected a map of kind, delay_ms, max_ms, jitter"},
    {"{\"type\": \"t\", \"backoff\": {\"kind\": \"linear\"}}",
     "backoff.kind: is \"linear\", expected fixed or exponential"},
    {"{\"type\": \"t\", \"backoff\": {\"kind\": 1}}",
     "backoff.kind: whole number given, expected fixed or exponential"},
    {"{\"type\": \"t\", \"backoff\": {\"delay\": 1}}", "backoff.delay: unknown key, did you mean delay_ms?"},
    {"{\"type\": \"t\", \"backoff\": {\"delay_ms\": -5}}", "backoff.delay_ms: is -5, " MS},
    {"{\"type\": \"t\", \"backoff\": {\"jitter\": 1.5}}", "backoff.jitter: is 1.5, expected a number from 0 to 1"},
    {"{\"type\": \"t\", \"backoff\": {\"jitter\": \"x\"}}",
     "backoff.jitter: string given, expected a number from 0 to 1"},
    {"{\"type\": \"t\", \"backoff\": {\"delay_ms\": 5, \"max_ms\": 4}}", "backoff: max_ms 4 is below delay_ms 5"},
    {"{\"type\": \"t\", \"requires\": 5}",
     "requires: whole number given, expected a map such as {type: trading}, or a list of texts such as cpus>=4"},
    {"{\"type\": \"t\", \"requires\": [\"a\", {}]}", "requires[1]: map given, expected text such as cpus>=4"},
    {"{\"type\": \"t\", \"after\": \"x\"}", "after: string given, expected a list of ids of jobs"},
    {"{\"type\": \"t\", \"after\": [\"x\", 7]}", "after[1]: whole number given, expected the id of a job"},
    {"{\"type\": \"t\", \"after\": [\"x y\"]}", "after[0]: is \"x y\", expected 1 to 80 of A-Z a-z 0-9 _ -"},
    {"{\"type\": \"t\", \"id\": \"a\", \"after\": [\"b\", \"a\"]}", "after: the job waits for itself"},
    {"{\"type\": \"t\", \"dedupe\": \"k\"}", "dedupe: string given, expected a map of key and window_ms"},
    {"{\"type\": \"t\", \"dedupe\": {\"key\": \"k\"}}",
     "dedupe.window_ms: is missing, expected whole milliseconds from 1 to 315619200000 (10 years)"},
    {"{\"type\": \"t\", \"dedupe\": {\"window_ms\": 5}}",
     "dedupe.key: is missing, expected 1 to 128 bytes of printable text"},
    {"{\"type\": \"t\", \"dedupe\": {\"key\": \"k\", \"window_ms\": 0}}",
     "dedupe.window_ms: is 0, expected whole milliseconds from 1 to 315619200000 (10 years)"},
    {"{\"type\": \"t\", \"dedupe\": {\"key\": \"k\", \"window\": 5}}",
     "dedupe.window: unknown key, did you mean window_ms?"},
    // The first mistake counts.
    {"{\"priority\": 10, \"attempts\": 0, \"typ\": 1}", "priority: is 10, expected a whole number from 0 to 9"},
};

static void every_mistake_has_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(mistakes); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_job_spec spec = {.priority = 77};
        struct reeve_why why = {.text = ""};
        put_json(&buf, mistakes[i].json);
        assert_int_equal(read_spec(&buf, &spec, &why), REEVE_INVALID);
        says(&why, mistakes[i].json, mistakes[i].want);
        assert_int_equal(spec.priority, 77); // untouched
        assert_int_equal(read_spec(&buf, &spec, NULL), REEVE_INVALID);
    }
}

static void a_wrong_job_leaves_the_others_of_its_batch(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    size_t wrong = 0;
    reeve_pack_list(&buf, REEVE_ARRAY_LEN(mistakes) * 2);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(mistakes); i++) {
        put_json(&buf, mistakes[i].json);
        put_json(&buf, all_keys);
    }
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    for (size_t left = reeve_cursor_list(&cursor); left > 0; left--) {
        struct reeve_job_spec spec;
        wrong += reeve_job_spec_read(&cursor, &spec, NULL) != REEVE_OK;
    }
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
    assert_int_equal(wrong, REEVE_ARRAY_LEN(mistakes));
}

static void a_key_given_twice(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec;
    struct reeve_why why = {.text = ""};
    reeve_pack_map(&buf, 3);
    for (unsigned i = 0; i < 3; i++) {
        reeve_pack_str(&buf, i == 1 ? "key" : "type");
        reeve_pack_str(&buf, "t");
    }
    assert_int_equal(read_spec(&buf, &spec, &why), REEVE_INVALID);
    says(&why, "two types", "type: is given twice");
}

static void names_at_their_bounds(void **state)
{
    (void)state;
    char text[200];
    static const struct {
        const char *key;
        size_t max;
    } rows[] = {{"id", 80}, {"type", 63}, {"key", 128}};
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        for (size_t more = 0; more < 2; more++) {
            REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
            struct reeve_job_spec spec;
            bool type = i == 1;
            reeve_pack_map(&buf, type ? 1 : 2);
            reeve_pack_str(&buf, rows[i].key);
            reeve_pack_span(&buf, (struct reeve_span){text, rows[i].max + more});
            if (!type) {
                reeve_pack_str(&buf, "type");
                reeve_pack_str(&buf, "t");
            }
            assert_int_equal(read_spec(&buf, &spec, NULL), more == 0 ? REEVE_OK : REEVE_INVALID);
        }
    }
}

// {type: t, payload: <depth lists>}
static void put_deep(struct reeve_buf *buf, unsigned depth)
{
    reeve_buf_reset(buf);
    reeve_pack_map(buf, 2);
    reeve_pack_str(buf, "payload");
    while (depth-- > 0) {
        reeve_pack_list(buf, 1);
    }
    reeve_pack_null(buf);
    reeve_pack_str(buf, "type");
    reeve_pack_str(buf, "t");
}

static void payloads_are_bounded(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec;
    struct reeve_why why = {.text = ""};
    put_deep(&buf, REEVE_JOB_VALUE_DEPTH_MAX);
    assert_int_equal(read_spec(&buf, &spec, NULL), REEVE_OK);
    put_deep(&buf, REEVE_JOB_VALUE_DEPTH_MAX + 1);
    assert_int_equal(read_spec(&buf, &spec, &why), REEVE_LIMIT);
    says(&why, "depth", "payload: nested too deep (byte 21), expected at most 12 containers in each other");
    for (size_t more = 0; more < 2; more++) {
        REEVE_AUTO_FREE char *text = calloc(1, REEVE_JOB_VALUE_BYTES_MAX);
        assert_non_null(text);
        memset(text, 'x', REEVE_JOB_VALUE_BYTES_MAX);
        reeve_buf_reset(&buf);
        reeve_pack_map(&buf, 2);
        reeve_pack_str(&buf, "payload");
        reeve_pack_span(&buf, (struct reeve_span){text, REEVE_JOB_VALUE_BYTES_MAX - 5 + more}); // 5 bytes of head
        reeve_pack_str(&buf, "type");
        reeve_pack_str(&buf, "t");
        assert_int_equal(read_spec(&buf, &spec, &why), more == 0 ? REEVE_OK : REEVE_LIMIT);
    }
    says(&why, "size", "payload: has 458753 bytes, at most 458752 are allowed");
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    put_json(&buf, all_keys);
    for (size_t len = 0; len < buf.len; len++) {
        char *copy = exact_copy(buf.data, len);
        struct reeve_cursor cursor = REEVE_CURSOR(copy, len);
        struct reeve_job_spec spec;
        struct reeve_why why = {.text = ""};
        assert_int_equal(reeve_job_spec_read(&cursor, &spec, &why), REEVE_INVALID);
        assert_int_equal(cursor.err, REEVE_INVALID);
        assert_true(strncmp(why.place, "byte ", 5) == 0 && strncmp(why.text, "cut short", 9) == 0);
        free(copy);
    }
}

static uint64_t digest_of(const char *json)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_spec spec = spec_of(&buf, json);
    return reeve_job_spec_digest(&spec);
}

static void the_digest_is_of_type_key_and_payload(void **state)
{
    (void)state;
    uint64_t base = digest_of("{\"type\": \"t\", \"key\": \"k\", \"payload\": {\"a\": 1}}");
    assert_true(base == digest_of("{\"payload\": {\"a\": 1}, \"key\": \"k\", \"type\": \"t\"}"));
    assert_true(base ==
                digest_of("{\"id\": \"x\", \"type\": \"t\", \"key\": \"k\", \"payload\": {\"a\": 1}, \"priority\": 1, "
                          "\"attempts\": 7, \"delay_ms\": 5}"));
    static const char *const others[] = {
        "{\"type\": \"u\", \"key\": \"k\", \"payload\": {\"a\": 1}}",
        "{\"type\": \"t\", \"payload\": {\"a\": 1}}",
        "{\"type\": \"t\", \"key\": \"l\", \"payload\": {\"a\": 1}}",
        "{\"type\": \"t\", \"key\": \"k\", \"payload\": {\"a\": 2}}",
        "{\"type\": \"t\", \"key\": \"k\"}",
        "{\"type\": \"tk\", \"payload\": {\"a\": 1}}",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(others); i++) {
        assert_true(digest_of(others[i]) != base);
    }
    assert_true(digest_of("{\"type\": \"ab\", \"key\": \"c\"}") != digest_of("{\"type\": \"a\", \"key\": \"bc\"}"));
}

// Any single bit of a payload of any length changes it.
static void the_digest_sees_every_bit(void **state)
{
    (void)state;
    char bytes[70];
    memset(bytes, 'x', sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct reeve_job_spec spec = {.type = SPAN("t"), .payload = {bytes, len}};
        uint64_t base = reeve_job_spec_digest(&spec);
        for (size_t bit = 0; bit < len * 8; bit++) {
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
            assert_true(reeve_job_spec_digest(&spec) != base);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        }
        assert_true(reeve_job_spec_digest(&spec) == base);
        spec.payload.len = len > 0 ? len - 1 : 0;
        assert_true(len == 0 || reeve_job_spec_digest(&spec) != base);
    }
}

// It lies on disk: these numbers must stay as they are.
static void the_digest_never_changes(void **state)
{
    (void)state;
    char payload[100];
    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (char)i;
    }
    struct reeve_job_spec spec = {.type = SPAN("mail.send"), .key = SPAN("customer 5"), .payload = {payload, 100}};
    struct reeve_job_spec bare = {.type = SPAN("t")};
    assert_int_equal(reeve_job_spec_digest(&spec), UINT64_C(0x122a487c53279dec));
    assert_int_equal(reeve_job_spec_digest(&bare), UINT64_C(0x94bafaf74e312641));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(what_is_not_said_is_preset),
        cmocka_unit_test(other_spellings_of_values),
        cmocka_unit_test(every_mistake_has_its_place),
        cmocka_unit_test(a_wrong_job_leaves_the_others_of_its_batch),
        cmocka_unit_test(a_key_given_twice),
        cmocka_unit_test(names_at_their_bounds),
        cmocka_unit_test(payloads_are_bounded),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(the_digest_is_of_type_key_and_payload),
        cmocka_unit_test(the_digest_sees_every_bit),
        cmocka_unit_test(the_digest_never_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
