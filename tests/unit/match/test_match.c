// Requirements: what is read, what is refused and with which words, and what meets them.
// Must not: know nodes or workers; the thing asked about is a list of pairs.
#include <reeve/codec.h>
#include <reeve/match.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

// A thing: "key=value" pairs, ended by NULL.
static const char *pair_attribute(const void *thing, const char *key, size_t n, char *buf)
{
    (void)buf;
    for (const char *const *pair = thing; *pair != NULL; pair++) {
        size_t len = strlen(key);
        if (strncmp(*pair, key, len) == 0 && (*pair)[len] == '=' && n-- == 0) {
            return *pair + len + 1;
        }
    }
    return NULL;
}

static const char *const thing[] = {"type=trading",
                                    "capabilities=swap",
                                    "capabilities=limit-orders",
                                    "cpus=8",
                                    "memory=2G",
                                    "label.desk=a",
                                    "gpu=true",
                                    "uptime=90s",
                                    "name=eu-1",
                                    NULL};

static bool met(const char *text)
{
    struct reeve_requirement requirement;
    struct reeve_why why = {.text = ""};
    if (reeve_requirement_parse(text, &requirement, &why) != REEVE_OK) {
        fail_msg("%s: %s", text, why.text);
    }
    return reeve_requirement_met(&requirement, pair_attribute, thing);
}

static void what_is_met(void **state)
{
    (void)state;
    static const char *const yes[] = {"type=trading",
                                      "type=trad*",
                                      "type!=kraken",
                                      "capabilities=swap",
                                      "capabilities=limit-orders",
                                      "capabilities!=cancel",
                                      "cpus>=8",
                                      "cpus>7",
                                      "cpus<9",
                                      "cpus<=8",
                                      "cpus=8",
                                      "memory>=1G",
                                      "memory<2049M",
                                      "memory=2G",
                                      "label.desk=a",
                                      "gpu",
                                      "!nothing",
                                      "nothing!=a",
                                      "uptime>1m",
                                      "uptime<2m",
                                      "name=eu-?",
                                      " type = trading ",
                                      "cpus >= 4.5",
                                      "cpus>-1"};
    static const char *const no[] = {"type=swap",       "type!=trading", "type!=t*",  "capabilities!=swap",
                                     "capabilities!=*", "cpus>8",        "cpus<8",    "cpus>=9",
                                     "memory>2G",       "nothing",       "!gpu",      "nothing=a",
                                     "nothing>0",       "nothing<5",     "type>1",    "label.desk=b",
                                     "label.floor",     "uptime>=91s",   "name=eu-??"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(yes); i++) {
        if (!met(yes[i])) {
            fail_msg("not met: %s", yes[i]);
        }
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(no); i++) {
        if (met(no[i])) {
            fail_msg("met: %s", no[i]);
        }
    }
}

static void what_is_refused_and_why(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "begins with a key"},
        {"  ", "begins with a key"},
        {"!", "begins with a key"},
        {"=4", "begins with a key"},
        {"cpus>=", "nothing on its right"},
        {"cpus=", "nothing on its right"},
        {"cpus==4", "no comparator: = != > >= < <="},
        {"cpus=>4", "no comparator"},
        {"cpus>=four", "'four' is no number, size (512M) or duration (5m)"},
        {"cpus>0x10", "no number"},
        {"cpus>inf", "no number"},
        {"cp us>4", "has ' ' at 3"},
        {"-a=1", "has '-' at 1"},
        {"label.=a", "which label?"},
        {"label=a", "which label?"},
        {"a=b,c=d", "a comma, which separates requirements"},
        {"a=\x01", "a control character"},
        {"a=\xff", "no UTF-8"},
        {"!!gpu", "has '!' at 1"},
        {"a\xc3\xa9=1", "has '?' at 2"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_requirement untouched = {.key = "kept"};
        struct reeve_why why = {.text = ""};
        assert_int_equal(reeve_requirement_parse(rows[i][0], &untouched, &why), REEVE_INVALID);
        assert_string_equal(untouched.key, "kept");
        if (strstr(why.text, rows[i][1]) == NULL) {
            fail_msg("'%s' says '%s' and not '%s'", rows[i][0], why.text, rows[i][1]);
        }
    }
}

static void bounds_of_key_and_value(void **state)
{
    (void)state;
    char text[260];
    struct reeve_requirement requirement;
    struct reeve_why why = {.text = ""};
    for (int len = 62; len <= 65; len++) {
        (void)snprintf(text, sizeof text, "%0*d=v", len, 1);
        assert_int_equal(reeve_requirement_parse(text, &requirement, &why), len <= 63 ? REEVE_OK : REEVE_INVALID);
    }
    assert_non_null(strstr(why.text, "has 65 characters, at most 63"));
    for (int len = 126; len <= 129; len++) {
        (void)snprintf(text, sizeof text, "k=%0*d", len, 1);
        assert_int_equal(reeve_requirement_parse(text, &requirement, &why), len <= 127 ? REEVE_OK : REEVE_INVALID);
    }
    assert_non_null(strstr(why.text, "has 129 bytes, at most 127"));
}

static void text_comes_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"type=trading", "a!=b",       "cpus>=4", "cpus>4",
                                        "cpus<4",       "cpus<=512M", "gpu",     "!gpu"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(texts); i++) {
        struct reeve_requirement requirement;
        char buf[REEVE_REQUIREMENT_TEXT_SIZE];
        assert_int_equal(reeve_requirement_parse(texts[i], &requirement, NULL), REEVE_OK);
        assert_string_equal(reeve_requirement_text(&requirement, buf), texts[i]);
    }
}

