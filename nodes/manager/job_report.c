// What workers say of their jobs [job-4] [job-5] [job-13]. An entry counts when its attempt is the current one and the worker is
// the one that has it; else it is refused, and the worker told to abandon. Everything is acknowledged after the commit.
// Must not: decide what a failure means (job_state.c).
#include "queue_room.h"
#include "turn.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVICE_WEIGHT 16 // of the moving average of service times: the last dozens of jobs count

// ---- one entry ----------------------------------------------------------------------------------------------------

typedef void apply(struct job *job, const struct reeve_job_entry *entry);

static void job_done(struct job *job, const struct reeve_job_entry *entry)
{
    struct queue *queue = job_queue(job);
    double took = (double)(reeve_clock_wall_ms() - job->started_at);
    double change = took - queue->rates.service_ms;
    queue->rates.service_ms += queue->rates.completed == 0 ? change : change / SERVICE_WEIGHT;
    queue->rates.completed++;
    job_end(job, REEVE_JOB_COMPLETED, entry->data, (struct reeve_span){0});
}

static void job_retry(struct job *job, const struct reeve_job_entry *entry)
{
    job_failed(job, entry->error, entry->delay_ms, false);
}

static void job_failed_for_good(struct job *job, const struct reeve_job_entry *entry)
{
    job_failed(job, entry->error, -1, true);
}

static void job_was_cancelled(struct job *job, const struct reeve_job_entry *entry)
{
    if ((job->flags & JOB_FLAG_CANCEL) == 0 || (job->flags & JOB_FLAG_NO_RETURN) != 0) {
        job_failed(job, entry->error.len > 0 ? entry->error : (struct reeve_span){"cancelled by its worker", 23}, -1, false);
        return;
    }
    job_queue(job)->rates.cancelled++;
    job_end(job, REEVE_JOB_CANCELLED, entry->data, entry->error);
}

static void job_released(struct job *job, const struct reeve_job_entry *entry)
{
    (void)entry;
    if ((job->flags & JOB_FLAG_CANCEL) != 0) {
        job_lost(job, false, "handed back");
    } else {
        job->due_mono = 0;
        job_set(job, (job->flags & JOB_FLAG_NO_RETURN) != 0 ? REEVE_JOB_UNKNOWN : REEVE_JOB_WAITING, "handed back");
    }
}

static void job_not_done(struct job *job, const struct reeve_job_entry *entry)
{
    if ((job->flags & JOB_FLAG_RECONCILING) == 0) {
        job_retry(job, entry);
        return;
    }
    job_history(job, "reconciled: nothing had happened", (struct reeve_span){0});
    job->flags &= (uint8_t)~JOB_FLAG_NO_RETURN;
    job->deaths = 0;
    job_set(job, REEVE_JOB_WAITING, "reconciled");
}

static void job_progressed(struct job *job, const struct reeve_job_entry *entry)
{
    job->text->progress = entry->progress;
    (void)snprintf(job->text->progress_text, sizeof job->text->progress_text, "%.*s", (int)entry->text.len,
                   entry->text.data != NULL ? entry->text.data : ""); /* cut */
    if (job_queue(job)->spec.job_records) {
        queue_change(job_queue(job), job, REEVE_JOB_ACTIVE, (struct reeve_span){0});
    }
}

static void keep_checkpoint(struct job *job, const struct reeve_job_entry *entry)
{
    if (entry->data.len > 0) {
        (void)job_store_note_put(job_queue(job)->store, job->number, JOB_NOTE_CHECKPOINT, entry->data, NULL); /* the commit tells */
        job->flags |= JOB_FLAG_CHECKPOINT;
    }
    job_dirty(job);
}

// What it reports first counts: a cancel that comes too late is none.
static void pass_no_return(struct job *job, const struct reeve_job_entry *entry)
{
    job->flags = (uint8_t)((job->flags | JOB_FLAG_NO_RETURN) & ~JOB_FLAG_CANCEL);
    keep_checkpoint(job, entry);
}

static void keep_line(struct job *job, const struct reeve_job_entry *entry)
{
    struct reeve_value *line = reeve_value_map();
    reeve_put_int(line, "at", reeve_clock_wall_ms());
    reeve_put_int(line, "attempt", job->attempt);
    (void)reeve_value_put(line, "text", reeve_value_strn(entry->text.data, entry->text.len)); /* remembered */
    job_note_add(job_queue(job), job->number, JOB_NOTE_LOG, line, JOB_LOG_LINES_MAX);
}

static apply *const outcomes[REEVE_JOB_OUTCOME_COUNT] = {
    [REEVE_JOB_OUTCOME_DONE] = job_done,
    [REEVE_JOB_OUTCOME_RETRY] = job_retry,
    [REEVE_JOB_OUTCOME_FAILED] = job_failed_for_good,
    [REEVE_JOB_OUTCOME_CANCELLED] = job_was_cancelled,
    [REEVE_JOB_OUTCOME_RELEASED] = job_released,
    [REEVE_JOB_OUTCOME_NOT_DONE] = job_not_done,
    [REEVE_JOB_OUTCOME_PROGRESS] = job_progressed,
    [REEVE_JOB_OUTCOME_CHECKPOINT] = keep_checkpoint,
    [REEVE_JOB_OUTCOME_NO_RETURN] = pass_no_return,
    [REEVE_JOB_OUTCOME_LOG] = keep_line,
};

