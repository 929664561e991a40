// Acquisitions: a pool's worker for exclusive use, under a lease that ends when it runs out, is released, or its holder dies.
// Must not: tell a worker anything; who holds it talks to it.
#include "pool_room.h"

#include "health.h"
#include "hold.h"

#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_MS      (10LL * 60 * 1000)
#define RESTART_RETRY_MS 1000

void acquisition_free(void *acquisition)
{
    free(acquisition);
}

static const char *row_key(char buf[STORE_KEY_SIZE], const struct acquisition *acquisition)
{
    (void)snprintf(buf, STORE_KEY_SIZE, "%s/%s", acquisition->pool, acquisition->lease_id); /* fits */
    return buf;
}

static void store_acquisition(struct pools *pools, const struct acquisition *acquisition)
{
    char key[STORE_KEY_SIZE];
    REEVE_VALUE_AUTO row = reeve_value_map();
    reeve_put_str(row, "worker", acquisition->worker);
    reeve_put_str(row, "node", acquisition->node);
    reeve_put_str(row, "holder", acquisition->holder);
    reeve_put_int(row, "lease_ms", acquisition->lease_ms);
    reeve_put_int(row, "until_at", acquisition->until_at);
    reeve_put_int(row, "fence", acquisition->fence);
    reeve_put_bool(row, "holder_seen", acquisition->holder_seen);
    (void)store_put(pools->manager->store, STORE_ACQUISITION, row_key(key, acquisition), row, NULL); /* the commit tells */
}

static struct member *member_held(const struct pools *pools, const struct acquisition *acquisition)
{
    struct member *member = member_of(pools, acquisition->node, acquisition->worker);
    return member != NULL && strcmp(member->lease_id, acquisition->lease_id) == 0 ? member : NULL;
}

// ---- the end of one ---------------------------------------------------------------------------------------------------

static void restart_ended(struct manager *manager, const struct order *order, enum reeve_err err,
                          const struct reeve_reply *reply)
{
    (void)err;
    struct pool *pool = pool_find(manager->pools, order->subject);
    struct member *member = pool != NULL ? reeve_map_get(pool->members, order->worker) : NULL;
    if (member == NULL || !member->restart_due || strcmp(member->node, order->node) != 0) {
        return;
    }
    member->restart_mono = reeve_clock_mono_ms() + RESTART_RETRY_MS;
    if (reply != NULL && reply->phase == REEVE_PHASE_DONE) {
        member->restart_due = false;
        member_store(member);
    } else if (reply != NULL) {
        member_leave(member, true, "it could not be restarted after its release"); // never reused as it is
    } // no answer: asked again
    pool_changed(pool);
}

// By level: what is due is stored, so that a manager that dies meanwhile asks again.
static void restart_released(struct pools *pools)
{
    int64_t now = reeve_clock_mono_ms();
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->workers, &it);) {
        struct member *member = it.value;
        if (!member->restart_due || member->state != MEMBER_ACTIVE || now < member->restart_mono || pool_halted(member->pool)) {
            continue;
        }
        struct order order = {.op = "restart", .end = restart_ended};
        (void)snprintf(order.node, sizeof order.node, "%s", member->node); /* names */
        (void)snprintf(order.worker, sizeof order.worker, "%s", member->name);
        (void)snprintf(order.subject, sizeof order.subject, "%s", member->pool->name);
        bool sent = order_send(pools->manager, &order, NULL) == REEVE_OK;
        member->restart_mono = sent ? INT64_MAX : now + RESTART_RETRY_MS;
    }
}

static void after_release(struct member *member)
{
    member->lease_id[0] = '\0';
    if (member->pool->spec.acquire.on_release == REEVE_RELEASE_RESTART) {
        member->restart_due = true;
        member->restart_mono = 0;
        member_store(member);
    } else if (member->pool->spec.acquire.on_release == REEVE_RELEASE_REPLACE) {
        member_leave(member, false, "it was released");
    }
}

