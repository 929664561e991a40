// The fold against fold_vectors.json, which every other implementation of it is tested with too.
// Each vector is an input (or records that are taken in order) and the verdict that it must give.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <reeve/lifecycle.h>
#include <reeve/str.h>

#define VECTORS REEVE_SOURCE_DIR "/tests/unit/lifecycle/fold_vectors.json"

static json_t *file; // the whole file, for all tests

static int64_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key)); // 0 when it is left out
}

static bool truth(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : otherwise;
}

static enum reeve_state state_of(const json_t *object, const char *key, const char *otherwise)
{
    enum reeve_state state = REEVE_STATE_COUNT;
    assert_true(reeve_state_parse(text(object, key, otherwise), &state));
    return state;
}

static struct reeve_witness witness_of(const json_t *json, bool will)
{
    struct reeve_witness witness = {.present = json && !truth(json, "removed"), .will = will};
    witness.goodbye = truth(json, "goodbye");
    witness.epoch = (uint64_t)integer(json, "epoch");
    witness.arrived = integer(json, "arrived");
    witness.written_at = integer(json, "written_at");
    witness.heartbeat_ms = integer(json, "heartbeat_ms");
    witness.run = integer(json, "run");
    assert_true(reeve_availability_parse(text(json, "availability", ""), &witness.availability));
    return witness;
}

static struct reeve_process_witness process_of(const json_t *json)
{
    struct reeve_process_witness process = {.present = json && !truth(json, "removed")};
    process.speaks = truth(json, "speaks");
    process.state = state_of(json, "state", "created");
    process.epoch = (uint64_t)integer(json, "epoch");
    process.run = integer(json, "run");
    process.arrived = integer(json, "arrived");
    process.run_arrived = integer(json, "run_arrived");
    (void)snprintf(process.why, sizeof(process.why), "%s", text(json, "why", ""));
    return process;
}

static struct reeve_fold_input input_of(const json_t *json)
{
    return (struct reeve_fold_input){
        .node_status = witness_of(json_object_get(json, "node_status"), false),
        .node_lwt = witness_of(json_object_get(json, "node_lwt"), true),
        .worker_status = witness_of(json_object_get(json, "worker_status"), false),
        .worker_lwt = witness_of(json_object_get(json, "worker_lwt"), true),
        .process = process_of(json_object_get(json, "process")),
        .disconnected = integer(json, "disconnected"),
        .reconnected = integer(json, "reconnected"),
        .grace_ms = integer(json, "grace_ms"),
    };
}

static struct reeve_witness *slot_of(struct reeve_fold_input *input, const char *name)
{
    const struct {
        const char *name;
        struct reeve_witness *slot;
    } slots[] = {{"node_status", &input->node_status},
                 {"node_lwt", &input->node_lwt},
                 {"worker_status", &input->worker_status},
                 {"worker_lwt", &input->worker_lwt}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(slots); i++) {
        if (reeve_str_eq(slots[i].name, name)) {
            return slots[i].slot;
        }
    }
    fail_msg("no slot %s", name);
    return NULL;
}

// true = taken.
static bool take_record(struct reeve_fold_input *input, const json_t *record)
{
    const char *name = text(record, "slot", "");
    if (reeve_str_eq(name, "process")) {
        struct reeve_process_witness newer = process_of(record);
        return reeve_fold_take_process(input, &newer);
    }
    struct reeve_witness newer = witness_of(record, strstr(name, "lwt") != NULL);
    return reeve_fold_take(input, slot_of(input, name), &newer);
}

static void take_records(struct reeve_fold_input *input, const json_t *vector)
{
    const json_t *record = NULL;
    size_t i = 0;
    int64_t ignored = 0;
    json_array_foreach(json_object_get(vector, "records"), i, record)
    {
        ignored += !take_record(input, record);
    }
    assert_int_equal(ignored, integer(vector, "ignored"));
    assert_int_equal(input->stale_counts, ignored);
}

static void check_verdict(const struct reeve_verdict *got, const json_t *want)
{
    assert_string_equal(reeve_state_text(got->state), text(want, "state", "?"));
    assert_string_equal(reeve_availability_text(got->availability), text(want, "availability", ""));
    assert_string_equal(reeve_source_text(got->source), text(want, "source", "?"));
    assert_string_equal(reeve_state_text(got->last_known), text(want, "last_known", text(want, "state", "?")));
    assert_int_equal(got->unsupervised, truth(want, "unsupervised"));
    assert_int_equal(got->rule, integer(want, "rule"));
    assert_int_equal(got->next_look, integer(want, "next_look"));
    assert_string_equal(got->why, text(want, "why", ""));
}

static void every_vector_gives_its_verdict(void **state)
{
    (void)state;
    const json_t *vector = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(file, "vectors"), i, vector)
    {
        print_message("  %s\n", text(vector, "name", "?"));
        struct reeve_fold_input input = input_of(json_object_get(vector, "input"));
        take_records(&input, vector);
        struct reeve_verdict verdict = reeve_fold(&input, integer(vector, "now"));
        check_verdict(&verdict, json_object_get(vector, "verdict"));
    }
    assert_true(i >= 80);
}

static void every_row_has_vectors(void **state)
{
    (void)state;
    int seen[9] = {0};
    const json_t *vector = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(file, "vectors"), i, vector)
    {
        seen[integer(json_object_get(vector, "verdict"), "rule")]++;
    }
    for (size_t rule = 0; rule < REEVE_ARRAY_LEN(seen); rule++) {
        assert_true(seen[rule] >= 2);
    }
}

