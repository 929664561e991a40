// The manager's store: what is on disk after a commit and what is not, whatever ends the process or fills the disk;
// documents, journal, epoch, lock, damage, migration, backup, restore. The seed of what is random is printed;
// REEVE_SEED sets it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_sqlite.h"

#define assert_ok(call) assert_int_equal(call, REEVE_OK)

struct site {
    char dir[64];
    struct store *store;
};

static void open_site(struct site *site)
{
    struct reeve_why why = {0};
    if (store_open(site->dir, &site->store, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
}

static void close_site(struct site *site)
{
    store_close(site->store);
    site->store = NULL;
}

static void reopen(struct site *site)
{
    close_site(site);
    open_site(site);
}

static const char *path_in(const struct site *site, const char *file)
{
    static char paths[4][160];
    static size_t next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", site->dir, file);
    return path;
}

static int setup(void **state)
{
    struct site *site = calloc(1, sizeof(*site));
    (void)snprintf(site->dir, sizeof(site->dir), "/tmp/reeve-manager-store-XXXXXX");
    *state = site;
    return mkdtemp(site->dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct site *site = *state;
    store_close(site->store);
    (void)reeve_dir_remove(site->dir, NULL); // left for whoever looks into /tmp
    free(site);
    return 0;
}

// ---- helpers ----------------------------------------------------------------------------------------------------

static void put_to(struct store *store, enum store_collection collection, const char *key, int64_t number)
{
    REEVE_VALUE_AUTO value = reeve_value_map();
    reeve_put_int(value, "number", number);
    reeve_put_str(value, "text", "some text, so that a document has a size that one could meet");
    assert_ok(store_put(store, collection, key, value, NULL));
}

static void put(struct site *site, const char *key, int64_t number)
{
    put_to(site->store, STORE_MEMBER, key, number);
}

static int64_t number_of(struct site *site, const char *key) // -1: not there
{
    struct reeve_value *value = NULL;
    enum reeve_err err = store_get(site->store, STORE_MEMBER, key, &value, NULL);
    int64_t number = err == REEVE_OK ? reeve_get_int(value, "number", -2) : -1;
    assert_true(err == REEVE_OK || err == REEVE_NOENT);
    reeve_value_free(value);
    return number;
}

struct listed {
    char text[2048];
    size_t count;
};

static void list_key(const char *key, const struct reeve_value *value, void *arg)
{
    struct listed *listed = arg;
    size_t len = strlen(listed->text);
    assert_int_equal(reeve_value_kind(value), REEVE_MAP);
    if (len + strlen(key) + 2 < sizeof listed->text) {
        (void)snprintf(listed->text + len, sizeof listed->text - len, "%s ", key);
    }
    listed->count++;
}

static const char *keys_of(struct site *site, enum store_collection collection, const char *prefix)
{
    static struct listed listed;
    listed = (struct listed){0};
    assert_ok(store_each(site->store, collection, prefix, list_key, &listed, NULL));
    return listed.text;
}

static void put_command(struct store *store, const char *id, uint64_t digest)
{
    REEVE_VALUE_AUTO body = reeve_value_map();
    reeve_put_str(body, "of", id);
    const struct store_command command = {.id = (char *)(uintptr_t)id,
                                          .digest = digest,
                                          .topic = (char *)(uintptr_t) "t",
                                          .body = body,
                                          .phase = REEVE_PHASE_ACCEPTED};
    assert_ok(store_journal_put(store, &command, NULL));
}

static void finish_command(struct store *store, const char *id)
{
    REEVE_VALUE_AUTO reply = reeve_value_map();
    reeve_put_str(reply, "phase", "done");
    assert_ok(store_journal_end(store, id, REEVE_PHASE_DONE, reply, NULL));
}

static bool knows(struct store *store, const char *id)
{
    struct store_command found = {0};
    enum reeve_err err = store_journal_find(store, id, &found, NULL);
    store_command_done(&found);
    assert_true(err == REEVE_OK || err == REEVE_NOENT);
    return err == REEVE_OK;
}

static int count_files(const char *path, const char *part)
{
    int count = 0;
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        count += strstr(entry->d_name, part) != NULL;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return count;
}

static void exec_on(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    sqlite3_close(db);
}

// ---- turns, documents -------------------------------------------------------------------------------------------

static void what_is_committed_stays_and_the_rest_is_gone(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_false(store_dirty(site->store));
    assert_ok(store_commit(site->store, NULL));
    put(site, "p/kept", 7);
    put_command(site->store, "kept", 7);
    assert_true(store_dirty(site->store));
    assert_ok(store_commit(site->store, NULL));
    assert_false(store_dirty(site->store));
    put(site, "p/lost", 8);
    put(site, "p/kept", 9);
    put_command(site->store, "lost", 8);
    assert_int_equal(number_of(site, "p/kept"), 9); // the turn sees what it wrote
    reopen(site);
    assert_int_equal(number_of(site, "p/kept"), 7);
    assert_int_equal(number_of(site, "p/lost"), -1);
    assert_true(knows(site->store, "kept"));
    assert_false(knows(site->store, "lost"));
}

static void an_undone_turn_leaves_nothing(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_remove(site->store, STORE_MEMBER, "p/a", NULL));
    put(site, "p/b", 2);
    store_undo(site->store);
    assert_false(store_dirty(site->store));
    assert_int_equal(number_of(site, "p/a"), 1);
    assert_int_equal(number_of(site, "p/b"), -1);
    store_undo(site->store); // nothing to undo
    assert_ok(store_commit(site->store, NULL));
}

static void documents_are_kept_by_collection_and_key(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_to(site->store, STORE_POOL, "swap", 1);
    put_to(site->store, STORE_MEMBER, "swap/b", 1);
    put_to(site->store, STORE_MEMBER, "swap/a", 1);
    put_to(site->store, STORE_MEMBER, "swap/a", 5);
    put_to(site->store, STORE_MEMBER, "swap-2/a", 1);
    put_to(site->store, STORE_MEMBER, "swa/z", 1);
    put_to(site->store, STORE_MEMBER, "zz/gone", 1);
    assert_ok(store_remove(site->store, STORE_MEMBER, "zz/gone", NULL));
    assert_ok(store_remove(site->store, STORE_MEMBER, "zz/never", NULL));
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    assert_string_equal(keys_of(site, STORE_MEMBER, ""), "swa/z swap-2/a swap/a swap/b ");
    assert_string_equal(keys_of(site, STORE_MEMBER, "swap/"), "swap/a swap/b ");
    assert_string_equal(keys_of(site, STORE_MEMBER, "swap"), "swap-2/a swap/a swap/b ");
    assert_string_equal(keys_of(site, STORE_MEMBER, "x"), "");
    assert_string_equal(keys_of(site, STORE_POOL, ""), "swap ");
    assert_string_equal(keys_of(site, STORE_ALARM, ""), "");
    assert_int_equal(number_of(site, "swap/a"), 5);
}

static void nest(const char *key, const struct reeve_value *value, void *arg)
{
    struct site *site = arg;
    (void)value;
    char inner[64];
    (void)snprintf(inner, sizeof inner, "%s/x", key);
    put_to(site->store, STORE_POOL_VERSION, inner, 1);
    assert_string_equal(keys_of(site, STORE_MEMBER, "p/a"), "p/a ");
}

static void iterations_may_be_nested_and_write_elsewhere(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    put(site, "p/b", 2);
    assert_ok(store_each(site->store, STORE_MEMBER, "", nest, site, NULL));
    assert_ok(store_commit(site->store, NULL));
    assert_string_equal(keys_of(site, STORE_POOL_VERSION, ""), "p/a/x p/b/x ");
}

static void wrong_keys_and_values_break_the_turn(void **state)
{
    struct site *site = *state;
    open_site(site);
    char long_key[STORE_KEY_SIZE + 1];
    memset(long_key, 'a', sizeof long_key);
    long_key[STORE_KEY_SIZE] = '\0';
    const char *const wrong[] = {"", "/a", "a/", "a//b", "a b", "a\n", "\xc3\xa4", long_key};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        REEVE_VALUE_AUTO value = reeve_value_map();
        struct reeve_why why = {0};
        put(site, "p/beside", 1);
        assert_int_equal(store_put(site->store, STORE_MEMBER, wrong[i], value, NULL), REEVE_INVALID);
        assert_int_equal(store_put(site->store, STORE_MEMBER, "p/after", value, &why), REEVE_INVALID);
        assert_int_equal(store_commit(site->store, &why), REEVE_INVALID);
        assert_non_null(strstr(why.text, "is no key"));
        assert_false(store_dirty(site->store));
        assert_int_equal(number_of(site, "p/beside"), -1);
    }
    char *large = malloc(STORE_VALUE_SIZE_MAX + 1);
    memset(large, 'x', STORE_VALUE_SIZE_MAX);
    large[STORE_VALUE_SIZE_MAX] = '\0';
    REEVE_VALUE_AUTO value = reeve_value_str(large);
    free(large);
    assert_int_equal(store_put(site->store, STORE_MEMBER, "p/large", value, NULL), REEVE_LIMIT);
    assert_int_equal(store_commit(site->store, NULL), REEVE_LIMIT);
    long_key[STORE_KEY_SIZE - 1] = '\0'; // the longest there is
    put(site, long_key, 3);
    assert_ok(store_commit(site->store, NULL));
    assert_int_equal(number_of(site, long_key), 3);
    assert_string_equal(keys_of(site, STORE_MEMBER, "p"), "");
    long_key[STORE_KEY_SIZE - 1] = 'a';
    assert_string_equal(keys_of(site, STORE_MEMBER, long_key), ""); // a prefix longer than any key
}

static void a_document_that_does_not_read_back_is_named(void **state)
{
    struct site *site = *state;
    struct listed listed = {0};
    struct reeve_value *value = NULL;
    struct reeve_why why = {0};
    open_site(site);
    put(site, "p/a", 1);
    put(site, "p/b", 1);
    assert_ok(store_commit(site->store, NULL));
    close_site(site);
    exec_on(path_in(site, STORE_FILE), "UPDATE document SET value=x'c1' WHERE key='p/b'");
    open_site(site);
    assert_int_equal(store_get(site->store, STORE_MEMBER, "p/b", &value, &why), REEVE_CORRUPT);
    assert_non_null(strstr(why.text, "member 'p/b'"));
    assert_int_equal(store_each(site->store, STORE_MEMBER, "", list_key, &listed, &why), REEVE_CORRUPT);
    assert_non_null(strstr(why.text, "member 'p/b'"));
}

static void numbers_have_a_fallback(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_int_equal(store_number(site->store, "fleet_stopped", 5), 5);
    assert_ok(store_number_set(site->store, "fleet_stopped", 1, NULL));
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    assert_int_equal(store_number(site->store, "fleet_stopped", 5), 1);
}

// ---- journal, epoch ---------------------------------------------------------------------------------------------

static void note_id(const struct store_command *command, void *arg)
{
    strcat(strcat(arg, command->id), " "); // NOLINT: the test's own few
}

static void open_commands_come_back_in_order_of_arrival(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_command(site->store, "zebra", 1);
    put_command(site->store, "done", UINT64_MAX);
    put_command(site->store, "broken", 1);
    put_command(site->store, "ape", 3);
    finish_command(site->store, "done");
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    char ids[64] = "";
    assert_ok(store_journal_open(site->store, note_id, ids, NULL));
    assert_string_equal(ids, "zebra broken ape ");
    struct store_command found = {0};
    assert_ok(store_journal_find(site->store, "done", &found, NULL));
    assert_int_equal(found.phase, REEVE_PHASE_DONE);
    assert_true(found.digest == UINT64_MAX);
    assert_string_equal(found.topic, "t");
    assert_string_equal(reeve_get_str(found.body, "of"), "done");
    assert_string_equal(reeve_get_str(found.reply, "phase"), "done");
    store_command_done(&found);
    close_site(site);
    exec_on(path_in(site, STORE_FILE), "UPDATE journal SET body=x'81' WHERE id='broken'");
    open_site(site);
    char others[64] = "";
    struct reeve_why why = {0};
    assert_int_equal(store_journal_open(site->store, note_id, others, &why), REEVE_CORRUPT);
    assert_string_equal(others, "zebra ape "); // the others are answered all the same
    assert_non_null(strstr(why.text, "'broken'"));
}

static void ids_are_forgotten_after_a_week_of_running_and_open_ones_never(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_command(site->store, "old", 1);
    put_command(site->store, "open", 2);
    finish_command(site->store, "old");
    assert_ok(store_journal_age(site->store, STORE_JOURNAL_KEEP_MS - 1, NULL));
    put_command(site->store, "young", 3);
    finish_command(site->store, "young");
    assert_ok(store_commit(site->store, NULL));
    assert_true(knows(site->store, "old"));
    reopen(site); // the time that it ran is remembered
    assert_ok(store_journal_age(site->store, 1000, NULL));
    store_undo(site->store); // then that time has not passed either
    assert_ok(store_journal_age(site->store, 1, NULL));
    assert_ok(store_commit(site->store, NULL));
    assert_true(knows(site->store, "old"));
    assert_ok(store_journal_age(site->store, 1, NULL));
    assert_ok(store_commit(site->store, NULL));
    assert_false(knows(site->store, "old"));
    assert_true(knows(site->store, "young"));
    assert_true(knows(site->store, "open"));
}

static void epochs_grow_whatever_the_clock_says(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_true(store_epoch_next(site->store, 1000) == 1000);
    assert_true(store_epoch_next(site->store, 1000) == 1001);
    reopen(site);
    assert_true(store_epoch_next(site->store, 5) == 1002);
    assert_true(store_epoch_next(site->store, -5) == 1003);
    assert_true(store_epoch_next(site->store, 9000) == 9000);
}

// A session may begin in the middle of a turn: half the turn must not be committed for that, nor the epoch given twice.
static void an_epoch_commits_no_half_turn_and_survives_an_undone_one(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/half", 1);
    assert_true(store_epoch_next(site->store, 1000) == 1000);
    assert_true(store_dirty(site->store));
    store_undo(site->store);
    reopen(site);
    assert_int_equal(number_of(site, "p/half"), -1);
    assert_true(store_epoch_next(site->store, 5) == 1001);
    put(site, "p/whole", 1);
    assert_true(store_epoch_next(site->store, 5) == 1002);
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    assert_int_equal(number_of(site, "p/whole"), 1);
    assert_true(store_epoch_next(site->store, 5) == 1003);
}

// ---- who has it, what it is -------------------------------------------------------------------------------------

// In a child: a lock of the process itself is no obstacle to it.
static int open_elsewhere(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct store *store = NULL;
        enum reeve_err err = store_open(dir, &store, NULL);
        _exit((int)err);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void one_process_at_a_time_has_it(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_int_equal(open_elsewhere(site->dir), REEVE_CONFLICT);
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL)); // must not end the locks
    assert_ok(store_check(site->store, NULL, NULL, NULL));
    assert_int_equal(open_elsewhere(site->dir), REEVE_CONFLICT);
    close_site(site);
    assert_int_equal(open_elsewhere(site->dir), REEVE_OK);
}

