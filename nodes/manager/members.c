// The members of a pool: what is seen of each, what follows from it, and the orders that make it so.
// Must not: decide how many there should be (reconcile.c), or believe a worker gone before its node says so.
#include "pool_room.h"

#include "health.h"
#include "hold.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS      1000 // doubling to
#define RETRY_MAX_MS  30000
#define ABSENT_MS     3000  // a node that is back tells what it has within this
#define ADOPT_MS      10000 // between looks for workers without a row; seen twice = adopted
#define DRAIN_TRIES   3
#define DRAIN_MS      15000 // for an answer; one that drains for longer is seen to be draining

const char *member_state_text(enum member_state state)
{
    static const char *const texts[] = {
#define X(id, text) [MEMBER_##id] = text,
        MEMBER_STATE_LIST(X)
#undef X
    };
    return texts[state];
}

// ---- rows ---------------------------------------------------------------------------------------------------------

static const char *worker_key(char buf[2 * REEVE_NAME_SIZE], const char *node, const char *worker)
{
    (void)snprintf(buf, 2 * REEVE_NAME_SIZE, "%s/%s", node, worker); /* two names and a slash fit */
    return buf;
}

static const char *row_key(char buf[STORE_KEY_SIZE], const struct member *member)
{
    (void)snprintf(buf, STORE_KEY_SIZE, "%s/%s", member->pool->name, member->name); /* two names fit */
    return buf;
}

struct member *member_new(struct pool *pool, const char *name, const char *node)
{
    char key[2 * REEVE_NAME_SIZE];
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL) {
        return NULL;
    }
    member->pool = pool;
    (void)snprintf(member->name, sizeof member->name, "%s", name); /* names */
    (void)snprintf(member->node, sizeof member->node, "%s", node);
    member->granted_mono = reeve_clock_mono_ms(); // a former manager may have granted until just now
    member->known_since_mono = member->granted_mono;
    if (reeve_map_put(pool->members, name, member, NULL) != REEVE_OK) {
        free(member);
        return NULL;
    }
    if (reeve_map_put(pool->pools->workers, worker_key(key, node, name), member, NULL) != REEVE_OK) {
        (void)reeve_map_remove(pool->members, name); /* is `member` */
        free(member);
        return NULL;
    }
    return member;
}

void member_free(struct member *member)
{
    char key[2 * REEVE_NAME_SIZE];
    struct pools *pools = member->pool->pools;
    (void)reeve_map_remove(pools->workers, worker_key(key, member->node, member->name)); /* is `member` */
    (void)reeve_map_remove(member->pool->members, member->name);
    free(member);
}

void member_store(struct member *member)
{
    char key[STORE_KEY_SIZE];
    REEVE_VALUE_AUTO row = reeve_value_map();
    reeve_put_str(row, "node", member->node);
    reeve_put_str_opt(row, "region", member->region);
    reeve_put_str(row, "state", member_state_text(member->state));
    reeve_put_int(row, "version", member->version);
    reeve_put_int(row, "fence", member->fence);
    reeve_put_int(row, "created_at", member->created_at);
    reeve_put_int(row, "leave_by_at", member->leave_by_at);
    reeve_put_bool(row, "force", member->force);
    reeve_put_bool(row, "failed_update", member->failed_update);
    reeve_put_bool(row, "restart_due", member->restart_due);
    reeve_put_str_opt(row, "cause", member->cause);
    (void)store_put(member->pool->pools->manager->store, STORE_MEMBER, row_key(key, member), row,
                    NULL); /* a failure breaks the turn: the commit tells */
}

void member_forget(struct member *member)
{
    char key[STORE_KEY_SIZE];
    acquisition_end_of(member, "its worker is gone");
    alarm_close(member->pool->pools->manager, "drain_late", member->name);
    (void)store_remove(member->pool->pools->manager->store, STORE_MEMBER, row_key(key, member), NULL); /* as above */
    member_free(member);
}

void member_set_state(struct member *member, enum member_state state, const char *cause)
{
    char quoted[160];
    if (member->state == state) {
        return;
    }
    reeve_log(REEVE_LOG_INFO, "member", "pool=%s worker=%s/%s from=%s to=%s cause=%s", member->pool->name, member->node,
              member->name, member_state_text(member->state), member_state_text(state),
              reeve_log_quote(cause, quoted, sizeof quoted));
    member->state = state;
    member->step = member->step == STEP_APPLY ? STEP_APPLY : STEP_NONE; // what was asked for comes, and is seen first
    member->tries = 0;
    member->retry_mono = 0;
    (void)snprintf(member->cause, sizeof member->cause, "%s", cause); /* cut */
    member_store(member);
    pool_changed(member->pool);
}

