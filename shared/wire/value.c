// The value tree: one allocation per value, an array per container, a sorted index for large maps.
// Every STR and every key is UTF-8 without NUL, whoever made it, so that what is written can be read.
// Must not: know any format, or bound anything but the size of one container.
#include "reading.h"

#include <reeve/str.h>
#include <reeve/value.h>
#include <stdlib.h>
#include <string.h>

// Far above any message; keeps counts in 32 bits.
#define ENTRIES_MAX   (1u << 20)
#define ENTRIES_FIRST 4u
// Up to here comparing all keys is as fast as a search.
#define LINEAR_MAX 16u

// The head of each kind. INT, FLOAT, BOOL, texts and containers continue it.
struct reeve_value {
    uint8_t kind;
    uint8_t err; // containers: the first failure of building
    struct reeve_mark mark;
    uint32_t len; // entries, or bytes of STR and BIN
};

struct number {
    struct reeve_value head;
    union {
        int64_t whole;
        double real;
    };
};

struct text {
    struct reeve_value head;
    char bytes[]; // len + 1
};

struct list {
    struct reeve_value head;
    uint32_t cap;
    struct reeve_value **items;
};

struct entry {
    char *key;
    struct reeve_value *item;
    struct reeve_mark mark; // of the key
};

struct map {
    struct reeve_value head;
    uint32_t cap;
    struct entry *entries; // in the order of insertion
    // cap indexes of entries, sorted by key, from LINEAR_MAX entries on. Sorted rather than hashed: no
    // choice of keys makes it slow, and moving 4 bytes per entry is cheap at the sizes that are allowed.
    uint32_t *order;
};

static const char *const kind_texts[] = {
    [REEVE_NULL] = "nothing", [REEVE_BOOL] = "true or false", [REEVE_INT] = "whole number", [REEVE_FLOAT] = "number",
    [REEVE_STR] = "string",   [REEVE_BIN] = "bytes",          [REEVE_LIST] = "list",        [REEVE_MAP] = "map",
};

const char *reeve_kind_text(enum reeve_kind kind)
{
    return (size_t)kind < REEVE_ARRAY_LEN(kind_texts) ? kind_texts[kind] : "nothing";
}

enum reeve_kind reeve_value_kind(const struct reeve_value *value)
{
    return value == NULL ? REEVE_NULL : (enum reeve_kind)value->kind;
}

static bool is(const struct reeve_value *value, enum reeve_kind kind)
{
    return value != NULL && value->kind == kind;
}

static const struct list *as_list(const struct reeve_value *value)
{
    return (const struct list *)value;
}

static const struct map *as_map(const struct reeve_value *value)
{
    return (const struct map *)value;
}

static struct reeve_value *value_new(enum reeve_kind kind, size_t size)
{
    struct reeve_value *value = calloc(1, size);
    if (value != NULL) {
        value->kind = (uint8_t)kind;
    }
    return value;
}

struct reeve_value *reeve_value_null(void)
{
    return value_new(REEVE_NULL, sizeof(struct reeve_value));
}

struct reeve_value *reeve_value_bool(bool on)
{
    struct reeve_value *value = value_new(REEVE_BOOL, sizeof(struct number));
    if (value != NULL) {
        ((struct number *)value)->whole = on;
    }
    return value;
}

struct reeve_value *reeve_value_int(int64_t number)
{
    struct reeve_value *value = value_new(REEVE_INT, sizeof(struct number));
    if (value != NULL) {
        ((struct number *)value)->whole = number;
    }
    return value;
}

struct reeve_value *reeve_value_float(double number)
{
    struct reeve_value *value = value_new(REEVE_FLOAT, sizeof(struct number));
    if (value != NULL) {
        ((struct number *)value)->real = number;
    }
    return value;
}

// The bytes of the UTF-8 character that `text` begins with, 0 when there is none.
static size_t char_len(const char *text, size_t len)
{
    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if (reeve_utf8_valid(text, n)) {
            return n;
        }
    }
    return 0;
}

