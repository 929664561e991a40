// Requests and answers on top of publish and subscribe.
// Must not send a command twice: after a lost session the outbox does, and receivers know the id [cmd-4].
#include "request.h"

#include "session.h"
#include <reeve/clock.h>
#include <reeve/id.h>
#include <reeve/log.h>
#include <reeve/loop.h>
#include <reeve/map.h>
#include <stdlib.h>
#include <string.h>

#define ID_SIZE 65 // reeve_id_valid(): 64 at most

struct request {
    char id[ID_SIZE];
    reeve_bus_reply *on_reply;
    void *arg;
    int64_t deadline_mono;
};

struct reeve_requests {
    struct reeve_bus *bus;
    struct reeve_bus_stats *stats;
    struct reeve_map *open; // id -> struct request
    struct reeve_timer timer;
    int64_t armed_mono; // when the timer fires; 0 = not armed
    void (*closed)(void *arg);
    void *closed_arg;
};

// What the publish of a command knows of its request: it may end before or after it.
struct sent {
    struct reeve_requests *requests;
    char id[ID_SIZE];
};

static void count_open(struct reeve_requests *requests)
{
    requests->stats->requests = reeve_map_len(requests->open);
}

static void end_request(struct reeve_requests *requests, struct request *request, enum reeve_err err,
                        const struct reeve_reply *reply)
{
    (void)reeve_map_remove(requests->open, request->id); /* is `request` */
    count_open(requests);
    request->on_reply(requests->bus, err, reply, request->arg);
    free(request);
}

static void arm(struct reeve_requests *requests, int64_t deadline_mono)
{
    if (requests->armed_mono != 0 && requests->armed_mono <= deadline_mono) {
        return;
    }
    requests->armed_mono = deadline_mono;
    reeve_timer_start(&requests->timer, deadline_mono - reeve_clock_mono_ms(), 0);
}

static struct request *find_due(struct reeve_requests *requests, int64_t now_mono)
{
    for (struct reeve_map_iter it = {0}; reeve_map_next(requests->open, &it);) {
        struct request *request = it.value;
        if (request->deadline_mono <= now_mono) {
            return request;
        }
    }
    return NULL;
}

static void on_timer(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct reeve_requests *requests = arg;
    int64_t now_mono = reeve_clock_mono_ms();
    requests->armed_mono = 0;
    struct request *due;
    // From the start each time: a callback may add and cancel requests.
    while ((due = find_due(requests, now_mono)) != NULL) {
        requests->stats->request_timeouts++;
        end_request(requests, due, REEVE_TIMEOUT, NULL);
    }
    for (struct reeve_map_iter it = {0}; reeve_map_next(requests->open, &it);) {
        arm(requests, ((const struct request *)it.value)->deadline_mono);
    }
}

enum reeve_err reeve_requests_new(struct reeve_bus *bus, struct reeve_bus_stats *stats, struct reeve_requests **ret,
                                  struct reeve_why *why)
{
    struct reeve_requests *requests = calloc(1, sizeof(*requests));
    struct reeve_map *open = reeve_map_new(REEVE_REQUESTS_MAX);
    if (requests == NULL || open == NULL) {
        reeve_map_free(open, NULL);
        free(requests);
        return reeve_fail(why, REEVE_NOMEM, "no memory for requests");
    }
    *requests = (struct reeve_requests){.bus = bus, .stats = stats, .open = open};
    reeve_timer_init(reeve_bus_loop(bus), &requests->timer, on_timer, requests);
    *ret = requests;
    return REEVE_OK;
}

static void on_closed(struct reeve_timer *timer, void *arg)
{
    (void)timer;
    struct reeve_requests *requests = arg;
    void (*closed)(void *closed_arg) = requests->closed;
    void *closed_arg = requests->closed_arg;
    reeve_map_free(requests->open, free);
    free(requests);
    closed(closed_arg);
}

void reeve_requests_close(struct reeve_requests *requests, void (*closed)(void *arg), void *arg)
{
    requests->closed = closed;
    requests->closed_arg = arg;
    reeve_timer_close(&requests->timer, on_closed);
}

void reeve_requests_fail_all(struct reeve_requests *requests, enum reeve_err err)
{
    // Only those that are open now: a callback that asks again must not be failed for ever.
    for (size_t left = reeve_map_len(requests->open); left > 0; left--) {
        struct reeve_map_iter it = {0};
        if (!reeve_map_next(requests->open, &it)) {
            return;
        }
        end_request(requests, it.value, err, NULL);
    }
}

