// Pools from documents and files: the three forms, streams, all mistakes of a file in one pass.
// Must not: leave files behind.
#include "pool_test.h"

#include <reeve/file.h>

#include <stdio.h>
#include <unistd.h>

static char folder[] = "/tmp/reeve-pool-XXXXXX";
static char path[64];

// The text as a file, loaded.
static enum reeve_err load(const char *name, const char *text, struct reeve_pools *ret)
{
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(reeve_file_write_atomic(path, text, strlen(text), 0600, NULL), REEVE_OK);
    enum reeve_err err = reeve_pool_load_file(path, ret, &errors);
    assert_string_equal(errors.source, path);
    errors.source = "f";
    return err;
}

static void the_three_forms_in_one_stream(void **state)
{
    struct reeve_pools pools;
    (void)state;
    errors_are(
        load("a.yaml",
             "pool: {name: a, size: 1, template: {type: t}}\n---\n"
             "pools:\n- {name: b, size: 2, template: {type: t}}\n- {name: c, size: 3, template: {type: t}}\n---\n"
             "name: d\nsize: 4\ntemplate: {type: t}\n",
             &pools),
        NULL, 0);
    assert_int_equal(pools.len, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pools.items[i].size, i + 1);
        assert_int_equal(pools.items[i].name[0], 'a' + (char)i);
    }
    reeve_pools_done(&pools);
}

static void json_files(void **state)
{
    struct reeve_pools pools;
    (void)state;
    errors_are(load("a.json", "{\"name\": \"a\", \"size\": 1, \"template\": {\"type\": \"t\"}}", &pools), NULL, 0);
    assert_int_equal(pools.len, 1);
    reeve_pools_done(&pools);
}

static void the_example_of_the_documentation_loads(void **state)
{
    static char page[128 * 1024];
    struct reeve_pools pools;
    FILE *file = fopen(DOCS "/pools.md", "r");
    (void)state;
    assert_non_null(file);
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    char *yaml = strstr(page, "```yaml\n");
    assert_non_null(yaml);
    yaml += strlen("```yaml\n");
    *strstr(yaml, "```") = '\0';
    errors_are(load("a.yaml", yaml, &pools), NULL, 0);
    assert_int_equal(pools.len, 3);
    assert_true(pools.items[1].scaling.target == 30000);
    assert_true(pools.items[2].partition.single_active);
    reeve_pools_done(&pools);
}

static void a_file_of_mistakes_gives_each_with_its_place(void **state)
{
    static const char text[] = "pools:\n"
                               "- name: Swap 1\n"
                               "  size: -1\n"
                               "  tempalte: {type: swap}\n"
                               "- name: a\n"
                               "  size: 12\n"
                               "  min: 13\n"
                               "  template: {type: swap, name: x, memory_limit: lots, ready: {tcp: 0}}\n"
                               "  scaling: {metric: age, up_above: 30, down_below: 5s, cooldown: 5}\n"
                               "  update: {max_surge: 0}\n"
                               "  drain: {dedline: 5s}\n"
                               "- name: a\n"
                               "  template: {}\n"
                               "  partition: {single_active: true, lost_after: 5s}\n"
                               "  placement: {spread: rack, regions: [{region: eu, size: 1}]}\n"
                               "- size: 1\n"
                               "  template: {type: swap}\n"
                               "- 5\n"
                               "extra: 1\n";
    static const char *const wants[] = {
        "f:2:3: pools[0].template: is missing, expected a worker spec such as {type: swap}",
        "f:2:9: pools[0].name: name \"Swap 1\": 'S' at 1 is not allowed (a-z 0-9 _ -)",
        "f:3:9: pools[0].size: -1 is below the minimum of 0",
        "f:4:3: pools[0].tempalte: unknown key, did you mean template?",
        "f:7:8: pools[1].min: min is 13, above max, which is 10 by preset with scaling",
        "f:8:32: pools[1].template.name: is given, but the manager names a pool's workers: leave it out",
        "f:8:49: pools[1].template.memory_limit: \"lots\" is no size, expected one such as 512M, 1G or 64KiB",
        "f:8:68: pools[1].template.ready.tcp: 0 is below the minimum of 1",
        "f:9:36: pools[1].scaling.up_above: 30 has no unit, did you mean 30s or 30ms?",
        "f:9:66: pools[1].scaling.cooldown: 5 has no unit, did you mean 5s or 5ms?",
        ("f:10:23: pools[1].update.max_surge: no worker could ever be replaced: max_unavailable and max_surge are both "
         "0"),
        "f:11:11: pools[1].drain.dedline: unknown key, did you mean deadline?",
        "f:12:9: pools[2].name: \"a\" is the name of another pool of this file",
        "f:13:13: pools[2].template: has neither type nor command, expected for example command: [sleep, 10]",
        ("f:14:48: pools[2].partition.lost_after: two workers could run at once: self_stop_after 2s500ms + "
         "template.stop.grace 10s + 1s have to be within lost_after, which is 5s"),
        "f:15:23: pools[2].placement.spread[0]: is not known, expected node or region",
        "f:16:3: pools[3].name: is missing, expected a name of a-z 0-9 _ -",
        "f:18:3: pools[4]: 5 is a whole number, expected a map of name, size, min, max, paused, labels, template, "
        "placement, scaling, drain, update, partition",
        "f:19:1: extra: stands beside pools, expected nothing else: indent it if it is a part of it",
    };
    struct reeve_pools pools = {.len = 99};
    (void)state;
    errors_are(load("a.yaml", text, &pools), wants, REEVE_ARRAY_LEN(wants));
    assert_int_equal(pools.len, 99);
}

