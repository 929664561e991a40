// The private site: its files and its processes.
// Must not: use a fixed port, another site's files, or settings other than those a site is installed with.
#include "site.h"
#include "child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TEMPLATE_MAX  (256u << 10)
#define BROKER_MS     10000 // until Mosquitto listens
#define LEAVE_MS      20000 // until reeved has stopped all workers
#define POLL_NS       10000000
#define PORT_TRIES    5 // Mosquitto can't bind 0: somebody may take the port between asking and binding
#define MOSQUITTO     "/usr/sbin/mosquitto"
#define MOSQUITTO_PWD "/usr/bin/mosquitto_passwd"

static const char *const usernames[SITE_USER_COUNT] = {"admin",  SITE_NODE,   "worker",  "manager",
                                                       "viewer", "simulated", "producer"};

const char *site_username(enum site_user user)
{
    return usernames[user];
}

const char *site_path(const struct site *site, const char *leaf, char buf[SITE_PATH_SIZE])
{
    (void)snprintf(buf, SITE_PATH_SIZE, "%s/%s", site->dir, leaf);
    return buf;
}

const char *site_program(const struct site *site, const char *name, char buf[SITE_PATH_SIZE])
{
    (void)snprintf(buf, SITE_PATH_SIZE, "%s/%s", site->bin_dir, name);
    return buf;
}

// ---- files --------------------------------------------------------------------------------------------------

struct mark {
    const char *name; // @NAME@
    const char *value;
};

static const struct mark *mark_at(const char *text, const struct mark *marks)
{
    const struct mark *mark = marks;
    while (mark->name != NULL && strncmp(text, mark->name, strlen(mark->name)) != 0) {
        mark++;
    }
    return mark->name != NULL ? mark : NULL;
}

static void fill(const char *text, const struct mark *marks, struct reeve_buf *out)
{
    while (*text != '\0') {
        const struct mark *mark = *text == '@' ? mark_at(text, marks) : NULL;
        if (mark != NULL) {
            reeve_buf_puts(out, mark->value);
            text += strlen(mark->name);
        } else {
            reeve_buf_append(out, text++, 1);
        }
    }
}

static enum reeve_err write_file(const struct site *site, const char *leaf, const struct reeve_buf *text,
                                 struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    if (text->err != REEVE_OK) {
        return reeve_fail(why, text->err, "out of memory");
    }
    return reeve_file_write_atomic(site_path(site, leaf, path), text->data, text->len, 0600, why);
}

// What all nodes and workers may do together: one process plays them all.
static const char simulated_rules[] = "\nuser simulated\n"
                                      "topic read @ROOT@/node/+/cmd/+\n"
                                      "topic read @ROOT@/node/+/status\n"
                                      "topic read @ROOT@/node/+/lwt\n"
                                      "topic read @ROOT@/worker/+/+/cmd/+\n"
                                      "topic read @ROOT@/worker/+/+/process\n"
                                      "topic read @ROOT@/worker/+/+/status\n"
                                      "topic read @ROOT@/worker/+/+/lwt\n"
                                      "topic write @ROOT@/node/+/status\n"
                                      "topic write @ROOT@/node/+/lwt\n"
                                      "topic write @ROOT@/node/+/metrics\n"
                                      "topic write @ROOT@/worker/+/+/process\n"
                                      "topic write @ROOT@/worker/+/+/status\n"
                                      "topic write @ROOT@/worker/+/+/lwt\n"
                                      "topic write @ROOT@/reply/+/+\n";

static enum reeve_err write_template(const struct site *site, const char *name, const char *leaf, const char *more,
                                     struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    char port[16];
    const struct passwd *user = getpwuid(geteuid());
    REEVE_BUF_AUTO template = REEVE_BUF_INIT(TEMPLATE_MAX);
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(2 * TEMPLATE_MAX);
    (void)snprintf(port, sizeof(port), "%d", site->port);
    (void)snprintf(path, sizeof(path), "%s/../share/reeve/broker-config/%s", site->bin_dir, name);
    const struct mark marks[] = {{"@PORT@", port},
                                 {"@DIR@", site->dir},
                                 {"@ROOT@", SITE_ROOT},
                                 {"@NODE@", SITE_NODE},
                                 {"@USER@", user != NULL ? user->pw_name : "root"},
                                 {NULL, NULL}};
    enum reeve_err err = reeve_file_read(path, TEMPLATE_MAX, &template, why);
    if (err == REEVE_OK) {
        fill(reeve_buf_str(&template), marks, &text);
        fill(more, marks, &text);
        err = write_file(site, leaf, &text, why);
    }
    return err;
}

static enum reeve_err write_passwords(struct site *site, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(4096);
    for (int user = 0; user < SITE_USER_COUNT; user++) {
        (void)reeve_hex_random(site->passwords[user], PASSWORD_LEN);
        reeve_buf_printf(&text, "%s:%s\n", usernames[user], site->passwords[user]);
    }
    enum reeve_err err = write_file(site, "passwords", &text, why);
    const char *const argv[] = {MOSQUITTO_PWD, "-U", site_path(site, "passwords", path), NULL};
    return err == REEVE_OK ? child_run(argv, NULL, STDERR_FILENO, why) : err;
}

enum reeve_err site_write_json(const struct site *site, const char *leaf, const struct reeve_value *value,
                               struct reeve_why *why)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(TEMPLATE_MAX);
    enum reeve_err err = reeve_value_built(value);
    if (err == REEVE_OK) {
        err = reeve_json_write(value, REEVE_JSON_PRETTY, &text);
    }
    return err == REEVE_OK ? write_file(site, leaf, &text, why) : reeve_fail(why, err, "out of memory");
}

