// Placement and its counterpart, the choice of victims. See placement.h for the rules.
// Invariant: the same nodes in the same order give the same answer; every node is given a reason.
// Must not: know the fleet, the store or the clock.
#include "placement.h"

#include <reeve/units.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_SLACK 1e-6 // sums of shares such as 0.1 are not exact

struct wish { // the request, with its requirements read once
    const struct place_request *request;
    struct reeve_requirements require, prefer;
    bool spread_node, spread_region;
};

struct candidate {
    size_t index; // of the node
    int64_t preferred;
    int64_t region_len; // workers of the pool in its region
    double load;        // the fullest of its resources, 0..1
};

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

// NULL before everything.
static int compare_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

// Text at the end of buf, as far as there is room. Returns the new length.
__attribute__((format(printf, 4, 5))) static size_t add_text(char *buf, size_t buf_len, size_t len, const char *fmt,
                                                             ...)
{
    va_list ap;
    va_start(ap, fmt);
    int added = vsnprintf(buf + len, buf_len - len, fmt, ap);
    va_end(ap);
    return added < 0 ? len : len + (size_t)added < buf_len ? len + (size_t)added : buf_len - 1;
}

// ---- what a node must be ----------------------------------------------------------------------------------

typedef bool fit_check(const struct wish *wish, const struct place_node *node, char *why, size_t why_len);

static bool fit_state(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    (void)wish;
    const char *text = !node->live                     ? "is away"
                       : node->draining                ? "drains"
                       : !node->excluded               ? NULL
                       : node->excluded_reason != NULL ? node->excluded_reason
                                                       : "is excluded";
    if (text != NULL) {
        (void)snprintf(why, why_len, "%s", text);
    }
    return text == NULL;
}

static bool fit_region(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    const char *wanted = wish->request->region;
    if (wanted == NULL || reeve_str_eq(wanted, node->region)) {
        return true;
    }
    if (node->region == NULL) {
        (void)snprintf(why, why_len, "has no region, %s is wanted", wanted);
    } else {
        (void)snprintf(why, why_len, "region %s is not %s", node->region, wanted);
    }
    return false;
}

static void explain_missed(const struct reeve_requirement *missed, const struct place_node *node, char *why,
                           size_t why_len)
{
    char text[REEVE_REQUIREMENT_TEXT_SIZE];
    char value[128];
    const char *first = node->attribute(node->thing, missed->key, 0, value);
    if (first == NULL && missed->compare == REEVE_COMPARE_HAS) {
        (void)snprintf(why, why_len, "%s is missing", missed->key);
    } else if (first == NULL) {
        (void)snprintf(why, why_len, "%s is missing, required is %s", missed->key,
                       reeve_requirement_text(missed, text));
    } else {
        (void)snprintf(why, why_len, "%s is %s, required is %s", missed->key, first,
                       reeve_requirement_text(missed, text));
    }
}

static bool fit_requirements(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    const struct reeve_requirement *missed = NULL;
    if (reeve_requirements_met(&wish->require, node->attribute, node->thing, &missed)) {
        return true;
    }
    explain_missed(missed, node, why, why_len);
    return false;
}

static bool fit_distance(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    const struct reeve_pool_placement *placement = &wish->request->pool->placement;
    char far[REEVE_UNITS_TEXT_LEN];
    char bound[REEVE_UNITS_TEXT_LEN];
    if (placement->near == NULL || placement->near_max_ms == 0 ||
        (node->round_trip_ms >= 0 && node->round_trip_ms <= placement->near_max_ms)) {
        return true;
    }
    if (node->round_trip_ms < 0) {
        (void)snprintf(why, why_len, "round trip to %s is not known", placement->near);
    } else {
        (void)snprintf(why, why_len, "%s to %s, at most %s", reeve_duration_format(node->round_trip_ms, far),
                       placement->near, reeve_duration_format(placement->near_max_ms, bound));
    }
    return false;
}

static bool fit_counts(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    int64_t bound = wish->request->pool->placement.per_node_max;
    if (bound > 0 && node->of_pool >= bound) {
        (void)snprintf(why, why_len, "%lld of this pool here, at most %lld", (long long)node->of_pool,
                       (long long)bound);
        return false;
    }
    if (node->workers_max > 0 && node->workers >= node->workers_max) {
        (void)snprintf(why, why_len, "is full, %lld of %lld workers", (long long)node->workers,
                       (long long)node->workers_max);
        return false;
    }
    return true;
}

