// Specs from documents and files: the three forms, all documents of a stream, all mistakes of all of them.
// Must not: apply anything; a caller gets all specs of a file or none.
#include "spec_internal.h"

#include <reeve/codec.h>
#include <reeve/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loader {
    struct reeve_specs *specs;
    struct reeve_strv names; // of all specs so far, also of those with mistakes
    struct reeve_errors *errors;
    enum reeve_err err; // NOMEM, which is no mistake of the file
};

static void remember(struct loader *loader, enum reeve_err err)
{
    if (err == REEVE_NOMEM) {
        loader->err = err;
    }
}

static void check_name(struct loader *loader, const struct reeve_value *spec, const char *path)
{
    char buf[REEVE_PATH_SIZE];
    const struct reeve_value *name = reeve_value_get(spec, "name");
    if (reeve_value_kind(name) != REEVE_STR) {
        return;
    }
    const char *text = reeve_value_text(name);
    if (!reeve_strv_has(&loader->names, text)) {
        remember(loader, reeve_strv_add(&loader->names, text));
        return;
    }
    char quoted[80];
    reeve_errors_add(loader->errors, name, reeve_path_join(buf, path, "name"),
                     "%s is the name of another worker of this file", reeve_log_quote(text, quoted, sizeof(quoted)));
}

static enum reeve_err keep(struct reeve_specs *specs, struct reeve_spec *spec)
{
    struct reeve_spec *items = reallocarray(specs->items, specs->len + 1, sizeof(*items));
    if (items == NULL) {
        reeve_spec_done(spec);
        return REEVE_NOMEM;
    }
    specs->items = items;
    specs->items[specs->len++] = *spec;
    return REEVE_OK;
}

// The spec at `value` into the list; its config is then still open. NULL when it has mistakes.
static struct reeve_spec *load_spec(struct loader *loader, const struct reeve_value *value, const char *path)
{
    struct reeve_spec spec;
    if (loader->specs->len >= REEVE_SPECS_MAX) {
        reeve_errors_add(loader->errors, value, path, "is one too many, at most %d workers are allowed",
                         REEVE_SPECS_MAX);
        return NULL;
    }
    check_name(loader, value, path);
    enum reeve_err err = reeve_spec_decode(value, path, &spec, loader->errors);
    err = err == REEVE_OK ? keep(loader->specs, &spec) : err;
    remember(loader, err);
    return err == REEVE_OK ? &loader->specs->items[loader->specs->len - 1] : NULL;
}

static bool is_spec_key(const char *key)
{
    for (size_t i = 0; i < reeve_spec_record.fields_len; i++) {
        if (strcmp(reeve_spec_record.fields[i].name, key) == 0) {
            return true;
        }
    }
    return false;
}

// One top-level key beside `worker:` becomes a part of its config.
static void move_to_config(struct loader *loader, const struct reeve_value *document, size_t at,
                           struct reeve_spec *spec)
{
    const char *key = reeve_value_key(document, at);
    if (is_spec_key(key)) {
        reeve_errors_warn(loader->errors, reeve_value_at(document, at), key,
                          "stands beside worker and becomes a part of its config: indent it if the worker was meant");
    }
    if (spec == NULL) {
        return;
    }
    if (reeve_value_get(spec->config, key) != NULL) {
        reeve_errors_add_at(loader->errors, reeve_value_key_mark(document, at), key,
                            "is given here and in worker.config: keep one of them");
        return;
    }
    if (spec->config == NULL) {
        spec->config = reeve_value_map();
    }
    if (spec->config == NULL ||
        reeve_value_put(spec->config, key, reeve_value_clone(reeve_value_at(document, at))) != REEVE_OK) {
        loader->err = REEVE_NOMEM;
    }
}

static void load_wrapped(struct loader *loader, const struct reeve_value *document)
{
    struct reeve_spec *spec = load_spec(loader, reeve_value_get(document, "worker"), "worker");
    for (size_t i = 0; i < reeve_value_len(document) && loader->err == REEVE_OK; i++) {
        if (strcmp(reeve_value_key(document, i), "worker") != 0) {
            move_to_config(loader, document, i, spec);
        }
    }
}

static void load_list(struct loader *loader, const struct reeve_value *document)
{
    const struct reeve_value *list = reeve_value_get(document, "workers");
    for (size_t i = 0; i < reeve_value_len(document); i++) {
        const char *key = reeve_value_key(document, i);
        if (strcmp(key, "workers") != 0) {
            reeve_errors_add_at(
                loader->errors, reeve_value_key_mark(document, i), key,
                "stands beside workers, expected nothing else: what is for one worker goes into its config");
        }
    }
    if (reeve_value_kind(list) != REEVE_LIST) {
        reeve_errors_add(loader->errors, list, "workers", "%s given, expected a list of worker specs",
                         reeve_kind_text(reeve_value_kind(list)));
        return;
    }
    for (size_t i = 0; i < reeve_value_len(list) && loader->err == REEVE_OK; i++) {
        char path[40];
        (void)snprintf(path, sizeof(path), "workers[%zu]", i);
        (void)load_spec(loader, reeve_value_at(list, i), path); /* its mistakes are in loader->errors */
    }
}

