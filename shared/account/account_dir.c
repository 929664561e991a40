// A directory of accounts: defaults, rules, then every file by itself, so that one that is wrong says so and the others
// go on. Must not: print what stands in a line that may hold a secret, or keep a file open.
#include "account_internal.h"

#include <reeve/codec.h>
#include <reeve/file.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const endings[] = {".yaml", ".yml", ".json"};
static const char *const defaults_names[] = {"defaults.yaml", "defaults.yml", "defaults.json"};
static const char *const rules_names[] = {"rules.yaml", "rules.yml", "rules.json"};

struct loader {
    struct reeve_account_dir *dir;
    const char *defaults_name;           // static; NULL = there is none
    struct reeve_value *defaults;        // what accounts leave out, without `watch`; NULL = none
    struct reeve_value *defaults_places; // the same with the marks of its file
    struct reeve_account_rules *rules;
};

// ---- reading one file -----------------------------------------------------------------------------------------------

// Whether a name of a secret stands in the first `lines` lines of the file: what a reader says of those could repeat
// one.
static bool names_secret(const char *path, unsigned lines)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(reeve_limits_file.bytes_max);
    unsigned line = 1;
    if (reeve_file_read(path, reeve_limits_file.bytes_max, &text, NULL) != REEVE_OK || text.len == 0) {
        return true;
    }
    for (char *word = text.data, *end = text.data + text.len; word < end && line <= lines;) {
        size_t len = strcspn(word, " \t\r\n:{},\"'=");
        char after = word[len];
        word[len] = '\0';
        if (account_path_secret(word)) {
            return true;
        }
        line += after == '\n';
        word += len + 1;
    }
    return false;
}

// Readers repeat text of the file in quotes (a key that is there twice), or after "near" (jansson).
static void cut_quotes(char *text)
{
    char *near = strstr(text, " near ");
    if (near != NULL) {
        *near = '\0';
    }
    char *first = strchr(text, '"');
    char *last = strrchr(text, '"');
    if (first != NULL && last > first + 1) {
        size_t stars = (size_t)(last - first - 1) < 3 ? (size_t)(last - first - 1) : 3;
        memset(first + 1, '*', stars);
        memmove(first + 1 + stars, last, strlen(last) + 1);
    }
}

static void add_unreadable(struct reeve_errors *errors, const char *path, const struct reeve_why *why)
{
    size_t at = errors->len;
    reeve_errors_add_why(errors, why);
    if (at < errors->len && errors->items[at].mark.line > 0 && names_secret(path, errors->items[at].mark.line)) {
        cut_quotes(errors->items[at].text);
    }
}

// One document, a map.
static enum reeve_err read_map(const char *path, struct reeve_value **ret, struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO documents = NULL;
    struct reeve_why why = {0};
    enum reeve_err err = reeve_file_read_documents(path, &reeve_limits_file, &documents, &why);
    if (err != REEVE_OK) {
        add_unreadable(errors, path, &why);
        return err;
    }
    const struct reeve_value *first = reeve_value_at(documents, 0);
    if (reeve_value_len(documents) > 1) {
        reeve_errors_add(errors, reeve_value_at(documents, 1), "",
                         "is a second document, expected one account in a file");
        return REEVE_INVALID;
    }
    if (reeve_value_kind(first) != REEVE_MAP) {
        reeve_errors_add(errors, first, "", first == NULL ? "is empty, expected a map of keys" : "is no map of keys");
        return REEVE_INVALID;
    }
    *ret = reeve_value_clone(first);
    return *ret != NULL ? REEVE_OK : REEVE_NOMEM;
}

// ---- defaults -------------------------------------------------------------------------------------------------------

static void clear_marks(struct reeve_value *value)
{
    reeve_value_set_mark(value, (struct reeve_mark){0});
    bool map = reeve_value_kind(value) == REEVE_MAP;
    for (size_t i = 0; (map || reeve_value_kind(value) == REEVE_LIST) && i < reeve_value_len(value); i++) {
        clear_marks((struct reeve_value *)reeve_value_at(value, i)); // ours, of a clone
    }
}

// What `over` leaves out comes from `under`; maps are merged, everything else is one thing.
static enum reeve_err merge(struct reeve_value *over, const struct reeve_value *under)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(under); i++) {
        const char *key = reeve_value_key(under, i);
        const struct reeve_value *item = reeve_value_at(under, i);
        struct reeve_value *said = reeve_value_get_mut(over, key);
        if (reeve_value_kind(said) == REEVE_NULL) {
            err = reeve_value_put(over, key, reeve_value_clone(item));
        } else if (reeve_value_kind(said) == REEVE_MAP && reeve_value_kind(item) == REEVE_MAP) {
            err = merge(said, item);
        }
    }
    return err;
}

