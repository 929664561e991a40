// Jobs on disk: everything that is only read. Spans point into SQLite's rows until the next call.
// Must not: write, other than through the calls of job_store.c.
#include "job_store_priv.h"

#include <stdlib.h>
#include <string.h>

// The row of a statement that is read by the caller; it is reset when the next call begins.
static enum reeve_err one_row(struct job_store *jobs, enum job_statement id, struct reeve_why *why)
{
    int rc = sqlite3_step(jobs->statements[id]);
    if (rc == SQLITE_ROW) {
        jobs->reading = jobs->statements[id];
        return REEVE_OK;
    }
    enum reeve_err err = rc == SQLITE_DONE ? REEVE_NOENT : job_store_fail(jobs, rc, "read", why);
    sqlite3_reset(jobs->statements[id]);
    return err;
}

static sqlite3_stmt *fresh(struct job_store *jobs, enum job_statement id)
{
    job_store_read_done(jobs);
    return jobs->statements[id];
}

static enum reeve_err not_there(enum reeve_err err, const char *what, struct reeve_why *why)
{
    return err == REEVE_NOENT ? reeve_fail(why, err, "store: no such %s", what) : err;
}

// ---- counts, classes, live jobs ---------------------------------------------------------------------------------

static int64_t pages(struct job_store *jobs, enum job_statement id)
{
    sqlite3_stmt *stmt = fresh(jobs, id);
    int64_t number = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return number;
}

int64_t job_store_bytes(struct job_store *jobs)
{
    return (pages(jobs, JOB_PAGES) - pages(jobs, JOB_PAGES_FREE)) * jobs->page_size;
}

enum reeve_err job_store_number_max(struct job_store *jobs, int64_t *ret, struct reeve_why *why)
{
    int64_t number = 0;
    enum reeve_err err = job_store_look(jobs, why);
    if (err != REEVE_OK) {
        return err;
    }
    for (size_t i = 0; i < jobs->queues_len; i++) {
        number = jobs->queues[i].number_max > number ? jobs->queues[i].number_max : number;
    }
    *ret = number;
    return REEVE_OK;
}

enum reeve_err job_store_class_each(struct job_store *jobs, void (*each)(const struct job_class_row *row, void *arg),
                                    void *arg, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_CLASS_EACH);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const struct job_class_row row = {.number = sqlite3_column_int64(stmt, 0),
                                          .queue = sqlite3_column_int64(stmt, 1),
                                          .type = job_column(stmt, 2),
                                          .requires = job_column(stmt, 3)};
        each(&row, arg);
    }
    enum reeve_err err = rc == SQLITE_DONE ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    sqlite3_reset(stmt);
    return err;
}

static enum reeve_err live_row(sqlite3_stmt *stmt, struct job_row *ret, struct reeve_why *why)
{
    int64_t state = sqlite3_column_int64(stmt, 3);
    if (!job_lives(state)) {
        return reeve_fail(why, REEVE_CORRUPT, "store: job %lld is in no state that a live job has",
                          (long long)sqlite3_column_int64(stmt, 0));
    }
    *ret = (struct job_row){.number = sqlite3_column_int64(stmt, 0),
                            .queue = sqlite3_column_int64(stmt, 1),
                            .class = sqlite3_column_int64(stmt, 2),
                            .state = (enum reeve_job_state)state,
                            .flags = (unsigned)sqlite3_column_int64(stmt, 4),
                            .priority = (unsigned)sqlite3_column_int64(stmt, 5),
                            .attempt = sqlite3_column_int64(stmt, 6),
                            .failures = sqlite3_column_int64(stmt, 7),
                            .deaths = sqlite3_column_int64(stmt, 8),
                            .reconciles = sqlite3_column_int64(stmt, 9),
                            .added_at = sqlite3_column_int64(stmt, 10),
                            .run_at = sqlite3_column_int64(stmt, 11),
                            .started_at = sqlite3_column_int64(stmt, 12),
                            .after_left = sqlite3_column_int64(stmt, 13),
                            .key = job_column(stmt, 14),
                            .worker = job_column(stmt, 15),
                            .worker_epoch = sqlite3_column_int64(stmt, 16)};
    return REEVE_OK;
}

static bool of_removed(const struct job_store *jobs, int64_t queue)
{
    return queue > 0 && (uint64_t)queue < jobs->queues_len && jobs->queues[queue].removed;
}

enum reeve_err job_store_each_live(struct job_store *jobs, void (*each)(const struct job_row *row, void *arg),
                                   void *arg, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_EACH);
    enum reeve_err err = REEVE_OK;
    int rc = SQLITE_DONE;
    while (err == REEVE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct job_row row;
        err = live_row(stmt, &row, why);
        if (err == REEVE_OK && !of_removed(jobs, row.queue)) {
            each(&row, arg);
        }
    }
    if (err == REEVE_OK && rc != SQLITE_DONE) {
        err = job_store_fail(jobs, rc, "read", why);
    }
    sqlite3_reset(stmt);
    return err;
}

