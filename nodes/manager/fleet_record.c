// What a worker's two records say, kept small: numbers in the worker, everything that workers of one kind have in
// common once for all of them. And the record of its verdict, `fleet/<node>/<worker>`. Must not: judge, publish, or
// look at a clock.
#include "fleet_internal.h"

#include "health.h"
#include "hold.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <reeve/spec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t state, uint64_t number)
{
    uint64_t pair[2] = {state, number};
    return reeve_hash64(pair, sizeof pair);
}

static uint64_t text_digest(const char *text)
{
    return text == NULL ? 0 : reeve_hash64(text, strlen(text));
}

static void replace_text(char **slot, const char *text)
{
    if (!reeve_str_eq(*slot, text)) {
        free(*slot);
        *slot = text != NULL ? strdup(text) : NULL; // out of memory: as if it were not said
    }
}

// ---- what workers have in common --------------------------------------------------------------------------------

// Which keys of which record go into it. `account` is often one worker's alone and stays with the worker.
static const char *const process_keys[] = {"type",         "exchange", "pool",       "origin",
                                           "capabilities", "labels",   "attributes", "limits"};
static const char *const status_keys[] = {"type", "version", "capabilities"};

static uint64_t digest_of(const struct reeve_value *record, const char *const *keys, size_t len)
{
    uint64_t digest = 0;
    for (size_t i = 0; record != NULL && i < len; i++) {
        const struct reeve_value *value = reeve_value_get(record, keys[i]);
        digest = mix(digest, value != NULL ? reeve_value_digest(value) : 0);
    }
    return digest;
}

static bool list_has(const struct reeve_value *list, const char *text)
{
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        if (reeve_str_eq(reeve_value_text(reeve_value_at(list, i)), text)) {
            return true;
        }
    }
    return false;
}

// What the spec says a worker can do, and what it says itself that it can do now.
static void add_capabilities(struct reeve_value *list, const struct reeve_value *record)
{
    const struct reeve_value *said = reeve_value_get(record, "capabilities");
    for (size_t i = 0; reeve_value_kind(said) == REEVE_LIST && i < reeve_value_len(said); i++) {
        const char *text = reeve_value_text(reeve_value_at(said, i));
        if (text != NULL && !list_has(list, text)) {
            (void)reeve_value_add(list, reeve_value_str(text)); /* remembered: reeve_value_built() */
        }
    }
}

static void put_map(struct reeve_value *map, const char *key, const struct reeve_value *value)
{
    if (reeve_value_kind(value) == REEVE_MAP && reeve_value_len(value) > 0) {
        (void)reeve_value_put(map, key, reeve_value_clone(value)); /* remembered: reeve_value_built() */
    }
}

static const char *first_text(const struct reeve_value *a, const struct reeve_value *b, const char *key)
{
    const char *text = reeve_get_str(a, key);
    return text != NULL ? text : reeve_get_str(b, key);
}

static struct reeve_value *attrs_value(const struct reeve_value *process, const struct reeve_value *status)
{
    struct reeve_value *map = reeve_value_map();
    struct reeve_value *capabilities = reeve_value_list();
    const struct reeve_value *limits = reeve_value_get(process, "limits");
    int64_t memory = reeve_get_int(limits, "memory_bytes", 0);
    double cpus = reeve_value_real(reeve_value_get(limits, "cpus"), 0);
    reeve_put_str_opt(map, "type", first_text(process, status, "type"));
    reeve_put_str_opt(map, "exchange", reeve_get_str(process, "exchange"));
    reeve_put_str_opt(map, "pool", reeve_get_str(process, "pool"));
    reeve_put_str_opt(map, "origin", reeve_get_str(process, "origin"));
    reeve_put_str_opt(map, "version", reeve_get_str(status, "version"));
    add_capabilities(capabilities, process);
    add_capabilities(capabilities, status);
    if (reeve_value_len(capabilities) > 0) {
        (void)reeve_value_put(map, "capabilities", capabilities); /* remembered: reeve_value_built() */
    } else {
        reeve_value_free(capabilities);
    }
    put_map(map, "labels", reeve_value_get(process, "labels"));
    put_map(map, "attributes", reeve_value_get(process, "attributes"));
    if (memory > 0) {
        reeve_put_int(map, "memory_limit_bytes", memory);
    }
    if (cpus > 0) {
        (void)reeve_value_put(map, "cpu_limit", reeve_value_float(cpus)); /* remembered: reeve_value_built() */
    }
    return map;
}

