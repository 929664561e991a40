// Pools: their specs, what is stored and published of them, the tick, and the ops about a pool as a whole.
// Must not: look at single workers (members.c), place (reconcile.c) or decide sizes (scaling.c).
#include "pool_room.h"

#include "cron.h"
#include "hold.h"

#include <dirent.h>
#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_MEMBERS_BYTES 6000 // of a status's 8 KiB

// ---- making and unmaking ------------------------------------------------------------------------------------------------

struct pool *pool_find(const struct pools *pools, const char *name)
{
    return reeve_map_get(pools->pools, name);
}

static struct pool *pool_new(struct pools *pools, const char *name)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    pool->pools = pools;
    pool->members = reeve_map_new(MEMBERS_MAX);
    (void)snprintf(pool->name, sizeof pool->name, "%s", name); /* a name */
    if (pool->members == NULL || reeve_map_put(pools->pools, name, pool, NULL) != REEVE_OK) {
        if (pool->members != NULL) {
            reeve_map_free(pool->members, NULL);
        }
        free(pool);
        return NULL;
    }
    return pool;
}

static void pool_free(struct pool *pool)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        member_free(it.value);
    }
    reeve_map_free(pool->members, NULL);
    reeve_pool_done(&pool->spec);
    free(pool);
}

static void publish_removed(struct pool *pool)
{
    char topic[REEVE_TOPIC_SIZE];
    (void)snprintf(topic, sizeof topic, "pool/%s/spec", pool->name); /* a name */
    manager_publish(pool->pools->manager, LEAVING_RECORD, topic, NULL, 0);
    (void)snprintf(topic, sizeof topic, "pool/%s/status", pool->name);
    manager_publish(pool->pools->manager, LEAVING_RECORD, topic, NULL, 0);
}

struct keys {
    char (*items)[STORE_KEY_SIZE];
    size_t len;
};

static void note_key(const char *key, const struct reeve_value *value, void *arg)
{
    (void)value;
    struct keys *keys = arg;
    char(*items)[STORE_KEY_SIZE] = realloc(keys->items, (keys->len + 1) * sizeof *items);
    if (items != NULL) {
        keys->items = items;
        (void)snprintf(items[keys->len++], STORE_KEY_SIZE, "%s", key); /* same size */
    }
}

static void remove_documents(struct pool *pool, enum store_collection collection)
{
    struct keys keys = {0};
    char prefix[STORE_KEY_SIZE];
    struct store *store = pool->pools->manager->store;
    (void)snprintf(prefix, sizeof prefix, "%s/", pool->name); /* a name */
    (void)store_each(store, collection, prefix, note_key, &keys, NULL); /* what stays is nobody's: harmless */
    for (size_t i = 0; i < keys.len; i++) {
        (void)store_remove(store, collection, keys.items[i], NULL); /* a failure breaks the turn: the commit tells */
    }
    free(keys.items);
}

void pool_forget(struct pool *pool)
{
    static const enum store_collection collections[] = {STORE_POOL_VERSION, STORE_MEMBER, STORE_ACQUISITION};
    struct pools *pools = pool->pools;
    pool_event(pool, "deleted", NULL, "pool %s is gone", pool->name);
    publish_removed(pool);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(collections); i++) {
        remove_documents(pool, collections[i]);
    }
    (void)store_remove(pools->manager->store, STORE_POOL, pool->name, NULL); /* the commit tells */
    static const char *const kinds[] = {"pool_unplaceable", "pool_failing", "update_undone"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(kinds); i++) {
        alarm_close(pools->manager, kinds[i], pool->name);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        alarm_close(pools->manager, "drain_late", it.key);
    }
    (void)reeve_map_remove(pools->pools, pool->name); /* is `pool` */
    pool_free(pool);
}

// ---- what a pool wants ----------------------------------------------------------------------------------------------------

