// The manager's configuration: presets, every key, mistakes with their places, and what a node daemon's environment
// adds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

// after the headers that it needs
#include <cmocka.h>

#include <reeve/file.h>
#include <reeve/worker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

struct site {
    char dir[64];
    struct manager_config config;
    bool loaded;
    struct reeve_errors errors;
};

static const char *const variables[] = {REEVE_ENV_ROOT, REEVE_ENV_BROKER_FILE, REEVE_ENV_CONFIG_FILE,
                                        REEVE_ENV_LOG_LEVEL, "XDG_STATE_HOME"};

static int setup(void **state)
{
    struct site *site = calloc(1, sizeof(*site));
    (void)snprintf(site->dir, sizeof(site->dir), "/tmp/reeve-manager-config-XXXXXX");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(variables); i++) {
        (void)unsetenv(variables[i]); // the test's own environment does not count
    }
    *state = site;
    return mkdtemp(site->dir) == NULL ? -1 : 0;
}

static void forget(struct site *site)
{
    if (site->loaded) {
        manager_config_done(&site->config);
    }
    site->loaded = false;
}

static int teardown(void **state)
{
    struct site *site = *state;
    forget(site);
    (void)reeve_dir_remove(site->dir, NULL); // left for whoever looks into /tmp
    free(site);
    return 0;
}

static const char *write_file(const struct site *site, const char *name, const char *text)
{
    static char path[4][128];
    static size_t next;
    char *to = path[next++ % 4];
    (void)snprintf(to, sizeof path[0], "%s/%s", site->dir, name);
    assert_int_equal(reeve_file_write_atomic(to, text, strlen(text), 0600, NULL), REEVE_OK);
    return to;
}

static enum reeve_err took(struct site *site, enum reeve_err err)
{
    site->loaded = err == REEVE_OK;
    return err;
}

static enum reeve_err load(struct site *site, const char *text)
{
    forget(site);
    return took(site, manager_config_load(write_file(site, "manager.yaml", text), &site->config, &site->errors));
}

static enum reeve_err load_environment(struct site *site)
{
    forget(site);
    return took(site, manager_config_from_environment(&site->config, &site->errors));
}

static void assert_told(const struct site *site, const char *expected)
{
    char all[4096] = "";
    for (size_t i = 0; i < site->errors.len; i++) {
        char line[640];
        (void)reeve_error_format(&site->errors, i, line, sizeof line);
        if (strstr(line, expected) != NULL) {
            return;
        }
        (void)strncat(all, line, sizeof all - strlen(all) - 1);
    }
    fail_msg("'%s' is not in: %s", expected, all);
}

static void an_empty_file_is_a_manager_with_presets(void **state)
{
    struct site *site = *state;
    assert_int_equal(load(site, ""), REEVE_OK);
    const struct manager_section *manager = &site->config.manager;
    assert_string_equal(manager->name, "main");
    assert_string_equal(manager->root, "reeve/v1/local");
    assert_int_equal(manager->log_level, REEVE_LOG_INFO);
    assert_int_equal(manager->heartbeat_ms, 5000);
    assert_int_equal(manager->forget_after_ms, 24 * 3600 * 1000);
    assert_int_equal(manager->workers_max, 100000);
    assert_int_equal(manager->backups_keep, 20);
    assert_null(manager->pools_dir);
    assert_null(manager->accounts_dir);
    assert_non_null(strstr(manager->state_dir, "manager-main"));
    assert_string_equal(site->config.broker.url, "mqtt://127.0.0.1:1883");
    assert_int_equal(site->config.broker.queue_len_max, 10000);
    const struct health_policy *health = &manager->health;
    assert_int_equal(health->memory_percent, 90);
    assert_int_equal(health->memory_trend_ms, 600000);
    assert_int_equal(health->progress_ms, 600000);
    assert_true(health->error_rate > 0.49 && health->error_rate < 0.51);
    assert_int_equal(health->error_window_ms, 300000);
    assert_int_equal(health->error_jobs_min, 5);
    assert_int_equal(health->flapping_changes, 6);
    assert_int_equal(health->flapping_window_ms, 600000);
    assert_int_equal(health->crash_loop_restarts, 5);
    assert_int_equal(health->crash_loop_window_ms, 600000);
    assert_int_equal(health->on_unhealthy, HEALTH_ACTION_ALARM);
    assert_int_equal(health->unhealthy_for_ms, 30000);
}

