// Declared arguments: every type, in every spelling a person or program uses, and what is said about the others.
// Arguments are given as JSON and compared with JSON.
// Must not: need a broker.
#include "arguments.h"

#include <reeve/codec.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static const struct reeve_worker_arg declared[] = {
    {.name = "text", .type = "string"}, {.name = "count", .type = "int"},     {.name = "ratio", .type = "real"},
    {.name = "on", .type = "bool"},     {.name = "wait", .type = "duration"}, {.name = "wait_ms", .type = "duration"},
    {.name = "room", .type = "size"},   {.name = "what", .type = "any"},      {0},
};

static struct reeve_value *json(const char *text)
{
    struct reeve_value *value = NULL;
    assert_int_equal(reeve_json_read(text, strlen(text), &reeve_limits_wire, NULL, &value, NULL), REEVE_OK);
    return value;
}

static void every_type_is_brought_into_one_spelling(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "{}"},
        {"{\"text\":\"a\"}", "{\"text\":\"a\"}"},
        {"{\"count\":5}", "{\"count\":5}"},
        {"{\"count\":\"-5\"}", "{\"count\":-5}"},
        {"{\"count\":5.0}", "{\"count\":5}"},
        {"{\"ratio\":2}", "{\"ratio\":2.0}"},
        {"{\"ratio\":\"2.5\"}", "{\"ratio\":2.5}"},
        {"{\"on\":true}", "{\"on\":true}"},
        {"{\"on\":\"false\"}", "{\"on\":false}"},
        {"{\"wait\":\"2s\"}", "{\"wait\":2000}"},
        {"{\"wait\":\"0\"}", "{\"wait\":0}"},
        {"{\"wait_ms\":250}", "{\"wait_ms\":250}"},
        {"{\"wait_ms\":\"250\"}", "{\"wait_ms\":250}"},
        {"{\"wait_ms\":\"1s\"}", "{\"wait_ms\":1000}"},
        {"{\"room\":\"64K\"}", "{\"room\":65536}"},
        {"{\"room\":7}", "{\"room\":7}"},
        {"{\"what\":[1,{\"a\":null}]}", "{\"what\":[1,{\"a\":null}]}"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        REEVE_VALUE_AUTO given = json(cases[i][0]);
        REEVE_VALUE_AUTO expected = json(cases[i][1]);
        REEVE_VALUE_AUTO checked = NULL;
        struct reeve_why why = {0};
        enum reeve_err err = arguments_check(declared, given, &checked, &why);
        assert_string_equal(why.text, "");
        assert_int_equal(err, REEVE_OK);
        assert_true(reeve_value_equal(checked, expected));
    }
}

static void what_is_not_of_its_type_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"text\":5}", "text: a "},
        {"{\"count\":\"x\"}", "count: 'x' is not a whole number"},
        {"{\"count\":1.5}", "count: "},
        {"{\"count\":null}", "count: "},
        {"{\"ratio\":\"1e999\"}", "ratio: "},
        {"{\"ratio\":\"1x\"}", "ratio: "},
        {"{\"on\":1}", "on: "},
        {"{\"on\":\"yes\"}", "on: 'yes' is not true or false"},
        {"{\"wait\":5}", "wait: "},
        {"{\"wait\":\"5\"}", "wait: "},
        {"{\"wait_ms\":-5}", "wait_ms: "},
        {"{\"room\":-1}", "room: "},
        {"{\"room\":\"much\"}", "room: 'much' is not a size"},
        {"{\"coun\":1}", "did you mean count?"},
        {"{\"zebra\":1}", "zebra is no argument"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        REEVE_VALUE_AUTO given = json(cases[i][0]);
        struct reeve_value *checked = NULL;
        struct reeve_why why = {0};
        assert_int_equal(arguments_check(declared, given, &checked, &why), REEVE_INVALID);
        assert_null(checked);
        if (strstr(why.text, cases[i][1]) == NULL) {
            print_error("%s: %s\n", cases[i][0], why.text);
        }
        assert_non_null(strstr(why.text, cases[i][1]));
    }
}

static void a_required_one_must_be_there(void **state)
{
    (void)state;
    static const struct reeve_worker_arg one[] = {{.name = "ms", .type = "duration", .required = true}, {0}};
    REEVE_VALUE_AUTO none = json("{}");
    REEVE_VALUE_AUTO given = json("{\"ms\":5}");
    REEVE_VALUE_AUTO checked = NULL;
    struct reeve_why why = {0};
    assert_int_equal(arguments_check(one, none, &checked, &why), REEVE_INVALID);
    assert_string_equal(why.text, "ms is missing (duration)");
    assert_int_equal(arguments_check(one, given, &checked, &why), REEVE_OK);
}

static void without_a_declaration_anything_goes(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO given = json("{\"a\":{\"b\":[1]}}");
    REEVE_VALUE_AUTO checked = NULL;
    assert_int_equal(arguments_check(NULL, given, &checked, NULL), REEVE_OK);
    assert_true(reeve_value_equal(given, checked));
    assert_ptr_not_equal(given, checked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_brought_into_one_spelling),
        cmocka_unit_test(what_is_not_of_its_type_is_named),
        cmocka_unit_test(a_required_one_must_be_there),
        cmocka_unit_test(without_a_declaration_anything_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
