// What the tests of jobs share: messages written as JSON, exact copies of bytes, errors with their places.
// Must not: be included outside tests of job.
#ifndef REEVE_JOB_TEST_H
#define REEVE_JOB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <reeve/codec.h>
#include <reeve/job.h>

#define SPAN(text) ((struct reeve_span){(text), strlen(text)})

// msgpack of `json`, behind what is in `buf`.
static inline void put_json(struct reeve_buf *buf, const char *json)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    char message[700];
    if (reeve_json_read(json, strlen(json), &reeve_limits_wire, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s", json, reeve_why_format(&why, message, sizeof(message)));
    }
    assert_int_equal(reeve_msgpack_write(value, buf), REEVE_OK);
    reeve_value_free(value);
}

static inline void is_json(struct reeve_span msgpack, const char *json)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    put_json(&buf, json);
    if (msgpack.len != buf.len || memcmp(msgpack.data, buf.data, buf.len) != 0) {
        fail_msg("these %zu bytes are not %s", msgpack.len, json);
    }
}

static inline void is_text(struct reeve_span span, const char *text)
{
    if (!reeve_span_is(span, text)) {
        fail_msg("'%.*s' is not '%s'", (int)span.len, span.data, text);
    }
}

// Exactly so many bytes, so that a sanitizer sees a read past their end. The caller frees.
static inline char *exact_copy(const char *data, size_t len)
{
    char *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

static inline void says(const struct reeve_why *why, const char *about, const char *want)
{
    char message[700];
    if (strcmp(reeve_why_format(why, message, sizeof(message)), want) != 0) {
        fail_msg("%s gives\n%s\nexpected\n%s", about, message, want);
    }
}

#endif
