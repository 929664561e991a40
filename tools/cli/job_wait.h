// Waiting until jobs have ended: by the queue's events as they come, and by asking for each, since an event may be
// missed or the queue may publish none. Must not: ask faster than JOB_WAIT_ROUND_MS allows, or for more than a bounded
// number at a time.
#ifndef REEVE_CLI_JOB_WAIT_H
#define REEVE_CLI_JOB_WAIT_H

#include "session.h"

#include <reeve/job.h>

#define JOB_WAIT_MAX       10000         // jobs
#define JOB_WAIT_PRESET_MS 300000        // without --timeout
#define JOB_WAIT_ROUND_MS  INT64_C(1000) // between two rounds of questions; the first ones come sooner
#define JOB_WAIT_ROUND_MAX 256           // jobs asked for in a round
#define JOB_WAIT_OPEN_MAX  32            // questions on their way

struct job_wait;

// Listens to the queue's events from now on, so that nothing is missed between adding a job and waiting for it. Before
// or after session_open(). `show` is called for each job that has ended, with what `show` answers; `record` NULL: it is
// forgotten already.
enum reeve_err job_wait_new(struct session *session, const char *queue,
                            void (*show)(const char *id, const struct reeve_value *record, void *arg), void *arg,
                            struct job_wait **ret, struct reeve_why *why);
void job_wait_free(struct job_wait *wait);                          // before session_done(); NULL allowed
enum reeve_err job_wait_add(struct job_wait *wait, const char *id); // LIMIT above JOB_WAIT_MAX, NOMEM
size_t job_wait_len(const struct job_wait *wait);
// Until all have ended. TIMEOUT with where the first of the others stands. The time is --timeout from now, or the
// preset.
enum reeve_err job_wait_run(const struct invocation *inv, struct job_wait *wait, struct reeve_why *why);
// How many ended so; only states that end, and COUNT = forgotten.
size_t job_wait_count(const struct job_wait *wait, enum reeve_job_state state);
// 0 all completed, 1 one failed, was cancelled or is forgotten; after job_wait_run() was OK.
int job_wait_exit(const struct job_wait *wait);

#endif
