// Help, completion and man page say what the tables say, for every command and option.
#include "cmocka_all.h"

static void every_row_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPT_ID_COUNT; i++) {
        assert_non_null(option_table[i].name);
        assert_non_null(option_table[i].doc);
        assert_int_equal(option_table[i].doc[strlen(option_table[i].doc) - 1], '.');
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(option_table[i].name, option_table[j].name);
        }
    }
    for (size_t i = 0; i < command_table_len; i++) {
        const struct command_def *command = &command_table[i];
        assert_non_null(command->run);
        assert_non_null(command->summary);
        assert_non_null(command->args);
        assert_true(command->args_max == -1 || command->args_max >= command->args_min);
        assert_ptr_equal(command_find(command->name), command);
    }
}

static void no_letter_means_two_things_of_one_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < command_table_len; i++) {
        struct option_set set = command_options(&command_table[i]);
        for (enum option_id a = 0; a < OPT_ID_COUNT; a++) {
            for (enum option_id b = 0; b < a; b++) {
                bool both = option_set_has(&set, a) && option_set_has(&set, b) && option_table[a].letter != 0;
                if (both && option_table[a].letter == option_table[b].letter) {
                    fail_msg("%s: -%c is --%s and --%s", command_table[i].name, option_table[a].letter,
                             option_table[a].name, option_table[b].name);
                }
            }
        }
    }
}

static void contains(const struct reeve_buf *text, const char *part, const char *where)
{
    if (strstr(reeve_buf_str(text), part) == NULL) {
        fail_msg("%s does not have %s", where, part);
    }
}

static void help_names_every_option_of_a_command(void **state)
{
    (void)state;
    REEVE_BUF_AUTO overview = REEVE_BUF_INIT(0);
    help_overview(&overview);
    for (size_t i = 0; i < command_table_len; i++) {
        REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
        help_command(&command_table[i], &text);
        const struct command_group *group = command_group(&command_table[i]);
        contains(&overview, group != NULL ? command_in_group(&command_table[i], group) : command_table[i].name, "help");
        contains(&text, command_table[i].summary, command_table[i].name);
        for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
            struct option_set set = command_options(&command_table[i]);
            if (option_set_has(&set, id)) {
                char option[64];
                (void)snprintf(option, sizeof option, "--%s", option_table[id].name);
                contains(&text, option, command_table[i].name);
            }
        }
    }
}

static void a_group_names_its_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < group_table_len; i++) {
        REEVE_BUF_AUTO overview = REEVE_BUF_INIT(0);
        REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
        size_t commands = 0;
        help_overview(&overview);
        help_group(&group_table[i], &text);
        contains(&overview, group_table[i].summary, "help");
        for (size_t j = 0; j < command_table_len; j++) {
            if (command_in_group(&command_table[j], &group_table[i]) != NULL) {
                contains(&text, command_table[j].name, group_table[i].name);
                contains(&text, command_table[j].summary, group_table[i].name);
                commands++;
            }
        }
        assert_true(commands > 1);
        assert_null(command_find(group_table[i].name));
    }
    // Two words need a group: otherwise nobody could type them.
    for (size_t i = 0; i < command_table_len; i++) {
        assert_int_equal(strchr(command_table[i].name, ' ') != NULL, command_group(&command_table[i]) != NULL);
    }
}

static void the_man_page_has_every_command(void **state)
{
    (void)state;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    help_man(&text);
    assert_memory_equal(reeve_buf_str(&text), ".TH REEVE 1", 11);
    for (size_t i = 0; i < command_table_len; i++) {
        // A minus of a name is written \-, so that it can be copied.
        REEVE_BUF_AUTO heading = REEVE_BUF_INIT(256);
        reeve_buf_puts(&heading, ".SS \"reeve ");
        for (const char *at = command_table[i].name; *at != '\0'; at++) {
            reeve_buf_printf(&heading, *at == '-' ? "\\%c" : "%c", *at);
        }
        contains(&text, reeve_buf_str(&heading), "the man page");
    }
    // Nothing of the tables is taken for a request of roff.
    for (const char *at = reeve_buf_str(&text); (at = strchr(at, '\n')) != NULL; at++) {
        if (at[1] == '.') {
            assert_true(strspn(at + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZnfi") >= 2);
        }
    }
}

static void every_shell_gets_every_command(void **state)
{
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t s = 0; s < REEVE_ARRAY_LEN(shells); s++) {
        REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
        assert_true(completion_write(shells[s], &text));
        for (size_t i = 0; i < command_table_len; i++) {
            const char *second = strchr(command_table[i].name, ' ');
            contains(&text, second != NULL ? second + 1 : command_table[i].name, shells[s]);
        }
        contains(&text, "print-mqtt", shells[s]);
        contains(&text, "reeve ls -q", shells[s]);
    }
    REEVE_BUF_AUTO none = REEVE_BUF_INIT(0);
    assert_false(completion_write("tcsh", &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(no_letter_means_two_things_of_one_command),
        cmocka_unit_test(help_names_every_option_of_a_command),
        cmocka_unit_test(a_group_names_its_commands),
        cmocka_unit_test(the_man_page_has_every_command),
        cmocka_unit_test(every_shell_gets_every_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
