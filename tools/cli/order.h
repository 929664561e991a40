// Orders: commands on their way, and what became of them. One per topic of a node, worker, manager, pool or account;
// all are sent at once, and each is waited for until its terminal reply. Must not: decide whom to send what; target.c
// and the commands do.
#ifndef REEVE_CLI_ORDER_H
#define REEVE_CLI_ORDER_H

#include "lookup.h"

struct order {
    char node[REEVE_NAME_SIZE];           // "" = on the topic of a manager, pool or account
    char worker[REEVE_NAME_SIZE];         // "" = on the node's topic
    const char *part;                     // "manager", "pool", "account"; NULL = of a node or worker
    char subject[REEVE_NAME_SIZE];        // its name
    char about[2 * REEVE_NAME_SIZE + 16]; // for people: "alpha", "alpha/mm-1", "pool swap"
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_value *args; // MAP or NULL; owned
    char id[REEVE_TOPIC_ID_SIZE];

    // What became of it:
    bool sent, settled;
    enum reeve_err err; // OK = a terminal reply came; else why there is none
    enum reeve_phase phase;
    char code[32];
    char message[512];
    char by[REEVE_NAME_SIZE];
    int64_t at;                 // of the reply, by the answerer's clock
    struct reeve_value *result; // owned
    struct orders *orders;
};

struct orders {
    const char *op;
    bool dry_run, no_wait;
    struct session *session; // while some are open
    struct order **items;
    size_t len, open;
};

void orders_done(struct orders *orders); // also while some are open: what comes for them is dropped
#define ORDERS_AUTO __attribute__((cleanup(orders_done))) struct orders

// `worker` "" for the node itself. Takes `args` (NULL = none), also on failure.
enum reeve_err orders_add(struct orders *orders, const char *root, const char *node, const char *worker,
                          struct reeve_value *args, struct reeve_why *why);
// To pool/<name>/cmd/<op> and its like; `part` is static. No node is asked for.
enum reeve_err orders_add_to(struct orders *orders, const char *root, const char *part, const char *name,
                             struct reeve_value *args, struct reeve_why *why);
// Send all whose node is there ([cmd-9], by `lookup`; NULL = not asked) and wait. The outcome stands in the orders; an
// error is one of the session.
enum reeve_err orders_perform(struct orders *orders, struct session *session, const struct lookup *lookup,
                              struct reeve_why *why);
// 0 all done, 1 something was refused or failed, 3 somebody did not answer.
int orders_exit(const struct orders *orders);
bool order_done(const struct order *order); // done, as asked

// For programs: {"op","ok","commands":[{id topic node worker phase code message by result}]}; caller frees.
struct reeve_value *orders_value(const struct orders *orders);
// For people: a line per worker, failures on stderr.
void orders_print(const struct orders *orders);

// print_mqtt.c: the mosquitto_pub line that does the same as `order`, quoted for sh. UNSUPPORTED for web sockets.
enum reeve_err order_mqtt_line(const struct site *site, const struct order *order, bool dry_run, struct reeve_buf *out,
                               struct reeve_why *why);
void shell_quote(struct reeve_buf *out, const char *text);
// All of them to stdout; exit code.
int orders_print_mqtt(const struct invocation *inv, const struct site *site, const struct orders *orders);

#endif
