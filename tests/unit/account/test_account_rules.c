// Rules: every built-in one at its bound and one step over it; those of a project; mistakes in the file of rules.
// Must not: read files.
#include "account_test.h"

static struct reeve_account_rules *rules;

static void judge(const char *text)
{
    REEVE_VALUE_AUTO value = parse(text);
    reeve_errors_init(&errors, "f");
    reeve_account_rules_judge(rules, value, false, &errors);
}

static int fresh_rules(void **state)
{
    (void)state;
    return reeve_account_rules_new(&rules) != REEVE_OK;
}

static int free_rules(void **state)
{
    (void)state;
    reeve_account_rules_free(rules);
    return 0;
}

// An account of these four numbers.
static void risk(const char *percent, const char *positions, const char *portfolio, const char *trades)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "account_id: a\ncurrencies: [{symbol: A}]\ndefault_risk:\n  risk_percent: %s\n  max_positions: %s\n"
                   "  portfolio_risk_percent: %s\n  max_concurrent_trades: %s\n",
                   percent, positions, portfolio, trades);
    judge(text);
}

static void expect(size_t wrong, size_t warnings)
{
    if (errors.errors != wrong || errors.warnings != warnings) {
        fail_msg("%zu errors, %zu warnings:\n%s", errors.errors, errors.warnings, messages(&errors));
    }
}

static void bounds_hold_and_one_step_over_is_said(void **state)
{
    (void)state;
    risk("0.1", "1", "1", "1");
    expect(0, 0);
    risk("10", "1000", "20", "1000");
    expect(0, 0);
    risk("0.09", "0", "0.9", "0");
    expect(4, 0);
    says(&errors,
         "f:4:17: default_risk.risk_percent: 0.09 is below the minimum of 0.1: below it nothing can be traded");
    says(&errors, "f:5:18: default_risk.max_positions: 0 is below the minimum of 1");
    says(&errors, "f:6:27: default_risk.portfolio_risk_percent: 0.9 is below the minimum of 1");
    says(&errors, "f:7:26: default_risk.max_concurrent_trades: 0 is below the minimum of 1");
    risk("10.1", "-3", "20.5", "1");
    expect(1, 2);
    says(&errors, "warning: 10.1 is above the maximum of 10: one trade may lose a lot");
    says(&errors, "warning: 20.5 is above the maximum of 20: all trades together may lose a lot");
    says(&errors, "max_positions: -3 is below the minimum of 1");
    risk("\"0.05\"", "\"5\"", "5", "1"); // a number in quotes is one here
    expect(1, 0);
}

static void what_is_missing_is_said_once(void **state)
{
    (void)state;
    judge("account_id: a\n");
    expect(2, 0);
    says(&errors, "default_risk: is missing");
    says(&errors, "currencies: is missing");
    judge("account_id: ''\ndefault_risk: {risk_percent: 1}\ncurrencies: []\n");
    expect(5, 0);
    says(&errors, "f:1:13: account_id: is empty: an account needs a name");
    says(&errors, "currencies: is empty: an account trades at least one currency");
    says(&errors, "default_risk.max_positions: is missing");
}

static void every_currency_is_judged(void **state)
{
    (void)state;
    judge("account_id: '0'\ndefault_risk: {risk_percent: 1, max_positions: 1, portfolio_risk_percent: 1, "
          "max_concurrent_trades: 1}\ncurrencies:\n- symbol: '0'\n- symbol: ''\n- {symbol: B, risk: {risk_percent: 0, "
          "max_positions: 0}}\n- {symbol: C, risk: {risk_percent: 11}}\n- {}\n");
    expect(4, 1);
    says(&errors, "f:5:11: currencies[1].symbol: is empty");
    says(&errors, "currencies[2].risk.risk_percent: 0 is below the minimum of 0.1");
    says(&errors, "currencies[2].risk.max_positions: 0 is below");
    says(&errors, "currencies[3].risk.risk_percent: warning: 11 is above");
    says(&errors, "currencies[4].symbol: is missing");
}

static enum reeve_err add(const char *text)
{
    REEVE_VALUE_AUTO value = parse(text);
    reeve_errors_init(&errors, "rules.yaml");
    return reeve_account_rules_add(rules, value, &errors);
}

#define REST                                                                                                           \
    "account_id: a\ndefault_risk: {risk_percent: 1.5, max_positions: 1, portfolio_risk_percent: 1, "                   \
    "max_concurrent_trades: 1}\ncurrencies: [{symbol: A, strategy: grid}, {symbol: B}]\n"

