// The fleet under the messages of nodes and workers: verdicts published once per change, what survives restarts and
// outages, who is told, and who is forgotten. Must not: test the fold (tests/unit/lifecycle) or random schedules
// (test_fleet_property.c).
#include "fake_rooms.h"
#include "fake_store.h"

#include "fleet_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake fake;
static struct fleet *fleet;
static size_t told[5];
static char last_told[64];

static void hear(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                 const struct fleet_worker *worker, void *arg)
{
    (void)manager;
    (void)arg;
    told[change]++;
    if (worker != NULL) {
        struct fleet_worker_info info = fleet_worker_info(fleet, worker);
        (void)snprintf(last_told, sizeof last_told, "%.25s/%.30s", info.node, info.name);
    } else {
        (void)snprintf(last_told, sizeof last_told, "%.40s", fleet_node_info(fleet, node).name);
    }
    if (change == FLEET_WORKER_BEAT) {
        assert_non_null(fleet_arrived(fleet));
    }
}

static void begin(void)
{
    assert_int_equal(fleet_new(&fake.manager, &fleet, NULL), REEVE_OK);
    fake.manager.fleet = fleet;
    assert_int_equal(fleet_listen(fleet, hear, NULL), REEVE_OK);
}

static int setup(void **state)
{
    (void)state;
    fake_init(&fake);
    fake_store_reset();
    fake_health = HEALTH_UNKNOWN;
    fake_holds = (struct fake_hold){0};
    memset(told, 0, sizeof told);
    begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fleet_free(fleet);
    fake_store_reset();
    fake_done(&fake);
    return 0;
}

static void turn(void)
{
    fake_turn(&fake, true);
    fake_echo(&fake);
    fake_turn(&fake, true);
}

static void wait_ms(int64_t ms)
{
    fake_time(&fake, ms);
    int64_t look = fleet_next_look(fleet);
    if (look != 0 && look <= fake.mono_ms) {
        fleet_look(fleet);
    }
    turn();
}

static void node_beat(const char *node, int epoch)
{
    char topic[100];
    char text[300];
    static int beat;
    (void)snprintf(topic, sizeof topic, "node/%s/status", node);
    (void)snprintf(text, sizeof text,
                   "{epoch: %d, state: online, heartbeat_ms: 5000, at: %lld, beat: %d, region: eu, host: %s.example, "
                   "labels: {rack: r1, desk: n}, capacity: {cpus: 8, memory_bytes: 1024}, workers: {total: 2}, "
                   "round_trip: {exchange: 1.4}}",
                   epoch, (long long)fake.wall_ms, ++beat, node);
    (void)fake_deliver(&fake, topic, text, false);
}

static void process(const char *worker, const char *more)
{
    char topic[100];
    char text[600];
    (void)snprintf(topic, sizeof topic, "worker/alpha/%s/process", worker);
    (void)snprintf(
        text, sizeof text,
        "{epoch: 1, at: %lld, desired: running, speaks: true, type: swap, exchange: kraken, pool: mm, origin: command, "
        "capabilities: [swap], labels: {desk: a}, attributes: {tier: gold, slots: '3'}, limits: {memory_bytes: 4096, "
        "cpus: 0.5}, "
        "account: acc-%s, pid: 7, restarts: 2, %s}",
        (long long)fake.wall_ms, worker, more);
    (void)fake_deliver(&fake, topic, text, false);
}

static void status(const char *worker, const char *more)
{
    char topic[100];
    char text[400];
    (void)snprintf(topic, sizeof topic, "worker/alpha/%s/status", worker);
    (void)snprintf(text, sizeof text,
                   "{state: online, heartbeat_ms: 20000, at: %lld, version: '1.2', capabilities: [swap, limit], %s}",
                   (long long)fake.wall_ms, more);
    (void)fake_deliver(&fake, topic, text, false);
}

static void lwt(const char *worker, int epoch)
{
    char topic[100];
    char text[40];
    (void)snprintf(topic, sizeof topic, "worker/alpha/%s/lwt", worker);
    (void)snprintf(text, sizeof text, "{epoch: %d}", epoch);
    (void)fake_deliver(&fake, topic, text, false);
}

// A session that has seen everything, and whose grace is over.
static void join(void)
{
    fleet_session(fleet);
    fleet_ready(fleet);
    turn();
    fake_time(&fake, REEVE_GRACE_MS);
    fleet_look(fleet);
    turn();
}

static const struct reeve_value *published(const char *worker)
{
    char topic[100];
    (void)snprintf(topic, sizeof topic, "fleet/alpha/%s", worker);
    const struct fake_item *item = fake_find(&fake, topic);
    return item != NULL ? item->value : NULL;
}

