// The fold on random inputs against a straightforward model: facts first, then one predicate per row of the
// protocol, exactly one of which holds. Also what must be true of every verdict: it stays until next_look.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include <reeve/lifecycle.h>

#include "dice.h"

// Small numbers, so that equal ones, neighbours and edges are common.
#define TIME_MAX  120
#define EPOCH_MAX 4
#define RUN_MAX   3

static bool coin(struct dice *dice)
{
    return dice_below(dice, 2) == 1;
}

static struct reeve_witness random_witness(struct dice *dice, bool will)
{
    struct reeve_witness witness = {.present = dice_below(dice, 4) != 0, .will = will};
    witness.epoch = dice_below(dice, EPOCH_MAX);
    witness.arrived = dice_below(dice, TIME_MAX);
    if (!will) {
        witness.goodbye = dice_below(dice, 8) == 0;
        witness.heartbeat_ms = 1 + dice_below(dice, 20);
        witness.run = dice_below(dice, RUN_MAX);
        witness.availability = (enum reeve_availability)dice_below(dice, REEVE_AVAILABILITY_OFFLINE + 1);
    }
    return witness;
}

static struct reeve_process_witness random_process(struct dice *dice)
{
    struct reeve_process_witness process = {.present = dice_below(dice, 4) != 0, .speaks = coin(dice)};
    process.state = coin(dice) ? REEVE_STATE_RUNNING : (enum reeve_state)dice_below(dice, REEVE_STATE_MACHINE_COUNT);
    process.run = dice_below(dice, RUN_MAX);
    process.run_arrived = dice_below(dice, TIME_MAX);
    return process;
}

static struct reeve_fold_input random_input(struct dice *dice)
{
    struct reeve_fold_input input = {
        .node_status = random_witness(dice, false),
        .node_lwt = random_witness(dice, true),
        .worker_status = random_witness(dice, false),
        .worker_lwt = random_witness(dice, true),
        .process = random_process(dice),
    };
    if (coin(dice)) {
        input.disconnected = dice_below(dice, TIME_MAX);
        input.reconnected = dice_below(dice, TIME_MAX);
        input.grace_ms = dice_below(dice, 30);
    }
    return input;
}

// ---- the model ----------------------------------------------------------------------------------------

struct session_facts {
    bool live, stale, dead, left, absent;
};

struct reader {
    double judged_at;
    double wills_to;
};

static struct reader reader_of(const struct reeve_fold_input *input, int64_t now)
{
    bool away = input->disconnected > input->reconnected;
    bool just_back = input->reconnected != 0 && now - input->reconnected < input->grace_ms;
    if (away || just_back) {
        return (struct reader){(double)input->disconnected, (double)input->disconnected};
    }
    return (struct reader){(double)now, 1e18};
}

static struct session_facts session_of(const struct reeve_witness *status, const struct reeve_witness *lwt,
                                       const struct reader *reader)
{
    struct session_facts facts = {0};
    bool will = lwt->present && (double)lwt->arrived <= reader->wills_to && lwt->epoch >= status->epoch;
    double beats = (reader->judged_at - (double)status->arrived) / (double)status->heartbeat_ms;
    facts.left = status->present && status->goodbye;
    facts.dead = will && !status->goodbye;
    facts.stale = status->present && !facts.left && !facts.dead && beats > 2.5;
    facts.live = status->present && !facts.left && !facts.dead && beats <= 2.5;
    facts.absent = !facts.left && !facts.dead && !facts.stale && !facts.live;
    return facts;
}

struct facts {
    struct session_facts node, worker;
    bool process, runs, speaks, of_this_run, had_time, goodbye_is_old;
};

static struct facts facts_of(const struct reeve_fold_input *input, int64_t now)
{
    const struct reeve_witness *status = &input->worker_status;
    struct reader reader = reader_of(input, now);
    struct facts facts = {
        .node = session_of(&input->node_status, &input->node_lwt, &reader),
        .worker = session_of(status, &input->worker_lwt, &reader),
        .process = input->process.present,
        .runs = input->process.present && input->process.state == REEVE_STATE_RUNNING,
    };
    double patience = 2.5 * (double)status->heartbeat_ms;
    bool newer_will = input->worker_lwt.present && input->worker_lwt.epoch > status->epoch;
    bool says_older_run = status->run != 0 && status->run < input->process.run;
    facts.of_this_run = !facts.worker.absent && (!says_older_run || newer_will);
    facts.speaks = input->process.speaks || !facts.worker.absent;
    int64_t since = input->process.run_arrived;
    if (!status->present && status->arrived > since) {
        since = status->arrived;
    }
    facts.had_time = reader.judged_at - (double)since > patience;
    facts.goodbye_is_old = reader.judged_at - (double)status->arrived > patience;
    return facts;
}

