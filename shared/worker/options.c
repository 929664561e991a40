// Who this worker is and where its broker is: environment from the daemon, options by hand; options win.
// Everything about the broker becomes one tree first, so that the bus' own table checks it and names the place.
// Must not: take a password from the command line, where every user of the host can read it.
#include "worker.h"

#include <getopt.h>
#include <reeve/codec.h>
#include <reeve/log.h>
#include <reeve/record.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option_id {
    OPTION_BROKER = 256,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
    OPTION_CA_FILE,
    OPTION_MQTT,
    OPTION_ROOT,
    OPTION_NODE,
    OPTION_NAME,
    OPTION_CONFIG,
    OPTION_HEARTBEAT,
    OPTION_LOG_LEVEL,
    OPTION_HELP,
    OPTION_VERSION,
};

// One row per option: its text for --help, the variable that stands for it, or the key of the broker's record.
static const struct row {
    const char *name;
    enum option_id id;
    const char *value; // NULL = takes none
    const char *env;
    const char *broker_key;
    const char *help;
} rows[] = {
    {"broker", OPTION_BROKER, "URL", NULL, "url", "mqtt://127.0.0.1:1883; also mqtts, ws, wss"},
    {"user", OPTION_USER, "NAME", NULL, "username", "user at the broker"},
    {"password-file", OPTION_PASSWORD_FILE, "FILE", NULL, "password_file", "its password, a file with mode 0600"},
    {"ca-file", OPTION_CA_FILE, "FILE", NULL, "ca_file", "trust only this CA"},
    {"mqtt", OPTION_MQTT, "5|3.1.1", NULL, "version", "version of the protocol"},
    {"root", OPTION_ROOT, "TOPIC", REEVE_ENV_ROOT, NULL, "root of all topics (" REEVE_ROOT_PRESET ")"},
    {"node", OPTION_NODE, "NAME", REEVE_ENV_NODE, NULL, "node it counts to (this host's name)"},
    {"name", OPTION_NAME, "NAME", REEVE_ENV_WORKER, NULL, "its own name (its type)"},
    {"config", OPTION_CONFIG, "FILE", REEVE_ENV_CONFIG_FILE, NULL, "configuration; YAML, JSON or msgpack"},
    {"heartbeat", OPTION_HEARTBEAT, "TIME", REEVE_ENV_HEARTBEAT_MS, NULL, "renew the status this often (20s)"},
    {"log-level", OPTION_LOG_LEVEL, "LEVEL", REEVE_ENV_LOG_LEVEL, NULL, "error, warning, info or debug (info)"},
    {"help", OPTION_HELP, NULL, NULL, NULL, "this text"},
    {"version", OPTION_VERSION, NULL, NULL, NULL, "version of worker and SDK"},
};
#define ROWS_LEN REEVE_ARRAY_LEN(rows)

static void print_help(const struct reeve_worker_program *program)
{
    (void)printf("reeve-worker-%s - %s\n\nusage: reeve-worker-%s [options]\n\n", program->type,
                 program->summary == NULL ? "a worker of Reeve" : program->summary, program->type);
    for (size_t i = 0; i < ROWS_LEN; i++) {
        char left[40];
        (void)snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].value == NULL ? "" : rows[i].value);
        (void)printf("  %-26s %s%s%s%s\n", left, rows[i].help, rows[i].env == NULL ? "" : " [$",
                     rows[i].env == NULL ? "" : rows[i].env, rows[i].env == NULL ? "" : "]");
    }
    (void)printf(
        "\nA daemon gives all of this through the environment (REEVE_*). SIGTERM drains and leaves, a second one "
        "hastens;\nSIGHUP reads the configuration again. Exit codes: 0 left in order, 1 failed, 2 usage or "
        "configuration,\n125 another holder of the name is there.\n\nCommands:\n");
    for (const struct reeve_worker_command *row = program->commands; row != NULL && row->name != NULL; row++) {
        (void)printf("  %-26s %s\n", row->name, row->summary == NULL ? "" : row->summary);
    }
    for (const struct reeve_worker_command *row = worker_builtin; row->name != NULL; row++) {
        (void)printf("  %-26s %s\n", row->name, row->summary);
    }
}

static const struct row *row_of(int id)
{
    for (size_t i = 0; i < ROWS_LEN; i++) {
        if ((int)rows[i].id == id) {
            return &rows[i];
        }
    }
    return NULL;
}

