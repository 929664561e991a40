// Orders: commands that the manager sends to nodes and workers, and what became of each. An order leaves after the commit of
// the turn that decided it. Bounded. Must not: repeat one by itself; what must happen eventually is reconciled by level, again
// until observed and desired agree, and every op it uses is idempotent.
#ifndef REEVE_MANAGER_ORDERS_H
#define REEVE_MANAGER_ORDERS_H

#include <reeve/message.h>

struct manager;
struct orders;

#define ORDERS_MAX        20000
#define ORDER_SUBJECT_SIZE 160
#define ORDER_ID_SIZE      65

struct order {
    char node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE]; // worker "" = to the node
    const char *op;                   // static
    struct reeve_value *args;         // MAP or NULL; taken in any case
    int64_t timeout_ms;               // for the terminal reply; 0 = 60 s
    char subject[ORDER_SUBJECT_SIZE]; // the sender's own: what it was about. No pointers: what they point at may be gone
    int64_t number;                   // the sender's own
    // Once. `reply` NULL: TIMEOUT, OFFLINE or what the bus said; else its phase is terminal. NULL = nobody asks.
    void (*end)(struct manager *manager, const struct order *order, enum reeve_err err, const struct reeve_reply *reply);
    char id[ORDER_ID_SIZE]; // of the command; "" = a new one. The same id is never done twice by whoever receives it [cmd-4]
    bool at_once; // does not wait for the commit: an emergency must not depend on a disk
};
enum reeve_err orders_new(struct manager *manager, struct orders **ret, struct reeve_why *why);
void orders_free(struct orders *orders);
// OK = it will be sent and `end` will be called. LIMIT when too many are under way; OFFLINE without a session. `order` is copied.
enum reeve_err order_send(struct manager *manager, const struct order *order, struct reeve_why *why);
size_t orders_len(const struct orders *orders);

#endif
