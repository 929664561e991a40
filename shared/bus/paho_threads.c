// poll() and usleep() for Paho's threads: the program's definitions are found before the C library's.
// Must not change what any other thread gets. Can be left out: then idle clients and reconnects are slow again, nothing
// else.
#include "paho_threads.h"

#include <dlfcn.h>
#include <poll.h>
#include <reeve/clock.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
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
static atomic_int wake_fd = -1;
static atomic_int_fast64_t hurry_until_mono;

void reeve_paho_thread_mark(void)
{
    of_paho = true;
}

void reeve_paho_threads_hurry(void)
{
    if (atomic_load(&wake_fd) < 0) {
        atomic_store(&wake_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); // kept for the life of the process
    }
    atomic_store(&hurry_until_mono, reeve_clock_mono_ms() + HURRY_MS);
    uint64_t one = 1;
    (void)!write(atomic_load(&wake_fd), &one, sizeof(one)); // without it the next second brings the same
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
    struct pollfd watched[SOCKETS_MAX + 1] = {{.fd = fd, .events = POLLIN}};
    if (len > 0) {
        memcpy(&watched[1], fds, len * sizeof(fds[0]));
    }
    bool hurry = reeve_clock_mono_ms() < atomic_load(&hurry_until_mono);
    int count = plain_poll(watched, len + 1, hurry ? HURRY_POLL_MS : timeout_ms);
    if (count > 0 && watched[0].revents != 0) {
        uint64_t wakes;
        (void)!read(fd, &wakes, sizeof(wakes)); // another thread may have been first
        count--;
    }
    if (len > 0) {
        memcpy(fds, &watched[1], len * sizeof(fds[0]));
    }
    return count;
}

int usleep(useconds_t us)
{
    if (us == PAHO_SLEEP_US && called_by_paho(__builtin_return_address(0))) {
        us = SHORT_SLEEP_US;
    }
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};
    return nanosleep(&left, NULL);
}
