// The end of a turn: commit, then send. See turn.h.
// Must not: reorder what was said, or let anything leave that is not on disk.
#include "turn.h"

#include "account_room.h"
#include "hold.h"
#include "pool.h"
#include "queue.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_RETRY_MS 5000
// Records that the bus has at once: two of its windows. What goes before everything else there must not be so much that
// replies wait for it, nor be held in memory twice.
#define ON_BUS_MAX 400
#define BURST_LEN  4096 // a queue that was as long as this leaves more room behind than is needed soon

struct item { // one thing that leaves, or happens, after the commit
    enum leaving_kind kind;
    char *topic; // below the root; NULL: `fn` is called
    size_t len;  // of the record, behind the topic's NUL; 0 = the tombstone
    int64_t expiry_ms;
    void (*fn)(struct manager *manager, bool committed, void *arg);
    void *arg;
};
struct items { // a queue: from `head` on
    struct item *items;
    size_t head, len, cap;
};

struct turn {
    struct manager *manager;
    uv_prepare_t prepare;
    struct items said;    // in this turn
    struct items waiting; // committed, and waiting for room on the bus
    size_t on_bus;        // records that the bus has and has not settled
    bool failing;
    int64_t failed_mono;
    uint64_t refused;
};

static void item_done(struct item *item)
{
    free(item->topic);
}

static bool push(struct items *queue, const struct item *item)
{
    if (queue->len == queue->cap) {
        size_t live = queue->len - queue->head;
        if (queue->head > 0 && live < queue->cap / 2) {
            memmove(queue->items, queue->items + queue->head, live * sizeof *queue->items);
            queue->head = 0;
            queue->len = live;
        } else {
            size_t cap = queue->cap > 0 ? 2 * queue->cap : 64;
            struct item *items = realloc(queue->items, cap * sizeof *items);
            if (items == NULL) {
                return false;
            }
            queue->items = items;
            queue->cap = cap;
        }
    }
    queue->items[queue->len++] = *item;
    return true;
}

static void clear(struct items *queue)
{
    for (size_t i = queue->head; i < queue->len; i++) {
        item_done(&queue->items[i]);
    }
    free(queue->items);
    *queue = (struct items){0};
}

// ---- saying -----------------------------------------------------------------------------------------------------

// As bytes, at once: a tree takes many times the room, and very many may wait.
static bool make_item(struct item *item, const char *topic, const struct reeve_value *value)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(0);
    size_t topic_size = strlen(topic) + 1;
    if (value != NULL && (reeve_value_built(value) != REEVE_OK || reeve_msgpack_write(value, &bytes) != REEVE_OK)) {
        return false;
    }
    item->topic = malloc(topic_size + bytes.len);
    if (item->topic == NULL) {
        return false;
    }
    memcpy(item->topic, topic, topic_size);
    if (bytes.len > 0) {
        memcpy(item->topic + topic_size, bytes.data, bytes.len);
    }
    item->len = bytes.len;
    return true;
}

void manager_publish(struct manager *manager, enum leaving_kind kind, const char *topic, struct reeve_value *value,
                     int64_t expiry_ms)
{
    struct turn *turn = manager->turn;
    struct item item = {.kind = kind, .expiry_ms = expiry_ms};
    bool whole = make_item(&item, topic, value);
    reeve_value_free(value);
    if (turn->waiting.len - turn->waiting.head >= TURN_WAITING_MAX || !whole || !push(&turn->said, &item)) {
        turn->refused++;
        item_done(&item);
    }
}

void manager_event(struct manager *manager, const char *topic, const char *kind, struct reeve_value *detail)
{
    struct reeve_value *event = detail != NULL ? detail : reeve_value_map();
    manager->counters.events++;
    reeve_put_str(event, "kind", kind);
    reeve_put_int(event, "seq", (int64_t)++manager->event_seq);
    reeve_put_int(event, "epoch", manager->bus != NULL ? (int64_t)reeve_bus_epoch(manager->bus) : 0);
    reeve_put_int(event, "at", reeve_clock_wall_ms());
    const char *text = reeve_get_str(event, "message");
    char quoted[320];
    reeve_log(REEVE_LOG_INFO, "event", "topic=%s kind=%s message=%s", topic, kind,
              reeve_log_quote(text != NULL ? text : "", quoted, sizeof quoted));
    manager_publish(manager, LEAVING_EVENT, topic, event, 0);
}