// Copies `from`, with U+FFFD for each byte that is no part of UTF-8 and for NUL. Returns the length;
// `to` may be NULL to learn it.
static size_t text_mend(char *to, const char *from, size_t len)
{
    static const char stand_in[] = "\xef\xbf\xbd";
    size_t out = 0;
    for (size_t at = 0; at < len;) {
        size_t n = char_len(from + at, len - at);
        const char *piece = n > 0 ? from + at : stand_in;
        size_t piece_len = n > 0 ? n : sizeof(stand_in) - 1;
        if (to != NULL) {
            memcpy(to + out, piece, piece_len);
        }
        out += piece_len;
        at += n > 0 ? n : 1;
    }
    return out;
}

static struct text *text_new(enum reeve_kind kind, size_t len)
{
    if (len >= UINT32_MAX) {
        return NULL;
    }
    struct text *text = (struct text *)value_new(kind, sizeof(struct text) + len + 1);
    if (text != NULL) {
        text->head.len = (uint32_t)len;
    }
    return text;
}

struct reeve_value *reeve_value_strn(const char *text, size_t len)
{
    bool whole = reeve_utf8_valid(text, len);
    struct text *value = text_new(REEVE_STR, whole ? len : text_mend(NULL, text, len));
    if (value == NULL) {
        return NULL;
    }
    if (!whole) {
        (void)text_mend(value->bytes, text, len); // its length is known from the first pass
    } else if (len > 0) {
        memcpy(value->bytes, text, len);
    }
    return &value->head;
}

struct reeve_value *reeve_value_str(const char *text)
{
    return text == NULL ? reeve_value_null() : reeve_value_strn(text, strlen(text));
}

struct reeve_value *reeve_value_bin(const void *data, size_t len)
{
    struct text *value = text_new(REEVE_BIN, len);
    if (value == NULL) {
        return NULL;
    }
    if (len > 0) {
        memcpy(value->bytes, data, len);
    }
    return &value->head;
}

struct reeve_value *reeve_value_list(void)
{
    return value_new(REEVE_LIST, sizeof(struct list));
}

struct reeve_value *reeve_value_map(void)
{
    return value_new(REEVE_MAP, sizeof(struct map));
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->head.len; i++) {
        reeve_value_free(list->items[i]);
    }
    free(list->items);
}

static void map_free(struct map *map)
{
    for (size_t i = 0; i < map->head.len; i++) {
        free(map->entries[i].key);
        reeve_value_free(map->entries[i].item);
    }
    free(map->entries);
    free(map->order);
}

void reeve_value_free(struct reeve_value *value)
{
    if (is(value, REEVE_LIST)) {
        list_free((struct list *)value);
    } else if (is(value, REEVE_MAP)) {
        map_free((struct map *)value);
    }
    free(value);
}

void reeve_value_freep(struct reeve_value **value)
{
    reeve_value_free(*value);
}

struct reeve_value *reeve_value_take(struct reeve_value **value)
{
    struct reeve_value *taken = *value;
    *value = NULL;
    return taken;
}

// Remembers the first failure of a container.
static enum reeve_err failed(struct reeve_value *container, enum reeve_err err)
{
    if (container != NULL && container->err == REEVE_OK) {
        container->err = (uint8_t)err;
    }
    return err;
}

static uint32_t cap_next(uint32_t cap)
{
    return cap == 0 ? ENTRIES_FIRST : cap * 2;
}

static enum reeve_err list_grow(struct list *list)
{
    if (list->head.len < list->cap) {
        return REEVE_OK;
    }
    if (list->cap >= ENTRIES_MAX) {
        return REEVE_LIMIT;
    }
    uint32_t cap = cap_next(list->cap);
    struct reeve_value **items = reallocarray(list->items, cap, sizeof(struct reeve_value *));
    if (items == NULL) {
        return REEVE_NOMEM;
    }
    list->items = items;
    list->cap = cap;
    return REEVE_OK;
}

enum reeve_err reeve_value_add(struct reeve_value *list, struct reeve_value *item)
{
    REEVE_ASSERT(list == NULL || is(list, REEVE_LIST));
    struct list *self = (struct list *)list;
    enum reeve_err err = list == NULL || item == NULL ? REEVE_NOMEM : list_grow(self);
    if (err != REEVE_OK) {
        reeve_value_free(item);
        return failed(list, err);
    }
    self->items[list->len++] = item;
    return REEVE_OK;
}

