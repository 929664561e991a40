// watch: every message below a pattern, as JSON lines {topic, retained, at, payload}.
// Must not: end because of what others publish; what is no msgpack is shown as text or {"$bin"}.
#include "commands.h"
#include "follow.h"
#include "output.h"
#include "payload.h"
#include "session.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <string.h>

struct watching {
    struct session *session;
    int64_t left; // messages until the end; -1 = no end
    bool failed;
};

static void on_message(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct watching *watching = arg;
    REEVE_VALUE_AUTO line = reeve_value_map();
    if (watching->left == 0) {
        return;
    }
    reeve_put_str(line, "topic", delivery->topic);
    reeve_put_bool(line, "retained", delivery->retained);
    reeve_put_int(line, "at", reeve_clock_wall_ms());
    (void)reeve_value_put(
        line, "payload", payload_value(delivery->payload, delivery->payload_len)); /* remembered: reeve_value_built() */
    watching->failed |= output_json(line, false) != EXIT_DONE;
    watching->left -= watching->left > 0 ? 1 : 0;
}

static bool seen_enough(void *arg)
{
    const struct watching *watching = arg;
    return watching->left == 0 || watching->failed;
}

// Below the root unless it begins with it.
static enum reeve_err make_filter(const char *root, const char *pattern, char filter[REEVE_TOPIC_SIZE],
                                  struct reeve_why *why)
{
    size_t root_len = strlen(root);
    bool whole = strncmp(pattern, root, root_len) == 0 && (pattern[root_len] == '/' || pattern[root_len] == '\0');
    if (strlen(pattern) + root_len + 1 > REEVE_TOPIC_LEN_MAX) {
        return reeve_fail(why, REEVE_INVALID, "the pattern is longer than a topic can be");
    }
    (void)snprintf(filter, REEVE_TOPIC_SIZE, "%s%s%s", whole ? "" : root, whole ? "" : "/", pattern);
    return REEVE_OK;
}

int cmd_watch(const struct invocation *inv)
{
    SITE_AUTO site = {0};
    SESSION_AUTO session = {0};
    struct watching watching = {.session = &session};
    struct reeve_why why = {0};
    char filter[REEVE_TOPIC_SIZE];
    enum reeve_err err = follow_count(inv, &watching.left, &why);
    if (err == REEVE_OK) {
        err = site_load(inv, &site, &why);
    }
    if (err == REEVE_OK) {
        err = make_filter(site.root, inv->args_len > 0 ? inv->args[0] : "#", filter, &why);
    }
    if (err == REEVE_OK) {
        err = session_init(&session, &site, &why);
    }
    if (err == REEVE_OK) {
        err = reeve_bus_subscribe(session.bus, filter, 1, 0, on_message, &watching, &why);
    }
    if (err == REEVE_OK) {
        err = session_open(&session, &why);
    }
    if (err == REEVE_OK) {
        int64_t end_mono = opt_given(inv, OPT_TIMEOUT) ? session.deadline_mono : 0;
        err = session_run(&session, seen_enough, &watching, end_mono, &why);
    }
    if (watching.failed) {
        return EXIT_REFUSED;
    }
    // The end of the time that was asked for, and Ctrl-C, are how it is meant to end; too few messages is an answer,
    // too.
    bool short_of = err == REEVE_TIMEOUT && session.ready && watching.left > 0;
    bool ended = session.ready && (err == REEVE_TIMEOUT || err == REEVE_CANCELLED);
    if (err == REEVE_OK || (ended && !short_of)) {
        return EXIT_DONE;
    }
    return output_fail_why(inv, err, &why);
}
