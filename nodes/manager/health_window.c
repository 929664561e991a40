// What happened lately, in little memory: times, rates, a trend. Pure; whole seconds of the monotonic clock are fine enough.
// Must not: look at a clock, or allocate.
#include "health_room.h"

#define SAMPLE_EVERY_MIN_MS 5000

static uint32_t seconds(int64_t mono_ms)
{
    return (uint32_t)(mono_ms / 1000);
}

// ---- times ----------------------------------------------------------------------------------------------------------

void health_times_add(struct health_times *times, int64_t now_mono)
{
    times->at_s[times->next] = seconds(now_mono);
    times->next = (uint8_t)((times->next + 1) % HEALTH_TIMES_MAX);
    times->len = times->len < HEALTH_TIMES_MAX ? (uint8_t)(times->len + 1) : times->len;
}

int64_t health_times_within(const struct health_times *times, int64_t window_ms, int64_t now_mono)
{
    int64_t count = 0;
    for (size_t i = 0; i < times->len; i++) {
        count += (int64_t)seconds(now_mono) - times->at_s[i] < window_ms / 1000 ? 1 : 0;
    }
    return count;
}

// ---- rate -----------------------------------------------------------------------------------------------------------

static int64_t tenth_of(int64_t window_ms, int64_t now_mono)
{
    int64_t width = window_ms / HEALTH_BUCKETS;
    return now_mono / (width > 0 ? width : 1);
}

static uint32_t plus(uint32_t sum, int64_t more)
{
    int64_t wide = (int64_t)sum + more;
    return wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
}

void health_rate_add(struct health_rate *rate, int64_t done, int64_t failed, int64_t window_ms, int64_t now_mono)
{
    int64_t tenth = tenth_of(window_ms, now_mono);
    for (int64_t i = 0; rate->tenth < tenth && i < HEALTH_BUCKETS; i++) { // those that have begun since
        size_t at = (size_t)((rate->tenth + 1 + i) % HEALTH_BUCKETS);
        if (rate->tenth + 1 + i <= tenth) {
            rate->done[at] = 0;
            rate->failed[at] = 0;
        }
    }
    rate->tenth = tenth;
    size_t at = (size_t)(tenth % HEALTH_BUCKETS);
    rate->done[at] = plus(rate->done[at], done);
    rate->failed[at] = plus(rate->failed[at], failed);
}

void health_rate_sum(const struct health_rate *rate, int64_t window_ms, int64_t now_mono, int64_t *ret_done,
                     int64_t *ret_failed)
{
    int64_t oldest = tenth_of(window_ms, now_mono) - HEALTH_BUCKETS + 1;
    *ret_done = 0;
    *ret_failed = 0;
    for (int64_t i = 0; i < HEALTH_BUCKETS; i++) {
        int64_t tenth = rate->tenth - i;
        if (tenth >= oldest && tenth >= 0) {
            *ret_done += rate->done[tenth % HEALTH_BUCKETS];
            *ret_failed += rate->failed[tenth % HEALTH_BUCKETS];
        }
    }
}

// ---- trend ----------------------------------------------------------------------------------------------------------

int64_t health_trend_every_ms(int64_t horizon_ms)
{
    int64_t every = horizon_ms / 40;
    return every > SAMPLE_EVERY_MIN_MS ? every : SAMPLE_EVERY_MIN_MS;
}

void health_trend_add(struct health_trend *trend, int64_t bytes, int64_t horizon_ms, int64_t now_mono)
{
    size_t newest = (size_t)(trend->next + HEALTH_SAMPLES - 1) % HEALTH_SAMPLES;
    int64_t every_s = health_trend_every_ms(horizon_ms) / 1000;
    if (trend->len > 0 && (int64_t)seconds(now_mono) - trend->at_s[newest] < every_s) {
        return;
    }
    trend->at_s[trend->next] = seconds(now_mono);
    trend->kib[trend->next] = (uint32_t)(bytes / 1024 < UINT32_MAX ? bytes / 1024 : UINT32_MAX);
    trend->next = (uint8_t)((trend->next + 1) % HEALTH_SAMPLES);
    trend->len = trend->len < HEALTH_SAMPLES ? (uint8_t)(trend->len + 1) : trend->len;
}

double health_trend_slope(const struct health_trend *trend, int64_t limit_bytes)
{
    double n = trend->len;
    double sum_t = 0, sum_m = 0, sum_tt = 0, sum_tm = 0;
    uint32_t low = UINT32_MAX, high = 0;
    if (trend->len < HEALTH_SAMPLES_MIN) {
        return 0;
    }
    size_t oldest = trend->len < HEALTH_SAMPLES ? 0 : trend->next;
    for (size_t i = 0; i < trend->len; i++) {
        double t = (double)trend->at_s[i] - (double)trend->at_s[oldest];
        double m = trend->kib[i];
        sum_t += t;
        sum_m += m;
        sum_tt += t * t;
        sum_tm += t * m;
        low = trend->kib[i] < low ? trend->kib[i] : low;
        high = trend->kib[i] > high ? trend->kib[i] : high;
    }
    double spread = n * sum_tt - sum_t * sum_t;
    bool noise = (double)(high - low) * 1024 * 100 < (double)limit_bytes; // within a hundredth of the limit
    if (spread <= 0 || noise) {
        return 0;
    }
    double kib_per_s = (n * sum_tm - sum_t * sum_m) / spread;
    return kib_per_s > 0 ? kib_per_s * 1024 / 1000 : 0;
}
