// The memory of ids [cmd-4]: what is found again and what is forgotten first.
// Neither number nor bytes pass the bound.
// Must not: need a broker.
#include "history.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static struct history *history;

static int setup(void **state)
{
    (void)state;
    history = history_new();
    return history == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    history_free(history);
    return 0;
}

static void add(const char *id, uint64_t digest, const struct reeve_value *result)
{
    struct reeve_reply reply = {
        .phase = REEVE_PHASE_FAILED, .code = "conflict", .message = "because", .result = result};
    assert_int_equal(history_add(history, id, digest, &reply), REEVE_OK);
}

static void a_reply_is_found_as_it_was(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO result = reeve_value_map();
    reeve_put_int(result, "n", 5);
    add("a", 77, result);
    const struct history_entry *entry = history_find(history, "a");
    assert_non_null(entry);
    assert_int_equal(entry->digest, 77);
    assert_int_equal(entry->phase, REEVE_PHASE_FAILED);
    assert_string_equal(entry->code, "conflict");
    assert_string_equal(entry->message, "because");
    assert_true(reeve_value_equal(entry->result, result));
    assert_ptr_not_equal(entry->result, result);
    assert_null(history_find(history, "b"));
}

static void the_first_reply_to_an_id_stays(void **state)
{
    (void)state;
    add("a", 1, NULL);
    add("a", 2, NULL);
    assert_int_equal(history_find(history, "a")->digest, 1);
    assert_int_equal(history_len(history), 1);
}

static void the_oldest_is_forgotten_first(void **state)
{
    (void)state;
    for (int i = 0; i < HISTORY_LEN_MAX + 10; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i); /* fits */
        add(id, (uint64_t)i, NULL);
    }
    assert_int_equal(history_len(history), HISTORY_LEN_MAX);
    assert_null(history_find(history, "id-9"));
    assert_non_null(history_find(history, "id-10"));
    assert_non_null(history_find(history, "id-1033"));
}

static struct reeve_value *blob(size_t len)
{
    char *data = calloc(1, len);
    struct reeve_value *value = reeve_value_bin(data, len);
    free(data);
    return value;
}

static void bytes_are_bounded_too(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO large = blob(HISTORY_RESULT_BYTES - 100);
    for (int i = 0; i < 40; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i); /* fits */
        add(id, 1, large);
        assert_true(history_bytes(history) <= HISTORY_BYTES_MAX);
    }
    assert_int_equal(history_len(history), HISTORY_BYTES_MAX / HISTORY_RESULT_BYTES);
    assert_non_null(history_find(history, "id-39"));
}

static void a_result_above_the_bound_is_remembered_as_done_without_it(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO large = blob(HISTORY_RESULT_BYTES + 1);
    add("a", 1, large);
    const struct history_entry *entry = history_find(history, "a");
    assert_non_null(entry);
    assert_null(entry->result);
    assert_non_null(strstr(entry->message, "too large"));
    assert_true(history_bytes(history) < 1024);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reply_is_found_as_it_was),
        TEST(the_first_reply_to_an_id_stays),
        TEST(the_oldest_is_forgotten_first),
        TEST(bytes_are_bounded_too),
        TEST(a_result_above_the_bound_is_remembered_as_done_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
