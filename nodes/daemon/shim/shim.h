// reeve-shim from the inside: one static struct, one poll loop, one worker process.
//
//   STARTING --exec--> RUNNING --main process ends--> ENDING --no child left--> DONE --outcome safe--> (exit)
//       \______________ exec fails, killed before exec __________/
//
// Invariants: only this process reaps the worker, and signals it only while it is unreaped. In ENDING and later the
// main process is reaped and its process group is dead. Nothing is allocated; nothing blocks but writes to the run
// folder and logs.
#ifndef REEVE_SHIM_H
#define REEVE_SHIM_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan.h"
#include "shim_wire.h"
#include "sweep.h"

enum shim_phase { PHASE_STARTING, PHASE_RUNNING, PHASE_ENDING, PHASE_DONE };

// Monotonic ms at which something is due; 0 = never. Handlers: the table in shim.c.
enum shim_timer {
    TIMER_GRACE,         // stop: grace time over
    TIMER_WATCHDOG,      // no WATCHDOG=1 in time
    TIMER_WATCHDOG_KILL, // SIGABRT did not help
    TIMER_SWEEP,         // look again for what is left of the group
    TIMER_LOG_RETRY,     // try the logs' disk again
    TIMER_LOG_PARTIAL,   // write a line that has no newline yet
    TIMER_LOG_GREW,      // damping of SHIM_LOG_GREW
    TIMER_EXIT_RETRY,    // try to write `exit` again
    TIMER_COUNT,
};

#define SHIM_LINE_MAX 8192 // a longer line becomes several entries
#define SHIM_LOG_OUT  (32 * 1024)

struct shim_stream {
    int fd;      // read end of the worker's stdout or stderr; -1 = at its end
    char letter; // 'o', 'e'
    size_t len;
    char line[SHIM_LINE_MAX]; // a line that has no newline yet
};

struct shim_log {
    int dir;
    int fd; // `current`
    int64_t size;
    bool failing;            // output is dropped
    bool failure_told;       // failing, or only trying whether that is over
    bool torn;               // the last line of `current` is cut
    int error;               // errno of the failure
    uint64_t dropped;        // lines, since it fails
    uint64_t dropped_before; // lines, in the failure that is over
    struct shim_stream streams[2];
    uint32_t out_lines;
    size_t out_len;
    char out[SHIM_LOG_OUT];
};

struct shim {
    struct plan plan;
    enum shim_phase phase;
    int64_t timers[TIMER_COUNT];

    // Descriptors; -1 = closed.
    int run_dir;
    int exit_tmp; // preallocated `exit.tmp`
    int link;     // connection of the newest daemon
    int listen;
    int signals; // signalfd for SIGCHLD
    int exec_pipe;
    int notify;
    int lease_timer; // timerfd of CLOCK_BOOTTIME: the only deadline that goes on while the machine sleeps

    // The main process. pid is 0 once it is reaped.
    pid_t pid;
    struct shim_started started;
    bool is_ready;
    bool stop_asked;
    bool kill_sent; // by a kill command, or because the grace time was over
    bool watchdog_hit;
    bool lease_over; // the stop signal was sent because the lease ends: nothing prolongs this run any more
    struct shim_lease lease;
    int wait_status;
    char exec_error[SHIM_ERROR_SIZE];
    int64_t began_boot_ms; // CLOCK_BOOTTIME
    int64_t oom_kills_before;
    int64_t sweep_ms; // until the next round
    int oom_score;    // what the daemon had and the worker gets
    struct shim_outcome outcome;
    bool outcome_written;
    bool outcome_taken;

    // The link: bits of enum shim_kind still to be told.
    uint32_t untold;
    bool watch_log;
    bool log_grew_again; // grew while TIMER_LOG_GREW ran
    char status[SHIM_STATUS_SIZE];

    size_t notify_len;
    char notify_line[SHIM_STATUS_SIZE + 16];
    struct shim_log log;
};

// shim.c
void shim_init(struct shim *shim, int signals, int oom_score);
int64_t shim_mono_ms(void); // deadlines: a machine that sleeps stops them, or waking would look like a hung worker
int64_t shim_boot_ms(void); // durations
int64_t shim_wall_ms(void);
void shim_set_timer(struct shim *shim, enum shim_timer timer, int64_t in_ms); // keeps an earlier one
void shim_trim(void);                                                         // memory that only the start needed
void shim_run(struct shim *shim);                                             // until the outcome is safe

// spawn.c: fork, limits and isolation, exec.
void spawn_worker(struct shim *shim);
void spawn_on_exec_pipe(struct shim *shim);

// ending.c: stop, kill, reap, outcome.
void ending_stop(struct shim *shim, int64_t grace_ms);
void ending_kill(struct shim *shim);
void ending_signal(struct shim *shim, int signal);
void ending_grace_over(struct shim *shim);
void ending_watchdog(struct shim *shim);
void ending_watchdog_kill(struct shim *shim);
void ending_sweep(struct shim *shim);
void ending_reap(struct shim *shim);
void ending_write(struct shim *shim); // `exit`
void ending_prepare(struct shim *shim);
int64_t ending_oom_kills(const struct shim *shim);
bool ending_is_over(const struct shim *shim);

// lease.c: the time up to which the worker may run, whatever becomes of the daemon.
void lease_start(struct shim *shim); // by the plan
void lease_set(struct shim *shim, const struct shim_lease *lease);
void lease_on_timer(struct shim *shim);

// link.c: the daemon's connection.
void link_log_grew(struct shim *shim);
void link_log_grew_again(struct shim *shim);
void link_tell(struct shim *shim, enum shim_kind kind);
void link_flush(struct shim *shim);
void link_on_message(struct shim *shim);
void link_on_connect(struct shim *shim);

// notify.c: lines from the worker's notify descriptor.
void notify_on_line(struct shim *shim);
void notify_arm_watchdog(struct shim *shim);

// log.c: output of the worker into rotated files.
void log_open(struct shim *shim);
void log_on_stream(struct shim *shim, struct shim_stream *stream);
void log_note(struct shim *shim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); // a line of the shim's own
void log_flush(struct shim *shim);
void log_retry(struct shim *shim);
void log_partial(struct shim *shim);
void log_drain(struct shim *shim); // what the pipes still hold once nobody writes any more

#endif
