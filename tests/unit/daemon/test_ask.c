// Questions from outside, with real sockets and real processes: each ends with one answer, or none when it was
// cancelled, and leaves no handle, socket or process behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include "ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <reeve/clock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 15000

struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    bool late;
    uv_tcp_t server;
    bool serving;
    int port;
    const char *reply; // what the server says to whoever asks; NULL = nothing, "" = it closes
    bool by_bytes;
    char asked[1024]; // what it was asked
    size_t clients;
    int answers;
    struct ask_answer answer;
    struct ask *ask;
};

struct client {
    uv_tcp_t socket;
    uv_write_t write;
    struct fixture *f;
    size_t sent;
    char room[1024];
};

static void on_late(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->late = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || uv_loop_init(&f->loop) != 0) {
        return -1;
    }
    (void)uv_timer_init(&f->loop, &f->deadline);
    f->deadline.data = f;
    *state = f;
    return 0;
}

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    client->f->clients--;
    free(client);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_true(ask_drain(&f->loop, DEADLINE_MS));
    assert_int_equal(ask_open(), 0);
    while (f->clients > 0) { // whoever asked is gone, which the server sees
        assert_int_not_equal(uv_run(&f->loop, UV_RUN_ONCE), -1);
    }
    uv_walk(&f->loop, close_any, NULL); // deadline and server
    while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0) {
        // until every handle is closed
    }
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    free(f);
    return 0;
}

#define WAIT_FOR(f, cond)                                                                                              \
    do {                                                                                                               \
        (f)->late = false;                                                                                             \
        (void)uv_timer_start(&(f)->deadline, on_late, DEADLINE_MS, 0);                                                 \
        while (!(cond) && !(f)->late) {                                                                                \
            (void)uv_run(&(f)->loop, UV_RUN_ONCE);                                                                     \
        }                                                                                                              \
        (void)uv_timer_stop(&(f)->deadline);                                                                           \
        if (!(cond)) {                                                                                                 \
            fail_msg("deadline: %s", #cond);                                                                           \
        }                                                                                                              \
    } while (0)

// ---- a server that says one thing -----------------------------------------------------------------------------------

static void say_more(struct client *client);

static void said(uv_write_t *write, int status)
{
    struct client *client = write->data;
    if (status == 0 && client->sent < strlen(client->f->reply)) {
        say_more(client);
    }
}

static void say_more(struct client *client)
{
    const char *rest = client->f->reply + client->sent;
    const size_t len = client->f->by_bytes ? 1 : strlen(rest);
    const uv_buf_t buf = uv_buf_init((char *)(uintptr_t)rest, (unsigned)len);
    client->sent += len;
    client->write.data = client;
    (void)uv_write(&client->write, (uv_stream_t *)&client->socket, &buf, 1,
                   said); // a client that has gone reads nothing
}

static void give(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *client = handle->data;
    (void)suggested;
    *buf = uv_buf_init(client->room, sizeof client->room);
}

static void heard(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct client *client = stream->data;
    struct fixture *f = client->f;
    if (len < 0 || (f->reply != NULL && f->reply[0] == '\0')) {
        uv_close((uv_handle_t *)stream, client_closed);
        return;
    }
    const size_t have = strlen(f->asked);
    (void)snprintf(f->asked + have, sizeof f->asked - have, "%.*s", (int)len, buf->base);
    if (f->reply != NULL && client->sent == 0) {
        say_more(client);
    }
}

static void called(uv_stream_t *server, int status)
{
    struct fixture *f = server->data;
    struct client *client = calloc(1, sizeof *client);
    assert_int_equal(status, 0);
    assert_non_null(client);
    client->f = f;
    (void)uv_tcp_init(&f->loop, &client->socket);
    client->socket.data = client;
    f->clients++;
    assert_int_equal(uv_accept(server, (uv_stream_t *)&client->socket), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&client->socket, give, heard), 0);
}

