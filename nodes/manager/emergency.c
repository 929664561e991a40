// The ops start, stop, kill, restart, shutdown and clear on workers of any number of nodes.
//   stop, kill      with `all`: pools and accounts start nothing until `start` with `all`; who is out of reach is stopped when its
//                   node is back
//   shutdown        latched: stopped now, and again whenever it runs, also who joins later, until `clear`
// Must not: wait for a disk to stop anything, or ever mean the site's broker or a manager.
#include "emergency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run_args {
    struct select_args select;
    int64_t timeout_ms, grace_ms;
    char *reason;
};
#define F(member_) .offset = offsetof(struct run_args, member_)
#define TIMEOUT_FIELD                                                                                                  \
    {.name = "timeout", .type = REEVE_FIELD_DURATION, F(timeout_ms), .min = 1000, .max = 3600000, .preset = "30s",     \
     .doc = "How long nodes have to answer. Who has not by then counts as out of reach."}
#define GRACE_FIELD                                                                                                    \
    {.name = "grace", .type = REEVE_FIELD_DURATION, F(grace_ms), .min = 0, .max = 3600000,                             \
     .doc = "Until SIGKILL; preset by each spec."}
#define REASON_FIELD                                                                                                   \
    {.name = "reason", .type = REEVE_FIELD_STR, F(reason), .max = 400, .doc = "Why; stands in the verdict."}

static const struct reeve_field start_fields[] = {SELECT_FIELDS(struct run_args, select), TIMEOUT_FIELD};
static const struct reeve_field stop_fields[] = {SELECT_FIELDS(struct run_args, select), GRACE_FIELD, TIMEOUT_FIELD,
                                                 REASON_FIELD};
static const struct reeve_field shutdown_fields[] = {
    {.name = "worker", .type = REEVE_FIELD_STRV, F(select.workers), .doc = "Name, `node/name`, glob, or a list."},
    {.name = "all", .type = REEVE_FIELD_BOOL, F(select.all), .doc = "Every worker, also those that join later."},
    GRACE_FIELD,
    TIMEOUT_FIELD,
    REASON_FIELD,
};
static const struct reeve_field clear_fields[] = {
    {.name = "worker", .type = REEVE_FIELD_STRV, F(select.workers), .doc = "Name, `node/name`, glob, or a list."},
    {.name = "all", .type = REEVE_FIELD_BOOL, F(select.all), .doc = "Every shutdown and the fleet's stop."},
};
const struct reeve_record op_start_args = REEVE_RECORD("start", struct run_args, start_fields, "Arguments of `start`.");
const struct reeve_record op_restart_args = REEVE_RECORD("restart", struct run_args, start_fields, "Arguments of `restart`.");
const struct reeve_record op_stop_args = REEVE_RECORD("stop", struct run_args, stop_fields, "Arguments of `stop`.");
const struct reeve_record op_kill_args = REEVE_RECORD("kill", struct run_args, stop_fields, "Arguments of `kill`.");
const struct reeve_record op_shutdown_args =
    REEVE_RECORD("shutdown", struct run_args, shutdown_fields, "Arguments of `shutdown`.");
const struct reeve_record op_clear_args = REEVE_RECORD("clear", struct run_args, clear_fields, "Arguments of `clear`.");

// ---- who is meant, and what hinders ---------------------------------------------------------------------------------

struct choosing {
    struct call *call;
    struct holds *holds;
    struct fleet_run *run;
    bool latch; // shutdown of single workers: said of each
};

static const char by_hand[] = "started by hand: no node has its process, so none can do this to it";

static enum outcome judge_stop(const struct choosing *choosing, const struct fleet_worker_info *info, char *message,
                               size_t message_len)
{
    if (!info->supervised) {
        (void)snprintf(message, message_len, "%s%s", by_hand,
                       choosing->latch ? "; it is kept offline instead" : ""); /* fits */
        return OUTCOME_REFUSED;
    }
    if (!hold_node_live(choosing->holds, info->node)) {
        (void)snprintf(message, message_len, "its node is away"); /* fits */
        return OUTCOME_UNREACHABLE;
    }
    return info->wanted || hold_has_process(info) ? OUTCOME_WAITING : OUTCOME_ALREADY;
}

