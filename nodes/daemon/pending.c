// Commands in hand: from `accepted` until the one terminal reply that each of them gets [cmd-3].
// A command has targets (workers), each with a goal; what happens to workers settles targets, and a command
// whose targets are all settled is finished. Must not: know what single ops do.
#include "daemon.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pending *pending_new(struct daemon *daemon, const struct op *op, const char *topic, const char *worker,
                            struct reeve_command *command)
{
    struct pending *pending = calloc(1, sizeof *pending);
    char *copy = strdup(topic);
    if (pending == NULL || copy == NULL) {
        free(pending);
        free(copy);
        return NULL;
    }
    pending->daemon = daemon;
    pending->op = op;
    pending->topic = copy;
    pending->command = *command;
    *command = (struct reeve_command){0};
    (void)snprintf(pending->worker, sizeof pending->worker, "%s", worker);
    pending->digest = reeve_command_digest(topic, &pending->command);
    return pending;
}

void pending_free(struct pending *pending)
{
    if (pending == NULL) {
        return;
    }
    if (reeve_map_get(pending->daemon->commands, pending->command.id) == pending) {
        (void)reeve_map_remove(pending->daemon->commands, pending->command.id);
    }
    for (size_t i = 0; i < pending->targets_len; i++) {
        reeve_value_free(pending->targets[i].result);
    }
    free(pending->targets);
    free(pending->topic);
    reeve_specs_done(&pending->specs);
    if (pending->config != NULL) {
        config_done(pending->config);
        free(pending->config);
    }
    reeve_strv_done(&pending->listeners);
    reeve_value_free(pending->extra);
    reeve_command_done(&pending->command);
    free(pending);
}

enum reeve_err pending_add_target(struct pending *pending, const char *worker, struct reeve_why *why)
{
    struct target *targets = realloc(pending->targets, (pending->targets_len + 1) * sizeof *targets);
    if (targets == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    pending->targets = targets;
    struct target *target = &targets[pending->targets_len++];
    *target = (struct target){0};
    (void)snprintf(target->worker, sizeof target->worker, "%s", worker);
    return REEVE_OK;
}

struct worker *target_worker(const struct pending *pending, const struct target *target)
{
    return daemon_worker(pending->daemon, target->worker);
}

// ---- replies ------------------------------------------------------------------------------------------------

static struct reeve_reply make_reply(struct pending *pending, enum reeve_phase phase, enum reeve_err err,
                                     const char *message, const struct reeve_value *result)
{
    return (struct reeve_reply){
        .id = pending->command.id,
        .seq = ++pending->seq,
        .phase = phase,
        .code = err != REEVE_OK ? reeve_err_text(err) : NULL,
        .message = message != NULL && message[0] != '\0' ? message : NULL,
        .result = result,
        .by = pending->daemon->config.node.name,
        .epoch = (int64_t)reeve_bus_epoch(pending->daemon->bus),
        .at = reeve_clock_wall_ms(),
    };
}

static void send_reply(struct pending *pending, const struct reeve_reply *reply)
{
    struct reeve_bus *bus = pending->daemon->bus;
    enum reeve_err err = reeve_bus_answer(bus, &pending->command, reply);
    if (err == REEVE_INVALID &&
        reply->result != NULL) { // too large: what is owed is the outcome; the detail can be asked for in parts
        struct reeve_reply shorter = *reply;
        shorter.result = NULL;
        shorter.message = "the result is too large for one message: ask for fewer workers";
        err = reeve_bus_answer(bus, &pending->command, &shorter);
    }
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "command", "id=%s phase=%s reply=%s ignoring", pending->command.id,
                  reeve_phase_text(reply->phase), reeve_err_text(err));
    }
    char *own = pending->command.reply_to;
    for (size_t i = 0; i < pending->listeners.len; i++) {
        pending->command.reply_to = pending->listeners.items[i];
        (void)reeve_bus_answer(bus, &pending->command, reply); /* told above */
    }
    pending->command.reply_to = own;
}