// ---- one job ----------------------------------------------------------------------------------------------------

enum reeve_err job_store_find(struct job_store *jobs, int64_t queue, struct reeve_span id, int64_t *ret,
                              struct reeve_why *why)
{
    enum reeve_err err = job_store_look(jobs, why);
    if (err == REEVE_OK) {
        err = job_ids_find(jobs, queue, id, ret, why);
    }
    if (err == REEVE_OK) {
        jobs->queue_hint = queue;
    }
    return not_there(err, "job", why);
}

static enum reeve_err past_row(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_PAST_GET);
    sqlite3_bind_int64(stmt, 1, job_past_place(queue, number));
    return one_row(jobs, JOB_PAST_GET, why);
}

// Which queue it was in is not said, and there is one row for each number: the queue of the last id that was found is
// tried first, since whoever asks for such a job has its number from there.
static enum reeve_err past_anywhere(struct job_store *jobs, int64_t number, int64_t *ret_queue, struct reeve_why *why)
{
    enum reeve_err err = job_store_look(jobs, why);
    if (err != REEVE_OK || number < 1 || number > JOB_NUMBER_MAX) {
        return err == REEVE_OK ? REEVE_NOENT : err;
    }
    *ret_queue = jobs->queue_hint;
    err = past_row(jobs, jobs->queue_hint, number, why);
    for (size_t i = 1; i < jobs->queues_len && err == REEVE_NOENT; i++) {
        if (jobs->queues[i].past > 0) {
            *ret_queue = (int64_t)i;
            err = past_row(jobs, (int64_t)i, number, why);
        }
    }
    return err;
}

enum reeve_err job_store_body(struct job_store *jobs, int64_t number, struct job_body *ret, struct reeve_why *why)
{
    int64_t queue = 0;
    sqlite3_stmt *stmt = fresh(jobs, JOB_BODY_GET);
    sqlite3_bind_int64(stmt, 1, number);
    enum reeve_err err = one_row(jobs, JOB_BODY_GET, why);
    if (err == REEVE_OK) {
        *ret = (struct job_body){
            .digest = (uint64_t)sqlite3_column_int64(stmt, 0), .id = job_column(stmt, 1), .raw = job_column(stmt, 2)};
        return REEVE_OK;
    }
    if (err == REEVE_NOENT) {
        err = past_anywhere(jobs, number, &queue, why);
    }
    if (err == REEVE_OK) {
        stmt = jobs->statements[JOB_PAST_GET];
        *ret = (struct job_body){.digest = (uint64_t)sqlite3_column_int64(stmt, 2), .id = job_column(stmt, 3)};
    }
    return not_there(err, "job", why);
}

enum reeve_err job_store_queue_of_number(struct job_store *jobs, int64_t number, int64_t *ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_BODY_QUEUE);
    sqlite3_bind_int64(stmt, 1, number);
    enum reeve_err err = one_row(jobs, JOB_BODY_QUEUE, why);
    if (err == REEVE_OK) {
        *ret = sqlite3_column_int64(stmt, 0);
        job_store_read_done(jobs);
        return REEVE_OK;
    }
    return err == REEVE_NOENT ? past_anywhere(jobs, number, ret, why) : err;
}

// ---- ended jobs -------------------------------------------------------------------------------------------------

static void ended_row(sqlite3_stmt *stmt, struct job_ended_row *ret)
{
    int64_t place = sqlite3_column_int64(stmt, 0);
    int slot = (int)(place >> JOB_NUMBER_BITS & ((1 << JOB_SLOT_BITS) - 1));
    *ret = (struct job_ended_row){.number = place & JOB_NUMBER_MAX,
                                  .queue = place >> (JOB_NUMBER_BITS + JOB_SLOT_BITS),
                                  .state = (enum reeve_job_state)(REEVE_JOB_COMPLETED + slot % JOB_SLOTS),
                                  .attempt = sqlite3_column_int64(stmt, 1),
                                  .failures = sqlite3_column_int64(stmt, 2),
                                  .deaths = sqlite3_column_int64(stmt, 3),
                                  .added_at = sqlite3_column_int64(stmt, 4),
                                  .started_at = sqlite3_column_int64(stmt, 5),
                                  .ended_at = sqlite3_column_int64(stmt, 6),
                                  .worker = job_column(stmt, 7),
                                  .error = job_column(stmt, 8),
                                  .result = job_column(stmt, 9),
                                  .retained = true};
}

