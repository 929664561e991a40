// The worker's life as pure functions: no I/O, no clock, no allocation. (state, event) -> (state, effects).
//
//                  start                 spawned/ready
//   created ───────────────► starting ─────────────────► running
//      │ stop                  │  ▲ │ exit                 │  │ exit, policy restarts
//      ▼        exit           │  │ └────────┐             │  ▼
//   stopped ◄──────────── stopping◄──────────┼── stop ─────┘ restarting ──► (back-off over) starting
//      │ start                 │  │ start    │                 │
//      └──────► starting       │  └─► (then) ▼                 ▼ too many in the window
//                              └──────► restarting ────────► failed ── reset ──► starting / stopped
//
// Invariants (tested over every cell and over random schedules):
//   1. A process exists only in starting, running, stopping; effect SPAWN leaves only from states without one.
//   2. Back-off is armed in restarting and nowhere else.
//   3. After the last of any sequence of start/stop/restart/kill the machine ends, once exits and timers
//      have come in, in the state which that last command asked for (failed needs reset).
//   4. failed is left by reset, stop, kill and remove only.
#ifndef REEVE_LIFECYCLE_H
#define REEVE_LIFECYCLE_H

#include <reeve/err.h>
#include <stdint.h>

// ---- the worker state machine -------------------------------------------------------------------

// id, text. LOST and UNKNOWN exist only in verdicts, never in the machine.
#define REEVE_STATE_LIST(X)                                                                                            \
    X(CREATED, "created")       /* known, never asked to run. May own: nothing */                                      \
    X(STARTING, "starting")     /* process asked for or there, not ready. Owns: run, readiness timer */                \
    X(RUNNING, "running")       /* process ready. Owns: run, watchdog */                                               \
    X(STOPPING, "stopping")     /* asked to end, still there. Owns: run, grace timer (in the shim) */                  \
    X(STOPPED, "stopped")       /* no process, none wanted, or its policy says that it is finished */                  \
    X(RESTARTING, "restarting") /* no process, one wanted. Owns: back-off timer */                                     \
    X(FAILED, "failed")         /* gave up: too many ends in the window. Waits for reset */                            \
    X(LOST, "lost")             /* verdict: runs but does not speak, or spoke and does no more */                      \
    X(UNKNOWN, "unknown")       /* verdict: nobody who could know is there */
enum reeve_state {
#define X(id, text) REEVE_STATE_##id,
    REEVE_STATE_LIST(X)
#undef X
        REEVE_STATE_COUNT
};
#define REEVE_STATE_MACHINE_COUNT (REEVE_STATE_FAILED + 1)
const char *reeve_state_text(enum reeve_state state);
bool reeve_state_parse(const char *text, enum reeve_state *ret);
bool reeve_state_has_process(enum reeve_state state); // starting, running, stopping

#define REEVE_EVENT_LIST(X)                                                                                            \
    X(START, "start")                 /* somebody wants it to run */                                                   \
    X(STOP, "stop")                   /* somebody wants it gone, with its grace time */                                \
    X(KILL, "kill")                   /* somebody wants it gone now; also wants it stopped afterwards */               \
    X(RESTART, "restart")             /* a new run, whatever is */                                                     \
    X(RESET, "reset")                 /* forget failures; from failed: start again if it is wanted, else stopped */    \
    X(READY, "ready")                 /* the run is ready (for `immediate`: spawned) */                                \
    X(READY_TIMEOUT, "ready_timeout") /* it did not become ready in time: it is ended and counts as a failure */       \
    X(EXIT_AGAIN, "exit_again")       /* the process ended by itself, the policy starts another */                     \
    X(EXIT_FINAL, "exit_final")       /* it ended by itself, the policy does not restart */                            \
    X(EXIT_GAVE_UP, "exit_gave_up")   /* it ended by itself once too often */                                          \
    X(BACKOFF_OVER, "backoff_over")   /* the timer of restarting */
