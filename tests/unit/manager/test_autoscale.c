// The autoscaler: each rule by itself, a table worked out by hand, a recorded day against the list of a model written
// in another language, and random loads. Must not: look at a real clock.
#include "autoscale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <reeve/codec.h>
#include <stdio.h>

#define T     "template: {type: a}\n"
#define SEC   INT64_C(1000)
#define BEGIN (1000 * SEC) // of the monotonic clock

static struct reeve_errors errors;
static struct reeve_pool_spec pool;
static struct autoscale_state state;
static struct autoscale_input input;

static struct reeve_pool_spec pool_of_value(const struct reeve_value *value)
{
    struct reeve_pool_spec decoded;
    char text[600];
    reeve_errors_init(&errors, "f");
    if (reeve_pool_decode(value, "", &decoded, &errors) != REEVE_OK) {
        fail_msg("%s", reeve_error_format(&errors, 0, text, sizeof(text)));
    }
    return decoded;
}

// A fresh autoscaler of this pool, at size and ready `size`, nothing waiting.
static void begin(const char *yaml, int64_t size)
{
    REEVE_VALUE_AUTO value = NULL;
    char text[600];
    (void)snprintf(text, sizeof(text), "%s" T, yaml);
    assert_int_equal(reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &value, NULL), REEVE_OK);
    reeve_pool_done(&pool);
    pool = pool_of_value(value);
    memset(&state, 0, sizeof(state));
    input = (struct autoscale_input){.now_mono = BEGIN, .size = size, .ready = size, .known = true};
}

// Decides at BEGIN + `second` and carries it out.
static struct autoscale_decision decide_at(int64_t second)
{
    input.now_mono = BEGIN + second * SEC;
    struct autoscale_decision decision = autoscale_decide(&pool, &state, &input);
    assert_true((decision.kind == AUTOSCALE_NONE) == (decision.size == input.size));
    assert_true((decision.kind == AUTOSCALE_UP) == (decision.size > input.size));
    assert_true(strncmp(decision.reason, decision.kind == AUTOSCALE_NONE ? "nothing, because " : "scaled ",
                        strlen(decision.kind == AUTOSCALE_NONE ? "nothing, because " : "scaled ")) == 0);
    input.size = input.ready = decision.size;
    return decision;
}

static void says(int64_t second, int64_t size, const char *formula, const char *reason)
{
    struct autoscale_decision decision = decide_at(second);
    assert_string_equal(decision.reason, reason);
    assert_string_equal(decision.formula, formula);
    assert_int_equal(decision.size, size);
}

static void waiting_says(int64_t second, int64_t waiting, int64_t size, const char *formula, const char *reason)
{
    input.waiting = waiting;
    says(second, size, formula, reason);
}

// ---- rule by rule -------------------------------------------------------------------------------------------

// The presets: 1..10 workers, up above 50 waiting by at most 2, down below 5 by 1, cool-down 5 minutes. Worked out by
// hand.
static void the_presets_minute_by_minute(void **unused)
{
    (void)unused;
    begin("scaling: {}\n", 1);
    waiting_says(0, 0, 1, "waiting 0 < 5, 1 workers: -1", "nothing, because 1 is the floor");
    waiting_says(60, 5, 1, "waiting 5, from 5 to 50", "nothing, because 5 lies between 5 and 50");
    waiting_says(120, 50, 1, "waiting 50, from 5 to 50", "nothing, because 50 lies between 5 and 50");
    waiting_says(180, 51, 3, "waiting 51 > 50, 1 workers: +2", "scaled 1 -> 3");
    waiting_says(268, 120, 3, "waiting 120 > 50, 3 workers: +2", "nothing, because cooling down 212 s");
    waiting_says(479, 120, 3, "waiting 120 > 50, 3 workers: +2", "nothing, because cooling down 1 s");
    waiting_says(480, 120, 5, "waiting 120 > 50, 3 workers: +2", "scaled 3 -> 5");
    waiting_says(780, 120, 7, "waiting 120 > 50, 5 workers: +2", "scaled 5 -> 7");
    waiting_says(1080, 120, 9, "waiting 120 > 50, 7 workers: +2", "scaled 7 -> 9");
    waiting_says(1380, 120, 10, "waiting 120 > 50, 9 workers: +2", "scaled 9 -> 10"); // at most 2
    waiting_says(1680, 120, 10, "waiting 120 > 50, 10 workers: +2", "nothing, because 10 is the ceiling");
    waiting_says(1690, 4, 9, "waiting 4 < 5, 10 workers: -1", "scaled 10 -> 9"); // 310 s after the last change
    waiting_says(1700, 4, 9, "waiting 4 < 5, 9 workers: -1", "nothing, because cooling down 290 s");
    waiting_says(1720, 60, 10, "waiting 60 > 50, 9 workers: +2", "scaled 9 -> 10"); // a step down holds back no step up
    waiting_says(1990, 0, 10, "waiting 0 < 5, 10 workers: -1",
                 "nothing, because cooling down 30 s"); // the other way it does
    waiting_says(2020, 0, 9, "waiting 0 < 5, 10 workers: -1", "scaled 10 -> 9");
}

