// The ops on accounts: arguments, who is meant, and the ones that only read. Starting and stopping is account_batch.c.
// Must not: show a secret or where it is kept.
#include "account_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MAX_MS (INT64_C(3600) * 1000)
#define LIST_MAX       2000 // accounts of one reply: so many fit into a message

// ---- arguments ------------------------------------------------------------------------------------------------------

struct account_args { // of all ops; each has the fields that it knows
    struct reeve_strv accounts;
    bool all, validate, apply_defaults, all_or_nothing, move, apply;
    int64_t canary, timeout_ms, grace_ms, offset, limit;
};
#define AT(member) offsetof(struct account_args, member)
#define ACCOUNTS_FIELDS                                                                                                \
    {.name = "accounts", .type = REEVE_FIELD_STRV, .offset = AT(accounts), .doc = "Ids, or globs such as `desk-*`."},  \
    {                                                                                                                  \
        .name = "all", .type = REEVE_FIELD_BOOL, .offset = AT(all), .doc = "Every account."                            \
    }
#define DEFAULTS_FIELD                                                                                                 \
    {                                                                                                                  \
        .name = "apply_defaults", .type = REEVE_FIELD_BOOL, .offset = AT(apply_defaults), .preset = "true",            \
        .doc = "false: as the file says it, without the defaults."                                                     \
    }
#define VALIDATE_FIELD                                                                                                 \
    {                                                                                                                  \
        .name = "validate", .type = REEVE_FIELD_BOOL, .offset = AT(validate), .preset = "true",                        \
        .doc =                                                                                                         \
            "false: what only the rules refuse is started all the same; a file that can't be read, as it was before."  \
    }
#define TIMEOUT_FIELD                                                                                                  \
    {                                                                                                                  \
        .name = "timeout", .type = REEVE_FIELD_DURATION, .offset = AT(timeout_ms), .min = 0, .max = TIMEOUT_MAX_MS,    \
        .doc = "How long is waited; 0 = 60s for one, 5m for many."                                                     \
    }
#define GRACE_FIELD                                                                                                    \
    {                                                                                                                  \
        .name = "grace", .type = REEVE_FIELD_DURATION, .offset = AT(grace_ms), .max = TIMEOUT_MAX_MS,                  \
        .doc = "Until SIGKILL; preset by the worker's spec."                                                           \
    }
#define MOVE_FIELD                                                                                                     \
    {                                                                                                                  \
        .name = "move", .type = REEVE_FIELD_BOOL, .offset = AT(move),                                                  \
        .doc = "Its node can't be seen, and you know that it does not run there: start it elsewhere."                  \
    }
#define CANARY_FIELD                                                                                                   \
    {                                                                                                                  \
        .name = "canary", .type = REEVE_FIELD_INT, .offset = AT(canary), .min = 0, .max = REEVE_ACCOUNTS_MAX,          \
        .doc = "So many first; the rest when they have run for 5s."                                                    \
    }

#define ARGS(name_, what_, ...)                                                                                        \
    static const struct reeve_field name_##_fields[] = {__VA_ARGS__};                                                  \
    const struct reeve_record op_##name_##_args = REEVE_RECORD(#name_, struct account_args, name_##_fields, what_)

ARGS(accounts, "Which part of the list.",
     {.name = "offset",
      .type = REEVE_FIELD_INT,
      .offset = AT(offset),
      .min = 0,
      .max = REEVE_ACCOUNTS_MAX,
      .doc = "From this one on."},
     {.name = "limit",
      .type = REEVE_FIELD_INT,
      .offset = AT(limit),
      .min = 1,
      .max = LIST_MAX,
      .preset = "1000",
      .doc = "At most so many."});
const struct reeve_record op_account_status_args = {.name = "account_status",
                                                    .size = sizeof(struct account_args),
                                                    .fields = accounts_fields,
                                                    .fields_len = 0,
                                                    .doc = "No arguments."};
