// Who gets which job [job-3] [job-8], and the batches that carry them. Jobs of one class lie in order; a pass takes the best head among
// the classes that have a link with room, and gives it to the least loaded.
// Must not: let anything leave before the commit of the turn in which it was decided.
#include "queue_room.h"
#include "turn.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MARGIN_MS 1000 // a worker ends its own attempt in time; after it and its grace the manager does

// ---- who may ----------------------------------------------------------------------------------------------------

static bool has_type(const struct reeve_strv *types, bool any, const char *type)
{
    return any || reeve_strv_has(types, type);
}

bool dispatch_eligible(const struct link *link, const struct job_class *class, bool reconcile)
{
    if (!link->greeted || !has_type(reconcile ? &link->reconciles : &link->types, reconcile ? link->reconciles_any : link->any,
                                    class->type)) {
        return false;
    }
    if (class->requirements.len == 0) {
        return true;
    }
    const struct fleet *fleet = class->queue->queues->manager->fleet;
    const struct fleet_worker *worker = fleet_worker(fleet, link->node, link->name);
    return worker != NULL && reeve_requirements_met(&class->requirements, fleet_worker_attribute, worker, NULL);
}

static void find_links(struct job_class *class)
{
    struct queue *queue = class->queue;
    size_t room = reeve_map_len(queue->links);
    struct link **links = realloc(class->links, (room > 0 ? room : 1) * sizeof *links);
    if (links == NULL) {
        return; // as they were: a link that is gone is not among them, link_free() sees to that
    }
    class->links = links;
    class->links_len = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        if (dispatch_eligible(it.value, class, false)) {
            class->links[class->links_len++] = it.value;
        }
    }
    class->stamp = queue->stamp;
}

static bool has_room(const struct link *link)
{
    return (int64_t)link->jobs.len < link->capacity;
}

// Of two with the same share of their capacity in hand, whoever waited longer.
static bool less_loaded(const struct link *a, const struct link *b)
{
    int64_t left = (int64_t)a->jobs.len * b->capacity;
    int64_t right = (int64_t)b->jobs.len * a->capacity;
    return left != right ? left < right : a->used < b->used;
}

static struct link *least_loaded(struct job_class *class)
{
    struct link *best = NULL;
    if (class->stamp != class->queue->stamp) {
        find_links(class);
    }
    for (size_t i = 0; i < class->links_len; i++) {
        struct link *link = class->links[i];
        if (has_room(link) && (best == NULL || less_loaded(link, best))) {
            best = link;
        }
    }
    return best;
}

static struct link *reconciler(struct job_class *class)
{
    struct link *best = NULL;
    for (struct reeve_map_iter it = {0}; reeve_map_next(class->queue->links, &it);) {
        struct link *link = it.value;
        if (has_room(link) && (best == NULL || less_loaded(link, best)) && dispatch_eligible(link, class, true)) {
            best = link;
        }
    }
    return best;
}

// ---- limits -------------------------------------------------------------------------------------------------------

// Exactly `count` starts in any window of `per_ms`: the times of the last `count` are kept.
static bool rate_allows(struct queue *queue, int64_t now)
{
    int64_t count = queue->spec.rate.count;
    if (count == 0) {
        return true;
    }
    if (queue->starts_len < (size_t)count) {
        return true;
    }
    int64_t free_at = queue->starts[queue->starts_at] + queue->spec.rate.per_ms;
    if (now <= free_at) {
        queue_timer(queue->queues, free_at + 1);
        return false;
    }
    return true;
}

static void rate_count(struct queue *queue, int64_t now)
{
    size_t count = (size_t)queue->spec.rate.count;
    if (count == 0 || queue->starts == NULL) {
        return;
    }
    (void)job_store_started(queue->store, queue->number, reeve_clock_wall_ms(), queue->spec.rate.count, NULL); /* the commit tells */
    if (queue->starts_len < count) {
        queue->starts[(queue->starts_at + queue->starts_len++) % count] = now;
    } else {
        queue->starts[queue->starts_at] = now;
        queue->starts_at = (queue->starts_at + 1) % count;
    }
}

static bool may_start(struct queue *queue, int64_t now)
{
    return !queue->paused && !queue->removed &&
           (queue->spec.concurrency == 0 || queue->counts[REEVE_JOB_ACTIVE] < queue->spec.concurrency) && rate_allows(queue, now);
}

// ---- batches ------------------------------------------------------------------------------------------------------

void link_say(struct link *link)
{
    struct queues *queues = link->queue->queues;
    if (!link->out) {
        link->out = true;
        link->out_next = queues->out;
        queues->out = link;
    }
}

