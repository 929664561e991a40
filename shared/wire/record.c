// Decoding by record tables: a MAP becomes a C struct, every mistake becomes an error with its place.
// Invariant: whatever fails, the object is valid (fields that failed hold their presets) and is freed by one done().
// Must not: stop at the first mistake, or know where the value came from.
#include "record_fields.h"

#include <reeve/log.h>
#include <reeve/units.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELDS_MAX     64 // of one record: the width of `struct progress`
#define DESCRIBED_SIZE 64 // of a given value in a message

struct input {
    const struct reeve_field *field;
    const struct reeve_value *value;
    const char *key; // as it was written: the field's name or an alias
    const char *path;
    struct reeve_errors *errors; // NULL while decoding presets, which can't be wrong
};

static enum reeve_err decode_object(const struct reeve_record *record, const struct reeve_value *value,
                                    const char *path, void *object, struct reeve_errors *errors);
static enum reeve_err preset_object(const struct reeve_record *record, void *object);

// NOMEM before INVALID before OK: what the caller has to know first.
static enum reeve_err worse(enum reeve_err a, enum reeve_err b)
{
    if (a == REEVE_NOMEM || b == REEVE_NOMEM) {
        return REEVE_NOMEM;
    }
    return a != REEVE_OK ? a : b;
}

// ---- messages -----------------------------------------------------------------------------------

static const char *const kind_phrases[] = {
    [REEVE_NULL] = "nothing", [REEVE_BOOL] = "a boolean", [REEVE_INT] = "a whole number", [REEVE_FLOAT] = "a number",
    [REEVE_STR] = "text",     [REEVE_BIN] = "bytes",      [REEVE_LIST] = "a list",        [REEVE_MAP] = "a map",
};

static const char *describe(const struct reeve_value *value, char buf[DESCRIBED_SIZE])
{
    switch (reeve_value_kind(value)) {
    case REEVE_BOOL:
        (void)snprintf(buf, DESCRIBED_SIZE, "%s", reeve_value_truth(value, false) ? "true" : "false");
        return buf;
    case REEVE_INT:
        (void)snprintf(buf, DESCRIBED_SIZE, "%lld", (long long)reeve_value_number(value, 0));
        return buf;
    case REEVE_FLOAT:
        (void)snprintf(buf, DESCRIBED_SIZE, "%.12g", reeve_value_real(value, 0));
        return buf;
    case REEVE_STR:
        return reeve_log_quote(reeve_value_text(value), buf, DESCRIBED_SIZE);
    case REEVE_NULL:
    case REEVE_BIN:
    case REEVE_LIST:
    case REEVE_MAP:
        break;
    }
    return "this";
}

static enum reeve_err refuse_type(const struct input *in, const char *hint)
{
    char given[DESCRIBED_SIZE];
    char expected[REEVE_EXPECT_SIZE];
    reeve_errors_add(in->errors, in->value, in->path, "%s is %s, expected %s%s",
                     in->field->flags & REEVE_FIELD_SECRET ? "this" : describe(in->value, given),
                     kind_phrases[reeve_value_kind(in->value)], reeve_field_expect(in->field, expected), hint);
    return REEVE_INVALID;
}

static enum reeve_err refuse_why(const struct input *in, const struct reeve_why *why)
{
    reeve_errors_add(in->errors, in->value, in->path, "%s", why->text);
    return REEVE_INVALID;
}

// Lengths and numbers of entries: only when max is given.
static enum reeve_err check_count(const struct input *in, size_t count, const char *what)
{
    const struct reeve_field *field = in->field;
    if (field->max <= 0 || ((int64_t)count >= field->min && (int64_t)count <= field->max)) {
        return REEVE_OK;
    }
    reeve_errors_add(in->errors, in->value, in->path, "has %zu %s, expected %lld to %lld", count, what,
                     (long long)field->min, (long long)field->max);
    return REEVE_INVALID;
}

