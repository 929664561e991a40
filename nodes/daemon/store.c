// The daemon's store on SQLite: schema, one lazy transaction per turn, rows to records and back.
// Values are kept as msgpack blobs, so that the schema knows only what is searched for.
// Must not: publish, log, or decide what a row means.
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_VERSION 1

// One row per statement; prepared once, at open.
#define STATEMENTS(X)                                                                                                  \
    X(WORKER_PUT,                                                                                                      \
      "INSERT OR REPLACE INTO worker(name,spec,version,origin,wanted,failed,failed_why,run,restarts,created_at,"       \
      "ttl_boot,ttl_boot_id,ttl_at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)")                               \
    X(WORKER_REMOVE, "DELETE FROM worker WHERE name=?1")                                                               \
    X(WORKERS,                                                                                                         \
      "SELECT name,spec,version,origin,wanted,failed,failed_why,run,restarts,created_at,ttl_boot,ttl_boot_id,ttl_at "  \
      "FROM worker ORDER BY name")                                                                                     \
    X(JOURNAL_FIND, "SELECT id,digest,topic,body,phase,reply FROM journal WHERE id=?1")                                \
    X(JOURNAL_PUT,                                                                                                     \
      "INSERT OR REPLACE INTO journal(id,digest,topic,body,phase,reply,terminal,age) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)") \
    X(JOURNAL_PHASE, "UPDATE journal SET phase=?2,reply=?3,terminal=?4 WHERE id=?1")                                   \
    X(JOURNAL_OPEN, "SELECT id,digest,topic,body,phase,reply FROM journal WHERE terminal=0 ORDER BY seq")              \
    X(JOURNAL_AGE, "DELETE FROM journal WHERE terminal=1 AND age<?1")                                                  \
    X(JOURNAL_TRIM, "DELETE FROM journal WHERE terminal=1 AND seq<=(SELECT max(seq) FROM journal)-?1")                 \
    X(NUMBER_GET, "SELECT value FROM number WHERE key=?1")                                                             \
    X(NUMBER_SET, "INSERT OR REPLACE INTO number(key,value) VALUES(?1,?2)")                                            \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                        \
    X(COMMIT, "COMMIT")                                                                                                \
    X(ROLLBACK, "ROLLBACK")

enum statement {
#define X(id, sql) ST_##id,
    STATEMENTS(X)
#undef X
        STATEMENT_COUNT
};
static const char *const statement_sql[] = {
#define X(id, sql) sql,
    STATEMENTS(X)
#undef X
};
static_assert(REEVE_ARRAY_LEN(statement_sql) == STATEMENT_COUNT, "a text per statement");

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS worker(name TEXT PRIMARY KEY, spec BLOB NOT NULL, version INTEGER NOT NULL,"
    " origin TEXT NOT NULL, wanted INTEGER NOT NULL, failed INTEGER NOT NULL, failed_why TEXT, run INTEGER NOT NULL,"
    " restarts INTEGER NOT NULL, created_at INTEGER NOT NULL, ttl_boot INTEGER NOT NULL, ttl_boot_id TEXT,"
    " ttl_at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS journal(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " digest INTEGER NOT NULL, topic TEXT NOT NULL, body BLOB NOT NULL, phase TEXT NOT NULL, reply BLOB,"
    " terminal INTEGER NOT NULL, age INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS journal_open ON journal(terminal) WHERE terminal=0;"
    "CREATE TABLE IF NOT EXISTS number(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;";

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int lock_fd;
    bool in_turn;
    enum reeve_err turn_err; // a write of this turn failed: the turn as a whole fails
    struct reeve_why turn_why;
    uint64_t epoch;      // last given
    uint64_t epoch_kept; // last one on disk, or tried
    int64_t running_ms;
};

static enum reeve_err sqlite_fail(struct store *store, int rc, const char *what, struct reeve_why *why)
{
    enum reeve_err err = REEVE_IO;
    if (rc == SQLITE_NOMEM) {
        err = REEVE_NOMEM;
    } else if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) {
        err = REEVE_CORRUPT;
    }
    const char *detail = store != NULL && store->db != NULL ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc);
    return reeve_fail(why, err, "store: %s: %s", what, detail);
}

// ---- opening -------------------------------------------------------------------------------------

static enum reeve_err take_lock(const char *dir, int *ret_fd, struct reeve_why *why)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return reeve_fail_errno(why, "open %s", path);
    }
    // Not flock(): that one would be inherited by a child on its way to exec, and outlive a daemon that is killed then.
    const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) != 0) {
        close(fd);
        return reeve_fail(why, REEVE_CONFLICT, "another reeved runs with the state directory %s", dir);
    }
    *ret_fd = fd;
    return REEVE_OK;
}

