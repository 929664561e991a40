// One op on many workers: orders to their nodes, all at once; every worker ends as done, refused, failed or out of reach, and
// the reply counts and names them. Must not: decide who is meant, or wait for a disk.
#include "emergency.h"

#include "pool.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- targets --------------------------------------------------------------------------------------------------------

struct fleet_run *fleet_run_new(struct manager *manager, const char *op, int64_t timeout_ms)
{
    struct fleet_run *run = calloc(1, sizeof *run);
    if (run != NULL) {
        run->manager = manager;
        run->op = op;
        run->timeout_ms = timeout_ms;
        run->grace_ms = -1;
        run->began_mono = reeve_clock_mono_ms();
        run->last_mono = run->began_mono;
        run->told_mono = run->began_mono;
    }
    return run;
}

void fleet_run_free(void *arg)
{
    struct fleet_run *run = arg;
    if (run == NULL) {
        return;
    }
    for (size_t i = 0; i < run->len; i++) {
        free(run->targets[i].message);
    }
    free(run->targets);
    free(run->parts);
    free(run->reason);
    free(run);
}

static void settle(struct fleet_run *run, struct run_target *target, enum outcome outcome, const char *message)
{
    target->outcome = outcome;
    if (message != NULL && message[0] != '\0') {
        free(target->message);
        target->message = strdup(message); // without memory it is counted all the same
    }
    if (outcome == OUTCOME_DONE) {
        run->last_mono = reeve_clock_mono_ms();
    }
}

static int64_t lease_of(const struct manager *manager, const struct fleet_worker_info *info)
{
    REEVE_VALUE_AUTO pool = info->fence > 0 ? pool_of_worker_value(manager, info->node, info->name) : NULL;
    return reeve_get_int(pool, "self_stop_after_ms", 0);
}

void fleet_run_add(struct fleet_run *run, const struct fleet_worker_info *info, enum outcome outcome, const char *message)
{
    if (run->len == run->cap) {
        size_t cap = run->cap > 0 ? 2 * run->cap : 64;
        struct run_target *targets = realloc(run->targets, cap * sizeof *targets);
        if (targets == NULL) {
            run->failed_alloc = true;
            return;
        }
        run->targets = targets;
        run->cap = cap;
    }
    struct run_target *target = &run->targets[run->len++];
    *target = (struct run_target){.self_stop_after_ms = lease_of(run->manager, info)};
    (void)snprintf(target->node, sizeof target->node, "%s", info->node);     /* a name */
    (void)snprintf(target->worker, sizeof target->worker, "%s", info->name); /* a name */
    settle(run, target, outcome, message);
}

// ---- counting -------------------------------------------------------------------------------------------------------

struct counts {
    int64_t of[OUTCOME_COUNT];
};

static struct counts count(const struct fleet_run *run)
{
    struct counts counts = {0};
    for (size_t i = 0; i < run->len; i++) {
        counts.of[run->targets[i].outcome]++;
    }
    return counts;
}

static const char *outcome_text(enum outcome outcome)
{
    static const char *const texts[] = {"waiting", "done", "already", "refused", "failed", "unreachable"};
    return texts[outcome];
}

static bool is_trouble(enum outcome outcome)
{
    return outcome == OUTCOME_REFUSED || outcome == OUTCOME_FAILED || outcome == OUTCOME_UNREACHABLE;
}

static int64_t away_ms(const struct manager *manager, const char *name)
{
    const struct fleet_node *node = fleet_node(manager->fleet, name);
    int64_t since = node == NULL ? 0 : fleet_node_info(manager->fleet, node).away_since_mono;
    return since == 0 ? 0 : reeve_clock_mono_ms() - since;
}

// How far those out of reach on one node are kept from doing harm.
struct fencing {
    int64_t workers, leased;
    int64_t longest_ms; // until the last leased one has ended by itself; 0 = it has
};

