// What is timed at a system of queues: adding and processing together, adding alone, from enqueue to handler.
// Must not: count a job that was not timed: warm-ups have numbers of their own and are only audited.
#include "jobs.h"
#include "machine.h"

#include <stdio.h>
#include <string.h>

#define NS_S          1e9
#define WARM_UP_PART  10 // a tenth of what is measured
#define LARGE         1024
#define LARGE_DIVISOR 4 // of jobs with large payloads, so many fewer
#define LATENCY_WARM  200

// ---- processor time -------------------------------------------------------------------------------------------

enum { CPU_PRODUCER, CPU_WORKERS, CPU_FIRST_SERVER, CPU_MAX = CPU_FIRST_SERVER + 2 };
struct cpu {
    int64_t ns[CPU_MAX];
};

static struct cpu take_cpu(const struct jobs_run *run)
{
    struct cpu cpu = {.ns[CPU_PRODUCER] = machine_cpu_ns(run->producer.pid)};
    for (size_t i = 0; i < run->workers_len; i++) {
        cpu.ns[CPU_WORKERS] += machine_cpu_ns(run->workers[i].pid);
    }
    for (size_t i = 0; i < run->servers_len; i++) {
        cpu.ns[CPU_FIRST_SERVER + i] = machine_cpu_ns(run->servers[i].pid);
    }
    return cpu;
}

static const char *cpu_name(const struct jobs_run *run, int of)
{
    static const char *const names[][2] = {
        {"broker", "cpu_broker"}, {"manager", "cpu_manager"}, {"redis", "cpu_redis"}, {"beanstalkd", "cpu_beanstalkd"}};
    if (of < CPU_FIRST_SERVER) {
        return of == CPU_PRODUCER ? "cpu_producer" : "cpu_workers";
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
        if (strcmp(names[i][0], run->servers[of - CPU_FIRST_SERVER].name) == 0) {
            return names[i][1];
        }
    }
    return "cpu_other";
}

static void add_cpu(struct jobs_run *run, const struct figure_key *of, const struct cpu *before, int64_t jobs)
{
    struct cpu after = take_cpu(run);
    struct figure_key key = *of;
    int64_t all = 0;
    key.unit = "us/job";
    for (int i = 0; i < CPU_FIRST_SERVER + (int)run->servers_len; i++) {
        key.name = cpu_name(run, i);
        figure_add(run->figures, &key, (double)(after.ns[i] - before->ns[i]) / 1e3 / (double)jobs);
        all += after.ns[i] - before->ns[i];
    }
    key.name = "cpu_all";
    figure_add(run->figures, &key, (double)all / 1e3 / (double)jobs);
}

// ---- batches --------------------------------------------------------------------------------------------------

static int64_t jobs_of(const struct jobs_run *run, int64_t payload_bytes)
{
    int64_t jobs = run->options->jobs > 0 ? run->options->jobs : run->system->jobs;
    return payload_bytes >= LARGE && jobs >= LARGE_DIVISOR ? jobs / LARGE_DIVISOR : jobs;
}

static double rate(int64_t count, uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)count / ((double)(to_ns - from_ns) / NS_S) : 0;
}

static enum reeve_err do_batch(struct jobs_run *run, struct batch *batch, struct reeve_why *why)
{
    enum reeve_err err = run_order(run, batch, why);
    err = err == REEVE_OK ? run_await_acked(run, batch, why) : err;
    return err == REEVE_OK ? run_await_completed(run, batch, why) : err;
}

static enum reeve_err warm_up(struct jobs_run *run, int64_t count, int64_t payload_bytes, struct reeve_why *why)
{
    struct batch batch = {.count = count, .payload_bytes = payload_bytes};
    return do_batch(run, &batch, why);
}

static enum reeve_err end_to_end(struct jobs_run *run, int64_t workers, int64_t payload_bytes, struct reeve_why *why)
{
    struct batch batch = {.count = jobs_of(run, payload_bytes), .payload_bytes = payload_bytes};
    struct figure_key key = {.name = "end_to_end",
                             .system = run->system->name,
                             .unit = "jobs/s",
                             .workers = workers,
                             .payload_bytes = payload_bytes};
    enum reeve_err err = warm_up(run, batch.count / WARM_UP_PART + 1, payload_bytes, why);
    struct cpu cpu = take_cpu(run);
    err = err == REEVE_OK ? do_batch(run, &batch, why) : err;
    if (err == REEVE_OK) {
        figure_add(run->figures, &key, rate(batch.count, batch.began_ns, batch.completed_ns));
        add_cpu(run, &key, &cpu, batch.count);
    }
    return err;
}

