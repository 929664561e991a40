// Topics: every form taken apart and refused, filters, roots, where replies may go [topic-1..6].
// Must not: build what is expected with the code under test.
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <reeve/job.h>
#include <reeve/topic.h>

#define ROOT "reeve/v1/local"
#define N63  "a23456789012345678901234567890123456789012345678901234567890123"
#define J80  "A_-" N63 "67890123456789" // the longest id of a job

static_assert(sizeof J80 == REEVE_JOB_ID_SIZE, "as long as a job's id may be");
static_assert(REEVE_TOPIC_ID_SIZE >= REEVE_JOB_ID_SIZE, "a job's id is a level of a topic");

struct parsed {
    const char *topic;
    struct reeve_topic want;
};

static void every_form_is_taken_apart(void **state)
{
    static const struct parsed rows[] = {
        {ROOT "/node/alpha/status", {.kind = REEVE_TOPIC_NODE, .node = "alpha", .leaf = "status"}},
        {ROOT "/node/alpha/lwt", {.kind = REEVE_TOPIC_NODE, .node = "alpha", .leaf = "lwt"}},
        {ROOT "/node/alpha/metrics", {.kind = REEVE_TOPIC_NODE, .node = "alpha", .leaf = "metrics"}},
        {ROOT "/node/alpha/event", {.kind = REEVE_TOPIC_NODE, .node = "alpha", .leaf = "event"}},
        {ROOT "/node/alpha/cmd/drain", {.kind = REEVE_TOPIC_NODE_CMD, .node = "alpha", .leaf = "drain"}},
        {ROOT "/worker/alpha/mm-1/process",
         {.kind = REEVE_TOPIC_WORKER, .node = "alpha", .worker = "mm-1", .leaf = "process"}},
        {ROOT "/worker/alpha/mm-1/job", {.kind = REEVE_TOPIC_WORKER, .node = "alpha", .worker = "mm-1", .leaf = "job"}},
        {ROOT "/worker/alpha/mm-1/cmd/stop",
         {.kind = REEVE_TOPIC_WORKER_CMD, .node = "alpha", .worker = "mm-1", .leaf = "stop"}},
        {ROOT "/worker/" N63 "/" N63 "/cmd/" N63,
         {.kind = REEVE_TOPIC_WORKER_CMD, .node = N63, .worker = N63, .leaf = N63}},
        {ROOT "/reply/cli-1/01ARZ3NDEKTSV4RRFFQ69G5FAV",
         {.kind = REEVE_TOPIC_REPLY, .client = "cli-1", .leaf = "01ARZ3NDEKTSV4RRFFQ69G5FAV"}},
        {ROOT "/reply/cli-1/" N63 "4", {.kind = REEVE_TOPIC_REPLY, .client = "cli-1", .leaf = N63 "4"}},
        {ROOT "/audit/admin", {.kind = REEVE_TOPIC_AUDIT, .client = "admin"}},
        {ROOT "/alarm/duplicate/mm-1", {.kind = REEVE_TOPIC_ALARM, .client = "duplicate", .leaf = "mm-1"}},
        {ROOT "/fleet/alpha/mm-1", {.kind = REEVE_TOPIC_FLEET, .node = "alpha", .worker = "mm-1"}},
        {ROOT "/pool/swap/spec", {.kind = REEVE_TOPIC_POOL, .client = "swap", .leaf = "spec"}},
        {ROOT "/pool/swap/cmd/scale", {.kind = REEVE_TOPIC_POOL_CMD, .client = "swap", .leaf = "scale"}},
        {ROOT "/queue/swap/report", {.kind = REEVE_TOPIC_QUEUE, .client = "swap", .leaf = "report"}},
        {ROOT "/queue/swap/cmd/enqueue", {.kind = REEVE_TOPIC_QUEUE_CMD, .client = "swap", .leaf = "enqueue"}},
        {ROOT "/account/a-1/status", {.kind = REEVE_TOPIC_ACCOUNT, .client = "a-1", .leaf = "status"}},
        {ROOT "/account/a-1/cmd/start", {.kind = REEVE_TOPIC_ACCOUNT_CMD, .client = "a-1", .leaf = "start"}},
        {ROOT "/manager/main/lwt", {.kind = REEVE_TOPIC_MANAGER, .client = "main", .leaf = "lwt"}},
        {ROOT "/manager/main/cmd/stats", {.kind = REEVE_TOPIC_MANAGER_CMD, .client = "main", .leaf = "stats"}},
        {ROOT "/queue/swap/status", {.kind = REEVE_TOPIC_QUEUE, .client = "swap", .leaf = "status"}},
        {ROOT "/queue/swap/event", {.kind = REEVE_TOPIC_QUEUE, .client = "swap", .leaf = "event"}},
        {ROOT "/job/swap/01ARZ3NDEKTSV4RRFFQ69G5FAV-4095",
         {.kind = REEVE_TOPIC_JOB, .client = "swap", .leaf = "01ARZ3NDEKTSV4RRFFQ69G5FAV-4095"}},
        {ROOT "/job/" N63 "/" J80, {.kind = REEVE_TOPIC_JOB, .client = N63, .leaf = J80}},
        {ROOT "/job/swap/cmd", {.kind = REEVE_TOPIC_JOB, .client = "swap", .leaf = "cmd"}},
        {ROOT "/tomorrow/swap/x", {.kind = REEVE_TOPIC_OTHER}},
        {ROOT "/" J80 "/x", {.kind = REEVE_TOPIC_OTHER}},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_topic topic = reeve_topic_parse(ROOT, rows[i].topic);
        const struct reeve_topic *want = &rows[i].want;
        if (topic.kind != want->kind || strcmp(topic.node, want->node) != 0 || strcmp(topic.leaf, want->leaf) != 0 ||
            strcmp(topic.worker, want->worker) != 0 || strcmp(topic.client, want->client) != 0) {
            fail_msg("%s gives kind %d, %s, %s, %s, %s", rows[i].topic, (int)topic.kind, topic.node, topic.worker,
                     topic.leaf, topic.client);
        }
    }
}

