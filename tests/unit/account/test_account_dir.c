// A directory of accounts: 500 of them with 20 wrong in different ways, defaults, rules, ids used twice; and that no
// message ever repeats a secret. Must not: leave files behind.
#include "account_test.h"

#include <dirent.h>
#include <sys/stat.h>

static char folder[64];
static struct reeve_account_dir dir;

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/reeve-account-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return reeve_dir_remove(folder, NULL) != REEVE_OK;
}

static void put(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(reeve_file_write_atomic(path, text, strlen(text), 0600, NULL), REEVE_OK);
}

static enum reeve_err load(void)
{
    return reeve_account_dir_load(folder, true, &dir, &errors);
}

static const struct reeve_account_file *file_of(const char *name)
{
    for (size_t i = 0; i < dir.len; i++) {
        const char *slash = strrchr(dir.files[i].path, '/');
        if (strcmp(slash + 1, name) == 0) {
            return &dir.files[i];
        }
    }
    fail_msg("%s was not read", name);
    return NULL;
}

// ---- 500 files, 20 of them wrong ------------------------------------------------------------------------------------

#define SECRET "s3cr3t-Literal"

#define DEFAULTS                                                                                                       \
    "password: env:REEVE_TEST_PASSWORD\nserver: demo.example.com:443\n"                                                \
    "default_risk: {risk_percent: 1, max_positions: 5, portfolio_risk_percent: 6, max_concurrent_trades: 3}\n"         \
    "worker: {command: [sleep, infinity]}\n"
#define TAIL "login: '1'\ncurrencies: [{symbol: EURUSD}]\n"

// What is wrong with file w<i>.yaml, and what has to be said about it with its place.
static const struct {
    const char *text, *said;
} wrong[] = {
    {"account_id: ''\n" TAIL, "w00.yaml:1:13: account_id:"},
    {TAIL, "w01.yaml:1:1: account_id: is missing"},
    {"account_id: W 02\n" TAIL, "w02.yaml:1:13: account_id:"},
    {"account_id: w03\nlogin: '1'\n", "w03.yaml:1:1: currencies: is missing"},
    {"account_id: w04\nlogin: '1'\ncurrencies: []\n", "w04.yaml:3:13: currencies: is empty"},
    {"account_id: w05\nlogin: '1'\ncurrencies: [{symbol: ''}]\n", "w05.yaml:3:23: currencies[0].symbol: is empty"},
    {"account_id: w06\ndefault_risk: {risk_percent: 0.05}\n" TAIL, "w06.yaml:2:30: default_risk.risk_percent:"},
    {"account_id: w07\ndefault_risk: {max_positions: 0}\n" TAIL, "w07.yaml:2:31: default_risk.max_positions:"},
    {"account_id: w08\ndefault_risk: {portfolio_risk_percent: 0.5}\n" TAIL,
     "w08.yaml:2:40: default_risk.portfolio_risk_percent:"},
    {"account_id: w09\ndefault_risk: {max_concurrent_trades: 0}\n" TAIL,
     "w09.yaml:2:39: default_risk.max_concurrent_trades:"},
    {"account_id: w10\npassword: " SECRET "\n" TAIL, "w10.yaml:2:11: password: must be a reference"},
    {"account_id: w11\nlogin: 12\ncurrencies: [{symbol: A}]\n", "w11.yaml:2:8: login: 12 is a whole number"},
    {"account_id: w12\nservr: x\n" TAIL, "w12.yaml:2:1: servr: unknown key, did you mean server?"},
    {"account_id: w13\ntimeout: 30\n" TAIL, "w13.yaml:2:10: timeout: 30 has no unit"},
    {"account_id: w14\nworker: {memory_limit: 12 apples}\n" TAIL, "w14.yaml:2:24: worker.memory_limit:"},
    {"account_id: w15\n\tlogin: x\n", "w15.yaml:2:"},
    {"account_id: w16\nrequire: [\"cpus>=many\"]\n" TAIL, "w16.yaml:2:11: require[0]:"},
    {"account_id: w17\nworker: {env: {API_KEY: " SECRET "}}\n" TAIL, "w17.yaml:2:25: worker.env.API_KEY: must be"},
    {"account_id: w18\npassword: " SECRET ": x\n" TAIL, "w18.yaml:2:"},
    {"- account_id: w19\n", "w19.yaml:1:1: is no map of keys"},
};
static_assert(REEVE_ARRAY_LEN(wrong) == 20, "20 of 500");

