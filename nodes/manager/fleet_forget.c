// Who is gone for good: after `forget_after` what is retained of it is cleared, and when that comes back from the
// broker as removed, its verdict. The time since which it is away survives the manager in a document, written once per
// absence. Must not: forget anybody who may come back by itself: whose session lives, or whom a live node has.
#include "fleet_internal.h"

#include <reeve/clock.h>
#include <reeve/topic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORGET_AT_ONCE 500      // workers cleared in one look
#define CLEAR_AGAIN_MS 600000LL // when the broker did not do it
#define KEY_SIZE       (2UL * REEVE_NAME_SIZE)

static int64_t forget_after(const struct fleet *fleet)
{
    return fleet->manager->config.manager.forget_after_ms;
}

static void look_at(struct fleet *fleet, int64_t at)
{
    if (fleet->forget_look == 0 || at < fleet->forget_look) {
        fleet->forget_look = at;
    }
}

// ---- documents: <node>/<worker>, or <node> for a node itself --------------------------------------------------------

static const char *key_of(char key[KEY_SIZE], const struct fleet_node *node, const struct fleet_worker *worker)
{
    (void)snprintf(key, KEY_SIZE, "%s%s%s", node->name, worker != NULL ? "/" : "",
                   worker != NULL ? worker->name : ""); /* two names fit */
    return key;
}

static bool remember(struct fleet *fleet, const char *key, int64_t away_since_mono)
{
    REEVE_VALUE_AUTO document = reeve_value_map();
    reeve_put_int(document, "away_at", reeve_clock_wall_ms() - (reeve_clock_mono_ms() - away_since_mono));
    // Errors break the turn, and fleet_remember_by_level() does it again.
    return document != NULL && store_put(fleet->manager->store, STORE_WORKER, key, document, NULL) == REEVE_OK;
}

static void unremember(struct fleet *fleet, const char *key)
{
    if (store_remove(fleet->manager->store, STORE_WORKER, key, NULL) != REEVE_OK) {
        fleet->recheck = true; // the turn is broken
    }
}

void fleet_now_away(struct fleet *fleet, struct fleet_worker *worker)
{
    char key[KEY_SIZE];
    worker->away = true;
    worker->away_since_mono = reeve_clock_mono_ms();
    look_at(fleet, worker->away_since_mono + forget_after(fleet));
    if (!fleet->recheck) { // else it is done with all the others
        worker->remembered = remember(fleet, key_of(key, worker->node, worker), worker->away_since_mono);
    }
}

void fleet_now_back(struct fleet *fleet, struct fleet_worker *worker)
{
    char key[KEY_SIZE];
    worker->away = false;
    worker->away_since_mono = 0;
    worker->leaving_mono = 0;
    if (worker->remembered) {
        worker->remembered = false;
        unremember(fleet, key_of(key, worker->node, worker));
    }
}

// What the store says, compared with what is: at the start, and after a turn that was not written.
struct level {
    struct fleet *fleet;
    bool first;                // of this manager
    struct reeve_map *away_at; // key -> int64_t *, of the documents that nobody has claimed
};

static void read_document(const char *key, const struct reeve_value *value, void *arg)
{
    struct level *level = arg;
    int64_t *at = malloc(sizeof *at);
    void *old = NULL;
    if (at != NULL) {
        *at = reeve_get_int(value, "away_at", reeve_clock_wall_ms());
        if (reeve_map_put(level->away_at, key, at, &old) != REEVE_OK) {
            free(at); // it is written anew
        }
        free(old);
    }
}

// The wall clock may have jumped while no manager ran: an absence counts from 0 to forget_after.
static int64_t since_mono(const struct fleet *fleet, int64_t at)
{
    int64_t away_ms = reeve_clock_wall_ms() - at;
    away_ms = away_ms < 0 ? 0 : away_ms < forget_after(fleet) ? away_ms : forget_after(fleet);
    return reeve_clock_mono_ms() - away_ms;
}

// `at_hand`: since when, by what else is known (wall); 0 = nothing is.
static void claim(const struct level *level, const char *key, int64_t at_hand, int64_t *away_since_mono,
                  bool *remembered)
{
    struct fleet *fleet = level->fleet;
    int64_t *at = reeve_map_remove(level->away_at, key);
    if (level->first && (at != NULL || at_hand > 0)) {
        *away_since_mono = since_mono(fleet, at != NULL ? *at : at_hand);
    }
    *remembered = at != NULL || remember(fleet, key, *away_since_mono);
    look_at(fleet, *away_since_mono + forget_after(fleet));
    free(at);
}

