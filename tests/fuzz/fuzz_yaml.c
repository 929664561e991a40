// Any bytes as a YAML file, one document and many.
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_VALUE_AUTO documents = NULL;
    fuzz_round_trip(reeve_yaml_read, reeve_yaml_write, false, data, len);
    enum reeve_err err = reeve_yaml_read_all((const char *)data, len, &reeve_limits_file, "fuzz", &documents, NULL);
    REEVE_ASSERT((err == REEVE_OK) == (documents != NULL));
    return 0;
}
