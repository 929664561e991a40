// Holds in memory and store, and what other rooms ask about them. See hold.h.
// Must not: send anything; hold_reconcile.c does.
#include "hold_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *hold_kind_text(enum hold_kind kind)
{
    static const char *const texts[] = {
#define X(id, text) [HOLD_##id] = text,
        HOLD_KIND_LIST(X)
#undef X
    };
    return texts[kind];
}

const char *hold_key(char buf[HOLD_KEY_SIZE], const char *node, const char *worker)
{
    (void)snprintf(buf, HOLD_KEY_SIZE, "%s/%s", node, worker); /* two names and a slash fit */
    return buf;
}

// ---- one hold -----------------------------------------------------------------------------------------------------

static void said_done(struct said *said)
{
    free(said->by);
    free(said->reason);
    *said = (struct said){0};
}

static void hold_done(struct hold *hold)
{
    for (enum hold_kind kind = 0; kind < HOLD_KIND_COUNT; kind++) {
        said_done(&hold->said[kind]);
    }
}

static void hold_free(void *value)
{
    if (value != NULL) {
        hold_done(value);
        free(value);
    }
}

static bool says_nothing(const struct hold *hold)
{
    for (enum hold_kind kind = 0; kind < HOLD_KIND_COUNT; kind++) {
        if (hold->said[kind].on) {
            return false;
        }
    }
    return !hold->give_back_offline && !hold->give_back_pause;
}

struct hold *hold_find(const struct holds *holds, const char *node, const char *worker)
{
    char key[HOLD_KEY_SIZE];
    if (worker[0] == '\0') {
        return (struct hold *)(uintptr_t)&holds->fleet;
    }
    return reeve_map_get(holds->holds, hold_key(key, node, worker));
}

struct hold *hold_make(struct holds *holds, const char *node, const char *worker)
{
    char key[HOLD_KEY_SIZE];
    struct hold *hold = hold_find(holds, node, worker);
    if (hold != NULL) {
        return hold;
    }
    hold = calloc(1, sizeof *hold);
    if (hold == NULL) {
        return NULL;
    }
    (void)snprintf(hold->node, sizeof hold->node, "%s", node);       /* a name */
    (void)snprintf(hold->worker, sizeof hold->worker, "%s", worker); /* a name */
    if (reeve_map_put(holds->holds, hold_key(key, node, worker), hold, NULL) != REEVE_OK) {
        holds->refused_full++;
        free(hold);
        return NULL;
    }
    return hold;
}

void hold_say(struct hold *hold, enum hold_kind kind, const char *by, const char *reason)
{
    struct said *said = &hold->said[kind];
    said_done(said);
    said->on = true;
    said->at = reeve_clock_wall_ms();
    said->by = by != NULL ? strdup(by) : NULL; // without memory it is held all the same
    said->reason = reason != NULL && reason[0] != '\0' ? strdup(reason) : NULL;
}

void hold_unsay(struct hold *hold, enum hold_kind kind)
{
    said_done(&hold->said[kind]);
}

const char *hold_said_text(const struct said *said, enum hold_kind kind, char *buf, size_t buf_len)
{
    static const char *const texts[] = {[HOLD_SHUTDOWN] = "shut down",
                                        [HOLD_STOP] = "stopped",
                                        [HOLD_OFFLINE] = "set offline",
                                        [HOLD_PAUSE] = "paused"};
    char at[REEVE_CLOCK_TEXT_LEN];
    (void)snprintf(buf, buf_len, "%s by %s since %s%s%s", texts[kind], said->by != NULL ? said->by : "somebody",
                   reeve_clock_format(said->at, at), said->reason != NULL ? ": " : "",
                   said->reason != NULL ? said->reason : ""); /* cut */
    return buf;
}

// ---- store ----------------------------------------------------------------------------------------------------------

static struct reeve_value *said_value(const struct said *said)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_int(map, "at", said->at);
    reeve_put_str_opt(map, "by", said->by);
    reeve_put_str_opt(map, "reason", said->reason);
    if (said->kill) {
        reeve_put_bool(map, "kill", true);
    }
    return map;
}

static struct reeve_value *hold_value(const struct hold *hold)
{
    struct reeve_value *map = reeve_value_map();
    for (enum hold_kind kind = 0; kind < HOLD_KIND_COUNT; kind++) {
        if (hold->said[kind].on) {
            (void)reeve_value_put(map, hold_kind_text(kind), said_value(&hold->said[kind])); /* remembered: built() */
        }
    }
    if (hold->give_back_offline) {
        reeve_put_bool(map, "give_back_offline", true);
    }
    if (hold->give_back_pause) {
        reeve_put_bool(map, "give_back_pause", true);
    }
    return map;
}