static void what_has_no_known_form_is_none_and_empty(void **state)
{
    static const char *const rows[] = {
        "",
        ROOT,
        ROOT "/",
        "reeve/v1/locale/node/alpha/status",
        "reeve/v1/other/node/alpha/status",
        "x/" ROOT "/node/alpha/status",
        ROOT "/node",
        ROOT "/node/alpha",
        ROOT "/node/alpha/",
        ROOT "/node/alpha/status/",
        ROOT "/node/alpha/status/x",
        ROOT "/node/alpha/process",
        ROOT "/node/Alpha/status",
        ROOT "/node//status",
        ROOT "/node/al.pha/status",
        ROOT "/node/+/status",
        ROOT "/node/" N63 "4/status",
        ROOT "/node/alpha/cmd",
        ROOT "/node/alpha/cmd/",
        ROOT "/node/alpha/cmd/Stop",
        ROOT "/worker/alpha/mm-1",
        ROOT "/worker/alpha/mm-1/state",
        ROOT "/worker/alpha/mm-1/cmd/stop/now",
        ROOT "/reply/cli-1",
        ROOT "/reply/cli-1/a.b",
        ROOT "/reply/cli-1/" N63 "45",
        ROOT "/audit/admin/x",
        ROOT "/alarm/duplicate",
        ROOT "/queue/swap",
        ROOT "/queue/swap/spec",
        ROOT "/queue/swap/report/x",
        ROOT "/job/swap",
        ROOT "/job/swap/",
        ROOT "/job/swap/j.1",
        ROOT "/job/swap/j 1",
        ROOT "/job/swap/" J80 "1",
        ROOT "/job/swap/j-1/x",
        ROOT "/job/Swap/j-1",
    };
    static const struct reeve_topic none = {.kind = REEVE_TOPIC_NONE};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_topic topic = reeve_topic_parse(ROOT, rows[i]);
        if (memcmp(&topic, &none, sizeof(none)) != 0) {
            fail_msg("'%s' gives kind %d", rows[i], (int)topic.kind);
        }
    }
}

static void topics_are_made(void **state)
{
    char buf[REEVE_TOPIC_SIZE];
    (void)state;
    assert_string_equal(reeve_topic_make(buf, ROOT, "worker/%s/%s/process", "alpha", "mm-1"),
                        "reeve/v1/local/worker/alpha/mm-1/process");
}

static void the_longest_topic_fits_below_the_longest_root(void **state)
{
    char buf[REEVE_TOPIC_SIZE];
    char root[64] = "";
    (void)state;
    while (reeve_root_check(strcat(root, "r"), NULL) == REEVE_OK) {
    }
    root[strlen(root) - 1] = '\0';
    assert_int_equal(strlen(root), 47);
    (void)reeve_topic_make(buf, root, "worker/%s/%s/cmd/%s", N63, N63, N63);
    assert_int_equal(strlen(buf), REEVE_TOPIC_LEN_MAX);
    assert_int_equal(reeve_topic_parse(root, buf).kind, REEVE_TOPIC_WORKER_CMD);
}

