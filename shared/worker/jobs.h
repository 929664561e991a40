// Jobs inside the SDK [job-12..16]: links, jobs in hand, what is still to be confirmed, and what the job files call of
// each other.
//
//   batch ─intake─► waiting ─pump─► running ─handler ends it─► ended ─manager has it on disk─► freed
//                      │                │ fenced, lease over: nothing is said      ▲
//                      │                ▼                                          │
//                      │              lost ─handler ends it─► freed                │
//                      └──────────── released, cancelled ──────────────────────────┘
//
// Invariants. `in_hand` = waiting + running. A job is in the table while it waits, runs or is to be confirmed; a lost
// one is not. An entry is in exactly one of the lists `unsent` and `sent` of its link; `sent` is in order of seq.
// `held` = the handler may still use the pointer: such a job takes a slot of `concurrency` whatever else became of it,
// and its memory stays. Everything happens in two steps: callbacks change these structs and say worker_jobs_touch();
// once per turn of the loop worker_jobs_turn() starts jobs and sends what piled up.
// Must not: be included but through worker.h.
#ifndef REEVE_SHARED_WORKER_JOBS_H
#define REEVE_SHARED_WORKER_JOBS_H

#include <assert.h>
#include <reeve/bus.h>
#include <reeve/job.h>
#include <reeve/loop.h>
#include <reeve/worker.h>

#define JOBS_CONCURRENCY_MAX 1000
#define JOBS_PREFETCH_MAX    1000
#define JOBS_CAPACITY_MAX    (JOBS_CONCURRENCY_MAX + JOBS_PREFETCH_MAX)
#define JOBS_KEPT_BEYOND     64         // entries beyond the capacity that may wait for their ack
#define JOBS_KEPT_BYTES_MAX  (32 << 20) // of their results; above it a link takes nothing more
#define JOBS_LINES_MAX       1000       // of logs, until they are sent
#define JOBS_LINE_BYTES_MAX  4096
#define JOBS_TEXT_BYTES_MAX  1024  // errors and progress; longer ones are cut
#define JOBS_REPORTS_MAX     256   // whose time of sending is remembered
#define JOBS_LEASE_MS_PRESET 15000 // until a manager has said
#define JOBS_LEASE_MS_MIN    500   // a manager that says less, or more, is not taken at its word
#define JOBS_LEASE_MS_MAX    86400000
#define JOBS_SEQ_MAX         (INT64_C(1) << 53) // one more is still a number
#define JOBS_AFTER_MS_MAX    (INT64_C(3653) * 86400000) // of timeouts and graces: 10 years
#define JOBS_RECEIPT_MS      1000  // a batch is confirmed within, when nothing else is to be said
#define JOBS_TALK_MS         200   // progress and lines of log leave so often, and with whatever else leaves
#define JOBS_RETRY_MS        100   // after a full queue of the bus
#define JOBS_LATE_MS_MAX     60000 // a manager that is away is asked less and less often
#define JOBS_GRACE_MS        10000 // of a timeout, a fence, a lease
#define JOBS_STOP_GRACE_MS   2000  // when the drain time is over
#define JOBS_TURN_MS         10    // handlers of one turn; then the loop goes on and comes back
#define JOBS_STATUS_MS       500   // idle, processing: longest that it stands wrong in the status
#define JOBS_MESSAGE_MARGIN  1024  // topic, head and list of a report

// What a hello may list is one container [payload-4]: what is in hand, and what has ended since and is not confirmed.
static_assert(2 * JOBS_CAPACITY_MAX + JOBS_KEPT_BEYOND <= REEVE_JOBS_IN_MESSAGE_MAX, "a hello lists every job");

struct job_link;

struct job_kept { // an entry that is the worker's to keep [job-13]
    struct job_kept *next;
    struct reeve_job *job;
    enum reeve_job_outcome outcome;
    int64_t seq;       // the first report of this session that had it; 0 = in none yet
    int64_t sent_mono; // when it left last
    char *body;        // data, then the error
    size_t data_len, error_len;
    int64_t delay_ms;
    reeve_job_stored *stored; // of checkpoints
    void *arg;
};
struct job_kept_list {
    struct job_kept *first, *last;
};

struct job_line { // a line of log
    struct job_line *next;
    int64_t attempt;
    size_t id_len, text_len;
    char bytes[]; // id, text
};