static void every_key_is_taken(void **state)
{
    struct site *site = *state;
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "manager:\n"
                   "  {name: second, root: reeve/v1/eu, state_dir: /var/tmp/m, log_level: debug, heartbeat: 1s,\n"
                   "   forget_after: 90s, max_workers: 10, pools_dir: %s, accounts_dir: %s, backups_keep: 3,\n"
                   "   health: {memory: 80, memory_trend: 0, progress: 1m, error_rate: 0.25, error_window: 1m,\n"
                   "            error_jobs_min: 2, flapping_changes: 3, flapping_window: 2m, crash_loop_restarts: 4,\n"
                   "            crash_loop_window: 3m, on_unhealthy: replace, unhealthy_for: 5s}}\n"
                   "broker: {url: 'mqtt://broker:2883', username: manager, password: secret}\n",
                   site->dir, site->dir);
    assert_int_equal(load(site, text), REEVE_OK);
    assert_int_equal(site->errors.warnings, 0);
    const struct manager_section *manager = &site->config.manager;
    assert_string_equal(manager->name, "second");
    assert_string_equal(manager->root, "reeve/v1/eu");
    assert_string_equal(manager->state_dir, "/var/tmp/m");
    assert_int_equal(manager->log_level, REEVE_LOG_DEBUG);
    assert_int_equal(manager->heartbeat_ms, 1000);
    assert_int_equal(manager->forget_after_ms, 90000);
    assert_int_equal(manager->workers_max, 10);
    assert_string_equal(manager->pools_dir, site->dir);
    assert_string_equal(manager->accounts_dir, site->dir);
    assert_int_equal(manager->backups_keep, 3);
    const struct health_policy *health = &manager->health;
    assert_int_equal(health->memory_percent, 80);
    assert_int_equal(health->memory_trend_ms, 0);
    assert_int_equal(health->progress_ms, 60000);
    assert_true(health->error_rate > 0.24 && health->error_rate < 0.26);
    assert_int_equal(health->error_window_ms, 60000);
    assert_int_equal(health->error_jobs_min, 2);
    assert_int_equal(health->flapping_changes, 3);
    assert_int_equal(health->flapping_window_ms, 120000);
    assert_int_equal(health->crash_loop_restarts, 4);
    assert_int_equal(health->crash_loop_window_ms, 180000);
    assert_int_equal(health->on_unhealthy, HEALTH_ACTION_REPLACE);
    assert_int_equal(health->unhealthy_for_ms, 5000);
    assert_string_equal(site->config.broker.url, "mqtt://broker:2883");
    assert_string_equal(site->config.broker.username, "manager");
}

static void all_mistakes_are_told_with_their_places(void **state)
{
    struct site *site = *state;
    assert_int_equal(load(site, "manager:\n"
                                "  name: Main\n"
                                "  heartbeat: 5\n"
                                "  heath: {}\n"
                                "  health:\n"
                                "    on_unhealthy: reboot\n"
                                "    memory: 101\n"
                                "broker:\n"
                                "  url: tcp://x\n"),
                     REEVE_INVALID);
    assert_told(site, "manager.yaml:2:9: manager.name");
    assert_told(site, "manager.yaml:3:14: manager.heartbeat");
    assert_told(site, "did you mean health");
    assert_told(site, "manager.yaml:6:19: manager.health.on_unhealthy");
    assert_told(site, "manager.yaml:7:13: manager.health.memory");
    assert_told(site, "manager.yaml:9:8: broker.url");
    assert_int_equal(load(site, "manager: {root: reeve//v1}"), REEVE_INVALID);
    assert_told(site, "manager.yaml:1:17: manager.root");
    assert_int_equal(load(site, "manager: main"), REEVE_INVALID);
    assert_told(site, "manager");
    assert_int_equal(load(site, "- manager"), REEVE_INVALID);
    assert_int_equal(load(site, "broker: {username: me}"), REEVE_INVALID);
    assert_told(site, "broker.url: is missing");
    assert_int_equal(manager_config_load("/nonexistent/manager.yaml", &site->config, &site->errors), REEVE_NOENT);
    assert_told(site, "/nonexistent/manager.yaml");
}

static void a_folder_that_is_not_here_is_a_warning(void **state)
{
    struct site *site = *state;
    assert_int_equal(load(site, "manager: {pools_dir: /nonexistent/pools, accounts_dir: /etc/passwd}"), REEVE_OK);
    assert_int_equal(site->errors.warnings, 2);
    assert_told(site, "/nonexistent/pools is no folder here");
    assert_told(site, "manager.yaml:1:56: manager.accounts_dir");
}

static void secrets_are_masked(void **state)
{
    struct site *site = *state;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    struct reeve_value *value = NULL;
    assert_int_equal(load(site, "broker: {url: 'mqtt://b', username: m, password: pa55word}"), REEVE_OK);
    assert_int_equal(reeve_record_encode(&manager_config_record, &site->config, 0, &value), REEVE_OK);
    assert_int_equal(reeve_json_write(value, 0, &text), REEVE_OK);
    reeve_value_free(value);
    assert_null(strstr(reeve_buf_str(&text), "pa55word"));
    assert_non_null(strstr(reeve_buf_str(&text), "***"));
}

