// Inside the SDK: checks of a command that need nothing but the command and what the worker is.
// Must not: know the bus, clocks or answers.
// Pure, so that every row has a unit test.
#ifndef REEVE_SHARED_WORKER_CHECKS_H
#define REEVE_SHARED_WORKER_CHECKS_H

#include <reeve/worker.h>

struct checks_state {
    int64_t epoch, run;
    enum reeve_availability availability;
};

// Ops on a worker's topic that its daemon answers: the worker keeps silent.
bool checks_op_of_daemon(const char *op);
// The nearest command to `op` of the two tables, and of the daemon's ops; NULL = none is near.
const char *checks_near_op(const char *op, const struct reeve_worker_command *declared,
                           const struct reeve_worker_command *builtin);
// By the wall clock, since the sender says it so. Without expires_at: 60 s after arrival, so never on arrival [cmd-2].
bool checks_expired(const struct reeve_command *command, int64_t wall_ms);
// `expect` (NULL = nothing): epoch, run, state. CONFLICT names what differs; what a worker can't check is INVALID,
// since an expectation that nobody checked would count as met.
enum reeve_err checks_expect(const struct reeve_value *expect, const struct checks_state *state, struct reeve_why *why);

#endif
