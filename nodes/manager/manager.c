// Start, the session with the broker, the timers, and the way out.
// Must not: know what a command, a worker or a pool is beyond calling the rooms that do.
#include "manager.h"

#include "account_room.h"
#include "health.h"
#include "hold.h"
#include "pool.h"
#include "queue.h"
#include "turn.h"

#include <malloc.h>
#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUSEKEEPING_MS 60000
#define STORE_RETRY_MS  5000
#define TICK_MS         1000
#define HEAP_FREE_STEP  (1U << 20)
#define SOON_MS         5  // so that a burst of changes is one tick
#define SOON_SHARE      10 // and a tick that takes long is not asked for again at once: a tenth of the time at most
#define FLUSH_MS        3000
#define EXIT_DUPLICATE  125 // do not restart [session-7]

// ---- the manager's own record -----------------------------------------------------------------------------------

static bool count_node(const struct fleet_node *node, void *arg)
{
    (void)node;
    (*(int64_t *)arg)++;
    return true;
}

static const char *host_name(char buf[256])
{
    memset(buf, 0, 256); // a longer name is cut, not ended
    return gethostname(buf, 255) == 0 ? buf : "unknown";
}

static void publish_status(struct manager *manager, bool goodbye)
{
    int64_t nodes = 0;
    char topic[REEVE_TOPIC_SIZE];
    char host[256];
    struct reeve_value *status = reeve_value_map();
    reeve_put_int(status, "epoch", (int64_t)reeve_bus_epoch(manager->bus));
    reeve_put_str(status, "state", goodbye ? "offline" : "online");
    reeve_put_str(status, "version", REEVE_VERSION);
    reeve_put_str(status, "host", host_name(host));
    reeve_put_int(status, "pid", getpid());
    reeve_put_int(status, "started_at", manager->started_at);
    reeve_put_int(status, "at", reeve_clock_wall_ms());
    reeve_put_int(status, "heartbeat_ms", manager->config.manager.heartbeat_ms);
    reeve_put_int(status, "ttl_ms", 3 * manager->config.manager.heartbeat_ms);
    reeve_put_int(status, "workers", (int64_t)fleet_workers_len(manager->fleet));
    fleet_each_node(manager->fleet, count_node, &nodes);
    reeve_put_int(status, "nodes", nodes);
    reeve_put_int(status, "pools", (int64_t)pools_len(manager->pools));
    reeve_put_int(status, "accounts", (int64_t)accounts_len(manager->accounts));
    reeve_put_int(status, "queues", (int64_t)queues_len(manager->queues));
    reeve_put_bool(status, "known", fleet_known(manager->fleet));
    reeve_put_bool(status, "fleet_stopped", hold_fleet_stopped(manager->holds));
    reeve_put_bool(status, "global_offline", hold_fleet_offline(manager->holds));
    (void)snprintf(topic, sizeof topic, "manager/%s/status", manager->config.manager.name); /* a name */
    // A goodbye stays: it has no successor that would renew it.
    manager_publish(manager, LEAVING_STATUS, topic, status, goodbye ? 0 : 3 * manager->config.manager.heartbeat_ms);
}

// ---- the session ------------------------------------------------------------------------------------------------

static uint64_t next_epoch(struct reeve_buf *will_payload, void *arg)
{
    struct manager *manager = arg;
    int64_t floor = manager->epoch_floor;
    int64_t wall = reeve_clock_wall_ms();
    uint64_t epoch = store_epoch_next(manager->store, wall > floor ? wall : floor);
    (void)reeve_lwt_encode(epoch, will_payload); /* a few bytes into a fresh buffer */
    return epoch;
}

static void on_session(struct reeve_bus *bus, uint64_t epoch, void *arg)
{
    (void)bus;
    struct manager *manager = arg;
    reeve_log(REEVE_LOG_INFO, "session", "epoch=%llu", (unsigned long long)epoch);
    publish_status(manager, false);
    fleet_session(manager->fleet);
    alarms_publish(manager->alarms);
    health_session(manager->health);
    pools_publish(manager->pools);
    accounts_publish(manager->accounts);
    queues_publish(manager->queues);
}