static int64_t within(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

int64_t pool_desired(const struct pool *pool)
{
    bool scheduled = pool->spec.scaling.schedules.len > 0; // whose bounds may lie outside of the pool's
    return pool->draining || pool->deleting ? 0 : scheduled ? pool->size : within(pool->size, pool->spec.min, pool->spec.max);
}

int64_t pool_desired_in(const struct pool *pool, const char *region)
{
    const struct reeve_records *regions = &pool->spec.placement.regions;
    for (size_t i = 0; region != NULL && i < regions->len; i++) {
        const struct reeve_pool_region *row = &((const struct reeve_pool_region *)regions->items)[i];
        if (strcmp(row->region, region) == 0) {
            return pool->draining || pool->deleting ? 0 : row->size;
        }
    }
    return pool_desired(pool);
}

bool pool_halted(const struct pool *pool)
{
    return pool->paused || pool->spec.paused || hold_fleet_stopped(pool->pools->manager->holds);
}

// ---- the store --------------------------------------------------------------------------------------------------------------

static int64_t at_of(int64_t mono)
{
    return mono == 0 ? 0 : reeve_clock_wall_ms() - (reeve_clock_mono_ms() - mono);
}

// Never in the future: a clock that was set back makes a cool-down start anew, not last for days.
static int64_t mono_of(int64_t at)
{
    int64_t ago = reeve_clock_wall_ms() - at;
    int64_t now = reeve_clock_mono_ms();
    return at == 0 ? 0 : ago < 0 ? now : now > ago ? now - ago : 1;
}

void pool_store(struct pool *pool)
{
    struct reeve_value *spec = NULL;
    REEVE_VALUE_AUTO row = reeve_value_map();
    (void)reeve_pool_encode(&pool->spec, REEVE_ENCODE_WITH_SECRETS, &spec); /* NULL: remembered by the put */
    (void)reeve_value_put(row, "spec", spec);                               /* remembered: reeve_value_built() */
    reeve_put_int(row, "size", pool->size);
    reeve_put_int(row, "version", pool->version);
    reeve_put_int(row, "last_version", pool->last_version);
    reeve_put_int(row, "good_version", pool->good_version);
    reeve_put_int(row, "fence", pool->fence);
    reeve_put_bool(row, "paused", pool->paused);
    reeve_put_bool(row, "draining", pool->draining);
    reeve_put_bool(row, "deleting", pool->deleting);
    reeve_put_bool(row, "keep_workers", pool->keep_workers);
    reeve_put_int(row, "update", pool->update);
    reeve_put_int(row, "update_failures", pool->update_failures);
    reeve_put_int(row, "canary_until_at", pool->canary_until_at);
    reeve_put_int(row, "killed_busy", pool->killed_busy);
    reeve_put_int(row, "scaled_up_at", at_of(pool->scaling.last_up_mono));
    reeve_put_int(row, "scaled_down_at", at_of(pool->scaling.last_down_mono));
    reeve_put_str(row, "origin", pool->origin);
    (void)store_put(pool->pools->manager->store, STORE_POOL, pool->name, row, NULL); /* a failure breaks the turn */
}

static enum update_phase update_phase_of(int64_t number)
{
    return number == UPDATE_ROLLING || number == UPDATE_CANARY ? (enum update_phase)number : UPDATE_NONE;
}

static void load_pool(const char *key, const struct reeve_value *row, void *arg)
{
    struct pools *pools = arg;
    struct reeve_pool_spec spec;
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return;
    }
    reeve_errors_init(errors, key);
    if (reeve_pool_decode(reeve_value_get(row, "spec"), "", &spec, errors) != REEVE_OK) {
        struct reeve_why why = {0};
        (void)reeve_errors_result(errors, &why); /* said here */
        reeve_log(REEVE_LOG_ERROR, "pool", "pool=%s stored_spec=\"%s\" ignoring", key, why.text);
        free(errors);
        return;
    }
    free(errors);
    struct pool *pool = pool_new(pools, key);
    if (pool == NULL) {
        reeve_pool_done(&spec);
        return;
    }
    pool->spec = spec;
    pool->size = reeve_get_int(row, "size", 0);
    pool->version = reeve_get_int(row, "version", 1);
    pool->last_version = reeve_get_int(row, "last_version", pool->version);
    pool->good_version = reeve_get_int(row, "good_version", 0);
    pool->fence = reeve_get_int(row, "fence", 0);
    pool->paused = reeve_get_bool(row, "paused", false);
    pool->draining = reeve_get_bool(row, "draining", false);
    pool->deleting = reeve_get_bool(row, "deleting", false);
    pool->keep_workers = reeve_get_bool(row, "keep_workers", false);
    pool->update = update_phase_of(reeve_get_int(row, "update", 0));
    pool->update_failures = reeve_get_int(row, "update_failures", 0);
    pool->canary_until_at = reeve_get_int(row, "canary_until_at", 0);
    pool->killed_busy = reeve_get_int(row, "killed_busy", 0);
    pool->scaling.last_up_mono = mono_of(reeve_get_int(row, "scaled_up_at", 0));
    pool->scaling.last_down_mono = mono_of(reeve_get_int(row, "scaled_down_at", 0));
    const char *origin = reeve_get_str(row, "origin");
    (void)snprintf(pool->origin, sizeof pool->origin, "%s", origin != NULL ? origin : "command"); /* cut */
    pool->spec_dirty = true;
}

static enum member_state member_state_of(const char *text)
{
    static const enum member_state states[] = {MEMBER_ACTIVE, MEMBER_LEAVING, MEMBER_LOST};
    for (size_t i = 0; text != NULL && i < REEVE_ARRAY_LEN(states); i++) {
        if (strcmp(member_state_text(states[i]), text) == 0) {
            return states[i];
        }
    }
    return MEMBER_ACTIVE;
}

// A clock that was set back since prolongs nothing.
static int64_t deadline_of(int64_t at, int64_t longest_ms)
{
    int64_t left = at - reeve_clock_wall_ms();
    left = left < longest_ms ? left : longest_ms;
    return reeve_clock_mono_ms() + (left > 0 ? left : 0);
}

static void load_member(const char *key, const struct reeve_value *row, void *arg)
{
    struct pools *pools = arg;
    char name[REEVE_NAME_SIZE];
    const char *slash = strchr(key, '/');
    const char *node = reeve_get_str(row, "node");
    (void)snprintf(name, sizeof name, "%.*s", slash != NULL ? (int)(slash - key) : 0, key);
    struct pool *pool = pool_find(pools, name);
    struct member *member =
        pool != NULL && node != NULL && reeve_name_check(slash + 1, NULL) == REEVE_OK && reeve_name_check(node, NULL) == REEVE_OK
            ? member_new(pool, slash + 1, node)
            : NULL;
    if (member == NULL) {
        reeve_log(REEVE_LOG_ERROR, "pool", "member=%s ignoring", key);
        return;
    }
    const char *region = reeve_get_str(row, "region");
    const char *cause = reeve_get_str(row, "cause");
    (void)snprintf(member->region, sizeof member->region, "%s", region != NULL ? region : ""); /* cut */
    (void)snprintf(member->cause, sizeof member->cause, "%s", cause != NULL ? cause : "");
    member->state = member_state_of(reeve_get_str(row, "state"));
    member->version = reeve_get_int(row, "version", 0);
    member->fence = reeve_get_int(row, "fence", 0);
    member->created_at = reeve_get_int(row, "created_at", 0);
    member->leave_by_at = reeve_get_int(row, "leave_by_at", 0);
    member->leave_by_mono = deadline_of(member->leave_by_at, pool->spec.drain.deadline_ms);
    member->force = reeve_get_bool(row, "force", false);
    member->failed_update = reeve_get_bool(row, "failed_update", false);
    member->restart_due = reeve_get_bool(row, "restart_due", false);
}

