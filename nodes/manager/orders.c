// Orders to nodes and workers: held until the turn's commit, sent as requests, ended once. See orders.h.
// Must not: repeat an order, or know what it is for.
#include "orders.h"

#include "manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_TIMEOUT_MS 60000

struct orders {
    struct manager *manager;
    size_t len;
};
struct sent { // one that was taken, until its end
    struct manager *manager;
    struct order order;
};

enum reeve_err orders_new(struct manager *manager, struct orders **ret, struct reeve_why *why)
{
    struct orders *orders = calloc(1, sizeof *orders);
    if (orders == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    orders->manager = manager;
    *ret = orders;
    return REEVE_OK;
}

void orders_free(struct orders *orders)
{
    free(orders);
}

size_t orders_len(const struct orders *orders)
{
    return orders->len;
}

static void end(struct sent *sent, enum reeve_err err, const struct reeve_reply *reply)
{
    struct manager *manager = sent->manager;
    manager->orders->len--;
    if (sent->order.end != NULL && !manager->leaving) {
        sent->order.end(manager, &sent->order, err, reply);
    }
    reeve_value_free(sent->order.args);
    free(sent);
}

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    (void)bus;
    if (reply == NULL || reeve_phase_terminal(reply->phase)) {
        end(arg, reply == NULL ? err : REEVE_OK, reply);
    }
}

static const char *order_topic(const struct sent *sent, char buf[REEVE_TOPIC_SIZE])
{
    const struct order *order = &sent->order;
    const char *root = sent->manager->config.manager.root;
    return order->worker[0] == '\0'
               ? reeve_topic_make(buf, root, "node/%s/cmd/%s", order->node, order->op)
               : reeve_topic_make(buf, root, "worker/%s/%s/cmd/%s", order->node, order->worker, order->op);
}

static enum reeve_err request(struct sent *sent, struct reeve_why *why)
{
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_command command = {.args = sent->order.args,
                                    .id = sent->order.id[0] != '\0' ? strdup(sent->order.id) : NULL};
    int64_t timeout_ms = sent->order.timeout_ms > 0 ? sent->order.timeout_ms : ORDER_TIMEOUT_MS;
    enum reeve_err err = reeve_bus_request(sent->manager->bus, order_topic(sent, topic), &command, timeout_ms, on_reply,
                                           sent, NULL, why);
    command.args = NULL; // the order's own
    reeve_command_done(&command);
    return err;
}

static void after_commit(struct manager *manager, bool committed, void *arg)
{
    (void)manager;
    struct sent *sent = arg;
    enum reeve_err err = committed ? request(sent, NULL) : REEVE_CANCELLED;
    if (err != REEVE_OK) {
        end(sent, err, NULL);
    }
}

enum reeve_err order_send(struct manager *manager, const struct order *order, struct reeve_why *why)
{
    struct orders *orders = manager->orders;
    struct sent *sent = NULL;
    enum reeve_err err = REEVE_OK;
    if (orders->len >= ORDERS_MAX) {
        err = reeve_fail(why, REEVE_LIMIT, "%d orders are under way", ORDERS_MAX);
    } else if (reeve_bus_state(manager->bus) != REEVE_BUS_READY) {
        err = reeve_fail(why, REEVE_OFFLINE, "the manager has no session with the broker");
    } else if ((sent = calloc(1, sizeof *sent)) == NULL) {
        err = reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    if (err != REEVE_OK) {
        reeve_value_free(order->args);
        return err;
    }
    sent->manager = manager;
    sent->order = *order;
    if (sent->order.args == NULL) {
        sent->order.args = reeve_value_map();
    }
    orders->len++;
    if (!order->at_once) {
        manager_after_commit(manager, after_commit, sent);
        return REEVE_OK;
    }
    err = request(sent, why);
    if (err != REEVE_OK) { // never `end` from inside: the sender has not gone on yet
        orders->len--;
        reeve_value_free(sent->order.args);
        free(sent);
    }
    return err;
}
