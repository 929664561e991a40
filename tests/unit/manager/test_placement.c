// Placement: each reason why a node is not taken, the order of those that are, explanations, victims; and all of it as
// properties over random nodes and pools.
// Must not: need a manager.
#include "placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <reeve/codec.h>
#include <stdio.h>

#define NODES_MAX 12
#define T         "template: {type: a}\n"

static struct reeve_errors errors;

static struct reeve_pool_spec pool_of(const char *yaml)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_pool_spec pool;
    char text[600];
    assert_int_equal(reeve_yaml_read(yaml, strlen(yaml), &reeve_limits_file, NULL, &value, NULL), REEVE_OK);
    reeve_errors_init(&errors, "f");
    if (reeve_pool_decode(value, "", &pool, &errors) != REEVE_OK) {
        fail_msg("%s: %s", yaml, reeve_error_format(&errors, 0, text, sizeof(text)));
    }
    return pool;
}

// `thing` is a text such as "region=eu gpu=1 gpu=2 ".
static const char *attribute_of(const void *thing, const char *key, size_t n, char *buf)
{
    const char *at = thing;
    size_t key_len = strlen(key);
    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, " ");
        if (strncmp(at, key, key_len) == 0 && at[key_len] == '=' && n-- == 0) {
            (void)snprintf(buf, 128, "%.*s", (int)(len - key_len - 1), at + key_len + 1);
            return buf;
        }
        at += len + strspn(at + len, " ");
    }
    return NULL;
}

static struct place_node node_of(const char *name, const char *region, const char *attributes)
{
    return (struct place_node){.name = name,
                               .region = region,
                               .live = true,
                               .round_trip_ms = -1,
                               .attribute = attribute_of,
                               .thing = attributes};
}

// The pool of `yaml` on one node that is otherwise fine: "" = taken, else why not.
static void reason_is(const char *yaml, struct place_node node, const char *wanted_region, const char *want)
{
    struct reeve_pool_spec pool = pool_of(yaml);
    struct place_request request = {&pool, wanted_region};
    struct place_score score;
    ptrdiff_t chosen = placement_choose(&node, 1, &request, &score);
    assert_int_equal(chosen, want[0] == '\0' ? 0 : -1);
    assert_int_equal(score.fits, want[0] == '\0');
    assert_int_equal(score.rank, want[0] == '\0' ? 0 : -1);
    if (want[0] != '\0') {
        assert_string_equal(score.reason, want);
    }
    reeve_pool_done(&pool);
}

static void a_node_that_may_not_be_taken_says_why(void **state)
{
    struct place_node node = node_of("a", "eu", "cpus=4 gpu=1");
    (void)state;
    reason_is("size: 1\n" T, node, NULL, "");
    node.live = false;
    node.draining = true;
    reason_is("size: 1\n" T, node, NULL, "is away");
    node.live = true;
    reason_is("size: 1\n" T, node, NULL, "drains");
    node.draining = false;
    node.excluded = true;
    reason_is("size: 1\n" T, node, NULL, "is excluded");
    node.excluded_reason = "the last 3 starts there failed";
    reason_is("size: 1\n" T, node, NULL, "the last 3 starts there failed");
    node.excluded = false;
    reason_is("size: 1\n" T, node, "eu", "");
    reason_is("size: 1\n" T, node, "us", "region eu is not us");
    node.region = NULL;
    reason_is("size: 1\n" T, node, "us", "has no region, us is wanted");
}

static void requirements_are_met_or_named(void **state)
{
    struct place_node node = node_of("a", "eu", "cpus=4 gpu=1");
    (void)state;
    reason_is("size: 1\nplacement: {require: ['cpus>=4', gpu]}\n" T, node, NULL, "");
    reason_is("size: 1\nplacement: {require: ['cpus>=8']}\n" T, node, NULL, "cpus is 4, required is cpus>=8");
    reason_is("size: 1\nplacement: {require: [label.ssd]}\n" T, node, NULL, "label.ssd is missing");
    reason_is("size: 1\nplacement: {require: [label.ssd=fast]}\n" T, node, NULL,
              "label.ssd is missing, required is label.ssd=fast");
    reason_is("size: 1\nplacement: {require: ['!gpu']}\n" T, node, NULL, "gpu is 1, required is !gpu");
}