static void assert_published(const char *worker, const char *key, const char *text)
{
    const struct reeve_value *record = published(worker);
    assert_non_null(record);
    const char *is = reeve_get_str(record, key);
    if (!reeve_str_eq(is, text)) {
        fail_msg("%s of %s is %s, not %s", key, worker, is != NULL ? is : "(none)", text != NULL ? text : "(none)");
    }
}

static struct fleet_worker_info info(const char *worker)
{
    const struct fleet_worker *found = fleet_worker(fleet, "alpha", worker);
    assert_non_null(found);
    return fleet_worker_info(fleet, found);
}

// ---- verdicts -----------------------------------------------------------------------------------------------------

static void everything_a_gui_needs_is_in_one_record(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running, since: 1699999990000, started_at: 1699999980000, fence: 9");
    status("mm-1",
           "epoch: 5, run: 3, availability: idle, jobs: 0, safe_to_stop: false, unsafe_reason: two open orders");
    turn();
    const struct reeve_value *record = published("mm-1");
    REEVE_VALUE_AUTO expected = fake_parse(
        "{node: alpha, worker: mm-1, state: running, availability: idle, since: 1699999990000, source: observed, why: "
        "idle, "
        "run: 3, type: swap, exchange: kraken, region: eu, pool: mm, account: acc-mm-1, capabilities: [swap, limit], "
        "labels: {desk: a, rack: r1}, attributes: {tier: gold, slots: '3'}, pid: 7, started_at: 1699999980000, "
        "restarts: 2, "
        "jobs: 0, safe_to_stop: false, unsafe_reason: two open orders, desired: running, fence: 9, memory_limit_bytes: "
        "4096}");
    reeve_put_int(expected, "at", fake.wall_ms);
    if (!reeve_value_equal(record, expected)) {
        REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
        (void)reeve_json_write(record, 0, &json);
        fail_msg("%s", json.data);
    }
    struct fleet_worker_info worker = info("mm-1");
    assert_string_equal(worker.region, "eu");
    assert_int_equal(worker.memory_limit_bytes, 4096);
    assert_true(worker.cpu_limit > 0.49 && worker.cpu_limit < 0.51);
    assert_true(fleet_worker_live(&worker) && !fleet_worker_busy(&worker) && !worker.safe_to_stop);
    assert_int_equal(worker.session, REEVE_LIVE);
    assert_int_equal(worker.epoch, 5);
}

static void heartbeats_publish_nothing(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running");
    status("mm-1", "epoch: 5, run: 3, availability: idle");
    turn();
    size_t before = fake_count(&fake, "*");
    size_t workers = told[FLEET_WORKER];
    for (int i = 0; i < 60; i++) {
        wait_ms(5000);
        node_beat("alpha", 1);
        if (i % 4 == 3) {
            status("mm-1", "epoch: 5, run: 3, availability: idle");
        }
    }
    turn();
    assert_int_equal(fake_count(&fake, "*"), before);
    assert_int_equal(told[FLEET_WORKER], workers);
    assert_int_equal(told[FLEET_WORKER_BEAT], 16);
    assert_int_equal(told[FLEET_NODE_BEAT], 61);
    assert_int_equal(told[FLEET_NODE], 1);
    (void)fake_deliver(&fake, "node/alpha/metrics",
                       "{workers: {mm-1: {memory_bytes: 77, cpu_ms: 5}, other: {cpu_ms: 1}}}", false);
    turn();
    assert_int_equal(fake_count(&fake, "*"), before); // numbers of the process change no verdict
    assert_int_equal(info("mm-1").memory_bytes, 77);
    assert_int_equal(info("mm-1").cpu_ms, 5);
}

static void a_last_will_is_a_verdict_in_the_same_turn(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running");
    status("mm-1", "epoch: 5, run: 3, availability: processing, jobs: 1");
    turn();
    assert_published("mm-1", "availability", "processing");
    fake_time(&fake, 10);
    lwt("mm-1", 5);
    fake_turn(&fake, true);
    assert_published("mm-1", "state", "lost");
    assert_published("mm-1", "availability", NULL);
    assert_int_equal(reeve_get_int(published("mm-1"), "since", 0), fake.wall_ms);
    // An older will changes nothing, a higher epoch heals.
    status("mm-1", "epoch: 6, run: 3, availability: idle");
    lwt("mm-1", 5);
    turn();
    assert_published("mm-1", "state", "running");
}

