// Accounts in memory, in the store and as retained records.
// Must not: read files (account_files.c), or decide what an account does next (account_run.c).
#include "account_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_texts[] = {
#define X(id, text) [ACCOUNT_##id] = (text),
    ACCOUNT_STATE_LIST(X)
#undef X
};

const char *account_state_text(enum account_state state)
{
    return state_texts[state];
}

static enum account_state state_parse(const char *text)
{
    for (int state = ACCOUNT_CREATED; state <= ACCOUNT_RESTARTING; state++) {
        if (reeve_str_eq(text, account_state_text((enum account_state)state))) {
            return (enum account_state)state;
        }
    }
    return ACCOUNT_CREATED;
}

// ---- entries --------------------------------------------------------------------------------------------------------

struct account_entry *account_find(const struct accounts *accounts, const char *id)
{
    return reeve_map_get(accounts->entries, id);
}

static void entry_free(void *value)
{
    struct account_entry *entry = value;
    if (entry->has_account) {
        reeve_account_done(&entry->account);
    }
    free(entry);
}

struct account_entry *account_new(struct accounts *accounts, const char *id)
{
    struct account_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL || reeve_map_put(accounts->entries, id, entry, NULL) != REEVE_OK) {
        free(entry);
        return NULL;
    }
    entry->accounts = accounts;
    entry->since_at = reeve_clock_wall_ms();
    entry->stop_grace_ms = -1;
    entry->touched = true;
    (void)snprintf(entry->id, sizeof entry->id, "%s", id);                                 // a name
    (void)snprintf(entry->worker, sizeof entry->worker, REEVE_ACCOUNT_PREFIX "%.55s", id); // ids are bounded
    return entry;
}

static const char *status_topic(const struct account_entry *entry, char buf[REEVE_TOPIC_SIZE])
{
    (void)snprintf(buf, REEVE_TOPIC_SIZE, "account/%s/status", entry->id);
    return buf;
}

void account_forget(struct account_entry *entry)
{
    char topic[REEVE_TOPIC_SIZE];
    struct accounts *accounts = entry->accounts;
    reeve_log(REEVE_LOG_INFO, "account", "account=%s forgotten=true", entry->id);
    (void)store_remove(accounts->manager->store, STORE_ACCOUNT, entry->id, NULL); /* the commit of the turn tells */
    manager_publish(accounts->manager, LEAVING_RECORD, status_topic(entry, topic), NULL, 0);
    (void)reeve_map_remove(accounts->entries, entry->id); /* is `entry` */
    entry_free(entry);
}

enum reeve_err account_take(struct account_entry *entry, struct reeve_account *account)
{
    uint64_t restart;
    uint64_t live;
    enum reeve_err err = reeve_account_spec_digests(account, &restart, &live);
    if (err != REEVE_OK) {
        reeve_account_done(account);
        return err;
    }
    if (entry->has_account) {
        reeve_account_done(&entry->account);
    }
    entry->account = *account;
    entry->has_account = true;
    entry->restart_digest = restart;
    entry->live_digest = live;
    *account = (struct reeve_account){0};
    return REEVE_OK;
}

bool account_runs(const struct account_entry *entry)
{
    return entry->wanted && !entry->gone && entry->has_account && entry->account.enabled;
}

bool account_down(const struct account_entry *entry)
{
    return entry->state == ACCOUNT_CREATED || entry->state == ACCOUNT_STOPPED;
}

static int by_id(const void *a, const void *b)
{
    const struct account_entry *const *left = a;
    const struct account_entry *const *right = b;
    return strcmp((*left)->id, (*right)->id);
}

struct account_entry **accounts_sorted(const struct accounts *accounts, size_t *ret_len)
{
    size_t len = 0;
    struct account_entry **list = calloc(reeve_map_len(accounts->entries) + 1, sizeof(void *));
    for (struct reeve_map_iter it = {0}; list != NULL && reeve_map_next(accounts->entries, &it);) {
        list[len++] = it.value;
    }
    if (list != NULL) {
        qsort(list, len, sizeof(void *), by_id);
    }
    *ret_len = len;
    return list;
}

// ---- store ----------------------------------------------------------------------------------------------------------

// Digests are compared, never read by people: as whole numbers of the same bits.
static void put_digest(struct reeve_value *document, const char *key, uint64_t digest)
{
    if (digest != 0) {
        reeve_put_int(document, key, (int64_t)digest);
    }
}

