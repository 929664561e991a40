// Requirements out of text and value trees. One table of comparators; every refusal says what would be right.
// Must not: evaluate anything, or know which attributes there are: a worker may bring its own.
#include "match.h"

#include <reeve/record.h>
#include <stdio.h>
#include <string.h>

#define EXAMPLE "such as `type=trading`, `cpus>=4`, `gpu` or `!gpu`"

// Longer signs first: `>` is how `>=` begins.
static const struct {
    const char *sign;
    enum reeve_compare compare;
} signs[] = {
    {"!=", REEVE_COMPARE_NE}, {">=", REEVE_COMPARE_GE}, {"<=", REEVE_COMPARE_LE},
    {"=", REEVE_COMPARE_EQ},  {">", REEVE_COMPARE_GT},  {"<", REEVE_COMPARE_LT},
};

#define SIGN_EQ 3 // of `signs`

const char *match_sign(enum reeve_compare compare)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(signs); i++) {
        if (signs[i].compare == compare) {
            return signs[i].sign;
        }
    }
    return "";
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// A part of the text given, trimmed.
struct part {
    const char *text;
    size_t len;
};

static struct part trim(const char *text, size_t len)
{
    while (len > 0 && is_space(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_space(text[len - 1])) {
        len--;
    }
    return (struct part){text, len};
}

// For messages: outside text, so cut and without what a terminal would obey.
static const char *shown(struct part part, char buf[64])
{
    size_t len = part.len < 60 ? part.len : 60;
    for (size_t i = 0; i < len; i++) {
        buf[i] = (unsigned char)part.text[i] < 0x20 || (unsigned char)part.text[i] >= 0x7f ? '?' : part.text[i];
    }
    buf[len] = '\0';
    return buf;
}

static enum reeve_err check_key(struct part key, struct reeve_why *why)
{
    char text[64];
    struct reeve_requirement sized;
    if (key.len == 0) {
        return reeve_fail(why, REEVE_INVALID, "a requirement begins with a key, " EXAMPLE);
    }
    if (key.len >= sizeof sized.key) {
        return reeve_fail(why, REEVE_INVALID, "key '%s...' has %zu characters, at most %zu are allowed",
                          shown((struct part){key.text, 20}, text), key.len, sizeof sized.key - 1);
    }
    for (size_t i = 0; i < key.len; i++) {
        char c = key.text[i];
        if (!is_letter_or_digit(c) && (i == 0 || strchr("_-./", c) == NULL)) {
            return reeve_fail(why, REEVE_INVALID,
                              "key '%s' has '%c' at %zu (letters, digits and _ - . / make a key), " EXAMPLE,
                              shown(key, text), (unsigned char)c < 0x20 || (unsigned char)c >= 0x7f ? '?' : c, i + 1);
        }
    }
    bool label = key.len >= 6 && strncmp(key.text, "label.", 6) == 0;
    if ((label && key.len == 6) || (key.len == 5 && strncmp(key.text, "label", 5) == 0)) {
        return reeve_fail(why, REEVE_INVALID, "which label? Such as `label.desk=a`");
    }
    return REEVE_OK;
}

static enum reeve_err check_text(struct part key, const char *sign, struct part text, struct reeve_why *why)
{
    char name[64];
    struct reeve_requirement sized;
    if (text.len == 0) {
        return reeve_fail(why, REEVE_INVALID, "'%s%s' has nothing on its right, " EXAMPLE, shown(key, name), sign);
    }
    if (text.len >= sizeof sized.text) {
        return reeve_fail(why, REEVE_INVALID, "%s: its value has %zu bytes, at most %zu are allowed", shown(key, name),
                          text.len, sizeof sized.text - 1);
    }
    if (strchr("=<>!", text.text[0]) != NULL) {
        return reeve_fail(why, REEVE_INVALID, "'%s%s%c' is no comparator: = != > >= < <=", shown(key, name), sign,
                          text.text[0]);
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.text[i] < 0x20 || text.text[i] == 0x7f || text.text[i] == ',') {
            return reeve_fail(why, REEVE_INVALID, "%s: its value has %s at %zu", shown(key, name),
                              text.text[i] == ',' ? "a comma, which separates requirements," : "a control character",
                              i + 1);
        }
    }
    if (!reeve_utf8_valid(text.text, text.len)) {
        return reeve_fail(why, REEVE_INVALID, "%s: its value is no UTF-8", shown(key, name));
    }
    return REEVE_OK;
}

