// Exit codes: presets, lists that are given, lists that are wrong.
// Must not: start a process.
#include "cmocka_all.h"
#include "exits.h"

#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>

static bool make(const char *text, struct exits *ret, char *mistake, size_t mistake_len)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_errors errors;
    struct exits_config config;
    assert_ok(reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &value, NULL));
    reeve_errors_init(&errors, NULL);
    if (reeve_record_decode(&exits_record, value, "exit", &config, &errors) != REEVE_OK) {
        (void)reeve_error_format(&errors, 0, mistake, mistake_len); /* returns mistake */
        return false;
    }
    exits_make(&config, ret);
    reeve_record_done(&exits_record, &config);
    return true;
}

static enum exit_meaning meaning(const char *text, int code, bool reconciling)
{
    struct exits exits;
    char mistake[400] = "";
    if (!make(text, &exits, mistake, sizeof mistake)) {
        fail_msg("%s", mistake);
    }
    return exits_of(&exits, code, reconciling);
}

static void the_preset_knows_sysexits(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++) {
        const enum exit_meaning expected = code == 0 ? MEANS_DONE : code == 64 || code == 65 ? MEANS_FAIL : MEANS_RETRY;
        assert_int_equal(meaning("{}", code, false), expected);
        assert_int_equal(meaning("{}", code, true), code == 66 ? MEANS_NOT_DONE : expected);
    }
    assert_int_equal(meaning("{}", 256, false), MEANS_RETRY);
    assert_int_equal(meaning("{}", -1, false), MEANS_RETRY);
}

static void a_list_replaces_its_preset_and_wins_over_others(void **state)
{
    (void)state;
    assert_int_equal(meaning("{done: [0, 1]}", 1, false), MEANS_DONE); // as grep: nothing found
    assert_int_equal(meaning("{done: 3}", 0, false), MEANS_RETRY);
    assert_int_equal(meaning("{fail: [\"1-74\", \"76-255\"]}", 74, false), MEANS_FAIL);
    assert_int_equal(meaning("{fail: [\"1-74\", \"76-255\"]}", 75, false), MEANS_RETRY);
    assert_int_equal(meaning("{fail: [1]}", 65, false), MEANS_RETRY);
    assert_int_equal(meaning("{retry: [65]}", 65, false), MEANS_RETRY); // over the preset of fail
    assert_int_equal(meaning("{retry: [65]}", 64, false), MEANS_FAIL);
    assert_int_equal(meaning("{not_done: [7]}", 7, true), MEANS_NOT_DONE);
    assert_int_equal(meaning("{not_done: [7]}", 7, false), MEANS_RETRY);
    assert_int_equal(meaning("{not_done: [7]}", 66, true), MEANS_RETRY);
    assert_int_equal(meaning("{fail: [66]}", 66, true), MEANS_FAIL);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{done: [256]}",   "{done: [-1]}",        "{done: [\"5-3\"]}",        "{done: [\"1-\"]}",
        "{done: [\"a\"]}", "{done: [\"1 - 2\"]}", "{done: [0], fail: [0]}",   "{fail: [\"1-9\", 4]}",
        "{done: []}",      "{doen: [0]}",         "{done: [\"99999999999\"]}"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct exits exits;
        char mistake[400] = "";
        assert_false(make(rows[i], &exits, mistake, sizeof mistake));
        assert_non_null(strstr(mistake, "exit."));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_preset_knows_sysexits),
        cmocka_unit_test(a_list_replaces_its_preset_and_wins_over_others),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