static void silence_is_seen_without_a_message(void **state)
{
    (void)state;
    join();
    status("hand", "epoch: 5, availability: idle, type: tool"); // by hand: no node
    turn();
    assert_published("hand", "state", "running");
    wait_ms(50000);
    assert_published("hand", "state", "running");
    wait_ms(1);
    assert_published("hand", "state", "lost");
    assert_int_equal(info("hand").session, REEVE_STALE);
}

static void a_node_takes_its_workers_with_it_and_back(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    for (int i = 0; i < 3; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "w%d", i);
        process(name, "run: 1, state: running");
        status(name, "epoch: 5, run: 1, availability: idle");
    }
    turn();
    (void)fake_deliver(&fake, "node/alpha/lwt", "{epoch: 1}", false);
    lwt("w0", 5);
    turn();
    assert_published("w0", "state", "unknown");
    assert_published("w0", "last_known", "running");
    assert_published("w1", "state", "running");
    assert_true(reeve_get_bool(published("w1"), "unsupervised", false));
    assert_int_equal(fleet_node_info(fleet, fleet_node(fleet, "alpha")).liveness, REEVE_DEAD);
    fake_time(&fake, 1);
    node_beat("alpha", 2);
    turn();
    assert_published("w0", "state", "lost");
    assert_published("w2", "state", "running");
    assert_int_equal(fleet_node_info(fleet, fleet_node(fleet, "alpha")).liveness, REEVE_LIVE);
}

static void what_a_person_or_health_says_is_published_when_touched(void **state)
{
    (void)state;
    fake.manager.health = (struct health *)&fake; // only asked whether it is there
    fake.manager.holds = (struct holds *)&fake;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running");
    turn();
    size_t before = fake_count(&fake, "fleet/*");
    fleet_touch(fleet, "alpha", "mm-1");
    turn();
    assert_int_equal(fake_count(&fake, "fleet/*"), before);
    fake_health = HEALTH_WARNING;
    fleet_touch(fleet, "alpha", "mm-1");
    fleet_touch(fleet, "alpha", "nobody");
    turn();
    assert_published("mm-1", "health", "warning");
    fake_holds.worker = "mm-1";
    fleet_touch(fleet, "alpha", "mm-1");
    turn();
    assert_string_equal(reeve_get_str(reeve_value_get(published("mm-1"), "hold"), "by"), "ada");
    fake.manager.health = NULL;
    fake.manager.holds = NULL;
}

static void a_turn_that_was_not_written_is_said_again(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running");
    fake_turn(&fake, false);
    assert_null(published("mm-1"));
    wait_ms(0);
    assert_published("mm-1", "state", "running");
    size_t before = fake_count(&fake, "fleet/*");
    wait_ms(0);
    assert_int_equal(fake_count(&fake, "fleet/*"), before);
}

// ---- attributes -----------------------------------------------------------------------------------------------------

static bool meets(const char *worker, const char *text)
{
    struct reeve_requirement requirement;
    assert_int_equal(reeve_requirement_parse(text, &requirement, NULL), REEVE_OK);
    return reeve_requirement_met(&requirement, fleet_worker_attribute, fleet_worker(fleet, "alpha", worker));
}

static void attributes_are_the_workers_own_then_its_nodes(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running");
    status("mm-1", "epoch: 5, run: 3, availability: idle, jobs: 2");
    turn();
    static const char *const yes[] = {"type=swap",
                                      "exchange=k*",
                                      "pool=mm",
                                      "account=acc-mm-1",
                                      "origin=command",
                                      "version=1.2",
                                      "capabilities=swap",
                                      "capabilities=limit",
                                      "label.desk=a",
                                      "label.rack=r1",
                                      "tier=gold",
                                      "slots>=3",
                                      "region=eu",
                                      "cpus>=8",
                                      "memory=1024",
                                      "host=alpha.example",
                                      "node=alpha",
                                      "worker=mm-1",
                                      "state=running",
                                      "availability=idle",
                                      "jobs>1",
                                      "restarts=2",
                                      "!gpu"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(yes); i++) {
        if (!meets("mm-1", yes[i])) {
            fail_msg("%s", yes[i]);
        }
    }
    assert_false(meets("mm-1", "label.desk=n")); // its own wins
    // Capabilities change at run time: the union of both words.
    (void)fake_deliver(&fake, "worker/alpha/mm-1/status",
                       "{epoch: 5, run: 3, at: 9, availability: idle, capabilities: [cancel]}", false);
    turn();
    assert_true(meets("mm-1", "capabilities=cancel") && meets("mm-1", "capabilities=swap") &&
                !meets("mm-1", "capabilities=limit"));
    assert_int_equal(reeve_value_len(reeve_value_get(published("mm-1"), "capabilities")), 2);
    assert_int_equal(fleet_round_trip_ms(fleet, fleet_node(fleet, "alpha"), "exchange"), 1);
    assert_int_equal(fleet_round_trip_ms(fleet, fleet_node(fleet, "alpha"), "mars"), -1);
}