static void on_ready(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    struct manager *manager = arg;
    manager->ready = true;
    fleet_ready(manager->fleet);
    queues_ready(manager->queues);
    if (!manager->resumed) {
        manager->resumed = true;
        commands_resume(manager);
    }
    publish_status(manager, false);
    reeve_log(REEVE_LOG_INFO, "session", "ready=true manager=%s workers=%zu after_ms=%lld", manager->config.manager.name,
              fleet_workers_len(manager->fleet), (long long)(reeve_clock_wall_ms() - manager->started_at));
    manager_tick_soon(manager);
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    (void)bus;
    struct manager *manager = arg;
    char text[640];
    manager->ready = false;
    fleet_lost(manager->fleet); // also of a session that never was ready: what it had read may be outdated by the next
    turn_forget_records(manager->turn);
    queues_lost(manager->queues);
    reeve_log(REEVE_LOG_WARNING, "session", "lost=\"%s\" retry_ms=%lld retrying",
              reeve_why_format(why, text, sizeof text), (long long)retry_ms);
}

static void on_room(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    struct manager *manager = arg;
    queues_room(manager->queues);
    turn_room(manager->turn);
}

// ---- other holders of the name, other managers [session-3] [session-7] --------------------------------------------

static void renew_above(struct manager *manager, uint64_t epoch, const char *cause)
{
    int64_t now = reeve_clock_mono_ms();
    if (epoch < REEVE_EPOCH_MAX && (int64_t)epoch >= manager->epoch_floor) {
        manager->epoch_floor = (int64_t)epoch + 1;
    }
    if (now - manager->renewed_mono < 1000) { // at most once a second; the heartbeat looks again
        return;
    }
    manager->renewed_mono = now;
    reeve_bus_renew(manager->bus, cause);
}

static void leave_to_another(struct manager *manager, const char *other)
{
    const char *name = manager->config.manager.name;
    reeve_log(REEVE_LOG_ERROR, "session", "another manager=%s runs this fleet, leaving", other);
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "other", other);
    alarm_open(manager, "duplicate", name, ALARM_ERROR, detail, "manager %s left: manager %s runs this fleet", name, other);
    manager->exit_code = EXIT_DUPLICATE;
    manager->no_goodbye = strcmp(other, name) == 0; // then the name is the other's now
    manager_leave(manager);
}

static bool began_later(const struct manager *manager, const char *other, int64_t other_started_at)
{
    if (manager->started_at != other_started_at) {
        return manager->started_at > other_started_at;
    }
    return strcmp(manager->config.manager.name, other) > 0;
}

// Epochs are milliseconds: two that start together may have the same. Then one of them leaves, and both see that it is the
// same one. The own status comes back as well: that is nobody.
static bool leaves_to_twin(const struct manager *manager, const struct reeve_value *status)
{
    char host[256];
    const char *other_host = reeve_get_str(status, "host");
    int64_t started_at = reeve_get_int(status, "started_at", manager->started_at);
    int64_t pid = reeve_get_int(status, "pid", getpid());
    if (started_at != manager->started_at) {
        return started_at > manager->started_at;
    }
    return pid != getpid() ? pid > getpid() : other_host != NULL && strcmp(other_host, host_name(host)) > 0;
}

// Two managers would each keep pools at their size: of two that live the later one leaves.
static void take_status(struct manager *manager, const char *name, const struct reeve_value *status, bool retained)
{
    uint64_t epoch = (uint64_t)reeve_get_int(status, "epoch", 0);
    bool online = reeve_str_eq(reeve_get_str(status, "state"), "online");
    if (strcmp(name, manager->config.manager.name) != 0) {
        if (online && !retained && began_later(manager, name, reeve_get_int(status, "started_at", 0))) {
            leave_to_another(manager, name);
        }
    } else if (epoch == reeve_bus_epoch(manager->bus)) {
        if (online && leaves_to_twin(manager, status)) {
            leave_to_another(manager, name);
        }
    } else if (epoch > reeve_bus_epoch(manager->bus) && epoch <= REEVE_EPOCH_MAX) {
        if (retained) {
            renew_above(manager, epoch, "a higher epoch was kept by the broker");
        } else if (online) {
            leave_to_another(manager, name);
        }
    }
}

