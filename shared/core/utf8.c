// UTF-8 characters, cutting between them, and escaping of text from outside.
// Well-formed is what table 3-7 of the Unicode standard says: no overlong forms, no surrogates.
// Must not: allocate, fail.
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// Unicode table 3-7, without ASCII. The bytes after the second are always 80..bf.
static const struct {
    unsigned char lead_first;
    unsigned char lead_last;
    unsigned char second_first;
    unsigned char second_last;
    unsigned char len;
} forms[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
    {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

// Characters above ASCII that a terminal or an editor acts on instead of showing.
static const struct {
    uint32_t first;
    uint32_t last;
} unsafe[] = {
    {0x80, 0x9f},     // C1 controls; 9b is CSI, the same as ESC [
    {0x2028, 0x202e}, // line and paragraph separator, bidirectional embedding and override
    {0x2066, 0x2069}, // bidirectional isolates
};

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t reeve_utf8_len(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0 || s[0] == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (s[0] < forms[i].lead_first || s[0] > forms[i].lead_last) {
            continue;
        }
        if (len < forms[i].len || s[1] < forms[i].second_first || s[1] > forms[i].second_last) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].len; k++) {
            if (!is_continuation(s[k])) {
                return 0;
            }
        }
        return forms[i].len;
    }
    return 0;
}

size_t reeve_utf8_cut(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char byte = s[len - back];
        if (is_continuation(byte)) {
            continue;
        }
        size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        return wanted > back ? len - back : len;
    }
    return len;
}

static uint32_t decode(const char *text, size_t len)
{
    static const unsigned char lead_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)text[0] & lead_mask[len];
    for (size_t i = 1; i < len; i++) {
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    }
    return code;
}

static bool is_unsafe(uint32_t code)
{
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++) {
        if (code >= unsafe[i].first && code <= unsafe[i].last) {
            return true;
        }
    }
    return false;
}

// One character (or one bad byte) into `out`; returns its length, *ret_taken the bytes it stood for.
static size_t escape_one(const char *text, size_t len, const char *also, char out[8], size_t *ret_taken)
{
    unsigned char byte = (unsigned char)text[0];
    size_t taken = reeve_utf8_len(text, len);
    const char *letter = byte == 0 ? NULL : strchr("\nn\tt\rr", byte);
    *ret_taken = taken == 0 ? 1 : taken;
    if (letter != NULL && byte < 0x20) {
        return (size_t)snprintf(out, 8, "\\%c", letter[1]);
    }
    if (taken == 0 || byte < 0x20 || byte == 0x7f) {
        return (size_t)snprintf(out, 8, "\\x%02x", byte);
    }
    if (taken == 1 && strchr(also, byte) != NULL) {
        return (size_t)snprintf(out, 8, "\\%c", byte);
    }
    if (taken > 1 && is_unsafe(decode(text, taken))) {
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)decode(text, taken) & 0xffffU);
    }
    memcpy(out, text, taken);
    return taken;
}

size_t reeve_escape(const char *text, size_t len, const char *also, char *out, size_t out_size, size_t *ret_taken)
{
    size_t used = 0;
    size_t taken = 0;
    while (taken < len) {
        char piece[8];
        size_t piece_taken;
        size_t piece_len = escape_one(text + taken, len - taken, also, piece, &piece_taken);
        if (piece_len >= out_size - used) {
            break;
        }
        memcpy(out + used, piece, piece_len);
        used += piece_len;
        taken += piece_taken;
    }
    out[used] = '\0';
    if (ret_taken != NULL) {
        *ret_taken = taken;
    }
    return used;
}
