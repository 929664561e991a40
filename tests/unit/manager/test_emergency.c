// Stop, kill, start, restart, shutdown, clear: who is told, who is counted as what, what stays in force.
// Must not: need a broker or a real fleet.
#include "fake_fleet.h"
#include "fake_store.h"

#include "emergency.h"

#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
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

#define ASK(op, args) ask(&op_##op##_args, op_##op##_run, args)
static struct op fake_op = {.name = "stop"};
static struct reeve_why why;

static enum reeve_err ask(const struct reeve_record *record, enum reeve_err (*run)(struct call *call, struct reeve_why *why),
                          const char *args)
{
    why = (struct reeve_why){.text = ""};
    return fake_call(&fake, record, NULL, args, run, &why);
}

// The fake's call has no op; who logs its name needs one.
static enum reeve_err with_op(struct call *call, struct reeve_why *ret)
{
    call->op = &fake_op;
    call->command.issuer = strdup("ada");
    return op_stop_run(call, ret);
}

static enum reeve_err with_op_shutdown(struct call *call, struct reeve_why *ret)
{
    call->op = &fake_op;
    return op_shutdown_run(call, ret);
}

static int64_t replied(const char *key)
{
    return reeve_get_int(fake.reply.result, key, -1);
}

static const struct reeve_value *names_of(size_t order)
{
    return reeve_value_get(fake.orders[order].order.args, "workers");
}

// The node's answer: every worker of the order with `outcome`, but `odd` with `odd_outcome`.
static void answer(size_t index, enum reeve_phase phase, const char *outcome, const char *odd, const char *odd_outcome)
{
    const struct order order = fake.orders[index].order;
    REEVE_VALUE_AUTO result = reeve_value_map();
    struct reeve_value *workers = reeve_value_map();
    for (size_t i = 0; i < reeve_value_len(names_of(index)); i++) {
        const char *name = reeve_value_text(reeve_value_at(names_of(index), i));
        struct reeve_value *one = reeve_value_map();
        reeve_put_str(one, "outcome", reeve_str_eq(name, odd) ? odd_outcome : outcome);
        if (reeve_str_eq(name, odd)) {
            reeve_put_str(one, "message", "worker is being removed");
        }
        assert_int_equal(reeve_value_put(workers, name, one), REEVE_OK);
    }
    assert_int_equal(reeve_value_put(result, "workers", workers), REEVE_OK);
    const struct reeve_reply reply = {.id = order.id, .phase = phase, .result = result, .message = "done"};
    fake.orders[index].ended = true;
    order.end(&fake.manager, &order, REEVE_OK, &reply);
}

static void refuse(size_t index, const char *code, const char *message)
{
    const struct order order = fake.orders[index].order;
    const struct reeve_reply reply = {.id = order.id, .phase = REEVE_PHASE_REJECTED, .code = code, .message = message};
    fake.orders[index].ended = true;
    order.end(&fake.manager, &order, REEVE_OK, &reply);
}

static void three_on_two_nodes(void)
{
    (void)fake_worker("alpha", "mm-1");
    (void)fake_worker("alpha", "mm-2");
    (void)fake_worker("beta", "mm-3");
}

// ---- stop -------------------------------------------------------------------------------------------------------------

static void one_order_per_node_at_once_and_the_reply_counts(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ASK(stop, "{workers: \"mm-*\", grace: 3s}"), REEVE_OK);
    assert_true(fake.call->kept);
    assert_int_equal(fake.orders_len, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(fake.orders[i].order.at_once); // an emergency does not wait for a disk
        assert_string_equal(fake.orders[i].order.op, "stop");
        assert_string_equal(reeve_get_str(fake.orders[i].order.args, "grace"), "3000ms");
        assert_true(reeve_id_valid(fake.orders[i].order.id));
    }
    assert_int_equal(reeve_value_len(names_of(0)), 2);
    fake_time(&fake, 120);
    answer(0, REEVE_PHASE_DONE, "done", NULL, NULL);
    assert_false(fake.call->finished);
    fake_time(&fake, 80);
    answer(1, REEVE_PHASE_DONE, "done", NULL, NULL);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_int_equal(replied("stopped"), 3);
    assert_int_equal(replied("ms"), 200);
    assert_int_equal(replied("unreachable"), 0);
    assert_string_equal(fake.reply.message, "3 of 3 stopped in 200 ms");
    assert_false(hold_fleet_stopped(holds()));
}

