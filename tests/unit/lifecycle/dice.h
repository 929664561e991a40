// Dice for the property tests of this folder: a seed that is printed and can be given again.
//   REEVE_TEST_SEED=123 ./test-lifecycle-machine-property
// Must not: be used where a test must be the same every time.
#ifndef REEVE_TEST_DICE_H
#define REEVE_TEST_DICE_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_seed(void)
{
    const char *given = getenv("REEVE_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003;
    printf("REEVE_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

// splitmix64: any seed is as good as another, 0 too.
static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t z = (dice->state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static inline unsigned dice_below(struct dice *dice, unsigned n)
{
    return (unsigned)(dice_next(dice) % n);
}

static inline double dice_fraction(struct dice *dice) // [0,1)
{
    return (double)(dice_next(dice) >> 11) / 9007199254740992.0;
}

#endif
