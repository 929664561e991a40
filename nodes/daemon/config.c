// Reading the node's configuration: the table, then what follows from more than one field.
// Must not: start, open or change anything.
#include "config.h"

#include <dirent.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define F(struct_, member_) .offset = offsetof(struct struct_, member_)

static const struct reeve_choice log_levels[] = {{"error", REEVE_LOG_ERROR},
                                                 {"warning", REEVE_LOG_WARNING},
                                                 {"info", REEVE_LOG_INFO},
                                                 {"debug", REEVE_LOG_DEBUG},
                                                 {NULL, 0}};
static const struct reeve_choice on_exit_choices[] = {{"keep", NODE_EXIT_KEEP}, {"stop", NODE_EXIT_STOP}, {NULL, 0}};
static const struct reeve_choice apply_choices[] = {
    {"any", NODE_APPLY_ANY}, {"types", NODE_APPLY_TYPES}, {"none", NODE_APPLY_NONE}, {NULL, 0}};

#define ENDPOINTS_MAX 16

static const struct reeve_field reserved_fields[] = {
    {.name = "cpus",
     .type = REEVE_FIELD_REAL,
     F(node_reserved, cpus),
     .min = 0,
     .max = 4096,
     .preset = "0",
     .doc = "Cores."},
    {.name = "memory",
     .type = REEVE_FIELD_SIZE,
     F(node_reserved, memory_bytes),
     .min = 0,
     .max = INT64_MAX,
     .preset = "0",
     .doc = "Memory."},
};
static const struct reeve_record reserved_record = REEVE_RECORD(
    "reserved", struct node_reserved, reserved_fields, "What is not for workers: the node's capacity is without it.");

static const struct reeve_field node_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     F(node_section, name),
     .doc = "Name of this node in topics. Preset: the host's name, made valid."},
    {.name = "root",
     .type = REEVE_FIELD_STR,
     F(node_section, root),
     .min = 1,
     .max = 120,
     .preset = REEVE_ROOT_PRESET,
     .doc = "Topic root: `reeve/v1/<site>`."},
    {.name = "state_dir",
     .type = REEVE_FIELD_STR,
     F(node_section, state_dir),
     .min = 1,
     .max = 3000,
     .doc = "Where desired state, journal, runs and logs are kept. Preset: /var/lib/reeve/<name> for root, else the "
            "user's state directory."},
    {.name = "region", .type = REEVE_FIELD_NAME, F(node_section, region), .doc = "Region, for placement."},
    {.name = "labels", .type = REEVE_FIELD_MAP, F(node_section, labels), .doc = "Labels of the node, for placement."},
    {.name = "log_level",
     .type = REEVE_FIELD_CHOICE,
     F(node_section, log_level),
     .choices = log_levels,
     .preset = "info",
     .doc = "Lines above this level are not written."},
    {.name = "max_workers",
     .type = REEVE_FIELD_INT,
     F(node_section, workers_max),
     .min = 1,
     .max = 100000,
     .preset = "1000",
     .doc = "Workers this node knows at most; `apply` above it is refused."},
    {.name = "heartbeat",
     .type = REEVE_FIELD_DURATION,
     F(node_section, heartbeat_ms),
     .min = 100,
     .max = 3600000,
     .preset = "5s",
     .doc = "How often the node's status is renewed. Readers call it stale after 2.5 of these."},
    {.name = "metrics",
     .type = REEVE_FIELD_DURATION,
     F(node_section, metrics_ms),
     .min = 0,
     .max = 3600000,
     .preset = "10s",
     .doc = "How often metrics are published; 0 = never."},
    {.name = "on_exit",
     .type = REEVE_FIELD_CHOICE,
     F(node_section, on_exit),
     .choices = on_exit_choices,
     .preset = "keep",
     .doc = "What SIGTERM does to the workers: `keep` lets them run for the next daemon to take over, `stop` stops "
            "them first."},
    {.name = "remote_apply",
     .type = REEVE_FIELD_CHOICE,
     F(node_section, remote_apply),
     .choices = apply_choices,
     .preset = "any",
     .doc = "What `apply` by command may define: `any` spec, only `types` of this file (no command of its own), or "
            "`none`."},
    {.name = "worker_dir",
     .type = REEVE_FIELD_STR,
     F(node_section, worker_dir),
     .min = 1,
     .max = 3000,
     .doc = "Where the programs reeve-worker-<type> are. Preset: beside reeved."},
    {.name = "broker_worker",
     .type = REEVE_FIELD_NAME,
     F(node_section, broker_worker),
     .doc = "The worker that is the site's broker: it is stopped last, and only its own name means it."},
    {.name = "manager_worker",
     .type = REEVE_FIELD_NAME,
     F(node_section, manager_worker),
     .doc =
         "The worker that is the site's manager: it is stopped after all others but the broker, and only its own name "
         "means it."},
    {.name = "memory_limit",
     .type = REEVE_FIELD_SIZE,
     F(node_section, memory_limit_bytes),
     .min = 0,
     .max = INT64_MAX,
     .preset = "0",
     .doc = "memory_limit of workers that say nothing; 0 = none."},
    {.name = "cpu_limit",
     .type = REEVE_FIELD_REAL,
     F(node_section, cpu_limit),
     .min = 0,
     .max = 1024,
     .preset = "0",
     .doc = "cpu_limit of workers that say nothing; 0 = none."},
    {.name = "reserved",
     .type = REEVE_FIELD_RECORD,
     .record = &reserved_record,
     F(node_section, reserved),
     .doc = "What is kept for others than workers."},
    {.name = "endpoints",
     .type = REEVE_FIELD_MAP,
     F(node_section, endpoints),
     .min = 0,
     .max = ENDPOINTS_MAX,
     .doc =
         "Endpoints whose distance is measured, `name: host:port`: the time of a TCP connection stands in the node's "
         "status, for placement near them."},
    {.name = "endpoints_interval",
     .type = REEVE_FIELD_DURATION,
     F(node_section, endpoints_interval_ms),
     .min = 1000,
     .max = 86400000,
     .preset = "60s",
     .doc = "How often each endpoint is connected to."},
};
static const struct reeve_record node_record =
    REEVE_RECORD("node", struct node_section, node_fields, "The node itself.");

