// Reading a command line by the tables.
#include "cmocka_all.h"

static struct invocation inv;
static struct reeve_why why;

static void accepted(const char *line, const char *command)
{
    enum reeve_err err = parse_line(line, &inv, &why);
    if (err != REEVE_OK) {
        fail_msg("%s: %s", line, why.text);
    }
    assert_string_equal(inv.command->name, command);
}

static void refused(const char *line, const char *says)
{
    assert_int_equal(parse_line(line, &inv, &why), REEVE_INVALID);
    if (strstr(why.text, says) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", line, why.text, says);
    }
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {"--timeout 5s stop mm-1 --json", "stop --json --timeout=5s mm-1",
                                        "stop mm-1 --timeout 5s --json"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lines); i++) {
        accepted(lines[i], "stop");
        assert_true(opt_given(&inv, OPT_JSON));
        assert_string_equal(opt_value(&inv, OPT_TIMEOUT), "5s");
        assert_int_equal(inv.args_len, 1);
        assert_string_equal(inv.args[0], "mm-1");
    }
}

static void letters_cluster_and_take_values(void **state)
{
    (void)state;
    accepted("logs -ft mm-1", "logs");
    assert_true(opt_given(&inv, OPT_FOLLOW) && opt_given(&inv, OPT_TIMESTAMPS));
    accepted("apply -f a.yaml -fb.yaml", "apply");
    size_t at = 0;
    assert_string_equal(opt_next(&inv, OPT_FILE, &at), "a.yaml");
    assert_string_equal(opt_next(&inv, OPT_FILE, &at), "b.yaml");
    assert_null(opt_next(&inv, OPT_FILE, &at));
    assert_string_equal(opt_value(&inv, OPT_FILE), "b.yaml");
    accepted("ls -wl desk=a -n alpha", "ls");
    assert_string_equal(opt_value(&inv, OPT_LABEL), "desk=a");
    assert_string_equal(opt_value(&inv, OPT_NODE), "alpha");
}

static void the_same_letter_means_what_the_command_says(void **state)
{
    (void)state;
    accepted("logs mm-1 -f", "logs");
    assert_true(opt_given(&inv, OPT_FOLLOW));
    accepted("apply -f -", "apply");
    assert_string_equal(opt_value(&inv, OPT_FILE), "-");
    refused("stop -f mm-1", "no option -f of reeve stop");
}

static void groups_take_a_second_word(void **state)
{
    (void)state;
    accepted("node ls", "node ls");
    accepted("--json node show alpha", "node show");
    refused("node", "reeve node what?");
    refused("node shw", "did you mean `node show`");
    assert_int_equal(parse_line("node --help", &inv, &why), REEVE_OK);
    assert_null(inv.command);
    assert_string_equal(inv.group->name, "node");
}

static void the_managers_commands_take_what_they_say(void **state)
{
    (void)state;
    accepted("fleet stop --all -y --grace 2s", "fleet stop");
    assert_true(opt_given(&inv, OPT_YES) && opt_given(&inv, OPT_ALL));
    accepted("fleet find -r cpus>=4 -r !gpu --count 3 -q", "fleet find");
    size_t at = 0;
    assert_string_equal(opt_next(&inv, OPT_REQUIRE, &at), "cpus>=4");
    assert_string_equal(opt_next(&inv, OPT_REQUIRE, &at), "!gpu");
    accepted("pool scale swap -1", "pool scale");
    assert_string_equal(inv.args[1], "-1");
    accepted("pool scale swap +2 --wait --timeout 1m", "pool scale");
    accepted("pool apply -f a.yaml -f b.yaml --dry-run", "pool apply");
    accepted("account start-all --no-validate --canary 3", "account start-all");
    accepted("account validate --dir x --no-defaults", "account validate");
    accepted("alarm ack lost alpha_mm-1 --by kim --note rebooting", "alarm ack");
    accepted("manager restore backup.db --state-dir x", "manager restore");
    refused("fleet", "reeve fleet what?");
    refused("pool scale swap", "reeve pool scale POOL SIZE");
    refused("pool scale swap 1 2", "'2' is too much");
    refused("pool aply -f x", "did you mean `pool apply`?");
    refused("fleet stop mm-1 --wait", "--wait is no option of `reeve fleet stop`");
    refused("pool acquire swap --leese 5m", "did you mean --lease?");
    refused("account stop-all x", "'x' is too much");
}

static void after_two_dashes_all_is_an_argument(void **state)
{
    (void)state;
    accepted("call mm-1 op -- --json -x", "call");
    assert_int_equal(inv.args_len, 4);
    assert_string_equal(inv.args[3], "-x");
    assert_false(opt_given(&inv, OPT_JSON));
}

static void mistakes_are_named_with_a_hint(void **state)
{
    (void)state;
    refused("", "no command given");
    refused("stpo", "did you mean `stop`?");
    refused("xyzzy", "see `reeve --help`");
    refused("stop --timout 5s", "did you mean --timeout?");
    refused("ls --grace 5s", "--grace is no option of `reeve ls`");
    refused("--grace 5s ls", "--grace is no option of `reeve ls`");
    refused("ls --timeout", "needs a value");
    refused("ls --json=yes", "takes no value");
    refused("show", "reeve show NAME");
    refused("show a b", "'b' is too much");
    refused("version x", "'x' is too much");
    refused("encode --site x", "no option of `reeve encode`");
}

static void json_counts_also_behind_a_mistake(void **state)
{
    (void)state;
    refused("stpo --json", "did you mean");
    assert_true(opt_given(&inv, OPT_JSON));
    refused("ls --nonsense", "no option --nonsense");
    assert_false(opt_given(&inv, OPT_JSON));
}

static void help_and_version_need_no_command(void **state)
{
    (void)state;
    assert_int_equal(parse_line("--help", &inv, &why), REEVE_OK);
    assert_null(inv.command);
    accepted("--version", "version");
    accepted("show --help", "show"); // without its argument
}

static void too_much_is_refused(void **state)
{
    (void)state;
    static char line[4096] = "ls";
    for (int i = 0; i <= GIVEN_MAX; i++) {
        (void)strcat(line, " --wide"); // NOLINT: 129 * 7 + 3 < 4096
    }
    refused(line, "more than 128 options");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(letters_cluster_and_take_values),
        cmocka_unit_test(the_same_letter_means_what_the_command_says),
        cmocka_unit_test(groups_take_a_second_word),
        cmocka_unit_test(the_managers_commands_take_what_they_say),
        cmocka_unit_test(after_two_dashes_all_is_an_argument),
        cmocka_unit_test(mistakes_are_named_with_a_hint),
        cmocka_unit_test(json_counts_also_behind_a_mistake),
        cmocka_unit_test(help_and_version_need_no_command),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