static size_t encoded_size(const struct reeve_value *value)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_msgpack_write(value, &buf) == REEVE_OK ? buf.len : REEVE_RETAINED_BYTES_MAX;
}

static const char *key_text(uint64_t key, char buf[24])
{
    (void)snprintf(buf, 24, "%016llx", (unsigned long long)key);
    return buf;
}

void fleet_attrs_drop(struct fleet *fleet, struct fleet_worker *worker)
{
    struct fleet_attrs *attrs = worker->attrs;
    char key[24];
    worker->attrs = NULL;
    if (attrs != NULL && --attrs->refs == 0) {
        (void)reeve_map_remove(fleet->attrs, key_text(attrs->key, key)); /* it is there */
        reeve_value_free(attrs->value);
        free(attrs);
    }
}

static struct fleet_attrs *attrs_new(struct fleet *fleet, uint64_t key, struct reeve_value *value)
{
    char text[24];
    struct fleet_attrs *attrs = calloc(1, sizeof *attrs);
    if (attrs == NULL || value == NULL || reeve_value_built(value) != REEVE_OK ||
        reeve_map_put(fleet->attrs, key_text(key, text), attrs, NULL) != REEVE_OK) {
        free(attrs);
        reeve_value_free(value);
        return NULL; // out of memory: the worker shows nothing of it until it says something new
    }
    attrs->key = key;
    attrs->size = encoded_size(value);
    attrs->value = value;
    return attrs;
}

// A digest is enough to find them by: who wanted two to be equal could as well say the same.
static void attrs_set(struct fleet *fleet, struct fleet_worker *worker, uint64_t key,
                      struct reeve_value *(*make)(const struct fleet_worker *worker, const struct reeve_value *record),
                      const struct reeve_value *record)
{
    char text[24];
    if (worker->attrs != NULL && worker->attrs->key == key) {
        return;
    }
    struct fleet_attrs *attrs = reeve_map_get(fleet->attrs, key_text(key, text));
    if (attrs == NULL) {
        attrs = attrs_new(fleet, key, make(worker, record));
    }
    if (attrs != NULL) {
        attrs->refs++;
    }
    fleet_attrs_drop(fleet, worker);
    worker->attrs = attrs;
}

static struct reeve_value *attrs_of_records(const struct fleet_worker *worker, const struct reeve_value *record)
{
    (void)record;
    REEVE_VALUE_AUTO process = worker->known != NULL ? reeve_registry_process_record(worker->known) : NULL;
    REEVE_VALUE_AUTO status = worker->known != NULL ? reeve_registry_status_record(worker->known) : NULL;
    return attrs_value(process, status);
}

static void attrs_renew(struct fleet *fleet, struct fleet_worker *worker)
{
    attrs_set(fleet, worker, mix(worker->process_digest, worker->status_digest), attrs_of_records, NULL);
}

// ---- reading ----------------------------------------------------------------------------------------------------

void fleet_read_process(struct fleet *fleet, struct fleet_worker *worker, const struct reeve_value *record)
{
    struct process_facts facts;
    memset(&facts, 0, sizeof facts);
    if (record != NULL) {
        facts.since = reeve_get_int(record, "since", 0);
        facts.started_at = reeve_get_int(record, "started_at", 0);
        facts.pid = reeve_get_int(record, "pid", 0);
        facts.run = reeve_get_int(record, "run", 0);
        facts.restarts = reeve_get_int(record, "restarts", 0);
        facts.failures = reeve_get_int(record, "failures", 0);
        facts.spec_version = reeve_get_int(record, "version", 0);
        facts.fence = reeve_get_int(record, "fence", 0);
        facts.present = true;
        facts.wanted = reeve_str_eq(reeve_get_str(record, "desired"), "running");
        facts.speaks = reeve_get_bool(record, "speaks", false);
    }
    if (!worker->process.present || facts.run != worker->process.run) {
        worker->run_since_mono = reeve_clock_mono_ms();
    }
    worker->process = facts;
    worker->process_digest = digest_of(record, process_keys, REEVE_ARRAY_LEN(process_keys));
    if (record != NULL || worker->status.present) { // one that is vanishing keeps what it was, for who is told
        replace_text(&worker->account, reeve_get_str(record, "account"));
        attrs_renew(fleet, worker);
    }
}

