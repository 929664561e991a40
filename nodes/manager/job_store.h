// Jobs on disk: what the queues must not forget, in typed tables; a part of the manager's store and of its turn (store.h). The
// manager keeps a small record of each live job in memory; bodies, checkpoints, results and whatever ended are only here.
// An instance is either part of the manager's file (durability `commit`), or a database in memory of the same form
// (durability `memory`). Nothing above this header knows SQL. Must not: know why a job changes state.
//
//   job           one row per live job: number, state, what dispatch needs        small rows, written often
//   job_body      number -> the job as it was enqueued                            written once
//   job_id        (queue, id) -> number, as long as the id is known [job-10]; the newest are not in it yet but in memory
//   job_ended     one row per ended job that is retained
//   job_past      one small row per ended job of which only the id is known any more
//   job_note      number -> checkpoint, result, error, progress, log lines
//   job_class     what jobs of one kind ask of a worker (type, requires), interned
//   job_start     when jobs of a queue with a rate were started: as many as the rate counts
//   job_after     dependencies that are not met
//   job_dedupe    (queue, key) -> number, until
//
// Numbers are given by the caller, grow, and are never used twice: rows of one time lie side by side.
// Errors of writing break the turn, as in store.h: nothing more is written, store_commit() tells.
#ifndef REEVE_MANAGER_JOB_STORE_H
#define REEVE_MANAGER_JOB_STORE_H

#include "store.h"

#include <reeve/job.h>

struct job_store;

// Part of `store` and of its turns.
enum reeve_err job_store_open(struct store *store, struct job_store **ret, struct reeve_why *why);
// In memory, `bytes_max` of it (LIMIT above). Its turns end by job_store_commit().
enum reeve_err job_store_open_memory(int64_t bytes_max, struct job_store **ret, struct reeve_why *why);
void job_store_close(struct job_store *jobs); // before store_close()
enum reeve_err job_store_commit(struct job_store *jobs, struct reeve_why *why); // of the one in memory; else OK: store_commit() does it
void job_store_undo(struct job_store *jobs); // of the one in memory: what this turn wrote; else store_undo() does it
int64_t job_store_bytes(struct job_store *jobs); // in use, roughly: pages * page size

// ---- queues and classes: interned, so that rows are small ----------------------------------------------------------
// The number of a queue's name, made when it is new. Never reused while a row has it.
enum reeve_err job_store_queue(struct job_store *jobs, const char *name, int64_t *ret, struct reeve_why *why);
enum reeve_err job_store_queue_remove(struct job_store *jobs, int64_t queue, struct reeve_why *why); // with all that is in it;
// its name is free and its jobs are not seen at once, their rows go in steps with job_store_retain(), of any queue.
struct job_class_row {
    int64_t number, queue;
    struct reeve_span type, requires; // requires: msgpack
};
enum reeve_err job_store_class_put(struct job_store *jobs, const struct job_class_row *row, struct reeve_why *why); // number given
enum reeve_err job_store_class_each(struct job_store *jobs, void (*each)(const struct job_class_row *row, void *arg), void *arg,
                                    struct reeve_why *why);
enum reeve_err job_store_class_remove(struct job_store *jobs, int64_t number, struct reeve_why *why);

// ---- jobs ---------------------------------------------------------------------------------------------------------
#define JOB_FLAG_NO_RETURN  1u // past its point of no return
#define JOB_FLAG_CANCEL     2u // is to be cancelled
#define JOB_FLAG_CHECKPOINT 4u // has one
struct job_row { // strings borrowed
    int64_t number, queue, class;
    enum reeve_job_state state;
    unsigned flags, priority;
    int64_t attempt;           // of the current or last one; 0 = none yet
    int64_t failures, deaths, reconciles; // counted against `attempts`, `poison_after`
    int64_t added_at, run_at, started_at; // wall ms; 0 = none
    int64_t after_left;        // dependencies not met
    struct reeve_span key;     // empty = none
    struct reeve_span worker;  // "node/worker" that has it; empty = none
    int64_t worker_epoch;
};
// Enqueue. Three outcomes: OK; CONFLICT = the id is known in this queue, *ret_known is its number and nothing was written; other errors break
// the turn. Writes job_id and job_body only: the job's row follows with job_store_put() at the end of the turn, when it is known what became of it.
enum reeve_err job_store_add(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id, struct reeve_span body,
                             uint64_t digest, int64_t *ret_known, struct reeve_why *why);
enum reeve_err job_store_put(struct job_store *jobs, const struct job_row *row, struct reeve_why *why); // adds or replaces a live row
// A live job has ended: its row goes to job_ended.
struct job_ended_row {
    int64_t number, queue;
    enum reeve_job_state state;
    int64_t attempt, failures, deaths, added_at, started_at, ended_at;
    struct reeve_span worker, error; // error "" = none
    struct reeve_span result;        // msgpack; empty = none
    bool retained;                   // false: only the id is known any more
};
enum reeve_err job_store_end(struct job_store *jobs, const struct job_ended_row *row, struct reeve_why *why);
// Back to life (retry): the ended row is removed and `row` put.
enum reeve_err job_store_revive(struct job_store *jobs, const struct job_row *row, struct reeve_why *why);
// Every live row, in order of number; in one pass, without bodies. Made for millions.
enum reeve_err job_store_each_live(struct job_store *jobs, void (*each)(const struct job_row *row, void *arg), void *arg,
                                   struct reeve_why *why);
