// Who is known, when each is looked at, and what others ask. Messages of the fleet are looked at as they come; what only time or
// numbers change is found by a cursor that goes round all workers in about ten seconds, and by one that goes round those that
// are not healthy. Must not: judge (health_check.c), or act (health_act.c).
#include "health_room.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE (2 * REEVE_NAME_SIZE)

const char *health_level_text(enum health_level level)
{
    static const char *const texts[] = {"unknown", "healthy", "warning", "unhealthy"};
    return texts[level];
}

// ---- entries --------------------------------------------------------------------------------------------------------

static const char *key_of(char buf[KEY_SIZE], const char *node, const char *worker)
{
    (void)snprintf(buf, KEY_SIZE, "%s/%s", node, worker); /* two names and a slash fit */
    return buf;
}

static struct health_worker *find(const struct health *health, const char *node, const char *worker)
{
    char key[KEY_SIZE];
    return reeve_map_get(health->workers, key_of(key, node, worker));
}

static struct health_worker *find_or_make(struct health *health, const char *node, const char *worker)
{
    char key[KEY_SIZE];
    struct health_worker *known = reeve_map_get(health->workers, key_of(key, node, worker));
    if (known != NULL) {
        return known;
    }
    known = calloc(1, sizeof *known + strlen(key) + 1);
    if (known == NULL || reeve_map_put(health->workers, key, known, NULL) != REEVE_OK) {
        free(known);
        return NULL; // its health is unknown
    }
    strcpy(known->key, key); // the memory is of its length
    known->since_mono = reeve_clock_mono_ms();
    return known;
}

struct health_more *health_more(struct health_worker *worker)
{
    if (worker->more == NULL) {
        worker->more = calloc(1, sizeof *worker->more);
        if (worker->more != NULL) {
            worker->more->jobs_done = -1;
        }
    }
    return worker->more;
}

static void worker_free(void *value)
{
    struct health_worker *worker = value;
    if (worker->more != NULL) {
        reeve_value_free(worker->more->domain);
        reeve_value_free(worker->more->probes);
    }
    free(worker->more);
    free(worker->trend);
    free(worker);
}

// ---- what is seen: a run, its end, its memory ------------------------------------------------------------------------

// Not alive because nobody knows is no change: a node that comes and goes would make all of its workers flap.
static void note_life(struct health_worker *worker, const struct fleet_worker_info *info, int64_t now)
{
    bool alive = reeve_state_has_process(info->state); // `lost` is not: a session that comes and goes flaps as well
    if (info->state == REEVE_STATE_UNKNOWN) {
        return;
    }
    if (worker->seen && alive != worker->alive && health_more(worker) != NULL) {
        health_times_add(&worker->more->changes, now);
    }
    for (int64_t i = worker->restarts; worker->seen && i < info->restarts && i < worker->restarts + HEALTH_TIMES_MAX; i++) {
        if (health_more(worker) != NULL) {
            health_times_add(&worker->more->restarts, now);
        }
    }
    worker->seen = true;
    worker->alive = alive;
    worker->restarts = info->restarts;
}

static void note_memory(const struct health *health, struct health_worker *worker, const struct fleet_worker_info *info,
                        int64_t now)
{
    int64_t horizon = health->manager->config.manager.health.memory_trend_ms;
    if (worker->run != info->run) {
        worker->run = info->run;
        free(worker->trend); // another process
        worker->trend = NULL;
    }
    if (info->memory_bytes < 0 || info->memory_limit_bytes <= 0 || horizon <= 0 || !fleet_worker_live(info)) {
        return;
    }
    worker->trend = worker->trend != NULL ? worker->trend : calloc(1, sizeof *worker->trend);
    if (worker->trend != NULL) {
        health_trend_add(worker->trend, info->memory_bytes, horizon, now);
    }
}

// ---- what it says: checks, counters, progress ------------------------------------------------------------------------

