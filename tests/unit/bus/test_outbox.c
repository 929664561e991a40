// The outbox: order, classes, bounds, what survives a lost session.
#include "../../../shared/bus/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <reeve/clock.h>
#include <stdlib.h>
#include <string.h>

struct ends {
    int calls;
    enum reeve_err err;
};

static void on_end(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    struct ends *ends = arg;
    (void)bus;
    assert_non_null(why);
    ends->calls++;
    ends->err = err;
}

struct fixture {
    struct reeve_outbox *outbox;
    struct reeve_bus_stats stats;
};

static void open_fixture(struct fixture *fixture, size_t len_max, size_t window)
{
    *fixture = (struct fixture){0};
    struct reeve_why why = {0};
    const struct reeve_outbox_options options = {.len_max = len_max, .bytes_max = 1 << 20, .window_max = window};
    assert_int_equal(reeve_outbox_new(&options, NULL, &fixture->stats, &fixture->outbox, &why), REEVE_OK);
}

static enum reeve_err add(struct fixture *fixture, const char *text, enum reeve_bus_class class, bool online,
                          struct ends *ends)
{
    const struct reeve_bus_message message = {.topic = "t",
                                              .payload = text,
                                              .payload_len = strlen(text),
                                              .qos = 1,
                                              .class = class,
                                              .response_topic = "r",
                                              .correlation = "cc",
                                              .correlation_len = 2,
                                              .result = ends != NULL ? on_end : NULL,
                                              .arg = ends};
    return reeve_outbox_add(fixture->outbox, &message, online, NULL);
}

// Takes the next one and checks what it is.
static uint32_t expect(struct fixture *fixture, const char *text, int token)
{
    uint32_t slot = UINT32_MAX;
    const struct reeve_outbox_item *item = reeve_outbox_take(fixture->outbox, 100, REEVE_BUS_BULK, &slot);
    assert_non_null(item);
    assert_int_equal(item->message.payload_len, strlen(text));
    assert_memory_equal(item->message.payload, text, strlen(text));
    assert_string_equal(item->message.topic, "t");
    assert_string_equal(item->message.response_topic, "r");
    assert_memory_equal(item->message.correlation, "cc", 2);
    reeve_outbox_sent(fixture->outbox, slot, token);
    return slot;
}

static void urgent_classes_go_first_and_each_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    uint32_t slot;
    open_fixture(&fixture, 100, 10);
    assert_int_equal(add(&fixture, "bulk", REEVE_BUS_BULK, true, NULL), REEVE_OK);
    assert_int_equal(add(&fixture, "event 1", REEVE_BUS_EVENT, true, NULL), REEVE_OK);
    assert_int_equal(add(&fixture, "event 2", REEVE_BUS_EVENT, true, NULL), REEVE_OK);
    assert_int_equal(add(&fixture, "reply", REEVE_BUS_REPLY, true, NULL), REEVE_OK);
    assert_int_equal(add(&fixture, "state", REEVE_BUS_STATE, true, NULL), REEVE_OK);
    (void)expect(&fixture, "state", 1);
    assert_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_STATE, &slot)); // only presence is let out
    (void)expect(&fixture, "reply", 2);
    (void)expect(&fixture, "event 1", 3);
    (void)expect(&fixture, "event 2", 4);
    (void)expect(&fixture, "bulk", 5);
    assert_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_BULK, &slot));
    assert_int_equal(fixture.stats.queue_len, 0);
    assert_int_equal(fixture.stats.queue_len_peak, 5);
    assert_int_equal(fixture.stats.in_flight, 5);
    reeve_outbox_free(fixture.outbox);
}

