// Start, the turn of the loop, and the way out.
// Must not: know what a command or a worker is beyond calling the rooms that do.
#include "daemon.h"

#include <dirent.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUSEKEEPING_MS 60000
#define AFTER_MAX 16384
#define COUNTS_SOON_MS  250
#define STORE_RETRY_MS 5000
// A parent that dies with several threads has its death signal sent once for each of them: that is one word, not a second.
#define ECHO_MS 100
#define FLUSH_MS 3000
#define EXIT_DUPLICATE 125 // do not restart [session-7]

struct worker *daemon_worker(const struct daemon *daemon, const char *name)
{
    return reeve_map_get(daemon->workers, name);
}

// ---- the end of a turn --------------------------------------------------------------------------------------------

void daemon_after_commit(struct daemon *daemon,
                         void (*fn)(struct daemon *daemon, bool committed, const struct reeve_why *why, void *arg), void *arg)
{
    if (daemon->after_len == daemon->after_cap) {
        size_t cap = daemon->after_cap > 0 ? 2 * daemon->after_cap : 64;
        struct after_commit *after = cap <= AFTER_MAX ? realloc(daemon->after, cap * sizeof *after) : NULL;
        if (after == NULL) {
            struct reeve_why why;
            (void)reeve_fail(&why, REEVE_NOMEM, "too much in one turn");
            fn(daemon, false, &why, arg);
            return;
        }
        daemon->after = after;
        daemon->after_cap = cap;
    }
    daemon->after[daemon->after_len++] = (struct after_commit){fn, arg};
}

static void tell_store(struct daemon *daemon, bool ok, const struct reeve_why *why)
{
    if (ok != daemon->store_failing) {
        return;
    }
    daemon->store_failing = !ok;
    reeve_log(ok ? REEVE_LOG_INFO : REEVE_LOG_ERROR, "store", ok ? "state=recovered" : "state=failing error=\"%s\"",
              ok ? "" : why->text);
    if (!ok) {
        reeve_timer_start(&daemon->housekeeping, STORE_RETRY_MS, 0);
    }
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str_opt(detail, "error", ok ? NULL : why->text);
    publish_event(daemon, ok ? "store_recovered" : "store_failed", detail);
    struct reeve_map_iter it = {0};
    while (ok && reeve_map_next(daemon->workers, &it)) { // what was decided meanwhile is written now
        struct worker *worker = it.value;
        (void)worker_store(worker, worker->machine.wanted, NULL); /* the next commit reports it */
    }
}

static void publish_dirty(struct daemon *daemon)
{
    daemon->any_dirty = false;
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        struct worker *worker = it.value;
        if (worker->dirty) {
            publish_worker(worker);
        }
    }
    // The node's status counts workers: said soon after a change, and once for a burst of them.
    if (daemon->leave_step == 0 && uv_timer_get_due_in(&daemon->heartbeat.handle) > COUNTS_SOON_MS) {
        reeve_timer_start(&daemon->heartbeat, COUNTS_SOON_MS, 0);
    }
}

// One transaction, then the records, then what waited for it: who reads `done` finds the record that it is about. What
// that does belongs to the next transaction.
void daemon_commit(struct daemon *daemon)
{
    struct reeve_why why = {0};
    struct after_commit *after = daemon->after;
    size_t len = daemon->after_len;
    bool wrote = store_dirty(daemon->store);
    enum reeve_err err = store_commit(daemon->store, &why);
    daemon->after = NULL;
    daemon->after_len = 0;
    daemon->after_cap = 0;
    daemon->counters.turns++;
    if (daemon->any_dirty) {
        publish_dirty(daemon);
    }
    for (size_t i = 0; i < len; i++) {
        after[i].fn(daemon, err == REEVE_OK, &why, after[i].arg);
    }
    free(after);
    if (wrote || err != REEVE_OK) {
        tell_store(daemon, err == REEVE_OK, &why);
    }
}

// Before the loop waits: nothing may be left that waits for a commit, or it would wait for the next event.
static void turn_end(uv_prepare_t *handle)
{
    struct daemon *daemon = handle->data;
    while (daemon->after_len > 0 || store_dirty(daemon->store)) {
        daemon_commit(daemon);
    }
    if (daemon->any_dirty) {
        publish_dirty(daemon);
    }
}

