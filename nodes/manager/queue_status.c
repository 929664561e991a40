// What is told of a queue: its retained status, events of what changed, records of single jobs, and the alarm for what
// nobody can do. Must not: change a job.
#include "queue_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define STATUS_MS       1000  // at most so often
#define STATUS_AGAIN_MS 10000 // and at least: a pool that scales by it takes it for stale after 30 s (scaling.c)
#define CHANGES_MAX     256   // of one turn and queue; more are counted
#define ERROR_MAX       200   // bytes of an error in an event
#define KEYS_LOOK_MAX   4096  // keys whose first waiting job is looked at for the age of the oldest
#define RECORD_MS       500   // progress of one job at most so often
#define RECORD_LIVE_MS  (24LL * 3600 * 1000) // a record that nobody renews ends, where the broker can (MQTT 5)
#define RECORD_ENDED_MS (3600LL * 1000)

enum { EVENTS_NONE, EVENTS_FAILURES, EVENTS_ALL };

// ---- changes of jobs ----------------------------------------------------------------------------------------------

static bool is_progress(const struct job *job, enum reeve_job_state state)
{
    return state == REEVE_JOB_ACTIVE && job->text != NULL &&
           (job->text->progress >= 0 || job->text->progress_text[0] != '\0');
}

static bool is_event(const struct queue *queue, const struct job *job, enum reeve_job_state state)
{
    if (queue->spec.events == EVENTS_ALL) {
        return !is_progress(job, state);
    }
    bool failure = state == REEVE_JOB_FAILED || state == REEVE_JOB_UNKNOWN || state == REEVE_JOB_CANCELLED ||
                   (state == REEVE_JOB_DELAYED && job->attempt > 0);
    return queue->spec.events == EVENTS_FAILURES && failure;
}

static void add_change(struct queue *queue, const struct job *job, const char *id, enum reeve_job_state state,
                       struct reeve_span error)
{
    if (queue->changes == NULL) {
        queue->changes = reeve_value_list();
    }
    if (reeve_value_len(queue->changes) >= CHANGES_MAX) {
        queue->changes_more++;
        return;
    }
    struct reeve_value *change = reeve_value_map();
    reeve_put_str(change, "id", id);
    reeve_put_str(change, "state", reeve_job_state_text(state));
    reeve_put_int(change, "attempt", job->attempt);
    if (error.len > 0) {
        size_t len = error.len < ERROR_MAX ? error.len : ERROR_MAX;
        (void)reeve_value_put(change, "error", reeve_value_strn(error.data, len)); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_add(queue->changes, change); /* as above */
}

static struct reeve_value *record_value(const struct queue *queue, const struct job *job, const char *id,
                                        enum reeve_job_state state, struct reeve_span error)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "id", id);
    reeve_put_str(value, "queue", queue->name);
    reeve_put_str(value, "type", job->class->type);
    reeve_put_str(value, "state", reeve_job_state_text(state));
    reeve_put_int(value, "attempt", job->attempt);
    reeve_put_int(value, "added_at", job->added_at);
    if (state == REEVE_JOB_ACTIVE && job->text != NULL) {
        reeve_put_str(value, "worker", job->text->worker);
        reeve_put_int(value, "started_at", job->started_at);
        if (job->text->progress >= 0) {
            (void)reeve_value_put(value, "progress", reeve_value_float(job->text->progress)); /* remembered */
        }
        reeve_put_str_opt(value, "text", job->text->progress_text);
    }
    if (error.len > 0) {
        (void)reeve_value_put(value, "error", reeve_value_strn(error.data, error.len)); /* remembered */
    }
    reeve_put_int(value, "at", reeve_clock_wall_ms());
    return value;
}

static void publish_record(const struct queue *queue, struct job *job, const char *id, enum reeve_job_state state,
                           struct reeve_span error)
{
    char topic[REEVE_TOPIC_SIZE];
    if (job->text != NULL) {
        job->text->record_mono = reeve_clock_mono_ms();
        job->text->record_late = false;
    }
    (void)snprintf(topic, sizeof topic, "job/%s/%s", queue->name, id); /* names */
    manager_publish(queue->queues->manager, LEAVING_RECORD, topic, record_value(queue, job, id, state, error),
                    reeve_job_state_live(state) ? RECORD_LIVE_MS : RECORD_ENDED_MS);
}

