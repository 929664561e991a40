// The connection of one command line; see session.h.
// Must not: print.
#include "session.h"

#include <reeve/clock.h>
#include <reeve/log.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define GOODBYE_MS 1000 // what is still queued at the end gets this long

static void on_ready(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    struct session *session = arg;
    session->ready = true;
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    (void)bus;
    (void)retry_ms;
    struct session *session = arg;
    // The bus tells in words; its words for what a broker says about credentials begin like this.
    bool denied = reeve_str_starts(why->text, "not authorised") || reeve_str_starts(why->text, "banned") ||
                  reeve_str_starts(why->text, "no rights");
    session->lost = true;
    session->why = *why;
    session->err = denied ? REEVE_DENIED : REEVE_OFFLINE;
}

static void on_signal(int number, void *arg)
{
    struct session *session = arg;
    session->signal = number;
}

static void on_deadline(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct session *session = arg;
    session->late = true;
}

enum reeve_err session_init(struct session *session, const struct site *site, struct reeve_why *why)
{
    *session = (struct session){.site = site};
    if (uv_loop_init(&session->loop) != 0) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the event loop");
    }
    until_init(&session->until, &session->loop);
    reeve_timer_init(&session->loop, &session->deadline, on_deadline, session);
    session->deadline_mono = reeve_clock_mono_ms() + site->timeout_ms;
    const struct reeve_bus_options options = {.loop = &session->loop,
                                              .broker = &site->broker,
                                              .root = site->root,
                                              .client = site->client,
                                              .on_ready = on_ready,
                                              .on_lost = on_lost,
                                              .arg = session,
                                              .fail_fast = true};
    enum reeve_err err = reeve_signals_new(&session->loop, on_signal, session, &session->signals, why);
    return err == REEVE_OK ? reeve_bus_new(&options, &session->bus, why) : err;
}

static bool is_ready(void *arg)
{
    return ((const struct session *)arg)->ready;
}

// What a person can do about it stands with it.
static enum reeve_err explain(const struct session *session, struct reeve_why *why)
{
    const struct site *site = session->site;
    if (session->err == REEVE_DENIED) {
        return reeve_fail(why, REEVE_DENIED, "%s refuses user '%s': %s", site->broker.url,
                          site->broker.username != NULL ? site->broker.username : "(none)", session->why.text);
    }
    if (site->dir[0] != '\0') {
        return reeve_fail(why, REEVE_OFFLINE, "the site in %.150s does not answer (%s: %s); is its `reeve up` running?",
                          site->dir, site->broker.url, session->why.text);
    }
    return reeve_fail(why, REEVE_OFFLINE, "%s: %s", site->broker.url, session->why.text);
}

enum reeve_err session_open(struct session *session, struct reeve_why *why)
{
    reeve_bus_start(session->bus);
    enum reeve_err err = session_run(session, is_ready, session, session->deadline_mono, why);
    if (err == REEVE_OFFLINE) {
        return explain(session, why);
    }
    if (err == REEVE_TIMEOUT) {
        return reeve_fail(why, err, "%s: no answer within the timeout", session->site->broker.url);
    }
    return err;
}

static bool is_over(void *arg)
{
    const struct session *session = arg;
    return session->done(session->done_arg) || session->lost || session->late || session->signal != 0;
}

enum reeve_err session_run(struct session *session, bool (*done)(void *arg), void *arg, int64_t deadline_mono,
                           struct reeve_why *why)
{
    session->late = false;
    if (deadline_mono > 0) {
        reeve_timer_start(&session->deadline, deadline_mono - reeve_clock_mono_ms(), 0);
    }
    session->done = done;
    session->done_arg = arg;
    until_run(&session->until, is_over, session);
    reeve_timer_stop(&session->deadline);
    if (done(arg)) {
        return REEVE_OK;
    }
    if (session->signal != 0) {
        return reeve_fail(why, REEVE_CANCELLED, "interrupted");
    }
    if (session->lost) {
        *why = session->why;
        return REEVE_OFFLINE;
    }
    return reeve_fail(why, REEVE_TIMEOUT, "no answer within the timeout");
}

static void on_stopped(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    ((struct session *)arg)->stopped = true;
}

static bool is_stopped(void *arg)
{
    return ((const struct session *)arg)->stopped;
}

void session_done(struct session *session)
{
    if (session->site == NULL) {
        return; // never initialised
    }
    if (session->bus != NULL) {
        reeve_bus_stop(session->bus, GOODBYE_MS, on_stopped, session);
        until_run(&session->until, is_stopped, session); // the deadline of the stop ends it
        reeve_bus_free(session->bus);
        session->bus = NULL;
    }
    if (session->signals != NULL) {
        reeve_signals_free(session->signals);
    }
    reeve_timer_close(&session->deadline, NULL);
    reeve_loop_finish(&session->loop);
    session->site = NULL;
}
