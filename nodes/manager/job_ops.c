// Ops that change jobs: cancelled, retried, removed; by id, or many at once by what they are [job-16].
// Must not: decide what a state means (job_state.c).
#include "queue_ops.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define BULK_MAX 1000 // jobs of one command, so that no turn is long: about 30 ms
#define IDS_MAX  1000

// ---- cancel -------------------------------------------------------------------------------------------------------

static bool may_cancel(const struct job *job)
{
    return (job->flags & (JOB_FLAG_CANCEL | JOB_FLAG_NO_RETURN)) == 0;
}

static enum reeve_err not_live(struct queue *queue, int64_t number, const char *what, struct reeve_why *why)
{
    struct job_ended_row row;
    enum reeve_err err = job_store_ended(queue->store, number, &row, why);
    return err == REEVE_OK
               ? reeve_fail(why, REEVE_CONFLICT, "is %s: there is nothing to %s", reeve_job_state_text(row.state), what)
               : err;
}

static enum reeve_err cancel(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    struct job *job = job_index_get(queue->queues->index, number);
    if (job == NULL) {
        return not_live(queue, number, "cancel", why);
    }
    if ((job->flags & JOB_FLAG_NO_RETURN) != 0) {
        return reeve_fail(why, REEVE_CONFLICT, "is past its point of no return (%s): nothing is cancelled any more",
                          reeve_job_state_text((enum reeve_job_state)job->state));
    }
    if (dry_run || (job->flags & JOB_FLAG_CANCEL) != 0) {
        return REEVE_OK; // its worker was told before
    }
    if (job->state == REEVE_JOB_ACTIVE) {
        job->flags |= JOB_FLAG_CANCEL;
        job_dirty(job);
        dispatch_cancel(job, "cancelled", queue->spec.cancel_grace_ms);
    } else {
        queue->rates.cancelled++;
        job_end(job, REEVE_JOB_CANCELLED, (struct reeve_span){0}, (struct reeve_span){0});
    }
    return REEVE_OK;
}

// ---- retry --------------------------------------------------------------------------------------------------------

static bool may_retry(const struct job *job)
{
    return job->state == REEVE_JOB_DELAYED || (job->state == REEVE_JOB_UNKNOWN && (job->heap_at != 0 || !job->listed));
}

static enum reeve_err retry_live(struct job *job, bool dry_run, struct reeve_why *why)
{
    if (!may_retry(job)) {
        return reeve_fail(why, REEVE_CONFLICT, "is %s already", reeve_job_state_text((enum reeve_job_state)job->state));
    }
    if (dry_run) {
        return REEVE_OK;
    }
    job->flags &= (uint8_t)~JOB_FLAG_PARKED;
    job->deaths = 0;
    job_due_remove(&job_queue(job)->queues->due, job); // the heap is ordered by what is set here
    job->due_mono = 0;
    job->run_at = reeve_clock_wall_ms();
    job_set(job, job->state == REEVE_JOB_UNKNOWN ? REEVE_JOB_UNKNOWN : REEVE_JOB_WAITING, "retried by hand");
    return REEVE_OK;
}

// It waits again for those that are not completed.
static enum reeve_err need_again(struct job *job, struct reeve_span after)
{
    struct queue *queue = job_queue(job);
    struct reeve_cursor cursor = REEVE_CURSOR(after.data, after.len);
    enum reeve_err err = REEVE_OK;
    for (size_t n = after.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0 && err == REEVE_OK && cursor.err == REEVE_OK;
         n--) {
        int64_t number;
        struct job_ended_row row = {.state = REEVE_JOB_COMPLETED};
        struct reeve_span id = reeve_cursor_str(&cursor);
        if (job_store_find(queue->store, queue->number, id, &number, NULL) != REEVE_OK) {
            continue; // forgotten: it ended long ago
        }
        bool open = job_index_get(queue->queues->index, number) != NULL ||
                    (job_store_ended(queue->store, number, &row, NULL) == REEVE_OK && row.state != REEVE_JOB_COMPLETED);
        err = open ? after_add(queue->queues, job, number, true) : REEVE_OK;
    }
    return err;
}

