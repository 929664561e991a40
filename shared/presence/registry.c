// What a reader knows of a site: the newest word of every witness, by node and worker, and the verdict folded from
// them. Bounded, without I/O and without a clock of its own; intake.c fills it, the fold is in shared/lifecycle.
// Must not: decide anything about a worker that the fold does not say, or trust a record it has not checked.
#include "registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MAX_PRESET 100000

struct reeve_registry *reeve_registry_new(const char *root, size_t workers_max)
{
    size_t len_max = workers_max == 0 ? WORKERS_MAX_PRESET : workers_max;
    REEVE_ASSERT(reeve_root_check(root, NULL) == REEVE_OK);
    struct reeve_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL) {
        return NULL;
    }
    (void)snprintf(registry->root, sizeof registry->root, "%s", root); /* checked: it fits */
    registry->nodes = reeve_map_new(len_max);
    registry->workers = reeve_map_new(len_max);
    if (registry->nodes == NULL || registry->workers == NULL) {
        reeve_registry_free(registry);
        return NULL;
    }
    return registry;
}

void registry_node_free(void *entry)
{
    struct reeve_known_node *node = entry;
    reeve_value_free(node->record);
    free(node);
}

void registry_worker_free(void *entry)
{
    struct reeve_known_worker *worker = entry;
    reeve_value_free(worker->process_record);
    reeve_value_free(worker->status_record);
    presence_kept_free(worker->process_kept);
    presence_kept_free(worker->status_kept);
    free(worker);
}

void reeve_registry_free(struct reeve_registry *registry)
{
    if (registry == NULL) {
        return;
    }
    if (registry->nodes != NULL) {
        reeve_map_free(registry->nodes, registry_node_free);
    }
    if (registry->workers != NULL) {
        reeve_map_free(registry->workers, registry_worker_free);
    }
    presence_blobs_free(registry->blobs);
    free(registry);
}

void reeve_registry_compact(struct reeve_registry *registry)
{
    REEVE_ASSERT(reeve_map_len(registry->workers) == 0);
    registry->blobs = registry->blobs != NULL ? registry->blobs : presence_blobs_new();
    registry->compact = registry->blobs != NULL; // out of memory: it goes on with what it knows to do
}

enum reeve_err reeve_registry_filters(const struct reeve_registry *registry, const char *node, struct reeve_strv *ret)
{
    static const char *const forms[] = {"node/%s/status", "node/%s/lwt", "worker/%s/+/process", "worker/%s/+/status",
                                        "worker/%s/+/lwt"};
    REEVE_STRV_AUTO filters = {0};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(forms); i++) {
        char below[REEVE_TOPIC_SIZE];
        char filter[REEVE_TOPIC_SIZE];
        const char *name = strchr(forms[i], '%');
        (void)snprintf(below, sizeof below, "%.*s%s%s", (int)(name - forms[i]), forms[i], node == NULL ? "+" : node,
                       name + 2); /* names and forms are bounded */
        if (reeve_strv_add(&filters, reeve_topic_make(filter, registry->root, "%s", below)) != REEVE_OK) {
            return REEVE_NOMEM;
        }
    }
    *ret = filters;
    filters = (struct reeve_strv){0};
    return REEVE_OK;
}

const char *registry_worker_key(char buf[REGISTRY_KEY_SIZE], const char *node, const char *worker)
{
    (void)snprintf(buf, REGISTRY_KEY_SIZE, "%s/%s", node, worker); /* two names and a slash fit */
    return buf;
}

// ---- the reader's own connection [session-9] -----------------------------------------------------------------------

static bool cut_off(const struct reeve_registry *registry)
{
    return registry->disconnected > registry->reconnected;
}

static bool in_grace(const struct reeve_registry *registry, int64_t now)
{
    return registry->reconnected > 0 && now < registry->reconnected + registry->grace_ms;
}

// A broker that is told to stop publishes the wills of all its clients and then closes, within milliseconds: what came
// in just before the own loss is part of it.
#define LAST_WILLS_MS 1000

// A loss before the grace is over goes on with the former outage: what was judged before that one still stands.
static void lose(struct reeve_registry *registry, int64_t at, int64_t now)
{
    if (in_grace(registry, now)) {
        registry->disconnected =
            registry->disconnected > 0 ? registry->disconnected : 1; // 1: before anything was heard
    } else {
        registry->disconnected = at > 0 ? at : 1;
    }
    registry->reconnected = 0; // the former one has nothing to say any more, and `at` may be before it
}

void reeve_registry_disconnected(struct reeve_registry *registry, int64_t now_mono)
{
    if (!cut_off(registry)) {
        // A connection may be dead long before that is noticed, and everybody looks silent in the meantime.
        int64_t at = now_mono - LAST_WILLS_MS;
        lose(registry, registry->heard > 0 && registry->heard < at ? registry->heard : at, now_mono);
    }
}

