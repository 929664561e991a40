// Configuration: the short form and the long one, what is refused; environment and standard input made from it.
// Must not: start a process.
#include "cmocka_all.h"
#include "command.h"
#include "environment.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct made {
    struct reeve_value *tree;
    struct command_config config;
    struct commands *commands;
};

// False with the first mistake in `mistake`.
static bool make(const char *text, struct made *ret, char *mistake, size_t mistake_len)
{
    struct reeve_errors errors;
    *ret = (struct made){0};
    assert_ok(reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &ret->tree, NULL));
    reeve_errors_init(&errors, NULL);
    if (reeve_record_decode(&command_config_record, ret->tree, "", &ret->config, &errors) != REEVE_OK) {
        (void)reeve_error_format(&errors, 0, mistake, mistake_len);
        reeve_value_free(ret->tree);
        return false;
    }
    assert_ok(commands_make(&ret->config, ret->tree, &ret->commands, NULL));
    return true;
}

static void must_make(const char *text, struct made *ret)
{
    char mistake[500] = "";
    if (!make(text, ret, mistake, sizeof mistake)) {
        fail_msg("%s", mistake);
    }
}

static void drop(struct made *made)
{
    commands_unref(made->commands);
    reeve_record_done(&command_config_record, &made->config);
    reeve_value_free(made->tree);
}

static void the_short_form_is_one_queue_and_any_type(void **state)
{
    (void)state;
    struct made made;
    must_make("queue: images\nargv: [resize, '{payload.file}']\nconcurrency: 4\ntimeout: 5m\nlimits: {memory: 1G}\n",
              &made);
    assert_int_equal(command_queues_len(&made.config), 1);
    assert_string_equal(command_queue_at(&made.config, 0).queue, "images");
    assert_int_equal(command_queue_at(&made.config, 0).concurrency, 4);
    const struct command_row *row = commands_find(made.commands, "whatever");
    assert_non_null(row);
    assert_string_equal(row->type, "*");
    assert_int_equal(row->command.argv.len, 2);
    assert_int_equal(row->command.timeout_ms, 300000);
    assert_int_equal(row->command.grace_ms, 10000);
    assert_int_equal(row->command.output_max_bytes, 65536);
    assert_int_equal(row->command.limits.memory_bytes, 1 << 30);
    assert_int_equal(exits_of(&row->exits, 65, false), MEANS_FAIL);
    drop(&made);
}

static void types_find_their_own_command_and_else_the_star(void **state)
{
    (void)state;
    struct made made, other;
    must_make("queues: [{queue: a}, {queue: b, concurrency: 3, prefetch: 9}]\n"
              "commands: {x: {argv: [one]}, '*': {argv: [two], reconcile: [three]}}\n",
              &made);
    assert_int_equal(command_queues_len(&made.config), 2);
    assert_int_equal(command_queue_at(&made.config, 1).prefetch, 9);
    assert_string_equal(commands_find(made.commands, "x")->command.argv.items[0], "one");
    assert_string_equal(commands_find(made.commands, "y")->command.argv.items[0], "two");
    must_make("queue: a\ncommands: {'*': {argv: [four], reconcile: [five]}, x: {argv: [six]}}\n", &other);
    assert_true(commands_same_types(made.commands, other.commands));
    drop(&other);
    must_make("queue: a\ncommands: {'*': {argv: [four]}, x: {argv: [six]}}\n", &other);
    assert_false(commands_same_types(made.commands, other.commands));
    drop(&other);
    must_make("queue: a\ncommands: {x: {argv: [six]}}\n", &other);
    assert_false(commands_same_types(made.commands, other.commands));
    assert_null(commands_find(other.commands, "y"));
    drop(&other);
    drop(&made);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } rows[] = {
        {"queue: q", "argv"},
        {"argv: [a]", "queue"},
        {"queue: q\nqueues: [{queue: a}]\nargv: [a]", "queue"},
        {"queues: [{queue: a}]\nconcurrency: 3\nargv: [a]", "concurrency"},
        {"queue: q\nargv: [a, '{x}']", "argv"},
        {"queue: q\nargv: ['']", "argv"},
        {"queue: q\nargv: a b", "argv"},
        {"queue: q\nargv: [a]\nreconcile: ['{']", "reconcile"},
        {"queue: q\nargv: [a]\nenv: {'a=b': c}", "env"},
        {"queue: q\nargv: [a]\ninherit: [REEVE_JOB_ID]", "inherit"},
        {"queue: q\nargv: [a]\nexit: {done: [0], fail: [0]}", "exit.fail"},
        {"queue: q\nargv: [a]\nlimits: {memroy: 1G}", "limits.memroy"},
        {"queue: q\ncommands: {}", "commands"},
        {"queue: q\ncommands: [a]", "commands"},
        {"queue: q\ncommands: {x: {}}", "commands.x.argv"},
        {"queue: q\ncommands: {x: {argv: [a, '{payload.}']}}", "commands.x.argv"},
        {"queue: q\ncommands: {x: {argv: [a]}}\nstdin: raw", "stdin"},
        {"queue: q\nargv: [a]\nstdin: xml", "stdin"},
        {"queue: q\nargv: [a]\nconcurrency: 0", "concurrency"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct made made;
        char mistake[500] = "";
        assert_false(make(rows[i].text, &made, mistake, sizeof mistake));
        if (strstr(mistake, rows[i].place) == NULL) {
            fail_msg("row %zu: %s", i, mistake);
        }
    }
}

