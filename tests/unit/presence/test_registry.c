// The registry under what a site sends it: order, old epochs, removals, bounds, garbage, outages of the reader.
// Random payloads come from a fixed seed that is printed; REEVE_SEED in the environment replaces it.
// Must not: test the fold beyond that the registry feeds it.
#include <reeve/codec.h>
#include <reeve/presence.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#define ROOT   "reeve/v1/t"
#define STATUS ROOT "/worker/alpha/mm-1/status"
#define LWT    ROOT "/worker/alpha/mm-1/lwt"

static struct reeve_registry *registry;
static struct reeve_why last_why;

static int setup(void **state)
{
    (void)state;
    registry = reeve_registry_new(ROOT, 3);
    return registry == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    reeve_registry_free(registry);
    return 0;
}

static enum reeve_err take_bytes(const char *topic, const void *data, size_t len, bool retained, int64_t now)
{
    // A copy of the exact length, so that a read past the end is seen by the sanitizers.
    REEVE_AUTO_FREE char *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, data, len);
    last_why = (struct reeve_why){0};
    struct reeve_delivery delivery = {.topic = topic, .payload = copy, .payload_len = len, .retained = retained};
    return reeve_registry_take(registry, &delivery, now, &last_why);
}

// Payloads as JSON, for reading's sake; they travel as msgpack.
static enum reeve_err take(const char *topic, const char *json, bool retained, int64_t now)
{
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_json_read(json, strlen(json), &reeve_limits_file, NULL, &value, NULL), REEVE_OK);
    assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
    return take_bytes(topic, buf.data, buf.len, retained, now);
}

static struct reeve_registry_stats stats(void)
{
    struct reeve_registry_stats numbers;
    reeve_registry_stats(registry, &numbers);
    return numbers;
}

static const struct reeve_known_worker *mm1(void)
{
    return reeve_registry_worker(registry, "alpha", "mm-1");
}

static enum reeve_state verdict(int64_t now)
{
    return reeve_registry_verdict(registry, mm1(), now).state;
}

static void filters_are_of_the_site_or_of_one_node(void **state)
{
    (void)state;
    REEVE_STRV_AUTO all = {0};
    REEVE_STRV_AUTO one = {0};
    assert_int_equal(reeve_registry_filters(registry, NULL, &all), REEVE_OK);
    assert_int_equal(reeve_registry_filters(registry, "alpha", &one), REEVE_OK);
    assert_int_equal(all.len, 5);
    assert_true(reeve_strv_has(&all, ROOT "/node/+/status"));
    assert_true(reeve_strv_has(&all, ROOT "/worker/+/+/process"));
    assert_true(reeve_strv_has(&one, ROOT "/node/alpha/lwt"));
    assert_true(reeve_strv_has(&one, ROOT "/worker/alpha/+/status"));
    assert_null(one.items[one.len]);
}

static void other_topics_are_not_taken(void **state)
{
    (void)state;
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/event", "{\"epoch\":1}", false, 1), REEVE_NOENT);
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/cmd/stop", "{\"epoch\":1}", false, 1), REEVE_NOENT);
    assert_int_equal(take("reeve/v1/other/worker/alpha/mm-1/status", "{\"epoch\":1}", false, 1), REEVE_NOENT);
    assert_int_equal(take(ROOT "/worker/al.pha/mm-1/status", "{\"epoch\":1}", false, 1), REEVE_NOENT);
    assert_null(mm1());
}

// [fold-8] [session-4]
static void a_verdict_follows_status_and_will(void **state)
{
    (void)state;
    assert_int_equal(take(STATUS, "{\"epoch\":5,\"state\":\"online\",\"availability\":\"idle\"}", false, 100),
                     REEVE_OK);
    assert_int_equal(verdict(101), REEVE_STATE_RUNNING);
    assert_int_equal(take(LWT, "{\"epoch\":5}", false, 102), REEVE_OK);
    assert_int_equal(verdict(103), REEVE_STATE_LOST);
    assert_int_equal(take(STATUS, "{\"epoch\":6,\"state\":\"online\",\"availability\":\"idle\"}", false, 104),
                     REEVE_OK);
    assert_int_equal(verdict(105), REEVE_STATE_RUNNING);
}

