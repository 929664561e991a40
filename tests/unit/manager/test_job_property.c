// The engine of the queues against simulated producers and workers, under seeded random schedules: messages are lost,
// workers die, are cut off and come back, turns fail on disk, the manager is killed. The store is the real one. Checked
// after every turn: lists, counts, keys and limits fit the states. Checked in the end: everything acknowledged has
// exactly one accepted completion, attempts only grew, no checkpoint went back, and nothing past its point of no return
// was tried as an ordinary attempt.
//   REEVE_SEED=n repeats one schedule, REEVE_SCHEDULES=n sets how many.
#include "fake_fleet.h"
#include "fake_manager.h"
#include "fake_rooms.h"

#include "queue_room.h"
#include "turn.h"

#include <reeve/file.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS        160
#define WORKERS     4
#define CAPACITY    5
#define STEPS       500
#define QUIET_STEPS 3000
#define KEYS        3
#define MAIL        4096
#define CONCURRENCY 9

struct sim_job {
    char id[16];
    int64_t acked;     // times it was acknowledged
    int64_t completed; // accepted completions, committed
    int64_t failed;
    int64_t attempt; // highest that a worker ever had
    int attempt_worker;
    int64_t checkpoint; // highest that was acknowledged to a worker
    bool no_return;     // acknowledged, and not reconciled since
    bool keyed;
};
struct sim_entry {
    int job;
    int64_t attempt, seq; // seq 0 = not sent yet
    enum reeve_job_outcome outcome;
    int64_t data;
};
struct sim_hand {
    int job;
    int64_t attempt, checkpoint;
    bool reconcile, waits; // for the acknowledgement of a checkpoint or no_return
};
struct sim_worker {
    char name[8];
    bool alive, linked;
    bool vanished; // dead without a sign
    int64_t epoch, run, seq, got, manager_epoch, silent_since;
    bool hello;
    struct sim_hand hand[64];
    size_t hand_len;
    struct sim_entry entries[256]; // not acknowledged
    size_t entries_len;
};
struct sim_mail { // between manager and workers
    int64_t at;
    int worker; // to it; -1 = to the manager
    int from;
    int64_t epoch; // of the worker's session
    size_t len;
    char *bytes;
};
struct sim_event { // of this turn, until it is committed
    int job;
    enum reeve_job_state state;
};
struct sim {
    struct fake fake;
    uint64_t random;
    char dir[64];
    struct sim_job jobs[JOBS];
    struct sim_worker workers[WORKERS];
    struct sim_mail mail[MAIL];
    size_t mail_len;
    struct sim_event events[4096];
    size_t events_len;
    int64_t manager_epoch;
    const struct sim_mail *delivering; // the report that the manager reads
    bool quiet, failing;
    size_t kills, refused_turns, deaths;
};
static struct sim *sim;

static uint64_t dice(void)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random;
}

static bool chance(unsigned per_thousand)
{
    return !sim->quiet && dice() % 1000 < per_thousand;
}

static int job_of(struct reeve_span id)
{
    char text[16] = "";
    assert_true(id.len < sizeof text && id.len > 1);
    memcpy(text, id.data, id.len);
    return atoi(text + 1);
}

// ---- what the engine calls ------------------------------------------------------------------------------------------

bool turn_store_failing(const struct turn *turn)
{
    (void)turn;
    return sim->failing;
}
const char *fleet_worker_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    (void)thing;
    (void)key;
    (void)n;
    (void)buf;
    return NULL;
}
void commands_take(struct manager *manager, const struct reeve_delivery *delivery)
{
    (void)manager;
    (void)delivery;
}
uint64_t reeve_bus_epoch(const struct reeve_bus *bus)
{
    (void)bus;
    return (uint64_t)sim->manager_epoch;
}
// Nothing is completed but by the word of whoever has the current attempt.
static void check_said(const struct job *job, struct reeve_span id)
{
    struct reeve_job_report report;
    struct reeve_job_entry said;
    assert_non_null(sim->delivering);
    assert_int_equal(reeve_job_report_read(sim->delivering->bytes, sim->delivering->len, &report, NULL), REEVE_OK);
    struct reeve_cursor cursor = REEVE_CURSOR(report.entries.data, report.entries.len);
    bool found = false;
    for (size_t n = reeve_cursor_list(&cursor); n > 0; n--) {
        assert_int_equal(reeve_job_entry_read(&cursor, &said), REEVE_OK);
        found = found ||
                (reeve_span_eq(said.id, id) && said.attempt == job->attempt && said.outcome == REEVE_JOB_OUTCOME_DONE);
    }
    const char *worker = job->text != NULL ? job->text->worker : NULL; // NULL: it was taken back, and nobody has begun it again
    if (!found || (worker != NULL && !reeve_span_is(report.worker, worker))) {
        fail_msg("job %d: attempt %u was completed by the word of another attempt", job_of(id), job->attempt);
    }
}