ARGS(accounts_validate, "Accounts to judge.", ACCOUNTS_FIELDS, DEFAULTS_FIELD);
ARGS(accounts_start, "Accounts to start.", ACCOUNTS_FIELDS, VALIDATE_FIELD, DEFAULTS_FIELD,
     {.name = "all_or_nothing",
      .type = REEVE_FIELD_BOOL,
      .offset = AT(all_or_nothing),
      .doc = "One that is wrong, or does not come up, and none is left started."},
     CANARY_FIELD, TIMEOUT_FIELD, MOVE_FIELD);
ARGS(accounts_stop, "Accounts to stop.", ACCOUNTS_FIELDS, TIMEOUT_FIELD, GRACE_FIELD);
ARGS(accounts_restart, "Accounts to restart.", ACCOUNTS_FIELDS, VALIDATE_FIELD, CANARY_FIELD, TIMEOUT_FIELD);
ARGS(accounts_reload, "What to do with the plan.",
     {.name = "apply",
      .type = REEVE_FIELD_BOOL,
      .offset = AT(apply),
      .doc = "true: carry the plan out; false: only show it. Preset: as `watch` of the defaults says."});
ARGS(account_start, "Starting one account.", VALIDATE_FIELD, DEFAULTS_FIELD, TIMEOUT_FIELD, MOVE_FIELD);
ARGS(account_stop, "Stopping one account.", TIMEOUT_FIELD, GRACE_FIELD);
ARGS(account_restart, "Restarting one account.", VALIDATE_FIELD, TIMEOUT_FIELD);
ARGS(account_validate, "Judging one account.", DEFAULTS_FIELD);
#undef AT

// ---- who is meant ---------------------------------------------------------------------------------------------------

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Every id that is known: of entries, and of files that are not accounts yet. Sorted, each once.
static enum reeve_err known_ids(const struct accounts *accounts, struct reeve_strv *ret)
{
    enum reeve_err err = REEVE_OK;
    for (struct reeve_map_iter it = {0}; err == REEVE_OK && reeve_map_next(accounts->entries, &it);) {
        err = reeve_strv_add(ret, it.key);
    }
    for (size_t i = 0; err == REEVE_OK && i < accounts->seen.len; i++) {
        const char *id = accounts->seen.files[i].id;
        if (id[0] != '\0' && account_find(accounts, id) == NULL) {
            err = reeve_strv_add(ret, id);
        }
    }
    if (err != REEVE_OK || ret->len == 0) {
        return err;
    }
    qsort(ret->items, ret->len, sizeof *ret->items, by_text);
    size_t len = 1;
    for (size_t i = 1; i < ret->len; i++) {
        if (strcmp(ret->items[i], ret->items[len - 1]) == 0) {
            free(ret->items[i]);
        } else {
            ret->items[len++] = ret->items[i];
        }
    }
    ret->len = len;
    ret->items[len] = NULL;
    return REEVE_OK;
}

static enum reeve_err find_pattern(const struct reeve_strv *known, const char *pattern, struct reeve_strv *ret,
                                   struct reeve_why *why)
{
    bool found = false;
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < known->len; i++) {
        if (reeve_glob_match(pattern, known->items[i])) {
            found = true;
            err = reeve_strv_has(ret, known->items[i]) ? REEVE_OK : reeve_strv_add(ret, known->items[i]);
        }
    }
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    if (found || reeve_glob_is(pattern)) {
        return REEVE_OK; // a glob that fits nobody is no mistake among others
    }
    static const char *const none[] = {NULL};
    return not_found(why, "account", pattern, known->len > 0 ? (const char *const *)known->items : none);
}

