// Round trips of random trees through all three formats, in any order; random bytes into all three readers.
// The seed is printed; REEVE_TEST_SEED=<n> repeats a run.
#include "codec_test.h"

#include <stdio.h>
#include <time.h>

static uint64_t random_state;

// xorshift64*: a test that can be repeated needs a generator of its own.
static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dULL;
}

static unsigned random_below(unsigned end)
{
    return (unsigned)(random_next() >> 33) % end;
}

// Characters that each format has its own trouble with.
static void random_text(char text[64])
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         " ",
                                         "\n",
                                         "\t",
                                         "\"",
                                         "'",
                                         "\\",
                                         ":",
                                         ": ",
                                         "#",
                                         " #",
                                         "-",
                                         "- ",
                                         "[",
                                         "{",
                                         ",",
                                         "&",
                                         "*",
                                         "!",
                                         "%",
                                         "0",
                                         "1",
                                         ".",
                                         "e",
                                         "x",
                                         "~",
                                         "null",
                                         "@",
                                         "\x01",
                                         "\x7f",
                                         "\xc2\x85",
                                         "\xe2\x80\xa8",
                                         "\xef\xbb\xbf",
                                         "\xf0\x9f\x98\x80",
                                         "\r",
                                         "?",
                                         "|",
                                         ">",
                                         "true",
                                         "\xc3\xa9",
                                         "---"};
    text[0] = '\0';
    for (unsigned i = random_below(8); i > 0; i--) {
        strcat(text, pieces[random_below(REEVE_ARRAY_LEN(pieces))]);
    }
}

static double random_real(void)
{
    static const double scales[] = {1e-310, 1e-20, 1e-3, 1.0, 1e6, 1e200};
    double fraction = (double)(int64_t)random_next() / (double)INT64_MAX;
    return fraction * scales[random_below(REEVE_ARRAY_LEN(scales))];
}

static struct reeve_value *random_tree(unsigned depth);

static struct reeve_value *random_container(bool map, unsigned depth)
{
    struct reeve_value *value = map ? reeve_value_map() : reeve_value_list();
    for (unsigned i = random_below(random_below(20) == 0 ? 30 : 5); i > 0; i--) {
        char key[64];
        random_text(key);
        enum reeve_err err =
            map ? reeve_value_put(value, key, random_tree(depth + 1)) : reeve_value_add(value, random_tree(depth + 1));
        assert_int_equal(err, REEVE_OK);
    }
    return value;
}

static struct reeve_value *random_tree(unsigned depth)
{
    char text[64];
    switch (random_below(depth > 5 ? 6 : 9)) {
    case 0:
        return reeve_value_null();
    case 1:
        return reeve_value_bool(random_below(2) == 0);
    case 2:
        return reeve_value_int((int64_t)(random_next() >> random_below(64)) * (random_below(2) == 0 ? 1 : -1));
    case 3:
        return reeve_value_float(random_real());
    case 4:
        return reeve_value_bin("\xff\x00\x80\x01", random_below(4) + 1); // never UTF-8
    case 5:
    case 6:
        random_text(text);
        return reeve_value_str(text);
    case 7:
        return random_container(false, depth);
    default:
        return random_container(true, depth);
    }
}

static enum reeve_err read_msgpack(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why)
{
    return reeve_msgpack_read(text, len, limits, source, ret, why);
}

static enum reeve_err write_json(const struct reeve_value *value, struct reeve_buf *buf)
{
    return reeve_json_write(value, 0, buf);
}

static enum reeve_err write_json_pretty(const struct reeve_value *value, struct reeve_buf *buf)
{
    return reeve_json_write(value, REEVE_JSON_PRETTY, buf);
}

static const struct {
    const char *name;
    text_reader *read;
    enum reeve_err (*write)(const struct reeve_value *value, struct reeve_buf *buf);
} formats[] = {
    {"msgpack", read_msgpack, reeve_msgpack_write},
    {"json", reeve_json_read, write_json},
    {"pretty json", reeve_json_read, write_json_pretty},
    {"yaml", reeve_yaml_read, reeve_yaml_write},
    {"pretty json read as yaml", reeve_yaml_read, write_json_pretty},
};

static const struct reeve_limits wide = {.bytes_max = 1 << 24, .depth_max = 64, .entries_max = 100000};

static void trees_survive_every_format(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        REEVE_VALUE_AUTO value = random_tree(0);
        assert_int_equal(reeve_value_built(value), REEVE_OK);
        for (size_t i = 0; i < REEVE_ARRAY_LEN(formats); i++) {
            REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
            struct reeve_value *back = NULL;
            struct reeve_why why = {.text = ""};
            assert_int_equal(formats[i].write(value, &buf), REEVE_OK);
            if (formats[i].read(reeve_buf_str(&buf), buf.len, &wide, NULL, &back, &why) != REEVE_OK) {
                fail_msg("round %d, %s: %s: %s\n%s", round, formats[i].name, why.place, why.text, reeve_buf_str(&buf));
            }
            if (!reeve_value_equal(value, back)) {
                fail_msg("round %d, %s: not the same after\n%s", round, formats[i].name, reeve_buf_str(&buf));
            }
            reeve_value_free(value); // the next format gets what this one read
            value = back;
        }
    }
}

// Lengths and bytes as a stranger might send them. A refusal must say why.
static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]\":,-?&*!|>'%@`# \n\t01.eatrufalsn\\~\x81\x92\xa1\xc0\xcb\xd9\xde\xff\xc3\xa9";
    for (int round = 0; round < 30000; round++) {
        char bytes[48];
        unsigned len = random_below(sizeof(bytes));
        for (unsigned i = 0; i < len; i++) {
            bytes[i] = random_below(4) == 0 ? (char)random_below(256) : alphabet[random_below(sizeof(alphabet) - 1)];
        }
        for (size_t i = 0; i < REEVE_ARRAY_LEN(formats); i++) {
            REEVE_VALUE_AUTO value = NULL;
            struct reeve_why why = {.text = ""};
            enum reeve_err err = formats[i].read(bytes, len, &reeve_limits_wire, "f", &value, &why);
            assert_true((err == REEVE_OK) == (value != NULL));
            assert_true((err == REEVE_OK) == (why.text[0] == '\0'));
        }
    }
}

int main(void)
{
    const char *seed = getenv("REEVE_TEST_SEED");
    random_state = seed == NULL ? (uint64_t)time(NULL) : strtoull(seed, NULL, 10);
    print_message("REEVE_TEST_SEED=%llu\n", (unsigned long long)random_state);
    random_state = random_state * 2 + 1; // never 0
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_survive_every_format),
        cmocka_unit_test(random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests_name("codecs", tests, NULL, NULL);
}
