// Jobs on their way to a queue: gathered into commands `enqueue`, several of them in flight, each sent again with its
// own id until its answer is there, so that none is lost and none added twice [job-11]. A LIMIT is back-pressure: the
// same command again, later, and no other one before it; of a queue that is full, the jobs that found no room.
// Must not: hold more than JOB_FEED_WINDOW commands and one that is being filled; know where jobs come from.
#ifndef REEVE_CLI_JOB_FEED_H
#define REEVE_CLI_JOB_FEED_H

#include "session.h"

#include <reeve/job.h>

#define JOB_FEED_WINDOW    8
#define JOB_FEED_JOBS_MAX  1000         // of a command
#define JOB_FEED_BYTES_MAX (256u << 10) // of its jobs; a larger job goes alone

struct job_feed_counts {
    uint64_t accepted, duplicates, rejected; // by answers
    uint64_t commands, sent_again, limited;
};
struct job_feed_options {
    struct session *session;
    const char *queue;
    int64_t timeout_ms; // without any answer: then it is over
    bool dry_run;
    void (*on_room)(void *arg); // a command was answered
    void (*on_rejected)(uint64_t line, const char *code, const char *message, void *arg);
    void *arg;
};
struct job_feed;
enum reeve_err job_feed_new(const struct job_feed_options *options, struct job_feed **ret, struct reeve_why *why);
void job_feed_free(struct job_feed *feed); // before session_done(); NULL allowed

// Copies. False: no room now; the same again after on_room.
bool job_feed_add(struct job_feed *feed, const unsigned char *job, size_t len, uint64_t line);
// From here on one command at a time: a queue that is full for one and has room for the next would change their order.
void job_feed_keep_order(struct job_feed *feed);
void job_feed_flush(struct job_feed *feed);      // sends what there is, if it may now
bool job_feed_idle(const struct job_feed *feed); // everything was answered
// The class of what ended it, OK while it goes on; `why` (NULL allowed) says more.
enum reeve_err job_feed_failed(const struct job_feed *feed, struct reeve_why *why);
// What the manager says while it takes no more; NULL = it does.
const char *job_feed_waits_for(const struct job_feed *feed);
const struct job_feed_counts *job_feed_counts(const struct job_feed *feed);
const char *job_feed_durability(const struct job_feed *feed); // as answered; "" until then
void job_feed_connected(struct job_feed *feed);               // again: an answer may take its time anew

#endif
