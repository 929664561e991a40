// Inside the room of holds: what is kept of each, and what its files call of each other.
//   hold.c            memory and store, what others ask        hold_ops.c     online offline pause resume
//   hold_reconcile.c  from what was said to orders, by level   emergency.c    start stop kill restart shutdown clear
// Must not: be included from outside of these and their tests.
#ifndef REEVE_MANAGER_HOLD_ROOM_H
#define REEVE_MANAGER_HOLD_ROOM_H

#include "hold.h"
#include "manager.h"

#define HOLDS_MAX          100000 // workers about whom something is said; more are refused
#define HOLD_ORDERS_MAX    1000   // under way at once; the others wait
#define HOLD_BATCH_MAX     256    // names in one order to a node
#define HOLD_SETTLE_MS     1000   // a stop is left to the command that asked for it for so long
#define HOLD_SEEN_MS       5000   // done, but not seen yet: asked again after
#define HOLD_BACKOFF_MS    2000   // refused or no answer: doubling from here
#define HOLD_BACKOFF_MAX_MS 300000
#define HOLD_KEY_SIZE      (2 * REEVE_NAME_SIZE)
#define HOLD_FLEET_KEY     "fleet" // of what is said about everybody; a worker's key has a slash

// What can be said, the strongest first. id, text
#define HOLD_KIND_LIST(X)                                                                                              \
    X(SHUTDOWN, "shutdown") /* stopped and kept so, also when somebody starts it */                                    \
    X(STOP, "stopped")      /* of a worker: to be stopped when its node is back. Of the fleet: nothing is started */   \
    X(OFFLINE, "offline")                                                                                              \
    X(PAUSE, "paused")
enum hold_kind {
#define X(id, text) HOLD_##id,
    HOLD_KIND_LIST(X)
#undef X
        HOLD_KIND_COUNT
};
const char *hold_kind_text(enum hold_kind kind);

struct said {
    bool on;
    bool kill;  // STOP: without grace
    int64_t at; // wall
    char *by, *reason; // NULL = not said
};
struct hold {
    char node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE]; // "" = of the fleet
    struct said said[HOLD_KIND_COUNT];
    bool give_back_offline, give_back_pause; // ended here, but the worker has not been seen to know
    bool unsaved; // said in an emergency; on disk as soon as the disk takes it
};

// What a worker is to be told because what is seen of it does not fit.
enum hold_want { HOLD_WANT_NOTHING, HOLD_WANT_STOP, HOLD_WANT_KILL, HOLD_WANT_OFFLINE, HOLD_WANT_ONLINE, HOLD_WANT_PAUSE, HOLD_WANT_RESUME };
struct hold_task {
    char node[REEVE_NAME_SIZE], worker[REEVE_NAME_SIZE];
    enum hold_want want;
    uint64_t epoch; // of the worker's session when it was made: another one begins anew
    int64_t due_mono;
    int attempts;
    int64_t order; // number of the order under way; 0 = none is
    bool alone;    // its node refused a list: it is sent by itself
    bool told;     // in the log, that it keeps failing
};
struct holds {
    struct manager *manager;
    struct reeve_map *holds; // "<node>/<worker>" -> struct hold
    struct hold fleet;
    struct reeve_map *tasks; // "<node>/<worker>" -> struct hold_task
    size_t orders;           // under way
    int64_t order_number;
    bool look_at_all;        // at the next tick
    bool saving;             // a commit is waited for
    bool any_unsaved;
    uint64_t refused_full, failures;
};

// ---- hold.c ---------------------------------------------------------------------------------------------------------
const char *hold_key(char buf[HOLD_KEY_SIZE], const char *node, const char *worker);
// Of the worker; the fleet's for worker "". NULL when nothing is said. No pointer outlives the turn.
struct hold *hold_find(const struct holds *holds, const char *node, const char *worker);
struct hold *hold_make(struct holds *holds, const char *node, const char *worker); // NULL: no memory, or HOLDS_MAX
void hold_say(struct hold *hold, enum hold_kind kind, const char *by, const char *reason);
void hold_unsay(struct hold *hold, enum hold_kind kind);
// Into the turn's transaction, and what follows from it. `hold` may be gone after that: one that says nothing any more is.
void hold_save(struct holds *holds, struct hold *hold);
// The same, and in force although the disk refuses: kept until it is stored.
void hold_save_emergency(struct holds *holds, struct hold *hold);
void hold_save_unsaved(struct holds *holds);
bool hold_exempt(const struct fleet_worker_info *info); // the site's broker or manager: nobody holds it
bool hold_wants_stop(const struct holds *holds, const struct hold *hold); // `hold` NULL = nothing is said of this worker
bool hold_wants_offline(const struct holds *holds, const struct hold *hold);
// The strongest that is said of the worker or of the fleet; NULL = nothing.
const struct said *hold_strongest(const struct holds *holds, const char *node, const char *worker,
                                  enum hold_kind *ret_kind, bool *ret_fleet);
// "shut down by ada since 2026-11-22T13:58:30.245Z: why". Returns buf.
const char *hold_said_text(const struct said *said, enum hold_kind kind, char *buf, size_t buf_len);

// ---- hold_reconcile.c -----------------------------------------------------------------------------------------------
// What is to be ordered of a worker as it is seen. *ret_over: something that was said only until then has come true.
enum hold_want hold_want_of(const struct holds *holds, const struct fleet_worker_info *info, bool node_live, bool *ret_over);
bool hold_has_process(const struct fleet_worker_info *info); // as far as is known; one that waits for its restart too
bool hold_node_live(const struct holds *holds, const char *node);
void hold_look(struct holds *holds, const char *node, const char *worker); // what is seen of it, or said of it, has changed
void hold_listen(struct manager *manager, enum fleet_change change, const struct fleet_node *node,
                 const struct fleet_worker *worker, void *arg);
// Nobody says `kind` (OFFLINE or PAUSE) of this worker any more: when it may still be so, it is ordered back.
void hold_give_back(struct holds *holds, const struct fleet_worker_info *info, enum hold_kind kind);

// ---- hold_ops.c -----------------------------------------------------------------------------------------------------
// Whether a selector is `all` and nothing else: then it is about the fleet, also about who joins later.
bool select_is_everybody(const struct select_args *select);

#endif
