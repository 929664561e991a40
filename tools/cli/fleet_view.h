// How the manager's records look: verdicts, health, statistics, alarms, managers.
// Must not: ask for anything; it shows what an answer holds.
#ifndef REEVE_CLI_FLEET_VIEW_H
#define REEVE_CLI_FLEET_VIEW_H

#include "output.h"

// Everything to stdout.
void fleet_view_verdicts(const struct reeve_value *list, bool wide);
void fleet_view_names(const struct reeve_value *list);   // of `-q`: node/name, a line each
void fleet_view_worker(const struct reeve_value *shown); // of `show`
void fleet_view_stats(const struct reeve_value *stats);
void fleet_view_health(const struct reeve_value *health);
void fleet_view_alarms(const struct reeve_value *list);

// One cell each; what is absent shows as "-".
void fleet_cell(struct table *table, const struct reeve_value *record, const char *key);
void fleet_cell_state(struct table *table, const char *state);
void fleet_cell_age(struct table *table, int64_t at);
enum colour fleet_state_colour(const char *state);
// {"node/name": {phase, message}} or {id: {state, message}}: one line for each entry whose `key` is not `good`.
void fleet_view_failures(const struct reeve_value *entries, const char *key, const char *good);
// A heading and the record below it, as `show` has them; nothing when it is empty.
void fleet_section(struct reeve_buf *out, const char *title, const struct reeve_value *record);
void fleet_write(struct table *table, bool wide);

#endif
