// Holds: what was said is stored, told to whom it does not fit, told again, and never forgotten because somebody is away.
// Must not: need a broker or a real fleet.
#include "fake_fleet.h"
#include "fake_store.h"

#include "hold_room.h"

#include <stdio.h>
#include <string.h>

static struct fake fake;

static struct holds *holds(void)
{
    return fake.manager.holds;
}

static int setup(void **state)
{
    (void)state;
    fake_store_reset();
    fake_fleet_reset();
    fake_init(&fake);
    assert_int_equal(holds_new(&fake.manager, &fake.manager.holds, NULL), REEVE_OK);
    assert_int_equal(holds_load(holds(), NULL), REEVE_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_call_end(&fake);
    holds_free(holds());
    fake_done(&fake);
    fake_fleet_reset();
    fake_store_reset();
    return 0;
}

static void tick(void)
{
    holds_tick(holds());
    fake_turn(&fake, true);
}

static void restart_manager(void)
{
    holds_free(holds());
    fake_fleet_deaf();
    fake_call_end(&fake);
    for (size_t i = 0; i < fake.orders_len; i++) {
        reeve_value_free(fake.orders[i].order.args);
    }
    fake.orders_len = 0;
    assert_int_equal(holds_new(&fake.manager, &fake.manager.holds, NULL), REEVE_OK);
    assert_int_equal(holds_load(holds(), NULL), REEVE_OK);
}

static enum reeve_err ask(enum reeve_err (*run)(struct call *call, struct reeve_why *why), const char *args)
{
    struct reeve_why why = {.text = ""};
    enum reeve_err err = fake_call(&fake, &op_offline_args, NULL, args, run, &why);
    fake_turn(&fake, true);
    return err;
}

static void see(struct fleet_worker *worker, enum reeve_availability availability)
{
    worker->info.availability = availability;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
}

static int64_t replied(const char *key)
{
    return reeve_get_int(fake.reply.result, key, -1);
}

// ---- one worker -------------------------------------------------------------------------------------------------------

static void a_worker_is_told_once_and_again_only_when_it_does_not_fit(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    assert_int_equal(ask(op_offline_run, "{workers: mm-1, reason: audit}"), REEVE_OK);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_int_equal(replied("workers"), 1);
    assert_int_equal(replied("waiting"), 0);
    assert_false(reeve_get_bool(fake.reply.result, "global", true));
    assert_non_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    assert_false(hold_takes_work(holds(), "alpha", "mm-1"));
    assert_true(worker->touched > 0);
    tick();
    assert_int_equal(fake_order_count(&fake, "offline"), 1);
    const struct fake_order *order = fake_order_find(&fake, "offline", "alpha", "mm-1");
    assert_non_null(order);
    assert_non_null(strstr(reeve_get_str(order->order.args, "reason"), "audit"));
    tick();
    assert_int_equal(fake_order_count(&fake, "offline"), 1); // under way
    fake_order_end(&fake, 0, REEVE_OK, REEVE_PHASE_DONE, NULL);
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    fake_time(&fake, 3600000);
    tick();
    assert_int_equal(fake_order_count(&fake, "offline"), 1); // it fits
    worker->info.epoch = 2;
    see(worker, REEVE_AVAILABILITY_IDLE); // a new process knows nothing of it
    tick();
    assert_int_equal(fake_order_count(&fake, "offline"), 2);
}

static void online_gives_back_and_forgets(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    assert_int_equal(ask(op_offline_run, "{workers: mm-1}"), REEVE_OK);
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    assert_int_equal(ask(op_online_run, "{workers: mm-1}"), REEVE_OK);
    assert_true(hold_takes_work(holds(), "alpha", "mm-1"));
    tick();
    assert_int_equal(fake_order_count(&fake, "online"), 1);
    assert_non_null(fake_store_document(STORE_HOLD, "alpha/mm-1")); // until it is seen
    see(worker, REEVE_AVAILABILITY_IDLE);
    assert_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    assert_int_equal(reeve_map_len(holds()->holds), 0);
    assert_int_equal(reeve_map_len(holds()->tasks), 0);
}

static void who_was_taken_offline_by_hand_is_left_alone(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    struct fleet_worker *other = fake_worker("alpha", "mm-2");
    assert_int_equal(ask(op_pause_run, "{workers: mm-2}"), REEVE_OK); // something is said, of somebody else
    see(other, REEVE_AVAILABILITY_PAUSED);
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    tick();
    see(worker, REEVE_AVAILABILITY_PAUSED);
    tick();
    assert_int_equal(fake.orders_len, 0);
}

static void a_refusal_is_repeated_with_growing_pauses(void **state)
{
    (void)state;
    (void)fake_worker("alpha", "mm-1");
    assert_int_equal(ask(op_pause_run, "{workers: mm-1}"), REEVE_OK);
    size_t sent = 0;
    for (int s = 0; s < 60; s++) {
        tick();
        if (fake.orders_len > sent) {
            fake_order_end(&fake, sent, REEVE_TIMEOUT, REEVE_PHASE_DONE, NULL);
            sent = fake.orders_len;
        }
        fake_time(&fake, 1000);
    }
    assert_int_equal(sent, 5); // at 0, 2, 6, 14, 30 s
}

static void a_new_session_is_not_made_to_wait_for_what_an_old_one_refused(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    assert_int_equal(ask(op_offline_run, "{workers: mm-1}"), REEVE_OK);
    for (size_t i = 0; i < 5; i++) {
        tick();
        fake_order_end(&fake, i, REEVE_OK, REEVE_PHASE_REJECTED, "no such command");
        fake_time(&fake, 60000);
    }
    tick();
    fake_order_end(&fake, 5, REEVE_OK, REEVE_PHASE_REJECTED, "no such command");
    tick();
    assert_int_equal(fake.orders_len, 6); // the next in a minute
    worker->info.epoch++;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    tick();
    assert_int_equal(fake.orders_len, 7);
}

static void pause_and_resume_go_beneath_offline(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    assert_int_equal(ask(op_pause_run, "{workers: mm-1}"), REEVE_OK);
    tick();
    see(worker, REEVE_AVAILABILITY_PAUSED);
    assert_int_equal(ask(op_offline_run, "{workers: mm-1}"), REEVE_OK);
    tick();
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    assert_int_equal(ask(op_resume_run, "{workers: mm-1}"), REEVE_OK);
    tick();
    assert_int_equal(fake_order_count(&fake, "resume"), 0); // not seen whether it is paused beneath
    assert_int_equal(ask(op_online_run, "{workers: mm-1}"), REEVE_OK);
    tick();
    assert_int_equal(fake_order_count(&fake, "online"), 1);
    see(worker, REEVE_AVAILABILITY_PAUSED);
    tick();
    assert_int_equal(fake_order_count(&fake, "resume"), 1);
    see(worker, REEVE_AVAILABILITY_PROCESSING);
    assert_int_equal(reeve_map_len(holds()->holds), 0);
}

static void who_is_away_waits_and_is_told_when_it_comes(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    struct fleet_worker *silent = fake_worker("alpha", "ffmpeg-1");
    worker->info.state = REEVE_STATE_LOST;
    worker->info.availability = REEVE_AVAILABILITY_NONE;
    silent->info.speaks = false;
    silent->info.availability = REEVE_AVAILABILITY_NONE;
    assert_int_equal(ask(op_offline_run, "{workers: \"*\"}"), REEVE_OK);
    assert_int_equal(replied("workers"), 2);
    assert_int_equal(replied("waiting"), 1);
    assert_int_equal(replied("silent"), 1);
    tick();
    assert_int_equal(fake.orders_len, 0);
    fake_worker_tell(&fake, FLEET_WORKER_GONE, worker);
    assert_non_null(fake_store_document(STORE_HOLD, "alpha/mm-1")); // gone for a day is no reason to forget what was said
    worker->info.state = REEVE_STATE_RUNNING;
    see(worker, REEVE_AVAILABILITY_IDLE);
    tick();
    assert_int_equal(fake_order_count(&fake, "offline"), 1);
}

// ---- everybody --------------------------------------------------------------------------------------------------------

static void global_offline_survives_and_applies_to_who_joins_later(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    struct fleet_worker *broker = fake_worker("alpha", "broker");
    struct fleet_worker *manager = fake_worker("alpha", "manager");
    broker->info.origin = "site";
    manager->info.origin = "site";
    assert_int_equal(ask(op_offline_run, "{all: true, reason: migration}"), REEVE_OK);
    assert_int_equal(replied("workers"), 1);
    assert_true(reeve_get_bool(fake.reply.result, "global", false));
    assert_true(hold_fleet_offline(holds()));
    tick();
    assert_int_equal(fake.orders_len, 1); // neither broker nor manager
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    restart_manager();
    assert_true(hold_fleet_offline(holds()));
    tick();
    assert_int_equal(fake.orders_len, 0);
    struct fleet_worker *later = fake_worker("beta", "mm-2");
    fake_worker_tell(&fake, FLEET_WORKER, later);
    tick();
    assert_non_null(fake_order_find(&fake, "offline", "beta", "mm-2"));
    // Of one alone it can't be ended.
    struct reeve_why why = {.text = ""};
    assert_int_equal(fake_call(&fake, &op_online_args, NULL, "{workers: mm-1}", op_online_run, &why), REEVE_CONFLICT);
    assert_non_null(strstr(why.text, "migration"));
    assert_int_equal(ask(op_online_run, "{all: true}"), REEVE_OK);
    tick();
    assert_non_null(fake_order_find(&fake, "online", "alpha", "mm-1"));
    assert_null(fake_order_find(&fake, "online", "beta", "mm-2")); // it never was
    assert_false(hold_fleet_offline(holds()));
}

static void who_is_away_when_everybody_is_let_online_is_told_when_back(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    assert_int_equal(ask(op_offline_run, "{all: true}"), REEVE_OK);
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    worker->info.state = REEVE_STATE_UNKNOWN;
    see(worker, REEVE_AVAILABILITY_NONE);
    assert_int_equal(ask(op_online_run, "{all: true}"), REEVE_OK);
    restart_manager();
    worker->info.state = REEVE_STATE_RUNNING;
    see(worker, REEVE_AVAILABILITY_OFFLINE); // the same process as before
    tick();
    assert_non_null(fake_order_find(&fake, "online", "alpha", "mm-1"));
}

static void a_verdict_tells_the_strongest_hold(void **state)
{
    (void)state;
    (void)fake_worker("alpha", "mm-1");
    struct fleet_worker *broker = fake_worker("alpha", "broker");
    broker->info.origin = "site";
    assert_int_equal(ask(op_pause_run, "{workers: mm-1, reason: later}"), REEVE_OK);
    assert_int_equal(ask(op_offline_run, "{all: true, reason: migration}"), REEVE_OK);
    REEVE_VALUE_AUTO verdict = reeve_value_map();
    hold_put_verdict(holds(), "alpha", "mm-1", verdict);
    const struct reeve_value *hold = reeve_value_get(verdict, "hold");
    assert_string_equal(reeve_get_str(hold, "kind"), "offline");
    assert_string_equal(reeve_get_str(hold, "reason"), "migration");
    assert_true(reeve_get_bool(hold, "fleet", false));
    REEVE_VALUE_AUTO spared = reeve_value_map();
    hold_put_verdict(holds(), "alpha", "broker", spared);
    assert_null(reeve_value_get(spared, "hold"));
}

static void a_dry_run_says_nothing_of_anybody(void **state)
{
    (void)state;
    (void)fake_worker("alpha", "mm-1");
    struct reeve_why why;
    // dry_run stands in the envelope, which the stand-in does not read: set it after the first decoding.
    assert_int_equal(fake_call(&fake, &op_offline_args, NULL, "{workers: nobody}", op_offline_run, &why), REEVE_NOENT);
    fake.call->command.dry_run = true;
    reeve_strv_done(&((struct select_args *)fake.call->args)->workers);
    ((struct select_args *)fake.call->args)->all = true;
    assert_int_equal(op_offline_run(fake.call, &why), REEVE_OK);
    assert_false(hold_fleet_offline(holds()));
    assert_int_equal(fake_store_writes(), 0);
    assert_int_equal(replied("workers"), 1);
}

static void many_are_told_within_bounds(void **state)
{
    (void)state;
    char name[32];
    static struct fleet_worker *all[2500];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(all); i++) {
        (void)snprintf(name, sizeof name, "mm-%04zu", i); /* short */
        all[i] = fake_worker("alpha", name);
    }
    assert_int_equal(ask(op_offline_run, "{all: true}"), REEVE_OK);
    tick();
    assert_int_equal(fake.orders_len, HOLD_ORDERS_MAX);
    for (size_t i = 0; i < HOLD_ORDERS_MAX; i++) {
        fake_order_end(&fake, i, REEVE_OK, REEVE_PHASE_DONE, NULL);
        see(all[i], REEVE_AVAILABILITY_OFFLINE);
    }
    tick();
    assert_int_equal(fake.orders_len, 2 * HOLD_ORDERS_MAX);
}