static enum reeve_err exec_sql(struct store *store, const char *sql, const char *what, struct reeve_why *why)
{
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? REEVE_OK : sqlite_fail(store, rc, what, why);
}

static enum reeve_err prepare_all(struct store *store, struct reeve_why *why)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        int rc =
            sqlite3_prepare_v3(store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
        if (rc != SQLITE_OK) {
            return sqlite_fail(store, rc, "prepare", why);
        }
    }
    return REEVE_OK;
}

static int read_first_number(void *ret, int columns, char **values, char **names)
{
    (void)names;
    if (columns > 0 && values[0] != NULL) {
        *(int64_t *)ret = strtoll(values[0], NULL, 10);
    }
    return 0;
}

static enum reeve_err check_version(struct store *store, struct reeve_why *why)
{
    int64_t version = 0;
    int rc = sqlite3_exec(store->db, "PRAGMA user_version", read_first_number, &version, NULL);
    if (rc != SQLITE_OK) {
        return sqlite_fail(store, rc, "read version", why);
    }
    if (version > STORE_VERSION) {
        return reeve_fail(why, REEVE_UNSUPPORTED,
                          "the store has version %lld, this reeved knows up to %d: use the newer reeved",
                          (long long)version, STORE_VERSION);
    }
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%d", STORE_VERSION);
    return exec_sql(store, sql, "write version", why);
}

static int note_damage(void *ret, int columns, char **values, char **names)
{
    (void)names;
    *(bool *)ret = columns < 1 || values[0] == NULL || strcmp(values[0], "ok") != 0;
    return 0;
}

// Every page once, at the start: damage that is found later finds a daemon that can neither go on nor set it aside.
static enum reeve_err check_pages(struct store *store, struct reeve_why *why)
{
    bool damaged = false;
    int rc = sqlite3_exec(store->db, "PRAGMA quick_check(1)", note_damage, &damaged, NULL);
    if (rc != SQLITE_OK) {
        return sqlite_fail(store, rc, "check", why);
    }
    return damaged ? reeve_fail(why, REEVE_CORRUPT, "store: damaged pages") : REEVE_OK;
}

static bool fold_on_close(struct store *store, bool fold)
{
    return sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, fold ? 0 : 1, NULL) == SQLITE_OK;
}

static enum reeve_err open_database(struct store *store, const char *path, struct reeve_why *why)
{
    int rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        return sqlite_fail(store, rc, path, why);
    }
    // Closing a damaged file would write its log into it, and remove the log.
    (void)fold_on_close(store, false); /* an SQLite that does not know this closes as ever */
    // A small cache: the daemon's memory is a published figure, and its rows are few.
    static const char pragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-256;"
                                  "PRAGMA wal_autocheckpoint=256; PRAGMA temp_store=MEMORY;";
    enum reeve_err err = exec_sql(store, pragmas, "configure", why);
    if (err == REEVE_OK) {
        err = check_version(store, why);
    }
    if (err == REEVE_OK) {
        err = check_pages(store, why);
    }
    if (err == REEVE_OK) {
        err = exec_sql(store, schema, "schema", why);
    }
    if (err == REEVE_OK) {
        err = prepare_all(store, why);
    }
    if (err == REEVE_OK) {
        (void)fold_on_close(store, true); /* as above */
    }
    return err;
}

static void close_database(struct store *store)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    sqlite3_close(store->db);
    store->db = NULL;
}

// The damaged file and its WAL stay readable for whoever wants to look into it.
static enum reeve_err set_aside(const char *path, struct reeve_why *why)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    long long now = reeve_clock_wall_ms(); // once: a log is read only beside a file of the same name
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        char from[4200];
        char to[4300];
        (void)snprintf(from, sizeof from, "%s%s", path, parts[i]);
        (void)snprintf(to, sizeof to, "%s.damaged-%lld%s", path, now, parts[i]);
        if (rename(from, to) != 0 && errno != ENOENT) {
            return reeve_fail_errno(why, "set aside %s", from);
        }
    }
    return REEVE_OK;
}

static enum reeve_err open_or_replace(struct store *store, const char *path, bool *ret_damaged, struct reeve_why *why)
{
    enum reeve_err err = open_database(store, path, why);
    if (err != REEVE_CORRUPT) {
        return err;
    }
    close_database(store);
    err = set_aside(path, why);
    if (err != REEVE_OK) {
        return err;
    }
    *ret_damaged = true;
    return open_database(store, path, why);
}