static enum reeve_err latency(struct jobs_run *run, int64_t per_second, struct reeve_why *why)
{
    int64_t count = per_second * run->options->latency_ms / 1000;
    struct batch batch = {
        .count = count > 0 ? count : 1, .payload_bytes = run->options->payloads[0], .rate = per_second};
    struct figure_key key = {.name = "latency",
                             .system = run->system->name,
                             .unit = "ms",
                             .workers = 1,
                             .payload_bytes = batch.payload_bytes,
                             .rate = per_second};
    enum reeve_err err = run_workers(run, 1, why);
    err = err == REEVE_OK ? warm_up(run, LATENCY_WARM, batch.payload_bytes, why) : err;
    err = err == REEVE_OK ? do_batch(run, &batch, why) : err;
    return err == REEVE_OK ? jobs_latencies(run, &batch, &key, why) : err;
}

// Into an empty store and without workers; and what the jobs that wait take on disk. Then they are done, after a
// restart of what keeps them.
static enum reeve_err bulk(struct jobs_run *run, int64_t payload_bytes, struct reeve_why *why)
{
    struct batch batch = {.count = jobs_of(run, payload_bytes), .payload_bytes = payload_bytes};
    struct figure_key key = {
        .name = "bulk_add", .system = run->system->name, .unit = "jobs/s", .payload_bytes = payload_bytes};
    enum reeve_err err = run_forget(run, why);
    int64_t written = run_written_bytes(run), kept = run_disk_bytes(run);
    err = err == REEVE_OK ? run_order(run, &batch, why) : err;
    err = err == REEVE_OK ? run_await_acked(run, &batch, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    figure_add(run->figures, &key, rate(batch.count, batch.began_ns, batch.acked_ns));
    key.name = "written";
    key.unit = "B/job";
    figure_add(run->figures, &key, (double)(run_written_bytes(run) - written) / (double)batch.count);
    run_end_producer(run); // it is not made for a queue that goes away
    run->system->halt(run);
    key.name = "disk";
    figure_add(run->figures, &key, (double)(run_disk_bytes(run) - kept) / (double)batch.count);
    err = run->system->resume(run, why);
    err = err == REEVE_OK ? run_workers(run, 1, why) : err;
    return err == REEVE_OK ? run_await_completed(run, &batch, why) : err;
}

static enum reeve_err import(struct jobs_run *run, int64_t payload_bytes, struct reeve_why *why)
{
    struct batch batch = {.count = jobs_of(run, payload_bytes), .payload_bytes = payload_bytes};
    struct figure_key key = {
        .name = "import", .system = run->system->name, .unit = "jobs/s", .payload_bytes = payload_bytes};
    enum reeve_err err = run_forget(run, why);
    err = err == REEVE_OK ? run->system->import(run, &batch, why) : err;
    if (err == REEVE_OK) {
        figure_add(run->figures, &key, rate(batch.count, batch.began_ns, batch.acked_ns));
        err = run_workers(run, 1, why);
    }
    return err == REEVE_OK ? run_await_completed(run, &batch, why) : err;
}

enum reeve_err measure_jobs(struct jobs_run *run, bool with_latency, struct reeve_why *why)
{
    const struct jobs_options *options = run->options;
    enum reeve_err err = REEVE_OK;
    for (size_t w = 0; err == REEVE_OK && w < JOBS_LIST_MAX && options->workers[w] > 0; w++) {
        err = run_workers(run, options->workers[w], why);
        for (size_t p = 0; err == REEVE_OK && p < JOBS_LIST_MAX && options->payloads[p] > 0; p++) {
            err = end_to_end(run, options->workers[w], options->payloads[p], why);
        }
    }
    for (size_t r = 0; with_latency && err == REEVE_OK && r < JOBS_LIST_MAX && options->rates[r] > 0; r++) {
        err = latency(run, options->rates[r], why);
    }
    for (size_t p = 0; err == REEVE_OK && p < JOBS_LIST_MAX && options->payloads[p] > 0; p++) {
        err = bulk(run, options->payloads[p], why);
        err = err == REEVE_OK && run->system->import != NULL ? import(run, options->payloads[p], why) : err;
    }
    return err == REEVE_OK ? jobs_audit(run, why) : err;
}
