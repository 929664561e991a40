// Jobs on disk: opening, turns, queues and classes, and all that a job's way through its states writes.
// Must not: know why a job changes state, nor read more than it needs for a write.
#include "job_store_priv.h"

#include <stdlib.h>
#include <string.h>

#define ENDED_COLUMNS "attempt,failures,deaths,added_at,started_at,ended_at,worker,error,result"
#define LIVE_COLUMNS                                                                                                   \
    "number,queue,class,state,flags,priority,attempt,failures,deaths,reconciles,added_at,run_at,started_at,"           \
    "after_left,key,worker,worker_epoch"
#define ENDED_EACH "SELECT place," ENDED_COLUMNS " FROM job_ended WHERE place>=?1 AND place<=?2 ORDER BY place DESC"
// A run: rows of job_ended that lie side by side.
#define NUMBER_MASK    "70368744177663"
#define NUMBERS_OF_RUN "(SELECT place&" NUMBER_MASK " FROM job_ended WHERE place>=?1 AND place<=?2)"
static_assert(JOB_NUMBER_MAX == 70368744177663 && JOB_NOTE_BITS == 2, "as in the statements");

static const char *const statement_sql[] = {
    [JOB_QUEUE_PUT] = "INSERT OR REPLACE INTO job_queue(number,name,number_max,completed,failed,cancelled,past)"
                      " VALUES(?1,?2,?3,?4,?5,?6,?7)",
    [JOB_ID_REMOVE] = "DELETE FROM job_id WHERE id=?1 AND queue=?2",
    [JOB_ID_OF_BODY] = "SELECT number,queue FROM job_body WHERE number>=?1",
    [JOB_QUEUE_REMOVE] = "DELETE FROM job_queue WHERE number=?1",
    [JOB_CLASS_PUT] = "INSERT OR REPLACE INTO job_class(number,queue,type,requires) VALUES(?1,?2,?3,?4)",
    [JOB_CLASS_REMOVE] = "DELETE FROM job_class WHERE number=?1",
    [JOB_CLASS_EACH] = "SELECT number,queue,type,requires FROM job_class ORDER BY number",
    [JOB_ID_ADD] = "INSERT OR IGNORE INTO job_id(id,queue,number) VALUES(?1,?2,?3)",
    [JOB_ID_FIND] = "SELECT number FROM job_id WHERE id=?1 AND queue=?2",
    [JOB_ID_REMOVE_RUN] = "DELETE FROM job_id WHERE id IN(SELECT id FROM job_past WHERE place>=?1 AND place<=?2)"
                          " AND queue=?3",
    [JOB_ID_LAST] = "SELECT id FROM job_id ORDER BY id DESC LIMIT 1",
    [JOB_ID_OF_RUN] = "SELECT place,id FROM job_past WHERE place>=?1 AND place<=?2",
    [JOB_ID_UNMERGED] = "SELECT number,id,queue FROM job_body WHERE number>=?1 AND number<=?2",
    [JOB_BODY_ADD] = "INSERT INTO job_body(number,queue,digest,id,raw) VALUES(?1,?2,?3,?4,?5)",
    [JOB_BODY_GET] = "SELECT digest,id,raw FROM job_body WHERE number=?1",
    [JOB_BODY_QUEUE] = "SELECT queue FROM job_body WHERE number=?1",
    [JOB_BODY_REMOVE] = "DELETE FROM job_body WHERE number=?1",
    [JOB_BODY_REMOVE_DENSE] = "DELETE FROM job_body WHERE number>=?1 AND number<=?2",
    [JOB_BODY_REMOVE_RUN] = "DELETE FROM job_body WHERE number IN" NUMBERS_OF_RUN,
    [JOB_PUT] = "INSERT OR REPLACE INTO job(" LIVE_COLUMNS ")"
                " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
    [JOB_REMOVE] = "DELETE FROM job WHERE number=?1",
    [JOB_EACH] = "SELECT " LIVE_COLUMNS " FROM job ORDER BY number",
    [JOB_ENDED_PUT] = "INSERT OR REPLACE INTO job_ended(place," ENDED_COLUMNS ")"
                      " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [JOB_ENDED_GET] = "SELECT place," ENDED_COLUMNS " FROM job_ended WHERE place IN(?1,?2,?3)",
    [JOB_ENDED_REMOVE] = "DELETE FROM job_ended WHERE place=?1",
    [JOB_ENDED_REMOVE_RUN] = "DELETE FROM job_ended WHERE place>=?1 AND place<=?2",
    [JOB_ENDED_EACH] = ENDED_EACH,
    [JOB_ENDED_EACH_2] = ENDED_EACH,
    [JOB_ENDED_EACH_3] = ENDED_EACH,
    [JOB_ENDED_OLDEST] = "SELECT place,ended_at FROM job_ended WHERE place>=?1 AND place<=?2 ORDER BY place",
    [JOB_PAST_FROM_RUN] =
        "INSERT OR REPLACE INTO job_past(place,state,attempt,ended_at,digest,id)"
        " SELECT b.queue<<46|b.number,?3,e.attempt,e.ended_at,b.digest,b.id"
        " FROM job_ended e CROSS JOIN job_body b ON b.number=e.place&" NUMBER_MASK " WHERE e.place>=?1 AND e.place<=?2",
    [JOB_PAST_FROM_BODY] = "INSERT OR REPLACE INTO job_past(place,state,attempt,ended_at,digest,id)"
                           " SELECT ?1,?2,?5,?3,digest,id FROM job_body WHERE number=?4",
    [JOB_PAST_GET] = "SELECT state,ended_at,digest,id,attempt FROM job_past WHERE place=?1",
    [JOB_PAST_REMOVE_RUN] = "DELETE FROM job_past WHERE place>=?1 AND place<=?2",
    [JOB_PAST_OLDEST] = "SELECT place,ended_at FROM job_past WHERE place>=?1 AND place<=?2 ORDER BY place",
    [JOB_STARTS] = "SELECT started_at FROM (SELECT started_at FROM job WHERE queue=?1 AND started_at>=?2"
                   " UNION ALL SELECT started_at FROM job_ended WHERE place>=?3 AND place<=?4 AND started_at>=?2)"
                   " ORDER BY started_at DESC LIMIT ?5",
    [JOB_START_PUT] = "INSERT OR REPLACE INTO job_start(place,at) VALUES(?1,?2)",
    [JOB_START_LAST] = "SELECT max(place) FROM job_start WHERE place>=?1 AND place<=?2",
    [JOB_START_EACH] = "SELECT at FROM job_start WHERE place>=?1 AND place<=?2 AND at>=?3 ORDER BY place DESC LIMIT ?4",
    [JOB_START_REMOVE] = "DELETE FROM job_start WHERE place>=?1 AND place<=?2",
    [JOB_NOTE_PUT] = "INSERT OR REPLACE INTO job_note(place,data) VALUES(?1,?2)",
    [JOB_NOTE_GET] = "SELECT data FROM job_note WHERE place=?1",
    [JOB_NOTES_REMOVE] = "DELETE FROM job_note WHERE place>=?1 AND place<=?2",
    [JOB_NOTES_REMOVE_RUN] = "DELETE FROM job_note WHERE place IN(SELECT (place&" NUMBER_MASK ")*4+column1"
                             " FROM job_ended,(VALUES(0),(1),(2),(3)) WHERE place>=?1 AND place<=?2)",
    [JOB_AFTER_PUT] = "INSERT OR IGNORE INTO job_after(awaited,number) VALUES(?1,?2)",
    [JOB_AFTER_MET] = "DELETE FROM job_after WHERE awaited=?1",
    [JOB_AFTER_OF] = "DELETE FROM job_after WHERE number=?1",
    [JOB_AFTER_EACH] = "SELECT number,awaited FROM job_after ORDER BY awaited,number",
    [JOB_DEDUPE_FIND] = "SELECT number FROM job_dedupe WHERE queue=?1 AND key=?2 AND until_at>?3",
    [JOB_DEDUPE_PUT] = "INSERT OR REPLACE INTO job_dedupe(queue,key,number,until_at) VALUES(?1,?2,?3,?4)",
    [JOB_DEDUPE_EXPIRE] = "DELETE FROM job_dedupe WHERE (queue,key) IN"
                          " (SELECT queue,key FROM job_dedupe WHERE queue=?1 AND until_at<=?2 LIMIT ?3)",
    [JOB_PAGES] = "PRAGMA page_count",
    [JOB_PAGES_FREE] = "PRAGMA freelist_count",
};
static_assert(REEVE_ARRAY_LEN(statement_sql) == JOB_STATEMENT_COUNT, "a text per statement");

