// Cron expressions read: five fields or a name such as @daily.
// Must not: know what day it is.
#include "cron_fields.h"

#include <reeve/log.h>
#include <reeve/str.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EXPRESSION_MAX 256
#define TOKEN_SIZE     64
#define HOURS_ALL      ((UINT64_C(1) << 24) - 1)

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct field_kind {
    const char *name;
    unsigned min, max;
    const char *const *names; // of min, min + 1, ...
    const char *example;
} kinds[CRON_FIELDS] = {
    [CRON_MINUTE] = {"minute", 0, 59, NULL, "0 to 59, such as 30 or */5"},
    [CRON_HOUR] = {"hour", 0, 23, NULL, "0 to 23, such as 8 or 9-17"},
    [CRON_DAY] = {"day-of-month", 1, 31, NULL, "1 to 31, such as 1 or 1,15"},
    [CRON_MONTH] = {"month", 1, 12, month_names, "1 to 12 or jan to dec, such as 3 or jan-mar"},
    [CRON_WEEKDAY] = {"day-of-week", 0, 7, weekday_names, "0 to 7 or sun to sat, such as 1 or mon-fri"},
};

static const struct {
    const char *name, *expression;
} shorts[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
};

struct parser {
    const struct field_kind *kind;
    const char *text; // of the whole field, for messages
    struct reeve_why *why;
};

__attribute__((format(printf, 3, 4))) static enum reeve_err refuse(const struct parser *parser, const char *part,
                                                                   const char *fmt, ...)
{
    char detail[128];
    char quoted[2 * TOKEN_SIZE];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    return reeve_fail(parser->why, REEVE_INVALID, "%s %s %s, expected %s", parser->kind->name,
                      reeve_log_quote(part, quoted, sizeof(quoted)), detail, parser->kind->example);
}

// A number of one or two digits, or a name. False when it is neither.
static bool number_of(const struct field_kind *kind, const char *text, unsigned *ret)
{
    size_t len = strlen(text);
    for (size_t i = 0; kind->names != NULL && kind->names[i] != NULL; i++) {
        if (strcasecmp(kind->names[i], text) == 0) {
            *ret = kind->min + (unsigned)i;
            return true;
        }
    }
    if (len < 1 || len > 2 || strspn(text, "0123456789") != len) {
        return false;
    }
    *ret = (unsigned)(text[0] - '0');
    *ret = len == 2 ? *ret * 10 + (unsigned)(text[1] - '0') : *ret;
    return true;
}

static enum reeve_err parse_number(const struct parser *parser, const char *text, unsigned *ret)
{
    if (!number_of(parser->kind, text, ret)) {
        return refuse(parser, text, "is not known");
    }
    if (*ret < parser->kind->min || *ret > parser->kind->max) {
        return refuse(parser, text, "is out of bounds");
    }
    return REEVE_OK;
}

struct range {
    unsigned from, to, step;
};

// "*", "5", "5-9": cuts `text` at the '-'.
static enum reeve_err parse_span(const struct parser *parser, char *text, bool *ret_single, struct range *ret)
{
    char *dash = strchr(text, '-');
    *ret_single = false;
    if (strcmp(text, "*") == 0) {
        *ret = (struct range){parser->kind->min, parser->kind->max, 1};
        return REEVE_OK;
    }
    char *end = text;
    if (dash != NULL) {
        *dash = '\0';
        end = dash + 1;
    }
    *ret_single = dash == NULL;
    enum reeve_err err = parse_number(parser, text, &ret->from);
    err = err == REEVE_OK ? parse_number(parser, end, &ret->to) : err;
    if (err == REEVE_OK && ret->to < ret->from && parser->kind->names == weekday_names && ret->to == 0) {
        ret->to = 7; // fri-sun
    }
    if (err == REEVE_OK && ret->to < ret->from) {
        return refuse(parser, parser->text, "runs backwards");
    }
    return err;
}

