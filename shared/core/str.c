// Names, globs, near names, numbers, lists of strings.
// Texts may come from anybody: what is shown of them is escaped and cut.
// Must not: use the locale.
#include <reeve/str.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/log.h>

#include "utf8.h"

#define STRV_LEN_MAX ((size_t)1024 * 1024)
#define NEAR_LEN_MAX 64 // longer words are not typing mistakes for a name
#define SHOWN_SIZE   (2 * REEVE_NAME_SIZE)

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_name_char(char c)
{
    return is_name_start(c) || c == '_' || c == '-';
}

static enum reeve_err refuse_char(const char *name, size_t at, struct reeve_why *why)
{
    char shown[SHOWN_SIZE];
    char bad[16];
    size_t len = reeve_utf8_len(name + at, strlen(name + at));
    (void)reeve_escape(name + at, len == 0 ? 1 : len, "'", bad, sizeof bad, NULL); /* one character always fits */
    const char *expected = is_name_char(name[at]) ? "first: a-z 0-9" : "a-z 0-9 _ -";
    return reeve_fail(why, REEVE_INVALID, "name %s: '%s' at %zu is not allowed (%s)",
                      reeve_log_quote(name, shown, sizeof shown), bad, at + 1, expected);
}

enum reeve_err reeve_name_check(const char *name, struct reeve_why *why)
{
    if (name == NULL || name[0] == '\0') {
        return reeve_fail(why, REEVE_INVALID, "name is empty");
    }
    if (!is_name_start(name[0])) {
        return refuse_char(name, 0, why);
    }
    size_t len = 1;
    while (is_name_char(name[len])) {
        len++;
    }
    if (name[len] != '\0') {
        return refuse_char(name, len, why);
    }
    if (len > REEVE_NAME_LEN_MAX) {
        char shown[SHOWN_SIZE];
        return reeve_fail(why, REEVE_INVALID, "name %s has %zu characters, at most %d are allowed",
                          reeve_log_quote(name, shown, sizeof shown), len, REEVE_NAME_LEN_MAX);
    }
    return REEVE_OK;
}

const char *reeve_name_from(const char *text, char buf[REEVE_NAME_SIZE])
{
    size_t len = 0;
    const char *end = text + strlen(text);
    for (const char *s = text; s < end && len < REEVE_NAME_LEN_MAX;) {
        size_t taken = reeve_utf8_len(s, (size_t)(end - s));
        char c = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;
        s += taken == 0 ? 1 : taken;
        c = is_name_char(c) ? c : '-';
        if (len > 0 || is_name_start(c)) {
            buf[len++] = c;
        }
    }
    buf[len] = '\0';
    return len > 0 ? buf : strcpy(buf, "unnamed");
}

bool reeve_glob_is(const char *text)
{
    return strpbrk(text, "*?") != NULL;
}