static void the_window_and_the_slots_are_bounds(void **state)
{
    (void)state;
    struct fixture fixture;
    uint32_t slot;
    struct ends ends = {0};
    open_fixture(&fixture, 100, 3);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(add(&fixture, "x", REEVE_BUS_EVENT, true, &ends), REEVE_OK);
    }
    assert_non_null(reeve_outbox_take(fixture.outbox, 2, REEVE_BUS_BULK, &slot));
    assert_non_null(reeve_outbox_take(fixture.outbox, 2, REEVE_BUS_BULK, &slot));
    assert_null(reeve_outbox_take(fixture.outbox, 2, REEVE_BUS_BULK, &slot));
    assert_non_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_BULK, &slot));
    assert_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_BULK, &slot)); // no slot left
    reeve_outbox_sent(fixture.outbox, slot, 7);
    struct reeve_why why = {0};
    assert_false(reeve_outbox_finish(fixture.outbox, slot, 6, REEVE_OK, &why)); // late word about another message
    assert_int_equal(ends.calls, 0);
    assert_true(reeve_outbox_finish(fixture.outbox, slot, 7, REEVE_OK, &why));
    assert_false(reeve_outbox_finish(fixture.outbox, slot, 7, REEVE_OK, &why)); // twice
    assert_int_equal(ends.calls, 1);
    assert_int_equal(fixture.stats.acknowledged, 1);
    assert_int_equal(reeve_outbox_in_flight(fixture.outbox), 2);
    assert_non_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_BULK, &slot));
    reeve_outbox_free(fixture.outbox);
    assert_int_equal(ends.calls, 5); // each hears exactly once
    assert_int_equal(ends.err, REEVE_CANCELLED);
}