// What a batch counts for: it carries jobs or notices.
static void begin_batch(struct link *link, bool jobs, bool counted)
{
    struct queue *queue = link->queue;
    const struct reeve_job_batch head = {
        .queue = {queue->name, strlen(queue->name)},
        .manager_epoch = (int64_t)reeve_bus_epoch(queue->queues->manager->bus),
        .worker_epoch = link->epoch,
        .seq = counted ? ++link->batch_seq : link->batch_seq,
        .ack = link->report_seq,
        .lease_ms = queue->spec.lease_ms,
        .hello = link->say_hello,
    };
    reeve_buf_reset(&link->batch);
    reeve_job_batch_begin(&link->writer, &link->batch, &head);
    link->writing = true;
    link->say_hello = false;
    link->say_ack = false;
    if (jobs) {
        link->batch_mono = reeve_clock_mono_ms();
    }
}

static void write_notices(struct link *link, bool cancels)
{
    for (size_t i = 0; i < link->notices_len; i++) {
        const struct job_notice *notice = &link->notices[i];
        const struct reeve_job_notice wire = {.id = {notice->id, strlen(notice->id)},
                                              .reason = {notice->reason, strlen(notice->reason)},
                                              .attempt = notice->attempt,
                                              .grace_ms = notice->grace_ms};
        if (notice->cancel && cancels) {
            reeve_job_batch_cancel(&link->writer, &wire);
        } else if (!notice->cancel && !cancels) {
            reeve_job_batch_abandon(&link->writer, &wire);
        }
    }
}

static void end_batch(struct link *link)
{
    struct queues *queues = link->queue->queues;
    struct job_message *message = calloc(1, sizeof *message);
    write_notices(link, true);
    write_notices(link, false);
    link->notices_len = 0;
    link->writing = false;
    if (message == NULL || reeve_job_batch_end(&link->writer) != REEVE_OK) {
        free(message);
        queues->refused++; // what it carried is missed by `got`, or asked for again
        return;
    }
    message->len = link->batch.len;
    message->bytes = reeve_buf_take(&link->batch, NULL);
    (void)reeve_topic_make(message->topic, queues->manager->config.manager.root, "worker/%s/%s/job", link->node, link->name);
    *queues->made_tail = message;
    queues->made_tail = &message->next;
    queues->batches++;
}

static void notice(struct link *link, struct reeve_span id, const struct job_notice *what)
{
    if (link->notices_len == link->notices_cap) {
        size_t cap = link->notices_cap > 0 ? 2 * link->notices_cap : 8;
        struct job_notice *notices = cap <= REEVE_JOBS_IN_MESSAGE_MAX ? realloc(link->notices, cap * sizeof *notices) : NULL;
        if (notices == NULL) {
            link->queue->queues->refused++; // the worker's report is refused again when it comes again
            return;
        }
        link->notices = notices;
        link->notices_cap = cap;
    }
    struct job_notice *room = &link->notices[link->notices_len++];
    *room = *what;
    (void)snprintf(room->id, sizeof room->id, "%.*s", (int)id.len, id.data); /* what is longer is nobody's id */
    link_say(link);
}

void dispatch_abandon(struct link *link, struct reeve_span id, int64_t attempt, const char *reason)
{
    notice(link, id, &(struct job_notice){.attempt = attempt, .reason = reason});
}

void dispatch_cancel(struct job *job, const char *reason, int64_t grace_ms)
{
    struct reeve_span id = {job->text->id, strlen(job->text->id)};
    if (job->link != NULL) {
        notice(job->link, id, &(struct job_notice){.attempt = job->attempt, .reason = reason, .grace_ms = grace_ms, .cancel = true});
    }
    (void)job_due_put(&job_queue(job)->queues->due, job, reeve_clock_mono_ms() + grace_ms + TIMEOUT_MARGIN_MS); /* else by its lease */
    queue_timer(job_queue(job)->queues, job->due_mono);
}

// ---- giving -------------------------------------------------------------------------------------------------------

