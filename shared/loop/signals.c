// SIGTERM, SIGINT and SIGHUP on the loop; SIGPIPE ignored.
// Must not decide what a signal means: that is the program's.
#include <reeve/loop.h>

#include <signal.h>
#include <stdlib.h>

static const int watched[] = {SIGTERM, SIGINT, SIGHUP};

struct reeve_signals {
    uv_signal_t handles[REEVE_ARRAY_LEN(watched)];
    size_t open; // handles whose close callback is still to come
    void (*handler)(int signal, void *arg);
    void *arg;
};

static void on_signal(uv_signal_t *handle, int signal)
{
    struct reeve_signals *signals = handle->data;
    signals->handler(signal, signals->arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct reeve_signals *signals = handle->data;
    if (--signals->open == 0) {
        free(signals);
    }
}

static enum reeve_err watch(uv_loop_t *loop, struct reeve_signals *signals, struct reeve_why *why)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(watched); i++) {
        int rc = uv_signal_init(loop, &signals->handles[i]);
        if (rc != 0) {
            return reeve_fail(why, REEVE_IO, "signal %d can't be watched: %s", watched[i], uv_strerror(rc));
        }
        signals->handles[i].data = signals;
        signals->open++;
        rc = uv_signal_start(&signals->handles[i], on_signal, watched[i]);
        if (rc != 0) {
            return reeve_fail(why, REEVE_IO, "signal %d can't be watched: %s", watched[i], uv_strerror(rc));
        }
    }
    return REEVE_OK;
}

enum reeve_err reeve_signals_new(uv_loop_t *loop, void (*handler)(int signal, void *arg), void *arg,
                                 struct reeve_signals **ret, struct reeve_why *why)
{
    struct reeve_signals *signals = calloc(1, sizeof(*signals));
    if (signals == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for signal handlers");
    }
    signals->handler = handler;
    signals->arg = arg;
    enum reeve_err err = watch(loop, signals, why);
    if (err != REEVE_OK) {
        reeve_signals_free(signals);
        return err;
    }
    // A peer that goes away is an error of that write, never the end of the program.
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    *ret = signals;
    return REEVE_OK;
}

void reeve_signals_free(struct reeve_signals *signals)
{
    if (signals == NULL) {
        return;
    }
    if (signals->open == 0) {
        free(signals);
        return;
    }
    size_t open = signals->open; // handles are opened from the front
    for (size_t i = 0; i < open; i++) {
        uv_close((uv_handle_t *)&signals->handles[i], on_closed);
    }
}
