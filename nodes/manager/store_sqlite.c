// The manager's store on SQLite: one lazy transaction per turn, rows to documents and back.
// Values are msgpack blobs, so that the schema knows only what is searched for.
// Must not: publish, log, or decide what a document means.
#include "store_sqlite.h"

#include <assert.h>
#include <reeve/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOURNAL_COLUMNS "id,digest,topic,body,phase,reply"

static const char *const statement_sql[] = {
    [STORE_PUT] = "INSERT OR REPLACE INTO document(collection,key,value) VALUES(?1,?2,?3)",
    [STORE_REMOVE] = "DELETE FROM document WHERE collection=?1 AND key=?2",
    [STORE_GET] = "SELECT value FROM document WHERE collection=?1 AND key=?2",
    [STORE_JOURNAL_FIND] = "SELECT " JOURNAL_COLUMNS " FROM journal WHERE id=?1",
    [STORE_JOURNAL_PUT] =
        "INSERT OR REPLACE INTO journal(" JOURNAL_COLUMNS ",terminal,age) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [STORE_JOURNAL_END] = "UPDATE journal SET phase=?2,reply=?3,terminal=1 WHERE id=?1",
    [STORE_JOURNAL_OPEN] = "SELECT " JOURNAL_COLUMNS " FROM journal WHERE terminal=0 ORDER BY seq",
    [STORE_JOURNAL_AGE] = "DELETE FROM journal WHERE terminal=1 AND age<?1",
    [STORE_JOURNAL_TRIM] = "DELETE FROM journal WHERE terminal=1 AND seq<=(SELECT max(seq) FROM journal)-?1",
    [STORE_NUMBER_GET] = "SELECT value FROM number WHERE key=?1",
    [STORE_NUMBER_SET] = "INSERT OR REPLACE INTO number(key,value) VALUES(?1,?2)",
    [STORE_BEGIN] = "BEGIN IMMEDIATE",
    [STORE_COMMIT] = "COMMIT",
    [STORE_ROLLBACK] = "ROLLBACK",
};
static_assert(REEVE_ARRAY_LEN(statement_sql) == STORE_STATEMENT_COUNT, "a text per statement");

