// Durations and sizes as people write them: "1h30m" and "512M" to numbers and back.
// Exact in integers: no floating point on the way in, and what is formatted reads back equal.
// Must not: guess a unit, or accept what another program would read differently (512MB).
#include <reeve/log.h>
#include <reeve/str.h>
#include <reeve/units.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *text;
    int64_t factor;
};

// Largest first: a duration's parts must come in this order, which catches 30m1h.
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static const struct unit size_units[] = {
    {"T", 1LL << 40},   {"TiB", 1LL << 40}, {"G", 1LL << 30},   {"GiB", 1LL << 30}, {"M", 1LL << 20},
    {"MiB", 1LL << 20}, {"K", 1LL << 10},   {"KiB", 1LL << 10}, {"B", 1},
};

#define UNIT_TEXT_MAX   8  // longest run of letters that is still looked at
#define FRACTION_DIGITS 9  // of "1.5G"; more are refused, none of them could matter
#define QUOTED_TEXT_LEN 64 // of outside text in a message

struct quantity {
    int64_t whole;
    int64_t fraction; // numerator
    int64_t scale;    // denominator, a power of ten; 1 = no fraction
    bool overflow;
    char unit[UNIT_TEXT_MAX + 1];
};

static const char *scan_digits(const char *text, struct quantity *quantity)
{
    for (; isdigit((unsigned char)*text); text++) {
        if (__builtin_mul_overflow(quantity->whole, 10, &quantity->whole) ||
            __builtin_add_overflow(quantity->whole, *text - '0', &quantity->whole)) {
            quantity->overflow = true;
            quantity->whole = 0;
        }
    }
    return text;
}

// NULL: no digit after the point, or more than could matter.
static const char *scan_fraction(const char *text, struct quantity *quantity)
{
    if (*text != '.') {
        return text;
    }
    const char *first = ++text;
    for (; isdigit((unsigned char)*text); text++) {
        if (text - first >= FRACTION_DIGITS) {
            return NULL;
        }
        quantity->fraction = quantity->fraction * 10 + (*text - '0');
        quantity->scale *= 10;
    }
    return text > first ? text : NULL;
}

// One number and the letters behind it. Returns where it ends, NULL when there is none.
static const char *scan_quantity(const char *text, struct quantity *ret)
{
    *ret = (struct quantity){.scale = 1};
    if (!isdigit((unsigned char)*text)) {
        return NULL;
    }
    text = scan_fraction(scan_digits(text, ret), ret);
    if (text == NULL) {
        return NULL;
    }
    size_t len = 0;
    for (; isalpha((unsigned char)*text); text++) {
        if (len == UNIT_TEXT_MAX) {
            return NULL;
        }
        ret->unit[len++] = *text;
    }
    return text;
}

// factor * (whole + fraction / scale). False on overflow.
static bool scale_quantity(const struct quantity *quantity, int64_t factor, int64_t *ret)
{
    int64_t whole;
    // The fraction is below `scale` <= 10^9 and the factor at most 2^40: 128 bits hold the product.
    int64_t part = (int64_t)((__int128)quantity->fraction * factor / quantity->scale);
    return !quantity->overflow && !__builtin_mul_overflow(quantity->whole, factor, &whole) &&
           !__builtin_add_overflow(whole, part, ret);
}

static enum reeve_err fail_duration(const char *text, struct reeve_why *why)
{
    char quoted[QUOTED_TEXT_LEN];
    return reeve_fail(why, REEVE_INVALID, "%s is no duration, expected one such as 250ms, 30s, 5m or 1h30m",
                      reeve_log_quote(text, quoted, sizeof(quoted)));
}

static enum reeve_err fail_duration_unitless(const char *text, struct reeve_why *why)
{
    char quoted[QUOTED_TEXT_LEN];
    return reeve_fail(why, REEVE_INVALID, "%s has no unit, did you mean %.20ss or %.20sms?",
                      reeve_log_quote(text, quoted, sizeof(quoted)), text, text);
}

static enum reeve_err fail_too_large(const char *text, struct reeve_why *why)
{
    char quoted[QUOTED_TEXT_LEN];
    return reeve_fail(why, REEVE_LIMIT, "%s is too large", reeve_log_quote(text, quoted, sizeof(quoted)));
}

// Index of `text` in duration_units, from `first` on; REEVE_ARRAY_LEN(duration_units) when it is none.
static size_t duration_unit(const char *text, size_t first)
{
    size_t i = first;
    while (i < REEVE_ARRAY_LEN(duration_units) && strcmp(duration_units[i].text, text) != 0) {
        i++;
    }
    return i;
}