// Progress that comes too fast is told later, by the tick.
static bool held_back(struct queue *queue, struct job *job, enum reeve_job_state state)
{
    if (!is_progress(job, state) || job->text->record_mono == 0 ||
        reeve_clock_mono_ms() - job->text->record_mono >= RECORD_MS) {
        return false;
    }
    job->text->record_late = true;
    queue->records_late = true;
    return true;
}

static bool id_of(const struct job *job, char ret[REEVE_JOB_ID_SIZE])
{
    struct reeve_span id, raw;
    if (job->text != NULL) {
        memcpy(ret, job->text->id, REEVE_JOB_ID_SIZE);
        return true;
    }
    if (job_load(job, &id, &raw, NULL) != REEVE_OK || id.len >= REEVE_JOB_ID_SIZE) {
        return false; // can't be read: it is told when somebody asks
    }
    memcpy(ret, id.data, id.len);
    ret[id.len] = '\0';
    return true;
}

void queue_change(struct queue *queue, struct job *job, enum reeve_job_state state, struct reeve_span error)
{
    char id[REEVE_JOB_ID_SIZE];
    bool event = is_event(queue, job, state);
    bool record = queue->spec.job_records && !held_back(queue, job, state);
    if ((!event && !record) || !id_of(job, id)) {
        return;
    }
    if (event) {
        add_change(queue, job, id, state, error);
    }
    if (record) {
        publish_record(queue, job, id, state, error);
    }
}

void job_record_remove(struct queue *queue, struct reeve_span id)
{
    char topic[REEVE_TOPIC_SIZE];
    if (queue->spec.job_records && id.len > 0 && id.len < REEVE_JOB_ID_SIZE) {
        (void)snprintf(topic, sizeof topic, "job/%s/%.*s", queue->name, (int)id.len, id.data); /* fits */
        manager_publish(queue->queues->manager, LEAVING_RECORD, topic, NULL, 0);
    }
}

static void tell_late_records(struct queue *queue)
{
    bool late = false;
    int64_t now = reeve_clock_mono_ms();
    for (struct reeve_map_iter it = {0}; queue->records_late && reeve_map_next(queue->active, &it);) {
        struct job *job = it.value;
        if (job->text->record_late && now - job->text->record_mono >= RECORD_MS) {
            publish_record(queue, job, job->text->id, REEVE_JOB_ACTIVE, (struct reeve_span){0});
        }
        late = late || job->text->record_late;
    }
    queue->records_late = late;
}

void queue_status_turn(struct queue *queue)
{
    char topic[REEVE_TOPIC_SIZE];
    queue_keep_turn(queue);
    if (queue->changes == NULL) {
        return;
    }
    struct reeve_value *event = reeve_value_map();
    reeve_put_str(event, "queue", queue->name);
    reeve_put_int(event, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(event, "changes", queue->changes); /* remembered: reeve_value_built() */
    reeve_put_int(event, "more", (int64_t)queue->changes_more);
    queue->changes = NULL;
    queue->changes_more = 0;
    (void)snprintf(topic, sizeof topic, "queue/%s/event", queue->name); /* a name */
    manager_publish(queue->queues->manager, LEAVING_BULK, topic, event, 0);
}

// ---- the status ---------------------------------------------------------------------------------------------------

static int64_t waits_since(const struct job *job)
{
    return job->run_at > job->added_at ? job->run_at : job->added_at;
}

static void older(int64_t *oldest_at, const struct job_list *list)
{
    if (list->head != NULL && (*oldest_at == 0 || waits_since(list->head) < *oldest_at)) {
        *oldest_at = waits_since(list->head);
    }
}

// Lists are in order of arrival, about: what comes back lies before what is there.
static int64_t oldest_ms(const struct queue *queue)
{
    int64_t oldest_at = 0;
    size_t looked = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        const struct job_class *class = it.value;
        for (int i = 0; class->priorities != 0 && i <= REEVE_JOB_PRIORITY_MAX; i++) {
            older(&oldest_at, &class->ready[i]);
        }
    }
    for (struct reeve_map_iter it = {0};
         queue->key_waiting > 0 && looked++ < KEYS_LOOK_MAX && reeve_map_next(queue->keys, &it);) {
        older(&oldest_at, &((const struct job_key *)it.value)->waiting);
    }
    int64_t age = oldest_at > 0 ? reeve_clock_wall_ms() - oldest_at : 0;
    return age > 0 ? age : 0;
}

