// A site on this machine: what `reeve up` makes and starts.
//
//   DIR/site.json            where the site is, for clients; there while it answers, and only then (0600)
//   DIR/credentials/<user>   one password each (0600): admin operator viewer producer manager worker and the node
//   DIR/broker/              mosquitto.conf, acl, passwords, and Mosquitto's own store
//   DIR/node.yaml            the node's configuration, made anew at each start
//   DIR/manager.yaml         the manager's, from the `manager` section of the user's file
//   DIR/state/               the node daemon's state; DIR/state/manager/ the manager's
//   DIR/reeved.log[.1]       its log
//   DIR/port, DIR/node       of the last start
//   DIR/config               path of its --config; not there when it had none
//   DIR/lock                 held while `reeve up` runs here
//
// cmd_up.c the order of things    up_config.c DIR/node.yaml    up_manager.c DIR/manager.yaml    up_files.c all other
// files up_daemon.c the child Must not: speak for the node, the broker or the manager; it starts the daemon, which
// starts the other two.
#ifndef REEVE_CLI_UP_H
#define REEVE_CLI_UP_H

#include "options.h"

#include <limits.h>
#include <reeve/bus.h>
#include <reeve/loop.h>
#include <reeve/str.h>

#define UP_PATH_MAX 3000 // leaves room for what is put behind it

struct up {
    const struct invocation *inv;
    char dir[UP_PATH_MAX];
    char bin_dir[UP_PATH_MAX];
    char config_path[UP_PATH_MAX]; // of the user, absolute; "" = none
    struct reeve_value *config;    // what stands in it, a MAP
    struct reeve_strv keys;        // api keys of the older configuration
    char node[REEVE_NAME_SIZE];
    char *root;
    int64_t port;
    bool port_chosen; // by us: another may be tried
    bool no_manager;
    int lock_fd;
};

// up_config.c
// Read and check --config with the daemon's own eyes; take name, root, port and keys from it. INVALID after its
// mistakes were printed.
enum reeve_err up_config_read(struct up *up, struct reeve_why *why);
enum reeve_err up_config_write(const struct up *up, struct reeve_why *why); // DIR/node.yaml
// Before a `reload` of a site's own node: DIR/node.yaml anew from the user's file as it is now. *ret_old gets what was
// there before, for up_config_restore(); the caller frees it. OK without doing anything when the site has no --config.
struct site;
enum reeve_err up_config_refresh(const struct invocation *inv, const struct site *site, char **ret_old,
                                 struct reeve_why *why);
enum reeve_err up_config_restore(const struct site *site, const char *old, struct reeve_why *why);

// up_manager.c
#define UP_MANAGER_WORKER "manager" // name of the worker
#define UP_MANAGER_NAME   "main"    // of the manager itself, in topics
bool up_has_manager(const struct up *up);
struct reeve_value *up_manager_worker(const struct up *up); // its spec; NULL out of memory
// DIR/manager.yaml from the `manager` section of the user's file, checked by reeve-manager itself. *ret_changed (NULL
// allowed): it says something else than before.
enum reeve_err up_manager_write(const struct up *up, bool *ret_changed, struct reeve_why *why);

// up_files.c
extern const char *const up_roles[]; // NULL-terminated
enum reeve_err up_find_bin_dir(struct up *up, struct reeve_why *why);
// The first line of a file in DIR; false when there is none that fits.
bool up_read_word(const struct up *up, const char *below, char *ret, size_t ret_len);
const char *up_path(const struct up *up, const char *below, char buf[PATH_MAX]);
enum reeve_err up_make_dirs(struct up *up, struct reeve_why *why); // and takes the lock
enum reeve_err up_choose_node(struct up *up, struct reeve_why *why);
enum reeve_err up_choose_port(struct up *up, bool another, struct reeve_why *why);
enum reeve_err up_write_credentials(const struct up *up, struct reeve_why *why);
enum reeve_err up_write_broker(const struct up *up, struct reeve_why *why);
enum reeve_err up_read_password(const struct up *up, const char *user, struct reeve_buf *ret, struct reeve_why *why);
enum reeve_err up_write_site(const struct up *up, struct reeve_why *why);
void up_remove_site(const struct up *up);
// Programs: all that are needed are there, or NOENT with the package to install. Without reeve-manager: no manager,
// said.
enum reeve_err up_check_programs(struct up *up, struct reeve_why *why);
// The daemon of an earlier `up` here may still be on its way out.
enum reeve_err up_await_former(const struct up *up, struct reeve_why *why);

// up_daemon.c: the node daemon as a child on a loop. Its stderr goes to DIR/reeved.log; warnings and errors to ours,
// too.
struct up_daemon {
    const struct up *up;
    uv_loop_t *loop;
    pid_t pid; // 0 = none
    int pid_fd;
    uv_poll_t watch; // of pid_fd
    uv_pipe_t log;
    bool watching, reading;
    char line[4096];
    size_t line_len;
    FILE *file;
    long file_len;
    int status;   // of wait(), when it has ended
    bool settled; // the site answers: from now on warnings are news. Before, that the broker is not there yet is none
    void (*ended)(struct up_daemon *daemon, void *arg);
    void *arg;
};
enum reeve_err up_daemon_start(struct up_daemon *daemon, struct reeve_why *why);
void up_daemon_signal(const struct up_daemon *daemon, int signal);
void up_daemon_done(struct up_daemon *daemon); // after it has ended
// argv, run to its end; its exit code, -1 when it could not be started. Output to /dev/null unless `keep_stderr`.
int up_run(const char *const *argv, bool keep_stderr);

#endif
