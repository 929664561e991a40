// From what was said to orders, by level: a worker that is seen to be something else than what was said of it is told again,
// with a growing pause after failures, at once when a new session of it appears.
// Must not: remember orders over a restart; what is seen and what was said are enough.
#include "hold_room.h"

#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const want_ops[] = {[HOLD_WANT_NOTHING] = "",       [HOLD_WANT_STOP] = "stop",
                                       [HOLD_WANT_KILL] = "kill",      [HOLD_WANT_OFFLINE] = "offline",
                                       [HOLD_WANT_ONLINE] = "online",  [HOLD_WANT_PAUSE] = "pause",
                                       [HOLD_WANT_RESUME] = "resume"};

// ---- judging --------------------------------------------------------------------------------------------------------

bool hold_has_process(const struct fleet_worker_info *info)
{
    enum reeve_state state = info->state == REEVE_STATE_UNKNOWN ? info->last_known : info->state;
    return reeve_state_has_process(state) || state == REEVE_STATE_RESTARTING || state == REEVE_STATE_LOST;
}

static bool speaks_now(const struct fleet_worker_info *info)
{
    return info->state == REEVE_STATE_RUNNING && info->availability != REEVE_AVAILABILITY_NONE;
}

static enum hold_want want_availability(const struct holds *holds, const struct hold *hold, bool stop,
                                        enum reeve_availability seen, bool *ret_over)
{
    bool offline = stop || hold_wants_offline(holds, hold);
    bool paused = hold != NULL && hold->said[HOLD_PAUSE].on;
    bool give_back_offline = !offline && hold != NULL && hold->give_back_offline;
    bool give_back_pause = !paused && hold != NULL && hold->give_back_pause;
    if (seen == REEVE_AVAILABILITY_OFFLINE) {
        return give_back_offline ? HOLD_WANT_ONLINE : HOLD_WANT_NOTHING; // whether it is paused beneath is not seen
    }
    *ret_over |= give_back_offline;
    if (offline) {
        return HOLD_WANT_OFFLINE;
    }
    if (seen == REEVE_AVAILABILITY_PAUSED) {
        return give_back_pause ? HOLD_WANT_RESUME : HOLD_WANT_NOTHING;
    }
    if (seen == REEVE_AVAILABILITY_DRAINING) {
        return HOLD_WANT_NOTHING; // which is more than a pause
    }
    *ret_over |= give_back_pause;
    return paused ? HOLD_WANT_PAUSE : HOLD_WANT_NOTHING;
}

enum hold_want hold_want_of(const struct holds *holds, const struct fleet_worker_info *info, bool node_live, bool *ret_over)
{
    const struct hold *hold = hold_find(holds, info->node, info->name);
    *ret_over = false;
    if (hold_exempt(info)) {
        return HOLD_WANT_NOTHING;
    }
    bool stop = hold_wants_stop(holds, hold);
    // What a pool or an account had ordered before the fleet was stopped may come to life after that.
    bool late = hold_fleet_stopped(holds) && (info->pool != NULL || info->account != NULL);
    if ((stop || late) && info->supervised && node_live) {
        bool kill = hold != NULL && hold->said[HOLD_STOP].on && hold->said[HOLD_STOP].kill;
        bool runs = info->wanted || (hold_has_process(info) && info->state != REEVE_STATE_STOPPING);
        *ret_over = !info->wanted && !hold_has_process(info) && hold != NULL && hold->said[HOLD_STOP].on;
        return !runs ? HOLD_WANT_NOTHING : kill ? HOLD_WANT_KILL : HOLD_WANT_STOP;
    }
    // Nobody is there who could stop it (started by hand, or its node is away): at least it takes no work.
    return speaks_now(info) ? want_availability(holds, hold, stop, info->availability, ret_over) : HOLD_WANT_NOTHING;
}

// What was said has come true, and was only said until then.
static void settle(struct holds *holds, const struct fleet_worker_info *info)
{
    struct hold *hold = hold_find(holds, info->node, info->name);
    if (hold == NULL) {
        return;
    }
    if (!hold_has_process(info)) {
        hold_unsay(hold, HOLD_STOP);
    } else if (info->availability != REEVE_AVAILABILITY_OFFLINE) {
        hold->give_back_offline = false;
        if (info->availability != REEVE_AVAILABILITY_PAUSED) {
            hold->give_back_pause = false;
        }
    }
    hold_save(holds, hold);
}

