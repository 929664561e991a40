// Reads with bounds, writes in one piece, secrets, directories, removal of trees.
// Must not: need to be root, or not to be.
#include "tree.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <reeve/file.h>

// Runs `work` in a child, which may give up what it can't get back; 77 skips the test.
static void assert_child_ok(int (*work)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(work());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_file_is_read_whole_or_refused_by_its_bound(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_why why;
    tree_put("f", "12345", 0644);
    assert_ok(reeve_file_read(tree_path("f"), 5, &buf, &why));
    assert_string_equal(buf.data, "12345");
    assert_err(reeve_file_read(tree_path("f"), 4, &buf, &why), REEVE_LIMIT);
    assert_non_null(strstr(why.text, "larger than 4 bytes"));
    assert_string_equal(buf.data, "12345"); // untouched by a failure
    assert_ok(reeve_file_read(tree_path("f"), 100, &buf, &why));
    assert_string_equal(buf.data, "12345"); // replaced, not appended
    tree_put("empty", "", 0644);
    assert_ok(reeve_file_read(tree_path("empty"), 0, &buf, &why));
    assert_string_equal(reeve_buf_str(&buf), "");
    REEVE_BUF_AUTO small = REEVE_BUF_INIT(3);
    assert_err(reeve_file_read(tree_path("f"), 100, &small, &why), REEVE_LIMIT);
    assert_ok(small.err);
}

static void files_larger_than_a_chunk_are_read(void **state)
{
    (void)state;
    static const size_t lens[] = {16383, 16384, 16385, 32768, 100000};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lens); i++) {
        REEVE_AUTO_FREE char *text = calloc(1, lens[i] + 1);
        assert_non_null(text);
        for (size_t k = 0; k < lens[i]; k++) {
            text[k] = (char)('a' + k % 23);
        }
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        assert_ok(reeve_file_write_atomic(tree_path("f"), text, lens[i], 0600, NULL));
        assert_ok(reeve_file_read(tree_path("f"), lens[i], &buf, NULL));
        assert_int_equal(buf.len, lens[i]);
        assert_string_equal(buf.data, text);
        assert_err(reeve_file_read(tree_path("f"), lens[i] - 1, &buf, NULL), REEVE_LIMIT);
        assert_ok(reeve_file_read_tail(tree_path("f"), 16384, &buf, NULL));
        assert_string_equal(buf.data, text + (lens[i] > 16384 ? lens[i] - 16384 : 0));
    }
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_why why;
    assert_err(reeve_file_read(tree_root, 10, &buf, &why), REEVE_INVALID);
    assert_err(reeve_file_read("/dev/zero", 10, &buf, &why), REEVE_INVALID);
    assert_int_equal(mkfifo(tree_path("fifo"), 0600), 0);
    assert_err(reeve_file_read(tree_path("fifo"), 10, &buf, &why), REEVE_INVALID); // and does not wait for a writer
    assert_err(reeve_file_read(tree_path("absent"), 10, &buf, &why), REEVE_NOENT);
    assert_non_null(strstr(why.text, tree_path("absent")));
    assert_ok(reeve_file_read("/proc/self/status", 100000, &buf, &why)); // of size 0 and yet not empty
    assert_true(buf.len > 100);
}

static void the_tail_is_the_end_of_the_file(void **state)
{
    (void)state;
    static const struct {
        size_t len_max;
        const char *tail;
    } rows[] = {{0, ""}, {1, "5"}, {4, "2345"}, {5, "12345"}, {6, "12345"}, {100000, "12345"}};
    tree_put("f", "12345", 0644);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        assert_ok(reeve_file_read_tail(tree_path("f"), rows[i].len_max, &buf, NULL));
        assert_string_equal(reeve_buf_str(&buf), rows[i].tail);
    }
    REEVE_BUF_AUTO grown = REEVE_BUF_INIT(0); // more than fstat() promised: the bound holds
    assert_ok(reeve_file_read_tail("/proc/self/status", 10, &grown, NULL));
    assert_int_equal(grown.len, 10);
}

