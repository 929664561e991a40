// Rights, refusals, silence and limits, with a real Mosquitto.
// What must hold with every broker is in session_cases.c.
#include "site.h"

#include <reeve/clock.h>
#include <reeve/file.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct reeve_bus_timing quick = {.backoff_min_ms = 100,
                                              .backoff_max_ms = 400,
                                              .stable_ms = 10000,
                                              .connect_ms = 1000,
                                              .answer_ms = 700,
                                              .echo_ms = 200,
                                              .silence_ms = 1000};

static void make(struct client *client)
{
    struct reeve_why why = {0};
    if (reeve_bus_new(&client->options, &client->bus, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
}

static void open_site(struct site *site, int version, bool passwords)
{
    site_init(site, SITE_MOSQUITTO, version, passwords);
    site_start(site);
}

// ---- rights ------------------------------------------------------------------------------------------------

static void wrong_password(int version)
{
    struct site site;
    struct client joe;
    open_site(&site, version, true);
    client_init(&joe, &site, "joe");
    (void)snprintf(joe.password, sizeof(joe.password), "guess");
    client_open(&joe);
    SITE_WAIT(&site, joe.losses >= 2); // it goes on trying: somebody may correct it
    assert_non_null(strstr(joe.why.text, "not authorised: check username"));
    assert_non_null(strstr(joe.why.place, "127.0.0.1"));
    assert_null(strstr(joe.why.text, "guess"));
    assert_int_equal(joe.sessions, 0);
    client_close(&joe, &site);
    site_done(&site);
}

static void a_wrong_password_is_named(void **state)
{
    (void)state;
    wrong_password(5);
    wrong_password(4);
}

static void fail_fast_gives_up_after_the_first_refusal(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    open_site(&site, 5, true);
    client_init(&joe, &site, "joe");
    (void)snprintf(joe.password, sizeof(joe.password), "guess");
    joe.options.fail_fast = true;
    client_open(&joe);
    SITE_WAIT(&site, joe.losses == 1);
    assert_int_equal(joe.retry_ms, -1);
    assert_int_equal(reeve_bus_state(joe.bus), REEVE_BUS_IDLE);
    (void)snprintf(joe.password, sizeof(joe.password), "secret");
    client_ready(&joe, &site); // and can be started again
    client_close(&joe, &site);
    site_done(&site);
}

static void a_password_file_is_read_at_each_connect(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    struct reeve_why why = {0};
    char path[128];
    open_site(&site, 5, true);
    client_init(&joe, &site, "joe");
    (void)snprintf(path, sizeof(path), "%s/password", site.dir);
    joe.broker.password = NULL;
    joe.broker.password_file = path;
    client_open(&joe);
    assert_int_equal(joe.losses, 1); // there is none yet
    assert_non_null(strstr(joe.why.text, "password"));
    assert_int_equal(reeve_file_write_atomic(path, "secret\n", 7, 0644, &why), REEVE_OK);
    int losses = joe.losses;
    SITE_WAIT(&site, joe.losses > losses); // readable by others: refused, and said so
    assert_int_equal(joe.readies, 0);
    assert_int_equal(reeve_file_write_atomic(path, "secret\n", 7, 0600, &why), REEVE_OK);
    SITE_WAIT(&site, joe.readies == 1);
    client_close(&joe, &site);
    site_done(&site);
}

static void a_refused_publish_is_denied(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    struct outcome outcome = {0};
    open_site(&site, 5, true);
    client_init(&joe, &site, "joe");
    client_ready(&joe, &site);
    assert_int_equal(client_say(&joe, "closed/x", "x", REEVE_BUS_EVENT, false, &outcome), REEVE_OK);
    SITE_WAIT(&site, outcome.calls == 1);
    assert_int_equal(outcome.err, REEVE_DENIED);
    assert_non_null(strstr(outcome.why.text, "0x87"));
    assert_int_equal(joe.losses, 0); // that topic, not the session
    client_close(&joe, &site);
    site_done(&site);
}

static void no_rights(int version)
{
    struct site site;
    struct client jim;
    open_site(&site, version, true);
    client_init(&jim, &site, "jim"); // may read everything and write nothing
    (void)snprintf(jim.username, sizeof(jim.username), "jim");
    make(&jim);
    reeve_bus_set_timing(jim.bus, &quick);
    client_open(&jim);
    SITE_WAIT(&site, jim.losses >= 2);
    assert_int_equal(jim.readies, 0);
    assert_true(jim.sessions >= 2); // it came as far as the probe
    assert_non_null(strstr(jim.why.text, "no rights to"));
    assert_non_null(strstr(jim.why.text, SITE_ROOT "/reply/jim/"));
    client_close(&jim, &site);
    site_done(&site);
}

static void a_session_without_rights_is_never_ready(void **state)
{
    (void)state;
    no_rights(5); // the broker says so
    no_rights(4); // the probe does not come back
}

// ---- silence -----------------------------------------------------------------------------------------------

static void a_frozen_broker_is_noticed_by_the_keep_alive(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    open_site(&site, 5, false);
    client_init(&joe, &site, "joe");
    client_ready(&joe, &site);
    int64_t begun_mono = reeve_clock_mono_ms();
    site_signal(&site, SIGSTOP);
    SITE_WAIT(&site, joe.losses > 0);
    assert_true(reeve_clock_mono_ms() - begun_mono < 15000); // keep-alive is 5 s
    site_signal(&site, SIGCONT);
    SITE_WAIT(&site, joe.readies == 2);
    client_close(&joe, &site);
    site_done(&site);
}

static void a_session_that_hears_nothing_is_renewed(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    open_site(&site, 5, false);
    client_init(&joe, &site, "joe");
    make(&joe);
    reeve_bus_set_timing(joe.bus, &quick);
    client_ready(&joe, &site);
    struct reeve_bus_stats stats;
    do { // in idle the echo keeps it alive past the silence
        site_turn(&site);
        reeve_bus_stats(joe.bus, &stats);
    } while (stats.received < 8);
    assert_int_equal(joe.losses, 0);
    site_signal(&site, SIGSTOP);
    SITE_WAIT_MS(&site, 4000, joe.losses > 0); // well before the keep-alive
    assert_non_null(strstr(joe.why.text, "nothing received"));
    reeve_bus_stats(joe.bus, &stats);
    assert_int_equal(stats.renewals, 1);
    site_signal(&site, SIGCONT);
    SITE_WAIT(&site, joe.readies == 2);
    client_close(&joe, &site);
    site_done(&site);
}

// Paho by itself needs one to two seconds: paho_threads.h. The best of three, so that a busy machine does not count.
static void a_new_session_takes_no_seconds(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    int64_t best_ms = INT64_MAX;
    open_site(&site, 5, false);
    client_init(&joe, &site, "joe");
    client_ready(&joe, &site);
    for (int i = 1; i <= 3; i++) {
        reeve_bus_renew(joe.bus, "again");
        // Between two looks the connect may be over.
        SITE_WAIT(&site, reeve_bus_state(joe.bus) == REEVE_BUS_CONNECTING || joe.readies == i + 1);
        int64_t begun_mono = reeve_clock_mono_ms();
        SITE_WAIT(&site, joe.readies == i + 1);
        int64_t took_ms = reeve_clock_mono_ms() - begun_mono;
        best_ms = took_ms < best_ms ? took_ms : best_ms;
    }
    assert_true(best_ms < 500);
    client_close(&joe, &site);
    site_done(&site);
}

static void a_port_that_says_nothing_times_out(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    int fd = -1;
    site_init(&site, SITE_MOSQUITTO, 5, false);
    client_init(&joe, &site, "joe");
    (void)snprintf(joe.url, sizeof(joe.url), "mqtt://127.0.0.1:%u", (unsigned)site_listen(&fd));
    make(&joe);
    reeve_bus_set_timing(joe.bus, &quick);
    client_open(&joe);
    SITE_WAIT(&site, joe.losses > 0);
    assert_int_equal(joe.sessions, 0);
    SITE_WAIT(&site, reeve_bus_state(joe.bus) == REEVE_BUS_CONNECTING);
    client_close(&joe, &site); // while connecting
    (void)close(fd);
    site_done(&site);
}

static void the_back_off_doubles_and_says_when(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    site_init(&site, SITE_MOSQUITTO, 5, false); // no broker
    client_init(&joe, &site, "joe");
    client_open(&joe);
    int64_t expected_ms = 100;
    for (int i = 1; i <= 5; i++) {
        SITE_WAIT(&site, joe.losses == i);
        assert_true(joe.retry_ms >= expected_ms * 8 / 10 && joe.retry_ms <= expected_ms * 12 / 10);
        assert_non_null(strstr(joe.why.text, "is the broker running"));
        expected_ms *= 2;
    }
    assert_int_equal(client_say(&joe, "open/x", "x", REEVE_BUS_STATE, true, NULL), REEVE_OFFLINE);
    assert_int_equal(client_say(&joe, "open/x", "x", REEVE_BUS_BULK, false, NULL), REEVE_OFFLINE);
    assert_int_equal(client_say(&joe, "open/x", "x", REEVE_BUS_REPLY, false, NULL), REEVE_OK);
    struct reeve_bus_stats stats;
    reeve_bus_stats(joe.bus, &stats);
    assert_int_equal(stats.dropped_state, 1);
    assert_int_equal(stats.dropped_bulk, 1);
    assert_int_equal(stats.queue_len, 1);
    assert_true(stats.connect_failures >= 5);
    client_close(&joe, &site);
    site_done(&site);
}

static void two_of_one_name_do_not_kick_each_other(void **state)
{
    (void)state;
    struct site site;
    struct client joe, other;
    struct seen seen = {0};
    open_site(&site, 5, false);
    client_init(&joe, &site, "joe");
    client_init(&other, &site, "joe");
    client_subscribe(&joe, "open/x", 0, &seen);
    client_ready(&joe, &site);
    client_ready(&other, &site);
    assert_int_equal(client_say(&other, "open/x", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, seen.count == 1); // whatever the second connect did to the first has happened by now
    assert_int_equal(joe.losses, 0);
    assert_int_equal(joe.readies, 1);
    client_close(&joe, &site);
    client_close(&other, &site);
    site_done(&site);
}

// ---- MQTT 5 ------------------------------------------------------------------------------------------------

static void retained_commands(int version, size_t expected)
{
    struct site site;
    struct client alice, bob;
    struct seen commands = {0}, mark = {0};
    struct outcome outcome = {0};
    open_site(&site, version, false);
    client_init(&alice, &site, "alice");
    client_ready(&alice, &site);
    assert_int_equal(client_say(&alice, "node/bob/cmd/stop", "old", REEVE_BUS_REPLY, true, &outcome), REEVE_OK);
    SITE_WAIT(&site, outcome.calls == 1);
    client_init(&bob, &site, "bob");
    client_subscribe(&bob, "node/bob/cmd/+", REEVE_BUS_NO_RETAINED, &commands);
    client_subscribe(&bob, "open/mark", 0, &mark);
    client_ready(&bob, &site);
    assert_int_equal(client_say(&bob, "open/mark", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, mark.count == 1);
    assert_int_equal(commands.count, expected);
    assert_int_equal(commands.retained, expected); // marked, so that it is refused [cmd-1]
    assert_int_equal(client_say(&alice, "node/bob/cmd/stop", "new", REEVE_BUS_REPLY, true, NULL), REEVE_OK);
    SITE_WAIT(&site, commands.count == expected + 1);
    // MQTT 5 tells a live message that was sent retained as well; 3.1.1 can't.
    assert_int_equal(commands.retained, version == 5 ? expected + 1 : expected);
    client_close(&alice, &site);
    client_close(&bob, &site);
    site_done(&site);
}

static void retained_commands_are_not_asked_for_or_marked(void **state)
{
    (void)state;
    retained_commands(5, 0);
    retained_commands(4, 1);
}

static void overlapping_patterns_each_get_a_message_once(void **state)
{
    (void)state;
    struct site site;
    struct client alice;
    struct seen all = {0}, one = {0}, mark = {0};
    open_site(&site, 5, false);
    client_init(&alice, &site, "alice");
    client_subscribe(&alice, "open/#", 0, &all);
    client_subscribe(&alice, "open/+/status", 0, &one);
    client_subscribe(&alice, "mark", 0, &mark);
    client_ready(&alice, &site);
    assert_int_equal(client_say(&alice, "open/x/status", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    assert_int_equal(client_say(&alice, "mark", "x", REEVE_BUS_EVENT, false, NULL), REEVE_OK);
    SITE_WAIT(&site, mark.count == 1);
    assert_int_equal(all.count, 1);
    assert_int_equal(one.count, 1);
    client_close(&alice, &site);
    site_done(&site);
}

static void a_response_topic_and_its_data_arrive(void **state)
{
    (void)state;
    struct site site;
    struct client alice;
    struct seen seen = {0};
    open_site(&site, 5, false);
    client_init(&alice, &site, "alice");
    client_subscribe(&alice, "open/x", 0, &seen);
    client_ready(&alice, &site);
    const struct reeve_bus_message message = {.topic = SITE_ROOT "/open/x",
                                              .qos = 1,
                                              .class = REEVE_BUS_EVENT,
                                              .expiry_ms = 5000,
                                              .response_topic = SITE_ROOT "/reply/alice/1",
                                              .correlation = "abc",
                                              .correlation_len = 3};
    assert_int_equal(reeve_bus_publish(alice.bus, &message, NULL), REEVE_OK); // and no payload at all
    SITE_WAIT(&site, seen.count == 1);
    assert_string_equal(seen.response_topic, SITE_ROOT "/reply/alice/1");
    assert_string_equal(seen.correlation, "abc");
    assert_string_equal(seen.last, "");
    client_close(&alice, &site);
    site_done(&site);
}

// ---- limits ------------------------------------------------------------------------------------------------

static void the_window_stays_below_the_receive_maximum(void **state)
{
    (void)state;
    struct site site;
    struct client alice;
    struct outcome outcome = {0};
    site_init(&site, SITE_MOSQUITTO, 5, false);
    site.inflight_max = 20; // Mosquitto's own default
    site_start(&site);
    client_init(&alice, &site, "alice");
    client_ready(&alice, &site);
    int64_t begun_mono = reeve_clock_mono_ms();
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(client_say(&alice, "open/x", "x", REEVE_BUS_EVENT, false, &outcome), REEVE_OK);
    }
    SITE_WAIT(&site, outcome.calls == 5000);
    assert_true(reeve_clock_mono_ms() - begun_mono < 10000); // at the maximum it would be 21 a second
    struct reeve_bus_stats stats;
    reeve_bus_stats(alice.bus, &stats);
    assert_int_equal(stats.in_flight_peak, 19);
    client_close(&alice, &site);
    site_done(&site);
}

static void arrive(struct client *client)
{
    struct reeve_incoming *message = calloc(1, sizeof(*message) + 1);
    assert_non_null(message);
    message->topic = (const char *)(message + 1); // "": nobody's
    message->bytes = sizeof(*message) + 1;
    const struct reeve_handover_record record = {
        .kind = REEVE_HANDOVER_MESSAGE, .generation = client->bus->generation, .message = message};
    reeve_handover_put(client->bus->handover, &record);
}

// Each call into Paho may bring more than it takes away: a stop of ten thousand workers once ended a manager's session.
static void what_is_received_goes_before_what_is_to_be_sent(void **state)
{
    (void)state;
    struct site site;
    struct client alice;
    struct outcome outcome = {0};
    struct reeve_bus_stats stats;
    open_site(&site, 5, false);
    client_init(&alice, &site, "alice");
    client_ready(&alice, &site);
    SITE_WAIT(&site, reeve_outbox_in_flight(alice.bus->outbox) == 0); // its probe came back before its acknowledgement
    for (int i = 0; i < 1025; i++) { // half of what may wait, and one
        arrive(&alice);
    }
    assert_int_equal(client_say(&alice, "open/x", "x", REEVE_BUS_EVENT, false, &outcome), REEVE_OK);
    reeve_bus_stats(alice.bus, &stats);
    assert_int_equal(stats.queue_len, 1);
    assert_int_equal(stats.in_flight, 0);
    SITE_WAIT(&site, outcome.calls == 1); // and then it goes by itself
    assert_int_equal(outcome.err, REEVE_OK);
    client_close(&alice, &site);
    site_done(&site);
}

static void too_large_is_refused_on_both_sides(void **state)
{
    (void)state;
    struct site site;
    struct client alice, bob;
    struct seen seen = {0};
    static char large[8192];
    open_site(&site, 5, false);
    client_init(&alice, &site, "alice");
    client_init(&bob, &site, "bob");
    bob.broker.message_bytes_max = 4096;
    client_subscribe(&bob, "open/x", 0, &seen);
    client_ready(&bob, &site);
    client_ready(&alice, &site);
    struct reeve_bus_message message = {
        .topic = SITE_ROOT "/open/x", .payload = large, .payload_len = 4097, .qos = 1, .class = REEVE_BUS_EVENT};
    struct reeve_why why = {0};
    assert_int_equal(reeve_bus_publish(bob.bus, &message, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "4097"));
    assert_int_equal(reeve_bus_publish(alice.bus, &message, &why), REEVE_OK);
    message.payload_len = 4096;
    assert_int_equal(reeve_bus_publish(alice.bus, &message, &why), REEVE_OK);
    SITE_WAIT(&site, seen.count == 1);
    struct reeve_bus_stats stats;
    reeve_bus_stats(bob.bus, &stats);
    assert_int_equal(stats.refused_size, 2); // one each way
    assert_int_equal(bob.losses, 0);
    message.topic = "a/+/b";
    assert_int_equal(reeve_bus_publish(alice.bus, &message, &why), REEVE_INVALID);
    client_close(&alice, &site);
    client_close(&bob, &site);
    site_done(&site);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    struct site site;
    struct client joe;
    struct reeve_why why = {0};
    site_init(&site, SITE_MOSQUITTO, 5, false);
    client_init(&joe, &site, "Joe");
    assert_int_equal(reeve_bus_new(&joe.options, &joe.bus, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "'J'"));
    client_init(&joe, &site, "joe");
    joe.options.root = "a//b";
    assert_int_equal(reeve_bus_new(&joe.options, &joe.bus, &why), REEVE_INVALID);
    client_init(&joe, &site, "joe");
    (void)snprintf(joe.url, sizeof(joe.url), "http://x");
    assert_int_equal(reeve_bus_new(&joe.options, &joe.bus, &why), REEVE_INVALID);
    client_init(&joe, &site, "joe");
    make(&joe);
    struct seen seen = {0};
    assert_int_equal(reeve_bus_subscribe(joe.bus, "a/#/b", 1, 0, seen_handler, &seen, &why), REEVE_INVALID);
    assert_int_equal(reeve_bus_subscribe(joe.bus, "a/b+", 1, 0, seen_handler, &seen, &why), REEVE_INVALID);
    assert_int_equal(reeve_bus_subscribe(joe.bus, "a/+", 1, 0, seen_handler, &seen, &why), REEVE_OK);
    assert_int_equal(reeve_bus_subscribe(joe.bus, "a/+", 1, 0, seen_handler, &seen, &why), REEVE_CONFLICT);
    reeve_bus_free(joe.bus); // never started
    reeve_bus_free(NULL);
    site_done(&site);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]); // one of them, by name; * and ? allowed
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_password_is_named),
        cmocka_unit_test(fail_fast_gives_up_after_the_first_refusal),
        cmocka_unit_test(a_password_file_is_read_at_each_connect),
        cmocka_unit_test(a_refused_publish_is_denied),
        cmocka_unit_test(a_session_without_rights_is_never_ready),
        cmocka_unit_test(a_frozen_broker_is_noticed_by_the_keep_alive),
        cmocka_unit_test(a_session_that_hears_nothing_is_renewed),
        cmocka_unit_test(a_new_session_takes_no_seconds),
        cmocka_unit_test(a_port_that_says_nothing_times_out),
        cmocka_unit_test(the_back_off_doubles_and_says_when),
        cmocka_unit_test(two_of_one_name_do_not_kick_each_other),
        cmocka_unit_test(retained_commands_are_not_asked_for_or_marked),
        cmocka_unit_test(overlapping_patterns_each_get_a_message_once),
        cmocka_unit_test(a_response_topic_and_its_data_arrive),
        cmocka_unit_test(the_window_stays_below_the_receive_maximum),
        cmocka_unit_test(what_is_received_goes_before_what_is_to_be_sent),
        cmocka_unit_test(too_large_is_refused_on_both_sides),
        cmocka_unit_test(bad_options_are_refused),
    };
    return site_available(SITE_MOSQUITTO) ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
