// up: a site in the foreground. Files, daemon, wait until it answers, tell, stay, and stop in order.
// Must not: return while something of the site still runs, unless it says so.
#include "commands.h"
#include "output.h"
#include "site.h"
#include "until.h"
#include "up.h"

#include <errno.h>
#include <reeve/clock.h>
#include <reeve/codec.h>
#include <reeve/log.h>
#include <reeve/presence.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_PRESET_MS 60000  // a first start on a slow machine, with a worker or two
#define PORT_RETRY_MS   8000   // a broker that took its port answers far earlier
#define MANAGER_MS      10000  // a manager answers within a second; without one the site is still of use
#define LEAVE_MS        120000 // the sum of what stopping workers may take, grace times and all
#define RESTART_MIN_MS  200    // of a daemon that died
#define RESTART_MAX_MS  10000
#define HEALTHY_MS      60000

struct upping {
    struct up up;
    uv_loop_t loop;
    struct reeve_signals *signals;
    struct until until;
    struct reeve_timer timer;
    bool timer_fired;
    struct up_daemon daemon;
    bool daemon_ended;
    int signal; // that asked us to leave; 0
    bool signal_again;
    // while waiting for the first answer:
    struct reeve_bus *bus;
    struct reeve_broker broker;
    enum { AWAITS_NOBODY, AWAITS_NODE, AWAITS_MANAGER } awaits;
    bool node_there, manager_there, bus_stopped;
    int64_t began_at; // wall: a status of before is of an earlier manager
};

// ---- the loop, turned from outside ----------------------------------------------------------------------------

static void on_signal(int number, void *arg)
{
    struct upping *upping = arg;
    if (number == SIGHUP) { // of a terminal that closes; with nohup it does not come
        number = SIGTERM;
    }
    upping->signal_again = upping->signal != 0;
    upping->signal = number;
}

static void on_timer(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    ((struct upping *)arg)->timer_fired = true;
}

static void on_daemon_ended(struct up_daemon *daemon, void *arg)
{
    (void)daemon;
    ((struct upping *)arg)->daemon_ended = true;
}

static bool has_answered(const struct upping *upping)
{
    return upping->awaits == AWAITS_NODE ? upping->node_there
                                         : upping->awaits == AWAITS_MANAGER && upping->manager_there;
}

static bool something_happened(void *arg)
{
    const struct upping *upping = arg;
    return upping->signal != 0 || upping->daemon_ended || has_answered(upping) || upping->timer_fired;
}

// Until something happened: a signal, the daemon's end, the answer, the time (0 = none).
static void await(struct upping *upping, int64_t timeout_ms)
{
    upping->timer_fired = false;
    if (timeout_ms > 0) {
        reeve_timer_start(&upping->timer, timeout_ms, 0);
    }
    until_run(&upping->until, something_happened, upping);
    reeve_timer_stop(&upping->timer);
}

// ---- the first answer -------------------------------------------------------------------------------------------

// Of this start: its pid says so, an older retained status has another.
static void on_status(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct upping *upping = arg;
    REEVE_VALUE_AUTO status = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &status, NULL) !=
        REEVE_OK) {
        return;
    }
    const char *state = reeve_get_str(status, "state");
    bool there = state != NULL && strcmp(state, "offline") != 0;
    if (there && reeve_get_int(status, "pid", 0) == upping->daemon.pid) {
        upping->node_there = true;
    }
}

static void on_manager(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)bus;
    struct upping *upping = arg;
    REEVE_VALUE_AUTO status = NULL;
    if (reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, NULL, &status, NULL) !=
        REEVE_OK) {
        return;
    }
    const char *state = reeve_get_str(status, "state");
    bool there = state != NULL && strcmp(state, "offline") != 0;
    upping->manager_there |= there && reeve_get_int(status, "at", 0) >= upping->began_at;
}

static void on_stopped(struct reeve_bus *bus, void *arg)
{
    (void)bus;
    ((struct upping *)arg)->bus_stopped = true;
}

