// The rules of commands.c that are pure: whose op, how old, what the sender took for granted.
// Each works on the decoded command alone.
// Must not: know the bus, clocks or answers.
#include "checks.h"

#include <string.h>

static const char *const daemon_ops[] = {"start", "stop", "restart", "kill", "signal", "reset", "remove", "logs", NULL};

bool checks_op_of_daemon(const char *op)
{
    for (size_t i = 0; daemon_ops[i] != NULL; i++) {
        if (strcmp(daemon_ops[i], op) == 0) {
            return true;
        }
    }
    return false;
}

const char *checks_near_op(const char *op, const struct reeve_worker_command *declared,
                           const struct reeve_worker_command *builtin)
{
    const char *names[128];
    size_t len = 0;
    for (; declared != NULL && declared->name != NULL && len < 96; declared++) {
        names[len++] = declared->name;
    }
    for (; builtin != NULL && builtin->name != NULL && len < 112; builtin++) {
        names[len++] = builtin->name;
    }
    for (size_t i = 0; daemon_ops[i] != NULL && len + 1 < REEVE_ARRAY_LEN(names); i++) {
        names[len++] = daemon_ops[i];
    }
    names[len] = NULL;
    return reeve_near(op, names);
}

bool checks_expired(const struct reeve_command *command, int64_t wall_ms)
{
    return command->expires_at != 0 && wall_ms > command->expires_at;
}

static enum reeve_err expect_number(const char *name, const struct reeve_value *given, int64_t is,
                                    struct reeve_why *why)
{
    int64_t wanted = reeve_value_number(given, -1);
    if (wanted == is) {
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_CONFLICT, "expected %s %lld, it is %lld", name, (long long)wanted, (long long)is);
}

// A worker that answers is running; more exactly it can be asked by its availability.
static enum reeve_err expect_state(const struct reeve_value *given, enum reeve_availability is, struct reeve_why *why)
{
    const char *wanted = reeve_value_kind(given) == REEVE_STR ? reeve_value_text(given) : "";
    if (strcmp(wanted, reeve_state_text(REEVE_STATE_RUNNING)) == 0 ||
        strcmp(wanted, reeve_availability_text(is)) == 0) {
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_CONFLICT, "expected state %.32s, it is running and %s", wanted,
                      reeve_availability_text(is));
}

enum reeve_err checks_expect(const struct reeve_value *expect, const struct checks_state *state, struct reeve_why *why)
{
    for (size_t i = 0; i < reeve_value_len(expect); i++) {
        const char *name = reeve_value_key(expect, i);
        const struct reeve_value *given = reeve_value_at(expect, i);
        enum reeve_err err = REEVE_OK;
        if (strcmp(name, "epoch") == 0) {
            err = expect_number(name, given, state->epoch, why);
        } else if (strcmp(name, "run") == 0) {
            err = expect_number(name, given, state->run, why);
        } else if (strcmp(name, "state") == 0) {
            err = expect_state(given, state->availability, why);
        } else {
            err = reeve_fail(why, REEVE_INVALID, "expect.%.32s is nothing a worker can check (epoch run state)", name);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}
