// The spec of a queue: presets, spellings, mistakes with their places, round trips.
#include "job_test.h"

#include <stdio.h>

static struct reeve_errors errors; // 28 KiB, not for the stack

static enum reeve_err decode(const char *yaml, struct reeve_queue_spec *ret)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    char message[700];
    if (reeve_yaml_read(yaml, strlen(yaml), &reeve_limits_file, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s", yaml, reeve_why_format(&why, message, sizeof(message)));
    }
    reeve_errors_init(&errors, NULL);
    enum reeve_err err = reeve_record_decode(&reeve_queue_spec_record, value, "", ret, &errors);
    reeve_value_free(value);
    return err;
}

static struct reeve_queue_spec spec_of(const char *yaml)
{
    struct reeve_queue_spec spec;
    char text[600];
    if (decode(yaml, &spec) != REEVE_OK) {
        fail_msg("%s: %s", yaml, reeve_error_format(&errors, 0, text, sizeof(text)));
    }
    return spec;
}

static void done(struct reeve_queue_spec *spec)
{
    reeve_record_done(&reeve_queue_spec_record, spec);
}
#define SPEC_AUTO __attribute__((cleanup(done))) struct reeve_queue_spec

#define DAY_MS 86400000

static void presets(void **state)
{
    (void)state;
    SPEC_AUTO spec = spec_of("{}");
    assert_null(spec.name);
    assert_null(spec.description);
    assert_int_equal(spec.durability, REEVE_DURABILITY_COMMIT);
    assert_int_equal(spec.concurrency, 0);
    assert_int_equal(spec.max_per_key, 1);
    assert_int_equal(spec.rate.count, 0);
    assert_int_equal(spec.lease_ms, 15000);
    assert_int_equal(spec.attempts, 3);
    assert_int_equal(spec.backoff.kind, REEVE_JOB_BACKOFF_EXPONENTIAL);
    assert_int_equal(spec.backoff.delay_ms, 1000);
    assert_int_equal(spec.backoff.max_ms, 300000);
    assert_true(spec.backoff.jitter == 0.2);
    assert_int_equal(spec.timeout_ms, 0);
    assert_int_equal(spec.cancel_grace_ms, 10000);
    assert_int_equal(spec.poison_after, 3);
    assert_int_equal(spec.jobs_max, 2000000);
    assert_int_equal(reeve_queue_bytes_max(&spec), INT64_C(4) << 30);
    assert_true(spec.keep_completed.age_ms == DAY_MS && spec.keep_completed.count == 10000);
    assert_true(spec.keep_failed.age_ms == 0 && spec.keep_failed.count == 0);
    assert_true(spec.keep_cancelled.age_ms == DAY_MS && spec.keep_cancelled.count == 10000);
    assert_int_equal(spec.id_retention_ms, INT64_C(30) * DAY_MS);
    assert_false(spec.job_records);
    assert_int_equal(spec.events, 1);
    assert_int_equal(spec.unmatched_alarm_ms, 60000);
    assert_int_equal(spec.schedules.len, 0);
}

static const char full[] = "name: mail\n"
                           "description: letters\n"
                           "durability: memory\n"
                           "concurrency: 20\n"
                           "max_per_key: 2\n"
                           "rate: {count: 10, per: 2s}\n"
                           "lease: 30s\n"
                           "attempts: 5\n"
                           "backoff: {kind: fixed, delay: 10s, max: 1m, jitter: 0}\n"
                           "timeout: 5m\n"
                           "cancel_grace: 20s\n"
                           "poison_after: 2\n"
                           "jobs_max: 1000\n"
                           "bytes_max: 64M\n"
                           "keep_completed: {age: 2d, count: 5}\n"
                           "keep_failed: {age: forever, count: 50}\n"
                           "keep_cancelled: {age: 1h, count: 0}\n"
                           "id_retention: forever\n"
                           "job_records: true\n"
                           "events: all\n"
                           "unmatched_alarm: 0\n"
                           "schedules:\n"
                           "  - name: nightly\n"
                           "    cron: 0 3 * * *\n"
                           "    time_zone: Europe/Berlin\n"
                           "    overlap: allow\n"
                           "    missed: skip\n"
                           "    job: {type: report, payload: {day: yesterday}, priority: 2}\n"
                           "  - {name: hourly, cron: '@hourly', job: {type: sweep}}\n";

