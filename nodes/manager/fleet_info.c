// Looking at the fleet: what is known of a node or a worker as plain data, as attributes for requirements, as records.
// Must not: change anything.
#include "fleet_internal.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct fleet_worker *fleet_worker(const struct fleet *fleet, const char *node, const char *worker)
{
    return fleet_find_worker(fleet, node, worker);
}

const struct fleet_node *fleet_node(const struct fleet *fleet, const char *node)
{
    return fleet_find_node(fleet, node);
}

static const struct reeve_value *node_record(const struct fleet_node *node)
{
    return node->known != NULL ? node->known->record : NULL;
}

struct fleet_node_info fleet_node_info(const struct fleet *fleet, const struct fleet_node *node)
{
    const struct reeve_value *record = node_record(node);
    const struct reeve_value *capacity = reeve_value_get(record, "capacity");
    const struct reeve_value *workers = reeve_value_get(record, "workers");
    (void)fleet;
    return (struct fleet_node_info){
        .name = node->name,
        .region = reeve_get_str(record, "region"),
        .host = reeve_get_str(record, "host"),
        .version = reeve_get_str(record, "version"),
        .liveness = node->liveness,
        .draining = node->draining,
        .cpus = reeve_get_int(capacity, "cpus", 0),
        .memory_bytes = reeve_get_int(capacity, "memory_bytes", 0),
        .workers_max = reeve_get_int(capacity, "workers_max", 0),
        .workers_total = reeve_get_int(workers, "total", 0),
        .workers_running = reeve_get_int(workers, "running", 0),
        .beat = reeve_get_int(record, "beat", 0),
        .epoch = node->known != NULL ? node->known->status.epoch : 0,
        .away_since_mono = node->liveness == REEVE_LIVE ? 0 : node->away_since_mono,
    };
}

static const struct reeve_value *attrs_of(const struct fleet_worker *worker)
{
    return worker->attrs != NULL ? worker->attrs->value : NULL;
}

static enum reeve_liveness session_of(const struct fleet_worker *worker)
{
    const struct reeve_known_worker *known = worker->known;
    return known != NULL ? reeve_liveness(&known->status, &known->lwt, REEVE_WORKER_HEARTBEAT_MS, reeve_clock_mono_ms())
                         : REEVE_ABSENT;
}

struct fleet_worker_info fleet_worker_info(const struct fleet *fleet, const struct fleet_worker *worker)
{
    const struct reeve_value *attrs = attrs_of(worker);
    const struct process_facts *process = &worker->process;
    const struct status_facts *status = &worker->status;
    int64_t memory_limit = reeve_get_int(attrs, "memory_limit_bytes", 0);
    (void)fleet;
    return (struct fleet_worker_info){
        .node = worker->node->name,
        .name = worker->name,
        .state = worker->state,
        .last_known = worker->last_known,
        .availability = worker->availability,
        .source = worker->source,
        .session = session_of(worker),
        .unsupervised = worker->unsupervised,
        .supervised = process->present,
        .speaks = process->speaks || status->present,
        .wanted = process->wanted,
        .safe_to_stop = !status->unsafe,
        .unsafe_reason = worker->unsafe_reason,
        .jobs = status->jobs,
        .run = process->present ? process->run : status->run,
        .pid = process->present ? process->pid : status->pid,
        .restarts = process->restarts,
        .failures = process->failures,
        .version = process->spec_version,
        .fence = process->fence,
        .epoch = status->epoch,
        .type = reeve_get_str(attrs, "type"),
        .exchange = reeve_get_str(attrs, "exchange"),
        .region = fleet_region(worker),
        .pool = reeve_get_str(attrs, "pool"),
        .account = worker->account,
        .origin = reeve_get_str(attrs, "origin"),
        .memory_bytes = worker->memory_bytes,
        .memory_limit_bytes = memory_limit > 0 ? memory_limit : -1,
        .cpu_ms = worker->cpu_ms,
        .cpu_limit = reeve_value_real(reeve_value_get(attrs, "cpu_limit"), 0),
        .since_at = worker->since_at,
        .changed_mono = worker->changed_mono,
        .run_since_mono = worker->run_since_mono,
    };
}

