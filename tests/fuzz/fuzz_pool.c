// Any bytes as a pool document: YAML, or msgpack where they begin like a map of it. What is accepted is encoded,
// decoded and the same, and can be copied; what is refused has an error.
#include "fuzz.h"

#include <reeve/pool.h>

static void round_trip(const struct reeve_pool_spec *pool, unsigned flags)
{
    REEVE_VALUE_AUTO value = NULL;
    REEVE_VALUE_AUTO again = NULL;
    struct reeve_errors errors;
    struct reeve_pool_spec back;
    reeve_errors_init(&errors, NULL);
    REEVE_ASSERT(reeve_pool_encode(pool, flags | REEVE_ENCODE_WITH_SECRETS, &value) == REEVE_OK);
    REEVE_ASSERT(reeve_pool_decode(value, "", &back, &errors) == REEVE_OK);
    REEVE_ASSERT(reeve_pool_encode(&back, flags | REEVE_ENCODE_WITH_SECRETS, &again) == REEVE_OK);
    REEVE_ASSERT(reeve_value_equal(value, again));
    REEVE_ASSERT(pool->size == back.size && pool->min == back.min && pool->max == back.max);
    REEVE_ASSERT(reeve_pool_template_digest(pool) == reeve_pool_template_digest(&back));
    reeve_pool_done(&back);
}

static void check(const struct reeve_pool_spec *pool)
{
    struct reeve_pool_spec copy;
    int64_t size = pool->size >= 0 ? pool->size : pool->min;
    REEVE_ASSERT(pool->min <= size && size <= pool->max && pool->max <= REEVE_POOL_SIZE_MAX);
    REEVE_ASSERT(!pool->partition.single_active || pool->max <= 1);
    round_trip(pool, 0);
    round_trip(pool, REEVE_ENCODE_SKIP_PRESETS);
    REEVE_ASSERT(reeve_pool_copy(pool, &copy) == REEVE_OK);
    reeve_pool_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_pools pools = {0};
    struct reeve_errors errors;
    bool msgpack = len > 0 && data[0] >= 0x80;
    enum reeve_err err = msgpack ? reeve_msgpack_read(data, len, &reeve_limits_wire, NULL, &value, NULL)
                                 : reeve_yaml_read((const char *)data, len, &reeve_limits_file, NULL, &value, NULL);
    if (err != REEVE_OK) {
        return 0;
    }
    reeve_errors_init(&errors, "fuzz");
    err = reeve_pool_load_value(value, &pools, &errors);
    REEVE_ASSERT((err == REEVE_OK) == (errors.errors == 0));
    for (size_t i = 0; i < pools.len; i++) {
        check(&pools.items[i]);
    }
    reeve_pools_done(&pools);
    return 0;
}
