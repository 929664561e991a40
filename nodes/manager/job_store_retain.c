// Jobs on disk: what is kept no longer goes, in steps that are small enough for a turn.
// Must not: decide what is kept (job_store.h: the caller gives the rules).
#include "job_store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS_FREE   16 // rows that may stay, looked at in every call
#define LOOKS_PER_MS 20 // and more, by the time since the last call: about 1 ms of each second
#define LOOKS_MAX    4096

struct sweep {
    struct job_store *jobs;
    const struct job_retention *rule;
    struct job_queue *queue;
    int64_t rows;  // done
    int64_t looks; // left
    struct reeve_why *why;
};

// Rows side by side in a table that go together.
struct run {
    int64_t first, last; // places
    int64_t len;         // 0 = none
};

static int64_t room(const struct sweep *sweep)
{
    return sweep->rule->rows_max > sweep->rows ? sweep->rule->rows_max - sweep->rows : 0;
}

// The next run behind *place, up to `last`, of rows that ended at `until` or before, at most `limit`. *place is where
// to go on. A row that may stay costs a look.
static enum reeve_err find_run(struct sweep *sweep, enum job_statement id, int64_t *place, int64_t last, int64_t until,
                               int64_t limit, struct run *ret)
{
    sqlite3_stmt *stmt = sweep->jobs->statements[id];
    struct run run = {0};
    int rc = SQLITE_DONE;
    sqlite3_bind_int64(stmt, 1, *place);
    sqlite3_bind_int64(stmt, 2, last);
    while (run.len < limit && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *place = sqlite3_column_int64(stmt, 0) + 1;
        if (sqlite3_column_int64(stmt, 1) <= until) {
            run.first = run.len == 0 ? *place - 1 : run.first;
            run.last = *place - 1;
            run.len++;
            continue;
        }
        if (run.len > 0 || sweep->looks <= 0) {
            break;
        }
        sweep->looks--;
    }
    *place = rc == SQLITE_DONE && run.len < limit ? INT64_MAX : *place;
    enum reeve_err err =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? REEVE_OK : job_store_fail(sweep->jobs, rc, "read", sweep->why);
    sqlite3_reset(stmt);
    *ret = run;
    return err == REEVE_OK ? err : store_turn_break(sweep->jobs->store, err, sweep->why);
}

// ---- ended jobs whose body, result and notes go -------------------------------------------------------------------

static enum reeve_err write_run(struct job_store *jobs, enum job_statement id, int64_t first, int64_t last,
                                struct reeve_why *why)
{
    sqlite3_bind_int64(jobs->statements[id], 1, first);
    sqlite3_bind_int64(jobs->statements[id], 2, last);
    return job_store_write(jobs, id, why);
}

static enum reeve_err remove_bodies(struct job_store *jobs, const struct run *run, struct reeve_why *why)
{
    int64_t first = run->first & JOB_NUMBER_MAX;
    int64_t last = run->last & JOB_NUMBER_MAX;
    if (last - first + 1 == run->len) { // no other queue's job is between them
        return write_run(jobs, JOB_BODY_REMOVE_DENSE, first, last, why);
    }
    return write_run(jobs, JOB_BODY_REMOVE_RUN, run->first, run->last, why);
}

static enum reeve_err retire(struct job_store *jobs, struct job_queue *queue, enum reeve_job_state state,
                             const struct run *run, struct reeve_why *why)
{
    sqlite3_bind_int64(jobs->statements[JOB_PAST_FROM_RUN], 3, (int64_t)state);
    enum reeve_err err = write_run(jobs, JOB_PAST_FROM_RUN, run->first, run->last, why);
    if (err == REEVE_OK) {
        err = remove_bodies(jobs, run, why);
    }
    if (err == REEVE_OK && jobs->notes) {
        err = write_run(jobs, JOB_NOTES_REMOVE_RUN, run->first, run->last, why);
    }
    if (err == REEVE_OK) {
        err = write_run(jobs, JOB_ENDED_REMOVE_RUN, run->first, run->last, why);
    }
    queue->ended[state - REEVE_JOB_COMPLETED] -= run->len;
    queue->past += run->len;
    queue->changed = true;
    return err;
}

