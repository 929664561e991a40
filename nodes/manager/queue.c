// The queues' room: queues are opened and closed, deliveries come in, the turn, the timer, the tick.
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
    links_tick(queues);
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
    intake_look_at_disk(queues);
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

void queues_turn(struct queues *queues)
{
    struct manager *manager = queues->manager;
    if (manager->ready && !manager->leaving && !turn_store_failing(manager->turn)) {
        dispatch_run(queues);
    }
    queue_rows_write(queues, true);
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
        queues_forget(queues);
        queue_rows_write(queues, false);
    }
    intake_forget(queues);
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