// Values as given, by row; the environment fills what no option said. *ret_exit as in worker_settings_read().
static void read_values(int argc, char **argv, const struct reeve_worker_program *program, const char **values,
                        int *ret_exit)
{
    struct option options[ROWS_LEN + 1] = {0};
    for (size_t i = 0; i < ROWS_LEN; i++) {
        options[i] = (struct option){rows[i].name, rows[i].value == NULL ? no_argument : required_argument, NULL,
                                     (int)rows[i].id};
        values[i] = rows[i].env == NULL ? NULL : getenv(rows[i].env);
    }
    optind = 1;
    for (int id; (id = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        const struct row *row = row_of(id);
        if (id == 'h' || id == OPTION_HELP) {
            print_help(program);
            *ret_exit = 0;
            return;
        }
        if (id == OPTION_VERSION) {
            (void)printf("reeve-worker-%s %s (sdk %s)\n", program->type, program->version, REEVE_VERSION);
            *ret_exit = 0;
            return;
        }
        if (row == NULL) { // getopt has said what is wrong
            (void)fprintf(stderr, "try --help\n");
            *ret_exit = 2;
            return;
        }
        values[row - rows] = optarg;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "%s: an argument without an option; try --help\n", argv[optind]);
        *ret_exit = 2;
    }
}

static const char *value_of(const char *const *values, enum option_id id)
{
    return values[row_of((int)id) - rows];
}

// ---- the broker ----------------------------------------------------------------------------------------------------

static enum reeve_err read_broker(struct worker_settings *settings, const char *const *values, struct reeve_why *why)
{
    const char *path = getenv(REEVE_ENV_BROKER_FILE);
    REEVE_VALUE_AUTO tree = NULL;
    REEVE_AUTO_FREE struct reeve_errors *errors = malloc(sizeof *errors);
    enum reeve_err err = errors == NULL ? REEVE_NOMEM : REEVE_OK;
    if (err == REEVE_OK && path != NULL) {
        err = reeve_file_read_value(path, &reeve_limits_file, &tree, why);
    } else if (err == REEVE_OK) {
        tree = reeve_value_map();
    }
    for (size_t i = 0; err == REEVE_OK && i < ROWS_LEN; i++) {
        if (rows[i].broker_key != NULL && values[i] != NULL) {
            err = reeve_value_put(tree, rows[i].broker_key, reeve_value_str(values[i]));
        }
    }
    if (err == REEVE_OK && path == NULL && reeve_value_len(tree) == 0) {
        return reeve_fail(why, REEVE_INVALID, "no broker: give --broker URL, or %s", REEVE_ENV_BROKER_FILE);
    }
    if (err != REEVE_OK) {
        return err;
    }
    reeve_errors_init(errors, path);
    err = reeve_record_decode(&reeve_broker_record, tree, "broker", &settings->broker, errors);
    settings->broker_owned = err == REEVE_OK;
    return err == REEVE_OK ? REEVE_OK : reeve_errors_result(errors, why);
}

// ---- everything else
// -------------------------------------------------------------------------------------------------

static enum reeve_err read_name(const char *option, const char *given, const char *fallback, char ret[REEVE_NAME_SIZE],
                                struct reeve_why *why)
{
    if (given == NULL) {
        (void)reeve_name_from(fallback, ret); /* returns ret */
        return REEVE_OK;
    }
    enum reeve_err err = reeve_name_check(given, why);
    if (err != REEVE_OK && why->place[0] == '\0') {
        (void)snprintf(why->place, sizeof why->place, "%s", option); /* fits */
    }
    if (err == REEVE_OK) {
        (void)snprintf(ret, REEVE_NAME_SIZE, "%s", given); /* checked: it fits */
    }
    return err;
}