void site_put_broker(struct reeve_value *config, const char *key, const struct site *site, enum site_user user)
{
    char url[64];
    struct reeve_value *broker = reeve_value_map();
    (void)snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d", site->port);
    reeve_put_str(broker, "url", url);
    reeve_put_str(broker, "username", usernames[user]);
    reeve_put_str(broker, "password", site->passwords[user]);
    (void)reeve_value_put(config, key, broker); // reeve_value_built()
}

static enum reeve_err write_node(const struct site *site, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    REEVE_VALUE_AUTO config = reeve_value_map();
    struct reeve_value *node = reeve_value_map();
    reeve_put_str(node, "name", SITE_NODE);
    reeve_put_str(node, "root", SITE_ROOT);
    reeve_put_str(node, "state_dir", site_path(site, "state", path));
    reeve_put_str(node, "on_exit", "stop");
    (void)reeve_value_put(config, "node", node); // reeve_value_built()
    site_put_broker(config, "broker", site, SITE_DAEMON);
    site_put_broker(config, "worker_broker", site, SITE_WORKER);
    return site_write_json(site, "node.json", config, why);
}

// What `reeve --site DIR` reads.
static enum reeve_err write_site(const struct site *site, struct reeve_why *why)
{
    REEVE_VALUE_AUTO json = reeve_value_map();
    struct reeve_value *broker = reeve_value_map();
    struct reeve_value *users = reeve_value_map();
    struct reeve_value *admin = reeve_value_map();
    reeve_put_str(broker, "host", "127.0.0.1");
    reeve_put_int(broker, "port", site->port);
    reeve_put_str(admin, "username", usernames[SITE_ADMIN]);
    reeve_put_str(admin, "password", site->passwords[SITE_ADMIN]);
    (void)reeve_value_put(users, "admin", admin);  // reeve_value_built()
    (void)reeve_value_put(json, "broker", broker); // as above
    (void)reeve_value_put(json, "users", users);   // as above
    reeve_put_str(json, "root", SITE_ROOT);
    reeve_put_str(json, "node", SITE_NODE);
    return site_write_json(site, "site.json", json, why);
}

static enum reeve_err write_files(struct site *site, struct reeve_why *why)
{
    enum reeve_err err = write_template(site, "mosquitto.conf.in", "mosquitto.conf", "", why);
    if (err == REEVE_OK) {
        err = write_template(site, "acl.in", "acl", simulated_rules, why);
    }
    if (err == REEVE_OK) {
        err = write_passwords(site, why);
    }
    if (err == REEVE_OK) {
        err = write_node(site, why);
    }
    return err == REEVE_OK ? write_site(site, why) : err;
}

// ---- processes ----------------------------------------------------------------------------------------------

static int loopback(struct sockaddr_in *address, int port)
{
    *address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int free_port(void)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    int fd = loopback(&address, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    (void)close(fd); // nothing was written
    return bound ? ntohs(address.sin_port) : -1;
}

static bool answers(int port)
{
    struct sockaddr_in address;
    int fd = loopback(&address, port);
    bool good = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd); // nothing was written
    return good;
}

enum reeve_err site_start_program(const struct site *site, const char *const argv[], int in_fd, const char *log_leaf,
                                  pid_t *ret, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    int log_fd = open(site_path(site, log_leaf, path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        return reeve_fail_errno(why, "%s", path);
    }
    enum reeve_err err = child_start(argv, in_fd, log_fd, log_fd, ret, why);
    (void)close(log_fd); // the child's now
    return err;
}

static enum reeve_err try_broker(struct site *site, struct reeve_why *why)
{
    char path[SITE_PATH_SIZE];
    site->port = free_port();
    enum reeve_err err = write_files(site, why);
    if (err == REEVE_OK) {
        const char *const argv[] = {MOSQUITTO, "-c", site_path(site, "mosquitto.conf", path), NULL};
        err = site_start_program(site, argv, -1, "broker.log", &site->broker, why);
    }
    int64_t deadline_mono = reeve_clock_mono_ms() + BROKER_MS;
    while (err == REEVE_OK && !answers(site->port)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL); // a wait with a deadline, not timed
        if (reeve_clock_mono_ms() > deadline_mono) {
            return reeve_fail(why, REEVE_TIMEOUT, "mosquitto does not listen on port %d", site->port);
        }
    }
    return err;
}

enum reeve_err site_start(struct site *site, const char *parent, struct reeve_why *why)
{
    (void)snprintf(site->dir, sizeof(site->dir), "%.3000s/reeve-bench-XXXXXX", parent);
    if (mkdtemp(site->dir) == NULL) {
        site->dir[0] = '\0';
        return reeve_fail_errno(why, "a folder below %s", parent);
    }
    enum reeve_err err = REEVE_TIMEOUT;
    for (int i = 0; i < PORT_TRIES && err == REEVE_TIMEOUT; i++) {
        child_stop(&site->broker, 0);
        err = try_broker(site, why);
    }
    return err;
}

enum reeve_err site_start_daemon(struct site *site, struct reeve_why *why)
{
    char config[SITE_PATH_SIZE], program[SITE_PATH_SIZE];
    const char *const argv[] = {site_program(site, "reeved", program),
                                "--config",
                                site_path(site, "node.json", config),
                                "--log-level",
                                "warning",
                                NULL};
    return site_start_program(site, argv, -1, "reeved.log", &site->daemon, why);
}

void site_stop(struct site *site)
{
    child_stop(&site->daemon, LEAVE_MS);
    child_stop(&site->broker, LEAVE_MS);
    if (site->dir[0] != '\0') {
        (void)reeve_dir_remove(site->dir, NULL); // nothing more can be done about it
    }
    explicit_bzero(site->passwords, sizeof(site->passwords));
}