// ---- what is remembered in memory: queues with their counters -----------------------------------------------------

static void forget_queues(struct job_store *jobs)
{
    for (size_t i = 0; i < jobs->queues_len; i++) {
        free(jobs->queues[i].name);
        jobs->queues[i] = (struct job_queue){0};
    }
}

static enum reeve_err grow_queues(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    if (number < 0 || number > JOB_QUEUE_MAX) {
        return reeve_fail(why, REEVE_CORRUPT, "store: %lld is no number of a queue", (long long)number);
    }
    if ((size_t)number < jobs->queues_len) {
        return REEVE_OK;
    }
    size_t len = ((size_t)number + 64) / 64 * 64;
    struct job_queue *queues = realloc(jobs->queues, len * sizeof *queues);
    if (queues == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "store: out of memory");
    }
    memset(queues + jobs->queues_len, 0, (len - jobs->queues_len) * sizeof *queues);
    jobs->queues = queues;
    jobs->queues_len = len;
    return REEVE_OK;
}

static enum reeve_err read_queue(struct job_store *jobs, sqlite3_stmt *stmt, struct reeve_why *why)
{
    int64_t number = sqlite3_column_int64(stmt, 0);
    const char *name = (const char *)sqlite3_column_text(stmt, 1);
    enum reeve_err err = grow_queues(jobs, number, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct job_queue *queue = &jobs->queues[number];
    queue->name = strdup(name != NULL ? name : "");
    queue->number_max = sqlite3_column_int64(stmt, 2);
    for (int i = 0; i < JOB_SLOTS; i++) {
        queue->ended[i] = sqlite3_column_int64(stmt, 3 + i);
    }
    queue->past = sqlite3_column_int64(stmt, 3 + JOB_SLOTS);
    queue->removed = name != NULL && name[0] == JOB_QUEUE_REMOVED;
    return queue->name != NULL ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "store: out of memory");
}

