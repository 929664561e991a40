// What a former daemon, or a dead shim, left in runs/<worker>/: found, taken over, or ended and cleared away.
// Must not: trust a pid that it reads from a file; kill anything whose start time, token or group does not say it is
// ours.
#include "run_priv.h"

#include <dirent.h>
#include <errno.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/sweep.h"

struct run_stored *run_stored_read(const char *dir)
{
    char path[PATH_MAX];
    const char *error = NULL;
    (void)snprintf(path, sizeof(path), "%s/plan", dir);
    struct run_stored *stored = calloc(1, sizeof(*stored));
    if (stored == NULL) {
        return NULL;
    }
    stored->text = (struct reeve_buf)REEVE_BUF_INIT(PLAN_SIZE_MAX);
    if (reeve_file_read(path, PLAN_SIZE_MAX, &stored->text, NULL) != REEVE_OK || stored->text.len == 0 ||
        !plan_read(stored->text.data, stored->text.len, &stored->plan, &error)) {
        run_stored_free(&stored);
    }
    return stored;
}

void run_stored_free(struct run_stored **stored)
{
    if (*stored != NULL) {
        reeve_buf_done(&(*stored)->text);
        free(*stored);
    }
    *stored = NULL;
}
#define AUTO_STORED __attribute__((cleanup(run_stored_free))) struct run_stored

static bool read_start(const char *dir, struct plan_start *ret)
{
    char path[PATH_MAX];
    char text[PLAN_RECORD_MAX + 1];
    (void)snprintf(path, sizeof(path), "%s/start", dir);
    const ssize_t len = sweep_read(path, text, sizeof(text));
    return len > 0 && plan_start_read(text, (size_t)len, ret);
}

static int sweep_stored(const char *dir, const struct plan *plan)
{
    struct plan_start start;
    if (!reeve_str_eq(plan->boot_id, reeve_boot_id())) {
        return 0; // of before a restart of the host: pids and groups are others' now
    }
    int found = sweep_token(plan->token);
    if (plan->cgroup_procs.len > 0) {
        found += sweep_cgroup(plan->cgroup_procs.items[0], plan->cgroup_kill);
    }
    if (read_start(dir, &start) && strcmp(start.boot_id, plan->boot_id) == 0) {
        found += sweep_process((pid_t)start.pid, start.start_time);
    }
    return found;
}

int run_sweep(const struct run_host *host, const char *worker, int64_t number)
{
    char dir[PATH_MAX];
    if (run_dir_path(host, worker, number, dir, NULL) != REEVE_OK) {
        return 0;
    }
    AUTO_STORED *stored = run_stored_read(dir);
    return stored != NULL ? sweep_stored(dir, &stored->plan) : 0;
}

// ---- run folders

// Calls `visit` for each run number in the worker's folder. A missing folder has none.
static void each_run(const char *path, void (*visit)(int64_t number, void *arg), void *arg)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        int64_t number = 0;
        if (reeve_parse_i64(entry->d_name, &number, NULL) == REEVE_OK && number > 0) {
            visit(number, arg);
        }
    }
    (void)closedir(dir);
}

static void keep_highest(int64_t number, void *arg)
{
    int64_t *highest = arg;
    *highest = number > *highest ? number : *highest;
}

struct older {
    const struct run_host *host;
    const char *worker;
    int64_t newest;
};

