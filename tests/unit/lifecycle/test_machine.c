// Every cell of the machine, against a list written by event and not by state, as text: a second pair of eyes.
// Also: the table's own text, and that docs/lifecycle.md shows it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/lifecycle.h>
#include <reeve/str.h>

// states events [if flag] : to changes...   The first line that matches counts.
// w t f: wanted, then_start, failing; the last two are gone outside of stopping without being said.
static const char *const expected[] = {
    "created,stopped start,restart : starting w+ forget_failures spawn",
    "starting start : starting w+",
    "running start : running w+",
    "starting,running restart : stopping w+ t+ signal_stop",
    "stopping start,restart if w : stopping t+ f-",
    "stopping start,restart : stopping w+ t+ f- forget_failures",
    "restarting start,restart : starting w+ disarm_backoff spawn",
    "failed start,restart : reject",

    "created,stopped,failed stop,kill : stopped w-",
    "restarting stop,kill : stopped w- disarm_backoff",
    "starting,running stop : stopping w- signal_stop",
    "starting,running kill : stopping w- signal_kill",
    "stopping stop : stopping w- t- f-",
    "stopping kill : stopping w- t- f- signal_kill",

    "created reset : created forget_failures",
    "starting reset : starting forget_failures",
    "running reset : running forget_failures",
    "stopping reset : stopping forget_failures",
    "stopped reset : stopped forget_failures",
    "restarting reset : starting disarm_backoff forget_failures spawn",
    "failed reset if w : starting forget_failures spawn",
    "failed reset : stopped forget_failures",

    "starting ready : running",
    "created,running,stopping,stopped,restarting,failed ready : stay",
    "starting ready_timeout : stopping f+ signal_stop",
    "created,running,stopping,stopped,restarting,failed ready_timeout : stay",

    "starting,running exit_again : restarting arm_backoff",
    "starting,running exit_final : stopped",
    "starting,running exit_gave_up : failed",
    "stopping exit_again,exit_final,exit_gave_up if t : starting spawn",
    "stopping exit_again if f : restarting arm_backoff",
    "stopping exit_gave_up if f : failed",
    "stopping exit_again,exit_final,exit_gave_up : stopped",
    "created,stopped,restarting,failed exit_again,exit_final,exit_gave_up : stay",

    "restarting backoff_over : starting spawn",
    "created,starting,running,stopping,stopped,failed backoff_over : stay",
};
static unsigned used[REEVE_ARRAY_LEN(expected)];

static const char *const effect_words[] = {"disarm_backoff", "arm_backoff", "forget_failures",
                                           "signal_stop",    "signal_kill", "spawn"};

struct row {
    char states[120], events[80], guard, changes[120];
};

static struct row row_of(const char *line)
{
    struct row row = {0};
    if (sscanf(line, "%119s %79s if %c : %119[^\n]", row.states, row.events, &row.guard, row.changes) != 4) {
        row.guard = 0;
        assert_int_equal(sscanf(line, "%119s %79s : %119[^\n]", row.states, row.events, row.changes), 3);
    }
    return row;
}

static bool listed(const char *list, const char *word, char separator)
{
    size_t len = strlen(word);
    for (const char *at = strstr(list, word); at; at = strstr(at + 1, word)) {
        bool begins = at == list || at[-1] == separator;
        if (begins && (at[len] == separator || at[len] == 0)) {
            return true;
        }
    }
    return false;
}

static bool flag_of(const struct reeve_machine *machine, char flag)
{
    return flag == 'w' ? machine->wanted : flag == 't' ? machine->then_start : machine->failing;
}

static struct row row_for(const struct reeve_machine *machine, enum reeve_event event)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(expected); i++) {
        struct row row = row_of(expected[i]);
        bool here = listed(row.states, reeve_state_text(machine->state), ',') &&
                    listed(row.events, reeve_event_text(event), ',');
        if (here && (row.guard == 0 || flag_of(machine, row.guard))) {
            used[i]++;
            return row;
        }
    }
    fail_msg("no line for %s %s", reeve_state_text(machine->state), reeve_event_text(event));
    return (struct row){0};
}

