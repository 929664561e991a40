// The daemon's end of a run: plan and start of the shim, the link's messages, commands, what is done when a shim dies.
// Must not: wait for a shim; signal a worker's pid (the shim does, except for adopt.c's pinned sweep of a dead shim's
// rest).
#include "run_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "launch.h"
#include "shim/sweep.h"

#define BACKLOG       8  // connections of daemons that a stopped shim has not accepted yet
#define MESSAGES_MAX  32 // of one run in one turn of the loop
#define LOST_FIRST_MS 10
#define LOST_LAST_MS  1000
#define STOP_SIGNAL   15

static_assert((int)RUN_READY_IMMEDIATE == (int)PLAN_READY_IMMEDIATE &&
                  (int)RUN_READY_NOTIFY == (int)PLAN_READY_NOTIFY &&
                  (int)RUN_READY_EXTERNAL == (int)PLAN_READY_EXTERNAL,
              "the plan holds enum run_ready");
static_assert(sizeof(((struct run_outcome *)0)->cause) == SHIM_CAUSE_SIZE &&
                  sizeof(((struct run_outcome *)0)->error) == SHIM_ERROR_SIZE,
              "an outcome is copied whole");

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); // sockets and folders: nothing is lost
    }
    *fd = -1;
}
#define AUTO_FD __attribute__((cleanup(close_fd))) int

static int take_fd(int *fd)
{
    const int taken = *fd;
    *fd = -1;
    return taken;
}

// ---- outcomes

void run_outcome_from(const struct shim_outcome *from, struct run_outcome *ret)
{
    *ret = (struct run_outcome){
        .code = from->code,
        .signal = from->signal,
        .core = from->core != 0,
        .oom = from->oom != 0,
        .ended_at = from->ended_at,
        .ran_ms = from->ran_ms,
    };
    memcpy(ret->cause, from->cause, sizeof(ret->cause) - 1);
    memcpy(ret->error, from->error, sizeof(ret->error) - 1);
}

struct run_outcome run_outcome_without(const char *cause)
{
    struct run_outcome outcome = {.code = -1};
    (void)snprintf(outcome.cause, sizeof(outcome.cause), "%s", cause);
    return outcome;
}

bool run_exit_read(const char *dir, struct run_outcome *ret)
{
    char path[PATH_MAX];
    char text[PLAN_RECORD_MAX + 1];
    struct shim_outcome outcome;
    (void)snprintf(path, sizeof(path), "%s/exit", dir);
    const ssize_t len = sweep_read(path, text, sizeof(text));
    if (len <= 0 || !plan_exit_read(text, (size_t)len, &outcome)) {
        return false;
    }
    run_outcome_from(&outcome, ret);
    return true;
}

// ---- life of a struct run

static void on_closed(uv_handle_t *handle)
{
    struct run *run = handle->data;
    if (--run->handles == 0) {
        close_fd(&run->fd);
        free(run);
    }
}

void run_close(struct run *run)
{
    if (run->closing) {
        return;
    }
    run->closing = true;
    if (run->fd >= 0) {
        uv_close((uv_handle_t *)&run->poll, on_closed);
    }
    uv_close((uv_handle_t *)&run->timer, on_closed);
}

static void report_ended(struct run *run, const struct run_outcome *outcome)
{
    if (run->closing || run->ended) {
        return;
    }
    run->ended = true;
    run->host->handlers->ended(run, outcome, run->arg);
    run_close(run);
}

enum reeve_err run_dir_path(const struct run_host *host, const char *worker, int64_t number, char ret[PATH_MAX],
                            struct reeve_why *why)
{
    const int len = number > 0 ? snprintf(ret, PATH_MAX, "%s/runs/%s/%lld", host->state_dir, worker, (long long)number)
                               : snprintf(ret, PATH_MAX, "%s/runs/%s", host->state_dir, worker);
    if (len < 0 || len >= PATH_MAX - 16) { // room for the names of the files
        return reeve_fail(why, REEVE_LIMIT, "the path of the state folder is too long");
    }
    return REEVE_OK;
}

enum reeve_err run_new(const struct run_host *host, const char *worker, int64_t number, void *arg, struct run **ret,
                       struct reeve_why *why)
{
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "run of %s", worker);
    }
    run->host = host;
    run->arg = arg;
    run->number = number;
    run->fd = -1;
    (void)snprintf(run->worker, sizeof(run->worker), "%s", worker);
    (void)uv_timer_init(host->loop, &run->timer); // never fails
    run->timer.data = run;
    run->handles = 1;
    *ret = run;
    return REEVE_OK;
}

