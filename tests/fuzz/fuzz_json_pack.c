// JSON to msgpack in one pass, beside the readers of all rules: where it is sure it makes their bytes; and the same
// text as a line of an import.
#include "fuzz.h"

#include "job_line.h"

#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>

static const struct reeve_limits limits = {
    .bytes_max = 1u << 20, .depth_max = JSON_PACK_DEPTH_MAX, .entries_max = JSON_PACK_ITEMS_MAX};

static void compare(const char *text, size_t len)
{
    unsigned char *out = malloc(JSON_PACK_BOUND(len));
    struct json_pack pack = {.at = text, .end = text + len, .out = out};
    struct reeve_value *value = NULL;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    json_pack_space(&pack);
    if (out != NULL && json_pack_value(&pack, JSON_PACK_DEPTH_MAX)) {
        json_pack_space(&pack);
        size_t out_len = (size_t)(pack.out - out);
        REEVE_ASSERT(out_len <= JSON_PACK_BOUND(len));
        if (pack.at == pack.end) {
            REEVE_ASSERT(reeve_json_read(text, len, &limits, NULL, &value, NULL) == REEVE_OK);
            REEVE_ASSERT(reeve_msgpack_write(value, &buf) == REEVE_OK);
            REEVE_ASSERT(buf.len == out_len && memcmp(buf.data, out, out_len) == 0);
        }
    }
    reeve_value_free(value);
    free(out);
}

static void import(const char *text, size_t len)
{
    struct job_line how;
    struct reeve_why why = {0};
    struct reeve_value *given = reeve_value_map();
    struct reeve_job_spec spec;
    reeve_put_str(given, "type", "send");
    reeve_put_int(given, "delay_ms", 5);
    REEVE_ASSERT(job_line_init(&how, given, "fuzz", &why) == REEVE_OK);
    unsigned char *out = malloc(JOB_LINE_BOUND(&how, len));
    if (out != NULL && job_line_pack(&how, text, len, 17, out, &spec, &why) == REEVE_OK) {
        struct reeve_value *job = NULL;
        REEVE_ASSERT(spec.raw.len <= JOB_LINE_BOUND(&how, len));
        REEVE_ASSERT(reeve_msgpack_read(spec.raw.data, spec.raw.len, &reeve_limits_wire, NULL, &job, &why) == REEVE_OK);
        REEVE_ASSERT(reeve_get_str(job, "id") != NULL && reeve_get_str(job, "type") != NULL);
        reeve_value_free(job);
    }
    free(out);
    job_line_done(&how);
    reeve_value_free(given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    compare((const char *)data, size);
    import((const char *)data, size);
    return 0;
}
