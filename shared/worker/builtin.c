// The commands every worker has: pause resume drain offline online configure describe.
// Rows of the same kind as those a program declares.
// Must not: end the process; leaving is a matter of signals and of the daemon.
#include "worker.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void set_reason(char reason[WORKER_TEXT_SIZE], const struct reeve_call *call)
{
    const char *given = reeve_get_str(reeve_call_args(call), "reason");
    (void)snprintf(reason, WORKER_TEXT_SIZE, "%s", given == NULL ? "" : given); /* cut */
}

static bool takes_work(const struct reeve_worker *worker)
{
    return !worker->status.paused && !worker->status.draining && !worker->status.offline;
}

// The program hears what it may do, not why: once when it may take no more work, once when it may again.
static void tell_program(struct reeve_worker *worker, bool took_work)
{
    bool takes = takes_work(worker);
    void (*hook)(struct reeve_worker *worker) = takes ? worker->program->resume : worker->program->pause;
    if (takes != took_work) {
        worker_jobs_may(worker);
    }
    if (takes != took_work && hook != NULL) {
        hook(worker);
    }
}

static enum reeve_err run_pause(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    if (worker->status.draining) {
        return reeve_fail(why, REEVE_CONFLICT, "it drains, which is more than a pause; `resume` ends both");
    }
    bool before = worker->status.paused;
    bool took_work = takes_work(worker);
    set_reason(worker->status.reason, call);
    worker->status.paused = true;
    tell_program(worker, took_work);
    worker_status_publish(worker);
    return reeve_call_done(call, NULL, before ? "it was paused already" : NULL);
}

static enum reeve_err run_resume(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    if (worker->leave.phase != LEAVE_NOT) {
        return reeve_fail(why, REEVE_CONFLICT, "it is about to leave");
    }
    bool before = worker->status.paused || worker->status.draining;
    bool took_work = takes_work(worker);
    worker->status.paused = false;
    worker->status.draining = false;
    worker->status.reason[0] = '\0';
    worker->jobs.drained_asked = false;
    if (worker->calls.drain != NULL) {
        struct reeve_why resumed = {.text = "resumed before it was drained"};
        (void)reeve_call_fail(worker->calls.drain, REEVE_CANCELLED, &resumed); /* always OK */
    }
    tell_program(worker, took_work);
    worker_status_publish(worker);
    if (worker->status.offline) {
        return reeve_call_done(call, NULL, "it stays offline; `online` ends that");
    }
    return reeve_call_done(call, NULL, before ? NULL : "it was not paused");
}

// Session and heartbeat stay, and what is in hand is finished. Ended by `online` and by nothing else while the process lives.
static enum reeve_err run_offline(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    bool before = worker->status.offline;
    bool took_work = takes_work(worker);
    (void)why; /* can't fail */
    set_reason(worker->status.offline_reason, call);
    worker->status.offline = true;
    tell_program(worker, took_work);
    worker_status_publish(worker);
    return reeve_call_done(call, NULL, before ? "it was offline already" : NULL);
}

static enum reeve_err run_online(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    bool before = worker->status.offline;
    bool took_work = takes_work(worker);
    (void)why; /* can't fail */
    worker->status.offline = false;
    worker->status.offline_reason[0] = '\0';
    tell_program(worker, took_work);
    worker_status_publish(worker);
    if (before && !takes_work(worker)) {
        return reeve_call_done(call, NULL, worker->status.draining ? "it still drains; `resume` ends that"
                                                                   : "it is still paused; `resume` ends that");
    }
    return reeve_call_done(call, NULL, before ? NULL : "it was not offline");
}

static enum reeve_err run_drain(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    if (worker->calls.drain != NULL) {
        return reeve_fail(why, REEVE_CONFLICT, "it drains already");
    }
    set_reason(worker->status.reason, call);
    worker->status.draining = true;
    worker->calls.drain = call;
    worker_jobs_may(worker);
    worker_status_publish(worker);
    if (worker->program->drain == NULL) {
        reeve_worker_drained(worker);
    } else {
        worker->program->drain(worker);
    }
    return REEVE_OK;
}

