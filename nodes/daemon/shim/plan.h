// The small files of a run: `plan` (written by the daemon), `start` and `exit` (written by the shim). One format for
// all: `key=value` strings, each ended by NUL, so that values may hold anything else. Unknown keys are skipped: either
// side may be the newer one. `tr '\0' '\n' < plan` shows one to a person. Must not: allocate, or need anything but
// libc; the shim is linked with this.
#ifndef REEVE_PLAN_H
#define REEVE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "shim_wire.h"

#define PLAN_SIZE_MAX    (256 * 1024) // argv and environment together; the kernel's own limit is higher
#define PLAN_ARGS_MAX    1024
#define PLAN_ENV_MAX     1024
#define PLAN_ENV_OWN_MAX 4 // what the shim adds
#define PLAN_GROUPS_MAX  256
#define PLAN_CGROUPS_MAX 8
#define PLAN_RECORD_MAX  1024 // `start` and `exit`
#define PLAN_TOKEN_SIZE  40
#define PLAN_BOOT_SIZE   40

// The environment variable by which every descendant of a run is known, as long as it keeps its environment.
#define PLAN_TOKEN_ENV "REEVE_RUN_TOKEN"

enum plan_ready { PLAN_READY_IMMEDIATE, PLAN_READY_NOTIFY, PLAN_READY_EXTERNAL };

struct plan_list {
    const char **items; // NULL-terminated
    uint32_t len;
};

// Strings point into the buffer it was read from; NULL or 0 where the plan says nothing.
struct plan {
    const char *worker;
    const char *boot_id;
    const char *token; // random, of this run
    const char *cwd;
    const char *log_dir;
    const char *cgroup_oom;
    const char *cgroup_kill;
    int64_t run;
    int64_t uid; // -1 = no change
    int64_t gid;
    int64_t nofile;
    int64_t stop_signal;
    int64_t stop_grace_ms;
    int64_t watchdog_ms;
    int64_t lease_until_ms; // CLOCK_BOOTTIME; 0 = none
    int64_t lease_grace_ms;
    int64_t ready; // enum plan_ready
    int64_t log_bytes_max;
    int64_t log_files_max;
    struct plan_list argv;
    struct plan_list env;
    struct plan_list groups; // supplementary, as numbers: a static program can't ask NSS
    struct plan_list cgroup_procs;
    const char *argv_items[PLAN_ARGS_MAX + 1];
    const char *env_items[PLAN_ENV_MAX + PLAN_ENV_OWN_MAX + 1];
    const char *groups_items[PLAN_GROUPS_MAX + 1];
    const char *cgroup_items[PLAN_CGROUPS_MAX + 1];
};

// Reads a plan of len bytes in place (`=` after each key becomes NUL). False, with the reason in *ret_error, when it is
// damaged or lacks what a run can't do without. The plan is complete only if its last entry is `end=1`.
bool plan_read(char *data, size_t len, struct plan *ret, const char **ret_error);

// What `start` says.
struct plan_start {
    uint64_t start_time;
    int64_t pid;
    char boot_id[PLAN_BOOT_SIZE];
};
// Returns the length of the text in `buf`.
size_t plan_start_write(const struct plan_start *start, char buf[PLAN_RECORD_MAX]);
bool plan_start_read(char *data, size_t len, struct plan_start *ret);
size_t plan_exit_write(const struct shim_outcome *outcome, char buf[PLAN_RECORD_MAX]);
bool plan_exit_read(char *data, size_t len, struct shim_outcome *ret);

#endif