static void a_pool_without_scaling_stays(void **unused)
{
    (void)unused;
    begin("size: 3\n", 3);
    waiting_says(0, 1000, 3, "", "nothing, because the pool has no scaling");
}

static void without_measurement_nothing_but_bounds(void **unused)
{
    (void)unused;
    begin("min: 2\nmax: 6\nscaling: {}\n", 4);
    input.known = false;
    waiting_says(0, 1000, 4, "", "nothing, because there is no measurement");
    input.size = 1;
    says(1, 2, "", "scaled 1 -> 2, the floor by min");
    input.size = 9;
    says(2, 6, "", "scaled 9 -> 6, the ceiling by max");
}

static void thresholds_of_the_other_metrics(void **unused)
{
    (void)unused;
    begin("scaling: {metric: age, up_above: 1m, down_below: 5s, cooldown: 0}\n", 2);
    input.waiting = 3;
    input.oldest_ms = 60001;
    says(0, 4, "oldest 1m1ms > 1m, 2 workers: +2", "scaled 2 -> 4");
    input.oldest_ms = 60000;
    says(1, 4, "oldest 1m, from 5s to 1m", "nothing, because 1m lies between 5s and 1m");
    input.oldest_ms = 4999;
    says(2, 3, "oldest 4s999ms < 5s, 4 workers: -1", "scaled 4 -> 3");

    begin("scaling: {metric: wait, up_above: 3s, down_below: 1s, cooldown: 0}\n", 4);
    input.service_ms = 500;
    waiting_says(0, 40, 6, "wait 40 x 500ms / 4 = 5s > 3s, 4 workers: +2", "scaled 4 -> 6");
    waiting_says(1, 24, 6, "wait 24 x 500ms / 6 = 2s, from 1s to 3s", "nothing, because 2s lies between 1s and 3s");
    waiting_says(2, 0, 5, "wait 0 x 500ms / 6 = 0 < 1s, 6 workers: -1", "scaled 6 -> 5");

    begin("scaling: {metric: utilisation, up_above: 0.8, down_below: 0.3, cooldown: 0}\n", 4);
    input.busy = 4;
    says(0, 6, "busy 4 / 4 = 1.00 > 0.80, 4 workers: +2", "scaled 4 -> 6");
    input.busy = 3;
    says(1, 6, "busy 3 / 6 = 0.50, from 0.30 to 0.80", "nothing, because 0.50 lies between 0.30 and 0.80");
    input.busy = 1;
    says(2, 5, "busy 1 / 6 = 0.17 < 0.30, 6 workers: -1", "scaled 6 -> 5");
}

static void a_metric_without_a_value(void **unused)
{
    (void)unused;
    begin("scaling: {metric: wait, up_above: 3s, down_below: 1s}\n", 4);
    waiting_says(0, 10, 4, "", "nothing, because the service time is not known yet");
    begin("scaling: {metric: utilisation, target: 0.7}\n", 4);
    input.ready = 0;
    says(0, 4, "", "nothing, because no worker is ready: there is no utilisation");
}

