// See fake_fleet.h.
#include "fake_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fleet_worker *workers[FAKE_WORKERS];
static size_t workers_len;
static struct fleet_node nodes[FAKE_NODES];
static size_t nodes_len;
static struct {
    fleet_listener *listener;
    void *arg;
} listeners[8];
static size_t listeners_len;
static const struct reeve_value *arrived;
bool fake_fleet_held;
size_t fake_fleet_lookups;

void fake_fleet_reset(void)
{
    for (size_t i = 0; i < workers_len; i++) {
        reeve_value_free(workers[i]->process);
        reeve_value_free(workers[i]->status);
        free(workers[i]);
    }
    workers_len = 0;
    nodes_len = 0;
    listeners_len = 0;
    fake_fleet_held = false;
    fake_fleet_lookups = 0;
}

void fake_fleet_deaf(void)
{
    listeners_len = 0;
}

struct fleet_node *fake_node(const char *name)
{
    for (size_t i = 0; i < nodes_len; i++) {
        if (strcmp(nodes[i].name, name) == 0) {
            return &nodes[i];
        }
    }
    assert_true(nodes_len < FAKE_NODES);
    struct fleet_node *node = &nodes[nodes_len++];
    *node = (struct fleet_node){.info = {.liveness = REEVE_LIVE}};
    (void)snprintf(node->name, sizeof node->name, "%s", name);
    node->info.name = node->name;
    return node;
}

static int by_name(const void *a, const void *b)
{
    const struct fleet_worker *left = *(struct fleet_worker *const *)a;
    const struct fleet_worker *right = *(struct fleet_worker *const *)b;
    int order = strcmp(left->node, right->node);
    return order != 0 ? order : strcmp(left->name, right->name);
}

static struct fleet_worker *find(const char *node, const char *name)
{
    for (size_t i = 0; i < workers_len; i++) {
        if (strcmp(workers[i]->name, name) == 0 && strcmp(workers[i]->node, node) == 0) {
            return workers[i];
        }
    }
    return NULL;
}

struct fleet_worker *fake_worker(const char *node, const char *name)
{
    struct fleet_worker *worker = find(node, name);
    if (worker != NULL) {
        return worker;
    }
    assert_true(workers_len < FAKE_WORKERS);
    worker = calloc(1, sizeof *worker);
    assert_non_null(worker);
    (void)fake_node(node); /* there from now on */
    (void)snprintf(worker->node, sizeof worker->node, "%s", node);
    (void)snprintf(worker->name, sizeof worker->name, "%s", name);
    worker->info = (struct fleet_worker_info){.node = worker->node,
                                              .name = worker->name,
                                              .state = REEVE_STATE_RUNNING,
                                              .last_known = REEVE_STATE_RUNNING,
                                              .availability = REEVE_AVAILABILITY_IDLE,
                                              .supervised = true,
                                              .speaks = true,
                                              .wanted = true,
                                              .safe_to_stop = true,
                                              .run = 1,
                                              .pid = 100,
                                              .epoch = 1,
                                              .type = "probe",
                                              .memory_bytes = -1,
                                              .memory_limit_bytes = -1,
                                              .cpu_ms = -1};
    workers[workers_len++] = worker;
    if (workers_len > 1 && by_name(&workers[workers_len - 2], &workers[workers_len - 1]) > 0) {
        qsort(workers, workers_len, sizeof workers[0], by_name);
    }
    return worker;
}

static void tell(struct fake *fake, enum fleet_change change, struct fleet_node *node, struct fleet_worker *worker)
{
    for (size_t i = 0; i < listeners_len; i++) {
        listeners[i].listener(&fake->manager, change, node, worker, listeners[i].arg);
    }
}

void fake_worker_tell(struct fake *fake, enum fleet_change change, struct fleet_worker *worker)
{
    tell(fake, change, fake_node(worker->node), worker);
}

void fake_worker_beat(struct fake *fake, struct fleet_worker *worker, const char *status)
{
    reeve_value_free(worker->status);
    worker->status = fake_parse(status);
    arrived = worker->status;
    tell(fake, FLEET_WORKER_BEAT, fake_node(worker->node), worker);
    arrived = NULL;
}

void fake_node_tell(struct fake *fake, struct fleet_node *node)
{
    tell(fake, FLEET_NODE, node, NULL);
}

// ---- fleet.h
// ----------------------------------------------------------------------------------------------------------

enum reeve_err fleet_listen(struct fleet *fleet, fleet_listener *listener, void *arg)
{
    (void)fleet;
    listeners[listeners_len].listener = listener;
    listeners[listeners_len++].arg = arg;
    return REEVE_OK;
}

bool fleet_known(const struct fleet *fleet)
{
    (void)fleet;
    return true;
}

bool fleet_held(const struct fleet *fleet)
{
    (void)fleet;
    return fake_fleet_held;
}

const struct reeve_value *fleet_arrived(const struct fleet *fleet)
{
    (void)fleet;
    return arrived;
}

const struct fleet_worker *fleet_worker(const struct fleet *fleet, const char *node, const char *worker)
{
    (void)fleet;
    fake_fleet_lookups++;
    return find(node, worker);
}

