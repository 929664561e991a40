// A compact registry is one that knows the same: every record decodes to what it was, whatever forms of msgpack it
// uses, and nothing is left when the last one is gone. Random records come from a fixed seed; REEVE_SEED replaces it.
// Must not: test folding or intake; test_registry.c does.
#include <reeve/codec.h>
#include <reeve/presence.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#define ROOT "reeve/v1/t"

static struct reeve_registry *registry;

static int setup(void **state)
{
    (void)state;
    registry = reeve_registry_new(ROOT, 100);
    reeve_registry_compact(registry);
    return registry == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    reeve_registry_free(registry); // asserts that no shared value is left
    return 0;
}

static enum reeve_err take(const char *topic, const struct reeve_value *value, struct reeve_taken *ret)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_taken own;
    struct reeve_delivery delivery = {.topic = topic};
    if (value != NULL) {
        assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
        delivery.payload = buf.data;
        delivery.payload_len = buf.len;
    }
    enum reeve_err err = reeve_registry_take_in(registry, &delivery, 5, ret != NULL ? ret : &own, NULL);
    if (ret == NULL) {
        reeve_value_free(own.record);
    }
    return err;
}

static struct reeve_value *parsed(const char *yaml)
{
    struct reeve_value *value = NULL;
    assert_int_equal(reeve_yaml_read(yaml, strlen(yaml), &reeve_limits_file, NULL, &value, NULL), REEVE_OK);
    return value;
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO process =
        parsed("{epoch: 7, run: 3, state: running, capabilities: [swap, limit, a-long-one], "
               "labels: {desk: a, floor: '3'}, command: /usr/lib/reeve/worker-swap, share: 0.25}");
    REEVE_VALUE_AUTO status =
        parsed("{epoch: 9, state: online, checks: [{name: a, ok: true}], none: null, big: 9007199254740991}");
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/process", process, NULL), REEVE_OK);
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/status", status, NULL), REEVE_OK);
    const struct reeve_known_worker *worker = reeve_registry_worker(registry, "alpha", "mm-1");
    REEVE_VALUE_AUTO process_again = reeve_registry_process_record(worker);
    REEVE_VALUE_AUTO status_again = reeve_registry_status_record(worker);
    assert_null(worker->process_record);
    assert_true(reeve_value_equal(process, process_again));
    assert_true(reeve_value_equal(status, status_again));
    assert_string_equal(worker->node, "alpha");
    assert_string_equal(worker->name, "mm-1");
    // Removed and replaced.
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/status", NULL, NULL), REEVE_OK);
    assert_null(reeve_registry_status_record(worker));
    (void)reeve_value_put(process, "run", reeve_value_int(4)); /* seen below */
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/process", process, NULL), REEVE_OK);
    REEVE_VALUE_AUTO newer = reeve_registry_process_record(worker);
    assert_int_equal(reeve_get_int(newer, "run", 0), 4);
}

static void what_was_taken_is_told(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO status = parsed("{epoch: 9, at: 5}");
    REEVE_VALUE_AUTO older = parsed("{epoch: 8, at: 6}");
    REEVE_VALUE_AUTO list = parsed("[]");
    struct reeve_taken taken;
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/status", status, &taken), REEVE_OK);
    assert_true(!taken.ignored && taken.worker != NULL && taken.node == NULL);
    assert_true(reeve_value_equal(taken.record, status));
    reeve_value_free(taken.record);
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/status", older, &taken), REEVE_OK);
    assert_true(taken.ignored && taken.worker != NULL);
    reeve_value_free(taken.record);
    assert_int_equal(take(ROOT "/worker/alpha/mm-1/status", NULL, &taken), REEVE_OK);
    assert_true(!taken.ignored && taken.worker == NULL && taken.record == NULL); // nothing is left of it
    assert_string_equal(taken.topic.worker, "mm-1");
    assert_int_equal(take(ROOT "/node/alpha/status", status, &taken), REEVE_OK);
    assert_true(taken.node != NULL && taken.worker == NULL);
    assert_non_null(taken.node->record); // nodes are kept decoded
    assert_null(taken.record);
    assert_int_equal(take(ROOT "/node/alpha/status", list, &taken), REEVE_INVALID);
    assert_null(taken.record);
}

// ---- random records -----------------------------------------------------------------------------------------------

static uint64_t dice;

static unsigned below(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

static struct reeve_value *random_value(unsigned depth);

static struct reeve_value *random_container(unsigned depth)
{
    static const unsigned lens[] = {0, 1, 3, 15, 16, 17, 40};
    unsigned len = lens[below(depth == 0 ? REEVE_ARRAY_LEN(lens) : 3)];
    bool map = below(2) == 0;
    struct reeve_value *value = map ? reeve_value_map() : reeve_value_list();
    for (unsigned i = 0; i < len; i++) {
        char key[48];
        (void)snprintf(key, sizeof key, "k%0*u", (int)below(40), i);
        (void)(map ? reeve_value_put(value, key, random_value(depth + 1))
                   : reeve_value_add(value, random_value(depth + 1)));
    }
    return value;
}

static struct reeve_value *random_value(unsigned depth)
{
    static const int64_t numbers[] = {0,         1,  127, 128, 255,  256,  65535,  65536,       4294967295, 4294967296,
                                      INT64_MAX, -1, -32, -33, -128, -129, -32769, -2147483649, INT64_MIN};
    static const unsigned lens[] = {0, 1, 19, 20, 31, 32, 255, 256, 300};
    char text[301];
    unsigned len = lens[below(REEVE_ARRAY_LEN(lens))];
    memset(text, 'a' + (char)below(2), sizeof text);
    text[len] = '\0';
    switch (below(depth < 3 ? 7 : 5)) {
    case 0:
        return reeve_value_int(numbers[below(REEVE_ARRAY_LEN(numbers))]);
    case 1:
        return reeve_value_str(text);
    case 2:
        return reeve_value_bin(text, len);
    case 3:
        return below(2) == 0 ? reeve_value_bool(below(2) == 0) : reeve_value_null();
    case 4:
        return reeve_value_float((double)below(1000) / 8);
    default:
        return random_container(depth);
    }
}

static void random_records_come_back(void **state)
{
    (void)state;
    const char *given = getenv("REEVE_SEED");
    dice = given != NULL ? strtoull(given, NULL, 10) : 20261122;
    printf("REEVE_SEED=%llu\n", (unsigned long long)dice);
    for (int round = 0, kept = 0; kept < 2000; round++) {
        REEVE_VALUE_AUTO record = reeve_value_map();
        char topic[64];
        assert_true(round < 20000);
        for (unsigned i = below(25); i > 0; i--) {
            char key[16];
            (void)snprintf(key, sizeof key, "key%u", below(30));
            (void)reeve_value_put(record, key, random_value(0)); /* seen below */
        }
        reeve_put_int(record, "epoch", round);
        unsigned number = below(20);
        (void)snprintf(topic, sizeof topic, ROOT "/worker/alpha/w%u/status", number);
        if (take(topic, record, NULL) != REEVE_OK) {
            continue; // too large
        }
        kept++;
        char name[8];
        (void)snprintf(name, sizeof name, "w%u", number);
        REEVE_VALUE_AUTO again = reeve_registry_status_record(reeve_registry_worker(registry, "alpha", name));
        assert_true(reeve_value_equal(record, again));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_record_comes_back_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_taken_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(random_records_come_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
