// The worker's own topics beside its status: events, metrics, progress.
// The bus keeps events through an outage and drops the others when there is no room; it counts both.
// Must not: wait for the broker.
#include "worker.h"

#include <reeve/clock.h>

static enum reeve_err publish(struct reeve_worker *worker, const struct reeve_bus_message *message,
                              struct reeve_value *record)
{
    REEVE_VALUE_AUTO owned = record;
    if (owned == NULL) {
        return REEVE_NOMEM;
    }
    reeve_put_int(owned, "epoch", (int64_t)worker->session.epoch);
    reeve_put_int(owned, "at", reeve_clock_wall_ms());
    enum reeve_err err = reeve_value_built(owned);
    return err == REEVE_OK ? reeve_bus_publish_value(worker->bus, message, owned, NULL) : err;
}

enum reeve_err worker_publish_event(struct reeve_worker *worker, const char *kind, struct reeve_value *detail)
{
    struct reeve_bus_message message = {.topic = worker->topics.event, .qos = 1, .class = REEVE_BUS_EVENT};
    struct reeve_value *record = reeve_value_map();
    if (record == NULL) {
        reeve_value_free(detail);
        return REEVE_NOMEM;
    }
    reeve_put_str(record, "kind", kind);
    reeve_put_int(record, "seq", ++worker->event_seq);
    if (detail != NULL) {
        (void)reeve_value_put(record, "detail", detail); /* remembered: reeve_value_built() */
    }
    return publish(worker, &message, record);
}

enum reeve_err reeve_worker_event(struct reeve_worker *worker, const char *kind, const struct reeve_value *detail)
{
    struct reeve_value *copy = detail == NULL ? NULL : reeve_value_clone(detail);
    return detail != NULL && copy == NULL ? REEVE_NOMEM : worker_publish_event(worker, kind, copy);
}

static enum reeve_err publish_bulk(struct reeve_worker *worker, const char *topic, const struct reeve_value *record)
{
    struct reeve_bus_message message = {.topic = topic, .class = REEVE_BUS_BULK};
    return publish(worker, &message, record == NULL ? reeve_value_map() : reeve_value_clone(record));
}

enum reeve_err reeve_worker_metrics(struct reeve_worker *worker, const struct reeve_value *metrics)
{
    return publish_bulk(worker, worker->topics.metrics, metrics);
}

enum reeve_err reeve_worker_progress(struct reeve_worker *worker, const struct reeve_value *progress)
{
    return publish_bulk(worker, worker->topics.progress, progress);
}
