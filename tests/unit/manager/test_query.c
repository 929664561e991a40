// Questions: who is meant, what is found and why not, numbers, and words. Every wrong argument is named.
// Must not: test what a verdict is (test_fleet.c).
#include "fake_rooms.h"
#include "fake_store.h"

#include "fleet_internal.h"
#include "select.h"

#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake fake;
static struct reeve_why why;

static void deliver(const char *topic, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void deliver(const char *topic, const char *fmt, ...)
{
    char text[800];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)fake_deliver(&fake, topic, text, false);
}

static void worker(const char *node, const char *name, const char *process, const char *status)
{
    char topic[128];
    (void)snprintf(topic, sizeof topic, "worker/%s/%s/process", node, name);
    deliver(topic, "{epoch: 1, run: 1, at: 1, speaks: true, %s}", process);
    (void)snprintf(topic, sizeof topic, "worker/%s/%s/status", node, name);
    if (status != NULL) {
        deliver(topic, "{epoch: 5, run: 1, at: 1, heartbeat_ms: 20000, %s}", status);
    }
}

// alpha (eu): mm-1 idle, mm-2 processing, broker of the site; beta (us): mm-3 idle, off stopped; gamma: dead, w lost.
static int setup(void **state)
{
    (void)state;
    fake_init(&fake);
    fake_store_reset();
    fake_health = HEALTH_UNKNOWN;
    fake_holds = (struct fake_hold){0};
    fake_alarms_len = 0;
    assert_int_equal(fleet_new(&fake.manager, &fake.manager.fleet, NULL), REEVE_OK);
    fleet_session(fake.manager.fleet);
    fleet_ready(fake.manager.fleet);
    fake_time(&fake, REEVE_GRACE_MS);
    fleet_look(fake.manager.fleet);
    deliver("node/alpha/status",
            "{epoch: 1, state: online, at: 1, region: eu, capacity: {cpus: 8}, labels: {rack: r1}}");
    deliver("node/beta/status", "{epoch: 1, state: online, at: 1, region: us, capacity: {cpus: 2}}");
    deliver("node/gamma/status", "{epoch: 1, state: online, at: 1}");
    const char *spec =
        "state: running, desired: running, type: trading, exchange: kraken, capabilities: [swap], labels: {desk: a}";
    worker("alpha", "mm-1", spec, "availability: idle, jobs: 0");
    fake_time(&fake, 1);
    worker("alpha", "mm-2", spec, "availability: processing, jobs: 2, safe_to_stop: false, unsafe_reason: open orders");
    worker("alpha", "broker", "state: running, desired: running, type: broker, origin: site", NULL);
    worker("beta", "mm-3", "state: running, desired: running, type: trading, exchange: binance",
           "availability: idle, jobs: 1");
    worker("beta", "off", "state: stopped, desired: stopped, type: tool", NULL);
    worker("gamma", "w", "state: running, desired: running, type: trading", NULL);
    worker("beta", "twin", "state: failed, desired: running, failures: 11", NULL);
    worker("alpha", "twin", "state: restarting, desired: running, failures: 2, next_start_at: 1700000020000", NULL);
    deliver("node/gamma/lwt", "{epoch: 1}");
    fake_turn(&fake, true);
    fake_forget_items(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fleet_free(fake.manager.fleet);
    fake.manager.health = NULL;
    fake.manager.holds = NULL;
    fake.manager.alarms = NULL;
    fake_store_reset();
    fake_done(&fake);
    return 0;
}

#define CALL(name_, text_)                                                                                             \
    (why = (struct reeve_why){.text = ""}, fake_call(&fake, &op_##name_##_args, "", text_, op_##name_##_run, &why))

// The names of a result's workers, as one line.
static const char *names(void)
{
    static char line[1000];
    const struct reeve_value *workers = reeve_value_get(fake.reply.result, "workers");
    line[0] = '\0';
    for (size_t i = 0; i < reeve_value_len(workers); i++) {
        const struct reeve_value *one = reeve_value_at(workers, i);
        size_t used = strlen(line);
        (void)snprintf(line + used, sizeof line - used, "%s%s/%s", i > 0 ? " " : "", reeve_get_str(one, "node"),
                       reeve_get_str(one, "worker"));
    }
    return line;
}

static const char *listed(const char *args)
{
    if (CALL(list, args) != REEVE_OK) {
        fail_msg("%s: %s: %s", args, why.place, why.text);
    }
    return names();
}

static void a_selector_means_whom_it_says(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "alpha/broker alpha/mm-1 alpha/mm-2 alpha/twin beta/mm-3 beta/off beta/twin gamma/w"},
        {"{all: true}", "alpha/mm-1 alpha/mm-2 alpha/twin beta/mm-3 beta/off beta/twin gamma/w"},
        {"{workers: mm-1}", "alpha/mm-1"},
        {"{workers: alpha/mm-1}", "alpha/mm-1"},
        {"{workers: twin}", "alpha/twin beta/twin"},
        {"{workers: [mm-3, 'mm-?', beta/off]}", "alpha/mm-1 alpha/mm-2 beta/mm-3 beta/off"},
        {"{workers: '*'}", "alpha/mm-1 alpha/mm-2 alpha/twin beta/mm-3 beta/off beta/twin gamma/w"},
        {"{workers: 'beta/*'}", "beta/mm-3 beta/off beta/twin"},
        {"{workers: broker}", "alpha/broker"}, // by its own name only
        {"{workers: 'brok*'}", ""},
        {"{type: broker}", ""},
        {"{type: trading}", "alpha/mm-1 alpha/mm-2 beta/mm-3 gamma/w"},
        {"{type: trad*, exchange: kraken}", "alpha/mm-1 alpha/mm-2"},
        {"{region: us}", "beta/mm-3 beta/off beta/twin"},
        {"{node: alpha, state: running}", "alpha/mm-1 alpha/mm-2"},
        {"{state: unknown}", "gamma/w"},
        {"{availability: idle}", "alpha/mm-1 beta/mm-3"},
        {"{labels: {desk: a, rack: r*}}", "alpha/mm-1 alpha/mm-2"},
        {"{require: ['cpus>=4', '!pool'], type: trading}", "alpha/mm-1 alpha/mm-2"},
        {"{require: 'capabilities=swap,jobs<1'}", "alpha/mm-1"},
        {"{offline: false}", "alpha/broker alpha/mm-1 alpha/mm-2 beta/mm-3"},
        {"{offset: 1, limit: 2}", "alpha/mm-1 alpha/mm-2"},
        {"{pool: none}", ""},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        const char *is = listed(rows[i][0]);
        if (strcmp(is, rows[i][1]) != 0) {
            fail_msg("%s means %s", rows[i][0], is);
        }
    }
    (void)listed("{offset: 1, limit: 2}");
    assert_int_equal(reeve_get_int(fake.reply.result, "total", 0), 8);
}

static void a_wrong_argument_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *op, *args, *place, *text;
        enum reeve_err err;
    } rows[] = {
        {"list", "{workers: mm-7}", "", "no worker \"mm-7\", did you mean 'mm-1'?", REEVE_NOENT},
        {"list", "{workers: [mm-1, alpha/mm-7]}", "", "no worker \"mm-7\", did you mean 'mm-1'?", REEVE_NOENT},
        {"list", "{workers: alpa/mm-1}", "", "no node \"alpa\", did you mean 'alpha'?", REEVE_NOENT},
        {"list", "{workers: zzzzzzzz}", "", "no worker \"zzzzzzzz\"", REEVE_NOENT},
        {"list", "{workers: a/b/c}", "workers", "\"a/b/c\" is no worker", REEVE_INVALID},
        {"list", "{workers: [mm-1], all: true}", "all", "which of them is meant?", REEVE_INVALID},
        {"list", "{node: alpa}", "", "no node \"alpa\", did you mean 'alpha'?", REEVE_NOENT},
        {"list", "{state: runing}", "state", "there is no state \"runing\", did you mean 'running'?", REEVE_INVALID},
        {"list", "{availability: busy}", "availability", "there is no availability \"busy\"", REEVE_INVALID},
        {"list", "{require: 'cpus>=x'}", "require", "no number", REEVE_INVALID},
        {"list", "{type: ''}", "type", "is empty", REEVE_INVALID},
        {"list", "{limit: 501}", "limit", "", REEVE_INVALID},
        {"list", "{offset: -1}", "offset", "", REEVE_INVALID},
        {"list", "{wokers: a}", "wokers", "did you mean", REEVE_INVALID},
        {"list", "{labels: [a]}", "labels", "", REEVE_INVALID},
        {"find", "{count: 0}", "count", "", REEVE_INVALID},
        {"find", "{workers: mm-7}", "", "did you mean 'mm-1'", REEVE_NOENT},
        {"show", "{}", "worker", "missing", REEVE_INVALID},
        {"show", "{worker: mm-7}", "", "did you mean 'mm-1'", REEVE_NOENT},
        {"show", "{worker: beta/mm-9}", "", "no worker \"mm-9\", did you mean 'mm-3'?", REEVE_NOENT},
        {"show", "{worker: alpa/mm-1}", "", "no node \"alpa\"", REEVE_NOENT},
        {"show", "{worker: twin}", "worker", "\"twin\" is on alpha, beta: say `node/twin`", REEVE_INVALID},
        {"show", "{worker: 'mm-*'}", "worker", "is a glob", REEVE_INVALID},
        {"show", "{worker: 'alpha/'}", "worker", "is no worker", REEVE_INVALID},
        {"why", "{worker: /mm-1}", "worker", "is no worker", REEVE_INVALID},
        {"stats", "{state: idle}", "state", "there is no state \"idle\"", REEVE_INVALID},
        {"health", "{node: delta}", "", "no node \"delta\"", REEVE_NOENT},
        {"describe", "{what: 1}", "what", "", REEVE_INVALID},
        {"forget", "{worker: mm-1}", "", "node alpha has mm-1 (running)", REEVE_CONFLICT},
        {"forget", "{worker: mm-77}", "", "no worker", REEVE_NOENT},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        enum reeve_err err = REEVE_INTERNAL;
#define X(name)                                                                                                        \
    if (strcmp(rows[i].op, #name) == 0) {                                                                              \
        err = CALL(name, rows[i].args);                                                                                \
    }
        X(list)
        X(find)
        X(show)
        X(why) X(stats) X(health) X(describe) X(forget)
#undef X
            char said[700];
        (void)reeve_why_format(&why, said, sizeof said);
        if (err != rows[i].err || strstr(said, rows[i].text) == NULL || strstr(said, rows[i].place) == NULL) {
            fail_msg("%s %s: %s: %s", rows[i].op, rows[i].args, reeve_err_text(err), said);
        }
        assert_int_equal(fake.reply.replies, 0);
    }
}

