// struct run, for run.c (link and start) and adopt.c (what a former daemon left).
// Must not: be included by anything else.
#ifndef REEVED_RUN_PRIV_H
#define REEVED_RUN_PRIV_H

#include "run.h"

#include <limits.h>
#include <reeve/buf.h>

#include "shim/plan.h"

enum run_command { RUN_SEND_LEASE, RUN_SEND_STOP, RUN_SEND_KILL, RUN_SEND_WATCH, RUN_SEND_COUNT };

struct run {
    const struct run_host *host;
    void *arg;
    char worker[REEVE_NAME_SIZE];
    int64_t number;
    enum run_ready ready;
    bool started_told;
    bool ready_told;
    bool ended; // the handler was or is being called
    bool link_over;
    bool closing; // nothing is reported any more; freed once libuv is done with the handles
    int handles;  // open libuv handles
    int fd;       // link; -1 = none (the shim is dead)
    pid_t pid;
    uint64_t start_time;

    // Commands that are still to be sent, bits of enum run_command.
    unsigned unsent;
    int64_t stop_grace_ms;
    bool watch_log;
    int64_t lease_until_ms, lease_grace_ms;

    uint64_t lost_delay_ms; // between two rounds of ending what a dead shim has left
    uv_poll_t poll;
    uv_timer_t timer;
};

// A plan read from a run folder; its strings point into text.
struct run_stored {
    struct reeve_buf text;
    struct plan plan;
};
struct run_stored *run_stored_read(const char *dir); // NULL: missing or damaged, so the shim never got it either
void run_stored_free(struct run_stored **stored);

enum reeve_err run_dir_path(const struct run_host *host, const char *worker, int64_t number, char ret[PATH_MAX],
                            struct reeve_why *why);
enum reeve_err run_new(const struct run_host *host, const char *worker, int64_t number, void *arg, struct run **ret,
                       struct reeve_why *why);
enum reeve_err run_attach(struct run *run, int fd, struct reeve_why *why); // takes fd, also on failure
void run_close(struct run *run);
void run_lost_later(struct run *run); // sweep rounds from the loop, then `ended`
// One round of ending what a dead shim has left. The number of live processes it found.
int run_sweep(const struct run_host *host, const char *worker, int64_t number);
void run_outcome_from(const struct shim_outcome *from, struct run_outcome *ret);
struct run_outcome run_outcome_without(const char *cause);
bool run_exit_read(const char *dir, struct run_outcome *ret);
int run_connect(const char *dir); // -1 with errno

#endif