enum reeve_err store_open(const char *dir, struct store **ret, bool *ret_damaged, struct reeve_why *why)
{
    enum reeve_err err = reeve_dir_make(dir, 0700, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "store: out of memory");
    }
    store->lock_fd = -1;
    bool damaged = false;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/reeved.db", dir);
    err = take_lock(dir, &store->lock_fd, why);
    if (err == REEVE_OK) {
        err = open_or_replace(store, path, &damaged, why);
    }
    if (err != REEVE_OK) {
        store_close(store);
        return err;
    }
    store->epoch = (uint64_t)store_number(store, "epoch", 0);
    store->epoch_kept = store->epoch;
    store->running_ms = store_number(store, "running_ms", 0);
    *ret_damaged = damaged;
    *ret = store;
    return REEVE_OK;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    close_database(store);
    if (store->lock_fd >= 0) {
        close(store->lock_fd);
    }
    free(store);
}

// ---- statements ----------------------------------------------------------------------------------

static sqlite3_stmt *statement(struct store *store, enum statement id)
{
    sqlite3_stmt *stmt = store->statements[id];
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return stmt;
}

static enum reeve_err run_statement(struct store *store, enum statement id, struct reeve_why *why)
{
    sqlite3_stmt *stmt = store->statements[id];
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? REEVE_OK : sqlite_fail(store, rc, "write", why);
}

// Half a turn must never be committed: the first failure is kept until the turn ends.
static enum reeve_err break_turn(struct store *store, enum reeve_err err, const struct reeve_why *why)
{
    if (err != REEVE_OK && store->turn_err == REEVE_OK) {
        store->turn_err = err;
        store->turn_why = *why;
    }
    return err;
}

// After a failure SQLite may have ended the transaction by itself, and what is written then stands alone and is
// committed at once: so nothing more is written in a broken turn.
static enum reeve_err begin_turn(struct store *store, struct reeve_why *why)
{
    if (!store->in_turn) {
        store->in_turn = true;
        store->turn_err = REEVE_OK;
        (void)statement(store, ST_BEGIN);
        return break_turn(store, run_statement(store, ST_BEGIN, why), why);
    }
    return store->turn_err == REEVE_OK ? REEVE_OK : reeve_fail(why, store->turn_err, "%s", store->turn_why.text);
}

static enum reeve_err write_row(struct store *store, enum statement id, struct reeve_why *why)
{
    return break_turn(store, run_statement(store, id, why), why);
}

static void keep_epoch(struct store *store);

static void roll_back(struct store *store)
{
    store->in_turn = false;
    store->turn_err = REEVE_OK;
    if (sqlite3_get_autocommit(store->db) == 0) {
        (void)statement(store, ST_ROLLBACK);
        (void)run_statement(store, ST_ROLLBACK, NULL); /* SQLite may have rolled back by itself */
    }
    store->running_ms = store_number(store, "running_ms", store->running_ms);
    keep_epoch(store);
}

bool store_dirty(const struct store *store)
{
    return store->in_turn;
}

enum reeve_err store_commit(struct store *store, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    if (!store->in_turn) {
        return REEVE_OK;
    }
    enum reeve_err err = store->turn_err;
    if (err == REEVE_OK) {
        (void)statement(store, ST_COMMIT);
        err = run_statement(store, ST_COMMIT, why);
    } else {
        *why = store->turn_why;
    }
    if (err != REEVE_OK) {
        roll_back(store);
        return err;
    }
    store->in_turn = false;
    store->epoch_kept = store->epoch;
    return REEVE_OK;
}

// ---- values in columns -----------------------------------------------------------------------------

static enum reeve_err bind_value(sqlite3_stmt *stmt, int column, const struct reeve_value *value, struct reeve_why *why)
{
    if (value == NULL) {
        sqlite3_bind_null(stmt, column);
        return REEVE_OK;
    }
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(2u << 20);
    enum reeve_err err = reeve_msgpack_write(value, &buf);
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "store: value can't be written");
    }
    int rc = sqlite3_bind_blob64(stmt, column, buf.data, buf.len, SQLITE_TRANSIENT);
    return rc == SQLITE_OK ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "store: out of memory");
}

static void bind_text(sqlite3_stmt *stmt, int column, const char *text)
{
    if (text == NULL) {
        sqlite3_bind_null(stmt, column);
    } else {
        sqlite3_bind_text(stmt, column, text, -1, SQLITE_TRANSIENT);
    }
}

