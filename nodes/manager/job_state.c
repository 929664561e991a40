// The states of a job: one setter, and what an end, a failure and a lost worker mean [job-1] [job-6] [job-7] [job-8].
// Must not: choose workers (job_dispatch.c), or read messages (job_intake.c, job_report.c).
#include "queue_room.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>

#define FRONT_SCAN_MAX 64 // what comes back is older than most: so many are looked at for its place

struct queue *job_queue(const struct job *job)
{
    return job->class->queue;
}

void job_dirty(struct job *job)
{
    struct queues *queues = job_queue(job)->queues;
    if (!job->dirty) {
        job->dirty = true;
        job->dirty_next = queues->dirty;
        queues->dirty = job;
    }
}

// ---- keys -------------------------------------------------------------------------------------------------------

static struct job_key *key_get(struct queue *queue, struct reeve_span text)
{
    char key[REEVE_JOB_KEY_SIZE];
    (void)snprintf(key, sizeof key, "%.*s", (int)text.len, text.data); /* its length was checked */
    struct job_key *known = reeve_map_get(queue->keys, key);
    if (known == NULL) {
        known = calloc(1, sizeof *known + text.len + 1);
        if (known == NULL) {
            return NULL;
        }
        memcpy(known->text, key, text.len + 1);
        if (reeve_map_put(queue->keys, key, known, NULL) != REEVE_OK) {
            free(known);
            return NULL;
        }
    }
    known->jobs++;
    return known;
}

static bool key_free_for(const struct job *job)
{
    return job->key == NULL || job->holds_key || job->key->held < (size_t)job_queue(job)->spec.max_per_key;
}

static void hold_key(struct job *job)
{
    if (job->key != NULL && !job->holds_key) {
        job->holds_key = true;
        job->key->held++;
    }
}

// ---- lists: where a job waits -------------------------------------------------------------------------------------

static struct job_list *list_of(const struct job *job)
{
    if (job->state == REEVE_JOB_UNKNOWN) {
        return &job->class->reconcile;
    }
    return job->key != NULL && !job->holds_key ? &job->key->waiting : &job->class->ready[job->priority];
}

static void insert_in_front(struct job_list *list, struct job *job)
{
    struct job *next = list->head;
    for (int i = 0; i < FRONT_SCAN_MAX && next != NULL && next->number < job->number; i++) {
        next = next->next;
    }
    if (next == NULL) {
        job_list_append(list, job);
        return;
    }
    job->next = next;
    job->prev = next->prev;
    *(next->prev != NULL ? &next->prev->next : &list->head) = job;
    next->prev = job;
    list->len++;
}

static void enlist(struct job *job, bool in_front)
{
    struct job_list *list = list_of(job);
    if (in_front) {
        insert_in_front(list, job);
    } else {
        job_list_append(list, job);
    }
    job->listed = true;
    if (list == &job->class->ready[job->priority]) {
        job->class->priorities |= 1u << job->priority;
    } else if (job->state != REEVE_JOB_UNKNOWN) {
        job_queue(job)->key_waiting++;
    }
    dispatch_want(job_queue(job));
}

static void unlist(struct job *job)
{
    if (!job->listed) {
        return;
    }
    struct job_list *list = list_of(job);
    job_list_remove(list, job);
    job->listed = false;
    if (list != &job->class->ready[job->priority]) {
        job_queue(job)->key_waiting -= job->state != REEVE_JOB_UNKNOWN ? 1 : 0;
    } else if (list->head == NULL) {
        job->class->priorities &= ~(1u << job->priority);
    }
}

static void let_next_go(const struct queue *queue, struct job_key *key)
{
    while (key->waiting.head != NULL && key->held < (size_t)queue->spec.max_per_key) {
        struct job *next = key->waiting.head;
        unlist(next);
        hold_key(next);
        enlist(next, true);
    }
}

static void release_key(struct job *job)
{
    struct job_key *key = job->key;
    if (key == NULL || !job->holds_key) {
        return;
    }
    job->holds_key = false;
    key->held--;
    let_next_go(job_queue(job), key);
}

void job_keys_look(struct queue *queue)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->keys, &it);) {
        let_next_go(queue, it.value);
    }
}

static void wait_in_line(struct job *job, bool in_front)
{
    if (job->wait != NULL && job->wait->left > 0) {
        return; // after_met() lists it
    }
    if (key_free_for(job)) {
        hold_key(job);
    }
    enlist(job, in_front);
}