static bool count(const struct fleet_worker *found, void *arg)
{
    (void)found;
    ++*(int *)arg;
    return true;
}

static void who_acts_has_to_say_on_whom(void **state)
{
    (void)state;
    struct select_args nobody = {0};
    struct select_args everybody = {.all = true};
    int called = 0;
    size_t counted = 0;
    assert_int_equal(select_each(&fake.manager, &nobody, false, count, &called, &counted, &why), REEVE_INVALID);
    assert_string_equal(why.place, "workers");
    assert_int_equal(called, 0);
    assert_int_equal(select_each(&fake.manager, &everybody, false, count, &called, &counted, &why), REEVE_OK);
    assert_int_equal(called, 7);
    assert_int_equal(counted, 7);
}

static void find_takes_the_least_loaded_that_may_work(void **state)
{
    (void)state;
    fake.manager.holds = (struct holds *)&fake; // only asked whether it is there
    assert_int_equal(CALL(find, "{type: trading, count: 10}"), REEVE_OK);
    assert_string_equal(names(), "alpha/mm-1 beta/mm-3");
    assert_int_equal(CALL(find, "{require: ['cpus>=4', capabilities=swap]}"), REEVE_OK);
    assert_string_equal(names(), "alpha/mm-1");
    assert_int_equal(reeve_get_int(fake.reply.result, "total", 0), 1);
    fake_holds.worker = "mm-1"; // offline by hand, although it says idle
    assert_int_equal(CALL(find, "{type: trading, count: 10}"), REEVE_OK);
    assert_string_equal(names(), "beta/mm-3");
    deliver("worker/beta/mm-3/lwt", "{epoch: 5}");
    assert_int_equal(CALL(find, "{type: trading}"), REEVE_NOENT);
    assert_string_equal(
        why.text, "nobody: of 7 workers 4 meet type=trading, of those 2 are running, of those 1 is allowed to take "
                  "work, of those 0 are idle");
    assert_int_equal(CALL(find, "{type: trading, require: ['cpus>=100', gpu]}"), REEVE_NOENT);
    assert_string_equal(why.text, "nobody: of 7 workers 4 meet type=trading, of those 0 meet cpus>=100");
}

