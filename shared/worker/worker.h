// Inside the SDK: what a worker is made of, and what its files call of each other.
// A file per concern; each owns the part of struct reeve_worker that carries its name.
// Must not: be included from outside shared/worker and its unit tests.
#ifndef REEVE_SHARED_WORKER_H
#define REEVE_SHARED_WORKER_H

#include "arguments.h"
#include "epoch.h"
#include "history.h"
#include "jobs.h"

#include <reeve/loop.h>
#include <reeve/presence.h>
#include <reeve/worker.h>

#define WORKER_DRAIN_MS_PRESET    5000
#define WORKER_JOBS_STOP_MS       (JOBS_STOP_GRACE_MS + 500) // their grace, and for the manager to confirm
#define WORKER_GOODBYE_MS         2000 // longest wait for the goodbye status and DISCONNECT to go out
#define WORKER_STATUS_INTERVAL_MS 50   // 20 changes a second at most; the newest wins
#define WORKER_WORK_INTERVAL_MS   2000 // of counters, progress and values, which may change with every job
#define WORKER_RENEW_INTERVAL_MS  1000 // [session-3]
#define WORKER_CALLS_MAX          256  // commands in hand
#define WORKER_POSTS_MAX          1024
#define WORKER_CAPABILITIES_MAX   64
#define WORKER_CHECKS_MAX         REEVE_WORKER_CHECKS_MAX
#define WORKER_TEXT_SIZE          128 // reasons and messages; longer ones are cut
#define WORKER_READY_WITHOUT_MS   5000 // with no broker for so long the worker calls itself ready: it works on without
#define WORKER_ALARM_TTL_MS       86400000

// ---- options.c: who this worker is and where its broker is, from options and environment ----------------------------

struct worker_settings {
    char root[REEVE_TOPIC_SIZE];
    char node[REEVE_NAME_SIZE];
    char name[REEVE_NAME_SIZE];
    int64_t run;             // 0 = by hand
    int64_t fence;           // 0 = it runs under no lease
    char pool[REEVE_NAME_SIZE], account[REEVE_NAME_SIZE]; // "" = none
    int64_t heartbeat_ms;    // of the status
    int64_t watchdog_ms;     // 0 = none
    int notify_fd;           // -1 = none
    const char *config_file; // NULL = none; borrowed from argv or the environment
    struct reeve_broker broker;
    bool broker_owned;
};
// OK: go on. *ret_exit >= 0: nothing more to do, exit with it (help, version; 2 after mistakes were printed).
void worker_settings_read(struct worker_settings *settings, int argc, char **argv,
                          const struct reeve_worker_program *program, int *ret_exit);
void worker_settings_done(struct worker_settings *settings);

// ---- the parts -----------------------------------------------------------------------------------------------------

struct worker_topics {
    char status[REEVE_TOPIC_SIZE], lwt[REEVE_TOPIC_SIZE], event[REEVE_TOPIC_SIZE];
    char metrics[REEVE_TOPIC_SIZE], progress[REEVE_TOPIC_SIZE];
    char commands[REEVE_TOPIC_SIZE]; // the filter
    char job[REEVE_TOPIC_SIZE];
};

struct worker_check { // what the program watches in its own domain
    char name[REEVE_NAME_SIZE];
    bool ok;
    double value, warn, fail; // NAN = left out
    char message[WORKER_TEXT_SIZE];
};
struct worker_work { // work.c
    struct worker_check checks[WORKER_CHECKS_MAX];
    size_t checks_len;
    int64_t done, failed;
    double progress; // only while progress_at is not 0
    char text[WORKER_TEXT_SIZE];
    int64_t progress_at; // wall: when it was told last; 0 = no progress is told
};

struct worker_status {        // status.c
    struct reeve_timer timer; // next heartbeat, or the next change that damping held back
    int64_t published_mono;
    int64_t held_until_mono; // a change waits for the timer until then; 0 = none does
    bool hanging;
    int64_t started_at;
    struct reeve_strv capabilities;
    struct reeve_value *commands; // LIST, as declared
    int64_t jobs; // as the program says; those of queues are beside them
    bool unsafe;
    char unsafe_reason[WORKER_TEXT_SIZE];
    bool paused, draining, offline;
    char reason[WORKER_TEXT_SIZE]; // of paused and draining
    char offline_reason[WORKER_TEXT_SIZE];
    struct worker_work work;
};

struct worker_session { // session.c
    uint64_t epoch;     // of the session that is, or is being opened
    uint64_t floor;     // the next epoch is above it
    bool renewing;      // asked for a higher epoch; the current one is void
    bool ready_once;
    int64_t renewed_mono;
    struct reeve_timer timer; // damping of renewals
    uint64_t malformed;       // records on our own topics that could not be read
};

struct worker_notify { // notify.c
    struct reeve_timer watchdog;
    struct reeve_timer ready;
    bool ready_said;
};

struct worker_calls {        // commands.c, call.c
    struct reeve_call *open; // newest first
    size_t open_len;
    struct history *history;
    struct reeve_call *drain; // waits for reeve_worker_drained(); also in `open`
    uint64_t done, failed, refused, repeated, unanswered;
};

