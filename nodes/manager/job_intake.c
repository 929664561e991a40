// Enqueue [job-2] [job-11]: reads what producers send, job by job, finds the ids that are known, and answers after the commit. An
// enqueue is idempotent by the ids of its jobs, so it needs no journal.
// Must not: start jobs (job_dispatch.c).
#include "queue_room.h"
#include "turn.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define STORE_PATH_LEN    4096
#define AUTO_ID_SIZE      (REEVE_JOB_ID_SIZE + 8)
#define DISK_RESERVE_MAX  (64LL << 20) // what is kept free, so that jobs that are there can go on and end
#define DISK_RESERVE_PART 8            // of a small disk: at most this part of it
#define DISK_COST_FACTOR  4            // bytes on disk for a byte of a job, its indexes and the log of the turn included, roughly

struct intake_reply { // owed for one enqueue, until the turn has ended
    struct intake_reply *next;
    char *reply_to; // full topic
    char *correlation;
    size_t correlation_len;
    char id[REEVE_TOPIC_ID_SIZE];
    enum reeve_phase phase;
    enum reeve_err code;
    char message[256];
    bool needs_commit;
    struct reeve_buf result; // msgpack map, or empty
};

struct intake { // one enqueue while it is read
    struct queues *queues;
    struct queue *queue;
    const struct reeve_enqueue *enqueue;
    struct reeve_span command_id;
    struct reeve_buf ids, others;
    size_t ids_place, others_place, others_len;
    size_t index, accepted, duplicates, rejected;
    struct reeve_why first; // what was wrong with the first that was rejected
    enum reeve_err first_err;
};

// ---- answering ------------------------------------------------------------------------------------------------------

static char *copy_bytes(const void *data, size_t len)
{
    char *copy = len > 0 ? malloc(len) : NULL;
    if (copy != NULL) {
        memcpy(copy, data, len);
    }
    return copy;
}

static char *copy_text(struct reeve_span text)
{
    char *copy = malloc(text.len + 1);
    if (copy != NULL) {
        memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
    }
    return copy;
}

static void reply_free(struct intake_reply *reply)
{
    free(reply->reply_to);
    free(reply->correlation);
    reeve_buf_done(&reply->result);
    free(reply);
}

static struct intake_reply *reply_new(const struct reeve_delivery *delivery, const struct reeve_enqueue *enqueue,
                                      struct reeve_span id)
{
    struct intake_reply *reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        return NULL;
    }
    if (enqueue->reply_to.len > 0) {
        reply->reply_to = copy_text(enqueue->reply_to);
    } else if (delivery->response_topic != NULL) {
        reply->reply_to = strdup(delivery->response_topic);
    }
    if (delivery->correlation_len > 0) {
        reply->correlation = copy_bytes(delivery->correlation, delivery->correlation_len);
        reply->correlation_len = reply->correlation != NULL ? delivery->correlation_len : 0;
    }
    (void)snprintf(reply->id, sizeof reply->id, "%.*s", (int)id.len, id.data); /* checked */
    reply->phase = REEVE_PHASE_DONE;
    return reply;
}

static void write_reply(struct manager *manager, const struct intake_reply *reply, struct reeve_buf *buf)
{
    bool failed = reply->code != REEVE_OK;
    reeve_pack_map(buf, 6u + (failed ? 2u : 0u) + (reply->result.len > 0 ? 1u : 0u));
    reeve_pack_str(buf, "id");
    reeve_pack_str(buf, reply->id);
    reeve_pack_str(buf, "seq");
    reeve_pack_int(buf, 1);
    reeve_pack_str(buf, "phase");
    reeve_pack_str(buf, reeve_phase_text(reply->phase));
    if (failed) {
        reeve_pack_str(buf, "code");
        reeve_pack_str(buf, reeve_err_text(reply->code));
        reeve_pack_str(buf, "message");
        reeve_pack_str(buf, reply->message);
    }
    if (reply->result.len > 0) {
        reeve_pack_str(buf, "result");
        reeve_pack_raw(buf, (struct reeve_span){reply->result.data, reply->result.len});
    }
    reeve_pack_str(buf, "by");
    reeve_pack_str(buf, manager->config.manager.name);
    reeve_pack_str(buf, "epoch");
    reeve_pack_int(buf, (int64_t)reeve_bus_epoch(manager->bus));
    reeve_pack_str(buf, "at");
    reeve_pack_int(buf, reeve_clock_wall_ms());
}

