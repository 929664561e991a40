// Accounts at run time: files to plan, plan to accounts, accounts to orders, orders to states; calls that wait; what
// happens when a node can't be seen, the manager ends, a file is wrong. Must not: need a broker or a node; the fleet is
// set by hand.
#include "fake_fleet.h"
#include "fake_rooms.h"
#include "fake_store.h"

#include "account_priv.h"

#include <reeve/codec.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake fake;
static struct reeve_why why;
static char folder[64];

#define HIDDEN   "hidden-reference"
#define RISK     "default_risk: {risk_percent: 1, max_positions: 5, portfolio_risk_percent: 6, max_concurrent_trades: 3}\n"
#define DEFAULTS RISK "worker: {type: trading}\ncurrencies: [{symbol: EURUSD}]\npassword: file:/" HIDDEN "\n"

static void put(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(reeve_file_write_atomic(path, text, strlen(text), 0600, NULL), REEVE_OK);
}

static void drop(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static void open_room(void)
{
    assert_int_equal(accounts_new(&fake.manager, &fake.manager.accounts, &why), REEVE_OK);
    assert_int_equal(accounts_load(fake.manager.accounts, &why), REEVE_OK);
}

// A, b and c; c is wrong.
static int set_up(void **state)
{
    (void)state;
    fake_init(&fake);
    fake_fleet_reset();
    fake_store_reset();
    fake_alarms_len = 0;
    fake_holds = (struct fake_hold){0};
    (void)snprintf(folder, sizeof folder, "/tmp/reeve-accounts-XXXXXX");
    assert_non_null(mkdtemp(folder));
    fake.manager.config.manager.accounts_dir = folder;
    (void)fake_node("alpha");
    put("defaults.yaml", DEFAULTS);
    put("a.yaml", "account_id: a\n");
    put("b.yaml", "account_id: b\n");
    put("c.yaml", "account_id: c\ntimeout: 5\n");
    open_room();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_call_end(&fake);
    accounts_free(fake.manager.accounts);
    fake_done(&fake);
    fake_fleet_reset();
    fake_store_reset();
    return reeve_dir_remove(folder, NULL) != REEVE_OK;
}

static void tick(int64_t ms)
{
    fake_time(&fake, ms);
    accounts_tick(fake.manager.accounts);
    fake_turn(&fake, true);
}

// What the loop does when the directory changes, and later.
static void look(void)
{
    fake.manager.accounts->settle_mono = 1;
    fake.manager.accounts->fingerprint = 0; // a file system with coarse times would hide it
    tick(0);
}

static enum reeve_err run(const char *account, const struct reeve_record *args, const char *text,
                          enum reeve_err (*op)(struct call *call, struct reeve_why *why))
{
    why = (struct reeve_why){0};
    enum reeve_err err = fake_call(&fake, args, account, text, op, &why);
    fake_turn(&fake, true);
    return err;
}
#define CALL(op, account, text) run(account, &op_##op##_args, text, op_##op##_run)

static struct account_entry *entry(const char *id)
{
    return account_find(fake.manager.accounts, id);
}

static void state_is(const char *id, enum account_state state)
{
    assert_non_null(entry(id));
    assert_string_equal(account_state_text(entry(id)->state), account_state_text(state));
}

// Its node has carried the newest order out, and says so.
static struct fleet_worker *comes_up(const char *id, int64_t run_number)
{
    char name[REEVE_NAME_SIZE];
    (void)snprintf(name, sizeof name, "account-%s", id);
    struct fleet_worker *worker = fake_worker(entry(id)->node, name);
    worker->info.account = worker->name + strlen("account-"); // outlives the room
    worker->info.state = REEVE_STATE_RUNNING;
    worker->info.wanted = true;
    worker->info.run = run_number;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    return worker;
}

static void end_newest(enum reeve_phase phase, const char *message)
{
    for (size_t i = fake.orders_len; i-- > 0;) {
        if (!fake.orders[i].ended) {
            fake_order_end(&fake, i, REEVE_OK, phase, message);
            fake_turn(&fake, true);
            return;
        }
    }
    fail_msg("no order is under way");
}

static const struct order *newest_order(void)
{
    assert_true(fake.orders_len > 0);
    return &fake.orders[fake.orders_len - 1].order;
}

// `a` runs on alpha, run 1.
static void start_a(void)
{
    tick(0);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    (void)comes_up("a", 1);
    end_newest(REEVE_PHASE_DONE, NULL);
    tick(0);
    tick(1500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    state_is("a", ACCOUNT_RUNNING);
}

static const struct fake_alarm *alarm_named(const char *kind, const char *subject)
{
    for (size_t i = 0; i < fake_alarms_len; i++) {
        if (strcmp(fake_alarms[i].kind, kind) == 0 && strcmp(fake_alarms[i].subject, subject) == 0 &&
            fake_alarms[i].open) {
            return &fake_alarms[i];
        }
    }
    return NULL;
}

// ---- files ----------------------------------------------------------------------------------------------------------

static void the_directory_becomes_accounts(void **state)
{
    (void)state;
    tick(0);
    state_is("a", ACCOUNT_CREATED);
    state_is("b", ACCOUNT_CREATED);
    assert_null(entry("c"));
    assert_non_null(fake_find(&fake, "account/a/status"));
    assert_int_equal(fake.orders_len, 0); // nobody asked
    const struct fake_alarm *alarm = alarm_named("account_invalid", "c");
    assert_non_null(alarm);
    assert_non_null(strstr(alarm->message, "c.yaml:2:10: timeout: 5 has no unit"));
    assert_int_equal(CALL(accounts, NULL, NULL), REEVE_OK);
    assert_int_equal(reeve_value_len(reeve_value_get(fake.reply.result, "accounts")), 3);
    assert_int_equal(reeve_get_int(fake.reply.result, "invalid", 0), 1);
    put("c.yaml", "account_id: c\n");
    look();
    assert_null(alarm_named("account_invalid", "c"));
    assert_null(entry("c")); // watch: plan, and there are accounts already
    assert_int_equal(CALL(accounts_reload, NULL, "{apply: true}"), REEVE_OK);
    assert_int_equal(reeve_get_int(fake.reply.result, "changes", 0), 1);
    state_is("c", ACCOUNT_CREATED);
}

static void a_broken_edit_changes_nothing(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    size_t orders = fake.orders_len;
    uint64_t digest = entry("a")->account.digest;
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 0}\n");
    look();
    tick(1000);
    state_is("a", ACCOUNT_RUNNING);
    assert_true(entry("a")->account.digest == digest);
    assert_int_equal(fake.orders_len, orders);
    assert_non_null(alarm_named("account_invalid", "a"));
    const struct fake_item *item = fake_find(&fake, "account/a/status");
    assert_false(reeve_get_bool(item->value, "valid", true));
    // Not even readable, and known by its file.
    put("a.yaml", "account_id: a\n  bad: [\n");
    look();
    state_is("a", ACCOUNT_RUNNING);
    assert_int_equal(fake.orders_len, orders);
    assert_true(entry("a")->invalid);
    // A directory that is wrong as a whole.
    put("defaults.yaml", "nonsense: 1\n");
    look();
    assert_non_null(alarm_named("accounts_unreadable", "main"));
    state_is("a", ACCOUNT_RUNNING);
    assert_int_equal(fake.orders_len, orders);
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    put("a.yaml", "account_id: a\n");
    look();
    assert_null(alarm_named("accounts_unreadable", "main"));
    assert_null(alarm_named("account_invalid", "a"));
    assert_int_equal(fake.orders_len, orders);
    assert_false(entry("a")->invalid);
}

static void the_plan_says_what_a_change_takes(void **state)
{
    (void)state;
    start_a();
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\n");
    put("d.yaml", "account_id: d\n");
    drop("b.yaml");
    assert_int_equal(CALL(accounts_reload, NULL, "{apply: false}"), REEVE_OK);
    const struct reeve_value *plan = reeve_value_get(fake.reply.result, "plan");
    assert_int_equal(reeve_value_len(plan), 4);
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 0), "change"), "changed");
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 0), "effect"), "live");
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 1), "change"), "invalid");
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 2), "change"), "added");
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 3), "change"), "removed");
    assert_false(reeve_get_bool(fake.reply.result, "applied", true));
    size_t orders = fake.orders_len;
    tick(1000);
    assert_int_equal(fake.orders_len, orders);
    assert_null(entry("d"));
    assert_int_equal(CALL(accounts_reload, NULL, "{apply: true}"), REEVE_OK);
    tick(1000);
    state_is("d", ACCOUNT_CREATED);
    assert_null(entry("b")); // never ran: gone at once
    assert_null(fake_find(&fake, "account/b/status")->value);
    assert_string_equal(newest_order()->op, "configure");
    assert_string_equal(newest_order()->worker, "account-a");
}

