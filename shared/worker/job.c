// A job in the hands of its handler: what it may ask and say, and how it ends.
// Whatever ends a job comes through job_end() or job_lose(), once; the memory goes when nobody needs it any more.
// Must not: send; what is said here leaves with the next turn.
#include "worker.h"

#include <math.h>
#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_MS (INT64_C(365) * 24 * 3600 * 1000) // a reader refuses what is beyond reason

// ---- what it is
// ---------------------------------------------------------------------------------------------------------

const char *reeve_job_id(const struct reeve_job *job)
{
    return job->bytes;
}

const char *reeve_job_type(const struct reeve_job *job)
{
    return job->bytes + job->id_len + 1;
}

const char *reeve_job_queue(const struct reeve_job *job)
{
    return job->link->queue;
}

int64_t reeve_job_attempt(const struct reeve_job *job)
{
    return job->attempt;
}

bool reeve_job_reconciling(const struct reeve_job *job)
{
    return job->reconcile;
}

int64_t reeve_job_timeout_ms(const struct reeve_job *job)
{
    return job->timeout_ms;
}

void *reeve_job_data(const struct reeve_job *job)
{
    return job->data;
}

void reeve_job_set_data(struct reeve_job *job, void *data)
{
    job->data = data;
}

static struct reeve_span payload_of(const struct reeve_job *job)
{
    return (struct reeve_span){job->bytes + job->id_len + 1 + job->type_len + 1, job->payload_len};
}

static struct reeve_span checkpoint_of(const struct reeve_job *job)
{
    return (struct reeve_span){payload_of(job).data + job->payload_len, job->checkpoint_len};
}

// It was checked when the batch was read: only memory can be lacking.
static const struct reeve_value *decode(struct reeve_span bytes, struct reeve_value **value)
{
    if (*value == NULL && bytes.len > 0 &&
        reeve_msgpack_read(bytes.data, bytes.len, &reeve_limits_wire, NULL, value, NULL) != REEVE_OK) {
        return NULL;
    }
    return *value;
}

const struct reeve_value *reeve_job_payload(struct reeve_job *job)
{
    return decode(payload_of(job), &job->payload);
}

const struct reeve_value *reeve_job_checkpoint_value(struct reeve_job *job)
{
    return decode(checkpoint_of(job), &job->checkpoint);
}

const void *reeve_job_payload_bytes(const struct reeve_job *job, size_t *ret_len)
{
    *ret_len = job->payload_len;
    return job->payload_len == 0 ? NULL : payload_of(job).data;
}

// ---- how its memory ends
// --------------------------------------------------------------------------------------------------

void job_free(struct reeve_job *job)
{
    reeve_value_free(job->payload);
    reeve_value_free(job->checkpoint);
    free(job->ending.body);
    free(job->progress_text);
    free(job);
}

void job_settle(struct reeve_job *job)
{
    struct worker_jobs *jobs = &job->worker->jobs;
    if (job->phase == JOB_ENDED && !job->unconfirmed && !job->settled) {
        job->settled = true;
        jobs_table_remove(jobs, job);
    }
    bool over = job->phase == JOB_LOST || job->settled;
    if (over && !job->held && !job->unconfirmed && job->stored_waits == 0 && !job->progress_new && !job->dead) {
        job->dead = true;
        job->chain = jobs->dead;
        jobs->dead = job;
    }
}

void job_let_go(struct reeve_job *job)
{
    struct job_link *link = job->link;
    REEVE_ASSERT(job->held); // ended twice by its handler
    job->held = false;
    link->held--;
    link->report_due = true; // what it takes may be more now
    jobs_due_clear(&job->worker->jobs, job);
    if (job->phase == JOB_ENDED || job->phase == JOB_LOST) {
        jobs_list_remove(&link->gone, job);
    }
    worker_jobs_touch(job->worker);
    job_settle(job);
}

// Out of the hand; if its handler still has it, among those that are gone.
static void leave_hand(struct reeve_job *job, enum job_phase phase)
{
    struct job_link *link = job->link;
    REEVE_ASSERT(job->phase == JOB_WAITING || job->phase == JOB_RUNNING);
    jobs_list_remove(job->phase == JOB_WAITING ? &link->waiting : &link->running, job);
    job->worker->jobs.in_hand--;
    job->phase = phase;
    jobs_due_clear(&job->worker->jobs, job);
    if (job->held) {
        jobs_list_add(&link->gone, job);
    }
    worker_jobs_touch(job->worker);
}

// ---- how it ends
// ------------------------------------------------------------------------------------------------------------

