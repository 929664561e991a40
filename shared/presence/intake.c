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
    const struct reeve_delivery *delivery;
    int64_t now;
    struct reeve_why *why;
    struct reeve_taken *taken;
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

static struct reeve_known_worker *new_worker(const struct reeve_topic *topic)
{
    size_t node_size = strlen(topic->node) + 1;
    size_t name_size = strlen(topic->worker) + 1;
    struct reeve_known_worker *worker = calloc(1, sizeof *worker + node_size + name_size);
    if (worker != NULL) {
        char *names = (char *)(worker + 1);
        memcpy(names, topic->node, node_size);
        memcpy(names + node_size, topic->worker, name_size);
        worker->node = names;
        worker->name = names + node_size;
    }
    return worker;
}

static enum reeve_err worker_at(struct reeve_registry *registry, const struct intake *in,
                                struct reeve_known_worker **ret)
{
    char key[REGISTRY_KEY_SIZE];
    struct reeve_known_worker *worker =
        reeve_map_get(registry->workers, registry_worker_key(key, in->topic->node, in->topic->worker));
    if (worker == NULL) {
        worker = new_worker(in->topic);
        if (worker == NULL) {
            return reeve_fail(in->why, REEVE_NOMEM, "no memory for %s", key);
        }
        enum reeve_err err = keep(registry, registry->workers, key, worker, in->why);
        if (err != REEVE_OK) {
            registry_worker_free(worker);
            return err;
        }
    }
    *ret = worker;
    return REEVE_OK;
}

// Where the record of a witness is kept. `kept` NULL: of a node, few enough to be kept decoded.
struct slot {
    struct reeve_value **record;
    struct reeve_kept **kept;
};

static void clear(const struct slot *slot)
{
    if (slot->record != NULL) {
        reeve_value_free(*slot->record);
        *slot->record = NULL;
    }
    if (slot->kept != NULL) {
        presence_kept_free(*slot->kept);
        *slot->kept = NULL;
    }
}

// Out of memory: the witness is what counts, its record is then missing.
static void keep_record(const struct reeve_registry *registry, const struct slot *slot, struct intake *in)
{
    clear(slot);
    if (registry->compact && slot->kept != NULL) {
        *slot->kept = presence_keep(registry->blobs, in->delivery->payload, in->delivery->payload_len);
    } else if (slot->record != NULL) {
        *slot->record = reeve_value_take(&in->record);
    }
}

// ---- taking ----------------------------------------------------------------------------------------------------

// OK also for what is ignored: it is well formed, and counted.
static enum reeve_err take_witness(struct reeve_registry *registry, struct intake *in, struct reeve_witness *slot,
                                   const struct slot *record, struct reeve_witness *newer)
{
    struct reeve_fold_input counted = {0};
    newer->arrived = in->now;
    if (!reeve_fold_take(&counted, slot, newer)) {
        registry->stats.ignored_old++;
        in->taken->ignored = true;
    } else {
        keep_record(registry, record, in);
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
    in->taken->node = node;
    return take_witness(registry, in, &node->status, &(struct slot){.record = &node->record}, &newer);
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
    in->taken->node = node;
    return take_witness(registry, in, &node->lwt, &(struct slot){0}, &newer);
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
    in->taken->worker = worker;
    return take_witness(registry, in, &worker->status, &(struct slot){&worker->status_record, &worker->status_kept},
                        &newer);
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
    in->taken->worker = worker;
    return take_witness(registry, in, &worker->lwt, &(struct slot){0}, &newer);
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
    in->taken->worker = worker;
    struct reeve_fold_input slot = {.process = worker->process};
    if (!reeve_fold_take_process(&slot, &newer)) {
        registry->stats.ignored_old++;
        in->taken->ignored = true;
        return REEVE_OK;
    }
    worker->process = slot.process;
    keep_record(registry, &(struct slot){&worker->process_record, &worker->process_kept}, in);
    worker->generation = ++registry->generation;
    return REEVE_OK;
}

// ---- removing [topic-4] ----------------------------------------------------------------------------------------

static void drop(struct reeve_registry *registry, struct reeve_witness *slot, const struct slot *record, int64_t now)
{
    struct reeve_fold_input counted = {0};
    registry->stats.removed += slot->present ? 1 : 0;
    (void)reeve_fold_take(&counted, slot, &(struct reeve_witness){.arrived = now}); /* a removal is always taken */
    clear(record);
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
    drop(registry, status ? &node->status : &node->lwt, &(struct slot){.record = status ? &node->record : NULL}, now);
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
        registry->stats.removed += worker->process.present ? 1 : 0;
        struct reeve_fold_input slot = {.process = worker->process};
        (void)reeve_fold_take_process(&slot, &(struct reeve_process_witness){.arrived = now}); /* always taken */
        worker->process = slot.process;
        clear(&(struct slot){&worker->process_record, &worker->process_kept});
    } else if (strcmp(topic->leaf, "status") == 0) {
        drop(registry, &worker->status, &(struct slot){&worker->status_record, &worker->status_kept}, now);
    } else {
        drop(registry, &worker->lwt, &(struct slot){0}, now);
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

// What a removal left.
static void find_taken(const struct reeve_registry *registry, struct reeve_taken *taken)
{
    bool worker = taken->topic.kind == REEVE_TOPIC_WORKER;
    taken->worker = worker ? reeve_registry_worker(registry, taken->topic.node, taken->topic.worker) : NULL;
    taken->node = worker ? NULL : reeve_registry_node(registry, taken->topic.node);
}

static enum reeve_err take_record(struct reeve_registry *registry, const struct route *route,
                                  const struct reeve_delivery *delivery, int64_t now_mono, struct reeve_taken *taken,
                                  struct reeve_why *why)
{
    REEVE_VALUE_AUTO record = NULL;
    enum reeve_err err = read_record(delivery, &record, why);
    if (err != REEVE_OK) {
        registry->stats.malformed += err == REEVE_NOMEM ? 0 : 1;
        return err;
    }
    struct intake in = {&taken->topic, reeve_value_take(&record), delivery, now_mono, why, taken};
    err = route->take(registry, &in);
    registry->stats.malformed += err == REEVE_INVALID ? 1 : 0;
    taken->record = reeve_value_take(&in.record);
    return err;
}

enum reeve_err reeve_registry_take_in(struct reeve_registry *registry, const struct reeve_delivery *delivery,
                                      int64_t now_mono, struct reeve_taken *ret, struct reeve_why *why)
{
    *ret = (struct reeve_taken){.topic = reeve_topic_parse(registry->root, delivery->topic)};
    const struct route *route = route_of(&ret->topic);
    if (route == NULL) {
        return reeve_fail_at(why, REEVE_NOENT, delivery->topic, "is no topic of presence");
    }
    registry->heard = now_mono;
    if (delivery->payload_len == 0) {
        route->remove(registry, &ret->topic, now_mono);
        find_taken(registry, ret);
        return REEVE_OK;
    }
    enum reeve_err err = take_record(registry, route, delivery, now_mono, ret, why);
    if (err != REEVE_OK || !registry->compact) {
        reeve_value_free(ret->record);
        ret->record = NULL;
    }
    return err;
}

enum reeve_err reeve_registry_take(struct reeve_registry *registry, const struct reeve_delivery *delivery,
                                   int64_t now_mono, struct reeve_why *why)
{
    struct reeve_taken taken;
    enum reeve_err err = reeve_registry_take_in(registry, delivery, now_mono, &taken, why);
    reeve_value_free(taken.record);
    return err;
}
