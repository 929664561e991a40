// Text that grows in a caller's buffer. See text.h.
// One place that knows how vsnprintf cuts, so that the callers need not check.
// Must not: allocate.
#include "text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

// Take away the first bytes of a character whose last ones were cut off.
static size_t utf8_whole(const char *buf, size_t len)
{
    size_t start = len;
    while (start > 0 && ((unsigned char)buf[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    return start > 0 && (unsigned char)buf[start - 1] >= 0xc0 ? start - 1 : len;
}

void reeve_text_add(struct reeve_text *text, const char *fmt, ...)
{
    size_t room = text->buf_len - text->len;
    if (room <= 1) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text->buf + text->len, room, fmt, args);
    va_end(args);
    if (n < 0) {
        text->buf[text->len] = 0;
        return;
    }
    bool cut = (size_t)n >= room;
    text->len = cut ? utf8_whole(text->buf, text->buf_len - 1) : text->len + (size_t)n;
    text->buf[text->len] = 0;
}
