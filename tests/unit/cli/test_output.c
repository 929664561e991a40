// Tables, and that nothing foreign reaches a terminal as it is.
#include "cmocka_all.h"
#include "output.h"

static void escaped(const char *text, const char *expected)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    output_escape(&out, text, strlen(text));
    assert_string_equal(reeve_buf_str(&out), expected);
}

static void what_a_terminal_obeys_is_escaped(void **state)
{
    (void)state;
    escaped("plain text, ä€😀", "plain text, ä€😀");
    escaped("\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m");
    escaped("two\nlines\r\ttab", "two\\nlines\\r\\ttab");
    escaped("bell\a del\177", "bell\\x07 del\\x7f");
    escaped("csi \xc2\x9b", "csi \\x9b");                         // C1, as one code point
    escaped("turned \xe2\x80\xae round", "turned \\u202e round"); // right-to-left override
    escaped("hidden \xe2\x80\x8b space", "hidden \\u200b space");
    escaped("bad \xff\xfe utf-8 ä", "bad \\xff\\xfe utf-8 \\xc3\\xa4");
}

static const struct table_column columns[] = {{"NAME", false}, {"PID", true}, {"WHY", false}};

static void table_is(const struct table *table, size_t width, const char *expected)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    table_write(table, width, false, &out);
    assert_string_equal(reeve_buf_str(&out), expected);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    TABLE_AUTO table;
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    table_is(&table, 0, "NAME  PID  WHY\n");
    table_add(&table, COLOUR_NONE, "mm-1");
    table_addf(&table, "%d", 12345);
    table_add(&table, COLOUR_NONE, "idle");
    table_add(&table, COLOUR_NONE, "größer");
    table_add(&table, COLOUR_NONE, NULL);
    table_add(&table, COLOUR_NONE, "");
    assert_int_equal(table_rows(&table), 2);
    table_is(&table, 0,
             "NAME      PID  WHY\n"
             "mm-1    12345  idle\n"
             "größer      -  -\n");
}

static void the_last_column_is_cut_to_the_terminal(void **state)
{
    (void)state;
    TABLE_AUTO table;
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    table_add(&table, COLOUR_NONE, "mm-1");
    table_add(&table, COLOUR_NONE, "1");
    table_add(&table, COLOUR_NONE, "exit 139 (SIGSEGV) · run 4");
    table_is(&table, 30,
             "NAME  PID  WHY\n"
             "mm-1    1  exit 139 (SIGSEGV)…\n");
    // A terminal in which nothing would be left is not cut for.
    table_is(&table, 12,
             "NAME  PID  WHY\n"
             "mm-1    1  exit 139 (SIGSEGV) · run 4\n");
}

static void a_cell_can_not_forge_a_row(void **state)
{
    (void)state;
    TABLE_AUTO table;
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    table_add(&table, COLOUR_NONE, "a\nb");
    table_add(&table, COLOUR_NONE, "1");
    table_add(&table, COLOUR_BAD, "\033[2J");
    table_is(&table, 0,
             "NAME  PID  WHY\n"
             "a\\nb    1  \\x1b[2J\n");
}

static void colour_does_not_change_the_layout(void **state)
{
    (void)state;
    TABLE_AUTO table;
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    table_init(&table, columns, REEVE_ARRAY_LEN(columns));
    table_add(&table, COLOUR_GOOD, "up");
    table_add(&table, COLOUR_NONE, "1");
    table_add(&table, COLOUR_NONE, "x");
    table_write(&table, 0, true, &out);
    assert_non_null(strstr(reeve_buf_str(&out), "\033[32mup\033[0m      1  x\n"));
}

static void classes_of_errors_have_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(output_exit_of(REEVE_OK), EXIT_DONE);
    assert_int_equal(output_exit_of(REEVE_DENIED), EXIT_REFUSED);
    assert_int_equal(output_exit_of(REEVE_NOENT), EXIT_REFUSED);
    assert_int_equal(output_exit_of(REEVE_INVALID), EXIT_USAGE);
    assert_int_equal(output_exit_of(REEVE_OFFLINE), EXIT_AWAY);
    assert_int_equal(output_exit_of(REEVE_TIMEOUT), EXIT_AWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_terminal_obeys_is_escaped),
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(the_last_column_is_cut_to_the_terminal),
        cmocka_unit_test(a_cell_can_not_forge_a_row),
        cmocka_unit_test(colour_does_not_change_the_layout),
        cmocka_unit_test(classes_of_errors_have_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