static void roots_are_checked(void **state)
{
    static const char *const good[] = {"reeve/v1/local", "r", "Acme/tenant_1/reeve/v1/x-y", "a/b/c/d/e/f"};
    static const char *const bad[] = {"", "/reeve", "reeve/", "a//b", "a/+", "a/#", "a b", "a.b", "a/b/c/d/e/f/g"};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(good); i++) {
        assert_int_equal(reeve_root_check(good[i], NULL), REEVE_OK);
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        struct reeve_why why = {0};
        if (reeve_root_check(bad[i], &why) != REEVE_INVALID || strncmp(why.text, "root has ", 9) != 0) {
            fail_msg("'%s' passes: %s", bad[i], why.text);
        }
    }
    struct reeve_why why = {0};
    assert_int_equal(reeve_root_check("a/b c", &why), REEVE_INVALID);
    assert_string_equal(why.text, "root has byte 0x20 at 4, allowed are A-Z a-z 0-9 _ - and '/'");
    assert_int_equal(reeve_root_check("ab//c", &why), REEVE_INVALID);
    assert_string_equal(why.text, "root has an empty level at 4 (no '/' at its ends, none doubled)");
}

static void filters_match_as_mqtt_says(void **state)
{
    // the examples of MQTT 5, 4.7.1 and 4.7.2, and the corners
    static const struct {
        const char *filter, *topic;
        bool match;
    } rows[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/#", "sport", true},
        {"#", "a/b", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/x", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/x", true},
        {"a/b", "a/b", true},
        {"a/b", "a/bc", false},
        {"a/bc", "a/b", false},
        {"a/b", "a/b/c", false},
        {"a/b/c", "a/b", false},
        {"a/+/c", "a//c", true},
        {"a/+/+", "a/b", false},
        {"a/#", "ab", false},
        {"a/+b", "a/xb", false},
        {"", "", true},
        {"a", "", false},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (reeve_topic_match(rows[i].filter, rows[i].topic) != rows[i].match) {
            fail_msg("%s against %s", rows[i].filter, rows[i].topic);
        }
    }
}

static void only_what_can_be_published_to_is_valid(void **state)
{
    char longest[REEVE_TOPIC_SIZE + 1];
    (void)state;
    memset(longest, 'a', sizeof(longest));
    longest[REEVE_TOPIC_LEN_MAX] = '\0';
    assert_true(reeve_topic_valid(longest));
    longest[REEVE_TOPIC_LEN_MAX] = 'a';
    longest[REEVE_TOPIC_LEN_MAX + 1] = '\0';
    assert_false(reeve_topic_valid(longest));
    assert_true(reeve_topic_valid("a/b c/\xc3\xa4"));
    static const char *const bad[] = {"", "a/+/b", "a/#", "a\nb", "a\x7f", "a\xff"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        assert_false(reeve_topic_valid(bad[i]));
    }
}

static void replies_go_nowhere_but_to_reply_topics(void **state)
{
    (void)state;
    assert_true(reeve_topic_reply_allowed(ROOT, ROOT "/reply/cli-1/x1"));
    assert_true(reeve_topic_reply_allowed(ROOT, "my/own/inbox"));
    static const char *const bad[] = {
        ROOT "/worker/alpha/mm-1/status",
        ROOT "/node/alpha/cmd/shutdown",
        ROOT "/fleet/alpha/mm-1",
        ROOT "/reply/cli-1/+",
        ROOT "/reply/cli-1",
        "$SYS/broker",
        ROOT "/",
        "",
        "with space",
        "with.dot",
        "\xc3\xa4",     // a letter for one broker
        "\xef\xbf\xbf", // no character for another
        "////////////////////////////////////////////////////////////////", // 65 levels
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        if (reeve_topic_reply_allowed(ROOT, bad[i])) {
            fail_msg("a reply may go to %s", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_taken_apart),
        cmocka_unit_test(what_has_no_known_form_is_none_and_empty),
        cmocka_unit_test(topics_are_made),
        cmocka_unit_test(the_longest_topic_fits_below_the_longest_root),
        cmocka_unit_test(roots_are_checked),
        cmocka_unit_test(filters_match_as_mqtt_says),
        cmocka_unit_test(only_what_can_be_published_to_is_valid),
        cmocka_unit_test(replies_go_nowhere_but_to_reply_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
