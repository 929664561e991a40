// Text that grows in a caller's buffer and is cut at its end, on a UTF-8 boundary. Private to lifecycle.
// For lines of words and numbers whose bound is known; no allocation.
// Must not: be used where a cut would be an error.
#ifndef REEVE_LIFECYCLE_TEXT_H
#define REEVE_LIFECYCLE_TEXT_H

#include <stddef.h>

struct reeve_text {
    char *buf;
    size_t buf_len; // with room for the NUL
    size_t len;     // buf_len - 1 at most
};
void reeve_text_add(struct reeve_text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
