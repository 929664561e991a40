// The hand-over queue: order, bounds, waiting, overflow. Paho's thread is a thread of the test.
#include "../../../shared/bus/handover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <reeve/clock.h>
#include <reeve/loop.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    uv_loop_t loop;
    struct reeve_handover *handover;
    int wakes, closed;
    bool drain; // take everything when woken
    size_t taken;
    uint64_t next; // expected generation of the next message
};

static void on_wake(void *arg)
{
    struct fixture *fixture = arg;
    struct reeve_handover_record record;
    fixture->wakes++;
    while (fixture->drain && reeve_handover_take(fixture->handover, &record)) {
        assert_int_equal(record.generation, fixture->next);
        fixture->next++;
        fixture->taken++;
        reeve_handover_record_done(&record);
    }
}

static void on_closed(void *arg)
{
    struct fixture *fixture = arg;
    fixture->closed++;
}

static void open_fixture(struct fixture *fixture, size_t messages_max, size_t bytes_max)
{
    struct reeve_why why = {0};
    *fixture = (struct fixture){0};
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    const struct reeve_handover_options options = {.loop = &fixture->loop,
                                                   .wake = on_wake,
                                                   .arg = fixture,
                                                   .messages_max = messages_max,
                                                   .bytes_max = bytes_max,
                                                   .results_max = 4};
    assert_int_equal(reeve_handover_new(&options, &fixture->handover, &why), REEVE_OK);
}

static void close_fixture(struct fixture *fixture)
{
    reeve_handover_close(fixture->handover, on_closed, fixture);
    reeve_loop_finish(&fixture->loop);
    assert_int_equal(fixture->closed, 1);
}

static struct reeve_handover_record make_message(uint64_t number, size_t bytes)
{
    struct reeve_incoming *incoming = calloc(1, sizeof(*incoming) + bytes);
    assert_non_null(incoming);
    incoming->bytes = bytes;
    return (struct reeve_handover_record){.kind = REEVE_HANDOVER_MESSAGE, .generation = number, .message = incoming};
}

static void put_message(struct fixture *fixture, uint64_t number, size_t bytes)
{
    struct reeve_handover_record record = make_message(number, bytes);
    reeve_handover_put(fixture->handover, &record);
}

static size_t take_all(struct fixture *fixture)
{
    struct reeve_handover_record record;
    size_t count = 0;
    while (reeve_handover_take(fixture->handover, &record)) {
        reeve_handover_record_done(&record);
        count++;
    }
    return count;
}

static void records_come_in_order_with_one_wake(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 8, 1000);
    for (uint64_t i = 0; i < 5; i++) {
        put_message(&fixture, i, 10);
    }
    fixture.drain = true;
    (void)uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_int_equal(fixture.wakes, 1);
    assert_int_equal(fixture.taken, 5);
    struct reeve_handover_record lost = {.kind = REEVE_HANDOVER_LOST, .generation = 5, .failed.text = strdup("gone")};
    reeve_handover_put(fixture.handover, &lost);
    (void)uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_int_equal(fixture.taken, 6);
    close_fixture(&fixture);
}

static void one_message_always_fits(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t lost = 0;
    open_fixture(&fixture, 8, 100);
    put_message(&fixture, 0, 5000); // beyond the bound, but alone
    assert_int_equal(take_all(&fixture), 1);
    assert_false(reeve_handover_overflowed(fixture.handover, &lost));
    close_fixture(&fixture);
}

// While the loop is inside Paho nobody may wait for it: the bound is passed, at twice it messages are refused and
// counted.
static void twice_the_bound_refuses_and_says_so(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t lost = 0;
    open_fixture(&fixture, 4, 1000);
    reeve_handover_calling(fixture.handover, true);
    for (uint64_t i = 0; i < 10; i++) {
        put_message(&fixture, i, 10);
    }
    reeve_handover_calling(fixture.handover, false);
    // Results and session events have room of their own.
    for (uint64_t i = 0; i < 8; i++) {
        struct reeve_handover_record result = {.kind = REEVE_HANDOVER_RESULT, .generation = i};
        reeve_handover_put(fixture.handover, &result);
    }
    assert_int_equal(take_all(&fixture), 8 + 8);
    assert_true(reeve_handover_overflowed(fixture.handover, &lost));
    assert_int_equal(lost, 2);
    assert_false(reeve_handover_overflowed(fixture.handover, &lost)); // said once
    assert_int_equal(reeve_handover_stalls(fixture.handover), 0);
    close_fixture(&fixture);
}