static void workers_of_one_kind_share_what_they_have_in_common(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("a", "run: 1, state: running");
    process("b", "run: 7, state: stopped");
    turn();
    const struct fleet_worker *a = fleet_worker(fleet, "alpha", "a");
    const struct fleet_worker *b = fleet_worker(fleet, "alpha", "b");
    assert_ptr_equal(a->attrs, b->attrs);
    assert_string_equal(info("a").account, "acc-a");
    (void)fake_deliver(&fake, "worker/alpha/b/process", "{epoch: 1, run: 7, state: stopped, type: other}", false);
    assert_ptr_not_equal(a->attrs, b->attrs);
    assert_int_equal(a->attrs->refs, 1);
    assert_null(info("b").account);
}

static void labels_of_a_node_that_change_are_its_workers_too(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 3, state: running");
    turn();
    (void)fake_deliver(&fake, "node/alpha/status",
                       "{epoch: 1, state: draining, at: 99, region: us, labels: {rack: r2}}", false);
    turn();
    assert_published("mm-1", "region", "us");
    assert_string_equal(reeve_get_str(reeve_value_get(published("mm-1"), "labels"), "rack"), "r2");
    assert_true(fleet_node_info(fleet, fleet_node(fleet, "alpha")).draining);
    assert_int_equal(told[FLEET_NODE], 2);
}

static void a_record_too_large_loses_what_is_least_needed(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    REEVE_VALUE_AUTO record =
        fake_parse("{epoch: 1, run: 1, state: running, type: swap, labels: {}, attributes: {}, capabilities: [a]}");
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    for (int i = 0; i < 7; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%d", i);
        reeve_put_str(reeve_value_get_mut(record, i < 4 ? "attributes" : "labels"), key, text);
    }
    (void)fake_deliver_value(&fake, "worker/alpha/big/process", reeve_value_take(&record), false);
    REEVE_VALUE_AUTO beat = fake_parse("{epoch: 1, state: online, at: 1, labels: {}}");
    for (int i = 0; i < 7; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "n%d", i);
        reeve_put_str(reeve_value_get_mut(beat, "labels"), key, text);
    }
    (void)fake_deliver_value(&fake, "node/alpha/status", reeve_value_take(&beat), false);
    turn();
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_msgpack_write(published("big"), &buf), REEVE_OK);
    assert_true(buf.len <= REEVE_RETAINED_BYTES_MAX);
    assert_int_equal(reeve_value_len(reeve_value_get(published("big"), "left_out")), 2);
    assert_published("big", "type", "swap");
}

// ---- sessions and restarts of the manager ---------------------------------------------------------------------------

// What the broker has retained, into a manager that has just begun: everything that was published, and the records
// given.
static void restart_manager(const struct fake *before)
{
    (void)before;
    struct fake_item *kept = calloc(fake.items_len + 1, sizeof *kept);
    size_t len = 0;
    for (size_t i = 0; i < fake.items_len; i++) {
        kept[len++] =
            (struct fake_item){.value = fake.items[i].value != NULL ? reeve_value_clone(fake.items[i].value) : NULL};
        memcpy(kept[len - 1].topic, fake.items[i].topic, sizeof kept->topic);
    }
    fleet_free(fleet);
    fake_forget_items(&fake);
    fake.filters_len = 0;
    begin();
    fleet_session(fleet);
    for (size_t i = 0; i < len; i++) {
        bool newest = true;
        for (size_t k = i + 1; k < len; k++) {
            newest = newest && strcmp(kept[i].topic, kept[k].topic) != 0;
        }
        if (newest && kept[i].value != NULL && strncmp(kept[i].topic, "fleet/", 6) == 0) {
            (void)fake_deliver_value(&fake, kept[i].topic, reeve_value_clone(kept[i].value), true);
        }
        reeve_value_free(kept[i].value);
    }
    free(kept);
}

