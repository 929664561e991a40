// Reading a command line by the tables of command_table.c.
// Must not: print; errors go back with a hint.
#include "options.h"

#include <assert.h>
#include <reeve/str.h>
#include <string.h>

// ---- looking things up --------------------------------------------------------------------------------------

const struct command_def *command_find(const char *name)
{
    for (size_t i = 0; i < command_table_len; i++) {
        if (strcmp(command_table[i].name, name) == 0) {
            return &command_table[i];
        }
    }
    return NULL;
}

const struct command_group *group_find(const char *name)
{
    for (size_t i = 0; i < group_table_len; i++) {
        if (strcmp(group_table[i].name, name) == 0) {
            return &group_table[i];
        }
    }
    return NULL;
}

const char *command_in_group(const struct command_def *command, const struct command_group *group)
{
    size_t len = strlen(group->name);
    return strncmp(command->name, group->name, len) == 0 && command->name[len] == ' ' ? command->name + len + 1 : NULL;
}

const struct command_group *command_group(const struct command_def *command)
{
    for (size_t i = 0; i < group_table_len; i++) {
        if (command_in_group(command, &group_table[i]) != NULL) {
            return &group_table[i];
        }
    }
    return NULL;
}

static void add_list(struct option_set *set, const uint8_t *list)
{
    for (; list != NULL && *list != OPT_ID_COUNT; list++) {
        set->words[*list / 64] |= UINT64_C(1) << (*list % 64);
    }
}

bool option_set_has(const struct option_set *set, enum option_id id)
{
    return id < OPT_ID_COUNT && (set->words[id / 64] >> (id % 64) & 1) != 0;
}

struct option_set options_common(void)
{
    struct option_set set = {0};
    add_list(&set, option_list_every);
    add_list(&set, option_list_connecting);
    return set;
}

struct option_set command_own_options(const struct command_def *command)
{
    struct option_set set = {0};
    add_list(&set, command->options);
    return set;
}

struct option_set command_options(const struct command_def *command)
{
    struct option_set set = command_own_options(command);
    add_list(&set, option_list_every);
    if (!command->offline) {
        add_list(&set, option_list_connecting);
    }
    return set;
}

bool opt_given(const struct invocation *inv, enum option_id id)
{
    for (size_t i = 0; i < inv->given_len; i++) {
        if (inv->given[i].id == id) {
            return true;
        }
    }
    return false;
}

const char *opt_value(const struct invocation *inv, enum option_id id)
{
    const char *last = NULL;
    const char *value;
    for (size_t at = 0; (value = opt_next(inv, id, &at)) != NULL;) {
        last = value;
    }
    return last;
}

const char *opt_next(const struct invocation *inv, enum option_id id, size_t *at)
{
    while (*at < inv->given_len) {
        size_t i = (*at)++;
        if (inv->given[i].id == id) {
            return inv->given[i].value;
        }
    }
    return NULL;
}

// ---- parsing --------------------------------------------------------------------------------------------------

struct parser {
    int argc, next;
    char *const *argv;
    struct invocation *inv;
    struct reeve_why *why;
};

static const char *near_option(const char *name, const struct option_set *allowed)
{
    const char *names[OPT_ID_COUNT + 1];
    size_t len = 0;
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        if (option_set_has(allowed, id)) {
            names[len++] = option_table[id].name;
        }
    }
    names[len] = NULL;
    return reeve_near(name, names);
}

static const char *near_command(const char *name)
{
    const char *names[COMMANDS_MAX + 1];
    size_t len = 0;
    for (size_t i = 0; i < command_table_len; i++) {
        names[len++] = command_table[i].name;
    }
    names[len] = NULL;
    return reeve_near(name, names);
}

static enum reeve_err add_given(struct parser *parser, enum option_id id, const char *value)
{
    struct invocation *inv = parser->inv;
    if (inv->given_len == GIVEN_MAX) {
        return reeve_fail(parser->why, REEVE_INVALID, "more than %d options", GIVEN_MAX);
    }
    inv->given[inv->given_len].id = id;
    inv->given[inv->given_len++].value = value;
    return REEVE_OK;
}