static const char *variable(const struct reeve_strv *env, const char *key)
{
    const size_t len = strlen(key);
    const char *found = NULL;
    for (size_t i = 0; i < env->len; i++) {
        if (strncmp(env->items[i], key, len) == 0 && env->items[i][len] == '=') {
            assert_null(found); // once
            found = env->items[i] + len + 1;
        }
    }
    return found;
}

static void the_environment_has_what_was_named_each_once(void **state)
{
    (void)state;
    struct made made;
    REEVE_STRV_AUTO env = {0};
    REEVE_VALUE_AUTO checkpoint = reeve_value_int(5);
    struct template_values job = {.id = "j", .type = "t", .queue = "q", .attempt = 4, .checkpoint = checkpoint};
    (void)setenv("SEEN", "yes", 1);
    (void)setenv("HIDDEN", "no", 1);
    (void)setenv("REEVE_RUN_TOKEN", "abc", 1);
    must_make("queue: q\nargv: [a]\nenv: {PATH: /mine, SEEN: mine, N: 5}\ninherit: [SEEN, UNSET]\n", &made);
    const struct command *command = &commands_find(made.commands, "t")->command;
    assert_ok(environment_make(command, &job, true, &env, NULL));
    assert_string_equal(variable(&env, "PATH"), "/mine");
    assert_string_equal(variable(&env, "SEEN"), "mine");
    assert_string_equal(variable(&env, "N"), "5");
    assert_null(variable(&env, "HIDDEN"));
    assert_null(variable(&env, "UNSET"));
    assert_string_equal(variable(&env, "REEVE_RUN_TOKEN"), "abc"); // by which a daemon finds what is left
    assert_string_equal(variable(&env, "REEVE_JOB_ATTEMPT"), "4");
    assert_string_equal(variable(&env, "REEVE_JOB_FENCE"), "4");
    assert_string_equal(variable(&env, "REEVE_JOB_RECONCILE"), "1");
    assert_string_equal(variable(&env, "REEVE_JOB_CHECKPOINT"), "5");
    drop(&made);
}

static void a_checkpoint_that_no_variable_can_hold_is_an_error(void **state)
{
    (void)state;
    struct made made;
    REEVE_STRV_AUTO env = {0};
    char *text = calloc(1, TEMPLATE_ARG_MAX + 1);
    assert_non_null(text);
    memset(text, 'x', TEMPLATE_ARG_MAX);
    REEVE_VALUE_AUTO checkpoint = reeve_value_str(text);
    free(text);
    struct template_values job = {.id = "j", .type = "t", .queue = "q", .attempt = 4, .checkpoint = checkpoint};
    struct reeve_why why = {0};
    must_make("queue: q\nargv: [a]\n", &made);
    assert_err(environment_make(&commands_find(made.commands, "t")->command, &job, false, &env, &why), REEVE_LIMIT);
    assert_string_equal(why.place, "REEVE_JOB_CHECKPOINT");
    assert_int_equal(env.len, 0);
    drop(&made);
}

static void the_payload_becomes_input_as_asked(void **state)
{
    (void)state;
    static const struct {
        const char *config, *payload, *input; // input NULL = none
        enum reeve_err err;
    } rows[] = {
        {"stdin: json", "{\"a\": [1]}", "{\"a\":[1]}\n", REEVE_OK},
        {"stdin: json", "null", "null\n", REEVE_OK},
        {"stdin: raw", "\"text\"", "text", REEVE_OK},
        {"stdin: raw", "null", "", REEVE_OK},
        {"stdin: raw", "5", NULL, REEVE_INVALID},
        {"stdin: none", "5", NULL, REEVE_OK},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct made made;
        char text[100];
        char *input = NULL;
        size_t len = 0;
        REEVE_VALUE_AUTO payload = NULL;
        assert_ok(reeve_json_read(rows[i].payload, strlen(rows[i].payload), &reeve_limits_wire, NULL, &payload, NULL));
        (void)snprintf(text, sizeof text, "queue: q\nargv: [a]\n%s\n", rows[i].config);
        must_make(text, &made);
        assert_err(environment_input(&commands_find(made.commands, "t")->command, payload, &input, &len, NULL),
                   rows[i].err);
        if (rows[i].input == NULL) {
            assert_null(input);
        } else {
            assert_string_equal(input, rows[i].input);
            assert_int_equal(len, strlen(rows[i].input));
        }
        free(input);
        drop(&made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_short_form_is_one_queue_and_any_type),
        cmocka_unit_test(types_find_their_own_command_and_else_the_star),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
        cmocka_unit_test(the_environment_has_what_was_named_each_once),
        cmocka_unit_test(a_checkpoint_that_no_variable_can_hold_is_an_error),
        cmocka_unit_test(the_payload_becomes_input_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