// [fold-9]
static void a_late_will_and_an_old_status_change_nothing(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":6,\"availability\":\"idle\"}", false, 100); /* checked below */
    assert_int_equal(take(LWT, "{\"epoch\":5}", false, 101), REEVE_OK);
    assert_int_equal(verdict(102), REEVE_STATE_RUNNING);
    uint64_t before = mm1()->generation;
    assert_int_equal(take(STATUS, "{\"epoch\":5,\"availability\":\"paused\"}", false, 103), REEVE_OK);
    assert_int_equal(stats().ignored_old, 1);
    assert_int_equal(mm1()->status.epoch, 6);
    assert_int_equal(reeve_get_int(mm1()->status_record, "epoch", 0), 6);
    assert_true(mm1()->generation >= before);
}

// [fold-9], for runs
static void an_older_run_of_the_process_is_ignored(void **state)
{
    (void)state;
    const char *topic = ROOT "/worker/alpha/mm-1/process";
    assert_int_equal(take(ROOT "/node/alpha/status", "{\"epoch\":1,\"state\":\"online\"}", false, 1), REEVE_OK);
    assert_int_equal(take(topic, "{\"epoch\":1,\"run\":4,\"state\":\"running\"}", false, 1), REEVE_OK);
    assert_int_equal(take(topic, "{\"epoch\":1,\"run\":3,\"state\":\"failed\"}", false, 2), REEVE_OK);
    assert_int_equal(stats().ignored_old, 1);
    assert_int_equal(mm1()->process.state, REEVE_STATE_RUNNING);
    assert_int_equal(reeve_get_int(mm1()->process_record, "run", 0), 4);
    assert_int_equal(take(topic, "{\"epoch\":1,\"run\":4,\"state\":\"stopped\"}", false, 3), REEVE_OK);
    assert_int_equal(verdict(4), REEVE_STATE_STOPPED);
}

// A successor that took its epoch from a broker which had forgotten the predecessor, after its ttl.
static void a_lower_epoch_counts_when_the_broker_has_forgotten_the_higher(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":900,\"ttl_ms\":60000,\"heartbeat_ms\":20000}", false, 1000); /* checked below */
    assert_int_equal(take(STATUS, "{\"epoch\":10,\"heartbeat_ms\":20000}", false, 61000), REEVE_OK);
    assert_int_equal(mm1()->status.epoch, 900);
    assert_int_equal(take(STATUS, "{\"epoch\":10,\"heartbeat_ms\":20000}", false, 61001), REEVE_OK);
    assert_int_equal(mm1()->status.epoch, 10);
    assert_int_equal(verdict(61002), REEVE_STATE_RUNNING);
}

// [topic-4]
static void an_empty_payload_removes_and_a_worker_with_nothing_left_is_forgotten(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5}", false, 1); /* checked below */
    (void)take(LWT, "{\"epoch\":4}", false, 1);    /* checked below */
    assert_int_equal(take_bytes(STATUS, "", 0, false, 2), REEVE_OK);
    assert_non_null(mm1());
    assert_false(mm1()->status.present);
    assert_null(mm1()->status_record);
    assert_int_equal(take_bytes(LWT, "", 0, false, 3), REEVE_OK);
    assert_null(mm1());
    assert_int_equal(stats().removed, 2);
    assert_int_equal(take_bytes(LWT, "", 0, false, 4), REEVE_OK); // nothing there: nothing happens
    assert_int_equal(stats().removed, 2);

    (void)take(ROOT "/node/alpha/status", "{\"epoch\":5}", false, 1); /* checked below */
    assert_non_null(reeve_registry_node(registry, "alpha"));
    assert_int_equal(take_bytes(ROOT "/node/alpha/status", "", 0, false, 2), REEVE_OK);
    assert_null(reeve_registry_node(registry, "alpha"));
}

static void more_workers_than_the_bound_are_refused_and_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        char topic[64];
        (void)snprintf(topic, sizeof topic, ROOT "/worker/alpha/w-%d/status", i); /* fits */
        assert_int_equal(take(topic, "{\"epoch\":5}", false, 1), i < 3 ? REEVE_OK : REEVE_LIMIT);
    }
    assert_int_equal(stats().refused_full, 2);
    assert_int_equal(stats().malformed, 0);
    assert_int_equal(take(ROOT "/worker/alpha/w-1/status", "{\"epoch\":6}", false, 2), REEVE_OK);
    assert_int_equal(take_bytes(ROOT "/worker/alpha/w-1/status", "", 0, false, 3), REEVE_OK);
    assert_int_equal(take(ROOT "/worker/alpha/w-4/status", "{\"epoch\":5}", false, 4), REEVE_OK);
}