static void among_idle_ones_who_waits_longest_comes_first(void **state)
{
    (void)state;
    const char *spec = "state: running, desired: running, type: tool";
    worker("alpha", "z-first", spec, "availability: idle");
    fake_time(&fake, 5);
    worker("alpha", "a-second", spec, "availability: idle");
    assert_int_equal(CALL(find, "{type: tool, count: 2}"), REEVE_OK);
    assert_string_equal(names(), "alpha/z-first alpha/a-second");
}

static int64_t number_of(const char *group, const char *value, const char *key)
{
    const struct reeve_value *map = fake.reply.result;
    if (group != NULL) {
        map = reeve_value_get(reeve_value_get(map, group), value);
    }
    return reeve_get_int(map, key, -1);
}

static void stats_count_everybody_once(void **state)
{
    (void)state;
    deliver("worker/alpha/mm-1/status", "{epoch: 5, run: 1, at: 2, availability: paused}");
    fake_time(&fake, 1);
    assert_int_equal(CALL(stats, "{}"), REEVE_OK);
    assert_int_equal(number_of(NULL, NULL, "total"), 7);
    assert_int_equal(number_of(NULL, NULL, "alive"), 3);
    assert_int_equal(number_of(NULL, NULL, "online"), 3);
    assert_int_equal(number_of(NULL, NULL, "offline"), 4);
    assert_int_equal(number_of(NULL, NULL, "idle"), 1);
    assert_int_equal(number_of(NULL, NULL, "processing"), 1);
    assert_int_equal(number_of(NULL, NULL, "paused"), 1);
    assert_int_equal(number_of(NULL, NULL, "unknown"), 1);
    assert_int_equal(number_of(NULL, NULL, "expired"), 0);
    assert_int_equal(number_of("by_type", "trading", "total"), 4);
    assert_int_equal(number_of("by_type", "trading", "alive"), 3);
    assert_int_equal(number_of("by_exchange", "none", "total"), 4);
    assert_int_equal(number_of("by_region", "us", "idle"), 1);
    assert_int_equal(number_of("by_state", "failed", "total"), 1);
    assert_int_equal(number_of("by_node", "alpha", "processing"), 1);
    assert_int_equal(CALL(stats, "{node: beta}"), REEVE_OK);
    assert_int_equal(number_of(NULL, NULL, "total"), 3);
}

