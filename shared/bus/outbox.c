// The outbox: classes, bounds, slots.
// Must not send, log or read anything but the monotonic clock.
#include "outbox.h"

#include <reeve/clock.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE_MIN 16 // of a small bound an eighth is nothing
#define CLASSES     (REEVE_BUS_BULK + 1)
// Of bulk that may sit in Paho and the socket, where nothing overtakes it: 2 s of a 64 kbit/s link. With QoS 0 it counts
// until it is written, with QoS 1 until it is acknowledged.
#define BULK_IN_FLIGHT_BYTES (16u << 10)

struct queue {
    struct reeve_outbox_item *first, *last;
};

struct slot {
    struct reeve_outbox_item *item; // NULL = free
    int token;
    uint32_t next_free;
};

struct reeve_outbox {
    struct reeve_bus *bus;
    struct reeve_bus_stats *stats;
    struct reeve_outbox_options options;
    struct queue queues[CLASSES];
    size_t len, bytes; // waiting
    uint64_t numbers;
    struct slot *slots;
    uint32_t free_slot; // window_max = none
    size_t in_flight, bulk_in_flight_bytes;
    bool refused; // a LIMIT was given since the last has_room_again
};

// ---- lists -------------------------------------------------------------------------------------------------

static void unlink_item(struct queue *queue, struct reeve_outbox_item *item)
{
    *(item->prev != NULL ? &item->prev->next : &queue->first) = item->next;
    *(item->next != NULL ? &item->next->prev : &queue->last) = item->prev;
    item->prev = item->next = NULL;
}

// Behind `after`; NULL = to the front.
static void link_item(struct queue *queue, struct reeve_outbox_item *item, struct reeve_outbox_item *after)
{
    item->prev = after;
    item->next = after != NULL ? after->next : queue->first;
    *(item->prev != NULL ? &item->prev->next : &queue->first) = item;
    *(item->next != NULL ? &item->next->prev : &queue->last) = item;
}

static void count_waiting(struct reeve_outbox *outbox)
{
    outbox->stats->queue_len = outbox->len;
    if (outbox->len > outbox->stats->queue_len_peak) {
        outbox->stats->queue_len_peak = outbox->len;
    }
}

static void enqueue(struct reeve_outbox *outbox, struct reeve_outbox_item *item, struct reeve_outbox_item *after)
{
    link_item(&outbox->queues[item->message.class], item, after);
    outbox->len++;
    outbox->bytes += item->bytes;
    count_waiting(outbox);
}

static void dequeue(struct reeve_outbox *outbox, struct reeve_outbox_item *item)
{
    unlink_item(&outbox->queues[item->message.class], item);
    outbox->len--;
    outbox->bytes -= item->bytes;
    count_waiting(outbox);
}

// Back among those that were accepted before and after it. Walks only past items older than it, which after a lost
// session are the few that were put back before.
static void enqueue_by_number(struct reeve_outbox *outbox, struct reeve_outbox_item *item)
{
    struct reeve_outbox_item *after = NULL;
    for (struct reeve_outbox_item *at = outbox->queues[item->message.class].first; at != NULL; at = at->next) {
        if (at->number > item->number) {
            break;
        }
        after = at;
    }
    enqueue(outbox, item, after);
}

// ---- items -------------------------------------------------------------------------------------------------

static void *copy_part(char **at, const void *data, size_t len)
{
    if (data == NULL) {
        return NULL;
    }
    void *copy = *at;
    memcpy(copy, data, len);
    *at += len;
    return copy;
}