static void on_manager_record(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct manager *manager = arg;
    struct reeve_topic topic = reeve_topic_parse(manager->config.manager.root, delivery->topic);
    REEVE_VALUE_AUTO record = NULL;
    if (manager->leaving || topic.kind != REEVE_TOPIC_MANAGER || delivery->payload_len == 0 ||
        reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &record, NULL) !=
            REEVE_OK) {
        return;
    }
    if (strcmp(topic.leaf, "status") == 0) {
        take_status(manager, topic.client, record, delivery->retained);
        return;
    }
    uint64_t epoch = (uint64_t)reeve_get_int(record, "epoch", 0);
    if (strcmp(topic.client, manager->config.manager.name) == 0 && epoch >= reeve_bus_epoch(bus) &&
        epoch <= REEVE_EPOCH_MAX) {
        renew_above(manager, epoch, "own last will with this session's epoch");
    }
}

enum reeve_err manager_subscribe(struct manager *manager, const char *filter_below_root, unsigned flags,
                                 reeve_bus_handler *handler, void *arg, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    return reeve_bus_subscribe(manager->bus,
                               reeve_topic_make(filter, manager->config.manager.root, "%s", filter_below_root), 1, flags,
                               handler, arg, why);
}

void manager_unsubscribe(struct manager *manager, const char *filter_below_root)
{
    char filter[REEVE_TOPIC_SIZE];
    (void)reeve_bus_unsubscribe(manager->bus, reeve_topic_make(filter, manager->config.manager.root, "%s", filter_below_root)); /* not there = done */
}

// A client names itself by its username in reply/<client>/ : that is what the broker's rights are made for.
static const char *client_name(const struct manager *manager)
{
    const char *username = manager->config.broker.username;
    return username != NULL && reeve_name_check(username, NULL) == REEVE_OK ? username : manager->config.manager.name;
}

static enum reeve_err open_bus(struct manager *manager, struct reeve_why *why)
{
    char will_topic[REEVE_TOPIC_SIZE];
    const struct manager_section *section = &manager->config.manager;
    const struct reeve_bus_options options = {
        .loop = manager->loop,
        .broker = &manager->config.broker,
        .root = section->root,
        .client = client_name(manager),
        .next_epoch = next_epoch,
        .will_topic = reeve_topic_make(will_topic, section->root, "manager/%s/lwt", section->name),
        .on_session = on_session,
        .on_ready = on_ready,
        .on_lost = on_lost,
        .on_room = on_room,
        .arg = manager,
    };
    enum reeve_err err = reeve_bus_new(&options, &manager->bus, why);
    if (err == REEVE_OK) {
        err = manager_subscribe(manager, "manager/+/status", 0, on_manager_record, manager, why);
    }
    return err == REEVE_OK ? manager_subscribe(manager, "manager/+/lwt", 0, on_manager_record, manager, why) : err;
}

// ---- timers -----------------------------------------------------------------------------------------------------

// What only goes by level may wait while the disk refuses: it would be undone.
static void tick_rooms(struct manager *manager)
{
    if (manager->leaving || !manager->ready || turn_store_failing(manager->turn)) {
        return;
    }
    int64_t began_ns = reeve_clock_mono_ns();
    commands_tick(manager);
    alarms_tick(manager->alarms);
    health_tick(manager->health);
    holds_tick(manager->holds);
    pools_tick(manager->pools);
    accounts_tick(manager->accounts);
    queues_tick(manager->queues);
    manager->tick_ms = (reeve_clock_mono_ns() - began_ns) / 1000000;
}

