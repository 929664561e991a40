// The mosquitto_pub line of --print-mqtt: what sh makes of it is what was meant.
#include "cmocka_all.h"
#include "order.h"

#include <stdlib.h>
#include <unistd.h>

static void quoted(const char *text, const char *expected)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    shell_quote(&out, text);
    assert_string_equal(reeve_buf_str(&out), expected);
}

static void quotes_only_what_needs_it(void **state)
{
    (void)state;
    quoted("reeve/v1/local/worker/a/b/cmd/stop", "reeve/v1/local/worker/a/b/cmd/stop");
    quoted("", "''");
    quoted("a b", "'a b'");
    quoted("$HOME", "'$HOME'");
    quoted("it's", "'it'\\''s'");
    quoted("'", "''\\'''");
    quoted("~x", "'~x'");
    quoted("a\nb", "'a\nb'");
}

// Through a real sh: the word comes back as it was.
static void sh_gives_every_word_back(void **state)
{
    (void)state;
    static const char *const words[] = {
        "plain",       "",          "two words", "it's", "\"$HOME\" `id` $(id) \\ ! * ? [a] {b} ~ # & ; | < >",
        "line\nbreak", "tab\there", "-n",        "ä€😀",  "''''"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(words); i++) {
        REEVE_BUF_AUTO line = REEVE_BUF_INIT(0);
        char back[256];
        reeve_buf_puts(&line, "printf '%s' ");
        shell_quote(&line, words[i]);
        FILE *pipe = popen(reeve_buf_str(&line), "re");
        assert_non_null(pipe);
        size_t len = fread(back, 1, sizeof back - 1, pipe);
        back[len] = '\0';
        assert_int_equal(pclose(pipe), 0);
        assert_string_equal(back, words[i]);
    }
}

static void line_is(const struct site *site, const char *worker, struct reeve_value *args, bool dry_run,
                    const char *expected)
{
    struct orders orders = {.op = "stop"};
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    struct reeve_why why;
    assert_int_equal(orders_add(&orders, "reeve/v1/local", "alpha", worker, args, &why), REEVE_OK);
    assert_int_equal(order_mqtt_line(site, orders.items[0], dry_run, &out, &why), REEVE_OK);
    assert_string_equal(reeve_buf_str(&out), expected);
    orders_done(&orders);
}

static void the_line_has_address_credentials_topic_and_message(void **state)
{
    (void)state;
    struct site site = {.broker = {.url = (char *)(uintptr_t) "mqtt://127.0.0.1:1884",
                                   .username = (char *)(uintptr_t) "admin",
                                   .password = (char *)(uintptr_t) "never shown"},
                        .dir = "/tmp/my site"};
    line_is(&site, "mm-1", NULL, false,
            "mosquitto_pub -h 127.0.0.1 -p 1884 -u admin -P \"$(cat '/tmp/my site/credentials/admin')\" -V mqttv5 -q 1 "
            "-t reeve/v1/local/worker/alpha/mm-1/cmd/stop -n\n");
    struct reeve_value *args = reeve_value_map();
    reeve_put_str(args, "workers", "it's");
    line_is(&site, "", args, true,
            "mosquitto_pub -h 127.0.0.1 -p 1884 -u admin -P \"$(cat '/tmp/my site/credentials/admin')\" -V mqttv5 -q 1 "
            "-t reeve/v1/local/node/alpha/cmd/stop -m '{\"args\":{\"workers\":\"it'\\''s\"},\"dry_run\":true}'\n");
}

static void other_brokers_and_versions(void **state)
{
    (void)state;
    struct site site = {.broker = {.url = (char *)(uintptr_t) "mqtts://[::1]",
                                   .username = (char *)(uintptr_t) "u",
                                   .password_file = (char *)(uintptr_t) "/p",
                                   .version = 4}};
    line_is(&site, "w", NULL, false,
            "mosquitto_pub -h ::1 -p 8883 --capath /etc/ssl/certs -u u -P \"$(cat /p)\" -V mqttv311 -q 1 "
            "-t reeve/v1/local/worker/alpha/w/cmd/stop -n\n");
    struct site bare = {.broker = {.url = (char *)(uintptr_t) "mqtt://h"}};
    line_is(&bare, "w", NULL, false,
            "mosquitto_pub -h h -p 1883 -V mqttv5 -q 1 -t reeve/v1/local/worker/alpha/w/cmd/stop -n\n");
}

static void web_sockets_are_beyond_mosquitto_pub(void **state)
{
    (void)state;
    struct site site = {.broker = {.url = (char *)(uintptr_t) "wss://h/mqtt"}};
    struct orders orders = {.op = "stop"};
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    struct reeve_why why;
    assert_int_equal(orders_add(&orders, "r", "n", "w", NULL, &why), REEVE_OK);
    assert_int_equal(order_mqtt_line(&site, orders.items[0], false, &out, &why), REEVE_UNSUPPORTED);
    orders_done(&orders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_only_what_needs_it),
        cmocka_unit_test(sh_gives_every_word_back),
        cmocka_unit_test(the_line_has_address_credentials_topic_and_message),
        cmocka_unit_test(other_brokers_and_versions),
        cmocka_unit_test(web_sockets_are_beyond_mosquitto_pub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