// ---- the session ------------------------------------------------------------------------------------------------------

static uint64_t next_epoch(struct reeve_buf *will_payload, void *arg)
{
    struct daemon *daemon = arg;
    int64_t floor = daemon->epoch_floor;
    int64_t wall = reeve_clock_wall_ms();
    uint64_t epoch = store_epoch_next(daemon->store, wall > floor ? wall : floor);
    (void)reeve_lwt_encode(epoch, will_payload); /* a few bytes into a fresh buffer */
    return epoch;
}

static void on_session(struct reeve_bus *bus, uint64_t epoch, void *arg)
{
    (void)bus;
    reeve_log(REEVE_LOG_INFO, "session", "epoch=%llu", (unsigned long long)epoch);
    publish_session(arg);
}

static void on_ready(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    struct daemon *daemon = arg;
    reeve_log(REEVE_LOG_INFO, "session", "ready=true node=%s", daemon->config.node.name);
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    (void)bus;
    (void)arg;
    char text[640];
    reeve_log(REEVE_LOG_WARNING, "session", "lost=\"%s\" retry_ms=%lld retrying", reeve_why_format(why, text, sizeof text),
              (long long)retry_ms);
}

static void on_command(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    command_take(arg, delivery);
}

// 0 for what is no record with an epoch that can be: it says nothing about anybody.
static uint64_t epoch_of(const struct reeve_delivery *delivery)
{
    REEVE_VALUE_AUTO value = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &value, NULL) !=
        REEVE_OK) {
        return 0;
    }
    int64_t epoch = reeve_get_int(value, "epoch", 0);
    return epoch > 0 && (uint64_t)epoch <= REEVE_EPOCH_MAX ? (uint64_t)epoch : 0;
}

static void renew_above(struct daemon *daemon, uint64_t epoch, const char *cause)
{
    int64_t now = reeve_clock_mono_ms();
    if (epoch < REEVE_EPOCH_MAX && (int64_t)epoch >= daemon->epoch_floor) {
        daemon->epoch_floor = (int64_t)epoch + 1;
    }
    if (now - daemon->renewed_mono < 1000) { // at most once a second [session-3]; the heartbeat looks again
        return;
    }
    daemon->renewed_mono = now;
    if (epoch >= REEVE_EPOCH_MAX) {
        reeve_log(REEVE_LOG_ERROR, "session", "cause=\"%s\" epoch=%llu no epoch is above it: remove the record by hand",
                  cause, (unsigned long long)epoch);
        return;
    }
    reeve_bus_renew(daemon->bus, cause);
}

// Our own will while we live: whoever reads it takes us for dead until a higher epoch is there.
static void on_own_lwt(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    uint64_t epoch = delivery->payload_len > 0 ? epoch_of(delivery) : 0;
    if (!((struct daemon *)arg)->leaving && epoch >= reeve_bus_epoch(bus)) {
        renew_above(arg, epoch, "own last will with this session's epoch");
    }
}

static void leave_as_duplicate(struct daemon *daemon, uint64_t epoch)
{
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO alarm = reeve_value_map();
    reeve_log(REEVE_LOG_ERROR, "session", "duplicate=node/%s epoch=%llu other=%llu leaving", daemon->config.node.name,
              (unsigned long long)reeve_bus_epoch(daemon->bus), (unsigned long long)epoch);
    reeve_put_str(alarm, "subject", daemon->config.node.name);
    reeve_put_str(alarm, "message", "two daemons hold this node's name; the one with the lower epoch has left");
    reeve_put_int(alarm, "at", reeve_clock_wall_ms());
    (void)reeve_topic_make(topic, daemon->config.node.root, "alarm/duplicate/%s", daemon->config.node.name);
    (void)reeve_bus_publish_value(
        daemon->bus, &(struct reeve_bus_message){.topic = topic, .qos = 1, .retain = true, .class = REEVE_BUS_REPLY}, alarm,
        NULL); /* the log has it */
    daemon->exit_code = EXIT_DUPLICATE;
    daemon->no_goodbye = true; // the name is the other's now
    daemon_leave(daemon, true);
}

