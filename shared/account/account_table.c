// The record tables of accounts and of the defaults file, and what no table can say: secrets, the template.
// Must not: hold the bounds of risk; those are rules (account_rules.c), which a project adds to.
#include "account_internal.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX       256
#define REFERENCE_MAX  4096 // a path
#define CURRENCIES_MAX 1024
#define TIMEOUT_MAX_MS (INT64_C(24) * 3600 * 1000)

const char *const account_live_keys[] = {"default_risk", "currencies", NULL};

// ---- risk -----------------------------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_account_risk, member)
static const struct reeve_field risk_fields[] = {
    {.name = "risk_percent",
     .type = REEVE_FIELD_REAL,
     .offset = AT(risk_percent),
     .doc = "Share of the account that one trade may lose, percent."},
    {.name = "max_positions", .type = REEVE_FIELD_INT, .offset = AT(max_positions), .doc = "Positions open at once."},
    {.name = "portfolio_risk_percent",
     .type = REEVE_FIELD_REAL,
     .offset = AT(portfolio_risk_percent),
     .doc = "Share of the account that all open trades together may lose, percent."},
    {.name = "max_concurrent_trades",
     .type = REEVE_FIELD_INT,
     .offset = AT(max_concurrent_trades),
     .doc = "Trades under way at once."},
};
#undef AT
static const struct reeve_record risk_record =
    REEVE_RECORD("default_risk", struct reeve_account_risk, risk_fields, "What the account may risk.");

