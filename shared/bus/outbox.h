// What waits to be published and what is on its way: four classes, one bound, a table of slots for the window.
//
//   add ─► waiting (by class) ─take─► slot (in flight) ─ack─► result
//             ▲                          │ session lost: REPLY and EVENT go back to the front, in order;
//             └──────────────────────────┘ STATE and BULK end with OFFLINE
// Knows no MQTT; the result callbacks run inside the call that causes them, on the loop.
#ifndef REEVE_BUS_OUTBOX_H
#define REEVE_BUS_OUTBOX_H

#include <reeve/bus.h>

struct reeve_outbox;

struct reeve_outbox_options {
    size_t len_max;    // waiting messages
    size_t bytes_max;  // of their topics and payloads
    size_t window_max; // slots
};

struct reeve_outbox_item {
    struct reeve_outbox_item *prev, *next;
    struct reeve_bus_message message; // everything it points to is part of this allocation
    int64_t expires_mono;             // 0 = never
    uint64_t number;                  // order of acceptance
    size_t bytes;
};

enum reeve_err reeve_outbox_new(const struct reeve_outbox_options *options, struct reeve_bus *bus,
                                struct reeve_bus_stats *stats, struct reeve_outbox **ret, struct reeve_why *why);
// Every message left ends with CANCELLED.
void reeve_outbox_free(struct reeve_outbox *outbox);

// Copies. Makes room by the rules of the classes; LIMIT when there is none.
// `online` = there is a session that will take it soon.
enum reeve_err reeve_outbox_add(struct reeve_outbox *outbox, const struct reeve_bus_message *message, bool online,
                                struct reeve_why *why);

// The next message to send, of class `lowest` or a more urgent one, into a free slot; NULL when there is nothing, or
// `window` messages are in flight. Expired ones end with TIMEOUT on the way. The item stays the outbox's.
const struct reeve_outbox_item *reeve_outbox_take(struct reeve_outbox *outbox, size_t window,
                                                  enum reeve_bus_class lowest, uint32_t *ret_slot);
void reeve_outbox_sent(struct reeve_outbox *outbox, uint32_t slot, int token);
// Could not be sent now: back to where it came from.
void reeve_outbox_put_back(struct reeve_outbox *outbox, uint32_t slot);
// The end of the message in `slot`. A token that is not the slot's is a late word about an older message: false.
bool reeve_outbox_finish(struct reeve_outbox *outbox, uint32_t slot, int token, enum reeve_err err,
                         const struct reeve_why *why);
// The same without a token, for one that never left.
void reeve_outbox_fail(struct reeve_outbox *outbox, uint32_t slot, enum reeve_err err, const struct reeve_why *why);
// The session ended.
void reeve_outbox_lose_session(struct reeve_outbox *outbox, const struct reeve_why *why);

size_t reeve_outbox_waiting(const struct reeve_outbox *outbox);
size_t reeve_outbox_in_flight(const struct reeve_outbox *outbox);
// After a LIMIT: true once when the waiting ones fell below half of both bounds.
bool reeve_outbox_has_room_again(struct reeve_outbox *outbox);

#endif
