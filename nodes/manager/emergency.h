// Inside: one op on many workers of many nodes: an order per node, counted and named. See emergency.c for the ops.
// Must not: be included from outside of emergency*.c and their tests.
#ifndef REEVE_MANAGER_EMERGENCY_H
#define REEVE_MANAGER_EMERGENCY_H

#include "hold_room.h"

#define RUN_TIMEOUT_MS   30000 // preset
#define RUN_NAMED_MAX    500   // workers named in a reply
#define RUN_PROGRESS_MS  500   // between replies `running`

enum outcome { OUTCOME_WAITING, OUTCOME_DONE, OUTCOME_ALREADY, OUTCOME_REFUSED, OUTCOME_FAILED, OUTCOME_UNREACHABLE, OUTCOME_COUNT };

struct run_target {
    char node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE];
    enum outcome outcome;
    char *message; // NULL = none
    int64_t self_stop_after_ms; // it runs under a lease and ends by itself without its node's renewal; 0 = it does not
};
struct run_part { // targets [first, first + len) of one node, in one order
    size_t first, len;
};
struct fleet_run {
    struct manager *manager;
    const char *op;      // of the node: static
    bool stops;          // stop, kill: else start, restart
    bool keeps;          // who is out of reach is stopped when its node is back
    bool kill;
    char *reason;
    int64_t grace_ms;    // -1 = as each spec says
    int64_t timeout_ms;
    int64_t began_mono, last_mono, told_mono;
    struct run_target *targets; // in order of node and name
    size_t len, cap;
    struct run_part *parts;
    size_t parts_len, parts_cap;
    size_t orders; // under way
    bool failed_alloc;
};

struct fleet_run *fleet_run_new(struct manager *manager, const char *op, int64_t timeout_ms);
void fleet_run_free(void *run);
// The next worker in order; `outcome` WAITING = it is ordered, else `fmt` says why it is not.
void fleet_run_add(struct fleet_run *run, const struct fleet_worker_info *info, enum outcome outcome, const char *message);
// Sends everything and keeps the call, or ends it when nothing is waited for. Takes `run`.
enum reeve_err fleet_run_begin(struct fleet_run *run, struct call *call);
// What it would do. Takes `run`.
enum reeve_err fleet_run_plan(struct fleet_run *run, struct call *call);

#endif
