// The worker process: fork, limits and isolation, exec. The child tells through a close-on-exec pipe why it could not.
// A fork and not vfork: a chdir or exec that hangs (dead network file system) must not hang the shim with it.
// Must not: use a shell, resolve users (the plan has numbers), or leave a descriptor open in the worker.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

#define NOTIFY_FD    3 // in the worker
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

// The child's ends of the pipes.
struct child_ends {
    int out;
    int err;
    int notify;          // -1 = none
    int report;          // exec pipe
    bool in_first_group; // born in cgroup_procs[0]
    pid_t shim;
};

_Noreturn static void fail(const struct child_ends *ends, const char *what, const char *detail)
{
    char text[SHIM_ERROR_SIZE];
    const char *reason = strerrordesc_np(errno);
    const int len = snprintf(text, sizeof(text), "%s%s%s: %s", what, detail[0] != '\0' ? " " : "", detail,
                             reason != NULL ? reason : "unknown error");
    const size_t size = len < 0 ? 0 : (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    if (write(ends->report, text, size) < 0) {
        _exit(126); // nobody is left to tell
    }
    _exit(127);
}

static void reset_signals(void)
{
    for (int number = 1; number <= SIGRTMAX; number++) {
        (void)signal(number, SIG_DFL); // SIGKILL, SIGSTOP and libc's own two refuse
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

// Dies with the shim. Setting it comes too late if the shim is dead already.
static void die_with_shim(const struct child_ends *ends)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        fail(ends, "pdeathsig", "");
    }
    if (getppid() != ends->shim) {
        _exit(126);
    }
}

static void enter_cgroups(const struct plan *plan, const struct child_ends *ends)
{
    for (uint32_t i = ends->in_first_group ? 1 : 0; i < plan->cgroup_procs.len; i++) {
        if (!sweep_write(plan->cgroup_procs.items[i], "0")) { // 0 = the writer
            fail(ends, "cgroup", plan->cgroup_procs.items[i]);
        }
    }
}

static void set_descriptors(const struct child_ends *ends)
{
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(ends->out, 1) < 0 || dup2(ends->err, 2) < 0) {
        fail(ends, "descriptors", "");
    }
    int first = NOTIFY_FD;
    if (ends->notify >= 0) {
        if (dup2(ends->notify, NOTIFY_FD) < 0) {
            fail(ends, "descriptors", "");
        }
        first++;
    }
    // Everything of ours is close-on-exec already; this is for what a later change forgets. Not before Linux 5.11.
    (void)syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC);
}

static void set_limits(const struct plan *plan, int oom_score, const struct child_ends *ends)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", oom_score);
    (void)sweep_write("/proc/self/oom_score_adj", text); // a worker with the shim's protection still runs
    if (plan->nofile > 0) {
        const struct rlimit limit = {.rlim_cur = (rlim_t)plan->nofile, .rlim_max = (rlim_t)plan->nofile};
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            fail(ends, "nofile", "");
        }
    }
    (void)umask(022);
}

static void set_groups(const struct plan *plan, const struct child_ends *ends)
{
    gid_t groups[PLAN_GROUPS_MAX];
    for (uint32_t i = 0; i < plan->groups.len; i++) {
        groups[i] = (gid_t)strtoul(plan->groups.items[i], NULL, 10);
    }
    if (geteuid() == 0 && setgroups(plan->groups.len, groups) != 0) {
        fail(ends, "setgroups", "");
    }
}

static void become_user(const struct plan *plan, const struct child_ends *ends)
{
    const uid_t uid = (uid_t)plan->uid;
    const gid_t gid = (gid_t)plan->gid;
    if (plan->uid >= 0 || plan->gid >= 0) {
        set_groups(plan, ends);
    }
    if (plan->gid >= 0 && setresgid(gid, gid, gid) != 0) {
        fail(ends, "setgid", "");
    }
    if (plan->uid >= 0 && setresuid(uid, uid, uid) != 0) {
        fail(ends, "setuid", "");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fail(ends, "no_new_privs", "");
    }
}

