// The only file that knows Paho: options in, hand-over records out.
// Must not decide anything about sessions, and must not call Paho from its callbacks.
#include "paho.h"

#include "paho_library.h"
#include "paho_threads.h"
#include <pthread.h>
#include <reeve/clock.h>
#include <reeve/log.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What a broker may send beyond message_bytes_max before it must not send at all: up to there we can count and report.
#define PACKET_SIZE_FACTOR 2
#define PACKET_SIZE_EXTRA  65536
// Handles that ended but were not destroyed. A program has one; this is for tests, which have many.
#define PARKED_MAX 64

struct slot {
    struct reeve_paho *paho; // Paho's context is a pointer to this; the index follows from the address
};

struct reeve_paho {
    MQTTAsync handle;
    int version;
    size_t message_bytes_max;
    size_t slots_len;
    atomic_uint_fast64_t generation;
    atomic_uint_fast64_t refused_size;
    atomic_bool connecting;
    struct reeve_paho *next_parked;
    pthread_mutex_t mutex;           // guards the two below; taken by callbacks before the hand-over's own
    struct reeve_handover *handover; // NULL once parked
    char tls_error[160];             // the TLS library's last word about the connect under way
    struct slot slots[];
};

// ---- callbacks: Paho's threads -----------------------------------------------------------------------------

static void put(struct reeve_paho *paho, struct reeve_handover_record record)
{
    (void)pthread_mutex_lock(&paho->mutex); /* can't fail: a plain mutex, never locked twice */
    if (paho->handover != NULL) {
        reeve_handover_put(paho->handover, &record);
    } else {
        reeve_handover_record_done(&record);
    }
    (void)pthread_mutex_unlock(&paho->mutex); /* held */
}

static struct reeve_handover_record session_record(const struct reeve_paho *paho, enum reeve_handover_kind kind)
{
    return (struct reeve_handover_record){.kind = kind, .generation = atomic_load(&paho->generation)};
}

