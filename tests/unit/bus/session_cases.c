// The cases every broker must pass.
#include "session_cases.h"

#include <fcntl.h>
#include <reeve/clock.h>
#include <reeve/id.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_site(struct site *site, void **state)
{
    const struct flavour *flavour = *state;
    site_init(site, flavour->engine, flavour->version, false);
    site_start(site);
}

void messages_go_both_ways(void **state)
{
    struct site site;
    struct client alice, bob;
    struct seen seen = {0};
    struct outcome outcome = {0};
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_init(&bob, &site, "bob");
    client_subscribe(&bob, "open/+/event", 0, &seen);
    client_ready(&bob, &site);
    client_ready(&alice, &site);
    assert_int_equal(alice.sessions, 1);
    assert_int_equal(client_say(&alice, "open/alice/event", "hello", REEVE_BUS_EVENT, false, &outcome), REEVE_OK);
    assert_int_equal(outcome.calls, 0); // never from inside the call
    SITE_WAIT(&site, seen.count == 1 && outcome.calls == 1);
    assert_int_equal(outcome.err, REEVE_OK);
    assert_string_equal(seen.last, "hello");
    assert_string_equal(seen.last_topic, SITE_ROOT "/open/alice/event");
    assert_int_equal(seen.retained, 0);
    struct reeve_bus_stats stats;
    reeve_bus_stats(bob.bus, &stats);
    assert_int_equal(stats.received, 2); // its own probe and this
    assert_int_equal(stats.unmatched, 0);
    client_close(&alice, &site);
    client_close(&bob, &site);
    site_done(&site);
}

// ---- requests ----------------------------------------------------------------------------------------------

struct replies {
    int calls;
    int running;
    enum reeve_err err;
    enum reeve_phase phase;
    char message[64];
};

static void on_reply(struct reeve_bus *bus, enum reeve_err err, const struct reeve_reply *reply, void *arg)
{
    struct replies *replies = arg;
    (void)bus;
    replies->calls++;
    replies->err = err;
    if (reply != NULL) {
        replies->phase = reply->phase;
        replies->running += reply->phase == REEVE_PHASE_RUNNING ? 1 : 0;
        (void)snprintf(replies->message, sizeof(replies->message), "%s", reply->message != NULL ? reply->message : "");
    }
}

static void serve(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct reeve_command command;
    struct reeve_why why = {0};
    int *served = arg;
    assert_int_equal(reeve_command_decode(delivery, "text", &command, &why), REEVE_OK);
    static const enum reeve_phase phases[] = {REEVE_PHASE_ACCEPTED, REEVE_PHASE_RUNNING, REEVE_PHASE_DONE};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(phases); i++) {
        const struct reeve_reply reply = {.id = command.id,
                                          .seq = (int64_t)i + 1,
                                          .phase = phases[i],
                                          .message = reeve_get_str(command.args, "text"),
                                          .by = "bob"};
        assert_int_equal(reeve_bus_answer(bus, &command, &reply), REEVE_OK);
    }
    (*served)++;
    reeve_command_done(&command);
}

void a_request_gets_all_its_replies(void **state)
{
    struct site site;
    struct client alice, bob;
    struct replies replies = {0};
    struct reeve_why why = {0};
    int served = 0;
    char id[REEVE_ULID_SIZE] = "";
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_init(&bob, &site, "bob");
    assert_int_equal(reeve_bus_new(&bob.options, &bob.bus, &why), REEVE_OK);
    assert_int_equal(
        reeve_bus_subscribe(bob.bus, SITE_ROOT "/node/bob/cmd/+", 1, REEVE_BUS_NO_RETAINED, serve, &served, &why),
        REEVE_OK);
    client_ready(&bob, &site);
    client_ready(&alice, &site);
    struct reeve_command command = {.args = reeve_value_map()};
    reeve_put_str(command.args, "text", "knock");
    assert_int_equal(
        reeve_bus_request(alice.bus, SITE_ROOT "/node/bob/cmd/start", &command, 10000, on_reply, &replies, id, &why),
        REEVE_OK);
    assert_string_equal(id, command.id);
    SITE_WAIT(&site, replies.calls == 3);
    assert_int_equal(replies.running, 1);
    assert_int_equal(replies.phase, REEVE_PHASE_DONE);
    assert_string_equal(replies.message, "knock");
    assert_int_equal(served, 1);
    struct reeve_bus_stats stats;
    reeve_bus_stats(alice.bus, &stats);
    assert_int_equal(stats.requests, 0);
    reeve_command_done(&command);
    client_close(&alice, &site);
    client_close(&bob, &site);
    site_done(&site);
}

