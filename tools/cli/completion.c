// Completion scripts for bash, zsh and fish, from the tables in options.c.
// Must not: need anything but `reeve ls -q` and `reeve node ls -q` at the time of completion.
#include "options.h"
#include "output.h"

#include <string.h>

// Completing must not hang: names come from a site that answers at once, or not at all.
#define ASK "--timeout 1s 2>/dev/null"

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

static const char *bash_arguments(enum completes completes)
{
    switch (completes) {
    case COMPLETES_FILE:
        return "$(compgen -f -- \"$cur\")";
    case COMPLETES_DIR:
        return "$(compgen -d -- \"$cur\")";
    case COMPLETES_WORKER:
        return "$(reeve ls -q " ASK ")";
    case COMPLETES_NODE:
        return "$(reeve node ls -q " ASK ")";
    case COMPLETES_COMMAND:
        return "$commands";
    case COMPLETES_NOTHING:
        break;
    }
    return "";
}

static void bash_group(struct reeve_buf *out, const char *group)
{
    size_t len = strlen(group);
    reeve_buf_printf(out, "    %s) words=\"", group);
    for (size_t i = 0; i < command_table_len; i++) {
        const char *name = command_table[i].name;
        if (strncmp(name, group, len) == 0 && name[len] == ' ') {
            reeve_buf_printf(out, "%s ", name + len + 1);
        }
    }
    reeve_buf_puts(out, "\";;\n");
}

static void write_bash(struct reeve_buf *out)
{
    reeve_buf_puts(out, "# bash completion for reeve\n_reeve() {\n"
                        "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command= words=\n"
                        "  local commands=\"");
    bash_words(out);
    reeve_buf_puts(out, "\"\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                        "    [[ $word == -* ]] && continue\n"
                        "    if [[ -z $command ]]; then command=$word\n"
                        "    elif [[ $command == node ]]; then command=\"node $word\"; fi\n  done\n"
                        "  case $prev in\n");
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        const struct option_def *option = &option_table[id];
        if (option->value != NULL) {
            reeve_buf_printf(out, "    --%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return;;\n", option->name,
                             bash_arguments(option->completes));
        }
    }
    reeve_buf_puts(out, "  esac\n  case $command in\n    '') words=$commands;;\n");
    bash_group(out, "node");
    for (size_t i = 0; i < command_table_len; i++) {
        const struct command_def *command = &command_table[i];
        const char *arguments =
            strcmp(command->name, "completion") == 0 ? "bash zsh fish" : bash_arguments(command->completes);
        reeve_buf_printf(out, "    '%s') if [[ $cur == -* ]]; then words=\"", command->name);
        bash_options(out, command_options(command));
        reeve_buf_printf(out, "\"; else words=\"%s\"; fi;;\n", arguments);
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

static const char *zsh_arguments(enum completes completes)
{
    switch (completes) {
    case COMPLETES_FILE:
        return "_files";
    case COMPLETES_DIR:
        return "_files -/";
    case COMPLETES_WORKER:
        return "compadd -- ${(f)\"$(reeve ls -q " ASK ")\"}";
    case COMPLETES_NODE:
        return "compadd -- ${(f)\"$(reeve node ls -q " ASK ")\"}";
    case COMPLETES_COMMAND:
        return "_describe command commands";
    case COMPLETES_NOTHING:
        break;
    }
    return ":";
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

static void write_zsh(struct reeve_buf *out)
{
    reeve_buf_puts(out, "#compdef reeve\n_reeve() {\n  local command= word\n  local -a commands options\n  commands=(");
    for (size_t i = 0; i < command_table_len; i++) {
        reeve_buf_puts(out, "\n    '");
        zsh_text(out, command_table[i].name);
        reeve_buf_puts(out, ":");
        zsh_text(out, command_table[i].summary);
        reeve_buf_puts(out, "'");
    }
    reeve_buf_puts(out, ")\n  for word in ${words[2,CURRENT-1]}; do\n    [[ $word == -* ]] && continue\n"
                        "    if [[ -z $command ]]; then command=$word\n"
                        "    elif [[ $command == node ]]; then command=\"node $word\"; fi\n  done\n"
                        "  case $command in\n    ''|node) _describe command commands; return;;\n");
    for (size_t i = 0; i < command_table_len; i++) {
        const struct command_def *command = &command_table[i];
        reeve_buf_printf(out, "    '%s') options=(", command->name);
        zsh_options(out, command_options(command));
        reeve_buf_printf(out, ")\n      [[ $PREFIX == -* ]] && _describe -o option options || %s;;\n",
                         strcmp(command->name, "completion") == 0 ? "compadd bash zsh fish"
                                                                  : zsh_arguments(command->completes));
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

static const char *fish_arguments(enum completes completes)
{
    switch (completes) {
    case COMPLETES_WORKER:
        return " -f -a '(reeve ls -q " ASK ")'";
    case COMPLETES_NODE:
        return " -f -a '(reeve node ls -q " ASK ")'";
    case COMPLETES_FILE:
    case COMPLETES_DIR:
        return " -F";
    case COMPLETES_COMMAND:
    case COMPLETES_NOTHING:
        break;
    }
    return " -f";
}

static void fish_condition(struct reeve_buf *out, const char *name)
{
    const char *second = strchr(name, ' ');
    if (second == NULL) {
        reeve_buf_printf(out, " -n '__fish_seen_subcommand_from %s'", name);
    } else {
        reeve_buf_printf(out, " -n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'",
                         (int)(second - name), name, second + 1);
    }
}

static void fish_command(struct reeve_buf *out, const struct command_def *command)
{
    struct option_set set = command_options(command);
    const char *second = strchr(command->name, ' ');
    reeve_buf_puts(out, "complete -c reeve -f -n ");
    reeve_buf_printf(
        out, second == NULL ? "__fish_use_subcommand -a %s -d " : "'__fish_seen_subcommand_from node' -a %s -d ",
        second == NULL ? command->name : second + 1);
    fish_text(out, command->summary);
    reeve_buf_puts(out, "\n");
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        const struct option_def *option = &option_table[id];
        if (!option_set_has(&set, id)) {
            continue;
        }
        reeve_buf_puts(out, "complete -c reeve");
        fish_condition(out, command->name);
        reeve_buf_printf(out, " -l %s%s -d ", option->name, option->value != NULL ? " -r" : "");
        fish_text(out, option->doc);
        reeve_buf_puts(out, "\n");
    }
    reeve_buf_puts(out, "complete -c reeve");
    fish_condition(out, command->name);
    reeve_buf_puts(out, strcmp(command->name, "completion") == 0 ? " -f -a 'bash zsh fish'"
                                                                 : fish_arguments(command->completes));
    reeve_buf_puts(out, "\n");
}

static void write_fish(struct reeve_buf *out)
{
    reeve_buf_puts(out,
                   "# fish completion for reeve\ncomplete -c reeve -f -n __fish_use_subcommand -a node -d 'nodes'\n");
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
