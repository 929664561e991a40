// `reeve-bench jobs`: systems of queues side by side, each with the same tasks. A *system* is what holds the queue (a
// broker and a manager, Redis, beanstalkd), with a producer and workers that are processes of their own, at least one
// of each.
#ifndef REEVE_BENCH_JOBS_H
#define REEVE_BENCH_JOBS_H

#include "bench.h"
#include "job_ledger.h"
#include "measure.h"

#define JOBS_WORKERS_MAX 8
#define JOBS_LIST_MAX    4 // numbers of one option
#define JOBS_QUEUE       "bench"

struct jobs_system;
struct batch;

struct jobs_options {
    int64_t rounds;
    int64_t jobs;                                                                  // of one run; 0 = the system's
    int64_t payloads[JOBS_LIST_MAX], workers[JOBS_LIST_MAX], rates[JOBS_LIST_MAX]; // end with 0
    int64_t latency_ms;                                                            // of each rate
    int64_t concurrency;                                                           // of a worker
    int64_t prefetch; // of Reeve's, beyond that; 0 = the SDK's
    bool reeve, bullmq, beanstalkd;
    const char *only;  // one system by its name; NULL = all that are asked for
    const char *plant; // a fault that the audit has to find; NULL
    const char *dir;
    bool table;
};

// ---- jobs_figures.c: what came out, by measure and circumstances ---------------------------------------------------

struct figure_key {
    const char *name, *system, *unit;     // static texts
    int64_t workers, payload_bytes, rate; // 0 = does not matter
};
struct figure {
    struct figure_key key;
    double *samples;
    size_t len, cap;
    double p50; // once told
};
struct figures {
    struct figure *list;
    size_t len, cap;
};
void figure_add(struct figures *figures, const struct figure_key *key, double sample);
void figures_tell(struct figures *figures,
                  struct report *report); // sorts and adds them to the report, with ratios to `reeve`
bool figures_table(struct figures *figures);
void figures_done(struct figures *figures);

// ---- one system, while it runs ---------------------------------------------------------------------------------

struct words { // an argv
    const char *argv[24];
    char text[24][SITE_PATH_SIZE];
    size_t len;
};
void words_add(struct words *words, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct party {
    pid_t pid;
    int in_fd, out_fd;         // of the producer; -1
    char path[SITE_PATH_SIZE]; // of its ledger or sent times
    int ledger_fd;             // -1
};

struct jobs_run {
    const struct jobs_options *options;
    const struct jobs_system *system;
    const char *bin_dir;
    const char *npm_dir; // where BullMQ is installed; NULL
    struct figures *figures;
    struct report *report;
    char dir[PATH_MAX];         // its own; also the data of peers
    char state[SITE_PATH_SIZE]; // what counts as bytes on disk
    int port;
    struct {
        const char *name;
        pid_t pid;
    } servers[2]; // name: of the figures of processor time
    size_t servers_len;
    struct bench *bench; // Reeve's site; NULL
    struct party producer;
    struct party workers[JOBS_WORKERS_MAX];
    size_t workers_len;
    int64_t next;                     // number of the next job
    uint64_t gone;                    // of them completed at workers that have ended
    int64_t forgotten;                // of them in a store that is no more
    char ledgers[64][SITE_PATH_SIZE]; // of all workers that ever ran, for the audit
    size_t ledgers_len;
};

struct jobs_system {
    const char *name, *peer; // "bullmq-always", "bullmq"
    const char *what;        // for the report
    int64_t jobs;            // of one run, so that it takes seconds
    bool preallocates;       // its files are larger than what stands in them
    enum reeve_err (*start)(struct jobs_run *run, struct reeve_why *why);
    void (*stop)(struct jobs_run *run); // in any case; the folder goes after it
    void (*producer)(struct jobs_run *run, struct words *words);
    void (*worker)(struct jobs_run *run, struct words *words, int number);
    // How many the queue says are completed since its start, and when it was seen to; NULL = the workers' ledgers say.
    enum reeve_err (*completed)(struct jobs_run *run, int64_t *ret, uint64_t *ret_ns, struct reeve_why *why);
    void (*turn)(struct jobs_run *run); // while waiting; NULL
    // Adds a batch by the system's own program for people; NULL = there is none that is measured.
    enum reeve_err (*import)(struct jobs_run *run, struct batch *batch, struct reeve_why *why);
    // Ends in order what owns the bytes on disk, so that they are final, and starts it again with them.
    void (*halt)(struct jobs_run *run);
    enum reeve_err (*resume)(struct jobs_run *run, struct reeve_why *why);
};
extern const struct jobs_system jobs_reeve, jobs_bullmq_everysec, jobs_bullmq_always, jobs_beanstalkd;

// ---- jobs_run.c: its processes ---------------------------------------------------------------------------------

enum reeve_err run_start(struct jobs_run *run, struct reeve_why *why); // folder, servers, producer
enum reeve_err run_start_producer(struct jobs_run *run, struct reeve_why *why);
void run_end_producer(struct jobs_run *run);
// All jobs there ever were are completed: goes on with an empty store, without producer and workers.
enum reeve_err run_forget(struct jobs_run *run, struct reeve_why *why);
void run_stop(struct jobs_run *run);
enum reeve_err run_workers(struct jobs_run *run, int64_t count, struct reeve_why *why); // waits until they are ready
enum reeve_err run_end_workers(struct jobs_run *run, struct reeve_why *why);
enum reeve_err run_server(struct jobs_run *run, const char *name, const struct words *words, struct reeve_why *why);
enum reeve_err run_listening(struct jobs_run *run, struct reeve_why *why); // waits until somebody does at run->port
int run_free_port(void);

struct batch {                                 // jobs by one order
    int64_t first, count, payload_bytes, rate; // rate 0 = bulk
    uint64_t began_ns, acked_ns, completed_ns;
};
enum reeve_err run_order(struct jobs_run *run, struct batch *batch,
                         struct reeve_why *why); // takes numbers, tells the producer
enum reeve_err run_await_acked(struct jobs_run *run, struct batch *batch, struct reeve_why *why);
enum reeve_err run_await_completed(struct jobs_run *run, struct batch *batch,
                                   struct reeve_why *why); // all jobs there ever were
int64_t run_disk_bytes(const struct jobs_run *run);
int64_t run_written_bytes(const struct jobs_run *run); // by the servers, to the disk

extern volatile bool jobs_interrupted;
void jobs_watch_signals(void);

// ---- jobs_audit.c ----------------------------------------------------------------------------------------------

// Each job of the run was handled exactly once: into the report. Ends the workers first, so that their ledgers are
// whole.
enum reeve_err jobs_audit(struct jobs_run *run, struct reeve_why *why);
// The latencies of a batch, sent -> handler, into the figures.
enum reeve_err jobs_latencies(struct jobs_run *run, const struct batch *batch, const struct figure_key *key,
                              struct reeve_why *why);

// ---- measure_jobs.c --------------------------------------------------------------------------------------------

enum reeve_err measure_jobs(struct jobs_run *run, bool latency, struct reeve_why *why); // all of it, once

#endif