static const struct reeve_field legacy_daemon_fields[] = {
    {.name = "port",
     .type = REEVE_FIELD_INT,
     F(legacy_daemon, port),
     .min = 0,
     .max = 65535,
     .preset = "0",
     .doc = "Port of the site's broker listener."},
    {.name = "host", .type = REEVE_FIELD_STR, F(legacy_daemon, host), .doc = "Address of the site's broker listener."},
    {.name = "log_level",
     .type = REEVE_FIELD_CHOICE,
     F(legacy_daemon, log_level),
     .choices = log_levels,
     .preset = "info",
     .doc = "As node.log_level."},
    {.name = "health_check_interval",
     .type = REEVE_FIELD_DURATION,
     .flags = REEVE_FIELD_INERT,
     F(legacy_daemon, health_check_interval_ms),
     .preset = "0",
     .doc = "Interval of health checks."},
};
static const struct reeve_record legacy_daemon_record =
    REEVE_RECORD("daemon", struct legacy_daemon, legacy_daemon_fields, "Older spelling of `node` and `broker`.");

static const struct reeve_field legacy_limits_fields[] = {
    {.name = "memory_per_worker",
     .type = REEVE_FIELD_SIZE,
     F(legacy_limits, memory_per_worker_bytes),
     .preset = "0",
     .doc = "As node.memory_limit."},
    {.name = "cpu_per_worker",
     .type = REEVE_FIELD_REAL,
     F(legacy_limits, cpu_per_worker),
     .min = 0,
     .max = 1024,
     .preset = "0",
     .doc = "As node.cpu_limit."},
    {.name = "max_total_memory",
     .type = REEVE_FIELD_SIZE,
     .flags = REEVE_FIELD_INERT,
     F(legacy_limits, max_total_memory_bytes),
     .preset = "0",
     .doc = "Memory of all workers together."},
};
static const struct reeve_record legacy_limits_record =
    REEVE_RECORD("resource_limits", struct legacy_limits, legacy_limits_fields, "Limits of workers that say nothing.");

