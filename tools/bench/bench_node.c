// `reeve-bench node`: options, the steps, the parts with programs of their own.
// Must not: measure; see measure_*.c.
#include "child.h"
#include "measure.h"
#include "subject.h"

#include <getopt.h>
#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS       200
#define CROWD_ROUNDS 20
#define MESSAGES     "50000"
#define BUS_GOAL     25000 // messages/s both ways in one client

static const char usage[] =
    "Usage: reeve-bench node [options]\n"
    "\n"
    "Measures a site of its own: starts a broker and a node daemon in a folder of their own, times starts, restarts,\n"
    "last wills and memory, and removes everything. JSON on standard output. Leave the machine alone meanwhile.\n"
    "\n"
    "      --rounds N        of each single measure (preset: 200)\n"
    "      --crowd-rounds N  of start and stop of 100 (preset: 20)\n"
    "      --messages N      of each run through the bus (preset: 50000)\n"
    "      --dir DIR         where the folder is made; its file system is measured too (preset: $TMPDIR, else /tmp)\n"
    "      --table           a table instead of JSON\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit codes: 0 measured, 1 failed or the audit does not hold, 2 usage.\n";

struct options {
    int64_t rounds, crowd_rounds;
    const char *messages;
    const char *dir;
    bool table;
};

// ---- parts with programs of their own -------------------------------------------------------------------------

// The JSON that the program beside this one writes. NULL, and skipped, when there is none: it is not installed.
static struct reeve_value *run_part(struct report *report, const char *bin_dir, const char *name, const char *argument)
{
    char path[SITE_PATH_SIZE];
    struct reeve_why why = {0};
    struct reeve_value *part = NULL;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    (void)snprintf(path, sizeof(path), "%s/%s", bin_dir, name);
    enum reeve_err err = child_run((const char *const[]){path, argument, NULL}, &text, -1, &why);
    if (err == REEVE_OK) {
        err = reeve_json_read(reeve_buf_str(&text), text.len, &reeve_limits_file, name, &part, &why);
    }
    if (err != REEVE_OK) {
        report_skip(report, name, why.text);
        return NULL;
    }
    return part;
}

static void add_both_ways(struct report *report, const struct reeve_value *run)
{
    double per_second = reeve_value_real(reeve_value_get(run, "per_second"), 0);
    struct reeve_value *row = reeve_value_map();
    reeve_put_str(row, "name", "bus_both_ways");
    reeve_put_str(row, "what", "one client publishing and receiving, QoS 1, 128 bytes, the preset window");
    reeve_put_str(row, "unit", "messages/s");
    reeve_put_int(row, "rounds", reeve_get_int(run, "messages", 0));
    (void)reeve_value_put(row, "p50", reeve_value_float(per_second)); // reeve_value_built()
    (void)reeve_value_put(row, "goal", reeve_value_float(BUS_GOAL));  // as above
    reeve_put_bool(row, "met", per_second >= BUS_GOAL);
    (void)reeve_value_add(report->measures, row); // as above
}

static void add_bus(struct report *report, const struct reeve_value *bus)
{
    int64_t astray = 0;
    const struct reeve_value *runs = reeve_value_get(bus, "runs");
    for (size_t i = 0; i < reeve_value_len(runs); i++) {
        const struct reeve_value *run = reeve_value_at(runs, i);
        const char *what = reeve_get_str(run, "what");
        astray +=
            reeve_get_int(run, "missing", 0) + reeve_get_int(run, "twice", 0) + reeve_get_int(run, "unacknowledged", 0);
        if (what != NULL && strcmp(what, "both ways") == 0 && reeve_get_int(run, "window", 0) == 200) {
            add_both_ways(report, run);
        }
    }
    report_check(report, "bus_messages_astray", astray, 0);
}

