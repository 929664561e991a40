// Publishing: what is accepted, when it is sent, who hears how it went.
// Must not change the state of the session.
#include "session.h"

#include <inttypes.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <reeve/log.h>
#include <stdio.h>
#include <string.h>

// Fixed header, packet id and properties beside topic and payload.
#define PACKET_OVERHEAD 64

static enum reeve_err check_message(struct reeve_bus *bus, const struct reeve_bus_message *message,
                                    struct reeve_why *why)
{
    if (!reeve_topic_valid(message->topic)) {
        return reeve_fail(why, REEVE_INVALID, "topic '%.200s' can't be published to", message->topic);
    }
    REEVE_ASSERT(message->qos == 0 || message->qos == 1);
    size_t packet = message->payload_len + strlen(message->topic) + message->correlation_len + PACKET_OVERHEAD;
    bool too_large = (int64_t)message->payload_len > bus->options.broker->message_bytes_max ||
                     (bus->packet_size_max > 0 && packet > bus->packet_size_max);
    if (too_large) {
        bus->stats.refused_size++;
        return reeve_fail_at(why, REEVE_INVALID, message->topic, "%zu bytes are more than a message may have",
                             message->payload_len);
    }
    return REEVE_OK;
}

enum reeve_err reeve_bus_publish(struct reeve_bus *bus, const struct reeve_bus_message *message, struct reeve_why *why)
{
    if (bus->paho == NULL) {
        return reeve_fail(why, REEVE_OFFLINE, "the program leaves");
    }
    enum reeve_err err = check_message(bus, message, why);
    if (err != REEVE_OK) {
        return err;
    }
    bool session_only = message->class == REEVE_BUS_STATE || message->class == REEVE_BUS_BULK;
    if (session_only && !bus->connected) {
        *(message->class == REEVE_BUS_STATE ? &bus->stats.dropped_state : &bus->stats.dropped_bulk) += 1;
        return reeve_fail(why, REEVE_OFFLINE, "no session with the broker");
    }
    err = reeve_outbox_add(bus->outbox, message, bus->state == REEVE_BUS_READY, why);
    if (err != REEVE_OK) {
        *(message->class == REEVE_BUS_BULK ? &bus->stats.dropped_bulk : &bus->stats.refused_full) += 1;
        return err;
    }
    reeve_bus_pump(bus);
    return REEVE_OK;
}

enum reeve_err reeve_bus_publish_value(struct reeve_bus *bus, const struct reeve_bus_message *message,
                                       const struct reeve_value *value, struct reeve_why *why)
{
    REEVE_BUF_AUTO payload = REEVE_BUF_INIT(0);
    enum reeve_err err = reeve_msgpack_write(value, &payload);
    if (err != REEVE_OK) {
        return reeve_fail_at(why, err, message->topic, "record can't be written");
    }
    struct reeve_bus_message full = *message;
    full.payload = payload.data;
    full.payload_len = payload.len;
    return reeve_bus_publish(bus, &full, why);
}

// Before the probe came back only what says who we are; a refused publish looks accepted [session-8].
static bool sendable(const struct reeve_bus *bus, enum reeve_bus_class *ret_lowest)
{
    if (!bus->connected || bus->state < REEVE_BUS_PROBING || bus->closing) {
        return false;
    }
    *ret_lowest = bus->was_ready ? REEVE_BUS_BULK : REEVE_BUS_STATE;
    return true;
}

// False: nothing more can be sent now.
static bool send_one(struct reeve_bus *bus, const struct reeve_outbox_item *item, uint32_t slot)
{
    int token = 0;
    struct reeve_why why = {0};
    size_t bytes = item->message.payload_len;
    enum reeve_err err = reeve_paho_send(bus->paho, slot, item, &token, &why);
    if (err == REEVE_OK) {
        reeve_outbox_sent(bus->outbox, slot, token);
        reeve_bus_expect_answer(bus);
        bus->stats.published++;
        bus->stats.published_bytes += bytes;
        return true;
    }
    if (err == REEVE_OFFLINE || err == REEVE_LIMIT) {
        reeve_outbox_put_back(bus->outbox, slot); // LOST, or a result that makes room, is under way
        return false;
    }
    reeve_outbox_fail(bus->outbox, slot, err, &why);
    return true;
}

