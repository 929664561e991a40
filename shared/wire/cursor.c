// msgpack where it lies: readers that check and move on, writers in shortest forms.
// Refuses what msgpack.c refuses, by the limits of messages; a test compares the two on random bytes.
// Must not: allocate, other than what the buffer grows by.
#include "reading.h"

#include <reeve/cursor.h>
#include <reeve/str.h>

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct head {
    enum reeve_kind kind;
    union {
        int64_t number; // INT, and BOOL as 0 or 1
        double real;
        size_t len; // bytes of STR and BIN, entries of LIST and MAP
    };
    const unsigned char *body; // behind the head
};

void reeve_cursor_fail(struct reeve_cursor *cursor, enum reeve_err err, const char *mistake)
{
    if (cursor->err == REEVE_OK) {
        cursor->err = err;
        cursor->mistake = mistake;
        cursor->mistake_at = (size_t)(cursor->at - cursor->data);
    }
}

// The same for a reader in the middle of something.
static bool fail_at(struct reeve_cursor *cursor, const unsigned char *at, enum reeve_err err, const char *mistake)
{
    cursor->at = at;
    reeve_cursor_fail(cursor, err, mistake);
    return false;
}

// ---- heads --------------------------------------------------------------------------------------------------

static inline uint64_t big_endian(const unsigned char *bytes, unsigned width)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < width; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

static inline int64_t sign_extended(uint64_t bits, unsigned width)
{
    uint64_t sign = UINT64_C(1) << (8 * width - 1);
    return (int64_t)((bits ^ sign) - sign);
}

static bool take_unsigned(struct reeve_cursor *cursor, uint64_t number, struct head *ret)
{
    if (number > INT64_MAX) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, "the number is above 9223372036854775807");
    }
    ret->kind = REEVE_INT;
    ret->number = (int64_t)number;
    return true;
}

static bool take_real(struct reeve_cursor *cursor, uint64_t bits, unsigned width, struct head *ret)
{
    if (width == sizeof(float)) {
        uint32_t half = (uint32_t)bits;
        float real;
        memcpy(&real, &half, sizeof(real));
        ret->real = (double)real;
    } else {
        memcpy(&ret->real, &bits, sizeof(ret->real));
    }
    ret->kind = REEVE_FLOAT;
    return isfinite(ret->real) || fail_at(cursor, cursor->at, REEVE_INVALID, "the number is not finite");
}

// Lengths against what is left, before anybody does anything with them.
static inline bool take_len(struct reeve_cursor *cursor, enum reeve_kind kind, uint64_t len, struct head *ret)
{
    size_t left = (size_t)(cursor->end - ret->body);
    ret->kind = kind;
    ret->len = (size_t)len;
    if (kind < REEVE_LIST) {
        return len <= left || fail_at(cursor, cursor->at, REEVE_INVALID, "cut short: the text is longer than the rest");
    }
    if (len > reeve_limits_wire.entries_max) {
        return fail_at(cursor, cursor->at, REEVE_LIMIT, "a container of more than 4096 entries");
    }
    uint64_t least = kind == REEVE_MAP ? 2 * len : len;
    return least <= left ||
           fail_at(cursor, cursor->at, REEVE_INVALID, "cut short: the container has more entries than bytes are left");
}

