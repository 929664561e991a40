// Calls of ops in unit tests: decoded by the op's own table, the newest reply kept. See fake_manager.h.
// Must not: journal or send anything.
#include "fake_manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 5, 0))) static void say(struct call *call, enum reeve_phase phase, enum reeve_err err,
                                                      struct reeve_value *result, const char *fmt, va_list args)
{
    struct fake_reply *reply = &fake_of(call->manager)->reply;
    reeve_value_free(reply->result);
    reply->phase = phase;
    reply->err = err;
    reply->result = result;
    reply->replies++;
    reply->message[0] = '\0';
    if (fmt != NULL) {
        (void)vsnprintf(reply->message, sizeof reply->message, fmt, args); /* cut where too long */
    }
    call->finished = reeve_phase_terminal(phase);
}

enum reeve_err call_done(struct call *call, struct reeve_value *result, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(call, REEVE_PHASE_DONE, REEVE_OK, result, fmt, args);
    va_end(args);
    return REEVE_OK;
}

enum reeve_err call_fail(struct call *call, enum reeve_err err, struct reeve_value *result, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(call, REEVE_PHASE_FAILED, err, result, fmt, args);
    va_end(args);
    return REEVE_OK;
}

enum reeve_err call_keep(struct call *call, void *state, void (*state_free)(void *state))
{
    call->kept = true;
    call->state = state;
    call->state_free = state_free;
    fake_of(call->manager)->reply.phase = REEVE_PHASE_ACCEPTED;
    return REEVE_OK;
}

void call_progress(struct call *call, struct reeve_value *result, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(call, REEVE_PHASE_RUNNING, REEVE_OK, result, fmt, args);
    va_end(args);
}

struct call *call_find(const struct manager *manager, const char *id)
{
    struct fake *fake = fake_of((struct manager *)(uintptr_t)manager);
    return fake->call != NULL && !fake->call->finished && strcmp(fake->call->command.id, id) == 0 ? fake->call : NULL;
}

static const struct reeve_record *args_record; // of the call in hand

void fake_call_end(struct fake *fake)
{
    struct call *call = fake->call;
    reeve_value_free(fake->reply.result);
    fake->reply = (struct fake_reply){0};
    fake->call = NULL;
    if (call == NULL) {
        return;
    }
    if (call->state_free != NULL) {
        call->state_free(call->state);
    }
    if (args_record != NULL && call->args != NULL) {
        reeve_record_done(args_record, call->args);
    }
    free(call->args);
    reeve_command_done(&call->command);
    free(call->topic);
    free(call);
}

enum reeve_err fake_call(struct fake *fake, const struct reeve_record *args, const char *subject, const char *text,
                         enum reeve_err (*run)(struct call *call, struct reeve_why *why), struct reeve_why *why)
{
    static int number;
    char id[32];
    fake_call_end(fake);
    struct call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    (void)snprintf(id, sizeof id, "fake-call-%d", ++number); /* fits */
    call->manager = &fake->manager;
    call->topic = strdup("manager/main/cmd/fake");
    call->command.id = strdup(id);
    call->command.args = text != NULL ? fake_parse(text) : reeve_value_map();
    call->began_mono = fake->mono_ms;
    (void)snprintf(call->subject, sizeof call->subject, "%s", subject != NULL ? subject : ""); /* a name */
    fake->call = call;
    args_record = NULL;
    if (args != NULL) {
        struct reeve_errors errors;
        reeve_errors_init(&errors, NULL);
        call->args = calloc(1, args->size);
        assert_non_null(call->args);
        if (reeve_record_decode(args, call->command.args, "", call->args, &errors) != REEVE_OK) {
            free(call->args);
            call->args = NULL;
            return reeve_errors_result(&errors, why);
        }
        args_record = args;
    }
    return run(call, why);
}
