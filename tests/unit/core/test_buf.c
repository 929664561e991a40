// The byte buffer: growth, bound, sticky errors, moving out.
// Must not: look at cap, which is the buffer's own business.
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <reeve/buf.h>

static void content_is_always_a_string(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_string_equal(reeve_buf_str(&buf), "");
    reeve_buf_append(&buf, NULL, 0);
    assert_string_equal(buf.data, "");
    reeve_buf_puts(&buf, "ab");
    reeve_buf_append(&buf, "c\0d", 3);
    reeve_buf_printf(&buf, "%d", 42);
    assert_int_equal(buf.len, 7);
    assert_memory_equal(buf.data, "abc\0d42", 8);
    assert_ok(buf.err);
}

static void growth_keeps_every_byte(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    for (int i = 0; i < 100000; i++) {
        char byte = (char)(i % 251);
        reeve_buf_append(&buf, &byte, 1);
    }
    assert_ok(buf.err);
    assert_int_equal(buf.len, 100000);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(buf.data[i], (char)(i % 251));
    }
}

static void the_bound_is_exact_and_sticks(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(5);
    reeve_buf_puts(&buf, "12345");
    assert_ok(buf.err);
    reeve_buf_puts(&buf, "6");
    assert_err(buf.err, REEVE_LIMIT);
    reeve_buf_append(&buf, "", 0);
    reeve_buf_printf(&buf, "%s", "");
    assert_string_equal(buf.data, "12345");
    reeve_buf_reset(&buf);
    assert_ok(buf.err);
    assert_string_equal(buf.data, "");
    reeve_buf_printf(&buf, "%s", "123456");
    assert_err(buf.err, REEVE_LIMIT);
    assert_string_equal(buf.data, "");
    reeve_buf_reset(&buf);
    reeve_buf_append(&buf, "x", SIZE_MAX); // never read: refused by its length
    assert_err(buf.err, REEVE_LIMIT);
}

static void extreme_bounds_do_not_overflow(void **state)
{
    (void)state;
    static const size_t bounds[] = {1, 63, 64, 65, SIZE_MAX - 1, SIZE_MAX, PTRDIFF_MAX};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bounds); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(bounds[i]);
        size_t len = bounds[i] < 200 ? bounds[i] : 200;
        for (size_t k = 0; k < len; k++) {
            reeve_buf_puts(&buf, "x");
        }
        assert_ok(buf.err);
        assert_int_equal(strlen(buf.data), len);
    }
    REEVE_BUF_AUTO lowered = REEVE_BUF_INIT(10);
    reeve_buf_puts(&lowered, "1234567890");
    lowered.len_max = 4; // below what it holds: nothing more goes in, nothing is lost
    reeve_buf_puts(&lowered, "x");
    assert_err(lowered.err, REEVE_LIMIT);
    assert_string_equal(lowered.data, "1234567890");
}

static void printf_of_every_length_fits(void **state)
{
    (void)state;
    char text[300];
    for (size_t len = 0; len < sizeof text; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        reeve_buf_printf(&buf, "%s", text);
        assert_string_equal(buf.data, text);
        reeve_buf_printf(&buf, "%s|%d", text, 7);
        assert_int_equal(buf.len, 2 * len + 2);
    }
}

static void what_printf_cannot_format_is_an_error(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    reeve_buf_puts(&buf, "kept");
    reeve_buf_printf(&buf, "%lc", (wint_t)0x20ac); // no bytes for it in the C locale
    assert_err(buf.err, REEVE_INVALID);
    assert_string_equal(buf.data, "kept");
}

static void take_moves_the_content_out(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(4);
    size_t len = 99;
    REEVE_AUTO_FREE char *empty = reeve_buf_take(&buf, &len);
    assert_string_equal(empty, "");
    assert_int_equal(len, 0);
    reeve_buf_puts(&buf, "abcd");
    reeve_buf_puts(&buf, "e");
    REEVE_AUTO_FREE char *content = reeve_buf_take(&buf, NULL);
    assert_string_equal(content, "abcd");
    assert_string_equal(reeve_buf_str(&buf), "");
    assert_err(buf.err, REEVE_LIMIT); // an error is not lost with the content
    reeve_buf_reset(&buf);
    reeve_buf_puts(&buf, "again");
    assert_err(buf.err, REEVE_LIMIT); // and the bound stays
}

static void done_leaves_a_usable_buffer(void **state)
{
    (void)state;
    struct reeve_buf buf = REEVE_BUF_INIT(3);
    reeve_buf_puts(&buf, "abcd");
    reeve_buf_done(&buf);
    assert_ok(buf.err);
    assert_null(buf.data);
    reeve_buf_puts(&buf, "abc");
    assert_string_equal(buf.data, "abc");
    reeve_buf_puts(&buf, "d");
    assert_err(buf.err, REEVE_LIMIT);
    reeve_buf_done(&buf);
    reeve_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_always_a_string),    cmocka_unit_test(growth_keeps_every_byte),
        cmocka_unit_test(the_bound_is_exact_and_sticks), cmocka_unit_test(extreme_bounds_do_not_overflow),
        cmocka_unit_test(printf_of_every_length_fits),   cmocka_unit_test(what_printf_cannot_format_is_an_error),
        cmocka_unit_test(take_moves_the_content_out),    cmocka_unit_test(done_leaves_a_usable_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