static void change_flag(bool *flag, const char *changes, const char *on, const char *off)
{
    *flag = (*flag || listed(changes, on, ' ')) && !listed(changes, off, ' ');
}

// What the list says that becomes of `machine`; effects through *ret_effects.
static struct reeve_machine as_listed(struct reeve_machine machine, const struct row *row, unsigned *ret_effects)
{
    char to[20] = "";
    *ret_effects = 0;
    if (reeve_str_eq(row->changes, "stay") || reeve_str_eq(row->changes, "reject")) {
        return machine;
    }
    assert_int_equal(sscanf(row->changes, "%19s", to), 1);
    assert_true(reeve_state_parse(to, &machine.state));
    change_flag(&machine.wanted, row->changes, "w+", "w-");
    change_flag(&machine.then_start, row->changes, "t+", "t-");
    change_flag(&machine.failing, row->changes, "f+", "f-");
    machine.then_start &= machine.state == REEVE_STATE_STOPPING;
    machine.failing &= machine.state == REEVE_STATE_STOPPING;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(effect_words); i++) {
        *ret_effects |= listed(row->changes, effect_words[i], ' ') ? 1U << i : 0;
    }
    return machine;
}

static void check_cell(struct reeve_machine machine, enum reeve_event event)
{
    struct row row = row_for(&machine, event);
    unsigned effects = 0;
    struct reeve_machine want = as_listed(machine, &row, &effects);
    struct reeve_machine got = machine;
    struct reeve_step step = reeve_machine_step(&got, event);
    if (got.state != want.state || got.wanted != want.wanted || got.then_start != want.then_start ||
        got.failing != want.failing || step.effects != effects) {
        fail_msg("%s %s: got %s w%d t%d f%d effects %#x, want %s w%d t%d f%d effects %#x",
                 reeve_state_text(machine.state), reeve_event_text(event), reeve_state_text(got.state), got.wanted,
                 got.then_start, got.failing, step.effects, reeve_state_text(want.state), want.wanted, want.then_start,
                 want.failing, effects);
    }
    bool rejected = reeve_str_eq(row.changes, "reject");
    assert_int_equal(step.err, rejected ? REEVE_CONFLICT : REEVE_OK);
    assert_int_equal(step.reason != NULL, rejected);
    assert_int_equal(step.from, machine.state);
    assert_int_equal(step.changed, want.state != machine.state);
}

static void every_cell_does_what_the_list_says(void **state)
{
    (void)state;
    int cells = 0;
    for (int s = 0; s < REEVE_STATE_MACHINE_COUNT; s++) {
        for (int e = 0; e < REEVE_EVENT_COUNT; e++) {
            cells++;
            // then_start and failing exist in stopping only.
            for (unsigned flags = 0; flags < (s == REEVE_STATE_STOPPING ? 8 : 2); flags++) {
                struct reeve_machine machine = {.state = (enum reeve_state)s,
                                                .wanted = (flags & 1) != 0,
                                                .then_start = (flags & 2) != 0,
                                                .failing = (flags & 4) != 0};
                check_cell(machine, (enum reeve_event)e);
            }
        }
    }
    assert_int_equal(cells, 77);
}

static void every_line_of_the_list_was_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(expected); i++) {
        if (used[i] == 0) {
            fail_msg("line is never reached: %s", expected[i]);
        }
    }
}

static void a_refusal_points_to_reset(void **state)
{
    (void)state;
    struct reeve_machine machine = {.state = REEVE_STATE_FAILED, .wanted = true};
    struct reeve_step step = reeve_machine_step(&machine, REEVE_EVENT_START);
    assert_int_equal(step.err, REEVE_CONFLICT);
    assert_string_equal(step.reason, "worker has failed; `reset` starts it afresh");
}