static void claim_node(const struct level *level, struct fleet_node *node)
{
    char key[KEY_SIZE];
    node->remembered = false;
    if (node->liveness != REEVE_LIVE && node->known != NULL) {
        claim(level, key_of(key, node, NULL), 0, &node->away_since_mono, &node->remembered);
    }
    for (size_t i = 0; i < node->workers_len; i++) {
        struct fleet_worker *worker = node->workers[i];
        worker->remembered = false;
        if (worker->away) {
            claim(level, key_of(key, node, worker), worker->since_at, &worker->away_since_mono, &worker->remembered);
        }
    }
}

void fleet_remember_by_level(struct fleet *fleet)
{
    struct level level = {.fleet = fleet, .first = !fleet->remembered_once, .away_at = reeve_map_new(0)};
    struct reeve_why why = {.text = ""};
    if (level.away_at == NULL) {
        return;
    }
    if (store_each(fleet->manager->store, STORE_WORKER, "", read_document, &level, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "fleet", "documents=\"%s\" ignoring", why.text);
    }
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        claim_node(&level, fleet->nodes[i]);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(level.away_at, &it);) {
        unremember(fleet, it.key);
    }
    reeve_map_free(level.away_at, free);
    fleet->remembered_once = true;
}

// ---- forgetting -------------------------------------------------------------------------------------------------

static void clear(struct fleet *fleet, const char *form, const char *node, const char *worker, const char *leaf)
{
    char topic[REEVE_TOPIC_SIZE];
    (void)snprintf(topic, sizeof topic, "%s/%s%s%s/%s", form, node, worker[0] != '\0' ? "/" : "", worker,
                   leaf); /* fits */
    manager_publish(fleet->manager, LEAVING_RECORD, topic, NULL, 0);
}

// The registry hears of it from the broker, and the worker is dropped with its last record. One whose node is gone too
// loses its process record as well: a node that comes back writes it again [session-6].
static void clear_worker(struct fleet *fleet, struct fleet_worker *worker)
{
    const char *node = worker->node->name;
    fleet->counters.forgotten++;
    worker->leaving_mono = reeve_clock_mono_ms();
    reeve_log(REEVE_LOG_INFO, "forget", "worker=%s/%s state=%s", node, worker->name, reeve_state_text(worker->state));
    if (worker->known == NULL) {
        fleet_drop_worker(fleet, worker);
        return;
    }
    if (worker->known->process.present) {
        clear(fleet, "worker", node, worker->name, "process");
    }
    if (worker->known->status.present) {
        clear(fleet, "worker", node, worker->name, "status");
    }
    if (worker->known->lwt.present) {
        clear(fleet, "worker", node, worker->name, "lwt");
    }
}

static void clear_node(struct fleet *fleet, struct fleet_node *node)
{
    char key[KEY_SIZE];
    node->leaving_mono = reeve_clock_mono_ms();
    reeve_log(REEVE_LOG_INFO, "forget", "node=%s", node->name);
    if (node->known->status.present) {
        clear(fleet, "node", node->name, "", "status");
    }
    if (node->known->lwt.present) {
        clear(fleet, "node", node->name, "", "lwt");
    }
    if (node->remembered) {
        node->remembered = false;
        unremember(fleet, key_of(key, node, NULL));
    }
}

// When an entry is next to be looked at; `now` or before = it is due.
static int64_t due_at(const struct fleet *fleet, int64_t away_since_mono, int64_t leaving_mono)
{
    return leaving_mono > 0 ? leaving_mono + CLEAR_AGAIN_MS : away_since_mono + forget_after(fleet);
}

static size_t forget_workers(struct fleet *fleet, struct fleet_node *node, int64_t now, size_t room)
{
    size_t done = 0;
    for (size_t i = node->workers_len; i-- > 0;) { // from the end: one without records is taken out at once
        struct fleet_worker *worker = node->workers[i];
        bool last = node->workers_len == 1 && node->known == NULL;
        if (!worker->away) {
            continue;
        }
        int64_t at = due_at(fleet, worker->away_since_mono, worker->leaving_mono);
        if (at > now || done == room) {
            look_at(fleet, at);
            continue;
        }
        done++;
        bool ghost = worker->known == NULL;
        clear_worker(fleet, worker);
        look_at(fleet, now + CLEAR_AGAIN_MS);
        if (ghost && last) {
            return done; // the node went with it
        }
    }
    return done;
}

static void forget_node(struct fleet *fleet, struct fleet_node *node, int64_t now)
{
    if (node->liveness == REEVE_LIVE || node->known == NULL || node->workers_len > 0) {
        return; // its workers go first
    }
    int64_t at = due_at(fleet, node->away_since_mono, node->leaving_mono);
    if (at <= now) {
        clear_node(fleet, node);
        at = now + CLEAR_AGAIN_MS;
    }
    look_at(fleet, at);
}

