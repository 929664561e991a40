// A session: its connection, what waits to be sent, what is not acknowledged.
// Must not: call an event of a session that was cut or left.
#include "mqtt.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK (64u << 10)

struct mqtt {
    struct mqtt_hub *hub;
    struct mqtt *next_written;
    struct mqtt_events events;
    void *arg;
    uv_tcp_t tcp;
    uv_connect_t connecting;
    uv_write_t write;
    struct reeve_buf in, out, sending;
    struct reeve_buf later; // packets beyond the broker's window: length, packet, length, ...
    size_t later_head;
    size_t in_flight, receive_max, later_len, subscribing;
    uint16_t last_id;
    bool linked, opened, busy, leaving, over;
};

// ---- the end --------------------------------------------------------------------------------------------------

static void unlink_written(struct mqtt *mqtt)
{
    struct mqtt **at = &mqtt->hub->written;
    while (*at != NULL && *at != mqtt) {
        at = &(*at)->next_written;
    }
    if (*at == mqtt) {
        *at = mqtt->next_written;
    }
    mqtt->linked = false;
}

static void on_closed(uv_handle_t *handle)
{
    struct mqtt *mqtt = handle->data;
    mqtt->hub->open--;
    reeve_buf_done(&mqtt->in);
    reeve_buf_done(&mqtt->out);
    reeve_buf_done(&mqtt->sending);
    reeve_buf_done(&mqtt->later);
    free(mqtt);
}

static void close_now(struct mqtt *mqtt)
{
    if (!mqtt->over) {
        mqtt->over = true;
        unlink_written(mqtt);
        uv_close((uv_handle_t *)&mqtt->tcp, on_closed);
    }
}

void mqtt_cut(struct mqtt *mqtt)
{
    close_now(mqtt);
}

static void lose(struct mqtt *mqtt, const char *cause)
{
    if (mqtt->over) {
        return;
    }
    bool asked = mqtt->leaving;
    close_now(mqtt); // freed in a later turn
    if (!asked) {
        mqtt->events.lost(mqtt, cause, mqtt->arg);
    }
}

// ---- out ------------------------------------------------------------------------------------------------------

