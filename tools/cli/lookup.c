// Reading presence once; see lookup.h.
// Must not: print.
#include "lookup.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/units.h>
#include <stdlib.h>

enum reeve_err lookup_init(struct lookup *lookup, struct session *session, struct reeve_why *why)
{
    *lookup = (struct lookup){.session = session};
    lookup->registry = reeve_registry_new(session->site->root, 0);
    return lookup->registry != NULL ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "out of memory");
}

void lookup_done(struct lookup *lookup)
{
    reeve_strv_done(&lookup->filters);
    reeve_registry_free(lookup->registry);
    lookup->registry = NULL;
}

static void on_record(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct lookup *lookup = arg;
    struct reeve_why why;
    if (lookup->registry == NULL) {
        return; // done with; the session is on its way out and still receives
    }
    lookup->last_mono = reeve_clock_mono_ms();
    if (reeve_registry_take(lookup->registry, delivery, lookup->last_mono, &why) != REEVE_OK) {
        char text[sizeof why];
        reeve_log(REEVE_LOG_INFO, "presence", "record=malformed why=\"%s\" ignoring",
                  reeve_why_format(&why, text, sizeof text));
    }
    if (lookup->changed != NULL) {
        lookup->changed(lookup, lookup->arg);
    }
}

// Once each: what is wanted of a node and of a worker overlaps.
static enum reeve_err read_filter(struct lookup *lookup, const char *filter, struct reeve_why *why)
{
    if (reeve_strv_has(&lookup->filters, filter)) {
        return REEVE_OK;
    }
    if (reeve_strv_add(&lookup->filters, filter) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    return reeve_bus_subscribe(lookup->session->bus, filter, 1, 0, on_record, lookup, why);
}

static enum reeve_err subscribe(struct lookup *lookup, const char *part, const char *node, const char *rest,
                                struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    (void)reeve_topic_make(filter, lookup->session->site->root, "%s/%s/%s", part, node, rest);
    return read_filter(lookup, filter, why);
}

enum reeve_err lookup_want_all(struct lookup *lookup, const char *node, struct reeve_why *why)
{
    REEVE_STRV_AUTO filters = {0};
    enum reeve_err err = reeve_registry_filters(lookup->registry, node, &filters);
    for (size_t i = 0; err == REEVE_OK && i < filters.len; i++) {
        err = read_filter(lookup, filters.items[i], why);
    }
    return err;
}

enum reeve_err lookup_want_nodes(struct lookup *lookup, const char *node, struct reeve_why *why)
{
    const char *which = node != NULL ? node : "+";
    enum reeve_err err = subscribe(lookup, "node", which, "status", why);
    return err == REEVE_OK ? subscribe(lookup, "node", which, "lwt", why) : err;
}

enum reeve_err lookup_want_worker(struct lookup *lookup, const char *node, const char *worker, struct reeve_why *why)
{
    static const char *const leaves[] = {"process", "status", "lwt"};
    enum reeve_err err = lookup_want_nodes(lookup, node, why);
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(leaves); i++) {
        char rest[REEVE_NAME_SIZE + 16];
        (void)snprintf(rest, sizeof rest, "%s/%s", worker, leaves[i]);
        err = subscribe(lookup, "worker", node != NULL ? node : "+", rest, why);
    }
    return err;
}

static bool is_quiet(void *arg)
{
    const struct lookup *lookup = arg;
    return reeve_clock_mono_ms() - lookup->last_mono >= LOOKUP_QUIET_MS;
}

enum reeve_err lookup_settle(struct lookup *lookup, struct reeve_why *why)
{
    int64_t limit_mono = reeve_clock_mono_ms() + LOOKUP_LIMIT_MS;
    enum reeve_err err = REEVE_TIMEOUT;
    lookup->last_mono = reeve_clock_mono_ms(); // what was asked for a moment ago may be on its way
    while (err == REEVE_TIMEOUT && !is_quiet(lookup) && reeve_clock_mono_ms() < limit_mono) {
        err = session_run(lookup->session, is_quiet, lookup, lookup->last_mono + LOOKUP_QUIET_MS, why);
    }
    return err == REEVE_TIMEOUT ? REEVE_OK : err; // a busy site: what came is shown
}

// ---- is a node there? -----------------------------------------------------------------------------------------

static const char *age_text(int64_t at, char buf[REEVE_UNITS_TEXT_LEN])
{
    int64_t age_ms = reeve_clock_wall_ms() - at;
    return at > 0 && age_ms >= 0 ? reeve_duration_human(age_ms, buf) : "some time";
}

static enum reeve_err no_such_node(const struct lookup *lookup, const char *node, struct reeve_why *why)
{
    const struct reeve_known_node **nodes = NULL;
    size_t len = reeve_registry_nodes(lookup->registry, &nodes);
    const char **names = calloc(len + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < len; i++) {
        names[i] = nodes[i]->name;
    }
    const char *near = names != NULL ? reeve_near(node, names) : NULL;
    enum reeve_err err =
        reeve_fail(why, REEVE_OFFLINE, "node %s is not there: it has no status%s%s%s", node,
                   near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    free(names);
    free(nodes);
    return err;
}

enum reeve_err lookup_node_there(const struct lookup *lookup, const char *node, struct reeve_why *why)
{
    char age[REEVE_UNITS_TEXT_LEN];
    const struct reeve_known_node *known = reeve_registry_node(lookup->registry, node);
    if (known == NULL) {
        return no_such_node(lookup, node, why);
    }
    int64_t at = reeve_get_int(known->record, "at", 0);
    switch (reeve_registry_node_liveness(lookup->registry, known, reeve_clock_mono_ms())) {
    case REEVE_LIVE:
        return REEVE_OK;
    case REEVE_ABSENT:
        return no_such_node(lookup, node, why);
    case REEVE_LEFT:
        return reeve_fail(why, REEVE_OFFLINE, "node %s is offline: its daemon left %s ago", node, age_text(at, age));
    case REEVE_STALE:
        return reeve_fail(why, REEVE_OFFLINE, "node %s does not renew its status; the last one is %s old", node,
                          age_text(at, age));
    case REEVE_DEAD:
        break;
    }
    return reeve_fail(why, REEVE_OFFLINE, "node %s is dead: its connection broke; its last status is %s old", node,
                      age_text(at, age));
}