static void every_key(void **state)
{
    (void)state;
    SPEC_AUTO spec = spec_of(full);
    assert_string_equal(spec.name, "mail");
    assert_string_equal(spec.description, "letters");
    assert_int_equal(spec.durability, REEVE_DURABILITY_MEMORY);
    assert_true(spec.concurrency == 20 && spec.max_per_key == 2);
    assert_true(spec.rate.count == 10 && spec.rate.per_ms == 2000);
    assert_true(spec.lease_ms == 30000 && spec.attempts == 5 && spec.timeout_ms == 300000);
    assert_true(spec.backoff.kind == REEVE_JOB_BACKOFF_FIXED && spec.backoff.delay_ms == 10000 &&
                spec.backoff.max_ms == 60000 && spec.backoff.jitter == 0);
    assert_true(spec.cancel_grace_ms == 20000 && spec.poison_after == 2 && spec.jobs_max == 1000);
    assert_int_equal(reeve_queue_bytes_max(&spec), 64 << 20);
    assert_true(spec.keep_completed.age_ms == 2 * DAY_MS && spec.keep_completed.count == 5);
    assert_true(spec.keep_failed.age_ms == 0 && spec.keep_failed.count == 50);
    assert_true(spec.keep_cancelled.age_ms == 3600000 && spec.keep_cancelled.count == 0);
    assert_int_equal(spec.id_retention_ms, 0);
    assert_true(spec.job_records && spec.events == 2 && spec.unmatched_alarm_ms == 0);
    const struct reeve_schedule *schedules = spec.schedules.items;
    assert_int_equal(spec.schedules.len, 2);
    assert_string_equal(schedules[0].name, "nightly");
    assert_string_equal(schedules[0].cron, "0 3 * * *");
    assert_string_equal(schedules[0].time_zone, "Europe/Berlin");
    assert_true(schedules[0].overlap == 1 && schedules[0].missed == 0);
    assert_string_equal(reeve_get_str(schedules[0].job, "type"), "report");
    assert_null(schedules[1].time_zone);
    assert_true(schedules[1].overlap == 0 && schedules[1].missed == 1);
}

static void short_spellings(void **state)
{
    (void)state;
    SPEC_AUTO spec = spec_of("{rate: 10, backoff: 5s, keep_completed: 7d, keep_failed: 1d, keep_cancelled: forever, "
                             "durability: memory}");
    assert_true(spec.rate.count == 10 && spec.rate.per_ms == 1000);
    assert_true(spec.backoff.kind == REEVE_JOB_BACKOFF_EXPONENTIAL && spec.backoff.delay_ms == 5000);
    assert_true(spec.keep_completed.age_ms == 7 * DAY_MS && spec.keep_completed.count == 10000);
    assert_true(spec.keep_failed.age_ms == DAY_MS && spec.keep_cancelled.age_ms == 0);
    assert_int_equal(reeve_queue_bytes_max(&spec), 256 << 20);
    SPEC_AUTO as_in_jobs = spec_of("{backoff: {kind: exponential, delay_ms: 250, max_ms: 500}, id_retention: 1h}");
    assert_true(as_in_jobs.backoff.delay_ms == 250 && as_in_jobs.backoff.max_ms == 500);
    assert_int_equal(as_in_jobs.id_retention_ms, 3600000); // below the presets of what is kept, which it shortens
}

static void encode_again(const char *yaml, unsigned flags)
{
    SPEC_AUTO spec = spec_of(yaml);
    REEVE_VALUE_AUTO map = NULL;
    REEVE_VALUE_AUTO again = NULL;
    SPEC_AUTO back;
    assert_int_equal(reeve_record_encode(&reeve_queue_spec_record, &spec, flags, &map), REEVE_OK);
    reeve_errors_init(&errors, NULL);
    assert_int_equal(reeve_record_decode(&reeve_queue_spec_record, map, "", &back, &errors), REEVE_OK);
    assert_int_equal(reeve_record_encode(&reeve_queue_spec_record, &back, flags, &again), REEVE_OK);
    assert_true(reeve_value_equal(map, again));
    assert_true(back.id_retention_ms == spec.id_retention_ms && back.bytes_max == spec.bytes_max &&
                back.keep_failed.age_ms == spec.keep_failed.age_ms && back.rate.per_ms == spec.rate.per_ms);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const char *const yamls[] = {"{}", full, "{id_retention: forever, keep_completed: forever}"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(yamls); i++) {
        encode_again(yamls[i], 0);
        encode_again(yamls[i], REEVE_ENCODE_SKIP_PRESETS);
    }
    SPEC_AUTO spec = spec_of("{id_retention: forever}");
    REEVE_VALUE_AUTO map = NULL;
    assert_int_equal(reeve_record_encode(&reeve_queue_spec_record, &spec, 0, &map), REEVE_OK);
    assert_string_equal(reeve_get_str(map, "id_retention"), "forever");
    assert_string_equal(reeve_get_str(reeve_value_get(map, "keep_failed"), "age"), "forever");
    assert_string_equal(reeve_get_str(map, "lease"), "15s");
}

#define SCHEDULE(job) "{schedules: [{name: s, cron: '* * * * *', job: " job "}]}"

