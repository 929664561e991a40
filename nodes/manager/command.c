// Commands in: who is meant, is it well formed, is it in time, was it here before; then run, journal, answer.
// An op changes memory and store in one turn; its reply leaves after the commit, so `done` means: on disk.
// Must not: know what single ops do (ops.c has the table).
#include "manager.h"
#include "ops.h"
#include "turn.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A deadline further away than the journal's memory could be replayed when the journal has forgotten the id.
#define EXPIRY_AHEAD_MAX_MS STORE_JOURNAL_KEEP_MS
#define IN_HAND_MAX         4096
#define MALFORMED_EVERY_MS  60000
#define LISTENERS_MAX       8
#define AUDIT_TOPIC         "audit/manager" // the role's name: what the broker's rights are made for

// ---- answering --------------------------------------------------------------------------------------------------

static struct reeve_reply reply_of(struct manager *manager, const char *id, int64_t seq, enum reeve_phase phase)
{
    return (struct reeve_reply){.id = id != NULL ? id : "unknown",
                                .seq = seq,
                                .phase = phase,
                                .by = manager->config.manager.name,
                                .epoch = (int64_t)reeve_bus_epoch(manager->bus),
                                .at = reeve_clock_wall_ms()};
}

static void audit(struct manager *manager, const struct reeve_command *command, const char *topic, const char *op,
                  enum reeve_phase phase, const char *code, const char *message)
{
    struct reeve_value *entry = reeve_value_map();
    reeve_put_str(entry, "id", command->id != NULL ? command->id : "unknown");
    reeve_put_str(entry, "topic", topic);
    reeve_put_str_opt(entry, "op", op);
    reeve_put_str_opt(entry, "issuer", command->issuer);
    reeve_put_str(entry, "phase", reeve_phase_text(phase));
    reeve_put_str_opt(entry, "code", code);
    reeve_put_str_opt(entry, "message", message);
    reeve_put_int(entry, "at", reeve_clock_wall_ms());
    manager_publish(manager, LEAVING_EVENT, AUDIT_TOPIC, entry, 0);
}

static void refuse(struct manager *manager, const struct reeve_command *command, const char *topic,
                   enum reeve_phase phase, enum reeve_err err, const char *message)
{
    char quoted[512];
    struct reeve_reply reply = reply_of(manager, command->id, 1, phase);
    reply.code = reeve_err_text(err);
    reply.message = message;
    manager->counters.refused++;
    reeve_log(REEVE_LOG_INFO, "command", "id=%s topic=%s phase=%s code=%s message=%s", reply.id, topic,
              reeve_phase_text(phase), reply.code, reeve_log_quote(message, quoted, sizeof quoted));
    (void)reeve_bus_answer(manager->bus, command, &reply); /* the log has it; a sender without an answer asks again */
    audit(manager, command, topic, NULL, phase, reply.code, message);
}

// What is too large for one message is owed without its result.
static enum reeve_err answer(struct reeve_bus *bus, const struct reeve_command *command,
                             const struct reeve_reply *reply)
{
    enum reeve_err err = reeve_bus_answer(bus, command, reply);
    if (err == REEVE_INVALID && reply->result != NULL) {
        struct reeve_reply shorter = *reply;
        shorter.result = NULL;
        shorter.message = "the result is too large for one message: ask for less at once (limit)";
        err = reeve_bus_answer(bus, command, &shorter);
    }
    return err;
}

static void send_reply(struct call *call, const struct reeve_reply *reply)
{
    struct reeve_bus *bus = call->manager->bus;
    enum reeve_err err = answer(bus, &call->command, reply);
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "command", "id=%s phase=%s reply=%s ignoring", call->command.id,
                  reeve_phase_text(reply->phase), reeve_err_text(err));
    }
    char *own = call->command.reply_to;
    for (size_t i = 0; i < call->listeners.len; i++) {
        call->command.reply_to = call->listeners.items[i];
        (void)answer(bus, &call->command, reply); /* told above */
    }
    call->command.reply_to = own;
}

// ---- calls ------------------------------------------------------------------------------------------------------

