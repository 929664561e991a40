// Accounts at run time: the directory of account files, what changed in it, and one worker per account that is to run.
// `account/<account>/status` says where each is: created starting running stopping stopped failed restarting.
//   account_room.c   the directory, plans, status      account_ops.c   start stop restart validate status, one and many
// Must not: know what an account means to its worker.
#ifndef REEVE_MANAGER_ACCOUNT_ROOM_H
#define REEVE_MANAGER_ACCOUNT_ROOM_H

#include "fleet.h"

#include <reeve/account.h>

struct accounts;

enum reeve_err accounts_new(struct manager *manager, struct accounts **ret, struct reeve_why *why); // listens to the fleet
void accounts_free(struct accounts *accounts);
enum reeve_err accounts_load(struct accounts *accounts, struct reeve_why *why); // from the store; also after a failed turn
void accounts_publish(struct accounts *accounts);
void accounts_tick(struct accounts *accounts); // once a second
void accounts_look(struct accounts *accounts); // read the directory again (SIGHUP)
size_t accounts_len(const struct accounts *accounts);

#endif
