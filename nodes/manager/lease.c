// Leases of single_active pools: granted to a node's beat, renewed with each, and what follows when they stop.
// The node counts a lease from when it sent the beat, the manager from when it granted: whatever the network does in
// between, the node's end comes first (Gray and Cheriton, "Leases", SOSP 1989).
// Must not: renew for a member that is not wanted any more.
#include "pool_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <string.h>

#define MARGIN_MS 1000 // for the process to be gone at the end of its lease, and for clocks that run unlike

struct renewing {
    struct pools *pools;
    const char *node;
    struct reeve_value *leases;
    size_t len;
};

// One that leaves is renewed while it drains; if it only waits for its lease, it is not started any more.
static bool leased(const struct member *member)
{
    bool drains = member->state == MEMBER_LEAVING && !member->force && member_seen(member).ready;
    return member->pool->spec.partition.single_active && (member->state == MEMBER_ACTIVE || drains);
}

static void send_renewal(struct pools *pools, const char *node, int64_t beat, struct reeve_value *leases)
{
    struct reeve_value *args = reeve_value_map();
    reeve_put_int(args, "beat", beat);
    (void)reeve_value_put(args, "leases", leases); /* remembered: reeve_value_built() */
    // At once: what it says was decided in an earlier turn, and a disk that refuses is no reason to end a worker.
    struct order order = {.op = "renew", .args = args, .timeout_ms = 5000, .at_once = true};
    (void)snprintf(order.node, sizeof order.node, "%s", node); /* a name */
    struct reeve_why why = {0};
    if (order_send(pools->manager, &order, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "lease", "node=%s renew=\"%s\" retrying with the next beat", node, why.text);
    }
}

static void put_lease(struct member *member, struct reeve_value *leases)
{
    member->granted_mono = reeve_clock_mono_ms(); // before it is sent: the manager believes longer, never shorter
    reeve_put_int(leases, member->name, member->fence);
}

void lease_renew_node(struct pools *pools, const char *node, int64_t beat)
{
    struct reeve_value *leases = reeve_value_map();
    for (struct reeve_map_iter it = {0}; reeve_map_next(pools->workers, &it);) {
        struct member *member = it.value;
        if (leased(member) && strcmp(member->node, node) == 0) {
            put_lease(member, leases);
        }
    }
    if (reeve_value_len(leases) == 0) {
        reeve_value_free(leases);
        return;
    }
    send_renewal(pools, node, beat, leases);
}

void lease_renew_member(struct member *member)
{
    struct pools *pools = member->pool->pools;
    const struct fleet_node *node = fleet_node(pools->manager->fleet, member->node);
    struct fleet_node_info info = {0};
    if (node != NULL) {
        info = fleet_node_info(pools->manager->fleet, node);
    }
    if (!leased(member) || info.liveness != REEVE_LIVE || info.beat == 0) {
        return;
    }
    struct reeve_value *leases = reeve_value_map();
    put_lease(member, leases);
    send_renewal(pools, member->node, info.beat, leases);
}

bool lease_over(const struct member *member)
{
    int64_t end = member->granted_mono + member->pool->spec.partition.self_stop_after_ms + MARGIN_MS;
    return reeve_clock_mono_ms() >= end;
}