// ---- shut down and stopped, by level --------------------------------------------------------------------------------

static void see_state(struct fleet_worker *worker, enum reeve_state state, bool wanted)
{
    worker->info.state = state;
    worker->info.last_known = state;
    worker->info.wanted = wanted;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
}

static void say(const char *node, const char *worker, enum hold_kind kind)
{
    struct hold *hold = hold_make(holds(), node, worker);
    hold_say(hold, kind, "ada", "a test");
    hold_save_emergency(holds(), hold);
    fake_turn(&fake, true);
}

static void a_shut_down_worker_is_stopped_whenever_it_runs(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    say("alpha", "mm-1", HOLD_SHUTDOWN);
    assert_true(hold_worker_shut_down(holds(), "alpha", "mm-1"));
    tick();
    assert_int_equal(fake.orders_len, 0); // who asked for it is given a moment
    fake_time(&fake, HOLD_SETTLE_MS);
    tick();
    const struct fake_order *order = fake_order_find(&fake, "stop", "alpha", "");
    assert_non_null(order);
    assert_string_equal(reeve_value_text(reeve_value_at(reeve_value_get(order->order.args, "workers"), 0)), "mm-1");
    fake_order_end(&fake, 0, REEVE_OK, REEVE_PHASE_DONE, NULL);
    see_state(worker, REEVE_STATE_STOPPED, false);
    assert_non_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    see_state(worker, REEVE_STATE_RUNNING, true); // somebody started it at its node
    fake_time(&fake, HOLD_SETTLE_MS);
    tick();
    assert_int_equal(fake_order_count(&fake, "stop"), 2);
}

