// The way of a message into the registry: topic, bound, record, old epochs [fold-9], removal [topic-4].
// One row per topic of presence; whatever is malformed changes nothing, is counted and named.
// Must not: judge a worker (the fold does), or keep anything it has not checked.
#include "registry.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One message on its way in.
struct intake {
    const struct reeve_topic *topic;
    struct reeve_value *record; // checked to be a MAP; taken by the slot that keeps it, NULL for a removal
    int64_t now;
    struct reeve_why *why;
};

// ---- entries ---------------------------------------------------------------------------------------------------

// Keep a new entry, or count that there is no room for it.
static enum reeve_err keep(struct reeve_registry *registry, struct reeve_map *map, const char *key, void *entry,
                           struct reeve_why *why)
{
    enum reeve_err err = reeve_map_put(map, key, entry, NULL);
    if (err == REEVE_LIMIT) {
        registry->stats.refused_full++;
        return reeve_fail(why, REEVE_LIMIT, "no room for %s: %zu are known", key, reeve_map_len(map));
    }
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "no memory for %s", key);
}

static enum reeve_err node_at(struct reeve_registry *registry, const struct intake *in, struct reeve_known_node **ret)
{
    struct reeve_known_node *node = reeve_map_get(registry->nodes, in->topic->node);
    if (node == NULL) {
        node = calloc(1, sizeof *node);
        if (node == NULL) {
            return reeve_fail(in->why, REEVE_NOMEM, "no memory for %s", in->topic->node);
        }
        (void)snprintf(node->name, sizeof node->name, "%s", in->topic->node); /* same size */
        enum reeve_err err = keep(registry, registry->nodes, node->name, node, in->why);
        if (err != REEVE_OK) {
            registry_node_free(node);
            return err;
        }
    }
    *ret = node;
    return REEVE_OK;
}

static enum reeve_err worker_at(struct reeve_registry *registry, const struct intake *in,
                                struct reeve_known_worker **ret)
{
    char key[REGISTRY_KEY_SIZE];
    struct reeve_known_worker *worker =
        reeve_map_get(registry->workers, registry_worker_key(key, in->topic->node, in->topic->worker));
    if (worker == NULL) {
        worker = calloc(1, sizeof *worker);
        if (worker == NULL) {
            return reeve_fail(in->why, REEVE_NOMEM, "no memory for %s", key);
        }
        (void)snprintf(worker->node, sizeof worker->node, "%s", in->topic->node);   /* same size */
        (void)snprintf(worker->name, sizeof worker->name, "%s", in->topic->worker); /* same size */
        enum reeve_err err = keep(registry, registry->workers, key, worker, in->why);
        if (err != REEVE_OK) {
            registry_worker_free(worker);
            return err;
        }
    }
    *ret = worker;
    return REEVE_OK;
}

static void replace(struct reeve_value **slot, struct reeve_value **record)
{
    reeve_value_free(*slot);
    *slot = reeve_value_take(record);
}

// ---- taking ----------------------------------------------------------------------------------------------------

// OK also for what is ignored: it is well formed, and counted.
static enum reeve_err take_witness(struct reeve_registry *registry, struct intake *in, struct reeve_witness *slot,
                                   struct reeve_value **kept, struct reeve_witness *newer)
{
    struct reeve_fold_input counted = {0};
    newer->arrived = in->now;
    if (!reeve_fold_take(&counted, slot, newer)) {
        registry->stats.ignored_old++;
    } else if (kept != NULL) {
        replace(kept, &in->record);
    }
    return REEVE_OK;
}

static enum reeve_err take_node_status(struct reeve_registry *registry, struct intake *in)
{
    struct reeve_known_node *node;
    struct reeve_witness newer;
    enum reeve_err err = presence_read_node_status(in->record, &newer, in->why);
    if (err == REEVE_OK) {
        err = node_at(registry, in, &node);
    }
    if (err != REEVE_OK) {
        return err;
    }
    node->generation = ++registry->generation;
    return take_witness(registry, in, &node->status, &node->record, &newer);
}

