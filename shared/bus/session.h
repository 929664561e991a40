// The inside of struct reeve_bus, for the files of this folder.
//   bus.c      life, the state machine and its timers, records from Paho's threads
//   publish.c  publishing, the window, back-pressure
//   receive.c  subscriptions, dispatch, the probe's echo
#ifndef REEVE_BUS_SESSION_H
#define REEVE_BUS_SESSION_H

#include "handover.h"
#include "outbox.h"
#include "paho.h"
#include "request.h"
#include "subscriptions.h"
#include "url.h"
#include <reeve/bus.h>
#include <reeve/loop.h>
#include <reeve/str.h>
#include <reeve/topic.h>

#define REEVE_PROBE_SIZE 48

// Waiting times. Tests shorten them.
struct reeve_bus_timing {
    int64_t backoff_min_ms, backoff_max_ms;
    int64_t stable_ms;  // ready for this long: the next failure begins with the shortest back-off again
    int64_t connect_ms; // of TCP, TLS and CONNACK together
    int64_t answer_ms;  // for SUBACKs, and for the probe's echo
    int64_t echo_ms;    // nothing received for this long: ask for an echo
    int64_t silence_ms; // nothing received for this long: the session is given up
};
extern const struct reeve_bus_timing reeve_bus_timing_preset;

struct reeve_bus {
    struct reeve_bus_options options; // strings replaced by the copies below
    char root[REEVE_TOPIC_SIZE];
    char client[REEVE_NAME_SIZE];
    char reply_prefix[REEVE_TOPIC_SIZE]; // <root>/reply/<client>/
    char will_topic[REEVE_TOPIC_SIZE];   // "" = none
    struct reeve_url url;
    char url_text[REEVE_URL_PAHO_SIZE];
    int version;
    struct reeve_bus_timing timing;

    struct reeve_handover *handover;
    struct reeve_paho *paho; // NULL once freed
    struct reeve_outbox *outbox;
    struct reeve_subscriptions *subscriptions;
    struct reeve_requests *requests;

    enum reeve_bus_state state;
    uint64_t generation; // of sessions: what belongs to an older one does nothing
    uint64_t epoch;
    bool connecting; // Paho was asked to connect and has not answered; nothing else may be asked of it
    bool closing;    // Paho was asked to disconnect and has not answered
    bool connected;  // between CONNECTED and the end of that session
    bool was_ready;  // in this session
    bool ever_ready; // in any
    bool in_pump;
    bool logged_failure; // the present outage was logged
    size_t window;       // of this session
    size_t packet_size_max;
    int64_t backoff_ms;
    int64_t ready_mono;
    int64_t received_mono; // when the last message came
    int64_t leave_mono;    // deadline of LEAVING
    char probe_id[REEVE_PROBE_SIZE];
    char probe_name[24];   // last level of the probe's topic: the process's own, so that it gets no other's probes
    bool takes_replies;    // reply/<client>/+ is subscribed to: since the first request
    char dismissal[160]; // why the broker is about to close this session

    struct reeve_timer retry; // WAITING
    struct reeve_timer guard; // of the present state
    struct reeve_timer echo;  // READY
    struct reeve_timer leave; // LEAVING
    struct reeve_timer kick;  // while an answer of Paho is awaited
    int64_t kick_ms;          // its delay
    void (*stopped)(struct reeve_bus *bus, void *arg);
    void *stopped_arg;
    size_t closing_handles; // of uv, while being freed
    struct reeve_bus_stats stats;
};

struct reeve_requests *reeve_bus_requests(const struct reeve_bus *bus);
void reeve_bus_set_timing(struct reeve_bus *bus, const struct reeve_bus_timing *timing); // tests, before start

// bus.c, for receive.c and publish.c
void reeve_bus_on_suback_complete(struct reeve_bus *bus);
void reeve_bus_on_echo(struct reeve_bus *bus);
void reeve_bus_end_session(struct reeve_bus *bus, const struct reeve_why *why);
void reeve_bus_expect_answer(struct reeve_bus *bus); // after every call that makes Paho send something

// publish.c
void reeve_bus_pump(struct reeve_bus *bus); // sends what the window allows
void reeve_bus_tell_room(struct reeve_bus *bus);
void reeve_bus_on_publish_result(struct reeve_bus *bus, const struct reeve_handover_record *record);
void reeve_bus_send_probe(struct reeve_bus *bus);

// receive.c
enum reeve_err reeve_bus_receive_init(struct reeve_bus *bus, struct reeve_why *why);
enum reeve_err reeve_bus_take_replies(struct reeve_bus *bus, struct reeve_why *why);
void reeve_bus_subscribe_all(struct reeve_bus *bus); // what was not asked for in this session
void reeve_bus_on_subscribe_result(struct reeve_bus *bus, const struct reeve_handover_record *record);
void reeve_bus_on_message(struct reeve_bus *bus, const struct reeve_incoming *incoming);

#endif
