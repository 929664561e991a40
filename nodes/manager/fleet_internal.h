// Inside the fleet: what fleet.c (messages, session), fleet_look.c (judging, time), fleet_record.c (facts, attributes,
// the verdict's record), fleet_info.c (looking) and fleet_forget.c (who is gone for good) share. Must not: be included
// by another room.
//
// A worker is judged when a message about it comes, when its node's liveness changes, and when a deadline passes before
// which nothing but a message could have changed its verdict. Heartbeats only move deadlines later, so each node keeps
// the earliest that it once had, and looks through its workers when that one passes: no timer per worker.
#ifndef REEVE_MANAGER_FLEET_INTERNAL_H
#define REEVE_MANAGER_FLEET_INTERNAL_H

#include "manager.h"

#define FLEET_LISTENERS_MAX 8

// What workers of one kind have in common: {type exchange pool origin version capabilities[] labels{} attributes{}
// memory_limit_bytes cpu_limit}. Counted, in `fleet->attrs` by its key.
struct fleet_attrs {
    uint64_t key; // digest of what it was made from
    size_t refs;
    size_t size; // bytes as msgpack
    struct reeve_value *value;
};

// What the two records of a worker say in numbers. Compared as bytes: made by memset and assignment only.
struct process_facts {
    int64_t since, started_at, pid, run, restarts, failures, spec_version, fence;
    bool present, wanted, speaks;
    char pad[5];
};
struct status_facts {
    int64_t started_at, pid, run, jobs;
    uint64_t epoch;
    bool present, unsafe;
    char pad[6];
};

struct fleet_worker {
    struct fleet_node *node;
    const struct reeve_known_worker *known; // NULL: only its verdict is left on the broker, or was a moment ago
    struct fleet_attrs *attrs;              // NULL: nothing is said
    char *account, *unsafe_reason;          // NULL
    char *former_why;                       // while `former`
    struct reeve_value *former_health;      // {health, checks_failing}: until health knows itself; NULL
    struct process_facts process;
    struct status_facts status;
    uint64_t process_digest, status_digest; // of what goes into attrs
    // The verdict.
    uint8_t state, last_known, availability, source, rule;
    bool unsupervised;
    bool judged;     // by this manager
    bool former;     // state, ... and since_at are what a former manager said
    bool unsure;     // the reader has just begun, and this could be a death or a restart of the broker: nothing is said
    bool away;       // neither its session nor a node that has it is there
    bool remembered; // it has a document
    int64_t since_at, changed_mono, run_since_mono, away_since_mono;
    int64_t leaving_mono; // when its records were cleared; 0 = they were not
    int64_t look;         // when time alone may change the verdict; 0 = never
    int64_t memory_bytes, cpu_ms;
    uint64_t seen;            // digest of all that its record and its info are made from
    uint64_t digest;          // of the record as last made
    uint64_t published;       // of the record as the broker has it; 0 = it has none
    uint32_t process_session; // of fleet->session in which the process record came
    uint32_t said_turn;
    char name[];
};

struct fleet_node {
    const struct reeve_known_node *known; // NULL: workers only
    void **workers;                       // struct fleet_worker *, sorted by name
    size_t workers_len, workers_cap;
    uint8_t liveness, held, unheld; // with and without the grace
    bool judged, draining, remembered;
    int64_t away_since_mono, leaving_mono;
    int64_t look;           // nothing changes by time before; 0 = never
    uint64_t attrs_digest;  // of what is no heartbeat
    uint64_t labels_digest; // of what its workers' records show
    char name[];
};

struct fleet {
    struct manager *manager;
    struct reeve_registry *registry;
    void **nodes; // struct fleet_node *, sorted by name
    size_t nodes_len, nodes_cap, workers_len;
    struct reeve_map *attrs; // key as text -> struct fleet_attrs
    struct {
        fleet_listener *fn;
        void *arg;
    } listeners[FLEET_LISTENERS_MAX];
    size_t listeners_len;
    const struct reeve_value *arrived;
    struct reeve_timer timer;
    uint32_t session; // number of the session
    uint32_t turn;    // number of the turn in which something was last said
    bool reading_own; // fleet/+/+ is subscribed
    bool joined;      // had a session once
    bool ready;       // all retained of this session is in
    bool known;
    bool sighted; // verdicts were once not held
    bool held;
    bool telling; // manager_after_commit() is asked for
    bool recheck; // documents may not be what they should be
    bool remembered_once;
    int64_t forget_look; // nobody is to be forgotten before; 0 = nobody is away
    int64_t told_mono;   // of the last line about malformed messages
    struct fleet_counters counters;
};

// fleet.c
struct fleet_node *fleet_find_node(const struct fleet *fleet, const char *name);
struct fleet_worker *fleet_find_worker(const struct fleet *fleet, const char *node, const char *worker);
void fleet_drop_worker(struct fleet *fleet, struct fleet_worker *worker); // tells the listeners, clears its verdict
void fleet_drop_node(struct fleet *fleet, struct fleet_node *node);       // when it has neither records nor workers
void fleet_tell(struct fleet *fleet, enum fleet_change change, const struct fleet_node *node,
                const struct fleet_worker *worker);

// fleet_look.c
void fleet_judge_node(struct fleet *fleet, struct fleet_node *node); // and its workers, when they may see it
void fleet_judge(struct fleet *fleet, struct fleet_worker *worker);  // and say what changed
void fleet_judge_all(struct fleet *fleet);
void fleet_look(struct fleet *fleet);               // a deadline has passed, or may have
int64_t fleet_next_look(const struct fleet *fleet); // 0 = never
void fleet_arm(struct fleet *fleet);
struct reeve_verdict fleet_verdict(const struct fleet *fleet, const struct fleet_worker *worker);
bool fleet_may_be_gone(const struct fleet_worker *worker); // as judged: nobody is there who could bring it back

// fleet_record.c
void fleet_read_process(struct fleet *fleet, struct fleet_worker *worker,
                        const struct reeve_value *record); // NULL = gone
void fleet_read_status(struct fleet *fleet, struct fleet_worker *worker, const struct reeve_value *record);
void fleet_read_former(struct fleet *fleet, struct fleet_worker *worker, const struct reeve_value *record);
void fleet_attrs_drop(struct fleet *fleet, struct fleet_worker *worker);
uint64_t fleet_seen(const struct fleet_worker *worker, const char *why);
// The record without `at`; `why` as it is to stand there.
struct reeve_value *fleet_record(const struct fleet *fleet, const struct fleet_worker *worker, const char *why);
const char *fleet_region(const struct fleet_worker *worker);
const struct reeve_value *fleet_node_labels(const struct fleet_node *node);

// fleet_forget.c
void fleet_now_away(struct fleet *fleet, struct fleet_worker *worker);
void fleet_now_back(struct fleet *fleet, struct fleet_worker *worker);
void fleet_forget_due(struct fleet *fleet);
void fleet_remember_by_level(struct fleet *fleet);
void fleet_drop_unconfirmed(struct fleet *fleet);

#endif