static void a_restarted_manager_publishes_only_what_is_new(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("same", "run: 1, state: running, since: 5");
    process("other", "run: 1, state: running, since: 5");
    process("new", "run: 1, state: created, since: 5");
    turn();
    fake.items_len--; // the broker has lost the last one
    reeve_value_free(fake.items[fake.items_len].value);
    restart_manager(&fake);
    fake_time(&fake, 5);
    node_beat("alpha", 1);
    process("same", "run: 1, state: running, since: 5");
    process("other", "run: 2, state: restarting, since: 6");
    process("new", "run: 1, state: created, since: 5");
    assert_int_equal(fleet_workers_len(fleet), 3);
    assert_false(fleet_known(fleet));
    turn();
    assert_int_equal(fake.items_len, 0);
    fleet_ready(fleet);
    assert_true(fleet_known(fleet) && fleet_held(fleet));
    turn();
    assert_int_equal(fake_count(&fake, "*"), 2);
    assert_null(published("same"));
    assert_published("other", "state", "restarting");
    assert_published("new", "state", "created");
    assert_int_equal(fake_deliver(&fake, "fleet/alpha/same", "{state: failed}", false), 0); // no longer read
    wait_ms(REEVE_GRACE_MS + 1);
    assert_false(fleet_held(fleet));
    assert_int_equal(fake_count(&fake, "*"), 2);
}

// [session-9]: the broker's wills are retained; whether they tell of deaths is not known in the first seconds.
static void a_restarted_manager_does_not_flap(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("dead", "run: 1, state: running");
    status("dead", "epoch: 5, run: 1, availability: idle");
    process("back", "run: 1, state: running");
    status("back", "epoch: 5, run: 1, availability: idle");
    turn();
    lwt("dead", 5);
    turn();
    assert_published("dead", "state", "lost");
    int64_t since = reeve_get_int(published("dead"), "since", 0);
    restart_manager(&fake);
    fake_time(&fake, 1000);
    node_beat("alpha", 1);
    static const char *const names[] = {"dead", "back", "fresh"};
    for (int i = 0; i < 3; i++) {
        process(names[i], "run: 1, state: running");
        status(names[i], "epoch: 5, run: 1, availability: idle");
        lwt(names[i], 5);
    }
    fleet_ready(fleet);
    turn();
    assert_int_equal(fake_count(&fake, "*"), 0); // nothing is certain, nothing new is said
    assert_int_equal(info("dead").state, REEVE_STATE_LOST);
    assert_int_equal(info("back").state, REEVE_STATE_RUNNING);
    assert_int_equal(info("fresh").state, REEVE_STATE_UNKNOWN);
    wait_ms(2000);
    status("back", "epoch: 6, run: 1, availability: idle");
    turn();
    wait_ms(REEVE_GRACE_MS);
    node_beat("alpha", 1);
    turn();
    assert_null(published("dead"));
    assert_int_equal(info("dead").since_at, since);
    assert_null(published("back"));
    assert_published("fresh", "state", "lost");
}

static enum reeve_liveness alpha(void)
{
    return fleet_node_info(fleet, fleet_node(fleet, "alpha")).liveness;
}

// Within the grace of a manager that has just begun, and with nothing but time to say so: nobody is to be placed there.
static void a_node_that_may_be_dead_by_now_is_stale_before_the_grace_is_over(void **state)
{
    (void)state;
    fleet_session(fleet);
    (void)fake_deliver(&fake, "node/alpha/status", "{epoch: 1, state: online, heartbeat_ms: 1000}", true);
    fleet_ready(fleet);
    turn();
    wait_ms(2500);
    assert_int_equal(alpha(), REEVE_LIVE);
    size_t before = told[FLEET_NODE];
    wait_ms(1);
    assert_true(fleet_held(fleet));
    assert_int_equal(alpha(), REEVE_STALE);
    assert_int_equal(told[FLEET_NODE], before + 1);
    assert_true(fleet_next_look(fleet) > fake.mono_ms);
    wait_ms(REEVE_GRACE_MS);
    assert_int_equal(alpha(), REEVE_STALE);
}

// An own loss within that grace goes on with it, so the node's time may come in the second half.
static void a_node_falls_silent_across_a_loss_within_the_first_grace(void **state)
{
    (void)state;
    fleet_session(fleet);
    (void)fake_deliver(&fake, "node/alpha/status", "{epoch: 1, state: online, at: 1, heartbeat_ms: 5000}", true);
    fleet_ready(fleet);
    turn();
    fleet_lost(fleet);
    fake_time(&fake, 12500);
    fleet_session(fleet);
    (void)fake_deliver(&fake, "node/alpha/status", "{epoch: 1, state: online, at: 1, heartbeat_ms: 5000}", true);
    fleet_ready(fleet);
    turn();
    assert_int_equal(alpha(), REEVE_LIVE);
    wait_ms(1);
    assert_int_equal(alpha(), REEVE_STALE);
}

