// msgpack: every form of the specification, bounds, places; truncated and damaged messages.
#include "codec_test.h"

#include <math.h>

static enum reeve_err read_msgpack(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why)
{
    return reeve_msgpack_read(text, len, limits, source, ret, why);
}

#define BYTES(literal) literal, sizeof(literal) - 1

// Bytes by hand from the specification, and what they mean.
static void every_form_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } rows[] = {
        {BYTES("\xc0"), "null"},
        {BYTES("\xc2"), "false"},
        {BYTES("\xc3"), "true"},
        {BYTES("\x00"), "0"},
        {BYTES("\x7f"), "127"},
        {BYTES("\xe0"), "-32"},
        {BYTES("\xff"), "-1"},
        {BYTES("\xcc\xff"), "255"},
        {BYTES("\xcd\x01\x00"), "256"},
        {BYTES("\xce\xff\xff\xff\xff"), "4294967295"},
        {BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), "9223372036854775807"},
        {BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x01"), "1"}, // wider than needed
        {BYTES("\xd0\x80"), "-128"},
        {BYTES("\xd1\x80\x00"), "-32768"},
        {BYTES("\xd2\x80\x00\x00\x00"), "-2147483648"},
        {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808"},
        {BYTES("\xca\x3f\xc0\x00\x00"), "1.5"},
        {BYTES("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), "1.5"},
        {BYTES("\xa0"), "\"\""},
        {BYTES("\xa2hi"), "\"hi\""},
        {BYTES("\xd9\x02hi"), "\"hi\""},
        {BYTES("\xda\x00\x02hi"), "\"hi\""},
        {BYTES("\xdb\x00\x00\x00\x02hi"), "\"hi\""},
        {BYTES("\xc4\x02\xff\x00"), "{\"$bin\":\"/wA=\"}"},
        {BYTES("\xc5\x00\x02\xff\x00"), "{\"$bin\":\"/wA=\"}"},
        {BYTES("\xc6\x00\x00\x00\x02\xff\x00"), "{\"$bin\":\"/wA=\"}"},
        {BYTES("\x90"), "[]"},
        {BYTES("\x92\x01\x02"), "[1,2]"},
        {BYTES("\xdc\x00\x02\x01\x02"), "[1,2]"},
        {BYTES("\xdd\x00\x00\x00\x02\x01\x02"), "[1,2]"},
        {BYTES("\x80"), "{}"},
        {BYTES("\x81\xa1x\x01"), "{\"x\":1}"},
        {BYTES("\xde\x00\x01\xa1x\x01"), "{\"x\":1}"},
        {BYTES("\xdf\x00\x00\x00\x01\xa1x\x01"), "{\"x\":1}"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO want = json_value(rows[i].json);
        REEVE_VALUE_AUTO value = NULL;
        struct reeve_why why = {.text = ""};
        if (reeve_msgpack_read(rows[i].bytes, rows[i].len, &reeve_limits_wire, NULL, &value, &why) != REEVE_OK) {
            fail_msg("%s: %s: %s", rows[i].json, why.place, why.text);
        }
        if (!reeve_value_equal(value, want)) {
            fail_msg("the bytes of %s mean something else", rows[i].json);
        }
    }
}

static void the_shortest_form_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *bytes;
        size_t len;
    } rows[] = {
        {"null", BYTES("\xc0")},
        {"127", BYTES("\x7f")},
        {"128", BYTES("\xcc\x80")},
        {"-32", BYTES("\xe0")},
        {"-33", BYTES("\xd0\xdf")},
        {"65536", BYTES("\xce\x00\x01\x00\x00")},
        {"{\"b\":true,\"a\":[]}", BYTES("\x82\xa1"
                                        "b\xc3\xa1"
                                        "a\x90")},
        {"1.5", BYTES("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00")},
        {"{\"$bin\":\"/wA=\"}", BYTES("\xc4\x02\xff\x00")},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = json_value(rows[i].json);
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
        assert_int_equal(buf.len, rows[i].len);
        assert_memory_equal(buf.data, rows[i].bytes, rows[i].len);
    }
}

static void faults_are_named_with_their_byte(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        enum reeve_err err;
        const char *want;
    } rows[] = {
        {BYTES(""), REEVE_INVALID, "f:byte 0: cut short"},
        {BYTES("\xc1"), REEVE_INVALID, "f:byte 0: 0xc1"},
        {BYTES("\x01\x02"), REEVE_INVALID, "f:byte 1: 1 more bytes"},
        {BYTES("\x92\x01"), REEVE_INVALID, "f:byte 0: cut short"},
        {BYTES("\x91\xa3hi"), REEVE_INVALID, "f:byte 1: cut short: a string of 3 bytes, 2 are left"},
        {BYTES("\x91\xcd\x01"), REEVE_INVALID, "f:byte 1: cut short"},
        {BYTES("\x91\xd4\x01\x02"), REEVE_INVALID, "f:byte 1: extension"},
        {BYTES("\xc7\x00\x01"), REEVE_INVALID, "f:byte 0: extension"},
        {BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), REEVE_INVALID, "f:byte 0: the number 9223372036854775808 is"},
        {BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), REEVE_INVALID, "f:byte 0: the number is not finite"},
        {BYTES("\xca\xff\x80\x00\x00"), REEVE_INVALID, "f:byte 0: the number is not finite"},
        {BYTES("\x81\x01\x02"), REEVE_INVALID, "f:byte 1: a map's key is no string"},
        {BYTES("\x82\xa1x\x01\xa1x\x02"), REEVE_INVALID, "f:byte 4: key \"x\" is given twice"},
        {BYTES("\x91\xa2h\x00"), REEVE_INVALID, "f:byte 1: the string is not UTF-8 or has a NUL"},
        {BYTES("\xa2\xc3("), REEVE_INVALID, "f:byte 0: the string is not UTF-8"},
        {BYTES("\x81\xa1\xff\x01"), REEVE_INVALID, "f:byte 1: the string is not UTF-8"},
        {BYTES("\xdd\x7f\xff\xff\xff"), REEVE_LIMIT, "f:byte 0: a container of 2147483647 entries"},
        {BYTES("\xdf\xff\xff\xff\xff"), REEVE_LIMIT, "f:byte 0: a container of 4294967295 entries"},
        {BYTES("\xde\x00\x02\xa0\xc0\xa1"), REEVE_INVALID, "f:byte 0: cut short: a container of 2 entries"},
        {BYTES("\xdb\xff\xff\xff\xff"), REEVE_INVALID, "f:byte 0: cut short"},
        {BYTES("\xc6\xff\xff\xff\xff"), REEVE_INVALID, "f:byte 0: cut short"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        refuses_n(read_msgpack, rows[i].bytes, rows[i].len, &reeve_limits_wire, rows[i].err, rows[i].want);
    }
}

