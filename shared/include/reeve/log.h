// Logging: `level subject key=value ...`, one line, one fact, to stderr or to a sink.
// error = somebody must act; warning ends in "retrying" or "ignoring"; info = state changes; debug = free.
// Must not: allocate, block on anything but the write, or carry secrets.
#ifndef REEVE_LOG_H
#define REEVE_LOG_H

#include <reeve/err.h>

enum reeve_log_level { REEVE_LOG_ERROR, REEVE_LOG_WARNING, REEVE_LOG_INFO, REEVE_LOG_DEBUG };

// Lines above `level` are dropped before they are formatted. Default INFO.
void reeve_log_set_level(enum reeve_log_level level);
enum reeve_log_level reeve_log_level(void);
// "error" "warning" "info" "debug". INVALID names what was given and what was expected.
enum reeve_err reeve_log_level_parse(const char *text, enum reeve_log_level *ret_level, struct reeve_why *why);

// Where lines go. NULL restores stderr. The line has no newline and lives only during the call.
typedef void reeve_log_sink(enum reeve_log_level level, const char *line, void *arg);
void reeve_log_set_sink(reeve_log_sink *sink, void *arg);

// One line: wall clock, level, subject, then the formatted rest, which is key=value pairs.
//   reeve_log(REEVE_LOG_INFO, "worker", "worker=%s from=%s to=%s cause=%s", ...);
// Control characters (newline, ESC) in the result are escaped: outside text can't forge a line.
// May be called from any thread. Lines are cut at 2 KiB.
void reeve_log(enum reeve_log_level level, const char *subject, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Outside text as a quoted, escaped value: mm 1 -> "mm 1". Returns buf; cut text ends in `..."`.
const char *reeve_log_quote(const char *text, char *buf, size_t buf_len);

#endif