// ---- the setter ---------------------------------------------------------------------------------------------------

static void leave_active(struct job *job)
{
    struct link *link = job->link;
    if (link != NULL) {
        job_list_remove(&link->jobs, job);
        job->link = NULL;
    }
    (void)reeve_map_remove(job_queue(job)->active, job->text->id); /* is this one */
    free(job->text);
    job->text = NULL;
    job->flags &= (uint8_t)~JOB_FLAG_RECONCILING;
    dispatch_want(job_queue(job)); // there is room
}

static void leave(struct job *job)
{
    job_due_remove(&job_queue(job)->queues->due, job);
    unlist(job);
    if (job->state == REEVE_JOB_ACTIVE && job->text != NULL) {
        leave_active(job);
    }
}

static void wait_for_time(struct job *job)
{
    struct queues *queues = job_queue(job)->queues;
    if (job_due_put(&queues->due, job, job->due_mono) != REEVE_OK) { // out of memory: now rather than never
        wait_in_line(job, false);
        return;
    }
    queue_timer(queues, job->due_mono);
}

static void enter_delayed(struct job *job, bool in_front)
{
    (void)in_front;
    if (job->attempt > 0) {
        hold_key(job); // a retry keeps its place among those of its key
    }
    wait_for_time(job);
}

static void enter_unknown(struct job *job, bool in_front)
{
    hold_key(job);
    if ((job->flags & JOB_FLAG_PARKED) != 0) {
        return; // somebody has to look after it
    }
    if (job->due_mono > reeve_clock_mono_ms()) {
        wait_for_time(job);
    } else {
        enlist(job, in_front);
    }
}

static void enter_active(struct job *job, bool in_front)
{
    (void)in_front;
    hold_key(job);
}

static void enter(struct job *job, bool in_front)
{
    static void (*const states[REEVE_JOB_STATE_COUNT])(struct job *job, bool in_front) = {
        [REEVE_JOB_WAITING] = wait_in_line,
        [REEVE_JOB_DELAYED] = enter_delayed,
        [REEVE_JOB_ACTIVE] = enter_active,
        [REEVE_JOB_UNKNOWN] = enter_unknown,
    };
    REEVE_ASSERT(states[job->state] != NULL); // what has ended is in no list
    states[job->state](job, in_front);
}

void job_restore(struct job *job)
{
    enter(job, false);
}

void job_set(struct job *job, enum reeve_job_state state, const char *cause)
{
    struct queue *queue = job_queue(job);
    enum reeve_job_state from = (enum reeve_job_state)job->state;
    bool back = from == REEVE_JOB_ACTIVE;
    leave(job);
    queue->counts[from]--;
    queue->counts[state]++;
    job->state = (uint8_t)state;
    enter(job, back);
    job_dirty(job);
    queue->status_dirty = true;
    if (state == REEVE_JOB_WAITING && (queue->spec.job_records || queue->spec.events == 2)) {
        queue_change(queue, job, state, (struct reeve_span){0});
    }
    if (reeve_log_level() >= REEVE_LOG_DEBUG) {
        reeve_log(REEVE_LOG_DEBUG, "job", "queue=%s number=%lld from=%s to=%s attempt=%u cause=%s", queue->name,
                  (long long)job->number, reeve_job_state_text(from), reeve_job_state_text(state), job->attempt, cause);
    }
}

struct job *job_new(struct queue *queue, struct job_class *class, int64_t number, struct reeve_span key)
{
    struct queues *queues = queue->queues;
    struct job *job = job_slab_take(queues->slab);
    if (job == NULL) {
        return NULL;
    }
    job->number = number;
    job->class = class;
    job->key = key.len > 0 ? key_get(queue, key) : NULL;
    if ((key.len > 0 && job->key == NULL) || job_index_put(queues->index, job) != REEVE_OK) {
        if (job->key != NULL && --job->key->jobs == 0) {
            free(reeve_map_remove(queue->keys, job->key->text));
        }
        job_slab_give(queues->slab, job);
        return NULL;
    }
    class->jobs++;
    job->state = REEVE_JOB_WAITING;
    queue->counts[REEVE_JOB_WAITING]++;
    queue->status_dirty = true;
    return job;
}