static enum reeve_err read_queues(struct job_store *jobs, struct reeve_why *why)
{
    static const char sql[] = "SELECT number,name,number_max,completed,failed,cancelled,past FROM job_queue";
    sqlite3_stmt *stmt = NULL;
    forget_queues(jobs);
    int rc = sqlite3_prepare_v2(jobs->store->db, sql, -1, &stmt, NULL);
    enum reeve_err err = rc == SQLITE_OK ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    while (err == REEVE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        err = read_queue(jobs, stmt, why);
    }
    if (err == REEVE_OK && rc != SQLITE_DONE) {
        err = job_store_fail(jobs, rc, "read", why);
    }
    sqlite3_finalize(stmt);
    return err;
}

static enum reeve_err read_again(struct job_store *jobs, struct reeve_why *why)
{
    int64_t notes = 0;
    int64_t afters = 0;
    enum reeve_err err = read_queues(jobs, why);
    if (err == REEVE_OK && jobs->ids_stale) {
        err = job_ids_load(jobs, why);
        jobs->ids_stale = err != REEVE_OK;
    }
    if (err == REEVE_OK) {
        err = store_pragma(jobs->store->db, "SELECT EXISTS(SELECT 1 FROM job_note)", &notes, why);
    }
    if (err == REEVE_OK) {
        err = store_pragma(jobs->store->db, "SELECT EXISTS(SELECT 1 FROM job_after)", &afters, why);
    }
    jobs->notes = notes != 0;
    jobs->afters = afters != 0;
    jobs->stale = err != REEVE_OK;
    return err;
}

void job_store_read_done(struct job_store *jobs)
{
    if (jobs->reading != NULL) {
        sqlite3_reset(jobs->reading);
        jobs->reading = NULL;
    }
}

