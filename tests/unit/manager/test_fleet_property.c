// The fleet under random schedules. First chaos: births, deaths, stale wills, removals, lost messages, clock steps,
// outages and restarts of the manager in any order, against a model of [fold-1..9] and [session-9] that shares no code
// with the fleet, the registry or the fold. Then a world that makes sense, with restarts of the broker, against the
// truth of that world: whoever only lost the broker never shows as anything but running, and whoever is dead shows so
// soon. The seed is printed; REEVE_TEST_SEED gives it again. Must not: know why a verdict is what it is; the model says
// what it has to be.
#include "../lifecycle/dice.h"
#include "fake_rooms.h"
#include "fake_store.h"

#include "fleet_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES   2
#define WORKERS 3 // of each node
#define TOPICS  64

static struct fake fake;
static struct fleet *fleet;
static struct dice dice;
static int step_number;

static bool one_in(unsigned n)
{
    return dice_below(&dice, n) == 0;
}

// ---- the broker: what it has retained -------------------------------------------------------------------------------

static struct {
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_value *value;
} kept[TOPICS];
static size_t kept_len;

static void retain(const char *topic, const struct reeve_value *value)
{
    size_t at = 0;
    while (at < kept_len && strcmp(kept[at].topic, topic) != 0) {
        at++;
    }
    if (at == kept_len) {
        assert_true(kept_len < TOPICS);
        kept_len++;
        (void)snprintf(kept[at].topic, sizeof kept[at].topic, "%s", topic);
        kept[at].value = NULL;
    }
    reeve_value_free(kept[at].value);
    kept[at].value = value != NULL ? reeve_value_clone(value) : NULL;
}

static const struct reeve_value *retained(const char *topic)
{
    for (size_t i = 0; i < kept_len; i++) {
        if (strcmp(kept[i].topic, topic) == 0) {
            return kept[i].value;
        }
    }
    return NULL;
}

static void forget_broker(void)
{
    for (size_t i = 0; i < kept_len; i++) {
        reeve_value_free(kept[i].value);
    }
    kept_len = 0;
}

// ---- the model ------------------------------------------------------------------------------------------------------

struct word { // what one topic of a session said last
    bool there, goodbye;
    int64_t epoch, at, heard, beat, run;
    int availability;
};
struct seen_process {
    bool there, speaks;
    int64_t epoch, run, run_heard;
    int state;
};
struct model_worker {
    struct word status, will;
    struct seen_process process;
    bool exists, has_former; // the broker had a verdict of a former manager
    int former_state, former_last, former_availability;
    bool former_unsupervised;
};
static struct {
    struct word status, will;
    bool exists;
} model_nodes[NODES];
static struct model_worker model_workers[NODES][WORKERS];
static int64_t heard, cut_at, joined_at, grace; // of the reader itself; cut_at in the past of joined_at when it is over
static bool cut, sighted;

struct answer {
    int state, last_known, availability;
    bool unsupervised, said;
};

static int64_t beat_of(const struct word *status, int64_t preset)
{
    return status->beat != 0 ? status->beat : preset;
}

enum life { GONE, LIVES, SILENT, DIED, LEFT };

static enum life life_of(const struct word *status, const struct word *will, int64_t preset, int64_t as_of,
                         int64_t wills_to)
{
    if (status->goodbye) {
        return status->there ? LEFT : GONE;
    }
    if (will->there && will->heard <= wills_to && will->epoch >= status->epoch) {
        return DIED;
    }
    if (!status->there) {
        return GONE;
    }
    return 2 * (as_of - status->heard) > 5 * beat_of(status, preset) ? SILENT : LIVES;
}

static struct answer says(int state, int availability)
{
    return (struct answer){.state = state, .last_known = state, .availability = availability, .said = true};
}

