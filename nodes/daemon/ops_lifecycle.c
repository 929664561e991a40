// start, stop, kill, restart, signal, reset, remove: on one worker, several, or a selector.
// Each has two halves: prepare writes what is wanted into the turn's transaction, act steps the machines after it is on
// disk. Must not: touch processes (supervise.c does).
#include "daemon.h"

#include <reeve/units.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

// ---- shared by all ------------------------------------------------------------------------------------------

typedef enum reeve_err prepare_target(struct pending *pending, struct target *target, struct worker *worker,
                                      struct reeve_why *why);

// A target that is refused does not refuse the others, unless it is the only one.
static enum reeve_err prepare_each(struct pending *pending, prepare_target *prepare, struct reeve_why *why)
{
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct target *target = &pending->targets[i];
        struct worker *worker = target_worker(pending, target);
        struct reeve_why reason = {0};
        enum reeve_err err = worker == NULL || worker->removing
                                 ? reeve_fail(&reason, REEVE_CONFLICT, "worker is being removed")
                                 : prepare(pending, target, worker, &reason);
        if (err != REEVE_OK && pending->targets_len == 1) {
            return reeve_fail(why, err, "%s", reason.text);
        }
        if (err != REEVE_OK) {
            target_settle(pending, target, TARGET_REJECTED, err, reason.text);
        }
    }
    return REEVE_OK;
}

static void act_each(struct pending *pending,
                     void (*act)(struct pending *pending, struct target *target, struct worker *worker))
{
    pending->busy = true;
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct target *target = &pending->targets[i];
        struct worker *worker = target_worker(pending, target);
        if (target->state != TARGET_WAITING) {
            continue;
        }
        if (worker == NULL) {
            bool gone = target->goal != GOAL_RUNNING;
            target_settle(pending, target, gone ? TARGET_DONE : TARGET_FAILED, gone ? REEVE_OK : REEVE_NOENT,
                          "worker was removed");
        } else {
            act(pending, target, worker);
        }
    }
    // Effects may have settled targets on the way; what is settled already is found here.
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct worker *worker = target_worker(pending, &pending->targets[i]);
        if (worker != NULL && pending->targets[i].state == TARGET_WAITING) {
            pending_target_check(pending, &pending->targets[i], worker);
        }
    }
    pending->busy = false;
    pending_settle(pending);
}

static void step_target(struct pending *pending, struct target *target, struct worker *worker, enum reeve_event event)
{
    struct reeve_why why;
    char cause[96];
    (void)snprintf(cause, sizeof cause, "%s %s", pending->op->name, pending->command.id);
    enum reeve_err err = worker_step(worker, event, cause, &why);
    if (err != REEVE_OK) {
        target_settle(pending, target, TARGET_REJECTED, err, why.text);
    }
}

// Taken by a former daemon, which was killed before it could say how it ended. What is desired is on disk and tells
// which of several such commands was the last: the others must not act on a run that was never theirs.
static bool is_resumed(const struct pending *pending)
{
    return pending->journaled && pending->seq == 0; // no `accepted` by this daemon
}

static const char failed_reason[] = "worker has failed; `reset` starts it afresh";

// ---- start --------------------------------------------------------------------------------------------------

// A run that is ending does not count: the goal is a run above it.
static int64_t run_to_exceed(const struct worker *worker)
{
    return worker->machine.state == REEVE_STATE_STOPPING ? worker->last_run : 0;
}

static enum reeve_err prepare_start(struct pending *pending, struct target *target, struct worker *worker,
                                    struct reeve_why *why)
{
    (void)pending;
    if (worker->machine.state == REEVE_STATE_FAILED) {
        return reeve_fail(why, REEVE_CONFLICT, "%s (%s)", failed_reason, worker->why);
    }
    enum reeve_err err = spawn_check(&worker->daemon->config, &worker->spec, why);
    if (err != REEVE_OK) {
        return err;
    }
    target->goal = GOAL_RUNNING;
    target->run = run_to_exceed(worker);
    return worker_store(worker, true, why);
}

enum reeve_err op_start_prepare(struct pending *pending, struct reeve_why *why)
{
    return prepare_each(pending, prepare_start, why);
}

// `target->run` is what the journal remembered: the run that a new one has to exceed, 0 = any will do.
static void resume_running(struct pending *pending, struct target *target, struct worker *worker)
{
    // Stopped by request and not by its own end, about which the check below knows.
    const bool stopped =
        !worker->has_exit || strcmp(worker->exit.cause, "stop") == 0 || strcmp(worker->exit.cause, "kill") == 0;
    target->goal = GOAL_RUNNING;
    if (worker->machine.wanted || !stopped) {
        pending_target_check(pending, target, worker);
    }
    if (target->state != TARGET_WAITING) {
        return;
    }
    if (!worker->machine.wanted) {
        target_settle(pending, target, TARGET_SUPERSEDED, REEVE_CANCELLED, "superseded before the daemon restarted");
        return;
    }
    bool same_run = target->run > 0 && worker->last_run <= target->run;
    step_target(pending, target, worker, same_run ? REEVE_EVENT_RESTART : REEVE_EVENT_START);
}

