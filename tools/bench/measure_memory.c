// Memory of the daemon and of shims.
// Must not: choose a moment that flatters; the crowd is measured after its rounds, with all that they left behind.
#include "machine.h"
#include "measure.h"

#include <reeve/clock.h>

#define SETTLE_MS 500 // a shim gives memory back right after it has started its worker
#define KB_OF_KIB 1.024

static struct series rss_empty = {.name = "rss_0",
                                  .what = "resident memory of reeved that knows no worker",
                                  .unit = "kB",
                                  .scale = KB_OF_KIB,
                                  .goal = 6000};
static struct series rss_crowd = {.name = "rss_100",
                                  .what = "resident memory of reeved with 100 running workers, after the rounds",
                                  .unit = "kB",
                                  .scale = KB_OF_KIB,
                                  .goal = 6000 + 20 * CROWD};
static struct series shim_pss = {.name = "shim_pss",
                                 .what = "proportional memory of a shim, 100 of them running",
                                 .unit = "kB",
                                 .scale = KB_OF_KIB,
                                 .goal = 500};

static bool is_past(struct bench *bench, const void *arg)
{
    (void)bench;
    return reeve_clock_mono_ms() >= *(const int64_t *)arg;
}

static enum reeve_err settle(struct bench *bench, struct reeve_why *why)
{
    int64_t until_mono = reeve_clock_mono_ms() + SETTLE_MS;
    return bench_wait(bench, is_past, &until_mono, "settling", why);
}

enum reeve_err measure_memory_empty(struct bench *bench, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = settle(bench, why);
    if (err == REEVE_OK) {
        series_add(&rss_empty, machine_rss_kb(bench->site.daemon));
        report_series(report, &rss_empty);
    }
    return err;
}

enum reeve_err measure_memory_crowd(struct bench *bench, struct report *report, struct reeve_why *why)
{
    int64_t ns = 0, pulse_ns = 0, shims = 0;
    enum reeve_err err = crowd_start(bench, &ns, &pulse_ns, why);
    if (err == REEVE_OK) {
        err = settle(bench, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    series_add(&rss_crowd, machine_rss_kb(bench->site.daemon));
    for (int i = 0; i < CROWD; i++) {
        int64_t kb = machine_pss_kb(machine_parent(crowd_member(bench, i)->pid));
        shims += kb > 0 ? 1 : 0;
        series_add(&shim_pss, kb);
    }
    report_series(report, &rss_crowd);
    report_series(report, &shim_pss);
    report_check(report, "shims_measured", shims, CROWD);
    return crowd_stop(bench, &ns, why);
}
