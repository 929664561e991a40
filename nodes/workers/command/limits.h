// Limits of one attempt's processes, set in the child before it becomes the command (setrlimit).
// Must not: allocate, or need anything but libc in limits_set().
#ifndef REEVE_COMMAND_LIMITS_H
#define REEVE_COMMAND_LIMITS_H

#include <reeve/record.h>

struct limits { // 0 = as the worker has, but core: 0 = none
    int64_t memory_bytes, cpu_ms, file_size_bytes, core_bytes;
    int64_t files, processes;
};
extern const struct reeve_record limits_record;

// Sets them for the calling process; false: errno and *ret_name tell which failed.
bool limits_set(const struct limits *limits, const char **ret_name);

#endif