static void end_acquisition(struct pools *pools, struct acquisition *acquisition, const char *kind, const char *cause)
{
    char key[STORE_KEY_SIZE];
    struct pool *pool = pool_find(pools, acquisition->pool);
    struct member *member = member_held(pools, acquisition);
    (void)store_remove(pools->manager->store, STORE_ACQUISITION, row_key(key, acquisition), NULL); /* the commit tells */
    if (pool != NULL) {
        struct reeve_value *detail = reeve_value_map();
        reeve_put_str(detail, "lease_id", acquisition->lease_id);
        reeve_put_str(detail, "worker", acquisition->worker);
        reeve_put_str(detail, "node", acquisition->node);
        reeve_put_str(detail, "holder", acquisition->holder);
        pool_event(pool, kind, detail, "%s/%s: %s", acquisition->node, acquisition->worker, cause);
        pool_changed(pool);
    }
    if (member != NULL) {
        after_release(member);
    }
    (void)reeve_map_remove(pools->acquisitions, acquisition->lease_id); /* is `acquisition` */
    free(acquisition);
}

void acquisition_end_of(struct member *member, const char *cause)
{
    struct pools *pools = member->pool->pools;
    struct acquisition *acquisition =
        member->lease_id[0] != '\0' ? reeve_map_get(pools->acquisitions, member->lease_id) : NULL;
    member->lease_id[0] = '\0'; // it goes: nothing is done to it on release
    if (acquisition != NULL) {
        end_acquisition(pools, acquisition, "lease_ended", cause);
    }
}

// ---- the holder ---------------------------------------------------------------------------------------------------------

// A holder with presence is "node/worker": its death ends the lease. Seen alive first, since it may be just starting.
static bool holder_died(struct pools *pools, struct acquisition *acquisition)
{
    char node[REEVE_NAME_SIZE];
    const char *slash = strchr(acquisition->holder, '/');
    const struct fleet *fleet = pools->manager->fleet;
    if (slash == NULL || !fleet_known(fleet) || fleet_held(fleet) || slash - acquisition->holder >= REEVE_NAME_SIZE) {
        return false;
    }
    (void)snprintf(node, sizeof node, "%.*s", (int)(slash - acquisition->holder), acquisition->holder);
    const struct fleet_worker *worker = fleet_worker(fleet, node, slash + 1);
    bool live = false;
    if (worker != NULL) {
        struct fleet_worker_info info = fleet_worker_info(fleet, worker);
        live = fleet_worker_live(&info) && info.state != REEVE_STATE_LOST;
    }
    if (live && !acquisition->holder_seen) {
        acquisition->holder_seen = true;
        store_acquisition(pools, acquisition);
    }
    return !live && acquisition->holder_seen;
}

// ---- giving -------------------------------------------------------------------------------------------------------------

static bool free_to_take(const struct pools *pools, struct member *member)
{
    struct seen seen = member_seen(member);
    bool idle = !seen.speaks || seen.info.availability == REEVE_AVAILABILITY_IDLE;
    return member_counts(member) && member->lease_id[0] == '\0' && !member->restart_due && seen.reachable && seen.healthy &&
           idle && !seen.busy && !pool_outdated(member) && hold_takes_work(pools->manager->holds, member->node, member->name);
}

static struct member *find_free(struct pool *pool)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        if (free_to_take(pool->pools, it.value)) {
            return it.value;
        }
    }
    return NULL;
}