static void unload(struct pools *pools)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->acquisitions, &it);) {
        (void)reeve_map_remove(pools->acquisitions, it.key); /* freed below */
        acquisition_free(it.value);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->pools, &it);) {
        struct pool *pool = it.value;
        (void)reeve_map_remove(pools->pools, it.key); /* freed below */
        pool_free(pool);
    }
}

enum reeve_err pools_load(struct pools *pools, struct reeve_why *why)
{
    struct store *store = pools->manager->store;
    unload(pools);
    enum reeve_err err = store_each(store, STORE_POOL, "", load_pool, pools, why);
    err = err == REEVE_OK ? store_each(store, STORE_MEMBER, "", load_member, pools, why) : err;
    return err == REEVE_OK ? acquisitions_load(pools, why) : err;
}

// ---- publishing -------------------------------------------------------------------------------------------------------------

void pool_event(struct pool *pool, const char *kind, struct reeve_value *detail, const char *fmt, ...)
{
    char topic[REEVE_TOPIC_SIZE];
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap); /* cut */
    va_end(ap);
    struct reeve_value *event = detail != NULL ? detail : reeve_value_map();
    reeve_put_str(event, "message", message);
    (void)snprintf(topic, sizeof topic, "pool/%s/event", pool->name); /* a name */
    manager_event(pool->pools->manager, topic, kind, event);
}

void pool_changed(struct pool *pool)
{
    manager_tick_soon(pool->pools->manager);
}

static void publish_spec(struct pool *pool)
{
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_value *spec = NULL;
    if (reeve_pool_encode(&pool->spec, REEVE_ENCODE_SKIP_PRESETS, &spec) != REEVE_OK) { // secrets masked
        return; // the next session publishes it
    }
    reeve_put_str(spec, "name", pool->name);
    reeve_put_int(spec, "version", pool->version);
    pool->spec_dirty = false;
    REEVE_BUF_AUTO size = REEVE_BUF_INIT(0);
    if (reeve_msgpack_write(spec, &size) == REEVE_OK && size.len > REEVE_RETAINED_BYTES_MAX) { // [topic-5]
        (void)reeve_value_remove(spec, "template");
        reeve_put_str(spec, "left_out", "template"); // `describe` has it
    }
    (void)snprintf(topic, sizeof topic, "pool/%s/spec", pool->name); /* a name */
    manager_publish(pool->pools->manager, LEAVING_RECORD, topic, spec, 0);
}

struct sums {
    int64_t active, ready, busy, starting, stopped, failed, unavailable, leaving, lost, acquired;
};

static const char *observed(const struct member *member, const struct seen *seen)
{
    if (member->state != MEMBER_ACTIVE) {
        return member_state_text(member->state);
    }
    return !seen->known ? seen->node_live ? "starting" : "unknown" : reeve_state_text(seen->info.state);
}

static void add_to(struct sums *sums, const struct member *member, const struct seen *seen)
{
    sums->leaving += member->state == MEMBER_LEAVING ? 1 : 0;
    sums->lost += member->state == MEMBER_LOST ? 1 : 0;
    if (member->state != MEMBER_ACTIVE) {
        return;
    }
    sums->active++;
    sums->ready += seen->ready ? 1 : 0;
    sums->busy += seen->ready && seen->busy ? 1 : 0;
    sums->stopped += seen->stopped_by_hand ? 1 : 0;
    sums->failed += seen->failed ? 1 : 0;
    sums->unavailable += !seen->reachable ? 1 : 0;
    sums->acquired += member->lease_id[0] != '\0' ? 1 : 0;
    sums->starting += !seen->ready && !seen->failed && !seen->stopped_by_hand && seen->reachable ? 1 : 0;
}

static struct reeve_value *member_value(const struct member *member, const struct seen *seen)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "worker", member->name);
    reeve_put_str(value, "node", member->node);
    reeve_put_str(value, "state", observed(member, seen));
    reeve_put_int(value, "version", member->version);
    reeve_put_str_opt(value, "region", member->region);
    reeve_put_str_opt(value, "why", member->state != MEMBER_ACTIVE ? member->cause : NULL);
    reeve_put_str_opt(value, "lease_id", member->lease_id);
    if (seen->ready) {
        reeve_put_str_opt(value, "availability", reeve_availability_text(seen->info.availability));
    }
    return value;
}

// All members where they fit into a retained record; `describe` has them all.
static struct reeve_value *members_value(const struct pool *pool, struct sums *sums, size_t bytes_max, bool *ret_cut)
{
    struct reeve_value *list = reeve_value_list();
    size_t bytes = 0;
    *ret_cut = false;
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        struct seen seen = member_seen(it.value);
        const struct member *member = it.value;
        add_to(sums, member, &seen);
        bytes += strlen(member->name) + strlen(member->node) + strlen(member->cause) + 96;
        if (bytes_max > 0 && bytes > bytes_max) {
            *ret_cut = true;
        } else {
            (void)reeve_value_add(list, member_value(member, &seen)); /* remembered: reeve_value_built() */
        }
    }
    return list;
}

