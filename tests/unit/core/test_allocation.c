// Buffers, maps and lists with the n-th allocation failing, for every n until a run needs no more.
// After each failure: the error is NOMEM, what was there is there, and the object goes on working.
// Must not: leak, in any of the runs (the address sanitizer's build checks).
#include "cmocka_all.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/buf.h>
#include <reeve/map.h>
#include <reeve/str.h>

static int countdown; // allocations until the one that fails, 0 = none fails
static int failures;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    if (countdown == 0 || --countdown > 0) {
        return false;
    }
    failures++;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

// Runs `work` with the first, second, ... allocation failing, until none does any more.
static void for_every_allocation(void (*work)(void), int failures_min)
{
    int n = 0;
    do {
        failures = 0;
        countdown = ++n;
        work();
        assert_true(n < 10000);
    } while (failures > 0);
    countdown = 0;
    assert_true(n - 1 >= failures_min); // the wrappers are in place and the work allocates
}

static void fill_buffer(void)
{
    struct reeve_buf buf = REEVE_BUF_INIT(0);
    size_t expected = 0;
    for (int i = 0; i < 1000; i++) {
        int failures_before = failures;
        reeve_buf_append(&buf, "0123456789", 5);
        reeve_buf_printf(&buf, "%s", "56789");
        if (failures > failures_before) {
            assert_err(buf.err, REEVE_NOMEM);
            assert_int_equal(buf.len % 5, 0);
            assert_true(buf.data == NULL || strlen(buf.data) == buf.len);
            reeve_buf_reset(&buf);
            expected = 0;
            continue;
        }
        expected += 10;
        assert_ok(buf.err);
        assert_int_equal(buf.len, expected);
        assert_memory_equal(buf.data + expected - 10, "0123456789", 11);
    }
    reeve_buf_done(&buf);
    char *taken = reeve_buf_take(&buf, NULL);
    assert_true(taken != NULL || buf.err == REEVE_NOMEM);
    free(taken);
    reeve_buf_done(&buf);
}

static void assert_map_holds(const struct reeve_map *map, const bool present[], int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        assert_ptr_equal(reeve_map_get(map, key), present[i] ? &present[i] : NULL);
        len += present[i] ? 1 : 0;
    }
    assert_int_equal(reeve_map_len(map), len);
    const bool *last = NULL;
    for (struct reeve_map_iter iter = {0}; reeve_map_next(map, &iter); len--) {
        assert_true(last == NULL || (const bool *)iter.value > last); // still in order
        last = iter.value;
    }
    assert_int_equal(len, 0);
}

static void fill_map(void)
{
    bool present[40] = {false};
    struct reeve_map *map = reeve_map_new(0);
    if (map == NULL) {
        assert_int_equal(failures, 1);
        return;
    }
    for (int i = 0; i < 40; i++) {
        char key[16];
        void *old = key;
        (void)snprintf(key, sizeof key, "%d", i);
        int failures_before = failures;
        enum reeve_err err = reeve_map_put(map, key, &present[i], &old);
        present[i] = err == REEVE_OK;
        assert_err(err, failures > failures_before ? REEVE_NOMEM : REEVE_OK);
        assert_ptr_equal(old, err == REEVE_OK ? NULL : (void *)key);
        if (i % 3 == 2) {
            (void)snprintf(key, sizeof key, "%d", i - 1);
            assert_ptr_equal(reeve_map_remove(map, key), present[i - 1] ? &present[i - 1] : NULL);
            present[i - 1] = false;
        }
        assert_map_holds(map, present, 40);
    }
    reeve_map_free(map, NULL);
}

static void fill_list(void)
{
    struct reeve_strv list = {0};
    struct reeve_strv copy = {0};
    size_t expected = 0;
    for (int i = 0; i < 20; i++) {
        int failures_before = failures;
        enum reeve_err err = reeve_strv_add(&list, "text");
        assert_err(err, failures > failures_before ? REEVE_NOMEM : REEVE_OK);
        expected += err == REEVE_OK ? 1 : 0;
        assert_int_equal(list.len, expected);
        assert_true(expected == 0 || list.items[expected] == NULL);
    }
    enum reeve_err err = reeve_strv_copy(&list, &copy);
    assert_int_equal(copy.len, err == REEVE_OK ? expected : 0);
    assert_true(err == REEVE_OK || err == REEVE_NOMEM);
    reeve_strv_done(&list);
    reeve_strv_done(&copy);
}

static void buffers_survive(void **state)
{
    (void)state;
    for_every_allocation(fill_buffer, 8);
}

static void maps_survive(void **state)
{
    (void)state;
    for_every_allocation(fill_map, 3 + 40 + 4);
}

static void lists_survive(void **state)
{
    (void)state;
    for_every_allocation(fill_list, 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_survive),
        cmocka_unit_test(maps_survive),
        cmocka_unit_test(lists_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