static void a_live_change_is_told_a_restart_is_applied(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\n");
    look();
    assert_string_equal(newest_order()->op, "configure");
    const struct reeve_value *told = reeve_value_get(newest_order()->args, "account");
    assert_int_equal(reeve_get_int(reeve_value_get(told, "default_risk"), "risk_percent", 0), 2);
    end_newest(REEVE_PHASE_DONE, NULL);
    size_t orders = fake.orders_len;
    tick(1500);
    assert_int_equal(fake.orders_len, orders);
    // The same run knows; a new one has read what its node was given, and is told again.
    (void)comes_up("a", 2);
    tick(1500);
    assert_int_equal(fake.orders_len, orders + 1);
    assert_string_equal(newest_order()->op, "configure");
    end_newest(REEVE_PHASE_DONE, NULL);
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\ntimeout: 1m\n");
    look();
    assert_string_equal(newest_order()->op, "apply");
    assert_string_equal(reeve_get_str(newest_order()->args, "name"), "account-a");
    (void)comes_up("a", 3);
    end_newest(REEVE_PHASE_DONE, NULL);
    orders = fake.orders_len;
    tick(1500);
    assert_int_equal(fake.orders_len, orders); // with the new spec came the new risk
}

static void settings_that_are_not_taken_raise_an_alarm(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\n");
    look();
    end_newest(REEVE_PHASE_FAILED, "too much for this broker");
    tick(1000);
    assert_non_null(alarm_named("account_configure", "a"));
    state_is("a", ACCOUNT_RUNNING);
    assert_non_null(strstr(entry("a")->error, "too much for this broker"));
    size_t orders = fake.orders_len;
    tick(10000);
    assert_int_equal(fake.orders_len, orders);
    tick(30000);
    assert_int_equal(fake.orders_len, orders + 1);
    end_newest(REEVE_PHASE_DONE, NULL);
    tick(1000);
    assert_null(alarm_named("account_configure", "a"));
    assert_string_equal(entry("a")->error, "");
}

