// A growable byte buffer with a bound. Appending past the bound, or out of memory, sets `err` and
// keeps what was there; later appends do nothing, so a writer checks once, at the end.
//   struct reeve_buf b = REEVE_BUF_INIT(64 * 1024);
//   reeve_buf_printf(&b, "run %d", run); ... if (b.err != REEVE_OK) ...; reeve_buf_done(&b);
#ifndef REEVE_BUF_H
#define REEVE_BUF_H

#include <reeve/err.h>

struct reeve_buf {
    char *data; // NUL-terminated once anything was appended, so that it can be read as a string
    size_t len; // without the NUL
    size_t cap;
    size_t len_max; // 0 = 64 MiB
    enum reeve_err err;
};

#define REEVE_BUF_INIT(max) {.len_max = (max)}

void reeve_buf_append(struct reeve_buf *buf, const void *data, size_t len);
void reeve_buf_puts(struct reeve_buf *buf, const char *text);
void reeve_buf_printf(struct reeve_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void reeve_buf_vprintf(struct reeve_buf *buf, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
// Forget the content and any error, keep the memory.
void reeve_buf_reset(struct reeve_buf *buf);
// Free the memory; the buffer may be used again.
void reeve_buf_done(struct reeve_buf *buf);
// Move the content out (never NULL unless out of memory); the caller frees it. *ret_len may be NULL.
char *reeve_buf_take(struct reeve_buf *buf, size_t *ret_len);
// Content as a string, "" when empty.
const char *reeve_buf_str(const struct reeve_buf *buf);

#define REEVE_BUF_AUTO __attribute__((cleanup(reeve_buf_done))) struct reeve_buf

// free() through a pointer's address, for __attribute__((cleanup)).
void reeve_free_auto(void *ptr_address);
#define REEVE_AUTO_FREE __attribute__((cleanup(reeve_free_auto)))

#endif
