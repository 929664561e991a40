// The session's life: one state, one setter, timers, and what Paho's threads hand over.
// Must not block: what may block is Paho's, and Paho is not called while it connects.
#include "session.h"

#include "nodelay.h"
#include <inttypes.h>
#include <reeve/clock.h>
#include <reeve/file.h>
#include <reeve/id.h>
#include <reeve/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_PRESET        200
#define KEEP_ALIVE_PRESET_MS 10000
#define MESSAGE_PRESET_BYTES (1 << 20)
#define QUEUE_PRESET_LEN     10000
#define QUEUE_PRESET_BYTES   (16 << 20)
// Received messages between Paho's thread and the loop: some 50 ms of the fastest stream measured.
#define HANDOVER_LEN   2048
#define HANDOVER_BYTES (8 << 20)
// Records in one turn of the loop, so that timers and other handles get their turn under load.
#define RECORDS_PER_TURN 1024
#define PASSWORD_MAX     4096
#define CLIENT_ID_SIZE   (REEVE_NAME_SIZE + 9)
#define WILL_MAX         8192 // [topic-5]
// A local broker answers in less; a far one costs a few wake-ups that send nothing.
#define KICK_MIN_MS 5
#define KICK_MAX_MS 1000

const struct reeve_bus_timing reeve_bus_timing_preset = {
    .backoff_min_ms = 100, // [session-8]
    .backoff_max_ms = 30000,
    .stable_ms = 10000,
    .connect_ms = 10000,
    .answer_ms = 10000,
    .echo_ms = 20000,
    .silence_ms = 60000, // [session-8]
};

// ---- the state ---------------------------------------------------------------------------------------------

#define BIT(state) (1u << REEVE_BUS_##state)
static const struct {
    const char *text;
    unsigned next; // states it may go to
} states[] = {
    [REEVE_BUS_IDLE] = {"idle", BIT(CONNECTING) | BIT(LEAVING)},
    [REEVE_BUS_CONNECTING] = {"connecting", BIT(SUBSCRIBING) | BIT(WAITING) | BIT(LEAVING) | BIT(IDLE)},
    [REEVE_BUS_SUBSCRIBING] = {"subscribing", BIT(PROBING) | BIT(WAITING) | BIT(LEAVING) | BIT(IDLE)},
    [REEVE_BUS_PROBING] = {"probing", BIT(READY) | BIT(WAITING) | BIT(LEAVING) | BIT(IDLE)},
    [REEVE_BUS_READY] = {"ready", BIT(WAITING) | BIT(LEAVING)},
    [REEVE_BUS_WAITING] = {"waiting", BIT(CONNECTING) | BIT(LEAVING)},
    [REEVE_BUS_LEAVING] = {"leaving", BIT(IDLE)},
};

const char *reeve_bus_state_text(enum reeve_bus_state state)
{
    return (size_t)state < REEVE_ARRAY_LEN(states) ? states[state].text : "?";
}

static void set_state(struct reeve_bus *bus, enum reeve_bus_state to, const char *cause)
{
    enum reeve_bus_state from = bus->state;
    REEVE_ASSERT((states[from].next & (1u << to)) != 0);
    bus->state = to;
    // An outage is two lines, its beginning and its end, however many attempts it takes.
    bool news = to == REEVE_BUS_READY || to == REEVE_BUS_IDLE || (to == REEVE_BUS_WAITING && !bus->logged_failure);
    if (to == REEVE_BUS_WAITING || to == REEVE_BUS_READY) {
        bus->logged_failure = to == REEVE_BUS_WAITING;
    }
    char quoted[sizeof(struct reeve_why)];
    reeve_log(news ? REEVE_LOG_INFO : REEVE_LOG_DEBUG, "bus", "client=%s from=%s to=%s epoch=%" PRIu64 " cause=%s",
              bus->client, states[from].text, states[to].text, bus->epoch,
              reeve_log_quote(cause, quoted, sizeof(quoted)));
}