enum reeve_err store_prepare(struct store *store, struct reeve_why *why)
{
    for (size_t i = 0; i < STORE_STATEMENT_COUNT; i++) {
        int rc =
            sqlite3_prepare_v3(store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
        if (rc != SQLITE_OK) {
            return store_sqlite_fail(store->db, rc, "schema", why);
        }
    }
    return REEVE_OK;
}

// ---- turns ------------------------------------------------------------------------------------------------------

static sqlite3_stmt *statement(struct store *store, enum store_statement id)
{
    sqlite3_stmt *stmt = store->statements[id];
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return stmt;
}

static enum reeve_err run(struct store *store, enum store_statement id, const char *what, struct reeve_why *why)
{
    sqlite3_stmt *stmt = store->statements[id];
    int rc = sqlite3_step(stmt);
    enum reeve_err err = rc == SQLITE_DONE || rc == SQLITE_ROW ? REEVE_OK : store_sqlite_fail(store->db, rc, what, why);
    sqlite3_reset(stmt);
    return err;
}

// Half a turn must never be committed: the first failure is kept until the turn ends.
enum reeve_err store_turn_break(struct store *store, enum reeve_err err, const struct reeve_why *why)
{
    if (err != REEVE_OK && store->turn_err == REEVE_OK) {
        store->turn_err = err;
        store->turn_why = *why;
    }
    return err;
}

// After a failure SQLite may have ended the transaction by itself, and what is written then stands alone and is
// committed at once: so nothing more is written in a broken turn.
enum reeve_err store_turn_enter(struct store *store, struct reeve_why *why)
{
    if (!store->in_turn) {
        store->in_turn = true;
        store->turn_err = REEVE_OK;
        (void)statement(store, STORE_BEGIN);
        return store_turn_break(store, run(store, STORE_BEGIN, "begin", why), why);
    }
    return store->turn_err == REEVE_OK ? REEVE_OK : reeve_fail(why, store->turn_err, "%s", store->turn_why.text);
}

static enum reeve_err write_row(struct store *store, enum store_statement id, struct reeve_why *why)
{
    return store_turn_break(store, run(store, id, "write", why), why);
}

static void keep_epoch(struct store *store);

static void roll_back(struct store *store)
{
    store->in_turn = false;
    store->turn_err = REEVE_OK;
    if (sqlite3_get_autocommit(store->db) == 0) {
        (void)statement(store, STORE_ROLLBACK);
        (void)run(store, STORE_ROLLBACK, "undo", NULL); /* SQLite may have rolled back by itself */
    }
    if (store->part != NULL) {
        store->part->undone(store->part);
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
    if (store->part != NULL && store->turn_err == REEVE_OK) {
        (void)store->part->flush(store->part, why); /* a failure breaks the turn */
    }
    enum reeve_err err = store->turn_err;
    if (err == REEVE_OK) {
        (void)statement(store, STORE_COMMIT);
        err = run(store, STORE_COMMIT, "commit", why);
    } else {
        *why = store->turn_why;
    }
    if (err != REEVE_OK) {
        roll_back(store);
        return err;
    }
    store->in_turn = false;
    store->epoch_kept = store->epoch;
    if (store->part != NULL) {
        store->part->committed(store->part);
    }
    return REEVE_OK;
}

void store_undo(struct store *store)
{
    if (store->in_turn) {
        roll_back(store);
    }
}

int64_t store_spare_bytes(struct store *store)
{
    int64_t pages = 0;
    int64_t page_size = 0;
    bool known = store_pragma(store->db, "PRAGMA freelist_count", &pages, NULL) == REEVE_OK &&
                 store_pragma(store->db, "PRAGMA page_size", &page_size, NULL) == REEVE_OK;
    return known ? pages * page_size : 0;
}

// ---- values in columns ------------------------------------------------------------------------------------------

static void bind_text(sqlite3_stmt *stmt, int column, const char *text)
{
    if (text == NULL) {
        sqlite3_bind_null(stmt, column);
    } else {
        sqlite3_bind_text(stmt, column, text, -1, SQLITE_TRANSIENT);
    }
}

static enum reeve_err bind_value(sqlite3_stmt *stmt, int column, const struct reeve_value *value, struct reeve_why *why)
{
    if (value == NULL) {
        sqlite3_bind_null(stmt, column);
        return REEVE_OK;
    }
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(STORE_VALUE_SIZE_MAX);
    enum reeve_err err = reeve_value_built(value);
    if (err == REEVE_OK) {
        err = reeve_msgpack_write(value, &buf);
    }
    if (err != REEVE_OK) {
        return reeve_fail(why, err, "store: a value can't be written: %s", reeve_err_text(err));
    }
    int rc = sqlite3_bind_blob64(stmt, column, buf.data, buf.len, SQLITE_TRANSIENT);
    return rc == SQLITE_OK ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "store: out of memory");
}

enum reeve_err store_value_read(const void *data, size_t len, struct reeve_value **ret, struct reeve_why *why)
{
    // Wider than any message: what was written has to read back.
    static const struct reeve_limits limits = {
        .bytes_max = STORE_VALUE_SIZE_MAX, .depth_max = 128, .entries_max = 1u << 20};
    enum reeve_err err = reeve_msgpack_read(data, len, &limits, NULL, ret, why);
    return err == REEVE_OK || err == REEVE_NOMEM ? err : REEVE_CORRUPT;
}

// *ret is NULL for SQL NULL.
static enum reeve_err column_value(sqlite3_stmt *stmt, int column, struct reeve_value **ret, struct reeve_why *why)
{
    const void *data = sqlite3_column_blob(stmt, column);
    *ret = NULL;
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        return REEVE_OK;
    }
    return store_value_read(data, (size_t)sqlite3_column_bytes(stmt, column), ret, why);
}

