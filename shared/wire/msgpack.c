// msgpack: a reader that checks the whole message before it allocates, a writer on msgpack-c's packer.
// The reader is our own because msgpack-c's reserves what a header asks for and knows no places.
// Must not: accept a message in part.
#include "reading.h"

#include <math.h>
#include <msgpack.h>
#include <reeve/str.h>
#include <stdio.h>
#include <string.h>

struct reader {
    const unsigned char *data;
    size_t len;
    size_t at;
    const struct reeve_limits *limits;
    size_t values_left;
    const char *source;
    struct reeve_why *why;
};

// What the first byte of a value says (github.com/msgpack/msgpack, spec.md). `width` bytes of number
// follow; with none, the bits of `mask` are the number.
enum what { NIL, TRUTH, UNSIGNED, SIGNED, REAL, STRING, BYTES, LIST, MAP, EXTENSION, RESERVED };

struct form {
    unsigned char first, last;
    unsigned char what; // enum what
    unsigned char width;
    unsigned char mask;
};

static const struct form forms[] = {
    {0xa0, 0xbf, STRING, 0, 0x1f}, {0x00, 0x7f, UNSIGNED, 0, 0x7f}, {0x80, 0x8f, MAP, 0, 0x0f},
    {0x90, 0x9f, LIST, 0, 0x0f},   {0xc0, 0xc0, NIL, 0, 0},         {0xc1, 0xc1, RESERVED, 0, 0},
    {0xc2, 0xc3, TRUTH, 0, 0x01},  {0xc4, 0xc4, BYTES, 1, 0},       {0xc5, 0xc5, BYTES, 2, 0},
    {0xc6, 0xc6, BYTES, 4, 0},     {0xc7, 0xc9, EXTENSION, 0, 0},   {0xca, 0xca, REAL, 4, 0},
    {0xcb, 0xcb, REAL, 8, 0},      {0xcc, 0xcc, UNSIGNED, 1, 0},    {0xcd, 0xcd, UNSIGNED, 2, 0},
    {0xce, 0xce, UNSIGNED, 4, 0},  {0xcf, 0xcf, UNSIGNED, 8, 0},    {0xd0, 0xd0, SIGNED, 1, 0},
    {0xd1, 0xd1, SIGNED, 2, 0},    {0xd2, 0xd2, SIGNED, 4, 0},      {0xd3, 0xd3, SIGNED, 8, 0},
    {0xd4, 0xd8, EXTENSION, 0, 0}, {0xd9, 0xd9, STRING, 1, 0},      {0xda, 0xda, STRING, 2, 0},
    {0xdb, 0xdb, STRING, 4, 0},    {0xdc, 0xdc, LIST, 2, 0},        {0xdd, 0xdd, LIST, 4, 0},
    {0xde, 0xde, MAP, 2, 0},       {0xdf, 0xdf, MAP, 4, 0},         {0xe0, 0xff, SIGNED, 0, 0xff},
};

static const struct form *form_of(unsigned char first)
{
    const struct form *form = forms;
    while (first < form->first || first > form->last) {
        form++; // the rows cover every byte
    }
    return form;
}

// A value's first bytes, taken apart.
struct head {
    const struct form *form;
    uint64_t number; // as it stands; a count, a length or bits
    size_t at;       // of the first byte
};

static enum reeve_err fail_at(const struct reader *reader, enum reeve_err err, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static enum reeve_err fail_at(const struct reader *reader, enum reeve_err err, size_t at, const char *fmt, ...)
{
    char place[sizeof(reader->why->place)];
    char text[sizeof(reader->why->text)];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); // cut at its bound
    va_end(ap);
    const char *source = reader->source;
    (void)snprintf(place, sizeof(place), "%.190s%sbyte %zu", source == NULL ? "" : source, source == NULL ? "" : ":",
                   at);
    return reeve_fail_at(reader->why, err, place, "%s", text);
}

static size_t bytes_left(const struct reader *reader)
{
    return reader->len - reader->at;
}

