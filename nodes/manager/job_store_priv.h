// Inside of the jobs on disk: what job_store.c (turns, queues, writing), job_store_ids.c, job_store_read.c and
// job_store_retain.c share. Must not: be included by anything else.
//
// Some tables have several numbers in one rowid, since a table by rowid is the fastest that SQLite has, and rows of one
// queue and state lie side by side in it:
//   job_ended.place   queue (15 bits) | state (2) | number (46)     job_past.place    queue (15) | number (46)
//   job_note.place    number (46) | note (2)                        job_start.place   queue (15) | 1, 2, 3 .. (46)
// A job is in `job` while it lives, then in `job_ended` while it is retained, then in `job_past` while its id is known;
// its row of job_body goes with the second step.
#ifndef REEVE_MANAGER_JOB_STORE_PRIV_H
#define REEVE_MANAGER_JOB_STORE_PRIV_H

#include "job_store.h"
#include "store_sqlite.h"

#include <assert.h>

#define JOB_NUMBER_BITS   46 // 60,000 a second for 37 years
#define JOB_NUMBER_MAX    ((1LL << JOB_NUMBER_BITS) - 1)
#define JOB_SLOT_BITS     2
#define JOB_SLOTS         3 // COMPLETED, FAILED, CANCELLED
#define JOB_QUEUE_MAX     ((1 << 15) - 1)
#define JOB_NOTE_BITS     2
#define JOB_QUEUE_REMOVED ' ' // begins the name of a queue that was removed; no name does
static_assert(JOB_NOTE_COUNT <= 1 << JOB_NOTE_BITS, "a note is its bits");
static_assert(JOB_NUMBER_BITS + JOB_SLOT_BITS + 15 == 63, "a place is positive");
static_assert(REEVE_JOB_FAILED == REEVE_JOB_COMPLETED + 1 && REEVE_JOB_CANCELLED == REEVE_JOB_COMPLETED + 2 &&
                  REEVE_JOB_STATE_COUNT == REEVE_JOB_COMPLETED + JOB_SLOTS,
              "a slot is a state that has ended");

enum job_statement {
    JOB_QUEUE_PUT,
    JOB_QUEUE_REMOVE,
    JOB_CLASS_PUT,
    JOB_CLASS_REMOVE,
    JOB_CLASS_EACH,
    JOB_ID_ADD,
    JOB_ID_FIND,
    JOB_ID_REMOVE_RUN,
    JOB_ID_REMOVE,
    JOB_ID_LAST,
    JOB_ID_OF_RUN,
    JOB_ID_UNMERGED,
    JOB_BODY_ADD,
    JOB_BODY_GET,
    JOB_BODY_QUEUE,
    JOB_ID_OF_BODY,
    JOB_BODY_REMOVE,
    JOB_BODY_REMOVE_DENSE,
    JOB_BODY_REMOVE_RUN,
    JOB_PUT,
    JOB_REMOVE,
    JOB_EACH,
    JOB_ENDED_PUT,
    JOB_ENDED_GET,
    JOB_ENDED_REMOVE,
    JOB_ENDED_REMOVE_RUN,
    JOB_ENDED_EACH, // one per slot
    JOB_ENDED_EACH_2,
    JOB_ENDED_EACH_3,
    JOB_ENDED_OLDEST,
    JOB_PAST_FROM_RUN,
    JOB_PAST_FROM_BODY,
    JOB_PAST_GET,
    JOB_PAST_REMOVE_RUN,
    JOB_PAST_OLDEST,
    JOB_STARTS,
    JOB_START_PUT,
    JOB_START_LAST,
    JOB_START_EACH,
    JOB_START_REMOVE,
    JOB_NOTE_PUT,
    JOB_NOTE_GET,
    JOB_NOTES_REMOVE,
    JOB_NOTES_REMOVE_RUN,
    JOB_AFTER_PUT,
    JOB_AFTER_MET,
    JOB_AFTER_OF,
    JOB_AFTER_EACH,
    JOB_DEDUPE_FIND,
    JOB_DEDUPE_PUT,
    JOB_DEDUPE_EXPIRE,
    JOB_PAGES,
    JOB_PAGES_FREE,
    JOB_STATEMENT_COUNT
};

struct job_queue {
    char *name; // NULL = there is none of this number
    int64_t number_max;
    int64_t ended[JOB_SLOTS]; // retained
    int64_t past;
    int64_t at[JOB_SLOTS + 1]; // where the next search for what is too old goes on: places of job_ended, of job_past
    int64_t looked_at;         // when it was searched last; wall ms
    bool changed;              // in this turn
    int64_t starts;            // the last of job_start; 0 = not looked yet
    bool removed;              // its rows go by and by
    int64_t swept;             // of a removed one: bodies up to this number are gone
};

// Ids that are not in the table `job_id` yet, and in memory: see job_store_ids.c.
struct job_id_entry {
    uint64_t prefix; // the first 8 bytes of the id, as a number that sorts as they do
    int64_t number;  // 0 = forgotten
    uint32_t text;   // where in `texts`
    uint32_t hash;
    uint16_t queue;
    uint8_t len;
};
struct job_id_generation {
    struct job_id_entry *entries;
    size_t len, max;
    uint32_t *slots; // place in `entries` + 1; 0 = free
    size_t slots_len;
    char *texts;
    size_t texts_len, texts_max;
    uint32_t *order;              // of the one that is merged: places, sorted in runs
    size_t *heads, *heads_before; // of each run: the next one; as it was at the begin of the turn
    size_t runs, run_len, sorted;
    bool loaded; // from disk, when this process began
};
struct job_ids {
    struct job_id_generation fresh, merging;
    size_t fresh_max, run_len; // so many, and they are merged; so many of them are sorted at a time
    int64_t merged;            // all numbers up to this are in the table
    int64_t merging_max;       // the highest of `merging`; `merged` while there is none
    size_t fresh_before;       // at the begin of the turn
    size_t added;              // in this turn
    bool reload;               // this turn changed more than can be taken back: an undone one has to be read again
    uint64_t seed;
    char last[REEVE_JOB_ID_SIZE]; // no id of the table is behind it
    size_t last_len;
};

