// The record tables, the rules across their fields, and the set of commands made of them.
// The keys of a command stand in two tables, by one macro: beside `queue` for the short form, and below `commands`.
// Must not: know of the SDK, start anything.
#include "command.h"

#include <reeve/job.h>
#include <stdlib.h>
#include <string.h>

#include "template.h"

#define DAY_MS       INT64_C(86400000)
#define ARGV_MAX     1000
#define ENV_MAX      1000
#define QUEUES_MAX   16
#define JOBS_MAX     1000
#define RESERVED_ENV "REEVE_JOB_"

static const struct reeve_choice inputs[] = {{"json", INPUT_JSON}, {"raw", INPUT_RAW}, {"none", INPUT_NONE}, {NULL, 0}};
static const struct reeve_choice outputs[] = {{"auto", OUTPUT_AUTO}, {"text", OUTPUT_TEXT}, {NULL, 0}};

// clang-format off
#define F(base_, member_) .offset = (base_) + offsetof(struct command, member_)
#define COMMAND_FIELDS(base_)                                                                                          \
    {.name = "argv", .type = REEVE_FIELD_STRV, .flags = REEVE_FIELD_LIST_ONLY | REEVE_FIELD_SCALAR_OK, F(base_, argv), \
     .min = 1, .max = ARGV_MAX,                                                                                        \
     .doc = "Program and arguments; no shell is used. `{payload.KEY}`, `{id}`, `{attempt}`, `{type}`, `{queue}` and "  \
            "`{checkpoint.KEY}` are filled in, each argument stays one; `{{` is a brace. A key that the job does not " \
            "have makes it fail. A name without a slash is looked for in PATH."},                                      \
    {.name = "stdin", .type = REEVE_FIELD_CHOICE, F(base_, input), .preset = "json", .choices = inputs,                \
     .doc = "What the command reads: the payload as `json`, the bytes of a payload that is text or binary (`raw`), or "\
            "`none`."},                                                                                                \
    {.name = "stdout", .type = REEVE_FIELD_CHOICE, F(base_, output), .preset = "auto", .choices = outputs,             \
     .doc = "The result of the job: JSON if it parses and else text (`auto`), or always `text`."},                     \
    {.name = "output_max", .type = REEVE_FIELD_SIZE, F(base_, output_max_bytes), .min = 1, .max = OUTPUT_RESULT_MAX,   \
     .preset = "64K", .doc = "Longest result. What is longer is cut, and says so at its end."},                        \
    {.name = "timeout", .type = REEVE_FIELD_DURATION, F(base_, timeout_ms), .min = 0, .max = 366 * DAY_MS,           \
     .preset = "0", .doc = "Longest run of an attempt; one that takes longer is ended and is a retry. The job's own "  \
                           "timeout holds as well, the shorter one counts. 0 = the job's alone."},                     \
    {.name = "grace", .type = REEVE_FIELD_DURATION, F(base_, grace_ms), .min = 0, .max = DAY_MS, .preset = "10s",      \
     .doc = "Time from SIGTERM (cancelled, out of time, the worker leaves) to SIGKILL for everything it started. What "\
            "the queue grants (`cancel_grace`) may be shorter."},                                                      \
    {.name = "cwd", .type = REEVE_FIELD_STR, F(base_, cwd), .min = 1, .max = 4095,                                     \
     .doc = "Working folder. Preset: the worker's."},                                                                  \
    {.name = "env", .type = REEVE_FIELD_MAP, .flags = REEVE_FIELD_SECRET, F(base_, env), .max = ENV_MAX,                                          \
     .doc = "Environment beside PATH, HOME, LANG and what describes the job (`REEVE_JOB_...`)."},                      \
    {.name = "inherit", .type = REEVE_FIELD_STRV, F(base_, inherit), .max = ENV_MAX,                                   \
     .doc = "Names of variables that the command gets from the worker's own environment, where they are set."},        \
    {.name = "exit", .type = REEVE_FIELD_RECORD, F(base_, exit), .record = &exits_record,                              \
     .doc = "What exit codes mean. Preset: 0 done, 64 and 65 failed for good, every other one a retry; so is a signal."},\
    {.name = "limits", .type = REEVE_FIELD_RECORD, F(base_, limits), .record = &limits_record,                         \
     .doc = "Limits of each of its processes."},                                                                       \
    {.name = "reconcile", .type = REEVE_FIELD_STRV, .flags = REEVE_FIELD_LIST_ONLY | REEVE_FIELD_SCALAR_OK,            \
     F(base_, reconcile), .min = 1, .max = ARGV_MAX,                                                                   \
     .doc = "Program and arguments for a job that passed its point of no return and was lost: finds out from outside " \
            "what became of it. Without it `::no_return` is refused."}
