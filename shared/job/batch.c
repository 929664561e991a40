// What a manager hands to a worker [job-12]: jobs, cancels, abandons.
// Must not: know links or sessions; who reads it compares.
#include "fields.h"

#define EPOCH_TEXT "a whole number from 1 to 9007199254740991"
#define COUNT_TEXT "a whole number, not negative"
#define TIME_TEXT  "whole milliseconds, not negative"
#define ID_TEXT    "1 to 80 of A-Z a-z 0-9 _ -"

#define EPOCH(name_, required_, at_)                                                                                   \
    {                                                                                                                  \
        JOB_FIELD(name_), .type = JOB_FIELD_INT, .required = (required_), .offset = (at_), .min = (required_) ? 1 : 0, \
                          .max = JOB_AT_MAX - 1, .expected = EPOCH_TEXT                                                \
    }
#define COUNT(name_, at_)                                                                                              \
    {                                                                                                                  \
        JOB_FIELD(name_), .type = JOB_FIELD_INT, .offset = (at_), .min = 0, .max = INT64_MAX, .expected = COUNT_TEXT   \
    }
#define TIME(name_, at_)                                                                                               \
    {                                                                                                                  \
        JOB_FIELD(name_), .type = JOB_FIELD_INT, .offset = (at_), .min = 0, .max = INT64_MAX, .expected = TIME_TEXT    \
    }
#define ID(at_)                                                                                                        \
    {                                                                                                                  \
        JOB_FIELD("id"), .type = JOB_FIELD_ID, .required = true, .offset = (at_), .max = REEVE_JOB_ID_SIZE - 1,        \
                         .expected = ID_TEXT                                                                           \
    }
#define ATTEMPT(at_)                                                                                                   \
    {                                                                                                                  \
        JOB_FIELD("attempt"), .type = JOB_FIELD_INT, .required = true, .offset = (at_), .min = 1, .max = INT64_MAX,    \
                              .expected = "a whole number from 1"                                                      \
    }

#define AT(member) offsetof(struct reeve_job_batch, member)
static const struct job_field batch_fields[] = {
    {JOB_FIELD("queue"), .type = JOB_FIELD_ID, .required = true, .offset = AT(queue), .max = REEVE_NAME_LEN_MAX,
     .expected = "the name of a queue"},
    EPOCH("manager_epoch", true, AT(manager_epoch)),
    EPOCH("worker_epoch", true, AT(worker_epoch)),
    COUNT("seq", AT(seq)),
    COUNT("ack", AT(ack)),
    TIME("lease_ms", AT(lease_ms)),
    {JOB_FIELD("hello"), .type = JOB_FIELD_BOOL, .offset = AT(hello)},
    {JOB_FIELD("jobs"), .type = JOB_FIELD_LIST, .offset = AT(jobs), .expected = "a list of jobs"},
    {JOB_FIELD("cancels"), .type = JOB_FIELD_LIST, .offset = AT(cancels), .expected = "a list of maps"},
    {JOB_FIELD("abandons"), .type = JOB_FIELD_LIST, .offset = AT(abandons), .expected = "a list of maps"},
};
#undef AT
static const struct job_record batch_record = JOB_RECORD("a map of jobs for a worker", false, batch_fields);

#define AT(member) offsetof(struct reeve_job_item, member)
static const struct job_field item_fields[] = {
    ID(AT(id)),
    ATTEMPT(AT(attempt)),
    {JOB_FIELD("type"), .type = JOB_FIELD_NAME, .required = true, .offset = AT(type),
     .expected = "1 to 63 of A-Z a-z 0-9 _ - ."},
    {JOB_FIELD("payload"), .type = JOB_FIELD_VALUE, .offset = AT(payload)},
    {JOB_FIELD("checkpoint"), .type = JOB_FIELD_VALUE, .offset = AT(checkpoint)},
    {JOB_FIELD("reconcile"), .type = JOB_FIELD_BOOL, .offset = AT(reconcile)},
    TIME("timeout_ms", AT(timeout_ms)),
};
#undef AT
static const struct job_record item_record = JOB_RECORD("a job: a map", false, item_fields);

#define AT(member) offsetof(struct reeve_job_notice, member)
static const struct job_field notice_fields[] = {
    ID(AT(id)),
    ATTEMPT(AT(attempt)),
    {JOB_FIELD("reason"), .type = JOB_FIELD_LINES, .offset = AT(reason), .expected = "text"},
    TIME("grace_ms", AT(grace_ms)),
};
#undef AT
static const struct job_record notice_record = JOB_RECORD("a map of id and attempt", false, notice_fields);

enum reeve_err reeve_job_batch_read(const void *data, size_t len, struct reeve_job_batch *ret, struct reeve_why *why)
{
    struct reeve_job_batch batch = {0};
    struct reeve_cursor cursor = REEVE_CURSOR(data, len);
    enum reeve_err err = job_record_read(&cursor, &batch_record, "", &batch, NULL, why);
    err = err == REEVE_OK ? reeve_cursor_end(&cursor, why) : err;
    if (err == REEVE_OK) {
        *ret = batch;
    }
    return err;
}

enum reeve_err reeve_job_item_read(struct reeve_cursor *cursor, struct reeve_job_item *ret)
{
    struct reeve_job_item item = {0};
    enum reeve_err err = job_record_read(cursor, &item_record, "", &item, NULL, NULL);
    *ret = item;
    return err;
}

