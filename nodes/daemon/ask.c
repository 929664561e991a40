// See ask.h. A question owns its handles and requests, counted in `refs`; it is freed when the last of them is closed,
// which may be long after its answer: a process that was killed has to be reaped, a name lookup can't be interrupted.
// Must not: call `done` twice or after ask_cancel().
#include "ask.h"

#include <netdb.h>
#include <reeve/clock.h>
#include <reeve/log.h>
#include <reeve/units.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_SIZE 512 // of an HTTP answer or of what a command says: enough for its first line

struct ask {
    uv_loop_t *loop;
    ask_done *done;
    void *arg;
    struct ask_answer answer;
    enum ask_kind kind;
    int64_t status, timeout_ms, began_ns;
    int refs;
    bool over; // answered or cancelled
    bool resolving, socket_open, says_open;
    bool process_open; // not reaped yet
    char host[REEVE_ENDPOINT_HOST_SIZE];
    char *request; // HTTP
    char head[HEAD_SIZE];
    size_t head_len;
    struct addrinfo *addresses; // looked up
    const struct addrinfo *next;
    struct sockaddr_storage literal;
    struct addrinfo literal_info;
    uv_timer_t timeout;
    uv_getaddrinfo_t resolve;
    uv_tcp_t socket;
    uv_connect_t connect;
    uv_write_t write;
    uv_process_t process;
    uv_pipe_t says[2]; // stdout and stderr
};

static size_t open_count;

static void unref(struct ask *ask)
{
    if (--ask->refs > 0) {
        return;
    }
    if (ask->addresses != NULL) {
        uv_freeaddrinfo(ask->addresses);
    }
    free(ask->request);
    free(ask);
    open_count--;
}

static void closed(uv_handle_t *handle)
{
    unref(handle->data);
}

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, closed);
    }
}

static void try_next(struct ask *ask);

// The socket is closed after an address that did not answer, or at the end.
static void socket_closed(uv_handle_t *handle)
{
    struct ask *ask = handle->data;
    ask->socket_open = false;
    if (!ask->over) {
        try_next(ask);
    }
    unref(ask);
}

static void close_socket(struct ask *ask)
{
    if (ask->socket_open && !uv_is_closing((uv_handle_t *)&ask->socket)) {
        uv_close((uv_handle_t *)&ask->socket, socket_closed);
    }
}

// Closes what can be closed now. The process stays open until it is reaped.
static void let_go(struct ask *ask)
{
    ask->over = true;
    close_handle(&ask->timeout);
    close_socket(ask);
    if (ask->says_open) {
        ask->says_open = false;
        close_handle(&ask->says[0]);
        close_handle(&ask->says[1]);
    }
    if (ask->process_open) {
        (void)kill(-ask->process.pid, SIGKILL); // unreaped: the group is still ours
    }
    if (ask->resolving) {
        (void)uv_cancel((uv_req_t *)&ask->resolve); // may be too late; its callback comes in any case
    }
}

static void finish(struct ask *ask, bool ok)
{
    if (ask->over) {
        return;
    }
    ask->answer.ok = ok;
    let_go(ask);
    ask->done(&ask->answer, ask->arg);
}

static void fail(struct ask *ask, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct ask *ask, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(ask->answer.message, sizeof ask->answer.message, fmt, ap);
    va_end(ap);
    finish(ask, false);
}

static void on_timeout(uv_timer_t *timer)
{
    struct ask *ask = timer->data;
    char text[REEVE_UNITS_TEXT_LEN];
    fail(ask, "no answer within %s", reeve_duration_format(ask->timeout_ms, text));
}

// ---- connections ----------------------------------------------------------------------------------------------

int ask_http_status(const char *data, size_t len)
{
    static const char form[] = "HTTP/1.x ddd";
    for (size_t i = 0; form[i] != '\0'; i++) {
        if (i >= len) {
            return 0;
        }
        const bool digit = data[i] >= '0' && data[i] <= '9';
        const bool fits = form[i] == 'd' || form[i] == 'x' ? digit : data[i] == form[i];
        if (!fits) {
            return -1;
        }
    }
    const int status = (data[9] - '0') * 100 + (data[10] - '0') * 10 + (data[11] - '0');
    if (len == sizeof form - 1) {
        return 0; // what ends the number is still to come
    }
    const char after = data[sizeof form - 1];
    return status >= 100 && (after == ' ' || after == '\r' || after == '\n') ? status : -1;
}

