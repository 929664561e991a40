// What is measured, step by step, and what of it is told.
#ifndef REEVE_BENCH_MEASURE_H
#define REEVE_BENCH_MEASURE_H

#include "bench.h"
#include "series.h"

struct report {
    int rounds;
    int crowd_rounds;
    struct reeve_value *measures; // LIST of series_value()
    struct reeve_value *skipped;  // LIST of {name why}
    struct reeve_value *audit;    // MAP name -> {counted expected}
    bool audit_ok;
};
// The report's head {bench at machine load_before}, the caller's to free; `dir`: whose file system counts.
struct reeve_value *report_begin(struct report *report, const char *bench, const char *dir);
// Moves everything into `whole`.
void report_end(struct report *report, struct reeve_value *whole);
bool report_table(const struct reeve_value *whole); // false: standard output can't be written
bool report_json(const struct reeve_value *whole);
// Takes the numbers of `series` and empties it.
void report_series(struct report *report, struct series *series);
// What was counted must be what was expected, or the figures are not what they say.
void report_check(struct report *report, const char *name, int64_t counted, int64_t expected);
void report_skip(struct report *report, const char *name, const char *why);

typedef enum reeve_err measure_step(struct bench *bench, struct report *report, struct reeve_why *why);
struct step {
    const char *name; // for progress and errors
    measure_step *run;
};
extern const struct step node_steps[]; // in this order; ends with run == NULL

// ---- measure_memory.c
measure_step measure_memory_empty; // no worker is known yet
measure_step measure_memory_crowd; // after the crowd's rounds

// ---- shared between steps (measure_node.c)
enum reeve_err crowd_start(struct bench *bench, int64_t *ret_ns, int64_t *ret_pulse_ns, struct reeve_why *why);
enum reeve_err crowd_stop(struct bench *bench, int64_t *ret_ns, struct reeve_why *why);
struct watched *crowd_member(struct bench *bench, int number);

#endif
