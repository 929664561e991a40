// Help, for the whole program and per command, and the man page: all from the tables in options.c.
// Must not: say anything about a command that does not stand in its row.
#include "options.h"
#include "output.h"

#include <string.h>

static const char exit_codes[] = "Exit codes: 0 done, 1 refused or failed, 2 usage or configuration,\n"
                                 "            3 broker, node or manager not reachable, or no answer in time.\n";

static void put_option(struct reeve_buf *out, enum option_id id)
{
    const struct option_def *option = &option_table[id];
    char left[64];
    char letter[5] = "    ";
    if (option->letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    }
    (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, option->name, option->value != NULL ? " " : "",
                   option->value != NULL ? option->value : "");
    reeve_buf_printf(out, "  %-28s  %s\n", left, option->doc);
}

// Those of `set`, less those of `without` (NULL = none).
static void put_options(struct reeve_buf *out, const struct option_set *set, const struct option_set *without)
{
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        if (option_set_has(set, id) && (without == NULL || !option_set_has(without, id))) {
            put_option(out, id);
        }
    }
}

// Words filled up to 100 columns.
static void put_paragraph(struct reeve_buf *out, const char *text)
{
    size_t col = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (col > 0 && col + 1 + len > 100) {
            reeve_buf_puts(out, "\n");
            col = 0;
        }
        reeve_buf_printf(out, "%s%.*s", col > 0 ? " " : "", (int)len, text);
        col += len + (col > 0 ? 1 : 0);
        text += len;
        text += strspn(text, " ");
    }
    reeve_buf_puts(out, "\n");
}

static void put_indented(struct reeve_buf *out, const char *lines)
{
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");
        reeve_buf_printf(out, "  %.*s\n", (int)len, lines);
        lines += len;
        lines += *lines == '\n' ? 1 : 0;
    }
}

// "  fleet       all workers ...", and below it the second words, filled up to 100 columns.
static void put_group(struct reeve_buf *out, const struct command_group *group)
{
    size_t col = 0;
    reeve_buf_printf(out, "  %-10s  %s:", group->name, group->summary);
    for (size_t i = 0; i < command_table_len; i++) {
        const char *word = command_in_group(&command_table[i], group);
        if (word == NULL) {
            continue;
        }
        size_t len = strlen(word) + 1;
        reeve_buf_printf(out, "%s %s", col == 0 || col + len > 88 ? "\n             " : "", word);
        col = col == 0 || col + len > 88 ? len : col + len;
    }
    reeve_buf_puts(out, "\n");
}

void help_overview(struct reeve_buf *out)
{
    reeve_buf_puts(out, "Usage: reeve COMMAND [options] [arguments]\n\n"
                        "Runs workers on many hosts and steers them through one MQTT broker.\n\nCommands:\n");
    for (size_t i = 0; i < command_table_len; i++) {
        if (command_group(&command_table[i]) == NULL) {
            reeve_buf_printf(out, "  %-10s  %s\n", command_table[i].name, command_table[i].summary);
        }
    }
    reeve_buf_puts(out, "\nGroups of commands (`reeve GROUP --help` tells what each does):\n");
    for (size_t i = 0; i < group_table_len; i++) {
        put_group(out, &group_table[i]);
    }
    reeve_buf_puts(out, "\nOptions of all commands that connect:\n");
    struct option_set common = options_common();
    put_options(out, &common, NULL);
    reeve_buf_puts(out, "\n");
    reeve_buf_puts(out, exit_codes);
    reeve_buf_puts(out, "`reeve COMMAND --help` tells more about one of them. Start with `reeve up`.\n");
}

void help_group(const struct command_group *group, struct reeve_buf *out)
{
    reeve_buf_printf(out, "Usage: reeve %s COMMAND [options] [arguments]\n\n%s: %s.\n\nCommands:\n", group->name,
                     group->name, group->summary);
    for (size_t i = 0; i < command_table_len; i++) {
        const struct command_def *command = &command_table[i];
        if (command_in_group(command, group) != NULL) {
            reeve_buf_printf(out, "  %s%s%s\n      %s\n", command->name, command->args[0] != '\0' ? " " : "",
                             command->args, command->summary);
        }
    }
    reeve_buf_printf(out, "\n`reeve %s COMMAND --help` tells more about one of them.\n", group->name);
}

void help_command(const struct command_def *command, struct reeve_buf *out)
{
    struct option_set own = command_own_options(command);
    struct option_set all = command_options(command);
    reeve_buf_printf(out, "Usage: reeve %s [options]%s%s\n\n", command->name, command->args[0] != '\0' ? " " : "",
                     command->args);
    reeve_buf_printf(out, "%s: %s.\n", command->name, command->summary);
    if (command->detail != NULL) {
        reeve_buf_puts(out, "\n");
        put_paragraph(out, command->detail);
    }
    if (command->options != NULL) {
        reeve_buf_puts(out, "\nOptions:\n");
        put_options(out, &own, NULL);
    }
    reeve_buf_puts(out,
                   command->offline ? "\nOptions of all commands:\n" : "\nOptions of all commands that connect:\n");
    put_options(out, &all, &own);
    if (command->examples != NULL) {
        reeve_buf_puts(out, "\nExamples:\n");
        put_indented(out, command->examples);
    }
}

