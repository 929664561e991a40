// Commands in all forms of [payload-3], the envelope of [cmd-2], what is kept of a command that is wrong, replies.
// Must not: need a broker.
#include "codec_test.h"

#include <reeve/id.h>
#include <reeve/message.h>

#define TOPIC "reeve/v1/local/worker/alpha/mm-1/cmd/scale"

static enum reeve_err decode_n(const void *payload, size_t len, const char *main_arg, struct reeve_command *ret,
                               struct reeve_why *why)
{
    struct reeve_delivery delivery = {.topic = TOPIC, .payload = payload, .payload_len = len};
    return reeve_command_decode(&delivery, main_arg, ret, why);
}

static enum reeve_err decode(const char *payload, const char *main_arg, struct reeve_command *ret,
                             struct reeve_why *why)
{
    return decode_n(payload, strlen(payload), main_arg, ret, why);
}

static void nothing_is_no_arguments(void **state)
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(decode("", "size", &command, NULL), REEVE_OK);
    assert_int_equal(reeve_value_kind(command.args), REEVE_MAP);
    assert_int_equal(reeve_value_len(command.args), 0);
    assert_true(reeve_id_valid(command.id));
    assert_false(command.id_given);
    assert_null(command.reply_to);
    assert_int_equal(command.expires_at, 0);
    reeve_command_done(&command);
}

static void text_is_the_main_argument(void **state)
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(decode(" 5\r\n", "size", &command, NULL), REEVE_OK);
    assert_string_equal(reeve_get_str(command.args, "size"), "5");
    reeve_command_done(&command);
    assert_int_equal(decode(" \n", "size", &command, NULL), REEVE_OK);
    assert_int_equal(reeve_value_len(command.args), 0);
    reeve_command_done(&command);
}

static void text_for_an_op_without_main_argument_is_refused(void **state)
{
    struct reeve_command command;
    struct reeve_why why = {0};
    (void)state;
    assert_int_equal(decode("now", NULL, &command, &why), REEVE_INVALID);
    assert_string_equal(why.text, "\"scale\" takes no text, expected nothing, a JSON object or a msgpack map");
    assert_true(reeve_id_valid(command.id));
    reeve_command_done(&command);
}

static void bytes_that_are_nothing_are_refused(void **state)
{
    struct reeve_command command;
    struct reeve_why why = {0};
    (void)state;
    assert_int_equal(decode_n("\xc1\x00", 2, "size", &command, &why), REEVE_INVALID);
    assert_string_equal(why.text, "payload begins with 0xc1: no msgpack map, no JSON object and no UTF-8 text");
    reeve_command_done(&command);
    assert_int_equal(decode_n("a\0b", 3, "size", &command, NULL), REEVE_INVALID);
    reeve_command_done(&command);
    assert_int_equal(decode("{\"a\":", "size", &command, NULL), REEVE_INVALID);
    reeve_command_done(&command);
    assert_int_equal(decode_n("\x81", 1, "size", &command, NULL), REEVE_INVALID);
    reeve_command_done(&command);
}

static void too_much_is_a_limit(void **state)
{
    struct reeve_command command;
    char *text = calloc(1, reeve_limits_wire.bytes_max + 2);
    (void)state;
    assert_non_null(text);
    memset(text, 'a', reeve_limits_wire.bytes_max + 1);
    assert_int_equal(decode(text, "size", &command, NULL), REEVE_LIMIT);
    reeve_command_done(&command);
    free(text);
}

static void bare_arguments_stand_beside_the_envelope(void **state)
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(
        decode("{\"size\":5,\"id\":\"x-1\",\"dry_run\":true,\"reply_to\":\"my/inbox\"}", "size", &command, NULL),
        REEVE_OK);
    assert_string_equal(command.id, "x-1");
    assert_true(command.id_given);
    assert_true(command.dry_run);
    assert_string_equal(command.reply_to, "my/inbox");
    assert_int_equal(reeve_value_len(command.args), 1);
    assert_int_equal(reeve_get_int(command.args, "size", 0), 5);
    reeve_command_done(&command);
}

static void with_args_other_keys_are_skipped(void **state)
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(decode("{\"args\":{\"size\":5},\"colour\":\"red\"}", NULL, &command, NULL), REEVE_OK);
    assert_int_equal(reeve_value_len(command.args), 1);
    assert_int_equal(reeve_get_int(command.args, "size", 0), 5);
    reeve_command_done(&command);
}

