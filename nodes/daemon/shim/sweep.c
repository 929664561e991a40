// Rounds of looking for processes and killing them; see sweep.h for what makes each safe against reuse of pids.
// Must not: allocate, wait, or need anything but libc.
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plan.h"

#define SWEEP_ENVIRON_MAX (256 * 1024)
#define SWEEP_GROUP_MAX   512 // pids of a group looked at in one round; the next round takes the rest

typedef bool sweep_match(pid_t pid, const void *arg);

ssize_t sweep_read(const char *path, char *buf, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -1;
    }
    size_t len = 0;
    while (len < size - 1) {
        const ssize_t got = read(fd, buf + len, size - 1 - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
    }
    (void)close(fd); // nothing was written
    buf[len] = '\0';
    return (ssize_t)len;
}

bool sweep_write(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    const size_t len = strlen(text);
    const ssize_t done = write(fd, text, len);
    const int saved = errno;
    (void)close(fd); // /proc and cgroupfs report with write()
    errno = saved;
    return done == (ssize_t)len;
}

bool sweep_stat(pid_t pid, struct sweep_stat *ret)
{
    char path[48];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (sweep_read(path, text, sizeof(text)) <= 0) {
        return false;
    }
    // The command may hold spaces and brackets: fields are counted from the last ')'.
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ') {
        return false;
    }
    at += 2;
    struct sweep_stat stat = {.state = *at};
    for (int number = 3; number < 22 && at != NULL; number++) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
        if (number == 3 && at != NULL) {
            stat.ppid = (pid_t)strtol(at, NULL, 10);
        }
    }
    if (at == NULL) {
        return false;
    }
    stat.start_time = strtoull(at, NULL, 10);
    *ret = stat;
    return true;
}

static bool is_gone(char state)
{
    return state == 'Z' || state == 'X' || state == 'x';
}

static bool is_alive(pid_t pid)
{
    struct sweep_stat stat;
    return sweep_stat(pid, &stat) && !is_gone(stat.state);
}

// SIGKILL to `pid` if `match` still holds once a pidfd pins it. Without pidfd (before Linux 5.3) the two looks are
// all there is.
static bool kill_pinned(pid_t pid, sweep_match *match, const void *arg)
{
    const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno != ENOSYS) {
        return false;
    }
    const bool alive = match(pid, arg) && is_alive(pid);
    if (alive && fd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL,
                      0); // gone meanwhile is as good; the next round looks again
    } else if (alive) {
        (void)kill(pid, SIGKILL); // the same
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return alive;
}

// getdents64 into a buffer of our own: opendir() would allocate.
struct dents {
    int fd;
    long len;
    long at;
    char data[8192] __attribute__((aligned(8)));
};

static pid_t dents_next(struct dents *dents)
{
    for (;;) {
        if (dents->at >= dents->len) {
            dents->at = 0;
            dents->len = syscall(SYS_getdents64, dents->fd, dents->data, sizeof(dents->data));
            if (dents->len <= 0) {
                return 0;
            }
        }
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(dents->data + dents->at);
        dents->at += entry->d_reclen;
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
            return (pid_t)strtol(entry->d_name, NULL, 10);
        }
    }
}

static int sweep_all(sweep_match *match, const void *arg)
{
    struct dents dents = {.fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (dents.fd < 0) {
        return 0;
    }
    int found = 0;
    for (pid_t pid = dents_next(&dents); pid != 0; pid = dents_next(&dents)) {
        if (match(pid, arg) && kill_pinned(pid, match, arg)) {
            found++;
        }
    }
    (void)close(dents.fd);
    return found;
}

static bool match_child(pid_t pid, const void *arg)
{
    struct sweep_stat stat;
    return sweep_stat(pid, &stat) && stat.ppid == *(const pid_t *)arg && !is_gone(stat.state);
}

int sweep_children(void)
{
    const pid_t self = getpid();
    return sweep_all(match_child, &self);
}

static bool match_token(pid_t pid, const void *arg)
{
    static char env[SWEEP_ENVIRON_MAX]; // one thread; too large for a stack
    char path[48];
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    const ssize_t len = sweep_read(path, env, sizeof(env));
    const char *wanted = arg;
    const size_t wanted_len = strlen(wanted) + 1;
    const char *at = env;
    while (len > 0 && (at = memmem(at, (size_t)(env + len - at), wanted, wanted_len)) != NULL) {
        if (at == env || at[-1] == '\0') {
            return true;
        }
        at++;
    }
    return false;
}

int sweep_token(const char *token)
{
    char wanted[sizeof(PLAN_TOKEN_ENV) + PLAN_TOKEN_SIZE + 1];
    if (token[0] == '\0') {
        return 0;
    }
    (void)snprintf(wanted, sizeof(wanted), "%s=%s", PLAN_TOKEN_ENV, token);
    return sweep_all(match_token, wanted);
}

static bool match_start_time(pid_t pid, const void *arg)
{
    struct sweep_stat stat;
    return sweep_stat(pid, &stat) && stat.start_time == *(const uint64_t *)arg;
}

int sweep_process(pid_t pid, uint64_t start_time)
{
    return pid > 0 && kill_pinned(pid, match_start_time, &start_time) ? 1 : 0;
}

struct group {
    const char *procs_path;
    int len;
    pid_t pids[SWEEP_GROUP_MAX];
};

static void group_read(struct group *group)
{
    static char text[SWEEP_GROUP_MAX * 8];
    group->len = 0;
    if (sweep_read(group->procs_path, text, sizeof(text)) <= 0) {
        return;
    }
    const char *at = text;
    for (const char *newline = strchr(at, '\n'); newline != NULL && group->len < SWEEP_GROUP_MAX;
         newline = strchr(at, '\n')) {
        const pid_t pid = (pid_t)strtol(at, NULL, 10);
        if (pid > 0) { // 0: a member of another pid namespace, which can't be named from here
            group->pids[group->len++] = pid;
        }
        at = newline + 1;
    }
}

static bool match_group(pid_t pid, const void *arg)
{
    const struct group *group = arg;
    for (int i = 0; i < group->len; i++) {
        if (group->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

static int kill_members(struct group *group)
{
    struct group again = {.procs_path = group->procs_path};
    int pidfds[SWEEP_GROUP_MAX];
    int found = 0;
    for (int i = 0; i < group->len; i++) {
        pidfds[i] = (int)syscall(SYS_pidfd_open, group->pids[i], 0);
    }
    group_read(&again); // whoever is still in the group is who the pidfd pins
    for (int i = 0; i < group->len; i++) {
        if (pidfds[i] >= 0 && match_group(group->pids[i], &again)) {
            (void)syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0); // gone is as good
            found++;
        }
        if (pidfds[i] >= 0) {
            (void)close(pidfds[i]);
        }
    }
    return found;
}

int sweep_cgroup(const char *procs_path, const char *kill_path)
{
    struct group group = {.procs_path = procs_path};
    group_read(&group);
    if (group.len == 0) {
        return 0;
    }
    if (kill_path != NULL && sweep_write(kill_path, "1")) {
        return group.len;
    }
    return kill_members(&group);
}