void member_leave(struct member *member, bool force, const char *cause)
{
    struct pool *pool = member->pool;
    if (member->state == MEMBER_LEAVING) {
        return;
    }
    member->force = force;
    member->leave_by_at = reeve_clock_wall_ms() + pool->spec.drain.deadline_ms;
    member->leave_by_mono = reeve_clock_mono_ms() + pool->spec.drain.deadline_ms;
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", member->name);
    reeve_put_str(detail, "node", member->node);
    pool_event(pool, "removed", detail, "%s/%s leaves: %s", member->node, member->name, cause);
    member_set_state(member, MEMBER_LEAVING, cause);
}

bool member_counts(const struct member *member)
{
    return member->state == MEMBER_ACTIVE;
}

struct member *member_of(const struct pools *pools, const char *node, const char *worker)
{
    char key[2 * REEVE_NAME_SIZE];
    return reeve_map_get(pools->workers, worker_key(key, node, worker));
}

// ---- seeing -------------------------------------------------------------------------------------------------------

static bool out_of_reach(const struct fleet_worker_info *info)
{
    return info->state == REEVE_STATE_LOST || info->state == REEVE_STATE_UNKNOWN;
}

struct seen member_seen(const struct member *member)
{
    struct manager *manager = member->pool->pools->manager;
    const struct fleet_node *node = fleet_node(manager->fleet, member->node);
    const struct fleet_worker *worker = fleet_worker(manager->fleet, member->node, member->name);
    struct seen seen = {.node_live = node != NULL && fleet_node_info(manager->fleet, node).liveness == REEVE_LIVE};
    if (worker == NULL) {
        seen.reachable = seen.node_live;
        return seen;
    }
    seen.info = fleet_worker_info(manager->fleet, worker);
    const struct fleet_worker_info *info = &seen.info;
    enum health_level health = health_of(manager->health, member->node, member->name);
    seen.known = true;
    seen.supervised = info->supervised;
    seen.reachable = !out_of_reach(info);
    seen.speaks = info->speaks;
    seen.ready = info->state == REEVE_STATE_RUNNING;
    seen.busy = fleet_worker_busy(info);
    seen.unsafe = !info->safe_to_stop;
    seen.failed = info->state == REEVE_STATE_FAILED;
    seen.stopped_by_hand = info->state == REEVE_STATE_STOPPED && info->supervised && !info->wanted;
    seen.healthy = seen.ready && health != HEALTH_UNHEALTHY;
    return seen;
}

// ---- the spec of one worker -----------------------------------------------------------------------------------------