static void what_is_encoded_decodes_equal(void **state)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_command command;
    struct reeve_command sent = {
        .id = (char[]){"01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        .issued_at = 1700000000000,
        .expires_at = 1700000060000,
        .issuer = (char[]){"ana"},
        .reply_to = (char[]){"reeve/v1/local/reply/cli-1/x"},
        .priority = 9,
        .dry_run = true,
        .args = json_value("{\"size\": 5}"),
        .expect = json_value("{\"epoch\": 7, \"run\": 2, \"version\": 3, \"state\": \"running\"}"),
    };
    (void)state;
    assert_int_equal(reeve_command_encode(&sent, &buf), REEVE_OK);
    assert_int_equal(decode_n(buf.data, buf.len, NULL, &command, NULL), REEVE_OK);
    assert_string_equal(command.id, sent.id);
    assert_int_equal(command.issued_at, sent.issued_at);
    assert_int_equal(command.expires_at, sent.expires_at);
    assert_string_equal(command.issuer, sent.issuer);
    assert_string_equal(command.reply_to, sent.reply_to);
    assert_int_equal(command.priority, 9);
    assert_true(command.dry_run);
    assert_true(reeve_value_equal(command.args, sent.args));
    assert_true(reeve_value_equal(command.expect, sent.expect));
    reeve_command_done(&command);
    reeve_value_free(sent.args);
    reeve_value_free(sent.expect);
}

static void every_part_of_the_envelope_is_checked(void **state)
{
    static const struct {
        const char *payload, *place, *text;
    } rows[] = {
        {"{\"id\":5}", "id", "whole number given, expected text such as a ULID"},
        {"{\"id\":\"\"}", "id", "\"\" is no id, expected 1 to 64 of A-Z a-z 0-9 _ -"},
        {"{\"id\":\"a b\"}", "id", "\"a b\" is no id, expected 1 to 64 of A-Z a-z 0-9 _ -"},
        {"{\"issued_at\":\"today\"}", "issued_at", "string given, expected milliseconds since 1970, a whole number"},
        {"{\"expires_at\":-5}", "expires_at", "-5 is no time, expected milliseconds since 1970"},
        {"{\"expires_at\":1.5}", "expires_at", "number given, expected milliseconds since 1970, a whole number"},
        {"{\"issuer\":\"\"}", "issuer", "has 0 bytes, expected 1 to 128"},
        {"{\"reply_to\":\"a/#\"}", "reply_to",
         "\"a/#\" is no topic to answer on, expected 1 to 250 bytes without + and #"},
        {"{\"reply_to\":[]}", "reply_to", "list given, expected a topic"},
        {"{\"priority\":10}", "priority", "is 10, expected 0 to 9"},
        {"{\"dry_run\":\"true\"}", "dry_run", "string given, expected true or false"},
        {"{\"dry_run\":1}", "dry_run", "whole number given, expected true or false"},
        {"{\"args\":[1]}", "args", "list given, expected a map"},
        {"{\"expect\":5}", "expect", "whole number given, expected a map of epoch, run, version, state"},
        {"{\"expect\":{\"epohc\":5}}", "expect", "unknown key \"epohc\", expected epoch, run, version or state"},
        {"{\"expect\":{\"epoch\":\"x\"}}", "expect.epoch", "string given, expected a whole number"},
        {"{\"expect\":{\"state\":1}}", "expect.state", "whole number given, expected the name of a state"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_command command;
        struct reeve_why why = {0};
        enum reeve_err err = decode(rows[i].payload, NULL, &command, &why);
        if (err != REEVE_INVALID || strcmp(why.place, rows[i].place) != 0 || strcmp(why.text, rows[i].text) != 0) {
            fail_msg("%s gives %s: %s: %s", rows[i].payload, reeve_err_text(err), why.place, why.text);
        }
        reeve_command_done(&command);
    }
}

static void every_form_of_a_msgpack_map_is_one(void **state) // [payload-3]
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\x80", 1}, {"\x81\xa1\x61\x01", 4}, {"\xde\x00\x01\xa1\x61\x01", 6}, {"\xdf\x00\x00\x00\x01\xa1\x61\x01", 8}};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_command command;
        assert_int_equal(decode_n(rows[i].bytes, rows[i].len, NULL, &command, NULL), REEVE_OK);
        assert_int_equal(reeve_get_int(command.args, "a", 0), i > 0);
        reeve_command_done(&command);
    }
}

static void what_looks_like_an_envelope_and_is_none(void **state)
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(decode("{\"sig\":\"TERM\",\"priority\":0,\"reply_to\":null,\"args\":null}", NULL, &command, NULL),
                     REEVE_OK);
    assert_string_equal(reeve_get_str(command.args, "sig"), "TERM");
    assert_int_equal(reeve_value_len(command.args), 1);
    reeve_command_done(&command);
}

static void versions_are_numbers_or_text(void **state)
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(decode("{\"expect\":{\"version\":\"1.2\"}}", NULL, &command, NULL), REEVE_OK);
    assert_string_equal(reeve_get_str(command.expect, "version"), "1.2");
    reeve_command_done(&command);
}

