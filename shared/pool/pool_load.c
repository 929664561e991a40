// Pools from documents and files: the three forms, all documents of a stream, all mistakes of all of them.
// Must not: apply anything; a caller gets all pools of a file or none.
#include "pool_internal.h"

#include <reeve/codec.h>
#include <reeve/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loader {
    struct reeve_pools *pools;
    struct reeve_strv names; // of all pools so far, also of those with mistakes
    struct reeve_errors *errors;
    bool names_needed;
    enum reeve_err err; // NOMEM, which is no mistake of the file
};

static void remember(struct loader *loader, enum reeve_err err)
{
    if (err == REEVE_NOMEM) {
        loader->err = err;
    }
}

static void check_name(struct loader *loader, const struct reeve_value *pool, const char *path)
{
    char buf[REEVE_PATH_SIZE];
    char quoted[80];
    const struct reeve_value *name = reeve_value_get(pool, "name");
    if (reeve_value_kind(pool) == REEVE_MAP && reeve_value_kind(name) == REEVE_NULL && loader->names_needed) {
        reeve_errors_add(loader->errors, pool, reeve_path_join(buf, path, "name"),
                         "is missing, expected a name of a-z 0-9 _ -");
    }
    if (reeve_value_kind(name) != REEVE_STR) {
        return;
    }
    const char *text = reeve_value_text(name);
    if (!reeve_strv_has(&loader->names, text)) {
        remember(loader, reeve_strv_add(&loader->names, text));
        return;
    }
    reeve_errors_add(loader->errors, name, reeve_path_join(buf, path, "name"),
                     "%s is the name of another pool of this file", reeve_log_quote(text, quoted, sizeof(quoted)));
}

static enum reeve_err keep(struct reeve_pools *pools, struct reeve_pool_spec *pool)
{
    struct reeve_pool_spec *items = reallocarray(pools->items, pools->len + 1, sizeof(*items));
    if (items == NULL) {
        reeve_pool_done(pool);
        return REEVE_NOMEM;
    }
    pools->items = items;
    pools->items[pools->len++] = *pool;
    return REEVE_OK;
}

static void load_pool(struct loader *loader, const struct reeve_value *value, const char *path)
{
    struct reeve_pool_spec pool;
    if (loader->pools->len >= REEVE_POOLS_MAX) {
        reeve_errors_add(loader->errors, value, path, "is one too many, at most %d pools are allowed", REEVE_POOLS_MAX);
        return;
    }
    check_name(loader, value, path);
    enum reeve_err err = reeve_pool_decode(value, path, &pool, loader->errors);
    remember(loader, err == REEVE_OK ? keep(loader->pools, &pool) : err);
}

// `key` holds all that there is in this document.
static void check_alone(struct loader *loader, const struct reeve_value *document, const char *key)
{
    for (size_t i = 0; i < reeve_value_len(document); i++) {
        const char *other = reeve_value_key(document, i);
        if (strcmp(other, key) != 0) {
            reeve_errors_add_at(loader->errors, reeve_value_key_mark(document, i), other,
                                "stands beside %s, expected nothing else: indent it if it is a part of it", key);
        }
    }
}

static void load_list(struct loader *loader, const struct reeve_value *list)
{
    if (reeve_value_kind(list) != REEVE_LIST) {
        reeve_errors_add(loader->errors, list, "pools", "%s given, expected a list of pool specs",
                         reeve_kind_text(reeve_value_kind(list)));
        return;
    }
    for (size_t i = 0; i < reeve_value_len(list) && loader->err == REEVE_OK; i++) {
        char path[40];
        (void)snprintf(path, sizeof(path), "pools[%zu]", i);
        load_pool(loader, reeve_value_at(list, i), path);
    }
}

static bool has_pool_key(const struct reeve_value *document)
{
    for (size_t i = 0; i < reeve_pool_record.fields_len; i++) {
        if (reeve_value_get(document, reeve_pool_record.fields[i].name) != NULL) {
            return true;
        }
    }
    return false;
}

