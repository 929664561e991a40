// Jobs on their way; see job_feed.h.
// Must not: give a job up because no answer came; the same command is sent again.
#include "job_feed.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <reeve/message.h>
#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX       1024 // of the envelope before the jobs
#define ANSWER_MS      3000 // then the command is sent again; doubles
#define ANSWER_MAX_MS  12000
#define LIMIT_FIRST_MS 20 // doubles
#define LIMIT_MAX_MS   1000

enum batch_state { BATCH_FREE, BATCH_FILLING, BATCH_SENT, BATCH_LIMITED };

struct batch {
    struct job_feed *feed;
    enum batch_state state;
    char id[REEVE_ULID_SIZE];
    uint64_t number;     // in the order of lines
    int64_t answer_ms;   // how long an answer may take
    unsigned char *data; // HEAD_MAX bytes of room, then the jobs
    size_t len, cap, jobs;
    struct {
        uint64_t line;
        size_t end; // behind it, among the jobs' bytes
    } items[JOB_FEED_JOBS_MAX];
};

struct job_feed {
    struct job_feed_options options;
    char topic[REEVE_TOPIC_SIZE];
    struct batch batches[JOB_FEED_WINDOW + 1];
    struct batch *filling;
    size_t sent; // in flight
    size_t window;
    uint64_t numbers;
    int64_t answered_mono; // last answer of any kind
    struct reeve_timer again;
    int64_t again_ms;
    char waits_for[256]; // "" = for nothing
    char durability[16];
    struct job_feed_counts counts;
    enum reeve_err err;
    struct reeve_why why;
};

static void fail(struct job_feed *feed, enum reeve_err err, const char *text)
{
    if (feed->err == REEVE_OK) {
        feed->err = reeve_fail(&feed->why, err, "%s", text);
    }
}

// ---- sending
// ----------------------------------------------------------------------------------------------------------

// {id, reply_to, issuer, issued_at, expires_at, dry_run, args: {brief, jobs: [..]}} up to the list's first job.
static void put_head(const struct batch *batch, int64_t ttl_ms, struct reeve_buf *head)
{
    const struct job_feed *feed = batch->feed;
    const struct site *site = feed->options.session->site;
    char reply_to[REEVE_TOPIC_SIZE];
    int64_t now = reeve_clock_wall_ms();
    reeve_pack_map(head, 7);
    reeve_pack_str(head, "id");
    reeve_pack_str(head, batch->id);
    reeve_pack_str(head, "reply_to");
    reeve_pack_str(head, reeve_topic_make(reply_to, site->root, "reply/%s/%s", site->client, batch->id));
    reeve_pack_str(head, "issuer");
    reeve_pack_str(head, site->client);
    reeve_pack_str(head, "issued_at");
    reeve_pack_int(head, now);
    reeve_pack_str(head, "expires_at");
    reeve_pack_int(head, now + ttl_ms);
    reeve_pack_str(head, "dry_run");
    reeve_pack_bool(head, feed->options.dry_run);
    reeve_pack_str(head, "args");
    reeve_pack_map(head, 2);
    reeve_pack_str(head, "brief");
    reeve_pack_bool(head, true);
    reeve_pack_str(head, "jobs");
    reeve_pack_list(head, batch->jobs);
}

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg);

// A manager that is gone comes back within a moment; one that is slow is not to be asked ever more.
static int64_t answer_ms(struct batch *batch)
{
    int64_t timeout_ms = batch->feed->options.timeout_ms;
    batch->answer_ms = batch->answer_ms == 0 ? ANSWER_MS : 2 * batch->answer_ms;
    batch->answer_ms = batch->answer_ms < ANSWER_MAX_MS ? batch->answer_ms : ANSWER_MAX_MS;
    return batch->answer_ms < timeout_ms ? batch->answer_ms : timeout_ms;
}

static void wait_again(struct job_feed *feed)
{
    feed->again_ms = feed->again_ms == 0 ? LIMIT_FIRST_MS : 2 * feed->again_ms;
    feed->again_ms = feed->again_ms < LIMIT_MAX_MS ? feed->again_ms : LIMIT_MAX_MS;
    reeve_timer_start(&feed->again, feed->again_ms, 0);
}

