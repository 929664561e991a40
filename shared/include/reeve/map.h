// A hash map from strings to pointers, bounded. Keys are copied; values are the caller's.
// Iteration is in order of insertion. Removing the entry the iterator stands on is allowed.
#ifndef REEVE_MAP_H
#define REEVE_MAP_H

#include <reeve/err.h>

struct reeve_map; // opaque

// `len_max` entries at most (0 = 1,048,576). NULL when out of memory.
struct reeve_map *reeve_map_new(size_t len_max);
// `drop` (NULL allowed) is called for each value left.
void reeve_map_free(struct reeve_map *map, void (*drop)(void *value));
size_t reeve_map_len(const struct reeve_map *map);
void *reeve_map_get(const struct reeve_map *map, const char *key); // NULL when absent
// Adds or replaces; the replaced value goes to *ret_old (NULL allowed). LIMIT when full.
enum reeve_err reeve_map_put(struct reeve_map *map, const char *key, void *value, void **ret_old);
void *reeve_map_remove(struct reeve_map *map, const char *key); // the value, NULL when absent

//   for (struct reeve_map_iter it = {0}; reeve_map_next(map, &it);) use(it.key, it.value);
struct reeve_map_iter {
    const char *key;
    void *value;
    size_t next;
};
bool reeve_map_next(const struct reeve_map *map, struct reeve_map_iter *iter);

#endif
