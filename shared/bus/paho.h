// The MQTT client library, seen from the loop: calls that return at once, and records in the hand-over queue.
//
// Rules of Paho 1.3 that this wrapper keeps (docs/measurements.md):
// - its callbacks run on its threads and hold its mutex, so they copy, hand over and return; none calls Paho;
// - while a connect is under way its mutex may be held during a name look-up: the bus calls nothing then;
// - a connect is started only when the session before has ended (LOST, CONNECT_FAILED or CLOSED came);
// - a handle leaks a little when destroyed and takes up to a second: it is made once and parked at the end.
#ifndef REEVE_BUS_PAHO_H
#define REEVE_BUS_PAHO_H

#include "handover.h"
#include "outbox.h"

struct reeve_paho;

struct reeve_paho_options {
    const char *uri;          // reeve_url_paho()
    const char *client_id;    // of MQTT
    int version;              // 5 or 4
    bool tls;                 // which of Paho's libraries
    size_t slots;             // publishes and subscribes that can be on their way at once
    size_t message_bytes_max; // larger ones are dropped and counted before they are copied
    struct reeve_handover *handover;
};
enum reeve_err reeve_paho_new(const struct reeve_paho_options *options, struct reeve_paho **ret, struct reeve_why *why);
// No callback uses the hand-over queue afterwards. The handle itself stays until the process ends.
void reeve_paho_free(struct reeve_paho *paho);

struct reeve_paho_connect {
    const char *username; // NULL = none
    const void *password;
    size_t password_len;
    const char *will_topic; // NULL = no will
    const void *will;
    size_t will_len;
    const char *ca_file, *cert_file, *key_file;
    bool tls;
    int64_t keep_alive_ms;
    int64_t timeout_ms;
};
// Everything is copied. OK: CONNECTED or CONNECT_FAILED follows, with `generation`.
enum reeve_err reeve_paho_connect(struct reeve_paho *paho, const struct reeve_paho_connect *options,
                                  uint64_t generation, struct reeve_why *why);
// `goodbye`: a DISCONNECT that cancels the will; otherwise, on MQTT 5, one that asks for it (reason 0x04; 3.1.1 has no
// such thing: no will is sent there). True: CLOSED follows, unless the connection is lost before Paho gets to it: then
// nothing does, and reeve_paho_connected() tells. False: there was no connection.
bool reeve_paho_disconnect(struct reeve_paho *paho, bool goodbye);
bool reeve_paho_connected(const struct reeve_paho *paho);

struct reeve_paho_subscription {
    const char *filter;
    int qos;
    bool no_retained;
    uint32_t id; // MQTT 5 subscription identifier, from 1
};
// RESULT follows for (slot, *ret_token).
enum reeve_err reeve_paho_subscribe(struct reeve_paho *paho, uint32_t slot,
                                    const struct reeve_paho_subscription *subscription, int *ret_token,
                                    struct reeve_why *why);
void reeve_paho_unsubscribe(struct reeve_paho *paho, const char *filter);
// RESULT follows. OFFLINE: the connection is gone, LOST follows. LIMIT: Paho has no room now, nothing was taken.
enum reeve_err reeve_paho_send(struct reeve_paho *paho, uint32_t slot, const struct reeve_outbox_item *item,
                               int *ret_token, struct reeve_why *why);

// Wakes Paho's sending thread. It looks for work and then waits for a signal, and misses one that comes in between:
// whatever was asked for then lies for a second (seen once in some thousand publishes). This queues a message at a
// client that never connects, replacing the last one: no packet is sent.
void reeve_paho_kick(void);

uint64_t reeve_paho_refused_size(const struct reeve_paho *paho);

// Text for a code of a record, for people; with what to do about it where that is known.
const char *reeve_paho_code_text(int version, int code);

#endif