static struct reeve_value *failing_of(const struct reeve_value *list)
{
    struct reeve_value *failing = NULL;
    for (size_t i = 0; reeve_value_kind(list) == REEVE_LIST && i < reeve_value_len(list); i++) {
        const struct reeve_value *check = reeve_value_at(list, i);
        if (!reeve_get_bool(check, "ok", true)) {
            failing = failing != NULL ? failing : reeve_value_list();
            (void)reeve_value_add(failing, reeve_value_clone(check)); /* out of memory: one less is shown */
        }
    }
    return failing;
}

// True when something is kept or was: then the worker is looked at.
static bool keep_failing(struct health_worker *worker, size_t slot, const struct reeve_value *list)
{
    struct reeve_value *failing = failing_of(list);
    if (failing == NULL && worker->more == NULL) {
        return false;
    }
    if (health_more(worker) == NULL) {
        reeve_value_free(failing);
        return false;
    }
    struct reeve_value **kept = slot == 0 ? &worker->more->domain : &worker->more->probes;
    bool news = failing != NULL || *kept != NULL;
    reeve_value_free(*kept);
    *kept = failing;
    return news;
}

static void note_counters(const struct health *health, struct health_more *more, const struct reeve_value *work, int64_t now)
{
    int64_t window = health->manager->config.manager.health.error_window_ms;
    int64_t done = reeve_get_int(work, "done", 0);
    int64_t failed = reeve_get_int(work, "failed", 0);
    bool anew = done < more->jobs_done || failed < more->jobs_failed; // another process: it counts from 0
    if (more->jobs_done >= 0) {
        int64_t more_done = anew ? done : done - more->jobs_done;
        int64_t more_failed = anew ? failed : failed - more->jobs_failed;
        if (more_done > 0 || more_failed > 0) {
            health_rate_add(&more->jobs, more_done, more_failed, window, now);
            more->progress_mono = now; // a job that ended is progress
        }
    }
    more->jobs_done = done;
    more->jobs_failed = failed;
}

static bool note_work(const struct health *health, struct health_worker *worker, const struct reeve_value *status, int64_t now)
{
    const struct reeve_value *work = reeve_value_get(status, "work");
    if (work == NULL || health_more(worker) == NULL) {
        return false;
    }
    struct health_more *more = worker->more;
    int64_t told_at = reeve_get_int(work, "progress_at", 0);
    note_counters(health, more, work, now);
    if (told_at != more->progress_at || reeve_get_int(status, "jobs", 0) == 0) {
        more->progress_mono = now;
    }
    more->progress_at = told_at;
    return true;
}

static void note_probes(const struct health *health, struct health_worker *worker, const struct fleet_worker *known,
                        const struct fleet_worker_info *info)
{
    bool learn = !worker->looked || worker->version != info->version;
    if (!learn && !worker->has_probes) {
        return;
    }
    REEVE_VALUE_AUTO process = info->supervised ? fleet_process_record(health->manager->fleet, known) : NULL;
    const struct reeve_value *probes = reeve_value_get(process, "probes");
    worker->looked = true;
    worker->version = info->version;
    worker->has_probes = reeve_value_len(probes) > 0;
    (void)keep_failing(worker, 1, probes); /* the look that follows sees it */
}

// ---- looking --------------------------------------------------------------------------------------------------------

struct health_facts health_facts(const struct health *health, const struct health_worker *worker,
                                 const struct fleet_worker_info *info)
{
    const struct health_policy *policy = &health->manager->config.manager.health;
    const struct health_more *more = worker->more;
    int64_t now = reeve_clock_mono_ms();
    struct health_facts facts = {.info = info, .policy = policy, .stalled_ms = -1};
    if (worker->trend != NULL) {
        facts.memory_slope = health_trend_slope(worker->trend, info->memory_limit_bytes);
    }
    if (more != NULL) {
        facts.restarts = health_times_within(&more->restarts, policy->crash_loop_window_ms, now);
        facts.changes = health_times_within(&more->changes, policy->flapping_window_ms, now);
        health_rate_sum(&more->jobs, policy->error_window_ms, now, &facts.done, &facts.failed);
        bool tells = more->progress_at != 0 && info->jobs > 0 && fleet_worker_live(info);
        facts.stalled_ms = tells ? now - more->progress_mono : -1;
        facts.domain = more->domain;
        facts.probes = more->probes;
    }
    return facts;
}

