// Brokers and clients for the tests of the bus.
// Must not use a fixed port, and must end only what it started.
#include "site.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_MS 2 // how often a waiting test looks at its condition when nothing happens

extern char **environ;

static const char *program(enum site_engine engine)
{
    static const char *const mosquitto[] = {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"};
    static const char *const nats[] = {"/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"};
    const char *const *paths = engine == SITE_NATS ? nats : mosquitto;
    for (size_t i = 0; i < 3; i++) {
        if (access(paths[i], X_OK) == 0) {
            return paths[i];
        }
    }
    return NULL;
}

bool site_available(enum site_engine engine)
{
    return program(engine) != NULL;
}

static int listen_anywhere(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

uint16_t site_listen(int *ret_fd)
{
    uint16_t port = 0;
    *ret_fd = listen_anywhere(&port);
    assert_int_equal(listen(*ret_fd, 8), 0);
    return port;
}

static uint16_t free_port(void)
{
    uint16_t port = 0;
    (void)close(listen_anywhere(&port));
    return port;
}

static void write_file(const struct site *site, const char *name, const char *text)
{
    char path[128];
    struct reeve_why why = {0};
    (void)snprintf(path, sizeof(path), "%s/%s", site->dir, name);
    assert_int_equal(reeve_file_write_atomic(path, text, strlen(text), 0600, &why), REEVE_OK);
}

static void configure_mosquitto(struct site *site)
{
    char text[2048];
    (void)snprintf(text, sizeof(text),
                   "listener %u 127.0.0.1\n%s"
                   "max_inflight_messages %d\nmax_queued_messages 1000000\nmax_queued_bytes 67108864\n"
                   "set_tcp_nodelay true\npersistence false\nallow_anonymous %s\n",
                   (unsigned)site->port, geteuid() == 0 ? "user root\n" : "",
                   site->inflight_max > 0 ? site->inflight_max : 1000, site->passwords ? "false" : "true");
    if (site->passwords) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "password_file %s/passwords\nacl_file %s/acl\n", site->dir, site->dir);
        write_file(site, "acl",
                   "user joe\ntopic readwrite " SITE_ROOT "/open/#\ntopic readwrite " SITE_ROOT "/reply/joe/#\n"
                   "user jim\ntopic read #\n");
    }
    write_file(site, "broker.conf", text);
}

pid_t site_spawn(const char *const argv[], const posix_spawn_file_actions_t *actions)
{
    pid_t pid = 0;
    // posix_spawn only reads the strings; its prototype is older than const.
    assert_int_equal(posix_spawn(&pid, argv[0], actions, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    return pid;
}

static void run(const char *const argv[])
{
    int status = 0;
    pid_t pid = site_spawn(argv, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void make_passwords(const struct site *site)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/passwords", site->dir);
    write_file(site, "passwords", "");
    run((const char *[]){"/usr/bin/mosquitto_passwd", "-b", path, "joe", "secret", NULL});
    run((const char *[]){"/usr/bin/mosquitto_passwd", "-b", path, "jim", "secret", NULL});
}

static void configure_nats(struct site *site)
{
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "server_name: reeve-test\nlisten: 127.0.0.1:%u\njetstream { store_dir: \"%s/store\" }\n"
                   "mqtt { listen: \"127.0.0.1:%u\" }\n",
                   (unsigned)free_port(), site->dir, (unsigned)site->port);
    write_file(site, "broker.conf", text);
}

// A test that fails leaves its function at once: what it started ends with the program.
static struct site left_behind[256];
static size_t left_behind_len;

__attribute__((destructor)) static void end_left_behind(void)
{
    for (size_t i = 0; i < left_behind_len; i++) {
        if (left_behind[i].pid > 0) {
            (void)kill(left_behind[i].pid, SIGKILL); // a child of ours that nobody has waited for
        }
        (void)reeve_dir_remove(left_behind[i].dir, NULL); /* nobody to tell */
    }
}

static void note(const struct site *site)
{
    for (size_t i = 0; i < left_behind_len; i++) {
        if (strcmp(left_behind[i].dir, site->dir) == 0) {
            left_behind[i].pid = site->pid;
            return;
        }
    }
    assert_true(left_behind_len < REEVE_ARRAY_LEN(left_behind));
    left_behind[left_behind_len++] = *site;
}

static void on_tick(struct reeve_timer *timer, void *arg)
{
    (void)arg;
    reeve_timer_start(timer, ROUND_MS, 0);
}

void site_init(struct site *site, enum site_engine engine, int version, bool passwords)
{
    *site = (struct site){.engine = engine, .version = version, .passwords = passwords};
    (void)snprintf(site->dir, sizeof(site->dir), "/tmp/reeve-bus-XXXXXX");
    assert_non_null(mkdtemp(site->dir));
    note(site);
    site->port = free_port();
    if (passwords) {
        make_passwords(site);
    }
    assert_int_equal(uv_loop_init(&site->loop), 0);
    reeve_timer_init(&site->loop, &site->tick, on_tick, NULL);
    reeve_timer_start(&site->tick, 0, 0);
}

static bool answers(const struct site *site)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(site->port)};
    bool good = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd);
    return good;
}

