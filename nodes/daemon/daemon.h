// The node daemon: its state and the rooms it consists of.
//
//   main.c       options, configuration, loop, exit
//   daemon.c     start, stop, the turn of the loop
//   config.c     the configuration file                     store.c    what must not be forgotten
//   supervise.c  one worker: machine, run, timers, effects  run.c      one run: the shim and its process
//   spawn.c     from a spec to a plan: argv, env, files    probe.c    readiness by log line or port
//   command.c    commands in: checks, journal, dispatch     pending.c  commands in hand, until their terminal reply
//   select.c     which workers a command means              ops_*.c    what each op does
//   publish.c    records, events, audit, metrics            logs.c     log lines on request
//   lease.c      what a lease's renewal is worth (pure)    probes.c   questions to programs from outside, over and over
//   ask.c        one such question                         endpoints.c  how far away the node's endpoints are
//
// One thread, one loop. A turn: what arrived is applied in memory and written to the store's transaction; at the end
// of the turn it is committed, and only then what it announced leaves (`daemon_after_commit`).
#ifndef REEVED_DAEMON_H
#define REEVED_DAEMON_H

#include "cgroup.h"
#include "config.h"
#include "lease.h"
#include "run.h"
#include "store.h"

#include <reeve/bus.h>
#include <reeve/loop.h>
#include <reeve/map.h>
#include <reeve/presence.h>

struct daemon;
struct pending;

// ---- one worker ------------------------------------------------------------------------------------

struct worker {
    struct daemon *daemon;
    char name[REEVE_NAME_SIZE];
    struct reeve_spec spec;
    int64_t spec_version;
    char origin[16]; // "file", "command"; of the site's broker and manager "site" is published
    int64_t created_at;

    struct reeve_machine machine; // written by worker_step() only
    struct reeve_backoff backoff;
    struct run *run;       // NULL without a process
    int64_t last_run;      // number of the newest run
    int64_t ended_run;     // number of the newest run that has ended
    pid_t pid;             // 0 = none
    int64_t since_at;      // wall: of the state
    int64_t started_at, ready_at;
    int64_t restarts;
    int64_t next_delay_ms; // of the back-off that is armed or about to be
    int64_t next_start_at; // wall; for people
    bool has_exit;
    struct run_outcome exit; // of ended_run
    bool speaks;             // its status was seen
    char why[320];
    char not_enforced[192];
    struct cgroup_enforced enforced;
    bool logs_failing;
    int64_t files_version; // of the spec its handed files were written for
    bool stored_wanted; // as the store has it
    int64_t stored_restarts;
    int64_t lease_base_mono; // when the beat was sent whose answer granted the lease; 0 = none
    off_t log_start; // size of its log file when the newest run was launched

    bool lease_waits;      // wanted, and nothing is in the way but that it has no lease
    bool intended;         // a command of this turn is about it and not yet carried out
    bool adopting; // alive, but its shim has not yet told us about it: what the broker keeps is truer than `starting`
    bool held;             // at start: the configuration is about to change or remove it, so no run by the old spec
    bool removing;         // goes away as soon as its process is gone
    bool cleanup_due;      // ephemeral and finished
    bool dirty;            // its process record has to be published at the end of the turn
    int64_t ttl_until_mono; // 0 = none
    struct reeve_timer backoff_timer, ready_timer, ttl_timer;
    struct probes *probes; // NULL unless its spec has some and it runs
    struct ready_probe *probe; // NULL unless readiness is looked for by log or tcp
    struct log_follow *follow; // NULL unless somebody follows its log
    int closing;               // timers still open after removal
};

// ---- the daemon --------------------------------------------------------------------------------------

struct after_commit { // what waits for the commit of the turn
    void (*fn)(struct daemon *daemon, bool committed, const struct reeve_why *why, void *arg);
    void *arg;
};

struct daemon_counters {
    uint64_t commands, refused, malformed, duplicates, expired, retained, store_failures, spawns, spawn_failures, exits,
        oom_kills, lost_runs, events, turns, leases_refused;
};

struct daemon {
    uv_loop_t *loop;
    struct node_config config;
    struct store *store;
    struct reeve_bus *bus;
    struct cgroup_host *cgroups;
    struct run_host runs;
    char shim_path[4096];
    struct reeve_signals *signals;
    uv_prepare_t turn_end;
    struct reeve_timer heartbeat, metrics, housekeeping, leave_deadline;
    int64_t told_mono; // when a signal asked it to leave; 0 = none did