static enum reeve_err head_read(struct reader *reader, struct head *ret)
{
    if (bytes_left(reader) == 0) {
        return fail_at(reader, REEVE_INVALID, reader->at, "cut short: the message ends where a value is expected");
    }
    struct head head = {.at = reader->at};
    unsigned char first = reader->data[reader->at++];
    head.form = form_of(first);
    if (bytes_left(reader) < head.form->width) {
        return fail_at(reader, REEVE_INVALID, head.at, "cut short: the message ends inside a value's head");
    }
    head.number = first & head.form->mask;
    for (unsigned i = 0; i < head.form->width; i++) {
        head.number = head.number << 8 | reader->data[reader->at++];
    }
    *ret = head;
    return REEVE_OK;
}

// The bits of a SIGNED head as a number; the fixed form is one byte too.
static int64_t head_signed(const struct head *head)
{
    unsigned bits = head->form->width == 0 ? 8 : 8u * head->form->width;
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return (int64_t)((head->number ^ sign) - sign);
}

static double head_real(const struct head *head)
{
    if (head->form->width == sizeof(float)) {
        uint32_t bits = (uint32_t)head->number;
        float real = 0;
        memcpy(&real, &bits, sizeof(real));
        return (double)real;
    }
    double real = 0;
    memcpy(&real, &head->number, sizeof(real));
    return real;
}

// Takes the bytes of a STRING or BYTES.
static enum reeve_err bytes_take(struct reader *reader, const struct head *head, const char **ret)
{
    if (head->number > bytes_left(reader)) {
        return fail_at(reader, REEVE_INVALID, head->at, "cut short: a string of %llu bytes, %zu are left",
                       (unsigned long long)head->number, bytes_left(reader));
    }
    const char *bytes = (const char *)reader->data + reader->at;
    if (head->form->what == STRING && !reeve_utf8_valid(bytes, (size_t)head->number)) {
        return fail_at(reader, REEVE_INVALID, head->at, "the string is not UTF-8 or has a NUL inside");
    }
    reader->at += (size_t)head->number;
    *ret = bytes;
    return REEVE_OK;
}

// Whether a container of this head may be, before anything is made for it.
static enum reeve_err container_check(const struct reader *reader, const struct head *head, unsigned depth)
{
    uint64_t bytes_min = head->form->what == MAP ? head->number * 2 : head->number;
    if (depth >= reeve_limits_depth(reader->limits)) {
        return fail_at(reader, REEVE_LIMIT, head->at, "nested deeper than %u containers",
                       reeve_limits_depth(reader->limits));
    }
    if (head->number > reader->limits->entries_max) {
        return fail_at(reader, REEVE_LIMIT, head->at, "a container of %llu entries, at most %zu are allowed",
                       (unsigned long long)head->number, reader->limits->entries_max);
    }
    if (bytes_min > bytes_left(reader)) {
        return fail_at(reader, REEVE_INVALID, head->at, "cut short: a container of %llu entries, %zu bytes are left",
                       (unsigned long long)head->number, bytes_left(reader));
    }
    return REEVE_OK;
}

// Each reading function runs twice: first with ret == NULL, which checks and makes nothing, then for the tree.
static enum reeve_err value_read(struct reader *reader, unsigned depth, struct reeve_value **ret);

