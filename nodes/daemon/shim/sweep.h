// Ending processes that nobody holds by an unreaped pid: members of a control group, children handed to us, processes
// that carry a run's token. Each is pinned by a pidfd and looked at again before it is killed, so that a reused pid is
// spared. Must not: allocate, wait, or need anything but libc (both the shim and the daemon use it).
#ifndef REEVE_SWEEP_H
#define REEVE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sweep_stat {
    pid_t ppid;
    char state;          // 'Z' and 'X' are gone for our purposes
    uint64_t start_time; // field 22: clock ticks since boot
};
// /proc/<pid>/stat; false when there is no such process.
bool sweep_stat(pid_t pid, struct sweep_stat *ret);

// One round each: SIGKILL to what is found; the number of live processes found. Call again until it says 0: a process
// may fork while it is being looked for.
int sweep_children(
    void); // children of the calling process; it is the only one to reap, so no pid can be reused meanwhile
// Members of a cgroup by its cgroup.procs file. kill_path (cgroup.kill of v2) ends all of them at once; NULL = one by
// one.
int sweep_cgroup(const char *procs_path, const char *kill_path);
// Processes whose environment has PLAN_TOKEN_ENV=token.
int sweep_token(const char *token);
// The process of this pid and start time, if that is still who it is. 1 or 0.
int sweep_process(pid_t pid, uint64_t start_time);

// A whole small file into buf as a string; its length, or -1.
ssize_t sweep_read(const char *path, char *buf, size_t size);
bool sweep_write(const char *path, const char *text);

#endif