enum reeve_event {
#define X(id, text) REEVE_EVENT_##id,
    REEVE_EVENT_LIST(X)
#undef X
        REEVE_EVENT_COUNT
};
const char *reeve_event_text(enum reeve_event event);

// What the caller has to do, in this order. A set of bits.
enum reeve_effect {
    REEVE_EFFECT_DISARM_BACKOFF = 1 << 0,
    REEVE_EFFECT_ARM_BACKOFF = 1 << 1, // with the delay that reeve_backoff_next() gave
    REEVE_EFFECT_FORGET_FAILURES = 1 << 2,
    REEVE_EFFECT_SIGNAL_STOP = 1 << 3, // stop signal to the process, SIGKILL to the group after the grace time
    REEVE_EFFECT_SIGNAL_KILL = 1 << 4, // SIGKILL to the whole group now
    REEVE_EFFECT_SPAWN = 1 << 5,       // start a new run
};

// All that the machine remembers. Zeroed + state = CREATED is a fresh one. Only reeve_machine_step() writes it,
// but for restoring it after an adoption.
struct reeve_machine {
    enum reeve_state state;
    bool wanted;     // desired: running
    bool then_start; // STOPPING: start again when the process is gone (restart, or start after stop)
    bool failing;    // STOPPING because it missed its readiness: the exit counts as a failure, by policy
};

struct reeve_step {
    enum reeve_err err; // OK, or CONFLICT: the event is refused in this state and nothing changed
    unsigned effects;
    bool changed;       // the state is another one
    enum reeve_state from;
    const char *reason; // of a refusal, for the reply: "worker has failed; `reset` starts it afresh"
};
// EXIT_* in STOPPING end the stop whatever they say (policy does not count there, unless `failing`): the
// caller may send any of the three. Never asserts on any (state, event): cells that can't happen in order
// (a late BACKOFF_OVER, READY after exit) are `stay`.
struct reeve_step reeve_machine_step(struct reeve_machine *machine, enum reeve_event event);
// The table as text, one line per cell: `stopping start -> stopping [then start]`. For docs and tests. NULL past the end.
const char *reeve_machine_cell_text(enum reeve_state state, enum reeve_event event, char *buf, size_t buf_len);

// ---- restart policy and back-off -------------------------------------------------------------------

enum reeve_restart_policy { REEVE_RESTART_ALWAYS, REEVE_RESTART_ON_FAILURE, REEVE_RESTART_NEVER };

// delay(n) = min(initial * factor^(n-1), max), then +- jitter. n = failures in a row, from 1.
struct reeve_backoff_policy {
    enum reeve_restart_policy restart;
    int64_t initial_ms;   // 0 = at once, always
    int64_t max_ms;
    double factor;        // >= 1
    double jitter;        // 0..1: share of the delay
    int64_t healthy_ms;   // a run that lived this long forgets the failures before it
    int64_t restarts_max; // more than this many ends in `window_ms` = failed; 0 = no limit
    int64_t window_ms;
};
#define REEVE_BACKOFF_PRESET                                                                                           \
    {.restart = REEVE_RESTART_ALWAYS, .initial_ms = 100, .max_ms = 30000, .factor = 2, .jitter = 0.1,                  \
     .healthy_ms = 10000, .restarts_max = 10, .window_ms = 600000}

#define REEVE_BACKOFF_WINDOW_MAX 64 // bound of restarts_max
struct reeve_backoff {
    int64_t failures;                        // in a row
    int64_t ends[REEVE_BACKOFF_WINDOW_MAX];  // monotonic ms of the last ends, a ring
    size_t ends_len, ends_next;
};

struct reeve_exit {
    int code;       // exit code, -1 when ended by a signal
    int signal;     // 0 = none
    bool oom;       // killed by the memory limit
    int64_t ran_ms; // how long the run lived
};
// A clean end is exit code 0, nothing else: a signal nobody of ours sent is a failure.
bool reeve_exit_clean(const struct reeve_exit *end);