static void put(struct holds *holds, const char *key, const struct hold *hold)
{
    struct store *store = holds->manager->store;
    if (says_nothing(hold)) {
        (void)store_remove(store, STORE_HOLD, key, NULL); /* a failure breaks the turn: the commit tells */
        return;
    }
    REEVE_VALUE_AUTO value = hold_value(hold);
    (void)store_put(store, STORE_HOLD, key, value, NULL); /* as above */
}

void hold_save(struct holds *holds, struct hold *hold)
{
    char key[HOLD_KEY_SIZE];
    if (hold == &holds->fleet) {
        put(holds, HOLD_FLEET_KEY, hold);
        holds->look_at_all = true; // every verdict tells of it
        return;
    }
    char node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE];
    (void)snprintf(node, sizeof node, "%s", hold->node);       /* names */
    (void)snprintf(worker, sizeof worker, "%s", hold->worker);
    put(holds, hold_key(key, node, worker), hold);
    fleet_touch(holds->manager->fleet, node, worker);
    hold_look(holds, node, worker); // may find that it has come true already, and take it back
    hold = hold_find(holds, node, worker);
    if (hold != NULL && says_nothing(hold) && !hold->unsaved) {
        hold_free(reeve_map_remove(holds->holds, key));
    }
}

// ---- what an emergency says is in force also while the disk refuses --------------------------------------------------

static void saved(struct manager *manager, bool committed, void *arg)
{
    struct holds *holds = manager->holds;
    (void)arg;
    holds->saving = false;
    if (!committed) {
        return; // holds_load() has kept them; a tick tries again
    }
    holds->fleet.unsaved = false;
    for (struct reeve_map_iter it = {0}; reeve_map_next(holds->holds, &it);) {
        struct hold *hold = it.value;
        hold->unsaved = false;
        if (says_nothing(hold)) {
            hold_free(reeve_map_remove(holds->holds, it.key));
        }
    }
    holds->any_unsaved = false;
}

void hold_save_emergency(struct holds *holds, struct hold *hold)
{
    hold->unsaved = true;
    holds->any_unsaved = true;
    hold_save(holds, hold);
    if (!holds->saving) {
        holds->saving = true;
        manager_after_commit(holds->manager, saved, NULL);
    }
}

void hold_save_unsaved(struct holds *holds)
{
    if (!holds->any_unsaved || holds->saving) {
        return;
    }
    if (holds->fleet.unsaved) {
        hold_save_emergency(holds, &holds->fleet);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(holds->holds, &it);) {
        if (((struct hold *)it.value)->unsaved) {
            hold_save_emergency(holds, it.value);
        }
    }
}

// ---- from the store -------------------------------------------------------------------------------------------------

static void read_said(const struct reeve_value *value, struct said *ret)
{
    const char *by = reeve_get_str(value, "by");
    const char *reason = reeve_get_str(value, "reason");
    ret->on = true;
    ret->at = reeve_get_int(value, "at", 0);
    ret->kill = reeve_get_bool(value, "kill", false);
    ret->by = by != NULL ? strdup(by) : NULL;
    ret->reason = reason != NULL ? strdup(reason) : NULL;
}

static void read_hold(const struct reeve_value *value, struct hold *hold)
{
    for (enum hold_kind kind = 0; kind < HOLD_KIND_COUNT; kind++) {
        const struct reeve_value *said = reeve_value_get(value, hold_kind_text(kind));
        if (said != NULL) {
            read_said(said, &hold->said[kind]);
        }
    }
    hold->give_back_offline = reeve_get_bool(value, "give_back_offline", false);
    hold->give_back_pause = reeve_get_bool(value, "give_back_pause", false);
}