// A higher epoch under our name: from before our time (kept by the broker), or another daemon that lives [session-7].
static void on_own_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct daemon *daemon = arg;
    uint64_t epoch = delivery->payload_len > 0 ? epoch_of(delivery) : 0;
    if (daemon->leaving || epoch <= reeve_bus_epoch(bus)) {
        return;
    }
    if (delivery->retained) {
        renew_above(daemon, epoch, "a higher epoch was kept by the broker");
    } else {
        leave_as_duplicate(daemon, epoch);
    }
}

// Learned, not declared: a program that publishes a status speaks Reeve.
static void on_worker_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct daemon *daemon = arg;
    struct reeve_topic topic = reeve_topic_parse(daemon->config.node.root, delivery->topic);
    struct worker *worker = topic.kind == REEVE_TOPIC_WORKER ? daemon_worker(daemon, topic.worker) : NULL;
    if (worker != NULL && delivery->payload_len > 0 && !worker->speaks) {
        worker->speaks = true;
        publish_mark(worker);
    }
}

// What the broker kept of a worker that this node does not know (any more) is cleared: no ghosts.
static void on_worker_process(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct daemon *daemon = arg;
    struct reeve_topic topic = reeve_topic_parse(daemon->config.node.root, delivery->topic);
    if (delivery->retained && delivery->payload_len > 0 && topic.kind == REEVE_TOPIC_WORKER &&
        daemon_worker(daemon, topic.worker) == NULL) {
        publish_worker_removed(daemon, topic.worker);
    }
}

static enum reeve_err subscribe_all(struct daemon *daemon, struct reeve_why *why)
{
    const struct {
        const char *form;
        unsigned flags;
        reeve_bus_handler *handler;
    } rows[] = {
        {"node/%s/cmd/+", REEVE_BUS_NO_RETAINED, on_command},
        {"worker/%s/+/cmd/+", REEVE_BUS_NO_RETAINED, on_command},
        {"node/%s/lwt", 0, on_own_lwt},
        {"node/%s/status", 0, on_own_status},
        {"worker/%s/+/status", 0, on_worker_status},
        {"worker/%s/+/process", 0, on_worker_process},
    };
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(rows); i++) {
        char below[REEVE_TOPIC_SIZE];
        char filter[REEVE_TOPIC_SIZE * 2];
        const char *mark = strstr(rows[i].form, "%s");
        (void)snprintf(below, sizeof below, "%.*s%s%s", (int)(mark - rows[i].form), rows[i].form, daemon->config.node.name,
                       mark + 2);
        (void)snprintf(filter, sizeof filter, "%s/%s", daemon->config.node.root, below);
        err = reeve_bus_subscribe(daemon->bus, filter, 1, rows[i].flags, rows[i].handler, daemon, why);
    }
    return err;
}

static enum reeve_err open_bus(struct daemon *daemon, struct reeve_why *why)
{
    char will_topic[REEVE_TOPIC_SIZE];
    (void)reeve_topic_make(will_topic, daemon->config.node.root, "node/%s/lwt", daemon->config.node.name);
    const struct reeve_bus_options options = {
        .loop = daemon->loop,
        .broker = &daemon->config.broker,
        .root = daemon->config.node.root,
        .client = daemon->config.node.name,
        .next_epoch = next_epoch,
        .will_topic = will_topic,
        .on_session = on_session,
        .on_ready = on_ready,
        .on_lost = on_lost,
        .arg = daemon,
    };
    enum reeve_err err = reeve_bus_new(&options, &daemon->bus, why);
    return err == REEVE_OK ? subscribe_all(daemon, why) : err;
}

// ---- timers -------------------------------------------------------------------------------------------------------------

