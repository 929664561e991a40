// The manager: its state and the rooms it consists of.
//
//   main.c      options, configuration, loop, exit           manager.c   start, stop, the turn of the loop, the session
//   config.c    the configuration file                       store.h     what must not be forgotten (store_sqlite.c)
//   turn.c      the end of a turn: commit, then what follows
//   command.c   commands in: checks, journal, dispatch       ops.c       the table of ops
//   fleet.h     nodes, workers, verdicts                     query.c     list show find stats health why
//   hold.h      offline, paused, shut down                   emergency.c stop and start of everything, with counts
//   health.h    checks and what follows                      alarm.h     what somebody should know until it is over
//   pool.h      pools and all about them                     account_room.h  accounts
//   queue.h     job queues (begin with queue_room.h)
//   orders.h    commands out, to nodes and workers           placement.h autoscale.h cron.h  pure decisions
//
// One thread, one loop. A turn: what arrived is applied in memory and written to the store's transaction; at the end of the turn
// it is committed, and only then leaves what follows from it: replies, orders, records, events. When the disk refuses, nothing
// of it leaves (the replies say so), and memory is loaded anew from the store: the same way as after a crash.
// So a room changes memory and store together, at once, and never undoes anything by hand.
#ifndef REEVE_MANAGER_H
#define REEVE_MANAGER_H

#include "alarm.h"
#include "config.h"
#include "fleet.h"
#include "orders.h"
#include "store.h"

#include <reeve/bus.h>
#include <reeve/loop.h>
#include <reeve/map.h>

struct accounts;
struct health;
struct holds;
struct pools;
struct queues;
struct turn;

struct manager_counters {
    uint64_t commands, refused, malformed, duplicates, expired, retained, store_failures, turns, events, reloads;
};

struct manager {
    uv_loop_t *loop;
    struct manager_config config;
    struct store *store;
    struct reeve_bus *bus;
    struct reeve_signals *signals;
    struct fleet *fleet;
    struct orders *orders;
    struct alarms *alarms;
    struct holds *holds;
    struct health *health;
    struct pools *pools;
    struct accounts *accounts;
    struct queues *queues;

    struct turn *turn;       // what leaves at its end
    struct reeve_timer tick, soon, heartbeat, housekeeping;
    struct reeve_map *calls; // id -> struct call: commands in hand
    size_t unrecorded;       // of them: ended, but not on disk
    size_t heap_free_bytes;  // when memory was last given back

    bool ready;      // the session is, and all that the broker keeps is in
    bool resumed;    // commands of a former manager were taken up
    bool leaving;    // on the way out
    bool no_goodbye;
    int64_t epoch_floor, renewed_mono;
    int64_t tick_ms; // what the last tick took
    int64_t started_at;
    int64_t housekept_mono, malformed_told_mono;
    uint64_t event_seq;
    int exit_code;
    struct manager_counters counters;
};

// ---- manager.c and turn.c ------------------------------------------------------------------------------------------------------
enum reeve_err manager_start(struct manager *manager, uv_loop_t *loop, struct manager_config *config, struct reeve_why *why);
void manager_leave(struct manager *manager); // begins the way out; the loop ends by itself
void manager_done(struct manager *manager);
// pools_tick() and its like run once a second; this asks for a tick as soon as the loop gets round to it.
void manager_tick_soon(struct manager *manager);

// What leaves after this turn's commit, in the order in which it was said. `topic` is below the root.
// Bounded: what finds no room is refused and counted.
enum leaving_kind { LEAVING_STATUS, LEAVING_RECORD, LEAVING_EVENT, LEAVING_BULK };
// A retained record (value NULL: the tombstone), an event (QoS 1), or QoS 0. `value` is taken. expiry_ms 0 = none.
// LEAVING_STATUS is the manager's own record: it does not wait for records that were said before.
void manager_publish(struct manager *manager, enum leaving_kind kind, const char *topic, struct reeve_value *value,
                     int64_t expiry_ms);