static void a_worker_that_can_t_be_told_is_restarted(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    fake_worker("alpha", "account-a")->info.speaks = false;
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\n");
    look();
    assert_string_equal(newest_order()->op, "apply");
}

static void a_program_without_settings_is_restarted(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\n");
    look();
    assert_string_equal(newest_order()->op, "configure");
    fake_order_end_code(&fake, fake.orders_len - 1, REEVE_OK, REEVE_PHASE_FAILED, REEVE_UNSUPPORTED, "takes none");
    fake_turn(&fake, true);
    tick(1500);
    assert_string_equal(newest_order()->op, "apply");
    assert_null(alarm_named("account_configure", "a"));
}

static void an_id_can_t_change_under_way(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    put("a.yaml", "account_id: z\n");
    look();
    state_is("a", ACCOUNT_RUNNING);
    assert_null(entry("z"));
    assert_int_equal(CALL(accounts, NULL, NULL), REEVE_OK);
    const struct reeve_value *plan = reeve_value_get(fake.reply.result, "plan");
    assert_non_null(reeve_get_str(reeve_value_at(plan, 0), "refused"));
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 0), "account"), "a");
    assert_string_equal(reeve_get_str(reeve_value_at(plan, 0), "effect"), "immutable");
    // Stopped it is another account in the same file.
    assert_int_equal(CALL(account_stop, "a", NULL), REEVE_OK);
    tick(0);
    struct fleet_worker *worker = fake_worker("alpha", "account-a");
    worker->info.state = REEVE_STATE_STOPPED;
    worker->info.wanted = false;
    end_newest(REEVE_PHASE_DONE, NULL);
    tick(1000);
    state_is("a", ACCOUNT_STOPPED);
    look();
    tick(1000);
    state_is("z", ACCOUNT_CREATED);
    assert_true(entry("a")->gone);
    assert_string_equal(newest_order()->op, "remove");
}

static void most_files_gone_is_no_wish(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    for (int i = 0; i < 8; i++) {
        char name[16];
        char text[32];
        (void)snprintf(name, sizeof name, "x%d.yaml", i);
        (void)snprintf(text, sizeof text, "account_id: x%d\n", i);
        put(name, text);
    }
    start_a();
    for (int i = 0; i < 8; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "x%d.yaml", i);
        drop(name);
    }
    drop("a.yaml");
    look();
    tick(1000);
    state_is("a", ACCOUNT_RUNNING);
    assert_non_null(entry("x0"));
    assert_non_null(alarm_named("accounts_plan", "main"));
    assert_int_equal(CALL(accounts_reload, NULL, "{apply: true}"), REEVE_OK);
    tick(1000);
    assert_null(entry("x0"));
    assert_null(alarm_named("accounts_plan", "main"));
    state_is("a", ACCOUNT_STOPPING);
    assert_string_equal(newest_order()->op, "remove");
}

// ---- starting and stopping ------------------------------------------------------------------------------------------

static void started_once_on_a_node_that_is_stored_first(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_ACCEPTED);
    accounts_tick(fake.manager.accounts); // not committed yet
    const struct reeve_value *stored = fake_store_document(STORE_ACCOUNT, "a");
    assert_string_equal(reeve_get_str(stored, "node"), "alpha");
    assert_string_equal(reeve_get_str(stored, "desired"), "running");
    assert_int_equal(fake_order_count(&fake, "apply"), 1);
    assert_string_equal(newest_order()->node, "alpha");
    assert_string_equal(reeve_get_str(newest_order()->args, "name"), "account-a");
    assert_string_equal(reeve_get_str(newest_order()->args, "account"), "a");
    state_is("a", ACCOUNT_STARTING);
    tick(1000);
    tick(1000);
    assert_int_equal(fake.orders_len, 1); // one under way is enough
    (void)comes_up("a", 1);
    end_newest(REEVE_PHASE_DONE, NULL);
    tick(0);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_ACCEPTED); // it has to last
    tick(1500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_string_equal(reeve_get_str(fake.reply.result, "state"), "running");
    assert_int_equal(fake.orders_len, 1);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_non_null(strstr(fake.reply.message, "runs already"));
    tick(1000);
    assert_int_equal(fake.orders_len, 1);
}

