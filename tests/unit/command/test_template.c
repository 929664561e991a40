// Templates: what each name becomes, what is refused, and that one argument stays one.
// Must not: start a process.
#include "cmocka_all.h"
#include "template.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct reeve_value *json(const char *text)
{
    struct reeve_value *value = NULL;
    assert_ok(reeve_json_read(text, strlen(text), &reeve_limits_wire, NULL, &value, NULL));
    return value;
}

static struct template_values values_of(const struct reeve_value *payload)
{
    return (struct template_values){
        .id = "j-1", .type = "pay", .queue = "bills", .attempt = 3, .payload = payload, .checkpoint = payload};
}

static void each_name_becomes_its_value(void **state)
{
    (void)state;
    static const struct {
        const char *text, *filled;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"{id}", "j-1"},
        {"{type}/{queue}", "pay/bills"},
        {"{attempt}.{fence}", "3.3"},
        {"--amount={payload.amount}", "--amount=12"},
        {"{payload.text}", "two words; $(rm -rf /) \"'`\n*"},
        {"{payload.deep.er.1}", "y"},
        {"{payload.on} {payload.rate}", "true 0.5"},
        {"{payload.deep}", "{\"er\":[\"x\",\"y\"]}"},
        {"{checkpoint.amount}", "12"},
        {"{payload.empty}", ""},
        {"{{id}}", "{id}"},
        {"{{\"a\": {payload.amount}}}", "{\"a\": 12}"},
        {"a } b", "a } b"},
        {"{payload.t\xc3\xbcr}", "zu"},
    };
    REEVE_VALUE_AUTO payload =
        json("{\"amount\": 12, \"text\": \"two words; $(rm -rf /) \\\"'`\\n*\", \"empty\": \"\","
             "\"deep\": {\"er\": [\"x\", \"y\"]}, \"on\": true, \"rate\": 0.5, \"t\\u00fcr\": \"zu\"}");
    const struct template_values values = values_of(payload);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char *filled = NULL;
        struct reeve_why why = {0};
        assert_ok(template_check(rows[i].text, &why));
        assert_ok(template_fill(rows[i].text, &values, &filled, &why));
        assert_string_equal(filled, rows[i].filled);
        free(filled);
    }
}

static void what_has_no_value_is_an_error_of_the_job(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum reeve_err err;
    } rows[] = {
        {"{payload.none}", REEVE_NOENT},    {"{payload.list.2}", REEVE_NOENT}, {"{payload.list.x}", REEVE_NOENT},
        {"{payload.list.-1}", REEVE_NOENT}, {"{payload.no}", REEVE_NOENT},     {"{payload.n.deeper}", REEVE_NOENT},
        {"{payload.bin}", REEVE_INVALID},
    };
    REEVE_VALUE_AUTO payload = json("{\"list\": [1, 2], \"no\": null, \"n\": 5, \"bin\": {\"$bin\": \"YQBi\"}}");
    const struct template_values values = values_of(payload), none = values_of(NULL);
    char *filled = NULL;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why = {0};
        assert_err(template_fill(rows[i].text, &values, &filled, &why), rows[i].err);
        assert_null(filled);
        assert_true(why.text[0] != '\0');
    }
    assert_err(template_fill("{payload}", &none, &filled, NULL), REEVE_NOENT);
    assert_err(template_fill("{checkpoint.a}", &none, &filled, NULL), REEVE_NOENT);
}

static void a_wrong_template_is_refused_beforehand(void **state)
{
    (void)state;
    static const char *const rows[] = {"{",        "a {b",         "{}",           "{id.x}",
                                       "{amount}", "{payload.}",   "{payload..a}", "{payload.a.}",
                                       "{ id }",   "{payload[0]}", "{Payload}"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why = {0};
        assert_err(template_check(rows[i], &why), REEVE_INVALID);
        assert_true(why.text[0] != '\0');
    }
    char long_name[400] = "{payload.";
    memset(long_name + 9, 'a', 300);
    long_name[309] = '}';
    assert_err(template_check(long_name, NULL), REEVE_INVALID);
}

static void an_argument_stays_one_and_names_its_number(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO payload = json("{\"a\": \"-x --y\\tz\", \"b\": \"\"}");
    const struct template_values values = values_of(payload);
    REEVE_STRV_AUTO argv = {0}, filled = {0}, refused = {0};
    struct reeve_why why = {0};
    assert_ok(reeve_strv_add(&argv, "cmd"));
    assert_ok(reeve_strv_add(&argv, "{payload.a}"));
    assert_ok(reeve_strv_add(&argv, "{payload.b}"));
    assert_ok(template_fill_all(&argv, &values, &filled, &why));
    assert_int_equal(filled.len, 3);
    assert_string_equal(filled.items[1], "-x --y\tz");
    assert_string_equal(filled.items[2], "");
    assert_null(filled.items[3]);
    assert_ok(reeve_strv_add(&argv, "{payload.c}"));
    assert_err(template_fill_all(&argv, &values, &refused, &why), REEVE_NOENT);
    assert_string_equal(why.place, "argument 3");
    assert_int_equal(refused.len, 0);
}

static void an_argument_is_bounded(void **state)
{
    (void)state;
    char *big = malloc(TEMPLATE_ARG_MAX + 2), *filled = NULL;
    assert_non_null(big);
    memset(big, 'x', TEMPLATE_ARG_MAX + 1);
    big[TEMPLATE_ARG_MAX + 1] = '\0';
    REEVE_VALUE_AUTO payload = reeve_value_str(big);
    const struct template_values values = values_of(payload);
    assert_err(template_fill("{payload}", &values, &filled, NULL), REEVE_LIMIT);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_becomes_its_value),
        cmocka_unit_test(what_has_no_value_is_an_error_of_the_job),
        cmocka_unit_test(a_wrong_template_is_refused_beforehand),
        cmocka_unit_test(an_argument_stays_one_and_names_its_number),
        cmocka_unit_test(an_argument_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