static void a_project_adds_its_own(void **state)
{
    (void)state;
    assert_int_equal(add("rules:\n"
                         "- {field: default_risk.risk_percent, max: 1, severity: warning, text: house rule 7}\n"
                         "- {field: timeout, min: 5s, max: 1m}\n"
                         "- {field: worker.memory_limit, max: 1G, required: true}\n"
                         "- {field: 'currencies[].strategy', one_of: [trend, mean], required: true}\n"
                         "- {field: server, min: 5}\n"
                         "- {field: currencies, max: 1}\n"
                         "- {field: portable, one_of: [false]}\n"
                         "- {field: password, one_of: ['file:/a']}\n"),
                     REEVE_OK);
    judge(REST "timeout: 2m\nserver: abc\nportable: true\npassword: file:/not-shown\nworker: {memory_limit: 2G}\n");
    says(&errors, "default_risk.risk_percent: warning: 1.5 is above the maximum of 1: house rule 7");
    says(&errors, "timeout: 2m is above the maximum of 1m");
    says(&errors, "worker.memory_limit: 2G is above the maximum of 1G");
    says(&errors, "currencies[0].strategy: \"grid\" is none of trend, mean");
    says(&errors, "currencies[1].strategy: is missing");
    says(&errors, "server: 3 characters is below the minimum of 5");
    says(&errors, "currencies: 2 entries is above the maximum of 1");
    says(&errors, "portable: \"true\" is none of false");
    says(&errors, "password: this is none of");
    says_not(&errors, "not-shown");
    judge(REST "timeout: 4s\nworker: {memory_limit: lots}\n");
    says(&errors, "timeout: 4s is below the minimum of 5s");
    says(&errors, "worker.memory_limit: is no size such as 512M");
    judge(REST "worker: {type: t}\n");
    says(&errors, "worker.memory_limit: is missing");
    judge(REST);
    says(&errors, "worker: is missing");
}

static void a_wrong_rule_is_refused_whole(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"rules:\n- {field: default_risk, min: 1}\n- {field: curencies, min: 1}\n",
         "rules.yaml:3:11: rules[1].field: accounts have no such key, did you mean currencies?"},
        {"rules: [{field: timeout}]", "rules[0]: asks for nothing"},
        {"rules: [{min: 1}]", "rules[0].field: is missing"},
        {"rules: [{field: timeout, min: 5s, max: 1}]", "rules[0].max: is of another kind than min"},
        {"rules: [{field: timeout, min: 5s, max: 1s}]", "rules[0].max: is below min"},
        {"rules: [{field: timeout, min: five}]", "rules[0].min: is no bound"},
        {"rules: [{field: timeout, min: 1, severity: fatal}]", "rules[0].severity:"},
        {"rules: [{field: timeout, mn: 1}]", "rules[0].mn: unknown key, did you mean min?"},
        {"rules: [{field: 'currencies[0].symbol', min: 1}]", "rules[0].field: is no field"},
        {"rules: [{field: 'currencies[]]', min: 1}]", "rules[0].field: is no field"},
        {"rules: [{field: 'currencies[', min: 1}]", "rules[0].field: is no field"},
        {"rules: [{field: '.timeout', min: 1}]", "rules[0].field: is no field"},
        {"rules: [{field: 'timeout.', min: 1}]", "rules[0].field: is no field"},
        {"rules: 5", "rules:"},
        {"[]", "a list"},
        {"{}", "rules: is missing"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_int_equal(add(rows[i].text), REEVE_INVALID);
        says(&errors, rows[i].part);
    }
    judge(REST); // none of them is in force
    expect(0, 0);
}

static void the_table_is_documented(void **state)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    (void)state;
    assert_int_equal(reeve_account_markdown(&text), REEVE_OK);
    assert_non_null(strstr(reeve_buf_str(&text), "| `default_risk.risk_percent` | 0.1 |  | error, and if missing |"));
    assert_non_null(strstr(reeve_buf_str(&text), "| `default_risk.risk_percent` |  | 10 | warning |"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bounds_hold_and_one_step_over_is_said, fresh_rules, free_rules),
        cmocka_unit_test_setup_teardown(what_is_missing_is_said_once, fresh_rules, free_rules),
        cmocka_unit_test_setup_teardown(every_currency_is_judged, fresh_rules, free_rules),
        cmocka_unit_test_setup_teardown(a_project_adds_its_own, fresh_rules, free_rules),
        cmocka_unit_test_setup_teardown(a_wrong_rule_is_refused_whole, fresh_rules, free_rules),
        cmocka_unit_test_setup_teardown(the_table_is_documented, fresh_rules, free_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
