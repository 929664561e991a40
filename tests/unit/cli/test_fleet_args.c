// Whom of the fleet is meant: from options to what the manager's ops take, and against a verdict record.
#include "cmocka_all.h"

#include "fleet_args.h"

#include <reeve/codec.h>

static struct invocation inv;
static struct reeve_why why;

static struct reeve_value *args_of(const char *line)
{
    struct reeve_value *args = reeve_value_map();
    assert_int_equal(parse_line(line, &inv, &why), REEVE_OK);
    if (fleet_args_put(&inv, args, &why) != REEVE_OK) {
        fail_msg("%s: %s", line, why.text);
    }
    return args;
}

static void becomes(const char *line, const char *json)
{
    REEVE_VALUE_AUTO args = args_of(line);
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_json_write(args, 0, &text), REEVE_OK);
    assert_string_equal(reeve_buf_str(&text), json);
}

static void refused(const char *line, const char *says)
{
    REEVE_VALUE_AUTO args = reeve_value_map();
    assert_int_equal(parse_line(line, &inv, &why), REEVE_OK);
    assert_int_equal(fleet_args_put(&inv, args, &why), REEVE_INVALID);
    if (strstr(why.text, says) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", line, why.text, says);
    }
}

static void options_become_arguments(void **state)
{
    (void)state;
    becomes("fleet ls", "{}");
    becomes("fleet stop --all", "{\"all\":true}");
    becomes("fleet ls mm-1 alpha/mm-2 gw-*", "{\"workers\":[\"mm-1\",\"alpha/mm-2\",\"gw-*\"]}");
    becomes("fleet ls --type swap --pool s* --region eu-1 --availability idle",
            "{\"type\":\"swap\",\"region\":\"eu-1\",\"pool\":\"s*\",\"availability\":\"idle\"}");
    becomes("fleet ls -r cpus>=4 --require !gpu", "{\"require\":[\"cpus>=4\",\"!gpu\"]}");
    becomes("fleet ls -l desk=a -l tier=1 -n alpha --state running",
            "{\"node\":\"alpha\",\"state\":\"running\",\"labels\":{\"desk\":\"a\",\"tier\":\"1\"}}");
}

static void mistakes_name_the_option(void **state)
{
    (void)state;
    refused("fleet ls --state dancing", "--state: 'dancing'");
    refused("fleet ls --availability bored", "--availability: 'bored'");
    refused("fleet ls --require cpus>=", "--require:");
    refused("fleet ls --label desk", "--label: 'desk'");
    refused("fleet ls Mm.1", "worker: name \"Mm.1\"");
    refused("fleet ls --node A", "--node: name \"A\"");
}

static struct reeve_value *verdict(void)
{
    static const char text[] =
        "{\"node\":\"alpha\",\"worker\":\"mm-1\",\"state\":\"running\",\"availability\":\"idle\",\"type\":\"swap\","
        "\"exchange\":\"kraken\",\"pool\":\"swap\",\"capabilities\":[\"btc\",\"kmd\"],"
        "\"labels\":{\"desk\":\"a\"},\"attributes\":{\"cpus\":8},\"jobs\":2}";
    struct reeve_value *value = NULL;
    assert_int_equal(reeve_json_read(text, strlen(text), &reeve_limits_wire, NULL, &value, &why), REEVE_OK);
    return value;
}

static void fits(const char *line, bool expected)
{
    REEVE_VALUE_AUTO args = args_of(line);
    REEVE_VALUE_AUTO record = verdict();
    struct fleet_filter filter;
    assert_int_equal(fleet_filter_read(args, &filter, &why), REEVE_OK);
    if (fleet_filter_fits(&filter, record) != expected) {
        fail_msg("%s: expected %d", line, expected);
    }
}

static void a_record_is_held_against_them(void **state)
{
    (void)state;
    fits("fleet watch", true);
    fits("fleet watch mm-*", true);
    fits("fleet watch alpha/mm-1 x", true);
    fits("fleet watch beta/mm-1", false);
    fits("fleet watch mm-2", false);
    fits("fleet watch --type sw* --exchange kraken", true);
    fits("fleet watch --type grid", false);
    fits("fleet watch --account a", false);
    fits("fleet watch -l desk=a", true);
    fits("fleet watch -l desk=b", false);
    fits("fleet watch -r capabilities=kmd -r cpus>=8 -r jobs<3", true);
    fits("fleet watch -r cpus>8", false);
    fits("fleet watch -r !gpu -r exchange!=binance", true);
    fits("fleet watch --state stopped", false);
}

static void nothing_said_is_seen(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO none = args_of("fleet stop");
    REEVE_VALUE_AUTO some = args_of("fleet stop --pool swap");
    assert_false(fleet_args_say_something(none));
    assert_true(fleet_args_say_something(some));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_become_arguments),
        cmocka_unit_test(mistakes_name_the_option),
        cmocka_unit_test(a_record_is_held_against_them),
        cmocka_unit_test(nothing_said_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
