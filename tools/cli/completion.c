// Completion scripts for bash, zsh and fish, from the tables in options.c.
// Must not: need anything but `reeve ... ls -q` at the time of completion.
#include "options.h"
#include "output.h"

#include <string.h>

// Completing must not hang: names come from a site that answers at once, or not at all.
#define ASK "--timeout 1s 2>/dev/null"

// What lists the names that an argument may be; NULL = it is no name.
static const char *lister(enum completes completes)
{
    switch (completes) {
    case COMPLETES_WORKER:
        return "reeve ls -q";
    case COMPLETES_NODE:
        return "reeve node ls -q";
    case COMPLETES_POOL:
        return "reeve pool ls -q";
    case COMPLETES_ACCOUNT:
        return "reeve account ls -q";
    case COMPLETES_MANAGER:
        return "reeve manager ls -q";
    case COMPLETES_ALARM:
        return "reeve alarm ls -q";
    case COMPLETES_QUEUE:
        return "reeve queue ls -q";
    case COMPLETES_NOTHING:
    case COMPLETES_FILE:
    case COMPLETES_DIR:
    case COMPLETES_COMMAND:
        break;
    }
    return NULL;
}

// ---- bash -------------------------------------------------------------------------------------------------------

static void bash_words(struct reeve_buf *out)
{
    for (size_t i = 0; i < command_table_len; i++) {
        const char *name = command_table[i].name;
        size_t len = strcspn(name, " ");
        if (i == 0 || strncmp(command_table[i - 1].name, name, len + 1) != 0) { // a group once
            reeve_buf_printf(out, "%s%.*s", i > 0 ? " " : "", (int)len, name);
        }
    }
}

static void bash_options(struct reeve_buf *out, struct option_set set)
{
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        if (option_set_has(&set, id)) {
            reeve_buf_printf(out, "--%s ", option_table[id].name);
        }
    }
}

static void bash_arguments(struct reeve_buf *out, enum completes completes)
{
    if (lister(completes) != NULL) {
        reeve_buf_printf(out, "$(%s " ASK ")", lister(completes));
    } else if (completes == COMPLETES_FILE) {
        reeve_buf_puts(out, "$(compgen -f -- \"$cur\")");
    } else if (completes == COMPLETES_DIR) {
        reeve_buf_puts(out, "$(compgen -d -- \"$cur\")");
    } else if (completes == COMPLETES_COMMAND) {
        reeve_buf_puts(out, "$commands");
    }
}

static void bash_group(struct reeve_buf *out, const struct command_group *group)
{
    reeve_buf_printf(out, "    %s) words=\"", group->name);
    for (size_t i = 0; i < command_table_len; i++) {
        const char *word = command_in_group(&command_table[i], group);
        reeve_buf_printf(out, "%s%s", word != NULL ? word : "", word != NULL ? " " : "");
    }
    reeve_buf_puts(out, "\";;\n");
}

// A pattern of a shell's `case`: node|fleet|...
static void group_pattern(struct reeve_buf *out)
{
    for (size_t i = 0; i < group_table_len; i++) {
        reeve_buf_printf(out, "%s%s", i > 0 ? "|" : "", group_table[i].name);
    }
}

// The command that is being typed, of one word or two; bash and zsh differ in how they number words.
static void shell_words(struct reeve_buf *out, const char *words)
{
    reeve_buf_printf(out,
                     "  for word in %s; do\n    [[ $word == -* ]] && continue\n"
                     "    if [[ -z $command ]]; then command=$word\n    else case $command in ",
                     words);
    group_pattern(out);
    reeve_buf_puts(out, ") command=\"$command $word\";; esac; fi\n  done\n");
}

