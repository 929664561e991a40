// The directory of account files: watched, read again, compared with what was applied, shown as a plan or applied.
// Must not: change anything because of a file that is wrong, or remove most of the accounts without being told to.
#include "account_priv.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ALARM_INVALID    "account_invalid"
#define ALARM_UNREADABLE "accounts_unreadable"
#define ALARM_PLAN       "accounts_plan"
#define REMOVED_MIN      4 // with watch: apply, more than these and more than half of all wait for a person

// ---- watching -------------------------------------------------------------------------------------------------------

static void on_change(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct accounts *accounts = watch->data;
    (void)name;
    (void)events;
    (void)status; // a watch that fails is made again; until then there is the minute
    if (accounts != NULL) {
        accounts->settle_mono = reeve_clock_mono_ms() + ACCOUNT_SETTLE_MS;
    }
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_watch(struct accounts *accounts)
{
    if (accounts->watch != NULL) {
        accounts->watch->data = NULL;
        uv_close((uv_handle_t *)accounts->watch, watch_closed);
        accounts->watch = NULL;
    }
}

// Again with each look: a directory that was replaced has another inode.
static void start_watch(struct accounts *accounts)
{
    uv_fs_event_t *watch = calloc(1, sizeof *watch);
    stop_watch(accounts);
    if (watch == NULL || uv_fs_event_init(accounts->manager->loop, watch) != 0) {
        free(watch);
        return;
    }
    watch->data = accounts;
    accounts->watch = watch;
    if (uv_fs_event_start(watch, on_change, accounts->path, 0) != 0) {
        stop_watch(accounts);
    }
}

void account_files_start(struct accounts *accounts)
{
    if (accounts->path != NULL) {
        start_watch(accounts);
    }
}

void account_files_free(struct accounts *accounts)
{
    stop_watch(accounts);
    reeve_account_dir_done(&accounts->seen);
    reeve_account_dir_done(&accounts->bare);
    reeve_value_free(accounts->plan);
}

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) { // FNV-1a
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return sum;
}

// Changes whenever a file does; 0 = the directory can't be read. Order does not count.
static uint64_t fingerprint_of(const char *path)
{
    uint64_t sum = 1;
    DIR *stream = opendir(path);
    if (stream == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        struct stat info;
        if (entry->d_name[0] != '.' && fstatat(dirfd(stream), entry->d_name, &info, 0) == 0) {
            uint64_t file = mix(UINT64_C(14695981039346656037), entry->d_name, strlen(entry->d_name));
            file = mix(file, &info.st_mtim, sizeof info.st_mtim);
            file = mix(file, &info.st_ctim, sizeof info.st_ctim);
            file = mix(file, &info.st_size, sizeof info.st_size);
            sum += mix(file, &info.st_ino, sizeof info.st_ino);
        }
    }
    (void)closedir(stream); /* only read */
    return sum != 0 ? sum : 1;
}

// ---- looking things up ----------------------------------------------------------------------------------------------

const struct reeve_account *account_of_dir(const struct reeve_account_dir *dir, const char *id)
{
    for (size_t i = 0; i < dir->len; i++) {
        if (dir->files[i].valid && strcmp(dir->files[i].id, id) == 0) {
            return &dir->files[i].account;
        }
    }
    return NULL;
}

// By id; by file where that is all that is known of one that can't be read.
const struct reeve_account_file *account_file_of(const struct accounts *accounts, const char *id)
{
    const struct account_entry *entry = account_find(accounts, id);
    const char *path = entry != NULL && entry->has_account ? entry->account.file : NULL;
    const struct reeve_account_file *found = NULL;
    for (size_t i = 0; i < accounts->seen.len; i++) {
        const struct reeve_account_file *file = &accounts->seen.files[i];
        if (strcmp(file->id, id) == 0) {
            return file;
        }
        if (file->id[0] == '\0' && reeve_str_eq(file->path, path)) {
            found = file;
        }
    }
    return found;
}