static void serve(struct fixture *f, const char *reply)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof address;
    f->reply = reply;
    f->asked[0] = '\0';
    if (f->port != 0) {
        return;
    }
    (void)uv_tcp_init(&f->loop, &f->server);
    f->server.data = f;
    assert_int_equal(uv_tcp_bind(&f->server, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&f->server, 16, called), 0);
    assert_int_equal(uv_tcp_getsockname(&f->server, (struct sockaddr *)&address, &len), 0);
    f->port = ntohs(address.sin_port);
}

// ---- asking ---------------------------------------------------------------------------------------------------------

static void answered(const struct ask_answer *answer, void *arg)
{
    struct fixture *f = arg;
    f->answers++;
    f->answer = *answer;
    f->ask = NULL;
}

static void ask(struct fixture *f, struct ask_question question)
{
    struct reeve_why why = {0};
    static const char *const env[] = {"PATH=/usr/bin:/bin", "WORD=green", NULL};
    question.uid = (uid_t)-1;
    question.gid = (gid_t)-1;
    question.env = env;
    question.timeout_ms = question.timeout_ms != 0 ? question.timeout_ms : 10000;
    f->answers = 0;
    if (ask_start(&f->loop, &question, answered, f, &f->ask, &why) != REEVE_OK) {
        fail_msg("ask_start: %s", why.text);
    }
    assert_int_equal(f->answers, 0); // never from there
}

static void ask_and_wait(struct fixture *f, struct ask_question question)
{
    ask(f, question);
    WAIT_FOR(f, f->answers > 0);
    assert_int_equal(f->answers, 1);
}

static void tcp_at(struct fixture *f, const char *host, int port)
{
    char address[300];
    (void)snprintf(address, sizeof address, "%s:%d", host, port);
    ask_and_wait(f, (struct ask_question){.kind = ASK_TCP, .address = address});
}

static void http_at(struct fixture *f, const char *path, int64_t status)
{
    char address[300];
    (void)snprintf(address, sizeof address, "http://127.0.0.1:%d%s", f->port, path);
    ask_and_wait(f, (struct ask_question){.kind = ASK_HTTP, .address = address, .status = status, .timeout_ms = 300});
}

#define EXEC(...)   ((struct ask_question){.kind = ASK_EXEC, .argv = (const char *const[]){__VA_ARGS__, NULL}})
#define SHELL(text) EXEC("sh", "-c", text)

static int unused_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

// ---- ports
// ------------------------------------------------------------------------------------------------------------

static void port_that_accepts_is_good(void **state)
{
    struct fixture *f = *state;
    serve(f, NULL);
    tcp_at(f, "127.0.0.1", f->port);
    assert_true(f->answer.ok);
    assert_string_equal(f->answer.message, "");
    assert_true(f->answer.connect_us >= 0 && f->answer.connect_us < DEADLINE_MS * INT64_C(1000));
    char port[16];
    (void)snprintf(port, sizeof port, "%d", f->port);
    ask_and_wait(f, (struct ask_question){.kind = ASK_TCP, .address = port});
    assert_true(f->answer.ok);
}

// `localhost` may be ::1 first, where nobody listens: the next address counts.
static void name_is_looked_up_and_each_address_tried(void **state)
{
    struct fixture *f = *state;
    serve(f, NULL);
    tcp_at(f, "localhost", f->port);
    assert_true(f->answer.ok);
}

static void port_that_refuses_says_so(void **state)
{
    struct fixture *f = *state;
    tcp_at(f, "127.0.0.1", unused_port());
    assert_false(f->answer.ok);
    assert_string_equal(f->answer.message, "connection refused");
    tcp_at(f, "localhost", unused_port());
    assert_false(f->answer.ok);
    assert_string_equal(f->answer.message, "connection refused");
}

static void name_that_nobody_knows_says_so(void **state)
{
    struct fixture *f = *state;
    tcp_at(f, "no-such-host.invalid", 80);
    assert_false(f->answer.ok);
    assert_non_null(strstr(f->answer.message, "no-such-host.invalid: "));
}

