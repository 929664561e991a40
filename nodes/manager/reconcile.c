// From what a pool should be and what it is to members: places what is missing, lets go what is too much. By level: the same
// question again and again, so that a crash anywhere only means that it is asked once more.
// Must not: send anything itself (members.c does), or conclude anything from absence while the fleet is not known.
#include "pool_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CREATE_MAX     200  // members placed in one pass
#define PLACE_RETRY_MS 5000 // after nowhere was room

// ---- the nodes as placement sees them ---------------------------------------------------------------------------------

struct gathering {
    const struct pools *pools;
    const struct pool *pool; // NULL: one that is only planned
    const struct reeve_pool_spec *spec;
    struct place_node *nodes;
    size_t len;
};

static bool gather_node(const struct fleet_node *node, void *arg)
{
    struct gathering *in = arg;
    const struct fleet *fleet = in->pools->manager->fleet;
    struct fleet_node_info info = fleet_node_info(fleet, node);
    struct place_node *place = &in->nodes[in->len++];
    *place = (struct place_node){.name = info.name,
                                 .region = info.region,
                                 .live = info.liveness == REEVE_LIVE,
                                 .draining = info.draining,
                                 .cpus = info.cpus,
                                 .memory_bytes = info.memory_bytes,
                                 .workers_max = info.workers_max,
                                 .workers = info.workers_total,
                                 .round_trip_ms = -1,
                                 .attribute = fleet_node_attribute,
                                 .thing = node};
    if (in->spec->placement.near != NULL) {
        place->round_trip_ms = fleet_round_trip_ms(fleet, node, in->spec->placement.near);
    }
    return true;
}

static bool count_node(const struct fleet_node *node, void *arg)
{
    (void)node;
    (*(size_t *)arg)++;
    return true;
}

static struct place_node *node_named(struct gathering *in, const char *name)
{
    for (size_t i = 0; i < in->len; i++) {
        if (strcmp(in->nodes[i].name, name) == 0) {
            return &in->nodes[i];
        }
    }
    return NULL;
}

static bool reserve_worker(const struct fleet_worker *worker, void *arg)
{
    struct gathering *in = arg;
    struct fleet_worker_info info = fleet_worker_info(in->pools->manager->fleet, worker);
    struct place_node *node = info.supervised ? node_named(in, info.node) : NULL;
    if (node != NULL) {
        node->memory_reserved_bytes += info.memory_limit_bytes > 0 ? info.memory_limit_bytes : 0;
        node->cpus_reserved += info.cpu_limit;
    }
    return true;
}

// What was placed and is not there yet takes room, too; and of this pool all that are not gone.
static void reserve_members(struct gathering *in)
{
    const struct pools *pools = in->pools;
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->workers, &it);) {
        const struct member *member = it.value;
        struct place_node *node = node_named(in, member->node);
        if (node == NULL) {
            continue;
        }
        bool there = fleet_worker(pools->manager->fleet, member->node, member->name) != NULL;
        if (!there && member->state == MEMBER_ACTIVE) {
            const struct reeve_spec *template = &member->pool->spec.template;
            node->workers++;
            node->memory_reserved_bytes += template->memory_limit_bytes;
            node->cpus_reserved += template->cpu_limit;
        }
        node->of_pool += member->pool == in->pool && member->state == MEMBER_ACTIVE ? 1 : 0;
    }
}

static bool gather(const struct pools *pools, const struct pool *pool, const struct reeve_pool_spec *spec,
                   struct gathering *ret)
{
    size_t count = 0;
    const struct fleet *fleet = pools->manager->fleet;
    fleet_each_node(fleet, count_node, &count);
    *ret = (struct gathering){.pools = pools, .pool = pool, .spec = spec, .nodes = calloc(count + 1, sizeof *ret->nodes)};
    if (ret->nodes == NULL) {
        return false;
    }
    fleet_each_node(fleet, gather_node, ret);
    fleet_each_worker(fleet, reserve_worker, ret);
    reserve_members(ret);
    return true;
}

