// Which ended jobs are kept: what is too old or too many goes, in small steps.
// Must not: make a turn long, or a commit that would not be made anyway while the system works.
#include "queue_room.h"

#include <reeve/clock.h>

#define LOOK_MS       10000 // when nothing was to do: again after it
#define LOOK_SPREAD   16    // so that many queues do not look at once: up to so many steps of
#define LOOK_STEP_MS  250
#define SLACK_PERCENT 2 // more than are kept before it begins, and 200 at least: few large steps
#define SLACK_MIN     200
// A row takes about a microsecond (RelWithDebInfo, 4-byte payloads).
#define TURN_ROWS     128      // in a turn that is committed anyway
#define TURN_ROWS_MAX 1024     // where so much piles up that turns are long anyway: an eighth of what is too many
#define TICK_ROWS     200      // of one step in a tick
#define BUDGET_NS     20000000 // a second, of all queues; each that has something to do gets its share, or a step
#define STEPS_MAX     500      // where a clock stands
#define SECOND_MS     1000

void queue_ended_counts(struct queue *queue)
{
    static const enum reeve_job_state ended[] = {REEVE_JOB_COMPLETED, REEVE_JOB_FAILED, REEVE_JOB_CANCELLED};
    struct job_ended_counts counts;
    if (job_store_count_ended(queue->store, queue->number, &counts, NULL) != REEVE_OK) {
        return; // as they were
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ended); i++) {
        queue->status_dirty = queue->status_dirty || queue->counts[ended[i]] != counts.by_state[ended[i]];
        queue->counts[ended[i]] = counts.by_state[ended[i]];
    }
}

static bool too_many(int64_t len, const struct reeve_keep *keep, bool slack)
{
    int64_t more = keep->count * SLACK_PERCENT / 100;
    more = !slack ? 0 : more > SLACK_MIN ? more : SLACK_MIN;
    return keep->count > 0 && len > keep->count + more;
}

static int64_t excess(int64_t len, const struct reeve_keep *keep)
{
    return keep->count > 0 && len > keep->count ? len - keep->count : 0;
}

static int64_t turn_rows(const struct queue *queue)
{
    int64_t more = excess(queue->counts[REEVE_JOB_COMPLETED], &queue->spec.keep_completed) +
                   excess(queue->counts[REEVE_JOB_FAILED], &queue->spec.keep_failed) +
                   excess(queue->counts[REEVE_JOB_CANCELLED], &queue->spec.keep_cancelled);
    int64_t rows = more / 8;
    return rows < TURN_ROWS ? TURN_ROWS : rows < TURN_ROWS_MAX ? rows : TURN_ROWS_MAX;
}

static bool overfull(const struct queue *queue, bool slack)
{
    return too_many(queue->counts[REEVE_JOB_COMPLETED], &queue->spec.keep_completed, slack) ||
           too_many(queue->counts[REEVE_JOB_FAILED], &queue->spec.keep_failed, slack) ||
           too_many(queue->counts[REEVE_JOB_CANCELLED], &queue->spec.keep_cancelled, slack);
}

// False: there was less to do than that.
static bool step(struct queue *queue, int64_t rows_max)
{
    int64_t rows = 0;
    struct job_retention rule = {.queue = queue->number,
                                 .now = reeve_clock_wall_ms(),
                                 .id_retention_ms = queue->spec.id_retention_ms,
                                 .rows_max = rows_max};
    rule.keep[REEVE_JOB_COMPLETED] = queue->spec.keep_completed;
    rule.keep[REEVE_JOB_FAILED] = queue->spec.keep_failed;
    rule.keep[REEVE_JOB_CANCELLED] = queue->spec.keep_cancelled;
    if (job_store_retain(queue->store, &rule, &rows, NULL) != REEVE_OK) {
        return false; // the commit tells
    }
    if (rows > 0) {
        queue_ended_counts(queue);
    }
    return rows >= rows_max;
}

void queue_keep_turn(struct queue *queue)
{
    struct store *store = queue->queues->manager->store;
    bool begun = queue->keep_mono == 0; // a step found more than it could do
    if (queue->removed || !store_dirty(store) || !overfull(queue, !begun)) {
        return;
    }
    (void)step(queue, turn_rows(queue)); /* the tick looks when it is all done */
}

// As many share it as wanted to in the second before.
static int64_t share_ns(struct queues *queues, int64_t now)
{
    if (now - queues->keep_mono >= SECOND_MS) {
        queues->keep_mono = now;
        queues->keepers_before = queues->keepers;
        queues->keepers = 0;
    }
    queues->keepers++;
    return BUDGET_NS / (queues->keepers_before > 0 ? queues->keepers_before : 1);
}

void queue_keep_tick(struct queue *queue)
{
    int64_t now = reeve_clock_mono_ms();
    int64_t began_ns = reeve_clock_mono_ns();
    bool more = true;
    if (queue->removed || (now < queue->keep_mono && !overfull(queue, true))) {
        return;
    }
    int64_t share = share_ns(queue->queues, now);
    for (int i = 0; i == 0 || (more && i < STEPS_MAX && reeve_clock_mono_ns() - began_ns < share); i++) {
        more = step(queue, TICK_ROWS);
    }
    queue->keep_mono = more ? 0 : now + LOOK_MS + queue->number % LOOK_SPREAD * LOOK_STEP_MS;
}
