// The worker's session with the broker: its epochs, its last will, and what others write on its topics [session-1..7].
// The rules are in epoch.c; here they meet the bus and the clock.
// Must not: decide about epochs by itself.
#include "worker.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t next_epoch(struct reeve_buf *will_payload, void *arg)
{
    struct reeve_worker *worker = arg;
    struct worker_session *session = &worker->session;
    session->epoch = epoch_next(reeve_clock_wall_ms(), session->floor);
    session->floor = session->epoch;
    session->renewing = false;
    (void)reeve_lwt_encode(session->epoch, will_payload); /* failed: will_payload->err, which the bus checks */
    return session->epoch;
}

// What another holder has to beat. An epoch that we have decided to take counts at once: the holder we are about to
// outbid must not send us away with its next heartbeat.
static struct epoch_holder own(const struct reeve_worker *worker)
{
    const struct worker_session *session = &worker->session;
    return (struct epoch_holder){.epoch = session->renewing ? session->floor + 1 : session->epoch,
                                 .started_at = worker->status.started_at,
                                 .pid = getpid()};
}

static void renew_now(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)timer; /* one timer, one purpose */
    if (worker->session.renewing && worker->leave.phase != LEAVE_GOODBYE && worker->leave.phase != LEAVE_GONE) {
        worker->session.renewed_mono = reeve_clock_mono_ms();
        reeve_bus_renew(worker->bus, "higher epoch");
    }
}

static void renew(struct reeve_worker *worker, uint64_t above, const char *cause)
{
    struct worker_session *session = &worker->session;
    if (above > session->floor) {
        session->floor = above;
    }
    if (session->renewing) {
        return;
    }
    session->renewing = true;
    int64_t due = session->renewed_mono + WORKER_RENEW_INTERVAL_MS - reeve_clock_mono_ms();
    reeve_log(REEVE_LOG_WARNING, "session", "cause=%s epoch=%llu seen=%llu renewing", cause,
              (unsigned long long)session->epoch, (unsigned long long)above);
    reeve_timer_start(&session->timer, session->renewed_mono == 0 ? 0 : due, 0);
}

static void publish_alarm(struct reeve_worker *worker, const struct epoch_holder *other)
{
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO alarm = reeve_value_map();
    reeve_put_str(alarm, "kind", "duplicate");
    reeve_put_str(alarm, "node", worker->settings.node);
    reeve_put_str(alarm, "worker", worker->settings.name);
    reeve_put_int(alarm, "epoch", (int64_t)worker->session.epoch);
    reeve_put_int(alarm, "pid", getpid());
    reeve_put_int(alarm, "other_epoch", (int64_t)other->epoch);
    reeve_put_int(alarm, "other_pid", other->pid);
    reeve_put_int(alarm, "at", reeve_clock_wall_ms());
    struct reeve_bus_message message = {
        .topic = reeve_topic_make(topic, worker->settings.root, "alarm/duplicate/%s", worker->settings.name),
        .qos = 1,
        .retain = true,
        .class = REEVE_BUS_STATE,
        .expiry_ms = WORKER_ALARM_TTL_MS};
    (void)reeve_bus_publish_value(worker->bus, &message, alarm, NULL); /* the log has said it */
}

static void leave_to(struct reeve_worker *worker, const struct epoch_holder *other)
{
    reeve_log(REEVE_LOG_ERROR, "session",
              "cause=duplicate worker=%s epoch=%llu other_epoch=%llu other_pid=%lld leaving", worker->settings.name,
              (unsigned long long)worker->session.epoch, (unsigned long long)other->epoch, (long long)other->pid);
    publish_alarm(worker, other);
    worker_leave_silently(worker, 125);
}

static bool read_holder(struct reeve_worker *worker, const struct reeve_delivery *delivery, struct epoch_holder *ret)
{
    REEVE_VALUE_AUTO record = NULL;
    enum reeve_err err = reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &record,
                                            NULL); /* whose it is matters, not where it is wrong */
    if (err != REEVE_OK || epoch_read(record, ret) != REEVE_OK) {
        worker->session.malformed++;
        reeve_log(REEVE_LOG_DEBUG, "session", "topic=%s malformed ignoring", delivery->topic);
        return false;
    }
    return true;
}

static bool leaving(const struct reeve_worker *worker)
{
    return worker->leave.phase == LEAVE_GOODBYE || worker->leave.phase == LEAVE_GONE;
}

static void act(struct reeve_worker *worker, enum epoch_verdict verdict, const struct epoch_holder *seen,
                const char *cause)
{
    switch (verdict) {
    case EPOCH_STAY:
        break;
    case EPOCH_REPUBLISH:
        worker_status_repeat(worker);
        break;
    case EPOCH_RENEW:
        renew(worker, seen->epoch, cause);
        break;
    case EPOCH_LEAVE:
        leave_to(worker, seen);
        break;
    case EPOCH_HOPELESS:
        reeve_log(REEVE_LOG_ERROR, "session", "cause=%s epoch=%llu no epoch is above it: remove the record by hand",
                  cause, (unsigned long long)seen->epoch);
        break;
    }
}