static const char *why_of(const struct pool *pool, const struct sums *sums, char *buf, size_t len)
{
    int64_t desired = pool_desired(pool);
    if (pool->deleting || pool->draining) {
        (void)snprintf(buf, len, "%s, %lld to go", pool->deleting ? "is deleted" : "drains",
                       (long long)(sums->active + sums->leaving));
    } else if (pool_halted(pool)) {
        (void)snprintf(buf, len, "%s", pool->paused || pool->spec.paused ? "paused" : "the fleet is stopped");
    } else if (pool->unplaceable[0] != '\0' && sums->active < desired) {
        (void)snprintf(buf, len, "%lld of %lld have nowhere to go: %s", (long long)(desired - sums->active),
                       (long long)desired, pool->unplaceable);
    } else if (pool->update != UPDATE_NONE) {
        (void)snprintf(buf, len, "version %lld is rolled out%s", (long long)pool->version,
                       pool->update == UPDATE_CANARY ? ", canaries first" : "");
    } else if (sums->ready >= desired) {
        (void)snprintf(buf, len, "%lld of %lld ready", (long long)sums->ready, (long long)desired);
    } else {
        (void)snprintf(buf, len, "%lld of %lld ready, %lld starting, %lld stopped by hand, %lld failed, %lld out of reach",
                       (long long)sums->ready, (long long)desired, (long long)sums->starting, (long long)sums->stopped,
                       (long long)sums->failed, (long long)sums->unavailable);
    }
    return buf;
}

static struct reeve_value *status_value(const struct pool *pool, size_t bytes_max)
{
    struct sums sums = {0};
    bool cut;
    char why[512];
    struct reeve_value *status = reeve_value_map();
    struct reeve_value *members = members_value(pool, &sums, bytes_max, &cut);
    const struct {
        const char *key;
        int64_t number;
    } rows[] = {{"version", pool->version}, {"size", pool_desired(pool)}, {"min", pool->spec.min}, {"max", pool->spec.max},
                {"ready", sums.ready}, {"busy", sums.busy}, {"starting", sums.starting}, {"leaving", sums.leaving},
                {"stopped", sums.stopped}, {"failed", sums.failed}, {"lost", sums.lost}, {"unavailable", sums.unavailable},
                {"acquired", sums.acquired}, {"busy_workers_killed_by_scaling", pool->killed_busy}};
    reeve_put_str(status, "pool", pool->name);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        reeve_put_int(status, rows[i].key, rows[i].number);
    }
    reeve_put_bool(status, "paused", pool->paused || pool->spec.paused);
    reeve_put_bool(status, "draining", pool->draining);
    reeve_put_str(status, "why", why_of(pool, &sums, why, sizeof why));
    (void)reeve_value_put(status, "members", members); /* remembered: reeve_value_built() */
    if (cut) {
        reeve_put_str(status, "left_out", "members");
    }
    struct reeve_value *update = pool_update_value(pool);
    struct reeve_value *scaling = pool_scaling_value(pool);
    if (update != NULL) {
        (void)reeve_value_put(status, "update", update); /* as above */
    }
    if (scaling != NULL) {
        (void)reeve_value_put(status, "scaling", scaling);
    }
    return status;
}

struct reeve_value *pool_status_value(const struct pool *pool)
{
    struct reeve_value *status = status_value(pool, 0);
    reeve_put_int(status, "at", reeve_clock_wall_ms());
    return status;
}

// Seconds tick away in the reason of a decision: that alone is no news.
static uint64_t digest_of(struct reeve_value *status)
{
    REEVE_VALUE_AUTO copy = reeve_value_clone(status);
    struct reeve_value *scaling = reeve_value_get_mut(copy, "scaling");
    if (scaling != NULL) {
        (void)reeve_value_remove(scaling, "reason");
        (void)reeve_value_remove(scaling, "formula");
    }
    return reeve_value_digest(copy);
}

void pool_publish_status(struct pool *pool)
{
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_value *status = status_value(pool, STATUS_MEMBERS_BYTES);
    uint64_t digest = digest_of(status);
    if (digest == pool->published) {
        reeve_value_free(status);
        return;
    }
    pool->published = digest;
    reeve_put_int(status, "at", reeve_clock_wall_ms());
    (void)snprintf(topic, sizeof topic, "pool/%s/status", pool->name); /* a name */
    manager_publish(pool->pools->manager, LEAVING_RECORD, topic, status, 0);
}

void pools_publish(struct pools *pools)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->pools, &it);) {
        struct pool *pool = it.value;
        pool->published = 0;
        publish_spec(pool);
        pool_publish_status(pool);
    }
}

size_t pools_len(const struct pools *pools)
{
    return reeve_map_len(pools->pools);
}

struct reeve_value *pool_of_worker_value(const struct manager *manager, const char *node, const char *worker)
{
    const struct member *member = member_of(manager->pools, node, worker);
    if (member == NULL) {
        return NULL;
    }
    struct seen seen = member_seen(member);
    struct reeve_value *value = member_value(member, &seen);
    reeve_put_str(value, "pool", member->pool->name);
    reeve_put_str_opt(value, "cause", member->cause);
    if (member->pool->spec.partition.self_stop_after_ms > 0) { // it ends by itself without its lease
        reeve_put_int(value, "self_stop_after_ms", member->pool->spec.partition.self_stop_after_ms);
    }
    return value;
}

// ---- applying a spec ----------------------------------------------------------------------------------------------------------

