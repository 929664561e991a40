// What the operating system sees of a worker, as its daemon writes it and everybody reads it.
// Writer and reader of the record stand together, so that a key is spelled in one place.
// Must not: know topics, clocks or how a process is watched.
#include "record.h"

#include <stdio.h>
#include <string.h>

static struct reeve_value *exit_value(const struct reeve_process_record *record)
{
    struct reeve_value *end = reeve_value_map();
    if (end == NULL) {
        return NULL;
    }
    if (record->exit.signal != 0) {
        char name[24];
        const char *abbreviation = sigabbrev_np(record->exit.signal);
        if (abbreviation != NULL) {
            (void)snprintf(name, sizeof name, "SIG%s", abbreviation); /* longest known: SIGSTKFLT */
        } else {
            (void)snprintf(name, sizeof name, "signal %d", record->exit.signal); /* fits any int */
        }
        reeve_put_str(end, "signal", name);
        reeve_put_int(end, "signal_number", record->exit.signal);
    } else {
        reeve_put_int(end, "code", record->exit.code);
    }
    reeve_put_bool(end, "oom", record->exit.oom);
    presence_put_text(end, "cause", record->exit_cause, REEVE_NAME_LEN_MAX);
    reeve_put_int(end, "ran_ms", record->exit.ran_ms);
    presence_put_nonzero(end, "at", record->exit_at);
    presence_put_nonzero(end, "run", record->exit_run);
    return end;
}

static void put_limits(struct reeve_value *map, const struct reeve_process_record *record)
{
    if (record->memory_limit_bytes == 0 && record->pids_limit == 0 && !(record->cpu_limit > 0)) {
        return;
    }
    struct reeve_value *limits = reeve_value_map();
    if (limits != NULL) {
        presence_put_nonzero(limits, "memory_bytes", record->memory_limit_bytes);
        if (record->cpu_limit > 0) {
            (void)reeve_value_put(limits, "cpus", reeve_value_float(record->cpu_limit)); /* remembered */
        }
        presence_put_nonzero(limits, "pids", record->pids_limit);
        presence_put_strv(limits, "enforced", &record->enforced);
    }
    (void)reeve_value_put(map, "limits", limits); /* remembered: reeve_value_built() */
}

static void put_spec(struct reeve_value *map, const struct reeve_process_record *record)
{
    presence_put_text(map, "type", record->type, REEVE_NAME_LEN_MAX);
    presence_put_text(map, "exchange", record->exchange, REEVE_NAME_LEN_MAX);
    presence_put_strv(map, "capabilities", record->capabilities);
    presence_put_clone(map, "labels", record->labels);
    presence_put_nonzero(map, "version", record->spec_version);
    presence_put_text(map, "origin", record->origin, REEVE_NAME_LEN_MAX);
    presence_put_text(map, "command", record->program, PRESENCE_TEXT_MAX);
    presence_put_text(map, "pool", record->pool, REEVE_NAME_LEN_MAX);
    presence_put_text(map, "account", record->account, REEVE_NAME_LEN_MAX);
    presence_put_clone(map, "attributes", record->attributes);
    presence_put_nonzero(map, "fence", record->fence);
    put_limits(map, record);
    presence_put_text(map, "not_enforced", record->not_enforced, PRESENCE_TEXT_MAX);
}

static void put_run(struct reeve_value *map, const struct reeve_process_record *record)
{
    presence_put_nonzero(map, "pid", record->pid);
    presence_put_nonzero(map, "started_at", record->started_at);
    presence_put_nonzero(map, "ready_at", record->ready_at);
    reeve_put_int(map, "restarts", record->restarts);
    reeve_put_int(map, "failures", record->failures);
    presence_put_nonzero(map, "next_start_at", record->next_start_at);
    presence_put_nonzero(map, "ttl_at", record->ttl_at);
    if (record->has_exit) {
        (void)reeve_value_put(map, "exit", exit_value(record)); /* remembered: reeve_value_built() */
    }
}

struct reeve_value *reeve_process_value(const struct reeve_process_record *record)
{
    static const char *const dispensable[] = {"probes", "attributes", "labels", "capabilities", NULL};
    struct reeve_value *map = reeve_value_map();
    if (map == NULL) {
        return NULL;
    }
    REEVE_ASSERT(record->epoch <= REEVE_EPOCH_MAX && record->state < REEVE_STATE_MACHINE_COUNT);
    reeve_put_int(map, "epoch", (int64_t)record->epoch);
    reeve_put_int(map, "run", record->run);
    reeve_put_str(map, "state", reeve_state_text(record->state));
    reeve_put_int(map, "since", record->since);
    reeve_put_int(map, "at", record->at);
    reeve_put_str(map, "desired", record->wanted ? "running" : "stopped");
    reeve_put_bool(map, "speaks", record->speaks);
    put_run(map, record);
    put_spec(map, record);
    presence_put_clone(map, "probes", record->probes);
    presence_put_text(map, "why", record->why, PRESENCE_TEXT_MAX);
    return presence_fit(map, dispensable);
}

static enum reeve_err read_run(const struct reeve_value *record, int64_t *ret, struct reeve_why *why)
{
    const struct reeve_value *run = reeve_value_get(record, "run");
    if (run == NULL) {
        return reeve_fail(why, REEVE_INVALID, "run is missing");
    }
    int64_t number = reeve_value_number(run, -1);
    if (number < 0) {
        return reeve_fail(why, REEVE_INVALID, "run is no whole number from 0");
    }
    *ret = number;
    return REEVE_OK;
}

static enum reeve_err read_state(const struct reeve_value *record, enum reeve_state *ret, struct reeve_why *why)
{
    const char *text = reeve_get_str(record, "state");
    enum reeve_state state;
    if (text == NULL) {
        return reeve_fail(why, REEVE_INVALID, "state is missing or no text");
    }
    if (!reeve_state_parse(text, &state) || state >= REEVE_STATE_MACHINE_COUNT) {
        return reeve_fail(why, REEVE_INVALID, "state is none that a process can have (created ... failed)");
    }
    *ret = state;
    return REEVE_OK;
}

enum reeve_err presence_read_process(const struct reeve_value *record, struct reeve_process_witness *ret,
                                     struct reeve_why *why)
{
    struct reeve_witness session;
    struct reeve_process_witness witness = {.present = true, .speaks = reeve_get_bool(record, "speaks", false)};
    enum reeve_err err = presence_read_epoch(record, &session, why);
    if (err == REEVE_OK) {
        err = read_run(record, &witness.run, why);
    }
    if (err == REEVE_OK) {
        err = read_state(record, &witness.state, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    witness.epoch = session.epoch;
    const char *text = reeve_get_str(record, "why");
    presence_cut(text == NULL ? "" : text, witness.why, sizeof witness.why);
    *ret = witness;
    return REEVE_OK;
}
