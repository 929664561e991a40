// What a worker tells of its jobs [job-13].
// Must not: know links or sessions; who reads it compares.
#include "fields.h"

#include <reeve/str.h>

#include <string.h>

#define ID_TEXT     "1 to 80 of A-Z a-z 0-9 _ -"
#define COUNT_TEXT  "a whole number, not negative"
#define TYPES_TEXT  "a list of types, or of *"
#define WORKER_TEXT "node/worker"

// ---- the report -------------------------------------------------------------------------------------------------

static bool name_valid(const char *text, size_t len)
{
    char name[REEVE_NAME_SIZE];
    if (len == 0 || len >= sizeof(name)) {
        return false;
    }
    memcpy(name, text, len);
    name[len] = '\0';
    return reeve_name_check(name, NULL) == REEVE_OK;
}

static enum reeve_err read_worker(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    char quoted[JOB_QUOTED_SIZE];
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return job_refuse_kind(cursor, path, WORKER_TEXT, why);
    }
    struct reeve_span worker = reeve_cursor_str(cursor);
    const char *slash = worker.len > 0 ? memchr(worker.data, '/', worker.len) : NULL;
    size_t node_len = slash != NULL ? (size_t)(slash - worker.data) : 0;
    if (slash == NULL || !name_valid(worker.data, node_len) || !name_valid(slash + 1, worker.len - node_len - 1)) {
        return reeve_fail_at(why, REEVE_INVALID, path, "is %s, expected " WORKER_TEXT, job_quote(worker, quoted));
    }
    ((struct reeve_job_report *)object)->worker = worker;
    return REEVE_OK;
}

// A list of types into `slot`.
static enum reeve_err read_type_list(struct reeve_cursor *cursor, const char *path, struct reeve_span *slot,
                                     struct reeve_why *why)
{
    char quoted[JOB_QUOTED_SIZE];
    if (reeve_cursor_kind(cursor) != REEVE_LIST) {
        return job_refuse_kind(cursor, path, TYPES_TEXT, why);
    }
    struct reeve_span list = reeve_cursor_skip(cursor);
    struct reeve_cursor inside = REEVE_CURSOR(list.data, list.len);
    for (size_t left = list.len > 0 ? reeve_cursor_list(&inside) : 0; left > 0; left--) {
        if (reeve_cursor_kind(&inside) != REEVE_STR) {
            return job_refuse_kind(&inside, path, TYPES_TEXT, why);
        }
        struct reeve_span type = reeve_cursor_str(&inside);
        if (!reeve_span_is(type, "*") && !reeve_job_type_valid(type)) {
            return reeve_fail_at(why, REEVE_INVALID, path, "has %s, expected " TYPES_TEXT, job_quote(type, quoted));
        }
    }
    *slot = list;
    return cursor->err;
}

static enum reeve_err read_types(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    return read_type_list(cursor, path, &((struct reeve_job_report *)object)->types, why);
}

static enum reeve_err read_reconciles(struct reeve_cursor *cursor, const char *path, void *object,
                                      struct reeve_why *why)
{
    return read_type_list(cursor, path, &((struct reeve_job_report *)object)->reconciles, why);
}

#define AT(member) offsetof(struct reeve_job_report, member)
static const struct job_field report_fields[] = {
    {JOB_FIELD("worker"), .type = JOB_FIELD_OWN, .required = true, .read = read_worker, .expected = WORKER_TEXT},
    {JOB_FIELD("epoch"), .type = JOB_FIELD_INT, .required = true, .offset = AT(epoch), .min = 1, .max = JOB_AT_MAX - 1,
     .expected = "a whole number from 1 to 9007199254740991"},
    {JOB_FIELD("seq"), .type = JOB_FIELD_INT, .required = true, .offset = AT(seq), .min = 1, .max = INT64_MAX,
     .expected = "a whole number from 1"},
    {JOB_FIELD("got"), .type = JOB_FIELD_INT, .offset = AT(got), .min = 0, .max = INT64_MAX, .expected = COUNT_TEXT},
    {JOB_FIELD("capacity"), .type = JOB_FIELD_INT, .required = true, .offset = AT(capacity), .min = 0,
     .max = REEVE_JOB_CAPACITY_MAX, .expected = "a whole number from 0 to 65536"},
    {JOB_FIELD("manager_epoch"), .type = JOB_FIELD_INT, .offset = AT(manager_epoch), .min = 0, .max = JOB_AT_MAX - 1,
     .expected = "a whole number from 0 to 9007199254740991"},
    {JOB_FIELD("hello"), .type = JOB_FIELD_BOOL, .offset = AT(hello)},
    {JOB_FIELD("types"), .type = JOB_FIELD_OWN, .read = read_types},
    {JOB_FIELD("reconciles"), .type = JOB_FIELD_OWN, .read = read_reconciles},
    {JOB_FIELD("hand"), .type = JOB_FIELD_LIST, .offset = AT(hand), .expected = "a list of [id, attempt]"},
    {JOB_FIELD("entries"), .type = JOB_FIELD_LIST, .offset = AT(entries), .expected = "a list of maps"},
};
#undef AT
static const struct job_record report_record = JOB_RECORD("a report: a map", false, report_fields);

