// A new template, rolled out: some new workers first where canaries are asked for, then old ones replaced as new ones prove
// healthy, and back to the last good version when too many fail. Versions and their history.
// Must not: place or end workers by other means than the rest of the pool's rooms do.
#include "pool_room.h"

#include "health.h"

#include <reeve/clock.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- versions -------------------------------------------------------------------------------------------------------

static const char *version_key(char buf[STORE_KEY_SIZE], const struct pool *pool, int64_t version)
{
    (void)snprintf(buf, STORE_KEY_SIZE, "%s/%010lld", pool->name, (long long)version); /* fits */
    return buf;
}

struct trimming {
    char keys[VERSIONS_KEPT * 2][STORE_KEY_SIZE];
    size_t len;
};

static void note_version(const char *key, const struct reeve_value *value, void *arg)
{
    (void)value;
    struct trimming *trimming = arg;
    if (trimming->len < REEVE_ARRAY_LEN(trimming->keys)) {
        (void)snprintf(trimming->keys[trimming->len++], STORE_KEY_SIZE, "%s", key); /* same size */
    }
}

// The oldest go first; a version that some worker still runs, and the good one, stay.
static void trim_versions(struct pool *pool)
{
    struct manager *manager = pool->pools->manager;
    struct trimming *trimming = calloc(1, sizeof *trimming);
    char prefix[STORE_KEY_SIZE];
    (void)snprintf(prefix, sizeof prefix, "%s/", pool->name); /* a name */
    if (trimming == NULL || store_each(manager->store, STORE_POOL_VERSION, prefix, note_version, trimming, NULL) != REEVE_OK) {
        free(trimming);
        return; // kept longer
    }
    for (size_t i = 0; i + VERSIONS_KEPT < trimming->len; i++) {
        int64_t version = 0;
        bool used = reeve_parse_i64(trimming->keys[i] + strlen(prefix) + strspn(trimming->keys[i] + strlen(prefix), "0"),
                                    &version, NULL) != REEVE_OK ||
                    version == pool->good_version;
        for (struct reeve_map_iter it = {0}; !used && reeve_map_next(pool->members, &it);) {
            used = ((const struct member *)it.value)->version == version;
        }
        if (!used) {
            (void)store_remove(manager->store, STORE_POOL_VERSION, trimming->keys[i], NULL); /* the commit tells */
        }
    }
    free(trimming);
}

enum reeve_err pool_version_put(struct pool *pool, const char *by, bool good)
{
    char key[STORE_KEY_SIZE];
    struct reeve_value *template = NULL;
    REEVE_VALUE_AUTO row = reeve_value_map();
    enum reeve_err err = reeve_spec_encode(&pool->spec.template, REEVE_ENCODE_WITH_SECRETS, &template);
    if (err != REEVE_OK) {
        return err;
    }
    (void)reeve_value_put(row, "template", template); /* remembered: reeve_value_built() */
    reeve_put_int(row, "at", reeve_clock_wall_ms());
    reeve_put_str_opt(row, "by", by);
    reeve_put_bool(row, "good", good);
    (void)store_put(pool->pools->manager->store, STORE_POOL_VERSION, version_key(key, pool, pool->version), row,
                    NULL); /* a failure breaks the turn: the commit tells */
    trim_versions(pool);
    return REEVE_OK;
}

static void mark_good(struct pool *pool)
{
    char key[STORE_KEY_SIZE];
    struct reeve_value *row = NULL;
    struct store *store = pool->pools->manager->store;
    pool->good_version = pool->version;
    if (store_get(store, STORE_POOL_VERSION, version_key(key, pool, pool->version), &row, NULL) == REEVE_OK) {
        reeve_put_bool(row, "good", true);
        (void)store_put(store, STORE_POOL_VERSION, key, row, NULL); /* the commit tells */
        reeve_value_free(row);
    }
}

