// Specs from documents and files: the three forms, streams, the user's examples, all mistakes of a file in one pass.
// Must not: leave files behind.
#include "spec_test.h"

#include <reeve/file.h>

#include <stdio.h>
#include <unistd.h>

static char folder[] = "/tmp/reeve-spec-XXXXXX";
static char path[64];

// The text as a file, loaded.
static enum reeve_err load(const char *name, const char *text, struct reeve_specs *ret)
{
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(reeve_file_write_atomic(path, text, strlen(text), 0600, NULL), REEVE_OK);
    enum reeve_err err = reeve_spec_load_file(path, ret, &errors);
    assert_string_equal(errors.source, path);
    errors.source = "f";
    return err;
}

static void a_worker_with_its_config(void **state)
{
    struct reeve_specs specs;
    (void)state;
    errors_are(load("a.yaml", "worker:\n  type: swap\n  config: {a: 1}\nswap:\n  coins: [KMD]\nother: 5\n", &specs),
               NULL, 0);
    assert_int_equal(specs.len, 1);
    assert_string_equal(specs.items[0].type, "swap");
    assert_int_equal(reeve_value_len(specs.items[0].config), 3);
    assert_int_equal(reeve_get_int(specs.items[0].config, "a", 0), 1);
    assert_int_equal(reeve_get_int(specs.items[0].config, "other", 0), 5);
    assert_int_equal(reeve_value_len(reeve_value_get(reeve_value_get(specs.items[0].config, "swap"), "coins")), 1);
    reeve_specs_done(&specs);
}

static void a_list_of_workers(void **state)
{
    struct reeve_specs specs;
    (void)state;
    errors_are(load("a.yaml", "workers:\n- {type: a, name: x}\n- command: [b]\n", &specs), NULL, 0);
    assert_int_equal(specs.len, 2);
    assert_string_equal(specs.items[0].name, "x");
    assert_string_equal(specs.items[1].command.items[0], "b");
    reeve_specs_done(&specs);
}

static void bare_specs_in_a_stream(void **state)
{
    struct reeve_specs specs;
    (void)state;
    errors_are(load("a.yaml", "type: a\n---\nname: b\ncommand: [b]\n---\nworker: {type: c}\nc: {d: 1}\n", &specs), NULL,
               0);
    assert_int_equal(specs.len, 3);
    assert_string_equal(specs.items[1].name, "b");
    assert_int_equal(reeve_get_int(reeve_value_get(specs.items[2].config, "c"), "d", 0), 1);
    reeve_specs_done(&specs);
}

static void json_files(void **state)
{
    struct reeve_specs specs;
    (void)state;
    errors_are(load("a.json", "{\"type\": \"a\", \"ttl\": \"5m\"}", &specs), NULL, 0);
    assert_int_equal(specs.items[0].ttl_ms, 300000);
    reeve_specs_done(&specs);
}

static void the_users_examples_load_unchanged(void **state)
{
    struct reeve_specs specs;
    (void)state;
    errors_are(reeve_spec_load_file(EXAMPLES "/swap-worker.yaml", &specs, &errors), NULL, 0);
    assert_int_equal(specs.len, 1);
    assert_string_equal(specs.items[0].type, "swap");
    assert_int_equal(specs.items[0].ttl_ms, 300000);
    assert_int_equal(specs.items[0].memory_limit_bytes, 512 << 20);
    assert_int_equal(specs.items[0].cleanup_delay_ms, 30000);
    const struct reeve_value *swap = reeve_value_get(specs.items[0].config, "swap");
    assert_string_equal(reeve_get_str(swap, "order_type"), "market");
    reeve_specs_done(&specs);

    errors_are(reeve_spec_load_file(EXAMPLES "/trading-worker.yaml", &specs, &errors), NULL, 0);
    assert_string_equal(specs.items[0].type, "trading");
    assert_int_equal(specs.items[0].memory_limit_bytes, 1 << 30);
    assert_true(specs.items[0].cpu_limit == 2);
    assert_int_equal(specs.items[0].restart.policy, REEVE_RESTART_ALWAYS);
    const struct reeve_value *bot = reeve_value_get(specs.items[0].config, "trading_bot");
    assert_string_equal(reeve_get_str(reeve_value_get(bot, "kdf_config"), "interval"), "5m");
    reeve_specs_done(&specs);
}

