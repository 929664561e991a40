// From what an account should be and what its node says to the next order. By level: whatever was lost on the way is
// done again, every op is idempotent, and the worker's name and node are the same each time. Must not: start an account
// on a second node while it may run on the first.
#include "account_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_RETRY_MS     2000
#define SURPLUS_EVERY_MS   10000
#define CONFIGURE_RETRY_MS 30000
#define TRUST_MS           1000 // records are published in bunches, a reply may overtake them
#define ALARM_CONFIGURE    "account_configure"

// ---- looking --------------------------------------------------------------------------------------------------------

bool account_node_live(const struct accounts *accounts, const char *name)
{
    const struct fleet *fleet = accounts->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, name);
    return node != NULL && fleet_node_info(fleet, node).liveness == REEVE_LIVE;
}

// What its node says about its worker; false = nothing.
static bool its_worker(const struct account_entry *entry, struct fleet_worker_info *ret)
{
    const struct fleet *fleet = entry->accounts->manager->fleet;
    const struct fleet_worker *worker = entry->node[0] != '\0' ? fleet_worker(fleet, entry->node, entry->worker) : NULL;
    if (worker == NULL) {
        return false;
    }
    *ret = fleet_worker_info(fleet, worker);
    return ret->supervised;
}

static const char *why_of(const struct account_entry *entry, char *buf, size_t buf_len)
{
    const struct fleet *fleet = entry->accounts->manager->fleet;
    const struct fleet_worker *worker = fleet_worker(fleet, entry->node, entry->worker);
    return worker != NULL ? fleet_why(fleet, worker, buf, buf_len) : "its node does not know it";
}

static bool process_gone(const struct fleet_worker_info *info)
{
    return info->state == REEVE_STATE_STOPPED || info->state == REEVE_STATE_FAILED ||
           info->state == REEVE_STATE_CREATED;
}

// Asked to run: the node's words as a state of the account.
static void observe_wanted(struct account_entry *entry, const struct fleet_worker_info *info)
{
    char why[ACCOUNT_ERROR_SIZE];
    bool stale = entry->kick || reeve_clock_mono_ms() < entry->trust_mono;
    bool ran = entry->state == ACCOUNT_RUNNING || entry->state == ACCOUNT_RESTARTING;
    switch (info->state) {
    case REEVE_STATE_RUNNING:
        if (entry->run_above > 0 && info->run <= entry->run_above) {
            account_set_state(entry, ACCOUNT_RESTARTING, NULL);
        } else if (!entry->configure_failed && !entry->refused) {
            account_set_state(entry, ACCOUNT_RUNNING, NULL);
        } else {
            memcpy(why, entry->error, sizeof why);
            account_set_state(entry, ACCOUNT_RUNNING, "%s", why);
        }
        break;
    case REEVE_STATE_STARTING:
        account_set_state(entry, ran ? ACCOUNT_RESTARTING : ACCOUNT_STARTING, NULL);
        break;
    case REEVE_STATE_STOPPING:
        account_set_state(entry, ACCOUNT_RESTARTING, NULL);
        break;
    case REEVE_STATE_RESTARTING:
        account_set_state(entry, ACCOUNT_RESTARTING, "%s", why_of(entry, why, sizeof why));
        break;
    case REEVE_STATE_FAILED:
        if (!stale) {
            account_set_state(entry, ACCOUNT_FAILED, "%s", why_of(entry, why, sizeof why));
        }
        break;
    case REEVE_STATE_STOPPED:
        if (info->wanted && !stale) {
            account_set_state(entry, ACCOUNT_STOPPED, "ended by itself: %s", why_of(entry, why, sizeof why));
        }
        break;
    case REEVE_STATE_LOST:
    case REEVE_STATE_UNKNOWN:
        account_say(entry, "%s", why_of(entry, why, sizeof why));
        break;
    case REEVE_STATE_CREATED:
    case REEVE_STATE_COUNT:
        break;
    }
}

