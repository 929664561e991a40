// The hand-over queue. One mutex, a leaf: nothing is called while it is held.
// Must not know what a record means.
#include "handover.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// A loop that takes nothing for this long is stuck; Paho's thread then goes on, so that at least keep-alives are
// answered.
#define WAIT_MAX_MS 5000
// Session events that can be under way beside messages and results: connected, lost, dismissed, closed of two sessions.
#define EVENTS_MAX 16

struct ring {
    struct reeve_handover_record *records;
    size_t head, len, cap;
};

struct reeve_handover {
    uv_async_t async;
    void (*wake)(void *arg);
    void (*closed)(void *arg);
    void *arg;
    void *closed_arg;
    size_t messages_max, bytes_max;

    pthread_mutex_t mutex; // guards everything below
    pthread_cond_t room;
    struct ring ring;
    size_t messages, bytes; // of messages in the ring
    size_t waiting;         // threads in `room`
    bool calling;           // the loop is, or wants to be, inside Paho
    bool draining;          // the loop takes records and will look again: no need to wake it
    bool overflow;
    uint64_t lost, stalls;
};

static void on_async(uv_async_t *async)
{
    struct reeve_handover *handover = async->data;
    handover->wake(handover->arg);
}

static enum reeve_err init_sync(struct reeve_handover *handover, struct reeve_why *why)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    }
    if (rc == 0) {
        rc = pthread_cond_init(&handover->room, &attr);
    }
    if (rc == 0) {
        rc = pthread_mutex_init(&handover->mutex, NULL);
    }
    (void)pthread_condattr_destroy(&attr); /* a no-op in glibc */
    errno = rc;
    return rc == 0 ? REEVE_OK : reeve_fail_errno(why, "hand-over queue");
}

enum reeve_err reeve_handover_new(const struct reeve_handover_options *options, struct reeve_handover **ret,
                                  struct reeve_why *why)
{
    struct reeve_handover *handover = calloc(1, sizeof(*handover));
    if (handover == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the hand-over queue");
    }
    handover->wake = options->wake;
    handover->arg = options->arg;
    handover->messages_max = options->messages_max;
    handover->bytes_max = options->bytes_max;
    // Results of the session before may still be in it when those of the next arrive: twice.
    handover->ring.cap = 2 * options->messages_max + 2 * options->results_max + EVENTS_MAX;
    handover->ring.records = calloc(handover->ring.cap, sizeof(handover->ring.records[0]));
    enum reeve_err err = handover->ring.records != NULL
                             ? init_sync(handover, why)
                             : reeve_fail(why, REEVE_NOMEM, "no memory for the hand-over queue");
    if (err == REEVE_OK) {
        int rc = uv_async_init(options->loop, &handover->async, on_async);
        if (rc != 0) {
            err = reeve_fail(why, REEVE_IO, "hand-over queue: %s", uv_strerror(rc));
        }
    }
    if (err != REEVE_OK) {
        free(handover->ring.records);
        free(handover);
        return err;
    }
    handover->async.data = handover;
    *ret = handover;
    return REEVE_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct reeve_handover *handover = handle->data;
    struct reeve_handover_record record;
    while (reeve_handover_take(handover, &record)) {
        reeve_handover_record_done(&record);
    }
    void (*closed)(void *arg) = handover->closed;
    void *arg = handover->closed_arg;
    (void)pthread_mutex_destroy(&handover->mutex); /* nobody holds it: Paho's callbacks are detached */
    (void)pthread_cond_destroy(&handover->room);   /* nor waits */
    free(handover->ring.records);
    free(handover);
    closed(arg);
}

void reeve_handover_close(struct reeve_handover *handover, void (*closed)(void *arg), void *arg)
{
    handover->closed = closed;
    handover->closed_arg = arg;
    uv_close((uv_handle_t *)&handover->async, on_closed);
}

static void lock(struct reeve_handover *handover)
{
    int rc = pthread_mutex_lock(&handover->mutex);
    REEVE_ASSERT(rc == 0);
}

static void unlock(struct reeve_handover *handover)
{
    int rc = pthread_mutex_unlock(&handover->mutex);
    REEVE_ASSERT(rc == 0);
}

// Would `more` bytes pass `times` times the bound? One message always fits into an empty queue.
static bool full(const struct reeve_handover *handover, size_t more, size_t times)
{
    if (handover->messages == 0) {
        return false;
    }
    return handover->messages >= times * handover->messages_max || handover->bytes + more > times * handover->bytes_max;
}