static void places_without_a_source_are_bytes(void **state)
{
    (void)state;
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    assert_int_equal(reeve_msgpack_read("\x91\xc1", 2, &reeve_limits_wire, NULL, &value, &why), REEVE_INVALID);
    assert_string_equal(why.place, "byte 1");
    assert_int_equal(reeve_msgpack_read("\x91\xc1", 2, &reeve_limits_wire, NULL, &value, NULL), REEVE_INVALID);
}

static struct reeve_value *sample(void)
{
    return json_value("{\"name\":\"mm-1\",\"pid\":70000,\"big\":-9000000000,\"ok\":true,\"none\":null,"
                      "\"rate\":0.25,\"raw\":{\"$bin\":\"AP8A\"},\"list\":[1,-1,\"two\",[],{}],"
                      "\"map\":{\"a\":{\"b\":{\"c\":[300,\"\xc3\xa9\"]}}}}");
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = sample();
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
    for (size_t len = 0; len < buf.len; len++) {
        refuses_n(read_msgpack, buf.data, len, &reeve_limits_wire, REEVE_INVALID, "f:byte ");
    }
    REEVE_VALUE_AUTO back = NULL;
    assert_int_equal(reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &back, NULL), REEVE_OK);
    assert_true(reeve_value_equal(value, back));
}