struct acquire_args {
    char *holder;
    int64_t lease_ms, wait_ms;
};
static const struct reeve_field acquire_fields[] = {
    {.name = "holder", .type = REEVE_FIELD_STR, .offset = offsetof(struct acquire_args, holder), .min = 1, .max = 127,
     .doc = "Who uses it: `node/worker` (its death ends the lease) or any name. Preset: the command's issuer."},
    {.name = "lease", .type = REEVE_FIELD_DURATION, .offset = offsetof(struct acquire_args, lease_ms),
     .doc = "How long, if it is not renewed; preset by the pool."},
    {.name = "wait", .type = REEVE_FIELD_DURATION, .offset = offsetof(struct acquire_args, wait_ms), .min = 0,
     .max = WAIT_MAX_MS, .doc = "How long to wait for one that is free; preset: not at all."},
};
const struct reeve_record op_pool_acquire_args = REEVE_RECORD("acquire", struct acquire_args, acquire_fields, "");

static struct reeve_value *acquisition_value(const struct acquisition *acquisition)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "lease_id", acquisition->lease_id);
    reeve_put_str(value, "pool", acquisition->pool);
    reeve_put_str(value, "worker", acquisition->worker);
    reeve_put_str(value, "node", acquisition->node);
    reeve_put_str(value, "holder", acquisition->holder);
    reeve_put_int(value, "until", acquisition->until_at);
    reeve_put_int(value, "fence", acquisition->fence);
    return value;
}

static enum reeve_err lease_length(const struct pool *pool, int64_t asked_ms, int64_t *ret, struct reeve_why *why)
{
    char max[REEVE_UNITS_TEXT_LEN];
    *ret = asked_ms > 0 ? asked_ms : pool->spec.acquire.lease_ms;
    if (*ret > pool->spec.acquire.lease_max_ms) {
        return reeve_fail(why, REEVE_INVALID, "args.lease is longer than %s, the pool's lease_max",
                          reeve_duration_format(pool->spec.acquire.lease_max_ms, max));
    }
    return REEVE_OK;
}

static struct acquisition *give(struct pool *pool, struct member *member, const char *holder, int64_t lease_ms)
{
    struct pools *pools = pool->pools;
    struct acquisition *acquisition = calloc(1, sizeof *acquisition);
    if (acquisition == NULL) {
        return NULL;
    }
    (void)reeve_ulid_new(acquisition->lease_id);
    if (reeve_map_put(pools->acquisitions, acquisition->lease_id, acquisition, NULL) != REEVE_OK) {
        free(acquisition);
        return NULL;
    }
    (void)snprintf(acquisition->pool, sizeof acquisition->pool, "%s", pool->name); /* names */
    (void)snprintf(acquisition->worker, sizeof acquisition->worker, "%s", member->name);
    (void)snprintf(acquisition->node, sizeof acquisition->node, "%s", member->node);
    (void)snprintf(acquisition->holder, sizeof acquisition->holder, "%s", holder); /* bounded by its field */
    (void)snprintf(member->lease_id, sizeof member->lease_id, "%s", acquisition->lease_id); /* same size */
    acquisition->lease_ms = lease_ms;
    acquisition->until_at = reeve_clock_wall_ms() + lease_ms;
    acquisition->until_mono = reeve_clock_mono_ms() + lease_ms;
    acquisition->fence = ++pool->fence;
    pool_store(pool);
    store_acquisition(pools, acquisition);
    struct reeve_value *detail = acquisition_value(acquisition);
    pool_event(pool, "acquired", detail, "%s/%s by %s", member->node, member->name, acquisition->holder);
    pool_changed(pool);
    return acquisition;
}

static const char *holder_of(const struct call *call)
{
    const struct acquire_args *args = call->args;
    return args->holder != NULL ? args->holder : call->command.issuer != NULL ? call->command.issuer : "anybody";
}

// OK with the call finished; NOENT: nobody is free now.
static enum reeve_err try_acquire(struct call *call, struct pool *pool, int64_t lease_ms)
{
    struct member *member = find_free(pool);
    if (member == NULL) {
        return REEVE_NOENT;
    }
    struct acquisition *acquisition = give(pool, member, holder_of(call), lease_ms);
    if (acquisition == NULL) {
        return call_fail(call, REEVE_LIMIT, NULL, "%d leases are out, or no memory", ACQUISITIONS_MAX);
    }
    return call_done(call, acquisition_value(acquisition), NULL);
}