static enum reeve_err column_text(sqlite3_stmt *stmt, int column, char **ret)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    *ret = strdup(text != NULL ? (const char *)text : "");
    return *ret != NULL ? REEVE_OK : REEVE_NOMEM;
}

// ---- numbers and epoch ------------------------------------------------------------------------------------------

int64_t store_number(struct store *store, const char *key, int64_t fallback)
{
    sqlite3_stmt *stmt = statement(store, STORE_NUMBER_GET);
    bind_text(stmt, 1, key);
    int64_t number = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : fallback;
    sqlite3_reset(stmt);
    return number;
}

enum reeve_err store_number_set(struct store *store, const char *key, int64_t value, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = store_turn_enter(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, STORE_NUMBER_SET);
    bind_text(stmt, 1, key);
    sqlite3_bind_int64(stmt, 2, value);
    return write_row(store, STORE_NUMBER_SET, why);
}

// An epoch that was given may be in use: it has to be on disk although the turn it was given in is undone.
static void keep_epoch(struct store *store)
{
    if (store->epoch == store->epoch_kept) {
        return;
    }
    store->epoch_kept = store->epoch; // once: a disk that refuses now must not be tried for ever
    if (store_number_set(store, "epoch", (int64_t)store->epoch, NULL) != REEVE_OK ||
        store_commit(store, NULL) != REEVE_OK) {
        store_undo(store); // it still grows in memory, and the wall clock carries it over a restart
    }
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

// ---- documents --------------------------------------------------------------------------------------------------

// Levels of printable ASCII, none of them empty.
bool store_key_valid(const char *key)
{
    size_t len = 0;
    for (char before = '/'; key[len] != '\0'; before = key[len++]) {
        if (key[len] <= ' ' || key[len] > '~' || (key[len] == '/' && before == '/') || len + 1 >= STORE_KEY_SIZE) {
            return false;
        }
    }
    return len > 0 && key[len - 1] != '/';
}

static enum reeve_err check_key(const char *key, struct reeve_why *why)
{
    return store_key_valid(key) ? REEVE_OK : reeve_fail(why, REEVE_INVALID, "store: '%.40s' is no key", key);
}

enum reeve_err store_put(struct store *store, enum store_collection collection, const char *key,
                         const struct reeve_value *value, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = store_turn_enter(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, STORE_PUT);
    err = value == NULL ? reeve_fail(why, REEVE_NOMEM, "store: out of memory") : check_key(key, why);
    if (err == REEVE_OK) {
        err = bind_value(stmt, 3, value, why);
    }
    if (err != REEVE_OK) {
        return store_turn_break(store, err, why);
    }
    bind_text(stmt, 1, store_collection_text(collection));
    bind_text(stmt, 2, key);
    return write_row(store, STORE_PUT, why);
}

enum reeve_err store_remove(struct store *store, enum store_collection collection, const char *key,
                            struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = store_turn_enter(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, STORE_REMOVE);
    bind_text(stmt, 1, store_collection_text(collection));
    bind_text(stmt, 2, key);
    return write_row(store, STORE_REMOVE, why);
}

static enum reeve_err unreadable(enum reeve_err err, enum store_collection collection, const char *key,
                                 const struct reeve_why *detail, struct reeve_why *why)
{
    return err == REEVE_OK ? REEVE_OK
                           : reeve_fail(why, err, "store: %s '%s' does not read back: %s",
                                        store_collection_text(collection), key, detail->text);
}

enum reeve_err store_get(struct store *store, enum store_collection collection, const char *key,
                         struct reeve_value **ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = statement(store, STORE_GET);
    struct reeve_value *value = NULL;
    struct reeve_why detail = {0};
    bind_text(stmt, 1, store_collection_text(collection));
    bind_text(stmt, 2, key);
    int rc = sqlite3_step(stmt);
    enum reeve_err err = REEVE_OK;
    if (rc == SQLITE_ROW) {
        err = unreadable(column_value(stmt, 0, &value, &detail), collection, key, &detail, why);
    } else if (rc == SQLITE_DONE) {
        err = reeve_fail(why, REEVE_NOENT, "store: no %s '%s'", store_collection_text(collection), key);
    } else {
        err = store_sqlite_fail(store->db, rc, "read", why);
    }
    sqlite3_reset(stmt);
    if (err == REEVE_OK) {
        *ret = value;
    }
    return err;
}

// The first text behind all that begin with `prefix`. Keys are below 0x7f, so that the last byte can always be raised.
static void after_prefix(const char *prefix, char ret[STORE_KEY_SIZE + 1])
{
    size_t len = strlen(prefix);
    if (len == 0) {
        memcpy(ret, "\x7f", 2);
        return;
    }
    memcpy(ret, prefix, len + 1);
    ret[len - 1]++;
}

static enum reeve_err each_row(sqlite3_stmt *stmt, enum store_collection collection,
                               void (*each)(const char *key, const struct reeve_value *value, void *arg), void *arg,
                               struct reeve_why *why)
{
    char key[STORE_KEY_SIZE] = ""; // the row's own text ends with the next step
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    struct reeve_why detail = {0};
    REEVE_VALUE_AUTO value = NULL;
    (void)snprintf(key, sizeof key, "%s", text != NULL ? text : ""); /* a longer one was never written */
    enum reeve_err err = unreadable(column_value(stmt, 1, &value, &detail), collection, key, &detail, why);
    if (err == REEVE_OK) {
        each(key, value, arg);
    }
    return err;
}

enum reeve_err store_each(struct store *store, enum store_collection collection, const char *prefix,
                          void (*each)(const char *key, const struct reeve_value *value, void *arg), void *arg,
                          struct reeve_why *why)
{
    static const char sql[] = "SELECT key,value FROM document WHERE collection=?1 AND key>=?2 AND key<?3 ORDER BY key";
    char end[STORE_KEY_SIZE + 1];
    sqlite3_stmt *stmt = NULL; // its own: calls may be nested
    if (strlen(prefix) >= STORE_KEY_SIZE) {
        return REEVE_OK;
    }
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK) {
        return store_sqlite_fail(store->db, rc, "read", why);
    }
    after_prefix(prefix, end);
    bind_text(stmt, 1, store_collection_text(collection));
    bind_text(stmt, 2, prefix);
    bind_text(stmt, 3, end);
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        err = each_row(stmt, collection, each, arg, why);
    }
    if (err == REEVE_OK && rc != SQLITE_DONE) {
        err = store_sqlite_fail(store->db, rc, "read", why);
    }
    sqlite3_finalize(stmt);
    return err;
}

