// What the ops on queues and on jobs share.
#ifndef REEVE_MANAGER_QUEUE_OPS_H
#define REEVE_MANAGER_QUEUE_OPS_H

#include "queue_room.h"

struct queue *queue_of_call(struct call *call, struct reeve_why *why); // NULL = NOENT, with near names

// Which jobs are meant: numbers of those that fit, bounded.
struct job_pick {
    bool states[REEVE_JOB_STATE_COUNT];
    const char *type, *error; // globs; an error without `*` is text that it contains; NULL = any
    const char *key;          // NULL = any
    int64_t older_than_ms;    // 0 = any: since it was added, or ended
    int64_t limit;
    int64_t before;                     // numbers below it; 0 = any
    bool oldest_first;                  // else newest first
    bool (*may)(const struct job *job); // a live one that fits; NULL = all
    // Results.
    int64_t *numbers;
    size_t len;
    bool more;    // there may be more than `limit`, or the search was cut short
    int64_t next; // `before` to go on with
};
enum reeve_err job_pick_run(struct queue *queue, struct job_pick *pick, struct reeve_why *why);
void job_pick_done(struct job_pick *pick);

// An ended job, or with `live` one that waits too, of which only the id stays. NOENT, CONFLICT.
enum reeve_err job_remove(struct queue *queue, int64_t number, bool live, struct reeve_why *why);

#endif