static void call_free(struct call *call)
{
    if (reeve_map_get(call->manager->calls, call->command.id) == call) {
        (void)reeve_map_remove(call->manager->calls, call->command.id); /* is `call` */
    }
    if (call->state_free != NULL) {
        call->state_free(call->state);
    }
    if (call->args != NULL) {
        reeve_record_done(call->op->args, call->args);
        free(call->args);
    }
    reeve_value_free(call->reply);
    reeve_strv_done(&call->listeners);
    reeve_command_done(&call->command);
    free(call->topic);
    free(call);
}

static struct call *call_new(struct manager *manager, const struct op *op, const char *topic, const char *subject,
                             struct reeve_command *command)
{
    struct call *call = calloc(1, sizeof *call);
    char *copy = strdup(topic);
    if (call == NULL || copy == NULL) {
        free(call);
        free(copy);
        return NULL;
    }
    call->manager = manager;
    call->op = op;
    call->topic = copy;
    call->command = *command;
    *command = (struct reeve_command){0};
    call->digest = reeve_command_digest(topic, &call->command);
    call->began_mono = reeve_clock_mono_ms();
    (void)snprintf(call->subject, sizeof call->subject, "%s", subject); /* a name */
    return call;
}

struct call *call_find(const struct manager *manager, const char *id)
{
    struct call *call = reeve_map_get(manager->calls, id);
    return call != NULL && !call->finished ? call : NULL;
}

static bool journaled_kind(const struct call *call)
{
    return !(call->op->flags & OP_READS) && !call->command.dry_run;
}

static void put_journal(struct call *call, enum reeve_phase phase)
{
    REEVE_VALUE_AUTO body = reeve_command_value(&call->command);
    const struct store_command stored = {.id = call->command.id,
                                         .digest = call->digest,
                                         .topic = call->topic,
                                         .body = body,
                                         .phase = phase,
                                         .reply = call->reply};
    struct store *store = call->manager->store;
    if (!call->journaled) {
        (void)store_journal_put(store, &stored, NULL); /* a failure breaks the turn: the commit tells */
    } else if (reeve_phase_terminal(phase)) {
        (void)store_journal_end(store, call->command.id, phase, call->reply, NULL); /* as above */
    }
    call->journaled = true;
}

static void set_reply(struct call *call, const struct reeve_reply *reply)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(0);
    struct reeve_value *value = NULL;
    if (reeve_reply_encode(reply, &bytes) == REEVE_OK) {
        struct reeve_limits limits = reeve_limits_wire;
        limits.bytes_max = bytes.len;
        (void)reeve_msgpack_read(bytes.data, bytes.len, &limits, NULL, &value, NULL); /* NULL: `ended` says so */
    }
    reeve_value_free(call->reply);
    call->reply = value;
}

// What the turn did is undone; of one that was in hand for longer, what earlier turns did is not.
static void refused_by_disk(struct call *call, struct reeve_reply *reply)
{
    reply->phase = REEVE_PHASE_FAILED;
    reply->code = reeve_err_text(REEVE_IO);
    reply->message = call->recorded ? "its outcome can't be recorded: the manager's disk refuses to write"
                                    : "nothing was done, it can't be recorded: the manager's disk refuses to write";
    reply->result = NULL;
}

static void recorded(struct manager *manager, bool committed, void *arg)
{
    struct call *call = arg;
    if (committed) {
        manager->unrecorded--;
        call_free(call);
    } else {
        call->recording = false;
    }
}

void commands_tick(struct manager *manager)
{
    for (struct reeve_map_iter it = {0}; manager->unrecorded > 0 && reeve_map_next(manager->calls, &it);) {
        struct call *call = it.value;
        struct reeve_reply reply = {.phase = REEVE_PHASE_FAILED};
        if (call->unrecorded && !call->recording) {
            (void)reeve_reply_decode(call->reply, &reply, NULL); /* out of memory: failed */
            call->recording = true;
            put_journal(call, reply.phase);
            manager_after_commit(manager, recorded, call);
        }
    }
}