enum reeve_bus_state reeve_bus_state(const struct reeve_bus *bus)
{
    return bus->state;
}

uint64_t reeve_bus_epoch(const struct reeve_bus *bus)
{
    return bus->epoch;
}

const char *reeve_bus_client(const struct reeve_bus *bus)
{
    return bus->client;
}

const char *reeve_bus_root(const struct reeve_bus *bus)
{
    return bus->root;
}

uv_loop_t *reeve_bus_loop(const struct reeve_bus *bus)
{
    return bus->options.loop;
}

struct reeve_requests *reeve_bus_requests(const struct reeve_bus *bus)
{
    return bus->requests;
}

void reeve_bus_set_timing(struct reeve_bus *bus, const struct reeve_bus_timing *timing)
{
    bus->timing = *timing;
}

// ---- lost wake-ups of Paho's sending thread ------------------------------------------------------------------

void reeve_bus_expect_answer(struct reeve_bus *bus)
{
    bus->kick_ms = KICK_MIN_MS;
    if (!reeve_timer_armed(&bus->kick)) {
        reeve_timer_start(&bus->kick, bus->kick_ms, 0);
    }
}

static void on_kick(struct reeve_timer *timer, void *arg)
{
    struct reeve_bus *bus = arg;
    bool awaited = bus->connecting || bus->closing || reeve_outbox_in_flight(bus->outbox) > 0 ||
                   (bus->connected && !reeve_subscriptions_all_answered(bus->subscriptions));
    if (!awaited || bus->kick_ms > KICK_MAX_MS) {
        return; // past a second Paho looks by itself
    }
    reeve_paho_kick();
    reeve_timer_start(timer, bus->kick_ms, 0);
    bus->kick_ms *= 2;
}

static bool disconnect(struct reeve_bus *bus, bool goodbye)
{
    reeve_bus_expect_answer(bus);
    return reeve_paho_disconnect(bus->paho, goodbye);
}

// ---- connecting --------------------------------------------------------------------------------------------

static void arm_guard(struct reeve_bus *bus, int64_t delay_ms)
{
    reeve_timer_start(&bus->guard, delay_ms, bus->generation);
}

static enum reeve_err read_password(const struct reeve_broker *broker, struct reeve_buf *ret, struct reeve_why *why)
{
    if (broker->password_file != NULL) {
        return reeve_file_read_secret(broker->password_file, PASSWORD_MAX, ret, why);
    }
    if (broker->password != NULL) {
        reeve_buf_puts(ret, broker->password);
    }
    return ret->err;
}

static void forget(struct reeve_buf *secret)
{
    if (secret->data != NULL) {
        explicit_bzero(secret->data, secret->cap);
    }
}

static enum reeve_err connect_with(struct reeve_bus *bus, const struct reeve_buf *password,
                                   const struct reeve_buf *will, struct reeve_why *why)
{
    const struct reeve_broker *broker = bus->options.broker;
    bool has_password = broker->password != NULL || broker->password_file != NULL;
    const struct reeve_paho_connect options = {
        .username = broker->username,
        .password = has_password ? reeve_buf_str(password) : NULL,
        .password_len = password->len,
        .will_topic = bus->will_topic[0] != '\0' ? bus->will_topic : NULL,
        .will = reeve_buf_str(will),
        .will_len = will->len,
        .ca_file = broker->ca_file,
        .cert_file = broker->cert_file,
        .key_file = broker->key_file,
        .tls = bus->url.tls,
        .keep_alive_ms = broker->keep_alive_ms,
        .timeout_ms = bus->timing.connect_ms,
    };
    return reeve_paho_connect(bus->paho, &options, bus->generation, why);
}

