// Inside reeve-bench-simulated: nodes and workers that only speak.
#ifndef REEVE_BENCH_SIMULATION_H
#define REEVE_BENCH_SIMULATION_H

#include "mqtt.h"
#include "simulated.h"

#include <reeve/lifecycle.h>
#include <reeve/loop.h>
#include <reeve/map.h>

struct simulation;

struct sim_node {
    struct simulation *simulation;
    int number;
    char name[REEVE_NAME_SIZE];
    struct mqtt *mqtt;
    uint64_t epoch;
    int64_t started_at, beat;
    struct reeve_timer status, metrics;
};

struct sim_worker {
    struct simulation *simulation;
    int number;
    struct sim_node *node;
    char name[REEVE_NAME_SIZE];
    struct mqtt *own; // its own session; NULL: its node's session speaks for it, or it does not speak
    bool has_own;     // it is one of those with a session of their own
    bool silent;      // its connection was cut
    enum reeve_state state;
    enum reeve_availability availability;
    uint64_t epoch;
    int64_t run, since_at, started_at, stopped_at, jobs_done;
    struct reeve_timer heartbeat;
};

struct simulation {
    uv_loop_t loop;
    struct mqtt_hub hub;
    char root[64], username[REEVE_NAME_SIZE], password[80];
    int nodes_len, workers_len, sessions_len;
    int64_t heartbeat_ms;
    struct sim_node *nodes;
    struct sim_worker *workers;
    struct reeve_map *by_key; // "node/worker" -> struct sim_worker
    struct simulated_truth *truth;
    struct reeve_timer settle;
    uv_poll_t control;
    char line[128];
    size_t line_len;
    int exit_code;
};

// ---- simulate_records.c: what they say ------------------------------------------------------------------------

void say_node(struct sim_node *node);
void say_metrics(struct sim_node *node);
void say_process(struct sim_worker *worker);
void say_status(struct sim_worker *worker, bool goodbye);
struct reeve_value *exit_value(const struct sim_worker *worker);
int64_t jittered(int64_t ms); // +- a tenth, as programs of Reeve do

// ---- simulate.c: how they live --------------------------------------------------------------------------------

// A session of its own, or its node's word for it, with a higher epoch; and heartbeats from then on.
void worker_speaks(struct sim_worker *worker);
// A clean goodbye; no heartbeats any more.
void worker_says_goodbye(struct sim_worker *worker);
void tell_truth(struct sim_worker *worker); // into the shared file
_Noreturn void give_up(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// ---- simulate_orders.c: what they are told --------------------------------------------------------------------

void take_order(struct sim_node *node, struct mqtt *mqtt, const struct reeve_delivery *delivery);

#endif
