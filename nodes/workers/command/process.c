// Each process has four watched descriptors (control, in, out, err) and a timer; it is freed when all of them are
// closed. Must not: block the loop, or keep a process whose guard is gone.
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_MAX     65536
#define READ_ERR_MAX 4096     // each line of it is a line of our log: one that floods has to wait for the others
#define DRAIN_MAX    16777216 // of what is read at the end, in case a stranger still writes
#define STOP_WAIT_MS 1000
#define FIRST_OWN_FD 4 // descriptors of ours are above those that a command is given

enum { CONTROL, IN, OUT, ERR, WATCHES };

struct watched {
    struct process *process;
    uv_poll_t poll;
    int fd; // -1 = closed
};
struct process {
    struct processes *all;
    struct process *next, **link;
    struct process_watch watch;
    void *arg;
    struct watched watched[WATCHES];
    int ack;
    int handles; // still to be closed
    pid_t guard, pid;
    char *input;
    size_t input_len, input_at;
    struct reeve_timer grace;
    int64_t kill_at; // mono ms; 0 = not asked for
    bool killed, over;
    struct guard_word end;
};
struct processes {
    uv_loop_t *loop;
    uv_signal_t children;
    struct process *first;
    size_t len;
};

// ---- memory
// ----------------------------------------------------------------------------------------------------------

static void handle_closed(struct process *process)
{
    if (--process->handles == 0) {
        free(process->input);
        free(process);
    }
}

static void on_poll_closed(uv_handle_t *handle)
{
    handle_closed(((struct watched *)handle->data)->process);
}

static void on_timer_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* a part of the process */
    handle_closed(arg);
}

static void unwatch(struct watched *watched)
{
    if (watched->fd >= 0) {
        uv_close((uv_handle_t *)&watched->poll, on_poll_closed);
        (void)close(watched->fd); // a pipe or socket
        watched->fd = -1;
    }
}

static void end_input(struct process *process)
{
    unwatch(&process->watched[IN]);
    free(process->input);
    process->input = NULL;
}

// Unlinks it, tells its end, closes what is its.
static void finish(struct process *process)
{
    REEVE_ASSERT(!process->over);
    process->over = true;
    *process->link = process->next;
    if (process->next != NULL) {
        process->next->link = process->link;
    }
    process->all->len--;
    process->watch.ended(process, &process->end, process->arg);
    for (int i = 0; i < WATCHES; i++) {
        unwatch(&process->watched[i]);
    }
    (void)close(process->ack); // a pipe
    reeve_timer_close(&process->grace, on_timer_closed);
}

// ---- what it says
// ----------------------------------------------------------------------------------------------------

// One read. False: there is nothing more now, or ever.
static bool read_some(struct watched *watched)
{
    static char data[READ_MAX]; // one thread; too large for a stack
    struct process *process = watched->process;
    const bool out = watched == &process->watched[OUT];
    const ssize_t len = read(watched->fd, data, out ? READ_MAX : READ_ERR_MAX);
    if (len > 0) {
        (out ? process->watch.out : process->watch.err)(process, data, (size_t)len, process->arg);
        return true;
    }
    if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
        unwatch(watched);
    }
    return false;
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    (void)status; /* read() tells more */
    (void)events;
    (void)read_some(poll->data); /* level-triggered: called again while there is more */
}

// What it wrote before its end is in the pipes already.
static void drain(struct watched *watched)
{
    for (size_t len = 0; watched->fd >= 0 && len < DRAIN_MAX && read_some(watched); len += READ_MAX) {
    }
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    struct watched *watched = poll->data;
    struct process *process = watched->process;
    (void)events; /* writable, or nobody reads: write() tells */
    const ssize_t len =
        status < 0 ? -1
                   : write(watched->fd, process->input + process->input_at, process->input_len - process->input_at);
    if (len < 0 && (status < 0 || (errno != EAGAIN && errno != EINTR))) {
        end_input(process); // it needs no more of it: no mistake
        return;
    }
    process->input_at += len > 0 ? (size_t)len : 0;
    if (process->input_at == process->input_len) {
        end_input(process);
    }
}

// ---- the guard
// -------------------------------------------------------------------------------------------------------

