// What can be measured: `reeve-bench SUBJECT [options]`, each with options, steps and report of its own.
#ifndef REEVE_BENCH_SUBJECT_H
#define REEVE_BENCH_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_USAGE = 2 };

// argv[0] is "reeve-bench SUBJECT". Return the exit code. `bin_dir` = folder of this program and of those it runs.
int bench_node(int argc, char **argv, const char *bin_dir);
int bench_fleet(int argc, char **argv, const char *bin_dir);
int bench_jobs(int argc, char **argv, const char *bin_dir);

// ---- main.c, for reading options ------------------------------------------------------------------------------

bool read_count(const char *text, int64_t min, int64_t max, int64_t *ret);         // complains
bool read_time(const char *text, int64_t min_ms, int64_t max_ms, int64_t *ret_ms); // "20s"; complains
bool no_more(int argc, char **argv);                                               // after getopt_long(); complains
const char *preset_dir(void);                                                      // $TMPDIR, else /tmp

#endif
