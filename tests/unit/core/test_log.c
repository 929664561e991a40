// Log lines: levels, sinks, escaping, cutting, quoting.
// Must not: write to the terminal of whoever runs it, except into a pipe it reads back.
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/str.h>

#define LINE_LEN_MAX 2047
#define HEAD         "1970-01-01T00:00:00.000Z info test "

struct seen {
    char line[4096];
    enum reeve_log_level level;
    int count;
};

static void remember(enum reeve_log_level level, const char *line, void *arg)
{
    struct seen *seen = arg;
    (void)snprintf(seen->line, sizeof seen->line, "%s", line);
    seen->level = level;
    seen->count++;
    errno = EBADF; // what a sink does to errno is not the caller's business
}

static int64_t zero(void *arg)
{
    (void)arg;
    return 0;
}

static const struct reeve_clock stopped = {.wall_ms = zero, .mono_ns = zero};

static int set_up(void **state)
{
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    *state = &seen;
    reeve_clock_set(&stopped);
    reeve_log_set_level(REEVE_LOG_INFO);
    reeve_log_set_sink(remember, &seen);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reeve_log_set_sink(NULL, NULL);
    reeve_clock_set(NULL);
    reeve_log_set_level(REEVE_LOG_INFO);
    return 0;
}

static void a_line_has_time_level_subject_and_the_rest(void **state)
{
    struct seen *seen = *state;
    errno = ENOENT;
    reeve_log(REEVE_LOG_WARNING, "bus", "broker=%s attempt=%d retrying", "b", 3);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(seen->line, "1970-01-01T00:00:00.000Z warning bus broker=b attempt=3 retrying");
    assert_int_equal(seen->level, REEVE_LOG_WARNING);
}

static void lines_above_the_level_are_dropped(void **state)
{
    struct seen *seen = *state;
    for (int limit = REEVE_LOG_ERROR; limit <= (int)REEVE_LOG_DEBUG; limit++) {
        seen->count = 0;
        reeve_log_set_level((enum reeve_log_level)limit);
        assert_int_equal(reeve_log_level(), limit);
        for (int level = REEVE_LOG_ERROR; level <= (int)REEVE_LOG_DEBUG; level++) {
            reeve_log((enum reeve_log_level)level, "test", "x");
        }
        assert_int_equal(seen->count, limit + 1);
    }
}

static void outside_text_cannot_forge_a_line_or_move_the_cursor(void **state)
{
    struct seen *seen = *state;
    reeve_log(REEVE_LOG_INFO, "test", "name=%s", "x\n1970 error fake\x1b[2J\r\xc2\x9b\xff");
    assert_string_equal(seen->line, HEAD "name=x\\n1970 error fake\\x1b[2J\\r\\u009b\\xff");
}

// Both bounds: of the formatted text, and of what escaping makes of it.
static void long_lines_are_cut_with_a_mark(void **state)
{
    struct seen *seen = *state;
    static const char *const pieces[] = {"x", "\x1b", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(pieces); i++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[3000] = "....";
            text[shift] = '\0';
            while (strlen(text) + 4 < sizeof text) {
                strcat(text, pieces[i]);
            }
            reeve_log(REEVE_LOG_INFO, "test", "%s", text);
            size_t len = strlen(seen->line);
            assert_in_range(len, LINE_LEN_MAX - 8, LINE_LEN_MAX);
            assert_true(reeve_utf8_valid(seen->line, len));
            assert_string_equal(seen->line + len - 3, "...");
            assert_true(seen->line[len - 4] != '\\');
        }
    }
    char escapes[601]; // fits as it is, but not escaped
    memset(escapes, '\x1b', sizeof escapes - 1);
    escapes[600] = '\0';
    reeve_log(REEVE_LOG_INFO, "test", "%s", escapes);
    assert_in_range(strlen(seen->line), LINE_LEN_MAX - 8, LINE_LEN_MAX);
    assert_string_equal(seen->line + strlen(seen->line) - 7, "\\x1b...");
    char fits[LINE_LEN_MAX];
    memset(fits, 'x', sizeof fits);
    fits[LINE_LEN_MAX - 3 - strlen(HEAD)] = '\0';
    reeve_log(REEVE_LOG_INFO, "test", "%s", fits);
    assert_int_equal(strlen(seen->line), LINE_LEN_MAX - 3);
    assert_string_equal(seen->line + strlen(seen->line) - 3, "xxx");
}

