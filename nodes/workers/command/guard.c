// Forks twice: the guard, and from it the command. Then waits for words from the worker and for ends of processes.
// Must not: allocate, take a lock, use stdio's streams, or run a handler of the worker: all signals stay blocked in the
// guard.
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <reeve/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH   "/usr/local/bin:/usr/bin:/bin"
#define SWEEP_FIRST_MS 5
#define SWEEP_LAST_MS  160
#define HIGH_FD        10 // above those that the command is given

// ---- in the child that becomes the command
// ---------------------------------------------------------------------------

_Noreturn static void fail(int report, const char *what, const char *detail)
{
    char text[sizeof((struct guard_word *)NULL)->error];
    const char *reason = strerrordesc_np(errno);
    const int len = snprintf(text, sizeof text, "%s%s%s: %s", what, detail[0] != '\0' ? " " : "", detail,
                             reason != NULL ? reason : "unknown error");
    const size_t size = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    if (write(report, text, size) < 0) {
        _exit(126); // nobody is left to tell
    }
    _exit(127);
}

static void reset_signals(void)
{
    sigset_t none;
    for (int number = 1; number <= SIGRTMAX; number++) {
        (void)signal(number, SIG_DFL); // SIGKILL, SIGSTOP and libc's own two refuse
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

// Each source is above 2; only the ack's place, 3, can be a source, and it is filled last.
static void set_descriptors(const struct guard_plan *plan, int report)
{
    const int null = plan->in < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    if (dup2(plan->in < 0 ? null : plan->in, 0) < 0 || dup2(plan->out, 1) < 0 || dup2(plan->err, 2) < 0 ||
        (plan->ack == GUARD_ACK_FD ? fcntl(plan->ack, F_SETFD, 0) : dup2(plan->ack, GUARD_ACK_FD)) < 0) {
        fail(report, "descriptors", "");
    }
    // Everything of ours is close-on-exec already; this is for what a library forgets. Not before Linux 5.11.
    (void)syscall(SYS_close_range, GUARD_ACK_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

static const char *find_path(char *const *env)
{
    for (; *env != NULL; env++) {
        if (strncmp(*env, "PATH=", 5) == 0) {
            return *env + 5;
        }
    }
    return DEFAULT_PATH;
}

// Each folder of PATH in turn, as execvp() does but with the command's PATH, and never a shell for a script without #!.
_Noreturn static void exec_command(const struct guard_plan *plan, int report)
{
    const char *name = plan->argv[0];
    if (strchr(name, '/') != NULL) {
        (void)execve(name, plan->argv, plan->env);
        fail(report, "execve", name);
    }
    const char *at = find_path(plan->env);
    int error = ENOENT;
    for (size_t len = 0; name[0] != '\0'; at += len + 1) {
        char path[4096];
        len = strcspn(at, ":");
        const int size = snprintf(path, sizeof path, "%.*s/%s", len == 0 ? 1 : (int)len, len == 0 ? "." : at, name);
        if (size > 0 && (size_t)size < sizeof path) {
            (void)execve(path, plan->argv, plan->env);
            error = errno == ENOENT || errno == ENOTDIR ? error : errno;
        }
        if (at[len] == '\0') {
            break;
        }
    }
    errno = error;
    fail(report, "execve", name);
}

_Noreturn static void become_command(const struct guard_plan *plan, int report, pid_t guard)
{
    const char *limit = "";
    reset_signals();
    // Dies with its guard. Setting it comes too late if that is dead already.
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != guard) {
        _exit(126);
    }
    (void)setsid(); // can't fail in a fresh child
    set_descriptors(plan, report);
    if (plan->cwd != NULL && chdir(plan->cwd) != 0) {
        fail(report, "chdir", plan->cwd);
    }
    if (!limits_set(plan->limits, &limit)) {
        fail(report, "limit", limit);
    }
    exec_command(plan, report);
}

// ---- the guard
// -------------------------------------------------------------------------------------------------------

struct guard {
    int control;  // -1 = the worker is gone
    int children; // signalfd of SIGCHLD
    int report;   // exec pipe
    pid_t pid;    // of the command
    bool ended;   // the command has
    bool killing; // until nothing is left
    int sweep_ms;
    struct guard_word word;
};

static void send_word(const struct guard *guard)
{
    // A worker that is gone shows as the end of the control socket.
    (void)send(guard->control, &guard->word, sizeof guard->word, MSG_NOSIGNAL);
}

// What is not ours to hold: the worker's sockets and files would otherwise stay open with a guard that outlives it for
// a moment.
static void keep_only(const int *fds, size_t len)
{
    unsigned from = 0;
    for (;;) {
        int next = -1;
        for (size_t i = 0; i < len; i++) {
            if (fds[i] >= (int)from && (next < 0 || fds[i] < next)) {
                next = fds[i];
            }
        }
        if (next < 0) {
            break;
        }
        if (next > (int)from) {
            (void)syscall(SYS_close_range, from, (unsigned)next - 1, 0);
        }
        from = (unsigned)next + 1;
    }
    (void)syscall(SYS_close_range, from, ~0U, 0);
}

int guard_kill_children(bool (*spared)(pid_t pid, void *arg), void *arg)
{
    char text[8192];
    const int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    const ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd); // nothing was written
    int found = 0;
    text[len < 0 ? 0 : len] = '\0';
    // Each number ends in a space; the last one may be cut by the end of the buffer and is then for the next round.
    for (char *at = text, *end; (end = strchr(at, ' ')) != NULL; at = end + 1) {
        const pid_t pid = (pid_t)strtol(at, NULL, 10);
        if (pid > 1 && (spared == NULL || !spared(pid, arg))) {
            found++;
            (void)kill(pid, SIGKILL); // a zombie takes it as well
        }
    }
    return found;
}

static void signal_group(const struct guard *guard, int number)
{
    if (!guard->ended) { // its pid is unreaped: group and pid are nobody else's
        if (kill(-guard->pid, number) != 0) {
            (void)kill(guard->pid, number); // before its setsid()
        }
    }
}

static void tell(struct guard *guard)
{
    guard->word.told = guard->word.told || !guard->ended;
    signal_group(guard, SIGTERM);
    signal_group(guard, SIGCONT); // a stopped process would not see it
}

static void begin_kill(struct guard *guard)
{
    guard->word.told = guard->word.told || !guard->ended;
    guard->killing = true;
    guard->sweep_ms = SWEEP_FIRST_MS;
}

static void on_command_ended(struct guard *guard, int status, const struct rusage *usage)
{
    struct guard_word *word = &guard->word;
    const ssize_t len = read(guard->report, word->error, sizeof word->error - 1);
    word->error[len < 0 ? 0 : len] = '\0';
    word->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    word->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    word->core = WIFSIGNALED(status) && WCOREDUMP(status);
    word->user_ms = usage->ru_utime.tv_sec * 1000 + usage->ru_utime.tv_usec / 1000;
    word->system_ms = usage->ru_stime.tv_sec * 1000 + usage->ru_stime.tv_usec / 1000;
    word->memory_bytes = usage->ru_maxrss * 1024;
    guard->ended = true;
    if (!guard->killing) {
        guard->killing = true;
        guard->sweep_ms = SWEEP_FIRST_MS;
    }
}

// False when no child is left.
static bool reap(struct guard *guard)
{
    for (;;) {
        siginfo_t info = {0};
        struct rusage usage = {0};
        int status = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
            return errno != ECHILD;
        }
        if (info.si_pid == 0) {
            return true;
        }
        if (info.si_pid == guard->pid) {
            (void)kill(-guard->pid, SIGKILL); // its zombie still holds the number of the group
        }
        (void)wait4(info.si_pid, &status, 0, &usage); // a zombie: does not wait
        if (info.si_pid == guard->pid) {
            on_command_ended(guard, status, &usage);
        } else if (guard->ended && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
            guard->word.left_behind++;
        }
    }
}

static void on_control(struct guard *guard)
{
    char byte;
    const ssize_t len = recv(guard->control, &byte, 1, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    (void)reap(guard); // an end that came before the word is the command's own
    if (len == 1 && byte == GUARD_TELL) {
        tell(guard);
        return;
    }
    begin_kill(guard);
    if (len != 1) {
        (void)close(guard->control); // nobody is there
        guard->control = -1;
    }
}

static void wait_for_all(struct guard *guard)
{
    while (reap(guard)) {
        struct signalfd_siginfo info;
        struct pollfd polled[] = {{.fd = guard->children, .events = POLLIN}, {.fd = guard->control, .events = POLLIN}};
        if (guard->killing) {
            signal_group(guard, SIGKILL);
            (void)guard_kill_children(NULL, NULL); // the next round sees what is left
        }
        const int ready = poll(polled, REEVE_ARRAY_LEN(polled), guard->killing ? guard->sweep_ms : -1);
        if (ready == 0 && guard->sweep_ms < SWEEP_LAST_MS) {
            guard->sweep_ms *= 2; // something takes its time to die
        }
        while (read(guard->children, &info, sizeof info) == (ssize_t)sizeof info) {
        }
        if (ready > 0 && polled[1].revents != 0) {
            on_control(guard);
        }
    }
}

_Noreturn static void run_guard(const struct guard_plan *plan)
{
    struct guard guard = {.control = plan->control, .word = {.kind = GUARD_STARTED, .code = -1}};
    sigset_t children;
    int pipe_ends[2];
    (void)setsid(); // a Ctrl-C, or a kill of the worker's group, is not for us
    (void)prctl(PR_SET_NAME, "reeve-guard");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // Linux 3.4
    (void)sigemptyset(&children);
    (void)sigaddset(&children, SIGCHLD);
    guard.children = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (guard.children < 0 || pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        _exit(1); // the end of the control socket tells
    }
    const int report = fcntl(pipe_ends[1], F_DUPFD_CLOEXEC, HIGH_FD);
    guard.report = pipe_ends[0];
    const pid_t self = getpid();
    guard.pid = report < 0 ? -1 : _Fork();
    if (guard.pid == 0) {
        become_command(plan, report, self);
    }
    if (guard.pid < 0) {
        _exit(1);
    }
    const int kept[] = {guard.control, guard.children, guard.report};
    keep_only(kept, REEVE_ARRAY_LEN(kept));
    guard.word.pid = guard.pid;
    send_word(&guard);
    wait_for_all(&guard);
    guard.word.kind = GUARD_ENDED;
    send_word(&guard);
    _exit(0);
}

pid_t guard_fork(const struct guard_plan *plan)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); // no handler of the worker may run in its copy
    const pid_t pid = _Fork();                         // and no lock of another thread is waited for
    if (pid == 0) {
        run_guard(plan);
    }
    const int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}
