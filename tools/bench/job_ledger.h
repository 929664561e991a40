// What the parties of `reeve-bench jobs` write down for the audit: a producer when it sent which job, a worker which
// job it handled when. One file each, CLOCK_MONOTONIC in ns, little endian. Node's script (tests/bench/bullmq) writes
// the same. Must not: decide what is right; see jobs_audit.c.
//
//   worker's ledger   struct job_ledger_head, then one struct job_ledger_entry for each call of the handler
//   producer's sent   uint64_t[number of the job]: when it was handed over; 0 = never
#ifndef REEVE_BENCH_JOB_LEDGER_H
#define REEVE_BENCH_JOB_LEDGER_H

#include <assert.h>
#include <reeve/err.h>
#include <stdint.h>
#include <time.h>

#define JOB_NUMBER_MAX 50000000u // in one run; bounds what a wrong number makes us allocate

struct job_ledger_head {
    uint64_t ready;        // 1: it takes jobs
    uint64_t handled;      // entries that are written
    uint64_t completed;    // of them the queue has said that they are over
    uint64_t completed_ns; // the last of them
};
struct job_ledger_entry {
    uint64_t number;
    uint64_t ns; // the handler was called
};
static_assert(sizeof(struct job_ledger_head) == 32 && sizeof(struct job_ledger_entry) == 16, "as in bullmq.mjs");

static inline uint64_t job_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); // can't fail with this clock
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// ---- writing: buffered, as a handler must not wait for a file -----------------------------------------------

struct job_ledger {
    int fd;
    struct job_ledger_head head, written;
    struct job_ledger_entry entries[4096]; // those from head.handled - entries_len on
    size_t entries_len;
    char plant; // first letter of a fault that is planted; 0
};
enum reeve_err job_ledger_open(struct job_ledger *ledger, const char *path, struct reeve_why *why);
void job_ledger_add(struct job_ledger *ledger, uint64_t number, uint64_t ns);
// From now on job JOB_PLANTED is written as if it were "lost", "doubled" or a "stranger" (NULL: as it is): the audit
// has to find it.
#define JOB_PLANTED 7
void job_ledger_plant(struct job_ledger *ledger, const char *fault);
void job_ledger_flush(struct job_ledger *ledger); // to be called every some ms, and at the end; aborts on a full disk

// ---- reading ------------------------------------------------------------------------------------------------

bool job_ledger_look(int fd, struct job_ledger_head *ret); // false: nothing is there yet
// Calls `each` for every entry there is. CORRUPT when the head tells of more.
enum reeve_err job_ledger_each(const char *path, void (*each)(const struct job_ledger_entry *entry, void *arg),
                               void *arg, struct reeve_why *why);

#endif