// Where to: the sender's address; what failed with nobody listening is told to `anonymous` [cmd-3].
static bool address(struct manager *manager, const struct intake_reply *reply, char topic[REEVE_TOPIC_SIZE])
{
    const char *root = manager->config.manager.root;
    if (reply->reply_to != NULL) {
        (void)snprintf(topic, REEVE_TOPIC_SIZE, "%s", reply->reply_to); /* a longer one is refused next */
        return strlen(reply->reply_to) < REEVE_TOPIC_SIZE && reeve_topic_reply_allowed(root, topic);
    }
    if (reply->code != REEVE_OK) {
        (void)reeve_topic_make(topic, root, "reply/anonymous/%s", reply->id);
        return true;
    }
    return false;
}

static void post_reply(struct queues *queues, const struct intake_reply *reply)
{
    struct job_message *message = calloc(1, sizeof *message);
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(2u << 20);
    if (message == NULL || !address(queues->manager, reply, message->topic)) {
        free(message);
        return;
    }
    write_reply(queues->manager, reply, &bytes);
    message->len = bytes.len;
    message->bytes = bytes.err == REEVE_OK ? reeve_buf_take(&bytes, NULL) : NULL;
    message->correlation = copy_bytes(reply->correlation, reply->correlation_len);
    message->correlation_len = message->correlation != NULL ? reply->correlation_len : 0;
    if (message->bytes == NULL) {
        free(message->correlation);
        free(message);
        return; // out of memory: the sender asks again
    }
    dispatch_post(queues, message);
}

static void refused_by_disk(struct intake_reply *reply)
{
    reply->phase = REEVE_PHASE_FAILED;
    reply->code = REEVE_IO;
    (void)snprintf(reply->message, sizeof reply->message,
                   "nothing was enqueued: the manager's disk refuses to write; the same command can be sent again"); /* fits */
    reeve_buf_reset(&reply->result);
}

void intake_settle(struct queues *queues, bool committed)
{
    while (queues->replies != NULL) {
        struct intake_reply *reply = queues->replies;
        queues->replies = reply->next;
        if (!committed && reply->needs_commit) {
            refused_by_disk(reply);
        }
        post_reply(queues, reply);
        reply_free(reply);
    }
    queues->replies_tail = NULL;
    queues->replies_len = 0;
}

void intake_forget(struct queues *queues)
{
    while (queues->replies != NULL) {
        struct intake_reply *reply = queues->replies;
        queues->replies = reply->next;
        reply_free(reply);
    }
    queues->replies_tail = NULL;
    queues->replies_len = 0;
}

static void owe(struct queues *queues, struct intake_reply *reply)
{
    if (queues->replies_tail != NULL) {
        queues->replies_tail->next = reply;
    } else {
        queues->replies = reply;
    }
    queues->replies_tail = reply;
    queues->replies_len++;
}

static void refuse(struct queues *queues, struct intake_reply *reply, enum reeve_phase phase, enum reeve_err err, const char *text)
{
    reply->phase = phase;
    reply->code = err;
    (void)snprintf(reply->message, sizeof reply->message, "%s", text); /* cut */
    queues->refused++;
    owe(queues, reply);
}

// ---- room on the disk -------------------------------------------------------------------------------------------------

