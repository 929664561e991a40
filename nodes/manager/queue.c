// The queues' room: what is loaded at the start, deliveries in, the turn, the timer, the tick.
// Must not: decide about single jobs; see queue_room.h for who does.
#include "queue_room.h"
#include "turn.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMORY_BYTES_MAX (256LL << 20) // of all queues that are kept in memory
#define DUE_PER_TURN     4096          // so that a burst of times is no long turn
#define JOBS_MAX         (4u << 20)    // of one map of a queue

// ---- one queue ----------------------------------------------------------------------------------------------------

struct queue *queue_find(const struct queues *queues, const char *name)
{
    return reeve_map_get(queues->by_name, name);
}

static enum reeve_err open_store(struct queues *queues, struct queue *queue, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    if (queue->spec.durability == REEVE_DURABILITY_MEMORY && queues->memory == NULL) {
        err = job_store_open_memory(MEMORY_BYTES_MAX, &queues->memory, why);
    }
    queue->store = queue->spec.durability == REEVE_DURABILITY_MEMORY ? queues->memory : queues->disk;
    return err == REEVE_OK ? job_store_queue(queue->store, queue->name, &queue->number, why) : err;
}

// What was started before a restart counts: nobody knows how lately otherwise.
enum reeve_err queue_limits_changed(struct queue *queue, struct reeve_why *why)
{
    int64_t count = queue->spec.rate.count;
    free(queue->starts);
    queue->starts = NULL;
    queue->starts_at = 0;
    queue->starts_len = 0;
    dispatch_want(queue);
    if (count == 0) {
        return REEVE_OK;
    }
    if (count > QUEUE_RATE_MAX) {
        return reeve_fail_at(why, REEVE_LIMIT, "rate", "%lld starts are more than can be counted (%d)", (long long)count,
                             QUEUE_RATE_MAX);
    }
    queue->starts = calloc((size_t)count, sizeof *queue->starts);
    if (queue->starts == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    int64_t behind = reeve_clock_wall_ms() - reeve_clock_mono_ms();
    enum reeve_err err = job_store_starts(queue->store, queue->number, reeve_clock_wall_ms() - queue->spec.rate.per_ms,
                                          queue->starts, (size_t)count, &queue->starts_len, why);
    for (size_t i = 0; i < queue->starts_len; i++) {
        queue->starts[i] -= behind; // to this machine's monotonic time
    }
    return err;
}

static void free_queue(struct queue *queue)
{
    reeve_map_free(queue->links, NULL);
    reeve_map_free(queue->active, NULL);
    reeve_map_free(queue->keys, free);
    reeve_map_free(queue->classes, NULL);
    reeve_record_done(&reeve_queue_spec_record, &queue->spec);
    reeve_value_free(queue->changes);
    free(queue->starts);
    free(queue);
}

struct queue *queue_open(struct queues *queues, const char *name, struct reeve_queue_spec *spec, struct reeve_why *why)
{
    struct queue *queue = reeve_map_len(queues->by_name) < QUEUES_MAX ? calloc(1, sizeof *queue) : NULL;
    if (queue == NULL) {
        (void)reeve_fail(why, REEVE_LIMIT, "there are %zu queues already", reeve_map_len(queues->by_name)); /* told by NULL */
        reeve_record_done(&reeve_queue_spec_record, spec);
        return NULL;
    }
    queue->queues = queues;
    queue->spec = *spec;
    (void)snprintf(queue->name, sizeof queue->name, "%s", name); /* a name */
    queue->classes = reeve_map_new(QUEUE_CLASSES_MAX + 1);
    queue->keys = reeve_map_new(JOBS_MAX);
    queue->active = reeve_map_new(JOBS_MAX);
    queue->links = reeve_map_new(QUEUE_LINKS_MAX);
    bool whole = queue->classes != NULL && queue->keys != NULL && queue->active != NULL && queue->links != NULL &&
                 open_store(queues, queue, why) == REEVE_OK && queue_limits_changed(queue, why) == REEVE_OK &&
                 reeve_map_put(queues->by_name, queue->name, queue, NULL) == REEVE_OK;
    if (!whole) {
        free_queue(queue);
        return NULL;
    }
    queue->status_dirty = true;
    return queue;
}

static void drop_links(struct queue *queue)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        struct link *link = it.value;
        while (link->jobs.head != NULL) {
            struct job *job = link->jobs.head;
            job_list_remove(&link->jobs, job);
            job->link = NULL;
        }
        link_free(link);
    }
}

struct collected {
    struct queue *queue;
    struct job **jobs;
    size_t len;
};