static void workers_and_nodes_come_sorted(void **state)
{
    (void)state;
    (void)take(ROOT "/worker/beta/a/status", "{\"epoch\":5}", false, 1);  /* counted below */
    (void)take(ROOT "/worker/alpha/z/status", "{\"epoch\":5}", false, 1); /* counted below */
    (void)take(ROOT "/worker/alpha/b/status", "{\"epoch\":5}", false, 1); /* counted below */
    (void)take(ROOT "/node/beta/lwt", "{\"epoch\":5}", false, 1);         /* counted below */
    (void)take(ROOT "/node/alpha/lwt", "{\"epoch\":5}", false, 1);        /* counted below */
    REEVE_AUTO_FREE const struct reeve_known_worker **workers = NULL;
    REEVE_AUTO_FREE const struct reeve_known_node **nodes = NULL;
    assert_int_equal(reeve_registry_workers(registry, &workers), 3);
    assert_string_equal(workers[0]->name, "b");
    assert_string_equal(workers[1]->name, "z");
    assert_string_equal(workers[2]->node, "beta");
    assert_int_equal(reeve_registry_nodes(registry, &nodes), 2);
    assert_string_equal(nodes[0]->name, "alpha");
}

static void malformed_records_are_named_counted_and_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *leaf, *json, *says;
    } cases[] = {
        {"status", "{\"state\":\"online\"}", "epoch is missing"},
        {"status", "{\"epoch\":\"5\"}", "epoch"},
        {"status", "{\"epoch\":-1}", "epoch"},
        {"status", "{\"epoch\":9007199254740992}", "epoch"},
        {"status", "{\"epoch\":5,\"state\":\"sleeping\"}", "state"},
        {"status", "{\"epoch\":5,\"state\":7}", "state"},
        {"status", "{\"epoch\":5,\"heartbeat_ms\":1}", "heartbeat_ms"},
        {"status", "{\"epoch\":5,\"heartbeat_ms\":9007199254740991}", "heartbeat_ms"},
        {"status", "[1,2]", "a record is a map"},
        {"status", "7", "a record is a map"},
        {"status", "{\"epoch\":5,\"at\":\"now\"}", "at is no whole number"},
        {"status", "{\"epoch\":5,\"run\":-1}", "run is no whole number"},
        {"lwt", "{}", "epoch is missing"},
        {"process", "{\"epoch\":5,\"state\":\"running\"}", "run is missing"},
        {"process", "{\"epoch\":5,\"run\":1}", "state is missing"},
        {"process", "{\"epoch\":5,\"run\":-1,\"state\":\"running\"}", "run"},
        {"process", "{\"epoch\":5,\"run\":1,\"state\":\"lost\"}", "state"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        char topic[64];
        (void)snprintf(topic, sizeof topic, ROOT "/worker/alpha/mm-1/%s", cases[i].leaf); /* fits */
        assert_int_equal(take(topic, cases[i].json, false, 1), REEVE_INVALID);
        assert_non_null(strstr(last_why.text, cases[i].says));
        assert_null(mm1());
        assert_int_equal(stats().malformed, i + 1);
    }
}

static void words_of_a_newer_build_are_no_reason_to_refuse(void **state)
{
    (void)state;
    assert_int_equal(take(STATUS, "{\"epoch\":5,\"availability\":\"dreaming\",\"new_key\":{\"a\":[1]}}", false, 1),
                     REEVE_OK);
    assert_int_equal(mm1()->status.availability, REEVE_AVAILABILITY_NONE);
    assert_int_equal(verdict(2), REEVE_STATE_RUNNING);
}

static void a_record_above_the_bound_is_refused(void **state)
{
    (void)state;
    char big[REEVE_RETAINED_BYTES_MAX + 64];
    memset(big, 'x', sizeof big);
    memcpy(big, "\x81\xa1k\xda\x20\x10", 6); // {"k": str of 8208 bytes}
    assert_int_equal(take_bytes(STATUS, big, 6 + 8208, false, 1), REEVE_LIMIT);
    assert_int_equal(stats().malformed, 1);
    assert_null(mm1());
}

