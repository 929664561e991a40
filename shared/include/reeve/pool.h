// The pool spec: how many workers of one template there are to be, where, how they are replaced and scaled.
// One record table describes the file, the command (`pool/<pool>/cmd/apply`) and what the manager stores.
//
//   pool:
//     name: swap
//     size: 5                       # or min and max with `scaling`
//     template: {type: swap, memory_limit: 512M, config: {...}}     # a worker spec without name
//     placement: {require: [region=eu], prefer: ["cpus>=4"], spread: [node, region]}
//
// A file holds one or more YAML documents, each a map with `pool:`, with `pools:` (a list), or a bare pool spec (has `template`).
// Must not: look at nodes or workers; whether a pool can be placed is the manager's to say.
#ifndef REEVE_POOL_H
#define REEVE_POOL_H

#include <reeve/match.h>
#include <reeve/spec.h>

#define REEVE_POOL_SIZE_MAX 10000
#define REEVE_POOLS_MAX     256 // of one file

enum reeve_pool_metric {
    REEVE_METRIC_DEPTH,       // jobs waiting in `queue`
    REEVE_METRIC_AGE,         // age of the oldest waiting job, ms
    REEVE_METRIC_WAIT,        // predicted wait: waiting x mean service time / workers, ms
    REEVE_METRIC_UTILISATION, // busy workers / ready workers, 0..1
};
struct reeve_pool_schedule { // a floor (and ceiling) while it is in force
    char *cron;              // when it begins: five fields
    int64_t for_ms;          // how long it lasts
    char *time_zone;         // IANA name; NULL = UTC
    int64_t min;             // -1 = the pool's
    int64_t max;             // -1 = the pool's
};
struct reeve_pool_scaling {
    bool enabled;             // true once `scaling:` is given
    int metric;               // enum reeve_pool_metric
    char *queue;              // NULL = the pool's name
    bool has_target;          // per-worker target: size = ceil(value / target) for DEPTH, size x value / target otherwise
    double target;            // of the metric's unit: jobs, ms, or a share of 1; written as a duration for AGE and WAIT
    double up_above;          // thresholds of the whole value; presets 50 and 5 for DEPTH, others have none; 0 with a target
    double down_below;
    int64_t up_by, down_by;   // step, workers: at most; presets 2 and 1
    double tolerance;         // with `target`: no change while value / target is within 1 +- this; preset 0.1
    int64_t cooldown_ms;      // sets both that follow; only a spelling, never encoded
    int64_t cooldown_up_ms, cooldown_down_ms; // presets 5m
    int64_t stabilise_ms;     // scale-in goes to the highest size recommended within this window; preset 0
    struct reeve_records schedules; // of struct reeve_pool_schedule
};
struct reeve_pool_region { // a size of its own per region
    char *region;
    int64_t size;
};
struct reeve_pool_placement {
    struct reeve_strv require;   // requirements on the node, all; reeve/match.h
    struct reeve_strv prefer;    // the more are met the better
    struct reeve_strv spread;    // "node", "region"; preset both
    bool pack;                   // fill nodes one after the other instead
    char *near;                  // name of an endpoint in the nodes' round_trip: the nearest first
    int64_t near_max_ms;         // nodes farther than this are not taken; 0 = no bound
    int64_t per_node_max;        // workers of this pool on one node; 0 = no bound
    struct reeve_records regions; // of struct reeve_pool_region
};
enum reeve_pool_force { REEVE_POOL_WAIT, REEVE_POOL_FORCE };
struct reeve_pool_drain {
    int64_t deadline_ms; // how long a busy worker, or one that is not safe to stop, is waited for; preset 10m
    int then;            // enum reeve_pool_force: what happens after that; preset wait
};
struct reeve_pool_update {
    int64_t max_unavailable; // preset 0
    int64_t max_surge;       // preset 1; not both 0
    int64_t healthy_ms;      // a new worker counts after it was healthy for so long; preset 5s
    int64_t deadline_ms;     // a new worker that is not healthy by then has failed; preset 2m
    int64_t failures_max;    // failed new workers before the update is undone; preset 1 (0 = never undone)
    int64_t canary;          // so many first; 0 = none
    int64_t canary_ms;       // and so long before the rest; preset 1m
};
enum reeve_pool_reconcile {
    REEVE_RECONCILE_IDLE_FIRST, // a returned worker is a worker again; what is too many goes, idle ones first
    REEVE_RECONCILE_RETURNED,   // the returned one goes (always so for single_active)
};
struct reeve_pool_partition {
    int64_t lost_after_ms;      // a worker that is out of reach for so long is replaced; preset 30s
    bool single_active;         // never two at once: size is 1, the worker runs under a lease
    int64_t self_stop_after_ms; // single_active: the node ends its worker after so long without renewal; below lost_after
                                // by at least 1 s and the worker's grace time; preset half of lost_after; otherwise 0
    int reconcile;              // enum reeve_pool_reconcile
};
enum reeve_pool_release { REEVE_RELEASE_REUSE, REEVE_RELEASE_RESTART, REEVE_RELEASE_REPLACE };
struct reeve_pool_acquire {
    int64_t lease_ms;    // preset 60s
    int64_t lease_max_ms; // preset 1d
    int on_release;      // enum reeve_pool_release; preset reuse
};

