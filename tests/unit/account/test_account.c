// One account: what it may say, that secrets are references and never shown, its worker, what a change takes.
// Must not: read files.
#include "account_test.h"

static struct reeve_account account;

static enum reeve_err decode(const char *text)
{
    REEVE_VALUE_AUTO value = parse(text);
    reeve_errors_init(&errors, "f");
    return reeve_account_decode(value, &account, &errors);
}

// GOOD with more, or refused with that message.
static void refused(const char *more, const char *part)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "%s%s", GOOD, more);
    assert_int_equal(decode(text), REEVE_INVALID);
    says(&errors, part);
}

static void an_account_is_read(void **state)
{
    (void)state;
    assert_int_equal(decode(GOOD), REEVE_OK);
    assert_int_equal(errors.len, 0);
    assert_string_equal(account.account_id, "desk-1");
    assert_string_equal(account.password, "file:/etc/reeve/secrets/desk-1");
    assert_true(account.enabled && account.auto_connect && !account.portable);
    assert_int_equal(account.timeout_ms, 30000);
    assert_int_equal(account.default_risk.max_positions, 5);
    assert_int_equal(account.currencies.len, 1);
    const struct reeve_account_currency *currency = account.currencies.items;
    assert_string_equal(currency->symbol, "EURUSD");
    assert_true(currency->enabled);
    reeve_account_done(&account);
}

static void mistakes_have_their_places(void **state)
{
    (void)state;
    assert_int_equal(decode("account_id: Desk 1\nlogin: 8812\nserv: x\nworker: {memory_limit: 5 apples}\n"
                            "currencies: [{symbol: A, risk: {risk_procent: 1}}]\n"),
                     REEVE_INVALID);
    says(&errors, "f:1:13: account_id: name \"Desk 1\"");
    says(&errors, "f:2:8: login: 8812 is a whole number, expected text (write it in quotes)");
    says(&errors, "f:3:1: serv: unknown key, did you mean server?");
    says(&errors, "f:4:24: worker.memory_limit:");
    says(&errors, "f:4:9: worker: has neither type nor command");
    says(&errors, "f:5:33: currencies[0].risk.risk_procent: unknown key, did you mean risk_percent?");
}

static void names_that_do_not_fit(void **state)
{
    (void)state;
    assert_int_equal(decode("account_id: a23456789012345678901234567890123456789012345678901234x6\n"
                            "worker: {type: t}\n"),
                     REEVE_INVALID);
    says(&errors, "account_id: has 56 characters, at most 55 fit: its worker is named account-<account_id>");
    assert_int_equal(decode("account_id: a2345678901234567890123456789012345678901234567890123x5\n"
                            "worker: {type: t}\n"),
                     REEVE_OK);
    struct reeve_spec spec;
    assert_int_equal(reeve_account_spec(&account, &spec, &errors), REEVE_OK);
    assert_int_equal(strlen(spec.name), REEVE_NAME_LEN_MAX);
    reeve_spec_done(&spec);
    reeve_account_done(&account);
}

static void the_template_says_nothing_that_follows(void **state)
{
    static const char *const keys[] = {"name: x",          "account: x", "pool: x",
                                       "desired: stopped", "ttl: 30s",   "config: {account: {}}"};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "account_id: a\nworker: {type: t, %s}\n", keys[i]);
        assert_int_equal(decode(text), REEVE_INVALID);
        says(&errors, "can't be given here");
    }
    assert_int_equal(decode("account_id: a\n"), REEVE_INVALID);
    says(&errors, "worker: nothing given, expected the worker to run");
    assert_int_equal(decode("account_id: a\nworker: trading\n"), REEVE_INVALID);
    says(&errors, "worker: string given");
}

static void requirements_are_checked(void **state)
{
    (void)state;
    refused("require: [region=eu, \"cpus>=lots\"]\n", "f:9:22: require[1]:");
    assert_int_equal(decode(GOOD "require: [region=eu, \"cpus>=4\"]\n"), REEVE_OK);
    assert_int_equal(account.require.len, 2);
    reeve_account_done(&account);
}

// ---- secrets --------------------------------------------------------------------------------------------------------

#define LITERAL "hUnter2-Literal"

