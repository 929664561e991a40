// Reading msgpack where it lies, for messages of which there are many a second: no tree, no allocation. And the
// writers that go with it. The same rules as codec.h: what is cut short, too deep, of an extension type or no UTF-8 is refused.
//
//   struct reeve_cursor cursor = REEVE_CURSOR(data, len);
//   for (size_t n = reeve_cursor_map(&cursor); n > 0 && cursor.err == REEVE_OK; n--) {
//       struct reeve_span key = reeve_cursor_str(&cursor);
//       if (reeve_span_is(key, "id")) { id = reeve_cursor_str(&cursor); } else { (void)reeve_cursor_skip(&cursor); }
//   }
//   if (reeve_cursor_end(&cursor, &why) != REEVE_OK) ...
//
// The first mistake is kept (`err`, with its place, `byte 17`), later reads give nothing and move nowhere: a reader checks once,
// at the end. Must not: be used for what a person writes; codec.h gives better errors.
#ifndef REEVE_CURSOR_H
#define REEVE_CURSOR_H

#include <reeve/buf.h>
#include <reeve/value.h>
#include <stdint.h>
#include <string.h>

struct reeve_span { // bytes somewhere in a message, not NUL-terminated; {NULL, 0} = nothing
    const char *data;
    size_t len;
};
struct reeve_cursor {
    const unsigned char *data, *at, *end;
    enum reeve_err err;     // INVALID, LIMIT; the first one
    const char *mistake;    // static text
    size_t mistake_at;      // byte, from 0
};
#define REEVE_CURSOR(data_, len_)                                                                                      \
    {.data = (const void *)(data_),                                                                                    \
     .at = (const void *)(data_),                                                                                      \
     .end = (data_) == NULL ? NULL : (const unsigned char *)(data_) + (len_)}

size_t reeve_cursor_map(struct reeve_cursor *cursor);  // number of pairs; each is a key and a value
size_t reeve_cursor_list(struct reeve_cursor *cursor); // number of items
struct reeve_span reeve_cursor_str(struct reeve_cursor *cursor); // UTF-8 without NUL
int64_t reeve_cursor_int(struct reeve_cursor *cursor); // also a float without fraction
double reeve_cursor_real(struct reeve_cursor *cursor); // also an int
bool reeve_cursor_bool(struct reeve_cursor *cursor);
enum reeve_kind reeve_cursor_kind(const struct reeve_cursor *cursor); // by its first byte; NULL also past the end
bool reeve_cursor_null(struct reeve_cursor *cursor);   // true and past it, when it is one; else stays
// Past one value of any kind, all of it checked (depth 16, entries and bytes that remain, UTF-8); its bytes are returned.
struct reeve_span reeve_cursor_skip(struct reeve_cursor *cursor);
struct reeve_span reeve_cursor_skip_within(struct reeve_cursor *cursor, unsigned depth_max); // containers in containers
void reeve_cursor_fail(struct reeve_cursor *cursor, enum reeve_err err, const char *mistake); // `mistake` is static
// OK when nothing was wrong and nothing is left.
enum reeve_err reeve_cursor_end(struct reeve_cursor *cursor, struct reeve_why *why);

static inline bool reeve_span_is(struct reeve_span span, const char *text)
{
    return span.len == strlen(text) && (span.len == 0 || memcmp(span.data, text, span.len) == 0);
}
static inline bool reeve_span_eq(struct reeve_span a, struct reeve_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

// Writing, in shortest forms; errors stay in the buffer (INVALID: a number that is not finite).
// Text may be any bytes: what is no UTF-8, and NUL, becomes U+FFFD. An empty span as raw value is null.
void reeve_pack_map(struct reeve_buf *buf, size_t len);
void reeve_pack_list(struct reeve_buf *buf, size_t len);
void reeve_pack_str(struct reeve_buf *buf, const char *text);
void reeve_pack_span(struct reeve_buf *buf, struct reeve_span text); // as a string
void reeve_pack_int(struct reeve_buf *buf, int64_t number);
void reeve_pack_real(struct reeve_buf *buf, double number);
void reeve_pack_bool(struct reeve_buf *buf, bool on);
void reeve_pack_null(struct reeve_buf *buf);
void reeve_pack_raw(struct reeve_buf *buf, struct reeve_span msgpack); // one value that is msgpack already
// For a list or map whose length is known only afterwards: five bytes, filled in by the second call.
size_t reeve_pack_list_open(struct reeve_buf *buf);
size_t reeve_pack_map_open(struct reeve_buf *buf);
void reeve_pack_list_close(struct reeve_buf *buf, size_t place, size_t len);

#endif
