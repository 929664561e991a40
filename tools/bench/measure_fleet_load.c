// What a manager costs while nothing happens but heartbeats: processor time, memory, messages.
// Must not: choose the moment; a window is as long as it was asked for, and all of them count.
#include "fleet.h"
#include "machine.h"

#include <reeve/clock.h>
#include <unistd.h>

#define KB_OF_KIB 1.024
// Parts of a million of a core.
#define SHARE(id, goal_percent, text)                                                                                  \
    {                                                                                                                  \
        .name = id, .what = text, .unit = "% of a core", .scale = 1e-4, .goal = (goal_percent), .of = GOAL_MAX         \
    }
static struct series cpu_manager = SHARE("cpu_manager", 10, "processor time of reeve-manager, heartbeats only");
static struct series cpu_broker = SHARE("cpu_broker", 0, "processor time of mosquitto meanwhile");
static struct series cpu_simulated = SHARE("cpu_simulated", 0, "processor time of the simulation meanwhile");
static struct series heartbeats = {
    .name = "heartbeats", .what = "heartbeats of workers meanwhile", .unit = "/s", .scale = 1e-3};
static struct series rss_start = {.name = "rss_start",
                                  .what = "resident memory of reeve-manager after its first start",
                                  .unit = "kB",
                                  .scale = KB_OF_KIB,
                                  .goal = 40000,
                                  .of = GOAL_MAX};
static struct series rss_peak = {.name = "rss_peak",
                                 .what = "the most it had until then, stops of everybody included",
                                 .unit = "kB",
                                 .scale = KB_OF_KIB};
static struct series rss_end = {.name = "rss_end",
                                .what = "resident memory of reeve-manager at the end of all",
                                .unit = "kB",
                                .scale = KB_OF_KIB,
                                .goal = 40000,
                                .of = GOAL_MAX};
static struct series rss_stops = {.name = "rss_stops",
                                  .what = "the same after all wills and stops, once it is quiet",
                                  .unit = "kB",
                                  .scale = KB_OF_KIB,
                                  .goal = 40000,
                                  .of = GOAL_MAX};

struct look {
    int64_t ns, manager_ns, broker_ns, simulated_ns, heartbeats;
};

static struct look take_look(const struct fleet_bench *fleet)
{
    return (struct look){.ns = reeve_clock_mono_ns(),
                         .manager_ns = machine_cpu_ns(fleet->manager),
                         .broker_ns = machine_cpu_ns(fleet->bench.site.broker),
                         .simulated_ns = machine_cpu_ns(fleet->simulated),
                         .heartbeats = atomic_load(&fleet->truth->heartbeats)};
}

static int64_t per_million(int64_t part_ns, int64_t whole_ns)
{
    return part_ns * 1000000 / (whole_ns > 0 ? whole_ns : 1);
}

static enum reeve_err window(struct fleet_bench *fleet, struct reeve_why *why)
{
    struct look before = take_look(fleet);
    enum reeve_err err = fleet_pass(fleet, fleet->options->window_ms, why);
    struct look after = take_look(fleet);
    int64_t ns = after.ns - before.ns;
    series_add(&cpu_manager, per_million(after.manager_ns - before.manager_ns, ns));
    series_add(&cpu_broker, per_million(after.broker_ns - before.broker_ns, ns));
    series_add(&cpu_simulated, per_million(after.simulated_ns - before.simulated_ns, ns));
    series_add(&heartbeats, (after.heartbeats - before.heartbeats) * 1000000 / (ns / 1000000));
    return err;
}

enum reeve_err measure_steady(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    const struct fleet_options *options = fleet->options;
    series_add(&rss_start, machine_rss_kb(fleet->manager));
    report_series(report, &rss_start);
    int64_t began_ns = reeve_clock_mono_ns(), beats = atomic_load(&fleet->truth->heartbeats);
    uint64_t verdicts = fleet->verdicts;
    enum reeve_err err = REEVE_OK;
    for (int64_t ms = 0; err == REEVE_OK && ms < options->steady_ms; ms += options->window_ms) {
        err = window(fleet, why);
    }
    int64_t ms = (reeve_clock_mono_ns() - began_ns) / 1000000;
    int64_t expected = options->workers * ms / options->heartbeat_ms;
    beats = atomic_load(&fleet->truth->heartbeats) - beats;
    report_check(report, "steady_verdicts", (int64_t)(fleet->verdicts - verdicts), 0);
    // The load was what it is said to be.
    report_check(report, "steady_heartbeats_short", beats < expected * 9 / 10 ? expected - beats : 0, 0);
    report_series(report, &cpu_manager);
    report_series(report, &cpu_broker);
    report_series(report, &cpu_simulated);
    report_series(report, &heartbeats);
    return err == REEVE_OK ? fleet_audit(fleet, report, "steady", why) : err;
}

enum reeve_err measure_memory(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = fleet_quiet(fleet, why); // the peak tells what it had before
    series_add(&rss_stops, machine_rss_kb(fleet->manager));
    report_series(report, &rss_stops);
    series_add(&rss_peak, machine_rss_peak_kb(fleet->manager));
    report_series(report, &rss_peak);
    return err;
}

enum reeve_err measure_end(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    series_add(&rss_end, machine_rss_kb(fleet->manager));
    report_series(report, &rss_end);
    const struct {
        const char *name;
        int64_t counted;
    } rows[] = {{"simulation_refused", atomic_load(&fleet->truth->refused)},
                {"simulation_malformed", atomic_load(&fleet->truth->malformed)}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        report_check(report, rows[i].name, rows[i].counted, 0);
    }
    return fleet_do(fleet, "describe", NULL, NULL, &fleet->described, why);
}