static void a_secret_must_be_a_reference(void **state)
{
    static const struct {
        const char *text, *path;
    } rows[] = {
        {"password: " LITERAL, "password"},
        {"password: 'file:relative/" LITERAL "'", "password"},
        {"password: file:" LITERAL, "password"},
        {"password: 'env:" LITERAL "'", "password"}, // no name of a variable: it has a '-'
        {"password: [" LITERAL "]", "password"},
        {"password: {a: " LITERAL "}", "password"},
        {"worker: {type: t, env: {API_KEY: " LITERAL "}}", "worker.env.API_KEY"},
        {"worker: {type: t, config: {exchange: {apiKey: " LITERAL "}}}", "worker.config.exchange.apiKey"},
        {"worker: {type: t, config: {wallets: [{mnemonic: " LITERAL "}]}}", "worker.config.wallets[0].mnemonic"},
        {"worker: {type: t, config: {secrets: {a: [" LITERAL "]}}}", "worker.config.secrets.a[0]"},
        {"worker: {command: [bot, --password=" LITERAL "]}", "worker.command[1]"},
        {"worker: {command: [bot, --api-key, " LITERAL "]}", "worker.command[2]"},
        {"currencies: [{symbol: A, position_management: {auth_token: " LITERAL "}}]",
         "currencies[0].position_management.auth_token"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char text[512];
        const char *worker = strstr(rows[i].text, "worker") == NULL ? "worker: {type: t}\n" : "";
        (void)snprintf(text, sizeof text, "account_id: a\n%s%s\n", worker, rows[i].text);
        assert_int_equal(decode(text), REEVE_INVALID);
        says_not(&errors, LITERAL);
        says(&errors, rows[i].path);
        assert_true(errors.items[0].mark.line > 0);
    }
}

static void references_and_places_are_taken(void **state)
{
    (void)state;
    assert_int_equal(
        decode("account_id: a\npassword: env:DESK_A\n"
               "worker: {command: [bot, --password-file, /etc/x, --password, file:/etc/y],"
               " env: {API_KEY: file:/etc/z, password_file: /etc/q}, config: {secret: env:S, token: USDT}}\n"),
        REEVE_OK);
    reeve_account_done(&account);
}

// Written out in every way in which it may leave.
static void shown_without(const struct reeve_value *value, const char *part)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_json_write(value, 0, &text), REEVE_OK);
    if (strstr(reeve_buf_str(&text), part) != NULL) {
        fail_msg("%s in %s", part, reeve_buf_str(&text));
    }
}

static void a_reference_is_masked_for_people(void **state)
{
    REEVE_VALUE_AUTO value = NULL;
    (void)state;
    assert_int_equal(decode("account_id: a\npassword: file:/etc/hidden/1\ncurrencies: [{symbol: A, "
                            "position_management: {secret: file:/etc/hidden/2, note: file:/etc/hidden/3}}]\n"
                            "worker: {command: [bot, --password, file:/etc/hidden/4], env: {A: /etc/hidden/5}, "
                            "config: {b: {c: /etc/hidden/6}}}\n"),
                     REEVE_OK);
    assert_int_equal(reeve_account_value(&account, &value), REEVE_OK);
    shown_without(value, "hidden");
    assert_string_equal(reeve_get_str(value, "password"), "***");
    assert_string_equal(reeve_get_str(value, "account_id"), "a");
    reeve_account_done(&account);
}

// ---- its worker -----------------------------------------------------------------------------------------------------

static void the_worker_of_an_account(void **state)
{
    struct reeve_spec spec;
    (void)state;
    assert_int_equal(decode(GOOD "require: [region=eu]\n"), REEVE_OK);
    assert_int_equal(reeve_account_spec(&account, &spec, &errors), REEVE_OK);
    assert_string_equal(spec.name, "account-desk-1");
    assert_string_equal(spec.account, "desk-1");
    assert_string_equal(spec.type, "trading");
    assert_int_equal(spec.memory_limit_bytes, 512 << 20);
    const struct reeve_value *settings = reeve_value_get(spec.config, "account");
    assert_string_equal(reeve_get_str(settings, "account_id"), "desk-1");
    assert_string_equal(reeve_get_str(settings, "password"), "file:/etc/reeve/secrets/desk-1");
    assert_string_equal(reeve_get_str(settings, "timeout"), "30s");
    assert_int_equal(reeve_get_int(reeve_value_get(settings, "default_risk"), "max_positions", 0), 5);
    assert_int_equal(reeve_value_len(reeve_value_get(settings, "currencies")), 1);
    assert_null(reeve_value_get(settings, "worker"));
    assert_null(reeve_value_get(settings, "require"));
    assert_null(reeve_value_get(settings, "enabled"));
    reeve_spec_done(&spec);
    reeve_account_done(&account);
}

static void a_copy_is_the_same(void **state)
{
    struct reeve_account copy;
    (void)state;
    assert_int_equal(decode(GOOD "require: [region=eu]\nenabled: false\nportable: true\n"), REEVE_OK);
    account.file = strdup("/x/y.yaml");
    assert_int_equal(reeve_account_copy(&account, &copy), REEVE_OK);
    assert_true(copy.digest == account.digest);
    assert_true(reeve_value_equal(copy.merged, account.merged));
    assert_string_equal(copy.file, "/x/y.yaml");
    assert_false(copy.enabled);
    reeve_account_done(&copy);
    reeve_account_done(&account);
}

