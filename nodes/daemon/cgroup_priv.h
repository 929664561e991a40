// Inside of cgroup.c, cgroup_v1.c, cgroup_v2.c; tests use it to build a host below a folder of their own.
// Must not: be included by anything else.
#ifndef REEVED_CGROUP_PRIV_H
#define REEVED_CGROUP_PRIV_H

#include "cgroup.h"

#define CGROUP_BASE_SIZE 384 // leaves room for /<worker>/<file> in the 512 of cgroup_paths()
#define CGROUP_PATH_SIZE 512

enum cgroup_kind { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_KIND_COUNT };

// Where the groups of one controller are made; base is empty where there is none.
struct cgroup_tree {
    bool v2;
    char base[CGROUP_BASE_SIZE]; // <own group>/reeve-<node>-<8 hex>
    char own[CGROUP_BASE_SIZE];  // the group that the daemon was found in
};

struct cgroup_host {
    char root[CGROUP_BASE_SIZE]; // before /proc and mount points; "" but in tests
    char group[REEVE_NAME_SIZE + 32];
    struct cgroup_tree track; // v2 group of each worker, for kill and CPU time; needs no controller
    struct cgroup_tree limits[CGROUP_KIND_COUNT];
    char text[128];
};

enum reeve_err cgroup_host_new_at(const char *root, const char *node, const char *state_dir, struct cgroup_host **ret,
                                  struct reeve_why *why);

const char *cgroup_kind_text(enum cgroup_kind kind);
// Each fills tree->base once the group exists; false = not usable here.
bool cgroup_v1_prepare(const struct cgroup_host *host, struct cgroup_tree *tree, enum cgroup_kind kind);
bool cgroup_v2_prepare(struct cgroup_host *host); // track, and those limits that v1 has not
// Sets a limit in the existing group `dir`. limit 0 = none.
bool cgroup_v1_set(const char *dir, enum cgroup_kind kind, const struct cgroup_limits *limits);
bool cgroup_v2_set(const char *dir, enum cgroup_kind kind, const struct cgroup_limits *limits);

// "<tree->base>/<worker>"; false when there is no such tree.
bool cgroup_dir(const struct cgroup_tree *tree, const char *worker, char ret[CGROUP_PATH_SIZE]);
// "<dir>/<file>"
const char *cgroup_file(const char *dir, const char *file, char ret[CGROUP_PATH_SIZE]);
bool cgroup_write(const char *dir, const char *file, const char *text);
bool cgroup_write_i64(const char *dir, const char *file, int64_t value);
bool cgroup_exists(const char *dir, const char *file);
bool cgroup_mkdir(const char *dir);

#endif