static void distance(void **state)
{
    struct place_node node = node_of("a", "eu", "");
    (void)state;
    reason_is("size: 1\nplacement: {near: kraken}\n" T, node, NULL, "");
    reason_is("size: 1\nplacement: {near: kraken, near_max: 20ms}\n" T, node, NULL,
              "round trip to kraken is not known");
    node.round_trip_ms = 21;
    reason_is("size: 1\nplacement: {near: kraken, near_max: 20ms}\n" T, node, NULL, "21ms to kraken, at most 20ms");
    node.round_trip_ms = 20;
    reason_is("size: 1\nplacement: {near: kraken, near_max: 20ms}\n" T, node, NULL, "");
}

static void room(void **state)
{
    struct place_node node = node_of("a", "eu", "");
    (void)state;
    node.of_pool = node.workers = 2;
    reason_is("size: 1\nplacement: {per_node_max: 2}\n" T, node, NULL, "2 of this pool here, at most 2");
    reason_is("size: 1\nplacement: {per_node_max: 3}\n" T, node, NULL, "");
    node.workers_max = 2;
    reason_is("size: 1\n" T, node, NULL, "is full, 2 of 2 workers");
    node.workers_max = 3;
    reason_is("size: 1\n" T, node, NULL, "");
    node.cpus = 4;
    node.cpus_reserved = 3.9;
    reason_is("size: 1\ntemplate: {type: a, cpu_limit: 0.1}\n", node, NULL, "");
    reason_is("size: 1\ntemplate: {type: a, cpu_limit: 0.5}\n", node, NULL, "0.1 of 4 cpus free, 0.5 needed");
    node.memory_bytes = INT64_C(4) << 30;
    node.memory_reserved_bytes = (INT64_C(4) << 30) - (INT64_C(512) << 20);
    reason_is("size: 1\ntemplate: {type: a, memory_limit: 512M}\n", node, NULL, "");
    reason_is("size: 1\ntemplate: {type: a, memory_limit: 1G}\n", node, NULL, "512M of memory free, 1G needed");
    node.memory_reserved_bytes = INT64_C(5) << 30;
    reason_is("size: 1\ntemplate: {type: a, memory_limit: 1G}\n", node, NULL, "0B of memory free, 1G needed");
    reason_is("size: 1\n" T, node, NULL, ""); // needs nothing that is counted
}

// The names in order of rank.
static void order_is(const char *yaml, const struct place_node *nodes, size_t n, const char *want)
{
    struct reeve_pool_spec pool = pool_of(yaml);
    struct place_request request = {&pool, NULL};
    struct place_score scores[NODES_MAX];
    char have[200] = "";
    ptrdiff_t chosen = placement_choose(nodes, n, &request, scores);
    for (int64_t rank = 0; rank < (int64_t)n; rank++) {
        for (size_t i = 0; i < n; i++) {
            if (scores[i].rank == rank) {
                (void)snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%s", rank > 0 ? " " : "",
                               nodes[i].name);
                assert_true(rank > 0 || chosen == (ptrdiff_t)i);
            }
        }
    }
    assert_string_equal(have, want);
    assert_int_equal(placement_choose(nodes, n, &request, NULL), chosen);
    reeve_pool_done(&pool);
}

static void the_better_node_goes_first(void **state)
{
    struct place_node nodes[] = {node_of("d", "us", "gpu=1"), node_of("c", "eu", ""),
                                 node_of("b", "eu", "gpu=1 cpus=8"), node_of("a", "eu", "")};
    (void)state;
    order_is("size: 1\n" T, nodes, 4, "a b c d");
    order_is("size: 1\nplacement: {prefer: [gpu, 'cpus>=8']}\n" T, nodes, 4, "b d a c");
    nodes[3].of_pool = nodes[3].workers = 1;
    order_is("size: 1\n" T, nodes, 4, "d b c a"); // the other region first
    order_is("size: 1\nplacement: {spread: node}\n" T, nodes, 4, "b c d a");
    order_is("size: 1\nplacement: {spread: region}\n" T, nodes, 4, "d b c a");
    order_is("size: 1\nplacement: {pack: true}\n" T, nodes, 4, "a b c d");
    order_is("size: 1\nplacement: {spread: []}\n" T, nodes, 4, "b c d a"); // fewer workers
    nodes[0].round_trip_ms = 30;
    nodes[1].round_trip_ms = 5;
    order_is("size: 1\nplacement: {near: x}\n" T, nodes, 4, "c d b a");
    order_is("size: 1\nplacement: {near: x, prefer: gpu}\n" T, nodes, 4, "d b c a");
}

