// The socket on which workers say that they run: what a supervisor reports is held against it.
// Must not: trust what arrives; a worker that nobody knows is ignored.
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PULSE_MAX 128

static void take_pulse(struct bench *bench, const char *text)
{
    char name[REEVE_NAME_SIZE];
    int pid = 0;
    long long ns = 0;
    if (sscanf(text, "%63s %d %lld", name, &pid, &ns) != 3) {
        return;
    }
    struct watched *worker = bench_watched(bench, name);
    if (worker != NULL) {
        worker->pulse_pid = pid;
        worker->pulse_ns = ns;
    }
}

static void on_pulse(uv_poll_t *poll, int status, int events)
{
    struct bench *bench = poll->data;
    char text[PULSE_MAX];
    ssize_t len = 0;
    (void)status;
    (void)events;
    while ((len = recv(bench->pulse_fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
        text[len] = '\0';
        take_pulse(bench, text);
    }
}

enum reeve_err pulses_open(struct bench *bench, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)site_path(&bench->site, "pulse", path);
    if (strlen(path) >= sizeof(address.sun_path)) {
        return reeve_fail(why, REEVE_LIMIT, "%.200s is too long for a socket", path);
    }
    memcpy(address.sun_path, path, strlen(path));
    bench->pulse_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bench->pulse_fd < 0 || bind(bench->pulse_fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        return reeve_fail_errno(why, "socket %.200s", path);
    }
    bench->pulse_poll.data = bench;
    if (uv_poll_init(&bench->loop, &bench->pulse_poll, bench->pulse_fd) != 0 ||
        uv_poll_start(&bench->pulse_poll, UV_READABLE, on_pulse) != 0) {
        return reeve_fail(why, REEVE_IO, "socket %.200s can't be watched", path);
    }
    return REEVE_OK;
}

void pulses_close(struct bench *bench)
{
    if (bench->pulse_poll.data != NULL) {
        (void)uv_poll_stop(&bench->pulse_poll); // its handle is closed with the loop
    }
    if (bench->pulse_fd >= 0) {
        (void)close(bench->pulse_fd); // nothing was written
    }
}