// Heads of one byte and `width` bytes behind it.
static bool wide_head(struct reeve_cursor *cursor, unsigned char first, struct head *ret)
{
    static const unsigned char widths[] = {
        [0xc4 - 0xc0] = 1, [0xc5 - 0xc0] = 2, [0xc6 - 0xc0] = 4, [0xca - 0xc0] = 4, [0xcb - 0xc0] = 8,
        [0xcc - 0xc0] = 1, [0xcd - 0xc0] = 2, [0xce - 0xc0] = 4, [0xcf - 0xc0] = 8, [0xd0 - 0xc0] = 1,
        [0xd1 - 0xc0] = 2, [0xd2 - 0xc0] = 4, [0xd3 - 0xc0] = 8, [0xd9 - 0xc0] = 1, [0xda - 0xc0] = 2,
        [0xdb - 0xc0] = 4, [0xdc - 0xc0] = 2, [0xdd - 0xc0] = 4, [0xde - 0xc0] = 2, [0xdf - 0xc0] = 4,
    };
    unsigned width = widths[first - 0xc0];
    if ((size_t)(cursor->end - ret->body) < width) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, "cut short: the message ends inside a value's head");
    }
    uint64_t bits = big_endian(ret->body, width);
    ret->body += width;
    switch (first) {
    case 0xc0:
        ret->kind = REEVE_NULL;
        return true;
    case 0xc2:
    case 0xc3:
        ret->kind = REEVE_BOOL;
        ret->number = first & 1;
        return true;
    case 0xc4 ... 0xc6:
        return take_len(cursor, REEVE_BIN, bits, ret);
    case 0xca:
    case 0xcb:
        return take_real(cursor, bits, width, ret);
    case 0xcc ... 0xcf:
        return take_unsigned(cursor, bits, ret);
    case 0xd0 ... 0xd3:
        ret->kind = REEVE_INT;
        ret->number = sign_extended(bits, width);
        return true;
    case 0xd9 ... 0xdb:
        return take_len(cursor, REEVE_STR, bits, ret);
    case 0xdc:
    case 0xdd:
        return take_len(cursor, REEVE_LIST, bits, ret);
    case 0xde:
    case 0xdf:
        return take_len(cursor, REEVE_MAP, bits, ret);
    case 0xc1:
        return fail_at(cursor, cursor->at, REEVE_INVALID, "0xc1 begins no value");
    default: // 0xc7..0xc9, 0xd4..0xd8
        return fail_at(cursor, cursor->at, REEVE_INVALID, "extension types are not allowed");
    }
}

// What stands at the cursor, which stays. False when the cursor has failed.
static inline bool head_at(struct reeve_cursor *cursor, struct head *ret)
{
    if (cursor->at == cursor->end) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, "cut short: the message ends where a value is expected");
    }
    unsigned char first = *cursor->at;
    ret->body = cursor->at + 1;
    if (first < 0x80 || first >= 0xe0) {
        ret->kind = REEVE_INT;
        ret->number = (signed char)first;
        return true;
    }
    if (first >= 0xc0) {
        return wide_head(cursor, first, ret);
    }
    if (first >= 0xa0) {
        return take_len(cursor, REEVE_STR, first & 0x1f, ret);
    }
    return take_len(cursor, first < 0x90 ? REEVE_MAP : REEVE_LIST, first & 0x0f, ret);
}

// ---- reading ------------------------------------------------------------------------------------------------

// The head of a value of this kind, past which the cursor then is.
static inline bool take(struct reeve_cursor *cursor, enum reeve_kind kind, const char *expected, struct head *ret)
{
    if (cursor->err != REEVE_OK || !head_at(cursor, ret)) {
        return false;
    }
    if (ret->kind != kind) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, expected);
    }
    cursor->at = ret->body;
    return true;
}

size_t reeve_cursor_map(struct reeve_cursor *cursor)
{
    struct head head;
    return take(cursor, REEVE_MAP, "this is no map", &head) ? head.len : 0;
}

size_t reeve_cursor_list(struct reeve_cursor *cursor)
{
    struct head head;
    return take(cursor, REEVE_LIST, "this is no list", &head) ? head.len : 0;
}

static inline bool text_valid(struct reeve_cursor *cursor, const struct head *head)
{
    return reeve_utf8_valid((const char *)head->body, head->len) ||
           fail_at(cursor, cursor->at, REEVE_INVALID, "the text is not UTF-8 or has a NUL inside");
}

