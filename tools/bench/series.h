// Samples of one measure, and the numbers that are told of them.
#ifndef REEVE_BENCH_SERIES_H
#define REEVE_BENCH_SERIES_H

#include <reeve/value.h>

#define SERIES_MAX 10000

enum series_goal { GOAL_P50, GOAL_P99, GOAL_MAX };

struct series {
    const char *name;
    const char *what;    // from when to when
    const char *unit;    // of the samples as they are told
    double scale;        // sample * scale = what is told
    double goal;         // at most; 0 = none
    enum series_goal of; // what of the samples has to meet it
    size_t len;
    int64_t samples[SERIES_MAX];
};

// Past SERIES_MAX samples are not kept; the options allow no more rounds than that.
void series_add(struct series *series, int64_t sample);
// {name what unit rounds min p50 p99 max mean [goal goal_of met]}; NULL when there is no sample. Sorts the samples.
struct reeve_value *series_value(struct series *series);

#endif