static const struct reeve_field legacy_support_fields[] = {
    {.name = "enabled",
     .type = REEVE_FIELD_BOOL,
     .flags = REEVE_FIELD_INERT,
     F(legacy_support, enabled),
     .preset = "true",
     .doc = "Workers are always supported."},
    {.name = "max_workers",
     .type = REEVE_FIELD_INT,
     F(legacy_support, max_workers),
     .min = 0,
     .max = 100000,
     .preset = "0",
     .doc = "As node.max_workers."},
    {.name = "worker_ports",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_INERT,
     F(legacy_support, worker_ports),
     .doc = "Ports for workers."},
    {.name = "worker_metrics_enabled",
     .type = REEVE_FIELD_BOOL,
     .flags = REEVE_FIELD_INERT,
     F(legacy_support, worker_metrics_enabled),
     .preset = "true",
     .doc = "Metrics are always there."},
    {.name = "resource_limits",
     .type = REEVE_FIELD_RECORD,
     .record = &legacy_limits_record,
     F(legacy_support, limits),
     .doc = "Limits of workers that say nothing."},
};
static const struct reeve_record legacy_support_record =
    REEVE_RECORD("worker_support", struct legacy_support, legacy_support_fields, "Older spelling of limits in `node`.");

static const struct reeve_field legacy_kdf_fields[] = {
    {.name = "binary_path",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_INERT,
     F(legacy_kdf, binary_path),
     .doc = "Program of the trading framework."},
    {.name = "data_dir",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_INERT,
     F(legacy_kdf, data_dir),
     .doc = "Its data."},
    {.name = "auto_restart",
     .type = REEVE_FIELD_BOOL,
     .flags = REEVE_FIELD_INERT,
     F(legacy_kdf, auto_restart),
     .preset = "true",
     .doc = "Restart it."},
    {.name = "max_restart_attempts",
     .type = REEVE_FIELD_INT,
     .flags = REEVE_FIELD_INERT,
     F(legacy_kdf, max_restart_attempts),
     .min = 0,
     .max = 1000,
     .preset = "0",
     .doc = "How often."},
};
static const struct reeve_record legacy_kdf_record =
    REEVE_RECORD("kdf", struct legacy_kdf, legacy_kdf_fields, "The trading framework; used by its worker types.");

static const struct reeve_field legacy_ssl_fields[] = {
    {.name = "cert_path",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_INERT,
     F(legacy_ssl, cert_path),
     .doc = "Certificate of the listener."},
    {.name = "key_path",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_INERT,
     F(legacy_ssl, key_path),
     .doc = "Its key."},
};
static const struct reeve_record legacy_ssl_record =
    REEVE_RECORD("ssl", struct legacy_ssl, legacy_ssl_fields, "TLS of the site's broker listener.");

static const struct reeve_field legacy_security_fields[] = {
    {.name = "api_keys",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_SECRET,
     F(legacy_security, api_keys),
     .min = 0,
     .max = 256,
     .doc = "Passwords of the operator role; `reeve up` makes broker users of them."},
    {.name = "allowed_ips",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_INERT,
     F(legacy_security, allowed_ips),
     .min = 0,
     .max = 256,
     .doc = "Addresses that may connect."},
    {.name = "ssl", .type = REEVE_FIELD_RECORD, .record = &legacy_ssl_record, F(legacy_security, ssl), .doc = "TLS."},
};
static const struct reeve_record legacy_security_record =
    REEVE_RECORD("security", struct legacy_security, legacy_security_fields, "Who may connect to the site's broker.");