void manager_after_commit(struct manager *manager, void (*fn)(struct manager *manager, bool committed, void *arg),
                          void *arg)
{
    const struct item item = {.fn = fn, .arg = arg};
    if (!push(&manager->turn->said, &item)) {
        manager->turn->refused++;
        fn(manager, false, arg);
    }
}

// ---- sending ----------------------------------------------------------------------------------------------------

static enum reeve_bus_class class_of(enum leaving_kind kind)
{
    static const enum reeve_bus_class classes[] = {[LEAVING_STATUS] = REEVE_BUS_STATE,
                                                   [LEAVING_RECORD] = REEVE_BUS_STATE,
                                                   [LEAVING_EVENT] = REEVE_BUS_EVENT,
                                                   [LEAVING_BULK] = REEVE_BUS_BULK};
    return classes[kind];
}

static void send_waiting(struct turn *turn);

static void on_settled(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    (void)bus;
    (void)why;
    struct turn *turn = arg;
    turn->on_bus--;
    if (err == REEVE_OK) { // else the session is over, or this program is
        send_waiting(turn);
    }
}

// LIMIT: there is no room, the item stays.
static enum reeve_err send_item(struct turn *turn, const struct item *item)
{
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_why why = {0};
    struct manager *manager = turn->manager;
    bool record = class_of(item->kind) == REEVE_BUS_STATE;
    if (item->kind == LEAVING_RECORD && turn->on_bus >= ON_BUS_MAX && !manager->leaving) {
        return REEVE_LIMIT; // on_settled() goes on
    }
    const struct reeve_bus_message message = {
        .topic = reeve_topic_make(topic, manager->config.manager.root, "%s", item->topic),
        .payload = item->len > 0 ? item->topic + strlen(item->topic) + 1 : NULL,
        .payload_len = item->len,
        .qos = item->kind == LEAVING_BULK ? 0 : 1,
        .retain = record,
        .class = class_of(item->kind),
        .expiry_ms = item->expiry_ms,
        .result = record ? on_settled : NULL,
        .arg = turn};
    turn->on_bus += record ? 1 : 0; // before: the result may come from inside
    enum reeve_err err = reeve_bus_publish(manager->bus, &message, &why);
    turn->on_bus -= record && err != REEVE_OK ? 1 : 0;
    if (err != REEVE_OK && err != REEVE_LIMIT && err != REEVE_OFFLINE) {
        reeve_log(REEVE_LOG_WARNING, "publish", "topic=%s error=\"%s\" ignoring", topic, why.text);
    }
    return err == REEVE_LIMIT && item->kind != LEAVING_BULK ? REEVE_LIMIT : REEVE_OK;
}

static void send_waiting(struct turn *turn)
{
    struct items *queue = &turn->waiting;
    while (queue->head < queue->len && send_item(turn, &queue->items[queue->head]) == REEVE_OK) {
        item_done(&queue->items[queue->head++]);
    }
    if (queue->head == queue->len && queue->cap > BURST_LEN) {
        clear(queue);
    }
    if (queue->head == queue->len) {
        queue->head = 0;
        queue->len = 0;
    }
}

void turn_room(struct turn *turn)
{
    send_waiting(turn);
}

void turn_forget_records(struct turn *turn)
{
    struct items kept = {0};
    for (size_t i = turn->waiting.head; i < turn->waiting.len; i++) {
        struct item *item = &turn->waiting.items[i];
        if (item->kind != LEAVING_EVENT || !push(&kept, item)) {
            item_done(item);
        }
    }
    free(turn->waiting.items);
    turn->waiting = kept;
}

// ---- committing -------------------------------------------------------------------------------------------------