static void connect_now(struct reeve_bus *bus, const char *cause)
{
    struct reeve_why why = {0};
    REEVE_BUF_AUTO will = REEVE_BUF_INIT(WILL_MAX);
    REEVE_BUF_AUTO password = REEVE_BUF_INIT(PASSWORD_MAX);
    bus->generation++;
    bus->dismissal[0] = '\0';
    if (bus->options.next_epoch != NULL) {
        bus->epoch = bus->options.next_epoch(&will, bus->options.arg);
    }
    set_state(bus, REEVE_BUS_CONNECTING, cause);
    enum reeve_err err = read_password(bus->options.broker, &password, &why);
    if (err == REEVE_OK) {
        // Paho's own timeout is checked every three seconds only; past three times it, something is wrong with Paho.
        arm_guard(bus, 3 * bus->timing.connect_ms);
        err = connect_with(bus, &password, &will, &why);
        bus->connecting = err == REEVE_OK;
        reeve_bus_expect_answer(bus);
    }
    forget(&password);
    if (err != REEVE_OK) {
        bus->stats.connect_failures++;
        reeve_bus_end_session(bus, &why);
    }
}

static void on_retry(struct reeve_timer *timer, void *arg)
{
    struct reeve_bus *bus = arg;
    if (timer->generation != bus->generation || bus->state != REEVE_BUS_WAITING) {
        return;
    }
    if (bus->closing && !reeve_paho_connected(bus->paho)) {
        bus->closing = false; // the connection was lost before the DISCONNECT was sent: Paho says nothing of either
    }
    if (bus->connecting || bus->closing) {
        reeve_timer_start(&bus->retry, bus->timing.backoff_min_ms,
                          bus->generation); // Paho is not done with the last one
        return;
    }
    connect_now(bus, "back-off over");
}

// ---- the end of a session ----------------------------------------------------------------------------------

static int64_t next_delay(struct reeve_bus *bus)
{
    bool was_stable = bus->was_ready && reeve_clock_mono_ms() - bus->ready_mono >= bus->timing.stable_ms;
    if (was_stable || bus->backoff_ms == 0) {
        bus->backoff_ms = bus->timing.backoff_min_ms;
    } else {
        bus->backoff_ms = 2 * bus->backoff_ms;
    }
    if (bus->backoff_ms > bus->timing.backoff_max_ms) {
        bus->backoff_ms = bus->timing.backoff_max_ms;
    }
    uint16_t random;
    reeve_random_bytes(&random, sizeof(random));
    // +-20 %, so that the clients of a broker that restarted do not all come at once [session-8].
    return bus->backoff_ms * 8 / 10 + bus->backoff_ms * 4 / 10 * random / UINT16_MAX;
}

static void stop_timers(struct reeve_bus *bus)
{
    reeve_timer_stop(&bus->retry);
    reeve_timer_stop(&bus->guard);
    reeve_timer_stop(&bus->echo);
}

// What a session owned is gone. Calls result callbacks.
static void drop_session(struct reeve_bus *bus, const struct reeve_why *why)
{
    if (bus->connected && !bus->closing) {
        bus->closing = disconnect(bus, false);
    }
    bus->connected = false;
    bus->was_ready = false;
    bus->probe_id[0] = '\0';
    reeve_subscriptions_reset(bus->subscriptions);
    reeve_outbox_lose_session(bus->outbox, why);
}

static void finish_leaving(struct reeve_bus *bus, const char *cause)
{
    struct reeve_why why = {0};
    (void)reeve_fail(&why, REEVE_OFFLINE, "%s", cause);
    stop_timers(bus);
    reeve_timer_stop(&bus->leave);
    set_state(bus, REEVE_BUS_IDLE, cause);
    bus->generation++;
    drop_session(bus, &why);
    reeve_requests_fail_all(bus->requests, REEVE_OFFLINE);
    void (*stopped)(struct reeve_bus * stopped_bus, void *arg) = bus->stopped;
    bus->stopped = NULL;
    if (stopped != NULL) {
        stopped(bus, bus->stopped_arg);
    }
}