static void the_emptier_node_goes_first(void **state)
{
    struct place_node nodes[] = {node_of("a", NULL, ""), node_of("b", NULL, ""), node_of("c", NULL, "")};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        nodes[i].cpus = 8;
        nodes[i].memory_bytes = 1000;
    }
    nodes[0].cpus_reserved = 6;
    nodes[1].memory_reserved_bytes = 500;
    nodes[2].workers_max = 10;
    nodes[2].workers = 6;
    order_is("size: 1\n" T, nodes, 3, "b c a");
    order_is("size: 1\nplacement: {pack: true}\n" T, nodes, 3, "a c b");
}

static void explanations_are_one_line(void **state)
{
    struct place_node nodes[] = {node_of("alpha", "eu", "gpu=1"), node_of("beta", "eu", ""), node_of("gamma", "us", ""),
                                 node_of("delta", "eu", "")};
    struct reeve_pool_spec pool = pool_of("size: 1\nplacement: {prefer: [gpu, x], near: kraken}\n" T);
    struct place_request request = {&pool, "eu"};
    struct place_score scores[4];
    char text[512];
    (void)state;
    nodes[0].draining = true;
    nodes[1].cpus = 8;
    nodes[1].cpus_reserved = 2;
    nodes[1].round_trip_ms = 12;
    nodes[1].memory_bytes = INT64_C(2) << 30;
    nodes[3].of_pool = 2;
    assert_int_equal(placement_choose(nodes, 4, &request, scores), 1);
    assert_string_equal(
        placement_explain(nodes, scores, 4, text, sizeof(text)),
        "beta: best of 2 (meets 0 of 2 preferences, 12ms to kraken, 0 of this pool here, 2 in eu, 6.0 of 8 "
        "cpus free, 2G of memory free); delta: no. 2 (meets 0 of 2 preferences, unknown round trip to "
        "kraken, 2 of this pool here, 2 in eu); alpha: drains; gamma: region us is not eu");
    // Too little room: whole parts, and how many are left out.
    assert_string_equal(
        placement_explain(nodes, scores, 4, text, 200),
        "beta: best of 2 (meets 0 of 2 preferences, 12ms to kraken, 0 of this pool here, 2 in eu, 6.0 of 8 "
        "cpus free, 2G of memory free); and 3 more");
    nodes[1].live = nodes[3].live = false;
    assert_int_equal(placement_choose(nodes, 4, &request, scores), -1);
    assert_string_equal(placement_explain(nodes, scores, 4, text, sizeof(text)),
                        "no node fits; alpha: drains; beta: is away; gamma: region us is not eu; delta: is away");
    assert_int_equal(placement_choose(NULL, 0, &request, NULL), -1);
    assert_string_equal(placement_explain(NULL, NULL, 0, text, sizeof(text)), "there is no node");
    reeve_pool_done(&pool);
}

// ---- victims ------------------------------------------------------------------------------------------------

static void victims_are(const char *yaml, const struct place_victim *victims, size_t n, const char *want)
{
    struct reeve_pool_spec pool = pool_of(yaml);
    size_t order[32];
    char have[200] = "";
    placement_victims(victims, n, &pool, order);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%s", i > 0 ? " " : "",
                       victims[order[i]].worker);
    }
    assert_string_equal(have, want);
    reeve_pool_done(&pool);
}

static void the_rules_of_victims_in_their_order(void **state)
{
    const struct place_victim victims[] = {
        {.worker = "gone", .node = "n", .ready = true, .unreachable = true},
        {.worker = "acquired", .node = "n", .ready = true, .acquired = true},
        {.worker = "busy", .node = "n", .ready = true, .busy = true},
        {.worker = "busy-unready", .node = "n", .busy = true},
        {.worker = "unsafe", .node = "n", .ready = true, .unsafe = true},
        {.worker = "idle", .node = "n", .ready = true},
        {.worker = "outdated", .node = "n", .ready = true, .outdated = true},
        {.worker = "unready", .node = "n"},
        {.worker = "unready-outdated", .node = "n", .outdated = true},
    };
    (void)state;
    victims_are("size: 1\n" T, victims, REEVE_ARRAY_LEN(victims),
                "unready-outdated unready outdated idle unsafe busy-unready busy acquired gone");
}

static struct place_victim idle_on(const char *worker, const char *node, const char *region, int64_t created_at)
{
    return (struct place_victim){
        .worker = worker, .node = node, .region = region, .ready = true, .created_at = created_at};
}