// Health has no opinion in the first seconds.
static void a_restart_does_not_take_anybodys_health(void **state)
{
    (void)state;
    fake.manager.health = (struct health *)&fake; // only asked whether it is there
    fake_health = HEALTH_WARNING;
    join();
    node_beat("alpha", 1);
    process("well", "run: 1, state: running");
    process("ends", "run: 1, state: running");
    turn();
    assert_published("well", "health", "warning");
    restart_manager(&fake);
    fake_health = HEALTH_UNKNOWN;
    node_beat("alpha", 1);
    process("well", "run: 1, state: running");
    process("ends", "run: 1, state: stopped");
    fleet_ready(fleet);
    turn();
    assert_null(published("well"));
    assert_published("ends", "health", NULL);
    fake_health = HEALTH_WARNING;
    fleet_touch(fleet, "alpha", "well");
    turn();
    assert_null(published("well"));
    fake_health = HEALTH_UNKNOWN;
    fleet_touch(fleet, "alpha", "well");
    turn();
    assert_published("well", "health", NULL);
    fake.manager.health = NULL;
}

static void an_outage_of_the_manager_holds_verdicts(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 1, state: running");
    status("mm-1", "epoch: 5, run: 1, availability: idle");
    turn();
    size_t before = fake_count(&fake, "*");
    fleet_lost(fleet);
    assert_true(fleet_held(fleet) && fleet_known(fleet));
    fake_time(&fake, 30000);
    fleet_session(fleet);
    struct reeve_value *kept = reeve_value_clone(published("mm-1"));
    (void)fake_deliver_value(&fake, "fleet/alpha/mm-1", kept, true);
    lwt("mm-1", 5);
    (void)fake_deliver(&fake, "node/alpha/lwt", "{epoch: 1}", true);
    fleet_ready(fleet);
    turn();
    assert_int_equal(fake_count(&fake, "*"), before);
    wait_ms(20000);
    assert_int_equal(fake_count(&fake, "*"), before);
    assert_true(fleet_held(fleet));
    node_beat("alpha", 2);
    turn();
    wait_ms(11001);
    assert_false(fleet_held(fleet));
    assert_published("mm-1", "state", "lost");
}

static void after_an_outage_what_the_broker_lost_is_published_again(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 1, state: running");
    turn();
    fleet_lost(fleet);
    fleet_session(fleet); // the broker comes back empty
    fleet_ready(fleet);
    fake_forget_items(&fake);
    turn();
    assert_published("mm-1", "state", "running");
    assert_int_equal(fake_count(&fake, "*"), 1);
}

static void who_was_removed_during_an_outage_is_no_ghost(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("stays", "run: 1, state: running");
    process("stays-2", "run: 1, state: running");
    process("removed", "run: 1, state: stopped");
    turn();
    fleet_lost(fleet);
    fake_time(&fake, 100);
    fleet_session(fleet);
    node_beat("alpha", 1); // says that it has two
    process("stays", "run: 1, state: running");
    process("stays-2", "run: 1, state: running");
    fleet_ready(fleet);
    turn();
    assert_published("removed", "state", "stopped");
    for (int i = 0; i < 3; i++) {
        wait_ms(2000);
        node_beat("alpha", 1);
    }
    turn();
    assert_null(published("removed")); // the tombstone
    assert_null(fleet_worker(fleet, "alpha", "removed"));
    assert_non_null(fleet_worker(fleet, "alpha", "stays"));
    assert_int_equal(told[FLEET_WORKER_GONE], 1);
    assert_string_equal(last_told, "alpha"); // and then beats
}

// ---- forgetting -----------------------------------------------------------------------------------------------------

static void a_removed_worker_is_gone_at_once(void **state)
{
    (void)state;
    join();
    node_beat("alpha", 1);
    process("mm-1", "run: 1, state: stopped");
    (void)fake_deliver(&fake, "worker/alpha/mm-1/status", "{epoch: 5, run: 1, state: offline}", false);
    turn();
    (void)fake_deliver(&fake, "worker/alpha/mm-1/process", "", false);
    turn();
    assert_published("mm-1", "state", "stopped");
    (void)fake_deliver(&fake, "worker/alpha/mm-1/status", "", false);
    turn();
    assert_non_null(fake_find(&fake, "fleet/alpha/mm-1"));
    assert_null(published("mm-1"));
    assert_null(fleet_worker(fleet, "alpha", "mm-1"));
    assert_int_equal(fleet_workers_len(fleet), 0);
    assert_int_equal(told[FLEET_WORKER_GONE], 1);
    assert_null(fake_store_document(STORE_WORKER, "alpha/mm-1"));
}

