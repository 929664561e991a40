// Sessions of a simulated fleet: hundreds of small MQTT 5 clients in one process, each with a last will of its own.
// What programs of Reeve use is reeve/bus.h, which is made for one session a process. Must not: reconnect by itself; a
// session that ends unasked ends the simulation.
#ifndef REEVE_BENCH_MQTT_H
#define REEVE_BENCH_MQTT_H

#include "mqtt_packet.h"

#include <reeve/message.h>
#include <uv.h>

struct mqtt; // one session; freed by itself after it ended

// Shared by all sessions of a loop: what they wrote in a turn leaves at its end, in one piece each.
struct mqtt_hub {
    uv_loop_t *loop;
    uv_prepare_t prepare;
    struct mqtt *written; // sessions that have something to send
    int port;             // of 127.0.0.1
    const char *username, *password;
    size_t open;      // sessions that are not yet closed
    uint64_t refused; // publishes and subscriptions that the broker refused
};
void mqtt_hub_init(struct mqtt_hub *hub, uv_loop_t *loop, int port, const char *username, const char *password);
void mqtt_hub_close(struct mqtt_hub *hub);

struct mqtt_events {
    void (*open)(struct mqtt *mqtt, void *arg); // CONNACK
    void (*message)(struct mqtt *mqtt, const struct reeve_delivery *delivery, void *arg);
    void (*lost)(struct mqtt *mqtt, const char *cause, void *arg); // unasked; the session is no more
};
// Username and password are the hub's. NULL when out of memory or when the connection can't be begun.
struct mqtt *mqtt_open(struct mqtt_hub *hub, const struct mqtt_connect *connect, const struct mqtt_events *events,
                       void *arg);
void mqtt_subscribe(struct mqtt *mqtt, const char *filter, bool no_retained);
// QoS 1 waits while the broker's window is full.
void mqtt_publish(struct mqtt *mqtt, const struct mqtt_publish *publish);
size_t mqtt_unsettled(const struct mqtt *mqtt); // published or subscribed to, and not acknowledged
void mqtt_leave(struct mqtt *mqtt);             // after what was published: DISCONNECT. No events any more
void mqtt_cut(struct mqtt *mqtt);               // the connection is closed now, unannounced. No events any more

#endif
