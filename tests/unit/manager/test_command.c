// Commands in: one id is one execution and one answer, whatever the disk does, and over a restart of the manager.
// The real store in a folder of its own; bus, turn and ops are stand-ins.
#include "manager.h"
#include "ops.h"

#include <reeve/codec.h>
#include <reeve/file.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROOT "r/v1/t"

// ---- in the place of bus, turn and ops --------------------------------------------------------------------------

#define ANSWERS_MAX 64
#define AFTER_MAX   64
struct told {
    char id[64], to[REEVE_TOPIC_SIZE], code[32], message[256];
    enum reeve_phase phase;
    bool result;
};
static struct world {
    char dir[64];
    struct manager manager;
    reeve_bus_handler *handler;
    struct told answers[ANSWERS_MAX];
    size_t len;
    bool small; // no reply with a result fits into a message
    struct {
        void (*fn)(struct manager *manager, bool committed, void *arg);
        void *arg;
    } after[AFTER_MAX];
    size_t after_len;
    int runs, freed;
} * world;

enum reeve_err reeve_bus_answer(struct reeve_bus *bus, const struct reeve_command *command,
                                const struct reeve_reply *reply)
{
    (void)bus;
    if (world->small && reply->result != NULL) {
        return REEVE_INVALID;
    }
    assert_true(world->len < ANSWERS_MAX);
    struct told *told = &world->answers[world->len++];
    *told = (struct told){.phase = reply->phase, .result = reply->result != NULL};
    (void)snprintf(told->id, sizeof told->id, "%s", reply->id);
    (void)snprintf(told->to, sizeof told->to, "%s", command->reply_to != NULL ? command->reply_to : "");
    (void)snprintf(told->code, sizeof told->code, "%s", reply->code != NULL ? reply->code : "");
    (void)snprintf(told->message, sizeof told->message, "%s", reply->message != NULL ? reply->message : "");
    return REEVE_OK;
}

uint64_t reeve_bus_epoch(const struct reeve_bus *bus)
{
    (void)bus;
    return 7;
}

enum reeve_err manager_subscribe(struct manager *manager, const char *filter, unsigned flags,
                                 reeve_bus_handler *handler, void *arg, struct reeve_why *why)
{
    (void)manager;
    (void)filter;
    (void)arg;
    (void)why;
    assert_int_equal(flags, REEVE_BUS_NO_RETAINED);
    world->handler = handler;
    return REEVE_OK;
}

void manager_publish(struct manager *manager, enum leaving_kind kind, const char *topic, struct reeve_value *value,
                     int64_t expiry_ms)
{
    (void)manager;
    (void)kind;
    (void)topic;
    (void)expiry_ms;
    reeve_value_free(value);
}

void manager_after_commit(struct manager *manager, void (*fn)(struct manager *manager, bool committed, void *arg),
                          void *arg)
{
    (void)manager;
    assert_true(world->after_len < AFTER_MAX);
    world->after[world->after_len].fn = fn;
    world->after[world->after_len++].arg = arg;
}

// To the end of this turn and of those that follow from it.
static void end_turn(bool committed)
{
    do {
        typeof(world->after[0]) after[AFTER_MAX];
        size_t len = world->after_len;
        memcpy(after, world->after, sizeof after);
        world->after_len = 0;
        if (committed) {
            assert_int_equal(store_commit(world->manager.store, NULL), REEVE_OK);
        } else {
            store_undo(world->manager.store);
        }
        for (size_t i = 0; i < len; i++) {
            after[i].fn(&world->manager, committed, after[i].arg);
        }
    } while (world->after_len > 0 || store_dirty(world->manager.store));
}

static enum reeve_err run_now(struct call *call, struct reeve_why *why)
{
    (void)why;
    struct reeve_value *result = reeve_value_map();
    world->runs++;
    reeve_put_int(result, "runs", world->runs);
    return call_done(call, result, NULL);
}

static void state_free(void *state)
{
    (void)state;
    world->freed++;
}

static enum reeve_err run_wait(struct call *call, struct reeve_why *why)
{
    (void)why;
    world->runs++;
    return call_keep(call, call, state_free);
}

