// Placement: on which node the next worker of a pool goes, and why not on the others. Pure: nodes in, answer out.
// Must not: know the fleet, the store or the clock.
//
// A node is taken when it is live, does not drain, is not excluded, meets every `require`, lies in the wanted region, is near enough,
// and has room: workers_max, cpus and memory less what is reserved there by specs (cpu_limit, memory_limit) and by workers
// already on the way. Among those the best goes first: preferred requirements met, then nearness where asked for, then spread over regions and
// nodes (fewest of this pool; `pack` turns it round), then free resources, then the name.
#ifndef REEVE_MANAGER_PLACEMENT_H
#define REEVE_MANAGER_PLACEMENT_H

#include <reeve/pool.h>

struct place_node {
    const char *name, *region; // region NULL = none
    bool live, draining, excluded; // excluded: by the caller, with a reason
    const char *excluded_reason;
    int64_t cpus, memory_bytes, workers_max; // 0 = not said: no bound
    double cpus_reserved;
    int64_t memory_reserved_bytes, workers; // all workers there and on the way there
    int64_t of_pool;       // workers of this pool there and on the way
    int64_t round_trip_ms; // to `near`; -1 = not known
    reeve_attribute *attribute;
    const void *thing;     // for `attribute`
};
struct place_request {
    const struct reeve_pool_spec *pool;
    const char *region; // wanted; NULL = any
};
struct place_score { // one per node, in the order given
    bool fits;
    char reason[160]; // "meets 2 of 3 preferences, 1 of this pool here, 6.0 of 8 cpus free" or "drains", "label.gpu is missing", ...
    int64_t preferred;
    int64_t rank;     // 0 = the best of those that fit; -1 = does not fit
};
// Index of the node to take, or -1 with the reasons in `ret_scores` (n of them; NULL allowed). Deterministic.
ptrdiff_t placement_choose(const struct place_node *nodes, size_t n, const struct place_request *request,
                           struct place_score *ret_scores);
// In one line, for events and replies: "beta: best of 3 (spread: 0 of this pool there); alpha: drains; gamma: region us is not eu".
const char *placement_explain(const struct place_node *nodes, const struct place_score *scores, size_t n, char *buf,
                              size_t buf_len);

// Which of a pool's workers go first when there are too many: never a busy one while there is an idle one, then those that
// are not ready, then outdated ones, then from the fullest region and node, then the youngest. Acquired ones last of all.
struct place_victim {
    const char *worker, *node, *region;
    bool ready, busy, unsafe, acquired, outdated, unreachable;
    int64_t created_at;
};
// Fills order[n] with indexes, first victim first. `unreachable` ones are not counted by the caller and come last.
void placement_victims(const struct place_victim *victims, size_t n, const struct reeve_pool_spec *pool, size_t *order);

#endif