static enum reeve_err run_configure(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    bool dry_run = call->command.dry_run;
    enum reeve_err err = worker_config_apply(worker, reeve_call_args(call), dry_run, why);
    if (err != REEVE_OK) {
        return err;
    }
    return reeve_call_done(call, NULL, dry_run ? "dry run: this configuration would be taken" : NULL);
}

static struct reeve_value *counters_value(const struct reeve_worker *worker)
{
    struct reeve_value *counters = reeve_value_map();
    if (counters != NULL) {
        reeve_put_int(counters, "done", (int64_t)worker->calls.done);
        reeve_put_int(counters, "failed", (int64_t)worker->calls.failed);
        reeve_put_int(counters, "refused", (int64_t)worker->calls.refused);
        reeve_put_int(counters, "repeated", (int64_t)worker->calls.repeated);
        reeve_put_int(counters, "unanswered", (int64_t)worker->calls.unanswered);
        reeve_put_int(counters, "in_hand", (int64_t)worker->calls.open_len);
        reeve_put_int(counters, "remembered", (int64_t)history_len(worker->calls.history));
        reeve_put_int(counters, "malformed_own_records", (int64_t)worker->session.malformed);
    }
    return counters;
}

static enum reeve_err run_describe(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    struct reeve_value *result = reeve_value_map();
    if (result == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the answer");
    }
    reeve_put_str(result, "node", worker->settings.node);
    reeve_put_str(result, "worker", worker->settings.name);
    reeve_put_str(result, "type", worker->program->type);
    reeve_put_str_opt(result, "version", worker->program->version);
    reeve_put_str_opt(result, "summary", worker->program->summary);
    reeve_put_str(result, "sdk", REEVE_VERSION);
    reeve_put_int(result, "epoch", (int64_t)worker->session.epoch);
    reeve_put_int(result, "run", worker->settings.run);
    reeve_put_int(result, "pid", getpid());
    reeve_put_int(result, "started_at", worker->status.started_at);
    reeve_put_str(result, "availability", reeve_availability_text(worker_availability(worker)));
    struct reeve_value *config = worker_config_shown(worker);
    struct reeve_value *jobs = worker_jobs_stats_value(worker);
    // Each put remembers its failure; reeve_value_built() tells.
    (void)reeve_value_put(result, "commands", reeve_value_clone(worker->status.commands));
    (void)reeve_value_put(result, "builtin", worker_commands_value(worker_builtin));
    (void)reeve_value_put(result, "config", config == NULL ? reeve_value_null() : config);
    (void)reeve_value_put(result, "calls", counters_value(worker));
    (void)reeve_value_put(result, "bus", reeve_bus_stats_value(worker->bus));
    if (jobs != NULL) {
        (void)reeve_value_put(result, "jobs", jobs); /* remembered, like the others */
    }
    if (reeve_value_built(result) != REEVE_OK) {
        reeve_value_free(result);
        return reeve_fail(why, REEVE_NOMEM, "no memory for the answer");
    }
    return reeve_call_done(call, result, NULL);
}

static const struct reeve_worker_arg reason_args[] = {
    {.name = "reason", .type = "string", .doc = "Shown in the status."},
    {0},
};
static const struct reeve_worker_arg no_args[] = {{0}};

const struct reeve_worker_command worker_builtin[] = {
    {.name = "pause", .summary = "Take no new work.", .main_arg = "reason", .args = reason_args, .run = run_pause},
    {.name = "resume", .summary = "Take work again, after pause or drain.", .args = no_args, .run = run_resume},
    {.name = "offline",
     .summary = "Take no new work until `online`, whatever else is said; the heartbeat stays.",
     .main_arg = "reason",
     .args = reason_args,
     .run = run_offline},
    {.name = "online", .summary = "Take work again, after offline.", .args = no_args, .run = run_online},
    {.name = "drain",
     .summary = "Take no new work, finish what is in hand; done when that is finished.",
     .main_arg = "reason",
     .args = reason_args,
     .run = run_drain},
    {.name = "configure", .summary = "Take a new configuration, whole.", .run = run_configure},
    {.name = "describe", .summary = "Commands, configuration and counters.", .args = no_args, .run = run_describe},
    {0},
};
