// From a message on a command topic to a call: retained, malformed, repeated, expired, unexpected, badly argued.
// Each check is a row; the first that refuses answers [cmd-1] [cmd-2] [cmd-4]. What passes all is run once.
// Must not: answer for the daemon, whose ops arrive on the same topics.
#include "worker.h"

#include "checks.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdlib.h>
#include <string.h>

// A command under examination.
struct candidate {
    struct reeve_worker *worker;
    const struct reeve_delivery *delivery;
    const char *op;
    const struct reeve_worker_command *row;
    struct reeve_command command;
    enum reeve_err decoded;
    struct reeve_why why;
    uint64_t digest;
};

// A refusal: phase, code and message of the answer.
struct refusal {
    enum reeve_phase phase;
    const char *code;
    const char *message;
    const struct reeve_value *result;
};

static const struct reeve_worker_command *find_row(const struct reeve_worker_command *rows, const char *op)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strcmp(rows->name, op) == 0) {
            return rows;
        }
    }
    return NULL;
}

static bool is_retained(struct candidate *it, struct refusal *ret)
{
    *ret = (struct refusal){REEVE_PHASE_REJECTED, "retained",
                            "a command must not be retained: publish it without the retain flag", NULL};
    return it->delivery->retained;
}

static bool is_unknown(struct candidate *it, struct refusal *ret)
{
    if (it->row != NULL) {
        return false;
    }
    const char *near = checks_near_op(it->op, it->worker->program->commands, worker_builtin);
    (void)reeve_fail(&it->why, REEVE_NOENT, "a worker of type %s has no command %s%s%s%s", it->worker->program->type,
                     it->op, near == NULL ? "" : "; did you mean ", near == NULL ? "" : near,
                     near == NULL ? "" : "?"); /* the text is the answer */
    *ret = (struct refusal){REEVE_PHASE_REJECTED, reeve_err_text(REEVE_NOENT), it->why.text, NULL};
    return true;
}

static bool is_malformed(struct candidate *it, struct refusal *ret)
{
    *ret = (struct refusal){REEVE_PHASE_REJECTED, reeve_err_text(it->decoded), it->why.text, NULL};
    return it->decoded != REEVE_OK;
}

static bool is_open(struct candidate *it, struct refusal *ret)
{
    const struct reeve_call *call = it->command.id_given ? worker_call_find(it->worker, it->command.id) : NULL;
    if (call == NULL) {
        return false;
    }
    if (call->digest != it->digest) {
        *ret = (struct refusal){REEVE_PHASE_REJECTED, reeve_err_text(REEVE_CONFLICT),
                                "this id is in hand with another command or other arguments", NULL};
    } else if (reeve_str_eq(call->command.reply_to, it->command.reply_to)) {
        *ret = (struct refusal){REEVE_PHASE_RUNNING, NULL, "in hand already; its reply follows", NULL};
    } else {
        *ret =
            (struct refusal){REEVE_PHASE_DUPLICATE, NULL, "in hand already; its reply goes to who asked first", NULL};
    }
    it->worker->calls.repeated++;
    return true;
}

static bool is_repeated(struct candidate *it, struct refusal *ret)
{
    const struct history_entry *entry =
        it->command.id_given ? history_find(it->worker->calls.history, it->command.id) : NULL;
    if (entry == NULL) {
        return false;
    }
    if (entry->digest != it->digest) {
        *ret = (struct refusal){REEVE_PHASE_REJECTED, reeve_err_text(REEVE_CONFLICT),
                                "this id was used with another command or other arguments", NULL};
    } else {
        *ret = (struct refusal){entry->phase, entry->code, entry->message, entry->result};
    }
    it->worker->calls.repeated++;
    return true;
}

static bool is_expired(struct candidate *it, struct refusal *ret)
{
    *ret = (struct refusal){REEVE_PHASE_EXPIRED, reeve_err_text(REEVE_TIMEOUT),
                            "expires_at is over by this host's clock; nothing was done", NULL};
    return checks_expired(&it->command, reeve_clock_wall_ms());
}

