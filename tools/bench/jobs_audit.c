// Whether every job was handled exactly once, held against what the workers wrote down.
// Must not: believe a queue's own counters.
#include "jobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct tally {
    unsigned char *times; // by number of the job
    uint64_t *ns;         // of its first handling
    uint64_t jobs;
    int64_t strangers; // handled, never sent
};

static void count(const struct job_ledger_entry *entry, void *arg)
{
    struct tally *tally = arg;
    if (entry->number >= tally->jobs) {
        tally->strangers++;
        return;
    }
    unsigned char *times = &tally->times[entry->number];
    if (*times == 0) {
        tally->ns[entry->number] = entry->ns;
    }
    *times = *times < UCHAR_MAX ? (unsigned char)(*times + 1) : *times;
}

static void tally_done(struct tally *tally)
{
    free(tally->times);
    free(tally->ns);
}

static enum reeve_err tally_read(struct jobs_run *run, struct tally *ret, struct reeve_why *why)
{
    enum reeve_err err = REEVE_OK;
    size_t jobs = (size_t)run->next;
    *ret = (struct tally){.times = calloc(jobs + 1, 1), .ns = calloc(jobs + 1, sizeof ret->ns[0]), .jobs = jobs};
    if (ret->times == NULL || ret->ns == NULL) {
        err = reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    for (size_t i = 0; err == REEVE_OK && i < run->ledgers_len; i++) {
        err = job_ledger_each(run->ledgers[i], count, ret, why);
    }
    return err;
}

// Adds to what other rounds of the system came to.
static void check(struct jobs_run *run, const char *what, int64_t counted, int64_t expected)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s_%s", run->system->name, what);
    const struct reeve_value *before = reeve_value_get(run->report->audit, name);
    report_check(run->report, name, counted + reeve_get_int(before, "counted", 0),
                 expected + reeve_get_int(before, "expected", 0));
}

enum reeve_err jobs_audit(struct jobs_run *run, struct reeve_why *why)
{
    struct tally tally = {0};
    int64_t once = 0, lost = 0, twice = 0;
    enum reeve_err err = run_end_workers(run, why);
    err = err == REEVE_OK ? tally_read(run, &tally, why) : err;
    if (err != REEVE_OK) {
        tally_done(&tally);
        return err;
    }
    for (uint64_t i = 0; i < tally.jobs; i++) {
        once += tally.times[i] == 1 ? 1 : 0;
        lost += tally.times[i] == 0 ? 1 : 0;
        twice += tally.times[i] > 1 ? 1 : 0;
    }
    check(run, "handled_once", once, run->next);
    check(run, "lost", lost, 0);
    check(run, "doubled", twice, 0);
    check(run, "strangers", tally.strangers, 0);
    tally_done(&tally);
    return REEVE_OK;
}

enum reeve_err jobs_latencies(struct jobs_run *run, const struct batch *batch, const struct figure_key *key,
                              struct reeve_why *why)
{
    struct tally tally = {0};
    enum reeve_err err = run_end_workers(run, why); // so that their ledgers are whole
    int fd = open(run->producer.path, O_RDONLY | O_CLOEXEC);
    uint64_t *sent = calloc((size_t)batch->count, sizeof sent[0]);
    size_t size = (size_t)batch->count * sizeof sent[0];
    if (err == REEVE_OK &&
        (fd < 0 || sent == NULL || pread(fd, sent, size, batch->first * (off_t)sizeof sent[0]) != (ssize_t)size)) {
        err = reeve_fail(why, REEVE_CORRUPT, "%s lacks times", run->producer.path);
    }
    (void)close(fd); // was only read
    err = err == REEVE_OK ? tally_read(run, &tally, why) : err;
    for (int64_t i = 0; err == REEVE_OK && i < batch->count; i++) {
        uint64_t handled = tally.ns[batch->first + i];
        uint64_t due = batch->began_ns + (uint64_t)i * 1000000000u / (uint64_t)batch->rate;
        struct figure_key late = *key;
        late.name = "sent_late";
        if (handled > 0 && sent[i] > 0) { // what is lost is the audit's
            figure_add(run->figures, key, (double)(int64_t)(handled - sent[i]) / 1e6);
            figure_add(run->figures, &late, (double)(int64_t)(sent[i] - due) / 1e6);
        }
    }
    tally_done(&tally);
    free(sent);
    return err;
}
