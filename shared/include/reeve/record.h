// Record tables: one table of fields describes a record wherever it appears. The same table decodes a
// worker spec from a YAML file, a msgpack command and a JSON command typed by hand into one C struct,
// gives each error its place, encodes the reply, prints the reference documentation and feeds the fuzzer.
//
//   struct limits { int64_t memory_bytes; int64_t pids; };
//   static const struct reeve_field limits_fields[] = {
//       {.name = "memory", .type = REEVE_FIELD_SIZE, .offset = offsetof(struct limits, memory_bytes),
//        .min = 1 << 20, .max = INT64_MAX, .preset = "0", .doc = "Memory the worker may use. 0 = no limit."},
//       {.name = "max_memory", .alias_of = "memory"},
//       ...
//   };
//   const struct reeve_record limits_record = REEVE_RECORD("limits", struct limits, limits_fields, "Limits of a worker.");
#ifndef REEVE_RECORD_H
#define REEVE_RECORD_H

#include <reeve/buf.h>
#include <reeve/str.h>
#include <reeve/value.h>

enum reeve_field_type {      // C type at .offset
    REEVE_FIELD_BOOL,        // bool. BOOL, INT, REAL also take text that is exactly one ("5"): the text form of a command
    REEVE_FIELD_INT,         // int64_t, min..max
    REEVE_FIELD_REAL,        // double, min..max; accepts whole numbers
    REEVE_FIELD_STR,         // char *, owned, NULL when absent; min..max = length in bytes when max > 0
    REEVE_FIELD_NAME,        // char *, owned, [topic-2]
    REEVE_FIELD_DURATION,    // int64_t ms, never negative; text with unit; also whole numbers = ms when the key ends in _ms, and 0;
                             // .choices = words that stand for a value (forever = 0), whatever the bounds
    REEVE_FIELD_SIZE,        // int64_t bytes, never negative; text with unit or whole number
    REEVE_FIELD_CHOICE,      // int, value of .choices
    REEVE_FIELD_STRV,        // struct reeve_strv; a single string is a list of one; min..max = entries when max > 0
    REEVE_FIELD_MAP,         // struct reeve_value *, MAP of strings (whole numbers and booleans become their text; a number
                             // with a fraction is refused, 1.10 would become 1.1); NULL when absent; min..max as STRV
    REEVE_FIELD_VALUE,       // struct reeve_value *, any tree; NULL when absent
    REEVE_FIELD_RECORD,      // embedded struct described by .record
    REEVE_FIELD_RECORDS,     // struct reeve_records: a list of .record; min..max = entries when max > 0
};

struct reeve_choice {
    const char *text; // NULL ends the list
    int value;
};

struct reeve_records {
    void *items; // len structs of record->size
    size_t len;
};

#define REEVE_FIELD_REQUIRED 1u // missing is an error
#define REEVE_FIELD_SECRET 2u   // never leaves in a message, log or dump: written as "***"
#define REEVE_FIELD_INERT 4u    // accepted, not acted upon yet: named in a warning
#define REEVE_FIELD_SCALAR_OK 8u // STRV: a whole number or boolean is taken as its text. STR: a whole number is. CHOICE: so is a number among the values
#define REEVE_FIELD_LIST_ONLY 16u // STRV: a single string is refused, with a hint (an argv is never split by a shell)

struct reeve_field {
    const char *name;
    enum reeve_field_type type;
    unsigned flags;
    size_t offset;
    int64_t min, max;                   // INT REAL DURATION SIZE: bounds, checked when min < max
    const char *preset;                 // default as a person would write it; NULL = zero
    const struct reeve_choice *choices; // CHOICE, DURATION
    const struct reeve_record *record;  // RECORD, RECORDS
    const char *alias_of;               // another spelling of that field; everything else is then ignored
    const char *doc;                    // one or two sentences, for the reference page
    // A scalar given for a RECORD goes to this member of it ("restart: always" = {policy: always}).
    const char *scalar_member;
};

struct reeve_errors;