struct reeve_span reeve_cursor_str(struct reeve_cursor *cursor)
{
    struct head head;
    if (cursor->err != REEVE_OK || !head_at(cursor, &head)) {
        return (struct reeve_span){0};
    }
    if (head.kind != REEVE_STR) {
        (void)fail_at(cursor, cursor->at, REEVE_INVALID, "this is no text"); /* false */
        return (struct reeve_span){0};
    }
    if (!text_valid(cursor, &head)) {
        return (struct reeve_span){0};
    }
    cursor->at = head.body + head.len;
    return (struct reeve_span){(const char *)head.body, head.len};
}

int64_t reeve_cursor_int(struct reeve_cursor *cursor)
{
    struct head head;
    if (cursor->err != REEVE_OK || !head_at(cursor, &head)) {
        return 0;
    }
    // 2^63 is a double, INT64_MAX is none.
    if (head.kind == REEVE_FLOAT && head.real >= -0x1p63 && head.real < 0x1p63 &&
        head.real == (double)(int64_t)head.real) {
        head.kind = REEVE_INT;
        head.number = (int64_t)head.real;
    }
    if (head.kind != REEVE_INT) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, "this is no whole number");
    }
    cursor->at = head.body;
    return head.number;
}

double reeve_cursor_real(struct reeve_cursor *cursor)
{
    struct head head;
    if (cursor->err != REEVE_OK || !head_at(cursor, &head)) {
        return 0;
    }
    if (head.kind != REEVE_INT && head.kind != REEVE_FLOAT) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, "this is no number");
    }
    cursor->at = head.body;
    return head.kind == REEVE_INT ? (double)head.number : head.real;
}

bool reeve_cursor_bool(struct reeve_cursor *cursor)
{
    struct head head;
    return take(cursor, REEVE_BOOL, "this is neither true nor false", &head) && head.number != 0;
}

enum reeve_kind reeve_cursor_kind(const struct reeve_cursor *cursor)
{
    static const unsigned char kinds[] = {
        [0x00] = REEVE_NULL, [0x02] = REEVE_BOOL,  [0x03] = REEVE_BOOL,  [0x04] = REEVE_BIN, [0x05] = REEVE_BIN,
        [0x06] = REEVE_BIN,  [0x0a] = REEVE_FLOAT, [0x0b] = REEVE_FLOAT, [0x0c] = REEVE_INT, [0x0d] = REEVE_INT,
        [0x0e] = REEVE_INT,  [0x0f] = REEVE_INT,   [0x10] = REEVE_INT,   [0x11] = REEVE_INT, [0x12] = REEVE_INT,
        [0x13] = REEVE_INT,  [0x19] = REEVE_STR,   [0x1a] = REEVE_STR,   [0x1b] = REEVE_STR, [0x1c] = REEVE_LIST,
        [0x1d] = REEVE_LIST, [0x1e] = REEVE_MAP,   [0x1f] = REEVE_MAP,
    };
    unsigned char first = cursor->err == REEVE_OK && cursor->at != cursor->end ? *cursor->at : 0xc0;
    if (first < 0x80 || first >= 0xe0) {
        return REEVE_INT;
    }
    if (first >= 0xc0) {
        return (enum reeve_kind)kinds[first - 0xc0];
    }
    return first >= 0xa0 ? REEVE_STR : first >= 0x90 ? REEVE_LIST : REEVE_MAP;
}

bool reeve_cursor_null(struct reeve_cursor *cursor)
{
    if (cursor->err != REEVE_OK || cursor->at == cursor->end || *cursor->at != 0xc0) {
        return false;
    }
    cursor->at++;
    return true;
}

// ---- skipping -----------------------------------------------------------------------------------------------

struct walk {
    unsigned depth_max;
    size_t values_left;
    bool known; // all of it was walked before: keys need not be compared again
};

#define KEYS_SMALL 16 // keys of a map that are compared each with each

static bool value_skip(struct reeve_cursor *cursor, struct walk *walk, unsigned depth);