void account_observe(struct account_entry *entry)
{
    struct fleet_worker_info info;
    if (!its_worker(entry, &info) || !account_node_live(entry->accounts, entry->node)) {
        return;
    }
    entry->unsure = false;
    entry->run = info.run;
    entry->restarts = info.restarts;
    entry->down_for_sure = process_gone(&info) && !info.wanted;
    if (account_runs(entry)) {
        observe_wanted(entry, &info);
    }
}

void account_wake(struct account_entry *entry)
{
    entry->retry_mono = 0;
    entry->tries = 0;
    entry->refused_by[0] = '\0';
    entry->refused = false;
    account_touch(entry);
}

// ---- orders ---------------------------------------------------------------------------------------------------------

static void unplace(struct account_entry *entry)
{
    entry->node[0] = '\0';
    entry->given_restart = entry->given_live = 0;
    entry->configured_run = 0;
    entry->run_above = 0;
    entry->unsure = entry->down_for_sure = false;
}

static void back_off(struct account_entry *entry, int64_t at_least_ms)
{
    int64_t wait = INT64_C(500) << (entry->tries < 6 ? entry->tries : 6);
    wait = wait < ACCOUNT_RETRY_MAX_MS ? wait : ACCOUNT_RETRY_MAX_MS;
    entry->tries++;
    entry->retry_mono = reeve_clock_mono_ms() + (wait > at_least_ms ? wait : at_least_ms);
}

// What was wrong, in words.
static void outcome_text(enum reeve_err err, const struct reeve_reply *reply, char *buf, size_t buf_len)
{
    if (reply == NULL) {
        (void)snprintf(buf, buf_len, "no answer (%s)", reeve_err_text(err)); // cut
    } else {
        (void)snprintf(buf, buf_len, "%s", reply->message != NULL ? reply->message : reeve_phase_text(reply->phase));
    }
}

static void apply_ended(struct account_entry *entry, const struct reeve_reply *reply, const char *text)
{
    struct fleet_worker_info info;
    if (reply == NULL) {
        return; // not known whether it arrived: the same again
    }
    if (reply->phase == REEVE_PHASE_DONE || reply->phase == REEVE_PHASE_FAILED) { // its node has it on disk
        entry->given_restart = entry->sent_restart;
        entry->given_live = entry->sent_live;
        entry->configured_run = 0;
        entry->kick = false;
        return;
    }
    bool there = its_worker(entry, &info);
    account_set_state(entry, there ? entry->state : ACCOUNT_FAILED, "node %s refuses it: %s", entry->node, text);
    if (!there) {                                                                       // another one may take it
        (void)snprintf(entry->refused_by, sizeof entry->refused_by, "%s", entry->node); // a name
        unplace(entry);
    }
}

static void configure_ended(struct account_entry *entry, const struct reeve_reply *reply, const char *text)
{
    struct manager *manager = entry->accounts->manager;
    bool done = reply != NULL && reply->phase == REEVE_PHASE_DONE;
    if (reply != NULL && reeve_str_eq(reply->code, reeve_err_text(REEVE_UNSUPPORTED))) {
        entry->untold_run = entry->sent_run; // its program has no settings to change: its node restarts it
        entry->configure_failed = false;
        return;
    }
    entry->configure_failed = !done;
    if (done) {
        entry->configured_run = entry->sent_run;
        entry->configured_live = entry->sent_live;
        alarm_close(manager, ALARM_CONFIGURE, entry->id);
        return;
    }
    account_say(entry, "does not take its new settings, and goes on with those before: %s", text);
    alarm_open(manager, ALARM_CONFIGURE, entry->id, ALARM_ERROR, NULL,
               "account %s does not take its new settings, and goes on with those before: %s", entry->id, text);
}

static bool unknown_there(const struct reeve_reply *reply)
{
    return reply != NULL && reeve_str_eq(reply->code, reeve_err_text(REEVE_NOENT));
}