static void write_bash(struct reeve_buf *out)
{
    reeve_buf_puts(out, "# bash completion for reeve\n_reeve() {\n"
                        "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command= words=\n"
                        "  local commands=\"");
    bash_words(out);
    reeve_buf_puts(out, "\"\n");
    shell_words(out, "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"");
    reeve_buf_puts(out, "  case $prev in\n");
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        const struct option_def *option = &option_table[id];
        if (option->value != NULL) {
            reeve_buf_printf(out, "    --%s) COMPREPLY=($(compgen -W \"", option->name);
            bash_arguments(out, option->completes);
            reeve_buf_puts(out, "\" -- \"$cur\")); return;;\n");
        }
    }
    reeve_buf_puts(out, "  esac\n  case $command in\n    '') words=$commands;;\n");
    for (size_t i = 0; i < group_table_len; i++) {
        bash_group(out, &group_table[i]);
    }
    for (size_t i = 0; i < command_table_len; i++) {
        const struct command_def *command = &command_table[i];
        reeve_buf_printf(out, "    '%s') if [[ $cur == -* ]]; then words=\"", command->name);
        bash_options(out, command_options(command));
        reeve_buf_puts(out, "\"; else words=\"");
        if (strcmp(command->name, "completion") == 0) {
            reeve_buf_puts(out, "bash zsh fish");
        } else {
            bash_arguments(out, command->completes);
        }
        reeve_buf_puts(out, "\"; fi;;\n");
    }
    reeve_buf_puts(out, "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _reeve reeve\n");
}

// ---- zsh --------------------------------------------------------------------------------------------------------

// Inside single quotes and _describe's `name:text`.
static void zsh_text(struct reeve_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            reeve_buf_puts(out, "'\\''");
        } else if (*text == ':' || *text == '\\') {
            reeve_buf_printf(out, "\\%c", *text);
        } else {
            reeve_buf_append(out, text, 1);
        }
    }
}

static void zsh_arguments(struct reeve_buf *out, enum completes completes)
{
    if (lister(completes) != NULL) {
        reeve_buf_printf(out, "compadd -- ${(f)\"$(%s " ASK ")\"}", lister(completes));
    } else if (completes == COMPLETES_FILE) {
        reeve_buf_puts(out, "_files");
    } else if (completes == COMPLETES_DIR) {
        reeve_buf_puts(out, "_files -/");
    } else {
        reeve_buf_puts(out, completes == COMPLETES_COMMAND ? "_describe command commands" : ":");
    }
}

static void zsh_options(struct reeve_buf *out, struct option_set set)
{
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        if (option_set_has(&set, id)) {
            reeve_buf_printf(out, " '--%s:", option_table[id].name);
            zsh_text(out, option_table[id].doc);
            reeve_buf_puts(out, "'");
        }
    }
}

static void zsh_group(struct reeve_buf *out, const struct command_group *group)
{
    reeve_buf_printf(out, "    %s) commands=(", group->name);
    for (size_t i = 0; i < command_table_len; i++) {
        const char *word = command_in_group(&command_table[i], group);
        if (word != NULL) {
            reeve_buf_printf(out, " '%s:", word);
            zsh_text(out, command_table[i].summary);
            reeve_buf_puts(out, "'");
        }
    }
    reeve_buf_puts(out, "); _describe command commands; return;;\n");
}

// Commands of one word, and groups.
static void zsh_commands(struct reeve_buf *out)
{
    for (size_t i = 0; i < command_table_len; i++) {
        if (command_group(&command_table[i]) == NULL) {
            reeve_buf_printf(out, "\n    '%s:", command_table[i].name);
            zsh_text(out, command_table[i].summary);
            reeve_buf_puts(out, "'");
        }
    }
    for (size_t i = 0; i < group_table_len; i++) {
        reeve_buf_printf(out, "\n    '%s:", group_table[i].name);
        zsh_text(out, group_table[i].summary);
        reeve_buf_puts(out, "'");
    }
}

static void write_zsh(struct reeve_buf *out)
{
    reeve_buf_puts(out, "#compdef reeve\n_reeve() {\n  local command= word\n  local -a commands options\n  commands=(");
    zsh_commands(out);
    reeve_buf_puts(out, ")\n");
    shell_words(out, "${words[2,CURRENT-1]}");
    reeve_buf_puts(out, "  case $command in\n    '') _describe command commands; return;;\n");
    for (size_t i = 0; i < group_table_len; i++) {
        zsh_group(out, &group_table[i]);
    }
    for (size_t i = 0; i < command_table_len; i++) {
        const struct command_def *command = &command_table[i];
        reeve_buf_printf(out, "    '%s') options=(", command->name);
        zsh_options(out, command_options(command));
        reeve_buf_puts(out, ")\n      [[ $PREFIX == -* ]] && _describe -o option options || ");
        if (strcmp(command->name, "completion") == 0) {
            reeve_buf_puts(out, "compadd bash zsh fish");
        } else {
            zsh_arguments(out, command->completes);
        }
        reeve_buf_puts(out, ";;\n");
    }
    reeve_buf_puts(out,
                   "  esac\n}\nif [[ $funcstack[1] == _reeve ]]; then _reeve \"$@\"; else compdef _reeve reeve; fi\n");
}