void a_request_without_answer_times_out(void **state)
{
    struct site site;
    struct client alice;
    struct replies replies = {0}, cancelled = {0}, left = {0};
    struct reeve_why why = {0};
    char id[REEVE_ULID_SIZE];
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_ready(&alice, &site);
    struct reeve_command first = {0}, second = {0}, third = {0};
    const char *topic = SITE_ROOT "/node/nobody/cmd/start";
    assert_int_equal(reeve_bus_request(alice.bus, topic, &third, 60000, on_reply, &left, NULL, &why), REEVE_OK);
    assert_int_equal(reeve_bus_request(alice.bus, topic, &first, 200, on_reply, &replies, NULL, &why), REEVE_OK);
    assert_int_equal(reeve_bus_request(alice.bus, topic, &second, 100, on_reply, &cancelled, id, &why), REEVE_OK);
    reeve_bus_request_cancel(alice.bus, id);
    SITE_WAIT(&site, replies.calls > 0);
    assert_int_equal(replies.err, REEVE_TIMEOUT);
    assert_int_equal(cancelled.calls, 0);
    assert_int_equal(left.calls, 0);
    // The same id while it waits is a mistake of the caller.
    assert_int_equal(reeve_bus_request(alice.bus, topic, &third, 100, on_reply, &left, NULL, &why), REEVE_CONFLICT);
    client_close(&alice, &site);
    assert_int_equal(left.calls, 1);
    assert_int_equal(left.err, REEVE_OFFLINE);
    reeve_command_done(&first);
    reeve_command_done(&second);
    reeve_command_done(&third);
    site_done(&site);
}

// ---- presence ----------------------------------------------------------------------------------------------

void retained_records_arrive_marked(void **state)
{
    struct site site;
    struct client alice, bob;
    struct seen before = {0}, after = {0};
    struct outcome outcome = {0};
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_init(&bob, &site, "bob");
    client_ready(&alice, &site);
    client_subscribe(&alice, "open/status", 0, &before);
    assert_int_equal(client_say(&alice, "open/status", "online", REEVE_BUS_STATE, true, &outcome), REEVE_OK);
    SITE_WAIT(&site, outcome.calls == 1 && before.count == 1);
    client_subscribe(&bob, "open/#", 0, &after);
    client_ready(&bob, &site);
    SITE_WAIT(&site, after.count == 1);
    assert_int_equal(after.retained, 1);
    assert_string_equal(after.last, "online");
    assert_int_equal(client_say(&alice, "open/status", "", REEVE_BUS_STATE, true, NULL), REEVE_OK); // [topic-4]
    SITE_WAIT(&site, after.count == 2);
    assert_string_equal(after.last, "");
    client_close(&alice, &site);
    client_close(&bob, &site);
    site_done(&site);
}

// A process with a will that dies without a word. A program of its own: Paho's threads do not survive a fork.
int victim_main(const char *port, const char *version)
{
    struct site site = {.port = (uint16_t)atoi(port), .version = atoi(version)};
    struct client victim;
    if (uv_loop_init(&site.loop) != 0) {
        return 1;
    }
    client_init(&victim, &site, "victim");
    victim.options.will_topic = SITE_ROOT "/worker/n/victim/lwt";
    client_open(&victim);
    while (victim.readies == 0) {
        (void)uv_run(&site.loop, UV_RUN_ONCE);
    }
    (void)!write(1, "!", 1);
    return uv_run(&site.loop, UV_RUN_DEFAULT);
}

static pid_t start_victim(const struct site *site)
{
    int ready[2];
    char byte, port[8], version[4];
    posix_spawn_file_actions_t actions;
    (void)snprintf(port, sizeof(port), "%u", (unsigned)site->port);
    (void)snprintf(version, sizeof(version), "%d", site->version);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ready[1], 1), 0);
    pid_t pid = site_spawn((const char *[]){"/proc/self/exe", "--victim", port, version, NULL}, &actions);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1); // blocks until it is ready, or has died
    (void)close(ready[0]);
    return pid;
}

