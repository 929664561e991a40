// The ops backup and check: on another thread, on a store that is in use, also while the manager leaves.
#include "fake_manager.h"

#include <dirent.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_sqlite.h"

#define assert_ok(call) assert_int_equal(call, REEVE_OK)

static struct fake fake;
static char dir[64];

static int setup(void **state)
{
    (void)state;
    fake_init(&fake);
    (void)snprintf(dir, sizeof dir, "/tmp/reeve-manager-backup-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    fake.manager.config.manager.state_dir = dir;
    fake.manager.config.manager.backups_keep = 3;
    fake.manager.calls = reeve_map_new(0); // call_find() of the stand-in looks elsewhere; NULL = on the way out
    return store_open(dir, &fake.manager.store, NULL) == REEVE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    store_close(fake.manager.store);
    reeve_map_free(fake.manager.calls, NULL);
    fake_done(&fake);
    (void)reeve_dir_remove(dir, NULL); // left for whoever looks into /tmp
    return 0;
}

static void put(const char *key, int64_t number)
{
    REEVE_VALUE_AUTO value = reeve_value_int(number);
    assert_ok(store_put(fake.manager.store, STORE_MEMBER, key, value, NULL));
}

static enum reeve_err backup(void)
{
    enum reeve_err err = fake_call(&fake, &op_backup_args, NULL, NULL, op_backup_run, NULL);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_ACCEPTED);
    uv_run(&fake.loop, UV_RUN_DEFAULT); // ends when the thread has
    return err;
}

static int count_backups(char *ret_last)
{
    int count = 0;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/backups", dir);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.';
        if (ret_last != NULL && strcmp(entry->d_name, ret_last) > 0) {
            (void)snprintf(ret_last, 64, "%s", entry->d_name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

static void a_backup_has_what_is_committed(void **state)
{
    (void)state;
    put("p/a", 1);
    assert_ok(store_commit(fake.manager.store, NULL));
    put("p/b", 2);
    assert_ok(backup());
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    const char *path = reeve_get_str(fake.reply.result, "path");
    assert_non_null(strstr(path, "/backups/manager-20231114T221320000.db"));
    assert_int_equal(reeve_get_int(fake.reply.result, "at", 0), FAKE_WALL);
    assert_true(reeve_get_int(fake.reply.result, "bytes", 0) > 4096);
    assert_ok(store_check(NULL, path, NULL, NULL));
    sqlite3 *db = NULL;
    int64_t documents = 0;
    assert_ok(store_connect(path, SQLITE_OPEN_READONLY, &db, NULL));
    assert_ok(store_pragma(db, "SELECT count(*) FROM document", &documents, NULL));
    sqlite3_close(db);
    assert_int_equal(documents, 1);
    assert_ok(backup()); // in the same millisecond
    assert_int_equal(fake.reply.phase, REEVE_PHASE_FAILED);
    assert_int_equal(fake.reply.err, REEVE_CONFLICT);
}

static void only_the_newest_are_kept_and_nobody_elses(void **state)
{
    (void)state;
    char other[128];
    char last[64] = "";
    (void)snprintf(other, sizeof other, "%s/backups", dir);
    assert_ok(reeve_dir_make(other, 0700, NULL));
    (void)snprintf(other, sizeof other, "%s/backups/before-the-move.db", dir);
    assert_ok(reeve_file_write_atomic(other, "mine", 4, 0600, NULL));
    for (int i = 0; i < 6; i++) {
        fake_time(&fake, 1001);
        assert_ok(backup());
        assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    }
    assert_int_equal(count_backups(last), 4);
    assert_string_equal(last, "manager-20231114T221326006.db");
    assert_int_equal(access(other, F_OK), 0);
    fake_wall_step(&fake, -86400000); // a clock that goes back: the one of now stays all the same
    assert_ok(backup());
    assert_int_equal(access(reeve_get_str(fake.reply.result, "path"), F_OK), 0);
    fake.manager.config.manager.backups_keep = 0;
    for (int i = 0; i < 5; i++) {
        fake_time(&fake, 1001);
        assert_ok(backup());
    }
    assert_int_equal(count_backups(NULL), 10);
}

static void a_dry_run_says_where_and_writes_nothing(void **state)
{
    (void)state;
    assert_ok(fake_call(&fake, &op_backup_args, NULL, NULL, op_check_run, NULL)); // a call in hand, to make one from
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    fake.call->finished = false;
    fake.call->command.dry_run = true;
    assert_ok(op_backup_run(fake.call, NULL));
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_non_null(strstr(reeve_get_str(fake.reply.result, "path"), "/backups/manager-"));
    assert_int_equal(count_backups(NULL), 0);
}

static void check_says_what_is_wrong(void **state)
{
    (void)state;
    put("p/a", 1);
    assert_ok(store_commit(fake.manager.store, NULL));
    assert_ok(fake_call(&fake, &op_check_args, NULL, NULL, op_check_run, NULL));
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE);
    assert_true(reeve_get_bool(fake.reply.result, "ok", false));
    assert_string_equal(reeve_get_str(fake.reply.result, "report"), "");
    assert_ok(store_exec(fake.manager.store->db, "UPDATE document SET value=x'c1'", "test", NULL));
    assert_ok(fake_call(&fake, &op_check_args, NULL, NULL, op_check_run, NULL));
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_DONE); // what is wrong is the answer
    assert_false(reeve_get_bool(fake.reply.result, "ok", true));
    assert_non_null(strstr(reeve_get_str(fake.reply.result, "report"), "document 'member p/a' does not read back"));
}

static void nobody_waits_any_more(void **state)
{
    (void)state;
    assert_ok(fake_call(&fake, &op_backup_args, NULL, NULL, op_backup_run, NULL));
    store_close(fake.manager.store); // the way out
    fake.manager.store = NULL;
    reeve_map_free(fake.manager.calls, NULL);
    fake.manager.calls = NULL;
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    assert_int_equal(fake.reply.phase, REEVE_PHASE_ACCEPTED);
    assert_int_equal(count_backups(NULL), 1);
}

static void ops_without_arguments_take_none(void **state)
{
    (void)state;
    struct reeve_why why = {0};
    assert_int_equal(fake_call(&fake, &op_backup_args, NULL, "{path: /tmp/x}", op_backup_run, &why), REEVE_INVALID);
    assert_non_null(strstr(why.place, "path"));
    assert_string_equal(why.text, "unknown key, none is expected");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    reeve_log_set_level(REEVE_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(a_backup_has_what_is_committed),
        TEST(only_the_newest_are_kept_and_nobody_elses),
        TEST(a_dry_run_says_where_and_writes_nothing),
        TEST(check_says_what_is_wrong),
        TEST(nobody_waits_any_more),
        TEST(ops_without_arguments_take_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
