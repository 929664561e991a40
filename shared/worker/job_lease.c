// Starting jobs, and what makes them end against their will: cancelled, out of time, the lease over, the worker leaving
// [job-14] [job-16].
// Each running job has at most one deadline: its timeout, then the grace of whatever told it to end.
// Must not: end a job whose handler may still end it itself.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <string.h>

#define CLOCK_EVERY 16 // handlers between two looks at the clock

static const struct {
    const char *reason; // as the handler hears it
    enum reeve_job_outcome outcome;
    const char *error;
} causes[] = {
    [JOB_CAUSE_NONE] = {"", REEVE_JOB_OUTCOME_RETRY, "ended"},
    [JOB_CAUSE_CANCELLED] = {"cancelled", REEVE_JOB_OUTCOME_CANCELLED, NULL},
    [JOB_CAUSE_TIMEOUT] = {"timeout", REEVE_JOB_OUTCOME_RETRY, "timeout"},
    [JOB_CAUSE_STOP] = {"stop", REEVE_JOB_OUTCOME_RETRY, "the worker leaves"},
};

// ---- starting
// --------------------------------------------------------------------------------------------------------------

void job_deadline(struct reeve_job *job, int64_t after_ms)
{
    int64_t due_mono = reeve_clock_mono_ms() + (after_ms < JOBS_AFTER_MS_MAX ? after_ms : JOBS_AFTER_MS_MAX);
    if (jobs_due_set(&job->worker->jobs, job, due_mono) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "job", "job=%s no memory for its deadline, ignoring", job->bytes);
    }
}

// Its handler has an earlier attempt of the same job that is not this worker's any more, and has not ended it yet.
static bool has_gone_twin(const struct reeve_job *job)
{
    for (const struct reeve_job *gone = job->link->gone.first; gone != NULL; gone = gone->next) {
        if (gone->hash == job->hash && strcmp(gone->bytes, job->bytes) == 0) {
            return true;
        }
    }
    return false;
}

static struct reeve_job *next_to_start(struct job_link *link)
{
    struct reeve_job *job = link->waiting.first;
    while (job != NULL && link->gone.len > 0 && has_gone_twin(job)) {
        job = job->next;
    }
    return job;
}

static enum reeve_err run(struct reeve_job *job, struct reeve_why *why)
{
    if (job->row == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "this worker does no jobs of type %s", reeve_job_type(job));
    }
    if (!job->reconcile) {
        return job->row->run(job->worker, job, why);
    }
    if (job->row->reconcile == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "this worker reconciles no jobs of type %s", reeve_job_type(job));
    }
    return job->row->reconcile(job->worker, job, why);
}

static void start(struct reeve_job *job)
{
    struct job_link *link = job->link;
    struct reeve_why why = {0};
    jobs_list_remove(&link->waiting, job);
    jobs_list_add(&link->running, job);
    job->phase = JOB_RUNNING;
    job->held = true;
    link->held++;
    job->worker->jobs.started++;
    if (job->timeout_ms > 0) {
        job_deadline(job, job->timeout_ms);
    }
    enum reeve_err err = run(job, &why); // it may be ended now, but its memory stays for this turn
    if (err != REEVE_OK && job->held) {
        if (why.text[0] == '\0') {
            (void)reeve_fail(&why, err, "%s", reeve_err_text(err)); /* the handler gave no reason */
        }
        (void)reeve_job_retry(job, &why, -1); /* always OK */
    }
}

void jobs_pump(struct reeve_worker *worker, struct job_link *link, int64_t until_mono)
{
    size_t started = 0;
    struct reeve_job *job;
    while (link->held < link->concurrency && (job = next_to_start(link)) != NULL) {
        start(job);
        if (++started % CLOCK_EVERY == 0 && reeve_clock_mono_ms() >= until_mono) {
            worker_jobs_touch(worker); // heartbeats and reports in between
            break;
        }
    }
}

void jobs_release_waiting(struct job_link *link)
{
    while (link->waiting.first != NULL) {
        job_end(link->waiting.first, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_RELEASED, .delay_ms = -1});
    }
}

// ---- told to end
// ------------------------------------------------------------------------------------------------------------