// What is no UTF-8 would spoil the whole report at its reader. Cut at a character.
static size_t clean(char *to, size_t size, const char *text, size_t len)
{
    REEVE_VALUE_AUTO value = NULL;
    if (!reeve_utf8_valid(text, len)) {
        value = reeve_value_strn(text, len);
        text = value == NULL ? "" : reeve_value_text(value);
        len = strlen(text);
    }
    if (len > size) {
        for (len = size; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--) {
        }
    }
    memcpy(to, text, len);
    return len;
}

static enum reeve_err fill(struct job_kept *kept, const struct job_ending *ending)
{
    size_t error_len = ending->error == NULL ? 0 : strlen(ending->error);
    kept->outcome = ending->outcome;
    kept->delay_ms = ending->delay_ms;
    if (ending->data.len + error_len == 0) {
        return REEVE_OK;
    }
    size_t room = 3 * error_len < JOBS_TEXT_BYTES_MAX ? 3 * error_len : JOBS_TEXT_BYTES_MAX; // U+FFFD has three bytes
    kept->body = malloc(ending->data.len + room + 1);
    if (kept->body == NULL) {
        return REEVE_NOMEM;
    }
    if (ending->data.len > 0) {
        memcpy(kept->body, ending->data.data, ending->data.len);
    }
    kept->data_len = ending->data.len;
    kept->error_len = error_len == 0 ? 0 : clean(kept->body + kept->data_len, room, ending->error, error_len);
    return REEVE_OK;
}

static void count(struct worker_jobs *jobs, enum reeve_job_outcome outcome)
{
    static const struct {
        enum reeve_job_outcome outcome;
        size_t counter;
        int64_t well, bad;
    } rows[] = {
        {REEVE_JOB_OUTCOME_DONE, offsetof(struct worker_jobs, done), 1, 0},
        {REEVE_JOB_OUTCOME_RETRY, offsetof(struct worker_jobs, retried), 0, 1},
        {REEVE_JOB_OUTCOME_FAILED, offsetof(struct worker_jobs, failed), 0, 1},
        {REEVE_JOB_OUTCOME_CANCELLED, offsetof(struct worker_jobs, cancelled), 0, 0},
        {REEVE_JOB_OUTCOME_RELEASED, offsetof(struct worker_jobs, released), 0, 0},
        {REEVE_JOB_OUTCOME_NOT_DONE, offsetof(struct worker_jobs, done), 1, 0},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (rows[i].outcome == outcome) {
            (*(uint64_t *)((char *)jobs + rows[i].counter))++;
            jobs->ended_well += rows[i].well;
            jobs->ended_bad += rows[i].bad;
        }
    }
}

// With no memory for what it says it ends all the same.
void job_end(struct reeve_job *job, const struct job_ending *ending)
{
    struct worker_jobs *jobs = &job->worker->jobs;
    leave_hand(job, JOB_ENDED);
    job->ending.job = job;
    if (fill(&job->ending, ending) != REEVE_OK) {
        job->ending.outcome = ending->outcome;
        jobs->results_left_out++;
    }
    job->unconfirmed = true;
    jobs_keep(job->link, &job->ending);
    count(jobs, ending->outcome);
    if (ending->outcome != REEVE_JOB_OUTCOME_DONE) {
        reeve_log(REEVE_LOG_DEBUG, "job", "job=%s queue=%s attempt=%lld outcome=%s why=\"%s\"", job->bytes,
                  job->link->queue, (long long)job->attempt, reeve_job_outcome_text(ending->outcome),
                  ending->error == NULL ? "" : ending->error);
    }
}

static void tell_stored(struct reeve_job *job, struct job_kept_list *list, enum reeve_err err)
{
    for (struct job_kept *kept = list->first; kept != NULL && job->held; kept = kept->next) {
        if (kept->job == job && kept->stored != NULL) {
            reeve_job_stored *stored = kept->stored;
            kept->stored = NULL;
            stored(job->worker, job, err, kept->arg); // may end it: then nothing more is told
        }
    }
}

void job_refuse_stored(struct reeve_job *job, enum reeve_err err)
{
    if (job->stored_waits > 0 && job->held) {
        tell_stored(job, &job->link->sent, err);
        tell_stored(job, &job->link->unsent, err);
    }
}

