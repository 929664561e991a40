// What the daemon must not forget: worker specs with their desired state, the command journal
// [cmd-4], its epoch, its own switches. SQLite (WAL, synchronous FULL), one transaction per turn
// of the loop. Must not: know about processes, topics or the loop.
//
// A turn: calls below open a transaction by themselves; store_commit() ends it, and only then may
// anything leave that says it was done. When the disk refuses, store_commit() fails, everything of the
// turn is undone on disk, and the next turn starts afresh.
#ifndef REEVED_STORE_H
#define REEVED_STORE_H

#include <reeve/message.h>

#define STORE_JOURNAL_KEEP_MS (7LL * 24 * 3600 * 1000) // [cmd-4]
#define STORE_JOURNAL_LEN_MAX 1000000                  // rows; the oldest finished go first

struct store;

// Opens or makes <dir>/reeved.db and takes <dir>/lock: CONFLICT when another daemon holds it.
// A damaged file is set aside as reeved.db.damaged-<ms> with *ret_damaged = true: supervising goes on from the
// configuration and what is alive, and the caller raises it as an event.
enum reeve_err store_open(const char *dir, struct store **ret, bool *ret_damaged, struct reeve_why *why);
void store_close(struct store *store); // commits nothing; NULL allowed

enum reeve_err store_commit(struct store *store, struct reeve_why *why); // nothing to commit = OK
bool store_dirty(const struct store *store);

// The next epoch: greater than every earlier one, and no less than `wall_ms`. Kept on disk when the disk allows; in
// memory it grows in any case. Commits by itself.
uint64_t store_epoch_next(struct store *store, int64_t wall_ms);

// ---- workers -------------------------------------------------------------------------------------
struct store_worker {
    char *name;
    struct reeve_value *spec; // as encoded with secrets
    int64_t version;          // grows with each change of the spec
    char *origin;             // "file", "command"
    bool wanted;              // desired: running
    bool failed;              // gave up; survives a restart of the daemon
    char *failed_why;         // NULL
    int64_t run;              // highest run that a commit knew of
    int64_t restarts;
    int64_t created_at;       // wall
    int64_t ttl_until_boot;   // CLOCK_BOOTTIME ms at which an ephemeral worker ends; 0 = none
    char *ttl_boot_id;        // of which boot
    int64_t ttl_until_at;     // the same by the wall clock, for after a reboot
};
enum reeve_err store_worker_put(struct store *store, const struct store_worker *worker, struct reeve_why *why);
enum reeve_err store_worker_remove(struct store *store, const char *name, struct reeve_why *why);
// Calls `each` for every worker in order of name; the record is the callback's during the call.
enum reeve_err store_workers(struct store *store, void (*each)(const struct store_worker *worker, void *arg), void *arg,
                             struct reeve_why *why);

// ---- journal -------------------------------------------------------------------------------------
struct store_command {
    char *id;
    uint64_t digest;          // reeve_command_digest
    char *topic;
    struct reeve_value *body; // the command as reeve_command_value gave it
    enum reeve_phase phase;   // ACCEPTED, RUNNING (= acted, outcome not yet known) or terminal
    struct reeve_value *reply; // terminal: the reply's map; else NULL
};
void store_command_done(struct store_command *command);
// NOENT when unknown.
enum reeve_err store_journal_find(struct store *store, const char *id, struct store_command *ret, struct reeve_why *why);
enum reeve_err store_journal_put(struct store *store, const struct store_command *command, struct reeve_why *why);
enum reeve_err store_journal_phase(struct store *store, const char *id, enum reeve_phase phase,
                                   const struct reeve_value *reply, struct reeve_why *why);
// What a former daemon left without a terminal reply, in order of arrival.
enum reeve_err store_journal_open(struct store *store, void (*each)(const struct store_command *command, void *arg), void *arg,
                                  struct reeve_why *why);
// Forget what is older than 7 days of this daemon's own running time. Running time, not the wall clock: a clock that
// jumps by a week must not make a command id new again. `running_ms` = since the last call.
enum reeve_err store_journal_age(struct store *store, int64_t running_ms, struct reeve_why *why);

// ---- switches ------------------------------------------------------------------------------------
int64_t store_number(struct store *store, const char *key, int64_t fallback);
enum reeve_err store_number_set(struct store *store, const char *key, int64_t value, struct reeve_why *why);

#endif
