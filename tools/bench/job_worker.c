// reeve-bench-job-worker: a worker of the SDK whose handler ends at once, and writes down which job it was and when.
// Must not: do anything else; what is measured is the way to the handler and back.
#include "job_ledger.h"

#include <reeve/cursor.h>
#include <reeve/loop.h>
#include <reeve/worker.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_MS 5

static struct job_ledger ledger;
static struct reeve_timer flush;

// {number, pad}
static bool read_number(const struct reeve_job *job, uint64_t *ret)
{
    size_t len = 0;
    const void *payload = reeve_job_payload_bytes(job, &len);
    struct reeve_cursor cursor = REEVE_CURSOR(payload, len);
    bool found = false;
    for (size_t n = reeve_cursor_map(&cursor); n > 0 && cursor.err == REEVE_OK && !found; n--) {
        struct reeve_span key = reeve_cursor_str(&cursor);
        found = reeve_span_is(key, "number");
        if (found) {
            *ret = (uint64_t)reeve_cursor_int(&cursor);
        } else {
            (void)reeve_cursor_skip(&cursor);
        }
    }
    return found && cursor.err == REEVE_OK;
}

static enum reeve_err run(struct reeve_worker *worker, struct reeve_job *job, struct reeve_why *why)
{
    uint64_t now_ns = job_now_ns(), number = 0;
    (void)worker;
    if (!read_number(job, &number)) {
        return reeve_fail(why, REEVE_INVALID, "no number");
    }
    job_ledger_add(&ledger, number, now_ns);
    if (ledger.entries_len == 1) { // the first since the last flush
        reeve_timer_start(&flush, FLUSH_MS, 0);
    }
    return reeve_job_done(job, NULL);
}

static void on_flush(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    ledger.head.ready = reeve_bus_state(reeve_worker_bus(worker)) == REEVE_BUS_READY ? 1 : ledger.head.ready;
    job_ledger_flush(&ledger);
    if (ledger.head.ready == 0) {
        reeve_timer_start(timer, FLUSH_MS, 0);
    }
}

static enum reeve_err start(struct reeve_worker *worker, struct reeve_why *why)
{
    const struct reeve_value *config = reeve_worker_config_value(worker);
    const char *path = reeve_get_str(config, "ledger");
    const struct reeve_worker_queue queue = {.queue = reeve_get_str(config, "queue"),
                                             .concurrency = reeve_get_int(config, "concurrency", 1),
                                             .prefetch = reeve_get_int(config, "prefetch", 0)};
    if (path == NULL || queue.queue == NULL) {
        return reeve_fail(why, REEVE_INVALID, "no ledger or queue in the configuration");
    }
    enum reeve_err err = job_ledger_open(&ledger, path, why);
    job_ledger_plant(&ledger, reeve_get_str(config, "plant"));
    reeve_timer_init(reeve_worker_loop(worker), &flush, on_flush, worker);
    reeve_timer_start(&flush, FLUSH_MS, 0);
    return err == REEVE_OK ? reeve_worker_serve(worker, &queue, why) : err;
}

static void stop(struct reeve_worker *worker)
{
    (void)worker;
    job_ledger_flush(&ledger);
    reeve_timer_close(&flush, NULL);
}

int main(int argc, char **argv)
{
    static const struct reeve_worker_job_type jobs[] = {{.type = "noop", .run = run}, {0}};
    static const struct reeve_worker_program program = {.type = "bench",
                                                        .version = REEVE_VERSION,
                                                        .summary = "handles the jobs of a benchmark",
                                                        .jobs = jobs,
                                                        .start = start,
                                                        .stop = stop};
    return reeve_worker_main(argc, argv, &program);
}
