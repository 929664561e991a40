// What the tests of accounts share: a text as a value, all messages as one text, files of a folder of their own.
#ifndef REEVE_ACCOUNT_TEST_H
#define REEVE_ACCOUNT_TEST_H

#include <reeve/account.h>
#include <reeve/codec.h>
#include <reeve/file.h>

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct reeve_errors errors;

__attribute__((unused)) static struct reeve_value *parse(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {0};
    if (reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s", why.place, why.text);
    }
    return value;
}

// All messages, one a line.
__attribute__((unused)) static const char *messages(const struct reeve_errors *list)
{
    static char text[REEVE_ERRORS_MAX * 512];
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; list != NULL && i < list->len; i++) {
        char line[1024];
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", reeve_error_format(list, i, line, sizeof line));
    }
    return text;
}

__attribute__((unused)) static void says(const struct reeve_errors *list, const char *part)
{
    if (strstr(messages(list), part) == NULL) {
        fail_msg("not said: %s\nbut:\n%s", part, messages(list));
    }
}

__attribute__((unused)) static void says_not(const struct reeve_errors *list, const char *part)
{
    if (strstr(messages(list), part) != NULL) {
        fail_msg("said: %s\nin:\n%s", part, messages(list));
    }
}

#define GOOD                                                                                                           \
    "account_id: desk-1\nlogin: \"8812\"\npassword: file:/etc/reeve/secrets/desk-1\nserver: demo.example.com:443\n"    \
    "default_risk: {risk_percent: 1.0, max_positions: 5, portfolio_risk_percent: 6, max_concurrent_trades: 3}\n"       \
    "currencies:\n- {symbol: EURUSD, strategy: grid}\n"                                                                \
    "worker: {type: trading, memory_limit: 512M}\n"

#endif
