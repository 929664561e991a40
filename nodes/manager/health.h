// Health: per worker a list of checks, each with value, threshold and message. None failing = healthy, one = warning, more =
// unhealthy. Flapping and crash loops are alarms that stay open until they are over. What follows is policy: alarm, restart, replace.
//   heartbeat · process · memory (against limit, and its trend) · progress (of the job in hand) · errors (rate over a window) · checks the
//   worker declares · probes of its node
// Must not: change a worker itself; it asks orders (restart) and pools (replace).
#ifndef REEVE_MANAGER_HEALTH_H
#define REEVE_MANAGER_HEALTH_H

#include "fleet.h"

struct health;

enum health_level { HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_WARNING, HEALTH_UNHEALTHY };
const char *health_level_text(enum health_level level);

enum reeve_err health_new(struct manager *manager, struct health **ret, struct reeve_why *why); // listens to the fleet
void health_free(struct health *health);
void health_tick(struct health *health); // once a second
void health_session(struct health *health);
enum health_level health_of(const struct health *health, const char *node, const char *worker);
// Since when (monotonic) it has been healthy without a break; 0 = it is not.
int64_t health_healthy_since(const struct health *health, const char *node, const char *worker);
// {health, checks: [{name ok value threshold message}]}; caller frees. NULL for an unknown worker.
struct reeve_value *health_value(const struct health *health, const char *node, const char *worker);
// Into a verdict record: `health`, and the failing checks' messages. fleet.c calls it.
void health_put_verdict(const struct health *health, const char *node, const char *worker, struct reeve_value *verdict);

#endif
