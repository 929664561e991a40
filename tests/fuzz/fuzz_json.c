// Any bytes as JSON text.
#include "fuzz.h"

static enum reeve_err write_json(const struct reeve_value *value, struct reeve_buf *buf)
{
    return reeve_json_write(value, REEVE_JSON_PRETTY, buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_round_trip(reeve_json_read, write_json, false, data, len);
    return 0;
}
