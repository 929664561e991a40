// What the readers of msgpack, JSON and YAML share: places in errors, bounds, building of maps.
// Must not: be included outside shared/wire.
#ifndef REEVE_WIRE_READING_H
#define REEVE_WIRE_READING_H

#include <reeve/codec.h>

// The readers recurse once per container; this bounds their stack whatever limits a caller passes.
#define REEVE_DEPTH_HARD_MAX 256u

// INVALID or LIMIT with the place `source:line:col`.
enum reeve_err reeve_fail_mark(struct reeve_why *why, enum reeve_err err, const char *source, struct reeve_mark mark,
                               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

// Text from outside as it may stand in a message: cut, control characters replaced. Returns buf.
#define REEVE_SHOWN_SIZE 64
const char *reeve_shown(const char *text, size_t len, char buf[REEVE_SHOWN_SIZE]);

unsigned reeve_limits_depth(const struct reeve_limits *limits);
// All values of one message. A value takes up to 40 times the memory of its shortest spelling, so that
// bytes_max alone would let a message of 1 MiB become 60 MiB of tree.
size_t reeve_limits_values(const struct reeve_limits *limits);
// LIMIT when `len` is above bytes_max; the place is `source`.
enum reeve_err reeve_limits_bytes(const struct reeve_limits *limits, size_t len, const char *source,
                                  struct reeve_why *why);

// Like reeve_value_put(), for a key that must be new: CONFLICT when the map has it, and then
// *ret_first is the mark of the earlier one. Takes `item` in any case.
enum reeve_err reeve_value_insert(struct reeve_value *map, const char *key, size_t key_len, struct reeve_mark mark,
                                  struct reeve_value *item, struct reeve_mark *ret_first);

// {"$bin": "<base64>"}: how JSON and YAML carry bytes that are no text. A map of that shape is replaced
// by the BIN it means; INVALID when its text is no base64; every other value stays.
enum reeve_err reeve_bin_unwrap(struct reeve_value **value);
// The base64 of BIN, appended.
void reeve_base64_write(const void *data, size_t len, struct reeve_buf *buf);
// Strict: padding required, no white space, no bits left over. A BIN, or NULL with *ret_bad false: out of memory.
struct reeve_value *reeve_base64_read(const char *text, size_t len, bool *ret_bad);
#define REEVE_BIN_KEY "$bin"

// A double as the shortest decimal that reads back as the same double, always with a '.' or an exponent.
#define REEVE_REAL_SIZE 40
const char *reeve_real_format(double number, char buf[REEVE_REAL_SIZE]);

#endif
