// The worker's own word: what the program said, renewed as a heartbeat, damped when it changes fast [session-6].
// One timer: it stands for the next heartbeat, or for a change that came too soon after the last.
// Must not: publish in a session whose epoch is void, or while the worker plays dead.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <reeve/log.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEARTBEAT_JITTER 10 // per cent, so that a fleet started together does not speak together

enum reeve_availability worker_availability(const struct reeve_worker *worker)
{
    const struct worker_status *status = &worker->status;
    if (status->offline) {
        return REEVE_AVAILABILITY_OFFLINE;
    }
    if (status->draining) {
        return REEVE_AVAILABILITY_DRAINING;
    }
    if (status->paused) {
        return REEVE_AVAILABILITY_PAUSED;
    }
    return status->jobs > 0 || worker->jobs.in_hand > 0 ? REEVE_AVAILABILITY_PROCESSING : REEVE_AVAILABILITY_IDLE;
}

// Of what availability says; NULL where it needs none.
static const char *reason(const struct worker_status *status)
{
    if (status->offline) {
        return status->offline_reason;
    }
    return status->paused || status->draining ? status->reason : NULL;
}

static struct reeve_value *status_value(const struct reeve_worker *worker, bool offline)
{
    const struct worker_status *status = &worker->status;
    REEVE_VALUE_AUTO checks = worker_work_checks_value(&status->work);
    REEVE_VALUE_AUTO work = worker_work_value(&status->work);
    REEVE_VALUE_AUTO queues = worker_jobs_queues_value(worker);
    struct reeve_worker_status record = {
        .epoch = worker->session.epoch,
        .run = worker->settings.run,
        .offline = offline,
        .availability = worker_availability(worker),
        .reason = reason(status),
        .type = worker->program->type,
        .version = worker->program->version,
        .capabilities = &status->capabilities,
        .commands = status->commands,
        .pid = getpid(),
        .jobs = status->jobs + (int64_t)worker->jobs.in_hand,
        .heartbeat_ms = worker->settings.heartbeat_ms,
        .ttl_ms = 3 * worker->settings.heartbeat_ms,
        .started_at = status->started_at,
        .at = reeve_clock_wall_ms(),
        .safe_to_stop = !status->unsafe,
        .unsafe_reason = status->unsafe_reason,
        .checks = checks,
        .work = work,
        .queues = queues,
    };
    return reeve_worker_status_value(&record);
}

static enum reeve_err send_status(struct reeve_worker *worker, bool offline)
{
    REEVE_VALUE_AUTO record = status_value(worker, offline);
    struct reeve_bus_message message = {.topic = worker->topics.status,
                                        .qos = 1,
                                        .retain = true,
                                        .class = REEVE_BUS_STATE,
                                        .expiry_ms = 3 * worker->settings.heartbeat_ms};
    return record == NULL ? REEVE_NOMEM : reeve_bus_publish_value(worker->bus, &message, record, NULL);
}

static int64_t next_heartbeat(const struct reeve_worker *worker)
{
    uint32_t dice;
    int64_t heartbeat_ms = worker->settings.heartbeat_ms;
    int64_t span = heartbeat_ms * HEARTBEAT_JITTER / 100;
    reeve_random_bytes(&dice, sizeof dice);
    return heartbeat_ms - span + (int64_t)dice % (2 * span + 1);
}

static void publish_now(struct reeve_worker *worker)
{
    struct worker_status *status = &worker->status;
    enum reeve_err err = worker->session.renewing ? REEVE_OFFLINE : send_status(worker, false);
    status->published_mono = reeve_clock_mono_ms();
    // OFFLINE: the next session begins with a status anyway. Everything else gets better by itself or not at all.
    bool again = err != REEVE_OK && err != REEVE_OFFLINE;
    if (again) {
        reeve_log(REEVE_LOG_WARNING, "status", "err=%s retrying", reeve_err_text(err));
    }
    reeve_timer_start(&status->timer, again ? 1000 : next_heartbeat(worker), 0);
    status->held_until_mono = 0;
}

// Publish when `interval_ms` have passed since the last time; what comes until then goes out with it.
void worker_status_publish_within(struct reeve_worker *worker, int64_t interval_ms)
{
    struct worker_status *status = &worker->status;
    if (worker->bus == NULL || status->hanging || worker->leave.phase >= LEAVE_GOODBYE) {
        return;
    }
    int64_t until_mono = status->published_mono + interval_ms;
    int64_t wait_ms = until_mono - reeve_clock_mono_ms();
    if (status->published_mono == 0 || wait_ms <= 0) {
        publish_now(worker);
    } else if (status->held_until_mono == 0 || until_mono < status->held_until_mono) {
        status->held_until_mono = until_mono;
        reeve_timer_start(&status->timer, wait_ms, 0);
    }
}

static void on_timer(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)timer; /* heartbeat or held change: both say the same */
    if (!worker->status.hanging && worker->leave.phase < LEAVE_GOODBYE) {
        publish_now(worker);
    }
}

void worker_status_publish(struct reeve_worker *worker)
{
    worker_status_publish_within(worker, WORKER_STATUS_INTERVAL_MS);
}

