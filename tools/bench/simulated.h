// A simulated fleet: nodes and workers that exist only as MQTT records. What `reeve bench fleet` and the process that
// plays the fleet (reeve-bench-simulated) share: who there is, and what is true of each at this moment.
#ifndef REEVE_BENCH_SIMULATED_H
#define REEVE_BENCH_SIMULATED_H

#include <reeve/str.h>
#include <stdatomic.h>
#include <stdint.h>

#define SIMULATED_WORKERS_MAX  50000
#define SIMULATED_NODES_MAX    1000
#define SIMULATED_SESSIONS_MAX 3000 // workers with a session of their own; the broker takes 4,096
#define SIMULATED_EXCHANGES    10
#define SIMULATED_NODE_BEAT_MS 5000
#define SIMULATED_METRICS_MS   10000
#define SIMULATED_NODE_SIZE    REEVE_NAME_SIZE
#define SIMULATED_KEY_SIZE     (2 * REEVE_NAME_SIZE)

// ---- who there is: everything follows from the number of a worker ---------------------------------------------

// Worker `i` is on node i % nodes, and has a session of its own when i < sessions.
const char *simulated_node(int node, char buf[REEVE_NAME_SIZE]);
const char *simulated_worker(int worker, int nodes,
                             char buf[REEVE_NAME_SIZE]); // worker-{type}-{exchange}-{host}-{hex8}
const char *simulated_type(int worker, int nodes);
const char *simulated_exchange(int worker, int nodes); // a tenth of each node's workers
const char *simulated_exchange_at(int exchange);       // 0 .. SIMULATED_EXCHANGES - 1
const char *simulated_region(int node);
bool simulated_processing(int worker); // a tenth of all have a job in hand

// ---- what is true ---------------------------------------------------------------------------------------------

enum simulated_state {
    SIMULATED_UNBORN,
    SIMULATED_RUNNING, // and speaks
    SIMULATED_MUTE,    // runs, its connection was cut: `lost`
    SIMULATED_STOPPED,
};
struct simulated_truth_worker {
    _Atomic int state;
    _Atomic int64_t cut_ns;  // reeve_clock_mono_ns() before the connection was closed
    _Atomic int64_t born_ns; // when a session of its own said so for the last time
};
// A file that both map. Written by the simulation only.
struct simulated_truth {
    _Atomic int ready;          // everybody said once who he is, and the broker has it
    _Atomic int64_t unsettled;  // published and not acknowledged
    _Atomic int64_t heartbeats; // status of workers, all
    _Atomic int64_t records;    // process
    _Atomic int64_t commands, replies, refused, malformed;
    struct simulated_truth_worker workers[];
};
static inline size_t simulated_truth_size(int workers)
{
    return sizeof(struct simulated_truth) + (size_t)workers * sizeof(struct simulated_truth_worker);
}

// ---- what the simulation reads --------------------------------------------------------------------------------

// argv[1]: a JSON file {port username password root workers nodes sessions heartbeat_ms truth}.
// Standard input, a line each: `cut <worker>`, `back <worker>` (only of those with a session of their own). Its end
// ends the simulation.
#endif