void queue_change(struct queue *queue, struct job *job, enum reeve_job_state state, struct reeve_span error)
{
    struct reeve_span id, raw;
    (void)queue;
    (void)error;
    if (state != REEVE_JOB_COMPLETED && state != REEVE_JOB_FAILED) {
        return;
    }
    assert_int_equal(job_load(job, &id, &raw, NULL), REEVE_OK);
    if (state == REEVE_JOB_COMPLETED) {
        check_said(job, id);
    }
    sim->events[sim->events_len++] = (struct sim_event){.job = job_of(id), .state = state};
}
void queue_status_tick(struct queue *queue)
{
    (void)queue;
}
void queue_status_turn(struct queue *queue)
{
    (void)queue;
}
void queue_schedules_load(struct queue *queue)
{
    (void)queue;
}
void queue_schedules_tick(struct queue *queue)
{
    (void)queue;
}
void queue_schedules_free(struct queue *queue)
{
    (void)queue;
}
void queue_keep_tick(struct queue *queue)
{
    (void)queue;
}

static void post(int worker, int from, int64_t epoch, const void *bytes, size_t len)
{
    if (chance(15) || sim->mail_len == MAIL) {
        return; // lost
    }
    struct sim_mail *mail = &sim->mail[sim->mail_len++];
    *mail = (struct sim_mail){.at = sim->fake.mono_ms + (int64_t)(sim->quiet ? 1 : dice() % 40),
                              .worker = worker,
                              .from = from,
                              .epoch = epoch,
                              .len = len,
                              .bytes = malloc(len)};
    memcpy(mail->bytes, bytes, len);
    // One connection keeps the order.
    for (size_t i = 0; i + 1 < sim->mail_len; i++) {
        const struct sim_mail *other = &sim->mail[i];
        if (other->worker == worker && other->from == from && other->at > mail->at) {
            mail->at = other->at;
        }
    }
}

enum reeve_err reeve_bus_publish(struct reeve_bus *bus, const struct reeve_bus_message *message, struct reeve_why *why)
{
    (void)bus;
    (void)why;
    const char *worker = strstr(message->topic, "/alpha/w");
    if (worker != NULL) {
        int to = worker[8] - '0';
        post(to, -1, sim->workers[to].epoch, message->payload, message->payload_len);
        return REEVE_OK;
    }
    // A reply to a producer: what is accepted or a duplicate is acknowledged.
    REEVE_VALUE_AUTO reply = NULL;
    assert_int_equal(reeve_msgpack_read(message->payload, message->payload_len, &reeve_limits_wire, NULL, &reply, NULL),
                     REEVE_OK);
    const struct reeve_value *result = reeve_value_get(reply, "result");
    if (!reeve_str_eq(reeve_get_str(reply, "phase"), "done")) {
        return REEVE_OK;
    }
    assert_int_equal(reeve_get_int(result, "rejected", -1), 0);
    const struct reeve_value *ids = reeve_value_get(result, "ids");
    for (size_t i = 0; i < reeve_value_len(ids); i++) {
        sim->jobs[atoi(reeve_value_text(reeve_value_at(ids, i)) + 1)].acked++;
    }
    return REEVE_OK;
}

// ---- producers
// --------------------------------------------------------------------------------------------------------

static void pack_job(struct reeve_buf *buf, int number)
{
    struct sim_job *job = &sim->jobs[number];
    job->keyed = number % 4 == 0;
    reeve_pack_map(buf, job->keyed ? 6 : 5);
    reeve_pack_str(buf, "id");
    reeve_pack_str(buf, job->id);
    reeve_pack_str(buf, "type");
    reeve_pack_str(buf, number % 5 == 0 ? "pay" : "work");
    reeve_pack_str(buf, "attempts");
    reeve_pack_int(buf, 1000);
    reeve_pack_str(buf, "delay_ms");
    reeve_pack_int(buf, number % 7 == 0 ? 300 : 0);
    reeve_pack_str(buf, "priority");
    reeve_pack_int(buf, number % 10);
    if (job->keyed) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%d", number % KEYS);
        reeve_pack_str(buf, "key");
        reeve_pack_str(buf, key);
    }
}