static const struct op ops[] = {
    {.name = "now", .level = OP_OF_MANAGER, .run = run_now},
    {.name = "wait", .level = OP_OF_MANAGER, .flags = OP_RERUN, .run = run_wait},
    {.name = "once", .level = OP_OF_MANAGER, .run = run_wait},
    {.name = "stop", .level = OP_OF_MANAGER, .flags = OP_RERUN | OP_OVERTAKES, .run = run_wait},
};

const struct op *op_find(const char *name, unsigned level)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(ops); i++) {
        if (ops[i].level == level && strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

const char *op_near(const char *name, unsigned level)
{
    (void)name;
    (void)level;
    return NULL;
}

// ---- a manager with nothing but commands -------------------------------------------------------------------------

static void open_manager(void)
{
    struct manager *manager = &world->manager;
    *manager = (struct manager){.config = {.manager = {.name = strdup("main"), .root = strdup(ROOT)}}};
    manager->calls = reeve_map_new(0);
    assert_non_null(manager->calls);
    assert_int_equal(store_open(world->dir, &manager->store, NULL), REEVE_OK);
    assert_int_equal(commands_start(manager, NULL), REEVE_OK);
}

static void close_manager(void)
{
    struct manager *manager = &world->manager;
    commands_done(manager);
    store_close(manager->store);
    free(manager->config.manager.name);
    free(manager->config.manager.root);
}

// What was not committed is gone; ready as after the first session.
static void crash(void)
{
    assert_int_equal(world->after_len, 0);
    close_manager();
    open_manager();
    world->len = 0;
    world->runs = 0;
}

static void resume(void)
{
    world->manager.resumed = true;
    commands_resume(&world->manager);
    end_turn(true);
}

static int setup(void **state)
{
    (void)state;
    world = calloc(1, sizeof *world);
    assert_non_null(world);
    (void)snprintf(world->dir, sizeof world->dir, "/tmp/reeve-command-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    reeve_log_set_level(REEVE_LOG_ERROR);
    open_manager();
    world->manager.resumed = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_manager();
    (void)reeve_dir_remove(world->dir, NULL); /* left for whoever looks into /tmp */
    free(world);
    return 0;
}

static void ask(const char *op, const char *id, const char *from, int64_t expires_at)
{
    char topic[128];
    char reply_to[128];
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(4096);
    REEVE_VALUE_AUTO body = reeve_value_map();
    (void)snprintf(topic, sizeof topic, ROOT "/manager/main/cmd/%s", op);
    (void)snprintf(reply_to, sizeof reply_to, ROOT "/reply/%s/%s", from, id);
    reeve_put_str(body, "id", id);
    reeve_put_str(body, "reply_to", reply_to);
    if (expires_at != 0) {
        reeve_put_int(body, "expires_at", expires_at);
    }
    assert_int_equal(reeve_msgpack_write(body, &bytes), REEVE_OK);
    const struct reeve_delivery delivery = {.topic = topic, .payload = bytes.data, .payload_len = bytes.len};
    world->handler(NULL, &delivery, &world->manager);
}

static const struct told *last(void)
{
    assert_true(world->len > 0);
    return &world->answers[world->len - 1];
}

static void expect(size_t answers, enum reeve_phase phase, const char *says)
{
    assert_int_equal(world->len, answers);
    assert_string_equal(reeve_phase_text(last()->phase), reeve_phase_text(phase));
    if (strstr(last()->message, says) == NULL) {
        fail_msg("'%s' does not say '%s'", last()->message, says);
    }
}

static enum reeve_phase on_disk(const char *id)
{
    struct store_command stored = {0};
    enum reeve_err err = store_journal_find(world->manager.store, id, &stored, NULL);
    enum reeve_phase phase = err == REEVE_OK ? stored.phase : REEVE_PHASE_RUNNING; // which never is on disk
    store_command_done(&stored);
    return phase;
}

static struct call *call(const char *id)
{
    struct call *found = call_find(&world->manager, id);
    assert_non_null(found);
    return found;
}

// ---- tests ------------------------------------------------------------------------------------------------------

static void an_answer_leaves_after_the_commit_and_comes_again(void **state)
{
    (void)state;
    ask("now", "a", "x", 0);
    assert_int_equal(world->len, 0);
    ask("now", "a", "x", 0); // again before the commit
    expect(1, REEVE_PHASE_RUNNING, "in hand");
    end_turn(true);
    expect(2, REEVE_PHASE_DONE, "");
    ask("now", "a", "x", 1); // long expired
    expect(3, REEVE_PHASE_DONE, "");
    ask("now", "b", "x", 1);
    expect(4, REEVE_PHASE_EXPIRED, "");
    ask("wait", "a", "x", 0);
    expect(5, REEVE_PHASE_REJECTED, "another command");
    crash();
    ask("now", "a", "x", 0);
    expect(1, REEVE_PHASE_DONE, "");
    assert_int_equal(world->runs, 0);
}

static void what_the_disk_refused_was_not_done(void **state)
{
    (void)state;
    ask("now", "a", "x", 0);
    end_turn(false);
    expect(1, REEVE_PHASE_FAILED, "nothing was done");
    assert_false(last()->result);
    ask("now", "a", "x", 0); // the id is free
    end_turn(true);
    expect(2, REEVE_PHASE_DONE, "");
    assert_int_equal(world->runs, 2);
}

static void what_was_not_accepted_on_disk_ends(void **state)
{
    (void)state;
    ask("wait", "a", "x", 0);
    end_turn(false);
    expect(1, REEVE_PHASE_FAILED, "nothing was done");
    assert_int_equal(world->freed, 1);
    assert_int_equal(reeve_map_len(world->manager.calls), 0);
}

static void an_end_that_the_disk_refused_is_recorded_later(void **state)
{
    (void)state;
    ask("wait", "a", "x", 0);
    end_turn(true);
    expect(1, REEVE_PHASE_ACCEPTED, "");
    (void)call_done(call("a"), NULL, NULL);
    end_turn(false);
    expect(2, REEVE_PHASE_FAILED, "its outcome can't be recorded");
    assert_int_equal(on_disk("a"), REEVE_PHASE_ACCEPTED);
    ask("wait", "a", "x", 0);
    expect(3, REEVE_PHASE_FAILED, "its outcome can't be recorded");
    commands_tick(&world->manager);
    end_turn(false); // still full
    commands_tick(&world->manager);
    commands_tick(&world->manager); // once in a turn
    assert_int_equal(world->after_len, 1);
    end_turn(true);
    assert_int_equal(on_disk("a"), REEVE_PHASE_FAILED);
    assert_int_equal(world->manager.unrecorded, 0);
    assert_int_equal(world->len, 3);
    ask("wait", "a", "x", 0);
    expect(4, REEVE_PHASE_FAILED, "its outcome can't be recorded");
    crash();
    resume();
    assert_int_equal(world->runs, 0);
    ask("wait", "a", "x", 0);
    expect(1, REEVE_PHASE_FAILED, "its outcome can't be recorded");
}

static void an_emergency_is_answered_without_a_disk_and_not_done_again(void **state)
{
    (void)state;
    ask("stop", "early", "x", 0);
    end_turn(false);
    expect(1, REEVE_PHASE_ACCEPTED, "");
    (void)call_done(call("early"), NULL, NULL);
    end_turn(false);
    expect(2, REEVE_PHASE_DONE, "");
    ask("stop", "late", "x", 0);
    end_turn(true);
    (void)call_done(call("late"), NULL, NULL);
    end_turn(false);
    expect(4, REEVE_PHASE_DONE, "");
    commands_tick(&world->manager);
    end_turn(true);
    crash();
    resume();
    assert_int_equal(world->runs, 0);
    assert_int_equal(on_disk("late"), REEVE_PHASE_DONE);
}

static void an_emergency_whose_acceptance_was_refused_is_recorded_when_it_ends(void **state)
{
    (void)state;
    ask("stop", "a", "x", 0);
    end_turn(false);
    (void)call_done(call("a"), NULL, NULL);
    end_turn(true); // there is room again
    assert_int_equal(on_disk("a"), REEVE_PHASE_DONE);
    ask("stop", "a", "x", 0);
    expect(3, REEVE_PHASE_DONE, "");
    assert_int_equal(world->runs, 1);
}

static void what_is_to_be_resumed_is_in_hand(void **state)
{
    (void)state;
    ask("wait", "a", "x", 0);
    ask("once", "b", "x", 0);
    end_turn(true);
    crash();
    ask("wait", "a", "x", 0); // the session is, what the broker keeps is not in yet
    expect(1, REEVE_PHASE_RUNNING, "in hand");
    resume();
    assert_int_equal(world->runs, 1);
    assert_int_equal(world->len, 3);
    assert_string_equal(world->answers[1].id, "a");
    assert_int_equal(world->answers[1].phase, REEVE_PHASE_ACCEPTED);
    assert_string_equal(last()->id, "b");
    expect(3, REEVE_PHASE_FAILED, "restarted before");
    (void)call_done(call("a"), NULL, NULL);
    end_turn(true);
    expect(4, REEVE_PHASE_DONE, "");
}

static void put_open(const char *id, const char *topic)
{
    REEVE_VALUE_AUTO body = reeve_value_map();
    reeve_put_str(body, "id", id);
    const struct store_command stored = {
        .id = (char *)(uintptr_t)id, .topic = (char *)(uintptr_t)topic, .body = body, .phase = REEVE_PHASE_ACCEPTED};
    assert_int_equal(store_journal_put(world->manager.store, &stored, NULL), REEVE_OK);
}

static void what_can_not_be_taken_up_ends(void **state)
{
    (void)state;
    put_open("a", ROOT "/manager/main/cmd/forgotten");
    put_open("b", ROOT "/manager/main/cmd/wait");
    end_turn(true);
    crash();
    resume();
    assert_int_equal(on_disk("a"), REEVE_PHASE_FAILED);
    assert_int_equal(world->runs, 1);
}

static void a_journal_that_can_not_be_read_makes_nothing_new(void **state)
{
    (void)state;
    char path[128];
    sqlite3 *db = NULL;
    ask("now", "a", "x", 0);
    ask("stop", "b", "x", 0);
    end_turn(true);
    world->runs = 0;
    world->len = 0;
    (void)snprintf(path, sizeof path, "%s/" STORE_FILE, world->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE journal SET body=x'c1'", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    ask("now", "a", "x", 0);
    expect(1, REEVE_PHASE_REJECTED, "does not read back");
    assert_int_equal(world->runs, 0);
    (void)call_done(call("b"), NULL, NULL);
    end_turn(true);
    ask("stop", "b", "x", 0); // an emergency goes on
    assert_int_equal(world->runs, 1);
    end_turn(true);
}

static void everybody_who_asked_hears_the_end_also_when_it_is_too_large(void **state)
{
    (void)state;
    ask("wait", "a", "x", 0);
    end_turn(true);
    ask("wait", "a", "y", 0);
    ask("wait", "a", "y", 0);
    expect(3, REEVE_PHASE_RUNNING, "in hand");
    world->small = true;
    world->len = 0;
    (void)call_done(call("a"), reeve_value_map(), NULL);
    end_turn(true);
    expect(2, REEVE_PHASE_DONE, "too large");
    assert_string_equal(world->answers[0].to, ROOT "/reply/x/a");
    assert_string_equal(world->answers[1].to, ROOT "/reply/y/a");
    ask("wait", "a", "z", 0);
    expect(3, REEVE_PHASE_DONE, "too large");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_leaves_after_the_commit_and_comes_again),
        TEST(what_the_disk_refused_was_not_done),
        TEST(what_was_not_accepted_on_disk_ends),
        TEST(an_end_that_the_disk_refused_is_recorded_later),
        TEST(an_emergency_is_answered_without_a_disk_and_not_done_again),
        TEST(an_emergency_whose_acceptance_was_refused_is_recorded_when_it_ends),
        TEST(what_is_to_be_resumed_is_in_hand),
        TEST(what_can_not_be_taken_up_ends),
        TEST(a_journal_that_can_not_be_read_makes_nothing_new),
        TEST(everybody_who_asked_hears_the_end_also_when_it_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