// ---- a shim that died

static void on_lost_timer(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run_sweep(run->host, run->worker, run->number) == 0) {
        const struct run_outcome outcome = run_outcome_without("lost");
        report_ended(run, &outcome);
        return;
    }
    run->lost_delay_ms = run->lost_delay_ms >= LOST_LAST_MS ? LOST_LAST_MS : run->lost_delay_ms * 2;
    (void)uv_timer_start(timer, on_lost_timer, run->lost_delay_ms, 0); // fails only while closing
}

void run_lost_later(struct run *run)
{
    run->link_over = true;
    run->lost_delay_ms = LOST_FIRST_MS;
    (void)uv_timer_start(&run->timer, on_lost_timer, 0, 0); // fails only while closing
}

// The link is at its end without an outcome: it may be on disk, else the shim was killed.
static void on_link_end(struct run *run)
{
    char dir[PATH_MAX];
    struct run_outcome outcome;
    run->link_over = true;
    (void)uv_poll_stop(&run->poll); // always 0
    if (run_dir_path(run->host, run->worker, run->number, dir, NULL) == REEVE_OK && run_exit_read(dir, &outcome)) {
        report_ended(run, &outcome);
    } else {
        run_lost_later(run);
    }
}

// ---- messages to the shim

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch_link(struct run *run)
{
    const int events = UV_READABLE | (run->unsent != 0 ? UV_WRITABLE : 0);
    (void)uv_poll_start(&run->poll, events, on_poll); // fails only while closing
}