static char *column_text(sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    return text == NULL ? NULL : strdup((const char *)text);
}

// NULL for SQL NULL and for what does not read back.
static struct reeve_value *column_value(sqlite3_stmt *stmt, int column)
{
    const void *data = sqlite3_column_blob(stmt, column);
    struct reeve_value *value = NULL;
    if (data != NULL) {
        static const struct reeve_limits limits = {.bytes_max = 2u << 20, .depth_max = 64, .entries_max = 65536};
        (void)reeve_msgpack_read(data, (size_t)sqlite3_column_bytes(stmt, column), &limits, "store", &value,
                                 NULL); /* value stays NULL: the caller tells */
    }
    return value;
}

// ---- numbers and epoch -------------------------------------------------------------------------------

int64_t store_number(struct store *store, const char *key, int64_t fallback)
{
    sqlite3_stmt *stmt = statement(store, ST_NUMBER_GET);
    bind_text(stmt, 1, key);
    int64_t number = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : fallback;
    sqlite3_reset(stmt);
    return number;
}

enum reeve_err store_number_set(struct store *store, const char *key, int64_t value, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = begin_turn(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, ST_NUMBER_SET);
    bind_text(stmt, 1, key);
    sqlite3_bind_int64(stmt, 2, value);
    return write_row(store, ST_NUMBER_SET, why);
}

// An epoch that was given may be in use: it has to be on disk although the turn it was given in is undone.
static void keep_epoch(struct store *store)
{
    if (store->epoch == store->epoch_kept) {
        return;
    }
    store->epoch_kept = store->epoch; // once: a disk that refuses now must not be tried for ever
    (void)store_number_set(store, "epoch", (int64_t)store->epoch, NULL); /* the commit tells */
    (void)store_commit(store, NULL); /* a full disk: it still grows in memory, and the wall clock after a restart */
}

uint64_t store_epoch_next(struct store *store, int64_t wall_ms)
{
    uint64_t wall = wall_ms > 0 ? (uint64_t)wall_ms : 0;
    store->epoch = store->epoch + 1 > wall ? store->epoch + 1 : wall;
    if (store->in_turn) {
        (void)store_number_set(store, "epoch", (int64_t)store->epoch, NULL); /* a broken turn: roll_back() keeps it */
    } else {
        keep_epoch(store);
    }
    return store->epoch;
}

// ---- workers ----------------------------------------------------------------------------------------

enum reeve_err store_worker_put(struct store *store, const struct store_worker *worker, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = begin_turn(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, ST_WORKER_PUT);
    err = bind_value(stmt, 2, worker->spec, why);
    if (err != REEVE_OK) {
        return break_turn(store, err, why);
    }
    bind_text(stmt, 1, worker->name);
    sqlite3_bind_int64(stmt, 3, worker->version);
    bind_text(stmt, 4, worker->origin);
    sqlite3_bind_int(stmt, 5, worker->wanted);
    sqlite3_bind_int(stmt, 6, worker->failed);
    bind_text(stmt, 7, worker->failed_why);
    sqlite3_bind_int64(stmt, 8, worker->run);
    sqlite3_bind_int64(stmt, 9, worker->restarts);
    sqlite3_bind_int64(stmt, 10, worker->created_at);
    sqlite3_bind_int64(stmt, 11, worker->ttl_until_boot);
    bind_text(stmt, 12, worker->ttl_boot_id);
    sqlite3_bind_int64(stmt, 13, worker->ttl_until_at);
    return write_row(store, ST_WORKER_PUT, why);
}