static const struct reeve_field config_fields[] = {
    {.name = "include",
     .type = REEVE_FIELD_STR,
     F(node_config, include),
     .min = 1,
     .max = 3000,
     .doc = "Another configuration file, read first: what stands here wins over it, and the `workers` of both count."},
    {.name = "node",
     .type = REEVE_FIELD_RECORD,
     .record = &node_record,
     F(node_config, node),
     .doc = "The node itself."},
    {.name = "broker",
     .type = REEVE_FIELD_RECORD,
     .record = &reeve_broker_record,
     F(node_config, broker),
     .doc = "The broker, and as whom the daemon connects."},
    {.name = "worker_broker",
     .type = REEVE_FIELD_RECORD,
     .record = &reeve_broker_record,
     F(node_config, worker_broker),
     .doc = "What workers are given to connect with. Preset: the same as `broker`."},
    {.name = "types",
     .type = REEVE_FIELD_VALUE,
     F(node_config, types),
     .doc = "Programs of worker types: `swap: [/usr/bin/swapd, --fast]`."},
    {.name = "workers", .type = REEVE_FIELD_VALUE, F(node_config, workers), .doc = "Worker specs, a list."},
    {.name = "workers_dir",
     .type = REEVE_FIELD_STR,
     F(node_config, workers_dir),
     .doc = "A folder of files with worker specs (*.yaml, *.yml, *.json)."},
    {.name = "manager",
     .type = REEVE_FIELD_VALUE,
     F(node_config, manager),
     .doc = "For the site's manager: `reeve up` hands it on (`pools_dir`, `accounts_dir`, ...). Not the node's."},
    {.name = "daemon",
     .type = REEVE_FIELD_RECORD,
     .record = &legacy_daemon_record,
     F(node_config, daemon),
     .doc = "Older spelling of `node` and `broker`."},
    {.name = "worker_support",
     .type = REEVE_FIELD_RECORD,
     .record = &legacy_support_record,
     F(node_config, worker_support),
     .doc = "Older spelling of limits in `node`."},
    {.name = "kdf",
     .type = REEVE_FIELD_RECORD,
     .record = &legacy_kdf_record,
     F(node_config, kdf),
     .doc = "The trading framework."},
    {.name = "security",
     .type = REEVE_FIELD_RECORD,
     .record = &legacy_security_record,
     F(node_config, security),
     .doc = "Who may connect to the site's broker."},
};
const struct reeve_record node_config_record =
    REEVE_RECORD("config", struct node_config, config_fields, "Configuration of a node: what `reeved --config` reads.");

// ---- settling --------------------------------------------------------------------------------------------

static char *default_name(void)
{
    char host[256] = "node";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
        (void)snprintf(host, sizeof host, "node");
    }
    host[strcspn(host, ".")] = '\0';
    char name[REEVE_NAME_SIZE];
    return strdup(reeve_name_from(host, name));
}

static char *default_state_dir(const char *name)
{
    char path[4096];
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0 || (xdg == NULL && home == NULL)) {
        (void)snprintf(path, sizeof path, "/var/lib/reeve/%s", name);
    } else if (xdg != NULL) {
        (void)snprintf(path, sizeof path, "%s/reeve/%s", xdg, name);
    } else {
        (void)snprintf(path, sizeof path, "%s/.local/state/reeve/%s", home, name);
    }
    return strdup(path);
}

static char *default_worker_dir(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len <= 0) {
        return NULL;
    }
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return NULL;
    }
    *slash = '\0';
    return strdup(path);
}

// 0.0.0.0 is where a listener binds; whoever connects on the same host uses loopback.
static char *legacy_url(const struct legacy_daemon *legacy)
{
    const char *host = legacy->host;
    if (host == NULL || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        host = "127.0.0.1";
    }
    char url[512];
    (void)snprintf(url, sizeof url, "mqtt://%s:%lld", host, (long long)legacy->port);
    return strdup(url);
}

static void settle_legacy(struct node_config *config)
{
    if (config->broker.url == NULL && config->daemon.port > 0) {
        config->broker.url = legacy_url(&config->daemon);
    }
    if (config->daemon.log_level != REEVE_LOG_INFO) {
        config->node.log_level = config->daemon.log_level;
    }
    if (config->worker_support.max_workers > 0) {
        config->node.workers_max = config->worker_support.max_workers;
    }
    if (config->node.memory_limit_bytes == 0) {
        config->node.memory_limit_bytes = config->worker_support.limits.memory_per_worker_bytes;
    }
    if (config->node.cpu_limit <= 0) {
        config->node.cpu_limit = config->worker_support.limits.cpu_per_worker;
    }
}

static enum reeve_err settle(struct node_config *config, const char *path)
{
    settle_legacy(config);
    if (config->node.name == NULL) {
        config->node.name = default_name();
    }
    if (config->node.name != NULL && config->node.state_dir == NULL) {
        config->node.state_dir = default_state_dir(config->node.name);
    }
    if (config->node.worker_dir == NULL) {
        config->node.worker_dir = default_worker_dir();
    }
    if (config->broker.url == NULL) {
        config->broker.url = strdup("mqtt://127.0.0.1:1883");
    }
    config->path = strdup(path);
    bool whole = config->node.name != NULL && config->node.state_dir != NULL && config->broker.url != NULL &&
                 config->path != NULL;
    return whole ? REEVE_OK : REEVE_NOMEM;
}

// ---- specs of the file and of workers_dir ------------------------------------------------------------------

