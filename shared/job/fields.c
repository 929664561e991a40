// Reading a map by its table. The usual message has its keys in the table's order, so that each is found at once.
// Must not: allocate, stop at a wrong value: what comes behind it is read.
#include "fields.h"

#include <reeve/log.h>
#include <reeve/record.h>
#include <reeve/str.h>

#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 32 // the width of struct job_reading
#define NO_FIELD   SIZE_MAX

struct place {
    const char *path; // of the record
    struct reeve_span key;
    struct reeve_why *why;
};

const char *job_quote(struct reeve_span text, char buf[JOB_QUOTED_SIZE])
{
    char copy[JOB_QUOTED_SIZE];
    size_t len = text.len < sizeof(copy) ? text.len : sizeof(copy) - 1;
    if (len > 0) {
        memcpy(copy, text.data, len);
    }
    copy[len] = '\0';
    return reeve_log_quote(copy, buf, JOB_QUOTED_SIZE);
}

static const char *path_of(const struct place *place, char buf[REEVE_PATH_SIZE])
{
    char key[64];
    size_t len = place->key.len < sizeof(key) ? place->key.len : sizeof(key) - 1;
    memcpy(key, place->key.data, len);
    key[len] = '\0';
    return reeve_path_join(buf, place->path, key);
}

static enum reeve_err fail(const struct place *place, enum reeve_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum reeve_err fail(const struct place *place, enum reeve_err err, const char *fmt, ...)
{
    char path[REEVE_PATH_SIZE];
    char text[sizeof(place->why->text)];
    if (place->why == NULL) {
        return err;
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* cut at its bound */
    va_end(ap);
    return reeve_fail_at(place->why, err, path_of(place, path), "%s", text);
}

enum reeve_err job_refuse_kind(struct reeve_cursor *cursor, const char *path, const char *expected,
                               struct reeve_why *why)
{
    const char *given = reeve_kind_text(reeve_cursor_kind(cursor));
    (void)reeve_cursor_skip(cursor); /* what is wrong with its bytes stays in the cursor */
    return reeve_fail_at(why, REEVE_INVALID, path, "%s given, expected %s", given, expected);
}

static enum reeve_err refuse_kind(struct reeve_cursor *cursor, const struct place *place, const char *expected)
{
    char path[REEVE_PATH_SIZE];
    return job_refuse_kind(cursor, place->why != NULL ? path_of(place, path) : "", expected, place->why);
}

// ---- one function per type --------------------------------------------------------------------------------

static bool has_controls(struct reeve_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static enum reeve_err check_text(const struct job_field *field, const struct place *place, struct reeve_span text)
{
    char quoted[JOB_QUOTED_SIZE];
    bool good = true;
    if (field->type == JOB_FIELD_TEXT && ((int64_t)text.len < field->min || (int64_t)text.len > field->max)) {
        return fail(place, REEVE_INVALID, "has %zu bytes, expected %s", text.len, field->expected);
    }
    if (field->type == JOB_FIELD_TEXT) {
        good = !has_controls(text);
    } else if (field->type == JOB_FIELD_ID) {
        good = (int64_t)text.len <= field->max && reeve_job_id_valid(text);
    } else if (field->type == JOB_FIELD_NAME) {
        good = reeve_job_type_valid(text);
    }
    return good ? REEVE_OK : fail(place, REEVE_INVALID, "is %s, expected %s", job_quote(text, quoted), field->expected);
}

static enum reeve_err read_text(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                                void *slot)
{
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return refuse_kind(cursor, place, field->expected);
    }
    struct reeve_span text = reeve_cursor_str(cursor);
    enum reeve_err err = cursor->err == REEVE_OK ? check_text(field, place, text) : cursor->err;
    if (err == REEVE_OK) {
        *(struct reeve_span *)slot = text;
    }
    return err;
}

static enum reeve_err read_int(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                               void *slot)
{
    struct reeve_cursor trial = *cursor;
    int64_t number = reeve_cursor_int(&trial);
    if (trial.err != REEVE_OK) {
        return refuse_kind(cursor, place, field->expected);
    }
    *cursor = trial;
    if (number < field->min || number > field->max) {
        return fail(place, REEVE_INVALID, "is %lld, expected %s", (long long)number, field->expected);
    }
    *(int64_t *)slot = number;
    return REEVE_OK;
}

static enum reeve_err read_real(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                                void *slot)
{
    struct reeve_cursor trial = *cursor;
    double number = reeve_cursor_real(&trial);
    if (trial.err != REEVE_OK) {
        return refuse_kind(cursor, place, field->expected);
    }
    *cursor = trial;
    if (number < (double)field->min || number > (double)field->max) {
        return fail(place, REEVE_INVALID, "is %.12g, expected %s", number, field->expected);
    }
    *(double *)slot = number;
    return REEVE_OK;
}

static enum reeve_err read_bool(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                                void *slot)
{
    (void)field;
    if (reeve_cursor_kind(cursor) != REEVE_BOOL) {
        return refuse_kind(cursor, place, "true or false");
    }
    *(bool *)slot = reeve_cursor_bool(cursor);
    return REEVE_OK;
}

static enum reeve_err read_value(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                                 void *slot)
{
    (void)field;
    struct reeve_cursor trial = *cursor;
    struct reeve_span value = reeve_cursor_skip_within(&trial, REEVE_JOB_VALUE_DEPTH_MAX);
    if (trial.err != REEVE_OK) {
        (void)reeve_cursor_skip(cursor); /* an error of its own is the message's */
        return fail(place, trial.err, "%s (byte %zu), expected at most %d containers in each other", trial.mistake,
                    trial.mistake_at, REEVE_JOB_VALUE_DEPTH_MAX);
    }
    *cursor = trial;
    if (value.len > REEVE_JOB_VALUE_BYTES_MAX) {
        return fail(place, REEVE_LIMIT, "has %zu bytes, at most %u are allowed", value.len, REEVE_JOB_VALUE_BYTES_MAX);
    }
    *(struct reeve_span *)slot = value;
    return REEVE_OK;
}

static enum reeve_err read_list(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                                void *slot)
{
    if (reeve_cursor_kind(cursor) != REEVE_LIST) {
        return refuse_kind(cursor, place, field->expected);
    }
    *(struct reeve_span *)slot = reeve_cursor_skip(cursor);
    return cursor->err;
}

typedef enum reeve_err field_reader(struct reeve_cursor *cursor, const struct job_field *field,
                                    const struct place *place, void *slot);

static field_reader *const readers[] = {
    [JOB_FIELD_TEXT] = read_text, [JOB_FIELD_LINES] = read_text,  [JOB_FIELD_ID] = read_text,
    [JOB_FIELD_NAME] = read_text, [JOB_FIELD_INT] = read_int,     [JOB_FIELD_REAL] = read_real,
    [JOB_FIELD_BOOL] = read_bool, [JOB_FIELD_VALUE] = read_value, [JOB_FIELD_LIST] = read_list,
};

// ---- the map --------------------------------------------------------------------------------------------

// From where the last key was found, once around.
static size_t find_field(const struct job_record *record, struct reeve_span key, size_t from)
{
    for (size_t n = 0; n < record->fields_len; n++) {
        size_t i = from + n < record->fields_len ? from + n : from + n - record->fields_len;
        const struct job_field *field = &record->fields[i];
        if (field->name_len == key.len && memcmp(field->name, key.data, key.len) == 0) {
            return i;
        }
    }
    return NO_FIELD;
}

// `delay` is nearer to delay_ms than counting letters tells.
static const char *near_name(const struct job_record *record, const char *key)
{
    const char *names[FIELDS_MAX + 1] = {NULL};
    char with_unit[72];
    (void)snprintf(with_unit, sizeof(with_unit), "%s_ms", key);
    for (size_t i = 0; i < record->fields_len; i++) {
        names[i] = record->fields[i].name;
        if (strcmp(names[i], with_unit) == 0) {
            return names[i];
        }
    }
    return reeve_near(key, names);
}

static enum reeve_err refuse_unknown(const struct job_record *record, const struct place *place)
{
    char key[64];
    char expected[240];
    size_t at = 0;
    size_t len = place->key.len < sizeof(key) ? place->key.len : sizeof(key) - 1;
    if (place->why == NULL) {
        return REEVE_INVALID;
    }
    memcpy(key, place->key.data, len);
    key[len] = '\0';
    const char *near = near_name(record, key);
    if (near != NULL) {
        return fail(place, REEVE_INVALID, "unknown key, did you mean %s?", near);
    }
    expected[0] = '\0';
    for (size_t i = 0; i < record->fields_len && at < sizeof(expected) - 40; i++) {
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s%s", i == 0 ? "" : " ", record->fields[i].name);
    }
    return fail(place, REEVE_INVALID, "unknown key, expected %s", expected);
}

static enum reeve_err read_field(struct reeve_cursor *cursor, const struct job_field *field, const struct place *place,
                                 void *object)
{
    char path[REEVE_PATH_SIZE];
    if (field->type == JOB_FIELD_OWN) {
        return field->read(cursor, path_of(place, path), object, place->why);
    }
    return readers[field->type](cursor, field, place, (char *)object + field->offset);
}

static enum reeve_err check_required(const struct job_record *record, const char *path, uint32_t given,
                                     struct reeve_why *why)
{
    for (size_t i = 0; i < record->fields_len; i++) {
        const struct job_field *field = &record->fields[i];
        if (field->required && (given & UINT32_C(1) << i) == 0) {
            const struct place place = {path, {field->name, field->name_len}, why};
            return fail(&place, REEVE_INVALID, "is missing, expected %s", field->expected);
        }
    }
    return REEVE_OK;
}

// One key and its value. `index` is where the last one was, and becomes where this one is.
static enum reeve_err read_pair(struct reeve_cursor *cursor, const struct job_record *record, const char *path,
                                void *object, struct job_reading *reading, size_t *index, struct reeve_why *why)
{
    const struct place place = {path, reeve_cursor_str(cursor), why};
    if (cursor->err != REEVE_OK) {
        return cursor->err;
    }
    size_t at = find_field(record, place.key, *index);
    if (at == NO_FIELD) {
        reading->other = reading->other.data == NULL ? place.key : reading->other;
        (void)reeve_cursor_skip(cursor); /* an error of its own is the message's */
        return record->closed ? refuse_unknown(record, &place) : REEVE_OK;
    }
    *index = at + 1;
    uint32_t bit = UINT32_C(1) << at;
    bool twice = (reading->seen & bit) != 0;
    reading->seen |= bit;
    if (twice) {
        (void)reeve_cursor_skip(cursor); /* an error of its own is the message's */
        return fail(&place, REEVE_INVALID, "is given twice");
    }
    if (reeve_cursor_null(cursor)) {
        return REEVE_OK;
    }
    reading->given |= bit;
    return read_field(cursor, &record->fields[at], &place, object);
}

enum reeve_err job_record_read(struct reeve_cursor *cursor, const struct job_record *record, const char *path,
                               void *object, struct job_reading *ret, struct reeve_why *why)
{
    struct job_reading reading = {0};
    enum reeve_err first = REEVE_OK;
    size_t index = 0;
    REEVE_ASSERT(record->fields_len <= FIELDS_MAX);
    if (cursor->err == REEVE_OK && cursor->at != cursor->end && reeve_cursor_kind(cursor) != REEVE_MAP) {
        first = job_refuse_kind(cursor, path, record->what, why);
        return cursor->err == REEVE_OK ? first : reeve_cursor_end(cursor, why);
    }
    for (size_t left = reeve_cursor_map(cursor); left > 0 && cursor->err == REEVE_OK; left--) {
        enum reeve_err err = read_pair(cursor, record, path, object, &reading, &index, first == REEVE_OK ? why : NULL);
        first = first == REEVE_OK ? err : first;
    }
    if (cursor->err != REEVE_OK) {
        return reeve_cursor_end(cursor, why);
    }
    if (ret != NULL) {
        *ret = reading;
    }
    return first == REEVE_OK ? check_required(record, path, reading.given, why) : first;
}

// ---- writing ----------------------------------------------------------------------------------------------

size_t job_map_open(struct reeve_buf *buf)
{
    size_t place = buf->len;
    reeve_pack_map(buf, 0);
    return place;
}

void job_map_close(struct reeve_buf *buf, size_t place, size_t len)
{
    if (buf->err == REEVE_OK) {
        REEVE_ASSERT(place < buf->len && len <= 15);
        buf->data[place] = (char)(0x80 | len);
    }
}