static void copy(struct part part, char *buf)
{
    memcpy(buf, part.text, part.len);
    buf[part.len] = '\0';
}

static enum reeve_err parse_comparison(struct part key, size_t sign, struct part text, struct reeve_requirement *ret,
                                       struct reeve_why *why)
{
    struct reeve_requirement made = {.compare = signs[sign].compare};
    enum reeve_err err = check_key(key, why);
    if (err == REEVE_OK) {
        err = check_text(key, signs[sign].sign, text, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    copy(key, made.key);
    copy(text, made.text);
    if (made.compare >= REEVE_COMPARE_LT && !match_number(made.text, &made.number)) {
        return reeve_fail(why, REEVE_INVALID,
                          "'%s%s%s': %s compares numbers, and '%s' is no number, size (512M) or duration (5m)",
                          made.key, signs[sign].sign, made.text, signs[sign].sign, made.text);
    }
    *ret = made;
    return REEVE_OK;
}

static enum reeve_err parse_presence(struct part key, struct reeve_requirement *ret, struct reeve_why *why)
{
    struct reeve_requirement made = {.compare = REEVE_COMPARE_HAS};
    if (key.len > 0 && key.text[0] == '!') {
        made.compare = REEVE_COMPARE_HAS_NOT;
        key = trim(key.text + 1, key.len - 1);
    }
    enum reeve_err err = check_key(key, why);
    if (err == REEVE_OK) {
        copy(key, made.key);
        *ret = made;
    }
    return err;
}

// The comparator that comes first decides; `!` at the very beginning is none.
static enum reeve_err parse_part(struct part part, struct reeve_requirement *ret, struct reeve_why *why)
{
    for (size_t at = 0; at < part.len; at++) {
        for (size_t i = 0; i < REEVE_ARRAY_LEN(signs); i++) {
            size_t len = strlen(signs[i].sign);
            if (part.len - at >= len && strncmp(part.text + at, signs[i].sign, len) == 0) {
                return parse_comparison(trim(part.text, at), i, trim(part.text + at + len, part.len - at - len), ret,
                                        why);
            }
        }
    }
    return parse_presence(part, ret, why);
}

enum reeve_err reeve_requirement_parse(const char *text, struct reeve_requirement *ret, struct reeve_why *why)
{
    return parse_part(trim(text, strlen(text)), ret, why);
}

// ---- many -------------------------------------------------------------------------------------------------------

// Where a mistake is said to be. The parser itself knows no places.
static enum reeve_err placed(enum reeve_err err, const char *path, struct reeve_why *why)
{
    if (err != REEVE_OK && why != NULL && why->place[0] == '\0') {
        (void)snprintf(why->place, sizeof why->place, "%s", path); /* cut where it is too long */
    }
    return err;
}

static enum reeve_err add_part(struct reeve_requirements *requirements, struct part part, const char *path,
                               struct reeve_why *why)
{
    struct reeve_requirement made;
    enum reeve_err err = parse_part(part, &made, why);
    if (err != REEVE_OK) {
        return placed(err, path, why);
    }
    if (requirements->len == REEVE_REQUIREMENTS_MAX) {
        return reeve_fail_at(why, REEVE_LIMIT, path, "more than %d requirements", REEVE_REQUIREMENTS_MAX);
    }
    requirements->items[requirements->len++] = made;
    return REEVE_OK;
}

static enum reeve_err add_text(struct reeve_requirements *requirements, const char *text, const char *path,
                               struct reeve_why *why)
{
    for (;;) {
        size_t len = strcspn(text, ",");
        enum reeve_err err = add_part(requirements, trim(text, len), path, why);
        if (err != REEVE_OK || text[len] == '\0') {
            return err;
        }
        text += len + 1;
    }
}

// The text of a scalar under a key; NULL when it is none.
static const char *scalar_text(const struct reeve_value *value, char buf[32])
{
    switch (reeve_value_kind(value)) {
    case REEVE_STR:
        return reeve_value_text(value);
    case REEVE_INT:
        (void)snprintf(buf, 32, "%lld", (long long)reeve_value_number(value, 0)); /* 20 digits at most */
        return buf;
    case REEVE_BOOL:
        return reeve_value_truth(value, false) ? "true" : "false";
    case REEVE_FLOAT: // 1.10 would become 1.1
    case REEVE_NULL:
    case REEVE_BIN:
    case REEVE_LIST:
    case REEVE_MAP:
        break;
    }
    return NULL;
}

static enum reeve_err add_pair(struct reeve_requirements *requirements, const char *prefix, const char *key,
                               const struct reeve_value *value, const char *path, struct reeve_why *why)
{
    char number[32];
    char full[REEVE_REQUIREMENT_TEXT_SIZE];
    struct part name = {full, 0};
    struct reeve_requirement made;
    const char *text = scalar_text(value, number);
    if (text == NULL) {
        return reeve_fail_at(why, REEVE_INVALID, path,
                             "expected text or a list of texts, this is a %s; a number with a fraction in quotes",
                             reeve_kind_text(reeve_value_kind(value)));
    }
    (void)snprintf(full, sizeof full, "%s%s", prefix, key); /* a cut one is too long for a key all the same */
    name.len = strlen(full);
    if (strpbrk(key, "=<>!") != NULL) {
        return reeve_fail_at(why, REEVE_INVALID, path,
                             "a key has no comparator; write the requirement as text, such as `\"cpus>=4\"`");
    }
    enum reeve_err err = parse_comparison(name, SIGN_EQ, trim(text, strlen(text)), &made, why);
    if (err != REEVE_OK) {
        return placed(err, path, why);
    }
    if (requirements->len == REEVE_REQUIREMENTS_MAX) {
        return reeve_fail_at(why, REEVE_LIMIT, path, "more than %d requirements", REEVE_REQUIREMENTS_MAX);
    }
    requirements->items[requirements->len++] = made;
    return REEVE_OK;
}

// A value, or a list of values all of which are required.
static enum reeve_err add_values(struct reeve_requirements *requirements, const char *prefix, const char *key,
                                 const struct reeve_value *value, const char *path, struct reeve_why *why)
{
    if (reeve_value_kind(value) != REEVE_LIST) {
        return add_pair(requirements, prefix, key, value, path, why);
    }
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(value); i++) {
        char place[REEVE_PATH_SIZE];
        (void)snprintf(place, sizeof place, "%.*s[%zu]", (int)sizeof place - 24, path, i); /* cut where too long */
        err = add_pair(requirements, prefix, key, reeve_value_at(value, i), place, why);
    }
    return err;
}

static enum reeve_err add_map(struct reeve_requirements *requirements, const struct reeve_value *map,
                              const char *prefix, const char *path, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(map); i++) {
        const char *key = reeve_value_key(map, i);
        const struct reeve_value *value = reeve_value_at(map, i);
        char place[REEVE_PATH_SIZE];
        (void)reeve_path_join(place, path, key);
        bool labels = prefix[0] == '\0' && strcmp(key, "labels") == 0 && reeve_value_kind(value) == REEVE_MAP;
        err = labels ? add_map(requirements, value, "label.", place, why)
                     : add_values(requirements, prefix, key, value, place, why);
    }
    return err;
}