static void its_files_are_its_owners_alone(void **state)
{
    struct site *site = *state;
    mode_t before = umask(0);
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    (void)umask(before);
    const char *const files[] = {STORE_FILE, STORE_FILE "-wal", "lock", "b.db"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(files); i++) {
        struct stat st;
        assert_int_equal(stat(path_in(site, files[i]), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void damage(const struct site *site, long offset, size_t len)
{
    FILE *file = fopen(path_in(site, STORE_FILE), "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(fputc(0, file), 0);
    }
    assert_int_equal(fclose(file), 0);
}

static uint64_t digest_of_file(const char *path)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_ok(reeve_file_read(path, 64u << 20, &buf, NULL));
    return reeve_hash64(buf.data, buf.len);
}

static void assert_refused(struct site *site, enum reeve_err expected, const char *text)
{
    uint64_t before = digest_of_file(path_in(site, STORE_FILE));
    bool has_log = access(path_in(site, STORE_FILE "-wal"), F_OK) == 0;
    uint64_t log_before = has_log ? digest_of_file(path_in(site, STORE_FILE "-wal")) : 0;
    struct reeve_why why = {0};
    assert_int_equal(store_open(site->dir, &site->store, &why), expected);
    assert_null(site->store);
    if (strstr(why.text, text) == NULL) {
        fail_msg("'%s' is not in: %s", text, why.text);
    }
    assert_true(digest_of_file(path_in(site, STORE_FILE)) == before); // left as it is
    if (has_log) {
        assert_true(digest_of_file(path_in(site, STORE_FILE "-wal")) == log_before);
    }
}

// Leaves the folder as a manager leaves it that is killed: with its write-ahead log.
static void write_and_be_killed(struct site *site, int64_t number)
{
    struct stat st;
    pid_t child = fork();
    if (child == 0) {
        open_site(site);
        put(site, "p/a", number);
        (void)store_commit(site->store, NULL);
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(stat(path_in(site, STORE_FILE "-wal"), &st), 0);
    assert_true(st.st_size > 0);
}

// What was committed last is in the log: closing the damaged file must not take it away.
static void the_log_of_a_damaged_file_is_left_as_it_is(void **state)
{
    struct site *site = *state;
    static const long places[] = {0, 8192};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(places); i++) {
        open_site(site);
        put(site, "p/a", 1);
        assert_ok(store_commit(site->store, NULL));
        close_site(site);
        write_and_be_killed(site, 2);
        damage(site, places[i], 4096);
        assert_refused(site, REEVE_CORRUPT, "restore");
        (void)store_check(NULL, path_in(site, STORE_FILE), NULL, NULL); // finds it too
        assert_refused(site, REEVE_CORRUPT, "restore");
        assert_int_equal(unlink(path_in(site, STORE_FILE)), 0);
        assert_int_equal(unlink(path_in(site, STORE_FILE "-wal")), 0);
    }
}

static void a_damaged_file_is_refused_and_left_as_it_is(void **state)
{
    struct site *site = *state;
    static const long places[] = {0, 4096, 8192}; // the header, and pages behind it
    for (size_t i = 0; i < REEVE_ARRAY_LEN(places); i++) {
        open_site(site);
        put(site, "p/a", 1);
        assert_ok(store_commit(site->store, NULL));
        close_site(site); // checkpoints: everything is in the file
        damage(site, places[i], 4096);
        assert_refused(site, REEVE_CORRUPT, "the newest is not there");
        assert_ok(reeve_dir_make(path_in(site, STORE_BACKUP_DIR), 0700, NULL));
        assert_ok(reeve_file_write_atomic(path_in(site, STORE_BACKUP_DIR "/manager-20260101.db"), "x", 1, 0600, NULL));
        assert_ok(reeve_file_write_atomic(path_in(site, STORE_BACKUP_DIR "/manager-20260302.db"), "x", 1, 0600, NULL));
        assert_refused(site, REEVE_CORRUPT, "/backups/manager-20260302.db");
        assert_refused(site, REEVE_CORRUPT, "--restore");
        assert_ok(reeve_dir_remove(path_in(site, STORE_BACKUP_DIR), NULL));
        assert_int_equal(unlink(path_in(site, STORE_FILE)), 0);
    }
}

static void a_file_that_was_cut_is_refused(void **state)
{
    struct site *site = *state;
    open_site(site);
    for (int i = 0; i < 200; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "p/%d", i);
        put(site, key, i);
    }
    assert_ok(store_commit(site->store, NULL));
    close_site(site);
    assert_int_equal(truncate(path_in(site, STORE_FILE), 8192), 0);
    assert_refused(site, REEVE_CORRUPT, "restore");
    assert_int_equal(truncate(path_in(site, STORE_FILE), 0), 0);
    assert_refused(site, REEVE_CORRUPT, "empty or not a manager's store");
}

static void somebody_elses_file_is_refused(void **state)
{
    struct site *site = *state;
    exec_on(path_in(site, STORE_FILE), "CREATE TABLE worker(name TEXT); PRAGMA user_version=1");
    assert_refused(site, REEVE_CORRUPT, "not a manager's store");
}

static void a_log_without_its_file_is_not_taken_for_a_new_fleet(void **state)
{
    struct site *site = *state;
    struct reeve_why why = {0};
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_int_equal(rename(path_in(site, STORE_FILE), path_in(site, "elsewhere")), 0);
    assert_int_equal(link(path_in(site, STORE_FILE "-wal"), path_in(site, "log")), 0);
    close_site(site);
    (void)rename(path_in(site, "log"), path_in(site, STORE_FILE "-wal"));
    assert_int_equal(store_open(site->dir, &site->store, &why), REEVE_CORRUPT);
    assert_non_null(strstr(why.text, "missing beside its write-ahead log"));
}

static void what_a_crash_left_while_it_was_made_is_no_obstacle(void **state)
{
    struct site *site = *state;
    assert_ok(reeve_file_write_atomic(path_in(site, ".manager.db.new"), "half", 4, 0600, NULL));
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_int_equal(count_files(site->dir, ".new"), 0);
}

// ---- schemas ----------------------------------------------------------------------------------------------------

#define OLD_STORE                                                                                                      \
    "CREATE TABLE item(id TEXT PRIMARY KEY, body BLOB);"                                                               \
    "INSERT INTO item VALUES('member:p/a', x'81a66e756d62657205');" /* {number: 5} */                                  \
    "INSERT INTO item VALUES('pool:p', x'81a66e756d62657206');"                                                        \
    "CREATE TABLE number(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"                                 \
    "INSERT INTO number VALUES('epoch', 77);"                                                                          \
    "PRAGMA application_id=1382376813; PRAGMA user_version=1"
static_assert(STORE_APPLICATION_ID == 1382376813, "as in OLD_STORE");

static enum reeve_err count_items(sqlite3 *db, struct reeve_why *why)
{
    int64_t items = 0;
    enum reeve_err err = store_pragma(db, "SELECT count(*) FROM document", &items, why);
    return err == REEVE_OK && items != 2 ? reeve_fail(why, REEVE_CORRUPT, "%lld items", (long long)items) : err;
}

static enum reeve_err refuse(sqlite3 *db, struct reeve_why *why)
{
    (void)db;
    return reeve_fail(why, REEVE_CORRUPT, "this step fails");
}

// Made up: today's tables are schema 3, and 1 had all documents in one column.
static const struct store_step made_up[] = {
    {.sql = "SELECT 1"},
    {.sql = "ALTER TABLE item RENAME TO old_item"},
    {.sql = "CREATE TABLE document(collection TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
            " PRIMARY KEY(collection,key)) WITHOUT ROWID;"
            "INSERT INTO document SELECT substr(id,1,instr(id,':')-1),substr(id,instr(id,':')+1),body FROM old_item;"
            "DROP TABLE old_item;"
            "CREATE TABLE journal(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
            " digest INTEGER NOT NULL, topic TEXT NOT NULL, body BLOB, phase TEXT NOT NULL, reply BLOB,"
            " terminal INTEGER NOT NULL, age INTEGER NOT NULL);",
     .run = count_items},
    {.run = refuse},
};

static int64_t schema_of(const char *path)
{
    sqlite3 *db = NULL;
    int64_t version = -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_ok(store_pragma(db, "PRAGMA user_version", &version, NULL));
    sqlite3_close(db);
    return version;
}

static void an_older_schema_is_migrated_after_a_copy(void **state)
{
    struct site *site = *state;
    const struct store_schema three = {.version = 3, .steps = made_up};
    exec_on(path_in(site, STORE_FILE), OLD_STORE);
    assert_ok(store_open_as(site->dir, &three, &site->store, NULL));
    assert_int_equal(number_of(site, "p/a"), 5);
    assert_string_equal(keys_of(site, STORE_POOL, ""), "p ");
    assert_true(store_epoch_next(site->store, 0) == 78);
    put_command(site->store, "new", 1);
    assert_ok(store_commit(site->store, NULL));
    close_site(site);
    assert_int_equal(schema_of(path_in(site, STORE_FILE)), 3);
    assert_int_equal(schema_of(path_in(site, "manager.db.schema-1")), 1);
    assert_ok(store_open_as(site->dir, &three, &site->store, NULL)); // once
    assert_int_equal(count_files(site->dir, "schema-"), 1);
    close_site(site);
    assert_refused(site, REEVE_UNSUPPORTED, "the store has schema 3, this reeve-manager knows up to 2");
}

static void a_migration_that_fails_changes_nothing_and_can_be_tried_again(void **state)
{
    struct site *site = *state;
    const struct store_schema four = {.version = 4, .steps = made_up};
    const struct store_schema three = {.version = 3, .steps = made_up};
    struct reeve_why why = {0};
    exec_on(path_in(site, STORE_FILE), OLD_STORE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_open_as(site->dir, &four, &site->store, &why), REEVE_CORRUPT);
        assert_non_null(strstr(why.text, "this step fails"));
        assert_int_equal(schema_of(path_in(site, STORE_FILE)), 1);
    }
    assert_int_equal(count_files(site->dir, "manager.db.schema-1"), 2); // the first copy is not overwritten
    assert_ok(store_open_as(site->dir, &three, &site->store, NULL));
    assert_int_equal(number_of(site, "p/a"), 5);
}

// ---- backup, check, restore -------------------------------------------------------------------------------------

static void a_backup_has_what_is_committed_and_nothing_else(void **state)
{
    struct site *site = *state;
    int64_t bytes = 0;
    open_site(site);
    put(site, "p/a", 1);
    put_command(site->store, "kept", 7);
    assert_ok(store_commit(site->store, NULL));
    put(site, "p/a", 2);
    put(site, "p/b", 2);
    assert_ok(store_backup(site->store, path_in(site, "b.db"), &bytes, NULL)); // in the middle of a turn
    assert_int_equal(store_backup(site->store, path_in(site, "b.db"), &bytes, NULL), REEVE_CONFLICT);
    assert_int_equal(store_backup(site->store, path_in(site, "no/b.db"), &bytes, NULL), REEVE_NOENT);
    struct stat st;
    assert_int_equal(stat(path_in(site, "b.db"), &st), 0);
    assert_int_equal(st.st_size, bytes);
    assert_int_equal(count_files(site->dir, ".tmp"), 0);
    assert_ok(store_check(NULL, path_in(site, "b.db"), NULL, NULL));
    assert_ok(store_commit(site->store, NULL));
    close_site(site);
    assert_ok(store_restore(site->dir, path_in(site, "b.db"), NULL));
    open_site(site);
    assert_int_equal(number_of(site, "p/a"), 1);
    assert_int_equal(number_of(site, "p/b"), -1);
    assert_true(knows(site->store, "kept"));
}

struct backups {
    struct site *site;
    int made;
    enum reeve_err err;
};

static void *make_backups(void *arg)
{
    struct backups *backups = arg;
    for (int i = 0; i < 8 && backups->err == REEVE_OK; i++) {
        char name[32];
        char path[160];
        char from[160];
        (void)snprintf(name, sizeof name, "b%d.db", i);
        (void)snprintf(path, sizeof path, "%s/%s", backups->site->dir, name);
        (void)snprintf(from, sizeof from, "%s/" STORE_FILE, backups->site->dir);
        backups->err = store_copy(from, path, NULL, NULL);
        __atomic_add_fetch(&backups->made, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

// Every turn writes the same number into all of its documents.
static void write_turn(struct store *store, int64_t turn)
{
    static const char *const keys[] = {"p/a", "p/b", "q/c"};
    char id[32];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(keys); i++) {
        put_to(store, STORE_MEMBER, keys[i], turn);
    }
    put_to(store, STORE_POOL, "p", turn);
    (void)snprintf(id, sizeof id, "turn-%lld", (long long)turn);
    put_command(store, id, (uint64_t)turn);
    assert_ok(store_number_set(store, "turn", turn, NULL));
}

// The turn that the store is at; fails when it is in the middle of one.
static int64_t whole_turn(struct site *site)
{
    static const char *const keys[] = {"p/a", "p/b", "q/c"};
    int64_t turn = store_number(site->store, "turn", 0);
    for (size_t i = 0; turn > 0 && i < REEVE_ARRAY_LEN(keys); i++) {
        assert_int_equal(number_of(site, keys[i]), turn);
    }
    char id[32];
    for (int64_t i = 1; i <= turn + 1; i++) {
        (void)snprintf(id, sizeof id, "turn-%lld", (long long)i);
        assert_int_equal(knows(site->store, id), i <= turn);
    }
    return turn;
}

static void backups_while_it_writes_are_whole_turns(void **state)
{
    struct site *site = *state;
    struct backups backups = {.site = site};
    pthread_t thread;
    open_site(site);
    write_turn(site->store, 1);
    assert_ok(store_commit(site->store, NULL));
    assert_int_equal(pthread_create(&thread, NULL, make_backups, &backups), 0);
    int64_t turn = 1;
    while (__atomic_load_n(&backups.made, __ATOMIC_SEQ_CST) < 8 && turn < 20000) {
        write_turn(site->store, ++turn);
        assert_ok(store_commit(site->store, NULL));
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok(backups.err);
    close_site(site);
    int64_t before = 0;
    for (int i = 0; i < 8; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "b%d.db", i);
        assert_ok(store_check(NULL, path_in(site, name), NULL, NULL));
        assert_ok(store_restore(site->dir, path_in(site, name), NULL));
        open_site(site);
        int64_t at = whole_turn(site);
        assert_true(at >= before && at <= turn);
        before = at;
        close_site(site);
    }
    print_message("           8 backups during %lld turns\n", (long long)turn);
}

static void check_names_everything_that_is_wrong(void **state)
{
    struct site *site = *state;
    REEVE_BUF_AUTO report = REEVE_BUF_INIT(0);
    struct reeve_why why = {0};
    open_site(site);
    put(site, "p/a", 1);
    put_command(site->store, "good", 1);
    put_command(site->store, "bad", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_check(site->store, NULL, &report, &why));
    assert_string_equal(reeve_buf_str(&report), "");
    close_site(site);
    exec_on(path_in(site, STORE_FILE),
            "INSERT INTO document VALUES('member','p/b',x'c1'),('member','p//c',x'80'),('strange','d',x'80');"
            "UPDATE journal SET phase='asleep' WHERE id='bad'; UPDATE journal SET terminal=1 WHERE id='good';"
            "INSERT INTO number VALUES('epoch','soon') ON CONFLICT(key) DO UPDATE SET value='soon'");
    uint64_t before = digest_of_file(path_in(site, STORE_FILE));
    assert_int_equal(store_check(NULL, path_in(site, STORE_FILE), &report, &why), REEVE_CORRUPT);
    assert_true(digest_of_file(path_in(site, STORE_FILE)) == before);
    const char *const lines[] = {
        "document 'member p/b' does not read back",          "document 'member p//c' has a key",
        "document 'strange d' is of a collection",           "command 'bad' is in no phase: 'asleep'",
        "command 'good' is 'accepted' and marked otherwise", "number 'epoch' is none"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lines); i++) {
        if (strstr(reeve_buf_str(&report), lines[i]) == NULL) {
            fail_msg("'%s' is not in:\n%s", lines[i], reeve_buf_str(&report));
        }
    }
    assert_non_null(strstr(why.text, "6 things are wrong"));
    exec_on(path_in(site, STORE_FILE), "DROP TABLE journal; PRAGMA user_version=9");
    reeve_buf_reset(&report);
    assert_int_equal(store_check(NULL, path_in(site, STORE_FILE), &report, &why), REEVE_UNSUPPORTED);
    exec_on(path_in(site, STORE_FILE), "PRAGMA user_version=2");
    assert_int_equal(store_check(NULL, path_in(site, STORE_FILE), &report, &why), REEVE_CORRUPT);
    assert_non_null(strstr(reeve_buf_str(&report), "journal: no such table"));
    damage(site, 0, 4096);
    assert_int_equal(store_check(NULL, path_in(site, STORE_FILE), &report, &why), REEVE_CORRUPT);
    assert_int_equal(store_check(NULL, path_in(site, "none"), &report, &why), REEVE_NOENT);
}

static void a_restored_store_outranks_both(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    uint64_t high = (uint64_t)reeve_clock_wall_ms() + 1000000000;
    assert_true(store_epoch_next(site->store, (int64_t)high) == high);
    assert_ok(store_number_set(site->store, "generation", 4, NULL));
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    put(site, "p/a", 2);
    assert_true(store_epoch_next(site->store, (int64_t)high + 500) == high + 500);
    assert_ok(store_commit(site->store, NULL));
    close_site(site);
    assert_ok(store_restore(site->dir, path_in(site, "b.db"), NULL));
    open_site(site);
    assert_int_equal(number_of(site, "p/a"), 1);
    assert_int_equal(store_number(site->store, "generation", 0), 5);
    assert_true(store_epoch_next(site->store, 0) > high + 500);
    assert_int_equal(count_files(site->dir, "before-restore-"), 1);
    assert_ok(store_check(site->store, NULL, NULL, NULL));
    close_site(site);
    char former[128] = "";
    DIR *dir = opendir(site->dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strstr(entry->d_name, "before-restore-") != NULL) {
            (void)snprintf(former, sizeof former, "%s", entry->d_name);
        }
    }
    (void)closedir(dir);
    assert_ok(store_restore(site->dir, path_in(site, former), NULL)); // and back again
    open_site(site);
    assert_int_equal(number_of(site, "p/a"), 2);
    assert_int_equal(store_number(site->store, "generation", 0), 6);
}

static void a_damaged_store_is_restored_and_kept_aside(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    close_site(site);
    damage(site, 0, 4096);
    uint64_t damaged = digest_of_file(path_in(site, STORE_FILE));
    assert_ok(store_restore(site->dir, path_in(site, "b.db"), NULL));
    open_site(site);
    assert_int_equal(number_of(site, "p/a"), 1);
    assert_true(store_epoch_next(site->store, 0) > (uint64_t)reeve_clock_wall_ms() - 60000);
    DIR *dir = opendir(site->dir);
    bool kept = false;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        kept |=
            strstr(entry->d_name, "before-restore-") != NULL && digest_of_file(path_in(site, entry->d_name)) == damaged;
    }
    (void)closedir(dir);
    assert_true(kept);
}