static enum reeve_err select_accounts(struct call *call, bool preset_all, struct reeve_strv *ret, struct reeve_why *why)
{
    const struct account_args *args = call->args;
    REEVE_STRV_AUTO known = {0};
    enum reeve_err err = known_ids(call->manager->accounts, &known);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "out of memory");
    }
    if (call->subject[0] != '\0') {
        return find_pattern(&known, call->subject, ret, why);
    }
    if (args->all && args->accounts.len > 0) {
        return reeve_fail_at(why, REEVE_INVALID, "all", "says everybody, and `accounts` names some: keep one of them");
    }
    if (args->accounts.len == 0) {
        bool everybody = args->all || preset_all;
        return everybody
                   ? reeve_strv_copy(&known, ret)
                   : reeve_fail_at(why, REEVE_INVALID, "accounts", "says nobody, expected ids, globs, or `all: true`");
    }
    for (size_t i = 0; err == REEVE_OK && i < args->accounts.len; i++) {
        err = find_pattern(&known, args->accounts.items[i], ret, why);
    }
    if (err == REEVE_OK && ret->len == 0) {
        err = reeve_fail_at(why, REEVE_NOENT, "accounts", "fits no account");
    }
    return err;
}

// ---- reading --------------------------------------------------------------------------------------------------------

// Of a file that is no account yet.
static struct reeve_value *file_status(const struct reeve_account_file *file)
{
    struct reeve_value *status = reeve_value_map();
    reeve_put_str_opt(status, "account", file->id);
    reeve_put_str(status, "state", account_state_text(ACCOUNT_CREATED));
    reeve_put_bool(status, "valid", file->valid);
    reeve_put_bool(status, "planned", file->valid);
    return status;
}

static void put_file(struct reeve_value *status, const struct reeve_account_file *file, bool errors)
{
    if (file == NULL) {
        return;
    }
    reeve_put_str(status, "file", file->path);
    if (errors && file->errors != NULL && file->errors->errors > 0) { // remembered: reeve_value_built()
        (void)reeve_value_put(status, "errors", account_errors_value(file->errors, false));
    }
    if (errors && file->errors != NULL && file->errors->warnings > 0) {
        (void)reeve_value_put(status, "warnings", account_errors_value(file->errors, true));
    }
}

static struct reeve_value *plan_value(const struct accounts *accounts)
{
    return accounts->plan != NULL ? reeve_value_clone(accounts->plan) : reeve_value_list();
}

static void put_plan(struct reeve_value *result, const struct accounts *accounts)
{
    if (reeve_value_len(accounts->plan) > 0) {
        (void)reeve_value_put(result, "plan", plan_value(accounts)); /* remembered: reeve_value_built() */
    }
    reeve_put_str_opt(result, "held", accounts->plan_held);
    reeve_put_str_opt(result, "unreadable", accounts->unreadable);
}

// All of them: what is known, then files that are no accounts yet. NULL = out of memory.
static struct reeve_value *list_value(const struct accounts *accounts, int64_t offset, int64_t limit,
                                      int64_t *ret_total)
{
    size_t len;
    int64_t at = 0;
    REEVE_VALUE_AUTO list = reeve_value_list();
    struct account_entry **entries = accounts_sorted(accounts, &len);
    for (size_t i = 0; entries != NULL && i < len; i++, at++) {
        if (at >= offset && at < offset + limit) {
            struct reeve_value *status = account_status_value(entries[i]);
            put_file(status, account_file_of(accounts, entries[i]->id), false);
            (void)reeve_value_add(list, status); /* remembered: reeve_value_built() */
        }
    }
    for (size_t i = 0; i < accounts->seen.len; i++) {
        const struct reeve_account_file *file = &accounts->seen.files[i];
        if (account_find(accounts, file->id) == NULL && at++ >= offset && at <= offset + limit) {
            struct reeve_value *status = file_status(file);
            put_file(status, file, true);
            (void)reeve_value_add(list, status); /* as above */
        }
    }
    bool whole = entries != NULL && list != NULL && reeve_value_built(list) == REEVE_OK;
    free(entries);
    *ret_total = at;
    return whole ? reeve_value_take(&list) : NULL;
}