static const char *fencing_text(const struct fleet_run *run, const struct fencing *fencing, char *buf, size_t buf_len)
{
    char leased[96] = "";
    const char *kept = run->keeps ? "runs until its node is back; that it is to be stopped is kept and sent then"
                                  : "runs until its node is back";
    if (fencing->leased > 0 && fencing->longest_ms > 0) {
        (void)snprintf(leased, sizeof leased, "lease: ends by itself within %lld s",
                       (long long)((fencing->longest_ms + 999) / 1000)); /* fits */
    } else if (fencing->leased > 0) {
        (void)snprintf(leased, sizeof leased, "lease: has ended by itself"); /* fits */
    }
    if (fencing->leased == fencing->workers) {
        (void)snprintf(buf, buf_len, "%s", leased); /* fits */
    } else if (fencing->leased > 0) {
        (void)snprintf(buf, buf_len, "%lld of %lld: %s; the others are not fenced: each %s", (long long)fencing->leased,
                       (long long)fencing->workers, leased, kept); /* fits */
    } else {
        (void)snprintf(buf, buf_len, "not fenced: %s", kept); /* fits */
    }
    return buf;
}

static struct reeve_value *unreachable_node(const struct fleet_run *run, size_t first, size_t *ret_next)
{
    struct fencing fencing = {0};
    char text[320];
    const char *node = run->targets[first].node;
    int64_t away = away_ms(run->manager, node);
    struct reeve_value *names = reeve_value_list();
    size_t i = first;
    for (; i < run->len && strcmp(run->targets[i].node, node) == 0; i++) {
        const struct run_target *target = &run->targets[i];
        if (target->outcome != OUTCOME_UNREACHABLE) {
            continue;
        }
        int64_t left = target->self_stop_after_ms - away;
        fencing.workers++;
        fencing.leased += target->self_stop_after_ms > 0 ? 1 : 0;
        fencing.longest_ms = target->self_stop_after_ms > 0 && left > fencing.longest_ms ? left : fencing.longest_ms;
        if (fencing.workers <= 100) {
            (void)reeve_value_add(names, reeve_value_str(target->worker)); /* remembered: reeve_value_built() */
        }
    }
    *ret_next = i;
    if (fencing.workers == 0) {
        reeve_value_free(names);
        return NULL;
    }
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "node", node);
    reeve_put_int(map, "since_ms", away);
    reeve_put_int(map, "workers", fencing.workers);
    (void)reeve_value_put(map, "names", names); /* remembered: reeve_value_built() */
    if (run->stops) {
        reeve_put_str(map, "fenced", fencing_text(run, &fencing, text, sizeof text));
    }
    return map;
}

static struct reeve_value *unreachable_value(const struct fleet_run *run)
{
    struct reeve_value *list = reeve_value_list();
    for (size_t i = 0; i < run->len;) {
        struct reeve_value *node = unreachable_node(run, i, &i);
        if (node != NULL) {
            (void)reeve_value_add(list, node); /* remembered: reeve_value_built() */
        }
    }
    return list;
}

static struct reeve_value *outcome_value(const struct run_target *target)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "phase", outcome_text(target->outcome));
    reeve_put_str_opt(map, "message", target->message);
    return map;
}

// `workers` with phase and message; of a stop only those that made trouble, as `failed` with their messages.
static void name_workers(const struct fleet_run *run, bool trouble, struct reeve_value *map)
{
    char key[HOLD_KEY_SIZE];
    for (size_t i = 0; i < run->len && reeve_value_len(map) < RUN_NAMED_MAX; i++) {
        const struct run_target *target = &run->targets[i];
        bool left_out = run->stops && target->outcome == OUTCOME_UNREACHABLE; // they stand with their nodes
        if (is_trouble(target->outcome) != trouble || left_out) {
            continue;
        }
        (void)hold_key(key, target->node, target->worker); /* returns key */
        const char *message = target->message != NULL ? target->message : outcome_text(target->outcome);
        (void)reeve_value_put(map, key, run->stops ? reeve_value_str(message) : outcome_value(target)); /* remembered */
    }
}

