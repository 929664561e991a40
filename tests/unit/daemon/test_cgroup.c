// Discovery and limits of control groups against a folder that looks like /proc and /sys/fs/cgroup.
// What only a kernel does (creating the files of a new group) is done by the test beforehand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <limits.h>
#include <reeve/file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup_priv.h"
#include "shim/sweep.h"

struct tree {
    char root[64];
    struct cgroup_host *host;
};

static int setup(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    (void)snprintf(tree->root, sizeof(tree->root), "/tmp/reeve-cgroup-XXXXXX");
    *state = tree;
    return mkdtemp(tree->root) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct tree *tree = *state;
    cgroup_host_free(tree->host);
    (void)reeve_dir_remove(tree->root, NULL);
    free(tree);
    return 0;
}

static void put(const struct tree *tree, const char *path, const char *text)
{
    char full[PATH_MAX];
    (void)snprintf(full, sizeof(full), "%s/%s", tree->root, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(reeve_dir_make(full, 0755, NULL), REEVE_OK);
    *slash = '/';
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

// What the last write left; a plain file keeps what is longer than it, a kernel's would not.
static void assert_file(const struct tree *tree, const char *path, const char *wanted)
{
    char full[PATH_MAX];
    char text[256];
    (void)snprintf(full, sizeof(full), "%s/%s", tree->root, path);
    assert_true(sweep_read(full, text, sizeof(text)) >= 0);
    assert_string_equal(text, wanted);
}

static void new_host(struct tree *tree)
{
    assert_int_equal(cgroup_host_new_at(tree->root, "node", "/state", &tree->host, NULL), REEVE_OK);
}

// The name of the daemon's own group, known only once a host was made.
static void group_name(struct tree *tree, char ret[128])
{
    new_host(tree);
    (void)snprintf(ret, 128, "%s", tree->host->group);
    cgroup_host_free(tree->host);
    tree->host = NULL;
}

#define MOUNT_V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define OWN_V2   "sys/fs/cgroup/system.slice/reeved.service"

static void make_v2(struct tree *tree, const char *procs, char group[128])
{
    static const char *const files[][2] = {
        {"memory.max", ""},
        {"memory.swap.max", ""},
        {"cpu.max", ""},
        {"pids.max", ""},
        {"cgroup.procs", ""},
        {"cgroup.kill", ""},
        {"memory.events", "low 0\noom_kill 3\n"},
        {"memory.current", "5000\n"},
        {"memory.stat", "anon 1\ninactive_file 1000\n"},
        {"cpu.stat", "usage_usec 77\nuser_usec 1\n"},
    };
    char path[256];
    put(tree, "proc/self/mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n" MOUNT_V2);
    put(tree, "proc/self/cgroup", "0::/system.slice/reeved.service\n");
    group_name(tree, group);
    put(tree, OWN_V2 "/cgroup.controllers", "cpuset cpu io memory pids\n");
    put(tree, OWN_V2 "/cgroup.subtree_control", "");
    put(tree, OWN_V2 "/cgroup.type", "domain\n");
    put(tree, OWN_V2 "/cgroup.procs", procs);
    put(tree, OWN_V2 "/reeve-daemon/cgroup.procs", "");
    (void)snprintf(path, sizeof(path), OWN_V2 "/%s/cgroup.procs", group);
    put(tree, path, "");
    (void)snprintf(path, sizeof(path), OWN_V2 "/%s/cgroup.controllers", group);
    put(tree, path, "cpu memory pids\n");
    (void)snprintf(path, sizeof(path), OWN_V2 "/%s/cgroup.subtree_control", group);
    put(tree, path, "");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(files); i++) {
        (void)snprintf(path, sizeof(path), OWN_V2 "/%s/w/%s", group, files[i][0]);
        put(tree, path, files[i][1]);
    }
}

static void v2_limits_are_written(void **state)
{
    struct tree *tree = *state;
    char group[128];
    char own_procs[16];
    char path[512];
    (void)snprintf(own_procs, sizeof(own_procs), "%d\n", (int)getpid());
    make_v2(tree, own_procs, group);
    new_host(tree);
    assert_string_equal(cgroup_host_text(tree->host), "v2 (memory cpu pids kill)");
    assert_file(tree, OWN_V2 "/reeve-daemon/cgroup.procs", "0"); // the daemon has moved out of the way
    assert_file(tree, OWN_V2 "/cgroup.subtree_control",
                "+pidsry"); // +memory, +cpu, +pids over each other in a plain file
    struct cgroup_enforced enforced;
    struct reeve_why why;
    const struct cgroup_limits limits = {.memory_bytes = 64 << 20, .cpus = 1.5, .pids = 20};
    assert_int_equal(cgroup_make(tree->host, "w", &limits, &enforced, &why), REEVE_OK);
    assert_true(enforced.memory && enforced.cpu && enforced.pids && enforced.group_kill);
    assert_string_equal(why.text, "");
    const char *const wanted[][2] = {
        {"memory.max", "67108864"}, {"memory.swap.max", "0"}, {"cpu.max", "150000 100000"}, {"pids.max", "20"}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wanted); i++) {
        (void)snprintf(path, sizeof(path), OWN_V2 "/%s/w/%s", group, wanted[i][0]);
        assert_file(tree, path, wanted[i][1]);
    }
}

