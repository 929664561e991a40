// The worker state machine: one table [state][event], and the step through it.
// Every cell is written. What an event means in a state is read here and nowhere else.
// Must not: know what an effect does, or when an event is sent.
#include <assert.h>

#include <reeve/lifecycle.h>

#include "text.h"

enum cell_kind { CELL_UNWRITTEN, CELL_STAY, CELL_REJECT, CELL_GO }; // zero is what a forgotten cell would be
enum guard { ALWAYS, IF_WANTED, IF_THEN_START, IF_FAILING };
enum flag { KEEP, ON, OFF };

struct outcome {
    enum guard guard;
    enum reeve_state to;
    unsigned effects;
    enum flag wanted, then_start, failing; // the last two only mean something where `to` is STOPPING
};

// GO takes the first outcome whose guard holds. The last one is ALWAYS.
#define OUTCOMES_MAX 3
struct cell {
    enum cell_kind kind;
    const char *reason; // REJECT
    size_t outcomes_len;
    struct outcome outcomes[OUTCOMES_MAX];
};

// clang-format off
#define STAY               {.kind = CELL_STAY}
#define REJECT(text)       {.kind = CELL_REJECT, .reason = (text)}
#define GO(...)            {.kind = CELL_GO, .outcomes_len = 1, .outcomes = {{__VA_ARGS__}}}
#define GO2(a, b)          {.kind = CELL_GO, .outcomes_len = 2, .outcomes = {a, b}}
#define GO3(a, b, c)       {.kind = CELL_GO, .outcomes_len = 3, .outcomes = {a, b, c}}
#define WHEN(...)          {__VA_ARGS__}
// clang-format on

#define CREATED    .to = REEVE_STATE_CREATED
#define STARTING   .to = REEVE_STATE_STARTING
#define RUNNING    .to = REEVE_STATE_RUNNING
#define STOPPING   .to = REEVE_STATE_STOPPING
#define STOPPED    .to = REEVE_STATE_STOPPED
#define RESTARTING .to = REEVE_STATE_RESTARTING
#define FAILED     .to = REEVE_STATE_FAILED
#define WANTED     .wanted = ON
#define UNWANTED   .wanted = OFF
#define THEN_START .then_start = ON
#define FAILING    .failing = ON
// A command in stopping overrules what was to follow.
#define NOTHING_AFTER .then_start = OFF, .failing = OFF
#define START_AFTER   .then_start = ON, .failing = OFF

enum {
    DISARM = REEVE_EFFECT_DISARM_BACKOFF,
    ARM = REEVE_EFFECT_ARM_BACKOFF,
    FORGET = REEVE_EFFECT_FORGET_FAILURES,
    STOP_SIGNAL = REEVE_EFFECT_SIGNAL_STOP,
    KILL_SIGNAL = REEVE_EFFECT_SIGNAL_KILL,
    SPAWN = REEVE_EFFECT_SPAWN,
};
#define DO(bits) .effects = (bits)

#define FAILED_REASON "worker has failed; `reset` starts it afresh"

