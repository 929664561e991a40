// Digest of a value tree: equal trees give equal digests, whatever the order of their maps' keys.
// Must not: be used for anything that an attacker gains by (it is FNV, not a MAC).
#include <reeve/id.h>
#include <reeve/value.h>

#include <string.h>

// One link: `state` and the bytes behind it.
static uint64_t mix(uint64_t state, uint64_t number)
{
    uint64_t pair[2] = {state, number};
    return reeve_hash64(pair, sizeof(pair));
}

static uint64_t digest_list(const struct reeve_value *list, uint64_t state)
{
    for (size_t i = 0; i < reeve_value_len(list); i++) {
        state = mix(state, reeve_value_digest(reeve_value_at(list, i)));
    }
    return state;
}

// A sum does not care for the order; each entry is hashed before it is added.
static uint64_t digest_map(const struct reeve_value *map, uint64_t state)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < reeve_value_len(map); i++) {
        const char *key = reeve_value_key(map, i);
        sum += mix(reeve_hash64(key, strlen(key)), reeve_value_digest(reeve_value_at(map, i)));
    }
    return mix(state, sum);
}

uint64_t reeve_value_digest(const struct reeve_value *value)
{
    enum reeve_kind kind = reeve_value_kind(value);
    uint64_t state = mix((uint64_t)kind, reeve_value_len(value));
    double real = reeve_value_real(value, 0) + 0.0; // -0.0 equals 0.0
    uint64_t bits;
    size_t len = 0;
    const void *data = reeve_value_data(value, &len);
    memcpy(&bits, &real, sizeof(bits));
    switch (kind) {
    case REEVE_NULL:
        return state;
    case REEVE_BOOL:
        return mix(state, reeve_value_truth(value, false));
    case REEVE_INT:
        return mix(state, (uint64_t)reeve_value_number(value, 0));
    case REEVE_FLOAT:
        return mix(state, bits);
    case REEVE_STR:
    case REEVE_BIN:
        return mix(state, reeve_hash64(data, len));
    case REEVE_LIST:
        return digest_list(value, state);
    case REEVE_MAP:
        return digest_map(value, state);
    }
    return state;
}