static size_t text_size(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static struct reeve_outbox_item *make_item(const struct reeve_bus_message *message)
{
    size_t topic_size = text_size(message->topic);
    size_t response_size = text_size(message->response_topic);
    size_t len = topic_size + message->payload_len + response_size + message->correlation_len;
    struct reeve_outbox_item *item = malloc(sizeof(*item) + len);
    if (item == NULL) {
        return NULL;
    }
    char *at = (char *)(item + 1);
    *item = (struct reeve_outbox_item){.message = *message, .bytes = sizeof(*item) + len};
    item->message.topic = copy_part(&at, message->topic, topic_size);
    item->message.payload = message->payload_len > 0 ? copy_part(&at, message->payload, message->payload_len) : NULL;
    item->message.response_topic = copy_part(&at, message->response_topic, response_size);
    item->message.correlation = copy_part(&at, message->correlation, message->correlation_len);
    item->expires_mono = message->expiry_ms > 0 ? reeve_clock_mono_ms() + message->expiry_ms : 0;
    return item;
}

static void end_item(struct reeve_outbox *outbox, struct reeve_outbox_item *item, enum reeve_err err,
                     const struct reeve_why *why)
{
    if (item->message.result != NULL) {
        item->message.result(outbox->bus, err, why, item->message.arg);
    }
    free(item);
}

static void count_drop(struct reeve_outbox *outbox, enum reeve_bus_class class)
{
    switch (class) {
    case REEVE_BUS_STATE:
        outbox->stats->dropped_state++;
        break;
    case REEVE_BUS_EVENT:
        outbox->stats->dropped_events++;
        break;
    case REEVE_BUS_BULK:
        outbox->stats->dropped_bulk++;
        break;
    case REEVE_BUS_REPLY: // only by its own expiry
        outbox->stats->publish_failed++;
        break;
    }
}

static void drop_waiting(struct reeve_outbox *outbox, struct reeve_outbox_item *item, enum reeve_err err,
                         const char *text)
{
    struct reeve_why why = {0};
    dequeue(outbox, item);
    count_drop(outbox, item->message.class);
    end_item(outbox, item, reeve_fail(&why, err, "%s", text), &why);
}

// ---- life --------------------------------------------------------------------------------------------------

enum reeve_err reeve_outbox_new(const struct reeve_outbox_options *options, struct reeve_bus *bus,
                                struct reeve_bus_stats *stats, struct reeve_outbox **ret, struct reeve_why *why)
{
    struct reeve_outbox *outbox = calloc(1, sizeof(*outbox));
    struct slot *slots = calloc(options->window_max, sizeof(*slots));
    if (outbox == NULL || slots == NULL) {
        free(outbox);
        free(slots);
        return reeve_fail(why, REEVE_NOMEM, "no memory for the outbox");
    }
    *outbox = (struct reeve_outbox){.bus = bus, .stats = stats, .options = *options, .slots = slots};
    for (uint32_t i = 0; i < options->window_max; i++) {
        slots[i].next_free = i + 1;
    }
    *ret = outbox;
    return REEVE_OK;
}

void reeve_outbox_free(struct reeve_outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    struct reeve_why why = {0};
    enum reeve_err err = reeve_fail(&why, REEVE_CANCELLED, "the program leaves");
    for (size_t i = 0; i < outbox->options.window_max; i++) {
        if (outbox->slots[i].item != NULL) {
            end_item(outbox, outbox->slots[i].item, err, &why);
        }
    }
    for (size_t class = 0; class < CLASSES; class ++) {
        while (outbox->queues[class].first != NULL) {
            struct reeve_outbox_item *item = outbox->queues[class].first;
            dequeue(outbox, item);
            end_item(outbox, item, err, &why);
        }
    }
    free(outbox->slots);
    free(outbox);
}

// ---- adding ------------------------------------------------------------------------------------------------

// Metrics leave half of the room to what matters more; presence and replies have an eighth beyond it, so that a backlog
// of events does not have to pay for them.
static size_t bound_for(enum reeve_bus_class class, size_t bound)
{
    switch (class) {
    case REEVE_BUS_BULK:
        return bound / 2;
    case REEVE_BUS_STATE:
    case REEVE_BUS_REPLY:
        return bound + bound / 8 + RESERVE_MIN;
    case REEVE_BUS_EVENT:
        break;
    }
    return bound;
}

static bool over(const struct reeve_outbox *outbox, enum reeve_bus_class class, size_t more)
{
    return outbox->len + 1 > bound_for(class, outbox->options.len_max) ||
           outbox->bytes + more > bound_for(class, outbox->options.bytes_max);
}

// Whose oldest message may be pushed out for one of `class`: metrics for everybody; events for presence and replies,
// and, while there is no session, for newer events.
static struct reeve_outbox_item *victim(struct reeve_outbox *outbox, enum reeve_bus_class class, bool online)
{
    if (class != REEVE_BUS_BULK && outbox->queues[REEVE_BUS_BULK].first != NULL) {
        return outbox->queues[REEVE_BUS_BULK].first;
    }
    if (class < REEVE_BUS_EVENT || (class == REEVE_BUS_EVENT && !online)) {
        return outbox->queues[REEVE_BUS_EVENT].first;
    }
    return NULL;
}

static enum reeve_err make_room(struct reeve_outbox *outbox, const struct reeve_outbox_item *item, bool online,
                                struct reeve_why *why)
{
    enum reeve_bus_class class = item->message.class;
    while (over(outbox, class, item->bytes)) {
        struct reeve_outbox_item *oldest = victim(outbox, class, online);
        if (oldest == NULL) {
            outbox->refused = true;
            return reeve_fail(why, REEVE_LIMIT, "%zu messages (%zu bytes) wait to be sent", outbox->len, outbox->bytes);
        }
        drop_waiting(outbox, oldest, REEVE_LIMIT, "pushed out of the full queue");
    }
    return REEVE_OK;
}

enum reeve_err reeve_outbox_add(struct reeve_outbox *outbox, const struct reeve_bus_message *message, bool online,
                                struct reeve_why *why)
{
    struct reeve_outbox_item *item = make_item(message);
    if (item == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a message of %zu bytes", message->payload_len);
    }
    enum reeve_err err = make_room(outbox, item, online, why);
    if (err != REEVE_OK) {
        free(item);
        return err;
    }
    item->number = ++outbox->numbers;
    enqueue(outbox, item, outbox->queues[message->class].last);
    return REEVE_OK;
}

// ---- in flight ---------------------------------------------------------------------------------------------

static struct reeve_outbox_item *most_urgent(struct reeve_outbox *outbox, enum reeve_bus_class lowest)
{
    for (size_t class = 0; class <= (size_t)lowest; class ++) {
        struct reeve_outbox_item *item;
        if (class == REEVE_BUS_BULK && outbox->bulk_in_flight_bytes >= BULK_IN_FLIGHT_BYTES) {
            continue;
        }
        while ((item = outbox->queues[class].first) != NULL) {
            if (item->expires_mono == 0 || item->expires_mono > reeve_clock_mono_ms()) {
                return item;
            }
            drop_waiting(outbox, item, REEVE_TIMEOUT, "expired before it could be sent");
        }
    }
    return NULL;
}

static void count_in_flight(struct reeve_outbox *outbox)
{
    outbox->stats->in_flight = outbox->in_flight;
    if (outbox->in_flight > outbox->stats->in_flight_peak) {
        outbox->stats->in_flight_peak = outbox->in_flight;
    }
}

static struct reeve_outbox_item *empty_slot(struct reeve_outbox *outbox, uint32_t index)
{
    struct slot *slot = &outbox->slots[index];
    struct reeve_outbox_item *item = slot->item;
    *slot = (struct slot){.next_free = outbox->free_slot};
    outbox->free_slot = index;
    outbox->in_flight--;
    outbox->bulk_in_flight_bytes -= item->message.class == REEVE_BUS_BULK ? item->bytes : 0;
    count_in_flight(outbox);
    return item;
}

const struct reeve_outbox_item *reeve_outbox_take(struct reeve_outbox *outbox, size_t window,
                                                  enum reeve_bus_class lowest, uint32_t *ret_slot)
{
    if (outbox->in_flight >= window || outbox->free_slot == outbox->options.window_max) {
        return NULL;
    }
    struct reeve_outbox_item *item = most_urgent(outbox, lowest);
    if (item == NULL) {
        return NULL;
    }
    dequeue(outbox, item);
    uint32_t index = outbox->free_slot;
    struct slot *slot = &outbox->slots[index];
    outbox->free_slot = slot->next_free;
    *slot = (struct slot){.item = item, .token = -1};
    outbox->in_flight++;
    outbox->bulk_in_flight_bytes += item->message.class == REEVE_BUS_BULK ? item->bytes : 0;
    count_in_flight(outbox);
    *ret_slot = index;
    return item;
}

void reeve_outbox_sent(struct reeve_outbox *outbox, uint32_t slot, int token)
{
    REEVE_ASSERT(slot < outbox->options.window_max && outbox->slots[slot].item != NULL);
    outbox->slots[slot].token = token;
}

void reeve_outbox_put_back(struct reeve_outbox *outbox, uint32_t slot)
{
    REEVE_ASSERT(slot < outbox->options.window_max && outbox->slots[slot].item != NULL);
    enqueue_by_number(outbox, empty_slot(outbox, slot));
}

bool reeve_outbox_finish(struct reeve_outbox *outbox, uint32_t slot, int token, enum reeve_err err,
                         const struct reeve_why *why)
{
    REEVE_ASSERT(slot < outbox->options.window_max);
    if (outbox->slots[slot].item == NULL || outbox->slots[slot].token != token) {
        return false;
    }
    reeve_outbox_fail(outbox, slot, err, why);
    return true;
}

void reeve_outbox_fail(struct reeve_outbox *outbox, uint32_t slot, enum reeve_err err, const struct reeve_why *why)
{
    REEVE_ASSERT(slot < outbox->options.window_max && outbox->slots[slot].item != NULL);
    if (err == REEVE_OK) {
        outbox->stats->acknowledged++;
    } else {
        outbox->stats->publish_failed++;
    }
    end_item(outbox, empty_slot(outbox, slot), err, why);
}

static bool survives(enum reeve_bus_class class)
{
    return class == REEVE_BUS_REPLY || class == REEVE_BUS_EVENT;
}

static void lose_in_flight(struct reeve_outbox *outbox, const struct reeve_why *why)
{
    for (uint32_t i = 0; i < outbox->options.window_max; i++) {
        struct reeve_outbox_item *item = outbox->slots[i].item;
        if (item == NULL) {
            continue;
        }
        (void)empty_slot(outbox, i); /* is `item` */
        if (survives(item->message.class)) {
            outbox->stats->resent++;
            enqueue_by_number(outbox, item);
        } else {
            count_drop(outbox, item->message.class);
            end_item(outbox, item, REEVE_OFFLINE, why);
        }
    }
}

static void lose_waiting(struct reeve_outbox *outbox, enum reeve_bus_class class, const struct reeve_why *why)
{
    struct queue lost = outbox->queues[class];
    outbox->queues[class] = (struct queue){0}; // a result callback may publish again
    for (struct reeve_outbox_item *item = lost.first, *next; item != NULL; item = next) {
        next = item->next;
        outbox->len--;
        outbox->bytes -= item->bytes;
        count_drop(outbox, class);
        end_item(outbox, item, REEVE_OFFLINE, why);
    }
    count_waiting(outbox);
}

void reeve_outbox_lose_session(struct reeve_outbox *outbox, const struct reeve_why *why)
{
    lose_in_flight(outbox, why);
    lose_waiting(outbox, REEVE_BUS_STATE, why);
    lose_waiting(outbox, REEVE_BUS_BULK, why);
    // What came back may have lifted the queue above its bound, by a window at most.
    while ((outbox->len > outbox->options.len_max || outbox->bytes > outbox->options.bytes_max) &&
           outbox->queues[REEVE_BUS_EVENT].first != NULL) {
        drop_waiting(outbox, outbox->queues[REEVE_BUS_EVENT].first, REEVE_LIMIT, "pushed out of the full queue");
    }
}

size_t reeve_outbox_waiting(const struct reeve_outbox *outbox)
{
    return outbox->len;
}

size_t reeve_outbox_in_flight(const struct reeve_outbox *outbox)
{
    return outbox->in_flight;
}

bool reeve_outbox_has_room_again(struct reeve_outbox *outbox)
{
    if (!outbox->refused || outbox->len > outbox->options.len_max / 2 ||
        outbox->bytes > outbox->options.bytes_max / 2) {
        return false;
    }
    outbox->refused = false;
    return true;
}
