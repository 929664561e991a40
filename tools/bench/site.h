// A private site: a folder, Mosquitto from the installed templates on a free port of 127.0.0.1, and reeved.
#ifndef REEVE_BENCH_SITE_H
#define REEVE_BENCH_SITE_H

#include <limits.h>
#include <reeve/bus.h>

#define SITE_NODE      "bench"
#define SITE_ROOT      REEVE_ROOT_PRESET
#define SITE_PATH_SIZE (PATH_MAX + 64)
#define PASSWORD_LEN   32

enum site_user { SITE_ADMIN, SITE_DAEMON, SITE_WORKER, SITE_USER_COUNT };

struct site {
    char bin_dir[PATH_MAX];
    char dir[PATH_MAX];
    int port;
    char passwords[SITE_USER_COUNT][PASSWORD_LEN + 1];
    pid_t broker;
    pid_t daemon;
};

// Makes a folder below `parent` and everything in it, and starts both. It may have started a part when it fails:
// site_stop() in every case.
enum reeve_err site_start(struct site *site, const char *parent, struct reeve_why *why);
// Ends both, the workers first, and removes the folder.
void site_stop(struct site *site);
// <dir>/<leaf>. Returns buf.
const char *site_path(const struct site *site, const char *leaf, char buf[SITE_PATH_SIZE]);
// <folder of this program>/<name>. Returns buf.
const char *site_program(const struct site *site, const char *name, char buf[SITE_PATH_SIZE]);
const char *site_username(enum site_user user);

#endif
