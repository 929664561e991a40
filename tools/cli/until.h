// Turning a loop until something holds, so that a command reads from top to bottom.
// UV_RUN_ONCE alone will not do: it runs the timers that are due, and then waits for an event, whatever they changed.
// Must not: be used from inside a callback of the same loop.
#ifndef REEVE_CLI_UNTIL_H
#define REEVE_CLI_UNTIL_H

#include <stdbool.h>
#include <uv.h>

struct until {
    uv_loop_t *loop;
    uv_prepare_t look; // runs before the loop waits
    bool (*holds)(void *arg);
    void *arg;
};
void until_init(struct until *until, uv_loop_t *loop); // its handle is closed with the loop
void until_run(struct until *until, bool (*holds)(void *arg), void *arg);

#endif
