// stderr line by line: what is said, what is kept, what is left out and said so.
// Must not: use a real clock.
#include "cmocka_all.h"
#include "lines.h"

#include <reeve/buf.h>
#include <stdio.h>
#include <string.h>

struct seen {
    struct reeve_buf said, kept;
    size_t said_len, kept_len;
};

static void on_say(const char *line, void *arg)
{
    struct seen *seen = arg;
    reeve_buf_printf(&seen->said, "%s|", line);
    seen->said_len++;
}

static void on_keep(const char *line, void *arg)
{
    struct seen *seen = arg;
    reeve_buf_printf(&seen->kept, "%s|", line);
    seen->kept_len++;
}

static void begin(struct lines *lines, struct seen *seen)
{
    *seen = (struct seen){.said = REEVE_BUF_INIT(1 << 20), .kept = REEVE_BUF_INIT(1 << 20)};
    lines_init(lines, on_say, on_keep, seen, 1000000);
}

static void end(struct lines *lines, struct seen *seen)
{
    lines_end(lines);
    reeve_buf_done(&seen->said);
    reeve_buf_done(&seen->kept);
}

static void feed(struct lines *lines, const char *text, int64_t at)
{
    lines_feed(lines, text, strlen(text), 1000000 + at);
}

static void lines_are_cut_where_they_end_wherever_the_bytes_are_cut(void **state)
{
    (void)state;
    static const char text[] = "one\r\n\ntwo\nthree";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct lines lines;
        struct seen seen;
        begin(&lines, &seen);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            const size_t left = sizeof text - 1 - at;
            lines_feed(&lines, text + at, left < piece ? left : piece, 1000000);
        }
        assert_string_equal(reeve_buf_str(&seen.kept), "one||two|");
        lines_end(&lines);
        assert_string_equal(reeve_buf_str(&seen.said), "one||two|three|");
        assert_string_equal(reeve_buf_str(&seen.kept), "one||two|three|");
        assert_string_equal(lines.last, "three");
        end(&lines, &seen);
    }
}

static void a_long_line_is_cut_and_a_byte_0_is_a_space(void **state)
{
    (void)state;
    char text[LINES_LEN_MAX * 2];
    struct lines lines;
    struct seen seen;
    begin(&lines, &seen);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    lines_feed(&lines, text, sizeof text, 1000000);
    assert_int_equal(seen.said.len, LINES_LEN_MAX + 1);
    assert_string_equal(seen.said.data + LINES_LEN_MAX - 4, "x...|");
    lines_feed(&lines, "a\0b\n", 4, 1000000);
    assert_string_equal(lines.last, "a b");
    end(&lines, &seen);
}

static void what_comes_too_fast_waits_and_the_middle_is_left_out(void **state)
{
    (void)state;
    struct lines lines;
    struct seen seen;
    char text[32];
    begin(&lines, &seen);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(text, sizeof text, "%d\n", i);
        feed(&lines, text, 0);
    }
    assert_int_equal(seen.said_len, 200);
    assert_int_equal(seen.kept_len, LINES_BURST);
    feed(&lines, "late\n", LINES_EVERY_MS); // earns one
    assert_int_equal(seen.kept_len, LINES_BURST + 2);
    assert_non_null(strstr(reeve_buf_str(&seen.kept), "|49|... 101 lines are left out here|151|"));
    lines_end(&lines);
    assert_int_equal(seen.kept_len, LINES_BURST + 1 + LINES_WAIT_MAX);
    assert_non_null(strstr(reeve_buf_str(&seen.kept), "|199|late|"));
    end(&lines, &seen);
}

static void a_long_silence_earns_no_more_than_a_burst(void **state)
{
    (void)state;
    struct lines lines;
    struct seen seen;
    begin(&lines, &seen);
    for (int i = 0; i < LINES_BURST + 10; i++) {
        feed(&lines, "x\n", 3600000);
    }
    assert_int_equal(seen.kept_len, LINES_BURST);
    end(&lines, &seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_cut_where_they_end_wherever_the_bytes_are_cut),
        cmocka_unit_test(a_long_line_is_cut_and_a_byte_0_is_a_space),
        cmocka_unit_test(what_comes_too_fast_waits_and_the_middle_is_left_out),
        cmocka_unit_test(a_long_silence_earns_no_more_than_a_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
