// Writing and reading packets of MQTT 5 (docs.oasis-open.org/mqtt/mqtt/v5.0).
// Must not: read past what it was given.
#include "mqtt_packet.h"

#include <string.h>

enum {
    PROPERTY_EXPIRY = 0x02,
    PROPERTY_RESPONSE_TOPIC = 0x08,
    PROPERTY_CORRELATION = 0x09,
    PROPERTY_RECEIVE_MAX = 0x21
};

// ---- writing --------------------------------------------------------------------------------------------------

static void put_u8(struct reeve_buf *buf, unsigned number)
{
    uint8_t byte = (uint8_t)number;
    reeve_buf_append(buf, &byte, 1);
}

static void put_u16(struct reeve_buf *buf, size_t number)
{
    put_u8(buf, (unsigned)(number >> 8) & 0xffu);
    put_u8(buf, (unsigned)number & 0xffu);
}

static void put_bytes(struct reeve_buf *buf, const void *data, size_t len)
{
    put_u16(buf, len);
    reeve_buf_append(buf, data, len);
}

static void put_text(struct reeve_buf *buf, const char *text)
{
    put_bytes(buf, text, strlen(text));
}

static void put_length(struct reeve_buf *buf, size_t len)
{
    do {
        put_u8(buf, (unsigned)(len % 128) | (len >= 128 ? 128u : 0u));
        len /= 128;
    } while (len > 0);
}

static void put_packet(struct reeve_buf *buf, unsigned first, const struct reeve_buf *body)
{
    put_u8(buf, first);
    put_length(buf, body->len);
    if (body->len > 0) {
        reeve_buf_append(buf, body->data, body->len);
    }
}

void mqtt_put_connect(struct reeve_buf *buf, const struct mqtt_connect *connect)
{
    enum { CLEAN = 0x02, WILL = 0x04, WILL_QOS1 = 0x08, WILL_RETAIN = 0x20, PASSWORD = 0x40, USERNAME = 0x80 };
    REEVE_BUF_AUTO body = REEVE_BUF_INIT(MQTT_PACKET_MAX);
    bool will = connect->will_topic != NULL;
    put_text(&body, "MQTT");
    put_u8(&body, 5);
    put_u8(&body, CLEAN | PASSWORD | USERNAME | (will ? WILL | WILL_QOS1 | WILL_RETAIN : 0u));
    put_u16(&body, connect->keep_alive_s);
    put_length(&body, 0); // no properties
    put_text(&body, connect->client_id);
    if (will) {
        put_length(&body, 0); // none of the will either
        put_text(&body, connect->will_topic);
        put_bytes(&body, connect->will, connect->will_len);
    }
    put_text(&body, connect->username);
    put_text(&body, connect->password);
    put_packet(buf, MQTT_CONNECT << 4, &body);
}

void mqtt_put_publish(struct reeve_buf *buf, const struct mqtt_publish *publish, uint16_t id)
{
    REEVE_BUF_AUTO body = REEVE_BUF_INIT(MQTT_PACKET_MAX);
    bool correlated = publish->correlation != NULL;
    put_text(&body, publish->topic);
    if (publish->qos1) {
        put_u16(&body, id);
    }
    put_length(&body, (publish->expiry_s > 0 ? 5u : 0u) + (correlated ? 3 + publish->correlation_len : 0u));
    if (publish->expiry_s > 0) {
        put_u8(&body, PROPERTY_EXPIRY);
        put_u16(&body, publish->expiry_s >> 16);
        put_u16(&body, publish->expiry_s & 0xffffu);
    }
    if (correlated) {
        put_u8(&body, PROPERTY_CORRELATION);
        put_bytes(&body, publish->correlation, publish->correlation_len);
    }
    if (publish->payload_len > 0) {
        reeve_buf_append(&body, publish->payload, publish->payload_len);
    }
    put_packet(buf, MQTT_PUBLISH << 4 | (publish->qos1 ? 2u : 0u) | (publish->retain ? 1u : 0u), &body);
}

void mqtt_put_subscribe(struct reeve_buf *buf, const char *filter, bool no_retained, uint16_t id)
{
    REEVE_BUF_AUTO body = REEVE_BUF_INIT(MQTT_PACKET_MAX);
    put_u16(&body, id);
    put_length(&body, 0);
    put_text(&body, filter);
    put_u8(&body, 1u | (no_retained ? 2u << 4 : 0u));
    put_packet(buf, MQTT_SUBSCRIBE << 4 | 2u, &body);
}

void mqtt_put_puback(struct reeve_buf *buf, uint16_t id)
{
    put_u8(buf, MQTT_PUBACK << 4);
    put_length(buf, 2);
    put_u16(buf, id);
}

void mqtt_put_disconnect(struct reeve_buf *buf)
{
    put_u8(buf, (unsigned)MQTT_DISCONNECT << 4);
    put_length(buf, 0);
}

// ---- reading --------------------------------------------------------------------------------------------------

struct reader { // `data` NULL once something did not fit
    const uint8_t *data;
    size_t len;
};