void fleet_read_status(struct fleet *fleet, struct fleet_worker *worker, const struct reeve_value *record)
{
    struct status_facts facts;
    memset(&facts, 0, sizeof facts);
    if (record != NULL) {
        facts.started_at = reeve_get_int(record, "started_at", 0);
        facts.pid = reeve_get_int(record, "pid", 0);
        facts.run = reeve_get_int(record, "run", 0);
        facts.jobs = reeve_get_int(record, "jobs", 0);
        facts.epoch = (uint64_t)reeve_get_int(record, "epoch", 0);
        facts.present = true;
        facts.unsafe = !reeve_get_bool(record, "safe_to_stop", true);
    }
    if (!worker->process.present && facts.epoch != worker->status.epoch) {
        worker->run_since_mono = reeve_clock_mono_ms();
    }
    worker->status = facts;
    worker->status_digest = digest_of(record, status_keys, REEVE_ARRAY_LEN(status_keys));
    replace_text(&worker->unsafe_reason, facts.unsafe ? reeve_get_str(record, "unsafe_reason") : NULL);
    if (record != NULL || worker->process.present) {
        attrs_renew(fleet, worker);
    }
}

// Out of a verdict's record: the keys are the same.
static struct reeve_value *attrs_of_verdict(const struct fleet_worker *worker, const struct reeve_value *record)
{
    struct reeve_value *map = attrs_value(record, NULL);
    int64_t memory = reeve_get_int(record, "memory_limit_bytes", 0);
    (void)worker;
    if (memory > 0) {
        reeve_put_int(map, "memory_limit_bytes", memory);
    }
    return map;
}

// Health takes some seconds to form an opinion; nobody's changes because the manager was restarted.
static void read_former_health(struct fleet_worker *worker, const struct reeve_value *record)
{
    static const char *const keys[] = {"health", "checks_failing"};
    reeve_value_free(worker->former_health);
    worker->former_health = reeve_get_str(record, "health") != NULL ? reeve_value_map() : NULL;
    for (size_t i = 0; worker->former_health != NULL && i < REEVE_ARRAY_LEN(keys); i++) {
        const struct reeve_value *value = reeve_value_get(record, keys[i]);
        if (value != NULL) {
            (void)reeve_value_put(worker->former_health, keys[i], reeve_value_clone(value)); /* else it is missing */
        }
    }
}

void fleet_read_former(struct fleet *fleet, struct fleet_worker *worker, const struct reeve_value *record)
{
    enum reeve_state state = REEVE_STATE_UNKNOWN;
    enum reeve_state last_known;
    enum reeve_availability availability = REEVE_AVAILABILITY_NONE;
    const char *text = reeve_get_str(record, "state");
    if (text == NULL || !reeve_state_parse(text, &state)) {
        return; // not one of ours
    }
    last_known = state;
    text = reeve_get_str(record, "last_known");
    if (text != NULL) {
        (void)reeve_state_parse(text, &last_known); /* else as it is */
    }
    text = reeve_get_str(record, "availability");
    if (text != NULL) {
        (void)reeve_availability_parse(text, &availability); /* else none */
    }
    worker->former = true;
    worker->state = (uint8_t)state;
    worker->last_known = (uint8_t)last_known;
    worker->availability = (uint8_t)availability;
    worker->source =
        reeve_str_eq(reeve_get_str(record, "source"), "inferred") ? REEVE_SOURCE_INFERRED : REEVE_SOURCE_OBSERVED;
    worker->unsupervised = reeve_get_bool(record, "unsupervised", false);
    worker->since_at = reeve_get_int(record, "since", 0);
    replace_text(&worker->former_why, reeve_get_str(record, "why"));
    read_former_health(worker, record);
    if (worker->known == NULL) {
        replace_text(&worker->account, reeve_get_str(record, "account"));
        attrs_set(fleet, worker, mix(1, reeve_value_digest(record)), attrs_of_verdict, record);
    }
}

