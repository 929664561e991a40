// Copies of the store: backup, check, restore. Each on a connection of its own, which sees what is committed.
// Must not: open the store's file other than through SQLite while it may be in use: closing any descriptor of it would
// end the locks of the whole process.
#include "job_store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_LINES_MAX 200

// ---- copying ----------------------------------------------------------------------------------------------------

static enum reeve_err vacuum_into(const char *from, const char *to, struct reeve_why *why)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    enum reeve_err err = store_connect(from, SQLITE_OPEN_READONLY, &db, why);
    if (err != REEVE_OK) {
        return err;
    }
    int rc = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(stmt, 1, to, -1, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
    }
    err = rc == SQLITE_DONE ? REEVE_OK : store_sqlite_fail(db, rc, "copy", why);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return err;
}

static enum reeve_err sync_file(const char *path, int64_t *ret_bytes, struct reeve_why *why)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0 && fstat(fd, &st) == 0;
    enum reeve_err err = ok ? REEVE_OK : reeve_fail_errno(why, "sync %s", path);
    if (fd >= 0) {
        close(fd);
    }
    if (ok && ret_bytes != NULL) {
        *ret_bytes = st.st_size;
    }
    return err;
}

static void dir_of(const char *path, char ret[STORE_PATH_SIZE])
{
    (void)snprintf(ret, STORE_PATH_SIZE, "%s", path); /* a cut one is not found */
    char *slash = strrchr(ret, '/');
    if (slash == NULL) {
        (void)snprintf(ret, STORE_PATH_SIZE, ".");
    } else {
        slash[slash == ret ? 1 : 0] = '\0';
    }
}

enum reeve_err store_copy(const char *from, const char *path, int64_t *ret_bytes, struct reeve_why *why)
{
    char dir[STORE_PATH_SIZE];
    char temp[STORE_PATH_SIZE + 32];
    char hex[9];
    struct stat st;
    if (lstat(path, &st) == 0) {
        return reeve_fail(why, REEVE_CONFLICT, "%s is there already", path);
    }
    dir_of(path, dir);
    (void)snprintf(temp, sizeof temp, "%s/.reeve-%s.tmp", dir, reeve_hex_random(hex, 8));
    int fd = open(temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600); // SQLite takes an empty file, and its mode
    if (fd < 0) {
        return reeve_fail_errno(why, "make %s", temp);
    }
    close(fd);
    enum reeve_err err = vacuum_into(from, temp, why);
    if (err == REEVE_OK) {
        err = sync_file(temp, ret_bytes, why);
    }
    if (err == REEVE_OK && rename(temp, path) != 0) {
        err = reeve_fail_errno(why, "rename %s", temp);
    }
    if (err != REEVE_OK) {
        (void)unlink(temp); /* best effort */
        return err;
    }
    return store_sync_dir(dir, why);
}

enum reeve_err store_backup(struct store *store, const char *path, int64_t *ret_bytes, struct reeve_why *why)
{
    char from[STORE_PATH_SIZE];
    return store_copy(store_path(from, store->dir, STORE_FILE), path, ret_bytes, why);
}

// ---- checking ---------------------------------------------------------------------------------------------------

struct check {
    sqlite3 *db;
    struct reeve_buf *report;
    size_t wrong;
    char first[200];
};

__attribute__((format(printf, 2, 3))) static void note(struct check *check, const char *fmt, ...)
{
    char line[300];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap); /* cut */
    va_end(ap);
    if (check->wrong++ == 0) {
        (void)snprintf(check->first, sizeof check->first, "%.*s", (int)sizeof check->first - 1, line);
    }
    if (check->report != NULL && check->wrong <= REPORT_LINES_MAX) {
        reeve_buf_printf(check->report, "%s\n", line);
    }
}

// Calls `row` for every row; what SQLite can't read is a finding like any other.
static void each(struct check *check, const char *what, const char *sql,
                 void (*row)(struct check *check, sqlite3_stmt *stmt))
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(check->db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            row(check, stmt);
        }
    }
    if (rc != SQLITE_DONE) {
        note(check, "%s: %s", what, sqlite3_errmsg(check->db));
    }
    sqlite3_finalize(stmt);
}

static const char *text_of(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return text != NULL ? text : "";
}