static void load_one(const char *key, const struct reeve_value *value, void *arg)
{
    struct holds *holds = arg;
    char node[HOLD_KEY_SIZE];
    (void)snprintf(node, sizeof node, "%s", key); /* our own keys fit */
    char *slash = strchr(node, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    struct hold *hold = slash == NULL ? &holds->fleet : hold_make(holds, node, slash + 1);
    if (hold != NULL && !hold->unsaved) { // what is not on disk yet is newer
        read_hold(value, hold);
    }
}

static enum reeve_err forget_saved(struct holds *holds)
{
    struct reeve_map *kept = reeve_map_new(HOLDS_MAX);
    if (kept == NULL) {
        return REEVE_NOMEM;
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(holds->holds, &it);) {
        struct hold *hold = it.value;
        if (!hold->unsaved || reeve_map_put(kept, it.key, hold, NULL) != REEVE_OK) {
            hold_free(hold);
        }
    }
    reeve_map_free(holds->holds, NULL);
    holds->holds = kept;
    if (!holds->fleet.unsaved) {
        hold_done(&holds->fleet);
        holds->fleet = (struct hold){0};
    }
    return REEVE_OK;
}

enum reeve_err holds_load(struct holds *holds, struct reeve_why *why)
{
    if (forget_saved(holds) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    holds->look_at_all = true;
    return store_each(holds->manager->store, STORE_HOLD, "", load_one, holds, why);
}

enum reeve_err holds_new(struct manager *manager, struct holds **ret, struct reeve_why *why)
{
    struct holds *holds = calloc(1, sizeof *holds);
    if (holds != NULL) {
        holds->manager = manager;
        holds->holds = reeve_map_new(HOLDS_MAX);
        holds->tasks = reeve_map_new(HOLDS_MAX);
    }
    enum reeve_err err = holds == NULL || holds->holds == NULL || holds->tasks == NULL
                             ? reeve_fail(why, REEVE_NOMEM, "out of memory")
                             : fleet_listen(manager->fleet, hold_listen, holds);
    if (err != REEVE_OK) {
        holds_free(holds);
        return err;
    }
    *ret = holds;
    return REEVE_OK;
}

void holds_free(struct holds *holds)
{
    if (holds == NULL) {
        return;
    }
    reeve_map_free(holds->holds, hold_free);
    reeve_map_free(holds->tasks, free);
    hold_done(&holds->fleet);
    free(holds);
}

// ---- asking ---------------------------------------------------------------------------------------------------------

// Without the broker nobody hears anything, and without a manager nobody is left to end a hold. Their node says who they are: a
// type of that name may be anything.
bool hold_exempt(const struct fleet_worker_info *info)
{
    return reeve_str_eq(info->origin, "site");
}

bool hold_wants_stop(const struct holds *holds, const struct hold *hold)
{
    return holds->fleet.said[HOLD_SHUTDOWN].on ||
           (hold != NULL && (hold->said[HOLD_SHUTDOWN].on || hold->said[HOLD_STOP].on));
}

bool hold_wants_offline(const struct holds *holds, const struct hold *hold)
{
    return holds->fleet.said[HOLD_OFFLINE].on || (hold != NULL && hold->said[HOLD_OFFLINE].on);
}

bool hold_takes_work(const struct holds *holds, const char *node, const char *worker)
{
    const struct hold *hold = hold_find(holds, node, worker);
    return !hold_fleet_stopped(holds) && !hold_wants_stop(holds, hold) && !hold_wants_offline(holds, hold) &&
           (hold == NULL || !hold->said[HOLD_PAUSE].on);
}

bool hold_fleet_stopped(const struct holds *holds)
{
    return holds->fleet.said[HOLD_STOP].on || holds->fleet.said[HOLD_SHUTDOWN].on;
}

bool hold_fleet_offline(const struct holds *holds)
{
    return holds->fleet.said[HOLD_OFFLINE].on;
}

bool hold_worker_shut_down(const struct holds *holds, const char *node, const char *worker)
{
    const struct hold *hold = hold_find(holds, node, worker);
    return holds->fleet.said[HOLD_SHUTDOWN].on || (hold != NULL && hold->said[HOLD_SHUTDOWN].on);
}

const struct said *hold_strongest(const struct holds *holds, const char *node, const char *worker,
                                  enum hold_kind *ret_kind, bool *ret_fleet)
{
    const struct hold *hold = hold_find(holds, node, worker);
    for (enum hold_kind kind = 0; kind < HOLD_KIND_COUNT; kind++) {
        bool own = hold != NULL && hold->said[kind].on;
        if (own || holds->fleet.said[kind].on) {
            *ret_kind = kind;
            *ret_fleet = !own;
            return own ? &hold->said[kind] : &holds->fleet.said[kind];
        }
    }
    return NULL;
}

static bool is_exempt(const struct holds *holds, const char *node, const char *worker)
{
    const struct fleet *fleet = holds->manager->fleet;
    const struct fleet_worker *known = fleet_worker(fleet, node, worker);
    if (known == NULL) {
        return false;
    }
    const struct fleet_worker_info info = fleet_worker_info(fleet, known);
    return hold_exempt(&info);
}

void hold_put_verdict(const struct holds *holds, const char *node, const char *worker, struct reeve_value *verdict)
{
    enum hold_kind kind;
    bool fleet;
    const struct said *said = hold_strongest(holds, node, worker, &kind, &fleet);
    if (said == NULL || (fleet && is_exempt(holds, node, worker))) {
        return;
    }
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "kind", hold_kind_text(kind));
    reeve_put_str_opt(map, "by", said->by);
    reeve_put_int(map, "at", said->at);
    reeve_put_str_opt(map, "reason", said->reason);
    if (fleet) {
        reeve_put_bool(map, "fleet", true); // said about everybody
    }
    (void)reeve_value_put(verdict, "hold", map); /* remembered: reeve_value_built() */
}