// The value at a path such as currencies[2].symbol, or the nearest there is above it; NULL when not even its first name
// is there.
static const struct reeve_value *nearest(const struct reeve_value *root, const char *path)
{
    const struct reeve_value *value = root;
    while (*path != '\0') {
        char name[REEVE_PATH_SIZE];
        size_t len = strcspn(path, ".[]");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, path);
        const struct reeve_value *item = reeve_value_kind(value) == REEVE_LIST
                                             ? reeve_value_at(value, (size_t)strtoul(name, NULL, 10))
                                             : reeve_value_get(value, name);
        if (item == NULL) {
            break;
        }
        value = item;
        path += len;
        path += strspn(path, ".[]");
    }
    return value == root ? NULL : value;
}

// An error without a place is about something that stands in the defaults: it gets that place, in words.
static void place_in_defaults(const struct loader *loader, struct reeve_errors *errors)
{
    for (size_t i = 0; i < errors->len; i++) {
        struct reeve_error *error = &errors->items[i];
        const struct reeve_value *value =
            error->mark.line == 0 && error->path[0] != '\0' ? nearest(loader->defaults_places, error->path) : NULL;
        struct reeve_mark mark = reeve_value_mark(value);
        if (mark.line > 0) {
            size_t len = strlen(error->text);
            (void)snprintf(error->text + len, sizeof error->text - len, " (%s:%u:%u)", loader->defaults_name, mark.line,
                           mark.col);
        }
    }
}

// The one of `names` that is there; two are a mistake.
static enum reeve_err choose_file(const struct loader *loader, const struct reeve_strv *present,
                                  const char *const names[3], const char **ret, struct reeve_errors *errors)
{
    (void)loader;
    *ret = NULL;
    for (size_t i = 0; i < 3; i++) {
        if (!reeve_strv_has(present, names[i])) {
            continue;
        }
        if (*ret != NULL) {
            reeve_errors_add(errors, NULL, "", "%s and %s are both there: keep one of them", *ret, names[i]);
            return REEVE_INVALID;
        }
        *ret = names[i];
    }
    return REEVE_OK;
}

static char *path_of(const struct reeve_account_dir *dir, const char *name)
{
    size_t size = strlen(dir->path) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL) {
        (void)snprintf(path, size, "%s/%s", dir->path, name); // fits
    }
    return path;
}

static enum reeve_err take_defaults(struct loader *loader, struct reeve_value *value, bool apply,
                                    struct reeve_errors *errors)
{
    struct account_defaults defaults;
    enum reeve_err err = reeve_record_decode(&account_defaults_record, value, "", &defaults, errors);
    if (err == REEVE_OK) {
        loader->dir->watch_apply = defaults.watch == 1;
        reeve_record_done(&account_defaults_record, &defaults);
    }
    if (err != REEVE_NOMEM && account_check_template(reeve_value_get(value, "worker"), true, errors) == REEVE_NOMEM) {
        err = REEVE_NOMEM;
    }
    if (err != REEVE_OK) {
        return err;
    }
    reeve_account_rules_judge(loader->rules, value, true, errors);
    if (errors->errors > 0) {
        return REEVE_INVALID;
    }
    (void)reeve_value_remove(value, "watch");
    loader->defaults = apply ? reeve_value_clone(value) : NULL;
    loader->defaults_places = apply ? reeve_value_clone(value) : NULL;
    clear_marks(loader->defaults);
    return !apply || (loader->defaults != NULL && loader->defaults_places != NULL) ? REEVE_OK : REEVE_NOMEM;
}

static enum reeve_err load_defaults(struct loader *loader, const struct reeve_strv *present, bool apply,
                                    struct reeve_errors *errors)
{
    enum reeve_err err = choose_file(loader, present, defaults_names, &loader->defaults_name, errors);
    if (err != REEVE_OK || loader->defaults_name == NULL) {
        return err;
    }
    REEVE_VALUE_AUTO value = NULL;
    REEVE_AUTO_FREE char *path = path_of(loader->dir, loader->defaults_name);
    errors->source = loader->defaults_name;
    err = path != NULL ? read_map(path, &value, errors) : REEVE_NOMEM;
    return err == REEVE_OK ? take_defaults(loader, value, apply, errors) : err;
}

static enum reeve_err load_rules(struct loader *loader, const struct reeve_strv *present, struct reeve_errors *errors)
{
    const char *name;
    enum reeve_err err = reeve_account_rules_new(&loader->rules);
    err = err == REEVE_OK ? choose_file(loader, present, rules_names, &name, errors) : err;
    if (err != REEVE_OK || name == NULL) {
        return err;
    }
    REEVE_AUTO_FREE char *path = path_of(loader->dir, name);
    errors->source = name;
    return path != NULL ? reeve_account_rules_load(loader->rules, path, errors) : REEVE_NOMEM;
}

