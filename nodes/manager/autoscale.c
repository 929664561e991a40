// The autoscaler's rules, in the order of autoscale.h; each either goes on or ends in a decision that says why.
// On top of those: a pool of size 0 gets its first worker when a job waits (activation), and its last one stays while
// there is work, so that thresholds around one worker do not flap. Must not: know where a number comes from, or look at
// a clock.
#include "autoscale.h"
#include "cron.h"

#include <reeve/units.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROUNDING 1e-9 // 2.1 / 0.7 is a little more than 3

struct turn {
    const struct reeve_pool_spec *pool;
    const struct reeve_pool_scaling *scaling;
    struct autoscale_state *state;
    const struct autoscale_input *input;
    struct autoscale_decision decision;
    const char *floor_by, *ceiling_by; // cron expression, or NULL: the pool's own
    bool measured;
};

__attribute__((format(printf, 2, 3))) static void say(struct turn *turn, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(turn->decision.reason, sizeof(turn->decision.reason), fmt, ap);
    va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void put_formula(struct turn *turn, const char *fmt, ...)
{
    size_t len = strlen(turn->decision.formula);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(turn->decision.formula + len, sizeof(turn->decision.formula) - len, fmt, ap);
    va_end(ap);
}

// ---- floor and ceiling --------------------------------------------------------------------------------------

// An expression that is wrong was refused with the spec; should one get here, it is never in force.
static bool in_force(const struct reeve_pool_schedule *schedule, int64_t now_wall)
{
    struct cron *cron = NULL;
    if (cron_new(schedule->cron, schedule->time_zone, &cron, NULL) != REEVE_OK) {
        return false;
    }
    int64_t began = cron_previous(cron, now_wall);
    cron_free(cron);
    return began >= 0 && now_wall - began < schedule->for_ms;
}

static void bound(struct turn *turn)
{
    const struct reeve_pool_schedule *schedules = turn->scaling->schedules.items;
    int64_t floor = -1;
    int64_t ceiling = -1;
    for (size_t i = 0; i < turn->scaling->schedules.len; i++) {
        const struct reeve_pool_schedule *schedule = &schedules[i];
        if ((schedule->min <= floor && schedule->max <= ceiling) || !in_force(schedule, turn->input->now_wall)) {
            continue;
        }
        turn->floor_by = schedule->min > floor ? schedule->cron : turn->floor_by;
        turn->ceiling_by = schedule->max > ceiling ? schedule->cron : turn->ceiling_by;
        floor = schedule->min > floor ? schedule->min : floor;
        ceiling = schedule->max > ceiling ? schedule->max : ceiling;
    }
    turn->decision.floor = floor >= 0 ? floor : turn->pool->min;
    turn->decision.ceiling = ceiling >= 0 ? ceiling : turn->pool->max;
    if (turn->decision.ceiling < turn->decision.floor) {
        turn->decision.ceiling = turn->decision.floor; // one schedule's floor above another's ceiling: rather too many
        turn->ceiling_by = turn->floor_by;
    }
}

// ---- the metric ---------------------------------------------------------------------------------------------

static const char *value_text(const struct turn *turn, double value, char buf[REEVE_UNITS_TEXT_LEN])
{
    if (reeve_pool_metric_is_time(turn->scaling->metric)) {
        return reeve_duration_format((int64_t)value, buf);
    }
    (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, turn->scaling->metric == REEVE_METRIC_UTILISATION ? "%.2f" : "%.12g",
                   value);
    return buf;
}

static int64_t workers(const struct autoscale_input *input)
{
    return input->ready > 0 ? input->ready : input->size > 0 ? input->size : 1;
}

// Waiting jobs each take the mean time, over all workers.
static bool measure_wait(struct turn *turn)
{
    const struct autoscale_input *input = turn->input;
    char text[REEVE_UNITS_TEXT_LEN];
    if (input->service_ms <= 0 && input->waiting > 0) {
        say(turn, "nothing, because the service time is not known yet");
        return false;
    }
    turn->decision.value = (double)input->waiting * (double)input->service_ms / (double)workers(input);
    put_formula(turn, "wait %lld x %s / %lld = ", (long long)input->waiting,
                reeve_duration_format(input->service_ms > 0 ? input->service_ms : 0, text), (long long)workers(input));
    return true;
}

static bool measure_utilisation(struct turn *turn)
{
    const struct autoscale_input *input = turn->input;
    if (input->ready <= 0) {
        say(turn, "nothing, because no worker is ready: there is no utilisation");
        return false;
    }
    turn->decision.value = (double)input->busy / (double)input->ready;
    put_formula(turn, "busy %lld / %lld = ", (long long)input->busy, (long long)input->ready);
    return true;
}

// The value, and its beginning of the formula. False with the reason when there is none.
static bool measure(struct turn *turn)
{
    if (!turn->input->known) {
        say(turn, "nothing, because there is no measurement");
        return false;
    }
    switch ((enum reeve_pool_metric)turn->scaling->metric) {
    case REEVE_METRIC_DEPTH:
        turn->decision.value = (double)turn->input->waiting;
        put_formula(turn, "waiting ");
        return true;
    case REEVE_METRIC_AGE:
        turn->decision.value = (double)turn->input->oldest_ms;
        put_formula(turn, "oldest ");
        return true;
    case REEVE_METRIC_WAIT:
        return measure_wait(turn);
    case REEVE_METRIC_UTILISATION:
        return measure_utilisation(turn);
    }
    return false;
}

// ---- the recommended size -----------------------------------------------------------------------------------

static int64_t whole_workers(double number)
{
    number = ceil(number - ROUNDING);
    return number < 0 ? 0 : number > REEVE_POOL_SIZE_MAX ? REEVE_POOL_SIZE_MAX : (int64_t)number;
}

static int64_t recommend_to_target(struct turn *turn)
{
    const struct reeve_pool_scaling *scaling = turn->scaling;
    struct autoscale_decision *decision = &turn->decision;
    bool depth = scaling->metric == REEVE_METRIC_DEPTH;
    double size = (double)turn->input->size;
    double ratio = decision->value / scaling->target; // for depth: the size itself
    char value[REEVE_UNITS_TEXT_LEN];
    char target[REEVE_UNITS_TEXT_LEN];
    int64_t recommended = whole_workers(depth ? ratio : size * ratio);
    double off = depth ? ratio / size : ratio;
    (void)value_text(turn, decision->value, value);
    (void)value_text(turn, scaling->target, target);
    if (depth) {
        put_formula(turn, "%s: ceil(%s / %s) = %lld", value, value, target, (long long)recommended);
    } else {
        put_formula(turn, "%s: ceil(%lld x %s / %s) = %lld", value, (long long)turn->input->size, value, target,
                    (long long)recommended);
    }
    if (turn->input->size > 0 && fabs(off - 1) <= scaling->tolerance + ROUNDING) {
        say(turn, "nothing, because the value is within %g%% of the target", scaling->tolerance * 100);
        return turn->input->size;
    }
    return recommended;
}

static int64_t recommend_by_thresholds(struct turn *turn)
{
    const struct reeve_pool_scaling *scaling = turn->scaling;
    int64_t size = turn->input->size;
    char value[REEVE_UNITS_TEXT_LEN];
    char up[REEVE_UNITS_TEXT_LEN];
    char down[REEVE_UNITS_TEXT_LEN];
    (void)value_text(turn, turn->decision.value, value);
    (void)value_text(turn, scaling->up_above, up);
    (void)value_text(turn, scaling->down_below, down);
    if (turn->decision.value > scaling->up_above) {
        put_formula(turn, "%s > %s, %lld workers: +%lld", value, up, (long long)size, (long long)scaling->up_by);
        return size + scaling->up_by;
    }
    if (turn->decision.value < scaling->down_below) {
        put_formula(turn, "%s < %s, %lld workers: -%lld", value, down, (long long)size, (long long)scaling->down_by);
        return size > scaling->down_by ? size - scaling->down_by : 0;
    }
    put_formula(turn, "%s, from %s to %s", value, down, up);
    say(turn, "nothing, because %s lies between %s and %s", value, down, up);
    return size;
}

// Between no worker and one: the first comes with the first job, the last goes when there is nothing left.
static int64_t keep_one(struct turn *turn, int64_t recommended)
{
    const struct autoscale_input *input = turn->input;
    bool work = input->waiting > 0 || (input->size > 0 && input->busy > 0);
    if (recommended > 0 || !work) {
        return recommended;
    }
    if (input->size == 0) {
        put_formula(turn, "; %lld waiting, no worker: +1", (long long)input->waiting);
    } else {
        put_formula(turn, "; one stays while there is work");
        say(turn, "nothing, because the last worker stays while there is work");
    }
    return 1;
}

// Whether a job waits at a pool without workers, whose metric may then have no value at all.
static bool activates(const struct turn *turn)
{
    return turn->input->known && turn->input->size == 0 && turn->input->waiting > 0;
}

static void recommend(struct turn *turn)
{
    struct autoscale_decision *decision = &turn->decision;
    turn->measured = measure(turn);
    decision->recommended = turn->input->size;
    if (turn->measured) {
        decision->recommended = turn->scaling->has_target ? recommend_to_target(turn) : recommend_by_thresholds(turn);
    }
    turn->measured = turn->measured || activates(turn);
    if (turn->measured) {
        decision->recommended = keep_one(turn, decision->recommended);
    }
}

// ---- the window ---------------------------------------------------------------------------------------------

static int64_t bucket_ms(const struct turn *turn)
{
    return turn->scaling->stabilise_ms / (AUTOSCALE_WINDOW_MAX - 2) + 1; // all of the window has room
}

static void push(struct autoscale_state *state, int64_t at_mono, int64_t size)
{
    state->window[state->window_next].at_mono = at_mono;
    state->window[state->window_next].size = size;
    state->window_next = (state->window_next + 1) % AUTOSCALE_WINDOW_MAX;
    state->window_len += state->window_len < AUTOSCALE_WINDOW_MAX;
}

// The present recommendation into its bucket. A fresh state begins with the present size: what was before is not known,
// and might have been high.
static void remember(struct turn *turn)
{
    struct autoscale_state *state = turn->state;
    int64_t now = turn->input->now_mono;
    int64_t size = turn->decision.recommended;
    if (turn->scaling->stabilise_ms == 0) {
        state->window_len = state->window_next = 0;
        return;
    }
    size_t last = (state->window_next + AUTOSCALE_WINDOW_MAX - 1) % AUTOSCALE_WINDOW_MAX;
    int64_t age = now - state->window[last].at_mono;
    if (state->window_len == 0 || age >= turn->scaling->stabilise_ms + bucket_ms(turn)) {
        push(state, now, size > turn->input->size ? size : turn->input->size);
    } else if (age >= bucket_ms(turn)) {
        push(state, now, size);
    } else if (size > state->window[last].size) {
        state->window[last].size = size;
    }
}

// The highest recommended within the window, and when.
static int64_t highest(const struct turn *turn, int64_t *ret_at)
{
    const struct autoscale_state *state = turn->state;
    int64_t size = turn->decision.recommended;
    *ret_at = turn->input->now_mono;
    for (size_t i = 0; i < state->window_len; i++) {
        int64_t age = turn->input->now_mono - state->window[i].at_mono;
        if (age < turn->scaling->stabilise_ms + bucket_ms(turn) && state->window[i].size > size) {
            size = state->window[i].size;
            *ret_at = state->window[i].at_mono;
        }
    }
    return size;
}

// ---- rules ----------------------------------------------------------------------------------------------------

static void change(struct turn *turn, int64_t size)
{
    bool up = size > turn->input->size;
    turn->decision.kind = up ? AUTOSCALE_UP : AUTOSCALE_DOWN;
    turn->decision.size = size;
    *(up ? &turn->state->last_up_mono : &turn->state->last_down_mono) = turn->input->now_mono;
    say(turn, "scaled %lld -> %lld", (long long)turn->input->size, (long long)size);
}

// At once: neither step nor cool-down.
static bool hold_bounds(struct turn *turn)
{
    bool low = turn->input->size < turn->decision.floor;
    bool high = turn->input->size > turn->decision.ceiling;
    const char *by = low ? turn->floor_by : turn->ceiling_by;
    if (!low && !high) {
        return false;
    }
    change(turn, low ? turn->decision.floor : turn->decision.ceiling);
    say(turn, "scaled %lld -> %lld, the %s by %s%s", (long long)turn->input->size, (long long)turn->decision.size,
        low ? "floor" : "ceiling", by == NULL ? (low ? "min" : "max") : "schedule ", by == NULL ? "" : by);
    return true;
}

// Scale-in no further than to the highest size recommended within the window.
static int64_t stabilised(struct turn *turn)
{
    int64_t size = turn->input->size;
    int64_t wanted = turn->decision.recommended;
    int64_t at;
    if (wanted >= size || turn->scaling->stabilise_ms == 0) {
        return wanted;
    }
    int64_t high = highest(turn, &at);
    if (high >= size) {
        say(turn, "nothing, because %lld were recommended %lld s ago", (long long)high,
            (long long)((turn->input->now_mono - at) / 1000));
        return size;
    }
    return high;
}

static int64_t stepped(const struct turn *turn, int64_t wanted)
{
    int64_t most = turn->input->size + turn->scaling->up_by;
    int64_t least = turn->input->size - turn->scaling->down_by;
    return wanted > most ? most : wanted < least ? least : wanted;
}

static int64_t bounded(struct turn *turn, int64_t wanted)
{
    const struct autoscale_decision *decision = &turn->decision;
    int64_t size = wanted > decision->ceiling ? decision->ceiling : wanted < decision->floor ? decision->floor : wanted;
    if (size == turn->input->size && wanted != size) {
        say(turn, "nothing, because %lld is the %s", (long long)size, wanted > size ? "ceiling" : "floor");
    }
    return size;
}

// How long the direction still cools down; 0 = it may change. A way down waits after a step up too: what was just
// started is not taken away at the first lull.
static int64_t cooling_ms(const struct turn *turn, bool up)
{
    const struct autoscale_state *state = turn->state;
    bool later_up = state->last_up_mono > state->last_down_mono;
    int64_t last = up || later_up ? state->last_up_mono : state->last_down_mono;
    int64_t cooldown = up ? turn->scaling->cooldown_up_ms : turn->scaling->cooldown_down_ms;
    int64_t left = last + cooldown - turn->input->now_mono;
    return last == 0 || left <= 0 ? 0 : left < cooldown ? left : cooldown;
}

static void decide(struct turn *turn)
{
    bound(turn);
    recommend(turn);
    if (turn->measured) {
        remember(turn);
    }
    if (hold_bounds(turn) || !turn->measured) {
        return;
    }
    int64_t size = bounded(turn, stepped(turn, stabilised(turn)));
    if (size == turn->input->size) {
        return; // somebody said why
    }
    int64_t wait_ms = cooling_ms(turn, size > turn->input->size);
    if (wait_ms > 0) {
        turn->decision.wait_ms = wait_ms;
        say(turn, "nothing, because cooling down %lld s", (long long)((wait_ms + 999) / 1000));
        return;
    }
    change(turn, size);
}

struct autoscale_decision autoscale_decide(const struct reeve_pool_spec *pool, struct autoscale_state *state,
                                           const struct autoscale_input *input)
{
    struct turn turn = {.pool = pool, .scaling = &pool->scaling, .state = state, .input = input};
    turn.decision.size = turn.decision.recommended = input->size;
    if (!pool->scaling.enabled) {
        turn.decision.floor = pool->min;
        turn.decision.ceiling = pool->max;
        say(&turn, "nothing, because the pool has no scaling");
        return turn.decision;
    }
    say(&turn, "nothing, because %lld is what is recommended", (long long)input->size);
    decide(&turn);
    return turn.decision;
}
