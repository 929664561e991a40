// What a beat and the renewal that answers it are worth. Pure: the tests bring the time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include "lease.h"

#include <string.h>

static struct reeve_spec spec_of(int64_t after_ms, int64_t grace_ms, int64_t fence)
{
    return (struct reeve_spec){.self_stop_after_ms = after_ms, .stop = {.grace_ms = grace_ms}, .fence = fence};
}

static void beats_grow_and_are_remembered(void **state)
{
    (void)state;
    struct lease_beats beats = {0};
    const int64_t a = lease_beat(&beats, 1000);
    const int64_t b = lease_beat(&beats, 1000); // twice in one ms
    const int64_t c = lease_beat(&beats, 1000);
    const int64_t d = lease_beat(&beats, 5000);
    assert_true(a < b && b < c && c < d);
    assert_int_equal(lease_beat_sent(&beats, a), 1000);
    assert_int_equal(lease_beat_sent(&beats, c), 1000);
    assert_int_equal(lease_beat_sent(&beats, d), 5000);
    assert_int_equal(lease_beat_sent(&beats, d + 1), -1);
    assert_int_equal(lease_beat_sent(&beats, a - 1), -1);
    assert_int_equal(lease_beat_sent(&beats, 0), -1); // what an unused place holds
    assert_int_equal(lease_beat_sent(&beats, -1), -1);
}

static void old_beats_are_forgotten(void **state)
{
    (void)state;
    struct lease_beats beats = {0};
    const int64_t first = lease_beat(&beats, 1);
    for (int64_t i = 1; i < LEASE_BEATS; i++) {
        (void)lease_beat(&beats, 1 + i * 10);
    }
    assert_int_equal(lease_beat_sent(&beats, first), 1);
    (void)lease_beat(&beats, 1000000);
    assert_int_equal(lease_beat_sent(&beats, first), -1);
}

// A later daemon's beats are none of an earlier one's, so an answer to that one prolongs nothing here.
static void beats_of_a_former_daemon_are_unknown(void **state)
{
    (void)state;
    struct lease_beats former = {0};
    struct lease_beats beats = {0};
    int64_t last = 0;
    for (int64_t i = 0; i < 20; i++) {
        last = lease_beat(&former, 5000 + i * 250);
    }
    for (int64_t i = 0; i < 20; i++) {
        assert_true(lease_beat(&beats, 11000 + i * 250) > last);
    }
    assert_int_equal(lease_beat_sent(&beats, last), -1);
}

static void lease_is_over_before_self_stop_after(void **state)
{
    (void)state;
    static const int64_t afters[] = {1000, 3000, 15000, 60000, 3600000};
    static const int64_t graces[] = {0, 100, 10000, 86400000};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(afters); i++) {
        for (size_t j = 0; j < REEVE_ARRAY_LEN(graces); j++) {
            const struct reeve_spec spec = spec_of(afters[i], graces[j], 1);
            const int64_t until = lease_until(&spec, 500000);
            const int64_t asked = until - lease_grace(&spec);
            assert_true(until < 500000 + afters[i]);         // killing fits in
            assert_true(asked > 500000 + afters[i] * 2 / 3); // two heartbeats may be lost
            assert_true(lease_grace(&spec) <= graces[j]);
            assert_true(lease_permits(&spec, 500000, asked - 1));
            assert_false(lease_permits(&spec, 500000, asked)); // not just to be asked to end
        }
    }
}

static void no_lease_permits_only_who_needs_none(void **state)
{
    (void)state;
    const struct reeve_spec free_one = spec_of(0, 10000, 0);
    const struct reeve_spec leased = spec_of(15000, 10000, 1);
    assert_true(lease_permits(&free_one, 0, 123));
    assert_int_equal(lease_until(&free_one, 500), 0);
    assert_false(lease_permits(&leased, 0, 123));
    assert_false(lease_permits(&leased, 0, 1));
    assert_int_equal(lease_until(&leased, 0), 0);
}

