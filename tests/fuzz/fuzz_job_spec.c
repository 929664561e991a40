// Any bytes as the command `enqueue` and as a job: what is accepted is what the reader of trees accepts, its spans lie
// in the message, and what is stored of it reads back the same.
#include "fuzz.h"

#include <reeve/job.h>
#include <string.h>

static bool inside(struct reeve_span part, struct reeve_span whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static bool tree_reads(struct reeve_span msgpack)
{
    REEVE_VALUE_AUTO value = NULL;
    return reeve_msgpack_read(msgpack.data, msgpack.len, &reeve_limits_wire, NULL, &value, NULL) == REEVE_OK;
}

static void check_spec(const struct reeve_job_spec *spec, struct reeve_span whole)
{
    struct reeve_cursor again = REEVE_CURSOR(spec->raw.data, spec->raw.len);
    struct reeve_job_spec back;
    const struct reeve_span parts[] = {spec->raw, spec->payload, spec->requires, spec->after};
    REEVE_ASSERT(inside(spec->raw, whole) && tree_reads(spec->raw));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        REEVE_ASSERT(inside(parts[i], spec->raw) && (parts[i].len == 0 || tree_reads(parts[i])));
    }
    REEVE_ASSERT(reeve_job_type_valid(spec->type) && inside(spec->type, spec->raw) && inside(spec->key, spec->raw));
    REEVE_ASSERT(spec->priority >= 0 && spec->priority <= REEVE_JOB_PRIORITY_MAX);
    REEVE_ASSERT(reeve_job_spec_read(&again, &back, NULL) == REEVE_OK && again.at == again.end);
    REEVE_ASSERT(reeve_job_spec_digest(&back) == reeve_job_spec_digest(spec));
}

// One job at the cursor; whether the cursor is still good.
static bool read_job(struct reeve_cursor *cursor, struct reeve_span whole)
{
    struct reeve_job_spec spec;
    struct reeve_why why = {.text = ""};
    enum reeve_err err = reeve_job_spec_read(cursor, &spec, &why);
    if (err == REEVE_OK) {
        check_spec(&spec, whole);
    } else {
        REEVE_ASSERT(why.text[0] != '\0');
    }
    return cursor->err == REEVE_OK;
}

static void read_enqueue(const uint8_t *data, size_t len)
{
    REEVE_BUF_AUTO scratch = REEVE_BUF_INIT(0);
    struct reeve_enqueue enqueue;
    struct reeve_why why = {.text = ""};
    if (reeve_enqueue_decode(data, len, &scratch, &enqueue, &why) != REEVE_OK) {
        REEVE_ASSERT(why.text[0] != '\0');
        return;
    }
    struct reeve_span jobs = enqueue.jobs.len > 0 ? enqueue.jobs : enqueue.job;
    struct reeve_cursor cursor = REEVE_CURSOR(jobs.data, jobs.len);
    REEVE_ASSERT(!enqueue.mixed && jobs.len > 0 && (enqueue.jobs.len == 0 || enqueue.job.len == 0));
    for (size_t left = enqueue.jobs.len > 0 ? reeve_cursor_list(&cursor) : 1; left > 0; left--) {
        REEVE_ASSERT(read_job(&cursor, jobs)); // the message was checked
    }
    REEVE_ASSERT(reeve_cursor_end(&cursor, NULL) == REEVE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reeve_cursor whole = REEVE_CURSOR(data, len);
    struct reeve_span span = reeve_cursor_skip(&whole);
    REEVE_ASSERT((reeve_cursor_end(&whole, NULL) == REEVE_OK) ==
                 tree_reads((struct reeve_span){(const char *)data, len}));
    struct reeve_cursor cursor = REEVE_CURSOR(data, len);
    (void)read_job(&cursor, (struct reeve_span){(const char *)data, len}); // any verdict
    REEVE_ASSERT(span.len == 0 || cursor.err != REEVE_OK || cursor.at == cursor.data + span.len);
    read_enqueue(data, len);
    return 0;
}