static uint64_t digest_of(const struct health_check *checks, size_t len)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < len; i++) {
        if (!checks[i].ok) {
            digest = digest * 1099511628211ULL + reeve_hash64(checks[i].name, strlen(checks[i].name)) + 1;
        }
    }
    return digest;
}

static void watch(struct health *health, struct health_worker *worker)
{
    bool trouble = worker->level == HEALTH_WARNING || worker->level == HEALTH_UNHEALTHY || worker->alarms != 0 ||
                   worker->unhealthy_mono != 0;
    if (trouble == worker->watched) {
        return;
    }
    if (trouble && reeve_map_put(health->watched, worker->key, worker, NULL) != REEVE_OK) {
        return; // the slower cursor finds it
    }
    if (!trouble) {
        (void)reeve_map_remove(health->watched, worker->key); /* is `worker` */
    }
    worker->watched = trouble;
}

static void judge(struct health *health, struct health_worker *worker, const struct fleet_worker_info *info)
{
    struct health_check checks[HEALTH_CHECKS_MAX];
    const struct health_facts facts = health_facts(health, worker, info);
    size_t len = health_check_all(&facts, checks);
    enum health_level level = health_check_level(&facts, checks, len);
    uint64_t failing = level == HEALTH_UNKNOWN ? 0 : digest_of(checks, len);
    health->looks++;
    bool changed = level != worker->level || failing != worker->failing;
    if (level != worker->level) {
        worker->level = (uint8_t)level;
        worker->since_mono = reeve_clock_mono_ms();
    }
    worker->failing = failing;
    health_act(health, worker, info, checks, len);
    watch(health, worker);
    if (changed) {
        fleet_touch(health->manager->fleet, info->node, info->name);
    }
}

// While the manager itself was cut off nothing may be concluded from silence [session-9].
static bool is_blind(const struct health *health)
{
    const struct fleet *fleet = health->manager->fleet;
    return !fleet_known(fleet) || fleet_held(fleet);
}

// A copy of the names that `info` borrows: a verdict that is looked at again may move them.
struct names {
    char node[REEVE_NAME_SIZE], name[REEVE_NAME_SIZE];
};
static struct fleet_worker_info info_of(const struct health *health, const struct fleet_worker *known, struct names *names)
{
    struct fleet_worker_info info = fleet_worker_info(health->manager->fleet, known);
    (void)snprintf(names->node, sizeof names->node, "%s", info.node); /* names */
    (void)snprintf(names->name, sizeof names->name, "%s", info.name);
    info.node = names->node;
    info.name = names->name;
    return info;
}

static void look(struct health *health, struct health_worker *worker, const struct fleet_worker *known)
{
    struct names names;
    const struct fleet_worker_info info = info_of(health, known, &names);
    int64_t now = reeve_clock_mono_ms();
    note_life(worker, &info, now);
    note_memory(health, worker, &info, now);
    judge(health, worker, &info);
}

// ---- what the fleet tells -------------------------------------------------------------------------------------------

static void beat(struct health *health, const struct fleet_worker *known)
{
    struct names names;
    const struct fleet_worker_info info = info_of(health, known, &names);
    const struct reeve_value *status = fleet_arrived(health->manager->fleet);
    struct health_worker *worker = find_or_make(health, info.node, info.name);
    if (worker == NULL) {
        return;
    }
    bool checks = keep_failing(worker, 0, reeve_value_get(status, "checks"));
    bool work = note_work(health, worker, status, reeve_clock_mono_ms());
    if (!is_blind(health) && (checks || work || worker->watched)) {
        judge(health, worker, &info);
    }
}

