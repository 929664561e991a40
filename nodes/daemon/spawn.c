// From a worker's spec to a run: argv, environment, the files it is handed, its control group, the plan.
// Must not: decide when to start (supervise.c) or how a process is made (run.c, the shim).
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/worker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_PRESET "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct identity {
    uid_t uid; // (uid_t)-1 = as the daemon
    gid_t gid;
    char user[64];
    char home[256];
};

// ---- who ------------------------------------------------------------------------------------------------------

static enum reeve_err find_user(const char *user, struct identity *ret, struct reeve_why *why)
{
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        return reeve_fail(why, REEVE_NOENT, "user '%s' is not known on this host", user);
    }
    if (geteuid() != 0 && entry->pw_uid != geteuid()) {
        return reeve_fail(why, REEVE_DENIED, "reeved does not run as root and can't start a worker as '%s'", user);
    }
    ret->uid = entry->pw_uid;
    ret->gid = entry->pw_gid;
    (void)snprintf(ret->user, sizeof ret->user, "%s", user);
    (void)snprintf(ret->home, sizeof ret->home, "%s", entry->pw_dir);
    return REEVE_OK;
}

static enum reeve_err identity_of(const struct reeve_spec *spec, struct identity *ret, struct reeve_why *why)
{
    *ret = (struct identity){.uid = (uid_t)-1, .gid = (gid_t)-1};
    if (spec->user != NULL) {
        enum reeve_err err = find_user(spec->user, ret, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (spec->group != NULL) {
        const struct group *entry = getgrnam(spec->group);
        if (entry == NULL) {
            return reeve_fail(why, REEVE_NOENT, "group '%s' is not known on this host", spec->group);
        }
        ret->gid = entry->gr_gid;
    }
    return REEVE_OK;
}

enum reeve_err spawn_check(const struct node_config *config, const struct reeve_spec *spec, struct reeve_why *why)
{
    struct identity identity;
    enum reeve_err err = identity_of(spec, &identity, why);
    if (err != REEVE_OK) {
        return err;
    }
    REEVE_STRV_AUTO argv = {0};
    return config_argv(config, spec, &argv, why);
}

// ---- files that the worker is handed ------------------------------------------------------------------------------

static void worker_path(const struct worker *worker, const char *leaf, char *buf, size_t buf_len)
{
    (void)snprintf(buf, buf_len, "%s/workers/%s%s%s", worker->daemon->config.node.state_dir, worker->name,
                   leaf[0] != '\0' ? "/" : "", leaf);
}

const char *spawn_log_dir(const struct worker *worker, char *buf, size_t buf_len)
{
    (void)snprintf(buf, buf_len, "%s/logs/%s", worker->daemon->config.node.state_dir, worker->name);
    return buf;
}

static enum reeve_err write_for(int fd, const struct reeve_buf *text, const struct identity *identity)
{
    bool ok = write(fd, text->data, text->len) == (ssize_t)text->len;
    if (ok && identity->uid != (uid_t)-1) {
        ok = fchown(fd, identity->uid, identity->gid) == 0;
    }
    ok = close(fd) == 0 && ok;
    return ok ? REEVE_OK : REEVE_IO;
}

// A secret for one user: written under another name first, so that it never is readable by others or half there.
static enum reeve_err write_secret(const char *path, const struct reeve_buf *text, const struct identity *identity,
                                   struct reeve_why *why)
{
    char temporary[4200];
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    (void)unlink(temporary);
    int fd = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return reeve_fail_errno(why, "write %s", temporary);
    }
    if (write_for(fd, text, identity) != REEVE_OK || rename(temporary, path) != 0) {
        return reeve_fail_errno(why, "write %s", path);
    }
    return REEVE_OK;
}

static enum reeve_err write_value(const char *path, const struct reeve_value *value, const struct identity *identity,
                                  struct reeve_why *why)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    enum reeve_err err = reeve_json_write(value, REEVE_JSON_PRETTY, &text);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "%s can't be written as JSON", path);
    }
    return write_secret(path, &text, identity, why);
}

static enum reeve_err write_broker_file(const struct worker *worker, const char *path, const struct identity *identity,
                                        struct reeve_why *why)
{
    const struct node_config *config = &worker->daemon->config;
    const struct reeve_broker *broker = config->worker_broker.url != NULL ? &config->worker_broker : &config->broker;
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_record_encode(&reeve_broker_record, broker,
                                             REEVE_ENCODE_SKIP_PRESETS | REEVE_ENCODE_WITH_SECRETS, &value);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "broker record can't be encoded");
    }
    return write_value(path, value, identity, why);
}