static enum reeve_err check_bounds(const struct input *in, int64_t number)
{
    const struct reeve_field *field = in->field;
    char text[40];
    char bound[40];
    bool above = number > field->max;
    if (field->min >= field->max || (number >= field->min && !above)) {
        return REEVE_OK;
    }
    reeve_errors_add(in->errors, in->value, in->path, "%s is %s %s", reeve_field_number_text(field, number, text),
                     above ? "above the maximum of" : "below the minimum of",
                     reeve_field_number_text(field, above ? field->max : field->min, bound));
    return REEVE_INVALID;
}

// ---- one function per type -----------------------------------------------------------------------

static enum reeve_err decode_bool(const struct input *in, void *slot)
{
    const char *text = reeve_value_text(in->value);
    bool from_text = reeve_str_eq(text, "true") || reeve_str_eq(text, "false");
    if (reeve_value_kind(in->value) != REEVE_BOOL && !from_text) {
        return refuse_type(in, "");
    }
    *(bool *)slot = from_text ? text[0] == 't' : reeve_value_truth(in->value, false);
    return REEVE_OK;
}

// INT, a FLOAT without fraction (JavaScript knows no other numbers), or text that is exactly a number.
static bool whole_number(const struct reeve_value *value, int64_t *ret)
{
    if (reeve_value_kind(value) == REEVE_STR) {
        return reeve_parse_i64(reeve_value_text(value), ret, NULL) == REEVE_OK;
    }
    *ret = reeve_value_number(value, 0);
    return *ret == reeve_value_number(value, 1); // the fallback shows through in one of them only
}

static enum reeve_err decode_int(const struct input *in, void *slot)
{
    int64_t number;
    if (!whole_number(in->value, &number)) {
        return refuse_type(in, "");
    }
    enum reeve_err err = check_bounds(in, number);
    if (err == REEVE_OK) {
        *(int64_t *)slot = number;
    }
    return err;
}

// Decimal only: strtod alone would take "inf", "nan" and hexadecimal.
static bool real_from_text(const char *text, double *ret)
{
    char *end;
    if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0') {
        return false;
    }
    *ret = strtod(text, &end);
    return *end == '\0';
}

static enum reeve_err decode_real(const struct input *in, void *slot)
{
    const struct reeve_field *field = in->field;
    enum reeve_kind kind = reeve_value_kind(in->value);
    double number = reeve_value_real(in->value, NAN);
    bool usable = kind == REEVE_INT || kind == REEVE_FLOAT ||
                  (kind == REEVE_STR && real_from_text(reeve_value_text(in->value), &number));
    if (!usable || !isfinite(number)) {
        return refuse_type(in, "");
    }
    if (field->min < field->max && (number < (double)field->min || number > (double)field->max)) {
        char expected[REEVE_EXPECT_SIZE];
        reeve_errors_add(in->errors, in->value, in->path, "%.12g is out of bounds, expected %s", number,
                         reeve_field_expect(field, expected));
        return REEVE_INVALID;
    }
    *(double *)slot = number;
    return REEVE_OK;
}

static enum reeve_err copy_text(const char *text, void *slot)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return REEVE_NOMEM;
    }
    *(char **)slot = copy;
    return REEVE_OK;
}

static enum reeve_err refuse_untext(const struct input *in)
{
    enum reeve_kind kind = reeve_value_kind(in->value);
    bool scalar = kind == REEVE_INT || kind == REEVE_FLOAT || kind == REEVE_BOOL;
    return refuse_type(in, scalar ? " (write it in quotes)" : "");
}

