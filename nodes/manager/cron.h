// Cron expressions with a time zone: five fields (minute hour day-of-month month day-of-week), `*`, lists, ranges, steps, names
// (jan..dec, sun..sat, 0 and 7 = Sunday), @hourly @daily @weekly @monthly @yearly. As in Vixie cron a day matches when either
// day field does, if both are restricted.
// Daylight saving, as in cronie: a time that the clock skips fires once, at the first minute after the gap; a time that comes twice fires
// once, the first time; expressions whose hour is `*` follow the wall clock and fire every hour that passes.
// Must not: keep time; the caller asks.
#ifndef REEVE_MANAGER_CRON_H
#define REEVE_MANAGER_CRON_H

#include <reeve/err.h>
#include <stdint.h>

struct cron; // opaque
// `time_zone`: IANA name ("Europe/Berlin"), NULL = UTC. INVALID names the field and what it may hold, or the unknown zone.
enum reeve_err cron_new(const char *expression, const char *time_zone, struct cron **ret, struct reeve_why *why);
void cron_free(struct cron *cron);
// The first time after `wall_ms` (exclusive), in wall ms; -1 when there is none within 8 years (30 February).
int64_t cron_next(const struct cron *cron, int64_t wall_ms);
// The last time at or before `wall_ms`; -1 when there is none within 8 years.
int64_t cron_previous(const struct cron *cron, int64_t wall_ms);

#endif
