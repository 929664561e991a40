// reeve-manager: options, configuration, loop, exit.
#include "doc.h"
#include "manager.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

const char doc_usage[] =
    "Usage: reeve-manager [--config FILE] [options]\n"
    "\n"
    "The manager of a Reeve fleet: one verdict for every worker, pools, placement, scaling, accounts, health.\n"
    "\n"
    "  -c, --config FILE      configuration (preset: what a node daemon hands to its workers, else\n"
    "                         /etc/reeve/manager.yaml)\n"
    "      --check            read the configuration, say what is wrong with it, start nothing\n"
    "      --check-store [FILE]\n"
    "                         read the store, or a backup, back and say what is wrong with it\n"
    "      --restore FILE     put a backup in the place of the store; no manager may be running\n"
    "      --state-dir DIR    instead of the configuration's\n"
    "      --doc PAGE         print a reference page: configuration, ops, accounts or man\n"
    "      --log-level LEVEL  error, warning, info or debug; before the configuration's\n"
    "  -h, --help             this text\n"
    "  -V, --version          version\n"
    "\n"
    "SIGTERM leaves; nodes and workers go on. SIGHUP looks at the account files now.\n"
    "Exit codes: 0 left in order, 1 failed, 2 usage or configuration, 125 another manager runs this fleet.\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_CHECK_STORE, ACTION_RESTORE, ACTION_DOC };
struct options {
    enum action action;
    const char *config, *log_level, *doc, *backup, *state_dir;
    const char *file; // of --check-store
};

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"check", no_argument, NULL, 'k'},
                                             {"check-store", no_argument, NULL, 's'},
                                             {"restore", required_argument, NULL, 'r'},
                                             {"state-dir", required_argument, NULL, 'S'},
                                             {"log-level", required_argument, NULL, 'l'},
                                             {"doc", required_argument, NULL, 'd'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {NULL, 0, NULL, 0}};

// False: leave with *ret_exit.
static bool read_options(int argc, char **argv, struct options *ret, int *ret_exit)
{
    *ret = (struct options){0};
    *ret_exit = EXIT_SUCCESS;
    for (int option; (option = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            ret->config = optarg;
            break;
        case 'k':
            ret->action = ACTION_CHECK;
            break;
        case 's':
            ret->action = ACTION_CHECK_STORE;
            break;
        case 'r':
            ret->action = ACTION_RESTORE;
            ret->backup = optarg;
            break;
        case 'S':
            ret->state_dir = optarg;
            break;
        case 'l':
            ret->log_level = optarg;
            break;
        case 'd':
            ret->action = ACTION_DOC;
            ret->doc = optarg;
            break;
        case 'h':
            (void)fputs(doc_usage, stdout);
            return false;
        case 'V':
            (void)printf("reeve-manager %s\n", REEVE_VERSION);
            return false;
        default:
            (void)fputs("Try 'reeve-manager --help'.\n", stderr);
            *ret_exit = EXIT_USAGE;
            return false;
        }
    }
    if (ret->action == ACTION_CHECK_STORE && optind < argc) {
        ret->file = argv[optind++];
    }
    if (optind < argc) {
        (void)fprintf(stderr, "reeve-manager: '%s' is not expected; try 'reeve-manager --help'\n", argv[optind]);
        *ret_exit = EXIT_USAGE;
        return false;
    }
    return true;
}

static int print_doc(const char *page)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    struct reeve_why why = {0};
    if (doc_print(page, &text, &why) != REEVE_OK) {
        (void)fprintf(stderr, "reeve-manager: --doc: %s\n", why.text);
        return EXIT_USAGE;
    }
    (void)fwrite(text.data, 1, text.len, stdout);
    return EXIT_SUCCESS;
}

static int complain(const struct reeve_why *why)
{
    char text[640];
    (void)fprintf(stderr, "reeve-manager: %s\n", reeve_why_format(why, text, sizeof text));
    return EXIT_FAILURE;
}