static void a_subject_longer_than_the_line_is_cut_too(void **state)
{
    struct seen *seen = *state;
    char subject[3000];
    memset(subject, 's', sizeof subject - 1);
    subject[sizeof subject - 1] = '\0';
    reeve_log(REEVE_LOG_INFO, subject, "x=%d", 1);
    assert_in_range(strlen(seen->line), LINE_LEN_MAX - 8, LINE_LEN_MAX);
    assert_string_equal(seen->line + strlen(seen->line) - 3, "...");
}

static void levels_are_parsed_and_refused_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warning", "info", "debug"};
    struct reeve_why why;
    enum reeve_log_level level;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
        assert_ok(reeve_log_level_parse(names[i], &level, &why));
        assert_int_equal(level, i);
    }
    assert_err(reeve_log_level_parse("lou\nd", &level, &why), REEVE_INVALID);
    assert_int_equal(level, REEVE_LOG_DEBUG);
    assert_string_equal(why.text, "log level \"lou\\nd\": expected error, warning, info or debug");
    assert_err(reeve_log_level_parse("", &level, NULL), REEVE_INVALID);
    assert_err(reeve_log_level_parse(NULL, &level, &why), REEVE_INVALID);
}

static void quoting_escapes_and_marks_what_it_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *quoted;
    } rows[] = {
        {"mm 1", 64, "\"mm 1\""},
        {"a\"b\\c\n", 64, "\"a\\\"b\\\\c\\n\""},
        {"", 64, "\"\""},
        {NULL, 64, "\"\""},
        {"12345", 8, "\"12345\""},
        {"123456", 8, "\"12...\""},
        {"1\n3456", 8, "\"1...\""},
        {"\xe2\x82\xac\xe2\x82\xac", 8, "\"...\""},
        {"abc", 6, "\"abc\""},
        {"abcd", 6, "\"...\""},
        {"a", 5, ""},
        {"a", 1, ""},
        {"a", 0, ""},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char buf[64];
        assert_string_equal(reeve_log_quote(rows[i].text, buf, rows[i].size), rows[i].quoted);
    }
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 50; i++) {
        reeve_log(REEVE_LOG_INFO, "test", "thread=%s end", (const char *)arg);
    }
    return NULL;
}

// 200 lines of less than 64 bytes fit in a pipe, so nobody has to read meanwhile.
static void threads_do_not_mix_lines_on_stderr(void **state)
{
    (void)state;
    reeve_log_set_sink(NULL, NULL);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    pthread_t threads[4];
    char names[4][2] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    assert_int_equal(close(saved) + close(ends[1]), 0);
    FILE *lines = fdopen(ends[0], "r");
    assert_non_null(lines);
    char line[256];
    int count = 0;
    while (fgets(line, sizeof line, lines) != NULL) {
        assert_int_equal(strlen(line), strlen(HEAD "thread=a end\n"));
        assert_memory_equal(line, HEAD, strlen(HEAD));
        count++;
    }
    assert_int_equal(count, 200);
    assert_int_equal(fclose(lines), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_subject_and_the_rest),
        TEST(lines_above_the_level_are_dropped),
        TEST(outside_text_cannot_forge_a_line_or_move_the_cursor),
        TEST(long_lines_are_cut_with_a_mark),
        TEST(a_subject_longer_than_the_line_is_cut_too),
        TEST(levels_are_parsed_and_refused_by_name),
        TEST(quoting_escapes_and_marks_what_it_cut),
        TEST(threads_do_not_mix_lines_on_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