struct reeve_pool_spec {
    char *name;       // a file must give it; NULL when a command did not (its topic does)
    int64_t size;     // desired; -1 = not given (then min). The sum of placement.regions when those are given.
                      // The one field that may be set by hand, to anything
    int64_t min, max; // bounds for `scale` and the autoscaler; presets 0 and REEVE_POOL_SIZE_MAX; with scaling 1 and 10;
                      // with single_active 0 and 1
    bool paused;      // nothing is started or ended on its behalf
    struct reeve_value *labels; // of the pool; MAP or NULL
    struct reeve_value *template_value; // `template`: a bare worker spec without name, as given
    struct reeve_pool_placement placement;
    struct reeve_pool_scaling scaling;
    struct reeve_pool_drain drain;
    struct reeve_pool_update update;
    struct reeve_pool_partition partition;
    struct reeve_pool_acquire acquire;

    struct reeve_spec template; // decoded from template_value by reeve_pool_decode()
};
extern const struct reeve_record reeve_pool_record; // for documentation and completion

struct reeve_pools {
    struct reeve_pool_spec *items;
    size_t len;
};

// One pool from a bare MAP; what depends on more than one field is settled. All mistakes with their places go to
// `errors`, those of the template too (`template.memory_limit: ...`). On failure *ret is untouched.
enum reeve_err reeve_pool_decode(const struct reeve_value *value, const char *path, struct reeve_pool_spec *ret,
                                 struct reeve_errors *errors);
// The pools of one document (`pool:`, `pools:` or bare), appended; names used twice are an error. On failure *pools keeps what it had.
// A pool without a name is fine here.
enum reeve_err reeve_pool_load_value(const struct reeve_value *document, struct reeve_pools *pools, struct reeve_errors *errors);
// A whole file ("-" = standard input), as reeve_spec_load_file(): all or nothing, `errors` initialised here. Each pool needs a name.
enum reeve_err reeve_pool_load_file(const char *path, struct reeve_pools *ret, struct reeve_errors *errors);
// Back into a bare MAP. Flags as in reeve_record_encode(): WITH_SECRETS for disk and for `apply` only; without it the
// template's secrets are masked.
enum reeve_err reeve_pool_encode(const struct reeve_pool_spec *pool, unsigned flags, struct reeve_value **ret);
enum reeve_err reeve_pool_copy(const struct reeve_pool_spec *pool, struct reeve_pool_spec *ret);
void reeve_pool_done(struct reeve_pool_spec *pool);
void reeve_pools_done(struct reeve_pools *pools);
// Jobs, milliseconds or a share: whether the metric's numbers are durations.
bool reeve_pool_metric_is_time(int metric);
const char *reeve_pool_metric_text(int metric); // "depth"
// Digest of the template alone: whether an `apply` means a rolling update. 0 only when out of memory.
uint64_t reeve_pool_template_digest(const struct reeve_pool_spec *pool);

#endif