enum reeve_err reeve_job_report_read(const void *data, size_t len, struct reeve_job_report *ret, struct reeve_why *why)
{
    struct reeve_job_report report = {0};
    struct reeve_cursor cursor = REEVE_CURSOR(data, len);
    enum reeve_err err = job_record_read(&cursor, &report_record, "", &report, NULL, why);
    err = err == REEVE_OK ? reeve_cursor_end(&cursor, why) : err;
    if (err == REEVE_OK) {
        *ret = report;
    }
    return err;
}

// ---- what happened ----------------------------------------------------------------------------------------------

static enum reeve_err read_outcome(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    char quoted[JOB_QUOTED_SIZE];
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return job_refuse_kind(cursor, path, "an outcome such as done", why);
    }
    struct reeve_span text = reeve_cursor_str(cursor);
    for (int i = 0; i < REEVE_JOB_OUTCOME_COUNT; i++) {
        if (reeve_span_is(text, reeve_job_outcome_text((enum reeve_job_outcome)i))) {
            ((struct reeve_job_entry *)object)->outcome = (enum reeve_job_outcome)i;
            return REEVE_OK;
        }
    }
    return reeve_fail_at(why, REEVE_INVALID, path, "%s is no outcome", job_quote(text, quoted));
}

// Rounding may bring a worker slightly past the ends.
static enum reeve_err read_progress(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    struct reeve_cursor trial = *cursor;
    double progress = reeve_cursor_real(&trial);
    if (trial.err != REEVE_OK) {
        return job_refuse_kind(cursor, path, "a number from 0 to 1", why);
    }
    *cursor = trial;
    ((struct reeve_job_entry *)object)->progress = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    return REEVE_OK;
}

#define AT(member) offsetof(struct reeve_job_entry, member)
static const struct job_field entry_fields[] = {
    {JOB_FIELD("id"), .type = JOB_FIELD_ID, .required = true, .offset = AT(id), .max = REEVE_JOB_ID_SIZE - 1,
     .expected = ID_TEXT},
    {JOB_FIELD("attempt"), .type = JOB_FIELD_INT, .required = true, .offset = AT(attempt), .min = 1, .max = INT64_MAX,
     .expected = "a whole number from 1"},
    {JOB_FIELD("outcome"), .type = JOB_FIELD_OWN, .required = true, .read = read_outcome, .expected = "an outcome"},
    {JOB_FIELD("data"), .type = JOB_FIELD_VALUE, .offset = AT(data)},
    {JOB_FIELD("error"), .type = JOB_FIELD_LINES, .offset = AT(error), .expected = "text"},
    {JOB_FIELD("text"), .type = JOB_FIELD_LINES, .offset = AT(text), .expected = "text"},
    {JOB_FIELD("progress"), .type = JOB_FIELD_OWN, .read = read_progress},
    {JOB_FIELD("delay_ms"), .type = JOB_FIELD_INT, .offset = AT(delay_ms), .min = 0, .max = JOB_DELAY_MAX,
     .expected = JOB_DELAY_TEXT},
};
#undef AT
static const struct job_record entry_record = JOB_RECORD("a map of id, attempt, outcome", false, entry_fields);

enum reeve_err reeve_job_entry_read(struct reeve_cursor *cursor, struct reeve_job_entry *ret)
{
    struct reeve_job_entry entry = {.progress = -1, .delay_ms = -1, .outcome = REEVE_JOB_OUTCOME_COUNT};
    enum reeve_err err = job_record_read(cursor, &entry_record, "", &entry, NULL, NULL);
    *ret = entry;
    return err;
}