// clang-format on

static const struct reeve_field command_fields[] = {COMMAND_FIELDS(0)};

// ---- rules
// -----------------------------------------------------------------------------------------------------------

static void check_templates(const struct reeve_strv *argv, const struct reeve_value *list, const char *path,
                            struct reeve_errors *errors)
{
    for (size_t i = 0; i < argv->len; i++) {
        struct reeve_why why = {0};
        if (template_check(argv->items[i], &why) != REEVE_OK) {
            reeve_errors_add(errors, reeve_value_at(list, i), path, "argument %zu: %s", i, why.text);
        }
    }
    if (argv->len > 0 && argv->items[0][0] == '\0') {
        reeve_errors_add(errors, list, path, "the name of the program is empty");
    }
}

static void check_variable(const char *name, const struct reeve_value *value, const char *path,
                           struct reeve_errors *errors)
{
    if (name[0] == '\0' || strchr(name, '=') != NULL) {
        reeve_errors_add(errors, value, path, "\"%.40s\" is no name of a variable", name);
    } else if (reeve_str_starts(name, RESERVED_ENV)) {
        reeve_errors_add(errors, value, path, "%.40s: " RESERVED_ENV "... is what describes the job", name);
    }
}

static void check_command(const void *object, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    const struct command *command = object;
    char place[REEVE_PATH_SIZE];
    check_templates(&command->argv, reeve_value_get(value, "argv"), reeve_path_join(place, path, "argv"), errors);
    check_templates(&command->reconcile, reeve_value_get(value, "reconcile"), reeve_path_join(place, path, "reconcile"),
                    errors);
    for (size_t i = 0; i < reeve_value_len(command->env); i++) {
        check_variable(reeve_value_key(command->env, i), reeve_value_get(value, "env"),
                       reeve_path_join(place, path, "env"), errors);
    }
    for (size_t i = 0; i < command->inherit.len; i++) {
        check_variable(command->inherit.items[i], reeve_value_get(value, "inherit"),
                       reeve_path_join(place, path, "inherit"), errors);
    }
}

static void check_one(const void *object, const struct reeve_value *value, const char *path,
                      struct reeve_errors *errors)
{
    char place[REEVE_PATH_SIZE];
    if (reeve_value_get(value, "argv") == NULL) {
        reeve_errors_add(errors, value, reeve_path_join(place, path, "argv"), "missing: program and arguments");
    }
    check_command(object, value, path, errors);
}

const struct reeve_record command_record = {
    .name = "command",
    .size = sizeof(struct command),
    .fields = command_fields,
    .fields_len = REEVE_ARRAY_LEN(command_fields),
    .doc = "What is run for a job.",
    .check = check_one,
};

static bool type_valid(const char *type)
{
    return strcmp(type, "*") == 0 || reeve_job_type_valid((struct reeve_span){type, strlen(type)});
}

static void check_commands(const struct reeve_value *commands, struct reeve_errors *errors)
{
    if (reeve_value_kind(commands) != REEVE_MAP || reeve_value_len(commands) == 0 ||
        reeve_value_len(commands) > COMMANDS_MAX) {
        reeve_errors_add(errors, commands, "commands", "expected a map of 1 to %d types of jobs, each with its command",
                         COMMANDS_MAX);
        return;
    }
    for (size_t i = 0; i < reeve_value_len(commands); i++) {
        const char *type = reeve_value_key(commands, i);
        char place[REEVE_PATH_SIZE];
        struct command command;
        if (!type_valid(type)) {
            reeve_errors_add_at(errors, reeve_value_key_mark(commands, i), "commands",
                                "\"%.40s\" is no type of a job (A-Z a-z 0-9 _ . -), and not \"*\"", type);
        }
        if (reeve_record_decode(&command_record, reeve_value_at(commands, i), reeve_path_join(place, "commands", type),
                                &command, errors) == REEVE_OK) {
            reeve_record_done(&command_record, &command);
        }
    }
}

