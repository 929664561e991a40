// The machine that a figure belongs to, and what /proc says of processes.
#ifndef REEVE_BENCH_MACHINE_H
#define REEVE_BENCH_MACHINE_H

#include <reeve/value.h>
#include <sys/types.h>

// {cpu cores memory_bytes kernel system mosquitto reeve compiler optimised state_fs}; state_dir: whose file system
// counts.
struct reeve_value *machine_value(const char *state_dir);
struct reeve_value *machine_load(void); // LIST of the three load averages

// In kB; -1 when there is no such process.
int64_t machine_rss_kb(pid_t pid);
int64_t machine_rss_peak_kb(pid_t pid); // since its start
int64_t machine_pss_kb(pid_t pid);
int64_t machine_cpu_ns(pid_t pid); // user and system, all threads, in steps of a tick (10 ms); 0 = no such process
pid_t machine_parent(pid_t pid);   // 0 when there is no such process
// Start of the process in ticks since boot; 0 when there is none, or only a zombie. (pid, start) names a process.
uint64_t machine_start_time(pid_t pid);

#endif