void reeve_registry_reconnected(struct reeve_registry *registry, int64_t now_mono)
{
    if (!cut_off(registry) && registry->heard > 0) {
        lose(registry, registry->heard - LAST_WILLS_MS, now_mono);
    }
    int64_t away_ms = registry->disconnected > 1 ? now_mono - registry->disconnected : 0;
    int64_t grace_ms = away_ms > REEVE_GRACE_MS ? away_ms : REEVE_GRACE_MS;
    registry->grace_ms = grace_ms < REEVE_GRACE_MS_MAX ? grace_ms : REEVE_GRACE_MS_MAX;
    registry->reconnected = now_mono;
}

int64_t reeve_registry_held_until(const struct reeve_registry *registry, int64_t now_mono)
{
    if (cut_off(registry)) {
        return INT64_MAX;
    }
    return in_grace(registry, now_mono) ? registry->reconnected + registry->grace_ms : 0;
}

// ---- looking ---------------------------------------------------------------------------------------------------

const struct reeve_known_node *reeve_registry_node(const struct reeve_registry *registry, const char *node)
{
    return reeve_map_get(registry->nodes, node);
}

const struct reeve_known_worker *reeve_registry_worker(const struct reeve_registry *registry, const char *node,
                                                       const char *worker)
{
    char key[REGISTRY_KEY_SIZE];
    return reeve_map_get(registry->workers, registry_worker_key(key, node, worker));
}

static int by_node_name(const void *a, const void *b)
{
    const struct reeve_known_node *const *left = a;
    const struct reeve_known_node *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int by_worker_name(const void *a, const void *b)
{
    const struct reeve_known_worker *const *left = a;
    const struct reeve_known_worker *const *right = b;
    int order = strcmp((*left)->node, (*right)->node);
    return order != 0 ? order : strcmp((*left)->name, (*right)->name);
}

// The values of `map` as an array in the order of `compare`; NULL when empty or out of memory.
static const void **sorted(const struct reeve_map *map, int (*compare)(const void *, const void *), size_t *ret_len)
{
    size_t len = reeve_map_len(map);
    const void **items = len == 0 ? NULL : calloc(len, sizeof *items);
    *ret_len = 0;
    if (items == NULL) {
        return NULL;
    }
    for (struct reeve_map_iter it = {0}; *ret_len < len && reeve_map_next(map, &it);) {
        items[(*ret_len)++] = it.value;
    }
    qsort(items, *ret_len, sizeof *items, compare);
    return items;
}

size_t reeve_registry_nodes(const struct reeve_registry *registry, const struct reeve_known_node ***ret)
{
    size_t len;
    *ret = (const struct reeve_known_node **)sorted(registry->nodes, by_node_name, &len);
    return len;
}

size_t reeve_registry_workers(const struct reeve_registry *registry, const struct reeve_known_worker ***ret)
{
    size_t len;
    *ret = (const struct reeve_known_worker **)sorted(registry->workers, by_worker_name, &len);
    return len;
}

static struct reeve_fold_input fold_input(const struct reeve_registry *registry, const struct reeve_known_worker *worker)
{
    const struct reeve_known_node *node = reeve_registry_node(registry, worker->node);
    struct reeve_fold_input input = {
        .worker_status = worker->status, .worker_lwt = worker->lwt, .process = worker->process};
    if (node != NULL) {
        input.node_status = node->status;
        input.node_lwt = node->lwt;
    }
    return input;
}

struct reeve_verdict reeve_registry_verdict(const struct reeve_registry *registry,
                                            const struct reeve_known_worker *worker, int64_t now_mono)
{
    struct reeve_fold_input input = fold_input(registry, worker);
    input.disconnected = registry->disconnected;
    input.reconnected = registry->reconnected;
    input.grace_ms = registry->grace_ms;
    return reeve_fold(&input, now_mono);
}

struct reeve_verdict reeve_registry_verdict_unheld(const struct reeve_registry *registry,
                                                   const struct reeve_known_worker *worker, int64_t now_mono)
{
    struct reeve_fold_input input = fold_input(registry, worker);
    return reeve_fold(&input, now_mono);
}

static struct reeve_value *record_of(const struct reeve_value *record, const struct reeve_kept *kept)
{
    return record != NULL ? reeve_value_clone(record) : kept != NULL ? presence_kept_value(kept) : NULL;
}

struct reeve_value *reeve_registry_process_record(const struct reeve_known_worker *worker)
{
    return record_of(worker->process_record, worker->process_kept);
}

struct reeve_value *reeve_registry_status_record(const struct reeve_known_worker *worker)
{
    return record_of(worker->status_record, worker->status_kept);
}

enum reeve_liveness reeve_registry_node_liveness(const struct reeve_registry *registry,
                                                 const struct reeve_known_node *node, int64_t now_mono)
{
    struct reeve_witness lwt = node->lwt;
    int64_t as_of = now_mono;
    if (cut_off(registry) || in_grace(registry, now_mono)) {
        lwt.present = lwt.present && lwt.arrived <= registry->disconnected;
        as_of = registry->disconnected;
    }
    return reeve_liveness(&node->status, &lwt, REEVE_NODE_HEARTBEAT_MS, as_of);
}

void reeve_registry_stats(const struct reeve_registry *registry, struct reeve_registry_stats *ret)
{
    *ret = registry->stats;
}
