// Jobs on disk: what is kept no longer goes, in steps that are small enough for a turn.
// Must not: decide what is kept (job_store.h: the caller gives the rules).
#include "job_store_priv.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MIN 512 // rows that are looked at in a call whatever `rows_max` is, so that a search goes on

struct sweep {
    struct job_store *jobs;
    const struct job_retention *rule;
    struct job_queue *queue;
    int64_t rows; // done
    int64_t *places;
    size_t places_max;
    struct reeve_why *why;
};

static int64_t room(const struct sweep *sweep)
{
    return sweep->rule->rows_max > sweep->rows ? sweep->rule->rows_max - sweep->rows : 0;
}

// The first `limit` places of [first, last] whose row ended at `until` or before; *ret_next is where to go on, 0 = at
// the end. A row that may stay is only looked at.
static enum reeve_err collect(struct sweep *sweep, enum job_statement id, int64_t first, int64_t last, int64_t until,
                              int64_t limit, size_t *ret_len, int64_t *ret_next)
{
    sqlite3_stmt *stmt = sweep->jobs->statements[id];
    int64_t looks = limit > LOOK_MIN ? limit : LOOK_MIN;
    size_t len = 0;
    int64_t next = 0;
    int rc = SQLITE_DONE;
    limit = limit < (int64_t)sweep->places_max ? limit : (int64_t)sweep->places_max;
    sqlite3_bind_int64(stmt, 1, first);
    sqlite3_bind_int64(stmt, 2, last);
    sqlite3_bind_int64(stmt, 3, looks);
    while ((int64_t)len < limit && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        next = sqlite3_column_int64(stmt, 0) + 1;
        if (sqlite3_column_int64(stmt, 1) <= until) {
            sweep->places[len++] = next - 1;
        }
        looks--;
    }
    enum reeve_err err =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? REEVE_OK : job_store_fail(sweep->jobs, rc, "read", sweep->why);
    sqlite3_reset(stmt);
    *ret_len = len;
    *ret_next = rc == SQLITE_DONE && looks > 0 ? 0 : next;
    return err == REEVE_OK ? err : store_turn_break(sweep->jobs->store, err, sweep->why);
}

static enum reeve_err retire_all(struct sweep *sweep, enum reeve_job_state state, size_t len)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < len && err == REEVE_OK; i++) {
        err = job_store_retire(sweep->jobs, sweep->rule->queue, state, sweep->places[i] & JOB_NUMBER_MAX, sweep->why);
        sweep->rows++;
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
    int64_t limit = more < room(sweep) ? more : room(sweep);
    enum reeve_err err = REEVE_OK;
    while (limit > 0 && err == REEVE_OK) {
        size_t len = 0;
        int64_t next = 0;
        err = collect(sweep, JOB_ENDED_OLDEST, job_ended_place(sweep->rule->queue, state, 0),
                      job_ended_place(sweep->rule->queue, state, JOB_NUMBER_MAX), INT64_MAX, limit, &len, &next);
        if (err != REEVE_OK || len == 0) {
            return err;
        }
        err = retire_all(sweep, state, len);
        limit -= (int64_t)len;
    }
    return err;
}

// Rows lie by number, and a job that was added early may have ended late: so the search for what is too old goes
// through all of them, by and by, and from the first row in each call, where most of it is.
static enum reeve_err too_old(struct sweep *sweep, enum reeve_job_state state, const struct reeve_keep *keep)
{
    const struct job_retention *rule = sweep->rule;
    int64_t *at = &sweep->queue->at[state - REEVE_JOB_COMPLETED];
    int64_t first = job_ended_place(rule->queue, state, 0);
    int64_t last = job_ended_place(rule->queue, state, JOB_NUMBER_MAX);
    int64_t until = until_of(rule, keep->age_ms);
    if (until == INT64_MIN || room(sweep) == 0) {
        return REEVE_OK;
    }
    size_t len = 0;
    int64_t next = 0;
    enum reeve_err err = collect(sweep, JOB_ENDED_OLDEST, first, last, until, room(sweep), &len, &next);
    if (err == REEVE_OK) {
        err = retire_all(sweep, state, len);
    }
    if (err != REEVE_OK || next == 0 || room(sweep) == 0) {
        return err;
    }
    err = collect(sweep, JOB_ENDED_OLDEST, *at > next ? *at : next, last, until, room(sweep), &len, at);
    return err == REEVE_OK ? retire_all(sweep, state, len) : err;
}

static enum reeve_err forget_id(struct sweep *sweep, int64_t place)
{
    struct job_store *jobs = sweep->jobs;
    sqlite3_bind_int64(jobs->statements[JOB_ID_REMOVE], 1, place);
    sqlite3_bind_int64(jobs->statements[JOB_ID_REMOVE], 2, sweep->rule->queue);
    sqlite3_bind_int64(jobs->statements[JOB_PAST_REMOVE], 1, place);
    enum reeve_err err = job_store_write(jobs, JOB_ID_REMOVE, sweep->why);
    if (err == REEVE_OK) {
        err = job_store_write(jobs, JOB_PAST_REMOVE, sweep->why);
    }
    if (err == REEVE_OK) {
        sweep->queue->past--;
        sweep->queue->changed = true;
        sweep->rows++;
    }
    return err;
}