static enum reeve_err decode_str(const struct input *in, void *slot)
{
    char buf[DESCRIBED_SIZE];
    if (reeve_value_kind(in->value) == REEVE_INT && (in->field->flags & REEVE_FIELD_SCALAR_OK) != 0) {
        return copy_text(describe(in->value, buf), slot); // of at most 20 characters: no length to check
    }
    if (reeve_value_kind(in->value) != REEVE_STR) {
        return refuse_untext(in);
    }
    enum reeve_err err = check_count(in, reeve_value_len(in->value), "bytes");
    return err == REEVE_OK ? copy_text(reeve_value_text(in->value), slot) : err;
}

static enum reeve_err decode_name(const struct input *in, void *slot)
{
    struct reeve_why why = {0};
    if (reeve_value_kind(in->value) != REEVE_STR) {
        return refuse_untext(in);
    }
    if (reeve_name_check(reeve_value_text(in->value), &why) != REEVE_OK) {
        return refuse_why(in, &why);
    }
    return copy_text(reeve_value_text(in->value), slot);
}

// Numbers with a unit: text by `parse`, or the bare number where `bare` allows it.
static enum reeve_err decode_unit(const struct input *in, bool bare, void *slot,
                                  enum reeve_err (*parse)(const char *, int64_t *, struct reeve_why *))
{
    struct reeve_why why = {0};
    int64_t number = 0;
    bool text = reeve_value_kind(in->value) == REEVE_STR;
    if (text && parse(reeve_value_text(in->value), &number, &why) != REEVE_OK) {
        return refuse_why(in, &why);
    }
    if (!text && (!whole_number(in->value, &number) || (!bare && number != 0))) {
        return refuse_type(in, "");
    }
    if (number < 0) {
        reeve_errors_add(in->errors, in->value, in->path, "%lld is negative", (long long)number);
        return REEVE_INVALID;
    }
    enum reeve_err err = check_bounds(in, number);
    if (err == REEVE_OK) {
        *(int64_t *)slot = number;
    }
    return err;
}

// The choice that is meant by exactly this text, or NULL.
static const struct reeve_choice *word_choice(const struct input *in)
{
    const struct reeve_choice *choice = in->field->choices;
    while (choice != NULL && choice->text != NULL && !reeve_str_eq(choice->text, reeve_value_text(in->value))) {
        choice++;
    }
    return choice != NULL && choice->text != NULL ? choice : NULL;
}

static enum reeve_err decode_duration(const struct input *in, void *slot)
{
    const struct reeve_choice *word = word_choice(in);
    if (word != NULL) {
        *(int64_t *)slot = word->value;
        return REEVE_OK;
    }
    // [payload-1]: a key that names its unit needs none beside the number.
    bool bare = reeve_text_ends(in->key, "_ms");
    int64_t number;
    if (!bare && reeve_value_kind(in->value) == REEVE_INT && whole_number(in->value, &number) && number > 0) {
        reeve_errors_add(in->errors, in->value, in->path, "%lld has no unit, did you mean %llds or %lldms?",
                         (long long)number, (long long)number, (long long)number);
        return REEVE_INVALID;
    }
    return decode_unit(in, bare, slot, reeve_duration_parse);
}

static enum reeve_err decode_size(const struct input *in, void *slot)
{
    return decode_unit(in, true, slot, reeve_size_parse);
}

static const struct reeve_choice *find_choice(const struct input *in)
{
    const char *text = reeve_value_kind(in->value) == REEVE_STR ? reeve_value_text(in->value) : NULL;
    int64_t number = 0;
    bool numeric = (in->field->flags & REEVE_FIELD_SCALAR_OK) != 0 && whole_number(in->value, &number);
    for (const struct reeve_choice *choice = in->field->choices; choice->text != NULL; choice++) {
        if ((text != NULL && strcmp(choice->text, text) == 0) || (numeric && choice->value == number)) {
            return choice;
        }
    }
    return NULL;
}

#define CHOICES_MAX 64 // that are looked through for a near one

