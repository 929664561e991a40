// `reeve-bench jobs`: options, the rounds, the report.
// Must not: measure; see measure_jobs.c.
#include "child.h"
#include "jobs.h"
#include "machine.h"
#include "subject.h"

#include <getopt.h>
#include <reeve/file.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: reeve-bench jobs [options]\n"
    "\n"
    "Measures queues of jobs: adding and processing together, with one worker process and with four; adding alone; the "
    "time from\n"
    "enqueue to handler at steady rates (open loop); processor time and bytes on disk for each job. Holds what the "
    "workers handled\n"
    "against what was enqueued: each job exactly once. JSON on standard output. Leave the machine alone meanwhile.\n"
    "\n"
    "      --peers LIST        beside Reeve: bullmq (on Redis, appendfsync everysec and always; needs redis-server, "
    "node, npm),\n"
    "                          beanstalkd (-f0). They take turns with it (preset: none)\n"
    "      --only SYSTEM       reeve, bullmq, bullmq-always or beanstalkd alone\n"
    "      --rounds N          (preset: 5)\n"
    "      --payload LIST      sizes (preset: 100,4KiB)\n"
    "      --workers LIST      worker processes (preset: 1,4)\n"
    "      --concurrency N     jobs at a time in each (preset: 100)\n"
    "      --prefetch N        jobs that wait in a worker of Reeve (preset: as many as run)\n"
    "      --jobs N            of one run (preset: by system, so that it takes seconds)\n"
    "      --rates LIST        jobs a second, for the time from enqueue to handler (preset: 1,100,1000)\n"
    "      --latency TIME      how long each rate, in the first round (preset: 20s)\n"
    "      --plant FAULT       lost, doubled or stranger: a fault that the audit has to find\n"
    "      --quick             small and short: whether it runs, not how fast\n"
    "      --dir DIR           where the folders are made; its file system is measured too (preset: $TMPDIR, else "
    "/tmp)\n"
    "      --json              JSON (preset)\n"
    "      --table             a table instead\n"
    "  -h, --help              this text\n"
    "\n"
    "Exit codes: 0 measured, 1 failed or the audit does not hold, 2 usage.\n";

static const struct jobs_system *const systems[] = {&jobs_reeve, &jobs_bullmq_everysec, &jobs_bullmq_always,
                                                    &jobs_beanstalkd};
#define SYSTEMS REEVE_ARRAY_LEN(systems)

// ---- BullMQ's own files: only when it is asked for -----------------------------------------------------------

static enum reeve_err copy(const char *bin_dir, const char *name, const char *to, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(1u << 20);
    (void)snprintf(path, sizeof path, "%.4000s/../share/reeve/bench/bullmq/%s", bin_dir, name);
    enum reeve_err err = reeve_file_read(path, 1u << 20, &text, why);
    (void)snprintf(path, sizeof path, "%.4000s/%s", to, name);
    return err == REEVE_OK ? reeve_file_write_atomic(path, text.data, text.len, 0600, why) : err;
}

static enum reeve_err install_bullmq(const char *bin_dir, const char *parent, char dir[PATH_MAX], struct reeve_why *why)
{
    static const char *const files[] = {"package.json", "package-lock.json", "bullmq.mjs"};
    (void)snprintf(dir, PATH_MAX, "%.3000s/reeve-bench-XXXXXX", parent);
    if (mkdtemp(dir) == NULL) {
        dir[0] = '\0';
        return reeve_fail_errno(why, "a folder below %s", parent);
    }
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(files); i++) {
        err = copy(bin_dir, files[i], dir, why);
    }
    const char *const argv[] = {"/usr/bin/npm", "install",   "--prefix", dir, "--ignore-scripts",
                                "--no-audit",   "--no-fund", "--silent", NULL};
    return err == REEVE_OK ? child_run(argv, NULL, -1, why) : err;
}

// ---- rounds ---------------------------------------------------------------------------------------------------

struct jobs_bench {
    const struct jobs_options *options;
    const char *bin_dir;
    char npm_dir[PATH_MAX];
    struct figures figures;
    struct report report;
    bool skipped[SYSTEMS];
};

static bool wanted(const struct jobs_options *options, const struct jobs_system *system)
{
    if (options->only != NULL) {
        return strcmp(options->only, system->name) == 0;
    }
    return strcmp(system->peer, "bullmq") == 0       ? options->bullmq
           : strcmp(system->peer, "beanstalkd") == 0 ? options->beanstalkd
                                                     : options->reeve;
}

