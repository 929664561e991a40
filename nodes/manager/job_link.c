// Links: a worker's session that takes jobs of a queue [job-12] [job-14]. When a worker is gone, its jobs go back: by what the fleet
// knows of it (its will, its process) at once, by silence when the lease is over.
// Must not: judge presence; the fleet does.
#include "queue_room.h"
#include "turn.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_EVERY_MS 200
#define IDLE_LEASES   10 // a link without jobs is kept for so many: a heartbeat may be longer than a lease

static bool split_worker(struct link *link, struct reeve_span worker)
{
    (void)snprintf(link->worker, sizeof link->worker, "%.*s", (int)worker.len, worker.data); /* what is longer is no name */
    const char *slash = strchr(link->worker, '/');
    if (slash == NULL || worker.len >= sizeof link->worker || (size_t)(slash - link->worker) >= sizeof link->node) {
        return false;
    }
    (void)snprintf(link->node, sizeof link->node, "%.*s", (int)(slash - link->worker), link->worker); /* fits */
    (void)snprintf(link->name, sizeof link->name, "%s", slash + 1);                                   /* checked next */
    return reeve_name_check(link->node, NULL) == REEVE_OK && reeve_name_check(slash + 1, NULL) == REEVE_OK;
}

static void new_session(struct link *link, int64_t epoch)
{
    link->epoch = epoch;
    link->greeted = false;
    link->capacity = 0;
    link->report_seq = 0;
    link->batch_seq = 0;
    link->got = 0;
    link->queue->stamp++;
}

struct link *link_get(struct queue *queue, struct reeve_span worker, int64_t epoch)
{
    char key[2 * REEVE_NAME_SIZE];
    (void)snprintf(key, sizeof key, "%.*s", (int)worker.len, worker.data); /* what is longer is no name */
    struct link *link = reeve_map_get(queue->links, key);
    if (link != NULL) {
        if (epoch > link->epoch) {
            new_session(link, epoch);
        }
        return epoch == link->epoch ? link : NULL;
    }
    link = reeve_map_len(queue->links) < QUEUE_LINKS_MAX ? calloc(1, sizeof *link) : NULL;
    if (link == NULL) {
        return NULL;
    }
    link->queue = queue;
    link->batch = (struct reeve_buf)REEVE_BUF_INIT(2u << 20);
    link->heard_mono = reeve_clock_mono_ms();
    if (!split_worker(link, worker) || reeve_map_put(queue->links, link->worker, link, NULL) != REEVE_OK) {
        free(link);
        return NULL;
    }
    new_session(link, epoch);
    return link;
}

static void forget_in_classes(const struct link *link)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(link->queue->classes, &it);) {
        ((struct job_class *)it.value)->links_len = 0;
    }
    link->queue->stamp++;
}

static void leave_out(struct link *link)
{
    struct link **at = &link->queue->queues->out;
    while (link->out && *at != NULL) {
        if (*at == link) {
            *at = link->out_next;
            link->out = false;
        } else {
            at = &(*at)->out_next;
        }
    }
}

void link_free(struct link *link)
{
    leave_out(link);
    forget_in_classes(link);
    (void)reeve_map_remove(link->queue->links, link->worker); /* is this one */
    reeve_strv_done(&link->types);
    reeve_strv_done(&link->reconciles);
    reeve_buf_done(&link->batch);
    free(link->notices);
    free(link);
}

void link_gone(struct link *link, enum link_gone how, const char *cause)
{
    if (link->jobs.len > 0) {
        reeve_log(REEVE_LOG_INFO, "link", "queue=%s worker=%s cause=\"%s\" jobs=%zu going back", link->queue->name, link->worker,
                  cause, link->jobs.len);
    }
    link->capacity = 0; // nothing goes to it while its jobs go back
    while (link->jobs.tail != NULL) {
        job_lost(link->jobs.tail, how == LINK_DIED, cause); // the youngest first: each is put before what is there
    }
    dispatch_want(link->queue);
    link_free(link);
}

// ---- evidence -----------------------------------------------------------------------------------------------------

// What it says of the session that the link is; false = nothing.
static bool is_gone(const struct link *link, const struct fleet_worker_info *info, enum link_gone *ret_how)
{
    if (info->epoch > (uint64_t)link->epoch) {
        return false; // a newer session: its hello tells what is in hand
    }
    if (info->session == REEVE_LEFT) {
        *ret_how = LINK_LEFT;
        return true;
    }
    *ret_how = LINK_DIED;
    bool other_run = link->run > 0 && info->run > link->run;
    return info->session == REEVE_DEAD || other_run || (info->supervised && !fleet_worker_live(info));
}

static bool asks_for_more_than_types(const struct queue *queue)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        if (((const struct job_class *)it.value)->requirements.len > 0) {
            return true;
        }
    }
    return false;
}