void job_lose(struct reeve_job *job, const char *reason, int64_t grace_ms)
{
    struct worker_jobs *jobs = &job->worker->jobs;
    struct job_link *link = job->link;
    bool began = job->held;
    reeve_log(REEVE_LOG_INFO, "job", "job=%s queue=%s attempt=%lld cause=%s is not ours any more", job->bytes,
              link->queue, (long long)job->attempt, reason);
    leave_hand(job, JOB_LOST);
    link->report_due = true; // and less, as long as its handler stays
    jobs_table_remove(jobs, job);
    if (!began) {
        job_settle(job);
        return;
    }
    job_refuse_stored(job, REEVE_CONFLICT);
    jobs_unkeep(link, job);
    if (job->held && job->row->cancel != NULL) {
        job_deadline(job, grace_ms);
        job->row->cancel(job->worker, job, reason, grace_ms);
    }
    job_settle(job); // its handler may have ended it before all was told
}

// By its handler.
static enum reeve_err end(struct reeve_job *job, const struct job_ending *ending)
{
    if (job->phase == JOB_WAITING || job->phase == JOB_RUNNING) {
        job_end(job, ending);
    } else {
        job->worker->jobs.dropped++; // somebody else has ended it
    }
    if (job->held) {
        job_let_go(job);
    }
    return REEVE_OK;
}

static const char *text_of(const struct reeve_why *why, const char *preset, char *buf, size_t buf_len)
{
    if (why == NULL || (why->text[0] == '\0' && why->place[0] == '\0')) {
        return preset;
    }
    return reeve_why_format(why, buf, buf_len);
}

static void leave_out(struct reeve_job *job, const char *cause)
{
    char line[256];
    int len = snprintf(line, sizeof line, "result left out: %s", cause);
    job->worker->jobs.results_left_out++;
    reeve_log(REEVE_LOG_WARNING, "job", "job=%s queue=%s why=\"%s\" done, ignoring its result", job->bytes,
              job->link->queue, cause);
    (void)jobs_line_add(job->link, job, line, (size_t)len); /* counted */
}

enum reeve_err reeve_job_done_bytes(struct reeve_job *job, const void *msgpack, size_t len)
{
    struct reeve_cursor cursor = REEVE_CURSOR(msgpack, len);
    struct job_ending ending = {.outcome = REEVE_JOB_OUTCOME_DONE, .data = {msgpack, len}, .delay_ms = -1};
    if (len == 0) {
        return end(job, &ending);
    }
    struct reeve_why why = {0};
    (void)reeve_cursor_skip(&cursor); /* remembered */
    enum reeve_err err = len > jobs_data_max(job->worker)
                             ? reeve_fail(&why, REEVE_LIMIT, "%zu bytes are more than a report may have", len)
                             : reeve_cursor_end(&cursor, &why);
    if (err != REEVE_OK) { // what is done is done: it must not be done again because of what it says
        ending.data = (struct reeve_span){0};
        leave_out(job, why.text);
    }
    return end(job, &ending);
}

enum reeve_err reeve_job_done(struct reeve_job *job, struct reeve_value *result)
{
    REEVE_VALUE_AUTO owned = result;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    enum reeve_err err = owned == NULL ? REEVE_OK : reeve_msgpack_write(owned, &buf);
    if (err != REEVE_OK) {
        leave_out(job, reeve_err_text(err));
        reeve_buf_reset(&buf);
    }
    return reeve_job_done_bytes(job, buf.data, buf.len);
}

enum reeve_err reeve_job_retry(struct reeve_job *job, const struct reeve_why *why, int64_t delay_ms)
{
    char text[sizeof why->place + sizeof why->text + 4];
    return end(job, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_RETRY,
                                         .error = text_of(why, "no reason given", text, sizeof text),
                                         .delay_ms = delay_ms < 0              ? -1
                                                     : delay_ms < DELAY_MAX_MS ? delay_ms
                                                                               : DELAY_MAX_MS});
}

enum reeve_err reeve_job_fail(struct reeve_job *job, const struct reeve_why *why)
{
    char text[sizeof why->place + sizeof why->text + 4];
    return end(job, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_FAILED,
                                         .error = text_of(why, "no reason given", text, sizeof text),
                                         .delay_ms = -1});
}

enum reeve_err reeve_job_cancelled(struct reeve_job *job)
{
    // Asked for by nobody, or because of its time or this worker: then it may be tried again.
    static const char *const reasons[] = {[JOB_CAUSE_TIMEOUT] = "timeout", [JOB_CAUSE_STOP] = "the worker leaves"};
    if (job->cause == JOB_CAUSE_TIMEOUT || job->cause == JOB_CAUSE_STOP) {
        return end(job, &(struct job_ending){
                            .outcome = REEVE_JOB_OUTCOME_RETRY, .error = reasons[job->cause], .delay_ms = -1});
    }
    return end(job, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_CANCELLED, .delay_ms = -1});
}

enum reeve_err reeve_job_release(struct reeve_job *job)
{
    return end(job, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_RELEASED, .delay_ms = -1});
}