static enum reeve_err measure_system(struct jobs_bench *bench, const struct jobs_system *system, bool latency,
                                     struct reeve_why *why)
{
    struct jobs_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    *run = (struct jobs_run){.options = bench->options,
                             .system = system,
                             .bin_dir = bench->bin_dir,
                             .npm_dir = bench->npm_dir,
                             .figures = &bench->figures,
                             .report = &bench->report};
    enum reeve_err err = run_start(run, why);
    err = err == REEVE_OK ? measure_jobs(run, latency, why) : err;
    run_stop(run);
    jobs_watch_signals(); // as its loop ends
    free(run);
    return err;
}

// What can't take part is told and left out; Reeve itself must.
static void prepare(struct jobs_bench *bench)
{
    struct reeve_why why = {0};
    bool npm = false;
    for (size_t i = 0; i < SYSTEMS; i++) {
        npm = npm || (wanted(bench->options, systems[i]) && strcmp(systems[i]->peer, "bullmq") == 0);
    }
    if (npm && install_bullmq(bench->bin_dir, bench->options->dir, bench->npm_dir, &why) != REEVE_OK) {
        for (size_t i = 0; i < SYSTEMS; i++) {
            bench->skipped[i] = strcmp(systems[i]->peer, "bullmq") == 0;
        }
        report_skip(&bench->report, "bullmq", why.text);
    }
}

static enum reeve_err rounds(struct jobs_bench *bench, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    prepare(bench);
    for (int64_t round = 0; err == REEVE_OK && round < bench->options->rounds; round++) {
        for (size_t i = 0; err == REEVE_OK && i < SYSTEMS; i++) {
            size_t at = (i + (size_t)round) % SYSTEMS; // each round another one first
            if (!wanted(bench->options, systems[at]) || bench->skipped[at]) {
                continue;
            }
            if (isatty(STDERR_FILENO)) {
                (void)fprintf(stderr, "round %lld: %s ...\n", (long long)round + 1, systems[at]->name);
            }
            err = measure_system(bench, systems[at], round == 0, why);
            if (err != REEVE_OK && err != REEVE_CANCELLED && systems[at] != &jobs_reeve) {
                bench->skipped[at] = true;
                report_skip(&bench->report, systems[at]->name, why->text);
                err = REEVE_OK;
            }
        }
    }
    return err;
}

static struct reeve_value *systems_value(const struct jobs_options *options)
{
    struct reeve_value *map = reeve_value_map();
    for (size_t i = 0; i < SYSTEMS; i++) {
        if (wanted(options, systems[i])) {
            reeve_put_str(map, systems[i]->name, systems[i]->what);
        }
    }
    return map;
}