void the_will_is_sent_for_a_killed_session(void **state)
{
    struct site site;
    struct client bob;
    struct seen seen = {0};
    open_site(&site, state);
    pid_t victim = start_victim(&site);
    client_init(&bob, &site, "bob");
    client_subscribe(&bob, "worker/+/+/lwt", 0, &seen);
    client_ready(&bob, &site);
    assert_int_equal(seen.count, 0);
    assert_int_equal(kill(victim, SIGKILL), 0);
    assert_int_equal(waitpid(victim, NULL, 0), victim);
    SITE_WAIT(&site, seen.count == 1);
    assert_string_equal(seen.last, "1"); // the epoch of its session
    assert_string_equal(seen.last_topic, SITE_ROOT "/worker/n/victim/lwt");
    client_close(&bob, &site);
    site_done(&site);
}

void a_goodbye_sends_no_will(void **state)
{
    struct site site;
    struct client alice, bob;
    struct seen wills = {0}, marks = {0};
    open_site(&site, state);
    client_init(&bob, &site, "bob");
    client_subscribe(&bob, "worker/+/+/lwt", 0, &wills);
    client_subscribe(&bob, "open/mark", 0, &marks);
    client_ready(&bob, &site);
    client_init(&alice, &site, "alice");
    alice.options.will_topic = SITE_ROOT "/worker/n/alice/lwt";
    client_ready(&alice, &site);
    client_close(&alice, &site);
    // Whatever the broker sends because of alice comes before what bob now says to himself.
    assert_int_equal(client_say(&bob, "open/mark", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, marks.count == 1);
    assert_int_equal(wills.count, 0);
    client_close(&bob, &site);
    site_done(&site);
}

// ---- outages -----------------------------------------------------------------------------------------------

static void say_status(struct client *client)
{
    assert_int_equal(client_say(client, "open/status", "online", REEVE_BUS_STATE, true, NULL), REEVE_OK);
}

void a_killed_broker_is_survived(void **state)
{
    struct site site;
    struct client alice;
    struct seen seen = {0};
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    alice.on_session = say_status;
    client_subscribe(&alice, "open/status", 0, &seen);
    client_ready(&alice, &site);
    SITE_WAIT(&site, seen.count >= 1);
    site_signal(&site, SIGKILL);
    SITE_WAIT(&site, alice.losses >= 2); // the loss, and at least one attempt that failed
    assert_int_equal(reeve_bus_state(alice.bus), REEVE_BUS_WAITING);
    assert_int_equal(client_say(&alice, "open/status", "late", REEVE_BUS_STATE, true, NULL), REEVE_OFFLINE);
    site_start(&site);
    size_t before = seen.count;
    SITE_WAIT(&site, alice.readies == 2 && seen.count > before); // re-subscribed, published again
    assert_int_equal(alice.sessions, 2);
    assert_true(alice.epochs[1] > alice.epochs[0]);
    assert_int_equal(reeve_bus_epoch(alice.bus), alice.epochs[1]);
    client_close(&alice, &site);
    site_done(&site);
}

void events_of_an_outage_arrive_in_order_and_bounded(void **state)
{
    struct site site;
    struct client alice;
    struct seen seen = {0};
    struct outcome dropped = {0};
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    alice.broker.queue_len_max = 20;
    client_subscribe(&alice, "open/event", 0, &seen);
    client_ready(&alice, &site);
    site_signal(&site, SIGKILL);
    SITE_WAIT(&site, alice.losses > 0);
    for (int i = 0; i < 50; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(client_say(&alice, "open/event", text, REEVE_BUS_EVENT, false, i == 0 ? &dropped : NULL),
                         REEVE_OK);
    }
    assert_int_equal(dropped.calls, 1); // the oldest was pushed out, and its owner knows
    assert_int_equal(dropped.err, REEVE_LIMIT);
    struct reeve_bus_stats stats;
    reeve_bus_stats(alice.bus, &stats);
    assert_int_equal(stats.dropped_events, 30);
    assert_int_equal(stats.queue_len, 20);
    site_start(&site);
    SITE_WAIT(&site, seen.count == 20); // subscribed again before the queue was let out
    for (int i = 0; i < 20; i++) {
        assert_int_equal(atoi(seen.texts[i]), 30 + i);
    }
    client_close(&alice, &site);
    site_done(&site);
}

// ---- load --------------------------------------------------------------------------------------------------

#define LOAD 10000

struct load {
    struct client *client;
    uint8_t arrived[LOAD];
    int sent, unique, twice, acknowledged;
    bool waiting;
};

static void on_acknowledged(struct reeve_bus *bus, enum reeve_err err, const struct reeve_why *why, void *arg)
{
    struct load *load = arg;
    (void)bus;
    (void)why;
    load->acknowledged += err == REEVE_OK ? 1 : 0;
}

static void send_load(struct load *load)
{
    load->waiting = false;
    while (load->sent < LOAD) {
        uint8_t payload[128] = {0};
        memcpy(payload, &load->sent, sizeof(load->sent));
        const struct reeve_bus_message message = {.topic = SITE_ROOT "/open/load",
                                                  .payload = payload,
                                                  .payload_len = sizeof(payload),
                                                  .qos = 1,
                                                  .class = REEVE_BUS_EVENT,
                                                  .result = on_acknowledged,
                                                  .arg = load};
        enum reeve_err err = reeve_bus_publish(load->client->bus, &message, NULL);
        if (err == REEVE_LIMIT) {
            load->waiting = true; // back-pressure: on_room comes
            return;
        }
        assert_int_equal(err, REEVE_OK);
        load->sent++;
    }
}

static void on_load(struct reeve_bus *bus, const struct reeve_delivery *delivery, void *arg)
{
    struct load *load = arg;
    (void)bus;
    int number = -1;
    assert_int_equal(delivery->payload_len, 128);
    memcpy(&number, delivery->payload, sizeof(number));
    assert_true(number >= 0 && number < LOAD);
    load->unique += load->arrived[number] == 0 ? 1 : 0;
    load->twice += load->arrived[number] != 0 ? 1 : 0;
    load->arrived[number] = 1;
}

void a_busy_window_never_stalls(void **state)
{
    static const int64_t windows[] = {1, 10, 200};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(windows); i++) {
        struct site site;
        struct client alice;
        struct reeve_why why = {0};
        struct load *load = calloc(1, sizeof(*load));
        assert_non_null(load);
        open_site(&site, state);
        client_init(&alice, &site, "alice");
        alice.broker.window = windows[i];
        alice.broker.queue_len_max = 500;
        assert_int_equal(reeve_bus_new(&alice.options, &alice.bus, &why), REEVE_OK);
        assert_int_equal(reeve_bus_subscribe(alice.bus, SITE_ROOT "/open/load", 1, 0, on_load, load, &why), REEVE_OK);
        client_ready(&alice, &site);
        load->client = &alice;
        int rooms = alice.rooms;
        send_load(load);
        assert_true(load->waiting);
        while (load->sent < LOAD) {
            SITE_WAIT(&site, alice.rooms > rooms);
            rooms = alice.rooms;
            send_load(load);
        }
        SITE_WAIT_MS(&site, 40000, load->unique == LOAD && load->acknowledged == LOAD);
        assert_int_equal(load->twice, 0);
        struct reeve_bus_stats stats;
        reeve_bus_stats(alice.bus, &stats);
        assert_true(stats.in_flight_peak <= (uint64_t)windows[i]);
        assert_true(stats.queue_len_peak <= 500);
        client_close(&alice, &site);
        site_done(&site);
        free(load);
    }
}

