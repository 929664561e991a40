// Inside the queues' room. A queue holds jobs by class (what they ask of a worker) and hands them to links (a worker's session that
// takes jobs of this queue).
//
//   job_memory.c    allocation, the index by number, the heap of times        job_state.c   the one setter, lists, keys, limits
//   job_class.c     classes, and bodies kept in memory                       job_after.c    dependencies
//   job_intake.c    enqueue: checks, ids, replies after the commit            job_report.c  what workers say
//   job_link.c      links: hello, leases, lost workers                        job_dispatch.c who gets which job, batches out
//   queue.c         the room: deliveries, turn, tick                          queue_rows.c  to and from the store
//   queue_ops.c     ops on queues
//   job_ops.c job_look.c job_pick.c  ops on jobs   job_explain.c  why it is where it is   queue_status.c records, rates, events
//   queue_schedule.c jobs by cron     queue_keep.c   retention
//
// A turn: deliveries are applied in memory as they come; ids and bodies are written at once (that is how a known id is found), rows of
// jobs at the end of the turn, when it is known what became of them: a job that is enqueued and handed out in one turn is written once.
// Replies, batches and acknowledgements leave after the commit. When the disk refuses, memory is loaded anew, links are forgotten and
// workers are asked (hello) what they have.
//
// Where a live job is:                      list it is in                     holds its key
//   WAITING, dependencies open              none (job->after_left > 0)        no
//   WAITING, its key is taken               key->waiting                      no
//   WAITING, ready                          class->ready[priority]            yes
//   DELAYED                                 none, in the heap by its time     yes after its first attempt, so that order is kept
//   ACTIVE                                  link->jobs, heap (timeout)        yes
//   UNKNOWN                                 class->ready of the reconciling class, or the heap while it backs off      yes
#ifndef REEVE_MANAGER_QUEUE_ROOM_H
#define REEVE_MANAGER_QUEUE_ROOM_H

#include "job_store.h"
#include "manager.h"
#include "queue.h"

#include <reeve/job.h>
#include <reeve/match.h>

#define QUEUES_MAX         1000
#define QUEUE_CLASSES_MAX  1024 // of one queue; jobs that would need more are refused
#define QUEUE_LINKS_MAX    4096
#define QUEUE_RATE_MAX     100000
#define QUEUE_UNSENT_MAX   20000 // messages that wait for room on the bus; above it nothing is taken in
#define QUEUE_BODIES_BYTES (32u << 20) // bodies kept in memory from enqueue to dispatch, of all queues
#define JOB_REPEAT_FACTOR  3           // a link is heard of at least so often in its lease
#define JOB_BATCH_BYTES    (192u << 10) // a batch is closed above this
#define JOB_LOG_LINES_MAX  100
#define JOB_HISTORY_MAX    50
#define JOB_AFTER_MAX      64 // dependencies of one job

#define JOB_FLAG_RECONCILING 8u // the active attempt is a reconciling one (beside those of job_store.h)
#define JOB_FLAG_PARKED      16u // unknown, and not tried again by itself: its reconcilers died too often

struct queue;
struct link;

struct job_list { // by prev/next
    struct job *head, *tail;
    size_t len;
};

struct job {
    int64_t number;
    struct job *prev, *next;
    struct job_class *class;
    struct job_key *key; // NULL = none
    struct link *link;   // ACTIVE: who has it
    struct job_text *text; // ACTIVE: its id, name of the worker; else NULL
    struct job_body_kept *body; // just enqueued and not handed out yet; NULL = on disk only
    struct job *dirty_next;
    struct job_wait *wait;     // dependencies; NULL = none
    int64_t due_mono;    // in the heap: when
    int64_t added_at, run_at, started_at; // wall
    uint32_t bytes;      // of its body
    uint32_t heap_at;    // place in the heap + 1; 0 = not in it
    uint32_t attempt;
    uint16_t failures;
    uint8_t deaths, reconciles, state, priority, flags;
    bool dirty : 1, holds_key : 1, listed : 1, gone : 1;
};
struct job_text {
    char id[REEVE_JOB_ID_SIZE];
    int64_t worker_epoch;
    int64_t dispatch_seq; // batch it was in; 0 = of a former manager
    bool seen;            // while a hello is read
    double progress;      // < 0 = none told
    char progress_text[96];
    int64_t record_mono; // its record was published; 0 = never
    bool record_late;    // something of it was held back since
    char worker[2 * REEVE_NAME_SIZE];
};
struct job_body_kept {
    size_t id_len, len;
    char bytes[]; // id, then the raw job
};
struct job_wait { // what it waits for
    size_t left;
};
struct job_key {
    struct job_list waiting; // in order; none of them is in a class' list
    size_t held;             // by jobs that are ready, active, unknown or between attempts
    size_t jobs;             // live ones that have it
    char text[];
};
struct job_class { // what a job asks of a worker; `reconcile` twins are made on demand
    struct queue *queue;
    int64_t number;
    char type[REEVE_JOB_TYPE_SIZE];
    char *requires; // msgpack, as it came
    size_t requires_len;
    struct reeve_requirements requirements;
    struct job_list ready[REEVE_JOB_PRIORITY_MAX + 1];
    struct job_list reconcile;  // UNKNOWN jobs, ready to be looked after
    unsigned priorities;  // bit per list that has jobs
    size_t jobs;          // live ones of this class
    bool blocked;         // in this pass: no link has room for it
    int64_t unmatched_mono; // since when waiting jobs of it meet no worker at all; 0 = they do
    uint64_t stamp;       // of the queue when `links` was made
    struct link **links;  // that may do it
    size_t links_len;
};