static const char *find_env(const struct plan *plan, const char *name, size_t len)
{
    for (uint32_t i = 0; i < plan->env.len; i++) {
        if (strncmp(plan->env.items[i], name, len) == 0 && plan->env.items[i][len] == '=') {
            return plan->env.items[i] + len + 1;
        }
    }
    return NULL;
}

static void exec_at(const struct plan *plan, const char *path)
{
    // execve() takes pointers to non-const for history's sake and does not write.
    (void)execve(path, (char *const *)(uintptr_t)plan->argv.items, (char *const *)(uintptr_t)plan->env.items);
}

// Each folder of PATH in turn, as execvp() does but with the worker's PATH, and never a shell for a script without #!.
_Noreturn static void exec_worker(const struct plan *plan, const struct child_ends *ends)
{
    const char *name = plan->argv.items[0];
    if (strchr(name, '/') != NULL) {
        exec_at(plan, name);
        fail(ends, "execve", name);
    }
    const char *at = find_env(plan, "PATH", 4);
    at = at != NULL ? at : DEFAULT_PATH;
    int error = ENOENT;
    for (size_t len = 0; name[0] != '\0'; at += len + 1) {
        len = strcspn(at, ":");
        char path[4096];
        const int size = snprintf(path, sizeof(path), "%.*s/%s", len == 0 ? 1 : (int)len, len == 0 ? "." : at, name);
        if (size > 0 && (size_t)size < sizeof(path)) {
            exec_at(plan, path);
            error = errno == ENOENT || errno == ENOTDIR ? error : errno;
        }
        if (at[len] == '\0') {
            break;
        }
    }
    errno = error;
    fail(ends, "execve", name);
}

_Noreturn static void child(const struct shim *shim, const struct child_ends *ends)
{
    const struct plan *plan = &shim->plan;
    reset_signals();
    die_with_shim(ends);
    (void)setsid(); // can't fail in a fresh child
    enter_cgroups(plan, ends);
    set_limits(plan, shim->oom_score, ends);
    set_descriptors(ends);
    become_user(plan, ends);
    die_with_shim(ends); // a change of user has cleared it
    const char *cwd = plan->cwd != NULL ? plan->cwd : "/";
    if (chdir(cwd) != 0) { // as the worker's user: root's rights are not its own
        fail(ends, "chdir", cwd);
    }
    exec_worker(plan, ends);
}

// The plan's environment plus what the shim promises: the token by which descendants are known, and the notify
// descriptor.
static void complete_env(struct plan *plan, bool notify)
{
    static char token[sizeof(PLAN_TOKEN_ENV) + PLAN_TOKEN_SIZE + 1];
    static char watchdog[48];
    (void)snprintf(token, sizeof(token), "%s=%s", PLAN_TOKEN_ENV, plan->token);
    plan->env.items[plan->env.len++] = token;
    if (notify) {
        plan->env.items[plan->env.len++] = "REEVE_NOTIFY_FD=3";
    }
    if (plan->watchdog_ms > 0) {
        (void)snprintf(watchdog, sizeof(watchdog), "REEVE_WATCHDOG_MS=%lld", (long long)plan->watchdog_ms);
        plan->env.items[plan->env.len++] = watchdog;
    }
    static_assert(PLAN_ENV_OWN_MAX >= 3, "the shim's own variables fit");
    static_assert(NOTIFY_FD == 3, "REEVE_NOTIFY_FD says so");
    plan->env.items[plan->env.len] = NULL;
}

// The read end stays here, not blocking; the write end is handed out.
static bool make_pipe(int *ret_read, int *ret_write, const struct plan *plan)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    const gid_t gid = plan->gid >= 0 ? (gid_t)plan->gid : (gid_t)-1;
    if (plan->uid >= 0 && fchown(ends[1], (uid_t)plan->uid, gid) != 0) {
        errno = 0; // then the worker can't open /dev/stdout by name; most never do
    }
    *ret_read = ends[0];
    *ret_write = ends[1];
    return true;
}

static void close_ends(const struct child_ends *ends)
{
    const int fds[] = {ends->out, ends->err, ends->notify, ends->report};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]); // a pipe
        }
    }
}

