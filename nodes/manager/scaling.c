// From measurements to the autoscaler and from its decisions to the pool's size; each is an event with inputs, formula and result.
// Must not: decide (autoscale.c does).
#include "pool_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUES_MAX     1000
#define QUEUE_STALE_MS 30000 // a status older than this says nothing
#define DECIDE_MS      1000

static int64_t at_least_0(int64_t number)
{
    return number > 0 ? number : 0;
}

// What was kept by the broker may be of yesterday; only for that are clocks of two hosts compared.
static int64_t age_of(const struct reeve_value *status)
{
    int64_t now = reeve_clock_wall_ms();
    int64_t age = at_least_0(now - reeve_get_int(status, "at", now));
    return age < QUEUE_STALE_MS ? age : QUEUE_STALE_MS;
}

static void on_queue_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct pools *pools = arg;
    struct reeve_topic topic = reeve_topic_parse(pools->manager->config.manager.root, delivery->topic);
    REEVE_VALUE_AUTO status = NULL;
    if (topic.kind == REEVE_TOPIC_QUEUE && delivery->payload_len == 0) {
        free(reeve_map_remove(pools->queues, topic.client)); // the queue is gone, and its depth with it
        return;
    }
    if (topic.kind != REEVE_TOPIC_QUEUE ||
        reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &status, NULL) !=
            REEVE_OK) {
        return;
    }
    struct queue_seen *seen = reeve_map_get(pools->queues, topic.client);
    if (seen == NULL) {
        seen = calloc(1, sizeof *seen);
        if (seen == NULL || reeve_map_put(pools->queues, topic.client, seen, NULL) != REEVE_OK) {
            free(seen);
            return; // not known: the pool stays as it is, and says so
        }
    }
    *seen = (struct queue_seen){.waiting = at_least_0(reeve_get_int(status, "waiting", 0)),
                                .oldest_ms = at_least_0(reeve_get_int(status, "oldest_ms", 0)),
                                .service_ms = at_least_0(reeve_get_int(status, "service_ms", 0)),
                                .at_mono = reeve_clock_mono_ms() - (delivery->retained ? age_of(status) : 0)};
    manager_tick_soon(pools->manager); // decided when the depth comes in, not on a clock
}

enum reeve_err scaling_start(struct pools *pools, struct reeve_why *why)
{
    return manager_subscribe(pools->manager, "queue/+/status", 0, on_queue_status, pools, why);
}

static struct autoscale_input measure(const struct pool *pool)
{
    const char *queue = pool->spec.scaling.queue != NULL ? pool->spec.scaling.queue : pool->name;
    const struct queue_seen *seen = reeve_map_get(pool->pools->queues, queue);
    struct autoscale_input input = {
        .now_mono = reeve_clock_mono_ms(), .now_wall = reeve_clock_wall_ms(), .size = pool->size};
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        const struct member *member = it.value;
        struct seen now = member_seen(member);
        input.ready += member_counts(member) && now.ready ? 1 : 0;
        input.busy += member_counts(member) && now.ready && now.busy ? 1 : 0;
    }
    if (pool->spec.scaling.metric == REEVE_METRIC_UTILISATION) {
        input.known = true;
    } else if (seen != NULL && input.now_mono - seen->at_mono < QUEUE_STALE_MS) {
        input.known = true;
        input.waiting = seen->waiting;
        input.oldest_ms = seen->oldest_ms;
        input.service_ms = seen->service_ms;
    }
    return input;
}

static struct reeve_value *decision_value(const struct pool *pool, const struct autoscale_input *input,
                                          const struct autoscale_decision *decision)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "metric", reeve_pool_metric_text(pool->spec.scaling.metric));
    reeve_put_bool(value, "known", input->known);
    reeve_put_int(value, "waiting", input->waiting);
    reeve_put_int(value, "oldest_ms", input->oldest_ms);
    reeve_put_int(value, "service_ms", input->service_ms);
    reeve_put_int(value, "ready", input->ready);
    reeve_put_int(value, "busy", input->busy);
    reeve_put_int(value, "from", input->size);
    reeve_put_int(value, "size", decision->size);
    reeve_put_int(value, "recommended", decision->recommended);
    reeve_put_int(value, "floor", decision->floor);
    reeve_put_int(value, "ceiling", decision->ceiling);
    reeve_put_str_opt(value, "formula", decision->formula);
    reeve_put_str(value, "reason", decision->reason);
    return value;
}

static void tell(struct pool *pool, const struct autoscale_input *input, const struct autoscale_decision *decision)
{
    struct reeve_value *detail = decision_value(pool, input, decision);
    if (decision->kind != AUTOSCALE_NONE) {
        pool_event(pool, "autoscale", detail, "%s (%s)", decision->reason, decision->formula);
        return;
    }
    char topic[REEVE_TOPIC_SIZE]; // one a second for each pool: may be dropped, and is no line of the log
    reeve_put_str(detail, "kind", "autoscale");
    reeve_put_str(detail, "message", decision->reason);
    reeve_put_int(detail, "at", reeve_clock_wall_ms());
    (void)snprintf(topic, sizeof topic, "pool/%s/event", pool->name); /* a name */
    manager_publish(pool->pools->manager, LEAVING_BULK, topic, detail, 0);
}

void pool_autoscale(struct pool *pool)
{
    int64_t now = reeve_clock_mono_ms();
    const struct manager *manager = pool->pools->manager;
    bool off = !pool->spec.scaling.enabled || pool->draining || pool->deleting || pool_halted(pool);
    if (off || !fleet_known(manager->fleet) || fleet_held(manager->fleet) ||
        (pool->decided_mono != 0 && now - pool->decided_mono < DECIDE_MS)) {
        return;
    }
    struct autoscale_input input = measure(pool);
    struct autoscale_decision decision = autoscale_decide(&pool->spec, &pool->scaling, &input);
    pool->decided_mono = now;
    pool->decision_at = input.now_wall;
    pool->decision = decision;
    tell(pool, &input, &decision);
    if (decision.size != pool->size) {
        pool->size = decision.size;
        pool_store(pool);
        pool_changed(pool);
    }
}

struct reeve_value *pool_scaling_value(const struct pool *pool)
{
    if (!pool->spec.scaling.enabled || pool->decision_at == 0) {
        return NULL;
    }
    struct reeve_value *value = reeve_value_map();
    reeve_put_int(value, "size", pool->decision.size);
    reeve_put_int(value, "floor", pool->decision.floor);
    reeve_put_int(value, "ceiling", pool->decision.ceiling);
    reeve_put_str_opt(value, "formula", pool->decision.formula);
    reeve_put_str(value, "reason", pool->decision.reason);
    return value;
}