static void run_parts(struct report *report, const struct options *options, const char *bin_dir,
                      struct reeve_value *whole)
{
    char rounds[16];
    (void)snprintf(rounds, sizeof(rounds), "%d", report->rounds);
    struct reeve_value *floor = run_part(report, bin_dir, "bench-run", rounds);
    if (floor != NULL) {
        (void)reeve_value_put(whole, "floor", floor); // reeve_value_built()
    }
    struct reeve_value *bus = run_part(report, bin_dir, "bench-bus", options->messages);
    if (bus != NULL) {
        add_bus(report, bus);
        (void)reeve_value_put(whole, "bus", bus); // as above
    }
    struct reeve_value *paho = run_part(report, bin_dir, "bench-paho", options->messages);
    if (paho != NULL) {
        (void)reeve_value_put(whole, "paho", paho); // as above
    }
}

// ---- the run --------------------------------------------------------------------------------------------------

static enum reeve_err run_steps(struct bench *bench, struct report *report, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    for (const struct step *step = node_steps; step->run != NULL && err == REEVE_OK; step++) {
        if (isatty(STDERR_FILENO)) {
            (void)fprintf(stderr, "%s ...\n", step->name);
        }
        err = step->run(bench, report, why);
        if (err != REEVE_OK) {
            (void)fprintf(stderr, "reeve-bench: %s: %s\n", step->name, why->text);
        }
    }
    return err;
}

static enum reeve_err measure_site(const struct options *options, const char *bin_dir, struct report *report)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct reeve_why why = {0};
    if (bench == NULL) {
        return reeve_fail(&why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = bench_start(bench, bin_dir, options->dir, &why);
    if (err == REEVE_OK) {
        err = bench_start_node(bench, &why);
    }
    if (err != REEVE_OK) {
        (void)fprintf(stderr, "reeve-bench: %s\n", why.text);
    } else {
        err = run_steps(bench, report, &why);
    }
    bench_stop(bench);
    free(bench);
    return err;
}

static int run(const struct options *options, const char *bin_dir)
{
    struct report report;
    REEVE_VALUE_AUTO whole = report_begin(&report, "node", options->dir);
    report.rounds = (int)options->rounds;
    report.crowd_rounds = (int)options->crowd_rounds;
    enum reeve_err err = measure_site(options, bin_dir, &report);
    if (err == REEVE_OK) {
        run_parts(&report, options, bin_dir, whole);
    }
    report_end(&report, whole);
    if (err != REEVE_OK) {
        return EXIT_FAILURE;
    }
    bool told = options->table ? report_table(whole) : report_json(whole);
    return told && report.audit_ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- options --------------------------------------------------------------------------------------------------

static const struct option long_options[] = {{"rounds", required_argument, NULL, 'r'},
                                             {"crowd-rounds", required_argument, NULL, 'c'},
                                             {"messages", required_argument, NULL, 'm'},
                                             {"dir", required_argument, NULL, 'd'},
                                             {"table", no_argument, NULL, 't'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static bool read_option(int option, struct options *options)
{
    int64_t messages = 0;
    switch (option) {
    case 'r':
        return read_count(optarg, 1, SERIES_MAX - 1, &options->rounds);
    case 'c':
        return read_count(optarg, 1, SERIES_MAX / CROWD, &options->crowd_rounds);
    case 'm':
        options->messages = optarg;
        return read_count(optarg, 1, 1000000, &messages);
    case 'd':
        options->dir = optarg;
        return true;
    case 't':
        options->table = true;
        return true;
    default:
        (void)fputs("Try 'reeve-bench --help'.\n", stderr);
        return false;
    }
}

int bench_node(int argc, char **argv, const char *bin_dir)
{
    struct options options = {
        .rounds = ROUNDS, .crowd_rounds = CROWD_ROUNDS, .messages = MESSAGES, .dir = preset_dir()};
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (option == 'h') {
            return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (!read_option(option, &options)) {
            return EXIT_USAGE;
        }
    }
    return no_more(argc, argv) ? run(&options, bin_dir) : EXIT_USAGE;
}