ptrdiff_t pool_place(const struct pool *pool, const char *region, struct place_node **ret_nodes,
                     struct place_score **ret_scores, size_t *ret_len)
{
    struct gathering in;
    *ret_nodes = NULL;
    *ret_scores = NULL;
    *ret_len = 0;
    if (!gather(pool->pools, pool, &pool->spec, &in)) {
        return -1;
    }
    struct place_score *scores = calloc(in.len + 1, sizeof *scores);
    if (scores == NULL) {
        free(in.nodes);
        return -1;
    }
    const struct place_request request = {.pool = &pool->spec, .region = region};
    ptrdiff_t chosen = placement_choose(in.nodes, in.len, &request, scores);
    *ret_nodes = in.nodes;
    *ret_scores = scores;
    *ret_len = in.len;
    return chosen;
}

// ---- creating -----------------------------------------------------------------------------------------------------------

static struct member *place_on(struct pool *pool, const struct place_node *node, const char *region)
{
    char name[REEVE_NAME_SIZE];
    const struct reeve_spec *template = &pool->spec.template;
    struct member *member =
        member_new(pool, reeve_spec_name_generate(template->type, template->exchange, node->name, name), node->name);
    if (member == NULL) {
        return NULL;
    }
    (void)snprintf(member->region, sizeof member->region, "%s", region != NULL ? region : ""); /* a name */
    member->version = pool->version;
    member->created_at = reeve_clock_wall_ms();
    if (pool->spec.partition.single_active) {
        member->fence = ++pool->fence; // grows with each holder: what it guards refuses an older one
        pool_store(pool);
    }
    member_store(member);
    return member;
}

static void tell_unplaceable(struct pool *pool, const struct place_node *nodes, const struct place_score *scores,
                             size_t len)
{
    char text[sizeof pool->unplaceable];
    (void)placement_explain(nodes, scores, len, text, sizeof text);
    if (len == 0) {
        (void)snprintf(text, sizeof text, "no node is known");
    }
    pool->place_retry_mono = reeve_clock_mono_ms() + PLACE_RETRY_MS;
    if (strcmp(text, pool->unplaceable) != 0) {
        memcpy(pool->unplaceable, text, sizeof text);
        pool_event(pool, "unplaceable", NULL, "nowhere to go: %s", text);
    }
    alarm_open(pool->pools->manager, "pool_unplaceable", pool->name, ALARM_ERROR, NULL, "pool %s: %s", pool->name, text);
}

static void tell_placed(struct pool *pool, const struct member *member, const char *line)
{
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "worker", member->name);
    reeve_put_str(detail, "node", member->node);
    reeve_put_int(detail, "version", member->version);
    pool_event(pool, "placed", detail, "%s/%s · %s", member->node, member->name, line);
}

// At the end of a pass in which nobody looked for a place in vain. The alarm may be one of a former manager.
static void placed_all(struct pool *pool)
{
    if (reeve_clock_mono_ms() < pool->place_retry_mono) {
        return;
    }
    pool->unplaceable[0] = '\0';
    if (alarm_is_open(pool->pools->manager, "pool_unplaceable", pool->name)) {
        alarm_close(pool->pools->manager, "pool_unplaceable", pool->name);
        pool_changed(pool);
    }
}

// The nodes are gathered once; each one placed is added to what is reserved.
static void take_room(struct place_node *node, const struct reeve_pool_spec *spec)
{
    node->workers++;
    node->of_pool++;
    node->memory_reserved_bytes += spec->template.memory_limit_bytes;
    node->cpus_reserved += spec->template.cpu_limit;
}