static void put_500(void)
{
    put("defaults.yaml", DEFAULTS);
    for (size_t i = 0; i < 500 - REEVE_ARRAY_LEN(wrong); i++) {
        char name[32];
        char text[256];
        (void)snprintf(name, sizeof name, "a%03zu.yaml", i);
        (void)snprintf(text, sizeof text, "account_id: desk-%03zu\npassword: file:/etc/secrets/%zu\n%s", i, i, TAIL);
        put(name, text);
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "w%02zu.yaml", i);
        put(name, wrong[i].text);
    }
}

static void of_500_the_20_wrong_ones_are_told_with_their_places(void **state)
{
    (void)state;
    put_500();
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.len, 500);
    assert_int_equal(dir.valid, 480);
    assert_int_equal(dir.invalid, 20);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "w%02zu.yaml", i);
        const struct reeve_account_file *file = file_of(name);
        assert_false(file->valid);
        assert_true(strstr(wrong[i].text, SECRET) == NULL || !file->decoded);
        assert_non_null(file->errors);
        says(file->errors, wrong[i].said);
        says(file->errors, folder); // the whole path
        says_not(file->errors, SECRET);
    }
    for (size_t i = 0; i < dir.len; i++) {
        assert_true(dir.files[i].valid <= dir.files[i].decoded);
        assert_true(dir.files[i].valid == (strstr(dir.files[i].path, "/a") != NULL && dir.files[i].errors == NULL));
    }
    reeve_account_dir_done(&dir);
}

// ---- secrets in what can't even be read -----------------------------------------------------------------------------

static void a_reader_does_not_repeat_a_secret(void **state)
{
    static const char *const texts[] = {
        "account_id: a\npassword: '" SECRET "\nb: 1\n", // the quote is never closed
        "account_id: a\npassword: *" SECRET "\n",
        "account_id: a\npassword: &" SECRET "\n",
        "account_id: a\npassword: !" SECRET " x\n",
        "account_id: a\npassword: @" SECRET "\n",
        "account_id: a\npassword: %" SECRET "\n",
        "account_id: a\npassword: [" SECRET "\n",
        "account_id: a\npassword: {" SECRET "\n",
        "account_id: a\n{password: " SECRET ", " SECRET ": 1, " SECRET ": 2}\n",
        "account_id: a\npassword: {" SECRET ": 1, " SECRET ": 2}\n",
        "account_id: a\npassword:\n  " SECRET ": 1\n  " SECRET ": 2\n",
        "account_id: a\npassword: \"\\x" SECRET "\"\n",
        "account_id: a\nworker: {env: {API_KEY: {" SECRET ": 1, " SECRET ": 2}}}\n",
        "account_id: a\nworker: {config: {secret: [" SECRET "}}\n",
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(texts); i++) {
        put("a.yaml", texts[i]);
        assert_int_equal(load(), REEVE_OK);
        assert_int_equal(dir.invalid, 1);
        says_not(dir.files[0].errors, SECRET);
        assert_true(dir.files[0].errors->items[0].mark.line > 0);
        reeve_account_dir_done(&dir);
    }
    put("a.json", "{\n\"account_id\": \"a\", \"password\": \"" SECRET "\",\n\"b\": " SECRET "}");
    put("a.yaml", "account_id: b\nbad: [\n");
    assert_int_equal(load(), REEVE_OK);
    says_not(file_of("a.json")->errors, SECRET);
    reeve_account_dir_done(&dir);
    put("a.yaml", "account_id: b\naccount_id: c\npassword: " SECRET "\n");
    assert_int_equal(load(), REEVE_OK);
    says(file_of("a.yaml")->errors,
         "key \"account_id\" is given twice"); // no secret up to there: the reader's own words
    reeve_account_dir_done(&dir);
}

// ---- defaults -------------------------------------------------------------------------------------------------------

