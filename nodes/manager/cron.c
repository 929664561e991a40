// When a cron expression fires, in a time zone: search on the calendar first, then from the calendar to the clock.
//
// Civil time is counted in minutes since 1970 as the zone's clock shows them; `offset` leads from the clock to it.
// Where the clock is set back some civil minutes come twice, where it is set forward some never come. Expressions of
// fixed hours fire once per civil minute: at its first instant, or at the end of the gap it lies in. Expressions of
// every hour fire at each instant whose civil minute matches. Must not: be called from more than one thread: the zone
// is switched by TZ, as glibc knows no other way.
#include "cron_fields.h"

#include <reeve/log.h>
#include <reeve/str.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ZONE_DIR     "/usr/share/zoneinfo"
#define ZONE_LEN_MAX 64
#define MINUTE       INT64_C(60)
#define DAY          (INT64_C(24) * 3600)
#define DAY_MINUTES  1440
#define NEAR         (INT64_C(25) * 3600)     // longer than any two offsets of a zone lie apart
#define SEARCH_DAYS  (INT64_C(8) * 366)       // from one 29 February to the next, over 2100
#define WALL_MAX_MS  INT64_C(100000000000000) // the year 5138: beyond it a clock is broken
#define NONE         INT64_MIN

struct cron {
    struct cron_fields fields;
    char zone[ZONE_LEN_MAX + 2]; // as TZ takes it; "" = UTC
};

// ---- the zone -------------------------------------------------------------------------------------------

// A file of the zone database, and nothing that leads out of it.
static bool zone_name_safe(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= ZONE_LEN_MAX && name[0] != '/' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") == len; // no dots
}

