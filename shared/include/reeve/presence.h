// Presence on the wire: the records of the three witnesses and of nodes, and the registry that a reader
// builds from their topics. Writers (daemon, SDK) and readers (CLI, manager) share these names; they
// stand nowhere else. Depends on core, wire, lifecycle.
#ifndef REEVE_PRESENCE_H
#define REEVE_PRESENCE_H

#include <reeve/lifecycle.h>
#include <reeve/message.h>

#define REEVE_RETAINED_BYTES_MAX 8192 // [topic-5]
// Highest epoch: what a JSON number holds exactly. Wall-clock ms get there in the year 287396; a record above it is
// malformed, so that no garbage makes a name unusable by leaving no higher epoch.
#define REEVE_EPOCH_MAX 9007199254740991ULL

// node/<node>/lwt and worker/<node>/<worker>/lwt: {epoch}.
enum reeve_err reeve_lwt_encode(uint64_t epoch, struct reeve_buf *buf);

// node/<node>/status
//   epoch state(online|draining|offline) boot_id version host pid started_at at heartbeat_ms ttl_ms region labels{}
//   capacity{cpus memory_bytes workers_max} workers{total running failed} limits("v1 (memory cpu pids)") unsupported[]
//   beat: number of this record within its session, which a lease renewal names again (`renew` in protocol.md)
//   round_trip{<endpoint>: ms}: measured to the endpoints of the node's configuration; left out while none was reached
struct reeve_node_status {
    uint64_t epoch;
    const char *state;
    const char *boot_id, *version, *host, *region, *limits; // NULL = left out
    const struct reeve_value *labels;                       // MAP or NULL; borrowed
    int64_t pid, started_at, at, heartbeat_ms, ttl_ms;
    int64_t cpus, memory_bytes, workers_max;
    int64_t workers_total, workers_running, workers_failed;
    int64_t beat;                         // 0 = left out
    const struct reeve_value *round_trip; // MAP or NULL; borrowed
};
struct reeve_value *reeve_node_status_value(const struct reeve_node_status *status); // caller frees

// worker/<node>/<worker>/process
//   epoch run state since at desired speaks type exchange capabilities[] labels{} version(of the spec) origin(file|command|site)
//   pid started_at ready_at restarts failures next_start_at ttl_at
//   exit{code | signal("SIGSEGV") signal_number, oom cause ran_ms at run} limits{memory_bytes cpus pids enforced[]}
//   not_enforced why command(argv[0])
//   pool account attributes{}: as the spec says; fence: fencing number of a worker that runs under a lease
//   probes[{name ok failures message at}]: of a program that is asked from outside (`probes` of the spec)
// Of every record: what had to go to keep it within 8 KiB is named in left_out[].
struct reeve_process_record {
    uint64_t epoch; // of the daemon's session
    int64_t run;
    enum reeve_state state;
    int64_t since, at; // wall: of the state, of this record
    bool wanted;
    bool speaks;
    const char *type, *exchange, *program, *origin;
    const struct reeve_strv *capabilities;
    const struct reeve_value *labels;
    int64_t spec_version;
    int64_t pid, started_at, ready_at, restarts, failures, next_start_at, ttl_at; // 0 = left out
    bool has_exit;
    struct reeve_exit exit;
    const char *exit_cause;
    int64_t exit_at, exit_run;
    int64_t memory_limit_bytes, pids_limit;
    double cpu_limit;
    struct reeve_strv enforced; // "memory" "cpu" "pids": borrowed
    const char *not_enforced;   // words; NULL = nothing left out
    const char *why;            // [fold-10]; NULL = left out
    const char *pool, *account;           // NULL = left out
    const struct reeve_value *attributes; // MAP or NULL
    int64_t fence;                        // 0 = left out
    const struct reeve_value *probes;     // LIST or NULL
};
struct reeve_value *reeve_process_value(const struct reeve_process_record *record); // caller frees; <= 8 KiB: why is cut

// worker/<node>/<worker>/status
//   epoch run state(online|offline) availability reason pid type version capabilities[] commands[] jobs safe_to_stop
//   unsafe_reason heartbeat_ms ttl_ms started_at at
//   checks[{name ok value warn fail message}]: what a worker watches in its own domain
//   queues[]: names of those it takes jobs from
//   work{done failed progress text progress_at}: counters since its start, the progress (0..1) of the job in hand and when that
//   was last another
// state offline = a clean goodbye [session-4]. commands: [{name summary args:[{name type required doc}]}].
struct reeve_worker_status {
    uint64_t epoch;
    int64_t run; // 0 = not started by a daemon
    bool offline;
    enum reeve_availability availability;
    const char *reason; // of paused, draining; NULL
    const char *type, *version;
    const struct reeve_strv *capabilities;
    const struct reeve_value *commands; // LIST or NULL; borrowed
    int64_t pid, jobs, heartbeat_ms, ttl_ms, started_at, at;
    bool safe_to_stop;
    const char *unsafe_reason;
    const struct reeve_value *checks; // LIST or NULL; borrowed
    const struct reeve_value *work;   // MAP or NULL; borrowed
    const struct reeve_value *queues; // LIST or NULL; borrowed
};
struct reeve_value *reeve_worker_status_value(const struct reeve_worker_status *status);

