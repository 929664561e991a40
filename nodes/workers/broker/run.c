// One run of the broker: start it, pass signals on, see whether it ever listened, wait for its end.
// Mosquitto reads its store, opens its listeners, then sends READY=1 to $NOTIFY_SOCKET (sd_notify): that is the line
// between an end before and after it listened. Must not: decide what to do about the end.
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/str.h>

// A broker built without sd_notify never says that it listens: one that lived so long did. The largest store that
// max_queued_bytes and a few ten thousand records make is read in a second or two.
#define LISTENED_MS    60000
#define NOTIFY_LEN_MAX 512
// Mosquitto forgets a SIGTERM that comes between its first listen() and its main loop: asked to stop, it is asked
// again.
#define ASK_AGAIN_MS 500

static const int passed_on[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
static const int crashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};

static sigset_t mask_before;

struct run {
    pid_t pid;
    int signals; // signalfd
    int asked;   // SIGTERM or SIGINT that was passed on; 0 = none
    int notify;  // socket on which the broker tells that it is ready; -1 = none
    struct run_end end;
};

static void close_auto(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* a socket or signalfd: nothing to learn */
    }
}
#define AUTO_CLOSE __attribute__((cleanup(close_auto))) int

static void signal_set(sigset_t *ret)
{
    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGCHLD);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(passed_on); i++) {
        (void)sigaddset(ret, passed_on[i]);
    }
}

// The descriptor on which our supervisor waits for READY=1, or -1.
static int supervisor_fd(void)
{
    const char *text = getenv("REEVE_NOTIFY_FD");
    int64_t fd;
    return text != NULL && reeve_parse_i64(text, &fd, NULL) == REEVE_OK && fd > STDERR_FILENO && fd < INT_MAX ? (int)fd
                                                                                                              : -1;
}

void run_prepare(void)
{
    (void)fcntl(supervisor_fd(), F_SETFD, FD_CLOEXEC); /* EBADF: nobody waits */
    sigset_t set;
    signal_set(&set);
    (void)sigprocmask(SIG_BLOCK, &set, &mask_before); /* fails on bad arguments only */
}

// ---- readiness

// A name that the kernel chooses in the abstract namespace; ret_name as sd_notify takes it ("@...").
static bool bind_notify(int fd, char ret_name[16])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t len = sizeof name;
    const int on = 1;
    if (bind(fd, (struct sockaddr *)&name, sizeof name.sun_family) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
        return false;
    }
    const size_t path_len = len - offsetof(struct sockaddr_un, sun_path);
    (void)snprintf(ret_name, 16, "@%.*s", (int)path_len - 1, name.sun_path + 1);
    return true;
}

static int open_notify(char ret_name[16])
{
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && !bind_notify(fd, ret_name)) {
        (void)close(fd); /* an unused socket: nothing to learn */
        return -1;
    }
    return fd;
}

// Anybody on the host can send to an abstract socket: only the broker's own word counts.
static bool is_from(struct msghdr *message, pid_t pid)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
            struct ucred sender;
            (void)memcpy(&sender, CMSG_DATA(part), sizeof sender);
            return sender.pid == pid;
        }
    }
    return false;
}

// Our supervisor (the shim) hears it from us: a line on the descriptor that it named.
static void pass_on_ready(void)
{
    static const char ready[] = "READY=1\n";
    const int fd = supervisor_fd();
    if (fd >= 0 && write(fd, ready, sizeof ready - 1) != (ssize_t)sizeof ready - 1) {
        reeve_log(REEVE_LOG_WARNING, "broker", "notify=failed err=\"%s\": ignoring", strerror(errno));
    }
}