static void check_value(struct check *check, sqlite3_stmt *stmt, int column, const char *what, const char *name)
{
    struct reeve_why why = {0};
    REEVE_VALUE_AUTO value = NULL;
    const void *data = sqlite3_column_blob(stmt, column);
    if (store_value_read(data, (size_t)sqlite3_column_bytes(stmt, column), &value, &why) != REEVE_OK) {
        note(check, "%s '%.100s' does not read back: %s", what, name, why.text);
    }
}

static void integrity_row(struct check *check, sqlite3_stmt *stmt)
{
    if (strcmp(text_of(stmt, 0), "ok") != 0) {
        note(check, "pages: %s", text_of(stmt, 0));
    }
}

static bool collection_known(const char *text)
{
    for (int i = 0; i < STORE_COLLECTION_COUNT; i++) {
        if (strcmp(store_collection_text((enum store_collection)i), text) == 0) {
            return true;
        }
    }
    return false;
}

static void document_row(struct check *check, sqlite3_stmt *stmt)
{
    char name[64 + STORE_KEY_SIZE];
    (void)snprintf(name, sizeof name, "%.60s %s", text_of(stmt, 0), text_of(stmt, 1));
    if (!collection_known(text_of(stmt, 0))) {
        note(check, "document '%s' is of a collection that nobody reads", name);
    }
    if (!store_key_valid(text_of(stmt, 1))) {
        note(check, "document '%s' has a key that nobody can ask for", name);
    }
    check_value(check, stmt, 2, "document", name);
}

static void journal_row(struct check *check, sqlite3_stmt *stmt)
{
    enum reeve_phase phase;
    const char *id = text_of(stmt, 0);
    if (!reeve_id_valid(id)) {
        note(check, "command '%.100s' has an id that nobody can use", id);
    }
    if (!reeve_phase_parse(text_of(stmt, 1), &phase)) {
        note(check, "command '%.100s' is in no phase: '%.40s'", id, text_of(stmt, 1));
    } else if (reeve_phase_terminal(phase) != (sqlite3_column_int(stmt, 2) != 0)) {
        note(check, "command '%.100s' is '%s' and marked otherwise", id, text_of(stmt, 1));
    }
    for (int column = 3; column <= 4; column++) {
        if (sqlite3_column_type(stmt, column) != SQLITE_NULL) {
            check_value(check, stmt, column, "command", id);
        }
    }
}

static void number_row(struct check *check, sqlite3_stmt *stmt)
{
    if (sqlite3_column_type(stmt, 1) != SQLITE_INTEGER) {
        note(check, "number '%.100s' is none", text_of(stmt, 0));
    }
}

// ---- jobs: rows that point to rows that are not there, by one question each ---------------------------------------

static void wrong_job(struct check *check, sqlite3_stmt *stmt)
{
    note(check, "%s", text_of(stmt, 0));
}

static void check_jobs(struct check *check)
{
#define NUMBER_OF "(place&70368744177663)" // of a place, see job_store_priv.h
#define MERGED    "coalesce((SELECT value FROM number WHERE key='job_ids_merged'),0)" // see job_store_ids.c
    static_assert(JOB_NUMBER_MAX == 70368744177663 && JOB_SLOT_BITS == 2, "as in the questions");
    static const char *const questions[] = {
        "SELECT 'job '||number||' is in no state that a live job has' FROM job WHERE state NOT BETWEEN 0 AND 3",
        "SELECT 'job '||number||' is of no queue' FROM job WHERE queue NOT IN (SELECT number FROM job_queue)",
        "SELECT 'job '||number||' has no body' FROM job j WHERE NOT EXISTS"
        " (SELECT 1 FROM job_body b WHERE b.number=j.number)",
        "SELECT 'ended job '||" NUMBER_OF "||' has no body' FROM job_ended WHERE NOT EXISTS"
        " (SELECT 1 FROM job_body WHERE number=" NUMBER_OF ")",
        "SELECT 'job '||number||' can''t be found by its id' FROM job_body b WHERE number<=" MERGED " AND NOT EXISTS"
        " (SELECT 1 FROM job_id i WHERE i.id=b.id AND i.queue=b.queue AND i.number=b.number)",
        "SELECT 'job '||" NUMBER_OF "||' can''t be found by its id' FROM job_past p WHERE " NUMBER_OF "<=" MERGED " AND"
        " NOT EXISTS (SELECT 1 FROM job_id i WHERE i.id=p.id AND i.queue=p.place>>46 AND i.number=" NUMBER_OF ")",
        "SELECT 'job '||" NUMBER_OF
        "||' ended in no state that there is' FROM job_past WHERE state NOT BETWEEN 4 AND 6",
        "SELECT 'queue '''||name||''' counts '||counted||' ended jobs, there are '||there FROM (SELECT name,"
        "completed+failed+cancelled counted,(SELECT count(*) FROM job_ended WHERE place BETWEEN number<<48 AND"
        " (number+1<<48)-1) there FROM job_queue WHERE name NOT LIKE ' %') WHERE counted<>there",
        "SELECT 'queue '''||name||''' counts '||past||' ids of ended jobs, there are '||there FROM (SELECT name,past,"
        "(SELECT count(*) FROM job_past WHERE place BETWEEN number<<46 AND (number+1<<46)-1) there FROM job_queue"
        " WHERE name NOT LIKE ' %') WHERE past<>there",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(questions); i++) {
        each(check, "jobs", questions[i], wrong_job);
    }
}

