// The manager's hands in unit tests: clock, subscriptions, and what leaves after the turn. See fake_manager.h.
// Must not: decide anything.
#include "fake_manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t wall_ms(void *arg)
{
    return ((struct fake *)arg)->wall_ms;
}

static int64_t mono_ns(void *arg)
{
    return ((struct fake *)arg)->mono_ms * 1000000;
}

// What config.c presets; written down here so that a test of a room needs no configuration.
static void preset(struct manager_config *config)
{
    config->manager = (struct manager_section){.name = strdup("main"),
                                               .root = strdup(FAKE_ROOT),
                                               .heartbeat_ms = 5000,
                                               .forget_after_ms = 24LL * 3600 * 1000,
                                               .workers_max = 100000,
                                               .log_level = REEVE_LOG_ERROR,
                                               .health = {.memory_percent = 90,
                                                          .memory_trend_ms = 600000,
                                                          .progress_ms = 600000,
                                                          .error_rate = 0.5,
                                                          .error_window_ms = 300000,
                                                          .error_jobs_min = 5,
                                                          .flapping_changes = 6,
                                                          .flapping_window_ms = 600000,
                                                          .crash_loop_restarts = 5,
                                                          .crash_loop_window_ms = 600000,
                                                          .on_unhealthy = HEALTH_ACTION_ALARM,
                                                          .unhealthy_for_ms = 30000}};
}

void fake_init(struct fake *fake)
{
    memset(fake, 0, sizeof *fake);
    fake->wall_ms = FAKE_WALL;
    fake->mono_ms = FAKE_MONO;
    fake->clock = (struct reeve_clock){.wall_ms = wall_ms, .mono_ns = mono_ns, .arg = fake};
    reeve_clock_set(&fake->clock);
    assert_int_equal(uv_loop_init(&fake->loop), 0);
    fake->manager.loop = &fake->loop;
    fake->manager.started_at = fake->wall_ms;
    preset(&fake->manager.config);
}

static void item_done(struct fake_item *item)
{
    reeve_value_free(item->value);
    item->value = NULL;
}

void fake_forget_items(struct fake *fake)
{
    for (size_t i = 0; i < fake->items_len; i++) {
        item_done(&fake->items[i]);
    }
    fake->items_len = 0;
    fake->echoed = 0;
}

void fake_done(struct fake *fake)
{
    fake_forget_items(fake);
    for (size_t i = 0; i < fake->said_len; i++) {
        item_done(&fake->said[i]);
    }
    for (size_t i = 0; i < fake->orders_len; i++) {
        reeve_value_free(fake->orders[i].order.args);
    }
    fake_call_end(fake);
    free(fake->items);
    free(fake->said);
    free(fake->orders);
    free(fake->manager.config.manager.name);
    free(fake->manager.config.manager.root);
    reeve_loop_finish(&fake->loop);
    reeve_clock_set(NULL);
}

struct fake *fake_of(struct manager *manager)
{
    return (struct fake *)((char *)manager - offsetof(struct fake, manager));
}

void fake_time(struct fake *fake, int64_t ms)
{
    fake->wall_ms += ms;
    fake->mono_ms += ms;
}

void fake_wall_step(struct fake *fake, int64_t ms)
{
    fake->wall_ms += ms;
}

// ---- in ---------------------------------------------------------------------------------------------------------

enum reeve_err manager_subscribe(struct manager *manager, const char *filter_below_root, unsigned flags,
                                 reeve_bus_handler *handler, void *arg, struct reeve_why *why)
{
    struct fake *fake = fake_of(manager);
    (void)flags;
    (void)why;
    assert_true(fake->filters_len < FAKE_FILTERS);
    (void)snprintf(fake->filters[fake->filters_len].filter, REEVE_TOPIC_SIZE, "%s", filter_below_root);
    fake->filters[fake->filters_len].handler = handler;
    fake->filters[fake->filters_len++].arg = arg;
    return REEVE_OK;
}

void manager_unsubscribe(struct manager *manager, const char *filter_below_root)
{
    struct fake *fake = fake_of(manager);
    for (size_t i = 0; i < fake->filters_len; i++) {
        if (strcmp(fake->filters[i].filter, filter_below_root) == 0) {
            fake->filters[i] = fake->filters[--fake->filters_len];
            return;
        }
    }
}

size_t fake_deliver_bytes(struct fake *fake, const char *topic, const void *payload, size_t len, bool retained)
{
    char full[REEVE_TOPIC_SIZE];
    size_t told = 0;
    // A copy of the exact length, so that a read past the end is seen by the sanitizers.
    void *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, payload, len);
    }
    struct reeve_delivery delivery = {.topic = reeve_topic_make(full, FAKE_ROOT, "%s", topic),
                                      .payload = copy,
                                      .payload_len = len,
                                      .retained = retained};
    for (size_t i = fake->filters_len; i-- > 0;) { // a handler may unsubscribe
        if (reeve_topic_match(fake->filters[i].filter, topic)) {
            fake->filters[i].handler(NULL, &delivery, fake->filters[i].arg);
            told++;
        }
    }
    free(copy);
    return told;
}