static enum outcome judge_start(const struct choosing *choosing, const struct fleet_worker_info *info, char *message,
                                size_t message_len)
{
    char said[512];
    enum hold_kind kind;
    bool fleet;
    const struct said *strongest = hold_strongest(choosing->holds, info->node, info->name, &kind, &fleet);
    if (strongest != NULL && kind == HOLD_SHUTDOWN) {
        (void)snprintf(message, message_len, "%s; `clear` ends that",
                       hold_said_text(strongest, kind, said, sizeof said)); /* cut */
        return OUTCOME_REFUSED;
    }
    if (!info->supervised) {
        (void)snprintf(message, message_len, "%s", by_hand); /* fits */
        return OUTCOME_REFUSED;
    }
    if (!hold_node_live(choosing->holds, info->node)) {
        (void)snprintf(message, message_len, "its node is away; ask again when it is back"); /* fits */
        return OUTCOME_UNREACHABLE;
    }
    return OUTCOME_WAITING;
}

static void say_shutdown(const struct choosing *choosing, const struct fleet_worker_info *info)
{
    struct hold *hold = hold_make(choosing->holds, info->node, info->name);
    if (hold != NULL && !(choosing->call->rerun && hold->said[HOLD_SHUTDOWN].on)) {
        hold_say(hold, HOLD_SHUTDOWN, choosing->call->command.issuer, choosing->run->reason);
        hold_save_emergency(choosing->holds, hold);
    }
}

// Somebody wants it to run: it is not to be stopped any more when its node is back.
static void unsay_stop(const struct choosing *choosing, const struct fleet_worker_info *info)
{
    struct hold *hold = hold_find(choosing->holds, info->node, info->name);
    if (hold != NULL && hold->said[HOLD_STOP].on) {
        hold_unsay(hold, HOLD_STOP);
        hold_save(choosing->holds, hold);
        hold_give_back(choosing->holds, info, HOLD_OFFLINE);
    }
}

static bool choose(const struct fleet_worker *worker, void *arg)
{
    struct choosing *choosing = arg;
    char message[640] = "";
    char node[REEVE_NAME_SIZE], name[REEVE_NAME_SIZE]; // what is borrowed may move when a verdict is looked at again
    struct fleet_worker_info info = fleet_worker_info(choosing->holds->manager->fleet, worker);
    (void)snprintf(node, sizeof node, "%s", info.node); /* names */
    (void)snprintf(name, sizeof name, "%s", info.name);
    info.node = node;
    info.name = name;
    bool exempt = hold_exempt(&info);
    enum outcome outcome = OUTCOME_REFUSED;
    if (exempt) {
        (void)snprintf(message, sizeof message, "the site's broker or manager: only its node does this to it"); /* fits */
    } else {
        outcome = choosing->run->stops ? judge_stop(choosing, &info, message, sizeof message)
                                       : judge_start(choosing, &info, message, sizeof message);
    }
    fleet_run_add(choosing->run, &info, outcome, message);
    if (exempt || choosing->call->command.dry_run) {
        return !choosing->run->failed_alloc;
    }
    if (choosing->latch) {
        say_shutdown(choosing, &info);
    } else if (!choosing->run->stops && outcome != OUTCOME_REFUSED) {
        unsay_stop(choosing, &info);
    }
    return !choosing->run->failed_alloc;
}

// ---- what is said of the fleet ----------------------------------------------------------------------------------------

static void stop_fleet(struct call *call, enum hold_kind kind, const char *reason)
{
    struct holds *holds = call->manager->holds;
    if (call->command.dry_run || (call->rerun && holds->fleet.said[kind].on)) {
        return;
    }
    reeve_log(REEVE_LOG_WARNING, "emergency", "op=%s by=%s the fleet is stopped", call->op->name,
              call->command.issuer != NULL ? call->command.issuer : "somebody");
    hold_say(&holds->fleet, kind, call->command.issuer, reason);
    hold_save_emergency(holds, &holds->fleet);
}

static enum reeve_err start_fleet(struct call *call, struct reeve_why *why)
{
    char said[512];
    struct holds *holds = call->manager->holds;
    if (holds->fleet.said[HOLD_SHUTDOWN].on) {
        return reeve_fail(why, REEVE_CONFLICT, "the fleet was %s; `clear` with `all` ends that",
                          hold_said_text(&holds->fleet.said[HOLD_SHUTDOWN], HOLD_SHUTDOWN, said, sizeof said));
    }
    if (!call->command.dry_run && holds->fleet.said[HOLD_STOP].on) {
        hold_unsay(&holds->fleet, HOLD_STOP);
        hold_save(holds, &holds->fleet);
        manager_tick_soon(call->manager); // pools and accounts go on
    }
    return REEVE_OK;
}

