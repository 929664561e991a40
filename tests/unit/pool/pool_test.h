// What the tests of pools share: decoding YAML literals that must be right or must be wrong in one way.
// Must not: be included outside tests of pool.
#ifndef REEVE_POOL_TEST_H
#define REEVE_POOL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <reeve/codec.h>
#include <reeve/pool.h>

static inline struct reeve_value *yaml_value(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {0};
    char message[700];
    if (reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s", text, reeve_why_format(&why, message, sizeof(message)));
    }
    return value;
}

static struct reeve_errors errors; // 28 KiB, not for the stack

// The bare pool spec in `yaml`, which must be right; the caller's to end.
static inline struct reeve_pool_spec pool_of(const char *yaml)
{
    REEVE_VALUE_AUTO value = yaml_value(yaml);
    struct reeve_pool_spec pool = {0};
    char text[600];
    reeve_errors_init(&errors, "f");
    if (reeve_pool_decode(value, "", &pool, &errors) != REEVE_OK) {
        fail_msg("%s: %s", yaml, reeve_error_format(&errors, 0, text, sizeof(text)));
    }
    return pool;
}

// `err` came with exactly these errors, warnings included, in this order.
static inline void errors_are(enum reeve_err err, const char *const *wants, size_t len)
{
    char text[600];
    for (size_t i = 0; i < errors.len || i < len; i++) {
        const char *have = i < errors.len ? reeve_error_format(&errors, i, text, sizeof(text)) : "(nothing)";
        const char *want = i < len ? wants[i] : "(nothing)";
        if (strcmp(have, want) != 0) {
            fail_msg("error %zu is\n%s\nexpected\n%s", i, have, want);
        }
    }
    assert_int_equal(err == REEVE_OK, errors.errors == 0);
}

#endif
