// The end of a turn: what leaves, in which order, how much of it at once, and nothing when the disk refuses.
#include "account_room.h"
#include "hold.h"
#include "pool.h"
#include "queue.h"
#include "turn.h"

#include <reeve/codec.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ON_BUS 400 // records that the bus has at once

// ---- in the place of bus, store and rooms -----------------------------------------------------------------------

#define SENT_MAX 5000
struct sent {
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_value *value; // NULL = the tombstone
    bool retain;
    int qos;
    enum reeve_bus_class class;
    int64_t expiry_ms;
    void (*result)(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg);
    void *arg;
};
static struct world {
    struct sent sent[SENT_MAX];
    size_t len, room;    // `room`: so many are taken, more is LIMIT
    bool offline;        // STATE is refused
    bool dirty, refuses; // of the store
    int commits, reloads;
    bool left;
} * world;

enum reeve_err reeve_bus_publish(struct reeve_bus *bus, const struct reeve_bus_message *message, struct reeve_why *why)
{
    (void)bus;
    if (world->offline && message->class == REEVE_BUS_STATE) {
        return reeve_fail(why, REEVE_OFFLINE, "no session");
    }
    if (world->len >= world->room) {
        return reeve_fail(why, REEVE_LIMIT, "full");
    }
    struct sent *sent = &world->sent[world->len++];
    *sent = (struct sent){.retain = message->retain,
                          .qos = message->qos,
                          .class = message->class,
                          .expiry_ms = message->expiry_ms,
                          .result = message->result,
                          .arg = message->arg};
    (void)snprintf(sent->topic, sizeof sent->topic, "%s", message->topic); /* one of ours */
    if (message->payload_len > 0) {
        assert_int_equal(
            reeve_msgpack_read(message->payload, message->payload_len, &reeve_limits_wire, NULL, &sent->value, NULL),
            REEVE_OK);
    }
    return REEVE_OK;
}

uint64_t reeve_bus_epoch(const struct reeve_bus *bus)
{
    (void)bus;
    return 7;
}

enum reeve_err store_commit(struct store *store, struct reeve_why *why)
{
    (void)store;
    world->commits++;
    world->dirty = false;
    return world->refuses ? reeve_fail(why, REEVE_IO, "disk full") : REEVE_OK;
}

bool store_dirty(const struct store *store)
{
    (void)store;
    return world->dirty;
}

enum reeve_err alarms_load(struct alarms *alarms, struct reeve_why *why)
{
    (void)alarms;
    (void)why;
    world->reloads++;
    return REEVE_OK;
}

enum reeve_err holds_load(struct holds *holds, struct reeve_why *why)
{
    (void)holds;
    (void)why;
    return REEVE_OK;
}

enum reeve_err pools_load(struct pools *pools, struct reeve_why *why)
{
    (void)pools;
    (void)why;
    return REEVE_OK;
}

enum reeve_err accounts_load(struct accounts *accounts, struct reeve_why *why)
{
    (void)accounts;
    (void)why;
    return REEVE_OK;
}

enum reeve_err queues_load(struct queues *queues, struct reeve_why *why)
{
    (void)queues;
    (void)why;
    return REEVE_OK;
}

void queues_turn(struct queues *queues)
{
    (void)queues;
}

void queues_settle(struct queues *queues, bool committed)
{
    (void)queues;
    (void)committed;
}

bool queues_pending(const struct queues *queues)
{
    (void)queues;
    return false;
}

void manager_leave(struct manager *manager)
{
    manager->leaving = true;
    world->left = true;
}

// ---- a manager with nothing but a turn --------------------------------------------------------------------------

static uv_loop_t loop;
static struct manager manager;