static bool key_skip(struct reeve_cursor *cursor, struct reeve_span *ret)
{
    struct head head;
    if (!head_at(cursor, &head)) {
        return false;
    }
    if (head.kind != REEVE_STR) {
        return fail_at(cursor, cursor->at, REEVE_INVALID, "a map's key is no text");
    }
    if (!text_valid(cursor, &head)) {
        return false;
    }
    *ret = (struct reeve_span){(const char *)head.body, head.len};
    cursor->at = head.body + head.len;
    return true;
}

static bool fail_twice(struct reeve_cursor *cursor, const unsigned char *at)
{
    return fail_at(cursor, at, REEVE_INVALID, "a key is given twice");
}

struct key {
    uint32_t at, len; // of its text in the message, which is of at most 4 GiB
};

static int compare_keys(const void *a, const void *b, void *data)
{
    const struct key *left = a;
    const struct key *right = b;
    int order = left->len == right->len
                    ? memcmp((const char *)data + left->at, (const char *)data + right->at, left->len)
                    : (left->len > right->len) - (left->len < right->len);
    return order != 0 ? order : (left->at > right->at) - (left->at < right->at);
}

// Of a large map that was walked, from its first key: sorted, so that nobody can prepare keys that take long.
__attribute__((noinline)) static bool keys_differ(struct reeve_cursor *cursor, const struct head *head)
{
    struct key keys[4096];
    struct reeve_cursor again = {.data = cursor->data, .at = head->body, .end = cursor->end};
    struct walk walk = {.depth_max = UINT_MAX, .values_left = SIZE_MAX, .known = true};
    REEVE_ASSERT(head->len <= REEVE_ARRAY_LEN(keys));
    for (size_t i = 0; i < head->len; i++) {
        struct reeve_span key = {0};
        bool good = key_skip(&again, &key) && value_skip(&again, &walk, 0);
        REEVE_ASSERT(good);
        keys[i] = (struct key){(uint32_t)((const unsigned char *)key.data - cursor->data), (uint32_t)key.len};
    }
    qsort_r(keys, head->len, sizeof(keys[0]), compare_keys, (void *)(uintptr_t)cursor->data);
    for (size_t i = 1; i < head->len; i++) {
        const char *text = (const char *)cursor->data;
        if (keys[i].len == keys[i - 1].len && memcmp(text + keys[i].at, text + keys[i - 1].at, keys[i].len) == 0) {
            return fail_twice(cursor, cursor->data + keys[i].at);
        }
    }
    return true;
}

static bool map_skip(struct reeve_cursor *cursor, struct walk *walk, const struct head *head, unsigned depth)
{
    struct reeve_span keys[KEYS_SMALL];
    bool compare = !walk->known && head->len <= KEYS_SMALL;
    for (size_t i = 0; i < head->len; i++) {
        const unsigned char *at = cursor->at;
        struct reeve_span key;
        if (!key_skip(cursor, &key)) {
            return false;
        }
        for (size_t earlier = 0; compare && earlier < i; earlier++) {
            if (reeve_span_eq(keys[earlier], key)) {
                return fail_twice(cursor, at);
            }
        }
        if (compare) {
            keys[i] = key;
        }
        if (!value_skip(cursor, walk, depth + 1)) {
            return false;
        }
    }
    return walk->known || compare || keys_differ(cursor, head);
}