static enum reeve_err load_inline_specs(struct node_config *config, struct reeve_errors *errors)
{
    if (config->workers == NULL) {
        return REEVE_OK;
    }
    if (reeve_value_kind(config->workers) != REEVE_LIST) {
        reeve_errors_add(errors, config->workers, "workers", "%s given, expected a list of worker specs",
                         reeve_kind_text(reeve_value_kind(config->workers)));
        return REEVE_INVALID;
    }
    REEVE_VALUE_AUTO document = reeve_value_map();
    (void)reeve_value_put(document, "workers",
                          reeve_value_clone(config->workers)); /* remembered: reeve_value_built() */
    if (reeve_value_built(document) != REEVE_OK) {
        return REEVE_NOMEM;
    }
    return reeve_spec_load_value(document, &config->specs, errors);
}

static int is_spec_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot != NULL &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

static void take_errors(struct reeve_errors *errors, const char *path, const struct reeve_errors *from)
{
    for (size_t i = 0; i < from->len; i++) {
        char text[640];
        (void)reeve_error_format(from, i, text, sizeof text);
        if (from->items[i].warning) {
            reeve_errors_warn(errors, NULL, path, "%s", text);
        } else {
            reeve_errors_add(errors, NULL, path, "%s", text);
        }
    }
}

static bool name_is_taken(const struct reeve_specs *specs, const char *name)
{
    for (size_t i = 0; i < specs->len; i++) {
        if (reeve_str_eq(specs->items[i].name, name)) {
            return true;
        }
    }
    return false;
}

// Moves the specs of `more` over; what does not fit or has a name that is taken stays an error.
static enum reeve_err append_specs(struct reeve_specs *specs, struct reeve_specs *more, const char *path,
                                   struct reeve_errors *errors)
{
    for (size_t i = 0; i < more->len; i++) {
        if (more->items[i].name != NULL && name_is_taken(specs, more->items[i].name)) {
            reeve_errors_add(errors, NULL, "workers_dir", "%s: worker '%s' is defined twice", path,
                             more->items[i].name);
            return REEVE_INVALID;
        }
    }
    struct reeve_spec *items = realloc(specs->items, (specs->len + more->len + 1) * sizeof *items);
    if (items == NULL) {
        return REEVE_NOMEM;
    }
    memcpy(items + specs->len, more->items, more->len * sizeof *items);
    specs->items = items;
    specs->len += more->len;
    free(more->items);
    *more = (struct reeve_specs){0};
    return REEVE_OK;
}

static enum reeve_err load_spec_file(struct node_config *config, const char *name, struct reeve_errors *errors)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", config->workers_dir, name);
    struct reeve_errors *own = malloc(sizeof *own);
    if (own == NULL) {
        return REEVE_NOMEM;
    }
    struct reeve_specs more = {0};
    enum reeve_err err = reeve_spec_load_file(path, &more, own);
    take_errors(errors, "workers_dir", own);
    free(own);
    if (err == REEVE_OK) {
        err = append_specs(&config->specs, &more, path, errors);
        reeve_specs_done(&more);
    }
    return err;
}

static enum reeve_err load_spec_dir(struct node_config *config, struct reeve_errors *errors)
{
    if (config->workers_dir == NULL) {
        return REEVE_OK;
    }
    struct dirent **entries = NULL;
    int count = scandir(config->workers_dir, &entries, is_spec_file, alphasort);
    if (count < 0) {
        reeve_errors_add(errors, NULL, "workers_dir", "%s can't be read: %m", config->workers_dir);
        return REEVE_INVALID;
    }
    enum reeve_err result = REEVE_OK;
    for (int i = 0; i < count; i++) {
        enum reeve_err err = load_spec_file(config, entries[i]->d_name, errors);
        result = err != REEVE_OK ? err : result;
        free(entries[i]);
    }
    free(entries);
    return result;
}

static void check_types(const struct node_config *config, struct reeve_errors *errors)
{
    if (config->types == NULL) {
        return;
    }
    for (size_t i = 0; i < reeve_value_len(config->types); i++) {
        const struct reeve_value *argv = reeve_value_at(config->types, i);
        char path[128];
        (void)snprintf(path, sizeof path, "types.%s", reeve_value_key(config->types, i));
        if (reeve_value_kind(argv) != REEVE_LIST || reeve_value_len(argv) == 0) {
            reeve_errors_add(errors, argv, path, "%s given, expected a list: program and arguments",
                             reeve_kind_text(reeve_value_kind(argv)));
        }
    }
}

