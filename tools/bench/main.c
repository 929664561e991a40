// reeve-bench: what `reeve bench` runs. Which subject, and what reading their options shares.
// Must not: measure, or know what is measured.
#include "subject.h"

#include <getopt.h>
#include <limits.h>
#include <reeve/log.h>
#include <reeve/str.h>
#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: reeve-bench SUBJECT [options]\n"
    "\n"
    "Measures a site of its own on this machine: starts it in a folder of its own and removes it.\n"
    "\n"
    "  node     a broker, a node daemon, its workers\n"
    "  fleet    a broker, a manager, very many simulated nodes and workers\n"
    "  jobs     a queue of jobs, alone or beside BullMQ and beanstalkd\n"
    "\n"
    "'reeve-bench SUBJECT --help' tells the options.\n";

static char node_title[] = "reeve-bench node", fleet_title[] = "reeve-bench fleet", jobs_title[] = "reeve-bench jobs";
static const struct subject {
    const char *name;
    char *title; // what getopt_long() and usage errors call it
    int (*run)(int argc, char **argv, const char *bin_dir);
} subjects[] = {
    {"node", node_title, bench_node}, {"fleet", fleet_title, bench_fleet}, {"jobs", jobs_title, bench_jobs}};

bool read_count(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    int64_t number = 0;
    if (reeve_parse_i64(text, &number, NULL) != REEVE_OK || number < min || number > max) {
        (void)fprintf(stderr, "reeve-bench: '%s' is no number from %lld to %lld\n", text, (long long)min,
                      (long long)max);
        return false;
    }
    *ret = number;
    return true;
}

bool read_time(const char *text, int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
    int64_t ms = 0;
    if (reeve_duration_parse(text, &ms, NULL) != REEVE_OK || ms < min_ms || ms > max_ms) {
        (void)fprintf(stderr, "reeve-bench: '%s' is no duration from %lld ms to %lld s\n", text, (long long)min_ms,
                      (long long)max_ms / 1000);
        return false;
    }
    *ret_ms = ms;
    return true;
}

bool no_more(int argc, char **argv)
{
    if (optind < argc) {
        (void)fprintf(stderr, "reeve-bench: '%s' is not expected; try '%s --help'\n", argv[optind], argv[0]);
    }
    return optind >= argc;
}

const char *preset_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    return tmp != NULL && tmp[0] == '/' ? tmp : "/tmp";
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
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    reeve_log_set_level(REEVE_LOG_ERROR);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        if (strcmp(subjects[i].name, name) == 0) {
            argv[1] = subjects[i].title;
            return own_folder(bin_dir) ? subjects[i].run(argc - 1, argv + 1, bin_dir) : EXIT_FAILURE;
        }
    }
    (void)fputs("reeve-bench: what to measure? There are: node, fleet, jobs. Try 'reeve-bench --help'.\n", stderr);
    return EXIT_USAGE;
}
