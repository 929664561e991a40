// The broker's store: found in Mosquitto's configuration, set aside, put back, old copies removed.
// Must not: run a broker; that is tests/integration/broker.
#include "tree.h"

#include <store.h>

#include <reeve/clock.h>

static struct store find(const char *config)
{
    tree_put("conf", config, 0600);
    struct store store;
    assert_ok(store_find(tree_path("conf"), &store, NULL));
    return store;
}

static void a_store_is_where_the_configuration_says(void **state)
{
    (void)state;
    static const struct {
        const char *config, *path;
    } rows[] = {
        {"", ""},
        {"persistence false\npersistence_location /a\n", ""},
        {"persistence true\n", "mosquitto.db"},
        {"persistence true\npersistence_location /a\n", "/a/mosquitto.db"},
        {"persistence_file b.db\npersistence true\r\npersistence_location /a b/\r\n", "/a b//b.db"},
        {"#persistence true\n # persistence true\npersistences true\n persistence true", ""},
        {"persistence_file\npersistence  true", "mosquitto.db"},
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        const struct store store = find(rows[i].config);
        assert_string_equal(store.path, rows[i].path);
        assert_string_equal(store.aside, "");
    }
}

static void a_configuration_that_cant_be_read_is_an_error(void **state)
{
    (void)state;
    struct store store;
    struct reeve_why why;
    assert_err(store_find(tree_path("none"), &store, &why), REEVE_NOENT);
    assert_non_null(strstr(why.text, "none"));
    assert_err(store_find(tree_root, &store, &why), REEVE_INVALID);

    char config[PATH_MAX + 100];
    (void)memset(config, 'a', sizeof config);
    static const char keys[] = "persistence true\npersistence_location ";
    (void)memcpy(config, keys, sizeof keys - 1);
    config[sizeof config - 1] = '\0';
    tree_put("conf", config, 0600);
    assert_err(store_find(tree_path("conf"), &store, &why), REEVE_LIMIT);
}

static struct store store_in_tree(void)
{
    char config[600];
    (void)snprintf(config, sizeof config, "persistence true\npersistence_location %s\n", tree_root);
    return find(config);
}

static void a_store_set_aside_comes_back_over_a_newer_one(void **state)
{
    (void)state;
    struct store store = store_in_tree();
    assert_false(store_exists(&store));
    assert_err(store_set_aside(&store, NULL), REEVE_NOENT);
    tree_put("mosquitto.db", "old", 0600);
    assert_true(store_exists(&store));
    assert_ok(store_set_aside(&store, NULL));
    assert_false(store_exists(&store));
    assert_int_equal(strncmp(store.aside, store.path, strlen(store.path)), 0);
    assert_non_null(strstr(store.aside, "mosquitto.db.damaged-2"));
    tree_put("mosquitto.db", "new", 0600);
    assert_ok(store_restore(&store, NULL));
    tree_assert_content("mosquitto.db", "old");
    assert_int_equal(tree_count(""), 2); // and the configuration
}

static void the_newest_three_copies_are_kept_and_nothing_else_is_touched(void **state)
{
    (void)state;
    struct store store = store_in_tree();
    tree_put("mosquitto.db.damaged-2001", "1", 0600);
    tree_put("mosquitto.db.damaged-2003", "3", 0600);
    tree_put("mosquitto.db.damaged-2002", "2", 0600);
    tree_put("mosquitto.db.damaged-2000", "0", 0600);
    tree_put("mosquitto.db.new", "n", 0600);
    tree_put("a.damaged-2000", "a", 0600);
    tree_put("mosquitto.db", "4", 0600);
    assert_ok(store_set_aside(&store, NULL));
    tree_assert_content("mosquitto.db.damaged-2002", "2");
    tree_assert_content("mosquitto.db.damaged-2003", "3");
    tree_assert_content("mosquitto.db.new", "n");
    tree_assert_content("a.damaged-2000", "a");
    assert_int_equal(access(store.aside, F_OK), 0);
    assert_int_equal(tree_count(""), STORE_ASIDE_MAX + 3);
}

static void a_copy_that_cant_be_removed_does_not_undo_the_setting_aside(void **state)
{
    (void)state;
    struct store store = store_in_tree();
    tree_put("mosquitto.db", "x", 0600);
    for (int i = 0; i < STORE_ASIDE_MAX; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "mosquitto.db.damaged-%d", i);
        assert_int_equal(mkdir(tree_path(name), 0700), 0);
    }
    struct reeve_why why;
    assert_int_not_equal(store_set_aside(&store, &why), REEVE_OK);
    assert_non_null(strstr(why.text, "mosquitto.db.damaged-0"));
    assert_string_not_equal(store.aside, "");
    assert_false(store_exists(&store));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_store_is_where_the_configuration_says),
        TEST(a_configuration_that_cant_be_read_is_an_error),
        TEST(a_store_set_aside_comes_back_over_a_newer_one),
        TEST(the_newest_three_copies_are_kept_and_nothing_else_is_touched),
        TEST(a_copy_that_cant_be_removed_does_not_undo_the_setting_aside),
    };
    return cmocka_run_group_tests_name("broker-store", tests, NULL, NULL);
}