enum reeve_err job_store_number_max(struct job_store *jobs, int64_t *ret, struct reeve_why *why); // the highest ever given; kept across removals

// ---- reading: spans are valid until the next call of this header ----------------------------------------------------
enum reeve_err job_store_find(struct job_store *jobs, int64_t queue, struct reeve_span id, int64_t *ret, struct reeve_why *why); // NOENT
struct job_body {
    struct reeve_span id, raw; // raw: the map of reeve_job_spec_read(); empty when it is no longer kept
    uint64_t digest;
};
enum reeve_err job_store_body(struct job_store *jobs, int64_t number, struct job_body *ret, struct reeve_why *why); // NOENT
enum reeve_err job_store_ended(struct job_store *jobs, int64_t number, struct job_ended_row *ret, struct reeve_why *why); // NOENT
// Ended jobs of a queue, newest first (`before` = number to go on from, 0 = from the newest), at most `limit`; state COUNT = any.
enum reeve_err job_store_each_ended(struct job_store *jobs, int64_t queue, enum reeve_job_state state, int64_t before, int64_t limit,
                                    bool (*each)(const struct job_ended_row *row, void *arg), void *arg, struct reeve_why *why);
struct job_ended_counts {
    int64_t by_state[REEVE_JOB_STATE_COUNT]; // retained ones
    int64_t ids;                             // known ids of ended jobs
};
enum reeve_err job_store_count_ended(struct job_store *jobs, int64_t queue, struct job_ended_counts *ret, struct reeve_why *why);
// A job of a queue with a rate was started at `at` (wall ms). The newest `keep` are kept.
enum reeve_err job_store_started(struct job_store *jobs, int64_t queue, int64_t at, int64_t keep, struct reeve_why *why);
// Starts since `since` (wall ms), for a rate that must hold across a restart: the newest `max`, oldest first. *ret_len <= max.
// When none was told of by job_store_started() (the queue had no rate), what live and retained jobs know: the last start of each.
enum reeve_err job_store_starts(struct job_store *jobs, int64_t queue, int64_t since, int64_t *times, size_t max, size_t *ret_len,
                                struct reeve_why *why);

// ---- notes --------------------------------------------------------------------------------------------------------
enum job_note { JOB_NOTE_CHECKPOINT, JOB_NOTE_ERROR /* of the last failed attempt, text */, JOB_NOTE_HISTORY /* msgpack list, of the caller's making */,
                JOB_NOTE_LOG /* msgpack list of lines */, JOB_NOTE_COUNT };
enum reeve_err job_store_note_put(struct job_store *jobs, int64_t number, enum job_note note, struct reeve_span data, struct reeve_why *why);
enum reeve_err job_store_note(struct job_store *jobs, int64_t number, enum job_note note, struct reeve_span *ret, struct reeve_why *why); // NOENT

// ---- dependencies, dedupe ------------------------------------------------------------------------------------------
enum reeve_err job_store_after_put(struct job_store *jobs, int64_t number, int64_t on, struct reeve_why *why);
enum reeve_err job_store_after_met(struct job_store *jobs, int64_t on, struct reeve_why *why); // removes all that waited for `on`
enum reeve_err job_store_after_each(struct job_store *jobs, void (*each)(int64_t number, int64_t on, void *arg), void *arg,
                                    struct reeve_why *why);
// The job that holds `key` in this queue until `until_at`; NOENT when none does at `now`.
enum reeve_err job_store_dedupe_find(struct job_store *jobs, int64_t queue, struct reeve_span key, int64_t now, int64_t *ret,
                                     struct reeve_why *why);
enum reeve_err job_store_dedupe_put(struct job_store *jobs, int64_t queue, struct reeve_span key, int64_t number, int64_t until_at,
                                    struct reeve_why *why);

// ---- retention: bounded work per call, so that no turn is long ------------------------------------------------------
struct job_retention {
    int64_t queue, now;
    struct reeve_keep keep[REEVE_JOB_STATE_COUNT]; // for COMPLETED, FAILED, CANCELLED
    int64_t id_retention_ms;                       // 0 = for ever
    int64_t rows_max;                              // of work in this call
};
// Removes body, result and notes of what is kept no longer (`retained` false from then on), and ids whose time is over. *ret_rows: how many
// rows were touched; less than rows_max = nothing is left to do.
enum reeve_err job_store_retain(struct job_store *jobs, const struct job_retention *retention, int64_t *ret_rows, struct reeve_why *why);
// By hand: one ended job, body, result, notes; its id stays known.
enum reeve_err job_store_remove(struct job_store *jobs, int64_t number, struct reeve_why *why);

#endif