static void pass(struct site *site, int64_t ms)
{
    int64_t until_mono = reeve_clock_mono_ms() + ms;
    SITE_WAIT(site, reeve_clock_mono_ms() >= until_mono);
}

// What the socket does not take at once leaves as soon as it does, not when something happens to come in.
void large_messages_do_not_wait(void **state)
{
    enum { LARGE = 900000, ROUNDS = 5 };
    struct site site;
    struct client alice;
    char *payload = malloc(LARGE);
    assert_non_null(payload);
    memset(payload, 'x', LARGE);
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_ready(&alice, &site);
    int64_t waited_ms = 0;
    pass(&site, 2100); // for so long after a connect Paho's threads look every few ms anyway
    for (int i = 0; i < ROUNDS; i++) {
        struct outcome outcome = {0};
        const struct reeve_bus_message message = {.topic = SITE_ROOT "/open/large",
                                                  .payload = payload,
                                                  .payload_len = LARGE,
                                                  .qos = 1,
                                                  .class = REEVE_BUS_EVENT,
                                                  .result = outcome_result,
                                                  .arg = &outcome};
        site_signal(&site, SIGSTOP); // reads nothing meanwhile
        assert_int_equal(reeve_bus_publish(alice.bus, &message, NULL), REEVE_OK);
        pass(&site, 100);
        assert_int_equal(outcome.calls, 0);
        int64_t began_mono = reeve_clock_mono_ms();
        site_signal(&site, SIGCONT);
        SITE_WAIT(&site, outcome.calls == 1);
        assert_int_equal(outcome.err, REEVE_OK);
        waited_ms += reeve_clock_mono_ms() - began_mono;
    }
    assert_in_range(waited_ms, 0, ROUNDS * 450); // 900 each, if it waits for the end of Paho's poll
    client_close(&alice, &site);
    site_done(&site);
    free(payload);
}

