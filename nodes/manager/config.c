// Reading the manager's configuration: the table, what a node daemon's environment adds, and what follows from more
// than one key. Must not: start, open or change anything.
#include "config.h"

#include <reeve/codec.h>
#include <reeve/topic.h>
#include <reeve/worker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define F(struct_, member_) .offset = offsetof(struct struct_, member_)
#define MS_YEAR             (366LL * 24 * 3600 * 1000)
#define MS_DAY              (24LL * 3600 * 1000)

static const struct reeve_choice log_levels[] = {{"error", REEVE_LOG_ERROR},
                                                 {"warning", REEVE_LOG_WARNING},
                                                 {"info", REEVE_LOG_INFO},
                                                 {"debug", REEVE_LOG_DEBUG},
                                                 {NULL, 0}};
static const struct reeve_choice actions[] = {
    {"alarm", HEALTH_ACTION_ALARM}, {"restart", HEALTH_ACTION_RESTART}, {"replace", HEALTH_ACTION_REPLACE}, {NULL, 0}};

static const struct reeve_field health_fields[] = {
    {.name = "memory",
     .type = REEVE_FIELD_INT,
     F(health_policy, memory_percent),
     .min = 0,
     .max = 100,
     .preset = "90",
     .doc = "Percent of its memory limit above which a worker fails a check; 0 = off."},
    {.name = "memory_trend",
     .type = REEVE_FIELD_DURATION,
     F(health_policy, memory_trend_ms),
     .min = 0,
     .max = 30 * MS_DAY,
     .preset = "10m",
     .doc = "A check fails when, as memory grows, the limit is reached within this time; 0 = off."},
    {.name = "progress",
     .type = REEVE_FIELD_DURATION,
     F(health_policy, progress_ms),
     .min = 0,
     .max = 30 * MS_DAY,
     .preset = "10m",
     .doc = "A check fails when the progress of the job in hand stands still for so long; 0 = off."},
    {.name = "error_rate",
     .type = REEVE_FIELD_REAL,
     F(health_policy, error_rate),
     .min = 0,
     .max = 1,
     .preset = "0.5",
     .doc = "A check fails when the share of failed jobs within `error_window` is above this; 0 = off."},
    {.name = "error_window",
     .type = REEVE_FIELD_DURATION,
     F(health_policy, error_window_ms),
     .min = 1000,
     .max = MS_DAY,
     .preset = "5m",
     .doc = "The time over which `error_rate` is taken."},
    {.name = "error_jobs_min",
     .type = REEVE_FIELD_INT,
     F(health_policy, error_jobs_min),
     .min = 1,
     .max = 1000000,
     .preset = "5",
     .doc = "Fewer jobs within the window say nothing."},
    {.name = "flapping_changes",
     .type = REEVE_FIELD_INT,
     F(health_policy, flapping_changes),
     .min = 0,
     .max = 1000,
     .preset = "6",
     .doc = "So many changes between alive and not alive within `flapping_window` are flapping: an alarm; 0 = off."},
    {.name = "flapping_window",
     .type = REEVE_FIELD_DURATION,
     F(health_policy, flapping_window_ms),
     .min = 1000,
     .max = MS_DAY,
     .preset = "10m",
     .doc = "The time over which changes count. The alarm closes when it passed with fewer."},
    {.name = "crash_loop_restarts",
     .type = REEVE_FIELD_INT,
     F(health_policy, crash_loop_restarts),
     .min = 0,
     .max = 1000,
     .preset = "5",
     .doc = "So many restarts by its node within `crash_loop_window` are a crash loop: an alarm; 0 = off."},
    {.name = "crash_loop_window",
     .type = REEVE_FIELD_DURATION,
     F(health_policy, crash_loop_window_ms),
     .min = 1000,
     .max = MS_DAY,
     .preset = "10m",
     .doc = "The time over which restarts count. The alarm closes when it passed with fewer."},
    {.name = "on_unhealthy",
     .type = REEVE_FIELD_CHOICE,
     F(health_policy, on_unhealthy),
     .choices = actions,
     .preset = "alarm",
     .doc = "What follows when more than one check fails for `unhealthy_for`: an `alarm`, `restart`, or `replace` by "
            "another "
            "worker of its pool."},
    {.name = "unhealthy_for",
     .type = REEVE_FIELD_DURATION,
     F(health_policy, unhealthy_for_ms),
     .min = 0,
     .max = MS_DAY,
     .preset = "30s",
     .doc = "How long a worker has to be unhealthy before anything is done."},
};
static const struct reeve_record health_record =
    REEVE_RECORD("health", struct health_policy, health_fields,
                 "What is healthy, for workers whose spec says nothing, and what follows when one is not.");