// ---- the record -------------------------------------------------------------------------------------------------

const struct reeve_value *fleet_node_labels(const struct fleet_node *node)
{
    const struct reeve_value *labels = node->known != NULL ? reeve_value_get(node->known->record, "labels") : NULL;
    return reeve_value_kind(labels) == REEVE_MAP ? labels : NULL;
}

const char *fleet_region(const struct fleet_worker *worker)
{
    const struct reeve_value *own = worker->attrs != NULL ? reeve_value_get(worker->attrs->value, "attributes") : NULL;
    const char *region = reeve_get_str(own, "region");
    return region != NULL                ? region
           : worker->node->known != NULL ? reeve_get_str(worker->node->known->record, "region")
                                         : NULL;
}

// The worker's own labels, and of its node's those that it does not have itself.
static struct reeve_value *labels_of(const struct fleet_worker *worker)
{
    const struct reeve_value *own = worker->attrs != NULL ? reeve_value_get(worker->attrs->value, "labels") : NULL;
    const struct reeve_value *of_node = fleet_node_labels(worker->node);
    struct reeve_value *labels = own != NULL ? reeve_value_clone(own) : reeve_value_map();
    for (size_t i = 0; i < reeve_value_len(of_node); i++) {
        const char *key = reeve_value_key(of_node, i);
        if (reeve_value_get(own, key) == NULL) {
            (void)reeve_value_put(labels, key, reeve_value_clone(reeve_value_at(of_node, i))); /* remembered: built() */
        }
    }
    if (reeve_value_len(labels) == 0) {
        reeve_value_free(labels);
        labels = NULL;
    }
    return labels;
}

static void put_nonzero(struct reeve_value *map, const char *key, int64_t number)
{
    if (number != 0) {
        reeve_put_int(map, key, number);
    }
}

static void put_value(struct reeve_value *map, const char *key, struct reeve_value *value)
{
    if (value != NULL) {
        (void)reeve_value_put(map, key, value); /* remembered: reeve_value_built() */
    }
}

static void put_attrs(struct reeve_value *map, const struct fleet_worker *worker)
{
    static const char *const texts[] = {"type", "exchange", "pool"};
    const struct reeve_value *attrs = worker->attrs != NULL ? worker->attrs->value : NULL;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(texts); i++) {
        reeve_put_str_opt(map, texts[i], reeve_get_str(attrs, texts[i]));
    }
    reeve_put_str_opt(map, "region", fleet_region(worker));
    reeve_put_str_opt(map, "account", worker->account);
    const struct reeve_value *capabilities = reeve_value_get(attrs, "capabilities");
    const struct reeve_value *attributes = reeve_value_get(attrs, "attributes");
    put_value(map, "capabilities", capabilities != NULL ? reeve_value_clone(capabilities) : NULL);
    put_value(map, "labels", labels_of(worker));
    put_value(map, "attributes", attributes != NULL ? reeve_value_clone(attributes) : NULL);
    put_nonzero(map, "memory_limit_bytes", reeve_get_int(attrs, "memory_limit_bytes", 0));
}

static void put_verdict(struct reeve_value *map, const struct fleet_worker *worker, const char *why)
{
    reeve_put_str(map, "node", worker->node->name);
    reeve_put_str(map, "worker", worker->name);
    reeve_put_str(map, "state", reeve_state_text(worker->state));
    reeve_put_str_opt(map, "availability", reeve_availability_text(worker->availability));
    put_nonzero(map, "since", worker->since_at);
    reeve_put_str(map, "source", reeve_source_text(worker->source));
    reeve_put_str_opt(map, "why", why);
    if (worker->unsupervised) {
        reeve_put_bool(map, "unsupervised", true);
    }
    if (worker->last_known != worker->state) {
        reeve_put_str(map, "last_known", reeve_state_text(worker->last_known));
    }
}