static const struct reeve_value *bare(const struct reeve_value *value)
{
    const struct reeve_value *inner = reeve_value_get(value, "pool");
    return reeve_value_kind(inner) == REEVE_MAP ? inner : value;
}

static enum reeve_err decode(const struct reeve_value *value, const char *name, struct reeve_pool_spec *ret,
                             struct reeve_why *why)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_pool_decode(bare(value), "", ret, errors);
    if (err != REEVE_OK) {
        enum reeve_err told = reeve_errors_result(errors, why);
        err = told != REEVE_OK ? told : err;
    } else if (ret->name != NULL && strcmp(ret->name, name) != 0) {
        err = reeve_fail(why, REEVE_INVALID, "name: the spec says \"%s\", the topic \"%s\"", ret->name, name);
        reeve_pool_done(ret);
    }
    free(errors);
    return err;
}

static struct reeve_value *changed_keys(const struct pool *pool, const struct reeve_pool_spec *spec)
{
    struct reeve_value *list = reeve_value_list();
    struct reeve_value *before = NULL;
    struct reeve_value *after = NULL;
    if (reeve_pool_encode(spec, REEVE_ENCODE_WITH_SECRETS, &after) != REEVE_OK ||
        (pool != NULL && reeve_pool_encode(&pool->spec, REEVE_ENCODE_WITH_SECRETS, &before) != REEVE_OK)) {
        reeve_value_free(after);
        return list;
    }
    for (size_t i = 0; i < reeve_value_len(after); i++) {
        const char *key = reeve_value_key(after, i);
        if (!reeve_value_equal(reeve_value_at(after, i), reeve_value_get(before, key))) {
            (void)reeve_value_add(list, reeve_value_str(key)); /* remembered: reeve_value_built() */
        }
    }
    for (size_t i = 0; i < reeve_value_len(before); i++) {
        const char *key = reeve_value_key(before, i);
        if (reeve_value_get(after, key) == NULL) {
            (void)reeve_value_add(list, reeve_value_str(key));
        }
    }
    reeve_value_free(before);
    reeve_value_free(after);
    return list;
}

static enum reeve_err check_schedules(const struct reeve_pool_spec *spec, struct reeve_why *why)
{
    const struct reeve_records *schedules = &spec->scaling.schedules;
    for (size_t i = 0; i < schedules->len; i++) {
        const struct reeve_pool_schedule *schedule = &((const struct reeve_pool_schedule *)schedules->items)[i];
        struct cron *cron = NULL;
        struct reeve_why inner = {0};
        enum reeve_err err = cron_new(schedule->cron, schedule->time_zone, &cron, &inner);
        if (err != REEVE_OK) {
            return reeve_fail(why, err, "scaling.schedules[%zu]: %s", i, inner.text);
        }
        cron_free(cron);
    }
    return REEVE_OK;
}

static int64_t first_size(const struct reeve_pool_spec *spec)
{
    return within(spec->size >= 0 ? spec->size : spec->min, spec->min, spec->max);
}

static struct pool *create(struct pools *pools, const char *name, const char *origin)
{
    struct pool *pool = pool_new(pools, name);
    if (pool != NULL) {
        (void)snprintf(pool->origin, sizeof pool->origin, "%s", origin); /* cut */
    }
    return pool;
}

// The size that `scale` or the autoscaler gave stays, unless the spec's own changed.
static void take_size(struct pool *pool, const struct reeve_pool_spec *spec, bool created)
{
    if (created || (spec->size >= 0 && spec->size != pool->spec.size)) {
        pool->size = first_size(spec);
    }
    pool->size = within(pool->size, spec->min, spec->max);
}