static void show_has_all_records(void **state)
{
    (void)state;
    fake.manager.alarms = (struct alarms *)&fake;
    fake.manager.health = (struct health *)&fake;
    fake.manager.holds = (struct holds *)&fake;
    fake_holds.worker = "mm-2";
    alarm_open(&fake.manager, "flapping", "alpha_mm-2", ALARM_WARNING, NULL, "6 changes");
    alarm_open(&fake.manager, "flapping", "alpha_mm-1", ALARM_WARNING, NULL, "7 changes");
    assert_int_equal(CALL(show, "{worker: mm-2}"), REEVE_OK);
    const struct reeve_value *result = fake.reply.result;
    assert_string_equal(reeve_get_str(reeve_value_get(result, "verdict"), "state"), "running");
    assert_string_equal(reeve_get_str(reeve_value_get(result, "process"), "type"), "trading");
    assert_string_equal(reeve_get_str(reeve_value_get(result, "status"), "unsafe_reason"), "open orders");
    assert_string_equal(reeve_get_str(reeve_value_get(result, "hold"), "by"), "ada");
    assert_non_null(reeve_value_get(result, "health"));
    assert_int_equal(reeve_value_len(reeve_value_get(result, "alarms")), 1);
}

// The sentences of `why`, one a line.
static const char *because(const char *args)
{
    static char lines[3000];
    if (CALL(why, args) != REEVE_OK) {
        fail_msg("%s: %s", args, why.text);
    }
    const struct reeve_value *list = reeve_value_get(fake.reply.result, "why");
    lines[0] = '\0';
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        size_t used = strlen(lines);
        (void)snprintf(lines + used, sizeof lines - used, "%s\n", reeve_value_text(reeve_value_at(list, i)));
    }
    return lines;
}

static void why_says_the_most_important_first(void **state)
{
    (void)state;
    fake_time(&fake, 3000);
    assert_string_equal(because("{worker: mm-2}"), "alpha/mm-2 is running and processing, for 3s.\n"
                                                   "It has 2 jobs in hand.\n"
                                                   "It says that it is not safe to stop: open orders.\n");
    assert_string_equal(because("{worker: w}"), "gamma/w is unknown, for 3s: node died (inferred, nobody sees it).\n"
                                                "When last heard of it was running.\n"
                                                "Node gamma died, seen 3s ago.\n");
    assert_string_equal(because("{worker: off}"),
                        "beta/off is stopped, for 3s.\nNobody wants it to run: `start` starts it.\n");
    assert_string_equal(
        because("{worker: beta/twin}"),
        "beta/twin is failed, for 3s.\nIts node gave up after 11 failures: `reset` starts it afresh.\n");
    assert_string_equal(because("{worker: alpha/twin}"),
                        "alpha/twin is restarting, for 3s.\nIt is started again in 11s, after 2 failures in a row.\n");
    fake.manager.holds = (struct holds *)&fake;
    fake.manager.alarms = (struct alarms *)&fake;
    fake_holds.worker = "mm-1";
    fake_holds.fleet_stopped = true;
    alarm_open(&fake.manager, "crash_loop", "alpha_mm-1", ALARM_ERROR, NULL, "5 restarts in 10m");
    const char *text = because("{worker: mm-1}");
    assert_non_null(strstr(text, "A person said offline, ada, before "));
    assert_non_null(strstr(text, "The whole fleet is stopped"));
    assert_non_null(strstr(text, "Alarm crash_loop: 5 restarts in 10m.\n"));
}

