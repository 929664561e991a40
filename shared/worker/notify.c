// What the daemon hears through the inherited descriptor: READY=1 once, WATCHDOG=1 as long as the loop turns.
// One write per line, never blocking: a daemon that does not read is its own problem, not the worker's.
// Must not: say READY twice, or WATCHDOG from anywhere but the loop.
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <reeve/log.h>
#include <string.h>
#include <unistd.h>

static void say(struct reeve_worker *worker, const char *line)
{
    int fd = worker->settings.notify_fd;
    if (fd < 0) {
        return;
    }
    ssize_t written = write(fd, line, strlen(line));
    if (written < 0 && errno != EAGAIN && errno != EINTR) {
        reeve_log(REEVE_LOG_WARNING, "notify", "fd=%d errno=%d closing, ignoring", fd, errno);
        (void)close(fd); /* nobody reads it any more */
        worker->settings.notify_fd = -1;
    }
}

static void on_watchdog(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    say(worker, "WATCHDOG=1\n");
    reeve_timer_start(timer, worker->settings.watchdog_ms / 3, 0);
}

// A broker that is away must not make the daemon take this worker for one that can't start: it works on without.
static void on_no_broker(struct reeve_timer *timer, void *arg)
{
    struct reeve_worker *worker = arg;
    (void)timer; /* one timer, one purpose */
    say(worker, "STATUS=no session with the broker yet\n");
    worker_notify_ready(worker);
}

void worker_notify_init(struct reeve_worker *worker)
{
    struct worker_notify *notify = &worker->notify;
    int fd = worker->settings.notify_fd;
    reeve_timer_init(&worker->loop, &notify->watchdog, on_watchdog, worker);
    reeve_timer_init(&worker->loop, &notify->ready, on_no_broker, worker);
    if (fd < 0) {
        return;
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        reeve_log(REEVE_LOG_WARNING, "notify", "fd=%d errno=%d is not usable, ignoring", fd, errno);
        worker->settings.notify_fd = -1;
        return;
    }
    reeve_timer_start(&notify->ready, WORKER_READY_WITHOUT_MS, 0);
    if (worker->settings.watchdog_ms > 0) {
        reeve_timer_start(&notify->watchdog, 0, 0);
    }
}

void worker_notify_ready(struct reeve_worker *worker)
{
    if (!worker->notify.ready_said) {
        worker->notify.ready_said = true;
        reeve_timer_stop(&worker->notify.ready);
        say(worker, "READY=1\n");
    }
}

void worker_notify_hang(struct reeve_worker *worker, bool on)
{
    if (on) {
        reeve_timer_stop(&worker->notify.watchdog);
    } else if (worker->settings.notify_fd >= 0 && worker->settings.watchdog_ms > 0) {
        reeve_timer_start(&worker->notify.watchdog, 0, 0);
    }
}

void worker_notify_close(struct reeve_worker *worker)
{
    reeve_timer_stop(&worker->notify.ready);
    reeve_timer_stop(&worker->notify.watchdog);
}