// A listener whose queue is full: the kernel drops what comes, and a connection hangs.
static void port_that_hangs_ends_by_the_timeout(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fds[5];
    for (size_t i = 0; i < REEVE_ARRAY_LEN(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    assert_int_equal(bind(fds[0], (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)&address, &len), 0);
    for (size_t i = 1; i < REEVE_ARRAY_LEN(fds); i++) {
        (void)connect(fds[i], (struct sockaddr *)&address, len); // the first is taken, the others wait
    }
    char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    ask_and_wait(f, (struct ask_question){.kind = ASK_TCP, .address = text, .timeout_ms = 200});
    assert_false(f->answer.ok);
    assert_string_equal(f->answer.message, "no answer within 200ms");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(fds); i++) {
        (void)close(fds[i]);
    }
}

static void what_is_no_address_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum ask_kind kind;
        const char *address;
    } rows[] = {{ASK_TCP, "nowhere"}, {ASK_TCP, "a:b"}, {ASK_TCP, ""}, {ASK_HTTP, "https://a/"}, {ASK_HTTP, "http://"}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_why why = {0};
        struct ask *made = NULL;
        const struct ask_question question = {.kind = rows[i].kind, .address = rows[i].address, .timeout_ms = 100};
        assert_int_equal(ask_start(&f->loop, &question, answered, f, &made, &why), REEVE_INVALID);
        assert_null(made);
        assert_true(why.text[0] != '\0');
    }
}

// ---- HTTP
// -------------------------------------------------------------------------------------------------------------

static void status_of_an_answer(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *reply;
        int64_t expected;
        bool ok;
        const char *message;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 0, true, ""},
        {"HTTP/1.0 204\r\n\r\n", 0, true, ""},
        {"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", 0, true, ""},
        {"HTTP/1.1 399 ?\r\n", 0, true, ""},
        {"HTTP/1.1 400 Bad Request\r\n", 0, false, "status 400"},
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", 0, false, "status 503"},
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, true, ""},
        {"HTTP/1.1 200 OK\r\n\r\n", 503, false, "status 200"},
        {"HTTP/1.1 100 Continue\r\n\r\n", 0, false, "status 100"},
        {"SSH-2.0-OpenSSH_9.2\r\n", 0, false, "answers, but not with HTTP"},
        {"HTTP/1.1 2000 OK\r\n", 0, false, "answers, but not with HTTP"},
        {"HTTP/1.1 20", 0, false, "no answer within 300ms"},
        {NULL, 0, false, "no answer within 300ms"},
        {"", 0, false, "closed the connection without an answer"},
    };
    for (int bytes = 0; bytes < 2; bytes++) {
        for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
            f->by_bytes = bytes == 1;
            serve(f, rows[i].reply);
            http_at(f, "/health?deep=1", rows[i].expected);
            if (f->answer.ok != rows[i].ok || strcmp(f->answer.message, rows[i].message) != 0) {
                fail_msg("row %zu: %d %s", i, f->answer.ok, f->answer.message);
            }
        }
    }
}

