// The word of a session about itself: status of nodes and workers, and the last will beside it [session-2] [session-6].
// Writer and reader of each record stand together, so that a key is spelled in one place.
// Must not: know topics, clocks or what else is known about the same node or worker.
#include "record.h"

#include <reeve/codec.h>
#include <string.h>

enum reeve_err reeve_lwt_encode(uint64_t epoch, struct reeve_buf *buf)
{
    REEVE_ASSERT(epoch <= REEVE_EPOCH_MAX);
    REEVE_VALUE_AUTO record = reeve_value_map();
    if (record == NULL) {
        return REEVE_NOMEM;
    }
    reeve_put_int(record, "epoch", (int64_t)epoch);
    return reeve_value_built(record) == REEVE_OK ? reeve_msgpack_write(record, buf) : REEVE_NOMEM;
}

static struct reeve_value *capacity_value(const struct reeve_node_status *status)
{
    struct reeve_value *capacity = reeve_value_map();
    if (capacity != NULL) {
        presence_put_nonzero(capacity, "cpus", status->cpus);
        presence_put_nonzero(capacity, "memory_bytes", status->memory_bytes);
        presence_put_nonzero(capacity, "workers_max", status->workers_max);
    }
    return capacity;
}

static struct reeve_value *workers_value(const struct reeve_node_status *status)
{
    struct reeve_value *workers = reeve_value_map();
    if (workers != NULL) {
        reeve_put_int(workers, "total", status->workers_total);
        reeve_put_int(workers, "running", status->workers_running);
        reeve_put_int(workers, "failed", status->workers_failed);
    }
    return workers;
}

struct reeve_value *reeve_node_status_value(const struct reeve_node_status *status)
{
    static const char *const dispensable[] = {"round_trip", "labels", NULL};
    struct reeve_value *record = reeve_value_map();
    if (record == NULL) {
        return NULL;
    }
    REEVE_ASSERT(status->epoch <= REEVE_EPOCH_MAX);
    reeve_put_int(record, "epoch", (int64_t)status->epoch);
    reeve_put_str(record, "state", status->state);
    presence_put_text(record, "boot_id", status->boot_id, REEVE_NAME_LEN_MAX);
    presence_put_text(record, "version", status->version, REEVE_NAME_LEN_MAX);
    presence_put_text(record, "host", status->host, PRESENCE_TEXT_MAX);
    presence_put_nonzero(record, "pid", status->pid);
    presence_put_nonzero(record, "started_at", status->started_at);
    reeve_put_int(record, "at", status->at);
    reeve_put_int(record, "heartbeat_ms", status->heartbeat_ms);
    reeve_put_int(record, "ttl_ms", status->ttl_ms);
    presence_put_text(record, "region", status->region, PRESENCE_TEXT_MAX);
    presence_put_clone(record, "labels", status->labels);
    (void)reeve_value_put(record, "capacity", capacity_value(status)); /* remembered: reeve_value_built() */
    (void)reeve_value_put(record, "workers", workers_value(status));   /* remembered: reeve_value_built() */
    presence_put_text(record, "limits", status->limits, PRESENCE_TEXT_MAX);
    presence_put_nonzero(record, "beat", status->beat);
    presence_put_clone(record, "round_trip", status->round_trip);
    return presence_fit(record, dispensable);
}

static bool commands_too_large(struct reeve_value *record)
{
    return reeve_value_get(record, "commands") != NULL && presence_size(record) > REEVE_RETAINED_BYTES_MAX;
}

