// Queues for unit tests; see queue_fixture.h.
#include "queue_fixture.h"

#include "turn.h"

#include <unistd.h>

static struct qf *now; // there is one at a time

// ---- what the engine calls ----------------------------------------------------------------------------------------

bool turn_store_failing(const struct turn *turn)
{
    (void)turn;
    return now->failing;
}

// "big..." have 8 cpus, others 2.
const char *fleet_worker_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    const struct fleet_worker *worker = thing;
    (void)buf;
    if (n > 0 || strcmp(key, "cpus") != 0) {
        return NULL;
    }
    return reeve_str_starts(worker->name, "big") ? "8" : "2";
}

void commands_take(struct manager *manager, const struct reeve_delivery *delivery)
{
    (void)manager;
    (void)delivery;
}

uint64_t reeve_bus_epoch(const struct reeve_bus *bus)
{
    (void)bus;
    return 1;
}

enum reeve_err reeve_bus_publish(struct reeve_bus *bus, const struct reeve_bus_message *message, struct reeve_why *why)
{
    (void)bus;
    (void)why;
    assert_true(now->posted_len < QF_POSTED);
    struct qf_posted *posted = &now->posted[now->posted_len++];
    posted->topic = strdup(message->topic);
    posted->bytes = malloc(message->payload_len);
    posted->len = message->payload_len;
    memcpy(posted->bytes, message->payload, message->payload_len);
    return REEVE_OK;
}

// ---- start and end ------------------------------------------------------------------------------------------------

static void start(struct qf *qf)
{
    struct manager *manager = &qf->fake.manager;
    struct reeve_why why = {0};
    if (store_open(qf->dir, &manager->store, &why) != REEVE_OK ||
        queues_new(manager, &manager->queues, &why) != REEVE_OK || queues_load(manager->queues, &why) != REEVE_OK) {
        fail_msg("start: %s", why.text);
    }
    manager->started_at = qf->fake.wall_ms;
    manager->ready = true;
    queues_publish(manager->queues);
    queues_ready(manager->queues);
    qf_turn(qf);
}

static void stop(struct qf *qf)
{
    struct manager *manager = &qf->fake.manager;
    queues_free(manager->queues);
    manager->queues = NULL;
    uv_run(manager->loop, UV_RUN_NOWAIT); // its timer closes
    store_close(manager->store);
    manager->store = NULL;
    qf->fake.filters_len = 0;
    fake_fleet_deaf();
}

void qf_init(struct qf *qf)
{
    memset(qf, 0, sizeof *qf);
    now = qf;
    (void)snprintf(qf->dir, sizeof qf->dir, "%s/reeve-queue-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(qf->dir));
    fake_init(&qf->fake);
    qf->fake.manager.config.manager.state_dir = qf->dir;
    fake_fleet_reset();
    fake_alarms_len = 0;
    start(qf);
}

void qf_forget_posted(struct qf *qf)
{
    for (size_t i = 0; i < qf->posted_len; i++) {
        free(qf->posted[i].topic);
        free(qf->posted[i].bytes);
    }
    qf->posted_len = 0;
}

void qf_done(struct qf *qf)
{
    static const char *const files[] = {"manager.db", "manager.db-wal", "manager.db-shm", "lock"};
    char path[128];
    fake_call_end(&qf->fake);
    stop(qf);
    qf_forget_posted(qf);
    fake_fleet_reset();
    fake_done(&qf->fake);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", qf->dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(qf->dir);
}

void qf_restart(struct qf *qf, int64_t away_ms)
{
    stop(qf);
    fake_time(&qf->fake, away_ms);
    start(qf);
}

void qf_turn(struct qf *qf)
{
    struct manager *manager = &qf->fake.manager;
    struct reeve_why why = {0};
    queues_turn(manager->queues);
    if (store_commit(manager->store, &why) != REEVE_OK) {
        fail_msg("commit: %s", why.text);
    }
    fake_turn(&qf->fake, true);
    queues_settle(manager->queues, true);
}

void qf_time(struct qf *qf, int64_t ms)
{
    struct queues *queues = qf->fake.manager.queues;
    fake_time(&qf->fake, ms);
    queues->timer.fire(&queues->timer, queues->timer.arg);
    qf_turn(qf);
}

void qf_tick(struct qf *qf)
{
    qf_time(qf, 1000);
    queues_tick(qf->fake.manager.queues);
    qf_turn(qf);
}

struct queue *qf_queue(struct qf *qf, const char *queue)
{
    return queue_find(qf->fake.manager.queues, queue);
}

// ---- ops ----------------------------------------------------------------------------------------------------------

enum reeve_err qf_call(struct qf *qf, const char *queue, const char *op, const char *text)
{
    static const struct {
        const char *op;
        const struct reeve_record *args;
        enum reeve_err (*run)(struct call *call, struct reeve_why *why);
    } rows[] = {
        {"apply", NULL, op_queue_apply_run},
#define X(name) {#name, &op_queue_##name##_args, op_queue_##name##_run}
        X(delete),
        X(pause),
        X(resume),
        X(drain),
        X(purge),
        X(describe),
        X(list),
        X(show),
        X(explain),
        X(cancel),
        X(retry),
        X(remove),
        X(logs),
#undef X
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].op, op) == 0) {
            qf->why = (struct reeve_why){0};
            enum reeve_err err = fake_call(&qf->fake, rows[i].args, queue, text, rows[i].run, &qf->why);
            qf_turn(qf);
            return err;
        }
    }
    fail_msg("no op %s", op);
    return REEVE_NOENT;
}