static struct reeve_value *document_of(const struct account_entry *entry)
{
    struct reeve_value *document = reeve_value_map();
    if (entry->has_account) { // holds references, no secrets
        (void)reeve_value_put(document, "account", reeve_value_clone(entry->account.merged)); /* the put below tells */
        reeve_put_str_opt(document, "file", entry->account.file);
    }
    reeve_put_str(document, "desired", entry->wanted ? "running" : "stopped");
    reeve_put_str(document, "state", account_state_text(entry->state));
    reeve_put_str_opt(document, "node", entry->node);
    reeve_put_str_opt(document, "error", entry->error);
    reeve_put_str_opt(document, "started_by", entry->started_by);
    reeve_put_int(document, "since_at", entry->since_at);
    reeve_put_int(document, "started_at", entry->started_at);
    reeve_put_int(document, "stopped_at", entry->stopped_at);
    reeve_put_bool(document, "no_defaults", entry->no_defaults);
    reeve_put_bool(document, "gone", entry->gone);
    put_digest(document, "given_restart", entry->given_restart);
    put_digest(document, "given_live", entry->given_live);
    put_digest(document, "configured_live", entry->configured_live);
    reeve_put_int(document, "configured_run", entry->configured_run);
    reeve_put_int(document, "run_above", entry->run_above);
    return document;
}

static void publish(struct account_entry *entry, bool again)
{
    char topic[REEVE_TOPIC_SIZE];
    REEVE_VALUE_AUTO status = account_status_value(entry);
    uint64_t digest = reeve_value_digest(status);
    if (status == NULL || (!again && digest == entry->published)) {
        return;
    }
    entry->published = digest;
    reeve_put_int(status, "at", reeve_clock_wall_ms());
    manager_publish(entry->accounts->manager, LEAVING_RECORD, status_topic(entry, topic), reeve_value_take(&status), 0);
}

void account_store(struct account_entry *entry)
{
    REEVE_VALUE_AUTO document = document_of(entry);
    (void)store_put(entry->accounts->manager->store, STORE_ACCOUNT, entry->id, document, NULL); /* the commit tells */
    publish(entry, false);
}

static void copy_text(char *to, size_t to_size, const struct reeve_value *document, const char *key)
{
    const char *text = reeve_get_str(document, key);
    (void)snprintf(to, to_size, "%s", text != NULL ? text : ""); // what was stored fits
}

static void load_account(struct account_entry *entry, const struct reeve_value *document)
{
    struct reeve_account account;
    const struct reeve_value *value = reeve_value_get(document, "account");
    const char *file = reeve_get_str(document, "file");
    struct reeve_errors *errors = calloc(1, sizeof *errors);
    if (errors == NULL || value == NULL) {
        free(errors);
        return;
    }
    reeve_errors_init(errors, "stored account");
    enum reeve_err err = reeve_account_decode(value, &account, errors);
    if (err == REEVE_OK) {
        account.file = file != NULL ? strdup(file) : NULL;
        err = account_take(entry, &account);
    }
    if (err != REEVE_OK) { // of an older version; its file brings it back
        struct reeve_why why = {0};
        (void)reeve_errors_result(errors, &why); /* told here */
        reeve_log(REEVE_LOG_WARNING, "account", "account=%s stored=\"%s\" ignoring", entry->id, why.text);
    }
    free(errors);
}

static void load_entry(const char *key, const struct reeve_value *document, void *arg)
{
    struct account_entry *entry = account_new(arg, key);
    if (entry == NULL) {
        return; // out of memory; the store still has it
    }
    load_account(entry, document);
    entry->wanted = reeve_str_eq(reeve_get_str(document, "desired"), "running");
    entry->state = state_parse(reeve_get_str(document, "state"));
    copy_text(entry->node, sizeof entry->node, document, "node");
    copy_text(entry->error, sizeof entry->error, document, "error");
    copy_text(entry->started_by, sizeof entry->started_by, document, "started_by");
    entry->since_at = reeve_get_int(document, "since_at", entry->since_at);
    entry->started_at = reeve_get_int(document, "started_at", 0);
    entry->stopped_at = reeve_get_int(document, "stopped_at", 0);
    entry->no_defaults = reeve_get_bool(document, "no_defaults", false);
    entry->gone = reeve_get_bool(document, "gone", false);
    entry->given_restart = (uint64_t)reeve_get_int(document, "given_restart", 0);
    entry->given_live = (uint64_t)reeve_get_int(document, "given_live", 0);
    entry->configured_live = (uint64_t)reeve_get_int(document, "configured_live", 0);
    entry->configured_run = reeve_get_int(document, "configured_run", 0);
    entry->run_above = reeve_get_int(document, "run_above", 0);
    entry->unsure = entry->node[0] != '\0'; // an order may have left before the end of the former manager
}