static void order(struct process *process, char byte)
{
    // A guard that is gone shows as the end of the socket.
    (void)send(process->watched[CONTROL].fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// Reads one word; true when the process is over.
static bool read_word(struct process *process)
{
    struct guard_word word;
    const ssize_t len = recv(process->watched[CONTROL].fd, &word, sizeof word, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (len != (ssize_t)sizeof word) {
        // Killed by somebody, or by the kernel for its memory. The command died with it; SIGCHLD sees to the rest.
        (void)snprintf(process->end.error, sizeof process->end.error, "%s", // fits
                       process->pid == 0 ? "no process for the command" : "the guard of the command was killed");
        process->end.code = -1;
        return true;
    }
    process->pid = word.pid;
    if (word.kind == GUARD_STARTED) {
        return false;
    }
    process->end = word;
    return true;
}

static void end_of(struct process *process)
{
    drain(&process->watched[OUT]);
    drain(&process->watched[ERR]);
    finish(process);
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    struct process *process = ((struct watched *)poll->data)->process;
    (void)status; /* recv() tells more */
    (void)events;
    if (read_word(process)) {
        end_of(process);
    }
}

static void on_grace(struct reeve_timer *timer, void *arg)
{
    (void)timer; /* a part of the process */
    process_kill(arg);
}

void process_stop(struct process *process, int64_t grace_ms)
{
    const int64_t now = reeve_clock_mono_ms();
    const int64_t kill_at = now + (grace_ms < 0 ? 0 : grace_ms);
    if (process->over || process->killed || (process->kill_at != 0 && process->kill_at <= kill_at)) {
        return;
    }
    if (process->kill_at == 0) {
        order(process, GUARD_TELL);
    }
    process->kill_at = kill_at;
    reeve_timer_start(&process->grace, kill_at - now, 0);
}

void process_kill(struct process *process)
{
    if (!process->over && !process->killed) {
        process->killed = true;
        reeve_timer_stop(&process->grace);
        order(process, GUARD_KILL);
    }
}

bool process_ack(struct process *process, const char *line)
{
    const size_t len = strlen(line);
    return write(process->ack, line, len) == (ssize_t)len; // short lines are written whole or not at all (PIPE_BUF)
}

pid_t process_pid(const struct process *process)
{
    return process->pid;
}

// ---- the start
// -------------------------------------------------------------------------------------------------------

struct ends { // of the pipes; -1 = none
    int ours[WATCHES], theirs[WATCHES];
    int ack_ours, ack_theirs;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); // a pipe or socket
        *fd = -1;
    }
}

static void close_ends(struct ends *ends, bool ours)
{
    for (int i = 0; i < WATCHES; i++) {
        close_fd(&ends->theirs[i]);
        if (ours) {
            close_fd(&ends->ours[i]);
        }
    }
    close_fd(&ends->ack_theirs);
    if (ours) {
        close_fd(&ends->ack_ours);
    }
}

// Above the numbers that the command is given, so that filling those overwrites nothing.
static bool lift(int *fd)
{
    if (*fd < FIRST_OWN_FD) {
        const int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
        close_fd(fd);
        *fd = lifted;
    }
    return *fd >= 0;
}

// The command writes or reads at *ret_theirs, which blocks as programs expect; ours does not.
static bool make_pipe(int *ret_ours, int *ret_theirs, bool we_read)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    *ret_ours = ends[we_read ? 0 : 1];
    *ret_theirs = ends[we_read ? 1 : 0];
    return lift(ret_ours) && lift(ret_theirs) && fcntl(*ret_ours, F_SETFL, O_NONBLOCK) == 0;
}