enum link_gone { LINK_LEFT, LINK_DIED, LINK_SILENT };
struct link {
    struct queue *queue;
    char worker[2 * REEVE_NAME_SIZE]; // node/name
    char node[REEVE_NAME_SIZE], name[REEVE_NAME_SIZE];
    int64_t epoch, run;
    bool greeted;        // said hello: types and hand are known
    int64_t capacity;
    struct job_list jobs;
    struct reeve_strv types, reconciles;
    bool any, reconciles_any;
    int64_t report_seq;  // last one applied, without gap
    int64_t batch_seq, got;
    int64_t heard_mono, batch_mono, hello_mono; // hello_mono: asked at
    bool say_ack, say_hello; // in this turn
    uint64_t used;       // when it was last given a job, as a count
    struct reeve_buf batch; // being made in this turn
    struct reeve_job_batch_writer writer;
    bool writing;
    struct job_notice *notices; // of this turn: cancels and abandons
    size_t notices_len, notices_cap;
    struct link *out_next;
    bool out;            // has something to say in this turn
};

struct job_notice {
    char id[REEVE_JOB_ID_SIZE];
    int64_t attempt, grace_ms;
    const char *reason; // static
    bool cancel;        // else abandon
};
struct job_message { // made in this turn, leaves after its commit
    struct job_message *next;
    char *bytes;
    size_t len;
    char *correlation; // MQTT 5; NULL = none
    size_t correlation_len;
    char topic[REEVE_TOPIC_SIZE];
};

struct queue_rates { // of the last seconds, for the status
    uint64_t added, started, completed, failed, retried, fenced, lost, cancelled, rejected, duplicates; // since the start
    double service_ms; // of completed attempts, a moving average
};

struct queue {
    struct queues *queues;
    char name[REEVE_NAME_SIZE];
    int64_t number;     // in the job store
    struct job_store *store;
    struct reeve_queue_spec spec;
    bool paused, draining, removed;
    int64_t counts[REEVE_JOB_STATE_COUNT]; // live states: jobs in memory; ended: kept ones
    int64_t bytes;      // of live payloads, about
    struct reeve_map *classes; // type \n digest of requires -> struct job_class
    struct reeve_map *keys;    // -> struct job_key
    struct reeve_map *active;  // id -> struct job
    struct reeve_map *links;   // node/worker -> struct link
    uint64_t stamp;      // grows when links or what they can do change
    bool wanted;         // dispatch has to look
    struct queue *wanted_next;
    int64_t *starts;     // ring of the last `rate.count` starts, mono ms
    size_t starts_len, starts_at;
    struct queue_rates rates, told; // told: at the last status
    int64_t told_mono, published_mono; // told: when `told` was taken
    bool status_dirty, moving, records_late; // moving: the last status told of rates that were not 0
    struct reeve_value *changes; // events of this turn, LIST or NULL
    size_t changes_more;
    int64_t keep_mono;   // queue_keep.c: when to look again
    struct schedule *schedules; // queue_schedule.c
    size_t schedules_len;
    int64_t unmatched;   // waiting and unknown jobs that nobody can do
    int64_t key_waiting; // jobs that wait for their key
};

struct job_due { // the heap
    struct job **items;
    size_t len, cap;
};