static int64_t ready_len(const struct queue *queue)
{
    size_t len = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        const struct job_class *class = it.value;
        for (int i = 0; class->priorities != 0 && i <= REEVE_JOB_PRIORITY_MAX; i++) {
            len += class->ready[i].len;
        }
    }
    return (int64_t)len;
}

static const char *state_of(const struct queue *queue)
{
    return queue->paused ? "paused" : queue->draining ? "draining" : "running";
}

static void put_counts(const struct queue *queue, struct reeve_value *value)
{
    static const enum reeve_job_state order[] = {REEVE_JOB_WAITING,  REEVE_JOB_DELAYED,   REEVE_JOB_ACTIVE,
                                                 REEVE_JOB_UNKNOWN,  REEVE_JOB_COMPLETED, REEVE_JOB_FAILED,
                                                 REEVE_JOB_CANCELLED};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(order); i++) {
        reeve_put_int(value, reeve_job_state_text(order[i]), queue->counts[order[i]]);
    }
}

static void put_rates(const struct queue *queue, struct reeve_value *value)
{
    int64_t ms = queue->told_mono > 0 ? reeve_clock_mono_ms() - queue->told_mono : 0;
    const struct {
        const char *key;
        uint64_t now, told;
    } rows[] = {{"added_per_s", queue->rates.added, queue->told.added},
                {"started_per_s", queue->rates.started, queue->told.started},
                {"completed_per_s", queue->rates.completed, queue->told.completed},
                {"failed_per_s", queue->rates.failed, queue->told.failed}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        double rate = ms > 0 ? (double)(rows[i].now - rows[i].told) * 1000.0 / (double)ms : 0;
        (void)reeve_value_put(value, rows[i].key,
                              reeve_value_float((double)(int64_t)(rate * 10 + 0.5) / 10)); /* remembered */
    }
    reeve_put_int(value, "retried", (int64_t)queue->rates.retried);
    reeve_put_int(value, "lost", (int64_t)queue->rates.lost);
    reeve_put_int(value, "fenced", (int64_t)queue->rates.fenced);
}

static void put_workers(const struct queue *queue, struct reeve_value *value)
{
    int64_t workers = 0, capacity = 0, in_use = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        const struct link *link = it.value;
        workers += link->greeted ? 1 : 0;
        capacity += link->greeted ? link->capacity : 0;
        in_use += link->jobs.len > 0 ? 1 : 0;
    }
    reeve_put_int(value, "workers", workers);
    reeve_put_int(value, "capacity", capacity);
    reeve_put_int(value, "workers_in_use", in_use);
}

// 0 is "not known" for who scales by it.
static int64_t service_ms(const struct queue *queue)
{
    int64_t ms = (int64_t)(queue->rates.service_ms + 0.5);
    return queue->rates.completed == 0 ? 0 : ms > 0 ? ms : 1;
}

struct reeve_value *queue_status_value(struct queue *queue)
{
    struct reeve_value *value = reeve_value_map();
    int64_t after_waiting = queue->counts[REEVE_JOB_WAITING] - ready_len(queue) - queue->key_waiting;
    reeve_put_str(value, "queue", queue->name);
    reeve_put_str(value, "state", state_of(queue));
    reeve_put_str(value, "durability", queue->spec.durability == REEVE_DURABILITY_MEMORY ? "memory" : "commit");
    put_counts(queue, value);
    reeve_put_int(value, "oldest_ms", oldest_ms(queue));
    reeve_put_int(value, "service_ms", service_ms(queue));
    put_rates(queue, value);
    put_workers(queue, value);
    reeve_put_int(value, "blocked_by_key", queue->key_waiting);
    reeve_put_int(value, "blocked_by_after", after_waiting > 0 ? after_waiting : 0);
    reeve_put_int(value, "unmatched", queue->unmatched);
    reeve_put_int(value, "bytes", queue->bytes);
    reeve_put_int(value, "at", reeve_clock_wall_ms());
    return value;
}

