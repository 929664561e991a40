// The MQTT session: connect and reconnect with an own back-off, an epoch and a fresh will for each
// session, handlers per pattern, publishing with a result, requests with a timeout, bounded queues.
// The only code that knows Paho; docs/measurements.md says why it is used the way it is.
// Everything is called, and calls back, on the loop's thread. Nothing blocks.
//
// States:  idle ─start─► connecting ─CONNACK─► subscribing ─all SUBACKs─► probing ─own probe seen─► ready
//              ▲             │  ▲                   │                         │                       │
//              │stop         ▼  │back-off over      ▼                         ▼                       ▼
//           leaving ◄──── waiting ◄──────────────────────── lost, refused, or silent for too long ─────┘
// `on_session` is called on entering `probing` (owners publish their retained records), `on_ready` after the echo.
#ifndef REEVE_BUS_H
#define REEVE_BUS_H

#include <reeve/message.h>
#include <uv.h>

struct reeve_bus; // opaque; one per process (Paho leaks per handle: upstream 1615)

enum reeve_bus_state {
    REEVE_BUS_IDLE,
    REEVE_BUS_CONNECTING,
    REEVE_BUS_SUBSCRIBING,
    REEVE_BUS_PROBING,
    REEVE_BUS_READY,
    REEVE_BUS_WAITING, // for the next try
    REEVE_BUS_LEAVING,
};
const char *reeve_bus_state_text(enum reeve_bus_state state);

// Record table `broker:` of configuration files, the CLI's site and the SDK: where and as whom.
struct reeve_broker {
    char *url;           // mqtt:// mqtts:// ws:// wss:// host[:port][/path]; ports 1883 8883 80 443 when left out
    char *username;      // NULL = none
    char *password;      // SECRET; or password_file
    char *password_file; // read at each connect, so that it can be rotated; must be 0600 (S34)
    char *ca_file;       // mqtts, wss: trust only this; NULL = the system's
    char *cert_file;     // client certificate and its key
    char *key_file;
    int version;         // 5 or 4 (3.1.1); choice "5" | "3.1.1"
    int64_t keep_alive_ms; // 5s..; preset 10s
    int64_t message_bytes_max; // preset 1 MiB
    int64_t window;        // messages in flight; preset 200, held below the broker's Receive Maximum
    int64_t queue_len_max; // messages waiting here; preset 10,000
    int64_t queue_bytes_max; // preset 16 MiB
};
extern const struct reeve_record reeve_broker_record;

struct reeve_bus_will {
    const char *topic;
    const char *payload; // made by `will`, copied
    size_t payload_len;
};

struct reeve_bus_options {
    uv_loop_t *loop;
    const struct reeve_broker *broker; // borrowed for the bus' life
    const char *root;      // reeve/v1/<site>
    const char *client;    // name of this client: its replies come to reply/<client>/#; [topic-2]
    const char *client_id; // of MQTT; NULL = <client>-<8 hex>: unique per process, so that two holders of one name see each
                           // other on their status topic instead of kicking each other for ever [session-7]
    // Called before every CONNECT: give the epoch of the session to come and, with a will, fill *ret_will (lives until return).
    // NULL = no epoch (0), no will.
    uint64_t (*next_epoch)(struct reeve_buf *will_payload, void *arg);
    const char *will_topic; // full topic, QoS 1, retained; NULL = no will
    void (*on_session)(struct reeve_bus *bus, uint64_t epoch, void *arg); // subscribed: publish what you own [session-3] [session-6]
    void (*on_ready)(struct reeve_bus *bus, void *arg);                   // and the probe came back [session-8]
    void (*on_lost)(struct reeve_bus *bus, const struct reeve_why *why, int64_t retry_ms, void *arg);
    void (*on_room)(struct reeve_bus *bus, void *arg); // queues fell below half after a LIMIT: producers may go on
    void *arg;
    // CLI: until it was ready once, a failure is reported through on_lost (retry_ms -1) and the bus stays idle instead of retrying.
    bool fail_fast;
};

enum reeve_err reeve_bus_new(const struct reeve_bus_options *options, struct reeve_bus **ret, struct reeve_why *why);
void reeve_bus_start(struct reeve_bus *bus);
// Flush what is queued (at most `deadline_ms`), DISCONNECT (so no will), then `stopped` (NULL allowed) once, never from inside. Open
// requests end with OFFLINE; subscriptions, and replies and events that could not be sent, stay for a later start.
// The goodbye status is the owner's to publish before it calls this.
void reeve_bus_stop(struct reeve_bus *bus, int64_t deadline_ms, void (*stopped)(struct reeve_bus *bus, void *arg), void *arg);
// Drop the session without a DISCONNECT the broker could take for a goodbye (MQTT 5: reason 0x04, which sends the will; 3.1.1 has no
// such thing: no will there), and connect anew with a new epoch. Does nothing while there is no session.
void reeve_bus_renew(struct reeve_bus *bus, const char *cause);
// After `stopped` or before start; NULL allowed. Messages left end with CANCELLED. The memory goes when the loop has turned once
// more (reeve_loop_finish() does); Paho's handle stays until the process ends.
void reeve_bus_free(struct reeve_bus *bus);

enum reeve_bus_state reeve_bus_state(const struct reeve_bus *bus);
uint64_t reeve_bus_epoch(const struct reeve_bus *bus); // of the current or last session
const char *reeve_bus_client(const struct reeve_bus *bus);
const char *reeve_bus_root(const struct reeve_bus *bus);
uv_loop_t *reeve_bus_loop(const struct reeve_bus *bus);

// ---- receiving ---------------------------------------------------------------------------------------------