// Runs from *place on, as long as there is room.
static enum reeve_err retire_from(struct sweep *sweep, enum reeve_job_state state, int64_t *place, int64_t until,
                                  int64_t limit)
{
    int64_t last = job_ended_place(sweep->rule->queue, state, JOB_NUMBER_MAX);
    struct run run = {.len = 1};
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && run.len > 0 && limit > 0 && *place <= last) {
        err = find_run(sweep, JOB_ENDED_OLDEST, place, last, until, limit, &run);
        if (err == REEVE_OK && run.len > 0) {
            err = retire(sweep->jobs, sweep->queue, state, &run, sweep->why);
        }
        sweep->rows += run.len;
        limit -= run.len;
    }
    return err;
}

static int64_t until_of(const struct job_retention *rule, int64_t age_ms)
{
    int64_t ids_ms = rule->id_retention_ms;
    age_ms = age_ms > 0 && (ids_ms == 0 || age_ms < ids_ms) ? age_ms : ids_ms;
    return age_ms > 0 ? rule->now - age_ms : INT64_MIN;
}

static enum reeve_err too_many(struct sweep *sweep, enum reeve_job_state state, const struct reeve_keep *keep)
{
    int64_t more = keep->count > 0 ? sweep->queue->ended[state - REEVE_JOB_COMPLETED] - keep->count : 0;
    int64_t place = job_ended_place(sweep->rule->queue, state, 0);
    return retire_from(sweep, state, &place, INT64_MAX, more < room(sweep) ? more : room(sweep));
}

// Rows lie by number, and a job that was added early may have ended late. So the search for what is too old looks at
// the first rows in each call, where most of it is, and goes through all others by and by.
static enum reeve_err too_old(struct sweep *sweep, enum reeve_job_state state, const struct reeve_keep *keep)
{
    int64_t *at = &sweep->queue->at[state - REEVE_JOB_COMPLETED];
    int64_t first = job_ended_place(sweep->rule->queue, state, 0);
    int64_t place = first;
    int64_t until = until_of(sweep->rule, keep->age_ms);
    int64_t looks = sweep->looks;
    if (until == INT64_MIN) {
        return REEVE_OK;
    }
    sweep->looks = LOOKS_FREE;
    enum reeve_err err = retire_from(sweep, state, &place, until, room(sweep));
    sweep->looks = looks;
    if (err != REEVE_OK || place == INT64_MAX) {
        return err;
    }
    *at = *at > place && *at != INT64_MAX ? *at : place;
    return retire_from(sweep, state, at, until, room(sweep));
}

// ---- ids whose time is over -------------------------------------------------------------------------------------

static enum reeve_err forget_run(struct sweep *sweep, const struct run *run)
{
    struct job_store *jobs = sweep->jobs;
    enum reeve_err err = job_ids_forget(jobs, sweep->rule->queue, run->first, run->last, sweep->why);
    if (err == REEVE_OK) {
        err = write_run(jobs, JOB_PAST_REMOVE_RUN, run->first, run->last, sweep->why);
    }
    sweep->queue->past -= run->len;
    sweep->queue->changed = true;
    sweep->rows += run->len;
    return err;
}

static enum reeve_err forget_from(struct sweep *sweep, int64_t *place)
{
    int64_t last = job_past_place(sweep->rule->queue, JOB_NUMBER_MAX);
    struct run run = {.len = 1};
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && run.len > 0 && room(sweep) > 0 && *place <= last) {
        err = find_run(sweep, JOB_PAST_OLDEST, place, last, until_of(sweep->rule, 0), room(sweep), &run);
        if (err == REEVE_OK && run.len > 0) {
            err = forget_run(sweep, &run);
        }
    }
    return err;
}