// ---- what nobody can do -------------------------------------------------------------------------------------------

static int64_t waiting_of(const struct job_class *class)
{
    size_t len = 0;
    for (int i = 0; i <= REEVE_JOB_PRIORITY_MAX; i++) {
        len += class->ready[i].len;
    }
    return (int64_t)len;
}

// How many jobs of this class meet no worker.
static int64_t look_at_class(struct job_class *class, int64_t now)
{
    int64_t unmatched = 0;
    if (class->priorities != 0 && job_unmatched(class, false, NULL, 0)) {
        unmatched += waiting_of(class);
    }
    if (class->reconcile.len > 0 && job_unmatched(class, true, NULL, 0)) {
        unmatched += (int64_t) class->reconcile.len;
    }
    if (unmatched == 0) {
        class->unmatched_mono = 0;
    } else if (class->unmatched_mono == 0) {
        class->unmatched_mono = now;
    }
    return unmatched;
}

static void open_alarm(struct queue *queue, const struct job_class *class)
{
    char why[300];
    bool reconcile = class->priorities == 0 || !job_unmatched(class, false, why, sizeof why);
    int64_t jobs = reconcile ? (int64_t) class->reconcile.len : waiting_of(class);
    struct reeve_value *detail = reeve_value_map();
    (void)job_unmatched(class, reconcile, why, sizeof why); /* one of the two is */
    reeve_put_str(detail, "queue", queue->name);
    reeve_put_str(detail, "type", class->type);
    reeve_put_str(detail, "why", why);
    reeve_put_int(detail, "jobs", jobs);
    alarm_open(queue->queues->manager, "job_unmatched", queue->name, ALARM_WARNING, detail,
               "queue %s: %lld jobs of type %s wait, and nobody can do them: %s", queue->name, (long long)jobs,
               class->type, why);
}

static void look_for_unmatched(struct queue *queue, int64_t now)
{
    const struct job_class *longest = NULL;
    struct manager *manager = queue->queues->manager;
    queue->unmatched = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        struct job_class *class = it.value;
        queue->unmatched += look_at_class(class, now);
        bool longer = class->unmatched_mono > 0 && (longest == NULL || class->unmatched_mono < longest->unmatched_mono);
        longest = longer ? class : longest;
    }
    bool over = queue->spec.unmatched_alarm_ms > 0 && longest != NULL &&
                now - longest->unmatched_mono >= queue->spec.unmatched_alarm_ms;
    if (over && !queue->paused) {
        open_alarm(queue, longest);
    } else if (alarm_is_open(manager, "job_unmatched", queue->name)) {
        alarm_close(manager, "job_unmatched", queue->name);
    }
    if (queue->counts[REEVE_JOB_UNKNOWN] == 0 && alarm_is_open(manager, "job_unknown", queue->name)) {
        alarm_close(manager, "job_unknown", queue->name); // job_state.c opens it
    }
}

// ---- once a second ------------------------------------------------------------------------------------------------

static bool is_moving(const struct queue *queue)
{
    const struct queue_rates *now = &queue->rates, *told = &queue->told;
    return now->added != told->added || now->started != told->started || now->completed != told->completed ||
           now->failed != told->failed;
}

void queue_status_tick(struct queue *queue)
{
    char topic[REEVE_TOPIC_SIZE];
    int64_t now = reeve_clock_mono_ms();
    if (queue->told_mono != 0 && now - queue->told_mono < STATUS_MS) {
        return; // ticks also come when something asks for one
    }
    bool moving = is_moving(queue);
    look_for_unmatched(queue, now);
    tell_late_records(queue);
    // The age of the oldest changes by itself.
    bool changed = queue->status_dirty || moving || queue->moving || queue->counts[REEVE_JOB_WAITING] > 0;
    if (changed || now - queue->published_mono >= STATUS_AGAIN_MS) {
        (void)snprintf(topic, sizeof topic, "queue/%s/status", queue->name); /* a name */
        manager_publish(queue->queues->manager, LEAVING_RECORD, topic, queue_status_value(queue), 0);
        queue->published_mono = now;
        queue->status_dirty = false;
        queue->moving = moving;
    }
    queue->told = queue->rates;
    queue->told_mono = now;
}