static void request_is_one_that_servers_take(void **state)
{
    struct fixture *f = *state;
    char wanted[128];
    serve(f, "HTTP/1.1 200 OK\r\n\r\n");
    http_at(f, "/health", 0);
    (void)snprintf(wanted, sizeof wanted, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", f->port);
    assert_non_null(strstr(f->asked, wanted));
    assert_non_null(strstr(f->asked, "Connection: close\r\n\r\n"));
    serve(f, "HTTP/1.1 200 OK\r\n\r\n");
    http_at(f, "", 0);
    assert_non_null(strstr(f->asked, "GET / HTTP/1.1\r\n"));
    serve(f, "HTTP/1.1 200 OK\r\n\r\n");
    http_at(f, "?q=1", 0);
    assert_non_null(strstr(f->asked, "GET /?q=1 HTTP/1.1\r\n"));
}

static void answer_of_more_than_is_looked_at(void **state)
{
    struct fixture *f = *state;
    char *reply = malloc(200000);
    assert_non_null(reply);
    memset(reply, 'x', 199999);
    reply[199999] = '\0';
    memcpy(reply, "HTTP/1.1 200 OK\r\n", 17);
    serve(f, reply);
    http_at(f, "/", 0);
    assert_true(f->answer.ok);
    WAIT_FOR(f, f->clients == 0);
    free(reply);
}

static void status_line_by_its_length(void **state)
{
    (void)state;
    static const char line[] = "HTTP/1.1 200 OK\r\n";
    for (size_t len = 0; len < sizeof line; len++) {
        assert_int_equal(ask_http_status(line, len), len < 13 ? 0 : 200);
    }
    assert_int_equal(ask_http_status("HTTP/2.0 200 ", 13), -1);
    assert_int_equal(ask_http_status("HTTP/1.1 000 ", 13), -1);
    assert_int_equal(ask_http_status("HTTP/1.1 2x0 ", 13), -1);
    assert_int_equal(ask_http_status("http", 4), -1);
}

// ---- commands
// ---------------------------------------------------------------------------------------------------------

static void exit_code_decides(void **state)
{
    struct fixture *f = *state;
    ask_and_wait(f, EXEC("true"));
    assert_true(f->answer.ok);
    ask_and_wait(f, EXEC("false"));
    assert_false(f->answer.ok);
    assert_string_equal(f->answer.message, "exit 1");
    ask_and_wait(f, SHELL("kill -SEGV $$"));
    assert_string_equal(f->answer.message, "ended by SIGSEGV");
}

static void first_line_of_what_it_says_is_told(void **state)
{
    struct fixture *f = *state;
    ask_and_wait(f, SHELL("echo \"pool is $WORD\"; echo more; exit 3"));
    assert_string_equal(f->answer.message, "exit 3: pool is green");
    ask_and_wait(f, SHELL("echo 'to stderr' >&2; exit 4"));
    assert_string_equal(f->answer.message, "exit 4: to stderr");
    ask_and_wait(f, SHELL("printf 'a\\tb\\033c'; exit 5"));
    assert_string_equal(f->answer.message, "exit 5: a b c");
    ask_and_wait(f, SHELL("printf '\\377\\376'; exit 6"));
    assert_string_equal(f->answer.message, "exit 6");
    ask_and_wait(f, SHELL("i=0; while [ $i -lt 300 ]; do printf 'ä'; i=$((i+1)); done; exit 7"));
    assert_true(reeve_utf8_valid(f->answer.message, strlen(f->answer.message)));
    assert_true(strlen(f->answer.message) > 100);
}

// A megabyte: more than any pipe holds. It must neither block nor be kept.
static void much_that_it_says_blocks_nobody(void **state)
{
    struct fixture *f = *state;
    ask_and_wait(f, SHELL("head -c 1000000 /dev/zero | tr '\\0' 'x'; head -c 1000000 /dev/zero >&2; exit 0"));
    assert_true(f->answer.ok);
}

static void program_that_is_not_there_is_refused(void **state)
{
    struct fixture *f = *state;
    struct reeve_why why = {0};
    struct ask *made = NULL;
    struct ask_question question = EXEC("/no/such/program");
    question.uid = (uid_t)-1;
    question.gid = (gid_t)-1;
    question.timeout_ms = 1000;
    assert_int_equal(ask_start(&f->loop, &question, answered, f, &made, &why), REEVE_IO);
    assert_non_null(strstr(why.text, "/no/such/program: no such file"));
}

static pid_t read_pid(const char *path)
{
    FILE *file = fopen(path, "re");
    int pid = 0;
    if (file != NULL) {
        (void)!fscanf(file, "%d", &pid);
        (void)fclose(file);
    }
    return pid;
}

static bool is_gone(pid_t pid)
{
    char path[64];
    char state = 'X';
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        (void)!fscanf(file, "%*d (%*[^)]) %c", &state);
        (void)fclose(file);
    }
    return state == 'X' || state == 'Z'; // a zombie of init's, about to be reaped
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; // only so that WAIT_FOR looks again
}

