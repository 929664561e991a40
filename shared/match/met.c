// Whether something meets requirements, asked attribute by attribute. Pure.
// Must not: know what it is asked about.
#include "match.h"

#include <reeve/str.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 4096 // of one attribute; more are not asked for

// Digits with at most one point and a sign: what strtod() would take beyond that (hex, inf) is no number here.
static bool plain_number(const char *text, double *ret)
{
    const char *at = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    size_t whole = strspn(at, "0123456789");
    size_t fraction = at[whole] == '.' ? strspn(at + whole + 1, "0123456789") : 0;
    const char *end = at + whole + (fraction > 0 ? fraction + 1 : 0);
    if (whole == 0 || *end != '\0') {
        return false;
    }
    *ret = strtod(text, NULL);
    return true;
}

bool match_number(const char *text, double *ret)
{
    int64_t number;
    if (plain_number(text, ret)) {
        return true;
    }
    // Durations first: 5m are minutes here, although a size alone may be written so too.
    if (reeve_duration_parse(text, &number, NULL) == REEVE_OK || reeve_size_parse(text, &number, NULL) == REEVE_OK) {
        *ret = (double)number;
        return true;
    }
    return false;
}

static bool compares(const struct reeve_requirement *requirement, const char *value)
{
    double number;
    switch (requirement->compare) {
    case REEVE_COMPARE_EQ:
    case REEVE_COMPARE_NE:
        return reeve_glob_match(requirement->text, value);
    case REEVE_COMPARE_LT:
        return match_number(value, &number) && number < requirement->number;
    case REEVE_COMPARE_LE:
        return match_number(value, &number) && number <= requirement->number;
    case REEVE_COMPARE_GT:
        return match_number(value, &number) && number > requirement->number;
    case REEVE_COMPARE_GE:
        return match_number(value, &number) && number >= requirement->number;
    case REEVE_COMPARE_HAS:
    case REEVE_COMPARE_HAS_NOT:
        break;
    }
    return true; // it is there
}

bool reeve_requirement_met(const struct reeve_requirement *requirement, reeve_attribute *attribute, const void *thing)
{
    char buf[128];
    bool negated = requirement->compare == REEVE_COMPARE_NE || requirement->compare == REEVE_COMPARE_HAS_NOT;
    for (size_t n = 0; n < VALUES_MAX; n++) {
        const char *value = attribute(thing, requirement->key, n, buf);
        if (value == NULL) {
            return negated;
        }
        if (compares(requirement, value)) {
            return !negated;
        }
    }
    return negated;
}

bool reeve_requirements_met(const struct reeve_requirements *requirements, reeve_attribute *attribute,
                            const void *thing, const struct reeve_requirement **ret_missed)
{
    for (size_t i = 0; i < requirements->len; i++) {
        if (!reeve_requirement_met(&requirements->items[i], attribute, thing)) {
            if (ret_missed != NULL) {
                *ret_missed = &requirements->items[i];
            }
            return false;
        }
    }
    return true;
}

const char *reeve_requirement_text(const struct reeve_requirement *requirement, char buf[REEVE_REQUIREMENT_TEXT_SIZE])
{
    (void)snprintf(buf, REEVE_REQUIREMENT_TEXT_SIZE, "%s%s%s%s", /* 63 + 2 + 127 fit */
                   requirement->compare == REEVE_COMPARE_HAS_NOT ? "!" : "", requirement->key,
                   match_sign(requirement->compare), requirement->text);
    return buf;
}