void pending_reply(struct pending *pending, enum reeve_phase phase, enum reeve_err err, const char *message,
                   const struct reeve_value *result)
{
    struct reeve_reply reply = make_reply(pending, phase, err, message, result);
    send_reply(pending, &reply);
}

struct terminal { // what is sent once the journal has it
    struct pending *pending;
    struct reeve_reply reply;
    struct reeve_value *result;
    char message[512];
};

static bool is_noise(const struct pending *pending, enum reeve_phase phase)
{
    return pending->op != NULL && (pending->op->flags & OP_QUIET) && phase == REEVE_PHASE_DONE;
}

static void send_terminal(struct daemon *daemon, bool committed, const struct reeve_why *why, void *arg)
{
    struct terminal *terminal = arg;
    struct pending *pending = terminal->pending;
    if (!committed && pending->journaled) {
        reeve_log(REEVE_LOG_ERROR, "command", "id=%s phase=%s journal=\"%s\"", pending->command.id,
                  reeve_phase_text(terminal->reply.phase), why->text);
    }
    send_reply(pending, &terminal->reply);
    if (!is_noise(pending, terminal->reply.phase)) {
        publish_audit(daemon, pending, terminal->reply.phase, terminal->reply.code, terminal->reply.message);
    }
    reeve_value_free(terminal->result);
    free(terminal);
    pending_free(pending);
}

static void journal_terminal(struct pending *pending, const struct reeve_reply *reply)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(1u << 20);
    REEVE_VALUE_AUTO value = NULL;
    if (reeve_reply_encode(reply, &bytes) == REEVE_OK &&
        reeve_msgpack_read(bytes.data, bytes.len, &reeve_limits_wire, NULL, &value, NULL) == REEVE_OK) {
        (void)store_journal_phase(pending->daemon->store, pending->command.id, reply->phase, value,
                                  NULL); /* the commit reports it */
    }
}

void pending_finish(struct pending *pending, enum reeve_phase phase, enum reeve_err err, const char *message,
                    struct reeve_value *result)
{
    REEVE_ASSERT(!pending->finished);
    pending->finished = true;
    struct terminal *terminal = calloc(1, sizeof *terminal);
    if (terminal == NULL) { // no memory for order: the answer is still owed
        pending_reply(pending, phase, err, message, result);
        reeve_value_free(result);
        pending_free(pending);
        return;
    }
    (void)snprintf(terminal->message, sizeof terminal->message, "%s", message != NULL ? message : "");
    if (pending->unjournaled_ok) {
        size_t len = strlen(terminal->message);
        (void)snprintf(terminal->message + len, sizeof terminal->message - len,
                       "%snot recorded: the node's disk refuses writes", len > 0 ? " · " : "");
    }
    terminal->pending = pending;
    terminal->result = result;
    terminal->reply = make_reply(pending, phase, err, terminal->message, result);
    reeve_log(is_noise(pending, phase) ? REEVE_LOG_DEBUG : REEVE_LOG_INFO, "command", "id=%s op=%s phase=%s code=%s",
              pending->command.id, pending->op != NULL ? pending->op->name : "?", reeve_phase_text(phase),
              reeve_err_text(err));
    if (!pending->journaled) {
        send_terminal(pending->daemon, true, NULL, terminal);
        return;
    }
    journal_terminal(pending, &terminal->reply);
    daemon_after_commit(pending->daemon, send_terminal, terminal);
}

// ---- what the targets came to -------------------------------------------------------------------------------

static const char *target_state_text(enum target_state state)
{
    static const char *const texts[] = {"waiting", "done", "failed", "rejected", "superseded"};
    return texts[state];
}

static struct reeve_value *target_value(const struct pending *pending, const struct target *target, bool plan)
{
    struct reeve_value *map = target->result != NULL ? reeve_value_clone(target->result) : reeve_value_map();
    const struct worker *worker = target_worker(pending, target);
    if (!plan) {
        reeve_put_str(map, "outcome", target_state_text(target->state));
    }
    reeve_put_str(map, "worker", target->worker);
    if (worker != NULL) {
        reeve_put_str(map, "state", reeve_state_text(worker->machine.state));
        reeve_put_int(map, "run", worker->last_run);
        if (worker->pid != 0) {
            reeve_put_int(map, "pid", worker->pid);
        }
    }
    reeve_put_str_opt(map, "message", target->message);
    return map;
}

