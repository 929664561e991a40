// Judging: the fold's verdict, what of it may be believed so shortly after the start, what is published of it, and when
// time alone can change it. See fleet_internal.h for the deadlines.
// Must not: take messages, or hold an opinion of its own about a worker; the fold has it.
#include "fleet_internal.h"

#include "health.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void earlier(int64_t *look, int64_t at)
{
    if (at > 0 && (*look == 0 || at < *look)) {
        *look = at;
    }
}

// ---- one worker's verdict ---------------------------------------------------------------------------------------

static struct reeve_verdict as_it_stands(const struct fleet_worker *worker, const char *why, int64_t look)
{
    struct reeve_verdict verdict = {.state = worker->state,
                                    .last_known = worker->last_known,
                                    .availability = worker->availability,
                                    .source = worker->source,
                                    .unsupervised = worker->unsupervised,
                                    .rule = worker->rule,
                                    .next_look = look};
    (void)snprintf(verdict.why, sizeof verdict.why, "%s", why != NULL ? why : ""); /* a record's; cut where too long */
    return verdict;
}

// Nothing is left of the worker but what a former manager said of it.
static struct reeve_verdict of_a_ghost(const struct fleet_worker *worker)
{
    struct reeve_verdict verdict = {.state = REEVE_STATE_UNKNOWN,
                                    .last_known = worker->last_known,
                                    .source = REEVE_SOURCE_INFERRED,
                                    .why = "nothing has been heard of it since the manager began"};
    return verdict;
}

static bool same(const struct reeve_verdict *a, const struct reeve_verdict *b)
{
    return a->state == b->state && a->availability == b->availability && a->unsupervised == b->unsupervised &&
           a->last_known == b->last_known;
}

// A reader that has just begun can't tell a death from a restart of the broker [session-9]. What would be the same
// either way is certain; for the rest stands what the former manager said, and where it said nothing, nothing is said.
static struct reeve_verdict judge_at_start(const struct fleet *fleet, const struct fleet_worker *worker, int64_t now,
                                           int64_t held_until, bool *ret_former, bool *ret_unsure)
{
    struct reeve_verdict held = of_a_ghost(worker);
    if (worker->known != NULL) {
        held = reeve_registry_verdict(fleet->registry, worker->known, now);
        struct reeve_verdict clear = reeve_registry_verdict_unheld(fleet->registry, worker->known, now);
        if (same(&held, &clear)) {
            clear.next_look = held_until;
            return clear;
        }
    }
    *ret_former = worker->former;
    *ret_unsure = !worker->former;
    if (worker->former) {
        return as_it_stands(worker, worker->former_why, held_until);
    }
    held.last_known = held.state;
    held.state = REEVE_STATE_UNKNOWN;
    held.availability = REEVE_AVAILABILITY_NONE;
    held.source = REEVE_SOURCE_INFERRED;
    held.unsupervised = false;
    held.next_look = held_until;
    (void)snprintf(held.why, sizeof held.why, "the manager has just begun, its session may be coming back"); /* fits */
    return held;
}

static struct reeve_verdict verdict_at(const struct fleet *fleet, const struct fleet_worker *worker, int64_t now,
                                       bool *ret_former, bool *ret_unsure)
{
    int64_t held_until = reeve_registry_held_until(fleet->registry, now);
    *ret_former = false;
    *ret_unsure = false;
    if (!fleet->sighted && fleet->held) {
        return judge_at_start(fleet, worker, now, held_until, ret_former, ret_unsure);
    }
    return worker->known != NULL ? reeve_registry_verdict(fleet->registry, worker->known, now) : of_a_ghost(worker);
}

struct reeve_verdict fleet_verdict(const struct fleet *fleet, const struct fleet_worker *worker)
{
    bool former;
    bool unsure;
    return verdict_at(fleet, worker, reeve_clock_mono_ms(), &former, &unsure);
}

bool fleet_may_be_gone(const struct fleet_worker *worker)
{
    return worker->rule == 0 || worker->rule == 6 || worker->rule == 8 ||
           (worker->rule == 7 && worker->state == REEVE_STATE_STOPPED);
}

// ---- saying -----------------------------------------------------------------------------------------------------

static void said(struct manager *manager, bool committed, void *arg)
{
    struct fleet *fleet = arg;
    uint32_t turn = fleet->turn++;
    (void)manager;
    fleet->telling = false;
    if (committed) {
        return;
    }
    fleet->recheck = true; // documents went with the turn
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        struct fleet_node *node = fleet->nodes[i];
        for (size_t k = 0; k < node->workers_len; k++) {
            struct fleet_worker *worker = node->workers[k];
            if (worker->said_turn == turn) {
                worker->published = 0;
                worker->look = 1; // at once
                node->look = 1;
            }
        }
    }
    fleet_arm(fleet);
}

