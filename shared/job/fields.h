// Tables of what a map in a message may hold, like record.h, for what is read where it lies: nothing is copied, spans
// point into the message. One row per key; spec.c, enqueue.c, batch.c and report.c are such tables.
// Must not: be included outside shared/job.
#ifndef REEVE_JOB_FIELDS_H
#define REEVE_JOB_FIELDS_H

#include <reeve/job.h>

enum job_field_type { // C type at .offset
    JOB_FIELD_TEXT,   // struct reeve_span, min..max bytes, no control characters
    JOB_FIELD_LINES,  // struct reeve_span, any text
    JOB_FIELD_ID,     // struct reeve_span, at most max bytes of A-Z a-z 0-9 _ -
    JOB_FIELD_NAME,   // struct reeve_span: a type of jobs, which may have dots
    JOB_FIELD_INT,    // int64_t, min..max
    JOB_FIELD_REAL,   // double, min..max
    JOB_FIELD_BOOL,   // bool
    JOB_FIELD_VALUE,  // struct reeve_span of msgpack, of any kind, at most REEVE_JOB_VALUE_BYTES_MAX, depth
                      // REEVE_JOB_VALUE_DEPTH_MAX
    JOB_FIELD_LIST,   // struct reeve_span of msgpack, a list
    JOB_FIELD_OWN,    // by .read
};

struct job_field {
    const char *name;
    size_t name_len;
    enum job_field_type type;
    bool required;
    size_t offset;
    int64_t min, max;
    const char *expected; // for messages: "a whole number from 0 to 9"
    // Reads the value at the cursor and moves past it, whatever it is; `slot` is the whole object.
    enum reeve_err (*read)(struct reeve_cursor *cursor, const char *path, void *slot, struct reeve_why *why);
};
#define JOB_FIELD(name_) .name = name_, .name_len = sizeof(name_) - 1

struct job_record {
    const char *what; // "a job", for messages
    const struct job_field *fields;
    size_t fields_len; // at most 32
    bool closed;       // unknown keys are mistakes; otherwise skipped [payload-2]
};
#define JOB_RECORD(what_, closed_, fields_)                                                                            \
    {                                                                                                                  \
        .what = (what_), .fields = (fields_), .fields_len = REEVE_ARRAY_LEN(fields_), .closed = (closed_)              \
    }

struct job_reading {         // what was found, beside the values
    uint32_t given;          // bit per field: a value that is not null
    uint32_t seen;           // the same with null
    struct reeve_span other; // the first key that the record does not know; of an open one
};

// Reads one map at the cursor into `object`, which holds the presets; null is as if the key were not there. The first
// mistake is told by the return value and `why` (its place: `path.key`), and the cursor stands behind the map. Only
// where the bytes are no msgpack the cursor itself fails. `ret` may be NULL.
enum reeve_err job_record_read(struct reeve_cursor *cursor, const struct job_record *record, const char *path,
                               void *object, struct job_reading *ret, struct reeve_why *why);

// "text given, expected a list"; skips the value.
enum reeve_err job_refuse_kind(struct reeve_cursor *cursor, const char *path, const char *expected,
                               struct reeve_why *why);

// Outside text for a message. Returns buf.
#define JOB_QUOTED_SIZE 80
const char *job_quote(struct reeve_span text, char buf[JOB_QUOTED_SIZE]);

// A map of at most 15 keys whose number is known only at its end: one byte, counted up by each key.
size_t job_map_open(struct reeve_buf *buf);
void job_map_close(struct reeve_buf *buf, size_t place, size_t len);
// A key that is a literal of at most 31 bytes, without measuring and checking it.
static inline void job_put_key(struct reeve_buf *buf, const char *key, size_t len)
{
    char bytes[32] = {(char)(0xa0 | len)};
    memcpy(bytes + 1, key, len);
    reeve_pack_raw(buf, (struct reeve_span){bytes, 1 + len});
}
#define JOB_PUT_KEY(buf, literal) job_put_key((buf), (literal), sizeof(literal) - 1)

#define JOB_AT_MAX     (INT64_C(1) << 53)                 // times and epochs: what a JSON number holds exactly
#define JOB_DELAY_MAX  (INT64_C(3653) * 24 * 3600 * 1000) // 10 years
#define JOB_DELAY_TEXT "whole milliseconds from 0 to 315619200000 (10 years)"

#endif
