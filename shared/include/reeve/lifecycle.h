// The worker's life as pure functions: no I/O, no clock, no allocation. (state, event) -> (state, effects).
// Holds the machine that the daemon drives, the restart back-off, and the fold of all witnesses into a verdict.
// Must not: know about processes, topics or the wall clock; the caller brings times and dice.
//
//        no process                     │   a process, or one asked for
//                                       │
//   created ─────── start ──────────────┼──►┐
//   stopped ─────── start ──────────────┼──►├─► starting ───── ready ────► running
//   restarting ──── back-off over ──────┼──►│      │ stop, kill, restart,     │ stop, kill,
//   failed ──────── reset ──────────────┼──►┘      │ ready_timeout            │ restart
//                                       │          ▼                          │
//   stopped ◄────── exit ───────────────┼────── stopping ◄────────────────────┘
//                                       │          └── exit, then_start ──► starting
//   restarting ◄─── exit_again ─────────┼───┐
//   stopped ◄────── exit_final ─────────┼───┼── starting, running, and stopping when `failing`
//   failed ◄─────── exit_gave_up ───────┼───┘
//                                       │
//   stopped ◄── stop, kill ── created, restarting, failed       restart = start where there is no process
//
// Invariants (tested over every cell and over random schedules):
//   1. A process exists in starting, running, stopping and nowhere else; SPAWN is asked for only when none is left.
//   2. Back-off is armed in restarting and nowhere else.
//   3. After the last of any sequence of start, stop, restart and kill the machine ends, once exits and timers
//      have come in, in the state which that last command asked for (failed needs reset).
//   4. Nothing but reset, stop and kill leaves failed. (Removing a worker drops its machine; it is no event.
//      Nor is the daemon's own end: that leaves processes alone.)
#ifndef REEVE_LIFECYCLE_H
#define REEVE_LIFECYCLE_H

#include <stdint.h>

#include <reeve/err.h>

// ---- the worker state machine -------------------------------------------------------------------

// id, text. LOST and UNKNOWN exist only in verdicts, never in the machine: a machine in one of them, or an
// event out of range, is a programmer error and asserted on.
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
const char *reeve_state_text(enum reeve_state state);            // never NULL; out of range gives "unknown"
bool reeve_state_parse(const char *text, enum reeve_state *ret); // *ret untouched when the text is none of them
bool reeve_state_has_process(enum reeve_state state);            // starting, running, stopping

#define REEVE_EVENT_LIST(X)                                                                                            \
    X(START, "start")                 /* somebody wants it to run; starts at once where nothing runs */                \
    X(STOP, "stop")                   /* somebody wants it gone, with its grace time */                                \
    X(KILL, "kill")                   /* somebody wants it gone now; also wants it stopped afterwards */               \
    X(RESTART, "restart")             /* a new run, whatever is (but failed) */                                        \
    X(RESET, "reset")                 /* forget failures; in failed and restarting also start at once, when wanted */  \
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
    REEVE_EFFECT_ARM_BACKOFF = 1 << 1,     // with the delay that reeve_backoff_next() gave; 0 may skip the timer
    REEVE_EFFECT_FORGET_FAILURES = 1 << 2, // reeve_backoff_forget()
    REEVE_EFFECT_SIGNAL_STOP = 1 << 3,     // stop signal to the process, SIGKILL to the group after the grace time
    REEVE_EFFECT_SIGNAL_KILL = 1 << 4,     // SIGKILL to the whole group now
    REEVE_EFFECT_SPAWN = 1 << 5, // start a new run; one that can't be started is an exit (EXIT_*) like any other
};

// All that the machine remembers. Zeroed is a fresh one (CREATED). Only reeve_machine_step() writes it, but for
// restoring it after an adoption. Plain data: step a copy to learn what a command would do, store the copy's
// `wanted` on disk, then step the real one.
struct reeve_machine {
    enum reeve_state state;
    bool wanted;     // desired: running. True in starting, running and restarting; kept through EXIT_FINAL and failed
    bool then_start; // STOPPING: start again when the process is gone (restart, or start after stop)
    bool failing; // STOPPING because it missed its readiness: the exit goes by policy. Any command but reset clears it
};

