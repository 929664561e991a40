// Version 2: one hierarchy. A group that hands controllers to its children may not hold processes itself (except the
// root), so the daemon moves into a leaf `reeve-daemon` of its own group first. Documentation/admin-guide/cgroup-v2.rst
// of Linux. Must not: move a process other than the daemon itself.
#include "cgroup_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/sweep.h"

#define LEAF          "reeve-daemon" // also a good DelegateSubgroup= for systemd 254 and later
#define CPU_PERIOD_US 100000         // the kernel's default

static bool has_word(const char *text, const char *word)
{
    const size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += len) {
        const bool begins = at == text || at[-1] == ' ';
        if (begins && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool file_has(const char *dir, const char *file, const char *word)
{
    char path[CGROUP_PATH_SIZE];
    char text[512];
    return sweep_read(cgroup_file(dir, file, path), text, sizeof(text)) > 0 && has_word(text, word);
}

// A daemon that was started again inside the leaf: its group is the one above.
static void leave_leaf_name(char own[CGROUP_BASE_SIZE])
{
    char *slash = strrchr(own, '/');
    if (slash != NULL && strcmp(slash + 1, LEAF) == 0) {
        *slash = '\0';
    }
}

// Nobody but us in the group: then it may be emptied.
static bool is_alone_in(const char *dir)
{
    char path[CGROUP_PATH_SIZE];
    char text[256];
    char *end = NULL;
    if (sweep_read(cgroup_file(dir, "cgroup.procs", path), text, sizeof(text)) <= 0) {
        return false;
    }
    return strtol(text, &end, 10) == getpid() && strcmp(end, "\n") == 0;
}

static bool is_empty(const char *dir)
{
    char path[CGROUP_PATH_SIZE];
    char text[8];
    return sweep_read(cgroup_file(dir, "cgroup.procs", path), text, sizeof(text)) == 0;
}

// cgroup.type exists in every group but the root, which may have both processes and children with controllers.
static bool make_room_for_controllers(const char *own)
{
    char leaf[CGROUP_PATH_SIZE];
    if (!cgroup_exists(own, "cgroup.type") || is_empty(own)) {
        return true;
    }
    return is_alone_in(own) && cgroup_mkdir(cgroup_file(own, LEAF, leaf)) && cgroup_write(leaf, "cgroup.procs", "0");
}

// Handing a controller on must be said in each group from `own` down to where the limit is set.
static bool hand_on(const struct cgroup_tree *tree, enum cgroup_kind kind)
{
    char order[16];
    (void)snprintf(order, sizeof(order), "+%s", cgroup_kind_text(kind));
    const char *const dirs[] = {tree->own, tree->base};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(dirs); i++) {
        if (!file_has(dirs[i], "cgroup.controllers", cgroup_kind_text(kind))) {
            return false;
        }
        if (!file_has(dirs[i], "cgroup.subtree_control", cgroup_kind_text(kind)) &&
            !cgroup_write(dirs[i], "cgroup.subtree_control", order)) {
            return false;
        }
    }
    return true;
}

static bool wants_controllers(const struct cgroup_host *host)
{
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        if (host->limits[i].base[0] == '\0' &&
            file_has(host->track.own, "cgroup.controllers", cgroup_kind_text((enum cgroup_kind)i))) {
            return true;
        }
    }
    return false;
}

bool cgroup_v2_prepare(struct cgroup_host *host)
{
    struct cgroup_tree *track = &host->track;
    if (track->own[0] == '\0') {
        return false;
    }
    leave_leaf_name(track->own);
    const int len = snprintf(track->base, sizeof(track->base), "%s/%s", track->own, host->group);
    if (len < 0 || (size_t)len >= sizeof(track->base) || !cgroup_mkdir(track->base) ||
        !cgroup_exists(track->base, "cgroup.procs")) {
        track->base[0] = '\0';
        return false;
    }
    track->v2 = true;
    if (!wants_controllers(host) || !make_room_for_controllers(track->own)) {
        return true;
    }
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        if (host->limits[i].base[0] == '\0' && hand_on(track, (enum cgroup_kind)i)) {
            host->limits[i] = *track;
        }
    }
    return true;
}

static bool set_number(const char *dir, const char *file, int64_t value)
{
    return value > 0 ? cgroup_write_i64(dir, file, value) : cgroup_write(dir, file, "max");
}

static bool set_memory(const char *dir, int64_t bytes)
{
    if (!set_number(dir, "memory.max", bytes)) {
        return false;
    }
    // Without this the limit only moves pages to swap. Absent where there is no swap.
    return !cgroup_exists(dir, "memory.swap.max") || cgroup_write(dir, "memory.swap.max", bytes > 0 ? "0" : "max");
}

static bool set_cpu(const char *dir, double cpus)
{
    char text[64];
    if (cpus <= 0) {
        return cgroup_write(dir, "cpu.max", "max");
    }
    (void)snprintf(text, sizeof(text), "%lld %d", (long long)(cpus * CPU_PERIOD_US), CPU_PERIOD_US);
    return cgroup_write(dir, "cpu.max", text);
}

bool cgroup_v2_set(const char *dir, enum cgroup_kind kind, const struct cgroup_limits *limits)
{
    switch (kind) {
    case CGROUP_MEMORY:
        return set_memory(dir, limits->memory_bytes);
    case CGROUP_CPU:
        return set_cpu(dir, limits->cpus);
    case CGROUP_PIDS:
        return set_number(dir, "pids.max", limits->pids);
    case CGROUP_KIND_COUNT:
        break;
    }
    return false;
}
