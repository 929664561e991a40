// reeve-worker-broker: runs Mosquitto as a worker, and gets it over a damaged store. Options, decision, exit.
// A full disk truncates mosquitto.db and Mosquitto then refuses to start, for ever. Retained records are published
// again by their owners, so a broker that starts empty is right again at once. Must not: speak MQTT or know Reeve's
// topics.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <reeve/log.h>

#include "run.h"
#include "store.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: reeve-worker-broker --config FILE [--mosquitto PATH]\n"
    "\n"
    "Runs Mosquitto with a configuration file, passes TERM, INT, HUP, USR1 and USR2 on to it, and ends as it ended.\n"
    "If it fails before it listens and it has a store, the store is set aside as mosquitto.db.damaged-<utc>\n"
    "(the newest 3 are kept) and it is started once more; if that fails too, the store is put back.\n"
    "\n"
    "  -c, --config FILE     Mosquitto's configuration\n"
    "  -m, --mosquitto PATH  the program (preset: /usr/sbin/mosquitto)\n"
    "  -h, --help            this text\n"
    "  -V, --version         version\n"
    "\n"
    "Exit codes: the broker's own; 1 it could not be run, 2 usage, 127 there is no such program.\n";

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"mosquitto", required_argument, NULL, 'm'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {NULL, 0, NULL, 0}};

struct options {
    const char *config;
    const char *mosquitto;
};

// False: leave with *ret_exit.
static bool read_options(int argc, char **argv, struct options *ret, int *ret_exit)
{
    *ret = (struct options){.mosquitto = "/usr/sbin/mosquitto"};
    *ret_exit = EXIT_SUCCESS;
    for (int option; (option = getopt_long(argc, argv, "c:m:hV", long_options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            ret->config = optarg;
            break;
        case 'm':
            ret->mosquitto = optarg;
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return false;
        case 'V':
            (void)printf("reeve-worker-broker %s\n", REEVE_VERSION);
            return false;
        default:
            *ret_exit = EXIT_USAGE;
            return false;
        }
    }
    if (ret->config == NULL || optind < argc) {
        (void)fputs("reeve-worker-broker: --config FILE is needed, and nothing else; try --help\n", stderr);
        *ret_exit = EXIT_USAGE;
        return false;
    }
    return true;
}

// The first start failed and there is a store: try without it, put it back if that was not the reason.
static enum reeve_err run_without_store(const struct options *options, struct store *store, struct run_end *end,
                                        struct reeve_why *why)
{
    char cause[24], line[sizeof(struct reeve_why)];
    enum reeve_err err = store_set_aside(store, why);
    if (store->aside[0] == '\0') {
        return err;
    }
    if (err != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "broker", "prune=failed err=\"%s\": ignoring",
                  reeve_why_format(why, line, sizeof line));
    }
    reeve_log(REEVE_LOG_WARNING, "broker", "cause=%s store=%s set_aside=%s: starting without it, retrying",
              run_end_text(end, cause, sizeof cause), store->path, store->aside);
    err = run_broker(options->mosquitto, options->config, end, why);
    if (err != REEVE_OK || run_end_is_failed_start(end)) {
        const enum reeve_err restored = store_restore(store, why);
        reeve_log(REEVE_LOG_WARNING, "broker", "cause=%s store=%s put_back=%s: it was not the reason, ignoring",
                  run_end_text(end, cause, sizeof cause), store->path, reeve_err_text(restored));
    }
    return err;
}

static enum reeve_err run(const struct options *options, struct run_end *end, struct reeve_why *why)
{
    struct store store;
    enum reeve_err err = store_find(options->config, &store, why);
    if (err == REEVE_OK) {
        err = run_broker(options->mosquitto, options->config, end, why);
    }
    if (err != REEVE_OK || !run_end_is_failed_start(end) || !store_exists(&store)) {
        return err;
    }
    return run_without_store(options, &store, end, why);
}

int main(int argc, char **argv)
{
    struct options options;
    int code;
    if (!read_options(argc, argv, &options, &code)) {
        return code;
    }
    run_prepare();
    struct run_end end = {0};
    struct reeve_why why = {0};
    if (run(&options, &end, &why) != REEVE_OK) {
        char line[sizeof why];
        reeve_log(REEVE_LOG_ERROR, "broker", "err=\"%s\"", reeve_why_format(&why, line, sizeof line));
        return EXIT_FAILURE;
    }
    return run_leave_as(&end);
}