static void refuse_document(struct loader *loader, const struct reeve_value *document)
{
    static const char *const forms[] = {"pool", "pools", "template", NULL};
    const char *key = reeve_value_len(document) > 0 ? reeve_value_key(document, 0) : NULL;
    const char *near = key != NULL ? reeve_near(key, forms) : NULL;
    if (near != NULL) {
        reeve_errors_add_at(loader->errors, reeve_value_key_mark(document, 0), key, "unknown key, did you mean %s?",
                            near);
        return;
    }
    reeve_errors_add(loader->errors, document, "",
                     "is no pool spec, expected a map with pool, pools, or at least template and size");
}

static void load_document(struct loader *loader, const struct reeve_value *document)
{
    bool map = reeve_value_kind(document) == REEVE_MAP;
    if (map && reeve_value_get(document, "pools") != NULL) {
        check_alone(loader, document, "pools");
        load_list(loader, reeve_value_get(document, "pools"));
    } else if (map && reeve_value_get(document, "pool") != NULL) {
        check_alone(loader, document, "pool");
        load_pool(loader, reeve_value_get(document, "pool"), "pool");
    } else if (map && has_pool_key(document)) {
        load_pool(loader, document, "");
    } else {
        refuse_document(loader, document);
    }
}

static enum reeve_err loader_init(struct loader *loader, struct reeve_pools *pools, bool names_needed,
                                  struct reeve_errors *errors)
{
    *loader = (struct loader){.pools = pools, .errors = errors, .names_needed = names_needed};
    for (size_t i = 0; i < pools->len; i++) {
        if (pools->items[i].name != NULL) {
            remember(loader, reeve_strv_add(&loader->names, pools->items[i].name));
        }
    }
    return loader->err;
}

static void truncate_pools(struct reeve_pools *pools, size_t len)
{
    while (pools->len > len) {
        reeve_pool_done(&pools->items[--pools->len]);
    }
}

// Closes a load that began with `pools_before` pools and `errors_before` errors.
static enum reeve_err loader_result(struct loader *loader, size_t pools_before, size_t errors_before)
{
    reeve_strv_done(&loader->names);
    reeve_errors_sort(loader->errors);
    if (loader->err == REEVE_OK && loader->errors->errors == errors_before) {
        return REEVE_OK;
    }
    truncate_pools(loader->pools, pools_before);
    return loader->err != REEVE_OK ? loader->err : REEVE_INVALID;
}

enum reeve_err reeve_pool_load_value(const struct reeve_value *document, struct reeve_pools *pools,
                                     struct reeve_errors *errors)
{
    struct loader loader;
    size_t pools_before = pools->len;
    size_t errors_before = errors->errors;
    if (loader_init(&loader, pools, false, errors) == REEVE_OK) {
        load_document(&loader, document);
    }
    return loader_result(&loader, pools_before, errors_before);
}

enum reeve_err reeve_pool_load_file(const char *path, struct reeve_pools *ret, struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO documents = NULL;
    struct reeve_pools pools = {0};
    struct reeve_why why = {0};
    struct loader loader;
    reeve_errors_init(errors, strcmp(path, "-") == 0 ? "standard input" : path);
    enum reeve_err err = reeve_file_read_documents(path, &reeve_limits_file, &documents, &why);
    if (err != REEVE_OK) {
        reeve_errors_add_why(errors, &why);
        return err;
    }
    if (reeve_value_len(documents) == 0) {
        reeve_errors_add(errors, documents, "", "is empty, expected a pool spec");
    }
    if (loader_init(&loader, &pools, true, errors) == REEVE_OK) {
        for (size_t i = 0; i < reeve_value_len(documents); i++) {
            load_document(&loader, reeve_value_at(documents, i));
        }
    }
    err = loader_result(&loader, 0, 0);
    if (err != REEVE_OK) {
        reeve_pools_done(&pools);
        return err;
    }
    *ret = pools;
    return REEVE_OK;
}

void reeve_pools_done(struct reeve_pools *pools)
{
    truncate_pools(pools, 0);
    free(pools->items);
    *pools = (struct reeve_pools){0};
}
