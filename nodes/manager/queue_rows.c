// What the queues have in the store: their documents, and the rows of live jobs, to memory at the start and from it at
// the end of a turn. Must not: decide where a job goes; job_restore() does.
#include "queue_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPENDENTS_MAX (4u << 20) // jobs that others wait for

// ---- a queue's document -------------------------------------------------------------------------------------------

struct reeve_value *queue_document(const struct queue *queue)
{
    struct reeve_value *document = reeve_value_map();
    struct reeve_value *spec = NULL;
    if (reeve_record_encode(&reeve_queue_spec_record, &queue->spec, REEVE_ENCODE_SKIP_PRESETS, &spec) == REEVE_OK) {
        (void)reeve_value_put(document, "spec", spec); /* remembered: reeve_value_built() */
    }
    reeve_put_bool(document, "paused", queue->paused);
    reeve_put_bool(document, "draining", queue->draining);
    return document;
}

void queue_store(struct queue *queue)
{
    REEVE_VALUE_AUTO document = queue_document(queue);
    (void)store_put(queue->queues->manager->store, STORE_QUEUE, queue->name, document, NULL); /* the commit tells */
    queue->status_dirty = true;
}

// ---- from the store -----------------------------------------------------------------------------------------------

struct loading {
    struct queues *queues;
    struct job_store *store;
    struct queue *queue; // of the row before: mostly the same
    struct job_class *class;
    struct job **active; // their ids are read afterwards
    size_t active_len, active_cap;
    enum reeve_err err;
    struct reeve_why *why;
};

static void load_queue(const char *key, const struct reeve_value *value, void *arg)
{
    struct loading *loading = arg;
    struct reeve_queue_spec spec;
    struct reeve_errors errors;
    REEVE_VALUE_AUTO empty = reeve_value_map();
    const struct reeve_value *stored = reeve_value_get(value, "spec");
    reeve_errors_init(&errors, key);
    if (loading->err != REEVE_OK) {
        return;
    }
    loading->err = reeve_record_decode(&reeve_queue_spec_record, stored != NULL ? stored : empty, "", &spec, &errors);
    if (loading->err != REEVE_OK) {
        (void)reeve_errors_result(&errors, loading->why); /* is that error */
        return;
    }
    struct queue *queue = queue_open(loading->queues, key, &spec, loading->why);
    if (queue == NULL) {
        loading->err = REEVE_CORRUPT;
        return;
    }
    queue->paused = reeve_get_bool(value, "paused", false);
    queue->draining = reeve_get_bool(value, "draining", false);
}

static struct queue *queue_numbered(struct queues *queues, struct job_store *store, int64_t number)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        struct queue *queue = it.value;
        if (queue->store == store && queue->number == number) {
            return queue;
        }
    }
    return NULL;
}

static void load_class(const struct job_class_row *row, void *arg)
{
    struct loading *loading = arg;
    struct queue *queue = queue_numbered(loading->queues, loading->store, row->queue);
    if (queue != NULL && loading->err == REEVE_OK &&
        job_class_add(queue, row->number, row->type, row->requires, loading->why) == NULL) {
        loading->err = REEVE_CORRUPT;
    }
}

static struct job_class *class_numbered(struct queue *queue, int64_t number)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        struct job_class *class = it.value;
        if (class->number == number) {
            return class;
        }
    }
    return NULL;
}

static bool note_active(struct loading *loading, struct job *job, const struct job_row *row)
{
    if (loading->active_len == loading->active_cap) {
        size_t cap = loading->active_cap > 0 ? 2 * loading->active_cap : 256;
        struct job **active = realloc(loading->active, cap * sizeof *active);
        if (active == NULL) {
            return false;
        }
        loading->active = active;
        loading->active_cap = cap;
    }
    job->text = calloc(1, sizeof *job->text);
    if (job->text == NULL) {
        return false;
    }
    (void)snprintf(job->text->worker, sizeof job->text->worker, "%.*s", (int)row->worker.len,
                   row->worker.data); /* ours */
    job->text->worker_epoch = row->worker_epoch;
    job->text->progress = -1;
    loading->active[loading->active_len++] = job;
    return true;
}