void hold_give_back(struct holds *holds, const struct fleet_worker_info *info, enum hold_kind kind)
{
    const struct hold *said = hold_find(holds, info->node, info->name);
    bool held = kind == HOLD_OFFLINE ? hold_wants_offline(holds, said) || hold_wants_stop(holds, said)
                                     : said != NULL && said->said[HOLD_PAUSE].on;
    enum reeve_availability as = kind == HOLD_OFFLINE ? REEVE_AVAILABILITY_OFFLINE : REEVE_AVAILABILITY_PAUSED;
    // Away it may still be what it was told; paused is hidden by offline.
    bool may_be = !speaks_now(info) || info->availability == as || info->availability == REEVE_AVAILABILITY_OFFLINE;
    struct hold *hold = info->speaks && !held && may_be && !hold_exempt(info) ? hold_make(holds, info->node, info->name)
                                                                              : NULL;
    if (hold != NULL) {
        *(kind == HOLD_OFFLINE ? &hold->give_back_offline : &hold->give_back_pause) = true;
        hold_save(holds, hold);
    }
}

// ---- tasks: who does not fit ----------------------------------------------------------------------------------------

bool hold_node_live(const struct holds *holds, const char *name)
{
    const struct fleet *fleet = holds->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, name);
    return node != NULL && fleet_node_info(fleet, node).liveness == REEVE_LIVE;
}

static void drop_task(struct holds *holds, const char *key)
{
    free(reeve_map_remove(holds->tasks, key));
}

static struct hold_task *make_task(struct holds *holds, const char *key, const struct fleet_worker_info *info)
{
    struct hold_task *task = calloc(1, sizeof *task);
    if (task == NULL) {
        return NULL;
    }
    (void)snprintf(task->node, sizeof task->node, "%s", info->node);     /* a name */
    (void)snprintf(task->worker, sizeof task->worker, "%s", info->name); /* a name */
    if (reeve_map_put(holds->tasks, key, task, NULL) != REEVE_OK) {
        free(task); // no room: the next look at all finds it again
        return NULL;
    }
    return task;
}

static bool is_stop(enum hold_want want)
{
    return want == HOLD_WANT_STOP || want == HOLD_WANT_KILL;
}

static void set_task(struct holds *holds, const char *key, const struct fleet_worker_info *info, enum hold_want want)
{
    struct hold_task *task = reeve_map_get(holds->tasks, key);
    if (task != NULL && task->want == want && task->epoch == info->epoch) {
        return; // under way, or waiting for its time
    }
    task = task != NULL ? task : make_task(holds, key, info);
    if (task == NULL) {
        return;
    }
    // Whatever is under way was for something else: its end will not be this task's.
    task->want = want;
    task->epoch = info->epoch;
    task->order = 0;
    task->attempts = 0;
    task->told = false;
    task->due_mono = reeve_clock_mono_ms() + (is_stop(want) ? HOLD_SETTLE_MS : 0);
    manager_tick_soon(holds->manager);
}

static void look(struct holds *holds, const struct fleet_worker *worker)
{
    char key[HOLD_KEY_SIZE];
    bool over;
    const struct fleet_worker_info info = fleet_worker_info(holds->manager->fleet, worker);
    enum hold_want want = hold_want_of(holds, &info, hold_node_live(holds, info.node), &over);
    (void)hold_key(key, info.node, info.name); /* returns key */
    if (want == HOLD_WANT_NOTHING) {
        drop_task(holds, key);
    } else {
        set_task(holds, key, &info, want);
    }
    if (over) {
        settle(holds, &info); // comes back here once, with nothing over
    }
}

void hold_look(struct holds *holds, const char *node, const char *worker)
{
    const struct fleet_worker *known = fleet_worker(holds->manager->fleet, node, worker);
    if (known != NULL) {
        look(holds, known);
    }
}

// ---- what the fleet tells -------------------------------------------------------------------------------------------

// What was to be done to it once is done with it; what was said until further notice stays.
static void forget(struct holds *holds, const struct fleet_worker_info *info)
{
    char key[HOLD_KEY_SIZE];
    struct hold *hold = hold_find(holds, info->node, info->name);
    drop_task(holds, hold_key(key, info->node, info->name));
    if (hold != NULL && (hold->said[HOLD_STOP].on || hold->give_back_offline || hold->give_back_pause)) {
        hold_unsay(hold, HOLD_STOP);
        hold->give_back_offline = false;
        hold->give_back_pause = false;
        hold_save(holds, hold);
    }
}

static bool look_each(const struct fleet_worker *worker, void *arg)
{
    look(arg, worker);
    return true;
}