static enum reeve_err forget_ids_from(struct sweep *sweep, int64_t first, int64_t *ret_next)
{
    int64_t last = job_past_place(sweep->rule->queue, JOB_NUMBER_MAX);
    int64_t until = until_of(sweep->rule, 0);
    size_t len = 0;
    enum reeve_err err = collect(sweep, JOB_PAST_OLDEST, first, last, until, room(sweep), &len, ret_next);
    for (size_t i = 0; i < len && err == REEVE_OK; i++) {
        err = forget_id(sweep, sweep->places[i]);
    }
    return err;
}

static enum reeve_err forget_ids(struct sweep *sweep)
{
    int64_t *at = &sweep->queue->at[JOB_SLOTS];
    int64_t next = 0;
    if (sweep->rule->id_retention_ms <= 0 || room(sweep) == 0) {
        return REEVE_OK;
    }
    enum reeve_err err = forget_ids_from(sweep, job_past_place(sweep->rule->queue, 0), &next);
    if (err != REEVE_OK || next == 0 || room(sweep) == 0) {
        return err;
    }
    return forget_ids_from(sweep, *at > next ? *at : next, at);
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

enum reeve_err job_store_retain(struct job_store *jobs, const struct job_retention *rule, int64_t *ret_rows,
                                struct reeve_why *why)
{
    struct reeve_why own;
    int64_t places[1024];
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct sweep sweep = {.jobs = jobs,
                          .rule = rule,
                          .queue = job_store_queue_of(jobs, rule->queue),
                          .places = places,
                          .places_max = REEVE_ARRAY_LEN(places),
                          .why = why};
    if (sweep.queue != NULL) {
        err = sweep_all(&sweep);
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
    return row.retained ? job_store_retire(jobs, row.queue, row.state, number, why) : REEVE_OK;
}

// ---- a queue ----------------------------------------------------------------------------------------------------

#define NUMBERS_OF_QUEUE "(SELECT number FROM job_body WHERE queue=?1)"

// Prepared for the one time: it is rare.
static enum reeve_err run_for_queue(struct job_store *jobs, const char *sql, int64_t queue, struct reeve_why *why)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(jobs->store->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, queue);
        if (sqlite3_bind_parameter_count(stmt) > 1) {
            sqlite3_bind_int64(stmt, 2, job_ended_place(queue, REEVE_JOB_COMPLETED, 0));
            sqlite3_bind_int64(stmt, 3, job_ended_place(queue, REEVE_JOB_CANCELLED, JOB_NUMBER_MAX));
        }
        if (sqlite3_bind_parameter_count(stmt) > 3) {
            sqlite3_bind_int64(stmt, 4, job_past_place(queue, 0));
            sqlite3_bind_int64(stmt, 5, job_past_place(queue, JOB_NUMBER_MAX));
        }
        rc = sqlite3_step(stmt);
    }
    enum reeve_err err = rc == SQLITE_DONE ? REEVE_OK : job_store_fail(jobs, rc, "write", why);
    sqlite3_finalize(stmt);
    return store_turn_break(jobs->store, err, why);
}

enum reeve_err job_store_queue_remove(struct job_store *jobs, int64_t queue, struct reeve_why *why)
{
    static const char *const sql[] = {
        "DELETE FROM job_id WHERE queue=?1",
        "DELETE FROM job_after WHERE awaited IN " NUMBERS_OF_QUEUE " OR number IN " NUMBERS_OF_QUEUE,
        "DELETE FROM job_note WHERE place>>2 IN " NUMBERS_OF_QUEUE,
        "DELETE FROM job_body WHERE queue=?1",
        "DELETE FROM job WHERE queue=?1",
        "DELETE FROM job_ended WHERE ?1 IS NOT NULL AND place>=?2 AND place<=?3",
        "DELETE FROM job_past WHERE ?1+?2+?3 IS NOT NULL AND place>=?4 AND place<=?5",
        "DELETE FROM job_dedupe WHERE queue=?1",
        "DELETE FROM job_class WHERE queue=?1",
        "UPDATE job_queue SET number_max=max(number_max,(SELECT number_max FROM job_queue WHERE number=?1)) WHERE "
        "number=0",
        "DELETE FROM job_queue WHERE number=?1",
    };
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    struct job_queue *of = err == REEVE_OK ? job_store_queue_of(jobs, queue) : NULL;
    if (of == NULL) {
        return err == REEVE_OK ? reeve_fail(why, REEVE_NOENT, "store: there is no queue %lld", (long long)queue) : err;
    }
    int64_t number_max = of->number_max > jobs->queues[0].number_max ? of->number_max : jobs->queues[0].number_max;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(sql) && err == REEVE_OK; i++) {
        err = run_for_queue(jobs, sql[i], queue, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    free(of->name);
    *of = (struct job_queue){0};
    jobs->queues[0].number_max = number_max;
    jobs->queues[0].changed = true;
    return REEVE_OK;
}