static void touch(struct mqtt *mqtt)
{
    if (!mqtt->linked && !mqtt->over) {
        mqtt->linked = true;
        mqtt->next_written = mqtt->hub->written;
        mqtt->hub->written = mqtt;
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct mqtt *mqtt = write->data;
    mqtt->busy = false;
    reeve_buf_reset(&mqtt->sending);
    if (status != 0) {
        lose(mqtt, uv_strerror(status));
    } else if (mqtt->out.len > 0) {
        touch(mqtt);
    } else if (mqtt->leaving) {
        close_now(mqtt);
    }
}

static void flush(struct mqtt *mqtt)
{
    if (mqtt->busy || mqtt->out.len == 0 || mqtt->over) {
        return;
    }
    struct reeve_buf full = mqtt->out;
    mqtt->out = mqtt->sending;
    mqtt->sending = full;
    mqtt->busy = true;
    mqtt->write.data = mqtt;
    uv_buf_t bytes = uv_buf_init(full.data, (unsigned)full.len);
    int status =
        full.err != REEVE_OK ? UV_ENOBUFS : uv_write(&mqtt->write, (uv_stream_t *)&mqtt->tcp, &bytes, 1, on_written);
    if (status != 0) {
        lose(mqtt, uv_strerror(status));
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct mqtt_hub *hub = prepare->data;
    while (hub->written != NULL) {
        struct mqtt *mqtt = hub->written;
        hub->written = mqtt->next_written;
        mqtt->linked = false;
        flush(mqtt);
    }
}

static uint16_t next_id(struct mqtt *mqtt)
{
    mqtt->last_id = mqtt->last_id == UINT16_MAX ? 1 : (uint16_t)(mqtt->last_id + 1);
    return mqtt->last_id;
}

static void put_later(struct mqtt *mqtt, const struct mqtt_publish *publish)
{
    REEVE_BUF_AUTO packet = REEVE_BUF_INIT(MQTT_PACKET_MAX);
    mqtt_put_publish(&packet, publish, next_id(mqtt));
    uint32_t len = (uint32_t)packet.len;
    reeve_buf_append(&mqtt->later, &len, sizeof len);
    reeve_buf_append(&mqtt->later, packet.data, packet.len);
    mqtt->later_len++;
}

static void send_later(struct mqtt *mqtt)
{
    while (mqtt->later_len > 0 && mqtt->in_flight < mqtt->receive_max) {
        uint32_t len;
        memcpy(&len, mqtt->later.data + mqtt->later_head, sizeof len);
        reeve_buf_append(&mqtt->out, mqtt->later.data + mqtt->later_head + sizeof len, len);
        mqtt->later_head += sizeof len + len;
        mqtt->later_len--;
        mqtt->in_flight++;
    }
    if (mqtt->later_len == 0) {
        mqtt->later_head = 0;
        reeve_buf_reset(&mqtt->later);
    }
}

void mqtt_publish(struct mqtt *mqtt, const struct mqtt_publish *publish)
{
    if (publish->qos1 && (mqtt->later_len > 0 || mqtt->in_flight >= mqtt->receive_max)) {
        put_later(mqtt, publish);
        return;
    }
    mqtt->in_flight += publish->qos1 ? 1 : 0;
    mqtt_put_publish(&mqtt->out, publish, publish->qos1 ? next_id(mqtt) : 0);
    touch(mqtt);
}

void mqtt_subscribe(struct mqtt *mqtt, const char *filter, bool no_retained)
{
    mqtt_put_subscribe(&mqtt->out, filter, no_retained, next_id(mqtt));
    mqtt->subscribing++;
    touch(mqtt);
}

size_t mqtt_unsettled(const struct mqtt *mqtt)
{
    return mqtt->in_flight + mqtt->later_len + mqtt->subscribing;
}

void mqtt_leave(struct mqtt *mqtt)
{
    while (mqtt->later_len > 0) { // past the window: the session ends anyway
        mqtt->receive_max = SIZE_MAX;
        send_later(mqtt);
    }
    mqtt_put_disconnect(&mqtt->out);
    mqtt->leaving = true;
    touch(mqtt);
}

// ---- in -------------------------------------------------------------------------------------------------------

static const char *copy_text(const char *text, size_t len, char *buf, size_t buf_len)
{
    if (text == NULL || len >= buf_len) {
        return NULL;
    }
    memcpy(buf, text, len);
    buf[len] = '\0';
    return buf;
}

static void take_publish(struct mqtt *mqtt, const struct mqtt_packet *packet)
{
    char topic[REEVE_TOPIC_SIZE], response[REEVE_TOPIC_SIZE];
    const struct reeve_delivery delivery = {
        .topic = copy_text(packet->topic, packet->topic_len, topic, sizeof topic),
        .payload = packet->payload,
        .payload_len = packet->payload_len,
        .retained = packet->retain,
        .response_topic = copy_text(packet->response_topic, packet->response_topic_len, response, sizeof response),
        .correlation = packet->correlation,
        .correlation_len = packet->correlation_len};
    if (packet->qos1) {
        mqtt_put_puback(&mqtt->out, packet->id);
        touch(mqtt);
    }
    if (delivery.topic != NULL) {
        mqtt->events.message(mqtt, &delivery, mqtt->arg);
    }
}

static void take_connack(struct mqtt *mqtt, const struct mqtt_packet *packet)
{
    if (packet->reason >= 0x80) {
        lose(mqtt, "the broker refuses the session");
        return;
    }
    mqtt->opened = true;
    mqtt->receive_max = packet->receive_max;
    mqtt->events.open(mqtt, mqtt->arg);
    send_later(mqtt);
    touch(mqtt);
}

static void take_packet(struct mqtt *mqtt, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNACK:
        take_connack(mqtt, packet);
        break;
    case MQTT_PUBLISH:
        take_publish(mqtt, packet);
        break;
    case MQTT_PUBACK:
        mqtt->hub->refused += packet->reason >= 0x80 ? 1 : 0;
        mqtt->in_flight--;
        send_later(mqtt);
        touch(mqtt);
        break;
    case MQTT_SUBACK:
        mqtt->subscribing--;
        mqtt->hub->refused += packet->reason >= 0x80 ? 1 : 0;
        break;
    case MQTT_DISCONNECT:
        lose(mqtt, "the broker ended the session");
        break;
    case MQTT_CONNECT:
    case MQTT_SUBSCRIBE:
    default: // nothing else was asked for
        break;
    }
}

static void take_all(struct mqtt *mqtt)
{
    size_t head = 0;
    struct mqtt_packet packet;
    enum reeve_err err = REEVE_OK;
    while (!mqtt->over && !mqtt->leaving &&
           (err = mqtt_packet_read((const uint8_t *)mqtt->in.data + head, mqtt->in.len - head, &packet)) == REEVE_OK) {
        head += packet.len;
        take_packet(mqtt, &packet);
    }
    if (mqtt->leaving) { // what still comes is nobody's any more
        reeve_buf_reset(&mqtt->in);
        return;
    }
    memmove(mqtt->in.data, mqtt->in.data + head, mqtt->in.len - head);
    mqtt->in.len -= head;
    if (err == REEVE_INVALID) {
        lose(mqtt, "the broker's packet can't be read");
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char chunk[CHUNK]; // one loop: taken before the next is read
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(chunk, sizeof chunk);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct mqtt *mqtt = stream->data;
    if (len < 0) {
        lose(mqtt, uv_strerror((int)len));
    } else if (len > 0 && !mqtt->over) {
        reeve_buf_append(&mqtt->in, bytes->base, (size_t)len);
        take_all(mqtt);
    }
}

static void on_connected(uv_connect_t *connecting, int status)
{
    struct mqtt *mqtt = connecting->data;
    if (status == 0 && !mqtt->over) {
        status = uv_read_start((uv_stream_t *)&mqtt->tcp, on_alloc, on_read);
    }
    if (status != 0) {
        lose(mqtt, uv_strerror(status));
        return;
    }
    touch(mqtt);
}

// ---- the beginning --------------------------------------------------------------------------------------------

struct mqtt *mqtt_open(struct mqtt_hub *hub, const struct mqtt_connect *connect, const struct mqtt_events *events,
                       void *arg)
{
    struct sockaddr_in address;
    struct mqtt_connect full = *connect;
    struct mqtt *mqtt = calloc(1, sizeof *mqtt);
    if (mqtt == NULL || uv_ip4_addr("127.0.0.1", hub->port, &address) != 0 || uv_tcp_init(hub->loop, &mqtt->tcp) != 0) {
        free(mqtt);
        return NULL;
    }
    hub->open++;
    mqtt->hub = hub;
    mqtt->events = *events;
    mqtt->arg = arg;
    mqtt->tcp.data = mqtt;
    mqtt->connecting.data = mqtt;
    mqtt->busy = true; // until it is connected
    full.username = hub->username;
    full.password = hub->password;
    mqtt_put_connect(&mqtt->out, &full);
    if (uv_tcp_nodelay(&mqtt->tcp, 1) != 0 ||
        uv_tcp_connect(&mqtt->connecting, &mqtt->tcp, (struct sockaddr *)&address, on_connected) != 0) {
        close_now(mqtt);
        return NULL;
    }
    mqtt->busy = false; // libuv keeps what is written until then
    touch(mqtt);
    return mqtt;
}

void mqtt_hub_init(struct mqtt_hub *hub, uv_loop_t *loop, int port, const char *username, const char *password)
{
    *hub = (struct mqtt_hub){.loop = loop, .port = port, .username = username, .password = password};
    (void)uv_prepare_init(loop, &hub->prepare); // can't fail
    hub->prepare.data = hub;
    (void)uv_prepare_start(&hub->prepare, on_prepare); // as above
}

void mqtt_hub_close(struct mqtt_hub *hub)
{
    (void)uv_prepare_stop(&hub->prepare); // its handle is closed with the loop
}
