// stdout: lines for us and the result, cut into pieces at every place.
// Must not: start a process.
#include "cmocka_all.h"
#include "output.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    struct reeve_buf lines; // what was told, one text per line
};

static void on_line(struct output_line *line, void *arg)
{
    static const char *const kinds[] = {"progress", "checkpoint", "no_return"};
    struct seen *seen = arg;
    reeve_buf_printf(&seen->lines, "%s:", kinds[line->kind]);
    if (line->mistake != NULL) {
        reeve_buf_puts(&seen->lines, "wrong");
    } else if (line->kind == OUTPUT_PROGRESS) {
        reeve_buf_printf(&seen->lines, "%.3g:%s", line->progress, line->text);
    } else if (line->data != NULL) {
        assert_ok(reeve_json_write(line->data, 0, &seen->lines));
    }
    reeve_buf_puts(&seen->lines, "|");
}

// `text` in pieces of `piece` bytes; what was told into *ret_lines, the result as JSON into *ret_result ("" = none).
static void run(const char *text, size_t len, size_t piece, enum output_as as, char **ret_lines, char **ret_result)
{
    struct seen seen = {.lines = REEVE_BUF_INIT(1 << 20)};
    struct output output;
    REEVE_VALUE_AUTO result = NULL;
    REEVE_BUF_AUTO written = REEVE_BUF_INIT(1 << 20);
    output_init(&output, 64, on_line, &seen);
    for (size_t at = 0; at < len; at += piece) {
        output_feed(&output, text + at, len - at < piece ? len - at : piece);
    }
    output_end(&output);
    assert_ok(output_result(&output, as, &result));
    if (result != NULL) {
        assert_ok(reeve_json_write(result, 0, &written));
    }
    *ret_result = reeve_buf_take(&written, NULL);
    *ret_lines = reeve_buf_take(&seen.lines, NULL);
    output_done(&output);
}

static const struct {
    const char *text, *lines, *result;
} rows[] = {
    {"", "", ""},
    {"\n\n", "", ""},
    {"hello\n", "", "\"hello\""},
    {"two\nlines\r\n", "", "\"two\\nlines\""},
    {"{\"a\": [1, 2.5]}\n", "", "{\"a\":[1,2.5]}"},
    {"5", "", "5"},
    {"null", "", "null"},
    {"{broken", "", "\"{broken\""},
    {"::progress 0.4 half way there\n", "progress:0.4:half way there|", ""},
    {"::progress 1\n", "progress:1:|", ""},
    {"::progress 40%\r\n", "progress:0.4:|", ""},
    {"::progress\n", "progress:wrong|", ""},
    {"::progress 1.5 x\n", "progress:wrong|", ""},
    {"::progress -0.5\n", "progress:wrong|", ""},
    {"::progress nan\n", "progress:wrong|", ""},
    {"a\n::progress .5\nb\n", "progress:0.5:|", "\"a\\nb\""},
    {"::checkpoint {\"step\": 3}\n", "checkpoint:{\"step\":3}|", ""},
    {"::checkpoint 7", "checkpoint:7|", ""},
    {"::checkpoint\n", "checkpoint:wrong|", ""},
    {"::checkpoint {oops\n", "checkpoint:wrong|", ""},
    {"::no_return\n", "no_return:|", ""},
    {"::no_return", "no_return:|", ""},
    {"::no_return {\"ref\": \"x\"}\n{\"ok\": true}\n", "no_return:{\"ref\":\"x\"}|", "{\"ok\":true}"},
    {"::progression 0.4\n", "", "\"::progression 0.4\""}, // another word
    {"::prog\n::x\n:\n", "", "\"::prog\\n::x\\n:\""},
    {" ::progress 0.4\n", "", "\" ::progress 0.4\""}, // not at the start of its line
    {"x::progress 0.4\n", "", "\"x::progress 0.4\""},
    {"::", "", "\"::\""},
};

static void lines_are_told_and_the_rest_is_the_result_wherever_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        const size_t len = strlen(rows[i].text);
        for (size_t piece = 1; piece <= len + 1; piece++) {
            char *lines, *result;
            run(rows[i].text, len, piece, OUTPUT_AUTO, &lines, &result);
            assert_string_equal(lines, rows[i].lines);
            assert_string_equal(result, rows[i].result);
            free(lines);
            free(result);
        }
    }
}

static void a_byte_0_and_bytes_that_are_no_text_do_no_harm(void **state)
{
    (void)state;
    static const char text[] = "a\0b\xff\n::progress 0.5 x\0y\n::pro\0gress 1\n";
    char *lines, *result;
    run(text, sizeof text - 1, 3, OUTPUT_AUTO, &lines, &result);
    assert_string_equal(lines, "progress:0.5:x|");
    assert_string_equal(result, "\"a\xef\xbf\xbd"
                                "b\xef\xbf\xbd\\n::pro\xef\xbf\xbdgress 1\"");
    free(lines);
    free(result);
}

static void text_stays_text_when_asked_for(void **state)
{
    (void)state;
    char *lines, *result;
    run("1.10\n", 5, 5, OUTPUT_TEXT, &lines, &result);
    assert_string_equal(result, "\"1.10\"");
    free(lines);
    free(result);
}

static void what_is_beyond_the_bound_is_cut_and_said_so(void **state)
{
    (void)state;
    char text[200], *lines, *result;
    memset(text, '7', sizeof text); // all digits: JSON, were it not cut
    run(text, sizeof text, 50, OUTPUT_AUTO, &lines, &result);
    assert_true(strncmp(result, "\"7777", 5) == 0);
    assert_non_null(strstr(result, "\\n... cut: 64 of 200 bytes\""));
    free(lines);
    free(result);
    run(text, 64, 50, OUTPUT_TEXT, &lines, &result); // just at it
    assert_null(strstr(result, "cut"));
    assert_int_equal(strlen(result), 66);
    free(lines);
    free(result);
}

static void a_line_for_us_is_bounded_and_the_next_one_counts(void **state)
{
    (void)state;
    char *lines, *result;
    char *text = malloc(OUTPUT_LINE_MAX * 2);
    assert_non_null(text);
    memset(text, 'x', OUTPUT_LINE_MAX * 2);
    memcpy(text, "::checkpoint ", 13);
    memcpy(text + OUTPUT_LINE_MAX + 100, "\n::progress 0.5\nrest\n", 20);
    run(text, OUTPUT_LINE_MAX + 120, 1000, OUTPUT_AUTO, &lines, &result);
    assert_string_equal(lines, "checkpoint:wrong|progress:0.5:|");
    assert_string_equal(result, "\"rest\"");
    free(lines);
    free(result);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_told_and_the_rest_is_the_result_wherever_it_is_cut),
        cmocka_unit_test(a_byte_0_and_bytes_that_are_no_text_do_no_harm),
        cmocka_unit_test(text_stays_text_when_asked_for),
        cmocka_unit_test(what_is_beyond_the_bound_is_cut_and_said_so),
        cmocka_unit_test(a_line_for_us_is_bounded_and_the_next_one_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
