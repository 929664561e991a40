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

// ---- job_look.c -----------------------------------------------------------------------------------------------------
struct job_seen { // what is known of a job, live or ended; texts are copies
    struct queue *queue;
    int64_t number;
    struct job *live;           // NULL = it has ended
    struct job_ended_row ended; // without its spans
    char id[REEVE_JOB_ID_SIZE];
    struct reeve_buf raw, result;
    struct reeve_job_spec spec; // points into `raw`
    bool has_spec;
    char worker[2 * REEVE_NAME_SIZE];
    char error[1024];
};
enum reeve_err job_see(struct queue *queue, int64_t number, struct job_seen *seen, struct reeve_why *why);
void job_seen_done(struct job_seen *seen); // also after a failure
#define JOB_SEEN_AUTO __attribute__((cleanup(job_seen_done))) struct job_seen
enum reeve_err job_find(struct queue *queue, const char *id, int64_t *ret, struct reeve_why *why); // NOENT names both

extern const struct reeve_choice job_state_choices[]; // all, and `any` = REEVE_JOB_STATE_COUNT
// A filter as it comes in; rows for an op's table.
struct job_filter {
    int state;
    char *type, *key, *error;
    int64_t older_than_ms, limit;
};
// `states`: which a filter without one means.
void job_filter_pick(const struct job_filter *filter, const bool states[REEVE_JOB_STATE_COUNT], struct job_pick *ret);
#define JOB_FILTER_FIELDS(type_, in_, limit_max_, limit_preset_)                                                       \
    {.name = "state",                                                                                                  \
     .type = REEVE_FIELD_CHOICE,                                                                                       \
     .offset = offsetof(type_, in_ state),                                                                             \
     .choices = job_state_choices,                                                                                     \
     .preset = "any",                                                                                                  \
     .doc = "Jobs in this state."},                                                                                    \
        {.name = "type",                                                                                               \
         .type = REEVE_FIELD_STR,                                                                                      \
         .offset = offsetof(type_, in_ type),                                                                          \
         .min = 1,                                                                                                     \
         .max = REEVE_JOB_TYPE_SIZE,                                                                                   \
         .doc = "Of this type; globs are allowed."},                                                                   \
        {.name = "key",                                                                                                \
         .type = REEVE_FIELD_STR,                                                                                      \
         .flags = REEVE_FIELD_SCALAR_OK,                                                                               \
         .offset = offsetof(type_, in_ key),                                                                           \
         .min = 1,                                                                                                     \
         .max = REEVE_JOB_KEY_SIZE - 1,                                                                                \
         .doc = "With this key."},                                                                                     \
        {.name = "error",                                                                                              \
         .type = REEVE_FIELD_STR,                                                                                      \
         .offset = offsetof(type_, in_ error),                                                                         \
         .min = 1,                                                                                                     \
         .max = 200,                                                                                                   \
         .doc = "Whose last error contains this; or fits it, when it is a glob such as `timeout*`."},                  \
        {.name = "older_than_ms",                                                                                      \
         .type = REEVE_FIELD_DURATION,                                                                                 \
         .offset = offsetof(type_, in_ older_than_ms),                                                                 \
         .doc = "Ended so long ago, or, when they live, added."},                                                      \
    {                                                                                                                  \
        .name = "limit", .type = REEVE_FIELD_INT, .offset = offsetof(type_, in_ limit), .min = 1, .max = (limit_max_), \
        .preset = limit_preset_, .doc = "So many at most; `more` says that there are others."                          \
    }

// ---- job_ops.c ----------------------------------------------------------------------------------------------------
// An ended job, or with `live` one that waits too: only its id stays. NOENT, CONFLICT.
enum reeve_err job_remove(struct queue *queue, int64_t number, bool live, struct reeve_why *why);

#endif
