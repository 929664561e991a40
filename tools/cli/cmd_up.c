// `reeve up`: a whole site on one machine, in the foreground. The broker is a worker of the node daemon; the daemon is our
// child. Files first (up_files.c), then the daemon, then proof that the site answers, then waiting for a signal.
// Must not: supervise anything itself: when the daemon ends, so do we.
#include "commands.h"
#include "output.h"
#include "session.h"
#include "up_files.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/log.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_PRESET_MS 30000
#define LEAVE_MS 120000 // far longer than the workers' grace times: reeved has its own, shorter deadline
#define LOG_TAIL 2000

struct up {
    struct up_site site;
    int lock_fd;
    pid_t daemon;
    bool daemon_ended;
    int daemon_status;
    sigset_t signals; // blocked, and taken by sigtimedwait
    int64_t deadline_mono;
};

// ---- options ------------------------------------------------------------------------------------------------

static enum reeve_err own_bin_dir(char buf[PATH_MAX], struct reeve_why *why)
{
    ssize_t len = readlink("/proc/self/exe", buf, PATH_MAX - 1);
    if (len <= 0) {
        return reeve_fail_errno(why, "/proc/self/exe");
    }
    buf[len] = '\0';
    char *slash = strrchr(buf, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    return REEVE_OK;
}

static enum reeve_err read_port(const struct invocation *inv, int *ret_port, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_PORT);
    int64_t port = -1;
    if (text != NULL && (reeve_parse_i64(text, &port, NULL) != REEVE_OK || port < 0 || port > 65535)) {
        return reeve_fail(why, REEVE_INVALID, "--port: '%.40s' given, expected 0 to 65535", text);
    }
    *ret_port = (int)port;
    return REEVE_OK;
}

static enum reeve_err read_config_path(const struct invocation *inv, char buf[PATH_MAX], struct reeve_why *why)
{
    const char *path = opt_value(inv, OPT_CONFIG);
    buf[0] = '\0';
    if (path != NULL && realpath(path, buf) == NULL) {
        (void)reeve_fail_errno(why, "--config %.300s", path);
        return REEVE_INVALID;
    }
    return REEVE_OK;
}

static enum reeve_err read_options(const struct invocation *inv, struct up *up, struct reeve_why *why)
{
    const char *dir = opt_value(inv, OPT_DIR) != NULL ? opt_value(inv, OPT_DIR) : opt_value(inv, OPT_SITE);
    const char *root = opt_value(inv, OPT_ROOT) != NULL ? opt_value(inv, OPT_ROOT) : REEVE_ROOT_PRESET;
    const char *node = opt_value(inv, OPT_NAME);
    int64_t timeout_ms;
    enum reeve_err err = site_timeout(inv, START_PRESET_MS, &timeout_ms, why);
    if (err == REEVE_OK) {
        err = site_dir(dir, up->site.dir, why);
    }
    if (err == REEVE_OK) {
        err = read_port(inv, &up->site.port, why);
    }
    if (err == REEVE_OK) {
        err = read_config_path(inv, up->site.config, why);
    }
    if (err == REEVE_OK) {
        err = reeve_root_check(root, why);
    }
    if (err == REEVE_OK && node != NULL) {
        err = reeve_name_check(node, why);
    }
    if (err == REEVE_OK) {
        err = own_bin_dir(up->site.bin_dir, why);
    }
    (void)snprintf(up->site.root, sizeof up->site.root, "%s", root);
    (void)snprintf(up->site.node, sizeof up->site.node, "%s", node != NULL ? node : "");
    up->deadline_mono = reeve_clock_mono_ms() + timeout_ms;
    return err;
}

// ---- one at a time in a folder --------------------------------------------------------------------------------

