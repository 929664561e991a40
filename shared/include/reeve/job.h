// Jobs as they travel [job-1..16]: a job as a producer gives it, the batch that a manager hands to a worker, the report of a
// worker, and the spec of a queue. Read and written where they lie (cursor.h), since there are many.
// Who does what with them: nodes/manager (queues), shared/worker (the SDK), tools/cli. Must not: keep state, do I/O.
#ifndef REEVE_JOB_H
#define REEVE_JOB_H

#include <reeve/cursor.h>
#include <reeve/record.h>

// id, text, live: a live job has something before it.
#define REEVE_JOB_STATE_LIST(X)                                                                                        \
    X(WAITING, "waiting", true)       /* for a worker, its key, its dependencies, or a limit */                        \
    X(DELAYED, "delayed", true)       /* for its time: run_at, or the back-off of a retry */                           \
    X(ACTIVE, "active", true)         /* in a worker's hands */                                                        \
    X(UNKNOWN, "unknown", true)       /* past its point of no return and lost: waits for a reconciling attempt */      \
    X(COMPLETED, "completed", false)                                                                                   \
    X(FAILED, "failed", false)        /* the dead letters: stays until retried or removed */                           \
    X(CANCELLED, "cancelled", false)
enum reeve_job_state {
#define X(id, text, live) REEVE_JOB_##id,
    REEVE_JOB_STATE_LIST(X)
#undef X
        REEVE_JOB_STATE_COUNT
};
const char *reeve_job_state_text(enum reeve_job_state state);
bool reeve_job_state_parse(const char *text, enum reeve_job_state *ret);
bool reeve_job_state_live(enum reeve_job_state state);

#define REEVE_JOB_ID_SIZE   81 // 1..80 bytes of [A-Za-z0-9_-] and the NUL: an id is a level of a topic
#define REEVE_JOB_TYPE_SIZE 64 // 1..63 bytes of [A-Za-z0-9_.-]
#define REEVE_JOB_KEY_SIZE  129 // 1..128 bytes of printable UTF-8
#define REEVE_JOBS_IN_MESSAGE_MAX 4096 // [payload-4]
// Of a payload, a checkpoint, a result, each: payload and checkpoint travel in one message of 1 MiB [payload-4], and below four containers.
#define REEVE_JOB_VALUE_BYTES_MAX (448u << 10)
#define REEVE_JOB_VALUE_DEPTH_MAX 12
#define REEVE_JOB_ATTEMPTS_MAX 1000
#define REEVE_JOB_CAPACITY_MAX 65536 // of a worker
bool reeve_job_id_valid(struct reeve_span id);
bool reeve_job_type_valid(struct reeve_span type);

#define REEVE_JOB_PRIORITY_MAX    9
#define REEVE_JOB_PRIORITY_PRESET 5

enum reeve_backoff_kind { REEVE_JOB_BACKOFF_PRESET /* the queue's */, REEVE_JOB_BACKOFF_FIXED, REEVE_JOB_BACKOFF_EXPONENTIAL };
struct reeve_job_backoff {
    int kind;
    int64_t delay_ms, max_ms; // 0 = not said
    double jitter;            // 0..1: so much of the delay is random; < 0 = not said
};

// A job as it is enqueued; spans point into the message. What is not said is 0, {NULL, 0} or as told.
struct reeve_job_spec {
    struct reeve_span raw;      // the whole map: what the manager stores
    struct reeve_span id;       // empty: the manager makes one from the command's id [job-11]
    struct reeve_span type;
    struct reeve_span payload;  // msgpack of any value; empty = none
    struct reeve_span key;
    struct reeve_span requires; // msgpack: what reeve_requirements_add() takes; empty = none
    struct reeve_span after;    // msgpack list of ids; empty = none
    struct reeve_span dedupe_key;
    int64_t dedupe_ms;          // window of dedupe_key
    int64_t priority;           // 0..9, preset 5
    int64_t delay_ms, run_at;   // at most one of them
    int64_t attempts;           // 0 = the queue's
    int64_t timeout_ms;         // 0 = the queue's
    struct reeve_job_backoff backoff;
};
// Reads one job map at the cursor. A job that is wrong (unknown keys included, "did you mean") is told by the return value and `why`
// (place: the key), and the cursor stands behind it, so that the others of its batch are read. When the cursor itself fails the message is no msgpack.
enum reeve_err reeve_job_spec_read(struct reeve_cursor *cursor, struct reeve_job_spec *ret, struct reeve_why *why);
// What makes two jobs of one id the same: type, key and payload, as bytes.
uint64_t reeve_job_spec_digest(const struct reeve_job_spec *spec);