// A crash of a sanitizer build is what would fail here; counters must add up in any build.
static void random_bytes_on_every_topic_do_no_harm(void **state)
{
    (void)state;
    static const char *const topics[] = {ROOT "/node/alpha/status", ROOT "/node/alpha/lwt", STATUS, LWT,
                                         ROOT "/worker/alpha/mm-1/process"};
    const char *given = getenv("REEVE_SEED");
    unsigned seed = given == NULL ? 20261122U : (unsigned)strtoul(given, NULL, 10);
    print_message("REEVE_SEED=%u\n", seed);
    srandom(seed);
    for (int round = 0; round < 20000; round++) {
        unsigned char data[64];
        size_t len = 1 + (size_t)random() % sizeof data;
        for (size_t i = 0; i < len; i++) {
            data[i] = (unsigned char)random();
        }
        if (round % 2 == 0) { // half of them begin like a record, to get past the first check
            static const unsigned char head[] = "\x83\xa5"
                                                "epoch";
            memcpy(data, head, len < sizeof head - 1 ? len : sizeof head - 1);
        }
        enum reeve_err err = take_bytes(topics[round % 5], data, len, round % 3 == 0, round);
        assert_true(err == REEVE_OK || err == REEVE_INVALID || err == REEVE_LIMIT);
    }
    assert_true(stats().malformed > 19000);
}

#define PROCESS ROOT "/worker/alpha/mm-1/process"
#define NODE    ROOT "/node/alpha/status"
#define MONTH   2592000000

// A live node until far away, so that verdicts rest on the worker alone.
static void node_lives(int64_t now)
{
    char json[96];
    (void)snprintf(json, sizeof json, "{\"epoch\":1,\"heartbeat_ms\":3600000,\"at\":%lld}", (long long)now); /* fits */
    assert_int_equal(take(NODE, json, false, now), REEVE_OK);
}

// [session-9]
static void an_outage_of_the_reader_is_no_evidence_until_the_others_had_time_to_return(void **state)
{
    (void)state;
    (void)take(ROOT "/worker/alpha/quiet/status", "{\"epoch\":5,\"at\":1}", false, 1000); /* checked below */
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 100000);                          /* checked below */
    const struct reeve_known_worker *quiet = reeve_registry_worker(registry, "alpha", "quiet");
    assert_int_equal(verdict(150001), REEVE_STATE_LOST); // nothing is heard, and why is not known yet
    reeve_registry_disconnected(registry, 152000);
    assert_int_equal(verdict(MONTH), REEVE_STATE_RUNNING);
    reeve_registry_reconnected(registry, 120000);               // 20 s: held for as long again
    (void)take(LWT, "{\"epoch\":5}", true, 120001);             /* the broker fired all wills; checked below */
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", true, 120001); /* the copy it kept; checked below */
    assert_int_equal(verdict(139999), REEVE_STATE_RUNNING);
    assert_int_equal(reeve_registry_verdict(registry, quiet, 139999).state, REEVE_STATE_LOST);
    assert_int_equal(verdict(140000), REEVE_STATE_LOST);
    (void)take(STATUS, "{\"epoch\":6,\"at\":2}", false, 140001); /* checked below */
    assert_int_equal(verdict(140002), REEVE_STATE_RUNNING);
}

// The last thing heard was a death, and the reader's own loss came much later.
static void a_death_before_the_loss_stays_one(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 100000); /* checked below */
    (void)take(LWT, "{\"epoch\":5}", false, 100010);             /* checked below */
    reeve_registry_disconnected(registry, 110000);
    assert_int_equal(verdict(110001), REEVE_STATE_LOST);
}

static void wills_that_came_just_before_the_loss_are_part_of_it(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 100000);                           /* checked below */
    (void)take(ROOT "/worker/alpha/dead/status", "{\"epoch\":5,\"at\":1}", false, 100000); /* checked below */
    (void)take(ROOT "/worker/alpha/dead/lwt", "{\"epoch\":5}", false, 101000);             /* long before */
    (void)take(LWT, "{\"epoch\":5}", false, 102500); /* the broker was told to stop */
    assert_int_equal(verdict(102501), REEVE_STATE_LOST);
    reeve_registry_disconnected(registry, 102510);
    assert_int_equal(verdict(102511), REEVE_STATE_RUNNING);
    const struct reeve_known_worker *dead = reeve_registry_worker(registry, "alpha", "dead");
    assert_int_equal(reeve_registry_verdict(registry, dead, 102511).state, REEVE_STATE_LOST);
}