void reeve_bus_end_session(struct reeve_bus *bus, const struct reeve_why *why)
{
    if (bus->state == REEVE_BUS_IDLE || bus->state == REEVE_BUS_WAITING) {
        return;
    }
    if (bus->state == REEVE_BUS_LEAVING) {
        finish_leaving(bus, why->text);
        return;
    }
    struct reeve_why said = *why; // `why` may belong to what is dropped below
    bool final = bus->options.fail_fast && !bus->ever_ready && !bus->connecting && !bus->closing;
    int64_t delay_ms = final ? -1 : next_delay(bus);
    stop_timers(bus);
    bus->stats.losses += bus->connected ? 1 : 0;
    set_state(bus, final ? REEVE_BUS_IDLE : REEVE_BUS_WAITING, said.text);
    if (!final) {
        reeve_timer_start(&bus->retry, delay_ms, bus->generation);
    }
    drop_session(bus, &said);
    if (bus->options.on_lost != NULL) {
        bus->options.on_lost(bus, &said, delay_ms, bus->options.arg);
    }
}

void reeve_bus_renew(struct reeve_bus *bus, const char *cause)
{
    if (!bus->connected || bus->state == REEVE_BUS_LEAVING) {
        return; // a new session is on its way, or none is wanted
    }
    struct reeve_why why = {0};
    (void)reeve_fail(&why, REEVE_OFFLINE, "%s", cause);
    bus->stats.renewals++;
    reeve_bus_end_session(bus, &why);
}

static void on_guard(struct reeve_timer *timer, void *arg)
{
    struct reeve_bus *bus = arg;
    struct reeve_why why = {0};
    if (timer->generation != bus->generation) {
        return;
    }
    if (bus->state == REEVE_BUS_CONNECTING) {
        bus->stats.connect_failures++;
        (void)reeve_fail(&why, REEVE_TIMEOUT, "no answer from %s, not even a refusal", bus->url_text);
    } else if (bus->state == REEVE_BUS_SUBSCRIBING) {
        (void)reeve_fail(&why, REEVE_TIMEOUT, "the broker did not answer a SUBSCRIBE in time");
    } else {
        bus->stats.probe_timeouts++;
        (void)reeve_fail(&why, REEVE_DENIED,
                         "no rights to publish on or to receive %.200s<id>: the probe did not come back",
                         bus->reply_prefix);
    }
    reeve_bus_end_session(bus, &why);
}

// ---- from session to ready ---------------------------------------------------------------------------------

// Strictly below the broker's Receive Maximum: at it, Paho's sending thread sleeps for up to a second.
static size_t window_for(const struct reeve_bus *bus, uint32_t receive_max)
{
    size_t window = (size_t)bus->options.broker->window;
    size_t allowed = receive_max > 1 ? receive_max - 1 : 1;
    return receive_max == 0 || window < allowed ? window : allowed;
}

static void on_connected(struct reeve_bus *bus, const struct reeve_handover_record *record)
{
    bus->connecting = false;
    if (bus->state != REEVE_BUS_CONNECTING && bus->state != REEVE_BUS_LEAVING) {
        bus->closing = disconnect(bus, false); // nobody waits for it any more
        return;
    }
    bus->connected = true;
    bus->stats.connects++;
    bus->window = window_for(bus, record->connected.receive_max);
    bus->packet_size_max = record->connected.packet_size_max;
    bus->received_mono = reeve_clock_mono_ms();
    if (bus->state == REEVE_BUS_LEAVING) {
        bus->closing = disconnect(bus, true);
        return;
    }
    (void)reeve_nodelay_set(bus->url.port); /* without it everything works, slower: the bench tells */
    set_state(bus, REEVE_BUS_SUBSCRIBING, "CONNACK");
    arm_guard(bus, bus->timing.answer_ms);
    reeve_bus_subscribe_all(bus);
}

static void on_connect_failed(struct reeve_bus *bus, const struct reeve_handover_record *record)
{
    bus->connecting = false;
    struct reeve_why why = {0};
    int code = record->failed.code;
    const char *more = code < 0 ? record->failed.text : NULL;
    enum reeve_err class = code > 0 ? REEVE_DENIED : REEVE_OFFLINE;
    (void)reeve_fail_at(&why, class, bus->url_text, "%s%s%s%s", reeve_paho_code_text(bus->version, code),
                        more != NULL ? " (" : "", more != NULL ? more : "", more != NULL ? ")" : "");
    if (bus->state == REEVE_BUS_CONNECTING || bus->state == REEVE_BUS_LEAVING) {
        bus->stats.connect_failures++;
        reeve_bus_end_session(bus, &why);
    }
}