// A spec in a configuration file needs its name there: `reload` has to find it again.
static void check_names(const struct node_config *config, struct reeve_errors *errors)
{
    for (size_t i = 0; i < config->specs.len; i++) {
        if (config->specs.items[i].name == NULL) {
            char path[64];
            (void)snprintf(path, sizeof path, "workers[%zu]", i);
            reeve_errors_add(errors, NULL, path,
                             "a worker of the configuration needs a `name`, so that `reload` finds it again");
        }
    }
}

static void check_specs(struct node_config *config, struct reeve_errors *errors)
{
    check_types(config, errors);
    (void)load_inline_specs(config, errors); /* what it found is in errors */
    (void)load_spec_dir(config, errors);     /* what it found is in errors */
    check_names(config, errors);
}

static void check_endpoints(const struct reeve_value *endpoints, struct reeve_errors *errors)
{
    for (size_t i = 0; i < reeve_value_len(endpoints); i++) {
        char path[REEVE_PATH_SIZE];
        char host[REEVE_ENDPOINT_HOST_SIZE];
        int64_t port;
        struct reeve_why why;
        const char *name = reeve_value_key(endpoints, i);
        const struct reeve_value *value = reeve_value_at(endpoints, i);
        if (reeve_name_check(name, &why) != REEVE_OK ||
            reeve_endpoint_parse(reeve_value_text(value), host, &port, &why) != REEVE_OK) {
            reeve_errors_add(errors, value, reeve_path_join(path, "node.endpoints", name), "%s", why.text);
        }
    }
}

static void check_config(struct node_config *config, struct reeve_errors *errors)
{
    check_endpoints(config->node.endpoints, errors);
    struct reeve_why why;
    if (reeve_root_check(config->node.root, &why) != REEVE_OK) {
        reeve_errors_add(errors, NULL, "node.root", "%s", why.text);
    }
    check_specs(config, errors);
}

// The table has refused the file: what is wrong with the specs is told all the same, in the same run.
static void check_specs_of_refused(const struct reeve_value *file, struct reeve_errors *errors)
{
    const char *dir = reeve_get_str(file, "workers_dir");
    struct node_config config = {.types = reeve_value_clone(reeve_value_get(file, "types")),
                                 .workers = reeve_value_clone(reeve_value_get(file, "workers")),
                                 .workers_dir = dir != NULL ? strdup(dir) : NULL};
    check_specs(&config, errors);
    config_done(&config);
}

// ---- include --------------------------------------------------------------------------------------------