// {seq at epoch kind ...detail} on pool/<pool>/event and so on; `detail` is taken (MAP or NULL). Also one line of the log.
void manager_event(struct manager *manager, const char *topic, const char *kind, struct reeve_value *detail);
// Call `fn` after the commit (committed), or when it failed (memory is loaded anew before). For orders.c and command.c.
void manager_after_commit(struct manager *manager, void (*fn)(struct manager *manager, bool committed, void *arg), void *arg);
enum reeve_err manager_subscribe(struct manager *manager, const char *filter_below_root, unsigned flags,
                                 reeve_bus_handler *handler, void *arg, struct reeve_why *why);
void manager_unsubscribe(struct manager *manager, const char *filter_below_root);

// ---- command.c: commands in -----------------------------------------------------------------------------------------

enum op_level { OP_OF_MANAGER = 1, OP_OF_POOL = 2, OP_OF_ACCOUNT = 4, OP_OF_QUEUE = 8 };
#define OP_READS     1u // changes nothing: not journaled
#define OP_OVERTAKES 2u // done also when the disk refuses, and at once: stop, kill
#define OP_RERUN     4u // still in hand when the manager ended: run again by the next one. Others end as `failed`

struct op;
// A command in hand, until its terminal reply. Owned by command.c; a room that keeps it looks it up again by id
// (call_find) after the loop has gone on.
struct call {
    struct manager *manager;
    const struct op *op;
    char *topic;
    char subject[REEVE_NAME_SIZE]; // pool, account or queue of the topic; "" for the manager's own
    struct reeve_command command;
    void *args;      // decoded by op->args, or NULL
    uint64_t digest;
    int64_t seq;     // of the last reply
    int64_t began_mono;
    bool rerun;      // again, after a restart of the manager
    bool journaled;  // its row was written, in this turn or before
    bool recorded;   // its row is on disk, as accepted
    bool unrecorded; // it ended and was answered, and the disk refused its end
    bool recording;  // that end is written in this turn
    bool finished;
    bool kept;       // by call_keep()
    void *state;     // the op's own while it is kept
    void (*state_free)(void *state);
    struct reeve_strv listeners; // more reply addresses, of repeats of the same id
    struct reeve_value *reply;   // the terminal one, until it has left
};

struct op {
    const char *name;
    unsigned level;       // of enum op_level
    unsigned flags;
    const char *main_arg; // what plain text means; NULL = takes none
    const struct reeve_record *args; // decoded before `run`; wrong ones are refused with their names. NULL = the op takes none
    bool args_open;       // `args` NULL and `run` reads command.args itself (apply)
    const char *doc;      // one or two sentences, for docs/protocol.md
    // Checks and does it, in memory and store; ends in call_done(), call_fail() or call_keep(). An error = rejected, nothing may have
    // been changed. `command.dry_run`: answer what would be, change nothing.
    enum reeve_err (*run)(struct call *call, struct reeve_why *why);
};
const struct op *op_at(size_t index); // for documentation; NULL past the end

enum reeve_err commands_start(struct manager *manager, struct reeve_why *why); // subscribes
void commands_take(struct manager *manager, const struct reeve_delivery *delivery); // of queues: all but `enqueue` (queue.c)
void commands_resume(struct manager *manager); // what a former manager left open; when the fleet is known
void commands_tick(struct manager *manager); // writes ends that the disk refused before
void commands_done(struct manager *manager);

