// The command `enqueue`: the envelope's keys, and where its jobs are [payload-3] [cmd-2] [job-2].
// Says the same as message.c, which makes a tree of a command. Must not: look into the jobs; spec.c does.
#include "fields.h"

#include <reeve/codec.h>
#include <reeve/topic.h>

#include <string.h>

#define ISSUER_LEN_MAX 128
#define COMMAND_ID_MAX 64
#define AT_TEXT        "milliseconds since 1970, a whole number"

struct arguments {
    struct reeve_span map; // {NULL, 0}: no `args`
    struct reeve_span jobs;
    bool brief;
    struct job_reading reading;
};

struct envelope {
    struct reeve_enqueue enqueue;
    struct arguments args;   // in `args`
    struct arguments beside; // beside the envelope's keys
    bool signed_, sig;       // [cmd-8]
};

// ---- the arguments -----------------------------------------------------------------------------------------

#define JOBS_TEXT "a list of jobs"
static const struct job_field arguments_fields[] = {
    {JOB_FIELD("jobs"), .type = JOB_FIELD_LIST, .offset = offsetof(struct arguments, jobs), .expected = JOBS_TEXT},
    {JOB_FIELD("brief"), .type = JOB_FIELD_BOOL, .offset = offsetof(struct arguments, brief)},
};
static const struct job_record arguments_record = JOB_RECORD("a map", false, arguments_fields);
#define ARGUMENTS_OWN UINT32_C(3) // bits of both

static enum reeve_err read_args(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    struct arguments *args = &((struct envelope *)object)->args;
    const char *from = (const char *)cursor->at;
    enum reeve_err err = job_record_read(cursor, &arguments_record, path, args, &args->reading, why);
    args->map = (struct reeve_span){from, (size_t)((const char *)cursor->at - from)};
    return err;
}

// ---- the envelope ------------------------------------------------------------------------------------------

static enum reeve_err read_reply_to(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    struct envelope *envelope = object;
    char topic[REEVE_TOPIC_SIZE];
    char quoted[JOB_QUOTED_SIZE];
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return job_refuse_kind(cursor, path, "a topic", why);
    }
    struct reeve_span text = reeve_cursor_str(cursor);
    size_t len = text.len < sizeof(topic) ? text.len : 0; // a longer one is as wrong as an empty one
    if (len > 0) {
        memcpy(topic, text.data, len);
    }
    topic[len] = '\0';
    if (!reeve_topic_valid(topic)) {
        return reeve_fail_at(why, REEVE_INVALID, path,
                             "%s is no topic to answer on, expected 1 to %d bytes without + and #",
                             job_quote(text, quoted), REEVE_TOPIC_LEN_MAX);
    }
    envelope->enqueue.reply_to = text;
    return REEVE_OK;
}

// A guard that is not understood must not be skipped, and none is understood here.
static enum reeve_err read_expect(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    (void)object;
    (void)reeve_cursor_skip(cursor); /* an error of its own is the message's */
    return reeve_fail_at(why, REEVE_INVALID, path, "a queue has no epoch, run, version or state to expect");
}

static enum reeve_err read_signed(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    (void)why;
    struct envelope *envelope = object;
    (void)reeve_cursor_skip(cursor); /* an error of its own is the message's */
    *(path[3] == '\0' ? &envelope->sig : &envelope->signed_) = true;
    return REEVE_OK;
}

// With `args` the job has its own priority; this one is checked and does nothing.
static enum reeve_err read_priority(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    (void)object;
    static const char expected[] = "a whole number from 0 to 9";
    struct reeve_cursor trial = *cursor;
    int64_t priority = reeve_cursor_int(&trial);
    if (trial.err != REEVE_OK) {
        return job_refuse_kind(cursor, path, expected, why);
    }
    *cursor = trial;
    return priority >= 0 && priority <= REEVE_JOB_PRIORITY_MAX
               ? REEVE_OK
               : reeve_fail_at(why, REEVE_INVALID, path, "is %lld, expected %s", (long long)priority, expected);
}

