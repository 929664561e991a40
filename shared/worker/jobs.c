// Jobs in the SDK: the queues a worker serves, and the turn in which everything about them is done.
// Callbacks of the bus, of timers and of handlers only note what happened; the turn comes right after them, so that
// what piled up leaves in one message and what came alone leaves at once. Must not: know what travels; job_intake.c and
// job_report.c do.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdlib.h>
#include <string.h>

// ---- links
// ------------------------------------------------------------------------------------------------------------------

struct job_link *jobs_link(struct reeve_worker *worker, const char *queue, size_t queue_len)
{
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        struct job_link *link = &worker->jobs.links[i];
        if (link->used && strlen(link->queue) == queue_len && memcmp(link->queue, queue, queue_len) == 0) {
            return link;
        }
    }
    return NULL;
}

static bool may_take(const struct reeve_worker *worker)
{
    const struct worker_status *status = &worker->status;
    return !status->paused && !status->draining && !status->offline && worker->leave.phase == LEAVE_NOT;
}

size_t jobs_capacity(const struct reeve_worker *worker, const struct job_link *link)
{
    if (!link->serving || !may_take(worker) || jobs_full(link)) {
        return 0;
    }
    size_t all = link->concurrency + link->prefetch;
    return all > link->gone.len ? all - link->gone.len : 0; // a handler that does not end still has its slot
}

static struct job_link *free_link(struct worker_jobs *jobs)
{
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        if (!jobs->links[i].used) {
            return &jobs->links[i];
        }
    }
    return NULL;
}

static enum reeve_err check_queue(const struct reeve_worker *worker, const struct reeve_worker_queue *queue,
                                  struct reeve_why *why)
{
    if (worker->program->jobs == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "a worker of type %s takes no jobs", worker->program->type);
    }
    if (queue->concurrency < 0 || queue->concurrency > JOBS_CONCURRENCY_MAX || queue->prefetch > JOBS_PREFETCH_MAX) {
        return reeve_fail(why, REEVE_INVALID, "queue %s: concurrency is at most %d, prefetch at most %d", queue->queue,
                          JOBS_CONCURRENCY_MAX, JOBS_PREFETCH_MAX);
    }
    return reeve_name_check(queue->queue, why);
}

static void open_link(struct reeve_worker *worker, struct job_link *link, const char *queue)
{
    *link = (struct job_link){.used = true};
    (void)snprintf(link->queue, sizeof link->queue, "%s", queue);                         /* checked: it fits */
    (void)reeve_topic_make(link->topic, worker->settings.root, "queue/%s/report", queue); /* returns link->topic */
    jobs_session_begin(link);
}