static bool fit_resources(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    const struct reeve_spec *template = &wish->request->pool->template;
    double cpus_free = (double)node->cpus - node->cpus_reserved;
    int64_t memory_free = node->memory_bytes - node->memory_reserved_bytes;
    char free_text[REEVE_UNITS_TEXT_LEN];
    char needed[REEVE_UNITS_TEXT_LEN];
    if (node->cpus > 0 && template->cpu_limit > 0 && template->cpu_limit > cpus_free + CPU_SLACK) {
        (void)snprintf(why, why_len, "%.1f of %lld cpus free, %.1f needed", cpus_free > 0 ? cpus_free : 0,
                       (long long)node->cpus, template->cpu_limit);
        return false;
    }
    if (node->memory_bytes > 0 && template->memory_limit_bytes > 0 && template->memory_limit_bytes > memory_free) {
        (void)snprintf(why, why_len, "%s of memory free, %s needed",
                       reeve_size_human(memory_free > 0 ? memory_free : 0, free_text),
                       reeve_size_human(template->memory_limit_bytes, needed));
        return false;
    }
    return true;
}

static fit_check *const fit_checks[] = {fit_state,    fit_region, fit_requirements,
                                        fit_distance, fit_counts, fit_resources};

static bool fits(const struct wish *wish, const struct place_node *node, char *why, size_t why_len)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(fit_checks); i++) {
        if (!fit_checks[i](wish, node, why, why_len)) {
            return false;
        }
    }
    return true;
}

// ---- which is better --------------------------------------------------------------------------------------

static double share(double used, double all)
{
    return all > 0 ? used / all : 0; // not said: no bound
}

static double node_load(const struct place_node *node)
{
    double cpus = share(node->cpus_reserved, (double)node->cpus);
    double memory = share((double)node->memory_reserved_bytes, (double)node->memory_bytes);
    double workers = share((double)node->workers, (double)node->workers_max);
    double most = cpus > memory ? cpus : memory;
    return most > workers ? most : workers;
}

static int64_t met_count(const struct reeve_requirements *prefer, const struct place_node *node)
{
    int64_t met = 0;
    for (size_t i = 0; i < prefer->len; i++) {
        met += reeve_requirement_met(&prefer->items[i], node->attribute, node->thing);
    }
    return met;
}

struct comparison {
    const struct wish *wish;
    const struct place_node *nodes;
};

static int compare_nearness(const struct wish *wish, const struct place_node *a, const struct place_node *b)
{
    if (wish->request->pool->placement.near == NULL) {
        return 0;
    }
    return compare_i64(a->round_trip_ms >= 0 ? a->round_trip_ms : INT64_MAX,
                       b->round_trip_ms >= 0 ? b->round_trip_ms : INT64_MAX);
}

// Fewest first, or with `pack` the other way round.
static int compare_fill(const struct wish *wish, const struct candidate *x, const struct candidate *y,
                        const struct place_node *a, const struct place_node *b)
{
    bool pack = wish->request->pool->placement.pack;
    int order = wish->spread_region ? compare_i64(x->region_len, y->region_len) : 0;
    if (order == 0 && (wish->spread_node || pack)) {
        order = compare_i64(a->of_pool, b->of_pool);
    }
    if (order == 0) {
        order = (x->load > y->load) - (x->load < y->load);
    }
    if (order == 0) {
        order = compare_i64(a->workers, b->workers);
    }
    return pack ? -order : order;
}

static int compare_candidates(const void *left, const void *right, void *arg)
{
    const struct comparison *comparison = arg;
    const struct candidate *x = left;
    const struct candidate *y = right;
    const struct place_node *a = &comparison->nodes[x->index];
    const struct place_node *b = &comparison->nodes[y->index];
    int order = compare_i64(y->preferred, x->preferred);
    order = order != 0 ? order : compare_nearness(comparison->wish, a, b);
    order = order != 0 ? order : compare_fill(comparison->wish, x, y, a, b);
    order = order != 0 ? order : compare_text(a->name, b->name);
    return order != 0 ? order : compare_i64((int64_t)x->index, (int64_t)y->index);
}

// ---- choosing ---------------------------------------------------------------------------------------------

static int compare_regions(const void *left, const void *right, void *arg)
{
    const struct place_node *nodes = arg;
    return compare_text(nodes[((const struct candidate *)left)->index].region,
                        nodes[((const struct candidate *)right)->index].region);
}