struct reeve_step {
    enum reeve_err err; // OK, or CONFLICT: the event is refused in this state and nothing changed
    unsigned effects;   // bits of enum reeve_effect
    bool changed;       // the state is another one
    enum reeve_state from;
    const char *reason; // of a refusal, for the reply: "worker has failed; `reset` starts it afresh". Else NULL
};
// Never asserts on a (state, event) of the machine: what can't happen in order (a late BACKOFF_OVER, READY after
// the exit, EXIT_* without a process) is `stay`. EXIT_* in STOPPING ends the stop whichever it is; only when
// `failing` does the policy count there. START and RESTART in FAILED are refused.
// FORGET_FAILURES comes with reset and with a start of what was created, stopped or told to stop.
struct reeve_step reeve_machine_step(struct reeve_machine *machine, enum reeve_event event);
// A cell of the table as one line. For documentation and tests. NULL when state or event is past the end.
//   created start -> starting [wanted, forget_failures, spawn]
//   stopping exit_again -> starting [spawn] if then_start, -> restarting [arm_backoff] if failing, else -> stopped
//   running ready: stay
//   failed start: reject (worker has failed; `reset` starts it afresh)
// `!wanted` clears. then_start and failing are not named where they end because stopping is left.
#define REEVE_MACHINE_CELL_TEXT_LEN 192
const char *reeve_machine_cell_text(enum reeve_state state, enum reeve_event event, char *buf, size_t buf_len);

// ---- restart policy and back-off -------------------------------------------------------------------

enum reeve_restart_policy { REEVE_RESTART_ALWAYS, REEVE_RESTART_ON_FAILURE, REEVE_RESTART_NEVER };

// delay(n) = min(initial * factor^(n-1), max), then +- jitter, in whole ms. n = ends in a row, from 1. The jitter
// comes last, so that workers which all sit at max_ms do not come back in step: a delay may be max_ms + jitter.
// Every end that is followed by a restart counts, a clean one too: `always` and a program that ends at once
// would spin otherwise.
struct reeve_backoff_policy {
    enum reeve_restart_policy restart;
    int64_t initial_ms; // 0 = at once, always
    int64_t max_ms;
    double factor;        // >= 1; less counts as 1
    double jitter;        // 0..1: share of the delay
    int64_t healthy_ms;   // a run that lived this long forgets every end before it, also in the window; 0 = none does
    int64_t restarts_max; // one end more than this within `window_ms` = failed; 0 = no limit
    int64_t window_ms;    // an end this old has left the window
};
#define REEVE_BACKOFF_PRESET                                                                                           \
    {                                                                                                                  \
        .restart = REEVE_RESTART_ALWAYS, .initial_ms = 100, .max_ms = 30000, .factor = 2, .jitter = 0.1,               \
        .healthy_ms = 10000, .restarts_max = 10, .window_ms = 600000                                                   \
    }

#define REEVE_BACKOFF_WINDOW_MAX 64 // bound of restarts_max; more counts as this
// Zeroed is a fresh one.
struct reeve_backoff {
    int64_t failures;                       // ends in a row that led to a restart (or to giving up)
    int64_t ends[REEVE_BACKOFF_WINDOW_MAX]; // monotonic ms of the last ends, a ring
    size_t ends_len, ends_next;
};

struct reeve_exit {
    int code;       // exit code, -1 when ended by a signal
    int signal;     // 0 = none
    bool oom;       // killed by the memory limit
    int64_t ran_ms; // how long the run lived
};
// A clean end is exit code 0, nothing else: a signal that we did not send is a failure.
bool reeve_exit_clean(const struct reeve_exit *end);

// What an end that nobody asked for leads to: EXIT_AGAIN with *ret_delay_ms, EXIT_FINAL or EXIT_GAVE_UP (delay 0).
// Not to be called for an end that was asked for (stopping and not `failing`): that is no failure.
// Exit code 125 = "do not restart" (EXIT_FINAL) under every policy, as `duplicate` workers use [session-7].
// EXIT_FINAL leaves `backoff` as it was. `random` in [0,1) is the jitter's dice, so that the function stays pure.
#define REEVE_EXIT_DO_NOT_RESTART 125
enum reeve_event reeve_backoff_next(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy,
                                    const struct reeve_exit *end, int64_t now_mono, double random,
                                    int64_t *ret_delay_ms);
void reeve_backoff_forget(struct reeve_backoff *backoff);
// The schedule in words, what the documentation and --dry-run print; at most twelve delays are written out:
// "1s 3s 9s 10s (+-10%), then failed after 10 in 10m, forgets after 1m". Returns buf.
#define REEVE_BACKOFF_SCHEDULE_LEN 320
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

// The presets of [session-6], for a status that does not say.
#define REEVE_NODE_HEARTBEAT_MS   5000
#define REEVE_WORKER_HEARTBEAT_MS 20000
#define REEVE_HEARTBEAT_MS_MAX    86400000 // bound of what a record may say; more counts as this
#define REEVE_GRACE_MS            5000     // preset [session-9]

