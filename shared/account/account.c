// One account: decoded, copied, shown, and the worker that runs for it.
// Must not: read files, or know rules.
#include "account_internal.h"

#include <stdlib.h>
#include <string.h>

// ---- the template ---------------------------------------------------------------------------------------------------

// What follows from the account or is the manager's to say.
static const struct {
    const char *key, *why;
} taken_keys[] = {
    {"name", "the worker is named " REEVE_ACCOUNT_PREFIX "<account_id>"},
    {"account", "it is the account's own"},
    {"pool", "an account's worker belongs to no pool"},
    {"desired", "accounts are started and stopped by command"},
    {"ttl", "an account's worker lives until it is stopped"},
    {"fence", "the manager counts it"},
    {"self_stop_after", "leases are for pools"},
};

static void check_taken(const struct reeve_value *worker, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(taken_keys); i++) {
        const struct reeve_value *value = reeve_value_get(worker, taken_keys[i].key);
        if (reeve_value_kind(value) != REEVE_NULL) {
            reeve_errors_add(errors, value, reeve_path_join(buf, "worker", taken_keys[i].key),
                             "can't be given here: %s", taken_keys[i].why);
        }
    }
    const struct reeve_value *account = reeve_value_get(reeve_value_get(worker, "config"), "account");
    if (account != NULL) {
        reeve_errors_add(errors, account, "worker.config.account",
                         "can't be given here: it is made of the account's other keys");
    }
}

// A template of the defaults needs no program yet.
static struct reeve_value *with_program(const struct reeve_value *worker)
{
    struct reeve_value *whole = reeve_value_clone(worker);
    if (reeve_value_get(whole, "type") == NULL && reeve_value_get(whole, "command") == NULL) {
        reeve_put_str(whole, "type", "any");
    }
    return whole;
}

enum reeve_err account_check_template(const struct reeve_value *worker, bool partial, struct reeve_errors *errors)
{
    struct reeve_spec spec;
    size_t before = errors->errors;
    if (reeve_value_kind(worker) != REEVE_MAP) {
        if (!partial || reeve_value_kind(worker) != REEVE_NULL) {
            reeve_errors_add(errors, worker, "worker", "%s given, expected the worker to run, such as {type: trading}",
                             reeve_kind_text(reeve_value_kind(worker)));
        }
        return errors->errors > before ? REEVE_INVALID : REEVE_OK;
    }
    account_check_secrets(reeve_value_get(worker, "env"), "worker.env", false, errors);
    account_check_secrets(reeve_value_get(worker, "config"), "worker.config", false, errors);
    account_check_argv(reeve_value_get(worker, "command"), "worker.command", errors);
    check_taken(worker, errors);
    REEVE_VALUE_AUTO whole = partial ? with_program(worker) : NULL;
    if (partial && (whole == NULL || reeve_value_built(whole) != REEVE_OK)) {
        return REEVE_NOMEM;
    }
    enum reeve_err err = reeve_spec_decode(partial ? whole : worker, "worker", &spec, errors);
    if (err == REEVE_OK) {
        reeve_spec_done(&spec);
    }
    return err != REEVE_OK ? err : errors->errors > before ? REEVE_INVALID : REEVE_OK;
}

// ---- decoding -------------------------------------------------------------------------------------------------------

// The template in its shortest spelling, so that 512M and 536870912 are no change.
static enum reeve_err settle_template(struct reeve_account *account, struct reeve_errors *errors)
{
    struct reeve_spec spec;
    struct reeve_value *value = NULL;
    enum reeve_err err = reeve_spec_decode(account->worker, "worker", &spec, errors);
    if (err != REEVE_OK) {
        return err; // out of memory: it was decoded by the check
    }
    err = reeve_spec_encode(&spec, REEVE_ENCODE_SKIP_PRESETS | REEVE_ENCODE_WITH_SECRETS, &value);
    reeve_spec_done(&spec);
    if (err == REEVE_OK) {
        reeve_value_free(account->worker);
        account->worker = value;
    }
    return err;
}

static enum reeve_err settle(struct reeve_account *account, struct reeve_errors *errors)
{
    size_t warnings = errors->warnings;
    size_t len = errors->len;
    enum reeve_err err = settle_template(account, errors);
    if (err == REEVE_OK) { // what the template's second decoding warns about was told by the first
        errors->warnings = warnings;
        errors->len = len;
        err = reeve_record_encode(&reeve_account_record, account, REEVE_ENCODE_WITH_SECRETS, &account->merged);
    }
    if (err == REEVE_OK) {
        account->digest = reeve_value_digest(account->merged);
    }
    return err;
}