void reeve_requests_reply(struct reeve_requests *requests, const char *id, const struct reeve_delivery *delivery)
{
    struct request *request = reeve_map_get(requests->open, id);
    if (request == NULL) {
        return; // late, cancelled, or another process of the same name asked
    }
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_why why = {0};
    struct reeve_reply reply = {0};
    enum reeve_err err =
        reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire, delivery->topic, &value, &why);
    if (err == REEVE_OK) {
        err = reeve_reply_decode(value, &reply, &why);
    }
    if (err != REEVE_OK) {
        char text[512], quoted[600];
        reeve_log(REEVE_LOG_WARNING, "bus", "request=%s reply=malformed why=%s, ignoring", id,
                  reeve_log_quote(reeve_why_format(&why, text, sizeof(text)), quoted, sizeof(quoted)));
        return;
    }
    if (reeve_phase_terminal(reply.phase)) {
        end_request(requests, request, REEVE_OK, &reply);
    } else {
        request->on_reply(requests->bus, REEVE_OK, &reply, request->arg);
    }
}

// ---- asking ------------------------------------------------------------------------------------------------

static void on_sent(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    (void)bus;
    struct sent *sent = arg;
    struct request *request = reeve_map_get(sent->requests->open, sent->id);
    if (err != REEVE_OK && err != REEVE_CANCELLED && request != NULL) {
        char quoted[600];
        reeve_log(REEVE_LOG_INFO, "bus", "request=%s sent=no why=%s", sent->id,
                  reeve_log_quote(why->text, quoted, sizeof(quoted)));
        end_request(sent->requests, request, err, NULL);
    }
    free(sent);
}

static bool fill_text(char **member, const char *text)
{
    if (*member == NULL) {
        *member = strdup(text);
    }
    return *member != NULL;
}

static enum reeve_err fill_command(const struct reeve_bus *bus, struct reeve_command *command, int64_t timeout_ms,
                                   struct reeve_why *why)
{
    char ulid[REEVE_ULID_SIZE], reply_to[REEVE_TOPIC_SIZE];
    if (command->id == NULL && !fill_text(&command->id, reeve_ulid_new(ulid))) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a command");
    }
    if (!reeve_id_valid(command->id)) {
        return reeve_fail(why, REEVE_INVALID, "id '%.80s' of command: expected 1 to 64 of A-Z a-z 0-9 _ -",
                          command->id);
    }
    free(command->reply_to);
    command->reply_to = NULL;
    (void)reeve_topic_make(reply_to, reeve_bus_root(bus), "reply/%s/%s", reeve_bus_client(bus), command->id);
    if (!fill_text(&command->reply_to, reply_to) || !fill_text(&command->issuer, reeve_bus_client(bus))) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a command");
    }
    command->issued_at = command->issued_at != 0 ? command->issued_at : reeve_clock_wall_ms();
    command->expires_at = command->expires_at != 0 ? command->expires_at : command->issued_at + timeout_ms;
    return REEVE_OK;
}

static enum reeve_err open_request(struct reeve_requests *requests, const char *id, int64_t timeout_ms,
                                   reeve_bus_reply *on_reply, void *arg, struct reeve_why *why)
{
    if (reeve_map_get(requests->open, id) != NULL) {
        return reeve_fail(why, REEVE_CONFLICT, "command %s waits for its reply already", id);
    }
    struct request *request = calloc(1, sizeof(*request));
    if (request == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a request");
    }
    memcpy(request->id, id, strlen(id) + 1);
    request->on_reply = on_reply;
    request->arg = arg;
    request->deadline_mono = reeve_clock_mono_ms() + timeout_ms;
    enum reeve_err err = reeve_map_put(requests->open, id, request, NULL);
    if (err != REEVE_OK) {
        free(request);
        return reeve_fail(why, err, "%d requests wait for replies", REEVE_REQUESTS_MAX);
    }
    count_open(requests);
    arm(requests, request->deadline_mono);
    return REEVE_OK;
}

static enum reeve_err send_packed(struct reeve_bus *bus, const char *topic, const char *id, const char *reply_to,
                                  const void *payload, size_t payload_len, int64_t timeout_ms, struct reeve_why *why)
{
    struct sent *sent = calloc(1, sizeof(*sent));
    if (sent == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a command");
    }
    sent->requests = reeve_bus_requests(bus);
    memcpy(sent->id, id, strlen(id) + 1);
    struct reeve_bus_message message = {.topic = topic,
                                        .payload = payload,
                                        .payload_len = payload_len,
                                        .qos = 1,
                                        .class = REEVE_BUS_REPLY,
                                        .expiry_ms = timeout_ms,
                                        .response_topic = reply_to,
                                        .result = on_sent,
                                        .arg = sent};
    enum reeve_err err = reeve_bus_publish(bus, &message, why);
    if (err != REEVE_OK) {
        free(sent);
    }
    return err;
}

