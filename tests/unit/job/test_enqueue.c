// The command `enqueue` in every spelling, and that it says what the reader of all commands says.
#include "job_test.h"

#include <reeve/message.h>
#include <stdio.h>

struct decoded {
    struct reeve_buf message; // as it came
    struct reeve_buf scratch;
    struct reeve_enqueue enqueue;
    struct reeve_why why;
    enum reeve_err err;
};

static void decoded_done(struct decoded *decoded)
{
    reeve_buf_done(&decoded->message);
    reeve_buf_done(&decoded->scratch);
}
#define DECODED_AUTO __attribute__((cleanup(decoded_done))) struct decoded

// `json` as it stands, or as msgpack.
static void decode(struct decoded *ret, const char *json, bool as_json)
{
    *ret = (struct decoded){.err = REEVE_INTERNAL};
    if (as_json) {
        reeve_buf_puts(&ret->message, json);
    } else {
        put_json(&ret->message, json);
    }
    ret->err = reeve_enqueue_decode(ret->message.data, ret->message.len, &ret->scratch, &ret->enqueue, &ret->why);
}

static bool same_json(struct reeve_span msgpack, const char *json)
{
    REEVE_VALUE_AUTO want = NULL;
    REEVE_VALUE_AUTO have = NULL;
    assert_int_equal(reeve_json_read(json, strlen(json), &reeve_limits_wire, NULL, &want, NULL), REEVE_OK);
    assert_int_equal(reeve_msgpack_read(msgpack.data, msgpack.len, &reeve_limits_wire, NULL, &have, NULL), REEVE_OK);
    return reeve_value_equal(want, have);
}

#define FULL                                                                                                           \
    "\"id\": \"cmd-1\", \"issued_at\": 1700000000000, \"expires_at\": 1700000060000, \"issuer\": \"ops/anna\", "       \
    "\"reply_to\": \"reeve/v1/local/reply/anna/1\", \"dry_run\": true"

static const struct {
    const char *json;
    const char *jobs; // NULL = none
    const char *job;
    bool brief, envelope;
} rows[] = {
    {"{" FULL ", \"args\": {\"jobs\": [{\"type\": \"a\"}, {\"type\": \"b\"}], \"brief\": true}}",
     "[{\"type\": \"a\"}, {\"type\": \"b\"}]", NULL, true, true},
    {"{" FULL ", \"args\": {\"type\": \"a\", \"id\": \"j\", \"priority\": 3}, \"priority\": 7, \"x\": 1}", NULL,
     "{\"type\": \"a\", \"id\": \"j\", \"priority\": 3}", false, true},
    {"{\"args\": {\"type\": \"a\", \"brief\": true}}", NULL, "{\"type\": \"a\"}", true, false},
    {"{\"args\": {\"jobs\": null, \"brief\": null, \"type\": \"a\"}}", NULL, "{\"type\": \"a\"}", false, false},
    {"{\"args\": {\"jobs\": []}}", "[]", NULL, false, false},
    {"{\"args\": {}}", NULL, "{}", false, false}, // a job without type: its own error
    // The job beside the envelope's keys: id is the command's, priority the job's.
    {"{" FULL ", \"type\": \"a\", \"payload\": {\"id\": 5, \"brief\": 1}, \"priority\": 7}", NULL,
     "{\"type\": \"a\", \"payload\": {\"id\": 5, \"brief\": 1}, \"priority\": 7}", false, true},
    {"{\"type\": \"a\"}", NULL, "{\"type\": \"a\"}", false, false},
    {"{\"type\": \"a\", \"args\": null, \"expect\": null, \"id\": null, \"brief\": true}", NULL, "{\"type\": \"a\"}",
     true, false},
    {"{" FULL ", \"jobs\": [{\"type\": \"a\"}], \"brief\": true}", "[{\"type\": \"a\"}]", NULL, true, true},
    {"{}", NULL, "{}", false, false},
};

static void every_spelling_is_the_same_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows) * 2; i++) {
        DECODED_AUTO decoded;
        size_t row = i / 2;
        const struct reeve_enqueue *enqueue = &decoded.enqueue;
        decode(&decoded, rows[row].json, i % 2 == 0);
        says(&decoded.why, rows[row].json, "");
        assert_int_equal(decoded.err, REEVE_OK);
        assert_int_equal(enqueue->jobs.len > 0, rows[row].jobs != NULL);
        assert_int_equal(enqueue->job.len > 0, rows[row].job != NULL);
        assert_true(rows[row].jobs == NULL || same_json(enqueue->jobs, rows[row].jobs));
        assert_true(rows[row].job == NULL || same_json(enqueue->job, rows[row].job));
        assert_int_equal(enqueue->brief, rows[row].brief);
        assert_false(enqueue->mixed);
        is_text(enqueue->id, rows[row].envelope ? "cmd-1" : "");
        is_text(enqueue->reply_to, rows[row].envelope ? "reeve/v1/local/reply/anna/1" : "");
        is_text(enqueue->issuer, rows[row].envelope ? "ops/anna" : "");
        assert_int_equal(enqueue->issued_at, rows[row].envelope ? 1700000000000 : 0);
        assert_int_equal(enqueue->expires_at, rows[row].envelope ? 1700000060000 : 0);
        assert_int_equal(enqueue->dry_run, rows[row].envelope);
    }
}