static bool read_item(struct job *job, struct reeve_job_item *item, struct reeve_buf *checkpoint, struct reeve_why *why)
{
    struct reeve_job_spec spec;
    struct reeve_span raw;
    struct reeve_span kept = {0};
    struct queue *queue = job_queue(job);
    if ((job->flags & JOB_FLAG_CHECKPOINT) != 0 &&
        job_store_note(queue->store, job->number, JOB_NOTE_CHECKPOINT, &kept, NULL) == REEVE_OK) {
        reeve_buf_append(checkpoint, kept.data, kept.len); // the next call of the store takes it back
        item->checkpoint = (struct reeve_span){checkpoint->data, checkpoint->len};
    }
    if (job_load(job, &item->id, &raw, why) != REEVE_OK) {
        return false;
    }
    struct reeve_cursor cursor = REEVE_CURSOR(raw.data, raw.len);
    if (reeve_job_spec_read(&cursor, &spec, why) != REEVE_OK) {
        return false;
    }
    item->type = (struct reeve_span){job->class->type, strlen(job->class->type)};
    item->payload = spec.payload;
    item->timeout_ms = spec.timeout_ms > 0 ? spec.timeout_ms : queue->spec.timeout_ms;
    return true;
}

static bool take_text(struct job *job, const struct link *link, struct reeve_span id)
{
    struct job_text *text = calloc(1, sizeof *text);
    if (text == NULL) {
        return false;
    }
    memcpy(text->id, id.data, id.len);
    memcpy(text->worker, link->worker, sizeof text->worker);
    text->worker_epoch = link->epoch;
    text->progress = -1;
    if (reeve_map_put(job_queue(job)->active, text->id, job, NULL) != REEVE_OK) {
        free(text);
        return false;
    }
    job->text = text;
    return true;
}

// The worker's own timer comes first; this is for one that does not keep its word.
static void set_timeout(struct job *job, int64_t timeout_ms, int64_t now)
{
    const struct queue *queue = job_queue(job);
    if (timeout_ms > 0) {
        (void)job_due_put(&queue->queues->due, job, now + timeout_ms + queue->spec.cancel_grace_ms + TIMEOUT_MARGIN_MS); /* else by its lease */
        queue_timer(queue->queues, job->due_mono);
    }
}

void job_timeout_restore(struct job *job, struct reeve_span raw)
{
    struct reeve_cursor cursor = REEVE_CURSOR(raw.data, raw.len);
    struct reeve_job_spec spec;
    if (reeve_job_spec_read(&cursor, &spec, NULL) == REEVE_OK) { // it was read before
        set_timeout(job, spec.timeout_ms > 0 ? spec.timeout_ms : job_queue(job)->spec.timeout_ms, reeve_clock_mono_ms());
    }
}

static void give(struct job *job, struct link *link, int64_t now)
{
    struct queue *queue = job_queue(job);
    struct queues *queues = queue->queues;
    struct reeve_why why = {0};
    struct reeve_job_item item = {.reconcile = job->state == REEVE_JOB_UNKNOWN};
    REEVE_BUF_AUTO checkpoint = REEVE_BUF_INIT(0);
    if (!read_item(job, &item, &checkpoint, &why) || !take_text(job, link, item.id)) {
        reeve_log(REEVE_LOG_ERROR, "job", "queue=%s number=%lld error=\"%s\" ignoring", queue->name, (long long)job->number, why.text);
        job->due_mono = now + 5000; // out of memory, or a disk that can't be read: not again at once
        job_set(job, item.reconcile ? REEVE_JOB_UNKNOWN : REEVE_JOB_DELAYED, "can't be read");
        return;
    }
    if (!link->writing) {
        begin_batch(link, true, true);
    }
    link_say(link);
    item.attempt = (int64_t)++job->attempt;
    job->started_at = reeve_clock_wall_ms();
    job->text->dispatch_seq = link->batch_seq;
    job_set(job, REEVE_JOB_ACTIVE, link->worker);
    job->flags |= item.reconcile ? JOB_FLAG_RECONCILING : 0;
    job->link = link;
    job_list_append(&link->jobs, job);
    link->used = ++queues->assigned;
    reeve_job_batch_job(&link->writer, &item);
    job_body_drop(job);
    rate_count(queue, now);
    queue->rates.started++;
    set_timeout(job, item.timeout_ms, now);
    if (queue->spec.job_records || queue->spec.events == 2) {
        queue_change(queue, job, REEVE_JOB_ACTIVE, (struct reeve_span){0});
    }
    if (link->batch.len > JOB_BATCH_BYTES) {
        end_batch(link);
    }
}

// ---- a pass -------------------------------------------------------------------------------------------------------

static struct job *head_of(const struct job_class *class)
{
    int top = 31 - __builtin_clz(class->priorities);
    return class->ready[top].head;
}

static bool goes_first(const struct job *a, const struct job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->number < b->number;
}