void reeve_bus_on_suback_complete(struct reeve_bus *bus)
{
    if (bus->state != REEVE_BUS_SUBSCRIBING) {
        return; // of a pattern that was added later
    }
    uint64_t generation = bus->generation;
    set_state(bus, REEVE_BUS_PROBING, "all SUBACKs");
    arm_guard(bus, bus->timing.answer_ms);
    if (bus->options.on_session != NULL) {
        bus->options.on_session(bus, bus->epoch, bus->options.arg);
    }
    if (bus->state == REEVE_BUS_PROBING && bus->generation == generation) {
        reeve_bus_send_probe(bus);
    }
}

void reeve_bus_on_echo(struct reeve_bus *bus)
{
    if (bus->state != REEVE_BUS_PROBING) {
        return; // of an idle session: that it came is all
    }
    reeve_timer_stop(&bus->guard);
    bus->was_ready = true;
    bus->ever_ready = true;
    bus->ready_mono = reeve_clock_mono_ms();
    set_state(bus, REEVE_BUS_READY, "own probe came back");
    reeve_timer_start(&bus->echo, bus->timing.echo_ms, bus->generation);
    if (bus->options.on_ready != NULL) {
        bus->options.on_ready(bus, bus->options.arg);
    }
    reeve_bus_pump(bus);
}

static void on_echo_due(struct reeve_timer *timer, void *arg)
{
    struct reeve_bus *bus = arg;
    if (timer->generation != bus->generation || bus->state != REEVE_BUS_READY) {
        return;
    }
    int64_t silent_ms = reeve_clock_mono_ms() - bus->received_mono;
    if (silent_ms >= bus->timing.silence_ms) {
        char cause[96];
        (void)snprintf(cause, sizeof(cause), "nothing received for %" PRId64 " s, not even our own echo",
                       silent_ms / 1000);
        bus->stats.probe_timeouts++;
        reeve_bus_renew(bus, cause);
        return;
    }
    if (silent_ms >= bus->timing.echo_ms) {
        reeve_bus_send_probe(bus);
    }
    reeve_timer_start(&bus->echo, bus->timing.echo_ms, bus->generation);
}

// ---- leaving -----------------------------------------------------------------------------------------------

static void leave_if_flushed(struct reeve_bus *bus)
{
    if (bus->state != REEVE_BUS_LEAVING || !bus->connected || bus->closing) {
        return;
    }
    // What is not allowed out before the probe came back will not leave any more.
    bool waiting = bus->was_ready && reeve_outbox_waiting(bus->outbox) > 0;
    if (waiting || reeve_outbox_in_flight(bus->outbox) > 0) {
        return;
    }
    bus->closing = disconnect(bus, true);
    if (!bus->closing) {
        bus->connected = false; // it was gone already
        reeve_timer_start(&bus->leave, 0, bus->generation);
    }
}

static void on_leave_deadline(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct reeve_bus *bus = arg;
    if (bus->state != REEVE_BUS_LEAVING) {
        return;
    }
    if (bus->connected && !bus->closing) {
        // What waits is given up, the goodbye is not: it costs one packet more.
        bus->closing = disconnect(bus, true);
        if (bus->closing) {
            reeve_timer_start(&bus->leave, 1000, bus->generation);
            return;
        }
    }
    finish_leaving(bus, bus->connected || bus->connecting ? "deadline" : "stopped");
}

