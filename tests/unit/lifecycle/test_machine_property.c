// The machine against a simulated process under random schedules, and under every pair and triple of commands.
// What must hold are the invariants that lifecycle.h lists, not what any single cell says.
// A failure prints its seed and the schedule that led to it; REEVE_TEST_SEED runs it again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include <reeve/lifecycle.h>

#include "dice.h"

#define TRACE_MAX 400

struct sim {
    struct reeve_machine machine;
    bool process;   // exists
    bool armed;     // the back-off timer
    bool signalled; // the process was told to end
    enum reeve_event trace[TRACE_MAX];
    size_t trace_len;
};

static void sim_fail(const struct sim *sim, const char *what)
{
    for (size_t i = 0; i < sim->trace_len; i++) {
        print_error("%s ", reeve_event_text(sim->trace[i]));
    }
    fail_msg("%s; in %s wanted=%d process=%d armed=%d", what, reeve_state_text(sim->machine.state), sim->machine.wanted,
             sim->process, sim->armed);
}

static void require(const struct sim *sim, bool holds, const char *what)
{
    if (!holds) {
        sim_fail(sim, what);
    }
}

static bool is_exit(enum reeve_event event)
{
    return event == REEVE_EVENT_EXIT_AGAIN || event == REEVE_EVENT_EXIT_FINAL || event == REEVE_EVENT_EXIT_GAVE_UP;
}

static void sim_effects(struct sim *sim, unsigned effects)
{
    if (effects & REEVE_EFFECT_DISARM_BACKOFF) {
        require(sim, sim->armed, "disarms what is not armed");
        sim->armed = false;
    }
    if (effects & REEVE_EFFECT_ARM_BACKOFF) {
        require(sim, !sim->armed, "arms twice");
        sim->armed = true;
    }
    if (effects & (REEVE_EFFECT_SIGNAL_STOP | REEVE_EFFECT_SIGNAL_KILL)) {
        require(sim, sim->process, "signals nobody");
        sim->signalled = true;
    }
    if (effects & REEVE_EFFECT_SPAWN) {
        require(sim, !sim->process, "invariant 1: spawns beside a process");
        sim->process = true;
        sim->signalled = false;
    }
}

static void sim_invariants(const struct sim *sim, enum reeve_state from, enum reeve_event event)
{
    const struct reeve_machine *machine = &sim->machine;
    bool stopping = machine->state == REEVE_STATE_STOPPING;
    require(sim, sim->process == reeve_state_has_process(machine->state), "invariant 1: process and state disagree");
    require(sim, sim->armed == (machine->state == REEVE_STATE_RESTARTING), "invariant 2: back-off and state disagree");
    bool leaves = event == REEVE_EVENT_RESET || event == REEVE_EVENT_STOP || event == REEVE_EVENT_KILL;
    require(sim, from != REEVE_STATE_FAILED || machine->state == REEVE_STATE_FAILED || leaves,
            "invariant 4: failed was left");
    require(sim, stopping || (!machine->then_start && !machine->failing), "a flag of stopping outlived it");
    require(sim, !(machine->then_start && machine->failing), "then_start and failing at once");
    require(sim, stopping == (sim->process && sim->signalled), "told to end and not stopping, or the reverse");
    bool needs = machine->state == REEVE_STATE_STARTING || machine->state == REEVE_STATE_RUNNING ||
                 machine->state == REEVE_STATE_RESTARTING;
    require(sim, machine->wanted || !needs, "goes on although it is not wanted");
}

static struct reeve_step sim_event(struct sim *sim, enum reeve_event event)
{
    if (sim->trace_len < TRACE_MAX) {
        sim->trace[sim->trace_len++] = event;
    }
    if (is_exit(event)) {
        sim->process = false;
        sim->signalled = false;
    }
    if (event == REEVE_EVENT_BACKOFF_OVER && sim->armed) {
        sim->armed = false;
    }
    struct reeve_step step = reeve_machine_step(&sim->machine, event);
    sim_effects(sim, step.effects);
    sim_invariants(sim, step.from, event);
    return step;
}

