// reeved: the node daemon. Options, configuration, loop, exit.
#include "ask.h"
#include "daemon.h"
#include "doc.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };
#define DRAIN_MS 10000

const char doc_usage[] =
    "Usage: reeved [--config FILE] [options]\n"
    "\n"
    "The node daemon of Reeve: starts, limits, watches, restarts and stops the workers of this host,\n"
    "and takes commands over MQTT.\n"
    "\n"
    "  -c, --config FILE      configuration (preset: /etc/reeve/node.yaml)\n"
    "      --check            read the configuration, say what is wrong with it, start nothing\n"
    "      --doc PAGE         print a reference page: configuration, ops or man\n"
    "      --log-level LEVEL  error, warning, info or debug; before the configuration's\n"
    "  -h, --help             this text\n"
    "  -V, --version          version\n"
    "\n"
    "SIGHUP reloads the configuration. SIGTERM leaves; what becomes of the workers is `node.on_exit`.\n"
    "Exit codes: 0 left in order, 1 failed, 2 usage or configuration, 125 another daemon holds the name.\n";

struct options {
    const char *config;
    const char *log_level;
    const char *doc;
    bool check;
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
    {"log-level", required_argument, NULL, 'l'}, {"doc", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

// False: leave with *ret_exit.
static bool read_options(int argc, char **argv, struct options *ret, int *ret_exit)
{
    *ret = (struct options){.config = "/etc/reeve/node.yaml"};
    *ret_exit = EXIT_SUCCESS;
    for (int option; (option = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            ret->config = optarg;
            break;
        case 'k':
            ret->check = true;
            break;
        case 'l':
            ret->log_level = optarg;
            break;
        case 'd':
            ret->doc = optarg;
            break;
        case 'h':
            (void)fputs(doc_usage, stdout);
            return false;
        case 'V':
            (void)printf("reeved %s\n", REEVE_VERSION);
            return false;
        default:
            (void)fputs("Try 'reeved --help'.\n", stderr);
            *ret_exit = EXIT_USAGE;
            return false;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "reeved: '%s' is not expected; try 'reeved --help'\n", argv[optind]);
        *ret_exit = EXIT_USAGE;
        return false;
    }
    return true;
}

static void print_errors(const struct reeve_errors *errors)
{
    for (size_t i = 0; i < errors->len; i++) {
        char text[640];
        (void)fprintf(stderr, "%s\n", reeve_error_format(errors, i, text, sizeof text));
    }
    if (errors->errors + errors->warnings > errors->len) {
        (void)fprintf(stderr, "... and %zu more\n", errors->errors + errors->warnings - errors->len);
    }
}

static bool read_config(const char *path, struct node_config *ret)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        (void)fputs("reeved: out of memory\n", stderr);
        return false;
    }
    enum reeve_err err = config_load(path, ret, errors);
    print_errors(errors);
    free(errors);
    return err == REEVE_OK;
}

// What only this host can tell about the specs: programs, users, groups.
static bool check_specs(const struct node_config *config)
{
    bool ok = true;
    for (size_t i = 0; i < config->specs.len; i++) {
        struct reeve_why why;
        if (spawn_check(config, &config->specs.items[i], &why) != REEVE_OK) {
            (void)fprintf(stderr, "%s: worker %s: %s\n", config->path, config->specs.items[i].name, why.text);
            ok = false;
        }
    }
    return ok;
}

static bool set_level(const struct options *options, const struct node_config *config)
{
    enum reeve_log_level level = (enum reeve_log_level)config->node.log_level;
    struct reeve_why why;
    if (options->log_level != NULL && reeve_log_level_parse(options->log_level, &level, &why) != REEVE_OK) {
        (void)fprintf(stderr, "reeved: --log-level: %s\n", why.text);
        return false;
    }
    reeve_log_set_level(level);
    return true;
}

static int print_doc(const char *page)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    struct reeve_why why = {0};
    if (doc_print(page, &text, &why) != REEVE_OK) {
        (void)fprintf(stderr, "reeved: --doc: %s\n", why.text);
        return EXIT_USAGE;
    }
    (void)fwrite(text.data, 1, text.len, stdout);
    return EXIT_SUCCESS;
}

static int run(struct node_config *config)
{
    uv_loop_t loop;
    struct daemon *daemon = calloc(1, sizeof *daemon);
    if (daemon == NULL || uv_loop_init(&loop) != 0) {
        (void)fputs("reeved: out of memory\n", stderr);
        free(daemon);
        config_done(config);
        return EXIT_FAILURE;
    }
    struct reeve_why why;
    int exit_code = EXIT_FAILURE;
    if (daemon_start(daemon, &loop, config, &why) == REEVE_OK) {
        uv_run(&loop, UV_RUN_DEFAULT);
        exit_code = daemon->exit_code;
    } else {
        char text[640];
        (void)fprintf(stderr, "reeved: %s\n", reeve_why_format(&why, text, sizeof text));
    }
    daemon_done(daemon);
    if (!ask_drain(&loop, DRAIN_MS)) {
        reeve_log(REEVE_LOG_WARNING, "daemon", "a name lookup hangs, leaving without it ignoring");
        _exit(exit_code); // exit() would wait for its thread
    }
    reeve_loop_finish(&loop);
    free(daemon);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct options options;
    int exit_code;
    if (!read_options(argc, argv, &options, &exit_code)) {
        return exit_code;
    }
    if (options.doc != NULL) {
        return print_doc(options.doc);
    }
    struct node_config config;
    if (!read_config(options.config, &config)) {
        return EXIT_USAGE;
    }
    if (!set_level(&options, &config)) {
        config_done(&config);
        return EXIT_USAGE;
    }
    if (options.check) {
        bool ok = check_specs(&config);
        (void)printf("%s: %s, %zu worker%s\n", config.path, ok ? "ok" : "not ok", config.specs.len,
                     config.specs.len == 1 ? "" : "s");
        config_done(&config);
        return ok ? EXIT_SUCCESS : EXIT_USAGE;
    }
    return run(&config);
}
