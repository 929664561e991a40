// Packets of MQTT 5, as far as a simulated fleet needs them: bytes in, bytes out.
// Must not: keep state, or trust what it reads; the broker is real and may be replaced.
#ifndef REEVE_BENCH_MQTT_PACKET_H
#define REEVE_BENCH_MQTT_PACKET_H

#include <reeve/buf.h>
#include <stdint.h>

#define MQTT_PACKET_MAX (1u << 20)

enum mqtt_packet_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_DISCONNECT = 14,
};

struct mqtt_connect {
    const char *client_id, *username, *password, *will_topic; // will: QoS 1, retained
    const void *will;
    size_t will_len;
    uint16_t keep_alive_s;
};
struct mqtt_publish {
    const char *topic;
    const void *payload;
    size_t payload_len;
    bool qos1, retain;
    uint32_t expiry_s;       // 0 = none
    const void *correlation; // NULL = none
    size_t correlation_len;
};

// Append one packet.
void mqtt_put_connect(struct reeve_buf *buf, const struct mqtt_connect *connect);
void mqtt_put_publish(struct reeve_buf *buf, const struct mqtt_publish *publish, uint16_t id);
void mqtt_put_subscribe(struct reeve_buf *buf, const char *filter, bool no_retained, uint16_t id); // QoS 1
void mqtt_put_puback(struct reeve_buf *buf, uint16_t id);
void mqtt_put_disconnect(struct reeve_buf *buf);

// A packet as it was read; pointers into the bytes given.
struct mqtt_packet {
    enum mqtt_packet_type type;
    size_t len;           // of the whole packet
    uint16_t id;          // PUBLISH with QoS 1, PUBACK, SUBACK
    uint8_t reason;       // CONNACK, PUBACK, SUBACK, DISCONNECT: 0x80 and above = refused
    uint16_t receive_max; // CONNACK
    bool qos1, retain;    // PUBLISH, as the following
    const char *topic;    // not NUL-terminated
    size_t topic_len;
    const void *payload;
    size_t payload_len;
    const char *response_topic; // NULL = none; not NUL-terminated
    size_t response_topic_len;
    const void *correlation; // NULL = none
    size_t correlation_len;
};
// OK: *ret is the first packet of `data`. LIMIT: it is not whole yet. INVALID: it is no packet.
enum reeve_err mqtt_packet_read(const uint8_t *data, size_t len, struct mqtt_packet *ret);

#endif