static void to_a_target(void **unused)
{
    (void)unused;
    begin("max: 20\nscaling: {target: 20, up_by: 20, down_by: 20, cooldown: 0}\n", 3);
    waiting_says(0, 120, 6, "waiting 120: ceil(120 / 20) = 6", "scaled 3 -> 6");
    waiting_says(1, 132, 6, "waiting 132: ceil(132 / 20) = 7",
                 "nothing, because the value is within 10% of the target");
    waiting_says(2, 133, 7, "waiting 133: ceil(133 / 20) = 7", "scaled 6 -> 7");
    waiting_says(3, 125, 7, "waiting 125: ceil(125 / 20) = 7", "nothing, because 7 is what is recommended");
    waiting_says(4, 41, 3, "waiting 41: ceil(41 / 20) = 3", "scaled 7 -> 3");
    waiting_says(5, INT64_MAX, 20, "waiting 9.22337203685e+18: ceil(9.22337203685e+18 / 20) = 10000", "scaled 3 -> 20");

    begin("max: 20\nscaling: {metric: age, target: 30s, up_by: 20, down_by: 20, cooldown: 0}\n", 3);
    input.waiting = 1;
    input.oldest_ms = 45000;
    says(0, 5, "oldest 45s: ceil(3 x 45s / 30s) = 5", "scaled 3 -> 5");
    input.oldest_ms = 33000;
    says(1, 5, "oldest 33s: ceil(5 x 33s / 30s) = 6", "nothing, because the value is within 10% of the target");

    begin("max: 20\nscaling: {metric: utilisation, target: 0.7, tolerance: 0, down_by: 9, cooldown: 0}\n", 12);
    input.busy = 7; // 12 x (7 / 12) / 0.7 is a little above 10 in doubles
    says(0, 10, "busy 7 / 12 = 0.58: ceil(12 x 0.58 / 0.70) = 10", "scaled 12 -> 10");
}

static void steps_bounds_and_cooldowns_of_each_direction(void **unused)
{
    (void)unused;
    begin("max: 20\nscaling: {target: 10, up_by: 3, down_by: 2, cooldown_up: 10s, cooldown_down: 1m}\n", 1);
    waiting_says(0, 200, 4, "waiting 200: ceil(200 / 10) = 20", "scaled 1 -> 4");
    waiting_says(9, 200, 4, "waiting 200: ceil(200 / 10) = 20", "nothing, because cooling down 1 s");
    waiting_says(10, 200, 7, "waiting 200: ceil(200 / 10) = 20", "scaled 4 -> 7");
    waiting_says(20, 20, 7, "waiting 20: ceil(20 / 10) = 2", "nothing, because cooling down 50 s");
    waiting_says(70, 20, 5, "waiting 20: ceil(20 / 10) = 2", "scaled 7 -> 5");
    waiting_says(129, 20, 5, "waiting 20: ceil(20 / 10) = 2", "nothing, because cooling down 1 s");
    waiting_says(130, 20, 3, "waiting 20: ceil(20 / 10) = 2", "scaled 5 -> 3");
}

static void a_broken_clock_cools_no_longer_than_a_cooldown(void **unused)
{
    (void)unused;
    begin("scaling: {}\n", 1);
    state.last_up_mono = BEGIN + 1000000 * SEC;
    input.waiting = 100;
    assert_int_equal(decide_at(0).wait_ms, 300 * SEC);
}

static void the_window_holds_back_the_way_down(void **unused)
{
    (void)unused;
    begin("scaling: {target: 10, down_by: 9, up_by: 9, cooldown: 0, stabilise: 1m}\n", 5);
    waiting_says(0, 20, 5, "waiting 20: ceil(20 / 10) = 2", "nothing, because 5 were recommended 0 s ago"); // fresh
    waiting_says(30, 40, 5, "waiting 40: ceil(40 / 10) = 4", "nothing, because 5 were recommended 30 s ago");
    waiting_says(61, 10, 4, "waiting 10: ceil(10 / 10) = 1", "scaled 5 -> 4"); // the highest that is left
    waiting_says(62, 90, 9, "waiting 90: ceil(90 / 10) = 9", "scaled 4 -> 9"); // up is not held back
    waiting_says(100, 10, 9, "waiting 10: ceil(10 / 10) = 1", "nothing, because 9 were recommended 38 s ago");
    input.known = false;
    waiting_says(110, 10, 9, "", "nothing, because there is no measurement");
    input.known = true;
    waiting_says(300, 10, 9, "waiting 10: ceil(10 / 10) = 1",
                 "nothing, because 9 were recommended 0 s ago"); // as fresh
    waiting_says(330, 10, 9, "waiting 10: ceil(10 / 10) = 1", "nothing, because 9 were recommended 30 s ago");
    waiting_says(361, 10, 1, "waiting 10: ceil(10 / 10) = 1", "scaled 9 -> 1");
}

