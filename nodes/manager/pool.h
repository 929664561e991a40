// Pools: so many workers of one template, kept by level: what should be, what is, the difference as orders to nodes, again
// until they agree.
//   pool.c       pools and their specs, status, ops        members.c  one worker of a pool: its states and orders
//   reconcile.c  from desired and observed to members      update.c   a new template, rolled out and undone
//   scaling.c    measurements to the autoscaler, events    acquire.c  exclusive use under a lease
//   lease.c      single_active: renewals and fencing
// Must not: talk to processes; nodes do.
#ifndef REEVE_MANAGER_POOL_H
#define REEVE_MANAGER_POOL_H

#include "fleet.h"

#include <reeve/pool.h>

struct pools;

enum reeve_err pools_new(struct manager *manager, struct pools **ret, struct reeve_why *why); // listens to the fleet
void pools_free(struct pools *pools);
enum reeve_err pools_load(struct pools *pools, struct reeve_why *why); // from the store; also after a failed turn
void pools_publish(struct pools *pools); // all retained records, on a new session
void pools_tick(struct pools *pools);    // once a second, and soon after anything changed
size_t pools_len(const struct pools *pools);
// Health asks for another worker in the place of this one. NOENT when it belongs to no pool.
enum reeve_err pools_replace(struct manager *manager, const char *node, const char *worker, const char *cause, struct reeve_why *why);
// Emergency: nothing is started or ended on behalf of any pool while the fleet is stopped.
struct reeve_value *pool_of_worker_value(const struct manager *manager, const char *node, const char *worker); // for `show`; NULL

#endif
