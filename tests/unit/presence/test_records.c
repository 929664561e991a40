// Records of presence as they go out: keys, the 8 KiB bound [topic-5], and that the registry reads each back.
// Round trips go through msgpack, as on the wire.
// Must not: test the fold; that is tests/unit/lifecycle.
#include <reeve/codec.h>
#include <reeve/presence.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static size_t msgpack_len(const struct reeve_value *record)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_msgpack_write(record, &buf), REEVE_OK);
    return buf.len;
}

// Through msgpack and into a registry at `topic`; frees `record`.
static void deliver(struct reeve_registry *registry, const char *topic, struct reeve_value *record)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO owned = record;
    struct reeve_why why = {0};
    assert_non_null(owned);
    assert_int_equal(reeve_msgpack_write(owned, &buf), REEVE_OK);
    struct reeve_delivery delivery = {.topic = topic, .payload = buf.data, .payload_len = buf.len};
    enum reeve_err err = reeve_registry_take(registry, &delivery, 1000, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(err, REEVE_OK);
}

static struct reeve_worker_status worker_status(void)
{
    return (struct reeve_worker_status){.epoch = 1763817978123,
                                        .run = 4,
                                        .availability = REEVE_AVAILABILITY_PROCESSING,
                                        .type = "probe",
                                        .version = "1",
                                        .pid = 77,
                                        .jobs = 2,
                                        .heartbeat_ms = REEVE_WORKER_HEARTBEAT_MS,
                                        .ttl_ms = 3 * REEVE_WORKER_HEARTBEAT_MS,
                                        .started_at = 5,
                                        .at = 6};
}

static void a_worker_status_reads_back(void **state)
{
    (void)state;
    struct reeve_registry *registry = reeve_registry_new("reeve/v1/t", 0);
    struct reeve_worker_status status = worker_status();
    status.unsafe_reason = "an order is open";
    deliver(registry, "reeve/v1/t/worker/alpha/mm-1/status", reeve_worker_status_value(&status));
    const struct reeve_known_worker *worker = reeve_registry_worker(registry, "alpha", "mm-1");
    assert_non_null(worker);
    assert_true(worker->status.present);
    assert_int_equal(worker->status.epoch, 1763817978123);
    assert_int_equal(worker->status.heartbeat_ms, REEVE_WORKER_HEARTBEAT_MS);
    assert_int_equal(worker->status.run, 4);
    assert_int_equal(worker->status.written_at, 6);
    assert_int_equal(worker->status.availability, REEVE_AVAILABILITY_PROCESSING);
    assert_false(worker->status.goodbye);
    assert_string_equal(reeve_get_str(worker->status_record, "state"), "online");
    assert_string_equal(reeve_get_str(worker->status_record, "unsafe_reason"), "an order is open");
    assert_int_equal(reeve_get_int(worker->status_record, "jobs", -1), 2);
    assert_int_equal(reeve_get_int(worker->status_record, "run", -1), 4);
    reeve_registry_free(registry);
}

static void a_goodbye_says_offline_twice(void **state)
{
    (void)state;
    struct reeve_registry *registry = reeve_registry_new("reeve/v1/t", 0);
    struct reeve_worker_status status = worker_status();
    status.offline = true;
    deliver(registry, "reeve/v1/t/worker/alpha/mm-1/status", reeve_worker_status_value(&status));
    const struct reeve_known_worker *worker = reeve_registry_worker(registry, "alpha", "mm-1");
    assert_true(worker->status.goodbye);
    assert_int_equal(worker->status.availability, REEVE_AVAILABILITY_OFFLINE);
    reeve_registry_free(registry);
}