// The command hangs with a child of its own, both deaf: all of its group is gone, also when it had ended in time and
// left one.
static void group_of_a_command_is_ended(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/reeve-ask-XXXXXX";
    char script[256];
    uv_timer_t tick;
    (void)close(mkstemp(path));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(truncate(path, 0), 0);
        if (i == 0) {
            (void)snprintf(script, sizeof script,
                           "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > %s; while :; do sleep 1000; done' & wait",
                           path);
        } else {
            (void)snprintf(script, sizeof script,
                           "sh -c 'echo $$ > %s; while :; do sleep 1000; done' >/dev/null 2>&1 & "
                           "while ! [ -s %s ]; do :; done; exit 1",
                           path, path);
        }
        struct ask_question question = SHELL(script);
        question.timeout_ms = i == 0 ? 400 : 10000;
        ask_and_wait(f, question);
        assert_false(f->answer.ok);
        assert_string_equal(f->answer.message, i == 0 ? "no answer within 400ms" : "exit 1");
        const pid_t child = read_pid(path);
        assert_true(child > 0);
        (void)uv_timer_init(&f->loop, &tick);
        (void)uv_timer_start(&tick, on_tick, 5, 5);
        WAIT_FOR(f, is_gone(child));
        WAIT_FOR(f, ask_open() == 0);
        uv_close((uv_handle_t *)&tick, NULL);
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    (void)unlink(path);
}

// ---- cancelled
// --------------------------------------------------------------------------------------------------------

static void cancelled_questions_have_no_answer(void **state)
{
    struct fixture *f = *state;
    char tcp[64];
    char http[64];
    serve(f, NULL);
    (void)snprintf(tcp, sizeof tcp, "127.0.0.1:%d", f->port);
    (void)snprintf(http, sizeof http, "http://127.0.0.1:%d/", f->port);
    const struct ask_question questions[] = {
        {.kind = ASK_TCP, .address = tcp},
        {.kind = ASK_TCP, .address = "localhost:1"},
        {.kind = ASK_HTTP, .address = http},
        SHELL("trap '' TERM; sleep 1000"),
        EXEC("true"),
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(questions); i++) {
        for (int turns = 0; turns < 4; turns++) { // at once, and a little later
            ask(f, questions[i]);
            for (int turn = 0; turn < turns; turn++) {
                (void)uv_run(&f->loop, UV_RUN_NOWAIT);
            }
            if (f->ask != NULL) {
                ask_cancel(f->ask);
                assert_true(ask_drain(&f->loop, DEADLINE_MS));
                assert_int_equal(f->answers, 0);
            }
        }
    }
}

static void many_at_once(void **state)
{
    struct fixture *f = *state;
    struct ask *asks[40];
    char http[64];
    struct reeve_why why;
    serve(f, "HTTP/1.1 200 OK\r\n\r\n");
    (void)snprintf(http, sizeof http, "http://127.0.0.1:%d/", f->port);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(asks); i++) {
        const struct ask_question question = {.kind = ASK_HTTP, .address = http, .timeout_ms = 10000};
        assert_int_equal(ask_start(&f->loop, &question, answered, f, &asks[i], &why), REEVE_OK);
    }
    WAIT_FOR(f, f->answers == (int)REEVE_ARRAY_LEN(asks));
    assert_true(f->answer.ok);
}

int main(void)
{
#define RUN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RUN_TEST(port_that_accepts_is_good),
        RUN_TEST(name_is_looked_up_and_each_address_tried),
        RUN_TEST(port_that_refuses_says_so),
        RUN_TEST(name_that_nobody_knows_says_so),
        RUN_TEST(port_that_hangs_ends_by_the_timeout),
        RUN_TEST(what_is_no_address_is_refused_at_once),
        RUN_TEST(status_of_an_answer),
        RUN_TEST(request_is_one_that_servers_take),
        RUN_TEST(answer_of_more_than_is_looked_at),
        RUN_TEST(status_line_by_its_length),
        RUN_TEST(exit_code_decides),
        RUN_TEST(first_line_of_what_it_says_is_told),
        RUN_TEST(much_that_it_says_blocks_nobody),
        RUN_TEST(program_that_is_not_there_is_refused),
        RUN_TEST(group_of_a_command_is_ended),
        RUN_TEST(cancelled_questions_have_no_answer),
        RUN_TEST(many_at_once),
    };
    (void)signal(SIGPIPE, SIG_IGN); // as reeve_signals_new() does for a program
    return cmocka_run_group_tests(tests, NULL, NULL);
}