enum reeve_err job_store_look(struct job_store *jobs, struct reeve_why *why)
{
    job_store_read_done(jobs);
    return jobs->stale ? read_again(jobs, why) : REEVE_OK;
}

struct job_queue *job_store_queue_of(struct job_store *jobs, int64_t number)
{
    bool known = number > 0 && (uint64_t)number < jobs->queues_len && jobs->queues[number].name != NULL &&
                 !jobs->queues[number].removed;
    return known ? &jobs->queues[number] : NULL;
}

// ---- turns ------------------------------------------------------------------------------------------------------

// A full file is the disk's word; memory that is full is a limit that was set.
enum reeve_err job_store_fail(struct job_store *jobs, int rc, const char *what, struct reeve_why *why)
{
    if (jobs->own && (rc & 0xff) == SQLITE_FULL) {
        return reeve_fail(why, REEVE_LIMIT, "jobs in memory have taken all that they may");
    }
    return store_sqlite_fail(jobs->store->db, rc, what, why);
}

enum reeve_err job_store_enter(struct job_store *jobs, struct reeve_why *why)
{
    job_store_read_done(jobs);
    bool first = !jobs->turn;
    enum reeve_err err = store_turn_enter(jobs->store, why);
    if (err == REEVE_OK && jobs->stale) {
        err = store_turn_break(jobs->store, read_again(jobs, why), why);
    }
    if (err == REEVE_OK && first) {
        jobs->turn = true;
        job_ids_begin(jobs);
    }
    return err;
}

enum reeve_err job_store_write(struct job_store *jobs, enum job_statement id, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[id];
    int rc = sqlite3_step(stmt);
    enum reeve_err err = REEVE_OK;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        err = store_turn_break(jobs->store, job_store_fail(jobs, rc, "write", why), why);
    }
    sqlite3_reset(stmt);
    return err;
}

static enum reeve_err refuse(struct job_store *jobs, struct reeve_why *why, const char *what, int64_t number)
{
    enum reeve_err err = reeve_fail(why, REEVE_INVALID, "store: %lld is no %s", (long long)number, what);
    return store_turn_break(jobs->store, err, why);
}

// The queue of a write, marked as changed; NULL when the write is wrong, which breaks the turn.
static struct job_queue *queue_for(struct job_store *jobs, int64_t queue, int64_t number, enum reeve_err *ret_err,
                                   struct reeve_why *why)
{
    struct job_queue *of = job_store_queue_of(jobs, queue);
    if (of == NULL) {
        *ret_err = refuse(jobs, why, "queue", queue);
        return NULL;
    }
    if (number < 1 || number > JOB_NUMBER_MAX) {
        *ret_err = refuse(jobs, why, "number of a job", number);
        return NULL;
    }
    return of;
}

enum reeve_err job_store_put_queue(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    struct job_queue *queue = &jobs->queues[number];
    sqlite3_stmt *stmt = jobs->statements[JOB_QUEUE_PUT];
    sqlite3_bind_int64(stmt, 1, number);
    sqlite3_bind_text(stmt, 2, queue->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, queue->number_max);
    for (int i = 0; i < JOB_SLOTS; i++) {
        sqlite3_bind_int64(stmt, 4 + i, queue->ended[i]);
    }
    sqlite3_bind_int64(stmt, 4 + JOB_SLOTS, queue->past);
    queue->changed = false;
    return job_store_write(jobs, JOB_QUEUE_PUT, why);
}

// Counters are written once a turn.
static enum reeve_err flush(struct store_part *part, struct reeve_why *why)
{
    struct job_store *jobs = (struct job_store *)part;
    enum reeve_err err = REEVE_OK;
    job_store_read_done(jobs);
    if (!jobs->turn) {
        return REEVE_OK; // it wrote nothing of jobs
    }
    err = job_ids_flush(jobs, why);
    for (size_t i = 0; i < jobs->queues_len && err == REEVE_OK; i++) {
        if (jobs->queues[i].changed) {
            err = job_store_put_queue(jobs, (int64_t)i, why);
        }
    }
    return err;
}

static void committed(struct store_part *part)
{
    struct job_store *jobs = (struct job_store *)part;
    jobs->turn = false;
}

