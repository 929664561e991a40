// The node daemon as a child of `reeve up`: started without a shell, in a session of its own so that a terminal's
// Ctrl-C reaches it only through us and in order; it is told to leave when we die without a word. Must not: kill it. A
// daemon that is killed leaves its workers running.
#include "up.h"

#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_BYTES_MAX (8L << 20) // then it becomes reeved.log.1

// ---- a program to its end -------------------------------------------------------------------------------------

static void silence(int fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0) {
        (void)dup2(null_fd, fd); /* then it talks to ours */
    }
}

int up_run(const char *const *argv, bool keep_stderr)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        silence(STDIN_FILENO);
        silence(STDOUT_FILENO);
        if (!keep_stderr) {
            silence(STDERR_FILENO);
        }
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv); /* returns only when it fails */
        _exit(127);
    }
    if (pid < 0) {
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

// ---- its log --------------------------------------------------------------------------------------------------

static void rotate(struct up_daemon *daemon)
{
    char path[PATH_MAX];
    char old[PATH_MAX];
    if (daemon->file != NULL && daemon->file_len < LOG_BYTES_MAX) {
        return;
    }
    if (daemon->file != NULL) {
        (void)fclose(daemon->file); /* what it could not write is lost; the disk is full */
        (void)rename(up_path(daemon->up, "reeved.log", path),
                     up_path(daemon->up, "reeved.log.1", old)); /* or it grows on */
    }
    daemon->file = fopen(up_path(daemon->up, "reeved.log", path), "ae");
    daemon->file_len = 0;
    if (daemon->file != NULL) {
        (void)setvbuf(daemon->file, NULL, _IOLBF, 0);
        (void)fseek(daemon->file, 0, SEEK_END);
        daemon->file_len = ftell(daemon->file);
    }
}

// `<time> <level> <subject> ...`: what needs a person is also shown.
static bool is_news(const struct up_daemon *daemon, const char *line)
{
    const char *level = strchr(line, ' ');
    if (level != NULL && strncmp(level, " warning ", 9) == 0) {
        return daemon->settled;
    }
    return level == NULL || strncmp(level, " error ", 7) == 0 || strncmp(line, "reeved:", 7) == 0;
}

static void take_line(struct up_daemon *daemon)
{
    daemon->line[daemon->line_len] = '\0';
    rotate(daemon);
    if (daemon->file != NULL) {
        daemon->file_len += fprintf(daemon->file, "%s\n", daemon->line);
    }
    if (is_news(daemon, daemon->line) || opt_given(daemon->up->inv, OPT_VERBOSE)) {
        output_note("%s", daemon->line);
    }
    daemon->line_len = 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char data[16384];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(data, sizeof data);
}

static void on_log(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct up_daemon *daemon = stream->data;
    for (ssize_t i = 0; i < len; i++) {
        if (buf->base[i] == '\n') {
            take_line(daemon);
        } else if (daemon->line_len < sizeof daemon->line - 1) {
            daemon->line[daemon->line_len++] = buf->base[i];
        }
    }
    if (len < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        daemon->reading = false;
    }
}

// ---- its life -------------------------------------------------------------------------------------------------

static void on_exit_ready(uv_poll_t *watch, int status, int events)
{
    struct up_daemon *daemon = watch->data;
    (void)status;
    (void)events;
    if (waitpid(daemon->pid, &daemon->status, WNOHANG) != daemon->pid) {
        return;
    }
    (void)uv_poll_stop(watch);
    daemon->pid = 0;
    daemon->ended(daemon, daemon->arg);
}

static _Noreturn void become_daemon(const struct up *up, int log_fd, pid_t parent)
{
    char program[PATH_MAX];
    char config[PATH_MAX];
    sigset_t none;
    (void)snprintf(program, sizeof program, "%s/reeved", up->bin_dir);
    (void)up_path(up, "node.yaml", config);
    (void)setsid();
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(1); // we died between fork and prctl
    }
    silence(STDIN_FILENO);
    (void)dup2(log_fd, STDOUT_FILENO);
    (void)dup2(log_fd, STDERR_FILENO);
    const char *const argv[] = {program, "--config", config, NULL};
    (void)execv(program, (char *const *)(uintptr_t)argv); // exec does not write to them
    _exit(127);
}

static enum reeve_err watch(struct up_daemon *daemon, int log_fd, struct reeve_why *why)
{
    daemon->pid_fd = (int)syscall(SYS_pidfd_open, daemon->pid, 0); // glibc 2.36 has it, older ones do not
    if (daemon->pid_fd < 0) {
        close(log_fd);
        return reeve_fail_errno(why, "the node daemon can't be watched");
    }
    (void)uv_pipe_init(daemon->loop, &daemon->log, 0); /* no system call */
    daemon->log.data = daemon;
    daemon->reading = true;
    if (uv_pipe_open(&daemon->log, log_fd) != 0 || uv_read_start((uv_stream_t *)&daemon->log, on_alloc, on_log) != 0 ||
        uv_poll_init(daemon->loop, &daemon->watch, daemon->pid_fd) != 0) {
        return reeve_fail(why, REEVE_IO, "the node daemon can't be watched");
    }
    daemon->watch.data = daemon;
    daemon->watching = true;
    return uv_poll_start(&daemon->watch, UV_READABLE, on_exit_ready) == 0
               ? REEVE_OK
               : reeve_fail(why, REEVE_IO, "the node daemon can't be watched");
}

enum reeve_err up_daemon_start(struct up_daemon *daemon, struct reeve_why *why)
{
    int fds[2];
    pid_t parent = getpid();
    up_daemon_done(daemon);
    rotate(daemon);
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return reeve_fail_errno(why, "pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_daemon(daemon->up, fds[1], parent);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return reeve_fail_errno(why, "fork");
    }
    daemon->pid = pid;
    return watch(daemon, fds[0], why);
}

void up_daemon_signal(const struct up_daemon *daemon, int number)
{
    if (daemon->pid > 0) {
        (void)kill(daemon->pid, number); /* not reaped yet, so it is ours */
    }
}

void up_daemon_done(struct up_daemon *daemon)
{
    if (daemon->reading) {
        daemon->reading = false;
        uv_close((uv_handle_t *)&daemon->log, NULL);
    }
    if (daemon->watching) {
        daemon->watching = false;
        uv_close((uv_handle_t *)&daemon->watch, NULL);
        (void)uv_run(daemon->loop, UV_RUN_NOWAIT); // the handles' memory is used again
        close(daemon->pid_fd);
    }
    if (daemon->file != NULL) {
        (void)fclose(daemon->file); /* the log of a site that ends */
        daemon->file = NULL;
    }
}