static void enqueue(int first, int count)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    char id[32];
    static int64_t commands;
    (void)snprintf(id, sizeof id, "c%lld", (long long)++commands);
    reeve_pack_map(&buf, 3);
    reeve_pack_str(&buf, "id");
    reeve_pack_str(&buf, id);
    reeve_pack_str(&buf, "reply_to");
    reeve_pack_str(&buf, FAKE_ROOT "/reply/p/x");
    reeve_pack_str(&buf, "args");
    reeve_pack_map(&buf, 1);
    reeve_pack_str(&buf, "jobs");
    reeve_pack_list(&buf, (size_t)count);
    for (int i = 0; i < count; i++) {
        pack_job(&buf, first + i);
    }
    (void)fake_deliver_bytes(&sim->fake, "queue/q/cmd/enqueue", buf.data, buf.len, false);
}

// ---- workers
// ----------------------------------------------------------------------------------------------------------

static void drop_hand(struct sim_worker *worker, size_t at)
{
    worker->hand[at] = worker->hand[--worker->hand_len];
}

static void abandon(struct sim_worker *worker, int job, int64_t attempt)
{
    for (size_t i = 0; i < worker->hand_len;) {
        bool it = worker->hand[i].job == job && worker->hand[i].attempt == attempt;
        if (it) {
            drop_hand(worker, i);
        } else {
            i++;
        }
    }
    for (size_t i = 0; i < worker->entries_len;) {
        if (worker->entries[i].job == job && worker->entries[i].attempt == attempt) {
            worker->entries[i] = worker->entries[--worker->entries_len];
        } else {
            i++;
        }
    }
}

static void acknowledged(struct sim_worker *worker, int64_t ack)
{
    for (size_t i = 0; i < worker->entries_len;) {
        struct sim_entry *entry = &worker->entries[i];
        if (entry->seq == 0 || entry->seq > ack) {
            i++;
            continue;
        }
        struct sim_job *job = &sim->jobs[entry->job];
        for (size_t h = 0; h < worker->hand_len; h++) {
            struct sim_hand *hand = &worker->hand[h];
            if (hand->job == entry->job && hand->attempt == entry->attempt && hand->waits) {
                hand->waits = false;
                if (entry->outcome == REEVE_JOB_OUTCOME_NO_RETURN) {
                    job->no_return = true;
                }
                if (entry->data > job->checkpoint) {
                    job->checkpoint = entry->data;
                }
            }
        }
        *entry = worker->entries[--worker->entries_len];
    }
}

static bool has(const struct sim_worker *worker, int job, int64_t attempt)
{
    for (size_t i = 0; i < worker->hand_len; i++) {
        if (worker->hand[i].job == job && worker->hand[i].attempt == attempt) {
            return true;
        }
    }
    for (size_t i = 0; i < worker->entries_len; i++) {
        if (worker->entries[i].job == job && worker->entries[i].attempt == attempt &&
            reeve_job_outcome_ends(worker->entries[i].outcome)) {
            return true;
        }
    }
    return false;
}

// Whoever was begun keeps its key until it has ended, also between two attempts: so those of a key end in their order.
static void check_key(int number)
{
    for (int i = 0; i < JOBS; i++) {
        const struct sim_job *other = &sim->jobs[i];
        if (i != number && other->keyed && i % KEYS == number % KEYS && other->attempt > 0 && other->completed == 0) {
            fail_msg("job %d was begun while job %d has its key", number, i);
        }
    }
}

static void take_item(struct sim_worker *worker, const struct reeve_job_item *item)
{
    int number = job_of(item->id);
    struct sim_job *job = &sim->jobs[number];
    int64_t checkpoint = 0;
    if (item->checkpoint.len > 0) {
        struct reeve_cursor cursor = REEVE_CURSOR(item->checkpoint.data, item->checkpoint.len);
        checkpoint = reeve_cursor_int(&cursor);
    }
    if (has(worker, number, item->attempt)) {
        return;
    }
    int self = (int)(worker - sim->workers);
    if (item->attempt == job->attempt && job->attempt_worker != self) {
        fail_msg("job %d: attempt %lld at worker %d and at worker %d", number, (long long)item->attempt, self,
                 job->attempt_worker);
    }
    bool late = item->attempt < job->attempt; // was long on its way: what it says is refused
    if (!late && checkpoint < job->checkpoint) {
        fail_msg("job %d: checkpoint %lld after %lld was acknowledged", number, (long long)checkpoint,
                 (long long)job->checkpoint);
    }
    if (!late && job->no_return && !item->reconcile) {
        fail_msg("job %d: an ordinary attempt past the point of no return", number);
    }
    if (!late && job->keyed && job->completed == 0) {
        check_key(number);
    }
    if (!late) {
        job->attempt = item->attempt;
        job->attempt_worker = self;
    }
    assert_true(worker->hand_len < REEVE_ARRAY_LEN(worker->hand));
    worker->hand[worker->hand_len++] = (struct sim_hand){
        .job = number, .attempt = item->attempt, .checkpoint = checkpoint, .reconcile = item->reconcile};
}