void job_drop(struct job *job)
{
    struct queue *queue = job_queue(job);
    struct queues *queues = queue->queues;
    struct job_key *key = job->key;
    leave(job);
    release_key(job);
    if (key != NULL && --key->jobs == 0) {
        free(reeve_map_remove(queue->keys, key->text));
    }
    after_forget(queues, job);
    job_body_drop(job);
    job_index_remove(queues->index, job->number);
    queue->bytes -= job->bytes;
    queue->counts[job->state]--;
    queue->status_dirty = true;
    job->class->jobs--;
    if (job->dirty) {
        job->gone = true; // the end of the turn frees it
    } else {
        job_slab_give(queues->slab, job);
    }
}

// ---- what ends, fails, gets lost ----------------------------------------------------------------------------------

void job_end(struct job *job, enum reeve_job_state state, struct reeve_span result, struct reeve_span error)
{
    struct queue *queue = job_queue(job);
    const struct job_ended_row row = {.number = job->number,
                                      .queue = queue->number,
                                      .state = state,
                                      .attempt = job->attempt,
                                      .failures = job->failures,
                                      .deaths = job->deaths,
                                      .added_at = job->added_at,
                                      .started_at = job->started_at,
                                      .ended_at = reeve_clock_wall_ms(),
                                      .worker = job->text != NULL
                                                    ? (struct reeve_span){job->text->worker, strlen(job->text->worker)}
                                                    : (struct reeve_span){0},
                                      .error = error,
                                      .result = result,
                                      .retained = true};
    (void)job_store_end(queue->store, &row, NULL); /* a failure breaks the turn: the commit tells */
    queue->counts[state]++;
    queue_change(queue, job, state, error);
    if (state == REEVE_JOB_COMPLETED) {
        after_met(queue->queues, job);
    }
    job_drop(job);
}

static int64_t backoff_ms(const struct reeve_queue_spec *queue, const struct reeve_job_backoff *own, int64_t failures)
{
    int kind = own->kind != REEVE_JOB_BACKOFF_PRESET ? own->kind : queue->backoff.kind;
    int64_t delay = own->delay_ms > 0 ? own->delay_ms : queue->backoff.delay_ms;
    int64_t most = own->max_ms > 0 ? own->max_ms : queue->backoff.max_ms;
    double jitter = own->jitter >= 0 ? own->jitter : queue->backoff.jitter;
    uint32_t dice;
    for (int64_t i = 1; kind == REEVE_JOB_BACKOFF_EXPONENTIAL && i < failures && delay < most; i++) {
        delay *= 2;
    }
    if (kind == REEVE_JOB_BACKOFF_EXPONENTIAL && most > 0 && delay > most) {
        delay = most;
    }
    reeve_random_bytes(&dice, sizeof dice);
    return delay - (int64_t)((double)delay * jitter * ((double)dice / (double)UINT32_MAX));
}

static void read_spec(const struct job *job, struct reeve_job_spec *ret)
{
    struct reeve_span id;
    struct reeve_span raw;
    *ret = (struct reeve_job_spec){.backoff = {.jitter = -1}};
    if (job_load(job, &id, &raw, NULL) == REEVE_OK) {
        struct reeve_cursor cursor = REEVE_CURSOR(raw.data, raw.len);
        (void)reeve_job_spec_read(&cursor, ret, NULL); /* it was read before; else the queue's own hold */
    }
}

static void delay(struct job *job, enum reeve_job_state state, int64_t ms, const char *cause)
{
    job_due_remove(&job_queue(job)->queues->due, job); // its timeout: the heap is ordered by what is set here
    job->due_mono = reeve_clock_mono_ms() + ms;
    job->run_at = reeve_clock_wall_ms() + ms;
    job_set(job, state, cause);
}

static void count(uint8_t *number)
{
    if (*number < UINT8_MAX) {
        (*number)++;
    }
}

static void become_unknown(struct job *job, int64_t after_ms, const char *cause)
{
    count(&job->reconciles);
    delay(job, REEVE_JOB_UNKNOWN, after_ms, cause);
}