static bool list_skip(struct reeve_cursor *cursor, struct walk *walk, const struct head *head, unsigned depth)
{
    for (size_t i = 0; i < head->len; i++) {
        if (!value_skip(cursor, walk, depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool container_skip(struct reeve_cursor *cursor, struct walk *walk, const struct head *head, unsigned depth)
{
    if (depth >= walk->depth_max) {
        return fail_at(cursor, cursor->at, REEVE_LIMIT, "nested too deep");
    }
    cursor->at = head->body;
    return head->kind == REEVE_MAP ? map_skip(cursor, walk, head, depth) : list_skip(cursor, walk, head, depth);
}

static bool value_skip(struct reeve_cursor *cursor, struct walk *walk, unsigned depth)
{
    struct head head;
    if (!head_at(cursor, &head)) {
        return false;
    }
    if (walk->values_left-- == 0) {
        return fail_at(cursor, cursor->at, REEVE_LIMIT, "too many values in one message");
    }
    if (head.kind >= REEVE_LIST) {
        return container_skip(cursor, walk, &head, depth);
    }
    if (head.kind == REEVE_STR && !text_valid(cursor, &head)) {
        return false;
    }
    cursor->at = head.kind == REEVE_STR || head.kind == REEVE_BIN ? head.body + head.len : head.body;
    return true;
}

struct reeve_span reeve_cursor_skip_within(struct reeve_cursor *cursor, unsigned depth_max)
{
    const unsigned char *from = cursor->at;
    struct walk walk = {.depth_max = depth_max, .values_left = reeve_limits_values(&reeve_limits_wire)};
    if (cursor->err != REEVE_OK || !value_skip(cursor, &walk, 0)) {
        return (struct reeve_span){0};
    }
    return (struct reeve_span){(const char *)from, (size_t)(cursor->at - from)};
}

struct reeve_span reeve_cursor_skip(struct reeve_cursor *cursor)
{
    return reeve_cursor_skip_within(cursor, reeve_limits_depth(&reeve_limits_wire));
}

enum reeve_err reeve_cursor_end(struct reeve_cursor *cursor, struct reeve_why *why)
{
    if (cursor->err == REEVE_OK && cursor->at != cursor->end) {
        reeve_cursor_fail(cursor, REEVE_INVALID, "there is more behind the value");
    }
    if (cursor->err == REEVE_OK) {
        return REEVE_OK;
    }
    char place[32];
    (void)snprintf(place, sizeof(place), "byte %zu", cursor->mistake_at);
    return reeve_fail_at(why, cursor->err, place, "%s", cursor->mistake);
}

// ---- writing ------------------------------------------------------------------------------------------------

// Room for `more` bytes (and the NUL) when the buffer has it already: the usual case, without a call.
static inline unsigned char *room(struct reeve_buf *buf, size_t more)
{
    if (buf->err != REEVE_OK || buf->cap <= buf->len || more >= buf->cap - buf->len) {
        return NULL;
    }
    unsigned char *at = (unsigned char *)buf->data + buf->len;
    at[more] = '\0';
    buf->len += more;
    return at;
}

static inline void put(struct reeve_buf *buf, const unsigned char *bytes, size_t len)
{
    unsigned char *at = room(buf, len);
    if (at != NULL) {
        memcpy(at, bytes, len);
    } else {
        reeve_buf_append(buf, bytes, len);
    }
}

static inline void put_byte(struct reeve_buf *buf, unsigned byte)
{
    const unsigned char bytes[] = {(unsigned char)byte};
    put(buf, bytes, 1);
}

// A first byte and `width` bytes of number.
static void put_wide(struct reeve_buf *buf, unsigned first, uint64_t number, unsigned width)
{
    unsigned char bytes[9] = {(unsigned char)first};
    for (unsigned i = 0; i < width; i++) {
        bytes[1 + i] = (unsigned char)(number >> 8 * (width - 1 - i));
    }
    put(buf, bytes, 1 + width);
}

// A length: in the first byte, or behind `first` in 2 or 4 bytes (`first` + 1). Buffers are far below 4 GiB.
static void put_len(struct reeve_buf *buf, unsigned fixed, size_t fixed_max, unsigned first, size_t len)
{
    if (len <= fixed_max) {
        put_byte(buf, fixed | (unsigned)len);
    } else if (len <= UINT16_MAX) {
        put_wide(buf, first, len, 2);
    } else if (len <= UINT32_MAX) {
        put_wide(buf, first + 1, len, 4);
    } else if (buf->err == REEVE_OK) {
        buf->err = REEVE_LIMIT;
    }
}

void reeve_pack_map(struct reeve_buf *buf, size_t len)
{
    put_len(buf, 0x80, 15, 0xde, len);
}

void reeve_pack_list(struct reeve_buf *buf, size_t len)
{
    put_len(buf, 0x90, 15, 0xdc, len);
}

static void put_str(struct reeve_buf *buf, const char *text, size_t len)
{
    if (len > 31 && len <= UINT8_MAX) {
        put_wide(buf, 0xd9, len, 1);
    } else {
        put_len(buf, 0xa0, 31, 0xda, len);
    }
    if (len > 0) {
        put(buf, (const unsigned char *)text, len);
    }
}

void reeve_pack_str(struct reeve_buf *buf, const char *text)
{
    reeve_pack_span(buf, (struct reeve_span){text, strlen(text)});
}

void reeve_pack_span(struct reeve_buf *buf, struct reeve_span text)
{
    if (reeve_utf8_valid(text.data, text.len)) {
        put_str(buf, text.data, text.len);
        return;
    }
    // Text of others, such as a program's last words: value.c mends it.
    size_t len = 0;
    REEVE_VALUE_AUTO mended = reeve_value_strn(text.data, text.len);
    const char *data = reeve_value_data(mended, &len);
    if (data != NULL) {
        put_str(buf, data, len);
    } else if (buf->err == REEVE_OK) {
        buf->err = REEVE_NOMEM;
    }
}

void reeve_pack_int(struct reeve_buf *buf, int64_t number)
{
    uint64_t bits = (uint64_t)number;
    if (number >= -32 && number <= INT8_MAX) {
        put_byte(buf, (unsigned char)bits);
    } else if (number >= 0) {
        if (number <= UINT8_MAX) {
            put_wide(buf, 0xcc, bits, 1);
        } else if (number <= UINT16_MAX) {
            put_wide(buf, 0xcd, bits, 2);
        } else if (number <= UINT32_MAX) {
            put_wide(buf, 0xce, bits, 4);
        } else {
            put_wide(buf, 0xcf, bits, 8);
        }
    } else if (number >= INT8_MIN) {
        put_wide(buf, 0xd0, bits, 1);
    } else if (number >= INT16_MIN) {
        put_wide(buf, 0xd1, bits, 2);
    } else if (number >= INT32_MIN) {
        put_wide(buf, 0xd2, bits, 4);
    } else {
        put_wide(buf, 0xd3, bits, 8);
    }
}

void reeve_pack_real(struct reeve_buf *buf, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    if (isfinite(number)) {
        put_wide(buf, 0xcb, bits, 8);
    } else if (buf->err == REEVE_OK) {
        buf->err = REEVE_INVALID;
    }
}

void reeve_pack_bool(struct reeve_buf *buf, bool on)
{
    put_byte(buf, on ? 0xc3 : 0xc2);
}

void reeve_pack_null(struct reeve_buf *buf)
{
    put_byte(buf, 0xc0);
}

void reeve_pack_raw(struct reeve_buf *buf, struct reeve_span msgpack)
{
    if (msgpack.len > 0) {
        put(buf, (const unsigned char *)msgpack.data, msgpack.len);
    } else {
        reeve_pack_null(buf);
    }
}

static size_t open_container(struct reeve_buf *buf, unsigned first)
{
    size_t place = buf->len;
    put_wide(buf, first, 0, 4);
    return place;
}

size_t reeve_pack_list_open(struct reeve_buf *buf)
{
    return open_container(buf, 0xdd);
}

size_t reeve_pack_map_open(struct reeve_buf *buf)
{
    return open_container(buf, 0xdf);
}

void reeve_pack_list_close(struct reeve_buf *buf, size_t place, size_t len)
{
    if (buf->err != REEVE_OK) {
        return; // what `place` pointed at may never have been written
    }
    REEVE_ASSERT(buf->len >= 5 && place <= buf->len - 5);
    for (unsigned i = 0; i < 4; i++) {
        buf->data[place + 1 + i] = (char)(len >> 8 * (3 - i));
    }
}