static bool send_msg(const struct run *run, enum shim_kind kind, struct shim_msg *msg, size_t body)
{
    msg->head = (struct shim_head){
        .version = SHIM_WIRE_VERSION, .kind = (uint16_t)kind, .size = (uint32_t)(sizeof(msg->head) + body)};
    return send(run->fd, msg, msg->head.size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static bool send_command(const struct run *run, enum run_command command)
{
    struct shim_msg msg = {0};
    switch (command) {
    case RUN_SEND_LEASE:
        msg.lease = (struct shim_lease){.until_ms = run->lease_until_ms, .grace_ms = run->lease_grace_ms};
        return send_msg(run, SHIM_LEASE, &msg, sizeof(msg.lease));
    case RUN_SEND_STOP:
        msg.stop.grace_ms = run->stop_grace_ms;
        return send_msg(run, SHIM_STOP, &msg, sizeof(msg.stop));
    case RUN_SEND_KILL:
        return send_msg(run, SHIM_KILL, &msg, 0);
    case RUN_SEND_WATCH:
        msg.number.number = run->watch_log;
        return send_msg(run, SHIM_WATCH_LOG, &msg, sizeof(msg.number));
    case RUN_SEND_COUNT:
        break;
    }
    return true;
}

// What a full socket refuses waits for its turn; a dead one says so to on_poll().
static void flush(struct run *run)
{
    for (int i = 0; i < RUN_SEND_COUNT; i++) {
        if ((run->unsent & 1U << i) != 0 && send_command(run, (enum run_command)i)) {
            run->unsent &= ~(1U << i);
        }
    }
    watch_link(run);
}

static void command(struct run *run, enum run_command what)
{
    if (run->closing || run->link_over) {
        return; // what a dead shim left is being ended anyway
    }
    run->unsent |= 1U << what;
    flush(run);
}

void run_stop(struct run *run, int64_t grace_ms)
{
    run->stop_grace_ms = grace_ms;
    command(run, RUN_SEND_STOP);
}

void run_kill(struct run *run)
{
    command(run, RUN_SEND_KILL);
}

void run_lease(struct run *run, int64_t until_ms, int64_t grace_ms)
{
    run->lease_until_ms = until_ms;
    run->lease_grace_ms = grace_ms;
    command(run, RUN_SEND_LEASE);
}

void run_watch_log(struct run *run, bool on)
{
    if (run->watch_log != on) {
        run->watch_log = on;
        command(run, RUN_SEND_WATCH);
    }
}

enum reeve_err run_signal(struct run *run, int signal, struct reeve_why *why)
{
    struct shim_msg msg = {0};
    msg.number.number = signal;
    if (signal <= 0 || signal > 64) {
        return reeve_fail(why, REEVE_INVALID, "%d is not a signal", signal);
    }
    if (run->closing || run->link_over || run->pid == 0) {
        return reeve_fail(why, REEVE_CONFLICT, "%s has no process", run->worker);
    }
    if (!send_msg(run, SHIM_SIGNAL, &msg, sizeof(msg.number))) {
        return reeve_fail_errno(why, "the shim of %s does not listen", run->worker);
    }
    return REEVE_OK;
}

// ---- messages from the shim

static void report_ready(struct run *run)
{
    if (!run->closing && !run->ready_told && run->host->handlers->ready != NULL) {
        run->ready_told = true;
        run->host->handlers->ready(run, run->arg);
    }
}

static void on_started(struct run *run, struct shim_msg *msg)
{
    if (run->started_told || msg->started.pid <= 0) {
        return;
    }
    run->started_told = true;
    run->pid = msg->started.pid;
    run->start_time = msg->started.start_time;
    if (run->host->handlers->started != NULL) {
        run->host->handlers->started(run, run->pid, run->start_time, run->arg);
    }
    if (run->ready == RUN_READY_IMMEDIATE) {
        report_ready(run);
    }
}

static void on_ready(struct run *run, struct shim_msg *msg)
{
    (void)msg;
    if (run->ready == RUN_READY_NOTIFY) {
        report_ready(run);
    }
}

static void on_status(struct run *run, struct shim_msg *msg)
{
    msg->status.text[sizeof(msg->status.text) - 1] = '\0';
    if (run->host->handlers->status != NULL) {
        run->host->handlers->status(run, msg->status.text, run->arg);
    }
}

static void on_log_grew(struct run *run, struct shim_msg *msg)
{
    (void)msg;
    if (run->watch_log && run->host->handlers->log_grew != NULL) {
        run->host->handlers->log_grew(run, run->arg);
    }
}

static void on_log_failed(struct run *run, struct shim_msg *msg)
{
    char text[SHIM_ERROR_SIZE + 64];
    msg->log_failed.error[sizeof(msg->log_failed.error) - 1] = '\0';
    if (msg->log_failed.recovered != 0) {
        (void)snprintf(text, sizeof(text), "%llu lines dropped: %s", (unsigned long long)msg->log_failed.lines_dropped,
                       msg->log_failed.error);
    } else {
        (void)snprintf(text, sizeof(text), "%s", msg->log_failed.error);
    }
    if (run->host->handlers->log_failed != NULL) {
        run->host->handlers->log_failed(run, text, msg->log_failed.recovered != 0, run->arg);
    }
}

static void on_ended(struct run *run, struct shim_msg *msg)
{
    struct run_outcome outcome;
    run_outcome_from(&msg->ended, &outcome);
    if (run->closing || run->ended) {
        return;
    }
    run->ended = true;
    run->host->handlers->ended(run, &outcome, run->arg);
    struct shim_msg taken = {0};
    (void)send_msg(run, SHIM_TAKEN, &taken, 0); // only a shim that could not write `exit` still listens
    run_close(run);
}

static void dispatch(struct run *run, struct shim_msg *msg)
{
    static void (*const handlers[])(struct run * run, struct shim_msg * msg) = {
        [SHIM_STARTED] = on_started,   [SHIM_READY] = on_ready,           [SHIM_STATUS] = on_status,
        [SHIM_LOG_GREW] = on_log_grew, [SHIM_LOG_FAILED] = on_log_failed, [SHIM_ENDED] = on_ended,
    };
    const uint16_t kind = msg->head.kind;
    if (kind < REEVE_ARRAY_LEN(handlers) && handlers[kind] != NULL) { // HELLO, or of a newer shim
        handlers[kind](run, msg);
    }
}

// False when there is nothing more for now, or ever.
static bool receive(struct run *run)
{
    struct shim_msg msg;
    memset(&msg, 0, sizeof(msg)); // what an older shim does not send reads as zero
    ssize_t got = recv(run->fd, &msg, sizeof(msg), MSG_DONTWAIT);
    if (got < 0 && errno == ECONNRESET) {
        got = recv(run->fd, &msg, sizeof(msg),
                   MSG_DONTWAIT); // it left with a message of ours unread; its last ones follow
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        on_link_end(run);
        return false;
    }
    if ((size_t)got >= sizeof(msg.head)) {
        dispatch(run, &msg);
    }
    return !run->closing;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct run *run = poll->data;
    int left = MESSAGES_MAX;
    (void)status; // an error of the socket shows in recv()
    if ((events & UV_WRITABLE) != 0 && run->unsent != 0) {
        flush(run);
    }
    while (left > 0 && receive(run)) {
        left--;
    }
}

enum reeve_err run_attach(struct run *run, int fd, struct reeve_why *why)
{
    const int err = uv_poll_init(run->host->loop, &run->poll, fd);
    if (err != 0) {
        (void)close(fd); // a socket
        return reeve_fail(why, REEVE_IO, "cannot watch the shim of %s: %s", run->worker, uv_strerror(err));
    }
    run->fd = fd;
    run->poll.data = run;
    run->handles++;
    watch_link(run);
    return REEVE_OK;
}

// ---- start

static void put(struct reeve_buf *buf, const char *key, const char *value)
{
    if (value != NULL) {
        reeve_buf_puts(buf, key);
        reeve_buf_append(buf, "=", 1);
        reeve_buf_append(buf, value, strlen(value) + 1); // with its NUL
    }
}

static void put_i64(struct reeve_buf *buf, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    put(buf, key, text);
}

static void put_list(struct reeve_buf *buf, const char *key, const char *const *items)
{
    for (; items != NULL && *items != NULL; items++) {
        put(buf, key, *items);
    }
}

// The shim is static and can't ask NSS; an LDAP server asked here may block, as it does for any login.
static void put_groups(struct reeve_buf *buf, const struct run_plan *plan)
{
    gid_t groups[PLAN_GROUPS_MAX];
    int count = PLAN_GROUPS_MAX;
    if (plan->user == NULL || plan->gid == (gid_t)-1) {
        return;
    }
    if (getgrouplist(plan->user, plan->gid, groups, &count) < 0) {
        count = count < PLAN_GROUPS_MAX ? count : PLAN_GROUPS_MAX; // the first ones
    }
    for (int i = 0; i < count; i++) {
        put_i64(buf, "groups", groups[i]);
    }
}

static void put_token(struct reeve_buf *buf)
{
    char token[32 + 1];
    static_assert(sizeof(token) <= PLAN_TOKEN_SIZE, "the token fits");
    put(buf, "token", reeve_hex_random(token, sizeof(token) - 1));
}

static void put_plan(struct reeve_buf *buf, const struct run_plan *plan)
{
    put(buf, "worker", plan->worker);
    put_i64(buf, "run", plan->run);
    put(buf, "boot_id", reeve_boot_id());
    put_token(buf);
    put_list(buf, "argv", plan->argv);
    put_list(buf, "env", plan->env);
    put(buf, "cwd", plan->cwd);
    put_i64(buf, "uid", plan->uid == (uid_t)-1 ? -1 : (int64_t)plan->uid);
    put_i64(buf, "gid", plan->gid == (gid_t)-1 ? -1 : (int64_t)plan->gid);
    put_groups(buf, plan);
    put_i64(buf, "nofile", plan->nofile);
    put_i64(buf, "stop_signal", plan->stop_signal == 0 ? STOP_SIGNAL : plan->stop_signal);
    put_i64(buf, "stop_grace_ms", plan->stop_grace_ms);
    put_i64(buf, "watchdog_ms", plan->watchdog_ms);
    put_i64(buf, "lease_until_ms", plan->lease_until_ms);
    put_i64(buf, "lease_grace_ms", plan->lease_grace_ms);
    put_i64(buf, "ready", (int64_t)plan->ready);
    put_i64(buf, "log_bytes_max", plan->log_bytes_max);
    put_i64(buf, "log_files_max", plan->log_files_max);
    put(buf, "log_dir", plan->log_dir);
    put_list(buf, "cgroup_procs", plan->cgroup_procs);
    put(buf, "cgroup_oom", plan->cgroup_oom);
    put(buf, "cgroup_kill", plan->cgroup_kill);
    put(buf, "end", "1");
}

// What the shim would refuse is refused here, while somebody can still be told why.
static enum reeve_err check_plan(const struct reeve_buf *buf, struct reeve_why *why)
{
    if (buf->err != REEVE_OK) {
        return reeve_fail(why, buf->err, "argv and env together are above %d bytes", PLAN_SIZE_MAX);
    }
    REEVE_AUTO_FREE char *copy = malloc(buf->len);
    REEVE_AUTO_FREE struct plan *plan = malloc(sizeof(*plan));
    if (copy == NULL || plan == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "plan");
    }
    const char *error = NULL;
    memcpy(copy, buf->data, buf->len);
    if (!plan_read(copy, buf->len, plan, &error)) {
        return reeve_fail(why, REEVE_INVALID, "plan of the run: %s", error);
    }
    return REEVE_OK;
}

// No fsync: after a power cut there is no process that the plan could be about.
static enum reeve_err write_plan(int dir, const struct reeve_buf *buf, struct reeve_why *why)
{
    AUTO_FD fd = openat(dir, "plan", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const ssize_t done = fd < 0 ? -1 : write(fd, buf->data, buf->len);
    if (done >= 0 && done != (ssize_t)buf->len) {
        errno = ENOSPC;
    }
    if (done != (ssize_t)buf->len) {
        return reeve_fail_errno(why, "cannot write the plan of the run");
    }
    return REEVE_OK;
}

// Through /proc/self/fd: a path in sockaddr_un ends at 108 bytes, state folders don't.
static struct sockaddr_un sock_address(int dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/sock", dir);
    return address;
}

// The socket listens before the shim is born: whoever can connect to it knows that the shim lives, or is about to.
static int listen_in(int dir)
{
    AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const struct sockaddr_un address = sock_address(dir);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0) {
        return -1;
    }
    return take_fd(&fd);
}

int run_connect(const char *dir)
{
    AUTO_FD dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD fd = dir_fd < 0 ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const struct sockaddr_un address = sock_address(dir_fd);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return -1;
    }
    return take_fd(&fd);
}

