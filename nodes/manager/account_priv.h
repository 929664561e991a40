// Inside the accounts' room: accounts in memory, and what the files of account_room.h share.
//   account_room.c   memory and store, status          account_files.c  the directory, its plan, its alarms
//   account_run.c    from what should be to orders     account_place.c  on which node
//   account_ops.c    ops, one and many                 account_batch.c  calls that wait for accounts
// An account's worker is named `account-<id>`, and its node is stored before the first order leaves: whatever is
// repeated goes to the same name on the same node, so that two of one account never run. For the same reason nobody is
// started elsewhere because a node can't be seen.
#ifndef REEVE_MANAGER_ACCOUNT_PRIV_H
#define REEVE_MANAGER_ACCOUNT_PRIV_H

#include "account_room.h"
#include "hold.h"
#include "manager.h"
#include "placement.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <reeve/units.h>

#define ACCOUNT_ORDERS_MAX   64 // under way at once: a node that starts 500 programs in one turn serves nobody else
#define ACCOUNT_ERROR_SIZE   256
#define ACCOUNT_SETTLE_MS    500   // from a change in the directory to reading it: editors write twice
#define ACCOUNT_LOOK_MS      60000 // and look without being told
#define ACCOUNT_AWAY_MS      10000 // before an alarm says that a node with accounts can't be seen
#define ACCOUNT_RETRY_MAX_MS 30000

#define ACCOUNT_STATE_LIST(X)                                                                                          \
    X(CREATED, "created")   /* known, never asked to run */                                                            \
    X(STARTING, "starting") /* asked to run, not there yet */                                                          \
    X(RUNNING, "running")                                                                                              \
    X(STOPPING, "stopping") /* asked to end, still there as far as is known */                                         \
    X(STOPPED, "stopped")                                                                                              \
    X(FAILED, "failed")         /* its node gave up, or does not take it */                                            \
    X(RESTARTING, "restarting") /* between two runs */
enum account_state {
#define X(id, text) ACCOUNT_##id,
    ACCOUNT_STATE_LIST(X)
#undef X
};
const char *account_state_text(enum account_state state);

enum account_step {
    STEP_NONE,
    STEP_APPLY,
    STEP_START,
    STEP_RESET,
    STEP_RESTART,
    STEP_CONFIGURE,
    STEP_STOP,
    STEP_REMOVE
};

struct account_entry {
    struct accounts *accounts;
    struct reeve_account account;         // the last good one that was applied, if `has_account`
    uint64_t restart_digest, live_digest; // of it
    // stored:
    int64_t since_at, started_at, stopped_at;
    uint64_t given_restart, given_live; // what its node has; 0 = nothing
    int64_t configured_run;             // the run that was told by `configure` ...
    uint64_t configured_live;           // ... this
    int64_t run_above;                  // a run newer than this one is asked for; 0 = any
    // of this process only:
    uint64_t order;                   // number of the order under way
    uint64_t sent_restart, sent_live; // with it
    int64_t sent_run;
    int64_t untold_run;    // this run takes no settings by command
    int64_t retry_mono;    // no order before
    int64_t trust_mono;    // before that, a record that says "no process" may be older than the last order's reply
    int64_t stop_grace_ms; // -1 = the spec's
    int64_t run, restarts; // as its node says
    int64_t surplus_mono;  // no second look before
    uint64_t published;    // digest of the status

    // stored:
    enum account_state state; // account_set_state() alone writes it
    enum account_step step;   // (of this process only) what the order is
    int tries;                // (the same) that came to nothing
    char id[REEVE_NAME_SIZE];
    char worker[REEVE_NAME_SIZE];
    char node[REEVE_NAME_SIZE];           // "" = not placed
    char started_by[REEVE_TOPIC_ID_SIZE]; // the command that did
    char error[ACCOUNT_ERROR_SIZE];
    bool wanted;      // asked to run
    bool no_defaults; // started without the defaults
    bool gone;        // its file is gone: stopped, removed from its node, forgotten
    bool has_account;
    // of this process only:
    bool invalid;                     // its newest file is; `account` is older
    bool kick;                        // asked to start though its node says that it is finished or has failed
    bool configure_failed;            // the error is about that
    bool unsure;                      // an `apply` left, and its node has not shown the worker yet
    bool down_for_sure;               // its node was there and said that no process is left
    bool refused;                     // nobody takes it as it should be; the error says why
    bool touched;                     // look at it in the next tick
    char refused_by[REEVE_NAME_SIZE]; // a node that did not take it
    char moved_from[REEVE_NAME_SIZE]; // a person says that it does not run there
};

