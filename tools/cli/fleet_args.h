// Whom of the fleet is meant, as the manager's ops take it: names, filters, requirements, all.
// Must not: ask anybody; the manager knows who fits.
#ifndef REEVE_CLI_FLEET_ARGS_H
#define REEVE_CLI_FLEET_ARGS_H

#include "options.h"

#include <reeve/match.h>
#include <reeve/value.h>

// Names from the arguments, --node --type ... --require --label --all into `args`. INVALID names the option.
enum reeve_err fleet_args_put(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why);
// Whether somebody is named; ops that change something want it said.
bool fleet_args_say_something(const struct reeve_value *args);

// The same against a verdict record (fleet/<node>/<worker>), for who listens without asking.
struct fleet_filter {
    const struct reeve_value *args;         // as made above; borrowed
    struct reeve_requirements requirements; // all of them but names
};
enum reeve_err fleet_filter_read(const struct reeve_value *args, struct fleet_filter *ret, struct reeve_why *why);
bool fleet_filter_fits(const struct fleet_filter *filter, const struct reeve_value *verdict);

#endif