static void a_wrong_command_keeps_id_and_address(void **state)
{
    struct reeve_command command;
    struct reeve_why why = {0};
    (void)state;
    assert_int_equal(
        decode("{\"args\":7,\"reply_to\":\"my/inbox\",\"id\":\"x-1\",\"expires_at\":\"never\"}", NULL, &command, &why),
        REEVE_INVALID);
    assert_string_equal(command.id, "x-1");
    assert_string_equal(command.reply_to, "my/inbox");
    assert_string_equal(why.place, "expires_at");
    assert_int_equal(reeve_value_kind(command.args), REEVE_MAP);
    reeve_command_done(&command);
}

static void the_transport_gives_an_address_too(void **state)
{
    struct reeve_command command;
    struct reeve_why why = {0};
    struct reeve_delivery delivery = {.topic = TOPIC,
                                      .payload = "{\"args\":7}",
                                      .payload_len = 10,
                                      .response_topic = "my/inbox",
                                      .correlation = "\0\1",
                                      .correlation_len = 2};
    (void)state;
    assert_int_equal(reeve_command_decode(&delivery, NULL, &command, NULL), REEVE_INVALID);
    assert_string_equal(command.reply_to, "my/inbox");
    assert_int_equal(command.correlation_len, 2);
    assert_memory_equal(command.correlation, "\0\1", 2);
    reeve_command_done(&command);

    delivery.payload = "{\"reply_to\":\"other\"}";
    delivery.payload_len = strlen(delivery.payload);
    assert_int_equal(reeve_command_decode(&delivery, NULL, &command, NULL), REEVE_OK);
    assert_string_equal(command.reply_to, "other"); // the payload's own word counts
    reeve_command_done(&command);

    delivery.response_topic = "a/+";
    assert_int_equal(reeve_command_decode(&delivery, NULL, &command, &why), REEVE_INVALID);
    assert_string_equal(why.place, "response topic");
    assert_string_equal(command.reply_to, "other");
    reeve_command_done(&command);
}

static void a_retained_command_is_denied(void **state) // [cmd-1]
{
    struct reeve_command command;
    struct reeve_why why = {0};
    struct reeve_delivery delivery = {
        .topic = TOPIC, .payload = "{\"id\":\"x-1\"}", .payload_len = 12, .retained = true};
    (void)state;
    assert_int_equal(reeve_command_decode(&delivery, NULL, &command, &why), REEVE_DENIED);
    assert_string_equal(command.id, "x-1");
    assert_non_null(strstr(why.text, "retained"));
    reeve_command_done(&command);
}

static void a_signed_command_is_not_taken_for_an_unsigned_one(void **state) // [cmd-8]
{
    struct reeve_command command;
    (void)state;
    assert_int_equal(decode("{\"signed\":\"x\",\"key\":\"k\",\"sig\":\"s\"}", NULL, &command, NULL), REEVE_UNSUPPORTED);
    reeve_command_done(&command);
}

static uint64_t digest_of(const char *topic, const char *payload)
{
    struct reeve_command command;
    assert_int_equal(decode(payload, NULL, &command, NULL), REEVE_OK);
    uint64_t digest = reeve_command_digest(topic, &command);
    reeve_command_done(&command);
    return digest;
}

static void the_digest_is_of_topic_and_arguments(void **state) // [cmd-4]
{
    uint64_t digest = digest_of("t", "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":true}}");
    (void)state;
    assert_true(digest == digest_of("t", "{\"b\":{\"d\":true,\"c\":[1,2]},\"a\":1}"));
    assert_true(digest ==
                digest_of("t", "{\"args\":{\"b\":{\"d\":true,\"c\":[1,2]},\"a\":1},\"id\":\"x\",\"issued_at\":5}"));
    static const char *const others[] = {
        "{\"a\":1,\"b\":{\"c\":[2,1],\"d\":true}}",
        "{\"a\":2,\"b\":{\"c\":[1,2],\"d\":true}}",
        "{\"a\":\"1\",\"b\":{\"c\":[1,2],\"d\":true}}",
        "{\"a\":1,\"b\":{\"c\":[1,2]},\"d\":true}",
        "{\"b\":1,\"a\":{\"c\":[1,2],\"d\":true}}",
        "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":true},\"dry_run\":true}",
        "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":true},\"expect\":{\"run\":1}}",
        "{}",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(others); i++) {
        if (digest == digest_of("t", others[i])) {
            fail_msg("the same digest as %s", others[i]);
        }
    }
    assert_true(digest != digest_of("u", "{\"a\":1,\"b\":{\"c\":[1,2],\"d\":true}}"));
}