static enum reeve_err read_identity(struct worker_settings *settings, const char *const *values,
                                    const struct reeve_worker_program *program, struct reeve_why *why)
{
    const char *root = value_of(values, OPTION_ROOT);
    char host[256];
    root = root == NULL ? REEVE_ROOT_PRESET : root;
    enum reeve_err err = reeve_root_check(root, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(settings->root, sizeof settings->root, "%s", root); /* checked: it fits */
    if (gethostname(host, sizeof host) != 0) {
        (void)snprintf(host, sizeof host, "localhost"); /* a name for a host that has none */
    }
    host[sizeof host - 1] = '\0';
    host[strcspn(host, ".")] = '\0';
    err = read_name("--node", value_of(values, OPTION_NODE), host, settings->node, why);
    return err == REEVE_OK ? read_name("--name", value_of(values, OPTION_NAME), program->type, settings->name, why)
                           : err;
}

static enum reeve_err read_number(const char *env, int64_t low, int64_t high, int64_t *ret, struct reeve_why *why)
{
    const char *text = getenv(env);
    int64_t number;
    if (text == NULL) {
        return REEVE_OK;
    }
    enum reeve_err err = reeve_parse_i64(text, &number, why);
    if (err == REEVE_OK && (number < low || number > high)) {
        err = reeve_fail_at(why, REEVE_INVALID, env, "%s is not within %lld..%lld", text, (long long)low,
                            (long long)high);
    }
    if (err == REEVE_OK) {
        *ret = number;
    }
    return err;
}

// From the environment in ms, by hand with a unit.
static enum reeve_err read_heartbeat(struct worker_settings *settings, const char *text, struct reeve_why *why)
{
    int64_t ms = REEVE_WORKER_HEARTBEAT_MS;
    if (text != NULL && reeve_parse_i64(text, &ms, NULL) != REEVE_OK) {
        enum reeve_err err = reeve_duration_parse(text, &ms, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (ms < 100 || ms > 3600000) {
        return reeve_fail_at(why, REEVE_INVALID, "--heartbeat", "%s is not within 100ms..1h", text);
    }
    settings->heartbeat_ms = ms;
    return REEVE_OK;
}

// Where it belongs, by the daemon's environment alone: by hand a worker belongs to no pool.
static enum reeve_err read_belonging(struct worker_settings *settings, struct reeve_why *why)
{
    const struct {
        const char *env;
        char *name;
    } names[] = {{REEVE_ENV_POOL, settings->pool}, {REEVE_ENV_ACCOUNT, settings->account}};
    enum reeve_err err = read_number(REEVE_ENV_FENCE, 0, INT64_MAX, &settings->fence, why);
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(names); i++) {
        const char *text = getenv(names[i].env);
        if (text != NULL && text[0] != '\0') {
            err = read_name(names[i].env, text, NULL, names[i].name, why);
        }
    }
    return err;
}

static enum reeve_err read_all(struct worker_settings *settings, const char *const *values,
                               const struct reeve_worker_program *program, struct reeve_why *why)
{
    enum reeve_log_level level = REEVE_LOG_INFO;
    int64_t notify_fd = -1;
    const char *level_text = value_of(values, OPTION_LOG_LEVEL);
    enum reeve_err err = level_text == NULL ? REEVE_OK : reeve_log_level_parse(level_text, &level, why);
    if (err == REEVE_OK) {
        reeve_log_set_level(level);
        err = read_identity(settings, values, program, why);
    }
    if (err == REEVE_OK) {
        err = read_heartbeat(settings, value_of(values, OPTION_HEARTBEAT), why);
    }
    if (err == REEVE_OK) {
        err = read_number(REEVE_ENV_RUN, 0, INT64_MAX, &settings->run, why);
    }
    if (err == REEVE_OK) {
        err = read_number(REEVE_ENV_NOTIFY_FD, 3, 1 << 20, &notify_fd, why);
    }
    if (err == REEVE_OK) {
        err = read_number(REEVE_ENV_WATCHDOG_MS, 3, INT32_MAX, &settings->watchdog_ms, why);
    }
    if (err == REEVE_OK) {
        err = read_belonging(settings, why);
    }
    if (err == REEVE_OK) {
        err = read_broker(settings, values, why);
    }
    settings->notify_fd = (int)notify_fd;
    settings->config_file = value_of(values, OPTION_CONFIG);
    return err;
}

void worker_settings_read(struct worker_settings *settings, int argc, char **argv,
                          const struct reeve_worker_program *program, int *ret_exit)
{
    const char *values[ROWS_LEN];
    struct reeve_why why = {0};
    char text[sizeof why.place + sizeof why.text + 4];
    *ret_exit = -1;
    *settings = (struct worker_settings){.notify_fd = -1};
    read_values(argc, argv, program, values, ret_exit);
    if (*ret_exit >= 0) {
        return;
    }
    if (read_all(settings, values, program, &why) != REEVE_OK) {
        (void)fprintf(stderr, "%s\n", reeve_why_format(&why, text, sizeof text)); /* stderr is all there is */
        *ret_exit = 2;
    }
}

void worker_settings_done(struct worker_settings *settings)
{
    if (settings->broker_owned) {
        reeve_record_done(&reeve_broker_record, &settings->broker);
    }
}