static void heartbeat(struct reeve_timer *timer, void *arg)
{
    struct daemon *daemon = arg;
    uint32_t random;
    reeve_random_bytes(&random, sizeof random);
    if (reeve_bus_state(daemon->bus) == REEVE_BUS_READY && (int64_t)reeve_bus_epoch(daemon->bus) < daemon->epoch_floor) {
        renew_above(daemon, (uint64_t)daemon->epoch_floor - 1, "a higher epoch was seen");
    }
    publish_node(daemon, false);
    // +-10 %, so that many nodes do not speak at once; never later than a lease needs it
    int64_t base = daemon->config.node.heartbeat_ms;
    int64_t latest = lease_heartbeat_ms(daemon);
    int64_t spread = latest < base ? latest / 10 : base / 5;
    base = latest < base ? latest : base;
    reeve_timer_start(timer, base - base / 10 + (int64_t)(random % (uint32_t)(spread + 1)), 0);
}

static void metrics(struct reeve_timer *timer, void *arg)
{
    struct daemon *daemon = arg;
    if (daemon->config.node.metrics_ms > 0) {
        publish_metrics(daemon);
        reeve_timer_start(timer, daemon->config.node.metrics_ms, 0);
    } else {
        reeve_timer_start(timer, HOUSEKEEPING_MS, 0); // a reload may switch it on
    }
}

static void housekeeping(struct reeve_timer *timer, void *arg)
{
    struct daemon *daemon = arg;
    int64_t now = reeve_clock_mono_ms();
    (void)store_journal_age(daemon->store, now - daemon->housekept_mono, NULL); /* the commit of the turn reports it */
    daemon->housekept_mono = now;
    // A disk that was full is tried more often: desired state in memory and on disk differ until then.
    reeve_timer_start(timer, daemon->store_failing ? STORE_RETRY_MS : HOUSEKEEPING_MS, 0);
}

static void on_signal(int signal, void *arg)
{
    struct daemon *daemon = arg;
    if (signal == SIGHUP) {
        static const struct reeve_delivery none = {.payload = "", .payload_len = 0};
        char topic[REEVE_TOPIC_SIZE];
        struct reeve_delivery delivery = none;
        delivery.topic = reeve_topic_make(topic, daemon->config.node.root, "node/%s/cmd/reload", daemon->config.node.name);
        command_take(daemon, &delivery);
        return;
    }
    reeve_log(REEVE_LOG_INFO, "daemon", "signal=%d leaving", signal);
    int64_t now_mono = reeve_clock_mono_ms();
    bool echo = daemon->told_mono != 0 && now_mono - daemon->told_mono < ECHO_MS;
    daemon->told_mono = daemon->told_mono != 0 ? daemon->told_mono : now_mono;
    if (echo) {
        return;
    }
    if (daemon->leaving) { // the second one hastens
        daemon->leave_keep = true;
        daemon_worker_gone(daemon);
        return;
    }
    daemon_leave(daemon, daemon->config.node.on_exit == NODE_EXIT_KEEP);
}

// ---- start ----------------------------------------------------------------------------------------------------------------

struct loading {
    struct daemon *daemon;
    bool incomplete; // a row is there but could not be used
};

static void load_one(const struct store_worker *stored, void *arg)
{
    struct loading *loading = arg;
    struct daemon *daemon = loading->daemon;
    struct worker *worker = NULL;
    struct reeve_why why = {0};
    struct reeve_spec spec;
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        loading->incomplete = true;
        return;
    }
    reeve_errors_init(errors, stored->name);
    enum reeve_err err = reeve_spec_decode(stored->spec, "", &spec, errors);
    if (err != REEVE_OK) {
        (void)reeve_errors_result(errors, &why); /* the class stays that of the decoding */
    } else {
        err = worker_new(daemon, stored->name, &worker, &why);
        if (err == REEVE_OK) {
            worker_set_spec(worker, &spec);
        }
        reeve_spec_done(&spec);
    }
    free(errors);
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "daemon", "worker=%s stored_spec=\"%s\"", stored->name, why.text);
        loading->incomplete = true;
        return;
    }
    worker->held = config_will_change(daemon, &worker->spec, stored->origin);
    worker_adopt(worker, stored);
    worker->held = false;
}