// ---- the man page ---------------------------------------------------------------------------------------------

// roff takes a backslash, and a dot or quote at the beginning of a line, for its own.
static void put_roff(struct reeve_buf *out, const char *text)
{
    if (*text == '.' || *text == '\'') {
        reeve_buf_puts(out, "\\&");
    }
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            reeve_buf_puts(out, "\\e");
        } else if (*text == '-') {
            reeve_buf_puts(out, "\\-");
        } else {
            reeve_buf_append(out, text, 1);
            if (*text == '\n' && (text[1] == '.' || text[1] == '\'')) {
                reeve_buf_puts(out, "\\&");
            }
        }
    }
}

static void put_roff_options(struct reeve_buf *out, struct option_set set)
{
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        const struct option_def *option = &option_table[id];
        if (!option_set_has(&set, id)) {
            continue;
        }
        reeve_buf_puts(out, ".TP\n");
        if (option->letter != 0) {
            reeve_buf_printf(out, "\\fB\\-%c\\fR, ", option->letter);
        }
        reeve_buf_puts(out, "\\fB\\-\\-");
        put_roff(out, option->name);
        reeve_buf_puts(out, "\\fR");
        if (option->value != NULL) {
            reeve_buf_printf(out, " \\fI%s\\fR", option->value);
        }
        reeve_buf_puts(out, "\n");
        put_roff(out, option->doc);
        reeve_buf_puts(out, "\n");
    }
}

static void put_roff_command(struct reeve_buf *out, const struct command_def *command)
{
    reeve_buf_puts(out, ".SS \"reeve ");
    put_roff(out, command->name);
    reeve_buf_puts(out, command->args[0] != '\0' ? " " : "");
    put_roff(out, command->args);
    reeve_buf_puts(out, "\"\n");
    put_roff(out, command->summary);
    reeve_buf_puts(out, ".\n");
    if (command->detail != NULL) {
        put_roff(out, command->detail);
        reeve_buf_puts(out, "\n");
    }
    put_roff_options(out, command_own_options(command));
    if (command->examples != NULL) {
        reeve_buf_puts(out, ".PP\n.nf\n");
        put_roff(out, command->examples);
        reeve_buf_puts(out, "\n.fi\n");
    }
}

void help_man(struct reeve_buf *out)
{
    reeve_buf_printf(out, ".TH REEVE 1 \"\" \"reeve %s\" \"Reeve\"\n", REEVE_VERSION);
    reeve_buf_puts(out, ".SH NAME\nreeve \\- run and steer workers through MQTT\n.SH SYNOPSIS\n"
                        "\\fBreeve\\fR \\fICOMMAND\\fR [options] [arguments]\n.SH COMMANDS\n");
    for (size_t i = 0; i < command_table_len; i++) {
        put_roff_command(out, &command_table[i]);
    }
    reeve_buf_puts(out, ".SH OPTIONS OF ALL COMMANDS THAT CONNECT\n");
    put_roff_options(out, options_common());
    reeve_buf_puts(out, ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nrefused or failed\n.TP\n2\nusage or configuration\n"
                        ".TP\n3\nbroker, node or manager not reachable, or no answer in time\n"
                        ".SH ENVIRONMENT\n.TP\nREEVE_SITE\nfolder of the site, as \\-\\-site\n"
                        ".TP\nNO_COLOR\nno colour, whatever its value\n"
                        ".SH SEE ALSO\n\\fBmosquitto_pub\\fR(1), \\fBmosquitto\\fR(8)\n");
}

int cmd_help(const struct invocation *inv)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    char name[128];
    if (opt_given(inv, OPT_MAN)) {
        help_man(&out);
        return output_write(&out);
    }
    if (inv->args_len == 0) {
        help_overview(&out);
        return output_write(&out);
    }
    (void)snprintf(name, sizeof name, "%s%s%s", inv->args[0], inv->args_len > 1 ? " " : "",
                   inv->args_len > 1 ? inv->args[1] : "");
    const struct command_def *command = command_find(name);
    const struct command_group *group = group_find(name);
    if (command == NULL && group != NULL) {
        help_group(group, &out);
        return output_write(&out);
    }
    if (command == NULL) {
        return output_fail(inv, EXIT_USAGE, "there is no command `%s`; see `reeve --help`", name);
    }
    help_command(command, &out);
    return output_write(&out);
}