enum leave_phase { LEAVE_NOT, LEAVE_DRAINING, LEAVE_GOODBYE, LEAVE_GONE };
struct worker_leave { // leave.c
    enum leave_phase phase;
    int exit_code;
    bool drained;
    bool stopping; // the drain time is over, jobs have been told
    bool silently; // no goodbye status: another holder of the name owns the topic now [session-7]
    struct reeve_timer timer;
};

struct worker_post {
    void (*fn)(struct reeve_worker *worker, void *arg);
    void *arg;
};
struct worker_posts { // post.c
    uv_async_t wake;
    uv_mutex_t lock;
    struct worker_post items[WORKER_POSTS_MAX];
    size_t first, len;
    bool open;
};

struct reeve_worker {
    const struct reeve_worker_program *program;
    struct worker_settings settings;
    struct worker_topics topics;
    uv_loop_t loop;
    bool loop_made;
    struct reeve_bus *bus;
    struct reeve_signals *signals;
    void *config;                    // decoded by program->config_record, or NULL
    struct reeve_value *config_tree; // a MAP, or NULL
    void *data;
    int64_t event_seq;
    struct worker_status status;
    struct worker_session session;
    struct worker_notify notify;
    struct worker_calls calls;
    struct worker_leave leave;
    struct worker_posts posts;
    struct worker_jobs jobs;
};

// config.c
enum reeve_err worker_config_load(struct reeve_worker *worker, const char *path); // prints all mistakes
enum reeve_err worker_config_apply(struct reeve_worker *worker, const struct reeve_value *tree, bool dry_run,
                                   struct reeve_why *why);                  // check, ask the program, then keep
void worker_config_reload(struct reeve_worker *worker);                     // SIGHUP
struct reeve_value *worker_config_shown(const struct reeve_worker *worker); // without secrets; NULL = none
void worker_config_done(struct reeve_worker *worker);

// status.c
enum reeve_err worker_status_init(struct reeve_worker *worker);
void worker_status_publish(struct reeve_worker *worker); // now, or as soon as damping allows
void worker_status_publish_work(struct reeve_worker *worker); // the same, damped for what changes all the time
void worker_status_publish_within(struct reeve_worker *worker, int64_t interval_ms); // damped by so much
// The same at most once a second: when somebody else wrote on our topic.
void worker_status_repeat(struct reeve_worker *worker);
void worker_status_goodbye(struct reeve_worker *worker);
enum reeve_availability worker_availability(const struct reeve_worker *worker);
struct reeve_value *worker_commands_value(const struct reeve_worker_command *commands);
void worker_status_close(struct reeve_worker *worker);
void worker_status_done(struct reeve_worker *worker);

// work.c
enum work_change { WORK_SAME, WORK_CHANGED, WORK_TURNED }; // turned: a check fails or is good again
enum reeve_err worker_work_check(struct worker_work *work, const struct worker_check *check, enum work_change *ret);
enum work_change worker_work_clear(struct worker_work *work, const char *name);
enum work_change worker_work_progress(struct worker_work *work, double fraction, const char *text, int64_t at);
struct reeve_value *worker_work_checks_value(const struct worker_work *work); // LIST; NULL = none are declared
struct reeve_value *worker_work_value(const struct worker_work *work);        // MAP; NULL = nothing was told

// session.c
void worker_session_init(struct reeve_worker *worker);
enum reeve_err worker_session_open(struct reeve_worker *worker, struct reeve_why *why); // makes and starts the bus
void worker_session_close(struct reeve_worker *worker);

// notify.c
void worker_notify_init(struct reeve_worker *worker);
void worker_notify_ready(struct reeve_worker *worker); // once; later calls do nothing
void worker_notify_hang(struct reeve_worker *worker, bool on);
void worker_notify_close(struct reeve_worker *worker);

// commands.c, builtin.c
void worker_on_command(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg);
extern const struct reeve_worker_command worker_builtin[]; // ends with name NULL

// call.c
struct reeve_call {
    struct reeve_worker *worker;
    struct reeve_call *next;
    char op[REEVE_NAME_SIZE];
    struct reeve_command command;
    uint64_t digest;
    int64_t seq;
    bool accepted; // said so
    bool *ended;   // set when the call ends while its `run` is still on the stack; NULL otherwise
};
// Takes `command` over. NULL = out of memory or WORKER_CALLS_MAX are in hand; the command stays the caller's.
struct reeve_call *worker_call_new(struct reeve_worker *worker, const char *op, struct reeve_command *command,
                                   uint64_t digest);
void worker_call_accept(struct reeve_call *call); // says `accepted` unless something was said already
struct reeve_call *worker_call_find(const struct reeve_worker *worker, const char *id);
void worker_calls_cancel(struct reeve_worker *worker); // ends all that are left
// Answer a command that never became a call.
void worker_answer(struct reeve_worker *worker, const struct reeve_command *command, const char *op,
                   struct reeve_reply *reply);

// leave.c
void worker_leave_init(struct reeve_worker *worker);
void worker_leave_hasten(struct reeve_worker *worker); // a second signal
void worker_leave_silently(struct reeve_worker *worker, int exit_code);
void worker_leave_close(struct reeve_worker *worker);

// publish.c
enum reeve_err worker_publish_event(struct reeve_worker *worker, const char *kind, struct reeve_value *detail);

// post.c
enum reeve_err worker_posts_init(struct reeve_worker *worker);
void worker_posts_close(struct reeve_worker *worker);

#endif
