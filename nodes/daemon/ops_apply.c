// apply: worker specs by command. reload: the configuration file again. Both end in the same few steps per worker:
// new, changed (restarted only where the change needs it), unchanged, removed.
// Must not: read YAML from the network: `apply` takes msgpack or JSON, the CLI converts files.
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum change { CHANGE_NEW, CHANGE_RESTART, CHANGE_LIVE, CHANGE_NONE };
static const char *const change_texts[] = {"added", "restarted", "changed", "unchanged"};

static enum change what_changes(const struct worker *worker, const struct reeve_spec *spec)
{
    if (worker == NULL) {
        return CHANGE_NEW;
    }
    if (reeve_spec_digest(&worker->spec) == reeve_spec_digest(spec)) {
        return CHANGE_NONE;
    }
    bool running = reeve_state_has_process(worker->machine.state);
    return running && reeve_spec_run_digest(&worker->spec) != reeve_spec_run_digest(spec) ? CHANGE_RESTART
                                                                                          : CHANGE_LIVE;
}

// The event that brings a worker to what its spec desires after the change; false = none is needed.
static bool event_after(const struct worker *worker, enum change change, enum reeve_event *ret)
{
    bool wanted = worker->spec.desired == REEVE_DESIRED_RUNNING;
    if (!wanted) {
        *ret = REEVE_EVENT_STOP;
        return worker->machine.wanted || worker->machine.state == REEVE_STATE_FAILED;
    }
    if (worker->machine.state == REEVE_STATE_FAILED) {
        *ret = REEVE_EVENT_RESET; // a new spec gets a fresh try; an unchanged one keeps its verdict
        return change != CHANGE_NONE;
    }
    *ret = change == CHANGE_RESTART ? REEVE_EVENT_RESTART : REEVE_EVENT_START;
    if (worker->machine.state == REEVE_STATE_RESTARTING) {
        return change != CHANGE_NONE; // the back-off was for the spec before
    }
    return change == CHANGE_RESTART || !worker->machine.wanted || worker->machine.state == REEVE_STATE_CREATED ||
           worker->machine.state == REEVE_STATE_STOPPED;
}

