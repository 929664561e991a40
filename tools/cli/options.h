// What a person may type: one table of options and one of commands, from which parsing, --help, shell completion and
// the man page are made, so that none of them can say something else than the others. Must not: act on anything; values
// are checked by the command that uses them.
#ifndef REEVE_CLI_OPTIONS_H
#define REEVE_CLI_OPTIONS_H

#include <reeve/buf.h>
#include <stdint.h>
#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_AWAY = 3 };

enum option_id {
    OPT_HELP,
    OPT_JSON,
    OPT_TIMEOUT,
    OPT_SITE,
    OPT_BROKER,
    OPT_USER,
    OPT_PASSWORD_FILE,
    OPT_PROFILE,
    OPT_ROOT,
    OPT_CA_FILE,
    OPT_CERT_FILE,
    OPT_KEY_FILE,
    OPT_MQTT,
    OPT_VERBOSE,
    OPT_DRY_RUN,
    OPT_PRINT_MQTT,
    OPT_NO_WAIT,
    OPT_NODE,
    OPT_ALL,
    OPT_TYPE,
    OPT_EXCHANGE,
    OPT_LABEL,
    OPT_STATE,
    OPT_GRACE,
    OPT_FILE,
    OPT_TAIL,
    OPT_FOLLOW,
    OPT_TIMESTAMPS,
    OPT_COUNT,
    OPT_HEX,
    OPT_YAML,
    OPT_PRETTY,
    OPT_ONCE,
    OPT_INTERVAL,
    OPT_WIDE,
    OPT_QUIET,
    OPT_DIR,
    OPT_CONFIG,
    OPT_PORT,
    OPT_NAME,
    OPT_KEEP_WORKERS,
    OPT_STOP,
    OPT_MAN,
    OPT_NO_MANAGER,
    OPT_MANAGER,
    OPT_YES,
    OPT_REGION,
    OPT_POOL,
    OPT_ACCOUNT,
    OPT_AVAILABILITY,
    OPT_REQUIRE,
    OPT_ALIVE,
    OPT_REASON,
    OPT_BY,
    OPT_NOTE,
    OPT_OPEN,
    OPT_WAIT,
    OPT_WAIT_FOR,
    OPT_LEASE,
    OPT_HOLDER,
    OPT_APPLY_DEFAULTS,
    OPT_NO_DEFAULTS,
    OPT_NO_VALIDATE,
    OPT_ALL_OR_NOTHING,
    OPT_CANARY,
    OPT_APPLY,
    OPT_STATE_DIR,
    OPT_WATCH,
    OPT_DURABILITY,
    OPT_CONCURRENCY,
    OPT_MAX_PER_KEY,
    OPT_RATE,
    OPT_ATTEMPTS,
    OPT_JOB_TIMEOUT,
    OPT_FORCE,
    OPT_ID,
    OPT_KEY,
    OPT_PAYLOAD,
    OPT_PRIORITY,
    OPT_DELAY,
    OPT_RUN_AT,
    OPT_AFTER,
    OPT_DEDUPE,
    OPT_DEDUPE_WINDOW,
    OPT_BRIEF,
    OPT_BATCH_ID,
    OPT_ERROR,
    OPT_OLDER_THAN,
    OPT_LIMIT,
    OPT_ID_COUNT,
};

#define COMMANDS_MAX 256
struct option_set { // of enum option_id
    uint64_t words[(OPT_ID_COUNT + 63) / 64];
};
bool option_set_has(const struct option_set *set, enum option_id id);

enum completes {
    COMPLETES_NOTHING,
    COMPLETES_FILE,
    COMPLETES_DIR,
    COMPLETES_WORKER,
    COMPLETES_NODE,
    COMPLETES_POOL,
    COMPLETES_ACCOUNT,
    COMPLETES_MANAGER,
    COMPLETES_ALARM,
    COMPLETES_QUEUE,
    COMPLETES_COMMAND
};

struct option_def {    // NOLINT: in the order in which it is written down
    char letter;       // 0 = none
    const char *name;  // without dashes
    const char *value; // NULL = a switch
    const char *doc;
    enum completes completes;
};
extern const struct option_def option_table[OPT_ID_COUNT];

struct invocation;
struct command_def {
    const char *name;                         // "node ls": two words for a command of a group
    const char *args;                         // how the arguments are written, "" = none
    const char *summary;                      // one line
    const char *detail;                       // a paragraph or more; NULL
    const char *examples;                     // lines; NULL
    const uint8_t *options;                   // besides the common ones; ends with OPT_ID_COUNT; NULL = none
    int args_min, args_max;                   // args_max -1 = any number
    enum completes completes;                 // the arguments
    bool offline;                             // takes no connection options
    int (*run)(const struct invocation *inv); // exit code
};
extern const struct command_def command_table[];
extern const size_t command_table_len;

extern const uint8_t option_list_every[];      // of every command; both end with OPT_ID_COUNT
extern const uint8_t option_list_connecting[]; // of those that connect

struct command_group { // "node": the first word of commands of two words
    const char *name, *summary;
};
extern const struct command_group group_table[];
extern const size_t group_table_len;

#define GIVEN_MAX 128
#define ARGS_MAX  1024
struct invocation {
    const struct command_def *command; // NULL when only help was asked for
    const struct command_group *group; // then: of this group; NULL = of everything
    struct {
        enum option_id id;
        const char *value; // borrowed from argv; NULL for a switch
    } given[GIVEN_MAX];
    size_t given_len;
    const char *args[ARGS_MAX]; // borrowed from argv
    size_t args_len;
};

// INVALID with what is wrong and a hint. `ret` is usable for --json in both cases.
enum reeve_err options_parse(int argc, char *const *argv, struct invocation *ret, struct reeve_why *why);
bool opt_given(const struct invocation *inv, enum option_id id);
const char *opt_value(const struct invocation *inv, enum option_id id); // the last one; NULL
// The next value of an option that may be given more than once: start with *at = 0. NULL at the end.
const char *opt_next(const struct invocation *inv, enum option_id id, size_t *at);
const struct command_def *command_find(const char *name);
const struct command_group *group_find(const char *name);
// "ls" of "node ls" when the command belongs to the group; NULL.
const char *command_in_group(const struct command_def *command, const struct command_group *group);
const struct command_group *command_group(const struct command_def *command); // NULL: of one word
struct option_set options_common(void);                                       // of all commands that connect
struct option_set command_own_options(const struct command_def *command);     // those of its row
struct option_set command_options(const struct command_def *command);         // all it takes, the common ones included

// help.c
void help_overview(struct reeve_buf *out);
void help_group(const struct command_group *group, struct reeve_buf *out);
void help_command(const struct command_def *command, struct reeve_buf *out);
void help_man(struct reeve_buf *out); // roff, section 1
int cmd_help(const struct invocation *inv);
// completion.c
bool completion_write(const char *shell, struct reeve_buf *out); // false: unknown shell
int cmd_completion(const struct invocation *inv);

#endif