static struct answer judge(int n, int w, int64_t as_of, int64_t wills_to)
{
    const struct model_worker *worker = &model_workers[n][w];
    const struct seen_process *process = &worker->process;
    enum life node =
        model_nodes[n].exists ? life_of(&model_nodes[n].status, &model_nodes[n].will, 5000, as_of, wills_to) : GONE;
    enum life life = life_of(&worker->status, &worker->will, 20000, as_of, wills_to);
    bool lives = life == LIVES;
    int availability = worker->status.availability;
    if (!process->there && life == GONE) {
        return says(REEVE_STATE_UNKNOWN, 0);
    }
    // [fold-5] [fold-6]
    if (node == DIED || node == SILENT || (process->there && node != LIVES)) {
        struct answer answer = says(lives ? REEVE_STATE_RUNNING : REEVE_STATE_UNKNOWN, lives ? availability : 0);
        answer.unsupervised = lives;
        if (!lives) {
            answer.last_known = process->there ? process->state : life == LEFT ? REEVE_STATE_STOPPED : REEVE_STATE_LOST;
        }
        return answer;
    }
    // [fold-7] [fold-8]
    if (!process->there) {
        return lives          ? says(REEVE_STATE_RUNNING, availability)
               : life == LEFT ? says(REEVE_STATE_STOPPED, REEVE_AVAILABILITY_OFFLINE)
                              : says(REEVE_STATE_LOST, 0);
    }
    // [fold-1]
    if (process->state != REEVE_STATE_RUNNING) {
        return says(process->state, 0);
    }
    // [fold-2..4]
    int64_t patience = beat_of(&worker->status, 20000);
    bool other_run = worker->status.run > 0 && process->run > worker->status.run &&
                     !(worker->will.there && worker->will.epoch > worker->status.epoch);
    if (life == GONE || other_run) {
        int64_t since = process->run_heard;
        if (!worker->status.there && worker->status.heard > since) {
            since = worker->status.heard;
        }
        bool silent = 2 * (as_of - since) > 5 * patience;
        return says((process->speaks || life != GONE) && silent ? REEVE_STATE_LOST : REEVE_STATE_RUNNING, 0);
    }
    if (lives) {
        return says(REEVE_STATE_RUNNING, availability);
    }
    bool leaving = life == LEFT && 2 * (as_of - worker->status.heard) <= 5 * patience;
    return leaving ? says(REEVE_STATE_RUNNING, REEVE_AVAILABILITY_OFFLINE) : says(REEVE_STATE_LOST, 0);
}

static bool equal(const struct answer *a, const struct answer *b)
{
    return a->state == b->state && a->last_known == b->last_known && a->availability == b->availability &&
           a->unsupervised == b->unsupervised;
}

static bool model_holds(void)
{
    return cut || fake.mono_ms < joined_at + grace;
}

static struct answer model_answer(int n, int w)
{
    const struct model_worker *worker = &model_workers[n][w];
    struct answer held = judge(n, w, cut_at, cut_at);
    struct answer clear = judge(n, w, fake.mono_ms, INT64_MAX);
    if (!worker->exists) { // only its verdict is left
        held = says(REEVE_STATE_UNKNOWN, 0);
        held.last_known = worker->former_last;
        clear = held;
    }
    if (!model_holds()) {
        return clear;
    }
    if (sighted) {
        return held;
    }
    if (worker->exists && equal(&held, &clear)) { // it stands from now on
        model_workers[n][w].has_former = true;
        model_workers[n][w].former_state = held.state;
        model_workers[n][w].former_last = held.last_known;
        model_workers[n][w].former_availability = held.availability;
        model_workers[n][w].former_unsupervised = held.unsupervised;
        return held;
    }
    if (worker->has_former) {
        return (struct answer){worker->former_state, worker->former_last, worker->former_availability,
                               worker->former_unsupervised, true};
    }
    return (struct answer){.state = REEVE_STATE_UNKNOWN};
}

// ---- the model hears a message --------------------------------------------------------------------------------------

static bool hear_word(struct word *word, const struct word *newer, bool will)
{
    if (!newer->there) {
        word->there = false;
        word->heard = fake.mono_ms;
        return true;
    }
    bool outlived = !will && fake.mono_ms - word->heard > 3 * beat_of(word, 20000);
    if (newer->epoch < word->epoch && !outlived) {
        return false;
    }
    bool again = word->there && word->epoch == newer->epoch && (will || (newer->at != 0 && word->at == newer->at));
    int64_t since = again ? word->heard : fake.mono_ms;
    *word = *newer;
    word->heard = since;
    return true;
}

static void tidy(int n, int w)
{
    struct model_worker *worker = &model_workers[n][w];
    if (worker->exists && !worker->status.there && !worker->will.there && !worker->process.there) {
        *worker = (struct model_worker){0}; // forgotten, epochs and all
    }
}

static void model_join(void)
{
    int64_t away = cut_at > 1 ? fake.mono_ms - cut_at : 0;
    grace = away < 5000 ? 5000 : away > 40000 ? 40000 : away;
    joined_at = fake.mono_ms;
    cut = false;
}

static void model_cut(void)
{
    int64_t at = fake.mono_ms - 1000;
    at = heard > 0 && heard < at ? heard : at;
    if (cut) {
        return;
    }
    // A loss within the grace goes on with the former outage.
    cut_at = model_holds() && joined_at > 0 ? (cut_at > 0 ? cut_at : 1) : at;
    joined_at = 0;
    cut = true;
}

// ---- messages -------------------------------------------------------------------------------------------------------

static const char *const node_names[] = {"alpha", "beta"};
static const char *const worker_names[] = {"a", "b", "c"};

enum leaf { NODE_STATUS, NODE_WILL, PROCESS, STATUS, WILL, LEAVES };

