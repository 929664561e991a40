// The two clocks, and wall time as text.
// Monotonic is CLOCK_BOOTTIME: a laptop that slept for an hour has workers that are an hour older.
// Must not: convert between the two.
#include <reeve/clock.h>

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <reeve/err.h>

#define NS_PER_MS 1000000
#define MS_PER_S  1000

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    REEVE_ASSERT(clock_gettime(clock, &now) == 0);
    return (int64_t)now.tv_sec * MS_PER_S * NS_PER_MS + now.tv_nsec;
}

static int64_t real_wall_ms(void *arg)
{
    (void)arg;
    return read_ns(CLOCK_REALTIME) / NS_PER_MS;
}

static int64_t real_mono_ns(void *arg)
{
    (void)arg;
    return read_ns(CLOCK_BOOTTIME);
}

static const struct reeve_clock real_clock = {.wall_ms = real_wall_ms, .mono_ns = real_mono_ns};
static const struct reeve_clock *current = &real_clock;

void reeve_clock_set(const struct reeve_clock *clock)
{
    current = clock == NULL ? &real_clock : clock;
}

int64_t reeve_clock_wall_ms(void)
{
    return current->wall_ms(current->arg);
}

int64_t reeve_clock_mono_ns(void)
{
    return current->mono_ns(current->arg);
}

int64_t reeve_clock_mono_ms(void)
{
    return reeve_clock_mono_ns() / NS_PER_MS;
}

const char *reeve_clock_format(int64_t wall_ms, char buf[REEVE_CLOCK_TEXT_LEN])
{
    int64_t ms = wall_ms % MS_PER_S;
    time_t seconds = wall_ms / MS_PER_S;
    if (ms < 0) { // before 1970: the fraction still counts upward
        ms += MS_PER_S;
        seconds--;
    }
    struct tm utc;
    REEVE_ASSERT(gmtime_r(&seconds, &utc) != NULL); // no 64-bit count of ms leaves the range of int years
    // The longest, of INT64_MIN ms, is -292275055-05-16T16:47:04.192Z: 30 bytes.
    size_t len = strftime(buf, REEVE_CLOCK_TEXT_LEN, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(buf + len, REEVE_CLOCK_TEXT_LEN - len, ".%03uZ", (unsigned)ms % MS_PER_S);
    return buf;
}
