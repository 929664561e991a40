// The tables of options and commands, and the reading of a command line by them.
// Must not: print; errors go back with a hint.
#include "options.h"

#include "commands.h"

#include <assert.h>
#include <reeve/str.h>
#include <string.h>

const struct option_def option_table[OPT_ID_COUNT] = {
    [OPT_HELP] = {'h', "help", NULL, "Show help and leave.", COMPLETES_NOTHING},
    [OPT_JSON] = {0, "json", NULL, "Write JSON instead of text; errors too.", COMPLETES_NOTHING},
    [OPT_TIMEOUT] = {0, "timeout", "DURATION", "How long to wait for an answer, such as 500ms or 2m. Preset: 30s.",
                     COMPLETES_NOTHING},
    [OPT_SITE] = {0, "site", "DIR",
                  "Folder of a site made by `reeve up`. Preset: $REEVE_SITE, else reeve/site in the state directory.",
                  COMPLETES_DIR},
    [OPT_BROKER] = {0, "broker", "URL", "A broker instead of a site: mqtt://host:1883, mqtts://, ws://, wss://.",
                    COMPLETES_NOTHING},
    [OPT_USER] = {0, "user", "NAME", "User at the broker. Of a site: admin (preset), operator or viewer.",
                  COMPLETES_NOTHING},
    [OPT_PASSWORD_FILE] = {0, "password-file", "FILE", "File with the password; readable by its owner only.",
                           COMPLETES_FILE},
    [OPT_PROFILE] = {0, "profile", "FILE", "Where and as whom, from a file: `broker:` or the older `remote:`.",
                     COMPLETES_FILE},
    [OPT_ROOT] = {0, "root", "ROOT", "Topic root. Preset: the site's, else reeve/v1/local.", COMPLETES_NOTHING},
    [OPT_CA_FILE] = {0, "ca-file", "FILE", "Trust only this certificate authority (mqtts, wss).", COMPLETES_FILE},
    [OPT_CERT_FILE] = {0, "cert-file", "FILE", "Client certificate.", COMPLETES_FILE},
    [OPT_KEY_FILE] = {0, "key-file", "FILE", "Its key.", COMPLETES_FILE},
    [OPT_MQTT] = {0, "mqtt", "VERSION", "MQTT version: 5 (preset) or 3.1.1.", COMPLETES_NOTHING},
    [OPT_VERBOSE] = {'v', "verbose", NULL, "Log what the connection does.", COMPLETES_NOTHING},
    [OPT_DRY_RUN] = {0, "dry-run", NULL, "Ask what would change, and change nothing.", COMPLETES_NOTHING},
    [OPT_PRINT_MQTT] = {0, "print-mqtt", NULL, "Print the mosquitto_pub line that does the same; send nothing.",
                        COMPLETES_NOTHING},
    [OPT_NO_WAIT] = {0, "no-wait", NULL, "Leave when the broker has the command.", COMPLETES_NOTHING},
    [OPT_NODE] = {'n', "node", "NODE", "Only on this node.", COMPLETES_NODE},
    [OPT_ALL] = {'a', "all", NULL, "All workers (but a site's own broker).", COMPLETES_NOTHING},
    [OPT_TYPE] = {0, "type", "TYPE", "Workers of this type; globs are allowed.", COMPLETES_NOTHING},
    [OPT_EXCHANGE] = {0, "exchange", "NAME", "Workers for this exchange; globs are allowed.", COMPLETES_NOTHING},
    [OPT_LABEL] = {'l', "label", "KEY=VALUE", "Workers with this label; again for more, all must fit.",
                   COMPLETES_NOTHING},
    [OPT_STATE] = {0, "state", "STATE", "Workers in this state: running, failed, ...", COMPLETES_NOTHING},
    [OPT_GRACE] = {0, "grace", "DURATION", "Time until SIGKILL. Preset: the worker's own.", COMPLETES_NOTHING},
    [OPT_FILE] = {'f', "file", "FILE", "Worker specs, YAML or JSON; - is standard input. May be given again.",
                  COMPLETES_FILE},
    [OPT_TAIL] = {0, "tail", "N", "How many of the last lines. Preset: 50.", COMPLETES_NOTHING},
    [OPT_FOLLOW] = {'f', "follow", NULL, "Go on with new lines until Ctrl-C.", COMPLETES_NOTHING},
    [OPT_TIMESTAMPS] = {'t', "timestamps", NULL, "Put the time before each line.", COMPLETES_NOTHING},
    [OPT_COUNT] = {0, "count", "N", "Leave after N messages.", COMPLETES_NOTHING},
    [OPT_HEX] = {0, "hex", NULL, "The message is hexadecimal; `topic hex` lines of mosquitto_sub -F '%t %x' too.",
                 COMPLETES_NOTHING},
    [OPT_YAML] = {0, "yaml", NULL, "YAML instead of JSON.", COMPLETES_NOTHING},
    [OPT_PRETTY] = {0, "pretty", NULL, "JSON over several lines.", COMPLETES_NOTHING},
    [OPT_ONCE] = {0, "once", NULL, "One table, then leave.", COMPLETES_NOTHING},
    [OPT_INTERVAL] = {0, "interval", "DURATION", "Time between redraws. Preset: 1s.", COMPLETES_NOTHING},
    [OPT_WIDE] = {'w', "wide", NULL, "More columns, nothing cut.", COMPLETES_NOTHING},
    [OPT_QUIET] = {'q', "quiet", NULL, "Names only.", COMPLETES_NOTHING},
    [OPT_DIR] = {0, "dir", "DIR", "Folder of the site; made when it is not there. Preset: as --site.", COMPLETES_DIR},
    [OPT_CONFIG] = {'c', "config", "FILE",
                    "Node configuration to add: `workers`, `types`, `node`, `broker`. Preset: the last one; '' = none.",
                    COMPLETES_FILE},
    [OPT_PORT] = {0, "port", "N", "Port of the broker; 0 = any that is free. Preset: the last one, else 1883 if free.",
                  COMPLETES_NOTHING},
    [OPT_NAME] = {0, "name", "NODE", "Name of the node. Preset: the last one, else the host's.", COMPLETES_NOTHING},
    [OPT_KEEP_WORKERS] = {0, "keep-workers", NULL, "Leave the workers running for the next daemon.", COMPLETES_NOTHING},
    [OPT_STOP] = {0, "stop", NULL, "Also stop the workers that run.", COMPLETES_NOTHING},
    [OPT_MAN] = {0, "man", NULL, "Write the man page (roff).", COMPLETES_NOTHING},
};
static_assert(OPT_ID_COUNT <= UINT8_MAX, "lists of options are bytes");