static void a_write_replaces_in_one_piece_with_its_mode(void **state)
{
    (void)state;
    struct stat st;
    mode_t umask_before = umask(0077);
    assert_ok(reeve_file_write_atomic(tree_path("f"), "old", 3, 0644, NULL));
    (void)umask(umask_before);
    assert_int_equal(stat(tree_path("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    ino_t inode = st.st_ino;
    FILE *reader = fopen(tree_path("f"), "r"); // a reader of the old content keeps it
    assert_non_null(reader);
    assert_ok(reeve_file_write_atomic(tree_path("f"), "newer", 5, 0600, NULL));
    char old[8] = "";
    assert_int_equal(fread(old, 1, sizeof old - 1, reader), 3);
    assert_string_equal(old, "old");
    assert_int_equal(fclose(reader), 0);
    tree_assert_content("f", "newer");
    assert_int_equal(stat(tree_path("f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_ino != inode);
    assert_int_equal(tree_count(""), 1);
}

static void a_write_replaces_a_link_and_not_its_target(void **state)
{
    (void)state;
    tree_put("target", "target", 0644);
    assert_int_equal(symlink("target", tree_path("link")), 0);
    assert_ok(reeve_file_write_atomic(tree_path("link"), "new", 3, 0600, NULL));
    tree_assert_content("target", "target");
    tree_assert_content("link", "new");
}

static void paths_that_cannot_be_files_are_refused(void **state)
{
    (void)state;
    struct reeve_why why;
    static const char *const bad[] = {"", "/", ".", "..", "./", "./.", "./.."};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        assert_err(reeve_file_write_atomic(bad[i], "x", 1, 0600, &why), REEVE_INVALID);
    }
    static char long_path[5000];
    memset(long_path, 'a', sizeof long_path - 1);
    assert_err(reeve_file_write_atomic(long_path, "x", 1, 0600, &why), REEVE_LIMIT);
    long_path[4900] = '/';
    assert_err(reeve_file_write_atomic(long_path, "x", 1, 0600, &why), REEVE_LIMIT);
    assert_err(reeve_dir_make(long_path, 0700, &why), REEVE_LIMIT);
    assert_err(reeve_dir_remove(long_path, &why), REEVE_LIMIT);
    assert_err(reeve_file_write_atomic(tree_path("absent/f"), "x", 1, 0600, &why), REEVE_NOENT);
    assert_int_equal(mkdir(tree_path("d"), 0700), 0);
    assert_err(reeve_file_write_atomic(tree_path("d"), "x", 1, 0600, &why), REEVE_IO);
    assert_int_equal(tree_count(""), 1);
}

static void a_bare_name_is_written_in_the_working_directory(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(tree_root), 0);
    enum reeve_err err = reeve_file_write_atomic("bare", "x", 1, 0600, NULL);
    assert_int_equal(chdir(before), 0);
    assert_ok(err);
    tree_assert_content("bare", "x");
}

static void a_secret_open_to_others_is_denied(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        enum reeve_err err;
    } rows[] = {{0600, REEVE_OK},     {0400, REEVE_OK},     {0640, REEVE_DENIED}, {0604, REEVE_DENIED},
                {0620, REEVE_DENIED}, {0602, REEVE_DENIED}, {0644, REEVE_DENIED}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        struct reeve_why why;
        (void)unlink(tree_path("s")); /* absent the first time */
        tree_put("s", "pass word\n", rows[i].mode);
        assert_err(reeve_file_read_secret(tree_path("s"), 100, &buf, &why), rows[i].err);
        if (rows[i].err == REEVE_OK) {
            assert_string_equal(buf.data, "pass word");
            assert_int_equal(buf.len, 9);
        } else {
            char mode[8];
            (void)snprintf(mode, sizeof mode, "%04o", rows[i].mode);
            assert_non_null(strstr(why.text, mode));
            assert_null(strstr(why.text, "pass"));
            assert_null(buf.data);
        }
    }
}

static void a_secret_of_another_user_is_denied(void **state)
{
    (void)state;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    tree_put("s", "x", 0600);
    if (geteuid() != 0 || chown(tree_path("s"), 12345, 12345) != 0) {
        skip(); // only root can give a file away
    }
    assert_err(reeve_file_read_secret(tree_path("s"), 100, &buf, NULL), REEVE_DENIED);
}

static void only_one_newline_of_a_secret_goes(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        const char *secret;
    } rows[] = {{"", ""}, {"\n", ""}, {"a", "a"}, {"a\n\n", "a\n"}, {" a ", " a "}, {"a\r\n", "a"}, {"\r", "\r"}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
        tree_put("s", rows[i].content, 0600);
        assert_ok(reeve_file_read_secret(tree_path("s"), 100, &buf, NULL));
        assert_string_equal(reeve_buf_str(&buf), rows[i].secret);
        assert_int_equal(buf.len, strlen(rows[i].secret));
    }
}

static void directories_are_made_with_their_parents(void **state)
{
    (void)state;
    struct stat st;
    struct reeve_why why;
    assert_ok(reeve_dir_make(tree_path("a//b/c/"), 0700, NULL));
    assert_ok(reeve_dir_make(tree_path("a/b/c"), 0700, NULL));
    assert_int_equal(stat(tree_path("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_ok(reeve_dir_make("/", 0700, NULL));
    assert_err(reeve_dir_make("", 0700, &why), REEVE_INVALID);
    tree_put("f", "", 0600);
    assert_err(reeve_dir_make(tree_path("f"), 0700, &why), REEVE_CONFLICT);
    assert_err(reeve_dir_make(tree_path("f/x"), 0700, &why), REEVE_CONFLICT);
    assert_int_equal(symlink("a", tree_path("link")), 0); // a state directory may be a link
    assert_ok(reeve_dir_make(tree_path("link/d"), 0700, NULL));
    assert_int_equal(stat(tree_path("a/d"), &st), 0);
}

static void a_tree_goes_and_what_links_point_to_stays(void **state)
{
    (void)state;
    assert_ok(reeve_dir_make(tree_path("t/a/b"), 0700, NULL));
    assert_ok(reeve_dir_make(tree_path("other"), 0700, NULL));
    tree_put("other/kept", "kept", 0600);
    tree_put("t/a/b/f", "", 0);
    tree_put("t/.hidden", "", 0600);
    assert_int_equal(symlink("../other", tree_path("t/link")), 0);
    assert_int_equal(symlink("/nowhere", tree_path("t/a/dangling")), 0);
    assert_int_equal(mkfifo(tree_path("t/a/fifo"), 0600), 0);
    assert_ok(reeve_dir_remove(tree_path("t"), NULL));
    assert_int_equal(tree_count(""), 1);
    tree_assert_content("other/kept", "kept");
    assert_int_equal(symlink("other", tree_path("link")), 0);
    assert_ok(reeve_dir_remove(tree_path("link/"), NULL));
    assert_int_equal(tree_count(""), 1);
    tree_assert_content("other/kept", "kept");
    assert_ok(reeve_dir_remove(tree_path("other/kept"), NULL)); // one file is a tree too
    assert_int_equal(tree_count("other"), 0);
    assert_ok(reeve_dir_remove(tree_path("absent"), NULL));
    assert_ok(reeve_dir_remove(tree_path("absent/absent"), NULL));
}

// A directory of somebody who may not ignore its mode, as root may.
static int remove_read_only(void)
{
    if (geteuid() == 0 && (chown(tree_root, 65534, 65534) != 0 || setresgid(65534, 65534, 65534) != 0 ||
                           setresuid(65534, 65534, 65534) != 0)) {
        return 77;
    }
    if (reeve_dir_make(tree_path("t/a"), 0700, NULL) != REEVE_OK ||
        reeve_file_write_atomic(tree_path("t/a/f"), "", 0, 0400, NULL) != REEVE_OK ||
        chmod(tree_path("t/a"), 0500) != 0 || chmod(tree_path("t"), 0500) != 0) {
        return 1;
    }
    return reeve_dir_remove(tree_path("t"), NULL) == REEVE_OK && access(tree_path("t"), F_OK) != 0 ? 0 : 1;
}

// In a root directory of its own: a mistake in what is tested here would otherwise empty the machine it runs on.
// 77 = this host does not let us.
static int remove_dangerous_paths(void)
{
    if (chroot(tree_root) != 0 && (unshare(CLONE_NEWUSER) != 0 || chroot(tree_root) != 0)) {
        return 77;
    }
    static const char *const bad[] = {"", "/", "//", ".", "..", "./", "../", "/t/..", "/t/."};
    if (chdir("/t") != 0) {
        return 1;
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(bad); i++) {
        if (reeve_dir_remove(bad[i], NULL) != REEVE_INVALID) {
            return 1;
        }
    }
    return access("/t/kept", F_OK) == 0 ? 0 : 1;
}

static void dangerous_paths_are_not_removed(void **state)
{
    (void)state;
    assert_ok(reeve_dir_make(tree_path("t"), 0700, NULL));
    tree_put("t/kept", "", 0600);
    assert_child_ok(remove_dangerous_paths);
}

static void read_only_directories_of_ours_go(void **state)
{
    (void)state;
    assert_child_ok(remove_read_only);
}

// A worker can make a tree deeper than PATH_MAX and than the descriptors we may open.
static void a_tree_of_any_depth_goes_with_few_descriptors(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = open(tree_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        assert_true(fd >= 0);
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        assert_int_equal(mkdirat(fd, "e", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(close(fd), 0);
        fd = next;
    }
    assert_int_equal(close(fd), 0);
    int open_before = tree_open_files();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 100, .rlim_max = limit.rlim_max}), 0);
    enum reeve_err err = reeve_dir_remove(tree_path("d"), NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_ok(err);
    assert_int_equal(tree_count(""), 1); // "e" beside it
    assert_int_equal(tree_open_files(), open_before);
}

// In a mount namespace of its own, so that nothing stays mounted whatever happens. 77 = this host does not let us.
static int remove_across_a_mount(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", tree_path("t/mnt"), "tmpfs", 0, "size=64k") != 0) {
        return 77;
    }
    int fd = open(tree_path("t/mnt/kept"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    struct reeve_why why = {.text = ""};
    bool refused = fd >= 0 && reeve_dir_remove(tree_path("t"), &why) == REEVE_CONFLICT;
    return refused && strstr(why.text, "mnt is a mount") != NULL && access(tree_path("t/mnt/kept"), F_OK) == 0 ? 0 : 1;
}

static void what_is_mounted_in_a_tree_is_not_emptied(void **state)
{
    (void)state;
    assert_ok(reeve_dir_make(tree_path("t/mnt"), 0700, NULL));
    assert_child_ok(remove_across_a_mount);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_set_up, tree_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_read_whole_or_refused_by_its_bound),
        TEST(files_larger_than_a_chunk_are_read),
        TEST(only_regular_files_are_read),
        TEST(the_tail_is_the_end_of_the_file),
        TEST(a_write_replaces_in_one_piece_with_its_mode),
        TEST(a_write_replaces_a_link_and_not_its_target),
        TEST(paths_that_cannot_be_files_are_refused),
        TEST(a_bare_name_is_written_in_the_working_directory),
        TEST(a_secret_open_to_others_is_denied),
        TEST(a_secret_of_another_user_is_denied),
        TEST(only_one_newline_of_a_secret_goes),
        TEST(directories_are_made_with_their_parents),
        TEST(a_tree_goes_and_what_links_point_to_stays),
        TEST(dangerous_paths_are_not_removed),
        TEST(read_only_directories_of_ours_go),
        TEST(a_tree_of_any_depth_goes_with_few_descriptors),
        TEST(what_is_mounted_in_a_tree_is_not_emptied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
