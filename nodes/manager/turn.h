// The end of a turn: one transaction, then everything that follows from it leaves, in the order in which it was said.
// When the disk refuses, none of it leaves and memory is loaded anew from the store, as after a crash.
// Must not: know what a pool, a worker or a command is.
#ifndef REEVE_MANAGER_TURN_H
#define REEVE_MANAGER_TURN_H

#include "manager.h"

#define TURN_WAITING_MAX 200000 // messages that wait for room on the bus; more are refused, counted

struct turn;

enum reeve_err turn_new(struct manager *manager, struct turn **ret, struct reeve_why *why);
void turn_free(struct turn *turn); // what waits is dropped
void turn_start(struct turn *turn); // from now on every turn of the loop ends in a commit
void turn_stop(struct turn *turn);
void turn_commit(struct turn *turn); // end the turn here
void turn_room(struct turn *turn);   // the bus has room again: go on sending
void turn_forget_records(struct turn *turn); // the session is over: the next one publishes what is retained anew
// Whether the store refused lately: who only retries by level (ticks) waits until it was tried again.
bool turn_store_failing(const struct turn *turn);
uint64_t turn_refused(const struct turn *turn);

#endif