// ---- whose it is --------------------------------------------------------------------------------------------------

// The current attempt of a job, in this worker's hands; NULL = it is not.
static struct job *in_hand(struct link *link, struct reeve_span id, int64_t attempt)
{
    char key[REEVE_JOB_ID_SIZE];
    if (id.len == 0 || id.len >= sizeof key) {
        return NULL;
    }
    memcpy(key, id.data, id.len);
    key[id.len] = '\0';
    struct job *job = reeve_map_get(link->queue->active, key);
    return job != NULL && job->attempt == attempt && strcmp(job->text->worker, link->worker) == 0 ? job : NULL;
}

// The current attempt was taken from its worker (its session died, say), nobody has begun another, and it comes back: done. Doing it again
// would be a second execution for nothing.
static bool done_after_all(struct link *link, const struct reeve_job_entry *entry)
{
    int64_t number;
    struct queue *queue = link->queue;
    if (entry->outcome != REEVE_JOB_OUTCOME_DONE || !reeve_job_id_valid(entry->id) ||
        job_store_find(queue->store, queue->number, entry->id, &number, NULL) != REEVE_OK) {
        return false;
    }
    struct job *job = job_index_get(queue->queues->index, number);
    bool waits = job != NULL && (job->state == REEVE_JOB_WAITING || job->state == REEVE_JOB_UNKNOWN);
    if (!waits || job->attempt == 0 || job->attempt != entry->attempt) {
        return false;
    }
    job_history(job, "done after it was taken back", (struct reeve_span){0});
    job_done(job, entry);
    return true;
}

// An end that was taken already, whose acknowledgement was lost.
static bool known_end(struct link *link, const struct reeve_job_entry *entry)
{
    int64_t number;
    struct job_ended_row ended;
    struct queue *queue = link->queue;
    if (!reeve_job_id_valid(entry->id) || job_store_find(queue->store, queue->number, entry->id, &number, NULL) != REEVE_OK) {
        return false;
    }
    const struct job *job = job_index_get(queue->queues->index, number);
    if (job != NULL) {
        return job->attempt == entry->attempt && job->state != REEVE_JOB_ACTIVE;
    }
    return job_store_ended(queue->store, number, &ended, NULL) == REEVE_OK && ended.attempt == entry->attempt;
}

static void take_entry(struct link *link, const struct reeve_job_entry *entry)
{
    struct job *job = in_hand(link, entry->id, entry->attempt);
    if (job != NULL) {
        outcomes[entry->outcome](job, entry);
        return;
    }
    if (done_after_all(link, entry) || (reeve_job_outcome_ends(entry->outcome) && known_end(link, entry))) {
        return;
    }
    link->queue->rates.fenced++;
    link->queue->queues->fenced++;
    dispatch_abandon(link, entry->id, entry->attempt, "fenced");
}

// ---- hello ----------------------------------------------------------------------------------------------------------

static void read_types(struct reeve_span list, struct reeve_strv *ret, bool *ret_any)
{
    struct reeve_cursor cursor = REEVE_CURSOR(list.data, list.len);
    reeve_strv_done(ret);
    *ret = (struct reeve_strv){0};
    *ret_any = false;
    for (size_t n = list.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0 && cursor.err == REEVE_OK; n--) {
        struct reeve_span type = reeve_cursor_str(&cursor);
        char text[REEVE_JOB_TYPE_SIZE];
        (void)snprintf(text, sizeof text, "%.*s", (int)type.len, type.data != NULL ? type.data : ""); /* what is longer is none */
        *ret_any = *ret_any || strcmp(text, "*") == 0;
        (void)reeve_strv_add(ret, text); /* out of memory: it gets none of these */
    }
}

static void see_hand(struct link *link, struct reeve_span hand)
{
    struct reeve_cursor cursor = REEVE_CURSOR(hand.data, hand.len);
    for (size_t n = hand.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0 && cursor.err == REEVE_OK; n--) {
        struct reeve_span id;
        int64_t attempt;
        if (reeve_job_hand_read(&cursor, &id, &attempt) != REEVE_OK) {
            link->queue->queues->malformed++;
            continue; // the cursor is behind it
        }
        struct job *job = in_hand(link, id, attempt);
        if (job == NULL) {
            dispatch_abandon(link, id, attempt, "fenced");
            continue;
        }
        job->text->seen = true;
        job->text->worker_epoch = link->epoch;
        if ((job->flags & JOB_FLAG_CANCEL) != 0) { // told by a former manager or in a former session, or not at all
            dispatch_cancel(job, "cancelled", link->queue->spec.cancel_grace_ms);
        }
    }
}