static bool bus_has_stopped(void *arg)
{
    return ((const struct upping *)arg)->bus_stopped;
}

static void bus_end(struct upping *upping)
{
    if (upping->bus != NULL) {
        upping->bus_stopped = false;
        reeve_bus_stop(upping->bus, 1000, on_stopped, upping);
        until_run(&upping->until, bus_has_stopped, upping); // the deadline of the stop ends it
        reeve_bus_free(upping->bus);
        upping->bus = NULL;
    }
    free(upping->broker.url);
    free(upping->broker.password_file);
    upping->broker = (struct reeve_broker){0};
}

static enum reeve_err bus_begin(struct upping *upping, struct reeve_why *why)
{
    char url[64];
    char path[PATH_MAX];
    char filter[REEVE_TOPIC_SIZE];
    (void)snprintf(url, sizeof url, "mqtt://127.0.0.1:%d", (int)upping->up.port);
    upping->broker = (struct reeve_broker){.url = strdup(url),
                                           .username = (char *)(uintptr_t) "admin", // only read
                                           .password_file = strdup(up_path(&upping->up, "credentials/admin", path))};
    const struct reeve_bus_options options = {
        .loop = &upping->loop, .broker = &upping->broker, .root = upping->up.root, .client = "admin"};
    if (upping->broker.url == NULL || upping->broker.password_file == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    enum reeve_err err = reeve_bus_new(&options, &upping->bus, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)reeve_topic_make(filter, upping->up.root, "node/%s/status", upping->up.node);
    err = reeve_bus_subscribe(upping->bus, filter, 1, 0, on_status, upping, why);
    if (err == REEVE_OK && up_has_manager(&upping->up)) {
        (void)reeve_topic_make(filter, upping->up.root, "manager/%s/status", UP_MANAGER_NAME);
        err = reeve_bus_subscribe(upping->bus, filter, 1, 0, on_manager, upping, why);
    }
    if (err == REEVE_OK) {
        reeve_bus_start(upping->bus);
    }
    return err;
}

// ---- starting ---------------------------------------------------------------------------------------------------

static enum reeve_err write_files(struct upping *upping, struct reeve_why *why)
{
    enum reeve_err err = up_write_broker(&upping->up, why);
    if (err == REEVE_OK && up_has_manager(&upping->up)) {
        err = up_manager_write(&upping->up, NULL, why);
    }
    return err == REEVE_OK ? up_config_write(&upping->up, why) : err;
}

// The last lines of what the daemon or the broker wrote, for who has to find out.
static void show_tail(const struct upping *upping)
{
    char path[PATH_MAX];
    output_note("what was written stands in %s", up_path(&upping->up, "reeved.log", path));
}

static enum reeve_err not_ready(struct upping *upping, struct reeve_why *why)
{
    int status = upping->daemon.status;
    if (upping->signal != 0) {
        return reeve_fail(why, REEVE_CANCELLED, "interrupted before the site answered");
    }
    show_tail(upping);
    if (upping->daemon_ended && WIFEXITED(status)) {
        return reeve_fail(why, REEVE_IO, "the node daemon ended with code %d", WEXITSTATUS(status));
    }
    if (upping->daemon_ended) {
        return reeve_fail(why, REEVE_IO, "the node daemon was ended by signal %d", WTERMSIG(status));
    }
    return reeve_fail(why, REEVE_TIMEOUT, "the site does not answer");
}

static void leave(struct upping *upping);

// A site whose manager does not come is still one: its workers run, and a store that can't be read wants a person.
static void await_manager(struct upping *upping)
{
    if (!up_has_manager(&upping->up)) {
        return;
    }
    upping->awaits = AWAITS_MANAGER;
    await(upping, MANAGER_MS);
    if (!upping->manager_there && upping->signal == 0 && !upping->daemon_ended) {
        output_note("the manager does not answer; `reeve logs %s` tells why. The site goes on without it",
                    UP_MANAGER_WORKER);
    }
}

// One start of the daemon, until the site answers.
static enum reeve_err start_once(struct upping *upping, int64_t timeout_ms, struct reeve_why *why)
{
    upping->node_there = upping->manager_there = upping->daemon_ended = false;
    upping->began_at = reeve_clock_wall_ms();
    upping->awaits = AWAITS_NODE;
    enum reeve_err err = write_files(upping, why);
    if (err == REEVE_OK) {
        err = up_daemon_start(&upping->daemon, why);
    }
    if (err == REEVE_OK) {
        err = bus_begin(upping, why);
    }
    if (err == REEVE_OK) {
        await(upping, timeout_ms);
    }
    if (err == REEVE_OK && upping->node_there) {
        await_manager(upping);
    }
    upping->awaits = AWAITS_NOBODY;
    bus_end(upping);
    return err == REEVE_OK && (!upping->node_there || upping->daemon_ended) ? not_ready(upping, why) : err;
}

// A port that was free when it was chosen may be taken when the broker wants it. Once is bad luck.
static enum reeve_err start(struct upping *upping, struct reeve_why *why)
{
    int64_t timeout_ms;
    enum reeve_err err = site_timeout(upping->up.inv, READY_PRESET_MS, &timeout_ms, why);
    if (err != REEVE_OK) {
        return err;
    }
    bool may_retry = upping->up.port_chosen;
    err = start_once(upping, may_retry && timeout_ms > PORT_RETRY_MS ? PORT_RETRY_MS : timeout_ms, why);
    if (err != REEVE_TIMEOUT || !may_retry) {
        return err;
    }
    output_note("no answer on port %d: trying another", (int)upping->up.port);
    leave(upping);
    err = up_choose_port(&upping->up, true, why);
    return err == REEVE_OK ? start_once(upping, timeout_ms, why) : err;
}

// ---- leaving ----------------------------------------------------------------------------------------------------

static bool left_or_asked_again(void *arg)
{
    const struct upping *upping = arg;
    return upping->timer_fired || upping->signal_again || upping->daemon.pid <= 0;
}

// SIGTERM to the daemon, which stops its workers, the broker last. It is never killed: that would leave them running.
static void leave(struct upping *upping)
{
    int64_t end_mono = reeve_clock_mono_ms() + LEAVE_MS;
    up_remove_site(&upping->up);
    up_daemon_signal(&upping->daemon, SIGTERM);
    while (upping->daemon.pid > 0 && reeve_clock_mono_ms() < end_mono) {
        upping->timer_fired = upping->signal_again = false;
        reeve_timer_start(&upping->timer, 3000, 0);
        until_run(&upping->until, left_or_asked_again, upping);
        if (upping->daemon.pid > 0) {
            output_note("waiting for the workers to stop (at most %d s more)",
                        (int)((end_mono - reeve_clock_mono_ms()) / 1000));
        }
    }
    reeve_timer_stop(&upping->timer);
    if (upping->daemon.pid > 0) {
        output_note("the node daemon (process %d) does not end; it is left to itself", (int)upping->daemon.pid);
    }
}

// ---- staying ----------------------------------------------------------------------------------------------------

static void tell_ready(const struct upping *upping)
{
    const struct up *up = &upping->up;
    char preset[PATH_MAX] = "";
    (void)site_dir_preset(preset, NULL); /* none: then it has to be named */
    bool is_preset = strcmp(preset, up->dir) == 0;
    const char *flag = is_preset ? "" : " --site ";
    const char *dir = is_preset ? "" : up->dir;
    if (opt_given(up->inv, OPT_JSON)) {
        REEVE_VALUE_AUTO map = reeve_value_map();
        reeve_put_str(map, "event", "ready");
        reeve_put_str(map, "dir", up->dir);
        reeve_put_str(map, "node", up->node);
        reeve_put_str(map, "root", up->root);
        reeve_put_int(map, "port", up->port);
        reeve_put_str_opt(map, "manager", upping->manager_there ? UP_MANAGER_NAME : NULL);
        (void)output_json(map, false); /* a closed stdout does not end a site */
        return;
    }
    output_print("site ready\n  node %s, broker mqtt://127.0.0.1:%d, topics below %s\n  folder %s\n"
                 "  look:  reeve ls%s%s\n  steer: reeve apply%s%s -f WORKERS.yaml\n",
                 up->node, (int)up->port, up->root, up->dir, flag, dir, flag, dir);
    if (upping->manager_there) {
        output_print("  pools: reeve pool apply%s%s -f POOL.yaml   (manager %s)\n", flag, dir, UP_MANAGER_NAME);
    }
    output_print("  Ctrl-C stops it.\n");
    (void)fflush(stdout); /* a closed stdout does not end a site */
}

static bool died(int status)
{
    return WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 2 &&
                                   WEXITSTATUS(status) != REEVE_EXIT_DO_NOT_RESTART);
}

