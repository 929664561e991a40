// reeve-bench-pulse SOCKET NAME: a worker that tells a Unix datagram socket "NAME PID NANOSECONDS" once it runs, and
// then waits for a signal. The same program under every supervisor that is compared.
// Must not: do anything else; its own start is part of what is measured.
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[128];
    (void)clock_gettime(CLOCK_BOOTTIME, &now); // can't fail; the clock of reeve_clock_mono_ns()
    if (argc != 3 || strlen(argv[1]) >= sizeof(to.sun_path)) {
        return 2;
    }
    memcpy(to.sun_path, argv[1], strlen(argv[1]));
    int len = snprintf(text, sizeof(text), "%.63s %d %lld", argv[2], (int)getpid(),
                       (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    // Blocks while the receiver's queue is full (net.unix.max_dgram_qlen); the time is taken already.
    if (fd < 0 || sendto(fd, text, (size_t)len, 0, (const struct sockaddr *)&to, sizeof(to)) != len) {
        return 1;
    }
    for (;;) {
        (void)pause(); // ends by a signal only
    }
}