static enum reeve_err reload(struct manager *manager, struct reeve_why *why)
{
    manager->counters.reloads++;
    enum reeve_err err = alarms_load(manager->alarms, why);
    if (err == REEVE_OK) {
        err = holds_load(manager->holds, why);
    }
    if (err == REEVE_OK) {
        err = pools_load(manager->pools, why);
    }
    err = err == REEVE_OK ? accounts_load(manager->accounts, why) : err;
    return err == REEVE_OK ? queues_load(manager->queues, why) : err;
}

static void tell_store(struct turn *turn, bool ok, const struct reeve_why *why)
{
    struct manager *manager = turn->manager;
    struct reeve_why reloaded = {0};
    if (!ok) {
        manager->counters.store_failures++;
        turn->failed_mono = reeve_clock_mono_ms();
    }
    if (ok == turn->failing) {
        turn->failing = !ok;
        reeve_log(ok ? REEVE_LOG_INFO : REEVE_LOG_ERROR, "store",
                  ok ? "state=recovered" : "state=failing error=\"%s\" retrying", ok ? "" : why->text);
    }
    if (!ok && reload(manager, &reloaded) != REEVE_OK) {
        // Memory that is neither the old nor the new state would act on what nobody decided: leave, and be started
        // again.
        reeve_log(REEVE_LOG_ERROR, "store", "reload=\"%s\" leaving", reloaded.text);
        manager->exit_code = EXIT_FAILURE;
        manager_leave(manager);
    }
}

static void settle(struct turn *turn, struct items *said, bool committed)
{
    for (size_t i = 0; i < said->len; i++) {
        struct item *item = &said->items[i];
        if (item->topic == NULL) {
            continue;
        }
        bool sent = committed && item->kind == LEAVING_STATUS && send_item(turn, item) == REEVE_OK;
        if (!committed || sent || !push(&turn->waiting, item)) {
            item_done(item);
        }
        item->topic = NULL;
    }
    send_waiting(turn); // who reads `done` finds the record that it is about
    for (size_t i = 0; i < said->len; i++) {
        if (said->items[i].fn != NULL) {
            said->items[i].fn(turn->manager, committed, said->items[i].arg);
        }
    }
}

void turn_commit(struct turn *turn)
{
    struct manager *manager = turn->manager;
    struct reeve_why why = {0};
    queues_turn(manager->queues); // jobs are handed out, their rows written
    struct items said = turn->said;
    bool wrote = store_dirty(manager->store);
    enum reeve_err err = store_commit(manager->store, &why);
    turn->said = (struct items){0}; // what follows belongs to the next turn
    manager->counters.turns++;
    if (wrote || err != REEVE_OK) {
        tell_store(turn, err == REEVE_OK, &why);
    }
    settle(turn, &said, err == REEVE_OK);
    queues_settle(manager->queues, err == REEVE_OK);
    free(said.items);
}

// Before the loop waits: nothing may be left that waits for a commit, or it would wait for the next event.
static void on_prepare(uv_prepare_t *prepare)
{
    struct turn *turn = prepare->data;
    while (turn->said.len > 0 || store_dirty(turn->manager->store) || queues_pending(turn->manager->queues)) {
        turn_commit(turn);
    }
}

bool turn_store_failing(const struct turn *turn)
{
    return turn->failing && reeve_clock_mono_ms() - turn->failed_mono < STORE_RETRY_MS;
}

uint64_t turn_refused(const struct turn *turn)
{
    return turn->refused;
}

enum reeve_err turn_new(struct manager *manager, struct turn **ret, struct reeve_why *why)
{
    struct turn *turn = calloc(1, sizeof *turn);
    if (turn == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    turn->manager = manager;
    uv_prepare_init(manager->loop, &turn->prepare);
    turn->prepare.data = turn;
    *ret = turn;
    return REEVE_OK;
}

void turn_start(struct turn *turn)
{
    uv_prepare_start(&turn->prepare, on_prepare);
}

void turn_stop(struct turn *turn)
{
    on_prepare(&turn->prepare);
    uv_prepare_stop(&turn->prepare);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

void turn_free(struct turn *turn)
{
    if (turn != NULL) {
        clear(&turn->said);
        clear(&turn->waiting);
        uv_close((uv_handle_t *)&turn->prepare, closed);
    }
}