static void bytes_count_too(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t lost = 0;
    open_fixture(&fixture, 100, 100);
    reeve_handover_calling(fixture.handover, true);
    for (uint64_t i = 0; i < 5; i++) {
        put_message(&fixture, i, 60);
    }
    assert_int_equal(take_all(&fixture), 3); // 60, 120, 180; twice 100 is the end
    assert_true(reeve_handover_overflowed(fixture.handover, &lost));
    assert_int_equal(lost, 2);
    close_fixture(&fixture);
}

static void half_of_the_bound_is_crowded(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reeve_handover_record record;
    open_fixture(&fixture, 8, 1000);
    for (uint64_t i = 0; i < 4; i++) {
        put_message(&fixture, i, 10);
    }
    assert_false(reeve_handover_crowded(fixture.handover));
    put_message(&fixture, 4, 10);
    assert_true(reeve_handover_crowded(fixture.handover));
    assert_true(reeve_handover_take(fixture.handover, &record));
    reeve_handover_record_done(&record);
    assert_false(reeve_handover_crowded(fixture.handover));
    (void)take_all(&fixture);
    put_message(&fixture, 5, 5000); // alone: it would be in the way of everything
    assert_false(reeve_handover_crowded(fixture.handover));
    (void)take_all(&fixture);
    put_message(&fixture, 6, 300);
    put_message(&fixture, 7, 300);
    assert_true(reeve_handover_crowded(fixture.handover));
    (void)take_all(&fixture);
    close_fixture(&fixture);
}

struct producer {
    struct fixture *fixture;
    uint64_t count;
    size_t bytes;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;
    for (uint64_t i = 0; i < producer->count; i++) {
        put_message(producer->fixture, i, producer->bytes);
    }
    return NULL;
}

static void a_slow_loop_slows_the_sender_and_loses_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t lost = 0;
    pthread_t thread;
    open_fixture(&fixture, 16, 100000);
    struct producer producer = {.fixture = &fixture, .count = 20000, .bytes = 50};
    fixture.drain = true;
    assert_int_equal(pthread_create(&thread, NULL, produce, &producer), 0);
    while (fixture.taken < producer.count) {
        (void)uv_run(&fixture.loop, UV_RUN_ONCE); // on_wake checks the order
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(reeve_handover_overflowed(fixture.handover, &lost));
    assert_true(reeve_handover_stalls(fixture.handover) > 0);
    close_fixture(&fixture);
}

static void a_waiting_sender_lets_go_when_the_loop_calls_paho(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t thread;
    open_fixture(&fixture, 2, 1000);
    struct producer producer = {.fixture = &fixture, .count = 3, .bytes = 10};
    assert_int_equal(pthread_create(&thread, NULL, produce, &producer), 0);
    int64_t deadline_mono = reeve_clock_mono_ms() + 10000;
    while (reeve_handover_stalls(fixture.handover) == 0) {
        assert_true(reeve_clock_mono_ms() < deadline_mono);
    }
    int64_t begun_mono = reeve_clock_mono_ms();
    reeve_handover_calling(fixture.handover, true); // what the loop does before it needs Paho's mutex
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(reeve_clock_mono_ms() - begun_mono < 2000);
    assert_int_equal(take_all(&fixture), 3);
    close_fixture(&fixture);
}

static void what_is_left_is_freed(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 8, 1000);
    put_message(&fixture, 0, 100);
    struct reeve_handover_record failed = {.kind = REEVE_HANDOVER_CONNECT_FAILED, .failed.text = strdup("no")};
    reeve_handover_put(fixture.handover, &failed);
    close_fixture(&fixture); // the leak sanitizer tells
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order_with_one_wake),
        cmocka_unit_test(one_message_always_fits),
        cmocka_unit_test(twice_the_bound_refuses_and_says_so),
        cmocka_unit_test(half_of_the_bound_is_crowded),
        cmocka_unit_test(bytes_count_too),
        cmocka_unit_test(a_slow_loop_slows_the_sender_and_loses_nothing),
        cmocka_unit_test(a_waiting_sender_lets_go_when_the_loop_calls_paho),
        cmocka_unit_test(what_is_left_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
