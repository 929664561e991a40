// Addresses of brokers and the record `broker:`.
#include "../../../shared/bus/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <reeve/bus.h>
#include <reeve/codec.h>
#include <string.h>

static void good_urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *paho;
        bool tls;
    } cases[] = {
        {"mqtt://127.0.0.1", "tcp://127.0.0.1:1883", false},
        {"mqtt://broker.example:1", "tcp://broker.example:1", false},
        {"mqtt://h:65535/", "tcp://h:65535", false},
        {"mqtts://h", "ssl://h:8883", true},
        {"ws://h", "ws://h:80", false},
        {"ws://h:9001/mqtt", "ws://h:9001/mqtt", false},
        {"wss://h/a/b?c=d", "wss://h:443/a/b?c=d", true},
        {"mqtt://[::1]", "tcp://[::1]:1883", false},
        {"mqtts://[fe80::1%eth0]:88", "ssl://[fe80::1%eth0]:88", true},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        struct reeve_url url;
        struct reeve_why why = {0};
        char buf[REEVE_URL_PAHO_SIZE];
        if (reeve_url_parse(cases[i].text, &url, &why) != REEVE_OK) {
            fail_msg("%s: %s", cases[i].text, why.text);
        }
        assert_string_equal(reeve_url_paho(&url, buf), cases[i].paho);
        assert_int_equal(url.tls, cases[i].tls);
    }
}

static void bad_urls_are_refused_with_the_reason(void **state)
{
    (void)state;
    static char long_host[400], long_path[400];
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"", "does not begin with"},
        {NULL, "does not begin with"},
        {"http://h", "does not begin with"},
        {"MQTT://h", "does not begin with"},
        {"mqtt://", "no host"},
        {"mqtt://:1883", "no host"},
        {"mqtt://h:", "port"},
        {"mqtt://h:0", "port"},
        {"mqtt://h:65536", "port"},
        {"mqtt://h:123456", "port"},
        {"mqtt://h:1x", "port"},
        {"mqtt://h: 1", "port"},
        {"mqtt://joe:secret@h", "user name"},
        {"mqtt://h/path", "path"},
        {"mqtt://[::1", "[ without ]"},
        {"mqtt://[::1]x", "between ] and the port"},
        {"mqtt://h ost", "0x20"},
        {"mqtt://h\n", "0x0a"},
        {"ws://h/a b", "path"},
        {"ws://h/a#b", "path"},
        {long_host, "longer"},
        {long_path, "longer"},
    };
    (void)memset(long_host, 'h', sizeof(long_host) - 1);
    (void)memcpy(long_host, "mqtt://", 7);
    (void)memset(long_path, 'p', sizeof(long_path) - 1);
    (void)memcpy(long_path, "ws://h/", 7);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(cases); i++) {
        struct reeve_url url = {.port = 7};
        struct reeve_why why = {0};
        assert_int_equal(reeve_url_parse(cases[i].text, &url, &why), REEVE_INVALID);
        if (strstr(why.text, cases[i].said) == NULL) {
            fail_msg("'%s' got '%s', expected '%s'", cases[i].text, why.text, cases[i].said);
        }
        assert_null(strstr(why.text, "secret"));
        assert_int_equal(url.port, 7); // untouched on failure
    }
}

static struct reeve_value *read_yaml(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {0};
    if (reeve_yaml_read(text, strlen(text), &reeve_limits_file, "c.yaml", &value, &why) != REEVE_OK) {
        fail_msg("%s", why.text);
    }
    return value;
}

static void the_record_has_presets(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = read_yaml("url: mqtt://127.0.0.1:1883\nusername: joe\npassword: secret\n");
    struct reeve_broker broker;
    static struct reeve_errors errors;
    reeve_errors_init(&errors, "c.yaml");
    assert_int_equal(reeve_record_decode(&reeve_broker_record, value, "broker", &broker, &errors), REEVE_OK);
    assert_int_equal(broker.version, 5);
    assert_int_equal(broker.keep_alive_ms, 10000);
    assert_int_equal(broker.message_bytes_max, 1 << 20);
    assert_int_equal(broker.window, 200);
    assert_int_equal(broker.queue_len_max, 10000);
    assert_int_equal(broker.queue_bytes_max, 16 << 20);
    struct reeve_value *back = NULL;
    assert_int_equal(reeve_record_encode(&reeve_broker_record, &broker, 0, &back), REEVE_OK);
    assert_string_equal(reeve_get_str(back, "password"), "***");
    reeve_value_free(back);
    reeve_record_done(&reeve_broker_record, &broker);
}

static void all_mistakes_of_a_record_are_named(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = read_yaml("url: amqp://h\npassword: a\npassword_file: b\nkey_file: k\nversion: 3\n"
                                       "keep_alive: 1s\nwindow: 0\n");
    struct reeve_broker broker;
    static struct reeve_errors errors;
    reeve_errors_init(&errors, "c.yaml");
    assert_int_not_equal(reeve_record_decode(&reeve_broker_record, value, "broker", &broker, &errors), REEVE_OK);
    static const char *const expected[] = {"broker.url",     "broker.password",   "broker.username", "broker.cert_file",
                                           "broker.version", "broker.keep_alive", "broker.window"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(expected); i++) {
        bool found = false;
        for (size_t k = 0; k < errors.len; k++) {
            found = found || strcmp(errors.items[k].path, expected[i]) == 0;
        }
        if (!found) {
            fail_msg("nothing said about %s", expected[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_are_taken_apart),
        cmocka_unit_test(bad_urls_are_refused_with_the_reason),
        cmocka_unit_test(the_record_has_presets),
        cmocka_unit_test(all_mistakes_of_a_record_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