static void a_long_window_has_room_for_every_tick(void **unused)
{
    (void)unused;
    begin("scaling: {target: 10, down_by: 9, up_by: 9, cooldown: 0, stabilise: 1d}\n", 1);
    input.waiting = 90;
    assert_int_equal(decide_at(0).size, 9);
    input.waiting = 10;
    for (int64_t second = 1; second <= 86400; second += 7) {
        assert_int_equal(decide_at(second).size, 9);
    }
    assert_int_equal(decide_at(86400 + 172).size, 1); // a bucket later at most
}

static void between_none_and_one(void **unused)
{
    (void)unused;
    begin("min: 0\nscaling: {cooldown: 0}\n", 0);
    waiting_says(0, 0, 0, "waiting 0 < 5, 0 workers: -1", "nothing, because 0 is what is recommended");
    input.busy = 1; // of those that are on their way out
    waiting_says(1, 0, 0, "waiting 0 < 5, 0 workers: -1", "nothing, because 0 is what is recommended");
    input.busy = 0;
    waiting_says(2, 1, 1, "waiting 1 < 5, 0 workers: -1; 1 waiting, no worker: +1", "scaled 0 -> 1");
    waiting_says(3, 1, 1, "waiting 1 < 5, 1 workers: -1; one stays while there is work",
                 "nothing, because the last worker stays while there is work");
    input.busy = 1;
    waiting_says(4, 0, 1, "waiting 0 < 5, 1 workers: -1; one stays while there is work",
                 "nothing, because the last worker stays while there is work");
    input.busy = 0;
    waiting_says(5, 0, 0, "waiting 0 < 5, 1 workers: -1", "scaled 1 -> 0");
    begin("min: 0\nscaling: {metric: utilisation, target: 0.7}\n", 0);
    waiting_says(0, 1, 1, "; 1 waiting, no worker: +1", "scaled 0 -> 1");
}

// ---- schedules ----------------------------------------------------------------------------------------------

static int64_t wall(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    assert_true(end != NULL && *end == '\0');
    return (int64_t)timegm(&tm) * 1000;
}

static void at_wall_says(const char *at, int64_t second, int64_t size, const char *reason)
{
    input.now_wall = wall(at);
    struct autoscale_decision decision = decide_at(second);
    assert_string_equal(decision.reason, reason);
    assert_int_equal(decision.size, size);
}

static void a_schedule_applies_at_once_and_only_while_it_lasts(void **unused)
{
    (void)unused;
    begin("max: 8\nscaling: {schedules: [{cron: '0 8 * * mon-fri', for: 10h, time_zone: Europe/Berlin, min: 4}]}\n", 1);
    input.waiting = 20;
    at_wall_says("2026-03-27T06:59:59Z", 0, 1, "nothing, because 20 lies between 5 and 50"); // Friday, 07:59:59
    at_wall_says("2026-03-27T07:00:00Z", 1, 4, "scaled 1 -> 4, the floor by schedule 0 8 * * mon-fri");
    input.waiting = 0;
    at_wall_says("2026-03-27T16:59:59Z", 36000, 4, "nothing, because 4 is the floor");
    at_wall_says("2026-03-27T17:00:00Z", 36001, 3, "scaled 4 -> 3");
    input.waiting = 20;
    at_wall_says("2026-03-29T08:00:00Z", 99999, 3, "nothing, because 20 lies between 5 and 50"); // Sunday
    at_wall_says("2026-03-30T06:00:00Z", 100000, 4,
                 "scaled 3 -> 4, the floor by schedule 0 8 * * mon-fri"); // summer time
}

static void a_floor_and_a_ceiling_need_neither_step_nor_cooldown(void **unused)
{
    (void)unused;
    begin(
        "max: 8\nscaling: {schedules: [{cron: '0 8 * * *', for: 1h, min: 7}, {cron: '0 9 * * *', for: 1h, max: 2}]}\n",
        1);
    input.waiting = 100;
    at_wall_says("2026-03-27T07:59:50Z", 0, 3, "scaled 1 -> 3");
    at_wall_says("2026-03-27T08:00:00Z", 10, 7, "scaled 3 -> 7, the floor by schedule 0 8 * * *");
    at_wall_says("2026-03-27T08:00:10Z", 20, 7, "nothing, because cooling down 290 s"); // from the change before
    at_wall_says("2026-03-27T09:00:00Z", 3610, 2, "scaled 7 -> 2, the ceiling by schedule 0 9 * * *");
    input.known = false;
    at_wall_says("2026-03-28T08:00:00Z", 99999, 7, "scaled 2 -> 7, the floor by schedule 0 8 * * *");
}

