// Any bytes as what a command writes to stdout, in pieces as the first byte says: what is told is whole, the result
// keeps its bound, and both are the same however it was cut.
#include "fuzz.h"

#include "output.h"

#include <string.h>

#define RESULT_MAX 64

struct told {
    uint64_t sum; // of what was told, in order
    size_t lines;
};

static void on_line(struct output_line *line, void *arg)
{
    struct told *told = arg;
    REEVE_ASSERT(line->mistake != NULL || line->kind != OUTPUT_PROGRESS ||
                 (line->progress >= 0 && line->progress <= 1));
    REEVE_ASSERT(line->mistake != NULL || line->kind != OUTPUT_CHECKPOINT || line->data != NULL);
    told->lines++;
    told->sum = told->sum * 31 + (uint64_t)line->kind * 2 + (line->mistake != NULL);
    told->sum = told->sum * 31 + (line->data == NULL ? 0 : reeve_value_digest(line->data));
    told->sum = told->sum * 31 + strlen(line->text);
}

static struct told run(const char *text, size_t len, size_t piece, struct reeve_value **ret_result)
{
    struct told told = {0};
    struct output output;
    output_init(&output, RESULT_MAX, on_line, &told);
    for (size_t at = 0; at < len; at += piece) {
        output_feed(&output, text + at, len - at < piece ? len - at : piece);
    }
    output_end(&output);
    REEVE_ASSERT(output.result.len <= RESULT_MAX && output.result_bytes <= len);
    REEVE_ASSERT(output_result(&output, OUTPUT_AUTO, ret_result) == REEVE_OK);
    output_done(&output);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    REEVE_VALUE_AUTO whole_result = NULL;
    REEVE_VALUE_AUTO cut_result = NULL;
    const struct told whole = run(text, len - 1, len, &whole_result);
    const struct told cut = run(text, len - 1, (size_t)data[0] % 40 + 1, &cut_result);
    REEVE_ASSERT(whole.lines == cut.lines && whole.sum == cut.sum);
    REEVE_ASSERT(reeve_value_equal(whole_result, cut_result));
    return 0;
}
