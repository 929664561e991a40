// reeve-bench: what `reeve bench` runs. Options, the steps, the report.
// Must not: measure; see measure_*.c.
#include "child.h"
#include "machine.h"
#include "measure.h"

#include <getopt.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/log.h>
#include <reeve/str.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };
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

// ---- the report -----------------------------------------------------------------------------------------------

void report_series(struct report *report, struct series *series)
{
    struct reeve_value *value = series_value(series);
    series->len = 0;
    if (value != NULL) {
        (void)reeve_value_add(report->measures, value); // reeve_value_built()
    }
}

void report_check(struct report *report, const char *name, int64_t counted, int64_t expected)
{
    struct reeve_value *check = reeve_value_map();
    reeve_put_int(check, "counted", counted);
    reeve_put_int(check, "expected", expected);
    (void)reeve_value_put(report->audit, name, check); // reeve_value_built()
    report->audit_ok = report->audit_ok && counted == expected;
}

void report_skip(struct report *report, const char *name, const char *why)
{
    struct reeve_value *skip = reeve_value_map();
    reeve_put_str(skip, "name", name);
    reeve_put_str(skip, "why", why);
    (void)reeve_value_add(report->skipped, skip); // reeve_value_built()
}

static void print_table(const struct reeve_value *measures)
{
    (void)printf("%-18s %8s %8s %8s %8s  %-10s %s\n", "measure", "p50", "p99", "max", "goal", "unit", "");
    for (size_t i = 0; i < reeve_value_len(measures); i++) {
        const struct reeve_value *row = reeve_value_at(measures, i);
        const char *met = reeve_value_get(row, "met") == NULL ? ""
                          : reeve_get_bool(row, "met", false) ? "met"
                                                              : "NOT MET";
        (void)printf("%-18s %8.2f %8.2f %8.2f %8.6g  %-10s %s\n", reeve_get_str(row, "name"),
                     reeve_value_real(reeve_value_get(row, "p50"), 0), reeve_value_real(reeve_value_get(row, "p99"), 0),
                     reeve_value_real(reeve_value_get(row, "max"), 0),
                     reeve_value_real(reeve_value_get(row, "goal"), 0), reeve_get_str(row, "unit"), met);
    }
}

static bool print_json(const struct reeve_value *report)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    bool good = reeve_value_built(report) == REEVE_OK && reeve_json_write(report, REEVE_JSON_PRETTY, &text) == REEVE_OK;
    good = good && puts(reeve_buf_str(&text)) >= 0;
    return fflush(stdout) == 0 && good;
}

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
    struct report report = {.rounds = (int)options->rounds,
                            .crowd_rounds = (int)options->crowd_rounds,
                            .measures = reeve_value_list(),
                            .skipped = reeve_value_list(),
                            .audit = reeve_value_map(),
                            .audit_ok = true};
    REEVE_VALUE_AUTO whole = reeve_value_map();
    reeve_put_str(whole, "bench", "node");
    reeve_put_int(whole, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(whole, "machine", machine_value(options->dir)); // reeve_value_built()
    (void)reeve_value_put(whole, "load_before", machine_load());          // as above
    enum reeve_err err = measure_site(options, bin_dir, &report);
    if (err == REEVE_OK) {
        run_parts(&report, options, bin_dir, whole);
    }
    reeve_put_bool(report.audit, "ok", report.audit_ok);
    (void)reeve_value_put(whole, "load_after", machine_load()); // as above
    (void)reeve_value_put(whole, "measures", report.measures);  // as above
    (void)reeve_value_put(whole, "skipped", report.skipped);    // as above
    (void)reeve_value_put(whole, "audit", report.audit);        // as above
    if (err != REEVE_OK) {
        return EXIT_FAILURE;
    }
    if (options->table) {
        print_table(reeve_value_get(whole, "measures"));
    } else if (!print_json(whole)) {
        return EXIT_FAILURE;
    }
    return report.audit_ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- options --------------------------------------------------------------------------------------------------

static const struct option long_options[] = {{"rounds", required_argument, NULL, 'r'},
                                             {"crowd-rounds", required_argument, NULL, 'c'},
                                             {"messages", required_argument, NULL, 'm'},
                                             {"dir", required_argument, NULL, 'd'},
                                             {"table", no_argument, NULL, 't'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static bool read_count(const char *text, int64_t max, int64_t *ret)
{
    int64_t number = 0;
    if (reeve_parse_i64(text, &number, NULL) != REEVE_OK || number < 1 || number > max) {
        (void)fprintf(stderr, "reeve-bench: '%s' is no number from 1 to %lld\n", text, (long long)max);
        return false;
    }
    *ret = number;
    return true;
}

static bool read_option(int option, struct options *options)
{
    int64_t messages = 0;
    switch (option) {
    case 'r':
        return read_count(optarg, SERIES_MAX - 1, &options->rounds);
    case 'c':
        return read_count(optarg, SERIES_MAX / CROWD, &options->crowd_rounds);
    case 'm':
        options->messages = optarg;
        return read_count(optarg, 1000000, &messages);
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

static bool own_folder(char ret[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", ret, PATH_MAX - 1);
    if (len <= 0) {
        return false;
    }
    ret[len] = '\0';
    char *slash = strrchr(ret, '/');
    *slash = '\0'; // the kernel gives an absolute path
    return true;
}

int main(int argc, char **argv)
{
    char bin_dir[PATH_MAX];
    const char *tmp = getenv("TMPDIR");
    struct options options = {.rounds = ROUNDS,
                              .crowd_rounds = CROWD_ROUNDS,
                              .messages = MESSAGES,
                              .dir = tmp != NULL && tmp[0] == '/' ? tmp : "/tmp"};
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (option == 'h') {
            return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (!read_option(option, &options)) {
            return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc || strcmp(argv[optind], "node") != 0) {
        (void)fputs("reeve-bench: what to measure? There is: node. Try 'reeve-bench --help'.\n", stderr);
        return EXIT_USAGE;
    }
    reeve_log_set_level(REEVE_LOG_ERROR);
    return own_folder(bin_dir) ? run(&options, bin_dir) : EXIT_FAILURE;
}