// Only the last star is ever retried: what an earlier one took can be given to the later one instead.
bool reeve_glob_match(const char *pattern, const char *text)
{
    const char *end = text + strlen(text);
    const char *star = NULL;
    const char *star_text = NULL;
    while (text < end) {
        size_t taken = 1;
        if (*pattern == '?') {
            size_t len = reeve_utf8_len(text, (size_t)(end - text));
            taken = len == 0 ? 1 : len;
        }
        if (*pattern == '*') {
            star = ++pattern;
            star_text = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text += taken;
        } else if (star != NULL) {
            pattern = star;
            text = ++star_text;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Levenshtein distance; both at most NEAR_LEN_MAX bytes.
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[NEAR_LEN_MAX + 1];
    for (size_t i = 0; i <= b_len; i++) {
        row[i] = i;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = min2(substituted, 1 + min2(row[j], row[j - 1]));
        }
    }
    return row[b_len];
}

const char *reeve_near(const char *text, const char *const *names)
{
    size_t len = strlen(text);
    if (len > NEAR_LEN_MAX) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t nearest_distance = 1 + len / 4;
    for (; *names != NULL; names++) {
        size_t name_len = strlen(*names);
        if (name_len > NEAR_LEN_MAX) {
            continue;
        }
        size_t d = distance(text, len, *names, name_len);
        if (d < nearest_distance || (nearest == NULL && d == nearest_distance)) {
            nearest = *names;
            nearest_distance = d;
        }
    }
    return nearest;
}

bool reeve_str_eq(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool reeve_str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum reeve_err reeve_parse_i64(const char *text, int64_t *ret, struct reeve_why *why)
{
    static_assert(sizeof(long long) == sizeof(int64_t), "strtoll reads an int64_t");
    char shown[80];
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
        return reeve_fail(why, REEVE_INVALID, "%s is not a whole number", reeve_log_quote(text, shown, sizeof shown));
    }
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (errno == ERANGE) {
        return reeve_fail(why, REEVE_INVALID, "%s is out of range", reeve_log_quote(text, shown, sizeof shown));
    }
    *ret = number;
    return REEVE_OK;
}

#define WORD sizeof(uint64_t)
static const uint64_t ones = UINT64_C(0x0101010101010101);

// High bits where the eight bytes are not ASCII without NUL: taking 1 from each sets the high bit of none.
static inline uint64_t not_ascii(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return ((word - ones) | word) & ones << 7;
}

// How many bytes of ASCII the text begins with, as far as whole words tell: four at a time, then one, then the last.
static size_t ascii_words(const char *text, size_t len)
{
    size_t i = 0;
    while (len - i >= 4 * WORD && (not_ascii(text + i) | not_ascii(text + i + WORD) | not_ascii(text + i + 2 * WORD) |
                                   not_ascii(text + i + 3 * WORD)) == 0) {
        i += 4 * WORD;
    }
    while (len - i >= WORD && not_ascii(text + i) == 0) {
        i += WORD;
    }
    return len >= WORD && len - i < WORD && not_ascii(text + len - WORD) == 0 ? len : i;
}

bool reeve_utf8_valid(const char *text, size_t len)
{
    for (size_t i = ascii_words(text, len); i < len;) {
        if (text[i] > 0 && (unsigned char)text[i] < 0x80) { // without a call: most text is
            i++;
            continue;
        }
        size_t taken = reeve_utf8_len(text + i, len - i);
        if (taken == 0) {
            return false;
        }
        i += taken;
        i += ascii_words(text + i, len - i);
    }
    return true;
}

// The array is exactly as large as its content: whoever else filled `items` need not know of a spare.
enum reeve_err reeve_strv_add(struct reeve_strv *list, const char *text)
{
    if (list->len >= STRV_LEN_MAX) {
        return REEVE_LIMIT;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return REEVE_NOMEM;
    }
    char **items = realloc(list->items, (list->len + 2) * sizeof *items);
    if (items == NULL) {
        free(copy);
        return REEVE_NOMEM;
    }
    items[list->len++] = copy;
    items[list->len] = NULL;
    list->items = items;
    return REEVE_OK;
}

enum reeve_err reeve_strv_copy(const struct reeve_strv *from, struct reeve_strv *ret)
{
    REEVE_STRV_AUTO copy = {0};
    for (size_t i = 0; i < from->len; i++) {
        enum reeve_err err = reeve_strv_add(&copy, from->items[i]);
        if (err != REEVE_OK) {
            return err;
        }
    }
    *ret = copy;
    copy = (struct reeve_strv){0};
    return REEVE_OK;
}

bool reeve_strv_has(const struct reeve_strv *list, const char *text)
{
    for (size_t i = 0; i < list->len; i++) {
        if (strcmp(list->items[i], text) == 0) {
            return true;
        }
    }
    return false;
}

void reeve_strv_done(struct reeve_strv *list)
{
    for (size_t i = 0; i < list->len; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct reeve_strv){0};
}
