// The atomic write with each of its system calls failing in turn, and a removal with somebody in between.
// After a failure the old content is there, nothing lies beside it, no descriptor is left and no fsync was retried.
// Must not: need a broken disk; the linker puts wrappers around the calls.
#include "tree.h"

#include <errno.h>

#include <reeve/file.h>

static int calls;   // made since the last arm()
static int fail_at; // number of the call that fails, 0 = none
static int fail_with;
static int fsyncs;
static int shorten_to; // bytes that a write takes at most, 0 = all
static bool swap;      // replace the directory "victim" by a link just before it is opened

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, mode_t mode);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

static bool fails(void)
{
    errno = fail_with;
    return ++calls == fail_at;
}

int __wrap_openat(int fd, const char *path, int flags, mode_t mode)
{
    if (swap && strcmp(path, "victim") == 0) {
        swap = false;
        assert_int_equal(rename(tree_path("t/victim"), tree_path("moved")), 0);
        assert_int_equal(symlink("../other", tree_path("t/victim")), 0);
    }
    return fails() ? -1 : __real_openat(fd, path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    size_t part = shorten_to > 0 && len > (size_t)shorten_to ? (size_t)shorten_to : len;
    return fails() ? -1 : __real_write(fd, data, part);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails() ? -1 : __real_fchmod(fd, mode);
}

int __wrap_fsync(int fd)
{
    fsyncs++;
    return fails() ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return fails() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

static void arm(int at, int with)
{
    calls = 0;
    fsyncs = 0;
    fail_at = at;
    fail_with = with;
}

// openat, write, fchmod, fsync of the file, renameat, fsync of the directory
enum { CALLS = 6, CALL_WRITE = 2, CALL_FSYNC_FILE = 4, CALL_FSYNC_DIR = 6 };

static void each_call_that_fails_leaves_the_old_content(void **state)
{
    (void)state;
    int open_before = tree_open_files();
    for (int at = 1; at <= CALLS; at++) {
        struct reeve_why why;
        tree_put("f", "old", 0600);
        arm(at, ENOSPC);
        assert_err(reeve_file_write_atomic(tree_path("f"), "new", 3, 0600, &why), REEVE_IO);
        arm(0, 0);
        tree_assert_content("f", at == CALL_FSYNC_DIR ? "new" : "old");
        assert_non_null(strstr(why.text, at == CALL_FSYNC_DIR ? "its directory is not synced" : "not written"));
        assert_non_null(strstr(why.text, strerror(ENOSPC)));
        assert_int_equal(tree_count(""), 1);
        assert_int_equal(tree_open_files(), open_before);
    }
    arm(CALLS + 1, EIO);
    assert_ok(reeve_file_write_atomic(tree_path("f"), "new", 3, 0600, NULL));
    assert_int_equal(calls, CALLS); // the loop above visited them all
}

static void a_failed_fsync_is_not_tried_again(void **state)
{
    (void)state;
    arm(CALL_FSYNC_FILE, EINTR);
    assert_err(reeve_file_write_atomic(tree_path("f"), "new", 3, 0600, NULL), REEVE_IO);
    assert_int_equal(fsyncs, 1);
    arm(CALL_FSYNC_DIR, EIO);
    assert_err(reeve_file_write_atomic(tree_path("f"), "new", 3, 0600, NULL), REEVE_IO);
    assert_int_equal(fsyncs, 2);
}

static void a_file_system_without_directory_sync_is_accepted(void **state)
{
    (void)state;
    arm(CALL_FSYNC_DIR, EINVAL);
    assert_ok(reeve_file_write_atomic(tree_path("f"), "new", 3, 0600, NULL));
    assert_int_equal(fsyncs, 2);
}

static void short_and_interrupted_writes_go_on(void **state)
{
    (void)state;
    arm(CALL_WRITE, EINTR);
    assert_ok(reeve_file_write_atomic(tree_path("f"), "interrupted", 11, 0600, NULL));
    tree_assert_content("f", "interrupted");
    arm(0, 0);
    shorten_to = 2;
    assert_ok(reeve_file_write_atomic(tree_path("f"), "in pieces", 9, 0600, NULL));
    shorten_to = 0;
    tree_assert_content("f", "in pieces");
}

// A worker that swaps its directory for a link while it is being removed gets nobody else's removed.
static void a_directory_swapped_for_a_link_is_not_followed(void **state)
{
    (void)state;
    assert_ok(reeve_dir_make(tree_path("t/victim"), 0700, NULL));
    assert_ok(reeve_dir_make(tree_path("other"), 0700, NULL));
    tree_put("other/kept", "kept", 0600);
    tree_put("t/victim/f", "", 0600);
    arm(0, 0);
    swap = true;
    struct reeve_why why;
    assert_err(reeve_dir_remove(tree_path("t"), &why), REEVE_IO);
    assert_false(swap);
    assert_non_null(strstr(why.text, "victim not removed"));
    tree_assert_content("other/kept", "kept");
    assert_ok(reeve_dir_remove(tree_path("t"), NULL));
    tree_assert_content("other/kept", "kept");
    assert_int_equal(tree_count(""), 2);
}

static int disarm_tear_down(void **state)
{
    arm(0, 0);
    return tree_tear_down(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_set_up, disarm_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_call_that_fails_leaves_the_old_content),      TEST(a_failed_fsync_is_not_tried_again),
        TEST(a_file_system_without_directory_sync_is_accepted), TEST(short_and_interrupted_writes_go_on),
        TEST(a_directory_swapped_for_a_link_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