static void topic_of(enum leaf leaf, int n, int w, char topic[REEVE_TOPIC_SIZE])
{
    static const char *const leaves[] = {"status", "lwt", "process", "status", "lwt"};
    if (leaf == NODE_STATUS || leaf == NODE_WILL) {
        (void)snprintf(topic, REEVE_TOPIC_SIZE, "node/%s/%s", node_names[n], leaves[leaf]);
    } else {
        (void)snprintf(topic, REEVE_TOPIC_SIZE, "worker/%s/%s/%s", node_names[n], worker_names[w], leaves[leaf]);
    }
}

// What the model takes of a record on the wire.
static struct word word_of(const struct reeve_value *value)
{
    const char *text = reeve_get_str(value, "availability");
    enum reeve_availability availability = REEVE_AVAILABILITY_NONE;
    if (text != NULL) {
        (void)reeve_availability_parse(text, &availability);
    }
    return (struct word){.there = value != NULL,
                         .goodbye = reeve_str_eq(reeve_get_str(value, "state"), "offline"),
                         .epoch = reeve_get_int(value, "epoch", 0),
                         .at = reeve_get_int(value, "at", 0),
                         .beat = reeve_get_int(value, "heartbeat_ms", 0),
                         .run = reeve_get_int(value, "run", 0),
                         .availability = (int)availability};
}

static void model_hears_process(int n, int w, const struct reeve_value *value)
{
    struct seen_process *process = &model_workers[n][w].process;
    if (value == NULL) {
        *process = (struct seen_process){.epoch = process->epoch};
        return;
    }
    int64_t epoch = reeve_get_int(value, "epoch", 0);
    int64_t run = reeve_get_int(value, "run", 0);
    enum reeve_state state = REEVE_STATE_CREATED;
    if (epoch < process->epoch || (epoch == process->epoch && run < process->run)) {
        return;
    }
    assert_true(reeve_state_parse(reeve_get_str(value, "state"), &state));
    int64_t since = process->there && process->run == run ? process->run_heard : fake.mono_ms;
    *process = (struct seen_process){.there = true,
                                     .speaks = reeve_get_bool(value, "speaks", false),
                                     .epoch = epoch,
                                     .run = run,
                                     .run_heard = since,
                                     .state = (int)state};
}

static void model_hears(enum leaf leaf, int n, int w, const struct reeve_value *value)
{
    struct word word = word_of(value);
    heard = fake.mono_ms;
    if (leaf == NODE_STATUS || leaf == NODE_WILL) {
        if (value == NULL && !model_nodes[n].exists) {
            return;
        }
        (void)hear_word(leaf == NODE_STATUS ? &model_nodes[n].status : &model_nodes[n].will, &word, leaf == NODE_WILL);
        model_nodes[n].exists = model_nodes[n].status.there || model_nodes[n].will.there;
        if (!model_nodes[n].exists) {
            memset(&model_nodes[n], 0, sizeof model_nodes[n]);
        }
        return;
    }
    struct model_worker *worker = &model_workers[n][w];
    if (value == NULL && !worker->exists) {
        worker->has_former = false; // of whom nothing but the verdict was left is removed now
        return;
    }
    worker->exists = true;
    if (leaf == PROCESS) {
        model_hears_process(n, w, value);
    } else {
        (void)hear_word(leaf == STATUS ? &worker->status : &worker->will, &word, leaf == WILL);
    }
    tidy(n, w);
}

static void deliver(enum leaf leaf, int n, int w, const struct reeve_value *value, bool is_retained)
{
    char topic[REEVE_TOPIC_SIZE];
    topic_of(leaf, n, w, topic);
    model_hears(leaf, n, w, value);
    if (value != NULL) {
        (void)fake_deliver_value(&fake, topic, reeve_value_clone(value), is_retained);
    } else {
        (void)fake_deliver_bytes(&fake, topic, NULL, 0, is_retained);
    }
}

// ---- the turn, and what must be true after it
// ----------------------------------------------------------------------------

static size_t published_now[NODES][WORKERS];

static bool same_but_for_time(const struct reeve_value *a, const struct reeve_value *b)
{
    REEVE_VALUE_AUTO left = reeve_value_clone(a);
    REEVE_VALUE_AUTO right = reeve_value_clone(b);
    (void)reeve_value_remove(left, "at");
    (void)reeve_value_remove(right, "at");
    return reeve_value_equal(left, right);
}