enum reeve_err reeve_duration_parse(const char *text, int64_t *ret_ms, struct reeve_why *why)
{
    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return REEVE_OK;
    }
    int64_t total = 0;
    size_t unit = 0;
    const char *at = text;
    do {
        struct quantity quantity;
        const char *next = scan_quantity(at, &quantity);
        if (next == NULL) {
            return fail_duration(text, why);
        }
        if (quantity.unit[0] == '\0') {
            return at == text && *next == '\0' ? fail_duration_unitless(text, why) : fail_duration(text, why);
        }
        unit = duration_unit(quantity.unit, unit);
        if (unit == REEVE_ARRAY_LEN(duration_units)) {
            return fail_duration(text, why);
        }
        int64_t part;
        if (!scale_quantity(&quantity, duration_units[unit].factor, &part) ||
            __builtin_add_overflow(total, part, &total)) {
            return fail_too_large(text, why);
        }
        unit++; // each unit once
        at = next;
    } while (*at != '\0');
    *ret_ms = total;
    return REEVE_OK;
}

// Single letters in either case, as docker takes them; KB, MB, GB are refused: half the world means 1000.
static int64_t size_factor(const char *unit)
{
    if (unit[0] == '\0') {
        return 1;
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(size_units); i++) {
        bool same = unit[1] == '\0' ? strcasecmp(size_units[i].text, unit) == 0 : strcmp(size_units[i].text, unit) == 0;
        if (same) {
            return size_units[i].factor;
        }
    }
    return 0;
}

static bool size_unit_ambiguous(const char *unit)
{
    return strlen(unit) == 2 && strchr("kKmMgGtT", unit[0]) != NULL && (unit[1] == 'B' || unit[1] == 'b');
}

enum reeve_err reeve_size_parse(const char *text, int64_t *ret_bytes, struct reeve_why *why)
{
    char quoted[QUOTED_TEXT_LEN];
    struct quantity quantity;
    const char *end = scan_quantity(text, &quantity);
    if (end != NULL && *end == '\0' && size_unit_ambiguous(quantity.unit)) {
        int letter = toupper((unsigned char)quantity.unit[0]);
        return reeve_fail(why, REEVE_INVALID,
                          "%s could mean powers of 1000 or of 1024, write %c or %ciB (powers of 1024)",
                          reeve_log_quote(text, quoted, sizeof(quoted)), letter, letter);
    }
    int64_t factor = end != NULL && *end == '\0' ? size_factor(quantity.unit) : 0;
    if (factor == 0 || (factor == 1 && quantity.scale != 1)) {
        return reeve_fail(why, REEVE_INVALID, "%s is no size, expected one such as 512M, 1G or 64KiB",
                          reeve_log_quote(text, quoted, sizeof(quoted)));
    }
    int64_t bytes;
    if (!scale_quantity(&quantity, factor, &bytes)) {
        return fail_too_large(text, why);
    }
    *ret_bytes = bytes;
    return REEVE_OK;
}

// At most `parts` units, from the largest that is not zero; the rest is cut off.
static const char *format_parts(int64_t ms, size_t parts, char buf[REEVE_UNITS_TEXT_LEN])
{
    size_t len = 0;
    bool started = false;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(duration_units) && parts > 0; i++) {
        int64_t count = ms / duration_units[i].factor;
        ms %= duration_units[i].factor;
        started = started || count > 0;
        if (count > 0) {
            len += (size_t)snprintf(buf + len, REEVE_UNITS_TEXT_LEN - len, "%lld%s", (long long)count,
                                    duration_units[i].text);
        }
        parts -= started ? 1 : 0;
    }
    return buf;
}

static const char *format_duration(int64_t ms, size_t parts, char buf[REEVE_UNITS_TEXT_LEN])
{
    if (ms <= 0) {
        // Nothing of ours is negative but the difference of two clocks; to a person that is "now".
        (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, "0");
        return buf;
    }
    return format_parts(ms, parts, buf);
}

const char *reeve_duration_format(int64_t ms, char buf[REEVE_UNITS_TEXT_LEN])
{
    return format_duration(ms, REEVE_ARRAY_LEN(duration_units), buf);
}

const char *reeve_duration_human(int64_t ms, char buf[REEVE_UNITS_TEXT_LEN])
{
    // Milliseconds say something below ten seconds only: 1s250ms, but 12s.
    return format_duration(ms >= 10000 ? ms - ms % 1000 : ms, 2, buf);
}

const char *reeve_size_format(int64_t bytes, char buf[REEVE_UNITS_TEXT_LEN])
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(size_units); i++) {
        int64_t factor = size_units[i].factor;
        if (bytes >= factor && bytes % factor == 0 && factor > 1) {
            (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, "%lld%s", (long long)(bytes / factor), size_units[i].text);
            return buf;
        }
    }
    (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, "%lld", (long long)bytes);
    return buf;
}

const char *reeve_size_human(int64_t bytes, char buf[REEVE_UNITS_TEXT_LEN])
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(size_units); i++) {
        int64_t factor = size_units[i].factor;
        if (bytes < factor || factor == 1) {
            continue;
        }
        double count = (double)bytes / (double)factor;
        bool whole = count >= 10 || bytes % factor == 0;
        (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, whole ? "%.0f%s" : "%.1f%s", count, size_units[i].text);
        return buf;
    }
    (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, "%lldB", (long long)bytes);
    return buf;
}