static enum reeve_err take_lock(struct up *up, struct reeve_why *why)
{
    char path[PATH_MAX + 16];
    char pid[32] = "";
    enum reeve_err err = reeve_dir_make(up->site.dir, 0700, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(path, sizeof path, "%s/up.lock", up->site.dir);
    up->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (up->lock_fd < 0) {
        return reeve_fail_errno(why, "%s", path);
    }
    if (flock(up->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t len = read(up->lock_fd, pid, sizeof pid - 1);
        return reeve_fail(why, REEVE_CONFLICT, "the site in %.200s is already up (pid %.*s)", up->site.dir,
                          len > 0 ? (int)len : 1, len > 0 ? pid : "?");
    }
    int len = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(up->lock_fd, 0) != 0 || write(up->lock_fd, pid, (size_t)len) != len) {
        return reeve_fail_errno(why, "%s", path);
    }
    return REEVE_OK;
}

// ---- children -------------------------------------------------------------------------------------------------

_Noreturn static void run_child(const struct up *up, char *const *argv, int log_fd)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); // a site without its `reeve up` leaves in order
    (void)setpgid(0, 0);                    // Ctrl-C is ours to pass on
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        (log_fd >= 0 && (dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0))) {
        _exit(126);
    }
    char path[PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/reeved", up->site.bin_dir);
    execv(path, argv);
    (void)fprintf(stderr, "reeve: %s can't be started: %m\n", path);
    _exit(127);
}

// The person's file first, by itself: what is wrong with it is said with its own places, and nothing is started.
static bool config_is_good(const struct up *up)
{
    char config[PATH_MAX];
    if (up->site.config[0] == '\0') {
        return true;
    }
    (void)snprintf(config, sizeof config, "%s", up->site.config);
    char *const argv[] = {(char[]){"reeved"}, (char[]){"--check"}, (char[]){"--config"}, config, NULL};
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(null_fd, STDOUT_FILENO); // "ok" is not news here
        run_child(up, argv, -1);
    }
    int status = -1;
    bool waited = pid > 0 && waitpid(pid, &status, 0) == pid;
    close(null_fd);
    return waited && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static enum reeve_err start_daemon(struct up *up, struct reeve_why *why)
{
    char log_path[PATH_MAX + 16];
    char config[PATH_MAX + 16];
    (void)snprintf(log_path, sizeof log_path, "%s/reeved.log", up->site.dir);
    (void)snprintf(config, sizeof config, "%s/node.json", up->site.dir);
    int log_fd = open(log_path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0) {
        return reeve_fail_errno(why, "%s", log_path);
    }
    char *const argv[] = {(char[]){"reeved"}, (char[]){"--config"}, config, NULL};
    up->daemon = fork();
    if (up->daemon == 0) {
        run_child(up, argv, log_fd);
    }
    close(log_fd);
    return up->daemon > 0 ? REEVE_OK : reeve_fail_errno(why, "fork");
}

static bool daemon_is_there(struct up *up)
{
    if (!up->daemon_ended && up->daemon > 0) {
        up->daemon_ended = waitpid(up->daemon, &up->daemon_status, WNOHANG) == up->daemon;
    }
    return up->daemon > 0 && !up->daemon_ended;
}

// The next of SIGINT, SIGTERM, SIGHUP, SIGCHLD; 0 when none came in time. ms < 0 = for ever.
static int next_signal(const struct up *up, int64_t ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int signal = ms < 0 ? sigwaitinfo(&up->signals, NULL) : sigtimedwait(&up->signals, NULL, &time);
    return signal > 0 ? signal : 0;
}

static bool is_end(int signal)
{
    return signal == SIGINT || signal == SIGTERM;
}

static void stop_daemon(struct up *up)
{
    int64_t deadline = reeve_clock_mono_ms() + LEAVE_MS;
    if (daemon_is_there(up)) {
        (void)kill(up->daemon, SIGTERM);
    }
    while (daemon_is_there(up) && reeve_clock_mono_ms() < deadline) {
        if (is_end(next_signal(up, 200))) {
            (void)kill(up->daemon, SIGTERM); // the second one hastens
        }
    }
    if (daemon_is_there(up)) {
        output_note("reeved (pid %d) does not end; it was told to", (int)up->daemon);
    }
}