// Of single workers while everybody is stopped: that would be somebody who does not know.
static enum reeve_err check_stopped(const struct call *call, struct reeve_why *why)
{
    char said[512];
    const struct holds *holds = call->manager->holds;
    for (enum hold_kind kind = HOLD_SHUTDOWN; kind <= HOLD_STOP; kind++) {
        if (holds->fleet.said[kind].on) {
            return reeve_fail(why, REEVE_CONFLICT, "the fleet was %s; `%s` with `all` ends that",
                              hold_said_text(&holds->fleet.said[kind], kind, said, sizeof said),
                              kind == HOLD_SHUTDOWN ? "clear" : "start");
        }
    }
    return REEVE_OK;
}

// ---- the ops ----------------------------------------------------------------------------------------------------------

static enum reeve_err run_on(struct call *call, const char *op, bool stops, bool latch, struct reeve_why *why)
{
    const struct run_args *args = call->args;
    size_t n = 0;
    struct choosing choosing = {.call = call, .holds = call->manager->holds, .latch = latch};
    choosing.run = fleet_run_new(call->manager, op, args->timeout_ms);
    if (choosing.run == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    struct fleet_run *run = choosing.run;
    run->stops = stops;
    run->kill = strcmp(op, "kill") == 0;
    run->keeps = stops && !call->command.dry_run;
    run->reason = args->reason != NULL ? strdup(args->reason) : NULL;
    run->grace_ms = reeve_value_get(call->command.args, "grace") != NULL && !run->kill ? args->grace_ms : -1;
    enum reeve_err err = select_each(call->manager, &args->select, false, choose, &choosing, &n, why);
    if (err == REEVE_NOENT && select_is_everybody(&args->select)) {
        err = REEVE_OK; // an empty fleet can be stopped as well
    }
    if (err == REEVE_OK && run->failed_alloc) {
        err = reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    if (err != REEVE_OK) {
        fleet_run_free(run);
        return err;
    }
    return call->command.dry_run ? fleet_run_plan(run, call) : fleet_run_begin(run, call);
}

static enum reeve_err run_start(struct call *call, const char *op, struct reeve_why *why)
{
    const struct run_args *args = call->args;
    bool everybody = select_is_everybody(&args->select);
    enum reeve_err err = everybody ? start_fleet(call, why) : check_stopped(call, why);
    return err == REEVE_OK ? run_on(call, op, false, false, why) : err;
}

enum reeve_err op_start_run(struct call *call, struct reeve_why *why)
{
    return run_start(call, "start", why);
}

// Of everybody it ends no emergency stop: who is stopped has no run that could be another one.
enum reeve_err op_restart_run(struct call *call, struct reeve_why *why)
{
    enum reeve_err err = check_stopped(call, why);
    return err == REEVE_OK ? run_on(call, "restart", false, false, why) : err;
}

static enum reeve_err run_stop(struct call *call, const char *op, struct reeve_why *why)
{
    const struct run_args *args = call->args;
    if (select_is_everybody(&args->select)) {
        stop_fleet(call, HOLD_STOP, args->reason);
    }
    return run_on(call, op, true, false, why);
}

enum reeve_err op_stop_run(struct call *call, struct reeve_why *why)
{
    return run_stop(call, "stop", why);
}

enum reeve_err op_kill_run(struct call *call, struct reeve_why *why)
{
    return run_stop(call, "kill", why);
}

enum reeve_err op_shutdown_run(struct call *call, struct reeve_why *why)
{
    const struct run_args *args = call->args;
    if (args->select.all && args->select.workers.len > 0) {
        return reeve_fail(why, REEVE_INVALID, "args.all: `worker` is given as well: it is either");
    }
    if (args->select.all) {
        stop_fleet(call, HOLD_SHUTDOWN, args->reason);
    }
    return run_on(call, "stop", true, !args->select.all, why);
}

// ---- clear ------------------------------------------------------------------------------------------------------------

static bool is_meant(const struct hold *hold, const struct select_args *select)
{
    char key[HOLD_KEY_SIZE];
    (void)hold_key(key, hold->node, hold->worker); /* returns key */
    for (size_t i = 0; i < select->workers.len; i++) {
        const char *text = select->workers.items[i];
        if (reeve_glob_match(text, strchr(text, '/') != NULL ? key : hold->worker)) {
            return true;
        }
    }
    return select->all;
}

static void clear_one(struct holds *holds, const char *key)
{
    char node[HOLD_KEY_SIZE];
    (void)snprintf(node, sizeof node, "%s", key); /* a key */
    char *slash = strchr(node, '/');
    *slash = '\0';
    struct hold *hold = hold_find(holds, node, slash + 1);
    hold_unsay(hold, HOLD_SHUTDOWN);
    hold_unsay(hold, HOLD_STOP);
    hold_save(holds, hold);
    const struct fleet_worker *worker = fleet_worker(holds->manager->fleet, node, slash + 1);
    if (worker != NULL) {
        const struct fleet_worker_info info = fleet_worker_info(holds->manager->fleet, worker);
        hold_give_back(holds, &info, HOLD_OFFLINE);
    }
}

static enum reeve_err none_to_clear(const struct holds *holds, const char *name, struct reeve_why *why)
{
    const char **names = calloc(reeve_map_len(holds->holds) + 1, sizeof *names);
    size_t len = 0;
    for (struct reeve_map_iter it = {0}; names != NULL && reeve_map_next(holds->holds, &it);) {
        const struct hold *hold = it.value;
        if (hold->said[HOLD_SHUTDOWN].on || hold->said[HOLD_STOP].on) {
            names[len++] = strchr(name, '/') != NULL ? it.key : hold->worker;
        }
    }
    enum reeve_err err = names == NULL ? reeve_fail(why, REEVE_NOMEM, "out of memory")
                                       : not_found(why, "shutdown of worker", name, names);
    free(names);
    return err;
}

// Who was kept offline because no node could stop it may work again.
static bool give_back_each(const struct fleet_worker *worker, void *arg)
{
    struct holds *holds = arg;
    const struct fleet_worker_info info = fleet_worker_info(holds->manager->fleet, worker);
    bool beyond_nodes = !info.supervised || !hold_node_live(holds, info.node);
    if (info.availability == REEVE_AVAILABILITY_OFFLINE && beyond_nodes) {
        hold_give_back(holds, &info, HOLD_OFFLINE);
    }
    return true;
}

static bool clear_fleet(struct holds *holds)
{
    bool was = hold_fleet_stopped(holds);
    if (was) {
        hold_unsay(&holds->fleet, HOLD_SHUTDOWN);
        hold_unsay(&holds->fleet, HOLD_STOP);
        hold_save(holds, &holds->fleet);
        fleet_each_worker(holds->manager->fleet, give_back_each, holds);
        manager_tick_soon(holds->manager);
    }
    return was;
}

enum reeve_err op_clear_run(struct call *call, struct reeve_why *why)
{
    const struct run_args *args = call->args;
    struct holds *holds = call->manager->holds;
    bool all = args->select.all;
    if (all == (args->select.workers.len > 0)) {
        return reeve_fail(why, REEVE_INVALID, "args.worker: %s", all ? "`all` is given as well: it is either"
                                                                     : "is missing: a worker, or `all: true`");
    }
    if (!all && holds->fleet.said[HOLD_SHUTDOWN].on) {
        return check_stopped(call, why);
    }
    REEVE_STRV_AUTO keys = {0}; // clearing changes the map
    for (struct reeve_map_iter it = {0}; reeve_map_next(holds->holds, &it);) {
        const struct hold *hold = it.value;
        if ((hold->said[HOLD_SHUTDOWN].on || hold->said[HOLD_STOP].on) && is_meant(hold, &args->select) &&
            reeve_strv_add(&keys, it.key) != REEVE_OK) {
            return reeve_fail(why, REEVE_NOMEM, "out of memory");
        }
    }
    int64_t cleared = (int64_t)keys.len;
    for (size_t i = 0; !call->command.dry_run && i < keys.len; i++) {
        clear_one(holds, keys.items[i]);
    }
    if (!all && cleared == 0) {
        return none_to_clear(holds, args->select.workers.items[0], why);
    }
    bool fleet = all && !call->command.dry_run && clear_fleet(holds);
    struct reeve_value *result = reeve_value_map();
    reeve_put_int(result, "cleared", cleared);
    reeve_put_bool(result, "fleet", fleet);
    return call_done(call, result, "%s%lld workers%s; who should run is to be started, pools and accounts start theirs",
                     call->command.dry_run ? "dry run: it would end the shutdown of " : "ended the shutdown of ",
                     (long long)cleared, fleet ? " and of the fleet" : "");
}