static void every_mistake_has_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *want; // the first error
    } rows[] = {
        {"{leese: 5s}", "1:2: leese: unknown key, did you mean lease?"},
        {"{durability: disk}", "1:14: durability: \"disk\" is not known, expected one of commit, memory"},
        {"{lease: 1s}", "1:9: lease: 1s is below the minimum of 2s"},
        {"{lease: 2h}", "1:9: lease: 2h is above the maximum of 1h"},
        {"{lease: 15}", "1:9: lease: 15 has no unit, did you mean 15s or 15ms?"},
        {"{attempts: 0}", "1:12: attempts: 0 is below the minimum of 1"},
        {"{attempts: 1001}", "1:12: attempts: 1001 is above the maximum of 1000"},
        {"{max_per_key: 0}", "1:15: max_per_key: 0 is below the minimum of 1"},
        {"{concurrency: -1}", "1:15: concurrency: -1 is below the minimum of 0"},
        {"{rate: {per: 1s}}", "1:14: rate.per: does nothing without count, such as {count: 10, per: 1s}"},
        {"{rate: {count: 5, per: 0}}", "1:24: rate.per: 0 is below the minimum of 10ms"},
        {"{rate: 10/s}", "1:8: rate.count: \"10/s\" is text, expected a whole number from 0 to 1000000"},
        {"{backoff: {kind: linear}}",
         "1:18: backoff.kind: \"linear\" is not known, expected one of fixed, exponential"},
        {"{backoff: {delay: 10s, max: 5s}}", "1:29: backoff.max: max 5s is below delay 10s, with which it begins"},
        {"{backoff: {delay: 10m}}", "1:19: backoff.delay: max 5m is below delay 10m, with which it begins"},
        {"{backoff: {jitter: 2}}", "1:20: backoff.jitter: 2 is out of bounds, expected a number from 0 to 1"},
        {"{bytes_max: 10}", "1:13: bytes_max: 10 is below the minimum of 1M"},
        {"{id_retention: 0}", "1:16: id_retention: 0 is below the minimum of 1m"},
        {"{id_retention: 1h, keep_completed: {age: 2h}}", "1:42: keep_completed.age: 2h is longer than id_retention, "
                                                          "1h: ids are remembered for longer than what is kept "
                                                          "of the job"},
        {"{keep_cancelled: 40d}",
         "1:18: keep_cancelled.age: 40d is longer than id_retention, 30d: ids are remembered for longer than what is "
         "kept of the job"},
        {"{keep_failed: {age: 0}}", "1:21: keep_failed.age: 0 is below the minimum of 1ms"},
        {"{events: jobs}", "1:10: events: \"jobs\" is not known, expected one of none, failures, all"},
        {"{schedules: [{cron: '@daily', job: {type: t}}]}",
         "1:14: schedules[0].name: is missing, expected a name of a-z 0-9 _ -"},
        {"{schedules: [{name: a, job: {type: t}}]}", "1:14: schedules[0].cron: is missing, expected text"},
        {"{schedules: [{name: a, cron: '@daily'}]}", "1:14: schedules[0].job: is missing, expected anything"},
        {"{schedules: [{name: a, cron: '@daily', job: {type: t}}, {name: a, cron: '@daily', job: {type: t}}]}",
         "1:64: schedules[1].name: a is given twice: keep one of them"},
        {SCHEDULE("5"), "1:48: schedules[0].job: whole number given, expected a job: a map with its type"},
        {SCHEDULE("{}"), "1:48: schedules[0].job.type: is missing, expected 1 to 63 of A-Z a-z 0-9 _ - ."},
        {SCHEDULE("{type: t, priority: 12}"),
         "1:68: schedules[0].job.priority: is 12, expected a whole number from 0 to 9"},
        {SCHEDULE("{type: t, backoff: {kind: x}}"),
         "1:48: schedules[0].job.backoff.kind: is \"x\", expected fixed or exponential"},
        {SCHEDULE("{type: t, id: x}"),
         "1:62: schedules[0].job.id: the id of a scheduled job is made of the schedule's name and its time"},
        {SCHEDULE("{type: t, run_at: 5}"), "1:66: schedules[0].job.run_at: cron says when a scheduled job runs"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_queue_spec spec;
        char text[600];
        assert_int_equal(decode(rows[i].yaml, &spec), REEVE_INVALID);
        if (strcmp(reeve_error_format(&errors, 0, text, sizeof(text)), rows[i].want) != 0) {
            fail_msg("%s gives\n%s\nexpected\n%s", rows[i].yaml, text, rows[i].want);
        }
        assert_int_equal(errors.errors, 1); // one mistake, one error
    }
}

static void pairs_that_are_no_mistake(void **state)
{
    (void)state;
    static const char *const yamls[] = {
        "{backoff: {kind: fixed, delay: 10m}}", // max is for exponential
        "{id_retention: forever, keep_completed: 3000d}",
        "{id_retention: 5m}",
        "{keep_failed: forever}",
        "{rate: {count: 0, per: 5s}}",
        SCHEDULE("{type: t, delay_ms: 5000, key: k, requires: [gpu]}"),
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(yamls); i++) {
        SPEC_AUTO spec = spec_of(yamls[i]);
        assert_int_equal(errors.len, 0);
        assert_int_equal(spec.poison_after, 3); // it was decoded
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets),
        cmocka_unit_test(every_key),
        cmocka_unit_test(short_spellings),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(every_mistake_has_its_place),
        cmocka_unit_test(pairs_that_are_no_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