// The store is lost, the processes are not: workers of the configuration are looked for among what runs.
static void adopt_from_config(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->config.specs.len; i++) {
        const struct reeve_spec *spec = &daemon->config.specs.items[i];
        struct worker *worker = NULL;
        struct reeve_spec copy;
        struct reeve_why why = {0};
        enum reeve_err err = reeve_spec_copy(spec, &copy);
        if (err == REEVE_OK) {
            config_preset_spec(&daemon->config, &copy);
            err = worker_new(daemon, spec->name, &worker, &why);
            if (err == REEVE_OK) {
                worker_set_spec(worker, &copy);
            }
            reeve_spec_done(&copy);
        }
        if (err != REEVE_OK) {
            reeve_log(REEVE_LOG_ERROR, "daemon", "worker=%s adopt=\"%s\"", spec->name, why.text);
            continue;
        }
        bool wanted = spec->desired == REEVE_DESIRED_RUNNING;
        static char origin[] = "file";
        const struct store_worker lost = {.name = spec->name,
                                          .version = worker->spec_version,
                                          .origin = origin,
                                          .wanted = wanted,
                                          .created_at = worker->created_at};
        worker_adopt(worker, &lost);
        (void)worker_store(worker, wanted, NULL); /* the commit of the turn reports it */
    }
}

// A worker whose removal was on disk when the daemon died: its process may still be there.
static void remove_orphan(struct daemon *daemon, const char *name)
{
    struct worker *worker = NULL;
    struct reeve_why why;
    if (worker_new(daemon, name, &worker, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_ERROR, "daemon", "orphan=%s error=\"%s\"", name, why.text);
        return;
    }
    reeve_log(REEVE_LOG_INFO, "daemon", "orphan=%s removing", name);
    const struct store_worker none = {.name = (char *)(uintptr_t)name, .wanted = false};
    worker->spec.name = strdup(name);
    worker_adopt(worker, &none);
    worker_remove(worker);
}

static void find_orphans(struct daemon *daemon)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/runs", daemon->config.node.state_dir);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (reeve_name_check(entry->d_name, NULL) == REEVE_OK && daemon_worker(daemon, entry->d_name) == NULL) {
            remove_orphan(daemon, entry->d_name);
        }
    }
    closedir(dir);
}

static enum reeve_err find_shim(struct daemon *daemon, struct reeve_why *why)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    (void)snprintf(daemon->shim_path, sizeof daemon->shim_path, "%.4000s/reeve-shim", self);
    if (access(daemon->shim_path, X_OK) != 0) {
        return reeve_fail_errno(why, "reeve-shim is not beside reeved: %s", daemon->shim_path);
    }
    daemon->runs = (struct run_host){.loop = daemon->loop,
                                     .state_dir = daemon->config.node.state_dir,
                                     .shim_path = daemon->shim_path,
                                     .handlers = &worker_run_handlers};
    return REEVE_OK;
}