enum reeve_err reeve_job_not_done(struct reeve_job *job)
{
    if (!job->reconcile) {
        struct reeve_why why = {.text = "`not_done` is the word of a reconciling attempt, which this was not"};
        return reeve_job_retry(job, &why, -1);
    }
    return end(job, &(struct job_ending){.outcome = REEVE_JOB_OUTCOME_NOT_DONE, .delay_ms = -1});
}

// ---- what it says on its way
// --------------------------------------------------------------------------------------------------

static enum reeve_err check_ours(const struct reeve_job *job, struct reeve_why *why)
{
    if (job->phase != JOB_RUNNING) {
        return reeve_fail(why, REEVE_CONFLICT, "the job is not this worker's any more");
    }
    return REEVE_OK;
}

enum reeve_err reeve_job_progress(struct reeve_job *job, double fraction, const char *text)
{
    struct job_link *link = job->link;
    if (check_ours(job, NULL) != REEVE_OK) {
        return REEVE_CONFLICT;
    }
    size_t len = text == NULL ? 0 : strlen(text);
    size_t room = 3 * len < JOBS_TEXT_BYTES_MAX ? 3 * len : JOBS_TEXT_BYTES_MAX; // U+FFFD: three bytes where one was
    char *copy = len == 0 ? NULL : malloc(room + 1);
    if (copy != NULL) {
        copy[clean(copy, room, text, len)] = '\0';
    }
    free(job->progress_text);
    job->progress_text = copy;
    job->progress = !(fraction >= 0) ? 0 : fraction > 1 ? 1 : fraction; // NAN is no progress
    if (!job->progress_new) {
        job->progress_new = true;
        job->progress_next = link->progress;
        link->progress = job;
    }
    worker_jobs_touch(job->worker);
    return REEVE_OK;
}

enum reeve_err reeve_job_log(struct reeve_job *job, const char *line)
{
    char text[JOBS_LINE_BYTES_MAX];
    if (check_ours(job, NULL) != REEVE_OK) {
        return REEVE_CONFLICT;
    }
    worker_jobs_touch(job->worker);
    return jobs_line_add(job->link, job, text, clean(text, sizeof text, line, strlen(line)));
}

static enum reeve_err note(struct reeve_job *job, enum reeve_job_outcome outcome, struct reeve_value *data,
                           reeve_job_stored *stored, void *arg, struct reeve_why *why)
{
    REEVE_VALUE_AUTO owned = data;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct job_link *link = job->link;
    enum reeve_err err = check_ours(job, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (job->worker->leave.phase >= LEAVE_GOODBYE) {
        return reeve_fail(why, REEVE_CANCELLED, "this worker leaves");
    }
    err = owned == NULL ? REEVE_OK : reeve_msgpack_write(owned, &buf);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "it can't be written");
    }
    if (buf.len > jobs_data_max(job->worker)) {
        return reeve_fail(why, REEVE_LIMIT, "%zu bytes are more than a report may have", buf.len);
    }
    if (jobs_full(link)) {
        return reeve_fail(why, REEVE_LIMIT, "%zu reports of this queue wait for the manager", link->kept);
    }
    struct job_kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL ||
        fill(kept, &(struct job_ending){.outcome = outcome, .data = {buf.data, buf.len}, .delay_ms = -1}) != REEVE_OK) {
        free(kept);
        return reeve_fail(why, REEVE_NOMEM, "no memory for it");
    }
    kept->job = job;
    kept->stored = stored;
    kept->arg = arg;
    job->stored_waits++;
    jobs_keep(link, kept);
    worker_jobs_touch(job->worker);
    return REEVE_OK;
}

enum reeve_err reeve_job_checkpoint(struct reeve_job *job, struct reeve_value *data, reeve_job_stored *stored,
                                    void *arg, struct reeve_why *why)
{
    return note(job, REEVE_JOB_OUTCOME_CHECKPOINT, data, stored, arg, why);
}

enum reeve_err reeve_job_no_return(struct reeve_job *job, struct reeve_value *data, reeve_job_stored *stored, void *arg,
                                   struct reeve_why *why)
{
    if (job->row->reconcile == NULL) {
        reeve_value_free(data);
        return reeve_fail(why, REEVE_UNSUPPORTED,
                          "jobs of type %s are not reconciled by this worker: `reconcile` is NULL", job->row->type);
    }
    enum reeve_err err = note(job, REEVE_JOB_OUTCOME_NO_RETURN, data, stored, arg, why);
    job->no_return = job->no_return || err == REEVE_OK;
    return err;
}