static void set_error(struct shim *shim, const char *what)
{
    const char *reason = strerrordesc_np(errno);
    (void)snprintf(shim->exec_error, sizeof(shim->exec_error), "%s: %s", what, reason != NULL ? reason : "unknown");
}

// A child born in its v2 group: moving a process there later waits for an RCU grace period, 10 ms and more. Only v2 has
// cgroup.kill, so that says which group it is. Linux 5.7; without it, or in a group that refuses, an ordinary fork.
static pid_t fork_into_group(const struct plan *plan, struct child_ends *ends)
{
    char dir[PATH_MAX];
    if (plan->cgroup_kill == NULL || plan->cgroup_procs.len == 0) {
        return fork();
    }
    (void)snprintf(dir, sizeof(dir), "%s", plan->cgroup_kill);
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    const int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)fd};
    ends->in_first_group = true; // as the child sees it
    const pid_t pid = fd < 0 ? -1 : (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        return 0;
    }
    if (fd >= 0) {
        (void)close(fd); // a folder
    }
    if (pid < 0) {
        ends->in_first_group = false;
        return fork();
    }
    return pid;
}

void spawn_worker(struct shim *shim)
{
    struct plan *plan = &shim->plan;
    const bool notify = plan->ready == PLAN_READY_NOTIFY || plan->watchdog_ms > 0;
    struct child_ends ends = {.out = -1, .err = -1, .notify = -1, .report = -1, .shim = getpid()};
    complete_env(plan, notify);
    shim->oom_kills_before = ending_oom_kills(shim);
    shim->began_boot_ms = shim_boot_ms();
    if (!make_pipe(&shim->log.streams[0].fd, &ends.out, plan) ||
        !make_pipe(&shim->log.streams[1].fd, &ends.err, plan) || !make_pipe(&shim->exec_pipe, &ends.report, plan) ||
        (notify && !make_pipe(&shim->notify, &ends.notify, plan))) {
        set_error(shim, "pipe");
        close_ends(&ends);
        return;
    }
    const pid_t pid = fork_into_group(plan, &ends);
    if (pid == 0) {
        child(shim, &ends);
    }
    if (pid < 0) {
        set_error(shim, "fork");
    } else {
        shim->pid = pid;
    }
    close_ends(&ends);
}

// For a daemon that finds the shim dead. A full disk must not stop the worker: the socket tells the same while we live.
static void write_start(const struct shim *shim)
{
    struct plan_start start = {.pid = shim->started.pid, .start_time = shim->started.start_time};
    (void)snprintf(start.boot_id, sizeof(start.boot_id), "%s", shim->plan.boot_id);
    char text[PLAN_RECORD_MAX];
    const size_t len = plan_start_write(&start, text);
    const int fd = openat(shim->run_dir, "start.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len;
    if (fd >= 0) {
        (void)close(fd); // local file, written or not
    }
    if (written) {
        (void)renameat(shim->run_dir, "start.tmp", shim->run_dir, "start");
    }
}

// Readable with text: exec failed. At its end without any: the worker's program runs.
void spawn_on_exec_pipe(struct shim *shim)
{
    char text[SHIM_ERROR_SIZE];
    const ssize_t got = read(shim->exec_pipe, text, sizeof(text) - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    (void)close(shim->exec_pipe);
    shim->exec_pipe = -1;
    if (got > 0) {
        text[got] = '\0';
        (void)snprintf(shim->exec_error, sizeof(shim->exec_error), "%s", text);
        return;
    }
    struct sweep_stat stat = {0};
    (void)sweep_stat(shim->pid, &stat); // unreaped: /proc has it
    shim->started = (struct shim_started){.pid = shim->pid, .start_time = stat.start_time};
    shim->phase = PHASE_RUNNING;
    link_tell(shim, SHIM_STARTED);
    link_flush(shim);
    write_start(shim);
    notify_arm_watchdog(shim);
    log_note(shim, "run %lld started pid=%d", (long long)shim->plan.run, (int)shim->pid);
    shim_trim();
}
