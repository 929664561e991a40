// Names, globs, near names, numbers, lists.
// Must not: know how they are computed; globs are compared with a naive matcher.
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include <reeve/id.h>
#include <reeve/str.h>

static void names_are_refused_with_the_character_and_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *why;
    } rows[] = {
        {"Mm.1", "name \"Mm.1\": 'M' at 1 is not allowed (a-z 0-9 _ -)"},
        {"mm.1", "name \"mm.1\": '.' at 3 is not allowed (a-z 0-9 _ -)"},
        {"-a", "name \"-a\": '-' at 1 is not allowed (first: a-z 0-9)"},
        {"_a", "name \"_a\": '_' at 1 is not allowed (first: a-z 0-9)"},
        {"a/b", "name \"a/b\": '/' at 2 is not allowed (a-z 0-9 _ -)"},
        {"a\n", "name \"a\\n\": '\\n' at 2 is not allowed (a-z 0-9 _ -)"},
        {"a'", "name \"a'\": '\\'' at 2 is not allowed (a-z 0-9 _ -)"},
        {"a\xc3\xa4z", "name \"a\xc3\xa4z\": '\xc3\xa4' at 2 is not allowed (a-z 0-9 _ -)"},
        {"a\xff", "name \"a\\xff\": '\\xff' at 2 is not allowed (a-z 0-9 _ -)"},
        {"", "name is empty"},
        {NULL, "name is empty"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why;
        assert_err(reeve_name_check(rows[i].name, &why), REEVE_INVALID);
        assert_string_equal(why.text, rows[i].why);
        assert_err(reeve_name_check(rows[i].name, NULL), REEVE_INVALID);
    }
}

static void names_have_at_most_63_characters(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    assert_ok(reeve_name_check(name, NULL));
    name[63] = 'a';
    name[64] = '\0';
    struct reeve_why why;
    assert_err(reeve_name_check(name, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "has 64 characters, at most 63"));
    name[64] = 'a';
    name[999] = '\0';
    assert_err(reeve_name_check(name, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "has 999 characters, at most 63"));
    assert_ok(reeve_name_check("0", NULL));
    assert_ok(reeve_name_check("mm-1_x", NULL));
}

static void any_text_makes_a_valid_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
    } rows[] = {{"My Host.local", "my-host-local"},
                {"--x", "x"},
                {"", "unnamed"},
                {"...", "unnamed"},
                {"mm-1_x-", "mm-1_x-"},
                {"caf\xc3\xa9s", "caf-s"},
                {"a\xff\xfe", "a--"},
                {"\xc3\xa9t\xc3\xa9", "t-"}};
    char buf[REEVE_NAME_SIZE];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_string_equal(reeve_name_from(rows[i].text, buf), rows[i].name);
    }
    for (int i = 0; i < 10000; i++) {
        char text[100];
        unsigned char len;
        reeve_random_bytes(&len, 1);
        reeve_random_bytes(text, sizeof text);
        text[len % sizeof text] = '\0';
        assert_ok(reeve_name_check(reeve_name_from(text, buf), NULL));
        char again[REEVE_NAME_SIZE];
        assert_string_equal(reeve_name_from(buf, again), buf);
    }
}

static void globs_match_the_whole_text(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } rows[] = {
        {"mm-*", "mm-1", true},
        {"mm-*", "mm-", true},
        {"mm-*", "mm", false},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"?", "", false},
        {"?", "\xc3\xa4", true},
        {"?", "\xff", true},
        {"a?c", "abc", true},
        {"*b*c", "abxbc", true},
        {"*b*c", "abxb", false},
        {"a*b*c*", "abc", true},
        {"**a**", "a", true},
        {"a", "b", false},
        {"ab", "a", false},
        {"*\xc3\xa4", "\xc3\xa4", true},
        {"a*", "ba", false},
        {"*.log", "x.log.1", false},
        {"*a*a*b", "aaaaaaab", true},
        {"[a]", "a", false},
        {"\\*", "*", false},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_int_equal(reeve_glob_match(rows[i].pattern, rows[i].text), rows[i].matches);
    }
    assert_true(reeve_glob_is("a*"));
    assert_true(reeve_glob_is("?"));
    assert_false(reeve_glob_is("mm-1"));
    assert_false(reeve_glob_is(""));
}

static bool naive_match(const char *pattern, const char *text)
{
    if (*pattern == '*') {
        return naive_match(pattern + 1, text) || (*text != '\0' && naive_match(pattern, text + 1));
    }
    if (*text == '\0') {
        return *pattern == '\0';
    }
    return (*pattern == '?' || *pattern == *text) && naive_match(pattern + 1, text + 1);
}

// Every pattern of up to 5 of {a, b, *, ?} against every text of up to 5 of {a, b}.
static void globs_agree_with_a_naive_matcher(void **state)
{
    (void)state;
    for (unsigned p = 0; p < 4096; p++) {
        char pattern[6] = "";
        unsigned digits = p;
        for (size_t i = 0; i < p % 6; i++, digits /= 4) {
            pattern[i] = "ab*?"[digits % 4];
        }
        for (unsigned t = 0; t < 64; t++) {
            char text[6] = "";
            for (size_t i = 0; i < t % 6; i++) {
                text[i] = "ab"[t >> i & 1];
            }
            assert_int_equal(reeve_glob_match(pattern, text), naive_match(pattern, text));
        }
    }
}

