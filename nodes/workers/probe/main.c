// A worker in C: a table of commands, a table of configuration, a main of one line. The SDK does the rest.
// This file is the example of docs/worker-sdk.md.
// Must not: grow; what a command needs beyond a few lines is in load.c, work.c, fault.c and jobs.c.
#include "probe.h"

#include <reeve/log.h>
#include <reeve/loop.h>
#include <reeve/record.h>

// ---- a command: gets a call, ends it with done or fail, now or later ----------------------------------------------

static enum reeve_err echo(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    (void)worker; /* answers from the call alone */
    (void)why;    /* can't fail */
    return reeve_call_done(call, reeve_value_clone(reeve_call_args(call)), NULL);
}

static enum reeve_err belongs(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    struct reeve_value *result = reeve_value_map();
    if (result == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the answer");
    }
    reeve_put_str_opt(result, "pool", reeve_worker_pool(worker));
    reeve_put_str_opt(result, "account", reeve_worker_account(worker));
    reeve_put_int(result, "fence", reeve_worker_fence(worker));
    return reeve_call_done(call, result, NULL);
}

#define ARGS(...) ((const struct reeve_worker_arg[]){__VA_ARGS__, {0}})

static const struct reeve_worker_command commands[] = {
    {.name = "echo", .summary = "Answers with its arguments.", .main_arg = "text", .run = echo},
    {.name = "sleep",
     .summary = "Answers after a while.",
     .main_arg = "ms",
     .args = ARGS({"ms", "duration", true, "How long; at most 1h."}),
     .run = probe_sleep},
    {.name = "allocate",
     .summary = "Takes memory, touches it and keeps it; 0 gives all back.",
     .main_arg = "bytes",
     .args = ARGS({"bytes", "size", true, "How much more."}),
     .run = probe_allocate},
    {.name = "spin",
     .summary = "Burns CPU time.",
     .main_arg = "ms",
     .args = ARGS({"ms", "duration", true, "How long; at most 1h."},
                  {"block", "bool", false, "On the loop itself: no heartbeat, no command until it is over."}),
     .run = probe_spin},
    {.name = "busy",
     .summary = "Says that so many jobs are in hand.",
     .main_arg = "jobs",
     .args = ARGS({"jobs", "int", true, "0 = idle. What sleeps and spins counts as well."}),
     .run = probe_busy},
    {.name = "unsafe",
     .summary = "Says that it is not safe to stop it now; without a reason: that it is.",
     .main_arg = "reason",
     .args = ARGS({"reason", "string", false, "An order is open."}),
     .run = probe_unsafe},
    {.name = "check",
     .summary = "Declares a check of its own domain, or renews it.",
     .args = ARGS({"name", "string", true, "Of the check."}, {"ok", "bool", false, "Preset true."},
                  {"value", "real", false, "Measured."}, {"warn", "real", false, "Threshold."},
                  {"fail", "real", false, "Threshold."}, {"message", "string", false, "For people."},
                  {"clear", "bool", false, "It is watched no more."}),
     .main_arg = "name",
     .run = probe_check},
    {.name = "count",
     .summary = "Says that so many more jobs ended.",
     .args = ARGS({"done", "int", false, "Well."}, {"failed", "int", false, "Not well."}),
     .run = probe_count},
    {.name = "progress",
     .summary = "Says how far the job in hand is.",
     .args =
         ARGS({"fraction", "real", true, "0..1; below 0: it tells none."}, {"text", "string", false, "What it is at."}),
     .main_arg = "fraction",
     .run = probe_progress},
    {.name = "belongs", .summary = "Answers with pool, account and fencing number.", .run = belongs},
    {.name = "crash",
     .summary = "Ends itself by a signal.",
     .main_arg = "signal",
     .args = ARGS({"signal", "string", false, "SEGV (preset), ABRT, KILL, BUS, FPE, TERM or a number."}),
     .run = probe_crash},
    {.name = "hang",
     .summary = "Stops its heartbeat and its watchdog, but stays.",
     .args = ARGS({"on", "bool", false, "false ends it."}),
     .main_arg = "on",
     .run = probe_hang},
    {.name = "exit",
     .summary = "Ends with an exit code, without a goodbye.",
     .main_arg = "code",
     .args =
         ARGS({"code", "int", false, "0..255; preset 0."}, {"goodbye", "bool", false, "Drain and say goodbye first."}),
     .run = probe_exit},
    {0},
};