// Where nothing has to be written anew, nothing is: the spans lie in the message.
static void msgpack_is_read_where_it_lies(void **state)
{
    (void)state;
    DECODED_AUTO decoded;
    decode(&decoded, rows[0].json, false);
    assert_int_equal(decoded.scratch.len, 0);
    assert_true(decoded.enqueue.jobs.data > decoded.message.data &&
                decoded.enqueue.jobs.data < decoded.message.data + decoded.message.len);
    decoded_done(&decoded);
    decode(&decoded, rows[1].json, false);
    assert_int_equal(decoded.scratch.len, 0);
}

// The job is written out behind the message, which then may lie elsewhere.
static void a_large_job_beside_the_envelope(void **state)
{
    (void)state;
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    reeve_buf_puts(&json, "{\"id\": \"cmd-1\", \"reply_to\": \"a/b\", \"type\": \"t\", \"payload\": \"");
    while (json.len < 300000) {
        reeve_buf_puts(&json, "0123456789");
    }
    reeve_buf_puts(&json, "\"}");
    DECODED_AUTO decoded;
    decode(&decoded, reeve_buf_str(&json), true);
    assert_int_equal(decoded.err, REEVE_OK);
    const struct reeve_span parts[] = {decoded.enqueue.id, decoded.enqueue.reply_to, decoded.enqueue.job};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        assert_true(parts[i].data >= decoded.scratch.data &&
                    parts[i].data + parts[i].len <= decoded.scratch.data + decoded.scratch.len);
    }
    is_text(decoded.enqueue.reply_to, "a/b");
    struct reeve_cursor cursor = REEVE_CURSOR(decoded.enqueue.job.data, decoded.enqueue.job.len);
    struct reeve_job_spec spec;
    assert_int_equal(reeve_job_spec_read(&cursor, &spec, NULL), REEVE_OK);
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
    assert_true(spec.payload.len > 299000);
}

static const struct {
    const char *json;
    const char *want;
} mistakes[] = {
    {"{\"id\": \"a b\"}", "id: is \"a b\", expected 1 to 64 of A-Z a-z 0-9 _ -"},
    {"{\"id\": \"01234567890123456789012345678901234567890123456789012345678901234\"}",
     "id: is \"01234567890123456789012345678901234567890123456789012345678901234\", expected 1 to 64 of A-Z a-z 0-9 _ "
     "-"},
    {"{\"id\": 5}", "id: whole number given, expected 1 to 64 of A-Z a-z 0-9 _ -"},
    {"{\"args\": []}", "args: list given, expected a map"},
    {"{\"issued_at\": 0}", "issued_at: is 0, expected milliseconds since 1970, a whole number"},
    {"{\"expires_at\": \"now\"}", "expires_at: string given, expected milliseconds since 1970, a whole number"},
    {"{\"issuer\": \"\"}", "issuer: has 0 bytes, expected text of 1 to 128 bytes"},
    {"{\"reply_to\": \"a/#\"}", "reply_to: \"a/#\" is no topic to answer on, expected 1 to 250 bytes without + and #"},
    {"{\"reply_to\": \"\"}", "reply_to: \"\" is no topic to answer on, expected 1 to 250 bytes without + and #"},
    {"{\"reply_to\": 5}", "reply_to: whole number given, expected a topic"},
    {"{\"expect\": {\"epoch\": 5}}", "expect: a queue has no epoch, run, version or state to expect"},
    {"{\"dry_run\": 1}", "dry_run: whole number given, expected true or false"},
    {"{\"priority\": 10}", "priority: is 10, expected a whole number from 0 to 9"},
    {"{\"priority\": \"high\"}", "priority: string given, expected a whole number from 0 to 9"},
    {"{\"jobs\": 5}", "jobs: whole number given, expected a list of jobs"},
    {"{\"args\": {\"jobs\": {}}}", "args.jobs: map given, expected a list of jobs"},
    {"{\"args\": {\"jobs\": [], \"brief\": 1}}", "args.brief: whole number given, expected true or false"},
    {"{\"args\": {\"jobs\": [], \"breif\": true}}", "args: \"breif\" is given beside jobs, expected brief only"},
    {"{\"jobs\": [], \"type\": \"a\"}", "\"type\" is given beside jobs, expected brief only"},
};

static void every_mistake_has_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(mistakes) * 2; i++) {
        DECODED_AUTO decoded;
        decode(&decoded, mistakes[i / 2].json, i % 2 == 0);
        assert_int_equal(decoded.err, REEVE_INVALID);
        says(&decoded.why, mistakes[i / 2].json, mistakes[i / 2].want);
    }
}

