// Log lines: formatted on the stack, escaped, written with one write(2) so that threads don't mix lines.
// Level and sink belong to the program's start; the level may change later, the sink only while one thread runs.
// Must not: allocate, retry, change errno.
#include <reeve/log.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reeve/clock.h>

#include "utf8.h"

#define LINE_SIZE 2048 // with the NUL or the newline that replaces it
#define CUT_MARK  "..."

static const char *const level_texts[] = {
    [REEVE_LOG_ERROR] = "error",
    [REEVE_LOG_WARNING] = "warning",
    [REEVE_LOG_INFO] = "info",
    [REEVE_LOG_DEBUG] = "debug",
};

static atomic_int current_level = REEVE_LOG_INFO;
static reeve_log_sink *current_sink;
static void *current_sink_arg;

void reeve_log_set_level(enum reeve_log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum reeve_log_level reeve_log_level(void)
{
    return (enum reeve_log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

enum reeve_err reeve_log_level_parse(const char *text, enum reeve_log_level *ret_level, struct reeve_why *why)
{
    for (size_t i = 0; text != NULL && i < REEVE_ARRAY_LEN(level_texts); i++) {
        if (strcmp(text, level_texts[i]) == 0) {
            *ret_level = (enum reeve_log_level)i;
            return REEVE_OK;
        }
    }
    char shown[80];
    return reeve_fail(why, REEVE_INVALID, "log level %s: expected error, warning, info or debug",
                      reeve_log_quote(text, shown, sizeof shown));
}

void reeve_log_set_sink(reeve_log_sink *sink, void *arg)
{
    current_sink = sink;
    current_sink_arg = arg;
}

static void write_line(char *line, size_t len)
{
    line[len] = '\n';
    for (size_t done = 0; done <= len;) {
        ssize_t n = write(STDERR_FILENO, line + done, len + 1 - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; // a log that can't be written has nowhere to complain
        }
        done += (size_t)n;
    }
}

// Head and rest as they are, cut at `size`. Returns the length.
__attribute__((format(printf, 4, 0))) static size_t format_line(char *raw, size_t size, const char *level_subject[2],
                                                                const char *fmt, va_list ap)
{
    char now[REEVE_CLOCK_TEXT_LEN];
    int head = snprintf(raw, size, "%s %s %s ", reeve_clock_format(reeve_clock_wall_ms(), now), level_subject[0],
                        level_subject[1]);
    size_t len = head < 0 ? 0 : (size_t)head;
    if (len < size) {
        int rest = vsnprintf(raw + len, size - len, fmt, ap);
        len += rest < 0 ? 0 : (size_t)rest;
    }
    return len < size ? len : size - 1;
}

void reeve_log(enum reeve_log_level level, const char *subject, const char *fmt, ...)
{
    if (level > reeve_log_level()) {
        return;
    }
    int saved_errno = errno;
    char raw[LINE_SIZE];
    char line[LINE_SIZE];
    va_list ap;
    va_start(ap, fmt);
    size_t raw_len = format_line(raw, sizeof raw, (const char *[]){level_texts[level], subject}, fmt, ap);
    va_end(ap);
    size_t taken;
    size_t len = reeve_escape(raw, raw_len, "", line, sizeof line - strlen(CUT_MARK), &taken);
    // A raw line that was cut does not fit either: escaping shortens nothing, and has less room.
    if (taken < raw_len) {
        memcpy(line + len, CUT_MARK, sizeof CUT_MARK);
        len += strlen(CUT_MARK);
    }
    if (current_sink != NULL) {
        current_sink(level, line, current_sink_arg);
    } else {
        write_line(line, len);
    }
    errno = saved_errno;
}

const char *reeve_log_quote(const char *text, char *buf, size_t buf_len)
{
    static const char cut_end[] = CUT_MARK "\"";
    if (buf_len <= sizeof cut_end) { // no room for "..." in quotes
        if (buf_len > 0) {
            buf[0] = '\0';
        }
        return buf_len > 0 ? buf : "";
    }
    size_t len = text == NULL ? 0 : strlen(text);
    size_t taken;
    buf[0] = '"';
    size_t used = 1 + reeve_escape(text, len, "\"\\", buf + 1, buf_len - 2, &taken);
    if (taken == len) {
        memcpy(buf + used, "\"", 2);
        return buf;
    }
    used = 1 + reeve_escape(text, len, "\"\\", buf + 1, buf_len - sizeof cut_end, &taken);
    memcpy(buf + used, cut_end, sizeof cut_end);
    return buf;
}