struct reeve_value *account_errors_value(const struct reeve_errors *errors, bool warnings)
{
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; errors != NULL && i < errors->len; i++) {
        const struct reeve_error *error = &errors->items[i];
        char place[512];
        if (error->warning != warnings) {
            continue;
        }
        struct reeve_value *entry = reeve_value_map();
        if (error->mark.line > 0) {
            (void)snprintf(place, sizeof place, "%s:%u:%u", errors->source != NULL ? errors->source : "",
                           error->mark.line, error->mark.col); // cut
        } else {
            (void)snprintf(place, sizeof place, "%s", errors->source != NULL ? errors->source : "");
        }
        reeve_put_str(entry, "place", place);
        reeve_put_str(entry, "path", error->path);
        reeve_put_str(entry, "text", error->text);
        (void)reeve_value_add(list, entry); /* remembered: reeve_value_built() */
    }
    return list;
}

static const char *base_name(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path != NULL ? path : "";
}

// ---- alarms ---------------------------------------------------------------------------------------------------------

static const char *subject_of(const struct reeve_account_file *file, char buf[REEVE_NAME_SIZE])
{
    return file->id[0] != '\0' ? file->id : reeve_name_from(base_name(file->path), buf);
}

static const char *first_error(const struct reeve_errors *errors, char *buf, size_t buf_len)
{
    for (size_t i = 0; errors != NULL && i < errors->len; i++) {
        if (!errors->items[i].warning) {
            return reeve_error_format(errors, i, buf, buf_len);
        }
    }
    return "is wrong";
}

static void open_invalid(struct accounts *accounts, const struct reeve_account_file *file, struct reeve_map *subjects)
{
    char name[REEVE_NAME_SIZE];
    char text[512];
    const char *subject = subject_of(file, name);
    const struct account_entry *entry = file->id[0] != '\0' ? account_find(accounts, file->id) : NULL;
    struct reeve_value *detail = reeve_value_map();
    reeve_put_str(detail, "file", file->path);
    (void)reeve_value_put(detail, "errors", account_errors_value(file->errors, false)); /* the alarm tells */
    alarm_open(accounts->manager, ALARM_INVALID, subject, ALARM_WARNING, detail, "%s%s",
               first_error(file->errors, text, sizeof text),
               entry != NULL && entry->has_account ? "; the account goes on as it was" : "");
    (void)reeve_map_put(subjects, subject, accounts, NULL); /* out of memory: the alarm opens again */
}

static void update_alarms(struct accounts *accounts)
{
    struct manager *manager = accounts->manager;
    struct reeve_map *subjects = reeve_map_new(0);
    if (subjects == NULL) {
        return; // the next look
    }
    for (size_t i = 0; i < accounts->seen.len; i++) {
        if (!accounts->seen.files[i].valid) {
            open_invalid(accounts, &accounts->seen.files[i], subjects);
        }
    }
    REEVE_VALUE_AUTO open = alarms_value(manager->alarms);
    for (size_t i = 0; i < reeve_value_len(open); i++) {
        const struct reeve_value *alarm = reeve_value_at(open, i);
        const char *subject = reeve_get_str(alarm, "subject");
        if (reeve_str_eq(reeve_get_str(alarm, "kind"), ALARM_INVALID) && reeve_map_get(subjects, subject) == NULL) {
            alarm_close(manager, ALARM_INVALID, subject);
        }
    }
    reeve_map_free(subjects, NULL);
}

// ---- the plan -------------------------------------------------------------------------------------------------------

static struct reeve_value *change_new(struct accounts *accounts, const char *id, const char *change, const char *path)
{
    struct reeve_value *entry = reeve_value_map();
    if (id[0] != '\0') {
        reeve_put_str(entry, "account", id);
    }
    reeve_put_str(entry, "change", change);
    reeve_put_str_opt(entry, "file", path);
    (void)reeve_value_add(accounts->plan, entry); /* remembered: reeve_value_built() */
    return entry;
}