struct reeve_value *pending_targets_value(const struct pending *pending, bool plan)
{
    struct reeve_value *map = reeve_value_map();
    for (size_t i = 0; i < pending->targets_len; i++) {
        (void)reeve_value_put(map, pending->targets[i].worker,
                              target_value(pending, &pending->targets[i], plan)); /* remembered: reeve_value_built() */
    }
    return map;
}

static void finish_single(struct pending *pending)
{
    static const enum reeve_phase phases[] = {[TARGET_WAITING] = REEVE_PHASE_RUNNING,
                                              [TARGET_DONE] = REEVE_PHASE_DONE,
                                              [TARGET_FAILED] = REEVE_PHASE_FAILED,
                                              [TARGET_REJECTED] = REEVE_PHASE_REJECTED,
                                              [TARGET_SUPERSEDED] = REEVE_PHASE_SUPERSEDED};
    struct target *target = &pending->targets[0];
    char message[320];
    (void)snprintf(message, sizeof message, "%s", target->message);
    pending_finish(pending, phases[target->state], target->err, message, target_value(pending, target, false));
}

static void finish_many(struct pending *pending)
{
    size_t counts[TARGET_SUPERSEDED + 1] = {0};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; i < pending->targets_len; i++) {
        counts[pending->targets[i].state]++;
        err = pending->targets[i].err != REEVE_OK ? pending->targets[i].err : err;
    }
    struct reeve_value *result = pending->extra != NULL ? reeve_value_take(&pending->extra) : reeve_value_map();
    for (enum target_state state = TARGET_DONE; state <= TARGET_SUPERSEDED; state++) {
        reeve_put_int(result, target_state_text(state), (int64_t)counts[state]);
    }
    (void)reeve_value_put(result, "workers",
                          pending_targets_value(pending, false)); /* remembered: reeve_value_built() */
    bool failed = counts[TARGET_FAILED] + counts[TARGET_REJECTED] > 0;
    enum reeve_phase phase = failed ? REEVE_PHASE_FAILED : REEVE_PHASE_DONE;
    if (!failed && counts[TARGET_DONE] == 0 && counts[TARGET_SUPERSEDED] > 0) {
        phase = REEVE_PHASE_SUPERSEDED;
    }
    char message[320];
    (void)snprintf(message, sizeof message, "%zu of %zu done", counts[TARGET_DONE], pending->targets_len);
    pending_finish(pending, phase, err, message, result);
}

void pending_settle(struct pending *pending)
{
    if (pending->finished || !pending->acted || pending->busy) {
        return;
    }
    for (size_t i = 0; i < pending->targets_len; i++) {
        if (pending->targets[i].state == TARGET_WAITING) {
            return;
        }
    }
    if (pending->single && pending->targets_len == 1) {
        finish_single(pending);
    } else {
        finish_many(pending);
    }
}

void target_settle(struct pending *pending, struct target *target, enum target_state state, enum reeve_err err,
                   const char *message)
{
    (void)pending;
    if (target->state != TARGET_WAITING) {
        return;
    }
    target->state = state;
    target->err = err;
    if (message != NULL) {
        (void)snprintf(target->message, sizeof target->message, "%s", message);
    }
}

// ---- what happens to workers --------------------------------------------------------------------------------

static void put_exit(struct target *target, const struct worker *worker)
{
    char name[24];
    struct reeve_value *end = reeve_value_map();
    reeve_put_int(end, "code", worker->exit.code);
    if (worker->exit.signal != 0) {
        reeve_put_str(end, "signal", reeve_signal_text(worker->exit.signal, name));
    }
    reeve_put_bool(end, "oom", worker->exit.oom);
    reeve_put_str(end, "cause", worker->exit.cause);
    reeve_put_int(end, "run", worker->ended_run);
    if (target->result == NULL) {
        target->result = reeve_value_map();
    }
    (void)reeve_value_put(target->result, "exit", end); /* remembered: reeve_value_built() */
}

