// What became different from one version of an account to the next, key by key, and what each difference takes.
// Must not: show a secret, or the reference to one.
#include "account_internal.h"

#include <stdio.h>
#include <string.h>

// Everything that is not named here restarts the worker.
static const struct {
    const char *key; // or all below it
    enum reeve_account_effect effect;
} effects[] = {
    {"account_id", REEVE_ACCOUNT_IMMUTABLE}, {"enabled", REEVE_ACCOUNT_LIVE}, // the manager's own
    {"require", REEVE_ACCOUNT_LIVE},                                          // for the next time that it is placed
    {"default_risk", REEVE_ACCOUNT_LIVE},    {"currencies", REEVE_ACCOUNT_LIVE},
};

const char *reeve_account_effect_text(enum reeve_account_effect effect)
{
    static const char *const texts[] = {"live", "restart", "immutable"};
    return texts[effect];
}

static enum reeve_account_effect effect_of(const char *key)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(effects); i++) {
        size_t len = strlen(effects[i].key);
        if (strncmp(key, effects[i].key, len) == 0 && (key[len] == '\0' || key[len] == '.')) {
            return effects[i].effect;
        }
    }
    return REEVE_ACCOUNT_RESTART;
}

struct comparison {
    struct reeve_value *list;
    enum reeve_account_effect effect;
};

static void note(struct comparison *found, const char *key, const struct reeve_value *from,
                 const struct reeve_value *to)
{
    struct reeve_value *entry = reeve_value_map();
    enum reeve_account_effect effect = effect_of(key);
    reeve_put_str(entry, "key", key);
    reeve_put_str(entry, "effect", reeve_account_effect_text(effect));
    (void)reeve_value_put(entry, "from", reeve_value_clone(from)); /* remembered: reeve_value_built() */
    (void)reeve_value_put(entry, "to", reeve_value_clone(to));
    (void)reeve_value_add(found->list, entry);
    found->effect = effect > found->effect ? effect : found->effect;
}

// The entry of a list of currencies with that symbol; NULL.
static const struct reeve_value *of_symbol(const struct reeve_value *list, const char *symbol)
{
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        if (reeve_str_eq(reeve_get_str(reeve_value_at(list, i), "symbol"), symbol)) {
            return reeve_value_at(list, i);
        }
    }
    return NULL;
}

struct pair { // the same place before and after, as it is and as it is shown
    const struct reeve_value *from, *to, *from_shown, *to_shown;
};

static struct pair below(const struct pair *pair, const char *key)
{
    return (struct pair){reeve_value_get(pair->from, key), reeve_value_get(pair->to, key),
                         reeve_value_get(pair->from_shown, key), reeve_value_get(pair->to_shown, key)};
}

static bool same(const struct pair *pair)
{
    bool both_none = reeve_value_kind(pair->from) == REEVE_NULL && reeve_value_kind(pair->to) == REEVE_NULL;
    return both_none || (pair->from != NULL && pair->to != NULL && reeve_value_equal(pair->from, pair->to));
}

static void compare_map(struct comparison *found, const char *path, const struct pair *pair, unsigned depth);

static void compare_key(struct comparison *found, const char *path, const struct pair *pair, unsigned depth)
{
    if (same(pair)) {
        return;
    }
    if (depth > 0 && reeve_value_kind(pair->from) == REEVE_MAP && reeve_value_kind(pair->to) == REEVE_MAP) {
        compare_map(found, path, pair, depth - 1);
        return;
    }
    note(found, path, pair->from_shown, pair->to_shown);
}

static void compare_map(struct comparison *found, const char *path, const struct pair *pair, unsigned depth)
{
    char buf[REEVE_PATH_SIZE];
    for (size_t i = 0; i < reeve_value_len(pair->to); i++) {
        const char *key = reeve_value_key(pair->to, i);
        const struct pair item = below(pair, key);
        compare_key(found, reeve_path_join(buf, path, key), &item, depth);
    }
    for (size_t i = 0; i < reeve_value_len(pair->from); i++) {
        const char *key = reeve_value_key(pair->from, i);
        if (reeve_value_get(pair->to, key) == NULL) {
            const struct pair item = below(pair, key);
            compare_key(found, reeve_path_join(buf, path, key), &item, depth);
        }
    }
}

// By symbol, so that one more at the front is one change and not many.
static void compare_currencies(struct comparison *found, const struct pair *pair)
{
    size_t before = reeve_value_len(found->list);
    for (int side = 0; side < 2; side++) {
        const struct reeve_value *list = side == 0 ? pair->to : pair->from;
        for (size_t i = 0; i < reeve_value_len(list); i++) {
            char path[REEVE_PATH_SIZE];
            const char *symbol = reeve_get_str(reeve_value_at(list, i), "symbol");
            const struct pair item = {of_symbol(pair->from, symbol), of_symbol(pair->to, symbol),
                                      of_symbol(pair->from_shown, symbol), of_symbol(pair->to_shown, symbol)};
            if ((side == 0 || item.to == NULL) && !same(&item)) {
                note(found, reeve_path_join(path, "currencies", symbol), item.from_shown, item.to_shown);
            }
        }
    }
    if (!same(pair) && reeve_value_len(found->list) == before) { // another order, or a symbol listed twice
        note(found, "currencies", pair->from_shown, pair->to_shown);
    }
}

static void compare_accounts(struct comparison *found, const struct pair *accounts)
{
    struct pair rest = *accounts;
    const struct pair currencies = below(accounts, "currencies");
    compare_currencies(found, &currencies);
    REEVE_VALUE_AUTO from = reeve_value_clone(accounts->from);
    REEVE_VALUE_AUTO to = reeve_value_clone(accounts->to);
    (void)reeve_value_remove(from, "currencies");
    (void)reeve_value_remove(to, "currencies");
    rest.from = from;
    rest.to = to;
    if (from == NULL || to == NULL) {
        (void)reeve_value_add(found->list, NULL); /* remembered: out of memory */
        return;
    }
    compare_map(found, "", &rest, 1);
}

enum reeve_err reeve_account_changes(const struct reeve_account *old, const struct reeve_account *new_,
                                     struct reeve_value **ret, enum reeve_account_effect *ret_effect)
{
    REEVE_VALUE_AUTO from_shown = account_mask(old->merged);
    REEVE_VALUE_AUTO to_shown = account_mask(new_->merged);
    REEVE_VALUE_AUTO list = reeve_value_list();
    struct comparison found = {.list = list, .effect = REEVE_ACCOUNT_LIVE};
    const struct pair accounts = {old->merged, new_->merged, from_shown, to_shown};
    if (from_shown == NULL || to_shown == NULL || list == NULL) {
        return REEVE_NOMEM;
    }
    compare_accounts(&found, &accounts);
    if (reeve_value_built(list) != REEVE_OK) {
        return REEVE_NOMEM;
    }
    *ret = reeve_value_take(&list);
    *ret_effect = found.effect;
    return REEVE_OK;
}
