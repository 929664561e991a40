// Any bytes as a worker spec, the table with every type of field: YAML, or msgpack where they begin like a map of it.
// What is accepted is encoded, decoded and the same; what is refused has an error.
#include "fuzz.h"

#include <reeve/spec.h>

static bool is_msgpack(const uint8_t *data, size_t len)
{
    return len > 0 && data[0] >= 0x80;
}

static void round_trip(const struct reeve_spec *spec, unsigned flags)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_errors errors;
    struct reeve_spec back;
    reeve_errors_init(&errors, NULL);
    REEVE_ASSERT(reeve_spec_encode(spec, flags | REEVE_ENCODE_WITH_SECRETS, &value) == REEVE_OK);
    REEVE_ASSERT(reeve_spec_decode(value, "", &back, &errors) == REEVE_OK);
    REEVE_ASSERT(reeve_spec_equal(spec, &back));
    REEVE_ASSERT(reeve_spec_digest(spec) == reeve_spec_digest(&back));
    reeve_spec_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_specs specs = {0};
    struct reeve_errors errors;
    enum reeve_err err = is_msgpack(data, len)
                             ? reeve_msgpack_read(data, len, &reeve_limits_wire, NULL, &value, NULL)
                             : reeve_yaml_read((const char *)data, len, &reeve_limits_file, NULL, &value, NULL);
    if (err != REEVE_OK) {
        return 0;
    }
    reeve_errors_init(&errors, "fuzz");
    err = reeve_spec_load_value(value, &specs, &errors);
    REEVE_ASSERT((err == REEVE_OK) == (errors.errors == 0));
    REEVE_ASSERT((err == REEVE_OK) == (reeve_errors_result(&errors, NULL) == REEVE_OK));
    for (size_t i = 0; i < specs.len; i++) {
        round_trip(&specs.items[i], 0);
        round_trip(&specs.items[i], REEVE_ENCODE_SKIP_PRESETS);
    }
    reeve_specs_done(&specs);
    return 0;
}