void hold_listen(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                 const struct fleet_worker *worker, void *arg)
{
    struct holds *holds = arg;
    bool anything = reeve_map_len(holds->holds) > 0 || reeve_map_len(holds->tasks) > 0 ||
                    hold_fleet_stopped(holds) || hold_fleet_offline(holds);
    if (!anything) {
        return;
    }
    if (change == FLEET_WORKER) {
        look(holds, worker);
    } else if (change == FLEET_WORKER_GONE) {
        const struct fleet_worker_info info = fleet_worker_info(manager->fleet, worker);
        forget(holds, &info);
    } else if (change == FLEET_NODE) {
        fleet_each_worker_of(manager->fleet, fleet_node_info(manager->fleet, node).name, look_each, holds);
    }
}

// ---- orders ---------------------------------------------------------------------------------------------------------

static int64_t backoff_ms(int attempts)
{
    int64_t ms = HOLD_BACKOFF_MS;
    for (int i = 1; i < attempts && ms < HOLD_BACKOFF_MAX_MS; i++) {
        ms *= 2;
    }
    return ms < HOLD_BACKOFF_MAX_MS ? ms : HOLD_BACKOFF_MAX_MS;
}

static void task_ended(struct holds *holds, struct hold_task *task, bool done, const char *why)
{
    char quoted[320];
    int64_t now = reeve_clock_mono_ms();
    task->order = 0;
    task->attempts++;
    // Done: it will be seen, and the task goes. If it is not seen, that counts as a failure like another.
    task->due_mono = now + (done && task->attempts == 1 ? HOLD_SEEN_MS : backoff_ms(task->attempts));
    if (done) {
        return;
    }
    holds->failures++;
    if (!task->told && task->attempts >= 3) {
        task->told = true;
        reeve_log(REEVE_LOG_WARNING, "hold", "worker=%s/%s op=%s attempts=%d error=%s retrying", task->node, task->worker,
                  want_ops[task->want], task->attempts, reeve_log_quote(why, quoted, sizeof quoted));
    }
}

// Others may wait for their turn.
static void order_over(struct holds *holds)
{
    holds->orders--;
    if (holds->orders == 0 || holds->orders == HOLD_ORDERS_MAX / 2) {
        manager_tick_soon(holds->manager);
    }
}

static const char *outcome_text(enum reeve_err err, const struct reeve_reply *reply)
{
    if (reply == NULL) {
        return reeve_err_text(err);
    }
    return reply->message != NULL ? reply->message : reeve_phase_text(reply->phase);
}

static void worker_order_end(struct manager *manager, const struct order *order, enum reeve_err err,
                             const struct reeve_reply *reply)
{
    char key[HOLD_KEY_SIZE];
    struct holds *holds = manager->holds;
    struct hold_task *task = reeve_map_get(holds->tasks, hold_key(key, order->node, order->worker));
    if (task != NULL && task->order == order->number) {
        task_ended(holds, task, reply != NULL && reply->phase == REEVE_PHASE_DONE, outcome_text(err, reply));
    }
    order_over(holds);
}

static void node_order_end(struct manager *manager, const struct order *order, enum reeve_err err,
                           const struct reeve_reply *reply)
{
    struct holds *holds = manager->holds;
    const struct reeve_value *outcomes = reply == NULL ? NULL : reeve_value_get(reply->result, "workers");
    bool unknown_name = reply != NULL && reeve_str_eq(reply->code, reeve_err_text(REEVE_NOENT));
    for (struct reeve_map_iter it = {0}; reeve_map_next(holds->tasks, &it);) {
        struct hold_task *task = it.value;
        if (task->order != order->number) {
            continue;
        }
        const struct reeve_value *outcome = reeve_value_get(outcomes, task->worker);
        const char *said = reeve_get_str(outcome, "message");
        bool done = outcome != NULL ? reeve_str_eq(reeve_get_str(outcome, "outcome"), "done")
                                    : reply != NULL && reply->phase == REEVE_PHASE_DONE;
        task->alone |= unknown_name;
        task_ended(holds, task, done, said != NULL ? said : outcome_text(err, reply));
    }
    order_over(holds);
}

static const char *reason_of(const struct holds *holds, const struct hold_task *task, char *buf, size_t buf_len)
{
    enum hold_kind kind;
    bool fleet;
    const struct said *said = hold_strongest(holds, task->node, task->worker, &kind, &fleet);
    if (said == NULL) {
        return NULL;
    }
    (void)snprintf(buf, buf_len, "%s%s%s", said->reason != NULL ? said->reason : hold_kind_text(kind),
                   said->by != NULL ? ", by " : "", said->by != NULL ? said->by : ""); /* cut */
    return buf;
}