static uint32_t property(const MQTTProperties *properties, enum MQTTPropertyCodes code)
{
    MQTTProperties *read = (MQTTProperties *)(uintptr_t)properties; // Paho's getters lack const
    return MQTTProperties_hasProperty(read, code) != 0 ? (uint32_t)MQTTProperties_getNumericValue(read, code) : 0;
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    struct reeve_paho *paho = context;
    reeve_paho_thread_mark();
    atomic_store(&paho->connecting, false);
    struct reeve_handover_record record = session_record(paho, REEVE_HANDOVER_CONNECTED);
    record.connected.receive_max = property(&data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    record.connected.packet_size_max = property(&data->properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
    put(paho, record);
}

static void on_connected(void *context, MQTTAsync_successData *data)
{
    struct reeve_paho *paho = context;
    (void)data;
    reeve_paho_thread_mark();
    atomic_store(&paho->connecting, false);
    put(paho, session_record(paho, REEVE_HANDOVER_CONNECTED));
}

static void connect_failed(struct reeve_paho *paho, int code, const char *message)
{
    reeve_paho_thread_mark();
    atomic_store(&paho->connecting, false);
    struct reeve_handover_record record = session_record(paho, REEVE_HANDOVER_CONNECT_FAILED);
    record.failed.code = code;
    (void)pthread_mutex_lock(&paho->mutex); /* can't fail */
    const char *text = paho->tls_error[0] != '\0' ? paho->tls_error : message;
    record.failed.text = text != NULL ? strdup(text) : NULL; // NULL when out of memory: the code still says what
    (void)pthread_mutex_unlock(&paho->mutex);                /* held */
    put(paho, record);
}

static void on_connect_failed5(void *context, MQTTAsync_failureData5 *data)
{
    // Paho leaves reasonCode at 0 here and gives the CONNACK's code as its own (seen with 1.3.12).
    connect_failed(context, data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR ? (int)data->reasonCode : data->code,
                   data->message);
}

static void on_connect_failed(void *context, MQTTAsync_failureData *data)
{
    connect_failed(context, data->code, data->message);
}

static void on_lost(void *context, char *cause)
{
    struct reeve_paho *paho = context;
    reeve_paho_thread_mark();
    struct reeve_handover_record record = session_record(paho, REEVE_HANDOVER_LOST);
    record.failed.text = cause != NULL ? strdup(cause) : NULL;
    put(paho, record);
}

static void on_dismissed(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    (void)properties;
    struct reeve_handover_record record = session_record(context, REEVE_HANDOVER_DISMISSED);
    record.failed.code = (int)reason;
    put(context, record);
}

static void on_closed5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    put(context, session_record(context, REEVE_HANDOVER_CLOSED));
}

static void on_closed(void *context, MQTTAsync_successData *data)
{
    (void)data;
    put(context, session_record(context, REEVE_HANDOVER_CLOSED));
}

static void on_close_failed5(void *context, MQTTAsync_failureData5 *data)
{
    (void)data; // closed all the same
    put(context, session_record(context, REEVE_HANDOVER_CLOSED));
}

static void on_close_failed(void *context, MQTTAsync_failureData *data)
{
    (void)data;
    put(context, session_record(context, REEVE_HANDOVER_CLOSED));
}

static void put_result(struct slot *slot, int token, bool ok, int code)
{
    struct reeve_paho *paho = slot->paho;
    struct reeve_handover_record record = session_record(paho, REEVE_HANDOVER_RESULT);
    record.result.slot = (uint32_t)(slot - paho->slots);
    record.result.token = token;
    record.result.ok = ok;
    record.result.code = code;
    put(paho, record);
}

static void on_result5(void *context, MQTTAsync_successData5 *data)
{
    put_result(context, data->token, true, (int)data->reasonCode);
}

static void on_result(void *context, MQTTAsync_successData *data)
{
    // For a SUBSCRIBE the granted QoS, 0x80 when refused; for a PUBLISH the union holds the message.
    put_result(context, data->token, true, data->alt.qos);
}

static void on_publish_result(void *context, MQTTAsync_successData *data)
{
    put_result(context, data->token, true, 0);
}

static void on_publish_result5(void *context, MQTTAsync_successData5 *data)
{
    put_result(context, data->token, true, 0); // reasonCode is not set for a PUBACK that says nothing
}

static void on_result_failed5(void *context, MQTTAsync_failureData5 *data)
{
    int reason = (int)data->reasonCode;
    put_result(context, data->token, false, reason >= MQTTREASONCODE_UNSPECIFIED_ERROR ? reason : data->code);
}

static void on_result_failed(void *context, MQTTAsync_failureData *data)
{
    put_result(context, data->token, false, data->code);
}

static int on_tls_error(const char *text, size_t len, void *context)
{
    struct reeve_paho *paho = context;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\0')) {
        len--;
    }
    (void)pthread_mutex_lock(&paho->mutex); /* can't fail */
    (void)snprintf(paho->tls_error, sizeof(paho->tls_error), "%.*s", (int)(len < 150 ? len : 150), text);
    (void)pthread_mutex_unlock(&paho->mutex); /* held */
    return 1;                                 // go on reporting
}

// ---- received messages -------------------------------------------------------------------------------------

struct parts {
    const char *topic;
    size_t topic_len;
    MQTTLenString response_topic, correlation; // data NULL = none
};

static MQTTLenString string_property(MQTTProperties *properties, enum MQTTPropertyCodes code)
{
    const MQTTProperty *found = MQTTProperties_getProperty(properties, code);
    return found != NULL ? found->value.data : (MQTTLenString){0};
}

static void read_subscription_ids(MQTTProperties *properties, struct reeve_incoming *incoming)
{
    enum MQTTPropertyCodes code = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER;
    int count = MQTTProperties_propertyCount(properties, code);
    if (count > (int)REEVE_ARRAY_LEN(incoming->subscription_ids)) {
        return; // more than we can hold: the topic decides
    }
    for (int i = 0; i < count; i++) {
        incoming->subscription_ids[i] = (uint32_t)MQTTProperties_getNumericValueAt(properties, code, i);
    }
    incoming->subscription_ids_len = (size_t)count;
}