static enum reeve_err start_shim(struct run *run, int dir, struct reeve_why *why)
{
    char number[24];
    char program[] = "reeve-shim";
    (void)snprintf(number, sizeof(number), "%lld", (long long)run->number);
    char *const argv[] = {program, run->worker, number, NULL}; // for `ps`; what counts is in the plan
    AUTO_FD listener = listen_in(dir);
    int pair[2] = {-1, -1};
    if (listener < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        return reeve_fail_errno(why, "cannot make the socket of the run");
    }
    AUTO_FD theirs = pair[1];
    const struct launch launch = {.path = run->host->shim_path, .argv = argv, .fds = {theirs, listener, dir}};
    const enum reeve_err err = run_attach(run, pair[0], why); // first, so that nothing can fail once the shim runs
    return err == REEVE_OK ? launch_detached(&launch, why) : err;
}

static enum reeve_err start_in(struct run *run, const struct run_plan *plan, const char *path, struct reeve_why *why)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(PLAN_SIZE_MAX);
    put_plan(&buf, plan);
    enum reeve_err err = check_plan(&buf, why);
    err = err == REEVE_OK ? reeve_dir_make(plan->log_dir, 0750, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    AUTO_FD dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return reeve_fail_errno(why, "cannot open %s", path);
    }
    err = write_plan(dir, &buf, why);
    return err == REEVE_OK ? start_shim(run, dir, why) : err;
}