// What an end that nobody asked for leads to: EXIT_AGAIN with *ret_delay_ms, EXIT_FINAL or EXIT_GAVE_UP.
// Exit code 125 = "do not restart" (EXIT_FINAL), as `duplicate` workers use [session-7].
// `random` in [0,1) is the jitter's dice, so that the function stays pure.
enum reeve_event reeve_backoff_next(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy,
                                    const struct reeve_exit *end, int64_t now_mono, double random,
                                    int64_t *ret_delay_ms);
void reeve_backoff_forget(struct reeve_backoff *backoff);
// "100ms 200ms 400ms ... 30s (+-10%), then failed after 10 in 10m": what the documentation and --dry-run print.
const char *reeve_backoff_schedule(const struct reeve_backoff_policy *policy, char *buf, size_t buf_len);

// ---- verdicts: the fold [fold-1..10] -------------------------------------------------------------------

enum reeve_availability {
    REEVE_AVAILABILITY_NONE, // does not speak Reeve, or not known
    REEVE_AVAILABILITY_IDLE,
    REEVE_AVAILABILITY_PROCESSING,
    REEVE_AVAILABILITY_PAUSED,
    REEVE_AVAILABILITY_DRAINING,
    REEVE_AVAILABILITY_OFFLINE,
};
const char *reeve_availability_text(enum reeve_availability availability); // NONE = ""
bool reeve_availability_parse(const char *text, enum reeve_availability *ret);

// One witness as the reader knows it. Times are the reader's own monotonic clock, at arrival [session-5].
struct reeve_witness {
    bool present;
    uint64_t epoch;      // status, lwt: of the session
    int64_t arrived;     // when the newest record arrived
    int64_t heartbeat_ms; // status: as the record says; 0 = the preset of its kind
    bool goodbye;        // status: state/availability offline, a clean goodbye [session-4]
    enum reeve_availability availability; // worker.status
};
struct reeve_process_witness {
    bool present;
    enum reeve_state state; // CREATED..FAILED
    uint64_t epoch;         // of the daemon's session that wrote it
    int64_t run;
    bool speaks;            // the program is one that speaks Reeve; learned, or declared by the spec
    int64_t arrived;
    char why[256];
};
struct reeve_fold_input {
    struct reeve_witness node_status, node_lwt, worker_status, worker_lwt;
    struct reeve_process_witness process;
    int64_t reconnected; // the reader's own last (re)connect; verdicts hold for grace_ms after it [session-9]
    int64_t grace_ms;
    int64_t stale_counts; // out of nothing: records ignored for an old epoch or run [fold-9]; see reeve_fold_*_take
};
enum reeve_source { REEVE_SOURCE_OBSERVED, REEVE_SOURCE_INFERRED };
struct reeve_verdict {
    enum reeve_state state;
    enum reeve_availability availability;
    enum reeve_source source;
    bool unsupervised;          // [fold-5]
    enum reeve_state last_known; // with UNKNOWN
    int rule;                   // 1..8: which row decided; 0 = nothing known about it
    int64_t next_look;          // monotonic ms at which time alone may change the verdict; 0 = never
    char why[320];              // [fold-10]
};
struct reeve_verdict reeve_fold(const struct reeve_fold_input *input, int64_t now);
// Session liveness by [session-4] and [session-6]: dead (will), stale (2.5 heartbeats), left (goodbye), live, absent.
enum reeve_liveness { REEVE_ABSENT, REEVE_LIVE, REEVE_STALE, REEVE_DEAD, REEVE_LEFT };
enum reeve_liveness reeve_liveness(const struct reeve_witness *status, const struct reeve_witness *lwt,
                                   int64_t heartbeat_preset_ms, int64_t now);
const char *reeve_liveness_text(enum reeve_liveness liveness);
// [fold-9]: take a newer record over an older; false = ignored (lower epoch, or run within an epoch), counted in input.
bool reeve_fold_take(struct reeve_fold_input *input, struct reeve_witness *slot, const struct reeve_witness *newer);
bool reeve_fold_take_process(struct reeve_fold_input *input, const struct reeve_process_witness *newer);

#endif
