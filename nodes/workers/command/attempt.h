// One attempt at a job: its command from the start to the word that ends it. Between the SDK (jobs) and process.h.
// Must not: be used outside of the loop.
#ifndef REEVE_COMMAND_ATTEMPT_H
#define REEVE_COMMAND_ATTEMPT_H

#include <reeve/worker.h>

#include "command.h"
#include "process.h"

// Starts the command of the job's type. What is wrong with the job itself (a template without its value) ends it as
// failed; an error that is returned is this worker's (no process to be had) and another attempt may be made.
enum reeve_err attempt_start(struct reeve_worker *worker, struct processes *processes, struct commands *commands,
                             struct reeve_job *job, struct reeve_why *why);
// It is to end, for a reason of the SDK.
void attempt_cancel(struct reeve_job *job, const char *reason, int64_t grace_ms);

#endif
