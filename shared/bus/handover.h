// From Paho's threads to the loop: a bounded queue of records and a wake-up.
//
// Paho calls back holding its own mutex. So a callback that waits here for room also holds up a loop that wants to
// send; therefore the wait ends at once when the loop announces a call into Paho (reeve_handover_calling), and the
// bound may then be passed up to twice its size. Otherwise Paho's thread waits: it stops reading the socket, and TCP
// carries the back-pressure to the broker. Only when twice the bound is full is a message refused; that is counted,
// marked as overflow, and the bus renews its session, so that nothing is missing without anybody knowing. Refusing by
// `return 0` to Paho is no way out: it offers a refused message again only when another packet arrives.
#ifndef REEVE_BUS_HANDOVER_H
#define REEVE_BUS_HANDOVER_H

#include <reeve/err.h>
#include <stdint.h>
#include <uv.h>

// A received message: one allocation, everything it points to lies behind it.
struct reeve_incoming {
    const char *topic;
    const void *payload;
    size_t payload_len;
    bool retained;
    const char *response_topic; // NULL = none
    const void *correlation;    // NULL = none
    size_t correlation_len;
    uint32_t subscription_ids[8]; // MQTT 5: the subscriptions it was sent for
    size_t subscription_ids_len;  // 0 = not said
    size_t bytes;                 // of the whole allocation
};

enum reeve_handover_kind {
    REEVE_HANDOVER_CONNECTED,
    REEVE_HANDOVER_CONNECT_FAILED,
    REEVE_HANDOVER_LOST,
    REEVE_HANDOVER_DISMISSED, // the broker sent DISCONNECT; LOST follows
    REEVE_HANDOVER_CLOSED,    // our DISCONNECT is done
    REEVE_HANDOVER_RESULT,    // of a publish or subscribe
    REEVE_HANDOVER_MESSAGE,
};

struct reeve_handover_record {
    enum reeve_handover_kind kind;
    uint64_t generation; // of the session it belongs to
    union {
        struct {
            uint32_t receive_max;     // 0 = not said
            uint32_t packet_size_max; // 0 = not said
        } connected;
        struct {
            int code;   // Paho's (< 0) or the broker's reason code (> 0)
            char *text; // Paho's or the TLS library's word, owned by the record; NULL = none
        } failed;       // CONNECT_FAILED, LOST, DISMISSED
        struct {
            uint32_t slot;
            int token;
            bool ok;
            int code; // as above; a granted QoS when ok
        } result;
        struct reeve_incoming *message; // owned by the record
    };
};

struct reeve_handover;

struct reeve_handover_options {
    uv_loop_t *loop;
    void (*wake)(void *arg); // on the loop: take what is there
    void *arg;
    size_t messages_max; // soft bound, twice that is hard
    size_t bytes_max;    // of messages, likewise
    size_t results_max;  // publishes and subscribes that can be on their way at once
};

enum reeve_err reeve_handover_new(const struct reeve_handover_options *options, struct reeve_handover **ret,
                                  struct reeve_why *why);
// Frees what is left in it, then calls `closed` from the loop. No callback of Paho may come any more.
void reeve_handover_close(struct reeve_handover *handover, void (*closed)(void *arg), void *arg);

// ---- Paho's threads ----

// Takes the message in any case. Messages may wait; everything else never does.
void reeve_handover_put(struct reeve_handover *handover, const struct reeve_handover_record *record);

// ---- the loop ----

// The next record; false when there is none. Whoever stops before that must call reeve_handover_wake(). The caller owns
// it: reeve_handover_record_done().
bool reeve_handover_take(struct reeve_handover *handover, struct reeve_handover_record *ret);
void reeve_handover_record_done(struct reeve_handover_record *record);
void reeve_handover_wake(struct reeve_handover *handover); // call `wake` in the next turn
// Around every call into Paho.
void reeve_handover_calling(struct reeve_handover *handover, bool calling);
// So much waits to be taken that nothing should be sent now: each call into Paho lets messages pass the bound, and
// Paho's thread, which takes its mutex again and again, may bring very many before the call is through.
bool reeve_handover_crowded(struct reeve_handover *handover);
// True once after an overflow.
bool reeve_handover_overflowed(struct reeve_handover *handover, uint64_t *ret_lost);
uint64_t reeve_handover_stalls(struct reeve_handover *handover); // messages that waited for room

#endif