enum reeve_err reeve_job_notice_read(struct reeve_cursor *cursor, struct reeve_job_notice *ret)
{
    struct reeve_job_notice notice = {0};
    enum reeve_err err = job_record_read(cursor, &notice_record, "", &notice, NULL, NULL);
    *ret = notice;
    return err;
}

// ---- writing ----------------------------------------------------------------------------------------------------

enum { NO_LIST, JOBS, CANCELS, ABANDONS };

#define PUT_INT(writer_, literal, number_)                                                                             \
    do {                                                                                                               \
        JOB_PUT_KEY((writer_)->buf, literal);                                                                          \
        reeve_pack_int((writer_)->buf, (number_));                                                                     \
        (writer_)->keys_len++;                                                                                         \
    } while (0)

void reeve_job_batch_begin(struct reeve_job_batch_writer *writer, struct reeve_buf *buf,
                           const struct reeve_job_batch *head)
{
    *writer = (struct reeve_job_batch_writer){.buf = buf, .keys_place = job_map_open(buf), .keys_len = 1};
    JOB_PUT_KEY(buf, "queue");
    reeve_pack_span(buf, head->queue);
    PUT_INT(writer, "manager_epoch", head->manager_epoch);
    PUT_INT(writer, "worker_epoch", head->worker_epoch);
    if (head->seq != 0) {
        PUT_INT(writer, "seq", head->seq);
    }
    if (head->ack != 0) {
        PUT_INT(writer, "ack", head->ack);
    }
    if (head->lease_ms != 0) {
        PUT_INT(writer, "lease_ms", head->lease_ms);
    }
    if (head->hello) {
        JOB_PUT_KEY(buf, "hello");
        reeve_pack_bool(buf, true);
        writer->keys_len++;
    }
}

static void close_list(struct reeve_job_batch_writer *writer)
{
    if (writer->list != NO_LIST) {
        reeve_pack_list_close(writer->buf, writer->list_place, writer->list_len);
    }
}

// Room for one more in `list`; lists come in order.
static void next_in(struct reeve_job_batch_writer *writer, int list)
{
    static const char *const names[] = {[JOBS] = "jobs", [CANCELS] = "cancels", [ABANDONS] = "abandons"};
    REEVE_ASSERT(list >= writer->list);
    if (list != writer->list) {
        close_list(writer);
        job_put_key(writer->buf, names[list], strlen(names[list]));
        writer->list_place = reeve_pack_list_open(writer->buf);
        writer->list_len = 0;
        writer->list = list;
        writer->keys_len++;
    }
    writer->list_len++;
}

static void put_raw_opt(struct reeve_buf *buf, const char *key, size_t key_len, struct reeve_span msgpack)
{
    if (msgpack.len > 0) {
        job_put_key(buf, key, key_len);
        reeve_pack_raw(buf, msgpack);
    }
}
#define PUT_RAW_OPT(buf, literal, msgpack) put_raw_opt((buf), (literal), sizeof(literal) - 1, (msgpack))

void reeve_job_batch_job(struct reeve_job_batch_writer *writer, const struct reeve_job_item *item)
{
    struct reeve_buf *buf = writer->buf;
    next_in(writer, JOBS);
    reeve_pack_map(buf, 3u + (item->payload.len > 0) + (item->checkpoint.len > 0) + item->reconcile +
                            (item->timeout_ms != 0));
    JOB_PUT_KEY(buf, "id");
    reeve_pack_span(buf, item->id);
    JOB_PUT_KEY(buf, "attempt");
    reeve_pack_int(buf, item->attempt);
    JOB_PUT_KEY(buf, "type");
    reeve_pack_span(buf, item->type);
    PUT_RAW_OPT(buf, "payload", item->payload);
    PUT_RAW_OPT(buf, "checkpoint", item->checkpoint);
    if (item->reconcile) {
        JOB_PUT_KEY(buf, "reconcile");
        reeve_pack_bool(buf, true);
    }
    if (item->timeout_ms != 0) {
        JOB_PUT_KEY(buf, "timeout_ms");
        reeve_pack_int(buf, item->timeout_ms);
    }
}

static void put_notice(struct reeve_job_batch_writer *writer, int list, const struct reeve_job_notice *notice)
{
    struct reeve_buf *buf = writer->buf;
    next_in(writer, list);
    reeve_pack_map(buf, 2u + (notice->reason.len > 0) + (notice->grace_ms != 0));
    JOB_PUT_KEY(buf, "id");
    reeve_pack_span(buf, notice->id);
    JOB_PUT_KEY(buf, "attempt");
    reeve_pack_int(buf, notice->attempt);
    if (notice->reason.len > 0) {
        JOB_PUT_KEY(buf, "reason");
        reeve_pack_span(buf, notice->reason);
    }
    if (notice->grace_ms != 0) {
        JOB_PUT_KEY(buf, "grace_ms");
        reeve_pack_int(buf, notice->grace_ms);
    }
}

void reeve_job_batch_cancel(struct reeve_job_batch_writer *writer, const struct reeve_job_notice *notice)
{
    put_notice(writer, CANCELS, notice);
}

void reeve_job_batch_abandon(struct reeve_job_batch_writer *writer, const struct reeve_job_notice *notice)
{
    put_notice(writer, ABANDONS, notice);
}

enum reeve_err reeve_job_batch_end(struct reeve_job_batch_writer *writer)
{
    close_list(writer);
    job_map_close(writer->buf, writer->keys_place, writer->keys_len);
    return writer->buf->err;
}
