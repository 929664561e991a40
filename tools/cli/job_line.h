// A line of an import to a job as `enqueue` takes it: JSON to msgpack, what the line does not say from the options, and
// an id.
//
//   struct job_line how; job_line_init(&how, defaults, "monday", &why);
//   job_line_pack(&how, text, len, 17, out, &job, &why)     // of JOB_LINE_BOUND(&how, len) bytes
// Must not: ask anybody, read input.
#ifndef REEVE_CLI_JOB_LINE_H
#define REEVE_CLI_JOB_LINE_H

#include "json_pack.h"

#include <reeve/job.h>

#define JOB_BATCH_ID_LEN_MAX 60                  // with "-" and the number of a line it is an id
#define JOB_LINE_BYTES_MAX   ((1u << 20) - 4096) // of a job: it has to fit into a message
#define JOB_LINE_TEXT_MAX    (4u << 20)          // of a line: JSON may be longer than what it says
#define JOB_KEYS             13

struct job_line { // plain memory but for `defaults`
    char batch_id[JOB_BATCH_ID_LEN_MAX + 1];
    const struct reeve_value *given; // MAP; borrowed
    struct reeve_buf defaults;       // the pairs of `given` as msgpack, one after the other
    struct {
        size_t at, len; // in `defaults`; len 0 = not given
    } pairs[JOB_KEYS];
};
#define JOB_LINE_BOUND(how, len_) (JSON_PACK_BOUND(len_) + (how)->defaults.len + REEVE_JOB_ID_SIZE + 64)

// `given`: what lines get that do not say. INVALID for a batch id that can be none.
enum reeve_err job_line_init(struct job_line *how, const struct reeve_value *given, const char *batch_id,
                             struct reeve_why *why);
void job_line_done(struct job_line *how);
bool job_line_is_blank(const char *text, size_t len);
// `line` counts from 1. *ret is the job, its `raw` the bytes that were written. INVALID or LIMIT with the place, "17"
// or "17:23".
enum reeve_err job_line_pack(const struct job_line *how, const char *text, size_t len, uint64_t line,
                             unsigned char *out, struct reeve_job_spec *ret, struct reeve_why *why);
// "<batch>-<line>".
const char *job_line_id(const struct job_line *how, uint64_t line, char buf[REEVE_JOB_ID_SIZE]);

#endif
