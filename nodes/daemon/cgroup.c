// Which control groups this host offers, and the groups of workers in them.
// Must not: know of files that only one version has (cgroup_v1.c, cgroup_v2.c do), except for usage, which reads
// either.
#include "cgroup_priv.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <reeve/buf.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/sweep.h"

#define REMOVE_TRIES    50
#define REMOVE_PAUSE_MS 2
#define MOUNTINFO_MAX   (256 * 1024) // hosts with many containers have long ones

static const char *const kind_texts[CGROUP_KIND_COUNT] = {"memory", "cpu", "pids"};
static const char *const limit_names[CGROUP_KIND_COUNT] = {"memory_limit", "cpu_limit", "max_pids"};

const char *cgroup_kind_text(enum cgroup_kind kind)
{
    return kind_texts[kind];
}

// ---- files

const char *cgroup_file(const char *dir, const char *file, char ret[CGROUP_PATH_SIZE])
{
    if ((size_t)snprintf(ret, CGROUP_PATH_SIZE, "%s/%s", dir, file) >= CGROUP_PATH_SIZE) {
        ret[0] = '\0'; // no file has this name
    }
    return ret;
}

bool cgroup_write(const char *dir, const char *file, const char *text)
{
    char path[CGROUP_PATH_SIZE];
    return sweep_write(cgroup_file(dir, file, path), text);
}

bool cgroup_write_i64(const char *dir, const char *file, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    return cgroup_write(dir, file, text);
}

bool cgroup_exists(const char *dir, const char *file)
{
    char path[CGROUP_PATH_SIZE];
    return access(cgroup_file(dir, file, path), F_OK) == 0;
}

bool cgroup_mkdir(const char *dir)
{
    return mkdir(dir, 0755) == 0 || errno == EEXIST;
}

bool cgroup_dir(const struct cgroup_tree *tree, const char *worker, char ret[CGROUP_PATH_SIZE])
{
    return tree->base[0] != '\0' && cgroup_file(tree->base, worker, ret)[0] != '\0';
}

// ---- what the host offers

// Is `word` one of the items of a comma-separated list of `len` bytes?
static bool list_has(const char *list, size_t len, const char *word)
{
    const size_t word_len = strlen(word);
    for (size_t at = 0; at < len;) {
        const char *comma = memchr(list + at, ',', len - at);
        const size_t item = comma != NULL ? (size_t)(comma - list) - at : len - at;
        if (item == word_len && memcmp(list + at, word, item) == 0) {
            return true;
        }
        at += item + 1;
    }
    return false;
}