static void who_is_away_for_long_is_forgotten_records_first(void **state)
{
    (void)state;
    fake.manager.config.manager.forget_after_ms = 600000;
    join();
    status("hand", "epoch: 5, availability: idle");
    lwt("hand", 5);
    turn();
    assert_non_null(fake_store_document(STORE_WORKER, "alpha/hand"));
    assert_int_equal(fake_store_writes(), 1);
    wait_ms(599000);
    assert_published("hand", "state", "lost");
    fake_time(&fake, 1001);
    fleet_look(fleet);
    fake_turn(&fake, true);
    assert_non_null(published("hand")); // not before its records
    assert_null(fake_find(&fake, "worker/alpha/hand/status")->value);
    assert_null(fake_find(&fake, "worker/alpha/hand/lwt")->value);
    assert_null(fake_find(&fake, "worker/alpha/hand/process"));
    turn();
    assert_null(published("hand"));
    assert_int_equal(fleet_workers_len(fleet), 0);
    assert_null(fake_store_document(STORE_WORKER, "alpha/hand"));
    assert_int_equal(fake_count(&fake, "worker/*"), 2);
}

static void who_comes_back_is_not_forgotten(void **state)
{
    (void)state;
    fake.manager.config.manager.forget_after_ms = 600000;
    join();
    status("hand", "epoch: 5, availability: idle");
    lwt("hand", 5);
    wait_ms(500000);
    status("hand", "epoch: 6, availability: idle");
    turn();
    assert_null(fake_store_document(STORE_WORKER, "alpha/hand"));
    for (int i = 0; i < 20; i++) {
        wait_ms(20000);
        status("hand", "epoch: 6, availability: idle");
    }
    turn();
    assert_published("hand", "state", "running");
}

static void a_dead_node_and_its_workers_are_forgotten_a_stopped_worker_of_a_live_one_is_not(void **state)
{
    (void)state;
    fake.manager.config.manager.forget_after_ms = 600000;
    join();
    node_beat("alpha", 1);
    (void)fake_deliver(&fake, "node/beta/status", "{epoch: 3, state: online, at: 1}", false);
    process("off", "run: 1, state: stopped");
    (void)fake_deliver(&fake, "worker/beta/b/process", "{epoch: 3, run: 1, state: running}", false);
    (void)fake_deliver(&fake, "node/beta/lwt", "{epoch: 3}", false);
    turn();
    for (int i = 0; i < 130; i++) {
        wait_ms(5000);
        node_beat("alpha", 1);
    }
    turn();
    assert_non_null(fleet_worker(fleet, "alpha", "off"));
    assert_null(fleet_worker(fleet, "beta", "b"));
    assert_null(fake_find(&fake, "worker/beta/b/process")->value);
    wait_ms(0); // the node follows its last worker at once
    assert_non_null(fake_find(&fake, "node/beta/status"));
    assert_non_null(fake_find(&fake, "node/beta/lwt"));
    assert_null(fleet_node(fleet, "beta"));
    assert_non_null(fleet_node(fleet, "alpha"));
    assert_int_equal(fleet->nodes_len, 1);
}

static void absence_goes_on_over_a_restart(void **state)
{
    (void)state;
    fake.manager.config.manager.forget_after_ms = 600000;
    join();
    status("hand", "epoch: 5, availability: idle");
    lwt("hand", 5);
    status("ghost", "epoch: 5, availability: idle, type: tool");
    lwt("ghost", 5);
    wait_ms(400000);
    restart_manager(&fake);
    (void)fake_deliver(&fake, "worker/alpha/hand/status", "{epoch: 5, at: 1, availability: idle}", true);
    (void)fake_deliver(&fake, "worker/alpha/hand/lwt", "{epoch: 5}", true);
    fleet_ready(fleet);
    turn();
    assert_int_equal(fake_store_writes(), 2); // one per absence, none per restart
    assert_int_equal(info("ghost").state,
                     REEVE_STATE_LOST); // its status has expired on the broker; what was said stands
    wait_ms(REEVE_GRACE_MS);
    assert_published("ghost", "state", "unknown");
    assert_published("ghost", "last_known", "lost");
    assert_published("ghost", "type", "tool");
    assert_int_equal(fleet_workers_len(fleet), 2);
    wait_ms(180000);
    assert_int_equal(fleet_workers_len(fleet), 2);
    wait_ms(20000);
    turn();
    assert_int_equal(fleet_workers_len(fleet), 0);
    assert_null(published("ghost"));
    assert_null(fake_store_document(STORE_WORKER, "alpha/hand"));
    assert_null(fake_store_document(STORE_WORKER, "alpha/ghost"));
}