// The command `enqueue` [cmd-2], when it is msgpack; other spellings are decoded as trees and written as msgpack first.
struct reeve_enqueue {
    struct reeve_span id, reply_to, issuer; // of the envelope
    int64_t issued_at, expires_at;
    bool dry_run;
    bool brief;              // the reply does not list accepted ids
    struct reeve_span jobs;  // msgpack list of jobs; or empty, and `job` is the arguments themselves: a single one
    struct reeve_span job;
    bool mixed;              // `job` has keys beside a job's own: reeve_enqueue_clean() first
};
// UNSUPPORTED for a signed command, INVALID with the place (`expect` too: a queue has no state to guard). The jobs themselves are
// not looked at, but their msgpack is checked. On failure id and reply_to are there as far as they were readable: their sender can be answered.
enum reeve_err reeve_enqueue_read(const void *data, size_t len, struct reeve_enqueue *ret, struct reeve_why *why);
// A map without `args` has the job beside the envelope's keys ({"type": "mail", "id": ..}): `id` is then the command's and `priority` the job's.
// Writes the job alone to the end of `scratch`, where `job` then points. No span of `enqueue` may point into `scratch`.
enum reeve_err reeve_enqueue_clean(struct reeve_enqueue *enqueue, struct reeve_buf *scratch);
// Any spelling [payload-3], msgpack or JSON, and clean. `scratch` (emptied first) holds what does not lie in the message; spans are valid
// while both are.
enum reeve_err reeve_enqueue_decode(const void *data, size_t len, struct reeve_buf *scratch, struct reeve_enqueue *ret,
                                    struct reeve_why *why);

// ---- manager -> worker: worker/<node>/<worker>/job [job-12] ---------------------------------------------------------
struct reeve_job_batch {
    struct reeve_span queue;
    int64_t manager_epoch; // a worker obeys the highest it has seen
    int64_t worker_epoch;  // the session that is meant; others ignore it
    int64_t seq;           // of this link: how many batches carried jobs or notices, this one included
    int64_t ack;           // the last report of this link that is on disk; 0 = none
    int64_t lease_ms;
    bool hello;            // say what you have in hand
    struct reeve_span jobs, cancels, abandons; // msgpack lists; read with the readers below; empty = none
};
struct reeve_job_item { // of `jobs`
    struct reeve_span id, type, payload, checkpoint; // payload and checkpoint: msgpack; empty = none
    int64_t attempt, timeout_ms;
    bool reconcile;
};
struct reeve_job_notice { // of `cancels` and `abandons`
    struct reeve_span id, reason;
    int64_t attempt, grace_ms;
};
enum reeve_err reeve_job_batch_read(const void *data, size_t len, struct reeve_job_batch *ret, struct reeve_why *why);
// The readers of what stands in a list: one that is wrong (INVALID, LIMIT) is read past, *ret holds what was right of it, and the next one can
// be read. In a list of a message that was read, the cursor itself never fails.
enum reeve_err reeve_job_item_read(struct reeve_cursor *cursor, struct reeve_job_item *ret);
enum reeve_err reeve_job_notice_read(struct reeve_cursor *cursor, struct reeve_job_notice *ret);
// A writer: begin, jobs, cancels, abandons in this order (each any number of times), end. The buffer then holds the message.
struct reeve_job_batch_writer {
    struct reeve_buf *buf;
    size_t keys_place, keys_len, list_place, list_len;
    int list; // which list is open
};
void reeve_job_batch_begin(struct reeve_job_batch_writer *writer, struct reeve_buf *buf, const struct reeve_job_batch *head);
void reeve_job_batch_job(struct reeve_job_batch_writer *writer, const struct reeve_job_item *item);
void reeve_job_batch_cancel(struct reeve_job_batch_writer *writer, const struct reeve_job_notice *notice);
void reeve_job_batch_abandon(struct reeve_job_batch_writer *writer, const struct reeve_job_notice *notice);
enum reeve_err reeve_job_batch_end(struct reeve_job_batch_writer *writer);

// ---- worker -> manager: queue/<queue>/report [job-13] --------------------------------------------------------------
// id, text, ends: the attempt is over
#define REEVE_JOB_OUTCOME_LIST(X)                                                                                      \
    X(DONE, "done", true)             /* `result` */                                                                   \
    X(RETRY, "retry", true)           /* failed, may be tried again: `error`, `delay_ms` */                            \
    X(FAILED, "failed", true)         /* failed for good */                                                            \
    X(CANCELLED, "cancelled", true)   /* as it was told to */                                                          \
    X(RELEASED, "released", true)     /* handed back, never begun: counts for nothing */                               \
    X(NOT_DONE, "not_done", true)     /* a reconciling attempt: nothing had happened, do it as an ordinary attempt */  \
    X(PROGRESS, "progress", false)    /* `progress`, `text` */                                                         \
    X(CHECKPOINT, "checkpoint", false) /* `data` */                                                                    \
    X(NO_RETURN, "no_return", false)  /* `data`: past the point of no return from here */                              \
    X(LOG, "log", false)              /* `text`: a line that is kept with the job */