static struct job *new_from(struct job_seen *seen, struct reeve_why *why)
{
    struct queue *queue = seen->queue;
    struct reeve_span checkpoint;
    struct job_class *class = job_class_get(queue, seen->spec.type, seen->spec.requires, why);
    struct job *job = class != NULL ? job_new(queue, class, seen->number, seen->spec.key) : NULL;
    if (job == NULL) {
        return NULL;
    }
    bool has_checkpoint =
        job_store_note(queue->store, seen->number, JOB_NOTE_CHECKPOINT, &checkpoint, NULL) == REEVE_OK;
    job->flags = has_checkpoint ? JOB_FLAG_CHECKPOINT : 0;
    job->attempt = (uint32_t)seen->ended.attempt;
    job->priority = (uint8_t)seen->spec.priority;
    job->added_at = seen->ended.added_at;
    job->run_at = reeve_clock_wall_ms();
    job->bytes = (uint32_t)seen->raw.len;
    queue->bytes += job->bytes;
    return job;
}

static enum reeve_err may_revive(const struct job_seen *seen, struct reeve_why *why)
{
    const struct queue *queue = seen->queue;
    int64_t live = queue->counts[REEVE_JOB_WAITING] + queue->counts[REEVE_JOB_DELAYED] +
                   queue->counts[REEVE_JOB_ACTIVE] + queue->counts[REEVE_JOB_UNKNOWN];
    if (seen->ended.state == REEVE_JOB_COMPLETED) {
        return reeve_fail(why, REEVE_CONFLICT, "is completed: what is done is not done again");
    }
    if (!seen->ended.retained || !seen->has_spec) {
        return reeve_fail(why, REEVE_CONFLICT, "only its id is known any more");
    }
    return live < queue->spec.jobs_max
               ? REEVE_OK
               : reeve_fail(why, REEVE_LIMIT, "the queue is full: %lld jobs (jobs_max)", (long long)live);
}

static enum reeve_err revive(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    JOB_SEEN_AUTO seen;
    enum reeve_err err = job_see(queue, number, &seen, why);
    err = err == REEVE_OK ? may_revive(&seen, why) : err;
    if (err != REEVE_OK || dry_run) {
        return err;
    }
    struct job *job = new_from(&seen, why);
    if (job == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory, or too many kinds of jobs");
    }
    const struct job_row row = {.number = number, // the whole of it is written at the end of the turn
                                .queue = queue->number,
                                .class = job->class->number,
                                .state = REEVE_JOB_WAITING,
                                .priority = job->priority,
                                .attempt = job->attempt,
                                .added_at = job->added_at,
                                .key = seen.spec.key};
    err = job_store_revive(queue->store, &row, why);
    err = err == REEVE_OK ? need_again(job, seen.spec.after) : err;
    if (err != REEVE_OK) {
        job_drop(job);
        return err;
    }
    queue->counts[seen.ended.state]--;
    job_restore(job);
    job_dirty(job);
    job_history(job, "retried by hand", (struct reeve_span){0});
    if (queue->spec.job_records || queue->spec.events == 2) {
        queue_change(queue, job, REEVE_JOB_WAITING, (struct reeve_span){0});
    }
    return REEVE_OK;
}

static enum reeve_err retry(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    struct job *job = job_index_get(queue->queues->index, number);
    return job != NULL ? retry_live(job, dry_run, why) : revive(queue, number, dry_run, why);
}

// ---- remove -------------------------------------------------------------------------------------------------------

