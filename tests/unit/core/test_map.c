// The string map against a plain array, over random schedules.
// Must not: rely on what is unspecified (putting while iterating).
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/map.h>

#define MODEL_LEN_MAX 200

struct model {
    char keys[MODEL_LEN_MAX][16];
    void *values[MODEL_LEN_MAX];
    size_t len;
};

static int dropped;

static void count_drop(void *value)
{
    dropped += *(int *)value;
}

static void a_new_map_is_empty(void **state)
{
    (void)state;
    struct reeve_map *map = reeve_map_new(0);
    assert_int_equal(reeve_map_len(map), 0);
    assert_null(reeve_map_get(map, "a"));
    assert_null(reeve_map_get(map, ""));
    assert_null(reeve_map_remove(map, "a"));
    struct reeve_map_iter iter = {0};
    assert_false(reeve_map_next(map, &iter));
    reeve_map_free(map, NULL);
    reeve_map_free(NULL, NULL);
}

static void put_replaces_and_hands_back_the_old(void **state)
{
    (void)state;
    struct reeve_map *map = reeve_map_new(0);
    int one = 1;
    int two = 2;
    void *old = &one;
    char key[4] = "k";
    assert_ok(reeve_map_put(map, key, &one, &old));
    assert_null(old);
    strcpy(key, "x"); // keys are copied
    assert_ok(reeve_map_put(map, "k", &two, &old));
    assert_ptr_equal(old, &one);
    assert_int_equal(reeve_map_len(map), 1);
    assert_ptr_equal(reeve_map_get(map, "k"), &two);
    assert_ok(reeve_map_put(map, "", &one, NULL));
    assert_ptr_equal(reeve_map_get(map, ""), &one);
    dropped = 0;
    reeve_map_free(map, count_drop);
    assert_int_equal(dropped, 3);
}

static void a_full_map_refuses_new_keys_only(void **state)
{
    (void)state;
    struct reeve_map *map = reeve_map_new(2);
    int value = 1;
    void *old = &value;
    assert_ok(reeve_map_put(map, "a", &value, NULL));
    assert_ok(reeve_map_put(map, "b", &value, NULL));
    assert_err(reeve_map_put(map, "c", &value, &old), REEVE_LIMIT);
    assert_ptr_equal(old, &value);
    assert_ok(reeve_map_put(map, "a", &value, NULL));
    assert_ptr_equal(reeve_map_remove(map, "b"), &value);
    assert_ok(reeve_map_put(map, "c", &value, NULL));
    assert_null(reeve_map_get(map, "b"));
    assert_int_equal(reeve_map_len(map), 2);
    reeve_map_free(map, NULL);
}

static void model_put(struct model *model, const char *key, void *value)
{
    for (size_t i = 0; i < model->len; i++) {
        if (strcmp(model->keys[i], key) == 0) {
            model->values[i] = value;
            return;
        }
    }
    strcpy(model->keys[model->len], key);
    model->values[model->len++] = value;
}

static void *model_remove(struct model *model, const char *key)
{
    for (size_t i = 0; i < model->len; i++) {
        if (strcmp(model->keys[i], key) == 0) {
            void *value = model->values[i];
            size_t after = model->len - i - 1;
            memmove(model->keys[i], model->keys[i + 1], after * sizeof model->keys[0]);
            memmove(&model->values[i], &model->values[i + 1], after * sizeof model->values[0]);
            model->len--;
            return value;
        }
    }
    return NULL;
}

static void assert_same(const struct reeve_map *map, const struct model *model)
{
    assert_int_equal(reeve_map_len(map), model->len);
    size_t i = 0;
    for (struct reeve_map_iter iter = {0}; reeve_map_next(map, &iter); i++) {
        assert_true(i < model->len);
        assert_string_equal(iter.key, model->keys[i]);
        assert_ptr_equal(iter.value, model->values[i]);
        assert_ptr_equal(reeve_map_get(map, iter.key), iter.value);
    }
    assert_int_equal(i, model->len);
}

// Keys from a range that grows and shrinks, so that rebuilds of all kinds happen.
static void random_schedules_agree_with_an_array(void **state)
{
    (void)state;
    static int values[64];
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct reeve_map *map = reeve_map_new(0);
        struct model model = {.len = 0};
        unsigned random = seed;
        for (int step = 0; step < 3000; step++) {
            char key[16];
            int range = step / 500 % 2 == 0 ? MODEL_LEN_MAX : 4;
            (void)snprintf(key, sizeof key, "key-%d", rand_r(&random) % range);
            int *value = &values[rand_r(&random) % 64];
            if (rand_r(&random) % 5 < (step / 250 % 2 == 0 ? 4 : 1)) {
                assert_ok(reeve_map_put(map, key, value, NULL));
                model_put(&model, key, value);
            } else {
                assert_ptr_equal(reeve_map_remove(map, key), model_remove(&model, key));
            }
            assert_null(reeve_map_get(map, "absent"));
            if (step % 50 == 0) {
                assert_same(map, &model);
            }
        }
        assert_same(map, &model);
        reeve_map_free(map, NULL);
    }
}

static void the_entry_under_the_iterator_may_go(void **state)
{
    (void)state;
    struct reeve_map *map = reeve_map_new(0);
    static int values[100];
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        values[i] = i;
        assert_ok(reeve_map_put(map, key, &values[i], NULL));
    }
    int seen = 0;
    for (struct reeve_map_iter iter = {0}; reeve_map_next(map, &iter); seen++) {
        assert_int_equal(*(int *)iter.value, seen);
        if (seen % 3 != 0) {
            assert_ptr_equal(reeve_map_remove(map, iter.key), &values[seen]);
        }
    }
    assert_int_equal(seen, 100);
    assert_int_equal(reeve_map_len(map), 34);
    reeve_map_free(map, NULL);
}

// A queue of commands comes and goes in a map for months.
static void coming_and_going_does_not_slow_down_or_fill_up(void **state)
{
    (void)state;
    struct reeve_map *map = reeve_map_new(3);
    int value = 1;
    char key[16];
    for (int i = 0; i < 200000; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        assert_ok(reeve_map_put(map, key, &value, NULL));
        (void)snprintf(key, sizeof key, "%d", i - 2);
        assert_ptr_equal(reeve_map_remove(map, key), i < 2 ? NULL : &value);
    }
    assert_int_equal(reeve_map_len(map), 2);
    reeve_map_free(map, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_map_is_empty),
        cmocka_unit_test(put_replaces_and_hands_back_the_old),
        cmocka_unit_test(a_full_map_refuses_new_keys_only),
        cmocka_unit_test(random_schedules_agree_with_an_array),
        cmocka_unit_test(the_entry_under_the_iterator_may_go),
        cmocka_unit_test(coming_and_going_does_not_slow_down_or_fill_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
