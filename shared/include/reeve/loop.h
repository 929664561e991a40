// libuv helpers. Timers that know what they were made for, so that a late one does nothing;
// signals; a watch on a file descriptor. One loop per program, everything of ours on it.
#ifndef REEVE_LOOP_H
#define REEVE_LOOP_H

#include <reeve/err.h>
#include <stdint.h>
#include <uv.h>

// A timer in caller's memory. Starting it again replaces it. After reeve_timer_close() the memory may be freed
// only when `closed` was called (NULL allowed when the memory outlives the loop).
struct reeve_timer {
    uv_timer_t handle;
    void (*fire)(struct reeve_timer *timer, void *arg);
    void (*closed)(struct reeve_timer *timer, void *arg);
    void *arg;
    uint64_t generation; // of what it was armed for: compare in `fire`
};
void reeve_timer_init(uv_loop_t *loop, struct reeve_timer *timer,
                      void (*fire)(struct reeve_timer *timer, void *arg), void *arg);
void reeve_timer_start(struct reeve_timer *timer, int64_t delay_ms, uint64_t generation); // once; < 0 counts as 0
void reeve_timer_stop(struct reeve_timer *timer);
bool reeve_timer_armed(const struct reeve_timer *timer);
void reeve_timer_close(struct reeve_timer *timer, void (*closed)(struct reeve_timer *timer, void *arg));

// Calls `handler` on the loop for SIGTERM, SIGINT (leave) and SIGHUP (reload); SIGPIPE is ignored for the process.
struct reeve_signals;
enum reeve_err reeve_signals_new(uv_loop_t *loop, void (*handler)(int signal, void *arg), void *arg,
                                 struct reeve_signals **ret, struct reeve_why *why);
void reeve_signals_free(struct reeve_signals *signals); // closes its handles on the loop

// Close every handle that is left and run the loop until they are gone, then uv_loop_close. Asserts that it ends.
void reeve_loop_finish(uv_loop_t *loop);

#endif