void fleet_forget_due(struct fleet *fleet)
{
    int64_t now = reeve_clock_mono_ms();
    size_t room = FORGET_AT_ONCE;
    fleet->forget_look = 0;
    for (size_t i = fleet->nodes_len; i-- > 0;) {
        struct fleet_node *node = fleet->nodes[i];
        size_t len = fleet->nodes_len;
        room -= forget_workers(fleet, node, now, room);
        if (fleet->nodes_len == len) {
            forget_node(fleet, node, now);
        }
    }
}

enum reeve_err fleet_may_forget(const struct fleet *fleet, const char *node, const char *name, struct reeve_why *why)
{
    const struct fleet_worker *worker = fleet_find_worker(fleet, node, name);
    if (worker == NULL) {
        return reeve_fail(why, REEVE_NOENT, "no worker \"%s/%s\"", node, name);
    }
    if (!fleet_may_be_gone(worker) && worker->process.present && worker->node->liveness == REEVE_LIVE) {
        return reeve_fail(why, REEVE_CONFLICT, "node %s has %s (%s); `remove` it there", node, name,
                          reeve_state_text(worker->state));
    }
    if (!fleet_may_be_gone(worker)) {
        return reeve_fail(why, REEVE_CONFLICT, "%s is alive (%s)", name, reeve_state_text(worker->state));
    }
    if (fleet_held(fleet) || !worker->away) {
        return reeve_fail(why, REEVE_CONFLICT,
                          "the manager's own session has just begun; whether %s is gone is not known yet", name);
    }
    return REEVE_OK;
}

enum reeve_err fleet_forget(struct fleet *fleet, const char *node, const char *name, struct reeve_why *why)
{
    enum reeve_err err = fleet_may_forget(fleet, node, name, why);
    if (err == REEVE_OK) {
        clear_worker(fleet, fleet_find_worker(fleet, node, name));
        look_at(fleet, reeve_clock_mono_ms() + CLEAR_AGAIN_MS);
        fleet_arm(fleet);
    }
    return err;
}

// ---- what was removed while the manager was away --------------------------------------------------------------------

static bool unconfirmed(const struct fleet *fleet, const struct fleet_worker *worker)
{
    return worker->process.present && worker->process_session != fleet->session;
}

static void remove_leaf(struct fleet *fleet, struct fleet_worker *worker, const char *leaf)
{
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_taken taken;
    const struct reeve_delivery delivery = {.topic = reeve_topic_make(topic, fleet->manager->config.manager.root,
                                                                      "worker/%s/%s/%s", worker->node->name,
                                                                      worker->name, leaf)};
    if (worker->known != NULL &&
        reeve_registry_take_in(fleet->registry, &delivery, reeve_clock_mono_ms(), &taken, NULL) == REEVE_OK) {
        worker->known = taken.worker;
    }
}

static void drop_unconfirmed_of(struct fleet *fleet, struct fleet_node *node, size_t count)
{
    for (size_t i = node->workers_len; i-- > 0 && count > 0;) {
        struct fleet_worker *worker = node->workers[i];
        if (!unconfirmed(fleet, worker)) {
            continue;
        }
        count--;
        bool live = reeve_liveness(&worker->known->status, &worker->known->lwt, REEVE_WORKER_HEARTBEAT_MS,
                                   reeve_clock_mono_ms()) == REEVE_LIVE;
        remove_leaf(fleet, worker, "process");
        if (!live) {
            remove_leaf(fleet, worker, "status");
            remove_leaf(fleet, worker, "lwt");
        }
        fleet_read_process(fleet, worker, NULL);
        if (worker->known == NULL) {
            fleet_drop_worker(fleet, worker);
        }
    }
}

// A worker that its node removed while the manager was cut off: no removal was heard, and no record comes any more.
// Brokers need not deliver everything retained [topic-7], so it counts only where the node itself has so many fewer.
void fleet_drop_unconfirmed(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->nodes_len; i++) {
        struct fleet_node *node = fleet->nodes[i];
        const struct reeve_value *workers =
            node->known != NULL ? reeve_value_get(node->known->record, "workers") : NULL;
        int64_t total = reeve_get_int(workers, "total", -1);
        int64_t known = 0;
        size_t missing = 0;
        for (size_t k = 0; k < node->workers_len; k++) {
            const struct fleet_worker *worker = node->workers[k];
            known += worker->process.present;
            missing += unconfirmed(fleet, worker);
        }
        bool counts = node->known != NULL && node->known->status.present && total >= 0;
        if (counts && missing > 0 && known - (int64_t)missing >= total) {
            drop_unconfirmed_of(fleet, node, missing);
        }
    }
}
