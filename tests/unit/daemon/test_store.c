// The daemon's store: what is on disk after a commit and what is not, journal, epoch, lock, damage.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <dirent.h>
#include <reeve/file.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"

#define assert_ok(call) assert_int_equal(call, REEVE_OK)

struct site {
    char dir[64];
    struct store *store;
    bool damaged;
};

static void open_site(struct site *site)
{
    assert_ok(store_open(site->dir, &site->store, &site->damaged, NULL));
}

static void reopen(struct site *site)
{
    store_close(site->store);
    open_site(site);
}

static int setup(void **state)
{
    struct site *site = calloc(1, sizeof(*site));
    (void)snprintf(site->dir, sizeof(site->dir), "/tmp/reeve-store-XXXXXX");
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

static void put_command(struct store *store, const char *id, uint64_t digest)
{
    struct reeve_value *body = reeve_value_map();
    reeve_put_str(body, "of", id);
    const struct store_command command = {.id = (char *)(uintptr_t)id,
                                          .digest = digest,
                                          .topic = (char *)(uintptr_t) "t",
                                          .body = body,
                                          .phase = REEVE_PHASE_ACCEPTED};
    assert_ok(store_journal_put(store, &command, NULL));
    reeve_value_free(body);
}

static void finish_command(struct store *store, const char *id)
{
    struct reeve_value *reply = reeve_value_map();
    reeve_put_str(reply, "phase", "done");
    assert_ok(store_journal_phase(store, id, REEVE_PHASE_DONE, reply, NULL));
    reeve_value_free(reply);
}

static bool knows(struct store *store, const char *id)
{
    struct store_command found = {0};
    enum reeve_err err = store_journal_find(store, id, &found, NULL);
    store_command_done(&found);
    assert_true(err == REEVE_OK || err == REEVE_NOENT);
    return err == REEVE_OK;
}

static void what_is_committed_stays_and_the_rest_is_gone(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_false(store_dirty(site->store));
    assert_ok(store_commit(site->store, NULL));
    put_command(site->store, "kept", 7);
    assert_true(store_dirty(site->store));
    assert_ok(store_commit(site->store, NULL));
    put_command(site->store, "lost", 8);
    reopen(site);
    struct store_command found = {0};
    assert_ok(store_journal_find(site->store, "kept", &found, NULL));
    assert_int_equal(found.digest, 7);
    assert_string_equal(reeve_get_str(found.body, "of"), "kept");
    assert_null(found.reply);
    store_command_done(&found);
    assert_false(knows(site->store, "lost"));
}

static void note_id(const struct store_command *command, void *arg)
{
    strcat(strcat(arg, command->id), " "); // NOLINT: the test's own few
}

static void open_commands_come_back_in_order_of_arrival(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_command(site->store, "zebra", 1);
    put_command(site->store, "done", 2);
    put_command(site->store, "ape", 3);
    finish_command(site->store, "done");
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    char ids[64] = "";
    assert_ok(store_journal_open(site->store, note_id, ids, NULL));
    assert_string_equal(ids, "zebra ape ");
    struct store_command found = {0};
    assert_ok(store_journal_find(site->store, "done", &found, NULL));
    assert_int_equal(found.phase, REEVE_PHASE_DONE);
    assert_string_equal(reeve_get_str(found.reply, "phase"), "done");
    store_command_done(&found);
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
    assert_ok(store_journal_age(site->store, 2, NULL));
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

static void note_worker(const struct store_worker *worker, void *arg)
{
    char line[160];
    (void)snprintf(line, sizeof line, "%s:%lld:%s:%d:%d:%s:%lld ", worker->name, (long long)worker->version,
                   worker->origin, worker->wanted, worker->failed,
                   worker->failed_why != NULL ? worker->failed_why : "-", (long long)worker->run);
    strcat(arg, line); // NOLINT: the test's own few
}

static void put_worker(struct store *store, const char *name, bool wanted, const char *failed_why)
{
    struct reeve_value *spec = reeve_value_map();
    const struct store_worker worker = {.name = (char *)(uintptr_t)name,
                                        .spec = spec,
                                        .version = 2,
                                        .origin = (char *)(uintptr_t) "file",
                                        .wanted = wanted,
                                        .failed = failed_why != NULL,
                                        .failed_why = (char *)(uintptr_t)failed_why,
                                        .run = 9};
    assert_ok(store_worker_put(store, &worker, NULL));
    reeve_value_free(spec);
}

static void workers_are_kept_by_name(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_worker(site->store, "b", true, NULL);
    put_worker(site->store, "a", true, "exit 1");
    put_worker(site->store, "gone", true, NULL);
    put_worker(site->store, "b", false, NULL); // the same name: replaced
    assert_ok(store_worker_remove(site->store, "gone", NULL));
    assert_ok(store_worker_remove(site->store, "never", NULL));
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    char text[512] = "";
    assert_ok(store_workers(site->store, note_worker, text, NULL));
    assert_string_equal(text, "a:2:file:1:1:exit 1:9 b:2:file:0:0:-:9 ");
}

// In a child: a lock of the process itself is no obstacle to it.
static int open_elsewhere(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct store *store = NULL;
        bool damaged = false;
        _exit(store_open(dir, &store, &damaged, NULL) == REEVE_OK ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void one_process_at_a_time_has_it_and_children_do_not_inherit_that(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_int_equal(open_elsewhere(site->dir), 1);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork(); // as a shim on its way to exec
    if (child == 0) {
        char byte;
        (void)close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    store_close(site->store);
    site->store = NULL;
    assert_int_equal(open_elsewhere(site->dir), 0);
    (void)close(ends[1]);
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

// Files that were set aside, each with its log; the name of the last one seen.
static int count_damaged(const char *path, char *ret_name, size_t size)
{
    int count = 0;
    DIR *dir = opendir(path);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *at = strstr(entry->d_name, ".damaged-");
        if (at != NULL && strchr(at + strlen(".damaged-"), '-') == NULL) { // no -wal, no -shm
            count++;
            (void)snprintf(ret_name, size, "%s", entry->d_name);
        }
    }
    (void)closedir(dir);
    return count;
}

static void damage(const struct site *site, long offset, size_t len)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/reeved.db", site->dir);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(fputc(0, file), 0);
    }
    assert_int_equal(fclose(file), 0);
}

static void a_damaged_file_is_set_aside(void **state)
{
    struct site *site = *state;
    static const long places[] = {0, 4096, 8192}; // the header, and pages behind it
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        open_site(site);
        put_worker(site->store, "a", true, NULL);
        assert_ok(store_commit(site->store, NULL));
        store_close(site->store); // checkpoints: everything is in the file
        damage(site, places[i], 4096);
        char name[300];
        open_site(site);
        assert_true(site->damaged);
        assert_int_equal(count_damaged(site->dir, name, sizeof name), (int)i + 1);
        char text[512] = "";
        assert_ok(store_workers(site->store, note_worker, text, NULL));
        assert_string_equal(text, "");
        reopen(site);
        assert_false(site->damaged);
        store_close(site->store);
        site->store = NULL;
    }
}

// As a disk that is full: files of this process can't grow beyond `bytes`.
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static enum reeve_err put_large_worker(struct store *store, const char *name)
{
    size_t size = 1u << 20; // more than the cache: it is written before the commit
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    text[size - 1] = '\0';
    REEVE_VALUE_AUTO spec = reeve_value_map();
    reeve_put_str(spec, "text", text);
    free(text);
    const struct store_worker worker = {
        .name = (char *)(uintptr_t)name, .spec = spec, .origin = (char *)(uintptr_t) "command"};
    return store_worker_put(store, &worker, NULL);
}

static void after_a_failed_write_nothing_of_the_turn_is_kept(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_worker(site->store, "before", true, NULL);
    assert_ok(store_commit(site->store, NULL));
    put_worker(site->store, "early", true, NULL);
    limit_files(256 << 10);
    assert_int_not_equal(put_large_worker(site->store, "large"), REEVE_OK);
    limit_files(RLIM_INFINITY); // somebody made room, in the middle of the turn
    struct reeve_why why = {0};
    assert_int_not_equal(store_number_set(site->store, "late", 1, &why), REEVE_OK);
    assert_true(why.text[0] != '\0');
    assert_int_not_equal(put_large_worker(site->store, "late"), REEVE_OK);
    assert_int_not_equal(store_worker_remove(site->store, "before", NULL), REEVE_OK);
    assert_true(store_dirty(site->store));
    assert_int_not_equal(store_commit(site->store, &why), REEVE_OK);
    assert_non_null(strstr(why.text, "store: write"));
    assert_false(store_dirty(site->store));
    for (int i = 0; i < 2; i++) { // in this process and for the next one
        char text[512] = "";
        assert_ok(store_workers(site->store, note_worker, text, NULL));
        assert_string_equal(text, "before:2:file:1:0:-:9 ");
        assert_int_equal(store_number(site->store, "late", 0), 0);
        reopen(site);
    }
    put_worker(site->store, "next", true, NULL); // the next turn starts afresh
    assert_ok(store_commit(site->store, NULL));
}

static void an_epoch_outlives_the_turn_in_which_it_was_given(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_worker(site->store, "early", true, NULL);
    assert_true(store_epoch_next(site->store, 1000) == 1000);
    assert_true(store_dirty(site->store)); // it does not commit half a turn
    limit_files(256 << 10);
    assert_int_not_equal(put_large_worker(site->store, "large"), REEVE_OK);
    limit_files(RLIM_INFINITY);
    assert_true(store_epoch_next(site->store, 1000) == 1001);
    assert_int_not_equal(store_commit(site->store, NULL), REEVE_OK);
    reopen(site);
    char text[512] = "";
    assert_ok(store_workers(site->store, note_worker, text, NULL));
    assert_string_equal(text, "");
    assert_true(store_epoch_next(site->store, 5) == 1002);
}

static sqlite3 *open_beside(const struct site *site, const char *name)
{
    char path[512];
    sqlite3 *db = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", site->dir, name);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void a_turn_that_could_not_begin_fails_as_a_whole(void **state)
{
    struct site *site = *state;
    open_site(site);
    put_worker(site->store, "before", true, NULL);
    assert_ok(store_commit(site->store, NULL));
    sqlite3 *other = open_beside(site, "reeved.db");
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(store_number_set(site->store, "early", 1, NULL), REEVE_OK);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(other);
    assert_int_not_equal(store_number_set(site->store, "late", 1, NULL), REEVE_OK);
    assert_int_not_equal(store_commit(site->store, NULL), REEVE_OK);
    assert_int_equal(store_number(site->store, "late", 0), 0);
    assert_ok(store_number_set(site->store, "late", 1, NULL));
    assert_ok(store_commit(site->store, NULL));
}

// Killed before its log was folded in: what was committed last is in the log alone.
static void crash_after_a_commit(const struct site *site)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct store *store = NULL;
        bool damaged = false;
        bool ok = store_open(site->dir, &store, &damaged, NULL) == REEVE_OK;
        put_worker(store, "last", true, NULL);
        _exit(ok && store_commit(store, NULL) == REEVE_OK ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void what_is_set_aside_has_its_log_beside_it(void **state)
{
    struct site *site = *state;
    open_site(site);
    for (int i = 0; i < 30; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "command-%d", i);
        put_command(site->store, id, 1);
    }
    assert_ok(store_commit(site->store, NULL));
    store_close(site->store); // folds the log in
    site->store = NULL;
    crash_after_a_commit(site);
    damage(site, 3 * 4096, 4096); // the journal's page; the last commit did not touch it
    open_site(site);
    assert_true(site->damaged);
    char name[300] = "";
    char log[320];
    assert_int_equal(count_damaged(site->dir, name, sizeof name), 1);
    (void)snprintf(log, sizeof log, "%s/%s-wal", site->dir, name);
    assert_int_equal(access(log, R_OK), 0);
    sqlite3 *db = open_beside(site, name);
    int rows = 0;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM worker", -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        rows++;
    }
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    (void)sqlite3_close(db);
    assert_int_equal(rows, 1);
}

static void numbers_have_a_fallback(void **state)
{
    struct site *site = *state;
    open_site(site);
    assert_int_equal(store_number(site->store, "draining", 5), 5);
    assert_ok(store_number_set(site->store, "draining", 1, NULL));
    assert_ok(store_commit(site->store, NULL));
    reopen(site);
    assert_int_equal(store_number(site->store, "draining", 5), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_stays_and_the_rest_is_gone),
        TEST(open_commands_come_back_in_order_of_arrival),
        TEST(ids_are_forgotten_after_a_week_of_running_and_open_ones_never),
        TEST(epochs_grow_whatever_the_clock_says),
        TEST(workers_are_kept_by_name),
        TEST(one_process_at_a_time_has_it_and_children_do_not_inherit_that),
        TEST(a_damaged_file_is_set_aside),
        TEST(after_a_failed_write_nothing_of_the_turn_is_kept),
        TEST(an_epoch_outlives_the_turn_in_which_it_was_given),
        TEST(a_turn_that_could_not_begin_fails_as_a_whole),
        TEST(what_is_set_aside_has_its_log_beside_it),
        TEST(numbers_have_a_fallback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