enum reeve_err pool_apply_spec(struct pools *pools, const struct reeve_value *value, const char *name, const char *origin,
                               const char *by, struct reeve_value *result, bool dry_run, struct reeve_why *why)
{
    struct reeve_pool_spec spec;
    struct pool *pool = pool_find(pools, name);
    enum reeve_err err = decode(value, name, &spec, why);
    err = err == REEVE_OK ? check_schedules(&spec, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    bool created = pool == NULL;
    bool single_changes = !created && pool->spec.partition.single_active != spec.partition.single_active &&
                          reeve_map_len(pool->members) > 0;
    if (single_changes || (!created && pool->deleting)) {
        reeve_pool_done(&spec);
        return reeve_fail(why, REEVE_CONFLICT, single_changes ? "partition.single_active can't be changed while there are workers"
                                                              : "the pool is being deleted");
    }
    bool rolling = !created && reeve_pool_template_digest(&spec) != reeve_pool_template_digest(&pool->spec);
    reeve_put_str(result, "pool", name);
    reeve_put_bool(result, "created", created);
    reeve_put_str(result, "update", rolling ? "rolling" : "none");
    (void)reeve_value_put(result, "changed", changed_keys(pool, &spec)); /* remembered: reeve_value_built() */
    reeve_put_int(result, "version", created ? 1 : rolling ? pool->last_version + 1 : pool->version);
    if (dry_run) {
        (void)reeve_value_put(result, "placement", pool_plan(pools, pool, &spec, rolling)); /* as above */
        reeve_pool_done(&spec);
        return REEVE_OK;
    }
    if (created && (reeve_map_len(pools->pools) >= POOLS_MAX || (pool = create(pools, name, origin)) == NULL)) {
        reeve_pool_done(&spec);
        return reeve_fail(why, REEVE_LIMIT, "%d pools are there, or no memory", POOLS_MAX);
    }
    take_size(pool, &spec, created);
    reeve_pool_done(&pool->spec);
    pool->spec = spec;
    pool->spec_dirty = true;
    pool->place_retry_mono = 0; // other rules may find room at once
    if (created || rolling) {
        pool->version = ++pool->last_version;
        err = pool_version_put(pool, by, false);
        pool_update_begin(pool, pool->version, created ? "created" : "a new template");
    }
    pool_store(pool);
    pool_changed(pool);
    return err;
}

// ---- files of pools_dir ---------------------------------------------------------------------------------------------------------

static bool is_pool_file(const char *name)
{
    static const char *const ends[] = {".yaml", ".yml", ".json"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ends); i++) {
        size_t len = strlen(name);
        size_t end = strlen(ends[i]);
        if (name[0] != '.' && len > end && strcmp(name + len - end, ends[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void apply_file(struct pools *pools, const char *path)
{
    struct reeve_pools loaded = {0};
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL || reeve_pool_load_file(path, &loaded, errors) != REEVE_OK) {
        for (size_t i = 0; errors != NULL && i < errors->len; i++) {
            char text[640];
            reeve_log(REEVE_LOG_ERROR, "pool", "file=\"%s\"", reeve_error_format(errors, i, text, sizeof text));
        }
        free(errors);
        alarm_open(pools->manager, "pool_invalid", "pools", ALARM_ERROR, NULL, "%s has mistakes: nothing of it is applied", path);
        return;
    }
    free(errors);
    for (size_t i = 0; i < loaded.len; i++) {
        struct reeve_value *value = NULL;
        struct reeve_why why = {0};
        REEVE_VALUE_AUTO result = reeve_value_map();
        enum reeve_err err = reeve_pool_encode(&loaded.items[i], REEVE_ENCODE_WITH_SECRETS, &value);
        err = err == REEVE_OK
                  ? pool_apply_spec(pools, value, loaded.items[i].name, "file", path, result, false, &why)
                  : err;
        if (err != REEVE_OK) {
            reeve_log(REEVE_LOG_ERROR, "pool", "file=%s pool=%s error=\"%s\"", path, loaded.items[i].name, why.text);
        }
        reeve_value_free(value);
    }
    reeve_pools_done(&loaded);
}

static void files_settled(struct manager *manager, bool committed, void *arg)
{
    (void)arg;
    manager->pools->files_applied = committed; // undone: again
}

static void apply_files(struct pools *pools)
{
    const char *path = pools->manager->config.manager.pools_dir;
    struct dirent **entries = NULL;
    pools->files_applied = true;
    int len = path != NULL ? scandir(path, &entries, NULL, alphasort) : 0;
    if (len < 0) {
        reeve_log(REEVE_LOG_ERROR, "pool", "pools_dir=%s error=\"can't be read\"", path);
        return;
    }
    for (int i = 0; i < len; i++) {
        char file[4096];
        (void)snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name); /* too long: can't be opened */
        if (is_pool_file(entries[i]->d_name)) {
            apply_file(pools, file);
        }
        free(entries[i]);
    }
    free(entries);
    manager_after_commit(pools->manager, files_settled, NULL);
}

// ---- the tick -------------------------------------------------------------------------------------------------------------------

void pools_tick(struct pools *pools)
{
    pools->due_mono = 0;
    if (!pools->files_applied) {
        apply_files(pools);
    }
    acquisitions_step(pools);
    if (fleet_known(pools->manager->fleet) && !fleet_held(pools->manager->fleet)) {
        members_adopt(pools);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->pools, &it);) {
        struct pool *pool = it.value;
        pool_autoscale(pool);
        if (pool->spec_dirty) {
            publish_spec(pool);
        }
        pool_publish_status(pool);
        pool_reconcile(pool); // last: it may forget the pool
    }
    if (pools->due_mono != 0) {
        reeve_timer_start(&pools->due, pools->due_mono - reeve_clock_mono_ms(), 0);
    }
}

static void due(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    manager_tick_soon(((struct pools *)arg)->manager);
}

static void on_fleet(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                     const struct fleet_worker *worker, void *arg)
{
    struct pools *pools = arg;
    if (change == FLEET_NODE_BEAT) {
        struct fleet_node_info info = fleet_node_info(manager->fleet, node);
        if (info.beat > 0) {
            lease_renew_node(pools, info.name, info.beat);
        }
        return;
    }
    if (change == FLEET_NODE) {
        manager_tick_soon(manager);
        return;
    }
    struct fleet_worker_info info = fleet_worker_info(manager->fleet, worker);
    struct member *member = member_of(pools, info.node, info.name);
    if (member == NULL) {
        return;
    }
    if (change == FLEET_WORKER_GONE && member->state != MEMBER_ACTIVE) {
        member_forget(member);
    } else if (info.state == REEVE_STATE_STOPPED || info.state == REEVE_STATE_CREATED) {
        lease_renew_member(member); // may only wait for its lease; the beat is some seconds away
    }
    manager_tick_soon(manager);
}

enum reeve_err pools_new(struct manager *manager, struct pools **ret, struct reeve_why *why)
{
    struct pools *pools = calloc(1, sizeof *pools);
    if (pools == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    *ret = pools;
    pools->manager = manager;
    reeve_timer_init(manager->loop, &pools->due, due, pools);
    pools->pools = reeve_map_new(POOLS_MAX);
    pools->workers = reeve_map_new(MEMBERS_MAX);
    pools->acquisitions = reeve_map_new(ACQUISITIONS_MAX);
    pools->queues = reeve_map_new(1000);
    pools->strays = reeve_map_new(MEMBERS_MAX);
    if (pools->pools == NULL || pools->workers == NULL || pools->acquisitions == NULL || pools->queues == NULL ||
        pools->strays == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = fleet_listen(manager->fleet, on_fleet, pools);
    return err == REEVE_OK ? scaling_start(pools, why) : reeve_fail(why, err, "too many listeners");
}

static void closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    free(arg);
}

void pools_free(struct pools *pools)
{
    if (pools == NULL) {
        return;
    }
    if (pools->pools != NULL && pools->workers != NULL && pools->acquisitions != NULL) {
        unload(pools);
    }
    reeve_map_free(pools->pools, NULL);
    reeve_map_free(pools->workers, NULL);
    reeve_map_free(pools->acquisitions, NULL);
    reeve_map_free(pools->queues, free);
    reeve_map_free(pools->strays, NULL);
    reeve_timer_close(&pools->due, closed);
}

enum reeve_err pools_replace(struct manager *manager, const char *node, const char *worker, const char *cause,
                             struct reeve_why *why)
{
    struct member *member = member_of(manager->pools, node, worker);
    if (member == NULL) {
        return reeve_fail(why, REEVE_NOENT, "%s/%s belongs to no pool", node, worker);
    }
    member_leave(member, false, cause);
    return REEVE_OK;
}

// ---- ops --------------------------------------------------------------------------------------------------------------------------

struct pool *pool_of_call(struct call *call, struct reeve_why *why)
{
    struct pools *pools = call->manager->pools;
    struct pool *pool = pool_find(pools, call->subject);
    if (pool != NULL) {
        return pool;
    }
    size_t len = 0;
    const char **names = calloc(reeve_map_len(pools->pools) + 1, sizeof *names);
    for (struct reeve_map_iter it = {0}; names != NULL && reeve_map_next(pools->pools, &it);) {
        names[len++] = it.key;
    }
    (void)not_found(why, "pool", call->subject, names); /* the caller returns NOENT */
    free(names);
    return NULL;
}

static enum reeve_err done_with(struct call *call, const struct pool *pool, const char *message)
{
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "pool", pool->name);
    return call_done(call, result, "%s", message);
}

enum reeve_err op_pool_apply_run(struct call *call, struct reeve_why *why)
{
    struct reeve_value *result = reeve_value_map();
    const struct pool *pool = pool_find(call->manager->pools, call->subject);
    int64_t version = reeve_get_int(call->command.expect, "version", -1);
    if (version >= 0 && version != (pool != NULL ? pool->version : 0)) {
        reeve_value_free(result);
        return reeve_fail(why, REEVE_CONFLICT, "expected version %lld, it is %lld", (long long)version,
                          (long long)(pool != NULL ? pool->version : 0));
    }
    enum reeve_err err = pool_apply_spec(call->manager->pools, call->command.args, call->subject, "command",
                                         call->command.issuer, result, call->command.dry_run, why);
    if (err != REEVE_OK) {
        reeve_value_free(result);
        return err;
    }
    return call_done(call, result, call->command.dry_run ? "dry run: nothing was changed" : NULL);
}

struct scale_args {
    char *size; // "5", "+2", "-1"
    int64_t by;
};
static const struct reeve_field scale_fields[] = {
    {.name = "size", .type = REEVE_FIELD_STR, .flags = REEVE_FIELD_SCALAR_OK, .offset = offsetof(struct scale_args, size), .min = 1,
     .max = 8, .doc = "How many workers; `+2` and `-1` are relative."},
    {.name = "by", .type = REEVE_FIELD_INT, .offset = offsetof(struct scale_args, by), .min = -REEVE_POOL_SIZE_MAX,
     .max = REEVE_POOL_SIZE_MAX, .doc = "Relative: 2, -1."},
};
const struct reeve_record op_pool_scale_args = REEVE_RECORD("scale", struct scale_args, scale_fields, "");

static enum reeve_err wanted_size(const struct pool *pool, const struct scale_args *args, int64_t *ret, struct reeve_why *why)
{
    int64_t number = args->by;
    bool relative = args->size == NULL;
    if (args->size == NULL && args->by == 0) {
        return reeve_fail(why, REEVE_INVALID, "args.size is missing, expected a number such as 5, +2 or -1");
    }
    if (args->size != NULL && args->by != 0) {
        return reeve_fail(why, REEVE_INVALID, "args.by: not beside args.size");
    }
    if (args->size != NULL) {
        const char *text = args->size;
        relative = text[0] == '+' || text[0] == '-';
        if (reeve_parse_i64(text[0] == '+' ? text + 1 : text, &number, NULL) != REEVE_OK) {
            char quoted[40];
            return reeve_fail(why, REEVE_INVALID, "args.size: %s is no size, expected a number such as 5, +2 or -1",
                              reeve_log_quote(text, quoted, sizeof quoted));
        }
    }
    *ret = relative ? pool->size + number : number;
    if (*ret < pool->spec.min || *ret > pool->spec.max) {
        return reeve_fail(why, REEVE_INVALID, "args.size: %lld is outside %lld..%lld, the pool's min and max", (long long)*ret,
                          (long long)pool->spec.min, (long long)pool->spec.max);
    }
    return REEVE_OK;
}

enum reeve_err op_pool_scale_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    int64_t size = 0;
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = wanted_size(pool, call->args, &size, why);
    if (err == REEVE_OK && pool->spec.placement.regions.len > 0) {
        err = reeve_fail(why, REEVE_CONFLICT, "the pool has a size per region: change placement.regions with `apply`");
    }
    if (err == REEVE_OK && (pool->draining || pool->deleting)) {
        err = reeve_fail(why, REEVE_CONFLICT, "the pool %s", pool->deleting ? "is being deleted" : "drains; `resume` ends that");
    }
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "pool", pool->name);
    reeve_put_int(result, "from", pool->size);
    reeve_put_int(result, "size", size);
    if (!call->command.dry_run && size != pool->size) {
        struct reeve_value *detail = reeve_value_map();
        reeve_put_int(detail, "from", pool->size);
        reeve_put_int(detail, "size", size);
        reeve_put_str_opt(detail, "by", call->command.issuer);
        pool_event(pool, "scaled", detail, "%lld -> %lld by command", (long long)pool->size, (long long)size);
        pool->size = size;
        pool->place_retry_mono = 0;
        pool_store(pool);
        pool_changed(pool);
    }
    return call_done(call, result, NULL);
}