static void collect(struct job *job, void *arg)
{
    struct collected *collected = arg;
    if (job_queue(job) == collected->queue) {
        collected->jobs[collected->len++] = job;
    }
}

// Out of memory's structures; the store is the caller's business.
static void drop_jobs(struct queue *queue)
{
    struct queues *queues = queue->queues;
    struct collected collected = {.queue = queue, .jobs = malloc((job_index_len(queues->index) + 1) * sizeof(struct job *))};
    if (collected.jobs != NULL) {
        job_index_each(queues->index, collect, &collected);
    }
    for (size_t i = 0; i < collected.len; i++) {
        job_drop(collected.jobs[i]);
    }
    free(collected.jobs);
}

static void unwant(struct queue *queue)
{
    struct queue **at = &queue->queues->wanted;
    while (*at != NULL && *at != queue) {
        at = &(*at)->wanted_next;
    }
    if (*at == queue) {
        *at = queue->wanted_next;
    }
}

void queue_close(struct queue *queue)
{
    struct queues *queues = queue->queues;
    queue->removed = true;
    drop_links(queue);
    drop_jobs(queue); // those with a row to write are freed at the end of the turn
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        job_class_free(it.value);
    }
    queue_schedules_free(queue);
    unwant(queue);
    (void)reeve_map_remove(queues->by_name, queue->name); /* is this one */
    free_queue(queue);
}

// ---- the store ----------------------------------------------------------------------------------------------------

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

struct loading {
    struct queues *queues;
    struct job_store *store;
    struct queue *queue;  // of the row before: mostly the same
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
    (void)snprintf(job->text->worker, sizeof job->text->worker, "%.*s", (int)row->worker.len, row->worker.data); /* ours */
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
        loading->err = reeve_fail(loading->why, REEVE_CORRUPT, "job %lld is of no queue that is known", (long long)row->number);
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
        struct link *link = link_get(queue, (struct reeve_span){job->text->worker, strlen(job->text->worker)}, job->text->worker_epoch);
        if (reeve_map_put(queue->active, job->text->id, job, NULL) != REEVE_OK) {
            return reeve_fail(loading->why, REEVE_NOMEM, "out of memory");
        }
        if (link != NULL) { // else a worker of two sessions: the older one's jobs are those it does not have
            job->link = link;
            job_list_append(&link->jobs, job);
        }
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

static void write_dirty(struct queues *queues, bool store);

static void forget_all(struct queues *queues)
{
    write_dirty(queues, false); // what was not committed is not so
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        queue_close(it.value);
    }
    write_dirty(queues, false);
    after_clear(queues);
    queues->dependents = reeve_map_new(JOBS_MAX);
    queues->wanted = NULL;
    queues->out = NULL;
}

enum reeve_err queues_load(struct queues *queues, struct reeve_why *why)
{
    struct manager *manager = queues->manager;
    struct loading loading = {.queues = queues, .why = why};
    int64_t began = reeve_clock_mono_ms();
    queues->loading = true;
    forget_all(queues);
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

// ---- deliveries -----------------------------------------------------------------------------------------------------

static void on_command(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct queues *queues = arg;
    struct reeve_topic topic = reeve_topic_parse(queues->manager->config.manager.root, delivery->topic);
    if (topic.kind != REEVE_TOPIC_QUEUE_CMD) {
        return;
    }
    if (strcmp(topic.leaf, "enqueue") == 0) {
        intake_delivery(queues, queue_find(queues, topic.client), topic.client, delivery);
    } else {
        commands_take(queues->manager, delivery);
    }
}

static void on_report(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct queues *queues = arg;
    struct reeve_topic topic = reeve_topic_parse(queues->manager->config.manager.root, delivery->topic);
    struct queue *queue = topic.kind == REEVE_TOPIC_QUEUE ? queue_find(queues, topic.client) : NULL;
    if (queue != NULL) {
        report_delivery(queues, queue, delivery);
    } else {
        queues->refused++; // a worker that waits for a queue to be made
    }
}

static void on_fleet(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                     const struct fleet_worker *worker, void *arg)
{
    (void)node;
    if (change == FLEET_WORKER || change == FLEET_WORKER_GONE) {
        const struct fleet_worker_info info = fleet_worker_info(manager->fleet, worker);
        links_worker(arg, info.node, info.name);
    }
}

// ---- time -----------------------------------------------------------------------------------------------------------

void queue_timer(struct queues *queues, int64_t due_mono)
{
    if (!reeve_timer_armed(&queues->timer) || due_mono < queues->timer_mono) {
        queues->timer_mono = due_mono;
        reeve_timer_start(&queues->timer, due_mono - reeve_clock_mono_ms(), 0);
    }
}

static void on_timer(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct queues *queues = arg;
    int64_t now = reeve_clock_mono_ms();
    if (turn_store_failing(queues->manager->turn)) {
        queue_timer(queues, now + 1000); // it would be undone
        return;
    }
    for (int i = 0; i < DUE_PER_TURN && queues->due.len > 0 && queues->due.items[0]->due_mono <= now; i++) {
        job_due_fired(queues->due.items[0]);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        struct queue *queue = it.value;
        if (queue->spec.rate.count > 0) {
            dispatch_want(queue);
        }
    }
    if (queues->due.len > 0) {
        queue_timer(queues, queues->due.items[0]->due_mono);
    }
}

void queues_tick(struct queues *queues)
{
    links_tick(queues);
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        queue_schedules_tick(it.value);
        queue_keep_tick(it.value);
        queue_status_tick(it.value);
    }
}

