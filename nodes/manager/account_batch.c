// Starting, stopping and restarting accounts by command, one or many: validated first, begun, waited for, reported one
// by one. The call only says what is wanted and looks on; account_run.c does it. So a call that is run again after a
// restart of the manager finds what it began (`started_by`) and goes on. Must not: give an order itself.
#include "account_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_ONE_MS  60000
#define TIMEOUT_MANY_MS 300000
#define SETTLE_MS       1000 // so long an account runs before it counts as started: a program that ends at once does not
#define CANARY_MS       5000 // the same for a canary
#define ROLLBACK_MS     60000
#define MESSAGE_SIZE    200

#define TARGET_LIST(X)                                                                                                 \
    X(WAITING, "waiting")                                                                                              \
    X(BEGUN, "begun") X(DONE, "done") X(FAILED, "failed") X(SKIPPED, "skipped") X(UNDONE, "undone")
enum target_phase {
#define X(id, text) TARGET_##id,
    TARGET_LIST(X)
#undef X
};

struct target {
    char id[REEVE_NAME_SIZE];
    enum target_phase phase;
    int64_t running_since_mono; // 0 = it is not
    int64_t run;                // of that
    struct reeve_value *errors; // of an invalid one; LIST or NULL
    char message[MESSAGE_SIZE];
};

struct batch {
    struct accounts *accounts;
    struct batch *next;
    char call[REEVE_TOPIC_ID_SIZE];
    struct batch_options options;
    struct target *targets;
    size_t len;
    size_t begun; // targets up to here were begun or settled; canaries first
    bool canary;  // only they were begun
    bool undoing, dry_run;
    int64_t began_mono, deadline_mono;
};

static const char *const phases[] = {
#define X(id, text) [TARGET_##id] = (text),
    TARGET_LIST(X)
#undef X
};
static const char *const verbs[] = {"started", "stopped", "restarted"};

// ---- targets --------------------------------------------------------------------------------------------------------