static void take_status(struct ask *ask)
{
    const int status = ask_http_status(ask->head, ask->head_len);
    if (status == 0) {
        return;
    }
    if (status < 0) {
        fail(ask, "answers, but not with HTTP");
        return;
    }
    const bool good = ask->status != 0 ? status == (int)ask->status : status >= 200 && status < 400;
    if (good) {
        finish(ask, true);
    } else {
        fail(ask, "status %d", status);
    }
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ask *ask = handle->data;
    (void)suggested;
    *buf = uv_buf_init(ask->head + ask->head_len, (unsigned)(sizeof ask->head - ask->head_len));
}

static void on_answer(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct ask *ask = stream->data;
    (void)buf;
    if (ask->over) {
        return;
    }
    if (len < 0) {
        fail(ask, "%s", len == UV_EOF ? "closed the connection without an answer" : uv_strerror((int)len));
        return;
    }
    ask->head_len += (size_t)len;
    take_status(ask); // decides long before the room is used up
}

static void on_written(uv_write_t *write, int status)
{
    struct ask *ask = write->data;
    if (status != 0 && !ask->over) {
        fail(ask, "%s", uv_strerror(status));
    }
    unref(ask);
}

static void send_request(struct ask *ask)
{
    const uv_buf_t buf = uv_buf_init(ask->request, (unsigned)strlen(ask->request));
    int rc = uv_read_start((uv_stream_t *)&ask->socket, give_room, on_answer);
    if (rc == 0) {
        rc = uv_write(&ask->write, (uv_stream_t *)&ask->socket, &buf, 1, on_written);
        ask->refs += rc == 0;
    }
    if (rc != 0) {
        fail(ask, "%s", uv_strerror(rc));
    }
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct ask *ask = connect->data;
    if (ask->over) {
        unref(ask);
        return;
    }
    if (status != 0) {
        (void)snprintf(ask->answer.message, sizeof ask->answer.message, "%s", uv_strerror(status));
        close_socket(ask); // goes on with the next address
    } else if (ask->kind == ASK_HTTP) {
        send_request(ask);
    } else {
        ask->answer.connect_us = (reeve_clock_mono_ns() - ask->began_ns) / 1000;
        finish(ask, true);
    }
    unref(ask);
}

// An error of libuv's, when there is not even a socket. That nobody listens shows later.
static int connect_next(struct ask *ask)
{
    const struct addrinfo *address = ask->next;
    ask->next = address->ai_next;
    int rc = uv_tcp_init(ask->loop, &ask->socket);
    if (rc != 0) {
        return rc;
    }
    ask->refs++;
    ask->socket_open = true;
    ask->socket.data = ask;
    ask->began_ns = reeve_clock_mono_ns();
    rc = uv_tcp_connect(&ask->connect, &ask->socket, address->ai_addr, on_connected);
    ask->refs += rc == 0;
    if (rc != 0) {
        (void)snprintf(ask->answer.message, sizeof ask->answer.message, "%s", uv_strerror(rc));
        close_socket(ask);
    }
    return 0;
}

static void try_next(struct ask *ask)
{
    if (ask->next == NULL) {
        finish(ask, false); // with the reason of the last one
        return;
    }
    const int rc = connect_next(ask);
    if (rc != 0) {
        fail(ask, "%s", uv_strerror(rc));
    }
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *addresses)
{
    struct ask *ask = resolve->data;
    ask->resolving = false;
    ask->addresses = addresses; // NULL on failure
    ask->next = addresses;
    if (!ask->over && (status != 0 || addresses == NULL)) {
        fail(ask, "%s: %s", ask->host, status != 0 ? uv_strerror(status) : "has no address");
    } else if (!ask->over) {
        try_next(ask);
    }
    unref(ask);
}

// An address needs no lookup, and must not wait behind names that nobody resolves.
static bool is_literal(struct ask *ask, int64_t port)
{
    bool found = uv_ip4_addr(ask->host, (int)port, (struct sockaddr_in *)&ask->literal) == 0 ||
                 uv_ip6_addr(ask->host, (int)port, (struct sockaddr_in6 *)&ask->literal) == 0;
    ask->literal_info.ai_addr = (struct sockaddr *)&ask->literal;
    ask->next = found ? &ask->literal_info : NULL;
    return found;
}