    struct reeve_map *workers;  // name -> struct worker
    struct reeve_map *commands; // id -> struct pending
    struct after_commit *after; // of this turn
    size_t after_len, after_cap;

    bool draining;
    bool any_dirty; // some worker has to be published at the end of the turn
    bool store_failing;
    bool leaving;        // on the way out
    bool leave_keep;     // workers stay
    bool no_goodbye;     // another daemon holds the name
    int leave_step;
    int64_t epoch_floor;  // the next epoch is at least this
    int64_t renewed_mono; // last renewal of the session for its epoch's sake
    int exit_code;
    int64_t started_at;
    int64_t housekept_mono;
    int64_t malformed_told_mono;
    uint64_t event_seq;
    struct lease_beats beats;
    struct probe_state *probes_first, *probes_last; // in line
    struct endpoints *endpoints; // NULL = none
    struct daemon_counters counters;
};

// daemon.c
enum reeve_err daemon_start(struct daemon *daemon, uv_loop_t *loop, struct node_config *config, struct reeve_why *why);
void daemon_leave(struct daemon *daemon, bool keep_workers); // begins the way out; the loop ends by itself
void daemon_done(struct daemon *daemon);
// Run `fn` when the transaction of this turn is on disk (or failed to be). Out of memory: at once, as failed.
void daemon_after_commit(struct daemon *daemon,
                         void (*fn)(struct daemon *daemon, bool committed, const struct reeve_why *why, void *arg), void *arg);
void daemon_commit(struct daemon *daemon); // end the turn here: what waits for its commit happens now
void daemon_worker_gone(struct daemon *daemon); // a worker's process ended or a worker was removed: may end the way out
struct worker *daemon_worker(const struct daemon *daemon, const char *name);

// supervise.c
enum reeve_err worker_new(struct daemon *daemon, const char *name, struct worker **ret, struct reeve_why *why);
void worker_free(struct worker *worker); // closes its timers; memory goes when they are closed
// One step of the machine with all that follows from it; CONFLICT with the machine's reason.
enum reeve_err worker_step(struct worker *worker, enum reeve_event event, const char *cause, struct reeve_why *why);
void worker_adopt(struct worker *worker, const struct store_worker *stored); // after a restart of the daemon
void worker_remove(struct worker *worker); // stop, then forget; at once when nothing runs
void worker_set_spec(struct worker *worker, struct reeve_spec *spec); // takes the content
void worker_ttl_arm(struct worker *worker, int64_t left_ms);
// Into the turn's transaction, with the desired state that a command asks for (in memory it changes after the commit).
enum reeve_err worker_store(struct worker *worker, bool wanted, struct reeve_why *why);
// The same for a spec that is not in memory yet: of a new worker (NULL) or of one that is to get it.
enum reeve_err worker_store_spec(struct daemon *daemon, const struct worker *worker, const struct reeve_spec *spec,
                                 const char *origin, bool wanted, struct reeve_why *why);
extern const struct run_handlers worker_run_handlers;
void worker_ready(struct worker *worker, const char *cause); // by probe.c

// ops_lease.c
int64_t worker_lease_until(const struct worker *worker); // CLOCK_BOOTTIME ms; 0 = none
bool worker_lease_permits(const struct worker *worker);  // without self_stop_after always
void worker_lease_tell(struct worker *worker);           // to its run
int64_t lease_heartbeat_ms(const struct daemon *daemon); // how often the node has to speak

// spawn.c
enum reeve_err worker_spawn(struct worker *worker, struct reeve_why *why);
// Whether this node could start the spec at all: program, user, folder. INVALID or NOENT with the reason.
enum reeve_err spawn_check(const struct node_config *config, const struct reeve_spec *spec, struct reeve_why *why);
// As whom and with what environment something of this worker's runs; `env` is added to.
enum reeve_err spawn_context(const struct worker *worker, uid_t *ret_uid, gid_t *ret_gid, struct reeve_strv *env,
                             struct reeve_why *why);
void spawn_forget(struct worker *worker); // its files, logs and groups
const char *spawn_log_dir(const struct worker *worker, char *buf, size_t buf_len);

// probe.c
enum reeve_err probe_start(struct worker *worker, struct reeve_why *why); // none needed = OK
void probe_stop(struct worker *worker);
void probe_log_grew(struct worker *worker);

// probes.c
void probes_start(struct worker *worker); // anew, when it has become ready or its spec has changed
void probes_stop(struct worker *worker);
struct reeve_value *probes_value(const struct worker *worker); // LIST of results that count, or NULL; caller frees