static void the_log_of_a_damaged_store_does_not_leak_into_the_restored_one(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    close_site(site);
    write_and_be_killed(site, 2);
    damage(site, 0, 4096);
    assert_ok(store_restore(site->dir, path_in(site, "b.db"), NULL));
    assert_int_equal(count_files(site->dir, "before-restore-"), 2); // it and its log
    open_site(site);
    assert_int_equal(number_of(site, "p/a"), 1);
    assert_ok(store_check(site->store, NULL, NULL, NULL));
}

static void restore_refuses_what_is_no_backup(void **state)
{
    struct site *site = *state;
    struct reeve_why why = {0};
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    close_site(site);
    uint64_t before = digest_of_file(path_in(site, STORE_FILE));
    assert_int_equal(store_restore(site->dir, path_in(site, "none.db"), &why), REEVE_NOENT);
    assert_ok(reeve_file_write_atomic(path_in(site, "text.db"), "no database at all, but long enough for one", 43, 0600,
                                      NULL));
    assert_int_equal(store_restore(site->dir, path_in(site, "text.db"), &why), REEVE_CORRUPT);
    assert_int_equal(store_restore(site->dir, path_in(site, STORE_FILE), &why), REEVE_INVALID);
    exec_on(path_in(site, "b.db"), "INSERT INTO document VALUES('member','p/b',x'c1')");
    assert_int_equal(store_restore(site->dir, path_in(site, "b.db"), &why), REEVE_CORRUPT);
    exec_on(path_in(site, "b.db"), "DELETE FROM document WHERE key='p/b'; PRAGMA user_version=3");
    assert_int_equal(store_restore(site->dir, path_in(site, "b.db"), &why), REEVE_UNSUPPORTED);
    assert_true(digest_of_file(path_in(site, STORE_FILE)) == before);
    assert_int_equal(count_files(site->dir, "before-restore"), 0);
    assert_int_equal(count_files(site->dir, ".restored"), 0);
}