static enum reeve_err make_dir(const struct run_host *host, const struct run_plan *plan, char path[PATH_MAX],
                               struct reeve_why *why)
{
    enum reeve_err err = run_dir_path(host, plan->worker, 0, path, why);
    err = err == REEVE_OK ? reeve_dir_make(path, 0700, why) : err;
    err = err == REEVE_OK ? run_dir_path(host, plan->worker, plan->run, path, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST
                   ? reeve_fail(why, REEVE_CONFLICT, "run %lld of %s exists", (long long)plan->run, plan->worker)
                   : reeve_fail_errno(why, "cannot make %s", path);
    }
    return REEVE_OK;
}

enum reeve_err run_start(const struct run_host *host, const struct run_plan *plan, void *arg, struct run **ret,
                         struct reeve_why *why)
{
    char path[PATH_MAX];
    struct run *run = NULL;
    enum reeve_err err = reeve_name_check(plan->worker, why);
    if (err == REEVE_OK && plan->run <= 0) {
        err = reeve_fail(why, REEVE_INVALID, "run numbers start at 1");
    }
    err = err == REEVE_OK ? make_dir(host, plan, path, why) : err;
    if (err != REEVE_OK) {
        return err;
    }
    err = run_new(host, plan->worker, plan->run, arg, &run, why);
    err = err == REEVE_OK ? start_in(run, plan, path, why) : err;
    if (err != REEVE_OK) {
        if (run != NULL) {
            run_close(run);
        }
        (void)reeve_dir_remove(path, NULL); // the first error is the one to report
        return err;
    }
    run->ready = plan->ready;
    *ret = run;
    return REEVE_OK;
}

int64_t run_number(const struct run *run)
{
    return run->number;
}

pid_t run_pid(const struct run *run)
{
    return run->pid;
}

void *run_arg(const struct run *run)
{
    return run->arg;
}

void run_detach(struct run *run)
{
    run_close(run);
}

void run_forget(const struct run_host *host, const char *worker, int64_t run)
{
    char path[PATH_MAX];
    if (run > 0 && run_dir_path(host, worker, run, path, NULL) == REEVE_OK) {
        (void)reeve_dir_remove(path, NULL); // what stays is removed by the next run_adopt()
    }
}
