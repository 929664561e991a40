// JSON: values and their marks, bounds, faults with their places, what is escaped.
#include "codec_test.h"

#include <math.h>

static void written_is(const struct reeve_value *value, unsigned flags, const char *want)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_json_write(value, flags, &buf), REEVE_OK);
    assert_string_equal(reeve_buf_str(&buf), want);
}

static void text_comes_back_in_normal_form(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {" [ 1 , -2 , 3.0 , 1e2 ] ", "[1,-2,3.0,100.0]"},
        {"{\"b\" : null, \"a\" : {}}", "{\"b\":null,\"a\":{}}"},
        {"\"\\u00e9\\n\\/\\u0007\"", "\"\xc3\xa9\\n/\\u0007\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        {"\"\\u007f\\u0080\\u009f\\u00a0\"", "\"\\u007f\\u0080\\u009f\xc2\xa0\""},
        {"\"\\u2027\\u2028\\u2029\\u202a\"", "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\""},
        {"\"\\b\\f\\r\\t\\\"\\\\\"", "\"\\b\\f\\r\\t\\\"\\\\\""},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"0.1", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"5e-324", "4.94065645841247e-324"},
        {"true", "true"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = json_value(rows[i].text);
        written_is(value, 0, rows[i].want);
    }
}

static void pretty_text_is_indented_by_two(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = json_value("{\"a\":[1,{\"b\":2}],\"c\":{},\"d\":[]}");
    written_is(value, REEVE_JSON_PRETTY,
               "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}");
}

static void bytes_are_text_or_base64(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } rows[] = {
        {"text \xc3\xa9", 7, "\"text \xc3\xa9\""},
        {"\x00", 1, "{\"$bin\":\"AA==\"}"},
        {"\xff\x00", 2, "{\"$bin\":\"/wA=\"}"},
        {"\xff\x00\x10", 3, "{\"$bin\":\"/wAQ\"}"},
        {"\xfb\xff\xfe\xff", 4, "{\"$bin\":\"+//+/w==\"}"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO bin = reeve_value_bin(rows[i].bytes, rows[i].len);
        written_is(bin, 0, rows[i].json);
        REEVE_VALUE_AUTO back = json_value(rows[i].json);
        size_t len = 0;
        const void *data = reeve_value_data(back, &len);
        assert_int_equal(len, rows[i].len);
        assert_memory_equal(data, rows[i].bytes, len);
    }
    REEVE_VALUE_AUTO empty = json_value("{\"$bin\":\"\"}");
    assert_int_equal(reeve_value_kind(empty), REEVE_BIN);
    REEVE_VALUE_AUTO more = json_value("{\"$bin\":\"AA==\",\"x\":1}"); // not that shape
    assert_int_equal(reeve_value_kind(more), REEVE_MAP);
    REEVE_VALUE_AUTO number = json_value("{\"$bin\":1}");
    assert_int_equal(reeve_value_kind(number), REEVE_MAP);
}

static void every_value_knows_its_place(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO root = json_value("{\n  \"\xc3\xa9\": [true,\n    \"a\\\"b\", {\"k\" :-1}],\n\t\"z\": null}");
    const struct reeve_value *list = reeve_value_at(root, 0);
    const struct reeve_value *map = reeve_value_at(list, 2);
    const struct {
        struct reeve_mark got;
        uint32_t line, col;
    } rows[] = {
        {reeve_value_mark(root), 1, 1},
        {reeve_value_key_mark(root, 0), 2, 3},
        {reeve_value_mark(list), 2, 8},
        {reeve_value_mark(reeve_value_at(list, 0)), 2, 9},
        {reeve_value_mark(reeve_value_at(list, 1)), 3, 5},
        {reeve_value_mark(map), 3, 13},
        {reeve_value_key_mark(map, 0), 3, 14},
        {reeve_value_mark(reeve_value_at(map, 0)), 3, 19},
        {reeve_value_key_mark(root, 1), 4, 2},
        {reeve_value_mark(reeve_value_at(root, 1)), 4, 7},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_int_equal(rows[i].got.line, rows[i].line);
        assert_int_equal(rows[i].got.col, rows[i].col);
    }
}

