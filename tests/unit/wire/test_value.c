// The value tree: makers, containers, lookup, equality, what a failure leaves behind.
#include "codec_test.h"

#include <math.h>
#include <stdio.h>

static void a_map_keeps_order_and_replaces(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_int(map, "b", 1);
    reeve_put_int(map, "a", 2);
    reeve_put_str(map, "b", "three");
    assert_int_equal(reeve_value_len(map), 2);
    assert_string_equal(reeve_value_key(map, 0), "b");
    assert_string_equal(reeve_value_key(map, 1), "a");
    assert_string_equal(reeve_get_str(map, "b"), "three");
    assert_null(reeve_value_key(map, 2));
    assert_null(reeve_value_get(map, "c"));
    assert_int_equal(reeve_value_built(map), REEVE_OK);
}

// Crosses from comparing every key to the sorted index, in an order that is neither sorted nor reversed.
static void large_maps_find_every_key(void **state)
{
    (void)state;
    enum { LEN = 5000, STEP = 1237 };
    REEVE_VALUE_AUTO map = reeve_value_map();
    for (int i = 0; i < LEN; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i * STEP % LEN);
        reeve_put_int(map, key, i);
        assert_int_equal(reeve_get_int(map, key, -1), i);
    }
    assert_int_equal(reeve_value_len(map), LEN);
    for (int i = 0; i < LEN; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i * STEP % LEN);
        assert_int_equal(reeve_get_int(map, key, -1), i);
        assert_string_equal(reeve_value_key(map, (size_t)i), key);
    }
    assert_null(reeve_value_get(map, "k5000"));
    assert_null(reeve_value_get(map, ""));
}

static void removing_keeps_the_others(void **state)
{
    (void)state;
    for (int len = 1; len <= 40; len += 13) { // below and above the size that has an index
        REEVE_VALUE_AUTO map = reeve_value_map();
        char key[16];
        for (int i = 0; i < len; i++) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            reeve_put_int(map, key, i);
        }
        for (int i = 0; i < len; i += 2) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            assert_true(reeve_value_remove(map, key));
            assert_false(reeve_value_remove(map, key));
        }
        for (int i = 0; i < len; i++) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            assert_int_equal(reeve_get_int(map, key, -1), i % 2 == 0 ? -1 : i);
        }
        reeve_put_int(map, "new", 7);
        assert_int_equal(reeve_get_int(map, "new", -1), 7);
    }
    assert_false(reeve_value_remove(NULL, "x"));
}

static void reading_the_wrong_kind_gives_nothing(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO text = reeve_value_str("x");
    REEVE_VALUE_AUTO nothing = reeve_value_str(NULL);
    size_t len = 9;
    assert_int_equal(reeve_value_kind(NULL), REEVE_NULL);
    assert_int_equal(reeve_value_kind(nothing), REEVE_NULL);
    assert_null(reeve_value_get(text, "x"));
    assert_null(reeve_value_get(NULL, "x"));
    assert_null(reeve_value_at(text, 0));
    assert_null(reeve_value_key(text, 0));
    assert_null(reeve_value_text(nothing));
    assert_null(reeve_value_data(NULL, &len));
    assert_int_equal(len, 0);
    assert_int_equal(reeve_value_number(text, -3), -3);
    assert_true(reeve_value_truth(text, true));
    assert_false(reeve_value_truth(NULL, false));
    assert_int_equal(reeve_value_len(NULL), 0);
    assert_int_equal(reeve_value_len(text), 1);
    reeve_value_free(NULL);
}

static void numbers_convert_only_without_loss(void **state)
{
    (void)state;
    static const struct {
        double real;
        int64_t want;
    } rows[] = {
        {3.0, 3},
        {-2.0, -2},
        {3.5, -7},
        {0x1p63, -7},
        {-0x1p63, INT64_MIN},
        {(double)NAN, -7},
        {(double)INFINITY, -7},
        {1e300, -7},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = reeve_value_float(rows[i].real);
        assert_true(reeve_value_number(value, -7) == rows[i].want);
    }
    REEVE_VALUE_AUTO whole = reeve_value_int(5);
    assert_true(reeve_value_real(whole, 0) == 5.0);
    REEVE_VALUE_AUTO text = reeve_value_str("5");
    assert_true(reeve_value_real(text, 0.5) == 0.5);
}