static const char *near_choice(const struct reeve_choice *choices, const char *text)
{
    const char *names[CHOICES_MAX + 1] = {NULL};
    for (size_t i = 0; i < CHOICES_MAX && choices[i].text != NULL; i++) {
        if (strcasecmp(choices[i].text, text) == 0) {
            return choices[i].text;
        }
        names[i] = choices[i].text;
    }
    return reeve_near(text, names);
}

static enum reeve_err decode_choice(const struct input *in, void *slot)
{
    const struct reeve_choice *choice = find_choice(in);
    if (choice != NULL) {
        *(int *)slot = choice->value;
        return REEVE_OK;
    }
    if (reeve_value_kind(in->value) != REEVE_STR) {
        return refuse_type(in, "");
    }
    char given[DESCRIBED_SIZE];
    char expected[REEVE_EXPECT_SIZE];
    const char *near = near_choice(in->field->choices, reeve_value_text(in->value));
    reeve_errors_add(in->errors, in->value, in->path, "%s is not known%s%s%s, expected %s", describe(in->value, given),
                     near != NULL ? ", did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "",
                     reeve_field_expect(in->field, expected));
    return REEVE_INVALID;
}

// A scalar as its text, in `buf` where it has none of its own; NULL for what has no exact text.
static const char *scalar_text(const struct reeve_value *value, char buf[DESCRIBED_SIZE])
{
    enum reeve_kind kind = reeve_value_kind(value);
    if (kind == REEVE_STR) {
        return reeve_value_text(value);
    }
    return kind == REEVE_INT || kind == REEVE_BOOL ? describe(value, buf) : NULL;
}

static enum reeve_err refuse_entry(const struct input *in, const struct reeve_value *entry, const char *name)
{
    char path[REEVE_PATH_SIZE];
    char given[DESCRIBED_SIZE];
    enum reeve_kind kind = reeve_value_kind(entry);
    bool scalar = kind == REEVE_INT || kind == REEVE_FLOAT || kind == REEVE_BOOL;
    reeve_errors_add(in->errors, entry, reeve_path_join(path, in->path, name), "%s is %s, expected text%s",
                     in->field->flags & REEVE_FIELD_SECRET ? "this" : describe(entry, given), kind_phrases[kind],
                     scalar ? " (write it in quotes)" : "");
    return REEVE_INVALID;
}

static enum reeve_err decode_strv_entry(const struct input *in, size_t index, struct reeve_strv *list)
{
    const struct reeve_value *entry = reeve_value_at(in->value, index);
    char buf[DESCRIBED_SIZE];
    char name[32];
    bool taken = reeve_value_kind(entry) == REEVE_STR || (in->field->flags & REEVE_FIELD_SCALAR_OK) != 0;
    const char *text = taken ? scalar_text(entry, buf) : NULL;
    if (text == NULL) {
        (void)snprintf(name, sizeof(name), "[%zu]", index);
        return refuse_entry(in, entry, name);
    }
    return reeve_strv_add(list, text);
}

static enum reeve_err decode_strv(const struct input *in, void *slot)
{
    struct reeve_strv *list = slot;
    char buf[DESCRIBED_SIZE];
    bool scalar_ok = reeve_value_kind(in->value) == REEVE_STR || (in->field->flags & REEVE_FIELD_SCALAR_OK) != 0;
    const char *single = scalar_ok ? scalar_text(in->value, buf) : NULL;
    if (single != NULL && (in->field->flags & REEVE_FIELD_LIST_ONLY) == 0) {
        enum reeve_err err = check_count(in, 1, "entries");
        return err == REEVE_OK ? reeve_strv_add(list, single) : err;
    }
    if (reeve_value_kind(in->value) != REEVE_LIST) {
        return refuse_type(in, single != NULL ? " (no shell splits the words)" : "");
    }
    enum reeve_err err = check_count(in, reeve_value_len(in->value), "entries");
    for (size_t i = 0; i < reeve_value_len(in->value) && err != REEVE_NOMEM; i++) {
        err = worse(err, decode_strv_entry(in, i, list));
    }
    return err;
}

