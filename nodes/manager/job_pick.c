// Which jobs a command means: those that fit a filter, bounded, without a look at every job where that can be helped.
// Must not: change a job.
#include "queue_ops.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>

#define SCAN_MAX   10000  // live jobs that are all looked through; of more, numbers are tried from the top:
#define WALK_MAX   100000 // so many in a command, about 15 ms
#define BODIES_MAX 5000   // bodies that are read in a command, about 10 us each
#define ENDED_MAX  50000  // rows of ended jobs that are looked at in a command
#define ERROR_SIZE 512

struct found { // numbers, unsorted
    int64_t *numbers;
    size_t len, cap;
    size_t max; // more are not taken
};

static bool add(struct found *found, int64_t number)
{
    if (found->len == found->max) {
        return false;
    }
    if (found->len == found->cap) {
        size_t cap = found->cap > 0 ? 2 * found->cap : 128;
        int64_t *numbers = realloc(found->numbers, cap * sizeof *numbers);
        if (numbers == NULL) {
            return false;
        }
        found->numbers = numbers;
        found->cap = cap;
    }
    found->numbers[found->len++] = number;
    return true;
}

static int ascending(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

static int descending(const void *a, const void *b)
{
    return ascending(b, a);
}

// ---- live jobs ----------------------------------------------------------------------------------------------------

// A glob, or text that it contains.
static bool text_fits(const char *pattern, const char *text)
{
    return strpbrk(pattern, "*?[") != NULL ? reeve_glob_match(pattern, text) : strstr(text, pattern) != NULL;
}

static bool error_fits(struct queue *queue, int64_t number, const char *pattern)
{
    struct reeve_span error;
    char text[ERROR_SIZE];
    if (job_store_note(queue->store, number, JOB_NOTE_ERROR, &error, NULL) != REEVE_OK) {
        return false;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)error.len, error.data); /* cut */
    return text_fits(pattern, text);
}

static bool fits(struct queue *queue, const struct job_pick *pick, const struct job *job)
{
    if (job == NULL || job_queue(job) != queue || !pick->states[job->state] ||
        (pick->before > 0 && job->number >= pick->before) || (pick->may != NULL && !pick->may(job))) {
        return false;
    }
    if ((pick->type != NULL && !reeve_glob_match(pick->type, job->class->type)) ||
        (pick->key != NULL && (job->key == NULL || strcmp(job->key->text, pick->key) != 0)) ||
        (pick->older_than_ms > 0 && reeve_clock_wall_ms() - job->added_at < pick->older_than_ms)) {
        return false;
    }
    return pick->error == NULL || (job->failures > 0 && error_fits(queue, job->number, pick->error));
}

static const enum reeve_job_state live_states[] = {REEVE_JOB_WAITING, REEVE_JOB_DELAYED, REEVE_JOB_ACTIVE,
                                                   REEVE_JOB_UNKNOWN};

static bool wants_live(const struct queue *queue, const struct job_pick *pick)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(live_states); i++) {
        if (pick->states[live_states[i]] && queue->counts[live_states[i]] > 0) {
            return true;
        }
    }
    return false;
}

static bool wants_only(const struct job_pick *pick, enum reeve_job_state state)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(live_states); i++) {
        if (pick->states[live_states[i]] != (live_states[i] == state)) {
            return false;
        }
    }
    return true;
}

struct scan {
    struct queue *queue;
    const struct job_pick *pick;
    struct found *found;
    size_t newest; // so many of the highest numbers; 0 = those that are in no list, as they come
    int64_t floor; // lower ones are not among them
};

static void keep_newest(struct scan *scan)
{
    struct found *found = scan->found;
    qsort(found->numbers, found->len, sizeof *found->numbers, descending);
    found->len = found->len < scan->newest ? found->len : scan->newest;
    scan->floor = found->len == scan->newest ? found->numbers[found->len - 1] : 0;
}

static void scan_job(struct job *job, void *arg)
{
    struct scan *scan = arg;
    bool unlisted = job->state == REEVE_JOB_UNKNOWN || (job->state == REEVE_JOB_WAITING && !job->listed);
    if ((scan->newest == 0 && !unlisted) || job->number < scan->floor || !fits(scan->queue, scan->pick, job)) {
        return;
    }
    (void)add(scan->found, job->number); /* full: there are more */
    if (scan->newest > 0 && scan->found->len >= 4 * scan->newest) {
        keep_newest(scan);
    }
}

static void scan_active(struct queue *queue, const struct job_pick *pick, struct found *found)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->active, &it);) {
        if (fits(queue, pick, it.value) && !add(found, ((const struct job *)it.value)->number)) {
            return;
        }
    }
}