typedef void reeve_bus_handler(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg);
#define REEVE_BUS_NO_RETAINED 1u // commands: asks for no retained messages (MQTT 5); on 3.1.1 they arrive with retained = true
// Full filter (root included). A handler per pattern; overlapping patterns each get the message once. Before start or at any time;
// re-subscribed on every connect; a refused SUBACK fails the session (on_lost names the filter). CONFLICT for a filter that is
// there already. On MQTT 3.1.1 a broker may send a message once for each of several overlapping filters; every handler
// that matches then gets each copy.
enum reeve_err reeve_bus_subscribe(struct reeve_bus *bus, const char *filter, int qos, unsigned flags,
                                   reeve_bus_handler *handler, void *arg, struct reeve_why *why);
enum reeve_err reeve_bus_unsubscribe(struct reeve_bus *bus, const char *filter);

// ---- publishing --------------------------------------------------------------------------------------------

enum reeve_bus_class {
    REEVE_BUS_STATE, // retained records, presence: only while connected (republished by on_session anyway); goes first
    REEVE_BUS_REPLY, // replies and commands: kept through a reconnect, goes before events
    REEVE_BUS_EVENT, // kept through an outage up to the bound; the oldest event is dropped first, counted
    REEVE_BUS_BULK,  // metrics, logs (QoS 0): dropped while not connected or when the queue is half full, counted
};
struct reeve_bus_message {
    const char *topic; // full
    const void *payload;
    size_t payload_len;
    int qos;           // 0, 1
    bool retain;
    enum reeve_bus_class class;
    int64_t expiry_ms; // MQTT 5 message expiry, rounded up to seconds; 0 = none
    const char *response_topic; // MQTT 5
    const void *correlation;    // MQTT 5
    size_t correlation_len;
    // Once, for what reeve_bus_publish() took: OK = acknowledged by the broker (QoS 1; not durable!) or written (QoS 0); DENIED with
    // the reason code (MQTT 5; 3.1.1 has no refusal); OFFLINE = lost with the session; LIMIT = pushed out of the queue;
    // TIMEOUT = its expiry passed while it waited; CANCELLED = the bus was freed. NULL = nobody asks.
    void (*result)(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg);
    void *arg;
};
// Copies. OK = queued or sent. Otherwise nothing was taken: LIMIT = back-pressure, wait for on_room (BULK: the queue is half full);
// OFFLINE for STATE and BULK while not connected; INVALID for a topic that can't be published to and for a payload larger than
// message_bytes_max or than the broker takes. STATE goes out from on_session on, everything else from on_ready on.
// Presence and replies have an eighth of the queue beyond its bound, so that a backlog of events does not stand in their way.
// A REPLY or EVENT that was in flight when a session ended is sent again in the next (receivers deduplicate by id).
enum reeve_err reeve_bus_publish(struct reeve_bus *bus, const struct reeve_bus_message *message, struct reeve_why *why);
// A record as msgpack. `value` is only read.
enum reeve_err reeve_bus_publish_value(struct reeve_bus *bus, const struct reeve_bus_message *message,
                                       const struct reeve_value *value, struct reeve_why *why);

// ---- requests ----------------------------------------------------------------------------------------------

// Called for every reply of the command, the last time with a terminal phase, or with reply NULL and err: TIMEOUT, OFFLINE (the
// bus was stopped), or what became of the message when it could not be delivered (DENIED, LIMIT).
typedef void reeve_bus_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg);
// Send `command` (its id is made when NULL; reply address, issuer and expiry are filled in) to the full topic `topic`.
// Replies are taken from reply/<client>/<id>. Returns the id through ret_id (27 bytes, or NULL; a longer id of the caller's own is
// cut, it stands in command->id). CONFLICT while the same id waits.
enum reeve_err reeve_bus_request(struct reeve_bus *bus, const char *topic, struct reeve_command *command, int64_t timeout_ms,
                                 reeve_bus_reply *on_reply, void *arg, char *ret_id, struct reeve_why *why);
// The same for a command that the caller has written as msgpack, with what [cmd-2] wants of it: this `id`, the reply address
// reply/<client>/<id>, issuer and expiry. For commands that carry much. Copies.
enum reeve_err reeve_bus_request_packed(struct reeve_bus *bus, const char *topic, const char *id, const void *payload,
                                        size_t payload_len, int64_t timeout_ms, reeve_bus_reply *on_reply, void *arg,
                                        struct reeve_why *why);
void reeve_bus_request_cancel(struct reeve_bus *bus, const char *id); // no further calls
// Answer a received command: to its reply_to (with correlation), or, for a failing terminal phase with nobody listening, to
// reply/anonymous/<id> [cmd-3]. DENIED for a reply_to that reeve_topic_reply_allowed() refuses.
enum reeve_err reeve_bus_answer(struct reeve_bus *bus, const struct reeve_command *command, const struct reeve_reply *reply);

// ---- numbers -----------------------------------------------------------------------------------------------

#define REEVE_BUS_STATS(X)                                                                                             \
    X(connects) X(connect_failures) X(losses) X(renewals) X(published) X(publish_failed) X(acknowledged) X(received)   \
    X(received_bytes) X(published_bytes) X(dropped_events) X(dropped_bulk) X(dropped_state) X(refused_full)            \
    X(refused_size) X(handover_stalls) X(resent) X(probes) X(probe_timeouts) X(unmatched) X(queue_len) X(queue_len_peak) \
    X(in_flight) X(in_flight_peak) X(requests) X(request_timeouts)
struct reeve_bus_stats {
#define X(name) uint64_t name;
    REEVE_BUS_STATS(X)
#undef X
};
void reeve_bus_stats(const struct reeve_bus *bus, struct reeve_bus_stats *ret);
struct reeve_value *reeve_bus_stats_value(const struct reeve_bus *bus); // MAP; caller frees

#endif