void job_failed(struct job *job, struct reeve_span error, int64_t delay_ms, bool for_good)
{
    struct queue *queue = job_queue(job);
    struct reeve_job_spec spec;
    char text[400];
    (void)snprintf(text, sizeof text, "%.*s", (int)error.len, error.data != NULL ? error.data : ""); /* cut */
    const struct reeve_span kept = {text, strlen(text)}; // `error` may be the store's, which is read below
    if (job->failures < UINT16_MAX) {
        job->failures++;
    }
    job_history(job, for_good ? "failed" : "retry", kept);
    queue->rates.failed++;
    if (for_good) {
        job_end(job, REEVE_JOB_FAILED, (struct reeve_span){0}, kept);
        return;
    }
    read_spec(job, &spec);
    int64_t attempts = spec.attempts > 0 ? spec.attempts : queue->spec.attempts;
    int64_t wait = delay_ms >= 0 ? delay_ms : backoff_ms(&queue->spec, &spec.backoff, job->failures);
    (void)job_store_note_put(queue->store, job->number, JOB_NOTE_ERROR, kept, NULL); /* as for every write: the commit tells */
    if ((job->flags & JOB_FLAG_NO_RETURN) != 0) {
        queue_change(queue, job, REEVE_JOB_UNKNOWN, kept);
        become_unknown(job, wait, "retry past the point of no return");
    } else if (job->failures >= attempts) {
        job_end(job, REEVE_JOB_FAILED, (struct reeve_span){0}, kept);
    } else if ((job->flags & JOB_FLAG_CANCEL) != 0) {
        job_end(job, REEVE_JOB_CANCELLED, (struct reeve_span){0}, kept);
    } else {
        queue->rates.retried++;
        queue_change(queue, job, REEVE_JOB_DELAYED, kept);
        delay(job, REEVE_JOB_DELAYED, wait, "retry");
    }
}

static void park(struct job *job)
{
    struct queue *queue = job_queue(job);
    job->flags |= JOB_FLAG_PARKED;
    alarm_open(queue->queues->manager, "job_unknown", queue->name, ALARM_ERROR, NULL,
               "queue %s: the outcome of a job is unknown, and its reconcilers died; see `reeve job ls %s --state unknown`",
               queue->name, queue->name);
}

void job_lost(struct job *job, bool died, const char *cause)
{
    struct queue *queue = job_queue(job);
    char text[400];
    queue->rates.lost++;
    if (died) {
        count(&job->deaths);
    }
    bool poison = died && job->deaths >= queue->spec.poison_after;
    (void)snprintf(text, sizeof text, "%s died %d times with it in hand, the last one: %s",
                   job->text != NULL ? job->text->worker : "its worker", job->deaths, cause); /* cut */
    const struct reeve_span error = {poison ? text : cause, strlen(poison ? text : cause)};
    job_history(job, died ? "worker_died" : "worker_gone", error);
    if ((job->flags & JOB_FLAG_NO_RETURN) != 0) {
        queue_change(queue, job, REEVE_JOB_UNKNOWN, error);
        if (poison) {
            park(job);
        }
        become_unknown(job, 0, cause);
    } else if ((job->flags & JOB_FLAG_CANCEL) != 0) {
        job_end(job, REEVE_JOB_CANCELLED, (struct reeve_span){0}, error);
    } else if (poison) {
        queue->rates.failed++;
        job_end(job, REEVE_JOB_FAILED, (struct reeve_span){0}, error);
    } else {
        job_set(job, REEVE_JOB_WAITING, cause);
    }
}

static void timed_out(struct job *job)
{
    static const char text[] = "timeout: it did not end in time, and not when it was told to";
    dispatch_abandon(job->link, (struct reeve_span){job->text->id, strlen(job->text->id)}, job->attempt, "timeout");
    job_failed(job, (struct reeve_span){text, sizeof text - 1}, -1, false);
}

// Past its timeout and the grace for it, or past a cancel's.
static void overdue(struct job *job)
{
    static const char text[] = "timeout";
    if ((job->flags & (JOB_FLAG_CANCEL | JOB_FLAG_NO_RETURN)) == JOB_FLAG_CANCEL) {
        job_lost(job, false, "cancelled, and did not end in time");
    } else if (job->link != NULL) {
        timed_out(job);
    } else {
        job_failed(job, (struct reeve_span){text, sizeof text - 1}, -1, false);
    }
}

void job_due_fired(struct job *job)
{
    enum reeve_job_state state = (enum reeve_job_state)job->state;
    job_due_remove(&job_queue(job)->queues->due, job);
    if (state == REEVE_JOB_DELAYED) {
        job_set(job, REEVE_JOB_WAITING, "its time has come");
    } else if (state == REEVE_JOB_UNKNOWN) {
        enlist(job, false);
    } else if (state == REEVE_JOB_ACTIVE) {
        overdue(job);
    }
}
