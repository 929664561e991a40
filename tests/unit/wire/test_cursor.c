// msgpack where it lies: every form, bounds, places, writing in shortest forms; and that the cursor accepts exactly
// what the reader of trees accepts.
#include "codec_test.h"

#include <math.h>
#include <reeve/cursor.h>
#include <stdio.h>

#define BYTES(literal) (literal), sizeof(literal) - 1

static enum reeve_err skip_all(const void *data, size_t len, struct reeve_why *why)
{
    struct reeve_cursor cursor = REEVE_CURSOR(data, len);
    struct reeve_span span = reeve_cursor_skip(&cursor);
    enum reeve_err err = reeve_cursor_end(&cursor, why);
    assert_true(err != REEVE_OK || (span.data == data && span.len == len));
    return err;
}

static void reads_err(const char *bytes, size_t len, enum reeve_err want_err, const char *want)
{
    struct reeve_why why = {.text = ""};
    char message[700];
    char *copy = malloc(len == 0 ? 1 : len); // exactly this length, so that a sanitizer sees a read past the end
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    enum reeve_err err = skip_all(copy, len, &why);
    free(copy);
    (void)reeve_why_format(&why, message, sizeof(message));
    if (err != want_err || strcmp(message, want) != 0) {
        fail_msg("%s, '%s'; expected %s, '%s'", reeve_err_text(err), message, reeve_err_text(want_err), want);
    }
}

// ---- reading -----------------------------------------------------------------------------------------------

static void whole_numbers_of_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int64_t number;
    } rows[] = {
        {BYTES("\x00"), 0},
        {BYTES("\x7f"), 127},
        {BYTES("\xe0"), -32},
        {BYTES("\xff"), -1},
        {BYTES("\xcc\xff"), 255},
        {BYTES("\xcd\x01\x00"), 256},
        {BYTES("\xce\xff\xff\xff\xff"), UINT32_MAX},
        {BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX},
        {BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x01"), 1}, // wider than needed
        {BYTES("\xd0\x80"), -128},
        {BYTES("\xd1\x80\x00"), INT16_MIN},
        {BYTES("\xd2\x80\x00\x00\x00"), INT32_MIN},
        {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN},
        {BYTES("\xca\x40\x00\x00\x00"), 2}, // JavaScript knows no other numbers
        {BYTES("\xcb\xc3\xe0\x00\x00\x00\x00\x00\x00"), INT64_MIN},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_cursor cursor = REEVE_CURSOR(rows[i].bytes, rows[i].len);
        assert_int_equal(reeve_cursor_int(&cursor), rows[i].number);
        assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
    }
}

static void what_is_no_whole_number_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *want;
    } rows[] = {
        {BYTES("\xca\x3f\xc0\x00\x00"), "byte 0: this is no whole number"},                 // 1.5
        {BYTES("\xcb\x43\xe0\x00\x00\x00\x00\x00\x00"), "byte 0: this is no whole number"}, // 2^63
        {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "byte 0: the number is above 9223372036854775807"},
        {BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "byte 0: the number is not finite"},
        {BYTES("\xa1"
               "5"),
         "byte 0: this is no whole number"},
        {BYTES("\xcd\x01"), "byte 0: cut short: the message ends inside a value's head"},
        {BYTES(""), "byte 0: cut short: the message ends where a value is expected"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why = {.text = ""};
        char text[700];
        struct reeve_cursor cursor = REEVE_CURSOR(rows[i].bytes, rows[i].len);
        assert_int_equal(reeve_cursor_int(&cursor), 0);
        assert_int_equal(reeve_cursor_end(&cursor, &why), REEVE_INVALID);
        assert_string_equal(reeve_why_format(&why, text, sizeof(text)), rows[i].want);
    }
}

static void other_scalars(void **state)
{
    (void)state;
    static const char bytes[] = "\x96\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x03\xc3\xc2\xc0\xd9\x02hi";
    struct reeve_cursor cursor = REEVE_CURSOR(bytes, sizeof(bytes) - 1);
    assert_int_equal(reeve_cursor_list(&cursor), 6);
    assert_int_equal(reeve_cursor_kind(&cursor), REEVE_FLOAT);
    assert_true(reeve_cursor_real(&cursor) == 1.5);
    assert_true(reeve_cursor_real(&cursor) == 3);
    assert_false(reeve_cursor_null(&cursor));
    assert_true(reeve_cursor_bool(&cursor));
    assert_false(reeve_cursor_bool(&cursor));
    assert_true(reeve_cursor_null(&cursor));
    assert_true(reeve_span_is(reeve_cursor_str(&cursor), "hi"));
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
}

