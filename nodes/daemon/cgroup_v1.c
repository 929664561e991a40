// Version 1: a hierarchy per controller, each limit a file of its own.
// Documentation/admin-guide/cgroup-v1/{memory,pids}.rst, Documentation/scheduler/sched-bwc.rst of Linux.
// Must not: move anything but what its caller asks for.
#include "cgroup_priv.h"

#include <stdio.h>

#define CPU_PERIOD_US 100000 // the kernel's default

static const char *const limit_files[CGROUP_KIND_COUNT] = {
    [CGROUP_MEMORY] = "memory.limit_in_bytes",
    [CGROUP_CPU] = "cpu.cfs_quota_us",
    [CGROUP_PIDS] = "pids.max",
};

bool cgroup_v1_prepare(const struct cgroup_host *host, struct cgroup_tree *tree, enum cgroup_kind kind)
{
    if (tree->own[0] == '\0') {
        return false;
    }
    const int len = snprintf(tree->base, sizeof(tree->base), "%s/%s", tree->own, host->group);
    if (len < 0 || (size_t)len >= sizeof(tree->base) || !cgroup_mkdir(tree->base) ||
        !cgroup_exists(tree->base, limit_files[kind])) {
        tree->base[0] = '\0';
        return false;
    }
    return true;
}

// Memory and swap together may never be below memory alone: which of the two comes first depends on where the limit
// goes.
static bool set_memory(const char *dir, int64_t bytes)
{
    const int64_t limit = bytes > 0 ? bytes : -1;
    const char *memory = limit_files[CGROUP_MEMORY];
    const char *with_swap = "memory.memsw.limit_in_bytes";
    if (!cgroup_exists(dir, with_swap)) { // swap accounting is off
        return cgroup_write_i64(dir, memory, limit);
    }
    if (cgroup_write_i64(dir, memory, limit)) {
        return cgroup_write_i64(dir, with_swap, limit);
    }
    return cgroup_write_i64(dir, with_swap, limit) && cgroup_write_i64(dir, memory, limit);
}

static bool set_cpu(const char *dir, double cpus)
{
    if (cpus <= 0) {
        return cgroup_write_i64(dir, limit_files[CGROUP_CPU], -1);
    }
    return cgroup_write_i64(dir, "cpu.cfs_period_us", CPU_PERIOD_US) &&
           cgroup_write_i64(dir, limit_files[CGROUP_CPU], (int64_t)(cpus * CPU_PERIOD_US));
}

bool cgroup_v1_set(const char *dir, enum cgroup_kind kind, const struct cgroup_limits *limits)
{
    switch (kind) {
    case CGROUP_MEMORY:
        return set_memory(dir, limits->memory_bytes);
    case CGROUP_CPU:
        return set_cpu(dir, limits->cpus);
    case CGROUP_PIDS:
        return limits->pids > 0 ? cgroup_write_i64(dir, limit_files[kind], limits->pids)
                                : cgroup_write(dir, limit_files[kind], "max");
    case CGROUP_KIND_COUNT:
        break;
    }
    return false;
}
