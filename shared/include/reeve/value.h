// The value tree: what msgpack, JSON and YAML are read into and written from. Everything below the
// root is owned by the root; one reeve_value_free() ends it. Values remember where they were read
// (line and column, 0 when unknown), so that an error about them can say so.
#ifndef REEVE_VALUE_H
#define REEVE_VALUE_H

#include <reeve/err.h>
#include <stdint.h>

enum reeve_kind { REEVE_NULL, REEVE_BOOL, REEVE_INT, REEVE_FLOAT, REEVE_STR, REEVE_BIN, REEVE_LIST, REEVE_MAP };

struct reeve_value; // opaque

const char *reeve_kind_text(enum reeve_kind kind); // "map", "string", "whole number", ... for messages
enum reeve_kind reeve_value_kind(const struct reeve_value *value); // NULL pointer = REEVE_NULL

// Makers return NULL only when out of memory. INT holds -2^63 .. 2^63-1; a msgpack uint above that is refused on read.
struct reeve_value *reeve_value_null(void);
struct reeve_value *reeve_value_bool(bool on);
struct reeve_value *reeve_value_int(int64_t number);
struct reeve_value *reeve_value_float(double number);
// Text and keys may be any bytes (a worker's log line): what is no UTF-8, and NUL, becomes U+FFFD.
struct reeve_value *reeve_value_str(const char *text); // NULL gives a null value
struct reeve_value *reeve_value_strn(const char *text, size_t len);
struct reeve_value *reeve_value_bin(const void *data, size_t len);
struct reeve_value *reeve_value_list(void);
struct reeve_value *reeve_value_map(void);
struct reeve_value *reeve_value_clone(const struct reeve_value *value);
void reeve_value_free(struct reeve_value *value); // NULL allowed
void reeve_value_freep(struct reeve_value **value);
#define REEVE_VALUE_AUTO __attribute__((cleanup(reeve_value_freep))) struct reeve_value *
struct reeve_value *reeve_value_take(struct reeve_value **value); // moves out, leaves NULL

// Building. They take `item` in any case, also on failure; item == NULL is NOMEM, so that calls nest:
//   reeve_value_put(map, "pid", reeve_value_int(pid));
// At most 1,048,576 entries (LIMIT). A container remembers the first failure; reeve_value_built() tells it once, at the end.
enum reeve_err reeve_value_put(struct reeve_value *map, const char *key, struct reeve_value *item); // replaces
enum reeve_err reeve_value_add(struct reeve_value *list, struct reeve_value *item);
// OK, or the first error of this container or of any below it.
enum reeve_err reeve_value_built(const struct reeve_value *value);
bool reeve_value_remove(struct reeve_value *map, const char *key);

// Short forms for maps. The _opt forms leave the key out when there is nothing to say.
static inline void reeve_put_str(struct reeve_value *map, const char *key, const char *text)
{
    (void)reeve_value_put(map, key, reeve_value_str(text)); /* remembered: reeve_value_built() */
}
static inline void reeve_put_str_opt(struct reeve_value *map, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        reeve_put_str(map, key, text);
    }
}
static inline void reeve_put_int(struct reeve_value *map, const char *key, int64_t number)
{
    (void)reeve_value_put(map, key, reeve_value_int(number)); /* remembered: reeve_value_built() */
}
static inline void reeve_put_bool(struct reeve_value *map, const char *key, bool on)
{
    (void)reeve_value_put(map, key, reeve_value_bool(on)); /* remembered: reeve_value_built() */
}

// Reading. All borrow; all accept NULL or another kind and then give nothing (NULL, 0, the fallback).
const struct reeve_value *reeve_value_get(const struct reeve_value *map, const char *key);
struct reeve_value *reeve_value_get_mut(struct reeve_value *map, const char *key);
size_t reeve_value_len(const struct reeve_value *value); // entries of a container, bytes of STR and BIN
const struct reeve_value *reeve_value_at(const struct reeve_value *container, size_t index); // list item or map value
const char *reeve_value_key(const struct reeve_value *map, size_t index);
// NUL-terminated, borrowed; BIN and STR; NULL otherwise. A STR never holds a NUL inside (refused on read).
const char *reeve_value_text(const struct reeve_value *value);
const void *reeve_value_data(const struct reeve_value *value, size_t *ret_len);
bool reeve_value_truth(const struct reeve_value *value, bool fallback);
int64_t reeve_value_number(const struct reeve_value *value, int64_t fallback); // INT, or a FLOAT without fraction
double reeve_value_real(const struct reeve_value *value, double fallback);
// get + text/number of a map's entry
const char *reeve_get_str(const struct reeve_value *map, const char *key); // NULL when absent or no string
int64_t reeve_get_int(const struct reeve_value *map, const char *key, int64_t fallback);
bool reeve_get_bool(const struct reeve_value *map, const char *key, bool fallback);

// Deep equality; the order of a map's keys does not count.
bool reeve_value_equal(const struct reeve_value *a, const struct reeve_value *b);

// Equal trees have equal digests, whatever the order of keys. For comparing, never for security. (digest.c)
uint64_t reeve_value_digest(const struct reeve_value *value);

struct reeve_mark {
    uint32_t line; // from 1; 0 = unknown
    uint32_t col;  // from 1
};
struct reeve_mark reeve_value_mark(const struct reeve_value *value);
struct reeve_mark reeve_value_key_mark(const struct reeve_value *map, size_t index);
void reeve_value_set_mark(struct reeve_value *value, struct reeve_mark mark);

#endif
