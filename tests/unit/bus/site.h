// A broker of its own for a test: started on an asked-for port from a configuration in a temporary folder, killed,
// frozen and restarted at will; and clients that count what happens to them.
#ifndef TEST_BUS_SITE_H
#define TEST_BUS_SITE_H

#include "../../../shared/bus/session.h"
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#include <cmocka.h>
#include <reeve/bus.h>

#define SITE_ROOT        "reeve/v1/test"
#define SITE_DEADLINE_MS 20000

enum site_engine { SITE_MOSQUITTO, SITE_NATS };

struct site {
    enum site_engine engine;
    int version;
    bool passwords;   // user `joe`, password `secret`; `joe` may use only SITE_ROOT/open/# and his replies
    int inflight_max; // Receive Maximum that mosquitto announces; 0 = 1000. Set before site_start()
    char dir[64];
    uint16_t port;
    pid_t pid;
    uv_loop_t loop;
    struct reeve_timer tick; // wakes the loop so that conditions are looked at
};

uint16_t site_listen(int *ret_fd); // a port that accepts and says nothing
// False when the program is not installed.
bool site_available(enum site_engine engine);
void site_init(struct site *site, enum site_engine engine, int version, bool passwords);
void site_start(struct site *site);
void site_signal(struct site *site, int signal); // SIGKILL and SIGTERM wait for its end
void site_done(struct site *site);
pid_t site_spawn(const char *const argv[], const posix_spawn_file_actions_t *actions);

// Usage: SITE_WAIT(site, seen == 3);
#define SITE_WAIT_MS(site, deadline_ms, condition)                                                                     \
    do {                                                                                                               \
        int64_t site_until_mono = reeve_clock_mono_ms() + (deadline_ms);                                               \
        while (!(condition)) {                                                                                         \
            if (reeve_clock_mono_ms() > site_until_mono) {                                                             \
                fail_msg("not reached in time: %s", #condition);                                                       \
            }                                                                                                          \
            site_turn(site);                                                                                           \
        }                                                                                                              \
    } while (0)
#define SITE_WAIT(site, condition) SITE_WAIT_MS(site, SITE_DEADLINE_MS, condition)
void site_turn(struct site *site);

struct client {
    struct reeve_bus *bus;
    struct reeve_broker broker;
    struct reeve_bus_options options;
    char url[64], username[16], password[16];
    uint64_t next_epoch;
    int sessions, readies, losses, rooms, stops;
    uint64_t epochs[64];  // of the sessions
    struct reeve_why why; // of the last loss
    int64_t retry_ms;
    void (*on_session)(struct client *client);
    char will_topic[128];
};
// Fills everything; a test may change options and broker before client_open().
void client_init(struct client *client, struct site *site, const char *name);
void client_open(struct client *client);                     // new and start
void client_ready(struct client *client, struct site *site); // and wait
void client_close(struct client *client, struct site *site); // goodbye, free

struct seen {
    size_t count;
    size_t retained;
    char last_topic[REEVE_TOPIC_SIZE];
    char last[256];
    char texts[64][64]; // of the first ones
    char response_topic[REEVE_TOPIC_SIZE];
    char correlation[32];
};
reeve_bus_handler seen_handler; // arg: struct seen
void client_subscribe(struct client *client, const char *below_root, unsigned flags, struct seen *seen);

struct outcome {
    int calls;
    enum reeve_err err;
    struct reeve_why why;
};
void outcome_result(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg);
enum reeve_err client_say(struct client *client, const char *below_root, const char *text, enum reeve_bus_class class,
                          bool retain, struct outcome *outcome);

#endif