struct job_store {
    struct store_part part; // first: the store knows it by this
    struct store *store;
    bool own;           // the store is in memory, and ours
    bool turn;          // one is open in which jobs were written
    bool stale;         // a turn was undone: queues, notes and afters are read again before they are used
    bool ids_stale;     // ids too
    bool notes, afters; // whether there are any: mostly not, and then nobody has to look
    int64_t page_size;
    sqlite3_stmt *reading; // its row was handed out; NULL = none. Ends with the next call: a read that stays open holds
                           // up the log
    int64_t queue_hint;    // of the last id that was found
    struct job_queue *queues; // by number
    size_t queues_len;
    struct job_ids ids;
    sqlite3_stmt *statements[JOB_STATEMENT_COUNT];
};

static inline bool job_lives(int64_t state) // of a column too
{
    return state >= 0 && state < REEVE_JOB_COMPLETED;
}

static inline int64_t job_ended_place(int64_t queue, enum reeve_job_state state, int64_t number)
{
    return (queue << JOB_SLOT_BITS | (state - REEVE_JOB_COMPLETED)) << JOB_NUMBER_BITS | number;
}

static inline int64_t job_past_place(int64_t queue, int64_t number)
{
    return queue << JOB_NUMBER_BITS | number;
}

static inline int64_t job_note_place(int64_t number, int note)
{
    return number << JOB_NOTE_BITS | note;
}

// ---- job_store.c ------------------------------------------------------------------------------------------------
// Before a write: the turn, and what is remembered in memory. `why` is not NULL.
enum reeve_err job_store_enter(struct job_store *jobs, struct reeve_why *why);
enum reeve_err job_store_look(struct job_store *jobs, struct reeve_why *why); // before a read
void job_store_read_done(struct job_store *jobs);
// Steps a statement that is bound to its end; `job_store_write` breaks the turn when that fails.
enum reeve_err job_store_write(struct job_store *jobs, enum job_statement id, struct reeve_why *why);
enum reeve_err job_store_fail(struct job_store *jobs, int rc, const char *what, struct reeve_why *why);
struct job_queue *job_store_queue_of(struct job_store *jobs, int64_t number); // NULL = none, or removed
enum reeve_err job_store_remove_body(struct job_store *jobs, int64_t number, struct reeve_why *why); // and notes
enum reeve_err job_store_remove_live(struct job_store *jobs, int64_t number, struct reeve_why *why);
enum reeve_err job_store_put_queue(struct job_store *jobs, int64_t number, struct reeve_why *why);

static inline void job_bind_text(sqlite3_stmt *stmt, int column, struct reeve_span text)
{
    sqlite3_bind_text(stmt, column, text.data, (int)text.len, SQLITE_STATIC); // NULL data is NULL
}

static inline void job_bind_blob(sqlite3_stmt *stmt, int column, struct reeve_span data)
{
    sqlite3_bind_blob(stmt, column, data.data, (int)data.len, SQLITE_STATIC);
}

static inline struct reeve_span job_column(sqlite3_stmt *stmt, int column)
{
    const char *data = sqlite3_column_blob(stmt, column); // of a text too: its bytes as they are
    return (struct reeve_span){.data = data, .len = (size_t)sqlite3_column_bytes(stmt, column)};
}

// ---- job_store_ids.c --------------------------------------------------------------------------------------------
enum reeve_err job_ids_load(struct job_store *jobs, struct reeve_why *why);
void job_ids_done(struct job_store *jobs);
void job_ids_begin(struct job_store *jobs);                                  // of a turn
enum reeve_err job_ids_flush(struct job_store *jobs, struct reeve_why *why); // its end
bool job_ids_undo(struct job_store *jobs);                                   // false: they are to be loaded again
// CONFLICT with the number that has the id. Other errors break the turn.
enum reeve_err job_ids_add(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_span id,
                           int64_t *ret_known, struct reeve_why *why);
enum reeve_err job_ids_find(struct job_store *jobs, int64_t queue, struct reeve_span id, int64_t *ret,
                            struct reeve_why *why); // NOENT
// Of the rows of job_past with these places; of a whole queue.
enum reeve_err job_ids_forget(struct job_store *jobs, int64_t queue, int64_t first, int64_t last,
                              struct reeve_why *why);
// Of one whose body is still there.
enum reeve_err job_ids_forget_one(struct job_store *jobs, int64_t queue, int64_t number, struct reeve_why *why);
void job_ids_forget_queue(struct job_store *jobs, int64_t queue); // in memory

// ---- job_store_read.c -------------------------------------------------------------------------------------------
// The state a job ended in and whether it is retained; NOENT. `ret` may be NULL.
enum reeve_err job_store_ended_in(struct job_store *jobs, int64_t queue, int64_t number, struct job_ended_row *ret,
                                  struct reeve_why *why);
enum reeve_err job_store_queue_of_number(struct job_store *jobs, int64_t number, int64_t *ret, struct reeve_why *why);

#endif
