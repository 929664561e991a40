// Any text as an argument's template, over a job that has some of everything: what passes the check is filled in or has
// no value.
#include "fuzz.h"

#include "template.h"

#include <stdlib.h>
#include <string.h>

static const char job_text[] =
    "{\"a\":{\"b\":[1,\"two\",null,{\"c\":true}]},\"d\":\"text\",\"e\":0.5,\"f\":{\"$bin\":\"AGE=\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_VALUE_AUTO job = NULL;
    REEVE_AUTO_FREE char *filled = NULL;
    REEVE_AUTO_FREE char *text = malloc(len + 1);
    struct reeve_why why = {.text = ""};
    REEVE_ASSERT(text != NULL);
    REEVE_ASSERT(reeve_json_read(job_text, sizeof job_text - 1, &reeve_limits_wire, NULL, &job, NULL) == REEVE_OK);
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    const struct template_values values = {.id = "i", .type = "t", .queue = "q", .attempt = 7, .payload = job};
    const enum reeve_err checked = template_check(text, &why);
    const enum reeve_err err = template_fill(text, &values, &filled, &why);
    REEVE_ASSERT((filled != NULL) == (err == REEVE_OK));
    REEVE_ASSERT(err == REEVE_OK || why.text[0] != '\0');
    // What the check lets through can only lack a value, or hold a byte that no argument can.
    REEVE_ASSERT(checked != REEVE_OK || err == REEVE_OK || err == REEVE_NOENT || err == REEVE_INVALID);
    REEVE_ASSERT(strchr(text, '{') != NULL || strstr(text, "}}") != NULL || strcmp(filled, text) == 0);
    return 0;
}