static void undone(struct store_part *part)
{
    struct job_store *jobs = (struct job_store *)part;
    job_store_read_done(jobs);
    if (jobs->turn) {
        jobs->stale = true;
        jobs->ids_stale = !job_ids_undo(jobs);
    }
    jobs->turn = false;
}

enum reeve_err job_store_commit(struct job_store *jobs, struct reeve_why *why)
{
    return jobs->own ? store_commit(jobs->store, why) : REEVE_OK;
}

void job_store_undo(struct job_store *jobs)
{
    if (jobs->own) {
        store_undo(jobs->store);
    }
}

// ---- opening ----------------------------------------------------------------------------------------------------

static enum reeve_err prepare(struct job_store *jobs, struct reeve_why *why)
{
    for (size_t i = 0; i < JOB_STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(jobs->store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &jobs->statements[i], NULL);
        if (rc != SQLITE_OK) {
            return job_store_fail(jobs, rc, "schema", why);
        }
    }
    return store_pragma(jobs->store->db, "PRAGMA page_size", &jobs->page_size, why);
}

static enum reeve_err open_in(struct store *store, bool own, struct job_store **ret, struct reeve_why *why)
{
    struct job_store *jobs = calloc(1, sizeof *jobs);
    if (jobs == NULL) {
        if (own) {
            store_close(store);
        }
        return reeve_fail(why, REEVE_NOMEM, "store: out of memory");
    }
    *jobs = (struct job_store){.part = {.flush = flush, .committed = committed, .undone = undone},
                               .store = store,
                               .own = own,
                               .ids_stale = true};
    REEVE_ASSERT(store->part == NULL);
    store->part = &jobs->part;
    enum reeve_err err = prepare(jobs, why);
    if (err == REEVE_OK) {
        err = read_again(jobs, why);
    }
    if (err != REEVE_OK) {
        job_store_close(jobs);
        return err;
    }
    *ret = jobs;
    return REEVE_OK;
}

enum reeve_err job_store_open(struct store *store, struct job_store **ret, struct reeve_why *why)
{
    return open_in(store, false, ret, why);
}

enum reeve_err job_store_open_memory(int64_t bytes_max, struct job_store **ret, struct reeve_why *why)
{
    struct store *store = NULL;
    enum reeve_err err = store_open_memory(bytes_max / STORE_PAGE_SIZE, &store, why);
    return err == REEVE_OK ? open_in(store, true, ret, why) : err;
}

void job_store_close(struct job_store *jobs)
{
    if (jobs == NULL) {
        return;
    }
    for (size_t i = 0; i < JOB_STATEMENT_COUNT; i++) {
        sqlite3_finalize(jobs->statements[i]);
    }
    jobs->store->part = NULL;
    if (jobs->own) {
        store_close(jobs->store);
    }
    job_ids_done(jobs);
    forget_queues(jobs);
    free(jobs->queues);
    free(jobs);
}

// ---- queues and classes -----------------------------------------------------------------------------------------

// Behind the last one while there is room: a number that was in use just now is best left alone.
static int64_t free_number(const struct job_store *jobs)
{
    int64_t last = 0;
    for (size_t i = 1; i < jobs->queues_len; i++) {
        last = jobs->queues[i].name != NULL ? (int64_t)i : last;
    }
    if (last < JOB_QUEUE_MAX) {
        return last + 1;
    }
    for (size_t i = 1; i < jobs->queues_len; i++) {
        if (jobs->queues[i].name == NULL) {
            return (int64_t)i;
        }
    }
    return 0;
}

static enum reeve_err make_queue(struct job_store *jobs, const char *name, int64_t *ret, struct reeve_why *why)
{
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    int64_t number = free_number(jobs);
    if (number == 0) {
        return reeve_fail(why, REEVE_LIMIT, "store: there are %d queues already", JOB_QUEUE_MAX);
    }
    err = grow_queues(jobs, number, why);
    char *copy = err == REEVE_OK ? strdup(name) : NULL;
    if (copy == NULL) {
        return store_turn_break(jobs->store, reeve_fail(why, REEVE_NOMEM, "store: out of memory"), why);
    }
    jobs->queues[number] = (struct job_queue){.name = copy};
    err = job_store_put_queue(jobs, number, why);
    if (err == REEVE_OK) {
        *ret = number;
    }
    return err;
}