struct reeve_value *pool_version_template(const struct pool *pool, int64_t version)
{
    char key[STORE_KEY_SIZE];
    struct reeve_value *row = NULL;
    struct reeve_value *template = NULL;
    if (version == pool->version || version == 0) { // 0: adopted, of nobody knows which
        return reeve_spec_encode(&pool->spec.template, REEVE_ENCODE_WITH_SECRETS, &template) == REEVE_OK ? template : NULL;
    }
    if (store_get(pool->pools->manager->store, STORE_POOL_VERSION, version_key(key, pool, version), &row, NULL) == REEVE_OK) {
        template = reeve_value_clone(reeve_value_get(row, "template"));
        reeve_value_free(row);
    }
    return template;
}

// A stored template as the pool's own, in both of its forms: what is stored and what is asked for must not differ after a restart.
static enum reeve_err take_template(struct pool *pool, int64_t version, bool dry_run, struct reeve_why *why)
{
    struct reeve_spec spec;
    REEVE_VALUE_AUTO template = pool_version_template(pool, version);
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (template == NULL || errors == NULL) {
        free(errors);
        return reeve_fail(why, REEVE_NOENT, "pool %s has no version %lld; `history` lists them", pool->name, (long long)version);
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_spec_decode(template, "template", &spec, errors);
    if (err != REEVE_OK) {
        err = reeve_errors_result(errors, why);
    } else if (dry_run) {
        reeve_spec_done(&spec);
    } else {
        reeve_spec_done(&pool->spec.template);
        pool->spec.template = spec;
        reeve_value_free(pool->spec.template_value);
        pool->spec.template_value = reeve_value_take(&template);
    }
    free(errors);
    return err;
}

// ---- the update ---------------------------------------------------------------------------------------------------------

bool pool_outdated(const struct member *member)
{
    return member->version != member->pool->version;
}

void pool_update_begin(struct pool *pool, int64_t version, const char *cause)
{
    struct reeve_value *detail = reeve_value_map();
    bool canary = pool->spec.update.canary > 0 && pool_desired(pool) > pool->spec.update.canary;
    pool->version = version;
    pool->update = reeve_map_len(pool->members) == 0 ? UPDATE_NONE : canary ? UPDATE_CANARY : UPDATE_ROLLING;
    pool->update_failures = 0;
    pool->canary_until_at = 0;
    pool->spec_dirty = true;
    if (pool->update == UPDATE_NONE) {
        mark_good(pool); // nobody runs it yet: there is nothing to compare with, and nothing to return to
    }
    reeve_put_int(detail, "version", version);
    pool_event(pool, "update_begun", detail, "version %lld: %s", (long long)version, cause);
    pool_store(pool);
    pool_changed(pool);
}

static void end_update(struct pool *pool)
{
    struct reeve_value *detail = reeve_value_map();
    bool another = pool->good_version != pool->version; // not the way back from a bad one
    mark_good(pool);
    pool->update = UPDATE_NONE;
    reeve_put_int(detail, "version", pool->version);
    pool_event(pool, "update_done", detail, "version %lld runs everywhere", (long long)pool->version);
    if (another) {
        alarm_close(pool->pools->manager, "update_undone", pool->name);
    }
    pool_store(pool);
    pool_changed(pool);
}

static void give_up(struct pool *pool, const char *cause)
{
    alarm_open(pool->pools->manager, "update_undone", pool->name, ALARM_ERROR, NULL,
               "pool %s: version %lld fails (%s) and there is no good one to return to", pool->name,
               (long long)pool->version, cause);
    pool_event(pool, "update_failed", NULL, "version %lld fails (%s) and there is no good one to return to",
               (long long)pool->version, cause);
    pool->update = UPDATE_NONE;
}

// Back to the last good version: rolled out in the same way but without canaries. The alarm stays until another version proves good.
static void undo(struct pool *pool, const char *cause)
{
    int64_t bad = pool->version;
    int64_t good = pool->good_version;
    bool can = good > 0 && good != bad && take_template(pool, good, false, NULL) == REEVE_OK;
    pool->update_failures = 0;
    if (!can) {
        give_up(pool, cause);
    } else {
        struct reeve_value *detail = reeve_value_map();
        pool->version = good;
        pool->update = UPDATE_ROLLING;
        pool->spec_dirty = true;
        reeve_put_int(detail, "version", bad);
        reeve_put_int(detail, "back_to", good);
        pool_event(pool, "update_undone", detail, "version %lld fails (%s): back to version %lld", (long long)bad, cause,
                   (long long)good);
        alarm_open(pool->pools->manager, "update_undone", pool->name, ALARM_ERROR, NULL,
                   "pool %s: version %lld fails (%s), back to version %lld", pool->name, (long long)bad, cause, (long long)good);
    }
    pool_store(pool);
    pool_changed(pool);
}

struct tally { // of the ACTIVE members
    int64_t total, fresh, fresh_healthy, old, old_ready;
    int64_t fresh_settled;         // those stopped by hand included
    struct member *victim;         // an old one that may go: not ready before ready, idle before busy
    int victim_rank;
    struct member *failed;         // a new one that has failed and is not counted yet
    char failed_why[200];
};

bool member_healthy_for(const struct member *member, const struct seen *seen, int64_t ms)
{
    const struct manager *manager = member->pool->pools->manager;
    int64_t since = health_healthy_since(manager->health, member->node, member->name);
    int64_t run_since = seen->info.run_since_mono;
    bool warned = health_of(manager->health, member->node, member->name) == HEALTH_WARNING; // that is not unhealthy
    since = warned || since < run_since ? run_since : since;
    return seen->ready && seen->healthy && since > 0 && reeve_clock_mono_ms() - since >= ms;
}

// Counted on the manager's own clock from when it could see the worker: one that was away itself can't blame anybody.
static bool too_late(const struct member *member)
{
    const struct pool *pool = member->pool;
    int64_t since = member->known_since_mono > pool->blind_mono ? member->known_since_mono : pool->blind_mono;
    return reeve_clock_mono_ms() - since > pool->spec.update.deadline_ms;
}

static void tally_fresh(struct tally *tally, struct member *member, const struct seen *seen)
{
    bool healthy = member_healthy_for(member, seen, member->pool->spec.update.healthy_ms);
    member->proven = member->proven || healthy;
    tally->fresh++;
    tally->fresh_healthy += healthy ? 1 : 0;
    tally->fresh_settled += healthy || seen->stopped_by_hand ? 1 : 0;
    bool failed = seen->failed || (!member->proven && !seen->stopped_by_hand && too_late(member));
    if (failed && !member->failed_update) {
        tally->failed = member;
        (void)snprintf(tally->failed_why, sizeof tally->failed_why, "%s/%s %s", member->node, member->name,
                       seen->failed ? "has failed" : "was not healthy in time"); /* cut */
    }
}

static void tally_old(struct tally *tally, struct member *member, const struct seen *seen)
{
    int rank = !seen->reachable ? 0 : !seen->ready ? 4 : seen->busy || seen->unsafe || member->lease_id[0] != '\0' ? 1 : 3;
    tally->old++;
    tally->old_ready += seen->ready ? 1 : 0;
    if (rank > tally->victim_rank) {
        tally->victim = member;
        tally->victim_rank = rank;
    }
}

static struct tally count(struct pool *pool)
{
    struct tally tally = {0};
    for (struct reeve_map_iter it = {0}; reeve_map_next(pool->members, &it);) {
        struct member *member = it.value;
        struct seen seen = member_seen(member);
        if (!member_counts(member)) {
            continue;
        }
        tally.total++;
        if (pool_outdated(member)) {
            tally_old(&tally, member, &seen);
        } else {
            tally_fresh(&tally, member, &seen);
        }
    }
    return tally;
}

int64_t pool_surge(const struct pool *pool)
{
    bool over = pool->update == UPDATE_NONE || pool->draining || pool->deleting;
    return over || pool->spec.partition.single_active ? 0 : pool->spec.update.max_surge;
}

static bool canaries_wait(struct pool *pool, const struct tally *tally)
{
    int64_t now = reeve_clock_wall_ms();
    if (pool->update != UPDATE_CANARY) {
        return false;
    }
    if (tally->fresh_healthy < pool->spec.update.canary) {
        pool->canary_until_at = 0;
        return tally->fresh >= pool->spec.update.canary;
    }
    if (pool->canary_until_at == 0) {
        pool->canary_until_at = now + pool->spec.update.canary_ms;
        pool_store(pool);
    }
    if (now < pool->canary_until_at) {
        return true;
    }
    pool->update = UPDATE_ROLLING;
    pool_event(pool, "update_canaries_held", NULL, "version %lld: the canaries held", (long long)pool->version);
    pool_store(pool);
    return false;
}

// New ones beyond the desired size as far as the surge goes; in the region of the old one that goes next.
static void add_fresh(struct pool *pool, const struct tally *tally)
{
    int64_t desired = pool_desired(pool);
    int64_t goal = pool->update == UPDATE_CANARY ? pool->spec.update.canary : desired;
    int64_t room = desired + pool_surge(pool) - tally->total;
    int64_t wanted = goal - tally->fresh;
    const char *region = tally->victim != NULL && tally->victim->region[0] != '\0' ? tally->victim->region : NULL;
    if (room > 0 && wanted > 0 && tally->old > 0) {
        (void)pool_create(pool, region, room < wanted ? room : wanted); /* less: the next tick goes on */
    }
}

static void drop_failed(struct pool *pool, struct tally *tally)
{
    struct member *failed = tally->failed;
    if (failed == NULL) {
        return;
    }
    pool->update_failures++;
    failed->failed_update = true;
    pool_store(pool);
    if (pool->spec.update.failures_max > 0 && pool->update_failures >= pool->spec.update.failures_max) {
        undo(pool, tally->failed_why);
    } else {
        member_leave(failed, true, "it failed in the update");
    }
}

void pool_update_step(struct pool *pool)
{
    if (pool->update == UPDATE_NONE || pool->draining || pool->deleting) {
        return;
    }
    struct tally tally = count(pool);
    int64_t desired = pool_desired(pool);
    bool spare = tally.old_ready + tally.fresh_healthy > desired - pool->spec.update.max_unavailable || tally.victim_rank == 4;
    if (tally.failed != NULL) {
        drop_failed(pool, &tally);
        return;
    }
    if (tally.old == 0 && tally.fresh >= desired && tally.fresh_settled >= desired) {
        end_update(pool);
        return;
    }
    if (canaries_wait(pool, &tally)) {
        // As many old ones go as canaries stand, and no more.
        if (tally.total > desired && tally.victim != NULL && tally.fresh_healthy > 0 && spare) {
            member_leave(tally.victim, false, "a canary stands in its place");
        }
        return;
    }
    add_fresh(pool, &tally);
    if (pool->update == UPDATE_CANARY && tally.old <= desired - pool->spec.update.canary) {
        return; // their places are free; the canaries are on the way
    }
    bool in_step = tally.fresh + tally.old > desired || pool->spec.update.max_unavailable > 0 ||
                   pool->spec.partition.single_active;
    if (spare && in_step && tally.victim != NULL) {
        member_leave(tally.victim, false, "the pool has a newer version");
    }
}

struct reeve_value *pool_update_value(const struct pool *pool)
{
    if (pool->update == UPDATE_NONE) {
        return NULL;
    }
    struct reeve_value *update = reeve_value_map();
    reeve_put_str(update, "phase", pool->update == UPDATE_CANARY ? "canary" : "rolling");
    reeve_put_int(update, "target", pool->version);
    reeve_put_int(update, "good_version", pool->good_version);
    reeve_put_int(update, "failures", pool->update_failures);
    if (pool->canary_until_at > 0) {
        reeve_put_int(update, "canary_until_at", pool->canary_until_at);
    }
    return update;
}

// ---- ops ------------------------------------------------------------------------------------------------------------------

const struct reeve_record op_pool_history_args = NO_ARGS("history");
const struct reeve_record op_pool_restart_args = NO_ARGS("restart");

struct rollback_args {
    int64_t version;
};
static const struct reeve_field rollback_fields[] = {
    {.name = "version", .type = REEVE_FIELD_INT, .offset = offsetof(struct rollback_args, version), .min = 0,
     .max = INT64_MAX, .doc = "Which one; preset: the last good one that is not the current."}};
const struct reeve_record op_pool_rollback_args = REEVE_RECORD("rollback", struct rollback_args, rollback_fields, "");

struct listing {
    const struct pool *pool;
    struct reeve_value *versions;
    int64_t before; // the newest good version that is not the current one
};

static int64_t version_of_key(const char *key)
{
    const char *slash = strrchr(key, '/');
    return slash != NULL ? strtoll(slash + 1, NULL, 10) : 0;
}

static void list_version(const char *key, const struct reeve_value *value, void *arg)
{
    struct listing *listing = arg;
    struct reeve_value *entry = reeve_value_map();
    const struct reeve_value *template = reeve_value_get(value, "template");
    int64_t version = version_of_key(key);
    char digest[24];
    reeve_put_int(entry, "version", version);
    reeve_put_int(entry, "at", reeve_get_int(value, "at", 0));
    reeve_put_str_opt(entry, "by", reeve_get_str(value, "by"));
    reeve_put_bool(entry, "good", reeve_get_bool(value, "good", false));
    reeve_put_bool(entry, "current", version == listing->pool->version);
    (void)snprintf(digest, sizeof digest, "%016llx", (unsigned long long)reeve_value_digest(template));
    reeve_put_str(entry, "digest", digest);
    reeve_put_str_opt(entry, "type", reeve_get_str(template, "type"));
    if (reeve_get_bool(value, "good", false) && version != listing->pool->version && version > listing->before) {
        listing->before = version;
    }
    (void)reeve_value_add(listing->versions, entry); /* remembered: reeve_value_built() */
}

static enum reeve_err list_versions(const struct pool *pool, struct listing *ret, struct reeve_why *why)
{
    char prefix[STORE_KEY_SIZE];
    (void)snprintf(prefix, sizeof prefix, "%s/", pool->name); /* a name */
    *ret = (struct listing){.pool = pool, .versions = reeve_value_list()};
    return store_each(pool->pools->manager->store, STORE_POOL_VERSION, prefix, list_version, ret, why);
}

enum reeve_err op_pool_history_run(struct call *call, struct reeve_why *why)
{
    struct listing listing;
    struct pool *pool = pool_of_call(call, why);
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    enum reeve_err err = list_versions(pool, &listing, why);
    if (err != REEVE_OK) {
        reeve_value_free(listing.versions);
        return err;
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "pool", pool->name);
    (void)reeve_value_put(result, "versions", listing.versions); /* remembered: reeve_value_built() */
    return call_done(call, result, NULL);
}

enum reeve_err op_pool_rollback_run(struct call *call, struct reeve_why *why)
{
    struct listing listing;
    struct pool *pool = pool_of_call(call, why);
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    int64_t version = ((struct rollback_args *)call->args)->version;
    enum reeve_err err = list_versions(pool, &listing, why);
    reeve_value_free(listing.versions);
    version = version > 0 ? version : listing.before;
    if (err == REEVE_OK && version == 0) {
        err = reeve_fail(why, REEVE_NOENT, "pool %s has no earlier good version", pool->name);
    }
    if (err == REEVE_OK && version == pool->version) {
        err = reeve_fail(why, REEVE_CONFLICT, "version %lld is the current one", (long long)version);
    }
    int64_t from = pool->version;
    err = err == REEVE_OK ? take_template(pool, version, call->command.dry_run, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    if (!call->command.dry_run) {
        pool_update_begin(pool, version, "rollback");
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "pool", pool->name);
    reeve_put_int(result, "from", from);
    reeve_put_int(result, "version", version);
    return call_done(call, result, NULL);
}

enum reeve_err op_pool_restart_run(struct call *call, struct reeve_why *why)
{
    struct pool *pool = pool_of_call(call, why);
    if (pool == NULL) {
        return REEVE_NOENT;
    }
    if (pool->update != UPDATE_NONE) {
        return reeve_fail(why, REEVE_CONFLICT, "an update to version %lld is under way", (long long)pool->version);
    }
    struct reeve_value *result = reeve_value_map();
    reeve_put_str(result, "pool", pool->name);
    reeve_put_int(result, "from", pool->version);
    if (!call->command.dry_run) { // the same template under a new number: every worker is outdated
        pool->version = ++pool->last_version;
        (void)pool_version_put(pool, call->command.issuer, false); /* the commit tells */
        pool_update_begin(pool, pool->version, "rolling restart");
    }
    reeve_put_int(result, "version", pool->version);
    return call_done(call, result, NULL);
}