static void forget(struct health *health, const struct fleet_worker *known)
{
    struct names names;
    const struct fleet_worker_info info = info_of(health, known, &names);
    struct health_worker *worker = find(health, info.node, info.name);
    if (worker != NULL) {
        health_close_alarms(health, worker, info.node, info.name);
        (void)reeve_map_remove(health->watched, worker->key); /* is `worker`, or nothing */
        (void)reeve_map_remove(health->workers, worker->key); /* is `worker` */
        worker_free(worker);
    }
}

static void on_fleet(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                     const struct fleet_worker *known, void *arg)
{
    struct health *health = arg;
    (void)node;
    if (change == FLEET_WORKER_GONE) {
        forget(health, known);
    } else if (change == FLEET_WORKER_BEAT) {
        beat(health, known);
    } else if (change == FLEET_WORKER) {
        const struct fleet_worker_info info = fleet_worker_info(manager->fleet, known);
        struct health_worker *worker = find_or_make(health, info.node, info.name);
        if (worker != NULL && !is_blind(health)) {
            look(health, worker, known);
        }
    }
}

// ---- time -----------------------------------------------------------------------------------------------------------

static const struct fleet_worker *known_of(const struct health *health, const struct health_worker *worker)
{
    char node[KEY_SIZE];
    (void)snprintf(node, sizeof node, "%s", worker->key); /* a key */
    char *slash = strchr(node, '/');
    *slash = '\0';
    return fleet_worker(health->manager->fleet, node, slash + 1);
}

static void look_by_cursor(struct health *health, struct health_worker *worker, bool probes)
{
    const struct fleet_worker *known = known_of(health, worker);
    if (known == NULL) {
        return; // forgotten in a way that was not told: nothing to look at
    }
    if (probes) {
        const struct fleet_worker_info info = fleet_worker_info(health->manager->fleet, known);
        note_probes(health, worker, known, &info);
    }
    look(health, worker, known);
}

// Goes on where it stopped; at most once round.
static void go_round(struct health *health, const struct reeve_map *map, struct reeve_map_iter *cursor, size_t looks)
{
    size_t len = reeve_map_len(map);
    for (size_t i = 0; i < looks && i < len; i++) {
        if (!reeve_map_next(map, cursor)) {
            *cursor = (struct reeve_map_iter){0};
            if (!reeve_map_next(map, cursor)) {
                return;
            }
        }
        look_by_cursor(health, cursor->value, true);
    }
}

// What was held back while the manager was blind; probes are left to the cursor, their records are to be decoded.
static void look_at_all(struct health *health)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(health->workers, &it);) {
        look_by_cursor(health, it.value, false);
    }
}

void health_tick(struct health *health)
{
    size_t tenth = reeve_map_len(health->workers) / 10 + 1;
    if (is_blind(health)) {
        health->was_blind = true;
        return;
    }
    if (health->was_blind) {
        health->was_blind = false;
        look_at_all(health);
    }
    go_round(health, health->watched, &health->watched_cursor, HEALTH_WATCHED_LOOKS);
    go_round(health, health->workers, &health->cursor, tenth > HEALTH_LOOKS_MIN ? tenth : HEALTH_LOOKS_MIN);
}

static bool note_each(const struct fleet_worker *known, void *arg)
{
    struct health *health = arg;
    const struct fleet_worker_info info = fleet_worker_info(health->manager->fleet, known);
    (void)find_or_make(health, info.node, info.name); /* out of memory: its health is unknown */
    return true;
}

void health_session(struct health *health)
{
    fleet_each_worker(health->manager->fleet, note_each, health);
}

// ---- life -----------------------------------------------------------------------------------------------------------