// Written at the first run of a spec in this daemon's life, not at every restart: a restart is on the fast path.
static enum reeve_err write_files(struct worker *worker, const struct identity *identity, struct reeve_why *why)
{
    char path[4096];
    if (worker->files_version == worker->spec_version) {
        return REEVE_OK;
    }
    worker_path(worker, "", path, sizeof path);
    enum reeve_err err = reeve_dir_make(path, 0711, why);
    if (err == REEVE_OK) {
        worker_path(worker, "broker.json", path, sizeof path);
        err = write_broker_file(worker, path, identity, why);
    }
    if (err == REEVE_OK && worker->spec.config != NULL) {
        worker_path(worker, "config.json", path, sizeof path);
        err = write_value(path, worker->spec.config, identity, why);
    }
    if (err == REEVE_OK) {
        worker->files_version = worker->spec_version;
    }
    return err;
}

// ---- environment ----------------------------------------------------------------------------------------------

static void env_add(struct reeve_strv *env, enum reeve_err *err, const char *key, const char *value)
{
    if (*err != REEVE_OK || value == NULL) {
        return;
    }
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    reeve_buf_printf(&text, "%s=%s", key, value);
    *err = text.err != REEVE_OK ? text.err : reeve_strv_add(env, reeve_buf_str(&text));
}

static bool spec_sets(const struct reeve_spec *spec, const char *key)
{
    return reeve_value_get(spec->env, key) != NULL;
}

static void env_base(const struct worker *worker, const struct identity *identity, struct reeve_strv *env, enum reeve_err *err)
{
    const struct reeve_spec *spec = &worker->spec;
    if (!spec_sets(spec, "PATH")) {
        env_add(env, err, "PATH", getenv("PATH") != NULL ? getenv("PATH") : PATH_PRESET);
    }
    if (!spec_sets(spec, "HOME")) {
        env_add(env, err, "HOME", identity->home[0] != '\0' ? identity->home : getenv("HOME"));
    }
    if (identity->user[0] != '\0' && !spec_sets(spec, "USER")) {
        env_add(env, err, "USER", identity->user);
    }
    if (!spec_sets(spec, "LANG")) {
        env_add(env, err, "LANG", getenv("LANG") != NULL ? getenv("LANG") : "C.UTF-8");
    }
    for (size_t i = 0; i < reeve_value_len(spec->env); i++) {
        env_add(env, err, reeve_value_key(spec->env, i), reeve_value_text(reeve_value_at(spec->env, i)));
    }
}

static const char *log_level_text(int level)
{
    static const char *const texts[] = {"error", "warning", "info", "debug"};
    return level >= 0 && level < (int)REEVE_ARRAY_LEN(texts) ? texts[level] : "info";
}

static enum reeve_err make_env(const struct worker *worker, const struct identity *identity, struct reeve_strv *env)
{
    const struct node_config *config = &worker->daemon->config;
    enum reeve_err err = REEVE_OK;
    char path[4096];
    char number[32];
    env_base(worker, identity, env, &err);
    env_add(env, &err, REEVE_ENV_ROOT, config->node.root);
    env_add(env, &err, REEVE_ENV_NODE, config->node.name);
    env_add(env, &err, REEVE_ENV_WORKER, worker->name);
    (void)snprintf(number, sizeof number, "%" PRId64, worker->last_run);
    env_add(env, &err, REEVE_ENV_RUN, number);
    env_add(env, &err, REEVE_ENV_TYPE, worker->spec.type);
    env_add(env, &err, REEVE_ENV_POOL, worker->spec.pool);
    env_add(env, &err, REEVE_ENV_ACCOUNT, worker->spec.account);
    if (worker->spec.fence > 0) {
        (void)snprintf(number, sizeof number, "%" PRId64, worker->spec.fence);
        env_add(env, &err, REEVE_ENV_FENCE, number);
    }
    worker_path(worker, "broker.json", path, sizeof path);
    env_add(env, &err, REEVE_ENV_BROKER_FILE, path);
    if (worker->spec.config != NULL) {
        worker_path(worker, "config.json", path, sizeof path);
        env_add(env, &err, REEVE_ENV_CONFIG_FILE, path);
    }
    if (worker->spec.watchdog_ms > 0) {
        (void)snprintf(number, sizeof number, "%" PRId64, worker->spec.watchdog_ms);
        env_add(env, &err, REEVE_ENV_WATCHDOG_MS, number);
    }
    env_add(env, &err, REEVE_ENV_LOG_LEVEL, log_level_text(config->node.log_level));
    return err;
}

enum reeve_err spawn_context(const struct worker *worker, uid_t *ret_uid, gid_t *ret_gid, struct reeve_strv *env,
                             struct reeve_why *why)
{
    struct identity identity;
    enum reeve_err err = identity_of(&worker->spec, &identity, why);
    if (err != REEVE_OK) {
        return err;
    }
    err = make_env(worker, &identity, env);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    *ret_uid = identity.uid;
    *ret_gid = identity.gid;
    return REEVE_OK;
}

// ---- the plan -------------------------------------------------------------------------------------------------