static void act_start(struct pending *pending, struct target *target, struct worker *worker)
{
    if (is_resumed(pending)) {
        resume_running(pending, target, worker);
        return;
    }
    target->goal = GOAL_RUNNING;
    target->run = run_to_exceed(worker);
    step_target(pending, target, worker, REEVE_EVENT_START);
}

void op_start_act(struct pending *pending)
{
    act_each(pending, act_start);
}

// ---- stop and kill --------------------------------------------------------------------------------------------

static enum reeve_err read_grace(const struct pending *pending, int64_t *ret_ms, struct reeve_why *why)
{
    const struct reeve_value *grace = reeve_value_get(pending->command.args, "grace");
    *ret_ms = -1;
    if (grace == NULL) {
        return REEVE_OK;
    }
    if (reeve_value_kind(grace) == REEVE_INT && reeve_value_number(grace, -1) == 0) {
        *ret_ms = 0;
        return REEVE_OK;
    }
    if (reeve_value_kind(grace) != REEVE_STR) {
        return reeve_fail(why, REEVE_INVALID, "args.grace: %s given, expected a duration such as 10s",
                          reeve_kind_text(reeve_value_kind(grace)));
    }
    struct reeve_why reason;
    enum reeve_err err = reeve_duration_parse(reeve_value_text(grace), ret_ms, &reason);
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "args.grace: %s", reason.text);
}

static int64_t run_there_is(const struct worker *worker)
{
    return worker->run != NULL ? worker->last_run : 0;
}

static enum reeve_err prepare_stop(struct pending *pending, struct target *target, struct worker *worker,
                                   struct reeve_why *why)
{
    target->goal = GOAL_GONE;
    target->run = run_there_is(worker);
    enum reeve_err err = worker_store(worker, false, why);
    // A disk that refuses must not keep a worker alive: the commit fails, and `accepted` goes on for these ops.
    return pending->op->flags & OP_OVERTAKES ? REEVE_OK : err;
}

enum reeve_err op_stop_prepare(struct pending *pending, struct reeve_why *why)
{
    int64_t grace_ms;
    enum reeve_err err = read_grace(pending, &grace_ms, why);
    return err == REEVE_OK ? prepare_each(pending, prepare_stop, why) : err;
}

// A later command wants it running: what is left of this one is to tell that its run is gone.
static bool resume_gone(const struct pending *pending, struct target *target, const struct worker *worker)
{
    bool overruled = is_resumed(pending) && worker->machine.wanted;
    if (overruled) {
        target->goal = target->run > 0 ? GOAL_GONE : GOAL_NONE;
    }
    return overruled;
}

static void act_stop(struct pending *pending, struct target *target, struct worker *worker)
{
    int64_t grace_ms = -1;
    (void)read_grace(pending, &grace_ms, NULL); /* checked in prepare */
    if (resume_gone(pending, target, worker)) {
        return;
    }
    pending_supersede(pending->daemon, worker->name, pending);
    target->goal = GOAL_GONE;
    target->run = run_there_is(worker);
    step_target(pending, target, worker, REEVE_EVENT_STOP);
    if (grace_ms >= 0 && worker->run != NULL) {
        run_stop(worker->run, grace_ms);
    }
}

void op_stop_act(struct pending *pending)
{
    act_each(pending, act_stop);
}

enum reeve_err op_kill_prepare(struct pending *pending, struct reeve_why *why)
{
    return prepare_each(pending, prepare_stop, why);
}

static void act_kill(struct pending *pending, struct target *target, struct worker *worker)
{
    if (resume_gone(pending, target, worker)) {
        return;
    }
    pending_supersede(pending->daemon, worker->name, pending);
    target->goal = GOAL_GONE;
    target->run = run_there_is(worker);
    step_target(pending, target, worker, REEVE_EVENT_KILL);
}

void op_kill_act(struct pending *pending)
{
    act_each(pending, act_kill);
}

// ---- restart ----------------------------------------------------------------------------------------------------

static enum reeve_err prepare_restart(struct pending *pending, struct target *target, struct worker *worker,
                                      struct reeve_why *why)
{
    enum reeve_err err = prepare_start(pending, target, worker, why);
    target->run = worker->last_run;
    return err;
}