// One witness as the reader knows it. Times are the reader's own monotonic clock, at arrival [session-5].
// Not present with an epoch: the record was removed, and its epoch is remembered.
struct reeve_witness {
    bool present;
    bool will;            // a last will (lwt), no status
    bool goodbye;         // status: state or availability `offline`, a clean goodbye [session-4]
    uint64_t epoch;       // of the session that wrote it, or whose will it is
    int64_t arrived;      // when the newest record arrived; of a will: when the first one of its epoch did
    int64_t written_at;   // status: its own `at`. Only told apart from the former record's: the same epoch and
                          // written_at is the same record delivered again, and no heartbeat. 0 = not said
    int64_t heartbeat_ms; // status: as the record says; 0 = the preset of its kind
    int64_t run;          // worker_status: the run that speaks, as the daemon told it; 0 = not said
    enum reeve_availability availability; // worker_status
};
struct reeve_process_witness {
    bool present;
    bool speaks;            // the program is one that speaks Reeve; learned, or declared by the spec
    enum reeve_state state; // CREATED..FAILED
    uint64_t epoch;         // of the daemon's session that wrote it
    int64_t run;
    int64_t arrived;     // when the newest record arrived
    int64_t run_arrived; // when the first record of this run did; kept by reeve_fold_take_process()
    char why[256];
};
// Zeroed: nothing known. Filled through reeve_fold_take*(), which apply [fold-9], and with the times of the reader.
struct reeve_fold_input {
    struct reeve_witness node_status, node_lwt, worker_status, worker_lwt;
    struct reeve_process_witness process;
    // The reader's own connection [session-9]. It is cut off while disconnected > reconnected. Cut off, and for
    // grace_ms after it is back, sessions are judged as they were at `disconnected`: silence since then and wills
    // that arrived since then do not count yet, births and goodbyes do. A reader that has just begun sets
    // reconnected only (and sees no deaths before the grace is over); one that reads once leaves all three 0.
    int64_t disconnected, reconnected;
    int64_t grace_ms;
    int64_t stale_counts; // records ignored by reeve_fold_take*() for an old epoch or run; the fold itself ignores it
};
enum reeve_source { REEVE_SOURCE_OBSERVED, REEVE_SOURCE_INFERRED };
const char *reeve_source_text(enum reeve_source source);
struct reeve_verdict {
    enum reeve_state state;
    enum reeve_availability availability; // rules 2, 5, 7
    enum reeve_source source;
    bool unsupervised;           // [fold-5]
    enum reeve_state last_known; // with UNKNOWN; otherwise the same as `state`
    int rule;                    // 1..8: which row decided; 0 = nothing known about it
    int64_t next_look; // monotonic ms, later than `now`, at which time alone may change the verdict; 0 = never
    char why[320];     // [fold-10]; no ages in it, so it changes only with the verdict or a record
};
// The rows of [fold-1..8], and what they leave open:
// - A process record counts (rows 1..4) only while its node is live. A node that is dead or stale takes rows 5 and 6;
//   so does one that said goodbye or is not known, when there is a process record: nobody keeps it up any more.
// - `created` is row 1.
// - A status says which run speaks. One of a former run says nothing about this one: a new run that has not
//   spoken is `running` by row 4 for its first 2.5 heartbeats, then `lost` by row 3.
// - A goodbye under a running process is row 2 with `offline` for 2.5 heartbeats (it is about to exit), then row 3.
//   With no process record it is row 7: `stopped`.
struct reeve_verdict reeve_fold(const struct reeve_fold_input *input, int64_t now);

enum reeve_liveness {
    REEVE_ABSENT, // neither status nor will
    REEVE_LIVE,
    REEVE_STALE, // not renewed for more than 2.5 heartbeats [session-6]; at 2.5 exactly it still lives
    REEVE_DEAD,  // its will came [session-4]; a will alone, its status removed or expired, is one too
    REEVE_LEFT,  // clean goodbye; stays so with age, and under a will
};
// Of one session, without the reader's grace.
enum reeve_liveness reeve_liveness(const struct reeve_witness *status, const struct reeve_witness *lwt,
                                   int64_t heartbeat_preset_ms, int64_t now);
const char *reeve_liveness_text(enum reeve_liveness liveness); // absent live stale dead left

// [fold-9]: take a newer record into `slot` (one of input's own four, or of a copy kept elsewhere: `input` only
// counts). false = ignored, and counted in `stale_counts`: its epoch is below the one already seen. Not `present` =
// removed [topic-4]: the epoch is kept. One exception, so that a worker whose clock was set back is not lost for ever:
// a status with a lower epoch is taken when the one known has not been renewed for its time to live, three heartbeats.
bool reeve_fold_take(struct reeve_fold_input *input, struct reeve_witness *slot, const struct reeve_witness *newer);
// The same for the process record: ignored with a lower epoch, or in the same epoch with a lower run. A removed one
// forgets its run (the name may be applied anew). `run_arrived` of `newer` is not read.
bool reeve_fold_take_process(struct reeve_fold_input *input, const struct reeve_process_witness *newer);

#endif