static const struct reeve_field manager_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     F(manager_section, name),
     .preset = "main",
     .doc = "Name of this manager in topics."},
    {.name = "root",
     .type = REEVE_FIELD_STR,
     F(manager_section, root),
     .min = 1,
     .max = 120,
     .preset = REEVE_ROOT_PRESET,
     .doc = "Topic root: `reeve/v1/<site>`. Under a node daemon: the daemon's."},
    {.name = "state_dir",
     .type = REEVE_FIELD_STR,
     F(manager_section, state_dir),
     .min = 1,
     .max = 3000,
     .doc = "Where the store and its backups are kept. Preset: /var/lib/reeve/manager-<name> for root, else below the "
            "user's state directory."},
    {.name = "log_level",
     .type = REEVE_FIELD_CHOICE,
     F(manager_section, log_level),
     .choices = log_levels,
     .preset = "info",
     .doc = "Lines above this level are not written."},
    {.name = "heartbeat",
     .type = REEVE_FIELD_DURATION,
     F(manager_section, heartbeat_ms),
     .min = 100,
     .max = 3600000,
     .preset = "5s",
     .doc = "How often the manager's status is renewed. Readers call it stale after 2.5 of these."},
    {.name = "forget_after",
     .type = REEVE_FIELD_DURATION,
     F(manager_section, forget_after_ms),
     .min = 100,
     .max = MS_YEAR,
     .preset = "24h",
     .doc = "A worker or node that is gone for so long is forgotten, what is retained of it removed."},
    {.name = "max_workers",
     .type = REEVE_FIELD_INT,
     F(manager_section, workers_max),
     .min = 1,
     .max = 1000000,
     .preset = "100000",
     .doc = "Workers this manager knows at most; more are counted and not looked at."},
    {.name = "pools_dir",
     .type = REEVE_FIELD_STR,
     F(manager_section, pools_dir),
     .min = 1,
     .max = 3000,
     .doc = "A folder of pool specs (*.yaml, *.yml, *.json), applied at the start."},
    {.name = "accounts_dir",
     .type = REEVE_FIELD_STR,
     F(manager_section, accounts_dir),
     .min = 1,
     .max = 3000,
     .doc = "A folder of account files. Preset: no accounts."},
    {.name = "backups_keep",
     .type = REEVE_FIELD_INT,
     F(manager_section, backups_keep),
     .min = 0,
     .max = 100000,
     .preset = "20",
     .doc = "Of the backups in `backups` of the state directory the newest so many are kept; 0 = all."},
    {.name = "health",
     .type = REEVE_FIELD_RECORD,
     .record = &health_record,
     F(manager_section, health),
     .doc = "What is healthy, and what follows when a worker is not."},
};
static const struct reeve_record manager_record =
    REEVE_RECORD("manager", struct manager_section, manager_fields, "The manager itself.");

static const struct reeve_field config_fields[] = {
    {.name = "manager",
     .type = REEVE_FIELD_RECORD,
     .record = &manager_record,
     F(manager_config, manager),
     .doc = "The manager itself."},
    {.name = "broker",
     .type = REEVE_FIELD_RECORD,
     .record = &reeve_broker_record,
     F(manager_config, broker),
     .doc = "The broker, and as whom the manager connects. Preset: mqtt://127.0.0.1:1883; under a node daemon what the "
            "daemon hands to its workers."},
};
const struct reeve_record manager_config_record = REEVE_RECORD(
    "config", struct manager_config, config_fields, "Configuration of a manager: what `reeve-manager --config` reads.");

// ---- the environment of a worker --------------------------------------------------------------------------------

