// Any text as a cron expression, with the zone behind a newline: what is accepted has times that agree with each other,
// what is refused says why.
#include "fuzz.h"

#include "cron.h"

#include <string.h>

#define TEXT_MAX 300
#define YEARS_8  (INT64_C(8) * 365 * 24 * 3600 * 1000)

// Some instant of the years 2000 to 2040, from the bytes.
static int64_t instant_of(const uint8_t *data, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum = sum * 31 + data[i];
    }
    return INT64_C(946684800000) + (int64_t)(sum % UINT64_C(1262304000000));
}

static void check(const struct cron *cron, int64_t at)
{
    int64_t next = cron_next(cron, at);
    int64_t previous = cron_previous(cron, at);
    REEVE_ASSERT(next == -1 || next > at);
    REEVE_ASSERT(previous <= at);
    REEVE_ASSERT(next == -1 || cron_previous(cron, next) == next);
    // Two that lie further apart than anybody looks ahead do not see each other.
    REEVE_ASSERT(next == -1 || previous == -1 || next - previous > YEARS_8 || cron_next(cron, previous) == next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[TEXT_MAX];
    struct reeve_why why = {.text = ""};
    struct cron *cron = NULL;
    size_t text_len = len < TEXT_MAX ? len : TEXT_MAX - 1;
    memcpy(text, data, text_len);
    text[text_len] = '\0';
    char *zone = strchr(text, '\n');
    if (zone != NULL) {
        *zone++ = '\0';
    }
    if (cron_new(text, zone, &cron, &why) != REEVE_OK) {
        REEVE_ASSERT(why.text[0] != '\0' && cron == NULL);
        return 0;
    }
    check(cron, instant_of(data, len));
    cron_free(cron);
    return 0;
}