// clang-format off
static const struct cell table[][REEVE_EVENT_COUNT] = {
    [REEVE_STATE_CREATED] = {
        [REEVE_EVENT_START]         = GO(STARTING, WANTED, DO(FORGET | SPAWN)),
        [REEVE_EVENT_STOP]          = GO(STOPPED, UNWANTED),
        [REEVE_EVENT_KILL]          = GO(STOPPED, UNWANTED),
        [REEVE_EVENT_RESTART]       = GO(STARTING, WANTED, DO(FORGET | SPAWN)),
        [REEVE_EVENT_RESET]         = GO(CREATED, DO(FORGET)),
        [REEVE_EVENT_READY]         = STAY,
        [REEVE_EVENT_READY_TIMEOUT] = STAY,
        [REEVE_EVENT_EXIT_AGAIN]    = STAY,
        [REEVE_EVENT_EXIT_FINAL]    = STAY,
        [REEVE_EVENT_EXIT_GAVE_UP]  = STAY,
        [REEVE_EVENT_BACKOFF_OVER]  = STAY,
    },
    [REEVE_STATE_STARTING] = {
        [REEVE_EVENT_START]         = GO(STARTING, WANTED),
        [REEVE_EVENT_STOP]          = GO(STOPPING, UNWANTED, DO(STOP_SIGNAL)),
        [REEVE_EVENT_KILL]          = GO(STOPPING, UNWANTED, DO(KILL_SIGNAL)),
        [REEVE_EVENT_RESTART]       = GO(STOPPING, WANTED, THEN_START, DO(STOP_SIGNAL)),
        [REEVE_EVENT_RESET]         = GO(STARTING, DO(FORGET)),
        [REEVE_EVENT_READY]         = GO(RUNNING),
        [REEVE_EVENT_READY_TIMEOUT] = GO(STOPPING, FAILING, DO(STOP_SIGNAL)),
        [REEVE_EVENT_EXIT_AGAIN]    = GO(RESTARTING, DO(ARM)),
        [REEVE_EVENT_EXIT_FINAL]    = GO(STOPPED),
        [REEVE_EVENT_EXIT_GAVE_UP]  = GO(FAILED),
        [REEVE_EVENT_BACKOFF_OVER]  = STAY,
    },
    [REEVE_STATE_RUNNING] = {
        [REEVE_EVENT_START]         = GO(RUNNING, WANTED),
        [REEVE_EVENT_STOP]          = GO(STOPPING, UNWANTED, DO(STOP_SIGNAL)),
        [REEVE_EVENT_KILL]          = GO(STOPPING, UNWANTED, DO(KILL_SIGNAL)),
        [REEVE_EVENT_RESTART]       = GO(STOPPING, WANTED, THEN_START, DO(STOP_SIGNAL)),
        [REEVE_EVENT_RESET]         = GO(RUNNING, DO(FORGET)),
        [REEVE_EVENT_READY]         = STAY,
        [REEVE_EVENT_READY_TIMEOUT] = STAY,
        [REEVE_EVENT_EXIT_AGAIN]    = GO(RESTARTING, DO(ARM)),
        [REEVE_EVENT_EXIT_FINAL]    = GO(STOPPED),
        [REEVE_EVENT_EXIT_GAVE_UP]  = GO(FAILED),
        [REEVE_EVENT_BACKOFF_OVER]  = STAY,
    },
    [REEVE_STATE_STOPPING] = {
        // Told to stop and then to start: failures are forgotten as from stopped, however far the stop has got.
        [REEVE_EVENT_START]         = GO2(WHEN(.guard = IF_WANTED, STOPPING, START_AFTER),
                                          WHEN(STOPPING, WANTED, START_AFTER, DO(FORGET))),
        [REEVE_EVENT_STOP]          = GO(STOPPING, UNWANTED, NOTHING_AFTER),
        [REEVE_EVENT_KILL]          = GO(STOPPING, UNWANTED, NOTHING_AFTER, DO(KILL_SIGNAL)),
        [REEVE_EVENT_RESTART]       = GO2(WHEN(.guard = IF_WANTED, STOPPING, START_AFTER),
                                          WHEN(STOPPING, WANTED, START_AFTER, DO(FORGET))),
        [REEVE_EVENT_RESET]         = GO(STOPPING, DO(FORGET)),
        [REEVE_EVENT_READY]         = STAY,
        [REEVE_EVENT_READY_TIMEOUT] = STAY,
        [REEVE_EVENT_EXIT_AGAIN]    = GO3(WHEN(.guard = IF_THEN_START, STARTING, DO(SPAWN)),
                                          WHEN(.guard = IF_FAILING, RESTARTING, DO(ARM)),
                                          WHEN(STOPPED)),
        [REEVE_EVENT_EXIT_FINAL]    = GO2(WHEN(.guard = IF_THEN_START, STARTING, DO(SPAWN)),
                                          WHEN(STOPPED)),
        [REEVE_EVENT_EXIT_GAVE_UP]  = GO3(WHEN(.guard = IF_THEN_START, STARTING, DO(SPAWN)),
                                          WHEN(.guard = IF_FAILING, FAILED),
                                          WHEN(STOPPED)),
        [REEVE_EVENT_BACKOFF_OVER]  = STAY,
    },
    [REEVE_STATE_STOPPED] = {
        [REEVE_EVENT_START]         = GO(STARTING, WANTED, DO(FORGET | SPAWN)),
        [REEVE_EVENT_STOP]          = GO(STOPPED, UNWANTED),
        [REEVE_EVENT_KILL]          = GO(STOPPED, UNWANTED),
        [REEVE_EVENT_RESTART]       = GO(STARTING, WANTED, DO(FORGET | SPAWN)),
        [REEVE_EVENT_RESET]         = GO(STOPPED, DO(FORGET)),
        [REEVE_EVENT_READY]         = STAY,
        [REEVE_EVENT_READY_TIMEOUT] = STAY,
        [REEVE_EVENT_EXIT_AGAIN]    = STAY,
        [REEVE_EVENT_EXIT_FINAL]    = STAY,
        [REEVE_EVENT_EXIT_GAVE_UP]  = STAY,
        [REEVE_EVENT_BACKOFF_OVER]  = STAY,
    },
    [REEVE_STATE_RESTARTING] = {
        // At once, but the failures stay counted: asking again and again is no way round the limit.
        [REEVE_EVENT_START]         = GO(STARTING, WANTED, DO(DISARM | SPAWN)),
        [REEVE_EVENT_STOP]          = GO(STOPPED, UNWANTED, DO(DISARM)),
        [REEVE_EVENT_KILL]          = GO(STOPPED, UNWANTED, DO(DISARM)),
        [REEVE_EVENT_RESTART]       = GO(STARTING, WANTED, DO(DISARM | SPAWN)),
        [REEVE_EVENT_RESET]         = GO(STARTING, DO(DISARM | FORGET | SPAWN)),
        [REEVE_EVENT_READY]         = STAY,
        [REEVE_EVENT_READY_TIMEOUT] = STAY,
        [REEVE_EVENT_EXIT_AGAIN]    = STAY,
        [REEVE_EVENT_EXIT_FINAL]    = STAY,
        [REEVE_EVENT_EXIT_GAVE_UP]  = STAY,
        [REEVE_EVENT_BACKOFF_OVER]  = GO(STARTING, DO(SPAWN)),
    },
    [REEVE_STATE_FAILED] = {
        [REEVE_EVENT_START]         = REJECT(FAILED_REASON),
        [REEVE_EVENT_STOP]          = GO(STOPPED, UNWANTED),
        [REEVE_EVENT_KILL]          = GO(STOPPED, UNWANTED),
        [REEVE_EVENT_RESTART]       = REJECT(FAILED_REASON),
        [REEVE_EVENT_RESET]         = GO2(WHEN(.guard = IF_WANTED, STARTING, DO(FORGET | SPAWN)),
                                          WHEN(STOPPED, DO(FORGET))),
        [REEVE_EVENT_READY]         = STAY,
        [REEVE_EVENT_READY_TIMEOUT] = STAY,
        [REEVE_EVENT_EXIT_AGAIN]    = STAY,
        [REEVE_EVENT_EXIT_FINAL]    = STAY,
        [REEVE_EVENT_EXIT_GAVE_UP]  = STAY,
        [REEVE_EVENT_BACKOFF_OVER]  = STAY,
    },
};
// clang-format on
static_assert(REEVE_ARRAY_LEN(table) == REEVE_STATE_MACHINE_COUNT, "a row per state of the machine");