int64_t pool_create(struct pool *pool, const char *region, int64_t count)
{
    struct gathering in;
    int64_t created = 0;
    const struct place_request request = {.pool = &pool->spec, .region = region};
    if (reeve_clock_mono_ms() < pool->place_retry_mono || !gather(pool->pools, pool, &pool->spec, &in)) {
        return 0;
    }
    struct place_score *scores = calloc(in.len + 1, sizeof *scores);
    while (scores != NULL && created < count && created < CREATE_MAX &&
           reeve_map_len(pool->pools->workers) < MEMBERS_MAX) {
        char line[256];
        ptrdiff_t chosen = placement_choose(in.nodes, in.len, &request, scores);
        if (chosen < 0) {
            tell_unplaceable(pool, in.nodes, scores, in.len);
            break;
        }
        struct member *member = place_on(pool, &in.nodes[chosen], region);
        if (member == NULL) {
            break;
        }
        tell_placed(pool, member, placement_explain(in.nodes, scores, in.len, line, sizeof line));
        take_room(&in.nodes[chosen], &pool->spec);
        created++;
    }
    free(scores);
    free(in.nodes);
    if (created > 0) {
        pool_changed(pool);
    }
    return created;
}

// ---- planning -----------------------------------------------------------------------------------------------------------

static int64_t active_in(const struct pool *pool, const char *region)
{
    int64_t count = 0;
    for (struct reeve_map_iter it = {0}; pool != NULL && reeve_map_next(pool->members, &it);) {
        const struct member *member = it.value;
        count += member_counts(member) && (region == NULL || strcmp(member->region, region) == 0) ? 1 : 0;
    }
    return count;
}

static struct reeve_value *planned_node(const struct place_node *node, const struct place_score *score, int64_t planned)
{
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "node", node->name);
    reeve_put_bool(value, "fits", score->fits);
    reeve_put_int(value, "rank", score->rank);
    reeve_put_str(value, "reason", score->reason);
    reeve_put_int(value, "planned", planned);
    return value;
}

static int64_t plan_group(struct gathering *in, const char *region, int64_t count, struct place_score *scores, int64_t *planned)
{
    const struct place_request request = {.pool = in->spec, .region = region};
    for (int64_t i = 0; i < count; i++) {
        ptrdiff_t chosen = placement_choose(in->nodes, in->len, &request, scores);
        if (chosen < 0) {
            return count - i;
        }
        planned[chosen]++;
        take_room(&in->nodes[chosen], in->spec);
    }
    return 0;
}

static int64_t plan_all(struct gathering *in, bool rolling, struct place_score *scores, int64_t *planned)
{
    const struct reeve_records *regions = &in->spec->placement.regions;
    int64_t unplaced = 0;
    for (size_t i = 0; i < regions->len; i++) {
        const struct reeve_pool_region *row = &((const struct reeve_pool_region *)regions->items)[i];
        int64_t missing = row->size - (rolling ? 0 : active_in(in->pool, row->region));
        unplaced += plan_group(in, row->region, missing, scores, planned);
    }
    if (regions->len == 0) {
        int64_t size = in->spec->size >= 0 ? in->spec->size : in->pool != NULL ? in->pool->size : in->spec->min;
        unplaced = plan_group(in, NULL, size - (rolling ? 0 : active_in(in->pool, NULL)), scores, planned);
    }
    return unplaced;
}

// The reasons are those of the first choice, `planned` and `unplaced` those of all.
struct reeve_value *pool_plan(const struct pools *pools, const struct pool *pool, const struct reeve_pool_spec *spec, bool rolling)
{
    struct gathering in;
    char line[512];
    struct reeve_value *plan = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    if (gather(pools, pool, spec, &in)) {
        const struct place_request request = {.pool = spec};
        struct place_score *first = calloc(in.len + 1, sizeof *first);
        struct place_score *later = calloc(in.len + 1, sizeof *later);
        int64_t *planned = calloc(in.len + 1, sizeof *planned);
        if (first != NULL && later != NULL && planned != NULL) {
            (void)placement_choose(in.nodes, in.len, &request, first); /* the choices follow */
            reeve_put_str(plan, "line", placement_explain(in.nodes, first, in.len, line, sizeof line));
            reeve_put_int(plan, "unplaced", plan_all(&in, rolling, later, planned));
            for (size_t i = 0; i < in.len; i++) {
                (void)reeve_value_add(list, planned_node(&in.nodes[i], &first[i], planned[i])); /* remembered by the plan */
            }
        }
        free(first);
        free(later);
        free(planned);
        free(in.nodes);
    }
    (void)reeve_value_put(plan, "nodes", list); /* remembered: reeve_value_built() */
    return plan;
}