static void v2_paths_and_usage(void **state)
{
    struct tree *tree = *state;
    char group[128];
    char oom[512];
    char killer[512];
    char wanted[512];
    int64_t memory = 0;
    int64_t cpu = 0;
    REEVE_STRV_AUTO procs = {0};
    make_v2(tree, "", group);
    new_host(tree);
    cgroup_paths(tree->host, "w", &procs, oom, killer);
    assert_int_equal(procs.len, 1); // one group, not one per controller
    (void)snprintf(wanted, sizeof(wanted), "%s/" OWN_V2 "/%s/w/cgroup.procs", tree->root, group);
    assert_string_equal(procs.items[0], wanted);
    (void)snprintf(wanted, sizeof(wanted), "%s/" OWN_V2 "/%s/w/memory.events", tree->root, group);
    assert_string_equal(oom, wanted);
    (void)snprintf(wanted, sizeof(wanted), "%s/" OWN_V2 "/%s/w/cgroup.kill", tree->root, group);
    assert_string_equal(killer, wanted);
    assert_true(cgroup_usage(tree->host, "w", &memory, &cpu));
    assert_int_equal(memory, 4000);
    assert_int_equal(cpu, 77);
    assert_false(cgroup_usage(tree->host, "other", &memory, &cpu));
    assert_false(cgroup_usage(tree->host, "../w", &memory, &cpu));
}

static void v2_group_with_others_is_left_alone(void **state)
{
    struct tree *tree = *state;
    char group[128];
    char procs[32];
    (void)snprintf(procs, sizeof(procs), "1\n%d\n", (int)getpid());
    make_v2(tree, procs, group);
    new_host(tree);
    assert_string_equal(cgroup_host_text(tree->host), "v2 (kill)");
    assert_file(tree, OWN_V2 "/reeve-daemon/cgroup.procs", "");
    assert_file(tree, OWN_V2 "/cgroup.subtree_control", "");
    struct cgroup_enforced enforced;
    struct reeve_why why;
    const struct cgroup_limits limits = {.memory_bytes = 1 << 20, .pids = 5};
    assert_int_equal(cgroup_make(tree->host, "w", &limits, &enforced, &why), REEVE_OK);
    assert_false(enforced.memory || enforced.cpu || enforced.pids);
    assert_true(enforced.group_kill);
    assert_string_equal(why.text, "memory_limit is not enforced: no memory controller; "
                                  "max_pids is not enforced: no pids controller");
}

static void v2_daemon_started_in_the_leaf_uses_the_group_above(void **state)
{
    struct tree *tree = *state;
    char group[128];
    make_v2(tree, "", group);
    put(tree, "proc/self/cgroup", "0::/system.slice/reeved.service/reeve-daemon\n");
    new_host(tree);
    assert_string_equal(cgroup_host_text(tree->host), "v2 (memory cpu pids kill)");
    assert_non_null(strstr(tree->host->track.base, "reeved.service/reeve-node-"));
}

#define MOUNTS_V1                                                                                                      \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                                       \
    "32 31 0:29 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                                             \
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct\n"