// ---- proof that the site answers ---------------------------------------------------------------------------------

static bool port_accepts(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static enum reeve_err ended_early(const struct up *up, struct reeve_why *why)
{
    return reeve_fail(why, REEVE_CONFLICT, "reeved ended with %s %d while the site was starting; its log is %.200s/reeved.log",
                      WIFEXITED(up->daemon_status) ? "exit code" : "signal",
                      WIFEXITED(up->daemon_status) ? WEXITSTATUS(up->daemon_status) : WTERMSIG(up->daemon_status),
                      up->site.dir);
}

static enum reeve_err wait_for_broker(struct up *up, struct reeve_why *why)
{
    while (!port_accepts(up->site.port)) {
        if (!daemon_is_there(up)) {
            return ended_early(up, why);
        }
        if (reeve_clock_mono_ms() > up->deadline_mono) {
            return reeve_fail(why, REEVE_TIMEOUT, "the broker does not listen on port %d; %.200s/state/logs/broker/current says why",
                              up->site.port, up->site.dir);
        }
        if (is_end(next_signal(up, 20))) {
            return reeve_fail(why, REEVE_CANCELLED, "interrupted");
        }
    }
    return REEVE_OK;
}

struct node_watch {
    pid_t daemon;
    bool online;
};

static void on_node_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct node_watch *watch = arg;
    REEVE_VALUE_AUTO status = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &status, NULL) == REEVE_OK &&
        reeve_get_int(status, "pid", 0) == watch->daemon && reeve_get_str(status, "state") != NULL) {
        watch->online = strcmp(reeve_get_str(status, "state"), "offline") != 0;
    }
}

static bool node_is_online(void *arg)
{
    return ((const struct node_watch *)arg)->online;
}