// The path of our group in the hierarchy with this controller ("" = v2), from /proc/self/cgroup: `4:memory:/a/b`.
static bool own_path(const char *cgroups, const char *controller, char ret[CGROUP_BASE_SIZE])
{
    for (const char *line = cgroups; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *list = memchr(line, ':', (size_t)(end - line));
        const char *path = list != NULL ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        if (path != NULL) {
            const size_t list_len = (size_t)(path - list) - 1;
            const bool match = controller[0] == '\0' ? list_len == 0 : list_has(list + 1, list_len, controller);
            const int len = match ? snprintf(ret, CGROUP_BASE_SIZE, "%.*s", (int)(end - path - 1), path + 1) : -1;
            if (match) {
                return len >= 0 && len < CGROUP_BASE_SIZE;
            }
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return false;
}

struct mount {
    char root[CGROUP_BASE_SIZE];  // which part of the hierarchy is mounted
    char point[CGROUP_BASE_SIZE]; // where
    char type[16];
    char options[256]; // of the file system: the controllers of a v1 hierarchy
};

// `31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755`
static bool parse_mount(const char *line, size_t len, struct mount *ret)
{
    char text[2048];
    if (len >= sizeof(text)) {
        return false;
    }
    memcpy(text, line, len);
    text[len] = '\0';
    const char *rest = strstr(text, " - ");
    return rest != NULL && sscanf(text, "%*s %*s %*s %383s %383s", ret->root, ret->point) == 2 &&
           sscanf(rest, " - %15s %*s %255s", ret->type, ret->options) == 2;
}

static bool find_mount(const char *mounts, const char *controller, struct mount *ret)
{
    static_assert(CGROUP_BASE_SIZE == 384, "the sscanf() above is bounded by it");
    for (const char *line = mounts; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        if (parse_mount(line, (size_t)(end - line), ret)) {
            const bool v2 = strcmp(ret->type, "cgroup2") == 0;
            const bool v1 = strcmp(ret->type, "cgroup") == 0;
            if (controller[0] == '\0' ? v2 : v1 && list_has(ret->options, strlen(ret->options), controller)) {
                return true;
            }
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return false;
}

// The folder of our own group: mount point + our path, less what the mount hides of it.
static void find_own(const char *root, const char *mounts, const char *cgroups, const char *controller,
                     struct cgroup_tree *ret)
{
    struct mount mount;
    char path[CGROUP_BASE_SIZE];
    ret->own[0] = '\0';
    if (!find_mount(mounts, controller, &mount) || !own_path(cgroups, controller, path)) {
        return;
    }
    const size_t hidden = strlen(mount.root);
    const bool below = hidden > 1 && strncmp(path, mount.root, hidden) == 0;
    const char *shown = below ? path + hidden : path;
    const int len =
        snprintf(ret->own, sizeof(ret->own), "%s%s%s", root, mount.point, strcmp(shown, "/") == 0 ? "" : shown);
    if (len < 0 || (size_t)len >= sizeof(ret->own)) {
        ret->own[0] = '\0';
    }
}

static void describe(struct cgroup_host *host)
{
    char kinds[2][64] = {"", ""};
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        if (host->limits[i].base[0] != '\0') {
            char *list = kinds[host->limits[i].v2];
            const size_t len = strlen(list);
            (void)snprintf(list + len, sizeof(kinds[0]) - len, "%s%s", len > 0 ? " " : "", kind_texts[i]);
        }
    }
    const bool v1 = kinds[0][0] != '\0';
    const bool v2 = host->track.base[0] != '\0';
    if (!v1 && !v2) {
        (void)snprintf(host->text, sizeof(host->text), "none: not writable");
        return;
    }
    (void)snprintf(host->text, sizeof(host->text), "%s%s%s%s%s%s%s", v2 ? "v2 (" : "", v2 ? kinds[1] : "",
                   v2 ? kinds[1][0] != '\0' ? " kill)" : "kill)" : "", v1 && v2 ? ", " : "", v1 ? "v1 (" : "",
                   v1 ? kinds[0] : "", v1 ? ")" : "");
}

static void discover(struct cgroup_host *host, const char *mounts, const char *cgroups)
{
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        find_own(host->root, mounts, cgroups, kind_texts[i], &host->limits[i]);
        (void)cgroup_v1_prepare(host, &host->limits[i], (enum cgroup_kind)i); // without it: v2, or not enforced
    }
    find_own(host->root, mounts, cgroups, "", &host->track);
    (void)cgroup_v2_prepare(host); // without it: no group kill by the kernel, the shim does it
    describe(host);
}

enum reeve_err cgroup_host_new_at(const char *root, const char *node, const char *state_dir, struct cgroup_host **ret,
                                  struct reeve_why *why)
{
    char path[CGROUP_PATH_SIZE];
    char cgroups[8192];
    REEVE_AUTO_FREE char *mounts = malloc(MOUNTINFO_MAX);
    struct cgroup_host *host = calloc(1, sizeof(*host));
    if (host == NULL || mounts == NULL) {
        free(host);
        return reeve_fail(why, REEVE_NOMEM, "control groups");
    }
    (void)snprintf(host->root, sizeof(host->root), "%s", root);
    const uint64_t hash = reeve_hash64(state_dir, strlen(state_dir));
    (void)snprintf(host->group, sizeof(host->group), "reeve-%.63s-%08x", node, (unsigned)(hash ^ hash >> 32));
    if (sweep_read(cgroup_file(root, "proc/self/mountinfo", path), mounts, MOUNTINFO_MAX) > 0 &&
        sweep_read(cgroup_file(root, "proc/self/cgroup", path), cgroups, sizeof(cgroups)) > 0) {
        discover(host, mounts, cgroups);
    } else {
        (void)snprintf(host->text, sizeof(host->text), "none: no /proc/self/cgroup");
    }
    *ret = host;
    return REEVE_OK;
}

enum reeve_err cgroup_host_new(const char *node, const char *state_dir, struct cgroup_host **ret, struct reeve_why *why)
{
    return cgroup_host_new_at("", node, state_dir, ret, why);
}

const char *cgroup_host_text(const struct cgroup_host *host)
{
    return host->text;
}

// A task that was waited for may be counted in its group for a moment longer (seen on Linux 6.18: the group is left
// when the task has switched away for the last time). One with processes refuses, and stays.
static void remove_group(const char *group)
{
    char path[CGROUP_PATH_SIZE];
    char procs[64];
    for (int tries = 0; rmdir(group) != 0 && errno == EBUSY && tries < REMOVE_TRIES; tries++) {
        if (sweep_read(cgroup_file(group, "cgroup.procs", path), procs, sizeof(procs)) != 0) {
            return;
        }
        (void)poll(NULL, 0, REMOVE_PAUSE_MS); // the daemon has left its loop
    }
}

static void remove_empty_groups(const char *base)
{
    DIR *dir = opendir(base);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[CGROUP_PATH_SIZE];
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            remove_group(cgroup_file(base, entry->d_name, path));
        }
    }
    (void)closedir(dir);
    (void)rmdir(base); // one with groups in it stays
}

