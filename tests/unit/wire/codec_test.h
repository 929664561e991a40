// What the codec tests share: reading literals that must be right, comparing errors with their places.
// Must not: be included outside tests of wire.
#ifndef REEVE_CODEC_TEST_H
#define REEVE_CODEC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <reeve/codec.h>

typedef enum reeve_err text_reader(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why);

// The value of JSON text that is right.
static inline struct reeve_value *json_value(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    char message[700];
    if (reeve_json_read(text, strlen(text), &reeve_limits_file, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s", text, reeve_why_format(&why, message, sizeof(message)));
    }
    return value;
}

// The error of reading `text` from the source "f": its class and "place: text" beginning with `want`.
static inline void refuses_n(text_reader *read, const char *text, size_t len, const struct reeve_limits *limits,
                             enum reeve_err want_err, const char *want)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    char message[700];
    // a copy of exactly this length, so that a sanitizer sees a read past the end
    char *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, text, len);
    enum reeve_err err = read(copy, len, limits, "f", &value, &why);
    free(copy);
    reeve_why_format(&why, message, sizeof(message));
    if (err != want_err || strncmp(message, want, strlen(want)) != 0) {
        fail_msg("reading %.60s gives %s, '%s'; expected %s, '%s'", text, reeve_err_text(err), message,
                 reeve_err_text(want_err), want);
    }
    assert_null(value);
}

static inline void refuses(text_reader *read, const char *text, enum reeve_err err, const char *want)
{
    refuses_n(read, text, strlen(text), &reeve_limits_wire, err, want);
}

// `depth` containers inside each other around a 0.
static inline char *nested(unsigned depth, const char *open, const char *close)
{
    size_t open_len = strlen(open);
    size_t close_len = strlen(close);
    char *text = calloc(1, depth * (open_len + close_len) + 2);
    assert_non_null(text);
    for (unsigned i = 0; i < depth; i++) {
        memcpy(text + i * open_len, open, open_len);
        memcpy(text + depth * open_len + 1 + i * close_len, close, close_len);
    }
    text[depth * open_len] = '0';
    return text;
}

// `[0,0,...]` of `len` entries, or `{"k0":0,...}`.
static inline void entries_write(struct reeve_buf *buf, size_t len, bool map)
{
    reeve_buf_puts(buf, map ? "{" : "[");
    for (size_t i = 0; i < len; i++) {
        reeve_buf_puts(buf, i == 0 ? "" : ", ");
        if (map) {
            reeve_buf_printf(buf, "\"k%zu\": ", i);
        }
        reeve_buf_puts(buf, "0");
    }
    reeve_buf_puts(buf, map ? "}" : "]");
}

// Exactly `values` values, in lists and maps of at most two entries.
static inline void balanced_write(struct reeve_buf *buf, unsigned values)
{
    if (values == 1) {
        reeve_buf_puts(buf, "0");
        return;
    }
    unsigned first = values / 2;
    reeve_buf_puts(buf, values % 3 == 0 ? "{\"a\": " : "[");
    balanced_write(buf, first);
    if (values - 1 > first) {
        reeve_buf_puts(buf, values % 3 == 0 ? ", \"b\": " : ", ");
        balanced_write(buf, values - 1 - first);
    }
    reeve_buf_puts(buf, values % 3 == 0 ? "}" : "]");
}

#endif
