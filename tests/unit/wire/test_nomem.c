// Fails the first, second, third ... allocation of each codec, also inside jansson and libyaml: the
// answer is NOMEM, nothing leaks, and the result stays untouched.
// Stands in for malloc itself, which sanitizers do too: skipped under them.
#include "codec_test.h"

#include <errno.h>
#include <stdio.h>

#ifdef REEVE_SANITIZED

int main(void)
{
    (void)puts("skipped: the sanitizer owns malloc");
    return 77;
}

#else

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t len, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *old);

static long fail_in = -1; // allocations until the one that fails; -1 = none does
static bool failed;       // one has
static bool fail_once;    // else all later ones fail too
static long live;         // allocations not yet freed

static bool fails(void)
{
    if (fail_in < 0) {
        return false;
    }
    if (fail_in > 0) {
        fail_in--;
        return false;
    }
    if (fail_once) {
        fail_in = -1;
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

void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t len, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(len, size));
}

void *realloc(void *old, size_t size)
{
    if (fails()) {
        return NULL;
    }
    void *fresh = __libc_realloc(old, size);
    live += old == NULL && fresh != NULL;
    return fresh;
}

void *reallocarray(void *old, size_t len, size_t size)
{
    return realloc(old, len * size); // the tests ask for little
}

void free(void *old)
{
    live -= old != NULL;
    __libc_free(old);
}

static const char json_text[] =
    "{\"name\":\"mm-1\",\"list\":[1,2,3,4,5,6.5,true,null,\"a long enough string to be allocated by itself\"],"
    "\"raw\":{\"$bin\":\"/wA=\"},\"k1\":1,\"k2\":1,\"k3\":1,\"k4\":1,\"k5\":1,\"k6\":1,\"k7\":1,\"k8\":1,\"k9\":1,"
    "\"k10\":1,\"k11\":1,\"k12\":1,\"k13\":1,\"k14\":1,\"k15\":1,\"k16\":1}";
static const char yaml_text[] = "name: mm-1\nlist: [1, 2, {a: b}]\nraw: {$bin: /wA=}\ntext: |\n  one\n  two\n";

static struct reeve_value *sample; // made while nothing fails
static struct reeve_buf packed;

static enum reeve_err reads(text_reader *read, const char *text, size_t len)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    enum reeve_err err = read(text, len, &reeve_limits_wire, "f", &value, &why);
    assert_true((err == REEVE_OK) == (value != NULL));
    if (err != REEVE_OK && err != REEVE_NOMEM) {
        print_message("%s: %s\n", why.place, why.text);
    }
    reeve_value_free(value);
    return err;
}

static enum reeve_err read_msgpack(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why)
{
    return reeve_msgpack_read(text, len, limits, source, ret, why);
}

static enum reeve_err try_msgpack_read(void)
{
    return reads(read_msgpack, packed.data, packed.len);
}

static enum reeve_err try_json_read(void)
{
    return reads(reeve_json_read, json_text, strlen(json_text));
}

static enum reeve_err try_yaml_read(void)
{
    return reads(reeve_yaml_read, yaml_text, strlen(yaml_text));
}

static enum reeve_err try_yaml_read_all(void)
{
    return reads(reeve_yaml_read_all, yaml_text, strlen(yaml_text));
}

static enum reeve_err try_msgpack_write(void)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_msgpack_write(sample, &buf);
}

static enum reeve_err try_json_write(void)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_json_write(sample, REEVE_JSON_PRETTY, &buf);
}

static enum reeve_err try_yaml_write(void)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    return reeve_yaml_write(sample, &buf);
}

static enum reeve_err try_build(void)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    for (int i = 0; i < 20; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        reeve_put_int(map, key, i);
        (void)reeve_value_add(list, reeve_value_str(key)); // remembered by the list
    }
    (void)reeve_value_put(map, "list", list); // remembered by the map
    return reeve_value_built(map);
}

static enum reeve_err try_clone(void)
{
    REEVE_VALUE_AUTO copy = reeve_value_clone(sample);
    return copy == NULL ? REEVE_NOMEM : reeve_value_built(copy);
}

static const struct {
    const char *name;
    enum reeve_err (*try)(void);
} tries[] = {
    {"msgpack read", try_msgpack_read},
    {"json read", try_json_read},
    {"yaml read", try_yaml_read},
    {"yaml read all", try_yaml_read_all},
    {"msgpack write", try_msgpack_write},
    {"json write", try_json_write},
    {"yaml write", try_yaml_write},
    {"build", try_build},
    {"clone", try_clone},
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

static void one_failed_allocation_is_told(void **state)
{
    (void)state;
    fail_once = true;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(tries); i++) {
        assert_int_equal(tries[i].try(), REEVE_OK); // and libraries have set themselves up
        starve(i);
    }
}

static void memory_that_stays_exhausted_is_told(void **state)
{
    (void)state;
    fail_once = false;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(tries); i++) {
        assert_int_equal(tries[i].try(), REEVE_OK);
        starve(i);
    }
}

int main(void)
{
    sample = json_value(json_text);
    packed = (struct reeve_buf)REEVE_BUF_INIT(0);
    if (reeve_msgpack_write(sample, &packed) != REEVE_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failed_allocation_is_told),
        cmocka_unit_test(memory_that_stays_exhausted_is_told),
    };
    int failures = cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
    reeve_value_free(sample);
    reeve_buf_done(&packed);
    return failures;
}

#endif
