// Payloads for people; see payload.h.
// Must not: print.
#include "payload.h"

#include <ctype.h>
#include <reeve/codec.h>
#include <reeve/str.h>
#include <string.h>

static bool is_msgpack_container(unsigned char first)
{
    return (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf);
}

struct reeve_value *payload_value(const void *data, size_t len)
{
    struct reeve_value *value = NULL;
    const char *text = data;
    if (len == 0) {
        return reeve_value_null();
    }
    if (is_msgpack_container((unsigned char)text[0]) &&
        reeve_msgpack_read(data, len, &reeve_limits_wire, NULL, &value, NULL) == REEVE_OK) {
        return value;
    }
    if ((text[0] == '{' || text[0] == '[') &&
        reeve_json_read(text, len, &reeve_limits_wire, NULL, &value, NULL) == REEVE_OK) {
        return value;
    }
    return reeve_utf8_valid(text, len) ? reeve_value_strn(text, len) : reeve_value_bin(data, len);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum reeve_err payload_unhex(const char *text, size_t len, struct reeve_buf *ret, struct reeve_why *why)
{
    for (size_t i = 0; i < len;) {
        if (isspace((unsigned char)text[i])) {
            i++;
            continue;
        }
        int high = digit(text[i]);
        int low = i + 1 < len ? digit(text[i + 1]) : -1;
        if (high < 0 || low < 0) {
            return reeve_fail(why, REEVE_INVALID, "character %zu is no pair of hexadecimal digits", i + 1);
        }
        char byte = (char)(high * 16 + low);
        reeve_buf_append(ret, &byte, 1);
        i += 2;
    }
    return ret->err == REEVE_OK ? REEVE_OK : reeve_fail(why, ret->err, "the message is too large");
}