static int check_file(const char *path)
{
    REEVE_BUF_AUTO report = REEVE_BUF_INIT(1u << 20);
    struct reeve_why why = {0};
    enum reeve_err err = store_check(NULL, path, &report, &why);
    (void)fputs(reeve_buf_str(&report), stdout);
    return err == REEVE_OK ? EXIT_SUCCESS : complain(&why);
}

static int check_store(const char *dir)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/" STORE_FILE, dir); /* too long: not found */
    return check_file(path);
}

static int restore(const char *dir, const char *backup)
{
    struct reeve_why why = {0};
    if (store_restore(dir, backup, &why) != REEVE_OK) {
        return complain(&why);
    }
    (void)printf("%s/manager.db is now %s\n", dir, backup);
    return EXIT_SUCCESS;
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

static bool read_config(const struct options *options, struct manager_config *ret)
{
    bool as_worker = options->config == NULL && getenv("REEVE_BROKER_FILE") != NULL;
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        (void)fputs("reeve-manager: out of memory\n", stderr);
        return false;
    }
    enum reeve_err err =
        as_worker ? manager_config_from_environment(ret, errors)
                  : manager_config_load(options->config != NULL ? options->config : "/etc/reeve/manager.yaml", ret, errors);
    print_errors(errors);
    free(errors);
    if (err == REEVE_OK && options->state_dir != NULL) {
        free(ret->manager.state_dir);
        ret->manager.state_dir = strdup(options->state_dir);
    }
    return err == REEVE_OK;
}

static bool set_level(const struct options *options, const struct manager_config *config)
{
    enum reeve_log_level level = (enum reeve_log_level)config->manager.log_level;
    struct reeve_why why;
    if (options->log_level != NULL && reeve_log_level_parse(options->log_level, &level, &why) != REEVE_OK) {
        (void)fprintf(stderr, "reeve-manager: --log-level: %s\n", why.text);
        return false;
    }
    reeve_log_set_level(level);
    return true;
}

static int run(struct manager_config *config)
{
    uv_loop_t loop;
    struct manager *manager = calloc(1, sizeof *manager);
    if (manager == NULL || uv_loop_init(&loop) != 0) {
        (void)fputs("reeve-manager: out of memory\n", stderr);
        free(manager);
        manager_config_done(config);
        return EXIT_FAILURE;
    }
    struct reeve_why why = {0};
    int exit_code = EXIT_FAILURE;
    if (manager_start(manager, &loop, config, &why) == REEVE_OK) {
        uv_run(&loop, UV_RUN_DEFAULT);
        exit_code = manager->exit_code;
    } else {
        (void)complain(&why);
    }
    manager_done(manager);
    reeve_loop_finish(&loop);
    free(manager);
    return exit_code;
}

static int with_config(const struct options *options)
{
    struct manager_config config;
    if (!read_config(options, &config)) {
        return EXIT_USAGE;
    }
    int exit_code = EXIT_USAGE;
    if (!set_level(options, &config)) {
        manager_config_done(&config);
    } else if (options->action == ACTION_CHECK) {
        (void)printf("%s: ok\n", config.path);
        manager_config_done(&config);
        exit_code = EXIT_SUCCESS;
    } else if (options->action == ACTION_RUN) {
        exit_code = run(&config);
    } else {
        exit_code = options->action == ACTION_RESTORE ? restore(config.manager.state_dir, options->backup)
                                                      : check_store(config.manager.state_dir);
        manager_config_done(&config);
    }
    return exit_code;
}

int main(int argc, char **argv)
{
    struct options options;
    int exit_code;
    if (!read_options(argc, argv, &options, &exit_code)) {
        return exit_code;
    }
    if (options.action == ACTION_DOC) {
        return print_doc(options.doc);
    }
    if (options.file != NULL) {
        return check_file(options.file);
    }
    if (options.state_dir != NULL && options.action == ACTION_RESTORE) {
        return restore(options.state_dir, options.backup);
    }
    if (options.state_dir != NULL && options.action == ACTION_CHECK_STORE) {
        return check_store(options.state_dir);
    }
    return with_config(&options);
}