static int restore_elsewhere(const char *dir, const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit((int)store_restore(dir, path, NULL));
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void restore_needs_the_manager_to_be_away_and_takes_any_folder(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    assert_ok(store_backup(site->store, path_in(site, "b.db"), NULL, NULL));
    assert_int_equal(restore_elsewhere(site->dir, path_in(site, "b.db")), REEVE_CONFLICT);
    close_site(site);
    char other[128];
    (void)snprintf(other, sizeof other, "%s", path_in(site, "another/host"));
    assert_ok(store_restore(other, path_in(site, "b.db"), NULL));
    assert_ok(store_open(other, &site->store, NULL));
    assert_int_equal(number_of(site, "p/a"), 1);
}

// ---- kill -9 ----------------------------------------------------------------------------------------------------

static unsigned seed_of_run(void)
{
    const char *given = getenv("REEVE_SEED");
    unsigned seed;
    reeve_random_bytes(&seed, sizeof seed);
    return given != NULL ? (unsigned)strtoul(given, NULL, 10) : seed;
}

// Writes turn after turn and tells of each one that was committed, until it is killed.
static void write_until_killed(const char *dir, int pipe_fd)
{
    struct store *store = NULL;
    if (store_open(dir, &store, NULL) != REEVE_OK) {
        _exit(3);
    }
    for (int64_t turn = store_number(store, "turn", 0) + 1;; turn++) {
        write_turn(store, turn);
        if (store_commit(store, NULL) != REEVE_OK || write(pipe_fd, &turn, sizeof turn) != sizeof turn) {
            _exit(4);
        }
    }
}

static int64_t last_told(int fd)
{
    int64_t told = 0;
    for (int64_t turn; read(fd, &turn, sizeof turn) == sizeof turn;) {
        told = turn;
    }
    return told;
}

static int64_t kill_one(struct site *site, unsigned *seed)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        write_until_killed(site->dir, ends[1]);
    }
    (void)close(ends[1]);
    int64_t first = 0;
    assert_int_equal(read(ends[0], &first, sizeof first), sizeof first); // it is writing
    const struct timespec wait = {.tv_nsec = rand_r(seed) % 30000000L};  // the instant that is random
    (void)nanosleep(&wait, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    int64_t told = last_told(ends[0]);
    (void)close(ends[0]);
    return told > first ? told : first;
}