static void the_fullest_place_loses_first(void **state)
{
    const struct place_victim victims[] = {
        idle_on("a1", "a", "eu", 1), idle_on("a2", "a", "eu", 2), idle_on("a3", "a", "eu", 3),
        idle_on("b1", "b", "eu", 9), idle_on("c1", "c", "us", 8), idle_on("c2", "c", "us", 7),
        idle_on("c3", "c", "us", 6),
    };
    (void)state;
    // eu 4, us 3: eu first; then in turn. In eu node a first until it has no more than b.
    victims_are("size: 1\n" T, victims, 7, "a3 c1 a2 c2 b1 c3 a1");
    victims_are("size: 1\nplacement: {spread: node}\n" T, victims, 7, "c1 a3 c2 a2 b1 c3 a1");
    victims_are("size: 1\nplacement: {spread: []}\n" T, victims, 7, "b1 c1 c2 c3 a3 a2 a1");
    victims_are("size: 1\nplacement: {spread: node, pack: true}\n" T, victims, 7, "b1 a3 a2 a1 c1 c2 c3");
}

// ---- properties ---------------------------------------------------------------------------------------------

static uint64_t dice_state;

static unsigned dice(unsigned below)
{
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice_state >> 33) % below;
}

static const char *const names[NODES_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};

static struct place_node random_node(size_t i)
{
    static const char *const regions[] = {"eu", "us", "ap", NULL};
    static const char *const attributes[] = {"", "gpu=1", "cpus=4", "gpu=1 cpus=16", "cpus=8 label.ssd=fast"};
    struct place_node node = node_of(names[i], regions[dice(4)], attributes[dice(5)]);
    node.live = dice(6) > 0;
    node.draining = dice(8) == 0;
    node.excluded = dice(10) == 0;
    node.cpus = dice(3) > 0 ? 1 + dice(8) : 0;
    node.cpus_reserved = dice(40) / 10.0;
    node.memory_bytes = dice(3) > 0 ? (int64_t)(1 + dice(8)) << 29 : 0;
    node.memory_reserved_bytes = (int64_t)dice(8) << 28;
    node.workers = dice(10);
    node.workers_max = dice(2) > 0 ? 1 + dice(12) : 0;
    node.of_pool = dice((unsigned)node.workers + 1);
    node.round_trip_ms = (int64_t)dice(60) - 5;
    return node;
}

static struct reeve_pool_spec random_pool(void)
{
    static const char *const requires[] = {"[]", "[gpu]", "['cpus>=8']", "['!gpu']", "[label.ssd=fast, cpus]"};
    static const char *const spreads[] = {"[node, region]", "node", "region", "[]"};
    char yaml[400];
    unsigned near = dice(3);
    (void)snprintf(yaml, sizeof(yaml),
                   "size: 1\ntemplate: {type: a, cpu_limit: %u.%u, memory_limit: %uM}\n"
                   "placement: {require: %s, prefer: %s, spread: %s, pack: %s, per_node_max: %u%s}\n",
                   dice(2), dice(10), 16 * dice(64), dice(2) ? "[]" : requires[dice(5)], requires[dice(5)],
                   spreads[dice(4)], dice(4) == 0 ? "true" : "false", dice(6),
                   near == 0   ? ""
                   : near == 1 ? ", near: x"
                               : ", near: x, near_max: 30ms");
    return pool_of(yaml);
}

// Whether a node may be taken, said once more and otherwise.
static bool may_take(const struct reeve_pool_spec *pool, const struct place_node *node, const char *region)
{
    const struct reeve_pool_placement *placement = &pool->placement;
    char buf[128];
    bool ok = node->live && !node->draining && !node->excluded;
    ok = ok && (region == NULL || (node->region != NULL && strcmp(region, node->region) == 0));
    ok = ok && (node->workers_max == 0 || node->workers + 1 <= node->workers_max);
    ok = ok && (placement->per_node_max == 0 || node->of_pool + 1 <= placement->per_node_max);
    ok = ok &&
         (placement->near_max_ms == 0 || (node->round_trip_ms >= 0 && node->round_trip_ms <= placement->near_max_ms));
    ok = ok && (node->cpus == 0 || pool->template.cpu_limit == 0 ||
                node->cpus_reserved + pool->template.cpu_limit <= (double)node->cpus + 0.001);
    ok = ok && (node->memory_bytes == 0 || pool->template.memory_limit_bytes == 0 ||
                node->memory_reserved_bytes + pool->template.memory_limit_bytes <= node->memory_bytes);
    for (size_t i = 0; i < placement->require.len; i++) {
        const char *text = placement->require.items[i];
        bool gpu = attribute_of(node->thing, "gpu", 0, buf) != NULL;
        const char *cpus = attribute_of(node->thing, "cpus", 0, buf);
        ok = ok && (strcmp(text, "gpu") != 0 || gpu) && (strcmp(text, "!gpu") != 0 || !gpu) &&
             (strcmp(text, "cpus") != 0 || cpus != NULL) &&
             (strcmp(text, "cpus>=8") != 0 || (cpus != NULL && strtol(cpus, NULL, 10) >= 8)) &&
             (strcmp(text, "label.ssd=fast") != 0 || strstr(node->thing, "label.ssd=fast") != NULL);
    }
    return ok;
}