// ---- life --------------------------------------------------------------------------------------------------

void renew_makes_a_new_session(void **state)
{
    struct site site;
    struct client alice;
    struct seen seen = {0};
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_subscribe(&alice, "open/event", 0, &seen);
    client_ready(&alice, &site);
    reeve_bus_renew(alice.bus, "because we can");
    assert_int_equal(alice.losses, 1);
    assert_string_equal(alice.why.text, "because we can");
    assert_true(alice.retry_ms >= 80 && alice.retry_ms <= 120);
    reeve_bus_renew(alice.bus, "again"); // on its way already
    assert_int_equal(alice.losses, 1);
    assert_int_equal(client_say(&alice, "open/event", "kept", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, alice.readies == 2 && seen.count == 1);
    assert_true(alice.epochs[1] > alice.epochs[0]);
    assert_string_equal(seen.last, "kept");
    client_close(&alice, &site);
    site_done(&site);
}

void stop_flushes_and_start_works_again(void **state)
{
    struct site site;
    struct client alice, bob;
    struct seen seen = {0}, again = {0};
    open_site(&site, state);
    client_init(&bob, &site, "bob");
    client_subscribe(&bob, "open/event", 0, &seen);
    client_ready(&bob, &site);
    client_init(&alice, &site, "alice");
    alice.broker.window = 5;
    client_subscribe(&alice, "open/again", 0, &again);
    client_ready(&alice, &site);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(client_say(&alice, "open/event", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    }
    struct client kept = alice;
    reeve_bus_stop(alice.bus, 10000, NULL, NULL);
    SITE_WAIT(&site, reeve_bus_state(alice.bus) == REEVE_BUS_IDLE);
    SITE_WAIT(&site, seen.count == 300);
    assert_int_equal(alice.losses, kept.losses); // asked for is not lost
    reeve_bus_start(alice.bus);
    SITE_WAIT(&site, alice.readies == 2);
    assert_int_equal(client_say(&bob, "open/again", "hi", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, again.count == 1);
    client_close(&alice, &site);
    client_close(&bob, &site);
    site_done(&site);
}

void patterns_can_be_added_and_given_up(void **state)
{
    struct site site;
    struct client alice;
    struct seen first = {0}, second = {0}, mark = {0};
    open_site(&site, state);
    client_init(&alice, &site, "alice");
    client_subscribe(&alice, "open/mark", 0, &mark);
    client_ready(&alice, &site);
    client_subscribe(&alice, "open/a/+", 0, &first);
    assert_int_equal(client_say(&alice, "open/a/1", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, first.count == 1);
    client_subscribe(&alice, "open/b/#", 0, &second);
    assert_int_equal(reeve_bus_unsubscribe(alice.bus, SITE_ROOT "/open/a/+"), REEVE_OK);
    assert_int_equal(reeve_bus_unsubscribe(alice.bus, SITE_ROOT "/open/a/+"), REEVE_NOENT);
    assert_int_equal(client_say(&alice, "open/a/1", "y", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    assert_int_equal(client_say(&alice, "open/b/1/2", "z", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    assert_int_equal(client_say(&alice, "open/mark", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, second.count == 1 && mark.count == 1);
    assert_int_equal(first.count, 1);
    client_close(&alice, &site);
    site_done(&site);
}