static enum reeve_err start_lookup(struct ask *ask, int64_t port, struct reeve_why *why)
{
    char service[24];
    if (is_literal(ask, port)) {
        const int rc = connect_next(ask);
        return rc == 0 ? REEVE_OK : reeve_fail(why, REEVE_IO, "%s", uv_strerror(rc));
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    (void)snprintf(service, sizeof service, "%lld", (long long)port);
    const int rc = uv_getaddrinfo(ask->loop, &ask->resolve, on_resolved, ask->host, service, &hints);
    if (rc != 0) {
        return reeve_fail(why, REEVE_IO, "%s: %s", ask->host, uv_strerror(rc));
    }
    ask->refs++;
    ask->resolving = true;
    return REEVE_OK;
}

static enum reeve_err start_tcp(struct ask *ask, const struct ask_question *question, struct reeve_why *why)
{
    int64_t port;
    enum reeve_err err = reeve_endpoint_parse(question->address, ask->host, &port, why);
    return err == REEVE_OK ? start_lookup(ask, port, why) : err;
}

static enum reeve_err start_http(struct ask *ask, const struct ask_question *question, struct reeve_why *why)
{
    int64_t port;
    const char *path;
    enum reeve_err err = reeve_http_url_parse(question->address, ask->host, &port, &path, why);
    if (err != REEVE_OK) {
        return err;
    }
    const char *authority = question->address + strlen("http://");
    const int rc =
        asprintf(&ask->request,
                 "GET %s%s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: reeve\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                 path[0] == '/' ? "" : "/", path, (int)strcspn(authority, "/?"), authority);
    if (rc < 0) {
        ask->request = NULL;
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    return start_lookup(ask, port, why);
}

// ---- commands -------------------------------------------------------------------------------------------------

// The first line of what it said, made fit for a record.
static void add_said(struct ask *ask)
{
    struct ask_answer *answer = &ask->answer;
    size_t len = strlen(answer->message);
    size_t line = 0;
    while (line < ask->head_len && ask->head[line] != '\n' && ask->head[line] != '\0') {
        line++;
    }
    while (line > 0 && !reeve_utf8_valid(ask->head, line)) {
        line--; // cut in the middle of a character, or no text
    }
    if (line > 0) {
        (void)snprintf(answer->message + len, sizeof answer->message - len, ": %.*s", (int)line, ask->head);
    }
    for (char *at = answer->message; *at != '\0'; at++) {
        *at = (unsigned char)*at < ' ' ? ' ' : *at;
    }
    for (size_t end = strlen(answer->message); end > 0 && !reeve_utf8_valid(answer->message, end); end--) {
        answer->message[end - 1] = '\0';
    }
}

static void on_said(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct ask *ask = stream->data;
    if (len < 0) {
        (void)uv_read_stop(stream);
    } else if (buf->base != ask->head + ask->head_len) {
        // beyond the head: read so that it never waits for us
    } else {
        ask->head_len += (size_t)len;
    }
}

static void give_room_or_none(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char nowhere[4096];
    struct ask *ask = handle->data;
    if (ask->head_len < sizeof ask->head) {
        give_room(handle, suggested, buf);
    } else {
        *buf = uv_buf_init(nowhere, sizeof nowhere);
    }
}

// What it wrote last may still be in a pipe.
static void read_rest(struct ask *ask)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ask->says) && ask->head_len < sizeof ask->head; i++) {
        uv_os_fd_t fd;
        if (uv_fileno((uv_handle_t *)&ask->says[i], &fd) == 0) {
            const ssize_t len = read(fd, ask->head + ask->head_len, sizeof ask->head - ask->head_len);
            ask->head_len += len > 0 ? (size_t)len : 0;
        }
    }
}

static void on_process_end(uv_process_t *process, int64_t status, int term_signal)
{
    struct ask *ask = process->data;
    char name[24];
    ask->process_open = false;
    // Reaped a moment ago; as long as a process of the group lives nobody else can have its number, and numbers are
    // given out in a circle, so that nobody has it yet if none does.
    (void)kill(-process->pid, SIGKILL);
    close_handle(process);
    if (ask->over) {
        return;
    }
    read_rest(ask);
    if (status == 0 && term_signal == 0) {
        finish(ask, true);
        return;
    }
    if (term_signal != 0) {
        (void)snprintf(ask->answer.message, sizeof ask->answer.message, "ended by %s",
                       reeve_signal_text(term_signal, name));
    } else {
        (void)snprintf(ask->answer.message, sizeof ask->answer.message, "exit %lld", (long long)status);
    }
    add_said(ask);
    finish(ask, false);
}