static void send_batch(struct batch *batch)
{
    struct job_feed *feed = batch->feed;
    REEVE_BUF_AUTO head = REEVE_BUF_INIT(HEAD_MAX);
    struct reeve_why why = {0};
    int64_t wait_ms = answer_ms(batch);
    put_head(batch, wait_ms, &head);
    REEVE_ASSERT(head.err == REEVE_OK); // topics and names are bounded
    unsigned char *payload = batch->data + HEAD_MAX - head.len;
    memcpy(payload, head.data, head.len);
    enum reeve_err err = reeve_bus_request_packed(feed->options.session->bus, feed->topic, batch->id, payload,
                                                  head.len + batch->len, wait_ms, on_reply, batch, &why);
    if (err == REEVE_OK) {
        batch->state = BATCH_SENT;
        feed->sent++;
        feed->counts.commands++;
    } else if (err == REEVE_LIMIT) { // the bus' own queue is full
        batch->state = BATCH_LIMITED;
        wait_again(feed);
    } else {
        fail(feed, err, why.text);
    }
}

static struct batch *first_limited(struct job_feed *feed)
{
    struct batch *first = NULL;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(feed->batches); i++) {
        struct batch *batch = &feed->batches[i];
        if (batch->state == BATCH_LIMITED && (first == NULL || batch->number < first->number)) {
            first = batch;
        }
    }
    return first;
}

static void send_limited(struct job_feed *feed)
{
    struct batch *batch = first_limited(feed);
    if (batch != NULL && feed->err == REEVE_OK) {
        feed->counts.sent_again++;
        send_batch(batch);
    }
}

static void on_again(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    send_limited(arg);
}

// ---- answers
// ----------------------------------------------------------------------------------------------------------

// A queue that is full refuses job by job, with this: it is no fault of theirs.
static bool is_no_room(const struct reeve_value *other)
{
    const char *code = reeve_get_str(other, "code");
    const char *message = reeve_get_str(other, "message");
    return code != NULL && strcmp(code, reeve_err_text(REEVE_LIMIT)) == 0 && message != NULL &&
           reeve_str_starts(message, "the queue is full");
}

static bool is_rejected(const struct batch *batch, const struct reeve_value *other, size_t *ret_index)
{
    int64_t index = reeve_get_int(other, "index", -1);
    const char *outcome = reeve_get_str(other, "outcome");
    *ret_index = (size_t)index;
    return outcome != NULL && strcmp(outcome, "rejected") == 0 && index >= 0 && (size_t)index < batch->jobs;
}

// The first job that found no room; their number when all did.
static size_t first_without_room(const struct batch *batch, const struct reeve_value *others)
{
    size_t first = batch->jobs;
    size_t index;
    for (size_t i = 0; i < reeve_value_len(others); i++) {
        const struct reeve_value *other = reeve_value_at(others, i);
        if (is_rejected(batch, other, &index) && is_no_room(other) && index < first) {
            first = index;
        }
    }
    return first;
}

// Tells the jobs that were refused for good, and keeps the others for another try: what comes behind one that found no
// room may have been refused for want of it (`after`). The message of the first of these in *ret_message.
static void take_others(struct batch *batch, const struct reeve_value *others, bool *keep, const char **ret_message)
{
    struct job_feed *feed = batch->feed;
    size_t first = first_without_room(batch, others);
    size_t index;
    for (size_t i = 0; i < reeve_value_len(others); i++) {
        const struct reeve_value *other = reeve_value_at(others, i);
        const char *message = reeve_get_str(other, "message");
        if (!is_rejected(batch, other, &index)) {
            continue;
        }
        keep[index] = index >= first;
        if (index == first) {
            *ret_message = message;
        } else if (index < first) {
            feed->options.on_rejected(batch->items[index].line, reeve_get_str(other, "code"), message,
                                      feed->options.arg);
        }
    }
}

// Only what is to be tried again stays, as another command: the same with other jobs would be a conflict [cmd-4].
static size_t compact(struct batch *batch, const bool *keep)
{
    size_t jobs = 0;
    size_t len = 0;
    for (size_t i = 0, from = 0; i < batch->jobs; i++) {
        size_t end = batch->items[i].end;
        if (keep[i]) {
            memmove(batch->data + HEAD_MAX + len, batch->data + HEAD_MAX + from, end - from);
            len += end - from;
            batch->items[jobs].line = batch->items[i].line;
            batch->items[jobs++].end = len;
        }
        from = end;
    }
    batch->jobs = jobs;
    batch->len = len;
    batch->answer_ms = 0;
    (void)reeve_ulid_new(batch->id);
    return jobs;
}

static void hold_back(struct batch *batch, const char *message)
{
    struct job_feed *feed = batch->feed;
    batch->state = BATCH_LIMITED;
    feed->counts.limited++;
    (void)snprintf(feed->waits_for, sizeof feed->waits_for, "%s", message != NULL ? message : "the queue is full");
    if (!reeve_timer_armed(&feed->again)) {
        wait_again(feed);
    }
}

