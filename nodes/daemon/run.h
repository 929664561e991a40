// One run of a worker, seen from the daemon: the shim that holds the process, and what it tells.
// The daemon never is the parent of a worker and never signals a pid itself: it asks the shim, whose
// unreaped child the process is, so that a reused pid can't be hit.
// Must not: know about MQTT, commands, restart policy or desired state.
//
// Files of a run, in <state>/runs/<worker>/<run>/ (0700):
//   plan   what the shim was told; also what an adopting daemon reads         written before the shim starts
//   sock   the shim's Unix socket: whoever can connect knows that it lives    listens before the shim starts
//   start  pid, start time of the process                                     written by the shim after exec
//   exit   the outcome, written atomically                                    after the process and its group are gone
// and the logs in run_plan.log_dir, which outlive runs: `current`, `.1` (the one before), `.2` ... An entry is a line:
//   2026-11-22T12:46:18.123Z o text
// o = stdout, e = stderr, s = the shim's own word ("run 7 started pid=123", "run 7 ended cause=exit code=0 signal=0"),
// O and E = the line goes on in the next entry of that letter (after 8 KiB, or 1 s without a newline).
//
// The worker finds in its environment, beside what the plan says: REEVE_RUN_TOKEN (by which its descendants are known
// should the shim be killed), REEVE_NOTIFY_FD=3 (when ready is NOTIFY, or with a watchdog), REEVE_WATCHDOG_MS. It runs
// with no_new_privs (so no sudo and no file capabilities), umask 022, no descriptor but 0 to 3, and dies with its shim.
// Texts that come from the worker (status, error) are bytes: UTF-8 is not checked here.
#ifndef REEVED_RUN_H
#define REEVED_RUN_H

#include <reeve/str.h>
#include <sys/types.h>
#include <uv.h>

enum run_ready { RUN_READY_IMMEDIATE, RUN_READY_NOTIFY, RUN_READY_EXTERNAL }; // EXTERNAL: the daemon probes (log, tcp)

// Everything the shim needs. Borrowed during run_start() only.
struct run_plan {
    const char *worker;      // name
    int64_t run;             // grows with every start of this worker
    const char *const *argv; // NULL-terminated; argv[0] is resolved with PATH of `env`
    const char *const *env;  // NULL-terminated "K=V": the whole environment
    const char *cwd;         // NULL = /
    uid_t uid;               // (uid_t)-1 = as the daemon
    gid_t gid;
    const char *user; // for supplementary groups (asks NSS, which may block); NULL = none
    int64_t nofile;   // 0 = as the daemon
    int stop_signal;  // 0 = SIGTERM
    int64_t stop_grace_ms;
    int64_t lease_until_ms; // CLOCK_BOOTTIME ms by which its group is dead unless run_lease() says otherwise; 0 = no lease
    int64_t lease_grace_ms; // the stop signal goes out this long before
    int64_t watchdog_ms; // 0 = none; counts from ready (NOTIFY) or start; SIGABRT, then SIGKILL of the group after 2 s
    enum run_ready ready;
    int64_t log_bytes_max; // of one file
    int64_t log_files_max; // rotated ones kept
    const char *log_dir;   // absolute
    // Paths of cgroup.procs (or tasks) files that the process enters before exec; and the files that tell of
    // an out-of-memory kill and that kill the whole group. See cgroup.h.
    const char *const *cgroup_procs; // NULL-terminated
    const char *cgroup_oom;          // memory.events (v2) or memory.oom_control (v1); NULL = none
    const char *cgroup_kill;         // cgroup.kill (v2), or NULL: then every pid of cgroup_procs[0], until none is left
};

struct run_outcome {
    int code; // -1 = ended by a signal, or unknown
    int signal;
    bool core;
    bool oom;
    // "exit", "signal", "exec" (could not be executed: `error` says why), "watchdog", "stop" (ended after a stop was
    // asked), "kill" (grace time over or kill asked), "lease" (ended because its lease was not prolonged), "lost" (the shim died, outcome unknown), "host" (the host
    // restarted)
    char cause[16];
    char error[160];  // exec: "execve /no/such: No such file or directory"
    int64_t ended_at; // wall ms; 0 = unknown
    int64_t ran_ms;
};

