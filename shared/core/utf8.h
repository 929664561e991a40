// UTF-8 inside core: how long a character is, where text may be cut, how hostile text is shown.
// The public face is reeve_utf8_valid() and reeve_log_quote(); this is what they and the errors share.
// Must not: allocate, know about locales.
#ifndef REEVE_CORE_UTF8_H
#define REEVE_CORE_UTF8_H

#include <stddef.h>

// Bytes of the well-formed character at `text` (1..4), 0 when it is malformed, cut off by `len`, or a NUL.
size_t reeve_utf8_len(const char *text, size_t len);

// The largest n <= len at which text[0..len) may be cut without splitting a character.
size_t reeve_utf8_cut(const char *text, size_t len);

// Writes text[0..len) so that it stays one harmless line: control characters, bytes that are not UTF-8 and
// characters that move or turn the text are written as \n \t \r \xNN \uNNNN; those in `also` get a backslash.
// Takes as much as fits, never half of an escape or a character; *ret_taken (NULL allowed) says how much.
// `out` is NUL-terminated (out_size >= 1). Returns the bytes written without the NUL.
size_t reeve_escape(const char *text, size_t len, const char *also, char *out, size_t out_size, size_t *ret_taken);

#endif