static void ten_mistakes_are_ten_errors_with_their_places(void **state)
{
    static const char text[] = "worker:\n"
                               "  name: Mm.1\n"
                               "  command: sleep 10\n"
                               "  memroy_limit: 512M\n"
                               "  memory_limit: 12 apples\n"
                               "  cpu_limit: lots\n"
                               "  restart: allways\n"
                               "  ttl: 300\n"
                               "  env:\n"
                               "    1A: x\n"
                               "  ready: {log: \"(a\"}\n"
                               "  max_pids: -1\n";
    static const char *const wants[] = {
        "f:2:9: worker.name: name \"Mm.1\": 'M' at 1 is not allowed (a-z 0-9 _ -)",
        "f:3:12: worker.command: \"sleep 10\" is text, expected a list of texts such as [one, two] (no shell splits "
        "the words)",
        "f:4:3: worker.memroy_limit: unknown key, did you mean memory_limit?",
        "f:5:17: worker.memory_limit: \"12 apples\" is no size, expected one such as 512M, 1G or 64KiB",
        "f:6:14: worker.cpu_limit: \"lots\" is text, expected a number from 0 to 4096",
        "f:7:12: worker.restart.policy: \"allways\" is not known, did you mean always?, expected one of always, "
        "on-failure, never",
        "f:8:8: worker.ttl: 300 has no unit, did you mean 300s or 300ms?",
        "f:10:5: worker.env.1A: is no name of a variable, expected letters, digits and _, no digit first",
        "f:11:16: worker.ready.log: is no regular expression (Unmatched ( or \\(), expected one such as \"listening on "
        ".*:[0-9]+\"",
        "f:12:13: worker.max_pids: -1 is below the minimum of 0",
    };
    struct reeve_specs specs = {.len = 77};
    (void)state;
    enum reeve_err err = load("a.yaml", text, &specs);
    errors_are(err, wants, 10);
    assert_int_equal(err, REEVE_INVALID);
    assert_int_equal(specs.len, 77); // untouched
}

static void mistakes_of_all_documents_come_together(void **state)
{
    struct reeve_specs specs;
    (void)state;
    enum reeve_err err = load("a.yaml",
                              "nmae: a\nname: x\ntype: a\n---\n"
                              "workers:\n- {type: a, name: x}\n- {name: y}\n- 5\nswap: {}\n",
                              &specs);
    char text[600];
    static const char *const parts[] = {"f:1:1: nmae: unknown key, did you mean name?",
                                        "workers[0].name: \"x\" is the name of another worker of this file",
                                        "workers[1]: has neither type nor command",
                                        "workers[2]: 5 is a whole number, expected a map of name, type",
                                        "swap: stands beside workers, expected nothing else"};
    assert_int_equal(err, REEVE_INVALID);
    assert_int_equal(errors.errors, REEVE_ARRAY_LEN(parts));
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        if (strstr(reeve_error_format(&errors, i, text, sizeof(text)), parts[i]) == NULL) {
            fail_msg("%s has no %s", text, parts[i]);
        }
    }
}