// What the write-ahead log has and the database has not: it needs its room twice until it is copied.
static int64_t log_bytes(const struct manager *manager)
{
    char path[STORE_PATH_LEN];
    struct stat log;
    (void)snprintf(path, sizeof path, "%s/" STORE_FILE "-wal", manager->config.manager.state_dir); /* a cut path is not found */
    return stat(path, &log) == 0 ? (int64_t)log.st_size : 0;
}

// A disk that is full to the last byte can't even take the end of a job: so enqueue stops before.
void intake_look_at_disk(struct queues *queues)
{
    struct statvfs disk;
    if (statvfs(queues->manager->config.manager.state_dir, &disk) != 0) {
        queues->disk_room = INT64_MAX; // the commit tells
        return;
    }
    int64_t block = (int64_t)(disk.f_frsize > 0 ? disk.f_frsize : disk.f_bsize);
    int64_t reserve = (int64_t)disk.f_blocks * block / DISK_RESERVE_PART;
    queues->disk_free = (int64_t)disk.f_bavail * block + store_spare_bytes(queues->manager->store);
    queues->disk_room = queues->disk_free - log_bytes(queues->manager) - (reserve < DISK_RESERVE_MAX ? reserve : DISK_RESERVE_MAX);
}

static enum reeve_err check_disk(struct queues *queues, const struct queue *queue, size_t bytes, struct reeve_why *why)
{
    if (queue->spec.durability == REEVE_DURABILITY_MEMORY) {
        return REEVE_OK;
    }
    queues->disk_room -= (int64_t)bytes * DISK_COST_FACTOR;
    if (queues->disk_room < 0) {
        intake_look_at_disk(queues);
    }
    return queues->disk_room >= 0 ? REEVE_OK
                                  : reeve_fail(why, REEVE_IO,
                                               "nothing was enqueued: the manager's disk is nearly full (%lld MiB left), and what is "
                                               "left is for the jobs that are there",
                                               (long long)(queues->disk_free >> 20));
}

// ---- one job --------------------------------------------------------------------------------------------------------

static struct reeve_span job_id(const struct intake *intake, const struct reeve_job_spec *spec, char buf[AUTO_ID_SIZE])
{
    if (spec->id.len > 0) {
        return spec->id;
    }
    if (intake->enqueue->jobs.len == 0) {
        return intake->command_id;
    }
    int len = snprintf(buf, AUTO_ID_SIZE, "%.*s-%zu", (int)intake->command_id.len, intake->command_id.data, intake->index);
    return (struct reeve_span){buf, len > 0 ? (size_t)len : 0};
}

static enum reeve_err check_room(const struct queue *queue, size_t bytes, struct reeve_why *why)
{
    int64_t live = queue->counts[REEVE_JOB_WAITING] + queue->counts[REEVE_JOB_DELAYED] + queue->counts[REEVE_JOB_ACTIVE] +
                   queue->counts[REEVE_JOB_UNKNOWN];
    if (live >= queue->spec.jobs_max) {
        return reeve_fail(why, REEVE_LIMIT, "the queue is full: %lld jobs (jobs_max)", (long long)live);
    }
    if (queue->bytes + (int64_t)bytes > reeve_queue_bytes_max(&queue->spec)) {
        return reeve_fail(why, REEVE_LIMIT, "the queue is full: %lld bytes (bytes_max)", (long long)queue->bytes);
    }
    return REEVE_OK;
}

struct needs { // what a job waits for
    int64_t numbers[JOB_AFTER_MAX];
    size_t len;
};

