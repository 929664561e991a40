// fleet watch: the manager's verdicts, those that are and then each change. Reads retained records only.
// Must not: give a command; a viewer may do this.
#include "commands.h"
#include "fleet_args.h"
#include "fleet_view.h"
#include "follow.h"

#include <stdlib.h>

struct watching {
    struct fleet_filter filter;
    struct follow follow;
};

static void put_verdict(const struct reeve_value *verdict)
{
    const char *state = reeve_get_str(verdict, "state");
    const char *availability = reeve_get_str(verdict, "availability");
    const char *health = reeve_get_str(verdict, "health");
    const char *why = reeve_get_str(verdict, "why");
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(16u << 10);
    follow_put_time(&out, reeve_get_int(verdict, "at", 0));
    reeve_buf_printf(&out, "%s/%s ", reeve_get_str(verdict, "node") != NULL ? reeve_get_str(verdict, "node") : "?",
                     reeve_get_str(verdict, "worker") != NULL ? reeve_get_str(verdict, "worker") : "?");
    output_colour(&out, fleet_state_colour(state), state != NULL ? state : "?");
    reeve_buf_printf(&out, "%s%s", availability != NULL ? " " : "", availability != NULL ? availability : "");
    if (health != NULL && !reeve_str_eq(health, "healthy") && !reeve_str_eq(health, "unknown")) {
        reeve_buf_puts(&out, " ");
        output_colour(&out, fleet_state_colour(health), health);
    }
    follow_put_text(&out, why, "  ");
    reeve_buf_puts(&out, "\n");
    (void)output_write(&out); /* a closed pipe ends the program */
}

static bool take(struct follow *follow, const struct reeve_topic *topic, const struct reeve_value *record, void *arg)
{
    const struct watching *watching = arg;
    if (record == NULL) { // a tombstone: only its name is known
        REEVE_VALUE_AUTO gone = reeve_value_map();
        reeve_put_str(gone, "node", topic->node);
        reeve_put_str(gone, "worker", topic->worker);
        if (!fleet_filter_fits(&watching->filter, gone)) {
            return false;
        }
        if (!follow->json) {
            output_print("%s/%s forgotten\n", topic->node, topic->worker);
        }
        return true;
    }
    if (!fleet_filter_fits(&watching->filter, record)) {
        return false;
    }
    if (!follow->json) {
        put_verdict(record);
    }
    return true;
}

int cmd_fleet_watch(const struct invocation *inv)
{
    static const char *const filters[] = {"fleet/+/+", NULL};
    struct watching watching = {.follow = {.inv = inv, .filters = filters, .take = take, .arg = &watching}};
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    enum reeve_err err = fleet_args_put(inv, args, &why);
    if (err == REEVE_OK) {
        err = fleet_filter_read(args, &watching.filter, &why);
    }
    return err == REEVE_OK ? follow_run(&watching.follow) : output_fail_why(inv, err, &why);
}