// A worker's log line or environment may hold any bytes; a message that quotes them must still be readable.
static void text_that_is_no_utf8_is_mended(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *want;
    } rows[] = {
        {"plain", 5, "plain"},
        {"", 0, ""},
        {"a\0b", 3,
         "a\xef\xbf\xbd"
         "b"},
        {"\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3\xa9\xc3", 3, "\xc3\xa9\xef\xbf\xbd"},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // a surrogate
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = reeve_value_strn(rows[i].bytes, rows[i].len);
        assert_string_equal(reeve_value_text(value), rows[i].want);
        assert_int_equal(reeve_value_len(value), strlen(rows[i].want));
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    reeve_put_int(map, "k\xff", 1);
    assert_string_equal(reeve_value_key(map, 0), "k\xef\xbf\xbd");
}

static void a_failure_below_is_told_at_the_root(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO root = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    assert_int_equal(reeve_value_put(root, "list", list), REEVE_OK);
    assert_int_equal(reeve_value_built(root), REEVE_OK);
    assert_int_equal(reeve_value_add(list, NULL), REEVE_NOMEM);
    assert_int_equal(reeve_value_add(list, reeve_value_int(1)), REEVE_OK);
    assert_int_equal(reeve_value_built(root), REEVE_NOMEM);
    REEVE_VALUE_AUTO copy = reeve_value_clone(root);
    assert_int_equal(reeve_value_built(copy), REEVE_NOMEM);
    assert_int_equal(reeve_value_built(NULL), REEVE_NOMEM);
    // an item given to nobody is freed, not leaked
    assert_int_equal(reeve_value_put(NULL, "a", reeve_value_int(1)), REEVE_NOMEM);
    assert_int_equal(reeve_value_add(NULL, reeve_value_int(1)), REEVE_NOMEM);
    assert_int_equal(reeve_value_put(root, "list", NULL), REEVE_NOMEM);
    assert_ptr_equal(reeve_value_get(root, "list"), list);
}

static void equality_is_deep_and_blind_to_key_order(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool want;
    } rows[] = {
        {"{\"a\":1,\"b\":[true,null]}", "{\"b\":[true,null],\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":2}", false},
        {"{\"a\":1}", "{\"b\":1}", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
        {"[1,2]", "[2,1]", false},
        {"1", "1.0", false},
        {"\"a\"", "\"b\"", false},
        {"null", "false", false},
        {"1.5", "1.5", true},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO a = json_value(rows[i].a);
        REEVE_VALUE_AUTO b = json_value(rows[i].b);
        assert_int_equal(reeve_value_equal(a, b), rows[i].want);
        REEVE_VALUE_AUTO copy = reeve_value_clone(a);
        assert_true(reeve_value_equal(a, copy));
    }
    REEVE_VALUE_AUTO bin = reeve_value_bin("a", 1);
    REEVE_VALUE_AUTO str = reeve_value_str("a");
    assert_false(reeve_value_equal(bin, str));
}

static void clones_keep_marks(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = json_value("{\n  \"a\": [7]}");
    REEVE_VALUE_AUTO copy = reeve_value_clone(value);
    assert_int_equal(reeve_value_key_mark(copy, 0).line, 2);
    assert_int_equal(reeve_value_key_mark(copy, 0).col, 3);
    assert_int_equal(reeve_value_mark(reeve_value_at(reeve_value_get(copy, "a"), 0)).col, 9);
    assert_int_equal(reeve_value_mark(NULL).line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_keeps_order_and_replaces),
        cmocka_unit_test(large_maps_find_every_key),
        cmocka_unit_test(removing_keeps_the_others),
        cmocka_unit_test(reading_the_wrong_kind_gives_nothing),
        cmocka_unit_test(numbers_convert_only_without_loss),
        cmocka_unit_test(text_that_is_no_utf8_is_mended),
        cmocka_unit_test(a_failure_below_is_told_at_the_root),
        cmocka_unit_test(equality_is_deep_and_blind_to_key_order),
        cmocka_unit_test(clones_keep_marks),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
