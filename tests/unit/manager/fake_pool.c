// Stand-in for the pools: there are none. Must not: be linked beside the real ones.
#include "fake_rooms.h"

#include "pool.h"

enum reeve_err pools_replace(struct manager *manager, const char *node, const char *worker, const char *cause,
                             struct reeve_why *why)
{
    (void)manager;
    (void)node;
    (void)cause;
    fake_replaced++;
    return reeve_fail(why, REEVE_NOENT, "%s belongs to no pool", worker);
}

size_t fake_replaced;

struct reeve_value *pool_of_worker_value(const struct manager *manager, const char *node, const char *worker)
{
    (void)manager;
    (void)node;
    (void)worker;
    return NULL;
}

size_t pools_len(const struct pools *pools)
{
    (void)pools;
    return 0;
}