const struct reeve_value *qf_op(struct qf *qf, const char *queue, const char *op, const char *text)
{
    if (qf_call(qf, queue, op, text) != REEVE_OK || qf->fake.reply.phase != REEVE_PHASE_DONE) {
        fail_msg("%s %s: %s %s %s", op, text != NULL ? text : "", qf->why.place, qf->why.text, qf->fake.reply.message);
    }
    return qf->fake.reply.result;
}

void qf_refused(struct qf *qf, const char *queue, const char *op, const char *text, enum reeve_err err,
                const char *says)
{
    char told[700];
    assert_int_equal(qf_call(qf, queue, op, text), err);
    if (strstr(reeve_why_format(&qf->why, told, sizeof told), says) == NULL) {
        fail_msg("it says: %s", told);
    }
}

void qf_add(struct qf *qf, const char *queue, const char *job)
{
    char topic[128];
    struct queue *to = qf_queue(qf, queue);
    uint64_t added = to->rates.added;
    (void)snprintf(topic, sizeof topic, "queue/%s/cmd/enqueue", queue);
    struct reeve_value *command = reeve_value_map();
    reeve_put_str(command, "reply_to", FAKE_ROOT "/reply/p/x");
    (void)reeve_value_put(command, "args", fake_parse(job));
    (void)fake_deliver_value(&qf->fake, topic, command, false);
    qf_turn(qf);
    if (to->rates.added != added + 1) {
        const struct qf_posted *reply = &qf->posted[qf->posted_len - 1];
        REEVE_VALUE_AUTO value = NULL;
        assert_int_equal(reeve_msgpack_read(reply->bytes, reply->len, &reeve_limits_wire, NULL, &value, NULL),
                         REEVE_OK);
        fail_msg("%s: %s", job, reeve_get_str(value, "message"));
    }
}

static int64_t number_of(struct queue *queue, const char *id)
{
    int64_t number = 0;
    (void)job_store_find(queue->store, queue->number, (struct reeve_span){id, strlen(id)}, &number,
                         NULL); /* 0 = none */
    return number;
}

struct job *qf_job(struct qf *qf, const char *queue, const char *id)
{
    return job_index_get(qf->fake.manager.queues->index, number_of(qf_queue(qf, queue), id));
}

const char *qf_state(struct qf *qf, const char *queue, const char *id)
{
    struct job_ended_row row;
    const struct job *job = qf_job(qf, queue, id);
    if (job != NULL) {
        return reeve_job_state_text((enum reeve_job_state)job->state);
    }
    struct queue *of = qf_queue(qf, queue);
    int64_t number = number_of(of, id);
    return number > 0 && job_store_ended(of->store, number, &row, NULL) == REEVE_OK ? reeve_job_state_text(row.state)
                                                                                    : "none";
}

// ---- workers ------------------------------------------------------------------------------------------------------

static struct reeve_span packed(struct reeve_buf *buf, const char *text)
{
    if (text == NULL) {
        return (struct reeve_span){0};
    }
    REEVE_VALUE_AUTO value = fake_parse(text);
    assert_int_equal(reeve_msgpack_write(value, buf), REEVE_OK);
    return (struct reeve_span){buf->data, buf->len};
}

static struct reeve_span span(const char *text)
{
    return text != NULL ? (struct reeve_span){text, strlen(text)} : (struct reeve_span){0};
}

static struct link *link_of(struct qf *qf, const char *queue, const char *name)
{
    char key[REEVE_NAME_SIZE * 2];
    (void)snprintf(key, sizeof key, "alpha/%s", name);
    return reeve_map_get(qf_queue(qf, queue)->links, key);
}