static int run(const struct jobs_options *options, const char *bin_dir)
{
    static struct jobs_bench bench;
    struct reeve_why why = {0};
    bench = (struct jobs_bench){.options = options, .bin_dir = bin_dir};
    REEVE_VALUE_AUTO whole = report_begin(&bench.report, "jobs", options->dir);
    (void)reeve_value_put(whole, "systems", systems_value(options)); // reeve_value_built()
    reeve_put_int(whole, "rounds", options->rounds);
    reeve_put_int(whole, "concurrency", options->concurrency);
    jobs_watch_signals();
    enum reeve_err err = rounds(&bench, &why);
    if (err != REEVE_OK) { // what was measured until then is told all the same
        (void)fprintf(stderr, "reeve-bench: %s\n", why.text);
        reeve_put_str(whole, "error", why.text);
    }
    if (bench.npm_dir[0] != '\0') {
        (void)reeve_dir_remove(bench.npm_dir, NULL); // nothing more can be done about it
    }
    figures_tell(&bench.figures, &bench.report);
    (void)reeve_value_put(whole, "load_after", machine_load()); // reeve_value_built()
    report_end(&bench.report, whole);
    bool told = options->table ? figures_table(&bench.figures) : report_json(whole);
    figures_done(&bench.figures);
    if (!bench.report.audit_ok) {
        (void)fputs("reeve-bench: the audit does not hold\n", stderr);
    }
    return told && err == REEVE_OK && bench.report.audit_ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---- options --------------------------------------------------------------------------------------------------

static const struct option long_options[] = {{"peers", required_argument, NULL, 'P'},
                                             {"only", required_argument, NULL, 'o'},
                                             {"rounds", required_argument, NULL, 'r'},
                                             {"payload", required_argument, NULL, 'p'},
                                             {"workers", required_argument, NULL, 'w'},
                                             {"concurrency", required_argument, NULL, 'c'},
                                             {"prefetch", required_argument, NULL, 'f'},
                                             {"jobs", required_argument, NULL, 'n'},
                                             {"rates", required_argument, NULL, 'R'},
                                             {"latency", required_argument, NULL, 'l'},
                                             {"plant", required_argument, NULL, 'x'},
                                             {"quick", no_argument, NULL, 'q'},
                                             {"dir", required_argument, NULL, 'd'},
                                             {"json", no_argument, NULL, 'j'},
                                             {"table", no_argument, NULL, 't'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static bool read_list(char *text, bool sizes, int64_t max, int64_t ret[JOBS_LIST_MAX])
{
    size_t len = 0;
    memset(ret, 0, JOBS_LIST_MAX * sizeof ret[0]);
    for (char *word = text; word != NULL && len < JOBS_LIST_MAX;) {
        char *comma = strchr(word, ',');
        if (comma != NULL) {
            *comma = '\0';
        }
        if (sizes ? reeve_size_parse(word, &ret[len], NULL) != REEVE_OK || ret[len] < 16 || ret[len] > max
                  : !read_count(word, 1, max, &ret[len])) {
            (void)fprintf(stderr, "reeve-bench: '%s' can't be used\n", word);
            return false;
        }
        len++;
        word = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

static bool read_peers(const char *text, struct jobs_options *options)
{
    options->bullmq = strstr(text, "bullmq") != NULL;
    options->beanstalkd = strstr(text, "beanstalkd") != NULL;
    static const char *const lists[] = {"bullmq", "beanstalkd", "bullmq,beanstalkd", "beanstalkd,bullmq"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lists); i++) {
        if (strcmp(lists[i], text) == 0) {
            return true;
        }
    }
    (void)fprintf(stderr, "reeve-bench: '%s' are no peers; there are bullmq and beanstalkd\n", text);
    return false;
}

static bool read_word(const char *text, const char *const *words, const char **ret)
{
    for (*ret = text; *words != NULL; words++) {
        if (strcmp(*words, text) == 0) {
            return true;
        }
    }
    (void)fprintf(stderr, "reeve-bench: '%s' is not known; try --help\n", text);
    return false;
}

static void be_quick(struct jobs_options *options)
{
    options->rounds = 1;
    options->jobs = 2000;
    options->latency_ms = 1000;
    memcpy(options->payloads, (int64_t[JOBS_LIST_MAX]){100}, sizeof options->payloads);
    memcpy(options->workers, (int64_t[JOBS_LIST_MAX]){1, 2}, sizeof options->workers);
    memcpy(options->rates, (int64_t[JOBS_LIST_MAX]){100}, sizeof options->rates);
}

static bool read_option(int option, struct jobs_options *options)
{
    static const char *const faults[] = {"lost", "doubled", "stranger", NULL};
    static const char *const names[] = {"reeve", "bullmq", "bullmq-always", "beanstalkd", NULL};
    switch (option) {
    case 'P':
        return read_peers(optarg, options);
    case 'o':
        return read_word(optarg, names, &options->only);
    case 'r':
        return read_count(optarg, 1, 100, &options->rounds);
    case 'p':
        return read_list(optarg, true, 8192, options->payloads);
    case 'w':
        return read_list(optarg, false, JOBS_WORKERS_MAX, options->workers);
    case 'c':
        return read_count(optarg, 1, 250, &options->concurrency);
    case 'f':
        return read_count(optarg, 1, 1000, &options->prefetch);
    case 'n':
        return read_count(optarg, 10, 2000000, &options->jobs);
    case 'R':
        return read_list(optarg, false, 100000, options->rates);
    case 'l':
        return read_time(optarg, 100, 600000, &options->latency_ms);
    case 'x':
        return read_word(optarg, faults, &options->plant);
    case 'q':
        be_quick(options);
        return true;
    case 'd':
        options->dir = optarg;
        return true;
    case 'j':
    case 't':
        options->table = option == 't';
        return true;
    default:
        (void)fputs("Try 'reeve-bench jobs --help'.\n", stderr);
        return false;
    }
}

int bench_jobs(int argc, char **argv, const char *bin_dir)
{
    struct jobs_options options = {.rounds = 5,
                                   .payloads = {100, 4096},
                                   .workers = {1, 4},
                                   .rates = {1, 100, 1000},
                                   .latency_ms = 20000,
                                   .concurrency = 100,
                                   .reeve = true,
                                   .dir = preset_dir()};
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