static void faults_are_named_with_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", "f:1:1: "},
        {"{\"a\":1,\n \"a\":2}", "f:2:2: duplicate object key"},
        {"[1,\n2", "f:2:"},
        {"[1 2]", "f:1:4: "},
        {"{\"a\" 1}", "f:1:6: "},
        {"{1:2}", "f:1:2: "},
        {"[tru]", "f:1:2: invalid token"},
        {"[1]x", "f:1:4: end of file expected"},
        {"[NaN]", "f:1:2: invalid token"},
        {"[1e999]", "f:1:2: real number overflow"},
        {"[9223372036854775808]", "f:1:2: too big integer"},
        {"[\"\\u0000\"]", "f:1:2: "},
        {"[\"\\ud800\"]", "f:1:2: "},
        {"[\"\xff\"]", "f:1:"},
        {"[\"a\nb\"]", "f:1:2: "},
        {"]", "f:1:1: "},
        {"[}", "f:1:2: "},
        {"[{\"$bin\":\"A\"}]", "f:1:2: \"$bin\" holds no base64"},
        {"{\"$bin\":\"AA=A\"}", "f:1:1: \"$bin\" holds no base64"},
        {"{\"$bin\":\"AB==\"}", "f:1:1: \"$bin\" holds no base64"},
        {"{\"$bin\":\"A===\"}", "f:1:1: \"$bin\" holds no base64"},
        {"{\"$bin\":\"====\"}", "f:1:1: \"$bin\" holds no base64"},
        {"{\"$bin\":\"AA==AAAA\"}", "f:1:1: \"$bin\" holds no base64"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        refuses(reeve_json_read, rows[i].text, REEVE_INVALID, rows[i].want);
    }
    refuses_n(reeve_json_read, "[1]\0", 4, &reeve_limits_wire, REEVE_INVALID, "f:1:4: ");
    refuses_n(reeve_json_read, "\0[1]", 4, &reeve_limits_wire, REEVE_INVALID, "f:1:1: ");
}

static void limits_hold_exactly(void **state)
{
    (void)state;
    const struct reeve_limits limits = {.bytes_max = 10000, .depth_max = 5, .entries_max = 40};
    for (unsigned depth = 4; depth <= 6; depth++) {
        char *text = nested(depth, depth % 2 == 0 ? "[" : "{\"a\":", depth % 2 == 0 ? "]" : "}");
        struct reeve_value *value = NULL;
        enum reeve_err err = reeve_json_read(text, strlen(text), &limits, "f", &value, NULL);
        assert_int_equal(err, depth <= 5 ? REEVE_OK : REEVE_LIMIT);
        reeve_value_free(value);
        free(text);
    }
    for (size_t len = 39; len <= 41; len++) {
        for (int map = 0; map < 2; map++) {
            REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
            REEVE_VALUE_AUTO value = NULL;
            entries_write(&buf, len, map == 1);
            enum reeve_err err = reeve_json_read(buf.data, buf.len, &limits, "f", &value, NULL);
            assert_int_equal(err, len <= 40 ? REEVE_OK : REEVE_LIMIT);
        }
    }
    const struct reeve_limits tight = {.bytes_max = 4, .depth_max = 5, .entries_max = 40};
    refuses_n(reeve_json_read, "[10] ", 5, &tight, REEVE_LIMIT, "f: 5 bytes, at most 4 are allowed");
    REEVE_VALUE_AUTO value = NULL;
    assert_int_equal(reeve_json_read("[10]", 4, &tight, "f", &value, NULL), REEVE_OK);
    refuses_n(reeve_json_read, "[[[[[[0]]]]]]", 13, &limits, REEVE_LIMIT, "f:1:6: nested deeper than 5");
}

// jansson alone would recurse 2,048 deep and then say so; a caller with wide limits must not get there.
static void depth_is_bounded_whatever_is_asked_for(void **state)
{
    (void)state;
    const struct reeve_limits wide = {.bytes_max = 1 << 20, .depth_max = 1000000, .entries_max = 4096};
    char *text = nested(100000, "[", "]");
    refuses_n(reeve_json_read, text, strlen(text), &wide, REEVE_LIMIT, "f:1:257: nested deeper than 256");
    free(text);
}

// 64 values for each entry that a container may have, keys not counted.
static void all_values_of_a_message_are_bounded(void **state)
{
    (void)state;
    const struct reeve_limits limits = {.bytes_max = 10000, .depth_max = 64, .entries_max = 2};
    for (unsigned values = 127; values <= 129; values++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        balanced_write(&buf, values);
        REEVE_VALUE_AUTO value = NULL;
        enum reeve_err err = reeve_json_read(buf.data, buf.len, &limits, "f", &value, NULL);
        assert_int_equal(err, values <= 128 ? REEVE_OK : REEVE_LIMIT);
    }
}

static void what_cannot_be_read_is_not_written(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO list = reeve_value_list();
    (void)reeve_value_add(list, reeve_value_float((double)INFINITY)); // its result is what is tested below
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_json_write(list, 0, &buf), REEVE_INVALID);
    REEVE_BUF_AUTO small = REEVE_BUF_INIT(3);
    REEVE_VALUE_AUTO value = json_value("[1,2,3]");
    assert_int_equal(reeve_json_write(value, 0, &small), REEVE_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back_in_normal_form),
        cmocka_unit_test(pretty_text_is_indented_by_two),
        cmocka_unit_test(bytes_are_text_or_base64),
        cmocka_unit_test(every_value_knows_its_place),
        cmocka_unit_test(faults_are_named_with_line_and_column),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(depth_is_bounded_whatever_is_asked_for),
        cmocka_unit_test(all_values_of_a_message_are_bounded),
        cmocka_unit_test(what_cannot_be_read_is_not_written),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