static void a_node_status_and_a_will_read_back(void **state)
{
    (void)state;
    struct reeve_registry *registry = reeve_registry_new("reeve/v1/t", 0);
    struct reeve_node_status status = {.epoch = 7,
                                       .state = "draining",
                                       .host = "h",
                                       .at = 1,
                                       .heartbeat_ms = REEVE_NODE_HEARTBEAT_MS,
                                       .ttl_ms = 3 * REEVE_NODE_HEARTBEAT_MS,
                                       .workers_total = 3,
                                       .cpus = 2};
    deliver(registry, "reeve/v1/t/node/alpha/status", reeve_node_status_value(&status));
    const struct reeve_known_node *node = reeve_registry_node(registry, "alpha");
    assert_non_null(node);
    assert_int_equal(node->status.epoch, 7);
    assert_false(node->status.goodbye);
    assert_int_equal(reeve_get_int(reeve_value_get(node->record, "workers"), "total", -1), 3);
    assert_int_equal(reeve_registry_node_liveness(registry, node, 1001), REEVE_LIVE);

    REEVE_BUF_AUTO will = REEVE_BUF_INIT(64);
    assert_int_equal(reeve_lwt_encode(7, &will), REEVE_OK);
    struct reeve_delivery delivery = {
        .topic = "reeve/v1/t/node/alpha/lwt", .payload = will.data, .payload_len = will.len};
    assert_int_equal(reeve_registry_take(registry, &delivery, 1002, NULL), REEVE_OK);
    assert_int_equal(reeve_registry_node_liveness(registry, node, 1003), REEVE_DEAD);
    reeve_registry_free(registry);
}

static void a_process_record_reads_back(void **state)
{
    (void)state;
    struct reeve_registry *registry = reeve_registry_new("reeve/v1/t", 0);
    struct reeve_process_record record = {.epoch = 9,
                                          .run = 4,
                                          .state = REEVE_STATE_RESTARTING,
                                          .since = 3,
                                          .at = 4,
                                          .wanted = true,
                                          .speaks = true,
                                          .has_exit = true,
                                          .exit = {.code = -1, .signal = SIGSEGV, .ran_ms = 12},
                                          .exit_cause = "signal",
                                          .cpu_limit = 1.5,
                                          .memory_limit_bytes = 64 << 20,
                                          .why = "exit 139 (SIGSEGV) · run 4"};
    deliver(registry, "reeve/v1/t/worker/alpha/mm-1/process", reeve_process_value(&record));
    const struct reeve_known_worker *worker = reeve_registry_worker(registry, "alpha", "mm-1");
    assert_int_equal(worker->process.state, REEVE_STATE_RESTARTING);
    assert_int_equal(worker->process.run, 4);
    assert_true(worker->process.speaks);
    assert_string_equal(worker->process.why, record.why);
    const struct reeve_value *end = reeve_value_get(worker->process_record, "exit");
    assert_string_equal(reeve_get_str(end, "signal"), "SIGSEGV");
    assert_int_equal(reeve_get_int(end, "signal_number", 0), SIGSEGV);
    assert_null(reeve_value_get(end, "code"));
    assert_string_equal(reeve_get_str(worker->process_record, "desired"), "running");
    const struct reeve_value *limits = reeve_value_get(worker->process_record, "limits");
    assert_true(reeve_value_real(reeve_value_get(limits, "cpus"), 0) > 1.4);
    reeve_registry_free(registry);
}

static void an_exit_code_is_no_signal(void **state)
{
    (void)state;
    struct reeve_process_record record = {.state = REEVE_STATE_STOPPED, .has_exit = true, .exit = {.code = 3}};
    REEVE_VALUE_AUTO value = reeve_process_value(&record);
    const struct reeve_value *end = reeve_value_get(value, "exit");
    assert_int_equal(reeve_get_int(end, "code", -1), 3);
    assert_null(reeve_value_get(end, "signal"));
}

static void a_why_is_cut_and_always_readable(void **state)
{
    (void)state;
    char long_why[20001];
    for (size_t i = 0; i + 1 < sizeof long_why; i += 2) {
        memcpy(long_why + i, "\xc3\xa4", 3); // every cut at an odd place would split an a-umlaut
    }
    struct reeve_process_record record = {.state = REEVE_STATE_FAILED, .why = long_why};
    REEVE_VALUE_AUTO value = reeve_process_value(&record);
    assert_non_null(value);
    assert_true(msgpack_len(value) < 2048);
    const char *text = reeve_get_str(value, "why");
    assert_true(reeve_utf8_valid(text, strlen(text)));
    assert_string_equal(text + strlen(text) - 3, "...");

    record.why = "last line: \"\xff\xfe\"";
    REEVE_VALUE_AUTO repaired = reeve_process_value(&record);
    assert_string_equal(reeve_get_str(repaired, "why"), "last line: \"\?\?\"");
}