static bool zone_exists(const char *name)
{
    char path[sizeof(ZONE_DIR) + ZONE_LEN_MAX + 2];
    char magic[4] = "";
    (void)snprintf(path, sizeof(path), ZONE_DIR "/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, magic, sizeof(magic));
    (void)close(fd); /* only read */
    return len == (ssize_t)sizeof(magic) && memcmp(magic, "TZif", sizeof(magic)) == 0;
}

static enum reeve_err set_zone(struct cron *cron, const char *name, struct reeve_why *why)
{
    char quoted[2 * ZONE_LEN_MAX];
    if (name == NULL || strcmp(name, "UTC") == 0) {
        return REEVE_OK;
    }
    if (!zone_name_safe(name) || !zone_exists(name)) {
        return reeve_fail(why, REEVE_INVALID,
                          "time zone %s is not known here, expected one of " ZONE_DIR
                          " (package tzdata) such as Europe/Berlin",
                          reeve_log_quote(name, quoted, sizeof(quoted)));
    }
    (void)snprintf(cron->zone, sizeof(cron->zone), ":%s", name);
    return REEVE_OK;
}

struct zone_switch {
    char *before; // NULL = there was none
    bool done;
};

static bool zone_enter(const struct cron *cron, struct zone_switch *ret)
{
    const char *before = getenv("TZ");
    *ret = (struct zone_switch){0};
    if (cron->zone[0] == '\0') {
        return true;
    }
    ret->before = before != NULL ? strdup(before) : NULL;
    if ((before != NULL && ret->before == NULL) || setenv("TZ", cron->zone, 1) != 0) {
        free(ret->before);
        return false;
    }
    tzset();
    ret->done = true;
    return true;
}

static void zone_leave(struct zone_switch *zone)
{
    if (!zone->done) {
        return;
    }
    if (zone->before == NULL) {
        (void)unsetenv("TZ"); /* the name is valid */
    } else {
        (void)setenv("TZ", zone->before,
                     1); /* out of memory: UTC and other zones still work, each call switches anew */
    }
    tzset();
    free(zone->before);
}

// Seconds from UTC to the zone's clock at this instant.
static int64_t offset_at(const struct cron *cron, int64_t at)
{
    struct tm tm;
    time_t seconds = (time_t)at;
    return cron->zone[0] != '\0' && localtime_r(&seconds, &tm) != NULL ? tm.tm_gmtoff : 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t civil_at(const struct cron *cron, int64_t at)
{
    return floor_div(at + offset_at(cron, at), MINUTE);
}

// The first instant in (from, to] with another offset than `from`, or NONE. They lie so near that there is one change
// at most.
static int64_t change_between(const struct cron *cron, int64_t from, int64_t to)
{
    int64_t offset = offset_at(cron, from);
    if (offset_at(cron, to) == offset) {
        return NONE;
    }
    while (to - from > 1) {
        int64_t middle = from + (to - from) / 2;
        if (offset_at(cron, middle) == offset) {
            from = middle;
        } else {
            to = middle;
        }
    }
    return to;
}

// The instants whose civil minute is `civil`: *ret_first <= *ret_last, or false when the clock skips it; then both are
// the end of the gap.
static bool instants_of(const struct cron *cron, int64_t civil, int64_t *ret_first, int64_t *ret_last)
{
    int64_t shown = civil * MINUTE; // were the clock at UTC
    int64_t before = offset_at(cron, shown - NEAR);
    int64_t after = offset_at(cron, shown + NEAR);
    bool is_before = offset_at(cron, shown - before) == before;
    bool is_after = offset_at(cron, shown - after) == after;
    if (!is_before && !is_after && before != after) {
        *ret_first = *ret_last = change_between(cron, shown - NEAR, shown + NEAR);
        return false;
    }
    is_before = is_before || !is_after; // two changes within two days: no zone has had that since 1970
    *ret_first = shown - (is_before ? before : after);
    *ret_last = shown - (is_after ? after : before);
    return true;
}

// ---- the calendar -----------------------------------------------------------------------------------------

struct date {
    unsigned month, day, weekday;
};

// From days since 1970, proleptic Gregorian (the algorithm of Howard Hinnant's "chrono-compatible low-level date
// algorithms").
static struct date date_of(int64_t days)
{
    int64_t shifted = days + 719468; // from 1 March of the year 0
    int64_t era = floor_div(shifted, 146097);
    int64_t of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    return (struct date){
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(of_year - (153 * month + 2) / 5 + 1),
        .weekday = (unsigned)(days + 4 - 7 * floor_div(days + 4, 7)), // 1 January 1970 was a Thursday
    };
}

static bool day_matches(const struct cron_fields *fields, int64_t days)
{
    struct date date = date_of(days);
    bool day = cron_has(fields, CRON_DAY, date.day);
    bool weekday = cron_has(fields, CRON_WEEKDAY, date.weekday);
    bool either = !fields->days_any && !fields->weekdays_any;
    return cron_has(fields, CRON_MONTH, date.month) && (either ? day || weekday : day && weekday);
}

static bool minute_matches(const struct cron_fields *fields, unsigned of_day)
{
    return cron_has(fields, CRON_HOUR, of_day / 60) && cron_has(fields, CRON_MINUTE, of_day % 60);
}

// The first matching civil minute from `civil` on in steps of +1, or the last one up to it in steps of -1. NONE within
// SEARCH_DAYS.
static int64_t civil_search(const struct cron_fields *fields, int64_t civil, int step)
{
    int64_t day = floor_div(civil, DAY_MINUTES);
    int64_t of_day = civil - day * DAY_MINUTES;
    for (int64_t i = 0; i <= SEARCH_DAYS; i++, day += step) {
        for (; day_matches(fields, day) && of_day >= 0 && of_day < DAY_MINUTES; of_day += step) {
            if (minute_matches(fields, (unsigned)of_day)) {
                return day * DAY_MINUTES + of_day;
            }
        }
        of_day = step > 0 ? 0 : DAY_MINUTES - 1;
    }
    return NONE;
}

// ---- fixed hours --------------------------------------------------------------------------------------------

static int64_t next_fixed(const struct cron *cron, int64_t at)
{
    int64_t first;
    int64_t last;
    int64_t civil = civil_search(&cron->fields, civil_at(cron, at), 1);
    for (; civil != NONE; civil = civil_search(&cron->fields, civil + 1, 1)) {
        (void)instants_of(cron, civil, &first, &last); /* in a gap: its end */
        if (first > at) {
            return first;
        }
    }
    return NONE;
}

static int64_t previous_fixed(const struct cron *cron, int64_t at)
{
    int64_t first;
    int64_t last;
    // While minutes come the second time, later ones were there already.
    int64_t back = offset_at(cron, at - NEAR) - offset_at(cron, at);
    int64_t civil = civil_at(cron, at) + (back > 0 ? back / MINUTE : 0);
    for (civil = civil_search(&cron->fields, civil, -1); civil != NONE;
         civil = civil_search(&cron->fields, civil - 1, -1)) {
        (void)instants_of(cron, civil, &first, &last); /* in a gap: its end */
        if (first <= at) {
            return first;
        }
    }
    return NONE;
}

// ---- every hour ---------------------------------------------------------------------------------------------

// From `from` on (inclusive).
static int64_t next_hourly(const struct cron *cron, int64_t from)
{
    int64_t first;
    int64_t last;
    for (;;) {
        int64_t offset = offset_at(cron, from);
        int64_t civil = civil_search(&cron->fields, -floor_div(-(from + offset), MINUTE), 1);
        int64_t change = change_between(cron, from, from + NEAR);
        if (civil == NONE) {
            return NONE;
        }
        int64_t found = civil * MINUTE - offset;
        if (found < (change != NONE ? change : from + NEAR)) {
            return found;
        }
        if (change == NONE && instants_of(cron, civil, &first, &last)) {
            return first;
        }
        from = change != NONE ? change : first;
    }
}

// Up to `from` (inclusive).
static int64_t previous_hourly(const struct cron *cron, int64_t from)
{
    int64_t first;
    int64_t last;
    for (;;) {
        int64_t offset = offset_at(cron, from);
        int64_t civil = civil_search(&cron->fields, floor_div(from + offset, MINUTE), -1);
        int64_t change = change_between(cron, from - NEAR, from);
        if (civil == NONE) {
            return NONE;
        }
        int64_t found = civil * MINUTE - offset;
        if (found >= (change != NONE ? change : from - NEAR)) {
            return found;
        }
        if (change == NONE && instants_of(cron, civil, &first, &last)) {
            return last;
        }
        from = (change != NONE ? change : first) - 1;
    }
}

// ---- outside ------------------------------------------------------------------------------------------------

enum reeve_err cron_new(const char *expression, const char *time_zone, struct cron **ret, struct reeve_why *why)
{
    struct cron cron = {0};
    enum reeve_err err = cron_parse(expression, &cron.fields, why);
    err = err == REEVE_OK ? set_zone(&cron, time_zone, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    struct cron *made = malloc(sizeof(*made));
    if (made == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    *made = cron;
    *ret = made;
    return REEVE_OK;
}

void cron_free(struct cron *cron)
{
    free(cron);
}

// Not beyond 8 years from where it was asked, and never before 1970: -1 would say "none" anyway.
static int64_t answer(int64_t found, int64_t asked)
{
    if (found < 0) { // NONE too
        return -1;
    }
    int64_t apart = found > asked ? found - asked : asked - found;
    return apart > SEARCH_DAYS * DAY ? -1 : found * 1000;
}

int64_t cron_next(const struct cron *cron, int64_t wall_ms)
{
    struct zone_switch zone;
    if (wall_ms < -WALL_MAX_MS || wall_ms > WALL_MAX_MS || !zone_enter(cron, &zone)) {
        return -1;
    }
    int64_t at = floor_div(wall_ms, 1000);
    int64_t found = cron->fields.every_hour ? next_hourly(cron, at + 1) : next_fixed(cron, at);
    zone_leave(&zone);
    return answer(found, at);
}

int64_t cron_previous(const struct cron *cron, int64_t wall_ms)
{
    struct zone_switch zone;
    if (wall_ms < -WALL_MAX_MS || wall_ms > WALL_MAX_MS || !zone_enter(cron, &zone)) {
        return -1;
    }
    int64_t at = floor_div(wall_ms, 1000);
    int64_t found = cron->fields.every_hour ? previous_hourly(cron, at) : previous_fixed(cron, at);
    zone_leave(&zone);
    return answer(found, at);
}