void reeve_bus_stop(struct reeve_bus *bus, int64_t deadline_ms, void (*stopped)(struct reeve_bus *bus, void *arg),
                    void *arg)
{
    bus->stopped = stopped;
    bus->stopped_arg = arg;
    if (bus->state == REEVE_BUS_LEAVING) {
        return; // the later caller hears of it
    }
    stop_timers(bus);
    set_state(bus, REEVE_BUS_LEAVING, "stop");
    bool something_to_end = bus->connected || bus->connecting;
    reeve_timer_start(&bus->leave, something_to_end ? deadline_ms : 0, bus->generation);
    reeve_bus_pump(bus);
    leave_if_flushed(bus);
}

// ---- what Paho's threads handed over -----------------------------------------------------------------------

static void on_lost(struct reeve_bus *bus, const struct reeve_handover_record *record)
{
    struct reeve_why why = {0};
    if (!bus->connected) {
        return;
    }
    bus->connected = false; // nothing to disconnect
    bus->stats.losses++;
    if (bus->dismissal[0] != '\0') {
        (void)reeve_fail_at(&why, REEVE_OFFLINE, bus->url_text, "%s", bus->dismissal);
    } else {
        (void)reeve_fail_at(&why, REEVE_OFFLINE, bus->url_text, "connection lost%s%s",
                            record->failed.text != NULL ? ": " : "",
                            record->failed.text != NULL ? record->failed.text : "");
    }
    reeve_bus_end_session(bus, &why);
}

static void on_closed(struct reeve_bus *bus)
{
    bus->closing = false;
    if (bus->state == REEVE_BUS_LEAVING) {
        bus->connected = false;
        finish_leaving(bus, "goodbye");
    }
}

static void handle(struct reeve_bus *bus, const struct reeve_handover_record *record)
{
    bool current = record->generation == bus->generation;
    switch (record->kind) {
    case REEVE_HANDOVER_CONNECTED:
        on_connected(bus, record);
        break;
    case REEVE_HANDOVER_CONNECT_FAILED:
        on_connect_failed(bus, record);
        break;
    case REEVE_HANDOVER_LOST:
        if (current) {
            on_lost(bus, record);
        }
        break;
    case REEVE_HANDOVER_DISMISSED:
        (void)snprintf(bus->dismissal, sizeof(bus->dismissal), "disconnected by the broker: %s",
                       reeve_paho_code_text(bus->version, record->failed.code));
        break;
    case REEVE_HANDOVER_CLOSED:
        on_closed(bus);
        break;
    case REEVE_HANDOVER_RESULT:
        if (record->result.slot >= (uint32_t)bus->options.broker->window) {
            reeve_bus_on_subscribe_result(bus, record);
        } else {
            reeve_bus_on_publish_result(bus, record);
        }
        break;
    case REEVE_HANDOVER_MESSAGE:
        if (current && bus->connected) {
            reeve_bus_on_message(bus, record->message);
        }
        break;
    }
}

static void on_wake(void *arg)
{
    struct reeve_bus *bus = arg;
    struct reeve_handover_record record;
    int budget = RECORDS_PER_TURN;
    while (budget-- > 0 && bus->paho != NULL && reeve_handover_take(bus->handover, &record)) {
        handle(bus, &record);
        reeve_handover_record_done(&record);
        if (bus->paho != NULL) {
            reeve_bus_pump(bus);
        }
    }
    if (bus->paho == NULL) {
        return; // freed by one of its own callbacks
    }
    uint64_t lost = 0;
    if (reeve_handover_overflowed(bus->handover, &lost)) {
        reeve_log(REEVE_LOG_ERROR, "bus", "client=%s received=too_fast lost=%" PRIu64 ", renewing the session",
                  bus->client, lost);
        reeve_bus_renew(bus, "more messages came than this program could take");
    }
    if (budget < 0) {
        reeve_handover_wake(bus->handover);
    }
    if (bus->paho != NULL) {
        reeve_bus_tell_room(bus);
    }
    if (bus->paho != NULL) {
        leave_if_flushed(bus);
    }
}

// ---- life --------------------------------------------------------------------------------------------------