static void offline_the_oldest_event_gives_way(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ends first = {0};
    open_fixture(&fixture, 3, 4);
    assert_int_equal(add(&fixture, "1", REEVE_BUS_EVENT, false, &first), REEVE_OK);
    assert_int_equal(add(&fixture, "2", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    assert_int_equal(add(&fixture, "3", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    assert_int_equal(add(&fixture, "4", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    assert_int_equal(first.calls, 1);
    assert_int_equal(first.err, REEVE_LIMIT);
    assert_int_equal(fixture.stats.dropped_events, 1);
    (void)expect(&fixture, "2", 1);
    reeve_outbox_free(fixture.outbox);
}

static void online_a_full_queue_is_back_pressure(void **state)
{
    (void)state;
    struct fixture fixture;
    uint32_t slot;
    open_fixture(&fixture, 4, 8);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(add(&fixture, "x", REEVE_BUS_EVENT, true, NULL), REEVE_OK);
    }
    assert_int_equal(add(&fixture, "x", REEVE_BUS_EVENT, true, NULL), REEVE_LIMIT);
    assert_false(reeve_outbox_has_room_again(fixture.outbox));
    assert_int_equal(add(&fixture, "state", REEVE_BUS_STATE, true, NULL), REEVE_OK); // presence has room of its own
    assert_int_equal(fixture.stats.dropped_events, 0);
    for (int i = 0; i < 3; i++) {
        assert_non_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_BULK, &slot));
    }
    assert_true(reeve_outbox_has_room_again(fixture.outbox));
    assert_false(reeve_outbox_has_room_again(fixture.outbox)); // once
    reeve_outbox_free(fixture.outbox);
}

static void metrics_leave_half_and_give_way_first(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ends bulk = {0};
    open_fixture(&fixture, 4, 8);
    assert_int_equal(add(&fixture, "m1", REEVE_BUS_BULK, true, &bulk), REEVE_OK);
    assert_int_equal(add(&fixture, "m2", REEVE_BUS_BULK, true, &bulk), REEVE_OK);
    assert_int_equal(add(&fixture, "m3", REEVE_BUS_BULK, true, &bulk), REEVE_LIMIT);
    assert_int_equal(bulk.calls, 0); // refused is not accepted and dropped
    for (int i = 0; i < 4; i++) {
        assert_int_equal(add(&fixture, "e", REEVE_BUS_EVENT, true, NULL), REEVE_OK);
    }
    assert_int_equal(bulk.calls, 2);
    assert_int_equal(fixture.stats.dropped_bulk, 2);
    assert_int_equal(add(&fixture, "e", REEVE_BUS_EVENT, true, NULL), REEVE_LIMIT);
    reeve_outbox_free(fixture.outbox);
}

static void replies_push_events_out_only_beyond_their_reserve(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 16, 8);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(add(&fixture, "e", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    }
    for (int i = 0; i < 18; i++) { // an eighth of 16 and the 16 that are always there
        assert_int_equal(add(&fixture, "r", REEVE_BUS_REPLY, false, NULL), REEVE_OK);
    }
    assert_int_equal(fixture.stats.dropped_events, 0);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(add(&fixture, "r", REEVE_BUS_REPLY, false, NULL), REEVE_OK);
    }
    assert_int_equal(fixture.stats.dropped_events, 16);
    assert_int_equal(add(&fixture, "r", REEVE_BUS_REPLY, false, NULL), REEVE_LIMIT); // nothing left to push out
    reeve_outbox_free(fixture.outbox);
}

static void a_lost_session_sends_replies_and_events_again(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ends state_ends = {0}, bulk_ends = {0}, event_ends = {0};
    struct reeve_why why = {0};
    open_fixture(&fixture, 100, 10);
    assert_int_equal(add(&fixture, "e1", REEVE_BUS_EVENT, true, &event_ends), REEVE_OK);
    assert_int_equal(add(&fixture, "e2", REEVE_BUS_EVENT, true, NULL), REEVE_OK);
    (void)expect(&fixture, "e1", 1);
    uint32_t slot = expect(&fixture, "e2", 2);
    assert_int_equal(add(&fixture, "s", REEVE_BUS_STATE, true, &state_ends), REEVE_OK);
    (void)expect(&fixture, "s", 3);
    assert_int_equal(add(&fixture, "b", REEVE_BUS_BULK, true, &bulk_ends), REEVE_OK);
    assert_int_equal(add(&fixture, "e3", REEVE_BUS_EVENT, true, NULL), REEVE_OK);
    reeve_outbox_put_back(fixture.outbox, slot); // could not be sent after all
    reeve_outbox_lose_session(fixture.outbox, &why);
    assert_int_equal(state_ends.err, REEVE_OFFLINE);
    assert_int_equal(bulk_ends.err, REEVE_OFFLINE);
    assert_int_equal(event_ends.calls, 0);
    assert_int_equal(fixture.stats.resent, 1);
    assert_int_equal(reeve_outbox_in_flight(fixture.outbox), 0);
    (void)expect(&fixture, "e1", 1);
    (void)expect(&fixture, "e2", 2);
    (void)expect(&fixture, "e3", 3);
    reeve_outbox_free(fixture.outbox);
}

static void what_expires_while_waiting_is_not_sent(void **state)
{
    (void)state;
    struct fixture fixture;
    struct ends ends = {0};
    uint32_t slot;
    open_fixture(&fixture, 100, 10);
    const struct reeve_bus_message message = {
        .topic = "t", .class = REEVE_BUS_REPLY, .expiry_ms = 1, .result = on_end, .arg = &ends};
    assert_int_equal(reeve_outbox_add(fixture.outbox, &message, false, NULL), REEVE_OK);
    int64_t begun_mono = reeve_clock_mono_ms();
    while (reeve_clock_mono_ms() < begun_mono + 2) {
    }
    assert_null(reeve_outbox_take(fixture.outbox, 100, REEVE_BUS_BULK, &slot));
    assert_int_equal(ends.calls, 1);
    assert_int_equal(ends.err, REEVE_TIMEOUT);
    reeve_outbox_free(fixture.outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgent_classes_go_first_and_each_in_order),
        cmocka_unit_test(the_window_and_the_slots_are_bounds),
        cmocka_unit_test(offline_the_oldest_event_gives_way),
        cmocka_unit_test(online_a_full_queue_is_back_pressure),
        cmocka_unit_test(metrics_leave_half_and_give_way_first),
        cmocka_unit_test(replies_push_events_out_only_beyond_their_reserve),
        cmocka_unit_test(a_lost_session_sends_replies_and_events_again),
        cmocka_unit_test(what_expires_while_waiting_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
