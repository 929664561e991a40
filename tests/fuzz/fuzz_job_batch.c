// Any bytes as a manager's message to a worker: what is accepted is written again and reads back the same.
#include "fuzz.h"

#include <reeve/job.h>

static struct reeve_cursor list_of(struct reeve_span list, size_t *ret_len)
{
    struct reeve_cursor cursor = REEVE_CURSOR(list.data, list.len);
    *ret_len = list.len > 0 ? reeve_cursor_list(&cursor) : 0;
    return cursor;
}

static void jobs_again(struct reeve_job_batch_writer *writer, struct reeve_span list)
{
    size_t left;
    struct reeve_cursor cursor = list_of(list, &left);
    for (; left > 0; left--) {
        struct reeve_job_item item;
        if (reeve_job_item_read(&cursor, &item) == REEVE_OK) {
            reeve_job_batch_job(writer, &item);
        }
    }
    REEVE_ASSERT(list.len == 0 || reeve_cursor_end(&cursor, NULL) == REEVE_OK); // the message was checked
}

static void notices_again(struct reeve_job_batch_writer *writer, struct reeve_span list,
                          void (*put)(struct reeve_job_batch_writer *writer, const struct reeve_job_notice *notice))
{
    size_t left;
    struct reeve_cursor cursor = list_of(list, &left);
    for (; left > 0; left--) {
        struct reeve_job_notice notice;
        if (reeve_job_notice_read(&cursor, &notice) == REEVE_OK) {
            put(writer, &notice);
        }
    }
    REEVE_ASSERT(list.len == 0 || reeve_cursor_end(&cursor, NULL) == REEVE_OK);
}

// What is right of `batch`, written anew.
static void write_again(const struct reeve_job_batch *batch, struct reeve_buf *buf)
{
    struct reeve_job_batch_writer writer;
    reeve_job_batch_begin(&writer, buf, batch);
    jobs_again(&writer, batch->jobs);
    notices_again(&writer, batch->cancels, reeve_job_batch_cancel);
    notices_again(&writer, batch->abandons, reeve_job_batch_abandon);
    REEVE_ASSERT(reeve_job_batch_end(&writer) == REEVE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_BUF_AUTO once = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO twice = REEVE_BUF_INIT(0);
    struct reeve_job_batch batch;
    struct reeve_why why = {.text = ""};
    if (reeve_job_batch_read(data, len, &batch, &why) != REEVE_OK) {
        REEVE_ASSERT(why.text[0] != '\0');
        return 0;
    }
    write_again(&batch, &once);
    REEVE_ASSERT(reeve_job_batch_read(once.data, once.len, &batch, NULL) == REEVE_OK);
    write_again(&batch, &twice);
    REEVE_ASSERT(reeve_span_eq((struct reeve_span){once.data, once.len}, (struct reeve_span){twice.data, twice.len}));
    return 0;
}