static void say(struct sim_worker *worker, bool hello);

static void take_batch(struct sim_worker *worker, const char *bytes, size_t len)
{
    struct reeve_job_batch batch;
    assert_int_equal(reeve_job_batch_read(bytes, len, &batch, NULL), REEVE_OK);
    if (batch.worker_epoch != worker->epoch || batch.manager_epoch < worker->manager_epoch) {
        return;
    }
    if (batch.manager_epoch > worker->manager_epoch) {
        worker->got = 0;
    }
    worker->manager_epoch = batch.manager_epoch;
    bool counted = batch.jobs.len > 0 || batch.abandons.len > 0;
    bool missed = batch.seq > worker->got + (counted ? 1 : 0);
    worker->got = batch.seq > worker->got || batch.hello ? batch.seq : worker->got;
    worker->silent_since = sim->fake.mono_ms;
    struct reeve_cursor abandons = REEVE_CURSOR(batch.abandons.data, batch.abandons.len);
    for (size_t n = batch.abandons.len > 0 ? reeve_cursor_list(&abandons) : 0; n > 0; n--) {
        struct reeve_job_notice notice;
        assert_int_equal(reeve_job_notice_read(&abandons, &notice), REEVE_OK);
        abandon(worker, job_of(notice.id), notice.attempt);
    }
    if (!missed && !batch.hello) {
        acknowledged(worker, batch.ack); // after the abandons: what was refused is not stored
    }
    struct reeve_cursor jobs = REEVE_CURSOR(batch.jobs.data, batch.jobs.len);
    for (size_t n = batch.jobs.len > 0 ? reeve_cursor_list(&jobs) : 0; n > 0; n--) {
        struct reeve_job_item item;
        assert_int_equal(reeve_job_item_read(&jobs, &item), REEVE_OK);
        take_item(worker, &item);
    }
    if (batch.hello || missed) {
        say(worker, true);
    }
}

static void pack_entry(struct reeve_job_report_writer *writer, const struct sim_entry *entry)
{
    REEVE_BUF_AUTO data = REEVE_BUF_INIT(0);
    reeve_pack_int(&data, entry->data);
    const struct sim_job *job = &sim->jobs[entry->job];
    const struct reeve_job_entry wire = {.id = {job->id, strlen(job->id)},
                                         .attempt = entry->attempt,
                                         .outcome = entry->outcome,
                                         .data = {data.data, data.len},
                                         .progress = -1,
                                         .delay_ms = entry->outcome == REEVE_JOB_OUTCOME_RETRY ? 50 : -1};
    reeve_job_report_entry(writer, &wire);
}

static void say(struct sim_worker *worker, bool hello)
{
    REEVE_BUF_AUTO types = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO hand = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(0);
    char name[32];
    struct reeve_job_report_writer writer;
    (void)snprintf(name, sizeof name, "alpha/%s", worker->name);
    reeve_pack_list(&types, 1);
    reeve_pack_str(&types, "*");
    size_t ended = 0;
    for (size_t i = 0; i < worker->entries_len; i++) {
        ended += reeve_job_outcome_ends(worker->entries[i].outcome) ? 1 : 0;
    }
    reeve_pack_list(&hand, worker->hand_len + ended);
    for (size_t i = 0; i < worker->hand_len; i++) {
        reeve_pack_list(&hand, 2);
        reeve_pack_str(&hand, sim->jobs[worker->hand[i].job].id);
        reeve_pack_int(&hand, worker->hand[i].attempt);
    }
    for (size_t i = 0; i < worker->entries_len; i++) {
        if (reeve_job_outcome_ends(worker->entries[i].outcome)) {
            reeve_pack_list(&hand, 2);
            reeve_pack_str(&hand, sim->jobs[worker->entries[i].job].id);
            reeve_pack_int(&hand, worker->entries[i].attempt);
        }
    }
    struct reeve_job_report report = {.worker = {name, strlen(name)},
                                      .epoch = worker->epoch,
                                      .seq = ++worker->seq,
                                      .got = worker->got,
                                      .capacity = CAPACITY,
                                      .manager_epoch = worker->manager_epoch,
                                      .hello = hello};
    if (hello) {
        report.types = (struct reeve_span){types.data, types.len};
        report.reconciles = report.types;
        report.hand = (struct reeve_span){hand.data, hand.len};
    }
    reeve_job_report_begin(&writer, &bytes, &report);
    for (size_t i = 0; i < worker->entries_len; i++) {
        if (hello || worker->entries[i].seq == 0) {
            worker->entries[i].seq = worker->seq;
            pack_entry(&writer, &worker->entries[i]);
        }
    }
    assert_int_equal(reeve_job_report_end(&writer), REEVE_OK);
    if (worker->linked) {
        post(-1, (int)(worker - sim->workers), worker->epoch, bytes.data, bytes.len);
    }
}