static enum reeve_err take_node_lwt(struct reeve_registry *registry, struct intake *in)
{
    struct reeve_known_node *node;
    struct reeve_witness newer;
    enum reeve_err err = presence_read_lwt(in->record, &newer, in->why);
    if (err == REEVE_OK) {
        err = node_at(registry, in, &node);
    }
    if (err != REEVE_OK) {
        return err;
    }
    node->generation = ++registry->generation;
    return take_witness(registry, in, &node->lwt, NULL, &newer);
}

static enum reeve_err take_worker_status(struct reeve_registry *registry, struct intake *in)
{
    struct reeve_known_worker *worker;
    struct reeve_witness newer;
    enum reeve_err err = presence_read_worker_status(in->record, &newer, in->why);
    if (err == REEVE_OK) {
        err = worker_at(registry, in, &worker);
    }
    if (err != REEVE_OK) {
        return err;
    }
    worker->generation = ++registry->generation;
    return take_witness(registry, in, &worker->status, &worker->status_record, &newer);
}

static enum reeve_err take_worker_lwt(struct reeve_registry *registry, struct intake *in)
{
    struct reeve_known_worker *worker;
    struct reeve_witness newer;
    enum reeve_err err = presence_read_lwt(in->record, &newer, in->why);
    if (err == REEVE_OK) {
        err = worker_at(registry, in, &worker);
    }
    if (err != REEVE_OK) {
        return err;
    }
    worker->generation = ++registry->generation;
    return take_witness(registry, in, &worker->lwt, NULL, &newer);
}

static enum reeve_err take_process(struct reeve_registry *registry, struct intake *in)
{
    struct reeve_known_worker *worker;
    struct reeve_process_witness newer;
    enum reeve_err err = presence_read_process(in->record, &newer, in->why);
    if (err == REEVE_OK) {
        err = worker_at(registry, in, &worker);
    }
    if (err != REEVE_OK) {
        return err;
    }
    newer.arrived = in->now;
    struct reeve_fold_input slot = {.process = worker->process};
    if (!reeve_fold_take_process(&slot, &newer)) {
        registry->stats.ignored_old++;
        return REEVE_OK;
    }
    worker->process = slot.process;
    replace(&worker->process_record, &in->record);
    worker->generation = ++registry->generation;
    return REEVE_OK;
}

// ---- removing [topic-4] ----------------------------------------------------------------------------------------

static void drop(struct reeve_registry *registry, struct reeve_witness *slot, struct reeve_value **kept, int64_t now)
{
    struct reeve_fold_input counted = {0};
    struct reeve_value *none = NULL;
    registry->stats.removed += slot->present ? 1 : 0;
    (void)reeve_fold_take(&counted, slot, &(struct reeve_witness){.arrived = now}); /* a removal is always taken */
    if (kept != NULL) {
        replace(kept, &none);
    }
}

static void forget_empty_worker(struct reeve_registry *registry, struct reeve_known_worker *worker)
{
    char key[REGISTRY_KEY_SIZE];
    worker->generation = ++registry->generation;
    if (!worker->status.present && !worker->lwt.present && !worker->process.present) {
        (void)reeve_map_remove(registry->workers,
                               registry_worker_key(key, worker->node, worker->name)); /* is `worker` */
        registry_worker_free(worker);
    }
}

static void remove_node_leaf(struct reeve_registry *registry, const struct reeve_topic *topic, int64_t now)
{
    struct reeve_known_node *node = reeve_map_get(registry->nodes, topic->node);
    if (node == NULL) {
        return;
    }
    bool status = strcmp(topic->leaf, "status") == 0;
    drop(registry, status ? &node->status : &node->lwt, status ? &node->record : NULL, now);
    node->generation = ++registry->generation;
    if (!node->status.present && !node->lwt.present) {
        (void)reeve_map_remove(registry->nodes, topic->node); /* is `node` */
        registry_node_free(node);
    }
}

