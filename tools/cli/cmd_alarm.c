// alarm: what is open, and that somebody has seen it.
// Must not: close an alarm; whoever opened it does, when it is over.
#include "ask.h"
#include "commands.h"
#include "fleet_view.h"

#include <pwd.h>
#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_alarms(const struct invocation *inv, const struct reeve_value *result)
{
    const struct reeve_value *alarms = reeve_value_get(result, "alarms");
    if (!opt_given(inv, OPT_QUIET)) {
        fleet_view_alarms(alarms);
        return;
    }
    for (size_t i = 0; i < reeve_value_len(alarms); i++) {
        const char *kind = reeve_get_str(reeve_value_at(alarms, i), "kind");
        const char *subject = reeve_get_str(reeve_value_at(alarms, i), "subject");
        output_print("%s/%s\n", kind != NULL ? kind : "?", subject != NULL ? subject : "?");
    }
}

static void show_acknowledged(const struct invocation *inv, const struct reeve_value *result)
{
    const char *by = reeve_get_str(reeve_value_get(result, "alarm"), "acknowledged_by");
    (void)inv;
    output_print("acknowledged%s%s\n", by != NULL ? " by " : "", by != NULL ? by : "");
}

// A person, also behind sudo.
static const char *login_name(void)
{
    const char *names[] = {getenv("SUDO_USER"), getenv("USER"), getenv("LOGNAME")};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
        if (names[i] != NULL && names[i][0] != '\0') {
            return names[i];
        }
    }
    const struct passwd *user = getpwuid(getuid());
    return user != NULL ? user->pw_name : NULL;
}

// `KIND SUBJECT` or, as `alarm ls -q` writes it, KIND/SUBJECT.
static enum reeve_err put_ack(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    char kind[REEVE_NAME_SIZE] = "";
    const char *subject = inv->args_len > 1 ? inv->args[1] : strchr(inv->args[0], '/');
    size_t len = strcspn(inv->args[0], "/");
    const char *by = opt_value(inv, OPT_BY) != NULL ? opt_value(inv, OPT_BY) : login_name();
    struct reeve_why reason;
    if (subject == NULL) {
        return reeve_fail(why, REEVE_INVALID, "which %.60s? give KIND/SUBJECT; `reeve alarm ls` shows them",
                          inv->args[0]);
    }
    subject += subject[0] == '/' && inv->args_len == 1 ? 1 : 0;
    if (len >= sizeof kind) {
        return reeve_fail(why, REEVE_INVALID, "KIND: longer than %d characters", REEVE_NAME_LEN_MAX);
    }
    (void)snprintf(kind, sizeof kind, "%.*s", (int)len, inv->args[0]);
    if (reeve_name_check(kind, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "KIND: %s", reason.text);
    }
    if (subject[0] == '\0') {
        return reeve_fail(why, REEVE_INVALID, "SUBJECT is empty; `reeve alarm ls` shows them");
    }
    if (by == NULL) {
        return reeve_fail(why, REEVE_INVALID, "who are you? say --by NAME");
    }
    reeve_put_str(args, "kind", kind);
    reeve_put_str(args, "subject", subject);
    reeve_put_str(args, "by", by);
    reeve_put_str_opt(args, "note", opt_value(inv, OPT_NOTE));
    return REEVE_OK;
}

static enum reeve_err put_list(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_why reason;
    if (inv->args_len > 0 && reeve_name_check(inv->args[0], &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "KIND: %s", reason.text);
    }
    reeve_put_str_opt(args, "kind", inv->args_len > 0 ? inv->args[0] : NULL);
    if (opt_given(inv, OPT_OPEN)) {
        reeve_put_bool(args, "open_only", true);
    }
    return REEVE_OK;
}

int cmd_alarm(const struct invocation *inv)
{
    bool lists = strcmp(inv->command->name, "alarm ls") == 0;
    REEVE_VALUE_AUTO args = reeve_value_map();
    struct reeve_why why = {0};
    enum reeve_err err = lists ? put_list(inv, args, &why) : put_ack(inv, args, &why);
    if (err != REEVE_OK) {
        return output_fail_why(inv, err, &why);
    }
    struct question question = {.part = "manager",
                                .op = lists ? "alarms" : "acknowledge",
                                .args = reeve_value_take(&args),
                                .flags = lists ? ASK_READS : 0,
                                .pages = lists ? "alarms" : NULL,
                                .show = lists ? show_alarms : show_acknowledged};
    return ask(inv, &question);
}