static bool has_spec_key(const struct reeve_value *document)
{
    for (size_t i = 0; i < reeve_value_len(document); i++) {
        if (is_spec_key(reeve_value_key(document, i))) {
            return true;
        }
    }
    return false;
}

static void refuse_document(struct loader *loader, const struct reeve_value *document)
{
    static const char *const forms[] = {"worker", "workers", "command", "type", NULL};
    const char *key = reeve_value_len(document) > 0 ? reeve_value_key(document, 0) : NULL;
    const char *near = key != NULL ? reeve_near(key, forms) : NULL;
    if (near != NULL) {
        reeve_errors_add_at(loader->errors, reeve_value_key_mark(document, 0), key, "unknown key, did you mean %s?",
                            near);
        return;
    }
    reeve_errors_add(loader->errors, document, "",
                     "is no worker spec, expected a map with worker, workers, or at least command or type");
}

static void load_document(struct loader *loader, const struct reeve_value *document)
{
    bool map = reeve_value_kind(document) == REEVE_MAP;
    bool worker = map && reeve_value_get(document, "worker") != NULL;
    bool workers = map && reeve_value_get(document, "workers") != NULL;
    if (workers) {
        load_list(loader, document);
    } else if (worker) {
        load_wrapped(loader, document);
    } else if (map && has_spec_key(document)) {
        (void)load_spec(loader, document, ""); /* its mistakes are in loader->errors */
    } else {
        refuse_document(loader, document);
    }
}

static enum reeve_err loader_init(struct loader *loader, struct reeve_specs *specs, struct reeve_errors *errors)
{
    *loader = (struct loader){.specs = specs, .errors = errors};
    for (size_t i = 0; i < specs->len; i++) {
        if (specs->items[i].name != NULL) {
            remember(loader, reeve_strv_add(&loader->names, specs->items[i].name));
        }
    }
    return loader->err;
}

static void truncate_specs(struct reeve_specs *specs, size_t len)
{
    while (specs->len > len) {
        reeve_spec_done(&specs->items[--specs->len]);
    }
}

// Closes a load that began with `specs_before` specs and `errors_before` errors.
static enum reeve_err loader_result(struct loader *loader, size_t specs_before, size_t errors_before)
{
    reeve_strv_done(&loader->names);
    reeve_errors_sort(loader->errors);
    if (loader->err == REEVE_OK && loader->errors->errors == errors_before) {
        return REEVE_OK;
    }
    truncate_specs(loader->specs, specs_before);
    return loader->err != REEVE_OK ? loader->err : REEVE_INVALID;
}

enum reeve_err reeve_spec_load_value(const struct reeve_value *document, struct reeve_specs *specs,
                                     struct reeve_errors *errors)
{
    struct loader loader;
    size_t specs_before = specs->len;
    size_t errors_before = errors->errors;
    if (loader_init(&loader, specs, errors) == REEVE_OK) {
        load_document(&loader, document);
    }
    return loader_result(&loader, specs_before, errors_before);
}

enum reeve_err reeve_spec_load_file(const char *path, struct reeve_specs *ret, struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO documents = NULL;
    struct reeve_specs specs = {0};
    struct reeve_why why = {0};
    struct loader loader;
    reeve_errors_init(errors, strcmp(path, "-") == 0 ? "standard input" : path);
    enum reeve_err err = reeve_file_read_documents(path, &reeve_limits_file, &documents, &why);
    if (err != REEVE_OK) {
        reeve_errors_add_why(errors, &why);
        return err;
    }
    if (reeve_value_len(documents) == 0) {
        reeve_errors_add(errors, documents, "", "is empty, expected a worker spec");
    }
    if (loader_init(&loader, &specs, errors) == REEVE_OK) {
        for (size_t i = 0; i < reeve_value_len(documents); i++) {
            load_document(&loader, reeve_value_at(documents, i));
        }
    }
    err = loader_result(&loader, 0, 0);
    if (err != REEVE_OK) {
        reeve_specs_done(&specs);
        return err;
    }
    *ret = specs;
    return REEVE_OK;
}

void reeve_specs_done(struct reeve_specs *specs)
{
    truncate_specs(specs, 0);
    free(specs->items);
    *specs = (struct reeve_specs){0};
}