enum reeve_err accounts_load(struct accounts *accounts, struct reeve_why *why)
{
    struct reeve_map *fresh = reeve_map_new(REEVE_ACCOUNTS_MAX);
    if (fresh == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_map_free(accounts->entries, entry_free);
    accounts->entries = fresh;
    enum reeve_err err = store_each(accounts->manager->store, STORE_ACCOUNT, "", load_entry, accounts, why);
    if (err == REEVE_OK && accounts->has_seen) { // after a failed turn: what is valid is judged anew
        accounts->fingerprint = 0;
        accounts->look_mono = 0;
    }
    return err;
}

// ---- state and status -----------------------------------------------------------------------------------------------

__attribute__((format(printf, 2, 0))) static void set_error(struct account_entry *entry, const char *fmt, va_list args)
{
    if (fmt == NULL) {
        entry->error[0] = '\0';
        return;
    }
    (void)vsnprintf(entry->error, sizeof entry->error, fmt, args); // cut
}

void account_say(struct account_entry *entry, const char *fmt, ...)
{
    char before[ACCOUNT_ERROR_SIZE];
    va_list args;
    memcpy(before, entry->error, sizeof before);
    va_start(args, fmt);
    set_error(entry, fmt, args);
    va_end(args);
    if (strcmp(before, entry->error) != 0) {
        account_store(entry);
    }
}

void account_set_state(struct account_entry *entry, enum account_state state, const char *fmt, ...)
{
    char before[ACCOUNT_ERROR_SIZE];
    enum account_state from = entry->state;
    va_list args;
    memcpy(before, entry->error, sizeof before);
    va_start(args, fmt);
    set_error(entry, fmt, args);
    va_end(args);
    if (from == state && strcmp(before, entry->error) == 0) {
        return;
    }
    if (from != state) {
        int64_t now = reeve_clock_wall_ms();
        entry->state = state;
        entry->since_at = now;
        entry->started_at = state == ACCOUNT_RUNNING ? now : entry->started_at;
        entry->stopped_at = state == ACCOUNT_STOPPED || state == ACCOUNT_FAILED ? now : entry->stopped_at;
        char quoted[ACCOUNT_ERROR_SIZE + 32];
        reeve_log(REEVE_LOG_INFO, "account", "account=%s from=%s to=%s node=%s error=%s", entry->id,
                  account_state_text(from), account_state_text(state), entry->node,
                  reeve_log_quote(entry->error, quoted, sizeof quoted));
    }
    account_store(entry);
}

struct reeve_value *account_status_value(const struct account_entry *entry)
{
    struct reeve_value *status = reeve_value_map();
    reeve_put_str(status, "account", entry->id);
    reeve_put_str(status, "state", account_state_text(entry->state));
    reeve_put_bool(status, "enabled", !entry->has_account || entry->account.enabled);
    reeve_put_bool(status, "valid", !entry->invalid);
    reeve_put_str(status, "desired", account_runs(entry) ? "running" : "stopped");
    reeve_put_str(status, "worker", entry->worker);
    reeve_put_str_opt(status, "node", entry->node);
    reeve_put_int(status, "since", entry->since_at);
    reeve_put_int(status, "started_at", entry->started_at);
    reeve_put_int(status, "stopped_at", entry->stopped_at);
    reeve_put_str_opt(status, "error", entry->error);
    reeve_put_int(status, "restarts", entry->restarts);
    if (reeve_value_built(status) != REEVE_OK) {
        reeve_value_free(status);
        return NULL;
    }
    return status;
}

void accounts_publish(struct accounts *accounts)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        publish(it.value, true);
    }
}

void account_touch(struct account_entry *entry)
{
    entry->touched = true;
    manager_tick_soon(entry->accounts->manager);
}

// ---- the room -------------------------------------------------------------------------------------------------------

static void on_fleet(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                     const struct fleet_worker *worker, void *arg)
{
    struct accounts *accounts = arg;
    if (worker == NULL) {
        accounts->swept_mono = change == FLEET_NODE ? 0 : accounts->swept_mono; // all of its accounts
        return;
    }
    (void)node;
    if (change != FLEET_WORKER && change != FLEET_WORKER_GONE) {
        return;
    }
    const struct fleet_worker_info info = fleet_worker_info(manager->fleet, worker);
    if (!reeve_str_starts(info.name, REEVE_ACCOUNT_PREFIX)) {
        return;
    }
    struct account_entry *entry = account_find(accounts, info.name + strlen(REEVE_ACCOUNT_PREFIX));
    if (entry != NULL) {
        account_touch(entry);
    }
}