#define AT(member) offsetof(struct envelope, member)
static const struct job_field envelope_fields[] = {
    {JOB_FIELD("id"), .type = JOB_FIELD_ID, .offset = AT(enqueue.id), .max = COMMAND_ID_MAX,
     .expected = "1 to 64 of A-Z a-z 0-9 _ -"},
    {JOB_FIELD("args"), .type = JOB_FIELD_OWN, .read = read_args},
    {JOB_FIELD("issued_at"), .type = JOB_FIELD_INT, .offset = AT(enqueue.issued_at), .min = 1, .max = INT64_MAX,
     .expected = AT_TEXT},
    {JOB_FIELD("expires_at"), .type = JOB_FIELD_INT, .offset = AT(enqueue.expires_at), .min = 1, .max = INT64_MAX,
     .expected = AT_TEXT},
    {JOB_FIELD("issuer"), .type = JOB_FIELD_TEXT, .offset = AT(enqueue.issuer), .min = 1, .max = ISSUER_LEN_MAX,
     .expected = "text of 1 to 128 bytes"},
    {JOB_FIELD("reply_to"), .type = JOB_FIELD_OWN, .read = read_reply_to},
    {JOB_FIELD("expect"), .type = JOB_FIELD_OWN, .read = read_expect},
    {JOB_FIELD("dry_run"), .type = JOB_FIELD_BOOL, .offset = AT(enqueue.dry_run)},
    // From here on they belong to the job where there is no `args`.
    {JOB_FIELD("priority"), .type = JOB_FIELD_OWN, .read = read_priority},
    {JOB_FIELD("signed"), .type = JOB_FIELD_OWN, .read = read_signed},
    {JOB_FIELD("sig"), .type = JOB_FIELD_OWN, .read = read_signed},
    {JOB_FIELD("jobs"), .type = JOB_FIELD_LIST, .offset = AT(beside.jobs), .expected = JOBS_TEXT},
    {JOB_FIELD("brief"), .type = JOB_FIELD_BOOL, .offset = AT(beside.brief)},
};
#undef AT
#define ENVELOPE_OWN 8u // the rows before `priority`
static const struct job_record envelope_record = JOB_RECORD("a command: a map", false, envelope_fields);

// Whether a key is one that a job beside it must not see.
static bool is_own_key(struct reeve_span key)
{
    for (size_t i = 0; i < ENVELOPE_OWN; i++) {
        if (reeve_span_is(key, envelope_fields[i].name)) {
            return true;
        }
    }
    return reeve_span_is(key, "brief") || reeve_span_is(key, "jobs"); // null, or there would be no job beside it
}

// ---- which jobs --------------------------------------------------------------------------------------------

static enum reeve_err refuse_beside(const char *path, struct reeve_span key, struct reeve_why *why)
{
    char quoted[JOB_QUOTED_SIZE];
    return reeve_fail_at(why, REEVE_INVALID, path, "%s is given beside jobs, expected brief only",
                         job_quote(key, quoted));
}

static enum reeve_err settle_args(struct envelope *envelope, struct reeve_why *why)
{
    struct reeve_enqueue *enqueue = &envelope->enqueue;
    const struct arguments *args = &envelope->args;
    enqueue->brief = args->brief;
    enqueue->jobs = args->jobs;
    if (args->jobs.len > 0) {
        return args->reading.other.data == NULL ? REEVE_OK : refuse_beside("args", args->reading.other, why);
    }
    enqueue->job = args->map;
    enqueue->mixed = (args->reading.seen & ARGUMENTS_OWN) != 0;
    return REEVE_OK;
}

static enum reeve_err settle_beside(struct envelope *envelope, const struct job_reading *reading,
                                    struct reeve_span message, struct reeve_why *why)
{
    struct reeve_enqueue *enqueue = &envelope->enqueue;
    enqueue->brief = envelope->beside.brief;
    enqueue->jobs = envelope->beside.jobs;
    if (enqueue->jobs.len > 0) {
        return reading->other.data == NULL ? REEVE_OK : refuse_beside("", reading->other, why);
    }
    enqueue->job = message;
    enqueue->mixed = true;
    return REEVE_OK;
}

