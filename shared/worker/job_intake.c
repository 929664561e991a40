// Batches of a manager [job-12]: which are meant for this session, what they confirm, what they take away, what they
// bring. In this order: what is taken away must not be confirmed by the same batch. Must not: start a job; that is for
// the turn.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdlib.h>
#include <string.h>

#define MALFORMED_SAID_MS 60000 // once a minute [payload-4]

static void malformed(struct reeve_worker *worker, const struct reeve_why *why)
{
    struct worker_jobs *jobs = &worker->jobs;
    int64_t now = reeve_clock_mono_ms();
    jobs->malformed++;
    if (jobs->malformed_said_mono == 0 || now - jobs->malformed_said_mono >= MALFORMED_SAID_MS) {
        jobs->malformed_said_mono = now;
        reeve_log(REEVE_LOG_WARNING, "jobs", "malformed=%llu why=\"%s\" batch of jobs, ignoring",
                  (unsigned long long)jobs->malformed, why->text);
    }
}

// ---- jobs that come
// --------------------------------------------------------------------------------------------------------

static const struct reeve_worker_job_type *row_of(const struct reeve_worker *worker, struct reeve_span type)
{
    const struct reeve_worker_job_type *any = NULL;
    for (const struct reeve_worker_job_type *row = worker->program->jobs; row->type != NULL; row++) {
        if (reeve_span_is(type, row->type)) {
            return row;
        }
        any = strcmp(row->type, "*") == 0 ? row : any;
    }
    return any;
}

static char *copy(char *to, struct reeve_span from)
{
    if (from.len > 0) {
        memcpy(to, from.data, from.len);
    }
    return to + from.len;
}

static struct reeve_job *make(struct reeve_worker *worker, struct job_link *link, const struct reeve_job_item *item)
{
    size_t len = item->id.len + 1 + item->type.len + 1 + item->payload.len + item->checkpoint.len;
    struct reeve_job *job = malloc(sizeof *job + len);
    if (job == NULL) {
        return NULL;
    }
    *job = (struct reeve_job){.worker = worker,
                              .link = link,
                              .row = row_of(worker, item->type),
                              .hash = jobs_hash(link, item->id.data, item->id.len),
                              .attempt = item->attempt,
                              .timeout_ms = item->timeout_ms,
                              .phase = JOB_WAITING,
                              .reconcile = item->reconcile,
                              .id_len = item->id.len,
                              .type_len = item->type.len,
                              .payload_len = item->payload.len,
                              .checkpoint_len = item->checkpoint.len};
    char *at = copy(job->bytes, item->id);
    *at++ = '\0';
    at = copy(at, item->type);
    *at++ = '\0';
    (void)copy(copy(at, item->payload), item->checkpoint); /* the end of both */
    return job;
}

static void lose_earlier(struct reeve_job *job)
{
    if (job->phase == JOB_WAITING || job->phase == JOB_RUNNING) {
        job->worker->jobs.fenced++;
        job_lose(job, "fenced", JOBS_GRACE_MS);
    }
}

// True: this attempt or a later one is or was here. Earlier ones are over: somebody gave the job away and back.
static bool known(struct worker_jobs *jobs, struct job_link *link, const struct reeve_job_item *item)
{
    struct reeve_job *job = jobs_table_find(jobs, link, item->id.data, item->id.len, NULL);
    while (job != NULL) {
        if (job->attempt >= item->attempt) {
            return true;
        }
        struct reeve_job *next = jobs_table_find(jobs, link, item->id.data, item->id.len, job);
        lose_earlier(job);
        job = next;
    }
    return false;
}

static size_t in_hand(const struct job_link *link)
{
    return link->waiting.len + link->running.len;
}

static void take_job(struct reeve_worker *worker, struct job_link *link, const struct reeve_job_item *item,
                     int64_t now_mono)
{
    struct worker_jobs *jobs = &worker->jobs;
    jobs->received++;
    if (known(jobs, link, item)) {
        jobs->repeated++;
        return;
    }
    size_t capacity = jobs_capacity(worker, link);
    bool hopeless = capacity == 0 && jobs_full(link); // not even that it goes back can be kept
    struct reeve_job *job = hopeless ? NULL : make(worker, link, item);
    if (job == NULL || jobs_table_add(jobs, job) != REEVE_OK) {
        free(job);
        jobs->dropped++;
        link->hello_due = true; // the manager sees that it is not in hand
        return;
    }
    if (in_hand(link) == 0) {
        link->lease_mono =
            now_mono; // the batch's way here is not in it, until a report is confirmed; the fence is for that
    }
    jobs_list_add(&link->waiting, job);
    jobs->in_hand++;
    if (in_hand(link) > capacity) {
        job_end(job, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_RELEASED, .delay_ms = -1});
    }
}

static void take_jobs(struct reeve_worker *worker, struct job_link *link, const struct reeve_job_batch *batch)
{
    struct reeve_cursor cursor = REEVE_CURSOR(batch->jobs.data, batch->jobs.len);
    struct reeve_job_item item;
    int64_t now = reeve_clock_mono_ms();
    if (batch->jobs.len > 0) {
        link->report_at = now + (link->lease_ms < 6 * JOBS_RECEIPT_MS ? link->lease_ms / 6 : JOBS_RECEIPT_MS);
    }
    for (size_t n = batch->jobs.len == 0 ? 0 : reeve_cursor_list(&cursor); n > 0; n--) {
        if (reeve_job_item_read(&cursor, &item) != REEVE_OK) {
            struct reeve_why why = {.text = "a job that can't be read"};
            malformed(worker, &why);
            link->hello_due = true; // the manager sees that it is not in hand
            continue;
        }
        take_job(worker, link, &item, now);
    }
}