const struct reeve_record op_pool_pause_args = NO_ARGS("pause");
const struct reeve_record op_pool_resume_args = NO_ARGS("resume");
const struct reeve_record op_pool_drain_args = NO_ARGS("drain");
const struct reeve_record op_pool_describe_args = NO_ARGS("describe");
const struct reeve_record op_pool_explain_args = NO_ARGS("explain");

static enum reeve_err switch_pool(struct call *call, struct pool *pool, bool paused, bool draining, const char *kind)
{
    if (!call->command.dry_run && (pool->paused != paused || pool->draining != draining)) {
        struct reeve_value *detail = reeve_value_map();
        reeve_put_str_opt(detail, "by", call->command.issuer);
        pool->paused = paused;
        pool->draining = draining;
        pool->spec.paused = pool->spec.paused && paused; // `resume` also ends a pause that the spec began with
        pool_event(pool, kind, detail, "by command");
        pool_store(pool);
        pool_changed(pool);
    }
    return done_with(call, pool, kind);
}

enum reeve_err op_pool_pause_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    return pool == NULL ? REEVE_NOENT : switch_pool(call, pool, true, pool->draining, "paused");
}

enum reeve_err op_pool_resume_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    if (pool != NULL && pool->spec.paused) {
        pool->paused = true; // so that the switch is seen as one
    }
    return pool == NULL ? REEVE_NOENT : switch_pool(call, pool, false, false, "resumed");
}