// What left goes to the broker; a verdict that says nothing new fails.
static void to_the_broker(bool fresh_session)
{
    memset(published_now, 0, sizeof published_now);
    for (size_t i = 0; i < fake.items_len; i++) {
        const struct fake_item *item = &fake.items[i];
        const struct reeve_value *before = retained(item->topic);
        if (before != NULL && item->value != NULL && same_but_for_time(before, item->value)) {
            fail_msg("step %d: %s was published again and says nothing new", step_number, item->topic);
        }
        for (int n = 0; n < NODES; n++) {
            for (int w = 0; w < WORKERS; w++) {
                char topic[REEVE_TOPIC_SIZE];
                (void)snprintf(topic, sizeof topic, "fleet/%s/%s", node_names[n], worker_names[w]);
                published_now[n][w] += strcmp(topic, item->topic) == 0;
                if (published_now[n][w] > 1 && !fresh_session) {
                    fail_msg("step %d: %s was published twice for one cause", step_number, topic);
                }
            }
        }
        retain(item->topic, item->value);
    }
    fake_forget_items(&fake);
}

static void print_model(int n, int w)
{
    const struct model_worker *worker = &model_workers[n][w];
    print_error("  now %lld heard %lld cut %d at %lld joined %lld grace %lld sighted %d\n", (long long)fake.mono_ms,
                (long long)heard, cut, (long long)cut_at, (long long)joined_at, (long long)grace, sighted);
    print_error("  node: status %d epoch %lld heard %lld bye %d, will %d epoch %lld\n", model_nodes[n].status.there,
                (long long)model_nodes[n].status.epoch, (long long)model_nodes[n].status.heard,
                model_nodes[n].status.goodbye, model_nodes[n].will.there, (long long)model_nodes[n].will.epoch);
    print_error("  status %d epoch %lld run %lld heard %lld bye %d, will %d epoch %lld heard %lld\n",
                worker->status.there, (long long)worker->status.epoch, (long long)worker->status.run,
                (long long)worker->status.heard, worker->status.goodbye, worker->will.there,
                (long long)worker->will.epoch, (long long)worker->will.heard);
    print_error("  process %d %s run %lld since %lld speaks %d; former %d %s\n", worker->process.there,
                reeve_state_text((enum reeve_state)worker->process.state), (long long)worker->process.run,
                (long long)worker->process.run_heard, worker->process.speaks, worker->has_former,
                reeve_state_text((enum reeve_state)worker->former_state));
}

static void compare(int n, int w)
{
    const struct fleet_worker *worker = fleet_worker(fleet, node_names[n], worker_names[w]);
    struct answer answer = model_answer(n, w);
    char topic[REEVE_TOPIC_SIZE];
    (void)snprintf(topic, sizeof topic, "fleet/%s/%s", node_names[n], worker_names[w]);
    const struct reeve_value *record = retained(topic);
    bool known = model_workers[n][w].exists || model_workers[n][w].has_former;
    if (!known) {
        if (worker != NULL || record != NULL) {
            fail_msg("step %d: %s is left of a worker that is gone", step_number, topic);
        }
        return;
    }
    assert_non_null(worker);
    struct fleet_worker_info info = fleet_worker_info(fleet, worker);
    struct answer is = {(int)info.state, (int)info.last_known, (int)info.availability, info.unsupervised, true};
    if ((answer.said || info.state != REEVE_STATE_UNKNOWN) && !equal(&is, &answer)) {
        print_model(n, w);
        fail_msg("step %d: %s is %s/%d (last %s), the model says %s/%d (last %s)", step_number, topic,
                 reeve_state_text(info.state), (int)info.availability, reeve_state_text(info.last_known),
                 reeve_state_text((enum reeve_state)answer.state), answer.availability,
                 reeve_state_text((enum reeve_state)answer.last_known));
    }
    if (answer.said &&
        !reeve_str_eq(reeve_get_str(record, "state"), reeve_state_text((enum reeve_state)answer.state))) {
        print_model(n, w);
        fail_msg("step %d: %s was published as %s, the model says %s", step_number, topic,
                 record != NULL ? reeve_get_str(record, "state") : "nothing",
                 reeve_state_text((enum reeve_state)answer.state));
    }
    if (!answer.said && record != NULL) {
        print_model(n, w);
        fail_msg("step %d: %s is said of a worker of whom nothing is certain", step_number, topic);
    }
}

static void compare_node(int n)
{
    static const enum life as_it_is[] = {
        [REEVE_ABSENT] = GONE, [REEVE_LIVE] = LIVES, [REEVE_STALE] = SILENT, [REEVE_DEAD] = DIED, [REEVE_LEFT] = LEFT};
    const struct fleet_node *node = fleet_node(fleet, node_names[n]);
    const struct word *status = &model_nodes[n].status;
    const struct word *will = &model_nodes[n].will;
    enum life held =
        life_of(status, will, 5000, model_holds() ? cut_at : fake.mono_ms, model_holds() ? cut_at : INT64_MAX);
    enum life clear = life_of(status, will, 5000, fake.mono_ms, INT64_MAX);
    enum life life =
        !model_holds() || sighted || held == clear ? held : SILENT; // one that may be dead takes no workers
    if (!model_nodes[n].exists) {
        life = GONE;
    }
    if (node == NULL) {
        assert_false(model_nodes[n].exists);
        return;
    }
    enum life is = as_it_is[fleet_node_info(fleet, node).liveness];
    if (is != life) {
        fail_msg("step %d: node %s is %d, the model says %d", step_number, node_names[n], (int)is, (int)life);
    }
}