static bool is_unexpected(struct candidate *it, struct refusal *ret)
{
    struct checks_state state = {.epoch = (int64_t)it->worker->session.epoch,
                                 .run = it->worker->settings.run,
                                 .availability = worker_availability(it->worker)};
    enum reeve_err err = checks_expect(it->command.expect, &state, &it->why);
    *ret = (struct refusal){REEVE_PHASE_REJECTED, reeve_err_text(err), it->why.text, NULL};
    return err != REEVE_OK;
}

static bool is_badly_argued(struct candidate *it, struct refusal *ret)
{
    struct reeve_value *checked = NULL;
    enum reeve_err err = arguments_check(it->row->args, it->command.args, &checked, &it->why);
    if (err == REEVE_OK) {
        reeve_value_free(it->command.args);
        it->command.args = checked;
    }
    *ret = (struct refusal){REEVE_PHASE_REJECTED, reeve_err_text(err), it->why.text, NULL};
    return err != REEVE_OK;
}

static bool is_only_asked_for(struct candidate *it, struct refusal *ret)
{
    *ret = (struct refusal){REEVE_PHASE_DONE, NULL, "dry run: it would be run with these arguments", it->command.args};
    // configure says more about what it would do; the others are the program's and can't be asked.
    return it->command.dry_run && strcmp(it->op, "configure") != 0;
}

// In this order: what must never run first, then what was run already, then what may not run now.
static bool (*const checks[])(struct candidate *it, struct refusal *ret) = {
    is_retained, is_unknown,    is_malformed,    is_open,           is_repeated,
    is_expired,  is_unexpected, is_badly_argued, is_only_asked_for,
};

static bool refused(struct candidate *it)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(checks); i++) {
        struct refusal refusal;
        if (checks[i](it, &refusal)) {
            struct reeve_reply reply = {
                .phase = refusal.phase, .code = refusal.code, .message = refusal.message, .result = refusal.result};
            it->worker->calls.refused += refusal.phase == REEVE_PHASE_REJECTED ? 1 : 0;
            worker_answer(it->worker, &it->command, it->op, &reply);
            return true;
        }
    }
    return false;
}

static void run(struct candidate *it)
{
    bool ended = false;
    struct reeve_why why = {0};
    struct reeve_call *call = worker_call_new(it->worker, it->op, &it->command, it->digest);
    if (call == NULL) {
        struct reeve_reply reply = {.phase = REEVE_PHASE_REJECTED,
                                    .code = reeve_err_text(REEVE_LIMIT),
                                    .message = "too many commands are in hand"};
        it->worker->calls.refused++;
        worker_answer(it->worker, &it->command, it->op, &reply);
        return;
    }
    call->ended = &ended;
    enum reeve_err err = it->row->run(it->worker, call, &why);
    if (ended) {
        return;
    }
    call->ended = NULL;
    if (err != REEVE_OK) {
        (void)reeve_call_fail(call, err, &why); /* always OK */
    } else {
        worker_call_accept(call);
    }
}

void worker_on_command(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct reeve_worker *worker = arg;
    struct reeve_topic topic = reeve_topic_parse(worker->settings.root, delivery->topic);
    (void)bus; /* the worker's */
    if (topic.kind != REEVE_TOPIC_WORKER_CMD || checks_op_of_daemon(topic.leaf) ||
        worker->leave.phase >= LEAVE_GOODBYE) {
        return;
    }
    struct candidate it = {.worker = worker, .delivery = delivery, .op = topic.leaf};
    it.row = find_row(worker_builtin, topic.leaf);
    if (it.row == NULL) {
        it.row = find_row(worker->program->commands, topic.leaf);
    }
    it.decoded = reeve_command_decode(delivery, it.row == NULL ? NULL : it.row->main_arg, &it.command, &it.why);
    if (it.decoded == REEVE_OK) {
        it.digest = reeve_command_digest(delivery->topic, &it.command);
    }
    if (!refused(&it)) {
        run(&it);
    }
    reeve_command_done(&it.command);
}