static void after_a_long_outage_the_grace_has_its_bound(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 1000); /* checked below */
    assert_int_equal(reeve_registry_held_until(registry, 4999), 0);
    reeve_registry_disconnected(registry, 5000);
    assert_int_equal(reeve_registry_held_until(registry, 5001), INT64_MAX);
    reeve_registry_reconnected(registry, MONTH);
    assert_int_equal(reeve_registry_held_until(registry, MONTH), MONTH + REEVE_GRACE_MS_MAX);
    assert_int_equal(reeve_registry_held_until(registry, MONTH + REEVE_GRACE_MS_MAX), 0);
    assert_int_equal(verdict(MONTH + REEVE_GRACE_MS_MAX - 1), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(MONTH + REEVE_GRACE_MS_MAX), REEVE_STATE_LOST);
}

static void a_loss_nobody_told_counts_from_when_something_was_last_heard(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 1000);                            /* checked below */
    (void)take(ROOT "/worker/alpha/other/status", "{\"epoch\":5,\"at\":1}", false, 2000); /* the last word heard */
    (void)take(LWT, "{\"epoch\":4}", false, 2000); /* of a former session; checked below */
    reeve_registry_reconnected(registry, 62000);
    (void)take(LWT, "{\"epoch\":5}", true, 62001); /* held; checked below */
    assert_int_equal(verdict(62000 + REEVE_GRACE_MS_MAX - 1), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(62000 + REEVE_GRACE_MS_MAX), REEVE_STATE_LOST);
}

// A link that comes and goes is one outage: judging by what was known in between would turn everything red.
static void a_second_loss_within_the_grace_goes_on_with_the_first(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 1000); /* checked below */
    reeve_registry_disconnected(registry, 2000);
    reeve_registry_reconnected(registry, 52000);
    reeve_registry_disconnected(registry, 53000);
    assert_int_equal(verdict(53001), REEVE_STATE_RUNNING);
    reeve_registry_reconnected(registry, 60000);
    assert_int_equal(verdict(60000 + REEVE_GRACE_MS), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(60000 + REEVE_GRACE_MS_MAX), REEVE_STATE_LOST);
}

static void a_reader_that_begins_sees_no_deaths_until_its_grace_is_over(void **state)
{
    (void)state;
    reeve_registry_reconnected(registry, 1000);
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", true, 1001); /* checked below */
    (void)take(LWT, "{\"epoch\":5}", true, 1001);             /* checked below */
    assert_int_equal(verdict(1000 + REEVE_GRACE_MS - 1), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(1000 + REEVE_GRACE_MS), REEVE_STATE_LOST);
}

static void a_node_is_held_like_its_workers(void **state)
{
    (void)state;
    (void)take(NODE, "{\"epoch\":5,\"at\":1}", false, 1000); /* checked below */
    const struct reeve_known_node *node = reeve_registry_node(registry, "alpha");
    reeve_registry_disconnected(registry, 2000);
    assert_int_equal(reeve_registry_node_liveness(registry, node, 100000), REEVE_LIVE);
    reeve_registry_reconnected(registry, 100000);
    (void)take(ROOT "/node/alpha/lwt", "{\"epoch\":5}", true, 100001); /* checked below */
    assert_int_equal(reeve_registry_node_liveness(registry, node, 100002), REEVE_LIVE);
    assert_int_equal(reeve_registry_node_liveness(registry, node, 100000 + REEVE_GRACE_MS_MAX), REEVE_DEAD);
}

// A reader that reads once tells nothing of its connection: what the broker holds is what counts.
static void a_reader_that_reads_once_has_no_grace(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", true, 1000); /* checked below */
    (void)take(LWT, "{\"epoch\":5}", true, 1000);             /* checked below */
    assert_int_equal(verdict(1001), REEVE_STATE_LOST);
}

// A will delivered once more with a reconnect is as old as it was: else it would be held by the grace and look alive.
static void a_will_delivered_again_keeps_its_time(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":1}", false, 1000); /* checked below */
    (void)take(LWT, "{\"epoch\":5}", false, 2000);             /* checked below */
    reeve_registry_disconnected(registry, 3000);
    reeve_registry_reconnected(registry, 4000);
    (void)take(LWT, "{\"epoch\":5}", true, 4001); /* checked below */
    assert_true(mm1()->lwt.will);
    assert_int_equal(mm1()->lwt.arrived, 2000);
    assert_int_equal(verdict(4002), REEVE_STATE_LOST);
}

static void the_copy_that_the_broker_kept_is_no_heartbeat(void **state)
{
    (void)state;
    (void)take(STATUS, "{\"epoch\":5,\"at\":77}", false, 1000); /* checked below */
    (void)take(STATUS, "{\"epoch\":5,\"at\":77}", true, 40000); /* checked below */
    assert_int_equal(mm1()->status.written_at, 77);
    assert_int_equal(verdict(51000), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(51001), REEVE_STATE_LOST);
}