static void settle(bool fresh_session)
{
    int64_t look = fleet_next_look(fleet);
    if (look != 0 && look <= fake.mono_ms) {
        fleet_look(fleet);
    }
    fake_turn(&fake, true);
    to_the_broker(fresh_session);
    if (!fleet->ready) {
        return;
    }
    if (!model_holds()) {
        sighted = true;
    }
    for (int n = 0; n < NODES; n++) {
        compare_node(n);
        for (int w = 0; w < WORKERS; w++) {
            compare(n, w);
            if (sighted && model_workers[n][w].exists) {
                model_workers[n][w].has_former = false; // judged by itself now
            }
        }
    }
}

// ---- the manager's own session
// ------------------------------------------------------------------------------------------

static bool taken_apart(const char *topic, enum leaf *leaf, int *n, int *w)
{
    char form[REEVE_TOPIC_SIZE];
    for (*n = 0; *n < NODES; ++*n) {
        for (*w = 0; *w < WORKERS; ++*w) {
            for (int l = 0; l < LEAVES; l++) {
                topic_of((enum leaf)l, *n, *w, form);
                if (strcmp(form, topic) == 0) {
                    *leaf = (enum leaf)l;
                    return true;
                }
            }
        }
    }
    return false;
}

static void note_former(int n, int w, const struct reeve_value *record)
{
    struct model_worker *worker = &model_workers[n][w];
    enum reeve_state state = REEVE_STATE_UNKNOWN;
    enum reeve_state last;
    enum reeve_availability availability = REEVE_AVAILABILITY_NONE;
    assert_true(reeve_state_parse(reeve_get_str(record, "state"), &state));
    last = state;
    if (reeve_get_str(record, "last_known") != NULL) {
        assert_true(reeve_state_parse(reeve_get_str(record, "last_known"), &last));
    }
    if (reeve_get_str(record, "availability") != NULL) {
        assert_true(reeve_availability_parse(reeve_get_str(record, "availability"), &availability));
    }
    worker->has_former = true;
    worker->former_state = (int)state;
    worker->former_last = (int)last;
    worker->former_availability = (int)availability;
    worker->former_unsupervised = reeve_get_bool(record, "unsupervised", false);
}

// Everything retained, in any order. `complete` false: some of it does not come [topic-7].
static void read_retained(bool fresh)
{
    size_t begin = kept_len > 0 ? dice_below(&dice, (unsigned)kept_len) : 0;
    for (size_t i = 0; i < kept_len; i++) {
        size_t at = (begin + i) % kept_len;
        enum leaf leaf;
        int n;
        int w;
        if (kept[at].value == NULL) {
            continue;
        }
        if (taken_apart(kept[at].topic, &leaf, &n, &w)) {
            deliver(leaf, n, w, kept[at].value, true);
            continue;
        }
        for (n = 0; n < NODES; n++) {
            for (w = 0; w < WORKERS && fresh; w++) {
                char topic[REEVE_TOPIC_SIZE];
                (void)snprintf(topic, sizeof topic, "fleet/%s/%s", node_names[n], worker_names[w]);
                if (strcmp(topic, kept[at].topic) == 0) {
                    note_former(n, w, kept[at].value);
                }
            }
        }
        (void)fake_deliver_value(&fake, kept[at].topic, reeve_value_clone(kept[at].value), true);
    }
}

static void begin_manager(void)
{
    assert_int_equal(fleet_new(&fake.manager, &fleet, NULL), REEVE_OK);
    fake.manager.fleet = fleet;
}

static void join(bool fresh)
{
    // Retained messages come around the call that says the session has begun: some before, some after.
    if (!fresh && !cut) {
        model_cut();
        fleet_lost(fleet);
    }
    fleet_session(fleet);
    model_join();
    read_retained(fresh);
    fleet_ready(fleet);
    settle(true);
}

static void restart_manager(void)
{
    fleet_free(fleet);
    fake.filters_len = 0;
    memset(model_nodes, 0, sizeof model_nodes);
    memset(model_workers, 0, sizeof model_workers);
    heard = 0;
    cut_at = 0;
    joined_at = 0;
    cut = false;
    sighted = false;
    begin_manager();
    join(true);
}

// ---- chaos
// --------------------------------------------------------------------------------------------------------------

static int64_t near_epoch[NODES][WORKERS + 1];