static void on_own_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct reeve_worker *worker = arg;
    struct epoch_holder seen;
    struct epoch_holder self = own(worker);
    (void)bus; /* the worker's */
    if (leaving(worker)) {
        return;
    }
    if (delivery->payload_len == 0) { // somebody cleared us away [topic-4]
        worker_status_repeat(worker);
    } else if (read_holder(worker, delivery, &seen)) {
        act(worker, epoch_judge_status(&self, &seen, delivery->retained), &seen, "status");
    }
}

static void on_own_lwt(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct reeve_worker *worker = arg;
    struct epoch_holder seen;
    (void)bus; /* the worker's */
    if (!leaving(worker) && delivery->payload_len > 0 && read_holder(worker, delivery, &seen)) {
        act(worker, epoch_judge_lwt(own(worker).epoch, seen.epoch), &seen, "lwt");
    }
}

static void on_session(struct reeve_bus *bus, uint64_t epoch, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)bus; /* the worker's */
    reeve_log(REEVE_LOG_INFO, "session", "worker=%s epoch=%llu opened", worker->settings.name,
              (unsigned long long)epoch);
    if (!leaving(worker)) {
        worker_status_publish(worker);
    }
}

static void on_ready(struct reeve_bus *bus, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)bus; /* the worker's */
    reeve_log(REEVE_LOG_INFO, "session", "worker=%s epoch=%llu ready", worker->settings.name,
              (unsigned long long)worker->session.epoch);
    worker_notify_ready(worker);
    worker_jobs_session(worker, true);
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    struct reeve_worker *worker = arg;
    char text[sizeof why->place + sizeof why->text];
    char quoted[512];
    (void)bus; /* the worker's */
    worker_jobs_session(worker, false);
    reeve_log(REEVE_LOG_WARNING, "session", "worker=%s why=%s retry_ms=%lld retrying", worker->settings.name,
              reeve_log_quote(reeve_why_format(why, text, sizeof text), quoted, sizeof quoted), (long long)retry_ms);
}

static enum reeve_err subscribe(struct reeve_worker *worker, struct reeve_why *why)
{
    const struct {
        const char *filter;
        unsigned flags;
        reeve_bus_handler *handler;
    } rows[] = {
        {worker->topics.commands, REEVE_BUS_NO_RETAINED, worker_on_command},
        {worker->topics.lwt, 0, on_own_lwt},
        {worker->topics.status, 0, on_own_status},
        {worker->topics.job, REEVE_BUS_NO_RETAINED, worker_on_job},
    };
    size_t len = REEVE_ARRAY_LEN(rows) - (worker->program->jobs == NULL ? 1 : 0);
    for (size_t i = 0; i < len; i++) {
        enum reeve_err err =
            reeve_bus_subscribe(worker->bus, rows[i].filter, 1, rows[i].flags, rows[i].handler, worker, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}

void worker_session_init(struct reeve_worker *worker)
{
    reeve_timer_init(&worker->loop, &worker->session.timer, renew_now, worker);
}

// The broker lets a user read only the replies to its own name, and workers of a node share one user.
static const char *client_of(const struct worker_settings *settings)
{
    const char *user = settings->broker.username;
    return user != NULL && reeve_name_check(user, NULL) == REEVE_OK ? user : settings->name;
}

enum reeve_err worker_session_open(struct reeve_worker *worker, struct reeve_why *why)
{
    char client_id[2 * REEVE_NAME_SIZE];
    char hex[9];
    struct reeve_bus_options options = {.loop = &worker->loop,
                                        .broker = &worker->settings.broker,
                                        .root = worker->settings.root,
                                        .client = client_of(&worker->settings),
                                        .client_id = client_id,
                                        .next_epoch = next_epoch,
                                        .will_topic = worker->topics.lwt,
                                        .on_session = on_session,
                                        .on_ready = on_ready,
                                        .on_lost = on_lost,
                                        .arg = worker};
    (void)snprintf(client_id, sizeof client_id, "%s-%s", worker->settings.name, reeve_hex_random(hex, 8)); /* fits */
    enum reeve_err err = reeve_bus_new(&options, &worker->bus, why);
    if (err == REEVE_OK) {
        err = subscribe(worker, why);
    }
    if (err == REEVE_OK) {
        reeve_bus_start(worker->bus);
    }
    return err;
}

void worker_session_close(struct reeve_worker *worker)
{
    reeve_timer_stop(&worker->session.timer);
}