static enum reeve_err open_parts(struct daemon *daemon, bool *ret_damaged, struct reeve_why *why)
{
    const struct node_config *config = &daemon->config;
    daemon->workers = reeve_map_new(0);
    daemon->commands = reeve_map_new(0);
    if (daemon->workers == NULL || daemon->commands == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = store_open(config->node.state_dir, &daemon->store, ret_damaged, why);
    if (err == REEVE_OK) {
        err = find_shim(daemon, why);
    }
    if (err == REEVE_OK) {
        err = cgroup_host_new(config->node.name, config->node.state_dir, &daemon->cgroups, why);
    }
    if (err == REEVE_OK) {
        err = open_bus(daemon, why);
    }
    if (err == REEVE_OK) {
        err = reeve_signals_new(daemon->loop, on_signal, daemon, &daemon->signals, why);
    }
    return err;
}

static void start_timers(struct daemon *daemon)
{
    daemon->housekept_mono = reeve_clock_mono_ms();
    reeve_timer_start(&daemon->heartbeat, daemon->config.node.heartbeat_ms, 0);
    reeve_timer_start(&daemon->metrics, daemon->config.node.metrics_ms, 0);
    reeve_timer_start(&daemon->housekeeping, HOUSEKEEPING_MS, 0);
}

static void leave_late(struct reeve_timer *timer, void *arg);

enum reeve_err daemon_start(struct daemon *daemon, uv_loop_t *loop, struct node_config *config, struct reeve_why *why)
{
    bool damaged = false;
    *daemon = (struct daemon){.loop = loop, .config = *config, .started_at = reeve_clock_wall_ms()};
    *config = (struct node_config){0};
    uv_prepare_init(loop, &daemon->turn_end);
    daemon->turn_end.data = daemon;
    reeve_timer_init(loop, &daemon->heartbeat, heartbeat, daemon);
    reeve_timer_init(loop, &daemon->metrics, metrics, daemon);
    reeve_timer_init(loop, &daemon->housekeeping, housekeeping, daemon);
    reeve_timer_init(loop, &daemon->leave_deadline, leave_late, daemon);
    enum reeve_err err = open_parts(daemon, &damaged, why);
    if (err != REEVE_OK) {
        return err;
    }
    uv_prepare_start(&daemon->turn_end, turn_end);
    if (damaged) {
        reeve_log(REEVE_LOG_ERROR, "store", "damaged=true set_aside=reeved.db.damaged-* going on from the configuration");
        publish_event(daemon, "store_damaged", NULL);
    }
    daemon->draining = store_number(daemon->store, "draining", 0) != 0;
    struct loading loading = {.daemon = daemon};
    err = store_workers(daemon->store, load_one, &loading, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (damaged) { // without a store every run would look like an orphan
        adopt_from_config(daemon);
    } else if (!loading.incomplete) {
        find_orphans(daemon);
    }
    reeve_value_free(apply_config_specs(daemon, &daemon->config, false));
    command_resume(daemon);
    start_timers(daemon);
    endpoints_start(daemon);
    reeve_bus_start(daemon->bus);
    reeve_log(REEVE_LOG_INFO, "daemon", "node=%s version=%s workers=%zu limits=\"%s\" state_dir=%s", daemon->config.node.name,
              REEVE_VERSION, reeve_map_len(daemon->workers), cgroup_host_text(daemon->cgroups), daemon->config.node.state_dir);
    return REEVE_OK;
}

// ---- the way out --------------------------------------------------------------------------------------------------------
// workers -> the manager, which sees them go -> goodbye and DISCONNECT -> the broker -> handles

enum leave_step { LEAVE_NOT, LEAVE_WORKERS, LEAVE_MANAGER, LEAVE_BUS, LEAVE_BROKER, LEAVE_LAST };

bool worker_is_sites(const struct worker *worker)
{
    const struct node_section *node = &worker->daemon->config.node;
    return reeve_str_eq(worker->name, node->broker_worker) || reeve_str_eq(worker->name, node->manager_worker);
}

// In which step it is stopped.
static enum leave_step step_of(const struct worker *worker)
{
    const struct node_section *node = &worker->daemon->config.node;
    return reeve_str_eq(worker->name, node->broker_worker)    ? LEAVE_BROKER
           : reeve_str_eq(worker->name, node->manager_worker) ? LEAVE_MANAGER
                                                              : LEAVE_WORKERS;
}

static size_t count_processes(const struct daemon *daemon, enum leave_step step)
{
    size_t count = 0;
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        const struct worker *worker = it.value;
        count += worker->run != NULL && step_of(worker) == step;
    }
    return count;
}

// The way out does not change what is desired: the next daemon starts them again. Nothing of it is stored.
static void end_processes(struct daemon *daemon, enum leave_step step)
{
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        struct worker *worker = it.value;
        const enum reeve_state state = worker->machine.state;
        bool goes_on = reeve_state_has_process(state) || state == REEVE_STATE_RESTARTING;
        if (goes_on && step_of(worker) == step) {
            bool wanted = worker->machine.wanted;
            struct reeve_why why;
            (void)worker_step(worker, REEVE_EVENT_STOP, "daemon leaves", &why); /* never refused in these states */
            worker->machine.wanted = wanted;
        }
    }
}

static void close_last(struct daemon *daemon)
{
    daemon->leave_step = LEAVE_LAST;
    reeve_signals_free(daemon->signals);
    daemon->signals = NULL;
    uv_stop(daemon->loop);
}

static void bus_stopped(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    struct daemon *daemon = arg;
    daemon->leave_step = LEAVE_BROKER;
    if (!daemon->leave_keep) {
        end_processes(daemon, LEAVE_BROKER);
    }
    daemon_worker_gone(daemon);
}