static void who_is_stopped_already_is_not_asked_again(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    worker->info.state = REEVE_STATE_STOPPED;
    worker->info.wanted = false;
    assert_int_equal(ASK(stop, "{workers: mm-1}"), REEVE_OK);
    assert_int_equal(fake.orders_len, 0);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_int_equal(replied("stopped"), 1);
    assert_int_equal(replied("already"), 1);
}

static void who_refuses_and_who_is_by_hand_is_named(void **state)
{
    (void)state;
    three_on_two_nodes();
    fake_worker("beta", "mm-3")->info.supervised = false;
    assert_int_equal(ASK(stop, "{workers: \"mm-*\"}"), REEVE_OK);
    answer(0, REEVE_PHASE_FAILED, "done", "mm-2", "rejected");
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.reply.err, REEVE_CONFLICT);
    assert_int_equal(replied("stopped"), 1);
    assert_int_equal(replied("refused"), 2);
    const struct reeve_value *failed = reeve_value_get(fake.reply.result, "failed");
    assert_string_equal(reeve_get_str(failed, "alpha/mm-2"), "worker is being removed");
    assert_non_null(strstr(reeve_get_str(failed, "beta/mm-3"), "started by hand"));
}

static void who_is_out_of_reach_is_named_with_its_fencing_and_stopped_when_back(void **state)
{
    (void)state;
    three_on_two_nodes();
    struct fleet_node *beta = fake_node("beta");
    beta->info.liveness = REEVE_DEAD;
    beta->info.away_since_mono = fake.mono_ms - 7000;
    assert_int_equal(ASK(stop, "{workers: \"mm-*\"}"), REEVE_OK);
    answer(0, REEVE_PHASE_DONE, "done", NULL, NULL);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.reply.err, REEVE_OFFLINE);
    assert_int_equal(replied("unreachable"), 1);
    const struct reeve_value *node = reeve_value_at(reeve_value_get(fake.reply.result, "unreachable_nodes"), 0);
    assert_string_equal(reeve_get_str(node, "node"), "beta");
    assert_int_equal(reeve_get_int(node, "since_ms", 0), 7000);
    assert_int_equal(reeve_get_int(node, "workers", 0), 1);
    assert_string_equal(reeve_value_text(reeve_value_at(reeve_value_get(node, "names"), 0)), "mm-3");
    assert_string_equal(reeve_get_str(node, "fenced"), "not fenced: runs until its node is back; that it is to be stopped is "
                                                       "kept and sent then");
    fake_turn(&fake, true);
    assert_non_null(fake_store_document(STORE_HOLD, "beta/mm-3"));
    beta->info.liveness = REEVE_LIVE;
    fake_node_tell(&fake, beta);
    fake_time(&fake, HOLD_SETTLE_MS);
    holds_tick(holds());
    assert_non_null(fake_order_find(&fake, "stop", "beta", ""));
}

static void a_kill_that_does_not_arrive_is_a_kill_when_it_does(void **state)
{
    (void)state;
    (void)fake_worker("alpha", "mm-1");
    assert_int_equal(ASK(kill, "{workers: mm-1}"), REEVE_OK);
    fake_time(&fake, 30000);
    fake_order_end(&fake, 0, REEVE_TIMEOUT, REEVE_PHASE_DONE, NULL);
    assert_int_equal(replied("unreachable"), 1);
    fake_turn(&fake, true);
    fake_worker_tell(&fake, FLEET_WORKER, fake_worker("alpha", "mm-1"));
    fake_time(&fake, HOLD_SETTLE_MS);
    holds_tick(holds());
    assert_int_equal(fake_order_count(&fake, "kill"), 2);
}