static void add_strings(struct reeve_strv *list, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "capability-with-a-long-name-number-%zu", i); /* fits */
        assert_int_equal(reeve_strv_add(list, text), REEVE_OK);
    }
}

static void an_oversized_process_record_says_what_it_left_out(void **state)
{
    (void)state;
    REEVE_STRV_AUTO capabilities = {0};
    REEVE_VALUE_AUTO labels = reeve_value_map();
    add_strings(&capabilities, 200); // 200 * 38 bytes: they fit alone
    for (int i = 0; i < 200; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "label-%d", i); /* fits */
        reeve_put_str(labels, key, "some value that a person wrote");
    }
    struct reeve_process_record record = {
        .state = REEVE_STATE_RUNNING, .capabilities = &capabilities, .labels = labels, .why = "it runs"};
    REEVE_VALUE_AUTO value = reeve_process_value(&record);
    assert_non_null(value);
    assert_true(msgpack_len(value) <= REEVE_RETAINED_BYTES_MAX);
    assert_null(reeve_value_get(value, "labels"));
    assert_non_null(reeve_value_get(value, "capabilities"));
    assert_string_equal(reeve_value_text(reeve_value_at(reeve_value_get(value, "left_out"), 0)), "labels");
    assert_string_equal(reeve_get_str(value, "why"), "it runs");
}

static struct reeve_value *many_commands(size_t len, size_t doc_len)
{
    struct reeve_value *commands = reeve_value_list();
    char doc[1024];
    memset(doc, 'd', sizeof doc);
    for (size_t i = 0; i < len; i++) {
        char name[32];
        struct reeve_value *command = reeve_value_map();
        (void)snprintf(name, sizeof name, "op-%zu", i); /* fits */
        reeve_put_str(command, "name", name);
        (void)reeve_value_put(command, "summary", reeve_value_strn(doc, doc_len)); /* checked below */
        assert_int_equal(reeve_value_add(commands, command), REEVE_OK);
    }
    return commands;
}

static void commands_lose_their_words_before_their_names(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO commands = many_commands(30, 500);
    struct reeve_worker_status status = worker_status();
    status.commands = commands;
    REEVE_VALUE_AUTO value = reeve_worker_status_value(&status);
    assert_true(msgpack_len(value) <= REEVE_RETAINED_BYTES_MAX);
    const struct reeve_value *left = reeve_value_get(value, "commands");
    assert_int_equal(reeve_value_len(left), 30);
    assert_string_equal(reeve_get_str(reeve_value_at(left, 29), "name"), "op-29");
    assert_null(reeve_value_get(reeve_value_at(left, 0), "summary"));
    assert_int_equal(reeve_value_len(commands), 30); // the caller's own list is untouched
    assert_non_null(reeve_value_get(reeve_value_at(commands, 0), "summary"));
}

static void commands_that_fit_keep_their_words(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO commands = many_commands(10, 500);
    struct reeve_worker_status status = worker_status();
    status.commands = commands;
    REEVE_VALUE_AUTO value = reeve_worker_status_value(&status);
    assert_true(reeve_value_equal(reeve_value_get(value, "commands"), commands));
    assert_null(reeve_value_get(value, "left_out"));
}

static void even_thousands_of_commands_leave_a_status(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO commands = many_commands(3000, 10);
    struct reeve_worker_status status = worker_status();
    status.commands = commands;
    REEVE_VALUE_AUTO value = reeve_worker_status_value(&status);
    assert_non_null(value);
    assert_null(reeve_value_get(value, "commands"));
    assert_int_equal(reeve_get_int(value, "epoch", 0), (int64_t)status.epoch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_status_reads_back),
        cmocka_unit_test(a_goodbye_says_offline_twice),
        cmocka_unit_test(a_node_status_and_a_will_read_back),
        cmocka_unit_test(a_process_record_reads_back),
        cmocka_unit_test(an_exit_code_is_no_signal),
        cmocka_unit_test(a_why_is_cut_and_always_readable),
        cmocka_unit_test(an_oversized_process_record_says_what_it_left_out),
        cmocka_unit_test(commands_lose_their_words_before_their_names),
        cmocka_unit_test(commands_that_fit_keep_their_words),
        cmocka_unit_test(even_thousands_of_commands_leave_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