enum reeve_err reeve_worker_serve(struct reeve_worker *worker, const struct reeve_worker_queue *queue,
                                  struct reeve_why *why)
{
    enum reeve_err err = check_queue(worker, queue, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct job_link *link = jobs_link(worker, queue->queue, strlen(queue->queue));
    bool known = link != NULL;
    link = known ? link : free_link(&worker->jobs);
    if (link == NULL) {
        return reeve_fail(why, REEVE_LIMIT, "a worker serves at most %d queues", REEVE_WORKER_QUEUES_MAX);
    }
    if (!known) {
        open_link(worker, link, queue->queue);
    }
    link->serving = true;
    link->concurrency = queue->concurrency == 0 ? 1 : (size_t)queue->concurrency;
    link->prefetch = queue->prefetch < 0 ? 0 : queue->prefetch == 0 ? link->concurrency : (size_t)queue->prefetch;
    link->report_due = true;
    worker_jobs_touch(worker);
    worker_status_publish(worker);
    return REEVE_OK;
}

void reeve_worker_unserve(struct reeve_worker *worker, const char *queue)
{
    struct job_link *link = jobs_link(worker, queue, strlen(queue));
    if (link != NULL && link->serving) {
        link->serving = false;
        link->report_due = true;
        jobs_release_waiting(link);
        worker_jobs_touch(worker);
        worker_status_publish(worker);
    }
}

static bool link_finished(const struct job_link *link)
{
    return link->waiting.len + link->running.len + link->kept == 0 && link->lines == NULL;
}

static void forget_unserved(struct job_link *link)
{
    if (!link->serving && link_finished(link) && link->gone.len == 0 && link->progress == NULL && !link->report_due) {
        link->used = false;
    }
}

size_t reeve_worker_jobs_in_hand(const struct reeve_worker *worker)
{
    return worker->jobs.in_hand;
}

struct reeve_job *reeve_worker_job_find(struct reeve_worker *worker, const char *queue, const char *id)
{
    struct job_link *link = jobs_link(worker, queue, strlen(queue));
    struct reeve_job *job = link == NULL ? NULL : jobs_table_find(&worker->jobs, link, id, strlen(id), NULL);
    while (job != NULL && job->phase != JOB_WAITING && job->phase != JOB_RUNNING) {
        job = jobs_table_find(&worker->jobs, link, id, strlen(id), job);
    }
    return job;
}

// ---- the turn
// ---------------------------------------------------------------------------------------------------------------

void worker_jobs_touch(struct reeve_worker *worker)
{
    worker->jobs.touched = true;
}

static void bury(struct worker_jobs *jobs)
{
    while (jobs->dead != NULL) {
        struct reeve_job *job = jobs->dead;
        jobs->dead = job->chain;
        job_free(job);
    }
}

// Jobs may come and go thousands of times a second: the status says who is idle soon, and how many they are now and
// then.
static void tell_status(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    bool turned = (jobs->in_hand > 0) != (jobs->told_in_hand > 0);
    bool changed = jobs->in_hand != jobs->told_in_hand || jobs->ended_well + jobs->ended_bad > 0;
    if (!changed) {
        return;
    }
    jobs->told_in_hand = jobs->in_hand;
    worker->status.work.done += jobs->ended_well;
    worker->status.work.failed += jobs->ended_bad;
    jobs->ended_well = jobs->ended_bad = 0;
    if (turned) {
        worker_status_publish_within(worker, JOBS_STATUS_MS);
    } else {
        worker_status_publish_work(worker);
    }
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void arm(struct reeve_worker *worker, int64_t now_mono)
{
    struct worker_jobs *jobs = &worker->jobs;
    int64_t due = jobs->touched ? now_mono : INT64_MAX;
    due = jobs->due_len > 0 ? earliest(due, jobs->due[0]->due_mono) : due;
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        if (jobs->links[i].used) {
            due = earliest(due, jobs_lease_due(&jobs->links[i]));
            due = earliest(due, jobs_report_due(worker, &jobs->links[i]));
        }
    }
    if (due == INT64_MAX) {
        reeve_timer_stop(&jobs->timer);
    } else if (!reeve_timer_armed(&jobs->timer) || due < jobs->timer_at) {
        jobs->timer_at = due;
        reeve_timer_start(&jobs->timer, due - now_mono, 0);
    } // else it fires too early, and this is asked again
}

static void turn_link(struct reeve_worker *worker, struct job_link *link, int64_t now_mono)
{
    jobs_lease_check(worker, link, now_mono);
    jobs_pump(worker, link, now_mono + JOBS_TURN_MS);
    jobs_late(link, now_mono);
    jobs_report(worker, link, now_mono);
    forget_unserved(link);
}

void worker_jobs_turn(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    if (!jobs->touched || jobs->in_turn || worker->leave.phase >= LEAVE_GOODBYE) {
        return;
    }
    int64_t now = reeve_clock_mono_ms();
    jobs->touched = false;
    jobs->in_turn = true;
    jobs_deadlines(worker, now);
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        if (jobs->links[i].used) {
            turn_link(worker, &jobs->links[i], now);
        }
    }
    bury(jobs);
    tell_status(worker);
    if (jobs->drained_asked && worker_jobs_finished(worker)) {
        reeve_worker_drained(worker);
    }
    arm(worker, now);
    jobs->in_turn = false;
}

static void on_prepare(uv_prepare_t *handle)
{
    worker_jobs_turn(handle->data);
}

static void on_check(uv_check_t *handle)
{
    worker_jobs_turn(handle->data);
}

static void on_timer(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* whatever was due, the turn looks at all of it */
    worker_jobs_touch(arg);
    worker_jobs_turn(arg);
}

// ---- what the rest of the SDK says and asks
// -----------------------------------------------------------------------------------

void worker_jobs_session(struct reeve_worker *worker, bool ready)
{
    struct worker_jobs *jobs = &worker->jobs;
    jobs->ready = ready && jobs->open;
    if (!jobs->ready) {
        return;
    }
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        jobs_session_begin(&jobs->links[i]);
    }
    worker_jobs_touch(worker);
}

void worker_jobs_may(struct reeve_worker *worker)
{
    bool may = may_take(worker);
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        struct job_link *link = &worker->jobs.links[i];
        link->report_due = true;
        if (!may && link->used) {
            jobs_release_waiting(link);
        }
    }
    worker_jobs_touch(worker);
}

bool worker_jobs_finished(const struct reeve_worker *worker)
{
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        if (worker->jobs.links[i].used && !link_finished(&worker->jobs.links[i])) {
            return false;
        }
    }
    return true;
}

static void stop_running(struct job_link *link)
{
    struct reeve_job *next;
    for (struct reeve_job *job = link->running.first; job != NULL; job = next) {
        next = job->next; // of the others a handler ends none from here
        job_cancel(job, JOB_CAUSE_STOP, JOBS_STOP_GRACE_MS);
    }
}

bool worker_jobs_stop(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    if (jobs->in_hand == 0 || jobs->stopping) {
        return false;
    }
    jobs->stopping = true;
    jobs->drained_asked = true;
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        stop_running(&jobs->links[i]);
    }
    worker_jobs_touch(worker);
    return true;
}