enum reeve_err op_restart_prepare(struct pending *pending, struct reeve_why *why)
{
    return prepare_each(pending, prepare_restart, why);
}

static void act_restart(struct pending *pending, struct target *target, struct worker *worker)
{
    if (is_resumed(pending)) {
        resume_running(pending, target, worker);
        return;
    }
    target->goal = GOAL_RUNNING;
    step_target(pending, target, worker, REEVE_EVENT_RESTART);
}

void op_restart_act(struct pending *pending)
{
    act_each(pending, act_restart);
}

// ---- signal -----------------------------------------------------------------------------------------------------

static enum reeve_err read_signal(const struct pending *pending, int *ret_signal, struct reeve_why *why)
{
    const struct reeve_value *value = reeve_value_get(pending->command.args, "signal");
    char number[24];
    const char *text = reeve_value_text(value);
    if (reeve_value_kind(value) == REEVE_INT) {
        (void)snprintf(number, sizeof number, "%lld", (long long)reeve_value_number(value, 0));
        text = number;
    }
    if (text == NULL) {
        return reeve_fail(why, REEVE_INVALID, "args.signal is missing: a name or number such as HUP");
    }
    struct reeve_why reason;
    enum reeve_err err = reeve_signal_parse(text, ret_signal, &reason);
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "args.signal: %s", reason.text);
}

static enum reeve_err prepare_signal(struct pending *pending, struct target *target, struct worker *worker,
                                     struct reeve_why *why)
{
    (void)pending;
    target->goal = GOAL_NONE;
    target->run = worker->last_run;
    if (worker->run == NULL || worker->pid == 0) {
        return reeve_fail(why, REEVE_CONFLICT, "worker is %s and has no process",
                          reeve_state_text(worker->machine.state));
    }
    return REEVE_OK;
}

enum reeve_err op_signal_prepare(struct pending *pending, struct reeve_why *why)
{
    int signal_number;
    enum reeve_err err = read_signal(pending, &signal_number, why);
    return err == REEVE_OK ? prepare_each(pending, prepare_signal, why) : err;
}

static void act_signal(struct pending *pending, struct target *target, struct worker *worker)
{
    int signal_number = SIGCONT;
    struct reeve_why why = {0};
    (void)read_signal(pending, &signal_number, NULL); /* checked in prepare */
    enum reeve_err err = worker->run == NULL ? reeve_fail(&why, REEVE_CONFLICT, "its process has ended")
                                             : run_signal(worker->run, signal_number, &why);
    target_settle(pending, target, err == REEVE_OK ? TARGET_DONE : TARGET_FAILED, err,
                  err == REEVE_OK ? NULL : why.text);
}

void op_signal_act(struct pending *pending)
{
    act_each(pending, act_signal);
}

// ---- reset --------------------------------------------------------------------------------------------------------

static enum reeve_err prepare_reset(struct pending *pending, struct target *target, struct worker *worker,
                                    struct reeve_why *why)
{
    (void)pending;
    bool starts = worker->machine.state == REEVE_STATE_FAILED && worker->machine.wanted;
    target->goal = starts ? GOAL_RUNNING : GOAL_NONE;
    target->run = worker->last_run;
    return worker_store(worker, worker->machine.wanted, why);
}

enum reeve_err op_reset_prepare(struct pending *pending, struct reeve_why *why)
{
    return prepare_each(pending, prepare_reset, why);
}

static void act_reset(struct pending *pending, struct target *target, struct worker *worker)
{
    bool starts = worker->machine.state == REEVE_STATE_FAILED && worker->machine.wanted;
    target->goal = starts ? GOAL_RUNNING : GOAL_NONE;
    target->run = starts ? worker->last_run : 0;
    step_target(pending, target, worker, REEVE_EVENT_RESET);
}

void op_reset_act(struct pending *pending)
{
    act_each(pending, act_reset);
}

// ---- remove -------------------------------------------------------------------------------------------------------

static enum reeve_err prepare_remove(struct pending *pending, struct target *target, struct worker *worker,
                                     struct reeve_why *why)
{
    (void)pending;
    target->goal = GOAL_REMOVED;
    return store_worker_remove(worker->daemon->store, worker->name, why);
}

enum reeve_err op_remove_prepare(struct pending *pending, struct reeve_why *why)
{
    return prepare_each(pending, prepare_remove, why);
}

static void act_remove(struct pending *pending, struct target *target, struct worker *worker)
{
    pending_supersede(pending->daemon, worker->name, pending);
    target->goal = GOAL_REMOVED;
    worker_remove(worker); // may be gone when this returns
}

void op_remove_act(struct pending *pending)
{
    act_each(pending, act_remove);
}