bool account_is_risk(const char *name)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(risk_fields); i++) {
        if (strcmp(risk_fields[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

// ---- currencies -----------------------------------------------------------------------------------------------------

static void check_map(const struct reeve_value *value, const char *key, const char *path, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    const struct reeve_value *item = reeve_value_get(value, key);
    enum reeve_kind kind = reeve_value_kind(item);
    if (kind != REEVE_NULL && kind != REEVE_MAP) {
        reeve_errors_add(errors, item, reeve_path_join(buf, path, key), "%s given, expected a map",
                         reeve_kind_text(kind));
    }
}

static void check_currency(const void *object, const struct reeve_value *value, const char *path,
                           struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    struct reeve_account_risk risk;
    (void)object;
    check_map(value, "risk", path, errors);
    check_map(value, "position_management", path, errors);
    const struct reeve_value *overrides = reeve_value_get(value, "risk");
    if (reeve_value_kind(overrides) == REEVE_MAP &&
        reeve_record_decode(&risk_record, overrides, reeve_path_join(buf, path, "risk"), &risk, errors) == REEVE_OK) {
        reeve_record_done(&risk_record, &risk);
    }
    account_check_secrets(reeve_value_get(value, "position_management"),
                          reeve_path_join(buf, path, "position_management"), false, errors);
}

#define AT(member) offsetof(struct reeve_account_currency, member)
static const struct reeve_field currency_fields[] = {
    {.name = "symbol",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(symbol),
     .doc = "What is traded: `EURUSD`."},
    {.name = "enabled",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(enabled),
     .preset = "true",
     .doc = "Whether it is traded at present."},
    {.name = "risk",
     .type = REEVE_FIELD_VALUE,
     .offset = AT(risk),
     .doc = "Keys of `default_risk` that are different for this symbol."},
    {.name = "strategy",
     .type = REEVE_FIELD_STR,
     .offset = AT(strategy),
     .min = 1,
     .max = TEXT_MAX,
     .doc = "Name of the strategy, for the worker."},
    {.name = "position_management",
     .type = REEVE_FIELD_VALUE,
     .offset = AT(position_management),
     .doc = "A map for the worker."},
};
#undef AT
static const struct reeve_record currency_record = {
    .name = "currencies",
    .size = sizeof(struct reeve_account_currency),
    .fields = currency_fields,
    .fields_len = REEVE_ARRAY_LEN(currency_fields),
    .doc = "One symbol that the account trades.",
    .check = check_currency,
};

// ---- the account ----------------------------------------------------------------------------------------------------

static void check_id(const struct reeve_value *value, struct reeve_errors *errors)
{
    const struct reeve_value *id = reeve_value_get(value, "account_id");
    size_t len = reeve_value_kind(id) == REEVE_STR ? reeve_value_len(id) : 0;
    if (len > REEVE_ACCOUNT_ID_LEN_MAX && !reeve_errors_has(errors, "account_id")) {
        reeve_errors_add(errors, id, "account_id",
                         "has %zu characters, at most %zu fit: its worker is named " REEVE_ACCOUNT_PREFIX
                         "<account_id>",
                         len, REEVE_ACCOUNT_ID_LEN_MAX);
    }
}

static void check_require(const struct reeve_value *value, struct reeve_errors *errors)
{
    const struct reeve_value *require = reeve_value_get(value, "require");
    bool list = reeve_value_kind(require) == REEVE_LIST;
    for (size_t i = 0; i < (list ? reeve_value_len(require) : 1); i++) {
        const struct reeve_value *item = list ? reeve_value_at(require, i) : require;
        struct reeve_requirement parsed;
        struct reeve_why why;
        char name[32];
        if (reeve_value_kind(item) == REEVE_STR &&
            reeve_requirement_parse(reeve_value_text(item), &parsed, &why) != REEVE_OK) {
            (void)snprintf(name, sizeof name, list ? "require[%zu]" : "require", i);
            reeve_errors_add(errors, item, name, "%s", why.text);
        }
    }
}

static void check_common(const struct reeve_value *value, struct reeve_errors *errors)
{
    const struct reeve_value *password = reeve_value_get(value, "password");
    account_check_secrets(password, "password", true, errors);
    check_require(value, errors);
}

static void check_symbols(const struct reeve_value *value, struct reeve_errors *errors)
{
    const struct reeve_value *list = reeve_value_get(value, "currencies");
    for (size_t i = 1; reeve_value_kind(list) == REEVE_LIST && i < reeve_value_len(list); i++) {
        const struct reeve_value *symbol = reeve_value_get(reeve_value_at(list, i), "symbol");
        for (size_t j = 0; j < i; j++) {
            char path[48];
            const char *other = reeve_get_str(reeve_value_at(list, j), "symbol");
            if (other != NULL && reeve_str_eq(reeve_value_text(symbol), other)) {
                (void)snprintf(path, sizeof path, "currencies[%zu].symbol", i);
                reeve_errors_warn(errors, symbol, path, "is listed twice, first as currencies[%zu]", j);
                break;
            }
        }
    }
}

static void check_account(const void *object, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    (void)object;
    (void)path; // accounts are roots
    check_id(value, errors);
    check_symbols(value, errors);
    check_common(value, errors);
}

static void check_defaults(const void *object, const struct reeve_value *value, const char *path,
                           struct reeve_errors *errors)
{
    (void)object;
    (void)path;
    check_common(value, errors);
}

#define AT(member) offsetof(struct reeve_account, member)
// What the defaults may say as well.
#define COMMON_FIELDS                                                                                                  \
    {.name = "enabled",                                                                                                \
     .type = REEVE_FIELD_BOOL,                                                                                         \
     .offset = AT(enabled),                                                                                            \
     .preset = "true",                                                                                                 \
     .doc = "A disabled account is not started, and stopped if it runs."},                                             \
        {.name = "password",                                                                                           \
         .type = REEVE_FIELD_STR,                                                                                      \
         .flags = REEVE_FIELD_SECRET,                                                                                  \
         .offset = AT(password),                                                                                       \
         .min = 1,                                                                                                     \
         .max = REFERENCE_MAX,                                                                                         \
         .doc = "Where the worker finds the password: `file:/path` or `env:NAME`, on its node. Never the password "    \
                "itself."},                                                                                            \
        {.name = "server",                                                                                             \
         .type = REEVE_FIELD_STR,                                                                                      \
         .offset = AT(server),                                                                                         \
         .min = 1,                                                                                                     \
         .max = TEXT_MAX,                                                                                              \
         .doc = "Server to log in at."},                                                                               \
        {.name = "timeout",                                                                                            \
         .type = REEVE_FIELD_DURATION,                                                                                 \
         .offset = AT(timeout_ms),                                                                                     \
         .min = 1,                                                                                                     \
         .max = TIMEOUT_MAX_MS,                                                                                        \
         .preset = "30s",                                                                                              \
         .doc = "How long the worker waits for the server."},                                                          \
        {.name = "portable",                                                                                           \
         .type = REEVE_FIELD_BOOL,                                                                                     \
         .offset = AT(portable),                                                                                       \
         .preset = "false",                                                                                            \
         .doc = "For the worker: keep its data beside the program."},                                                  \
        {.name = "auto_connect",                                                                                       \
         .type = REEVE_FIELD_BOOL,                                                                                     \
         .offset = AT(auto_connect),                                                                                   \
         .preset = "true",                                                                                             \
         .doc = "For the worker: log in as soon as it runs."},                                                         \
        {.name = "default_risk",                                                                                       \
         .type = REEVE_FIELD_RECORD,                                                                                   \
         .offset = AT(default_risk),                                                                                   \
         .record = &risk_record,                                                                                       \
         .doc = "What it may risk."},                                                                                  \
        {.name = "currencies",                                                                                         \
         .type = REEVE_FIELD_RECORDS,                                                                                  \
         .offset = AT(currencies),                                                                                     \
         .min = 0,                                                                                                     \
         .max = CURRENCIES_MAX,                                                                                        \
         .record = &currency_record,                                                                                   \
         .doc = "What it trades."},                                                                                    \
        {.name = "require",                                                                                            \
         .type = REEVE_FIELD_STRV,                                                                                     \
         .offset = AT(require),                                                                                        \
         .min = 0,                                                                                                     \
         .max = REEVE_REQUIREMENTS_MAX,                                                                                \
         .doc = "What its node has to be: `[region=eu, \"cpus>=2\"]`. Absent = any node."},                            \
    {                                                                                                                  \
        .name = "worker", .type = REEVE_FIELD_VALUE, .offset = AT(worker),                                             \
        .doc = "The worker to run: a spec without name. Its `config.account` is made of the rest."                     \
    }

static const struct reeve_field account_fields[] = {
    {.name = "account_id",
     .type = REEVE_FIELD_NAME,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(account_id),
     .doc = "Name of the account; its worker is `account-<account_id>`."},
    {.name = "login",
     .type = REEVE_FIELD_STR,
     .offset = AT(login),
     .min = 1,
     .max = TEXT_MAX,
     .doc = "Name or number to log in with, in quotes."},
    COMMON_FIELDS,
};

static const struct reeve_choice watch_choices[] = {{"plan", 0}, {"apply", 1}, {NULL, 0}};

static const struct reeve_field defaults_fields[] = {
    COMMON_FIELDS,
    {.name = "watch",
     .type = REEVE_FIELD_CHOICE,
     .offset = offsetof(struct account_defaults, watch),
     .choices = watch_choices,
     .preset = "plan",
     .doc = "What a changed, added or removed file does: `apply` at once, or only show a `plan` until it is applied by "
            "command."},
};
#undef AT

const struct reeve_record reeve_account_record = {
    .name = "account",
    .size = sizeof(struct reeve_account),
    .fields = account_fields,
    .fields_len = REEVE_ARRAY_LEN(account_fields),
    .doc = "One account file: `<anything>.yaml`, `.yml` or `.json` of the directory.",
    .check = check_account,
};
const struct reeve_record account_defaults_record = {
    .name = "defaults",
    .size = sizeof(struct account_defaults),
    .fields = defaults_fields,
    .fields_len = REEVE_ARRAY_LEN(defaults_fields),
    .doc = "`defaults.yaml` of the directory: what accounts leave out.",
    .check = check_defaults,
};