static bool goal_reached(const struct target *target, const struct worker *worker)
{
    switch (target->goal) {
    case GOAL_NONE:
        return true;
    case GOAL_RUNNING:
        return worker->machine.state == REEVE_STATE_RUNNING && worker->last_run > target->run;
    case GOAL_GONE: // that run; by now there may be another, of a start that came later
        return target->run > 0 ? worker->ended_run >= target->run : worker->run == NULL;
    case GOAL_REMOVED:
        break;
    }
    return false;
}

void pending_target_check(struct pending *pending, struct target *target, const struct worker *worker)
{
    if (goal_reached(target, worker)) {
        if (target->goal == GOAL_GONE && target->run > 0 && worker->has_exit) {
            put_exit(target, worker);
        }
        target_settle(pending, target, TARGET_DONE, REEVE_OK, NULL);
    } else if (target->goal == GOAL_RUNNING && worker->lease_waits) {
        target_settle(pending, target, TARGET_DONE, REEVE_OK, worker->why); // what can be done here is done
    } else if (target->goal == GOAL_RUNNING && worker->machine.state == REEVE_STATE_FAILED) {
        target_settle(pending, target, TARGET_FAILED, REEVE_CONFLICT, worker->why);
    } else if (target->goal == GOAL_RUNNING && worker->machine.state == REEVE_STATE_STOPPED &&
               !worker->machine.wanted && worker->ended_run > target->run) {
        // It ran and, by its policy, is finished: asked to run, it did.
        bool clean = worker->exit.code == 0;
        put_exit(target, worker);
        target_settle(pending, target, clean ? TARGET_DONE : TARGET_FAILED, clean ? REEVE_OK : REEVE_CONFLICT,
                      worker->why);
    }
}

// Every command in hand that waits for this worker. Finishing frees the command; the map allows removal on the way.
static void each_waiting(struct daemon *daemon, const char *worker,
                         void (*fn)(struct pending *pending, struct target *target, const void *arg), const void *arg)
{
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->commands, &it)) {
        struct pending *pending = it.value;
        bool touched = false;
        for (size_t i = 0; pending->acted && !pending->finished && i < pending->targets_len; i++) {
            struct target *target = &pending->targets[i];
            if (target->state == TARGET_WAITING && strcmp(target->worker, worker) == 0) {
                fn(pending, target, arg);
                touched = true;
            }
        }
        if (touched) {
            pending_settle(pending);
        }
    }
}

static void changed(struct pending *pending, struct target *target, const void *arg)
{
    pending_target_check(pending, target, arg);
}

void pending_worker_changed(struct worker *worker)
{
    each_waiting(worker->daemon, worker->name, changed, worker);
}

static void removed(struct pending *pending, struct target *target, const void *arg)
{
    (void)arg;
    bool wanted_gone = target->goal != GOAL_RUNNING;
    target_settle(pending, target, wanted_gone ? TARGET_DONE : TARGET_SUPERSEDED,
                  wanted_gone ? REEVE_OK : REEVE_CANCELLED, "worker was removed");
}

void pending_worker_removed(struct daemon *daemon, const char *worker)
{
    each_waiting(daemon, worker, removed, NULL);
}

static void start_failed(struct pending *pending, struct target *target, const void *arg)
{
    if (target->goal == GOAL_RUNNING) {
        target_settle(pending, target, TARGET_FAILED, REEVE_CONFLICT, arg);
    }
}

void pending_worker_start_failed(struct worker *worker, const char *message)
{
    each_waiting(worker->daemon, worker->name, start_failed, message);
}

static void superseded(struct pending *pending, struct target *target, const void *arg)
{
    const struct pending *by = arg;
    if (pending != by && target->goal == GOAL_RUNNING) {
        char message[160];
        (void)snprintf(message, sizeof message, "superseded by '%s' (%s)", by->op->name, by->command.id);
        target_settle(pending, target, TARGET_SUPERSEDED, REEVE_CANCELLED, message);
    }
}

void pending_supersede(struct daemon *daemon, const char *worker, const struct pending *by)
{
    each_waiting(daemon, worker, superseded, by);
}