static enum reeve_err send_command(struct reeve_bus *bus, const char *topic, const struct reeve_command *command,
                                   int64_t timeout_ms, struct reeve_why *why)
{
    REEVE_BUF_AUTO payload = REEVE_BUF_INIT(0);
    if (reeve_command_encode(command, &payload) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for a command");
    }
    return send_packed(bus, topic, command->id, command->reply_to, payload.data, payload.len, timeout_ms, why);
}

enum reeve_err reeve_bus_request(struct reeve_bus *bus, const char *topic, struct reeve_command *command,
                                 int64_t timeout_ms, reeve_bus_reply *on_reply, void *arg, char *ret_id,
                                 struct reeve_why *why)
{
    struct reeve_requests *requests = reeve_bus_requests(bus);
    enum reeve_err err = fill_command(bus, command, timeout_ms, why);
    if (err == REEVE_OK) {
        err = reeve_bus_take_replies(bus, why);
    }
    if (err == REEVE_OK) {
        err = open_request(requests, command->id, timeout_ms, on_reply, arg, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    err = send_command(bus, topic, command, timeout_ms, why);
    if (err != REEVE_OK) {
        reeve_bus_request_cancel(bus, command->id);
    } else if (ret_id != NULL) {
        (void)strncpy(ret_id, command->id, REEVE_ULID_LEN); /* an id of a caller's own may be longer: it knows it */
        ret_id[REEVE_ULID_LEN] = '\0';
    }
    return err;
}

enum reeve_err reeve_bus_request_packed(struct reeve_bus *bus, const char *topic, const char *id, const void *payload,
                                        size_t payload_len, int64_t timeout_ms, reeve_bus_reply *on_reply, void *arg,
                                        struct reeve_why *why)
{
    char reply_to[REEVE_TOPIC_SIZE];
    if (!reeve_id_valid(id)) {
        return reeve_fail(why, REEVE_INVALID, "id '%.80s' of command: expected 1 to 64 of A-Z a-z 0-9 _ -", id);
    }
    enum reeve_err err = reeve_bus_take_replies(bus, why);
    if (err == REEVE_OK) {
        err = open_request(reeve_bus_requests(bus), id, timeout_ms, on_reply, arg, why);
    }
    if (err != REEVE_OK) {
        return err;
    }
    (void)reeve_topic_make(reply_to, reeve_bus_root(bus), "reply/%s/%s", reeve_bus_client(bus), id);
    err = send_packed(bus, topic, id, reply_to, payload, payload_len, timeout_ms, why);
    if (err != REEVE_OK) {
        reeve_bus_request_cancel(bus, id);
    }
    return err;
}

void reeve_bus_request_cancel(struct reeve_bus *bus, const char *id)
{
    struct reeve_requests *requests = reeve_bus_requests(bus);
    free(reeve_map_remove(requests->open, id));
    count_open(requests);
}

// ---- answering ---------------------------------------------------------------------------------------------

static bool failed(enum reeve_phase phase)
{
    return reeve_phase_terminal(phase) && phase != REEVE_PHASE_DONE && phase != REEVE_PHASE_DUPLICATE;
}

static const char *reply_topic(const struct reeve_bus *bus, const struct reeve_command *command,
                               const struct reeve_reply *reply, char buf[REEVE_TOPIC_SIZE])
{
    if (command->reply_to != NULL) {
        return reeve_topic_reply_allowed(reeve_bus_root(bus), command->reply_to) ? command->reply_to : NULL;
    }
    return reeve_topic_make(buf, reeve_bus_root(bus), "reply/anonymous/%s", reply->id);
}

enum reeve_err reeve_bus_answer(struct reeve_bus *bus, const struct reeve_command *command,
                                const struct reeve_reply *reply)
{
    if (command->reply_to == NULL && !failed(reply->phase)) {
        return REEVE_OK;
    }
    if (reply->id == NULL || !reeve_id_valid(reply->id)) {
        return REEVE_INVALID;
    }
    char buf[REEVE_TOPIC_SIZE];
    const char *topic = reply_topic(bus, command, reply, buf);
    if (topic == NULL) {
        return REEVE_DENIED;
    }
    REEVE_BUF_AUTO payload = REEVE_BUF_INIT(0);
    enum reeve_err err = reeve_reply_encode(reply, &payload);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_bus_message message = {.topic = topic,
                                        .payload = payload.data,
                                        .payload_len = payload.len,
                                        .qos = 1,
                                        .class = REEVE_BUS_REPLY,
                                        .correlation = command->correlation,
                                        .correlation_len = command->correlation_len};
    return reeve_bus_publish(bus, &message, NULL);
}
