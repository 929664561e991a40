// YAML: the core schema, marks, documents, bounds; what is refused and how it is said.
#include "codec_test.h"

#include <math.h>
#include <time.h>

static struct reeve_value *yaml_value(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    if (reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s: %s", text, why.place, why.text);
    }
    return value;
}

static void means(const char *yaml, const char *json)
{
    REEVE_VALUE_AUTO value = yaml_value(yaml);
    REEVE_VALUE_AUTO want = json_value(json);
    if (!reeve_value_equal(value, want)) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        (void)reeve_json_write(value, 0, &buf); // for the message only
        fail_msg("%s means %s, expected %s", yaml, reeve_buf_str(&buf), json);
    }
}

static void scalars_follow_the_core_schema(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "null"},
        {"~", "null"},
        {"null", "null"},
        {"Null", "null"},
        {"nULL", "\"nULL\""},
        {"true", "true"},
        {"FALSE", "false"},
        {"yes", "\"yes\""},
        {"off", "\"off\""},
        {"0", "0"},
        {"-19", "-19"},
        {"+12", "12"},
        {"0o14", "12"},
        {"0x3A", "58"},
        {"0o8", "\"0o8\""},
        {"0x", "\"0x\""},
        {"010", "10"},
        {"1_000", "\"1_000\""},
        {"1.0", "1.0"},
        {".5", "0.5"},
        {"5.", "5.0"},
        {"-1e3", "-1000.0"},
        {"12e03", "12000.0"},
        {"1e", "\"1e\""},
        {".", "\".\""},
        {"-", "[null]"},
        {"1.2.3", "\"1.2.3\""},
        {"300s", "\"300s\""},
        {"512M", "\"512M\""},
        {"9000-9010", "\"9000-9010\""},
        {"\"true\"", "\"true\""},
        {"'12'", "\"12\""},
        {"\"\"", "\"\""},
        {"|\n  12\n", "\"12\\n\""},
        {"a b", "\"a b\""},
        {"2026-11-22", "\"2026-11-22\""},
        {"0.0.0.0", "\"0.0.0.0\""},
        {"1:30", "\"1:30\""},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"+.5e-1", "0.05"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        means(rows[i][0], rows[i][1]);
    }
}

static void containers_in_both_styles(void **state)
{
    (void)state;
    means("worker:\n  type: swap\n  ttl: 300s\nswap:\n  coins: [\"KMD\", BTC]\n  slippage: 1.0\n",
          "{\"worker\":{\"type\":\"swap\",\"ttl\":\"300s\"},\"swap\":{\"coins\":[\"KMD\",\"BTC\"],\"slippage\":1.0}}");
    means("- 1\n- - 2\n  - {a: b}\n-\n", "[1,[2,{\"a\":\"b\"}],null]");
    means("\xef\xbb\xbf"
          "a: 1 # comment\n",
          "{\"a\":1}"); // a byte order mark, as editors on Windows write
    means("a:\r\n  - b\r\n", "{\"a\":[\"b\"]}");
    means("\"yes\": 1\n\"8080\": 2\n", "{\"yes\":1,\"8080\":2}");
    means("{\"json\": [1, true, \"\\u00e9\\/\"]}", "{\"json\":[1,true,\"\xc3\xa9/\"]}");
    means("raw: {$bin: /wA=}\n", "{\"raw\":{\"$bin\":\"/wA=\"}}");
    means("<<: 1\n", "{\"<<\":1}");
}