// The kind that the first byte tells is the one that the tree reader finds.
static void kinds_are_those_of_the_tree(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        char bytes[64] = {(char)first}; // zeroes behind it: empty text, empty containers, 0
        struct reeve_cursor cursor = REEVE_CURSOR(bytes, sizeof(bytes));
        enum reeve_kind kind = reeve_cursor_kind(&cursor);
        bool map = kind == REEVE_MAP && (first & 0x0f) != 0 && first < 0x90; // its keys would be no text
        size_t len = reeve_cursor_skip(&cursor).len;
        struct reeve_value *value = NULL;
        enum reeve_err err = reeve_msgpack_read(bytes, len, &reeve_limits_wire, NULL, &value, NULL);
        assert_int_equal(err == REEVE_OK, cursor.err == REEVE_OK);
        assert_true(err != REEVE_OK || reeve_value_kind(value) == kind);
        assert_true(!map || err != REEVE_OK);
        reeve_value_free(value);
    }
}

static void the_first_mistake_stays(void **state)
{
    (void)state;
    struct reeve_why why = {.text = ""};
    struct reeve_cursor cursor = REEVE_CURSOR("\x93\x01\xa1x\x02", 5);
    assert_int_equal(reeve_cursor_list(&cursor), 3);
    assert_int_equal(reeve_cursor_int(&cursor), 1);
    assert_int_equal(reeve_cursor_int(&cursor), 0); // text
    assert_int_equal(reeve_cursor_str(&cursor).len, 0);
    assert_null(reeve_cursor_skip(&cursor).data);
    assert_int_equal(reeve_cursor_map(&cursor), 0);
    assert_int_equal(reeve_cursor_list(&cursor), 0);
    assert_false(reeve_cursor_bool(&cursor));
    assert_false(reeve_cursor_null(&cursor));
    assert_true(reeve_cursor_real(&cursor) == 0);
    reeve_cursor_fail(&cursor, REEVE_LIMIT, "later");
    assert_int_equal(reeve_cursor_end(&cursor, &why), REEVE_INVALID);
    assert_string_equal(why.place, "byte 2");
    assert_string_equal(why.text, "this is no whole number");
}

static void what_is_left_is_a_mistake(void **state)
{
    (void)state;
    reads_err(BYTES("\xc0\xc0"), REEVE_INVALID, "byte 1: there is more behind the value");
}

static void skipping_checks_everything(void **state)
{
    (void)state;
    reads_err(BYTES(""), REEVE_INVALID, "byte 0: cut short: the message ends where a value is expected");
    reads_err(BYTES("\xd9"), REEVE_INVALID, "byte 0: cut short: the message ends inside a value's head");
    reads_err(BYTES("\xa3hi"), REEVE_INVALID, "byte 0: cut short: the text is longer than the rest");
    reads_err(BYTES("\xc6\xff\xff\xff\xffhi"), REEVE_INVALID, "byte 0: cut short: the text is longer than the rest");
    reads_err(BYTES("\x92\x01"), REEVE_INVALID,
              "byte 0: cut short: the container has more entries than bytes are left");
    reads_err(BYTES("\x81\xa1x"), REEVE_INVALID, "byte 3: cut short: the message ends where a value is expected");
    reads_err(BYTES("\x82\xa1x\x01"), REEVE_INVALID,
              "byte 0: cut short: the container has more entries than bytes are left");
    reads_err(BYTES("\xdd\xff\xff\xff\xff"), REEVE_LIMIT, "byte 0: a container of more than 4096 entries");
    reads_err(BYTES("\xa2\xc3\x28"), REEVE_INVALID, "byte 0: the text is not UTF-8 or has a NUL inside");
    reads_err(BYTES("\x91\xa3x\x00y"), REEVE_INVALID, "byte 1: the text is not UTF-8 or has a NUL inside");
    reads_err(BYTES("\xa9"
                    "12345678\x80"),
              REEVE_INVALID, "byte 0: the text is not UTF-8 or has a NUL inside");
    reads_err(BYTES("\x81\x01\x01"), REEVE_INVALID, "byte 1: a map's key is no text");
    reads_err(BYTES("\xc1"), REEVE_INVALID, "byte 0: 0xc1 begins no value");
    reads_err(BYTES("\xd4\x01\x01"), REEVE_INVALID, "byte 0: extension types are not allowed");
    reads_err(BYTES("\xc7\x00\x01"), REEVE_INVALID, "byte 0: extension types are not allowed");
    reads_err(BYTES("\xca\x7f\xc0\x00\x00"), REEVE_INVALID, "byte 0: the number is not finite");
}

