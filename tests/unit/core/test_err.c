// Error classes, the detail beside them, cutting at the bounds.
// Must not: depend on the texts of strerror() beyond "not empty".
#include "cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/str.h>

static void every_class_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int a = REEVE_OK; a <= (int)REEVE_INTERNAL; a++) {
        assert_true(strlen(reeve_err_text((enum reeve_err)a)) > 0);
        for (int b = REEVE_OK; b < a; b++) {
            assert_string_not_equal(reeve_err_text((enum reeve_err)a), reeve_err_text((enum reeve_err)b));
        }
    }
    assert_string_equal(reeve_err_text(REEVE_NOENT), "not_found");
    assert_string_equal(reeve_err_text((enum reeve_err)1000), "internal");
}

static void fail_returns_the_class_with_or_without_why(void **state)
{
    (void)state;
    struct reeve_why why;
    assert_err(reeve_fail(NULL, REEVE_LIMIT, "x"), REEVE_LIMIT);
    assert_err(reeve_fail_at(NULL, REEVE_LIMIT, "p", "x"), REEVE_LIMIT);
    assert_err(reeve_fail_at(&why, REEVE_INVALID, "a.yaml:3:1", "name has '%c'", '!'), REEVE_INVALID);
    assert_string_equal(why.place, "a.yaml:3:1");
    assert_string_equal(why.text, "name has '!'");
    assert_err(reeve_fail(&why, REEVE_CONFLICT, "busy"), REEVE_CONFLICT);
    assert_string_equal(why.place, "");
    assert_string_equal(why.text, "busy");
    assert_err(reeve_fail_at(&why, REEVE_CONFLICT, NULL, "busy"), REEVE_CONFLICT);
    assert_string_equal(why.place, "");
}

static void a_why_can_be_wrapped_in_itself(void **state)
{
    (void)state;
    struct reeve_why why;
    assert_err(reeve_fail_at(&why, REEVE_IO, "here", "inner"), REEVE_IO);
    assert_err(reeve_fail_at(&why, REEVE_IO, why.place, "outer: %s", why.text), REEVE_IO);
    assert_string_equal(why.place, "here");
    assert_string_equal(why.text, "outer: inner");
}

// Every alignment of a 3-byte character against the bound.
static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        char text[1024];
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 4);
        }
        struct reeve_why why;
        assert_err(reeve_fail_at(&why, REEVE_INVALID, text, "%s", text), REEVE_INVALID);
        assert_true(reeve_utf8_valid(why.text, strlen(why.text)));
        assert_true(reeve_utf8_valid(why.place, strlen(why.place)));
        assert_in_range(strlen(why.text), sizeof why.text - 3, sizeof why.text - 1);
        assert_in_range(strlen(why.place), sizeof why.place - 3, sizeof why.place - 1);
        char small[20];
        assert_ptr_equal(reeve_why_format(&why, small, sizeof small), small);
        assert_true(reeve_utf8_valid(small, strlen(small)));
        assert_in_range(strlen(small), 17, 19);
    }
}

static void errno_maps_to_classes_and_is_appended(void **state)
{
    (void)state;
    static const struct {
        int number;
        enum reeve_err err;
    } rows[] = {{ENOMEM, REEVE_NOMEM}, {ENOENT, REEVE_NOENT}, {EACCES, REEVE_DENIED},
                {EPERM, REEVE_DENIED}, {ENOSPC, REEVE_IO},    {123456, REEVE_IO}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why;
        errno = rows[i].number;
        assert_err(reeve_fail_errno(&why, "open %s", "f"), rows[i].err);
        assert_int_equal(errno, rows[i].number);
        char expected[256];
        (void)snprintf(expected, sizeof expected, "open f: %s", strerror(rows[i].number));
        assert_string_equal(why.text, expected);
        assert_string_equal(why.place, "");
        errno = rows[i].number;
        assert_err(reeve_fail_errno(NULL, "open"), rows[i].err);
    }
}

static void a_long_text_leaves_room_for_the_reason(void **state)
{
    (void)state;
    char text[2048];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct reeve_why why;
    errno = ENOSPC;
    assert_err(reeve_fail_errno(&why, "%s", text), REEVE_IO);
    const char *reason = strerror(ENOSPC);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    assert_string_equal(why.text + strlen(why.text) - strlen(reason), reason);
}

static void format_joins_place_and_text(void **state)
{
    (void)state;
    char buf[64];
    struct reeve_why why = {.place = "a:1", .text = "bad"};
    assert_string_equal(reeve_why_format(&why, buf, sizeof buf), "a:1: bad");
    why.place[0] = '\0';
    assert_string_equal(reeve_why_format(&why, buf, sizeof buf), "bad");
    assert_string_equal(reeve_why_format(&why, buf, 1), "");
    assert_string_equal(reeve_why_format(&why, buf, 0), "");
}

static void a_failed_assertion_aborts_in_every_build(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* else a core file is left behind */
        (void)signal(SIGABRT, SIG_DFL);                    /* cmocka's handler is for the parent */
        (void)close(STDERR_FILENO);
        REEVE_ASSERT(pid != 0);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_has_a_text_of_its_own),
        cmocka_unit_test(fail_returns_the_class_with_or_without_why),
        cmocka_unit_test(a_why_can_be_wrapped_in_itself),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(errno_maps_to_classes_and_is_appended),
        cmocka_unit_test(a_long_text_leaves_room_for_the_reason),
        cmocka_unit_test(format_joins_place_and_text),
        cmocka_unit_test(a_failed_assertion_aborts_in_every_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