static void every_value_knows_its_place(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO root = yaml_value("# first\n\xc3\xa9: [1, x]\nmap:\n  key: |\n    text\n");
    const struct {
        struct reeve_mark got;
        uint32_t line, col;
    } rows[] = {
        {reeve_value_mark(root), 2, 1},
        {reeve_value_key_mark(root, 0), 2, 1},
        {reeve_value_mark(reeve_value_at(root, 0)), 2, 4},
        {reeve_value_mark(reeve_value_at(reeve_value_at(root, 0), 1)), 2, 8},
        {reeve_value_mark(reeve_value_at(root, 1)), 4, 3},
        {reeve_value_mark(reeve_value_at(reeve_value_at(root, 1), 0)), 4, 8},
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
        {"a: 1\nb: 2\na: 3\n", "f:3:1: key \"a\" is given twice, first at 1:1"},
        {"x:\n  {k: 1, k: 2}\n", "f:2:10: key \"k\" is given twice, first at 2:4"},
        {"a: &x 1\n", "f:1:4: anchors"},
        {"a: *x\n", "f:1:4: aliases"},
        {"*x : 1\n", "f:1:1: aliases"},
        {"a: !!str 1\n", "f:1:4: tags"},
        {"- !mine {}\n", "f:1:3: tags"},
        {"&a b: 1\n", "f:1:1: anchors"},
        {"a:\n\t- b\n", "f:2:1: a tab in the indentation"},
        {"a:\n  b: 1\n\tc: 2\n", "f:3:1: a tab in the indentation"},
        {"a: b: c\n", "f:1:5: mapping values are not allowed"},
        {"a: [1\nb: 2\n", "f:2:"},
        {"8080: x\n", "f:1:1: a map's key must be a string, this is a whole number; quote it"},
        {"a:\n  true: x\n", "f:2:3: a map's key must be a string, this is a boolean; quote it"},
        {"~: x\n", "f:1:1: a map's key must be a string, this is nothing; quote it"},
        {"? [a]\n: x\n", "f:1:3: a map's key must be a string"},
        {"n: 9223372036854775808\n", "f:1:4: the number is out of range"},
        {"n: 0xffffffffffffffff\n", "f:1:4: the number is out of range"},
        {"n: 1e999\n", "f:1:4: the number is out of range"},
        {"n: .inf\n", "f:1:4: the number is out of range"},
        {"n: -.INF\n", "f:1:4: the number is out of range"},
        {"n: .nan\n", "f:1:4: the number is out of range"},
        {"a: \"x\\0y\"\n", "f:1:4: the string has a NUL"},
        {"\"x\\0y\": 1\n", "f:1:1: the key has a NUL"},
        {"a: 1\n---\nb: 2\n", "f:2:1: a second document begins here"},
        {"a: x\n  \xff\n", "f:2:3: "},
        {"a: \x01\n", "f:1:4: "},
        {"raw: {$bin: A}\n", "f:1:6: \"$bin\" holds no base64"},
        {"%TAG ! x\n", "f:2:1: "},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        refuses(reeve_yaml_read, rows[i].text, REEVE_INVALID, rows[i].want);
    }
    refuses_n(reeve_yaml_read, "a\0b", 3, &reeve_limits_file, REEVE_INVALID, "f:1:2: ");
}

static void documents_of_a_stream(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "[]"},
        {"# nothing\n", "[]"},
        {"a: 1\n", "[{\"a\":1}]"},
        {"a: 1\n---\n- b\n...\n---\n", "[{\"a\":1},[\"b\"],null]"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = NULL;
        REEVE_VALUE_AUTO want = json_value(rows[i][1]);
        assert_int_equal(reeve_yaml_read_all(rows[i][0], strlen(rows[i][0]), &reeve_limits_file, NULL, &value, NULL),
                         REEVE_OK);
        assert_true(reeve_value_equal(value, want));
    }
    refuses(reeve_yaml_read_all, "a: 1\n---\nb: [\n", REEVE_INVALID, "f:4:1: ");
}

static void limits_hold_exactly(void **state)
{
    (void)state;
    const struct reeve_limits limits = {.bytes_max = 10000, .depth_max = 5, .entries_max = 40};
    for (unsigned depth = 4; depth <= 6; depth++) {
        for (int block = 0; block < 2; block++) {
            char *text = nested(depth, block == 1 ? "- " : "{a: ", block == 1 ? "" : "}");
            struct reeve_value *value = NULL;
            enum reeve_err err = reeve_yaml_read(text, strlen(text), &limits, "f", &value, NULL);
            assert_int_equal(err, depth <= 5 ? REEVE_OK : REEVE_LIMIT);
            reeve_value_free(value);
            free(text);
        }
    }
    for (size_t len = 39; len <= 41; len++) {
        for (int map = 0; map < 2; map++) {
            REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
            REEVE_VALUE_AUTO value = NULL;
            entries_write(&buf, len, map == 1);
            enum reeve_err err = reeve_yaml_read(buf.data, buf.len, &limits, "f", &value, NULL);
            assert_int_equal(err, len <= 40 ? REEVE_OK : REEVE_LIMIT);
        }
    }
    refuses_n(reeve_yaml_read, "[[[[[[0]]]]]]", 13, &limits, REEVE_LIMIT, "f:1:6: nested deeper than 5");
    const struct reeve_limits tight = {.bytes_max = 4, .depth_max = 5, .entries_max = 40};
    refuses_n(reeve_yaml_read, "[10] ", 5, &tight, REEVE_LIMIT, "f: 5 bytes, at most 4 are allowed");
}

