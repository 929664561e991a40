// Stand-in for health.c: nothing is known about anybody's health, but for what a test says through fake_health.
// Must not: be linked beside the real one.
#include "fake_rooms.h"

#include "health.h"

enum health_level fake_health = HEALTH_UNKNOWN;

const char *health_level_text(enum health_level level)
{
    static const char *const texts[] = {"unknown", "healthy", "warning", "unhealthy"};
    return texts[level];
}

enum health_level health_of(const struct health *health, const char *node, const char *worker)
{
    (void)health;
    (void)node;
    (void)worker;
    return fake_health;
}

int64_t health_healthy_since(const struct health *health, const char *node, const char *worker)
{
    return health_of(health, node, worker) == HEALTH_HEALTHY ? 1 : 0;
}

struct reeve_value *health_value(const struct health *health, const char *node, const char *worker)
{
    struct reeve_value *map = reeve_value_map();
    reeve_put_str(map, "health", health_level_text(health_of(health, node, worker)));
    (void)reeve_value_put(map, "checks", reeve_value_list()); /* remembered: reeve_value_built() */
    return map;
}

void health_put_verdict(const struct health *health, const char *node, const char *worker, struct reeve_value *verdict)
{
    if (fake_health != HEALTH_UNKNOWN) {
        reeve_put_str(verdict, "health", health_level_text(health_of(health, node, worker)));
    }
}