// The value after `=`, the rest of a cluster, or the next word.
static enum reeve_err take_value(struct parser *parser, enum option_id id, const char *attached)
{
    const struct option_def *option = &option_table[id];
    if (option->value == NULL) {
        return add_given(parser, id, NULL);
    }
    if (attached == NULL && parser->next < parser->argc) {
        attached = parser->argv[parser->next++];
    }
    if (attached == NULL) {
        return reeve_fail(parser->why, REEVE_INVALID, "--%s needs a value: --%s %s", option->name, option->name,
                          option->value);
    }
    return add_given(parser, id, attached);
}

// Before the command's word only the common ones are sure.
static struct option_set allowed_now(const struct parser *parser)
{
    const struct command_def *command = parser->inv->command;
    return command != NULL ? command_options(command) : options_common();
}

static enum reeve_err long_option(struct parser *parser, const char *text)
{
    size_t len = strcspn(text, "=");
    const char *attached = text[len] == '=' ? text + len + 1 : NULL;
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        if (strlen(option_table[id].name) != len || strncmp(option_table[id].name, text, len) != 0) {
            continue;
        }
        if (attached != NULL && option_table[id].value == NULL) {
            return reeve_fail(parser->why, REEVE_INVALID, "--%s takes no value", option_table[id].name);
        }
        return take_value(parser, id, attached);
    }
    struct option_set allowed = allowed_now(parser);
    const char *near = near_option(text, &allowed);
    return reeve_fail(parser->why, REEVE_INVALID, "there is no option --%s%s%s%s", text,
                      near != NULL ? "; did you mean --" : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

// A letter may mean one option here and another there (-f): the command decides, so options with a letter come after
// it.
static bool find_letter(const struct parser *parser, char letter, enum option_id *ret)
{
    struct option_set allowed = allowed_now(parser);
    for (enum option_id id = 0; id < OPT_ID_COUNT; id++) {
        if (option_table[id].letter == letter && option_set_has(&allowed, id)) {
            *ret = id;
            return true;
        }
    }
    return false;
}

static enum reeve_err short_options(struct parser *parser, const char *letters)
{
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && *letters != '\0') {
        enum option_id id;
        if (!find_letter(parser, *letters, &id)) {
            const struct command_def *command = parser->inv->command;
            return reeve_fail(parser->why, REEVE_INVALID, "there is no option -%c%s%s", *letters,
                              command != NULL ? " of reeve " : "", command != NULL ? command->name : "");
        }
        letters++;
        bool takes = option_table[id].value != NULL;
        err = take_value(parser, id, takes && *letters != '\0' ? letters : NULL);
        if (takes) {
            break;
        }
    }
    return err;
}

static enum reeve_err command_word(struct parser *parser, const char *word)
{
    struct invocation *inv = parser->inv;
    char name[64];
    (void)snprintf(name, sizeof name, "%s%s%s", inv->group != NULL ? inv->group->name : "",
                   inv->group != NULL ? " " : "", word);
    inv->command = command_find(name);
    if (inv->command != NULL) {
        return REEVE_OK;
    }
    if (inv->group == NULL) {
        inv->group = group_find(word);
        if (inv->group != NULL) {
            return REEVE_OK;
        }
    }
    const char *near = near_command(name);
    return reeve_fail(parser->why, REEVE_INVALID, "there is no command `%s`%s%s%s", name,
                      near != NULL ? "; did you mean `" : "; see `reeve --help", near != NULL ? near : "",
                      near != NULL ? "`?" : "`");
}

