// Opening the store: the lock, whose file it is, whether it reads back, and from an older schema to this one.
// A file that is damaged, empty or somebody else's is refused and left as it is.
// Must not: touch a document, other than in a step of a migration.
#include "store_sqlite.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS          1000         // somebody looks into the file with a tool of his own
#define CHECK_WHOLE_MAX  (64LL << 20) // above it only what the manager can't do without is read at the start
#define FOLD_PAGES       1000         // of the log: more of it and a checkpoint is long, less and there are many
#define MIGRATED_BY_COPY "manager.db.schema-%d"

static const struct store_step steps[] = {
    {.sql = "CREATE TABLE document(collection TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
            " PRIMARY KEY(collection,key)) WITHOUT ROWID;"
            "CREATE TABLE journal(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
            " digest INTEGER NOT NULL, topic TEXT NOT NULL, body BLOB, phase TEXT NOT NULL, reply BLOB,"
            " terminal INTEGER NOT NULL, age INTEGER NOT NULL);"
            "CREATE INDEX journal_open ON journal(terminal) WHERE terminal=0;"
            "CREATE TABLE number(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"},
    // Jobs. `place` is several numbers in one, so that it is a rowid: see job_store_priv.h. Row 0 of job_queue is of no
    // queue: it keeps the highest number of queues that are removed.
    {.sql =
         "CREATE TABLE job_queue(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, number_max INTEGER NOT NULL,"
         " completed INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, past INTEGER NOT NULL);"
         "INSERT INTO job_queue VALUES(0,'',0,0,0,0,0);"
         "CREATE TABLE job_class(number INTEGER PRIMARY KEY, queue INTEGER NOT NULL, type TEXT, requires BLOB);"
         "CREATE TABLE job(number INTEGER PRIMARY KEY, queue INTEGER NOT NULL, class INTEGER NOT NULL,"
         " state INTEGER NOT NULL, flags INTEGER NOT NULL, priority INTEGER NOT NULL, attempt INTEGER NOT NULL,"
         " failures INTEGER NOT NULL, deaths INTEGER NOT NULL, reconciles INTEGER NOT NULL, added_at INTEGER NOT NULL,"
         " run_at INTEGER NOT NULL, started_at INTEGER NOT NULL, after_left INTEGER NOT NULL, key TEXT, worker TEXT,"
         " worker_epoch INTEGER NOT NULL);"
         "CREATE TABLE job_body(number INTEGER PRIMARY KEY, queue INTEGER NOT NULL, digest INTEGER NOT NULL,"
         " id TEXT NOT NULL, raw BLOB);"
         "CREATE TABLE job_id(id TEXT NOT NULL, queue INTEGER NOT NULL, number INTEGER NOT NULL,"
         " PRIMARY KEY(id,queue)) WITHOUT ROWID;"
         "CREATE TABLE job_ended(place INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
         " deaths INTEGER NOT NULL, added_at INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL,"
         " worker TEXT, error TEXT, result BLOB);"
         "CREATE TABLE job_past(place INTEGER PRIMARY KEY, state INTEGER NOT NULL, attempt INTEGER NOT NULL,"
         " ended_at INTEGER NOT NULL,"
         " digest INTEGER NOT NULL, id TEXT NOT NULL);"
         "CREATE TABLE job_start(place INTEGER PRIMARY KEY, at INTEGER NOT NULL);"
         "CREATE TABLE job_note(place INTEGER PRIMARY KEY, data BLOB);"
         "CREATE TABLE job_after(awaited INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY(awaited,number))"
         " WITHOUT ROWID;"
         "CREATE INDEX job_after_number ON job_after(number);"
         "CREATE TABLE job_dedupe(queue INTEGER NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL,"
         " until_at INTEGER NOT NULL, PRIMARY KEY(queue,key)) WITHOUT ROWID;"
         "CREATE INDEX job_dedupe_until ON job_dedupe(queue,until_at);"},
};
static_assert(REEVE_ARRAY_LEN(steps) == STORE_SCHEMA, "a step to every schema");
const struct store_schema store_schema = {.version = STORE_SCHEMA, .steps = steps};

const char *store_path(char buf[STORE_PATH_SIZE], const char *dir, const char *file)
{
    (void)snprintf(buf, STORE_PATH_SIZE, "%s/%s", dir, file);
    return buf;
}

// ---- SQLite -----------------------------------------------------------------------------------------------------

enum reeve_err store_sqlite_fail(sqlite3 *db, int rc, const char *what, struct reeve_why *why)
{
    enum reeve_err err = REEVE_IO;
    if ((rc & 0xff) == SQLITE_NOMEM) {
        err = REEVE_NOMEM;
    } else if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB) {
        err = REEVE_CORRUPT;
    }
    int error = db != NULL ? sqlite3_system_errno(db) : 0;
    bool told = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
    return reeve_fail(why, err, "store: %s: %s%s%s", what, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc),
                      told && error != 0 ? ": " : "", told && error != 0 ? strerror(error) : "");
}