static void step_ended(struct account_entry *entry, enum account_step step, enum reeve_err err,
                       const struct reeve_reply *reply)
{
    char text[ACCOUNT_ERROR_SIZE / 2];
    bool done = reply != NULL && reply->phase == REEVE_PHASE_DONE;
    outcome_text(err, reply, text, sizeof text);
    switch (step) {
    case STEP_APPLY:
        apply_ended(entry, reply, text);
        break;
    case STEP_CONFIGURE:
        configure_ended(entry, reply, text);
        done = done || entry->untold_run == entry->sent_run;
        break;
    case STEP_REMOVE:
    case STEP_STOP:
        if (unknown_there(reply)) {
            unplace(entry);
            done = true;
        }
        break;
    case STEP_START:
    case STEP_RESET:
    case STEP_RESTART:
        // One that was carried out and came to nothing is not asked for again: its node gave up, a person decides.
        entry->kick = entry->kick && !done && !(reply != NULL && reply->phase == REEVE_PHASE_FAILED);
        break;
    case STEP_NONE:
        break;
    }
    if (done) {
        entry->tries = 0;
        entry->retry_mono = 0;
        entry->trust_mono = reeve_clock_mono_ms() + TRUST_MS;
    } else {
        back_off(entry, step == STEP_CONFIGURE ? CONFIGURE_RETRY_MS : 0);
        reeve_log(REEVE_LOG_WARNING, "account", "account=%s node=%s order=\"%s\" retrying", entry->id, entry->node,
                  text);
    }
}

static void order_ended(struct manager *manager, const struct order *order, enum reeve_err err,
                        const struct reeve_reply *reply)
{
    struct accounts *accounts = manager->accounts;
    struct account_entry *entry = account_find(accounts, order->subject);
    accounts->under_way -= accounts->under_way > 0;
    if (entry == NULL || entry->order != (uint64_t)order->number) {
        manager_tick_soon(manager); // there is room for another one
        return;
    }
    enum account_step step = entry->step;
    entry->order = 0;
    entry->step = STEP_NONE;
    step_ended(entry, step, err, reply);
    account_store(entry);
    account_touch(entry);
}

// Takes `args`.
static void give(struct account_entry *entry, enum account_step step, const char *op, bool to_worker,
                 struct reeve_value *args)
{
    struct accounts *accounts = entry->accounts;
    struct reeve_why why;
    struct order order = {.op = op, .args = args, .number = (int64_t)++accounts->orders, .end = order_ended};
    (void)snprintf(order.node, sizeof order.node, "%s", entry->node); // names
    (void)snprintf(order.worker, sizeof order.worker, "%s", to_worker ? entry->worker : "");
    (void)snprintf(order.subject, sizeof order.subject, "%s", entry->id);
    enum reeve_err err = order_send(accounts->manager, &order, &why);
    if (err != REEVE_OK) {
        entry->touched = true; // the next tick tries again
        return;
    }
    accounts->under_way++;
    entry->order = accounts->orders;
    entry->step = step;
}

static struct reeve_value *workers_arg(const struct account_entry *entry)
{
    struct reeve_value *args = reeve_value_map();
    reeve_put_str(args, "workers", entry->worker);
    return args;
}

static void order_end_of(struct account_entry *entry, enum account_step step, const char *op)
{
    struct reeve_value *args = workers_arg(entry);
    if (step == STEP_STOP && entry->stop_grace_ms >= 0) {
        char text[REEVE_UNITS_TEXT_LEN];
        reeve_put_str(args, "grace", reeve_duration_format(entry->stop_grace_ms, text));
    }
    give(entry, step, op, false, args);
}