static void settle(struct batch *batch, const struct reeve_value *result)
{
    struct job_feed *feed = batch->feed;
    const char *durability = reeve_get_str(result, "durability");
    const char *message = NULL;
    int64_t taken = reeve_get_int(result, "accepted", 0) + reeve_get_int(result, "duplicates", 0);
    bool keep[JOB_FEED_JOBS_MAX] = {false};
    feed->counts.accepted += (uint64_t)reeve_get_int(result, "accepted", 0);
    feed->counts.duplicates += (uint64_t)reeve_get_int(result, "duplicates", 0);
    (void)snprintf(feed->durability, sizeof feed->durability, "%.15s", durability != NULL ? durability : "");
    take_others(batch, reeve_value_get(result, "others"), keep, &message);
    size_t left = compact(batch, keep);
    feed->counts.rejected += (uint64_t)reeve_get_int(result, "rejected", 0) - left;
    feed->again_ms = taken > 0 ? 0 : feed->again_ms;
    if (left > 0) {
        hold_back(batch, message);
    } else {
        batch->state = BATCH_FREE;
        feed->waits_for[0] = '\0';
        send_limited(feed);
    }
    if (taken > 0 || left == 0) {
        feed->options.on_room(feed->options.arg);
    }
}

static bool is_code(const struct reeve_reply *reply, enum reeve_err err)
{
    return reply->code != NULL && strcmp(reply->code, reeve_err_text(err)) == 0;
}

static enum reeve_err class_of(const char *code)
{
    static const enum reeve_err classes[] = {REEVE_NOENT, REEVE_CONFLICT, REEVE_DENIED, REEVE_INVALID, REEVE_IO};
    for (size_t i = 0; code != NULL && i < REEVE_ARRAY_LEN(classes); i++) {
        if (strcmp(code, reeve_err_text(classes[i])) == 0) {
            return classes[i];
        }
    }
    return REEVE_INTERNAL;
}

static void take_reply(struct batch *batch, const struct reeve_reply *reply)
{
    bool judged = reeve_value_get(reply->result, "rejected") != NULL; // job by job
    bool told = reply->phase == REEVE_PHASE_REJECTED || reply->phase == REEVE_PHASE_DUPLICATE;
    if (reply->phase == REEVE_PHASE_DONE || (told && judged)) {
        settle(batch, reply->result);
    } else if (is_code(reply, REEVE_LIMIT)) {
        hold_back(batch, reply->message);
    } else if (reply->phase == REEVE_PHASE_EXPIRED || reply->phase == REEVE_PHASE_DUPLICATE) {
        batch->feed->counts.sent_again++;
        send_batch(batch);
    } else {
        fail(batch->feed, class_of(reply->code),
             reply->message != NULL ? reply->message : reeve_phase_text(reply->phase));
    }
}

// Nothing came. The manager may have started again meanwhile; it knows the command's id if it has taken it.
static void take_silence(struct batch *batch)
{
    struct job_feed *feed = batch->feed;
    if (reeve_clock_mono_ms() - feed->answered_mono >= feed->options.timeout_ms) {
        fail(feed, REEVE_TIMEOUT, "no answer within the timeout");
        return;
    }
    feed->counts.sent_again++;
    send_batch(batch);
}

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    (void)bus;
    struct batch *batch = arg;
    struct job_feed *feed = batch->feed;
    if (reply != NULL) {
        feed->answered_mono = reeve_clock_mono_ms();
        if (!reeve_phase_terminal(reply->phase)) {
            return;
        }
    }
    feed->sent--;
    batch->state = BATCH_LIMITED; // until it is known what comes of it
    if (feed->err != REEVE_OK) {
        return;
    }
    if (reply != NULL) {
        take_reply(batch, reply);
    } else if (err == REEVE_TIMEOUT) {
        take_silence(batch);
    } else if (err == REEVE_LIMIT) {
        hold_back(batch, "too much is on its way to the broker");
    } else {
        fail(feed, err,
             err == REEVE_DENIED ? "the broker does not let this user add jobs to this queue" : reeve_err_text(err));
    }
}

// ---- filling
// ----------------------------------------------------------------------------------------------------------

static struct batch *free_batch(struct job_feed *feed)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(feed->batches); i++) {
        if (feed->batches[i].state == BATCH_FREE) {
            return &feed->batches[i];
        }
    }
    return NULL;
}

