// Durations and sizes: what is read, what is refused and how, what is written reads back.
// Must not: repeat the parser's arithmetic to compute what is expected.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <reeve/units.h>

struct accepted {
    const char *text;
    int64_t number;
};

static void durations_are_read(void **state)
{
    static const struct accepted rows[] = {
        {"0", 0},
        {"0s", 0},
        {"250ms", 250},
        {"300s", 300000},
        {"5m", 300000},
        {"1h30m", 5400000},
        {"2d", 172800000},
        {"1d2h3m4s5ms", 93784005},
        {"1.5s", 1500},
        {"0.25h", 900000},
        {"1m500ms", 60500},
        {"007s", 7000},
        {"106751991167d", INT64_C(9223372036828800000)},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        int64_t ms = -1;
        struct reeve_why why = {0};
        if (reeve_duration_parse(rows[i].text, &ms, &why) != REEVE_OK || ms != rows[i].number) {
            fail_msg("%s gives %lld (%s)", rows[i].text, (long long)ms, why.text);
        }
    }
}

struct refused {
    const char *text;
    enum reeve_err err;
    const char *message; // part of it
};

static void durations_are_refused_with_a_hint(void **state)
{
    static const struct refused rows[] = {
        {"", REEVE_INVALID, "is no duration, expected one such as 250ms"},
        {"300", REEVE_INVALID, "has no unit, did you mean 300s or 300ms?"},
        {"8 s", REEVE_INVALID, "is no duration"},
        {" 8s", REEVE_INVALID, "is no duration"},
        {"8s ", REEVE_INVALID, "is no duration"},
        {"-5s", REEVE_INVALID, "is no duration"},
        {"+5s", REEVE_INVALID, "is no duration"},
        {"1h30", REEVE_INVALID, "is no duration"},
        {"30m1h", REEVE_INVALID, "is no duration"},
        {"1h1h", REEVE_INVALID, "is no duration"},
        {"5min", REEVE_INVALID, "is no duration"},
        {"5M", REEVE_INVALID, "is no duration"},
        {"1.s", REEVE_INVALID, "is no duration"},
        {".5s", REEVE_INVALID, "is no duration"},
        {"1.0000000001s", REEVE_INVALID, "is no duration"},
        {"5sssssssssssssssssss", REEVE_INVALID, "is no duration"},
        {"5s\n", REEVE_INVALID, "is no duration"},
        {"106751991168d", REEVE_LIMIT, "too large"},
        {"99999999999999999999999999d", REEVE_LIMIT, "too large"},
        {"106751991167d24h", REEVE_LIMIT, "too large"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        int64_t ms = -7;
        struct reeve_why why = {0};
        enum reeve_err err = reeve_duration_parse(rows[i].text, &ms, &why);
        if (err != rows[i].err || strstr(why.text, rows[i].message) == NULL || ms != -7) {
            fail_msg("'%s' gives %s: %s", rows[i].text, reeve_err_text(err), why.text);
        }
    }
}

static void sizes_are_read(void **state)
{
    static const struct accepted rows[] = {
        {"0", 0},
        {"1000", 1000},
        {"10B", 10},
        {"64K", 65536},
        {"64KiB", 65536},
        {"512M", 536870912},
        {"512m", 536870912},
        {"1MiB", 1048576},
        {"1G", 1073741824},
        {"1.5G", 1610612736},
        {"2T", INT64_C(2199023255552)},
        {"0.5K", 512},
        {"9223372036854775807", INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        int64_t bytes = -1;
        struct reeve_why why = {0};
        if (reeve_size_parse(rows[i].text, &bytes, &why) != REEVE_OK || bytes != rows[i].number) {
            fail_msg("%s gives %lld (%s)", rows[i].text, (long long)bytes, why.text);
        }
    }
}

static void sizes_are_refused_with_a_hint(void **state)
{
    static const struct refused rows[] = {
        {"12 apples", REEVE_INVALID, "\"12 apples\" is no size, expected one such as 512M"},
        {"", REEVE_INVALID, "is no size"},
        {"512MB", REEVE_INVALID, "write M or MiB"},
        {"1kb", REEVE_INVALID, "write K or KiB"},
        {"1.5", REEVE_INVALID, "is no size"},
        {"1.5B", REEVE_INVALID, "is no size"},
        {"-1", REEVE_INVALID, "is no size"},
        {"1G1M", REEVE_INVALID, "is no size"},
        {"1GiBs", REEVE_INVALID, "is no size"},
        {"5xy", REEVE_INVALID, "is no size"},
        {"5MBB", REEVE_INVALID, "is no size"},
        {"M", REEVE_INVALID, "is no size"},
        {"9223372036854775808", REEVE_LIMIT, "too large"},
        {"8388608T", REEVE_LIMIT, "too large"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        int64_t bytes = -7;
        struct reeve_why why = {0};
        enum reeve_err err = reeve_size_parse(rows[i].text, &bytes, &why);
        if (err != rows[i].err || strstr(why.text, rows[i].message) == NULL || bytes != -7) {
            fail_msg("'%s' gives %s: %s", rows[i].text, reeve_err_text(err), why.text);
        }
    }
}

static uint64_t dice_state = 88172645463325252u;

static uint64_t dice(void) // xorshift64
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    return dice_state ^= dice_state << 17;
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        int64_t number = (int64_t)(dice() >> (1 + dice() % 63));
        int64_t back = -1;
        char text[REEVE_UNITS_TEXT_LEN];
        assert_int_equal(reeve_duration_parse(reeve_duration_format(number, text), &back, NULL), REEVE_OK);
        assert_int_equal(back, number);
        assert_int_equal(reeve_size_parse(reeve_size_format(number, text), &back, NULL), REEVE_OK);
        assert_int_equal(back, number);
    }
}

static void exact_forms(void **state)
{
    char text[REEVE_UNITS_TEXT_LEN];
    (void)state;
    assert_string_equal(reeve_duration_format(0, text), "0");
    assert_string_equal(reeve_duration_format(5400000, text), "1h30m");
    assert_string_equal(reeve_duration_format(90061001, text), "1d1h1m1s1ms");
    assert_string_equal(reeve_size_format(536870912, text), "512M");
    assert_string_equal(reeve_size_format(1073741824, text), "1G");
    assert_string_equal(reeve_size_format(1000, text), "1000");
    assert_string_equal(reeve_size_format(0, text), "0");
}

static void forms_for_people(void **state)
{
    char text[REEVE_UNITS_TEXT_LEN];
    (void)state;
    assert_string_equal(reeve_duration_human(192000, text), "3m12s");
    assert_string_equal(reeve_duration_human(187654321, text), "2d4h");
    assert_string_equal(reeve_duration_human(86400000 + 5000, text), "1d");
    assert_string_equal(reeve_duration_human(250, text), "250ms");
    assert_string_equal(reeve_duration_human(12345, text), "12s");
    assert_string_equal(reeve_duration_human(10000, text), "10s");
    assert_string_equal(reeve_duration_human(9999, text), "9s999ms");
    assert_string_equal(reeve_duration_human(1250, text), "1s250ms");
    assert_string_equal(reeve_duration_human(-3, text), "0");
    assert_string_equal(reeve_size_human(432013312, text), "412M");
    assert_string_equal(reeve_size_human(1395864371, text), "1.3G");
    assert_string_equal(reeve_size_human(2048, text), "2K");
    assert_string_equal(reeve_size_human(1000, text), "1000B");
    assert_string_equal(reeve_size_human(0, text), "0B");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read), cmocka_unit_test(durations_are_refused_with_a_hint),
        cmocka_unit_test(sizes_are_read),     cmocka_unit_test(sizes_are_refused_with_a_hint),
        cmocka_unit_test(exact_forms),        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(forms_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
