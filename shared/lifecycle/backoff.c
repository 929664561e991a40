// Restart policy: what an end that nobody asked for leads to, and after which delay.
// Pure: time and dice come from the caller, memory is the caller's struct.
// Must not: read a clock, draw a random number, know the state machine.
#include <reeve/lifecycle.h>
#include <reeve/units.h>

#include "text.h"

bool reeve_exit_clean(const struct reeve_exit *end)
{
    return end->signal == 0 && end->code == 0 && !end->oom;
}

static bool policy_restarts(const struct reeve_backoff_policy *policy, const struct reeve_exit *end)
{
    if (policy->restart == REEVE_RESTART_NEVER) {
        return false;
    }
    if (end->signal == 0 && end->code == REEVE_EXIT_DO_NOT_RESTART) {
        return false;
    }
    return policy->restart == REEVE_RESTART_ALWAYS || !reeve_exit_clean(end);
}

// The n-th delay in ms without jitter. Ends early at max_ms, so a worker that failed a million times costs nothing
// (a factor of 1 never gets there and never changes).
static double delay_ms(const struct reeve_backoff_policy *policy, int64_t n)
{
    if (policy->initial_ms <= 0 || policy->max_ms <= 0) {
        return 0;
    }
    double delay = (double)policy->initial_ms;
    double max = (double)policy->max_ms;
    for (int64_t i = 1; i < n && delay < max && policy->factor > 1; i++) {
        delay *= policy->factor;
    }
    return delay < max ? delay : max;
}

static int64_t whole_ms(double ms)
{
    return (int64_t)(ms + 0.5);
}

static int64_t delay_with_jitter(const struct reeve_backoff_policy *policy, int64_t n, double random)
{
    return whole_ms(delay_ms(policy, n) * (1 + policy->jitter * (2 * random - 1)));
}

static size_t restarts_max(const struct reeve_backoff_policy *policy)
{
    return policy->restarts_max < REEVE_BACKOFF_WINDOW_MAX ? (size_t)policy->restarts_max : REEVE_BACKOFF_WINDOW_MAX;
}

static size_t ends_in_window(const struct reeve_backoff *backoff, int64_t window_ms, int64_t now_mono)
{
    size_t count = 0;
    for (size_t i = 0; i < backoff->ends_len; i++) {
        count += now_mono - backoff->ends[i] < window_ms;
    }
    return count;
}

static void ends_add(struct reeve_backoff *backoff, int64_t now_mono)
{
    backoff->ends[backoff->ends_next] = now_mono;
    backoff->ends_next = (backoff->ends_next + 1) % REEVE_BACKOFF_WINDOW_MAX;
    if (backoff->ends_len < REEVE_BACKOFF_WINDOW_MAX) {
        backoff->ends_len++;
    }
}

enum reeve_event reeve_backoff_next(struct reeve_backoff *backoff, const struct reeve_backoff_policy *policy,
                                    const struct reeve_exit *end, int64_t now_mono, double random,
                                    int64_t *ret_delay_ms)
{
    REEVE_ASSERT(random >= 0 && random < 1);
    *ret_delay_ms = 0;
    if (!policy_restarts(policy, end)) {
        return REEVE_EVENT_EXIT_FINAL;
    }
    if (policy->healthy_ms > 0 && end->ran_ms >= policy->healthy_ms) {
        reeve_backoff_forget(backoff);
    }
    size_t before = ends_in_window(backoff, policy->window_ms, now_mono); // the ring holds as many as the bound
    ends_add(backoff, now_mono);
    backoff->failures++;
    if (policy->restarts_max > 0 && before >= restarts_max(policy)) {
        return REEVE_EVENT_EXIT_GAVE_UP;
    }
    *ret_delay_ms = delay_with_jitter(policy, backoff->failures, random);
    return REEVE_EVENT_EXIT_AGAIN;
}

void reeve_backoff_forget(struct reeve_backoff *backoff)
{
    *backoff = (struct reeve_backoff){0};
}

// ---- the schedule in words -------------------------------------------------------------------------

#define SCHEDULE_STEPS_MAX 12 // delays written out: 100ms doubling to 30s are ten

static void text_add_duration(struct reeve_text *text, const char *before, int64_t ms)
{
    char buf[REEVE_UNITS_TEXT_LEN];
    reeve_text_add(text, "%s%s", before, reeve_duration_format(ms, buf));
}

// The growing delays, until they stay the same or nothing follows them.
static void text_add_delays(struct reeve_text *text, const struct reeve_backoff_policy *policy)
{
    bool limited = policy->restarts_max > 0;
    int64_t steps = limited ? (int64_t)restarts_max(policy) : INT64_MAX;
    for (int64_t n = 1; n <= steps; n++) {
        double delay = delay_ms(policy, n);
        if (n > 1 && delay <= delay_ms(policy, n - 1)) {
            return;
        }
        if (n > SCHEDULE_STEPS_MAX) {
            text_add_duration(text, " ... ", whole_ms(limited ? delay_ms(policy, steps) : (double)policy->max_ms));
            return;
        }
        text_add_duration(text, n == 1 ? "" : " ", whole_ms(delay));
    }
}

const char *reeve_backoff_schedule(const struct reeve_backoff_policy *policy, char *buf, size_t buf_len)
{
    struct reeve_text text = {.buf = buf, .buf_len = buf_len};
    if (policy->restart == REEVE_RESTART_NEVER) {
        reeve_text_add(&text, "never restarted");
        return buf;
    }
    reeve_text_add(&text, "%s", policy->restart == REEVE_RESTART_ON_FAILURE ? "on failure " : "");
    if (delay_ms(policy, 1) <= 0) {
        reeve_text_add(&text, "at once");
    } else {
        text_add_delays(&text, policy);
        if (policy->jitter > 0) {
            reeve_text_add(&text, " (+-%g%%)", policy->jitter * 100);
        }
    }
    if (policy->restarts_max > 0) {
        reeve_text_add(&text, ", then failed after %zu", restarts_max(policy));
        text_add_duration(&text, " in ", policy->window_ms);
    }
    if (policy->healthy_ms > 0) {
        text_add_duration(&text, ", forgets after ", policy->healthy_ms);
    }
    return buf;
}