enum reeve_err reeve_job_hand_read(struct reeve_cursor *cursor, struct reeve_span *ret_id, int64_t *ret_attempt)
{
    struct reeve_span pair = reeve_cursor_skip(cursor);
    if (cursor->err != REEVE_OK) {
        return cursor->err;
    }
    struct reeve_cursor inside = REEVE_CURSOR(pair.data, pair.len);
    size_t len = reeve_cursor_list(&inside);
    struct reeve_span id = reeve_cursor_str(&inside);
    int64_t attempt = reeve_cursor_int(&inside);
    if (inside.err != REEVE_OK || len != 2 || !reeve_job_id_valid(id) || attempt < 1) {
        return REEVE_INVALID;
    }
    *ret_id = id;
    *ret_attempt = attempt;
    return REEVE_OK;
}

// ---- writing ----------------------------------------------------------------------------------------------------

static void put_int(struct reeve_job_report_writer *writer, const char *key, int64_t number)
{
    job_put_key(writer->buf, key, strlen(key));
    reeve_pack_int(writer->buf, number);
    writer->keys_len++;
}

static void put_list(struct reeve_job_report_writer *writer, const char *key, struct reeve_span msgpack)
{
    if (msgpack.len > 0) {
        job_put_key(writer->buf, key, strlen(key));
        reeve_pack_raw(writer->buf, msgpack);
        writer->keys_len++;
    }
}

void reeve_job_report_begin(struct reeve_job_report_writer *writer, struct reeve_buf *buf,
                            const struct reeve_job_report *head)
{
    *writer = (struct reeve_job_report_writer){.buf = buf, .keys_place = job_map_open(buf), .keys_len = 1};
    JOB_PUT_KEY(buf, "worker");
    reeve_pack_span(buf, head->worker);
    put_int(writer, "epoch", head->epoch);
    put_int(writer, "seq", head->seq);
    if (head->got != 0) {
        put_int(writer, "got", head->got);
    }
    put_int(writer, "capacity", head->capacity);
    if (head->manager_epoch != 0) {
        put_int(writer, "manager_epoch", head->manager_epoch);
    }
    if (head->hello) {
        JOB_PUT_KEY(buf, "hello");
        reeve_pack_bool(buf, true);
        writer->keys_len++;
    }
    put_list(writer, "types", head->types);
    put_list(writer, "reconciles", head->reconciles);
    put_list(writer, "hand", head->hand);
}

static void put_text_opt(struct reeve_buf *buf, const char *key, size_t key_len, struct reeve_span text)
{
    if (text.len > 0) {
        job_put_key(buf, key, key_len);
        reeve_pack_span(buf, text);
    }
}
#define PUT_TEXT_OPT(buf, literal, text) put_text_opt((buf), (literal), sizeof(literal) - 1, (text))

void reeve_job_report_entry(struct reeve_job_report_writer *writer, const struct reeve_job_entry *entry)
{
    struct reeve_buf *buf = writer->buf;
    const char *outcome = reeve_job_outcome_text(entry->outcome);
    if (writer->list_len++ == 0) {
        JOB_PUT_KEY(buf, "entries");
        writer->list_place = reeve_pack_list_open(buf);
        writer->keys_len++;
    }
    reeve_pack_map(buf, 3u + (entry->data.len > 0) + (entry->error.len > 0) + (entry->text.len > 0) +
                            (entry->progress >= 0) + (entry->delay_ms >= 0));
    JOB_PUT_KEY(buf, "id");
    reeve_pack_span(buf, entry->id);
    JOB_PUT_KEY(buf, "attempt");
    reeve_pack_int(buf, entry->attempt);
    JOB_PUT_KEY(buf, "outcome");
    job_put_key(buf, outcome, strlen(outcome)); // a short word of ours, as a key is
    if (entry->data.len > 0) {
        JOB_PUT_KEY(buf, "data");
        reeve_pack_raw(buf, entry->data);
    }
    PUT_TEXT_OPT(buf, "error", entry->error);
    PUT_TEXT_OPT(buf, "text", entry->text);
    if (entry->progress >= 0) {
        JOB_PUT_KEY(buf, "progress");
        reeve_pack_real(buf, entry->progress);
    }
    if (entry->delay_ms >= 0) {
        JOB_PUT_KEY(buf, "delay_ms");
        reeve_pack_int(buf, entry->delay_ms);
    }
}

enum reeve_err reeve_job_report_end(struct reeve_job_report_writer *writer)
{
    if (writer->list_len > 0) {
        reeve_pack_list_close(writer->buf, writer->list_place, writer->list_len);
    }
    job_map_close(writer->buf, writer->keys_place, writer->keys_len);
    return writer->buf->err;
}