// ---- journal ----------------------------------------------------------------------------------------------------

void store_command_done(struct store_command *command)
{
    free(command->id);
    free(command->topic);
    reeve_value_free(command->body);
    reeve_value_free(command->reply);
    *command = (struct store_command){0};
}

static enum reeve_err worse(enum reeve_err a, enum reeve_err b)
{
    return a != REEVE_OK ? a : b;
}

static enum reeve_err command_row(sqlite3_stmt *stmt, struct store_command *ret, struct reeve_why *why)
{
    struct store_command command = {.digest = (uint64_t)sqlite3_column_int64(stmt, 1)};
    struct reeve_why detail = {0};
    enum reeve_err err = column_text(stmt, 0, &command.id);
    err = worse(err, column_text(stmt, 2, &command.topic));
    err = worse(err, column_value(stmt, 3, &command.body, &detail));
    err = worse(err, column_value(stmt, 5, &command.reply, &detail));
    const char *phase = (const char *)sqlite3_column_text(stmt, 4);
    if (err == REEVE_OK && (phase == NULL || !reeve_phase_parse(phase, &command.phase))) {
        err = reeve_fail(&detail, REEVE_CORRUPT, "'%s' is no phase", phase != NULL ? phase : "");
    }
    if (err != REEVE_OK) {
        (void)reeve_fail(why, err, "store: command '%s' does not read back: %s", command.id != NULL ? command.id : "",
                         detail.text); /* `err` is returned */
        store_command_done(&command);
        return err;
    }
    *ret = command;
    return REEVE_OK;
}

