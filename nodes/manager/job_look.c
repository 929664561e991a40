// Ops that look at jobs: list, show, explain, logs [job-9]; and what is known of one, for those that change them.
// Must not: change a job.
#include "queue_ops.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX        1000
#define LIST_ERROR_MAX  200          // bytes of an error in a list
#define SHOWN_BYTES_MAX (900u << 10) // of payload, checkpoint and result in one reply; the largest are left out

const struct reeve_choice job_state_choices[] = {{"any", REEVE_JOB_STATE_COUNT},
#define X(id, text, live) {text, REEVE_JOB_##id},
                                                 REEVE_JOB_STATE_LIST(X)
#undef X
                                                     {NULL, 0}};

// ---- one job, found -----------------------------------------------------------------------------------------------

void job_seen_done(struct job_seen *seen)
{
    reeve_buf_done(&seen->raw);
    reeve_buf_done(&seen->result);
}

static enum reeve_err see_body(struct job_seen *seen, struct reeve_why *why)
{
    struct job_body body = {0};
    enum reeve_err err = seen->live != NULL ? job_load(seen->live, &body.id, &body.raw, why)
                                            : job_store_body(seen->queue->store, seen->number, &body, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(seen->id, sizeof seen->id, "%.*s", (int)body.id.len, body.id.data); /* ours */
    reeve_buf_append(&seen->raw, body.raw.data, body.raw.len); // the next call of the store takes it back
    if (seen->raw.len > 0) {
        struct reeve_cursor cursor = REEVE_CURSOR(seen->raw.data, seen->raw.len);
        seen->has_spec = reeve_job_spec_read(&cursor, &seen->spec, NULL) == REEVE_OK;
    }
    return seen->raw.err;
}

static void see_last_error(struct job_seen *seen)
{
    struct reeve_span error;
    if (seen->live->failures + seen->live->deaths > 0 &&
        job_store_note(seen->queue->store, seen->number, JOB_NOTE_ERROR, &error, NULL) == REEVE_OK) {
        (void)snprintf(seen->error, sizeof seen->error, "%.*s", (int)error.len, error.data); /* cut */
    }
}

static enum reeve_err see_ended(struct job_seen *seen, struct reeve_why *why)
{
    enum reeve_err err = job_store_ended(seen->queue->store, seen->number, &seen->ended, why);
    if (err != REEVE_OK) {
        return err;
    }
    const struct job_ended_row *row = &seen->ended;
    (void)snprintf(seen->worker, sizeof seen->worker, "%.*s", (int)row->worker.len,
                   row->worker.len > 0 ? row->worker.data : ""); /* ours */
    (void)snprintf(seen->error, sizeof seen->error, "%.*s", (int)row->error.len,
                   row->error.len > 0 ? row->error.data : ""); /* cut */
    reeve_buf_append(&seen->result, row->result.data, row->result.len);
    seen->ended.worker = seen->ended.error = seen->ended.result = (struct reeve_span){0};
    return seen->result.err;
}

enum reeve_err job_see(struct queue *queue, int64_t number, struct job_seen *seen, struct reeve_why *why)
{
    *seen = (struct job_seen){.queue = queue, .number = number, .live = job_index_get(queue->queues->index, number)};
    seen->raw = (struct reeve_buf)REEVE_BUF_INIT(2u << 20);
    seen->result = (struct reeve_buf)REEVE_BUF_INIT(2u << 20);
    enum reeve_err err = seen->live == NULL ? see_ended(seen, why) : REEVE_OK;
    err = err == REEVE_OK ? see_body(seen, why) : err;
    if (err == REEVE_OK && seen->live != NULL) {
        (void)snprintf(seen->worker, sizeof seen->worker, "%s",
                       seen->live->text != NULL ? seen->live->text->worker : ""); /* fits */
        see_last_error(seen);
    }
    return err;
}

enum reeve_err job_find(struct queue *queue, const char *id, int64_t *ret, struct reeve_why *why)
{
    struct reeve_span span = {id, strlen(id)};
    enum reeve_err err =
        reeve_job_id_valid(span) ? job_store_find(queue->store, queue->number, span, ret, why) : REEVE_NOENT;
    return err == REEVE_NOENT ? reeve_fail(why, err, "no job %.80s in queue %s", id, queue->name) : err;
}

static enum reeve_job_state state_of(const struct job_seen *seen)
{
    return seen->live != NULL ? (enum reeve_job_state)seen->live->state : seen->ended.state;
}

static void put_time(struct reeve_value *value, const char *key, int64_t at)
{
    if (at > 0) {
        reeve_put_int(value, key, at);
    }
}

static void put_live(const struct job_seen *seen, struct reeve_value *value)
{
    const struct job *job = seen->live;
    reeve_put_int(value, "attempt", job->attempt);
    put_time(value, "added_at", job->added_at);
    put_time(value, "run_at", job->state == REEVE_JOB_DELAYED || job->attempt == 0 ? job->run_at : 0);
    put_time(value, "started_at", job->started_at);
    if (job->text != NULL && job->text->progress >= 0) {
        (void)reeve_value_put(value, "progress",
                              reeve_value_float(job->text->progress)); /* remembered: reeve_value_built() */
    }
}

static void put_ended(const struct job_seen *seen, struct reeve_value *value)
{
    reeve_put_int(value, "attempt", seen->ended.attempt);
    put_time(value, "added_at", seen->ended.added_at);
    put_time(value, "started_at", seen->ended.started_at);
    put_time(value, "ended_at", seen->ended.ended_at);
}

static struct reeve_value *seen_value(const struct job_seen *seen, size_t error_max)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "id", seen->id);
    if (seen->has_spec) {
        (void)reeve_value_put(value, "type",
                              reeve_value_strn(seen->spec.type.data, seen->spec.type.len)); /* remembered */
    }
    reeve_put_str(value, "state", reeve_job_state_text(state_of(seen)));
    if (seen->has_spec) {
        reeve_put_int(value, "priority", seen->spec.priority);
    }
    if (seen->live != NULL) {
        put_live(seen, value);
    } else {
        put_ended(seen, value);
    }
    reeve_put_str_opt(value, "worker", seen->worker);
    if (seen->error[0] != '\0') {
        (void)reeve_value_put(value, "error",
                              reeve_value_strn(seen->error, strnlen(seen->error, error_max))); /* remembered */
    }
    return value;
}

