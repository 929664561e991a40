// Characters, cuts and escapes at byte level.
// Must not: take a decoder of the system as its judge; the expected values are from the Unicode standard.
#include "cmocka_all.h"

#include <string.h>

#include "utf8.h"

static void well_formed_characters_have_their_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xee\x80\x80", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"", 0},
        {"\x80", 0},             // continuation alone
        {"\xc0\x80", 0},         // overlong NUL
        {"\xc1\xbf", 0},         // overlong
        {"\xe0\x9f\xbf", 0},     // overlong
        {"\xf0\x8f\xbf\xbf", 0}, // overlong
        {"\xed\xa0\x80", 0},     // surrogate
        {"\xf4\x90\x80\x80", 0}, // above 10ffff
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xe2\x82", 0}, // cut off
        {"\xe2\x82\x41", 0},
        {"\xf0\x90\x80\xc0", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(reeve_utf8_len(rows[i].text, strlen(rows[i].text)), rows[i].len);
    }
    assert_int_equal(reeve_utf8_len("\xe2\x82\xac", 2), 0); // the bound counts, not the NUL
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    for (size_t len = 0; len < sizeof expected / sizeof expected[0]; len++) {
        assert_int_equal(reeve_utf8_cut(text, len), expected[len]);
    }
    assert_int_equal(reeve_utf8_cut("\x80\x80\x80\x80\x80", 5), 5); // garbage is left alone
    assert_int_equal(reeve_utf8_cut("\x80", 1), 1);
}

static void check_escape(const char *text, const char *also, const char *expected)
{
    char out[128];
    size_t taken;
    assert_int_equal(reeve_escape(text, strlen(text), also, out, sizeof out, &taken), strlen(expected));
    assert_string_equal(out, expected);
    assert_int_equal(taken, strlen(text));
}

static void what_a_terminal_acts_on_is_escaped(void **state)
{
    (void)state;
    check_escape("plain \xc3\xa4 \xe2\x82\xac", "", "plain \xc3\xa4 \xe2\x82\xac");
    check_escape("a\nb\tc\rd", "", "a\\nb\\tc\\rd");
    check_escape("\x1b[31m", "", "\\x1b[31m");
    check_escape("\x01\x7f", "", "\\x01\\x7f");
    check_escape("\xc2\x9b"
                 "31m",
                 "", "\\u009b31m");
    check_escape("\x9b\xff", "", "\\x9b\\xff");
    check_escape("\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6", "", "\\u2028\\u202e\\u2066");
    check_escape("n\\t\"r", "", "n\\t\"r");
    check_escape("n\\t\"r", "\"\\", "n\\\\t\\\"r");
    char out[16];
    assert_int_equal(reeve_escape("a\0b", 3, "", out, sizeof out, NULL), 6);
    assert_string_equal(out, "a\\x00b");
}

static void a_full_buffer_ends_between_escapes(void **state)
{
    (void)state;
    const char *text = "a\x1b\xe2\x82\xac";
    static const struct {
        const char *out;
        size_t taken;
    } rows[] = {{"", 0},       {"a", 1},      {"a", 1},
                {"a", 1},      {"a", 1},      {"a\\x1b", 2},
                {"a\\x1b", 2}, {"a\\x1b", 2}, {"a\\x1b\xe2\x82\xac", 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[16];
        size_t taken;
        (void)reeve_escape(text, strlen(text), "", out, i + 1, &taken); /* what was written is checked below */
        assert_string_equal(out, rows[i].out);
        assert_int_equal(taken, rows[i].taken);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_characters_have_their_length),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(what_a_terminal_acts_on_is_escaped),
        cmocka_unit_test(a_full_buffer_ends_between_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
