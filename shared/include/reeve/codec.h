// Readers and writers of the value tree: msgpack, JSON, YAML. Limits are checked before allocation
// [payload-4]; what exceeds them, is cut short or carries trailing bytes is refused, whole.
#ifndef REEVE_CODEC_H
#define REEVE_CODEC_H

#include <reeve/buf.h>
#include <reeve/value.h>

struct reeve_limits {
    size_t bytes_max;   // of the whole message
    unsigned depth_max; // containers inside containers
    size_t entries_max; // entries of one container; all values of a message: 64 times as many
};
extern const struct reeve_limits reeve_limits_wire; // 1 MiB, 16, 4,096: messages [payload-4]
extern const struct reeve_limits reeve_limits_file; // 256 KiB, 64, 4,096: configuration a person writes

// Places: msgpack says `byte 17` (from 0; where the faulty value begins), JSON and YAML `line:col`, prefixed by `source:` (a file's name or a
// topic; NULL for none). LIMIT for a bound, INVALID for everything malformed: truncation, trailing
// bytes, a NUL or bad UTF-8 in a string, duplicate keys, keys that are no strings, 0xc1, extension
// types, numbers that are not finite or above int64. *ret is set only on OK.
enum reeve_err reeve_msgpack_read(const void *data, size_t len, const struct reeve_limits *limits, const char *source,
                                  struct reeve_value **ret, struct reeve_why *why);
enum reeve_err reeve_json_read(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                               struct reeve_value **ret, struct reeve_why *why);
// One document. Scalars by the YAML 1.2 core schema (no `yes`/`no` booleans); quoted scalars stay strings.
// Aliases, anchors and tags are refused (S27), tabs in indentation and duplicate keys are named. An
// empty text is a null value. {$bin: "<base64>"} is a BIN, as in JSON.
enum reeve_err reeve_yaml_read(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                               struct reeve_value **ret, struct reeve_why *why);
// All documents of a stream (`---` between them) as a LIST; an empty stream gives an empty list.
enum reeve_err reeve_yaml_read_all(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why);
// A file by its extension (.json, .msgpack/.mp, otherwise YAML). "-" is standard input.
enum reeve_err reeve_file_read_value(const char *path, const struct reeve_limits *limits, struct reeve_value **ret,
                                     struct reeve_why *why);

// The same as a LIST of all its documents: several for YAML, one for the others.
enum reeve_err reeve_file_read_documents(const char *path, const struct reeve_limits *limits, struct reeve_value **ret,
                                         struct reeve_why *why);

// Append to `buf`. INVALID when a number is not finite, else buf->err; what was appended until then is of no use.
// msgpack: shortest forms (floats always 64 bits), strings as str, maps in insertion order.
enum reeve_err reeve_msgpack_write(const struct reeve_value *value, struct reeve_buf *buf);
#define REEVE_JSON_PRETTY 1u // two spaces of indentation; otherwise one line
// BIN that is UTF-8 is written as a string, other BIN as {"$bin":"<base64>"}, which reeve_json_read turns back.
// Characters that a terminal would obey are escaped, so that the text is safe to print.
enum reeve_err reeve_json_write(const struct reeve_value *value, unsigned flags, struct reeve_buf *buf);
// Block style; BIN as in JSON; strings that another reader of YAML might take for something else are quoted.
enum reeve_err reeve_yaml_write(const struct reeve_value *value, struct reeve_buf *buf);

#endif
