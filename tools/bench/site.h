// A private site: a folder, Mosquitto from the installed templates on a free port of 127.0.0.1, and programs beside it.
#ifndef REEVE_BENCH_SITE_H
#define REEVE_BENCH_SITE_H

#include <limits.h>
#include <reeve/bus.h>

#define SITE_NODE      "bench"
#define SITE_ROOT      REEVE_ROOT_PRESET
#define SITE_PATH_SIZE (PATH_MAX + 64)
#define PASSWORD_LEN   32

enum site_user { SITE_ADMIN, SITE_DAEMON, SITE_WORKER, SITE_MANAGER, SITE_VIEWER, SITE_SIMULATED, SITE_PRODUCER, SITE_USER_COUNT };

struct site {
    char bin_dir[PATH_MAX];
    char dir[PATH_MAX];
    int port;
    char passwords[SITE_USER_COUNT][PASSWORD_LEN + 1];
    pid_t broker;
    pid_t daemon; // 0 = not started
};

// Makes a folder below `parent` and everything in it, and starts the broker. It may have started a part when it fails:
// site_stop() in every case.
enum reeve_err site_start(struct site *site, const char *parent, struct reeve_why *why);
enum reeve_err site_start_daemon(struct site *site, struct reeve_why *why);
// Starts argv[0] with its output in the file <dir>/<log_leaf>; in_fd as in child_start().
enum reeve_err site_start_program(const struct site *site, const char *const argv[], int in_fd, const char *log_leaf,
                                  pid_t *ret, struct reeve_why *why);
// A configuration below <dir>, 0600.
enum reeve_err site_write_json(const struct site *site, const char *leaf, const struct reeve_value *value,
                               struct reeve_why *why);
// {url username password} as `key` of `config`.
void site_put_broker(struct reeve_value *config, const char *key, const struct site *site, enum site_user user);
// Ends daemon and broker, the workers first, and removes the folder. Other programs are their starter's to end before.
void site_stop(struct site *site);
// <dir>/<leaf>. Returns buf.
const char *site_path(const struct site *site, const char *leaf, char buf[SITE_PATH_SIZE]);
// <folder of this program>/<name>. Returns buf.
const char *site_program(const struct site *site, const char *name, char buf[SITE_PATH_SIZE]);
const char *site_username(enum site_user user);

#endif