static enum reeve_err check_all(struct check *check, struct reeve_why *why)
{
    int version = 0;
    struct reeve_why own = {0};
    enum reeve_err err = store_identify(check->db, STORE_SCHEMA, &version, &own);
    if (err != REEVE_OK) {
        note(check, "%s", own.text);
    }
    if (err == REEVE_UNSUPPORTED) {
        return reeve_fail(why, err, "%s", own.text);
    }
    each(check, "pages", "PRAGMA integrity_check(100)", integrity_row);
    if (version == STORE_SCHEMA) { // an older one has its own tables; it is read when it is migrated
        each(check, "documents", "SELECT collection,key,value FROM document", document_row);
        each(check, "journal", "SELECT id,phase,terminal,body,reply FROM journal ORDER BY seq", journal_row);
        each(check, "numbers", "SELECT key,value FROM number", number_row);
        check_jobs(check);
    }
    if (check->wrong > REPORT_LINES_MAX && check->report != NULL) {
        reeve_buf_printf(check->report, "... and %zu more\n", check->wrong - REPORT_LINES_MAX);
    }
    if (check->wrong == 0) {
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_CORRUPT, "%zu thing%s wrong with the store, the first: %s", check->wrong,
                      check->wrong == 1 ? " is" : "s are", check->first);
}

enum reeve_err store_check(struct store *store, const char *path, struct reeve_buf *report, struct reeve_why *why)
{
    char own[STORE_PATH_SIZE];
    struct check check = {.report = report};
    struct stat st;
    path = path != NULL ? path : store_path(own, store->dir, STORE_FILE);
    if (stat(path, &st) != 0) {
        return reeve_fail_errno(why, "look at %s", path);
    }
    enum reeve_err err = store_connect(path, SQLITE_OPEN_READONLY, &check.db, why);
    if (err == REEVE_OK) {
        err = check_all(&check, why);
        sqlite3_close(check.db);
    }
    return err;
}

// ---- restoring --------------------------------------------------------------------------------------------------