static enum reeve_err restart(struct upping *upping, int64_t *delay_ms, int64_t started_mono, struct reeve_why *why)
{
    int status = upping->daemon.status;
    bool healthy = reeve_clock_mono_ms() - started_mono >= HEALTHY_MS;
    *delay_ms = healthy || *delay_ms == 0 ? RESTART_MIN_MS : 2 * *delay_ms;
    *delay_ms = *delay_ms > RESTART_MAX_MS ? RESTART_MAX_MS : *delay_ms;
    output_note("the node daemon ended (%s %d); the workers run on, starting it again",
                WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    upping->daemon_ended = false;
    await(upping, *delay_ms);
    return upping->signal != 0 ? REEVE_OK : up_daemon_start(&upping->daemon, why);
}

// Until a signal, or until the daemon left because somebody told it to.
static enum reeve_err stay(struct upping *upping, struct reeve_why *why)
{
    int64_t delay_ms = 0;
    int64_t started_mono = reeve_clock_mono_ms();
    enum reeve_err err = REEVE_OK;
    while (err == REEVE_OK && upping->signal == 0) {
        await(upping, 0);
        if (!upping->daemon_ended) {
            continue;
        }
        if (!died(upping->daemon.status)) {
            bool in_order = WIFEXITED(upping->daemon.status) && WEXITSTATUS(upping->daemon.status) == 0;
            output_note("the node daemon has left%s",
                        in_order ? "" : ": another one holds its name, or its file is not right");
            return in_order ? REEVE_OK : reeve_fail(why, REEVE_CONFLICT, "the site ended");
        }
        err = restart(upping, &delay_ms, started_mono, why);
        started_mono = reeve_clock_mono_ms();
    }
    return err;
}

// ---- all of it --------------------------------------------------------------------------------------------------

static enum reeve_err find_dir(struct up *up, struct reeve_why *why)
{
    char dir[PATH_MAX];
    const char *given = opt_value(up->inv, OPT_DIR);
    enum reeve_err err = site_dir(given, dir, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (strlen(dir) >= sizeof up->dir) {
        return reeve_fail(why, REEVE_INVALID, "the path of the site is too long");
    }
    for (const char *at = dir; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == '"') { // they end up in the broker's configuration
            return reeve_fail(why, REEVE_INVALID,
                              "the path of the site has characters that Mosquitto's file can't hold");
        }
    }
    (void)snprintf(up->dir, sizeof up->dir, "%s", dir);
    return REEVE_OK;
}

static enum reeve_err find_config(struct up *up, struct reeve_why *why)
{
    char path[PATH_MAX];
    char last[UP_PATH_MAX];
    const char *given = opt_value(up->inv, OPT_CONFIG);
    if (given == NULL && up_read_word(up, "config", last, sizeof last)) {
        given = last; // without it, this start would remove the workers that the last one had from the file
    }
    if (given == NULL || given[0] == '\0') {
        return REEVE_OK;
    }
    if (realpath(given, path) == NULL || strlen(path) >= sizeof up->config_path) {
        return reeve_fail(why, REEVE_INVALID, "--config: %s: %s", given, strerror(errno));
    }
    (void)snprintf(up->config_path, sizeof up->config_path, "%s", path);
    return REEVE_OK;
}

static enum reeve_err choose_root(struct up *up, struct reeve_why *why)
{
    const char *given = opt_value(up->inv, OPT_ROOT);
    if (given != NULL || up->root == NULL) {
        free(up->root);
        up->root = strdup(given != NULL ? given : REEVE_ROOT_PRESET);
    }
    return up->root != NULL ? reeve_root_check(up->root, why) : reeve_fail(why, REEVE_NOMEM, "out of memory");
}

static enum reeve_err prepare(struct up *up, struct reeve_why *why)
{
    enum reeve_err err = up_find_bin_dir(up, why);
    enum reeve_err (*const steps[])(struct up *, struct reeve_why *) = {find_dir,    find_config,  up_config_read,
                                                                        choose_root, up_make_dirs, up_choose_node};
    err = err == REEVE_OK ? up_check_programs(up, why) : err;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(steps); i++) {
        err = steps[i](up, why);
    }
    if (err == REEVE_OK) {
        up_remove_site(up); // of a site that was not stopped in order
        err = up_await_former(up, why);
    }
    if (err == REEVE_OK) {
        err = up_choose_port(up, false, why);
    }
    return err == REEVE_OK ? up_write_credentials(up, why) : err;
}