static enum reeve_err take_spec(struct daemon *daemon, struct reeve_spec *spec, const char *origin, enum change change,
                                struct worker **ret, struct reeve_why *why)
{
    struct worker *worker = daemon_worker(daemon, spec->name);
    if (worker == NULL && reeve_map_len(daemon->workers) >= (size_t)daemon->config.node.workers_max) {
        return reeve_fail(why, REEVE_LIMIT, "node %s has %zu workers, its max_workers", daemon->config.node.name,
                          reeve_map_len(daemon->workers));
    }
    if (worker == NULL) {
        enum reeve_err err = worker_new(daemon, spec->name, &worker, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    (void)snprintf(worker->origin, sizeof worker->origin, "%s", origin);
    if (change != CHANGE_NONE) {
        worker_set_spec(worker, spec);
        worker->stored_wanted = worker->spec.desired == REEVE_DESIRED_RUNNING;
    }
    publish_mark(worker);
    *ret = worker;
    return REEVE_OK;
}

static bool spec_is_wanted(const struct reeve_spec *spec)
{
    return spec->desired == REEVE_DESIRED_RUNNING;
}

// ---- apply ----------------------------------------------------------------------------------------------------

static enum reeve_err check_policy(const struct daemon *daemon, const struct reeve_spec *spec, struct reeve_why *why)
{
    switch ((enum node_remote_apply)daemon->config.node.remote_apply) {
    case NODE_APPLY_NONE:
        return reeve_fail(why, REEVE_DENIED, "node %s takes no specs by command (node.remote_apply: none)",
                          daemon->config.node.name);
    case NODE_APPLY_TYPES:
        if (spec->command.len > 0 || reeve_value_get(daemon->config.types, spec->type) == NULL) {
            return reeve_fail(why, REEVE_DENIED,
                              "node %s starts only the types of its configuration (node.remote_apply: types)",
                              daemon->config.node.name);
        }
        break;
    case NODE_APPLY_ANY:
        break;
    }
    return REEVE_OK;
}

static enum reeve_err prepare_spec(struct pending *pending, struct reeve_spec *spec, struct reeve_why *why)
{
    struct daemon *daemon = pending->daemon;
    config_preset_spec(&daemon->config, spec);
    if (spec->name == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    const struct worker *worker = daemon_worker(daemon, spec->name);
    struct reeve_why reason;
    enum reeve_err err = check_policy(daemon, spec, &reason);
    if (err == REEVE_OK) {
        err = spawn_check(&daemon->config, spec, &reason);
    }
    if (err == REEVE_OK && worker != NULL && spec->fence < worker->spec.fence &&
        (spec->fence > 0 || spec->self_stop_after_ms > 0)) { // of somebody whose turn is over [lease-6]
        err = reeve_fail(&reason, REEVE_CONFLICT, "fence %lld is below %lld, which this worker has already",
                         (long long)spec->fence, (long long)worker->spec.fence);
    }
    if (err == REEVE_OK && worker != NULL && worker->removing) {
        err = reeve_fail(&reason, REEVE_CONFLICT, "it is being removed; apply it again when it is gone");
    }
    if (err == REEVE_OK && worker == NULL &&
        reeve_map_len(daemon->workers) >= (size_t)daemon->config.node.workers_max) {
        err = reeve_fail(&reason, REEVE_LIMIT, "node %s has %lld workers, its max_workers", daemon->config.node.name,
                         (long long)daemon->config.node.workers_max);
    }
    if (err == REEVE_OK) {
        err = pending_add_target(pending, spec->name, &reason);
    }
    if (err == REEVE_OK && what_changes(worker, spec) == CHANGE_RESTART) {
        pending->targets[pending->targets_len - 1].run = worker->last_run; // for the journal: the run to be replaced
    }
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "%s: %s", spec->name, reason.text);
}

// All of the specs or none: every one is checked before any is written.
static enum reeve_err read_specs(struct pending *pending, struct reeve_why *why)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_spec_load_value(pending->command.args, &pending->specs, errors);
    if (err != REEVE_OK) {
        enum reeve_err told = reeve_errors_result(errors, why);
        err = told != REEVE_OK ? told : reeve_fail(why, err, "specs can't be read");
    }
    free(errors);
    for (size_t i = 0; err == REEVE_OK && i < pending->specs.len; i++) {
        err = prepare_spec(pending, &pending->specs.items[i], why);
    }
    pending->single = pending->targets_len == 1;
    return err;
}

enum reeve_err op_apply_prepare(struct pending *pending, struct reeve_why *why)
{
    enum reeve_err err = read_specs(pending, why);
    for (size_t i = 0; err == REEVE_OK && i < pending->specs.len; i++) {
        const struct reeve_spec *spec = &pending->specs.items[i];
        err = worker_store_spec(pending->daemon, daemon_worker(pending->daemon, spec->name), spec, "command",
                                spec_is_wanted(spec), why);
    }
    return err;
}

static void put_change(struct target *target, enum change change)
{
    if (target->result == NULL) {
        target->result = reeve_value_map();
    }
    reeve_put_str(target->result, "change", change_texts[change]);
}

static void apply_one(struct pending *pending, struct target *target, struct reeve_spec *spec)
{
    struct reeve_why why;
    struct worker *worker = daemon_worker(pending->daemon, spec->name);
    enum change change = what_changes(worker, spec);
    enum reeve_err err = take_spec(pending->daemon, spec, "command", change, &worker, &why);
    put_change(target, change);
    if (err != REEVE_OK) {
        target_settle(pending, target, TARGET_FAILED, err, why.text);
        return;
    }
    enum reeve_event event;
    target->goal = worker->spec.desired == REEVE_DESIRED_RUNNING ? GOAL_RUNNING : GOAL_GONE;
    target->run = change == CHANGE_RESTART ? worker->last_run : 0;
    if (!event_after(worker, change, &event)) {
        bool waits = worker->machine.state == REEVE_STATE_FAILED || worker->machine.state == REEVE_STATE_RESTARTING;
        target->goal = change == CHANGE_NONE && waits ? GOAL_NONE : target->goal; // its state is in the reply
        return;
    }
    if (event == REEVE_EVENT_STOP) {
        pending_supersede(pending->daemon, worker->name, pending);
        target->run = worker->run != NULL ? worker->last_run : 0;
    }
    err = worker_step(worker, event, "apply", &why);
    if (err != REEVE_OK) {
        target_settle(pending, target, TARGET_FAILED, err, why.text);
    }
}

void op_apply_act(struct pending *pending)
{
    pending->busy = true;
    for (size_t i = 0; i < pending->specs.len && i < pending->targets_len; i++) {
        apply_one(pending, &pending->targets[i], &pending->specs.items[i]);
    }
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct worker *worker = target_worker(pending, &pending->targets[i]);
        if (worker != NULL && pending->targets[i].state == TARGET_WAITING) {
            pending_target_check(pending, &pending->targets[i], worker);
        }
    }
    pending->busy = false;
    pending_settle(pending);
}

