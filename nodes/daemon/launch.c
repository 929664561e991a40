// Two nested clone(CLONE_VM | CLONE_VFORK): the first child makes the second and leaves, so that the second is nobody's
// child here, and no memory map is copied on the way. Each step sleeps until the next has executed or ended. Must not:
// do anything in the children but system calls; they run in the daemon's memory.
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE   (16 * 1024)
#define FD_FIRST     3
#define FD_ELSEWHERE 16 // handed-over descriptors are first moved out of the way of their targets

struct step {
    const struct launch *launch;
    char *stack_top;
    int error; // errno of what failed in either child
};

static char stacks[2][STACK_SIZE] __attribute__((aligned(16)));

// Neither returns, so what a sanitizer notes about their stack frames would go stale.
#define IN_SHARED_MEMORY __attribute__((no_sanitize("address", "thread", "undefined")))

IN_SHARED_MEMORY static int step_exec(void *arg)
{
    struct step *step = arg;
    const struct launch *launch = step->launch;
    static char *const no_env[] = {NULL}; // /proc/<shim>/environ must not show what the daemon was given
    long moved[REEVE_ARRAY_LEN(launch->fds)];
    (void)syscall(SYS_setsid); // can't fail in a fresh child
    for (size_t i = 0; i < REEVE_ARRAY_LEN(moved); i++) {
        moved[i] = syscall(SYS_fcntl, launch->fds[i], F_DUPFD_CLOEXEC, FD_ELSEWHERE);
    }
    const long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < FD_FIRST; i++) {
        (void)syscall(SYS_dup3, null, i, 0); // fails only if null is i itself
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(moved); i++) {
        if (moved[i] < 0 || syscall(SYS_dup3, moved[i], FD_FIRST + (int)i, 0) < 0) {
            step->error = errno;
            syscall(SYS_exit_group, 127);
        }
    }
    // Libraries may hold descriptors without close-on-exec. Before Linux 5.11 those would leak into the shim, no
    // further.
    (void)syscall(SYS_close_range, FD_FIRST + (int)REEVE_ARRAY_LEN(moved), ~0U, CLOSE_RANGE_CLOEXEC);
    (void)syscall(SYS_execve, launch->path, launch->argv, no_env);
    step->error = errno;
    syscall(SYS_exit_group, 127);
    return 0;
}

IN_SHARED_MEMORY static int step_orphan(void *arg)
{
    struct step *step = arg;
    if (clone(step_exec, step->stack_top, CLONE_VM | CLONE_VFORK | SIGCHLD, step) < 0) {
        step->error = errno;
    }
    syscall(SYS_exit_group, 0);
    return 0;
}

enum reeve_err launch_detached(const struct launch *launch, struct reeve_why *why)
{
    struct step step = {.launch = launch, .stack_top = stacks[1] + STACK_SIZE};
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); // no handler of ours may run in a child that shares our memory
    // No exit signal: a SIGCHLD would wake whoever watches real children.
    const pid_t pid = clone(step_orphan, stacks[0] + STACK_SIZE, CLONE_VM | CLONE_VFORK, &step);
    const int clone_error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        errno = clone_error;
        return reeve_fail_errno(why, "cannot start %s: clone", launch->path);
    }
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {
        // it has ended already
    }
    if (step.error != 0) {
        errno = step.error;
        return reeve_fail_errno(why, "cannot start %s", launch->path);
    }
    return REEVE_OK;
}
