// One question to a program from outside: does the port accept, what does the HTTP server answer, how does this command
// end. Never blocks the loop, always ends by its timeout, leaves no socket and no process behind. Must not: know about
// workers, or what an answer leads to.
#ifndef REEVED_ASK_H
#define REEVED_ASK_H

#include <reeve/spec.h>
#include <sys/types.h>
#include <uv.h>

enum ask_kind { ASK_TCP, ASK_HTTP, ASK_EXEC };

struct ask_question { // borrowed during ask_start() only
    enum ask_kind kind;
    const char *address;     // TCP: "host:port"; HTTP: "http://host:port/path"
    int64_t status;          // HTTP: the one that is good; 0 = 200 to 399
    const char *const *argv; // EXEC: NULL-terminated, searched in PATH of `env`
    const char *const *env;
    const char *cwd; // NULL = /
    uid_t uid;       // (uid_t)-1 = as this process
    gid_t gid;
    int64_t timeout_ms;
};

struct ask_answer {
    bool ok;
    int64_t connect_us; // TCP: how long the connection took, without looking up the name
    char message[160];  // why not: "connection refused", "status 503", "exit 1: no such file", "no answer within 2s"
};

struct ask; // one in flight
typedef void ask_done(const struct ask_answer *answer, void *arg);

// `done` is called once, from the loop and never from here. INVALID for an address that is none, NOMEM.
enum reeve_err ask_start(uv_loop_t *loop, const struct ask_question *question, ask_done *done, void *arg,
                         struct ask **ret, struct reeve_why *why);
void ask_cancel(struct ask *ask); // `done` is not called any more; what it had started is ended
// Runs the loop until nothing is in flight, cancelled questions included. False when `timeout_ms` is over: a name
// lookup hangs in its thread, and the loop can't be closed.
bool ask_drain(uv_loop_t *loop, int64_t timeout_ms);
size_t ask_open(void); // in flight, cancelled ones included

// The status of an HTTP answer that begins like this; 0 = not yet to be seen, -1 = no HTTP.
int ask_http_status(const char *data, size_t len);

#endif