// ---- one account ----------------------------------------------------------------------------------------------------

static void take_id(struct reeve_account_file *file, const struct reeve_value *value)
{
    const struct reeve_value *id = reeve_value_get(value, "account_id");
    const char *text = reeve_value_kind(id) == REEVE_STR ? reeve_value_text(id) : NULL;
    if (text != NULL && reeve_name_check(text, NULL) == REEVE_OK) {
        (void)snprintf(file->id, sizeof file->id, "%s", text); // a name fits
    }
}

static enum reeve_err judge_file(const struct loader *loader, struct reeve_account_file *file,
                                 struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = read_map(file->path, &value, errors);
    if (err != REEVE_OK) {
        return err;
    }
    take_id(file, value);
    err = merge(value, loader->defaults);
    if (err != REEVE_OK) {
        return err;
    }
    err = reeve_account_decode(value, &file->account, errors);
    file->decoded = err == REEVE_OK;
    if (err == REEVE_NOMEM) {
        return err;
    }
    reeve_account_rules_judge(loader->rules, value, false, errors);
    reeve_errors_sort(errors);
    place_in_defaults(loader, errors);
    return REEVE_OK;
}

static struct reeve_errors *kept_errors(const struct reeve_errors *errors)
{
    struct reeve_errors *copy = malloc(sizeof *copy);
    if (copy != NULL) {
        *copy = *errors;
    }
    return copy;
}

static void drop_account(struct reeve_account_file *file)
{
    if (file->decoded) {
        reeve_account_done(&file->account);
    }
    file->decoded = file->valid = false;
}

// `errors` is room to write in. NOENT: it is gone again.
static enum reeve_err load_file(const struct loader *loader, struct reeve_account_file *file,
                                struct reeve_errors *errors)
{
    reeve_errors_init(errors, file->path);
    enum reeve_err err = judge_file(loader, file, errors);
    if (err == REEVE_NOMEM || err == REEVE_NOENT) {
        return err;
    }
    file->valid = file->decoded && errors->errors == 0;
    if (errors->errors + errors->warnings > 0 && (file->errors = kept_errors(errors)) == NULL) {
        return REEVE_NOMEM;
    }
    if (file->decoded && (file->account.file = strdup(file->path)) == NULL) {
        return REEVE_NOMEM;
    }
    return REEVE_OK;
}

// ---- ids used twice -------------------------------------------------------------------------------------------------

static int by_id(const void *a, const void *b)
{
    const struct reeve_account_file *const *left = a;
    const struct reeve_account_file *const *right = b;
    int order = strcmp((*left)->id, (*right)->id);
    return order != 0 ? order : strcmp((*left)->path, (*right)->path);
}

static enum reeve_err refuse_twice(struct reeve_account_file *file, const struct reeve_account_file *other)
{
    if (file->errors == NULL) {
        file->errors = malloc(sizeof *file->errors);
        if (file->errors == NULL) {
            return REEVE_NOMEM;
        }
        reeve_errors_init(file->errors, file->path);
    }
    const char *slash = strrchr(other->path, '/');
    drop_account(file);
    reeve_errors_add_at(file->errors, (struct reeve_mark){0}, "account_id", "%s is the id of %s too", file->id,
                        slash != NULL ? slash + 1 : other->path);
    return REEVE_OK;
}

static enum reeve_err find_twice(struct reeve_account_dir *dir)
{
    enum reeve_err err = REEVE_OK;
    struct reeve_account_file **sorted = calloc(dir->len + 1, sizeof(void *));
    if (sorted == NULL) {
        return REEVE_NOMEM;
    }
    for (size_t i = 0; i < dir->len; i++) {
        sorted[i] = &dir->files[i];
    }
    qsort(sorted, dir->len, sizeof(void *), by_id);
    for (size_t i = 0; err == REEVE_OK && i < dir->len; i++) {
        bool before = i > 0 && strcmp(sorted[i]->id, sorted[i - 1]->id) == 0;
        bool after = i + 1 < dir->len && strcmp(sorted[i]->id, sorted[i + 1]->id) == 0;
        if (sorted[i]->id[0] != '\0' && (before || after)) {
            err = refuse_twice(sorted[i], before ? sorted[i - 1] : sorted[i + 1]);
        }
    }
    free(sorted);
    return err;
}

// ---- the directory --------------------------------------------------------------------------------------------------

static bool among(const char *name, const char *const names[3])
{
    return strcmp(name, names[0]) == 0 || strcmp(name, names[1]) == 0 || strcmp(name, names[2]) == 0;
}

