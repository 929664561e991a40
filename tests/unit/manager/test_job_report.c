// Reports that are wrong in part: what is right of them counts, whoever wrote them.
#include "queue_fixture.h"

#define DEEP "[[[[[[[[[[[[[1]]]]]]]]]]]]]" // 13 containers, one more than is kept

static struct qf qf;

static int set_up(void **state)
{
    (void)state;
    qf_init(&qf);
    (void)qf_op(&qf, "q", "apply", NULL);
    qf_hello(&qf, "q", "w", 8, "[work]");
    qf_add(&qf, "q", "{id: a, type: work}");
    qf_add(&qf, "q", "{id: b, type: work}");
    qf_add(&qf, "q", "{id: c, type: work}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qf_done(&qf);
    return 0;
}

// The report of `w` as somebody else's program may write it.
static void says(const char *more)
{
    static const char head[] = "worker: alpha/w, epoch: 1, capacity: 8, seq: ";
    const struct link *link = reeve_map_get(qf_queue(&qf, "q")->links, "alpha/w");
    char text[1000];
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    assert_non_null(link);
    (void)snprintf(text, sizeof text, "{%s%lld, got: %lld, %s}", head, (long long)link->report_seq + 1,
                   (long long)link->batch_seq, more);
    REEVE_VALUE_AUTO value = fake_parse(text);
    assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
    (void)fake_deliver_bytes(&qf.fake, "queue/q/report", buf.data, buf.len, false);
    qf_turn(&qf);
}

// Batches that tell the worker to let go of it.
static size_t abandons(const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < qf.posted_len; i++) {
        struct reeve_job_batch batch;
        struct reeve_job_notice notice;
        if (strstr(qf.posted[i].topic, "/job") == NULL ||
            reeve_job_batch_read(qf.posted[i].bytes, qf.posted[i].len, &batch, NULL) != REEVE_OK) {
            continue;
        }
        struct reeve_cursor cursor = REEVE_CURSOR(batch.abandons.data, batch.abandons.len);
        for (size_t n = batch.abandons.len > 0 ? reeve_cursor_list(&cursor) : 0; n > 0; n--) {
            assert_int_equal(reeve_job_notice_read(&cursor, &notice), REEVE_OK);
            count += reeve_span_is(notice.id, id);
        }
    }
    return count;
}

static void an_entry_that_is_none_leaves_those_behind_it(void **state)
{
    (void)state;
    says("entries: [5, {}, {id: a, attempt: 1, outcome: perhaps}, {id: b, attempt: 1, outcome: done}]");
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
    assert_string_equal(qf_state(&qf, "q", "b"), "completed");
}

// What is done is done, whatever it says.
static void a_result_that_is_not_kept_ends_its_job(void **state)
{
    (void)state;
    says("entries: [{id: a, attempt: 1, outcome: done, data: " DEEP "}, {id: b, attempt: 1, outcome: done}]");
    assert_string_equal(qf_state(&qf, "q", "a"), "completed");
    assert_string_equal(qf_state(&qf, "q", "b"), "completed");
}

// Its acknowledgement would say that it is kept.
static void a_checkpoint_that_is_not_kept_fails_its_job(void **state)
{
    (void)state;
    says("entries: [{id: a, attempt: 1, outcome: checkpoint, data: " DEEP "}, {id: b, attempt: 1, outcome: no_return, "
         "data: " DEEP "}, {id: c, attempt: 1, outcome: progress, progress: 0.5, data: " DEEP "}]");
    assert_string_equal(qf_state(&qf, "q", "a"), "failed");
    assert_string_equal(qf_state(&qf, "q", "b"), "failed");
    assert_string_equal(qf_state(&qf, "q", "c"), "active");
    assert_true(abandons("a") == 1 && abandons("b") == 1 && abandons("c") == 0);
}

static void a_pair_that_is_none_leaves_the_rest_of_the_hand(void **state)
{
    (void)state;
    says("hello: true, types: [work], hand: [7, [b], [a, 1], [b, 1], [c, 1]]");
    assert_string_equal(qf_state(&qf, "q", "a"), "active");
    assert_int_equal(qf_job(&qf, "q", "a")->attempt, 1);
    assert_int_equal(qf_job(&qf, "q", "c")->attempt, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_that_is_none_leaves_those_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_result_that_is_not_kept_ends_its_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_that_is_not_kept_fails_its_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pair_that_is_none_leaves_the_rest_of_the_hand, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