static void killed_at_any_instant_it_has_every_committed_turn_and_no_half_one(void **state)
{
    struct site *site = *state;
    unsigned seed = seed_of_run();
    int64_t told = 0;
    int beyond = 0;
    print_message("           seed=%u\n", seed);
    for (int i = 0; i < 60; i++) {
        told = kill_one(site, &seed);
        open_site(site);
        int64_t turn = whole_turn(site);
        assert_true(turn == told || turn == told + 1); // committed, and killed before it could tell
        beyond += turn > told;
        close_site(site);
    }
    print_message("           60 kills, %lld turns, %d of them committed and not told\n", (long long)told, beyond);
}

// ---- full disks -------------------------------------------------------------------------------------------------

// Fills until the store refuses, one turn of many documents each. Returns how many turns were taken.
static int64_t fill(struct site *site, enum reeve_err *ret_err, struct reeve_why *why)
{
    for (int64_t turn = 1; turn < 100000; turn++) {
        write_turn(site->store, turn);
        for (int i = 0; i < 40; i++) {
            char key[64];
            REEVE_VALUE_AUTO value = reeve_value_map();
            (void)snprintf(key, sizeof key, "fill/%lld-%d", (long long)turn, i);
            reeve_put_str(value, "text",
                          "a document of some length that takes its place on the disk, again and again and again");
            (void)store_put(site->store, STORE_WORKER, key, value, NULL); /* the commit tells */
        }
        enum reeve_err err = store_commit(site->store, why);
        if (err != REEVE_OK) {
            *ret_err = err;
            return turn - 1;
        }
    }
    *ret_err = REEVE_OK;
    return 100000;
}

