// Secrets in account files: what is one by its name, that it has to be a reference, and how it is shown.
// Must not: repeat a secret in a message, or read what a reference points at.
#include "account_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MASK           "***"
#define NAME_LOWER_MAX 128

static const char *const secret_words[] = {"password",   "passwd",      "passphrase",   "secret",
                                           "api_key",    "apikey",      "mnemonic",     "private_key",
                                           "privatekey", "seed_phrase", "access_token", "auth_token"};
// Names of places, not of secrets: password_file.
static const char *const place_endings[] = {"_file", "_path", "_ref"};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    size_t end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

// By its name. `name` need not end in NUL at `len`.
static bool names_secret(const char *name, size_t len)
{
    char lower[NAME_LOWER_MAX];
    len = len < sizeof lower ? len : sizeof lower - 1;
    for (size_t i = 0; i < len; i++) {
        lower[i] = name[i] == '-' ? '_' : (char)tolower((unsigned char)name[i]);
    }
    lower[len] = '\0';
    for (size_t i = 0; i < REEVE_ARRAY_LEN(place_endings); i++) {
        if (ends_with(lower, place_endings[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(secret_words); i++) {
        if (strstr(lower, secret_words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool variable_name(const char *text)
{
    if (!isalpha((unsigned char)text[0]) && text[0] != '_') {
        return false;
    }
    while (isalnum((unsigned char)*text) || *text == '_') {
        text++;
    }
    return *text == '\0';
}

bool account_is_reference(const char *text)
{
    if (text == NULL) {
        return false;
    }
    if (reeve_str_starts(text, "env:")) {
        return variable_name(text + strlen("env:"));
    }
    return reeve_str_starts(text, "file:/") && text[strlen("file:/")] != '\0';
}

static void refuse_literal(struct reeve_errors *errors, const struct reeve_value *value, const char *path)
{
    const char *text = reeve_value_kind(value) == REEVE_STR ? reeve_value_text(value) : "";
    if (reeve_str_starts(text, "file:")) {
        reeve_errors_add(errors, value, path, "is no usable reference, expected an absolute path: file:/etc/...");
    } else if (reeve_str_starts(text, "env:")) {
        reeve_errors_add(errors, value, path, "is no usable reference, expected the name of a variable: env:NAME");
    } else {
        reeve_errors_add(errors, value, path,
                         "must be a reference (file:/path or env:NAME), never the secret itself; change that secret, "
                         "it has been in a file that people read");
    }
}

void account_check_secrets(const struct reeve_value *value, const char *path, bool secret, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    char name[32];
    switch (reeve_value_kind(value)) {
    case REEVE_NULL:
        return;
    case REEVE_MAP:
        for (size_t i = 0; i < reeve_value_len(value); i++) {
            const char *key = reeve_value_key(value, i);
            account_check_secrets(reeve_value_at(value, i), reeve_path_join(buf, path, key),
                                  secret || names_secret(key, strlen(key)), errors);
        }
        return;
    case REEVE_LIST:
        for (size_t i = 0; i < reeve_value_len(value); i++) {
            (void)snprintf(name, sizeof name, "[%zu]", i);
            account_check_secrets(reeve_value_at(value, i), reeve_path_join(buf, path, name), secret, errors);
        }
        return;
    case REEVE_BOOL:
    case REEVE_INT:
    case REEVE_FLOAT:
    case REEVE_STR:
    case REEVE_BIN:
        break;
    }
    bool reference = reeve_value_kind(value) == REEVE_STR && account_is_reference(reeve_value_text(value));
    if (secret && !reference && !reeve_errors_has(errors, path)) {
        refuse_literal(errors, value, path);
    }
}

// --password=x, or --password x.
void account_check_argv(const struct reeve_value *argv, const char *path, struct reeve_errors *errors)
{
    bool expected = false; // the word before names a secret
    for (size_t i = 0; reeve_value_kind(argv) == REEVE_LIST && i < reeve_value_len(argv); i++) {
        char buf[REEVE_PATH_SIZE];
        char name[32];
        const struct reeve_value *item = reeve_value_at(argv, i);
        const char *word = reeve_value_kind(item) == REEVE_STR ? reeve_value_text(item) : "";
        const char *equal = strchr(word, '=');
        size_t len = equal != NULL ? (size_t)(equal - word) : strlen(word);
        bool literal = expected && word[0] != '-' && !account_is_reference(word);
        bool names = names_secret(word, len) && (word[0] == '-' || equal != NULL);
        if (literal || (names && equal != NULL && !account_is_reference(equal + 1))) {
            (void)snprintf(name, sizeof name, "[%zu]", i);
            refuse_literal(errors, item, reeve_path_join(buf, path, name));
        }
        expected = names && equal == NULL;
    }
}

// ---- showing --------------------------------------------------------------------------------------------------------

static struct reeve_value *mask(const struct reeve_value *value, bool hidden)
{
    enum reeve_kind kind = reeve_value_kind(value);
    struct reeve_value *copy = kind == REEVE_MAP ? reeve_value_map() : kind == REEVE_LIST ? reeve_value_list() : NULL;
    if (kind != REEVE_MAP && kind != REEVE_LIST) {
        bool reference = kind == REEVE_STR && account_is_reference(reeve_value_text(value));
        return hidden || reference ? reeve_value_str(MASK) : reeve_value_clone(value);
    }
    for (size_t i = 0; copy != NULL && i < reeve_value_len(value); i++) {
        const char *key = kind == REEVE_MAP ? reeve_value_key(value, i) : "";
        struct reeve_value *item = mask(reeve_value_at(value, i), hidden || names_secret(key, strlen(key)));
        // Each remembers its failure: reeve_value_built().
        (void)(kind == REEVE_MAP ? reeve_value_put(copy, key, item) : reeve_value_add(copy, item));
    }
    return copy;
}

struct reeve_value *account_mask(const struct reeve_value *account)
{
    static const char *const hidden[] = {"env", "config"};
    REEVE_VALUE_AUTO shown = mask(account, false);
    if (shown == NULL || reeve_value_built(shown) != REEVE_OK) {
        return NULL; // before its parts are replaced, and with them what they remember
    }
    struct reeve_value *worker = reeve_value_get_mut(shown, "worker");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(hidden); i++) {
        const struct reeve_value *item = reeve_value_get(worker, hidden[i]);
        if (item != NULL) {
            (void)reeve_value_put(worker, hidden[i], mask(item, true)); /* remembered: reeve_value_built() */
        }
    }
    return reeve_value_built(shown) == REEVE_OK ? reeve_value_take(&shown) : NULL;
}

bool account_path_secret(const char *path)
{
    const char *last = strrchr(path, '.');
    last = last == NULL ? path : last + 1;
    return names_secret(path, strlen(path)) || names_secret(last, strlen(last)) ||
           reeve_str_starts(path, "worker.env") || reeve_str_starts(path, "worker.config") ||
           reeve_str_starts(path, "worker.command");
}
