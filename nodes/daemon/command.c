// Commands in: who is meant, is it well formed, is it in time, was it here before; then journal, accept, act.
// The order for every command that changes something: prepare (check, write the intent) -> commit -> `accepted` -> act.
// Must not: know what single ops do (ops.c has the table).
#include "daemon.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A deadline further away than the journal's memory could be replayed when the journal has forgotten the id.
#define EXPIRY_AHEAD_MAX_MS STORE_JOURNAL_KEEP_MS
#define IN_HAND_MAX         4096
#define MALFORMED_EVERY_MS  60000 // [payload-4]: a sender is not known on the wire, so one event a minute in all
#define LISTENERS_MAX       8

// ---- refusing -----------------------------------------------------------------------------------------------

static void refuse(struct daemon *daemon, const struct reeve_command *command, const char *topic,
                   enum reeve_phase phase, enum reeve_err err, const char *message)
{
    char quoted[512];
    daemon->counters.refused++;
    const struct reeve_reply reply = {.id = command->id != NULL ? command->id : "unknown",
                                      .seq = 1,
                                      .phase = phase,
                                      .code = reeve_err_text(err),
                                      .message = message,
                                      .by = daemon->config.node.name,
                                      .epoch = (int64_t)reeve_bus_epoch(daemon->bus),
                                      .at = reeve_clock_wall_ms()};
    reeve_log(REEVE_LOG_INFO, "command", "id=%s topic=%s phase=%s code=%s message=%s", reply.id, topic,
              reeve_phase_text(phase), reply.code, reeve_log_quote(message, quoted, sizeof quoted));
    (void)reeve_bus_answer(daemon->bus, command, &reply); /* the log has it; a sender without an answer asks again */
    struct pending told = {.daemon = daemon, .command = *command, .topic = (char *)(uintptr_t)topic};
    publish_audit(daemon, &told, phase, reply.code, message);
}

// ---- the same id again [cmd-4] ---------------------------------------------------------------------------------

static void answer_again(struct daemon *daemon, const struct reeve_command *command, const struct reeve_value *stored)
{
    struct reeve_reply reply;
    struct reeve_why why;
    if (reeve_reply_decode(stored, &reply, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "command", "id=%s stored_reply=\"%s\"", command->id, why.text);
        return;
    }
    (void)reeve_bus_answer(daemon->bus, command, &reply); /* asked again, answered again: a third time is possible */
}

// Still in hand: the sender of the repeat gets the terminal reply as well.
static void join_in_hand(struct daemon *daemon, struct pending *pending, const struct reeve_command *command)
{
    const char *to = command->reply_to;
    bool known = to == NULL || reeve_str_eq(to, pending->command.reply_to) || reeve_strv_has(&pending->listeners, to);
    if (!known && pending->listeners.len < LISTENERS_MAX) {
        (void)reeve_strv_add(&pending->listeners, to); /* out of memory: the sender asks again */
    }
    const struct reeve_reply reply = {.id = command->id,
                                      .seq = pending->seq,
                                      .phase = REEVE_PHASE_RUNNING,
                                      .message = "already in hand",
                                      .by = daemon->config.node.name,
                                      .epoch = (int64_t)reeve_bus_epoch(daemon->bus),
                                      .at = reeve_clock_wall_ms()};
    (void)reeve_bus_answer(daemon->bus, command, &reply); /* as above */
}

// True when the id was here before and the sender has been answered.
static bool was_here_before(struct daemon *daemon, const struct reeve_command *command, const char *topic)
{
    if (!command->id_given) {
        return false;
    }
    uint64_t digest = reeve_command_digest(topic, command);
    struct pending *pending = reeve_map_get(daemon->commands, command->id);
    struct store_command stored = {0};
    bool found = pending != NULL || store_journal_find(daemon->store, command->id, &stored, NULL) == REEVE_OK;
    if (!found) {
        return false;
    }
    daemon->counters.duplicates++;
    if (digest != (pending != NULL ? pending->digest : stored.digest)) {
        refuse(daemon, command, topic, REEVE_PHASE_REJECTED, REEVE_CONFLICT,
               "this id was used for another command; an id belongs to one command for 7 days");
    } else if (pending != NULL) {
        join_in_hand(daemon, pending, command);
    } else if (stored.reply != NULL) {
        answer_again(daemon, command, stored.reply);
    } else {
        refuse(daemon, command, topic, REEVE_PHASE_DUPLICATE, REEVE_CONFLICT,
               "was here before; its outcome is not known");
    }
    store_command_done(&stored);
    return true;
}

