// Inside the room of health.
//   health.c         who is known, when each is looked at, what others ask      health_check.c   facts to checks (pure)
//   health_window.c  what happened lately, in little memory (pure)              health_act.c     alarms, restart, replace
// Must not: be included from outside of these and their tests.
#ifndef REEVE_MANAGER_HEALTH_ROOM_H
#define REEVE_MANAGER_HEALTH_ROOM_H

#include "health.h"
#include "manager.h"

#define HEALTH_CHECKS_MAX     48
#define HEALTH_LOOKS_MIN      50     // workers looked at in a tick, at least; otherwise a tenth of them
#define HEALTH_WATCHED_LOOKS  500    // of those that are not healthy, in a tick
#define HEALTH_CLEAR_MS       10000  // unhealthy is over when it was not for so long
#define HEALTH_ACT_AGAIN_MS   300000 // one action per worker within this
#define HEALTH_ACT_SHARE      10     // at most one of so many of a type within HEALTH_ACT_AGAIN_MS; at least one
#define HEALTH_TYPES_MAX      256

// ---- health_window.c: pure; the caller brings the clock -------------------------------------------------------------

#define HEALTH_TIMES_MAX 32
struct health_times { // when something happened, the last so many
    uint32_t at_s[HEALTH_TIMES_MAX];
    uint8_t len, next;
};
void health_times_add(struct health_times *times, int64_t now_mono);
int64_t health_times_within(const struct health_times *times, int64_t window_ms, int64_t now_mono);

#define HEALTH_BUCKETS 10
struct health_rate { // jobs that ended, in tenths of the window
    uint32_t done[HEALTH_BUCKETS], failed[HEALTH_BUCKETS];
    int64_t tenth; // number of the newest one
};
void health_rate_add(struct health_rate *rate, int64_t done, int64_t failed, int64_t window_ms, int64_t now_mono);
void health_rate_sum(const struct health_rate *rate, int64_t window_ms, int64_t now_mono, int64_t *ret_done, int64_t *ret_failed);

#define HEALTH_SAMPLES     12
#define HEALTH_SAMPLES_MIN 6
struct health_trend { // of memory
    uint32_t at_s[HEALTH_SAMPLES], kib[HEALTH_SAMPLES];
    uint8_t len, next;
};
int64_t health_trend_every_ms(int64_t horizon_ms); // between samples
void health_trend_add(struct health_trend *trend, int64_t bytes, int64_t horizon_ms, int64_t now_mono); // too soon = nothing
// Bytes per ms by least squares; 0 while there are too few samples, or when it does not grow beyond what is noise.
double health_trend_slope(const struct health_trend *trend, int64_t limit_bytes);

// ---- health_check.c: pure -------------------------------------------------------------------------------------------

struct health_facts {
    const struct fleet_worker_info *info;
    const struct health_policy *policy;
    double memory_slope;  // bytes per ms; 0 = does not grow, or is not known
    int64_t restarts;     // within crash_loop_window_ms
    int64_t changes;      // between alive and not, within flapping_window_ms
    int64_t stalled_ms;   // since the job in hand made progress; -1 = none in hand, or it tells none
    int64_t done, failed; // jobs within error_window_ms
    const struct reeve_value *domain; // LIST of what the worker declares; NULL
    const struct reeve_value *probes; // LIST of its node's probes; NULL
};
struct health_check {
    char name[REEVE_NAME_SIZE + 8];
    bool ok;
    double value, threshold; // NAN = none
    const char *text;        // instead of `value`; static or borrowed from the facts; NULL
    char message[200];       // without what changes all the time: it stands in the verdict
};
// The checks that apply. Returns how many.
size_t health_check_all(const struct health_facts *facts, struct health_check checks[HEALTH_CHECKS_MAX]);
enum health_level health_check_level(const struct health_facts *facts, const struct health_check *checks, size_t len);
struct reeve_value *health_checks_value(const struct health_check *checks, size_t len); // LIST

// ---- health.c -------------------------------------------------------------------------------------------------------

struct health_more { // of a worker to which something happened
    struct health_times restarts, changes;
    struct health_rate jobs;
    int64_t jobs_done, jobs_failed; // counters as last seen; -1 = not yet
    int64_t progress_at, progress_mono; // as told; seen to change
    struct reeve_value *domain, *probes; // those that fail; NULL = none
};
enum { HEALTH_ALARM_FLAPPING = 1, HEALTH_ALARM_CRASH_LOOP = 2, HEALTH_ALARM_UNHEALTHY = 4 };
struct health_worker {
    uint8_t level;    // enum health_level
    uint8_t alarms;   // open ones
    bool alive, seen; // seen: `alive` and `restarts` are known
    bool has_probes, watched, looked; // looked: its process record was read for probes
    bool taken_over;                  // what a former manager left open is known
    uint64_t failing; // digest of the names of failing checks
    int64_t since_mono;         // of `level`
    int64_t unhealthy_mono;     // since when without HEALTH_CLEAR_MS of anything else; 0 = it is not
    int64_t acted_mono;         // last action; 0 = none
    int64_t restarts, run, version;
    struct health_more *more;   // NULL = nothing happened yet
    struct health_trend *trend; // NULL = its memory has no limit
    char key[];                 // "<node>/<worker>"
};
struct health_type { // actions lately, by type
    int64_t acted_mono[HEALTH_TIMES_MAX];
    size_t next;
};
struct health {
    struct manager *manager;
    struct reeve_map *workers; // key -> struct health_worker
    struct reeve_map *watched; // those that are not healthy or have an alarm; the same pointers
    struct reeve_map *types;   // type -> struct health_type
    struct reeve_map_iter cursor, watched_cursor;
    bool was_blind; // the manager was cut off, or has just begun: all are looked at when it sees again
    uint64_t looks, actions, refused_actions;
};
struct health_more *health_more(struct health_worker *worker); // NULL: no memory
struct health_facts health_facts(const struct health *health, const struct health_worker *worker,
                                 const struct fleet_worker_info *info);

// ---- health_act.c ---------------------------------------------------------------------------------------------------
// Opens, acts and closes as the worker is now.
void health_act(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                const struct health_check *checks, size_t len);
void health_close_alarms(struct health *health, struct health_worker *worker, const char *node, const char *name);

#endif