static void of_several_schedules_the_highest_counts(void **unused)
{
    (void)unused;
    begin(
        "max: 8\nscaling: {schedules: [{cron: '@daily', for: 1d, min: 3, max: 5}, {cron: '0 8 * * *', for: 1h, min: 6,"
        " max: 9}, {cron: '30 8 * * *', for: 10m, min: 0, max: 4}]}\n",
        3);
    input.now_wall = wall("2026-03-27T08:35:00Z");
    struct autoscale_decision decision = decide_at(0);
    assert_int_equal(decision.floor, 6);
    assert_int_equal(decision.ceiling, 9);
    assert_string_equal(decision.reason, "scaled 3 -> 6, the floor by schedule 0 8 * * *");
    // A floor above another's ceiling wins.
    begin("max: 8\nscaling: {schedules: [{cron: '@daily', for: 1d, max: 2}, {cron: '@daily', for: 1d, min: 7}]}\n", 1);
    input.now_wall = wall("2026-03-27T08:35:00Z");
    decision = decide_at(0);
    assert_int_equal(decision.floor, 7);
    assert_int_equal(decision.ceiling, 7);
}

// ---- a recorded day -----------------------------------------------------------------------------------------

// What a reason means, as the model calls it.
static const char *code_of(const struct autoscale_decision *decision)
{
    static const struct {
        const char *part, *code;
    } codes[] = {
        {"cooling down", "cooling"},       {"no measurement", "unknown"},  {"not known yet", "unknown"},
        {"no worker is ready", "unknown"}, {" lies between ", "between"},  {"of the target", "tolerance"},
        {"what is recommended", "same"},   {"were recommended", "window"}, {"is the ceiling", "ceiling"},
        {"is the floor", "floor"},         {"last worker stays", "last"},  {", the floor by", "bound"},
        {", the ceiling by", "bound"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(codes); i++) {
        if (strstr(decision->reason, codes[i].part) != NULL) {
            return codes[i].code;
        }
    }
    assert_int_not_equal(decision->kind, AUTOSCALE_NONE);
    return decision->kind == AUTOSCALE_UP ? "up" : "down";
}

static int64_t seconds_of(const char *clock)
{
    struct tm tm = {0};
    const char *end = strptime(clock, "%H:%M:%S", &tm);
    assert_true(end != NULL && *end == '\0');
    return (int64_t)tm.tm_hour * 3600 + (int64_t)tm.tm_min * 60 + tm.tm_sec;
}

static void input_of(const struct reeve_value *row)
{
    input.waiting = reeve_value_number(reeve_value_at(row, 1), 0);
    input.oldest_ms = reeve_value_number(reeve_value_at(row, 2), 0) * 1000;
    input.service_ms = reeve_value_number(reeve_value_at(row, 3), 0);
    int64_t busy = reeve_value_number(reeve_value_at(row, 4), 0);
    input.busy = busy < input.ready ? busy : input.ready;
    input.known = reeve_value_truth(reeve_value_at(row, 5), false);
}

static void put_line(const char *name, int64_t second, int64_t size, const struct autoscale_decision *decision,
                     struct reeve_buf *lines)
{
    reeve_buf_printf(lines, "%s %02d:%02d:%02d %d->%d of %d in %d..%d %s", name, (int)(second / 3600),
                     (int)(second / 60 % 60), (int)(second % 60), (int)size, (int)decision->size,
                     (int)decision->recommended, (int)decision->floor, (int)decision->ceiling, code_of(decision));
    if (decision->wait_ms > 0) {
        reeve_buf_printf(lines, " %ds", (int)(decision->wait_ms / 1000));
    }
    reeve_buf_puts(lines, "\n");
}

static void replay(const char *name, const struct reeve_value *day, struct reeve_buf *lines)
{
    const struct reeve_value *rows = reeve_value_get(day, "load");
    const char *code_before = "";
    int64_t before = 0;
    size_t row = 0;
    memset(&state, 0, sizeof(state));
    input = (struct autoscale_input){.size = pool.min};
    for (int64_t tick = 0; tick < reeve_get_int(day, "ticks", 0); tick++) {
        int64_t second = tick * reeve_get_int(day, "tick_s", 0);
        int64_t size = input.size;
        while (row + 1 < reeve_value_len(rows) &&
               seconds_of(reeve_value_text(reeve_value_at(reeve_value_at(rows, row + 1), 0))) <= second) {
            row++;
        }
        input.ready = size < before ? size : before;
        input.now_mono = BEGIN + second * SEC;
        input.now_wall = wall(reeve_get_str(day, "begin")) + second * SEC;
        input_of(reeve_value_at(rows, row));
        struct autoscale_decision decision = autoscale_decide(&pool, &state, &input);
        if (decision.size != size || strcmp(code_of(&decision), code_before) != 0) {
            put_line(name, second, size, &decision, lines);
        }
        code_before = code_of(&decision);
        before = size;
        input.size = decision.size;
    }
}

// The first lines that differ, for a person.
static void lines_are_equal(const char *have, const char *want)
{
    while (*have != '\0' || *want != '\0') {
        int have_len = (int)strcspn(have, "\n");
        int want_len = (int)strcspn(want, "\n");
        if (have_len != want_len || strncmp(have, want, (size_t)have_len) != 0) {
            fail_msg("%.*s\nexpected\n%.*s", have_len, have, want_len, want);
        }
        have += have_len + (have[have_len] != '\0');
        want += want_len + (want[want_len] != '\0');
    }
}

static void the_decisions_of_a_recorded_day_are_those_expected(void **unused)
{
    REEVE_VALUE_AUTO day = NULL;
    REEVE_BUF_AUTO lines = REEVE_BUF_INIT(0);
    static char expected[256 * 1024];
    struct reeve_why why = {0};
    (void)unused;
    if (reeve_file_read_value(FOLDER "/autoscale_load.json", &reeve_limits_file, &day, &why) != REEVE_OK) {
        fail_msg("%s: %s", why.place, why.text);
    }
    struct reeve_value *pools = reeve_value_get_mut(day, "pools");
    for (size_t i = 0; i < reeve_value_len(pools); i++) {
        struct reeve_value *spec = reeve_value_get_mut(pools, reeve_value_key(pools, i));
        struct reeve_value *template = reeve_value_map();
        reeve_put_str(template, "type", "a");
        assert_int_equal(reeve_value_put(spec, "template", template), REEVE_OK);
        reeve_pool_done(&pool);
        pool = pool_of_value(spec);
        replay(reeve_value_key(pools, i), day, &lines);
    }
    FILE *file = fopen(FOLDER "/autoscale_load.expected", "r");
    assert_non_null(file);
    expected[fread(expected, 1, sizeof(expected) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_true(strlen(expected) > 10000);
    lines_are_equal(reeve_buf_str(&lines), expected);
}

// ---- random loads -------------------------------------------------------------------------------------------

static uint64_t dice_state;

static unsigned dice(unsigned below)
{
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice_state >> 33) % below;
}

static void random_scaler(void)
{
    static const char *const metrics[] = {"up_above: 50, down_below: 5",
                                          "target: 20, tolerance: 0.2",
                                          "target: 7",
                                          "metric: age, up_above: 30s, down_below: 2s",
                                          "metric: wait, target: 10s",
                                          "metric: utilisation, target: 0.7"};
    char yaml[400];
    unsigned min = dice(4);
    (void)snprintf(yaml, sizeof(yaml),
                   "min: %u\nmax: %u\nscaling: {%s, up_by: %u, down_by: %u, cooldown_up: %us, cooldown_down: %us, "
                   "stabilise: %us%s}\n",
                   min, min + dice(15), metrics[dice(6)], 1 + dice(5), 1 + dice(5), dice(300), dice(300),
                   dice(2) ? dice(200) : 0,
                   dice(2) ? ", schedules: [{cron: '*/20 * * * *', for: 7m, min: 2, max: 18}]" : "");
    begin(yaml, min);
}

// Sizes recommended before, as the test remembers them.
static struct {
    int64_t at, size;
} told[4096];
static size_t told_len;

static void check_way_down(const struct autoscale_decision *decision)
{
    int64_t highest = decision->recommended;
    for (size_t i = 0; i < told_len; i++) {
        bool inside = input.now_mono - told[i].at <= pool.scaling.stabilise_ms;
        highest = inside && told[i].size > highest ? told[i].size : highest;
    }
    assert_true(pool.scaling.stabilise_ms == 0 || decision->size >= highest || decision->size == decision->floor ||
                decision->size == decision->ceiling);
}

static void check_decision(const struct autoscale_decision *decision, int64_t last_up, int64_t last_down, uint64_t seed)
{
    const struct reeve_pool_scaling *scaling = &pool.scaling;
    bool outside = input.size < decision->floor || input.size > decision->ceiling;
    bool up = decision->kind == AUTOSCALE_UP;
    int64_t since_up = last_up == 0 ? INT64_MAX : input.now_mono - last_up;
    int64_t since_down = last_down == 0 ? INT64_MAX : input.now_mono - last_down;
    bool right =
        decision->reason[0] != '\0' && decision->size >= decision->floor && decision->size <= decision->ceiling;
    if (outside) {
        right = right && decision->size == (up ? decision->floor : decision->ceiling);
    } else if (decision->kind == AUTOSCALE_NONE) {
        right = right && decision->size == input.size && decision->wait_ms >= 0;
    } else if (up) {
        right = right && input.known && since_up >= scaling->cooldown_up_ms &&
                decision->size - input.size <= scaling->up_by;
    } else {
        right = right && input.known && since_up >= scaling->cooldown_down_ms &&
                since_down >= scaling->cooldown_down_ms && input.size - decision->size <= scaling->down_by;
        check_way_down(decision);
    }
    right = right && (decision->wait_ms == 0 || strstr(decision->reason, "cooling down") != NULL);
    if (!right) {
        fail_msg("seed %llu: %lld -> %lld: %s", (unsigned long long)seed, (long long)input.size,
                 (long long)decision->size, decision->reason);
    }
}

static void run_random(uint64_t seed)
{
    int64_t last_up = 0;
    int64_t last_down = 0;
    told_len = 0;
    for (int i = 0; i < 600; i++) {
        input.now_mono += (1 + dice(30)) * SEC;
        input.now_wall = input.now_mono;
        input.known = dice(20) > 0;
        input.waiting = dice(3) == 0 ? dice(300) : input.waiting / 2;
        input.oldest_ms = input.waiting * dice(900);
        input.service_ms = dice(10) > 0 ? dice(3000) : 0;
        input.ready = input.size - (int64_t)dice((unsigned)input.size / 2 + 1);
        input.busy = dice((unsigned)input.ready + 1);
        struct autoscale_decision decision = autoscale_decide(&pool, &state, &input);
        check_decision(&decision, last_up, last_down, seed);
        if (decision.formula[0] != '\0') { // the metric had a value
            told[told_len].at = input.now_mono;
            told[told_len++].size = decision.recommended;
        }
        last_up = decision.kind == AUTOSCALE_UP ? input.now_mono : last_up;
        last_down = decision.kind == AUTOSCALE_DOWN ? input.now_mono : last_down;
        input.size = decision.size;
    }
}

static void no_decision_falls_into_a_cooldown(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        dice_state = seed;
        random_scaler();
        run_random(seed);
    }
}

static int done(void **unused)
{
    (void)unused;
    reeve_pool_done(&pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_presets_minute_by_minute),
        cmocka_unit_test(a_pool_without_scaling_stays),
        cmocka_unit_test(without_measurement_nothing_but_bounds),
        cmocka_unit_test(thresholds_of_the_other_metrics),
        cmocka_unit_test(a_metric_without_a_value),
        cmocka_unit_test(to_a_target),
        cmocka_unit_test(steps_bounds_and_cooldowns_of_each_direction),
        cmocka_unit_test(a_broken_clock_cools_no_longer_than_a_cooldown),
        cmocka_unit_test(the_window_holds_back_the_way_down),
        cmocka_unit_test(a_long_window_has_room_for_every_tick),
        cmocka_unit_test(between_none_and_one),
        cmocka_unit_test(a_schedule_applies_at_once_and_only_while_it_lasts),
        cmocka_unit_test(a_floor_and_a_ceiling_need_neither_step_nor_cooldown),
        cmocka_unit_test(of_several_schedules_the_highest_counts),
        cmocka_unit_test(the_decisions_of_a_recorded_day_are_those_expected),
        cmocka_unit_test(no_decision_falls_into_a_cooldown),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