static void keys_given_twice(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_why why = {.text = ""};
    reads_err(BYTES("\x82\xa1x\x01\xa1x\x01"), REEVE_INVALID, "byte 4: a key is given twice");
    reads_err(BYTES("\x91\x82\xa1x\x01\xa1x\x01"), REEVE_INVALID, "byte 5: a key is given twice");
    for (size_t len = 15; len <= 300; len += 5) {
        for (unsigned twice = 0; twice < 2; twice++) {
            reeve_buf_reset(&buf);
            reeve_pack_map(&buf, len);
            for (size_t i = 0; i < len; i++) {
                char key[32];
                (void)snprintf(key, sizeof(key), "%zu", twice && i == len - 1 ? len / 2 : i);
                reeve_pack_str(&buf, key);
                reeve_pack_map(&buf, 0);
            }
            assert_int_equal(skip_all(buf.data, buf.len, &why), twice ? REEVE_INVALID : REEVE_OK);
        }
    }
}

// So many lists in each other around a 0.
static void put_nested(struct reeve_buf *buf, unsigned depth)
{
    while (depth-- > 0) {
        reeve_pack_list(buf, 1);
    }
    reeve_pack_int(buf, 0);
}

static void bounds_of_depth_entries_and_values(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    put_nested(&buf, 16);
    assert_int_equal(skip_all(buf.data, buf.len, NULL), REEVE_OK);
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    (void)reeve_cursor_skip_within(&cursor, 15);
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_LIMIT);
    reeve_buf_reset(&buf);
    put_nested(&buf, 17);
    reads_err(buf.data, buf.len, REEVE_LIMIT, "byte 16: nested too deep");
    for (size_t len = 4096; len <= 4097; len++) {
        reeve_buf_reset(&buf);
        reeve_pack_list(&buf, len);
        for (size_t i = 0; i < len; i++) {
            reeve_pack_null(&buf);
        }
        assert_int_equal(skip_all(buf.data, buf.len, NULL), len == 4096 ? REEVE_OK : REEVE_LIMIT);
        cursor = (struct reeve_cursor)REEVE_CURSOR(buf.data, buf.len);
        assert_int_equal(reeve_cursor_list(&cursor), len == 4096 ? 4096 : 0);
    }
    reeve_buf_reset(&buf);
    reeve_pack_list(&buf, 65); // 65 lists of 4,095 and themselves: above 64 * 4,096 values
    for (unsigned i = 0; i < 65; i++) {
        reeve_pack_list(&buf, 4095);
        for (unsigned k = 0; k < 4095; k++) {
            reeve_pack_null(&buf);
        }
    }
    assert_int_equal(skip_all(buf.data, buf.len, NULL), REEVE_LIMIT);
}