// Whatever still reads must also write and read back the same.
static void no_changed_byte_does_harm(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = sample();
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
    for (size_t at = 0; at < buf.len; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            REEVE_VALUE_AUTO other = NULL;
            REEVE_VALUE_AUTO back = NULL;
            REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
            buf.data[at] = (char)((unsigned char)buf.data[at] ^ flip);
            enum reeve_err err = reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &other, NULL);
            buf.data[at] = (char)((unsigned char)buf.data[at] ^ flip);
            if (err == REEVE_OK) {
                assert_int_equal(reeve_msgpack_write(other, &out), REEVE_OK);
                assert_int_equal(reeve_msgpack_read(out.data, out.len, &reeve_limits_wire, NULL, &back, NULL),
                                 REEVE_OK);
                assert_true(reeve_value_equal(other, back));
            }
        }
    }
}

static enum reeve_err list_of_nils(size_t len, const struct reeve_limits *limits, size_t *ret_bytes)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO value = NULL;
    unsigned char head[] = {0xdd, (unsigned char)(len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8),
                            (unsigned char)len};
    reeve_buf_append(&buf, head, sizeof(head));
    for (size_t i = 0; i < len; i++) {
        reeve_buf_append(&buf, "\xc0", 1);
    }
    *ret_bytes = buf.len;
    return reeve_msgpack_read(buf.data, buf.len, limits, NULL, &value, NULL);
}

static void limits_hold_exactly(void **state)
{
    (void)state;
    struct reeve_limits limits = {.bytes_max = 1000, .depth_max = 4, .entries_max = 100};
    size_t bytes = 0;
    assert_int_equal(list_of_nils(99, &limits, &bytes), REEVE_OK);
    assert_int_equal(list_of_nils(100, &limits, &bytes), REEVE_OK);
    assert_int_equal(list_of_nils(101, &limits, &bytes), REEVE_LIMIT);
    limits.bytes_max = 105;
    assert_int_equal(list_of_nils(100, &limits, &bytes), REEVE_OK);
    limits.bytes_max = 104;
    assert_int_equal(list_of_nils(100, &limits, &bytes), REEVE_LIMIT);
    REEVE_VALUE_AUTO three = NULL;
    REEVE_VALUE_AUTO four = NULL;
    assert_int_equal(reeve_msgpack_read(BYTES("\x91\x91\x91\x00"), &limits, NULL, &three, NULL), REEVE_OK);
    assert_int_equal(reeve_msgpack_read(BYTES("\x91\x91\x91\x90"), &limits, NULL, &four, NULL), REEVE_OK);
    refuses_n(read_msgpack, BYTES("\x91\x91\x91\x91\x90"), &limits, REEVE_LIMIT, "f:byte 4: nested deeper than 4");
    refuses_n(read_msgpack, BYTES("\x91\x91\x91\x91\x80"), &limits, REEVE_LIMIT, "f:byte 4: nested deeper than 4");
}

// A message within every other bound that would become a tree of 50 MiB.
static void all_values_of_a_message_are_bounded(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    const size_t outer = 80;
    const size_t inner = 4000;
    unsigned char head[] = {0xdc, 0, (unsigned char)outer};
    reeve_buf_append(&buf, head, sizeof(head));
    for (size_t i = 0; i < outer; i++) {
        unsigned char inner_head[] = {0xdc, (unsigned char)(inner >> 8), (unsigned char)(inner & 255)};
        reeve_buf_append(&buf, inner_head, sizeof(inner_head));
        for (size_t k = 0; k < inner; k++) {
            reeve_buf_append(&buf, "\xc0", 1);
        }
    }
    refuses_n(read_msgpack, buf.data, buf.len, &reeve_limits_wire, REEVE_LIMIT, "f:byte ");
}

static void what_cannot_be_read_is_not_written(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO nan = reeve_value_float((double)NAN);
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_msgpack_write(nan, &buf), REEVE_INVALID);
    REEVE_VALUE_AUTO value = sample();
    REEVE_BUF_AUTO small = REEVE_BUF_INIT(20);
    assert_int_equal(reeve_msgpack_write(value, &small), REEVE_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(the_shortest_form_is_written),
        cmocka_unit_test(faults_are_named_with_their_byte),
        cmocka_unit_test(places_without_a_source_are_bytes),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_changed_byte_does_harm),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(all_values_of_a_message_are_bounded),
        cmocka_unit_test(what_cannot_be_read_is_not_written),
    };
    return cmocka_run_group_tests_name("msgpack", tests, NULL, NULL);
}
