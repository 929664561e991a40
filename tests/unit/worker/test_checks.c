// The checks of a command that need nothing but the command: whose op, how old, what the sender expected [cmd-2].
// Must not: need a broker or a clock.
// The order of the checks is tested in tests/integration/worker.
#include "checks.h"

#include <reeve/codec.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static void ops_of_the_daemon_are_known(void **state)
{
    (void)state;
    static const char *const theirs[] = {"start", "stop", "restart", "kill", "signal", "reset", "remove", "logs"};
    static const char *const ours[] = {"pause", "resume", "drain", "configure", "describe", "echo", "stopp", ""};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(theirs); i++) {
        assert_true(checks_op_of_daemon(theirs[i]));
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ours); i++) {
        assert_false(checks_op_of_daemon(ours[i]));
    }
}

static void the_near_op_comes_from_all_tables(void **state)
{
    (void)state;
    static const struct reeve_worker_command declared[] = {{.name = "withdraw"}, {0}};
    static const struct reeve_worker_command builtin[] = {{.name = "pause"}, {0}};
    assert_string_equal(checks_near_op("withdrew", declared, builtin), "withdraw");
    assert_string_equal(checks_near_op("paus", declared, builtin), "pause");
    assert_string_equal(checks_near_op("stopp", declared, builtin), "stop");
    assert_null(checks_near_op("xyzzy", declared, builtin));
    assert_string_equal(checks_near_op("paus", NULL, builtin), "pause");
}

static void only_what_says_so_expires(void **state)
{
    (void)state;
    struct reeve_command command = {.issued_at = 1000};
    assert_false(checks_expired(&command, 1 << 30));
    command.expires_at = 5000;
    assert_false(checks_expired(&command, 5000));
    assert_true(checks_expired(&command, 5001));
}

static enum reeve_err expect(const char *json, struct reeve_why *why)
{
    const struct checks_state is = {.epoch = 100, .run = 4, .availability = REEVE_AVAILABILITY_PAUSED};
    REEVE_VALUE_AUTO value = NULL;
    assert_int_equal(reeve_json_read(json, strlen(json), &reeve_limits_wire, NULL, &value, NULL), REEVE_OK);
    return checks_expect(value, &is, why);
}

static void an_expectation_holds_or_says_what_differs(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum reeve_err err;
        const char *says;
    } cases[] = {
        {"{}", REEVE_OK, ""},
        {"{\"epoch\":100,\"run\":4,\"state\":\"running\"}", REEVE_OK, ""},
        {"{\"state\":\"paused\"}", REEVE_OK, ""},
        {"{\"epoch\":99}", REEVE_CONFLICT, "expected epoch 99, it is 100"},
        {"{\"epoch\":\"100\"}", REEVE_CONFLICT, "epoch"},
        {"{\"run\":5}", REEVE_CONFLICT, "expected run 5, it is 4"},
        {"{\"state\":\"idle\"}", REEVE_CONFLICT, "running and paused"},
        {"{\"state\":7}", REEVE_CONFLICT, "expected state"},
        {"{\"run\":4,\"version\":2}", REEVE_INVALID, "expect.version"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        struct reeve_why why = {0};
        assert_int_equal(expect(cases[i].json, &why), cases[i].err);
        assert_non_null(strstr(why.text, cases[i].says));
    }
    assert_int_equal(checks_expect(NULL, &(struct checks_state){0}, NULL), REEVE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_of_the_daemon_are_known),
        cmocka_unit_test(the_near_op_comes_from_all_tables),
        cmocka_unit_test(only_what_says_so_expires),
        cmocka_unit_test(an_expectation_holds_or_says_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
