// Patterns and handlers.
// Must not talk to the broker: bus.c does, with what this table says.
#include "subscriptions.h"

#include <reeve/topic.h>
#include <stdlib.h>
#include <string.h>

enum answer { NOT_ASKED, ASKED, ANSWERED };

struct entry {
    char *filter; // NULL = free
    int qos;
    unsigned flags;
    reeve_bus_handler *handler;
    void *arg;
    enum answer answer;
    int token;
};

struct reeve_subscriptions {
    struct entry entries[REEVE_SUBSCRIPTIONS_MAX];
    uint32_t end; // behind the last used one
};

struct reeve_subscriptions *reeve_subscriptions_new(void)
{
    return calloc(1, sizeof(struct reeve_subscriptions));
}

void reeve_subscriptions_free(struct reeve_subscriptions *table)
{
    if (table == NULL) {
        return;
    }
    for (uint32_t i = 0; i < table->end; i++) {
        free(table->entries[i].filter);
    }
    free(table);
}

enum reeve_err reeve_filter_check(const char *filter, struct reeve_why *why)
{
    size_t len = strlen(filter);
    if (len == 0 || len > REEVE_TOPIC_LEN_MAX || !reeve_utf8_valid(filter, len)) {
        return reeve_fail(why, REEVE_INVALID, "filter has %zu bytes, expected 1 to %d of UTF-8", len,
                          REEVE_TOPIC_LEN_MAX);
    }
    for (const char *at = filter; *at != '\0'; at++) {
        if (*at != '+' && *at != '#') {
            continue;
        }
        bool starts = at == filter || at[-1] == '/';
        bool ends = at[1] == '\0' || (*at == '+' && at[1] == '/');
        if (!starts || !ends) {
            return reeve_fail(why, REEVE_INVALID, "filter '%.200s': %c at %zu must be a whole level%s", filter, *at,
                              (size_t)(at - filter) + 1, *at == '#' ? ", the last" : "");
        }
    }
    return REEVE_OK;
}

static struct entry *find(struct reeve_subscriptions *table, const char *filter)
{
    for (uint32_t i = 0; i < table->end; i++) {
        if (table->entries[i].filter != NULL && strcmp(table->entries[i].filter, filter) == 0) {
            return &table->entries[i];
        }
    }
    return NULL;
}

static struct entry *free_entry(struct reeve_subscriptions *table)
{
    for (uint32_t i = 0; i < REEVE_SUBSCRIPTIONS_MAX; i++) {
        if (table->entries[i].filter == NULL) {
            table->end = i >= table->end ? i + 1 : table->end;
            return &table->entries[i];
        }
    }
    return NULL;
}

enum reeve_err reeve_subscriptions_add(struct reeve_subscriptions *table,
                                       const struct reeve_subscription_options *options, struct reeve_why *why)
{
    enum reeve_err err = reeve_filter_check(options->filter, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (find(table, options->filter) != NULL) {
        return reeve_fail(why, REEVE_CONFLICT, "'%.200s' is subscribed already", options->filter);
    }
    char *filter = strdup(options->filter);
    if (filter == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a subscription");
    }
    struct entry *entry = free_entry(table);
    if (entry == NULL) {
        free(filter);
        return reeve_fail(why, REEVE_LIMIT, "%d subscriptions are the most", REEVE_SUBSCRIPTIONS_MAX);
    }
    *entry = (struct entry){.filter = filter,
                            .qos = options->qos,
                            .flags = options->flags,
                            .handler = options->handler,
                            .arg = options->arg};
    return REEVE_OK;
}

enum reeve_err reeve_subscriptions_remove(struct reeve_subscriptions *table, const char *filter)
{
    struct entry *entry = find(table, filter);
    if (entry == NULL) {
        return REEVE_NOENT;
    }
    free(entry->filter);
    *entry = (struct entry){0};
    return REEVE_OK;
}

void reeve_subscriptions_reset(struct reeve_subscriptions *table)
{
    for (uint32_t i = 0; i < table->end; i++) {
        table->entries[i].answer = NOT_ASKED;
    }
}

bool reeve_subscriptions_next(const struct reeve_subscriptions *table, struct reeve_paho_subscription *ret,
                              uint32_t *ret_index)
{
    for (uint32_t i = 0; i < table->end; i++) {
        const struct entry *entry = &table->entries[i];
        if (entry->filter != NULL && entry->answer == NOT_ASKED) {
            *ret = (struct reeve_paho_subscription){.filter = entry->filter,
                                                    .qos = entry->qos,
                                                    .no_retained = (entry->flags & REEVE_BUS_NO_RETAINED) != 0,
                                                    .id = i + 1};
            *ret_index = i;
            return true;
        }
    }
    return false;
}

void reeve_subscriptions_asked(struct reeve_subscriptions *table, uint32_t index, int token)
{
    table->entries[index].answer = ASKED;
    table->entries[index].token = token;
}

const char *reeve_subscriptions_answered(struct reeve_subscriptions *table, uint32_t index, int token)
{
    if (index >= table->end) {
        return NULL;
    }
    struct entry *entry = &table->entries[index];
    if (entry->filter == NULL || entry->answer != ASKED || entry->token != token) {
        return NULL;
    }
    entry->answer = ANSWERED;
    return entry->filter;
}

bool reeve_subscriptions_all_answered(const struct reeve_subscriptions *table)
{
    for (uint32_t i = 0; i < table->end; i++) {
        if (table->entries[i].filter != NULL && table->entries[i].answer != ANSWERED) {
            return false;
        }
    }
    return true;
}

// With overlapping patterns a broker may send one copy for each: its identifiers say which one this copy is for.
// Without them (MQTT 3.1.1) the topic decides.
static bool meant_for(const struct entry *entry, uint32_t id, const struct reeve_incoming *incoming)
{
    if (incoming->subscription_ids_len == 0) {
        return reeve_topic_match(entry->filter, incoming->topic);
    }
    for (size_t i = 0; i < incoming->subscription_ids_len; i++) {
        if (incoming->subscription_ids[i] == id) {
            // The identifier may be of an entry that was replaced since.
            return reeve_topic_match(entry->filter, incoming->topic);
        }
    }
    return false;
}

size_t reeve_subscriptions_dispatch(struct reeve_subscriptions *table, struct reeve_bus *bus,
                                    const struct reeve_incoming *incoming)
{
    struct reeve_delivery delivery = {.topic = incoming->topic,
                                      .payload = incoming->payload,
                                      .payload_len = incoming->payload_len,
                                      .retained = incoming->retained,
                                      .response_topic = incoming->response_topic,
                                      .correlation = incoming->correlation,
                                      .correlation_len = incoming->correlation_len};
    size_t count = 0;
    uint32_t end = table->end; // a handler may add a pattern: it gets the next message
    for (uint32_t i = 0; i < end; i++) {
        const struct entry *entry = &table->entries[i];
        if (entry->filter != NULL && meant_for(entry, i + 1, incoming)) {
            entry->handler(bus, &delivery, entry->arg);
            count++;
        }
    }
    return count;
}
