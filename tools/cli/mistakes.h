// Mistakes of files, as they are found: a line each on stderr in the way of compilers, and a list for --json.
// Must not: decide whether to go on.
#ifndef REEVE_CLI_MISTAKES_H
#define REEVE_CLI_MISTAKES_H

#include "options.h"

#include <reeve/record.h>

struct mistakes {
    struct reeve_value *list; // LIST of {file line col path message warning}
    size_t errors;
};
void mistakes_init(struct mistakes *mistakes);
void mistakes_done(struct mistakes *mistakes);
#define MISTAKES_AUTO __attribute__((cleanup(mistakes_done))) struct mistakes

void mistakes_take(struct mistakes *mistakes, struct reeve_errors *errors); // sorts them by place; NULL = none
// "reeve: 3 mistakes; nothing was applied", and {"error": {..., mistakes: []}} with --json. Returns the exit code.
int mistakes_fail(const struct invocation *inv, const struct mistakes *mistakes, enum reeve_err err,
                  const struct reeve_why *why);

#endif
