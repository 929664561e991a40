// Specs of queues; see queue_args.h.
// Must not: know the fields of a spec; reeve_queue_spec_record does.
#include "queue_args.h"

#include <reeve/codec.h>
#include <reeve/job.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum option_id id;
    const char *key;
} keys[] = {{OPT_DURABILITY, "durability"},   {OPT_CONCURRENCY, "concurrency"},
            {OPT_MAX_PER_KEY, "max_per_key"}, {OPT_RATE, "rate"},
            {OPT_ATTEMPTS, "attempts"},       {OPT_JOB_TIMEOUT, "timeout"}};

void queue_items_done(struct queue_items *items)
{
    for (size_t i = 0; i < items->len; i++) {
        reeve_value_free(items->items[i].spec);
    }
    free(items->items);
    *items = (struct queue_items){0};
}

// ---- options --------------------------------------------------------------------------------------------------------

// "100/1s", "0".
static enum reeve_err put_rate(const char *text, struct reeve_value *ret, struct reeve_why *why)
{
    const char *slash = strchr(text, '/');
    char count[24];
    int64_t number;
    struct reeve_value *rate = reeve_value_map();
    (void)snprintf(count, sizeof count, "%.*s", (int)(slash != NULL ? slash - text : (long)strlen(text)), text);
    bool good = reeve_parse_i64(count, &number, NULL) == REEVE_OK && (slash != NULL || number == 0);
    reeve_put_int(rate, "count", good ? number : 0);
    reeve_put_str_opt(rate, "per", good && slash != NULL ? slash + 1 : NULL);
    (void)reeve_value_put(ret, "rate", rate); /* remembered: reeve_value_built() */
    return good ? REEVE_OK
                : reeve_fail(why, REEVE_INVALID, "--rate: '%.40s' given, expected N/DURATION such as 100/1s, or 0",
                             text);
}

static enum reeve_err put_options(const struct invocation *inv, struct reeve_value *ret, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(keys); i++) {
        const char *text = opt_value(inv, keys[i].id);
        if (text != NULL && keys[i].id == OPT_RATE) {
            err = put_rate(text, ret, why);
        } else if (text != NULL) {
            reeve_put_str(ret, keys[i].key, text); // numbers are read from text, too
        }
    }
    return err == REEVE_OK && reeve_value_built(ret) != REEVE_OK ? reeve_fail(why, REEVE_NOMEM, "out of memory") : err;
}

// The mistake of the field, in the words of who typed an option.
static enum reeve_err blame_option(const struct reeve_errors *errors, struct reeve_why *why)
{
    const struct reeve_error *error = &errors->items[0];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        size_t len = strlen(keys[i].key);
        if (strncmp(error->path, keys[i].key, len) == 0 && (error->path[len] == '\0' || error->path[len] == '.')) {
            return reeve_fail(why, REEVE_INVALID, "--%s: %s", option_table[keys[i].id].name, error->text);
        }
    }
    return reeve_fail_at(why, REEVE_INVALID, error->path, "%s", error->text);
}

// Checked, and without presets and the name, which the topic says. Takes nothing.
static enum reeve_err settle(const struct reeve_value *value, struct reeve_errors *errors, struct reeve_value **ret)
{
    struct reeve_queue_spec spec;
    enum reeve_err err = reeve_record_decode(&reeve_queue_spec_record, value, "", &spec, errors);
    if (err == REEVE_OK) {
        err = reeve_record_encode(&reeve_queue_spec_record, &spec, REEVE_ENCODE_SKIP_PRESETS, ret);
        reeve_record_done(&reeve_queue_spec_record, &spec);
    }
    return err;
}

enum reeve_err queue_args_options(const struct invocation *inv, struct reeve_value *ret, struct reeve_why *why)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    REEVE_VALUE_AUTO checked = NULL;
    if (errors == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = put_options(inv, ret, why);
    if (err == REEVE_OK) {
        reeve_errors_init(errors, NULL);
        err = settle(ret, errors, &checked);
        err = err == REEVE_INVALID ? blame_option(errors, why) : err;
    }
    free(errors);
    return err;
}

// ---- one
// --------------------------------------------------------------------------------------------------------------