static int64_t some_epoch(int64_t *epoch)
{
    static const int steps[] = {0, 0, 0, 0, 0, 1, 1, -1, -2};
    int64_t made = *epoch + steps[dice_below(&dice, REEVE_ARRAY_LEN(steps))];
    made = made < 0 ? 0 : made;
    *epoch = made > *epoch ? made : *epoch;
    return made;
}

static struct reeve_value *some_record(enum leaf leaf, int n, int w)
{
    static const char *const availabilities[] = {"idle", "processing", "paused", "draining"};
    struct reeve_value *map = reeve_value_map();
    int64_t *epoch = &near_epoch[n][leaf == STATUS || leaf == WILL ? w + 1 : 0];
    reeve_put_int(map, "epoch", some_epoch(epoch));
    if (leaf == NODE_WILL || leaf == WILL) {
        return map;
    }
    if (!one_in(8)) {
        reeve_put_int(map, "at", fake.wall_ms);
    }
    if (leaf == PROCESS) {
        reeve_put_int(map, "run", dice_below(&dice, 4));
        reeve_put_str(map, "state",
                      reeve_state_text(one_in(2) ? REEVE_STATE_RUNNING
                                                 : (enum reeve_state)dice_below(&dice, REEVE_STATE_MACHINE_COUNT)));
        reeve_put_bool(map, "speaks", !one_in(3));
        return map;
    }
    reeve_put_str(map, "state", one_in(8) ? "offline" : "online");
    if (one_in(2)) {
        reeve_put_int(map, "heartbeat_ms", leaf == NODE_STATUS ? 3000 : 9000);
    }
    if (leaf == STATUS) {
        reeve_put_int(map, "run", dice_below(&dice, 4));
        reeve_put_str(map, "availability", availabilities[dice_below(&dice, REEVE_ARRAY_LEN(availabilities))]);
    }
    return map;
}

static void some_message(void)
{
    enum leaf leaf = (enum leaf)dice_below(&dice, LEAVES);
    int n = (int)dice_below(&dice, NODES);
    int w = (int)dice_below(&dice, WORKERS);
    char topic[REEVE_TOPIC_SIZE];
    topic_of(leaf, n, w, topic);
    REEVE_VALUE_AUTO record = one_in(10) ? NULL : some_record(leaf, n, w);
    retain(topic, record);
    if (fleet->ready && !one_in(12)) { // else it is lost
        deliver(leaf, n, w, record, false);
    }
}

static void some_time(void)
{
    static const int64_t times[] = {0, 1, 40, 999, 2500, 7501, 12500, 12501, 22500, 22501, 50000, 50001, 61000};
    fake_time(&fake, times[dice_below(&dice, REEVE_ARRAY_LEN(times))]);
}

static void chaos_step(void)
{
    unsigned what = dice_below(&dice, 100);
    if (what < 55) {
        some_message();
    } else if (what < 90) {
        some_time();
    } else if (what < 92) {
        fake_wall_step(&fake, (one_in(2) ? 1 : -1) * (int64_t)dice_below(&dice, 7200000));
    } else if (what < 96 && fleet->ready) {
        model_cut();
        fleet_lost(fleet);
    } else if (what < 98) {
        join(false);
        return;
    } else if (what < 99) {
        restart_manager();
        return;
    }
    settle(false);
}

static int setup(void **state)
{
    (void)state;
    fake_init(&fake);
    fake.manager.config.manager.forget_after_ms = 1000LL * 86400 * 1000;
    fake_store_reset();
    memset(near_epoch, 0, sizeof near_epoch);
    begin_manager();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fleet_free(fleet);
    forget_broker();
    fake_store_reset();
    fake_done(&fake);
    return 0;
}

static void verdicts_agree_with_the_model_whatever_happens(void **state)
{
    dice = (struct dice){dice_seed()};
    for (int round = 0; round < 60; round++) {
        restart_manager();
        for (step_number = 0; step_number < 1000; step_number++) {
            chaos_step();
        }
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

// ---- a world that makes sense
// ---------------------------------------------------------------------------------------------

struct session {
    bool lives; // its process does
    bool connected;
    int64_t epoch, back_at, beat_at;
};
static struct {
    struct session daemon;
    struct {
        struct session session;
        bool hand; // started by hand: no process record
        int64_t run, starts_at;
        bool calm; // nothing but the broker has happened to it
        int64_t calm_since;
    } workers[WORKERS];
} world[NODES];
static bool broker_up, manager_up;
static int64_t broker_back_at, manager_back_at, disturbed_at;
static int64_t next_epoch = 1;

static void world_publish(enum leaf leaf, int n, int w, struct reeve_value *value)
{
    REEVE_VALUE_AUTO owned = value;
    char topic[REEVE_TOPIC_SIZE];
    topic_of(leaf, n, w, topic);
    retain(topic, owned);
    if (manager_up) {
        deliver(leaf, n, w, owned, false);
        settle(false);
    }
}

static void say_process(int n, int w, const char *state)
{
    if (world[n].workers[w].hand || !world[n].daemon.connected) {
        return;
    }
    struct reeve_value *map = reeve_value_map();
    reeve_put_int(map, "epoch", world[n].daemon.epoch);
    reeve_put_int(map, "run", world[n].workers[w].run);
    reeve_put_str(map, "state", state);
    reeve_put_int(map, "at", fake.wall_ms);
    reeve_put_bool(map, "speaks", true);
    world_publish(PROCESS, n, w, map);
}

static void say_status(int n, int w)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_int(map, "epoch", world[n].workers[w].session.epoch);
    reeve_put_int(map, "run", world[n].workers[w].hand ? 0 : world[n].workers[w].run);
    reeve_put_str(map, "state", "online");
    reeve_put_str(map, "availability", "idle");
    reeve_put_int(map, "at", fake.wall_ms);
    world_publish(STATUS, n, w, map);
}

static void say_node(int n)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_int(map, "epoch", world[n].daemon.epoch);
    reeve_put_str(map, "state", "online");
    reeve_put_int(map, "at", fake.wall_ms);
    world_publish(NODE_STATUS, n, 0, map);
}