// ---- checks ---------------------------------------------------------------------------------------------------

static bool in_time(struct daemon *daemon, const struct reeve_command *command, const char *topic)
{
    int64_t now = reeve_clock_wall_ms();
    if (command->expires_at > 0 && command->expires_at <= now) {
        char message[160];
        daemon->counters.expired++;
        (void)snprintf(message, sizeof message, "expired %lld ms before it arrived, by this node's clock",
                       (long long)(now - command->expires_at));
        refuse(daemon, command, topic, REEVE_PHASE_EXPIRED, REEVE_TIMEOUT, message);
        return false;
    }
    if (command->expires_at > now + EXPIRY_AHEAD_MAX_MS) {
        refuse(daemon, command, topic, REEVE_PHASE_REJECTED, REEVE_INVALID,
               "expires_at is more than 7 days ahead by this node's clock: longer than ids are remembered");
        return false;
    }
    return true;
}

static enum reeve_err check_expect_number(const struct reeve_value *expect, const char *key, int64_t actual,
                                          struct reeve_why *why)
{
    int64_t wanted = reeve_get_int(expect, key, actual);
    if (wanted != actual) {
        return reeve_fail(why, REEVE_CONFLICT, "expected %s %lld, it is %lld", key, (long long)wanted,
                          (long long)actual);
    }
    return REEVE_OK;
}

static enum reeve_err check_expect(const struct pending *pending, struct reeve_why *why)
{
    const struct reeve_value *expect = pending->command.expect;
    enum reeve_err err = check_expect_number(expect, "epoch", (int64_t)reeve_bus_epoch(pending->daemon->bus), why);
    for (size_t i = 0; err == REEVE_OK && expect != NULL && i < pending->targets_len; i++) {
        const struct worker *worker = target_worker(pending, &pending->targets[i]);
        const char *state = reeve_get_str(expect, "state");
        if (worker == NULL) {
            continue;
        }
        err = check_expect_number(expect, "run", worker->last_run, why);
        if (err == REEVE_OK) {
            err = check_expect_number(expect, "version", worker->spec_version, why);
        }
        if (err == REEVE_OK && state != NULL && strcmp(state, reeve_state_text(worker->machine.state)) != 0) {
            err = reeve_fail(why, REEVE_CONFLICT, "expected state %s, it is %s", state,
                             reeve_state_text(worker->machine.state));
        }
    }
    return err;
}

static enum reeve_err check_args(const struct pending *pending, struct reeve_why *why)
{
    const struct reeve_value *args = pending->command.args;
    for (size_t i = 0; pending->op->args != NULL && i < reeve_value_len(args); i++) {
        const char *key = reeve_value_key(args, i);
        bool known = false;
        for (size_t j = 0; pending->op->args[j] != NULL; j++) {
            known = known || strcmp(pending->op->args[j], key) == 0;
        }
        const char *near = known ? NULL : reeve_near(key, pending->op->args);
        if (!known) {
            char quoted[80];
            return reeve_fail(why, REEVE_INVALID, "args.%s is not known to '%s'%s%s%s",
                              reeve_log_quote(key, quoted, sizeof quoted), pending->op->name,
                              near != NULL ? ", did you mean '" : "", near != NULL ? near : "",
                              near != NULL ? "'?" : "");
        }
    }
    return REEVE_OK;
}

static enum reeve_err check_admission(const struct pending *pending, struct reeve_why *why)
{
    const struct daemon *daemon = pending->daemon;
    if (daemon->leaving && !(pending->op->flags & OP_READS)) {
        return reeve_fail(why, REEVE_CONFLICT, "node %s is shutting down", daemon->config.node.name);
    }
    if (daemon->draining && (pending->op->flags & OP_ADMITS_NEW)) {
        return reeve_fail(why, REEVE_CONFLICT, "node %s is draining; `undrain` lets it take workers again",
                          daemon->config.node.name);
    }
    if (reeve_map_len(daemon->commands) >= IN_HAND_MAX && !(pending->op->flags & OP_OVERTAKES)) {
        return reeve_fail(why, REEVE_LIMIT, "%d commands are in hand", IN_HAND_MAX);
    }
    return REEVE_OK;
}

