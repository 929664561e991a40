// cmocka and what it needs before it; parsing a command line for the tests of this folder.
#ifndef REEVE_TEST_CLI_CMOCKA_ALL_H
#define REEVE_TEST_CLI_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

// reeve ARGUMENTS, split at spaces. One at a time: the words live in static memory.
static inline enum reeve_err parse_line(const char *line, struct invocation *ret, struct reeve_why *why)
{
    static char words[4096];
    static char *argv[256];
    int argc = 0;
    argv[argc++] = (char *)(uintptr_t) "reeve";
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_parse(argc, argv, ret, why);
}

#endif