static void a_worker_its_node_does_not_know_keeps_the_others_not(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ASK(stop, "{node: alpha}"), REEVE_OK);
    refuse(0, "not_found", "node alpha has no worker mm-2");
    assert_int_equal(fake.orders_len, 3);
    answer(1, REEVE_PHASE_DONE, "done", NULL, NULL);
    refuse(2, "not_found", "node alpha has no worker mm-2");
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_int_equal(replied("stopped"), 2);
}

static void neither_broker_nor_manager_is_ever_stopped(void **state)
{
    (void)state;
    fake_worker("alpha", "broker")->info.origin = "site";
    fake_worker("alpha", "boss")->info.origin = "site";
    assert_int_equal(ASK(kill, "{workers: broker}"), REEVE_OK);
    assert_int_equal(replied("refused"), 1);
    assert_int_equal(fake.orders_len, 0);
    assert_int_equal(ask(&op_stop_args, with_op, "{all: true}"), REEVE_OK);
    assert_int_equal(fake.orders_len, 0);
    holds_tick(holds());
    fake_time(&fake, 60000);
    holds_tick(holds());
    assert_int_equal(fake.orders_len, 0);
}

static void a_thousand_on_one_node_go_in_a_few_orders(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "mm-%04d", i); /* short */
        (void)fake_worker("alpha", name);
    }
    assert_int_equal(ask(&op_stop_args, with_op, "{all: true}"), REEVE_OK);
    assert_int_equal(fake.orders_len, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(reeve_value_len(names_of(i)) <= HOLD_BATCH_MAX);
        fake_time(&fake, 300);
        answer(i, REEVE_PHASE_DONE, "done", NULL, NULL);
    }
    assert_int_equal(replied("stopped"), 1000);
    assert_true(fake.reply.replies >= 2); // `running` on the way
}

// ---- the fleet ----------------------------------------------------------------------------------------------------------

static void stop_with_all_keeps_the_fleet_stopped_until_start_with_all(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ask(&op_stop_args, with_op, "{all: true, reason: fire}"), REEVE_OK);
    assert_true(hold_fleet_stopped(holds()));
    fake_turn(&fake, true);
    assert_non_null(fake_store_document(STORE_HOLD, "fleet"));
    assert_false(hold_takes_work(holds(), "alpha", "mm-1"));
    assert_int_equal(ASK(start, "{workers: mm-1}"), REEVE_CONFLICT);
    assert_non_null(strstr(why.text, "fire"));
    assert_int_equal(ASK(restart, "{all: true}"), REEVE_CONFLICT);
    assert_int_equal(ASK(start, "{all: true}"), REEVE_OK);
    assert_false(hold_fleet_stopped(holds()));
    assert_null(fake_store_document(STORE_HOLD, "fleet"));
    assert_int_equal(fake_order_count(&fake, "start"), 2);
}

static void what_a_pool_had_ordered_before_is_stopped_when_it_appears(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ask(&op_stop_args, with_op, "{all: true}"), REEVE_OK);
    size_t before = fake.orders_len;
    struct fleet_worker *late = fake_worker("alpha", "swap-9"); // its apply was under way
    late->info.pool = "swap";
    struct fleet_worker *by_hand = fake_worker("beta", "own-1"); // a person started it at its node
    fake_worker_tell(&fake, FLEET_WORKER, late);
    fake_worker_tell(&fake, FLEET_WORKER, by_hand);
    fake_time(&fake, HOLD_SETTLE_MS);
    holds_tick(holds());
    assert_int_equal(fake.orders_len, before + 1);
    assert_string_equal(reeve_value_text(reeve_value_at(names_of(before), 0)), "swap-9");
}

