// What a command is given of its job besides its arguments: environment and standard input.
// Must not: know of processes or of the SDK.
#ifndef REEVE_COMMAND_ENVIRONMENT_H
#define REEVE_COMMAND_ENVIRONMENT_H

#include "command.h"
#include "template.h"

// KEY=value, each key once. From the worker's own environment come PATH, HOME, LANG and what `inherit` names; `env`
// wins over them, REEVE_JOB_* over all. LIMIT: a variable is longer than the system takes (the checkpoint).
enum reeve_err environment_make(const struct command *command, const struct template_values *job, bool reconciling,
                                struct reeve_strv *ret, struct reeve_why *why);
// *ret is NULL for none; the caller frees it. INVALID: `stdin: raw` and a payload that is neither text nor binary.
enum reeve_err environment_input(const struct command *command, const struct reeve_value *payload, char **ret,
                                 size_t *ret_len, struct reeve_why *why);

#endif