// ---- list ---------------------------------------------------------------------------------------------------------

struct list_args {
    struct job_filter filter;
    int64_t before;
};

static const struct reeve_field list_fields[] = {
    JOB_FILTER_FIELDS(struct list_args, filter., LIST_MAX, "100"),
    {.name = "before",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct list_args, before),
     .min = 0,
     .max = INT64_MAX,
     .preset = "0",
     .doc = "Go on behind a former list: its `next`."},
};
const struct reeve_record op_queue_list_args = REEVE_RECORD("list", struct list_args, list_fields, "");

void job_filter_pick(const struct job_filter *filter, const bool states[REEVE_JOB_STATE_COUNT], struct job_pick *ret)
{
    for (int i = 0; i < REEVE_JOB_STATE_COUNT; i++) {
        ret->states[i] = filter->state == REEVE_JOB_STATE_COUNT ? states[i] : filter->state == i;
    }
    ret->type = filter->type;
    ret->key = filter->key;
    ret->error = filter->error;
    ret->older_than_ms = filter->older_than_ms;
}

enum reeve_err op_queue_list_run(struct call *call, struct reeve_why *why)
{
    static const bool any[REEVE_JOB_STATE_COUNT] = {true, true, true, true, true, true, true};
    const struct list_args *args = call->args;
    struct queue *queue = queue_of_call(call, why);
    struct job_pick pick = {.limit = args->filter.limit, .before = args->before};
    if (queue == NULL) {
        return REEVE_NOENT;
    }
    job_filter_pick(&args->filter, any, &pick);
    enum reeve_err err = job_pick_run(queue, &pick, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *jobs = reeve_value_list();
    for (size_t i = 0; i < pick.len; i++) {
        JOB_SEEN_AUTO seen;
        if (job_see(queue, pick.numbers[i], &seen, NULL) == REEVE_OK) {
            (void)reeve_value_add(jobs, seen_value(&seen, LIST_ERROR_MAX)); /* remembered: reeve_value_built() */
        }
    }
    (void)reeve_value_put(result, "jobs", jobs); /* as above */
    reeve_put_bool(result, "more", pick.more);
    reeve_put_int(result, "next", pick.more ? pick.next : 0);
    job_pick_done(&pick);
    return call_done(call, result, NULL);
}

// ---- show, explain, logs ------------------------------------------------------------------------------------------

struct id_args {
    char *id;
};
#define ID_FIELD                                                                                                       \
    {                                                                                                                  \
        .name = "id", .type = REEVE_FIELD_STR, .flags = REEVE_FIELD_REQUIRED | REEVE_FIELD_SCALAR_OK,                  \
        .offset = offsetof(struct id_args, id), .min = 1, .max = REEVE_JOB_ID_SIZE - 1, .doc = "Id of the job."        \
    }
static const struct reeve_field id_fields[] = {ID_FIELD};
const struct reeve_record op_queue_show_args = REEVE_RECORD("show", struct id_args, id_fields, "");
const struct reeve_record op_queue_explain_args = REEVE_RECORD("explain", struct id_args, id_fields, "");
const struct reeve_record op_queue_logs_args = REEVE_RECORD("logs", struct id_args, id_fields, "");

// The queue and the job that a call is about.
static enum reeve_err meant(struct call *call, struct queue **ret_queue, int64_t *ret, struct reeve_why *why)
{
    *ret_queue = queue_of_call(call, why);
    return *ret_queue == NULL ? REEVE_NOENT : job_find(*ret_queue, ((const struct id_args *)call->args)->id, ret, why);
}

static struct reeve_value *tree_of(struct reeve_span bytes)
{
    static const struct reeve_limits limits = {.bytes_max = 2u << 20, .depth_max = 16, .entries_max = 1u << 20};
    struct reeve_value *tree = NULL;
    return bytes.len > 0 && reeve_msgpack_read(bytes.data, bytes.len, &limits, NULL, &tree, NULL) == REEVE_OK ? tree
                                                                                                              : NULL;
}

static void put_tree(struct reeve_value *value, const char *key, struct reeve_span bytes)
{
    struct reeve_value *tree = tree_of(bytes);
    if (tree != NULL) {
        (void)reeve_value_put(value, key, tree); /* remembered: reeve_value_built() */
    }
}

// So that the reply is one message: what is largest is told by its size.
static void put_bodies(const struct job_seen *seen, struct reeve_value *value)
{
    struct reeve_span checkpoint = {0};
    REEVE_BUF_AUTO kept = REEVE_BUF_INIT(2u << 20);
    if (job_store_note(seen->queue->store, seen->number, JOB_NOTE_CHECKPOINT, &checkpoint, NULL) == REEVE_OK) {
        reeve_buf_append(&kept, checkpoint.data, checkpoint.len);
    }
    const struct {
        const char *key, *size_key;
        struct reeve_span bytes;
    } rows[] = {{"result", "result_bytes", {seen->result.data, seen->result.len}},
                {"checkpoint", "checkpoint_bytes", {kept.data, kept.len}},
                {"payload", "payload_bytes", seen->has_spec ? seen->spec.payload : (struct reeve_span){0}}};
    size_t total = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (total + rows[i].bytes.len > SHOWN_BYTES_MAX) {
            reeve_put_int(value, rows[i].size_key, (int64_t)rows[i].bytes.len);
        } else {
            total += rows[i].bytes.len;
            put_tree(value, rows[i].key, rows[i].bytes);
        }
    }
}