// Everything comes in that is on its way: exits of what was told to end, timers, readiness. Nothing fails any more.
static void sim_settle(struct sim *sim)
{
    for (int i = 0; i < 10; i++) {
        if (sim->process && sim->signalled) {
            (void)sim_event(sim, REEVE_EVENT_EXIT_AGAIN); /* its state is looked at after settling */
        } else if (sim->armed) {
            (void)sim_event(sim, REEVE_EVENT_BACKOFF_OVER); /* the same */
        } else if (sim->machine.state == REEVE_STATE_STARTING) {
            (void)sim_event(sim, REEVE_EVENT_READY); /* the same */
        }
    }
}

static const enum reeve_event commands[] = {REEVE_EVENT_START, REEVE_EVENT_STOP, REEVE_EVENT_KILL, REEVE_EVENT_RESTART};

static enum reeve_state asked_for(enum reeve_event command)
{
    bool run = command == REEVE_EVENT_START || command == REEVE_EVENT_RESTART;
    return run ? REEVE_STATE_RUNNING : REEVE_STATE_STOPPED;
}

// Invariant 3, with `last` the last command and whether it was refused.
static void check_last(struct sim *sim, enum reeve_event last, bool refused)
{
    sim_settle(sim);
    enum reeve_state want = refused ? REEVE_STATE_FAILED : asked_for(last);
    require(sim, sim->machine.state == want, "invariant 3: not where the last command wanted it");
    require(sim, refused || sim->machine.wanted == (want == REEVE_STATE_RUNNING), "invariant 3: `wanted` disagrees");
}

// ---- random schedules -------------------------------------------------------------------------------

// Of the world's events only those that can happen now; late ones (a timer or readiness of before) always can.
static enum reeve_event random_event(const struct sim *sim, struct dice *dice)
{
    for (;;) {
        enum reeve_event event = (enum reeve_event)dice_below(dice, REEVE_EVENT_COUNT);
        if (!is_exit(event) || sim->process) {
            return event;
        }
    }
}

static void random_schedules_keep_the_invariants(void **state)
{
    (void)state;
    struct dice dice = {dice_seed()};
    for (int round = 0; round < 20000; round++) {
        struct sim sim = {0};
        unsigned events = dice_below(&dice, 60);
        for (unsigned i = 0; i < events; i++) {
            (void)sim_event(&sim, random_event(&sim, &dice)); /* the invariants are checked inside */
        }
        enum reeve_event last = commands[dice_below(&dice, REEVE_ARRAY_LEN(commands))];
        struct reeve_step step = sim_event(&sim, last);
        check_last(&sim, last, step.err == REEVE_CONFLICT);
    }
}

static void stale_exits_do_nothing(void **state)
{
    (void)state;
    struct sim sim = {0};
    (void)sim_event(&sim, REEVE_EVENT_EXIT_GAVE_UP); /* no process: nothing */
    assert_int_equal(sim.machine.state, REEVE_STATE_CREATED);
}

// ---- every pair and triple of commands ----------------------------------------------------------------

// The ways into every state, with every set of flags that occurs.
static const struct {
    const char *name;
    size_t len;
    enum reeve_event events[6];
} beginnings[] = {
    {"created", 0, {0}},
    {"starting", 1, {REEVE_EVENT_START}},
    {"running", 2, {REEVE_EVENT_START, REEVE_EVENT_READY}},
    {"stopping", 2, {REEVE_EVENT_START, REEVE_EVENT_STOP}},
    {"stopping, then start", 2, {REEVE_EVENT_START, REEVE_EVENT_RESTART}},
    {"stopping, failing", 2, {REEVE_EVENT_START, REEVE_EVENT_READY_TIMEOUT}},
    {"stopped", 3, {REEVE_EVENT_START, REEVE_EVENT_STOP, REEVE_EVENT_EXIT_AGAIN}},
    {"finished", 2, {REEVE_EVENT_START, REEVE_EVENT_EXIT_FINAL}},
    {"restarting", 2, {REEVE_EVENT_START, REEVE_EVENT_EXIT_AGAIN}},
    {"failed", 2, {REEVE_EVENT_START, REEVE_EVENT_EXIT_GAVE_UP}},
};