// Every node as a candidate, in the order of regions, with the workers of its region.
static void count_regions(const struct place_node *nodes, size_t n, struct candidate *candidates)
{
    for (size_t i = 0; i < n; i++) {
        candidates[i] = (struct candidate){.index = i};
    }
    qsort_r(candidates, n, sizeof(*candidates), compare_regions, (void *)nodes);
    for (size_t from = 0, to; from < n; from = to) {
        int64_t len = 0;
        for (to = from; to < n && compare_regions(&candidates[from], &candidates[to], (void *)nodes) == 0; to++) {
            len += nodes[candidates[to].index].of_pool;
        }
        for (size_t i = from; i < to; i++) {
            candidates[i].region_len = len;
        }
    }
}

static void explain_fit(const struct wish *wish, const struct place_node *node, const struct candidate *candidate,
                        char *buf, size_t buf_len)
{
    const struct reeve_pool_placement *placement = &wish->request->pool->placement;
    char text[REEVE_UNITS_TEXT_LEN];
    size_t len = 0;
    if (wish->prefer.len > 0) {
        len = add_text(buf, buf_len, len, "meets %lld of %zu preferences, ", (long long)candidate->preferred,
                       wish->prefer.len);
    }
    if (placement->near != NULL && node->round_trip_ms >= 0) {
        len = add_text(buf, buf_len, len, "%s to %s, ", reeve_duration_format(node->round_trip_ms, text),
                       placement->near);
    } else if (placement->near != NULL) {
        len = add_text(buf, buf_len, len, "unknown round trip to %s, ", placement->near);
    }
    len = add_text(buf, buf_len, len, "%lld of this pool here", (long long)node->of_pool);
    if (wish->spread_region && node->region != NULL) {
        len = add_text(buf, buf_len, len, ", %lld in %s", (long long)candidate->region_len, node->region);
    }
    if (node->cpus > 0) {
        len = add_text(buf, buf_len, len, ", %.1f of %lld cpus free", (double)node->cpus - node->cpus_reserved,
                       (long long)node->cpus);
    }
    if (node->memory_bytes > 0) {
        (void)add_text(buf, buf_len, len, ", %s of memory free",
                       reeve_size_human(node->memory_bytes > node->memory_reserved_bytes
                                            ? node->memory_bytes - node->memory_reserved_bytes
                                            : 0,
                                        text));
    }
}

// Keeps the candidates that fit, at the front. Returns how many.
static size_t keep_fitting(const struct wish *wish, const struct place_node *nodes, size_t n,
                           struct candidate *candidates, struct place_score *scores)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        struct candidate candidate = candidates[i];
        const struct place_node *node = &nodes[candidate.index];
        struct place_score score = {.rank = -1};
        score.fits = fits(wish, node, score.reason, sizeof(score.reason));
        if (score.fits) {
            candidate.preferred = score.preferred = met_count(&wish->prefer, node);
            candidate.load = node_load(node);
            candidates[len++] = candidate;
        }
        if (scores != NULL) {
            if (score.fits) {
                explain_fit(wish, node, &candidate, score.reason, sizeof(score.reason));
            }
            scores[candidate.index] = score;
        }
    }
    return len;
}

static ptrdiff_t best_of(const struct wish *wish, const struct place_node *nodes, struct candidate *candidates,
                         size_t len, struct place_score *scores)
{
    struct comparison comparison = {wish, nodes};
    if (len == 0) {
        return -1;
    }
    qsort_r(candidates, len, sizeof(*candidates), compare_candidates, &comparison);
    for (size_t i = 0; scores != NULL && i < len; i++) {
        scores[candidates[i].index].rank = (int64_t)i;
    }
    return (ptrdiff_t)candidates[0].index;
}

// The texts were checked when the spec was decoded; one that is wrong nevertheless is met by no node.
static void read_requirements(const struct reeve_strv *texts, struct reeve_requirements *ret)
{
    for (size_t i = 0; i < texts->len && ret->len < REEVE_REQUIREMENTS_MAX; i++) {
        struct reeve_requirement *item = &ret->items[ret->len++];
        if (reeve_requirement_parse(texts->items[i], item, NULL) != REEVE_OK) {
            *item = (struct reeve_requirement){.compare = REEVE_COMPARE_HAS};
            (void)snprintf(item->key, sizeof(item->key), "%s", texts->items[i]);
        }
    }
}