size_t fake_deliver_value(struct fake *fake, const char *topic, struct reeve_value *value, bool retained)
{
    REEVE_VALUE_AUTO owned = value;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_msgpack_write(owned, &buf), REEVE_OK);
    return fake_deliver_bytes(fake, topic, buf.data, buf.len, retained);
}

struct reeve_value *fake_parse(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    if (reeve_yaml_read(text, strlen(text), &reeve_limits_file, "test", &value, &why) != REEVE_OK) {
        fail_msg("%s: %s in: %s", why.place, why.text, text);
    }
    return value;
}

size_t fake_deliver(struct fake *fake, const char *topic, const char *text, bool retained)
{
    if (text == NULL || text[0] == '\0') {
        return fake_deliver_bytes(fake, topic, NULL, 0, retained);
    }
    return fake_deliver_value(fake, topic, fake_parse(text), retained);
}

// ---- out --------------------------------------------------------------------------------------------------------

static void push(struct fake_item **items, size_t *len, size_t *cap, const struct fake_item *item)
{
    if (*len == *cap) {
        *cap = *cap > 0 ? 2 * *cap : 64;
        *items = realloc(*items, *cap * sizeof **items);
        assert_non_null(*items);
    }
    (*items)[(*len)++] = *item;
}

void manager_publish(struct manager *manager, enum leaving_kind kind, const char *topic, struct reeve_value *value,
                     int64_t expiry_ms)
{
    struct fake *fake = fake_of(manager);
    struct fake_item item = {.kind = kind, .value = value, .expiry_ms = expiry_ms};
    assert_true(value == NULL || reeve_value_built(value) == REEVE_OK);
    (void)snprintf(item.topic, sizeof item.topic, "%s", topic);
    push(&fake->said, &fake->said_len, &fake->said_cap, &item);
}

void manager_event(struct manager *manager, const char *topic, const char *kind, struct reeve_value *detail)
{
    struct reeve_value *event = detail != NULL ? detail : reeve_value_map();
    reeve_put_str(event, "kind", kind);
    reeve_put_int(event, "seq", (int64_t)++manager->event_seq);
    reeve_put_int(event, "at", reeve_clock_wall_ms());
    manager_publish(manager, LEAVING_EVENT, topic, event, 0);
}

void manager_after_commit(struct manager *manager, void (*fn)(struct manager *manager, bool committed, void *arg),
                          void *arg)
{
    struct fake *fake = fake_of(manager);
    assert_true(fake->after_len < FAKE_AFTER);
    fake->after[fake->after_len].fn = fn;
    fake->after[fake->after_len++].arg = arg;
}

void manager_tick_soon(struct manager *manager)
{
    fake_of(manager)->ticks_asked++;
}

static void turn_once(struct fake *fake, bool committed)
{
    size_t said_len = fake->said_len;
    size_t after_len = fake->after_len;
    for (size_t i = 0; i < said_len; i++) {
        if (committed) {
            push(&fake->items, &fake->items_len, &fake->items_cap, &fake->said[i]);
        } else {
            item_done(&fake->said[i]);
        }
    }
    fake->said_len = 0;
    fake->manager.counters.turns++;
    for (size_t i = 0; i < after_len; i++) {
        fake->after[i].fn(&fake->manager, committed, fake->after[i].arg);
    }
    memmove(fake->after, fake->after + after_len, (fake->after_len - after_len) * sizeof fake->after[0]);
    fake->after_len -= after_len;
}

void fake_turn(struct fake *fake, bool committed)
{
    turn_once(fake, committed);
    for (int i = 0; committed && (fake->said_len > 0 || fake->after_len > 0); i++) {
        assert_true(i < 10); // a room that says something new for ever
        turn_once(fake, true);
    }
}

void fake_echo(struct fake *fake)
{
    while (fake->echoed < fake->items_len) {
        const struct fake_item item = fake->items[fake->echoed++];
        if (item.value == NULL) {
            (void)fake_deliver_bytes(fake, item.topic, NULL, 0, false); /* nobody may want it */
        } else {
            (void)fake_deliver_value(fake, item.topic, reeve_value_clone(item.value), false); /* nobody may want it */
        }
    }
}

const struct fake_item *fake_find(const struct fake *fake, const char *topic)
{
    for (size_t i = fake->items_len; i-- > 0;) {
        if (reeve_glob_match(topic, fake->items[i].topic)) {
            return &fake->items[i];
        }
    }
    return NULL;
}

size_t fake_count(const struct fake *fake, const char *topic)
{
    size_t count = 0;
    for (size_t i = 0; i < fake->items_len; i++) {
        count += reeve_glob_match(topic, fake->items[i].topic);
    }
    return count;
}