static void entry(struct sim_worker *worker, const struct sim_hand *hand, enum reeve_job_outcome outcome, int64_t data)
{
    assert_true(worker->entries_len < REEVE_ARRAY_LEN(worker->entries));
    worker->entries[worker->entries_len++] =
        (struct sim_entry){.job = hand->job, .attempt = hand->attempt, .outcome = outcome, .data = data};
}

static enum reeve_job_outcome end_of(const struct sim_hand *hand)
{
    if (hand->reconcile) {
        return chance(300)   ? REEVE_JOB_OUTCOME_NOT_DONE
               : chance(200) ? REEVE_JOB_OUTCOME_RETRY
                             : REEVE_JOB_OUTCOME_DONE;
    }
    return chance(150) ? REEVE_JOB_OUTCOME_RETRY : chance(100) ? REEVE_JOB_OUTCOME_RELEASED : REEVE_JOB_OUTCOME_DONE;
}

static void work(struct sim_worker *worker)
{
    for (size_t i = 0; i < worker->hand_len; i++) {
        struct sim_hand *hand = &worker->hand[i];
        if (hand->waits || dice() % 3 != 0) {
            continue;
        }
        bool pays = hand->job % 5 == 0 && !hand->reconcile;
        if (chance(300)) {
            hand->waits = true;
            hand->checkpoint++;
            entry(worker, hand, pays && chance(500) ? REEVE_JOB_OUTCOME_NO_RETURN : REEVE_JOB_OUTCOME_CHECKPOINT,
                  hand->checkpoint);
        } else {
            enum reeve_job_outcome outcome = end_of(hand);
            if (outcome == REEVE_JOB_OUTCOME_NOT_DONE) {
                sim->jobs[hand->job].no_return = false; // what it says may count from here on
            }
            entry(worker, hand, outcome, 1);
            drop_hand(worker, i--);
        }
    }
}

static struct fleet_worker *fleet_one(struct sim_worker *worker)
{
    return fake_worker("alpha", worker->name);
}

static void tell_fleet(struct sim_worker *worker)
{
    struct fleet_worker *one = fleet_one(worker);
    one->info.supervised = true;
    one->info.run = worker->run;
    one->info.epoch = (uint64_t)worker->epoch;
    one->info.session = worker->linked ? REEVE_LIVE : REEVE_DEAD;
    one->info.state = worker->alive ? REEVE_STATE_RUNNING : REEVE_STATE_RESTARTING;
    reeve_value_free(one->status);
    one->status = fake_parse("{queues: [q]}");
    fake_worker_tell(&sim->fake, FLEET_WORKER, one);
}

static void connect_worker(struct sim_worker *worker)
{
    worker->linked = true;
    worker->epoch++;
    worker->seq = 0;
    worker->got = 0;
    for (size_t i = 0; i < worker->entries_len; i++) {
        worker->entries[i].seq = 0;
    }
    tell_fleet(worker);
    say(worker, true);
}

static void kill_worker(struct sim_worker *worker)
{
    sim->deaths++;
    worker->hand_len = 0;
    worker->entries_len = 0;
    worker->alive = false;
    worker->linked = false;
    worker->manager_epoch = 0;
    tell_fleet(worker);
}

static void step_worker(struct sim_worker *worker)
{
    if (worker->vanished) {
        return;
    }
    if (!worker->alive) {
        if (sim->quiet || chance(200)) {
            worker->alive = true;
            worker->run++;
            connect_worker(worker);
        }
        return;
    }
    if (chance(8)) {
        kill_worker(worker);
        return;
    }
    if (worker->linked && chance(10)) { // cut off; the will may come or not
        worker->linked = false;
        if (chance(500)) {
            tell_fleet(worker);
        }
    } else if (!worker->linked && (sim->quiet || chance(150))) {
        connect_worker(worker);
    }
    work(worker);
    bool news = false;
    for (size_t i = 0; i < worker->entries_len; i++) {
        news = news || worker->entries[i].seq == 0;
    }
    if (news || dice() % 8 == 0) {
        say(worker, false);
    }
    if (sim->fake.mono_ms - worker->silent_since > 3000) { // its lease is over, or an acknowledgement is long in coming
        worker->silent_since = sim->fake.mono_ms;
        if (worker->linked) {
            say(worker, true);
        }
    }
}