// endpoints.c
void endpoints_start(struct daemon *daemon); // anew, by the configuration
void endpoints_stop(struct daemon *daemon);
struct reeve_value *endpoints_value(const struct daemon *daemon); // {name: ms} of those that answer, or NULL; caller frees

// command.c
void command_take(struct daemon *daemon, const struct reeve_delivery *delivery);
void command_resume(struct daemon *daemon); // what a former daemon left open

// ---- commands in hand (pending.c) ------------------------------------------------------------------------

enum goal_kind {
    GOAL_NONE,    // nothing to wait for
    GOAL_RUNNING, // running, with a run above `run` (0 = any)
    GOAL_GONE,    // run `run` has ended
    GOAL_REMOVED, // the worker is forgotten
};
enum target_state { TARGET_WAITING, TARGET_DONE, TARGET_FAILED, TARGET_REJECTED, TARGET_SUPERSEDED };

struct target { // one worker that a command means
    char worker[REEVE_NAME_SIZE];
    enum goal_kind goal;
    int64_t run;
    enum target_state state;
    enum reeve_err err;
    char message[320];
    struct reeve_value *result; // MAP or NULL
};

struct op;
struct pending {
    struct daemon *daemon;
    const struct op *op;
    char *topic;
    char worker[REEVE_NAME_SIZE]; // of the topic; empty for the node's own
    struct reeve_command command;
    uint64_t digest;
    int64_t seq; // of the last reply
    struct target *targets;
    size_t targets_len;
    bool single;      // one worker by name: the reply is about it alone
    bool journaled;   // its intent is on disk
    bool unjournaled_ok; // executed although the disk refused (stop, kill)
    bool acted;       // accepted has left, effects are under way
    bool busy;      // `act` is walking the targets: it settles when it is through
    bool finished;  // the terminal reply is decided
    struct reeve_value *extra; // put into the result of a reply about many
    struct reeve_specs specs;  // apply: what is to be applied, one per target
    struct node_config *config; // reload: as read anew
    struct reeve_strv listeners; // more reply topics, of repeats of the same id
};

struct worker *target_worker(const struct pending *pending, const struct target *target); // NULL when it is gone
struct pending *pending_new(struct daemon *daemon, const struct op *op, const char *topic, const char *worker,
                            struct reeve_command *command); // takes the command
void pending_free(struct pending *pending);
enum reeve_err pending_add_target(struct pending *pending, const char *worker, struct reeve_why *why);
void pending_reply(struct pending *pending, enum reeve_phase phase, enum reeve_err err, const char *message,
                   const struct reeve_value *result);
// Terminal: into the journal, the audit, and to the sender after the commit; frees. `result` is taken.
void pending_finish(struct pending *pending, enum reeve_phase phase, enum reeve_err err, const char *message,
                    struct reeve_value *result);
void target_settle(struct pending *pending, struct target *target, enum target_state state, enum reeve_err err,
                   const char *message);
void pending_target_check(struct pending *pending, struct target *target, const struct worker *worker); // goal reached already?
// Called when a worker changed: settles what its state settles. And finishes commands with nothing left to wait for.
void pending_worker_changed(struct worker *worker);
void pending_worker_removed(struct daemon *daemon, const char *worker);
void pending_worker_start_failed(struct worker *worker, const char *message);
// A stop, kill or remove overtakes: earlier commands that want it running are superseded [cmd-5].
void pending_supersede(struct daemon *daemon, const char *worker, const struct pending *by);
void pending_settle(struct pending *pending); // finish if all targets are settled
struct reeve_value *pending_targets_value(const struct pending *pending, bool plan); // {name: {...}}; caller frees

// ---- ops (ops.c: the table) -----------------------------------------------------------------------------

#define OP_NODE 1u      // on node/<node>/cmd/
#define OP_WORKER 2u    // on worker/<node>/<worker>/cmd/
#define OP_SELECTS 4u   // means workers
#define OP_OVERTAKES 8u // stop, kill: also when the disk refuses
#define OP_READS 16u    // changes nothing: not journaled
#define OP_ADMITS_NEW 32u // refused while the node drains or leaves
#define OP_QUIET 128u // comes all the time: no audit and no log line when it is done, and may be repeated
#define OP_ONCE 64u // not to be repeated after a restart of the daemon: its outcome is then unknown