static struct job *best_head(struct queue *queue)
{
    struct job *best = NULL;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        struct job_class *class = it.value;
        if (class->priorities != 0 && !class->blocked) {
            struct job *head = head_of(class);
            best = best == NULL || goes_first(head, best) ? head : best;
        }
    }
    return best;
}

static void give_unknown(struct queue *queue, int64_t now)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        struct job_class *class = it.value;
        struct link *link;
        while (class->reconcile.head != NULL && may_start(queue, now) && (link = reconciler(class)) != NULL) {
            give(class->reconcile.head, link, now);
        }
    }
}

static void run_queue(struct queue *queue, int64_t now)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        ((struct job_class *)it.value)->blocked = false;
    }
    give_unknown(queue, now);
    struct job *job;
    while (may_start(queue, now) && (job = best_head(queue)) != NULL) {
        struct link *link = least_loaded(job->class);
        if (link != NULL) {
            give(job, link, now);
        } else {
            job->class->blocked = true;
        }
    }
}

void dispatch_want(struct queue *queue)
{
    struct queues *queues = queue->queues;
    if (!queue->wanted && !queues->loading) {
        queue->wanted = true;
        queue->wanted_next = queues->wanted;
        queues->wanted = queue;
    }
}

static void say(struct link *link)
{
    link->out = false;
    if (!link->writing && (link->notices_len > 0 || link->say_ack || link->say_hello)) {
        begin_batch(link, false, link->notices_len > 0);
    }
    if (link->writing) {
        end_batch(link);
    }
}

void link_flush(struct link *link)
{
    bool out = link->out; // still in the list of those: whoever frees it takes it out
    say(link);
    link->out = out;
}

void dispatch_run(struct queues *queues)
{
    int64_t now = reeve_clock_mono_ms();
    struct queue *again = NULL;
    while (queues->wanted != NULL) {
        struct queue *queue = queues->wanted;
        queues->wanted = queue->wanted_next;
        run_queue(queue, now);
        queue->wanted_next = again;
        again = queue;
    }
    for (; again != NULL; again = again->wanted_next) {
        again->wanted = false; // only now: what a pass sets off is part of it
    }
    while (queues->out != NULL) {
        struct link *link = queues->out;
        queues->out = link->out_next;
        say(link);
    }
}

// ---- leaving ------------------------------------------------------------------------------------------------------

static bool send_message(struct queues *queues, const struct job_message *message)
{
    const struct reeve_bus_message wire = {.topic = message->topic,
                                           .payload = message->bytes,
                                           .payload_len = message->len,
                                           .qos = 1,
                                           .class = REEVE_BUS_REPLY,
                                           .correlation = message->correlation,
                                           .correlation_len = message->correlation_len};
    struct reeve_why why = {0};
    enum reeve_err err = reeve_bus_publish(queues->manager->bus, &wire, &why);
    if (err != REEVE_OK && err != REEVE_LIMIT) {
        reeve_log(REEVE_LOG_WARNING, "job", "topic=%s error=\"%s\" retrying", message->topic, why.text); // missed by `got`
    }
    return err != REEVE_LIMIT;
}

static void free_message(struct job_message *message)
{
    free(message->correlation);
    free(message->bytes);
    free(message);
}

static void drop_messages(struct job_message **list, struct job_message ***tail)
{
    while (*list != NULL) {
        struct job_message *next = (*list)->next;
        free_message(*list);
        *list = next;
    }
    *tail = list;
}

static void send_unsent(struct queues *queues)
{
    while (queues->unsent != NULL && send_message(queues, queues->unsent)) {
        struct job_message *message = queues->unsent;
        queues->unsent = message->next;
        queues->unsent_len--;
        free_message(message);
    }
    if (queues->unsent == NULL) {
        queues->unsent_tail = &queues->unsent;
    }
}

void dispatch_post(struct queues *queues, struct job_message *message)
{
    message->next = NULL;
    *queues->unsent_tail = message;
    queues->unsent_tail = &message->next;
    queues->unsent_len++;
}

void dispatch_settle(struct queues *queues, bool committed)
{
    if (!committed) {
        drop_messages(&queues->made, &queues->made_tail);
        return;
    }
    struct job_message *made = queues->made;
    queues->made = NULL;
    queues->made_tail = &queues->made;
    for (struct job_message *next; made != NULL; made = next) {
        next = made->next;
        dispatch_post(queues, made);
    }
    send_unsent(queues);
}

void dispatch_forget(struct queues *queues)
{
    drop_messages(&queues->made, &queues->made_tail);
    drop_messages(&queues->unsent, &queues->unsent_tail);
    queues->unsent_len = 0;
}