// ---- accept and act -------------------------------------------------------------------------------------------

static void mark_intended(const struct pending *pending, bool intended)
{
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct worker *worker = target_worker(pending, &pending->targets[i]);
        if (worker != NULL) {
            worker->intended = intended;
        }
    }
}

// Commands to one worker run in order [cmd-5]: what was accepted in this turn and may be about the same worker is
// carried out before the next is checked against a state that is about to change.
static void settle_earlier(const struct pending *pending)
{
    struct daemon *daemon = pending->daemon;
    const struct worker *worker = daemon_worker(daemon, pending->worker); // NULL: of the node, or of one to come
    if (daemon->after_len > 0 && (worker == NULL || worker->intended)) {
        daemon_commit(daemon);
    }
}

static void act(struct pending *pending)
{
    pending->acted = true;
    pending->op->act(pending);
}

static void accepted(struct daemon *daemon, bool committed, const struct reeve_why *why, void *arg)
{
    struct pending *pending = arg;
    mark_intended(pending, false);
    if (committed) {
        pending_reply(pending, REEVE_PHASE_ACCEPTED, REEVE_OK, NULL, NULL);
        act(pending);
        return;
    }
    daemon->counters.store_failures++;
    pending->journaled = false;
    if (pending->op->flags & OP_OVERTAKES) { // ending a worker must not depend on a disk; it is idempotent
        pending->unjournaled_ok = true;
        act(pending);
        return;
    }
    char message[416];
    (void)snprintf(message, sizeof message, "nothing was done, it can't be recorded: %.360s", why->text);
    pending_finish(pending, REEVE_PHASE_FAILED, REEVE_IO, message, NULL);
}

// The journal holds the command and, per target, the run that was there: what a restarted daemon needs to go on.
static struct reeve_value *journal_body(const struct pending *pending)
{
    struct reeve_value *body = reeve_value_map();
    struct reeve_value *targets = reeve_value_map();
    for (size_t i = 0; i < pending->targets_len; i++) {
        reeve_put_int(targets, pending->targets[i].worker, pending->targets[i].run);
    }
    (void)reeve_value_put(body, "command",
                          reeve_command_value(&pending->command)); /* remembered: reeve_value_built() */
    (void)reeve_value_put(body, "targets", targets);               /* remembered: reeve_value_built() */
    return body;
}

static void journal_and_accept(struct pending *pending)
{
    REEVE_VALUE_AUTO body = journal_body(pending);
    const struct store_command stored = {.id = pending->command.id,
                                         .digest = pending->digest,
                                         .topic = pending->topic,
                                         .body = body,
                                         .phase = REEVE_PHASE_ACCEPTED};
    (void)store_journal_put(pending->daemon->store, &stored,
                            NULL); /* a failure breaks the turn: `accepted` learns it */
    pending->journaled = true;
    mark_intended(pending, true);
    daemon_after_commit(pending->daemon, accepted, pending);
}

static void plan_only(struct pending *pending)
{
    struct reeve_value *result = pending->op->plan != NULL ? pending->op->plan(pending) : reeve_value_map();
    reeve_put_bool(result, "dry_run", true);
    const char *refused = reeve_get_str(result, "refused");
    if (refused != NULL) {
        char message[512];
        (void)snprintf(message, sizeof message, "%s", refused);
        pending_finish(pending, REEVE_PHASE_REJECTED, REEVE_INVALID, message, result);
        return;
    }
    if (pending->targets_len > 0 && reeve_value_get(result, "workers") == NULL) {
        (void)reeve_value_put(result, "workers",
                              pending_targets_value(pending, true)); /* remembered: reeve_value_built() */
    }
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, "dry run: nothing was changed", result);
}

