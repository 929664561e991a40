// The lease of a worker that must not run twice [lease-3]: a deadline that the daemon moves while a manager renews it.
// It is kept here because here it holds when the daemon is killed, stopped, or cut off with its node: nobody has to
// do anything for the worker to end. Must not: believe in a deadline that nobody told.
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "shim.h"

static int64_t stop_at(const struct shim *shim)
{
    return shim->lease.until_ms - shim->lease.grace_ms;
}

// The next of the two instants. Absolute, so that it does not matter how long the machine slept on the way.
static void arm(struct shim *shim)
{
    const bool stopping = shim->lease_over || shim->stop_asked;
    const int64_t at = stopping ? shim->lease.until_ms : stop_at(shim);
    const int64_t ms = at < 1 ? 1 : at; // 0 would disarm
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}};
    if (shim->lease_timer < 0) {
        shim->lease_timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    }
    if (shim->lease_timer < 0 || timerfd_settime(shim->lease_timer, TFD_TIMER_ABSTIME, &when, NULL) != 0) {
        log_note(shim, "lease: no timer, ending the run"); // better none than one that nothing ends
        shim->lease_over = true;
        ending_kill(shim);
    }
}

static void disarm(struct shim *shim)
{
    if (shim->lease_timer >= 0) {
        (void)close(shim->lease_timer); // a timer
    }
    shim->lease_timer = -1;
}

void lease_set(struct shim *shim, const struct shim_lease *lease)
{
    if (shim->lease_over || shim->phase == PHASE_DONE) {
        return; // it is on its way out: a new run gets the new lease
    }
    shim->lease = *lease;
    if (lease->until_ms <= 0) {
        disarm(shim);
    } else {
        arm(shim);
    }
}

void lease_start(struct shim *shim)
{
    const struct shim_lease lease = {.until_ms = shim->plan.lease_until_ms, .grace_ms = shim->plan.lease_grace_ms};
    if (lease.until_ms > 0) {
        lease_set(shim, &lease);
    }
}

// The main process is there and the time for it to end in order has come. A stop by the daemon that is under way
// already goes on; only its grace time may be cut short.
static void end_in_order(struct shim *shim, int64_t left_ms)
{
    if (!shim->stop_asked) {
        log_note(shim, "lease ends in %lld ms: stopping", (long long)left_ms);
        shim->lease_over = true;
        ending_stop(shim, left_ms);
    }
    arm(shim);
}

void lease_on_timer(struct shim *shim)
{
    uint64_t times;
    (void)!read(shim->lease_timer, &times, sizeof(times)); // nothing to read = moved meanwhile: looked at below
    const int64_t now = shim_boot_ms();
    if (shim->pid == 0) {
        disarm(shim); // ended already; the sweep is at work
    } else if (now >= shim->lease.until_ms) {
        shim->lease_over = shim->lease_over || (!shim->stop_asked && !shim->kill_sent);
        log_note(shim, "lease over: killing");
        disarm(shim);
        ending_kill(shim);
    } else if (now >= stop_at(shim)) {
        end_in_order(shim, shim->lease.until_ms - now);
    } else {
        arm(shim);
    }
}