// What a burst took (an emergency stop of everybody, a new session) goes back to the system; glibc keeps it otherwise. Free
// bytes stay counted when their pages are gone, so only more than last time is worth the walk.
static void give_back_memory(struct manager *manager)
{
    size_t free_bytes = mallinfo2().fordblks;
    if (free_bytes > manager->heap_free_bytes + HEAP_FREE_STEP) {
        (void)malloc_trim(0); /* whether there was anything */
        manager->heap_free_bytes = mallinfo2().fordblks;
    } else if (free_bytes < manager->heap_free_bytes) {
        manager->heap_free_bytes = free_bytes;
    }
}

static void tick(struct reeve_timer *timer, void *arg)
{
    tick_rooms(arg);
    give_back_memory(arg);
    reeve_timer_start(timer, TICK_MS, 0);
}

static void soon(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    tick_rooms(arg);
}

void manager_tick_soon(struct manager *manager)
{
    if (!manager->leaving && !reeve_timer_armed(&manager->soon)) {
        int64_t share = manager->tick_ms * SOON_SHARE;
        reeve_timer_start(&manager->soon, share > SOON_MS ? share : SOON_MS, 0);
    }
}

static void heartbeat(struct reeve_timer *timer, void *arg)
{
    struct manager *manager = arg;
    uint32_t dice;
    int64_t base = manager->config.manager.heartbeat_ms;
    reeve_random_bytes(&dice, sizeof dice);
    if (manager->ready && (int64_t)reeve_bus_epoch(manager->bus) < manager->epoch_floor) {
        renew_above(manager, (uint64_t)manager->epoch_floor - 1, "a higher epoch was seen");
    }
    if (manager->ready) {
        publish_status(manager, false);
    }
    reeve_timer_start(timer, base - base / 10 + (int64_t)(dice % (uint32_t)(base / 5 + 1)), 0);
}

static void housekeeping(struct reeve_timer *timer, void *arg)
{
    struct manager *manager = arg;
    int64_t now = reeve_clock_mono_ms();
    (void)store_journal_age(manager->store, now - manager->housekept_mono, NULL); /* the commit of the turn reports it */
    manager->housekept_mono = now;
    // A disk that was full is tried more often.
    reeve_timer_start(timer, turn_store_failing(manager->turn) ? STORE_RETRY_MS : HOUSEKEEPING_MS, 0);
}

static void on_signal(int signal, void *arg)
{
    struct manager *manager = arg;
    if (signal == SIGHUP) {
        accounts_look(manager->accounts); // nothing else is read again
        return;
    }
    reeve_log(REEVE_LOG_INFO, "manager", "signal=%d leaving", signal);
    manager_leave(manager);
}

// ---- start ------------------------------------------------------------------------------------------------------

static enum reeve_err open_rooms(struct manager *manager, struct reeve_why *why)
{
    enum reeve_err err = orders_new(manager, &manager->orders, why);
    err = err == REEVE_OK ? fleet_new(manager, &manager->fleet, why) : err;
    err = err == REEVE_OK ? alarms_new(manager, &manager->alarms, why) : err;
    err = err == REEVE_OK ? holds_new(manager, &manager->holds, why) : err;
    err = err == REEVE_OK ? health_new(manager, &manager->health, why) : err;
    err = err == REEVE_OK ? pools_new(manager, &manager->pools, why) : err;
    err = err == REEVE_OK ? accounts_new(manager, &manager->accounts, why) : err;
    return err == REEVE_OK ? queues_new(manager, &manager->queues, why) : err;
}

static enum reeve_err load_rooms(struct manager *manager, struct reeve_why *why)
{
    enum reeve_err err = alarms_load(manager->alarms, why);
    err = err == REEVE_OK ? holds_load(manager->holds, why) : err;
    err = err == REEVE_OK ? pools_load(manager->pools, why) : err;
    err = err == REEVE_OK ? accounts_load(manager->accounts, why) : err;
    return err == REEVE_OK ? queues_load(manager->queues, why) : err;
}