// ---- the manager
// --------------------------------------------------------------------------------------------------------

static void start_manager(bool first)
{
    struct manager *manager = &sim->fake.manager;
    sim->manager_epoch++;
    manager->config.manager.state_dir = sim->dir;
    assert_int_equal(store_open(sim->dir, &manager->store, NULL), REEVE_OK);
    if (first) {
        REEVE_VALUE_AUTO document = fake_parse("{spec: {lease: 5s, concurrency: 9, poison_after: 1000}}");
        assert_int_equal(store_put(manager->store, STORE_QUEUE, "q", document, NULL), REEVE_OK);
        assert_int_equal(store_commit(manager->store, NULL), REEVE_OK);
    }
    struct reeve_why why = {0};
    assert_int_equal(queues_new(manager, &manager->queues, &why), REEVE_OK);
    if (queues_load(manager->queues, &why) != REEVE_OK) {
        fail_msg("load: %s", why.text);
    }
    manager->ready = true;
    for (int i = 0; i < WORKERS; i++) {
        tell_fleet(&sim->workers[i]);
    }
    queues_ready(manager->queues);
}

static void stop_manager(void)
{
    struct manager *manager = &sim->fake.manager;
    store_undo(manager->store);
    queues_free(manager->queues);
    (void)uv_run(&sim->fake.loop, UV_RUN_NOWAIT);
    store_close(manager->store);
    manager->queues = NULL;
    sim->fake.filters_len = 0;
    sim->events_len = 0;
    fake_fleet_deaf();
}

static void check_job(struct job *job, void *arg)
{
    int64_t *counts = arg;
    counts[job->state]++;
    bool waits = job->wait != NULL && job->wait->left > 0;
    if (job->state == REEVE_JOB_WAITING) {
        assert_true(job->listed || waits);
        assert_int_equal(job->heap_at, 0);
    } else if (job->state == REEVE_JOB_ACTIVE) {
        assert_non_null(job->text);
        assert_non_null(job->link);
        assert_true(job->key == NULL || job->holds_key);
        assert_ptr_equal(reeve_map_get(job_queue(job)->active, job->text->id), job);
    } else if (job->state == REEVE_JOB_DELAYED) {
        assert_true(job->heap_at > 0);
    } else {
        assert_true(job->listed || job->heap_at > 0 || (job->flags & JOB_FLAG_PARKED) != 0);
    }
}

static void tell_key(struct job *job, void *arg)
{
    if (job->key == arg) {
        print_message("job %lld: %s attempt %u holds %d\n", (long long)job->number,
                      reeve_job_state_text((enum reeve_job_state)job->state), job->attempt, job->holds_key);
    }
}

static void check_engine(void)
{
    struct queues *queues = sim->fake.manager.queues;
    struct queue *queue = queue_find(queues, "q");
    int64_t counts[REEVE_JOB_STATE_COUNT] = {0};
    job_index_each(queues->index, check_job, counts);
    for (int i = 0; i <= REEVE_JOB_UNKNOWN; i++) {
        assert_int_equal(counts[i], queue->counts[i]);
    }
    assert_true(queue->counts[REEVE_JOB_ACTIVE] <= CONCURRENCY);
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->keys, &it);) {
        const struct job_key *key = it.value;
        if (key->held > 1) {
            job_index_each(queues->index, tell_key, (void *)(uintptr_t)key);
            fail_msg("key %s is held %zu times", key->text, key->held);
        }
        assert_true(key->held == 1 || key->waiting.head == NULL);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(queue->links, &it);) {
        const struct link *link = it.value;
        assert_true((int64_t)link->jobs.len <= CAPACITY);
    }
    assert_true(reeve_map_len(queue->active) == (size_t)queue->counts[REEVE_JOB_ACTIVE]);
}

static void turn(bool committed)
{
    struct manager *manager = &sim->fake.manager;
    struct reeve_why why = {0};
    queues_turn(manager->queues);
    if (!committed) {
        sim->refused_turns++;
        store_undo(manager->store);
        if (queues_load(manager->queues, &why) != REEVE_OK) {
            fail_msg("load: %s", why.text);
        }
    } else if (store_commit(manager->store, &why) != REEVE_OK) {
        fail_msg("commit: %s", why.text);
    }
    for (size_t i = 0; committed && i < sim->events_len; i++) {
        struct sim_job *job = &sim->jobs[sim->events[i].job];
        *(sim->events[i].state == REEVE_JOB_COMPLETED ? &job->completed : &job->failed) += 1;
    }
    sim->events_len = 0;
    queues_settle(manager->queues, committed);
    check_engine();
}

