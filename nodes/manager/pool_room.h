// Inside the pools' rooms: pools and their members in memory, and what the files of pool.h share.
// Memory and store change together, in the same turn (manager.h); everything here is loaded anew after a crash.
//
// A member's life:          placed: row stored, node chosen
//   ACTIVE ──── out of reach for lost_after ────► LOST ── back: policy ──► ACTIVE or LEAVING
//     │ too many, outdated, failed, drained, replaced       └─ back, and its node does not know it ──► row removed
//     ▼
//   LEAVING ── drained and safe, or deadline and `force` ── `remove` done by the node ──► row removed
// A row goes only on the node's word (or never had a process): whoever is not known to be gone is still counted as there.
#ifndef REEVE_MANAGER_POOL_ROOM_H
#define REEVE_MANAGER_POOL_ROOM_H

#include "autoscale.h"
#include "manager.h"
#include "placement.h"
#include "pool.h"

#include <reeve/id.h>
#include <reeve/units.h>

#define POOLS_MAX       1000
#define MEMBERS_MAX     20000 // of all pools
#define VERSIONS_KEPT   20    // of a pool's template
#define ACQUISITIONS_MAX 10000
#define ORDERS_AT_ONCE  2000  // apply, drain and remove orders under way for all pools
#define BATCH_MAX       100   // workers in one order

#define MEMBER_STATE_LIST(X) X(ACTIVE, "active") X(LEAVING, "leaving") X(LOST, "lost")
enum member_state {
#define X(id, text) MEMBER_##id,
    MEMBER_STATE_LIST(X)
#undef X
};
const char *member_state_text(enum member_state state);

enum member_step { STEP_NONE, STEP_APPLY, STEP_DRAIN, STEP_REMOVE }; // the order under way

struct pool;
struct member {
    struct pool *pool;
    char name[REEVE_NAME_SIZE], node[REEVE_NAME_SIZE];
    char region[REEVE_NAME_SIZE]; // group of the pool it counts for; "" without regions
    // stored:
    enum member_state state; // member_set_state() alone writes it
    int64_t version;         // of the template
    int64_t fence;           // single_active; else 0
    int64_t created_at;
    int64_t leave_by_at;     // LEAVING: when `drain.then` decides; leave_by_mono counts
    bool force;              // LEAVING: at once
    bool failed_update;      // counted as a failure of the update
    bool restart_due;        // released: nobody takes it before its restart is done
    char cause[128];         // why it leaves or was lost
    // of this process only:
    enum member_step step;
    int64_t order;           // number of the batch under way
    int64_t retry_mono;      // no order before
    int tries;
    int64_t drain_run;       // the run that was asked to drain
    bool drained;            // and that it has heard: another run has not
    bool proven;             // was healthy for as long as an update wants it
    int64_t restart_mono;     // restart_due: not asked before; INT64_MAX = under way
    int64_t known_since_mono; // placed, or loaded by this manager
    int64_t leave_by_mono;
    int64_t away_since_mono; // out of reach; 0 = it is not
    int64_t node_live_since_mono;
    int64_t granted_mono;    // last lease granted; after a restart the time of loading
    char lease_id[REEVE_ULID_SIZE]; // of the acquisition; "" = none
};

struct seen { // what the fleet says of a member now
    bool known;      // there is a record or a session of it
    bool node_live;
    bool supervised; // its node has it
    bool reachable;
    bool ready, busy, unsafe, failed, stopped_by_hand, healthy;
    bool speaks;
    struct fleet_worker_info info; // if known
};

enum update_phase { UPDATE_NONE, UPDATE_ROLLING, UPDATE_CANARY };
struct pool {
    struct pools *pools;
    char name[REEVE_NAME_SIZE];
    struct reeve_pool_spec spec; // the template is that of `version`
    int64_t size;                // desired
    int64_t version;             // of the template: what members should be
    int64_t last_version;        // highest ever given
    int64_t good_version;        // last that was rolled out whole; 0 = none yet
    int64_t fence;               // last given
    bool paused, draining, deleting, keep_workers;
    enum update_phase update;
    int64_t update_failures;
    int64_t canary_until_at;     // wall; 0 = the canaries are not all healthy yet
    int64_t killed_busy;         // busy_workers_killed_by_scaling
    char origin[16];             // "file", "command"
    struct reeve_map *members;   // name -> struct member

    struct autoscale_state scaling;
    struct autoscale_decision decision; // the last one
    int64_t decided_mono, decision_at;
    char unplaceable[256];       // why the last placement failed; "" = it did not
    int64_t place_retry_mono;
    int64_t blind_mono;          // when nothing could be known of the fleet last
    uint64_t published;          // digest of the status
    bool spec_dirty;
};

struct acquisition {
    char lease_id[REEVE_ULID_SIZE];
    char pool[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE], node[REEVE_NAME_SIZE];
    char holder[160]; // "node/worker", or a name without presence
    int64_t lease_ms, until_at, until_mono;
    int64_t fence;
    bool holder_seen; // it was alive once since: its death counts
};

