// reeve-bench-beanstalk: producer and worker at a beanstalkd, the same tasks as those of Reeve and BullMQ. The protocol
// is text; requests are sent without waiting for the replies of those before, as a client that wants to be quick does.
// Must not: be a client for anybody else: it ends on whatever it does not expect.
#include "job_order.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <reeve/str.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH           1000
#define UNACKED_MAX     4000
#define CONNECTIONS_MAX 256
#define BODY_MAX        65536
#define FLUSH_MS        5
#define OUT_MAX         ((size_t)BATCH * (BODY_MAX / 8) + BODY_MAX)

static volatile sig_atomic_t leaving;
static void on_term(int number)
{
    (void)number;
    leaving = 1;
}

// ---- a connection -----------------------------------------------------------------------------------------

struct connection {
    int fd;
    char in[2 * BODY_MAX];
    size_t in_len;
    uint64_t handed; // the job whose `delete` is on its way
};

_Noreturn static void give_up(const char *what)
{
    job_order_failed("%s: %s", what, errno != 0 ? strerror(errno) : "not as expected");
}

static void open_connection(struct connection *connection, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *connection = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0) {
        give_up("connecting");
    }
}

static void fill(struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->in + connection->in_len, sizeof connection->in - connection->in_len,
                       MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        give_up("receiving");
    }
    connection->in_len += got > 0 ? (size_t)got : 0;
}

static void consume(struct connection *connection, size_t len)
{
    connection->in_len -= len;
    memmove(connection->in, connection->in + len, connection->in_len);
}

// What can be written now; the rest stays in `buf`.
static size_t send_some(const struct connection *connection, const char *data, size_t len)
{
    ssize_t sent = send(connection->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        give_up("sending");
    }
    return sent > 0 ? (size_t)sent : 0;
}

static void send_all(const struct connection *connection, const char *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        sent += send_some(connection, data + sent, len - sent);
        if (sent < len && poll(&(struct pollfd){connection->fd, POLLOUT, 0}, 1, -1) < 0 && errno != EINTR) {
            give_up("sending");
        }
    }
}

// ---- producer ---------------------------------------------------------------------------------------------

struct producer {
    struct connection connection;
    struct job_lines lines;
    struct job_order order;
    struct job_sent sent;
    char *out;
    size_t out_len, out_at;
    bool busy, over;
};

static void put_job(struct producer *producer, uint64_t number)
{
    char head[24];
    size_t bytes = producer->order.bytes;
    int head_len = snprintf(head, sizeof head, "%llu ", (unsigned long long)number);
    size_t pad = bytes > (size_t)head_len ? bytes - (size_t)head_len : 0;
    producer->out_len +=
        (size_t)sprintf(producer->out + producer->out_len, "put 1024 0 60 %zu\r\n%s", (size_t)head_len + pad, head);
    memset(producer->out + producer->out_len, 'x', pad);
    producer->out_len += pad;
    memcpy(producer->out + producer->out_len, "\r\n", 2);
    producer->out_len += 2;
    producer->sent.ns[number] = job_now_ns();
}

// Puts what is due into the buffer; how long there is nothing to do.
static uint64_t produce(struct producer *producer)
{
    uint64_t wait_ns = 0;
    struct job_order *order = &producer->order;
    while (producer->out_len == 0 && order->sent - order->acked < UNACKED_MAX && wait_ns == 0) {
        uint64_t due = job_order_due(order, job_now_ns(), BATCH, &wait_ns);
        for (uint64_t i = 0; i < due; i++) {
            put_job(producer, order->first + order->sent++);
        }
        wait_ns = due > 0 ? 0 : wait_ns;
    }
    return wait_ns;
}

static void take_inserted(struct producer *producer)
{
    static const char word[] = "INSERTED ";
    char *end;
    struct connection *connection = &producer->connection;
    size_t at = 0;
    while ((end = memchr(connection->in + at, '\n', connection->in_len - at)) != NULL) {
        if (memcmp(connection->in + at, word, strlen(word)) != 0) {
            job_order_failed("put: %.*s", (int)strcspn(connection->in + at, "\r\n"), connection->in + at);
        }
        producer->order.acked++;
        at = (size_t)(end + 1 - connection->in);
    }
    consume(connection, at);
    if (producer->busy && job_order_over(&producer->order)) {
        producer->order.acked_ns = job_now_ns();
        producer->busy = false;
        job_order_tell(&producer->order);
    }
}

static void take_order(struct producer *producer)
{
    const char *line = producer->busy ? NULL : job_lines_next(&producer->lines, &producer->over);
    if (line != NULL) {
        producer->busy = job_order_read(&producer->order, line);
        if (!producer->busy || producer->order.bytes > BODY_MAX / 8) {
            job_order_failed("no order: %s", line);
        }
    }
}