enum reeve_err job_remove(struct queue *queue, int64_t number, bool live, struct reeve_why *why)
{
    struct job_ended_row row;
    struct job_body body;
    struct job *job = job_index_get(queue->queues->index, number);
    if (job != NULL && (!live || (job->state != REEVE_JOB_WAITING && job->state != REEVE_JOB_DELAYED))) {
        return reeve_fail(why, REEVE_CONFLICT, "is %s: `cancel` ends it",
                          reeve_job_state_text((enum reeve_job_state)job->state));
    }
    if (job != NULL) {
        queue->rates.cancelled++;
        job_end(job, REEVE_JOB_CANCELLED, (struct reeve_span){0}, (struct reeve_span){0});
    }
    enum reeve_err err = job_store_ended(queue->store, number, &row, why);
    if (err != REEVE_OK || !row.retained) {
        return err; // removed already
    }
    enum reeve_job_state state = row.state;
    if (queue->spec.job_records && job_store_body(queue->store, number, &body, NULL) == REEVE_OK) {
        job_record_remove(queue, body.id);
    }
    err = job_store_remove(queue->store, number, why);
    if (err == REEVE_OK) {
        queue->counts[state]--;
        queue->status_dirty = true;
    }
    return err;
}

static enum reeve_err remove_ended(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why)
{
    if (dry_run && job_index_get(queue->queues->index, number) == NULL) {
        return REEVE_OK;
    }
    return job_remove(queue, number, false, why);
}

// ---- many ---------------------------------------------------------------------------------------------------------

struct bulk_args {
    struct reeve_strv ids;
    struct job_filter filter;
};
static const struct reeve_field filter_fields[] = {JOB_FILTER_FIELDS(struct job_filter, , 1000000000, "1000")};
static const struct reeve_record filter_record =
    REEVE_RECORD("filter", struct job_filter, filter_fields, "Which jobs.");
static const struct reeve_field bulk_fields[] = {
    {.name = "ids",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_SCALAR_OK,
     .offset = offsetof(struct bulk_args, ids),
     .min = 1,
     .max = IDS_MAX,
     .doc = "Ids of jobs."},
    {.name = "filter",
     .type = REEVE_FIELD_RECORD,
     .offset = offsetof(struct bulk_args, filter),
     .record = &filter_record,
     .doc = "All that are so: `{state, type, key, error, older_than_ms, limit}`; `{}` = all that it can be done to. At "
            "most 1,000 in "
            "one command; `more` says that there are others."},
};
const struct reeve_record op_queue_cancel_args = REEVE_RECORD("cancel", struct bulk_args, bulk_fields, "");
const struct reeve_record op_queue_retry_args = REEVE_RECORD("retry", struct bulk_args, bulk_fields, "");
const struct reeve_record op_queue_remove_args = REEVE_RECORD("remove", struct bulk_args, bulk_fields, "");

struct action { // what is done to each
    const char *name;
    enum reeve_err (*run)(struct queue *queue, int64_t number, bool dry_run, struct reeve_why *why);
    bool (*may)(const struct job *job);
    bool states[REEVE_JOB_STATE_COUNT]; // that a filter without one means
    bool allowed[REEVE_JOB_STATE_COUNT];
};
static const struct action cancel_action = {
    .name = "cancelled",
    .run = cancel,
    .may = may_cancel,
    .states = {[REEVE_JOB_WAITING] = true, [REEVE_JOB_DELAYED] = true, [REEVE_JOB_ACTIVE] = true},
    .allowed = {[REEVE_JOB_WAITING] = true, [REEVE_JOB_DELAYED] = true, [REEVE_JOB_ACTIVE] = true}};
static const struct action retry_action = {.name = "retried",
                                           .run = retry,
                                           .may = may_retry,
                                           .states = {[REEVE_JOB_FAILED] = true},
                                           .allowed = {[REEVE_JOB_FAILED] = true,
                                                       [REEVE_JOB_CANCELLED] = true,
                                                       [REEVE_JOB_DELAYED] = true,
                                                       [REEVE_JOB_UNKNOWN] = true}};
static const struct action remove_action = {
    .name = "removed",
    .run = remove_ended,
    .states = {[REEVE_JOB_COMPLETED] = true, [REEVE_JOB_FAILED] = true, [REEVE_JOB_CANCELLED] = true},
    .allowed = {[REEVE_JOB_COMPLETED] = true, [REEVE_JOB_FAILED] = true, [REEVE_JOB_CANCELLED] = true}};

static void put_refused(struct reeve_value *list, const char *id, enum reeve_err err, const struct reeve_why *why)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "id", id);
    reeve_put_str(value, "code", reeve_err_text(err));
    reeve_put_str(value, "message", why->text);
    (void)reeve_value_add(list, value); /* remembered: reeve_value_built() */
}