static void an_order_that_gets_lost_is_given_again_to_the_same_node(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    (void)fake_node("beta"); // emptier than alpha, but it is not asked
    fake_order_end(&fake, 0, REEVE_TIMEOUT, REEVE_PHASE_DONE, NULL);
    tick(0);
    assert_int_equal(fake.orders_len, 1);
    tick(2000);
    assert_int_equal(fake.orders_len, 2);
    assert_string_equal(newest_order()->op, "apply");
    assert_string_equal(newest_order()->node, "alpha");
}

static void a_node_that_refuses_is_not_asked_again_at_once(void **state)
{
    (void)state;
    tick(0);
    (void)fake_node("beta");
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    assert_string_equal(newest_order()->node, "alpha");
    end_newest(REEVE_PHASE_REJECTED, "its max_workers");
    tick(2000);
    assert_string_equal(newest_order()->node, "beta");
    fake_node("alpha")->info.draining = true;
    end_newest(REEVE_PHASE_REJECTED, "no such program");
    tick(2000);
    tick(0);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_non_null(strstr(fake.reply.message, "no such program"));
    state_is("a", ACCOUNT_FAILED);
}

static void validated_before_anything_starts(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(account_start, "c", NULL), REEVE_OK);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.reply.err, REEVE_INVALID);
    assert_non_null(strstr(fake.reply.message, "c.yaml:2:10: timeout:"));
    put("a.yaml", "account_id: a\nnonsense: 1\n");
    fake.manager.accounts->fingerprint = 0;
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    assert_int_equal(fake.reply.err, REEVE_INVALID);
    tick(1000);
    assert_int_equal(fake.orders_len, 0);
    // As it was when it was right.
    assert_int_equal(CALL(account_start, "a", "{validate: false}"), REEVE_OK);
    tick(0);
    assert_int_equal(fake_order_count(&fake, "apply"), 1);
    // What only the rules are against, as it is now; a secret in it is more than a rule.
    put("d.yaml", "account_id: d\ndefault_risk: {risk_percent: 0.05}\n");
    put("e.yaml", "account_id: e\npassword: literal\n");
    fake.manager.accounts->fingerprint = 0;
    assert_int_equal(CALL(accounts_start, NULL, "{accounts: [d, e]}"), REEVE_OK);
    assert_int_equal(reeve_get_int(fake.reply.result, "failed", 0), 2);
    assert_int_equal(CALL(accounts_start, NULL, "{accounts: [d, e], validate: false}"), REEVE_OK);
    tick(0);
    assert_int_equal(fake_order_count(&fake, "apply"), 2);
    assert_string_equal(reeve_get_str(newest_order()->args, "account"), "d");
    assert_null(entry("e"));
}

static void unknown_accounts_have_near_names(void **state)
{
    (void)state;
    put("desk-main.yaml", "account_id: desk-main\n");
    tick(0);
    assert_int_equal(CALL(account_start, "desk-mian", NULL), REEVE_NOENT);
    assert_non_null(strstr(why.text, "did you mean desk-main"));
    assert_int_equal(CALL(accounts_start, NULL, "{accounts: [a, desk-mian]}"), REEVE_NOENT);
    assert_int_equal(CALL(accounts_start, NULL, "{accounts: 'x-*'}"), REEVE_NOENT);
    assert_int_equal(CALL(accounts_start, NULL, "{}"), REEVE_INVALID);
    assert_string_equal(why.place, "accounts");
    assert_int_equal(CALL(accounts_start, NULL, "{all: true, accounts: a}"), REEVE_INVALID);
    assert_string_equal(why.place, "all");
    assert_int_equal(CALL(accounts_start, NULL, "{all: true, canry: 1}"), REEVE_INVALID);
    assert_non_null(strstr(why.text, "canary"));
    assert_int_equal(CALL(accounts_stop, NULL, "{all: true, grace: soon}"), REEVE_INVALID);
    assert_non_null(strstr(why.place, "grace"));
    assert_int_equal(CALL(account_status, "desk-mian", NULL), REEVE_NOENT);
    assert_int_equal(CALL(accounts_validate, NULL, "{accounts: desk-mian}"), REEVE_NOENT);
    assert_int_equal(fake.orders_len, 0);
}

// Every order that is under way is done, and the fleet shows it.
static void serve(void)
{
    for (size_t i = 0; i < fake.orders_len; i++) {
        const struct order *order = &fake.orders[i].order;
        const char *name = reeve_get_str(order->args, "name");
        name = name != NULL ? name : reeve_get_str(order->args, "workers");
        if (fake.orders[i].ended || name == NULL) {
            continue;
        }
        struct fleet_worker *worker = fake_worker(order->node, name);
        bool up = strcmp(order->op, "stop") != 0;
        worker->info.account = worker->name + strlen("account-");
        worker->info.wanted = up;
        worker->info.run += strcmp(order->op, "restart") == 0;
        worker->info.state = up ? REEVE_STATE_RUNNING : REEVE_STATE_STOPPED;
        fake_worker_tell(&fake, FLEET_WORKER, worker);
        fake_order_end(&fake, i, REEVE_OK, REEVE_PHASE_DONE, NULL);
    }
    fake_turn(&fake, true);
}