// The newest `limit` and one; *ret_floor: what is below was not looked at, 0 = all was. Numbers are given in order, so
// in a queue that is alive what is newest is near the top.
static void newest_live(struct queue *queue, const struct job_pick *pick, struct found *found, int64_t *ret_floor)
{
    struct queues *queues = queue->queues;
    int64_t top = pick->before > 0 && pick->before <= queues->number ? pick->before - 1 : queues->number;
    size_t wanted = (size_t)pick->limit + 1;
    int64_t number = top;
    found->max = SIZE_MAX;
    *ret_floor = 0;
    if (wants_only(pick, REEVE_JOB_ACTIVE)) {
        scan_active(queue, pick, found);
        return;
    }
    if (job_index_len(queues->index) <= SCAN_MAX) {
        job_index_each(queues->index, scan_job,
                       &(struct scan){.queue = queue, .pick = pick, .found = found, .newest = wanted});
        return;
    }
    for (; number > 0 && number > top - WALK_MAX && found->len < wanted; number--) {
        if (fits(queue, pick, job_index_get(queues->index, number))) {
            (void)add(found, number); /* out of memory: one is missing */
        }
    }
    *ret_floor = number > 0 ? number + 1 : 0;
}

static bool take_list(struct queue *queue, const struct job_pick *pick, const struct job_list *list,
                      struct found *found)
{
    for (const struct job *job = list->head; job != NULL; job = job->next) {
        if (fits(queue, pick, job) && !add(found, job->number)) {
            return false;
        }
    }
    return true;
}

static bool take_waiting(struct queue *queue, const struct job_pick *pick, struct found *found)
{
    int64_t listed = queue->key_waiting;
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->classes, &it);) {
        const struct job_class *class = it.value;
        for (int i = 0; class->priorities != 0 && i <= REEVE_JOB_PRIORITY_MAX; i++) {
            listed += (int64_t) class->ready[i].len;
            if (!take_list(queue, pick, &class->ready[i], found)) {
                return false;
            }
        }
    }
    for (struct reeve_map_iter it = {0}; queue->key_waiting > 0 && reeve_map_next(queue->keys, &it);) {
        if (!take_list(queue, pick, &((const struct job_key *)it.value)->waiting, found)) {
            return false;
        }
    }
    return listed == queue->counts[REEVE_JOB_WAITING]; // else some wait for others
}

// Any `limit` and one, found where they lie.
static void some_live(struct queue *queue, const struct job_pick *pick, struct found *found)
{
    const struct job_due *due = &queue->queues->due;
    bool all = true;
    found->max = (size_t)pick->limit + 1;
    if (pick->states[REEVE_JOB_WAITING]) {
        all = take_waiting(queue, pick, found);
    }
    for (size_t i = 0; pick->states[REEVE_JOB_DELAYED] && i < due->len && found->len < found->max; i++) {
        if (due->items[i]->state == REEVE_JOB_DELAYED && fits(queue, pick, due->items[i])) {
            (void)add(found, due->items[i]->number); /* out of memory: one is missing */
        }
    }
    if (pick->states[REEVE_JOB_ACTIVE]) {
        scan_active(queue, pick, found);
    }
    if (found->len < found->max &&
        (!all || (pick->states[REEVE_JOB_UNKNOWN] && queue->counts[REEVE_JOB_UNKNOWN] > 0))) {
        job_index_each(queue->queues->index, scan_job, &(struct scan){.queue = queue, .pick = pick, .found = found});
    }
}

// ---- ended jobs ---------------------------------------------------------------------------------------------------

struct ended_scan {
    const struct job_pick *pick;
    struct found *found;
    int64_t looked, last; // last: number
    bool cut;
};

static bool look_at_ended(const struct job_ended_row *row, void *arg)
{
    struct ended_scan *scan = arg;
    const struct job_pick *pick = scan->pick;
    char text[ERROR_SIZE];
    if (scan->looked++ >= ENDED_MAX) {
        scan->cut = true;
        return false;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)row->error.len, row->error.len > 0 ? row->error.data : ""); /* cut */
    bool meant = pick->states[row->state] &&
                 (pick->older_than_ms == 0 || reeve_clock_wall_ms() - row->ended_at >= pick->older_than_ms) &&
                 (pick->error == NULL || text_fits(pick->error, text));
    if (meant && !add(scan->found, row->number)) {
        scan->cut = true;
        return false;
    }
    scan->last = row->number;
    return true;
}