static void load_job(const struct job_row *row, void *arg)
{
    struct loading *loading = arg;
    if (loading->err != REEVE_OK) {
        return;
    }
    if (loading->class == NULL || loading->class->number != row->class || loading->queue->number != row->queue) {
        loading->queue = queue_numbered(loading->queues, loading->store, row->queue);
        loading->class = loading->queue != NULL ? class_numbered(loading->queue, row->class) : NULL;
    }
    struct queue *queue = loading->queue;
    struct job_class *class = loading->class;
    if (class == NULL) {
        loading->err =
            reeve_fail(loading->why, REEVE_CORRUPT, "job %lld is of no queue that is known", (long long)row->number);
        return;
    }
    struct job *job = job_new(queue, class, row->number, row->key);
    if (job == NULL || (row->state == REEVE_JOB_ACTIVE && !note_active(loading, job, row))) {
        loading->err = reeve_fail(loading->why, REEVE_NOMEM, "out of memory");
        return;
    }
    queue->counts[REEVE_JOB_WAITING]--;
    queue->counts[row->state]++;
    job->state = (uint8_t)row->state;
    job->flags = (uint8_t)row->flags;
    job->priority = (uint8_t)row->priority;
    job->attempt = (uint32_t)row->attempt;
    job->failures = (uint16_t)row->failures;
    job->deaths = (uint8_t)row->deaths;
    job->reconciles = (uint8_t)row->reconciles;
    job->added_at = row->added_at;
    job->run_at = row->run_at;
    job->started_at = row->started_at;
    job->due_mono = row->run_at > 0 ? reeve_clock_mono_ms() + (row->run_at - reeve_clock_wall_ms()) : 0;
}

static void load_after(int64_t number, int64_t on, void *arg)
{
    struct loading *loading = arg;
    struct job *job = job_index_get(loading->queues->index, number);
    if (job != NULL && after_add(loading->queues, job, on, false) != REEVE_OK) {
        loading->err = REEVE_NOMEM;
    }
}

// Whoever had a key before has it now: first those that run or ran, then the others in order.
static void restore_holding(struct job *job, void *arg)
{
    (void)arg;
    if (job->key != NULL && job->attempt > 0) {
        job->holds_key = true;
        job->key->held++;
    }
}

static int by_number(const void *a, const void *b)
{
    int64_t left = (*(struct job *const *)a)->number;
    int64_t right = (*(struct job *const *)b)->number;
    return left < right ? -1 : left > right ? 1 : 0;
}

struct every {
    struct job **jobs;
    size_t len;
};

static void gather(struct job *job, void *arg)
{
    struct every *every = arg;
    every->jobs[every->len++] = job;
}

static enum reeve_err restore_jobs(struct queues *queues, struct reeve_why *why)
{
    struct every every = {.jobs = malloc((job_index_len(queues->index) + 1) * sizeof(struct job *))};
    if (every.jobs == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    job_index_each(queues->index, restore_holding, NULL);
    job_index_each(queues->index, gather, &every);
    qsort(every.jobs, every.len, sizeof *every.jobs, by_number);
    for (size_t i = 0; i < every.len; i++) {
        job_restore(every.jobs[i]);
    }
    free(every.jobs);
    return REEVE_OK;
}

static enum reeve_err restore_active(struct loading *loading)
{
    for (size_t i = 0; i < loading->active_len; i++) {
        struct job *job = loading->active[i];
        struct queue *queue = job_queue(job);
        struct job_body body;
        enum reeve_err err = job_store_body(queue->store, job->number, &body, loading->why);
        if (err != REEVE_OK || body.id.len >= REEVE_JOB_ID_SIZE) {
            return err != REEVE_OK ? err : REEVE_CORRUPT;
        }
        memcpy(job->text->id, body.id.data, body.id.len);
        struct link *link =
            link_get(queue, (struct reeve_span){job->text->worker, strlen(job->text->worker)}, job->text->worker_epoch);
        if (link == NULL) { // of a former session of it, kept over to the next: a hello tells, or silence
            link = reeve_map_get(queue->links, job->text->worker);
        }
        if (reeve_map_put(queue->active, job->text->id, job, NULL) != REEVE_OK) {
            return reeve_fail(loading->why, REEVE_NOMEM, "out of memory");
        }
        if (link == NULL) { // in no link's list nothing would take it back
            reeve_log(REEVE_LOG_ERROR, "job", "queue=%s id=%s worker=%s link=none ignoring", queue->name, job->text->id,
                      job->text->worker);
            continue; // out of memory: until the worker tells of it, or the next manager
        }
        job->link = link;
        job_list_append(&link->jobs, job);
        job_timeout_restore(job, body.raw);
    }
    return REEVE_OK;
}

static enum reeve_err load_store(struct queues *queues, struct job_store *store, struct reeve_why *why)
{
    struct loading loading = {.queues = queues, .store = store, .why = why};
    int64_t number = 0;
    if (store == NULL) {
        return REEVE_OK;
    }
    enum reeve_err err = job_store_class_each(store, load_class, &loading, why);
    err = err == REEVE_OK ? loading.err : err;
    err = err == REEVE_OK ? job_store_each_live(store, load_job, &loading, why) : err;
    err = err == REEVE_OK ? loading.err : err;
    err = err == REEVE_OK ? restore_active(&loading) : err;
    err = err == REEVE_OK ? job_store_after_each(store, load_after, &loading, why) : err;
    err = err == REEVE_OK ? loading.err : err;
    err = err == REEVE_OK ? job_store_number_max(store, &number, why) : err;
    queues->number = number > queues->number ? number : queues->number;
    free(loading.active);
    return err;
}

static void count_ended(struct queue *queue)
{
    struct job_ended_counts counts;
    if (job_store_count_ended(queue->store, queue->number, &counts, NULL) == REEVE_OK) {
        static const enum reeve_job_state ended[] = {REEVE_JOB_COMPLETED, REEVE_JOB_FAILED, REEVE_JOB_CANCELLED};
        for (size_t i = 0; i < REEVE_ARRAY_LEN(ended); i++) {
            queue->counts[ended[i]] = counts.by_state[ended[i]];
        }
    }
}

void queues_forget(struct queues *queues)
{
    queue_rows_write(queues, false); // what was not committed is not so
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        queue_close(it.value);
    }
    queue_rows_write(queues, false);
    after_clear(queues);
    queues->dependents = reeve_map_new(DEPENDENTS_MAX);
    queues->wanted = NULL;
    queues->out = NULL;
}

