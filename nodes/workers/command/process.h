// Running commands on a libuv loop: pipes, the end, telling and killing. Nothing here blocks, and nothing outlives what
// it was started for: each command has a guard (guard.h), and orphans of a guard that was killed are killed here.
//
//   process_start(set, &plan, &watch, job, &process, &why) ... out, err ... ended
//
// The caller ignores SIGPIPE (reeve_signals_new() does), and waits for no children itself.
// Must not: know of the SDK, or of what the output means.
#ifndef REEVE_COMMAND_PROCESS_H
#define REEVE_COMMAND_PROCESS_H

#include <reeve/str.h>
#include <uv.h>

#include "guard.h"

struct process;
struct processes; // all of one loop

struct process_plan {
    const struct reeve_strv *argv; // at least one
    const struct reeve_strv *env;  // KEY=value
    const char *cwd;               // NULL = the worker's
    const struct limits *limits;
    char *input; // what its stdin is; taken when it was started, freed with free(). NULL = /dev/null
    size_t input_len;
};
struct process_watch {
    void (*out)(struct process *process, const char *data, size_t len, void *arg);
    void (*err)(struct process *process, const char *data, size_t len, void *arg);
    // Once, and last: nothing of it is left on this host. The process is void after it. `end->error` is set when it
    // never ran.
    void (*ended)(struct process *process, const struct guard_word *end, void *arg);
};

enum reeve_err processes_new(uv_loop_t *loop, struct processes **ret, struct reeve_why *why);
size_t processes_len(const struct processes *processes); // that run
// Kill all, wait for their ends (a second at most; blocks), call `ended` of each. Memory is freed by the loop, as it
// closes.
void processes_stop(struct processes *processes);

// IO: no process or no descriptor to be had.
enum reeve_err process_start(struct processes *processes, struct process_plan *plan, const struct process_watch *watch,
                             void *arg, struct process **ret, struct reeve_why *why);
// SIGTERM to its group, after grace_ms SIGKILL to everything. A second call can only make it sooner.
void process_stop(struct process *process, int64_t grace_ms);
void process_kill(struct process *process);
// A line to its descriptor 3, newline included. False: it does not read them and they have piled up; the line is
// dropped.
bool process_ack(struct process *process, const char *line);
pid_t process_pid(const struct process *process); // of the command; 0 = not yet known

#endif
