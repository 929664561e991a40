// What the manager must not forget: documents in collections, the command journal [cmd-4], its epoch, its switches.
// Nothing above this header knows SQL; a second backend comes later. The one there is, is SQLite (WAL, synchronous
// FULL), one transaction per turn of the loop. Must not: know what a pool or an account is.
//
// A turn: the calls below open a transaction by themselves; store_commit() ends it, and only then may anything leave
// that says it was done. When the disk refuses, store_commit() fails, everything of the turn is undone on disk, and the
// manager loads its memory anew from what is there.
#ifndef REEVE_MANAGER_STORE_H
#define REEVE_MANAGER_STORE_H

#include <reeve/message.h>

#define STORE_SCHEMA          2
#define STORE_JOURNAL_KEEP_MS (7LL * 24 * 3600 * 1000) // [cmd-4]
#define STORE_JOURNAL_LEN_MAX 1000000                  // rows; the oldest finished go first
#define STORE_KEY_SIZE        160

#define STORE_FILE            "manager.db" // in the state directory
#define STORE_BACKUP_DIR      "backups"    // there too; names of backups sort by age

struct store;

// Opens or makes <dir>/manager.db and takes <dir>/lock: CONFLICT when another manager holds it. An older schema is
// migrated, in one transaction, after a copy `manager.db.schema-<n>` was made; a newer one is refused (UNSUPPORTED).
// A damaged file is CORRUPT and is left as it is: what a fleet should be is not to be forgotten silently; the why names
// `restore` and the newest backup there is. So is an empty one, and one that is missing beside its write-ahead log.
enum reeve_err store_open(const char *dir, struct store **ret, struct reeve_why *why);
void store_close(struct store *store); // commits nothing; NULL allowed
enum reeve_err store_commit(struct store *store, struct reeve_why *why); // nothing to commit = OK
void store_undo(struct store *store);                                    // what this turn wrote, when it must not be
bool store_dirty(const struct store *store);
int64_t store_spare_bytes(struct store *store); // what is free inside the file, and used before it grows

// The next epoch: greater than every earlier one, and no less than `wall_ms`. Commits by itself, but never half a turn: inside
// one it is committed with it, and by itself when the turn fails.
uint64_t store_epoch_next(struct store *store, int64_t wall_ms);

// ---- documents: a value under a key in a collection -----------------------------------------------------------------
#define STORE_COLLECTIONS(X)                                                                                           \
    X(POOL, "pool")             /* <pool> */                                                                           \
    X(POOL_VERSION, "pool_version") /* <pool>/<version, 10 digits> */                                                  \
    X(MEMBER, "member")         /* <pool>/<worker> */                                                                  \
    X(ACQUISITION, "acquisition") /* <pool>/<lease id> */                                                              \
    X(ACCOUNT, "account")       /* <account> */                                                                        \
    X(ALARM, "alarm")           /* <kind>/<subject> */                                                                 \
    X(HOLD, "hold")             /* <node>/<worker>: offline, paused, shut down */                                      \
    X(WORKER, "worker")         /* <node>/<worker>: what is remembered of one that is away */                          \
    X(QUEUE, "queue")           /* <queue>: {spec, paused, draining} */                                                \
    X(SCHEDULE, "schedule")     /* <queue>/<schedule>: {last_at} */
enum store_collection {
#define X(id, text) STORE_##id,
    STORE_COLLECTIONS(X)
#undef X
        STORE_COLLECTION_COUNT
};
const char *store_collection_text(enum store_collection collection);
// Keys are levels of printable ASCII without space, separated by `/`. A document has at most 2 MiB as msgpack.
// Adds or replaces; `value` is only read. Errors break the turn: nothing more is written, store_commit() tells again.
enum reeve_err store_put(struct store *store, enum store_collection collection, const char *key, const struct reeve_value *value,
                         struct reeve_why *why);
enum reeve_err store_remove(struct store *store, enum store_collection collection, const char *key, struct reeve_why *why);
// NOENT when there is none.
enum reeve_err store_get(struct store *store, enum store_collection collection, const char *key, struct reeve_value **ret,
                         struct reeve_why *why);
// Every document whose key begins with `prefix` ("" = all), in order of key. The value is the callback's only during the call.
// Sees what this turn wrote. CORRUPT names a document that does not read back. May be nested; a callback may write, but not to
// this collection.
enum reeve_err store_each(struct store *store, enum store_collection collection, const char *prefix,
                          void (*each)(const char *key, const struct reeve_value *value, void *arg), void *arg, struct reeve_why *why);

// ---- journal --------------------------------------------------------------------------------------------------------
struct store_command {
    char *id;
    uint64_t digest;           // reeve_command_digest
    char *topic;
    struct reeve_value *body;  // the command as reeve_command_value gave it
    enum reeve_phase phase;    // ACCEPTED or terminal
    struct reeve_value *reply; // terminal: the reply's map; else NULL
};
void store_command_done(struct store_command *command);
enum reeve_err store_journal_find(struct store *store, const char *id, struct store_command *ret, struct reeve_why *why); // NOENT
enum reeve_err store_journal_put(struct store *store, const struct store_command *command, struct reeve_why *why);
enum reeve_err store_journal_end(struct store *store, const char *id, enum reeve_phase phase, const struct reeve_value *reply,
                                 struct reeve_why *why);
// What a former manager left without a terminal reply, in order of arrival.
enum reeve_err store_journal_open(struct store *store, void (*each)(const struct store_command *command, void *arg), void *arg,
                                  struct reeve_why *why);
// Forget what is older than 7 days of running time (no jump of the wall clock shortens it). `running_ms` = since the last call.
enum reeve_err store_journal_age(struct store *store, int64_t running_ms, struct reeve_why *why);

// ---- numbers --------------------------------------------------------------------------------------------------------
int64_t store_number(struct store *store, const char *key, int64_t fallback);
enum reeve_err store_number_set(struct store *store, const char *key, int64_t value, struct reeve_why *why);

// ---- backup, restore, check -----------------------------------------------------------------------------------------
// A consistent copy of what is committed, into a new file `path` (0600, synced, then renamed into place; CONFLICT when it is
// there). Works on the running store.
enum reeve_err store_backup(struct store *store, const char *path, int64_t *ret_bytes, struct reeve_why *why);
// The same from the database file `from`, in use or not. Needs no open store; from any thread.
enum reeve_err store_copy(const char *from, const char *path, int64_t *ret_bytes, struct reeve_why *why);
// Whether the file's pages, schema and documents read back: CORRUPT when not, all that is wrong is in `report`, a line each. UNSUPPORTED for
// a newer schema. Sees what is committed, changes nothing. `path` is a database file, in use or not; or NULL for `store`'s own.
// With a path: from any thread, `store` may be NULL.
enum reeve_err store_check(struct store *store, const char *path, struct reeve_buf *report, struct reeve_why *why);
// Put the backup `path` in the place of <dir>/manager.db (no manager may hold the lock); the former file stays beside it as
// manager.db.before-restore-<ms>. The backup is checked first. The restored store has a new `generation` number and its epoch
// is raised above both files', so that nothing published before outranks it.
enum reeve_err store_restore(const char *dir, const char *path, struct reeve_why *why);

#endif