static struct reeve_value *result_value(const struct fleet_run *run)
{
    const struct counts counts = count(run);
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *named = reeve_value_map();
    reeve_put_int(result, run->stops ? "stopped" : "done", counts.of[OUTCOME_DONE] + counts.of[OUTCOME_ALREADY]);
    if (run->stops) {
        reeve_put_int(result, "already", counts.of[OUTCOME_ALREADY]);
        reeve_put_int(result, "failed_count", counts.of[OUTCOME_FAILED]);
    }
    reeve_put_int(result, "refused", counts.of[OUTCOME_REFUSED]);
    reeve_put_int(result, "unreachable", counts.of[OUTCOME_UNREACHABLE]);
    if (counts.of[OUTCOME_WAITING] > 0) {
        reeve_put_int(result, "waiting", counts.of[OUTCOME_WAITING]);
    }
    reeve_put_int(result, "ms", run->last_mono - run->began_mono);
    (void)reeve_value_put(result, "unreachable_nodes", unreachable_value(run)); /* remembered: reeve_value_built() */
    name_workers(run, true, named);
    if (!run->stops) {
        reeve_put_int(result, "failed", counts.of[OUTCOME_FAILED]);
        name_workers(run, false, named);
    }
    (void)reeve_value_put(result, run->stops ? "failed" : "workers", named); /* remembered: reeve_value_built() */
    return result;
}

static const char *summary(const struct fleet_run *run, char *buf, size_t buf_len)
{
    const struct counts counts = count(run);
    static const struct {
        enum outcome outcome;
        const char *text;
    } rows[] = {{OUTCOME_WAITING, "waited for"},
                {OUTCOME_REFUSED, "refused"},
                {OUTCOME_FAILED, "failed"},
                {OUTCOME_UNREACHABLE, "out of reach"}};
    size_t len = (size_t)snprintf(buf, buf_len, "%lld of %zu %s in %lld ms",
                                  (long long)(counts.of[OUTCOME_DONE] + counts.of[OUTCOME_ALREADY]), run->len,
                                  run->stops ? "stopped" : "running",
                                  (long long)(run->last_mono - run->began_mono)); /* fits */
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (counts.of[rows[i].outcome] > 0) {
            len += (size_t)snprintf(buf + len, buf_len - len, ", %lld %s", (long long)counts.of[rows[i].outcome],
                                    rows[i].text); /* fits */
        }
    }
    return buf;
}

// ---- the end --------------------------------------------------------------------------------------------------------

// What is out of reach is stopped when its node is back: said here, done by hold_reconcile.c.
static void keep_unreachable(const struct fleet_run *run, const struct call *call)
{
    struct holds *holds = run->manager->holds;
    for (size_t i = 0; i < run->len; i++) {
        const struct run_target *target = &run->targets[i];
        struct hold *hold =
            target->outcome == OUTCOME_UNREACHABLE ? hold_make(holds, target->node, target->worker) : NULL;
        if (hold != NULL) {
            hold_say(hold, HOLD_STOP, call->command.issuer, run->reason);
            hold->said[HOLD_STOP].kill = run->kill;
            hold_save_emergency(holds, hold);
        }
    }
}

static enum reeve_err finish(struct fleet_run *run, struct call *call)
{
    char text[320];
    const struct counts counts = count(run);
    int64_t trouble = counts.of[OUTCOME_REFUSED] + counts.of[OUTCOME_FAILED] + counts.of[OUTCOME_UNREACHABLE];
    if (run->keeps) {
        keep_unreachable(run, call);
    }
    struct reeve_value *result = result_value(run);
    (void)summary(run, text, sizeof text); /* returns text */
    if (trouble == 0) {
        return call_done(call, result, "%s", text);
    }
    return call_fail(call, counts.of[OUTCOME_UNREACHABLE] > 0 ? REEVE_OFFLINE : REEVE_CONFLICT, result, "%s", text);
}