void reeve_bus_pump(struct reeve_bus *bus)
{
    if (bus->in_pump) {
        return; // a result callback published: the loop below goes on with it
    }
    bus->in_pump = true;
    enum reeve_bus_class lowest = REEVE_BUS_STATE;
    uint32_t slot = 0;
    const struct reeve_outbox_item *item;
    // What is received goes first: whoever sends while much of it waits loses some. It is taken soon, and each time this
    // goes on.
    while (sendable(bus, &lowest) && !reeve_handover_crowded(bus->handover) &&
           (item = reeve_outbox_take(bus->outbox, bus->window, lowest, &slot)) != NULL) {
        if (!send_one(bus, item, slot)) {
            break;
        }
    }
    bus->in_pump = false;
}

void reeve_bus_tell_room(struct reeve_bus *bus)
{
    if (reeve_outbox_has_room_again(bus->outbox) && bus->options.on_room != NULL) {
        bus->options.on_room(bus, bus->options.arg);
    }
}

// Codes of the broker that mean "not you": 0x87 not authorised, and what brokers use in its place.
static bool denied(int code)
{
    return code == 0x87 || code == 0x80 || code == 0x83;
}

void reeve_bus_on_publish_result(struct reeve_bus *bus, const struct reeve_handover_record *record)
{
    struct reeve_why why = {0};
    int code = record->result.code;
    enum reeve_err err = REEVE_OK;
    if (!record->result.ok && code < 0 && bus->connected && record->generation == bus->generation) {
        // Paho gives up what was in flight just before it says that the connection is lost: LOST decides about it.
        return;
    }
    if (!record->result.ok) {
        enum reeve_err class = code < 0 ? REEVE_OFFLINE : denied(code) ? REEVE_DENIED : REEVE_INVALID;
        err = reeve_fail(&why, class, "refused by the broker: %s (0x%02x)", reeve_paho_code_text(bus->version, code),
                         (unsigned)code);
    }
    // A false answer is about a message of an earlier session that was sent again since.
    (void)reeve_outbox_finish(bus->outbox, record->result.slot, record->result.token, err, &why);
}

// ---- the probe ---------------------------------------------------------------------------------------------

static void on_probe_result(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    (void)arg;
    if (err == REEVE_DENIED) {
        struct reeve_why lost = {0};
        (void)reeve_fail(&lost, REEVE_DENIED, "no rights to publish on %.180s<id>: %.180s", bus->reply_prefix,
                         why->text);
        reeve_bus_end_session(bus, &lost);
    }
}

void reeve_bus_send_probe(struct reeve_bus *bus)
{
    // The random part tells this echo from a late one.
    char hex[9], topic[REEVE_TOPIC_SIZE];
    (void)snprintf(bus->probe_id, sizeof(bus->probe_id), "probe-%" PRIx64 "-%s", bus->epoch, reeve_hex_random(hex, 8));
    struct reeve_bus_message probe = {.topic =
                                          reeve_topic_make(topic, bus->root, "reply/%s/%s", bus->client, bus->probe_name),
                                      .payload = bus->probe_id,
                                      .payload_len = strlen(bus->probe_id),
                                      .qos = 1,
                                      .class = REEVE_BUS_STATE,
                                      .expiry_ms = bus->timing.silence_ms,
                                      .result = on_probe_result};
    bus->stats.probes++;
    struct reeve_why why = {0};
    enum reeve_err err = reeve_bus_publish(bus, &probe, &why);
    if (err != REEVE_OK) {
        // A full queue: its own messages show whether the session lives.
        reeve_log(REEVE_LOG_DEBUG, "bus", "client=%s probe=not_sent why=\"%s\", retrying", bus->client, why.text);
    }
}
