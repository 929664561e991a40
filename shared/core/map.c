// The string map: entries in order of insertion, and an open-addressed index of their positions (linear probing).
// A removed entry leaves its key NULL until the next rebuild, which only put() does: so removing never moves
// an entry under an iterator. Must not: move entries anywhere else, call back except from reeve_map_free().
#include <reeve/map.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/id.h>

#include "siphash.h"

#define LEN_MAX_DEFAULT ((size_t)1024 * 1024)
#define LEN_MAX_HIGHEST ((size_t)1 << 28) // positions are 32 bits, and the index is at most 8 times as long
#define SLOTS_FIRST     16

struct entry {
    char *key; // NULL: removed
    void *value;
    uint64_t hash;
};

// Invariants: len <= entries_used <= slots_len / 2; each position below entries_used is in exactly one slot.
struct reeve_map {
    struct entry *entries; // slots_len / 2 of them
    uint32_t *slots;       // position in entries + 1, 0 = free
    size_t entries_used;
    size_t slots_len; // a power of two
    size_t len;
    size_t len_max;
    uint64_t hash_key[2]; // of this map alone: keys come from the network
};

static bool allocate(struct reeve_map *map, size_t slots_len)
{
    struct entry *entries = malloc(slots_len / 2 * sizeof *entries);
    uint32_t *slots = calloc(slots_len, sizeof *slots);
    if (entries == NULL || slots == NULL) {
        free(entries);
        free(slots);
        return false;
    }
    map->entries = entries;
    map->slots = slots;
    map->slots_len = slots_len;
    map->entries_used = 0;
    return true;
}

struct reeve_map *reeve_map_new(size_t len_max)
{
    struct reeve_map *map = calloc(1, sizeof *map);
    if (map == NULL) {
        return NULL;
    }
    if (!allocate(map, SLOTS_FIRST)) {
        free(map);
        return NULL;
    }
    size_t wanted = len_max == 0 ? LEN_MAX_DEFAULT : len_max;
    map->len_max = wanted < LEN_MAX_HIGHEST ? wanted : LEN_MAX_HIGHEST;
    reeve_random_bytes(map->hash_key, sizeof map->hash_key);
    return map;
}

void reeve_map_free(struct reeve_map *map, void (*drop)(void *value))
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->entries_used; i++) {
        if (map->entries[i].key != NULL && drop != NULL) {
            drop(map->entries[i].value);
        }
        free(map->entries[i].key);
    }
    free(map->entries);
    free(map->slots);
    free(map);
}

size_t reeve_map_len(const struct reeve_map *map)
{
    return map->len;
}

static struct entry *find(const struct reeve_map *map, const char *key, uint64_t hash)
{
    size_t mask = map->slots_len - 1;
    for (size_t i = hash & mask; map->slots[i] != 0; i = (i + 1) & mask) {
        struct entry *entry = &map->entries[map->slots[i] - 1];
        if (entry->key != NULL && entry->hash == hash && strcmp(entry->key, key) == 0) {
            return entry;
        }
    }
    return NULL;
}

static uint64_t hash_of(const struct reeve_map *map, const char *key)
{
    return reeve_siphash(map->hash_key, key, strlen(key));
}

void *reeve_map_get(const struct reeve_map *map, const char *key)
{
    const struct entry *entry = find(map, key, hash_of(map, key));
    return entry == NULL ? NULL : entry->value;
}

static void insert(struct reeve_map *map, struct entry entry)
{
    size_t mask = map->slots_len - 1;
    size_t i = entry.hash & mask;
    while (map->slots[i] != 0) {
        i = (i + 1) & mask;
    }
    map->entries[map->entries_used++] = entry;
    map->slots[i] = (uint32_t)map->entries_used;
}

// Drop removed entries and make room for as many again as there are. On failure nothing has changed.
static bool rebuild(struct reeve_map *map)
{
    size_t slots_len = SLOTS_FIRST;
    while (slots_len / 2 < 2 * map->len) {
        slots_len *= 2;
    }
    struct reeve_map old = *map;
    if (!allocate(map, slots_len)) {
        return false;
    }
    for (size_t i = 0; i < old.entries_used; i++) {
        if (old.entries[i].key != NULL) {
            insert(map, old.entries[i]);
        }
    }
    free(old.entries);
    free(old.slots);
    return true;
}

static enum reeve_err add(struct reeve_map *map, const char *key, uint64_t hash, void *value)
{
    if (map->len >= map->len_max) {
        return REEVE_LIMIT;
    }
    char *copy = strdup(key);
    if (copy == NULL) {
        return REEVE_NOMEM;
    }
    if (map->entries_used == map->slots_len / 2 && !rebuild(map)) {
        free(copy);
        return REEVE_NOMEM;
    }
    insert(map, (struct entry){.key = copy, .value = value, .hash = hash});
    map->len++;
    return REEVE_OK;
}

enum reeve_err reeve_map_put(struct reeve_map *map, const char *key, void *value, void **ret_old)
{
    void *old = NULL;
    uint64_t hash = hash_of(map, key);
    struct entry *entry = find(map, key, hash);
    if (entry != NULL) {
        old = entry->value;
        entry->value = value;
    } else {
        enum reeve_err err = add(map, key, hash, value);
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (ret_old != NULL) {
        *ret_old = old;
    }
    return REEVE_OK;
}

void *reeve_map_remove(struct reeve_map *map, const char *key)
{
    struct entry *entry = find(map, key, hash_of(map, key));
    if (entry == NULL) {
        return NULL;
    }
    free(entry->key);
    entry->key = NULL;
    map->len--;
    return entry->value;
}

bool reeve_map_next(const struct reeve_map *map, struct reeve_map_iter *iter)
{
    for (; iter->next < map->entries_used; iter->next++) {
        const struct entry *entry = &map->entries[iter->next];
        if (entry->key != NULL) {
            iter->key = entry->key;
            iter->value = entry->value;
            iter->next++;
            return true;
        }
    }
    return false;
}
