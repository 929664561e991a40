// Where to connect, and as whom: site.json, profiles, options, environment.
#include "cmocka_all.h"
#include "site.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char json[] =
    "{\"broker\":{\"host\":\"127.0.0.1\",\"port\":1884},\"root\":\"reeve/v1/local\",\"node\":\"alpha\","
    "\"users\":{\"admin\":{\"username\":\"admin\",\"password\":\"secret-a\"},"
    "\"viewer\":{\"username\":\"viewer\",\"password\":\"secret-v\"}}}";

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/reeve-test-site-XXXXXX");
    (void)unsetenv("REEVE_SITE");
    (void)unsetenv("XDG_STATE_HOME");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char path[128];
    static const char *const leaves[] = {"site.json", "profile.yaml", "password"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(leaves); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, leaves[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

static const char *write_file(const char *leaf, const char *text, mode_t mode)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, leaf);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static void a_site_gives_address_and_the_role_that_is_asked_for(void **state)
{
    (void)state;
    SITE_AUTO site = {0};
    struct reeve_why why;
    assert_int_equal(site_from_json(json, strlen(json), "site.json", NULL, &site, &why), REEVE_OK);
    assert_string_equal(site.broker.url, "mqtt://127.0.0.1:1884");
    assert_string_equal(site.broker.username, "admin");
    assert_string_equal(site.broker.password, "secret-a");
    assert_string_equal(site.root, "reeve/v1/local");
    assert_string_equal(site.node, "alpha");
    SITE_AUTO viewer = {0};
    assert_int_equal(site_from_json(json, strlen(json), "site.json", "viewer", &viewer, &why), REEVE_OK);
    assert_string_equal(viewer.broker.password, "secret-v");
    SITE_AUTO nobody = {0};
    assert_int_equal(site_from_json(json, strlen(json), "site.json", "root", &nobody, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "no user 'root'"));
}

static void a_broken_site_is_named_and_never_crashes(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"broker\":5}",
        "{\"broker\":{\"host\":\"h\",\"port\":0},\"root\":\"r\",\"node\":\"n\"}",
        "{\"broker\":{\"host\":\"h\",\"port\":1},\"root\":\"r\",\"node\":\"No\",\"users\":{}}",
        "{\"broker\":{\"host\":\"h\",\"port\":1},\"root\":\"r\",\"node\":\"n\",\"users\":{\"admin\":{}}}",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(broken); i++) {
        SITE_AUTO site = {0};
        struct reeve_why why = {0};
        assert_int_not_equal(site_from_json(broken[i], strlen(broken[i]), "site.json", NULL, &site, &why), REEVE_OK);
        assert_true(why.text[0] != '\0');
    }
}

static enum reeve_err load(const char *line, struct site *site, struct reeve_why *why)
{
    static struct invocation inv;
    assert_int_equal(parse_line(line, &inv, why), REEVE_OK);
    return site_load(&inv, site, why);
}

static void folders_come_from_option_then_environment(void **state)
{
    (void)state;
    char line[256];
    struct reeve_why why;
    (void)write_file("site.json", json, 0600);
    (void)snprintf(line, sizeof line, "ls --site %s/ --timeout 7s", dir);
    SITE_AUTO given = {0};
    assert_int_equal(load(line, &given, &why), REEVE_OK);
    assert_string_equal(given.dir, dir);
    assert_string_equal(given.client, "admin");
    assert_int_equal(given.timeout_ms, 7000);
    (void)setenv("REEVE_SITE", dir, 1);
    SITE_AUTO from_env = {0};
    assert_int_equal(load("ls", &from_env, &why), REEVE_OK);
    assert_string_equal(from_env.dir, dir);
    assert_int_equal(from_env.timeout_ms, TIMEOUT_PRESET_MS);
    (void)unsetenv("REEVE_SITE");
}

static void the_preset_folder_is_the_users_state_directory(void **state)
{
    (void)state;
    char path[PATH_MAX];
    (void)setenv("XDG_STATE_HOME", "/xdg", 1);
    assert_int_equal(site_dir_preset(path, NULL), REEVE_OK);
    assert_string_equal(path, "/xdg/reeve/site");
    (void)unsetenv("XDG_STATE_HOME");
    assert_int_equal(site_dir_preset(path, NULL), REEVE_OK);
    if (geteuid() == 0) {
        assert_string_equal(path, "/var/lib/reeve/site");
    }
}

static void a_site_file_that_others_can_read_is_refused(void **state)
{
    (void)state;
    char line[256];
    struct reeve_why why;
    (void)write_file("site.json", json, 0644);
    (void)snprintf(line, sizeof line, "ls --site %s", dir);
    SITE_AUTO site = {0};
    assert_int_equal(load(line, &site, &why), REEVE_DENIED);
}