// libyaml takes seconds for these when it is asked for the whole; nothing here may ask.
static void deep_nesting_is_refused_at_once(void **state)
{
    (void)state;
    static const char *const patterns[] = {"[",    "{",   "[\n",   "{a: ", "- ", "- [",
                                           "[a, ", "{? ", "{a: [", "&a [", "'",  "\"\\\n"};
    enum { LEN = 200 * 1024, CPU_MS_MAX = 500 }; // measured: 2 ms; whole: 15 s
    char *text = malloc(LEN);
    assert_non_null(text);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(patterns); i++) {
        size_t len = strlen(patterns[i]);
        for (size_t at = 0; at < LEN; at++) {
            text[at] = patterns[i][at % len];
        }
        REEVE_VALUE_AUTO value = NULL;
        clock_t before = clock();
        enum reeve_err err = reeve_yaml_read(text, LEN, &reeve_limits_file, "f", &value, NULL);
        assert_true((clock() - before) * 1000 / CLOCKS_PER_SEC < CPU_MS_MAX);
        assert_true(err != REEVE_OK || value != NULL);
    }
    free(text);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"a\":\"true\",\"b\":\"12\",\"c\":\"\",\"d\":\"~\",\"e\":\"yes\",\"f\":\"1e3\",\"g\":\"0x1f\"}",
        "[\"- a\",\"# b\",\"a: b\",\"*x\",\"&x\",\"!x\",\"%x\",\"@x\",\"`x\",\"{\",\"[\",\"a #b\",\" lead\"]",
        "[\"trail \"]",
        "[\"line\\nline\\n\",\"tab\\there\",\"\\u0007\",\"\\u007f\\u0085\\u2028\",\"\\ufeff\",\"\xc3\xa9\",\"\\r\\n\"]",
        "{\"empty\":{},\"list\":[],\"nested\":[[[]],{\"a\":[{}]}]}",
        "[0,-1,9223372036854775807,-9223372036854775808,1.0,0.1,1e300,-0.0,5e-324]",
        "[null,true,false]",
        "\"scalar\"",
        "\"---\"",
        "{\"$bin\":\"/wA=\"}",
        "{\"true\":1,\"12\":2,\"\":3,\"null\":4,\"a b\":5,\"a: b\":6}",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = json_value(rows[i]);
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        assert_int_equal(reeve_yaml_write(value, &buf), REEVE_OK);
        REEVE_VALUE_AUTO back = yaml_value(reeve_buf_str(&buf));
        if (!reeve_value_equal(value, back)) {
            fail_msg("%s does not come back from\n%s", rows[i], reeve_buf_str(&buf));
        }
    }
}

static void written_text_is_what_a_person_would_write(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = json_value("{\"worker\":{\"type\":\"swap\",\"ttl\":\"300s\",\"cpu\":2,\"port\":\"8080\","
                                        "\"mode\":\"on\",\"at\":\"1:30\"},\"coins\":[\"KMD\",\"BTC\"],\"none\":null}");
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_yaml_write(value, &buf), REEVE_OK);
    assert_string_equal(reeve_buf_str(&buf), "worker:\n  type: swap\n  ttl: 300s\n  cpu: 2\n  port: \"8080\"\n"
                                             "  mode: \"on\"\n  at: \"1:30\"\ncoins:\n- KMD\n- BTC\nnone: null\n");
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
        enum reeve_err err = reeve_yaml_read(buf.data, buf.len, &limits, "f", &value, NULL);
        assert_int_equal(err, values <= 128 ? REEVE_OK : REEVE_LIMIT);
    }
}

static void what_cannot_be_read_is_not_written(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO nan = reeve_value_float((double)NAN);
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_yaml_write(nan, &buf), REEVE_INVALID);
    REEVE_VALUE_AUTO value = json_value("[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]");
    REEVE_BUF_AUTO small = REEVE_BUF_INIT(20);
    assert_int_equal(reeve_yaml_write(value, &small), REEVE_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_follow_the_core_schema),
        cmocka_unit_test(containers_in_both_styles),
        cmocka_unit_test(every_value_knows_its_place),
        cmocka_unit_test(faults_are_named_with_line_and_column),
        cmocka_unit_test(documents_of_a_stream),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(deep_nesting_is_refused_at_once),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(written_text_is_what_a_person_would_write),
        cmocka_unit_test(all_values_of_a_message_are_bounded),
        cmocka_unit_test(what_cannot_be_read_is_not_written),
    };
    return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