// A key of one command beside `commands`: it would be a command of no type.
static const char *find_short_key(const struct reeve_value *value)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(command_fields); i++) {
        if (reeve_value_get(value, command_fields[i].name) != NULL) {
            return command_fields[i].name;
        }
    }
    return NULL;
}

static bool named_twice(const struct command_config *config, size_t index)
{
    const struct command_queue *queues = config->queues.items;
    for (size_t i = 0; i < index; i++) {
        if (reeve_str_eq(queues[i].queue, queues[index].queue)) {
            return true;
        }
    }
    return false;
}

static void check_queues(const struct command_config *config, const struct reeve_value *value,
                         struct reeve_errors *errors)
{
    const struct reeve_value *queue = reeve_value_get(value, "queue"), *queues = reeve_value_get(value, "queues");
    if ((queue == NULL) == (queues == NULL)) {
        reeve_errors_add(errors, queues, "queue", "give either `queue` or `queues`");
    }
    for (size_t i = 0; i < config->queues.len; i++) {
        if (named_twice(config, i)) {
            reeve_errors_add(errors, reeve_value_at(queues, i), "queues", "a queue is named twice");
        }
    }
    static const char *const single[] = {"concurrency", "prefetch"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(single); i++) {
        if (queues != NULL && reeve_value_get(value, single[i]) != NULL) {
            reeve_errors_add(errors, reeve_value_get(value, single[i]), single[i],
                             "is `queue`'s; with `queues` each has its own");
        }
    }
}

static void check_config(const void *object, const struct reeve_value *value, const char *path,
                         struct reeve_errors *errors)
{
    const struct command_config *config = object;
    const struct reeve_value *commands = reeve_value_get(value, "commands");
    (void)path; /* the root */
    check_queues(config, value, errors);
    if (commands == NULL) {
        check_one(&config->any, value, "", errors);
        return;
    }
    const char *key = find_short_key(value);
    if (key != NULL) {
        reeve_errors_add(errors, reeve_value_get(value, key), key,
                         "is a key of one command; with `commands` it stands in each");
    }
    check_commands(commands, errors);
}

// ---- the whole configuration
// -----------------------------------------------------------------------------------------

// clang-format off
#define QUEUE_NUMBERS(type_)                                                                                           \
    {.name = "concurrency", .type = REEVE_FIELD_INT, .offset = offsetof(type_, concurrency), .min = 1, .max = JOBS_MAX,\
     .preset = "1", .doc = "Jobs of the queue that run at the same time."},                                            \
    {.name = "prefetch", .type = REEVE_FIELD_INT, .offset = offsetof(type_, prefetch), .min = 0, .max = JOBS_MAX,      \
     .preset = "0", .doc = "Jobs beyond them that wait in the worker already, so that none waits for the network. Of " \
                           "use for commands of a few milliseconds; they are not free for other workers."}
static const struct reeve_field queue_fields[] = {
    {.name = "queue", .type = REEVE_FIELD_NAME, .flags = REEVE_FIELD_REQUIRED, .offset = offsetof(struct command_queue, queue),
     .doc = "Name of the queue."},
    QUEUE_NUMBERS(struct command_queue),
};
static const struct reeve_record queue_record =
    REEVE_RECORD("queue", struct command_queue, queue_fields, "A queue that jobs are taken from.");

static const struct reeve_field config_fields[] = {
    {.name = "queue", .type = REEVE_FIELD_NAME, .offset = offsetof(struct command_config, queue),
     .doc = "The queue that jobs are taken from. Short for `queues` with a single one."},
    QUEUE_NUMBERS(struct command_config),
    {.name = "queues", .type = REEVE_FIELD_RECORDS, .offset = offsetof(struct command_config, queues), .min = 1,
     .max = QUEUES_MAX, .record = &queue_record, .doc = "Several queues, each with its own numbers."},
    {.name = "commands", .type = REEVE_FIELD_VALUE, .flags = REEVE_FIELD_SECRET, .offset = offsetof(struct command_config, commands),
     .doc = "A map of job types, each with its command: the keys from `argv` on. `\"*\"` is for every type that is not "
            "named. Without it the keys stand here, and are for any type."},
    COMMAND_FIELDS(offsetof(struct command_config, any)),
};
// clang-format on
const struct reeve_record command_config_record = {
    .name = "config",
    .size = sizeof(struct command_config),
    .fields = config_fields,
    .fields_len = REEVE_ARRAY_LEN(config_fields),
    .doc = "Configuration of reeve-worker-command: the `config` of its worker spec.",
    .check = check_config,
};

