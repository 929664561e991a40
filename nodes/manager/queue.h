// Job queues [job-1..16]: what the rest of the manager knows of them. Begin with queue_room.h for how they work.
// Must not: know what a job does.
#ifndef REEVE_MANAGER_QUEUE_H
#define REEVE_MANAGER_QUEUE_H

#include <reeve/err.h>

struct manager;
struct queues;

enum reeve_err queues_new(struct manager *manager, struct queues **ret, struct reeve_why *why); // subscribes, listens to the fleet
void queues_free(struct queues *queues);
enum reeve_err queues_load(struct queues *queues, struct reeve_why *why); // from the store; also after a failed turn
void queues_publish(struct queues *queues);  // all retained records, on a new session
void queues_ready(struct queues *queues);    // the session is ready: asks the workers what they have in hand
void queues_tick(struct queues *queues);     // once a second: leases, status, schedules, retention
// The end of a turn: hands out jobs, writes what changed. Before the commit.
void queues_turn(struct queues *queues);
void queues_settle(struct queues *queues, bool committed); // after it: replies and batches leave
void queues_room(struct queues *queues);     // the bus has room again
void queues_lost(struct queues *queues);     // the session is over
bool queues_pending(const struct queues *queues); // something of this turn waits for that
size_t queues_len(const struct queues *queues);

#endif