static size_t count_of(struct site *site, enum store_collection collection)
{
    struct listed listed = {0};
    assert_ok(store_each(site->store, collection, "", list_key, &listed, NULL));
    return listed.count;
}

static void assert_refuses_whole_turns(struct site *site, void (*make_room)(struct site *site))
{
    enum reeve_err err = REEVE_OK;
    struct reeve_why why = {0};
    int64_t turns = fill(site, &err, &why);
    assert_int_equal(err, REEVE_IO);
    assert_true(turns > 0);
    assert_false(store_dirty(site->store));
    assert_int_equal(whole_turn(site), turns);
    assert_int_equal(count_of(site, STORE_WORKER), turns * 40);
    (void)fill(site, &err, NULL); // again, from 1: refused by and by, and whole all the same
    assert_int_equal(count_of(site, STORE_WORKER) % 40, 0);
    make_room(site);
    write_turn(site->store, 5);
    assert_ok(store_commit(site->store, NULL));
    assert_int_equal(number_of(site, "p/a"), 5);
    reopen(site);
    assert_int_equal(number_of(site, "p/a"), 5);
    assert_ok(store_check(site->store, NULL, NULL, NULL));
    print_message("           refused after %lld turns: %s\n", (long long)turns, why.text);
}

static void more_pages(struct site *site)
{
    assert_ok(store_exec(site->store->db, "PRAGMA max_page_count=1000000", "test", NULL));
}

