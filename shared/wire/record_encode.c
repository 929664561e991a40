// Encoding by record tables: a C struct becomes a MAP that decodes to an equal struct.
// Must not: let a secret out unless it was asked to.
#include "record_fields.h"

#include <reeve/units.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct reeve_value *encode_object(const struct reeve_record *record, const void *object, unsigned flags);

// Each encoder gives NULL with *absent for what need not be said, NULL without it when out of memory.
struct output {
    const struct reeve_field *field;
    unsigned flags;
    bool absent;
};

static struct reeve_value *leave_out(struct output *out)
{
    out->absent = true;
    return NULL;
}

// Zero without a preset is what absence gives; it may lie outside of the bounds, so it is not written.
static bool is_unset(const struct output *out, bool zero)
{
    return zero && out->field->preset == NULL && (out->field->flags & REEVE_FIELD_REQUIRED) == 0;
}

static struct reeve_value *encode_bool(struct output *out, const void *slot)
{
    (void)out;
    return reeve_value_bool(*(const bool *)slot);
}

static struct reeve_value *encode_int(struct output *out, const void *slot)
{
    int64_t number = *(const int64_t *)slot;
    return is_unset(out, number == 0) ? leave_out(out) : reeve_value_int(number);
}

static struct reeve_value *encode_real(struct output *out, const void *slot)
{
    double number = *(const double *)slot;
    if (is_unset(out, number == 0)) {
        return leave_out(out);
    }
    // 2 reads better than 2.0 in a file, and is the same to the reader.
    bool whole = fabs(number) < 1e15 && number == (double)(int64_t)number;
    return whole ? reeve_value_int((int64_t)number) : reeve_value_float(number);
}

static struct reeve_value *encode_text(struct output *out, const void *slot)
{
    const char *text = *(char *const *)slot;
    return text == NULL ? leave_out(out) : reeve_value_str(text);
}

static struct reeve_value *encode_unit(struct output *out, const void *slot)
{
    const struct reeve_field *field = out->field;
    int64_t number = *(const int64_t *)slot;
    char text[40];
    if (is_unset(out, number == 0)) {
        return leave_out(out);
    }
    for (const struct reeve_choice *word = field->choices; word != NULL && word->text != NULL; word++) {
        if (word->value == number) {
            return reeve_value_str(word->text);
        }
    }
    // [payload-1]: a key that names its unit carries the bare number.
    if (reeve_text_ends(field->name, "_ms") || reeve_text_ends(field->name, "_bytes")) {
        return reeve_value_int(number);
    }
    return reeve_value_str(reeve_field_number_text(field, number, text));
}

static struct reeve_value *encode_choice(struct output *out, const void *slot)
{
    int value = *(const int *)slot;
    for (const struct reeve_choice *choice = out->field->choices; choice->text != NULL; choice++) {
        if (choice->value == value) {
            return reeve_value_str(choice->text);
        }
    }
    if (is_unset(out, value == 0)) {
        return leave_out(out);
    }
    return reeve_value_int(value); // a number without a name: SCALAR_OK choices only
}

static struct reeve_value *encode_strv(struct output *out, const void *slot)
{
    const struct reeve_strv *list = slot;
    if (is_unset(out, list->len == 0)) {
        return leave_out(out);
    }
    struct reeve_value *value = reeve_value_list();
    for (size_t i = 0; value != NULL && i < list->len; i++) {
        (void)reeve_value_add(value, reeve_value_str(list->items[i])); /* remembered: reeve_value_built() */
    }
    return value;
}

// The keys of a secret map are shown: which variables are set is no secret, and tells what to give.
static struct reeve_value *mask_map(const struct reeve_value *map)
{
    struct reeve_value *value = reeve_value_map();
    for (size_t i = 0; value != NULL && i < reeve_value_len(map); i++) {
        reeve_put_str(value, reeve_value_key(map, i), REEVE_SECRET_TEXT);
    }
    return value;
}

static struct reeve_value *encode_tree(struct output *out, const void *slot)
{
    const struct reeve_value *tree = *(struct reeve_value *const *)slot;
    bool masked = (out->field->flags & REEVE_FIELD_SECRET) != 0 && (out->flags & REEVE_ENCODE_WITH_SECRETS) == 0;
    if (tree == NULL) {
        return leave_out(out);
    }
    return masked ? mask_map(tree) : reeve_value_clone(tree);
}

static struct reeve_value *encode_record(struct output *out, const void *slot)
{
    return encode_object(out->field->record, slot, out->flags);
}

static struct reeve_value *encode_records(struct output *out, const void *slot)
{
    const struct reeve_records *list = slot;
    const struct reeve_record *record = out->field->record;
    if (is_unset(out, list->len == 0)) {
        return leave_out(out);
    }
    struct reeve_value *value = reeve_value_list();
    for (size_t i = 0; value != NULL && i < list->len; i++) {
        const void *item = (const char *)list->items + i * record->size;
        (void)reeve_value_add(value, encode_object(record, item, out->flags)); /* remembered: reeve_value_built() */
    }
    return value;
}

