// Importing jobs; see job_import.h.
// Must not: send a line twice under two ids.
#include "job_import.h"

#include "output.h"

#include <inttypes.h>
#include <reeve/codec.h>
#include <string.h>

void job_import_tell_ended(const char *id, const struct reeve_value *record, bool result)
{
    const char *state = reeve_get_str(record, "state");
    const char *error = reeve_get_str(record, "error");
    const struct reeve_value *value = reeve_value_get(record, "result");
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    if (record == NULL) {
        output_note("job %s: its end is forgotten already; the queue keeps too few", id);
    } else if (state == NULL || strcmp(state, "completed") != 0) {
        output_note("job %s: %s%s%s", id, state != NULL ? state : "?", error != NULL ? ": " : "",
                    error != NULL ? error : "");
    } else if (result && reeve_value_kind(value) == REEVE_NULL) {
        output_print("job %s: completed\n", id);
    } else if (result && reeve_json_write(value, 0, &json) == REEVE_OK) {
        output_print("%s\n", reeve_buf_str(&json));
    }
}

int job_import(const struct invocation *inv)
{
    return output_fail(inv, EXIT_REFUSED, "job add --file: not there yet");
}
