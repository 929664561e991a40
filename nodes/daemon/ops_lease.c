// renew: a manager answers a status of this node and says which workers may go on.
// Must not: start what nobody wants, or believe in a fence that is not the spec's.
#include "daemon.h"

#include <reeve/clock.h>
#include <stdio.h>

int64_t worker_lease_until(const struct worker *worker)
{
    return lease_until(&worker->spec, worker->lease_base_mono);
}

bool worker_lease_permits(const struct worker *worker)
{
    return lease_permits(&worker->spec, worker->lease_base_mono, reeve_clock_mono_ms());
}

void worker_lease_tell(struct worker *worker)
{
    if (worker->run != NULL) {
        run_lease(worker->run, worker_lease_until(worker), lease_grace(&worker->spec));
    }
}

// A node with leased workers speaks three times in the shortest of their leases: two answers in a row may be lost.
int64_t lease_heartbeat_ms(const struct daemon *daemon)
{
    int64_t shortest = daemon->config.node.heartbeat_ms;
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        const struct worker *worker = it.value;
        const int64_t third = worker->spec.self_stop_after_ms / 3;
        const bool counts = worker->machine.wanted || worker->run != NULL;
        shortest = third > 0 && counts && third < shortest ? third : shortest;
    }
    return shortest;
}

static enum reeve_err renew_one(struct daemon *daemon, const char *name, const struct reeve_value *fence,
                                int64_t sent_mono, struct reeve_why *why)
{
    struct worker *worker = daemon_worker(daemon, name);
    if (worker == NULL || worker->removing) {
        return reeve_fail(why, REEVE_NOENT, "node %s has no such worker", daemon->config.node.name);
    }
    if (reeve_value_kind(fence) != REEVE_INT) {
        return reeve_fail(why, REEVE_INVALID, "its fence is no whole number");
    }
    enum reeve_err err = lease_renew(&worker->spec, worker->lease_base_mono, reeve_value_number(fence, -1), sent_mono,
                                     reeve_clock_mono_ms(), &worker->lease_base_mono, why);
    if (err != REEVE_OK) {
        return err;
    }
    worker_lease_tell(worker);
    if (worker->lease_waits && !daemon->leaving) {
        err = worker_step(worker, REEVE_EVENT_START, "lease granted", why);
    }
    return err;
}

void op_renew_act(struct pending *pending)
{
    struct daemon *daemon = pending->daemon;
    const struct reeve_value *leases = reeve_value_get(pending->command.args, "leases");
    const struct reeve_value *beat = reeve_value_get(pending->command.args, "beat");
    if (reeve_value_kind(beat) != REEVE_INT || reeve_value_kind(leases) != REEVE_MAP) {
        pending_finish(pending, REEVE_PHASE_REJECTED, REEVE_INVALID,
                       "expected args.beat, the number of a status of this node, and args.leases, {worker: fence}",
                       NULL);
        return;
    }
    const int64_t sent_mono = lease_beat_sent(&daemon->beats, reeve_value_number(beat, -1));
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *refused = reeve_value_map();
    int64_t renewed = 0;
    for (size_t i = 0; i < reeve_value_len(leases); i++) {
        struct reeve_why why = {0};
        const char *name = reeve_value_key(leases, i);
        if (renew_one(daemon, name, reeve_value_at(leases, i), sent_mono, &why) == REEVE_OK) {
            renewed++;
        } else {
            reeve_put_str(refused, name, why.text);
        }
    }
    daemon->counters.leases_refused += reeve_value_len(refused);
    reeve_put_int(result, "renewed", renewed);
    (void)reeve_value_put(result, "refused", refused); /* remembered: reeve_value_built() */
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, result);
}