enum reeve_job_outcome {
#define X(id, text, ends) REEVE_JOB_OUTCOME_##id,
    REEVE_JOB_OUTCOME_LIST(X)
#undef X
        REEVE_JOB_OUTCOME_COUNT
};
const char *reeve_job_outcome_text(enum reeve_job_outcome outcome);
bool reeve_job_outcome_ends(enum reeve_job_outcome outcome);

struct reeve_job_report {
    struct reeve_span worker; // "node/worker"
    int64_t epoch;            // of its session
    int64_t seq;              // of this link, from 1, +1 each message
    int64_t got;              // the last batch `seq` it has
    int64_t capacity;         // jobs it takes at most, in hand; 0 = none just now (paused, draining)
    int64_t manager_epoch;    // the highest it has seen; 0 = none
    bool hello;               // the first of a session, or asked for: `hand`, `types`, `reconciles` are complete
    struct reeve_span types, reconciles; // msgpack lists of types; "*" = any
    struct reeve_span hand;    // msgpack list of [id, attempt]
    struct reeve_span entries; // msgpack list of what happened, in order
};
struct reeve_job_entry {
    struct reeve_span id;
    int64_t attempt;
    enum reeve_job_outcome outcome;
    struct reeve_span data;  // msgpack: result, checkpoint; empty = none
    struct reeve_span error; // for people
    struct reeve_span text;
    double progress;         // 0..1; < 0 = not said
    int64_t delay_ms;        // of a RETRY: < 0 = by the back-off
};
enum reeve_err reeve_job_report_read(const void *data, size_t len, struct reeve_job_report *ret, struct reeve_why *why);
enum reeve_err reeve_job_entry_read(struct reeve_cursor *cursor, struct reeve_job_entry *ret);
enum reeve_err reeve_job_hand_read(struct reeve_cursor *cursor, struct reeve_span *ret_id, int64_t *ret_attempt);
struct reeve_job_report_writer {
    struct reeve_buf *buf;
    size_t keys_place, keys_len, list_place, list_len;
};
// `head.entries` is not looked at: they follow, any number of times, then end.
void reeve_job_report_begin(struct reeve_job_report_writer *writer, struct reeve_buf *buf, const struct reeve_job_report *head);
void reeve_job_report_entry(struct reeve_job_report_writer *writer, const struct reeve_job_entry *entry);
enum reeve_err reeve_job_report_end(struct reeve_job_report_writer *writer);

// ---- the spec of a queue: queue/<queue>/cmd/apply, and `kind: queue` files ---------------------------------------------
enum reeve_durability { REEVE_DURABILITY_COMMIT, REEVE_DURABILITY_MEMORY };
struct reeve_keep { // which ended jobs are kept; never longer than their id is known
    int64_t age_ms; // 0 = as long as that
    int64_t count;  // 0 = any number
};
struct reeve_schedule { // jobs by the clock [job-15]
    char *name;
    char *cron, *time_zone; // time_zone NULL = UTC
    int overlap;            // 0 skip (preset), 1 allow
    int missed;             // while no manager ran: 0 skip, 1 once (preset)
    struct reeve_value *job; // as for enqueue, without id
};
struct reeve_queue_spec {
    char *name;              // needed in a file; NULL in a command, whose topic says it
    char *description;
    int durability;          // enum reeve_durability
    int64_t concurrency;     // active jobs at most; 0 = any number
    int64_t max_per_key;     // preset 1
    struct { int64_t count, per_ms; } rate; // so many starts in any window of per_ms; count 0 = any number
    int64_t lease_ms;        // preset 15 s, 2 s..1 h
    int64_t attempts;        // preset 3
    struct reeve_job_backoff backoff; // preset exponential, 1 s, at most 5 min, jitter 0.2
    int64_t timeout_ms;      // of an attempt; 0 = none
    int64_t cancel_grace_ms; // preset 10 s
    int64_t poison_after;    // deaths of a worker with the job in hand; preset 3
    int64_t jobs_max;        // live jobs; enqueue is refused above; preset 2,000,000
    int64_t bytes_max;       // of live payloads; 0 = not said: reeve_queue_bytes_max()
    struct reeve_keep keep_completed, keep_failed, keep_cancelled; // preset 1 day and 10,000; for ever; 1 day and 10,000
    int64_t id_retention_ms; // preset 30 d; 0 = "forever" [job-10]
    bool job_records;        // publish job/<queue>/<job>
    int events;              // which changes go to queue/<queue>/event: 0 none, 1 failures (preset), 2 all
    int64_t unmatched_alarm_ms; // a waiting job that nobody can do: alarm after; preset 1 min, 0 = never
    struct reeve_records schedules; // struct reeve_schedule
};
extern const struct reeve_record reeve_queue_spec_record; // checks across fields included
extern const struct reeve_record reeve_schedule_record;
int64_t reeve_queue_bytes_max(const struct reeve_queue_spec *spec); // preset 4 GiB, MEMORY: 256 MiB

#endif
