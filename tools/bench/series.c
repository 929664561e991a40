// Order statistics of samples. Nearest rank: every number told was measured.
// Must not: smooth or drop anything.
#include "series.h"

#include <math.h>
#include <stdlib.h>

void series_add(struct series *series, int64_t sample)
{
    if (series->len < SERIES_MAX) {
        series->samples[series->len++] = sample;
    }
}

static int compare(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double told(const struct series *series, double sample)
{
    return round(sample * series->scale * 1000) / 1000;
}

static int64_t percentile(const struct series *series, size_t percent)
{
    size_t rank = (series->len * percent + 99) / 100; // from 1
    return series->samples[rank > 0 ? rank - 1 : 0];
}

struct reeve_value *series_value(struct series *series)
{
    if (series->len == 0) {
        return NULL;
    }
    double sum = 0;
    qsort(series->samples, series->len, sizeof(series->samples[0]), compare);
    for (size_t i = 0; i < series->len; i++) {
        sum += (double)series->samples[i];
    }
    const struct {
        const char *key;
        double sample;
    } rows[] = {{"min", (double)series->samples[0]},
                {"p50", (double)percentile(series, 50)},
                {"p99", (double)percentile(series, 99)},
                {"max", (double)series->samples[series->len - 1]},
                {"mean", sum / (double)series->len}};
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "name", series->name);
    reeve_put_str(map, "what", series->what);
    reeve_put_str(map, "unit", series->unit);
    reeve_put_int(map, "rounds", (int64_t)series->len);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        (void)reeve_value_put(map, rows[i].key, reeve_value_float(told(series, rows[i].sample))); // reeve_value_built()
    }
    if (series->goal > 0) {
        static const size_t percents[] = {[GOAL_P50] = 50, [GOAL_P99] = 99, [GOAL_MAX] = 100};
        static const char *const names[] = {[GOAL_P50] = "p50", [GOAL_P99] = "p99", [GOAL_MAX] = "max"};
        (void)reeve_value_put(map, "goal", reeve_value_float(series->goal)); // reeve_value_built()
        reeve_put_str(map, "goal_of", names[series->of]);
        reeve_put_bool(map, "met", told(series, (double)percentile(series, percents[series->of])) <= series->goal);
    }
    return map;
}