static bool file_has_id(const struct accounts *accounts, const char *id)
{
    for (size_t i = 0; i < accounts->seen.len; i++) {
        if (strcmp(accounts->seen.files[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

// The account whose file now says another id.
static struct account_entry *renamed_from(const struct accounts *accounts, const struct reeve_account_file *file)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        struct account_entry *entry = it.value;
        if (entry->has_account && !entry->gone && reeve_str_eq(entry->account.file, file->path) &&
            strcmp(entry->id, file->id) != 0 && !file_has_id(accounts, entry->id)) {
            return entry;
        }
    }
    return NULL;
}

static void put_keys(struct reeve_value *change, const struct reeve_account *from, const struct reeve_account *to)
{
    struct reeve_value *keys = NULL;
    enum reeve_account_effect effect;
    if (reeve_account_changes(from, to, &keys, &effect) != REEVE_OK) {
        (void)reeve_value_put(change, "keys", NULL); /* remembered: out of memory */
        return;
    }
    reeve_put_str(change, "effect", reeve_account_effect_text(effect));
    (void)reeve_value_put(change, "keys", keys); /* remembered: reeve_value_built() */
}

// The account of a valid file as this entry should have it: with or without the defaults.
static const struct reeve_account *wanted_account(const struct accounts *accounts, const struct account_entry *entry,
                                                  const struct reeve_account_file *file)
{
    return entry != NULL && entry->no_defaults ? account_of_dir(&accounts->bare, file->id) : &file->account;
}

static void plan_valid(struct accounts *accounts, const struct reeve_account_file *file)
{
    const struct account_entry *entry = account_find(accounts, file->id);
    const struct reeve_account *account = wanted_account(accounts, entry, file);
    if (account == NULL) { // without the defaults it is not whole: it goes on
        return;
    }
    if (entry != NULL && entry->has_account && !entry->gone) {
        if (entry->account.digest != account->digest) {
            put_keys(change_new(accounts, file->id, "changed", file->path), &entry->account, account);
        }
        return;
    }
    const struct account_entry *before = renamed_from(accounts, file);
    if (before != NULL && !(account_down(before) && !before->wanted)) {
        struct reeve_value *change = change_new(accounts, before->id, "changed", file->path);
        put_keys(change, &before->account, account);
        reeve_put_str(change, "refused",
                      "account_id can't change while the account runs: stop it first, or give the new "
                      "account a file of its own");
        return;
    }
    (void)change_new(accounts, file->id, "added", file->path);
}

static void plan_invalid(struct accounts *accounts, const struct reeve_account_file *file)
{
    struct reeve_value *change = change_new(accounts, file->id, "invalid", file->path);
    (void)reeve_value_put(change, "errors", account_errors_value(file->errors, false)); /* remembered */
}

// Its file is not there any more, under any name.
static bool is_removed(const struct accounts *accounts, const struct account_entry *entry)
{
    if (!entry->has_account || entry->gone) {
        return false;
    }
    for (size_t i = 0; i < accounts->seen.len; i++) {
        const struct reeve_account_file *file = &accounts->seen.files[i];
        bool same_file = reeve_str_eq(file->path, entry->account.file);
        bool renamed = same_file && file->valid && account_down(entry) && !entry->wanted;
        if (strcmp(file->id, entry->id) == 0 || (same_file && !renamed)) {
            return false;
        }
    }
    return true;
}

static bool make_plan(struct accounts *accounts)
{
    size_t len;
    struct account_entry **entries = accounts_sorted(accounts, &len);
    reeve_value_free(accounts->plan);
    accounts->plan = reeve_value_list();
    for (size_t i = 0; i < accounts->seen.len; i++) {
        if (accounts->seen.files[i].valid) {
            plan_valid(accounts, &accounts->seen.files[i]);
        } else {
            plan_invalid(accounts, &accounts->seen.files[i]);
        }
    }
    for (size_t i = 0; entries != NULL && i < len; i++) {
        if (is_removed(accounts, entries[i])) {
            (void)change_new(accounts, entries[i]->id, "removed", entries[i]->account.file);
        }
    }
    bool whole = entries != NULL && accounts->plan != NULL && reeve_value_built(accounts->plan) == REEVE_OK;
    if (!whole) { // half a plan is worse than none
        reeve_value_free(accounts->plan);
        accounts->plan = reeve_value_list();
        accounts->fingerprint = 0;
    }
    free(entries);
    return whole;
}

// ---- applying it ----------------------------------------------------------------------------------------------------

static bool apply_account(struct accounts *accounts, const char *id)
{
    struct account_entry *entry = account_find(accounts, id);
    const struct reeve_account_dir *dir = entry != NULL && entry->no_defaults ? &accounts->bare : &accounts->seen;
    const struct reeve_account *found = account_of_dir(dir, id);
    struct reeve_account copy;
    if (found == NULL || (entry == NULL && (entry = account_new(accounts, id)) == NULL) ||
        reeve_account_copy(found, &copy) != REEVE_OK || account_take(entry, &copy) != REEVE_OK) {
        return false;
    }
    entry->gone = false;
    account_store(entry);
    account_wake(entry);
    return true;
}

static bool apply_removal(struct accounts *accounts, const char *id)
{
    struct account_entry *entry = account_find(accounts, id);
    if (entry == NULL) {
        return false;
    }
    entry->gone = true;
    entry->wanted = false;
    account_store(entry);
    account_wake(entry);
    return true;
}

static bool apply_change(struct accounts *accounts, const struct reeve_value *change)
{
    const char *what = reeve_get_str(change, "change");
    const char *id = reeve_get_str(change, "account");
    if (id == NULL || reeve_value_get(change, "refused") != NULL || reeve_str_eq(what, "invalid")) {
        return false;
    }
    bool done = reeve_str_eq(what, "removed") ? apply_removal(accounts, id) : apply_account(accounts, id);
    reeve_log(REEVE_LOG_INFO, "account", "account=%s change=%s applied=%s", id, what, done ? "true" : "false");
    return done;
}

static void update_validity(struct accounts *accounts)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        struct account_entry *entry = it.value;
        const struct reeve_account_file *file = account_file_of(accounts, entry->id);
        bool invalid = file != NULL && !file->valid;
        if (invalid != entry->invalid) {
            entry->invalid = invalid;
            account_store(entry);
        }
    }
}

size_t account_plan_apply(struct accounts *accounts)
{
    size_t done = 0;
    struct reeve_value *plan = reeve_value_take(&accounts->plan);
    for (size_t i = 0; i < reeve_value_len(plan); i++) {
        done += apply_change(accounts, reeve_value_at(plan, i));
    }
    reeve_value_free(plan);
    accounts->plan_held[0] = '\0';
    alarm_close(accounts->manager, ALARM_PLAN, accounts->manager->config.manager.name);
    (void)make_plan(accounts); /* what is left: invalid ones and refusals; tried again otherwise */
    update_validity(accounts);
    return done;
}

// Whether a plan may be carried out without a person: an empty mount or a half-finished checkout is no wish to stop
// everybody.
static bool may_apply(struct accounts *accounts)
{
    size_t removed = 0;
    size_t known = 0;
    for (size_t i = 0; i < reeve_value_len(accounts->plan); i++) {
        removed += reeve_str_eq(reeve_get_str(reeve_value_at(accounts->plan, i), "change"), "removed");
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        known += ((struct account_entry *)it.value)->has_account;
    }
    accounts->plan_held[0] = '\0';
    if (removed <= REMOVED_MIN || 2 * removed <= known) {
        alarm_close(accounts->manager, ALARM_PLAN, accounts->manager->config.manager.name);
        return true;
    }
    (void)snprintf(accounts->plan_held, sizeof accounts->plan_held,
                   "it removes %zu of %zu accounts: `accounts_reload` with `apply` does it all the same", removed,
                   known);
    alarm_open(accounts->manager, ALARM_PLAN, accounts->manager->config.manager.name, ALARM_WARNING, NULL,
               "the changed directory of accounts is not applied: %s", accounts->plan_held);
    return false;
}

// ---- reading --------------------------------------------------------------------------------------------------------

static bool somebody_without_defaults(const struct accounts *accounts)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        if (((struct account_entry *)it.value)->no_defaults) {
            return true;
        }
    }
    return false;
}