void job_cancel(struct reeve_job *job, enum job_cause cause, int64_t grace_ms)
{
    if (job->phase == JOB_WAITING) {
        enum reeve_job_outcome outcome = cause == JOB_CAUSE_STOP ? REEVE_JOB_OUTCOME_RELEASED : causes[cause].outcome;
        job_end(job, &(struct job_ending){.outcome = outcome, .delay_ms = -1});
        return;
    }
    bool more = job->cause == JOB_CAUSE_NONE || cause == JOB_CAUSE_STOP;
    if (job->phase != JOB_RUNNING || !more || job->cause == cause) {
        return; // it ends already
    }
    // Whoever asked first says what becomes of it; leaving only shortens its time.
    job->cause = job->cause == JOB_CAUSE_NONE ? cause : job->cause;
    reeve_log(REEVE_LOG_INFO, "job", "job=%s queue=%s attempt=%lld cause=%s grace_ms=%lld told to end", job->bytes,
              job->link->queue, (long long)job->attempt, causes[cause].reason, (long long)grace_ms);
    if (job->row->cancel == NULL && cause == JOB_CAUSE_CANCELLED) {
        return; // it runs to its end, or its timeout; what it reports then may be refused
    }
    job_deadline(job, grace_ms);
    if (job->row->cancel != NULL) {
        job->row->cancel(job->worker, job, causes[cause].reason, grace_ms);
    }
}

// The manager hears what it has to; the handler still has its slot and the pointer, until it ends the job itself.
static void end_for_it(struct reeve_job *job)
{
    reeve_log(REEVE_LOG_WARNING, "job",
              "job=%s queue=%s attempt=%lld cause=%s not ended in its grace, reported without it", job->bytes,
              job->link->queue, (long long)job->attempt, causes[job->cause].reason);
    job_refuse_stored(job, REEVE_CANCELLED);
    if (job->phase == JOB_RUNNING) {
        job_end(job, &(struct job_ending){
                         .outcome = causes[job->cause].outcome, .error = causes[job->cause].error, .delay_ms = -1});
    }
}

static void expire(struct reeve_worker *worker, struct reeve_job *job)
{
    if (job->phase == JOB_LOST) {
        reeve_log(REEVE_LOG_WARNING, "job", "job=%s queue=%s attempt=%lld still runs, is not ours any more, ignoring",
                  job->bytes, job->link->queue, (long long)job->attempt);
    } else if (job->cause == JOB_CAUSE_NONE || (job->cause == JOB_CAUSE_CANCELLED && job->row->cancel == NULL)) {
        worker->jobs.timeouts++;
        job->cause = JOB_CAUSE_NONE;
        job_cancel(job, JOB_CAUSE_TIMEOUT, JOBS_GRACE_MS);
    } else {
        end_for_it(job);
    }
}

void jobs_deadlines(struct reeve_worker *worker, int64_t now_mono)
{
    struct worker_jobs *jobs = &worker->jobs;
    while (jobs->due_len > 0 && jobs->due[0]->due_mono <= now_mono) {
        struct reeve_job *job = jobs->due[0];
        jobs_due_clear(jobs, job);
        expire(worker, job);
    }
}

// ---- the lease
// --------------------------------------------------------------------------------------------------------------

int64_t jobs_lease_due(const struct job_link *link)
{
    bool in_hand = link->waiting.len + link->running.len > 0;
    return in_hand && link->lease_ms > 0 ? link->lease_mono + link->lease_ms : INT64_MAX;
}

void jobs_lease_check(struct reeve_worker *worker, struct job_link *link, int64_t now_mono)
{
    if (now_mono < jobs_lease_due(link)) {
        return;
    }
    reeve_log(REEVE_LOG_WARNING, "jobs",
              "queue=%s jobs=%zu lease_ms=%lld the manager has confirmed nothing, abandoning", link->queue,
              link->waiting.len + link->running.len, (long long)link->lease_ms);
    worker->jobs.leases_over++;
    while (link->waiting.first != NULL) {
        job_lose(link->waiting.first, "lease", JOBS_GRACE_MS);
    }
    while (link->running.first != NULL) {
        job_lose(link->running.first, "lease", JOBS_GRACE_MS);
    }
    link->hello_due = true; // it may hear us, and then it has to know that they are not in hand any more
}