// ---- changes --------------------------------------------------------------------------------------------------------

// From GOOD to `text`: "key effect; key effect; ", and the strongest.
static void changes(const char *text, const char *expected, enum reeve_account_effect effect)
{
    struct reeve_account old;
    REEVE_VALUE_AUTO list = NULL;
    REEVE_BUF_AUTO found = REEVE_BUF_INIT(0);
    enum reeve_account_effect strongest;
    assert_int_equal(decode(GOOD), REEVE_OK);
    old = account;
    assert_int_equal(decode(text), REEVE_OK);
    assert_int_equal(reeve_account_changes(&old, &account, &list, &strongest), REEVE_OK);
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        const struct reeve_value *entry = reeve_value_at(list, i);
        reeve_buf_printf(&found, "%s %s; ", reeve_get_str(entry, "key"), reeve_get_str(entry, "effect"));
    }
    assert_string_equal(reeve_buf_str(&found), expected);
    assert_int_equal(strongest, effect);
    assert_true((reeve_value_len(list) == 0) == (old.digest == account.digest));
    shown_without(list, "file:/");
    uint64_t restart[2];
    uint64_t live[2];
    assert_int_equal(reeve_account_spec_digests(&old, &restart[0], &live[0]), REEVE_OK);
    assert_int_equal(reeve_account_spec_digests(&account, &restart[1], &live[1]), REEVE_OK);
    assert_true(effect != REEVE_ACCOUNT_LIVE || restart[0] == restart[1]);
    assert_true(effect != REEVE_ACCOUNT_RESTART || restart[0] != restart[1]);
    assert_true((live[0] != live[1]) ==
                (strstr(expected, "default_risk") != NULL || strstr(expected, "currencies") != NULL));
    reeve_account_done(&old);
    reeve_account_done(&account);
}

#define HEAD                                                                                                           \
    "account_id: desk-1\nlogin: \"8812\"\npassword: file:/etc/reeve/secrets/desk-1\nserver: demo.example.com:443\n"
#define RISK                                                                                                           \
    "default_risk: {risk_percent: 1.0, max_positions: 5, portfolio_risk_percent: 6, max_concurrent_trades: 3}\n"
#define CURRENCIES "currencies:\n- {symbol: EURUSD, strategy: grid}\n"
#define WORKER     "worker: {type: trading, memory_limit: 512M}\n"

static void what_a_change_takes(void **state)
{
    (void)state;
    changes(GOOD, "", REEVE_ACCOUNT_LIVE);
    // The same in other words.
    changes(HEAD RISK CURRENCIES "worker: {memory_limit: 536870912, type: trading}\ntimeout: 30s\nenabled: true\n", "",
            REEVE_ACCOUNT_LIVE);
    changes(HEAD "default_risk: {risk_percent: 2, max_positions: 5, portfolio_risk_percent: 6, max_concurrent_trades: "
                 "3}\n" CURRENCIES WORKER,
            "default_risk.risk_percent live; ", REEVE_ACCOUNT_LIVE);
    changes(HEAD RISK "currencies: [{symbol: GBPUSD}, {symbol: EURUSD, strategy: trend}]\n" WORKER,
            "currencies.GBPUSD live; currencies.EURUSD live; ", REEVE_ACCOUNT_LIVE);
    changes(HEAD RISK CURRENCIES WORKER "enabled: false\nrequire: [gpu]\n", "enabled live; require live; ",
            REEVE_ACCOUNT_LIVE);
    changes(HEAD RISK CURRENCIES "worker: {type: trading, memory_limit: 1G, config: {a: 1}}\ntimeout: 1m\n",
            "timeout restart; worker.memory_limit restart; worker.config restart; ", REEVE_ACCOUNT_RESTART);
    changes(
        "account_id: desk-1\nlogin: \"8812\"\npassword: file:/etc/other\nserver: demo.example.com:443\n" RISK CURRENCIES
            WORKER,
        "password restart; ", REEVE_ACCOUNT_RESTART);
    changes("account_id: desk-2\n" RISK CURRENCIES WORKER "login: \"8812\"\nserver: demo.example.com:443\n",
            "account_id immutable; password restart; ", REEVE_ACCOUNT_IMMUTABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_is_read),
        cmocka_unit_test(mistakes_have_their_places),
        cmocka_unit_test(names_that_do_not_fit),
        cmocka_unit_test(the_template_says_nothing_that_follows),
        cmocka_unit_test(requirements_are_checked),
        cmocka_unit_test(a_secret_must_be_a_reference),
        cmocka_unit_test(references_and_places_are_taken),
        cmocka_unit_test(a_reference_is_masked_for_people),
        cmocka_unit_test(the_worker_of_an_account),
        cmocka_unit_test(a_copy_is_the_same),
        cmocka_unit_test(what_a_change_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