enum reeve_err job_store_queue(struct job_store *jobs, const char *name, int64_t *ret, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_look(jobs, why);
    for (size_t i = 1; err == REEVE_OK && i < jobs->queues_len; i++) {
        if (jobs->queues[i].name != NULL && strcmp(jobs->queues[i].name, name) == 0) {
            *ret = (int64_t)i;
            return REEVE_OK;
        }
    }
    return err == REEVE_OK ? make_queue(jobs, name, ret, why) : err;
}

enum reeve_err job_store_class_put(struct job_store *jobs, const struct job_class_row *row, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = jobs->statements[JOB_CLASS_PUT];
    sqlite3_bind_int64(stmt, 1, row->number);
    sqlite3_bind_int64(stmt, 2, row->queue);
    job_bind_text(stmt, 3, row->type);
    job_bind_blob(stmt, 4, row->requires);
    return job_store_write(jobs, JOB_CLASS_PUT, why);
}

enum reeve_err job_store_class_remove(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_bind_int64(jobs->statements[JOB_CLASS_REMOVE], 1, number);
    return job_store_write(jobs, JOB_CLASS_REMOVE, why);
}

// ---- a job's way ------------------------------------------------------------------------------------------------

static enum reeve_err add_body(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id,
                               struct reeve_span body, uint64_t digest, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_BODY_ADD];
    sqlite3_bind_int64(stmt, 1, number);
    sqlite3_bind_int64(stmt, 2, queue);
    sqlite3_bind_int64(stmt, 3, (int64_t)digest);
    job_bind_text(stmt, 4, id);
    job_bind_blob(stmt, 5, body);
    return job_store_write(jobs, JOB_BODY_ADD, why);
}

enum reeve_err job_store_add(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id,
                             struct reeve_span body, uint64_t digest, int64_t *ret_known, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    struct job_queue *of = err == REEVE_OK ? queue_for(jobs, queue, number, &err, why) : NULL;
    if (of == NULL) {
        return err;
    }
    err = job_ids_add(jobs, queue, number, id, ret_known, why);
    if (err != REEVE_OK) {
        return err;
    }
    of->number_max = number > of->number_max ? number : of->number_max;
    of->changed = true;
    return add_body(jobs, queue, number, id, body, digest, why);
}

static enum reeve_err put_row(struct job_store *jobs, const struct job_row *row, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_PUT];
    const int64_t numbers[] = {row->number,   row->queue,   row->class,      (int64_t)row->state, row->flags,
                               row->priority, row->attempt, row->failures,   row->deaths,         row->reconciles,
                               row->added_at, row->run_at,  row->started_at, row->after_left};
    int column = 1;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(numbers); i++) {
        sqlite3_bind_int64(stmt, column++, numbers[i]);
    }
    job_bind_text(stmt, column++, row->key);
    job_bind_text(stmt, column++, row->worker);
    sqlite3_bind_int64(stmt, column, row->worker_epoch);
    return job_store_write(jobs, JOB_PUT, why);
}

enum reeve_err job_store_put(struct job_store *jobs, const struct job_row *row, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK || queue_for(jobs, row->queue, row->number, &err, why) == NULL) {
        return err;
    }
    REEVE_ASSERT(job_lives(row->state));
    return put_row(jobs, row, why);
}

static enum reeve_err remove_notes(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    if (!jobs->notes) {
        return REEVE_OK;
    }
    sqlite3_bind_int64(jobs->statements[JOB_NOTES_REMOVE], 1, job_note_place(number, 0));
    sqlite3_bind_int64(jobs->statements[JOB_NOTES_REMOVE], 2, job_note_place(number, JOB_NOTE_COUNT - 1));
    return job_store_write(jobs, JOB_NOTES_REMOVE, why);
}