void cgroup_host_free(struct cgroup_host *host)
{
    if (host == NULL) {
        return;
    }
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        if (host->limits[i].base[0] != '\0') {
            remove_empty_groups(host->limits[i].base);
        }
    }
    if (host->track.base[0] != '\0') {
        remove_empty_groups(host->track.base);
    }
    free(host);
}

// ---- groups of workers

static bool is_wanted(enum cgroup_kind kind, const struct cgroup_limits *limits)
{
    const bool wanted[CGROUP_KIND_COUNT] = {limits->memory_bytes > 0, limits->cpus > 0, limits->pids > 0};
    return wanted[kind];
}

// Entering a v1 group costs up to an RCU grace period (13 ms were measured), so a worker without a limit stays out of
// it.
static bool make_limit(const struct cgroup_tree *tree, const char *worker, enum cgroup_kind kind,
                       const struct cgroup_limits *limits)
{
    char dir[CGROUP_PATH_SIZE];
    if (!cgroup_dir(tree, worker, dir)) {
        return false;
    }
    const bool wanted = is_wanted(kind, limits);
    if (!wanted && !tree->v2 && (rmdir(dir) == 0 || errno == ENOENT)) {
        return true;
    }
    if (!cgroup_mkdir(dir)) {
        return false;
    }
    return tree->v2 ? cgroup_v2_set(dir, kind, limits) : cgroup_v1_set(dir, kind, limits);
}

// "cpu_limit is not enforced: no cpu controller; max_pids is ..."
static void explain(struct reeve_why *why, enum cgroup_kind kind, const struct cgroup_tree *tree, int error)
{
    if (why == NULL) {
        return;
    }
    const size_t len = strlen(why->text);
    const char *separator = len > 0 ? "; " : "";
    if (tree->base[0] == '\0') {
        (void)snprintf(why->text + len, sizeof(why->text) - len, "%s%s is not enforced: no %s controller", separator,
                       limit_names[kind], kind_texts[kind]);
    } else {
        (void)snprintf(why->text + len, sizeof(why->text) - len, "%s%s is not enforced: %s", separator,
                       limit_names[kind], strerrordesc_np(error));
    }
}

// A new group for each run. Linux 6.18 was seen to kill every child that is born into a group (CLONE_INTO_CGROUP) which
// was once ended through cgroup.kill: the count of kills is compared with that of the parent's group. rmdir refuses
// while a process is in it.
static bool make_fresh(const struct cgroup_host *host, const char *worker, char dir[CGROUP_PATH_SIZE])
{
    if (!cgroup_dir(&host->track, worker, dir)) {
        return false;
    }
    (void)rmdir(dir); // absent, or still in use: then the group stays what it is
    return cgroup_mkdir(dir);
}

enum reeve_err cgroup_make(struct cgroup_host *host, const char *worker, const struct cgroup_limits *limits,
                           struct cgroup_enforced *ret, struct reeve_why *why)
{
    char dir[CGROUP_PATH_SIZE];
    bool enforced[CGROUP_KIND_COUNT];
    const enum reeve_err err = reeve_name_check(worker, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (why != NULL) {
        *why = (struct reeve_why){.text = ""};
    }
    const bool tracked = make_fresh(host, worker, dir);
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        const enum cgroup_kind kind = (enum cgroup_kind)i;
        const bool done = make_limit(&host->limits[i], worker, kind, limits);
        enforced[i] = done && is_wanted(kind, limits);
        if (!done && is_wanted(kind, limits)) {
            explain(why, kind, &host->limits[i], errno);
        }
    }
    *ret = (struct cgroup_enforced){.memory = enforced[CGROUP_MEMORY],
                                    .cpu = enforced[CGROUP_CPU],
                                    .pids = enforced[CGROUP_PIDS],
                                    .group_kill = tracked && cgroup_exists(dir, "cgroup.kill")};
    return REEVE_OK;
}

