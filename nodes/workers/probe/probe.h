// reeve-worker-probe: commands that do on purpose what workers do by accident, for tests and diagnosis.
// main.c has the tables and the simple commands; load.c uses memory and time, work.c says what it is told to say about
// its work, fault.c breaks things, account.c plays the worker of an account, jobs.c takes jobs of queues.
// Must not: be left running where somebody could crash what matters; it is a probe.
#ifndef PROBE_H
#define PROBE_H

#include <reeve/worker.h>

struct probe_queue {
    char *queue;
    int64_t concurrency, prefetch; // as in reeve_worker_queue
};
struct probe_config {
    int64_t tick_ms; // 0 = silent
    char *greeting;
    struct reeve_value *account; // settings of the account it runs for; NULL = none
    struct reeve_records queues; // struct probe_queue: those it takes jobs of
    char *jobs_file;             // what its jobs did, a line each; NULL = nowhere
};

void probe_account(const struct reeve_value *account); // says what it found; NULL = nothing

enum reeve_err probe_sleep(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_allocate(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_spin(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
int64_t probe_loads(void);  // sleeps and spins in hand
void probe_load_stop(void); // ends sleeps and spins, frees what was allocated

enum reeve_err probe_busy(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_unsafe(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_check(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_count(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_progress(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
void probe_jobs_changed(struct reeve_worker *worker); // says how many are in hand, and `drained` when that was the last
void probe_drain(struct reeve_worker *worker);        // drained once the last sleep, spin and `busy` is over

enum reeve_err probe_crash(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_hang(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);
enum reeve_err probe_exit(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why);

extern const struct reeve_worker_job_type probe_job_types[]; // ends with type NULL
enum reeve_err probe_jobs_start(struct reeve_worker *worker, const struct probe_config *config, struct reeve_why *why);
void probe_jobs_stop(void); // ends those that are left

#endif