static struct reeve_value *note_list(struct queue *queue, int64_t number, enum job_note note)
{
    struct reeve_span bytes;
    struct reeve_value *list =
        job_store_note(queue->store, number, note, &bytes, NULL) == REEVE_OK ? tree_of(bytes) : NULL;
    return list != NULL ? list : reeve_value_list();
}

static void put_details(const struct job_seen *seen, struct reeve_value *value)
{
    struct queue *queue = seen->queue;
    const struct job *job = seen->live;
    REEVE_VALUE_AUTO logs = note_list(queue, seen->number, JOB_NOTE_LOG);
    reeve_put_str(value, "queue", queue->name);
    reeve_put_str(value, "durability", queue->spec.durability == REEVE_DURABILITY_MEMORY ? "memory" : "commit");
    reeve_put_int(value, "number", seen->number);
    reeve_put_int(value, "failures", job != NULL ? job->failures : seen->ended.failures);
    reeve_put_int(value, "deaths", job != NULL ? job->deaths : seen->ended.deaths);
    if (seen->has_spec) {
        if (seen->spec.key.len > 0) {
            (void)reeve_value_put(value, "key",
                                  reeve_value_strn(seen->spec.key.data, seen->spec.key.len)); /* remembered */
        }
        put_tree(value, "requires", seen->spec.requires);
        put_tree(value, "after", seen->spec.after);
        put_time(value, "timeout_ms", seen->spec.timeout_ms > 0 ? seen->spec.timeout_ms : queue->spec.timeout_ms);
    }
    if (job != NULL && job->text != NULL) {
        reeve_put_str_opt(value, "text", job->text->progress_text);
    }
    (void)reeve_value_put(value, "history", note_list(queue, seen->number, JOB_NOTE_HISTORY)); /* remembered */
    reeve_put_int(value, "logs_len", (int64_t)reeve_value_len(logs));
}

