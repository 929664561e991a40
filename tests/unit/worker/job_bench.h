// A worker that takes jobs, without a broker: batches are handed to it as the manager would write them, reports are
// read as the manager would read them, and time stands still until told.
// Must not: know what is right; the tests say so.
#ifndef TESTS_UNIT_WORKER_JOB_BENCH_H
#define TESTS_UNIT_WORKER_JOB_BENCH_H

#include "worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BENCH_QUEUE       "swaps"
#define BENCH_REPORTS_MAX 256
#define BENCH_LEASE_MS    6000
#define BENCH_NOTICES_MAX 256

struct bench_entry {
    char id[REEVE_JOB_ID_SIZE];
    int64_t attempt;
    enum reeve_job_outcome outcome;
    char error[512];
    char text[512];
    double progress;
    int64_t delay_ms;
    int64_t data; // the number that it is; -1 = none
};
struct bench_report {
    int64_t epoch, seq, got, capacity, manager_epoch;
    bool hello;
    char hand[4096]; // "a:1 b:2", sorted as it came
    size_t hand_len;
    struct bench_entry *entries;
    size_t entries_len, bytes;
};
struct bench {
    struct reeve_worker *worker;
    int64_t now_ms;
    struct bench_report reports[BENCH_REPORTS_MAX]; // since bench_clear()
    size_t reports_len;
    enum reeve_err refuse; // what the bus says
    int64_t batch_seq, manager_epoch;
};
extern struct bench bench;
extern bool bench_own; // what is allocated now is the bench's, not the worker's

int bench_setup(void **state);
int bench_teardown(void **state);
void bench_serve(int64_t concurrency, int64_t prefetch);
void bench_ready(uint64_t epoch); // a session of that epoch is ready
void bench_turn(void);
void bench_pass(int64_t ms); // time passes; whatever is due is done, a ms at a time where it matters
void bench_clear(void);
const struct bench_report *bench_last(void); // fails when there is none
size_t bench_entries(void);                  // of all reports
const struct bench_entry *bench_entry(size_t index);
const struct bench_entry *bench_find(const char *id, enum reeve_job_outcome outcome); // the last one; NULL = none

// A batch: what is not said is as it would be from a manager that goes on.
struct bench_batch {
    int64_t worker_epoch, manager_epoch, seq, ack, lease_ms;
    bool hello;
    const char *queue;
    struct reeve_job_item jobs[8]; // ends with an empty id
    struct reeve_job_notice cancels[8], abandons[BENCH_NOTICES_MAX];
};
void bench_batch(const struct bench_batch *batch);
#define BATCH(...) bench_batch(&(struct bench_batch){__VA_ARGS__})
struct reeve_job_item bench_item(const char *id, int64_t attempt); // of type "manual"
void bench_ack(void);                                              // of the last report

// Jobs of type "manual" stay until the test ends them; "at_once" are done with their payload, "fails" returns an error.
struct reeve_job *bench_job(const char *id); // asserts that it is in hand
extern size_t bench_ran;
extern char bench_cancels[1024]; // "a:lease b:cancelled"
extern bool bench_cancel_ends;   // the handler ends what it is told to end

#endif
