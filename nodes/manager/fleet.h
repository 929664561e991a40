// The fleet: every node and worker the manager knows, one verdict for each, published as `fleet/<node>/<worker>` when it
// changes in more than its timestamp. Rebuilt from retained topics in one pass at the start, then kept by messages and by time.
// Who is gone for good is forgotten after `forget_after`, its retained records cleared first, so that no ghost returns.
// Must not: decide what a worker should be; it tells listeners what is.
#ifndef REEVE_MANAGER_FLEET_H
#define REEVE_MANAGER_FLEET_H

#include <reeve/match.h>
#include <reeve/presence.h>

struct manager;
struct fleet;
struct fleet_node;   // opaque
struct fleet_worker; // opaque; a pointer is valid until the loop goes on: keep node and name instead

enum reeve_err fleet_new(struct manager *manager, struct fleet **ret, struct reeve_why *why); // subscribes
void fleet_free(struct fleet *fleet);
// The manager's own session: begun (subscribed), ready (all that was retained is in), lost.
void fleet_session(struct fleet *fleet);
void fleet_ready(struct fleet *fleet);
void fleet_lost(struct fleet *fleet); // also for every attempt that failed
bool fleet_known(const struct fleet *fleet); // ready once since the start: before that nothing may be concluded from absence
// True while verdicts are held because the manager itself was cut off [session-9]: nobody is lost or replaced meanwhile.
bool fleet_held(const struct fleet *fleet);

// ---- listening ------------------------------------------------------------------------------------------------------
enum fleet_change {
    FLEET_WORKER,      // its verdict or one of its attributes changed
    FLEET_WORKER_BEAT, // its own status arrived, changed or not; fleet_arrived() has the record during the call
    FLEET_WORKER_GONE, // forgotten: no record of it is left. `worker` is still readable during the call
    FLEET_NODE,        // liveness, draining, capacity or attributes of a node changed
    FLEET_NODE_BEAT,   // a live node's status arrived: `beat` in fleet_node_info
};
// `worker` NULL for FLEET_NODE*. Called in the turn in which it happened.
typedef void fleet_listener(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                            const struct fleet_worker *worker, void *arg);
enum reeve_err fleet_listen(struct fleet *fleet, fleet_listener *listener, void *arg); // at most 8
// The status that FLEET_WORKER_BEAT is about, decoded already (checks, work, ...); borrowed, during that call only.
const struct reeve_value *fleet_arrived(const struct fleet *fleet);

// ---- looking --------------------------------------------------------------------------------------------------------
struct fleet_node_info { // strings borrowed until the loop goes on
    const char *name, *region, *host, *version;
    enum reeve_liveness liveness; // held like the verdicts
    bool draining;
    int64_t cpus, memory_bytes, workers_max; // 0 = not said
    int64_t workers_total, workers_running;
    int64_t beat;
    uint64_t epoch;
    int64_t away_since_mono; // since when it is not live; 0 = it is
};
struct fleet_worker_info {
    const char *node, *name;
    enum reeve_state state, last_known;
    enum reeve_availability availability;
    enum reeve_source source;
    enum reeve_liveness session; // of its own, as the manager sees it now; REEVE_STALE = its status has run out
    bool unsupervised;
    bool supervised;       // its node has a process record of it
    bool speaks;
    bool wanted;           // desired running, by its node
    bool safe_to_stop;     // false only when it says so
    const char *unsafe_reason;
    int64_t jobs;          // in hand
    int64_t run, pid, restarts, failures, version, fence;
    uint64_t epoch;        // of its session
    const char *type, *exchange, *region, *pool, *account, *origin; // NULL = none
    int64_t memory_bytes, memory_limit_bytes, cpu_ms; // -1 = not known
    double cpu_limit;      // cores; 0 = none
    int64_t since_at;      // wall: of the verdict
    int64_t changed_mono;  // monotonic: when the verdict's state or availability changed here
    int64_t run_since_mono; // when this run was first seen here
};
const struct fleet_worker *fleet_worker(const struct fleet *fleet, const char *node, const char *worker); // NULL
const struct fleet_node *fleet_node(const struct fleet *fleet, const char *node);
struct fleet_node_info fleet_node_info(const struct fleet *fleet, const struct fleet_node *node);
struct fleet_worker_info fleet_worker_info(const struct fleet *fleet, const struct fleet_worker *worker);
// In words [fold-10]. Returns buf.
const char *fleet_why(const struct fleet *fleet, const struct fleet_worker *worker, char *buf, size_t buf_len);
int64_t fleet_round_trip_ms(const struct fleet *fleet, const struct fleet_node *node, const char *endpoint); // -1 = not known
reeve_attribute fleet_worker_attribute; // thing: struct fleet_worker
reeve_attribute fleet_node_attribute;   // thing: struct fleet_node; node region host cpus memory workers_max version label.*
// Decoded anew; the caller frees. NULL when there is none.
struct reeve_value *fleet_process_record(const struct fleet *fleet, const struct fleet_worker *worker);
struct reeve_value *fleet_status_record(const struct fleet *fleet, const struct fleet_worker *worker);
struct reeve_value *fleet_verdict_value(const struct fleet *fleet, const struct fleet_worker *worker); // as published
bool fleet_worker_live(const struct fleet_worker_info *info); // its own session lives or its process runs
bool fleet_worker_busy(const struct fleet_worker_info *info); // processing, or jobs in hand

// In order of node and name. Stops when `each` returns false.
void fleet_each_worker(const struct fleet *fleet, bool (*each)(const struct fleet_worker *worker, void *arg), void *arg);
void fleet_each_node(const struct fleet *fleet, bool (*each)(const struct fleet_node *node, void *arg), void *arg);
void fleet_each_worker_of(const struct fleet *fleet, const char *node, bool (*each)(const struct fleet_worker *worker, void *arg),
                          void *arg);
size_t fleet_workers_len(const struct fleet *fleet);
// A worker's health changed: its verdict record is looked at again (health.c calls it).
void fleet_touch(struct fleet *fleet, const char *node, const char *worker);

// By hand: clears what is retained of a worker that is gone, and its verdict. NOENT; CONFLICT while it is alive, with who has it.
enum reeve_err fleet_forget(struct fleet *fleet, const char *node, const char *worker, struct reeve_why *why);

enum reeve_err fleet_may_forget(const struct fleet *fleet, const char *node, const char *worker, struct reeve_why *why); // dry run

struct fleet_counters {
    uint64_t messages, malformed, verdicts, verdicts_unchanged, forgotten, duplicates, scans;
};
struct fleet_counters fleet_counters(const struct fleet *fleet);

#endif