// What changes with every job goes out with the next heartbeat anyway: it never makes one late.
void worker_status_publish_work(struct reeve_worker *worker)
{
    int64_t heartbeat_ms = worker->settings.heartbeat_ms;
    worker_status_publish_within(worker, heartbeat_ms < WORKER_WORK_INTERVAL_MS ? heartbeat_ms : WORKER_WORK_INTERVAL_MS);
}

void worker_status_repeat(struct reeve_worker *worker)
{
    worker_status_publish_within(worker, WORKER_RENEW_INTERVAL_MS);
}

void worker_status_goodbye(struct reeve_worker *worker)
{
    reeve_timer_stop(&worker->status.timer);
    if (worker->session.renewing) {
        return; // in a session that is void nothing counts, and the will says the same
    }
    enum reeve_err err = send_status(worker, true);
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "status", "goodbye not said err=%s ignoring", reeve_err_text(err));
    }
}

static struct reeve_value *args_value(const struct reeve_worker_arg *args)
{
    struct reeve_value *list = reeve_value_list();
    for (; args->name != NULL; args++) {
        struct reeve_value *arg = reeve_value_map();
        if (arg != NULL) {
            reeve_put_str(arg, "name", args->name);
            reeve_put_str(arg, "type", args->type);
            reeve_put_bool(arg, "required", args->required);
            reeve_put_str_opt(arg, "doc", args->doc);
        }
        (void)reeve_value_add(list, arg); /* remembered: reeve_value_built() */
    }
    return list;
}

struct reeve_value *worker_commands_value(const struct reeve_worker_command *commands)
{
    struct reeve_value *list = reeve_value_list();
    for (; list != NULL && commands != NULL && commands->name != NULL; commands++) {
        struct reeve_value *command = reeve_value_map();
        if (command != NULL) {
            reeve_put_str(command, "name", commands->name);
            reeve_put_str_opt(command, "summary", commands->summary);
            reeve_put_str_opt(command, "main_arg", commands->main_arg);
            if (commands->args != NULL) {
                (void)reeve_value_put(command, "args", args_value(commands->args)); /* remembered */
            }
        }
        (void)reeve_value_add(list, command); /* remembered: reeve_value_built() */
    }
    return list;
}

enum reeve_err worker_status_init(struct reeve_worker *worker)
{
    struct worker_status *status = &worker->status;
    reeve_timer_init(&worker->loop, &status->timer, on_timer, worker);
    status->started_at = reeve_clock_wall_ms();
    status->commands = worker_commands_value(worker->program->commands);
    if (status->commands == NULL || reeve_value_built(status->commands) != REEVE_OK) {
        return REEVE_NOMEM;
    }
    for (const char *const *name = worker->program->capabilities; name != NULL && *name != NULL; name++) {
        enum reeve_err err = reeve_strv_add(&status->capabilities, *name);
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}

void worker_status_close(struct reeve_worker *worker)
{
    reeve_timer_stop(&worker->status.timer);
}

void worker_status_done(struct reeve_worker *worker)
{
    reeve_strv_done(&worker->status.capabilities);
    reeve_value_free(worker->status.commands);
}

// ---- what the program says ---------------------------------------------------------------------------------------

void reeve_worker_set_jobs(struct reeve_worker *worker, int64_t jobs_in_hand)
{
    if (worker->status.jobs != jobs_in_hand) {
        worker->status.jobs = jobs_in_hand;
        worker_status_publish(worker);
    }
}

void reeve_worker_set_safe_to_stop(struct reeve_worker *worker, bool safe, const char *reason)
{
    struct worker_status *status = &worker->status;
    const char *text = safe || reason == NULL ? "" : reason;
    if (status->unsafe == !safe && strcmp(status->unsafe_reason, text) == 0) {
        return;
    }
    status->unsafe = !safe;
    (void)snprintf(status->unsafe_reason, sizeof status->unsafe_reason, "%s", text); /* cut is good enough to read */
    worker_status_publish(worker);
}

enum reeve_err reeve_worker_capability_add(struct reeve_worker *worker, const char *capability, struct reeve_why *why)
{
    struct reeve_strv *list = &worker->status.capabilities;
    if (reeve_strv_has(list, capability)) {
        return REEVE_OK;
    }
    if (list->len >= WORKER_CAPABILITIES_MAX) {
        return reeve_fail(why, REEVE_LIMIT, "a worker has at most %d capabilities", WORKER_CAPABILITIES_MAX);
    }
    enum reeve_err err = reeve_name_check(capability, why);
    if (err == REEVE_OK) {
        err = reeve_strv_add(list, capability);
    }
    if (err == REEVE_OK) {
        worker_status_publish(worker);
    }
    return err;
}

void reeve_worker_hang(struct reeve_worker *worker, bool on)
{
    if (worker->status.hanging == on) {
        return;
    }
    worker->status.hanging = on;
    if (on) {
        reeve_timer_stop(&worker->status.timer);
    } else {
        worker_status_publish(worker);
    }
    worker_notify_hang(worker, on);
    worker_jobs_touch(worker); // what was held back
}