static int setup(void **state)
{
    (void)state;
    world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->room = SENT_MAX;
    assert_int_equal(uv_loop_init(&loop), 0);
    manager =
        (struct manager){.loop = &loop, .config = {.manager = {.name = strdup("main"), .root = strdup("r/v1/t")}}};
    assert_int_equal(turn_new(&manager, &manager.turn, NULL), REEVE_OK);
    reeve_log_set_level(REEVE_LOG_ERROR);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    turn_free(manager.turn);
    reeve_loop_finish(&loop);
    for (size_t i = 0; i < world->len; i++) {
        reeve_value_free(world->sent[i].value);
    }
    free(world);
    free(manager.config.manager.name);
    free(manager.config.manager.root);
    return 0;
}

static struct reeve_value *number(int64_t n)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_int(map, "n", n);
    return map;
}

static void say(enum leaving_kind kind, const char *topic, int64_t n)
{
    manager_publish(&manager, kind, topic, number(n), 0);
}

static void say_records(int count)
{
    char topic[32];
    for (int i = 0; i < count; i++) {
        (void)snprintf(topic, sizeof topic, "fleet/a/w%d", i);
        say(LEAVING_RECORD, topic, i);
    }
}

static int64_t n_of(size_t index)
{
    assert_true(index < world->len);
    return reeve_get_int(world->sent[index].value, "n", -1);
}

static void settle(size_t index, enum reeve_err err)
{
    assert_non_null(world->sent[index].result);
    world->sent[index].result(NULL, err, NULL, world->sent[index].arg);
}

// ---- tests ------------------------------------------------------------------------------------------------------

static void what_was_said_leaves_after_the_commit_in_order(void **state)
{
    (void)state;
    manager_publish(&manager, LEAVING_RECORD, "pool/p/status", number(1), 9000);
    say(LEAVING_EVENT, "pool/p/event", 2);
    manager_publish(&manager, LEAVING_RECORD, "pool/q/status", NULL, 0);
    say(LEAVING_BULK, "pool/p/metrics", 4);
    assert_int_equal(world->len, 0);
    turn_commit(manager.turn);
    assert_int_equal(world->commits, 1);
    assert_int_equal(world->len, 4);
    const struct {
        const char *topic;
        enum reeve_bus_class class;
        int qos;
        bool retain;
    } rows[] = {{"r/v1/t/pool/p/status", REEVE_BUS_STATE, 1, true},
                {"r/v1/t/pool/p/event", REEVE_BUS_EVENT, 1, false},
                {"r/v1/t/pool/q/status", REEVE_BUS_STATE, 1, true},
                {"r/v1/t/pool/p/metrics", REEVE_BUS_BULK, 0, false}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_string_equal(world->sent[i].topic, rows[i].topic);
        assert_int_equal(world->sent[i].class, rows[i].class);
        assert_int_equal(world->sent[i].qos, rows[i].qos);
        assert_int_equal(world->sent[i].retain, rows[i].retain);
    }
    assert_int_equal(n_of(0), 1);
    assert_int_equal(world->sent[0].expiry_ms, 9000);
    assert_null(world->sent[2].value);
}

static void very_many_records_leave_little_by_little(void **state)
{
    (void)state;
    say_records(1000);
    turn_commit(manager.turn);
    assert_int_equal(world->len, ON_BUS);
    for (size_t i = 0; i < 1000; i++) {
        settle(i, REEVE_OK);
        size_t expected = ON_BUS + i + 1 < 1000 ? ON_BUS + i + 1 : 1000;
        assert_int_equal(world->len, expected);
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(n_of(i), i);
    }
}

static void the_managers_own_status_waits_for_no_other_record(void **state)
{
    (void)state;
    say_records(1000);
    say(LEAVING_STATUS, "manager/main/status", 1);
    turn_commit(manager.turn);
    assert_int_equal(world->len, ON_BUS);
    assert_string_equal(world->sent[0].topic, "r/v1/t/manager/main/status");
    say(LEAVING_STATUS, "manager/main/status", 2); // and also while many wait
    turn_commit(manager.turn);
    assert_int_equal(world->len, ON_BUS + 1);
    assert_int_equal(n_of(ON_BUS), 2);
    assert_true(world->sent[0].retain);
}

