// What `watch` and `decode --hex` make of bytes.
#include "cmocka_all.h"
#include "payload.h"

#include <reeve/codec.h>

static void shown(const char *bytes, size_t len, const char *json)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO value = payload_value(bytes, len);
    assert_int_equal(reeve_json_write(value, 0, &out), REEVE_OK);
    assert_string_equal(reeve_buf_str(&out), json);
}

static void each_kind_of_payload_is_shown_as_what_it_is(void **state)
{
    (void)state;
    shown("", 0, "null");
    shown("\x81\xa1"
          "a\x05",
          4, "{\"a\":5}");
    shown("\x92\x01\x02", 3, "[1,2]");
    shown("{\"a\": 5}", 8, "{\"a\":5}");
    shown("5", 1, "\"5\""); // as msgpack it would be 53
    shown("stop", 4, "\"stop\"");
    shown("{no json", 8, "\"{no json\"");
    shown("\x81\xa1"
          "a",
          3, "{\"$bin\":\"gaFh\"}");          // cut short
    shown("\xa1x", 2, "{\"$bin\":\"oXg=\"}"); // as msgpack a string: only containers are taken for it
    shown("\xff\xfe", 2, "{\"$bin\":\"//4=\"}");
}

static void hexadecimal(void **state)
{
    (void)state;
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    struct reeve_why why;
    assert_int_equal(payload_unhex("81a1 61\n05", 10, &out, &why), REEVE_OK);
    assert_int_equal(out.len, 4);
    assert_memory_equal(out.data,
                        "\x81\xa1"
                        "a\x05",
                        4);
    reeve_buf_reset(&out);
    assert_int_equal(payload_unhex("FFfe", 4, &out, &why), REEVE_OK);
    assert_memory_equal(out.data, "\xff\xfe", 2);
    assert_int_equal(payload_unhex("8", 1, &out, &why), REEVE_INVALID);
    assert_int_equal(payload_unhex("8g", 2, &out, &why), REEVE_INVALID);
    assert_int_equal(payload_unhex("81 xy", 5, &out, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "character 4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_payload_is_shown_as_what_it_is),
        cmocka_unit_test(hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