static void the_fleet_is_stopped_although_the_disk_refuses(void **state)
{
    (void)state;
    three_on_two_nodes();
    fake_store_refuse(REEVE_IO);
    assert_int_equal(ask(&op_stop_args, with_op, "{all: true}"), REEVE_OK);
    assert_int_equal(fake.orders_len, 2);
    fake_store_refuse(REEVE_OK);
    assert_int_equal(holds_load(holds(), NULL), REEVE_OK);
    fake_turn(&fake, false);
    assert_true(hold_fleet_stopped(holds()));
}

static void shutdown_of_all_is_latched_and_only_clear_ends_it(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ask(&op_shutdown_args, with_op_shutdown, "{all: true, reason: breach}"), REEVE_OK);
    assert_true(hold_fleet_stopped(holds()));
    assert_true(hold_worker_shut_down(holds(), "beta", "mm-9"));
    struct fleet_worker *later = fake_worker("gamma", "mm-9"); // joins later
    fake_worker_tell(&fake, FLEET_WORKER, later);
    fake_time(&fake, HOLD_SETTLE_MS);
    holds_tick(holds());
    assert_non_null(fake_order_find(&fake, "stop", "gamma", ""));
    assert_int_equal(ASK(start, "{all: true}"), REEVE_CONFLICT);
    assert_non_null(strstr(why.text, "`clear`"));
    assert_int_equal(ASK(clear, "{worker: mm-1}"), REEVE_CONFLICT);
    assert_int_equal(ASK(clear, "{all: true}"), REEVE_OK);
    assert_true(reeve_get_bool(fake.reply.result, "fleet", false));
    assert_false(hold_fleet_stopped(holds()));
    assert_int_equal(ASK(start, "{all: true}"), REEVE_OK);
}

static void shutdown_of_one_refuses_its_start_until_cleared(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ASK(shutdown, "{worker: mm-1, reason: leak}"), REEVE_OK);
    answer(0, REEVE_PHASE_DONE, "done", NULL, NULL);
    assert_true(hold_worker_shut_down(holds(), "alpha", "mm-1"));
    assert_false(hold_worker_shut_down(holds(), "alpha", "mm-2"));
    assert_int_equal(ASK(start, "{workers: mm-1}"), REEVE_OK);
    assert_int_equal(replied("refused"), 1);
    const struct reeve_value *own = reeve_value_get(reeve_value_get(fake.reply.result, "workers"), "alpha/mm-1");
    assert_non_null(strstr(reeve_get_str(own, "message"), "leak"));
    assert_int_equal(ASK(clear, "{worker: mm-7}"), REEVE_NOENT);
    assert_non_null(strstr(why.text, "mm-1")); // near
    assert_int_equal(ASK(clear, "{worker: alpha/mm-1}"), REEVE_OK);
    assert_int_equal(replied("cleared"), 1);
    assert_null(fake_store_document(STORE_HOLD, "alpha/mm-1"));
    assert_int_equal(ASK(clear, "{}"), REEVE_INVALID);
    assert_int_equal(ASK(clear, "{worker: mm-1, all: true}"), REEVE_INVALID);
}

static void who_is_started_is_not_stopped_later_for_an_old_order(void **state)
{
    (void)state;
    struct fleet_worker *worker = fake_worker("alpha", "mm-1");
    struct fleet_node *alpha = fake_node("alpha");
    alpha->info.liveness = REEVE_DEAD;
    assert_int_equal(ASK(stop, "{workers: mm-1}"), REEVE_OK);
    assert_non_null(hold_find(holds(), "alpha", "mm-1"));
    assert_int_equal(ASK(start, "{workers: mm-1}"), REEVE_OK);
    assert_int_equal(replied("unreachable"), 1);
    alpha->info.liveness = REEVE_LIVE;
    fake_worker_tell(&fake, FLEET_WORKER, worker);
    fake_time(&fake, HOLD_SETTLE_MS);
    holds_tick(holds());
    assert_int_equal(fake_order_count(&fake, "stop"), 0);
}