// Calls `visit` for each different group of the worker that exists; the v2 one first.
static void each_group(const struct cgroup_host *host, const char *worker, void (*visit)(const char *dir, void *arg),
                       void *arg)
{
    const struct cgroup_tree *trees[CGROUP_KIND_COUNT + 1] = {&host->track};
    char dir[CGROUP_PATH_SIZE];
    for (int i = 0; i < CGROUP_KIND_COUNT; i++) {
        trees[i + 1] = &host->limits[i];
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(trees); i++) {
        bool seen = false;
        for (size_t before = 0; before < i; before++) {
            seen = seen || strcmp(trees[before]->base, trees[i]->base) == 0;
        }
        if (!seen && cgroup_dir(trees[i], worker, dir) && cgroup_exists(dir, "cgroup.procs")) {
            visit(dir, arg);
        }
    }
}

static void add_procs(const char *dir, void *arg)
{
    char path[CGROUP_PATH_SIZE];
    (void)reeve_strv_add(
        arg, cgroup_file(dir, "cgroup.procs", path)); // out of memory: not entered, and run_start() fails too
}

void cgroup_paths(const struct cgroup_host *host, const char *worker, struct reeve_strv *ret_procs, char ret_oom[512],
                  char ret_kill[512])
{
    char dir[CGROUP_PATH_SIZE];
    static_assert(CGROUP_PATH_SIZE == 512, "the bound of the interface");
    ret_oom[0] = '\0';
    ret_kill[0] = '\0';
    if (reeve_name_check(worker, NULL) != REEVE_OK) {
        return;
    }
    each_group(host, worker, add_procs, ret_procs);
    const struct cgroup_tree *memory = &host->limits[CGROUP_MEMORY];
    const char *oom_file = memory->v2 ? "memory.events" : "memory.oom_control";
    if (cgroup_dir(memory, worker, dir) && cgroup_exists(dir, oom_file)) {
        (void)cgroup_file(dir, oom_file, ret_oom);
    }
    if (cgroup_dir(&host->track, worker, dir) && cgroup_exists(dir, "cgroup.kill")) {
        (void)cgroup_file(dir, "cgroup.kill", ret_kill);
    }
}

static void kill_and_remove(const char *dir, void *arg)
{
    char procs[CGROUP_PATH_SIZE];
    char killer[CGROUP_PATH_SIZE];
    (void)arg;
    if (rmdir(dir) == 0) {
        return;
    }
    const bool can_kill = cgroup_exists(dir, "cgroup.kill");
    (void)sweep_cgroup(cgroup_file(dir, "cgroup.procs", procs),
                       can_kill ? cgroup_file(dir, "cgroup.kill", killer) : NULL);
    (void)rmdir(dir); // what is still dying keeps it; cgroup_host_free() or the next cgroup_make() finds it
}

void cgroup_remove(struct cgroup_host *host, const char *worker)
{
    if (reeve_name_check(worker, NULL) == REEVE_OK) {
        each_group(host, worker, kill_and_remove, NULL);
    }
}

// ---- usage

static bool read_i64(const char *dir, const char *file, const char *key, int64_t *ret)
{
    char path[CGROUP_PATH_SIZE];
    char text[8192];
    if (sweep_read(cgroup_file(dir, file, path), text, sizeof(text)) <= 0) {
        return false;
    }
    const size_t key_len = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_len) == 0) {
            *ret = strtoll(line + key_len, NULL, 10);
            return true;
        }
    }
    return false;
}

// Without page cache that the kernel can take back at once, as `docker stats` and Kubernetes count.
static bool memory_usage(const struct cgroup_host *host, const char *worker, int64_t *ret)
{
    const struct cgroup_tree *tree = &host->limits[CGROUP_MEMORY];
    char dir[CGROUP_PATH_SIZE];
    int64_t used = 0;
    int64_t inactive = 0;
    if (!cgroup_dir(tree, worker, dir) ||
        !read_i64(dir, tree->v2 ? "memory.current" : "memory.usage_in_bytes", "", &used)) {
        return false;
    }
    (void)read_i64(dir, "memory.stat", tree->v2 ? "inactive_file " : "total_inactive_file ", &inactive); // else 0
    *ret = used > inactive ? used - inactive : 0;
    return true;
}

bool cgroup_usage(const struct cgroup_host *host, const char *worker, int64_t *ret_memory_bytes, int64_t *ret_cpu_us)
{
    char dir[CGROUP_PATH_SIZE];
    int64_t memory = -1;
    int64_t cpu = -1;
    if (reeve_name_check(worker, NULL) != REEVE_OK) {
        return false;
    }
    const bool has_memory = memory_usage(host, worker, &memory);
    const bool has_cpu = cgroup_dir(&host->track, worker, dir) && read_i64(dir, "cpu.stat", "usage_usec ", &cpu);
    if (!has_memory && !has_cpu) {
        return false;
    }
    *ret_memory_bytes = memory;
    *ret_cpu_us = cpu;
    return true;
}