static enum reeve_err ended_in_past(struct job_store *jobs, int64_t queue, int64_t number, struct job_ended_row *ret,
                                    struct reeve_why *why)
{
    sqlite3_stmt *stmt = jobs->statements[JOB_PAST_GET];
    int64_t state = sqlite3_column_int64(stmt, 0);
    if (state < REEVE_JOB_COMPLETED || state >= REEVE_JOB_STATE_COUNT) {
        return reeve_fail(why, REEVE_CORRUPT, "store: job %lld ended in no state that there is", (long long)number);
    }
    *ret = (struct job_ended_row){.number = number,
                                  .queue = queue,
                                  .state = (enum reeve_job_state)state,
                                  .attempt = sqlite3_column_int64(stmt, 4),
                                  .ended_at = sqlite3_column_int64(stmt, 1)};
    return REEVE_OK;
}

enum reeve_err job_store_ended_in(struct job_store *jobs, int64_t queue, int64_t number, struct job_ended_row *ret,
                                  struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_ENDED_GET);
    for (int slot = 0; slot < JOB_SLOTS; slot++) {
        int64_t place = job_ended_place(queue, (enum reeve_job_state)(REEVE_JOB_COMPLETED + slot), number);
        sqlite3_bind_int64(stmt, 1 + slot, place);
    }
    enum reeve_err err = one_row(jobs, JOB_ENDED_GET, why);
    if (err == REEVE_OK) {
        ended_row(stmt, ret);
        return REEVE_OK;
    }
    if (err == REEVE_NOENT) {
        err = past_row(jobs, queue, number, why);
    }
    return err == REEVE_OK ? ended_in_past(jobs, queue, number, ret, why) : not_there(err, "ended job", why);
}

enum reeve_err job_store_ended(struct job_store *jobs, int64_t number, struct job_ended_row *ret, struct reeve_why *why)
{
    int64_t queue = 0;
    enum reeve_err err = job_store_queue_of_number(jobs, number, &queue, why);
    return err == REEVE_OK ? job_store_ended_in(jobs, queue, number, ret, why) : not_there(err, "ended job", why);
}

// One cursor for each state, the highest number of them next.
struct ended_cursors {
    sqlite3_stmt *stmts[JOB_SLOTS];
    int64_t numbers[JOB_SLOTS]; // 0 = at its end
};

static enum reeve_err step_cursor(struct job_store *jobs, struct ended_cursors *cursors, int slot,
                                  struct reeve_why *why)
{
    int rc = sqlite3_step(cursors->stmts[slot]);
    cursors->numbers[slot] = rc == SQLITE_ROW ? sqlite3_column_int64(cursors->stmts[slot], 0) & JOB_NUMBER_MAX : 0;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
}

static enum reeve_err open_cursors(struct job_store *jobs, struct ended_cursors *cursors, int64_t queue,
                                   enum reeve_job_state state, int64_t last, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (int slot = 0; slot < JOB_SLOTS && err == REEVE_OK; slot++) {
        enum reeve_job_state of = (enum reeve_job_state)(REEVE_JOB_COMPLETED + slot);
        if (state != REEVE_JOB_STATE_COUNT && state != of) {
            continue;
        }
        cursors->stmts[slot] = fresh(jobs, JOB_ENDED_EACH + (unsigned)slot);
        sqlite3_bind_int64(cursors->stmts[slot], 1, job_ended_place(queue, of, 0));
        sqlite3_bind_int64(cursors->stmts[slot], 2, job_ended_place(queue, of, last));
        err = step_cursor(jobs, cursors, slot, why);
    }
    return err;
}

static int newest_cursor(const struct ended_cursors *cursors) // < 0: all are at their ends
{
    int newest = -1;
    for (int slot = 0; slot < JOB_SLOTS; slot++) {
        if (cursors->numbers[slot] > (newest < 0 ? 0 : cursors->numbers[newest])) {
            newest = slot;
        }
    }
    return newest;
}

enum reeve_err job_store_each_ended(struct job_store *jobs, int64_t queue, enum reeve_job_state state, int64_t before,
                                    int64_t limit, bool (*each)(const struct job_ended_row *row, void *arg), void *arg,
                                    struct reeve_why *why)
{
    struct ended_cursors cursors = {0};
    int64_t last = before > 0 && before <= JOB_NUMBER_MAX ? before - 1 : JOB_NUMBER_MAX;
    enum reeve_err err = open_cursors(jobs, &cursors, queue, state, last, why);
    for (int slot; err == REEVE_OK && limit > 0 && (slot = newest_cursor(&cursors)) >= 0; limit--) {
        struct job_ended_row row;
        ended_row(cursors.stmts[slot], &row);
        if (!each(&row, arg)) {
            break;
        }
        err = step_cursor(jobs, &cursors, slot, why);
    }
    for (int slot = 0; slot < JOB_SLOTS; slot++) {
        sqlite3_reset(cursors.stmts[slot]);
    }
    return err;
}

