// Inside shared/spec: what its files share.
// Must not: be included from anywhere else.
#ifndef REEVE_SPEC_INTERNAL_H
#define REEVE_SPEC_INTERNAL_H

#include <reeve/spec.h>

extern const struct reeve_choice reeve_signal_choices[];

#endif
