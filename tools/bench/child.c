// Starting, awaiting and ending child processes.
// Must not: end anything that it did not start.
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <reeve/clock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 5000000 // how often an ending child is looked at

_Noreturn static void become(const char *const argv[], int in_fd, int out_fd, int err_fd, pid_t parent)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); // nothing stays behind a benchmark that was killed
    (void)setpgid(0, 0);                    // Ctrl-C is ours to pass on
    if (getppid() != parent || dup2(in_fd >= 0 ? in_fd : null_fd, STDIN_FILENO) < 0 ||
        dup2(out_fd >= 0 ? out_fd : null_fd, STDOUT_FILENO) < 0 ||
        dup2(err_fd >= 0 ? err_fd : null_fd, STDERR_FILENO) < 0) {
        _exit(126);
    }
    (void)execv(argv[0], (char *const *)(uintptr_t)argv); // execv only reads the strings
    _exit(127);
}

enum reeve_err child_start(const char *const argv[], int in_fd, int out_fd, int err_fd, pid_t *ret,
                           struct reeve_why *why)
{
    pid_t parent = getpid();
    if (access(argv[0], X_OK) != 0) {
        return reeve_fail_errno(why, "%s", argv[0]);
    }
    pid_t pid = fork();
    if (pid < 0) {
        return reeve_fail_errno(why, "fork");
    }
    if (pid == 0) {
        become(argv, in_fd, out_fd, err_fd, parent);
    }
    *ret = pid;
    return REEVE_OK;
}

static void read_all(int fd, struct reeve_buf *out)
{
    char chunk[4096];
    ssize_t len = 0;
    while ((len = read(fd, chunk, sizeof(chunk))) > 0 || (len < 0 && errno == EINTR)) {
        reeve_buf_append(out, chunk, len > 0 ? (size_t)len : 0);
    }
}

static enum reeve_err await(pid_t pid, const char *program, struct reeve_why *why)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return reeve_fail_errno(why, "waiting for %s", program);
        }
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return reeve_fail(why, REEVE_INTERNAL, "%s ended with %s %d", program,
                          WIFEXITED(status) ? "exit code" : "signal",
                          WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    return REEVE_OK;
}

enum reeve_err child_run(const char *const argv[], struct reeve_buf *out, int err_fd, struct reeve_why *why)
{
    int fds[2] = {-1, -1};
    pid_t pid = 0;
    if (out != NULL && pipe2(fds, O_CLOEXEC) != 0) {
        return reeve_fail_errno(why, "pipe");
    }
    enum reeve_err err = child_start(argv, -1, fds[1], err_fd, &pid, why);
    if (out != NULL) {
        (void)close(fds[1]); // or the read below never ends
        reeve_buf_reset(out);
        read_all(fds[0], out);
        (void)close(fds[0]); // was only read
    }
    return err == REEVE_OK ? await(pid, argv[0], why) : err;
}

static bool has_ended(pid_t pid)
{
    pid_t got = waitpid(pid, NULL, WNOHANG);
    return got == pid || (got < 0 && errno == ECHILD);
}

void child_stop(pid_t *pid, int64_t grace_ms)
{
    int64_t deadline_mono = reeve_clock_mono_ms() + grace_ms;
    if (*pid <= 0) {
        return;
    }
    (void)kill(*pid, SIGTERM); // a child of ours, not waited for yet
    bool ended = has_ended(*pid);
    while (!ended && reeve_clock_mono_ms() < deadline_mono) {
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL); // a wait with a deadline, not timed
        ended = has_ended(*pid);
    }
    if (!ended) {
        child_kill(pid);
    }
    *pid = 0;
}

void child_kill(pid_t *pid)
{
    if (*pid > 0) {
        (void)kill(*pid, SIGKILL);    // a child of ours, not waited for yet
        (void)waitpid(*pid, NULL, 0); // nobody asks how
    }
    *pid = 0;
}