struct queues {
    struct manager *manager;
    struct job_store *disk, *memory; // memory: made with the first queue that wants it
    struct reeve_map *by_name;       // -> struct queue
    struct job_index *index;         // number -> struct job
    struct job_slab *slab;
    struct job_due due;
    struct reeve_timer timer;        // for the heap and the rates
    int64_t timer_mono;
    int64_t number;                  // last given
    struct job *dirty;               // list by dirty_next
    size_t bodies_bytes;
    int64_t disk_room;               // bytes that may be taken in before the disk is looked at again; < 0: it is too full
    int64_t disk_free;               // when it was looked at last
    struct queue *wanted;            // list by wanted_next
    struct link *out;                // links that have something to say
    struct job_message *made, **made_tail;     // of this turn
    struct job_message *unsent, **unsent_tail; // committed, and the bus had no room
    size_t unsent_len;
    uint64_t assigned;
    struct intake_reply *replies;    // of this turn, job_intake.c
    struct intake_reply *replies_tail;
    size_t replies_len;
    int64_t class_number;            // last given
    struct reeve_map *dependents;    // number as text -> struct dependents, job_after.c
    int64_t looked_mono;             // when all links were looked at
    bool hello_all;                  // ask every worker, as soon as the session and the disk allow
    bool loading;
    int64_t keep_mono, keepers, keepers_before; // queue_keep.c: who shares the work of a second
    uint64_t malformed, fenced, reports, batches, enqueues, refused;
};

// ---- job_memory.c ---------------------------------------------------------------------------------------------------
struct job_index *job_index_new(void);
void job_index_free(struct job_index *index);
struct job *job_index_get(const struct job_index *index, int64_t number);
enum reeve_err job_index_put(struct job_index *index, struct job *job);
void job_index_remove(struct job_index *index, int64_t number);
void job_index_each(struct job_index *index, void (*each)(struct job *job, void *arg), void *arg); // must not change the index
size_t job_index_len(const struct job_index *index);
struct job_slab *job_slab_new(void);
void job_slab_free(struct job_slab *slab);
struct job *job_slab_take(struct job_slab *slab); // zeroed; NULL = out of memory
void job_slab_give(struct job_slab *slab, struct job *job);
enum reeve_err job_due_put(struct job_due *due, struct job *job, int64_t due_mono); // moves it when it is there
void job_due_remove(struct job_due *due, struct job *job);
void job_list_append(struct job_list *list, struct job *job);
void job_list_remove(struct job_list *list, struct job *job);

// ---- job_state.c ----------------------------------------------------------------------------------------------------
// A job that is new in memory: into index and counts. NULL = out of memory.
struct job *job_new(struct queue *queue, struct job_class *class, int64_t number, struct reeve_span key);
void job_dirty(struct job *job);
// The setter: from where it is to `state`; lists, keys, counts, heap, dirty mark. `job->due_mono` first for DELAYED. Waiting jobs go
// where the table above says.
void job_set(struct job *job, enum reeve_job_state state, const char *cause);
void job_restore(struct job *job); // put it where its state belongs, after it was loaded
// It has ended: writes the row, lets dependants and its key's next go on, frees it. `result`, `error` may be empty.
void job_end(struct job *job, enum reeve_job_state state, struct reeve_span result, struct reeve_span error);
// An attempt has failed: back-off and another one, or the end; past the point of no return `unknown`.
void job_failed(struct job *job, struct reeve_span error, int64_t delay_ms, bool for_good);
// Its worker is gone or handed it back; `died`: with the job in hand.
void job_lost(struct job *job, bool died, const char *cause);
void job_drop(struct job *job); // out of memory's structures, without a word to the store
void job_keys_look(struct queue *queue); // max_per_key has grown: more of each key may go
void job_due_fired(struct job *job); // its time has come: delayed, or an attempt's timeout

// ---- job_class.c ----------------------------------------------------------------------------------------------------
struct job_class *job_class_get(struct queue *queue, struct reeve_span type, struct reeve_span requires, struct reeve_why *why);
struct job_class *job_class_add(struct queue *queue, int64_t number, struct reeve_span type, struct reeve_span requires,
                                struct reeve_why *why);
void job_class_free(struct job_class *class);
struct queue *job_queue(const struct job *job);
// id and body as they were enqueued, from memory or disk. Valid until the next call into the store.
enum reeve_err job_load(const struct job *job, struct reeve_span *ret_id, struct reeve_span *ret_raw, struct reeve_why *why);
void job_body_drop(struct job *job);
void job_body_keep(struct job *job, struct reeve_span id, struct reeve_span raw); // when there is room
void job_history(struct job *job, const char *what, struct reeve_span error); // a line of what happened to it, kept with it
void job_note_add(struct queue *queue, int64_t number, enum job_note note, struct reeve_value *entry, size_t len_max); // takes entry

// ---- job_after.c ----------------------------------------------------------------------------------------------------
// `job` waits for the live job `on`. LIMIT, NOMEM.
enum reeve_err after_add(struct queues *queues, struct job *job, int64_t on, bool store);
void after_met(struct queues *queues, struct job *on); // it is completed
void after_forget(struct queues *queues, struct job *job); // a job goes that waits
void after_clear(struct queues *queues);