static bool reserve(struct batch *batch, size_t len)
{
    size_t want = HEAD_MAX + batch->len + len;
    size_t cap = want > HEAD_MAX + JOB_FEED_BYTES_MAX ? want : HEAD_MAX + JOB_FEED_BYTES_MAX;
    if (want <= batch->cap) {
        return true;
    }
    unsigned char *data = realloc(batch->data, cap);
    if (data == NULL) {
        fail(batch->feed, REEVE_NOMEM, "out of memory");
        return false;
    }
    batch->data = data;
    batch->cap = cap;
    return true;
}

static bool fits(const struct batch *batch, size_t len)
{
    return batch->jobs == 0 || (batch->jobs < JOB_FEED_JOBS_MAX && batch->len + len <= JOB_FEED_BYTES_MAX);
}

static bool may_send(struct job_feed *feed)
{
    return feed->err == REEVE_OK && feed->sent < feed->window && first_limited(feed) == NULL;
}

void job_feed_keep_order(struct job_feed *feed)
{
    feed->window = 1;
}

void job_feed_flush(struct job_feed *feed)
{
    struct batch *batch = feed->filling;
    if (batch != NULL && batch->jobs > 0 && may_send(feed)) {
        feed->filling = NULL;
        if (feed->sent == 0) {
            feed->answered_mono = reeve_clock_mono_ms(); // nobody was asked until now
        }
        send_batch(batch);
    }
}

bool job_feed_add(struct job_feed *feed, const unsigned char *job, size_t len, uint64_t line)
{
    if (feed->filling != NULL && !fits(feed->filling, len)) {
        job_feed_flush(feed);
    }
    if (feed->filling == NULL) {
        feed->filling = free_batch(feed);
        if (feed->filling == NULL) {
            return false;
        }
        struct batch *batch = feed->filling;
        batch->state = BATCH_FILLING;
        batch->number = feed->numbers++;
        batch->answer_ms = 0;
        batch->len = batch->jobs = 0;
        (void)reeve_ulid_new(batch->id);
    }
    struct batch *batch = feed->filling;
    if (!fits(batch, len) || !reserve(batch, len)) {
        return false;
    }
    memcpy(batch->data + HEAD_MAX + batch->len, job, len);
    batch->len += len;
    batch->items[batch->jobs].line = line;
    batch->items[batch->jobs++].end = batch->len;
    if (batch->jobs == JOB_FEED_JOBS_MAX) {
        job_feed_flush(feed);
    }
    return true;
}

// ---- the object
// -------------------------------------------------------------------------------------------------------

enum reeve_err job_feed_new(const struct job_feed_options *options, struct job_feed **ret, struct reeve_why *why)
{
    struct job_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    feed->options = *options;
    (void)reeve_topic_make(feed->topic, options->session->site->root, "queue/%s/cmd/enqueue", options->queue);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(feed->batches); i++) {
        feed->batches[i].feed = feed;
    }
    feed->window = JOB_FEED_WINDOW;
    feed->answered_mono = reeve_clock_mono_ms();
    reeve_timer_init(&options->session->loop, &feed->again, on_again, feed);
    *ret = feed;
    return REEVE_OK;
}

static void on_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct job_feed *feed = arg;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(feed->batches); i++) {
        free(feed->batches[i].data);
    }
    free(feed);
}

void job_feed_free(struct job_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(feed->batches); i++) {
        if (feed->batches[i].state == BATCH_SENT) {
            reeve_bus_request_cancel(feed->options.session->bus, feed->batches[i].id);
        }
    }
    reeve_timer_close(&feed->again, on_closed); // the loop goes on until it is closed
}

bool job_feed_idle(const struct job_feed *feed)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(feed->batches); i++) {
        const struct batch *batch = &feed->batches[i];
        if (batch->state != BATCH_FREE && batch->jobs > 0) {
            return false;
        }
    }
    return true;
}

enum reeve_err job_feed_failed(const struct job_feed *feed, struct reeve_why *why)
{
    if (feed->err != REEVE_OK && why != NULL) {
        *why = feed->why;
    }
    return feed->err;
}

const char *job_feed_waits_for(const struct job_feed *feed)
{
    return feed->waits_for[0] != '\0' ? feed->waits_for : NULL;
}

const struct job_feed_counts *job_feed_counts(const struct job_feed *feed)
{
    return &feed->counts;
}

const char *job_feed_durability(const struct job_feed *feed)
{
    return feed->durability;
}

void job_feed_connected(struct job_feed *feed)
{
    feed->answered_mono = reeve_clock_mono_ms();
}