static enum reeve_err load_dir(struct accounts *accounts, bool apply_defaults, struct reeve_account_dir *to,
                               struct reeve_why *why)
{
    struct reeve_account_dir fresh;
    char place[320];
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = reeve_account_dir_load(accounts->path, apply_defaults, &fresh, errors);
    if (err == REEVE_OK) {
        reeve_account_dir_done(to);
        *to = fresh;
    } else if (errors->errors > 0) {
        err = reeve_fail(why, err, "%s: %s", accounts->path, first_error(errors, place, sizeof place));
    } else {
        err = reeve_fail(why, err, "%s: %s", accounts->path, reeve_err_text(err));
    }
    free(errors);
    return err;
}

enum reeve_err account_bare_load(struct accounts *accounts, struct reeve_why *why)
{
    return load_dir(accounts, false, &accounts->bare, why);
}

static enum reeve_err read_again(struct accounts *accounts, struct reeve_why *why)
{
    struct reeve_why reason = {0};
    struct manager *manager = accounts->manager;
    enum reeve_err err = load_dir(accounts, true, &accounts->seen, &reason);
    if (err == REEVE_OK && somebody_without_defaults(accounts)) {
        err = account_bare_load(accounts, &reason);
    }
    if (err != REEVE_OK) {
        (void)snprintf(accounts->unreadable, sizeof accounts->unreadable, "%s", reason.text); // cut
        alarm_open(manager, ALARM_UNREADABLE, manager->config.manager.name, ALARM_ERROR, NULL,
                   "%s; nothing changes until it is mended", reason.text);
        return reeve_fail(why, err, "%s", reason.text);
    }
    manager->counters.reloads++;
    accounts->unreadable[0] = '\0';
    accounts->has_seen = true;
    alarm_close(manager, ALARM_UNREADABLE, manager->config.manager.name);
    reeve_log(REEVE_LOG_INFO, "account", "directory=%s files=%zu valid=%zu invalid=%zu", accounts->path,
              accounts->seen.len, accounts->seen.valid, accounts->seen.invalid);
    return REEVE_OK;
}