// ---- as a worker of a node daemon -------------------------------------------------------------------------------

static void give(const struct site *site, const char *name, const char *file, const char *text)
{
    assert_int_equal(setenv(name, write_file(site, file, text), 1), 0);
}

static void without_a_file_the_environment_is_enough(void **state)
{
    struct site *site = *state;
    give(site, REEVE_ENV_BROKER_FILE, "broker.json",
         "{\"url\": \"mqtt://10.0.0.1:1999\", \"username\": \"worker\", \"password\": \"w\"}");
    assert_int_equal(setenv(REEVE_ENV_ROOT, "reeve/v1/site-7", 1), 0);
    assert_int_equal(setenv(REEVE_ENV_LOG_LEVEL, "warning", 1), 0);
    assert_int_equal(load_environment(site), REEVE_OK);
    assert_string_equal(site->config.manager.name, "main");
    assert_string_equal(site->config.manager.root, "reeve/v1/site-7");
    assert_int_equal(site->config.manager.log_level, REEVE_LOG_WARNING);
    assert_string_equal(site->config.broker.url, "mqtt://10.0.0.1:1999");
    assert_string_equal(site->config.broker.password, "w");
}

static void what_the_file_says_wins_over_the_environment(void **state)
{
    struct site *site = *state;
    give(site, REEVE_ENV_BROKER_FILE, "broker.json",
         "{\"url\": \"mqtt://10.0.0.1:1999\", \"username\": \"worker\", \"password\": \"w\", \"window\": 50}");
    give(site, REEVE_ENV_CONFIG_FILE, "config.json",
         "{\"manager\": {\"name\": \"m2\", \"root\": \"reeve/v1/own\"},"
         " \"broker\": {\"username\": \"manager\", \"password_file\": \"/etc/m\"}}");
    assert_int_equal(setenv(REEVE_ENV_ROOT, "reeve/v1/site-7", 1), 0);
    assert_int_equal(load_environment(site), REEVE_OK);
    assert_string_equal(site->config.manager.name, "m2");
    assert_string_equal(site->config.manager.root, "reeve/v1/own");
    assert_string_equal(site->config.broker.url, "mqtt://10.0.0.1:1999");
    assert_int_equal(site->config.broker.window, 50);
    assert_string_equal(site->config.broker.username, "manager");
    assert_string_equal(site->config.broker.password_file, "/etc/m");
    assert_null(site->config.broker.password); // credentials come from one place
}

static void credentials_are_not_shown_to_another_broker(void **state)
{
    struct site *site = *state;
    give(site, REEVE_ENV_BROKER_FILE, "broker.json",
         "{\"url\": \"mqtt://b\", \"username\": \"worker\", \"password\": \"w\"}");
    assert_int_equal(load(site, "broker: {url: 'mqtt://elsewhere'}"), REEVE_OK);
    assert_string_equal(site->config.broker.url, "mqtt://elsewhere");
    assert_null(site->config.broker.username);
    assert_null(site->config.broker.password);
}

static void what_is_wrong_in_the_environment_is_told_with_its_place(void **state)
{
    struct site *site = *state;
    give(site, REEVE_ENV_BROKER_FILE, "broker.json", "{\"url\": \"mqtt://b\", \"user\": \"x\"}");
    assert_int_equal(load_environment(site), REEVE_INVALID);
    assert_told(site, "broker.json:1:21");
    assert_int_equal(setenv(REEVE_ENV_BROKER_FILE, "/nonexistent/broker.json", 1), 0);
    assert_int_equal(load_environment(site), REEVE_NOENT);
    assert_told(site, "/nonexistent/broker.json");
    (void)unsetenv(REEVE_ENV_BROKER_FILE);
    assert_int_equal(setenv(REEVE_ENV_LOG_LEVEL, "loud", 1), 0);
    assert_int_equal(load_environment(site), REEVE_INVALID);
    assert_told(site, "manager.log_level");
    assert_int_equal(setenv(REEVE_ENV_LOG_LEVEL, "", 1), 0); // as not set
    assert_int_equal(load_environment(site), REEVE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_file_is_a_manager_with_presets),
        TEST(every_key_is_taken),
        TEST(all_mistakes_are_told_with_their_places),
        TEST(a_folder_that_is_not_here_is_a_warning),
        TEST(secrets_are_masked),
        TEST(without_a_file_the_environment_is_enough),
        TEST(what_the_file_says_wins_over_the_environment),
        TEST(credentials_are_not_shown_to_another_broker),
        TEST(what_is_wrong_in_the_environment_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
