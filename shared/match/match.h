// Inside match: what the parser and the evaluation share.
// Must not: be included from outside shared/match.
#ifndef REEVE_MATCH_MATCH_H
#define REEVE_MATCH_MATCH_H

#include <reeve/match.h>

// A plain number, a size or a duration: 4  -1.5  512M  64KiB  5m  1h30m. False for anything else.
bool match_number(const char *text, double *ret);
const char *match_sign(enum reeve_compare compare); // ">="; "" for HAS and HAS_NOT

#endif