// A moved file is no change, but its name is known from now on.
static void take_paths(struct accounts *accounts)
{
    for (size_t i = 0; i < accounts->seen.len; i++) {
        const struct reeve_account_file *file = &accounts->seen.files[i];
        struct account_entry *entry = file->valid ? account_find(accounts, file->id) : NULL;
        if (entry != NULL && entry->has_account && !reeve_str_eq(entry->account.file, file->path)) {
            char *path = strdup(file->path);
            if (path != NULL) {
                free(entry->account.file);
                entry->account.file = path;
                account_store(entry);
            }
        }
    }
}

// The very first time there is nothing that a person could want to see before.
static void apply_by_policy(struct accounts *accounts)
{
    if (reeve_map_len(accounts->entries) == 0 || (accounts->seen.watch_apply && may_apply(accounts))) {
        (void)account_plan_apply(accounts); /* what it changed is in the log */
    } else if (!accounts->seen.watch_apply) {
        reeve_log(REEVE_LOG_INFO, "account", "plan=%zu waits=accounts_reload", reeve_value_len(accounts->plan));
    }
}

enum reeve_err account_files_look(struct accounts *accounts, enum account_look look, struct reeve_why *why)
{
    accounts->look_mono = reeve_clock_mono_ms() + ACCOUNT_LOOK_MS;
    accounts->settle_mono = 0;
    if (accounts->path == NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "this manager has no directory of accounts (manager.accounts_dir)");
    }
    uint64_t fingerprint = fingerprint_of(accounts->path);
    bool same = fingerprint != 0 && fingerprint == accounts->fingerprint && accounts->unreadable[0] == '\0';
    if (look == ACCOUNT_LOOK_IF_CHANGED && same) {
        return REEVE_OK;
    }
    accounts->fingerprint = fingerprint;
    start_watch(accounts);
    enum reeve_err err = read_again(accounts, why);
    if (err != REEVE_OK) {
        return err;
    }
    take_paths(accounts);
    update_alarms(accounts);
    if (make_plan(accounts)) {
        update_validity(accounts);
        if (look == ACCOUNT_LOOK_IF_CHANGED) {
            apply_by_policy(accounts);
        }
    }
    return REEVE_OK;
}

void account_files_tick(struct accounts *accounts)
{
    int64_t now = reeve_clock_mono_ms();
    bool settled = accounts->settle_mono != 0 && now >= accounts->settle_mono;
    if (accounts->path != NULL && (settled || now >= accounts->look_mono)) {
        (void)account_files_look(accounts, ACCOUNT_LOOK_IF_CHANGED, NULL); /* the alarm has it */
    }
}

void accounts_look(struct accounts *accounts)
{
    accounts->fingerprint = 0;
    accounts->look_mono = 0;
    manager_tick_soon(accounts->manager);
}