enum reeve_err op_pool_acquire_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    const struct acquire_args *args = call->args;
    int64_t lease_ms;
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = lease_length(pool, args->lease_ms, &lease_ms, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (call->command.dry_run) {
        struct member *member = find_free(pool);
        struct reeve_value *result = reeve_value_map();
        reeve_put_str_opt(result, "worker", member != NULL ? member->name : NULL);
        reeve_put_str_opt(result, "node", member != NULL ? member->node : NULL);
        return call_done(call, result, member != NULL ? NULL : "nobody is free now");
    }
    err = try_acquire(call, pool, lease_ms);
    if (err != REEVE_NOENT) {
        return err;
    }
    if (args->wait_ms <= 0) {
        return reeve_fail(why, REEVE_CONFLICT, "no worker of pool %s is idle and free; `wait` waits for one", pool->name);
    }
    return call_keep(call, NULL, NULL);
}

static void serve_waiting(struct pools *pools)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->manager->calls, &it);) {
        struct call *call = it.value;
        if (call->finished || !call->kept || call->op->run != op_pool_acquire_run) {
            continue;
        }
        struct pool *pool = pool_find(pools, call->subject);
        const struct acquire_args *args = call->args;
        int64_t lease_ms = 0;
        if (pool == NULL || lease_length(pool, args->lease_ms, &lease_ms, NULL) != REEVE_OK) {
            (void)call_fail(call, REEVE_NOENT, NULL, "pool %s is gone", call->subject); /* always OK */
        } else if (try_acquire(call, pool, lease_ms) == REEVE_NOENT &&
                   reeve_clock_mono_ms() - call->began_mono >= args->wait_ms) {
            (void)call_fail(call, REEVE_TIMEOUT, NULL, "no worker of pool %s became free in time", pool->name); /* always OK */
        }
    }
}

void acquisitions_step(struct pools *pools)
{
    int64_t now = reeve_clock_mono_ms();
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->acquisitions, &it);) {
        struct acquisition *acquisition = it.value;
        if (now >= acquisition->until_mono) {
            end_acquisition(pools, acquisition, "lease_expired", "its lease ran out");
        } else if (holder_died(pools, acquisition)) {
            end_acquisition(pools, acquisition, "lease_ended", "its holder died");
        }
    }
    restart_released(pools);
    serve_waiting(pools);
}

// ---- renewing, releasing --------------------------------------------------------------------------------------------------

struct lease_args {
    char *lease_id;
    int64_t lease_ms;
};
static const struct reeve_field renew_fields[] = {
    {.name = "lease_id", .type = REEVE_FIELD_STR, .flags = REEVE_FIELD_REQUIRED, .offset = offsetof(struct lease_args, lease_id),
     .min = 1, .max = 64, .doc = "As `acquire` gave it."},
    {.name = "lease", .type = REEVE_FIELD_DURATION, .offset = offsetof(struct lease_args, lease_ms),
     .doc = "How long from now; preset: as before."},
};
static const struct reeve_field release_fields[] = {
    {.name = "lease_id", .type = REEVE_FIELD_STR, .flags = REEVE_FIELD_REQUIRED, .offset = offsetof(struct lease_args, lease_id),
     .min = 1, .max = 64, .doc = "As `acquire` gave it."},
};
const struct reeve_record op_pool_renew_args = REEVE_RECORD("renew", struct lease_args, renew_fields, "");
const struct reeve_record op_pool_release_args = REEVE_RECORD("release", struct lease_args, release_fields, "");