static struct sim sim_begin(size_t which)
{
    struct sim sim = {0};
    for (size_t i = 0; i < beginnings[which].len; i++) {
        (void)sim_event(&sim, beginnings[which].events[i]); /* the invariants are checked inside */
    }
    return sim;
}

// Between two commands nothing happens, or the process ends, or everything settles.
enum between { BETWEEN_NOTHING, BETWEEN_EXIT, BETWEEN_SETTLED, BETWEEN_COUNT };

static void between(struct sim *sim, enum between what)
{
    if (what == BETWEEN_EXIT && sim->process) {
        (void)sim_event(sim, REEVE_EVENT_EXIT_AGAIN); /* the invariants are checked inside */
    } else if (what == BETWEEN_SETTLED) {
        sim_settle(sim);
    }
}

// `digits`: of `len` commands and what happens after each, in base 4 * 3.
static void run_sequence(size_t beginning, unsigned digits, int len)
{
    struct sim sim = sim_begin(beginning);
    enum reeve_event last = REEVE_EVENT_START;
    // Refused is only what comes in failed, and failed is left by stop and kill.
    bool failed = sim.machine.state == REEVE_STATE_FAILED;
    for (int i = 0; i < len; i++) {
        between(&sim, i == 0 ? BETWEEN_NOTHING : (enum between)(digits % BETWEEN_COUNT));
        digits /= BETWEEN_COUNT;
        last = commands[digits % REEVE_ARRAY_LEN(commands)];
        digits /= REEVE_ARRAY_LEN(commands);
        failed = failed && asked_for(last) == REEVE_STATE_RUNNING;
        struct reeve_step step = sim_event(&sim, last);
        require(&sim, (step.err == REEVE_CONFLICT) == failed, "refused, and should not be, or the reverse");
    }
    check_last(&sim, last, failed);
}

static void every_pair_and_triple_ends_where_the_last_command_wants(void **state)
{
    (void)state;
    for (size_t beginning = 0; beginning < REEVE_ARRAY_LEN(beginnings); beginning++) {
        unsigned all = 12;
        for (int len = 1; len <= 3; len++, all *= 12) {
            for (unsigned digits = 0; digits < all; digits++) {
                run_sequence(beginning, digits, len);
            }
        }
    }
}

static void the_beginnings_reach_every_state(void **state)
{
    (void)state;
    bool reached[REEVE_STATE_MACHINE_COUNT] = {false};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(beginnings); i++) {
        reached[sim_begin(i).machine.state] = true;
    }
    for (int s = 0; s < REEVE_STATE_MACHINE_COUNT; s++) {
        assert_true(reached[s]);
    }
}

static void stop_then_start_forgets_failures_however_far_the_stop_got(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct sim sim = sim_begin(2);
        unsigned effects = sim_event(&sim, REEVE_EVENT_STOP).effects;
        effects |= gone ? sim_event(&sim, REEVE_EVENT_EXIT_FINAL).effects : 0;
        effects |= sim_event(&sim, REEVE_EVENT_START).effects;
        assert_true(effects & REEVE_EFFECT_FORGET_FAILURES);
    }
}

static void start_again_and_again_while_restarting_forgets_nothing(void **state)
{
    (void)state;
    struct sim sim = sim_begin(8);
    assert_int_equal(sim.machine.state, REEVE_STATE_RESTARTING);
    assert_int_equal(sim_event(&sim, REEVE_EVENT_START).effects, REEVE_EFFECT_DISARM_BACKOFF | REEVE_EFFECT_SPAWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_keep_the_invariants),
        cmocka_unit_test(stale_exits_do_nothing),
        cmocka_unit_test(the_beginnings_reach_every_state),
        cmocka_unit_test(every_pair_and_triple_ends_where_the_last_command_wants),
        cmocka_unit_test(stop_then_start_forgets_failures_however_far_the_stop_got),
        cmocka_unit_test(start_again_and_again_while_restarting_forgets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