// After the commit of the turn in which it ended.
static void ended(struct manager *manager, bool committed, void *arg)
{
    struct call *call = arg;
    struct reeve_reply reply;
    if (reeve_reply_decode(call->reply, &reply, NULL) != REEVE_OK) { // our own: out of memory while it was made
        reply = reply_of(manager, call->command.id, call->seq + 1, REEVE_PHASE_FAILED);
        reply.code = reeve_err_text(REEVE_NOMEM);
    } else if (!committed && journaled_kind(call) && !(call->op->flags & OP_OVERTAKES)) {
        refused_by_disk(call, &reply);
    }
    send_reply(call, &reply);
    if (committed || !call->recorded || reeve_map_get(manager->calls, call->command.id) != call) {
        call_free(call);
        return;
    }
    // On disk it is still in hand, and the next manager would do it again: its end is written as soon as that works.
    set_reply(call, &reply);
    call->unrecorded = true;
    manager->unrecorded++;
}

static enum reeve_err finish(struct call *call, enum reeve_phase phase, enum reeve_err err, struct reeve_value *result,
                             const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));
static enum reeve_err finish(struct call *call, enum reeve_phase phase, enum reeve_err err, struct reeve_value *result,
                             const char *fmt, va_list ap)
{
    struct manager *manager = call->manager;
    char message[1024] = "";
    REEVE_ASSERT(!call->finished);
    if (fmt != NULL) {
        (void)vsnprintf(message, sizeof message, fmt, ap); /* cut */
    }
    struct reeve_reply reply = reply_of(manager, call->command.id, ++call->seq, phase);
    reply.code = err != REEVE_OK ? reeve_err_text(err) : NULL;
    reply.message = message[0] != '\0' ? message : NULL;
    reply.result = result;
    set_reply(call, &reply);
    reeve_value_free(result);
    call->finished = true;
    if (journaled_kind(call)) {
        put_journal(call, phase);
        audit(manager, &call->command, call->topic, call->op->name, phase, reply.code, reply.message);
        char quoted[512];
        reeve_log(REEVE_LOG_INFO, "command", "id=%s op=%s subject=%s phase=%s message=%s", call->command.id,
                  call->op->name, call->subject, reeve_phase_text(phase),
                  reeve_log_quote(message, quoted, sizeof quoted));
    }
    manager_after_commit(manager, ended, call);
    return REEVE_OK;
}

enum reeve_err call_done(struct call *call, struct reeve_value *result, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum reeve_err err = finish(call, REEVE_PHASE_DONE, REEVE_OK, result, fmt, ap);
    va_end(ap);
    return err;
}

enum reeve_err call_fail(struct call *call, enum reeve_err failed, struct reeve_value *result, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum reeve_err err = finish(call, REEVE_PHASE_FAILED, failed, result, fmt, ap);
    va_end(ap);
    return err;
}

static void reject(struct call *call, enum reeve_err err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void reject(struct call *call, enum reeve_err err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    call->manager->counters.refused++;
    (void)finish(call, REEVE_PHASE_REJECTED, err, NULL, fmt, ap); /* always OK */
    va_end(ap);
}

void call_progress(struct call *call, struct reeve_value *result, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap); /* cut */
    va_end(ap);
    struct reeve_reply reply = reply_of(call->manager, call->command.id, ++call->seq, REEVE_PHASE_RUNNING);
    reply.message = message;
    reply.result = result;
    send_reply(call, &reply);
    reeve_value_free(result);
}

// The call may have ended since: it is looked for by its id.
static void accepted(struct manager *manager, bool committed, void *arg)
{
    char *id = arg;
    struct call *call = call_find(manager, id);
    free(id);
    if (call == NULL) {
        return;
    }
    call->recorded = call->recorded || (committed && journaled_kind(call));
    if (committed || (call->op->flags & OP_OVERTAKES)) {
        call->journaled = call->recorded;
        struct reeve_reply reply = reply_of(manager, call->command.id, ++call->seq, REEVE_PHASE_ACCEPTED);
        send_reply(call, &reply);
        return;
    }
    call->journaled = false;
    (void)call_fail(call, REEVE_IO, NULL, "nothing was done, it can't be recorded"); /* always OK */
}