// An older run ended before the newest began; its shim may still hold an outcome that it could not write. Nobody wants
// it.
static void release_shim(const char *path)
{
    const int fd = run_connect(path);
    if (fd < 0) {
        return;
    }
    const struct shim_head kill = {.version = SHIM_WIRE_VERSION, .kind = SHIM_KILL, .size = sizeof(kill)};
    const struct shim_head taken = {.version = SHIM_WIRE_VERSION, .kind = SHIM_TAKEN, .size = sizeof(taken)};
    (void)send(fd, &kill, sizeof(kill), MSG_NOSIGNAL | MSG_DONTWAIT); // a shim that has just left is as good
    (void)send(fd, &taken, sizeof(taken), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

static void remove_older(int64_t number, void *arg)
{
    const struct older *older = arg;
    char path[PATH_MAX];
    if (number >= older->newest || run_dir_path(older->host, older->worker, number, path, NULL) != REEVE_OK) {
        return;
    }
    release_shim(path);
    (void)reeve_dir_remove(path, NULL); // what stays is removed the next time
}

// ---- adoption

// Without a readable plan (somebody damaged it) the process still is ours to watch and stop.
static enum reeve_err adopt_live(const struct run_host *host, const char *worker, const struct run_stored *stored,
                                 int fd, void *arg, struct run_adopted *ret, struct reeve_why *why)
{
    struct run *run = NULL;
    enum reeve_err err = run_new(host, worker, ret->last_run, arg, &run, why);
    if (err != REEVE_OK) {
        (void)close(fd); // the shim goes on, for a later try
        return err;
    }
    run->ready = stored == NULL ? RUN_READY_IMMEDIATE : (enum run_ready)stored->plan.ready;
    err = run_attach(run, fd, why);
    if (err != REEVE_OK) {
        run_close(run);
        return err;
    }
    ret->run = run;
    return REEVE_OK;
}

// No shim. How did it end, and is anything left of it?
static enum reeve_err adopt_dead(const struct run_host *host, const char *worker, const char *dir,
                                 const struct plan *plan, void *arg, struct run_adopted *ret, struct reeve_why *why)
{
    ret->has_outcome = true;
    if (run_exit_read(dir, &ret->outcome)) {
        return REEVE_OK;
    }
    if (!reeve_str_eq(plan->boot_id, reeve_boot_id())) {
        ret->outcome = run_outcome_without("host");
        return REEVE_OK;
    }
    ret->outcome = run_outcome_without("lost");
    if (sweep_stored(dir, plan) == 0) {
        return REEVE_OK;
    }
    ret->has_outcome = false; // told by `ended`, once the rest is gone
    const enum reeve_err err = run_new(host, worker, ret->last_run, arg, &ret->run, why);
    if (err == REEVE_OK) {
        run_lost_later(ret->run);
    }
    return err;
}

static enum reeve_err adopt_newest(const struct run_host *host, const char *worker, void *arg, struct run_adopted *ret,
                                   struct reeve_why *why)
{
    char dir[PATH_MAX];
    enum reeve_err err = run_dir_path(host, worker, ret->last_run, dir, why);
    if (err != REEVE_OK) {
        return err;
    }
    const int fd = run_connect(dir);
    const int connect_error = errno;
    AUTO_STORED *stored = run_stored_read(dir);
    if (fd >= 0) {
        return adopt_live(host, worker, stored, fd, arg, ret, why);
    }
    if (connect_error != ECONNREFUSED && connect_error != ENOENT) {
        errno = connect_error;
        return reeve_fail_errno(why, "the shim of %s does not answer", worker);
    }
    if (stored == NULL) {                  // the daemon died before it could start the shim
        (void)reeve_dir_remove(dir, NULL); // what stays is removed the next time
        return REEVE_OK;
    }
    return adopt_dead(host, worker, dir, &stored->plan, arg, ret, why);
}

enum reeve_err run_adopt(const struct run_host *host, const char *worker, void *arg, struct run_adopted *ret,
                         struct reeve_why *why)
{
    char path[PATH_MAX];
    struct run_adopted found = {0};
    enum reeve_err err = reeve_name_check(worker, why);
    err = err == REEVE_OK ? run_dir_path(host, worker, 0, path, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    each_run(path, keep_highest, &found.last_run);
    if (found.last_run > 0) {
        struct older older = {.host = host, .worker = worker, .newest = found.last_run};
        each_run(path, remove_older, &older);
        err = adopt_newest(host, worker, arg, &found, why);
    }
    if (err == REEVE_OK) {
        *ret = found;
    }
    return err;
}
