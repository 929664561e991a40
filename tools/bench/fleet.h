// The benchmark of a manager: a broker, reeve-manager, and a simulated fleet in a process of its own; here the one who
// steers, watches, and holds what the manager says against what the simulation knows to be true.
#ifndef REEVE_BENCH_FLEET_H
#define REEVE_BENCH_FLEET_H

#include "bench.h"
#include "measure.h"
#include "mqtt.h"
#include "simulated.h"

#include <reeve/lifecycle.h>
#include <reeve/map.h>

#define FLEET_MANAGER    "main"
#define FLEET_REQUEST_MS 60000 // of an emergency stop of everybody, at most
#define FLEET_PAGE       500   // workers in one reply of `list`

struct fleet_options {
    int64_t workers, nodes, sessions; // `sessions` of the workers have an MQTT session of their own
    int64_t heartbeat_ms, steady_ms, window_ms;
    int64_t patience_ms; // until what is told is what is true: a manager holds its verdicts 5 s after a start
    int64_t wills, crowd_rounds, all_rounds, restarts; // rounds of each
    const char *dir;
    bool table;
};

// What was last seen of one worker's verdict on `fleet/<node>/<worker>`.
struct fleet_seen {
    bool present;
    enum reeve_state state;
    enum reeve_availability availability;
    int64_t changed_ns; // arrival of the record with this state
    int64_t lwt_ns;     // arrival of its last will
};

struct fleet_bench {
    struct bench bench; // first: conditions of bench_wait() get this one
    const struct fleet_options *options;
    pid_t simulated, manager;
    int control_fd; // standard input of the simulation
    struct simulated_truth *truth;
    struct mqtt_hub hub;
    bool viewing;
    struct mqtt *viewer;      // watches in a session of its own: answers do not wait behind very many verdicts
    struct reeve_map *by_key; // "node/worker" -> its entry in `seen`
    struct fleet_seen *seen;
    size_t seen_len;    // verdicts that are present
    uint64_t verdicts;  // records that arrived on fleet/+/+
    uint64_t strangers; // of them about workers that are not in the simulation
    pid_t known_pid;    // the manager whose status said `known`
    int64_t known_ns;
    struct reeve_value *described; // by the manager, at the end; NULL
};
static inline struct fleet_bench *fleet_of(struct bench *bench)
{
    return (struct fleet_bench *)bench;
}

// ---- fleet_site.c: who takes part -----------------------------------------------------------------------------

enum reeve_err fleet_start(struct fleet_bench *fleet, struct reeve_why *why); // all but the manager
void fleet_stop(struct fleet_bench *fleet); // in any case: ends them; records still arrive
void fleet_done(struct fleet_bench *fleet); // after the session was closed
enum reeve_err fleet_start_manager(struct fleet_bench *fleet, struct reeve_why *why);
// Tells the simulation: `verb` is "cut" or "back".
enum reeve_err fleet_tell(struct fleet_bench *fleet, const char *verb, int worker, struct reeve_why *why);
// Waits until all that the simulation has published is with the broker.
enum reeve_err fleet_settle(struct fleet_bench *fleet, struct reeve_why *why);
// Waits until no verdict has come for longer than a manager holds back what it concludes.
enum reeve_err fleet_quiet(struct fleet_bench *fleet, struct reeve_why *why);
// Lets `ms` pass, listening.
enum reeve_err fleet_pass(struct fleet_bench *fleet, int64_t ms, struct reeve_why *why);

// ---- fleet_watch.c: what it sees, and asks --------------------------------------------------------------------

enum reeve_err fleet_watch(struct fleet_bench *fleet, struct reeve_why *why);
void fleet_unwatch(struct fleet_bench *fleet);
bool fleet_is_known(struct bench *bench, const void *arg); // by the manager that runs now

struct fleet_answer {
    bool over;
    enum reeve_err err; // of the request itself: TIMEOUT, OFFLINE
    enum reeve_phase phase;
    int64_t sent_ns, over_ns;
    struct reeve_value *result; // the caller's; NULL = none
    struct reeve_why why;       // its words
};
// One command to the manager, until its terminal reply. Takes `args` (NULL: none). Also OK when the reply is no `done`.
enum reeve_err fleet_ask(struct fleet_bench *fleet, const char *op, struct reeve_value *args,
                         struct fleet_answer *answer, struct reeve_why *why);
// The same, and INTERNAL when it was not done. *ret is the caller's (NULL: thrown away).
enum reeve_err fleet_do(struct fleet_bench *fleet, const char *op, struct reeve_value *args, int64_t *ret_ns,
                        struct reeve_value **ret, struct reeve_why *why);

// ---- fleet_audit.c --------------------------------------------------------------------------------------------

// Waits until `stats`, `list` and the retained verdicts say of every worker what is true; at the end of its patience
// counts who is missing, who is too much and who is wrong into the report as `phase`_*, with the first of them in *why.
enum reeve_err fleet_audit(struct fleet_bench *fleet, struct report *report, const char *phase, struct reeve_why *why);
// The number of workers that are in that state by the simulation's word.
int64_t fleet_count(const struct fleet_bench *fleet, enum simulated_state state);

// ---- measure_fleet.c, measure_fleet_load.c --------------------------------------------------------------------

typedef enum reeve_err fleet_step(struct fleet_bench *fleet, struct report *report, struct reeve_why *why);
fleet_step measure_first_start, measure_steady, measure_wills, measure_stops, measure_stop_all, measure_memory,
    measure_restarts, measure_queries, measure_end;

#endif