static char *append(char **at, const void *data, size_t len)
{
    char *copy = *at;
    if (len > 0) {
        memcpy(copy, data, len);
    }
    copy[len] = '\0'; // topics are read as strings; a payload gets one too, which harms nothing
    *at += len + 1;
    return copy;
}

static struct reeve_incoming *copy_message(struct parts *parts, MQTTAsync_message *message)
{
    size_t payload_len = (size_t)message->payloadlen;
    size_t response_len = (size_t)parts->response_topic.len;
    size_t correlation_len = (size_t)parts->correlation.len;
    size_t bytes = sizeof(struct reeve_incoming) + parts->topic_len + payload_len + response_len + correlation_len + 4;
    struct reeve_incoming *incoming = malloc(bytes);
    if (incoming == NULL) {
        return NULL;
    }
    char *at = (char *)(incoming + 1);
    *incoming = (struct reeve_incoming){.retained = message->retained != 0, .bytes = bytes};
    incoming->topic = append(&at, parts->topic, parts->topic_len);
    incoming->payload = append(&at, message->payload, payload_len);
    incoming->payload_len = payload_len;
    if (parts->response_topic.data != NULL) {
        incoming->response_topic = append(&at, parts->response_topic.data, response_len);
    }
    if (parts->correlation.data != NULL) {
        incoming->correlation = append(&at, parts->correlation.data, correlation_len);
        incoming->correlation_len = correlation_len;
    }
    return incoming;
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    struct reeve_paho *paho = context;
    // Paho says 0 when the topic has no NUL inside; one with a NUL is nobody's.
    struct parts parts = {.topic = topic, .topic_len = topic_len > 0 ? (size_t)topic_len : strlen(topic)};
    if (paho->version >= MQTTVERSION_5) {
        parts.response_topic = string_property(&message->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
        parts.correlation = string_property(&message->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
    }
    bool too_large = (size_t)message->payloadlen > paho->message_bytes_max;
    struct reeve_incoming *incoming = too_large ? NULL : copy_message(&parts, message);
    if (incoming == NULL) {
        (void)atomic_fetch_add(&paho->refused_size, 1); /* the value before is of no interest */
    } else {
        if (paho->version >= MQTTVERSION_5) {
            read_subscription_ids(&message->properties, incoming);
        }
        struct reeve_handover_record record = session_record(paho, REEVE_HANDOVER_MESSAGE);
        record.message = incoming;
        put(paho, record);
    }
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

// ---- life --------------------------------------------------------------------------------------------------

// For reeve_paho_kick(): never connects, holds one message.
static MQTTAsync kicker;

// A second call would initialise mutexes that Paho's threads are using.
static void init_once(void)
{
    static bool done;
    if (done) {
        return;
    }
    done = true;
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    init.do_openssl_init = 1;
    MQTTAsync_global_init(&init);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.sendWhileDisconnected = 1;
    create.allowDisconnectedSendAtAnyTime = 1;
    create.deleteOldestMessages = 1;
    create.maxBufferedMessages = 1;
    create.persistQoS0 = 0;
    if (MQTTAsync_createWithOptions(&kicker, "tcp://127.0.0.1:1", "kick", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) !=
        MQTTASYNC_SUCCESS) {
        kicker = NULL; // out of memory: then a lost wake-up costs its second
    }
}

enum reeve_err reeve_paho_new(const struct reeve_paho_options *options, struct reeve_paho **ret, struct reeve_why *why)
{
    enum reeve_err err = reeve_paho_load(options->tls, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_paho *paho = calloc(1, sizeof(*paho) + options->slots * sizeof(paho->slots[0]));
    if (paho == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the MQTT client");
    }
    paho->version = options->version;
    paho->message_bytes_max = options->message_bytes_max;
    paho->handover = options->handover;
    paho->slots_len = options->slots;
    for (size_t i = 0; i < options->slots; i++) {
        paho->slots[i].paho = paho;
    }
    init_once();
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    create.MQTTVersion = options->version; // never the default: it falls back to MQTT 3.1 without a word
    create.maxBufferedMessages = 65535;    // our own window is what limits
    int rc = MQTTAsync_createWithOptions(&paho->handle, options->uri, options->client_id, MQTTCLIENT_PERSISTENCE_NONE,
                                         NULL, &create);
    if (rc != MQTTASYNC_SUCCESS || pthread_mutex_init(&paho->mutex, NULL) != 0) {
        free(paho);
        return reeve_fail(why, REEVE_INVALID, "MQTT client for %s: %s", options->uri, MQTTAsync_strerror(rc));
    }
    // Both fail only for a NULL handle or one that is connected.
    (void)MQTTAsync_setCallbacks(paho->handle, paho, on_lost, on_message, NULL);
    (void)MQTTAsync_setDisconnected(paho->handle, paho, on_dismissed);
    *ret = paho;
    return REEVE_OK;
}

void reeve_paho_free(struct reeve_paho *paho)
{
    static struct reeve_paho *parked; // keeps them reachable: nothing is lost, nothing is waited for
    static size_t parked_len;
    if (paho == NULL) {
        return;
    }
    reeve_handover_calling(paho->handover, true); // a callback that waits for room lets go
    if (MQTTAsync_isConnected(paho->handle) != 0) {
        (void)reeve_paho_disconnect(paho, true); /* nobody waits for CLOSED any more */
    }
    (void)pthread_mutex_lock(&paho->mutex); /* can't fail */
    paho->handover = NULL;
    (void)pthread_mutex_unlock(&paho->mutex); /* held */
    // A connect under way would end in a session that nobody owns: only destroying the handle stops it.
    if (parked_len < PARKED_MAX && !atomic_load(&paho->connecting)) {
        paho->next_parked = parked;
        parked = paho;
        parked_len++;
        return;
    }
    MQTTAsync_destroy(&paho->handle); // no callback comes after it
    (void)pthread_mutex_destroy(&paho->mutex);
    free(paho);
}

// ---- calls: the loop ---------------------------------------------------------------------------------------

static MQTTAsync_SSLOptions tls_options(struct reeve_paho *paho, const struct reeve_paho_connect *options)
{
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    tls.enableServerCertAuth = 1;
    tls.verify = 1; // the name in the certificate too
    tls.trustStore = options->ca_file;
    tls.disableDefaultTrustStore = options->ca_file != NULL;
    tls.keyStore = options->cert_file;
    tls.privateKey = options->key_file;
    tls.ssl_error_cb = on_tls_error;
    tls.ssl_error_context = paho;
    return tls;
}

static void add_number(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t number)
{
    MQTTProperty property = {.identifier = code};
    property.value.integer4 = number;
    (void)MQTTProperties_add(properties, &property); /* out of memory: the option is missing, as on 3.1.1 */
}

static void add_data(MQTTProperties *properties, enum MQTTPropertyCodes code, const void *data, size_t len)
{
    MQTTProperty property = {.identifier = code};
    property.value.data = (MQTTLenString){.len = (int)len, .data = (char *)(uintptr_t)data};
    (void)MQTTProperties_add(properties, &property); /* copies; out of memory as above */
}

static void set_callbacks(MQTTAsync_connectOptions *connect, struct reeve_paho *paho)
{
    connect->context = paho;
    if (paho->version >= MQTTVERSION_5) {
        connect->onSuccess5 = on_connected5;
        connect->onFailure5 = on_connect_failed5;
    } else {
        connect->onSuccess = on_connected;
        connect->onFailure = on_connect_failed;
    }
}

static void set_session(MQTTAsync_connectOptions *connect, const struct reeve_paho *paho,
                        const struct reeve_paho_connect *options)
{
    connect->MQTTVersion = paho->version;
    if (paho->version >= MQTTVERSION_5) {
        connect->cleanstart = 1; // and no expiry property: the session ends with the connection
        connect->cleansession = 0;
    } else {
        connect->cleansession = 1;
    }
    connect->maxInflight = 65535; // below it Paho's send thread never sleeps; our window is far below
    connect->keepAliveInterval = (int)((options->keep_alive_ms + 999) / 1000);
    connect->connectTimeout = (int)((options->timeout_ms + 999) / 1000);
    connect->automaticReconnect = 0; // would send the first session's will again
    connect->username = options->username;
    connect->binarypwd.data = options->password;
    connect->binarypwd.len = (int)options->password_len;
}

enum reeve_err reeve_paho_connect(struct reeve_paho *paho, const struct reeve_paho_connect *options,
                                  uint64_t generation, struct reeve_why *why)
{
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    if (paho->version < MQTTVERSION_5) {
        connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer;
    }
    set_callbacks(&connect, paho);
    set_session(&connect, paho, options);
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    will.topicName = options->will_topic;
    will.payload.data = options->will;
    will.payload.len = (int)options->will_len;
    will.retained = 1;
    will.qos = 1;
    connect.will = options->will_topic != NULL ? &will : NULL;
    MQTTAsync_SSLOptions tls = tls_options(paho, options);
    connect.ssl = options->tls ? &tls : NULL;
    MQTTProperties properties = MQTTProperties_initializer;
    if (paho->version >= MQTTVERSION_5) {
        add_number(&properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE,
                   (uint32_t)(PACKET_SIZE_FACTOR * paho->message_bytes_max + PACKET_SIZE_EXTRA));
        connect.connectProperties = &properties;
    }
    reeve_handover_calling(paho->handover, true); // first: a callback that waits for room holds our mutex
    (void)pthread_mutex_lock(&paho->mutex);       /* can't fail */
    paho->tls_error[0] = '\0';
    (void)pthread_mutex_unlock(&paho->mutex); /* held */
    atomic_store(&paho->generation, generation);
    atomic_store(&paho->connecting, true);
    reeve_paho_threads_hurry();
    int rc = MQTTAsync_connect(paho->handle, &connect);
    reeve_handover_calling(paho->handover, false);
    MQTTProperties_free(&properties);
    if (rc != MQTTASYNC_SUCCESS) {
        atomic_store(&paho->connecting, false);
        return reeve_fail(why, REEVE_INTERNAL, "connect: %s (%d)", reeve_paho_code_text(paho->version, rc), rc);
    }
    return REEVE_OK;
}

bool reeve_paho_disconnect(struct reeve_paho *paho, bool goodbye)
{
    MQTTAsync_disconnectOptions disconnect = MQTTAsync_disconnectOptions_initializer;
    disconnect.context = paho;
    if (paho->version >= MQTTVERSION_5) {
        disconnect = (MQTTAsync_disconnectOptions)MQTTAsync_disconnectOptions_initializer5;
        disconnect.context = paho;
        disconnect.reasonCode =
            goodbye ? MQTTREASONCODE_NORMAL_DISCONNECTION : MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE;
        disconnect.onSuccess5 = on_closed5;
        disconnect.onFailure5 = on_close_failed5;
    } else {
        disconnect.onSuccess = on_closed;
        disconnect.onFailure = on_close_failed;
    }
    reeve_handover_calling(paho->handover, true);
    int rc = MQTTAsync_disconnect(paho->handle, &disconnect);
    reeve_handover_calling(paho->handover, false);
    return rc == MQTTASYNC_SUCCESS;
}

bool reeve_paho_connected(const struct reeve_paho *paho)
{
    return MQTTAsync_isConnected(paho->handle) != 0;
}

static enum reeve_err call_result(const struct reeve_paho *paho, int rc, const char *what, struct reeve_why *why)
{
    const char *text = reeve_paho_code_text(paho->version, rc);
    switch (rc) {
    case MQTTASYNC_SUCCESS:
        return REEVE_OK;
    case MQTTASYNC_DISCONNECTED:
        return reeve_fail(why, REEVE_OFFLINE, "%s: %s", what, text);
    case MQTTASYNC_MAX_MESSAGES_INFLIGHT:
    case MQTTASYNC_NO_MORE_MSGIDS:
    case MQTTASYNC_MAX_BUFFERED_MESSAGES:
    case MQTTASYNC_MAX_BUFFERED:
        return reeve_fail(why, REEVE_LIMIT, "%s: %s", what, text);
    case MQTTASYNC_BAD_UTF8_STRING:
    case MQTTASYNC_TOPICNAME_TRUNCATED:
        return reeve_fail(why, REEVE_INVALID, "%s: %s", what, text);
    default:
        return reeve_fail(why, REEVE_INTERNAL, "%s: %s (%d)", what, text, rc);
    }
}

enum reeve_err reeve_paho_subscribe(struct reeve_paho *paho, uint32_t slot,
                                    const struct reeve_paho_subscription *subscription, int *ret_token,
                                    struct reeve_why *why)
{
    REEVE_ASSERT(slot < paho->slots_len);
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    options.context = &paho->slots[slot];
    if (paho->version >= MQTTVERSION_5) {
        options.onSuccess5 = on_result5;
        options.onFailure5 = on_result_failed5;
        // 2 = send no retained messages. With retainAsPublished a retained command is seen as one [cmd-1].
        options.subscribeOptions.retainHandling = subscription->no_retained ? 2 : 0;
        options.subscribeOptions.retainAsPublished = subscription->no_retained ? 1 : 0;
        add_number(&options.properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, subscription->id);
    } else {
        options.onSuccess = on_result;
        options.onFailure = on_result_failed;
    }
    reeve_handover_calling(paho->handover, true);
    int rc = MQTTAsync_subscribe(paho->handle, subscription->filter, subscription->qos, &options);
    reeve_handover_calling(paho->handover, false);
    MQTTProperties_free(&options.properties);
    *ret_token = options.token;
    return call_result(paho, rc, "subscribe", why);
}

void reeve_paho_unsubscribe(struct reeve_paho *paho, const char *filter)
{
    reeve_handover_calling(paho->handover, true);
    // Without a connection there is nothing to undo; a message that still comes finds no handler.
    (void)MQTTAsync_unsubscribe(paho->handle, filter, NULL);
    reeve_handover_calling(paho->handover, false);
}

static void add_message_properties(const struct reeve_outbox_item *item, MQTTProperties *properties)
{
    const struct reeve_bus_message *message = &item->message;
    if (item->expires_mono != 0) {
        int64_t left_ms = item->expires_mono - reeve_clock_mono_ms();
        int64_t left_s = left_ms > 0 ? (left_ms + 999) / 1000 : 1;
        add_number(properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL,
                   (uint32_t)(left_s < UINT32_MAX ? left_s : UINT32_MAX));
    }
    if (message->response_topic != NULL) {
        add_data(properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, message->response_topic,
                 strlen(message->response_topic));
    }
    if (message->correlation != NULL) {
        add_data(properties, MQTTPROPERTY_CODE_CORRELATION_DATA, message->correlation, message->correlation_len);
    }
}

enum reeve_err reeve_paho_send(struct reeve_paho *paho, uint32_t slot, const struct reeve_outbox_item *item,
                               int *ret_token, struct reeve_why *why)
{
    REEVE_ASSERT(slot < paho->slots_len);
    const struct reeve_bus_message *from = &item->message;
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    options.context = &paho->slots[slot];
    MQTTAsync_message message = MQTTAsync_message_initializer;
    message.payload = (void *)(uintptr_t)from->payload; // Paho copies, but lacks const
    message.payloadlen = (int)from->payload_len;
    message.qos = from->qos;
    message.retained = from->retain ? 1 : 0;
    if (paho->version >= MQTTVERSION_5) {
        options.onSuccess5 = on_publish_result5;
        options.onFailure5 = on_result_failed5;
        add_message_properties(item, &message.properties);
    } else {
        options.onSuccess = on_publish_result;
        options.onFailure = on_result_failed;
    }
    reeve_handover_calling(paho->handover, true);
    int rc = MQTTAsync_sendMessage(paho->handle, from->topic, &message, &options);
    reeve_handover_calling(paho->handover, false);
    MQTTProperties_free(&message.properties);
    *ret_token = options.token;
    return call_result(paho, rc, from->topic, why);
}

void reeve_paho_kick(void)
{
    if (kicker != NULL) {
        (void)MQTTAsync_send(kicker, "k", 0, NULL, 0, 0, NULL); /* goes nowhere: the signal is all */
    }
}

uint64_t reeve_paho_refused_size(const struct reeve_paho *paho)
{
    return atomic_load(&paho->refused_size);
}