static void remove_worker_leaf(struct reeve_registry *registry, const struct reeve_topic *topic, int64_t now)
{
    char key[REGISTRY_KEY_SIZE];
    struct reeve_known_worker *worker =
        reeve_map_get(registry->workers, registry_worker_key(key, topic->node, topic->worker));
    if (worker == NULL) {
        return;
    }
    if (strcmp(topic->leaf, "process") == 0) {
        struct reeve_value *none = NULL;
        registry->stats.removed += worker->process.present ? 1 : 0;
        struct reeve_fold_input slot = {.process = worker->process};
        (void)reeve_fold_take_process(&slot, &(struct reeve_process_witness){.arrived = now}); /* always taken */
        worker->process = slot.process;
        replace(&worker->process_record, &none);
    } else if (strcmp(topic->leaf, "status") == 0) {
        drop(registry, &worker->status, &worker->status_record, now);
    } else {
        drop(registry, &worker->lwt, NULL, now);
    }
    forget_empty_worker(registry, worker);
}

// ---- the way in ------------------------------------------------------------------------------------------------

struct route {
    enum reeve_topic_kind kind;
    const char *leaf;
    enum reeve_err (*take)(struct reeve_registry *registry, struct intake *in);
    void (*remove)(struct reeve_registry *registry, const struct reeve_topic *topic, int64_t now);
};
static const struct route routes[] = {
    {REEVE_TOPIC_NODE, "status", take_node_status, remove_node_leaf},
    {REEVE_TOPIC_NODE, "lwt", take_node_lwt, remove_node_leaf},
    {REEVE_TOPIC_WORKER, "process", take_process, remove_worker_leaf},
    {REEVE_TOPIC_WORKER, "status", take_worker_status, remove_worker_leaf},
    {REEVE_TOPIC_WORKER, "lwt", take_worker_lwt, remove_worker_leaf},
};

static const struct route *route_of(const struct reeve_topic *topic)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(routes); i++) {
        if (routes[i].kind == topic->kind && strcmp(routes[i].leaf, topic->leaf) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

static enum reeve_err read_record(const struct reeve_delivery *delivery, struct reeve_value **ret,
                                  struct reeve_why *why)
{
    struct reeve_limits limits = reeve_limits_wire;
    REEVE_VALUE_AUTO record = NULL;
    limits.bytes_max = REEVE_RETAINED_BYTES_MAX;
    enum reeve_err err =
        reeve_msgpack_read(delivery->payload, delivery->payload_len, &limits, delivery->topic, &record, why);
    if (err == REEVE_OK && reeve_value_kind(record) != REEVE_MAP) {
        err = reeve_fail_at(why, REEVE_INVALID, delivery->topic, "a record is a map, this is a %s",
                            reeve_kind_text(reeve_value_kind(record)));
    }
    if (err == REEVE_OK) {
        *ret = reeve_value_take(&record);
    }
    return err;
}

enum reeve_err reeve_registry_take(struct reeve_registry *registry, const struct reeve_delivery *delivery,
                                   int64_t now_mono, struct reeve_why *why)
{
    struct reeve_topic topic = reeve_topic_parse(registry->root, delivery->topic);
    const struct route *route = route_of(&topic);
    if (route == NULL) {
        return reeve_fail_at(why, REEVE_NOENT, delivery->topic, "is no topic of presence");
    }
    registry->heard = now_mono;
    if (delivery->payload_len == 0) {
        route->remove(registry, &topic, now_mono);
        return REEVE_OK;
    }
    REEVE_VALUE_AUTO record = NULL;
    enum reeve_err err = read_record(delivery, &record, why);
    if (err == REEVE_OK) {
        struct intake in = {&topic, reeve_value_take(&record), now_mono, why};
        err = route->take(registry, &in);
        reeve_value_free(in.record);
        registry->stats.malformed += err == REEVE_INVALID ? 1 : 0;
    } else {
        registry->stats.malformed += err == REEVE_NOMEM ? 0 : 1;
    }
    return err;
}