static void say_will(enum leaf leaf, int n, int w, int64_t epoch)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_int(map, "epoch", epoch);
    world_publish(leaf, n, w, map);
}

static const char *process_state(int n, int w)
{
    return world[n].workers[w].session.lives ? "running" : "restarting";
}

static void open_session(struct session *session, int64_t beat_ms)
{
    session->connected = true;
    session->epoch = ++next_epoch;
    session->beat_at = fake.mono_ms + beat_ms - (int64_t)dice_below(&dice, (unsigned)beat_ms / 4);
}

static void world_node(int n)
{
    struct session *daemon = &world[n].daemon;
    if (!daemon->connected && daemon->lives && fake.mono_ms >= daemon->back_at) {
        open_session(daemon, 5000);
        say_node(n);
        for (int w = 0; w < WORKERS; w++) {
            say_process(n, w, process_state(n, w));
        }
    } else if (daemon->connected && fake.mono_ms >= daemon->beat_at) {
        daemon->beat_at = fake.mono_ms + 5000;
        say_node(n);
    }
}

static void world_worker(int n, int w)
{
    struct session *session = &world[n].workers[w].session;
    if (!session->lives && world[n].daemon.lives && fake.mono_ms >= world[n].workers[w].starts_at) {
        session->lives = true;
        session->back_at = fake.mono_ms + 100;
        world[n].workers[w].run++;
        world[n].workers[w].calm = false;
        say_process(n, w, "running");
    }
    if (!session->connected && session->lives && fake.mono_ms >= session->back_at) {
        open_session(session, 20000);
        say_status(n, w);
    } else if (session->connected && fake.mono_ms >= session->beat_at) {
        session->beat_at = fake.mono_ms + 20000;
        say_status(n, w);
    }
}

static void crash_worker(int n, int w, int64_t for_ms)
{
    struct session *session = &world[n].workers[w].session;
    if (!session->lives) {
        return;
    }
    session->lives = false;
    world[n].workers[w].calm = false;
    world[n].workers[w].starts_at = fake.mono_ms + for_ms;
    if (session->connected && broker_up) {
        say_will(WILL, n, w, session->epoch);
    }
    session->connected = false;
    say_process(n, w, "restarting");
    disturbed_at = fake.mono_ms;
}

static void crash_daemon(int n, int64_t for_ms)
{
    struct session *daemon = &world[n].daemon;
    if (daemon->connected && broker_up) {
        say_will(NODE_WILL, n, 0, daemon->epoch);
    }
    daemon->connected = false;
    daemon->back_at = fake.mono_ms + for_ms;
    for (int w = 0; w < WORKERS; w++) {
        world[n].workers[w].calm = world[n].workers[w].calm && world[n].workers[w].hand;
    }
    disturbed_at = fake.mono_ms;
}

// Everybody's will, then silence; everybody comes back about as late as the outage was long.
static void crash_broker(int64_t for_ms)
{
    bool tells = one_in(2); // a broker that is told to stop publishes the wills to those who are still there
    bool up = manager_up;
    if (!tells) {
        manager_up = false;
    }
    for (int n = 0; n < NODES; n++) {
        for (int w = -1; w < WORKERS; w++) {
            struct session *session = w < 0 ? &world[n].daemon : &world[n].workers[w].session;
            if (session->connected) {
                session->connected = false;
                session->back_at = fake.mono_ms + for_ms + (int64_t)dice_below(&dice, (unsigned)(for_ms * 8 / 10 + 1));
                say_will(w < 0 ? NODE_WILL : WILL, n, w < 0 ? 0 : w, session->epoch);
            }
        }
    }
    broker_up = false;
    broker_back_at = fake.mono_ms + for_ms;
    if (up) {
        model_cut();
        fleet_lost(fleet);
    }
    manager_up = false;
    manager_back_at = broker_back_at + 1 + (int64_t)dice_below(&dice, 500);
}

