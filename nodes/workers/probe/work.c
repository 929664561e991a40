// Commands that make the worker say something about its work: jobs in hand, safe to stop, checks, counters, progress.
// What it says is what a manager judges it by.
// Must not: do any work; load.c does.
#include "probe.h"

#include <math.h>

#define JOBS_MAX 1000000

static int64_t busy;  // as told
static bool draining; // say so when nothing is in hand

void probe_jobs_changed(struct reeve_worker *worker)
{
    int64_t jobs = busy + probe_loads();
    reeve_worker_set_jobs(worker, jobs);
    if (draining && jobs == 0) {
        draining = false;
        reeve_worker_drained(worker);
    }
}

void probe_drain(struct reeve_worker *worker)
{
    draining = true;
    probe_jobs_changed(worker);
}

enum reeve_err probe_busy(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    int64_t jobs = reeve_get_int(reeve_call_args(call), "jobs", 0);
    if (jobs < 0 || jobs > JOBS_MAX) {
        return reeve_fail(why, REEVE_INVALID, "jobs: %lld is not within 0..%d", (long long)jobs, JOBS_MAX);
    }
    busy = jobs;
    probe_jobs_changed(worker);
    return reeve_call_done(call, NULL, NULL);
}

enum reeve_err probe_unsafe(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    const char *reason = reeve_get_str(reeve_call_args(call), "reason");
    (void)why; /* can't fail */
    reeve_worker_set_safe_to_stop(worker, reason == NULL, reason);
    return reeve_call_done(call, NULL, NULL);
}

enum reeve_err probe_check(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    const struct reeve_value *args = reeve_call_args(call);
    const char *name = reeve_get_str(args, "name");
    if (reeve_get_bool(args, "clear", false)) {
        reeve_worker_check_clear(worker, name);
        return reeve_call_done(call, NULL, NULL);
    }
    enum reeve_err err = reeve_worker_check(
        worker, name, reeve_get_bool(args, "ok", true), reeve_value_real(reeve_value_get(args, "value"), NAN),
        reeve_value_real(reeve_value_get(args, "warn"), NAN), reeve_value_real(reeve_value_get(args, "fail"), NAN),
        reeve_get_str(args, "message"));
    if (err == REEVE_LIMIT) {
        return reeve_fail(why, err, "a worker has at most %d checks", REEVE_WORKER_CHECKS_MAX);
    }
    return err == REEVE_OK ? reeve_call_done(call, NULL, NULL) : reeve_name_check(name, why);
}

enum reeve_err probe_count(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    const struct reeve_value *args = reeve_call_args(call);
    (void)why; /* can't fail */
    reeve_worker_count(worker, reeve_get_int(args, "done", 0), reeve_get_int(args, "failed", 0));
    return reeve_call_done(call, NULL, NULL);
}

enum reeve_err probe_progress(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    const struct reeve_value *args = reeve_call_args(call);
    (void)why; /* can't fail */
    reeve_worker_set_progress(worker, reeve_value_real(reeve_value_get(args, "fraction"), -1), reeve_get_str(args, "text"));
    return reeve_call_done(call, NULL, NULL);
}
