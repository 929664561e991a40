// The daemon's configuration: one file, one record table. Two spellings load: `node:` + `broker:`, and the older
// `daemon:` + `worker_support:` + `kdf:` + `security:` that users already have.
// Must not: look at the running daemon; loading twice is how `reload` and `--check` work.
#ifndef REEVED_CONFIG_H
#define REEVED_CONFIG_H

#include <reeve/bus.h>
#include <reeve/log.h>
#include <reeve/spec.h>

enum node_on_exit { NODE_EXIT_KEEP, NODE_EXIT_STOP };
enum node_remote_apply { NODE_APPLY_ANY, NODE_APPLY_TYPES, NODE_APPLY_NONE };

struct node_reserved { // what workers don't get
    double cpus;
    int64_t memory_bytes;
};

struct node_section {
    char *name;      // NULL = the host's name, made valid
    char *root;      // reeve/v1/<site>
    char *state_dir; // NULL = /var/lib/reeve/<name>, or the user's state directory
    char *region;
    struct reeve_value *labels;
    int log_level;
    int64_t workers_max;
    int64_t heartbeat_ms;
    int64_t metrics_ms;
    int on_exit;      // enum node_on_exit, for SIGTERM and SIGINT
    int remote_apply; // enum node_remote_apply
    char *worker_dir; // where reeve-worker-<type> is; NULL = beside reeved, then PATH
    char *broker_worker; // name of the worker that is the site's broker: stopped last; NULL
    char *manager_worker; // name of the worker that is the site's manager: stopped last but one; NULL
    int64_t memory_limit_bytes; // for workers that say nothing; 0 = none
    double cpu_limit;
    struct node_reserved reserved;
    struct reeve_value *endpoints; // MAP name -> "host:port", or NULL
    int64_t endpoints_interval_ms;
};

struct legacy_daemon {
    int64_t port;
    char *host;
    int log_level;
    int64_t health_check_interval_ms;
};
struct legacy_limits {
    int64_t memory_per_worker_bytes;
    double cpu_per_worker;
    int64_t max_total_memory_bytes;
};
struct legacy_support {
    bool enabled;
    int64_t max_workers;
    char *worker_ports;
    bool worker_metrics_enabled;
    struct legacy_limits limits;
};
struct legacy_kdf {
    char *binary_path, *data_dir;
    bool auto_restart;
    int64_t max_restart_attempts;
};
struct legacy_ssl {
    char *cert_path, *key_path;
};
struct legacy_security {
    struct reeve_strv api_keys, allowed_ips;
    struct legacy_ssl ssl;
};

struct node_config {
    char *include; // another file of the same form, read first; what stands here wins, `workers` of both count
    struct node_section node;
    struct reeve_broker broker;
    struct reeve_broker worker_broker; // what workers are given; without an url: `broker`
    struct reeve_value *types;         // MAP type -> argv list
    struct reeve_value *workers;       // LIST of specs, as written
    char *workers_dir;                 // every *.yaml, *.yml, *.json in it
    struct reeve_value *manager;       // of the site's manager, which `reeve up` starts; not read here
    struct legacy_daemon daemon;
    struct legacy_support worker_support;
    struct legacy_kdf kdf;
    struct legacy_security security;

    // Settled by config_load(), not in the table:
    struct reeve_specs specs; // of `workers` and `workers_dir`, all named
    char *path;
};
extern const struct reeve_record node_config_record;

// Load `path` and settle presets. All mistakes, with places, also of the specs inside, go to `errors`; on failure *ret is
// untouched. Warnings may be there with OK.
enum reeve_err config_load(const char *path, struct node_config *ret, struct reeve_errors *errors);
void config_done(struct node_config *config);
// Presets that come from the node for a spec that says nothing: limits, a generated name.
void config_preset_spec(const struct node_config *config, struct reeve_spec *spec);
// argv of a spec by command, `types`, or the worker program's path. NOENT when there is no such program, with what was looked for.
enum reeve_err config_argv(const struct node_config *config, const struct reeve_spec *spec, struct reeve_strv *ret,
                           struct reeve_why *why);

#endif