// The spec of its worker as a command carries it; `config` alone for `configure`. NULL = out of memory.
static struct reeve_value *spec_args(const struct account_entry *entry, bool config_only)
{
    struct reeve_spec spec;
    struct reeve_value *value = NULL;
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return NULL;
    }
    reeve_errors_init(errors, NULL);
    enum reeve_err err = reeve_account_spec(&entry->account, &spec, errors);
    free(errors);
    if (err != REEVE_OK) {
        return NULL;
    }
    if (config_only) {
        value = reeve_value_clone(spec.config);
    } else {
        err = reeve_spec_encode(&spec, REEVE_ENCODE_SKIP_PRESETS | REEVE_ENCODE_WITH_SECRETS, &value);
    }
    reeve_spec_done(&spec);
    return err == REEVE_OK ? value : NULL;
}

static bool room_for_order(struct account_entry *entry)
{
    bool room = entry->accounts->under_way < ACCOUNT_ORDERS_MAX;
    entry->touched = entry->touched || !room; // looked at again when an order has ended
    return room;
}

static void order_apply(struct account_entry *entry)
{
    struct reeve_value *args = room_for_order(entry) ? spec_args(entry, false) : NULL;
    if (args == NULL) {
        return;
    }
    entry->sent_restart = entry->restart_digest;
    entry->sent_live = entry->live_digest;
    entry->unsure = true;
    entry->down_for_sure = false;
    if (entry->state != ACCOUNT_RUNNING && entry->state != ACCOUNT_RESTARTING && entry->state != ACCOUNT_FAILED) {
        account_set_state(entry, ACCOUNT_STARTING, NULL);
    }
    give(entry, STEP_APPLY, "apply", false, args);
}

static void order_configure(struct account_entry *entry, int64_t run)
{
    struct reeve_value *args = room_for_order(entry) ? spec_args(entry, true) : NULL;
    if (args == NULL) {
        return;
    }
    entry->sent_live = entry->live_digest;
    entry->sent_run = run;
    give(entry, STEP_CONFIGURE, "configure", true, args);
}

static void order_on_worker(struct account_entry *entry, enum account_step step, const char *op)
{
    if (room_for_order(entry)) {
        give(entry, step, op, false, workers_arg(entry));
    }
}

// ---- to an end ------------------------------------------------------------------------------------------------------

static const char *why_down(const struct account_entry *entry)
{
    return entry->wanted && entry->has_account && !entry->account.enabled ? "is disabled" : NULL;
}

static void set_down(struct account_entry *entry)
{
    const char *why = why_down(entry);
    if (entry->state == ACCOUNT_CREATED && why == NULL) {
        return;
    }
    if (why != NULL) {
        account_set_state(entry, ACCOUNT_STOPPED, "%s", why);
    } else {
        account_set_state(entry, ACCOUNT_STOPPED, NULL);
    }
}

static void end_account(struct account_entry *entry)
{
    struct fleet_worker_info info;
    entry->kick = false;
    if (entry->order != 0 && (entry->step == STEP_STOP || entry->step == STEP_REMOVE)) {
        return;
    }
    if (entry->node[0] != '\0' && !account_node_live(entry->accounts, entry->node)) {
        if (!account_down(entry) || entry->gone) {
            account_set_state(entry, account_down(entry) ? entry->state : ACCOUNT_STOPPING,
                              "node %s can't be seen; it is told to stop when it is back", entry->node);
        }
        return;
    }
    bool there = its_worker(entry, &info);
    if (there && (!process_gone(&info) || info.wanted || entry->gone)) {
        if (!account_down(entry)) {
            account_set_state(entry, ACCOUNT_STOPPING, NULL);
        }
        order_end_of(entry, entry->gone ? STEP_REMOVE : STEP_STOP, entry->gone ? "remove" : "stop");
        return;
    }
    if (!there && entry->unsure) {
        order_end_of(entry, STEP_STOP, "stop");
        return;
    }
    set_down(entry);
    if (!there) {
        unplace(entry);
        if (entry->gone) {
            account_forget(entry);
        }
    }
}

// ---- to a run -------------------------------------------------------------------------------------------------------