struct reeve_record {
    const char *name;
    size_t size;
    const struct reeve_field *fields;
    size_t fields_len;
    const char *doc;
    // Rules across fields, after all fields were decoded; reports through reeve_errors_add(). NULL = none. It is also called when
    // fields failed, so that one pass finds all mistakes: those hold their presets, and `value` tells what was given.
    // `path` is the record's own: reeve_path_join() makes the fields'.
    void (*check)(const void *object, const struct reeve_value *value, const char *path, struct reeve_errors *errors);
    // Unknown keys: false = an error with "did you mean"; true = skipped [payload-2].
    bool open;
};
#define REEVE_RECORD(name_, type_, fields_, doc_)                                                                      \
    {.name = (name_), .size = sizeof(type_), .fields = (fields_), .fields_len = REEVE_ARRAY_LEN(fields_), .doc = (doc_)}

// All mistakes of one document, in order, each with its place; bounded (the rest is counted).
#define REEVE_ERRORS_MAX 64
#define REEVE_PATH_SIZE  128
struct reeve_error {
    bool warning;
    char path[REEVE_PATH_SIZE]; // worker.limits.memory
    struct reeve_mark mark; // 0:0 unknown
    char text[288];         // what is wrong, what was expected
};
struct reeve_errors {
    const char *source; // file name or topic, borrowed; NULL = none
    struct reeve_error items[REEVE_ERRORS_MAX];
    size_t len;
    size_t errors;   // counts all, also what found no room in items
    size_t warnings;
    char path_prefix[96]; // put before every path while decoding a part ("workers[2]"); empty = none
};
// "a.b", "b" for an empty parent. Control characters of `name` become '?'. Returns buf.
const char *reeve_path_join(char buf[REEVE_PATH_SIZE], const char *parent, const char *name);
void reeve_errors_init(struct reeve_errors *errors, const char *source);
// `value` (NULL allowed) gives the mark.
void reeve_errors_add(struct reeve_errors *errors, const struct reeve_value *value, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void reeve_errors_add_at(struct reeve_errors *errors, struct reeve_mark mark, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void reeve_errors_warn(struct reeve_errors *errors, const struct reeve_value *value, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// The error of a reader (codec.h), its place `source:line:col` taken apart so that it looks like all others.
void reeve_errors_add_why(struct reeve_errors *errors, const struct reeve_why *why);
// Into the order of lines, for a person; those without a place come first. Otherwise the order of finding stays.
void reeve_errors_sort(struct reeve_errors *errors);
// Whether an error is about exactly `path`: what else is wrong with that field then only follows from it.
bool reeve_errors_has(const struct reeve_errors *errors, const char *path);
// `node.yaml:14:7: worker.memory_limit: 12 apples is no size, expected a size such as 512M`. Returns buf.
const char *reeve_error_format(const struct reeve_errors *errors, size_t index, char *buf, size_t buf_len);
// The first error as a why (for a reply); INVALID, or OK when there is none. More than one: "... (and 3 more)".
enum reeve_err reeve_errors_result(const struct reeve_errors *errors, struct reeve_why *why);

// Decode `value` (a MAP) into the zeroed or uninitialised `object`. Presets fill what is absent. All
// mistakes are added to `errors`; OK only when there was none (otherwise INVALID, or NOMEM), and only then does `object` need
// reeve_record_done(). A key without a value (`env:`, null) counts as absent. `path` is the record's own path for messages, "" for a root.
enum reeve_err reeve_record_decode(const struct reeve_record *record, const struct reeve_value *value, const char *path,
                                   void *object, struct reeve_errors *errors);
// Presets only. NOMEM or OK.
enum reeve_err reeve_record_preset(const struct reeve_record *record, void *object);
// Back into a MAP. Durations and sizes as text that reads back; absent optional parts left out; with
// SKIP_PRESETS also what equals its preset. SECRET fields are "***" unless WITH_SECRETS.
#define REEVE_ENCODE_SKIP_PRESETS 1u
#define REEVE_ENCODE_WITH_SECRETS 2u
enum reeve_err reeve_record_encode(const struct reeve_record *record, const void *object, unsigned flags,
                                   struct reeve_value **ret);
void reeve_record_done(const struct reeve_record *record, void *object);

// The reference page of one record and the records inside it: a table of name, type, unit and bounds, default, doc.
enum reeve_err reeve_record_markdown(const struct reeve_record *record, unsigned heading_level, struct reeve_buf *buf);

#endif
