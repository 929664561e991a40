// Ops on jobs: looked at, cancelled, retried, removed; by id, or many at once by what they are [job-9] [job-16].
// Must not: decide what a state means (job_state.c).
#include "queue_ops.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX        1000
#define BULK_MAX        1000 // jobs of one command, so that no turn is long: about 30 ms
#define IDS_MAX         1000
#define LIST_ERROR_MAX  200          // bytes of an error in a list
#define SHOWN_BYTES_MAX (900u << 10) // of payload, checkpoint and result in one reply; the largest are left out

static const struct reeve_choice state_choices[] = {{"any", REEVE_JOB_STATE_COUNT},
#define X(id, text, live) {text, REEVE_JOB_##id},
                                                    REEVE_JOB_STATE_LIST(X)
#undef X
                                                        {NULL, 0}};

// ---- one job, found -----------------------------------------------------------------------------------------------

struct seen { // what is known of a job, live or ended; texts are copies
    struct queue *queue;
    int64_t number;
    struct job *live;           // NULL = it has ended
    struct job_ended_row ended; // without its spans
    char id[REEVE_JOB_ID_SIZE];
    struct reeve_buf raw, result;
    struct reeve_job_spec spec; // points into `raw`
    bool has_spec;
    char worker[2 * REEVE_NAME_SIZE];
    char error[1024];
};

static void seen_done(struct seen *seen)
{
    reeve_buf_done(&seen->raw);
    reeve_buf_done(&seen->result);
}
#define SEEN_AUTO __attribute__((cleanup(seen_done))) struct seen

static enum reeve_err see_body(struct seen *seen, struct reeve_why *why)
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

static void see_last_error(struct seen *seen)
{
    struct reeve_span error;
    if (seen->live->failures + seen->live->deaths > 0 &&
        job_store_note(seen->queue->store, seen->number, JOB_NOTE_ERROR, &error, NULL) == REEVE_OK) {
        (void)snprintf(seen->error, sizeof seen->error, "%.*s", (int)error.len, error.data); /* cut */
    }
}

static enum reeve_err see_ended(struct seen *seen, struct reeve_why *why)
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

static enum reeve_err see(struct queue *queue, int64_t number, struct seen *seen, struct reeve_why *why)
{
    *seen = (struct seen){.queue = queue, .number = number, .live = job_index_get(queue->queues->index, number)};
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

static enum reeve_err find(struct queue *queue, const char *id, int64_t *ret, struct reeve_why *why)
{
    struct reeve_span span = {id, strlen(id)};
    enum reeve_err err =
        reeve_job_id_valid(span) ? job_store_find(queue->store, queue->number, span, ret, why) : REEVE_NOENT;
    return err == REEVE_NOENT ? reeve_fail(why, err, "no job %.80s in queue %s", id, queue->name) : err;
}

static enum reeve_job_state state_of(const struct seen *seen)
{
    return seen->live != NULL ? (enum reeve_job_state)seen->live->state : seen->ended.state;
}

static void put_time(struct reeve_value *value, const char *key, int64_t at)
{
    if (at > 0) {
        reeve_put_int(value, key, at);
    }
}

static void put_live(const struct seen *seen, struct reeve_value *value)
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

static void put_ended(const struct seen *seen, struct reeve_value *value)
{
    reeve_put_int(value, "attempt", seen->ended.attempt);
    put_time(value, "added_at", seen->ended.added_at);
    put_time(value, "started_at", seen->ended.started_at);
    put_time(value, "ended_at", seen->ended.ended_at);
}

static struct reeve_value *seen_value(const struct seen *seen, size_t error_max)
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

struct filter_args {
    int state;
    char *type, *key, *error;
    int64_t older_than_ms, limit;
};
struct list_args {
    struct filter_args filter;
    int64_t before;
};
#define FILTER_FIELDS(type_, in_, limit_max_, limit_preset_)                                                           \
    {.name = "state",                                                                                                  \
     .type = REEVE_FIELD_CHOICE,                                                                                       \
     .offset = offsetof(type_, in_ state),                                                                             \
     .choices = state_choices,                                                                                         \
     .preset = "any",                                                                                                  \
     .doc = "Jobs in this state."},                                                                                    \
        {.name = "type",                                                                                               \
         .type = REEVE_FIELD_STR,                                                                                      \
         .offset = offsetof(type_, in_ type),                                                                          \
         .min = 1,                                                                                                     \
         .max = REEVE_JOB_TYPE_SIZE,                                                                                   \
         .doc = "Of this type; globs are allowed."},                                                                   \
        {.name = "key",                                                                                                \
         .type = REEVE_FIELD_STR,                                                                                      \
         .flags = REEVE_FIELD_SCALAR_OK,                                                                               \
         .offset = offsetof(type_, in_ key),                                                                           \
         .min = 1,                                                                                                     \
         .max = REEVE_JOB_KEY_SIZE - 1,                                                                                \
         .doc = "With this key."},                                                                                     \
        {.name = "error",                                                                                              \
         .type = REEVE_FIELD_STR,                                                                                      \
         .offset = offsetof(type_, in_ error),                                                                         \
         .min = 1,                                                                                                     \
         .max = 200,                                                                                                   \
         .doc = "Whose last error contains this; or fits it, when it is a glob such as `timeout*`."},                  \
        {.name = "older_than_ms",                                                                                      \
         .type = REEVE_FIELD_DURATION,                                                                                 \
         .offset = offsetof(type_, in_ older_than_ms),                                                                 \
         .doc = "Ended so long ago, or, when they live, added."},                                                      \
    {                                                                                                                  \
        .name = "limit", .type = REEVE_FIELD_INT, .offset = offsetof(type_, in_ limit), .min = 1, .max = (limit_max_), \
        .preset = limit_preset_, .doc = "So many at most; `more` says that there are others."                          \
    }

static const struct reeve_field list_fields[] = {
    FILTER_FIELDS(struct list_args, filter., LIST_MAX, "100"),
    {.name = "before",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct list_args, before),
     .min = 0,
     .max = INT64_MAX,
     .preset = "0",
     .doc = "Go on behind a former list: its `next`."},
};
const struct reeve_record op_queue_list_args = REEVE_RECORD("list", struct list_args, list_fields, "");

