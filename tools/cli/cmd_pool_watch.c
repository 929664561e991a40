// pool watch: what happens to pools, and how they stand. Reads records and events only.
// Must not: give a command; a viewer may do this.
#include "commands.h"
#include "follow.h"

#include <inttypes.h>
#include <reeve/str.h>
#include <string.h>

static void put_event(const struct reeve_topic *topic, const struct reeve_value *event)
{
    const char *kind = reeve_get_str(event, "kind");
    const char *message = reeve_get_str(event, "message");
    const char *worker = reeve_get_str(event, "worker");
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(16u << 10);
    follow_put_time(&out, reeve_get_int(event, "at", 0));
    output_colour(&out, COLOUR_BOLD, topic->client);
    follow_put_text(&out, kind != NULL ? kind : "event", " ");
    follow_put_text(&out, message != NULL ? message : worker, ": ");
    reeve_buf_puts(&out, "\n");
    (void)output_write(&out); /* a closed pipe ends the program */
}

static void put_status(const struct reeve_topic *topic, const struct reeve_value *status)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(16u << 10);
    follow_put_time(&out, reeve_get_int(status, "at", 0));
    output_colour(&out, COLOUR_BOLD, topic->client);
    reeve_buf_printf(&out, " %" PRId64 " of %" PRId64 " ready, %" PRId64 " busy", reeve_get_int(status, "ready", 0),
                     reeve_get_int(status, "size", 0), reeve_get_int(status, "busy", 0));
    const char *why = reeve_get_str(status, "why");
    if (why == NULL || strstr(why, " ready") == NULL) { // else it says the same
        follow_put_text(&out, why, "  ");
    }
    reeve_buf_puts(&out, "\n");
    (void)output_write(&out); /* a closed pipe ends the program */
}

static bool take(struct follow *follow, const struct reeve_topic *topic, const struct reeve_value *record, void *arg)
{
    const char *wanted = arg;
    if (wanted != NULL && !reeve_glob_match(wanted, topic->client)) {
        return false;
    }
    if (follow->json) {
        return true;
    }
    if (record == NULL) {
        output_print("%s is gone\n", topic->client);
    } else if (reeve_str_eq(topic->leaf, "event")) {
        put_event(topic, record);
    } else {
        put_status(topic, record);
    }
    return true;
}

int cmd_pool_watch(const struct invocation *inv)
{
    static const char *const filters[] = {"pool/+/status", "pool/+/event", NULL};
    struct reeve_why why;
    const char *wanted = inv->args_len > 0 ? inv->args[0] : NULL;
    if (wanted != NULL && !reeve_glob_is(wanted) && reeve_name_check(wanted, &why) != REEVE_OK) {
        return output_fail(inv, EXIT_USAGE, "POOL: %s", why.text);
    }
    struct follow follow = {.inv = inv, .filters = filters, .take = take, .arg = (void *)(uintptr_t)wanted};
    return follow_run(&follow);
}
