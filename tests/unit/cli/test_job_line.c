// Lines of an import to jobs: ids, what the options say of lines that do not, mistakes with their places.
#include "cmocka_all.h"

#include "job_line.h"

#include <reeve/codec.h>
#include <stdlib.h>

static struct reeve_why why;

static struct reeve_value *json(const char *text)
{
    struct reeve_value *value = NULL;
    assert_int_equal(reeve_json_read(text, strlen(text), &reeve_limits_wire, NULL, &value, &why), REEVE_OK);
    return value;
}

// The job of a line as JSON; NULL with `why`.
static char *job_of(const char *given, const char *text, uint64_t line)
{
    static char shown[4096];
    struct job_line how;
    REEVE_VALUE_AUTO defaults = json(given);
    REEVE_VALUE_AUTO job = NULL;
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(sizeof shown - 1);
    struct reeve_job_spec spec;
    assert_int_equal(job_line_init(&how, defaults, "b1", &why), REEVE_OK);
    unsigned char *packed = malloc(JOB_LINE_BOUND(&how, strlen(text)));
    enum reeve_err err = job_line_pack(&how, text, strlen(text), line, packed, &spec, &why);
    if (err == REEVE_OK) {
        assert_int_equal(reeve_msgpack_read(spec.raw.data, spec.raw.len, &reeve_limits_wire, NULL, &job, &why),
                         REEVE_OK);
        assert_int_equal(reeve_json_write(job, 0, &out), REEVE_OK);
        (void)snprintf(shown, sizeof shown, "%s", reeve_buf_str(&out));
    }
    free(packed);
    job_line_done(&how);
    return err == REEVE_OK ? shown : NULL;
}

static void becomes(const char *given, const char *text, const char *expected)
{
    const char *job = job_of(given, text, 17);
    if (job == NULL) {
        fail_msg("%s: %s: %s", text, why.place, why.text);
    }
    assert_string_equal(job, expected);
}

static void refused(const char *text, const char *place, const char *says)
{
    if (job_of("{}", text, 17) != NULL) {
        fail_msg("%s is taken", text);
    }
    assert_string_equal(why.place, place);
    if (strstr(why.text, says) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, why.text, says);
    }
}

static void a_line_without_an_id_gets_one_of_batch_and_line(void **state)
{
    (void)state;
    becomes("{}", "{\"type\":\"send\"}", "{\"type\":\"send\",\"id\":\"b1-17\"}");
    becomes("{}", "{\"type\":\"send\",\"id\":\"x\"}", "{\"type\":\"send\",\"id\":\"x\"}");
    becomes("{}", "{\"id\":null,\"type\":\"send\"}", "{\"type\":\"send\",\"id\":\"b1-17\"}");
    struct job_line how = {.batch_id = "monday"};
    char id[REEVE_JOB_ID_SIZE];
    assert_string_equal(job_line_id(&how, 1, id), "monday-1");
    assert_string_equal(job_line_id(&how, 10, id), "monday-10");
    assert_string_equal(job_line_id(&how, 18446744073709551615u, id), "monday-18446744073709551615");
    memset(how.batch_id, 'b', JOB_BATCH_ID_LEN_MAX);
    assert_true(strlen(job_line_id(&how, 9999999999u, id)) < REEVE_JOB_ID_SIZE);
}

static void options_are_for_lines_that_do_not_say(void **state)
{
    (void)state;
    becomes("{\"type\":\"send\",\"priority\":7}", "{\"payload\":1}",
            "{\"payload\":1,\"id\":\"b1-17\",\"type\":\"send\",\"priority\":7}");
    becomes("{\"type\":\"send\",\"priority\":7}", "{\"priority\":1,\"type\":\"x\",\"id\":\"a\"}",
            "{\"priority\":1,\"type\":\"x\",\"id\":\"a\"}");
    becomes("{\"type\":\"send\"}", "{\"type\":null,\"id\":\"a\"}", "{\"id\":\"a\",\"type\":\"send\"}");
    // Only one of the two times may be said.
    becomes("{\"delay_ms\":5}", "{\"type\":\"x\",\"id\":\"a\",\"run_at\":9}",
            "{\"type\":\"x\",\"id\":\"a\",\"run_at\":9}");
    becomes("{\"delay_ms\":5}", "{\"type\":\"x\",\"id\":\"a\"}", "{\"type\":\"x\",\"id\":\"a\",\"delay_ms\":5}");
    // The same where all rules are needed: a surrogate pair.
    becomes("{\"delay_ms\":5,\"priority\":2}", "{\"type\":\"x\",\"run_at\":9,\"payload\":\"\\ud83d\\ude42\"}",
            "{\"type\":\"x\",\"run_at\":9,\"payload\":\"\xf0\x9f\x99\x82\",\"id\":\"b1-17\",\"priority\":2}");
}

static void mistakes_have_their_places(void **state)
{
    (void)state;
    refused("{\"type\":\"send\",}", "17:16", "");
    refused("{\"type\":\"send\",\"payload\":tru}", "17:26", "");
    refused("[1,2]", "17", "list given, expected a job");
    refused("{\"payload\":1}", "17", "type");
    refused("{\"type\":\"send\",\"payloda\":1}", "17", "payloda");
    refused("{\"type\":\"send\",\"priority\":11}", "17", "priority");
    refused("{\"type\":\"a b\"}", "17", "type");
    refused("{\"type\":\"send\",\"id\":\"a/b\"}", "17", "id");
    refused("{\"type\":\"send\",\"type\":\"send\"}", "17:16", "");
    refused("{\"type\":\"send\",\"delay_ms\":5,\"run_at\":7}", "17", "");
}

static void what_is_blank_is_no_job(void **state)
{
    (void)state;
    assert_true(job_line_is_blank("", 0));
    assert_true(job_line_is_blank(" \t\r", 3));
    assert_false(job_line_is_blank(" {", 2));
}

static void a_batch_id_is_the_beginning_of_ids(void **state)
{
    (void)state;
    struct job_line how;
    char text[JOB_BATCH_ID_LEN_MAX + 2];
    memset(text, 'x', sizeof text);
    text[JOB_BATCH_ID_LEN_MAX + 1] = '\0';
    assert_int_equal(job_line_init(&how, NULL, "a.b", &why), REEVE_INVALID);
    assert_int_equal(job_line_init(&how, NULL, "", &why), REEVE_INVALID);
    assert_int_equal(job_line_init(&how, NULL, text, &why), REEVE_INVALID);
    text[JOB_BATCH_ID_LEN_MAX] = '\0';
    assert_int_equal(job_line_init(&how, NULL, text, &why), REEVE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_without_an_id_gets_one_of_batch_and_line),
        cmocka_unit_test(options_are_for_lines_that_do_not_say),
        cmocka_unit_test(mistakes_have_their_places),
        cmocka_unit_test(what_is_blank_is_no_job),
        cmocka_unit_test(a_batch_id_is_the_beginning_of_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
