// Orders in unit tests: kept in a list, answered by the test. See fake_manager.h.
// Must not: answer by itself.
#include "fake_manager.h"

#include <stdlib.h>
#include <string.h>

enum reeve_err order_send(struct manager *manager, const struct order *order, struct reeve_why *why)
{
    struct fake *fake = fake_of(manager);
    if (fake->order_err != REEVE_OK) {
        reeve_value_free(order->args);
        return reeve_fail(why, fake->order_err, "the test refuses orders");
    }
    if (fake->orders_len == fake->orders_cap) {
        fake->orders_cap = fake->orders_cap > 0 ? 2 * fake->orders_cap : 64;
        fake->orders = realloc(fake->orders, fake->orders_cap * sizeof *fake->orders);
        assert_non_null(fake->orders);
    }
    fake->orders[fake->orders_len++] = (struct fake_order){.order = *order};
    return REEVE_OK;
}

size_t orders_len(const struct orders *orders)
{
    (void)orders;
    return 0;
}

const struct fake_order *fake_order_find(const struct fake *fake, const char *op, const char *node, const char *worker)
{
    for (size_t i = fake->orders_len; i-- > 0;) {
        const struct order *order = &fake->orders[i].order;
        if (strcmp(order->op, op) == 0 && (node == NULL || strcmp(order->node, node) == 0) &&
            (worker == NULL || strcmp(order->worker, worker) == 0)) {
            return &fake->orders[i];
        }
    }
    return NULL;
}

size_t fake_order_count(const struct fake *fake, const char *op)
{
    size_t count = 0;
    for (size_t i = 0; i < fake->orders_len; i++) {
        count += strcmp(fake->orders[i].order.op, op) == 0;
    }
    return count;
}

void fake_order_end(struct fake *fake, size_t index, enum reeve_err err, enum reeve_phase phase, const char *message)
{
    fake_order_end_code(fake, index, err, phase, REEVE_CONFLICT, message);
}

void fake_order_end_code(struct fake *fake, size_t index, enum reeve_err err, enum reeve_phase phase,
                         enum reeve_err code, const char *message)
{
    assert_true(index < fake->orders_len && !fake->orders[index].ended);
    const struct order order = fake->orders[index].order; // `end` may send another one
    const struct reeve_reply reply = {.id = "fake",
                                      .seq = 1,
                                      .phase = phase,
                                      .message = message,
                                      .code = phase == REEVE_PHASE_DONE ? NULL : reeve_err_text(code),
                                      .by = order.node,
                                      .at = fake->wall_ms};
    fake->orders[index].ended = true;
    if (order.end != NULL) {
        order.end(&fake->manager, &order, err, err == REEVE_OK ? &reply : NULL);
    }
}