static void no_site_says_what_to_do(void **state)
{
    (void)state;
    struct reeve_why why;
    SITE_AUTO site = {0};
    assert_int_equal(load("ls --site /nowhere/at/all", &site, &why), REEVE_OFFLINE);
    assert_non_null(strstr(why.text, "there is no site in /nowhere/at/all"));
    assert_non_null(strstr(why.text, "reeve up"));
}

static void a_broker_by_options(void **state)
{
    (void)state;
    char line[512];
    struct reeve_why why;
    const char *password = write_file("password", "word\n", 0600);
    (void)snprintf(line, sizeof line, "ls --broker mqtts://h:1 --user Bob@x --password-file %s --root a/b --mqtt 3.1.1",
                   password);
    SITE_AUTO site = {0};
    assert_int_equal(load(line, &site, &why), REEVE_OK);
    assert_string_equal(site.broker.url, "mqtts://h:1");
    assert_string_equal(site.broker.username, "Bob@x");
    assert_string_equal(site.client, "bob-x");
    assert_string_equal(site.root, "a/b");
    assert_int_equal(site.broker.version, 4);
    assert_string_equal(site.dir, "");
    SITE_AUTO both = {0};
    assert_int_equal(load("ls --broker mqtt://h --site /x", &both, &why), REEVE_INVALID);
    SITE_AUTO whose = {0};
    (void)snprintf(line, sizeof line, "ls --broker mqtt://h --password-file %s", password);
    assert_int_equal(load(line, &whose, &why), REEVE_INVALID);
    assert_non_null(strstr(why.text, "whose password"));
    SITE_AUTO absent = {0};
    assert_int_equal(load("ls --broker mqtt://h --user u --password-file /no/such", &absent, &why), REEVE_INVALID);
}

static void the_older_profile_loads(void **state)
{
    (void)state;
    char line[256];
    char user[REEVE_NAME_SIZE];
    struct reeve_why why;
    const char *path =
        write_file("profile.yaml",
                   "remote:\n  host: \"kdf.example.com\"\n  port: 8000\n  api_key: \"key1\"\n  ssl: true\n"
                   "  timeout: 45s\n",
                   0600);
    (void)snprintf(line, sizeof line, "ls --profile %s", path);
    SITE_AUTO site = {0};
    assert_int_equal(load(line, &site, &why), REEVE_OK);
    assert_string_equal(site.broker.url, "mqtts://kdf.example.com:8000");
    site_key_user("key1", user);
    assert_string_equal(site.broker.username, user);
    assert_string_equal(site.broker.password, "key1");
    assert_int_equal(site.timeout_ms, 45000);
    (void)snprintf(line, sizeof line, "ls --profile %s --timeout 1s", path);
    SITE_AUTO quick = {0};
    assert_int_equal(load(line, &quick, &why), REEVE_OK);
    assert_int_equal(quick.timeout_ms, 1000);
}

static void a_profile_with_mistakes_has_their_places(void **state)
{
    (void)state;
    char line[256];
    struct reeve_why why;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"remote:\n  hots: x\n", "profile.yaml:2:3"},
        {"remote:\n  host: x\n  port: 70000\n", "profile.yaml:3:9"},
        {"brokr: {}\n", "did you mean"},
        {"{}", "broker"},
        {"broker: {url: \"http://x\"}\n", "profile.yaml:1:"},
        {"broker: {url: \"mqtt://x\"}\nremote: {host: x}\n", "remote"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char text[sizeof why];
        const char *path = write_file("profile.yaml", rows[i].text, 0600);
        (void)snprintf(line, sizeof line, "ls --profile %s", path);
        SITE_AUTO site = {0};
        assert_int_equal(load(line, &site, &why), REEVE_INVALID);
        if (strstr(reeve_why_format(&why, text, sizeof text), rows[i].says) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", text, rows[i].says);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_gives_address_and_the_role_that_is_asked_for),
        cmocka_unit_test(a_broken_site_is_named_and_never_crashes),
        cmocka_unit_test_setup_teardown(folders_come_from_option_then_environment, make_dir, remove_dir),
        cmocka_unit_test(the_preset_folder_is_the_users_state_directory),
        cmocka_unit_test_setup_teardown(a_site_file_that_others_can_read_is_refused, make_dir, remove_dir),
        cmocka_unit_test(no_site_says_what_to_do),
        cmocka_unit_test_setup_teardown(a_broker_by_options, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(the_older_profile_loads, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_profile_with_mistakes_has_their_places, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