static enum reeve_err forget_ids(struct sweep *sweep)
{
    int64_t *at = &sweep->queue->at[JOB_SLOTS];
    int64_t place = job_past_place(sweep->rule->queue, 0);
    int64_t looks = sweep->looks;
    if (sweep->rule->id_retention_ms <= 0) {
        return REEVE_OK;
    }
    sweep->looks = LOOKS_FREE;
    enum reeve_err err = forget_from(sweep, &place);
    sweep->looks = looks;
    if (err != REEVE_OK || place == INT64_MAX) {
        return err;
    }
    *at = *at > place && *at != INT64_MAX ? *at : place;
    return forget_from(sweep, at);
}

static enum reeve_err forget_dedupes(struct sweep *sweep)
{
    struct job_store *jobs = sweep->jobs;
    sqlite3_stmt *stmt = jobs->statements[JOB_DEDUPE_EXPIRE];
    if (room(sweep) == 0) {
        return REEVE_OK;
    }
    sqlite3_bind_int64(stmt, 1, sweep->rule->queue);
    sqlite3_bind_int64(stmt, 2, sweep->rule->now);
    sqlite3_bind_int64(stmt, 3, room(sweep));
    enum reeve_err err = job_store_write(jobs, JOB_DEDUPE_EXPIRE, sweep->why);
    sweep->rows += err == REEVE_OK ? sqlite3_changes64(jobs->store->db) : 0;
    return err;
}

static enum reeve_err sweep_all(struct sweep *sweep)
{
    enum reeve_err err = REEVE_OK;
    for (int slot = 0; slot < JOB_SLOTS && err == REEVE_OK; slot++) {
        enum reeve_job_state state = (enum reeve_job_state)(REEVE_JOB_COMPLETED + slot);
        err = too_many(sweep, state, &sweep->rule->keep[state]);
        if (err == REEVE_OK) {
            err = too_old(sweep, state, &sweep->rule->keep[state]);
        }
    }
    if (err == REEVE_OK) {
        err = forget_ids(sweep);
    }
    return err == REEVE_OK ? forget_dedupes(sweep) : err;
}

static enum reeve_err sweep_removed(struct job_store *jobs, int64_t rows_max, int64_t *rows, struct reeve_why *why);

static int64_t looks_of(struct job_queue *queue, int64_t now)
{
    int64_t since = now > queue->looked_at ? now - queue->looked_at : 0;
    queue->looked_at = now;
    return since < LOOKS_MAX / LOOKS_PER_MS ? since * LOOKS_PER_MS : LOOKS_MAX;
}

enum reeve_err job_store_retain(struct job_store *jobs, const struct job_retention *rule, int64_t *ret_rows,
                                struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct sweep sweep = {.jobs = jobs, .rule = rule, .queue = job_store_queue_of(jobs, rule->queue), .why = why};
    if (sweep.queue != NULL) {
        sweep.looks = looks_of(sweep.queue, rule->now);
        err = sweep_all(&sweep);
    }
    if (err == REEVE_OK) {
        err = sweep_removed(jobs, rule->rows_max, &sweep.rows, why);
    }
    if (err == REEVE_OK) {
        *ret_rows = sweep.rows;
    }
    return err;
}

enum reeve_err job_store_remove(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    struct reeve_why own;
    struct job_ended_row row;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    err = job_store_ended(jobs, number, &row, why);
    if (err != REEVE_OK) {
        return err == REEVE_NOENT ? err : store_turn_break(jobs->store, err, why);
    }
    int64_t place = job_ended_place(row.queue, row.state, number);
    const struct run run = {.first = place, .last = place, .len = 1};
    struct job_queue *queue = job_store_queue_of(jobs, row.queue);
    if (queue == NULL) {
        err = reeve_fail(why, REEVE_CORRUPT, "store: job %lld is of no queue", (long long)number);
        return store_turn_break(jobs->store, err, why);
    }
    return row.retained ? retire(jobs, queue, row.state, &run, why) : REEVE_OK;
}