static bool is_ours(const char *name)
{
    for (size_t i = 0; name[0] != '.' && i < REEVE_ARRAY_LEN(endings); i++) {
        size_t len = strlen(name);
        size_t end = strlen(endings[i]);
        if (len > end && strcmp(name + len - end, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum reeve_err list_names(const char *path, struct reeve_strv *ret, struct reeve_errors *errors)
{
    struct reeve_why why;
    enum reeve_err err = REEVE_OK;
    DIR *stream = opendir(path);
    if (stream == NULL) {
        err = reeve_fail_errno(&why, "%s", path);
        reeve_errors_add(errors, NULL, "", "%s", why.text);
        return err;
    }
    errno = 0;
    for (struct dirent *entry; err == REEVE_OK && (entry = readdir(stream)) != NULL;) {
        err = is_ours(entry->d_name) ? reeve_strv_add(ret, entry->d_name) : REEVE_OK;
        if (err == REEVE_OK && ret->len > REEVE_ACCOUNTS_MAX + 2) {
            reeve_errors_add(errors, NULL, "", "more than %d files", REEVE_ACCOUNTS_MAX);
            err = REEVE_LIMIT;
        }
        errno = 0;
    }
    if (err == REEVE_OK && errno != 0) {
        err = reeve_fail_errno(&why, "%s", path);
        reeve_errors_add(errors, NULL, "", "%s", why.text);
    }
    (void)closedir(stream); /* only read */
    if (err == REEVE_OK && ret->len > 0) {
        qsort(ret->items, ret->len, sizeof *ret->items, by_name);
    }
    return err;
}

static enum reeve_err load_files(struct loader *loader, const struct reeve_strv *names)
{
    struct reeve_account_dir *dir = loader->dir;
    struct reeve_errors *room = malloc(sizeof *room);
    dir->files = calloc(names->len + 1, sizeof *dir->files);
    enum reeve_err err = room != NULL && dir->files != NULL ? REEVE_OK : REEVE_NOMEM;
    for (size_t i = 0; err == REEVE_OK && i < names->len; i++) {
        if (among(names->items[i], defaults_names) || among(names->items[i], rules_names)) {
            continue;
        }
        struct reeve_account_file *file = &dir->files[dir->len];
        file->path = path_of(dir, names->items[i]);
        err = file->path != NULL ? load_file(loader, file, room) : REEVE_NOMEM;
        if (err == REEVE_NOENT) {
            free(file->path);
            *file = (struct reeve_account_file){0};
            err = REEVE_OK;
        } else {
            dir->len++;
        }
    }
    free(room);
    return err;
}

static enum reeve_err load_dir(struct loader *loader, bool apply_defaults, struct reeve_errors *errors)
{
    REEVE_STRV_AUTO names = {0};
    struct reeve_account_dir *dir = loader->dir;
    enum reeve_err err = list_names(dir->path, &names, errors);
    err = err == REEVE_OK ? load_rules(loader, &names, errors) : err;
    err = err == REEVE_OK ? load_defaults(loader, &names, apply_defaults, errors) : err;
    err = err == REEVE_OK ? load_files(loader, &names) : err;
    err = err == REEVE_OK ? find_twice(dir) : err;
    for (size_t i = 0; i < dir->len; i++) {
        dir->valid += dir->files[i].valid;
    }
    dir->invalid = dir->len - dir->valid;
    return err;
}

enum reeve_err reeve_account_dir_load(const char *path, bool apply_defaults, struct reeve_account_dir *ret,
                                      struct reeve_errors *errors)
{
    struct reeve_account_dir dir = {.path = strdup(path)};
    struct loader loader = {.dir = &dir};
    reeve_errors_init(errors, NULL);
    enum reeve_err err = dir.path != NULL ? load_dir(&loader, apply_defaults, errors) : REEVE_NOMEM;
    reeve_account_rules_free(loader.rules);
    reeve_value_free(loader.defaults);
    reeve_value_free(loader.defaults_places);
    if (err == REEVE_OK && errors->warnings > 0 && (dir.errors = kept_errors(errors)) == NULL) {
        err = REEVE_NOMEM;
    }
    if (err != REEVE_OK) {
        reeve_account_dir_done(&dir);
        return err;
    }
    *ret = dir;
    return REEVE_OK;
}

void reeve_account_dir_done(struct reeve_account_dir *dir)
{
    for (size_t i = 0; i < dir->len; i++) {
        drop_account(&dir->files[i]);
        free(dir->files[i].path);
        free(dir->files[i].errors);
    }
    free(dir->files);
    free(dir->errors);
    free(dir->path);
    *dir = (struct reeve_account_dir){0};
}
