// Commands that break the worker in the ways a supervisor has to notice.
// Each answers first and breaks on a timer a moment later, so that the sender knows that it was this command.
// Must not: tidy up before it breaks.
#include "probe.h"

#include <reeve/log.h>
#include <reeve/loop.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BREAK_DELAY_MS 50 // for the reply to go out

static struct reeve_timer fuse;
static bool lit;
static int fuse_signal; // 0 = exit
static int fuse_code;

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"SEGV", SIGSEGV}, {"ABRT", SIGABRT}, {"KILL", SIGKILL}, {"BUS", SIGBUS},   {"FPE", SIGFPE},
    {"ILL", SIGILL},   {"TERM", SIGTERM}, {"INT", SIGINT},   {"STOP", SIGSTOP}, {"QUIT", SIGQUIT},
};

static enum reeve_err parse_signal(const char *text, int *ret, struct reeve_why *why)
{
    const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
    int64_t number;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(signals); i++) {
        if (strcmp(signals[i].name, name) == 0) {
            *ret = signals[i].number;
            return REEVE_OK;
        }
    }
    if (reeve_parse_i64(text, &number, NULL) != REEVE_OK || number < 1 || number > SIGRTMAX) {
        return reeve_fail(why, REEVE_INVALID, "signal: '%.16s' is no signal such as SEGV or 11", text);
    }
    *ret = (int)number;
    return REEVE_OK;
}

static void blow(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* one fuse */
    (void)arg;   /* nothing is tidied up */
    if (fuse_signal == 0) {
        _exit(fuse_code);
    }
    (void)signal(fuse_signal, SIG_DFL); /* KILL and STOP refuse, and need none */
    (void)raise(fuse_signal);           /* a signal that does not end us is not our business */
}

static void light(struct reeve_worker *worker)
{
    if (lit) {
        return; // it breaks already, in the way that was asked for last
    }
    lit = true;
    reeve_timer_init(reeve_worker_loop(worker), &fuse, blow, worker);
    reeve_timer_start(&fuse, BREAK_DELAY_MS, 0);
}

enum reeve_err probe_crash(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    const char *text = reeve_get_str(reeve_call_args(call), "signal");
    enum reeve_err err = parse_signal(text == NULL ? "SEGV" : text, &fuse_signal, why);
    if (err != REEVE_OK) {
        return err;
    }
    reeve_log(REEVE_LOG_ERROR, "probe", "signal=%d as told, crashing", fuse_signal);
    light(worker);
    return reeve_call_done(call, NULL, "crashing");
}

enum reeve_err probe_exit(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    int64_t code = reeve_get_int(reeve_call_args(call), "code", 0);
    if (code < 0 || code > 255) {
        return reeve_fail(why, REEVE_INVALID, "code: %lld is not within 0..255", (long long)code);
    }
    if (reeve_get_bool(reeve_call_args(call), "goodbye", false)) {
        reeve_worker_leave(worker, (int)code);
        return reeve_call_done(call, NULL, "leaving");
    }
    fuse_signal = 0;
    fuse_code = (int)code;
    light(worker);
    return reeve_call_done(call, NULL, "exiting");
}

enum reeve_err probe_hang(struct reeve_worker *worker, struct reeve_call *call, struct reeve_why *why)
{
    bool on = reeve_get_bool(reeve_call_args(call), "on", true);
    (void)why; /* can't fail */
    reeve_worker_hang(worker, on);
    return reeve_call_done(call, NULL, on ? "silent from now on" : "awake again");
}