static bool secret_left_out(const struct reeve_field *field, const struct reeve_value *value)
{
    return (field->flags & REEVE_FIELD_SECRET) != 0 && reeve_str_eq(reeve_value_text(value), REEVE_SECRET_TEXT);
}

static enum reeve_err refuse_left_out(const struct input *in, const struct reeve_value *value, const char *name)
{
    char path[REEVE_PATH_SIZE];
    reeve_errors_add(in->errors, value, reeve_path_join(path, in->path, name),
                     REEVE_SECRET_TEXT " stands for a secret that was left out, expected the secret itself");
    return REEVE_INVALID;
}

static enum reeve_err decode_map_entry(const struct input *in, size_t index, struct reeve_value *map)
{
    const struct reeve_value *entry = reeve_value_at(in->value, index);
    const char *key = reeve_value_key(in->value, index);
    char buf[DESCRIBED_SIZE];
    const char *text = scalar_text(entry, buf);
    if (text == NULL) {
        return refuse_entry(in, entry, key);
    }
    if (secret_left_out(in->field, entry)) {
        return refuse_left_out(in, entry, key);
    }
    struct reeve_value *copy = reeve_value_str(text);
    if (copy != NULL) {
        reeve_value_set_mark(copy, reeve_value_mark(entry));
    }
    return reeve_value_put(map, key, copy);
}

static enum reeve_err decode_map(const struct input *in, void *slot)
{
    if (reeve_value_kind(in->value) != REEVE_MAP) {
        return refuse_type(in, "");
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    if (map == NULL) {
        return REEVE_NOMEM;
    }
    reeve_value_set_mark(map, reeve_value_mark(in->value));
    enum reeve_err err = check_count(in, reeve_value_len(in->value), "entries");
    for (size_t i = 0; i < reeve_value_len(in->value) && err != REEVE_NOMEM; i++) {
        err = worse(err, decode_map_entry(in, i, map));
    }
    if (err == REEVE_OK) {
        *(struct reeve_value **)slot = reeve_value_take(&map);
    }
    return err;
}

static enum reeve_err decode_value(const struct input *in, void *slot)
{
    struct reeve_value *copy = reeve_value_clone(in->value);
    if (copy == NULL) {
        return REEVE_NOMEM;
    }
    *(struct reeve_value **)slot = copy;
    return REEVE_OK;
}

// {scalar_member: value}, at the value's place.
static struct reeve_value *wrap_scalar(const char *member, const struct reeve_value *value)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    if (map == NULL || reeve_value_put(map, member, reeve_value_clone(value)) != REEVE_OK) {
        return NULL;
    }
    reeve_value_set_mark(map, reeve_value_mark(value));
    return reeve_value_take(&map);
}

static enum reeve_err decode_record(const struct input *in, void *slot)
{
    const struct reeve_field *field = in->field;
    enum reeve_kind kind = reeve_value_kind(in->value);
    if (kind == REEVE_MAP) {
        return decode_object(field->record, in->value, in->path, slot, in->errors);
    }
    if (kind == REEVE_LIST || field->scalar_member == NULL) {
        return refuse_type(in, "");
    }
    REEVE_VALUE_AUTO wrapped = wrap_scalar(field->scalar_member, in->value);
    if (wrapped == NULL) {
        return REEVE_NOMEM;
    }
    return decode_object(field->record, wrapped, in->path, slot, in->errors);
}