// ---- removed queues -----------------------------------------------------------------------------------------------

// Bodies lie by number, those of all queues in one row: each is looked at once, and what is of this queue goes with all
// that is still known of the job.
static enum reeve_err find_bodies(struct sweep *sweep, int64_t *numbers, size_t max, size_t *ret_len)
{
    sqlite3_stmt *stmt = sweep->jobs->statements[JOB_ID_OF_BODY];
    int64_t looks = LOOKS_MAX;
    size_t len = 0;
    int rc = SQLITE_ROW;
    sqlite3_bind_int64(stmt, 1, sweep->queue->swept + 1);
    while (len < max && looks-- > 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        sweep->queue->swept = sqlite3_column_int64(stmt, 0);
        if (sqlite3_column_int64(stmt, 1) == sweep->rule->queue) {
            numbers[len++] = sweep->queue->swept;
        }
    }
    sweep->queue->swept = rc == SQLITE_DONE ? JOB_NUMBER_MAX : sweep->queue->swept;
    enum reeve_err err =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? REEVE_OK : job_store_fail(sweep->jobs, rc, "read", sweep->why);
    sqlite3_reset(stmt);
    *ret_len = len;
    return store_turn_break(sweep->jobs->store, err, sweep->why);
}

static enum reeve_err erase(struct sweep *sweep, int64_t number)
{
    enum reeve_err err = job_ids_forget_one(sweep->jobs, sweep->rule->queue, number, sweep->why);
    if (err == REEVE_OK) {
        err = job_store_remove_live(sweep->jobs, number, sweep->why);
    }
    sweep->rows++;
    return err == REEVE_OK ? job_store_remove_body(sweep->jobs, number, sweep->why) : err;
}

static enum reeve_err erase_bodies(struct sweep *sweep)
{
    int64_t numbers[256];
    size_t max = room(sweep) < (int64_t)REEVE_ARRAY_LEN(numbers) ? (size_t)room(sweep) : REEVE_ARRAY_LEN(numbers);
    size_t len = 0;
    enum reeve_err err = find_bodies(sweep, numbers, max, &len);
    for (size_t i = 0; i < len && err == REEVE_OK; i++) {
        err = erase(sweep, numbers[i]);
    }
    return err;
}

static enum reeve_err erase_ended(struct sweep *sweep)
{
    int64_t place = job_ended_place(sweep->rule->queue, REEVE_JOB_COMPLETED, 0);
    int64_t last = job_ended_place(sweep->rule->queue, REEVE_JOB_CANCELLED, JOB_NUMBER_MAX);
    struct run run;
    enum reeve_err err = find_run(sweep, JOB_ENDED_OLDEST, &place, last, INT64_MAX, room(sweep), &run);
    if (err == REEVE_OK && run.len > 0) {
        sweep->rows += run.len;
        err = write_run(sweep->jobs, JOB_ENDED_REMOVE_RUN, run.first, run.last, sweep->why);
    }
    return err;
}

static enum reeve_err erase_past(struct sweep *sweep)
{
    int64_t place = job_past_place(sweep->rule->queue, 0);
    int64_t last = job_past_place(sweep->rule->queue, JOB_NUMBER_MAX);
    struct run run;
    enum reeve_err err = find_run(sweep, JOB_PAST_OLDEST, &place, last, INT64_MAX, room(sweep), &run);
    return err == REEVE_OK && run.len > 0 ? forget_run(sweep, &run) : err;
}

static enum reeve_err erase_starts(struct sweep *sweep) // as many as a rate counts, for once
{
    return write_run(sweep->jobs, JOB_START_REMOVE, job_past_place(sweep->rule->queue, 0),
                     job_past_place(sweep->rule->queue, JOB_NUMBER_MAX), sweep->why);
}