static void something_happens(void)
{
    int n = (int)dice_below(&dice, NODES);
    int w = (int)dice_below(&dice, WORKERS);
    switch (dice_below(&dice, 12)) {
    case 0:
        crash_broker(300 + (int64_t)dice_below(&dice, 20000));
        break;
    case 1:
        if (manager_up) { // its own connection only
            model_cut();
            fleet_lost(fleet);
            manager_up = false;
            manager_back_at = fake.mono_ms + (int64_t)dice_below(&dice, 30000);
        }
        break;
    case 2:
        if (manager_up) {
            restart_manager();
        }
        break;
    case 3:
        crash_daemon(n, 500 + (int64_t)dice_below(&dice, 20000));
        break;
    case 4:
        if (broker_up) { // an old will that comes late changes nothing
            say_will(WILL, n, w, world[n].workers[w].session.epoch - 1 > 0 ? world[n].workers[w].session.epoch - 1 : 0);
        }
        break;
    default:
        crash_worker(n, w, 200 + (int64_t)dice_below(&dice, 60000));
        break;
    }
}

static void assert_world(void)
{
    for (int n = 0; n < NODES; n++) {
        for (int w = 0; w < WORKERS; w++) {
            char topic[REEVE_TOPIC_SIZE];
            (void)snprintf(topic, sizeof topic, "fleet/%s/%s", node_names[n], worker_names[w]);
            const char *state = reeve_get_str(retained(topic), "state");
            const struct session *session = &world[n].workers[w].session;
            if (!world[n].workers[w].calm && session->connected && world[n].daemon.connected && manager_up &&
                !model_holds()) {
                world[n].workers[w].calm = true; // from now on only the broker may happen to it
            }
            if (world[n].workers[w].calm && manager_up && !reeve_str_eq(state, "running")) {
                print_model(n, w);
                fail_msg("second %d: %s is %s, and nothing but the broker has happened to it", step_number, topic,
                         state != NULL ? state : "nothing");
            }
            bool dead = !session->lives && fake.mono_ms > disturbed_at && manager_up && !model_holds() && broker_up;
            if (dead && reeve_str_eq(state, "running")) {
                print_model(n, w);
                fail_msg("second %d: %s is running, and it is dead", step_number, topic);
            }
        }
    }
}

static void world_second(void)
{
    fake_time(&fake, 1000);
    if (!broker_up && fake.mono_ms >= broker_back_at) {
        broker_up = true;
    }
    if (!manager_up && broker_up && fake.mono_ms >= manager_back_at) {
        manager_up = true;
        join(false);
    }
    for (int n = 0; n < NODES && broker_up; n++) {
        world_node(n);
        for (int w = 0; w < WORKERS; w++) {
            world_worker(n, w);
        }
    }
    settle(false);
    assert_world();
}

static void begin_world(void)
{
    memset(world, 0, sizeof world);
    broker_up = true;
    manager_up = true;
    disturbed_at = 0;
    for (int n = 0; n < NODES; n++) {
        world[n].daemon.lives = true;
        for (int w = 0; w < WORKERS; w++) {
            world[n].workers[w].hand = w == WORKERS - 1;
            world[n].workers[w].run = 1;
            world[n].workers[w].session.lives = true;
        }
    }
}

static void who_only_lost_the_broker_never_shows_and_who_is_dead_always_does(void **state)
{
    dice = (struct dice){dice_seed()};
    for (int round = 0; round < 30; round++) {
        begin_world();
        restart_manager();
        for (step_number = 0; step_number < 1200; step_number++) {
            world_second();
            if (step_number % 40 == 39 && broker_up && one_in(2)) {
                something_happens();
                settle(false);
            }
        }
        // Everything comes to rest: the verdicts are the world.
        for (step_number = 0; step_number < 120; step_number++) {
            world_second();
        }
        for (int n = 0; n < NODES; n++) {
            for (int w = 0; w < WORKERS; w++) {
                struct fleet_worker_info info =
                    fleet_worker_info(fleet, fleet_worker(fleet, node_names[n], worker_names[w]));
                assert_int_equal(info.state, REEVE_STATE_RUNNING);
                assert_int_equal(info.availability, REEVE_AVAILABILITY_IDLE);
                assert_false(info.unsupervised);
            }
        }
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verdicts_agree_with_the_model_whatever_happens, setup, teardown),
        cmocka_unit_test_setup_teardown(who_only_lost_the_broker_never_shows_and_who_is_dead_always_does, setup,
                                        teardown),
    };
    reeve_log_set_level(REEVE_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