static void leave_bus(struct daemon *daemon)
{
    daemon->leave_step = LEAVE_BUS;
    reeve_timer_stop(&daemon->heartbeat);
    if (daemon->any_dirty) {
        publish_dirty(daemon);
    }
    if (!daemon->no_goodbye) {
        publish_node(daemon, true);
    }
    reeve_bus_stop(daemon->bus, FLUSH_MS, bus_stopped, daemon);
}

static bool step_is_over(const struct daemon *daemon, enum leave_step step)
{
    return daemon->leave_step == (int)step && (daemon->leave_keep || count_processes(daemon, step) == 0);
}

void daemon_worker_gone(struct daemon *daemon)
{
    if (step_is_over(daemon, LEAVE_WORKERS)) {
        daemon->leave_step = LEAVE_MANAGER;
        if (!daemon->leave_keep) {
            end_processes(daemon, LEAVE_MANAGER);
        }
    }
    if (step_is_over(daemon, LEAVE_MANAGER)) {
        leave_bus(daemon);
    } else if (step_is_over(daemon, LEAVE_BROKER)) {
        close_last(daemon);
    }
}

static int64_t longest_grace(const struct daemon *daemon)
{
    int64_t longest = 0;
    struct reeve_map_iter it = {0};
    while (reeve_map_next(daemon->workers, &it)) {
        const struct worker *worker = it.value;
        longest = worker->run != NULL && worker->spec.stop.grace_ms > longest ? worker->spec.stop.grace_ms : longest;
    }
    return longest;
}

static void leave_late(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct daemon *daemon = arg;
    reeve_log(REEVE_LOG_ERROR, "daemon", "leaving=late processes=%zu keeping", count_processes(daemon, LEAVE_WORKERS) + count_processes(daemon, LEAVE_MANAGER));
    daemon->leave_keep = true;
    daemon_worker_gone(daemon);
}

static void stop_asking(struct daemon *daemon)
{
    struct reeve_map_iter it = {0};
    endpoints_stop(daemon);
    while (reeve_map_next(daemon->workers, &it)) {
        probes_stop(it.value);
    }
}

void daemon_leave(struct daemon *daemon, bool keep_workers)
{
    if (daemon->leaving) {
        return;
    }
    daemon->leaving = true;
    daemon->leave_keep = keep_workers;
    daemon->leave_step = LEAVE_WORKERS;
    reeve_timer_stop(&daemon->metrics);
    stop_asking(daemon);
    if (!keep_workers) {
        end_processes(daemon, LEAVE_WORKERS);
    }
    // The shims kill after their grace time; later than that means that a shim is gone or a process can't be killed.
    reeve_timer_start(&daemon->leave_deadline, longest_grace(daemon) + 10000, 0);
    daemon_worker_gone(daemon);
}

static void free_commands(struct daemon *daemon)
{
    struct reeve_map_iter it = {0};
    while (daemon->commands != NULL && reeve_map_next(daemon->commands, &it)) {
        pending_free(it.value);
    }
    reeve_map_free(daemon->commands, NULL);
}

void daemon_done(struct daemon *daemon)
{
    while (daemon->store != NULL && (daemon->after_len > 0 || store_dirty(daemon->store))) {
        daemon_commit(daemon);
    }
    uv_close((uv_handle_t *)&daemon->turn_end, NULL);
    reeve_timer_close(&daemon->heartbeat, NULL);
    reeve_timer_close(&daemon->metrics, NULL);
    reeve_timer_close(&daemon->housekeeping, NULL);
    reeve_timer_close(&daemon->leave_deadline, NULL);
    if (daemon->signals != NULL) {
        reeve_signals_free(daemon->signals);
    }
    free_commands(daemon);
    endpoints_stop(daemon);
    struct reeve_map_iter it = {0};
    while (daemon->workers != NULL && reeve_map_next(daemon->workers, &it)) {
        worker_free(it.value);
    }
    uv_run(daemon->loop, UV_RUN_NOWAIT); // closed callbacks of the timers free the workers
    reeve_map_free(daemon->workers, NULL);
    reeve_bus_free(daemon->bus);
    cgroup_host_free(daemon->cgroups);
    store_close(daemon->store);
    free(daemon->after);
    config_done(&daemon->config);
}