// After a restart of the daemon the specs are in the store already: what is left is to end a run of the spec before,
// and to wait for the workers.
void op_apply_resume(struct pending *pending)
{
    for (size_t i = 0; i < pending->targets_len; i++) {
        struct target *target = &pending->targets[i];
        struct worker *worker = target_worker(pending, target);
        struct reeve_why why;
        bool wanted = worker != NULL && worker->machine.wanted;
        target->goal = wanted ? GOAL_RUNNING : GOAL_NONE;
        if (wanted && target->run > 0 && worker->last_run <= target->run) {
            (void)worker_step(worker, REEVE_EVENT_RESTART, "apply",
                              &why); /* not refused: a wanted one has not failed */
        }
    }
}

struct reeve_value *op_apply_plan(struct pending *pending)
{
    struct reeve_value *plan = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    struct reeve_why why;
    if (read_specs(pending, &why) != REEVE_OK) {
        char text[640];
        reeve_put_str(plan, "refused", reeve_why_format(&why, text, sizeof text));
    }
    for (size_t i = 0; i < pending->specs.len; i++) {
        const struct reeve_spec *spec = &pending->specs.items[i];
        struct reeve_value *entry = reeve_value_map();
        char schedule[256];
        const struct reeve_backoff_policy policy = reeve_spec_backoff(spec);
        reeve_put_str(entry, "change", change_texts[what_changes(daemon_worker(pending->daemon, spec->name), spec)]);
        reeve_put_str(entry, "restarts", reeve_backoff_schedule(&policy, schedule, sizeof schedule));
        (void)reeve_value_put(workers, spec->name != NULL ? spec->name : "?",
                              entry); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(plan, "workers", workers); /* remembered: reeve_value_built() */
    return plan;
}

// ---- the configuration's specs: at start and on reload -------------------------------------------------------------

static void note(struct reeve_value *report, const char *key, const char *worker)
{
    struct reeve_value *list = reeve_value_get_mut(report, key);
    if (list == NULL) {
        list = reeve_value_list();
        (void)reeve_value_put(report, key, list); /* remembered: reeve_value_built() */
        list = reeve_value_get_mut(report, key);
    }
    (void)reeve_value_add(list, reeve_value_str(worker)); /* remembered: reeve_value_built() */
}

static void config_spec(struct daemon *daemon, struct node_config *config, struct reeve_spec *spec, bool plan_only,
                        struct reeve_value *report)
{
    struct reeve_why why;
    config_preset_spec(config, spec);
    struct worker *worker = daemon_worker(daemon, spec->name);
    enum change change = what_changes(worker, spec);
    note(report, change_texts[change], spec->name);
    bool taken_over = worker != NULL && strcmp(worker->origin, "file") != 0;
    if (plan_only || (change == CHANGE_NONE && !taken_over)) {
        return;
    }
    struct reeve_spec copy;
    enum reeve_err err = reeve_spec_copy(spec, &copy);
    if (err == REEVE_OK) {
        bool wanted = change == CHANGE_NONE ? worker->machine.wanted : spec_is_wanted(spec);
        (void)worker_store_spec(daemon, worker, spec, "file", wanted, NULL); /* the commit of the turn reports it */
        err = take_spec(daemon, &copy, "file", change, &worker, &why);
        reeve_spec_done(&copy);
    }
    enum reeve_event event;
    if (err == REEVE_OK && change != CHANGE_NONE && event_after(worker, change, &event)) {
        err = worker_step(worker, event, "configuration", &why);
    }
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "config", "worker=%s error=\"%s\"", spec->name, why.text);
        note(report, "failed", spec->name);
    }
}

static bool config_names(const struct node_config *config, const char *name)
{
    for (size_t i = 0; i < config->specs.len; i++) {
        if (reeve_str_eq(config->specs.items[i].name, name)) {
            return true;
        }
    }
    return false;
}

bool config_will_change(struct daemon *daemon, const struct reeve_spec *stored, const char *origin)
{
    for (size_t i = 0; i < daemon->config.specs.len; i++) {
        struct reeve_spec *spec = &daemon->config.specs.items[i];
        if (reeve_str_eq(spec->name, stored->name)) {
            config_preset_spec(&daemon->config, spec);
            return reeve_spec_digest(spec) != reeve_spec_digest(stored);
        }
    }
    return reeve_str_eq(origin, "file");
}

struct reeve_value *apply_config_specs(struct daemon *daemon, struct node_config *config, bool plan_only)
{
    struct reeve_value *report = reeve_value_map();
    for (size_t i = 0; i < config->specs.len; i++) {
        config_spec(daemon, config, &config->specs.items[i], plan_only, report);
    }
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        struct worker *worker = it.value;
        if (strcmp(worker->origin, "file") == 0 && !worker->removing && !config_names(config, worker->name)) {
            note(report, "removed", worker->name);
            if (!plan_only) {
                (void)store_worker_remove(daemon->store, worker->name, NULL); /* the commit of the turn reports it */
                worker_remove(worker);
            }
        }
    }
    return report;
}