static enum reeve_err decode_records(const struct input *in, void *slot)
{
    const struct reeve_record *record = in->field->record;
    struct reeve_records *list = slot;
    size_t len = reeve_value_len(in->value);
    if (reeve_value_kind(in->value) != REEVE_LIST) {
        return refuse_type(in, "");
    }
    enum reeve_err err = check_count(in, len, "entries");
    if (err != REEVE_OK || len == 0) {
        return err;
    }
    list->items = calloc(len, record->size);
    if (list->items == NULL) {
        return REEVE_NOMEM;
    }
    for (size_t i = 0; i < len && err != REEVE_NOMEM; i++) {
        char path[REEVE_PATH_SIZE];
        char name[32];
        (void)snprintf(name, sizeof(name), "[%zu]", i);
        list->len++;
        err = worse(err, decode_object(record, reeve_value_at(in->value, i), reeve_path_join(path, in->path, name),
                                       (char *)list->items + i * record->size, in->errors));
    }
    return err;
}

static void done_str(const struct reeve_field *field, void *slot)
{
    (void)field;
    free(*(char **)slot);
}

static void done_strv(const struct reeve_field *field, void *slot)
{
    (void)field;
    reeve_strv_done(slot);
}

static void done_value(const struct reeve_field *field, void *slot)
{
    (void)field;
    reeve_value_free(*(struct reeve_value **)slot);
}

static void done_record(const struct reeve_field *field, void *slot)
{
    reeve_record_done(field->record, slot);
}

static void done_records(const struct reeve_field *field, void *slot)
{
    struct reeve_records *list = slot;
    for (size_t i = 0; i < list->len; i++) {
        reeve_record_done(field->record, (char *)list->items + i * field->record->size);
    }
    free(list->items);
}

static const struct field_type {
    enum reeve_err (*decode)(const struct input *in, void *slot);
    void (*done)(const struct reeve_field *field, void *slot); // NULL = owns nothing
    size_t size;                                               // 0 = the record's
} field_types[] = {
    [REEVE_FIELD_BOOL] = {decode_bool, NULL, sizeof(bool)},
    [REEVE_FIELD_INT] = {decode_int, NULL, sizeof(int64_t)},
    [REEVE_FIELD_REAL] = {decode_real, NULL, sizeof(double)},
    [REEVE_FIELD_STR] = {decode_str, done_str, sizeof(char *)},
    [REEVE_FIELD_NAME] = {decode_name, done_str, sizeof(char *)},
    [REEVE_FIELD_DURATION] = {decode_duration, NULL, sizeof(int64_t)},
    [REEVE_FIELD_SIZE] = {decode_size, NULL, sizeof(int64_t)},
    [REEVE_FIELD_CHOICE] = {decode_choice, NULL, sizeof(int)},
    [REEVE_FIELD_STRV] = {decode_strv, done_strv, sizeof(struct reeve_strv)},
    [REEVE_FIELD_MAP] = {decode_map, done_value, sizeof(struct reeve_value *)},
    [REEVE_FIELD_VALUE] = {decode_value, done_value, sizeof(struct reeve_value *)},
    [REEVE_FIELD_RECORD] = {decode_record, done_record, 0},
    [REEVE_FIELD_RECORDS] = {decode_records, done_records, sizeof(struct reeve_records)},
};

// ---- a whole record ------------------------------------------------------------------------------

struct progress {
    uint64_t given;   // by field
    uint64_t decoded; // without error
};

#define NO_FIELD SIZE_MAX

static size_t field_index(const struct reeve_record *record, const char *name)
{
    for (size_t i = 0; i < record->fields_len; i++) {
        if (strcmp(record->fields[i].name, name) == 0) {
            return i;
        }
    }
    return NO_FIELD;
}

// The field that `key` names, through its alias.
static size_t key_field(const struct reeve_record *record, const char *key)
{
    size_t index = field_index(record, key);
    if (index == NO_FIELD || record->fields[index].alias_of == NULL) {
        return index;
    }
    index = field_index(record, record->fields[index].alias_of);
    REEVE_ASSERT(index != NO_FIELD && record->fields[index].alias_of == NULL);
    return index;
}