static void forget_former_health(struct fleet_worker *worker)
{
    reeve_value_free(worker->former_health);
    worker->former_health = NULL;
}

static void say(struct fleet *fleet, struct fleet_worker *worker, const char *why)
{
    const struct health *health = fleet->manager->health;
    if (worker->former_health != NULL && health != NULL &&
        health_of(health, worker->node->name, worker->name) != HEALTH_UNKNOWN) {
        forget_former_health(worker);
    }
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO record = fleet_record(fleet, worker, why);
    if (record == NULL || reeve_value_built(record) != REEVE_OK) {
        worker->digest = 0; // out of memory: with the next message
        return;
    }
    uint64_t digest = reeve_value_digest(record);
    worker->digest = digest;
    if (digest == worker->published) {
        fleet->counters.verdicts_unchanged++;
        return;
    }
    worker->published = digest;
    worker->said_turn = fleet->turn;
    fleet->counters.verdicts++;
    reeve_put_int(record, "at", reeve_clock_wall_ms());
    (void)snprintf(topic, sizeof topic, "fleet/%s/%s", worker->node->name, worker->name); /* names are bounded */
    manager_publish(fleet->manager, LEAVING_RECORD, topic, reeve_value_take(&record), 0);
    if (!fleet->telling) {
        fleet->telling = true;
        manager_after_commit(fleet->manager, said, fleet);
    }
}

// ---- judging ----------------------------------------------------------------------------------------------------

// Since when: the daemon knows it best, where the state is its own.
static int64_t since_of(const struct fleet_worker *worker, const struct reeve_verdict *verdict, bool changed)
{
    bool of_process = verdict->rule == 1 || verdict->rule == 2 || verdict->rule == 4;
    if (of_process && worker->process.since > 0) {
        return worker->process.since;
    }
    if (!changed) {
        return worker->since_at;
    }
    bool began = !worker->judged && !worker->former && verdict->rule == 7 && worker->status.started_at > 0;
    return began ? worker->status.started_at : reeve_clock_wall_ms();
}

static void log_change(const struct fleet_worker *worker, const struct reeve_verdict *verdict)
{
    char quoted[400];
    reeve_log(REEVE_LOG_INFO, "verdict", "worker=%s/%s from=%s to=%s cause=%s", worker->node->name, worker->name,
              reeve_state_text(worker->state), reeve_state_text(verdict->state),
              reeve_log_quote(verdict->why, quoted, sizeof quoted));
}

static void set_verdict(struct fleet_worker *worker, const struct reeve_verdict *verdict)
{
    bool known = worker->judged || worker->former;
    bool state = worker->state != verdict->state || worker->unsupervised != verdict->unsupervised || !known;
    if (state || worker->availability != verdict->availability) {
        worker->changed_mono = reeve_clock_mono_ms();
    }
    if (known && worker->state != verdict->state) {
        log_change(worker, verdict);
        forget_former_health(worker); // of another state
    }
    worker->since_at = since_of(worker, verdict, state);
    worker->state = (uint8_t)verdict->state;
    worker->last_known = (uint8_t)verdict->last_known;
    worker->availability = (uint8_t)verdict->availability;
    worker->source = (uint8_t)verdict->source;
    worker->unsupervised = verdict->unsupervised;
    worker->rule = (uint8_t)verdict->rule;
    worker->judged = true;
    worker->former = false;
    free(worker->former_why);
    worker->former_why = NULL;
}

static void set_away(struct fleet *fleet, struct fleet_worker *worker)
{
    bool away = fleet_may_be_gone(worker);
    if (fleet->held || away == worker->away) {
        return; // nothing is concluded from silence while verdicts are held
    }
    if (away) {
        fleet_now_away(fleet, worker);
    } else {
        fleet_now_back(fleet, worker);
    }
}

void fleet_judge(struct fleet *fleet, struct fleet_worker *worker)
{
    bool former;
    bool unsure;
    struct reeve_verdict verdict = verdict_at(fleet, worker, reeve_clock_mono_ms(), &former, &unsure);
    worker->look = verdict.next_look;
    worker->unsure = unsure;
    earlier(&worker->node->look, verdict.next_look);
    if (!former) {
        bool judged = worker->judged;
        set_verdict(worker, &verdict);
        worker->judged = judged || !unsure; // what was unsure is no state that it had
        if (!fleet->sighted && !unsure) {   // certain so far: it stands should that end
            worker->former = true;
            worker->former_why = strdup(verdict.why); // out of memory: its words are then missing
        }
        set_away(fleet, worker);
    }
    uint64_t seen = fleet_seen(worker, verdict.why);
    if (seen == worker->seen && worker->published != 0 && worker->published == worker->digest) {
        return;
    }
    bool told = seen != worker->seen;
    worker->seen = seen;
    if (!unsure && worker->leaving_mono == 0) {
        say(fleet, worker, verdict.why);
    }
    if (told) {
        fleet_tell(fleet, FLEET_WORKER, worker->node, worker);
    }
}

