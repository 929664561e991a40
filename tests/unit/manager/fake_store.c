// The documents of the store, in memory. `manager.store` may be NULL: there is one. See fake_manager.h.
// Must not: know transactions; fake_turn(committed = false) undoes nothing here.
#include "fake_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE (STORE_KEY_SIZE + 24)

static struct reeve_map *documents; // <collection number>/<key>
static size_t writes;
static enum reeve_err refusal;

static void drop(void *value)
{
    reeve_value_free(value);
}

void fake_store_reset(void)
{
    reeve_map_free(documents, drop);
    documents = NULL;
    writes = 0;
    refusal = REEVE_OK;
}

void fake_store_refuse(enum reeve_err err)
{
    refusal = err;
}

size_t fake_store_writes(void)
{
    return writes;
}

static const char *key_of(char buf[KEY_SIZE], enum store_collection collection, const char *key)
{
    (void)snprintf(buf, KEY_SIZE, "%d/%s", (int)collection, key); /* keys are bounded */
    return buf;
}

const struct reeve_value *fake_store_document(enum store_collection collection, const char *key)
{
    char full[KEY_SIZE];
    return documents != NULL ? reeve_map_get(documents, key_of(full, collection, key)) : NULL;
}

enum reeve_err store_put(struct store *store, enum store_collection collection, const char *key,
                         const struct reeve_value *value, struct reeve_why *why)
{
    char full[KEY_SIZE];
    void *old = NULL;
    (void)store;
    writes++;
    if (refusal != REEVE_OK) {
        return reeve_fail(why, refusal, "the test's disk refuses");
    }
    documents = documents != NULL ? documents : reeve_map_new(0);
    enum reeve_err err = reeve_map_put(documents, key_of(full, collection, key), reeve_value_clone(value), &old);
    reeve_value_free(old);
    return err;
}

enum reeve_err store_remove(struct store *store, enum store_collection collection, const char *key,
                            struct reeve_why *why)
{
    char full[KEY_SIZE];
    (void)store;
    writes++;
    if (refusal != REEVE_OK) {
        return reeve_fail(why, refusal, "the test's disk refuses");
    }
    if (documents != NULL) {
        reeve_value_free(reeve_map_remove(documents, key_of(full, collection, key)));
    }
    return REEVE_OK;
}

enum reeve_err store_get(struct store *store, enum store_collection collection, const char *key,
                         struct reeve_value **ret, struct reeve_why *why)
{
    const struct reeve_value *value = fake_store_document(collection, key);
    (void)store;
    if (value == NULL) {
        return reeve_fail(why, REEVE_NOENT, "no %s", key);
    }
    *ret = reeve_value_clone(value);
    return REEVE_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum reeve_err store_each(struct store *store, enum store_collection collection, const char *prefix,
                          void (*each)(const char *key, const struct reeve_value *value, void *arg), void *arg,
                          struct reeve_why *why)
{
    char begins[KEY_SIZE];
    (void)store;
    (void)why;
    if (documents == NULL) {
        return REEVE_OK;
    }
    const char **keys = calloc(reeve_map_len(documents) + 1, sizeof *keys);
    size_t len = 0;
    for (struct reeve_map_iter it = {0}; reeve_map_next(documents, &it);) {
        if (reeve_str_starts(it.key, key_of(begins, collection, prefix))) {
            keys[len++] = it.key;
        }
    }
    qsort(keys, len, sizeof *keys, by_key);
    for (size_t i = 0; i < len; i++) {
        each(strchr(keys[i], '/') + 1, reeve_map_get(documents, keys[i]), arg);
    }
    free(keys);
    return REEVE_OK;
}

bool store_dirty(const struct store *store)
{
    (void)store;
    return false;
}

enum reeve_err store_commit(struct store *store, struct reeve_why *why)
{
    (void)store;
    return refusal == REEVE_OK ? REEVE_OK : reeve_fail(why, refusal, "the test's disk refuses");
}

int64_t store_number(struct store *store, const char *key, int64_t fallback)
{
    char full[KEY_SIZE];
    (void)store;
    (void)snprintf(full, sizeof full, "number/%s", key); /* keys are bounded */
    return documents != NULL ? reeve_value_number(reeve_map_get(documents, full), fallback) : fallback;
}

enum reeve_err store_number_set(struct store *store, const char *key, int64_t value, struct reeve_why *why)
{
    char full[KEY_SIZE];
    void *old = NULL;
    (void)store;
    if (refusal != REEVE_OK) {
        return reeve_fail(why, refusal, "the test's disk refuses");
    }
    (void)snprintf(full, sizeof full, "number/%s", key); /* keys are bounded */
    documents = documents != NULL ? documents : reeve_map_new(0);
    enum reeve_err err = reeve_map_put(documents, full, reeve_value_int(value), &old);
    reeve_value_free(old);
    return err;
}
