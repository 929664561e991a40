// Inside shared/pool: what its files share.
// Must not: be included from anywhere else.
#ifndef REEVE_POOL_INTERNAL_H
#define REEVE_POOL_INTERNAL_H

#include <reeve/pool.h>

#define POOL_MIN_PRESET_SCALED 1 // bounds with `scaling` when none are given
#define POOL_MAX_PRESET_SCALED 10
#define POOL_UP_ABOVE_PRESET   50 // thresholds of the metric depth
#define POOL_DOWN_BELOW_PRESET 5
#define POOL_FENCE_MARGIN_MS   1000 // between the end of a fenced worker and the start of the next

struct pool_bounds {
    int64_t min, max;
};

static inline bool pool_given(const struct reeve_value *map, const char *key)
{
    return reeve_value_kind(reeve_value_get(map, key)) != REEVE_NULL;
}

// The bounds in force: those given, or the presets that follow from what else is given in `value`.
struct pool_bounds pool_bounds(const struct reeve_pool_spec *pool, const struct reeve_value *value);

// Checks of the tables, pool_check.c.
typedef void pool_check(const void *object, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors);
pool_check pool_check_all, pool_check_scaling, pool_check_schedule, pool_check_placement, pool_check_update,
    pool_check_acquire;

#endif
