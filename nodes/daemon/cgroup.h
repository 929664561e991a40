// Control groups of workers: cgroup v2 where the daemon has a delegated subtree, cgroup v1 controllers where that is
// what the host has, nothing where neither may be written. Says which limits are really enforced.
// Must not: know about runs or commands; block for longer than a write to cgroupfs.
#ifndef REEVED_CGROUP_H
#define REEVED_CGROUP_H

#include <reeve/err.h>
#include <reeve/str.h>

struct cgroup_limits {
    int64_t memory_bytes; // 0 = none
    double cpus;          // 0 = none; 1.5 = one and a half cores
    int64_t pids;         // 0 = none
};
struct cgroup_host; // what this host offers; one per daemon

// Looks at /proc/self/mountinfo and /proc/self/cgroup, makes the daemon's own subtree `reeve-<node>-<8 hex of the state
// dir>` below the daemon's own group. With v2 controllers the daemon moves itself into a leaf `reeve-daemon` of its
// group (systemd: Delegate=yes, from 254 on also DelegateSubgroup=reeve-daemon), but only if nobody else lives in that
// group. Never fails for lack of rights: then everything reports as not enforced, with the reason.
enum reeve_err cgroup_host_new(const char *node, const char *state_dir, struct cgroup_host **ret,
                               struct reeve_why *why);
// Removes the daemon's subtree if no worker is left in it. NULL allowed.
void cgroup_host_free(struct cgroup_host *host);
// "v2 (memory cpu pids kill)", "v2 (kill), v1 (memory cpu pids)", "v1 (memory cpu)", "none: not writable"
const char *cgroup_host_text(const struct cgroup_host *host);

// A limit that was not asked for is not enforced.
struct cgroup_enforced {
    bool memory, cpu, pids;
    bool group_kill; // the kernel ends the group in one go; without it the shim does, one by one
};
// Make (or reuse) the worker's group(s) and set the limits. Entering a v1 group costs up to 13 ms at each start (an RCU
// grace period, measured), a v2 one nothing: without limits there are no v1 groups. What can't be set is reported in
// *ret and, in words, in `why`
// ("cpu_limit is not enforced: no cpu controller"), while the call is still OK.
enum reeve_err cgroup_make(struct cgroup_host *host, const char *worker, const struct cgroup_limits *limits,
                           struct cgroup_enforced *ret, struct reeve_why *why);
// Files for struct run_plan; owned by the caller's strv / buffers. Empty where there is nothing.
void cgroup_paths(const struct cgroup_host *host, const char *worker, struct reeve_strv *ret_procs, char ret_oom[512],
                  char ret_kill[512]);
// Remove the worker's groups; what still lives in them is killed first. Absent = fine.
void cgroup_remove(struct cgroup_host *host, const char *worker);
// Bytes and CPU time used, -1 for the one that is not known; false where neither is (no group: ask /proc/<pid>).
bool cgroup_usage(const struct cgroup_host *host, const char *worker, int64_t *ret_memory_bytes, int64_t *ret_cpu_us);

#endif