static void check_choice(const struct place_node *nodes, size_t n, const struct reeve_pool_spec *pool,
                         const char *region)
{
    struct place_request request = {pool, region};
    struct place_score scores[NODES_MAX];
    struct place_score again[NODES_MAX];
    char text[4096];
    bool ranked[NODES_MAX] = {false};
    memset(scores, 0, sizeof(scores));
    memset(again, 0, sizeof(again));
    ptrdiff_t chosen = placement_choose(nodes, n, &request, scores);
    assert_int_equal(placement_choose(nodes, n, &request, again), chosen);
    assert_memory_equal(scores, again, sizeof(scores)); // deterministic
    size_t fitting = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(scores[i].fits, may_take(pool, &nodes[i], region));
        fitting += scores[i].fits;
    }
    assert_int_equal(chosen >= 0, fitting > 0);
    assert_true(chosen < 0 || (scores[chosen].fits && scores[chosen].rank == 0));
    (void)placement_explain(nodes, scores, n, text, sizeof(text));
    for (size_t i = 0; i < n; i++) {
        char part[16];
        (void)snprintf(part, sizeof(part), "%s: ", nodes[i].name);
        assert_non_null(strstr(text, part));
        assert_true(scores[i].reason[0] != '\0');
        assert_true(scores[i].fits ? scores[i].rank >= 0 && scores[i].rank < (int64_t)fitting : scores[i].rank == -1);
        assert_true(!scores[i].fits || !ranked[scores[i].rank]);
        ranked[scores[i].fits ? scores[i].rank : NODES_MAX - 1] |= scores[i].fits;
        assert_true(chosen < 0 || !scores[i].fits || scores[i].preferred <= scores[chosen].preferred);
    }
}

static void a_chosen_node_always_fits(void **state)
{
    static const char *const wanted[] = {NULL, NULL, "eu", "mars"};
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct place_node nodes[NODES_MAX];
        dice_state = seed;
        size_t n = dice(NODES_MAX + 1);
        for (size_t i = 0; i < n; i++) {
            nodes[i] = random_node(i);
        }
        struct reeve_pool_spec pool = random_pool();
        check_choice(nodes, n, &pool, wanted[dice(4)]);
        reeve_pool_done(&pool);
    }
}

// Places `len` workers, one after the other, on nodes that all have room.
static void place_all(struct place_node *nodes, size_t n, const struct reeve_pool_spec *pool, unsigned len)
{
    struct place_request request = {pool, NULL};
    for (unsigned i = 0; i < len; i++) {
        ptrdiff_t chosen = placement_choose(nodes, n, &request, NULL);
        assert_true(chosen >= 0);
        nodes[chosen].of_pool++;
        nodes[chosen].workers++;
    }
}

static int64_t in_region(const struct place_node *nodes, size_t n, const char *region)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += strcmp(nodes[i].region, region) == 0 ? nodes[i].of_pool : 0;
    }
    return sum;
}

static void spread_differs_by_one_at_most(void **state)
{
    static const char *const regions[] = {"eu", "us", "ap"};
    struct reeve_pool_spec by_node = pool_of("size: 1\nplacement: {spread: node}\n" T);
    struct reeve_pool_spec by_both = pool_of("size: 1\n" T);
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct place_node nodes[NODES_MAX];
        dice_state = seed;
        size_t n = 1 + dice(NODES_MAX);
        unsigned len = dice(60);
        for (size_t i = 0; i < n; i++) {
            nodes[i] = node_of(names[i], regions[dice(3)], "");
            nodes[i].workers = dice(20);
            nodes[i].cpus = 1 + dice(8);
        }
        place_all(nodes, n, seed % 2 ? &by_node : &by_both, len);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                bool same = strcmp(nodes[i].region, nodes[j].region) == 0;
                if (seed % 2 || same) {
                    assert_true(llabs(nodes[i].of_pool - nodes[j].of_pool) <= 1);
                } else {
                    assert_true(llabs(in_region(nodes, n, nodes[i].region) - in_region(nodes, n, nodes[j].region)) <=
                                1);
                }
            }
        }
    }
    reeve_pool_done(&by_node);
    reeve_pool_done(&by_both);
}