static void deliver(struct sim_mail *mail)
{
    if (mail->worker >= 0) {
        struct sim_worker *worker = &sim->workers[mail->worker];
        if (worker->alive && worker->linked && worker->epoch == mail->epoch) {
            take_batch(worker, mail->bytes, mail->len);
        }
    } else if (sim->workers[mail->from].alive) {
        sim->delivering = mail;
        (void)fake_deliver_bytes(&sim->fake, "queue/q/report", mail->bytes, mail->len, false);
        if (chance(20)) { // twice
            (void)fake_deliver_bytes(&sim->fake, "queue/q/report", mail->bytes, mail->len, false);
        }
    }
    sim->delivering = NULL;
    free(mail->bytes);
}

static void deliver_due(void)
{
    for (size_t i = 0; i < sim->mail_len;) {
        if (sim->mail[i].at <= sim->fake.mono_ms) {
            struct sim_mail mail = sim->mail[i];
            memmove(&sim->mail[i], &sim->mail[i + 1], (sim->mail_len - i - 1) * sizeof mail);
            sim->mail_len--;
            deliver(&mail);
        } else {
            i++;
        }
    }
}

static void step(int number)
{
    struct manager *manager = &sim->fake.manager;
    fake_time(&sim->fake, 10);
    if (!sim->quiet && number % 3 == 0) {
        int first = (int)(dice() % JOBS);
        int count = 1 + (int)(dice() % 4);
        enqueue(first, first + count > JOBS ? JOBS - first : count);
    }
    for (int i = 0; i < WORKERS; i++) {
        step_worker(&sim->workers[i]);
    }
    deliver_due();
    manager->queues->timer.fire(&manager->queues->timer, manager->queues->timer.arg);
    if (number % 20 == 0) {
        queues_tick(manager->queues);
    }
    if (chance(4)) {
        sim->kills++;
        stop_manager();
        start_manager(false);
    }
    turn(!chance(10));
}

static bool settled(void)
{
    return job_index_len(sim->fake.manager.queues->index) == 0 && sim->mail_len == 0;
}