static void refuse_unknown(const struct reeve_record *record, const struct reeve_value *map, size_t at,
                           const char *path, struct reeve_errors *errors)
{
    const char *names[FIELDS_MAX + 1] = {NULL};
    char key_path[REEVE_PATH_SIZE];
    char expected[REEVE_EXPECT_SIZE];
    const struct reeve_field keys = {.type = REEVE_FIELD_RECORD, .record = record};
    const char *key = reeve_value_key(map, at);
    for (size_t i = 0; i < record->fields_len; i++) {
        names[i] = record->fields[i].name;
    }
    (void)reeve_path_join(key_path, path, key);
    const char *near = reeve_near(key, names);
    if (near != NULL) {
        reeve_errors_add_at(errors, reeve_value_key_mark(map, at), key_path, "unknown key, did you mean %s?", near);
    } else if (record->fields_len == 0) {
        reeve_errors_add_at(errors, reeve_value_key_mark(map, at), key_path, "unknown key, none is expected");
    } else {
        reeve_errors_add_at(errors, reeve_value_key_mark(map, at), key_path, "unknown key, expected %s",
                            reeve_field_expect(&keys, expected));
    }
}

// The key at `at` says the same as an earlier one.
static void refuse_twice(const struct reeve_record *record, const struct reeve_value *map, size_t at, const char *path,
                         struct reeve_errors *errors)
{
    char key_path[REEVE_PATH_SIZE];
    const char *key = reeve_value_key(map, at);
    size_t first = 0;
    while (key_field(record, reeve_value_key(map, first)) != key_field(record, key)) {
        first++;
    }
    reeve_errors_add_at(errors, reeve_value_key_mark(map, at), reeve_path_join(key_path, path, key),
                        "says the same as %s, which is given too: keep one of them", reeve_value_key(map, first));
}

// One field from its value; on failure its slot is empty again.
static enum reeve_err decode_field(const struct input *in, void *slot)
{
    const struct field_type *type = &field_types[in->field->type];
    if (in->field->flags & REEVE_FIELD_INERT) {
        reeve_errors_warn(in->errors, in->value, in->path, "is accepted, but not acted upon yet");
    }
    if (secret_left_out(in->field, in->value)) {
        return refuse_left_out(in, in->value, "");
    }
    enum reeve_err err = type->decode(in, slot);
    if (err != REEVE_OK) {
        if (type->done != NULL) {
            type->done(in->field, slot);
        }
        memset(slot, 0, type->size > 0 ? type->size : in->field->record->size);
    }
    return err;
}

static enum reeve_err decode_key(const struct reeve_record *record, const struct reeve_value *map, size_t at,
                                 const char *path, void *object, struct progress *progress, struct reeve_errors *errors)
{
    char key_path[REEVE_PATH_SIZE];
    const char *key = reeve_value_key(map, at);
    const struct reeve_value *value = reeve_value_at(map, at);
    size_t index = key_field(record, key);
    if (index == NO_FIELD) {
        if (!record->open) {
            refuse_unknown(record, map, at, path, errors);
        }
        return record->open ? REEVE_OK : REEVE_INVALID;
    }
    if (reeve_value_kind(value) == REEVE_NULL) {
        return REEVE_OK;
    }
    uint64_t bit = UINT64_C(1) << index;
    if (progress->given & bit) {
        refuse_twice(record, map, at, path, errors);
        return REEVE_INVALID;
    }
    progress->given |= bit;
    const struct reeve_field *field = &record->fields[index];
    struct input in = {field, value, key, reeve_path_join(key_path, path, key), errors};
    enum reeve_err err = decode_field(&in, reeve_field_slot(field, object));
    progress->decoded |= err == REEVE_OK ? bit : 0;
    return err;
}