static struct place_victim random_victim(size_t i)
{
    static const char *const regions[] = {"eu", "us", NULL};
    static const char *const places[] = {"a", "b", "c", "d", "e"};
    static char workers[64][8];
    unsigned node = dice(5);
    (void)snprintf(workers[i], sizeof(workers[i]), "w%zu", i);
    return (struct place_victim){.worker = workers[i],
                                 .node = places[node],
                                 .region = regions[node % 3],
                                 .ready = dice(4) > 0,
                                 .busy = dice(3) == 0,
                                 .unsafe = dice(6) == 0,
                                 .acquired = dice(8) == 0,
                                 .outdated = dice(5) == 0,
                                 .unreachable = dice(8) == 0,
                                 .created_at = dice(4)};
}

// How many reachable workers share the place of `of`, those gone left out.
static int64_t crowd(const struct place_victim *victims, const bool *gone, size_t n, size_t of, bool region)
{
    int64_t len = 0;
    for (size_t i = 0; i < n; i++) {
        const char *a = region ? victims[i].region : victims[i].node;
        const char *b = region ? victims[of].region : victims[of].node;
        len += !gone[i] && !victims[i].unreachable && (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0));
    }
    return len;
}

static int rule(const struct place_victim *v)
{
    return v->unreachable * 32 + v->acquired * 16 + v->busy * 8 + v->unsafe * 4 + v->ready * 2 + !v->outdated;
}

// Whether `a` goes before `b` with those `gone` away: the rules one by one.
static bool goes_before(const struct place_victim *v, const bool *gone, size_t n, size_t a, size_t b)
{
    int64_t region_a = crowd(v, gone, n, a, true);
    int64_t region_b = crowd(v, gone, n, b, true);
    int64_t node_a = crowd(v, gone, n, a, false);
    int64_t node_b = crowd(v, gone, n, b, false);
    if (rule(&v[a]) != rule(&v[b])) {
        return rule(&v[a]) < rule(&v[b]);
    }
    return v[a].unreachable || region_a > region_b ||
           (region_a == region_b && (node_a > node_b || (node_a == node_b && v[a].created_at >= v[b].created_at)));
}

static void victims_follow_the_rules_one_by_one(void **state)
{
    struct reeve_pool_spec pool = pool_of("size: 1\n" T);
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct place_victim victims[40];
        size_t order[40];
        bool gone[40] = {false};
        dice_state = seed;
        size_t n = 1 + dice(40);
        for (size_t i = 0; i < n; i++) {
            victims[i] = random_victim(i);
        }
        placement_victims(victims, n, &pool, order);
        for (size_t k = 0; k < n; k++) {
            assert_true(order[k] < n && !gone[order[k]]); // each once
            for (size_t i = 0; i < n; i++) {
                bool idle = !victims[i].busy && !victims[i].acquired && !victims[i].unreachable;
                if (gone[i] || i == order[k]) {
                    continue;
                }
                assert_false(victims[order[k]].busy && idle); // never a busy one before an idle one
                if (!goes_before(victims, gone, n, order[k], i)) {
                    fail_msg("seed %llu: %s went before %s", (unsigned long long)seed, victims[order[k]].worker,
                             victims[i].worker);
                }
            }
            gone[order[k]] = true;
        }
    }
    reeve_pool_done(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_may_not_be_taken_says_why),
        cmocka_unit_test(requirements_are_met_or_named),
        cmocka_unit_test(distance),
        cmocka_unit_test(room),
        cmocka_unit_test(the_better_node_goes_first),
        cmocka_unit_test(the_emptier_node_goes_first),
        cmocka_unit_test(explanations_are_one_line),
        cmocka_unit_test(the_rules_of_victims_in_their_order),
        cmocka_unit_test(the_fullest_place_loses_first),
        cmocka_unit_test(a_chosen_node_always_fits),
        cmocka_unit_test(spread_differs_by_one_at_most),
        cmocka_unit_test(victims_follow_the_rules_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
