// The ops online, offline, pause and resume: said here, counted, done by hold_reconcile.c.
// With `all` and nothing else offline is about the fleet (global_offline): also about who joins later, until `online` with all.
// Must not: wait for workers; what was said holds for those that are away as well.
#include "hold_room.h"

#include <stdio.h>
#include <string.h>

struct hold_args {
    struct select_args select;
    char *reason;
};
static const struct reeve_field fields[] = {
    SELECT_FIELDS(struct hold_args, select),
    {.name = "reason",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct hold_args, reason),
     .max = 400,
     .doc = "Why; stands in the verdict."},
};
const struct reeve_record op_online_args = REEVE_RECORD("online", struct hold_args, fields, "Arguments of `online`.");
const struct reeve_record op_offline_args = REEVE_RECORD("offline", struct hold_args, fields, "Arguments of `offline`.");
const struct reeve_record op_pause_args = REEVE_RECORD("pause", struct hold_args, fields, "Arguments of `pause`.");
const struct reeve_record op_resume_args = REEVE_RECORD("resume", struct hold_args, fields, "Arguments of `resume`.");

bool select_is_everybody(const struct select_args *select)
{
    const struct select_args *s = select;
    bool filtered = s->workers.len > 0 || s->require.len > 0 || s->type != NULL || s->exchange != NULL ||
                    s->region != NULL || s->node != NULL || s->pool != NULL || s->account != NULL || s->state != NULL ||
                    s->availability != NULL || reeve_value_len(s->labels) > 0;
    return s->all && !filtered;
}

struct telling { // one op on its way through the workers it means
    struct call *call;
    struct holds *holds;
    enum hold_kind kind;
    bool on;
    bool everybody;
    const char *reason;
    int64_t waiting, silent, spared;
    bool full;
};

static bool is_away(const struct fleet_worker_info *info)
{
    return info->state != REEVE_STATE_RUNNING || info->availability == REEVE_AVAILABILITY_NONE;
}

static void say(struct telling *telling, const struct fleet_worker_info *info)
{
    struct holds *holds = telling->holds;
    struct hold *hold = hold_make(holds, info->node, info->name);
    if (hold == NULL) {
        telling->full = true;
        return;
    }
    hold_say(hold, telling->kind, telling->call->command.issuer, telling->reason);
    *(telling->kind == HOLD_OFFLINE ? &hold->give_back_offline : &hold->give_back_pause) = false;
    hold_save(holds, hold);
}

static void unsay(struct telling *telling, const struct fleet_worker_info *info)
{
    struct hold *hold = hold_find(telling->holds, info->node, info->name);
    if (hold != NULL && hold->said[telling->kind].on) {
        hold_unsay(hold, telling->kind);
        hold_save(telling->holds, hold);
    }
    hold_give_back(telling->holds, info, telling->kind);
}

static bool tell(const struct fleet_worker *worker, void *arg)
{
    struct telling *telling = arg;
    // What is borrowed may move when a verdict is looked at again: names are copied first.
    char node[REEVE_NAME_SIZE], name[REEVE_NAME_SIZE];
    struct fleet_worker_info info = fleet_worker_info(telling->holds->manager->fleet, worker);
    (void)snprintf(node, sizeof node, "%s", info.node); /* names */
    (void)snprintf(name, sizeof name, "%s", info.name);
    info.node = node;
    info.name = name;
    if (hold_exempt(&info)) {
        telling->spared++;
        return true;
    }
    // Whether one that never ran will speak is not known: it is waited for.
    bool silent = info.supervised && !info.speaks && hold_has_process(&info);
    telling->silent += silent ? 1 : 0;
    telling->waiting += is_away(&info) && !silent ? 1 : 0;
    if (telling->call->command.dry_run) {
        return true;
    }
    if (!telling->on) {
        unsay(telling, &info);
    } else if (!telling->everybody) {
        say(telling, &info);
    }
    return !telling->full;
}

static enum reeve_err answer(const struct telling *telling, size_t count)
{
    struct reeve_value *result = reeve_value_map();
    bool dry_run = telling->call->command.dry_run;
    reeve_put_int(result, "workers", (int64_t)count - telling->spared);
    reeve_put_int(result, "waiting", telling->waiting);
    reeve_put_int(result, "silent", telling->silent);
    reeve_put_bool(result, "global", telling->everybody);
    return call_done(telling->call, result, "%s%lld workers%s%s%s", dry_run ? "dry run: this would be said of " : "",
                     (long long)((int64_t)count - telling->spared),
                     telling->everybody && telling->on ? ", and all that join later" : "",
                     telling->waiting > 0 ? "; those that are away are told when they come" : "",
                     telling->silent > 0 ? "; those that do not speak Reeve take no work anyway" : "");
}

// Of one worker it can't be ended what is said of all.
static enum reeve_err check_global(const struct telling *telling, struct reeve_why *why)
{
    char said[400];
    const struct said *offline = &telling->holds->fleet.said[HOLD_OFFLINE];
    if (telling->on || telling->kind != HOLD_OFFLINE || telling->everybody || !offline->on) {
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_CONFLICT, "the whole fleet was %s; `online` with `all` ends that",
                      hold_said_text(offline, HOLD_OFFLINE, said, sizeof said));
}

static void say_of_fleet(const struct telling *telling)
{
    struct hold *fleet = &telling->holds->fleet;
    if (telling->on) {
        hold_say(fleet, HOLD_OFFLINE, telling->call->command.issuer, telling->reason);
    } else {
        hold_unsay(fleet, HOLD_OFFLINE);
    }
    hold_save(telling->holds, fleet);
    manager_tick_soon(telling->holds->manager);
}

static enum reeve_err run(struct call *call, enum hold_kind kind, bool on, struct reeve_why *why)
{
    const struct hold_args *args = call->args;
    size_t count = 0;
    struct telling telling = {.call = call,
                              .holds = call->manager->holds,
                              .kind = kind,
                              .on = on,
                              .everybody = kind == HOLD_OFFLINE && select_is_everybody(&args->select),
                              .reason = args->reason};
    enum reeve_err err = check_global(&telling, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (telling.everybody && !call->command.dry_run) {
        say_of_fleet(&telling); // first: what is given back below asks whether it still holds
    }
    err = select_each(call->manager, &args->select, false, tell, &telling, &count, why);
    if (err != REEVE_OK && !(err == REEVE_NOENT && telling.everybody)) { // an empty fleet can be offline as well
        return err;
    }
    if (telling.full) {
        return call_fail(call, REEVE_LIMIT, NULL, "something is said of %d workers already: the others were left as they are",
                         HOLDS_MAX);
    }
    return answer(&telling, count);
}

enum reeve_err op_online_run(struct call *call, struct reeve_why *why)
{
    return run(call, HOLD_OFFLINE, false, why);
}

enum reeve_err op_offline_run(struct call *call, struct reeve_why *why)
{
    return run(call, HOLD_OFFLINE, true, why);
}

enum reeve_err op_pause_run(struct call *call, struct reeve_why *why)
{
    return run(call, HOLD_PAUSE, true, why);
}

enum reeve_err op_resume_run(struct call *call, struct reeve_why *why)
{
    return run(call, HOLD_PAUSE, false, why);
}
