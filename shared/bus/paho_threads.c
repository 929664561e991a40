// poll(), usleep() and writev() for Paho's threads: the program's definitions are found before the C library's.
// Must not change what any other thread gets. Can be left out: then idle clients, reconnects and large messages are
// slow again, nothing else.
#include "paho_threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <reeve/clock.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAHO_SLEEP_US      100000 // what its idle loop asks for; nothing else of it is that long
#define SHORT_SLEEP_US     1000
#define PAHO_POLL_MS       1000
#define PAHO_FIRST_POLL_MS 10 // of its receiving thread; it does not see that a connect has come through
#define FIRST_POLL_MS      1
#define HURRY_POLL_MS      5    // while a connect is under way
#define HURRY_MS           2000 // how long a connect is expected to be under way; past it Paho's own second is soon enough
#define SOCKETS_MAX        16 // a program has one

static _Thread_local bool of_paho;
static _Thread_local bool go_on; // poll() returned for what Paho has to write: it does not sleep before
static atomic_int wake_fd = -1;
static atomic_int blocked_fd = -1; // Paho has the rest of a message for it, which it writes when it looks again
static atomic_int_fast64_t hurry_until_mono;

void reeve_paho_thread_mark(void)
{
    of_paho = true;
}

static void wake(void)
{
    uint64_t one = 1;
    (void)!write(atomic_load(&wake_fd), &one, sizeof(one)); // without it the next second brings the same
}

void reeve_paho_threads_hurry(void)
{
    if (atomic_load(&wake_fd) < 0) {
        atomic_store(&wake_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); // kept for the life of the process
    }
    atomic_store(&hurry_until_mono, reeve_clock_mono_ms() + HURRY_MS);
    wake();
}

// Its receiving thread sleeps and polls before it has called anything of ours, when it starts before the socket is
// connected: a tenth of a second, then a hundredth, where a short command takes less than that as a whole.
static bool called_by_paho(const void *return_address)
{
    Dl_info info;
    return of_paho || (dladdr(return_address, &info) != 0 && info.dli_fname != NULL &&
                       strstr(info.dli_fname, "libpaho-mqtt3") != NULL);
}

static int plain_poll(struct pollfd *fds, nfds_t len, int timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    // The kernel writes the time that is left into `timeout`.
    return (int)syscall(SYS_ppoll, fds, len, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

int poll(struct pollfd *fds, nfds_t len, int timeout_ms)
{
    int fd = atomic_load(&wake_fd);
    if (timeout_ms == PAHO_FIRST_POLL_MS && called_by_paho(__builtin_return_address(0))) {
        return plain_poll(fds, len, FIRST_POLL_MS);
    }
    if (!of_paho || timeout_ms != PAHO_POLL_MS || fd < 0 || len > SOCKETS_MAX) {
        return plain_poll(fds, len, timeout_ms);
    }
    struct pollfd watched[SOCKETS_MAX + 2] = {{.fd = fd, .events = POLLIN}};
    if (len > 0) {
        memcpy(&watched[2], fds, len * sizeof(fds[0]));
    }
    bool hurry = reeve_clock_mono_ms() < atomic_load(&hurry_until_mono);
    int count = 0;
    do {
        watched[1] = (struct pollfd){.fd = atomic_load(&blocked_fd), .events = POLLOUT}; // -1 is not looked at
        count = plain_poll(watched, len + 2, hurry ? HURRY_POLL_MS : timeout_ms);
        if (count > 0 && watched[0].revents != 0) {
            uint64_t wakes;
            (void)!read(fd, &wakes, sizeof(wakes)); // another thread may have been first
            count--;
        } else {
            watched[0].revents = 0;
        }
        // Woken since something is left to write: not before it can be.
    } while (count == 0 && watched[0].revents != 0 && watched[1].fd < 0 && atomic_load(&blocked_fd) >= 0);
    if (count > 0 && watched[1].revents != 0) {
        count--;
        go_on = true;
        // Once: if it was not all, writev() says so again.
        (void)atomic_compare_exchange_strong(&blocked_fd, &watched[1].fd, -1);
    }
    if (len > 0) {
        memcpy(fds, &watched[2], len * sizeof(fds[0]));
    }
    return count;
}

int usleep(useconds_t us)
{
    if (go_on && us == PAHO_SLEEP_US) {
        go_on = false;
        return 0;
    }
    if (us == PAHO_SLEEP_US && called_by_paho(__builtin_return_address(0))) {
        us = SHORT_SLEEP_US;
    }
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
    return nanosleep(&left, NULL);
}

// What a socket does not take at once Paho writes after its receiving thread has polled, but it polls for what comes
// in: up to a second later. That was 4 MB/s for messages of 200 kB (measured with 1.3.12).
ssize_t writev(int fd, const struct iovec *parts, int len)
{
    size_t size = 0;
    for (int i = 0; i < len; i++) {
        size += parts[i].iov_len;
    }
    ssize_t written = syscall(SYS_writev, fd, parts, len);
    bool blocked = written >= 0 ? (size_t)written < size : errno == EAGAIN;
    if (blocked && atomic_load(&wake_fd) >= 0 && called_by_paho(__builtin_return_address(0))) {
        int saved = errno;
        atomic_store(&blocked_fd, fd);
        wake();
        errno = saved;
    }
    return written;
}