static void what_is_no_pool_is_said_so(void **state)
{
    static const struct {
        const char *yaml;
        const char *want;
    } rows[] = {
        {"", "f: is empty, expected a pool spec"},
        {"5\n", "f:1:1: is no pool spec, expected a map with pool, pools, or at least template and size"},
        {"worker: {type: a}\n",
         "f:1:1: is no pool spec, expected a map with pool, pools, or at least template and size"},
        {"pol: {size: 1}\n", "f:1:1: pol: unknown key, did you mean pool?"},
        {"pools: {size: 1}\n", "f:1:8: pools: map given, expected a list of pool specs"},
        {"pool: [1]\n",
         "f:1:7: pool: this is a list, expected a map of name, size, min, max, paused, labels, template, "
         "placement, scaling, drain, update, partition"},
    };
    struct reeve_pools pools;
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        errors_are(load("a.yaml", rows[i].yaml, &pools), &rows[i].want, 1);
    }
    assert_int_equal(load("a.yaml", "pool: {name: [}\n", &pools), REEVE_INVALID);
    assert_int_equal(errors.items[0].mark.line, 1);
    assert_int_equal(reeve_pool_load_file("/nonexistent/pool.yaml", &pools, &errors), REEVE_NOENT);
}

static void a_command_needs_no_name_and_keeps_what_was_there(void **state)
{
    struct reeve_pools pools = {0};
    REEVE_VALUE_AUTO bare = yaml_value("size: 1\ntemplate: {type: t}\n");
    REEVE_VALUE_AUTO named = yaml_value("pool: {name: a, size: 1, template: {type: t}}\n");
    REEVE_VALUE_AUTO wrong = yaml_value("pools: [{size: 1, template: {type: t}}, {size: 2}]\n");
    (void)state;
    reeve_errors_init(&errors, "f");
    assert_int_equal(reeve_pool_load_value(bare, &pools, &errors), REEVE_OK);
    assert_int_equal(reeve_pool_load_value(named, &pools, &errors), REEVE_OK);
    assert_int_equal(pools.len, 2);
    assert_int_equal(reeve_pool_load_value(wrong, &pools, &errors), REEVE_INVALID);
    assert_int_equal(reeve_pool_load_value(named, &pools, &errors), REEVE_INVALID); // the name is taken
    assert_int_equal(pools.len, 2);
    reeve_pools_done(&pools);
}

static void too_many_pools_are_refused(void **state)
{
    struct reeve_pools pools = {0};
    REEVE_VALUE_AUTO document = reeve_value_map();
    struct reeve_value *list = reeve_value_list();
    (void)state;
    for (int i = 0; i <= REEVE_POOLS_MAX; i++) {
        assert_int_equal(reeve_value_add(list, yaml_value("size: 1\ntemplate: {type: t}\n")), REEVE_OK);
    }
    assert_int_equal(reeve_value_put(document, "pools", list), REEVE_OK);
    reeve_errors_init(&errors, "f");
    assert_int_equal(reeve_pool_load_value(document, &pools, &errors), REEVE_INVALID);
    assert_string_equal(errors.items[0].path, "pools[256]");
    assert_int_equal(pools.len, 0);
    reeve_pools_done(&pools);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"a.yaml", "a.json"};
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_in_one_stream),
        cmocka_unit_test(json_files),
        cmocka_unit_test(the_example_of_the_documentation_loads),
        cmocka_unit_test(a_file_of_mistakes_gives_each_with_its_place),
        cmocka_unit_test(what_is_no_pool_is_said_so),
        cmocka_unit_test(a_command_needs_no_name_and_keeps_what_was_there),
        cmocka_unit_test(too_many_pools_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