enum reeve_err queues_load(struct queues *queues, struct reeve_why *why)
{
    struct manager *manager = queues->manager;
    struct loading loading = {.queues = queues, .why = why};
    int64_t began = reeve_clock_mono_ms();
    queues->loading = true;
    queues_forget(queues);
    if (queues->memory != NULL) {
        job_store_undo(queues->memory);
    }
    enum reeve_err err = queues->disk == NULL ? job_store_open(manager->store, &queues->disk, why) : REEVE_OK;
    err = err == REEVE_OK ? store_each(manager->store, STORE_QUEUE, "", load_queue, &loading, why) : err;
    err = err == REEVE_OK ? loading.err : err;
    err = err == REEVE_OK ? load_store(queues, queues->disk, why) : err;
    err = err == REEVE_OK ? load_store(queues, queues->memory, why) : err;
    err = err == REEVE_OK ? restore_jobs(queues, why) : err;
    queues->loading = false;
    queues->hello_all = true;
    for (struct reeve_map_iter it = {0}; err == REEVE_OK && reeve_map_next(queues->by_name, &it);) {
        count_ended(it.value);
        queue_schedules_load(it.value);
        dispatch_want(it.value);
    }
    if (err == REEVE_OK && reeve_map_len(queues->by_name) > 0) {
        reeve_log(REEVE_LOG_INFO, "queues", "queues=%zu jobs=%zu loaded_ms=%lld", reeve_map_len(queues->by_name),
                  job_index_len(queues->index), (long long)(reeve_clock_mono_ms() - began));
    }
    return err;
}

// ---- to the store -------------------------------------------------------------------------------------------------

static void write_row(const struct job *job)
{
    const struct job_text *text = job->text;
    const struct queue *queue = job_queue(job);
    const struct job_row row = {
        .number = job->number,
        .queue = queue->number,
        .class = job->class->number,
        .state = (enum reeve_job_state)job->state,
        .flags = job->flags,
        .priority = job->priority,
        .attempt = job->attempt,
        .failures = job->failures,
        .deaths = job->deaths,
        .reconciles = job->reconciles,
        .added_at = job->added_at,
        .run_at = job->run_at,
        .started_at = job->started_at,
        .after_left = job->wait != NULL ? (int64_t)job->wait->left : 0,
        .key = job->key != NULL ? (struct reeve_span){job->key->text, strlen(job->key->text)} : (struct reeve_span){0},
        .worker = text != NULL ? (struct reeve_span){text->worker, strlen(text->worker)} : (struct reeve_span){0},
        .worker_epoch = text != NULL ? text->worker_epoch : 0,
    };
    (void)job_store_put(queue->store, &row, NULL); /* the commit tells */
}

// In order of number: rows of one time lie side by side.
static struct job *reversed(struct job *list)
{
    struct job *turned = NULL;
    while (list != NULL) {
        struct job *next = list->dirty_next;
        list->dirty_next = turned;
        turned = list;
        list = next;
    }
    return turned;
}

void queue_rows_write(struct queues *queues, bool store)
{
    struct job *job = reversed(queues->dirty);
    queues->dirty = NULL;
    while (job != NULL) {
        struct job *next = job->dirty_next;
        job->dirty = false;
        job->dirty_next = NULL;
        if (job->gone) {
            job_slab_give(queues->slab, job);
        } else if (store) {
            write_row(job);
        }
        job = next;
    }
}