// ---- the set
// ---------------------------------------------------------------------------------------------------------

static enum reeve_err fill_row(struct command_row *row, const char *type, const struct reeve_value *value)
{
    REEVE_AUTO_FREE struct reeve_errors *errors = malloc(sizeof *errors);
    row->type = strdup(type);
    if (errors == NULL || row->type == NULL) {
        return REEVE_NOMEM;
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_record_decode(&command_record, value, "", &row->command, errors);
    if (err == REEVE_OK) {
        exits_make(&row->command.exit, &row->exits);
    }
    return err;
}

// The keys of a command among those of the whole.
static struct reeve_value *short_command(const struct reeve_value *tree)
{
    struct reeve_value *map = reeve_value_map();
    for (size_t i = 0; i < REEVE_ARRAY_LEN(command_fields); i++) {
        const struct reeve_value *value = reeve_value_get(tree, command_fields[i].name);
        if (value != NULL) {
            (void)reeve_value_put(map, command_fields[i].name, reeve_value_clone(value)); /* remembered: ..._built() */
        }
    }
    return map;
}

enum reeve_err commands_make(const struct command_config *config, const struct reeve_value *tree, struct commands **ret,
                             struct reeve_why *why)
{
    const size_t len = config->commands == NULL ? 1 : reeve_value_len(config->commands);
    struct commands *commands = calloc(1, sizeof *commands + len * sizeof commands->rows[0]);
    REEVE_VALUE_AUTO single = config->commands == NULL ? short_command(tree) : NULL;
    enum reeve_err err = commands == NULL || (config->commands == NULL && reeve_value_built(single) != REEVE_OK)
                             ? REEVE_NOMEM
                             : REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < len; i++) {
        err = config->commands == NULL ? fill_row(&commands->rows[i], "*", single)
                                       : fill_row(&commands->rows[i], reeve_value_key(config->commands, i),
                                                  reeve_value_at(config->commands, i));
        commands->len += err == REEVE_OK ? 1 : 0;
        if (err != REEVE_OK) {
            free(commands->rows[i].type);
        }
    }
    if (err != REEVE_OK) {
        commands_unref(commands);
        return reeve_fail(why, err, "the commands can't be taken over");
    }
    commands->refs = 1;
    *ret = commands;
    return REEVE_OK;
}

struct commands *commands_ref(struct commands *commands)
{
    commands->refs++;
    return commands;
}

void commands_unref(struct commands *commands)
{
    if (commands == NULL || (commands->refs > 0 && --commands->refs > 0)) {
        return;
    }
    for (size_t i = 0; i < commands->len; i++) {
        reeve_record_done(&command_record, &commands->rows[i].command);
        free(commands->rows[i].type);
    }
    free(commands);
}

const struct command_row *commands_find(const struct commands *commands, const char *type)
{
    const struct command_row *any = NULL;
    for (size_t i = 0; i < commands->len; i++) {
        if (strcmp(commands->rows[i].type, type) == 0) {
            return &commands->rows[i];
        }
        any = strcmp(commands->rows[i].type, "*") == 0 ? &commands->rows[i] : any;
    }
    return any;
}

bool commands_same_types(const struct commands *a, const struct commands *b)
{
    for (size_t i = 0; i < a->len; i++) {
        const struct command_row *other = commands_find(b, a->rows[i].type);
        if (other == NULL || strcmp(other->type, a->rows[i].type) != 0 ||
            (other->command.reconcile.len == 0) != (a->rows[i].command.reconcile.len == 0)) {
            return false;
        }
    }
    return a->len == b->len;
}

// ---- queues
// ----------------------------------------------------------------------------------------------------------

size_t command_queues_len(const struct command_config *config)
{
    return config->queue != NULL ? 1 : config->queues.len;
}

struct command_queue command_queue_at(const struct command_config *config, size_t index)
{
    if (config->queue != NULL) {
        return (struct command_queue){config->queue, config->concurrency, config->prefetch};
    }
    return ((const struct command_queue *)config->queues.items)[index];
}