enum job_phase { JOB_WAITING, JOB_RUNNING, JOB_ENDED, JOB_LOST, JOB_PHASES };
enum job_cause { JOB_CAUSE_NONE, JOB_CAUSE_CANCELLED, JOB_CAUSE_TIMEOUT, JOB_CAUSE_STOP };

struct reeve_job {
    struct reeve_worker *worker;
    struct job_link *link;
    struct reeve_job *chain;       // of the table; of the dead ones
    struct reeve_job *prev, *next; // of the list of its phase
    const struct reeve_worker_job_type *row;
    uint64_t hash;
    int64_t attempt, timeout_ms;
    enum job_phase phase;
    enum job_cause cause; // why it is to end
    bool reconcile, no_return;
    bool held;           // the handler has begun and not ended it
    bool unconfirmed;    // `ending` is in a list
    bool settled;        // ended and confirmed: out of the table
    bool dead;           // freed at the end of the turn
    size_t stored_waits; // checkpoints not confirmed
    int64_t due_mono;    // of timeout or grace
    size_t due_place;    // in the heap, from 1; 0 = not there
    void *data;
    struct reeve_value *payload, *checkpoint; // decoded when asked for
    struct job_kept ending;
    double progress;
    char *progress_text;
    struct reeve_job *progress_next;
    bool progress_new;
    size_t id_len, type_len, payload_len, checkpoint_len;
    char bytes[]; // id NUL type NUL payload checkpoint
};
struct job_list {
    struct reeve_job *first, *last;
    size_t len;
};

struct job_sent { // a report that left
    int64_t seq, mono;
};

struct job_link { // [job-12]
    bool used, serving;
    char queue[REEVE_NAME_SIZE];
    char topic[REEVE_TOPIC_SIZE]; // of its reports
    size_t concurrency, prefetch;
    struct job_list waiting, running;
    struct job_list gone; // held, but ended without the handler, or lost
    size_t held;          // slots of `concurrency` in use
    // of the session
    int64_t seq, got, manager_epoch, hello_seq;
    bool hello_due, hello_acked;
    bool report_due;       // say where we are, with or without entries
    int64_t report_at;     // mono: the same, from then on; 0 = never
    int64_t reported_mono; // last report
    int64_t refused_mono;  // the bus took none; 0 = it took the last
    struct job_sent reports[JOBS_REPORTS_MAX];
    size_t reports_first, reports_len;
    // of the lease [job-14]
    int64_t lease_ms, lease_mono; // it holds from then on
    int64_t late_ms;              // an ack is late after
    struct job_kept_list unsent, sent;
    size_t kept, kept_bytes;
    struct job_line *lines, *lines_last;
    size_t lines_len;
    struct reeve_job *progress; // whose progress is new
    int64_t talked_mono;        // progress and lines were sent last
};

#define JOBS_STATS(X)                                                                                                  \
    X(received)                                                                                                        \
    X(repeated) X(started) X(done) X(retried) X(failed) X(released) X(cancelled) X(timeouts) X(fenced) X(leases_over)  \
        X(dropped) X(reports) X(resent) X(batches) X(batches_ignored) X(malformed) X(gaps) X(lines_dropped)            \
            X(results_left_out)
struct worker_jobs {
    bool open; // the program takes jobs
    struct job_link links[REEVE_WORKER_QUEUES_MAX];
    struct reeve_job **table;
    size_t table_len, table_used; // a power of two
    struct reeve_job **due;       // heap, [0] is the next
    size_t due_len, due_cap;
    struct reeve_job *dead;                            // freed at the end of the turn
    struct reeve_buf types, reconciles, hand, message; // msgpack
    uv_prepare_t prepare;
    uv_check_t check;
    struct reeve_timer timer;
    int64_t timer_at;
    bool touched, in_turn, ready, stopping, drained_asked;
    int64_t manager_epoch; // the highest seen
    size_t in_hand;
    size_t told_in_hand;           // in the status
    int64_t ended_well, ended_bad; // not told yet
    int64_t malformed_said_mono;
    enum reeve_err (*send)(struct reeve_worker *worker, const struct reeve_bus_message *message); // replaced by tests
#define X(name) uint64_t name;
    JOBS_STATS(X)
#undef X
};