void site_turn(struct site *site)
{
    (void)uv_run(&site->loop, UV_RUN_ONCE);
}

void site_start(struct site *site)
{
    if (site->engine == SITE_NATS) {
        configure_nats(site);
    } else {
        configure_mosquitto(site);
    }
    char path[128], log[128];
    (void)snprintf(path, sizeof(path), "%s/broker.conf", site->dir);
    (void)snprintf(log, sizeof(log), "%s/broker.log", site->dir);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, 1, 2), 0);
    site->pid = site_spawn((const char *[]){program(site->engine), "-c", path, NULL}, &actions);
    (void)posix_spawn_file_actions_destroy(&actions);
    note(site);
    SITE_WAIT(site, answers(site));
}

void site_signal(struct site *site, int signal)
{
    assert_int_equal(kill(site->pid, signal), 0);
    if (signal == SIGKILL || signal == SIGTERM) {
        assert_int_equal(waitpid(site->pid, NULL, 0), site->pid);
        site->pid = 0;
        note(site);
    }
}

void site_done(struct site *site)
{
    if (site->pid > 0) {
        (void)kill(site->pid, SIGCONT);
        site_signal(site, SIGKILL);
    }
    reeve_timer_close(&site->tick, NULL);
    reeve_loop_finish(&site->loop);
    struct reeve_why why = {0};
    assert_int_equal(reeve_dir_remove(site->dir, &why), REEVE_OK);
}

// ---- clients -----------------------------------------------------------------------------------------------

static uint64_t on_epoch(struct reeve_buf *will, void *arg)
{
    struct client *client = arg;
    client->next_epoch++;
    if (will != NULL) {
        reeve_buf_printf(will, "%llu", (unsigned long long)client->next_epoch);
    }
    return client->next_epoch;
}

static void on_session(struct reeve_bus *bus, uint64_t epoch, void *arg)
{
    struct client *client = arg;
    (void)bus;
    if (client->sessions < (int)REEVE_ARRAY_LEN(client->epochs)) {
        client->epochs[client->sessions] = epoch;
    }
    client->sessions++;
    if (client->on_session != NULL) {
        client->on_session(client);
    }
}

static void on_ready(struct reeve_bus *bus, void *arg)
{
    struct client *client = arg;
    (void)bus;
    client->readies++;
}

static void on_lost(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg)
{
    struct client *client = arg;
    (void)bus;
    client->losses++;
    client->why = *why;
    client->retry_ms = retry_ms;
}

static void on_room(struct reeve_bus *bus, void *arg)
{
    struct client *client = arg;
    (void)bus;
    client->rooms++;
}

static void on_stopped(struct reeve_bus *bus, void *arg)
{
    struct client *client = arg;
    (void)bus;
    client->stops++;
}