static enum reeve_err run(struct upping *upping, struct reeve_why *why)
{
    enum reeve_err err = start(upping, why);
    if (err == REEVE_OK) {
        err = up_write_site(&upping->up, why);
    }
    if (err == REEVE_OK) {
        upping->daemon.settled = true;
        tell_ready(upping);
        err = stay(upping, why);
    }
    leave(upping);
    return err == REEVE_CANCELLED ? REEVE_OK : err; // to leave was what the signal asked for
}

static enum reeve_err begin_loop(struct upping *upping, struct reeve_why *why)
{
    if (uv_loop_init(&upping->loop) != 0) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the event loop");
    }
    until_init(&upping->until, &upping->loop);
    reeve_timer_init(&upping->loop, &upping->timer, on_timer, upping);
    upping->daemon = (struct up_daemon){
        .up = &upping->up, .loop = &upping->loop, .pid_fd = -1, .ended = on_daemon_ended, .arg = upping};
    return reeve_signals_new(&upping->loop, on_signal, upping, &upping->signals, why);
}

static void end_loop(struct upping *upping)
{
    for (int i = 0; i < 10; i++) { // what the daemon wrote at the very end
        (void)uv_run(&upping->loop, UV_RUN_NOWAIT);
    }
    up_daemon_done(&upping->daemon);
    reeve_signals_free(upping->signals);
    reeve_timer_close(&upping->timer, NULL);
    reeve_loop_finish(&upping->loop);
}

int cmd_up(const struct invocation *inv)
{
    struct upping *upping = calloc(1, sizeof *upping);
    struct reeve_why why = {0};
    if (upping == NULL) {
        return output_fail(inv, EXIT_REFUSED, "out of memory");
    }
    upping->up.inv = inv;
    upping->up.lock_fd = -1;
    upping->up.no_manager = opt_given(inv, OPT_NO_MANAGER);
    enum reeve_err err = prepare(&upping->up, &why);
    if (err == REEVE_OK) {
        err = begin_loop(upping, &why);
        err = err == REEVE_OK ? run(upping, &why) : err;
        end_loop(upping);
    }
    reeve_value_free(upping->up.config);
    reeve_strv_done(&upping->up.keys);
    free(upping->up.root);
    if (upping->up.lock_fd >= 0) {
        close(upping->up.lock_fd);
    }
    free(upping);
    return err == REEVE_OK ? EXIT_DONE : output_fail_why(inv, err, &why);
}