void fleet_touch(struct fleet *fleet, const char *node, const char *name)
{
    struct fleet_worker *worker = fleet_find_worker(fleet, node, name);
    if (worker != NULL && fleet->ready && !worker->unsure && worker->leaving_mono == 0) {
        bool former;
        bool unsure;
        struct reeve_verdict verdict = verdict_at(fleet, worker, reeve_clock_mono_ms(), &former, &unsure);
        say(fleet, worker, verdict.why);
    }
}

// ---- nodes ------------------------------------------------------------------------------------------------------

// `ret_unheld`: the same without the grace; at the start its workers' verdicts rest on both.
static enum reeve_liveness liveness_of(const struct fleet *fleet, const struct fleet_node *node, int64_t now,
                                       uint8_t *ret_unheld)
{
    *ret_unheld = REEVE_ABSENT;
    if (node->known == NULL) {
        return REEVE_ABSENT;
    }
    enum reeve_liveness held = reeve_registry_node_liveness(fleet->registry, node->known, now);
    *ret_unheld = (uint8_t)held;
    if (fleet->sighted || !fleet->held) {
        return held;
    }
    *ret_unheld = (uint8_t)reeve_liveness(&node->known->status, &node->known->lwt, REEVE_NODE_HEARTBEAT_MS, now);
    return held;
}

static uint64_t digest_without(const struct reeve_value *record, const char *const *keys, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < reeve_value_len(record); i++) {
        const char *key = reeve_value_key(record, i);
        bool left_out = false;
        for (size_t k = 0; k < len; k++) {
            left_out = left_out || strcmp(key, keys[k]) == 0;
        }
        uint64_t entry[2] = {reeve_hash64(key, strlen(key)), reeve_value_digest(reeve_value_at(record, i))};
        sum += left_out ? 0 : reeve_hash64(entry, sizeof entry);
    }
    return sum;
}

static bool read_node(struct fleet_node *node)
{
    static const char *const beats[] = {"at", "beat", "workers", "round_trip"};
    const struct reeve_value *record = node->known != NULL ? node->known->record : NULL;
    uint64_t digest = digest_without(record, beats, REEVE_ARRAY_LEN(beats));
    const char *region = reeve_get_str(record, "region");
    uint64_t shown[2] = {region != NULL ? reeve_hash64(region, strlen(region)) : 0,
                         reeve_value_digest(fleet_node_labels(node))};
    bool changed = digest != node->attrs_digest;
    node->attrs_digest = digest;
    node->labels_digest = reeve_hash64(shown, sizeof shown);
    node->draining = reeve_str_eq(reeve_get_str(record, "state"), "draining");
    return changed;
}

static void judge_workers(struct fleet *fleet, struct fleet_node *node)
{
    for (size_t i = 0; i < node->workers_len; i++) {
        fleet_judge(fleet, node->workers[i]);
    }
}

// The first ms at which a live node's status is too old.
static int64_t silent_at(const struct fleet_node *node)
{
    const struct reeve_witness *status = &node->known->status;
    int64_t beat_ms = status->heartbeat_ms > 0 ? status->heartbeat_ms : REEVE_NODE_HEARTBEAT_MS;
    return status->arrived + beat_ms * 5 / 2 + 1;
}

static void plan_look(struct fleet *fleet, struct fleet_node *node, int64_t now)
{
    int64_t held_until = reeve_registry_held_until(fleet->registry, now);
    if (fleet->held) {
        earlier(&node->look, held_until == INT64_MAX ? 0 : held_until);
        if (!fleet->sighted && node->unheld == REEVE_LIVE) {
            earlier(&node->look, silent_at(node)); // from then on it may be dead
        }
    } else if (node->liveness == REEVE_LIVE) {
        earlier(&node->look, silent_at(node));
    } else {
        earlier(&fleet->forget_look, node->away_since_mono + fleet->manager->config.manager.forget_after_ms);
    }
}

