// How far away the endpoints of the configuration are: the time of a TCP connection, the median of the last few, for
// placement near them. Must not: decide anything; a manager reads the numbers in the node's status.
#include "daemon.h"

#include "ask.h"

#include <reeve/id.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES    5
#define TIMEOUT_MS 5000
#define SOON_MS    2000 // between the first ones, until the median has what it needs

struct endpoint {
    struct endpoints *endpoints;
    const char *name, *address; // of the copy
    struct reeve_timer timer;
    struct ask *ask;
    bool reached; // by the last try
    int64_t connect_us[SAMPLES];
    size_t samples, next;
};

struct endpoints {
    struct daemon *daemon; // NULL once stopped
    struct reeve_value *map;
    int64_t interval_ms;
    size_t len, open;
    struct endpoint items[];
};

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Rounded up, so that what is near is 1 and not unknown.
static int64_t median_ms(const struct endpoint *endpoint)
{
    int64_t sorted[SAMPLES];
    memcpy(sorted, endpoint->connect_us, sizeof sorted);
    qsort(sorted, endpoint->samples, sizeof sorted[0], by_size);
    const int64_t median = sorted[endpoint->samples / 2];
    return median <= 0 ? 1 : (median + 999) / 1000;
}

struct reeve_value *endpoints_value(const struct daemon *daemon)
{
    struct reeve_value *map = NULL;
    for (size_t i = 0; daemon->endpoints != NULL && i < daemon->endpoints->len; i++) {
        const struct endpoint *endpoint = &daemon->endpoints->items[i];
        if (endpoint->reached) {
            map = map != NULL ? map : reeve_value_map();
            reeve_put_int(map, endpoint->name, median_ms(endpoint));
        }
    }
    return map;
}

static void wait_for_next(struct endpoint *endpoint)
{
    uint32_t random;
    const int64_t interval = endpoint->endpoints->interval_ms;
    const int64_t base = endpoint->samples < SAMPLES && interval > SOON_MS ? SOON_MS : interval;
    reeve_random_bytes(&random, sizeof random);
    reeve_timer_start(&endpoint->timer, base - (int64_t)(random % (uint32_t)(base / 10 + 1)), 0);
}

static void measured(const struct ask_answer *answer, void *arg)
{
    struct endpoint *endpoint = arg;
    endpoint->ask = NULL;
    if (answer->ok) {
        endpoint->connect_us[endpoint->next] = answer->connect_us;
        endpoint->next = (endpoint->next + 1) % SAMPLES;
        endpoint->samples += endpoint->samples < SAMPLES;
    }
    if (answer->ok != endpoint->reached) {
        reeve_log(REEVE_LOG_INFO, "endpoint", "endpoint=%s address=%s reached=%s%s%s", endpoint->name,
                  endpoint->address, answer->ok ? "true" : "false", answer->ok ? "" : " error=", answer->message);
        endpoint->reached = answer->ok;
        endpoint->endpoints->daemon->any_dirty = true; // the node's status is said soon
    }
    wait_for_next(endpoint);
}

static void is_due(struct reeve_timer *timer, void *arg)
{
    struct endpoint *endpoint = arg;
    struct reeve_why why;
    (void)timer;
    if (endpoint->endpoints->daemon == NULL || endpoint->ask != NULL) {
        return;
    }
    const struct ask_question question = {
        .kind = ASK_TCP, .address = endpoint->address, .timeout_ms = TIMEOUT_MS, .uid = (uid_t)-1, .gid = (gid_t)-1};
    if (ask_start(endpoint->endpoints->daemon->loop, &question, measured, endpoint, &endpoint->ask, &why) != REEVE_OK) {
        reeve_log(REEVE_LOG_WARNING, "endpoint", "endpoint=%s error=\"%s\" retrying", endpoint->name, why.text);
        wait_for_next(endpoint);
    }
}

static void item_closed(struct reeve_timer *timer, void *arg)
{
    struct endpoints *endpoints = ((struct endpoint *)arg)->endpoints;
    (void)timer;
    if (--endpoints->open == 0) {
        reeve_value_free(endpoints->map);
        free(endpoints);
    }
}

void endpoints_stop(struct daemon *daemon)
{
    struct endpoints *endpoints = daemon->endpoints;
    if (endpoints == NULL) {
        return;
    }
    daemon->endpoints = NULL;
    endpoints->daemon = NULL;
    for (size_t i = 0; i < endpoints->len; i++) {
        if (endpoints->items[i].ask != NULL) {
            ask_cancel(endpoints->items[i].ask);
            endpoints->items[i].ask = NULL;
        }
        reeve_timer_close(&endpoints->items[i].timer, item_closed);
    }
}

void endpoints_start(struct daemon *daemon)
{
    const struct reeve_value *map = daemon->config.node.endpoints;
    const size_t len = reeve_value_len(map);
    endpoints_stop(daemon);
    if (len == 0) {
        return;
    }
    struct endpoints *endpoints = calloc(1, sizeof *endpoints + len * sizeof endpoints->items[0]);
    struct reeve_value *copy = reeve_value_clone(map);
    if (endpoints == NULL || copy == NULL) {
        reeve_log(REEVE_LOG_ERROR, "endpoint", "endpoints=off error=\"out of memory\"");
        reeve_value_free(copy);
        free(endpoints);
        return;
    }
    *endpoints = (struct endpoints){.daemon = daemon,
                                    .map = copy,
                                    .interval_ms = daemon->config.node.endpoints_interval_ms,
                                    .len = len,
                                    .open = len};
    for (size_t i = 0; i < len; i++) {
        struct endpoint *endpoint = &endpoints->items[i];
        endpoint->endpoints = endpoints;
        endpoint->name = reeve_value_key(copy, i);
        endpoint->address = reeve_value_text(reeve_value_at(copy, i));
        reeve_timer_init(daemon->loop, &endpoint->timer, is_due, endpoint);
        reeve_timer_start(&endpoint->timer, 0, 0);
    }
    daemon->endpoints = endpoints;
}
