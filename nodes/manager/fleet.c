// The fleet's messages and its own session: what comes in, who is known, who is told. See fleet.h; inside,
// fleet_internal.h. Must not: judge a worker (fleet_look.c), or publish anything but through it.
#include "fleet_internal.h"

#include <malloc.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>

#define TELL_MALFORMED_MS 60000 // [payload-4]
#define OWN_FILTER        "fleet/+/+"

// ---- entries: sorted arrays, so that looking through them in order costs nothing
// ----------------------------------------

// Where `name` is or belongs among `len` pointers; `name_at` is where the entries have theirs.
static size_t place_of(void *const *items, size_t len, size_t name_at, const char *name, bool *ret_found)
{
    size_t low = 0;
    size_t high = len;
    *ret_found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp((const char *)items[middle] + name_at, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return low;
}

static bool insert(void ***items, size_t *len, size_t *cap, size_t at, void *item)
{
    if (*items == NULL || *len == *cap) {
        size_t wider = *cap > 0 ? *cap + *cap / 2 + 1 : 8;
        void **grown = realloc(*items, wider * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        *items = grown;
        *cap = wider;
    }
    memmove(*items + at + 1, *items + at, (*len - at) * sizeof **items);
    (*items)[at] = item;
    (*len)++;
    return true;
}

static void take_out(void **items, size_t *len, size_t at)
{
    memmove(items + at, items + at + 1, (*len - at - 1) * sizeof *items);
    (*len)--;
}

struct fleet_node *fleet_find_node(const struct fleet *fleet, const char *name)
{
    bool found;
    size_t at = place_of(fleet->nodes, fleet->nodes_len, offsetof(struct fleet_node, name), name, &found);
    return found ? fleet->nodes[at] : NULL;
}

struct fleet_worker *fleet_find_worker(const struct fleet *fleet, const char *node, const char *worker)
{
    const struct fleet_node *found_node = fleet_find_node(fleet, node);
    bool found = false;
    size_t at = found_node == NULL ? 0
                                   : place_of(found_node->workers, found_node->workers_len,
                                              offsetof(struct fleet_worker, name), worker, &found);
    return found ? found_node->workers[at] : NULL;
}

static struct fleet_node *node_at(struct fleet *fleet, const char *name)
{
    bool found;
    size_t at = place_of(fleet->nodes, fleet->nodes_len, offsetof(struct fleet_node, name), name, &found);
    if (found) {
        return fleet->nodes[at];
    }
    struct fleet_node *node = calloc(1, sizeof *node + strlen(name) + 1);
    if (node == NULL || !insert(&fleet->nodes, &fleet->nodes_len, &fleet->nodes_cap, at, node)) {
        free(node);
        return NULL;
    }
    memcpy(node->name, name, strlen(name) + 1);
    node->away_since_mono = reeve_clock_mono_ms();
    return node;
}

static struct fleet_worker *worker_at(struct fleet *fleet, const char *node_name, const char *name)
{
    bool found;
    struct fleet_node *node = node_at(fleet, node_name);
    if (node == NULL) {
        return NULL;
    }
    size_t at = place_of(node->workers, node->workers_len, offsetof(struct fleet_worker, name), name, &found);
    if (found && node->workers != NULL) {
        return node->workers[at];
    }
    struct fleet_worker *worker = calloc(1, sizeof *worker + strlen(name) + 1);
    if (worker == NULL || !insert(&node->workers, &node->workers_len, &node->workers_cap, at, worker)) {
        free(worker);
        fleet_drop_node(fleet, node);
        return NULL;
    }
    memcpy(worker->name, name, strlen(name) + 1);
    worker->node = node;
    worker->state = REEVE_STATE_UNKNOWN;
    worker->last_known = REEVE_STATE_UNKNOWN;
    worker->source = REEVE_SOURCE_INFERRED;
    worker->memory_bytes = -1;
    worker->cpu_ms = -1;
    worker->changed_mono = reeve_clock_mono_ms();
    worker->run_since_mono = worker->changed_mono;
    fleet->workers_len++;
    return worker;
}

static void worker_free(struct fleet *fleet, struct fleet_worker *worker)
{
    fleet_attrs_drop(fleet, worker);
    free(worker->account);
    free(worker->unsafe_reason);
    free(worker->former_why);
    reeve_value_free(worker->former_health);
    free(worker);
}

void fleet_drop_node(struct fleet *fleet, struct fleet_node *node)
{
    bool found;
    if (node->known != NULL || node->workers_len > 0) {
        return;
    }
    size_t at = place_of(fleet->nodes, fleet->nodes_len, offsetof(struct fleet_node, name), node->name, &found);
    REEVE_ASSERT(found);
    take_out(fleet->nodes, &fleet->nodes_len, at);
    free(node->workers);
    free(node);
}

void fleet_drop_worker(struct fleet *fleet, struct fleet_worker *worker)
{
    struct fleet_node *node = worker->node;
    bool found;
    worker->known = NULL;
    fleet_now_back(fleet, worker); // its document
    if (fleet->ready) {
        char topic[REEVE_TOPIC_SIZE];
        (void)snprintf(topic, sizeof topic, "fleet/%s/%s", node->name, worker->name); /* names are bounded */
        manager_publish(fleet->manager, LEAVING_RECORD, topic, NULL, 0);
    }
    fleet_tell(fleet, FLEET_WORKER_GONE, node, worker);
    size_t at = place_of(node->workers, node->workers_len, offsetof(struct fleet_worker, name), worker->name, &found);
    REEVE_ASSERT(found);
    take_out(node->workers, &node->workers_len, at);
    fleet->workers_len--;
    worker_free(fleet, worker);
    if (fleet->ready && node->known != NULL && node->workers_len == 0) {
        fleet_judge_node(fleet, node); // the time of one that is gone may have come, now that it has no workers
    }
    fleet_drop_node(fleet, node);
}

// ---- listeners --------------------------------------------------------------------------------------------------

enum reeve_err fleet_listen(struct fleet *fleet, fleet_listener *listener, void *arg)
{
    if (fleet->listeners_len == FLEET_LISTENERS_MAX) {
        return REEVE_LIMIT;
    }
    fleet->listeners[fleet->listeners_len].fn = listener;
    fleet->listeners[fleet->listeners_len++].arg = arg;
    return REEVE_OK;
}

void fleet_tell(struct fleet *fleet, enum fleet_change change, const struct fleet_node *node,
                const struct fleet_worker *worker)
{
    if (!fleet->ready) {
        return; // fleet_ready() tells what is
    }
    for (size_t i = 0; i < fleet->listeners_len; i++) {
        fleet->listeners[i].fn(fleet->manager, change, node, worker, fleet->listeners[i].arg);
    }
}

const struct reeve_value *fleet_arrived(const struct fleet *fleet)
{
    return fleet->arrived;
}

// ---- messages ---------------------------------------------------------------------------------------------------

static void tell_malformed(struct fleet *fleet, const struct reeve_delivery *delivery, const struct reeve_why *why)
{
    int64_t now = reeve_clock_mono_ms();
    char quoted[256];
    fleet->counters.malformed++;
    if (fleet->told_mono == 0 || now - fleet->told_mono >= TELL_MALFORMED_MS) {
        fleet->told_mono = now;
        reeve_log(REEVE_LOG_WARNING, "fleet", "topic=%s error=%s malformed=%llu ignoring", delivery->topic,
                  reeve_log_quote(why->text, quoted, sizeof quoted), (unsigned long long)fleet->counters.malformed);
    }
}

static void take_node(struct fleet *fleet, const struct reeve_taken *taken, const struct reeve_delivery *delivery)
{
    struct fleet_node *node =
        taken->node != NULL ? node_at(fleet, taken->topic.node) : fleet_find_node(fleet, taken->topic.node);
    if (node == NULL || taken->ignored) {
        return;
    }
    node->known = taken->node;
    if (!fleet->ready) {
        return; // fleet_ready() judges
    }
    fleet_judge_node(fleet, node);
    if (node->liveness == REEVE_LIVE && !delivery->retained && strcmp(taken->topic.leaf, "status") == 0) {
        fleet_tell(fleet, FLEET_NODE_BEAT, node, NULL);
    }
    fleet_drop_node(fleet, node);
}

static void read_worker(struct fleet *fleet, struct fleet_worker *worker, const struct reeve_taken *taken)
{
    if (strcmp(taken->topic.leaf, "process") == 0) {
        worker->process_session = fleet->session;
        fleet_read_process(fleet, worker, taken->record);
    } else if (strcmp(taken->topic.leaf, "status") == 0) {
        fleet_read_status(fleet, worker, taken->record);
    }
}

static void take_worker(struct fleet *fleet, const struct reeve_taken *taken, const struct reeve_delivery *delivery)
{
    bool status = strcmp(taken->topic.leaf, "status") == 0;
    struct fleet_worker *worker = taken->worker != NULL
                                      ? worker_at(fleet, taken->topic.node, taken->topic.worker)
                                      : fleet_find_worker(fleet, taken->topic.node, taken->topic.worker);
    if (worker == NULL) {
        return; // nothing was known, or there is no memory: the registry knows, and the next message finds it
    }
    if (taken->ignored) {
        // Somebody who lives and speaks with an epoch below the one that lives [session-7].
        fleet->counters.duplicates += status && !delivery->retained;
        return;
    }
    worker->known = taken->worker;
    if (worker->known == NULL && fleet->ready) {
        fleet_drop_worker(fleet, worker);
        return;
    }
    read_worker(fleet, worker, taken);
    if (!fleet->ready) {
        return; // fleet_ready() judges
    }
    fleet_judge(fleet, worker);
    if (status && taken->record != NULL) {
        fleet->arrived = taken->record;
        fleet_tell(fleet, FLEET_WORKER_BEAT, worker->node, worker);
        fleet->arrived = NULL;
    }
}

static void on_presence(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct fleet *fleet = arg;
    struct reeve_taken taken;
    struct reeve_why why = {.text = ""};
    (void)bus;
    fleet->counters.messages++;
    enum reeve_err err = reeve_registry_take_in(fleet->registry, delivery, reeve_clock_mono_ms(), &taken, &why);
    if (err != REEVE_OK) {
        tell_malformed(fleet, delivery, &why);
    } else if (taken.topic.kind == REEVE_TOPIC_NODE) {
        take_node(fleet, &taken, delivery);
    } else {
        take_worker(fleet, &taken, delivery);
    }
    reeve_value_free(taken.record);
    fleet_arm(fleet);
}

static enum reeve_err read_map(const struct reeve_delivery *delivery, struct reeve_value **ret, struct reeve_why *why)
{
    enum reeve_err err =
        reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, delivery->topic, ret, why);
    if (err == REEVE_OK && reeve_value_kind(*ret) != REEVE_MAP) {
        err = reeve_fail(why, REEVE_INVALID, "a record is a map");
    }
    return err;
}

// What the broker has retained of our own verdicts, at the beginning of a session.
static void on_own(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct fleet *fleet = arg;
    REEVE_VALUE_AUTO record = NULL;
    struct reeve_why why = {.text = ""};
    struct reeve_topic topic = reeve_topic_parse(fleet->manager->config.manager.root, delivery->topic);
    (void)bus;
    if (topic.kind != REEVE_TOPIC_FLEET || delivery->payload_len == 0 || fleet->ready) {
        return;
    }
    struct fleet_worker *worker = worker_at(fleet, topic.node, topic.worker);
    if (worker == NULL) {
        return; // out of memory: it is published again
    }
    if (read_map(delivery, &record, &why) != REEVE_OK) {
        tell_malformed(fleet, delivery, &why);
        worker->published = 1; // whatever it is, it is not what should be there
        return;
    }
    if (!worker->judged) {
        fleet_read_former(fleet, worker, record);
    }
    (void)reeve_value_remove(record, "at"); /* not every record has one */
    worker->published = reeve_value_digest(record);
}

// Numbers of processes: they change no verdict.
static void on_metrics(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct fleet *fleet = arg;
    REEVE_VALUE_AUTO record = NULL;
    struct reeve_why why = {.text = ""};
    struct reeve_topic topic = reeve_topic_parse(fleet->manager->config.manager.root, delivery->topic);
    (void)bus;
    if (topic.kind != REEVE_TOPIC_NODE) {
        return;
    }
    if (read_map(delivery, &record, &why) != REEVE_OK) {
        tell_malformed(fleet, delivery, &why);
        return;
    }
    const struct reeve_value *workers = reeve_value_get(record, "workers");
    for (size_t i = 0; reeve_value_kind(workers) == REEVE_MAP && i < reeve_value_len(workers); i++) {
        struct fleet_worker *worker = fleet_find_worker(fleet, topic.node, reeve_value_key(workers, i));
        if (worker != NULL) {
            worker->memory_bytes = reeve_get_int(reeve_value_at(workers, i), "memory_bytes", -1);
            worker->cpu_ms = reeve_get_int(reeve_value_at(workers, i), "cpu_ms", -1);
        }
    }
}

// ---- the session ------------------------------------------------------------------------------------------------

static void read_own(struct fleet *fleet)
{
    struct reeve_why why = {.text = ""};
    if (!fleet->reading_own && manager_subscribe(fleet->manager, OWN_FILTER, 0, on_own, fleet, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "fleet", "filter=%s error=\"%s\" ignoring", OWN_FILTER, why.text);
        return; // everything is published again
    }
    fleet->reading_own = true;
}

void fleet_session(struct fleet *fleet)
{
    int64_t now = reeve_clock_mono_ms();
    fleet->joined = true;
    fleet->ready = false;
    fleet->held = true;
    reeve_registry_reconnected(fleet->registry, now);
}

void fleet_ready(struct fleet *fleet)
{
    bool first = !fleet->known;
    if (fleet->reading_own) {
        fleet->reading_own = false;
        manager_unsubscribe(fleet->manager, OWN_FILTER);
    }
    fleet->ready = true;
    fleet->known = true;
    fleet_judge_all(fleet);
    fleet_arm(fleet);
    if (first) {
        (void)malloc_trim(0); /* what all those messages took on their way in */
    }
}

void fleet_lost(struct fleet *fleet)
{
    if (fleet->joined) { // a broker that could not be reached yet is no outage
        reeve_registry_disconnected(fleet->registry, reeve_clock_mono_ms());
    }
    fleet->ready = false;
    fleet->held = true;
    fleet->session++;
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        struct fleet_node *node = fleet->nodes[i];
        for (size_t k = 0; k < node->workers_len; k++) {
            ((struct fleet_worker *)node->workers[k])->published = 0; // until the broker says what it has
        }
    }
    read_own(fleet);
    fleet_arm(fleet);
}