enum reeve_err job_store_remove_body(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    sqlite3_bind_int64(jobs->statements[JOB_BODY_REMOVE], 1, number);
    enum reeve_err err = job_store_write(jobs, JOB_BODY_REMOVE, why);
    return err == REEVE_OK ? remove_notes(jobs, number, why) : err;
}

static enum reeve_err remove_ended(struct job_store *jobs, int64_t place, struct reeve_why *why)
{
    sqlite3_bind_int64(jobs->statements[JOB_ENDED_REMOVE], 1, place);
    return job_store_write(jobs, JOB_ENDED_REMOVE, why);
}

static enum reeve_err put_ended(struct job_store *jobs, const struct job_ended_row *row, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_ENDED_PUT];
    sqlite3_bind_int64(stmt, 1, job_ended_place(row->queue, row->state, row->number));
    sqlite3_bind_int64(stmt, 2, row->attempt);
    sqlite3_bind_int64(stmt, 3, row->failures);
    sqlite3_bind_int64(stmt, 4, row->deaths);
    sqlite3_bind_int64(stmt, 5, row->added_at);
    sqlite3_bind_int64(stmt, 6, row->started_at);
    sqlite3_bind_int64(stmt, 7, row->ended_at);
    job_bind_text(stmt, 8, row->worker);
    job_bind_text(stmt, 9, row->error);
    job_bind_blob(stmt, 10, row->result);
    return job_store_write(jobs, JOB_ENDED_PUT, why);
}

static enum reeve_err put_past(struct job_store *jobs, const struct job_ended_row *row, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_PAST_FROM_BODY];
    sqlite3_bind_int64(stmt, 1, job_past_place(row->queue, row->number));
    sqlite3_bind_int64(stmt, 2, (int64_t)row->state);
    sqlite3_bind_int64(stmt, 3, row->ended_at);
    sqlite3_bind_int64(stmt, 4, row->number);
    sqlite3_bind_int64(stmt, 5, row->attempt);
    enum reeve_err err = job_store_write(jobs, JOB_PAST_FROM_BODY, why);
    return err == REEVE_OK ? job_store_remove_body(jobs, row->number, why) : err;
}

enum reeve_err job_store_remove_live(struct job_store *jobs, int64_t number, struct reeve_why *why)
{
    sqlite3_bind_int64(jobs->statements[JOB_REMOVE], 1, number);
    enum reeve_err err = job_store_write(jobs, JOB_REMOVE, why);
    if (err != REEVE_OK || !jobs->afters) {
        return err;
    }
    sqlite3_bind_int64(jobs->statements[JOB_AFTER_OF], 1, number); // what it waited for itself
    return job_store_write(jobs, JOB_AFTER_OF, why);
}

enum reeve_err job_store_end(struct job_store *jobs, const struct job_ended_row *row, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    struct job_queue *of = err == REEVE_OK ? queue_for(jobs, row->queue, row->number, &err, why) : NULL;
    if (of == NULL) {
        return err;
    }
    REEVE_ASSERT(!job_lives(row->state));
    err = job_store_remove_live(jobs, row->number, why);
    if (err != REEVE_OK) {
        return err;
    }
    of->changed = true;
    if (row->retained) {
        of->ended[row->state - REEVE_JOB_COMPLETED]++;
        return put_ended(jobs, row, why);
    }
    of->past++;
    return put_past(jobs, row, why);
}

enum reeve_err job_store_revive(struct job_store *jobs, const struct job_row *row, struct reeve_why *why)
{
    struct reeve_why own;
    struct job_ended_row ended;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    struct job_queue *of = err == REEVE_OK ? queue_for(jobs, row->queue, row->number, &err, why) : NULL;
    if (of == NULL) {
        return err;
    }
    REEVE_ASSERT(job_lives(row->state));
    err = job_store_ended_in(jobs, row->queue, row->number, &ended, why);
    if (err != REEVE_OK) {
        return err == REEVE_NOENT ? err : store_turn_break(jobs->store, err, why);
    }
    if (!ended.retained) {
        return reeve_fail(why, REEVE_NOENT, "the job's body is no longer kept");
    }
    err = remove_ended(jobs, job_ended_place(row->queue, ended.state, row->number), why);
    if (err != REEVE_OK) {
        return err;
    }
    of->ended[ended.state - REEVE_JOB_COMPLETED]--;
    of->changed = true;
    return put_row(jobs, row, why);
}