// The place of `key` in `order`: of the entry that has it, or where it would be put. *ret_found tells which.
static size_t order_search(const struct map *map, const char *key, bool *ret_found)
{
    size_t low = 0;
    size_t high = map->head.len;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int side = strcmp(map->entries[map->order[middle]].key, key);
        if (side == 0) {
            *ret_found = true;
            return middle;
        }
        if (side < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct entry *map_find(const struct map *map, const char *key)
{
    if (map->order != NULL) {
        bool found = false;
        size_t at = order_search(map, key, &found);
        return found ? &map->entries[map->order[at]] : NULL;
    }
    for (size_t i = 0; i < map->head.len; i++) {
        const char *own = map->entries[i].key;
        if (own[0] == key[0] && strcmp(own, key) == 0) { // the first byte tells most apart, without a call
            return &map->entries[i];
        }
    }
    return NULL;
}

static _Thread_local const struct map *sorting; // qsort() passes no context

static int entry_compare(const void *a, const void *b)
{
    return strcmp(sorting->entries[*(const uint32_t *)a].key, sorting->entries[*(const uint32_t *)b].key);
}

static void order_fill(struct map *map)
{
    for (uint32_t i = 0; i < map->head.len; i++) {
        map->order[i] = i;
    }
    sorting = map;
    qsort(map->order, map->head.len, sizeof(*map->order), entry_compare);
    sorting = NULL;
}

static enum reeve_err map_grow(struct map *map)
{
    if (map->head.len < map->cap) {
        return REEVE_OK;
    }
    if (map->cap >= ENTRIES_MAX) {
        return REEVE_LIMIT;
    }
    uint32_t cap = cap_next(map->cap);
    struct entry *entries = reallocarray(map->entries, cap, sizeof(*entries));
    if (entries == NULL) {
        return REEVE_NOMEM;
    }
    map->entries = entries;
    if (cap > LINEAR_MAX) {
        bool first = map->order == NULL;
        uint32_t *order = reallocarray(map->order, cap, sizeof(*order));
        if (order == NULL) {
            return REEVE_NOMEM;
        }
        map->order = order;
        if (first) {
            order_fill(map);
        }
    }
    map->cap = cap;
    return REEVE_OK;
}

static void map_append(struct map *map, struct entry entry)
{
    if (map->order != NULL) {
        bool found = false;
        size_t at = order_search(map, entry.key, &found);
        memmove(&map->order[at + 1], &map->order[at], (map->head.len - at) * sizeof(*map->order));
        map->order[at] = map->head.len;
    }
    map->entries[map->head.len++] = entry;
}

static char *key_new(const char *key, size_t len)
{
    bool whole = reeve_utf8_valid(key, len);
    size_t out = whole ? len : text_mend(NULL, key, len);
    char *copy = malloc(out + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (!whole) {
        (void)text_mend(copy, key, len); // its length is known from the first pass
    } else if (len > 0) {
        memcpy(copy, key, len);
    }
    copy[out] = '\0';
    return copy;
}

enum reeve_err reeve_value_insert(struct reeve_value *map, const char *key, size_t key_len, struct reeve_mark mark,
                                  struct reeve_value *item, struct reeve_mark *ret_first)
{
    REEVE_ASSERT(map == NULL || is(map, REEVE_MAP));
    struct map *self = (struct map *)map;
    REEVE_AUTO_FREE char *copy = key_new(key, key_len);
    REEVE_VALUE_AUTO owned = item;
    if (map == NULL || item == NULL || copy == NULL) {
        return failed(map, REEVE_NOMEM);
    }
    const struct entry *earlier = map_find(self, copy);
    if (earlier != NULL) {
        *ret_first = earlier->mark;
        return REEVE_CONFLICT;
    }
    enum reeve_err err = map_grow(self);
    if (err != REEVE_OK) {
        return failed(map, err);
    }
    map_append(self, (struct entry){.key = copy, .item = reeve_value_take(&owned), .mark = mark});
    copy = NULL;
    return REEVE_OK;
}

enum reeve_err reeve_value_put(struct reeve_value *map, const char *key, struct reeve_value *item)
{
    REEVE_ASSERT(map == NULL || is(map, REEVE_MAP));
    struct entry *earlier = map == NULL ? NULL : map_find((struct map *)map, key);
    if (earlier != NULL && item != NULL) {
        reeve_value_free(earlier->item);
        earlier->item = item;
        return REEVE_OK;
    }
    struct reeve_mark first = {0};
    return reeve_value_insert(map, key, strlen(key), (struct reeve_mark){0}, item, &first);
}

bool reeve_value_remove(struct reeve_value *map, const char *key)
{
    if (!is(map, REEVE_MAP)) {
        return false;
    }
    struct map *self = (struct map *)map;
    struct entry *entry = map_find(self, key);
    if (entry == NULL) {
        return false;
    }
    free(entry->key);
    reeve_value_free(entry->item);
    size_t after = (size_t)(self->entries + map->len - (entry + 1));
    memmove(entry, entry + 1, after * sizeof(*entry));
    map->len--;
    if (self->order != NULL) {
        order_fill(self);
    }
    return true;
}

enum reeve_err reeve_value_built(const struct reeve_value *value)
{
    if (value == NULL) {
        return REEVE_NOMEM;
    }
    if (value->err != REEVE_OK) {
        return (enum reeve_err)value->err;
    }
    size_t len = is(value, REEVE_LIST) || is(value, REEVE_MAP) ? value->len : 0;
    for (size_t i = 0; i < len; i++) {
        enum reeve_err err = reeve_value_built(reeve_value_at(value, i));
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}

static struct reeve_value *list_clone(const struct list *from)
{
    REEVE_VALUE_AUTO copy = reeve_value_list();
    for (size_t i = 0; i < from->head.len; i++) {
        if (reeve_value_add(copy, reeve_value_clone(from->items[i])) != REEVE_OK) {
            return NULL;
        }
    }
    return reeve_value_take(&copy);
}

static struct reeve_value *map_clone(const struct map *from)
{
    REEVE_VALUE_AUTO copy = reeve_value_map();
    struct reeve_mark first = {0};
    for (size_t i = 0; i < from->head.len; i++) {
        const struct entry *entry = &from->entries[i];
        if (reeve_value_insert(copy, entry->key, strlen(entry->key), entry->mark, reeve_value_clone(entry->item),
                               &first) != REEVE_OK) {
            return NULL;
        }
    }
    return reeve_value_take(&copy);
}

static struct reeve_value *scalar_clone(const struct reeve_value *value)
{
    switch ((enum reeve_kind)value->kind) {
    case REEVE_BOOL:
    case REEVE_INT:
    case REEVE_FLOAT: {
        struct number *copy = (struct number *)value_new((enum reeve_kind)value->kind, sizeof(*copy));
        if (copy != NULL) {
            *copy = *(const struct number *)value;
        }
        return (struct reeve_value *)copy;
    }
    case REEVE_STR:
        return reeve_value_strn(((const struct text *)value)->bytes, value->len);
    case REEVE_BIN:
        return reeve_value_bin(((const struct text *)value)->bytes, value->len);
    case REEVE_NULL:
    case REEVE_LIST:
    case REEVE_MAP:
        break;
    }
    return reeve_value_null();
}

struct reeve_value *reeve_value_clone(const struct reeve_value *value)
{
    if (value == NULL) {
        return reeve_value_null();
    }
    struct reeve_value *copy = is(value, REEVE_LIST)  ? list_clone(as_list(value))
                               : is(value, REEVE_MAP) ? map_clone(as_map(value))
                                                      : scalar_clone(value);
    if (copy != NULL) {
        copy->mark = value->mark;
        copy->err = value->err;
    }
    return copy;
}

const struct reeve_value *reeve_value_get(const struct reeve_value *map, const char *key)
{
    if (!is(map, REEVE_MAP)) {
        return NULL;
    }
    const struct entry *entry = map_find(as_map(map), key);
    return entry == NULL ? NULL : entry->item;
}

struct reeve_value *reeve_value_get_mut(struct reeve_value *map, const char *key)
{
    if (!is(map, REEVE_MAP)) {
        return NULL;
    }
    struct entry *entry = map_find(as_map(map), key);
    return entry == NULL ? NULL : entry->item;
}

size_t reeve_value_len(const struct reeve_value *value)
{
    return value == NULL ? 0 : value->len;
}

const struct reeve_value *reeve_value_at(const struct reeve_value *container, size_t index)
{
    if (index >= reeve_value_len(container)) {
        return NULL;
    }
    if (is(container, REEVE_LIST)) {
        return as_list(container)->items[index];
    }
    return is(container, REEVE_MAP) ? as_map(container)->entries[index].item : NULL;
}

const char *reeve_value_key(const struct reeve_value *map, size_t index)
{
    return is(map, REEVE_MAP) && index < map->len ? as_map(map)->entries[index].key : NULL;
}

const char *reeve_value_text(const struct reeve_value *value)
{
    return is(value, REEVE_STR) || is(value, REEVE_BIN) ? ((const struct text *)value)->bytes : NULL;
}

const void *reeve_value_data(const struct reeve_value *value, size_t *ret_len)
{
    const char *bytes = reeve_value_text(value);
    *ret_len = bytes == NULL ? 0 : value->len;
    return bytes;
}

bool reeve_value_truth(const struct reeve_value *value, bool fallback)
{
    return is(value, REEVE_BOOL) ? ((const struct number *)value)->whole != 0 : fallback;
}

int64_t reeve_value_number(const struct reeve_value *value, int64_t fallback)
{
    const double edge = 0x1p63; // the first double above int64_t
    const struct number *number = (const struct number *)value;
    if (is(value, REEVE_INT)) {
        return number->whole;
    }
    if (!is(value, REEVE_FLOAT) || !(number->real >= -edge && number->real < edge)) { // the latter also for NaN
        return fallback;
    }
    int64_t whole = (int64_t)number->real;
    return (double)whole == number->real ? whole : fallback;
}

double reeve_value_real(const struct reeve_value *value, double fallback)
{
    const struct number *number = (const struct number *)value;
    if (is(value, REEVE_INT)) {
        return (double)number->whole;
    }
    return is(value, REEVE_FLOAT) ? number->real : fallback;
}

const char *reeve_get_str(const struct reeve_value *map, const char *key)
{
    const struct reeve_value *value = reeve_value_get(map, key);
    return is(value, REEVE_STR) ? reeve_value_text(value) : NULL;
}

int64_t reeve_get_int(const struct reeve_value *map, const char *key, int64_t fallback)
{
    return reeve_value_number(reeve_value_get(map, key), fallback);
}

bool reeve_get_bool(const struct reeve_value *map, const char *key, bool fallback)
{
    return reeve_value_truth(reeve_value_get(map, key), fallback);
}

static bool map_equal(const struct reeve_value *a, const struct reeve_value *b)
{
    for (size_t i = 0; i < a->len; i++) {
        const struct entry *entry = &as_map(a)->entries[i];
        const struct entry *other = map_find(as_map(b), entry->key);
        if (other == NULL || !reeve_value_equal(entry->item, other->item)) {
            return false;
        }
    }
    return true;
}

static bool list_equal(const struct reeve_value *a, const struct reeve_value *b)
{
    for (size_t i = 0; i < a->len; i++) {
        if (!reeve_value_equal(as_list(a)->items[i], as_list(b)->items[i])) {
            return false;
        }
    }
    return true;
}

bool reeve_value_equal(const struct reeve_value *a, const struct reeve_value *b)
{
    enum reeve_kind kind = reeve_value_kind(a);
    if (kind != reeve_value_kind(b) || reeve_value_len(a) != reeve_value_len(b)) {
        return false;
    }
    switch (kind) {
    case REEVE_NULL:
        return true;
    case REEVE_BOOL:
    case REEVE_INT:
        return ((const struct number *)a)->whole == ((const struct number *)b)->whole;
    case REEVE_FLOAT:
        return ((const struct number *)a)->real == ((const struct number *)b)->real;
    case REEVE_STR:
    case REEVE_BIN:
        return memcmp(reeve_value_text(a), reeve_value_text(b), a->len) == 0;
    case REEVE_LIST:
        return list_equal(a, b);
    case REEVE_MAP:
        return map_equal(a, b);
    }
    return false;
}

struct reeve_mark reeve_value_mark(const struct reeve_value *value)
{
    return value == NULL ? (struct reeve_mark){0} : value->mark;
}

struct reeve_mark reeve_value_key_mark(const struct reeve_value *map, size_t index)
{
    return is(map, REEVE_MAP) && index < map->len ? as_map(map)->entries[index].mark : (struct reeve_mark){0};
}

void reeve_value_set_mark(struct reeve_value *value, struct reeve_mark mark)
{
    if (value != NULL) {
        value->mark = mark;
    }
}