void client_init(struct client *client, struct site *site, const char *name)
{
    *client = (struct client){0};
    (void)snprintf(client->url, sizeof(client->url), "mqtt://127.0.0.1:%u", (unsigned)site->port);
    (void)snprintf(client->username, sizeof(client->username), "joe");
    (void)snprintf(client->password, sizeof(client->password), "secret");
    client->broker = (struct reeve_broker){.url = client->url, .version = site->version, .keep_alive_ms = 5000};
    if (site->passwords) {
        client->broker.username = client->username;
        client->broker.password = client->password;
    }
    client->options = (struct reeve_bus_options){.loop = &site->loop,
                                                 .broker = &client->broker,
                                                 .root = SITE_ROOT,
                                                 .client = name,
                                                 .next_epoch = on_epoch,
                                                 .on_session = on_session,
                                                 .on_ready = on_ready,
                                                 .on_lost = on_lost,
                                                 .on_room = on_room,
                                                 .arg = client};
}

void client_open(struct client *client)
{
    struct reeve_why why = {0};
    if (client->bus == NULL && reeve_bus_new(&client->options, &client->bus, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
    reeve_bus_start(client->bus);
}

void client_ready(struct client *client, struct site *site)
{
    client_open(client);
    SITE_WAIT(site, client->readies > 0);
}

void client_close(struct client *client, struct site *site)
{
    int stops = client->stops;
    reeve_bus_stop(client->bus, 5000, on_stopped, client);
    SITE_WAIT(site, client->stops == stops + 1);
    assert_int_equal(reeve_bus_state(client->bus), REEVE_BUS_IDLE);
    reeve_bus_free(client->bus);
    client->bus = NULL;
}

static void keep(char *to, size_t size, const void *from, size_t len)
{
    if (len >= size) {
        len = size - 1;
    }
    if (len > 0) {
        memcpy(to, from, len);
    }
    to[len] = '\0';
}

void seen_handler(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct seen *seen = arg;
    (void)bus;
    keep(seen->last, sizeof(seen->last), delivery->payload, delivery->payload_len);
    keep(seen->last_topic, sizeof(seen->last_topic), delivery->topic, strlen(delivery->topic));
    if (seen->count < REEVE_ARRAY_LEN(seen->texts)) {
        keep(seen->texts[seen->count], sizeof(seen->texts[0]), delivery->payload, delivery->payload_len);
    }
    if (delivery->response_topic != NULL) {
        keep(seen->response_topic, sizeof(seen->response_topic), delivery->response_topic,
             strlen(delivery->response_topic));
    }
    keep(seen->correlation, sizeof(seen->correlation), delivery->correlation, delivery->correlation_len);
    seen->count++;
    seen->retained += delivery->retained ? 1 : 0;
}

void client_subscribe(struct client *client, const char *below_root, unsigned flags, struct seen *seen)
{
    struct reeve_why why = {0};
    char filter[REEVE_TOPIC_SIZE];
    if (client->bus == NULL && reeve_bus_new(&client->options, &client->bus, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
    (void)snprintf(filter, sizeof(filter), SITE_ROOT "/%s", below_root);
    assert_int_equal(reeve_bus_subscribe(client->bus, filter, 1, flags, seen_handler, seen, &why), REEVE_OK);
}

void outcome_result(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    struct outcome *outcome = arg;
    (void)bus;
    outcome->calls++;
    outcome->err = err;
    outcome->why = *why;
}

enum reeve_err client_say(struct client *client, const char *below_root, const char *text, enum reeve_bus_class class,
                          bool retain, struct outcome *outcome)
{
    char topic[REEVE_TOPIC_SIZE];
    (void)snprintf(topic, sizeof(topic), SITE_ROOT "/%s", below_root);
    const struct reeve_bus_message message = {.topic = topic,
                                              .payload = text,
                                              .payload_len = strlen(text),
                                              .qos = 1,
                                              .retain = retain,
                                              .class = class,
                                              .result = outcome != NULL ? outcome_result : NULL,
                                              .arg = outcome};
    return reeve_bus_publish(client->bus, &message, NULL);
}
