// Scalars that text formats have no spelling of their own for: bytes as base64, reals that read back exactly.
// Must not: know JSON or YAML syntax.
#include "reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// RFC 4648, section 4.
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void reeve_base64_write(const void *data, size_t len, struct reeve_buf *buf)
{
    const unsigned char *bytes = data;
    for (size_t at = 0; at < len; at += 3) {
        size_t left = len - at;
        unsigned group = (unsigned)bytes[at] << 16;
        group |= left > 1 ? (unsigned)bytes[at + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)bytes[at + 2] : 0;
        char quad[4] = {base64_digits[group >> 18], base64_digits[group >> 12 & 63],
                        left > 1 ? base64_digits[group >> 6 & 63] : '=', left > 2 ? base64_digits[group & 63] : '='};
        reeve_buf_append(buf, quad, sizeof(quad));
    }
}

static int base64_digit(char c)
{
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);
    return at == NULL ? -1 : (int)(at - base64_digits);
}

// Four digits to up to three bytes. `pad` of them are '='. False when they are no base64.
static bool base64_quad(const char *quad, size_t pad, unsigned char *out)
{
    unsigned group = 0;
    for (size_t i = 0; i < 4 - pad; i++) {
        int digit = base64_digit(quad[i]);
        if (digit < 0) {
            return false;
        }
        group |= (unsigned)digit << (18 - 6 * i);
    }
    for (size_t i = 0; i + pad < 3; i++) {
        out[i] = (unsigned char)(group >> 8 * (2 - i) & 255);
    }
    unsigned used = 0xffffffu << (8 * pad) & 0xffffffu;
    return (group & ~used) == 0;
}

struct reeve_value *reeve_base64_read(const char *text, size_t len, bool *ret_bad)
{
    *ret_bad = len % 4 != 0;
    if (*ret_bad) {
        return NULL;
    }
    size_t pad = len == 0 ? 0 : (size_t)(text[len - 1] == '=') + (size_t)(text[len - 1] == '=' && text[len - 2] == '=');
    REEVE_AUTO_FREE unsigned char *bytes = malloc(len / 4 * 3 + 1);
    if (bytes == NULL) {
        return NULL;
    }
    for (size_t at = 0; at < len; at += 4) {
        if (!base64_quad(text + at, at + 4 == len ? pad : 0, bytes + at / 4 * 3)) {
            *ret_bad = true;
            return NULL;
        }
    }
    return reeve_value_bin(bytes, len / 4 * 3 - pad);
}

enum reeve_err reeve_bin_unwrap(struct reeve_value **value)
{
    size_t len = 0;
    const struct reeve_value *inner = reeve_value_get(*value, REEVE_BIN_KEY);
    if (reeve_value_len(*value) != 1 || reeve_value_kind(inner) != REEVE_STR) {
        return REEVE_OK;
    }
    bool bad = false;
    const char *text = reeve_value_data(inner, &len);
    struct reeve_value *bin = reeve_base64_read(text, len, &bad);
    if (bin == NULL) {
        return bad ? REEVE_INVALID : REEVE_NOMEM;
    }
    reeve_value_set_mark(bin, reeve_value_mark(*value));
    reeve_value_free(*value);
    *value = bin;
    return REEVE_OK;
}

const char *reeve_real_format(double number, char buf[REEVE_REAL_SIZE])
{
    // 17 digits always read back; 15 always suffice for what a person wrote.
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(buf, REEVE_REAL_SIZE, "%.*g", digits, number); // at most 24 characters
        if (strtod(buf, NULL) == number) {
            break;
        }
    }
    if (strpbrk(buf, ".eni") == NULL) { // n and i: nan and inf, which the writers refuse
        memcpy(buf + strlen(buf), ".0", sizeof(".0"));
    }
    return buf;
}