// ---- again, after a restart of the manager ---------------------------------------------------------------------------

static enum reeve_err rerun(struct call *call, struct reeve_why *ret)
{
    free(call->command.id);
    call->command.id = strdup("the-same");
    call->rerun = true;
    return op_restart_run(call, ret);
}

static void the_same_call_again_sends_the_same_ids(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(fake_call(&fake, &op_restart_args, NULL, "{workers: \"mm-*\"}", rerun, &why), REEVE_OK);
    assert_int_equal(fake_call(&fake, &op_restart_args, NULL, "{workers: \"mm-*\"}", rerun, &why), REEVE_OK);
    assert_int_equal(fake.orders_len, 4);
    assert_string_equal(fake.orders[0].order.id, fake.orders[2].order.id);
    assert_string_equal(fake.orders[1].order.id, fake.orders[3].order.id);
    assert_string_not_equal(fake.orders[0].order.id, fake.orders[1].order.id);
    assert_int_equal(fake_call(&fake, &op_restart_args, NULL, "{node: alpha}", rerun, &why), REEVE_OK);
    assert_string_equal(fake.orders[4].order.id, fake.orders[0].order.id); // the same workers of the same call
}

static void an_answer_to_a_call_that_is_over_is_nobodys(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ASK(stop, "{node: beta}"), REEVE_OK);
    fake_call_end(&fake);
    answer(0, REEVE_PHASE_DONE, "done", NULL, NULL);
    assert_int_equal(fake.reply.replies, 0);
}

static void a_start_names_everybody_the_failing_first(void **state)
{
    (void)state;
    three_on_two_nodes();
    assert_int_equal(ASK(start, "{workers: \"mm-*\"}"), REEVE_OK);
    answer(0, REEVE_PHASE_FAILED, "done", "mm-2", "failed");
    answer(1, REEVE_PHASE_DONE, "done", NULL, NULL);
    assert_int_equal(replied("done"), 2);
    assert_int_equal(replied("failed"), 1);
    const struct reeve_value *workers = reeve_value_get(fake.reply.result, "workers");
    assert_int_equal(reeve_value_len(workers), 3);
    assert_string_equal(reeve_value_key(workers, 0), "alpha/mm-2");
    assert_string_equal(reeve_get_str(reeve_value_at(workers, 0), "phase"), "failed");
    assert_string_equal(reeve_get_str(reeve_value_get(workers, "alpha/mm-1"), "phase"), "done");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_order_per_node_at_once_and_the_reply_counts),
        TEST(who_is_stopped_already_is_not_asked_again),
        TEST(who_refuses_and_who_is_by_hand_is_named),
        TEST(who_is_out_of_reach_is_named_with_its_fencing_and_stopped_when_back),
        TEST(a_kill_that_does_not_arrive_is_a_kill_when_it_does),
        TEST(a_worker_its_node_does_not_know_keeps_the_others_not),
        TEST(neither_broker_nor_manager_is_ever_stopped),
        TEST(a_thousand_on_one_node_go_in_a_few_orders),
        TEST(stop_with_all_keeps_the_fleet_stopped_until_start_with_all),
        TEST(what_a_pool_had_ordered_before_is_stopped_when_it_appears),
        TEST(the_fleet_is_stopped_although_the_disk_refuses),
        TEST(shutdown_of_all_is_latched_and_only_clear_ends_it),
        TEST(shutdown_of_one_refuses_its_start_until_cleared),
        TEST(who_is_started_is_not_stopped_later_for_an_old_order),
        TEST(the_same_call_again_sends_the_same_ids),
        TEST(an_answer_to_a_call_that_is_over_is_nobodys),
        TEST(a_start_names_everybody_the_failing_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
