// Receiving: subscriptions of a session, dispatch to handlers, the probe's echo.
// Must not decide when a session ends; it says why to bus.c.
#include "session.h"

#include <reeve/clock.h>
#include <reeve/id.h>
#include <reeve/log.h>
#include <stdio.h>
#include <string.h>

static uint32_t first_slot(const struct reeve_bus *bus)
{
    return (uint32_t)bus->options.broker->window; // publishes have the slots below
}

static void on_probe(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    (void)arg;
    size_t len = strlen(bus->probe_id);
    if (len > 0 && delivery->payload_len == len && memcmp(delivery->payload, bus->probe_id, len) == 0) {
        bus->probe_id[0] = '\0';
        reeve_bus_on_echo(bus);
    }
}

static void on_reply(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    const char *id = delivery->topic + strlen(bus->reply_prefix);
    if (strcmp(id, bus->probe_name) == 0) {
        on_probe(bus, delivery, arg); // both filters fit it
    } else {
        reeve_requests_reply(bus->requests, id, delivery);
    }
}

// Only the own probe. All workers of a node have one username and so one reply/<client>/: with its wildcard each would
// receive the probes of all, which grows with the square of their number.
enum reeve_err reeve_bus_receive_init(struct reeve_bus *bus, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE], hex[9];
    (void)snprintf(bus->probe_name, sizeof(bus->probe_name), "probe-%s", reeve_hex_random(hex, 8));
    const struct reeve_subscription_options options = {
        .filter = reeve_topic_make(filter, bus->root, "reply/%s/%s", bus->client, bus->probe_name),
        .qos = 1,
        .handler = on_probe};
    return reeve_subscriptions_add(bus->subscriptions, &options, why);
}

// Before the first request. The SUBSCRIBE leaves before the command does, so the broker has it first.
enum reeve_err reeve_bus_take_replies(struct reeve_bus *bus, struct reeve_why *why)
{
    char filter[REEVE_TOPIC_SIZE];
    if (bus->takes_replies) {
        return REEVE_OK;
    }
    enum reeve_err err = reeve_bus_subscribe(bus, reeve_topic_make(filter, bus->root, "reply/%s/+", bus->client), 1, 0,
                                             on_reply, NULL, why);
    bus->takes_replies = err == REEVE_OK;
    return err;
}

enum reeve_err reeve_bus_subscribe(struct reeve_bus *bus, const char *filter, int qos, unsigned flags,
                                   reeve_bus_handler *handler, void *arg, struct reeve_why *why)
{
    const struct reeve_subscription_options options = {
        .filter = filter, .qos = qos, .flags = flags, .handler = handler, .arg = arg};
    enum reeve_err err = reeve_subscriptions_add(bus->subscriptions, &options, why);
    if (err == REEVE_OK && bus->connected) {
        reeve_bus_subscribe_all(bus);
    }
    return err;
}

enum reeve_err reeve_bus_unsubscribe(struct reeve_bus *bus, const char *filter)
{
    enum reeve_err err = reeve_subscriptions_remove(bus->subscriptions, filter);
    if (err == REEVE_OK && bus->connected) {
        reeve_paho_unsubscribe(bus->paho, filter);
    }
    return err;
}

void reeve_bus_subscribe_all(struct reeve_bus *bus)
{
    struct reeve_paho_subscription subscription;
    uint32_t index = 0;
    while (bus->connected && reeve_subscriptions_next(bus->subscriptions, &subscription, &index)) {
        int token = 0;
        struct reeve_why why = {0};
        enum reeve_err err = reeve_paho_subscribe(bus->paho, first_slot(bus) + index, &subscription, &token, &why);
        reeve_subscriptions_asked(bus->subscriptions, index, token);
        reeve_bus_expect_answer(bus);
        if (err == REEVE_OFFLINE) {
            return; // LOST is under way
        }
        if (err != REEVE_OK) {
            reeve_bus_end_session(bus, &why);
        }
    }
}

void reeve_bus_on_subscribe_result(struct reeve_bus *bus, const struct reeve_handover_record *record)
{
    uint32_t index = record->result.slot - first_slot(bus);
    const char *filter = reeve_subscriptions_answered(bus->subscriptions, index, record->result.token);
    if (filter == NULL) {
        return;
    }
    // MQTT 3.1.1 may say 0x80 in a result that Paho calls a success.
    if (!record->result.ok || record->result.code >= 0x80) {
        struct reeve_why why = {0};
        (void)reeve_fail(&why, REEVE_DENIED, "no rights to subscribe to '%.200s': %s", filter,
                         reeve_paho_code_text(bus->version, record->result.code));
        reeve_bus_end_session(bus, &why);
        return;
    }
    if (reeve_subscriptions_all_answered(bus->subscriptions)) {
        reeve_bus_on_suback_complete(bus);
    }
}

void reeve_bus_on_message(struct reeve_bus *bus, const struct reeve_incoming *incoming)
{
    bus->received_mono = reeve_clock_mono_ms();
    bus->stats.received++;
    bus->stats.received_bytes += incoming->payload_len;
    if (reeve_subscriptions_dispatch(bus->subscriptions, bus, incoming) == 0) {
        bus->stats.unmatched++; // of a pattern that was just given up
    }
}