// ---- configuration: decoded and checked by this table, at start and with the command `configure` ------------------

static const struct reeve_field queue_fields[] = {
    {.name = "queue",
     .type = REEVE_FIELD_NAME,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct probe_queue, queue),
     .doc = "Its name."},
    {.name = "concurrency",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct probe_queue, concurrency),
     .min = 1,
     .max = 1000,
     .preset = "1",
     .doc = "Jobs that run at the same time."},
    {.name = "prefetch",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct probe_queue, prefetch),
     .min = -1,
     .max = 1000,
     .preset = "0",
     .doc = "Jobs that wait here beside them; 0 = as many as run, -1 = none."},
};
static const struct reeve_record queue_record =
    REEVE_RECORD("queue", struct probe_queue, queue_fields, "A queue whose jobs the probe does.");

static const struct reeve_field config_fields[] = {
    {.name = "tick",
     .type = REEVE_FIELD_DURATION,
     .offset = offsetof(struct probe_config, tick_ms),
     .min = 0,
     .max = 86400000,
     .preset = "0",
     .doc = "Log a line and publish metrics this often. 0 = never."},
    {.name = "greeting",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct probe_config, greeting),
     .max = 200,
     .preset = "tick",
     .doc = "What the line says."},
    {.name = "account",
     .type = REEVE_FIELD_VALUE,
     .flags = REEVE_FIELD_SECRET,
     .offset = offsetof(struct probe_config, account),
     .doc = "Settings of the account that it runs for: logged, without its secrets."},
    {.name = "queues",
     .type = REEVE_FIELD_RECORDS,
     .offset = offsetof(struct probe_config, queues),
     .record = &queue_record,
     .min = 0,
     .max = REEVE_WORKER_QUEUES_MAX,
     .doc = "Queues whose jobs it takes, from its start on."},
    {.name = "jobs_file",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct probe_config, jobs_file),
     .doc = "Where each run of a job is written down, a JSON object a line."},
};
static const struct reeve_record config_record =
    REEVE_RECORD("probe", struct probe_config, config_fields, "Configuration of reeve-worker-probe.");

// ---- the tick: work of its own on the loop ---------------------------------------------------------------------

static struct reeve_timer ticker;
static int64_t ticks;

static void tick(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    const struct probe_config *config = reeve_worker_config(worker);
    REEVE_VALUE_AUTO metrics = reeve_value_map();
    ticks++;
    reeve_log(REEVE_LOG_INFO, "probe", "%s number=%lld", config->greeting, (long long)ticks);
    reeve_put_int(metrics, "ticks", ticks);
    (void)reeve_worker_metrics(worker, metrics); /* metrics may be dropped, the bus counts */
    reeve_timer_start(timer, config->tick_ms, 0);
}

static enum reeve_err start(struct reeve_worker *worker, struct reeve_why *why)
{
    const struct probe_config *config = reeve_worker_config(worker);
    probe_account(config->account);
    reeve_timer_init(reeve_worker_loop(worker), &ticker, tick, worker);
    if (config->tick_ms > 0) {
        reeve_timer_start(&ticker, config->tick_ms, 0);
    }
    return probe_jobs_start(worker, config, why);
}

static enum reeve_err configure(struct reeve_worker *worker, const void *next, const struct reeve_value *tree,
                                struct reeve_why *why)
{
    const struct probe_config *config = next;
    (void)worker; /* the new configuration is all it takes */
    (void)tree;   /* decoded */
    (void)why;    /* the table has checked it */
    probe_account(config->account);
    reeve_timer_stop(&ticker);
    if (config->tick_ms > 0) {
        reeve_timer_start(&ticker, config->tick_ms, 0);
    }
    return REEVE_OK;
}

static void stop(struct reeve_worker *worker)
{
    (void)worker; /* there is one */
    reeve_timer_stop(&ticker);
    probe_load_stop();
    probe_jobs_stop();
}

int main(int argc, char **argv)
{
    static const char *const capabilities[] = {"diagnosis", NULL};
    static const struct reeve_worker_program program = {
        .type = "probe",
        .version = REEVE_VERSION,
        .summary = "does on purpose what workers do by accident, for tests and diagnosis",
        .capabilities = capabilities,
        .commands = commands,
        .jobs = probe_job_types,
        .config_record = &config_record,
        .start = start,
        .configure = configure,
        .drain = probe_drain,
        .stop = stop,
    };
    return reeve_worker_main(argc, argv, &program);
}