static void go_on(struct fleet_run *run, struct call *call)
{
    char text[320];
    int64_t now = reeve_clock_mono_ms();
    if (run->orders == 0) {
        (void)finish(run, call); /* always OK */
    } else if (now - run->told_mono >= RUN_PROGRESS_MS) {
        const struct counts counts = count(run);
        struct reeve_value *progress = reeve_value_map();
        run->told_mono = now;
        reeve_put_int(progress, run->stops ? "stopped" : "done", counts.of[OUTCOME_DONE] + counts.of[OUTCOME_ALREADY]);
        reeve_put_int(progress, "waiting", counts.of[OUTCOME_WAITING]);
        call_progress(call, progress, "%s", summary(run, text, sizeof text));
    }
}

// ---- orders ---------------------------------------------------------------------------------------------------------

static void send_part(struct fleet_run *run, const struct call *call, size_t first, size_t len);

static enum outcome outcome_of(const struct reeve_value *said, const struct reeve_reply *reply)
{
    const char *text = reeve_get_str(said, "outcome");
    if (text == NULL) {
        return reply->phase == REEVE_PHASE_DONE ? OUTCOME_DONE
               : reply->phase == REEVE_PHASE_REJECTED ? OUTCOME_REFUSED : OUTCOME_FAILED;
    }
    return strcmp(text, "done") == 0 ? OUTCOME_DONE : strcmp(text, "rejected") == 0 ? OUTCOME_REFUSED : OUTCOME_FAILED;
}

static void take_reply(struct fleet_run *run, const struct run_part *part, const struct reeve_reply *reply)
{
    const struct reeve_value *said = reeve_value_get(reply->result, "workers");
    if (run->stops && reeve_str_eq(reply->code, reeve_err_text(REEVE_NOENT))) { // of one worker: see order_end()
        settle(run, &run->targets[part->first], OUTCOME_DONE, "its node does not have it any more");
        return;
    }
    for (size_t i = part->first; i < part->first + part->len; i++) {
        struct run_target *target = &run->targets[i];
        const struct reeve_value *own = said != NULL ? reeve_value_get(said, target->worker) : reply->result;
        const char *message = reeve_get_str(own, "message");
        enum outcome outcome = outcome_of(own, reply);
        settle(run, target, outcome, message == NULL && outcome != OUTCOME_DONE ? reply->message : message);
    }
}

static void take_silence(struct fleet_run *run, const struct run_part *part, enum reeve_err err)
{
    char message[96];
    (void)snprintf(message, sizeof message, "no answer from its node within %lld ms (%s)",
                   (long long)(reeve_clock_mono_ms() - run->began_mono), reeve_err_text(err)); /* fits */
    for (size_t i = part->first; i < part->first + part->len; i++) {
        settle(run, &run->targets[i], OUTCOME_UNREACHABLE, message);
    }
}

static void order_end(struct manager *manager, const struct order *order, enum reeve_err err, const struct reeve_reply *reply)
{
    struct call *call = call_find(manager, order->subject);
    struct fleet_run *run = call == NULL ? NULL : call->state;
    if (run == NULL) {
        return; // the call is over
    }
    const struct run_part part = run->parts[order->number];
    run->orders--;
    if (reply == NULL) {
        take_silence(run, &part, err);
    } else if (part.len > 1 && reeve_str_eq(reply->code, reeve_err_text(REEVE_NOENT))) {
        for (size_t i = 0; i < part.len; i++) { // one of them is gone, which must not keep the others
            send_part(run, call, part.first + i, 1);
        }
    } else {
        take_reply(run, &part, reply);
    }
    go_on(run, call);
}

// The same command of the same call has the same id: a node that did it for a former manager answers, and does nothing twice.
static void order_id(const struct fleet_run *run, const struct call *call, const struct run_part *part, char *buf, size_t buf_len)
{
    REEVE_BUF_AUTO names = REEVE_BUF_INIT(0);
    const char *node = run->targets[part->first].node;
    reeve_buf_printf(&names, "%s %s %s", call->command.id, node, run->op);
    for (size_t i = 0; i < part->len; i++) {
        reeve_buf_printf(&names, " %s", run->targets[part->first + i].worker);
    }
    buf[0] = '\0';
    if (names.err == REEVE_OK) { // without memory: an id of its own
        (void)snprintf(buf, buf_len, "run-%016llx-%016llx", (unsigned long long)reeve_hash64(names.data, names.len),
                       (unsigned long long)reeve_hash64(call->command.id, strlen(call->command.id))); /* fits */
    }
}