static bool make_ends(struct ends *ends, bool input)
{
    int pair[2] = {-1, -1};
    *ends = (struct ends){.ours = {-1, -1, -1, -1}, .theirs = {-1, -1, -1, -1}, .ack_ours = -1, .ack_theirs = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    ends->ours[CONTROL] = pair[0];
    ends->theirs[CONTROL] = pair[1];
    return lift(&ends->ours[CONTROL]) && lift(&ends->theirs[CONTROL]) &&
           (!input || make_pipe(&ends->ours[IN], &ends->theirs[IN], false)) &&
           make_pipe(&ends->ours[OUT], &ends->theirs[OUT], true) &&
           make_pipe(&ends->ours[ERR], &ends->theirs[ERR], true) &&
           make_pipe(&ends->ack_ours, &ends->ack_theirs, false);
}

static pid_t fork_for(const struct process_plan *plan, const struct ends *ends)
{
    static char *const none[] = {NULL};
    const struct guard_plan guard = {.argv = plan->argv->items,
                                     .env = plan->env->len > 0 ? plan->env->items : none,
                                     .cwd = plan->cwd,
                                     .limits = plan->limits,
                                     .in = ends->theirs[IN],
                                     .out = ends->theirs[OUT],
                                     .err = ends->theirs[ERR],
                                     .ack = ends->ack_theirs,
                                     .control = ends->theirs[CONTROL]};
    return guard_fork(&guard);
}

static void watch_all(struct process *process, const struct ends *ends)
{
    static const struct {
        int events;
        uv_poll_cb cb;
    } rows[WATCHES] = {[CONTROL] = {UV_READABLE, on_control},
                       [IN] = {UV_WRITABLE, on_input},
                       [OUT] = {UV_READABLE, on_output},
                       [ERR] = {UV_READABLE, on_output}};
    for (int i = 0; i < WATCHES; i++) {
        struct watched *watched = &process->watched[i];
        *watched = (struct watched){.process = process, .fd = ends->ours[i]};
        if (watched->fd < 0) {
            continue;
        }
        watched->poll.data = watched;
        // Both fail on a bad or twice watched descriptor only.
        int failed = uv_poll_init(process->all->loop, &watched->poll, watched->fd);
        failed = failed != 0 ? failed : uv_poll_start(&watched->poll, rows[i].events, rows[i].cb);
        REEVE_ASSERT(failed == 0);
        process->handles++;
    }
}

static void link_to(struct process *process, struct processes *all)
{
    process->next = all->first;
    process->link = &all->first;
    if (all->first != NULL) {
        all->first->link = &process->next;
    }
    all->first = process;
    all->len++;
}

enum reeve_err process_start(struct processes *processes, struct process_plan *plan, const struct process_watch *watch,
                             void *arg, struct process **ret, struct reeve_why *why)
{
    struct ends ends;
    struct process *process = calloc(1, sizeof *process);
    REEVE_ASSERT(plan->argv->len > 0);
    const bool made = process != NULL && make_ends(&ends, plan->input != NULL);
    const pid_t guard = made ? fork_for(plan, &ends) : -1;
    if (guard < 0) {
        enum reeve_err err = reeve_fail_errno(why, "start %s", plan->argv->items[0]);
        if (process != NULL) {
            close_ends(&ends, true);
        }
        free(process);
        return err;
    }
    close_ends(&ends, false);
    *process = (struct process){.all = processes,
                                .watch = *watch,
                                .arg = arg,
                                .guard = guard,
                                .ack = ends.ack_ours,
                                .input = plan->input,
                                .input_len = plan->input_len,
                                .handles = 1,
                                .end = {.code = -1}};
    plan->input = NULL;
    reeve_timer_init(processes->loop, &process->grace, on_grace, process);
    watch_all(process, &ends);
    link_to(process, processes);
    *ret = process;
    return REEVE_OK;
}

// ---- all of them
// -----------------------------------------------------------------------------------------------------

static bool is_guard(pid_t pid, void *arg)
{
    for (const struct process *process = ((struct processes *)arg)->first; process != NULL; process = process->next) {
        if (process->guard == pid) {
            return true;
        }
    }
    return false;
}

// Children of ours are guards, or orphans of a guard that was killed. A guard that has told its end may be hit as well:
// its work is done.
static void on_children(uv_signal_t *signal, int number)
{
    struct processes *processes = signal->data;
    int status;
    bool violent = false;
    (void)number; /* SIGCHLD */
    while (waitpid(-1, &status, WNOHANG) > 0) {
        violent = violent || WIFSIGNALED(status);
    }
    if (violent && guard_kill_children(is_guard, processes) > 0) {
        reeve_log(REEVE_LOG_WARNING, "command", "orphans=killed: their guard was killed, ignoring");
    }
}

enum reeve_err processes_new(uv_loop_t *loop, struct processes **ret, struct reeve_why *why)
{
    struct processes *processes = calloc(1, sizeof *processes);
    if (processes == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for processes");
    }
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // for the orphans of a killed guard; Linux 3.4
    processes->loop = loop;
    processes->children.data = processes;
    int failed = uv_signal_init(loop, &processes->children);
    failed = failed != 0 ? failed : uv_signal_start(&processes->children, on_children, SIGCHLD);
    if (failed != 0) {
        free(processes);
        return reeve_fail(why, REEVE_IO, "SIGCHLD: %s", uv_strerror(failed));
    }
    *ret = processes;
    return REEVE_OK;
}

size_t processes_len(const struct processes *processes)
{
    return processes->len;
}

static void on_children_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void processes_stop(struct processes *processes)
{
    const int64_t end = reeve_clock_mono_ms() + STOP_WAIT_MS;
    for (struct process *process = processes->first; process != NULL; process = process->next) {
        process_kill(process);
    }
    while (processes->first != NULL) {
        struct process *process = processes->first;
        struct pollfd polled = {.fd = process->watched[CONTROL].fd, .events = POLLIN};
        const int64_t left = end - reeve_clock_mono_ms();
        if (left <= 0 || poll(&polled, 1, (int)left) == 0) {
            // It goes on without us: its guard kills it as long as it takes.
            (void)snprintf(process->end.error, sizeof process->end.error, "it does not die"); // fits
            finish(process);
        } else if (read_word(process)) {
            end_of(process);
        }
    }
    uv_close((uv_handle_t *)&processes->children, on_children_closed);
}