static void until_done(int64_t step)
{
    for (int i = 0; i < 100 && !reeve_phase_terminal(fake.reply.phase); i++) {
        tick(step);
        serve();
    }
    assert_true(reeve_phase_terminal(fake.reply.phase));
}

static const char *outcome(const char *id)
{
    return reeve_get_str(reeve_value_get(reeve_value_get(fake.reply.result, "accounts"), id), "outcome");
}

static void many_go_on_past_failures(void **state)
{
    (void)state;
    put("d.yaml", "account_id: d\nenabled: false\n");
    tick(0);
    assert_int_equal(CALL(accounts_start, NULL, "{all: true}"), REEVE_OK);
    until_done(500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.reply.err, REEVE_INVALID);
    assert_int_equal(reeve_get_int(fake.reply.result, "started", 0), 2);
    assert_int_equal(reeve_get_int(fake.reply.result, "failed", 0), 1);
    assert_int_equal(reeve_get_int(fake.reply.result, "skipped", 0), 1);
    assert_string_equal(outcome("a"), "done");
    assert_string_equal(outcome("c"), "failed");
    assert_string_equal(outcome("d"), "skipped");
    const struct reeve_value *wrong = reeve_value_get(reeve_value_get(fake.reply.result, "accounts"), "c");
    const struct reeve_value *error = reeve_value_at(reeve_value_get(wrong, "errors"), 0);
    assert_non_null(strstr(reeve_get_str(error, "place"), "c.yaml:2:10"));
    assert_int_equal(CALL(accounts_restart, NULL, "{accounts: [a, b]}"), REEVE_OK);
    until_done(500);
    assert_int_equal(fake_order_count(&fake, "restart"), 2);
    assert_int_equal(reeve_get_int(fake.reply.result, "restarted", 0), 2);
    assert_int_equal(entry("a")->run, 2);
    assert_int_equal(CALL(accounts_stop, NULL, "{all: true}"), REEVE_OK);
    until_done(500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_int_equal(reeve_get_int(fake.reply.result, "stopped", 0), 2);
    state_is("a", ACCOUNT_STOPPED);
    state_is("b", ACCOUNT_STOPPED);
    assert_true(entry("a")->stopped_at > entry("a")->started_at);
}

static void all_or_nothing_leaves_nothing(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(accounts_start, NULL, "{all: true, all_or_nothing: true}"), REEVE_OK);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED); // c is wrong: at once
    assert_int_equal(reeve_get_int(fake.reply.result, "started", 9), 0);
    tick(1000);
    assert_int_equal(fake.orders_len, 0);
    // One does not come up: those that did are stopped again.
    assert_int_equal(CALL(accounts_start, NULL, "{accounts: [a, b], all_or_nothing: true, timeout: 10s}"), REEVE_OK);
    tick(0);
    serve();
    struct fleet_worker *b = fake_worker("alpha", "account-b");
    b->info.state = REEVE_STATE_FAILED;
    tick(1500);
    tick(1500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_ACCEPTED);
    tick(0);
    assert_int_equal(fake_order_count(&fake, "stop"), 2);
    until_done(500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(reeve_get_int(fake.reply.result, "started", 9), 0);
    assert_string_equal(outcome("a"), "undone");
    assert_string_equal(outcome("b"), "failed");
    state_is("a", ACCOUNT_STOPPED);
}

static void canaries_first(void **state)
{
    (void)state;
    put("c.yaml", "account_id: c\n");
    put("d.yaml", "account_id: d\n");
    tick(0);
    assert_int_equal(CALL(accounts_start, NULL, "{all: true, canary: 1}"), REEVE_OK);
    tick(0);
    serve();
    tick(0);
    tick(4000);
    assert_int_equal(fake_order_count(&fake, "apply"), 1); // the canary has to last
    tick(1500);
    tick(0);
    assert_int_equal(fake_order_count(&fake, "apply"), 4);
    until_done(500);
    assert_int_equal(reeve_get_int(fake.reply.result, "started", 0), 4);
    assert_int_equal(CALL(accounts_stop, NULL, "{all: true}"), REEVE_OK);
    until_done(500);
    assert_int_equal(CALL(accounts_start, NULL, "{all: true, canary: 2}"), REEVE_OK);
    tick(0);
    serve();
    fake_worker("alpha", "account-b")->info.state = REEVE_STATE_FAILED;
    tick(1500);
    until_done(1000);
    assert_int_equal(reeve_get_int(fake.reply.result, "started", 0), 1);
    assert_int_equal(reeve_get_int(fake.reply.result, "skipped", 0), 2);
    state_is("d", ACCOUNT_STOPPED);
    state_is("a", ACCOUNT_RUNNING);
}