static void a_glob_of_many_stars_ends_in_time(void **state)
{
    (void)state;
    static char text[20001];
    memset(text, 'a', sizeof text - 1);
    assert_false(reeve_glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*b", text)); // exponential in a naive matcher
}

static void the_nearest_name_is_found_or_none(void **state)
{
    (void)state;
    static const char *const names[] = {"memory_limit", "cpu_limit", "restart", "start", "stop", NULL};
    static const struct {
        const char *text;
        const char *near;
    } rows[] = {
        {"memory_limt", "memory_limit"},
        {"memorylimits", "memory_limit"},
        {"strat", "start"},
        {"stpo", "stop"},
        {"stop", "stop"},
        {"starts", "start"},
        {"xyzzy", NULL},
        {"", NULL},
        {"cpulimit", "cpu_limit"},
        {"q", NULL},
        {"sabc", NULL},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        const char *near = reeve_near(rows[i].text, names);
        assert_true(reeve_str_eq(near, rows[i].near));
    }
    char text[1000];
    memset(text, 'm', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_null(reeve_near(text, names));
    const char *const longest[] = {text + sizeof text - 1 - 64, NULL};
    assert_ptr_equal(reeve_near(text + sizeof text - 1 - 64, longest), longest[0]);
    assert_null(reeve_near(text + sizeof text - 1 - 65, longest));
    const char *const only_long[] = {text, NULL};
    assert_null(reeve_near("m", only_long));
    const char *const none[] = {NULL};
    assert_null(reeve_near("stop", none));
}

static void comparing_strings(void **state)
{
    (void)state;
    assert_true(reeve_str_eq("a", "a"));
    assert_true(reeve_str_eq(NULL, NULL));
    assert_false(reeve_str_eq("a", NULL));
    assert_false(reeve_str_eq(NULL, ""));
    assert_true(reeve_str_starts("abc", "ab"));
    assert_true(reeve_str_starts("abc", ""));
    assert_false(reeve_str_starts("a", "ab"));
}

static void numbers_are_whole_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t number;
    } good[] = {{"0", 0},
                {"-1", -1},
                {"+7", 7},
                {"007", 7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(good); i++) {
        int64_t number = 99;
        assert_ok(reeve_parse_i64(good[i].text, &number, NULL));
        assert_true(number == good[i].number);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      " 1",
                                      "1 ",
                                      "1\n",
                                      "0x10",
                                      "1.5",
                                      "1e3",
                                      "--1",
                                      "- 1",
                                      "a",
                                      "9223372036854775808",
                                      "-9223372036854775809"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        int64_t number = 99;
        struct reeve_why why = {.text = ""};
        assert_err(reeve_parse_i64(bad[i], &number, &why), REEVE_INVALID);
        assert_int_equal(number, 99);
        assert_true(why.text[0] == '"');
    }
}

// Text is looked at in words: every byte at every place of a word is judged as it is alone.
static void utf8_is_judged_the_same_at_every_place(void **state)
{
    (void)state;
    for (size_t at = 0; at < 44; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[44];
            memset(text, '~', sizeof text);
            text[at] = (char)byte;
            assert_int_equal(reeve_utf8_valid(text, sizeof text), byte > 0 && byte < 0x80);
        }
        char text[48];
        memset(text, 'x', sizeof text);
        memcpy(text + at, "\xe2\x82\xac", 3);
        assert_true(reeve_utf8_valid(text, sizeof text));
        text[at + 1] = '\xff';
        assert_false(reeve_utf8_valid(text, sizeof text));
    }
}

static void utf8_is_checked_to_its_end(void **state)
{
    (void)state;
    assert_true(reeve_utf8_valid("", 0));
    assert_true(reeve_utf8_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_false(reeve_utf8_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9));
    assert_false(reeve_utf8_valid("a\0b", 3));
    assert_false(reeve_utf8_valid("\xed\xa0\x80", 3));
}

static void lists_own_what_they_hold(void **state)
{
    (void)state;
    REEVE_STRV_AUTO list = {0};
    REEVE_STRV_AUTO copy = {0};
    assert_ok(reeve_strv_copy(&list, &copy));
    assert_null(copy.items);
    char text[8] = "one";
    assert_ok(reeve_strv_add(&list, text));
    text[0] = 'x';
    assert_ok(reeve_strv_add(&list, "two"));
    assert_int_equal(list.len, 2);
    assert_null(list.items[2]);
    assert_ok(reeve_strv_copy(&list, &copy));
    reeve_strv_done(&list);
    assert_int_equal(list.len, 0);
    assert_null(list.items);
    assert_string_equal(copy.items[0], "one");
    assert_null(copy.items[2]);
    assert_true(reeve_strv_has(&copy, "two"));
    assert_false(reeve_strv_has(&copy, "tw"));
    assert_false(reeve_strv_has(&list, "two"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_refused_with_the_character_and_its_place),
        cmocka_unit_test(names_have_at_most_63_characters),
        cmocka_unit_test(any_text_makes_a_valid_name),
        cmocka_unit_test(globs_match_the_whole_text),
        cmocka_unit_test(globs_agree_with_a_naive_matcher),
        cmocka_unit_test(a_glob_of_many_stars_ends_in_time),
        cmocka_unit_test(the_nearest_name_is_found_or_none),
        cmocka_unit_test(comparing_strings),
        cmocka_unit_test(numbers_are_whole_or_refused),
        cmocka_unit_test(utf8_is_checked_to_its_end),
        cmocka_unit_test(utf8_is_judged_the_same_at_every_place),
        cmocka_unit_test(lists_own_what_they_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
