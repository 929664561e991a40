// `reeve-bench fleet`: options, the steps, the report.
// Must not: measure; see measure_fleet*.c.
#include "fleet.h"
#include "subject.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: reeve-bench fleet [options]\n"
    "\n"
    "Measures a manager: starts a broker and reeve-manager in a folder of their own, and a process that plays very "
    "many\n"
    "nodes and workers over MQTT (simulated: they send what real ones send, and do at once what they are told). Times "
    "last\n"
    "wills, emergency stops and restarts, takes processor time and memory, and holds what the manager says of every "
    "worker\n"
    "against what is true. JSON on standard output. Leave the machine alone meanwhile.\n"
    "\n"
    "      --workers N       simulated workers (preset: 10000)\n"
    "      --nodes N         simulated nodes (preset: 100)\n"
    "      --sessions N      workers with an MQTT session of their own, whose last wills can fire (preset: 400)\n"
    "      --heartbeat TIME  of a worker (preset: 20s)\n"
    "      --duration TIME   of the steady state (preset: 60s), in windows of a sixth of it\n"
    "      --rounds N        last wills (preset: 300); the other measures take a hundredth to a thirtieth of it\n"
    "      --patience TIME   until the manager has to agree with what is true (preset: 20s)\n"
    "      --quick           small and short: whether it runs, not how fast\n"
    "      --dir DIR         where the folder is made; its file system is measured too (preset: $TMPDIR, else /tmp)\n"
    "      --json            JSON (preset)\n"
    "      --table           a table instead\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit codes: 0 measured, 1 failed or the audit does not hold, 2 usage.\n";

static const struct {
    const char *name;
    fleet_step *run;
} steps[] = {
    {"first start", measure_first_start}, {"steady state", measure_steady},    {"last wills", measure_wills},
    {"queries", measure_queries},         {"stops of a tenth", measure_stops}, {"stops of all", measure_stop_all},
    {"memory", measure_memory},           {"restarts", measure_restarts},      {"end", measure_end}};

static enum reeve_err run_steps(struct fleet_bench *fleet, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(steps); i++) {
        if (isatty(STDERR_FILENO)) {
            (void)fprintf(stderr, "%s ...\n", steps[i].name);
        }
        err = steps[i].run(fleet, report, why);
    }
    return err;
}

static enum reeve_err measure(const struct fleet_options *options, const char *bin_dir, struct report *report,
                              struct reeve_value *whole)
{
    struct reeve_why why = {0};
    struct fleet_bench *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL) {
        return REEVE_NOMEM;
    }
    fleet->options = options;
    fleet->control_fd = -1;
    enum reeve_err err = bench_start(&fleet->bench, bin_dir, options->dir, &why);
    err = err == REEVE_OK ? fleet_start(fleet, &why) : err;
    err = err == REEVE_OK ? run_steps(fleet, report, &why) : err;
    if (err != REEVE_OK) { // what was measured until then is told all the same
        (void)fprintf(stderr, "reeve-bench: %s\n", why.text);
        reeve_put_str(whole, "error", why.text);
    }
    if (fleet->described != NULL) {
        (void)reeve_value_put(whole, "manager", reeve_value_take(&fleet->described)); // reeve_value_built()
    }
    fleet_stop(fleet);
    bench_stop(&fleet->bench);
    fleet_done(fleet);
    free(fleet);
    return err;
}

static int run(const struct fleet_options *options, const char *bin_dir)
{
    struct report report;
    REEVE_VALUE_AUTO whole = report_begin(&report, "fleet", options->dir);
    struct reeve_value *asked = reeve_value_map();
    reeve_put_int(asked, "workers", options->workers);
    reeve_put_int(asked, "nodes", options->nodes);
    reeve_put_int(asked, "sessions", options->sessions);
    reeve_put_int(asked, "heartbeat_ms", options->heartbeat_ms);
    reeve_put_int(asked, "steady_ms", options->steady_ms);
    reeve_put_str(asked, "workers_are", "simulated");
    (void)reeve_value_put(whole, "fleet", asked); // reeve_value_built()
    enum reeve_err err = measure(options, bin_dir, &report, whole);
    report_end(&report, whole);
    bool told = options->table ? report_table(whole) : report_json(whole);
    if (!report.audit_ok) {
        (void)fputs("reeve-bench: the audit does not hold\n", stderr);
    }
    return told && err == REEVE_OK && report.audit_ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- options --------------------------------------------------------------------------------------------------

static const struct option long_options[] = {{"workers", required_argument, NULL, 'w'},
                                             {"nodes", required_argument, NULL, 'n'},
                                             {"sessions", required_argument, NULL, 's'},
                                             {"heartbeat", required_argument, NULL, 'b'},
                                             {"duration", required_argument, NULL, 'D'},
                                             {"rounds", required_argument, NULL, 'r'},
                                             {"patience", required_argument, NULL, 'p'},
                                             {"quick", no_argument, NULL, 'q'},
                                             {"dir", required_argument, NULL, 'd'},
                                             {"json", no_argument, NULL, 'j'},
                                             {"table", no_argument, NULL, 't'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static void be_quick(struct fleet_options *options)
{
    options->workers = 200;
    options->nodes = 10;
    options->sessions = 40;
    options->heartbeat_ms = 2000;
    options->steady_ms = 6000;
    options->wills = 20;
}

static bool read_option(int option, struct fleet_options *options)
{
    switch (option) {
    case 'w':
        return read_count(optarg, 1, SIMULATED_WORKERS_MAX, &options->workers);
    case 'n':
        return read_count(optarg, 1, SIMULATED_NODES_MAX, &options->nodes);
    case 's':
        return read_count(optarg, 1, SIMULATED_SESSIONS_MAX, &options->sessions);
    case 'b':
        return read_time(optarg, 1000, 3600000, &options->heartbeat_ms);
    case 'D':
        return read_time(optarg, 1000, 3600000, &options->steady_ms);
    case 'p':
        return read_time(optarg, 0, 600000, &options->patience_ms);
    case 'r':
        return read_count(optarg, 1, SERIES_MAX - 1, &options->wills);
    case 'q':
        be_quick(options);
        return true;
    case 'd':
        options->dir = optarg;
        return true;
    case 'j':
        options->table = false;
        return true;
    case 't':
        options->table = true;
        return true;
    default:
        (void)fputs("Try 'reeve-bench fleet --help'.\n", stderr);
        return false;
    }
}

// The rounds of what takes longer than a last will.
static int64_t share(int64_t wills, int64_t divisor)
{
    return wills < divisor ? 1 : wills / divisor;
}

static bool settle_options(struct fleet_options *options)
{
    options->window_ms = options->steady_ms / 6;
    options->restarts = share(options->wills, 30);
    options->crowd_rounds = share(options->wills, 30);
    options->all_rounds = share(options->wills, 100);
    options->sessions = options->sessions < options->workers ? options->sessions : options->workers;
    if (options->nodes > options->workers) {
        (void)fputs("reeve-bench: there are more nodes than workers\n", stderr);
        return false;
    }
    return true;
}

int bench_fleet(int argc, char **argv, const char *bin_dir)
{
    struct fleet_options options = {.workers = 10000,
                                    .nodes = 100,
                                    .sessions = 400,
                                    .heartbeat_ms = 20000,
                                    .steady_ms = 60000,
                                    .patience_ms = 20000,
                                    .wills = 300,
                                    .dir = preset_dir()};
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (option == 'h') {
            return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (!read_option(option, &options)) {
            return EXIT_USAGE;
        }
    }
    return no_more(argc, argv) && settle_options(&options) ? run(&options, bin_dir) : EXIT_USAGE;
}