static void what_is_no_spec(void **state)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        {"", "f: is empty, expected a worker spec"},
        {"remote: {}", "f:1:1: is no worker spec, expected a map with worker, workers, or at least command or type"},
        {"[1]", "f:1:1: is no worker spec, expected a map with worker, workers, or at least command or type"},
        {"worke: {}", "f:1:1: worke: unknown key, did you mean worker?"},
        {"workers: {type: a}", "f:1:10: workers: map given, expected a list of worker specs"},
        {"worker: {type: a", "f:2:1: did not find"},
        {"worker: {type: a, config: {swap: 1}}\nswap: 2",
         "f:2:1: swap: is given here and in worker.config: keep one of them"},
        {"worker: {type: a, config: 5}\nswap: 2", "f:1:27: worker.config: whole number given, expected a map"},
        {"worker: [1]", "f:1:9: worker: this is a list, expected a map of name, type"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        struct reeve_specs specs = {.len = 77};
        char text[600];
        enum reeve_err err = load("a.yaml", rows[i].yaml, &specs);
        if (err != REEVE_INVALID || errors.errors != 1 ||
            strncmp(reeve_error_format(&errors, 0, text, sizeof(text)), rows[i].want, strlen(rows[i].want)) != 0) {
            fail_msg("'%s' gives %s, %zu errors: %s", rows[i].yaml, reeve_err_text(err), errors.errors, text);
        }
        assert_int_equal(specs.len, 77);
    }
}

static void a_key_that_lost_its_indentation_is_warned_about(void **state)
{
    static const char *const want[] = {"f:3:15: memory_limit: warning: stands beside worker and becomes a part of its "
                                       "config: indent it if the worker was meant"};
    struct reeve_specs specs;
    (void)state;
    errors_are(load("a.yaml", "worker:\n  type: a\nmemory_limit: 1G\n", &specs), want, 1);
    reeve_specs_done(&specs);
}

static void files_that_are_not_there(void **state)
{
    struct reeve_specs specs;
    char text[600];
    (void)state;
    assert_int_equal(reeve_spec_load_file("/nonexistent/a.yaml", &specs, &errors), REEVE_NOENT);
    assert_int_equal(errors.errors, 1);
    assert_non_null(strstr(reeve_error_format(&errors, 0, text, sizeof(text)), "/nonexistent/a.yaml"));
}

static void documents_add_to_a_list_or_leave_it(void **state)
{
    struct reeve_specs specs = {0};
    REEVE_VALUE_AUTO first = yaml_value("{type: a, name: x}");
    REEVE_VALUE_AUTO twice = yaml_value("workers: [{type: b}, {type: b, name: x}]");
    REEVE_VALUE_AUTO good = yaml_value("workers: [{type: b}, {type: b, name: y}]");
    (void)state;
    reeve_errors_init(&errors, NULL);
    assert_int_equal(reeve_spec_load_value(first, &specs, &errors), REEVE_OK);
    assert_int_equal(reeve_spec_load_value(twice, &specs, &errors), REEVE_INVALID);
    assert_int_equal(errors.errors, 1);
    assert_int_equal(specs.len, 1);
    assert_int_equal(reeve_spec_load_value(good, &specs, &errors), REEVE_OK);
    assert_int_equal(specs.len, 3);
    reeve_specs_done(&specs);
    assert_int_equal(specs.len, 0);
}

static void too_many_workers(void **state)
{
    struct reeve_specs specs;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    (void)state;
    reeve_buf_puts(&buf, "workers:\n");
    for (int i = 0; i <= REEVE_SPECS_MAX; i++) {
        reeve_buf_puts(&buf, "- type: a\n");
    }
    assert_int_equal(load("a.yaml", reeve_buf_str(&buf), &specs), REEVE_INVALID);
    assert_int_equal(errors.errors, 1);
    assert_string_equal(errors.items[0].text, "is one too many, at most 1024 workers are allowed");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return reeve_dir_remove(folder, NULL) != REEVE_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_with_its_config),
        cmocka_unit_test(a_list_of_workers),
        cmocka_unit_test(bare_specs_in_a_stream),
        cmocka_unit_test(json_files),
        cmocka_unit_test(the_users_examples_load_unchanged),
        cmocka_unit_test(ten_mistakes_are_ten_errors_with_their_places),
        cmocka_unit_test(mistakes_of_all_documents_come_together),
        cmocka_unit_test(what_is_no_spec),
        cmocka_unit_test(a_key_that_lost_its_indentation_is_warned_about),
        cmocka_unit_test(files_that_are_not_there),
        cmocka_unit_test(documents_add_to_a_list_or_leave_it),
        cmocka_unit_test(too_many_workers),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
