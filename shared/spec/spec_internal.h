// Inside shared/spec: what its files share.
// Must not: be included from anywhere else.
#ifndef REEVE_SPEC_INTERNAL_H
#define REEVE_SPEC_INTERNAL_H

#include <reeve/spec.h>

extern const struct reeve_choice reeve_signal_choices[];

// spec_probes.c
extern const struct reeve_record reeve_spec_probe_record;
// Rules across probes. `value`: the list as it was given.
void reeve_spec_probes_check(const struct reeve_records *probes, const struct reeve_value *value, const char *path,
                             struct reeve_errors *errors);

#endif