// A GUI can draw a button without its explanation: those go first.
static void strip_docs(struct reeve_value *record)
{
    struct reeve_value *commands = reeve_value_list();
    const struct reeve_value *full = reeve_value_get(record, "commands");
    for (size_t i = 0; commands != NULL && i < reeve_value_len(full); i++) {
        struct reeve_value *command = reeve_value_map();
        if (command != NULL) {
            presence_put_clone(command, "name", reeve_value_get(reeve_value_at(full, i), "name"));
        }
        (void)reeve_value_add(commands, command); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(record, "commands", commands); /* remembered: reeve_value_built() */
}

struct reeve_value *reeve_worker_status_value(const struct reeve_worker_status *status)
{
    static const char *const dispensable[] = {"checks", "commands", "capabilities", NULL};
    struct reeve_value *record = reeve_value_map();
    if (record == NULL) {
        return NULL;
    }
    REEVE_ASSERT(status->epoch <= REEVE_EPOCH_MAX);
    enum reeve_availability availability = status->offline ? REEVE_AVAILABILITY_OFFLINE : status->availability;
    reeve_put_int(record, "epoch", (int64_t)status->epoch);
    presence_put_nonzero(record, "run", status->run);
    reeve_put_str(record, "state", status->offline ? "offline" : "online");
    reeve_put_str_opt(record, "availability", reeve_availability_text(availability));
    presence_put_text(record, "reason", status->reason, PRESENCE_TEXT_MAX);
    presence_put_nonzero(record, "pid", status->pid);
    presence_put_text(record, "type", status->type, REEVE_NAME_LEN_MAX);
    presence_put_text(record, "version", status->version, REEVE_NAME_LEN_MAX);
    presence_put_strv(record, "capabilities", status->capabilities);
    presence_put_clone(record, "commands", status->commands);
    reeve_put_int(record, "jobs", status->jobs);
    reeve_put_bool(record, "safe_to_stop", status->safe_to_stop);
    presence_put_text(record, "unsafe_reason", status->safe_to_stop ? NULL : status->unsafe_reason, PRESENCE_TEXT_MAX);
    presence_put_clone(record, "checks", status->checks);
    presence_put_clone(record, "work", status->work);
    presence_put_clone(record, "queues", status->queues);
    reeve_put_int(record, "heartbeat_ms", status->heartbeat_ms);
    reeve_put_int(record, "ttl_ms", status->ttl_ms);
    presence_put_nonzero(record, "started_at", status->started_at);
    reeve_put_int(record, "at", status->at);
    if (commands_too_large(record)) {
        strip_docs(record);
    }
    return presence_fit(record, dispensable);
}

enum reeve_err presence_read_epoch(const struct reeve_value *record, struct reeve_witness *ret, struct reeve_why *why)
{
    const struct reeve_value *epoch = reeve_value_get(record, "epoch");
    if (epoch == NULL) {
        return reeve_fail(why, REEVE_INVALID, "epoch is missing");
    }
    int64_t number = reeve_value_number(epoch, -1);
    if (number < 0 || (uint64_t)number > REEVE_EPOCH_MAX) {
        return reeve_fail(why, REEVE_INVALID, "epoch is no whole number of 0..%llu",
                          (unsigned long long)REEVE_EPOCH_MAX);
    }
    *ret = (struct reeve_witness){.present = true, .epoch = (uint64_t)number};
    return REEVE_OK;
}

// A whole number from 0, or left out = 0.
static enum reeve_err read_count(const struct reeve_value *record, const char *key, int64_t *ret, struct reeve_why *why)
{
    const struct reeve_value *value = reeve_value_get(record, key);
    int64_t number = value == NULL ? 0 : reeve_value_number(value, -1);
    if (number < 0) {
        return reeve_fail(why, REEVE_INVALID, "%s is no whole number from 0", key);
    }
    *ret = number;
    return REEVE_OK;
}

static enum reeve_err read_heartbeat(const struct reeve_value *record, struct reeve_witness *witness,
                                     struct reeve_why *why)
{
    const struct reeve_value *value = reeve_value_get(record, "heartbeat_ms");
    int64_t heartbeat_ms = value == NULL ? 0 : reeve_value_number(value, -1);
    if (heartbeat_ms != 0 && (heartbeat_ms < PRESENCE_HEARTBEAT_MIN_MS || heartbeat_ms > PRESENCE_HEARTBEAT_MAX_MS)) {
        return reeve_fail(why, REEVE_INVALID, "heartbeat_ms is no whole number of %d..%d", PRESENCE_HEARTBEAT_MIN_MS,
                          PRESENCE_HEARTBEAT_MAX_MS);
    }
    witness->heartbeat_ms = heartbeat_ms;
    return REEVE_OK;
}

// `state` is one of `states` (NULL-terminated; the last one is the goodbye). Absent = the first.
static enum reeve_err read_state(const struct reeve_value *record, const char *const *states,
                                 struct reeve_witness *witness, struct reeve_why *why)
{
    const struct reeve_value *value = reeve_value_get(record, "state");
    if (value == NULL) {
        return REEVE_OK;
    }
    const char *text = reeve_value_kind(value) == REEVE_STR ? reeve_value_text(value) : NULL;
    for (size_t i = 0; text != NULL && states[i] != NULL; i++) {
        if (strcmp(text, states[i]) == 0) {
            witness->goodbye = states[i + 1] == NULL;
            return REEVE_OK;
        }
    }
    return reeve_fail(why, REEVE_INVALID, "state is none of those a session can have (%s ... offline)", states[0]);
}

static enum reeve_err read_session(const struct reeve_value *record, const char *const *states,
                                   struct reeve_witness *ret, struct reeve_why *why)
{
    struct reeve_witness witness;
    enum reeve_err err = presence_read_epoch(record, &witness, why);
    if (err == REEVE_OK) {
        err = read_heartbeat(record, &witness, why);
    }
    if (err == REEVE_OK) {
        err = read_count(record, "at", &witness.written_at, why);
    }
    if (err == REEVE_OK) {
        err = read_state(record, states, &witness, why);
    }
    if (err == REEVE_OK) {
        *ret = witness;
    }
    return err;
}

enum reeve_err presence_read_node_status(const struct reeve_value *record, struct reeve_witness *ret,
                                         struct reeve_why *why)
{
    static const char *const states[] = {"online", "draining", "offline", NULL};
    return read_session(record, states, ret, why);
}

enum reeve_err presence_read_worker_status(const struct reeve_value *record, struct reeve_witness *ret,
                                           struct reeve_why *why)
{
    static const char *const states[] = {"online", "offline", NULL};
    struct reeve_witness witness;
    enum reeve_err err = read_session(record, states, &witness, why);
    if (err == REEVE_OK) {
        err = read_count(record, "run", &witness.run, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    const char *availability = reeve_get_str(record, "availability");
    // A word that this build does not know comes from a newer one: the session is as alive without it.
    if (availability == NULL || !reeve_availability_parse(availability, &witness.availability)) {
        witness.availability = REEVE_AVAILABILITY_NONE;
    }
    *ret = witness;
    return REEVE_OK;
}

enum reeve_err presence_read_lwt(const struct reeve_value *record, struct reeve_witness *ret, struct reeve_why *why)
{
    struct reeve_witness witness;
    enum reeve_err err = presence_read_epoch(record, &witness, why);
    if (err == REEVE_OK) {
        witness.will = true;
        *ret = witness;
    }
    return err;
}
