// The worker SDK. A worker is a main of ten lines and a table of commands; it gets the session with the
// broker, epoch and last will, status heartbeat, capabilities, declared commands, configuration, graceful
// SIGTERM (drain, then leave with a clean goodbye) and logging.
//
//   static enum reeve_err echo(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
//   {
//       return reeve_call_done(call, reeve_value_clone(reeve_call_args(call)), NULL);
//   }
//   static const struct reeve_worker_command commands[] = {
//       {.name = "echo", .summary = "Answers with its arguments.", .run = echo}, {0}};
//   static const struct reeve_worker_program program = {.type = "probe", .version = "1", .commands = commands};
//   int main(int argc, char **argv) { return reeve_worker_main(argc, argv, &program); }
//
// One thread, a libuv loop (reeve_worker_loop()); nothing of the SDK is called from another thread but
// reeve_worker_post(). Started by a daemon it takes everything from the environment (REEVE_*); by hand from options.
#ifndef REEVE_WORKER_H
#define REEVE_WORKER_H

#include <reeve/bus.h>
#include <reeve/lifecycle.h>
#include <reeve/message.h>

struct reeve_worker;
struct reeve_call; // one received command, until its terminal reply

// Shown in `status`, so that a GUI can draw the form; checked before `run` is called, which then sees one spelling whatever the
// sender wrote: int and real as numbers, bool as truth, duration as ms, size as bytes (text as from mosquitto_pub included).
struct reeve_worker_arg {
    const char *name;
    const char *type; // "string" "int" "real" "bool" "duration" "size" "any"; a bare number is a duration only if the name is
                      // `ms` or ends in `_ms`
    bool required;
    const char *doc;
};
struct reeve_worker_command {
    const char *name;     // [topic-2]
    const char *summary;  // one line
    const char *main_arg; // argument that plain text on the topic stands for [payload-3]; NULL = takes no text
    const struct reeve_worker_arg *args; // ends with name NULL; NULL = none declared, anything goes
    // Runs on the loop. Either finishes the call (reeve_call_done/_fail) now or later, or returns an error, which fails it.
    // Before it is called the SDK has refused what is retained, malformed, expired, unexpected or badly argued, and answered a
    // repeated id from memory. At most 256 calls are in hand.
    enum reeve_err (*run)(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
};

// ---- jobs: handlers by type ----------------------------------------------------------------------------------------
struct reeve_job; // one attempt at a job, in hand until it is ended by one of the calls below
struct reeve_worker_job_type {
    const char *type; // "report"; "*" = whatever no other row names
    // Runs on the loop. Ends the job (reeve_job_done and so on) now or later, or returns an error, which is a `retry` with that reason.
    enum reeve_err (*run)(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why);
    // It is to end: asked for ("cancelled"), out of time ("timeout"), no longer ours ("fenced", "lease"), or this worker leaves ("stop"). The handler
    // ends it as soon as it can; after `grace_ms` the SDK reports it as ended, but the handler still has to end it for itself: until then
    // it takes a slot of `concurrency`, and its memory stays. NULL = it runs to its end, whose report may then be refused.
    void (*cancel)(struct reeve_worker *worker, struct reeve_job *job, const char *reason, int64_t grace_ms);
    // For types that pass a point of no return [job-7]: find out what became of the job from outside, and end it by done, fail, retry
    // (can't tell yet) or reeve_job_not_done(). NULL = this worker reconciles none, and reeve_job_no_return() is refused.
    enum reeve_err (*reconcile)(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why);
};

struct reeve_worker_program {
    const char *type;     // "probe"
    const char *version;
    const char *summary;  // for --help
    const char *const *capabilities; // NULL-terminated; more by reeve_worker_capability_add()
    const struct reeve_worker_command *commands; // ends with name NULL
    // Ends with type NULL; NULL = takes none. Queues by reeve_worker_serve(). Read after `start`, which may still fill it in from
    // the configuration; later it stays as it is.
    const struct reeve_worker_job_type *jobs;
    const struct reeve_record *config_record; // configuration decoded into `config_size` bytes; NULL = as a tree only
    // All optional.
    enum reeve_err (*start)(struct reeve_worker *worker, struct reeve_why *why); // before connecting; failure = exit 1
    // New configuration by `configure`; checked against config_record before. Failure keeps the old.
    enum reeve_err (*configure)(struct reeve_worker *worker, const void *config, const struct reeve_value *tree,
                                struct reeve_why *why);
    void (*pause)(struct reeve_worker *worker);  // it may take no new work from now on: `pause`, or `offline`
    void (*resume)(struct reeve_worker *worker); // it may again: nothing of pause, drain and offline is left
    // Take no new work, finish what is in hand, then reeve_worker_drained(). NULL = drained at once.
    void (*drain)(struct reeve_worker *worker);
    // Just before the goodbye: stop what is yours on the loop, end the calls you keep. Those you do not end are cancelled
    // when it returns; no call is valid after that.
    void (*stop)(struct reeve_worker *worker);
    int64_t drain_ms; // longest wait for drained after SIGTERM; preset 5 s; the daemon's grace time is the hard end
};

// SIGTERM and SIGINT drain and leave, a second one hastens; SIGHUP reads the configuration file again. A broker that is away is
// no reason to end: the worker works on and keeps trying.
// Returns the exit code: 0 clean goodbye, 1 failed, 2 usage or configuration, 125 another holder of the name is there
// (the daemon does not restart it) [session-7].
int reeve_worker_main(int argc, char **argv, const struct reeve_worker_program *program);

uv_loop_t *reeve_worker_loop(struct reeve_worker *worker);
struct reeve_bus *reeve_worker_bus(struct reeve_worker *worker);
const char *reeve_worker_name(const struct reeve_worker *worker);
const char *reeve_worker_node(const struct reeve_worker *worker);
int64_t reeve_worker_run(const struct reeve_worker *worker);    // 0 = by hand
// Under a lease: the fencing number, which only grows; whoever writes to something shared sends it along, so that a former
// holder can be refused there. 0 = under none.
int64_t reeve_worker_fence(const struct reeve_worker *worker);
const char *reeve_worker_pool(const struct reeve_worker *worker);    // NULL = of none
const char *reeve_worker_account(const struct reeve_worker *worker); // NULL = of none
uint64_t reeve_worker_epoch(const struct reeve_worker *worker);
const void *reeve_worker_config(const struct reeve_worker *worker); // decoded by config_record, or NULL
const struct reeve_value *reeve_worker_config_value(const struct reeve_worker *worker);
void *reeve_worker_data(const struct reeve_worker *worker);     // yours
void reeve_worker_set_data(struct reeve_worker *worker, void *data);

// Status; each change is published at once, damped to 20 a second, the newest wins.
void reeve_worker_set_jobs(struct reeve_worker *worker, int64_t jobs_in_hand); // 0 = idle, more = processing; those of queues count beside them
void reeve_worker_set_safe_to_stop(struct reeve_worker *worker, bool safe, const char *reason);
enum reeve_err reeve_worker_capability_add(struct reeve_worker *worker, const char *capability, struct reeve_why *why);
void reeve_worker_drained(struct reeve_worker *worker);
void reeve_worker_hang(struct reeve_worker *worker, bool on); // tests: stop heartbeat and watchdog, stay connected
void reeve_worker_leave(struct reeve_worker *worker, int exit_code); // drain, goodbye, exit; a second time does nothing

// Health, into the status as `checks` and `work`. A check that turns goes out at once; values, counters and progress with the next
// heartbeat, at the latest after 2 s.
#define REEVE_WORKER_CHECKS_MAX 16
// Something of its own domain that the worker watches: "quotes_age", value 3.5, warn 5, fail 10. `ok` is what counts; value and thresholds
// are shown (NAN = left out). The same name again renews it. INVALID: no name; LIMIT: 16 are declared.
enum reeve_err reeve_worker_check(struct reeve_worker *worker, const char *name, bool ok, double value, double warn, double fail,
                                  const char *message);
void reeve_worker_check_clear(struct reeve_worker *worker, const char *name); // not watched any more
void reeve_worker_count(struct reeve_worker *worker, int64_t done, int64_t failed); // so many more jobs ended well and not
// Of the job in hand: 0..1, and what it is at. Below 0 or NAN: it tells none. A worker that tells progress is failing a check when it
// stands still too long with a job in hand, so call it also when only `text` is new.
void reeve_worker_set_progress(struct reeve_worker *worker, double fraction, const char *text);

// Topics of its own. `metrics` and `progress` are QoS 0 and may be dropped, counted.
enum reeve_err reeve_worker_event(struct reeve_worker *worker, const char *kind, const struct reeve_value *detail);
enum reeve_err reeve_worker_metrics(struct reeve_worker *worker, const struct reeve_value *metrics);
enum reeve_err reeve_worker_progress(struct reeve_worker *worker, const struct reeve_value *progress);

// Calls. `args` is a MAP, never NULL, borrowed until the terminal reply.
const struct reeve_value *reeve_call_args(const struct reeve_call *call);
const char *reeve_call_id(const struct reeve_call *call);
const char *reeve_call_op(const struct reeve_call *call);
// A `running` reply: progress of a long command.
enum reeve_err reeve_call_progress(struct reeve_call *call, const char *message, struct reeve_value *result);
// Terminal; they end the call. `result` is taken (NULL = none). Return OK, so that `return reeve_call_done(...)` reads well.
enum reeve_err reeve_call_done(struct reeve_call *call, struct reeve_value *result, const char *message);
enum reeve_err reeve_call_fail(struct reeve_call *call, enum reeve_err err, const struct reeve_why *why);

// From any thread: call `fn` on the loop. Bounded (1,024): LIMIT when full.
enum reeve_err reeve_worker_post(struct reeve_worker *worker, void (*fn)(struct reeve_worker *worker, void *arg), void *arg);

// ---- jobs ----------------------------------------------------------------------------------------------------------
// A job that is taken is reported in any case: what happened leaves at once while little happens, and in batches under load; it is kept and sent
// again until the manager has it on disk, also across sessions. A job that is no longer this worker's (its manager gave it to another,
// or has not been heard of within its lease) is cancelled with that reason; what it still says is dropped.
struct reeve_worker_queue {
    const char *queue;   // [topic-2]
    int64_t concurrency; // jobs that run at the same time; 0 = 1, at most 1,000
    int64_t prefetch;    // jobs beyond them that wait here already; 0 = as many as run, at most 1,000; < 0 = none
};
#define REEVE_WORKER_QUEUES_MAX 16
// Take jobs of this queue from now on, or with other numbers. In `start` or later. INVALID: the name, a number; LIMIT: too many; UNSUPPORTED: the
// program has no `jobs`.
enum reeve_err reeve_worker_serve(struct reeve_worker *worker, const struct reeve_worker_queue *queue, struct reeve_why *why);
void reeve_worker_unserve(struct reeve_worker *worker, const char *queue); // what runs is finished, what waits goes back
size_t reeve_worker_jobs_in_hand(const struct reeve_worker *worker);
struct reeve_job *reeve_worker_job_find(struct reeve_worker *worker, const char *queue, const char *id); // in hand and not ended; NULL

// All borrowed, until the job is ended.
const char *reeve_job_id(const struct reeve_job *job);
const char *reeve_job_type(const struct reeve_job *job);
const char *reeve_job_queue(const struct reeve_job *job);
int64_t reeve_job_attempt(const struct reeve_job *job); // the fencing number: grows with every attempt at this job, on any worker
bool reeve_job_reconciling(const struct reeve_job *job);
int64_t reeve_job_timeout_ms(const struct reeve_job *job);
const struct reeve_value *reeve_job_payload(struct reeve_job *job);    // NULL = none. Decoded when it is first asked for
const struct reeve_value *reeve_job_checkpoint_value(struct reeve_job *job); // of an earlier attempt; NULL = none
const void *reeve_job_payload_bytes(const struct reeve_job *job, size_t *ret_len); // as msgpack
void *reeve_job_data(const struct reeve_job *job); // the handler's own
void reeve_job_set_data(struct reeve_job *job, void *data);

// They end the job: it is not valid after them. `result` is taken (NULL = none). Return OK, so that `return reeve_job_done(...)` reads well.
enum reeve_err reeve_job_done(struct reeve_job *job, struct reeve_value *result);
enum reeve_err reeve_job_done_bytes(struct reeve_job *job, const void *msgpack, size_t len); // the result as one msgpack value; copied
enum reeve_err reeve_job_retry(struct reeve_job *job, const struct reeve_why *why, int64_t delay_ms); // delay < 0: by the job's back-off
enum reeve_err reeve_job_fail(struct reeve_job *job, const struct reeve_why *why); // for good
enum reeve_err reeve_job_cancelled(struct reeve_job *job);
enum reeve_err reeve_job_release(struct reeve_job *job);  // hand it back, not begun
enum reeve_err reeve_job_not_done(struct reeve_job *job); // reconciling: nothing had happened
// They do not.
enum reeve_err reeve_job_progress(struct reeve_job *job, double fraction, const char *text); // may be dropped, the newest wins
enum reeve_err reeve_job_log(struct reeve_job *job, const char *line); // kept with the job, the last 100 lines
// `data` (taken) is on disk when `stored` is called with OK: only then may the handler go on. With an error (CONFLICT: fenced; CANCELLED: this
// worker leaves) it has to stop. `stored` is not called once the job has ended.
typedef void reeve_job_stored(struct reeve_worker *worker, struct reeve_job *job, enum reeve_err err, void *arg);
enum reeve_err reeve_job_checkpoint(struct reeve_job *job, struct reeve_value *data, reeve_job_stored *stored, void *arg, struct reeve_why *why);
// The same, and from then on no ordinary attempt is made at this job any more [job-7]. UNSUPPORTED when its type has no `reconcile`.
enum reeve_err reeve_job_no_return(struct reeve_job *job, struct reeve_value *data, reeve_job_stored *stored, void *arg, struct reeve_why *why);

// ---- the contract between daemon and worker: environment ---------------------------------------------------------
// REEVE_ROOT reeve/v1/local   REEVE_NODE alpha   REEVE_WORKER mm-1   REEVE_RUN 4   REEVE_TYPE probe
// REEVE_POOL REEVE_ACCOUNT   as the spec says; absent = none          REEVE_FENCE 7   fencing number of this run; absent = none
// REEVE_BROKER_FILE   JSON file (0600) with the `broker` record of bus.h, credentials included
// REEVE_CONFIG_FILE   JSON file (0600) with the worker's `config`; absent = none
// REEVE_NOTIFY_FD     descriptor for READY=1, WATCHDOG=1, STATUS=...   REEVE_WATCHDOG_MS   longest silence allowed
//                     READY=1 comes once, after the first session is ready, or after 5 s without a broker
// REEVE_LOG_LEVEL     error warning info debug          REEVE_HEARTBEAT_MS  of the status; absent = 20000
#define REEVE_ENV_ROOT "REEVE_ROOT"
#define REEVE_ENV_NODE "REEVE_NODE"
#define REEVE_ENV_WORKER "REEVE_WORKER"
#define REEVE_ENV_RUN "REEVE_RUN"
#define REEVE_ENV_TYPE "REEVE_TYPE"
#define REEVE_ENV_POOL "REEVE_POOL"
#define REEVE_ENV_ACCOUNT "REEVE_ACCOUNT"
#define REEVE_ENV_FENCE "REEVE_FENCE"
#define REEVE_ENV_BROKER_FILE "REEVE_BROKER_FILE"
#define REEVE_ENV_CONFIG_FILE "REEVE_CONFIG_FILE"
#define REEVE_ENV_NOTIFY_FD "REEVE_NOTIFY_FD"
#define REEVE_ENV_WATCHDOG_MS "REEVE_WATCHDOG_MS"
#define REEVE_ENV_LOG_LEVEL "REEVE_LOG_LEVEL"
#define REEVE_ENV_HEARTBEAT_MS "REEVE_HEARTBEAT_MS"

#endif