static struct acquisition *of_call(struct call *call, struct pool **ret_pool, struct reeve_why *why)
{
    const struct lease_args *args = call->args;
    *ret_pool = pool_of_call(call, why);
    if (*ret_pool == NULL) {
        return NULL;
    }
    struct acquisition *acquisition = reeve_map_get(call->manager->pools->acquisitions, args->lease_id);
    if (acquisition == NULL || strcmp(acquisition->pool, call->subject) != 0) {
        (void)reeve_fail(why, REEVE_NOENT, "pool %s has no lease %s: it ran out, was released, or never was", call->subject,
                         args->lease_id);
        return NULL;
    }
    return acquisition;
}

enum reeve_err op_pool_renew_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool;
    struct acquisition *acquisition = of_call(call, &pool, why);
    int64_t lease_ms = acquisition != NULL ? acquisition->lease_ms : 0;
    const struct lease_args *args = call->args;
    if (acquisition == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = lease_length(pool, args->lease_ms > 0 ? args->lease_ms : lease_ms, &lease_ms, why);
    if (err == REEVE_OK && !call->command.dry_run) {
        acquisition->lease_ms = lease_ms;
        acquisition->until_at = reeve_clock_wall_ms() + lease_ms;
        acquisition->until_mono = reeve_clock_mono_ms() + lease_ms;
        store_acquisition(call->manager->pools, acquisition);
    }
    return err == REEVE_OK ? call_done(call, acquisition_value(acquisition), NULL) : err;
}

enum reeve_err op_pool_release_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool;
    struct acquisition *acquisition = of_call(call, &pool, why);
    if (acquisition == NULL) {
        return REEVE_NOENT;
    }
    struct reeve_value *result = acquisition_value(acquisition);
    if (!call->command.dry_run) {
        end_acquisition(call->manager->pools, acquisition, "released", "released by its holder");
    }
    return call_done(call, result, NULL);
}

// ---- loading --------------------------------------------------------------------------------------------------------------

static void load_one(const char *key, const struct reeve_value *row, void *arg)
{
    struct pools *pools = arg;
    const char *slash = strchr(key, '/');
    struct acquisition *acquisition = slash != NULL ? calloc(1, sizeof *acquisition) : NULL;
    if (acquisition == NULL) {
        return;
    }
    const char *worker = reeve_get_str(row, "worker");
    const char *node = reeve_get_str(row, "node");
    const char *holder = reeve_get_str(row, "holder");
    (void)snprintf(acquisition->pool, sizeof acquisition->pool, "%.*s", (int)(slash - key), key);
    (void)snprintf(acquisition->lease_id, sizeof acquisition->lease_id, "%s", slash + 1);
    (void)snprintf(acquisition->worker, sizeof acquisition->worker, "%s", worker != NULL ? worker : "");
    (void)snprintf(acquisition->node, sizeof acquisition->node, "%s", node != NULL ? node : "");
    (void)snprintf(acquisition->holder, sizeof acquisition->holder, "%s", holder != NULL ? holder : "");
    acquisition->lease_ms = reeve_get_int(row, "lease_ms", 0);
    acquisition->until_at = reeve_get_int(row, "until_at", 0);
    acquisition->fence = reeve_get_int(row, "fence", 0);
    acquisition->holder_seen = reeve_get_bool(row, "holder_seen", false);
    int64_t left = acquisition->until_at - reeve_clock_wall_ms();
    left = left < acquisition->lease_ms ? left : acquisition->lease_ms; // a clock that was set back prolongs nothing
    acquisition->until_mono = reeve_clock_mono_ms() + (left > 0 ? left : 0);
    if (reeve_map_put(pools->acquisitions, acquisition->lease_id, acquisition, NULL) != REEVE_OK) {
        free(acquisition);
        return;
    }
    struct member *member = member_of(pools, acquisition->node, acquisition->worker);
    if (member != NULL) {
        (void)snprintf(member->lease_id, sizeof member->lease_id, "%s", acquisition->lease_id); /* same size */
    }
}

enum reeve_err acquisitions_load(struct pools *pools, struct reeve_why *why)
{
    return store_each(pools->manager->store, STORE_ACQUISITION, "", load_one, pools, why);
}
