// Which workers are meant.
#include "cmocka_all.h"
#include "selector.h"

#include <reeve/codec.h>

static struct invocation inv;

static enum reeve_err read_line(const char *line, struct selector *selector, struct reeve_why *why)
{
    assert_int_equal(parse_line(line, &inv, why), REEVE_OK);
    return selector_read(&inv, 0, inv.args_len, selector, why);
}

static void one_plain_name_is_single(void **state)
{
    (void)state;
    static const struct {
        const char *line, *node, *worker; // worker NULL = not single
    } rows[] = {
        {"stop mm-1", "", "mm-1"},
        {"stop alpha/mm-1", "alpha", "mm-1"},
        {"stop mm-1 --node alpha", "alpha", "mm-1"},
        {"stop beta/mm-1 --node alpha", "beta", "mm-1"},
        {"stop mm-*", NULL, NULL},
        {"stop */mm-1", NULL, NULL},
        {"stop mm-1 --node a*", NULL, NULL},
        {"stop mm-1 mm-2", NULL, NULL},
        {"stop mm-1 --type swap", NULL, NULL},
        {"stop --all", NULL, NULL},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        SELECTOR_AUTO selector = {0};
        struct reeve_why why;
        const char *node = NULL;
        const char *worker = NULL;
        assert_int_equal(read_line(rows[i].line, &selector, &why), REEVE_OK);
        assert_true(selector_says_something(&selector));
        assert_int_equal(selector_single(&selector, &node, &worker), rows[i].worker != NULL);
        if (rows[i].worker != NULL) {
            assert_string_equal(node, rows[i].node);
            assert_string_equal(worker, rows[i].worker);
        }
    }
}

static void what_can_be_no_name_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {"stop Mm.1",      "stop mm/1/2",  "stop /mm",
                                        "stop mm-1/",     "stop A*",      "stop x --node A",
                                        "stop x -l desk", "stop x -l =a", "stop x --state dancing",
                                        "stop -- -*"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lines); i++) {
        SELECTOR_AUTO selector = {0};
        struct reeve_why why = {0};
        assert_int_equal(read_line(lines[i], &selector, &why), REEVE_INVALID);
        assert_true(why.text[0] != '\0');
    }
    SELECTOR_AUTO nothing = {0};
    struct reeve_why why;
    assert_int_equal(read_line("stop", &nothing, &why), REEVE_OK);
    assert_false(selector_says_something(&nothing));
}

static bool fits(const char *line, const char *state)
{
    SELECTOR_AUTO selector = {0};
    struct reeve_why why;
    REEVE_VALUE_AUTO process = reeve_value_map();
    struct reeve_value *labels = reeve_value_map();
    reeve_put_str(labels, "desk", "a");
    reeve_put_str(process, "type", "swap");
    reeve_put_str(process, "exchange", "komodo");
    assert_int_equal(reeve_value_put(process, "labels", labels), REEVE_OK);
    const struct reeve_known_worker worker = {.node = "alpha", .name = "mm-1", .process_record = process};
    assert_int_equal(read_line(line, &selector, &why), REEVE_OK);
    return selector_fits(&selector, &worker, state);
}

static void every_filter_has_to_fit(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool fits;
    } rows[] = {
        {"ls", true},
        {"ls mm-1", true},
        {"ls mm-2", false},
        {"ls mm-2 mm-?", true},
        {"ls alpha/mm-1", true},
        {"ls beta/mm-1", false},
        {"ls */mm-1", true},
        {"ls --node alpha", true},
        {"ls --node beta mm-1", false},
        {"ls --type swap --exchange kom*", true},
        {"ls --type trading", false},
        {"ls -l desk=a", true},
        {"ls -l desk=?", true},
        {"ls -l desk=b", false},
        {"ls -l desk=a -l rack=1", false},
        {"ls --state running", true},
        {"ls --state failed", false},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (fits(rows[i].line, "running") != rows[i].fits) {
            fail_msg("%s", rows[i].line);
        }
    }
}

static void args_say_what_was_typed(void **state)
{
    (void)state;
    SELECTOR_AUTO selector = {0};
    struct reeve_why why;
    static const char *const names[] = {"mm-1", "swap-*", NULL};
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    assert_int_equal(
        read_line("stop mm-1 swap-* --type swap --exchange x -l a=b --state failed --all", &selector, &why), REEVE_OK);
    REEVE_VALUE_AUTO args = selector_args(&selector, names);
    assert_int_equal(reeve_json_write(args, 0, &json), REEVE_OK);
    assert_string_equal(reeve_buf_str(&json), "{\"workers\":[\"mm-1\",\"swap-*\"],\"type\":\"swap\",\"exchange\":\"x\","
                                              "\"state\":\"failed\",\"labels\":{\"a\":\"b\"},\"all\":true}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_plain_name_is_single),
        cmocka_unit_test(what_can_be_no_name_is_refused),
        cmocka_unit_test(every_filter_has_to_fit),
        cmocka_unit_test(args_say_what_was_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