enum reeve_err op_pool_drain_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    return pool == NULL ? REEVE_NOENT : switch_pool(call, pool, pool->paused, true, "draining");
}

enum { WORKERS_STOP, WORKERS_KEEP };
struct delete_args {
    int workers;
};
static const struct reeve_choice delete_choices[] = {{"stop", WORKERS_STOP}, {"keep", WORKERS_KEEP}, {NULL, 0}};
static const struct reeve_field delete_fields[] = {
    {.name = "workers", .type = REEVE_FIELD_CHOICE, .offset = offsetof(struct delete_args, workers), .choices = delete_choices,
     .preset = "stop", .doc = "What becomes of them: each is drained and removed, or they run on as nobody's."}};
const struct reeve_record op_pool_delete_args = REEVE_RECORD("delete", struct delete_args, delete_fields, "");

enum reeve_err op_pool_delete_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    bool keep = ((struct delete_args *)call->args)->workers == WORKERS_KEEP;
    if (keep && pool->spec.partition.single_active) {
        return reeve_fail(why, REEVE_CONFLICT, "args.workers: a single_active worker can't be kept, its lease ends with the pool");
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "pool", pool->name);
    reeve_put_int(result, "workers", (int64_t)reeve_map_len(pool->members));
    if (!call->command.dry_run && (keep || reeve_map_len(pool->members) == 0)) {
        pool_forget(pool);
    } else if (!call->command.dry_run) {
        pool->deleting = true;
        pool->paused = false;
        pool_store(pool);
        pool_changed(pool);
    }
    return call_done(call, result, keep ? "forgotten; its workers run on" : "its workers go, then the pool");
}

enum reeve_err op_pool_describe_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    struct reeve_value *spec = NULL;
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = reeve_pool_encode(&pool->spec, 0, &spec); // secrets masked
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *status = pool_status_value(pool);
    (void)reeve_value_put(result, "spec", spec); /* remembered: reeve_value_built() */
    (void)reeve_value_put(result, "members", reeve_value_clone(reeve_value_get(status, "members")));
    (void)reeve_value_remove(status, "members");
    (void)reeve_value_put(result, "status", status);
    return call_done(call, result, NULL);
}

static struct reeve_value *score_value(const struct place_node *node, const struct place_score *score)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "node", node->name);
    reeve_put_bool(value, "fits", score->fits);
    reeve_put_int(value, "rank", score->rank);
    reeve_put_str(value, "reason", score->reason);
    return value;
}

enum reeve_err op_pool_explain_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    struct place_node *nodes;
    struct place_score *scores;
    size_t len;
    char line[512] = "no node is known";
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    ptrdiff_t chosen = pool_place(pool, NULL, &nodes, &scores, &len);
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        (void)reeve_value_add(list, score_value(&nodes[i], &scores[i])); /* remembered: reeve_value_built() */
    }
    if (len > 0) {
        (void)placement_explain(nodes, scores, len, line, sizeof line);
    }
    reeve_put_str(result, "pool", pool->name);
    reeve_put_str_opt(result, "next", chosen >= 0 ? nodes[chosen].name : NULL);
    reeve_put_str(result, "line", line);
    (void)reeve_value_put(result, "nodes", list);
    free(nodes);
    free(scores);
    return call_done(call, result, NULL);
}
