// The manager's configuration: one file, one record table (`manager:` and `broker:`).
// Must not: look at the running manager.
#ifndef REEVE_MANAGER_CONFIG_H
#define REEVE_MANAGER_CONFIG_H

#include <reeve/bus.h>
#include <reeve/log.h>

struct health_policy { // preset for workers that say nothing; reeve/match.h requirements choose others
    int64_t memory_percent;      // of its limit: above is a failing check; preset 90
    int64_t memory_trend_ms;     // a check fails when, as it grows, the limit is reached within this; preset 10m; 0 = off
    int64_t progress_ms;         // a job in hand whose progress stands still for so long; preset 10m; 0 = off
    double error_rate;           // failed / (failed + done) over the window; preset 0.5; 0 = off
    int64_t error_window_ms;     // preset 5m
    int64_t error_jobs_min;      // fewer jobs in the window say nothing; preset 5
    int64_t flapping_changes;    // changes between alive and not alive within the window: flapping; preset 6
    int64_t flapping_window_ms;  // preset 10m
    int64_t crash_loop_restarts; // restarts by its node within the window: crash loop; preset 5
    int64_t crash_loop_window_ms; // preset 10m
    int on_unhealthy;            // enum health_action; preset alarm
    int64_t unhealthy_for_ms;    // before anything is done; preset 30s
};
enum health_action { HEALTH_ACTION_ALARM, HEALTH_ACTION_RESTART, HEALTH_ACTION_REPLACE };

struct manager_section {
    char *name;      // preset "main"
    char *root;      // reeve/v1/<site>
    char *state_dir; // NULL = /var/lib/reeve/manager-<name>, or the user's state directory
    int log_level;
    int64_t heartbeat_ms;     // preset 5s
    int64_t forget_after_ms;  // a worker that is gone; preset 24h
    int64_t workers_max;      // preset 100,000
    char *pools_dir;          // every *.yaml, *.yml, *.json in it is applied at the start; NULL
    char *accounts_dir;       // NULL = no accounts
    int64_t backups_keep;     // of the newest in <state_dir>/backups; preset 20; 0 = all
    struct health_policy health;
};
struct manager_config {
    struct manager_section manager;
    struct reeve_broker broker;
    char *path; // where it was read; not in the table
};
extern const struct reeve_record manager_config_record;

// All mistakes, with places, go to `errors`; on failure *ret is untouched.
enum reeve_err manager_config_load(const char *path, struct manager_config *ret, struct reeve_errors *errors);
// Instead of a file: what a node daemon hands to its workers (reeve/worker.h). REEVE_CONFIG_FILE holds the same keys (absent = none).
// With a file or without, what it does not say comes from there too: `broker` from REEVE_BROKER_FILE (but nothing when the file
// has an url of its own, and no credentials when it has some), `manager.root` from REEVE_ROOT, `manager.log_level` from REEVE_LOG_LEVEL.
enum reeve_err manager_config_from_environment(struct manager_config *ret, struct reeve_errors *errors);
void manager_config_done(struct manager_config *config);

#endif
