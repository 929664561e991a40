// Leases of workers that must not run twice [lease-1..7]: when this node said it lives, and what a renewal that answers
// it is worth. A lease counts from when the node *sent* the status that the manager answers, so that no delay on the
// way can make the node believe in it longer than the manager does (Gray & Cheriton 1989). All times are CLOCK_BOOTTIME
// ms. Must not: know about topics, processes or the loop.
#ifndef REEVED_LEASE_H
#define REEVED_LEASE_H

#include <reeve/spec.h>

#define LEASE_BEATS                                                                                                    \
    256 // a node says at most four a second and one per heartbeat: far longer ago than any lease is useful

// When each beat was sent. Zeroed is a fresh one.
struct lease_beats {
    struct {
        int64_t beat, sent_mono;
    } ring[LEASE_BEATS];
    size_t next;
    int64_t last;
};
// To be called before the status leaves; the number to put into it. Numbers grow, and those of a former daemon are not
// among them: they are the time itself, and an answer to a former daemon must not be taken for one to this.
int64_t lease_beat(struct lease_beats *beats, int64_t now_mono);
int64_t lease_beat_sent(const struct lease_beats *beats, int64_t beat); // -1 = never sent, or too long ago

// By when the worker's processes are gone if nothing renews the lease that was granted in answer to a beat sent at
// `base_mono` (0 = no lease: 0): a little before self_stop_after is over, so that ending it fits in as well.
int64_t lease_until(const struct reeve_spec *spec, int64_t base_mono);
// The stop signal goes out this long before: the spec's grace time, but at most a quarter of the lease, or a worker
// whose manager missed a single heartbeat would be asked to end.
int64_t lease_grace(const struct reeve_spec *spec);
// Whether a run may begin: the lease holds, and longer than just to be asked to end.
bool lease_permits(const struct reeve_spec *spec, int64_t base_mono, int64_t now_mono);
// The new base, or why the renewal is refused. `sent_mono` of the beat it answers.
enum reeve_err lease_renew(const struct reeve_spec *spec, int64_t base_mono, int64_t fence, int64_t sent_mono,
                           int64_t now_mono, int64_t *ret_base_mono, struct reeve_why *why);

#endif
