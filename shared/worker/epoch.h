// Inside the SDK: the rules of epochs [session-1] [session-3] [session-7]. Epochs only grow, nobody leaves but for a
// live higher one: two never both leave. The higher repeats itself when a lower speaks: they never both stay.
// Must not: know the bus, clocks or timers.
#ifndef REEVE_SHARED_WORKER_EPOCH_H
#define REEVE_SHARED_WORKER_EPOCH_H

#include <reeve/value.h>

// A session as it can be told from another that has the same epoch by chance.
struct epoch_holder {
    uint64_t epoch;
    int64_t started_at; // of the process
    int64_t pid;
    bool goodbye;
};

enum epoch_verdict {
    EPOCH_STAY,      // nothing to do
    EPOCH_REPUBLISH, // our word was overwritten by a lower one: say it again
    EPOCH_RENEW,     // a new session with an epoch above the one seen
    EPOCH_LEAVE,     // somebody alive holds this name with a higher epoch
    EPOCH_HOPELESS,  // seen at the upper bound: no epoch is above it
};

// Epoch of the session to come: wall clock, but above `floor`; never above REEVE_EPOCH_MAX.
uint64_t epoch_next(int64_t wall_ms, uint64_t floor);
// A status on our own topic. `retained` = the broker's copy: who wrote it may be long gone.
enum epoch_verdict epoch_judge_status(const struct epoch_holder *own, const struct epoch_holder *seen, bool retained);
// A last will on our own topic. Publishing the same epoch again would not heal it: dead is lwt.epoch >= status.epoch.
enum epoch_verdict epoch_judge_lwt(uint64_t own_epoch, uint64_t lwt_epoch);
// Of a status or lwt record; INVALID when it has no epoch that can be.
enum reeve_err epoch_read(const struct reeve_value *record, struct epoch_holder *ret);

#endif