// ---- notices
// ----------------------------------------------------------------------------------------------------------------

static void cancel(struct reeve_job *job, const struct reeve_job_notice *notice)
{
    if (!job->no_return) { // [job-16]
        job_cancel(job, JOB_CAUSE_CANCELLED, notice->grace_ms > 0 ? notice->grace_ms : JOBS_GRACE_MS);
    }
}

static void abandon(struct reeve_job *job, const struct reeve_job_notice *notice)
{
    char reason[REEVE_NAME_SIZE] = "fenced";
    if (notice->reason.len > 0 && notice->reason.len < sizeof reason) {
        memcpy(reason, notice->reason.data, notice->reason.len);
        reason[notice->reason.len] = '\0';
    }
    job->worker->jobs.fenced++;
    job_lose(job, reason, notice->grace_ms > 0 ? notice->grace_ms : JOBS_GRACE_MS);
}

static void take_notices(struct reeve_worker *worker, struct job_link *link, struct reeve_span list,
                         void (*act)(struct reeve_job *job, const struct reeve_job_notice *notice))
{
    struct reeve_cursor cursor = REEVE_CURSOR(list.data, list.len);
    struct reeve_job_notice notice;
    for (size_t n = list.len == 0 ? 0 : reeve_cursor_list(&cursor); n > 0; n--) {
        if (reeve_job_notice_read(&cursor, &notice) != REEVE_OK) {
            struct reeve_why why = {.text = "a notice that can't be read"};
            malformed(worker, &why);
            continue;
        }
        struct reeve_job *job = jobs_table_find(&worker->jobs, link, notice.id.data, notice.id.len, NULL);
        while (job != NULL && job->attempt != notice.attempt) {
            job = jobs_table_find(&worker->jobs, link, notice.id.data, notice.id.len, job);
        }
        if (job != NULL && (job->phase == JOB_WAITING || job->phase == JOB_RUNNING)) {
            act(job, &notice);
        }
    }
}

// ---- a batch
// ----------------------------------------------------------------------------------------------------------------

// A manager that is new may not have seen what we sent before, whatever its ack says: all of it again, and its next ack
// counts.
static bool another_manager(struct worker_jobs *jobs, struct job_link *link, const struct reeve_job_batch *batch)
{
    if (batch->manager_epoch > jobs->manager_epoch) {
        jobs->manager_epoch = batch->manager_epoch;
    }
    if (batch->manager_epoch == link->manager_epoch) {
        return false;
    }
    bool first = link->manager_epoch == 0;
    link->manager_epoch = batch->manager_epoch;
    link->got = 0;
    return !first;
}

// A batch before this one was lost [job-12]. What it abandoned may be confirmed by this one's ack.
static bool missed_one(struct worker_jobs *jobs, struct job_link *link, const struct reeve_job_batch *batch)
{
    bool counted = batch->jobs.len > 0 || batch->cancels.len > 0 || batch->abandons.len > 0;
    bool missed = batch->seq > link->got + (counted ? 1 : 0);
    jobs->gaps += missed ? 1 : 0;
    if (batch->seq > link->got || batch->hello) {
        link->got = batch->seq;
    }
    return missed;
}

static int64_t within(int64_t lease_ms)
{
    int64_t least = lease_ms < JOBS_LEASE_MS_MIN ? JOBS_LEASE_MS_MIN : lease_ms;
    return least > JOBS_LEASE_MS_MAX ? JOBS_LEASE_MS_MAX : least;
}

static void take(struct reeve_worker *worker, struct job_link *link, const struct reeve_job_batch *batch)
{
    bool anew = another_manager(&worker->jobs, link, batch);
    anew = missed_one(&worker->jobs, link, batch) || anew || batch->hello;
    link->lease_ms = batch->lease_ms > 0 ? within(batch->lease_ms) : link->lease_ms;
    take_notices(worker, link, batch->abandons, abandon);
    take_notices(worker, link, batch->cancels, cancel);
    if (anew) {
        jobs_send_again(link);
        link->hello_due = true;
    } else if (batch->ack > link->seq) {
        struct reeve_why why = {.text = "an ack of a report that was not sent"};
        malformed(worker, &why);
    } else if (batch->ack > 0) {
        jobs_acked(link, batch->ack);
    }
    take_jobs(worker, link, batch);
}

static enum reeve_err check(const struct reeve_job_batch *batch, struct reeve_why *why)
{
    if (batch->seq > JOBS_SEQ_MAX) {
        return reeve_fail(why, REEVE_INVALID, "seq is beyond reason");
    }
    return REEVE_OK;
}

void worker_on_job(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct reeve_worker *worker = arg;
    struct worker_jobs *jobs = &worker->jobs;
    struct reeve_job_batch batch;
    struct reeve_why why = {0};
    (void)bus; /* the worker's */
    enum reeve_err err = reeve_job_batch_read(delivery->payload, delivery->payload_len, &batch, &why);
    if (err == REEVE_OK) {
        err = check(&batch, &why);
    }
    if (err != REEVE_OK) {
        malformed(worker, &why);
        return;
    }
    struct job_link *link = jobs_link(worker, batch.queue.data, batch.queue.len);
    bool ours = !delivery->retained && batch.worker_epoch == (int64_t)worker->session.epoch && jobs->ready &&
                batch.manager_epoch >= jobs->manager_epoch && worker->leave.phase < LEAVE_GOODBYE;
    if (link == NULL || !ours) {
        jobs->batches_ignored++;
        return;
    }
    jobs->batches++;
    take(worker, link, &batch);
    worker_jobs_touch(worker);
}
