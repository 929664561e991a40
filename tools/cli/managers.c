// Finding the manager; see managers.h.
// Must not: print.
#include "managers.h"

#include "lookup.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/units.h>
#include <stdlib.h>
#include <string.h>

enum reeve_err managers_init(struct managers *managers, struct session *session, struct reeve_why *why)
{
    *managers = (struct managers){.session = session};
    managers->registry = reeve_registry_new(session->site->root, 0);
    return managers->registry != NULL ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "out of memory");
}

void managers_done(struct managers *managers)
{
    reeve_registry_free(managers->registry);
    managers->registry = NULL;
}

// The registry knows nodes: status and lwt of a manager have the same form, under another first level.
static void on_record(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct managers *managers = arg;
    char topic[REEVE_TOPIC_SIZE];
    struct reeve_why why;
    if (managers->registry == NULL) {
        return; // done with; the session is on its way out and still receives
    }
    const struct reeve_topic parsed = reeve_topic_parse(managers->session->site->root, delivery->topic);
    if (parsed.kind != REEVE_TOPIC_MANAGER) {
        return;
    }
    managers->last_mono = reeve_clock_mono_ms();
    struct reeve_delivery as_node = *delivery;
    as_node.topic = reeve_topic_make(topic, managers->session->site->root, "node/%s/%s", parsed.client, parsed.leaf);
    if (reeve_registry_take(managers->registry, &as_node, managers->last_mono, &why) != REEVE_OK) {
        char text[sizeof why];
        reeve_log(REEVE_LOG_INFO, "manager", "record=malformed why=\"%s\" ignoring",
                  reeve_why_format(&why, text, sizeof text));
    }
}

enum reeve_err managers_want(struct managers *managers, struct reeve_why *why)
{
    static const char *const leaves[] = {"status", "lwt"};
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(leaves); i++) {
        char filter[REEVE_TOPIC_SIZE];
        (void)reeve_topic_make(filter, managers->session->site->root, "manager/+/%s", leaves[i]);
        err = reeve_bus_subscribe(managers->session->bus, filter, 1, 0, on_record, managers, why);
    }
    return err;
}

static bool is_quiet(void *arg)
{
    const struct managers *managers = arg;
    return reeve_clock_mono_ms() - managers->last_mono >= LOOKUP_QUIET_MS;
}

enum reeve_err managers_settle(struct managers *managers, struct reeve_why *why)
{
    int64_t limit_mono = reeve_clock_mono_ms() + LOOKUP_LIMIT_MS;
    enum reeve_err err = REEVE_TIMEOUT;
    managers->last_mono = reeve_clock_mono_ms();
    while (err == REEVE_TIMEOUT && !is_quiet(managers) && reeve_clock_mono_ms() < limit_mono) {
        err = session_run(managers->session, is_quiet, managers, managers->last_mono + LOOKUP_QUIET_MS, why);
    }
    return err == REEVE_TIMEOUT ? REEVE_OK : err;
}

size_t managers_list(const struct managers *managers, const struct reeve_known_node ***ret)
{
    return reeve_registry_nodes(managers->registry, ret);
}

const struct reeve_known_node *managers_get(const struct managers *managers, const char *name)
{
    return reeve_registry_node(managers->registry, name);
}

enum reeve_liveness managers_liveness(const struct managers *managers, const struct reeve_known_node *manager)
{
    return reeve_registry_node_liveness(managers->registry, manager, reeve_clock_mono_ms());
}

const char *managers_state(const struct managers *managers, const struct reeve_known_node *manager)
{
    enum reeve_liveness liveness = managers_liveness(managers, manager);
    const char *state = reeve_get_str(manager->record, "state");
    if (liveness == REEVE_LIVE && state != NULL) {
        return state;
    }
    return liveness == REEVE_LEFT ? "offline" : reeve_liveness_text(liveness);
}

// ---- which one --------------------------------------------------------------------------------------------------

static const char *start_hint(const struct managers *managers)
{
    return managers->session->site->dir[0] != '\0' ? "`reeve up` starts one, `reeve start manager` one that was stopped"
                                                   : "`reeve up` or reeve-manager starts one";
}