struct op {
    const char *name;
    const char *main_arg_node;   // what plain text means on the node's topic; NULL = no text
    const char *main_arg_worker; // and on a worker's
    unsigned flags;
    const char *const *args; // names it knows, NULL-terminated: others are refused with "did you mean"
    const char *doc;
    // Check and write what it intends into the turn's transaction; set the targets' goals. No effects yet. An error refuses the command.
    enum reeve_err (*prepare)(struct pending *pending, struct reeve_why *why);
    // After the commit: do it. Finishes the command or leaves it to its targets.
    void (*act)(struct pending *pending);
    // After a restart of the daemon, before `act`: set the goals of targets whose `run` the journal remembered. NULL = nothing to do.
    void (*resume)(struct pending *pending);
    // dry_run: what would change, as a MAP. NULL = the targets with their states.
    struct reeve_value *(*plan)(struct pending *pending);
};
const struct op *op_find(const char *name, unsigned level); // OP_NODE or OP_WORKER
const char *op_near(const char *name, unsigned level);
const struct op *op_at(size_t index); // for documentation; NULL past the end

// select.c: args `workers` (name, glob, list of them), `type`, `exchange`, `labels`, `state`, `all`. NOENT when a name fits nothing, with near names.
enum reeve_err select_workers(struct pending *pending, struct reeve_why *why);

// ops_lifecycle.c, ops_apply.c, ops_node.c, ops_lease.c, logs.c
enum reeve_err op_start_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_stop_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_kill_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_restart_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_signal_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_reset_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_remove_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_apply_prepare(struct pending *pending, struct reeve_why *why);
void op_start_act(struct pending *pending);
void op_stop_act(struct pending *pending);
void op_kill_act(struct pending *pending);
void op_restart_act(struct pending *pending);
void op_signal_act(struct pending *pending);
void op_reset_act(struct pending *pending);
void op_remove_act(struct pending *pending);
void op_apply_act(struct pending *pending);
void op_list_act(struct pending *pending);
void op_describe_act(struct pending *pending);
void op_logs_act(struct pending *pending);
void op_renew_act(struct pending *pending);
void op_drain_act(struct pending *pending);
void op_undrain_act(struct pending *pending);
void op_reload_act(struct pending *pending);
void op_shutdown_act(struct pending *pending);
enum reeve_err op_drain_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_undrain_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_logs_prepare(struct pending *pending, struct reeve_why *why);
struct reeve_value *op_apply_plan(struct pending *pending);
struct reeve_value *op_reload_plan(struct pending *pending);

// Apply the configuration's specs at start and on reload: {added[], changed[], removed[], unchanged, restarted[]}. `plan_only` changes nothing.
struct reeve_value *apply_config_specs(struct daemon *daemon, struct node_config *config, bool plan_only);
void op_apply_resume(struct pending *pending);
// Whether that would change or remove a stored worker: it must not be started by its old spec before.
// The site's own broker or manager: they carry and steer everything else, so that only their own names mean them.
bool worker_is_sites(const struct worker *worker);
bool config_will_change(struct daemon *daemon, const struct reeve_spec *stored, const char *origin);
enum reeve_err op_reload_prepare(struct pending *pending, struct reeve_why *why);
enum reeve_err op_shutdown_prepare(struct pending *pending, struct reeve_why *why);

// publish.c
void publish_session(struct daemon *daemon); // all that is retained, on a new session
void publish_node(struct daemon *daemon, bool goodbye);
void publish_worker(struct worker *worker);      // its process record, now
void publish_worker_removed(struct daemon *daemon, const char *name);
void publish_mark(struct worker *worker);        // at the end of the turn
void publish_metrics(struct daemon *daemon);
void put_usage(struct reeve_value *map, int64_t memory_bytes, int64_t cpu_us); // `memory_bytes`, `cpu_ms`
struct reeve_value *process_value(const struct worker *worker); // caller frees
// node/<node>/event: {seq at epoch kind ...detail}. `detail` is taken; MAP or NULL.
void publish_event(struct daemon *daemon, const char *kind, struct reeve_value *detail);
void publish_audit(struct daemon *daemon, const struct pending *pending, enum reeve_phase phase, const char *code,
                   const char *message);

// logs.c
void logs_follow_stop(struct worker *worker);
void logs_grew(struct worker *worker);
// The last `lines` lines as a LIST of {at stream text}, out of the last `bytes_max` bytes.
struct reeve_value *logs_tail(const struct worker *worker, int64_t lines, size_t bytes_max);
void logs_last_line(const struct worker *worker, char *buf, size_t buf_len); // "" when there is none

#endif
