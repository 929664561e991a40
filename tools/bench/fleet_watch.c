// The sessions of who steers and of who watches: verdicts, last wills and the manager's status in, commands out.
// Must not: judge; see fleet_audit.c.
#include "fleet.h"

#include <reeve/clock.h>
#include <reeve/codec.h>
#include <stdio.h>
#include <string.h>

// ---- listening ------------------------------------------------------------------------------------------------

static struct fleet_seen *seen_of(struct fleet_bench *fleet, const struct reeve_topic *topic)
{
    char key[SIMULATED_KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", topic->node, topic->worker);
    return reeve_map_get(fleet->by_key, key);
}

static struct reeve_value *read_record(const struct reeve_delivery *delivery)
{
    struct reeve_value *record = NULL;
    enum reeve_err err = reeve_msgpack_read(delivery->payload, delivery->payload_len, &reeve_limits_wire,
                                            delivery->topic, &record, NULL);
    return err == REEVE_OK ? record : NULL; // empty: removed
}

static void take_verdict(struct fleet_bench *fleet, const struct reeve_topic *topic,
                         const struct reeve_delivery *delivery, int64_t now_ns)
{
    struct fleet_seen *seen = seen_of(fleet, topic);
    REEVE_VALUE_AUTO record = read_record(delivery);
    fleet->verdicts++;
    if (seen == NULL) {
        fleet->strangers++;
        return;
    }
    enum reeve_state state = seen->state;
    const char *text = reeve_get_str(record, "state");
    bool whole = text != NULL && reeve_state_parse(text, &state);
    fleet->seen_len += (whole ? 1u : 0u) - (seen->present ? 1u : 0u);
    if (whole && (state != seen->state || !seen->present)) {
        seen->changed_ns = now_ns;
    }
    seen->present = whole;
    seen->state = state;
    text = reeve_get_str(record, "availability");
    if (text == NULL || !reeve_availability_parse(text, &seen->availability)) {
        seen->availability = REEVE_AVAILABILITY_NONE;
    }
}

static void take_lwt(struct fleet_bench *fleet, const struct reeve_topic *topic, int64_t now_ns)
{
    struct fleet_seen *seen = seen_of(fleet, topic);
    if (seen != NULL) {
        seen->lwt_ns = now_ns;
    }
}

static void take_manager(struct fleet_bench *fleet, const struct reeve_delivery *delivery, int64_t now_ns)
{
    REEVE_VALUE_AUTO record = read_record(delivery);
    pid_t pid = (pid_t)reeve_get_int(record, "pid", 0);
    if (reeve_get_bool(record, "known", false) && pid != fleet->known_pid) {
        fleet->known_pid = pid;
        fleet->known_ns = now_ns;
    }
}

bool fleet_is_known(struct bench *bench, const void *arg)
{
    const struct fleet_bench *fleet = fleet_of(bench);
    (void)arg;
    return fleet->manager > 0 && fleet->known_pid == fleet->manager;
}

static void on_message(struct mqtt *mqtt, const struct reeve_delivery *delivery, void *arg)
{
    int64_t now_ns = reeve_clock_mono_ns();
    struct fleet_bench *fleet = arg;
    struct reeve_topic topic = reeve_topic_parse(SITE_ROOT, delivery->topic);
    (void)mqtt;
    if (topic.kind == REEVE_TOPIC_FLEET) {
        take_verdict(fleet, &topic, delivery, now_ns);
    } else if (topic.kind == REEVE_TOPIC_WORKER) {
        take_lwt(fleet, &topic, now_ns);
    } else if (topic.kind == REEVE_TOPIC_MANAGER) {
        take_manager(fleet, delivery, now_ns);
    }
}

static void on_open(struct mqtt *mqtt, void *arg)
{
    static const char *const filters[] = {"fleet/+/+", "worker/+/+/lwt", "manager/" FLEET_MANAGER "/status"};
    char filter[REEVE_TOPIC_SIZE];
    struct fleet_bench *fleet = arg;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(filters); i++) {
        mqtt_subscribe(mqtt, reeve_topic_make(filter, SITE_ROOT, "%s", filters[i]), false);
    }
    fleet->viewing = true;
}

static void on_lost(struct mqtt *mqtt, const char *cause, void *arg)
{
    struct fleet_bench *fleet = arg;
    (void)mqtt;
    fleet->viewer = NULL;
    (void)reeve_fail(&fleet->bench.lost, REEVE_OFFLINE, "the viewer's session: %s", cause); // ends the next wait
}