bool fleet_worker_live(const struct fleet_worker_info *info)
{
    // `lost` with a process record: the process runs and does not speak.
    return reeve_state_has_process(info->state) || (info->state == REEVE_STATE_LOST && info->supervised);
}

bool fleet_worker_busy(const struct fleet_worker_info *info)
{
    return info->availability == REEVE_AVAILABILITY_PROCESSING || info->jobs > 0;
}

const char *fleet_why(const struct fleet *fleet, const struct fleet_worker *worker, char *buf, size_t buf_len)
{
    struct reeve_verdict verdict = fleet_verdict(fleet, worker);
    (void)snprintf(buf, buf_len, "%s", verdict.why); /* cut where the caller has less room */
    return buf;
}

int64_t fleet_round_trip_ms(const struct fleet *fleet, const struct fleet_node *node, const char *endpoint)
{
    (void)fleet;
    // The daemon measures fractions of a millisecond; nearer than one is as near as can be.
    double ms = reeve_value_real(reeve_value_get(reeve_value_get(node_record(node), "round_trip"), endpoint), -1);
    return ms < 0 ? -1 : (int64_t)(ms + 0.5);
}

// ---- records ----------------------------------------------------------------------------------------------------

struct reeve_value *fleet_process_record(const struct fleet *fleet, const struct fleet_worker *worker)
{
    (void)fleet;
    return worker->known != NULL ? reeve_registry_process_record(worker->known) : NULL;
}

struct reeve_value *fleet_status_record(const struct fleet *fleet, const struct fleet_worker *worker)
{
    (void)fleet;
    return worker->known != NULL ? reeve_registry_status_record(worker->known) : NULL;
}

struct reeve_value *fleet_verdict_value(const struct fleet *fleet, const struct fleet_worker *worker)
{
    struct reeve_verdict verdict = fleet_verdict(fleet, worker);
    struct reeve_value *record = fleet_record(fleet, worker, verdict.why);
    if (record != NULL) {
        reeve_put_int(record, "at", reeve_clock_wall_ms());
    }
    return record;
}

// ---- attributes -------------------------------------------------------------------------------------------------

// A map's or a list's value as text; lists have several. NULL past the end.
static const char *text_of(const struct reeve_value *value, size_t n, char *buf)
{
    if (reeve_value_kind(value) == REEVE_LIST) {
        value = reeve_value_at(value, n);
        n = 0;
    }
    if (value == NULL || n > 0) {
        return NULL;
    }
    switch (reeve_value_kind(value)) {
    case REEVE_STR:
        return reeve_value_text(value);
    case REEVE_INT:
        (void)snprintf(buf, 128, "%lld", (long long)reeve_value_number(value, 0)); /* 20 digits at most */
        return buf;
    case REEVE_FLOAT:
        (void)snprintf(buf, 128, "%.6f", reeve_value_real(value, 0)); /* 309 digits would be cut: no such number here */
        return buf;
    case REEVE_BOOL:
        return reeve_value_truth(value, false) ? "true" : "false";
    case REEVE_NULL:
    case REEVE_BIN:
    case REEVE_LIST:
    case REEVE_MAP:
        break;
    }
    return NULL;
}

static const char *number_text(int64_t number, char *buf)
{
    (void)snprintf(buf, 128, "%lld", (long long)number); /* 20 digits at most */
    return buf;
}

const char *fleet_node_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    static const char *const texts[] = {"region", "host", "version"};
    static const char *const capacities[][2] = {
        {"cpus", "cpus"}, {"memory", "memory_bytes"}, {"memory_bytes", "memory_bytes"}, {"workers_max", "workers_max"}};
    const struct fleet_node *node = thing;
    const struct reeve_value *record = node_record(node);
    if (strcmp(key, "node") == 0) {
        return n == 0 ? node->name : NULL;
    }
    if (reeve_str_starts(key, "label.")) {
        return text_of(reeve_value_get(fleet_node_labels(node), key + 6), n, buf);
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(texts); i++) {
        if (strcmp(key, texts[i]) == 0) {
            return text_of(reeve_value_get(record, key), n, buf);
        }
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(capacities); i++) {
        if (strcmp(key, capacities[i][0]) == 0) {
            return text_of(reeve_value_get(reeve_value_get(record, "capacity"), capacities[i][1]), n, buf);
        }
    }
    return NULL;
}