static void a_program_that_ends_at_once_has_not_started(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(account_start, "a", "{timeout: 8s}"), REEVE_OK);
    tick(0);
    struct fleet_worker *worker = comes_up("a", 1);
    end_newest(REEVE_PHASE_DONE, NULL);
    for (int64_t run_number = 1; run_number < 12; run_number++) {
        worker->info.state = REEVE_STATE_RESTARTING;
        tick(500);
        worker->info.state = REEVE_STATE_RUNNING;
        worker->info.run = run_number + 1;
        tick(500);
    }
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.reply.err, REEVE_TIMEOUT);
}

static void a_failed_account_is_reset_when_asked(void **state)
{
    (void)state;
    start_a();
    struct fleet_worker *worker = fake_worker("alpha", "account-a");
    worker->info.state = REEVE_STATE_FAILED;
    tick(1500);
    state_is("a", ACCOUNT_FAILED);
    assert_string_equal(entry("a")->error, "the test says failed");
    size_t orders = fake.orders_len;
    tick(60000);
    assert_int_equal(fake.orders_len, orders); // its node gave up: a person decides
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    assert_string_equal(newest_order()->op, "reset");
    (void)comes_up("a", 2);
    end_newest(REEVE_PHASE_DONE, NULL);
    tick(0);
    tick(1500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    // Asked again, and it fails again: that is the answer.
    worker->info.state = REEVE_STATE_FAILED;
    tick(1500);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    orders = fake.orders_len;
    end_newest(REEVE_PHASE_FAILED, "exit code 3");
    tick(1500);
    tick(1500);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    tick(60000);
    assert_int_equal(fake.orders_len, orders);
}

static void stopped_at_its_node_it_is_brought_back(void **state)
{
    (void)state;
    start_a();
    struct fleet_worker *worker = fake_worker("alpha", "account-a");
    worker->info.state = REEVE_STATE_STOPPED;
    worker->info.wanted = false;
    tick(1500);
    assert_string_equal(newest_order()->op, "start");
    end_newest(REEVE_PHASE_DONE, NULL);
    // Ended by itself, and finished by its policy: that is not undone.
    worker->info.wanted = true;
    size_t orders = fake.orders_len;
    tick(1500);
    state_is("a", ACCOUNT_STOPPED);
    assert_non_null(strstr(entry("a")->error, "ended by itself"));
    assert_int_equal(fake.orders_len, orders);
}

static void a_stop_overtakes_a_start(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    assert_int_equal(CALL(account_stop, "a", "{grace: 3s}"), REEVE_OK);
    tick(0);
    assert_string_equal(newest_order()->op, "stop");
    assert_string_equal(reeve_get_str(newest_order()->args, "grace"), "3s");
    fake_order_end(&fake, 0, REEVE_OK, REEVE_PHASE_SUPERSEDED, NULL); // of the start: nobody minds
    struct fleet_worker *worker = comes_up("a", 1);
    worker->info.state = REEVE_STATE_STOPPED;
    worker->info.wanted = false;
    end_newest(REEVE_PHASE_DONE, NULL);
    tick(1000);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    state_is("a", ACCOUNT_STOPPED);
    size_t orders = fake.orders_len;
    tick(5000);
    assert_int_equal(fake.orders_len, orders);
}

static void disabled_it_is_stopped(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\n");
    start_a();
    put("a.yaml", "account_id: a\nenabled: false\n");
    look();
    assert_string_equal(newest_order()->op, "stop");
    serve();
    tick(1000);
    state_is("a", ACCOUNT_STOPPED);
    assert_string_equal(entry("a")->error, "is disabled");
    put("a.yaml", "account_id: a\n");
    look();
    tick(1500);
    assert_string_equal(newest_order()->op, "start");
}

// ---- nodes that can't be seen ---------------------------------------------------------------------------------------

static void a_lost_node_s_accounts_are_not_started_elsewhere(void **state)
{
    (void)state;
    start_a();
    (void)fake_node("beta");
    struct fleet_node *alpha = fake_node("alpha");
    size_t orders = fake.orders_len;
    alpha->info.liveness = REEVE_DEAD;
    alpha->info.away_since_mono = fake.mono_ms;
    fake_worker("alpha", "account-a")->info.state = REEVE_STATE_UNKNOWN;
    tick(5000);
    assert_null(alarm_named("accounts_unreachable", "alpha"));
    tick(10000);
    assert_non_null(alarm_named("accounts_unreachable", "alpha"));
    assert_non_null(strstr(entry("a")->error, "not started elsewhere"));
    state_is("a", ACCOUNT_RUNNING); // the last that is known
    tick(3600000);
    assert_int_equal(fake.orders_len, orders);
    // Nor by asking, unless somebody knows.
    assert_int_equal(CALL(account_restart, "a", "{timeout: 2s}"), REEVE_OK);
    tick(1000);
    tick(2000);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.orders_len, orders);
    // Stopping it says that it can't be.
    assert_int_equal(CALL(accounts_stop, NULL, "{accounts: a}"), REEVE_OK);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    tick(1000);
    state_is("a", ACCOUNT_STOPPING);
    // Back again it is told at once.
    alpha->info.liveness = REEVE_LIVE;
    alpha->info.away_since_mono = 0;
    fake_worker("alpha", "account-a")->info.state = REEVE_STATE_RUNNING;
    fake_node_tell(&fake, alpha);
    tick(0);
    assert_string_equal(newest_order()->op, "stop");
    serve();
    tick(1000);
    state_is("a", ACCOUNT_STOPPED);
    assert_null(alarm_named("accounts_unreachable", "alpha"));
    // Known to be stopped there, it may start elsewhere while alpha is away.
    alpha->info.liveness = REEVE_DEAD;
    alpha->info.away_since_mono = fake.mono_ms;
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    assert_string_equal(newest_order()->op, "apply");
    assert_string_equal(newest_order()->node, "beta");
    // And what alpha still has of it goes when alpha is back.
    serve();
    alpha->info.liveness = REEVE_LIVE;
    tick(1500);
    assert_string_equal(newest_order()->op, "remove");
    assert_string_equal(newest_order()->node, "alpha");
}