// The options of a command, as they are written in its row.
#define LIST(...) ((const uint8_t[]){__VA_ARGS__, OPT_ID_COUNT})
#define COMMON                                                                                                         \
    OPT_TIMEOUT, OPT_SITE, OPT_BROKER, OPT_USER, OPT_PASSWORD_FILE, OPT_PROFILE, OPT_ROOT, OPT_CA_FILE, OPT_CERT_FILE, \
        OPT_KEY_FILE, OPT_MQTT, OPT_VERBOSE
#define EVERY   OPT_HELP, OPT_JSON
#define ACTING  OPT_DRY_RUN, OPT_PRINT_MQTT, OPT_NO_WAIT, OPT_NODE
#define SELECT  OPT_ALL, OPT_TYPE, OPT_EXCHANGE, OPT_LABEL
#define WORKERS ACTING, SELECT, OPT_STATE

#define NAMES_DETAIL                                                                                                   \
    "NAME is a worker's name, `node/name`, or a glob (quote it from the shell). A bare name is looked up on all "      \
    "nodes."

const struct command_def command_table[] = {
    {.name = "up",
     .args = "",
     .args_max = 0,
     .run = cmd_up,
     .offline = true,
     .summary = "start a site on this machine, in the foreground",
     .detail =
         "Makes DIR with a private broker (generated credentials, 0600), starts the node daemon with the broker as "
         "one of its workers, writes DIR/site.json once the site answers, prints `site ready` and goes on until "
         "Ctrl-C or SIGTERM, which stop everything in order. A second start in DIR goes on where the first ended.",
     .examples = "reeve up\nreeve up --dir /tmp/site --port 0 --config node.yaml",
     .options = LIST(OPT_DIR, OPT_CONFIG, OPT_PORT, OPT_NAME, OPT_ROOT, OPT_TIMEOUT, OPT_VERBOSE)},
    {.name = "ls",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_ls,
     .completes = COMPLETES_WORKER,
     .summary = "workers with their verdicts",
     .detail = "The verdict folds what the operating system, the worker itself and the broker say.",
     .examples = "reeve ls\nreeve ls 'mm-*' --state failed\nreeve ls --json | jq '.workers[].name'",
     .options = LIST(SELECT, OPT_NODE, OPT_STATE, OPT_WIDE, OPT_QUIET)},
    {.name = "show",
     .args = "NAME",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_show,
     .completes = COMPLETES_WORKER,
     .summary = "everything about one worker",
     .detail = "Verdict, the three witnesses (process, status, last will), its spec and its last log lines.",
     .options = LIST(OPT_NODE, OPT_TAIL)},
    {.name = "apply",
     .args = "[FILE]...",
     .args_max = -1,
     .run = cmd_apply,
     .completes = COMPLETES_FILE,
     .summary = "define workers from files",
     .detail =
         "All mistakes of all files are printed with their places, and then nothing is sent. Workers that are new "
         "start, changed ones restart where the change needs it.",
     .examples = "reeve apply -f workers.yaml\nreeve apply -f - --dry-run < workers.yaml",
     .options = LIST(ACTING, OPT_FILE)},
    {.name = "rm",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "stop workers and forget them, with their logs",
     .detail = NAMES_DETAIL,
     .options = LIST(WORKERS)},
    {.name = "start",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "start workers; done when they run",
     .detail = NAMES_DETAIL,
     .options = LIST(WORKERS)},
    {.name = "stop",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "stop workers; done when their processes are gone",
     .detail = NAMES_DETAIL,
     .examples = "reeve stop mm-1\nreeve stop --type swap\nreeve stop --all --grace 5s",
     .options = LIST(WORKERS, OPT_GRACE)},
    {.name = "restart",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "a new run of workers",
     .detail = NAMES_DETAIL,
     .options = LIST(WORKERS)},
    {.name = "kill",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "SIGKILL to workers and all their children; they stay stopped",
     .detail = NAMES_DETAIL,
     .options = LIST(WORKERS)},
    {.name = "signal",
     .args = "SIGNAL [NAME]...",
     .args_min = 1,
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "send a signal to workers' own processes",
     .detail = "SIGNAL is a name in capitals (HUP, SIGUSR1) or a number. " NAMES_DETAIL,
     .examples = "reeve signal HUP mm-1",
     .options = LIST(WORKERS)},
    {.name = "reset",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_act,
     .completes = COMPLETES_WORKER,
     .summary = "forget failures; failed workers start afresh",
     .detail = NAMES_DETAIL,
     .options = LIST(WORKERS)},
    {.name = "call",
     .args = "NAME OP [KEY=VALUE | JSON]...",
     .args_min = 2,
     .args_max = -1,
     .run = cmd_call,
     .completes = COMPLETES_WORKER,
     .summary = "call an operation that a worker itself declares",
     .detail = "A worker's operations stand in its status: see `reeve show NAME`.",
     .examples = "reeve call probe-1 echo text=hello\nreeve call mm-1 pause reason=lunch",
     .options = LIST(ACTING)},
    {.name = "drain",
     .args = "[NODE | NODE/NAME]...",
     .args_max = -1,
     .run = cmd_drain,
     .completes = COMPLETES_NODE,
     .summary = "a node starts nothing more; a worker finishes what it has",
     .detail = "Without an argument, the site's node.",
     .options = LIST(ACTING, OPT_STOP)},
    {.name = "undrain",
     .args = "[NODE | NODE/NAME]...",
     .args_max = -1,
     .run = cmd_drain,
     .completes = COMPLETES_NODE,
     .summary = "the opposite of drain",
     .options = LIST(ACTING)},
    {.name = "logs",
     .args = "NAME...",
     .args_min = 1,
     .args_max = -1,
     .run = cmd_logs,
     .completes = COMPLETES_WORKER,
     .summary = "what workers wrote to stdout and stderr",
     .examples = "reeve logs mm-1 --tail 200\nreeve logs -f mm-1",
     .options = LIST(OPT_NODE, OPT_TAIL, OPT_FOLLOW, OPT_TIMESTAMPS)},
    {.name = "watch",
     .args = "[PATTERN]",
     .args_max = 1,
     .run = cmd_watch,
     .summary = "messages of the site as JSON lines",
     .detail = "PATTERN is an MQTT filter below the root (preset: #); one that begins with the root is taken as it is. "
               "With --timeout or --count it ends by itself.",
     .examples = "reeve watch 'worker/+/mm-1/#'\nreeve watch 'node/+/event' | jq .payload.kind",
     .options = LIST(OPT_COUNT)},
    {.name = "top",
     .args = "[NAME]...",
     .args_max = -1,
     .run = cmd_top,
     .completes = COMPLETES_WORKER,
     .summary = "live table with processor and memory use",
     .options = LIST(SELECT, OPT_NODE, OPT_STATE, OPT_ONCE, OPT_INTERVAL)},
    {.name = "node ls",
     .args = "",
     .args_max = 0,
     .run = cmd_node_ls,
     .summary = "nodes and how they are",
     .options = LIST(OPT_QUIET)},
    {.name = "node show",
     .args = "[NODE]",
     .args_max = 1,
     .run = cmd_node_show,
     .completes = COMPLETES_NODE,
     .summary = "everything about one node",
     .options = LIST(OPT_NODE)},
    {.name = "node drain",
     .args = "[NODE]...",
     .args_max = -1,
     .run = cmd_drain,
     .completes = COMPLETES_NODE,
     .summary = "the node takes and starts no more workers",
     .options = LIST(ACTING, OPT_STOP)},
    {.name = "node undrain",
     .args = "[NODE]...",
     .args_max = -1,
     .run = cmd_drain,
     .completes = COMPLETES_NODE,
     .summary = "the node takes workers again",
     .options = LIST(ACTING)},
    {.name = "node reload",
     .args = "[NODE]",
     .args_max = 1,
     .run = cmd_node_act,
     .completes = COMPLETES_NODE,
     .summary = "the node reads its configuration again and says what changed",
     .options = LIST(ACTING)},
    {.name = "node shutdown",
     .args = "[NODE]",
     .args_max = 1,
     .run = cmd_node_act,
     .completes = COMPLETES_NODE,
     .summary = "the daemon stops its workers and leaves",
     .options = LIST(ACTING, OPT_KEEP_WORKERS)},
    {.name = "encode",
     .args = "",
     .args_max = 0,
     .run = cmd_encode,
     .offline = true,
     .summary = "JSON on standard input to msgpack on standard output",
     .examples = "echo '{\"grace\":\"5s\"}' | reeve encode | mosquitto_pub -t ... -s",
     .options = LIST(OPT_YAML)},
    {.name = "decode",
     .args = "",
     .args_max = 0,
     .run = cmd_decode,
     .offline = true,
     .summary = "msgpack on standard input to JSON on standard output",
     .examples = "mosquitto_sub -C 1 -N -t ... | reeve decode --pretty\n"
                 "mosquitto_sub -v -F '%t %x' -t ... | reeve decode --hex",
     .options = LIST(OPT_HEX, OPT_YAML, OPT_PRETTY)},
    {.name = "doctor",
     .args = "",
     .args_max = 0,
     .run = cmd_doctor,
     .summary = "check broker, credentials, rights, node, clocks, disk and files"},
    {.name = "bench",
     .args = "WHAT [-- OPTION...]",
     .args_min = 1,
     .args_max = -1,
     .run = cmd_bench,
     .offline = true,
     .summary = "measure a site of its own on this machine",
     .detail = "WHAT is `node`. Runs reeve-bench, which starts a broker and a daemon of its own, and removes them. Its "
               "options stand after `--`.",
     .examples = "reeve bench node\nreeve bench node -- --table --rounds 50"},
    {.name = "version",
     .args = "",
     .args_max = 0,
     .run = cmd_version,
     .offline = true,
     .summary = "version of this program"},
    {.name = "completion",
     .args = "bash|zsh|fish",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_completion,
     .offline = true,
     .summary = "completion script for a shell",
     .examples = "source <(reeve completion bash)\nreeve completion fish > ~/.config/fish/completions/reeve.fish"},
    {.name = "help",
     .args = "[COMMAND]...",
     .args_max = 2,
     .run = cmd_help,
     .offline = true,
     .completes = COMPLETES_COMMAND,
     .summary = "help about a command",
     .options = LIST(OPT_MAN)},
};
const size_t command_table_len = REEVE_ARRAY_LEN(command_table);
static_assert(REEVE_ARRAY_LEN(command_table) <= COMMANDS_MAX, "near_command() has room for all");

const struct command_group group_table[] = {
    {"node", "the daemons, one per host"},
};
const size_t group_table_len = REEVE_ARRAY_LEN(group_table);

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
    add_list(&set, LIST(COMMON, EVERY));
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
    add_list(&set, LIST(EVERY));
    if (!command->offline) {
        add_list(&set, LIST(COMMON));
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
        } else if (!options_over && text[0] == '-' && text[1] != '\0') {
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