static bool guard_holds(enum guard guard, const struct reeve_machine *machine)
{
    switch (guard) {
    case IF_WANTED:
        return machine->wanted;
    case IF_THEN_START:
        return machine->then_start;
    case IF_FAILING:
        return machine->failing;
    case ALWAYS:
        break;
    }
    return true;
}

static const struct outcome *cell_outcome(const struct cell *cell, const struct reeve_machine *machine)
{
    size_t i = 0;
    while (i + 1 < cell->outcomes_len && !guard_holds(cell->outcomes[i].guard, machine)) {
        i++;
    }
    return &cell->outcomes[i];
}

static bool flag_apply(enum flag flag, bool was)
{
    return flag == KEEP ? was : flag == ON;
}

static void outcome_apply(const struct outcome *outcome, struct reeve_machine *machine)
{
    bool stopping = outcome->to == REEVE_STATE_STOPPING;
    machine->state = outcome->to;
    machine->wanted = flag_apply(outcome->wanted, machine->wanted);
    machine->then_start = stopping && flag_apply(outcome->then_start, machine->then_start);
    machine->failing = stopping && flag_apply(outcome->failing, machine->failing);
}

struct reeve_step reeve_machine_step(struct reeve_machine *machine, enum reeve_event event)
{
    REEVE_ASSERT(machine->state < REEVE_STATE_MACHINE_COUNT && event < REEVE_EVENT_COUNT);
    const struct cell *cell = &table[machine->state][event];
    struct reeve_step step = {.err = REEVE_OK, .from = machine->state};
    REEVE_ASSERT(cell->kind != CELL_UNWRITTEN);
    if (cell->kind == CELL_REJECT) {
        step.err = REEVE_CONFLICT;
        step.reason = cell->reason;
    } else if (cell->kind == CELL_GO) {
        const struct outcome *outcome = cell_outcome(cell, machine);
        outcome_apply(outcome, machine);
        step.effects = outcome->effects;
    }
    step.changed = machine->state != step.from;
    return step;
}