static void moved_by_a_person_who_knows(void **state)
{
    (void)state;
    start_a();
    (void)fake_node("beta");
    struct fleet_node *alpha = fake_node("alpha");
    alpha->info.liveness = REEVE_DEAD;
    fake_worker("alpha", "account-a")->info.state = REEVE_STATE_UNKNOWN;
    tick(1000);
    assert_int_equal(CALL(account_start, "a", "{move: true}"), REEVE_OK);
    tick(0);
    assert_string_equal(newest_order()->op, "apply");
    assert_string_equal(newest_order()->node, "beta");
}

static void nothing_is_concluded_while_the_manager_is_cut_off(void **state)
{
    (void)state;
    start_a();
    size_t orders = fake.orders_len;
    fake_fleet_held = true;
    fake_worker("alpha", "account-a")->info.state = REEVE_STATE_STOPPED;
    fake_worker("alpha", "account-a")->info.wanted = false;
    tick(60000);
    assert_int_equal(fake.orders_len, orders);
    state_is("a", ACCOUNT_RUNNING);
}

// ---- the fleet is stopped -------------------------------------------------------------------------------------------

static void a_stopped_fleet_starts_nothing(void **state)
{
    (void)state;
    start_a();
    fake_holds.fleet_stopped = true;
    struct fleet_worker *worker = fake_worker("alpha", "account-a");
    worker->info.state = REEVE_STATE_STOPPED;
    worker->info.wanted = false;
    size_t orders = fake.orders_len;
    tick(1500);
    assert_int_equal(fake.orders_len, orders);
    state_is("a", ACCOUNT_STOPPED);
    assert_int_equal(CALL(account_start, "b", NULL), REEVE_CONFLICT);
    fake_holds.fleet_stopped = false;
    tick(1500);
    assert_string_equal(newest_order()->op, "start"); // it was asked to run all the time
}

// ---- restart of the manager -----------------------------------------------------------------------------------------

static void restart_manager(void)
{
    accounts_free(fake.manager.accounts);
    fake_fleet_deaf();
    open_room();
    tick(0);
}

static void a_restarted_manager_goes_on(void **state)
{
    (void)state;
    start_a();
    size_t orders = fake.orders_len;
    int64_t started_at = entry("a")->started_at;
    put("a.yaml", "account_id: a\nnonsense: 1\n"); // broken while it was away
    restart_manager();
    tick(2000);
    state_is("a", ACCOUNT_RUNNING);
    assert_int_equal(entry("a")->started_at, started_at);
    assert_true(entry("a")->invalid);
    assert_int_equal(fake.orders_len, orders);
    assert_int_equal(CALL(account_restart, "a", "{validate: false}"), REEVE_OK);
    tick(0);
    assert_string_equal(newest_order()->op, "restart");
}

static void killed_between_order_and_reply_it_asks_the_same_node(void **state)
{
    (void)state;
    tick(0);
    assert_int_equal(CALL(account_start, "a", NULL), REEVE_OK);
    tick(0);
    fake_call_end(&fake);
    (void)fake_node("beta");
    restart_manager();
    tick(2000);
    assert_int_equal(fake_order_count(&fake, "apply"), 2);
    assert_string_equal(newest_order()->node, "alpha");
    // Stopped right after: its node may have it though nothing is seen of it.
    (void)comes_up("a", 1);
    fake_fleet_reset();
    (void)fake_node("alpha");
    (void)fake_node("beta");
    restart_manager();
    entry("a")->wanted = false;
    account_store(entry("a"));
    restart_manager();
    tick(2000);
    assert_string_equal(newest_order()->op, "stop");
    assert_string_equal(newest_order()->node, "alpha");
}

static void a_manager_that_lost_its_store_finds_who_runs(void **state)
{
    (void)state;
    start_a();
    size_t orders = fake.orders_len;
    fake_store_reset();
    (void)fake_node("beta");
    fake_call_end(&fake);
    restart_manager();
    tick(1000);
    tick(1000);
    assert_string_equal(entry("a")->node, "alpha");
    assert_true(entry("a")->wanted);
    state_is("a", ACCOUNT_RUNNING);
    // It gives its node the spec again, which changes nothing there.
    assert_int_equal(fake.orders_len, orders + 1);
    assert_string_equal(newest_order()->op, "apply");
    assert_string_equal(newest_order()->node, "alpha");
}