static void remove_dir(const char *dir)
{
    char path[128];
    static const char *const files[] = {"manager.db", "manager.db-wal", "manager.db-shm", "lock"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static void begin(uint64_t seed)
{
    sim = calloc(1, sizeof *sim);
    sim->random = seed * 0x9e3779b97f4a7c15ULL + 1;
    (void)snprintf(sim->dir, sizeof sim->dir, "/dev/shm/reeve-jobs-XXXXXX");
    assert_non_null(mkdtemp(sim->dir));
    print_message("seed %llu\n", (unsigned long long)seed);
    fake_init(&sim->fake);
    fake_fleet_reset();
    for (int i = 0; i < JOBS; i++) {
        (void)snprintf(sim->jobs[i].id, sizeof sim->jobs[i].id, "j%d", i);
    }
    for (int i = 0; i < WORKERS; i++) {
        (void)snprintf(sim->workers[i].name, sizeof sim->workers[i].name, "w%d", i);
        sim->workers[i].epoch = 1;
    }
    start_manager(true);
}

static void end(void)
{
    stop_manager();
    for (size_t i = 0; i < sim->mail_len; i++) {
        free(sim->mail[i].bytes);
    }
    fake_fleet_reset();
    fake_done(&sim->fake);
    remove_dir(sim->dir);
    free(sim);
}

static void run_schedule(uint64_t seed)
{
    begin(seed);
    int number = 0;
    while (number < STEPS) {
        step(number++);
    }
    sim->workers[0].vanished = true; // only its lease tells
    sim->workers[0].alive = false;
    sim->quiet = true;
    while (number < STEPS + QUIET_STEPS && !settled()) {
        step(number++);
    }
    size_t acked = 0;
    if (!settled()) {
        fail_msg("seed %llu: %zu jobs are live after everything was quiet", (unsigned long long)seed,
                 job_index_len(sim->fake.manager.queues->index));
    }
    for (int i = 0; i < JOBS; i++) {
        const struct sim_job *job = &sim->jobs[i];
        acked += job->acked > 0 ? 1 : 0;
        if (job->acked > 0 && job->completed != 1) {
            fail_msg("seed %llu: job %d acknowledged, completed %lld times, failed %lld", (unsigned long long)seed, i,
                     (long long)job->completed, (long long)job->failed);
        }
        assert_true(job->completed <= 1);
    }
    assert_true(acked > 20);
    end();
}

static void pass_mail(void)
{
    for (int i = 0; i < 10; i++) {
        fake_time(&sim->fake, 10);
        deliver_due();
        turn(true);
    }
}

// Otherwise every loss of a connection would be a second execution.
static void what_was_taken_back_and_is_done_after_all_is_not_done_again(void **state)
{
    (void)state;
    begin(2);
    sim->quiet = true;
    struct sim_worker *worker = &sim->workers[1];
    worker->alive = true;
    worker->run = 1;
    connect_worker(worker);
    enqueue(11, 1);
    pass_mail();
    assert_int_equal(worker->hand_len, 1);
    worker->linked = false; // its will comes, and it works on
    tell_fleet(worker);
    pass_mail();
    assert_int_equal(queue_find(sim->fake.manager.queues, "q")->counts[REEVE_JOB_WAITING], 1);
    entry(worker, &worker->hand[0], REEVE_JOB_OUTCOME_DONE, 1);
    drop_hand(worker, 0);
    connect_worker(worker);
    pass_mail();
    assert_int_equal(sim->jobs[11].completed, 1);
    assert_int_equal(sim->jobs[11].attempt, 1);
    assert_int_equal(job_index_len(sim->fake.manager.queues->index), 0);
    end();
}

static void a_new_session_keeps_what_is_in_hand(void **state)
{
    (void)state;
    begin(1);
    sim->quiet = true;
    struct sim_worker *worker = &sim->workers[1];
    worker->alive = true;
    worker->run = 1;
    connect_worker(worker);
    enqueue(10, 3);
    pass_mail();
    assert_int_equal(worker->hand_len, 3);
    connect_worker(worker);
    pass_mail();
    assert_int_equal(worker->hand_len, 3);
    assert_int_equal(queue_find(sim->fake.manager.queues, "q")->counts[REEVE_JOB_ACTIVE], 3);
    for (size_t i = 0; i < worker->hand_len; i++) {
        assert_int_equal(worker->hand[i].attempt, 1);
    }
    stop_manager(); // the same for a manager that comes back
    start_manager(false);
    pass_mail();
    assert_int_equal(worker->hand_len, 3);
    assert_int_equal(queue_find(sim->fake.manager.queues, "q")->counts[REEVE_JOB_ACTIVE], 3);
    end();
}

// What a worker kept over a new session is on disk with the old one, what it was given since with the new one.
static void jobs_of_two_sessions_of_a_dead_worker_go_back(void **state)
{
    (void)state;
    begin(1);
    sim->quiet = true;
    struct sim_worker *worker = &sim->workers[1];
    worker->alive = true;
    worker->run = 1;
    connect_worker(worker);
    enqueue(7, 1); // is delayed
    enqueue(9, 1);
    pass_mail();
    assert_int_equal(worker->hand_len, 1);
    connect_worker(worker);
    for (int i = 0; i < 5; i++) {
        pass_mail();
        sim->fake.manager.queues->timer.fire(&sim->fake.manager.queues->timer, sim->fake.manager.queues->timer.arg);
    }
    assert_int_equal(worker->hand_len, 2);
    stop_manager();
    worker->hand_len = 0; // it died, and was started again, while nobody looked
    start_manager(false);
    connect_worker(worker);
    pass_mail();
    assert_int_equal(worker->hand_len, 2);
    assert_int_equal(worker->hand[0].attempt, 2);
    assert_int_equal(worker->hand[1].attempt, 2);
    end();
}

static void everything_acknowledged_is_done_exactly_once(void **state)
{
    const char *one = getenv("REEVE_SEED");
    const char *many = getenv("REEVE_SCHEDULES");
    uint64_t schedules = many != NULL ? strtoull(many, NULL, 10) : 25;
    uint64_t seed;
    (void)state;
    if (one != NULL) {
        run_schedule(strtoull(one, NULL, 10));
        return;
    }
    reeve_random_bytes(&seed, sizeof seed);
    seed %= 1000000000;
    for (uint64_t i = 0; i < schedules; i++) {
        run_schedule(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_new_session_keeps_what_is_in_hand),
                                       cmocka_unit_test(what_was_taken_back_and_is_done_after_all_is_not_done_again),
                                       cmocka_unit_test(jobs_of_two_sessions_of_a_dead_worker_go_back),
                                       cmocka_unit_test(everything_acknowledged_is_done_exactly_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