const struct fleet_node *fleet_node(const struct fleet *fleet, const char *node)
{
    (void)fleet;
    for (size_t i = 0; i < nodes_len; i++) {
        if (strcmp(nodes[i].name, node) == 0) {
            return &nodes[i];
        }
    }
    return NULL;
}

struct fleet_node_info fleet_node_info(const struct fleet *fleet, const struct fleet_node *node)
{
    (void)fleet;
    return node->info;
}

struct fleet_worker_info fleet_worker_info(const struct fleet *fleet, const struct fleet_worker *worker)
{
    (void)fleet;
    return worker->info;
}

bool fleet_worker_live(const struct fleet_worker_info *info)
{
    return reeve_state_has_process(info->state) || (info->state == REEVE_STATE_LOST && info->supervised);
}

bool fleet_worker_busy(const struct fleet_worker_info *info)
{
    return info->jobs > 0 || info->availability == REEVE_AVAILABILITY_PROCESSING;
}

struct reeve_value *fleet_process_record(const struct fleet *fleet, const struct fleet_worker *worker)
{
    (void)fleet;
    return worker->process != NULL ? reeve_value_clone(worker->process) : NULL;
}

struct reeve_value *fleet_status_record(const struct fleet *fleet, const struct fleet_worker *worker)
{
    (void)fleet;
    return worker->status != NULL ? reeve_value_clone(worker->status) : NULL;
}

void fleet_each_worker(const struct fleet *fleet, bool (*each)(const struct fleet_worker *worker, void *arg), void *arg)
{
    (void)fleet;
    for (size_t i = 0; i < workers_len && each(workers[i], arg); i++) {
    }
}

void fleet_each_worker_of(const struct fleet *fleet, const char *node,
                          bool (*each)(const struct fleet_worker *worker, void *arg), void *arg)
{
    (void)fleet;
    for (size_t i = 0; i < workers_len; i++) {
        if (strcmp(workers[i]->node, node) == 0 && !each(workers[i], arg)) {
            return;
        }
    }
}

void fleet_each_node(const struct fleet *fleet, bool (*each)(const struct fleet_node *node, void *arg), void *arg)
{
    (void)fleet;
    for (size_t i = 0; i < nodes_len && each(&nodes[i], arg); i++) {
    }
}

const char *fleet_node_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    const struct fleet_node *node = thing;
    (void)buf;
    return n > 0 ? NULL : strcmp(key, "node") == 0 ? node->name : strcmp(key, "region") == 0 ? node->info.region : NULL;
}

const char *fleet_why(const struct fleet *fleet, const struct fleet_worker *worker, char *buf, size_t buf_len)
{
    (void)fleet;
    (void)snprintf(buf, buf_len, "the test says %s", reeve_state_text(worker->info.state));
    return buf;
}

size_t fleet_workers_len(const struct fleet *fleet)
{
    (void)fleet;
    return workers_len;
}

void fleet_touch(struct fleet *fleet, const char *node, const char *worker)
{
    struct fleet_worker *touched = find(node, worker);
    (void)fleet;
    if (touched != NULL) {
        touched->touched++;
    }
}

// ---- query.c
// ----------------------------------------------------------------------------------------------------------

enum reeve_err not_found(struct reeve_why *why, const char *kind, const char *name, const char *const *names)
{
    const char *near = reeve_near(name, names);
    return reeve_fail(why, REEVE_NOENT, "no %s \"%s\"%s%s", kind, name, near != NULL ? ", did you mean " : "",
                      near != NULL ? near : "");
}

static bool is_meant(const struct select_args *select, const struct fleet_worker *worker)
{
    char key[2 * REEVE_NAME_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", worker->node, worker->name);
    bool named = select->workers.len == 0;
    for (size_t i = 0; i < select->workers.len; i++) {
        const char *text = select->workers.items[i];
        named |= reeve_glob_match(text, strchr(text, '/') != NULL ? key : worker->name);
    }
    return named && (select->type == NULL || reeve_str_eq(select->type, worker->info.type)) &&
           (select->node == NULL || reeve_str_eq(select->node, worker->node));
}

enum reeve_err select_each(struct manager *manager, const struct select_args *select, bool preset_all,
                           bool (*each)(const struct fleet_worker *worker, void *arg), void *arg, size_t *ret_count,
                           struct reeve_why *why)
{
    size_t count = 0;
    (void)manager;
    if (select->workers.len == 0 && select->type == NULL && select->node == NULL && !select->all && !preset_all) {
        return reeve_fail(why, REEVE_INVALID, "which workers?");
    }
    for (size_t i = 0; i < workers_len; i++) {
        bool site = reeve_str_eq(workers[i]->info.origin, "site");
        bool plain = select->workers.len == 1 && reeve_str_eq(select->workers.items[0], workers[i]->name);
        if (is_meant(select, workers[i]) && (!site || plain)) {
            count++;
            if (!each(workers[i], arg)) {
                break;
            }
        }
    }
    if (count == 0) {
        return reeve_fail(why, REEVE_NOENT, "no such worker");
    }
    *ret_count = count;
    return REEVE_OK;
}