// Takes `spec`.
static enum reeve_err add_item(struct queue_items *items, const char *name, struct reeve_value *spec)
{
    struct queue_item *more = reallocarray(items->items, items->len + 1, sizeof *more);
    if (more == NULL || spec == NULL) {
        items->items = more != NULL ? more : items->items;
        reeve_value_free(spec);
        return REEVE_NOMEM;
    }
    items->items = more;
    struct queue_item *item = &items->items[items->len++];
    (void)snprintf(item->name, sizeof item->name, "%s", name);
    item->spec = spec;
    (void)reeve_value_remove(spec, "name"); /* the topic says it */
    return REEVE_OK;
}

static void merge(struct reeve_value *value, const struct reeve_value *options)
{
    for (size_t i = 0; i < reeve_value_len(options); i++) {
        (void)reeve_value_put(value, reeve_value_key(options, i),
                              reeve_value_clone(reeve_value_at(options, i))); /* remembered: reeve_value_built() */
    }
}

enum reeve_err queue_args_one(const struct invocation *inv, const char *name, const struct reeve_value *spec,
                              struct queue_items *ret, struct reeve_why *why)
{
    REEVE_VALUE_AUTO options = reeve_value_map();
    REEVE_VALUE_AUTO value = spec != NULL ? reeve_value_clone(spec) : reeve_value_map();
    struct reeve_value *settled = NULL;
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = queue_args_options(inv, options, why);
    if (err == REEVE_OK) {
        merge(value, options);
        reeve_errors_init(errors, NULL);
        err = settle(value, errors, &settled);
        err = err == REEVE_INVALID ? blame_option(errors, why) : err;
    }
    free(errors);
    return err == REEVE_OK ? add_item(ret, name, settled) : err;
}

// ---- files
// ------------------------------------------------------------------------------------------------------------

struct loader {
    const struct invocation *inv;
    struct reeve_value *options;
    struct queue_items *items;
    struct reeve_errors *errors; // of this file
    enum reeve_err err;          // NOMEM, which is no mistake of the file
};

