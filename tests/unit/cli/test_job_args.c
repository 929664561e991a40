// From options to jobs, filters and specs of queues.
#include "cmocka_all.h"

#include "job_args.h"
#include "progress.h"
#include "queue_args.h"

#include <reeve/codec.h>
#include <stdlib.h>
#include <time.h>

static struct invocation inv;
static struct reeve_why why;

typedef enum reeve_err reader(const char *line, struct reeve_value *ret);

static enum reeve_err read_job(const char *line, struct reeve_value *ret)
{
    assert_int_equal(parse_line(line, &inv, &why), REEVE_OK);
    return job_args_put_spec(&inv, inv.args_len > 1 ? inv.args[1] : NULL, ret, &why);
}

static enum reeve_err read_filter(const char *line, struct reeve_value *ret)
{
    assert_int_equal(parse_line(line, &inv, &why), REEVE_OK);
    return job_args_put_filter(&inv, ret, &why);
}

static enum reeve_err read_queue(const char *line, struct reeve_value *ret)
{
    struct queue_items items = {0};
    assert_int_equal(parse_line(line, &inv, &why), REEVE_OK);
    enum reeve_err err = queue_args_one(&inv, inv.args[0], NULL, &items, &why);
    for (size_t i = 0; err == REEVE_OK && i < reeve_value_len(items.items[0].spec); i++) {
        (void)reeve_value_put(ret, reeve_value_key(items.items[0].spec, i),
                              reeve_value_clone(reeve_value_at(items.items[0].spec, i)));
    }
    queue_items_done(&items);
    return err;
}

static void becomes(reader *read, const char *line, const char *json)
{
    REEVE_VALUE_AUTO value = reeve_value_map();
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    if (read(line, value) != REEVE_OK) {
        fail_msg("%s: %s", line, why.text);
    }
    assert_int_equal(reeve_json_write(value, 0, &text), REEVE_OK);
    assert_string_equal(reeve_buf_str(&text), json);
}

static void refused(reader *read, const char *line, const char *says)
{
    REEVE_VALUE_AUTO value = reeve_value_map();
    assert_int_equal(read(line, value), REEVE_INVALID);
    char text[sizeof why];
    if (strstr(reeve_why_format(&why, text, sizeof text), says) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", line, text, says);
    }
}

static void options_become_a_job(void **state)
{
    (void)state;
    becomes(read_job, "job add mail send", "{\"type\":\"send\"}");
    becomes(read_job, "job add mail send -p {\"to\":[1,2]} --id a --key k --priority 9 --attempts 2 --job-timeout 30s",
            "{\"type\":\"send\",\"id\":\"a\",\"key\":\"k\",\"priority\":9,\"attempts\":2,\"timeout_ms\":30000,"
            "\"payload\":{\"to\":[1,2]}}");
    becomes(read_job, "job add mail send --delay 1m30s -r cpus>=4 -r !gpu --after a --after b",
            "{\"type\":\"send\",\"delay_ms\":90000,\"requires\":[\"cpus>=4\",\"!gpu\"],\"after\":[\"a\",\"b\"]}");
    becomes(read_job, "job add mail send --run-at 2026-11-23T08:00:00Z",
            "{\"type\":\"send\",\"run_at\":1795420800000}");
    becomes(read_job, "job add mail send --dedupe kim",
            "{\"type\":\"send\",\"dedupe\":{\"key\":\"kim\",\"window_ms\":3600000}}");
    becomes(read_job, "job add mail send --dedupe kim --dedupe-window 5m",
            "{\"type\":\"send\",\"dedupe\":{\"key\":\"kim\",\"window_ms\":300000}}");
}

static void mistakes_of_a_job_name_the_option(void **state)
{
    (void)state;
    refused(read_job, "job add mail se/nd", "TYPE: 'se/nd'");
    refused(read_job, "job add mail send -p {\"to\":", "--payload:1:");
    refused(read_job, "job add mail send --id a.b", "--id: 'a.b'");
    refused(read_job, "job add mail send --after a.b", "--after: 'a.b'");
    refused(read_job, "job add mail send --priority 10", "--priority: '10' given, expected 0 to 9");
    refused(read_job, "job add mail send --attempts 0", "--attempts: '0'");
    refused(read_job, "job add mail send --delay 5", "--delay:");
    refused(read_job, "job add mail send --delay 5s --run-at 2026-11-23T08:00", "which of them?");
    refused(read_job, "job add mail send --run-at tomorrow", "--run-at: 'tomorrow'");
    refused(read_job, "job add mail send --job-timeout soon", "--job-timeout:");
    refused(read_job, "job add mail send -r cpus>=", "--require:");
    refused(read_job, "job add mail send --dedupe-window 5m", "--dedupe KEY");
}