static enum reeve_err find_need(struct queue *queue, struct reeve_span id, struct needs *needs, struct reeve_why *why)
{
    int64_t number;
    struct job_ended_row ended;
    enum reeve_err err = reeve_job_id_valid(id) ? job_store_find(queue->store, queue->number, id, &number, why) : REEVE_NOENT;
    if (err == REEVE_NOENT) {
        return reeve_fail_at(why, REEVE_INVALID, "after", "no job %.*s in this queue", (int)id.len, id.data);
    }
    if (err != REEVE_OK) {
        return err;
    }
    if (job_index_get(queue->queues->index, number) == NULL &&
        job_store_ended(queue->store, number, &ended, NULL) == REEVE_OK && ended.state == REEVE_JOB_COMPLETED) {
        return REEVE_OK;
    }
    if (needs->len == JOB_AFTER_MAX) {
        return reeve_fail_at(why, REEVE_LIMIT, "after", "more than %d jobs", JOB_AFTER_MAX);
    }
    needs->numbers[needs->len++] = number;
    return REEVE_OK;
}

static enum reeve_err find_needs(struct queue *queue, struct reeve_span after, struct needs *needs, struct reeve_why *why)
{
    struct reeve_cursor cursor = REEVE_CURSOR(after.data, after.len);
    enum reeve_err err = REEVE_OK;
    for (size_t n = after.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0 && err == REEVE_OK; n--) {
        struct reeve_span id = reeve_cursor_str(&cursor);
        err = cursor.err == REEVE_OK ? find_need(queue, id, needs, why) : cursor.err;
    }
    return err;
}

static void set_time(struct job *job, const struct reeve_job_spec *spec, int64_t now)
{
    int64_t delay = spec->run_at > 0 ? spec->run_at - now : spec->delay_ms;
    if (delay > 0) {
        struct queue *queue = job_queue(job);
        queue->counts[REEVE_JOB_WAITING]--;
        queue->counts[REEVE_JOB_DELAYED]++;
        job->state = REEVE_JOB_DELAYED;
        job->run_at = now + delay;
        job->due_mono = reeve_clock_mono_ms() + delay;
    }
}