static void liveness_of_a_session(void **state)
{
    (void)state;
    const struct reeve_witness none = {0};
    const struct reeve_witness status = {.present = true, .epoch = 5, .arrived = 100, .heartbeat_ms = 40};
    const struct reeve_witness below = {.present = true, .will = true, .epoch = 4, .arrived = 100};
    const struct reeve_witness same = {.present = true, .will = true, .epoch = 5, .arrived = 100};
    struct reeve_witness bye = status;
    bye.goodbye = true;
    assert_int_equal(reeve_liveness(&none, &none, 1000, 100), REEVE_ABSENT);
    assert_int_equal(reeve_liveness(&status, &none, 1000, 200), REEVE_LIVE); // 2.5 heartbeats exactly
    assert_int_equal(reeve_liveness(&status, &none, 1000, 201), REEVE_STALE);
    assert_int_equal(reeve_liveness(&status, &none, 1000, 0), REEVE_LIVE); // arrived "later" than now
    assert_int_equal(reeve_liveness(&status, &below, 1000, 100), REEVE_LIVE);
    assert_int_equal(reeve_liveness(&status, &same, 1000, 100), REEVE_DEAD);
    assert_int_equal(reeve_liveness(&status, &same, 1000, 201), REEVE_DEAD); // dead outweighs stale
    assert_int_equal(reeve_liveness(&bye, &same, 1000, 100), REEVE_LEFT);
    assert_int_equal(reeve_liveness(&bye, &none, 1000, 100000), REEVE_LEFT);
    assert_int_equal(reeve_liveness(&none, &same, 1000, 100), REEVE_DEAD);
    bye.present = false; // the goodbye was taken away after the session left
    assert_int_equal(reeve_liveness(&bye, &same, 1000, 100), REEVE_ABSENT);
}

static void the_longest_why_fits(void **state)
{
    (void)state;
    struct reeve_fold_input input = {.process = {.present = true, .state = REEVE_STATE_RUNNING}};
    input.worker_status = (struct reeve_witness){.present = true, .epoch = 1, .arrived = 1};
    memset(input.process.why, 'a', sizeof(input.process.why)); // not even terminated
    struct reeve_verdict verdict = reeve_fold(&input, 1);
    assert_int_equal(verdict.rule, 5);
    size_t reason = strlen("node is not known, the worker goes on · ");
    assert_int_equal(strlen(verdict.why), reason + sizeof(input.process.why) - 1);
}

static void numbers_of_any_size_are_no_accident(void **state)
{
    (void)state;
    struct reeve_fold_input input = {.process = {.present = true, .state = REEVE_STATE_RUNNING, .run = INT64_MAX}};
    input.node_status = (struct reeve_witness){.present = true, .epoch = UINT64_MAX, .heartbeat_ms = INT64_MAX};
    input.worker_status = (struct reeve_witness){.present = true, .epoch = 1, .heartbeat_ms = INT64_MIN, .run = -1};
    struct reeve_verdict verdict = reeve_fold(&input, 1000);
    assert_int_equal(verdict.rule, 2);
    struct reeve_witness newer = {.present = true, .epoch = UINT64_MAX, .heartbeat_ms = INT64_MAX, .arrived = 2000};
    assert_true(reeve_fold_take(&input, &input.worker_status, &newer));
    newer.epoch = 0;
    assert_false(reeve_fold_take(&input, &input.worker_status, &newer));
    assert_int_equal(input.stale_counts, 1);
}

static void a_will_keeps_the_time_of_its_first_arrival(void **state)
{
    (void)state;
    struct reeve_fold_input input = {0};
    struct reeve_witness will = {.present = true, .will = true, .epoch = 5, .arrived = 100};
    assert_true(reeve_fold_take(&input, &input.worker_lwt, &will));
    will.arrived = 900; // the broker delivers it again after a reconnect
    assert_true(reeve_fold_take(&input, &input.worker_lwt, &will));
    assert_int_equal(input.worker_lwt.arrived, 100);
    will.epoch = 6;
    assert_true(reeve_fold_take(&input, &input.worker_lwt, &will));
    assert_int_equal(input.worker_lwt.arrived, 900);
}

static void a_slot_kept_elsewhere_is_counted_in_the_input(void **state)
{
    (void)state;
    struct reeve_fold_input counts = {0};
    struct reeve_witness slot = {.present = true, .epoch = 7, .arrived = 100};
    const struct reeve_witness older = {.present = true, .epoch = 6, .arrived = 101};
    assert_false(reeve_fold_take(&counts, &slot, &older));
    assert_int_equal(counts.stale_counts, 1);
    assert_int_equal(slot.epoch, 7);
}

static int load(void **state)
{
    (void)state;
    json_error_t error;
    file = json_load_file(VECTORS, JSON_REJECT_DUPLICATES, &error);
    if (!file) {
        print_error("%s:%d: %s\n", VECTORS, error.line, error.text);
    }
    return file ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_gives_its_verdict),
        cmocka_unit_test(every_row_has_vectors),
        cmocka_unit_test(liveness_of_a_session),
        cmocka_unit_test(the_longest_why_fits),
        cmocka_unit_test(numbers_of_any_size_are_no_accident),
        cmocka_unit_test(a_will_keeps_the_time_of_its_first_arrival),
        cmocka_unit_test(a_slot_kept_elsewhere_is_counted_in_the_input),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