ptrdiff_t placement_choose(const struct place_node *nodes, size_t n, const struct place_request *request,
                           struct place_score *ret_scores)
{
    const struct reeve_pool_placement *placement = &request->pool->placement;
    struct wish wish = {.request = request,
                        .spread_node = reeve_strv_has(&placement->spread, "node"),
                        .spread_region = reeve_strv_has(&placement->spread, "region")};
    struct candidate *candidates = n > 0 ? calloc(n, sizeof(*candidates)) : NULL;
    if (candidates == NULL) {
        for (size_t i = 0; ret_scores != NULL && i < n; i++) {
            ret_scores[i] = (struct place_score){.rank = -1, .reason = "not looked at: out of memory"};
        }
        return -1;
    }
    read_requirements(&placement->require, &wish.require);
    read_requirements(&placement->prefer, &wish.prefer);
    count_regions(nodes, n, candidates);
    size_t len = keep_fitting(&wish, nodes, n, candidates, ret_scores);
    ptrdiff_t best = best_of(&wish, nodes, candidates, len, ret_scores);
    free(candidates);
    return best;
}

// ---- explaining -------------------------------------------------------------------------------------------

// One part of the line, or nothing when it does not fit in.
static bool add_part(char *buf, size_t buf_len, size_t *len, const char *text)
{
    size_t room_for_rest = sizeof("; and 18446744073709551615 more");
    size_t text_len = strlen(text) + (*len > 0 ? 2 : 0);
    if (*len + text_len + room_for_rest >= buf_len) {
        return false;
    }
    *len = add_text(buf, buf_len, *len, "%s%s", *len > 0 ? "; " : "", text);
    return true;
}

static void node_part(const struct place_node *node, const struct place_score *score, size_t fitting, char *buf,
                      size_t buf_len)
{
    if (score->rank == 0) {
        (void)snprintf(buf, buf_len, "%s: best of %zu (%s)", node->name, fitting, score->reason);
    } else if (score->fits) {
        (void)snprintf(buf, buf_len, "%s: no. %lld (%s)", node->name, (long long)score->rank + 1, score->reason);
    } else {
        (void)snprintf(buf, buf_len, "%s: %s", node->name, score->reason);
    }
}

// The node of this rank; n when there is none.
static size_t node_of_rank(const struct place_score *scores, size_t n, int64_t rank)
{
    size_t i = 0;
    while (i < n && scores[i].rank != rank) {
        i++;
    }
    return i;
}

const char *placement_explain(const struct place_node *nodes, const struct place_score *scores, size_t n, char *buf,
                              size_t buf_len)
{
    char text[320];
    size_t fitting = 0;
    size_t told = 0;
    size_t len = 0;
    bool room = true;
    REEVE_ASSERT(buf_len > 0);
    buf[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        fitting += scores[i].fits;
    }
    if (fitting == 0) {
        len = add_text(buf, buf_len, 0, n == 0 ? "there is no node" : "no node fits");
    }
    for (size_t rank = 0; rank < fitting && room; rank++) {
        size_t i = node_of_rank(scores, n, (int64_t)rank);
        REEVE_ASSERT(i < n); // ranks have no gaps
        node_part(&nodes[i], &scores[i], fitting, text, sizeof(text));
        room = add_part(buf, buf_len, &len, text);
        told += room;
    }
    for (size_t i = 0; i < n && room; i++) {
        if (!scores[i].fits) {
            node_part(&nodes[i], &scores[i], fitting, text, sizeof(text));
            room = add_part(buf, buf_len, &len, text);
            told += room;
        }
    }
    if (told < n) {
        (void)add_text(buf, buf_len, len, "; and %zu more", n - told);
    }
    return buf;
}

// ---- victims ----------------------------------------------------------------------------------------------

struct victim_keys { // how full its region and node are at the moment when it goes
    int64_t region, node;
};
struct victims {
    const struct place_victim *items;
    struct victim_keys *keys; // NULL: out of memory, which costs the balance and nothing else
    const struct reeve_pool_spec *pool;
    bool by_region, by_node;
};

// Lower goes first. One bit per rule, the strongest highest.
static unsigned tier(const struct place_victim *victim)
{
    return (unsigned)victim->unreachable << 5 | (unsigned)victim->acquired << 4 | (unsigned)victim->busy << 3 |
           (unsigned)victim->unsafe << 2 | (unsigned)victim->ready << 1 | (unsigned)!victim->outdated;
}

// Without regard to where it is.
static int compare_victims(const struct place_victim *a, const struct place_victim *b)
{
    int order = compare_i64(b->created_at, a->created_at);
    order = order != 0 ? order : compare_text(a->worker, b->worker);
    return order != 0 ? order : compare_text(a->node, b->node);
}

