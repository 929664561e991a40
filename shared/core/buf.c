// The growable byte buffer.
// Invariant: data is NULL with len = cap = 0, or len < cap <= bound + 1 and data[len] is NUL.
// Must not: lose what is in it when an append fails.
#include <reeve/buf.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN_MAX_DEFAULT ((size_t)64 * 1024 * 1024)
#define CAP_FIRST       64

static size_t bound_of(const struct reeve_buf *buf)
{
    size_t bound = buf->len_max == 0 ? LEN_MAX_DEFAULT : buf->len_max;
    return bound < PTRDIFF_MAX ? bound : PTRDIFF_MAX - 1; // no object is larger, and + 1 stays in range
}

static size_t cap_for(const struct reeve_buf *buf, size_t len)
{
    size_t cap = buf->cap < CAP_FIRST ? CAP_FIRST : buf->cap;
    while (cap < len + 1) {
        cap *= 2; // len is at most PTRDIFF_MAX, so this ends below SIZE_MAX
    }
    size_t cap_max = bound_of(buf) + 1;
    return cap < cap_max ? cap : cap_max;
}

// Room for `more` bytes and the NUL, or an error in buf->err.
static bool make_room(struct reeve_buf *buf, size_t more)
{
    if (buf->err != REEVE_OK) {
        return false;
    }
    size_t bound = bound_of(buf);
    if (buf->len > bound || more > bound - buf->len) {
        buf->err = REEVE_LIMIT;
        return false;
    }
    if (buf->len + more < buf->cap) {
        return true;
    }
    size_t cap = cap_for(buf, buf->len + more);
    char *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->err = REEVE_NOMEM;
        return false;
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return true;
}

void reeve_buf_append(struct reeve_buf *buf, const void *data, size_t len)
{
    if (!make_room(buf, len)) {
        return;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void reeve_buf_puts(struct reeve_buf *buf, const char *text)
{
    reeve_buf_append(buf, text, strlen(text));
}

void reeve_buf_printf(struct reeve_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    reeve_buf_vprintf(buf, fmt, ap);
    va_end(ap);
}

void reeve_buf_vprintf(struct reeve_buf *buf, const char *fmt, va_list ap)
{
    va_list measure;
    va_copy(measure, ap);
    int wanted = vsnprintf(NULL, 0, fmt, measure);
    va_end(measure);
    if (wanted < 0 && buf->err == REEVE_OK) {
        buf->err = REEVE_INVALID; // more than INT_MAX bytes, or a wide character that has no bytes
    }
    if (wanted < 0 || !make_room(buf, (size_t)wanted)) {
        return;
    }
    (void)vsnprintf(buf->data + buf->len, (size_t)wanted + 1, fmt, ap); /* measured above */
    buf->len += (size_t)wanted;
}

void reeve_buf_reset(struct reeve_buf *buf)
{
    buf->len = 0;
    buf->err = REEVE_OK;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

void reeve_buf_done(struct reeve_buf *buf)
{
    free(buf->data);
    *buf = (struct reeve_buf){.len_max = buf->len_max};
}

char *reeve_buf_take(struct reeve_buf *buf, size_t *ret_len)
{
    char *data = buf->data == NULL ? calloc(1, 1) : buf->data;
    if (data == NULL) {
        buf->err = REEVE_NOMEM;
        return NULL;
    }
    if (ret_len != NULL) {
        *ret_len = buf->len;
    }
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
    return data;
}

const char *reeve_buf_str(const struct reeve_buf *buf)
{
    return buf->data == NULL ? "" : buf->data;
}

void reeve_free_auto(void *ptr_address)
{
    void *ptr;
    memcpy(&ptr, ptr_address, sizeof ptr); // any pointer type may lie there
    free(ptr);
}