// jobs.c: links, the turn, what the rest of the SDK asks for
enum reeve_err worker_jobs_init(struct reeve_worker *worker);
enum reeve_err worker_jobs_declare(struct reeve_worker *worker); // the types, once the program has started
void worker_jobs_touch(struct reeve_worker *worker);
void worker_jobs_turn(struct reeve_worker *worker); // whatever is to be done by now
void worker_jobs_session(struct reeve_worker *worker, bool ready);
void worker_jobs_may(struct reeve_worker *worker);            // pause, drain, offline, or none of them any more
bool worker_jobs_finished(const struct reeve_worker *worker); // nothing in hand, nothing to be confirmed
bool worker_jobs_stop(struct reeve_worker *worker);    // the drain time is over; false: there is nothing to wait for
void worker_jobs_goodbye(struct reeve_worker *worker); // ends all, one last report
void worker_jobs_close(struct reeve_worker *worker);
void worker_jobs_done(struct reeve_worker *worker);
struct reeve_value *worker_jobs_queues_value(const struct reeve_worker *worker); // LIST; NULL = none
struct reeve_value *worker_jobs_stats_value(const struct reeve_worker *worker);  // MAP; NULL = takes no jobs
size_t jobs_capacity(const struct reeve_worker *worker, const struct job_link *link);
struct job_link *jobs_link(struct reeve_worker *worker, const char *queue, size_t queue_len);

// job_table.c: by id, lists, the heap of deadlines
uint64_t jobs_hash(const struct job_link *link, const char *id, size_t id_len);
enum reeve_err jobs_table_add(struct worker_jobs *jobs, struct reeve_job *job);
void jobs_table_remove(struct worker_jobs *jobs, struct reeve_job *job);
// The next one of that id (several attempts may be there) after `after`, NULL = the first.
struct reeve_job *jobs_table_find(const struct worker_jobs *jobs, const struct job_link *link, const char *id,
                                  size_t id_len, const struct reeve_job *after);
void jobs_list_add(struct job_list *list, struct reeve_job *job);
void jobs_list_remove(struct job_list *list, struct reeve_job *job);
enum reeve_err jobs_due_set(struct worker_jobs *jobs, struct reeve_job *job, int64_t due_mono);
void jobs_due_clear(struct worker_jobs *jobs, struct reeve_job *job);

// job_intake.c
void worker_on_job(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg);

// job.c: the ends of a job
struct job_ending {
    enum reeve_job_outcome outcome;
    struct reeve_span data; // msgpack
    const char *error;
    int64_t delay_ms;
};
void job_end(struct reeve_job *job, const struct job_ending *ending);       // it waits or runs
void job_lose(struct reeve_job *job, const char *reason, int64_t grace_ms); // it is another's now
void job_let_go(struct reeve_job *job);                                     // the handler is done with it
void job_refuse_stored(struct reeve_job *job, enum reeve_err err); // whoever waits for a checkpoint waits no longer
void job_settle(struct reeve_job *job);                            // dead when nobody needs it any more
void job_free(struct reeve_job *job);

// job_lease.c: starting, cancelling, deadlines, leases
void jobs_pump(struct reeve_worker *worker, struct job_link *link, int64_t until_mono);
void job_deadline(struct reeve_job *job, int64_t after_ms);
void jobs_release_waiting(struct job_link *link);
void job_cancel(struct reeve_job *job, enum job_cause cause, int64_t grace_ms);
void jobs_deadlines(struct reeve_worker *worker, int64_t now_mono);
void jobs_lease_check(struct reeve_worker *worker, struct job_link *link, int64_t now_mono);
int64_t jobs_lease_due(const struct job_link *link); // INT64_MAX = none

// job_report.c
void jobs_keep(struct job_link *link, struct job_kept *kept);
void jobs_unkeep(struct job_link *link,
                 struct reeve_job *job); // drops what it said and nobody has confirmed, its ending too
enum reeve_err jobs_line_add(struct job_link *link, const struct reeve_job *job, const char *text, size_t len);
void jobs_acked(struct job_link *link, int64_t ack);
void jobs_send_again(struct job_link *link); // whatever is not confirmed
void jobs_session_begin(struct job_link *link);
void jobs_late(struct job_link *link, int64_t now_mono);
void jobs_report(struct reeve_worker *worker, struct job_link *link, int64_t now_mono);
int64_t jobs_report_due(const struct reeve_worker *worker, const struct job_link *link); // INT64_MAX = not
bool jobs_full(const struct job_link *link);
size_t jobs_data_max(const struct reeve_worker *worker); // bytes of a result or checkpoint
void jobs_kept_free(struct job_link *link);

#endif