// Terminal; the reply leaves after the commit. `result` is taken (NULL = none). Return OK, so that `return call_done(...)` reads well.
enum reeve_err call_done(struct call *call, struct reeve_value *result, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
enum reeve_err call_fail(struct call *call, enum reeve_err err, struct reeve_value *result, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// Not finished in this turn: `accepted` leaves, and the op goes on with it later.
enum reeve_err call_keep(struct call *call, void *state, void (*state_free)(void *state));
void call_progress(struct call *call, struct reeve_value *result, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
struct call *call_find(const struct manager *manager, const char *id); // NULL once it has ended

// What a selector's arguments mean, for every op on workers: {workers: name, "node/name", glob or list; type, exchange, region, node,
// pool, account, state, availability, labels, require: [..], all}. Decoded by `select_fields` inside an op's args record.
struct select_args {
    struct reeve_strv workers;
    char *type, *exchange, *region, *node, *pool, *account, *state, *availability;
    struct reeve_value *labels;
    struct reeve_strv require; // "cpus>=4"
    bool all;
};
// SELECT_FIELDS(struct my_args, select): rows for an op's table, with struct select_args as its member `select`.
#define SELECT_FIELDS(type_, member_)                                                                                  \
    {.name = "workers", .type = REEVE_FIELD_STRV, .offset = offsetof(type_, member_.workers), .doc = "Name, `node/name`, glob, or a list."}, \
    {.name = "type", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.type), .doc = "Workers of this type; globs are allowed, here and below."}, \
    {.name = "exchange", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.exchange), .doc = "For this exchange."}, \
    {.name = "region", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.region), .doc = "In this region."}, \
    {.name = "node", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.node), .doc = "On this node."},     \
    {.name = "pool", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.pool), .doc = "Of this pool."},     \
    {.name = "account", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.account), .doc = "Of this account."}, \
    {.name = "state", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.state), .doc = "In this state."},  \
    {.name = "availability", .type = REEVE_FIELD_STR, .offset = offsetof(type_, member_.availability), .doc = "Of this availability."}, \
    {.name = "labels", .type = REEVE_FIELD_MAP, .offset = offsetof(type_, member_.labels), .doc = "With these labels, all."}, \
    {.name = "require", .type = REEVE_FIELD_STRV, .offset = offsetof(type_, member_.require), .doc = "Requirements such as `cpus>=4`, all."}, \
    {.name = "all", .type = REEVE_FIELD_BOOL, .offset = offsetof(type_, member_.all), .doc = "Every worker."}
// query.c: calls `each` for every worker that is meant, in order; a site's own broker and the manager are never meant by a glob, a filter
// or `all`. NOENT with near names when a plain name fits nothing; INVALID when nothing says who is meant and `preset_all` is false.
enum reeve_err select_each(struct manager *manager, const struct select_args *select, bool preset_all,
                           bool (*each)(const struct fleet_worker *worker, void *arg), void *arg, size_t *ret_count,
                           struct reeve_why *why);
// "no pool \"swpa\", did you mean 'swap'?": `names` NULL-terminated. Returns NOENT.
enum reeve_err not_found(struct reeve_why *why, const char *kind, const char *name, const char *const *names);

// The args of an op that takes none: every key is refused with its name.
#define NO_ARGS(name_) {.name = (name_), .size = 1, .doc = ""}

// ---- ops, by room (each is a row of ops.c) ----------------------------------------------------------------------------
#define MANAGER_OPS(X)                                                                                                 \
    X(list) X(show) X(find) X(stats) X(health) X(why) X(describe) X(forget)             /* query.c */                    \
    X(online) X(offline) X(pause) X(resume)                                             /* hold.c */                     \
    X(start) X(stop) X(kill) X(restart) X(shutdown) X(clear)                            /* emergency.c */                \
    X(alarms) X(acknowledge)                                                            /* alarm.c */                    \
    X(backup) X(check)                                                                  /* backup.c */                   \
    X(pool_scale) X(pool_pause) X(pool_resume) X(pool_drain) X(pool_delete) X(pool_describe)               \
    X(pool_explain) X(pool_history) X(pool_rollback) X(pool_restart)                    /* pool.c, update.c */           \
    X(pool_acquire) X(pool_renew) X(pool_release)                                       /* acquire.c */                  \
    X(account_start) X(account_stop) X(account_restart) X(account_status) X(account_validate)                            \
    X(queue_delete) X(queue_pause) X(queue_resume) X(queue_drain) X(queue_purge) X(queue_describe)    /* queue_ops.c */            \
    X(queue_list) X(queue_show) X(queue_explain) X(queue_cancel) X(queue_retry) X(queue_remove) X(queue_logs) /* job_ops.c */     \
    X(accounts) X(accounts_validate) X(accounts_start) X(accounts_stop) X(accounts_restart) X(accounts_reload) /* account_ops.c */
#define X(name)                                                                                                        \
    extern const struct reeve_record op_##name##_args;                                                                 \
    enum reeve_err op_##name##_run(struct call *call, struct reeve_why *why);
MANAGER_OPS(X)
#undef X
enum reeve_err op_pool_apply_run(struct call *call, struct reeve_why *why); // reads command.args itself
enum reeve_err op_queue_apply_run(struct call *call, struct reeve_why *why); // as well

#endif