enum reeve_err store_exec(sqlite3 *db, const char *sql, const char *what, struct reeve_why *why)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? REEVE_OK : store_sqlite_fail(db, rc, what, why);
}

enum reeve_err store_pragma(sqlite3 *db, const char *sql, int64_t *ret, struct reeve_why *why)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    int64_t number = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    enum reeve_err err = rc == SQLITE_ROW || rc == SQLITE_DONE ? REEVE_OK : store_sqlite_fail(db, rc, "read", why);
    sqlite3_finalize(stmt);
    if (err == REEVE_OK) {
        *ret = number;
    }
    return err;
}

bool store_fold_on_close(sqlite3 *db, bool fold)
{
    return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, fold ? 0 : 1, NULL) == SQLITE_OK;
}

enum reeve_err store_connect(const char *path, int flags, sqlite3 **ret, struct reeve_why *why)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(db, BUSY_MS);
        sqlite3_extended_result_codes(db, 1);
        // Closing a damaged file would write its log into it, and remove the log.
        (void)store_fold_on_close(db, false); /* an SQLite that does not know this closes as ever */
        rc = sqlite3_exec(db, "PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY", NULL,
                          NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        enum reeve_err err = store_sqlite_fail(db, rc, path, why);
        sqlite3_close(db);
        return err;
    }
    *ret = db;
    return REEVE_OK;
}

enum reeve_err store_identify(sqlite3 *db, int version_max, int *ret_version, struct reeve_why *why)
{
    int64_t application = 0;
    int64_t version = 0;
    enum reeve_err err = store_pragma(db, "PRAGMA application_id", &application, why);
    if (err == REEVE_OK) {
        err = store_pragma(db, "PRAGMA user_version", &version, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    if (application != STORE_APPLICATION_ID || version < 1) {
        return reeve_fail(why, REEVE_CORRUPT, "store: the file is empty or not a manager's store");
    }
    if (version > version_max) {
        return reeve_fail(why, REEVE_UNSUPPORTED,
                          "the store has schema %lld, this reeve-manager knows up to %d: use the newer reeve-manager",
                          (long long)version, version_max);
    }
    *ret_version = (int)version;
    return REEVE_OK;
}

// ---- files ------------------------------------------------------------------------------------------------------

enum reeve_err store_lock(const char *dir, int *ret_fd, struct reeve_why *why)
{
    char path[STORE_PATH_SIZE];
    int fd = open(store_path(path, dir, "lock"), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return reeve_fail_errno(why, "open %s", path);
    }
    const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) != 0) {
        close(fd);
        return reeve_fail(why, REEVE_CONFLICT, "another manager runs with the state directory %s", dir);
    }
    *ret_fd = fd;
    return REEVE_OK;
}

enum reeve_err store_sync_dir(const char *dir, struct reeve_why *why)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;
    enum reeve_err err = rc == 0 ? REEVE_OK : reeve_fail_errno(why, "sync %s", dir);
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

// ---- making and migrating ---------------------------------------------------------------------------------------

static enum reeve_err take_steps(sqlite3 *db, const struct store_schema *schema, int from, struct reeve_why *why)
{
    char finish[128];
    enum reeve_err err = store_exec(db, "BEGIN IMMEDIATE", "migrate", why);
    for (int i = from; err == REEVE_OK && i < schema->version; i++) {
        const struct store_step *step = &schema->steps[i];
        if (step->sql != NULL) {
            err = store_exec(db, step->sql, "migrate", why);
        }
        if (err == REEVE_OK && step->run != NULL) {
            err = step->run(db, why);
        }
    }
    (void)snprintf(finish, sizeof finish, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
                   STORE_APPLICATION_ID, schema->version);
    if (err == REEVE_OK) {
        err = store_exec(db, finish, "migrate", why);
    }
    if (err != REEVE_OK && sqlite3_get_autocommit(db) == 0) {
        (void)store_exec(db, "ROLLBACK", "migrate", NULL); /* the connection is closed next, which does the same */
    }
    return err;
}

// Beside its place and then renamed: a store without a schema can then never be one of ours.
static enum reeve_err make_file(const char *dir, const struct store_schema *schema, struct reeve_why *why)
{
    char temp[STORE_PATH_SIZE];
    char path[STORE_PATH_SIZE];
    (void)unlink(store_path(temp, dir, ".manager.db.new")); /* what a crash left, if anything */
    int fd = open(temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return reeve_fail_errno(why, "make %s", temp);
    }
    close(fd);
    sqlite3 *db = NULL;
    enum reeve_err err = store_connect(temp, SQLITE_OPEN_READWRITE, &db, why);
    if (err == REEVE_OK) {
        err = take_steps(db, schema, 0, why);
        sqlite3_close(db);
    }
    if (err == REEVE_OK && rename(temp, store_path(path, dir, STORE_FILE)) != 0) {
        err = reeve_fail_errno(why, "rename %s", temp);
    }
    if (err != REEVE_OK) {
        (void)unlink(temp); /* best effort */
        return err;
    }
    return store_sync_dir(dir, why);
}