static void make_v1(struct tree *tree, char group[128])
{
    static const char *const files[] = {"memory/inner/%s/memory.limit_in_bytes",
                                        "memory/inner/%s/w/memory.limit_in_bytes",
                                        "memory/inner/%s/w/memory.memsw.limit_in_bytes",
                                        "memory/inner/%s/w/memory.oom_control",
                                        "memory/inner/%s/w/cgroup.procs",
                                        "cpu,cpuacct/%s/cpu.cfs_quota_us",
                                        "cpu,cpuacct/%s/w/cpu.cfs_quota_us",
                                        "cpu,cpuacct/%s/w/cpu.cfs_period_us",
                                        "cpu,cpuacct/%s/w/cgroup.procs"};
    put(tree, "proc/self/mountinfo", MOUNTS_V1);
    put(tree, "proc/self/cgroup", "4:memory:/box/inner\n2:cpu,cpuacct:/\n");
    group_name(tree, group);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(files); i++) {
        char file[256];
        char path[300];
        (void)snprintf(file, sizeof(file), "%s", files[i]);
        char *mark = strstr(file, "%s");
        (void)snprintf(path, sizeof(path), "sys/fs/cgroup/%.*s%s%s", (int)(mark - file), file, group, mark + 2);
        put(tree, path, "");
    }
}

static void v1_limits_are_written(void **state)
{
    struct tree *tree = *state;
    char group[128];
    char path[256];
    make_v1(tree, group);
    new_host(tree);
    assert_string_equal(cgroup_host_text(tree->host), "v1 (memory cpu)");
    struct cgroup_enforced enforced;
    struct reeve_why why;
    const struct cgroup_limits limits = {.memory_bytes = 1 << 20, .cpus = 0.5, .pids = 9};
    assert_int_equal(cgroup_make(tree->host, "w", &limits, &enforced, &why), REEVE_OK);
    assert_true(enforced.memory && enforced.cpu);
    assert_false(enforced.pids || enforced.group_kill);
    assert_string_equal(why.text, "max_pids is not enforced: no pids controller");
    (void)snprintf(path, sizeof(path), "sys/fs/cgroup/memory/inner/%s/w/memory.limit_in_bytes", group);
    assert_file(tree, path, "1048576");
    (void)snprintf(path, sizeof(path), "sys/fs/cgroup/memory/inner/%s/w/memory.memsw.limit_in_bytes", group);
    assert_file(tree, path, "1048576");
    (void)snprintf(path, sizeof(path), "sys/fs/cgroup/cpu,cpuacct/%s/w/cpu.cfs_quota_us", group);
    assert_file(tree, path, "50000");
    char oom[512];
    char killer[512];
    REEVE_STRV_AUTO procs = {0};
    cgroup_paths(tree->host, "w", &procs, oom, killer);
    assert_int_equal(procs.len, 2);
    assert_non_null(strstr(oom, "/w/memory.oom_control"));
    assert_string_equal(killer, "");
}

static void host_without_groups_says_so(void **state)
{
    struct tree *tree = *state;
    new_host(tree);
    assert_string_equal(cgroup_host_text(tree->host), "none: no /proc/self/cgroup");
    struct cgroup_enforced enforced;
    struct reeve_why why;
    const struct cgroup_limits limits = {.cpus = 1};
    assert_int_equal(cgroup_make(tree->host, "w", &limits, &enforced, &why), REEVE_OK);
    assert_false(enforced.cpu);
    assert_string_equal(why.text, "cpu_limit is not enforced: no cpu controller");
    assert_int_equal(cgroup_make(tree->host, "../w", &limits, &enforced, &why), REEVE_INVALID);
    cgroup_remove(tree->host, "w");
}

static void odd_files_do_no_harm(void **state)
{
    struct tree *tree = *state;
    static const char *const mounts[] = {"",
                                         "\n\n",
                                         "1 2 3",
                                         "30 23 0:26 / /x rw - cgroup2",
                                         " - cgroup2 a b\n",
                                         "30 23 0:26 / /sys rw - cgroup cgroup ,,,\n"};
    static const char *const groups[] = {"", "0", "0:", "0::", ":::::", "4:memory", "\n\n0::/../..\n"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(mounts); i++) {
        for (size_t j = 0; j < REEVE_ARRAY_LEN(groups); j++) {
            put(tree, "proc/self/mountinfo", mounts[i]);
            put(tree, "proc/self/cgroup", groups[j]);
            new_host(tree);
            assert_memory_equal(cgroup_host_text(tree->host), "none: ", 6);
            cgroup_host_free(tree->host);
            tree->host = NULL;
        }
    }
}

int main(void)
{
#define CGROUP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CGROUP_TEST(v2_limits_are_written),
        CGROUP_TEST(v2_paths_and_usage),
        CGROUP_TEST(v2_group_with_others_is_left_alone),
        CGROUP_TEST(v2_daemon_started_in_the_leaf_uses_the_group_above),
        CGROUP_TEST(v1_limits_are_written),
        CGROUP_TEST(host_without_groups_says_so),
        CGROUP_TEST(odd_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
