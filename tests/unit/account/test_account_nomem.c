// Fails the first, second, third ... allocation while accounts, rules and directories are read and while an account is
// shown, compared and made into a spec: the answer is NOMEM, nothing leaks, results stay untouched. Must not: fail
// allocations inside libraries; those have their own tests. Needs --wrap for malloc and its kin.
#include "account_test.h"

#include <errno.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t len, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t len, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *old);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t len, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t len, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *old);

static long fail_in = -1; // allocations until the one that fails; -1 = none does
static bool failed;
static long live; // allocations not yet freed

static bool fails(void)
{
    if (fail_in < 0 || fail_in-- > 0) {
        return false;
    }
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *fresh)
{
    live += fresh != NULL;
    return fresh;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t len, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(len, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails()) {
        return NULL;
    }
    void *fresh = __real_realloc(old, size);
    live += old == NULL && fresh != NULL;
    return fresh;
}

void *__wrap_reallocarray(void *old, size_t len, size_t size)
{
    return __wrap_realloc(old, len * size); // the tests ask for little
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *old)
{
    live -= old != NULL;
    __real_free(old);
}

static const char sample_text[] = GOOD "require: [region=eu]\nenabled: false\n";
static const char other_text[] = "account_id: desk-1\ncurrencies:\n- {symbol: B, risk: {risk_percent: 2}}\n"
                                 "worker: {type: trading, config: {a: [1, {b: c}]}}\n";
static const char wrong_text[] = "account_id: 5\npassword: x\ncurrencies: [{symbol: A, risk: {a: 1}}]\n"
                                 "worker: {type: t, name: x, env: {API_KEY: y}}\n";
static const char rules_text[] = "rules:\n- {field: timeout, min: 5s, text: x}\n- {field: server, one_of: [a, b]}\n";

// Made while nothing fails.
static struct reeve_value *document, *other_document, *wrong, *rule_document;
static struct reeve_account sample, other;

static enum reeve_err try_decode(void)
{
    struct reeve_account account;
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_account_decode(document, &account, &errors);
    assert_int_equal(errors.errors, 0);
    if (err == REEVE_OK) {
        reeve_account_done(&account);
    }
    return err;
}

// The same answer as with all memory, or NOMEM.
static enum reeve_err try_decode_wrong(void)
{
    struct reeve_account account;
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_account_decode(wrong, &account, &errors);
    assert_true(err != REEVE_OK);
    return err == REEVE_INVALID ? REEVE_OK : err;
}

static enum reeve_err try_copy(void)
{
    struct reeve_account copy;
    enum reeve_err err = reeve_account_copy(&sample, &copy);
    if (err == REEVE_OK) {
        reeve_account_done(&copy);
    }
    return err;
}

static enum reeve_err try_value(void)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_account_value(&sample, &value);
    assert_true((err == REEVE_OK) == (value != NULL));
    return err;
}

static enum reeve_err try_spec(void)
{
    struct reeve_spec spec;
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_account_spec(&sample, &spec, &errors);
    if (err == REEVE_OK) {
        reeve_spec_done(&spec);
    }
    return err;
}

static enum reeve_err try_digests(void)
{
    uint64_t restart = 0;
    uint64_t live_part = 0;
    enum reeve_err err = reeve_account_spec_digests(&sample, &restart, &live_part);
    assert_true((err == REEVE_OK) == (restart != 0 && live_part != 0));
    return err;
}

static enum reeve_err try_changes(void)
{
    REEVE_VALUE_AUTO list = NULL;
    enum reeve_account_effect effect;
    enum reeve_err err = reeve_account_changes(&sample, &other, &list, &effect);
    assert_true((err == REEVE_OK) == (list != NULL));
    return err;
}

static enum reeve_err try_rules(void)
{
    struct reeve_account_rules *rules = NULL;
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_account_rules_new(&rules);
    err = err == REEVE_OK ? reeve_account_rules_add(rules, rule_document, &errors) : err;
    reeve_account_rules_free(rules);
    return err;
}

static enum reeve_err try_dir(void)
{
    struct reeve_account_dir dir;
    enum reeve_err err = reeve_account_dir_load(EXAMPLES, true, &dir, &errors);
    if (err == REEVE_OK) {
        assert_int_equal(dir.valid, 2);
        reeve_account_dir_done(&dir);
    }
    return err;
}

static const struct {
    const char *name;
    enum reeve_err (*try)(void);
} tries[] = {
    {"decode", try_decode}, {"decode wrong", try_decode_wrong}, {"copy", try_copy},       {"value", try_value},
    {"spec", try_spec},     {"digests", try_digests},           {"changes", try_changes}, {"rules", try_rules},
    {"directory", try_dir},
};

// Fails each allocation of one try in turn, until there is none left to fail.
static void starve(size_t row)
{
    failed = true;
    for (long n = 0; failed; n++) {
        long before = live;
        failed = false;
        fail_in = n;
        enum reeve_err err = tries[row].try();
        fail_in = -1;
        if (live != before) {
            fail_msg("%s, allocation %ld: %ld leaked", tries[row].name, n, live - before);
        }
        if (err != (failed ? REEVE_NOMEM : REEVE_OK)) {
            fail_msg("%s, allocation %ld: %s", tries[row].name, n, reeve_err_text(err));
        }
        assert_true(failed || n > 0);
    }
}

static void without_memory_nothing_leaks(void **state)
{
    (void)state;
    document = parse(sample_text);
    other_document = parse(other_text);
    wrong = parse(wrong_text);
    rule_document = parse(rules_text);
    reeve_errors_init(&errors, NULL);
    assert_int_equal(reeve_account_decode(document, &sample, &errors), REEVE_OK);
    assert_int_equal(reeve_account_decode(other_document, &other, &errors), REEVE_OK);
    for (size_t row = 0; row < REEVE_ARRAY_LEN(tries); row++) {
        starve(row);
    }
    reeve_value_free(document);
    reeve_value_free(other_document);
    reeve_value_free(wrong);
    reeve_value_free(rule_document);
    reeve_account_done(&sample);
    reeve_account_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_memory_nothing_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