// A message with every form.
static void put_everything(struct reeve_buf *buf)
{
    static const int64_t numbers[] = {0,     1,         127,        128,       255,       256,        65535,
                                      65536, INT32_MAX, UINT32_MAX, INT64_MAX, -1,        -32,        -33,
                                      -128,  -129,      -32768,     -32769,    INT32_MIN, -INT64_MAX, INT64_MIN};
    static const size_t lens[] = {0, 1, 31, 32, 255, 256, 70000};
    reeve_pack_map(buf, 5);
    reeve_pack_str(buf, "numbers");
    reeve_pack_list(buf, REEVE_ARRAY_LEN(numbers));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(numbers); i++) {
        reeve_pack_int(buf, numbers[i]);
    }
    reeve_pack_str(buf, "texts");
    reeve_pack_list(buf, REEVE_ARRAY_LEN(lens));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lens); i++) {
        REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
        while (text.len < lens[i]) {
            reeve_buf_puts(&text, "x");
        }
        reeve_pack_span(buf, (struct reeve_span){text.data, text.len});
    }
    reeve_pack_str(buf, "others");
    reeve_pack_list(buf, 4);
    reeve_pack_real(buf, -0.25);
    reeve_pack_bool(buf, true);
    reeve_pack_bool(buf, false);
    reeve_pack_null(buf);
    reeve_pack_str(buf, "long");
    reeve_pack_list(buf, 300);
    for (unsigned i = 0; i < 300; i++) {
        reeve_pack_map(buf, 0);
    }
    reeve_pack_str(buf, "größer");
    reeve_pack_map(buf, 20);
    for (unsigned i = 0; i < 20; i++) {
        char key[] = {(char)('a' + i), '\0'};
        reeve_pack_str(buf, key);
        reeve_pack_str(buf, "日本");
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    put_everything(&buf);
    assert_int_equal(skip_all(buf.data, buf.len, NULL), REEVE_OK);
    for (size_t len = 0; len < buf.len; len += len < 2000 || len > buf.len - 3000 ? 1 : 997) {
        assert_int_equal(skip_all(buf.data, len, NULL), REEVE_INVALID);
    }
}

// ---- writing -----------------------------------------------------------------------------------------------

static void written_as_the_tree_writes_it(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO again = REEVE_BUF_INIT(0);
    struct reeve_value *value = NULL;
    put_everything(&buf);
    assert_int_equal(buf.err, REEVE_OK);
    assert_int_equal(reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &value, NULL), REEVE_OK);
    assert_int_equal(reeve_msgpack_write(value, &again), REEVE_OK);
    reeve_value_free(value);
    assert_int_equal(buf.len, again.len);
    assert_memory_equal(buf.data, again.data, buf.len);
}

static void text_that_is_no_utf8_is_mended(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    reeve_pack_str(&buf, "caf\xe9");
    reeve_pack_span(&buf, (struct reeve_span){"a\0b", 3});
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    assert_true(reeve_span_is(reeve_cursor_str(&cursor), "caf\xef\xbf\xbd"));
    assert_true(reeve_span_is(reeve_cursor_str(&cursor), "a\xef\xbf\xbd"
                                                         "b"));
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
}

static void lengths_that_are_known_afterwards(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    size_t map = reeve_pack_map_open(&buf);
    reeve_pack_str(&buf, "a");
    size_t list = reeve_pack_list_open(&buf);
    for (unsigned i = 0; i < 300; i++) {
        reeve_pack_raw(&buf, (struct reeve_span){"\x91\x05", 2});
    }
    reeve_pack_raw(&buf, (struct reeve_span){NULL, 0});
    reeve_pack_list_close(&buf, list, 301);
    reeve_pack_list_close(&buf, map, 1);
    struct reeve_cursor cursor = REEVE_CURSOR(buf.data, buf.len);
    assert_int_equal(reeve_cursor_map(&cursor), 1);
    assert_true(reeve_span_is(reeve_cursor_str(&cursor), "a"));
    assert_int_equal(reeve_cursor_list(&cursor), 301);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(reeve_cursor_skip(&cursor).len, 2);
    }
    assert_true(reeve_cursor_null(&cursor));
    assert_int_equal(reeve_cursor_end(&cursor, NULL), REEVE_OK);
}

static void a_full_buffer_keeps_its_error(void **state)
{
    (void)state;
    for (size_t len_max = 1; len_max < 20; len_max++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(len_max);
        size_t place = reeve_pack_list_open(&buf);
        reeve_pack_str(&buf, "0123456789");
        reeve_pack_int(&buf, 70000);
        reeve_pack_list_close(&buf, place, 2);
        assert_int_equal(buf.err, REEVE_LIMIT);
        assert_true(buf.len <= len_max);
    }
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    reeve_pack_real(&buf, NAN);
    assert_int_equal(buf.err, REEVE_INVALID);
}

// ---- against the reader of trees -------------------------------------------------------------------------------

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

