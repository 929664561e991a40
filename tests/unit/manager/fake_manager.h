// A manager without broker, loop and disk, for the unit tests of its rooms: the clock stands until it is moved,
// messages are injected, and what a room publishes, orders, remembers and answers is kept in lists. Every room that a
// test does not bring itself (as a source of its target, see CMakeLists.txt) is a silent stand-in: fake_rooms of this
// library.
//
//   static struct fake fake;
//   fake_init(&fake);
//   assert_ok(fleet_new(&fake.manager, &fake.manager.fleet, NULL));
//   fake_deliver(&fake, "node/alpha/status", "{epoch: 1, state: online}", false);
//   fake_turn(&fake, true);
//   assert_non_null(fake_find(&fake, "fleet/alpha/mm-1"));
//
// Must not: behave as the real one where that is not needed; integration tests have the real one.
#ifndef REEVE_TEST_FAKE_MANAGER_H
#define REEVE_TEST_FAKE_MANAGER_H

#include "manager.h"

#include <reeve/clock.h>
#include <reeve/presence.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FAKE_ROOT    "reeve/v1/t"
#define FAKE_FILTERS 64
#define FAKE_AFTER   4096
#define FAKE_WALL    1700000000000 // where the wall clock begins
#define FAKE_MONO    1000000       // where the monotonic clock begins

struct fake_item { // published, told as an event, opened as an alarm
    enum leaving_kind kind;
    char topic[REEVE_TOPIC_SIZE]; // below the root
    struct reeve_value *value;    // NULL: the tombstone
    int64_t expiry_ms;
};
struct fake_order {
    struct order order; // `args` is owned by the list
    bool ended;
};
struct fake_reply {
    enum reeve_phase phase; // of the newest reply; ACCEPTED while the call is kept
    enum reeve_err err;     // of a failure
    char message[512];
    struct reeve_value *result;
    size_t replies;
};

struct fake {
    struct manager manager; // config: presets; loop: a uv loop that nobody runs
    uv_loop_t loop;
    int64_t wall_ms, mono_ms;
    struct reeve_clock clock;

    struct {                           // subscriptions
        char filter[REEVE_TOPIC_SIZE]; // below the root
        reeve_bus_handler *handler;
        void *arg;
    } filters[FAKE_FILTERS];
    size_t filters_len;

    struct fake_item *items; // left in committed turns, oldest first
    size_t items_len, items_cap, echoed;
    struct fake_item *said; // in this turn
    size_t said_len, said_cap;
    struct {
        void (*fn)(struct manager *manager, bool committed, void *arg);
        void *arg;
    } after[FAKE_AFTER];
    size_t after_len;
    size_t ticks_asked; // manager_tick_soon()

    struct fake_order *orders;
    size_t orders_len, orders_cap;
    enum reeve_err order_err; // what order_send() says; OK unless a test sets it

    struct fake_reply reply; // of the newest call
    struct call *call;       // the call in hand: fake_call()
};

void fake_init(struct fake *fake);
void fake_done(struct fake *fake); // rooms first: they are the test's to free
struct fake *fake_of(struct manager *manager);
void fake_time(struct fake *fake, int64_t ms);      // both clocks go on
void fake_wall_step(struct fake *fake, int64_t ms); // only the wall clock jumps

// A message from the broker, to every handler whose filter fits. `text` is YAML or JSON, and travels as msgpack; NULL
// or "" = the empty payload. Returns how many handlers had it.
size_t fake_deliver(struct fake *fake, const char *topic, const char *text, bool retained);
size_t fake_deliver_bytes(struct fake *fake, const char *topic, const void *payload, size_t len, bool retained);
size_t fake_deliver_value(struct fake *fake, const char *topic, struct reeve_value *value, bool retained); // takes it
struct reeve_value *fake_parse(const char *text); // caller frees

// The end of the turn: what was said leaves (committed) or is dropped; then what asked to be told is told. Runs until
// nothing is left to say, at most ten turns.
void fake_turn(struct fake *fake, bool committed);
// What left, newest first: NULL when nothing left for that topic. Below the root; globs allowed.
const struct fake_item *fake_find(const struct fake *fake, const char *topic);
size_t fake_count(const struct fake *fake, const char *topic);
// What left since the last echo, delivered to the handlers whose filters fit, as a broker does.
void fake_echo(struct fake *fake);
void fake_forget_items(struct fake *fake); // begin counting anew

// Orders, oldest first. fake_order_end() answers one: `phase` DONE, FAILED ... with `text` (YAML) as the result; or
// err.
const struct fake_order *fake_order_find(const struct fake *fake, const char *op, const char *node, const char *worker);
size_t fake_order_count(const struct fake *fake, const char *op);
void fake_order_end(struct fake *fake, size_t index, enum reeve_err err, enum reeve_phase phase, const char *message);
void fake_order_end_code(struct fake *fake, size_t index, enum reeve_err err, enum reeve_phase phase,
                         enum reeve_err code, const char *message); // of what is not DONE; else CONFLICT

// An op, called with arguments in YAML (NULL = none), decoded by its table. Returns what `run` or the decoder returned;
// the replies are in fake->reply. `subject`: the pool or account of the topic. One at a time.
enum reeve_err fake_call(struct fake *fake, const struct reeve_record *args, const char *subject, const char *text,
                         enum reeve_err (*run)(struct call *call, struct reeve_why *why), struct reeve_why *why);
void fake_call_end(struct fake *fake); // forget the call in hand

#endif
