// Files: which reader an extension gets, bounds, places that carry the path, standard input.
#include "codec_test.h"

#include <stdio.h>
#include <unistd.h>

static char folder[] = "/tmp/reeve-source-XXXXXX";

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int folder_remove(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void file_write(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void the_extension_chooses_the_reader(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"a.yaml", "a: 1\n"},
        {"a.yml", "a: 1\n"},
        {"a.json", "{\"a\":1}"},
        {"a", "a: 1\n"},
        {"a.mp", "\x81\xa1"
                 "a\x01"},
        {"a.msgpack", "\x81\xa1"
                      "a\x01"},
        {"a.json.conf", "a: 1\n"},
    };
    REEVE_VALUE_AUTO want = json_value("{\"a\":1}");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        REEVE_VALUE_AUTO value = NULL;
        file_write(rows[i].name, rows[i].text, strlen(rows[i].text));
        assert_int_equal(reeve_file_read_value(path_of(rows[i].name), &reeve_limits_file, &value, NULL), REEVE_OK);
        assert_true(reeve_value_equal(value, want));
        assert_int_equal(unlink(path_of(rows[i].name)), 0);
    }
}

static void errors_name_the_file(void **state)
{
    (void)state;
    struct reeve_value *value = NULL;
    struct reeve_why why = {.text = ""};
    char want[160];
    file_write("bad.yaml", "a: 1\na: 2\n", 10);
    assert_int_equal(reeve_file_read_value(path_of("bad.yaml"), &reeve_limits_file, &value, &why), REEVE_INVALID);
    (void)snprintf(want, sizeof(want), "%s:2:1", path_of("bad.yaml"));
    assert_string_equal(why.place, want);
    const struct reeve_limits tight = {.bytes_max = 9, .depth_max = 4, .entries_max = 4};
    assert_int_equal(reeve_file_read_value(path_of("bad.yaml"), &tight, &value, &why), REEVE_LIMIT);
    assert_int_equal(unlink(path_of("bad.yaml")), 0);
    assert_int_equal(reeve_file_read_value(path_of("none.yaml"), &reeve_limits_file, &value, &why), REEVE_NOENT);
    assert_null(value);
}

static enum reeve_err read_stdin(const char *text, const struct reeve_limits *limits, struct reeve_value **ret,
                                 struct reeve_why *why)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), (int)strlen(text));
    assert_int_equal(close(ends[1]), 0);
    int saved = dup(STDIN_FILENO);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    enum reeve_err err = reeve_file_read_value("-", limits, ret, why);
    if (saved >= 0) {
        assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
        (void)close(saved); // a copy
    }
    (void)close(ends[0]); // only read from
    return err;
}

static void a_dash_is_standard_input(void **state)
{
    (void)state;
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_value *none = NULL;
    struct reeve_why why = {.text = ""};
    REEVE_VALUE_AUTO want = json_value("{\"a\":1}");
    const struct reeve_limits limits = {.bytes_max = 5, .depth_max = 4, .entries_max = 4};
    assert_int_equal(read_stdin("a: 1\n", &limits, &value, &why), REEVE_OK);
    assert_true(reeve_value_equal(value, want));
    assert_int_equal(read_stdin("a: 10\n", &limits, &none, &why), REEVE_LIMIT);
    assert_string_equal(why.text, "standard input is longer than 5 bytes");
    assert_int_equal(read_stdin("a: *\n", &limits, &none, &why), REEVE_INVALID);
    assert_int_equal(strncmp(why.place, "standard input:1:", 17), 0);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_extension_chooses_the_reader),
        cmocka_unit_test(errors_name_the_file),
        cmocka_unit_test(a_dash_is_standard_input),
    };
    return cmocka_run_group_tests_name("source", tests, folder_make, folder_remove);
}
