// Inside of the store on SQLite: what store_sqlite.c, store_schema.c and store_backup.c share, and what their tests
// look at.
//   store_sqlite.c  turns, documents, journal, numbers       store_schema.c  opening, making, migrating
//   store_backup.c  copies, check, restore                   job_store*.c    jobs, in the same turns
// Must not: be included by anything else.
#ifndef REEVE_MANAGER_STORE_SQLITE_H
#define REEVE_MANAGER_STORE_SQLITE_H

#include "store.h"

#include <sqlite3.h>

#define STORE_PATH_SIZE      4096
#define STORE_PAGE_SIZE      4096
#define STORE_APPLICATION_ID 0x5265656d // in the file's header: "Reem"; a node's store is another file of the same kind
#define STORE_VALUE_SIZE_MAX (2u << 20) // of one document as msgpack

// Step i brings a store from schema i to i + 1; the first one makes it from nothing. `run` (NULL = none) after `sql`.
struct store_step {
    const char *sql;
    enum reeve_err (*run)(sqlite3 *db, struct reeve_why *why);
};
struct store_schema {
    int version; // = number of steps
    const struct store_step *steps;
};
extern const struct store_schema store_schema;

enum store_statement {
    STORE_PUT,
    STORE_REMOVE,
    STORE_GET,
    STORE_JOURNAL_FIND,
    STORE_JOURNAL_PUT,
    STORE_JOURNAL_END,
    STORE_JOURNAL_OPEN,
    STORE_JOURNAL_AGE,
    STORE_JOURNAL_TRIM,
    STORE_NUMBER_GET,
    STORE_NUMBER_SET,
    STORE_BEGIN,
    STORE_COMMIT,
    STORE_ROLLBACK,
    STORE_STATEMENT_COUNT
};

// Somebody else's tables in the same file and the same turns.
struct store_part {
    enum reeve_err (*flush)(struct store_part *part,
                            struct reeve_why *why); // the last writes of a turn that is committed
    void (*committed)(struct store_part *part);
    void (*undone)(struct store_part *part); // what it remembers of the turn is no more
};

struct store {
    char dir[STORE_PATH_SIZE - 64];
    sqlite3 *db;
    sqlite3_stmt *statements[STORE_STATEMENT_COUNT];
    int lock_fd;
    bool in_turn;
    enum reeve_err turn_err; // a write of this turn failed: the turn as a whole fails
    struct reeve_why turn_why;
    uint64_t epoch;      // last given
    uint64_t epoch_kept; // the highest that is committed
    int64_t running_ms;
    struct store_part *part; // NULL = none
    int fold_at;             // pages of the log at which it is folded into the file
};

// store_schema.c
enum reeve_err store_open_as(const char *dir, const struct store_schema *schema, struct store **ret,
                             struct reeve_why *why);
// One in memory: turns and tables as of a file, without a folder. It has `pages_max` pages at most.
enum reeve_err store_open_memory(int64_t pages_max, struct store **ret, struct reeve_why *why);
enum reeve_err store_lock(const char *dir, int *ret_fd, struct reeve_why *why);
const char *store_path(char buf[STORE_PATH_SIZE], const char *dir, const char *file); // cut paths are not found
enum reeve_err store_sync_dir(const char *dir, struct reeve_why *why);
// What SQLite said, as an error; `db` NULL when there is none.
enum reeve_err store_sqlite_fail(sqlite3 *db, int rc, const char *what, struct reeve_why *why);
enum reeve_err store_exec(sqlite3 *db, const char *sql, const char *what, struct reeve_why *why);
enum reeve_err store_pragma(sqlite3 *db, const char *sql, int64_t *ret, struct reeve_why *why); // one number
// Whether it is a manager's store, and of which schema. CORRUPT, UNSUPPORTED.
enum reeve_err store_identify(sqlite3 *db, int version_max, int *ret_version, struct reeve_why *why);
// Closing it leaves file and write-ahead log as they are, until store_fold_on_close() says otherwise.
enum reeve_err store_connect(const char *path, int flags, sqlite3 **ret, struct reeve_why *why);
bool store_fold_on_close(sqlite3 *db, bool fold);

// store_sqlite.c
// Before each write, and with each failure of one: see store_sqlite.c. `why` is not NULL.
enum reeve_err store_turn_enter(struct store *store, struct reeve_why *why);
enum reeve_err store_turn_break(struct store *store, enum reeve_err err, const struct reeve_why *why);
enum reeve_err store_prepare(struct store *store, struct reeve_why *why);
bool store_key_valid(const char *key);
enum reeve_err store_value_read(const void *data, size_t len, struct reeve_value **ret, struct reeve_why *why);

#endif