static const uint8_t *take(struct reader *reader, size_t len)
{
    if (reader->data == NULL || reader->len < len) {
        reader->data = NULL;
        return NULL;
    }
    const uint8_t *data = reader->data;
    reader->data += len;
    reader->len -= len;
    return data;
}

static unsigned take_number(struct reader *reader, size_t bytes)
{
    unsigned number = 0;
    const uint8_t *data = take(reader, bytes);
    for (size_t i = 0; data != NULL && i < bytes; i++) {
        number = number << 8 | data[i];
    }
    return number;
}

static size_t take_length(struct reader *reader)
{
    size_t len = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        unsigned byte = take_number(reader, 1);
        len |= (size_t)(byte & 127) << shift;
        if ((byte & 128) == 0) {
            return len;
        }
    }
    reader->data = NULL;
    return 0;
}

static const void *take_bytes(struct reader *reader, size_t *ret_len)
{
    *ret_len = take_number(reader, 2);
    return take(reader, *ret_len);
}

static void take_property(struct reader *reader, struct mqtt_packet *packet)
{
    size_t len;
    unsigned id = take_number(reader, 1);
    switch (id) {
    case PROPERTY_RESPONSE_TOPIC:
        packet->response_topic = take_bytes(reader, &packet->response_topic_len);
        break;
    case PROPERTY_CORRELATION:
        packet->correlation = take_bytes(reader, &packet->correlation_len);
        break;
    case PROPERTY_RECEIVE_MAX:
        packet->receive_max = (uint16_t)take_number(reader, 2);
        break;
    case 0x01: // of those that are skipped: one byte
    case 0x17:
    case 0x19:
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2a:
        (void)take(reader, 1); // its absence is noticed at the end
        break;
    case 0x13:
    case 0x22:
    case 0x23:                 // two
        (void)take(reader, 2); // as above
        break;
    case PROPERTY_EXPIRY:
    case 0x11:
    case 0x18:
    case 0x27:                 // four
        (void)take(reader, 4); // as above
        break;
    case 0x0b:                     // an id
        (void)take_length(reader); // as above
        break;
    case 0x26:                          // key and value
        (void)take_bytes(reader, &len); // as above
        (void)take_bytes(reader, &len); // as above
        break;
    default:                            // text or bytes
        (void)take_bytes(reader, &len); // as above
        break;
    }
}

static void take_properties(struct reader *reader, struct mqtt_packet *packet)
{
    size_t len = take_length(reader);
    struct reader properties = {.data = take(reader, len), .len = len};
    while (properties.data != NULL && properties.len > 0) {
        take_property(&properties, packet);
    }
    if (properties.data == NULL) {
        reader->data = NULL;
    }
}

static void take_body(struct reader *reader, unsigned flags, struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNACK:
        (void)take(reader, 1); // whether there was a session: there is none
        packet->reason = (uint8_t)take_number(reader, 1);
        take_properties(reader, packet);
        break;
    case MQTT_PUBLISH:
        packet->qos1 = (flags & 6) == 2;
        packet->retain = (flags & 1) != 0;
        packet->topic = take_bytes(reader, &packet->topic_len);
        packet->id = packet->qos1 ? (uint16_t)take_number(reader, 2) : 0;
        take_properties(reader, packet);
        packet->payload = reader->data;
        packet->payload_len = reader->len;
        break;
    case MQTT_PUBACK:
        packet->id = (uint16_t)take_number(reader, 2);
        packet->reason = reader->len > 0 ? (uint8_t)take_number(reader, 1) : 0;
        break;
    case MQTT_SUBACK:
        packet->id = (uint16_t)take_number(reader, 2);
        take_properties(reader, packet);
        packet->reason = (uint8_t)take_number(reader, 1); // of the only filter
        break;
    case MQTT_DISCONNECT:
        packet->reason = reader->len > 0 ? (uint8_t)take_number(reader, 1) : 0;
        break;
    case MQTT_CONNECT:
    case MQTT_SUBSCRIBE:
    default: // nothing that is waited for
        break;
    }
}

enum reeve_err mqtt_packet_read(const uint8_t *data, size_t len, struct mqtt_packet *ret)
{
    struct reader header = {.data = data, .len = len};
    unsigned first = take_number(&header, 1);
    size_t body_len = take_length(&header);
    if (header.data == NULL) {
        return len >= 5 ? REEVE_INVALID : REEVE_LIMIT;
    }
    if (body_len > MQTT_PACKET_MAX) {
        return REEVE_INVALID;
    }
    if (header.len < body_len) {
        return REEVE_LIMIT;
    }
    struct mqtt_packet packet = {
        .type = (enum mqtt_packet_type)(first >> 4), .receive_max = UINT16_MAX, .len = len - header.len + body_len};
    struct reader body = {.data = header.data, .len = body_len};
    take_body(&body, first & 15, &packet);
    if (body.data == NULL) {
        return REEVE_INVALID;
    }
    *ret = packet;
    return REEVE_OK;
}
