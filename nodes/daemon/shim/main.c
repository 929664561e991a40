// reeve-shim: holds one worker process for reeved; its pipes, log files, exit status. Outlives the daemon.
// Started by reeved only, with the descriptors of shim_wire.h; options, the plan, then the loop of shim.c.
// Must not: need the daemon after start, allocate, or be linked with anything but libc.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

#define OOM_PROTECT (-900) // not -1000: if nothing else is left to kill, the host matters more

static struct shim shim; // zeroed pages cost nothing until they are used
static char plan_data[PLAN_SIZE_MAX + 1];

static int usage(int code)
{
    (void)fputs("usage: reeve-shim WORKER RUN\n"
                "Holds one worker process for reeved, which starts it. Not for use by hand.\n",
                code == 0 ? stdout : stderr);
    return code;
}

static bool has_descriptors(void)
{
    struct stat st;
    return fstat(SHIM_FD_LINK, &st) == 0 && S_ISSOCK(st.st_mode) && fstat(SHIM_FD_LISTEN, &st) == 0 &&
           S_ISSOCK(st.st_mode) && fstat(SHIM_FD_RUN_DIR, &st) == 0 && S_ISDIR(st.st_mode);
}

// 0, 1 and 2 are taken, so that no pipe of the worker's lands there.
static void adopt_descriptors(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++) {
        (void)dup2(null, fd); // /dev/null always can
    }
    if (null > SHIM_FD_RUN_DIR) {
        (void)close(null);
    }
    for (int fd = SHIM_FD_LINK; fd <= SHIM_FD_RUN_DIR; fd++) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    (void)fcntl(SHIM_FD_LINK, F_SETFL, O_NONBLOCK);
    (void)fcntl(SHIM_FD_LISTEN, F_SETFL, O_NONBLOCK);
}

// All signals are blocked: SIGTERM to the shim does nothing, a stop comes through the socket. Only SIGKILL ends it
// early, and then the kernel ends the worker (PR_SET_PDEATHSIG).
static int block_signals(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)signal(SIGCHLD, SIG_DFL); // inherited as ignored, children would vanish without a status
    sigset_t child;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    return signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
}

// The shim should be the last to be killed when memory is short. Without the right to lower its own score it raises the
// worker's, which it may.
static int protect_from_oom(void)
{
    char text[16];
    int score = 0;
    if (sweep_read("/proc/self/oom_score_adj", text, sizeof(text)) > 0) {
        score = atoi(text);
    }
    (void)snprintf(text, sizeof(text), "%d", OOM_PROTECT);
    if (score > OOM_PROTECT && !sweep_write("/proc/self/oom_score_adj", text)) {
        score = score + 100 > 1000 ? 1000 : score + 100;
    }
    return score;
}

static bool load_plan(const char **ret_error)
{
    const int fd = openat(SHIM_FD_RUN_DIR, "plan", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *ret_error = "can't be opened";
        return false;
    }
    size_t len = 0;
    for (ssize_t got = 1; got > 0 && len<sizeof(plan_data); len += got> 0 ? (size_t)got : 0) {
        got = read(fd, plan_data + len, sizeof(plan_data) - len);
    }
    (void)close(fd); // nothing was written
    if (len > PLAN_SIZE_MAX) {
        *ret_error = "too large";
        return false;
    }
    return plan_read(plan_data, len, &shim.plan, ret_error);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(0);
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("reeve-shim " REEVE_VERSION);
        return 0;
    }
    if (argc != 3 || !has_descriptors()) {
        return usage(2);
    }
    adopt_descriptors();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // Linux 3.4
    shim_init(&shim, block_signals(), protect_from_oom());
    const char *error = NULL;
    if (load_plan(&error)) {
        log_open(&shim);
        ending_prepare(&shim);
        spawn_worker(&shim);
        lease_start(&shim);
    } else {
        (void)snprintf(shim.exec_error, sizeof(shim.exec_error), "plan: %s", error);
        ending_prepare(&shim);
    }
    shim_run(&shim);
    return 0;
}