static void a_stop_for_a_node_that_is_away_is_sent_when_it_is_back_and_then_over(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    struct fleet_worker *other = fake_worker("alpha", "mm-2");
    struct fleet_node *node = fake_node("alpha");
    node->info.liveness = REEVE_DEAD;
    worker->info.state = other->info.state = REEVE_STATE_UNKNOWN;
    worker->info.availability = other->info.availability = REEVE_AVAILABILITY_NONE;
    say("alpha", "mm-1", HOLD_STOP);
    say("alpha", "mm-2", HOLD_STOP);
    fake_time(&fake, 60000);
    tick();
    assert_int_equal(fake.orders_len, 0);
    restart_manager();
    node->info.liveness = REEVE_LIVE;
    worker->info.state = other->info.state = REEVE_STATE_RUNNING;
    fake_node_tell(&fake, node);
    fake_time(&fake, HOLD_SETTLE_MS);
    tick();
    assert_int_equal(fake.orders_len, 1); // one order for both
    assert_int_equal(reeve_value_len(reeve_value_get(fake.orders[0].order.args, "workers")), 2);
    fake_order_end(&fake, 0, REEVE_OK, REEVE_PHASE_DONE, NULL);
    see_state(worker, REEVE_STATE_STOPPED, false);
    see_state(other, REEVE_STATE_STOPPED, false);
    assert_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    assert_int_equal(reeve_map_len(holds()->holds), 0);
    see_state(worker, REEVE_STATE_RUNNING, true); // started again later: that is somebody's wish
    fake_time(&fake, HOLD_SETTLE_MS);
    tick();
    assert_int_equal(fake.orders_len, 1);
}