enum reeve_err accounts_new(struct manager *manager, struct accounts **ret, struct reeve_why *why)
{
    struct accounts *accounts = calloc(1, sizeof *accounts);
    if (accounts == NULL || (accounts->entries = reeve_map_new(REEVE_ACCOUNTS_MAX)) == NULL) {
        free(accounts);
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    accounts->manager = manager;
    accounts->path = manager->config.manager.accounts_dir;
    enum reeve_err err = fleet_listen(manager->fleet, on_fleet, accounts);
    if (err != REEVE_OK) {
        reeve_map_free(accounts->entries, NULL);
        free(accounts);
        return reeve_fail(why, err, "accounts can't listen to the fleet");
    }
    account_files_start(accounts);
    *ret = accounts;
    return REEVE_OK;
}

void accounts_free(struct accounts *accounts)
{
    if (accounts == NULL) {
        return;
    }
    account_batches_free(accounts);
    account_files_free(accounts);
    reeve_map_free(accounts->entries, entry_free);
    free(accounts);
}

// ---- the tick -------------------------------------------------------------------------------------------------------

// Nodes that have accounts to run and can't be seen: one alarm each, so that 500 accounts are not 500 alarms.
static void note_away(struct accounts *accounts, struct reeve_map *away, struct account_entry *entry)
{
    const struct fleet *fleet = accounts->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, entry->node);
    int64_t since = node != NULL ? fleet_node_info(fleet, node).away_since_mono : 1;
    if (!account_runs(entry) || entry->node[0] == '\0' || account_node_live(accounts, entry->node) ||
        (since > 0 && reeve_clock_mono_ms() - since < ACCOUNT_AWAY_MS)) {
        return;
    }
    size_t count = (size_t)(uintptr_t)reeve_map_get(away, entry->node);
    (void)reeve_map_put(away, entry->node, (void *)(uintptr_t)(count + 1), NULL); /* out of memory: the next sweep */
}

#define ALARM_AWAY "accounts_unreachable"

static void alarm_away(struct accounts *accounts, struct reeve_map *away)
{
    struct manager *manager = accounts->manager;
    for (struct reeve_map_iter it = {0}; reeve_map_next(away, &it);) {
        size_t count = (size_t)(uintptr_t)it.value;
        if (!alarm_is_open(manager, ALARM_AWAY, it.key)) {
            alarm_open(
                manager, ALARM_AWAY, it.key, ALARM_ERROR, NULL,
                "node %s can't be seen: %zu accounts may run there or not; none is started elsewhere, two of one "
                "account could run",
                it.key, count);
        }
    }
    REEVE_VALUE_AUTO open = alarms_value(manager->alarms);
    for (size_t i = 0; i < reeve_value_len(open); i++) {
        const struct reeve_value *alarm = reeve_value_at(open, i);
        const char *subject = reeve_get_str(alarm, "subject");
        if (reeve_str_eq(reeve_get_str(alarm, "kind"), ALARM_AWAY) && reeve_map_get(away, subject) == NULL) {
            alarm_close(manager, ALARM_AWAY, subject);
        }
    }
}

static void sweep_away(struct accounts *accounts)
{
    struct reeve_map *away = reeve_map_new(0);
    for (struct reeve_map_iter it = {0}; away != NULL && reeve_map_next(accounts->entries, &it);) {
        note_away(accounts, away, it.value);
    }
    if (away != NULL) {
        alarm_away(accounts, away);
        reeve_map_free(away, NULL);
    }
}

// A worker of an account on a node that is not the account's.
static bool see_worker(const struct fleet_worker *worker, void *arg)
{
    struct accounts *accounts = arg;
    const struct fleet_worker_info info = fleet_worker_info(accounts->manager->fleet, worker);
    if (info.account != NULL && reeve_str_starts(info.name, REEVE_ACCOUNT_PREFIX)) {
        account_surplus(accounts, &info);
    }
    return true;
}

void accounts_tick(struct accounts *accounts)
{
    struct account_places *places = NULL;
    struct fleet *fleet = accounts->manager->fleet;
    int64_t now = reeve_clock_mono_ms();
    account_files_tick(accounts);
    if (!fleet_known(fleet) || fleet_held(fleet)) {
        return; // nothing may be concluded from absence
    }
    bool sweep = accounts->swept_mono == 0 || now - accounts->swept_mono >= 1000;
    if (sweep) {
        accounts->swept_mono = now;
        if (reeve_map_len(accounts->entries) > 0) { // who has none has no surplus
            fleet_each_worker(fleet, see_worker, accounts);
        }
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(accounts->entries, &it);) {
        struct account_entry *entry = it.value;
        if (sweep || entry->touched) {
            entry->touched = false;
            account_observe(entry);
            account_reconcile(entry, &places); // may forget it
        }
    }
    account_places_free(places);
    if (sweep) {
        sweep_away(accounts);
    }
    account_batches_tick(accounts);
}

size_t accounts_len(const struct accounts *accounts)
{
    return reeve_map_len(accounts->entries);
}