// ---- starts -----------------------------------------------------------------------------------------------------

#define STARTS_EXTRA 64 // so many more are kept, and then removed at once

static enum reeve_err last_start(struct job_store *jobs, int64_t queue, int64_t *ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_START_LAST];
    sqlite3_bind_int64(stmt, 1, job_past_place(queue, 0));
    sqlite3_bind_int64(stmt, 2, job_past_place(queue, JOB_NUMBER_MAX));
    int rc = sqlite3_step(stmt);
    enum reeve_err err = rc == SQLITE_ROW ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    *ret = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) & JOB_NUMBER_MAX : 0; // none: NULL, which is 0
    sqlite3_reset(stmt);
    return store_turn_break(jobs->store, err, why);
}

static enum reeve_err trim_starts(struct job_store *jobs, int64_t queue, int64_t last, struct reeve_why *why)
{
    if (last < 1) {
        return REEVE_OK;
    }
    sqlite3_bind_int64(jobs->statements[JOB_START_REMOVE], 1, job_past_place(queue, 0));
    sqlite3_bind_int64(jobs->statements[JOB_START_REMOVE], 2, job_past_place(queue, last));
    return job_store_write(jobs, JOB_START_REMOVE, why);
}

enum reeve_err job_store_started(struct job_store *jobs, int64_t queue, int64_t at, int64_t keep, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    struct job_queue *of = err == REEVE_OK ? queue_for(jobs, queue, 1, &err, why) : NULL;
    if (of == NULL) {
        return err;
    }
    if (of->starts == 0) {
        err = last_start(jobs, queue, &of->starts, why);
    }
    if (err == REEVE_OK) {
        sqlite3_bind_int64(jobs->statements[JOB_START_PUT], 1, job_past_place(queue, ++of->starts));
        sqlite3_bind_int64(jobs->statements[JOB_START_PUT], 2, at);
        err = job_store_write(jobs, JOB_START_PUT, why);
    }
    bool many = of->starts % STARTS_EXTRA == 0;
    return err == REEVE_OK && many ? trim_starts(jobs, queue, of->starts - keep, why) : err;
}

// ---- notes, dependencies, dedupe --------------------------------------------------------------------------------

enum reeve_err job_store_note_put(struct job_store *jobs, int64_t number, enum job_note note, struct reeve_span data,
                                  struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (number < 1 || number > JOB_NUMBER_MAX) {
        return refuse(jobs, why, "number of a job", number);
    }
    jobs->notes = true;
    sqlite3_bind_int64(jobs->statements[JOB_NOTE_PUT], 1, job_note_place(number, (int)note));
    job_bind_blob(jobs->statements[JOB_NOTE_PUT], 2, data);
    return job_store_write(jobs, JOB_NOTE_PUT, why);
}

enum reeve_err job_store_after_put(struct job_store *jobs, int64_t number, int64_t on, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    jobs->afters = true;
    sqlite3_bind_int64(jobs->statements[JOB_AFTER_PUT], 1, on);
    sqlite3_bind_int64(jobs->statements[JOB_AFTER_PUT], 2, number);
    return job_store_write(jobs, JOB_AFTER_PUT, why);
}

enum reeve_err job_store_after_met(struct job_store *jobs, int64_t on, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK || !jobs->afters) {
        return err;
    }
    sqlite3_bind_int64(jobs->statements[JOB_AFTER_MET], 1, on);
    return job_store_write(jobs, JOB_AFTER_MET, why);
}

enum reeve_err job_store_dedupe_put(struct job_store *jobs, int64_t queue, struct reeve_span key, int64_t number,
                                    int64_t until_at, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = job_store_enter(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = jobs->statements[JOB_DEDUPE_PUT];
    sqlite3_bind_int64(stmt, 1, queue);
    job_bind_text(stmt, 2, key);
    sqlite3_bind_int64(stmt, 3, number);
    sqlite3_bind_int64(stmt, 4, until_at);
    return job_store_write(jobs, JOB_DEDUPE_PUT, why);
}
