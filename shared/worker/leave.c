// Leaving in order: drain, close the program, end the calls, goodbye status, DISCONNECT, exit [session-4].
//   staying ─SIGTERM, leave()─► draining ─drained, drain_ms over, second signal─► goodbye ─bus stopped─► gone
// Jobs in hand when drain_ms is over are told to stop and have a short grace of their own before the goodbye.
// Each step has a longest time, so that a worker always ends by itself before its daemon has to kill it.
// Must not: publish a goodbye for a name that somebody else holds now [session-7].
#include "worker.h"

#include <reeve/log.h>

static void gone(struct reeve_bus *bus, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)bus; /* the worker's */
    worker->leave.phase = LEAVE_GONE;
    uv_stop(&worker->loop);
}

static void say_goodbye(struct reeve_worker *worker)
{
    struct worker_leave *leave = &worker->leave;
    if (leave->phase >= LEAVE_GOODBYE) {
        return;
    }
    reeve_timer_stop(&leave->timer);
    if (worker->program->stop != NULL) {
        worker->program->stop(worker);
    }
    worker_jobs_goodbye(worker);
    worker_calls_cancel(worker);
    leave->phase = LEAVE_GOODBYE;
    if (!leave->silently) {
        worker_status_goodbye(worker);
    }
    worker_notify_close(worker);
    worker_session_close(worker);
    reeve_bus_stop(worker->bus, WORKER_GOODBYE_MS, gone, worker);
}

static void on_timer(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)timer; /* one timer, one purpose */
    bool in_time = worker->leave.drained || worker->leave.silently || worker->leave.stopping;
    if (worker->leave.phase == LEAVE_DRAINING && !in_time && worker_jobs_stop(worker)) {
        worker->leave.stopping = true;
        reeve_timer_start(&worker->leave.timer, WORKER_JOBS_STOP_MS, 0);
        return;
    }
    if (worker->leave.phase == LEAVE_DRAINING && !worker->leave.drained && !worker->leave.silently) {
        reeve_log(REEVE_LOG_WARNING, "leave", "worker=%s not drained in time, ignoring", worker->settings.name);
    }
    say_goodbye(worker);
}

// From a callback of the bus or the program nothing may be torn down: the loop's next turn does it.
static void goodbye_soon(struct reeve_worker *worker)
{
    reeve_timer_start(&worker->leave.timer, 0, 0);
}

void worker_leave_init(struct reeve_worker *worker)
{
    reeve_timer_init(&worker->loop, &worker->leave.timer, on_timer, worker);
}

void reeve_worker_leave(struct reeve_worker *worker, int exit_code)
{
    struct worker_leave *leave = &worker->leave;
    if (leave->phase != LEAVE_NOT) {
        return;
    }
    int64_t drain_ms = worker->program->drain_ms > 0 ? worker->program->drain_ms : WORKER_DRAIN_MS_PRESET;
    reeve_log(REEVE_LOG_INFO, "leave", "worker=%s exit=%d draining", worker->settings.name, exit_code);
    leave->phase = LEAVE_DRAINING;
    leave->exit_code = exit_code;
    worker->status.draining = true;
    worker_jobs_may(worker);
    if (worker->program->drain == NULL && worker_jobs_finished(worker)) {
        reeve_worker_drained(worker);
        return;
    }
    worker_status_publish(worker);
    reeve_timer_start(&leave->timer, drain_ms, 0);
    if (worker->program->drain == NULL) {
        reeve_worker_drained(worker);
    } else {
        worker->program->drain(worker);
    }
}

void worker_leave_silently(struct reeve_worker *worker, int exit_code)
{
    if (worker->leave.phase >= LEAVE_GOODBYE) {
        return;
    }
    worker->leave.phase = LEAVE_DRAINING;
    worker->leave.exit_code = exit_code;
    worker->leave.silently = true;
    goodbye_soon(worker);
}

void worker_leave_hasten(struct reeve_worker *worker)
{
    if (worker->leave.phase == LEAVE_DRAINING) {
        reeve_log(REEVE_LOG_INFO, "leave", "worker=%s second signal, not waiting", worker->settings.name);
        say_goodbye(worker);
    }
}

void worker_leave_close(struct reeve_worker *worker)
{
    reeve_timer_stop(&worker->leave.timer);
}

void reeve_worker_drained(struct reeve_worker *worker)
{
    bool asked = worker->calls.drain != NULL || worker->leave.phase == LEAVE_DRAINING;
    worker->jobs.drained_asked = asked && !worker_jobs_finished(worker);
    if (worker->jobs.drained_asked) {
        return; // said again when the last report of a job is confirmed
    }
    if (worker->calls.drain != NULL) {
        (void)reeve_call_done(worker->calls.drain, NULL, NULL); /* always OK */
    }
    if (worker->leave.phase == LEAVE_DRAINING) {
        worker->leave.drained = true;
        goodbye_soon(worker);
    }
}
