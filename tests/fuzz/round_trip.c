// Read, write, read: the property that every codec is fuzzed for.
#include "fuzz.h"

#include <string.h>

// Names in JSON and YAML grow by escapes and indentation, so what was at a limit may be above it when written.
static const struct reeve_limits wide = {.bytes_max = 64u << 20, .depth_max = 256, .entries_max = 1u << 20};

static struct reeve_value *again(fuzz_reader *read, fuzz_writer *write, const struct reeve_value *value)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_value *back = NULL;
    REEVE_ASSERT(write(value, &buf) == REEVE_OK);
    REEVE_ASSERT(read(reeve_buf_str(&buf), buf.len, &wide, NULL, &back, NULL) == REEVE_OK);
    return back;
}

void fuzz_round_trip(fuzz_reader *read, fuzz_writer *write, bool exact, const uint8_t *data, size_t len)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_why why = {.text = ""};
    enum reeve_err err = read((const char *)data, len, &reeve_limits_wire, "fuzz", &value, &why);
    REEVE_ASSERT((err == REEVE_OK) == (value != NULL));
    if (err != REEVE_OK) {
        REEVE_ASSERT(why.text[0] != '\0' && strncmp(why.place, "fuzz", 4) == 0);
        return;
    }
    REEVE_VALUE_AUTO second = again(read, write, value);
    REEVE_VALUE_AUTO third = again(read, write, second);
    REEVE_ASSERT(reeve_value_equal(second, third));
    REEVE_ASSERT(!exact || reeve_value_equal(value, second));
}