static bool is_known(const struct loader *loader, const char *name)
{
    for (size_t i = 0; i < loader->items->len; i++) {
        if (strcmp(loader->items->items[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

// The name that is meant; NULL with a mistake.
static const char *name_of(struct loader *loader, const struct reeve_value *value, const char *path)
{
    char buf[REEVE_PATH_SIZE];
    const struct reeve_value *given = reeve_value_get(value, "name");
    const char *name = reeve_value_text(given);
    const char *wanted = loader->inv->args_len > 0 ? loader->inv->args[0] : NULL;
    (void)reeve_path_join(buf, path, "name");
    if (name == NULL && reeve_value_kind(given) != REEVE_NULL) {
        return NULL; // what it is instead has been told
    }
    if (name == NULL && wanted == NULL) {
        reeve_errors_add(loader->errors, value, buf, "is missing, expected a name of a-z 0-9 _ -");
        return NULL;
    }
    if (name != NULL && wanted != NULL && strcmp(name, wanted) != 0) {
        reeve_errors_add(loader->errors, given, buf, "is %.70s, but %.70s was asked for", name, wanted);
        return NULL;
    }
    name = name != NULL ? name : wanted;
    if (is_known(loader, name)) {
        reeve_errors_add(loader->errors, given != NULL ? given : value, buf, "%.70s is the name of another queue here",
                         name);
        return NULL;
    }
    return name;
}

static void load_queue(struct loader *loader, const struct reeve_value *value, const char *path)
{
    struct reeve_queue_spec spec;
    struct reeve_value *encoded = NULL;
    size_t errors_before = loader->errors->errors;
    REEVE_VALUE_AUTO merged = reeve_value_clone(value);
    if (reeve_value_kind(value) != REEVE_MAP) {
        reeve_errors_add(loader->errors, value, path, "%s given, expected the spec of a queue",
                         reeve_kind_text(reeve_value_kind(value)));
        return;
    }
    merge(merged, loader->options);
    (void)reeve_value_remove(merged, "kind"); /* said what this document is */
    enum reeve_err err = reeve_record_decode(&reeve_queue_spec_record, merged, path, &spec, loader->errors);
    const char *name = name_of(loader, value, path);
    if (err == REEVE_OK) {
        err = reeve_record_encode(&reeve_queue_spec_record, &spec, REEVE_ENCODE_SKIP_PRESETS, &encoded);
        reeve_record_done(&reeve_queue_spec_record, &spec);
    }
    if (err == REEVE_OK && name != NULL && loader->errors->errors == errors_before) {
        err = add_item(loader->items, name, encoded);
    } else {
        reeve_value_free(encoded);
    }
    loader->err = err == REEVE_NOMEM ? err : loader->err;
}

static void check_alone(struct loader *loader, const struct reeve_value *document, const char *key)
{
    for (size_t i = 0; i < reeve_value_len(document); i++) {
        const char *other = reeve_value_key(document, i);
        if (strcmp(other, key) != 0 && strcmp(other, "kind") != 0) {
            reeve_errors_add_at(loader->errors, reeve_value_key_mark(document, i), other,
                                "stands beside %s, expected nothing else: indent it if it is a part of it", key);
        }
    }
}

static void load_list(struct loader *loader, const struct reeve_value *list)
{
    if (reeve_value_kind(list) != REEVE_LIST) {
        reeve_errors_add(loader->errors, list, "queues", "%s given, expected a list of queues",
                         reeve_kind_text(reeve_value_kind(list)));
        return;
    }
    for (size_t i = 0; i < reeve_value_len(list) && loader->err == REEVE_OK; i++) {
        char path[40];
        (void)snprintf(path, sizeof path, "queues[%zu]", i);
        if (loader->items->len == QUEUES_MAX) {
            reeve_errors_add(loader->errors, reeve_value_at(list, i), path,
                             "is one too many, at most %d queues at a time", QUEUES_MAX);
            return;
        }
        load_queue(loader, reeve_value_at(list, i), path);
    }
}

static void load_document(struct loader *loader, const struct reeve_value *document)
{
    const struct reeve_value *kind = reeve_value_get(document, "kind");
    const char *kind_text = reeve_value_text(kind);
    if (kind != NULL && (kind_text == NULL || strcmp(kind_text, "queue") != 0)) {
        reeve_errors_add(loader->errors, kind, "kind", "is %.40s, expected queue",
                         kind_text != NULL ? kind_text : "no text");
    } else if (reeve_value_get(document, "queues") != NULL) {
        check_alone(loader, document, "queues");
        load_list(loader, reeve_value_get(document, "queues"));
    } else if (reeve_value_get(document, "queue") != NULL) {
        check_alone(loader, document, "queue");
        load_queue(loader, reeve_value_get(document, "queue"), "queue");
    } else if (reeve_value_kind(document) == REEVE_MAP) {
        load_queue(loader, document, "");
    } else {
        reeve_errors_add(loader->errors, document, "",
                         "is no queue, expected a map with queue, queues, or the keys of a spec");
    }
}

static void load_file(struct loader *loader, const char *path)
{
    REEVE_VALUE_AUTO documents = NULL;
    struct reeve_why why = {0};
    reeve_errors_init(loader->errors, strcmp(path, "-") == 0 ? "standard input" : path);
    enum reeve_err err = reeve_file_read_documents(path, &reeve_limits_file, &documents, &why);
    if (err != REEVE_OK) {
        reeve_errors_add_why(loader->errors, &why);
        return;
    }
    if (reeve_value_len(documents) == 0) {
        reeve_errors_add(loader->errors, documents, "", "is empty, expected the spec of a queue");
    }
    for (size_t i = 0; i < reeve_value_len(documents) && loader->err == REEVE_OK; i++) {
        load_document(loader, reeve_value_at(documents, i));
    }
}

static enum reeve_err load_files(struct loader *loader, struct mistakes *mistakes, struct reeve_why *why)
{
    const char *path;
    for (size_t at = 0; loader->err == REEVE_OK && (path = opt_next(loader->inv, OPT_FILE, &at)) != NULL;) {
        load_file(loader, path);
        mistakes_take(mistakes, loader->errors);
    }
    if (loader->err != REEVE_OK) {
        return reeve_fail(why, loader->err, "out of memory");
    }
    return mistakes->errors == 0 ? REEVE_OK
                                 : reeve_fail(why, REEVE_INVALID, "%zu mistake%s; nothing was applied",
                                              mistakes->errors, mistakes->errors == 1 ? "" : "s");
}

enum reeve_err queue_args_files(const struct invocation *inv, struct mistakes *mistakes, struct queue_items *ret,
                                struct reeve_why *why)
{
    struct loader loader = {
        .inv = inv, .options = reeve_value_map(), .items = ret, .errors = malloc(sizeof *loader.errors)};
    if (loader.errors == NULL) {
        reeve_value_free(loader.options);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = queue_args_options(inv, loader.options, why);
    if (err == REEVE_OK) {
        err = load_files(&loader, mistakes, why);
    }
    reeve_value_free(loader.options);
    free(loader.errors);
    return err;
}