struct batch;
struct accounts {
    struct manager *manager;
    struct reeve_map *entries; // id -> struct account_entry
    uint64_t orders;           // number of the last one
    size_t under_way;
    int64_t swept_mono; // all of them were looked at

    const char *path; // of the directory; NULL = none
    bool has_seen;
    struct reeve_account_dir seen; // the newest good reading
    struct reeve_account_dir bare; // the same without defaults, when somebody was started so
    uint64_t fingerprint;
    int64_t look_mono, settle_mono; // next look; after a change, 0 = none
    uv_fs_event_t *watch;
    struct reeve_value *plan; // LIST: what `seen` would change
    char plan_held[160];      // why it is not applied though `watch: apply`
    char unreadable[ACCOUNT_ERROR_SIZE];

    struct batch *batches;
};

// ---- account_room.c -------------------------------------------------------------------------------------------------
struct account_entry *account_find(const struct accounts *accounts, const char *id); // NULL
struct account_entry *account_new(struct accounts *accounts, const char *id); // into the map; NULL = out of memory
void account_forget(struct account_entry *entry);                             // row, record and memory
// Takes `account`'s content (a copy is the caller's to make).
enum reeve_err account_take(struct account_entry *entry, struct reeve_account *account);
void account_store(struct account_entry *entry); // a failure breaks the turn
void account_set_state(struct account_entry *entry, enum account_state state, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); // fmt = the error; NULL = none
void account_say(struct account_entry *entry, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); // the error alone
struct reeve_value *account_status_value(const struct account_entry *entry);
void account_touch(struct account_entry *entry);      // look at it soon
bool account_runs(const struct account_entry *entry); // it is asked to, enabled and there is something to run
bool account_down(const struct account_entry *entry); // created or stopped
struct account_entry **accounts_sorted(const struct accounts *accounts, size_t *ret_len); // caller frees; NULL

// ---- account_files.c ------------------------------------------------------------------------------------------------
void account_files_start(struct accounts *accounts);
void account_files_free(struct accounts *accounts);
void account_files_tick(struct accounts *accounts);
// Read the directory, if it changed, and do what `watch` says; or in any case, and make the plan only. OK, or why it
// could not be read.
enum account_look { ACCOUNT_LOOK_IF_CHANGED, ACCOUNT_LOOK_PLAN };
enum reeve_err account_files_look(struct accounts *accounts, enum account_look look, struct reeve_why *why);
size_t account_plan_apply(struct accounts *accounts); // returns how many changes it made; the plan is then what is left
const struct reeve_account_file *account_file_of(const struct accounts *accounts, const char *id); // in `seen`; NULL
struct reeve_value *account_errors_value(const struct reeve_errors *errors,
                                         bool warnings); // LIST of {place, path, text}
const struct reeve_account *account_of_dir(const struct reeve_account_dir *dir,
                                           const char *id); // valid, of that id; NULL
enum reeve_err account_bare_load(struct accounts *accounts, struct reeve_why *why);

// ---- account_place.c ------------------------------------------------------------------------------------------------
struct account_places; // the nodes as they are now, with what was placed since
void account_places_free(struct account_places *places);
// The node for an account, counted there; "" with the reasons in `why`. *places is made when it is NULL.
const char *account_place(struct accounts *accounts, struct account_places **places, const struct account_entry *entry,
                          char *why, size_t why_len);

// ---- account_run.c --------------------------------------------------------------------------------------------------
void account_observe(struct account_entry *entry); // what its node says, into its state
void account_reconcile(struct account_entry *entry, struct account_places **places);
void account_surplus(struct accounts *accounts,
                     const struct fleet_worker_info *info); // a worker of an account elsewhere
bool account_node_live(const struct accounts *accounts, const char *node);
void account_wake(struct account_entry *entry); // forget back-off: somebody asks

// ---- account_batch.c ------------------------------------------------------------------------------------------------
enum batch_kind { BATCH_START, BATCH_STOP, BATCH_RESTART };
struct batch_options {
    enum batch_kind kind;
    bool validate, no_defaults, all_or_nothing, move;
    bool single;        // the reply is about one account
    int64_t canary;     // 0 = none
    int64_t timeout_ms; // 0 = the preset
    int64_t grace_ms;   // -1 = the spec's
};
// Takes `ids`. Ends in call_done, call_fail or call_keep.
enum reeve_err account_batch_run(struct call *call, const struct batch_options *options, struct reeve_strv *ids,
                                 struct reeve_why *why);
void account_batches_tick(struct accounts *accounts);
void account_batches_free(struct accounts *accounts); // the calls are command.c's

#endif