static void an_account_wins_maps_are_merged_lists_replaced(void **state)
{
    (void)state;
    put("defaults.yaml", DEFAULTS "watch: apply\ncurrencies: [{symbol: A}, {symbol: B}]\nrequire: [x=1]\n");
    put("a.yaml", "account_id: a\ndefault_risk: {risk_percent: 2}\ncurrencies: [{symbol: C}]\nserver:\n"
                  "worker: {memory_limit: 1G}\n");
    put("b.json", "{\"account_id\": \"b\", \"server\": \"other\"}");
    assert_int_equal(load(), REEVE_OK);
    assert_true(dir.watch_apply);
    assert_int_equal(dir.valid, 2);
    const struct reeve_account *a = &file_of("a.yaml")->account;
    assert_true(a->default_risk.risk_percent == 2 && a->default_risk.max_positions == 5);
    assert_int_equal(a->currencies.len, 1);
    assert_string_equal(a->server, "demo.example.com:443"); // a key without a value is not said
    assert_string_equal(reeve_value_text(reeve_value_at(reeve_value_get(a->worker, "command"), 0)), "sleep");
    assert_string_equal(reeve_get_str(a->worker, "memory_limit"), "1G");
    assert_int_equal(a->require.len, 1);
    const struct reeve_account *b = &file_of("b.json")->account;
    assert_int_equal(b->currencies.len, 2);
    assert_string_equal(b->server, "other");
    reeve_account_dir_done(&dir);
    // Without them neither has a worker.
    assert_int_equal(reeve_account_dir_load(folder, false, &dir, &errors), REEVE_OK);
    assert_int_equal(dir.invalid, 2);
    assert_true(dir.watch_apply);
    reeve_account_dir_done(&dir);
}

static void what_is_wrong_in_the_defaults_has_its_place_there(void **state)
{
    (void)state;
    // Each by itself is right; together they are not.
    put("defaults.yaml", "default_risk: {risk_percent: 1, max_positions: 5, portfolio_risk_percent: 6, "
                         "max_concurrent_trades: 3}\nworker:\n  type: t\n  ready: {log: x}\n");
    put("a.yaml", "account_id: a\ncurrencies: [{symbol: A}]\nworker: {ready: {tcp: 80}}\n");
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.invalid, 1);
    reeve_account_dir_done(&dir);
    put("defaults.yaml", "default_risk: {risk_percent: 11, max_positions: 5, portfolio_risk_percent: 6, "
                         "max_concurrent_trades: 3}\nworker: {type: t}\n");
    put("a.yaml", "account_id: a\ncurrencies: [{symbol: A}]\n");
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.valid, 1);
    says(dir.files[0].errors, "default_risk.risk_percent: warning: 11 is above the maximum of 10: one trade may lose a "
                              "lot (defaults.yaml:1:30)");
    assert_non_null(dir.errors);
    says(dir.errors, "defaults.yaml:1:30: default_risk.risk_percent: warning:");
    reeve_account_dir_done(&dir);
}

static void bad_defaults_or_rules_are_bad_for_all(void **state)
{
    static const struct {
        const char *name, *text, *said;
    } rows[] = {
        {"defaults.yaml", "servr: x\n", "defaults.yaml:1:1: servr: unknown key"},
        {"defaults.yaml", "account_id: x\n", "defaults.yaml:1:1: account_id: unknown key"},
        {"defaults.yaml", "default_risk: {risk_percent: 0}\n",
         "defaults.yaml:1:30: default_risk.risk_percent: 0 is below"},
        {"defaults.yaml", "password: " SECRET "\n", "defaults.yaml:1:11: password: must be a reference"},
        {"defaults.yaml", "worker: {memory_limit: x}\n", "defaults.yaml:1:24: worker.memory_limit:"},
        {"defaults.yaml", "a: [\n", "defaults.yaml"},
        {"defaults.yml", "{}", "defaults.yaml and defaults.yml are both there"},
        {"rules.yaml", "rules: [{field: nothing, min: 1}]\n", "rules.yaml:1:17: rules[0].field:"},
        {"rules.yaml", "rules: [\n", "rules.yaml"},
    };
    (void)state;
    put("a.yaml", GOOD);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char path[128];
        put("defaults.yaml", "watch: plan\n");
        put(rows[i].name, rows[i].text);
        assert_int_equal(load(), REEVE_INVALID);
        says(&errors, rows[i].said);
        says_not(&errors, SECRET);
        (void)snprintf(path, sizeof path, "%s/%s", folder, rows[i].name);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.valid, 1);
    reeve_account_dir_done(&dir);
}