enum reeve_err store_worker_remove(struct store *store, const char *name, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = begin_turn(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    bind_text(statement(store, ST_WORKER_REMOVE), 1, name);
    return write_row(store, ST_WORKER_REMOVE, why);
}

static void worker_row(sqlite3_stmt *stmt, struct store_worker *ret)
{
    *ret = (struct store_worker){
        .name = column_text(stmt, 0),
        .spec = column_value(stmt, 1),
        .version = sqlite3_column_int64(stmt, 2),
        .origin = column_text(stmt, 3),
        .wanted = sqlite3_column_int(stmt, 4) != 0,
        .failed = sqlite3_column_int(stmt, 5) != 0,
        .failed_why = column_text(stmt, 6),
        .run = sqlite3_column_int64(stmt, 7),
        .restarts = sqlite3_column_int64(stmt, 8),
        .created_at = sqlite3_column_int64(stmt, 9),
        .ttl_until_boot = sqlite3_column_int64(stmt, 10),
        .ttl_boot_id = column_text(stmt, 11),
        .ttl_until_at = sqlite3_column_int64(stmt, 12),
    };
}

static void worker_row_done(struct store_worker *worker)
{
    free(worker->name);
    free(worker->origin);
    free(worker->failed_why);
    free(worker->ttl_boot_id);
    reeve_value_free(worker->spec);
}

enum reeve_err store_workers(struct store *store, void (*each)(const struct store_worker *worker, void *arg), void *arg,
                             struct reeve_why *why)
{
    sqlite3_stmt *stmt = statement(store, ST_WORKERS);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct store_worker worker;
        worker_row(stmt, &worker);
        each(&worker, arg);
        worker_row_done(&worker);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? REEVE_OK : sqlite_fail(store, rc, "read workers", why);
}

// ---- journal ----------------------------------------------------------------------------------------

void store_command_done(struct store_command *command)
{
    free(command->id);
    free(command->topic);
    reeve_value_free(command->body);
    reeve_value_free(command->reply);
    *command = (struct store_command){0};
}

static void command_row(sqlite3_stmt *stmt, struct store_command *ret)
{
    *ret = (struct store_command){
        .id = column_text(stmt, 0),
        .digest = (uint64_t)sqlite3_column_int64(stmt, 1),
        .topic = column_text(stmt, 2),
        .body = column_value(stmt, 3),
        .reply = column_value(stmt, 5),
    };
    const char *phase = (const char *)sqlite3_column_text(stmt, 4);
    if (phase == NULL || !reeve_phase_parse(phase, &ret->phase)) {
        ret->phase = REEVE_PHASE_ACCEPTED;
    }
}

enum reeve_err store_journal_find(struct store *store, const char *id, struct store_command *ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = statement(store, ST_JOURNAL_FIND);
    bind_text(stmt, 1, id);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        command_row(stmt, ret);
    }
    sqlite3_reset(stmt);
    if (rc == SQLITE_ROW) {
        return REEVE_OK;
    }
    return rc == SQLITE_DONE ? REEVE_NOENT : sqlite_fail(store, rc, "read journal", why);
}

enum reeve_err store_journal_put(struct store *store, const struct store_command *command, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = begin_turn(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, ST_JOURNAL_PUT);
    err = bind_value(stmt, 4, command->body, why);
    if (err == REEVE_OK) {
        err = bind_value(stmt, 6, command->reply, why);
    }
    if (err != REEVE_OK) {
        return break_turn(store, err, why);
    }
    bind_text(stmt, 1, command->id);
    sqlite3_bind_int64(stmt, 2, (int64_t)command->digest);
    bind_text(stmt, 3, command->topic);
    bind_text(stmt, 5, reeve_phase_text(command->phase));
    sqlite3_bind_int(stmt, 7, reeve_phase_terminal(command->phase));
    sqlite3_bind_int64(stmt, 8, store->running_ms);
    return write_row(store, ST_JOURNAL_PUT, why);
}

enum reeve_err store_journal_phase(struct store *store, const char *id, enum reeve_phase phase,
                                   const struct reeve_value *reply, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = begin_turn(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, ST_JOURNAL_PHASE);
    err = bind_value(stmt, 3, reply, why);
    if (err != REEVE_OK) {
        return break_turn(store, err, why);
    }
    bind_text(stmt, 1, id);
    bind_text(stmt, 2, reeve_phase_text(phase));
    sqlite3_bind_int(stmt, 4, reeve_phase_terminal(phase));
    return write_row(store, ST_JOURNAL_PHASE, why);
}

enum reeve_err store_journal_open(struct store *store, void (*each)(const struct store_command *command, void *arg),
                                  void *arg, struct reeve_why *why)
{
    sqlite3_stmt *stmt = statement(store, ST_JOURNAL_OPEN);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct store_command command;
        command_row(stmt, &command);
        each(&command, arg);
        store_command_done(&command);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? REEVE_OK : sqlite_fail(store, rc, "read journal", why);
}

enum reeve_err store_journal_age(struct store *store, int64_t running_ms, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = store_number_set(store, "running_ms", store->running_ms + running_ms, why);
    if (err != REEVE_OK) {
        return err;
    }
    store->running_ms += running_ms;
    sqlite3_bind_int64(statement(store, ST_JOURNAL_AGE), 1, store->running_ms - STORE_JOURNAL_KEEP_MS);
    err = write_row(store, ST_JOURNAL_AGE, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_bind_int64(statement(store, ST_JOURNAL_TRIM), 1, STORE_JOURNAL_LEN_MAX);
    return write_row(store, ST_JOURNAL_TRIM, why);
}