static void times_are_read_with_and_without_a_zone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at;
    } rows[] = {{"2026-11-23T08:00Z", 1795420800000},      {"2026-11-23 08:00:00Z", 1795420800000},
                {"2026-11-23T09:00+01:00", 1795420800000}, {"2026-11-23T04:30-0330", 1795420800000},
                {"2026-11-23T09:00+01", 1795420800000},    {"2026-11-23T08:00:01.5Z", 1795420801500},
                {"2026-11-23T03:00", 1795420800000},       {"1795420800000", 1795420800000}};
    int64_t at = 0;
    (void)setenv("TZ", "EST5", 1);
    tzset();
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        assert_int_equal(job_args_time(rows[i].text, &at, &why), REEVE_OK);
        assert_int_equal(at, rows[i].at);
    }
    static const char *const wrong[] = {"",
                                        "8",
                                        "2026-11-23",
                                        "2026-11-23T25:00",
                                        "2026-11-23T08:00X",
                                        "2026-11-23T08:00+",
                                        "2026-11-23T08:00+1",
                                        "2026-11-23T08:00+15:00",
                                        "2026-11-23T08:00+01:60",
                                        "-5"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        if (job_args_time(wrong[i], &at, &why) != REEVE_INVALID) {
            fail_msg("'%s' is taken", wrong[i]);
        }
    }
}

static void options_become_a_filter(void **state)
{
    (void)state;
    becomes(read_filter, "job retry mail", "{}");
    becomes(read_filter, "job retry mail --state failed --type se* --key k --error *time* --older-than 1h --limit 5",
            "{\"state\":\"failed\",\"type\":\"se*\",\"error\":\"*time*\",\"key\":\"k\",\"older_than_ms\":3600000,"
            "\"limit\":5}");
    refused(read_filter, "job retry mail --state dead", "--state: 'dead'");
    refused(read_filter, "job retry mail --older-than 1", "--older-than:");
    refused(read_filter, "job retry mail --limit 0", "--limit: '0'");
}

static void options_become_a_queue(void **state)
{
    (void)state;
    becomes(read_queue, "queue create mail", "{}");
    becomes(read_queue, "queue create mail --attempts 3", "{}"); // which is the preset
    becomes(read_queue,
            "queue create mail --durability memory --concurrency 20 --max-per-key 2 --rate 100/2s --attempts 5",
            "{\"durability\":\"memory\",\"concurrency\":20,\"max_per_key\":2,\"rate\":{\"count\":100,\"per\":\"2s\"},"
            "\"attempts\":5}");
    becomes(read_queue, "queue create mail --rate 0 --job-timeout 30s", "{\"timeout\":\"30s\"}");
    refused(read_queue, "queue create mail --durability disk", "--durability:");
    refused(read_queue, "queue create mail --rate 100", "--rate: '100'");
    refused(read_queue, "queue create mail --rate x/1s", "--rate: 'x/1s'");
    refused(read_queue, "queue create mail --rate 5/soon", "--rate:");
    refused(read_queue, "queue create mail --job-timeout 5", "--job-timeout:");
    refused(read_queue, "queue create mail --concurrency -1", "--concurrency:");
}

static void says(uint64_t count, double share, int64_t elapsed_ms, const char *expected)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    progress_text("jobs", count, share, elapsed_ms, &text);
    assert_string_equal(reeve_buf_str(&text), expected);
}

static void progress_tells_what_is_known(void **state)
{
    (void)state;
    says(0, -1, 0, "0 jobs");
    says(5000, -1, 500, "5000 jobs  10000/s");
    says(5000, 0.25, 500, "5000 jobs  [#####...............]  25%  10000/s  2s left");
    says(9, 1.5, 1000, "9 jobs  [####################] 100%  9/s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_become_a_job),
        cmocka_unit_test(mistakes_of_a_job_name_the_option),
        cmocka_unit_test(times_are_read_with_and_without_a_zone),
        cmocka_unit_test(options_become_a_filter),
        cmocka_unit_test(options_become_a_queue),
        cmocka_unit_test(progress_tells_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