// Bytes that often are msgpack: mostly small containers, short texts and numbers.
static size_t random_message(uint64_t *seed, char *bytes, size_t max)
{
    static const unsigned char heads[] = {0x81, 0x82, 0x83, 0x91, 0x92, 0x93, 0xa1, 0xa1, 0xa2, 0xc0, 0xc2, 0xc4,
                                          0xca, 0xcb, 0xcc, 0xcd, 0xcf, 0xd0, 0xd3, 0xd9, 0xda, 0xdc, 0xdd, 0xde,
                                          0xdf, 0x80, 0x90, 0xa0, 0xc1, 0xc7, 0xd4, 0xff, 0x00, 'x',  'y',  0xc3};
    size_t len = random_next(seed) % max;
    for (size_t i = 0; i < len; i++) {
        uint64_t dice = random_next(seed);
        bytes[i] = (char)(dice % 5 == 0 ? dice >> 8 : dice % 5 < 3 ? heads[(dice >> 8) % sizeof(heads)] : 0xa1);
        if (dice % 5 >= 3 && i + 1 < len) {
            bytes[++i] = (char)('a' + (dice >> 8) % 4);
        }
    }
    return len;
}

static void same_verdict(const char *bytes, size_t len, uint64_t seed, unsigned *accepted)
{
    struct reeve_value *value = NULL;
    struct reeve_why tree_why = {.text = ""};
    struct reeve_why cursor_why = {.text = ""};
    char *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    enum reeve_err tree = reeve_msgpack_read(copy, len, &reeve_limits_wire, NULL, &value, &tree_why);
    enum reeve_err cursor = skip_all(copy, len, &cursor_why);
    if ((tree == REEVE_OK) != (cursor == REEVE_OK)) {
        fail_msg("seed %llu: tree %s '%s', cursor %s '%s'", (unsigned long long)seed, reeve_err_text(tree),
                 tree_why.text, reeve_err_text(cursor), cursor_why.text);
    }
    *accepted += tree == REEVE_OK;
    reeve_value_free(value);
    free(copy);
}

static void random_bytes_get_the_same_verdict(void **state)
{
    (void)state;
    char bytes[96];
    unsigned accepted = 0;
    uint64_t seed = 88172645463325252;
    for (unsigned run = 0; run < 200000; run++) {
        uint64_t from = seed;
        size_t len = random_message(&seed, bytes, run % 3 == 0 ? 6 : run % 3 == 1 ? 16 : sizeof(bytes));
        // As far as the first value goes, so that not everything fails by what is left.
        struct reeve_cursor cursor = REEVE_CURSOR(bytes, len);
        size_t whole = reeve_cursor_skip(&cursor).len;
        same_verdict(bytes, len, from, &accepted);
        if (whole > 0) {
            same_verdict(bytes, whole, from, &accepted);
        }
    }
    assert_true(accepted > 20000); // or the bytes prove nothing
}

static void damaged_messages_get_the_same_verdict(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    unsigned accepted = 0;
    uint64_t seed = 4101842887655102017;
    put_everything(&buf);
    for (unsigned run = 0; run < 500; run++) {
        uint64_t from = seed;
        size_t at = random_next(&seed) % buf.len;
        char kept = buf.data[at];
        buf.data[at] = (char)random_next(&seed);
        same_verdict(buf.data, buf.len, from, &accepted);
        buf.data[at] = kept;
    }
    assert_true(accepted > 100 && accepted < 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_of_every_form),
        cmocka_unit_test(what_is_no_whole_number_is_refused),
        cmocka_unit_test(other_scalars),
        cmocka_unit_test(kinds_are_those_of_the_tree),
        cmocka_unit_test(the_first_mistake_stays),
        cmocka_unit_test(what_is_left_is_a_mistake),
        cmocka_unit_test(skipping_checks_everything),
        cmocka_unit_test(keys_given_twice),
        cmocka_unit_test(bounds_of_depth_entries_and_values),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(written_as_the_tree_writes_it),
        cmocka_unit_test(text_that_is_no_utf8_is_mended),
        cmocka_unit_test(lengths_that_are_known_afterwards),
        cmocka_unit_test(a_full_buffer_keeps_its_error),
        cmocka_unit_test(random_bytes_get_the_same_verdict),
        cmocka_unit_test(damaged_messages_get_the_same_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
