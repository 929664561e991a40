// Beats and what their answers are worth; lease.h says why.
// Must not: look at a clock; the caller brings the time.
#include "lease.h"

#include <reeve/units.h>

#define MARGIN_MIN_MS 50
#define MARGIN_MAX_MS 500

int64_t lease_beat(struct lease_beats *beats, int64_t now_mono)
{
    beats->last = now_mono > beats->last ? now_mono : beats->last + 1;
    beats->ring[beats->next].beat = beats->last;
    beats->ring[beats->next].sent_mono = now_mono;
    beats->next = (beats->next + 1) % LEASE_BEATS;
    return beats->last;
}

int64_t lease_beat_sent(const struct lease_beats *beats, int64_t beat)
{
    for (size_t i = 0; beat > 0 && i < LEASE_BEATS; i++) {
        if (beats->ring[i].beat == beat) {
            return beats->ring[i].sent_mono;
        }
    }
    return -1;
}

// What SIGKILL, the kernel and a busy machine take from the deadline to the last process being gone.
static int64_t margin(const struct reeve_spec *spec)
{
    const int64_t share = spec->self_stop_after_ms / 20;
    return share < MARGIN_MIN_MS ? MARGIN_MIN_MS : share > MARGIN_MAX_MS ? MARGIN_MAX_MS : share;
}

int64_t lease_until(const struct reeve_spec *spec, int64_t base_mono)
{
    return base_mono > 0 && spec->self_stop_after_ms > 0 ? base_mono + spec->self_stop_after_ms - margin(spec) : 0;
}

int64_t lease_grace(const struct reeve_spec *spec)
{
    const int64_t most = spec->self_stop_after_ms / 4;
    return spec->stop.grace_ms < most ? spec->stop.grace_ms : most;
}

bool lease_permits(const struct reeve_spec *spec, int64_t base_mono, int64_t now_mono)
{
    return spec->self_stop_after_ms == 0 || now_mono < lease_until(spec, base_mono) - lease_grace(spec);
}

enum reeve_err lease_renew(const struct reeve_spec *spec, int64_t base_mono, int64_t fence, int64_t sent_mono,
                           int64_t now_mono, int64_t *ret_base_mono, struct reeve_why *why)
{
    char age[REEVE_UNITS_TEXT_LEN];
    if (spec->self_stop_after_ms == 0) {
        return reeve_fail(why, REEVE_CONFLICT, "runs without a lease: its spec has no self_stop_after");
    }
    if (fence != spec->fence) {
        return reeve_fail(why, REEVE_CONFLICT, "fence %lld is %s the spec's, %lld", (long long)fence,
                          fence < spec->fence ? "below" : "above", (long long)spec->fence);
    }
    if (sent_mono < 0) {
        return reeve_fail(why, REEVE_NOENT, "this daemon sent no such beat, or too long ago");
    }
    if (!lease_permits(spec, sent_mono, now_mono)) {
        return reeve_fail(why, REEVE_TIMEOUT, "the beat was sent %s ago: its lease is over",
                          reeve_duration_human(now_mono - sent_mono, age));
    }
    *ret_base_mono = sent_mono > base_mono ? sent_mono : base_mono;
    return REEVE_OK;
}
