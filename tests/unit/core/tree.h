// A temporary directory per test, and what tests of files put into it.
// Must not: be cleaned with reeve_dir_remove(), which is under test; `rm -rf` judges that nothing stays.
#ifndef REEVE_TEST_TREE_H
#define REEVE_TEST_TREE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

static char tree_root[256];

// Path of `name` in the tree. Two of them may be in use at once.
static inline const char *tree_path(const char *name)
{
    static char paths[2][512];
    static int turn;
    turn = 1 - turn;
    (void)snprintf(paths[turn], sizeof paths[turn], "%s/%s", tree_root, name);
    return paths[turn];
}

static inline int tree_set_up(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    (void)snprintf(tree_root, sizeof tree_root, "%s/reeve-core-XXXXXX", base == NULL ? "/tmp" : base);
    return mkdtemp(tree_root) == NULL ? -1 : 0;
}

static inline int tree_tear_down(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", "--", tree_root, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static inline void tree_put(const char *name, const char *content, mode_t mode)
{
    FILE *file = fopen(tree_path(name), "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(tree_path(name), mode), 0);
}

static inline void tree_assert_content(const char *name, const char *expected)
{
    char content[4096];
    FILE *file = fopen(tree_path(name), "r");
    assert_non_null(file);
    size_t len = fread(content, 1, sizeof content - 1, file);
    content[len] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_string_equal(content, expected);
}

static inline int tree_count(const char *name)
{
    DIR *dir = opendir(tree_path(name));
    assert_non_null(dir);
    int count = -2; // "." and ".."
    while (readdir(dir) != NULL) {
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    return count;
}

static inline int tree_open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    int count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    return count;
}

#endif