static void the_table_reads_as_text(void **state)
{
    (void)state;
    static const struct {
        enum reeve_state state;
        enum reeve_event event;
        const char *text;
    } lines[] = {
        {REEVE_STATE_CREATED, REEVE_EVENT_START, "created start -> starting [wanted, forget_failures, spawn]"},
        {REEVE_STATE_RUNNING, REEVE_EVENT_READY, "running ready: stay"},
        {REEVE_STATE_STOPPING, REEVE_EVENT_KILL,
         "stopping kill -> stopping [!wanted, !then_start, !failing, signal_kill]"},
        {REEVE_STATE_FAILED, REEVE_EVENT_RESTART,
         "failed restart: reject (worker has failed; `reset` starts it afresh)"},
        {REEVE_STATE_FAILED, REEVE_EVENT_STOP, "failed stop -> stopped [!wanted]"},
        {REEVE_STATE_STOPPING, REEVE_EVENT_EXIT_AGAIN,
         "stopping exit_again -> starting [spawn] if then_start, -> restarting [arm_backoff] if failing, else -> "
         "stopped"},
    };
    char buf[REEVE_MACHINE_CELL_TEXT_LEN];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lines); i++) {
        assert_string_equal(reeve_machine_cell_text(lines[i].state, lines[i].event, buf, sizeof(buf)), lines[i].text);
    }
    assert_null(reeve_machine_cell_text(REEVE_STATE_LOST, REEVE_EVENT_START, buf, sizeof(buf)));
    assert_null(reeve_machine_cell_text(REEVE_STATE_CREATED, REEVE_EVENT_COUNT, buf, sizeof(buf)));
}

static void text_is_cut_at_the_buffer(void **state)
{
    (void)state;
    char buf[16];
    memset(buf, 'x', sizeof(buf));
    assert_string_equal(reeve_machine_cell_text(REEVE_STATE_CREATED, REEVE_EVENT_START, buf, 12), "created sta");
    assert_int_equal(buf[12], 'x');
}

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    static char text[65536];
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file); /* only read */
    assert_true(len > 0 && len < sizeof(text) - 1);
    text[len] = 0;
    return text;
}

static void the_documentation_shows_every_cell(void **state)
{
    (void)state;
    const char *docs = file_text(REEVE_SOURCE_DIR "/docs/lifecycle.md");
    for (int s = 0; s < REEVE_STATE_MACHINE_COUNT; s++) {
        for (int e = 0; e < REEVE_EVENT_COUNT; e++) {
            char line[REEVE_MACHINE_CELL_TEXT_LEN + 2] = "\n";
            (void)reeve_machine_cell_text((enum reeve_state)s, (enum reeve_event)e, line + 1,
                                          sizeof(line) - 2); /* never NULL here */
            assert_true(strlen(line) < REEVE_MACHINE_CELL_TEXT_LEN - 1);
            (void)strcat(line, "\n"); /* room was kept */
            if (!strstr(docs, line)) {
                fail_msg("docs/lifecycle.md lacks:%s", line);
            }
        }
    }
}

static void the_documentation_shows_the_preset_schedule(void **state)
{
    (void)state;
    const struct reeve_backoff_policy preset = REEVE_BACKOFF_PRESET;
    char buf[REEVE_BACKOFF_SCHEDULE_LEN];
    const char *docs = file_text(REEVE_SOURCE_DIR "/docs/lifecycle.md");
    assert_non_null(strstr(docs, reeve_backoff_schedule(&preset, buf, sizeof(buf))));
}

// `docs` as argument: print the table as docs/lifecycle.md has it.
static int print_table(void)
{
    char buf[REEVE_MACHINE_CELL_TEXT_LEN];
    for (int s = 0; s < REEVE_STATE_MACHINE_COUNT; s++) {
        for (int e = 0; e < REEVE_EVENT_COUNT; e++) {
            puts(reeve_machine_cell_text((enum reeve_state)s, (enum reeve_event)e, buf, sizeof(buf)));
        }
        puts("");
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && reeve_str_eq(argv[1], "docs")) {
        return print_table();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_does_what_the_list_says),
        cmocka_unit_test(every_line_of_the_list_was_needed),
        cmocka_unit_test(a_refusal_points_to_reset),
        cmocka_unit_test(the_table_reads_as_text),
        cmocka_unit_test(text_is_cut_at_the_buffer),
        cmocka_unit_test(the_documentation_shows_every_cell),
        cmocka_unit_test(the_documentation_shows_the_preset_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