enum reeve_err member_spec(const struct member *member, struct reeve_value **ret, struct reeve_why *why)
{
    const struct pool *pool = member->pool;
    char version[24];
    struct reeve_value *spec = pool_version_template(pool, member->version);
    if (spec == NULL) {
        return reeve_fail(why, REEVE_CORRUPT, "pool %s has no template of version %lld", pool->name, (long long)member->version);
    }
    struct reeve_value *attributes = reeve_value_get_mut(spec, "attributes");
    if (reeve_value_kind(attributes) != REEVE_MAP) {
        (void)reeve_value_put(spec, "attributes", reeve_value_map()); /* remembered: reeve_value_built() */
        attributes = reeve_value_get_mut(spec, "attributes");
    }
    (void)snprintf(version, sizeof version, "%lld", (long long)member->version);
    reeve_put_str(attributes, "pool_version", version); // so that a manager that lost its store knows it again
    reeve_put_str(spec, "name", member->name);
    reeve_put_str(spec, "pool", pool->name);
    if (pool->spec.partition.single_active) {
        char duration[REEVE_UNITS_TEXT_LEN];
        reeve_put_int(spec, "fence", member->fence);
        reeve_put_str(spec, "self_stop_after", reeve_duration_format(pool->spec.partition.self_stop_after_ms, duration));
    }
    if (reeve_value_built(spec) != REEVE_OK) {
        reeve_value_free(spec);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    *ret = spec;
    return REEVE_OK;
}

// ---- orders -------------------------------------------------------------------------------------------------------

static void later(struct member *member)
{
    int64_t delay = RETRY_MS;
    for (int i = 0; i < member->tries && delay < RETRY_MAX_MS; i++) {
        delay *= 2;
    }
    member->tries++;
    member->step = STEP_NONE;
    member->retry_mono = reeve_clock_mono_ms() + (delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS);
}

static bool reply_done(const struct reeve_reply *reply)
{
    return reply != NULL && reply->phase == REEVE_PHASE_DONE;
}

static const char *reply_text(enum reeve_err err, const struct reeve_reply *reply)
{
    return reply == NULL ? reeve_err_text(err) : reply->message != NULL ? reply->message : reeve_phase_text(reply->phase);
}

// Those of the batch that are still where they were when it left.
static void each_of_batch(struct manager *manager, const struct order *order, enum member_step step,
                          void (*fn)(struct member *member, enum reeve_err err, const struct reeve_reply *reply),
                          enum reeve_err err, const struct reeve_reply *reply)
{
    struct pool *pool = pool_find(manager->pools, order->subject);
    for (struct reeve_map_iter it = {0}; pool != NULL && reeve_map_next(pool->members, &it);) {
        struct member *member = it.value;
        if (member->step == step && member->order == order->number) {
            fn(member, err, reply);
        }
    }
    if (pool != NULL) {
        pool_changed(pool);
    }
}

static void applied(struct member *member, enum reeve_err err, const struct reeve_reply *reply)
{
    if (reply_done(reply)) {
        member->step = STEP_NONE;
        // its record is on the way
        member->retry_mono = member->state == MEMBER_ACTIVE ? reeve_clock_mono_ms() + ABSENT_MS : 0;
        member->tries = 0;
        return;
    }
    later(member);
    (void)snprintf(member->cause, sizeof member->cause, "start: %s", reply_text(err, reply)); /* cut */
}

static void apply_ended(struct manager *manager, const struct order *order, enum reeve_err err,
                        const struct reeve_reply *reply)
{
    manager->pools->under_way--;
    if (!reply_done(reply)) {
        reeve_log(REEVE_LOG_WARNING, "pool", "pool=%s node=%s apply=\"%s\" retrying", order->subject, order->node,
                  reply_text(err, reply));
    }
    each_of_batch(manager, order, STEP_APPLY, applied, err, reply);
}

static bool knows_nothing_of(const struct reeve_reply *reply)
{
    return reply != NULL && reeve_str_eq(reply->code, reeve_err_text(REEVE_NOENT));
}

static void removed(struct member *member, enum reeve_err err, const struct reeve_reply *reply)
{
    (void)err;
    if (reply_done(reply)) {
        member_forget(member);
    } else {
        later(member);
    }
}

// A list with an unknown name is refused whole: then one by one, so that the known ones go and the unknown is told.
static void removed_single(struct member *member, enum reeve_err err, const struct reeve_reply *reply)
{
    if (reply_done(reply) || knows_nothing_of(reply)) {
        member_forget(member);
    } else {
        removed(member, err, reply);
    }
}

static void remove_ended(struct manager *manager, const struct order *order, enum reeve_err err,
                         const struct reeve_reply *reply)
{
    manager->pools->under_way--;
    bool single = reeve_value_len(reeve_value_get(order->args, "workers")) == 1;
    each_of_batch(manager, order, STEP_REMOVE, single ? removed_single : removed, err, reply);
}

// No answer: it may be on the way out of reach, and is asked again. A refusal (it has no such op, it drains already) is as
// good as done: what it does is seen, and the deadline decides.
static void drain_ended(struct manager *manager, const struct order *order, enum reeve_err err,
                        const struct reeve_reply *reply)
{
    (void)err;
    manager->pools->under_way--;
    struct pool *pool = pool_find(manager->pools, order->subject);
    struct member *member = pool != NULL ? reeve_map_get(pool->members, order->worker) : NULL;
    if (member == NULL || member->step != STEP_DRAIN || member->order != order->number) {
        return;
    }
    if (reply == NULL) {
        later(member);
    } else {
        member->step = STEP_NONE;
        member->drained = true;
    }
    pool_changed(pool);
}

struct batch { // of one pool and node
    struct pool *pool;
    const char *node;
    enum member_step step;
    struct member *members[BATCH_MAX];
    size_t len;
};

static struct reeve_value *batch_args(struct batch *batch)
{
    struct reeve_value *args = reeve_value_map();
    struct reeve_value *workers = reeve_value_list();
    for (size_t i = 0; i < batch->len; i++) {
        struct reeve_value *item = NULL;
        struct reeve_why why = {0};
        if (batch->step == STEP_REMOVE) {
            item = reeve_value_str(batch->members[i]->name);
        } else if (member_spec(batch->members[i], &item, &why) != REEVE_OK) {
            reeve_log(REEVE_LOG_ERROR, "pool", "pool=%s spec=\"%s\"", batch->pool->name, why.text);
        }
        (void)reeve_value_add(workers, item); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(args, "workers", workers); /* remembered: reeve_value_built() */
    return args;
}

static void send_batch(struct batch *batch)
{
    struct pools *pools = batch->pool->pools;
    if (batch->len == 0) {
        return;
    }
    struct order order = {.op = batch->step == STEP_APPLY ? "apply" : "remove",
                          .args = batch_args(batch),
                          .number = ++pools->orders,
                          .end = batch->step == STEP_APPLY ? apply_ended : remove_ended,
                          .timeout_ms = batch->step == STEP_APPLY ? 60000 : 120000};
    (void)snprintf(order.node, sizeof order.node, "%s", batch->node); /* names */
    (void)snprintf(order.subject, sizeof order.subject, "%s", batch->pool->name);
    bool sent = reeve_value_built(order.args) == REEVE_OK && order_send(pools->manager, &order, NULL) == REEVE_OK;
    pools->under_way += sent ? 1 : 0;
    for (size_t i = 0; i < batch->len; i++) {
        struct member *member = batch->members[i];
        member->step = sent ? batch->step : STEP_NONE;
        member->order = order.number;
        if (!sent) {
            later(member);
        }
    }
    batch->len = 0;
}

static void send_drain(struct member *member)
{
    struct pools *pools = member->pool->pools;
    struct order order = {.op = "drain", .number = ++pools->orders, .end = drain_ended,
                          .timeout_ms = DRAIN_MS};
    (void)snprintf(order.node, sizeof order.node, "%s", member->node); /* names */
    (void)snprintf(order.worker, sizeof order.worker, "%s", member->name);
    (void)snprintf(order.subject, sizeof order.subject, "%s", member->pool->name);
    if (order_send(pools->manager, &order, NULL) != REEVE_OK) {
        later(member);
        return;
    }
    pools->under_way++;
    member->step = STEP_DRAIN;
    member->order = order.number;
}

// ---- one member at a time -------------------------------------------------------------------------------------------

// Out of reach for lost_after: replaced. A manager that was cut off itself concludes nothing.
static void look_for_loss(struct member *member, const struct seen *seen, int64_t now)
{
    const struct reeve_pool_partition *partition = &member->pool->spec.partition;
    if (seen->reachable) {
        member->away_since_mono = 0;
        return;
    }
    if (member->away_since_mono == 0) {
        member->away_since_mono = now;
    }
    int64_t lost_mono = member->away_since_mono + partition->lost_after_ms;
    if (now < lost_mono) {
        struct pools *pools = member->pool->pools;
        pools->due_mono = pools->due_mono == 0 || lost_mono < pools->due_mono ? lost_mono : pools->due_mono;
        return;
    }
    if (seen->node_live && seen->supervised) { // it runs and does not speak: its node can end it
        member_leave(member, true, "it runs but does not speak");
        return;
    }
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", member->name);
    reeve_put_str(detail, "node", member->node);
    pool_event(member->pool, "lost", detail, "%s/%s was out of reach for %lld s", member->node, member->name,
               (long long)(partition->lost_after_ms / 1000));
    member_set_state(member, MEMBER_LOST, "out of reach");
}

static void look_for_return(struct member *member, const struct seen *seen, int64_t now)
{
    struct pool *pool = member->pool;
    bool returned_goes = pool->spec.partition.single_active || pool->spec.partition.reconcile == REEVE_RECONCILE_RETURNED;
    if (!seen->node_live) {
        return;
    }
    if (seen->supervised && seen->reachable) {
        struct reeve_value *detail = reeve_value_map();
        reeve_put_str(detail, "worker", member->name);
        reeve_put_str(detail, "node", member->node);
        pool_event(pool, "returned", detail, "%s/%s is back", member->node, member->name);
        member->away_since_mono = 0;
        if (returned_goes) {
            member_leave(member, pool->spec.partition.single_active, "it was replaced while it was away");
        } else {
            member_set_state(member, MEMBER_ACTIVE, "back");
        }
    } else if (!seen->supervised && now - member->node_live_since_mono > ABSENT_MS) {
        member_leave(member, true, "its node is back without it"); // `remove` there settles it
    } else if (seen->supervised && now - member->node_live_since_mono > pool->spec.partition.lost_after_ms) {
        member_leave(member, true, "it is back, and does not speak");
    }
}

// Whether the time has come to take it away; counts when somebody's work is cut short.
static bool may_remove(struct member *member, const struct seen *seen)
{
    struct pool *pool = member->pool;
    bool held = member->lease_id[0] != '\0';
    bool in_the_way = seen->ready && seen->speaks && (seen->busy || seen->unsafe);
    if (member->force || !(in_the_way || held)) {
        return true;
    }
    bool late = reeve_clock_mono_ms() >= member->leave_by_mono; // a wall clock that jumps must not cut work short
    if (!late || pool->spec.drain.then == REEVE_POOL_WAIT) {
        if (late && !alarm_is_open(pool->pools->manager, "drain_late", member->name)) {
            alarm_open(pool->pools->manager, "drain_late", member->name, ALARM_WARNING, NULL,
                       "pool %s waits for %s/%s: %s", pool->name, member->node, member->name,
                       seen->unsafe ? "not safe to stop" : seen->busy ? "busy" : "acquired");
        }
        return false;
    }
    pool->killed_busy += seen->busy ? 1 : 0;
    member->force = true; // counted once
    pool_store(pool);
    return true;
}

// Drains first: from then on it takes no work, so what is seen idle stays idle. Also one that has not said anything in this
// run yet: it may be about to. Who does not answer at all is not waited for for ever.
static bool drains_first(struct member *member, const struct seen *seen)
{
    bool heard = member->drained && member->drain_run == seen->info.run;
    bool deaf = !heard && member->tries >= DRAIN_TRIES;
    if (member->force || !seen->ready || !seen->speaks || heard || deaf ||
        seen->info.availability == REEVE_AVAILABILITY_DRAINING) {
        return false;
    }
    member->drained = false;
    member->drain_run = seen->info.run;
    send_drain(member);
    return true;
}

struct stepping { // one pass over a pool
    struct pool *pool;
    struct batch apply, remove;
    int64_t now;
};

static void into_batch(struct batch *batch, struct member *member)
{
    if (batch->len == BATCH_MAX || (batch->len > 0 && strcmp(batch->node, member->node) != 0)) {
        send_batch(batch);
    }
    batch->node = member->node;
    batch->members[batch->len++] = member;
}

static void step_leaving(struct stepping *stepping, struct member *member, const struct seen *seen)
{
    if (!seen->node_live || member->step != STEP_NONE || stepping->now < member->retry_mono) {
        return;
    }
    bool held = member->lease_id[0] != '\0' && !member->force; // whoever acquired it goes on with it until the lease ends
    if (held && reeve_clock_mono_ms() < member->leave_by_mono) {
        return;
    }
    if (drains_first(member, seen) || !may_remove(member, seen)) {
        return;
    }
    alarm_close(stepping->pool->pools->manager, "drain_late", member->name);
    if (member->tries > 0) { // a list was refused before: alone
        send_batch(&stepping->remove);
        into_batch(&stepping->remove, member);
        send_batch(&stepping->remove);
    } else {
        into_batch(&stepping->remove, member);
    }
}

static void step_active(struct stepping *stepping, struct member *member, const struct seen *seen)
{
    look_for_loss(member, seen, stepping->now);
    bool absent = seen->node_live && !seen->supervised;
    if (member->state == MEMBER_ACTIVE && absent && member->step == STEP_NONE && stepping->now >= member->retry_mono &&
        !pool_halted(stepping->pool)) {
        into_batch(&stepping->apply, member);
    }
}

static void step(struct stepping *stepping, struct member *member)
{
    struct seen seen = member_seen(member);
    if (!seen.node_live) {
        member->node_live_since_mono = 0;
    } else if (member->node_live_since_mono == 0) {
        member->node_live_since_mono = stepping->now;
    }
    if (member->state == MEMBER_ACTIVE) {
        step_active(stepping, member, &seen);
    } else if (member->state == MEMBER_LOST) {
        look_for_return(member, &seen, stepping->now);
    }
    if (member->state == MEMBER_LEAVING) {
        step_leaving(stepping, member, &seen);
    }
}

static int by_node(const void *a, const void *b)
{
    const struct member *const *left = a;
    const struct member *const *right = b;
    int order = strcmp((*left)->node, (*right)->node);
    return order != 0 ? order : strcmp((*left)->name, (*right)->name);
}

void members_step(struct pool *pool)
{
    size_t len = 0;
    struct member **members = calloc(reeve_map_len(pool->members) + 1, sizeof *members);
    struct stepping *stepping = calloc(1, sizeof *stepping);
    if (members == NULL || stepping == NULL) {
        free(members);
        free(stepping);
        return; // the next tick looks again
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        members[len++] = it.value;
    }
    qsort(members, len, sizeof *members, by_node); // so that a batch is about one node
    *stepping = (struct stepping){.pool = pool,
                                  .apply = {.pool = pool, .step = STEP_APPLY},
                                  .remove = {.pool = pool, .step = STEP_REMOVE},
                                  .now = reeve_clock_mono_ms()};
    for (size_t i = 0; i < len && pool->pools->under_way < ORDERS_AT_ONCE; i++) {
        step(stepping, members[i]);
    }
    send_batch(&stepping->apply);
    send_batch(&stepping->remove);
    free(members);
    free(stepping);
}

// ---- workers without a row ------------------------------------------------------------------------------------------

struct adopting {
    struct pools *pools;
    int64_t now;
};

static int64_t version_of(struct manager *manager, const struct fleet_worker *worker)
{
    char buf[128];
    int64_t version = 0;
    const char *text = fleet_worker_attribute(worker, "pool_version", 0, buf);
    (void)manager;
    return text != NULL && reeve_parse_i64(text, &version, NULL) == REEVE_OK ? version : 0;
}

static void adopt(struct pool *pool, const struct fleet_worker *worker, const struct fleet_worker_info *info)
{
    struct member *member = member_new(pool, info->name, info->node);
    if (member == NULL) {
        return;
    }
    member->version = version_of(pool->pools->manager, worker);
    member->fence = info->fence;
    member->created_at = reeve_clock_wall_ms();
    pool->fence = info->fence > pool->fence ? info->fence : pool->fence;
    member_store(member);
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", info->name);
    reeve_put_str(detail, "node", info->node);
    pool_event(pool, "adopted", detail, "%s/%s says that it is of this pool", info->node, info->name);
    if (pool->spec.partition.single_active && reeve_map_len(pool->members) > 1) {
        member_leave(member, true, "the pool has one already");
    }
}

static bool look_for_stray(const struct fleet_worker *worker, void *arg)
{
    struct adopting *adopting = arg;
    struct pools *pools = adopting->pools;
    char key[2 * REEVE_NAME_SIZE];
    struct fleet_worker_info info = fleet_worker_info(pools->manager->fleet, worker);
    struct pool *pool = info.pool != NULL && info.supervised ? pool_find(pools, info.pool) : NULL;
    if (pool == NULL || pool->deleting || member_of(pools, info.node, info.name) != NULL) {
        return true;
    }
    (void)worker_key(key, info.node, info.name);
    if (reeve_map_get(pools->strays, key) != NULL) {
        adopt(pool, worker, &info);
    } else {
        (void)reeve_map_put(pools->strays, key, pools, NULL); /* full or out of memory: a later look */
    }
    return true;
}

// A record of a worker that was just removed may still be on its way: only who is seen twice is one without a row.
void members_adopt(struct pools *pools)
{
    int64_t now = reeve_clock_mono_ms();
    if (pools->adopted_mono != 0 && now - pools->adopted_mono < ADOPT_MS) {
        return;
    }
    pools->adopted_mono = now;
    struct adopting adopting = {.pools = pools, .now = now};
    bool second = reeve_map_len(pools->strays) > 0;
    fleet_each_worker(pools->manager->fleet, look_for_stray, &adopting);
    if (second) {
        struct reeve_map *fresh = reeve_map_new(MEMBERS_MAX);
        if (fresh != NULL) {
            reeve_map_free(pools->strays, NULL);
            pools->strays = fresh;
        }
    }
}