static void dispatch(struct pending *pending)
{
    struct reeve_why why = {0};
    const struct op *op = pending->op;
    settle_earlier(pending);
    enum reeve_err err = check_admission(pending, &why);
    if (err == REEVE_OK) {
        err = check_args(pending, &why);
    }
    if (err == REEVE_OK && (op->flags & OP_SELECTS)) {
        err = select_workers(pending, &why);
    }
    if (err == REEVE_OK) {
        err = check_expect(pending, &why);
    }
    if (err == REEVE_OK && op->prepare != NULL && !(pending->command.dry_run && op->plan != NULL)) {
        err = op->prepare(pending, &why);
    }
    if (err != REEVE_OK) {
        char text[640];
        pending->daemon->counters.refused++;
        pending_finish(pending, REEVE_PHASE_REJECTED, err, reeve_why_format(&why, text, sizeof text), NULL);
    } else if (pending->command.dry_run) {
        plan_only(pending);
    } else if (op->flags & OP_READS) {
        act(pending);
    } else if (reeve_map_put(pending->daemon->commands, pending->command.id, pending, NULL) != REEVE_OK) {
        pending_finish(pending, REEVE_PHASE_REJECTED, REEVE_NOMEM, "out of memory", NULL);
    } else {
        journal_and_accept(pending);
    }
}

// ---- receiving --------------------------------------------------------------------------------------------------