static bool is_watching(struct bench *bench, const void *arg)
{
    const struct fleet_bench *fleet = fleet_of(bench);
    (void)arg;
    return fleet->viewing && mqtt_unsettled(fleet->viewer) == 0;
}

enum reeve_err fleet_watch(struct fleet_bench *fleet, struct reeve_why *why)
{
    struct bench *bench = &fleet->bench;
    const struct mqtt_connect connect = {.client_id = "bench-viewer"};
    const struct mqtt_events events = {.open = on_open, .message = on_message, .lost = on_lost};
    mqtt_hub_init(&fleet->hub, &bench->loop, bench->site.port, site_username(SITE_VIEWER),
                  bench->site.passwords[SITE_VIEWER]);
    fleet->viewer = mqtt_open(&fleet->hub, &connect, &events, fleet);
    enum reeve_err err = fleet->viewer != NULL ? bench_wait(bench, is_watching, NULL, "a viewer's session", why)
                                               : reeve_fail(why, REEVE_IO, "no connection for a viewer");
    err = err == REEVE_OK ? control_new(bench, why) : err;
    return err == REEVE_OK ? control_connect(bench, why) : err;
}

void fleet_unwatch(struct fleet_bench *fleet)
{
    if (fleet->viewer != NULL) {
        mqtt_cut(fleet->viewer); // freed as the loop goes on to its end
        fleet->viewer = NULL;
    }
}

// ---- asking ---------------------------------------------------------------------------------------------------

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    struct fleet_answer *answer = arg;
    (void)bus;
    if (err == REEVE_OK && !reeve_phase_terminal(reply->phase)) {
        return;
    }
    answer->over_ns = reeve_clock_mono_ns();
    answer->over = true;
    answer->err = err;
    if (err == REEVE_OK) {
        answer->phase = reply->phase;
        answer->result = reply->result != NULL ? reeve_value_clone(reply->result) : NULL;
    }
    (void)reeve_fail(&answer->why, REEVE_INTERNAL, "%s: %s",
                     err == REEVE_OK ? reeve_phase_text(reply->phase) : "no answer",
                     err != REEVE_OK          ? reeve_err_text(err)
                     : reply->message != NULL ? reply->message
                                              : ""); // kept for whoever tells it
}

static bool is_over(struct bench *bench, const void *arg)
{
    (void)bench;
    return ((const struct fleet_answer *)arg)->over;
}

enum reeve_err fleet_ask(struct fleet_bench *fleet, const char *op, struct reeve_value *args,
                         struct fleet_answer *answer, struct reeve_why *why)
{
    char topic[REEVE_TOPIC_SIZE], id[REEVE_ULID_SIZE];
    REEVE_VALUE_AUTO owned = args != NULL ? args : reeve_value_map();
    struct reeve_command command = {.args = owned};
    *answer = (struct fleet_answer){.sent_ns = reeve_clock_mono_ns()};
    (void)reeve_topic_make(topic, SITE_ROOT, "manager/" FLEET_MANAGER "/cmd/%s", op);
    enum reeve_err err =
        reeve_bus_request(fleet->bench.bus, topic, &command, FLEET_REQUEST_MS, on_reply, answer, id, why);
    command.args = NULL; // ours
    reeve_command_done(&command);
    if (err != REEVE_OK) {
        return err;
    }
    do { // an emergency stop of everybody may take longer than one wait
        err = bench_wait(&fleet->bench, is_over, answer, op, why);
    } while (err == REEVE_TIMEOUT && reeve_clock_mono_ns() - answer->sent_ns < (int64_t)FLEET_REQUEST_MS * 1000000);
    if (!answer->over) {
        reeve_bus_request_cancel(fleet->bench.bus, id); // `answer` is the caller's, and he leaves
    }
    return err;
}

enum reeve_err fleet_do(struct fleet_bench *fleet, const char *op, struct reeve_value *args, int64_t *ret_ns,
                        struct reeve_value **ret, struct reeve_why *why)
{
    struct fleet_answer answer;
    enum reeve_err err = fleet_ask(fleet, op, args, &answer, why);
    if (err == REEVE_OK && (answer.err != REEVE_OK || answer.phase != REEVE_PHASE_DONE)) {
        err = reeve_fail(why, REEVE_INTERNAL, "%s: %s", op, answer.why.text);
    }
    if (err == REEVE_OK && ret_ns != NULL) {
        *ret_ns = answer.over_ns - answer.sent_ns;
    }
    if (err == REEVE_OK && ret != NULL) {
        *ret = answer.result;
    } else {
        reeve_value_free(answer.result);
    }
    return err;
}
