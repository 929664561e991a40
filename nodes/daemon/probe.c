// Readiness that the daemon looks for itself: a line of the log that matches, a port that accepts.
// Must not: decide what being ready means for the worker's state (supervise.c).
#include "daemon.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TCP_EVERY_MS 50
#define LINE_MAX_LEN 4096

struct ready_probe {
    struct worker *worker; // NULL once stopped: what is still open closes alone
    bool is_log;
    regex_t pattern;
    int fd; // of the log file, -1 = not yet open
    ino_t inode;
    char line[LINE_MAX_LEN];
    size_t line_len;
    struct reeve_timer again;
    uv_tcp_t socket;
    uv_connect_t connect;
    bool socket_open;
    struct sockaddr_in address;
};

static void free_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct ready_probe *probe = arg;
    if (probe->is_log) {
        regfree(&probe->pattern);
    }
    free(probe);
}

static void socket_closed(uv_handle_t *handle)
{
    struct ready_probe *probe = handle->data;
    probe->socket_open = false;
    if (probe->worker == NULL) {
        reeve_timer_close(&probe->again, free_closed);
    } else {
        reeve_timer_start(&probe->again, TCP_EVERY_MS, 0);
    }
}

void probe_stop(struct worker *worker)
{
    struct ready_probe *probe = worker->probe;
    if (probe == NULL) {
        return;
    }
    worker->probe = NULL;
    probe->worker = NULL;
    if (probe->fd >= 0) {
        close(probe->fd);
    }
    if (probe->is_log && worker->run != NULL && worker->follow == NULL) {
        run_watch_log(worker->run, false);
    }
    if (!probe->socket_open) {
        reeve_timer_close(&probe->again, free_closed);
    } else if (!uv_is_closing((uv_handle_t *)&probe->socket)) {
        uv_close((uv_handle_t *)&probe->socket, socket_closed);
    }
}

// ---- a port ---------------------------------------------------------------------------------------------------

static void connected(uv_connect_t *request, int status)
{
    struct ready_probe *probe = request->data;
    struct worker *worker = probe->worker;
    if (!uv_is_closing((uv_handle_t *)&probe->socket)) {
        uv_close((uv_handle_t *)&probe->socket, socket_closed);
    }
    if (worker != NULL && status == 0) {
        worker_ready(worker, "port accepts");
    }
}

static void try_port(struct reeve_timer *timer, void *arg)
{
    struct ready_probe *probe = arg;
    if (probe->worker == NULL || probe->is_log) {
        return;
    }
    if (uv_tcp_init(timer->handle.loop, &probe->socket) != 0) {
        reeve_timer_start(&probe->again, TCP_EVERY_MS, 0);
        return;
    }
    probe->socket.data = probe;
    probe->connect.data = probe;
    probe->socket_open = true;
    if (uv_tcp_connect(&probe->connect, &probe->socket, (const struct sockaddr *)&probe->address, connected) != 0) {
        uv_close((uv_handle_t *)&probe->socket, socket_closed);
    }
}

// ---- a line of the log ----------------------------------------------------------------------------------------

static bool line_matches(struct ready_probe *probe)
{
    probe->line[probe->line_len] = '\0';
    probe->line_len = 0;
    // Entries are `<time> <letter> <text>` (logs.c): the pattern is about the text, and not about what the shim says.
    const char *text = strchr(probe->line, ' ');
    bool prefixed = text != NULL && text[1] != '\0' && text[2] == ' ';
    if (prefixed && text[1] == 's') {
        return false;
    }
    text = prefixed ? text + 3 : probe->line;
    return regexec(&probe->pattern, text, 0, NULL, 0) == 0;
}

static bool feed(struct ready_probe *probe, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            if (line_matches(probe)) {
                return true;
            }
        } else if (probe->line_len < LINE_MAX_LEN - 1) {
            probe->line[probe->line_len++] = data[i];
        }
    }
    return false;
}

static bool open_log(struct ready_probe *probe)
{
    char dir[4096];
    char path[4200];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/current", spawn_log_dir(probe->worker, dir, sizeof dir));
    bool rotated = probe->fd >= 0 && stat(path, &status) == 0 && status.st_ino != probe->inode;
    if (probe->fd >= 0 && !rotated) {
        return true;
    }
    if (probe->fd >= 0) {
        close(probe->fd);
    }
    probe->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (probe->fd >= 0 && fstat(probe->fd, &status) == 0) {
        probe->inode = status.st_ino;
    }
    return probe->fd >= 0;
}

void probe_log_grew(struct worker *worker)
{
    struct ready_probe *probe = worker->probe;
    char data[8192];
    if (probe == NULL || !probe->is_log || !open_log(probe)) {
        return;
    }
    for (ssize_t len; (len = read(probe->fd, data, sizeof data)) > 0;) {
        if (feed(probe, data, (size_t)len)) {
            worker_ready(worker, "log line");
            return;
        }
    }
}

// Only what this run writes counts, but the file holds earlier runs as well: begin at the end that the file had when
// the run was launched. The shim opens it after us; a line written before we look is still behind that end.
static enum reeve_err start_log(struct ready_probe *probe, struct reeve_why *why)
{
    const char *pattern = probe->worker->spec.ready.log;
    int rc = regcomp(&probe->pattern, pattern, REG_EXTENDED | REG_NOSUB);
    if (rc != 0) {
        return reeve_fail(why, REEVE_INVALID, "ready.log '%s' does not compile", pattern);
    }
    probe->is_log = true;
    if (open_log(probe)) {
        (void)lseek(probe->fd, probe->worker->log_start, SEEK_SET);
    }
    run_watch_log(probe->worker->run, true);
    return REEVE_OK;
}

static void start_tcp(struct ready_probe *probe)
{
    probe->address = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_port = htons((uint16_t)probe->worker->spec.ready.tcp),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    reeve_timer_start(&probe->again, 0, 0);
}

enum reeve_err probe_start(struct worker *worker, struct reeve_why *why)
{
    bool log = worker->spec.ready.mode == REEVE_READY_LOG;
    bool tcp = worker->spec.ready.mode == REEVE_READY_TCP;
    if (!log && !tcp) {
        return REEVE_OK;
    }
    probe_stop(worker);
    struct ready_probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    probe->worker = worker;
    probe->fd = -1;
    reeve_timer_init(worker->daemon->loop, &probe->again, try_port, probe);
    worker->probe = probe;
    enum reeve_err err = REEVE_OK;
    if (log) {
        err = start_log(probe, why);
    } else {
        start_tcp(probe);
    }
    if (err != REEVE_OK) {
        probe_stop(worker);
        return err;
    }
    if (log) {
        probe_log_grew(worker);
    }
    return REEVE_OK;
}