static void on_notify(struct run *run)
{
    for (;;) {
        char text[NOTIFY_LEN_MAX + 1];
        union {
            struct cmsghdr align;
            char space[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec part = {.iov_base = text, .iov_len = NOTIFY_LEN_MAX};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        const ssize_t len = recvmsg(run->notify, &message, MSG_CMSG_CLOEXEC);
        if (len < 0) {
            return;
        }
        text[len] = '\0';
        if (!run->end.listened && is_from(&message, run->pid) && reeve_str_starts(text, "READY=1")) {
            run->end.listened = true;
            pass_on_ready();
        }
    }
}

// ---- the process

_Noreturn static void become_broker(const char *mosquitto, const char *config, const char *notify, pid_t parent)
{
    (void)sigprocmask(SIG_SETMASK, &mask_before, NULL); /* as at our start */
    // An orphan would hold the port against its successor.
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* fails on bad arguments only */
    if (getppid() != parent) {
        _exit(RUN_NOT_EXECUTED);
    }
    if (notify[0] != '\0') {
        (void)setenv("NOTIFY_SOCKET", notify, 1); /* without it the start is judged by time */
    } else {
        (void)unsetenv("NOTIFY_SOCKET");
    }
    (void)execl(mosquitto, mosquitto, "-c", config, (char *)NULL);
    reeve_log(REEVE_LOG_ERROR, "broker", "program=%s err=\"%s\"", mosquitto, strerror(errno));
    _exit(RUN_NOT_EXECUTED);
}

// True when the broker has ended.
static bool on_signals(struct run *run)
{
    struct signalfd_siginfo info;
    while (read(run->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        const int number = (int)info.ssi_signo;
        if (number == SIGCHLD) {
            if (waitpid(run->pid, &run->end.status, WNOHANG) == run->pid) {
                return true;
            }
            continue;
        }
        if (number == SIGTERM || number == SIGINT) {
            run->asked = number;
        }
        (void)kill(run->pid, number); /* our unreaped child: the pid is nobody else's */
    }
    return false;
}

static void wait_end(struct run *run)
{
    struct pollfd polled[] = {{.fd = run->signals, .events = POLLIN}, {.fd = run->notify, .events = POLLIN}};
    for (;;) {
        if (poll(polled, REEVE_ARRAY_LEN(polled), run->asked != 0 ? ASK_AGAIN_MS : -1) == 0) {
            (void)kill(run->pid, run->asked); /* our unreaped child: the pid is nobody else's */
        }
        on_notify(run); // before the signals: a READY sent just before the end counts
        if (on_signals(run)) {
            on_notify(run);
            return;
        }
    }
}

enum reeve_err run_broker(const char *mosquitto, const char *config, struct run_end *ret, struct reeve_why *why)
{
    sigset_t set;
    signal_set(&set);
    AUTO_CLOSE signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        return reeve_fail_errno(why, "signalfd");
    }
    char name[16] = "";
    AUTO_CLOSE notify = open_notify(name);
    const int64_t started = reeve_clock_mono_ms();
    const pid_t parent = getpid();
    struct run run = {.signals = signals, .notify = notify};
    run.pid = fork();
    if (run.pid < 0) {
        return reeve_fail_errno(why, "fork");
    }
    if (run.pid == 0) {
        become_broker(mosquitto, config, name, parent);
    }
    wait_end(&run);
    run.end.asked = run.asked != 0;
    run.end.ran_ms = reeve_clock_mono_ms() - started;
    *ret = run.end;
    return REEVE_OK;
}

// ---- the end

const char *run_end_text(const struct run_end *end, char *buf, size_t buf_len)
{
    if (WIFSIGNALED(end->status)) {
        const char *name = sigabbrev_np(WTERMSIG(end->status));
        (void)snprintf(buf, buf_len, "signal:%s", name == NULL ? "?" : name);
    } else {
        (void)snprintf(buf, buf_len, "exit:%d", WEXITSTATUS(end->status));
    }
    return buf;
}

static bool is_failure(int status)
{
    if (!WIFSIGNALED(status)) {
        return WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != RUN_NOT_EXECUTED;
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(crashes); i++) {
        if (WTERMSIG(status) == crashes[i]) {
            return true;
        }
    }
    return false;
}

bool run_end_is_failed_start(const struct run_end *end)
{
    return !end->listened && !end->asked && end->ran_ms < LISTENED_MS && is_failure(end->status);
}

int run_leave_as(const struct run_end *end)
{
    if (!WIFSIGNALED(end->status)) {
        return WEXITSTATUS(end->status);
    }
    const int number = WTERMSIG(end->status);
    const struct rlimit no_core = {0};
    sigset_t set;
    (void)setrlimit(RLIMIT_CORE, &no_core); /* the broker has written its own */
    (void)prctl(PR_SET_DUMPABLE, 0);        /* where cores go to a pipe, the limit does not count */
    (void)signal(number, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(number);
    return 128 + number; // a signal whose preset is to be ignored
}
