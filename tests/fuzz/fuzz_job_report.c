// Any bytes as a worker's report: what is accepted is written again and reads back the same.
#include "fuzz.h"

#include <reeve/job.h>

static void read_hand(struct reeve_span hand)
{
    struct reeve_cursor cursor = REEVE_CURSOR(hand.data, hand.len);
    for (size_t left = hand.len > 0 ? reeve_cursor_list(&cursor) : 0; left > 0; left--) {
        struct reeve_span id;
        int64_t attempt;
        if (reeve_job_hand_read(&cursor, &id, &attempt) == REEVE_OK) {
            REEVE_ASSERT(reeve_job_id_valid(id) && attempt > 0);
        }
    }
    REEVE_ASSERT(hand.len == 0 || reeve_cursor_end(&cursor, NULL) == REEVE_OK); // the message was checked
}

// What is right of `report`, written anew.
static void write_again(const struct reeve_job_report *report, struct reeve_buf *buf)
{
    struct reeve_job_report_writer writer;
    struct reeve_cursor cursor = REEVE_CURSOR(report->entries.data, report->entries.len);
    reeve_job_report_begin(&writer, buf, report);
    for (size_t left = report->entries.len > 0 ? reeve_cursor_list(&cursor) : 0; left > 0; left--) {
        struct reeve_job_entry entry;
        if (reeve_job_entry_read(&cursor, &entry) == REEVE_OK) {
            reeve_job_report_entry(&writer, &entry);
        }
    }
    REEVE_ASSERT(report->entries.len == 0 || reeve_cursor_end(&cursor, NULL) == REEVE_OK);
    REEVE_ASSERT(reeve_job_report_end(&writer) == REEVE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    REEVE_BUF_AUTO once = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO twice = REEVE_BUF_INIT(0);
    struct reeve_job_report report;
    struct reeve_why why = {.text = ""};
    if (reeve_job_report_read(data, len, &report, &why) != REEVE_OK) {
        REEVE_ASSERT(why.text[0] != '\0');
        return 0;
    }
    read_hand(report.hand);
    write_again(&report, &once);
    REEVE_ASSERT(reeve_job_report_read(once.data, once.len, &report, NULL) == REEVE_OK);
    write_again(&report, &twice);
    REEVE_ASSERT(reeve_span_eq((struct reeve_span){once.data, once.len}, (struct reeve_span){twice.data, twice.len}));
    return 0;
}