static void put_run(struct reeve_value *map, const struct fleet_worker *worker)
{
    const struct process_facts *process = &worker->process;
    const struct status_facts *status = &worker->status;
    put_nonzero(map, "run", process->present ? process->run : status->run);
    put_nonzero(map, "pid", process->present ? process->pid : status->pid);
    put_nonzero(map, "started_at", process->present ? process->started_at : status->started_at);
    if (process->present) {
        reeve_put_int(map, "restarts", process->restarts);
        reeve_put_str(map, "desired", process->wanted ? "running" : "stopped");
        put_nonzero(map, "fence", process->fence);
    }
    if (status->present) {
        reeve_put_int(map, "jobs", status->jobs);
        reeve_put_bool(map, "safe_to_stop", !status->unsafe);
        reeve_put_str_opt(map, "unsafe_reason", worker->unsafe_reason);
    }
}

// [topic-5]: what is least needed goes first, and is named.
static void fit(struct reeve_value *map)
{
    static const char *const dispensable[] = {"attributes", "labels", "capabilities", "checks_failing", "why"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(dispensable) && encoded_size(map) > REEVE_RETAINED_BYTES_MAX - 64; i++) {
        struct reeve_value *left_out = reeve_value_get_mut(map, "left_out");
        if (!reeve_value_remove(map, dispensable[i])) {
            continue;
        }
        if (left_out == NULL) {
            put_value(map, "left_out", reeve_value_list());
            left_out = reeve_value_get_mut(map, "left_out");
        }
        (void)reeve_value_add(left_out, reeve_value_str(dispensable[i])); /* remembered: reeve_value_built() */
    }
}

struct reeve_value *fleet_record(const struct fleet *fleet, const struct fleet_worker *worker, const char *why)
{
    const struct manager *manager = fleet->manager;
    struct reeve_value *map = reeve_value_map();
    if (map == NULL) {
        return NULL;
    }
    put_verdict(map, worker, why);
    put_attrs(map, worker);
    put_run(map, worker);
    if (manager->health != NULL) {
        health_put_verdict(manager->health, worker->node->name, worker->name, map);
    }
    const struct reeve_value *former = reeve_value_get(map, "health") == NULL ? worker->former_health : NULL;
    for (size_t i = 0; i < reeve_value_len(former); i++) {
        put_value(map, reeve_value_key(former, i), reeve_value_clone(reeve_value_at(former, i)));
    }
    if (manager->holds != NULL) {
        hold_put_verdict(manager->holds, worker->node->name, worker->name, map);
    }
    const struct reeve_value *of_node = fleet_node_labels(worker->node);
    size_t large = (worker->attrs != NULL ? worker->attrs->size : 0) + (of_node != NULL ? encoded_size(of_node) : 0);
    if (large > REEVE_RETAINED_BYTES_MAX / 2) {
        fit(map);
    }
    return map;
}

uint64_t fleet_seen(const struct fleet_worker *worker, const char *why)
{
    uint64_t bits = (uint64_t)worker->state | (uint64_t)worker->last_known << 8 | (uint64_t)worker->availability << 16 |
                    (uint64_t)worker->source << 24 | (uint64_t)worker->unsupervised << 32 |
                    (uint64_t)worker->unsure << 33;
    uint64_t digest = mix(bits, (uint64_t)worker->since_at);
    digest = mix(digest, text_digest(why));
    digest = mix(digest, reeve_hash64(&worker->process, sizeof worker->process));
    digest = mix(digest, reeve_hash64(&worker->status, sizeof worker->status));
    digest = mix(digest, worker->attrs != NULL ? worker->attrs->key : 0);
    digest = mix(digest, text_digest(worker->account));
    digest = mix(digest, text_digest(worker->unsafe_reason));
    return mix(digest, worker->node->labels_digest);
}