static void settle(struct target *target, enum target_phase phase, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void settle(struct target *target, enum target_phase phase, const char *fmt, ...)
{
    va_list args;
    target->phase = phase;
    va_start(args, fmt);
    (void)vsnprintf(target->message, sizeof target->message, fmt, args); // cut
    va_end(args);
}

static size_t count(const struct batch *batch, enum target_phase phase)
{
    size_t found = 0;
    for (size_t i = 0; i < batch->len; i++) {
        found += batch->targets[i].phase == phase;
    }
    return found;
}

// One account's reply says the first of them; of many, each has its list.
static void take_errors(const struct batch *batch, struct target *target, const struct reeve_errors *errors)
{
    char text[512];
    target->errors = account_errors_value(errors, false);
    if (!batch->options.single && errors != NULL) {
        settle(target, TARGET_FAILED, "%zu mistake%s in its file", errors->errors, errors->errors == 1 ? "" : "s");
        return;
    }
    for (size_t i = 0; errors != NULL && i < errors->len; i++) {
        if (!errors->items[i].warning) {
            settle(target, TARGET_FAILED, "invalid: %s", reeve_error_format(errors, i, text, sizeof text));
            return;
        }
    }
    settle(target, TARGET_FAILED, "invalid");
}

static struct account_entry *entry_of(const struct batch *batch, const struct target *target)
{
    return account_find(batch->accounts, target->id);
}

// Running with what it should have, and no older run than was asked for.
static bool runs_as_wanted(const struct account_entry *entry)
{
    return entry->state == ACCOUNT_RUNNING && entry->order == 0 && entry->given_restart == entry->restart_digest &&
           account_node_live(entry->accounts, entry->node) && (entry->run_above == 0 || entry->run > entry->run_above);
}

// ---- before anything begins -----------------------------------------------------------------------------------------

// `--no-apply-defaults`: the account as it is without them, from now on.
static void drop_defaults(struct batch *batch, struct target *target)
{
    struct account_entry *entry = entry_of(batch, target);
    const struct reeve_account *account = account_of_dir(&batch->accounts->bare, target->id);
    struct reeve_account copy;
    if (account == NULL) {
        for (size_t i = 0; i < batch->accounts->bare.len; i++) {
            if (strcmp(batch->accounts->bare.files[i].id, target->id) == 0) {
                take_errors(batch, target, batch->accounts->bare.files[i].errors);
                return;
            }
        }
        settle(target, TARGET_FAILED, "its file is not there");
    } else if (reeve_account_copy(account, &copy) != REEVE_OK || account_take(entry, &copy) != REEVE_OK) {
        settle(target, TARGET_FAILED, "out of memory");
    } else {
        entry->no_defaults = true;
        account_store(entry);
    }
}

// `--no-validate`: what only the rules are against is started as it is now; a file that can't even be read, as it was
// before.
static void take_unruly(struct batch *batch, struct target *target, const struct reeve_account_file *file)
{
    struct account_entry *entry = entry_of(batch, target);
    struct reeve_account copy;
    entry = entry != NULL ? entry : account_new(batch->accounts, target->id);
    if (entry == NULL || reeve_account_copy(&file->account, &copy) != REEVE_OK ||
        account_take(entry, &copy) != REEVE_OK) {
        settle(target, TARGET_FAILED, "out of memory");
    } else {
        reeve_log(REEVE_LOG_WARNING, "account", "account=%s file=%s validated=false", entry->id, file->path);
        entry->invalid = true;
        account_store(entry);
    }
}

static void check_target(struct batch *batch, struct target *target)
{
    const struct reeve_account_file *file = account_file_of(batch->accounts, target->id);
    if (batch->options.kind != BATCH_STOP && !batch->options.validate && !batch->dry_run && file != NULL &&
        !file->valid && file->decoded) {
        take_unruly(batch, target, file);
    }
    const struct account_entry *entry = entry_of(batch, target);
    if (batch->options.kind == BATCH_STOP) {
        if (entry == NULL || (account_down(entry) && !entry->wanted)) {
            settle(target, TARGET_SKIPPED, "does not run");
        }
        return;
    }
    if (file != NULL && !file->valid && (batch->options.validate || entry == NULL || !entry->has_account)) {
        take_errors(batch, target, file->errors);
    } else if (entry == NULL || !entry->has_account || entry->gone) {
        settle(target, TARGET_FAILED,
               entry != NULL && entry->gone ? "its file is gone"
                                            : "is only planned: `accounts_reload` with `apply` makes it known");
    } else if (!entry->account.enabled) {
        settle(target, TARGET_SKIPPED, "is disabled");
    } else if (batch->options.no_defaults && !batch->dry_run) {
        drop_defaults(batch, target);
    }
    bool mine = entry != NULL && strcmp(entry->started_by, batch->call) == 0;
    if (target->phase == TARGET_WAITING && batch->options.kind == BATCH_START && !mine && entry != NULL &&
        runs_as_wanted(entry)) {
        settle(target, TARGET_SKIPPED, "runs already");
    }
}

// ---- beginning ------------------------------------------------------------------------------------------------------

static void begin_start(struct batch *batch, struct account_entry *entry)
{
    bool again = strcmp(entry->started_by, batch->call) == 0; // after a restart of the manager
    bool runs = !account_down(entry) && entry->state != ACCOUNT_FAILED;
    if (batch->options.move && entry->node[0] != '\0' && !account_node_live(batch->accounts, entry->node)) {
        reeve_log(REEVE_LOG_WARNING, "account", "account=%s given_up_on=%s", entry->id, entry->node);
        (void)snprintf(entry->moved_from, sizeof entry->moved_from, "%s", entry->node); // a name
        entry->node[0] = '\0';
        entry->given_restart = 0;
    }
    if (batch->options.kind == BATCH_RESTART && !again) {
        entry->run_above = runs ? entry->run : 0;
    }
    (void)snprintf(entry->started_by, sizeof entry->started_by, "%s", batch->call); // an id fits
    entry->wanted = true;
    entry->kick = !runs || entry->kick;
    if (!runs) {
        account_set_state(entry, ACCOUNT_STARTING, NULL);
    }
    account_store(entry);
    account_wake(entry);
}

static void begin_stop(struct batch *batch, struct account_entry *entry)
{
    entry->wanted = false;
    entry->started_by[0] = '\0';
    entry->stop_grace_ms = batch->options.grace_ms;
    account_store(entry);
    account_wake(entry);
}

static void begin(struct batch *batch, size_t up_to)
{
    for (; batch->begun < up_to; batch->begun++) {
        struct target *target = &batch->targets[batch->begun];
        struct account_entry *entry = entry_of(batch, target);
        if (target->phase != TARGET_WAITING) {
            continue;
        }
        if (entry == NULL) {
            settle(target, TARGET_FAILED, "is gone");
            continue;
        }
        target->phase = TARGET_BEGUN;
        if (batch->options.kind == BATCH_STOP) {
            begin_stop(batch, entry);
        } else {
            begin_start(batch, entry);
        }
    }
}

static void skip_rest(struct batch *batch, const char *why)
{
    for (size_t i = 0; i < batch->len; i++) {
        if (batch->targets[i].phase == TARGET_WAITING) {
            settle(&batch->targets[i], TARGET_SKIPPED, "%s", why);
        }
    }
    batch->begun = batch->len;
}

// ---- looking on -----------------------------------------------------------------------------------------------------

static void watch_start(struct batch *batch, struct target *target, const struct account_entry *entry, int64_t now)
{
    int64_t settled = batch->canary ? CANARY_MS : SETTLE_MS;
    if (!entry->wanted) {
        settle(target, TARGET_FAILED, "was stopped meanwhile");
    } else if (entry->refused) {
        settle(target, TARGET_FAILED, "%s", entry->error);
    } else if (!runs_as_wanted(entry)) {
        target->running_since_mono = 0;
        if (entry->state == ACCOUNT_FAILED && entry->order == 0 && !entry->kick) {
            settle(target, TARGET_FAILED, "%s", entry->error);
        } else if (entry->state == ACCOUNT_STOPPED && entry->order == 0 && !entry->kick) {
            settle(target, TARGET_FAILED, "%s", entry->error[0] != '\0' ? entry->error : "does not run");
        }
    } else if (target->running_since_mono == 0 || target->run != entry->run) {
        target->running_since_mono = now;
        target->run = entry->run;
    } else if (now - target->running_since_mono >= settled) {
        settle(target, TARGET_DONE, "runs on %s", entry->node);
    }
}

static void watch_stop(struct target *target, const struct account_entry *entry, enum target_phase done)
{
    if (entry->wanted) {
        settle(target, TARGET_FAILED, "was started meanwhile");
    } else if (account_down(entry) && entry->order == 0) {
        settle(target, done, done == TARGET_UNDONE ? "was stopped again" : "is stopped");
    } else if (entry->node[0] != '\0' && !account_node_live(entry->accounts, entry->node)) {
        settle(target, TARGET_FAILED, "node %s can't be seen; it is told to stop when it is back", entry->node);
    }
}

static void time_out(const struct batch *batch, struct target *target, const struct account_entry *entry, int64_t now)
{
    char waited[REEVE_UNITS_TEXT_LEN];
    settle(target, TARGET_FAILED, "%s after %s%s%s", account_state_text(entry->state),
           reeve_duration_human(now - batch->began_mono, waited), entry->error[0] != '\0' ? ": " : "", entry->error);
}

static void watch(struct batch *batch)
{
    int64_t now = reeve_clock_mono_ms();
    for (size_t i = 0; i < batch->begun; i++) {
        struct target *target = &batch->targets[i];
        const struct account_entry *entry = entry_of(batch, target);
        if (target->phase != TARGET_BEGUN) {
            continue;
        }
        if (entry == NULL) {
            settle(target, batch->options.kind == BATCH_STOP ? TARGET_DONE : TARGET_FAILED, "is gone");
        } else if (batch->undoing) {
            watch_stop(target, entry, TARGET_UNDONE);
        } else if (batch->options.kind == BATCH_STOP) {
            watch_stop(target, entry, TARGET_DONE);
        } else {
            watch_start(batch, target, entry, now);
        }
        if (entry != NULL && target->phase == TARGET_BEGUN && now >= batch->deadline_mono) {
            time_out(batch, target, entry, now);
        }
    }
}

// Everything that this call started is stopped again.
static void undo(struct batch *batch)
{
    batch->undoing = true;
    batch->deadline_mono = reeve_clock_mono_ms() + ROLLBACK_MS;
    for (size_t i = 0; i < batch->len; i++) {
        struct target *target = &batch->targets[i];
        struct account_entry *entry = entry_of(batch, target);
        if (entry != NULL && strcmp(entry->started_by, batch->call) == 0) {
            target->phase = target->phase == TARGET_FAILED ? TARGET_FAILED : TARGET_BEGUN;
            begin_stop(batch, entry);
        }
    }
}

// ---- the reply ------------------------------------------------------------------------------------------------------

static struct reeve_value *result_of(const struct batch *batch)
{
    struct reeve_value *result = reeve_value_map();
    struct reeve_value *accounts = reeve_value_map();
    reeve_put_int(result, verbs[batch->options.kind], (int64_t)count(batch, TARGET_DONE));
    reeve_put_int(result, "failed", (int64_t)count(batch, TARGET_FAILED));
    reeve_put_int(result, "skipped", (int64_t)(count(batch, TARGET_SKIPPED) + count(batch, TARGET_UNDONE)));
    reeve_put_int(result, "ms", reeve_clock_mono_ms() - batch->began_mono);
    for (size_t i = 0; i < batch->len; i++) {
        const struct target *target = &batch->targets[i];
        const struct account_entry *entry = entry_of(batch, target);
        struct reeve_value *item = reeve_value_map();
        reeve_put_str(item, "state", entry != NULL ? account_state_text(entry->state) : "stopped");
        bool planned = batch->dry_run && target->phase == TARGET_DONE;
        reeve_put_str(item, "outcome", planned ? "planned" : phases[target->phase]);
        reeve_put_str_opt(item, "message", target->message);
        if (target->errors != NULL) {
            (void)reeve_value_put(item, "errors", reeve_value_clone(target->errors)); /* remembered */
        }
        (void)reeve_value_put(accounts, target->id, item); /* remembered: reeve_value_built() */
    }
    (void)reeve_value_put(result, "accounts", accounts);
    return result;
}

static enum reeve_err class_of(const struct batch *batch)
{
    for (size_t i = 0; i < batch->len; i++) {
        if (batch->targets[i].phase == TARGET_FAILED && batch->targets[i].errors == NULL) {
            return reeve_clock_mono_ms() >= batch->deadline_mono ? REEVE_TIMEOUT : REEVE_CONFLICT;
        }
    }
    return REEVE_INVALID;
}

static enum reeve_err finish_one(struct batch *batch, struct call *call)
{
    const struct target *target = &batch->targets[0];
    const struct account_entry *entry = entry_of(batch, target);
    struct reeve_value *result = entry != NULL ? account_status_value(entry) : reeve_value_map();
    if (target->errors != NULL) {
        (void)reeve_value_put(result, "errors", reeve_value_clone(target->errors)); /* remembered */
    }
    if (target->phase == TARGET_DONE || target->phase == TARGET_SKIPPED) {
        return call_done(call, result, "%s %s", target->id, target->message);
    }
    return call_fail(call, class_of(batch), result, "%s: %s", target->id, target->message);
}

static enum reeve_err finish(struct batch *batch, struct call *call)
{
    if (batch->options.single) {
        return finish_one(batch, call);
    }
    struct reeve_value *result = result_of(batch);
    size_t done = count(batch, TARGET_DONE);
    size_t failed = count(batch, TARGET_FAILED);
    size_t undone = count(batch, TARGET_UNDONE);
    const char *verb = verbs[batch->options.kind];
    if (failed + undone == 0) {
        return call_done(call, result, "%zu accounts %s, %zu skipped", done, verb, count(batch, TARGET_SKIPPED));
    }
    return call_fail(call, class_of(batch), result, "%zu accounts %s, %zu failed%s", done, verb, failed,
                     batch->options.all_or_nothing ? ": nothing was left started" : "");
}

// ---- going on -------------------------------------------------------------------------------------------------------

// True when there is nothing left to wait for.
static bool advance(struct batch *batch)
{
    watch(batch);
    if (count(batch, TARGET_BEGUN) > 0) {
        return false;
    }
    bool failed = count(batch, TARGET_FAILED) > 0;
    if (batch->canary) {
        batch->canary = false;
        bool canary_failed = false;
        for (size_t i = 0; i < batch->begun; i++) {
            canary_failed =
                canary_failed || (batch->targets[i].phase == TARGET_FAILED && batch->targets[i].errors == NULL);
        }
        if (canary_failed) {
            skip_rest(batch, "not begun: a canary failed");
        } else {
            begin(batch, batch->len);
        }
        return advance(batch);
    }
    if (failed && batch->options.all_or_nothing && !batch->undoing) {
        undo(batch);
        return advance(batch);
    }
    return true;
}

static void unlink_batch(struct batch *batch)
{
    for (struct batch **at = &batch->accounts->batches; *at != NULL; at = &(*at)->next) {
        if (*at == batch) {
            *at = batch->next;
            return;
        }
    }
}

static void batch_free(void *state)
{
    struct batch *batch = state;
    if (batch->accounts != NULL) {
        unlink_batch(batch);
    }
    for (size_t i = 0; i < batch->len; i++) {
        reeve_value_free(batch->targets[i].errors);
    }
    free(batch->targets);
    free(batch);
}

void account_batches_tick(struct accounts *accounts)
{
    struct batch *next;
    for (struct batch *batch = accounts->batches; batch != NULL; batch = next) {
        next = batch->next; // a call that ends may free its batch only after the commit
        struct call *call = call_find(accounts->manager, batch->call);
        if (call != NULL && advance(batch)) {
            (void)finish(batch, call); /* always OK */
        }
    }
}

void account_batches_free(struct accounts *accounts)
{
    struct batch *next;
    for (struct batch *batch = accounts->batches; batch != NULL; batch = next) {
        next = batch->next;
        batch->next = NULL;
        batch->accounts = NULL; // its call outlives the room
    }
    accounts->batches = NULL;
}

// The first `n` that may be begun come first, so that they are the canaries.
static size_t canaries_end(const struct batch *batch, int64_t n)
{
    int64_t found = 0;
    for (size_t i = 0; i < batch->len; i++) {
        found += batch->targets[i].phase == TARGET_WAITING;
        if (found == n) {
            return i + 1;
        }
    }
    return batch->len;
}

static enum reeve_err plan_only(struct batch *batch, struct call *call)
{
    char why[MESSAGE_SIZE];
    struct account_places *places = NULL;
    for (size_t i = 0; i < batch->len; i++) {
        struct target *target = &batch->targets[i];
        const struct account_entry *entry = entry_of(batch, target);
        if (target->phase != TARGET_WAITING) {
            continue;
        }
        if (batch->options.kind == BATCH_STOP || entry->node[0] != '\0') {
            settle(target, TARGET_DONE, "would be %s on %s", verbs[batch->options.kind], entry->node);
            continue;
        }
        const char *node = account_place(batch->accounts, &places, entry, why, sizeof why);
        if (node[0] != '\0') {
            settle(target, TARGET_DONE, "would be %s on %s", verbs[batch->options.kind], node);
        } else {
            settle(target, TARGET_FAILED, "%s", why);
        }
    }
    account_places_free(places);
    enum reeve_err err = finish(batch, call);
    batch->accounts = NULL; // was never among them
    batch_free(batch);
    return err;
}

static struct batch *batch_new(struct call *call, const struct batch_options *options, const struct reeve_strv *ids)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL || (batch->targets = calloc(ids->len + 1, sizeof *batch->targets)) == NULL) {
        free(batch);
        return NULL;
    }
    bool many = ids->len > 1;
    batch->accounts = call->manager->accounts;
    batch->options = *options;
    batch->dry_run = call->command.dry_run;
    batch->len = ids->len;
    batch->began_mono = reeve_clock_mono_ms();
    batch->deadline_mono = batch->began_mono + (options->timeout_ms > 0 ? options->timeout_ms
                                                : many                  ? TIMEOUT_MANY_MS
                                                                        : TIMEOUT_ONE_MS);
    (void)snprintf(batch->call, sizeof batch->call, "%s", call->command.id); // an id fits
    for (size_t i = 0; i < ids->len; i++) {
        (void)snprintf(batch->targets[i].id, sizeof batch->targets[i].id, "%s", ids->items[i]); // names
    }
    return batch;
}

enum reeve_err account_batch_run(struct call *call, const struct batch_options *options, struct reeve_strv *ids,
                                 struct reeve_why *why)
{
    struct accounts *accounts = call->manager->accounts;
    struct batch *batch = batch_new(call, options, ids);
    reeve_strv_done(ids);
    if (batch == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < batch->len; i++) {
        check_target(batch, &batch->targets[i]);
    }
    if (batch->dry_run) {
        return plan_only(batch, call);
    }
    if (options->all_or_nothing && count(batch, TARGET_FAILED) > 0) {
        skip_rest(batch, "not begun: others are wrong, and it is all or nothing");
    }
    batch->next = accounts->batches;
    accounts->batches = batch;
    batch->canary = options->canary > 0 && (size_t)options->canary < count(batch, TARGET_WAITING);
    begin(batch, batch->canary ? canaries_end(batch, options->canary) : batch->len);
    enum reeve_err err = call_keep(call, batch, batch_free);
    if (advance(batch)) {
        return finish(batch, call);
    }
    manager_tick_soon(call->manager);
    return err;
}