static void renewal_counts_from_when_the_beat_was_sent(void **state)
{
    (void)state;
    const struct reeve_spec spec = spec_of(15000, 1000, 7);
    int64_t base = 0;
    assert_int_equal(lease_renew(&spec, base, 7, 100000, 109000, &base, NULL), REEVE_OK);
    assert_int_equal(base, 100000); // nine seconds of delay are the node's loss
    assert_int_equal(lease_renew(&spec, base, 7, 105000, 109000, &base, NULL), REEVE_OK);
    assert_int_equal(base, 105000);
    assert_int_equal(lease_renew(&spec, base, 7, 102000, 109000, &base, NULL), REEVE_OK);
    assert_int_equal(base, 105000); // out of order: takes nothing away
}

static void refusals_leave_the_lease_as_it_is(void **state)
{
    (void)state;
    const struct reeve_spec spec = spec_of(15000, 1000, 7);
    const struct reeve_spec free_one = spec_of(0, 1000, 7);
    const struct {
        const struct reeve_spec *spec;
        int64_t fence, sent;
        enum reeve_err err;
        const char *says;
    } rows[] = {
        {&spec, 6, 100000, REEVE_CONFLICT, "fence 6 is below the spec's, 7"},
        {&spec, 8, 100000, REEVE_CONFLICT, "fence 8 is above the spec's, 7"},
        {&spec, -1, 100000, REEVE_CONFLICT, "below"},
        {&spec, 7, -1, REEVE_NOENT, "no such beat"},
        {&spec, 7, 80000, REEVE_TIMEOUT, "its lease is over"},
        {&free_one, 7, 100000, REEVE_CONFLICT, "no self_stop_after"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why = {0};
        int64_t base = 42;
        assert_int_equal(lease_renew(rows[i].spec, base, rows[i].fence, rows[i].sent, 100001, &base, &why),
                         rows[i].err);
        assert_int_equal(base, 42);
        if (strstr(why.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s", i, why.text);
        }
    }
}

// A manager may start the worker elsewhere at (when it granted last) + self_stop_after. Whatever is lost or late on the
// way, in either direction, the node's lease is over by then.
static void node_never_believes_longer_than_the_manager(void **state)
{
    (void)state;
    const struct reeve_spec spec = spec_of(3000, 500, 1);
    uint64_t seed = 20261122;
    for (int round = 0; round < 2000; round++) {
        struct lease_beats beats = {0};
        int64_t base = 0;
        int64_t granted = 0; // by the manager, last
        int64_t now = 1000000;
        for (int step = 0; step < 20; step++) {
            const int64_t beat = lease_beat(&beats, now);
            int64_t delays[2];
            for (int i = 0; i < 2; i++) {
                seed = seed * 6364136223846793005U + 1442695040888963407U;
                delays[i] = (int64_t)((seed >> 33) % 2500);
            }
            const int64_t grant = now + delays[0];
            const int64_t arrives = grant + delays[1];
            granted = grant > granted ? grant : granted;
            (void)lease_renew(&spec, base, 1, lease_beat_sent(&beats, beat), arrives, &base,
                              NULL); /* may be too late */
            assert_true(lease_until(&spec, base) < granted + spec.self_stop_after_ms);
            now += 1000;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beats_grow_and_are_remembered),
        cmocka_unit_test(old_beats_are_forgotten),
        cmocka_unit_test(beats_of_a_former_daemon_are_unknown),
        cmocka_unit_test(lease_is_over_before_self_stop_after),
        cmocka_unit_test(no_lease_permits_only_who_needs_none),
        cmocka_unit_test(renewal_counts_from_when_the_beat_was_sent),
        cmocka_unit_test(refusals_leave_the_lease_as_it_is),
        cmocka_unit_test(node_never_believes_longer_than_the_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
