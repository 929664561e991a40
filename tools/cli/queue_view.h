// Queues and jobs as rows and sections, and what to do about a refusal.
// Must not: ask anybody; it shows what an answer or a record holds.
#ifndef REEVE_CLI_QUEUE_VIEW_H
#define REEVE_CLI_QUEUE_VIEW_H

#include "order.h"
#include "output.h"

void queue_table_init(struct table *table);
void queue_table_add(struct table *table, const char *name, const struct reeve_value *status);
void queue_view_show(const char *name, const struct reeve_value *described); // {spec, status, workers}
void queue_view_jobs(const struct reeve_value *jobs, bool wide);
void queue_view_job(const struct reeve_value *job);
void queue_view_logs(const struct reeve_value *lines, bool timestamps);
enum colour queue_state_colour(const char *state); // of a queue or a job

// Of struct question: a queue that is not there can be made.
void queue_advise(const struct order *order, struct reeve_buf *text);

#endif