enum reeve_err reeve_account_decode(const struct reeve_value *value, struct reeve_account *ret,
                                    struct reeve_errors *errors)
{
    struct reeve_account account;
    enum reeve_err err = reeve_record_decode(&reeve_account_record, value, "", &account, errors);
    // Also when the rest is wrong, so that one pass finds all mistakes.
    enum reeve_err template =
        err != REEVE_NOMEM ? account_check_template(reeve_value_get(value, "worker"), false, errors) : REEVE_OK;
    if (err != REEVE_OK) {
        return template == REEVE_NOMEM ? template : err;
    }
    err = template == REEVE_OK ? settle(&account, errors) : template;
    if (err != REEVE_OK) {
        reeve_account_done(&account);
        return err;
    }
    *ret = account;
    return REEVE_OK;
}

enum reeve_err reeve_account_copy(const struct reeve_account *account, struct reeve_account *ret)
{
    struct reeve_account copy;
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return REEVE_NOMEM;
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_account_decode(account->merged, &copy, errors);
    free(errors);
    REEVE_ASSERT(err == REEVE_OK || err == REEVE_NOMEM); // what was decoded encodes to what decodes
    if (err == REEVE_OK && account->file != NULL && (copy.file = strdup(account->file)) == NULL) {
        reeve_account_done(&copy);
        err = REEVE_NOMEM;
    }
    if (err == REEVE_OK) {
        *ret = copy;
    }
    return err;
}

void reeve_account_done(struct reeve_account *account)
{
    reeve_value_free(account->merged);
    free(account->file);
    reeve_record_done(&reeve_account_record, account); // zeroes it
}

enum reeve_err reeve_account_value(const struct reeve_account *account, struct reeve_value **ret)
{
    struct reeve_value *value = account_mask(account->merged);
    if (value == NULL) {
        return REEVE_NOMEM;
    }
    *ret = value;
    return REEVE_OK;
}

// ---- its worker -----------------------------------------------------------------------------------------------------

// The account as its worker gets it: all but what is not the worker's to know.
static struct reeve_value *settings_of(const struct reeve_account *account)
{
    static const char *const left_out[] = {"worker", "require", "enabled"};
    struct reeve_value *settings = reeve_value_clone(account->merged);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(left_out); i++) {
        (void)reeve_value_remove(settings, left_out[i]);
    }
    return settings;
}

// The spec as a MAP; NULL = out of memory.
static struct reeve_value *spec_value(const struct reeve_account *account)
{
    char name[REEVE_NAME_SIZE + sizeof REEVE_ACCOUNT_PREFIX] = REEVE_ACCOUNT_PREFIX;
    REEVE_VALUE_AUTO value = reeve_value_clone(account->worker);
    struct reeve_value *config = reeve_value_get_mut(value, "config");
    if (config == NULL) {
        config = reeve_value_map();
        (void)reeve_value_put(value, "config", config); /* remembered: reeve_value_built() */
        config = reeve_value_get_mut(value, "config");
    }
    (void)reeve_value_put(config, "account", settings_of(account)); /* as above */
    strncat(name, account->account_id, REEVE_NAME_SIZE);
    reeve_put_str(value, "name", name);
    reeve_put_str(value, "account", account->account_id);
    return value != NULL && reeve_value_built(value) == REEVE_OK ? reeve_value_take(&value) : NULL;
}

enum reeve_err reeve_account_spec(const struct reeve_account *account, struct reeve_spec *ret,
                                  struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO value = spec_value(account);
    return value != NULL ? reeve_spec_decode(value, "worker", ret, errors) : REEVE_NOMEM;
}

enum reeve_err reeve_account_spec_digests(const struct reeve_account *account, uint64_t *ret_restart,
                                          uint64_t *ret_live)
{
    REEVE_VALUE_AUTO value = spec_value(account);
    REEVE_VALUE_AUTO live = reeve_value_map();
    struct reeve_value *config = reeve_value_get_mut(value, "config");
    struct reeve_value *settings = config != NULL ? reeve_value_get_mut(config, "account") : NULL;
    for (size_t i = 0; settings != NULL && account_live_keys[i] != NULL; i++) {
        const struct reeve_value *item = reeve_value_get(settings, account_live_keys[i]);
        (void)reeve_value_put(live, account_live_keys[i], reeve_value_clone(item)); /* remembered */
        (void)reeve_value_remove(settings, account_live_keys[i]);
    }
    if (settings == NULL || live == NULL || reeve_value_built(live) != REEVE_OK) {
        return REEVE_NOMEM;
    }
    *ret_restart = reeve_value_digest(value);
    *ret_live = reeve_value_digest(live);
    return REEVE_OK;
}
