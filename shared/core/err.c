// Error classes and the human detail beside them.
// Text is formatted beside its target first, so that a caller may wrap: reeve_fail(why, err, "x: %s", why->text).
// Must not: allocate, log.
#include <reeve/err.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static const char *const err_texts[] = {
#define X(id, text) text,
    REEVE_ERR_LIST(X)
#undef X
};

static const struct {
    int number;
    enum reeve_err err;
} errno_classes[] = {
    {ENOMEM, REEVE_NOMEM},
    {ENOENT, REEVE_NOENT},
    {EACCES, REEVE_DENIED},
    {EPERM, REEVE_DENIED},
};

const char *reeve_err_text(enum reeve_err err)
{
    size_t i = (size_t)err;
    return i < REEVE_ARRAY_LEN(err_texts) ? err_texts[i] : err_texts[REEVE_INTERNAL];
}

// Format into `out`, cut between characters. Returns the length.
__attribute__((format(printf, 3, 0))) static size_t format_cut(char *out, size_t size, const char *fmt, va_list ap)
{
    int wanted = vsnprintf(out, size, fmt, ap);
    if (wanted < 0) {
        out[0] = '\0';
        return 0;
    }
    if ((size_t)wanted < size) {
        return (size_t)wanted;
    }
    size_t len = reeve_utf8_cut(out, size - 1);
    out[len] = '\0';
    return len;
}

static void copy_cut(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);
    if (len >= size) {
        len = reeve_utf8_cut(text, size - 1);
    }
    memmove(out, text, len);
    out[len] = '\0';
}

__attribute__((format(printf, 3, 0))) static void fill(struct reeve_why *why, const char *place, const char *fmt,
                                                       va_list ap)
{
    char text[sizeof why->text];
    size_t len = format_cut(text, sizeof text, fmt, ap);
    copy_cut(why->place, sizeof why->place, place);
    memcpy(why->text, text, len + 1);
}

enum reeve_err reeve_fail(struct reeve_why *why, enum reeve_err err, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(why, "", fmt, ap);
        va_end(ap);
    }
    return err;
}

enum reeve_err reeve_fail_at(struct reeve_why *why, enum reeve_err err, const char *place, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        fill(why, place == NULL ? "" : place, fmt, ap);
        va_end(ap);
    }
    return err;
}

static enum reeve_err class_of_errno(int number)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(errno_classes); i++) {
        if (errno_classes[i].number == number) {
            return errno_classes[i].err;
        }
    }
    return REEVE_IO;
}

enum reeve_err reeve_fail_errno(struct reeve_why *why, const char *fmt, ...)
{
    int number = errno;
    if (why == NULL) {
        return class_of_errno(number);
    }
    char reason_buf[128];
    char text[sizeof why->text];
    // What the system said is the part worth keeping: a long text gives way to it.
    const char *reason = strerror_r(number, reason_buf, sizeof reason_buf);
    size_t reason_len = strnlen(reason, sizeof reason_buf);
    va_list ap;
    va_start(ap, fmt);
    size_t len = format_cut(text, sizeof text - 2 - reason_len, fmt, ap);
    va_end(ap);
    memcpy(text + len, ": ", 2);
    memcpy(text + len + 2, reason, reason_len);
    why->place[0] = '\0';
    memcpy(why->text, text, len + 2 + reason_len);
    why->text[len + 2 + reason_len] = '\0';
    errno = number;
    return class_of_errno(number);
}

const char *reeve_why_format(const struct reeve_why *why, char *buf, size_t buf_len)
{
    if (buf_len == 0) {
        return "";
    }
    const char *separator = why->place[0] == '\0' ? "" : ": ";
    int wanted = snprintf(buf, buf_len, "%s%s%s", why->place, separator, why->text);
    if (wanted >= 0 && (size_t)wanted >= buf_len) {
        buf[reeve_utf8_cut(buf, buf_len - 1)] = '\0';
    }
    return buf;
}

void reeve_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    (void)fprintf(stderr, "assertion failed: %s at %s:%d in %s\n", cond, file, line, func); /* nowhere else to say it */
    abort();
}
