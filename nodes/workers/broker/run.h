// One run of the broker: start it, pass signals on, see whether it ever listened, wait for its end.
// Must not: decide what to do about the end.
#ifndef REEVE_BROKER_RUN_H
#define REEVE_BROKER_RUN_H

#include <stdint.h>

#include <reeve/err.h>

#define RUN_NOT_EXECUTED 127 // exit code of a child that could not become the broker, as in shells

struct run_end {
    int status;    // of waitpid()
    bool listened; // it told that it is ready
    bool asked;    // SIGTERM or SIGINT was passed on
    int64_t ran_ms;
};

// Call once, before anything else: signals to pass on are blocked here and read when there is a broker to have them.
// READY=1 goes to $REEVE_NOTIFY_FD.
void run_prepare(void);
// IO: no process or no descriptor to be had.
enum reeve_err run_broker(const char *mosquitto, const char *config, struct run_end *ret, struct reeve_why *why);
// "exit:1", "signal:SEGV" in buf (>= 24 bytes). Returns buf.
const char *run_end_text(const struct run_end *end, char *buf, size_t buf_len);
// An end that a store which does not read back can explain: by itself, of a failure, before it ever listened.
bool run_end_is_failed_start(const struct run_end *end);
// End as the broker ended: returns its exit code, or ends this process by its signal (no core of ours).
int run_leave_as(const struct run_end *end);

#endif