static void rules_of_the_directory_count(void **state)
{
    (void)state;
    put("rules.yaml", "rules:\n- {field: default_risk.risk_percent, max: 0.5, text: house rule}\n");
    put("a.yaml", GOOD);
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.invalid, 1);
    says(dir.files[0].errors, "a.yaml:5:30: default_risk.risk_percent: 1 is above the maximum of 0.5: house rule");
    reeve_account_dir_done(&dir);
}

// ---- the folder -----------------------------------------------------------------------------------------------------

static void ids_used_twice_name_each_other(void **state)
{
    (void)state;
    put("a.yaml", GOOD);
    put("b.yaml", GOOD);
    put("c.yaml", GOOD "bad: 1\n");
    put("d.yaml",
        "account_id: desk-2\ncurrencies: [{symbol: A}]\nworker: {type: t}\n"
        "default_risk: {risk_percent: 1, max_positions: 1, portfolio_risk_percent: 1, max_concurrent_trades: 1}\n");
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.valid, 1);
    says(file_of("a.yaml")->errors, "account_id: desk-1 is the id of b.yaml too");
    says(file_of("b.yaml")->errors, "account_id: desk-1 is the id of a.yaml too");
    says(file_of("c.yaml")->errors, "account_id: desk-1 is the id of b.yaml too");
    assert_string_equal(file_of("c.yaml")->id, "desk-1");
    reeve_account_dir_done(&dir);
}

static void what_is_no_account_is_not_read(void **state)
{
    char path[128];
    (void)state;
    put(".a.yaml", "x");
    put("a.yaml~", "x");
    put("a.yaml.bak", "x");
    put("README", "x");
    put(".yaml", "x");
    (void)snprintf(path, sizeof path, "%s/sub", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    put("z.yml", GOOD);
    (void)snprintf(path, sizeof path, "%s/gone.yaml", folder);
    assert_int_equal(symlink("/nowhere/at/all", path), 0);
    assert_int_equal(load(), REEVE_OK);
    assert_int_equal(dir.len, 1);
    assert_int_equal(dir.valid, 1);
    reeve_account_dir_done(&dir);
    put("empty.yaml", "");
    put("two.yaml", GOOD "---\n" GOOD);
    assert_int_equal(load(), REEVE_OK);
    says(file_of("empty.yaml")->errors, "is empty, expected a map of keys");
    says(file_of("two.yaml")->errors, "is a second document");
    reeve_account_dir_done(&dir);
}

static void a_folder_that_is_not_there(void **state)
{
    (void)state;
    assert_int_equal(reeve_account_dir_load("/nowhere/at/all", true, &dir, &errors), REEVE_NOENT);
    says(&errors, "/nowhere/at/all: No such file or directory");
}

static void the_examples_of_the_documentation_are_right(void **state)
{
    (void)state;
    assert_int_equal(reeve_account_dir_load(EXAMPLES, true, &dir, &errors), REEVE_OK);
    assert_int_equal(dir.valid, 2);
    assert_int_equal(dir.invalid, 0);
    assert_false(dir.watch_apply);
    says(file_of("desk-a-2.yaml")->errors, "desk-a-2.yaml:6:58: currencies[1].risk.risk_percent: warning: 12 is above");
    reeve_account_dir_done(&dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(of_500_the_20_wrong_ones_are_told_with_their_places),
        TEST(a_reader_does_not_repeat_a_secret),
        TEST(an_account_wins_maps_are_merged_lists_replaced),
        TEST(what_is_wrong_in_the_defaults_has_its_place_there),
        TEST(bad_defaults_or_rules_are_bad_for_all),
        TEST(rules_of_the_directory_count),
        TEST(ids_used_twice_name_each_other),
        TEST(what_is_no_account_is_not_read),
        TEST(a_folder_that_is_not_there),
        TEST(the_examples_of_the_documentation_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