// ---- letting go ---------------------------------------------------------------------------------------------------------

static bool in_region(const struct member *member, const char *region)
{
    return region == NULL || strcmp(member->region, region) == 0;
}

static struct place_victim victim_of(const struct member *member)
{
    struct seen seen = member_seen(member);
    const struct fleet *fleet = member->pool->pools->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, member->node);
    return (struct place_victim){.worker = member->name,
                                 .node = member->node,
                                 .region = node != NULL ? fleet_node_info(fleet, node).region : NULL,
                                 .ready = seen.ready,
                                 .busy = seen.busy,
                                 .unsafe = seen.unsafe,
                                 .acquired = member->lease_id[0] != '\0',
                                 .outdated = pool_outdated(member),
                                 .unreachable = !seen.reachable,
                                 .created_at = member->created_at};
}

static void let_go(struct pool *pool, const char *region, int64_t count, const char *cause)
{
    size_t len = 0;
    size_t max = reeve_map_len(pool->members);
    struct member **members = calloc(max + 1, sizeof *members);
    struct place_victim *victims = calloc(max + 1, sizeof *victims);
    size_t *order = calloc(max + 1, sizeof *order);
    if (members == NULL || victims == NULL || order == NULL) {
        free(members);
        free(victims);
        free(order);
        return; // the next tick looks again
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        if (member_counts(it.value) && in_region(it.value, region)) {
            members[len] = it.value;
            victims[len++] = victim_of(it.value);
        }
    }
    placement_victims(victims, len, &pool->spec, order);
    for (size_t i = 0; i < len && count > 0; i++) {
        // Out of reach: it may be gone already, and ending it now can't be told from losing it. Later.
        if (!victims[order[i]].unreachable || pool->deleting || pool->draining) {
            member_leave(members[order[i]], false, cause);
            count--;
        }
    }
    free(members);
    free(victims);
    free(order);
}

struct moving { // away from nodes that drain
    int64_t active, ready, hopeless; // hopeless: failed, or stopped by hand; not waited for
    struct member *mover;            // the next; not ready before ready, idle before busy
    int mover_rank;
};

static bool on_draining_node(const struct member *member)
{
    const struct fleet *fleet = member->pool->pools->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, member->node);
    return node != NULL && fleet_node_info(fleet, node).draining;
}

static struct moving look_for_movers(const struct pool *pool)
{
    struct moving moving = {0};
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        struct member *member = it.value;
        struct seen seen = member_seen(member);
        if (!member_counts(member)) {
            continue;
        }
        moving.active++;
        moving.ready += seen.ready ? 1 : 0;
        int rank = !on_draining_node(member) ? 0 : !seen.ready ? 3 : seen.busy || member->lease_id[0] != '\0' ? 1 : 2;
        moving.hopeless += rank == 0 && (seen.failed || seen.stopped_by_hand) ? 1 : 0;
        if (rank > moving.mover_rank) {
            moving.mover = member;
            moving.mover_rank = rank;
        }
    }
    return moving;
}

// One more than the size while somebody moves, so that the replacement is not one too many.
static int64_t moving_surge(const struct pool *pool)
{
    bool moves = !pool->spec.partition.single_active && !pool->draining && !pool->deleting && pool->update == UPDATE_NONE;
    return moves && look_for_movers(pool).mover != NULL ? 1 : 0;
}

static bool fits_somewhere(const struct pool *pool)
{
    struct place_node *nodes;
    struct place_score *scores;
    size_t len;
    ptrdiff_t chosen = pool_place(pool, NULL, &nodes, &scores, &len);
    free(nodes);
    free(scores);
    return chosen >= 0;
}