// `manager.db.schema-<n>`, with the time behind it when there is one from an earlier migration.
static enum reeve_err copy_before(const char *dir, int version, struct reeve_why *why)
{
    char from[STORE_PATH_SIZE];
    char to[STORE_PATH_SIZE];
    char name[96];
    (void)snprintf(name, sizeof name, MIGRATED_BY_COPY, version);
    if (access(store_path(to, dir, name), F_OK) == 0) {
        (void)snprintf(name, sizeof name, MIGRATED_BY_COPY "-%lld", version, (long long)reeve_clock_wall_ms());
    }
    return store_copy(store_path(from, dir, STORE_FILE), store_path(to, dir, name), NULL, why);
}

static enum reeve_err migrate(struct store *store, const struct store_schema *schema, int from, struct reeve_why *why)
{
    if (from == schema->version) {
        return REEVE_OK;
    }
    enum reeve_err err = copy_before(store->dir, from, why);
    return err == REEVE_OK ? take_steps(store->db, schema, from, why) : err;
}

// ---- opening ----------------------------------------------------------------------------------------------------

static int note_damage(void *ret, int columns, char **values, char **names)
{
    (void)names;
    *(bool *)ret = columns < 1 || values[0] == NULL || strcmp(values[0], "ok") != 0;
    return 0;
}

static enum reeve_err quick_check(sqlite3 *db, const char *sql, struct reeve_why *why)
{
    bool damaged = false;
    int rc = sqlite3_exec(db, sql, note_damage, &damaged, NULL);
    if (rc != SQLITE_OK) {
        return store_sqlite_fail(db, rc, "check", why);
    }
    return damaged ? reeve_fail(why, REEVE_CORRUPT, "store: damaged pages") : REEVE_OK;
}

// Damage that is found later finds a manager in the middle of its work. A journal of a week can be large, and a manager
// that does not read it is better than one that is late.
static enum reeve_err check_pages(sqlite3 *db, struct reeve_why *why)
{
    int64_t pages = 0;
    int64_t page_size = 0;
    enum reeve_err err = store_pragma(db, "PRAGMA page_count", &pages, why);
    if (err == REEVE_OK) {
        err = store_pragma(db, "PRAGMA page_size", &page_size, why);
    }
    if (err == REEVE_OK && pages * page_size <= CHECK_WHOLE_MAX) {
        return quick_check(db, "PRAGMA quick_check(1)", why);
    }
    if (err == REEVE_OK) {
        err = quick_check(db, "PRAGMA quick_check('document')", why);
    }
    return err == REEVE_OK ? quick_check(db, "PRAGMA quick_check('number')", why) : err;
}

static enum reeve_err find_or_make(const char *dir, const struct store_schema *schema, struct reeve_why *why)
{
    char path[STORE_PATH_SIZE];
    char log[STORE_PATH_SIZE];
    struct stat st;
    if (lstat(store_path(path, dir, STORE_FILE), &st) == 0) {
        return S_ISREG(st.st_mode) ? REEVE_OK : reeve_fail(why, REEVE_CORRUPT, "store: %s is not a file", path);
    }
    if (errno != ENOENT) {
        return reeve_fail_errno(why, "look at %s", path);
    }
    if (lstat(store_path(log, dir, STORE_FILE "-wal"), &st) == 0 && st.st_size > 0) {
        return reeve_fail(why, REEVE_CORRUPT, "store: %s is missing beside its write-ahead log", path);
    }
    return make_file(dir, schema, why);
}

// As SQLite does it by itself, but not with each commit while a backup holds up the log: a checkpoint that cannot end
// it looks at all of it in vain.
static int fold_log_sometimes(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store *store = arg;
    if (pages < FOLD_PAGES) {
        store->fold_at = FOLD_PAGES;
    } else if (pages >= store->fold_at) {
        store->fold_at = pages + FOLD_PAGES;
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                        NULL); /* what is left is done later */
    }
    return SQLITE_OK;
}