// ---- fish -------------------------------------------------------------------------------------------------------

static void fish_text(struct reeve_buf *out, const char *text)
{
    reeve_buf_puts(out, "'");
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\') {
            reeve_buf_puts(out, "\\");
        }
        reeve_buf_append(out, text, 1);
    }
    reeve_buf_puts(out, "'");
}

static void fish_arguments(struct reeve_buf *out, enum completes completes)
{
    if (lister(completes) != NULL) {
        reeve_buf_printf(out, " -f -a '(%s " ASK ")'", lister(completes));
    } else {
        reeve_buf_puts(out, completes == COMPLETES_FILE || completes == COMPLETES_DIR ? " -F" : " -f");
    }
}

// `fleet ls` and `node ls` are two commands, and a worker may be called `ls`: the group is part of it.
static void fish_condition(struct reeve_buf *out, const struct command_def *command)
{
    const struct command_group *group = command_group(command);
    if (group == NULL) {
        reeve_buf_printf(out, " -n '__fish_seen_subcommand_from %s", command->name);
        for (size_t i = 0; i < group_table_len; i++) {
            reeve_buf_printf(out, "%s %s", i == 0 ? "; and not __fish_seen_subcommand_from" : "", group_table[i].name);
        }
        reeve_buf_puts(out, "'");
    } else {
        reeve_buf_printf(out, " -n '__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s'", group->name,
                         command_in_group(command, group));
    }
}

static void fish_command(struct reeve_buf *out, const struct command_def *command)
{
    struct option_set set = command_options(command);
    const struct command_group *group = command_group(command);
    reeve_buf_puts(out, "complete -c reeve -f -n ");
    if (group == NULL) {
        reeve_buf_printf(out, "__fish_use_subcommand -a %s -d ", command->name);
    } else {
        reeve_buf_printf(out, "'__fish_seen_subcommand_from %s' -a %s -d ", group->name,
                         command_in_group(command, group));
    }
    fish_text(out, command->summary);
    reeve_buf_puts(out, "\n");
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        const struct option_def *option = &option_table[id];
        if (!option_set_has(&set, id)) {
            continue;
        }
        reeve_buf_puts(out, "complete -c reeve");
        fish_condition(out, command);
        reeve_buf_printf(out, " -l %s%s -d ", option->name, option->value != NULL ? " -r" : "");
        fish_text(out, option->doc);
        reeve_buf_puts(out, "\n");
    }
    reeve_buf_puts(out, "complete -c reeve");
    fish_condition(out, command);
    if (strcmp(command->name, "completion") == 0) {
        reeve_buf_puts(out, " -f -a 'bash zsh fish'");
    } else {
        fish_arguments(out, command->completes);
    }
    reeve_buf_puts(out, "\n");
}

static void write_fish(struct reeve_buf *out)
{
    reeve_buf_puts(out, "# fish completion for reeve\n");
    for (size_t i = 0; i < group_table_len; i++) {
        reeve_buf_printf(out, "complete -c reeve -f -n __fish_use_subcommand -a %s -d ", group_table[i].name);
        fish_text(out, group_table[i].summary);
        reeve_buf_puts(out, "\n");
    }
    for (size_t i = 0; i < command_table_len; i++) {
        fish_command(out, &command_table[i]);
    }
}

// -----------------------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    void (*write)(struct reeve_buf *out);
} shells[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};

bool completion_write(const char *shell, struct reeve_buf *out)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(shells); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].write(out);
            return true;
        }
    }
    return false;
}

int cmd_completion(const struct invocation *inv)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    if (!completion_write(inv->args[0], &out)) {
        return output_fail(inv, EXIT_USAGE, "'%s' is no shell that completion is there for: bash, zsh or fish",
                           inv->args[0]);
    }
    return output_write(&out);
}
