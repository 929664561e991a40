// On which node an account's worker goes: the nodes as the fleet knows them, counted once per tick.
// Must not: choose (placement.c does), or remember anything past the tick.
#include "account_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_MAX 4096

struct account_places {
    const struct fleet *fleet;
    struct place_node *nodes;
    size_t len;
};

static bool count_worker(const struct fleet_worker *worker, void *arg)
{
    struct account_places *places = arg;
    struct place_node *node = &places->nodes[places->len];
    const struct fleet_worker_info info = fleet_worker_info(places->fleet, worker);
    node->workers++;
    node->of_pool += info.account != NULL;
    node->cpus_reserved += info.cpu_limit;
    node->memory_reserved_bytes += info.memory_limit_bytes > 0 ? info.memory_limit_bytes : 0;
    return true;
}

static bool add_node(const struct fleet_node *node, void *arg)
{
    struct account_places *places = arg;
    if (places->len == PLACES_MAX) {
        return false;
    }
    const struct fleet_node_info info = fleet_node_info(places->fleet, node);
    places->nodes[places->len] = (struct place_node){.name = info.name,
                                                     .region = info.region,
                                                     .live = info.liveness == REEVE_LIVE,
                                                     .draining = info.draining,
                                                     .cpus = info.cpus,
                                                     .memory_bytes = info.memory_bytes,
                                                     .workers_max = info.workers_max,
                                                     .round_trip_ms = -1,
                                                     .attribute = fleet_node_attribute,
                                                     .thing = node};
    fleet_each_worker_of(places->fleet, info.name, count_worker, places);
    places->len++;
    return true;
}

static struct place_node *place_named(struct account_places *places, const char *name)
{
    for (size_t i = 0; i < places->len; i++) {
        if (strcmp(places->nodes[i].name, name) == 0) {
            return &places->nodes[i];
        }
    }
    return NULL;
}

static void count_on_the_way(struct place_node *node, const struct reeve_spec *spec)
{
    node->workers++;
    node->of_pool++;
    node->cpus_reserved += spec->cpu_limit;
    node->memory_reserved_bytes += spec->memory_limit_bytes;
}

static bool spec_of(const struct account_entry *entry, struct reeve_spec *ret)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return false;
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_account_spec(&entry->account, ret, errors);
    free(errors);
    return err == REEVE_OK;
}

// Accounts that were placed and that their node has not shown yet.
static void add_on_the_way(struct accounts *accounts, struct account_places *places)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        const struct account_entry *entry = it.value;
        struct place_node *node = entry->node[0] != '\0' ? place_named(places, entry->node) : NULL;
        struct reeve_spec spec;
        if (node != NULL && account_runs(entry) && fleet_worker(places->fleet, entry->node, entry->worker) == NULL &&
            spec_of(entry, &spec)) {
            count_on_the_way(node, &spec);
            reeve_spec_done(&spec);
        }
    }
}

static struct account_places *places_new(struct accounts *accounts)
{
    struct account_places *places = calloc(1, sizeof *places);
    if (places == NULL || (places->nodes = calloc(PLACES_MAX, sizeof *places->nodes)) == NULL) {
        free(places);
        return NULL;
    }
    places->fleet = accounts->manager->fleet;
    fleet_each_node(places->fleet, add_node, places);
    add_on_the_way(accounts, places);
    return places;
}

void account_places_free(struct account_places *places)
{
    if (places != NULL) {
        free(places->nodes);
        free(places);
    }
}

static const char *choose(struct account_places *places, const struct account_entry *entry, struct reeve_spec *spec,
                          char *why, size_t why_len)
{
    char *spread[] = {(char[]){"region"}, (char[]){"node"}, NULL};
    const struct reeve_pool_spec pool = {
        .name = (char[]){"accounts"},
        .template = *spec,
        .placement = {.require = entry->account.require, .spread = {.items = spread, .len = 2}}};
    const struct place_request request = {.pool = &pool};
    struct place_score *scores = calloc(places->len + 1, sizeof *scores);
    struct place_node *refusing = entry->refused_by[0] != '\0' ? place_named(places, entry->refused_by) : NULL;
    if (scores == NULL) {
        (void)snprintf(why, why_len, "out of memory");
        return "";
    }
    if (refusing != NULL) {
        refusing->excluded = true;
        refusing->excluded_reason = "refused it";
    }
    ptrdiff_t chosen = placement_choose(places->nodes, places->len, &request, scores);
    if (chosen < 0) {
        char line[ACCOUNT_ERROR_SIZE];
        (void)snprintf(why, why_len, "no node for it: %s",
                       places->len == 0 ? "none is there"
                                        : placement_explain(places->nodes, scores, places->len, line, sizeof line));
    } else {
        count_on_the_way(&places->nodes[chosen], spec);
    }
    if (refusing != NULL) {
        refusing->excluded = false;
    }
    free(scores);
    return chosen < 0 ? "" : places->nodes[chosen].name;
}

const char *account_place(struct accounts *accounts, struct account_places **places, const struct account_entry *entry,
                          char *why, size_t why_len)
{
    struct reeve_spec spec;
    if (*places == NULL && (*places = places_new(accounts)) == NULL) {
        (void)snprintf(why, why_len, "out of memory");
        return "";
    }
    if (!spec_of(entry, &spec)) {
        (void)snprintf(why, why_len, "out of memory");
        return "";
    }
    const char *node = choose(*places, entry, &spec, why, why_len);
    reeve_spec_done(&spec);
    return node;
}
