// What the benchmark tells a producer, a line on its standard input, and what it answers on standard output:
//
//   bulk FIRST COUNT BYTES         as fast as the queue takes them, in batches
//   paced FIRST COUNT BYTES RATE   RATE a second, each by itself, sent when its time has come and whatever became of
//   those before
//   -> done FIRST COUNT BEGAN_NS ACKED_NS   all are acknowledged; before the first was sent, after the last was
//   acknowledged
//   -> failed TEXT                 and the producer ends
//
// Must not: know a queue.
#ifndef REEVE_BENCH_JOB_ORDER_H
#define REEVE_BENCH_JOB_ORDER_H

#include "job_ledger.h"

struct job_order {
    bool paced;
    uint64_t first, count;
    size_t bytes;   // of the payload
    uint64_t rate;  // of a paced one
    uint64_t sent;  // jobs so far
    uint64_t acked; // jobs so far
    uint64_t began_ns, acked_ns;
};
bool job_order_read(struct job_order *order, const char *line); // false: it is none
static inline bool job_order_over(const struct job_order *order)
{
    return order->acked == order->count;
}
// How many are to be sent now; 0 and *ret_wait_ns for how long there are none (UINT64_MAX: all were sent). `batch`: of
// a bulk, at most.
uint64_t job_order_due(struct job_order *order, uint64_t now_ns, uint64_t batch, uint64_t *ret_wait_ns);
void job_order_tell(const struct job_order *order); // that it is done
_Noreturn void job_order_failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// Standard input, a line at a time, without blocking.
struct job_lines {
    char text[256];
    size_t len;
};
// NULL: no whole line is there yet. *ret_over: there will be none any more.
const char *job_lines_next(struct job_lines *lines, bool *ret_over);

// When which job was sent, mapped from a file.
struct job_sent {
    uint64_t *ns; // by number
};
enum reeve_err job_sent_open(struct job_sent *sent, const char *path, struct reeve_why *why);

#endif