static int called;
static void after(struct manager *m, bool committed, void *arg)
{
    assert_ptr_equal(m, &manager);
    *(bool *)arg = committed;
    called++;
}

static void what_waits_for_the_commit_is_called_although_records_wait(void **state)
{
    (void)state;
    bool committed = false;
    called = 0;
    say_records(1000);
    manager_after_commit(&manager, after, &committed);
    turn_commit(manager.turn);
    assert_int_equal(called, 1);
    assert_true(committed);
}

static void nothing_leaves_when_the_disk_refuses(void **state)
{
    (void)state;
    bool committed = true;
    called = 0;
    world->dirty = true;
    world->refuses = true;
    say_records(3);
    say(LEAVING_STATUS, "manager/main/status", 1);
    manager_after_commit(&manager, after, &committed);
    turn_commit(manager.turn);
    assert_int_equal(world->len, 0);
    assert_int_equal(called, 1);
    assert_false(committed);
    assert_int_equal(world->reloads, 1);
    assert_true(turn_store_failing(manager.turn));
    world->refuses = false;
    say_records(2);
    turn_commit(manager.turn);
    assert_int_equal(world->len, 2);
}

static void a_full_bus_is_waited_for(void **state)
{
    (void)state;
    world->room = 2;
    say_records(2);
    say(LEAVING_EVENT, "pool/p/event", 2);
    say(LEAVING_RECORD, "pool/p/status", 3);
    turn_commit(manager.turn);
    assert_int_equal(world->len, 2);
    world->room = SENT_MAX;
    turn_room(manager.turn);
    assert_int_equal(world->len, 4);
    assert_int_equal(n_of(2), 2);
    assert_int_equal(n_of(3), 3);
}

static void a_lost_session_takes_its_records_and_counts_none_of_them_twice(void **state)
{
    (void)state;
    say_records(1000);
    say(LEAVING_EVENT, "pool/p/event", 5);
    turn_commit(manager.turn);
    world->offline = true;
    for (size_t i = 0; i < ON_BUS; i++) {
        settle(i, REEVE_OFFLINE);
    }
    assert_int_equal(world->len, ON_BUS);
    turn_forget_records(manager.turn);
    turn_room(manager.turn);
    assert_int_equal(world->len, ON_BUS + 1); // the event is kept
    world->offline = false;
    say_records(1000); // the next session
    turn_commit(manager.turn);
    assert_int_equal(world->len, ON_BUS + 1 + ON_BUS);
}

static void records_without_a_session_are_dropped_and_do_not_count(void **state)
{
    (void)state;
    world->offline = true;
    say_records(1000);
    turn_commit(manager.turn);
    assert_int_equal(world->len, 0);
    world->offline = false;
    say_records(1);
    turn_commit(manager.turn);
    assert_int_equal(world->len, 1);
}

static void who_leaves_says_everything(void **state)
{
    (void)state;
    say_records(1000);
    manager_leave(&manager);
    turn_commit(manager.turn);
    assert_int_equal(world->len, 1000);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    char topic[32];
    world->room = 0;
    for (int i = 0; i < TURN_WAITING_MAX; i++) {
        (void)snprintf(topic, sizeof topic, "fleet/a/w%d", i);
        say(LEAVING_RECORD, topic, i);
    }
    turn_commit(manager.turn);
    assert_int_equal(turn_refused(manager.turn), 0);
    say(LEAVING_RECORD, "fleet/a/more", 1);
    assert_int_equal(turn_refused(manager.turn), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(what_was_said_leaves_after_the_commit_in_order),
        T(very_many_records_leave_little_by_little),
        T(the_managers_own_status_waits_for_no_other_record),
        T(what_waits_for_the_commit_is_called_although_records_wait),
        T(nothing_leaves_when_the_disk_refuses),
        T(a_full_bus_is_waited_for),
        T(a_lost_session_takes_its_records_and_counts_none_of_them_twice),
        T(records_without_a_session_are_dropped_and_do_not_count),
        T(who_leaves_says_everything),
        T(what_waits_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
