// One connection for one command line: connect once, do something, leave. The loop is run from outside: session_run()
// turns it until a condition holds, so that a command reads from top to bottom.
//
//   SESSION_AUTO session = {0};
//   session_init(&session, &site);
//   ... reeve_bus_subscribe(session.bus, ...)            // before connecting: costs no round trip of its own
//   if (session_open(&session, &why) == REEVE_OK) { ... session_run(&session, done, arg, deadline) ... }
// Must not: retry. A command that can't connect says why, at once.
#ifndef REEVE_CLI_SESSION_H
#define REEVE_CLI_SESSION_H

#include "site.h"
#include "until.h"

#include <reeve/loop.h>

struct session {
    uv_loop_t loop;
    struct reeve_bus *bus; // NULL until session_init() worked
    const struct site *site;
    struct reeve_signals *signals;
    struct until until;
    struct reeve_timer deadline;
    bool (*done)(void *arg); // what session_run() waits for
    void *done_arg;
    int64_t deadline_mono; // of the whole command, --timeout from the start
    bool ready, lost, late, stopped;
    int signal;           // SIGINT, SIGTERM that came; 0
    struct reeve_why why; // of `lost`
    enum reeve_err err;   // of `lost`
};

enum reeve_err session_init(struct session *session, const struct site *site, struct reeve_why *why);
// Connected, subscribed, own probe seen. OFFLINE, TIMEOUT, DENIED (credentials); CANCELLED by a signal.
enum reeve_err session_open(struct session *session, struct reeve_why *why);
// Turn the loop until done(arg), the time (deadline_mono, 0 = for ever), the loss of the session or a signal. OK,
// TIMEOUT, OFFLINE or CANCELLED.
enum reeve_err session_run(struct session *session, bool (*done)(void *arg), void *arg, int64_t deadline_mono,
                           struct reeve_why *why);
void session_done(struct session *session); // says goodbye
#define SESSION_AUTO __attribute__((cleanup(session_done))) struct session

#endif