static enum reeve_err add_list(struct reeve_requirements *requirements, const struct reeve_value *list,
                               const char *path, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(list); i++) {
        const struct reeve_value *item = reeve_value_at(list, i);
        char place[REEVE_PATH_SIZE];
        (void)snprintf(place, sizeof place, "%.*s[%zu]", (int)sizeof place - 24, path, i); /* cut where too long */
        err = reeve_value_kind(item) == REEVE_STR
                  ? add_text(requirements, reeve_value_text(item), place, why)
                  : reeve_fail_at(why, REEVE_INVALID, place, "expected a requirement " EXAMPLE ", this is a %s",
                                  reeve_kind_text(reeve_value_kind(item)));
    }
    return err;
}

enum reeve_err reeve_requirements_add(struct reeve_requirements *requirements, const struct reeve_value *value,
                                      const char *path, struct reeve_why *why)
{
    struct reeve_requirements made = *requirements; // nothing of a wrong one is added
    struct reeve_why own = {.text = ""};
    enum reeve_kind kind = reeve_value_kind(value);
    enum reeve_err err = REEVE_OK;
    if (kind == REEVE_STR) {
        err = add_text(&made, reeve_value_text(value), path, &own);
    } else if (kind == REEVE_LIST) {
        err = add_list(&made, value, path, &own);
    } else if (kind == REEVE_MAP) {
        err = add_map(&made, value, "", path, &own);
    } else if (kind != REEVE_NULL) {
        err =
            reeve_fail_at(&own, REEVE_INVALID, path,
                          "expected requirements: text, a list of texts or a map, this is a %s", reeve_kind_text(kind));
    }
    if (err == REEVE_OK) {
        *requirements = made;
    } else if (why != NULL) {
        *why = own;
    }
    return err;
}