static enum reeve_err wait_for_node(struct up *up, struct reeve_why *why)
{
    char path[PATH_MAX + 16];
    char topic[REEVE_TOPIC_SIZE];
    struct node_watch watch = {.daemon = up->daemon};
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(64u << 10);
    SITE_AUTO site = {.timeout_ms = START_PRESET_MS};
    (void)snprintf(path, sizeof path, "%s/site.json", up->site.dir);
    enum reeve_err err = reeve_file_read_secret(path, 64u << 10, &text, why);
    if (err == REEVE_OK) {
        err = site_from_json(reeve_buf_str(&text), text.len, path, NULL, &site, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    (void)snprintf(site.client, sizeof site.client, "admin");
    SESSION_AUTO session = {0};
    err = session_init(&session, &site, why);
    if (err == REEVE_OK) {
        (void)reeve_topic_make(topic, up->site.root, "node/%s/status", up->site.node);
        err = reeve_bus_subscribe(session.bus, topic, 1, 0, on_node_status, &watch, why);
    }
    if (err == REEVE_OK) {
        err = session_open(&session, why);
    }
    if (err == REEVE_OK) {
        err = session_run(&session, node_is_online, &watch, up->deadline_mono, why);
    }
    return err;
}

// site.json is what our own check reads as well: written first, taken back when the site does not answer.
static enum reeve_err bring_up(struct up *up, struct reeve_why *why)
{
    enum reeve_err err = up_files_write(&up->site, why);
    if (err == REEVE_OK) {
        err = start_daemon(up, why);
    }
    if (err == REEVE_OK) {
        err = wait_for_broker(up, why);
    }
    if (err == REEVE_OK) {
        err = up_site_json_write(&up->site, why);
    }
    if (err == REEVE_OK) {
        err = wait_for_node(up, why);
    }
    return err;
}

// ---- the foreground --------------------------------------------------------------------------------------------------

static void greet(const struct up *up)
{
    char preset[PATH_MAX];
    bool is_preset = site_dir_preset(preset, NULL) == REEVE_OK && strcmp(preset, up->site.dir) == 0;
    char option[PATH_MAX + 16] = "";
    if (!is_preset) {
        (void)snprintf(option, sizeof option, " --site %s", up->site.dir);
    }
    (void)printf("site ready\n"
                 "  node      %s\n"
                 "  broker    mqtt://127.0.0.1:%d (users and passwords in %s/site.json)\n"
                 "  topics    %s/...\n"
                 "  logs      %s/reeved.log\n"
                 "\n"
                 "  reeve%s ls\n"
                 "  reeve%s top\n"
                 "  reeve%s apply -f worker.yaml\n"
                 "\n"
                 "Ctrl-C stops the site.\n",
                 up->site.node, up->site.port, up->site.dir, up->site.root, up->site.dir, option, option, option);
    (void)fflush(stdout);
}

static int stay(struct up *up, const struct invocation *inv)
{
    for (;;) {
        int signal = next_signal(up, -1);
        if (signal == SIGHUP) {
            (void)kill(up->daemon, SIGHUP);
        } else if (is_end(signal)) {
            return EXIT_DONE;
        } else if (!daemon_is_there(up)) {
            int code = WIFEXITED(up->daemon_status) ? WEXITSTATUS(up->daemon_status) : 128 + WTERMSIG(up->daemon_status);
            if (code == 0) {
                return EXIT_DONE; // told to by a command
            }
            return output_fail(inv, EXIT_REFUSED, "reeved ended with %d; %s/reeved.log says why", code, up->site.dir);
        }
    }
}

static void show_log_tail(const struct up *up)
{
    char path[PATH_MAX + 16];
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(LOG_TAIL + 1);
    (void)snprintf(path, sizeof path, "%s/reeved.log", up->site.dir);
    if (reeve_file_read_tail(path, LOG_TAIL, &text, NULL) == REEVE_OK && text.len > 0) {
        (void)fprintf(stderr, "%s", reeve_buf_str(&text));
    }
}

static int run(struct up *up, const struct invocation *inv)
{
    struct reeve_why why = {0};
    enum reeve_err err = bring_up(up, &why);
    if (err == REEVE_CANCELLED) {
        return EXIT_REFUSED;
    }
    if (err != REEVE_OK) {
        show_log_tail(up);
        return output_fail_why(inv, err, &why);
    }
    greet(up);
    return stay(up, inv);
}

static enum reeve_err find_mosquitto(struct reeve_why *why)
{
    if (access("/usr/sbin/mosquitto", X_OK) == 0) {
        return REEVE_OK;
    }
    return reeve_fail(why, REEVE_NOENT, "/usr/sbin/mosquitto is not there: a site needs a broker (package mosquitto)");
}

static void block_signals(struct up *up)
{
    sigemptyset(&up->signals);
    sigaddset(&up->signals, SIGINT);
    sigaddset(&up->signals, SIGTERM);
    sigaddset(&up->signals, SIGHUP);
    sigaddset(&up->signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &up->signals, NULL);
}

int cmd_up(const struct invocation *inv)
{
    struct up *up = calloc(1, sizeof *up);
    struct reeve_why why = {0};
    if (up == NULL) {
        return output_fail(inv, EXIT_REFUSED, "out of memory");
    }
    up->lock_fd = -1;
    block_signals(up);
    enum reeve_err err = read_options(inv, up, &why);
    int exit_code = EXIT_USAGE;
    if (err == REEVE_OK) {
        err = find_mosquitto(&why);
    }
    if (err == REEVE_OK && !config_is_good(up)) {
        up_site_done(&up->site);
        free(up);
        return EXIT_USAGE; // reeved has said why
    }
    if (err == REEVE_OK) {
        err = take_lock(up, &why);
    }
    if (err == REEVE_OK) {
        err = up_files_prepare(&up->site, &why);
    }
    if (err == REEVE_OK) {
        exit_code = run(up, inv);
        up_site_json_remove(&up->site);
        stop_daemon(up);
    } else {
        exit_code = output_fail_why(inv, err, &why);
    }
    if (up->lock_fd >= 0) {
        close(up->lock_fd);
    }
    up_site_done(&up->site);
    free(up);
    return exit_code;
}