// An op on a worker's topic that is none of ours goes to the worker itself. We answer when nobody is there to do so.
static bool left_to_the_worker(struct daemon *daemon, const struct reeve_topic *topic,
                               const struct reeve_command *command, const char *full_topic)
{
    const struct worker *worker = daemon_worker(daemon, topic->worker);
    char message[256];
    if (worker != NULL && reeve_state_has_process(worker->machine.state)) {
        return true;
    }
    const char *near = op_near(topic->leaf, OP_WORKER);
    if (worker == NULL) {
        (void)snprintf(message, sizeof message, "node %s has no worker '%s'", daemon->config.node.name, topic->worker);
    } else {
        (void)snprintf(message, sizeof message, "worker is %s and can't take '%s'%s%s%s",
                       reeve_state_text(worker->machine.state), topic->leaf, near != NULL ? "; did you mean '" : "",
                       near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    refuse(daemon, command, full_topic, REEVE_PHASE_REJECTED, worker == NULL ? REEVE_NOENT : REEVE_CONFLICT, message);
    return false;
}

static void unknown_op(struct daemon *daemon, const struct reeve_topic *topic, const struct reeve_command *command,
                       const char *full_topic)
{
    char message[192];
    const char *near = op_near(topic->leaf, OP_NODE);
    (void)snprintf(message, sizeof message, "node has no op '%s'%s%s%s", topic->leaf,
                   near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    refuse(daemon, command, full_topic, REEVE_PHASE_REJECTED, REEVE_NOENT, message);
}

static void malformed(struct daemon *daemon, const struct reeve_command *command, const char *topic,
                      const struct reeve_why *why, enum reeve_err err)
{
    char text[640];
    int64_t now = reeve_clock_mono_ms();
    daemon->counters.malformed++;
    refuse(daemon, command, topic, REEVE_PHASE_REJECTED, err, reeve_why_format(why, text, sizeof text));
    if (daemon->malformed_told_mono != 0 && now - daemon->malformed_told_mono < MALFORMED_EVERY_MS) {
        return;
    }
    daemon->malformed_told_mono = now;
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "topic", topic);
    reeve_put_str(detail, "error", text);
    reeve_put_int(detail, "malformed", (int64_t)daemon->counters.malformed);
    publish_event(daemon, "malformed", detail);
}

static void take_decoded(struct daemon *daemon, const struct op *op, const struct reeve_topic *topic,
                         const char *full_topic, struct reeve_command *command)
{
    if (command->reply_to != NULL && !reeve_topic_reply_allowed(daemon->config.node.root, command->reply_to)) {
        free(command->reply_to); // answered where failures without a listener go
        command->reply_to = NULL;
        refuse(daemon, command, full_topic, REEVE_PHASE_REJECTED, REEVE_DENIED,
               "reply_to is no reply topic: below the root only reply/<client>/<id> is answered");
        return;
    }
    bool repeatable = op->flags & OP_QUIET;
    if (!in_time(daemon, command, full_topic) || (!repeatable && was_here_before(daemon, command, full_topic))) {
        return;
    }
    struct pending *pending = pending_new(daemon, op, full_topic, topic->worker, command);
    if (pending == NULL) {
        refuse(daemon, command, full_topic, REEVE_PHASE_REJECTED, REEVE_NOMEM, "out of memory");
        return;
    }
    dispatch(pending);
}

void command_take(struct daemon *daemon, const struct reeve_delivery *delivery)
{
    struct reeve_topic topic = reeve_topic_parse(daemon->config.node.root, delivery->topic);
    bool for_worker = topic.kind == REEVE_TOPIC_WORKER_CMD;
    if ((!for_worker && topic.kind != REEVE_TOPIC_NODE_CMD) || !reeve_str_eq(topic.node, daemon->config.node.name)) {
        return;
    }
    if (delivery->retained && delivery->payload_len == 0) {
        return; // somebody clears a retained message: no command
    }
    daemon->counters.commands++;
    const struct op *op = op_find(topic.leaf, for_worker ? OP_WORKER : OP_NODE);
    const char *main_arg = op == NULL ? "text" : for_worker ? op->main_arg_worker : op->main_arg_node;
    struct reeve_command command = {0};
    struct reeve_why why = {0};
    enum reeve_err err = reeve_command_decode(delivery, main_arg, &command, &why);
    if (op == NULL && for_worker) {
        (void)left_to_the_worker(daemon, &topic, &command, delivery->topic); /* an answer, or the worker's own */
    } else if (delivery->retained) {
        daemon->counters.retained++;
        refuse(daemon, &command, delivery->topic, REEVE_PHASE_REJECTED, REEVE_INVALID,
               "retained: commands are never retained; clear the topic with an empty retained message");
    } else if (op == NULL) {
        unknown_op(daemon, &topic, &command, delivery->topic);
    } else if (err != REEVE_OK) {
        malformed(daemon, &command, delivery->topic, &why, err);
    } else {
        take_decoded(daemon, op, &topic, delivery->topic, &command);
    }
    reeve_command_done(&command);
}

// ---- after a restart of the daemon --------------------------------------------------------------------------------

static struct pending *rebuild(struct daemon *daemon, const struct store_command *stored)
{
    struct reeve_topic topic = reeve_topic_parse(daemon->config.node.root, stored->topic);
    const struct op *op = op_find(topic.leaf, topic.kind == REEVE_TOPIC_WORKER_CMD ? OP_WORKER : OP_NODE);
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(2u << 20);
    struct reeve_command command = {0};
    struct reeve_why why;
    if (op == NULL || reeve_msgpack_write(reeve_value_get(stored->body, "command"), &bytes) != REEVE_OK) {
        return NULL;
    }
    const struct reeve_delivery delivery = {.topic = stored->topic, .payload = bytes.data, .payload_len = bytes.len};
    struct pending *pending = NULL;
    if (reeve_command_decode(&delivery, NULL, &command, &why) == REEVE_OK) {
        pending = pending_new(daemon, op, stored->topic, topic.worker, &command);
    }
    reeve_command_done(&command);
    return pending;
}

static void resume_one(const struct store_command *stored, void *arg)
{
    struct daemon *daemon = arg;
    struct pending *pending = rebuild(daemon, stored);
    if (pending == NULL || reeve_map_put(daemon->commands, stored->id, pending, NULL) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "command", "id=%s resumed=false", stored->id);
        pending_free(pending);
        return;
    }
    pending->journaled = true;
    const struct reeve_value *targets = reeve_value_get(stored->body, "targets");
    for (size_t i = 0; i < reeve_value_len(targets); i++) {
        if (pending_add_target(pending, reeve_value_key(targets, i), NULL) == REEVE_OK) {
            pending->targets[pending->targets_len - 1].run = reeve_value_number(reeve_value_at(targets, i), 0);
        }
    }
    pending->single = pending->worker[0] != '\0' || pending->targets_len == 1;
}

static void go_on(struct pending *pending)
{
    reeve_log(REEVE_LOG_INFO, "command", "id=%s op=%s resumed=true", pending->command.id, pending->op->name);
    if (pending->op->flags & OP_ONCE) {
        pending_finish(pending, REEVE_PHASE_FAILED, REEVE_INTERNAL,
                       "the daemon restarted before it could tell whether this was done; it is not done again", NULL);
        return;
    }
    if (pending->op->resume != NULL) {
        pending->op->resume(pending);
    }
    act(pending);
}

void command_resume(struct daemon *daemon)
{
    struct reeve_why why;
    if (store_journal_open(daemon->store, resume_one, daemon, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "command", "journal=\"%s\"", why.text);
    }
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->commands, &it)) {
        go_on(it.value);
    }
}