enum reeve_err health_new(struct manager *manager, struct health **ret, struct reeve_why *why)
{
    size_t workers_max = (size_t)manager->config.manager.workers_max;
    struct health *health = calloc(1, sizeof *health);
    if (health != NULL) {
        health->manager = manager;
        health->was_blind = true;
        health->workers = reeve_map_new(workers_max);
        health->watched = reeve_map_new(workers_max);
        health->types = reeve_map_new(HEALTH_TYPES_MAX);
    }
    bool whole = health != NULL && health->workers != NULL && health->watched != NULL && health->types != NULL;
    enum reeve_err err = whole ? fleet_listen(manager->fleet, on_fleet, health) : reeve_fail(why, REEVE_NOMEM, "out of memory");
    if (err != REEVE_OK) {
        health_free(health);
        return err;
    }
    *ret = health;
    return REEVE_OK;
}

void health_free(struct health *health)
{
    if (health == NULL) {
        return;
    }
    reeve_map_free(health->watched, NULL);
    reeve_map_free(health->workers, worker_free);
    reeve_map_free(health->types, free);
    free(health);
}

// ---- asking ---------------------------------------------------------------------------------------------------------

enum health_level health_of(const struct health *health, const char *node, const char *worker)
{
    const struct health_worker *known = find(health, node, worker);
    return known == NULL ? HEALTH_UNKNOWN : (enum health_level)known->level;
}

int64_t health_healthy_since(const struct health *health, const char *node, const char *worker)
{
    const struct health_worker *known = find(health, node, worker);
    return known == NULL || known->level != HEALTH_HEALTHY ? 0 : known->since_mono;
}

struct reeve_value *health_value(const struct health *health, const char *node, const char *worker)
{
    struct fleet *fleet = health->manager->fleet;
    const struct health_worker *own = find(health, node, worker);
    const struct fleet_worker *known = fleet_worker(fleet, node, worker);
    if (own == NULL || known == NULL) {
        return NULL;
    }
    struct names names;
    struct health_check checks[HEALTH_CHECKS_MAX];
    const struct fleet_worker_info info = info_of(health, known, &names);
    REEVE_VALUE_AUTO status = fleet_status_record(fleet, known);
    REEVE_VALUE_AUTO process = fleet_process_record(fleet, known);
    struct health_facts facts = health_facts(health, own, &info);
    facts.domain = reeve_value_get(status, "checks"); // all of them, not only those that fail
    facts.probes = reeve_value_get(process, "probes");
    size_t len = health_check_all(&facts, checks);
    struct reeve_value *value = reeve_value_map();
    reeve_put_str(value, "health", health_level_text((enum health_level)own->level));
    reeve_put_int(value, "since_ms", reeve_clock_mono_ms() - own->since_mono);
    (void)reeve_value_put(value, "checks", health_checks_value(checks, len)); /* remembered: reeve_value_built() */
    return value;
}

void health_put_verdict(const struct health *health, const char *node, const char *worker, struct reeve_value *verdict)
{
    const struct health_worker *own = find(health, node, worker);
    if (own == NULL || own->level == HEALTH_UNKNOWN) {
        return;
    }
    reeve_put_str(verdict, "health", health_level_text((enum health_level)own->level));
    const struct fleet_worker *known = own->failing == 0 ? NULL : fleet_worker(health->manager->fleet, node, worker);
    if (known == NULL) {
        return;
    }
    struct names names;
    struct health_check checks[HEALTH_CHECKS_MAX];
    char text[sizeof checks[0].name + sizeof checks[0].message + 4];
    const struct fleet_worker_info info = info_of(health, known, &names);
    const struct health_facts facts = health_facts(health, own, &info);
    size_t len = health_check_all(&facts, checks);
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < len; i++) {
        if (!checks[i].ok) {
            (void)snprintf(text, sizeof text, "%s: %s", checks[i].name, checks[i].message); /* fits */
            (void)reeve_value_add(list, reeve_value_str(text)); /* remembered: reeve_value_built() */
        }
    }
    (void)reeve_value_put(verdict, "checks_failing", list); /* remembered: reeve_value_built() */
}