static enum reeve_err word(struct parser *parser, const char *text)
{
    if (parser->inv->command == NULL) {
        return command_word(parser, text);
    }
    if (parser->inv->args_len == ARGS_MAX) {
        return reeve_fail(parser->why, REEVE_INVALID, "more than %d arguments", ARGS_MAX);
    }
    parser->inv->args[parser->inv->args_len++] = text;
    return REEVE_OK;
}

static enum reeve_err check_options(const struct invocation *inv, struct reeve_why *why)
{
    struct option_set allowed = command_options(inv->command);
    for (size_t i = 0; i < inv->given_len; i++) {
        if (!option_set_has(&allowed, inv->given[i].id)) {
            return reeve_fail(why, REEVE_INVALID, "--%s is no option of `reeve %s`; see `reeve %s --help`",
                              option_table[inv->given[i].id].name, inv->command->name, inv->command->name);
        }
    }
    return REEVE_OK;
}

static enum reeve_err check_count(const struct invocation *inv, struct reeve_why *why)
{
    const struct command_def *command = inv->command;
    if (opt_given(inv, OPT_HELP)) {
        return REEVE_OK;
    }
    if (inv->args_len < (size_t)command->args_min) {
        return reeve_fail(why, REEVE_INVALID, "something is missing: reeve %s %s", command->name, command->args);
    }
    if (command->args_max >= 0 && inv->args_len > (size_t)command->args_max) {
        return reeve_fail(why, REEVE_INVALID, "'%s' is too much: reeve %s%s%s", inv->args[command->args_max],
                          command->name, command->args[0] != '\0' ? " " : "", command->args);
    }
    return REEVE_OK;
}

static enum reeve_err check(const struct parser *parser)
{
    if (parser->inv->command != NULL) {
        enum reeve_err err = check_options(parser->inv, parser->why);
        return err == REEVE_OK ? check_count(parser->inv, parser->why) : err;
    }
    if (opt_given(parser->inv, OPT_HELP)) {
        return REEVE_OK;
    }
    if (parser->inv->group != NULL) {
        const char *group = parser->inv->group->name;
        return reeve_fail(parser->why, REEVE_INVALID, "reeve %s what? see `reeve %s --help`", group, group);
    }
    return reeve_fail(parser->why, REEVE_INVALID, "no command given; see `reeve --help`");
}

// What is wrong may stand before --json: its reader still wants JSON.
static void note_json(struct parser *parser)
{
    for (; parser->next < parser->argc; parser->next++) {
        if (strcmp(parser->argv[parser->next], "--json") == 0) {
            (void)add_given(parser, OPT_JSON, NULL); /* full of options, or already there */
            return;
        }
    }
}

// No option is a digit: `pool scale swap -1`.
static bool is_number(const char *text)
{
    return text[0] == '-' && text[1] >= '0' && text[1] <= '9';
}

enum reeve_err options_parse(int argc, char *const *argv, struct invocation *ret, struct reeve_why *why)
{
    struct parser parser = {.argc = argc, .next = 1, .argv = argv, .inv = ret, .why = why};
    enum reeve_err err = REEVE_OK;
    bool options_over = false;
    ret->command = NULL;
    ret->group = NULL;
    ret->given_len = ret->args_len = 0;
    while (err == REEVE_OK && parser.next < argc) {
        const char *text = argv[parser.next++];
        if (!options_over && strcmp(text, "--") == 0) {
            options_over = true;
        } else if (!options_over && strncmp(text, "--", 2) == 0) {
            // `reeve --version` is what everybody tries first.
            err = strcmp(text, "--version") == 0 && ret->command == NULL ? command_word(&parser, "version")
                                                                         : long_option(&parser, text + 2);
        } else if (!options_over && text[0] == '-' && text[1] != '\0' && !is_number(text)) {
            err = short_options(&parser, text + 1);
        } else {
            err = word(&parser, text);
        }
    }
    if (err != REEVE_OK) {
        struct reeve_why said = *why; // adding one may find the table full
        note_json(&parser);
        *why = said;
    }
    return err == REEVE_OK ? check(&parser) : err;
}
