// The autoscaler: from what is measured to the size a pool should have, and the reasons in words. Pure: (spec, state, input) ->
// (state, decision). Must not: know where a number comes from, or look at a clock; the caller brings both clocks.
//
// Order of rules, each of which may end it: no measurement (stay; floors still hold) · schedule (floor, ceiling) · target or thresholds ->
// recommended size · tolerance · stabilisation window (scale-in goes to the highest recommended within it) · step · bounds · cool-down of the
// direction: up counts from the last change upwards, down from the last change of either direction. A floor or ceiling that moved
// applies at once, without cool-down or step. From 0 the first worker comes with the first waiting job, whatever the thresholds say, and the
// last one stays while jobs wait or run.
// Sources: Kubernetes HPA (tolerance 0.1, rolling maximum), KEDA (activation), Nomad autoscaler (cool-down per direction), AWS step
// scaling (a step up holds back steps down, not the other way round).
#ifndef REEVE_MANAGER_AUTOSCALE_H
#define REEVE_MANAGER_AUTOSCALE_H

#include <reeve/pool.h>

#define AUTOSCALE_WINDOW_MAX 512 // recommendations remembered for stabilisation; a bucket each (window / 512)

struct autoscale_state { // plain data; zeroed = fresh. Kept up to date by autoscale_decide(), whose decisions the caller carries out
    int64_t last_up_mono, last_down_mono; // 0 = never
    struct {
        int64_t at_mono;
        int64_t size;
    } window[AUTOSCALE_WINDOW_MAX];
    size_t window_len, window_next;
};
struct autoscale_input {
    int64_t now_mono, now_wall;
    int64_t size;            // desired now
    int64_t ready, busy;     // workers
    bool known;              // the metric's source was heard within its time
    int64_t waiting;         // jobs
    int64_t oldest_ms;       // age of the oldest waiting job
    int64_t service_ms;      // mean service time; 0 = not known
};
enum autoscale_kind { AUTOSCALE_NONE, AUTOSCALE_UP, AUTOSCALE_DOWN };
struct autoscale_decision {
    enum autoscale_kind kind;
    int64_t size;            // what the pool should have; = input.size for NONE
    int64_t recommended;     // before stabilisation, step, bounds and cool-down
    int64_t floor, ceiling;  // in force, with schedules
    double value;            // of the metric
    int64_t wait_ms;         // NONE because of a cool-down: how long still
    char formula[160];       // "waiting 120 > 50, 3 workers: +2" · "ceil(120 / 20) = 6"
    char reason[200];        // "scaled 3 -> 5" · "nothing, because cooling down 212 s"
};
struct autoscale_decision autoscale_decide(const struct reeve_pool_spec *pool, struct autoscale_state *state,
                                           const struct autoscale_input *input);

#endif