struct queue_seen { // what a queue's status said last
    int64_t waiting, oldest_ms, service_ms, at_mono;
};

struct pools {
    struct manager *manager;
    struct reeve_map *pools;        // name -> struct pool
    struct reeve_map *workers;      // "<node>/<worker>" -> struct member
    struct reeve_map *acquisitions; // lease id -> struct acquisition
    struct reeve_map *queues;       // name -> struct queue_seen
    struct reeve_map *strays;       // "<node>/<worker>" of a pool's worker without a row -> first seen
    int64_t orders;                 // number of the last batch
    size_t under_way;
    int64_t adopted_mono;
    bool files_applied;
    struct reeve_timer due; // the next member's lost_after: ticks are a second apart, and that is long
    int64_t due_mono;
};

// ---- pool.c -----------------------------------------------------------------------------------------------------
struct pool *pool_find(const struct pools *pools, const char *name);
struct pool *pool_of_call(struct call *call, struct reeve_why *why); // NULL: not found, with near names
void pool_store(struct pool *pool);  // a failure breaks the turn
void pool_changed(struct pool *pool); // publish the status if it differs; look again soon
void pool_forget(struct pool *pool);  // spec, versions, rows, retained records
int64_t pool_desired(const struct pool *pool); // with drain, delete and bounds
int64_t pool_desired_in(const struct pool *pool, const char *region);
bool pool_halted(const struct pool *pool); // paused, or the fleet is stopped
void pool_publish_status(struct pool *pool);
void pool_event(struct pool *pool, const char *kind, struct reeve_value *detail, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
enum reeve_err pool_apply_spec(struct pools *pools, const struct reeve_value *value, const char *name, const char *origin,
                               const char *by, struct reeve_value *result, bool dry_run, struct reeve_why *why);
struct reeve_value *pool_status_value(const struct pool *pool);

// ---- members.c --------------------------------------------------------------------------------------------------
struct member *member_new(struct pool *pool, const char *name, const char *node); // into the maps; NULL out of memory
void member_free(struct member *member);                                           // out of the maps
void member_store(struct member *member);
void member_forget(struct member *member); // the row too
void member_set_state(struct member *member, enum member_state state, const char *cause);
void member_leave(struct member *member, bool force, const char *cause); // LEAVING, with the drain's deadline
struct seen member_seen(const struct member *member);
bool member_counts(const struct member *member); // ACTIVE
struct member *member_of(const struct pools *pools, const char *node, const char *worker);
// One look at every member of the pool: lost, returned, leaving, to be applied. Collects orders and sends them in batches.
void members_step(struct pool *pool);
enum reeve_err member_spec(const struct member *member, struct reeve_value **ret, struct reeve_why *why);
void members_adopt(struct pools *pools); // workers of a pool that has no row of them

// ---- reconcile.c ------------------------------------------------------------------------------------------------
void pool_reconcile(struct pool *pool);
// Where the next member would go; *ret_scores are the caller's to free(). -1 = nowhere.
ptrdiff_t pool_place(const struct pool *pool, const char *region, struct place_node **ret_nodes, struct place_score **ret_scores,
                     size_t *ret_len);
int64_t pool_create(struct pool *pool, const char *region, int64_t count); // how many were placed
// Where the workers that `spec` still lacks would go, all of them when they are replaced; nothing is changed. `pool` NULL: a new one.
struct reeve_value *pool_plan(const struct pools *pools, const struct pool *pool, const struct reeve_pool_spec *spec, bool rolling);

// ---- update.c ---------------------------------------------------------------------------------------------------
void pool_update_begin(struct pool *pool, int64_t version, const char *cause);
void pool_update_step(struct pool *pool);
int64_t pool_surge(const struct pool *pool); // members allowed above the desired size now
bool pool_outdated(const struct member *member);
enum reeve_err pool_version_put(struct pool *pool, const char *by, bool good);
struct reeve_value *pool_version_template(const struct pool *pool, int64_t version); // caller frees; NULL
struct reeve_value *pool_update_value(const struct pool *pool);                      // for the status; NULL = none
bool member_healthy_for(const struct member *member, const struct seen *seen, int64_t ms); // without a break until now

// ---- scaling.c --------------------------------------------------------------------------------------------------
enum reeve_err scaling_start(struct pools *pools, struct reeve_why *why); // subscribes
void pool_autoscale(struct pool *pool);
struct reeve_value *pool_scaling_value(const struct pool *pool); // the last decision; NULL

// ---- acquire.c --------------------------------------------------------------------------------------------------
void acquisitions_step(struct pools *pools);
void acquisition_end_of(struct member *member, const char *cause); // its worker is gone
enum reeve_err acquisitions_load(struct pools *pools, struct reeve_why *why);
void acquisition_free(void *acquisition);

// ---- lease.c ----------------------------------------------------------------------------------------------------
void lease_renew_node(struct pools *pools, const char *node, int64_t beat); // a beat came
void lease_renew_member(struct member *member);                             // with the newest beat known
bool lease_over(const struct member *member);                               // nobody can be running under it any more

#endif
