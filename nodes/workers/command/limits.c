// One row per limit: where it is configured, which rlimit it is, in which unit.
// Must not: allocate in limits_set(), which runs between fork and exec.
#include "limits.h"

#include <sys/resource.h>

static const struct {
    const char *name;
    size_t offset;
    int64_t unit; // one of the rlimit in units of ours; rounded up
    __rlimit_resource_t resource;
    bool always; // 0 is a limit and not "none"
} rows[] = {
    {"memory", offsetof(struct limits, memory_bytes), 1, RLIMIT_AS, false},
    {"cpu", offsetof(struct limits, cpu_ms), 1000, RLIMIT_CPU, false},
    {"files", offsetof(struct limits, files), 1, RLIMIT_NOFILE, false},
    {"processes", offsetof(struct limits, processes), 1, RLIMIT_NPROC, false},
    {"file_size", offsetof(struct limits, file_size_bytes), 1, RLIMIT_FSIZE, false},
    {"core", offsetof(struct limits, core_bytes), 1, RLIMIT_CORE, true},
};

bool limits_set(const struct limits *limits, const char **ret_name)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        const int64_t given = *(const int64_t *)(const void *)((const char *)limits + rows[i].offset);
        if (given == 0 && !rows[i].always) {
            continue;
        }
        const rlim_t number = (rlim_t)((given + rows[i].unit - 1) / rows[i].unit);
        struct rlimit limit = {.rlim_cur = number, .rlim_max = number};
        struct rlimit now;
        // A limit that is lower already stays: it can't be raised, and what was asked for holds.
        if (getrlimit(rows[i].resource, &now) == 0 && now.rlim_max < number) {
            limit.rlim_cur = limit.rlim_max = now.rlim_max;
        }
        if (setrlimit(rows[i].resource, &limit) != 0) {
            *ret_name = rows[i].name;
            return false;
        }
    }
    return true;
}

#define F(member_) .offset = offsetof(struct limits, member_)
static const struct reeve_field fields[] = {
    {.name = "memory",
     .type = REEVE_FIELD_SIZE,
     F(memory_bytes),
     .min = 0,
     .max = INT64_C(1) << 50,
     .preset = "0",
     .doc = "Address space of each process (RLIMIT_AS): above it allocations fail. 0 = no limit. For all processes "
            "together: `memory_limit` of the worker."},
    {.name = "cpu",
     .type = REEVE_FIELD_DURATION,
     F(cpu_ms),
     .min = 0,
     .max = INT64_C(31622400000),
     .preset = "0",
     .doc =
         "Processor time of each process, in whole seconds (RLIMIT_CPU): above it the kernel kills it. 0 = no limit."},
    {.name = "files",
     .type = REEVE_FIELD_INT,
     F(files),
     .min = 0,
     .max = 1048576,
     .preset = "0",
     .doc = "Open files of each process (RLIMIT_NOFILE). 0 = as the worker has."},
    {.name = "processes",
     .type = REEVE_FIELD_INT,
     F(processes),
     .min = 0,
     .max = 4194304,
     .preset = "0",
     .doc = "Processes and threads of the worker's user, on the whole host (RLIMIT_NPROC); not for root. 0 = as the "
            "worker "
            "has. For the worker alone: `max_pids`."},
    {.name = "file_size",
     .type = REEVE_FIELD_SIZE,
     F(file_size_bytes),
     .min = 0,
     .max = INT64_C(1) << 50,
     .preset = "0",
     .doc = "Size of each file that is written (RLIMIT_FSIZE). 0 = no limit."},
    {.name = "core",
     .type = REEVE_FIELD_SIZE,
     F(core_bytes),
     .min = 0,
     .max = INT64_C(1) << 50,
     .preset = "0",
     .doc = "Size of a core dump (RLIMIT_CORE). 0 = none is written."},
};
const struct reeve_record limits_record =
    REEVE_RECORD("limits", struct limits, fields, "Limits of each process of an attempt.");