static enum reeve_err list_read(struct reader *reader, const struct head *head, unsigned depth,
                                struct reeve_value **ret)
{
    REEVE_VALUE_AUTO list = ret == NULL ? NULL : reeve_value_list();
    for (uint64_t i = 0; i < head->number; i++) {
        struct reeve_value *item = NULL;
        enum reeve_err err = value_read(reader, depth + 1, ret == NULL ? NULL : &item);
        if (err == REEVE_OK && ret != NULL) {
            err = reeve_value_add(list, item);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (ret != NULL) {
        *ret = reeve_value_take(&list);
    }
    return REEVE_OK;
}

static enum reeve_err key_read(struct reader *reader, struct head *ret_head, const char **ret_key)
{
    enum reeve_err err = head_read(reader, ret_head);
    if (err != REEVE_OK) {
        return err;
    }
    if (ret_head->form->what != STRING) {
        return fail_at(reader, REEVE_INVALID, ret_head->at, "a map's key is no string");
    }
    return bytes_take(reader, ret_head, ret_key);
}

static enum reeve_err entry_read(struct reader *reader, unsigned depth, struct reeve_value *map)
{
    struct head head = {.form = forms};
    const char *key = NULL;
    struct reeve_value *item = NULL;
    enum reeve_err err = key_read(reader, &head, &key);
    if (err == REEVE_OK) {
        err = value_read(reader, depth + 1, map == NULL ? NULL : &item);
    }
    if (err != REEVE_OK || map == NULL) {
        return err;
    }
    struct reeve_mark first = {0};
    err = reeve_value_insert(map, key, (size_t)head.number, (struct reeve_mark){0}, item, &first);
    if (err == REEVE_CONFLICT) {
        char shown[REEVE_SHOWN_SIZE];
        return fail_at(reader, REEVE_INVALID, head.at, "key \"%s\" is given twice",
                       reeve_shown(key, (size_t)head.number, shown));
    }
    return err;
}

static enum reeve_err map_read(struct reader *reader, const struct head *head, unsigned depth, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO map = ret == NULL ? NULL : reeve_value_map();
    if (ret != NULL && map == NULL) {
        return REEVE_NOMEM;
    }
    for (uint64_t i = 0; i < head->number; i++) {
        enum reeve_err err = entry_read(reader, depth, map);
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (ret != NULL) {
        *ret = reeve_value_take(&map);
    }
    return REEVE_OK;
}

static enum reeve_err container_read(struct reader *reader, const struct head *head, unsigned depth,
                                     struct reeve_value **ret)
{
    enum reeve_err err = container_check(reader, head, depth);
    if (err != REEVE_OK) {
        return err;
    }
    return head->form->what == LIST ? list_read(reader, head, depth, ret) : map_read(reader, head, depth, ret);
}

static enum reeve_err text_read(struct reader *reader, const struct head *head, struct reeve_value **ret)
{
    const char *bytes = NULL;
    enum reeve_err err = bytes_take(reader, head, &bytes);
    if (err == REEVE_OK && ret != NULL) {
        size_t len = (size_t)head->number;
        *ret = head->form->what == STRING ? reeve_value_strn(bytes, len) : reeve_value_bin(bytes, len);
    }
    return err;
}

static enum reeve_err scalar_check(const struct reader *reader, const struct head *head)
{
    if (head->form->what == UNSIGNED && head->number > INT64_MAX) {
        return fail_at(reader, REEVE_INVALID, head->at, "the number %llu is above %lld",
                       (unsigned long long)head->number, (long long)INT64_MAX);
    }
    if (head->form->what == REAL && !isfinite(head_real(head))) {
        return fail_at(reader, REEVE_INVALID, head->at, "the number is not finite");
    }
    if (head->form->what == EXTENSION) {
        return fail_at(reader, REEVE_INVALID, head->at, "extension types are not allowed");
    }
    if (head->form->what == RESERVED) {
        return fail_at(reader, REEVE_INVALID, head->at, "0xc1 begins no value");
    }
    return REEVE_OK;
}

static struct reeve_value *scalar_make(const struct head *head)
{
    switch ((enum what)head->form->what) {
    case TRUTH:
        return reeve_value_bool(head->number != 0);
    case UNSIGNED:
        return reeve_value_int((int64_t)head->number);
    case SIGNED:
        return reeve_value_int(head_signed(head));
    case REAL:
        return reeve_value_float(head_real(head));
    case NIL:
    case STRING:
    case BYTES:
    case LIST:
    case MAP:
    case EXTENSION:
    case RESERVED:
        break;
    }
    return reeve_value_null();
}

static enum reeve_err value_read(struct reader *reader, unsigned depth, struct reeve_value **ret)
{
    struct head head = {.form = forms};
    enum reeve_err err = head_read(reader, &head);
    if (err != REEVE_OK) {
        return err;
    }
    if (reader->values_left-- == 0) {
        return fail_at(reader, REEVE_LIMIT, head.at, "more than %zu values in one message",
                       reeve_limits_values(reader->limits));
    }
    if (head.form->what == LIST || head.form->what == MAP) {
        err = container_read(reader, &head, depth, ret);
    } else if (head.form->what == STRING || head.form->what == BYTES) {
        err = text_read(reader, &head, ret);
    } else {
        err = scalar_check(reader, &head);
        if (err == REEVE_OK && ret != NULL) {
            *ret = scalar_make(&head);
        }
    }
    return err == REEVE_OK && ret != NULL && *ret == NULL ? REEVE_NOMEM : err;
}

enum reeve_err reeve_msgpack_read(const void *data, size_t len, const struct reeve_limits *limits, const char *source,
                                  struct reeve_value **ret, struct reeve_why *why)
{
    enum reeve_err err = reeve_limits_bytes(limits, len, source, why);
    if (err != REEVE_OK) {
        return err;
    }
    const struct reader fresh = {.data = data,
                                 .len = len,
                                 .limits = limits,
                                 .values_left = reeve_limits_values(limits),
                                 .source = source,
                                 .why = why};
    struct reader reader = fresh;
    err = value_read(&reader, 0, NULL);
    if (err != REEVE_OK) {
        return err;
    }
    if (bytes_left(&reader) > 0) {
        return fail_at(&reader, REEVE_INVALID, reader.at, "%zu more bytes after the value", bytes_left(&reader));
    }
    reader = fresh;
    struct reeve_value *value = NULL;
    err = value_read(&reader, 0, &value);
    if (err == REEVE_NOMEM) {
        return reeve_fail_at(why, err, source == NULL ? "" : source, "out of memory");
    }
    if (err == REEVE_OK) {
        *ret = value;
    }
    return err;
}

static int buf_sink(void *buf, const char *data, size_t len)
{
    reeve_buf_append(buf, data, len);
    return ((const struct reeve_buf *)buf)->err == REEVE_OK ? 0 : -1;
}

static bool value_pack(const struct reeve_value *value, msgpack_packer *packer);

static bool list_pack(const struct reeve_value *list, msgpack_packer *packer)
{
    size_t len = reeve_value_len(list);
    bool good = msgpack_pack_array(packer, len) == 0;
    for (size_t i = 0; good && i < len; i++) {
        good = value_pack(reeve_value_at(list, i), packer);
    }
    return good;
}

static bool map_pack(const struct reeve_value *map, msgpack_packer *packer)
{
    size_t len = reeve_value_len(map);
    bool good = msgpack_pack_map(packer, len) == 0;
    for (size_t i = 0; good && i < len; i++) {
        const char *key = reeve_value_key(map, i);
        good = msgpack_pack_str_with_body(packer, key, strlen(key)) == 0 && value_pack(reeve_value_at(map, i), packer);
    }
    return good;
}

// False when the buffer refused, which it remembers, or the value has no spelling.
static bool value_pack(const struct reeve_value *value, msgpack_packer *packer)
{
    size_t len = 0;
    const void *data = reeve_value_data(value, &len);
    switch (reeve_value_kind(value)) {
    case REEVE_NULL:
        return msgpack_pack_nil(packer) == 0;
    case REEVE_BOOL:
        return (reeve_value_truth(value, false) ? msgpack_pack_true(packer) : msgpack_pack_false(packer)) == 0;
    case REEVE_INT:
        return msgpack_pack_int64(packer, reeve_value_number(value, 0)) == 0;
    case REEVE_FLOAT:
        return isfinite(reeve_value_real(value, 0)) && msgpack_pack_double(packer, reeve_value_real(value, 0)) == 0;
    case REEVE_STR:
        return msgpack_pack_str_with_body(packer, data, len) == 0;
    case REEVE_BIN:
        return msgpack_pack_bin_with_body(packer, data, len) == 0;
    case REEVE_LIST:
        return list_pack(value, packer);
    case REEVE_MAP:
        return map_pack(value, packer);
    }
    return false;
}

enum reeve_err reeve_msgpack_write(const struct reeve_value *value, struct reeve_buf *buf)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, buf, buf_sink);
    bool good = value_pack(value, &packer);
    if (buf->err != REEVE_OK) {
        return buf->err;
    }
    return good ? REEVE_OK : REEVE_INVALID;
}
