// Calls: one received command each, from its checks to its terminal reply [cmd-3].
// Every call ends exactly once, by the program or when the worker leaves; its reply is remembered by id [cmd-4].
// Must not: decide whether a command may run; commands.c does.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reeve_call *worker_call_new(struct reeve_worker *worker, const char *op, struct reeve_command *command,
                                   uint64_t digest)
{
    struct worker_calls *calls = &worker->calls;
    struct reeve_call *call = calls->open_len < WORKER_CALLS_MAX ? calloc(1, sizeof *call) : NULL;
    if (call == NULL) {
        return NULL;
    }
    call->worker = worker;
    (void)snprintf(call->op, sizeof call->op, "%s", op); /* a name, so it fits */
    call->command = *command;
    *command = (struct reeve_command){0};
    call->digest = digest;
    call->next = calls->open;
    calls->open = call;
    calls->open_len++;
    return call;
}

struct reeve_call *worker_call_find(const struct reeve_worker *worker, const char *id)
{
    struct reeve_call *call = worker->calls.open;
    while (call != NULL && strcmp(call->command.id, id) != 0) {
        call = call->next;
    }
    return call;
}

static void unlink_call(struct reeve_call *call)
{
    struct worker_calls *calls = &call->worker->calls;
    struct reeve_call **at = &calls->open;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    calls->open_len--;
    if (calls->drain == call) {
        calls->drain = NULL;
    }
}

// ---- answering ---------------------------------------------------------------------------------------------------

static void audit(struct reeve_worker *worker, const struct reeve_command *command, const char *op,
                  const struct reeve_reply *reply)
{
    char quoted[256];
    enum reeve_log_level level = reply->phase == REEVE_PHASE_DONE ? REEVE_LOG_INFO : REEVE_LOG_WARNING;
    reeve_log(level, "command", "op=%s id=%s issuer=%s phase=%s%s%s", op, command->id == NULL ? "-" : command->id,
              command->issuer == NULL ? "-" : reeve_log_quote(command->issuer, quoted, sizeof quoted),
              reeve_phase_text(reply->phase),
              reply->code == NULL ? "" : " code=", reply->code == NULL ? "" : reply->code);
    if (command->reply_to != NULL) {
        return;
    }
    // Nobody waits for a reply: who watches the worker sees the outcome here.
    struct reeve_value *detail = reeve_value_map();
    if (detail != NULL) {
        reeve_put_str(detail, "op", op);
        reeve_put_str_opt(detail, "id", command->id);
        reeve_put_str_opt(detail, "issuer", command->issuer);
        reeve_put_str(detail, "phase", reeve_phase_text(reply->phase));
        reeve_put_str_opt(detail, "code", reply->code);
        reeve_put_str_opt(detail, "message", reply->message);
    }
    (void)worker_publish_event(worker, "command", detail); /* logged above; dropped events are counted by the bus */
}

void worker_answer(struct reeve_worker *worker, const struct reeve_command *command, const char *op,
                   struct reeve_reply *reply)
{
    char by[2 * REEVE_NAME_SIZE];
    (void)snprintf(by, sizeof by, "%s/%s", worker->settings.node, worker->settings.name); /* two names fit */
    reply->id = command->id;
    reply->by = by;
    reply->epoch = (int64_t)worker->session.epoch;
    reply->at = reeve_clock_wall_ms();
    if (reply->seq == 0) {
        reply->seq = 1;
    }
    enum reeve_err err = reeve_bus_answer(worker->bus, command, reply);
    if (err != REEVE_OK) {
        worker->calls.unanswered++;
        reeve_log(REEVE_LOG_WARNING, "command", "op=%s id=%s err=%s not answered, ignoring", op,
                  command->id == NULL ? "-" : command->id, reeve_err_text(err));
    }
    if (reeve_phase_terminal(reply->phase)) {
        audit(worker, command, op, reply);
    }
}

static void end(struct reeve_call *call, enum reeve_phase phase, const char *code, const char *message,
                const struct reeve_value *result)
{
    struct reeve_worker *worker = call->worker;
    struct reeve_reply reply = {.seq = ++call->seq, .phase = phase, .code = code, .message = message, .result = result};
    unlink_call(call);
    worker_answer(worker, &call->command, call->op, &reply);
    if (call->command.id_given &&
        history_add(worker->calls.history, call->command.id, call->digest, &reply) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "command", "id=%s not remembered, ignoring", call->command.id);
    }
    worker->calls.done += phase == REEVE_PHASE_DONE ? 1 : 0;
    worker->calls.failed += phase == REEVE_PHASE_DONE ? 0 : 1;
    if (call->ended != NULL) {
        *call->ended = true;
    }
    reeve_command_done(&call->command);
    free(call);
}

static void say(struct reeve_call *call, enum reeve_phase phase, const char *message, const struct reeve_value *result)
{
    struct reeve_reply reply = {.seq = ++call->seq, .phase = phase, .message = message, .result = result};
    worker_answer(call->worker, &call->command, call->op, &reply);
}

void worker_call_accept(struct reeve_call *call)
{
    if (!call->accepted) {
        call->accepted = true;
        say(call, REEVE_PHASE_ACCEPTED, NULL, NULL);
    }
}

void worker_calls_cancel(struct reeve_worker *worker)
{
    while (worker->calls.open != NULL) {
        end(worker->calls.open, REEVE_PHASE_CANCELLED, reeve_err_text(REEVE_CANCELLED), "the worker leaves", NULL);
    }
}

// ---- for the program -----------------------------------------------------------------------------------------------

const struct reeve_value *reeve_call_args(const struct reeve_call *call)
{
    return call->command.args;
}

const char *reeve_call_id(const struct reeve_call *call)
{
    return call->command.id;
}

const char *reeve_call_op(const struct reeve_call *call)
{
    return call->op;
}

enum reeve_err reeve_call_progress(struct reeve_call *call, const char *message, struct reeve_value *result)
{
    REEVE_VALUE_AUTO owned = result;
    worker_call_accept(call);
    say(call, REEVE_PHASE_RUNNING, message, owned);
    return REEVE_OK;
}

enum reeve_err reeve_call_done(struct reeve_call *call, struct reeve_value *result, const char *message)
{
    REEVE_VALUE_AUTO owned = result;
    end(call, REEVE_PHASE_DONE, NULL, message, owned);
    return REEVE_OK;
}

enum reeve_err reeve_call_fail(struct reeve_call *call, enum reeve_err err, const struct reeve_why *why)
{
    char text[sizeof why->place + sizeof why->text + 4];
    const char *message = why == NULL ? NULL : reeve_why_format(why, text, sizeof text);
    end(call, err == REEVE_CANCELLED ? REEVE_PHASE_CANCELLED : REEVE_PHASE_FAILED, reeve_err_text(err), message, NULL);
    return REEVE_OK;
}