// The last of it: the queue itself. What its highest number was stays known.
static enum reeve_err erase_queue(struct sweep *sweep)
{
    struct job_store *jobs = sweep->jobs;
    struct job_queue *none = &jobs->queues[0];
    none->number_max = sweep->queue->number_max > none->number_max ? sweep->queue->number_max : none->number_max;
    none->changed = true;
    free(sweep->queue->name);
    *sweep->queue = (struct job_queue){0};
    sqlite3_bind_int64(jobs->statements[JOB_QUEUE_REMOVE], 1, sweep->rule->queue);
    return job_store_write(jobs, JOB_QUEUE_REMOVE, sweep->why);
}

static enum reeve_err erase_some(struct sweep *sweep)
{
    static enum reeve_err (*const parts[])(struct sweep * sweep) = {erase_ended, erase_past, forget_dedupes,
                                                                    erase_starts};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts) && err == REEVE_OK && room(sweep) > 0; i++) {
        err = parts[i](sweep);
    }
    for (size_t looks = 0; err == REEVE_OK && room(sweep) > 0 && sweep->queue->swept < JOB_NUMBER_MAX; looks++) {
        if (looks == 4) {
            return REEVE_OK; // the others' bodies are many: the next call goes on
        }
        err = erase_bodies(sweep);
    }
    return err == REEVE_OK && room(sweep) > 0 ? erase_queue(sweep) : err;
}

static enum reeve_err sweep_removed(struct job_store *jobs, int64_t rows_max, int64_t *rows, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 1; i < jobs->queues_len && err == REEVE_OK && *rows < rows_max; i++) {
        if (jobs->queues[i].removed) {
            const struct job_retention rule = {.queue = (int64_t)i, .now = INT64_MAX, .rows_max = rows_max};
            struct sweep sweep = {.jobs = jobs, .rule = &rule, .queue = &jobs->queues[i], .rows = *rows, .why = why};
            err = erase_some(&sweep);
            *rows = sweep.rows;
        }
    }
    return err;
}

static enum reeve_err mark_removed(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    char name[32];
    struct job_queue *queue = &jobs->queues[number];
    (void)snprintf(name, sizeof name, "%c%lld", JOB_QUEUE_REMOVED, (long long)number); /* fits */
    char *copy = strdup(name);
    if (copy == NULL) {
        return store_turn_break(jobs->store, reeve_fail(why, REEVE_NOMEM, "store: out of memory"), why);
    }
    free(queue->name);
    queue->name = copy;
    queue->removed = true;
    queue->swept = 0;
    return job_store_put_queue(jobs, number, why);
}

// What the next process would read of it when it begins; all else goes by and by.
static enum reeve_err remove_first(struct job_store *jobs, int64_t queue, struct reeve_why *why)
{
    static const char *const sql[] = {
        "DELETE FROM job_class WHERE queue=%lld",
        "DELETE FROM job_after WHERE number IN(SELECT number FROM job WHERE queue=%lld)",
    };
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < (jobs->afters ? 2 : 1) && err == REEVE_OK; i++) {
        char *text = sqlite3_mprintf(sql[i], (long long)queue);
        err = text == NULL ? reeve_fail(why, REEVE_NOMEM, "store: out of memory")
                           : store_exec(jobs->store->db, text, "write", why);
        sqlite3_free(text);
    }
    return store_turn_break(jobs->store, err, why);
}

#define REMOVED_AT_ONCE 1000

enum reeve_err job_store_queue_remove(struct job_store *jobs, int64_t queue, struct reeve_why *why)
{
    struct reeve_why own;
    int64_t rows = 0;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (job_store_queue_of(jobs, queue) == NULL) {
        return reeve_fail(why, REEVE_NOENT, "store: there is no queue %lld", (long long)queue);
    }
    err = remove_first(jobs, queue, why);
    if (err == REEVE_OK) {
        job_ids_forget_queue(jobs, queue);
        err = mark_removed(jobs, queue, why);
    }
    return err == REEVE_OK ? sweep_removed(jobs, REMOVED_AT_ONCE, &rows, why) : err;
}