static int run_producer(int port, const char *sent_path)
{
    static struct producer producer;
    struct reeve_why why = {0};
    producer.out = malloc(OUT_MAX);
    if (producer.out == NULL || job_sent_open(&producer.sent, sent_path, &why) != REEVE_OK) {
        job_order_failed("%s", why.text);
    }
    open_connection(&producer.connection, port);
    (void)fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK); // a pipe of ours
    while (!producer.over && leaving == 0) {
        uint64_t wait_ns = producer.busy ? produce(&producer) : UINT64_MAX;
        producer.out_at +=
            send_some(&producer.connection, producer.out + producer.out_at, producer.out_len - producer.out_at);
        if (producer.out_at == producer.out_len) {
            producer.out_at = producer.out_len = 0;
        }
        bool more = producer.out_len > 0;
        struct pollfd polls[2] = {{producer.connection.fd, (short)(POLLIN | (more ? POLLOUT : 0)), 0},
                                  {STDIN_FILENO, POLLIN, 0}};
        bool full = producer.order.sent - producer.order.acked >= UNACKED_MAX;
        struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        if (ppoll(polls, producer.busy ? 1 : 2, wait_ns == UINT64_MAX || more || full ? NULL : &wait, NULL) < 0 &&
            errno != EINTR) {
            give_up("waiting");
        }
        fill(&producer.connection);
        take_inserted(&producer);
        take_order(&producer);
    }
    return EXIT_SUCCESS;
}

// ---- worker: each of its connections has one job in hand, and takes the next in the same breath as it ends the last
// ----

struct work {
    struct connection *connections;
    size_t len;
    struct job_ledger ledger;
};

// True when a whole reply was taken.
static bool take_reply(struct work *work, struct connection *connection)
{
    char *end = memchr(connection->in, '\n', connection->in_len), request[64];
    unsigned long long id, bytes;
    if (end == NULL) {
        return false;
    }
    size_t line = (size_t)(end + 1 - connection->in);
    if (strncmp(connection->in, "DELETED\r\n", line) == 0 && connection->handed > 0) {
        work->ledger.head.completed++;
        work->ledger.head.completed_ns = job_now_ns();
        connection->handed = 0;
        consume(connection, line);
        return true;
    }
    *end = '\0';
    if (sscanf(connection->in, "RESERVED %llu %llu", &id, &bytes) != 2 || line + bytes + 2 > sizeof connection->in) {
        job_order_failed("reserve: %.60s", connection->in);
    }
    *end = '\n';
    if (connection->in_len < line + bytes + 2) {
        return false;
    }
    job_ledger_add(&work->ledger, strtoull(connection->in + line, NULL, 10), job_now_ns());
    consume(connection, line + bytes + 2);
    connection->handed = id;
    int len = snprintf(request, sizeof request, "delete %llu\r\nreserve\r\n", id);
    send_all(connection, request, (size_t)len);
    return true;
}

static int run_worker(int port, const char *ledger_path, size_t connections, const char *plant)
{
    static struct work work;
    static struct pollfd polls[CONNECTIONS_MAX];
    struct reeve_why why = {0};
    uint64_t flushed_ns = 0;
    work.len = connections;
    work.connections = calloc(connections, sizeof work.connections[0]);
    if (work.connections == NULL || job_ledger_open(&work.ledger, ledger_path, &why) != REEVE_OK) {
        job_order_failed("%s", why.text);
    }
    job_ledger_plant(&work.ledger, plant);
    for (size_t i = 0; i < connections; i++) {
        open_connection(&work.connections[i], port);
        polls[i] = (struct pollfd){work.connections[i].fd, POLLIN, 0};
        send_all(&work.connections[i], "reserve\r\n", strlen("reserve\r\n"));
    }
    work.ledger.head.ready = 1;
    job_ledger_flush(&work.ledger);
    while (leaving == 0) {
        uint64_t now_ns = job_now_ns();
        bool told = memcmp(&work.ledger.head, &work.ledger.written, sizeof work.ledger.head) == 0;
        if (!told && now_ns - flushed_ns > FLUSH_MS * 1000000u) {
            job_ledger_flush(&work.ledger);
            flushed_ns = now_ns;
            told = true;
        }
        if (poll(polls, connections, told ? -1 : FLUSH_MS) < 0 && errno != EINTR) {
            give_up("waiting");
        }
        for (size_t i = 0; i < connections; i++) {
            if (polls[i].revents != 0) {
                fill(&work.connections[i]);
                while (take_reply(&work, &work.connections[i])) {
                }
            }
        }
    }
    job_ledger_flush(&work.ledger);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int64_t port = 0, connections = 0;
    struct sigaction action = {.sa_handler = on_term};
    (void)sigaction(SIGTERM, &action, NULL); // these numbers exist
    (void)sigaction(SIGINT, &action, NULL);
    bool good = argc >= 4 && reeve_parse_i64(argv[2], &port, NULL) == REEVE_OK && port > 0 && port < 65536;
    if (good && argc == 4 && strcmp(argv[1], "producer") == 0) {
        return run_producer((int)port, argv[3]);
    }
    if (good && argc >= 5 && argc <= 6 && strcmp(argv[1], "worker") == 0 &&
        reeve_parse_i64(argv[4], &connections, NULL) == REEVE_OK && connections > 0 && connections <= CONNECTIONS_MAX) {
        return run_worker((int)port, argv[3], (size_t)connections, argv[5]);
    }
    (void)fputs("usage: reeve-bench-beanstalk producer PORT SENT | worker PORT LEDGER CONNECTIONS [FAULT]\n", stderr);
    return 2;
}