static void a_file_that_may_not_grow_refuses_whole_turns(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_ok(store_exec(site->store->db, "PRAGMA max_page_count=40", "test", NULL));
    assert_refuses_whole_turns(site, more_pages);
}

static void lift_limit(struct site *site)
{
    struct rlimit limit;
    (void)site;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_write_that_fails_in_the_log_refuses_whole_turns(void **state)
{
    struct site *site = *state;
    struct rlimit limit;
    open_site(site);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 500000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_refuses_whole_turns(site, lift_limit);
    (void)signal(SIGXFSZ, SIG_DFL);
}

static void remove_ballast(struct site *site)
{
    assert_int_equal(unlink(path_in(site, "ballast")), 0);
}

static void a_full_disk_refuses_whole_turns(void **state)
{
    struct site *site = *state;
    // In a mount namespace of the test's own: nothing stays mounted, whatever becomes of it.
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("reeve-test", site->dir, "tmpfs", 0, "size=3m,mode=0700") != 0) {
        print_message("           needs to mount, passed over\n");
        skip();
    }
    REEVE_AUTO_FREE char *ballast = calloc(1, 1u << 20);
    open_site(site);
    assert_ok(reeve_file_write_atomic(path_in(site, "ballast"), ballast, 1u << 20, 0600, NULL));
    assert_refuses_whole_turns(site, remove_ballast);
    close_site(site);
    assert_int_equal(umount(site->dir), 0);
}