// ---- secrets --------------------------------------------------------------------------------------------------------

static void not_in(const struct reeve_value *value, const char *what)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_json_write(value, 0, &text), REEVE_OK);
    if (strstr(reeve_buf_str(&text), HIDDEN) != NULL) {
        fail_msg("%s: %s", what, reeve_buf_str(&text));
    }
}

static char logged[1 << 16];

static void log_sink(enum reeve_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    size_t len = strlen(logged);
    (void)snprintf(logged + len, sizeof logged - len, "%s\n", line);
}

static void references_are_in_no_reply_record_or_log(void **state)
{
    static const struct {
        const char *text;
        const struct reeve_record *args;
        const char *account;
        enum reeve_err (*run)(struct call *call, struct reeve_why *why);
    } rows[] = {
        {NULL, &op_accounts_args, NULL, op_accounts_run},
        {NULL, &op_account_status_args, "a", op_account_status_run},
        {NULL, &op_account_status_args, "c", op_account_status_run},
        {"{all: true}", &op_accounts_validate_args, NULL, op_accounts_validate_run},
        {"{apply_defaults: false}", &op_accounts_validate_args, NULL, op_accounts_validate_run},
        {"{apply: false}", &op_accounts_reload_args, NULL, op_accounts_reload_run},
        {"{apply: true}", &op_accounts_reload_args, NULL, op_accounts_reload_run},
        {"{all: true}", &op_accounts_start_args, NULL, op_accounts_start_run},
    };
    (void)state;
    logged[0] = '\0';
    reeve_log_set_level(REEVE_LOG_DEBUG);
    reeve_log_set_sink(log_sink, NULL);
    start_a();
    put("a.yaml", "account_id: a\npassword: file:/" HIDDEN "/other\nserver: x\n");
    put("c.yaml", "account_id: c\npassword: " HIDDEN "\n");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        fake.manager.accounts->fingerprint = 0;
        assert_int_equal(run(rows[i].account, rows[i].args, rows[i].text, rows[i].run), REEVE_OK);
        if (fake.reply.result != NULL) {
            not_in(fake.reply.result, "reply");
        }
        assert_null(strstr(fake.reply.message, HIDDEN));
        tick(1000);
        serve();
    }
    for (size_t i = 0; i < fake.items_len; i++) {
        if (fake.items[i].value != NULL) {
            not_in(fake.items[i].value, fake.items[i].topic);
        }
    }
    for (size_t i = 0; i < fake_alarms_len; i++) {
        assert_null(strstr(fake_alarms[i].message, HIDDEN));
    }
    reeve_log_set_sink(NULL, NULL);
    reeve_log_set_level(REEVE_LOG_ERROR);
    assert_non_null(strstr(logged, "account=a"));
    assert_null(strstr(logged, HIDDEN));
    // Its node gets the reference, and so does the store.
    assert_non_null(fake_order_find(&fake, "apply", "alpha", NULL));
}

int main(void)
{
    reeve_log_set_level(REEVE_LOG_ERROR);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_directory_becomes_accounts),
        TEST(a_broken_edit_changes_nothing),
        TEST(the_plan_says_what_a_change_takes),
        TEST(a_live_change_is_told_a_restart_is_applied),
        TEST(settings_that_are_not_taken_raise_an_alarm),
        TEST(a_worker_that_can_t_be_told_is_restarted),
        TEST(a_program_without_settings_is_restarted),
        TEST(an_id_can_t_change_under_way),
        TEST(most_files_gone_is_no_wish),
        TEST(started_once_on_a_node_that_is_stored_first),
        TEST(an_order_that_gets_lost_is_given_again_to_the_same_node),
        TEST(a_node_that_refuses_is_not_asked_again_at_once),
        TEST(validated_before_anything_starts),
        TEST(unknown_accounts_have_near_names),
        TEST(many_go_on_past_failures),
        TEST(all_or_nothing_leaves_nothing),
        TEST(canaries_first),
        TEST(a_program_that_ends_at_once_has_not_started),
        TEST(a_failed_account_is_reset_when_asked),
        TEST(stopped_at_its_node_it_is_brought_back),
        TEST(a_stop_overtakes_a_start),
        TEST(disabled_it_is_stopped),
        TEST(a_lost_node_s_accounts_are_not_started_elsewhere),
        TEST(moved_by_a_person_who_knows),
        TEST(nothing_is_concluded_while_the_manager_is_cut_off),
        TEST(a_stopped_fleet_starts_nothing),
        TEST(a_restarted_manager_goes_on),
        TEST(killed_between_order_and_reply_it_asks_the_same_node),
        TEST(a_manager_that_lost_its_store_finds_who_runs),
        TEST(references_are_in_no_reply_record_or_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