static void health_lists_who_is_not_well(void **state)
{
    (void)state;
    fake.manager.health = (struct health *)&fake;
    fake_health = HEALTH_HEALTHY;
    assert_int_equal(CALL(health, "{}"), REEVE_OK);
    assert_int_equal(reeve_get_int(fake.reply.result, "healthy", 0), 7);
    assert_string_equal(names(), "");
    assert_int_equal(CALL(health, "{workers: 'mm-*'}"), REEVE_OK);
    assert_string_equal(names(), "alpha/mm-1 alpha/mm-2 beta/mm-3");
    fake_health = HEALTH_WARNING;
    assert_int_equal(CALL(health, "{all: true}"), REEVE_OK);
    assert_int_equal(reeve_get_int(fake.reply.result, "warning", 0), 7);
    assert_int_equal(reeve_value_len(reeve_value_get(fake.reply.result, "workers")), 7);
}

static void describe_counts(void **state)
{
    (void)state;
    assert_int_equal(CALL(describe, NULL), REEVE_OK);
    assert_int_equal(reeve_get_int(fake.reply.result, "workers", 0), 8);
    assert_int_equal(reeve_get_int(fake.reply.result, "nodes", 0), 3);
    assert_true(reeve_get_int(reeve_value_get(fake.reply.result, "counters"), "messages", 0) > 10);
    assert_false(reeve_get_bool(reeve_value_get(fake.reply.result, "holds"), "fleet_stopped", true));
}

static void forget_clears_who_is_gone(void **state)
{
    (void)state;
    assert_int_equal(CALL(forget, "{worker: gamma/w}"), REEVE_OK);
    fake_turn(&fake, true);
    assert_null(fake_find(&fake, "worker/gamma/w/process")->value);
    assert_null(fake_find(&fake, "fleet/gamma/w"));
    fake_echo(&fake);
    fake_turn(&fake, true);
    assert_null(fake_find(&fake, "fleet/gamma/w")->value);
    assert_int_equal(CALL(show, "{worker: gamma/w}"), REEVE_NOENT);
}

static void a_list_never_exceeds_a_message(void **state)
{
    (void)state;
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    for (int i = 0; i < 300; i++) {
        char topic[80];
        (void)snprintf(topic, sizeof topic, "worker/alpha/big-%03d/process", i);
        struct reeve_value *record = fake_parse("{epoch: 1, run: 1, state: running, labels: {}}");
        for (int k = 0; k < 5; k++) {
            char key[8];
            (void)snprintf(key, sizeof key, "k%d", k);
            reeve_put_str(reeve_value_get_mut(record, "labels"), key, text);
        }
        (void)fake_deliver_value(&fake, topic, record, false);
    }
    size_t listed_len = 0;
    for (int pages = 0; pages < 5 && listed_len < 300; pages++) {
        char args[80];
        (void)snprintf(args, sizeof args, "{workers: 'big-*', offset: %zu, limit: 500}", listed_len);
        (void)listed(args);
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        assert_int_equal(reeve_msgpack_write(fake.reply.result, &buf), REEVE_OK);
        assert_true(buf.len < 1000000);
        assert_int_equal(reeve_get_int(fake.reply.result, "total", 0), 300);
        listed_len += reeve_value_len(reeve_value_get(fake.reply.result, "workers"));
    }
    assert_int_equal(listed_len, 300);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(a_selector_means_whom_it_says),
        TEST(a_wrong_argument_is_named),
        TEST(who_acts_has_to_say_on_whom),
        TEST(find_takes_the_least_loaded_that_may_work),
        TEST(among_idle_ones_who_waits_longest_comes_first),
        TEST(stats_count_everybody_once),
        TEST(show_has_all_records),
        TEST(why_says_the_most_important_first),
        TEST(health_lists_who_is_not_well),
        TEST(describe_counts),
        TEST(forget_clears_who_is_gone),
        TEST(a_list_never_exceeds_a_message),
    };
    reeve_log_set_level(REEVE_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