static void wait_for_room(struct reeve_handover *handover, size_t more)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* can't fail for this clock */
    until.tv_sec += WAIT_MAX_MS / 1000;
    handover->stalls++;
    handover->waiting++;
    while (full(handover, more, 1) && !handover->calling) {
        if (pthread_cond_timedwait(&handover->room, &handover->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    handover->waiting--;
}

static void push(struct ring *ring, const struct reeve_handover_record *record)
{
    size_t tail = ring->head + ring->len;
    ring->records[tail < ring->cap ? tail : tail - ring->cap] = *record;
    ring->len++;
}

// True when there is room, false when the record is to be given up.
static bool admit(struct reeve_handover *handover, const struct reeve_handover_record *record)
{
    if (record->kind != REEVE_HANDOVER_MESSAGE) {
        return handover->ring.len < handover->ring.cap;
    }
    size_t more = record->message->bytes;
    if (full(handover, more, 1) && !handover->calling) {
        wait_for_room(handover, more);
    }
    if (full(handover, more, 2) || handover->ring.len == handover->ring.cap) {
        return false;
    }
    handover->messages++;
    handover->bytes += more;
    return true;
}

void reeve_handover_record_done(struct reeve_handover_record *record)
{
    switch (record->kind) {
    case REEVE_HANDOVER_MESSAGE:
        free(record->message);
        break;
    case REEVE_HANDOVER_CONNECT_FAILED:
    case REEVE_HANDOVER_LOST:
    case REEVE_HANDOVER_DISMISSED:
        free(record->failed.text);
        break;
    case REEVE_HANDOVER_CONNECTED:
    case REEVE_HANDOVER_CLOSED:
    case REEVE_HANDOVER_RESULT:
        break;
    }
}

void reeve_handover_put(struct reeve_handover *handover, const struct reeve_handover_record *record)
{
    lock(handover);
    bool taken = admit(handover, record);
    bool wake = (handover->ring.len == 0 && !handover->draining) || !taken;
    if (taken) {
        push(&handover->ring, record);
    } else {
        handover->overflow = true;
        handover->lost++;
    }
    unlock(handover);
    if (!taken) {
        struct reeve_handover_record refused = *record;
        reeve_handover_record_done(&refused);
    }
    if (wake) {
        (void)uv_async_send(&handover->async); /* fails only on a closing handle: then nobody listens */
    }
}

bool reeve_handover_take(struct reeve_handover *handover, struct reeve_handover_record *ret)
{
    lock(handover);
    struct ring *ring = &handover->ring;
    bool any = ring->len > 0;
    handover->draining = any;
    bool signal = false;
    if (any) {
        *ret = ring->records[ring->head];
        ring->head = ring->head + 1 < ring->cap ? ring->head + 1 : 0;
        if (--ring->len == 0) {
            ring->head = 0; // so that a queue that is hardly used stays in its first pages
        }
        if (ret->kind == REEVE_HANDOVER_MESSAGE) {
            handover->messages--;
            handover->bytes -= ret->message->bytes;
            signal = handover->waiting > 0 && !full(handover, 0, 1);
        }
    }
    unlock(handover);
    if (signal) {
        (void)pthread_cond_broadcast(&handover->room); /* can't fail */
    }
    return any;
}

void reeve_handover_wake(struct reeve_handover *handover)
{
    (void)uv_async_send(&handover->async); /* fails only on a closing handle */
}

void reeve_handover_calling(struct reeve_handover *handover, bool calling)
{
    lock(handover);
    handover->calling = calling;
    bool signal = calling && handover->waiting > 0;
    unlock(handover);
    if (signal) {
        (void)pthread_cond_broadcast(&handover->room); /* can't fail */
    }
}

bool reeve_handover_crowded(struct reeve_handover *handover)
{
    lock(handover);
    bool crowded = handover->messages > handover->messages_max / 2 || handover->bytes > handover->bytes_max / 2;
    crowded = crowded && handover->messages > 1; // one alone may be of any size
    unlock(handover);
    return crowded;
}

bool reeve_handover_overflowed(struct reeve_handover *handover, uint64_t *ret_lost)
{
    lock(handover);
    bool overflow = handover->overflow;
    handover->overflow = false;
    *ret_lost = handover->lost;
    unlock(handover);
    return overflow;
}

uint64_t reeve_handover_stalls(struct reeve_handover *handover)
{
    lock(handover);
    uint64_t stalls = handover->stalls;
    unlock(handover);
    return stalls;
}