struct run; // one shim, one process

struct run_handlers {
    // The process exists (exec succeeded). start_time is field 22 of /proc/<pid>/stat.
    void (*started)(struct run *run, pid_t pid, uint64_t start_time, void *arg);
    void (*ready)(struct run *run, void *arg); // RUN_READY_NOTIFY, or at once for IMMEDIATE
    void (*status)(struct run *run, const char *text,
                   void *arg);                    // STATUS=... through the notify descriptor; may be NULL
    void (*log_grew)(struct run *run, void *arg); // only while run_watch_log(run, true); damped to one per 20 ms
    void (*log_failed)(struct run *run, const char *error, bool recovered,
                       void *arg); // disk full for logs; the process goes on
    // The process and all of its group are gone; the shim is leaving. Called once; the run is freed after it returns,
    // so this is where the outcome has to be stored: a shim that could not write `exit` holds it until then.
    void (*ended)(struct run *run, const struct run_outcome *outcome, void *arg);
};

// Where runs live. One per daemon; outlives its runs.
struct run_host {
    uv_loop_t *loop;
    const char *state_dir; // absolute
    const char *shim_path; // the reeve-shim program
    const struct run_handlers *handlers;
};

// Write the plan and start the shim, detached (own session, not our child). Returns before the process exists; handlers
// follow. Errors (disk full, fork) leave nothing behind. A run number is used once: CONFLICT when its folder exists.
// The shim becomes a child of init: a daemon that is process 1 of a container has to reap it.
enum reeve_err run_start(const struct run_host *host, const struct run_plan *plan, void *arg, struct run **ret,
                         struct reeve_why *why);
// Take over what a former daemon left in runs/<worker>/: the newest run. *ret NULL when there is nothing alive;
// then *ret_outcome (when `has_outcome`) is how the last run ended while nobody looked. A live one gets its handlers
// called (started again, ready again when it was) from the loop. A process whose shim is dead is ended by (pid, start
// time, boot id) and pidfd and reported as `lost`: as the outcome when nothing of it was left, else `run` is set and
// `ended` follows from the loop (never `started`) once the rest is gone. Also removes older run folders.
struct run_adopted {
    struct run *run;  // alive; or NULL
    bool has_outcome; // ended meanwhile, or lost
    struct run_outcome outcome;
    int64_t last_run; // highest run number seen; 0 = none
};
enum reeve_err run_adopt(const struct run_host *host, const char *worker, void *arg, struct run_adopted *ret,
                         struct reeve_why *why);

int64_t run_number(const struct run *run);
pid_t run_pid(const struct run *run); // 0 before `started`
void *run_arg(const struct run *run);
// Stop signal now, SIGKILL to the group after the grace time: both by the shim, so also when this daemon dies.
// grace_ms < 0 = the plan's. A second stop can shorten the grace time, not prolong it, and does not repeat the signal.
void run_stop(struct run *run, int64_t grace_ms);
void run_kill(struct run *run); // SIGKILL to process, group and descendants
// Moves the deadline of a run under a lease; until_ms 0 takes it away. Kept by the shim, so it holds without this daemon.
// A run whose stop signal has gone out because of its lease can't be saved any more: it ends.
void run_lease(struct run *run, int64_t until_ms, int64_t grace_ms);
enum reeve_err run_signal(struct run *run, int signal, struct reeve_why *why); // to the process alone
void run_watch_log(struct run *run, bool on);
// Let go of it without ending it (the daemon leaves, the shim stays). Frees the run.
void run_detach(struct run *run);
// The outcome was taken in and stored: remove runs/<worker>/<run>/. Called by the daemon after it has written its own
// record.
void run_forget(const struct run_host *host, const char *worker, int64_t run);

#endif