enum reeve_err job_store_count_ended(struct job_store *jobs, int64_t queue, struct job_ended_counts *ret,
                                     struct reeve_why *why)
{
    struct job_ended_counts counts = {0};
    enum reeve_err err = job_store_look(jobs, why);
    const struct job_queue *of = err == REEVE_OK ? job_store_queue_of(jobs, queue) : NULL;
    for (int slot = 0; of != NULL && slot < JOB_SLOTS; slot++) {
        counts.by_state[REEVE_JOB_COMPLETED + slot] = of->ended[slot];
        counts.ids += of->ended[slot];
    }
    counts.ids += of != NULL ? of->past : 0;
    if (err == REEVE_OK) {
        *ret = counts;
    }
    return err;
}

static enum reeve_err read_times(struct job_store *jobs, sqlite3_stmt *stmt, int64_t *times, size_t max,
                                 size_t *ret_len, struct reeve_why *why)
{
    size_t len = 0;
    int rc = SQLITE_DONE;
    while (len < max && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        times[len++] = sqlite3_column_int64(stmt, 0);
    }
    enum reeve_err err = rc == SQLITE_DONE || rc == SQLITE_ROW ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    sqlite3_reset(stmt);
    *ret_len = len;
    return err;
}

static enum reeve_err starts_told(struct job_store *jobs, int64_t queue, int64_t since, int64_t *times, size_t max,
                                  size_t *ret_len, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_START_EACH);
    sqlite3_bind_int64(stmt, 1, job_past_place(queue, 0));
    sqlite3_bind_int64(stmt, 2, job_past_place(queue, JOB_NUMBER_MAX));
    sqlite3_bind_int64(stmt, 3, since);
    sqlite3_bind_int64(stmt, 4, (int64_t)max);
    return read_times(jobs, stmt, times, max, ret_len, why);
}

static enum reeve_err starts_of_jobs(struct job_store *jobs, int64_t queue, int64_t since, int64_t *times, size_t max,
                                     size_t *ret_len, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_STARTS);
    sqlite3_bind_int64(stmt, 1, queue);
    sqlite3_bind_int64(stmt, 2, since > 0 ? since : 1); // 0 = never
    sqlite3_bind_int64(stmt, 3, job_ended_place(queue, REEVE_JOB_COMPLETED, 0));
    sqlite3_bind_int64(stmt, 4, job_ended_place(queue, REEVE_JOB_CANCELLED, JOB_NUMBER_MAX));
    sqlite3_bind_int64(stmt, 5, (int64_t)max);
    return read_times(jobs, stmt, times, max, ret_len, why);
}

enum reeve_err job_store_starts(struct job_store *jobs, int64_t queue, int64_t since, int64_t *times, size_t max,
                                size_t *ret_len, struct reeve_why *why)
{
    size_t len = 0;
    enum reeve_err err = starts_told(jobs, queue, since, times, max, &len, why);
    if (err == REEVE_OK && len == 0) {
        err = starts_of_jobs(jobs, queue, since, times, max, &len, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    for (size_t i = 0; i < len / 2; i++) {
        int64_t time = times[i];
        times[i] = times[len - 1 - i];
        times[len - 1 - i] = time;
    }
    *ret_len = len;
    return REEVE_OK;
}

// ---- notes, dependencies, dedupe --------------------------------------------------------------------------------

enum reeve_err job_store_note(struct job_store *jobs, int64_t number, enum job_note note, struct reeve_span *ret,
                              struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_NOTE_GET);
    sqlite3_bind_int64(stmt, 1, job_note_place(number, (int)note));
    enum reeve_err err = one_row(jobs, JOB_NOTE_GET, why);
    if (err == REEVE_OK) {
        *ret = job_column(stmt, 0);
    }
    return not_there(err, "note", why);
}

enum reeve_err job_store_after_each(struct job_store *jobs, void (*each)(int64_t number, int64_t on, void *arg),
                                    void *arg, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_AFTER_EACH);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        each(sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1), arg);
    }
    enum reeve_err err = rc == SQLITE_DONE ? REEVE_OK : job_store_fail(jobs, rc, "read", why);
    sqlite3_reset(stmt);
    return err;
}

enum reeve_err job_store_dedupe_find(struct job_store *jobs, int64_t queue, struct reeve_span key, int64_t now,
                                     int64_t *ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = fresh(jobs, JOB_DEDUPE_FIND);
    sqlite3_bind_int64(stmt, 1, queue);
    job_bind_text(stmt, 2, key);
    sqlite3_bind_int64(stmt, 3, now);
    enum reeve_err err = one_row(jobs, JOB_DEDUPE_FIND, why);
    if (err == REEVE_OK) {
        *ret = sqlite3_column_int64(stmt, 0);
        job_store_read_done(jobs);
    }
    return not_there(err, "key", why);
}