static enum run_ready plan_ready(const struct reeve_spec *spec)
{
    switch ((enum reeve_spec_ready_mode)spec->ready.mode) {
    case REEVE_READY_NOTIFY:
        return RUN_READY_NOTIFY;
    case REEVE_READY_LOG:
    case REEVE_READY_TCP:
        return RUN_READY_EXTERNAL;
    case REEVE_READY_IMMEDIATE:
        break;
    }
    return RUN_READY_IMMEDIATE;
}

static void enforce_limits(struct worker *worker)
{
    const struct cgroup_limits limits = {.memory_bytes = worker->spec.memory_limit_bytes,
                                         .cpus = worker->spec.cpu_limit,
                                         .pids = worker->spec.max_pids};
    struct reeve_why why = {0};
    worker->enforced = (struct cgroup_enforced){0};
    enum reeve_err err = cgroup_make(worker->daemon->cgroups, worker->name, &limits, &worker->enforced, &why);
    bool told = strncmp(worker->not_enforced, why.text, sizeof worker->not_enforced - 2) == 0;
    (void)snprintf(worker->not_enforced, sizeof worker->not_enforced, "%.190s", why.text);
    if (err != REEVE_OK || (why.text[0] != '\0' && !told)) {
        reeve_log(REEVE_LOG_WARNING, "worker", "worker=%s limits=\"%s\" ignoring", worker->name, why.text);
    }
}

static enum reeve_err start_run(struct worker *worker, const struct identity *identity, const struct reeve_strv *argv,
                                const struct reeve_strv *env, struct reeve_why *why)
{
    char log_dir[4096];
    char oom[512] = "";
    char kill_file[512] = "";
    REEVE_STRV_AUTO procs = {0};
    static char *const none[] = {NULL};
    enforce_limits(worker);
    cgroup_paths(worker->daemon->cgroups, worker->name, &procs, oom, kill_file);
    const struct run_plan plan = {
        .worker = worker->name,
        .run = worker->last_run,
        .argv = (const char *const *)argv->items,
        .env = (const char *const *)env->items,
        .cwd = worker->spec.cwd,
        .uid = identity->uid,
        .gid = identity->gid,
        .user = identity->user[0] != '\0' ? identity->user : NULL,
        .nofile = worker->spec.nofile,
        .stop_signal = worker->spec.stop.signal,
        .stop_grace_ms = worker->spec.stop.grace_ms,
        .lease_until_ms = worker_lease_until(worker),
        .lease_grace_ms = lease_grace(&worker->spec),
        .watchdog_ms = worker->spec.watchdog_ms,
        .ready = plan_ready(&worker->spec),
        .log_bytes_max = worker->spec.log.max_size_bytes,
        .log_files_max = worker->spec.log.files,
        .log_dir = spawn_log_dir(worker, log_dir, sizeof log_dir),
        .cgroup_procs = (const char *const *)(procs.items != NULL ? procs.items : none),
        .cgroup_oom = oom[0] != '\0' ? oom : NULL,
        .cgroup_kill = kill_file[0] != '\0' ? kill_file : NULL,
    };
    return run_start(&worker->daemon->runs, &plan, worker, &worker->run, why);
}

static off_t log_size(const struct worker *worker)
{
    char dir[4096];
    char path[4200];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/current", spawn_log_dir(worker, dir, sizeof dir));
    return stat(path, &status) == 0 ? status.st_size : 0;
}

enum reeve_err worker_spawn(struct worker *worker, struct reeve_why *why)
{
    REEVE_STRV_AUTO argv = {0};
    REEVE_STRV_AUTO env = {0};
    struct identity identity;
    worker->last_run++;
    worker->started_at = 0;
    worker->ready_at = 0;
    worker->log_start = log_size(worker);
    enum reeve_err err = identity_of(&worker->spec, &identity, why);
    if (err == REEVE_OK) {
        err = config_argv(&worker->daemon->config, &worker->spec, &argv, why);
    }
    if (err == REEVE_OK) {
        err = write_files(worker, &identity, why);
    }
    if (err == REEVE_OK) {
        err = make_env(worker, &identity, &env);
    }
    if (err == REEVE_OK) {
        err = start_run(worker, &identity, &argv, &env, why);
    }
    if (err == REEVE_OK && worker->ended_run > 0) {
        // Until here the folder of the run before told an adopting daemon its number and its end.
        run_forget(&worker->daemon->runs, worker->name, worker->ended_run);
    }
    return err;
}

void spawn_forget(struct worker *worker)
{
    char path[4096];
    struct reeve_why why;
    static const char *const folders[] = {"workers", "runs", "logs"};
    cgroup_remove(worker->daemon->cgroups, worker->name);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(folders); i++) {
        (void)snprintf(path, sizeof path, "%s/%s/%s", worker->daemon->config.node.state_dir, folders[i], worker->name);
        if (reeve_dir_remove(path, &why) != REEVE_OK) {
            reeve_log(REEVE_LOG_WARNING, "worker", "worker=%s remove=\"%s\" ignoring", worker->name, why.text);
        }
    }
}
