// Fails the first, second, third ... allocation while pools are decoded, encoded and copied: the answer is NOMEM,
// nothing leaks, results stay untouched. Must not: fail allocations inside libraries; those have their own tests. Needs
// --wrap for malloc and its kin.
#include "pool_test.h"

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

static const char document_text[] =
    "pools:\n- name: a\n  scaling: {metric: age, up_above: 30s, down_below: 5s, schedules: [{cron: '@daily', for: 1h, "
    "min: 2}]}\n"
    "  template: {type: a, env: {A: x}}\n  placement: {require: [a=b], near: x}\n"
    "- name: b\n  labels: {a: b}\n  template: {type: a, config: {a: [1]}}\n  partition: {single_active: true}\n"
    "- name: c\n  template: {type: a}\n  placement: {spread: [], regions: [{region: eu, size: 1}]}\n";
static const char wrong_text[] =
    "pools:\n- {name: x, size: 1, template: {type: a}}\n- {name: x, size: a, template: {tipe: b}, scaling: {metric: "
    "wait, target: 5}}\n";

// Made while nothing fails.
static struct reeve_value *document, *wrong;
static struct reeve_pools samples;

static enum reeve_err try_load(void)
{
    struct reeve_pools pools = {0};
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_pool_load_value(document, &pools, &errors);
    assert_int_equal(errors.errors, 0);
    assert_int_equal(pools.len, err == REEVE_OK ? 3 : 0);
    reeve_pools_done(&pools);
    return err;
}

// The same answer as with all memory, or NOMEM.
static enum reeve_err try_load_wrong(void)
{
    struct reeve_pools pools = {0};
    reeve_errors_init(&errors, "f");
    enum reeve_err err = reeve_pool_load_value(wrong, &pools, &errors);
    assert_int_equal(pools.len, 0);
    assert_true(err != REEVE_OK);
    reeve_pools_done(&pools);
    return err == REEVE_INVALID ? REEVE_OK : err;
}

static enum reeve_err try_copy(void)
{
    for (size_t i = 0; i < samples.len; i++) {
        struct reeve_pool_spec copy = {.size = -7};
        enum reeve_err err = reeve_pool_copy(&samples.items[i], &copy);
        if (err != REEVE_OK) {
            assert_int_equal(copy.size, -7);
            return err;
        }
        reeve_pool_done(&copy);
    }
    return REEVE_OK;
}

static enum reeve_err try_encode(void)
{
    for (size_t i = 0; i < samples.len; i++) {
        REEVE_VALUE_AUTO value = NULL;
        enum reeve_err err = reeve_pool_encode(&samples.items[i], REEVE_ENCODE_SKIP_PRESETS, &value);
        assert_true((err == REEVE_OK) == (value != NULL));
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}

static enum reeve_err try_digest(void)
{
    return reeve_pool_template_digest(&samples.items[0]) == 0 ? REEVE_NOMEM : REEVE_OK;
}

static const struct {
    const char *name;
    enum reeve_err (*try)(void);
} tries[] = {
    {"load", try_load},     {"load wrong", try_load_wrong}, {"copy", try_copy},
    {"encode", try_encode}, {"digest", try_digest},
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
    document = yaml_value(document_text);
    wrong = yaml_value(wrong_text);
    reeve_errors_init(&errors, "f");
    assert_int_equal(reeve_pool_load_value(document, &samples, &errors), REEVE_OK);
    for (size_t row = 0; row < REEVE_ARRAY_LEN(tries); row++) {
        starve(row);
    }
    reeve_value_free(document);
    reeve_value_free(wrong);
    reeve_pools_done(&samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_memory_nothing_leaks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