static enum reeve_err open_parts(struct manager *manager, struct reeve_why *why)
{
    manager->calls = reeve_map_new(0);
    if (manager->calls == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = turn_new(manager, &manager->turn, why);
    err = err == REEVE_OK ? store_open(manager->config.manager.state_dir, &manager->store, why) : err;
    err = err == REEVE_OK ? open_bus(manager, why) : err;
    err = err == REEVE_OK ? open_rooms(manager, why) : err;
    err = err == REEVE_OK ? load_rooms(manager, why) : err;
    err = err == REEVE_OK ? commands_start(manager, why) : err;
    return err == REEVE_OK ? reeve_signals_new(manager->loop, on_signal, manager, &manager->signals, why) : err;
}

enum reeve_err manager_start(struct manager *manager, uv_loop_t *loop, struct manager_config *config,
                             struct reeve_why *why)
{
    *manager = (struct manager){.loop = loop, .config = *config, .started_at = reeve_clock_wall_ms()};
    *config = (struct manager_config){0};
    reeve_timer_init(loop, &manager->tick, tick, manager);
    reeve_timer_init(loop, &manager->soon, soon, manager);
    reeve_timer_init(loop, &manager->heartbeat, heartbeat, manager);
    reeve_timer_init(loop, &manager->housekeeping, housekeeping, manager);
    enum reeve_err err = open_parts(manager, why);
    if (err != REEVE_OK) {
        return err;
    }
    turn_start(manager->turn);
    manager->housekept_mono = reeve_clock_mono_ms();
    reeve_timer_start(&manager->tick, TICK_MS, 0);
    reeve_timer_start(&manager->heartbeat, manager->config.manager.heartbeat_ms, 0);
    reeve_timer_start(&manager->housekeeping, HOUSEKEEPING_MS, 0);
    reeve_bus_start(manager->bus);
    reeve_log(REEVE_LOG_INFO, "manager", "name=%s version=%s state_dir=%s", manager->config.manager.name, REEVE_VERSION,
              manager->config.manager.state_dir);
    return REEVE_OK;
}

// ---- the way out --------------------------------------------------------------------------------------------------

static void bus_stopped(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    struct manager *manager = arg;
    reeve_signals_free(manager->signals);
    manager->signals = NULL;
    uv_stop(manager->loop);
}

static void said_goodbye(struct manager *manager, bool committed, void *arg)
{
    (void)committed;
    (void)arg;
    reeve_bus_stop(manager->bus, FLUSH_MS, bus_stopped, manager);
}

void manager_leave(struct manager *manager)
{
    if (manager->leaving) {
        return;
    }
    manager->leaving = true;
    reeve_timer_stop(&manager->tick);
    reeve_timer_stop(&manager->soon);
    reeve_timer_stop(&manager->heartbeat);
    reeve_timer_stop(&manager->housekeeping);
    if (!manager->no_goodbye) {
        publish_status(manager, true);
    }
    manager_after_commit(manager, said_goodbye, NULL);
}

void manager_done(struct manager *manager)
{
    if (manager->turn != NULL && manager->store != NULL && manager->queues != NULL) {
        turn_stop(manager->turn);
    }
    struct reeve_timer *timers[] = {&manager->tick, &manager->soon, &manager->heartbeat, &manager->housekeeping};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(timers); i++) {
        reeve_timer_close(timers[i], NULL);
    }
    if (manager->signals != NULL) {
        reeve_signals_free(manager->signals);
    }
    manager->leaving = true; // orders that end now tell nobody
    commands_done(manager);
    reeve_bus_free(manager->bus);
    uv_run(manager->loop, UV_RUN_NOWAIT); // requests end, timers close
    queues_free(manager->queues);
    accounts_free(manager->accounts);
    pools_free(manager->pools);
    health_free(manager->health);
    holds_free(manager->holds);
    alarms_free(manager->alarms);
    fleet_free(manager->fleet);
    orders_free(manager->orders);
    turn_free(manager->turn);
    uv_run(manager->loop, UV_RUN_NOWAIT);
    store_close(manager->store);
    manager_config_done(&manager->config);
}