static enum reeve_err configure(struct store *store, struct reeve_why *why)
{
    // Small caches: the manager's memory is a published figure, and it keeps what it needs itself. What was deleted is
    // overwritten where that costs no writing of its own (Debian's SQLite would write each freed page once more).
    static const char pragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2048;"
                                  "PRAGMA journal_size_limit=4194304;"
                                  "PRAGMA secure_delete=FAST;";
    enum reeve_err err = store_exec(store->db, pragmas, "configure", why);
    store->fold_at = FOLD_PAGES;
    (void)sqlite3_wal_hook(store->db, fold_log_sometimes, store); /* the former one: none of ours */
    return err;
}

static enum reeve_err open_file(struct store *store, const struct store_schema *schema, struct reeve_why *why)
{
    char path[STORE_PATH_SIZE];
    int version = 0;
    enum reeve_err err = find_or_make(store->dir, schema, why);
    if (err == REEVE_OK) {
        err = store_connect(store_path(path, store->dir, STORE_FILE), SQLITE_OPEN_READWRITE, &store->db, why);
    }
    if (err == REEVE_OK) {
        err = store_identify(store->db, schema->version, &version, why);
    }
    if (err == REEVE_OK) {
        err = check_pages(store->db, why);
    }
    if (err == REEVE_OK) {
        err = configure(store, why);
    }
    if (err == REEVE_OK) {
        err = migrate(store, schema, version, why);
    }
    return err == REEVE_OK ? store_prepare(store, why) : err;
}

// The newest name in `backups`; "" when there is none.
static void newest_backup(const char *dir, char ret[NAME_MAX + 1])
{
    char path[STORE_PATH_SIZE];
    DIR *backups = opendir(store_path(path, dir, STORE_BACKUP_DIR));
    ret[0] = '\0';
    for (const struct dirent *entry; backups != NULL && (entry = readdir(backups)) != NULL;) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, ret) > 0) {
            (void)snprintf(ret, NAME_MAX + 1, "%s", entry->d_name); /* fits */
        }
    }
    if (backups != NULL) {
        (void)closedir(backups); /* read only */
    }
}

// A damaged store is a person's to decide about: what it says must be enough to do so.
static enum reeve_err advise(enum reeve_err err, const char *dir, struct reeve_why *why)
{
    char newest[NAME_MAX + 1];
    struct reeve_why found;
    if (err != REEVE_CORRUPT || why == NULL) {
        return err;
    }
    found = *why;
    newest_backup(dir, newest);
    return reeve_fail(
        why, err, "%s; nothing was changed, restore a backup with `reeve-manager --restore FILE`, the newest is %s%s%s",
        found.text, newest[0] != '\0' ? dir : "not there", newest[0] != '\0' ? "/" STORE_BACKUP_DIR "/" : "", newest);
}

enum reeve_err store_open_as(const char *dir, const struct store_schema *schema, struct store **ret,
                             struct reeve_why *why)
{
    enum reeve_err err = reeve_dir_make(dir, 0700, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* SQLite's own count of its memory is a mutex around each allocation; refused once it runs */
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL || strlen(dir) >= sizeof store->dir) {
        free(store);
        return reeve_fail(why, store == NULL ? REEVE_NOMEM : REEVE_LIMIT, "store: can't be opened in %.64s", dir);
    }
    (void)snprintf(store->dir, sizeof store->dir, "%s", dir); /* fits */
    store->lock_fd = -1;
    err = store_lock(dir, &store->lock_fd, why);
    if (err == REEVE_OK) {
        err = advise(open_file(store, schema, why), dir, why);
    }
    if (err != REEVE_OK) {
        store_close(store);
        return err;
    }
    (void)store_fold_on_close(store->db, true); /* tidy; the log does as well */
    store->epoch = (uint64_t)store_number(store, "epoch", 0);
    store->epoch_kept = store->epoch;
    store->running_ms = store_number(store, "running_ms", 0);
    *ret = store;
    return REEVE_OK;
}

enum reeve_err store_open_memory(int64_t pages_max, struct store **ret, struct reeve_why *why)
{
    char limit[64];
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "store: out of memory");
    }
    store->lock_fd = -1;
    (void)snprintf(limit, sizeof limit, "PRAGMA max_page_count=%lld", (long long)pages_max);
    enum reeve_err err = store_connect(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, &store->db, why);
    if (err == REEVE_OK) {
        err = take_steps(store->db, &store_schema, 0, why);
    }
    if (err == REEVE_OK) {
        err = store_exec(store->db, limit, "configure", why);
    }
    if (err == REEVE_OK) {
        err = store_prepare(store, why);
    }
    if (err != REEVE_OK) {
        store_close(store);
        return err;
    }
    *ret = store;
    return REEVE_OK;
}

enum reeve_err store_open(const char *dir, struct store **ret, struct reeve_why *why)
{
    return store_open_as(dir, &store_schema, ret, why);
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t i = 0; i < STORE_STATEMENT_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
    }
    sqlite3_close(store->db);
    if (store->lock_fd >= 0) {
        close(store->lock_fd);
    }
    free(store);
}