// ---- reading: the registry -------------------------------------------------------------------------------------

// What a reader knows: nodes and workers by name, fed with the messages of `node/+/status node/+/lwt worker/+/+/process
// worker/+/+/status worker/+/+/lwt`, each verdict folded on demand. Bounded; no clock of its own, no I/O.
struct reeve_registry;
struct reeve_known_node {
    char name[REEVE_NAME_SIZE];
    struct reeve_witness status, lwt;
    struct reeve_value *record; // newest status, or NULL
    uint64_t generation;        // grows with each change
};
struct reeve_kept; // a record as it came; opaque
struct reeve_known_worker {
    const char *node, *name; // of the entry itself
    struct reeve_witness status, lwt;
    struct reeve_process_witness process;
    struct reeve_value *process_record, *status_record; // newest, or NULL; always NULL in a compact registry
    struct reeve_kept *process_kept, *status_kept;      // the same in a compact registry
    uint64_t generation;
};
struct reeve_registry_stats { uint64_t malformed, ignored_old, refused_full, removed; };

struct reeve_registry *reeve_registry_new(const char *root, size_t workers_max); // 0 = 100,000
void reeve_registry_free(struct reeve_registry *registry);
// For a reader of very many workers who looks at whole records seldom: the workers' records stay as they came, in a
// tenth of the memory, and are decoded anew by reeve_registry_*_record(). Before the first message.
void reeve_registry_compact(struct reeve_registry *registry);
// Filters to subscribe to (full, NULL-terminated): of the whole site, or of one node (NULL = all).
enum reeve_err reeve_registry_filters(const struct reeve_registry *registry, const char *node, struct reeve_strv *ret);
// Take a message in. An empty payload removes what the topic held [topic-4]; a worker with nothing left is forgotten.
// Malformed ones are counted and named in `why`, nothing changes. Other topics: NOENT.
enum reeve_err reeve_registry_take(struct reeve_registry *registry, const struct reeve_delivery *delivery, int64_t now_mono,
                                   struct reeve_why *why);
// The same, and what it was about, for a reader that follows changes.
struct reeve_taken {
    struct reeve_topic topic;
    bool ignored;               // older than what is known [fold-9]: nothing changed
    struct reeve_value *record; // as decoded: only of a compact registry, and the caller's to free. NULL for a removal
    const struct reeve_known_worker *worker; // NULL: it is about a node, or nothing is left of the worker
    const struct reeve_known_node *node;     // NULL: it is about a worker, or nothing is left of the node
};
enum reeve_err reeve_registry_take_in(struct reeve_registry *registry, const struct reeve_delivery *delivery,
                                      int64_t now_mono, struct reeve_taken *ret, struct reeve_why *why);
// Decoded anew, also of a registry that is not compact; caller frees. NULL when there is none.
struct reeve_value *reeve_registry_process_record(const struct reeve_known_worker *worker);
struct reeve_value *reeve_registry_status_record(const struct reeve_known_worker *worker);
// [session-9], for readers that stay: tell the registry of the reader's own connection, and of the first one too. Who
// reads once tells it nothing. `disconnected` may be left out: the loss then counts from when something last came in.
// After an outage verdicts are held for REEVE_GRACE_MS or as long as the outage was, at most REEVE_GRACE_MS_MAX:
// everybody else was cut off as well, and a client's next attempt is about as far away as its outage is long.
#define REEVE_GRACE_MS_MAX 40000 // the longest back-off of a client, 30 s +- 20 %, and its connect
void reeve_registry_disconnected(struct reeve_registry *registry, int64_t now_mono);
void reeve_registry_reconnected(struct reeve_registry *registry, int64_t now_mono);
// Until when verdicts are held: 0 = they are not, INT64_MAX = cut off.
int64_t reeve_registry_held_until(const struct reeve_registry *registry, int64_t now_mono);
const struct reeve_known_node *reeve_registry_node(const struct reeve_registry *registry, const char *node);
const struct reeve_known_worker *reeve_registry_worker(const struct reeve_registry *registry, const char *node,
                                                       const char *worker);
// Sorted by name; the arrays are the caller's to free(), the entries the registry's until the next take.
size_t reeve_registry_nodes(const struct reeve_registry *registry, const struct reeve_known_node ***ret);
size_t reeve_registry_workers(const struct reeve_registry *registry, const struct reeve_known_worker ***ret);
struct reeve_verdict reeve_registry_verdict(const struct reeve_registry *registry, const struct reeve_known_worker *worker,
                                            int64_t now_mono);
// As if the reader had watched all the time: what somebody says who reads once. Differs from the above only while verdicts
// are held.
struct reeve_verdict reeve_registry_verdict_unheld(const struct reeve_registry *registry,
                                                   const struct reeve_known_worker *worker, int64_t now_mono);
// Held like the verdicts while the reader's own connection was away.
enum reeve_liveness reeve_registry_node_liveness(const struct reeve_registry *registry, const struct reeve_known_node *node,
                                                 int64_t now_mono);
void reeve_registry_stats(const struct reeve_registry *registry, struct reeve_registry_stats *ret);

#endif