// ---- job_intake.c ---------------------------------------------------------------------------------------------------
// topic .../cmd/enqueue; `queue` NULL = there is none of that `name`
void intake_delivery(struct queues *queues, struct queue *queue, const char *name, const struct reeve_delivery *delivery);
void intake_look_at_disk(struct queues *queues); // once a second
void intake_settle(struct queues *queues, bool committed); // replies leave
void intake_forget(struct queues *queues); // replies never leave: the manager ends in the middle of a turn
// A job of our own making (schedules): OK, CONFLICT = its id is known, or what is wrong.
enum reeve_err intake_job(struct queue *queue, struct reeve_span id, const struct reeve_value *job, struct reeve_why *why);

// ---- job_report.c, job_link.c ---------------------------------------------------------------------------------------
void report_delivery(struct queues *queues, struct queue *queue, const struct reeve_delivery *delivery);
struct link *link_get(struct queue *queue, struct reeve_span worker, int64_t epoch); // makes one; NULL = out of memory, or no name
void link_say(struct link *link);  // it has something to say in this turn
void link_flush(struct link *link); // it says it now: it is about to be freed
void link_gone(struct link *link, enum link_gone how, const char *cause); // its jobs go back; frees it
void link_free(struct link *link);
void links_worker(struct queues *queues, const char *node, const char *worker); // what the fleet knows of it changed
void links_tick(struct queues *queues);
void links_hello(struct queues *queues); // ask everybody

// ---- job_dispatch.c -------------------------------------------------------------------------------------------------
void dispatch_want(struct queue *queue); // something changed that may let a job start
void dispatch_run(struct queues *queues);
void dispatch_abandon(struct link *link, struct reeve_span id, int64_t attempt, const char *reason);
void dispatch_cancel(struct job *job, const char *reason, int64_t grace_ms);
void dispatch_post(struct queues *queues, struct job_message *message); // committed: it leaves as soon as the bus has room; taken
void job_timeout_restore(struct job *job, struct reeve_span raw); // of an attempt that a former manager began: from now on
void dispatch_settle(struct queues *queues, bool committed); // batches leave; also again when the bus has room
void dispatch_forget(struct queues *queues); // what was not sent: the session is over
bool dispatch_eligible(const struct link *link, const struct job_class *class, bool reconcile);

// ---- queue_rows.c ---------------------------------------------------------------------------------------------------
void queue_rows_write(struct queues *queues, bool store); // of this turn; false: what is dirty is not so
void queues_forget(struct queues *queues);                // everything in memory

// ---- queue.c, queue_status.c, queue_schedule.c, queue_keep.c ----------------------------------------------------------
struct queue *queue_find(const struct queues *queues, const char *name);
struct queue *queue_open(struct queues *queues, const char *name, struct reeve_queue_spec *spec, struct reeve_why *why); // takes spec
void queue_close(struct queue *queue);
struct reeve_value *queue_document(const struct queue *queue); // as stored: {spec, paused, draining}
void queue_store(struct queue *queue);                          // in this turn
enum reeve_err queue_limits_changed(struct queue *queue, struct reeve_why *why); // the ring of the rate fits the spec again
void queue_timer(struct queues *queues, int64_t due_mono); // look again then
void queue_change(struct queue *queue, struct job *job, enum reeve_job_state state, struct reeve_span error); // for events and records
void queue_status_tick(struct queue *queue);
void queue_status_turn(struct queue *queue); // events of this turn
void queue_schedules_load(struct queue *queue);
void queue_schedules_tick(struct queue *queue);
void queue_schedules_free(struct queue *queue);
// Before they are freed: others take their place, or none (spec NULL).
void queue_schedules_change(struct queue *queue, const struct reeve_queue_spec *spec);
void queue_keep_tick(struct queue *queue);
void queue_keep_turn(struct queue *queue);    // a small step, in a turn that is committed anyway
void queue_ended_counts(struct queue *queue); // of kept jobs, as the store has them
struct reeve_value *queue_status_value(struct queue *queue); // as published
void job_record_remove(struct queue *queue, struct reeve_span id); // the retained record, where the queue has them
enum reeve_err schedules_check(const struct reeve_queue_spec *spec, struct reeve_why *why); // their cron expressions

// ---- job_explain.c ----------------------------------------------------------------------------------------------------
struct job_explained {
    char why[400];
    struct reeve_value *details; // LIST of text, the most important first; the caller's
};
void job_explain(const struct job *job, struct job_explained *ret);
void job_explain_ended(const struct job_ended_row *row, struct job_explained *ret);
// Why no link at all may do what `class` asks for; false = one may.
bool job_unmatched(const struct job_class *class, bool reconcile, char *buf, size_t buf_len);

#endif