static bool body_fits(struct queue *queue, const struct job_pick *pick, int64_t number)
{
    struct job_body body;
    struct reeve_job_spec spec;
    char type[REEVE_JOB_TYPE_SIZE];
    if (job_store_body(queue->store, number, &body, NULL) != REEVE_OK || body.raw.len == 0) {
        return false;
    }
    struct reeve_cursor cursor = REEVE_CURSOR(body.raw.data, body.raw.len);
    if (reeve_job_spec_read(&cursor, &spec, NULL) != REEVE_OK) {
        return false;
    }
    (void)snprintf(type, sizeof type, "%.*s", (int)spec.type.len, spec.type.data); /* fits: it was checked */
    return (pick->type == NULL || reeve_glob_match(pick->type, type)) &&
           (pick->key == NULL || (spec.key.len > 0 && reeve_span_is(spec.key, pick->key)));
}

static enum reeve_job_state only_ended_state(const struct job_pick *pick, size_t *ret_len)
{
    static const enum reeve_job_state ended[] = {REEVE_JOB_COMPLETED, REEVE_JOB_FAILED, REEVE_JOB_CANCELLED};
    enum reeve_job_state state = REEVE_JOB_STATE_COUNT;
    *ret_len = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ended); i++) {
        if (pick->states[ended[i]]) {
            state = ended[i];
            (*ret_len)++;
        }
    }
    return *ret_len == 1 ? state : REEVE_JOB_STATE_COUNT;
}

// The newest `limit` and one; *ret_floor: what is below was not looked at, 0 = all was.
static enum reeve_err newest_ended(struct queue *queue, const struct job_pick *pick, struct found *found,
                                   int64_t *ret_floor, struct reeve_why *why)
{
    size_t states;
    enum reeve_job_state state = only_ended_state(pick, &states);
    bool bodies = pick->type != NULL || pick->key != NULL;
    struct ended_scan scan = {.pick = pick, .found = found};
    *ret_floor = 0;
    if (states == 0) {
        return REEVE_OK;
    }
    found->max = bodies ? BODIES_MAX : (size_t)pick->limit + 1;
    enum reeve_err err =
        job_store_each_ended(queue->store, queue->number, state, pick->before, INT64_MAX, look_at_ended, &scan, why);
    if (err != REEVE_OK) {
        return err;
    }
    *ret_floor = scan.cut ? scan.last : 0;
    size_t len = 0;
    for (size_t i = 0; bodies && i < found->len; i++) {
        if (len > (size_t)pick->limit) {
            *ret_floor = found->numbers[i];
            break;
        }
        if (body_fits(queue, pick, found->numbers[i])) {
            found->numbers[len++] = found->numbers[i];
        }
    }
    found->len = bodies ? len : found->len;
    return REEVE_OK;
}

// ---- both ---------------------------------------------------------------------------------------------------------

static enum reeve_err join(struct job_pick *pick, const struct found *live, const struct found *ended, int64_t floor,
                           struct reeve_why *why)
{
    size_t len = live->len + ended->len;
    pick->numbers = malloc((len > 0 ? len : 1) * sizeof *pick->numbers);
    if (pick->numbers == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    const struct found *both[] = {live, ended};
    for (size_t list = 0; list < REEVE_ARRAY_LEN(both); list++) {
        for (size_t i = 0; i < both[list]->len; i++) {
            if (both[list]->numbers[i] >= floor || pick->oldest_first) { // below it others may come first
                pick->numbers[pick->len++] = both[list]->numbers[i];
            }
        }
    }
    pick->more = floor > 0;
    pick->next = floor;
    qsort(pick->numbers, pick->len, sizeof *pick->numbers, pick->oldest_first ? ascending : descending);
    if (pick->len > (size_t)pick->limit) {
        pick->len = (size_t)pick->limit;
        pick->more = true;
        pick->next = pick->len > 0 ? pick->numbers[pick->len - 1] : 0;
    }
    return REEVE_OK;
}

enum reeve_err job_pick_run(struct queue *queue, struct job_pick *pick, struct reeve_why *why)
{
    struct found live = {.max = 0};
    struct found ended = {.max = 0};
    int64_t live_floor = 0;
    int64_t floor = 0;
    if (wants_live(queue, pick)) {
        if (pick->oldest_first) {
            some_live(queue, pick, &live);
        } else {
            newest_live(queue, pick, &live, &live_floor);
        }
    }
    enum reeve_err err = newest_ended(queue, pick, &ended, &floor, why);
    err = err == REEVE_OK ? join(pick, &live, &ended, live_floor > floor ? live_floor : floor, why) : err;
    free(live.numbers);
    free(ended.numbers);
    return err;
}

void job_pick_done(struct job_pick *pick)
{
    free(pick->numbers);
    pick->numbers = NULL;
    pick->len = 0;
}