static void look(struct link *link)
{
    struct manager *manager = link->queue->queues->manager;
    const struct fleet_worker *worker = fleet_worker(manager->fleet, link->node, link->name);
    enum link_gone how;
    char why[256];
    if (worker == NULL) {
        return; // never seen, or long forgotten: by its lease
    }
    const struct fleet_worker_info info = fleet_worker_info(manager->fleet, worker);
    if (is_gone(link, &info, &how)) {
        link_gone(link, how, fleet_why(manager->fleet, worker, why, sizeof why));
    } else if (link->greeted && asks_for_more_than_types(link->queue)) {
        link->queue->stamp++; // what it is may have changed
        dispatch_want(link->queue);
    }
}

void links_worker(struct queues *queues, const char *node, const char *worker)
{
    char key[2 * REEVE_NAME_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", node, worker); /* names */
    if (fleet_held(queues->manager->fleet) || turn_store_failing(queues->manager->turn)) {
        return; // queues_tick() looks again
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        struct link *link = reeve_map_get(((struct queue *)it.value)->links, key);
        if (link != NULL) {
            look(link);
        }
    }
}

// ---- time ---------------------------------------------------------------------------------------------------------

// What was handed out and never arrived: `got` stands below it for a third of a lease.
static void take_back_lost(struct link *link, int64_t now)
{
    int64_t patience = link->queue->spec.lease_ms / JOB_REPEAT_FACTOR;
    if (!link->greeted || link->got >= link->batch_seq || now - link->batch_mono < patience || now - link->heard_mono > patience) {
        return;
    }
    for (struct job *job = link->jobs.tail, *prev; job != NULL; job = prev) {
        prev = job->prev;
        if (job->text->dispatch_seq > link->got) {
            dispatch_abandon(link, (struct reeve_span){job->text->id, strlen(job->text->id)}, job->attempt, "fenced");
            job_lost(job, false, "its batch did not arrive");
        }
    }
    link->got = link->batch_seq;
}

// A worker may be gone in a way that no event told, while verdicts were held.
static bool lease_over(const struct link *link, int64_t now)
{
    int64_t lease = link->queue->spec.lease_ms;
    return now - link->heard_mono > (link->jobs.len > 0 ? lease : IDLE_LEASES * lease);
}

static void look_again(struct queue *queue, struct queues *queues)
{
    struct reeve_strv workers = {0};
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        (void)reeve_strv_add(&workers, it.key); /* out of memory: next second */
    }
    for (size_t i = 0; i < workers.len; i++) {
        struct link *link = reeve_map_get(queue->links, workers.items[i]);
        int64_t now = reeve_clock_mono_ms();
        if (lease_over(link, now)) {
            link_gone(link, LINK_SILENT, "not heard of for its lease");
            continue;
        }
        if (link->jobs.len > 0) {
            queue_timer(queues, link->heard_mono + queue->spec.lease_ms + 1); // a tick may come most of a second later
        }
        take_back_lost(link, now);
        if (!fleet_held(queues->manager->fleet)) {
            look(link);
        }
    }
    reeve_strv_done(&workers);
}

void links_tick(struct queues *queues)
{
    int64_t now = reeve_clock_mono_ms();
    if (now - queues->looked_mono < LOOK_EVERY_MS && !queues->hello_all) {
        queue_timer(queues, queues->looked_mono + LOOK_EVERY_MS); // ticks may come in bursts
        return;
    }
    queues->looked_mono = now;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queues->by_name, &it);) {
        look_again(it.value, queues);
    }
    if (queues->hello_all) {
        links_hello(queues);
    }
}

// ---- asking -------------------------------------------------------------------------------------------------------

static bool ask(const struct fleet_worker *worker, void *arg)
{
    struct queues *queues = arg;
    const struct fleet_worker_info info = fleet_worker_info(queues->manager->fleet, worker);
    REEVE_VALUE_AUTO status = info.session == REEVE_LIVE ? fleet_status_record(queues->manager->fleet, worker) : NULL;
    const struct reeve_value *names = reeve_value_get(status, "queues");
    char key[2 * REEVE_NAME_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", info.node, info.name); /* names */
    for (size_t i = 0; i < reeve_value_len(names); i++) {
        const char *name = reeve_value_text(reeve_value_at(names, i));
        struct queue *queue = name != NULL ? queue_find(queues, name) : NULL;
        struct link *link = queue != NULL ? link_get(queue, (struct reeve_span){key, strlen(key)}, (int64_t)info.epoch) : NULL;
        if (link != NULL && !link->greeted) {
            link->say_hello = true;
            link_say(link);
        }
    }
    return true;
}

void links_hello(struct queues *queues)
{
    struct manager *manager = queues->manager;
    if (!manager->ready || turn_store_failing(manager->turn)) {
        return;
    }
    queues->hello_all = false;
    fleet_each_worker(manager->fleet, ask, queues);
}