enum reeve_err store_journal_find(struct store *store, const char *id, struct store_command *ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = statement(store, STORE_JOURNAL_FIND);
    bind_text(stmt, 1, id);
    int rc = sqlite3_step(stmt);
    enum reeve_err err;
    if (rc == SQLITE_ROW) {
        err = command_row(stmt, ret, why);
    } else {
        err = rc == SQLITE_DONE ? REEVE_NOENT : store_sqlite_fail(store->db, rc, "read journal", why);
    }
    sqlite3_reset(stmt);
    return err;
}

enum reeve_err store_journal_put(struct store *store, const struct store_command *command, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    enum reeve_err err = store_turn_enter(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, STORE_JOURNAL_PUT);
    err = bind_value(stmt, 4, command->body, why);
    if (err == REEVE_OK) {
        err = bind_value(stmt, 6, command->reply, why);
    }
    if (err != REEVE_OK) {
        return store_turn_break(store, err, why);
    }
    bind_text(stmt, 1, command->id);
    sqlite3_bind_int64(stmt, 2, (int64_t)command->digest);
    bind_text(stmt, 3, command->topic);
    bind_text(stmt, 5, reeve_phase_text(command->phase));
    sqlite3_bind_int(stmt, 7, reeve_phase_terminal(command->phase));
    sqlite3_bind_int64(stmt, 8, store->running_ms);
    return write_row(store, STORE_JOURNAL_PUT, why);
}

enum reeve_err store_journal_end(struct store *store, const char *id, enum reeve_phase phase,
                                 const struct reeve_value *reply, struct reeve_why *why)
{
    struct reeve_why own;
    why = why != NULL ? why : &own;
    REEVE_ASSERT(reeve_phase_terminal(phase));
    enum reeve_err err = store_turn_enter(store, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_stmt *stmt = statement(store, STORE_JOURNAL_END);
    err = bind_value(stmt, 3, reply, why);
    if (err != REEVE_OK) {
        return store_turn_break(store, err, why);
    }
    bind_text(stmt, 1, id);
    bind_text(stmt, 2, reeve_phase_text(phase));
    return write_row(store, STORE_JOURNAL_END, why);
}

// One that does not read back is passed over and told at the end: it must not keep the others from being answered.
enum reeve_err store_journal_open(struct store *store, void (*each)(const struct store_command *command, void *arg),
                                  void *arg, struct reeve_why *why)
{
    sqlite3_stmt *stmt = statement(store, STORE_JOURNAL_OPEN);
    enum reeve_err result = REEVE_OK;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct store_command command;
        enum reeve_err err = command_row(stmt, &command, why);
        if (err == REEVE_OK) {
            each(&command, arg);
            store_command_done(&command);
        }
        result = worse(result, err);
    }
    if (rc != SQLITE_DONE) {
        result = store_sqlite_fail(store->db, rc, "read journal", why);
    }
    sqlite3_reset(stmt);
    return result;
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
    sqlite3_bind_int64(statement(store, STORE_JOURNAL_AGE), 1, store->running_ms - STORE_JOURNAL_KEEP_MS);
    err = write_row(store, STORE_JOURNAL_AGE, why);
    if (err != REEVE_OK) {
        return err;
    }
    sqlite3_bind_int64(statement(store, STORE_JOURNAL_TRIM), 1, STORE_JOURNAL_LEN_MAX);
    return write_row(store, STORE_JOURNAL_TRIM, why);
}