static bool may_be_on_the_way(const struct link *link, const struct job *job, int64_t got)
{
    return job->text->worker_epoch == link->epoch && job->text->dispatch_seq > got;
}

// What it has not in hand though it should, and had before.
static void take_back_unseen(struct link *link, int64_t got, bool died)
{
    for (struct job *job = link->jobs.tail, *prev; job != NULL; job = prev) {
        prev = job->prev;
        bool seen = job->text->seen;
        job->text->seen = false;
        if (!seen && !may_be_on_the_way(link, job, got)) {
            job_lost(job, died, died ? "its worker died" : "its worker does not have it");
        }
    }
}

static bool has_new_run(struct link *link)
{
    const struct fleet *fleet = link->queue->queues->manager->fleet;
    const struct fleet_worker *worker = fleet_worker(fleet, link->node, link->name);
    int64_t run = worker != NULL ? fleet_worker_info(fleet, worker).run : 0;
    bool newer = link->run > 0 && run > link->run;
    link->run = run > link->run ? run : link->run;
    return newer;
}

static void greet(struct link *link, const struct reeve_job_report *report)
{
    bool died = has_new_run(link);
    read_types(report->types, &link->types, &link->any);
    read_types(report->reconciles, &link->reconciles, &link->reconciles_any);
    link->greeted = true;
    link->report_seq = report->seq;
    see_hand(link, report->hand);
    take_back_unseen(link, report->got, died);
    link->queue->stamp++;
}

// ---- a report -------------------------------------------------------------------------------------------------------

// One that was read only in part. What is done is done, so that an end counts without what it says. A checkpoint that can't be
// kept fails its job, and the worker is told to abandon it before it sees the acknowledgement.
static void take_wrong_entry(struct link *link, struct reeve_job_entry *entry, enum reeve_err err)
{
    static const char error[] = "what it wants to keep is larger than 448 KiB, or nested deeper than 12 containers";
    bool to_keep = entry->outcome == REEVE_JOB_OUTCOME_CHECKPOINT || entry->outcome == REEVE_JOB_OUTCOME_NO_RETURN;
    link->queue->queues->malformed++;
    if (err != REEVE_LIMIT || entry->id.len == 0 || entry->attempt == 0 || entry->outcome >= REEVE_JOB_OUTCOME_COUNT) {
        return; // of a build that is newer
    }
    if (to_keep && in_hand(link, entry->id, entry->attempt) != NULL) {
        dispatch_abandon(link, entry->id, entry->attempt, "failed");
    }
    if (to_keep) {
        entry->outcome = REEVE_JOB_OUTCOME_FAILED;
        entry->error = (struct reeve_span){error, sizeof error - 1};
    }
    take_entry(link, entry);
}

static void take_entries(struct link *link, struct reeve_span entries)
{
    struct reeve_cursor cursor = REEVE_CURSOR(entries.data, entries.len);
    for (size_t n = entries.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0; n--) {
        struct reeve_job_entry entry;
        enum reeve_err err = reeve_job_entry_read(&cursor, &entry); // behind it, right or wrong
        if (err == REEVE_OK) {
            take_entry(link, &entry);
        } else {
            take_wrong_entry(link, &entry, err);
        }
    }
}

static void ask_again(struct link *link)
{
    int64_t now = reeve_clock_mono_ms();
    if (link->hello_mono == 0 || now - link->hello_mono > 1000) {
        link->hello_mono = now;
        link->say_hello = true;
    }
}

static void take_report(struct link *link, const struct reeve_job_report *report)
{
    link->heard_mono = reeve_clock_mono_ms();
    link->say_ack = true;
    link_say(link);
    if (!report->hello && report->seq <= link->report_seq) {
        return; // again, its acknowledgement was lost
    }
    take_entries(link, report->entries); // before the hand: what has ended is no more in it
    if (report->hello) {
        greet(link, report);
    } else if (report->seq == link->report_seq + 1 && link->greeted) {
        link->report_seq = report->seq;
    } else {
        ask_again(link); // one is missing, or all before it
    }
    link->got = report->got > link->got ? report->got : link->got;
    link->capacity = report->capacity < 0 ? 0 : report->capacity;
    dispatch_want(link->queue);
}

void report_delivery(struct queues *queues, struct queue *queue, const struct reeve_delivery *delivery)
{
    struct reeve_job_report report;
    struct reeve_why why = {0};
    queues->reports++;
    if (delivery->retained || delivery->payload_len == 0 || turn_store_failing(queues->manager->turn)) {
        return; // the worker says it again when it is not acknowledged
    }
    if (reeve_job_report_read(delivery->payload, delivery->payload_len, &report, &why) != REEVE_OK) {
        if (queues->malformed++ == 0) {
            reeve_log(REEVE_LOG_WARNING, "job", "topic=%s malformed=\"%s: %s\" ignoring", delivery->topic, why.place, why.text);
        }
        return;
    }
    struct link *link = link_get(queue, report.worker, report.epoch);
    if (link == NULL) {
        queues->refused++;
        return; // a former session, or no worker
    }
    take_report(link, &report);
}