struct search {
    const struct account_entry *entry;
    const char *node;
};

static bool look_on(const struct fleet_node *node, void *arg)
{
    struct search *search = arg;
    const struct fleet *fleet = search->entry->accounts->manager->fleet;
    const struct fleet_node_info at = fleet_node_info(fleet, node);
    const struct fleet_worker *worker = fleet_worker(fleet, at.name, search->entry->worker);
    if (worker != NULL && strcmp(at.name, search->entry->moved_from) != 0) {
        const struct fleet_worker_info info = fleet_worker_info(fleet, worker);
        if (info.supervised && reeve_str_eq(info.account, search->entry->id) && (!process_gone(&info) || info.wanted)) {
            search->node = at.name;
            return false;
        }
    }
    return true;
}

static void set_node(struct account_entry *entry, const char *node)
{
    unplace(entry);
    (void)snprintf(entry->node, sizeof entry->node, "%s", node); // a name
    entry->moved_from[0] = '\0';
    account_store(entry);
}

// True when it has a node.
static bool place_account(struct account_entry *entry, struct account_places **places)
{
    char why[ACCOUNT_ERROR_SIZE];
    struct search search = {.entry = entry};
    if (entry->node[0] != '\0') {
        return true;
    }
    fleet_each_node(entry->accounts->manager->fleet, look_on, &search); // it runs already, of a former manager
    const char *node = search.node;
    if (node == NULL) {
        node = account_place(entry->accounts, places, entry, why, sizeof why);
    }
    if (node[0] != '\0') {
        set_node(entry, node);
        return true;
    }
    entry->refused = entry->refused_by[0] != '\0';
    if (entry->refused) { // its words say more
        char error[ACCOUNT_ERROR_SIZE];
        memcpy(error, entry->error, sizeof error);
        account_set_state(entry, ACCOUNT_FAILED, "%s", error);
    } else {
        account_set_state(entry, ACCOUNT_STARTING, "%s", why);
    }
    entry->refused_by[0] = '\0'; // next time it is asked again
    entry->retry_mono = reeve_clock_mono_ms() + (entry->refused ? ACCOUNT_RETRY_MAX_MS : PLACE_RETRY_MS);
    return false;
}

static bool node_takes_no_more(const struct account_entry *entry)
{
    const struct fleet *fleet = entry->accounts->manager->fleet;
    const struct fleet_node *node = fleet_node(fleet, entry->node);
    return node == NULL || fleet_node_info(fleet, node).draining || !account_node_live(entry->accounts, entry->node);
}

// Its node has it, with what it should have: what is left is to have it run, anew where asked for, and with what is
// live.
static void keep_running(struct account_entry *entry, const struct fleet_worker_info *info)
{
    bool stale = entry->given_live != entry->live_digest; // no process: the node may as well get the newest
    bool anew = entry->run_above > 0 && info->run <= entry->run_above;
    int64_t told = entry->configured_run == info->run ? (int64_t)entry->configured_live : (int64_t)entry->given_live;
    if (process_gone(info) && (!info->wanted || entry->kick || anew)) {
        if (reeve_clock_mono_ms() < entry->trust_mono && !entry->kick) {
            return; // its node has just said otherwise
        }
        if (info->state == REEVE_STATE_FAILED && !entry->kick && !anew) {
            return;
        }
        if (stale) {
            order_apply(entry);
        } else if (info->state == REEVE_STATE_FAILED) {
            order_on_worker(entry, STEP_RESET, "reset");
        } else {
            order_on_worker(entry, STEP_START, "start");
        }
    } else if (anew && info->state != REEVE_STATE_STOPPING) {
        if (stale) {
            order_apply(entry);
        } else {
            order_on_worker(entry, STEP_RESTART, "restart");
        }
    } else if (info->state == REEVE_STATE_RUNNING) {
        entry->kick = false;
        if (told != (int64_t)entry->live_digest && info->speaks && entry->untold_run != info->run) {
            order_configure(entry, info->run);
        } else if (told != (int64_t)entry->live_digest) {
            order_apply(entry); // it can't be told: its node restarts it
        }
    }
}

