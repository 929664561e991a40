// Any bytes as a msgpack message.
#include "fuzz.h"

static enum reeve_err read_msgpack(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why)
{
    return reeve_msgpack_read(text, len, limits, source, ret, why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_round_trip(read_msgpack, reeve_msgpack_write, true, data, len);
    return 0;
}