void queues_publish(struct queues *queues)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        struct queue *queue = it.value;
        queue->status_dirty = true;
        queue->told_mono = 0;
        queue_status_tick(queue);
    }
}

void queues_ready(struct queues *queues)
{
    queues->hello_all = true;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        struct queue *queue = it.value;
        for (struct reeve_map_iter links = {0}; reeve_map_next(queue->links, &links);) {
            struct link *link = links.value;
            link->say_hello = true;
            link_say(link);
        }
        dispatch_want(queue);
    }
    links_hello(queues);
}

void queues_lost(struct queues *queues)
{
    dispatch_forget(queues);
}

void queues_room(struct queues *queues)
{
    dispatch_settle(queues, true);
}

// ---- the turn -------------------------------------------------------------------------------------------------------

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

static void write_dirty(struct queues *queues, bool store)
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

void queues_turn(struct queues *queues)
{
    struct manager *manager = queues->manager;
    if (manager->ready && !manager->leaving && !turn_store_failing(manager->turn)) {
        dispatch_run(queues);
    }
    write_dirty(queues, true);
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        queue_status_turn(it.value);
    }
    if (queues->memory != NULL) {
        (void)job_store_commit(queues->memory, NULL); /* out of room: what was refused there was told */
    }
}

void queues_settle(struct queues *queues, bool committed)
{
    intake_settle(queues, committed);
    dispatch_settle(queues, committed);
}

bool queues_pending(const struct queues *queues)
{
    bool may_run = queues->manager->ready && !queues->manager->leaving && !turn_store_failing(queues->manager->turn);
    return queues->replies != NULL || queues->dirty != NULL || (may_run && (queues->wanted != NULL || queues->out != NULL));
}

size_t queues_len(const struct queues *queues)
{
    return reeve_map_len(queues->by_name);
}

// ---- making and unmaking ----------------------------------------------------------------------------------------------

enum reeve_err queues_new(struct manager *manager, struct queues **ret, struct reeve_why *why)
{
    struct queues *queues = calloc(1, sizeof *queues);
    if (queues == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    queues->manager = manager;
    queues->made_tail = &queues->made;
    queues->unsent_tail = &queues->unsent;
    queues->by_name = reeve_map_new(QUEUES_MAX);
    queues->index = job_index_new();
    queues->slab = job_slab_new();
    queues->dependents = reeve_map_new(JOBS_MAX);
    reeve_timer_init(manager->loop, &queues->timer, on_timer, queues);
    *ret = queues;
    if (queues->by_name == NULL || queues->index == NULL || queues->slab == NULL || queues->dependents == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = fleet_listen(manager->fleet, on_fleet, queues);
    err = err == REEVE_OK ? manager_subscribe(manager, "queue/+/cmd/+", REEVE_BUS_NO_RETAINED, on_command, queues, why) : err;
    return err == REEVE_OK ? manager_subscribe(manager, "queue/+/report", REEVE_BUS_NO_RETAINED, on_report, queues, why) : err;
}

static void timer_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    free(arg);
}

void queues_free(struct queues *queues)
{
    if (queues == NULL) {
        return;
    }
    queues->loading = true; // nobody is to start any more
    if (queues->by_name != NULL && queues->index != NULL && queues->slab != NULL) {
        forget_all(queues);
        write_dirty(queues, false);
    }
    dispatch_forget(queues);
    after_clear(queues);
    job_store_close(queues->memory);
    job_store_close(queues->disk);
    reeve_map_free(queues->by_name, NULL);
    job_index_free(queues->index);
    job_slab_free(queues->slab);
    free(queues->due.items);
    reeve_timer_close(&queues->timer, timer_closed);
}