enum reeve_err call_keep(struct call *call, void *state, void (*state_free)(void *state))
{
    REEVE_ASSERT(!call->kept && !call->finished);
    call->kept = true;
    call->state = state;
    call->state_free = state_free;
    return REEVE_OK;
}

// ---- the same id again [cmd-4] ------------------------------------------------------------------------------------

static void join_in_hand(struct manager *manager, struct call *call, const struct reeve_command *command)
{
    const char *to = command->reply_to;
    bool known = to == NULL || reeve_str_eq(to, call->command.reply_to) || reeve_strv_has(&call->listeners, to);
    if (!known && call->listeners.len < LISTENERS_MAX) {
        (void)reeve_strv_add(&call->listeners, to); /* out of memory: the sender asks again */
    }
    struct reeve_reply reply = reply_of(manager, command->id, call->seq, REEVE_PHASE_RUNNING);
    reply.message = "already in hand";
    (void)reeve_bus_answer(manager->bus, command, &reply); /* asked again, answered again */
}

// An end that could not be recorded yet is answered as it was.
static void answer_in_hand(struct manager *manager, struct call *call, const struct reeve_command *command)
{
    struct reeve_reply reply;
    if (call->unrecorded && reeve_reply_decode(call->reply, &reply, NULL) == REEVE_OK) {
        (void)answer(manager->bus, command, &reply); /* asked again, answered again */
    } else {
        join_in_hand(manager, call, command);
    }
}

static void answer_again(struct manager *manager, const struct reeve_command *command,
                         const struct store_command *stored, const char *topic)
{
    struct reeve_reply reply;
    if (stored->reply != NULL && reeve_reply_decode(stored->reply, &reply, NULL) == REEVE_OK) {
        (void)answer(manager->bus, command, &reply);                        /* a third time is possible */
    } else if (!manager->resumed && !reeve_phase_terminal(stored->phase)) { // commands_resume() ends it, to its sender
        reply = reply_of(manager, command->id, 1, REEVE_PHASE_RUNNING);
        reply.message = "in hand since before this manager started";
        (void)answer(manager->bus, command, &reply); /* as above */
    } else {
        refuse(manager, command, topic, REEVE_PHASE_DUPLICATE, REEVE_CONFLICT,
               "was here before; its outcome is not known");
    }
}

// True when the id was here before, or nobody can say, and the sender has been answered. An emergency goes on.
static bool was_here_before(struct manager *manager, const struct op *op, const struct reeve_command *command,
                            const char *topic)
{
    if (!command->id_given) {
        return false;
    }
    struct reeve_why why = {0};
    struct call *call = reeve_map_get(manager->calls, command->id);
    struct store_command stored = {0};
    enum reeve_err err = call == NULL ? store_journal_find(manager->store, command->id, &stored, &why) : REEVE_OK;
    if (err != REEVE_OK && err != REEVE_NOENT && !(op->flags & OP_OVERTAKES)) {
        refuse(manager, command, topic, REEVE_PHASE_REJECTED, err, why.text);
        return true;
    }
    if (err != REEVE_OK) {
        return false;
    }
    manager->counters.duplicates++;
    if (reeve_command_digest(topic, command) != (call != NULL ? call->digest : stored.digest)) {
        refuse(manager, command, topic, REEVE_PHASE_REJECTED, REEVE_CONFLICT,
               "this id was used for another command; an id belongs to one command for 7 days");
    } else if (call != NULL) {
        answer_in_hand(manager, call, command);
    } else {
        answer_again(manager, command, &stored, topic);
    }
    store_command_done(&stored);
    return true;
}

// ---- checks -------------------------------------------------------------------------------------------------------

static bool in_time(struct manager *manager, const struct reeve_command *command, const char *topic)
{
    int64_t now = reeve_clock_wall_ms();
    if (command->expires_at > 0 && command->expires_at <= now) {
        char message[160];
        manager->counters.expired++;
        (void)snprintf(message, sizeof message, "expired %lld ms before it arrived, by this manager's clock",
                       (long long)(now - command->expires_at));
        refuse(manager, command, topic, REEVE_PHASE_EXPIRED, REEVE_TIMEOUT, message);
        return false;
    }
    if (command->expires_at > now + EXPIRY_AHEAD_MAX_MS) {
        refuse(manager, command, topic, REEVE_PHASE_REJECTED, REEVE_INVALID,
               "expires_at is more than 7 days ahead by this manager's clock: longer than ids are remembered");
        return false;
    }
    return true;
}