static enum reeve_err preset_field(const struct reeve_field *field, void *object)
{
    void *slot = reeve_field_slot(field, object);
    if (field->preset == NULL) {
        return field->type == REEVE_FIELD_RECORD ? preset_object(field->record, slot) : REEVE_OK;
    }
    REEVE_VALUE_AUTO value = reeve_value_str(field->preset);
    if (value == NULL) {
        return REEVE_NOMEM;
    }
    struct input in = {field, value, field->name, field->name, NULL};
    enum reeve_err err = field_types[field->type].decode(&in, slot);
    REEVE_ASSERT(err == REEVE_OK || err == REEVE_NOMEM);
    return err;
}

// Presets into every field that `decoded` does not name; those slots are empty.
static enum reeve_err preset_fields(const struct reeve_record *record, uint64_t decoded, void *object)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < record->fields_len; i++) {
        if (record->fields[i].alias_of == NULL && (decoded & UINT64_C(1) << i) == 0) {
            err = worse(err, preset_field(&record->fields[i], object));
        }
    }
    return err;
}

static enum reeve_err preset_object(const struct reeve_record *record, void *object)
{
    REEVE_ASSERT(record->fields_len <= FIELDS_MAX);
    memset(object, 0, record->size);
    return preset_fields(record, 0, object);
}

static enum reeve_err check_required(const struct reeve_record *record, const struct reeve_value *map, const char *path,
                                     uint64_t given, struct reeve_errors *errors)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < record->fields_len; i++) {
        const struct reeve_field *field = &record->fields[i];
        char field_path[REEVE_PATH_SIZE];
        char expected[REEVE_EXPECT_SIZE];
        if ((field->flags & REEVE_FIELD_REQUIRED) == 0 || (given & UINT64_C(1) << i) != 0) {
            continue;
        }
        reeve_errors_add(errors, map, reeve_path_join(field_path, path, field->name), "is missing, expected %s",
                         reeve_field_expect(field, expected));
        err = REEVE_INVALID;
    }
    return err;
}

static enum reeve_err decode_object(const struct reeve_record *record, const struct reeve_value *value,
                                    const char *path, void *object, struct reeve_errors *errors)
{
    struct progress progress = {0};
    enum reeve_err err = REEVE_OK;
    REEVE_ASSERT(record->fields_len <= FIELDS_MAX);
    memset(object, 0, record->size);
    if (reeve_value_kind(value) != REEVE_MAP) {
        const struct reeve_field self = {.type = REEVE_FIELD_RECORD, .record = record};
        struct input in = {&self, value, record->name, path, errors};
        return worse(refuse_type(&in, ""), preset_fields(record, 0, object));
    }
    for (size_t i = 0; i < reeve_value_len(value); i++) {
        err = worse(err, decode_key(record, value, i, path, object, &progress, errors));
    }
    err = worse(err, check_required(record, value, path, progress.given, errors));
    err = worse(err, preset_fields(record, progress.decoded, object));
    if (err != REEVE_NOMEM && record->check != NULL) {
        size_t before = errors != NULL ? errors->errors : 0;
        record->check(object, value, path, errors);
        err = worse(err, errors != NULL && errors->errors > before ? REEVE_INVALID : REEVE_OK);
    }
    return err;
}

enum reeve_err reeve_record_decode(const struct reeve_record *record, const struct reeve_value *value, const char *path,
                                   void *object, struct reeve_errors *errors)
{
    enum reeve_err err = decode_object(record, value, path, object, errors);
    if (err != REEVE_OK) {
        reeve_record_done(record, object);
    }
    return err;
}

enum reeve_err reeve_record_preset(const struct reeve_record *record, void *object)
{
    enum reeve_err err = preset_object(record, object);
    if (err != REEVE_OK) {
        reeve_record_done(record, object);
    }
    return err;
}

void reeve_record_done(const struct reeve_record *record, void *object)
{
    for (size_t i = 0; i < record->fields_len; i++) {
        const struct reeve_field *field = &record->fields[i];
        if (field->alias_of == NULL && field_types[field->type].done != NULL) {
            field_types[field->type].done(field, reeve_field_slot(field, object));
        }
    }
    memset(object, 0, record->size);
}