static enum reeve_err tell_worker(struct holds *holds, struct hold_task *task)
{
    char reason[REEVE_NAME_SIZE * 2];
    bool takes_reason = task->want == HOLD_WANT_OFFLINE || task->want == HOLD_WANT_PAUSE;
    struct order order = {.op = want_ops[task->want], .end = worker_order_end, .number = ++holds->order_number};
    (void)snprintf(order.node, sizeof order.node, "%s", task->node);       /* a name */
    (void)snprintf(order.worker, sizeof order.worker, "%s", task->worker); /* a name */
    if (takes_reason) {
        order.args = reeve_value_map();
        reeve_put_str_opt(order.args, "reason", reason_of(holds, task, reason, sizeof reason));
    }
    enum reeve_err err = order_send(holds->manager, &order, NULL);
    if (err == REEVE_OK) {
        task->order = order.number;
        holds->orders++;
    }
    return err;
}

// One order to a node for all that waits there.
struct batch {
    struct holds *holds;
    struct reeve_value *names; // LIST
    int64_t number;
    enum hold_want want;
    char node[REEVE_NAME_SIZE];
};

static void send_batch(struct batch *batch)
{
    struct holds *holds = batch->holds;
    struct order order = {
        .op = want_ops[batch->want], .end = node_order_end, .number = batch->number, .args = reeve_value_map()};
    (void)snprintf(order.node, sizeof order.node, "%s", batch->node); /* a name */
    (void)reeve_value_put(order.args, "workers", reeve_value_take(&batch->names)); /* remembered: built() */
    if (order_send(holds->manager, &order, NULL) == REEVE_OK) {
        holds->orders++;
        return;
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(holds->tasks, &it);) {
        struct hold_task *task = it.value;
        task->order = task->order == batch->number ? 0 : task->order; // the next tick tries again
    }
}

static bool add_to_batch(struct batch *batch, struct hold_task *task)
{
    bool fits = batch->names == NULL || (!task->alone && task->want == batch->want &&
                                         reeve_value_len(batch->names) < HOLD_BATCH_MAX &&
                                         strcmp(task->node, batch->node) == 0);
    if (!fits) {
        return false;
    }
    if (batch->names == NULL) {
        batch->names = reeve_value_list();
        batch->number = ++batch->holds->order_number;
        batch->want = task->want;
        (void)snprintf(batch->node, sizeof batch->node, "%s", task->node); /* a name */
    }
    (void)reeve_value_add(batch->names, reeve_value_str(task->worker)); /* out of memory: the order is refused */
    task->order = batch->number;
    return true;
}

// Nodes are few and their workers stand together in the order in which they were found: one open batch is enough.
static void tell_node(struct batch *batch, struct hold_task *task)
{
    if (!add_to_batch(batch, task)) {
        send_batch(batch);
        (void)add_to_batch(batch, task); /* an empty one takes any */
    }
    if (task->alone) {
        send_batch(batch);
    }
}

static bool look_and_touch(const struct fleet_worker *worker, void *arg)
{
    struct holds *holds = arg;
    const struct fleet_worker_info info = fleet_worker_info(holds->manager->fleet, worker);
    char node[REEVE_NAME_SIZE], name[REEVE_NAME_SIZE];
    (void)snprintf(node, sizeof node, "%s", info.node); /* names; what `info` borrows may move */
    (void)snprintf(name, sizeof name, "%s", info.name);
    look(holds, worker);
    fleet_touch(holds->manager->fleet, node, name);
    return true;
}

void holds_tick(struct holds *holds)
{
    int64_t now = reeve_clock_mono_ms();
    struct batch batch = {.holds = holds};
    hold_save_unsaved(holds);
    if (holds->look_at_all && fleet_known(holds->manager->fleet)) {
        holds->look_at_all = false;
        fleet_each_worker(holds->manager->fleet, look_and_touch, holds);
    }
    for (struct reeve_map_iter it = {0}; holds->orders < HOLD_ORDERS_MAX && reeve_map_next(holds->tasks, &it);) {
        struct hold_task *task = it.value;
        if (task->order != 0 || task->due_mono > now) {
            continue;
        }
        if (is_stop(task->want)) {
            tell_node(&batch, task);
        } else if (tell_worker(holds, task) != REEVE_OK) {
            break; // no session, or too many orders: the next tick goes on
        }
    }
    if (batch.names != NULL) {
        send_batch(&batch);
    }
}
