// Time. Two clocks that never share a name: wall (`_at`, ms since 1970, may jump) and monotonic
// (`_mono`, for every timeout, age and back-off). Tests replace both through reeve_clock_set().
#ifndef REEVE_CLOCK_H
#define REEVE_CLOCK_H

#include <stdint.h>

int64_t reeve_clock_wall_ms(void);
int64_t reeve_clock_mono_ms(void); // CLOCK_BOOTTIME: goes on while the machine sleeps
int64_t reeve_clock_mono_ns(void); // for measuring only

// For tests: both clocks at once. NULL restores the real ones. The struct must outlive its use; set it while
// one thread runs.
struct reeve_clock {
    int64_t (*wall_ms)(void *arg);
    int64_t (*mono_ns)(void *arg);
    void *arg;
};
void reeve_clock_set(const struct reeve_clock *clock);

// 2026-11-22T12:46:18.123Z into buf (at least 25 bytes). Returns buf.
#define REEVE_CLOCK_TEXT_LEN 32
const char *reeve_clock_format(int64_t wall_ms, char buf[REEVE_CLOCK_TEXT_LEN]);

#endif