static const char *worker_name(const struct fleet_worker *worker, char *buf)
{
    (void)buf;
    return worker->name;
}

static const char *worker_region(const struct fleet_worker *worker, char *buf)
{
    (void)buf;
    return fleet_region(worker);
}

static const char *worker_state(const struct fleet_worker *worker, char *buf)
{
    (void)buf;
    return reeve_state_text(worker->state);
}

static const char *worker_availability(const struct fleet_worker *worker, char *buf)
{
    (void)buf;
    return worker->availability != REEVE_AVAILABILITY_NONE ? reeve_availability_text(worker->availability) : NULL;
}

static const char *worker_account(const struct fleet_worker *worker, char *buf)
{
    (void)buf;
    return worker->account;
}

static const char *worker_jobs(const struct fleet_worker *worker, char *buf)
{
    return worker->status.present ? number_text(worker->status.jobs, buf) : NULL;
}

static const char *worker_restarts(const struct fleet_worker *worker, char *buf)
{
    return worker->process.present ? number_text(worker->process.restarts, buf) : NULL;
}

static const struct {
    const char *key;
    const char *(*text)(const struct fleet_worker *worker, char *buf);
} own_attributes[] = {
    {"worker", worker_name},       {"region", worker_region},
    {"state", worker_state},       {"availability", worker_availability},
    {"account", worker_account},   {"jobs", worker_jobs},
    {"restarts", worker_restarts},
};

// Its own word first, then custom fields, then what only its node can say (node, host, cpus, memory, label.* it lacks).
const char *fleet_worker_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    static const char *const shared[] = {"type", "exchange", "pool", "origin", "version", "capabilities"};
    const struct fleet_worker *worker = thing;
    const struct reeve_value *attrs = attrs_of(worker);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(own_attributes); i++) {
        if (strcmp(key, own_attributes[i].key) == 0) {
            return n == 0 ? own_attributes[i].text(worker, buf) : NULL;
        }
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(shared); i++) {
        if (strcmp(key, shared[i]) == 0) {
            return text_of(reeve_value_get(attrs, key), n, buf);
        }
    }
    const struct reeve_value *own = reeve_str_starts(key, "label.")
                                        ? reeve_value_get(reeve_value_get(attrs, "labels"), key + 6)
                                        : reeve_value_get(reeve_value_get(attrs, "attributes"), key);
    return own != NULL ? text_of(own, n, buf) : fleet_node_attribute(worker->node, key, n, buf);
}

// ---- everybody --------------------------------------------------------------------------------------------------

static bool each_of(const struct fleet_node *node, bool (*each)(const struct fleet_worker *worker, void *arg),
                    void *arg)
{
    for (size_t i = 0; i < node->workers_len; i++) {
        if (!each(node->workers[i], arg)) {
            return false;
        }
    }
    return true;
}

void fleet_each_worker(const struct fleet *fleet, bool (*each)(const struct fleet_worker *worker, void *arg), void *arg)
{
    for (size_t i = 0; i < fleet->nodes_len && each_of(fleet->nodes[i], each, arg); i++) {
    }
}

void fleet_each_worker_of(const struct fleet *fleet, const char *node,
                          bool (*each)(const struct fleet_worker *worker, void *arg), void *arg)
{
    const struct fleet_node *found = fleet_find_node(fleet, node);
    if (found != NULL) {
        (void)each_of(found, each, arg); /* stopped or not: it is over */
    }
}

void fleet_each_node(const struct fleet *fleet, bool (*each)(const struct fleet_node *node, void *arg), void *arg)
{
    for (size_t i = 0; i < fleet->nodes_len && each(fleet->nodes[i], arg); i++) {
    }
}

size_t fleet_workers_len(const struct fleet *fleet)
{
    return fleet->workers_len;
}