static enum reeve_err decode_args(struct call *call, struct reeve_why *why)
{
    const struct op *op = call->op;
    if (op->args == NULL) {
        const char *key = op->args_open ? NULL : reeve_value_key(call->command.args, 0);
        char quoted[80];
        return key == NULL ? REEVE_OK
                           : reeve_fail(why, REEVE_INVALID, "args.%s: '%s' takes no arguments",
                                        reeve_log_quote(key, quoted, sizeof quoted), op->name);
    }
    struct reeve_errors *errors = malloc(sizeof *errors);
    void *args = calloc(1, op->args->size);
    if (errors == NULL || args == NULL) {
        free(errors);
        free(args);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_record_decode(op->args, call->command.args, "args", args, errors);
    if (err == REEVE_OK) {
        call->args = args;
    } else {
        free(args);
        err = reeve_errors_result(errors, why);
        err = err == REEVE_OK ? REEVE_NOMEM : err;
    }
    free(errors);
    return err;
}

static enum reeve_err check(const struct call *call, struct reeve_why *why)
{
    const struct manager *manager = call->manager;
    int64_t epoch = (int64_t)reeve_bus_epoch(manager->bus);
    int64_t expected = reeve_get_int(call->command.expect, "epoch", epoch);
    if (manager->leaving && !(call->op->flags & OP_READS)) {
        return reeve_fail(why, REEVE_CONFLICT, "manager %s is leaving", manager->config.manager.name);
    }
    if (reeve_map_len(manager->calls) >= IN_HAND_MAX && !(call->op->flags & OP_OVERTAKES)) {
        return reeve_fail(why, REEVE_LIMIT, "%d commands are in hand", IN_HAND_MAX);
    }
    if (expected != epoch) {
        return reeve_fail(why, REEVE_CONFLICT, "expected epoch %lld, it is %lld", (long long)expected,
                          (long long)epoch);
    }
    return REEVE_OK;
}

// ---- running --------------------------------------------------------------------------------------------------------

static void run(struct call *call)
{
    struct reeve_why why = {0};
    struct manager *manager = call->manager;
    enum reeve_err err = call->rerun ? REEVE_OK : check(call, &why); // it was checked when it was accepted
    if (err == REEVE_OK) {
        err = decode_args(call, &why);
    }
    if (err == REEVE_OK && reeve_map_put(manager->calls, call->command.id, call, NULL) != REEVE_OK) {
        err = reeve_fail(&why, REEVE_NOMEM, "out of memory");
    }
    if (err == REEVE_OK) {
        err = call->op->run(call, &why);
    }
    if (err != REEVE_OK) {
        char text[640];
        reject(call, err, "%s", reeve_why_format(&why, text, sizeof text));
    } else if (call->kept && !call->finished) {
        char *id = strdup(call->command.id);
        if (journaled_kind(call)) {
            put_journal(call, REEVE_PHASE_ACCEPTED);
        }
        if (id != NULL) { // without it the sender misses `accepted`, not the outcome
            manager_after_commit(manager, accepted, id);
        }
    } else {
        REEVE_ASSERT(call->finished); // an op ends in call_done(), call_fail() or call_keep()
    }
}

// ---- receiving
// --------------------------------------------------------------------------------------------------------

static void unknown_op(struct manager *manager, const struct reeve_topic *topic, unsigned level,
                       const struct reeve_command *command, const char *full_topic)
{
    char message[192];
    const char *near = op_near(topic->leaf, level);
    (void)snprintf(message, sizeof message, "there is no op '%s' here%s%s%s", topic->leaf,
                   near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    refuse(manager, command, full_topic, REEVE_PHASE_REJECTED, REEVE_NOENT, message);
}

static void malformed(struct manager *manager, const struct reeve_command *command, const char *topic,
                      const struct reeve_why *why, enum reeve_err err)
{
    char text[640];
    int64_t now = reeve_clock_mono_ms();
    manager->counters.malformed++;
    refuse(manager, command, topic, REEVE_PHASE_REJECTED, err, reeve_why_format(why, text, sizeof text));
    if (manager->malformed_told_mono == 0 || now - manager->malformed_told_mono >= MALFORMED_EVERY_MS) {
        char quoted[320];
        manager->malformed_told_mono = now;
        reeve_log(REEVE_LOG_WARNING, "command", "malformed=%llu topic=%s error=%s ignoring",
                  (unsigned long long)manager->counters.malformed, topic, reeve_log_quote(text, quoted, sizeof quoted));
    }
}

static void take_decoded(struct manager *manager, const struct op *op, const struct reeve_topic *topic,
                         const char *full_topic, struct reeve_command *command)
{
    if (command->reply_to != NULL && !reeve_topic_reply_allowed(manager->config.manager.root, command->reply_to)) {
        free(command->reply_to); // answered where failures without a listener go
        command->reply_to = NULL;
        refuse(manager, command, full_topic, REEVE_PHASE_REJECTED, REEVE_DENIED,
               "reply_to is no reply topic: below the root only reply/<client>/<id> is answered");
        return;
    }
    // First what was done: that somebody asks late for what became of it does not make it undone.
    if (was_here_before(manager, op, command, full_topic) || !in_time(manager, command, full_topic)) {
        return;
    }
    struct call *call = call_new(manager, op, full_topic, op->level == OP_OF_MANAGER ? "" : topic->client, command);
    if (call == NULL) {
        refuse(manager, command, full_topic, REEVE_PHASE_REJECTED, REEVE_NOMEM, "out of memory");
        return;
    }
    run(call);
}

// 0: not for us.
static unsigned level_of(const struct manager *manager, const struct reeve_topic *topic)
{
    if (topic->kind == REEVE_TOPIC_MANAGER_CMD) {
        return reeve_str_eq(topic->client, manager->config.manager.name) ? OP_OF_MANAGER : 0;
    }
    return topic->kind == REEVE_TOPIC_POOL_CMD      ? OP_OF_POOL
           : topic->kind == REEVE_TOPIC_ACCOUNT_CMD ? OP_OF_ACCOUNT
           : topic->kind == REEVE_TOPIC_QUEUE_CMD   ? OP_OF_QUEUE
                                                    : 0;
}

void commands_take(struct manager *manager, const struct reeve_delivery *delivery)
{
    struct reeve_topic topic = reeve_topic_parse(manager->config.manager.root, delivery->topic);
    unsigned level = level_of(manager, &topic);
    if (level == 0 || (delivery->retained && delivery->payload_len == 0)) {
        return; // another manager's, or somebody clears a retained message: no command
    }
    manager->counters.commands++;
    const struct op *op = op_find(topic.leaf, level);
    struct reeve_command command = {0};
    struct reeve_why why = {0};
    enum reeve_err err = reeve_command_decode(delivery, op == NULL ? "text" : op->main_arg, &command, &why);
    if (delivery->retained) {
        manager->counters.retained++;
        refuse(manager, &command, delivery->topic, REEVE_PHASE_REJECTED, REEVE_INVALID,
               "retained: commands are never retained; clear the topic with an empty retained message");
    } else if (op == NULL) {
        unknown_op(manager, &topic, level, &command, delivery->topic);
    } else if (err != REEVE_OK) {
        malformed(manager, &command, delivery->topic, &why, err);
    } else {
        take_decoded(manager, op, &topic, delivery->topic, &command);
    }
    reeve_command_done(&command);
}

static void on_command(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    commands_take(arg, delivery);
}

enum reeve_err commands_start(struct manager *manager, struct reeve_why *why)
{
    static const char *const others[] = {"pool/+/cmd/+", "account/+/cmd/+"};
    char own[REEVE_TOPIC_SIZE];
    (void)snprintf(own, sizeof own, "manager/%s/cmd/+", manager->config.manager.name); /* a name */
    enum reeve_err err = manager_subscribe(manager, own, REEVE_BUS_NO_RETAINED, on_command, manager, why);
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(others); i++) {
        err = manager_subscribe(manager, others[i], REEVE_BUS_NO_RETAINED, on_command, manager, why);
    }
    return err;
}

// ---- after a restart of the manager -------------------------------------------------------------------------------

struct reopened { // what the journal has without an outcome; read first, run afterwards
    struct manager *manager;
    struct call *calls[IN_HAND_MAX];
    size_t len;
    struct reeve_strv lost; // ids of those that can't be taken up
};

static struct call *rebuild(struct manager *manager, const struct store_command *stored)
{
    struct reeve_topic topic = reeve_topic_parse(manager->config.manager.root, stored->topic);
    unsigned level = level_of(manager, &topic);
    const struct op *op = level != 0 ? op_find(topic.leaf, level) : NULL;
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(2u << 20);
    struct reeve_command command = {0};
    if (op == NULL || reeve_msgpack_write(stored->body, &bytes) != REEVE_OK) {
        return NULL;
    }
    const struct reeve_delivery delivery = {.topic = stored->topic, .payload = bytes.data, .payload_len = bytes.len};
    struct call *call = NULL;
    if (reeve_command_decode(&delivery, NULL, &command, NULL) == REEVE_OK) {
        call = call_new(manager, op, stored->topic, level == OP_OF_MANAGER ? "" : topic.client, &command);
    }
    reeve_command_done(&command);
    if (call != NULL) {
        call->journaled = true;
        call->recorded = true;
        call->rerun = true;
    }
    return call;
}

static void reopen(const struct store_command *stored, void *arg)
{
    struct reopened *reopened = arg;
    struct call *call = reopened->len < IN_HAND_MAX ? rebuild(reopened->manager, stored) : NULL;
    if (call == NULL) {
        reeve_log(REEVE_LOG_ERROR, "command", "id=%s resumed=false", stored->id);
        (void)reeve_strv_add(&reopened->lost, stored->id); /* out of memory: the next manager */
        return;
    }
    reopened->calls[reopened->len++] = call;
}

// Whoever asks again is answered, instead of `duplicate` for ever.
static void end_lost(struct manager *manager, const char *id)
{
    struct reeve_reply reply = reply_of(manager, id, 1, REEVE_PHASE_FAILED);
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO value = NULL;
    reply.code = reeve_err_text(REEVE_UNSUPPORTED);
    reply.message = "the manager restarted, and the one that runs now can't take it up";
    if (reeve_reply_encode(&reply, &bytes) == REEVE_OK &&
        reeve_msgpack_read(bytes.data, bytes.len, &reeve_limits_wire, NULL, &value, NULL) == REEVE_OK) {
        (void)store_journal_end(manager->store, id, REEVE_PHASE_FAILED, value, NULL); /* the commit tells */
    }
}

void commands_resume(struct manager *manager)
{
    struct reopened *reopened = calloc(1, sizeof *reopened);
    struct reeve_why why = {0};
    if (reopened == NULL) {
        return;
    }
    reopened->manager = manager;
    if (store_journal_open(manager->store, reopen, reopened, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "command", "resume=\"%s\"", why.text);
    }
    for (size_t i = 0; i < reopened->len; i++) {
        struct call *call = reopened->calls[i];
        reeve_log(REEVE_LOG_INFO, "command", "id=%s op=%s resumed=true", call->command.id, call->op->name);
        if (call->op->flags & OP_RERUN) {
            run(call);
        } else if (reeve_map_put(manager->calls, call->command.id, call, NULL) == REEVE_OK) {
            (void)call_fail(call, REEVE_INTERNAL, NULL,
                            "the manager restarted before it could tell whether this was done; it is not done again");
        } else {
            call_free(call);
        }
    }
    for (size_t i = 0; i < reopened->lost.len; i++) {
        end_lost(manager, reopened->lost.items[i]);
    }
    reeve_strv_done(&reopened->lost);
    free(reopened);
}

void commands_done(struct manager *manager)
{
    for (struct reeve_map_iter it = {0}; manager->calls != NULL && reeve_map_next(manager->calls, &it);) {
        call_free(it.value);
    }
    reeve_map_free(manager->calls, NULL);
    manager->calls = NULL;
}