// A run that has not spoken yet is not lost: the dead session was the former run's.
static void a_restart_does_not_show_as_lost(void **state)
{
    (void)state;
    node_lives(1);
    (void)take(STATUS, "{\"epoch\":5,\"run\":1,\"at\":1}", false, 1);               /* checked below */
    (void)take(PROCESS, "{\"epoch\":1,\"run\":1,\"state\":\"running\"}", false, 1); /* checked below */
    assert_int_equal(mm1()->status.run, 1);
    (void)take(LWT, "{\"epoch\":5}", false, 1000);                                        /* its end */
    (void)take(PROCESS, "{\"epoch\":1,\"run\":1,\"state\":\"restarting\"}", false, 1001); /* checked below */
    assert_int_equal(verdict(1002), REEVE_STATE_RESTARTING);
    (void)take(PROCESS, "{\"epoch\":1,\"run\":2,\"state\":\"running\"}", false, 1003); /* checked below */
    assert_int_equal(verdict(1004), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(1003 + 50000), REEVE_STATE_RUNNING);
    assert_int_equal(verdict(1003 + 50001), REEVE_STATE_LOST);
}

// [fold-9]: a removal leaves its epoch behind, as long as anything of the worker is left.
static void what_was_removed_does_not_come_back_older(void **state)
{
    (void)state;
    (void)take(LWT, "{\"epoch\":4}", false, 1);             /* checked below */
    (void)take(STATUS, "{\"epoch\":9,\"at\":1}", false, 1); /* checked below */
    assert_int_equal(take_bytes(STATUS, "", 0, false, 2), REEVE_OK);
    assert_int_equal(take(STATUS, "{\"epoch\":8,\"at\":1}", false, 3), REEVE_OK);
    assert_false(mm1()->status.present);
    assert_null(mm1()->status_record);
    assert_int_equal(stats().ignored_old, 1);
}

static void a_renewed_heartbeat_keeps_a_worker_alive(void **state)
{
    (void)state;
    for (int64_t now = 0; now <= 200000; now += 20000) {
        char json[96];
        (void)snprintf(json, sizeof json, "{\"epoch\":5,\"heartbeat_ms\":20000,\"at\":%lld}",
                       (long long)now); /* fits */
        assert_int_equal(take(STATUS, json, false, now), REEVE_OK);
        assert_int_equal(verdict(now + 19999), REEVE_STATE_RUNNING);
    }
    assert_int_equal(verdict(200000 + 50001), REEVE_STATE_LOST);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(filters_are_of_the_site_or_of_one_node),
        TEST(other_topics_are_not_taken),
        TEST(a_verdict_follows_status_and_will),
        TEST(a_late_will_and_an_old_status_change_nothing),
        TEST(an_older_run_of_the_process_is_ignored),
        TEST(a_lower_epoch_counts_when_the_broker_has_forgotten_the_higher),
        TEST(an_empty_payload_removes_and_a_worker_with_nothing_left_is_forgotten),
        TEST(more_workers_than_the_bound_are_refused_and_counted),
        TEST(workers_and_nodes_come_sorted),
        TEST(malformed_records_are_named_counted_and_change_nothing),
        TEST(words_of_a_newer_build_are_no_reason_to_refuse),
        TEST(a_record_above_the_bound_is_refused),
        TEST(random_bytes_on_every_topic_do_no_harm),
        TEST(an_outage_of_the_reader_is_no_evidence_until_the_others_had_time_to_return),
        TEST(a_death_before_the_loss_stays_one),
        TEST(wills_that_came_just_before_the_loss_are_part_of_it),
        TEST(after_a_long_outage_the_grace_has_its_bound),
        TEST(a_loss_nobody_told_counts_from_when_something_was_last_heard),
        TEST(a_second_loss_within_the_grace_goes_on_with_the_first),
        TEST(a_reader_that_begins_sees_no_deaths_until_its_grace_is_over),
        TEST(a_node_is_held_like_its_workers),
        TEST(a_reader_that_reads_once_has_no_grace),
        TEST(a_will_delivered_again_keeps_its_time),
        TEST(the_copy_that_the_broker_kept_is_no_heartbeat),
        TEST(a_restart_does_not_show_as_lost),
        TEST(what_was_removed_does_not_come_back_older),
        TEST(a_renewed_heartbeat_keeps_a_worker_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