static void pick_by(const struct filter_args *filter, const bool states[REEVE_JOB_STATE_COUNT], struct job_pick *ret)
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
    pick_by(&args->filter, any, &pick);
    enum reeve_err err = job_pick_run(queue, &pick, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *jobs = reeve_value_list();
    for (size_t i = 0; i < pick.len; i++) {
        SEEN_AUTO seen;
        if (see(queue, pick.numbers[i], &seen, NULL) == REEVE_OK) {
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
    return *ret_queue == NULL ? REEVE_NOENT : find(*ret_queue, ((const struct id_args *)call->args)->id, ret, why);
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
static void put_bodies(const struct seen *seen, struct reeve_value *value)
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

static void put_details(const struct seen *seen, struct reeve_value *value)
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
    SEEN_AUTO seen = {0};
    enum reeve_err err = meant(call, &queue, &number, why);
    err = err == REEVE_OK ? see(queue, number, &seen, why) : err;
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

// ---- cancel -------------------------------------------------------------------------------------------------------

static bool may_cancel(const struct job *job)
{
    return (job->flags & (JOB_FLAG_CANCEL | JOB_FLAG_NO_RETURN)) == 0;
}

static enum reeve_err not_live(struct queue *queue, int64_t number, const char *what, struct reeve_why *why)
{
    struct job_ended_row row;
    enum reeve_err err = job_store_ended(queue->store, number, &row, why);
    return err == REEVE_OK
               ? reeve_fail(why, REEVE_CONFLICT, "is %s: there is nothing to %s", reeve_job_state_text(row.state), what)
               : err;
}

static enum reeve_err cancel(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    struct job *job = job_index_get(queue->queues->index, number);
    if (job == NULL) {
        return not_live(queue, number, "cancel", why);
    }
    if ((job->flags & JOB_FLAG_NO_RETURN) != 0) {
        return reeve_fail(why, REEVE_CONFLICT, "is past its point of no return (%s): nothing is cancelled any more",
                          reeve_job_state_text((enum reeve_job_state)job->state));
    }
    if (dry_run || (job->flags & JOB_FLAG_CANCEL) != 0) {
        return REEVE_OK; // its worker was told before
    }
    if (job->state == REEVE_JOB_ACTIVE) {
        job->flags |= JOB_FLAG_CANCEL;
        job_dirty(job);
        dispatch_cancel(job, "cancelled", queue->spec.cancel_grace_ms);
    } else {
        queue->rates.cancelled++;
        job_end(job, REEVE_JOB_CANCELLED, (struct reeve_span){0}, (struct reeve_span){0});
    }
    return REEVE_OK;
}

// ---- retry --------------------------------------------------------------------------------------------------------

static bool may_retry(const struct job *job)
{
    return job->state == REEVE_JOB_DELAYED || (job->state == REEVE_JOB_UNKNOWN && (job->heap_at != 0 || !job->listed));
}

static enum reeve_err retry_live(struct job *job, bool dry_run, struct reeve_why *why)
{
    if (!may_retry(job)) {
        return reeve_fail(why, REEVE_CONFLICT, "is %s already", reeve_job_state_text((enum reeve_job_state)job->state));
    }
    if (dry_run) {
        return REEVE_OK;
    }
    job->flags &= (uint8_t)~JOB_FLAG_PARKED;
    job->deaths = 0;
    job_due_remove(&job_queue(job)->queues->due, job); // the heap is ordered by what is set here
    job->due_mono = 0;
    job->run_at = reeve_clock_wall_ms();
    job_set(job, job->state == REEVE_JOB_UNKNOWN ? REEVE_JOB_UNKNOWN : REEVE_JOB_WAITING, "retried by hand");
    return REEVE_OK;
}

// It waits again for those that are not completed.
static enum reeve_err need_again(struct job *job, struct reeve_span after)
{
    struct queue *queue = job_queue(job);
    struct reeve_cursor cursor = REEVE_CURSOR(after.data, after.len);
    enum reeve_err err = REEVE_OK;
    for (size_t n = after.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0 && err == REEVE_OK && cursor.err == REEVE_OK;
         n--) {
        int64_t number;
        struct job_ended_row row = {.state = REEVE_JOB_COMPLETED};
        struct reeve_span id = reeve_cursor_str(&cursor);
        if (job_store_find(queue->store, queue->number, id, &number, NULL) != REEVE_OK) {
            continue; // forgotten: it ended long ago
        }
        bool open = job_index_get(queue->queues->index, number) != NULL ||
                    (job_store_ended(queue->store, number, &row, NULL) == REEVE_OK && row.state != REEVE_JOB_COMPLETED);
        err = open ? after_add(queue->queues, job, number, true) : REEVE_OK;
    }
    return err;
}

static struct job *new_from(struct seen *seen, struct reeve_why *why)
{
    struct queue *queue = seen->queue;
    struct reeve_span checkpoint;
    struct job_class *class = job_class_get(queue, seen->spec.type, seen->spec.requires, why);
    struct job *job = class != NULL ? job_new(queue, class, seen->number, seen->spec.key) : NULL;
    if (job == NULL) {
        return NULL;
    }
    bool has_checkpoint =
        job_store_note(queue->store, seen->number, JOB_NOTE_CHECKPOINT, &checkpoint, NULL) == REEVE_OK;
    job->flags = has_checkpoint ? JOB_FLAG_CHECKPOINT : 0;
    job->attempt = (uint32_t)seen->ended.attempt;
    job->priority = (uint8_t)seen->spec.priority;
    job->added_at = seen->ended.added_at;
    job->run_at = reeve_clock_wall_ms();
    job->bytes = (uint32_t)seen->raw.len;
    queue->bytes += job->bytes;
    return job;
}

static enum reeve_err may_revive(const struct seen *seen, struct reeve_why *why)
{
    const struct queue *queue = seen->queue;
    int64_t live = queue->counts[REEVE_JOB_WAITING] + queue->counts[REEVE_JOB_DELAYED] +
                   queue->counts[REEVE_JOB_ACTIVE] + queue->counts[REEVE_JOB_UNKNOWN];
    if (seen->ended.state == REEVE_JOB_COMPLETED) {
        return reeve_fail(why, REEVE_CONFLICT, "is completed: what is done is not done again");
    }
    if (!seen->ended.retained || !seen->has_spec) {
        return reeve_fail(why, REEVE_CONFLICT, "only its id is known any more");
    }
    return live < queue->spec.jobs_max
               ? REEVE_OK
               : reeve_fail(why, REEVE_LIMIT, "the queue is full: %lld jobs (jobs_max)", (long long)live);
}

static enum reeve_err revive(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    SEEN_AUTO seen;
    enum reeve_err err = see(queue, number, &seen, why);
    err = err == REEVE_OK ? may_revive(&seen, why) : err;
    if (err != REEVE_OK || dry_run) {
        return err;
    }
    struct job *job = new_from(&seen, why);
    if (job == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory, or too many kinds of jobs");
    }
    const struct job_row row = {.number = number, // the whole of it is written at the end of the turn
                                .queue = queue->number,
                                .class = job->class->number,
                                .state = REEVE_JOB_WAITING,
                                .priority = job->priority,
                                .attempt = job->attempt,
                                .added_at = job->added_at,
                                .key = seen.spec.key};
    err = job_store_revive(queue->store, &row, why);
    err = err == REEVE_OK ? need_again(job, seen.spec.after) : err;
    if (err != REEVE_OK) {
        job_drop(job);
        return err;
    }
    queue->counts[seen.ended.state]--;
    job_restore(job);
    job_dirty(job);
    job_history(job, "retried by hand", (struct reeve_span){0});
    if (queue->spec.job_records || queue->spec.events == 2) {
        queue_change(queue, job, REEVE_JOB_WAITING, (struct reeve_span){0});
    }
    return REEVE_OK;
}

static enum reeve_err retry(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    struct job *job = job_index_get(queue->queues->index, number);
    return job != NULL ? retry_live(job, dry_run, why) : revive(queue, number, dry_run, why);
}

// ---- remove -------------------------------------------------------------------------------------------------------

enum reeve_err job_remove(struct queue *queue, int64_t number, bool live, struct reeve_why *why)
{
    struct job_ended_row row;
    struct job_body body;
    struct job *job = job_index_get(queue->queues->index, number);
    if (job != NULL && (!live || (job->state != REEVE_JOB_WAITING && job->state != REEVE_JOB_DELAYED))) {
        return reeve_fail(why, REEVE_CONFLICT, "is %s: `cancel` ends it",
                          reeve_job_state_text((enum reeve_job_state)job->state));
    }
    if (job != NULL) {
        queue->rates.cancelled++;
        job_end(job, REEVE_JOB_CANCELLED, (struct reeve_span){0}, (struct reeve_span){0});
    }
    enum reeve_err err = job_store_ended(queue->store, number, &row, why);
    if (err != REEVE_OK || !row.retained) {
        return err; // removed already
    }
    enum reeve_job_state state = row.state;
    if (queue->spec.job_records && job_store_body(queue->store, number, &body, NULL) == REEVE_OK) {
        job_record_remove(queue, body.id);
    }
    err = job_store_remove(queue->store, number, why);
    if (err == REEVE_OK) {
        queue->counts[state]--;
        queue->status_dirty = true;
    }
    return err;
}

static enum reeve_err remove_ended(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    if (dry_run && job_index_get(queue->queues->index, number) == NULL) {
        return REEVE_OK;
    }
    return job_remove(queue, number, false, why);
}

// ---- many ---------------------------------------------------------------------------------------------------------

struct bulk_args {
    struct reeve_strv ids;
    struct filter_args filter;
};
static const struct reeve_field filter_fields[] = {FILTER_FIELDS(struct filter_args, , 1000000000, "1000")};
static const struct reeve_record filter_record =
    REEVE_RECORD("filter", struct filter_args, filter_fields, "Which jobs.");
static const struct reeve_field bulk_fields[] = {
    {.name = "ids",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_SCALAR_OK,
     .offset = offsetof(struct bulk_args, ids),
     .min = 1,
     .max = IDS_MAX,
     .doc = "Ids of jobs."},
    {.name = "filter",
     .type = REEVE_FIELD_RECORD,
     .offset = offsetof(struct bulk_args, filter),
     .record = &filter_record,
     .doc = "All that are so: `{state, type, key, error, older_than_ms, limit}`; `{}` = all that it can be done to. At "
            "most 1,000 in "
            "one command; `more` says that there are others."},
};
const struct reeve_record op_queue_cancel_args = REEVE_RECORD("cancel", struct bulk_args, bulk_fields, "");
const struct reeve_record op_queue_retry_args = REEVE_RECORD("retry", struct bulk_args, bulk_fields, "");
const struct reeve_record op_queue_remove_args = REEVE_RECORD("remove", struct bulk_args, bulk_fields, "");

struct action { // what is done to each
    const char *name;
    enum reeve_err (*run)(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why);
    bool (*may)(const struct job *job);
    bool states[REEVE_JOB_STATE_COUNT]; // that a filter without one means
    bool allowed[REEVE_JOB_STATE_COUNT];
};
static const struct action cancel_action = {
    .name = "cancelled",
    .run = cancel,
    .may = may_cancel,
    .states = {[REEVE_JOB_WAITING] = true, [REEVE_JOB_DELAYED] = true, [REEVE_JOB_ACTIVE] = true},
    .allowed = {[REEVE_JOB_WAITING] = true, [REEVE_JOB_DELAYED] = true, [REEVE_JOB_ACTIVE] = true}};
static const struct action retry_action = {.name = "retried",
                                           .run = retry,
                                           .may = may_retry,
                                           .states = {[REEVE_JOB_FAILED] = true},
                                           .allowed = {[REEVE_JOB_FAILED] = true,
                                                       [REEVE_JOB_CANCELLED] = true,
                                                       [REEVE_JOB_DELAYED] = true,
                                                       [REEVE_JOB_UNKNOWN] = true}};
static const struct action remove_action = {
    .name = "removed",
    .run = remove_ended,
    .states = {[REEVE_JOB_COMPLETED] = true, [REEVE_JOB_FAILED] = true, [REEVE_JOB_CANCELLED] = true},
    .allowed = {[REEVE_JOB_COMPLETED] = true, [REEVE_JOB_FAILED] = true, [REEVE_JOB_CANCELLED] = true}};

static void put_refused(struct reeve_value *list, const char *id, enum reeve_err err, const struct reeve_why *why)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "id", id);
    reeve_put_str(value, "code", reeve_err_text(err));
    reeve_put_str(value, "message", why->text);
    (void)reeve_value_add(list, value); /* remembered: reeve_value_built() */
}

static int64_t do_ids(const struct call *call, struct queue *queue, const struct action *action,
                      struct reeve_value *refused)
{
    const struct bulk_args *args = call->args;
    int64_t done = 0;
    for (size_t i = 0; i < args->ids.len; i++) {
        int64_t number;
        struct reeve_why why = {0};
        enum reeve_err err = find(queue, args->ids.items[i], &number, &why);
        err = err == REEVE_OK ? action->run(queue, number, call->command.dry_run, &why) : err;
        if (err == REEVE_OK) {
            done++;
        } else {
            put_refused(refused, args->ids.items[i], err, &why);
        }
    }
    return done;
}

// What the filter means and can't be done is named by its id, as where ids are given.
static int64_t do_picked(const struct call *call, struct queue *queue, const struct action *action,
                         const struct job_pick *pick, struct reeve_value *refused)
{
    int64_t done = 0;
    for (size_t i = 0; i < pick->len; i++) {
        struct reeve_why why = {0};
        enum reeve_err err = action->run(queue, pick->numbers[i], call->command.dry_run, &why);
        if (err == REEVE_OK) {
            done++;
            continue;
        }
        SEEN_AUTO seen;
        put_refused(refused, see(queue, pick->numbers[i], &seen, NULL) == REEVE_OK ? seen.id : "?", err, &why);
    }
    return done;
}

static enum reeve_err check_bulk(const struct call *call, const struct action *action, struct reeve_why *why)
{
    const struct bulk_args *args = call->args;
    bool filtered = reeve_value_get(call->command.args, "filter") != NULL;
    if ((args->ids.len > 0) == filtered) {
        return reeve_fail(why, REEVE_INVALID,
                          filtered ? "args.filter: not beside args.ids"
                                   : "args.ids is missing, expected ids of jobs, or `filter`");
    }
    if (filtered && args->filter.state != REEVE_JOB_STATE_COUNT && !action->allowed[args->filter.state]) {
        return reeve_fail(why, REEVE_CONFLICT, "args.filter.state: %s jobs can't be %s",
                          reeve_job_state_text((enum reeve_job_state)args->filter.state), action->name);
    }
    return REEVE_OK;
}

static enum reeve_err run_bulk(struct call *call, const struct action *action, struct reeve_why *why)
{
    const struct bulk_args *args = call->args;
    struct queue *queue = queue_of_call(call, why);
    if (queue == NULL) {
        return REEVE_NOENT;
    }
    int64_t limit = args->filter.limit < BULK_MAX ? args->filter.limit : BULK_MAX;
    struct job_pick pick = {.limit = limit, .oldest_first = true, .may = action->may};
    enum reeve_err err = check_bulk(call, action, why);
    if (err == REEVE_OK && args->ids.len == 0) {
        pick_by(&args->filter, action->states, &pick);
        err = job_pick_run(queue, &pick, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *refused = reeve_value_list();
    int64_t done =
        args->ids.len > 0 ? do_ids(call, queue, action, refused) : do_picked(call, queue, action, &pick, refused);
    struct reeve_value *result = reeve_value_map();
    reeve_put_int(result, "done", done);
    (void)reeve_value_put(result, "refused", refused); /* remembered: reeve_value_built() */
    reeve_put_bool(result, "more", pick.more);
    job_pick_done(&pick);
    return call_done(call, result, "%s%lld job%s %s", call->command.dry_run ? "dry run: " : "", (long long)done,
                     done == 1 ? "" : "s", action->name);
}

enum reeve_err op_queue_cancel_run(struct call *call, struct reeve_why *why)
{
    return run_bulk(call, &cancel_action, why);
}

enum reeve_err op_queue_retry_run(struct call *call, struct reeve_why *why)
{
    return run_bulk(call, &retry_action, why);
}

enum reeve_err op_queue_remove_run(struct call *call, struct reeve_why *why)
{
    return run_bulk(call, &remove_action, why);
}
