// The queues' room with the real store in memory-backed files, on the clock and with the broker of fake_manager: for
// tests of what is asked and told of queues. Workers are links that a test speaks for.
//
//   qf_init(&qf); qf_op(&qf, "q", apply, "{concurrency: 2}");
//   qf_add(&qf, "q", "{id: a, type: work}"); qf_hello(&qf, "q", "w1", 4, "[work]"); qf_turn(&qf);
//   assert_string_equal(qf_state(&qf, "q", "a"), "active");
//
// Must not: judge; what a batch carried is in `posted`.
#ifndef REEVE_TEST_QUEUE_FIXTURE_H
#define REEVE_TEST_QUEUE_FIXTURE_H

#include "fake_fleet.h"
#include "fake_manager.h"
#include "fake_rooms.h"

#include "queue_room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QF_POSTED 4096

struct qf_posted {
    char *topic;
    void *bytes;
    size_t len;
};
struct qf {
    struct fake fake;
    char dir[64];
    struct qf_posted posted[QF_POSTED];
    size_t posted_len;
    bool failing;
    int64_t seq;          // of reports
    struct reeve_why why; // of the last op
};

void qf_init(struct qf *qf);
void qf_done(struct qf *qf);
void qf_turn(struct qf *qf);
void qf_time(struct qf *qf, int64_t ms);         // time passes; what is due fires, one turn
void qf_tick(struct qf *qf);                     // a second passes, with its tick and its turn
void qf_restart(struct qf *qf, int64_t away_ms); // another manager, as after kill -9
struct queue *qf_queue(struct qf *qf, const char *queue);

// An op as it comes in, and its turn. `text`: YAML; NULL = no arguments. The result, NULL when it was refused
// (qf->why).
enum reeve_err qf_call(struct qf *qf, const char *queue, const char *op, const char *text);
const struct reeve_value *qf_op(struct qf *qf, const char *queue, const char *op, const char *text); // must work
void qf_refused(struct qf *qf, const char *queue, const char *op, const char *text, enum reeve_err err,
                const char *says);

void qf_add(struct qf *qf, const char *queue, const char *job);         // YAML; must be accepted
struct job *qf_job(struct qf *qf, const char *queue, const char *id);   // a live one; NULL
const char *qf_state(struct qf *qf, const char *queue, const char *id); // also of ended ones; static
// Worker alpha/<name>: takes these types (YAML list), and reports. `entry`: the outcome's name; data as YAML, error as
// text, NULL = none.
void qf_hello(struct qf *qf, const char *queue, const char *name, int64_t capacity, const char *types);
void qf_hello_reconciles(struct qf *qf, const char *queue, const char *name, int64_t capacity, const char *types,
                         const char *reconciles);
void qf_report(struct qf *qf, const char *queue, const char *name, const char *id, const char *outcome,
               const char *data, const char *error);
void qf_progress(struct qf *qf, const char *queue, const char *name, const char *id, double progress, const char *text);
void qf_worker_died(struct qf *qf, const char *name);
void qf_forget_posted(struct qf *qf);
size_t qf_cancels(const struct qf *qf, const char *id); // batches that told it

#endif