enum reeve_err op_queue_show_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue;
    int64_t number;
    JOB_SEEN_AUTO seen = {0};
    enum reeve_err err = meant(call, &queue, &number, why);
    err = err == REEVE_OK ? job_see(queue, number, &seen, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *result = seen_value(&seen, sizeof seen.error);
    put_details(&seen, result);
    put_bodies(&seen, result);
    return call_done(call, result, NULL);
}

enum reeve_err op_queue_explain_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue;
    struct job_ended_row row;
    struct job_explained explained;
    int64_t number;
    enum reeve_err err = meant(call, &queue, &number, why);
    if (err != REEVE_OK) {
        return err;
    }
    const struct job *job = job_index_get(queue->queues->index, number);
    err = job == NULL ? job_store_ended(queue->store, number, &row, why) : REEVE_OK;
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "id", ((const struct id_args *)call->args)->id);
    reeve_put_str(result, "state", reeve_job_state_text(job != NULL ? (enum reeve_job_state)job->state : row.state));
    if (job != NULL) {
        job_explain(job, &explained);
    } else {
        job_explain_ended(&row, &explained);
    }
    reeve_put_str(result, "why", explained.why);
    (void)reeve_value_put(result, "details", explained.details); /* remembered: reeve_value_built() */
    return call_done(call, result, "%s", explained.why);
}

enum reeve_err op_queue_logs_run(struct call *call, struct reeve_why *why)
{
    struct queue *queue;
    int64_t number;
    enum reeve_err err = meant(call, &queue, &number, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    (void)reeve_value_put(result, "lines",
                          note_list(queue, number, JOB_NOTE_LOG)); /* remembered: reeve_value_built() */
    return call_done(call, result, NULL);
}