enum reeve_err op_accounts_run(struct call *call, struct reeve_why *why)
{
    const struct accounts *accounts = call->manager->accounts;
    const struct account_args *args = call->args;
    int64_t total;
    struct reeve_value *list = list_value(accounts, args->offset, args->limit, &total);
    if (list == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    struct reeve_value *result = reeve_value_map();
    (void)reeve_value_put(result, "accounts", list); /* remembered: reeve_value_built() */
    reeve_put_int(result, "total", total);
    reeve_put_int(result, "offset", args->offset);
    reeve_put_str_opt(result, "directory", accounts->path);
    reeve_put_int(result, "valid", (int64_t)accounts->seen.valid);
    reeve_put_int(result, "invalid", (int64_t)accounts->seen.invalid);
    reeve_put_str(result, "watch", accounts->seen.watch_apply ? "apply" : "plan");
    put_plan(result, accounts);
    return call_done(call, result, NULL);
}

enum reeve_err op_account_status_run(struct call *call, struct reeve_why *why)
{
    struct accounts *accounts = call->manager->accounts;
    REEVE_STRV_AUTO ids = {0};
    enum reeve_err err = select_accounts(call, false, &ids, why);
    if (err != REEVE_OK) {
        return err;
    }
    const struct account_entry *entry = account_find(accounts, call->subject);
    const struct reeve_account_file *file = account_file_of(accounts, call->subject);
    struct reeve_value *status = entry != NULL ? account_status_value(entry) : file_status(file);
    struct reeve_value *settings = NULL;
    put_file(status, file, true);
    if (entry != NULL && entry->has_account && reeve_account_value(&entry->account, &settings) == REEVE_OK) {
        (void)reeve_value_put(status, "settings", settings); /* remembered: reeve_value_built() */
    }
    for (size_t i = 0; i < reeve_value_len(accounts->plan); i++) {
        const struct reeve_value *change = reeve_value_at(accounts->plan, i);
        if (reeve_str_eq(reeve_get_str(change, "account"), call->subject)) {
            (void)reeve_value_put(status, "plan", reeve_value_clone(change)); /* as above */
        }
    }
    return call_done(call, status, NULL);
}

// ---- validate -------------------------------------------------------------------------------------------------------

static void put_judged(struct reeve_value *list, const struct reeve_account_file *file)
{
    struct reeve_value *entry = reeve_value_map();
    reeve_put_str_opt(entry, "account", file->id);
    reeve_put_str(entry, "file", file->path);
    reeve_put_bool(entry, "valid", file->valid);
    // Remembered: reeve_value_built().
    (void)reeve_value_put(entry, "errors", account_errors_value(file->errors, false));
    (void)reeve_value_put(entry, "warnings", account_errors_value(file->errors, true));
    (void)reeve_value_add(list, entry);
}

// `ids` NULL: every file.
static enum reeve_err judged(struct call *call, const struct reeve_account_dir *dir, const struct reeve_strv *ids)
{
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    size_t valid = 0;
    size_t invalid = 0;
    size_t warnings = 0;
    for (size_t i = 0; i < dir->len; i++) {
        const struct reeve_account_file *file = &dir->files[i];
        if (ids == NULL || (file->id[0] != '\0' && reeve_strv_has(ids, file->id))) {
            valid += file->valid;
            invalid += !file->valid;
            warnings += file->errors != NULL ? file->errors->warnings : 0;
            put_judged(list, file);
        }
    }
    reeve_put_int(result, "valid", (int64_t)valid);
    reeve_put_int(result, "invalid", (int64_t)invalid);
    reeve_put_int(result, "warnings", (int64_t)warnings);
    (void)reeve_value_put(result, "accounts", list); /* remembered: reeve_value_built() */
    return call_done(call, result, "%zu valid, %zu invalid, %zu warnings", valid, invalid, warnings);
}

static enum reeve_err validate(struct call *call, struct reeve_why *why)
{
    struct accounts *accounts = call->manager->accounts;
    const struct account_args *args = call->args;
    REEVE_STRV_AUTO ids = {0};
    enum reeve_err err = account_files_look(accounts, ACCOUNT_LOOK_IF_CHANGED, why);
    if (err == REEVE_OK && !args->apply_defaults) {
        err = account_bare_load(accounts, why);
    }
    bool everybody = call->subject[0] == '\0' && (args->all || args->accounts.len == 0);
    if (err == REEVE_OK) {
        err = select_accounts(call, true, &ids, why);
    }
    return err == REEVE_OK
               ? judged(call, args->apply_defaults ? &accounts->seen : &accounts->bare, everybody ? NULL : &ids)
               : err;
}

enum reeve_err op_accounts_validate_run(struct call *call, struct reeve_why *why)
{
    return validate(call, why);
}

enum reeve_err op_account_validate_run(struct call *call, struct reeve_why *why)
{
    return validate(call, why);
}

// ---- reload ---------------------------------------------------------------------------------------------------------

enum reeve_err op_accounts_reload_run(struct call *call, struct reeve_why *why)
{
    struct accounts *accounts = call->manager->accounts;
    const struct account_args *args = call->args;
    enum reeve_err err = account_files_look(accounts, ACCOUNT_LOOK_PLAN, why);
    if (err != REEVE_OK) {
        return err;
    }
    bool given = reeve_value_kind(reeve_value_get(call->command.args, "apply")) != REEVE_NULL;
    bool apply = given ? args->apply : accounts->seen.watch_apply;
    apply = apply && !call->command.dry_run;
    struct reeve_value *result = reeve_value_map();
    (void)reeve_value_put(result, "plan", plan_value(accounts)); /* remembered: reeve_value_built() */
    size_t done = apply ? account_plan_apply(accounts) : 0;
    reeve_put_bool(result, "applied", apply);
    reeve_put_int(result, "changes", (int64_t)done);
    reeve_put_int(result, "valid", (int64_t)accounts->seen.valid);
    reeve_put_int(result, "invalid", (int64_t)accounts->seen.invalid);
    return call_done(call, result, "%zu valid, %zu invalid, %s", accounts->seen.valid, accounts->seen.invalid,
                     apply ? "applied" : "nothing applied");
}

// ---- start, stop, restart -------------------------------------------------------------------------------------------

static enum reeve_err run_batch(struct call *call, enum batch_kind kind, struct reeve_why *why)
{
    struct accounts *accounts = call->manager->accounts;
    const struct account_args *args = call->args;
    struct reeve_strv ids = {0};
    struct reeve_why reason = {0};
    const struct batch_options options = {
        .kind = kind,
        .validate = kind != BATCH_STOP && args->validate,
        .no_defaults = kind == BATCH_START && !args->apply_defaults,
        .all_or_nothing = args->all_or_nothing,
        .move = args->move,
        .single = call->subject[0] != '\0',
        .canary = args->canary,
        .timeout_ms = args->timeout_ms,
        .grace_ms = reeve_value_get(call->command.args, "grace") != NULL ? args->grace_ms : -1,
    };
    if (kind != BATCH_STOP && hold_fleet_stopped(call->manager->holds)) {
        return reeve_fail(why, REEVE_CONFLICT, "the fleet is stopped: `start` with `all` ends that");
    }
    enum reeve_err err = kind != BATCH_STOP ? account_files_look(accounts, ACCOUNT_LOOK_IF_CHANGED, &reason) : REEVE_OK;
    if (err != REEVE_OK && options.validate) {
        return reeve_fail(why, err, "%s; `validate: false` starts what was right before", reason.text);
    }
    err = options.no_defaults ? account_bare_load(accounts, why) : REEVE_OK;
    err = err == REEVE_OK ? select_accounts(call, false, &ids, why) : err;
    if (err != REEVE_OK) {
        reeve_strv_done(&ids);
        return err;
    }
    return account_batch_run(call, &options, &ids, why);
}

#define RUN(name_, kind_)                                                                                              \
    enum reeve_err op_##name_##_run(struct call *call, struct reeve_why *why)                                          \
    {                                                                                                                  \
        return run_batch(call, kind_, why);                                                                            \
    }
RUN(accounts_start, BATCH_START)
RUN(accounts_stop, BATCH_STOP)
RUN(accounts_restart, BATCH_RESTART)
RUN(account_start, BATCH_START)
RUN(account_stop, BATCH_STOP)
RUN(account_restart, BATCH_RESTART)
