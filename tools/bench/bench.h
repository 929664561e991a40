// One benchmark: its private site, its session with the broker, what it has seen of each worker.
#ifndef REEVE_BENCH_H
#define REEVE_BENCH_H

#include "site.h"

#include <reeve/id.h>
#include <reeve/loop.h>
#include <reeve/message.h>

#define CROWD       100 // workers of one selector
#define WATCHED_MAX (CROWD + 8)
#define DEADLINE_MS 30000 // far more than any single step takes on a loaded machine
#define STATE_SIZE  16

// What was last seen of one worker. Times: reeve_clock_mono_ns(), on arrival here.
struct watched {
    char name[REEVE_NAME_SIZE];
    char state[STATE_SIZE]; // of `process`; "" = no record
    int64_t run;
    pid_t pid;
    int64_t record_ns;   // `process` arrived with this state and run
    uint64_t epoch;      // of `status`
    bool online;         // `status` is there and no goodbye
    int64_t online_ns;   // `status` arrived with this epoch
    uint64_t dead_epoch; // of `lwt`
    int64_t dead_ns;     // `lwt` arrived
    pid_t pulse_pid;     // the worker itself said: I run
    int64_t pulse_ns;    // and when it did, by its own look at the clock
};

struct bench {
    uv_loop_t loop;
    struct site site;
    struct reeve_broker broker;
    char url[64];
    struct reeve_bus *bus;
    bool ready;      // session with the broker
    bool node_ready; // the node's status says online
    bool left;
    bool interrupted;
    struct reeve_why lost;   // why there is no session
    struct reeve_timer tick; // wakes the loop, so that a deadline is looked at
    struct reeve_signals *signals;
    uv_poll_t pulse_poll;
    int pulse_fd;
    struct watched workers[WATCHED_MAX];
    size_t workers_len;
};

// The site's broker. bench_stop() in every case.
enum reeve_err bench_start(struct bench *bench, const char *bin_dir, const char *parent_dir, struct reeve_why *why);
// A node daemon, and a session that watches it.
enum reeve_err bench_start_node(struct bench *bench, struct reeve_why *why);
void bench_stop(struct bench *bench);

// The worker of that name, entered when it is new; NULL when there are WATCHED_MAX.
struct watched *bench_watched(struct bench *bench, const char *name);

typedef bool bench_condition(struct bench *bench, const void *arg);
// Turn the loop until condition(bench, arg). TIMEOUT after DEADLINE_MS, which names `what`.
enum reeve_err bench_wait(struct bench *bench, bench_condition *condition, const void *arg, const char *what,
                          struct reeve_why *why);

// ---- control.c: as whom it commands and listens ----------------------------------------------------------------

// A command on its way; control_await() follows every control_send() that was OK.
struct order {
    char id[REEVE_ULID_SIZE];
    int64_t sent_ns; // before it was handed to the bus
    int64_t over_ns; // terminal reply arrived
    bool over;
    enum reeve_phase phase;
    struct reeve_why why;
};
enum reeve_err control_open(struct bench *bench, struct reeve_why *why); // with all about the node, and waits for it
// The same in steps, for who watches something else: create, listen to topics below the root, connect.
enum reeve_err control_new(struct bench *bench, struct reeve_why *why);
enum reeve_err control_listen(struct bench *bench, const char *below_root, reeve_bus_handler *handler, void *arg,
                              struct reeve_why *why);
enum reeve_err control_connect(struct bench *bench, struct reeve_why *why);
void control_close(struct bench *bench);
// `op` to the worker, or to the node when worker is NULL. Takes `args` (NULL: none).
enum reeve_err control_send(struct bench *bench, const char *worker, const char *op, struct reeve_value *args,
                            struct order *order, struct reeve_why *why);
// Wait until it is over. INTERNAL with the reply's words when it was not done.
enum reeve_err control_await(struct bench *bench, struct order *order, const char *what, struct reeve_why *why);
// Both.
enum reeve_err control_do(struct bench *bench, const char *worker, const char *op, struct reeve_value *args,
                          struct reeve_why *why);

// ---- pulses.c: what workers say by themselves -------------------------------------------------------------------

enum reeve_err pulses_open(struct bench *bench, struct reeve_why *why); // <site>/pulse
void pulses_close(struct bench *bench);

#endif
