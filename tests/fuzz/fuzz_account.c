// Any bytes as an account file and as a file of rules, each on its own and the one over the other. What is accepted has a worker,
// encodes to what decodes to the same, and shows no reference; what is refused has an error.
#include "fuzz.h"

#include <reeve/account.h>

#include <string.h>

static void check_shown(const struct reeve_account *account)
{
    REEVE_VALUE_AUTO shown = NULL;
    REEVE_ASSERT(reeve_account_value(account, &shown) == REEVE_OK);
    const char *password = reeve_get_str(shown, "password");
    REEVE_ASSERT(password == NULL || strcmp(password, "***") == 0);
}

static void check_account(const struct reeve_account *account)
{
    struct reeve_account copy;
    struct reeve_spec spec;
    struct reeve_errors errors;
    REEVE_VALUE_AUTO changes = NULL;
    enum reeve_account_effect effect;
    uint64_t restart;
    uint64_t live;
    reeve_errors_init(&errors, NULL);
    REEVE_ASSERT(reeve_account_copy(account, &copy) == REEVE_OK);
    REEVE_ASSERT(copy.digest == account->digest);
    REEVE_ASSERT(reeve_account_changes(account, &copy, &changes, &effect) == REEVE_OK);
    REEVE_ASSERT(reeve_value_len(changes) == 0);
    REEVE_ASSERT(reeve_account_spec(account, &spec, &errors) == REEVE_OK);
    REEVE_ASSERT(reeve_account_spec_digests(account, &restart, &live) == REEVE_OK);
    check_shown(account);
    reeve_spec_done(&spec);
    reeve_account_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_account account;
    struct reeve_account_rules *rules = NULL;
    struct reeve_errors errors;
    if (reeve_yaml_read((const char *)data, len, &reeve_limits_file, NULL, &value, NULL) != REEVE_OK) {
        return 0;
    }
    REEVE_ASSERT(reeve_account_rules_new(&rules) == REEVE_OK);
    reeve_errors_init(&errors, "rules");
    enum reeve_err err = reeve_account_rules_add(rules, value, &errors);
    REEVE_ASSERT((err == REEVE_OK) == (errors.errors == 0));
    reeve_errors_init(&errors, "account");
    reeve_account_rules_judge(rules, value, false, &errors);
    reeve_errors_init(&errors, "account");
    err = reeve_account_decode(value, &account, &errors);
    REEVE_ASSERT((err == REEVE_OK) == (errors.errors == 0));
    if (err == REEVE_OK) {
        check_account(&account);
        reeve_account_done(&account);
    }
    reeve_account_rules_free(rules);
    return 0;
}