bool fleet_known(const struct fleet *fleet)
{
    return fleet->known;
}

bool fleet_held(const struct fleet *fleet)
{
    return fleet->held || !fleet->ready;
}

// ---- life -------------------------------------------------------------------------------------------------------

static void on_timer(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    fleet_look(arg);
}

static enum reeve_err subscribe(struct fleet *fleet, struct reeve_why *why)
{
    static const char *const filters[] = {"node/+/status", "node/+/lwt", "worker/+/+/process", "worker/+/+/status",
                                          "worker/+/+/lwt"};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(filters); i++) {
        err = manager_subscribe(fleet->manager, filters[i], 0, on_presence, fleet, why);
    }
    return err == REEVE_OK ? manager_subscribe(fleet->manager, "node/+/metrics", 0, on_metrics, fleet, why) : err;
}

enum reeve_err fleet_new(struct manager *manager, struct fleet **ret, struct reeve_why *why)
{
    const struct manager_section *section = &manager->config.manager;
    struct fleet *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    fleet->manager = manager;
    fleet->held = true;
    fleet->session = 1;
    fleet->recheck = true;
    reeve_timer_init(manager->loop, &fleet->timer, on_timer, fleet);
    fleet->registry = reeve_registry_new(section->root, (size_t)section->workers_max);
    fleet->attrs = reeve_map_new(0);
    if (fleet->registry == NULL || fleet->attrs == NULL) {
        fleet_free(fleet);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_registry_compact(fleet->registry);
    enum reeve_err err = subscribe(fleet, why);
    if (err != REEVE_OK) {
        fleet_free(fleet);
        return err;
    }
    read_own(fleet);
    *ret = fleet;
    return REEVE_OK;
}

static void closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    free(arg);
}

void fleet_free(struct fleet *fleet)
{
    if (fleet == NULL) {
        return;
    }
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        struct fleet_node *node = fleet->nodes[i];
        for (size_t k = 0; k < node->workers_len; k++) {
            worker_free(fleet, node->workers[k]);
        }
        free(node->workers);
        free(node);
    }
    free(fleet->nodes);
    fleet->nodes_len = 0;
    reeve_map_free(fleet->attrs, NULL);
    reeve_registry_free(fleet->registry);
    reeve_timer_close(&fleet->timer, closed);
}

struct fleet_counters fleet_counters(const struct fleet *fleet)
{
    return fleet->counters;
}
