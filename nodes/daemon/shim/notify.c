// What the worker says through its notify descriptor: lines READY=1, WATCHDOG=1, STATUS=text; an empty line means ready
// (as with s6). Other lines are ignored, they belong to a later version or to sd_notify.
// Must not: trust the worker; lines are bounded and every byte is read, so that it never blocks in write().
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

void notify_arm_watchdog(struct shim *shim)
{
    const bool waits_for_ready = shim->plan.ready == PLAN_READY_NOTIFY && !shim->is_ready;
    if (shim->plan.watchdog_ms > 0 && !waits_for_ready && !shim->watchdog_hit) {
        shim->timers[TIMER_WATCHDOG] = 0;
        shim_set_timer(shim, TIMER_WATCHDOG, shim->plan.watchdog_ms);
    }
}

static void on_ready(struct shim *shim)
{
    if (!shim->is_ready) {
        shim->is_ready = true;
        link_tell(shim, SHIM_READY);
        notify_arm_watchdog(shim);
    }
}

static void on_line(struct shim *shim, const char *line)
{
    if (line[0] == '\0' || strcmp(line, "READY=1") == 0) {
        on_ready(shim);
    } else if (strcmp(line, "WATCHDOG=1") == 0) {
        notify_arm_watchdog(shim);
    } else if (strncmp(line, "STATUS=", 7) == 0) {
        (void)snprintf(shim->status, sizeof(shim->status), "%s", line + 7); // cut at its bound
        link_tell(shim, SHIM_STATUS);
    }
}

static void take_byte(struct shim *shim, char byte)
{
    if (byte == '\n') {
        shim->notify_line[shim->notify_len] = '\0';
        shim->notify_len = 0;
        on_line(shim, shim->notify_line);
    } else if (shim->notify_len < sizeof(shim->notify_line) - 1) { // the rest of a long line is dropped
        shim->notify_line[shim->notify_len++] = byte;
    }
}

void notify_on_line(struct shim *shim)
{
    char data[512];
    const ssize_t got = read(shim->notify, data, sizeof(data));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        (void)close(shim->notify);
        shim->notify = -1;
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        take_byte(shim, data[i]);
    }
}
