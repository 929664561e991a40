// Commands that wait for their replies [cmd-3]: a bounded table by id, one timer for the earliest deadline.
#ifndef REEVE_BUS_REQUEST_H
#define REEVE_BUS_REQUEST_H

#include <reeve/bus.h>

#define REEVE_REQUESTS_MAX 4096

struct reeve_requests;

enum reeve_err reeve_requests_new(struct reeve_bus *bus, struct reeve_bus_stats *stats, struct reeve_requests **ret,
                                  struct reeve_why *why);
// Forgets what is open without a call; `closed` when its timer is gone.
void reeve_requests_close(struct reeve_requests *requests, void (*closed)(void *arg), void *arg);
// A message below reply/<client>/; `id` is its last level.
void reeve_requests_reply(struct reeve_requests *requests, const char *id, const struct reeve_delivery *delivery);
// Every open one ends with `err`.
void reeve_requests_fail_all(struct reeve_requests *requests, enum reeve_err err);

#endif
