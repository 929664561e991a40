// What the tests of runs share: a state folder, a loop, what the handlers heard, and waiting with a deadline.
#ifndef RUN_FIXTURE_H
#define RUN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define FIXTURE_DEADLINE_MS 15000

struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    bool timed_out;
    char dir[PATH_MAX - 256]; // state
    char log_dir[PATH_MAX];
    struct run_host host;
    struct run *run; // NULL once ended
    int started;
    int ready;
    int statuses;
    int grew;
    int log_failures;
    int log_recoveries;
    int ended;
    pid_t pid;
    uint64_t start_time;
    char status[256];
    char log_error[256];
    struct run_outcome outcome;
};

int fixture_setup(void **state);
int fixture_teardown(void **state); // kills what a failed test left

// A plan for `run_child mode arg` with sane bounds. argv lives in the fixture's static storage.
struct run_plan fixture_plan(struct fixture *f, const char *mode, const char *arg);
void fixture_start(struct fixture *f, const struct run_plan *plan);

// The whole log file (`current`, `.1`), or NULL. The caller frees it.
char *fixture_log(struct fixture *f, const char *file);
bool fixture_is_alive(pid_t pid); // zombies are not
void fixture_write(const char *path, const void *data, size_t len);

void fixture_arm(struct fixture *f);
void fixture_disarm(struct fixture *f);
// Runs the loop until `cond` holds; fails the test at the deadline.
#define WAIT_FOR(f, cond)                                                                                              \
    do {                                                                                                               \
        fixture_arm(f);                                                                                                \
        while (!(cond) && !(f)->timed_out) {                                                                           \
            (void)uv_run(&(f)->loop, UV_RUN_ONCE);                                                                     \
        }                                                                                                              \
        fixture_disarm(f);                                                                                             \
        if (!(cond)) {                                                                                                 \
            fail_msg("deadline: %s", #cond);                                                                           \
        }                                                                                                              \
    } while (0)

#endif
