// The table of patterns and their handlers, and what the broker said to each in this session.
#ifndef REEVE_BUS_SUBSCRIPTIONS_H
#define REEVE_BUS_SUBSCRIPTIONS_H

#include "handover.h"
#include "paho.h"
#include <reeve/bus.h>

#define REEVE_SUBSCRIPTIONS_MAX 256

struct reeve_subscriptions;

struct reeve_subscriptions *reeve_subscriptions_new(void); // NULL = no memory
void reeve_subscriptions_free(struct reeve_subscriptions *table);

struct reeve_subscription_options {
    const char *filter; // copied
    int qos;
    unsigned flags;
    reeve_bus_handler *handler;
    void *arg;
};
// INVALID for a malformed filter, CONFLICT for one that is there, LIMIT for one too many.
enum reeve_err reeve_subscriptions_add(struct reeve_subscriptions *table,
                                       const struct reeve_subscription_options *options, struct reeve_why *why);
enum reeve_err reeve_subscriptions_remove(struct reeve_subscriptions *table, const char *filter);

// A new session: nothing is asked for.
void reeve_subscriptions_reset(struct reeve_subscriptions *table);
// The next one that the broker was not asked for yet; its slot is first_slot + index. False: none left.
bool reeve_subscriptions_next(const struct reeve_subscriptions *table, struct reeve_paho_subscription *ret,
                              uint32_t *ret_index);
void reeve_subscriptions_asked(struct reeve_subscriptions *table, uint32_t index, int token);
// The SUBACK. Returns the filter, or NULL for a late word about an older one.
const char *reeve_subscriptions_answered(struct reeve_subscriptions *table, uint32_t index, int token);
bool reeve_subscriptions_all_answered(const struct reeve_subscriptions *table);

// Calls the handlers whose pattern matches. Returns how many.
size_t reeve_subscriptions_dispatch(struct reeve_subscriptions *table, struct reeve_bus *bus,
                                    const struct reeve_incoming *incoming);

// Wildcards alone in their level, # last, at most REEVE_TOPIC_LEN_MAX bytes of UTF-8.
enum reeve_err reeve_filter_check(const char *filter, struct reeve_why *why);

#endif
