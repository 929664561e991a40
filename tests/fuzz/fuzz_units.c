// Any text as a duration and as a size: what is accepted is not negative, is written and reads back the same.
#include "fuzz.h"

#include <reeve/units.h>

#include <string.h>

#define TEXT_MAX 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[TEXT_MAX];
    char written[REEVE_UNITS_TEXT_LEN];
    int64_t number;
    int64_t back;
    struct reeve_why why = {.text = ""};
    len = len < TEXT_MAX ? len : TEXT_MAX - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    if (reeve_duration_parse(text, &number, &why) == REEVE_OK) {
        REEVE_ASSERT(number >= 0 && strlen(reeve_duration_human(number, written)) < REEVE_UNITS_TEXT_LEN);
        enum reeve_err err = reeve_duration_parse(reeve_duration_format(number, written), &back, &why);
        REEVE_ASSERT(err == REEVE_OK && back == number);
    }
    if (reeve_size_parse(text, &number, &why) == REEVE_OK) {
        REEVE_ASSERT(number >= 0 && strlen(reeve_size_human(number, written)) < REEVE_UNITS_TEXT_LEN);
        enum reeve_err err = reeve_size_parse(reeve_size_format(number, written), &back, &why);
        REEVE_ASSERT(err == REEVE_OK && back == number);
    }
    return 0;
}