// SQLite ends a transaction by itself after some failures; what is written then would be committed at once, alone.
static void nothing_is_written_behind_a_failure_in_the_turn(void **state)
{
    struct site *site = *state;
    open_site(site);
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
    put(site, "p/a", 2);
    assert_ok(store_exec(site->store->db, "ROLLBACK", "as SQLite does", NULL));
    assert_ok(store_exec(site->store->db, "PRAGMA query_only=ON", "test", NULL));
    REEVE_VALUE_AUTO value = reeve_value_map();
    struct reeve_why why = {0};
    assert_int_equal(store_put(site->store, STORE_MEMBER, "p/b", value, &why), REEVE_IO);
    assert_ok(store_exec(site->store->db, "PRAGMA query_only=OFF", "test", NULL));
    assert_int_equal(store_put(site->store, STORE_MEMBER, "p/c", value, &why), REEVE_IO);
    assert_int_equal(store_remove(site->store, STORE_MEMBER, "p/a", &why), REEVE_IO);
    assert_int_equal(store_number_set(site->store, "n", 1, &why), REEVE_IO);
    assert_int_equal(store_journal_age(site->store, 1, &why), REEVE_IO);
    assert_int_equal(store_commit(site->store, &why), REEVE_IO);
    reopen(site);
    assert_string_equal(keys_of(site, STORE_MEMBER, ""), "p/a ");
    assert_int_equal(number_of(site, "p/a"), 1);
    assert_int_equal(store_number(site->store, "n", 0), 0);
}

static void a_turn_that_cannot_begin_fails_at_its_commit(void **state)
{
    struct site *site = *state;
    sqlite3 *other = NULL;
    open_site(site);
    assert_int_equal(sqlite3_open(path_in(site, STORE_FILE), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(site->store->db, 1);
    REEVE_VALUE_AUTO value = reeve_value_map();
    assert_int_equal(store_put(site->store, STORE_MEMBER, "p/a", value, NULL), REEVE_IO);
    assert_true(store_dirty(site->store));
    sqlite3_close(other);
    assert_int_equal(store_put(site->store, STORE_MEMBER, "p/b", value, NULL), REEVE_IO); // it would stand alone
    assert_int_equal(store_commit(site->store, NULL), REEVE_IO);
    assert_string_equal(keys_of(site, STORE_MEMBER, ""), "");
    put(site, "p/a", 1);
    assert_ok(store_commit(site->store, NULL));
}

// ---- size -------------------------------------------------------------------------------------------------------

static void ten_thousand_documents_are_read_soon(void **state)
{
    struct site *site = *state;
    struct listed listed = {0};
    open_site(site);
    int64_t began = reeve_clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "pool-%d/worker-%05d", i % 20, i);
        put(site, key, i);
    }
    assert_ok(store_commit(site->store, NULL));
    int64_t written = reeve_clock_mono_ns();
    close_site(site);
    int64_t closed = reeve_clock_mono_ns();
    open_site(site);
    int64_t opened = reeve_clock_mono_ns();
    assert_ok(store_each(site->store, STORE_MEMBER, "", list_key, &listed, NULL));
    int64_t read_all = reeve_clock_mono_ns();
    assert_int_equal(listed.count, 10000);
    struct stat st;
    assert_int_equal(stat(path_in(site, STORE_FILE), &st), 0);
    print_message("           10,000 documents, %lld KiB: written in %.1f ms, opened in %.1f ms, read in %.1f ms\n",
                  (long long)st.st_size / 1024, (double)(written - began) / 1e6, (double)(opened - closed) / 1e6,
                  (double)(read_all - opened) / 1e6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_stays_and_the_rest_is_gone),
        TEST(an_undone_turn_leaves_nothing),
        TEST(documents_are_kept_by_collection_and_key),
        TEST(iterations_may_be_nested_and_write_elsewhere),
        TEST(wrong_keys_and_values_break_the_turn),
        TEST(a_document_that_does_not_read_back_is_named),
        TEST(numbers_have_a_fallback),
        TEST(open_commands_come_back_in_order_of_arrival),
        TEST(ids_are_forgotten_after_a_week_of_running_and_open_ones_never),
        TEST(epochs_grow_whatever_the_clock_says),
        TEST(an_epoch_commits_no_half_turn_and_survives_an_undone_one),
        TEST(one_process_at_a_time_has_it),
        TEST(its_files_are_its_owners_alone),
        TEST(a_damaged_file_is_refused_and_left_as_it_is),
        TEST(the_log_of_a_damaged_file_is_left_as_it_is),
        TEST(a_file_that_was_cut_is_refused),
        TEST(somebody_elses_file_is_refused),
        TEST(a_log_without_its_file_is_not_taken_for_a_new_fleet),
        TEST(what_a_crash_left_while_it_was_made_is_no_obstacle),
        TEST(an_older_schema_is_migrated_after_a_copy),
        TEST(a_migration_that_fails_changes_nothing_and_can_be_tried_again),
        TEST(a_backup_has_what_is_committed_and_nothing_else),
        TEST(backups_while_it_writes_are_whole_turns),
        TEST(check_names_everything_that_is_wrong),
        TEST(a_restored_store_outranks_both),
        TEST(a_damaged_store_is_restored_and_kept_aside),
        TEST(the_log_of_a_damaged_store_does_not_leak_into_the_restored_one),
        TEST(restore_refuses_what_is_no_backup),
        TEST(restore_needs_the_manager_to_be_away_and_takes_any_folder),
        TEST(killed_at_any_instant_it_has_every_committed_turn_and_no_half_one),
        TEST(a_file_that_may_not_grow_refuses_whole_turns),
        TEST(a_write_that_fails_in_the_log_refuses_whole_turns),
        TEST(a_full_disk_refuses_whole_turns),
        TEST(nothing_is_written_behind_a_failure_in_the_turn),
        TEST(a_turn_that_cannot_begin_fails_at_its_commit),
        TEST(ten_thousand_documents_are_read_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