// What was not told to stop yet is told now: it is the last thing its handler hears.
static void end_all(struct job_link *link)
{
    jobs_release_waiting(link);
    stop_running(link);
    while (link->running.first != NULL) {
        struct reeve_job *job = link->running.first;
        bool cancelled = job->cause == JOB_CAUSE_CANCELLED;
        job_refuse_stored(job, REEVE_CANCELLED);
        if (job->phase == JOB_RUNNING) {
            job_end(job,
                    &(struct job_ending){.outcome = cancelled ? REEVE_JOB_OUTCOME_CANCELLED : REEVE_JOB_OUTCOME_RETRY,
                                         .error = cancelled ? NULL : "the worker leaves",
                                         .delay_ms = -1});
        }
    }
}

void worker_jobs_goodbye(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    int64_t now = reeve_clock_mono_ms();
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        struct job_link *link = &jobs->links[i];
        end_all(link);
        if (link->used && !worker->leave.silently) { // else the name is another's now
            link->report_due = true;
            jobs_report(worker, link, now);
        }
    }
}

struct reeve_value *worker_jobs_queues_value(const struct reeve_worker *worker)
{
    struct reeve_value *list = NULL;
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        if (worker->jobs.links[i].serving) {
            list = list == NULL ? reeve_value_list() : list;
            (void)reeve_value_add(list, reeve_value_str(worker->jobs.links[i].queue)); /* remembered: ..._built() */
        }
    }
    return list;
}

struct reeve_value *worker_jobs_stats_value(const struct reeve_worker *worker)
{
    const struct worker_jobs *jobs = &worker->jobs;
    struct reeve_value *map = jobs->open ? reeve_value_map() : NULL;
    if (map != NULL) {
        reeve_put_int(map, "in_hand", (int64_t)jobs->in_hand);
#define X(name) reeve_put_int(map, #name, (int64_t)jobs->name);
        JOBS_STATS(X)
#undef X
    }
    return map;
}

// ---- begin and end
// --------------------------------------------------------------------------------------------------------------

static enum reeve_err send_by_bus(struct reeve_worker *worker, const struct reeve_bus_message *message)
{
    return reeve_bus_publish(worker->bus, message, NULL);
}

static void pack_types(struct reeve_buf *buf, const struct reeve_worker_job_type *row, bool reconciled)
{
    size_t place = reeve_pack_list_open(buf);
    size_t len = 0;
    for (; row->type != NULL; row++) {
        if (!reconciled || row->reconcile != NULL) {
            reeve_pack_str(buf, row->type);
            len++;
        }
    }
    reeve_pack_list_close(buf, place, len);
}

static void unref(uv_handle_t *handle, struct reeve_worker *worker)
{
    handle->data = worker;
    uv_unref(handle); // they keep nobody waiting
}

enum reeve_err worker_jobs_init(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    if (worker->program->jobs == NULL) {
        return REEVE_OK;
    }
    jobs->open = true;
    jobs->send = send_by_bus;
    reeve_timer_init(&worker->loop, &jobs->timer, on_timer, worker);
    // Both: what the poll brings is followed by `check`, what timers bring by `prepare`. Neither can fail.
    (void)uv_prepare_init(&worker->loop, &jobs->prepare);
    (void)uv_prepare_start(&jobs->prepare, on_prepare);
    (void)uv_check_init(&worker->loop, &jobs->check);
    (void)uv_check_start(&jobs->check, on_check);
    unref((uv_handle_t *)&jobs->prepare, worker);
    unref((uv_handle_t *)&jobs->check, worker);
    return REEVE_OK;
}

enum reeve_err worker_jobs_declare(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    if (jobs->open) {
        pack_types(&jobs->types, worker->program->jobs, false);
        pack_types(&jobs->reconciles, worker->program->jobs, true);
    }
    return jobs->types.err == REEVE_OK ? jobs->reconciles.err : jobs->types.err;
}

void worker_jobs_close(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    if (jobs->open) {
        reeve_timer_stop(&jobs->timer);
        (void)uv_prepare_stop(&jobs->prepare); /* can't fail */
        (void)uv_check_stop(&jobs->check);     /* can't fail */
    }
}

static void free_list(struct reeve_job *job)
{
    while (job != NULL) {
        struct reeve_job *next = job->next;
        job_free(job);
        job = next;
    }
}

// What handlers have not ended by now they never will.
void worker_jobs_done(struct reeve_worker *worker)
{
    struct worker_jobs *jobs = &worker->jobs;
    for (size_t i = 0; i < REEVE_WORKER_QUEUES_MAX; i++) {
        struct job_link *link = &jobs->links[i];
        jobs_kept_free(link);
        free_list(link->waiting.first);
        free_list(link->running.first);
        free_list(link->gone.first);
    }
    bury(jobs);
    free(jobs->table);
    free(jobs->due);
    reeve_buf_done(&jobs->types);
    reeve_buf_done(&jobs->reconciles);
    reeve_buf_done(&jobs->hand);
    reeve_buf_done(&jobs->message);
}
