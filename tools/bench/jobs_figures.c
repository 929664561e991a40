// Figures of `reeve-bench jobs`: samples by measure and circumstances, order statistics, ratios.
// Must not: smooth or drop anything. Nearest rank: every number told was measured.
#include "jobs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_but_system(const struct figure_key *a, const struct figure_key *b)
{
    return strcmp(a->name, b->name) == 0 && a->workers == b->workers && a->payload_bytes == b->payload_bytes &&
           a->rate == b->rate;
}

static struct figure *find(struct figures *figures, const struct figure_key *key, const char *system)
{
    for (size_t i = 0; i < figures->len; i++) {
        if (same_but_system(&figures->list[i].key, key) && strcmp(figures->list[i].key.system, system) == 0) {
            return &figures->list[i];
        }
    }
    return NULL;
}

static void *grown(void *list, size_t len, size_t *cap, size_t size)
{
    if (len < *cap) {
        return list;
    }
    *cap = *cap == 0 ? 16 : *cap * 2;
    void *more = realloc(list, *cap * size);
    if (more == NULL) {
        abort(); // a benchmark without its figures is none
    }
    return more;
}

void figure_add(struct figures *figures, const struct figure_key *key, double sample)
{
    struct figure *figure = find(figures, key, key->system);
    if (figure == NULL) {
        figures->list = grown(figures->list, figures->len, &figures->cap, sizeof figures->list[0]);
        figure = &figures->list[figures->len++];
        *figure = (struct figure){.key = *key};
    }
    figure->samples = grown(figure->samples, figure->len, &figure->cap, sizeof figure->samples[0]);
    figure->samples[figure->len++] = sample;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double percentile(const struct figure *figure, double percent)
{
    size_t rank = (size_t)ceil((double)figure->len * percent / 100 - 1e-9); // from 1
    return figure->samples[rank > 0 ? rank - 1 : 0];
}

// What the project promises of its own figures.
static const struct {
    const char *name;
    int64_t workers, payload_bytes, rate; // 0 = any
    double percent, goal;
    bool at_least;
} goals[] = {{"end_to_end", 0, 100, 0, 50, 60000, true},
             {"latency", 0, 0, 100, 50, 1, false},
             {"latency", 0, 0, 100, 99, 5, false}};

static void put_goals(struct reeve_value *row, const struct figure *figure)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(goals); i++) {
        bool wanted = strcmp(figure->key.system, jobs_reeve.name) == 0 &&
                      strcmp(figure->key.name, goals[i].name) == 0 &&
                      (goals[i].payload_bytes == 0 || goals[i].payload_bytes == figure->key.payload_bytes) &&
                      (goals[i].rate == 0 || goals[i].rate == figure->key.rate);
        if (wanted) {
            char key[16];
            double got = percentile(figure, goals[i].percent);
            (void)snprintf(key, sizeof key, "goal_p%.0f", goals[i].percent);
            (void)reeve_value_put(row, key, reeve_value_float(goals[i].goal)); // reeve_value_built()
            (void)snprintf(key, sizeof key, "met_p%.0f", goals[i].percent);
            reeve_put_bool(row, key, goals[i].at_least ? got >= goals[i].goal : got <= goals[i].goal);
        }
    }
}

static void put_real(struct reeve_value *row, const char *key, double number)
{
    (void)reeve_value_put(row, key, reeve_value_float(round(number * 1000) / 1000)); // reeve_value_built()
}

static struct reeve_value *row_of(const struct figure *figure, const struct figure *ours)
{
    double sum = 0;
    struct reeve_value *row = reeve_value_map();
    for (size_t i = 0; i < figure->len; i++) {
        sum += figure->samples[i];
    }
    reeve_put_str(row, "name", figure->key.name);
    reeve_put_str(row, "system", figure->key.system);
    reeve_put_str(row, "unit", figure->key.unit);
    const struct {
        const char *key;
        int64_t number;
    } circumstances[] = {
        {"workers", figure->key.workers}, {"payload_bytes", figure->key.payload_bytes}, {"rate", figure->key.rate}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(circumstances); i++) {
        if (circumstances[i].number > 0) {
            reeve_put_int(row, circumstances[i].key, circumstances[i].number);
        }
    }
    reeve_put_int(row, "samples", (int64_t)figure->len);
    put_real(row, "min", figure->samples[0]);
    put_real(row, "p50", percentile(figure, 50));
    put_real(row, "p99", percentile(figure, 99));
    if (figure->len >= 1000) { // below, it is the maximum
        put_real(row, "p99_9", percentile(figure, 99.9));
    }
    put_real(row, "max", figure->samples[figure->len - 1]);
    put_real(row, "mean", sum / (double)figure->len);
    if (ours != NULL && ours != figure && ours->p50 > 0) {
        put_real(row, "of_reeve", percentile(figure, 50) / ours->p50);
    }
    put_goals(row, figure);
    return row;
}

void figures_tell(struct figures *figures, struct report *report)
{
    for (size_t i = 0; i < figures->len; i++) {
        struct figure *figure = &figures->list[i];
        qsort(figure->samples, figure->len, sizeof figure->samples[0], compare);
        figure->p50 = percentile(figure, 50);
    }
    for (size_t i = 0; i < figures->len; i++) {
        struct figure *figure = &figures->list[i];
        (void)reeve_value_add(report->measures,
                              row_of(figure, find(figures, &figure->key, jobs_reeve.name))); // reeve_value_built()
    }
}

bool figures_table(struct figures *figures)
{
    static const struct jobs_system *const systems[] = {&jobs_reeve, &jobs_bullmq_everysec, &jobs_bullmq_always,
                                                        &jobs_beanstalkd};
    (void)printf("%-46s %-8s", "p50 (times reeve)", "unit");
    for (size_t s = 0; s < REEVE_ARRAY_LEN(systems); s++) {
        (void)printf(" %22s", systems[s]->name);
    }
    for (size_t i = 0; i < figures->len; i++) {
        const struct figure *figure = &figures->list[i];
        bool first = true;
        for (size_t before = 0; before < i; before++) {
            first = first && !same_but_system(&figures->list[before].key, &figure->key);
        }
        if (!first) {
            continue; // stands in the row of the first
        }
        char name[64];
        (void)snprintf(name, sizeof name, "%s w=%lld b=%lld r=%lld", figure->key.name, (long long)figure->key.workers,
                       (long long)figure->key.payload_bytes, (long long)figure->key.rate);
        (void)printf("\n%-46s %-8s", name, figure->key.unit);
        const struct figure *ours = find(figures, &figure->key, jobs_reeve.name);
        for (size_t s = 0; s < REEVE_ARRAY_LEN(systems); s++) {
            const struct figure *theirs = find(figures, &figure->key, systems[s]->name);
            char cell[32] = "-";
            if (theirs != NULL && (ours == NULL || ours == theirs || ours->p50 <= 0)) {
                (void)snprintf(cell, sizeof cell, "%.6g", theirs->p50);
            } else if (theirs != NULL) {
                (void)snprintf(cell, sizeof cell, "%.6g (%.2fx)", theirs->p50, theirs->p50 / ours->p50);
            }
            (void)printf(" %22s", cell);
        }
    }
    (void)printf("\n");
    return fflush(stdout) == 0;
}

void figures_done(struct figures *figures)
{
    for (size_t i = 0; i < figures->len; i++) {
        free(figures->list[i].samples);
    }
    free(figures->list);
    *figures = (struct figures){0};
}