struct kept_numbers { // what must never go back
    int64_t epoch, generation;
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void read_numbers(const char *path, struct kept_numbers *numbers)
{
    sqlite3 *db = NULL;
    int64_t epoch = 0;
    int64_t generation = 0;
    if (store_connect(path, SQLITE_OPEN_READONLY, &db, NULL) != REEVE_OK) {
        return; // damaged or not there: the wall clock has to do
    }
    (void)store_pragma(db, "SELECT value FROM number WHERE key='epoch'", &epoch, NULL);           /* as above */
    (void)store_pragma(db, "SELECT value FROM number WHERE key='generation'", &generation, NULL); /* as above */
    sqlite3_close(db);
    numbers->epoch = larger(numbers->epoch, epoch);
    numbers->generation = larger(numbers->generation, generation);
}

static enum reeve_err write_numbers(const char *path, const struct kept_numbers *numbers, struct reeve_why *why)
{
    char sql[256];
    sqlite3 *db = NULL;
    long long epoch = numbers->epoch;
    long long generation = numbers->generation;
    enum reeve_err err = store_connect(path, SQLITE_OPEN_READWRITE, &db, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA synchronous=FULL; BEGIN; INSERT OR REPLACE INTO number(key,value) VALUES"
                   "('epoch',%lld),('generation',%lld); COMMIT",
                   epoch + 1, generation + 1);
    err = store_exec(db, sql, "restore", why);
    sqlite3_close(db);
    return err;
}

static void remove_log(const char *path)
{
    static const char *const parts[] = {"-wal", "-shm"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        char part[STORE_PATH_SIZE + 8];
        (void)snprintf(part, sizeof part, "%s%s", path, parts[i]);
        (void)unlink(part); /* mostly not there */
    }
}

// All of it into the one file, so that no write-ahead log is left that the next store would take for its own.
static enum reeve_err fold_log(const char *path, struct reeve_why *why)
{
    sqlite3 *db = NULL;
    enum reeve_err err = store_connect(path, SQLITE_OPEN_READWRITE, &db, why);
    if (err == REEVE_OK) {
        err = store_exec(db, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE", "set aside", why);
        sqlite3_close(db);
    }
    return err;
}

static enum reeve_err link_aside(const char *path, const char *part, int64_t at, struct reeve_why *why)
{
    char from[STORE_PATH_SIZE + 8];
    char to[STORE_PATH_SIZE + 64];
    (void)snprintf(from, sizeof from, "%s%s", path, part);
    (void)snprintf(to, sizeof to, "%s.before-restore-%lld%s", path, (long long)at, part);
    return link(from, to) == 0 || errno == ENOENT ? REEVE_OK : reeve_fail_errno(why, "set aside %s", from);
}

// Linked, not renamed: there is never an instant at which no store is there, which the next manager would take for a
// new fleet.
static enum reeve_err set_aside(const char *path, struct reeve_why *why)
{
    int64_t at = reeve_clock_wall_ms();
    struct stat st;
    if (lstat(path, &st) == 0) {
        enum reeve_err err = fold_log(path, why);
        if (err != REEVE_OK && err != REEVE_CORRUPT) {
            return err;
        }
    }
    enum reeve_err err = link_aside(path, "", at, why);
    return err == REEVE_OK ? link_aside(path, "-wal", at, why) : err; // there is one only when it is damaged
}

static enum reeve_err put_in_place(const char *dir, const char *path, const char *temp, struct reeve_why *why)
{
    enum reeve_err err = set_aside(path, why);
    if (err != REEVE_OK) {
        return err;
    }
    remove_log(path);
    err = store_sync_dir(dir, why);
    if (err != REEVE_OK) {
        return err;
    }
    return rename(temp, path) == 0 ? store_sync_dir(dir, why) : reeve_fail_errno(why, "rename %s", temp);
}

static bool same_file(const char *a, const char *b)
{
    struct stat sa;
    struct stat sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static enum reeve_err restore_locked(const char *dir, const char *backup, struct reeve_why *why)
{
    char path[STORE_PATH_SIZE];
    char temp[STORE_PATH_SIZE];
    struct kept_numbers numbers = {.epoch = reeve_clock_wall_ms()};
    (void)store_path(path, dir, STORE_FILE);
    if (same_file(path, backup)) {
        return reeve_fail(why, REEVE_INVALID, "%s is the store itself", backup);
    }
    enum reeve_err err = store_check(NULL, backup, NULL, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)unlink(store_path(temp, dir, ".manager.db.restored")); /* what a crash left, if anything */
    read_numbers(path, &numbers);
    read_numbers(backup, &numbers);
    err = store_copy(backup, temp, NULL, why);
    if (err == REEVE_OK) {
        err = write_numbers(temp, &numbers, why);
    }
    if (err == REEVE_OK) {
        err = put_in_place(dir, path, temp, why);
    }
    if (err != REEVE_OK) {
        (void)unlink(temp); /* best effort */
    }
    return err;
}

enum reeve_err store_restore(const char *dir, const char *path, struct reeve_why *why)
{
    int lock_fd = -1;
    enum reeve_err err = reeve_dir_make(dir, 0700, why);
    if (err == REEVE_OK) {
        err = store_lock(dir, &lock_fd, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    err = restore_locked(dir, path, why);
    close(lock_fd);
    return err;
}