static void phases_have_texts_and_one_kind_ends(void **state)
{
    (void)state;
    enum reeve_phase phase;
    for (int i = 0; i <= REEVE_PHASE_DUPLICATE; i++) {
        assert_true(reeve_phase_parse(reeve_phase_text((enum reeve_phase)i), &phase));
        assert_int_equal(phase, i);
        assert_int_equal(reeve_phase_terminal(phase), phase != REEVE_PHASE_ACCEPTED && phase != REEVE_PHASE_RUNNING);
    }
    assert_false(reeve_phase_parse("finished", &phase));
    assert_false(reeve_phase_parse(NULL, &phase));
}

static void replies_round_trip(void **state)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO result = json_value("{\"pid\": 5}");
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_reply back;
    struct reeve_reply reply = {.id = "x",
                                .seq = 2,
                                .phase = REEVE_PHASE_FAILED,
                                .code = "not_found",
                                .message = "no such worker",
                                .result = result,
                                .by = "alpha",
                                .epoch = 7,
                                .at = 99};
    (void)state;
    assert_int_equal(reeve_reply_encode(&reply, &buf), REEVE_OK);
    assert_int_equal(reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &value, NULL), REEVE_OK);
    assert_int_equal(reeve_reply_decode(value, &back, NULL), REEVE_OK);
    assert_string_equal(back.id, "x");
    assert_int_equal(back.seq, 2);
    assert_int_equal(back.phase, REEVE_PHASE_FAILED);
    assert_string_equal(back.code, "not_found");
    assert_string_equal(back.message, "no such worker");
    assert_true(reeve_value_equal(back.result, result));
    assert_string_equal(back.by, "alpha");
    assert_int_equal(back.epoch, 7);
    assert_int_equal(back.at, 99);
}

static void replies_name_what_is_missing(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"[]", "list given, expected a reply: a map"},
        {"{\"phase\":\"done\"}", "a reply without id"},
        {"{\"id\":\"x\"}", "a reply without phase"},
        {"{\"id\":\"x\",\"phase\":\"over\"}", "\"over\" is not known"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = json_value(rows[i].json);
        struct reeve_reply reply = {.seq = -7};
        struct reeve_why why = {0};
        assert_int_equal(reeve_reply_decode(value, &reply, &why), REEVE_INVALID);
        assert_string_equal(why.text, rows[i].text);
        assert_int_equal(reply.seq, -7);
    }
}

// Ten thousand payloads of random bytes, and of good ones with random bytes in them.
static void random_payloads_are_answered(void **state)
{
    static const char good[] = "\x83\xa2id\xa1x\xa4"
                               "args\x81\xa1"
                               "a\x01\xa7"
                               "dry_run\xc3";
    uint64_t dice = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t payload[sizeof(good) - 1];
        memcpy(payload, good, sizeof(payload));
        for (size_t at = 0; at < sizeof(payload); at++) {
            dice ^= dice << 13; // xorshift64
            dice ^= dice >> 7;
            dice ^= dice << 17;
            if (i % 2 == 0 || dice % 16 == 0) {
                payload[at] = (uint8_t)(dice >> 32);
            }
        }
        struct reeve_command command;
        struct reeve_why why = {0};
        enum reeve_err err = decode_n(payload, dice % sizeof(payload), "a", &command, &why);
        assert_true(err == REEVE_OK || why.text[0] != '\0');
        assert_true(reeve_id_valid(command.id));
        assert_int_equal(reeve_value_kind(command.args), REEVE_MAP);
        reeve_command_done(&command);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_no_arguments),
        cmocka_unit_test(text_is_the_main_argument),
        cmocka_unit_test(text_for_an_op_without_main_argument_is_refused),
        cmocka_unit_test(bytes_that_are_nothing_are_refused),
        cmocka_unit_test(too_much_is_a_limit),
        cmocka_unit_test(bare_arguments_stand_beside_the_envelope),
        cmocka_unit_test(with_args_other_keys_are_skipped),
        cmocka_unit_test(what_is_encoded_decodes_equal),
        cmocka_unit_test(every_part_of_the_envelope_is_checked),
        cmocka_unit_test(every_form_of_a_msgpack_map_is_one),
        cmocka_unit_test(what_looks_like_an_envelope_and_is_none),
        cmocka_unit_test(versions_are_numbers_or_text),
        cmocka_unit_test(a_wrong_command_keeps_id_and_address),
        cmocka_unit_test(the_transport_gives_an_address_too),
        cmocka_unit_test(a_retained_command_is_denied),
        cmocka_unit_test(a_signed_command_is_not_taken_for_an_unsigned_one),
        cmocka_unit_test(the_digest_is_of_topic_and_arguments),
        cmocka_unit_test(phases_have_texts_and_one_kind_ends),
        cmocka_unit_test(random_payloads_are_answered),
        cmocka_unit_test(replies_round_trip),
        cmocka_unit_test(replies_name_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