static enum reeve_err parse_step(const struct parser *parser, const char *text, unsigned *ret)
{
    static const struct field_kind plain = {.min = 0, .max = 99};
    if (!number_of(&plain, text, ret)) {
        return refuse(parser, text, "is no step");
    }
    return *ret > 0 ? REEVE_OK : refuse(parser, text, "is a step that goes nowhere");
}

// One part between commas; `text` is cut up.
static enum reeve_err parse_part(const struct parser *parser, char *text, uint64_t *set)
{
    struct range range = {.step = 1};
    bool single;
    char *slash = strchr(text, '/');
    enum reeve_err err = REEVE_OK;
    if (slash != NULL) {
        *slash = '\0';
    }
    err = parse_span(parser, text, &single, &range);
    if (err == REEVE_OK && slash != NULL) {
        err = single ? refuse(parser, parser->text, "has a step, but no range")
                     : parse_step(parser, slash + 1, &range.step);
    }
    for (unsigned at = range.from; err == REEVE_OK && at <= range.to; at += range.step) {
        *set |= UINT64_C(1) << at;
    }
    return err;
}

static enum reeve_err parse_field(const struct parser *parser, uint64_t *ret)
{
    char part[TOKEN_SIZE];
    const char *at = parser->text;
    *ret = 0;
    for (;;) {
        size_t len = strcspn(at, ",");
        if (len >= sizeof(part)) {
            return refuse(parser, parser->text, "is too long");
        }
        memcpy(part, at, len);
        part[len] = '\0';
        enum reeve_err err = parse_part(parser, part, ret);
        if (err != REEVE_OK || at[len] == '\0') {
            return err;
        }
        at += len + 1;
    }
}

// The fields of `text`, which is cut up. Returns how many there are; only CRON_FIELDS are kept.
static size_t split(char *text, char *fields[CRON_FIELDS])
{
    char *rest = NULL;
    size_t len = 0;
    for (char *field = strtok_r(text, " \t", &rest); field != NULL; field = strtok_r(NULL, " \t", &rest)) {
        if (len < CRON_FIELDS) {
            fields[len] = field;
        }
        len++;
    }
    return len;
}

static const char *expand(const char *expression)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(shorts); i++) {
        if (strcasecmp(shorts[i].name, expression) == 0) {
            return shorts[i].expression;
        }
    }
    return expression;
}

enum reeve_err cron_parse(const char *expression, struct cron_fields *ret, struct reeve_why *why)
{
    char text[EXPRESSION_MAX];
    char *fields[CRON_FIELDS] = {NULL};
    struct cron_fields parsed = {0};
    const char *expanded = expand(expression);
    if (expanded[0] == '@') {
        return reeve_fail(why, REEVE_INVALID, "%s is not known, expected @hourly, @daily, @weekly, @monthly or @yearly",
                          reeve_log_quote(expanded, text, sizeof(text)));
    }
    if ((size_t)snprintf(text, sizeof(text), "%s", expanded) >= sizeof(text)) {
        return reeve_fail(why, REEVE_INVALID, "is longer than %d bytes", EXPRESSION_MAX - 1);
    }
    size_t len = split(text, fields);
    if (len != CRON_FIELDS) {
        return reeve_fail(
            why, REEVE_INVALID,
            "has %zu fields, expected 5: minute hour day-of-month month day-of-week, such as 0 8 * * mon-fri", len);
    }
    for (size_t i = 0; i < CRON_FIELDS; i++) {
        struct parser parser = {&kinds[i], fields[i], why};
        enum reeve_err err = parse_field(&parser, &parsed.set[i]);
        if (err != REEVE_OK) {
            return err;
        }
    }
    parsed.set[CRON_WEEKDAY] |= parsed.set[CRON_WEEKDAY] >> 7 & 1; // 7 is Sunday too
    parsed.days_any = fields[CRON_DAY][0] == '*';
    parsed.weekdays_any = fields[CRON_WEEKDAY][0] == '*';
    parsed.every_hour = parsed.set[CRON_HOUR] == HOURS_ALL;
    *ret = parsed;
    return REEVE_OK;
}