// A drained node keeps what it runs until a replacement is ready elsewhere: one at a time. Where there may never be two the old
// one goes first, but only if there is somewhere to go.
static void leave_draining_nodes(struct pool *pool)
{
    int64_t desired = pool_desired(pool);
    struct moving moving = look_for_movers(pool);
    if (moving.mover == NULL || pool->update != UPDATE_NONE || desired == 0) {
        return;
    }
    const char *region = moving.mover->region[0] != '\0' ? moving.mover->region : NULL;
    if (pool->spec.partition.single_active) {
        if (fits_somewhere(pool)) {
            member_leave(moving.mover, false, "its node drains");
        }
    } else if (moving.active <= desired) {
        (void)pool_create(pool, region, 1); /* none: nowhere to go, which is told; looked at again */
    } else if (moving.mover_rank == 3 || moving.ready - 1 >= desired - moving.hopeless) {
        member_leave(moving.mover, false, "its node drains");
    }
}

#define FAILED_AFTER_MS  30000 // not at once, or a template that can't run would go round and round
#define RECOVERED_MS     60000 // everybody healthy for so long

static void replace_failed(struct pool *pool)
{
    bool well = true;
    struct manager *manager = pool->pools->manager;
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        struct member *member = it.value;
        struct seen seen = member_seen(member);
        int64_t age_ms = reeve_clock_mono_ms() - member->known_since_mono;
        // Its node gave up: elsewhere it may do better.
        if (member_counts(member) && seen.failed && age_ms > FAILED_AFTER_MS && pool->update == UPDATE_NONE) {
            alarm_open(manager, "pool_failing", pool->name, ALARM_ERROR, NULL, "pool %s: %s/%s has failed and is replaced",
                       pool->name, member->node, member->name);
            member_leave(member, true, "it has failed");
            return; // one a tick
        }
        well = well && member_counts(member) && (seen.stopped_by_hand || member_healthy_for(member, &seen, RECOVERED_MS));
    }
    if (well && alarm_is_open(manager, "pool_failing", pool->name)) {
        alarm_close(manager, "pool_failing", pool->name);
    }
}

// ---- the difference -------------------------------------------------------------------------------------------------------

// single_active: nobody else may be running, not even somebody out of reach.
static bool may_create(const struct pool *pool)
{
    for (struct reeve_map_iter it = {0}; pool->spec.partition.single_active && reeve_map_next(pool->members, &it);) {
        const struct member *member = it.value;
        if (member->state == MEMBER_ACTIVE || member->state == MEMBER_LEAVING || !lease_over(member)) {
            return false;
        }
    }
    return true;
}

static void reconcile_group(struct pool *pool, const char *region)
{
    int64_t active = active_in(pool, region);
    int64_t desired = pool_desired_in(pool, region);
    int64_t surge = pool_surge(pool);
    surge = surge > 0 ? surge : moving_surge(pool);
    if (active < desired) {
        if (may_create(pool)) {
            (void)pool_create(pool, region, desired - active); /* less than wanted: the next tick goes on */
        }
    } else if (active > desired + surge) {
        let_go(pool, region, active - desired - surge,
               pool->deleting ? "the pool is deleted" : pool->draining ? "the pool drains" : "the pool has too many");
    }
}

void pool_reconcile(struct pool *pool)
{
    struct manager *manager = pool->pools->manager;
    if (!fleet_known(manager->fleet) || fleet_held(manager->fleet)) {
        pool->blind_mono = reeve_clock_mono_ms();
        return;
    }
    if (!pool_halted(pool)) {
        const struct reeve_records *regions = &pool->spec.placement.regions;
        for (size_t i = 0; i < regions->len; i++) {
            reconcile_group(pool, ((struct reeve_pool_region *)regions->items)[i].region);
        }
        if (regions->len == 0) {
            reconcile_group(pool, NULL);
        }
        pool_update_step(pool);
        replace_failed(pool);
        leave_draining_nodes(pool);
        placed_all(pool);
    }
    members_step(pool);
    if (pool->deleting && reeve_map_len(pool->members) == 0) {
        pool_forget(pool);
    }
}