static enum reeve_err start_exec(struct ask *ask, const struct ask_question *question, struct reeve_why *why)
{
    const uv_stdio_flags pipe_flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE); // as the child sees it
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ask->says); i++) {
        (void)uv_pipe_init(ask->loop, &ask->says[i], 0); // never fails
        ask->says[i].data = ask;
        ask->refs++;
    }
    ask->says_open = true;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = pipe_flags, .data.stream = (uv_stream_t *)&ask->says[0]},
        {.flags = pipe_flags, .data.stream = (uv_stream_t *)&ask->says[1]},
    };
    const uv_process_options_t options = {
        .exit_cb = on_process_end,
        .file = question->argv[0],
        .args = (char **)(uintptr_t)question->argv, // libuv only reads them
        .env = (char **)(uintptr_t)question->env,
        .cwd = question->cwd != NULL ? question->cwd : "/",
        .flags = UV_PROCESS_DETACHED | (question->uid != (uid_t)-1 ? (unsigned)UV_PROCESS_SETUID : 0) |
                 (question->gid != (gid_t)-1 ? (unsigned)UV_PROCESS_SETGID : 0), // a group of its own, to be killed
        .stdio_count = REEVE_ARRAY_LEN(stdio),
        .stdio = stdio,
        .uid = question->uid,
        .gid = question->gid,
    };
    const int rc = uv_spawn(ask->loop, &ask->process, &options);
    ask->refs++; // also a spawn that failed leaves a handle to be closed
    if (rc != 0) {
        close_handle(&ask->process);
        return reeve_fail(why, REEVE_IO, "%s: %s", question->argv[0], uv_strerror(rc));
    }
    ask->process_open = true;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ask->says); i++) {
        (void)uv_read_start((uv_stream_t *)&ask->says[i], give_room_or_none, on_said); // without it: no words
    }
    return REEVE_OK;
}

// ---- all ------------------------------------------------------------------------------------------------------

enum reeve_err ask_start(uv_loop_t *loop, const struct ask_question *question, ask_done *done, void *arg,
                         struct ask **ret, struct reeve_why *why)
{
    static enum reeve_err (*const starts[])(struct ask * ask, const struct ask_question *question,
                                            struct reeve_why *why) = {
        [ASK_TCP] = start_tcp, [ASK_HTTP] = start_http, [ASK_EXEC] = start_exec};
    struct ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    *ask = (struct ask){.loop = loop,
                        .done = done,
                        .arg = arg,
                        .kind = question->kind,
                        .status = question->status,
                        .timeout_ms = question->timeout_ms,
                        .refs = 1};
    open_count++;
    (void)uv_timer_init(loop, &ask->timeout); // never fails
    uv_handle_t *const handles[] = {(uv_handle_t *)&ask->timeout, (uv_handle_t *)&ask->process};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(handles); i++) {
        handles[i]->data = ask;
    }
    ask->resolve.data = ask;
    ask->connect.data = ask;
    ask->write.data = ask;
    enum reeve_err err = starts[question->kind](ask, question, why);
    if (err != REEVE_OK) {
        let_go(ask);
        return err;
    }
    uv_update_time(loop);
    (void)uv_timer_start(&ask->timeout, on_timeout, (uint64_t)question->timeout_ms, 0); // fails only while closing
    *ret = ask;
    return REEVE_OK;
}

void ask_cancel(struct ask *ask)
{
    if (!ask->over) {
        let_go(ask);
    }
}

size_t ask_open(void)
{
    return open_count;
}

enum drain_step { DRAIN_WAITS, DRAIN_LATE, DRAIN_CLOSED };

static void drain_late(uv_timer_t *timer)
{
    *(enum drain_step *)timer->data = DRAIN_LATE;
}

static void drain_closed(uv_handle_t *timer)
{
    *(enum drain_step *)timer->data = DRAIN_CLOSED;
}

bool ask_drain(uv_loop_t *loop, int64_t timeout_ms)
{
    uv_timer_t timer;
    enum drain_step step = DRAIN_WAITS;
    if (open_count == 0) {
        return true;
    }
    (void)uv_timer_init(loop, &timer); // never fails
    timer.data = &step;
    uv_update_time(loop);
    (void)uv_timer_start(&timer, drain_late, (uint64_t)timeout_ms, 0); // fails only while closing
    while (open_count > 0 && step == DRAIN_WAITS) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&timer, drain_closed);
    while (step != DRAIN_CLOSED) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
    return open_count == 0;
}