static void a_sender_that_can_be_answered_is(void **state)
{
    (void)state;
    DECODED_AUTO decoded;
    decode(&decoded, "{\"args\": 5, \"reply_to\": \"a/b\", \"dry_run\": 5, \"id\": \"x\"}", true);
    assert_int_equal(decoded.err, REEVE_INVALID);
    says(&decoded.why, "args", "args: whole number given, expected a map");
    is_text(decoded.enqueue.id, "x");
    is_text(decoded.enqueue.reply_to, "a/b");
    assert_int_equal(decoded.enqueue.job.len + decoded.enqueue.jobs.len, 0);
}

static void what_is_no_command(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        enum reeve_err err;
        const char *want;
    } bad[] = {
        {"", 0, REEVE_INVALID, "nothing given, expected a job or {jobs: [..]}: a JSON object or a msgpack map"},
        {"mail", 4, REEVE_INVALID, "text given, expected a job or {jobs: [..]}: a JSON object or a msgpack map"},
        {"{\"type\"", 7, REEVE_INVALID, NULL},
        {"\x81\xa4type", 6, REEVE_INVALID, "byte 6: cut short: the message ends where a value is expected"},
        {"\x80\xc0", 2, REEVE_INVALID, "byte 1: there is more behind the value"},
        {"\x81\xa1x\xc1", 4, REEVE_INVALID, "byte 3: 0xc1 begins no value"},
        {"\x82\xa6signed\xc3\xa3sig\xc4\x01z", 16, REEVE_UNSUPPORTED, "signed commands are not supported here"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        REEVE_BUF_AUTO scratch = REEVE_BUF_INIT(0);
        struct reeve_enqueue enqueue;
        struct reeve_why why = {.text = ""};
        char *copy = exact_copy(bad[i].bytes, bad[i].len);
        assert_int_equal(reeve_enqueue_decode(copy, bad[i].len, &scratch, &enqueue, &why), bad[i].err);
        if (bad[i].want != NULL) {
            says(&why, bad[i].bytes, bad[i].want);
        }
        free(copy);
    }
    REEVE_AUTO_FREE char *large = calloc(1, (1u << 20) + 1);
    struct reeve_enqueue enqueue;
    assert_non_null(large);
    large[0] = (char)0x80;
    assert_int_equal(reeve_enqueue_read(large, (1u << 20) + 1, &enqueue, NULL), REEVE_LIMIT);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t row = 0; row < REEVE_ARRAY_LEN(rows); row++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        put_json(&buf, rows[row].json);
        for (size_t len = 0; len < buf.len; len++) {
            REEVE_BUF_AUTO scratch = REEVE_BUF_INIT(0);
            struct reeve_enqueue enqueue;
            char *copy = exact_copy(buf.data, len);
            assert_int_equal(reeve_enqueue_decode(copy, len, &scratch, &enqueue, NULL), REEVE_INVALID);
            assert_int_equal(enqueue.jobs.len + enqueue.job.len, 0);
            free(copy);
        }
    }
}

// message.c reads the same commands as trees; both have to say the same about an envelope.
static void the_reader_of_all_commands_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows) + REEVE_ARRAY_LEN(mistakes); i++) {
        bool good = i < REEVE_ARRAY_LEN(rows);
        const char *json = good ? rows[i].json : mistakes[i - REEVE_ARRAY_LEN(rows)].json;
        const struct reeve_delivery delivery = {
            .topic = "reeve/v1/local/queue/q/cmd/enqueue", .payload = json, .payload_len = strlen(json)};
        DECODED_AUTO decoded;
        struct reeve_command command;
        decode(&decoded, json, false);
        enum reeve_err err = reeve_command_decode(&delivery, NULL, &command, NULL);
        bool only_ours =
            strstr(json, "jobs") != NULL || strstr(json, "brief") != NULL || strstr(json, "expect") != NULL;
        assert_true(only_ours || (err == REEVE_OK) == (decoded.err == REEVE_OK));
        if (good) {
            is_text(decoded.enqueue.id, command.id_given ? command.id : "");
            is_text(decoded.enqueue.reply_to, command.reply_to != NULL ? command.reply_to : "");
            is_text(decoded.enqueue.issuer, command.issuer != NULL ? command.issuer : "");
            assert_int_equal(decoded.enqueue.issued_at, command.issued_at);
            assert_int_equal(decoded.enqueue.expires_at, command.expires_at);
            assert_int_equal(decoded.enqueue.dry_run, command.dry_run);
        }
        reeve_command_done(&command);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_is_the_same_command), cmocka_unit_test(msgpack_is_read_where_it_lies),
        cmocka_unit_test(a_large_job_beside_the_envelope),    cmocka_unit_test(every_mistake_has_its_place),
        cmocka_unit_test(a_sender_that_can_be_answered_is),   cmocka_unit_test(what_is_no_command),
        cmocka_unit_test(every_truncation_is_refused),        cmocka_unit_test(the_reader_of_all_commands_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
