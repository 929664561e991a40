// The table of the daemon's ops: names, arguments, levels, and the functions behind them.
// docs/protocol.md has the list for people; a test compares.
#include "daemon.h"

#include <string.h>

#define SELECTOR "workers", "type", "exchange", "labels", "state", "all"

static const char *const args_selector[] = {SELECTOR, NULL};
static const char *const args_stop[] = {SELECTOR, "grace", NULL};
static const char *const args_signal[] = {SELECTOR, "signal", NULL};
static const char *const args_list[] = {SELECTOR, "offset", "limit", NULL};
static const char *const args_logs[] = {SELECTOR, "tail", "follow", NULL};
static const char *const args_drain[] = {"stop", NULL};
static const char *const args_shutdown[] = {"workers", NULL};
static const char *const args_renew[] = {"beat", "leases", NULL};
static const char *const args_none[] = {NULL};

#define BOTH (OP_NODE | OP_WORKER)

static const struct op ops[] = {
    {.name = "apply", .flags = OP_NODE | OP_ADMITS_NEW, .prepare = op_apply_prepare, .act = op_apply_act,
     .resume = op_apply_resume, .plan = op_apply_plan,
     .doc = "Define workers: a spec, `worker:` or `workers:` as the arguments. New ones start, changed ones restart where the change needs it."},
    {.name = "remove", .flags = BOTH | OP_SELECTS, .main_arg_node = "workers", .args = args_selector,
     .prepare = op_remove_prepare, .act = op_remove_act, .doc = "Stop and forget workers, with their logs."},
    {.name = "start", .flags = BOTH | OP_SELECTS | OP_ADMITS_NEW, .main_arg_node = "workers", .args = args_selector,
     .prepare = op_start_prepare, .act = op_start_act, .doc = "Done when running."},
    {.name = "stop", .flags = BOTH | OP_SELECTS | OP_OVERTAKES, .main_arg_node = "workers", .main_arg_worker = "grace",
     .args = args_stop, .prepare = op_stop_prepare, .act = op_stop_act,
     .doc = "Done when the process is gone. `grace`: until SIGKILL, preset by the spec."},
    {.name = "kill", .flags = BOTH | OP_SELECTS | OP_OVERTAKES, .main_arg_node = "workers", .args = args_selector,
     .prepare = op_kill_prepare, .act = op_kill_act, .doc = "SIGKILL to the whole group; the worker stays stopped."},
    {.name = "restart", .flags = BOTH | OP_SELECTS | OP_ADMITS_NEW, .main_arg_node = "workers", .args = args_selector,
     .prepare = op_restart_prepare, .act = op_restart_act, .doc = "A new run. Done when it is running."},
    {.name = "signal", .flags = BOTH | OP_SELECTS | OP_ONCE, .main_arg_worker = "signal", .args = args_signal,
     .prepare = op_signal_prepare, .act = op_signal_act, .doc = "A signal to the process itself: HUP, USR1, 12."},
    {.name = "reset", .flags = BOTH | OP_SELECTS, .main_arg_node = "workers", .args = args_selector,
     .prepare = op_reset_prepare, .act = op_reset_act, .doc = "Forget failures; a failed worker that is wanted starts afresh."},
    {.name = "drain", .flags = OP_NODE, .args = args_drain, .prepare = op_drain_prepare, .act = op_drain_act,
     .doc = "The node takes no new workers and starts none. `stop: true` also stops those that run."},
    {.name = "undrain", .flags = OP_NODE, .args = args_none, .prepare = op_undrain_prepare, .act = op_undrain_act,
     .doc = "The node takes workers again."},
    {.name = "list", .flags = OP_NODE | OP_READS, .main_arg_node = "workers", .args = args_list, .act = op_list_act,
     .doc = "Process records of workers, 200 at a time from `offset`."},
    {.name = "describe", .flags = OP_NODE | OP_READS, .main_arg_node = "workers", .args = args_selector,
     .act = op_describe_act, .doc = "The node, or with `workers` each with its spec (secrets masked), back-off and limits."},
    {.name = "logs", .flags = BOTH | OP_SELECTS | OP_READS, .main_arg_node = "workers", .main_arg_worker = "tail",
     .args = args_logs, .prepare = op_logs_prepare, .act = op_logs_act,
     .doc = "The last `tail` lines; `follow` (a duration, at most 10m, renewed by asking again) publishes new ones on `log`."},
    {.name = "renew", .flags = OP_NODE | OP_READS | OP_QUIET, .args = args_renew, .act = op_renew_act,
     .doc = "Leases, see there: `beat` of the status that is answered, `leases` {worker: fence}. Done with `renewed` and `refused` {worker: why}."},
    {.name = "reload", .flags = OP_NODE, .args = args_none, .prepare = op_reload_prepare, .act = op_reload_act,
     .plan = op_reload_plan, .doc = "Read the configuration file again; says what was added, changed, restarted, removed."},
    {.name = "shutdown", .flags = OP_NODE, .main_arg_node = "workers", .args = args_shutdown,
     .prepare = op_shutdown_prepare, .act = op_shutdown_act, .doc = "The daemon leaves. `workers`: stop (preset) or keep."},
};

const struct op *op_at(size_t index)
{
    return index < REEVE_ARRAY_LEN(ops) ? &ops[index] : NULL;
}

const struct op *op_find(const char *name, unsigned level)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ops); i++) {
        if ((ops[i].flags & level) && strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

const char *op_near(const char *name, unsigned level)
{
    const char *names[REEVE_ARRAY_LEN(ops) + 1];
    size_t len = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ops); i++) {
        if (ops[i].flags & level) {
            names[len++] = ops[i].name;
        }
    }
    names[len] = NULL;
    return reeve_near(name, names);
}