static void forgetting_by_hand_is_refused_for_the_living(void **state)
{
    (void)state;
    struct reeve_why why = {.text = ""};
    assert_int_equal(fleet_forget(fleet, "alpha", "hand", &why), REEVE_NOENT);
    join();
    node_beat("alpha", 1);
    process("off", "run: 1, state: stopped");
    status("hand", "epoch: 5, availability: idle");
    turn();
    assert_int_equal(fleet_forget(fleet, "alpha", "hand", &why), REEVE_CONFLICT);
    assert_string_equal(why.text, "hand is alive (running)");
    assert_int_equal(fleet_forget(fleet, "alpha", "off", &why), REEVE_CONFLICT);
    assert_string_equal(why.text, "node alpha has off (stopped); `remove` it there");
    assert_int_equal(fleet_forget(fleet, "alpha", "nobody", &why), REEVE_NOENT);
    lwt("hand", 5);
    assert_int_equal(fleet_forget(fleet, "alpha", "hand", &why), REEVE_OK);
    turn();
    assert_null(fleet_worker(fleet, "alpha", "hand"));
    assert_null(published("hand"));
}

// ---- hostile and odd ------------------------------------------------------------------------------------------------

static void garbage_is_counted(void **state)
{
    (void)state;
    join();
    (void)fake_deliver_bytes(&fake, "worker/alpha/mm-1/status", "\xc1", 1, false);
    (void)fake_deliver(&fake, "worker/alpha/mm-1/status", "{epoch: -1}", false);
    (void)fake_deliver(&fake, "node/alpha/metrics", "[1]", false);
    (void)fake_deliver(&fake, "node/alpha/metrics", "{workers: [1]}", false);
    turn();
    assert_int_equal(fleet_counters(fleet).malformed, 3);
    assert_int_equal(fleet_workers_len(fleet), 0);
}

static void a_second_holder_of_a_name_is_counted(void **state)
{
    (void)state;
    join();
    status("mm-1", "epoch: 6, availability: idle");
    status("mm-1", "epoch: 5, availability: processing");
    turn();
    assert_int_equal(fleet_counters(fleet).duplicates, 1);
    assert_published("mm-1", "availability", "idle");
}

static void more_workers_than_there_is_room_for(void **state)
{
    (void)state;
    fleet_free(fleet);
    fake.filters_len = 0;
    fake.manager.config.manager.workers_max = 2;
    begin();
    join();
    status("a", "epoch: 1, availability: idle");
    status("b", "epoch: 1, availability: idle");
    status("c", "epoch: 1, availability: idle");
    turn();
    assert_int_equal(fleet_workers_len(fleet), 2);
    assert_null(fake_find(&fake, "fleet/alpha/c"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(everything_a_gui_needs_is_in_one_record),
        TEST(heartbeats_publish_nothing),
        TEST(a_last_will_is_a_verdict_in_the_same_turn),
        TEST(silence_is_seen_without_a_message),
        TEST(a_node_takes_its_workers_with_it_and_back),
        TEST(what_a_person_or_health_says_is_published_when_touched),
        TEST(a_turn_that_was_not_written_is_said_again),
        TEST(attributes_are_the_workers_own_then_its_nodes),
        TEST(workers_of_one_kind_share_what_they_have_in_common),
        TEST(labels_of_a_node_that_change_are_its_workers_too),
        TEST(a_record_too_large_loses_what_is_least_needed),
        TEST(a_restarted_manager_publishes_only_what_is_new),
        TEST(a_restarted_manager_does_not_flap),
        TEST(a_node_that_may_be_dead_by_now_is_stale_before_the_grace_is_over),
        TEST(a_node_falls_silent_across_a_loss_within_the_first_grace),
        TEST(a_restart_does_not_take_anybodys_health),
        TEST(an_outage_of_the_manager_holds_verdicts),
        TEST(after_an_outage_what_the_broker_lost_is_published_again),
        TEST(who_was_removed_during_an_outage_is_no_ghost),
        TEST(a_removed_worker_is_gone_at_once),
        TEST(who_is_away_for_long_is_forgotten_records_first),
        TEST(who_comes_back_is_not_forgotten),
        TEST(a_dead_node_and_its_workers_are_forgotten_a_stopped_worker_of_a_live_one_is_not),
        TEST(absence_goes_on_over_a_restart),
        TEST(forgetting_by_hand_is_refused_for_the_living),
        TEST(garbage_is_counted),
        TEST(a_second_holder_of_a_name_is_counted),
        TEST(more_workers_than_there_is_room_for),
    };
    reeve_log_set_level(REEVE_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