static struct reeve_value *order_args(const struct fleet_run *run, const struct run_part *part)
{
    char grace[32];
    struct reeve_value *args = reeve_value_map();
    struct reeve_value *names = reeve_value_list();
    for (size_t i = 0; i < part->len; i++) {
        (void)reeve_value_add(names, reeve_value_str(run->targets[part->first + i].worker)); /* remembered: built() */
    }
    (void)reeve_value_put(args, "workers", names); /* remembered: reeve_value_built() */
    if (run->grace_ms == 0) {
        reeve_put_int(args, "grace", 0);
    } else if (run->grace_ms > 0) {
        (void)snprintf(grace, sizeof grace, "%lldms", (long long)run->grace_ms); /* fits */
        reeve_put_str(args, "grace", grace);
    }
    return args;
}

static bool note_part(struct fleet_run *run, const struct run_part *part)
{
    if (run->parts_len == run->parts_cap) {
        size_t cap = run->parts_cap > 0 ? 2 * run->parts_cap : 16;
        struct run_part *parts = realloc(run->parts, cap * sizeof *parts);
        if (parts == NULL) {
            return false;
        }
        run->parts = parts;
        run->parts_cap = cap;
    }
    run->parts[run->parts_len++] = *part;
    return true;
}

static void send_part(struct fleet_run *run, const struct call *call, size_t first, size_t len)
{
    const struct run_part part = {first, len};
    int64_t left_ms = run->timeout_ms - (reeve_clock_mono_ms() - run->began_mono);
    enum reeve_err err = REEVE_NOMEM;
    if (note_part(run, &part)) {
        struct order order = {.op = run->op,
                              .args = order_args(run, &part),
                              .timeout_ms = left_ms > 1000 ? left_ms : 1000,
                              .number = (int64_t)run->parts_len - 1,
                              .end = order_end,
                              .at_once = run->stops};
        (void)snprintf(order.node, sizeof order.node, "%s", run->targets[first].node);     /* a name */
        (void)snprintf(order.subject, sizeof order.subject, "%s", call->command.id); /* an id */
        order_id(run, call, &part, order.id, sizeof order.id);
        err = order_send(run->manager, &order, NULL);
    }
    if (err == REEVE_OK) {
        run->orders++;
    } else {
        take_silence(run, &part, err);
    }
}

static bool same_part(const struct fleet_run *run, size_t first, size_t i)
{
    return i < run->len && i - first < HOLD_BATCH_MAX && run->targets[i].outcome == OUTCOME_WAITING &&
           strcmp(run->targets[i].node, run->targets[first].node) == 0;
}

static void send_all(struct fleet_run *run, const struct call *call)
{
    for (size_t i = 0; i < run->len;) {
        size_t first = i++;
        if (run->targets[first].outcome != OUTCOME_WAITING) {
            continue;
        }
        while (same_part(run, first, i)) {
            i++;
        }
        send_part(run, call, first, i - first);
    }
}

enum reeve_err fleet_run_begin(struct fleet_run *run, struct call *call)
{
    send_all(run, call);
    if (run->orders > 0) {
        return call_keep(call, run, fleet_run_free);
    }
    enum reeve_err err = finish(run, call);
    fleet_run_free(run);
    return err;
}

enum reeve_err fleet_run_plan(struct fleet_run *run, struct call *call)
{
    const struct counts counts = count(run);
    struct reeve_value *result = result_value(run);
    enum reeve_err err = call_done(call, result, "dry run: %lld workers would be told to %s, %lld are out of reach",
                                   (long long)counts.of[OUTCOME_WAITING], run->op,
                                   (long long)counts.of[OUTCOME_UNREACHABLE]);
    fleet_run_free(run);
    return err;
}