// The requirements of a tree, as text with blanks between.
static const char *added(const char *yaml, struct reeve_requirements *requirements, enum reeve_err *ret_err,
                         struct reeve_why *why)
{
    static char line[2048];
    REEVE_VALUE_AUTO value = NULL;
    assert_int_equal(reeve_yaml_read(yaml, strlen(yaml), &reeve_limits_file, NULL, &value, NULL), REEVE_OK);
    *ret_err = reeve_requirements_add(requirements, value, "job.requires", why);
    line[0] = '\0';
    for (size_t i = 0; i < requirements->len; i++) {
        char buf[REEVE_REQUIREMENT_TEXT_SIZE];
        (void)strncat(strcat(line, i > 0 ? " " : ""), reeve_requirement_text(&requirements->items[i], buf), 200);
    }
    return line;
}

static void trees_of_every_form(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"type=trading", "type=trading"},
        {"'type=trading, cpus>=4,!gpu'", "type=trading cpus>=4 !gpu"},
        {"[type=trading, 'cpus>=4', 'a=1,b=2']", "type=trading cpus>=4 a=1 b=2"},
        {"{type: trading, cpus: 4, gpu: true}", "type=trading cpus=4 gpu=true"},
        {"{capabilities: [swap, limit], labels: {desk: a, floor: 3}}",
         "capabilities=swap capabilities=limit label.desk=a label.floor=3"},
        {"{labels: {desk: [a, b]}}", "label.desk=a label.desk=b"},
        {"null", ""},
        {"[]", ""},
        {"{}", ""},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_requirements requirements = {.len = 0};
        enum reeve_err err;
        struct reeve_why why = {.text = ""};
        const char *line = added(rows[i][0], &requirements, &err, &why);
        if (err != REEVE_OK) {
            fail_msg("%s: %s", rows[i][0], why.text);
        }
        assert_string_equal(line, rows[i][1]);
    }
}

static void wrong_trees_have_a_place_and_add_nothing(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"['a=1', 'b>x']", "job.requires[1]", "no number"},
        {"[4]", "job.requires[0]", "this is a whole number"},
        {"4", "job.requires", "expected requirements"},
        {"{'cpus>': 4}", "job.requires.cpus>", "a key has no comparator"},
        {"{cpus: '>=4'}", "job.requires.cpus", "no comparator"},
        {"{cpus: 1.5}", "job.requires.cpus", "a fraction in quotes"},
        {"{cpus: {a: b}}", "job.requires.cpus", "this is a map"},
        {"{labels: {desk: [a, {}]}}", "job.requires.labels.desk[1]", "this is a map"},
        {"{labels: {'': a}}", "job.requires.labels", "which label?"},
        {"{labels: a}", "job.requires.labels", ""},
        {"'a=1,,b=2'", "job.requires", "begins with a key"},
        {"{a: 'x,y'}", "job.requires.a", "a comma"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_requirements requirements = {.len = 0};
        enum reeve_err err;
        struct reeve_why why = {.text = ""};
        (void)added(rows[i][0], &requirements, &err, &why); /* looked at below */
        if (rows[i][2][0] == '\0') {
            assert_int_equal(err, REEVE_OK); // an attribute that is called so
            continue;
        }
        assert_int_equal(err, REEVE_INVALID);
        assert_int_equal(requirements.len, 0);
        assert_string_equal(why.place, rows[i][1]);
        if (strstr(why.text, rows[i][2]) == NULL) {
            fail_msg("%s says '%s'", rows[i][0], why.text);
        }
    }
}

static void more_than_the_bound(void **state)
{
    (void)state;
    struct reeve_requirements requirements = {.len = 0};
    enum reeve_err err;
    struct reeve_why why = {.text = ""};
    char text[400] = "'";
    for (int i = 0; i < REEVE_REQUIREMENTS_MAX; i++) {
        (void)snprintf(text + strlen(text), 12, "%sk%d=1", i > 0 ? "," : "", i);
    }
    strcat(text, "'");
    (void)added(text, &requirements, &err, &why); /* looked at below */
    assert_int_equal(err, REEVE_OK);
    assert_int_equal(requirements.len, REEVE_REQUIREMENTS_MAX);
    (void)added("[one-more]", &requirements, &err, &why); /* looked at below */
    assert_int_equal(err, REEVE_LIMIT);
    assert_int_equal(requirements.len, REEVE_REQUIREMENTS_MAX);
}

static void all_must_be_met_and_the_first_missed_is_named(void **state)
{
    (void)state;
    struct reeve_requirements requirements = {.len = 0};
    const struct reeve_requirement *missed = NULL;
    enum reeve_err err;
    (void)added("[type=trading, 'cpus>=4']", &requirements, &err, NULL); /* looked at below */
    assert_true(reeve_requirements_met(&requirements, pair_attribute, thing, &missed));
    assert_null(missed);
    (void)added("[gpu, '!type', 'cpus>100']", &requirements, &err, NULL); /* looked at below */
    assert_false(reeve_requirements_met(&requirements, pair_attribute, thing, &missed));
    assert_string_equal(missed->key, "type");
    assert_true(reeve_requirements_met(&(struct reeve_requirements){.len = 0}, pair_attribute, thing, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_met),
        cmocka_unit_test(what_is_refused_and_why),
        cmocka_unit_test(bounds_of_key_and_value),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(trees_of_every_form),
        cmocka_unit_test(wrong_trees_have_a_place_and_add_nothing),
        cmocka_unit_test(more_than_the_bound),
        cmocka_unit_test(all_must_be_met_and_the_first_missed_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