static enum reeve_err check_options(struct reeve_bus *bus, const struct reeve_bus_options *options,
                                    struct reeve_why *why)
{
    enum reeve_err err = reeve_root_check(options->root, why);
    if (err == REEVE_OK) {
        err = reeve_name_check(options->client, why);
    }
    if (err == REEVE_OK) {
        err = reeve_url_parse(options->broker->url, &bus->url, why);
    }
    if (err == REEVE_OK && options->will_topic != NULL && !reeve_topic_valid(options->will_topic)) {
        err = reeve_fail(why, REEVE_INVALID, "will topic '%.200s' can't be published to", options->will_topic);
    }
    return err;
}

static int64_t at_least_one(int64_t value, int64_t preset)
{
    return value > 0 ? value : preset;
}

// A broker record made by hand has zeros where a decoded one has presets.
static enum reeve_err fill_broker(struct reeve_bus *bus, struct reeve_why *why)
{
    struct reeve_broker *broker = malloc(sizeof(*broker));
    if (broker == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the bus");
    }
    *broker = *bus->options.broker; // its strings stay borrowed
    broker->keep_alive_ms = at_least_one(broker->keep_alive_ms, KEEP_ALIVE_PRESET_MS);
    broker->message_bytes_max = at_least_one(broker->message_bytes_max, MESSAGE_PRESET_BYTES);
    broker->window = at_least_one(broker->window, WINDOW_PRESET);
    broker->queue_len_max = at_least_one(broker->queue_len_max, QUEUE_PRESET_LEN);
    broker->queue_bytes_max = at_least_one(broker->queue_bytes_max, QUEUE_PRESET_BYTES);
    bus->version = broker->version == 4 ? 4 : 5;
    bus->options.broker = broker;
    return REEVE_OK;
}

static void copy_names(struct reeve_bus *bus, const struct reeve_bus_options *options)
{
    (void)snprintf(bus->root, sizeof(bus->root), "%s", options->root);
    (void)snprintf(bus->client, sizeof(bus->client), "%s", options->client);
    (void)snprintf(bus->will_topic, sizeof(bus->will_topic), "%s",
                   options->will_topic != NULL ? options->will_topic : "");
    (void)reeve_topic_make(bus->reply_prefix, bus->root, "reply/%s/", bus->client);
    (void)reeve_url_paho(&bus->url, bus->url_text);
    bus->options.root = bus->root;
    bus->options.client = bus->client;
    bus->options.will_topic = bus->will_topic;
}

static enum reeve_err make_queues(struct reeve_bus *bus, struct reeve_why *why)
{
    const struct reeve_broker *broker = bus->options.broker;
    const struct reeve_handover_options handover = {.loop = bus->options.loop,
                                                    .wake = on_wake,
                                                    .arg = bus,
                                                    .messages_max = HANDOVER_LEN,
                                                    .bytes_max = HANDOVER_BYTES,
                                                    .results_max = (size_t)broker->window + REEVE_SUBSCRIPTIONS_MAX};
    const struct reeve_outbox_options outbox = {.len_max = (size_t)broker->queue_len_max,
                                                .bytes_max = (size_t)broker->queue_bytes_max,
                                                .window_max = (size_t)broker->window};
    bus->subscriptions = reeve_subscriptions_new();
    enum reeve_err err = bus->subscriptions != NULL ? REEVE_OK : reeve_fail(why, REEVE_NOMEM, "no memory for the bus");
    if (err == REEVE_OK) {
        err = reeve_bus_receive_init(bus, why);
    }
    if (err == REEVE_OK) {
        err = reeve_outbox_new(&outbox, bus, &bus->stats, &bus->outbox, why);
    }
    if (err == REEVE_OK) {
        err = reeve_handover_new(&handover, &bus->handover, why);
    }
    return err;
}

static enum reeve_err make_client(struct reeve_bus *bus, const char *client_id, struct reeve_why *why)
{
    char hex[9], made[CLIENT_ID_SIZE];
    (void)snprintf(made, sizeof(made), "%s-%s", bus->client, reeve_hex_random(hex, 8));
    const struct reeve_paho_options options = {.uri = bus->url_text,
                                               .client_id = client_id != NULL ? client_id : made,
                                               .version = bus->version,
                                               .tls = bus->url.tls,
                                               .slots = (size_t)bus->options.broker->window + REEVE_SUBSCRIPTIONS_MAX,
                                               .message_bytes_max = (size_t)bus->options.broker->message_bytes_max,
                                               .handover = bus->handover};
    return reeve_paho_new(&options, &bus->paho, why);
}