static bool row_holds(int rule, const struct facts *f)
{
    bool known = f->process || !f->worker.absent;
    bool node_down = f->node.dead || f->node.stale || (f->process && (f->node.left || f->node.absent));
    bool runs = f->runs && f->node.live;
    bool by_hand = known && !f->process && !node_down;
    switch (rule) {
    case 0:
        return !known;
    case 1:
        return f->process && !f->runs && f->node.live;
    case 2:
        return runs && f->of_this_run && (f->worker.live || (f->worker.left && !f->goodbye_is_old));
    case 3:
        return runs && ((f->of_this_run && (f->worker.dead || f->worker.stale)) ||
                        (f->of_this_run && f->worker.left && f->goodbye_is_old) ||
                        (!f->of_this_run && f->speaks && f->had_time));
    case 4:
        return runs && !f->of_this_run && (!f->speaks || !f->had_time);
    case 5:
        return known && node_down && f->worker.live;
    case 6:
        return known && node_down && !f->worker.live;
    case 7:
        return by_hand && (f->worker.live || f->worker.left);
    case 8:
        return by_hand && (f->worker.dead || f->worker.stale);
    default:
        return false;
    }
}

static enum reeve_state state_by_row(int rule, const struct facts *facts, const struct reeve_fold_input *input)
{
    switch (rule) {
    case 1:
        return input->process.state;
    case 3:
    case 8:
        return REEVE_STATE_LOST;
    case 0:
    case 6:
        return REEVE_STATE_UNKNOWN;
    case 7:
        return facts->worker.left ? REEVE_STATE_STOPPED : REEVE_STATE_RUNNING;
    default:
        return REEVE_STATE_RUNNING;
    }
}

static enum reeve_availability availability_by_row(int rule, const struct facts *facts,
                                                   const struct reeve_fold_input *input)
{
    if (rule != 2 && rule != 5 && rule != 7) {
        return REEVE_AVAILABILITY_NONE;
    }
    return facts->worker.left ? REEVE_AVAILABILITY_OFFLINE : input->worker_status.availability;
}

// ---- the properties -------------------------------------------------------------------------------------

static bool same_verdict(const struct reeve_verdict *a, const struct reeve_verdict *b)
{
    return a->state == b->state && a->availability == b->availability && a->source == b->source &&
           a->unsupervised == b->unsupervised && a->last_known == b->last_known && a->rule == b->rule &&
           strcmp(a->why, b->why) == 0;
}

static void print_witness(const char *name, const struct reeve_witness *w)
{
    print_error("  %s: present=%d goodbye=%d epoch=%d arrived=%d heartbeat=%d run=%d\n", name, w->present, w->goodbye,
                (int)w->epoch, (int)w->arrived, (int)w->heartbeat_ms, (int)w->run);
}

static void print_input(const struct reeve_fold_input *input, int64_t now)
{
    const struct reeve_process_witness *p = &input->process;
    print_error("  now=%d disconnected=%d reconnected=%d grace=%d\n", (int)now, (int)input->disconnected,
                (int)input->reconnected, (int)input->grace_ms);
    print_witness("node_status", &input->node_status);
    print_witness("node_lwt", &input->node_lwt);
    print_witness("worker_status", &input->worker_status);
    print_witness("worker_lwt", &input->worker_lwt);
    print_error("  process: present=%d %s speaks=%d run=%d run_arrived=%d\n", p->present, reeve_state_text(p->state),
                p->speaks, (int)p->run, (int)p->run_arrived);
}