static void run_account(struct account_entry *entry, struct account_places **places)
{
    struct accounts *accounts = entry->accounts;
    struct fleet_worker_info info;
    bool there = its_worker(entry, &info);
    bool idle = !there || process_gone(&info);
    if (hold_fleet_stopped(accounts->manager->holds) ||
        hold_worker_shut_down(accounts->manager->holds, entry->node, entry->worker)) {
        if (idle) {
            account_set_state(entry, ACCOUNT_STOPPED, "%s",
                              hold_fleet_stopped(accounts->manager->holds)
                                  ? "the fleet is stopped: `start` with `all` ends that"
                                  : "its worker is shut down: `clear` ends that");
        }
        return;
    }
    if (entry->node[0] != '\0' && entry->down_for_sure && node_takes_no_more(entry)) {
        unplace(entry); // nothing runs there, and nothing will
    }
    if (!place_account(entry, places)) {
        return;
    }
    if (!account_node_live(accounts, entry->node)) {
        account_say(entry, "node %s can't be seen: it may run there, so it is not started elsewhere", entry->node);
        return;
    }
    there = its_worker(entry, &info);
    if (!there && entry->given_restart == 0 && !entry->unsure && node_takes_no_more(entry)) {
        unplace(entry);
        entry->touched = true;
        return;
    }
    if (!there || entry->given_restart != entry->restart_digest) {
        order_apply(entry);
        return;
    }
    keep_running(entry, &info);
}

void account_reconcile(struct account_entry *entry, struct account_places **places)
{
    bool run = account_runs(entry);
    if (run && (entry->order != 0 || reeve_clock_mono_ms() < entry->retry_mono)) {
        return;
    }
    if (run) {
        run_account(entry, places);
        return;
    }
    if (entry->order != 0 && (entry->step == STEP_STOP || entry->step == STEP_REMOVE)) {
        return;
    }
    bool waits = entry->order == 0 && entry->step == STEP_NONE && reeve_clock_mono_ms() < entry->retry_mono;
    if (!waits) {
        end_account(entry);
    }
}

// ---- elsewhere ------------------------------------------------------------------------------------------------------

// The manager has forgotten where its accounts run (a lost store, a backup): who runs goes on. Only an account that was
// stopped by somebody is stopped again.
static void adopt(struct account_entry *entry, const struct fleet_worker_info *info)
{
    reeve_log(REEVE_LOG_WARNING, "account", "account=%s node=%s adopted=true", entry->id, info->node);
    if (entry->state == ACCOUNT_CREATED) {
        entry->wanted = true;
    }
    set_node(entry, info->node);
    entry->touched = true;
}

void account_surplus(struct accounts *accounts, const struct fleet_worker_info *info)
{
    struct account_entry *entry = account_find(accounts, info->account);
    int64_t now = reeve_clock_mono_ms();
    if (entry == NULL || strcmp(entry->worker, info->name) != 0 || strcmp(entry->node, info->node) == 0 ||
        !info->supervised || !account_node_live(accounts, info->node)) {
        return;
    }
    if (entry->node[0] == '\0') {
        if (!process_gone(info) || info->wanted) {
            adopt(entry, info);
        }
        return;
    }
    if (now < entry->surplus_mono) {
        return;
    }
    entry->surplus_mono = now + SURPLUS_EVERY_MS;
    reeve_log(REEVE_LOG_WARNING, "account", "account=%s belongs to node=%s, removing it from node=%s", entry->id,
              entry->node, info->node);
    struct order order = {.op = "remove", .args = workers_arg(entry)};
    (void)snprintf(order.node, sizeof order.node, "%s", info->node); // a name
    (void)order_send(accounts->manager, &order, NULL);               /* the next sweep tries again */
}