static void free_memory(struct reeve_bus *bus)
{
    reeve_subscriptions_free(bus->subscriptions);
    free((void *)(uintptr_t)bus->options.broker); // our copy
    free(bus);
}

static void on_handle_closed(void *arg)
{
    struct reeve_bus *bus = arg;
    if (--bus->closing_handles == 0) {
        free_memory(bus);
    }
}

static void on_timer_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    on_handle_closed(arg);
}

// The parts that live on the loop. From here on only reeve_bus_free() ends it.
static void close_handles(struct reeve_bus *bus)
{
    struct reeve_timer *timers[] = {&bus->retry, &bus->guard, &bus->echo, &bus->leave, &bus->kick};
    bus->closing_handles = REEVE_ARRAY_LEN(timers) + 1 + (bus->requests != NULL ? 1 : 0);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(timers); i++) {
        reeve_timer_close(timers[i], on_timer_closed);
    }
    if (bus->requests != NULL) {
        reeve_requests_close(bus->requests, on_handle_closed, bus);
    }
    reeve_handover_close(bus->handover, on_handle_closed, bus);
}

static void init_timers(struct reeve_bus *bus)
{
    uv_loop_t *loop = bus->options.loop;
    reeve_timer_init(loop, &bus->retry, on_retry, bus);
    reeve_timer_init(loop, &bus->guard, on_guard, bus);
    reeve_timer_init(loop, &bus->echo, on_echo_due, bus);
    reeve_timer_init(loop, &bus->leave, on_leave_deadline, bus);
    reeve_timer_init(loop, &bus->kick, on_kick, bus);
}

enum reeve_err reeve_bus_new(const struct reeve_bus_options *options, struct reeve_bus **ret, struct reeve_why *why)
{
    struct reeve_bus *bus = calloc(1, sizeof(*bus));
    if (bus == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the bus");
    }
    bus->options = *options;
    bus->timing = reeve_bus_timing_preset;
    enum reeve_err err = check_options(bus, options, why);
    if (err == REEVE_OK) {
        err = fill_broker(bus, why);
    }
    if (err != REEVE_OK) {
        free(bus);
        return err;
    }
    copy_names(bus, options);
    err = make_queues(bus, why);
    if (err != REEVE_OK) {
        reeve_outbox_free(bus->outbox);
        free_memory(bus);
        return err;
    }
    init_timers(bus);
    err = reeve_requests_new(bus, &bus->stats, &bus->requests, why);
    if (err == REEVE_OK) {
        err = make_client(bus, options->client_id, why);
    }
    if (err != REEVE_OK) {
        reeve_bus_free(bus);
        return err;
    }
    *ret = bus;
    return REEVE_OK;
}

void reeve_bus_start(struct reeve_bus *bus)
{
    if (bus->state != REEVE_BUS_IDLE) {
        return;
    }
    bus->backoff_ms = 0;
    bus->ever_ready = false;
    if (bus->connecting || bus->closing) {
        // The last session's end is still under way: as after a lost one.
        set_state(bus, REEVE_BUS_CONNECTING, "start");
        struct reeve_why why = {0};
        (void)reeve_fail(&why, REEVE_OFFLINE, "the session before has not ended yet");
        reeve_bus_end_session(bus, &why);
        return;
    }
    connect_now(bus, "start");
}

void reeve_bus_free(struct reeve_bus *bus)
{
    if (bus == NULL) {
        return;
    }
    reeve_paho_free(bus->paho);
    bus->paho = NULL;
    bus->connected = false;
    reeve_outbox_free(bus->outbox);
    bus->outbox = NULL;
    close_handles(bus);
}