static int compare_tiers(const struct place_victim *a, const struct place_victim *b)
{
    return compare_i64((int64_t)tier(a), (int64_t)tier(b));
}

// Spreading takes from the fullest; packing empties what is emptiest.
static int compare_keys(const struct victims *victims, int64_t a, int64_t b)
{
    return victims->pool->placement.pack ? compare_i64(a, b) : compare_i64(b, a);
}

static int compare_in_node(const void *left, const void *right, void *arg)
{
    const struct victims *victims = arg;
    const struct place_victim *a = &victims->items[*(const size_t *)left];
    const struct place_victim *b = &victims->items[*(const size_t *)right];
    int order = compare_text(a->node, b->node);
    order = order != 0 ? order : compare_tiers(a, b);
    return order != 0 ? order : compare_victims(a, b);
}

static int compare_in_region(const void *left, const void *right, void *arg)
{
    const struct victims *victims = arg;
    size_t i = *(const size_t *)left;
    size_t j = *(const size_t *)right;
    const struct place_victim *a = &victims->items[i];
    const struct place_victim *b = &victims->items[j];
    int order = compare_text(a->region, b->region);
    order = order != 0 ? order : compare_tiers(a, b);
    if (order == 0 && victims->by_node) {
        order = compare_keys(victims, victims->keys[i].node, victims->keys[j].node);
    }
    return order != 0 ? order : compare_victims(a, b);
}

static int compare_all(const void *left, const void *right, void *arg)
{
    const struct victims *victims = arg;
    size_t i = *(const size_t *)left;
    size_t j = *(const size_t *)right;
    int order = compare_tiers(&victims->items[i], &victims->items[j]);
    if (order == 0 && victims->keys != NULL && victims->by_region) {
        order = compare_keys(victims, victims->keys[i].region, victims->keys[j].region);
    }
    if (order == 0 && victims->keys != NULL && victims->by_node) {
        order = compare_keys(victims, victims->keys[i].node, victims->keys[j].node);
    }
    if (order == 0 && victims->pool->placement.pack) {
        order = compare_text(victims->items[i].node, victims->items[j].node);
    }
    return order != 0 ? order : compare_victims(&victims->items[i], &victims->items[j]);
}

static const char *place_of(const struct place_victim *victim, bool region)
{
    return region ? victim->region : victim->node;
}

// `order[from..to)` are the workers of one place, first victim first. The n-th that goes finds the place with all but
// the n - 1 before it; when packing, as full as it was when the turn came to the first of its tier.
static void set_keys(struct victims *victims, const size_t *order, size_t from, size_t to, bool region)
{
    int64_t left = 0;
    int64_t at_tier = 0;
    for (size_t i = from; i < to; i++) {
        left += !victims->items[order[i]].unreachable;
    }
    for (size_t i = from; i < to; i++) {
        const struct place_victim *victim = &victims->items[order[i]];
        struct victim_keys *keys = &victims->keys[order[i]];
        at_tier = i == from || tier(victim) != tier(&victims->items[order[i - 1]]) ? left : at_tier;
        *(region ? &keys->region : &keys->node) = victims->pool->placement.pack ? at_tier : left;
        left -= !victim->unreachable;
    }
}

static void key_places(struct victims *victims, size_t n, size_t *order, bool region)
{
    qsort_r(order, n, sizeof(*order), region ? compare_in_region : compare_in_node, victims);
    for (size_t from = 0, to; from < n; from = to) {
        const char *place = place_of(&victims->items[order[from]], region);
        for (to = from; to < n && compare_text(place, place_of(&victims->items[order[to]], region)) == 0;) {
            to++;
        }
        set_keys(victims, order, from, to, region);
    }
}

void placement_victims(const struct place_victim *items, size_t n, const struct reeve_pool_spec *pool, size_t *order)
{
    struct victims victims = {.items = items,
                              .pool = pool,
                              .by_region = reeve_strv_has(&pool->placement.spread, "region"),
                              .by_node = reeve_strv_has(&pool->placement.spread, "node") || pool->placement.pack};
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
    }
    victims.keys = calloc(n, sizeof(*victims.keys));
    if (victims.keys != NULL) {
        key_places(&victims, n, order, false);
        key_places(&victims, n, order, true);
    }
    qsort_r(order, n, sizeof(*order), compare_all, &victims);
    free(victims.keys);
}
