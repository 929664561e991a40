// The words of the lifecycle, both ways, and out of range.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include <reeve/lifecycle.h>

static void every_state_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i < REEVE_STATE_COUNT; i++) {
        enum reeve_state back = REEVE_STATE_COUNT;
        assert_true(reeve_state_parse(reeve_state_text((enum reeve_state)i), &back));
        assert_int_equal(back, i);
    }
    assert_string_equal(reeve_state_text(REEVE_STATE_RESTARTING), "restarting");
}

static void a_word_that_is_no_state_leaves_the_result_alone(void **state)
{
    (void)state;
    enum reeve_state ret = REEVE_STATE_FAILED;
    assert_false(reeve_state_parse("Running", &ret));
    assert_false(reeve_state_parse("", &ret));
    assert_false(reeve_state_parse(NULL, &ret));
    assert_int_equal(ret, REEVE_STATE_FAILED);
}

static void numbers_out_of_range_have_a_word(void **state)
{
    (void)state;
    assert_string_equal(reeve_state_text((enum reeve_state)99), "unknown");
    assert_string_equal(reeve_event_text((enum reeve_event)99), "unknown");
    assert_string_equal(reeve_availability_text((enum reeve_availability)99), "");
    assert_string_equal(reeve_liveness_text((enum reeve_liveness)99), "absent");
    assert_string_equal(reeve_source_text((enum reeve_source)99), "inferred");
}

static void every_availability_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i <= REEVE_AVAILABILITY_OFFLINE; i++) {
        enum reeve_availability back = REEVE_AVAILABILITY_NONE;
        assert_true(reeve_availability_parse(reeve_availability_text((enum reeve_availability)i), &back));
        assert_int_equal(back, i);
    }
    enum reeve_availability ret = REEVE_AVAILABILITY_PAUSED;
    assert_false(reeve_availability_parse("asleep", &ret));
    assert_int_equal(ret, REEVE_AVAILABILITY_PAUSED);
}

static void the_words_of_liveness_and_source(void **state)
{
    (void)state;
    const char *const liveness[] = {"absent", "live", "stale", "dead", "left"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(liveness); i++) {
        assert_string_equal(reeve_liveness_text((enum reeve_liveness)i), liveness[i]);
    }
    assert_string_equal(reeve_source_text(REEVE_SOURCE_OBSERVED), "observed");
    assert_string_equal(reeve_source_text(REEVE_SOURCE_INFERRED), "inferred");
}

static void three_states_have_a_process(void **state)
{
    (void)state;
    int count = 0;
    for (int i = 0; i < REEVE_STATE_COUNT; i++) {
        count += reeve_state_has_process((enum reeve_state)i);
    }
    assert_int_equal(count, 3);
    assert_true(reeve_state_has_process(REEVE_STATE_STARTING));
    assert_true(reeve_state_has_process(REEVE_STATE_RUNNING));
    assert_true(reeve_state_has_process(REEVE_STATE_STOPPING));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_reads_back),
        cmocka_unit_test(a_word_that_is_no_state_leaves_the_result_alone),
        cmocka_unit_test(numbers_out_of_range_have_a_word),
        cmocka_unit_test(every_availability_reads_back),
        cmocka_unit_test(the_words_of_liveness_and_source),
        cmocka_unit_test(three_states_have_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
