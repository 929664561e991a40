// The rules of epochs: which session of a name is the one that counts, and what the others do about it.
// epoch.h says why these rules leave exactly one holder.
// Must not: know the bus, clocks or timers.
#include "epoch.h"

#include <reeve/presence.h>
#include <string.h>

uint64_t epoch_next(int64_t wall_ms, uint64_t floor)
{
    uint64_t epoch = wall_ms > 0 ? (uint64_t)wall_ms : 1;
    if (epoch <= floor) {
        epoch = floor + 1;
    }
    return epoch < REEVE_EPOCH_MAX ? epoch : REEVE_EPOCH_MAX;
}

static bool is_other(const struct epoch_holder *own, const struct epoch_holder *seen)
{
    return seen->started_at != own->started_at || seen->pid != own->pid;
}

// Two processes that chose the same epoch must not both leave: the later, then the higher pid stays.
static bool outranks(const struct epoch_holder *seen, const struct epoch_holder *own)
{
    if (seen->started_at != own->started_at) {
        return seen->started_at > own->started_at;
    }
    return seen->pid > own->pid;
}

enum epoch_verdict epoch_judge_status(const struct epoch_holder *own, const struct epoch_holder *seen, bool retained)
{
    if (seen->epoch > own->epoch) {
        if (seen->epoch >= REEVE_EPOCH_MAX) {
            return EPOCH_HOPELESS;
        }
        return retained || seen->goodbye ? EPOCH_RENEW : EPOCH_LEAVE;
    }
    if (seen->epoch == own->epoch && is_other(own, seen)) {
        if (retained || seen->goodbye) {
            return EPOCH_RENEW;
        }
        return outranks(seen, own) ? EPOCH_LEAVE : EPOCH_REPUBLISH;
    }
    // Our own echo, late words of our own earlier sessions, or the broker's old copy, which our status is about to
    // replace.
    return retained || !is_other(own, seen) ? EPOCH_STAY : EPOCH_REPUBLISH;
}

enum epoch_verdict epoch_judge_lwt(uint64_t own_epoch, uint64_t lwt_epoch)
{
    if (lwt_epoch < own_epoch) {
        return EPOCH_STAY;
    }
    return lwt_epoch >= REEVE_EPOCH_MAX ? EPOCH_HOPELESS : EPOCH_RENEW;
}

enum reeve_err epoch_read(const struct reeve_value *record, struct epoch_holder *ret)
{
    int64_t epoch = reeve_get_int(record, "epoch", -1);
    if (reeve_value_kind(record) != REEVE_MAP || epoch < 0 || (uint64_t)epoch > REEVE_EPOCH_MAX) {
        return REEVE_INVALID;
    }
    const char *state = reeve_get_str(record, "state");
    *ret = (struct epoch_holder){.epoch = (uint64_t)epoch,
                                 .started_at = reeve_get_int(record, "started_at", 0),
                                 .pid = reeve_get_int(record, "pid", 0),
                                 .goodbye = state != NULL && strcmp(state, "offline") == 0};
    return REEVE_OK;
}