// ---- reload ---------------------------------------------------------------------------------------------------

enum reeve_err op_reload_prepare(struct pending *pending, struct reeve_why *why)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    pending->config = calloc(1, sizeof *pending->config);
    if (errors == NULL || pending->config == NULL) {
        free(errors);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = config_load(pending->daemon->config.path, pending->config, errors);
    if (err != REEVE_OK) {
        free(pending->config);
        pending->config = NULL;
        (void)reeve_errors_result(errors, why); /* the class stays that of the load */
    }
    free(errors);
    return err;
}

// What can't change under way; named, so that nobody believes it has.
static void note_restart_needed(const struct node_config *from, const struct node_config *to,
                                struct reeve_value *report)
{
    const struct {
        const char *key;
        bool changed;
    } rows[] = {
        {"node.name", !reeve_str_eq(from->node.name, to->node.name)},
        {"node.root", !reeve_str_eq(from->node.root, to->node.root)},
        {"node.state_dir", !reeve_str_eq(from->node.state_dir, to->node.state_dir)},
        {"broker.url", !reeve_str_eq(from->broker.url, to->broker.url)},
        {"broker.username", !reeve_str_eq(from->broker.username, to->broker.username)},
        {"broker.version", from->broker.version != to->broker.version},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (rows[i].changed) {
            note(report, "needs_restart", rows[i].key);
        }
    }
}

#define SWAP(type_, a_, b_)                                                                                            \
    do {                                                                                                               \
        type_ swap_ = (a_);                                                                                            \
        (a_) = (b_);                                                                                                   \
        (b_) = swap_;                                                                                                  \
    } while (0)

// Takes over what may change while running; the rest stays in `fresh` and is freed with it.
static void take_live_settings(struct node_config *config, struct node_config *fresh)
{
    SWAP(char *, config->node.region, fresh->node.region);
    SWAP(struct reeve_value *, config->node.labels, fresh->node.labels);
    SWAP(struct reeve_value *, config->types, fresh->types);
    SWAP(struct reeve_specs, config->specs, fresh->specs);
    SWAP(struct reeve_broker, config->worker_broker, fresh->worker_broker);
    SWAP(struct reeve_value *, config->node.endpoints, fresh->node.endpoints);
    config->node.endpoints_interval_ms = fresh->node.endpoints_interval_ms;
    config->node.reserved = fresh->node.reserved;
    config->node.log_level = fresh->node.log_level;
    config->node.workers_max = fresh->node.workers_max;
    config->node.heartbeat_ms = fresh->node.heartbeat_ms;
    config->node.metrics_ms = fresh->node.metrics_ms;
    config->node.on_exit = fresh->node.on_exit;
    config->node.remote_apply = fresh->node.remote_apply;
    config->node.memory_limit_bytes = fresh->node.memory_limit_bytes;
    config->node.cpu_limit = fresh->node.cpu_limit;
}

void op_reload_act(struct pending *pending)
{
    struct daemon *daemon = pending->daemon;
    struct reeve_why why = {0};
    if (pending->config == NULL && op_reload_prepare(pending, &why) != REEVE_OK) { // resumed after a restart
        char text[640];
        pending_finish(pending, REEVE_PHASE_FAILED, REEVE_INVALID, reeve_why_format(&why, text, sizeof text), NULL);
        return;
    }
    struct reeve_value *restart_needed = reeve_value_map();
    note_restart_needed(&daemon->config, pending->config, restart_needed);
    take_live_settings(&daemon->config, pending->config);
    reeve_log_set_level((enum reeve_log_level)daemon->config.node.log_level);
    endpoints_start(daemon);
    struct reeve_value *report = apply_config_specs(daemon, &daemon->config, false);
    const struct reeve_value *keys = reeve_value_get(restart_needed, "needs_restart");
    if (keys != NULL) {
        (void)reeve_value_put(report, "needs_restart", reeve_value_clone(keys)); /* remembered: reeve_value_built() */
    }
    reeve_value_free(restart_needed);
    publish_node(daemon, false);
    publish_event(daemon, "reloaded", reeve_value_clone(report));
    pending_finish(pending, REEVE_PHASE_DONE, REEVE_OK, NULL, report);
}

struct reeve_value *op_reload_plan(struct pending *pending)
{
    struct reeve_why why = {0};
    if (op_reload_prepare(pending, &why) == REEVE_OK) {
        return apply_config_specs(pending->daemon, pending->config, true);
    }
    struct reeve_value *plan = reeve_value_map();
    char text[640];
    reeve_put_str(plan, "refused", reeve_why_format(&why, text, sizeof text));
    return plan;
}