static enum reeve_err refuse_file(const struct reeve_why *why, enum reeve_err err, struct reeve_errors *errors)
{
    char text[640];
    errors->source = NULL; // the why names the file
    reeve_errors_add(errors, NULL, "", "%s", reeve_why_format(why, text, sizeof text));
    return err;
}

static const char *environment(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static bool says_any(const struct reeve_value *map, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        if (reeve_value_get(map, *keys) != NULL) {
            return true;
        }
    }
    return false;
}

static bool has(const char *const *keys, const char *key)
{
    for (; *keys != NULL; keys++) {
        if (strcmp(*keys, key) == 0) {
            return true;
        }
    }
    return false;
}

// Keys that mean something only together come from one place.
static bool group_is_said(const struct reeve_value *broker, const char *key)
{
    static const char *const groups[][4] = {{"username", "password", "password_file", NULL},
                                            {"cert_file", "key_file", NULL}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(groups); i++) {
        if (has(groups[i], key)) {
            return says_any(broker, groups[i]);
        }
    }
    return reeve_value_get(broker, key) != NULL;
}

static enum reeve_err read_given_broker(const char *path, struct reeve_value **ret, struct reeve_errors *errors)
{
    struct reeve_why why = {0};
    struct reeve_broker broker;
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &value, &why);
    if (err != REEVE_OK) {
        return refuse_file(&why, err, errors);
    }
    const char *source = errors->source;
    errors->source = path; // its mistakes have its own name
    err = reeve_record_decode(&reeve_broker_record, value, "", &broker, errors);
    if (err == REEVE_OK) {
        reeve_record_done(&reeve_broker_record, &broker);
        errors->source = source;
        *ret = reeve_value_take(&value);
    }
    return err;
}

// An own url is another broker: what the daemon hands out is not shown to it.
static enum reeve_err add_broker(struct reeve_value *config, struct reeve_errors *errors)
{
    const char *path = environment(REEVE_ENV_BROKER_FILE);
    REEVE_VALUE_AUTO given = NULL;
    if (path == NULL || reeve_value_get(reeve_value_get(config, "broker"), "url") != NULL) {
        return REEVE_OK;
    }
    enum reeve_err err = read_given_broker(path, &given, errors);
    struct reeve_value *broker = reeve_value_get_mut(config, "broker");
    if (err == REEVE_OK && reeve_value_kind(broker) == REEVE_NULL) {
        return reeve_value_put(config, "broker", reeve_value_take(&given));
    }
    REEVE_VALUE_AUTO said = reeve_value_clone(broker); // what a group says does not change while it is filled
    for (size_t i = 0; err == REEVE_OK && reeve_value_kind(broker) == REEVE_MAP && i < reeve_value_len(given); i++) {
        const char *key = reeve_value_key(given, i);
        if (!group_is_said(said, key)) {
            err = reeve_value_put(broker, key, reeve_value_clone(reeve_value_at(given, i)));
        }
    }
    return err;
}

static enum reeve_err add_text(struct reeve_value *config, const char *key, const char *env)
{
    const char *text = environment(env);
    struct reeve_value *section = reeve_value_get_mut(config, "manager");
    if (text == NULL || reeve_value_get(section, key) != NULL) {
        return REEVE_OK;
    }
    if (reeve_value_kind(section) == REEVE_NULL) {
        enum reeve_err err = reeve_value_put(config, "manager", reeve_value_map());
        section = reeve_value_get_mut(config, "manager");
        if (err != REEVE_OK) {
            return err;
        }
    }
    // Something else than a map is the table's to refuse.
    return reeve_value_kind(section) == REEVE_MAP ? reeve_value_put(section, key, reeve_value_str(text)) : REEVE_OK;
}

static enum reeve_err add_environment(struct reeve_value *config, struct reeve_errors *errors)
{
    enum reeve_err err = add_text(config, "root", REEVE_ENV_ROOT);
    if (err == REEVE_OK) {
        err = add_text(config, "log_level", REEVE_ENV_LOG_LEVEL);
    }
    return err == REEVE_OK ? add_broker(config, errors) : err;
}

// ---- settling ---------------------------------------------------------------------------------------------------