// Over `base`: maps are merged key by key, `workers` are joined, everything else is replaced.
static enum reeve_err lay_over(struct reeve_value *base, const struct reeve_value *top)
{
    for (size_t i = 0; i < reeve_value_len(top); i++) {
        const char *key = reeve_value_key(top, i);
        const struct reeve_value *item = reeve_value_at(top, i);
        struct reeve_value *under = reeve_value_get_mut(base, key);
        bool maps = reeve_value_kind(under) == REEVE_MAP && reeve_value_kind(item) == REEVE_MAP;
        bool lists = reeve_value_kind(under) == REEVE_LIST && reeve_value_kind(item) == REEVE_LIST;
        enum reeve_err err = REEVE_OK;
        if (maps) {
            err = lay_over(under, item);
        } else if (lists && strcmp(key, "workers") == 0) {
            for (size_t j = 0; err == REEVE_OK && j < reeve_value_len(item); j++) {
                err = reeve_value_add(under, reeve_value_clone(reeve_value_at(item, j)));
            }
        } else {
            err = reeve_value_put(base, key, reeve_value_clone(item));
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}

// The included file is decoded by itself once, so that its mistakes have its own name and places.
static enum reeve_err check_included(const char *path, const struct reeve_value *value, struct reeve_errors *errors)
{
    struct reeve_errors *own = malloc(sizeof *own);
    struct node_config config;
    if (own == NULL) {
        return REEVE_NOMEM;
    }
    reeve_errors_init(own, path);
    enum reeve_err err = reeve_record_decode(&node_config_record, value, "", &config, own);
    if (err == REEVE_OK) {
        config.specs = (struct reeve_specs){0};
        config.path = NULL;
        err = load_inline_specs(&config, own);
        config_done(&config);
    }
    take_errors(errors, "include", own);
    free(own);
    return err;
}

// *value becomes the included file's content with what was in it laid over.
static enum reeve_err include(struct reeve_value **value, struct reeve_errors *errors)
{
    const char *path = reeve_get_str(*value, "include");
    if (path == NULL) {
        return REEVE_OK;
    }
    REEVE_VALUE_AUTO base = NULL;
    struct reeve_why why;
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &base, &why);
    if (err != REEVE_OK) {
        char text[640];
        reeve_errors_add(errors, reeve_value_get(*value, "include"), "include", "%s",
                         reeve_why_format(&why, text, sizeof text));
        return err;
    }
    if (reeve_value_kind(base) == REEVE_NULL) {
        return REEVE_OK; // an empty file
    }
    err = check_included(path, base, errors);
    if (err == REEVE_OK) {
        err = lay_over(base, *value);
    }
    if (err == REEVE_OK) {
        reeve_value_free(*value);
        *value = reeve_value_take(&base);
    }
    return err;
}

enum reeve_err config_load(const char *path, struct node_config *ret, struct reeve_errors *errors)
{
    reeve_errors_init(errors, path);
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_why why;
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &value, &why);
    if (err != REEVE_OK) {
        char text[640];
        errors->source = NULL; // the why names the file already
        reeve_errors_add(errors, NULL, "", "%s", reeve_why_format(&why, text, sizeof text));
        return err;
    }
    if (value == NULL || reeve_value_kind(value) == REEVE_NULL) {
        reeve_value_free(value);
        value = reeve_value_map(); // an empty file is a node with presets
    }
    err = include(&value, errors);
    if (err != REEVE_OK) {
        return err;
    }
    struct node_config config = {0};
    err = reeve_record_decode(&node_config_record, value, "", &config, errors);
    if (err != REEVE_OK) {
        check_specs_of_refused(value, errors);
        return err;
    }
    err = settle(&config, path);
    if (err == REEVE_OK) {
        check_config(&config, errors);
        err = errors->errors > 0 ? REEVE_INVALID : REEVE_OK;
    }
    if (err != REEVE_OK) {
        config_done(&config);
        return err;
    }
    *ret = config;
    return REEVE_OK;
}

void config_done(struct node_config *config)
{
    reeve_specs_done(&config->specs);
    free(config->path);
    config->path = NULL;
    reeve_record_done(&node_config_record, config);
}

// ---- from configuration to a spec -----------------------------------------------------------------------

void config_preset_spec(const struct node_config *config, struct reeve_spec *spec)
{
    if (spec->memory_limit_bytes == 0) {
        spec->memory_limit_bytes = config->node.memory_limit_bytes;
    }
    if (spec->cpu_limit <= 0) {
        spec->cpu_limit = config->node.cpu_limit;
    }
    if (spec->name == NULL) {
        char name[REEVE_NAME_SIZE];
        spec->name = strdup(reeve_spec_name_generate(spec->type, spec->exchange, config->node.name, name));
    }
}

static enum reeve_err argv_of_type(const struct reeve_value *argv, struct reeve_strv *ret)
{
    for (size_t i = 0; i < reeve_value_len(argv); i++) {
        const char *text = reeve_value_text(reeve_value_at(argv, i));
        enum reeve_err err = reeve_strv_add(ret, text != NULL ? text : "");
        if (err != REEVE_OK) {
            reeve_strv_done(ret);
            return err;
        }
    }
    return REEVE_OK;
}

enum reeve_err config_argv(const struct node_config *config, const struct reeve_spec *spec, struct reeve_strv *ret,
                           struct reeve_why *why)
{
    *ret = (struct reeve_strv){0};
    if (spec->command.len > 0) {
        return reeve_spec_argv(spec, NULL, ret);
    }
    const struct reeve_value *argv = reeve_value_get(config->types, spec->type);
    if (argv != NULL) {
        return argv_of_type(argv, ret);
    }
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/" REEVE_SPEC_PROGRAM_PREFIX "%s", config->node.worker_dir, spec->type);
    if (access(path, X_OK) != 0) {
        return reeve_fail(why, REEVE_NOENT,
                          "no program for type '%s' on node %s: neither `types.%s` in its configuration nor %s",
                          spec->type, config->node.name, spec->type, path);
    }
    return reeve_spec_argv(spec, config->node.worker_dir, ret);
}