static enum reeve_err not_there(const struct managers *managers, const struct reeve_known_node *manager,
                                struct reeve_why *why)
{
    char age[REEVE_UNITS_TEXT_LEN];
    int64_t age_ms = reeve_clock_wall_ms() - reeve_get_int(manager->record, "at", 0);
    enum reeve_liveness liveness = managers_liveness(managers, manager);
    const char *what = liveness == REEVE_LEFT    ? "has left"
                       : liveness == REEVE_STALE ? "does not renew its status"
                                                 : "is dead: its connection broke";
    return reeve_fail(why, REEVE_OFFLINE, "manager %s %s (its last status is %s old); %s", manager->name, what,
                      manager->record != NULL && age_ms >= 0 ? reeve_duration_human(age_ms, age) : "very",
                      start_hint(managers));
}

static enum reeve_err no_such(const struct managers *managers, const char *given, struct reeve_why *why)
{
    const struct reeve_known_node **list = NULL;
    size_t len = managers_list(managers, &list);
    const char **names = calloc(len + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < len; i++) {
        names[i] = list[i]->name;
    }
    const char *near = names != NULL ? reeve_near(given, names) : NULL;
    enum reeve_err err =
        reeve_fail(why, REEVE_OFFLINE, "there is no manager '%s'%s%s%s", given, near != NULL ? "; did you mean '" : "",
                   near != NULL ? near : "", near != NULL ? "'?" : "; `reeve manager ls` shows those there are");
    free(names);
    free(list);
    return err;
}

static enum reeve_err several(const struct reeve_known_node *const *there, size_t len, struct reeve_why *why)
{
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < len && used < sizeof names - REEVE_NAME_SIZE - 3; i++) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", there[i]->name);
    }
    return reeve_fail(why, REEVE_INVALID, "there are %zu managers here (%s); say which: --manager NAME", len, names);
}

static enum reeve_err choose_only(const struct managers *managers, char ret[REEVE_NAME_SIZE], struct reeve_why *why)
{
    const struct reeve_known_node **list = NULL;
    size_t len = managers_list(managers, &list);
    size_t there = 0;
    enum reeve_err err = REEVE_OK;
    const struct reeve_known_node *gone = len > 0 ? list[0] : NULL;
    for (size_t i = 0; i < len; i++) {
        if (managers_liveness(managers, list[i]) == REEVE_LIVE) {
            list[there++] = list[i];
        }
    }
    if (there == 1) {
        (void)snprintf(ret, REEVE_NAME_SIZE, "%s", list[0]->name);
    } else if (there > 1) {
        err = several(list, there, why);
    } else if (gone != NULL) {
        err = not_there(managers, gone, why);
    } else {
        err = reeve_fail(why, REEVE_OFFLINE, "no manager is running here; %s", start_hint(managers));
    }
    free(list);
    return err;
}

static enum reeve_err choose_given(const struct managers *managers, const char *given, char ret[REEVE_NAME_SIZE],
                                   struct reeve_why *why)
{
    struct reeve_why reason;
    if (reeve_name_check(given, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--manager: %s", reason.text);
    }
    const struct reeve_known_node *manager = managers_get(managers, given);
    if (manager == NULL) {
        return no_such(managers, given, why);
    }
    (void)snprintf(ret, REEVE_NAME_SIZE, "%s", given);
    return managers_liveness(managers, manager) == REEVE_LIVE ? REEVE_OK : not_there(managers, manager, why);
}

enum reeve_err managers_choose(struct managers *managers, const char *given, char ret[REEVE_NAME_SIZE],
                               struct reeve_why *why)
{
    enum reeve_err err = given != NULL ? choose_given(managers, given, ret, why) : choose_only(managers, ret, why);
    if (err != REEVE_OFFLINE) {
        return err;
    }
    // Not there, or the broker sends retained records late.
    err = managers_settle(managers, why);
    if (err != REEVE_OK) {
        return err;
    }
    return given != NULL ? choose_given(managers, given, ret, why) : choose_only(managers, ret, why);
}