// Known id: CONFLICT, *ret_known. The job is in memory and in the turn on OK.
static enum reeve_err add(struct queue *queue, const struct reeve_job_spec *spec, struct reeve_span id, const struct needs *needs,
                          int64_t *ret_known, struct reeve_why *why)
{
    struct queues *queues = queue->queues;
    int64_t now = reeve_clock_wall_ms();
    struct job_class *class = job_class_get(queue, spec->type, spec->requires, why);
    if (class == NULL) {
        return REEVE_INVALID;
    }
    struct job *job = job_new(queue, class, queues->number + 1, spec->key);
    if (job == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = job_store_add(queue->store, queue->number, job->number, id, spec->raw, reeve_job_spec_digest(spec),
                                       ret_known, why);
    for (size_t i = 0; err == REEVE_OK && i < needs->len; i++) {
        err = after_add(queues, job, needs->numbers[i], true);
    }
    if (err != REEVE_OK) {
        job_drop(job);
        return err;
    }
    queues->number++;
    job->added_at = now;
    job->priority = (uint8_t)spec->priority;
    job->bytes = (uint32_t)spec->raw.len;
    queue->bytes += job->bytes;
    queue->rates.added++;
    set_time(job, spec, now);
    job_body_keep(job, id, spec->raw);
    job_restore(job);
    job_dirty(job);
    if (spec->dedupe_key.len > 0) {
        err = job_store_dedupe_put(queue->store, queue->number, spec->dedupe_key, job->number, now + spec->dedupe_ms, why);
    }
    if (queue->spec.job_records || queue->spec.events == 2) {
        queue_change(queue, job, (enum reeve_job_state)job->state, (struct reeve_span){0});
    }
    return err;
}

static enum reeve_job_state state_of(struct queue *queue, int64_t number)
{
    const struct job *job = job_index_get(queue->queues->index, number);
    struct job_ended_row ended;
    if (job != NULL) {
        return (enum reeve_job_state)job->state;
    }
    return job_store_ended(queue->store, number, &ended, NULL) == REEVE_OK ? ended.state : REEVE_JOB_COMPLETED;
}

// ---- outcomes -------------------------------------------------------------------------------------------------------

static void other(struct intake *intake, struct reeve_span id, const char *outcome, const char *state, enum reeve_err err,
                  const char *text)
{
    struct reeve_buf *buf = &intake->others;
    intake->others_len++;
    reeve_pack_map(buf, 3u + (state != NULL ? 1u : 0u) + (err != REEVE_OK ? 2u : 0u));
    reeve_pack_str(buf, "index");
    reeve_pack_int(buf, (int64_t)intake->index);
    reeve_pack_str(buf, "id");
    reeve_pack_span(buf, id);
    reeve_pack_str(buf, "outcome");
    reeve_pack_str(buf, outcome);
    if (state != NULL) {
        reeve_pack_str(buf, "state");
        reeve_pack_str(buf, state);
    }
    if (err != REEVE_OK) {
        reeve_pack_str(buf, "code");
        reeve_pack_str(buf, reeve_err_text(err));
        reeve_pack_str(buf, "message");
        reeve_pack_str(buf, text);
    }
}

static void rejected(struct intake *intake, struct reeve_span id, enum reeve_err err, const struct reeve_why *why)
{
    char text[700];
    if (intake->rejected++ == 0) {
        intake->first = *why;
        intake->first_err = err;
    }
    intake->queue->rates.rejected++;
    other(intake, reeve_job_id_valid(id) ? id : (struct reeve_span){"", 0}, "rejected", NULL, err,
          reeve_why_format(why, text, sizeof text));
}

static void duplicate(struct intake *intake, struct reeve_span id, int64_t number)
{
    intake->duplicates++;
    intake->queue->rates.duplicates++;
    other(intake, id, "duplicate", reeve_job_state_text(state_of(intake->queue, number)), REEVE_OK, NULL);
}

static void known_id(struct intake *intake, const struct reeve_job_spec *spec, struct reeve_span id, int64_t number)
{
    struct job_body body;
    struct reeve_why why = {0};
    enum reeve_err err = job_store_body(intake->queue->store, number, &body, &why);
    if (err == REEVE_OK && body.digest != reeve_job_spec_digest(spec)) {
        err = reeve_fail_at(&why, REEVE_CONFLICT, "id", "%.*s is known with another type, key or payload", (int)id.len, id.data);
    }
    if (err != REEVE_OK && err != REEVE_NOENT) {
        rejected(intake, id, err, &why);
    } else {
        duplicate(intake, id, number);
    }
}

static void take_job(struct intake *intake, const struct reeve_job_spec *spec)
{
    char buf[AUTO_ID_SIZE];
    struct queue *queue = intake->queue;
    struct reeve_span id = job_id(intake, spec, buf);
    struct reeve_why why = {0};
    struct needs needs = {.len = 0};
    int64_t known = 0;
    reeve_pack_span(&intake->ids, id);
    enum reeve_err err = check_room(queue, spec->raw.len, &why);
    if (err == REEVE_OK && spec->after.len > 0) {
        err = find_needs(queue, spec->after, &needs, &why);
    }
    if (err == REEVE_OK && spec->dedupe_key.len > 0 &&
        job_store_dedupe_find(queue->store, queue->number, spec->dedupe_key, reeve_clock_wall_ms(), &known, NULL) == REEVE_OK) {
        duplicate(intake, id, known);
        return;
    }
    if (err == REEVE_OK && intake->enqueue->dry_run) {
        err = job_store_find(queue->store, queue->number, id, &known, &why);
        err = err == REEVE_NOENT ? REEVE_OK : err == REEVE_OK ? REEVE_CONFLICT : err;
    } else if (err == REEVE_OK) {
        err = add(queue, spec, id, &needs, &known, &why);
    } else if (job_store_find(queue->store, queue->number, id, &known, NULL) == REEVE_OK) {
        err = REEVE_CONFLICT; // a repeat is answered as such, also by a full queue
    }
    if (err == REEVE_OK) {
        intake->accepted++;
    } else if (err == REEVE_CONFLICT && known > 0) {
        known_id(intake, spec, id, known);
    } else {
        rejected(intake, id, err, &why);
    }
}

static void take_next(struct intake *intake, struct reeve_cursor *cursor)
{
    struct reeve_job_spec spec;
    struct reeve_why why = {0};
    enum reeve_err err = reeve_job_spec_read(cursor, &spec, &why);
    if (err == REEVE_OK) {
        take_job(intake, &spec);
    } else {
        reeve_pack_null(&intake->ids);
        rejected(intake, spec.id, err, &why);
    }
    intake->index++;
}

static void take_jobs(struct intake *intake)
{
    const struct reeve_enqueue *enqueue = intake->enqueue;
    struct reeve_span bytes = enqueue->jobs.len > 0 ? enqueue->jobs : enqueue->job;
    struct reeve_cursor cursor = REEVE_CURSOR(bytes.data, bytes.len);
    size_t count = enqueue->jobs.len > 0 ? reeve_cursor_list(&cursor) : 1;
    for (size_t i = 0; i < count && cursor.err == REEVE_OK; i++) {
        take_next(intake, &cursor);
    }
}

static void write_result(struct intake *intake, struct reeve_buf *buf)
{
    bool brief = intake->enqueue->brief;
    reeve_pack_list_close(&intake->ids, intake->ids_place, intake->index);
    reeve_pack_list_close(&intake->others, intake->others_place, intake->others_len);
    reeve_pack_map(buf, brief ? 5 : 6);
    reeve_pack_str(buf, "durability");
    reeve_pack_str(buf, intake->queue->spec.durability == REEVE_DURABILITY_MEMORY ? "memory" : "commit");
    reeve_pack_str(buf, "accepted");
    reeve_pack_int(buf, (int64_t)intake->accepted);
    reeve_pack_str(buf, "duplicates");
    reeve_pack_int(buf, (int64_t)intake->duplicates);
    reeve_pack_str(buf, "rejected");
    reeve_pack_int(buf, (int64_t)intake->rejected);
    if (!brief) {
        reeve_pack_str(buf, "ids");
        reeve_pack_raw(buf, (struct reeve_span){intake->ids.data, intake->ids.len});
    }
    reeve_pack_str(buf, "others");
    reeve_pack_raw(buf, (struct reeve_span){intake->others.data, intake->others.len});
}

static void settle_one(struct intake *intake, struct intake_reply *reply)
{
    write_result(intake, &reply->result);
    reply->needs_commit = intake->queue->spec.durability == REEVE_DURABILITY_COMMIT;
    if (intake->accepted == 0 && intake->duplicates == 0 && intake->rejected > 0) {
        reply->phase = REEVE_PHASE_REJECTED;
        reply->code = intake->first_err;
        (void)reeve_why_format(&intake->first, reply->message, sizeof reply->message);
    }
    owe(intake->queues, reply);
}

// ---- a delivery -------------------------------------------------------------------------------------------------------

static enum reeve_err check(struct queues *queues, const struct queue *queue, const char *name,
                            const struct reeve_enqueue *enqueue, struct reeve_why *why)
{
    if (queue == NULL) {
        const char *names[64];
        size_t len = 0;
        for (struct reeve_map_iter it = {0}; len + 1 < REEVE_ARRAY_LEN(names) && reeve_map_next(queues->by_name, &it);) {
            names[len++] = it.key;
        }
        names[len] = NULL;
        return not_found(why, "queue", name, names);
    }
    if (queue->draining) {
        return reeve_fail(why, REEVE_CONFLICT, "queue %s drains: it takes no new jobs until `resume`", queue->name);
    }
    if (enqueue->expires_at > 0 && enqueue->expires_at < reeve_clock_wall_ms()) {
        return reeve_fail(why, REEVE_TIMEOUT, "expired before it arrived");
    }
    if (queue->spec.durability == REEVE_DURABILITY_COMMIT && turn_store_failing(queues->manager->turn)) {
        return reeve_fail(why, REEVE_IO, "nothing was enqueued: the manager's disk refuses to write; the same command can be sent again");
    }
    return check_room(queue, 0, why); // as a whole, unread: a producer that floods a full queue must not keep others waiting
}

static void take_enqueue(struct queues *queues, struct queue *queue, const struct reeve_enqueue *enqueue,
                         struct intake_reply *reply)
{
    struct intake intake = {.queues = queues, .queue = queue, .enqueue = enqueue, .command_id = {reply->id, strlen(reply->id)}};
    intake.ids = (struct reeve_buf)REEVE_BUF_INIT(1u << 20);
    intake.others = (struct reeve_buf)REEVE_BUF_INIT(1u << 20);
    intake.ids_place = reeve_pack_list_open(&intake.ids);
    intake.others_place = reeve_pack_list_open(&intake.others);
    take_jobs(&intake);
    settle_one(&intake, reply);
    reeve_buf_done(&intake.ids);
    reeve_buf_done(&intake.others);
}

void intake_delivery(struct queues *queues, struct queue *queue, const char *name, const struct reeve_delivery *delivery)
{
    struct reeve_enqueue enqueue = {0};
    struct reeve_why why = {0};
    char made[REEVE_ULID_SIZE];
    REEVE_BUF_AUTO scratch = REEVE_BUF_INIT(2u << 20);
    queues->enqueues++;
    if (queues->unsent_len > QUEUE_UNSENT_MAX || (delivery->retained && delivery->payload_len == 0)) {
        queues->refused++; // unanswered: the sender asks again
        return;
    }
    enum reeve_err err = reeve_enqueue_decode(delivery->payload, delivery->payload_len, &scratch, &enqueue, &why);
    struct reeve_span id = enqueue.id;
    if (id.len == 0 || id.len >= REEVE_TOPIC_ID_SIZE) {
        id = (struct reeve_span){reeve_ulid_new(made), REEVE_ULID_LEN};
    }
    struct intake_reply *reply = reply_new(delivery, &enqueue, id);
    if (reply == NULL) {
        queues->refused++;
        return;
    }
    char text[700];
    if (delivery->retained) {
        refuse(queues, reply, REEVE_PHASE_REJECTED, REEVE_INVALID, "retained: commands are never retained");
    } else if (err != REEVE_OK) {
        queues->malformed++;
        refuse(queues, reply, REEVE_PHASE_REJECTED, err, reeve_why_format(&why, text, sizeof text));
    } else if ((err = check(queues, queue, name, &enqueue, &why)) != REEVE_OK ||
               (err = check_disk(queues, queue, delivery->payload_len, &why)) != REEVE_OK) {
        refuse(queues, reply, err == REEVE_IO ? REEVE_PHASE_FAILED : err == REEVE_TIMEOUT ? REEVE_PHASE_EXPIRED : REEVE_PHASE_REJECTED,
               err, reeve_why_format(&why, text, sizeof text));
    } else {
        take_enqueue(queues, queue, &enqueue, reply);
    }
}

enum reeve_err intake_job(struct queue *queue, struct reeve_span id, const struct reeve_value *job, struct reeve_why *why)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(1u << 20);
    struct reeve_job_spec spec;
    const struct needs none = {.len = 0};
    int64_t known;
    enum reeve_err err = reeve_msgpack_write(job, &bytes);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_cursor cursor = REEVE_CURSOR(bytes.data, bytes.len);
    err = reeve_job_spec_read(&cursor, &spec, why);
    err = err == REEVE_OK ? check_room(queue, spec.raw.len, why) : err;
    return err == REEVE_OK ? add(queue, &spec, id, &none, &known, why) : err;
}