static int64_t do_ids(const struct call *call, struct queue *queue, const struct action *action,
                      struct reeve_value *refused)
{
    const struct bulk_args *args = call->args;
    int64_t done = 0;
    for (size_t i = 0; i < args->ids.len; i++) {
        int64_t number;
        struct reeve_why why = {0};
        enum reeve_err err = job_find(queue, args->ids.items[i], &number, &why);
        err = err == REEVE_OK ? action->run(queue, number, call->command.dry_run, &why) : err;
        if (err == REEVE_OK) {
            done++;
        } else {
            put_refused(refused, args->ids.items[i], err, &why);
        }
    }
    return done;
}

// What the filter means and can't be done is named by its id, as where ids are given.
static int64_t do_picked(const struct call *call, struct queue *queue, const struct action *action,
                         const struct job_pick *pick, struct reeve_value *refused)
{
    int64_t done = 0;
    for (size_t i = 0; i < pick->len; i++) {
        struct reeve_why why = {0};
        enum reeve_err err = action->run(queue, pick->numbers[i], call->command.dry_run, &why);
        if (err == REEVE_OK) {
            done++;
            continue;
        }
        JOB_SEEN_AUTO seen;
        put_refused(refused, job_see(queue, pick->numbers[i], &seen, NULL) == REEVE_OK ? seen.id : "?", err, &why);
    }
    return done;
}

static enum reeve_err check_bulk(const struct call *call, const struct action *action, struct reeve_why *why)
{
    const struct bulk_args *args = call->args;
    bool filtered = reeve_value_get(call->command.args, "filter") != NULL;
    if ((args->ids.len > 0) == filtered) {
        return reeve_fail(why, REEVE_INVALID,
                          filtered ? "args.filter: not beside args.ids"
                                   : "args.ids is missing, expected ids of jobs, or `filter`");
    }
    if (filtered && args->filter.state != REEVE_JOB_STATE_COUNT && !action->allowed[args->filter.state]) {
        return reeve_fail(why, REEVE_CONFLICT, "args.filter.state: %s jobs can't be %s",
                          reeve_job_state_text((enum reeve_job_state)args->filter.state), action->name);
    }
    return REEVE_OK;
}

static enum reeve_err run_bulk(struct call *call, const struct action *action, struct reeve_why *why)
{
    const struct bulk_args *args = call->args;
    struct queue *queue = queue_of_call(call, why);
    if (queue == NULL) {
        return REEVE_NOENT;
    }
    int64_t limit = args->filter.limit < BULK_MAX ? args->filter.limit : BULK_MAX;
    struct job_pick pick = {.limit = limit, .oldest_first = true, .may = action->may};
    enum reeve_err err = check_bulk(call, action, why);
    if (err == REEVE_OK && args->ids.len == 0) {
        job_filter_pick(&args->filter, action->states, &pick);
        err = job_pick_run(queue, &pick, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *refused = reeve_value_list();
    int64_t done =
        args->ids.len > 0 ? do_ids(call, queue, action, refused) : do_picked(call, queue, action, &pick, refused);
    struct reeve_value *result = reeve_value_map();
    reeve_put_int(result, "done", done);
    (void)reeve_value_put(result, "refused", refused); /* remembered: reeve_value_built() */
    reeve_put_bool(result, "more", pick.more);
    job_pick_done(&pick);
    return call_done(call, result, "%s%lld job%s %s", call->command.dry_run ? "dry run: " : "", (long long)done,
                     done == 1 ? "" : "s", action->name);
}

enum reeve_err op_queue_cancel_run(struct call *call, struct reeve_why *why)
{
    return run_bulk(call, &cancel_action, why);
}

enum reeve_err op_queue_retry_run(struct call *call, struct reeve_why *why)
{
    return run_bulk(call, &retry_action, why);
}

enum reeve_err op_queue_remove_run(struct call *call, struct reeve_why *why)
{
    return run_bulk(call, &remove_action, why);
}