// `everybody`: its workers are judged in any case.
static void judge_node(struct fleet *fleet, struct fleet_node *node, bool everybody)
{
    int64_t now = reeve_clock_mono_ms();
    uint8_t unheld;
    enum reeve_liveness held = liveness_of(fleet, node, now, &unheld);
    // One that may be dead is `stale` until that is certain: nobody is to be placed there yet.
    enum reeve_liveness liveness = held == unheld ? held : REEVE_STALE;
    uint64_t labels = node->labels_digest;
    bool changed = read_node(node) || liveness != node->liveness || !node->judged;
    bool workers =
        everybody || held != node->held || unheld != node->unheld || labels != node->labels_digest || !node->judged;
    if (liveness != REEVE_LIVE && (node->liveness == REEVE_LIVE || !node->judged)) {
        node->away_since_mono = now;
    }
    node->liveness = (uint8_t)liveness;
    node->held = (uint8_t)held;
    node->unheld = unheld;
    node->judged = true;
    node->away_since_mono = liveness == REEVE_LIVE ? 0 : node->away_since_mono;
    plan_look(fleet, node, now);
    if (changed) {
        fleet_tell(fleet, FLEET_NODE, node, NULL);
    }
    if (workers) {
        judge_workers(fleet, node);
    }
}

void fleet_judge_node(struct fleet *fleet, struct fleet_node *node)
{
    judge_node(fleet, node, false);
}

// ---- everybody --------------------------------------------------------------------------------------------------

// Entries without any record: at the beginning of a session the broker may have had one that was removed since.
static void drop_nothing(struct fleet *fleet)
{
    for (size_t i = fleet->nodes_len; i-- > 0;) {
        struct fleet_node *node = fleet->nodes[i];
        for (size_t k = node->workers_len; k-- > 0;) {
            struct fleet_worker *worker = node->workers[k];
            bool last = node->workers_len == 1 && node->known == NULL;
            if (worker->known == NULL && worker->published == 0) {
                fleet_drop_worker(fleet, worker);
            }
            if (last) {
                break; // the node may be gone with it
            }
        }
    }
}

void fleet_judge_all(struct fleet *fleet)
{
    fleet->counters.scans++;
    drop_nothing(fleet);
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        struct fleet_node *node = fleet->nodes[i];
        node->look = 0;
        judge_node(fleet, node, true);
    }
}

static void look_at_node(struct fleet *fleet, struct fleet_node *node, int64_t now)
{
    fleet->counters.scans++;
    node->look = 0;
    fleet_judge_node(fleet, node);
    for (size_t i = 0; i < node->workers_len; i++) {
        struct fleet_worker *worker = node->workers[i];
        if (worker->look != 0 && worker->look <= now) {
            fleet_judge(fleet, worker);
        } else {
            earlier(&node->look, worker->look);
        }
    }
}

void fleet_look(struct fleet *fleet)
{
    int64_t now = reeve_clock_mono_ms();
    if (!fleet->ready) {
        return;
    }
    if (fleet->held && reeve_registry_held_until(fleet->registry, now) == 0) {
        fleet->held = false;
        fleet->sighted = true;
        fleet_drop_unconfirmed(fleet);
        fleet_judge_all(fleet);
    }
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        struct fleet_node *node = fleet->nodes[i];
        if (node->look != 0 && node->look <= now) {
            look_at_node(fleet, node, now);
        }
    }
    if (fleet->recheck && !fleet->held) {
        fleet->recheck = false;
        fleet_remember_by_level(fleet);
    }
    if (fleet->forget_look != 0 && fleet->forget_look <= now && !fleet->held) {
        fleet_forget_due(fleet);
    }
    fleet_arm(fleet);
}

int64_t fleet_next_look(const struct fleet *fleet)
{
    int64_t look = 0;
    if (!fleet->ready) {
        return 0;
    }
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        earlier(&look, ((const struct fleet_node *)fleet->nodes[i])->look);
    }
    if (fleet->held) {
        int64_t until = reeve_registry_held_until(fleet->registry, reeve_clock_mono_ms());
        earlier(&look, until == 0 ? 1 : until); // over already: at once
        return look;
    }
    earlier(&look, fleet->recheck ? 1 : fleet->forget_look);
    earlier(&look, fleet->forget_look);
    return look;
}

void fleet_arm(struct fleet *fleet)
{
    int64_t look = fleet_next_look(fleet);
    if (look == 0 || look == INT64_MAX) {
        reeve_timer_stop(&fleet->timer);
        return;
    }
    // Only when it comes sooner: a later deadline is found when the earlier one has passed.
    if (!reeve_timer_armed(&fleet->timer) || fleet->timer.generation > (uint64_t)look) {
        reeve_timer_start(&fleet->timer, look - reeve_clock_mono_ms(), (uint64_t)look);
    }
}