enum reeve_err reeve_enqueue_read(const void *data, size_t len, struct reeve_enqueue *ret, struct reeve_why *why)
{
    struct envelope envelope = {0};
    struct job_reading reading = {0};
    struct reeve_cursor cursor = REEVE_CURSOR(data, len);
    *ret = (struct reeve_enqueue){0};
    if (len > reeve_limits_wire.bytes_max) {
        return reeve_fail(why, REEVE_LIMIT, "payload has %zu bytes, at most %zu are allowed", len,
                          reeve_limits_wire.bytes_max);
    }
    enum reeve_err err = job_record_read(&cursor, &envelope_record, "", &envelope, &reading, why);
    err = err == REEVE_OK ? reeve_cursor_end(&cursor, why) : err;
    if (err == REEVE_OK && envelope.signed_ && envelope.sig) {
        err = reeve_fail(why, REEVE_UNSUPPORTED, "signed commands are not supported here");
    }
    if (err == REEVE_OK) {
        err = envelope.args.map.len > 0 ? settle_args(&envelope, why)
                                        : settle_beside(&envelope, &reading, (struct reeve_span){data, len}, why);
    }
    *ret = err == REEVE_OK ? envelope.enqueue
                           : (struct reeve_enqueue){.id = envelope.enqueue.id, .reply_to = envelope.enqueue.reply_to};
    return err;
}

// ---- other spellings -----------------------------------------------------------------------------------------

enum reeve_err reeve_enqueue_clean(struct reeve_enqueue *enqueue, struct reeve_buf *scratch)
{
    struct reeve_cursor cursor = REEVE_CURSOR(enqueue->job.data, enqueue->job.len);
    size_t from = scratch->len;
    size_t place = reeve_pack_map_open(scratch);
    size_t kept = 0;
    for (size_t left = reeve_cursor_map(&cursor); left > 0; left--) {
        const unsigned char *pair = cursor.at;
        struct reeve_span key = reeve_cursor_str(&cursor);
        (void)reeve_cursor_skip(&cursor); /* read once already */
        if (!is_own_key(key)) {
            reeve_buf_append(scratch, pair, (size_t)(cursor.at - pair));
            kept++;
        }
    }
    reeve_pack_list_close(scratch, place, kept);
    if (scratch->err == REEVE_OK) {
        enqueue->job = (struct reeve_span){scratch->data + from, scratch->len - from};
        enqueue->mixed = false;
    }
    return scratch->err;
}

static enum reeve_err from_json(const void *data, size_t len, struct reeve_buf *scratch, struct reeve_enqueue *ret,
                                struct reeve_why *why)
{
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO job = REEVE_BUF_INIT(0);
    enum reeve_err err = reeve_json_read(data, len, &reeve_limits_wire, NULL, &value, why);
    err = err == REEVE_OK ? reeve_msgpack_write(value, scratch) : err;
    size_t message_len = scratch->len;
    err = err == REEVE_OK ? reeve_enqueue_read(scratch->data, message_len, ret, why) : err;
    if (err != REEVE_OK || !ret->mixed) {
        return err;
    }
    // The message itself lies in `scratch`, which moves when the job is added.
    err = reeve_enqueue_clean(ret, &job);
    reeve_buf_append(scratch, job.data, job.len);
    if (err != REEVE_OK || scratch->err != REEVE_OK) {
        return err != REEVE_OK ? err : scratch->err;
    }
    err = reeve_enqueue_read(scratch->data, message_len, ret, why);
    ret->job = (struct reeve_span){scratch->data + message_len, scratch->len - message_len};
    ret->mixed = false;
    return err;
}

enum reeve_err reeve_enqueue_decode(const void *data, size_t len, struct reeve_buf *scratch, struct reeve_enqueue *ret,
                                    struct reeve_why *why)
{
    *ret = (struct reeve_enqueue){0};
    reeve_buf_reset(scratch);
    unsigned char first = len > 0 ? *(const unsigned char *)data : 0;
    if (first == '{') {
        return from_json(data, len, scratch, ret, why);
    }
    if ((first & 0xf0) != 0x80 && first != 0xde && first != 0xdf) {
        return reeve_fail(why, REEVE_INVALID,
                          "%s given, expected a job or {jobs: [..]}: a JSON object or a msgpack map",
                          len == 0 ? "nothing" : "text");
    }
    enum reeve_err err = reeve_enqueue_read(data, len, ret, why);
    return err == REEVE_OK && ret->mixed ? reeve_enqueue_clean(ret, scratch) : err;
}