static void whom_no_node_can_stop_is_kept_offline(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    worker->info.supervised = false;
    worker->info.wanted = false;
    say("alpha", "mm-1", HOLD_SHUTDOWN);
    tick();
    assert_non_null(fake_order_find(&fake, "offline", "alpha", "mm-1"));
    see(worker, REEVE_AVAILABILITY_OFFLINE);
    struct reeve_why why = {.text = ""};
    assert_int_equal(fake_call(&fake, &op_clear_args, NULL, "{worker: mm-1}", op_clear_run, &why), REEVE_OK);
    tick();
    assert_non_null(fake_order_find(&fake, "online", "alpha", "mm-1"));
}

static void what_an_emergency_said_holds_while_the_disk_refuses(void **state)
{
    (void)state;
    (void)fake_worker("alpha", "mm-1");
    fake_store_refuse(REEVE_IO);
    struct hold *hold = hold_make(holds(), "alpha", "mm-1");
    hold_say(hold, HOLD_SHUTDOWN, "ada", NULL);
    hold_save_emergency(holds(), hold);
    hold_say(&holds()->fleet, HOLD_STOP, "ada", NULL);
    hold_save_emergency(holds(), &holds()->fleet);
    // As turn.c does it: memory is loaded anew, then what waited for the commit is told.
    fake_store_refuse(REEVE_OK);
    assert_int_equal(holds_load(holds(), NULL), REEVE_OK);
    fake_turn(&fake, false);
    assert_true(hold_worker_shut_down(holds(), "alpha", "mm-1"));
    assert_true(hold_fleet_stopped(holds()));
    assert_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    tick(); // the disk takes it
    assert_non_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    assert_non_null(fake_store_document(STORE_HOLD, "fleet"));
    restart_manager();
    assert_true(hold_worker_shut_down(holds(), "alpha", "mm-1"));
    assert_true(hold_fleet_stopped(holds()));
}

