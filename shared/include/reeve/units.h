// Durations and sizes as people write them.
#ifndef REEVE_UNITS_H
#define REEVE_UNITS_H

#include <reeve/err.h>
#include <stdint.h>

// 250ms 300s 5m 1h30m 2d; "0" needs no unit; a bare number otherwise is refused with a hint ("did you mean 300s or 300ms?").
// Overflow is LIMIT.
enum reeve_err reeve_duration_parse(const char *text, int64_t *ret_ms, struct reeve_why *why);
// 512M 1G 64K (powers of 1024, as in systemd and docker), 64KiB 1MiB 1GiB, 10B; a bare number is bytes; 1.5G is allowed.
enum reeve_err reeve_size_parse(const char *text, int64_t *ret_bytes, struct reeve_why *why);

// "1h30m", "250ms", "8 s" is not one of them: exact, the parser reads it back. buf >= 32. Returns buf.
#define REEVE_UNITS_TEXT_LEN 40
const char *reeve_duration_format(int64_t ms, char buf[REEVE_UNITS_TEXT_LEN]);
const char *reeve_size_format(int64_t bytes, char buf[REEVE_UNITS_TEXT_LEN]); // largest exact unit: 512M, 1G, 1000
// For people: "3m12s", "2d4h" (two units), "412M", "1.3G".
const char *reeve_duration_human(int64_t ms, char buf[REEVE_UNITS_TEXT_LEN]);
const char *reeve_size_human(int64_t bytes, char buf[REEVE_UNITS_TEXT_LEN]);

#endif
