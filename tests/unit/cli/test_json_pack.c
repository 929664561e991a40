// JSON to msgpack in one pass: where it is sure it makes the bytes that the readers of all rules make, and it is sure
// of nothing that they refuse.
#include "cmocka_all.h"

#include "json_pack.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>

static const struct reeve_limits limits = {
    .bytes_max = 1u << 20, .depth_max = JSON_PACK_DEPTH_MAX, .entries_max = JSON_PACK_ITEMS_MAX};

static bool pack(const char *text, size_t len, unsigned char *out, size_t *ret_len)
{
    struct json_pack pack = {.at = text, .end = text + len, .out = out};
    json_pack_space(&pack);
    bool sure = json_pack_value(&pack, JSON_PACK_DEPTH_MAX);
    json_pack_space(&pack);
    *ret_len = (size_t)(pack.out - out);
    return sure && pack.at == pack.end;
}

// Whether it was sure; then it has to be right.
static bool same(const char *text, size_t len)
{
    unsigned char *out = malloc(JSON_PACK_BOUND(len));
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    size_t out_len = 0;
    bool sure = pack(text, len, out, &out_len);
    enum reeve_err err = reeve_json_read(text, len, &limits, NULL, &value, NULL);
    if (sure && err != REEVE_OK) {
        fail_msg("%.*s is refused by the reader", (int)len, text);
    }
    if (sure) {
        assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
        if (buf.len != out_len || memcmp(buf.data, out, out_len) != 0) {
            fail_msg("%.*s has other bytes", (int)len, text);
        }
        assert_true(out_len <= JSON_PACK_BOUND(len));
    }
    free(out);
    return sure;
}

static void what_is_usual_is_sure(void **state)
{
    (void)state;
    static const char sixteen[] = "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,"
                                  "\"j\":10,\"k\":11,\"l\":12,\"m\":13,\"n\":14,"
                                  "\"o\":15,\"p\":{\"a\":[1,2,3]}}";
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "\"\"",
                                        "null",
                                        "true",
                                        "false",
                                        "0",
                                        "-0",
                                        "7",
                                        "-1",
                                        "127",
                                        "128",
                                        "255",
                                        "256",
                                        "65535",
                                        "65536",
                                        "4294967295",
                                        "4294967296",
                                        "999999999999999999",
                                        "-32",
                                        "-33",
                                        "-128",
                                        "-129",
                                        "-32768",
                                        "-32769",
                                        "-2147483648",
                                        "-2147483649",
                                        "1.5",
                                        "-0.25",
                                        "1e5",
                                        "2.5E-3",
                                        "0.1",
                                        "12345678901234567890.5",
                                        " { \"a\" : [ 1 , { \"b\" : null } , \"c\" ] } ",
                                        "{\"type\":\"send\",\"payload\":{\"to\":\"kim\",\"n\":17}}",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                        "\"\\u00e4\\u20ac\\u0041\"",
                                        "\"caf\xc3\xa9 \xf0\x9f\x99\x82\"",
                                        "[[[[[[[[[[[[]]]]]]]]]]]]",
                                        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
                                        sixteen};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(texts); i++) {
        if (!same(texts[i], strlen(texts[i]))) {
            fail_msg("%s is a doubt", texts[i]);
        }
    }
}

static void what_is_wrong_or_unusual_is_a_doubt(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "{",
                                        "[",
                                        "}",
                                        "[1,]",
                                        "{\"a\":1,}",
                                        "{\"a\"}",
                                        "{\"a\" 1}",
                                        "{a:1}",
                                        "[1 2]",
                                        "01",
                                        "1.",
                                        ".5",
                                        "+1",
                                        "1e",
                                        "--1",
                                        "nul",
                                        "truefalse",
                                        "1 2",
                                        "\"",
                                        "\"\\",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\\u0000\"",
                                        "\"\\ud83d\\ude00\"",
                                        "\"a\nb\"",
                                        "\"\x01\"",
                                        "\"\xff\"",
                                        "\"\xc3\"",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"$bin\":\"AA==\"}",
                                        "1e999",
                                        "1e-999",
                                        "-0.0",
                                        "9999999999999999999",
                                        "NaN",
                                        "[[[[[[[[[[[[[]]]]]]]]]]]]]",
                                        "{\"a\":1}x"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(texts); i++) {
        if (same(texts[i], strlen(texts[i]))) {
            fail_msg("'%s' is no doubt", texts[i]);
        }
    }
}

static void lengths_get_their_headers(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 70000};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lens); i++) {
        char *text = malloc(lens[i] + 16);
        int before = sprintf(text, "[\"");
        memset(text + before, 'x', lens[i]);
        (void)sprintf(text + before + lens[i], "\",7]");
        assert_true(same(text, strlen(text)));
        free(text);
    }
    for (size_t count = 14; count <= 4098; count = count < 18 ? count + 1 : count * 2 - 1) {
        REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
        reeve_buf_puts(&text, "[");
        for (size_t i = 0; i < count; i++) {
            reeve_buf_puts(&text, i > 0 ? ",0.5" : "0.5"); // what grows most
        }
        reeve_buf_puts(&text, "]");
        assert_int_equal(same(text.data, text.len), count <= JSON_PACK_ITEMS_MAX);
    }
}

static void put_random(struct reeve_buf *out, unsigned depth)
{
    static const char *const scalars[] = {"null",
                                          "true",
                                          "0",
                                          "-7",
                                          "300",
                                          "70000",
                                          "-5000000000",
                                          "1.25",
                                          "\"\"",
                                          "\"abc\"",
                                          "\"\\n\\u00fc\"",
                                          "\"\xe2\x82\xac\""};
    int what = rand() % 10;
    if (depth == 0 || what < 6) {
        reeve_buf_puts(out, scalars[(size_t)rand() % REEVE_ARRAY_LEN(scalars)]);
        return;
    }
    int count = rand() % 20;
    reeve_buf_puts(out, what < 8 ? "[" : "{");
    for (int i = 0; i < count; i++) {
        reeve_buf_puts(out, i > 0 ? ", " : "");
        if (what >= 8) {
            reeve_buf_printf(out, "\"k%d\":", i);
        }
        put_random(out, depth - 1);
    }
    reeve_buf_puts(out, what < 8 ? "]" : "}");
}

// And the same with one byte changed: whatever it is then, both say the same of it, or it is a doubt.
static void any_text_is_the_same_or_a_doubt(void **state)
{
    (void)state;
    srand(20261122);
    for (int round = 0; round < 3000; round++) {
        REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
        put_random(&text, 4);
        assert_true(same(text.data, text.len));
        text.data[(size_t)rand() % text.len] = (char)(rand() % 256);
        (void)same(text.data, text.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_usual_is_sure),
        cmocka_unit_test(what_is_wrong_or_unusual_is_a_doubt),
        cmocka_unit_test(lengths_get_their_headers),
        cmocka_unit_test(any_text_is_the_same_or_a_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