static struct reeve_value *(*const encoders[])(struct output *out, const void *slot) = {
    [REEVE_FIELD_BOOL] = encode_bool,       [REEVE_FIELD_INT] = encode_int,       [REEVE_FIELD_REAL] = encode_real,
    [REEVE_FIELD_STR] = encode_text,        [REEVE_FIELD_NAME] = encode_text,     [REEVE_FIELD_DURATION] = encode_unit,
    [REEVE_FIELD_SIZE] = encode_unit,       [REEVE_FIELD_CHOICE] = encode_choice, [REEVE_FIELD_STRV] = encode_strv,
    [REEVE_FIELD_MAP] = encode_tree,        [REEVE_FIELD_VALUE] = encode_tree,    [REEVE_FIELD_RECORD] = encode_record,
    [REEVE_FIELD_RECORDS] = encode_records,
};

static struct reeve_value *encode_slot(struct output *out, const void *slot)
{
    return encoders[out->field->type](out, slot);
}

// Keys stay, so that a person sees what is set; everything below a key is one "***".
static struct reeve_value *mask_values(const struct reeve_value *map)
{
    struct reeve_value *masked = reeve_value_map();
    for (size_t i = 0; masked != NULL && i < reeve_value_len(map); i++) {
        reeve_put_str(masked, reeve_value_key(map, i), REEVE_SECRET_TEXT);
    }
    return masked;
}

// Maps keep their keys and mask their values; everything else that is secret is one "***".
static struct reeve_value *encode_shown(struct output *out, const void *slot)
{
    bool hidden = (out->field->flags & REEVE_FIELD_SECRET) != 0 && (out->flags & REEVE_ENCODE_WITH_SECRETS) == 0;
    struct reeve_value *value = encode_slot(out, slot);
    if (!hidden || value == NULL || out->field->type == REEVE_FIELD_MAP) {
        return value;
    }
    bool whole = reeve_value_built(value) == REEVE_OK;
    bool is_map = reeve_value_kind(value) == REEVE_MAP;
    struct reeve_value *shown = !whole ? NULL : is_map ? mask_values(value) : reeve_value_str(REEVE_SECRET_TEXT);
    reeve_value_free(value);
    return shown;
}

static bool complete(const struct reeve_value *value, const struct output *out)
{
    return value == NULL ? out->absent : reeve_value_built(value) == REEVE_OK;
}

// Whether the field says what it says when it is left out. Compared with everything written out, so that
// presets inside presets can't confuse it.
static enum reeve_err equals_preset(const struct reeve_field *field, const void *object, const void *preset, bool *ret)
{
    struct output mine = {.field = field, .flags = REEVE_ENCODE_WITH_SECRETS};
    struct output theirs = mine;
    REEVE_VALUE_AUTO a = encode_slot(&mine, reeve_field_slot_const(field, object));
    REEVE_VALUE_AUTO b = encode_slot(&theirs, reeve_field_slot_const(field, preset));
    if (!complete(a, &mine) || !complete(b, &theirs)) {
        return REEVE_NOMEM;
    }
    *ret = mine.absent == theirs.absent && (a == NULL || reeve_value_equal(a, b));
    return REEVE_OK;
}

// `preset` NULL: nothing is skipped.
static enum reeve_err encode_field(const struct reeve_field *field, const void *object, const void *preset,
                                   unsigned flags, struct reeve_value *map)
{
    bool skip = false;
    struct output out = {.field = field, .flags = flags};
    if (preset != NULL && (field->flags & REEVE_FIELD_REQUIRED) == 0) {
        enum reeve_err err = equals_preset(field, object, preset, &skip);
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (skip) {
        return REEVE_OK;
    }
    struct reeve_value *value = encode_shown(&out, reeve_field_slot_const(field, object));
    return value == NULL && out.absent ? REEVE_OK : reeve_value_put(map, field->name, value);
}

struct preset_object {
    const struct reeve_record *record;
    void *object; // NULL = none
};

static void preset_object_done(struct preset_object *preset)
{
    if (preset->object != NULL) {
        reeve_record_done(preset->record, preset->object);
        reeve_free_auto(&preset->object);
    }
}

static enum reeve_err preset_object_init(struct preset_object *preset)
{
    preset->object = calloc(1, preset->record->size);
    return preset->object != NULL ? reeve_record_preset(preset->record, preset->object) : REEVE_NOMEM;
}

static struct reeve_value *encode_object(const struct reeve_record *record, const void *object, unsigned flags)
{
    __attribute__((cleanup(preset_object_done))) struct preset_object preset = {.record = record};
    REEVE_VALUE_AUTO map = reeve_value_map();
    bool skipping = (flags & REEVE_ENCODE_SKIP_PRESETS) != 0;
    if (map == NULL || (skipping && preset_object_init(&preset) != REEVE_OK)) {
        return NULL;
    }
    for (size_t i = 0; i < record->fields_len; i++) {
        const struct reeve_field *field = &record->fields[i];
        if (field->alias_of == NULL && encode_field(field, object, preset.object, flags, map) != REEVE_OK) {
            return NULL;
        }
    }
    return reeve_value_built(map) == REEVE_OK ? reeve_value_take(&map) : NULL;
}

enum reeve_err reeve_record_encode(const struct reeve_record *record, const void *object, unsigned flags,
                                   struct reeve_value **ret)
{
    struct reeve_value *value = encode_object(record, object, flags);
    if (value == NULL) {
        return REEVE_NOMEM; // the tables are bounded: nothing else can fail
    }
    *ret = value;
    return REEVE_OK;
}