static void say(struct qf *qf, const char *queue, const char *name, struct reeve_job_report *head,
                const struct reeve_job_entry *entry)
{
    char topic[128];
    char worker[REEVE_NAME_SIZE * 2];
    const struct link *link = link_of(qf, queue, name);
    struct reeve_job_report_writer writer;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    (void)snprintf(worker, sizeof worker, "alpha/%s", name);
    (void)snprintf(topic, sizeof topic, "queue/%s/report", queue);
    head->worker = span(worker);
    head->epoch = 1;
    head->seq = link != NULL ? link->report_seq + 1 : 1;
    head->got = link != NULL ? link->batch_seq : 0;
    head->capacity = head->hello || link == NULL ? head->capacity : link->capacity;
    reeve_job_report_begin(&writer, &buf, head);
    if (entry != NULL) {
        reeve_job_report_entry(&writer, entry);
    }
    assert_int_equal(reeve_job_report_end(&writer), REEVE_OK);
    (void)fake_deliver_bytes(&qf->fake, topic, buf.data, buf.len, false);
    qf_turn(qf);
}

// What it was given, it has.
static struct reeve_span hand_of(const struct link *link, struct reeve_buf *buf)
{
    if (link == NULL || link->jobs.len == 0) {
        return (struct reeve_span){0};
    }
    reeve_pack_list(buf, link->jobs.len);
    for (const struct job *job = link->jobs.head; job != NULL; job = job->next) {
        reeve_pack_list(buf, 2);
        reeve_pack_str(buf, job->text->id);
        reeve_pack_int(buf, job->attempt);
    }
    return (struct reeve_span){buf->data, buf->len};
}

void qf_hello_reconciles(struct qf *qf, const char *queue, const char *name, int64_t capacity, const char *types,
                         const char *reconciles)
{
    REEVE_BUF_AUTO hand = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO first = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO second = REEVE_BUF_INIT(0);
    struct reeve_job_report head = {.hello = true, .capacity = capacity};
    if (fleet_worker(qf->fake.manager.fleet, "alpha", name) == NULL) {
        struct fleet_worker *worker = fake_worker("alpha", name);
        worker->info.epoch = 1;
        worker->info.session = REEVE_LIVE;
    }
    head.types = packed(&first, types);
    head.reconciles = packed(&second, reconciles);
    head.hand = hand_of(link_of(qf, queue, name), &hand);
    say(qf, queue, name, &head, NULL);
}

void qf_hello(struct qf *qf, const char *queue, const char *name, int64_t capacity, const char *types)
{
    qf_hello_reconciles(qf, queue, name, capacity, types, NULL);
}

static void report(struct qf *qf, const char *queue, const char *name, const char *id, struct reeve_job_entry *entry)
{
    struct reeve_job_report head = {0};
    const struct job *job = qf_job(qf, queue, id);
    entry->id = span(id);
    entry->attempt = job != NULL ? job->attempt : 1;
    say(qf, queue, name, &head, entry);
}

void qf_report(struct qf *qf, const char *queue, const char *name, const char *id, const char *outcome,
               const char *data, const char *error)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_job_entry entry = {
        .data = packed(&buf, data), .error = span(error), .text = span(error), .progress = -1, .delay_ms = -1};
    while (entry.outcome < REEVE_JOB_OUTCOME_COUNT && strcmp(reeve_job_outcome_text(entry.outcome), outcome) != 0) {
        entry.outcome++;
    }
    report(qf, queue, name, id, &entry);
}

void qf_progress(struct qf *qf, const char *queue, const char *name, const char *id, double progress, const char *text)
{
    struct reeve_job_entry entry = {
        .outcome = REEVE_JOB_OUTCOME_PROGRESS, .progress = progress, .text = span(text), .delay_ms = -1};
    report(qf, queue, name, id, &entry);
}

void qf_worker_died(struct qf *qf, const char *name)
{
    struct fleet_worker *worker = fake_worker("alpha", name);
    worker->info.session = REEVE_DEAD;
    fake_worker_tell(&qf->fake, FLEET_WORKER, worker);
    qf_turn(qf);
}

size_t qf_cancels(const struct qf *qf, const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < qf->posted_len; i++) {
        struct reeve_job_batch batch;
        if (strstr(qf->posted[i].topic, "/job") == NULL ||
            reeve_job_batch_read(qf->posted[i].bytes, qf->posted[i].len, &batch, NULL) != REEVE_OK) {
            continue;
        }
        struct reeve_cursor cursor = REEVE_CURSOR(batch.cancels.data, batch.cancels.len);
        for (size_t n = batch.cancels.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0; n--) {
            struct reeve_job_notice notice;
            assert_int_equal(reeve_job_notice_read(&cursor, &notice), REEVE_OK);
            count += reeve_span_is(notice.id, id) ? 1 : 0;
        }
    }
    return count;
}
