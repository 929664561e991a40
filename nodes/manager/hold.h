// Holds: what a person has said about workers and about the fleet, until it is said otherwise: offline, paused, shut down. Kept in the
// store, reconciled by level: a worker that joins or restarts gets the hold again. `global_offline` and `fleet shutdown` are
// about everybody, also those to come.
// Must not: forget a hold because the worker is away.
#ifndef REEVE_MANAGER_HOLD_H
#define REEVE_MANAGER_HOLD_H

#include "fleet.h"

struct holds;

enum reeve_err holds_new(struct manager *manager, struct holds **ret, struct reeve_why *why); // listens to the fleet
void holds_free(struct holds *holds);
enum reeve_err holds_load(struct holds *holds, struct reeve_why *why); // from the store; also after a failed turn
void holds_tick(struct holds *holds);
// Whether this worker may take work, by what people have said (not by what it does). For the dispatcher and `find`.
bool hold_takes_work(const struct holds *holds, const char *node, const char *worker);
bool hold_fleet_stopped(const struct holds *holds); // emergency stop or shutdown of everything: pools and accounts start nothing
bool hold_fleet_offline(const struct holds *holds); // global_offline
bool hold_worker_shut_down(const struct holds *holds, const char *node, const char *worker);
// Into a verdict record and for `why`: `hold` {kind by at reason}, when there is one.
void hold_put_verdict(const struct holds *holds, const char *node, const char *worker, struct reeve_value *verdict);

#endif