static void an_ordinary_hold_is_gone_when_the_disk_refused_it(void **state)
{
    (void)state;
    (void)fake_worker("alpha", "mm-1");
    fake_store_refuse(REEVE_IO);
    struct reeve_why why;
    assert_int_equal(fake_call(&fake, &op_offline_args, NULL, "{workers: mm-1}", op_offline_run, &why), REEVE_OK);
    fake_store_refuse(REEVE_OK);
    assert_int_equal(holds_load(holds(), NULL), REEVE_OK); // its reply says `failed`
    fake_turn(&fake, false);
    assert_true(hold_takes_work(holds(), "alpha", "mm-1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_worker_is_told_once_and_again_only_when_it_does_not_fit),
        TEST(online_gives_back_and_forgets),
        TEST(who_was_taken_offline_by_hand_is_left_alone),
        TEST(a_refusal_is_repeated_with_growing_pauses),
        TEST(a_new_session_is_not_made_to_wait_for_what_an_old_one_refused),
        TEST(pause_and_resume_go_beneath_offline),
        TEST(who_is_away_waits_and_is_told_when_it_comes),
        TEST(global_offline_survives_and_applies_to_who_joins_later),
        TEST(who_is_away_when_everybody_is_let_online_is_told_when_back),
        TEST(a_verdict_tells_the_strongest_hold),
        TEST(a_dry_run_says_nothing_of_anybody),
        TEST(many_are_told_within_bounds),
        TEST(a_shut_down_worker_is_stopped_whenever_it_runs),
        TEST(a_stop_for_a_node_that_is_away_is_sent_when_it_is_back_and_then_over),
        TEST(whom_no_node_can_stop_is_kept_offline),
        TEST(what_an_emergency_said_holds_while_the_disk_refuses),
        TEST(an_ordinary_hold_is_gone_when_the_disk_refused_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
