// Arguments by template: `{payload.amount}` in an argv becomes the job's own value. One argument stays one argument,
// whatever stands in it: nothing is split, quoted or expanded a second time. Must not: know of processes or of the SDK.
#ifndef REEVE_COMMAND_TEMPLATE_H
#define REEVE_COMMAND_TEMPLATE_H

#include <reeve/str.h>
#include <reeve/value.h>

#define TEMPLATE_ARG_MAX 131071 // bytes of one argument or variable: MAX_ARG_STRLEN of Linux, without the NUL

// What a name in braces may mean. All borrowed; what is NULL is absent.
struct template_values {
    const char *id, *type, *queue;
    int64_t attempt;
    const struct reeve_value *payload, *checkpoint;
};

// Names: {id} {type} {queue} {attempt} {fence} {payload} {checkpoint}, and below the last two a path of keys and of
// list positions from 0: {payload.items.0.name}. `{{` and `}}` are braces; a `}` alone is itself. INVALID names what is
// wrong and where.
enum reeve_err template_check(const char *text, struct reeve_why *why);
// The text of one argument; the caller frees it. Text as it is, numbers and truth as JSON writes them, lists and maps
// as JSON. NOENT: a name that this job has no value for (null counts as none); LIMIT: longer than TEMPLATE_ARG_MAX;
// INVALID: a NUL inside.
enum reeve_err template_fill(const char *text, const struct template_values *values, char **ret, struct reeve_why *why);
// A whole argv; `why` has the number of the argument as its place.
enum reeve_err template_fill_all(const struct reeve_strv *argv, const struct template_values *values,
                                 struct reeve_strv *ret, struct reeve_why *why);

#endif