// ---- the table as text ----------------------------------------------------------------------------

static const char *const guard_texts[] = {
    [ALWAYS] = "", [IF_WANTED] = " if wanted", [IF_THEN_START] = " if then_start", [IF_FAILING] = " if failing"};

static const char *const effect_texts[] = {"disarm_backoff", "arm_backoff", "forget_failures",
                                           "signal_stop",    "signal_kill", "spawn"};
static_assert(REEVE_EFFECT_SPAWN == 1 << (REEVE_ARRAY_LEN(effect_texts) - 1), "a text per effect");

static void text_add_item(struct reeve_text *text, const char *item, bool *any)
{
    reeve_text_add(text, "%s%s", *any ? ", " : " [", item);
    *any = true;
}

static void text_add_flag(struct reeve_text *text, enum flag flag, const char *name, bool *any)
{
    if (flag == ON) {
        text_add_item(text, name, any);
    } else if (flag == OFF) {
        text_add_item(text, "!", any);
        reeve_text_add(text, "%s", name);
    }
}

static void text_add_outcome(struct reeve_text *text, const struct outcome *outcome)
{
    bool any = false;
    reeve_text_add(text, "-> %s", reeve_state_text(outcome->to));
    text_add_flag(text, outcome->wanted, "wanted", &any);
    text_add_flag(text, outcome->then_start, "then_start", &any);
    text_add_flag(text, outcome->failing, "failing", &any);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(effect_texts); i++) {
        if (outcome->effects & (1U << i)) {
            text_add_item(text, effect_texts[i], &any);
        }
    }
    reeve_text_add(text, "%s%s", any ? "]" : "", guard_texts[outcome->guard]);
}

static void text_add_cell(struct reeve_text *text, const struct cell *cell)
{
    if (cell->kind == CELL_REJECT) {
        reeve_text_add(text, ": reject (%s)", cell->reason);
        return;
    }
    if (cell->kind != CELL_GO) {
        reeve_text_add(text, "%s", cell->kind == CELL_STAY ? ": stay" : ": UNWRITTEN");
        return;
    }
    for (size_t i = 0; i < cell->outcomes_len; i++) {
        bool last = i > 0 && i + 1 == cell->outcomes_len;
        reeve_text_add(text, "%s", i == 0 ? " " : last ? ", else " : ", ");
        text_add_outcome(text, &cell->outcomes[i]);
    }
}

const char *reeve_machine_cell_text(enum reeve_state state, enum reeve_event event, char *buf, size_t buf_len)
{
    if (state >= REEVE_STATE_MACHINE_COUNT || event >= REEVE_EVENT_COUNT) {
        return NULL;
    }
    struct reeve_text text = {.buf = buf, .buf_len = buf_len};
    reeve_text_add(&text, "%s %s", reeve_state_text(state), reeve_event_text(event));
    text_add_cell(&text, &table[state][event]);
    return buf;
}