static char *default_state_dir(const char *name)
{
    char path[4096];
    const char *xdg = environment("XDG_STATE_HOME");
    const char *home = environment("HOME");
    if (geteuid() == 0 || (xdg == NULL && home == NULL)) {
        (void)snprintf(path, sizeof path, "/var/lib/reeve/manager-%s", name);
    } else if (xdg != NULL) {
        (void)snprintf(path, sizeof path, "%s/reeve/manager-%s", xdg, name);
    } else {
        (void)snprintf(path, sizeof path, "%s/.local/state/reeve/manager-%s", home, name);
    }
    return strdup(path);
}

static enum reeve_err settle(struct manager_config *config, const char *path)
{
    if (config->manager.state_dir == NULL) {
        config->manager.state_dir = default_state_dir(config->manager.name);
    }
    // A record that is absent is not decoded, so that `url` may be missing.
    if (config->broker.url == NULL) {
        config->broker.url = strdup("mqtt://127.0.0.1:1883");
    }
    config->path = strdup(path);
    bool whole = config->manager.state_dir != NULL && config->broker.url != NULL && config->path != NULL;
    return whole ? REEVE_OK : REEVE_NOMEM;
}

// Only a warning: a configuration may be checked on another machine, and folders may come later.
static void check_folder(const struct reeve_value *value, const char *key, const char *path,
                         struct reeve_errors *errors)
{
    struct stat st;
    char place[REEVE_PATH_SIZE];
    if (path != NULL && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        reeve_errors_warn(errors, reeve_value_get(reeve_value_get(value, "manager"), key),
                          reeve_path_join(place, "manager", key), "%s is no folder here", path);
    }
}

static void check_config(const struct manager_config *config, const struct reeve_value *value,
                         struct reeve_errors *errors)
{
    struct reeve_why why;
    if (reeve_root_check(config->manager.root, &why) != REEVE_OK) {
        reeve_errors_add(errors, reeve_value_get(reeve_value_get(value, "manager"), "root"), "manager.root", "%s",
                         why.text);
    }
    check_folder(value, "pools_dir", config->manager.pools_dir, errors);
    check_folder(value, "accounts_dir", config->manager.accounts_dir, errors);
}

static enum reeve_err load_value(struct reeve_value *value, const char *path, struct manager_config *ret,
                                 struct reeve_errors *errors)
{
    struct manager_config config;
    enum reeve_err err = reeve_value_kind(value) == REEVE_MAP ? add_environment(value, errors) : REEVE_OK;
    if (err == REEVE_OK) {
        err = reeve_record_decode(&manager_config_record, value, "", &config, errors);
    }
    if (err != REEVE_OK) {
        return err;
    }
    err = settle(&config, path);
    if (err == REEVE_OK) {
        check_config(&config, value, errors);
        err = errors->errors > 0 ? REEVE_INVALID : REEVE_OK;
    }
    if (err != REEVE_OK) {
        manager_config_done(&config);
        return err;
    }
    *ret = config;
    return REEVE_OK;
}

enum reeve_err manager_config_load(const char *path, struct manager_config *ret, struct reeve_errors *errors)
{
    struct reeve_why why = {0};
    REEVE_VALUE_AUTO value = NULL;
    reeve_errors_init(errors, path);
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &value, &why);
    if (err != REEVE_OK) {
        return refuse_file(&why, err, errors);
    }
    if (reeve_value_kind(value) == REEVE_NULL) {
        reeve_value_free(value);
        value = reeve_value_map(); // an empty file is a manager with presets
    }
    return value != NULL ? load_value(value, path, ret, errors) : REEVE_NOMEM;
}

enum reeve_err manager_config_from_environment(struct manager_config *ret, struct reeve_errors *errors)
{
    const char *path = environment(REEVE_ENV_CONFIG_FILE);
    if (path != NULL) {
        return manager_config_load(path, ret, errors);
    }
    reeve_errors_init(errors, "environment");
    REEVE_VALUE_AUTO value = reeve_value_map();
    return value != NULL ? load_value(value, "environment", ret, errors) : REEVE_NOMEM;
}

void manager_config_done(struct manager_config *config)
{
    free(config->path);
    config->path = NULL;
    reeve_record_done(&manager_config_record, config);
}
