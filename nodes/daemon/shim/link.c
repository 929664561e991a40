// The connection with the daemon. What is told are states: a bit per kind says that the daemon has not heard of it yet,
// so a blocked or new connection catches up by itself and nothing is ever queued. Must not: wait for the daemon; the
// worker's life never depends on it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim.h"

#define LOG_GREW_MS 20

static uint32_t bit(enum shim_kind kind)
{
    return 1U << (unsigned)kind;
}

void link_tell(struct shim *shim, enum shim_kind kind)
{
    shim->untold |= bit(kind);
}

// At most one per LOG_GREW_MS: while the timer runs, the next one waits for it.
void link_log_grew(struct shim *shim)
{
    if (!shim->watch_log) {
        return;
    }
    if (shim->timers[TIMER_LOG_GREW] != 0) {
        shim->log_grew_again = true;
        return;
    }
    shim->log_grew_again = false;
    link_tell(shim, SHIM_LOG_GREW);
    shim_set_timer(shim, TIMER_LOG_GREW, LOG_GREW_MS);
}

void link_log_grew_again(struct shim *shim)
{
    if (shim->log_grew_again) {
        link_log_grew(shim);
    }
}

static size_t fill_hello(const struct shim *shim, struct shim_msg *msg)
{
    msg->hello = (struct shim_hello){.run = shim->plan.run, .shim_pid = (int32_t)getpid()};
    return sizeof(msg->hello);
}

static size_t fill_started(const struct shim *shim, struct shim_msg *msg)
{
    msg->started = shim->started;
    return sizeof(msg->started);
}

static size_t fill_nothing(const struct shim *shim, struct shim_msg *msg)
{
    (void)shim;
    (void)msg;
    return 0;
}

static size_t fill_status(const struct shim *shim, struct shim_msg *msg)
{
    memcpy(msg->status.text, shim->status, sizeof(shim->status));
    return sizeof(msg->status);
}

static size_t fill_log_failed(const struct shim *shim, struct shim_msg *msg)
{
    const struct shim_log *log = &shim->log;
    msg->log_failed = (struct shim_log_failed){.recovered = !log->failure_told,
                                               .lines_dropped = log->failure_told ? log->dropped : log->dropped_before};
    const char *text = log->error == 0 ? NULL : strerrordesc_np(log->error);
    (void)snprintf(msg->log_failed.error, SHIM_ERROR_SIZE, "%s", text != NULL ? text : "unknown error");
    return sizeof(msg->log_failed);
}

static size_t fill_ended(const struct shim *shim, struct shim_msg *msg)
{
    msg->ended = shim->outcome;
    return sizeof(msg->ended);
}

// In the order in which they are told.
static const struct {
    enum shim_kind kind;
    size_t (*fill)(const struct shim *shim, struct shim_msg *msg);
} tells[] = {
    {SHIM_HELLO, fill_hello},   {SHIM_STARTED, fill_started},  {SHIM_STATUS, fill_status},
    {SHIM_READY, fill_nothing}, {SHIM_LOG_GREW, fill_nothing}, {SHIM_LOG_FAILED, fill_log_failed},
    {SHIM_ENDED, fill_ended},
};

static void drop_link(struct shim *shim)
{
    if (shim->link >= 0) {
        (void)close(shim->link);
    }
    shim->link = -1;
    shim->watch_log = false;
}

void link_flush(struct shim *shim)
{
    for (size_t i = 0; i < sizeof(tells) / sizeof(tells[0]) && shim->link >= 0; i++) {
        if ((shim->untold & bit(tells[i].kind)) == 0) {
            continue;
        }
        struct shim_msg msg = {.head = {.version = SHIM_WIRE_VERSION, .kind = (uint16_t)tells[i].kind}};
        msg.head.size = (uint32_t)(sizeof(msg.head) + tells[i].fill(shim, &msg));
        const ssize_t sent = send(shim->link, &msg, msg.head.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS)) {
            return; // poll() says when there is room
        }
        if (sent < 0) {
            drop_link(shim);
            return;
        }
        shim->untold &= ~bit(tells[i].kind);
    }
    if (shim->link < 0) {
        shim->untold = 0;
    }
}

static void tell_everything(struct shim *shim)
{
    shim->untold = bit(SHIM_HELLO) | (shim->started.pid != 0 ? bit(SHIM_STARTED) : 0) |
                   (shim->is_ready ? bit(SHIM_READY) : 0) | (shim->status[0] != '\0' ? bit(SHIM_STATUS) : 0) |
                   (shim->log.failure_told ? bit(SHIM_LOG_FAILED) : 0) |
                   (shim->phase == PHASE_DONE ? bit(SHIM_ENDED) : 0);
}

static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

void link_on_connect(struct shim *shim)
{
    const int fd = accept4(shim->listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return; // gone again
    }
    if (!is_trusted(fd)) {
        (void)close(fd);
        return;
    }
    if (shim->link >= 0) {
        link_on_message(shim); // the last orders of the one before
    }
    drop_link(shim); // only the newest daemon counts
    shim->link = fd;
    tell_everything(shim);
}

static void obey(struct shim *shim, const struct shim_msg *msg)
{
    switch (msg->head.kind) {
    case SHIM_STOP:
        ending_stop(shim, msg->stop.grace_ms);
        break;
    case SHIM_KILL:
        ending_kill(shim);
        break;
    case SHIM_LEASE:
        lease_set(shim, &msg->lease);
        break;
    case SHIM_SIGNAL:
        ending_signal(shim, msg->number.number);
        break;
    case SHIM_WATCH_LOG:
        shim->watch_log = msg->number.number != 0;
        link_log_grew(shim); // what came after the daemon's last look and before this message
        break;
    case SHIM_TAKEN:
        shim->outcome_taken = shim->phase == PHASE_DONE;
        break;
    default: // of a newer daemon
        break;
    }
}

void link_on_message(struct shim *shim)
{
    for (int i = 0; i < 16 && shim->link >= 0; i++) { // bounded: the worker's pipes want their turn
        struct shim_msg msg;
        memset(&msg, 0, sizeof(msg));
        const ssize_t got = recv(shim->link, &msg, sizeof(msg), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            drop_link(shim); // the daemon is gone: the shim goes on alone
            return;
        }
        if ((size_t)got >= sizeof(msg.head)) {
            obey(shim, &msg);
        }
    }
}