static void check_against_model(const struct reeve_fold_input *input, int64_t now, const struct reeve_verdict *verdict)
{
    struct facts facts = facts_of(input, now);
    int rows = 0;
    for (int rule = 0; rule <= 8; rule++) {
        rows += row_holds(rule, &facts);
    }
    bool agrees = rows == 1 && row_holds(verdict->rule, &facts) &&
                  verdict->state == state_by_row(verdict->rule, &facts, input) &&
                  verdict->availability == availability_by_row(verdict->rule, &facts, input) &&
                  verdict->unsupervised == (verdict->rule == 5) &&
                  (verdict->source == REEVE_SOURCE_INFERRED) == (verdict->rule == 0 || verdict->rule == 6);
    if (!agrees) {
        print_input(input, now);
        fail_msg("the model (%d rows hold) disagrees with rule %d: %s", rows, verdict->rule,
                 reeve_state_text(verdict->state));
    }
}

static void check_stays_until_next_look(const struct reeve_fold_input *input, int64_t now,
                                        const struct reeve_verdict *verdict)
{
    assert_true(verdict->next_look == 0 || verdict->next_look > now);
    int64_t until = verdict->next_look == 0 ? now + 3 * TIME_MAX : verdict->next_look;
    for (int64_t later = now + 1; later < until; later++) {
        struct reeve_verdict then = reeve_fold(input, later);
        if (!same_verdict(verdict, &then)) {
            print_input(input, now);
            fail_msg("next_look %d, but the verdict changes at %d", (int)verdict->next_look, (int)later);
        }
    }
}

static void random_inputs_fold_as_the_model_says(void **state)
{
    (void)state;
    struct dice dice = {dice_seed()};
    int seen[9] = {0};
    for (int round = 0; round < 15000; round++) {
        struct reeve_fold_input input = random_input(&dice);
        int64_t now = TIME_MAX / 2 + dice_below(&dice, TIME_MAX);
        struct reeve_verdict verdict = reeve_fold(&input, now);
        check_against_model(&input, now, &verdict);
        check_stays_until_next_look(&input, now, &verdict);
        seen[verdict.rule]++;
    }
    for (size_t rule = 0; rule < REEVE_ARRAY_LEN(seen); rule++) {
        assert_true(seen[rule] > 25); // the dice reach every row
    }
}

// [fold-9] in any order of arrival: a will or status below the newest of its topic changes no verdict.
static void an_older_record_changes_no_verdict(void **state)
{
    (void)state;
    struct dice dice = {dice_seed()};
    for (int round = 0; round < 15000; round++) {
        struct reeve_fold_input input = random_input(&dice);
        struct reeve_witness *const slots[] = {&input.node_status, &input.node_lwt, &input.worker_status,
                                               &input.worker_lwt};
        unsigned which = dice_below(&dice, 4);
        struct reeve_witness older = random_witness(&dice, which % 2 == 1);
        older.present = true;
        older.epoch = dice_below(&dice, EPOCH_MAX);
        slots[which]->epoch = older.epoch + 1;
        older.arrived = slots[which]->arrived + dice_below(&dice, 3); // well within the time to live
        int64_t now = TIME_MAX + dice_below(&dice, TIME_MAX);
        struct reeve_verdict before = reeve_fold(&input, now);
        assert_false(reeve_fold_take(&input, slots[which], &older));
        assert_int_equal(input.stale_counts, 1);
        struct reeve_verdict after = reeve_fold(&input, now);
        assert_true(same_verdict(&before, &after) && before.next_look == after.next_look);
    }
}

// A session reborn with a higher epoch speaks again, whatever was known before [session-9].
static void a_birth_heals_everything(void **state)
{
    (void)state;
    struct dice dice = {dice_seed()};
    for (int round = 0; round < 20000; round++) {
        struct reeve_fold_input input = random_input(&dice);
        int64_t now = 2 * TIME_MAX;
        struct reeve_witness birth = {.present = true, .epoch = EPOCH_MAX + 1, .arrived = now, .heartbeat_ms = 20};
        assert_true(reeve_fold_take(&input, &input.node_status, &birth));
        birth.run = RUN_MAX;
        birth.availability = REEVE_AVAILABILITY_IDLE;
        assert_true(reeve_fold_take(&input, &input.worker_status, &birth));
        input.process.state = REEVE_STATE_RUNNING;
        struct reeve_verdict verdict = reeve_fold(&input, now);
        assert_int_equal(verdict.state, REEVE_STATE_RUNNING);
        assert_int_equal(verdict.availability, REEVE_AVAILABILITY_IDLE);
        assert_int_equal(verdict.rule, input.process.present ? 2 : 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_inputs_fold_as_the_model_says),
        cmocka_unit_test(an_older_record_changes_no_verdict),
        cmocka_unit_test(a_birth_heals_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
