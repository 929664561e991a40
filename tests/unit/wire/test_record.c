// Record tables: every type accepted and refused, all mistakes in one pass with their places, presets, secrets,
// and that what is encoded decodes equal for random tables.
// Must not: know a table of the programs; those have tests of their own.
#include "codec_test.h"

#include <reeve/record.h>

#include <stdio.h>

// ---- a table with every type ------------------------------------------------------------------------

enum colour { RED, GREEN, BLUE };
static const struct reeve_choice colours[] = {
    {"red", RED}, {"green", GREEN}, {"blue", BLUE}, {"azure", BLUE}, {NULL, 0}};

struct part {
    int colour;
    int64_t weight;
    char *note;
};
static const struct reeve_field part_fields[] = {
    {.name = "colour",
     .type = REEVE_FIELD_CHOICE,
     .offset = offsetof(struct part, colour),
     .choices = colours,
     .preset = "green"},
    {.name = "weight",
     .type = REEVE_FIELD_SIZE,
     .offset = offsetof(struct part, weight),
     .min = 10,
     .max = 1000,
     .preset = "100"},
    {.name = "note", .type = REEVE_FIELD_STR, .offset = offsetof(struct part, note)},
};
static const struct reeve_record part_record = REEVE_RECORD("part", struct part, part_fields, "A part.");

struct thing {
    bool on;
    int64_t count;
    double ratio;
    char *title;
    char *name;
    int64_t wait_ms, pause_ms;
    int64_t size;
    int colour, level;
    struct reeve_strv tags, argv;
    struct reeve_value *env, *tree, *keys;
    struct part part;
    struct reeve_records parts;
    char *password;
    char *old;
};
#define AT(member) offsetof(struct thing, member)
static const struct reeve_field thing_fields[] = {
    {.name = "on", .type = REEVE_FIELD_BOOL, .offset = AT(on), .preset = "true", .doc = "Whether."},
    {.name = "count", .type = REEVE_FIELD_INT, .offset = AT(count), .min = 1, .max = 64, .preset = "8"},
    {.name = "ratio", .type = REEVE_FIELD_REAL, .offset = AT(ratio), .min = 0, .max = 2, .preset = "0.5"},
    {.name = "title", .type = REEVE_FIELD_STR, .offset = AT(title), .min = 2, .max = 5},
    {.name = "name", .type = REEVE_FIELD_NAME, .offset = AT(name), .flags = REEVE_FIELD_REQUIRED},
    {.name = "wait", .type = REEVE_FIELD_DURATION, .offset = AT(wait_ms), .max = 60000, .preset = "5s"},
    {.name = "pause_ms", .type = REEVE_FIELD_DURATION, .offset = AT(pause_ms)},
    {.name = "size", .type = REEVE_FIELD_SIZE, .offset = AT(size), .min = 0, .max = 1 << 30, .preset = "0"},
    {.name = "max_size", .alias_of = "size"},
    {.name = "colour", .type = REEVE_FIELD_CHOICE, .offset = AT(colour), .choices = colours, .preset = "red"},
    {.name = "level",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(level),
     .choices = colours,
     .flags = REEVE_FIELD_SCALAR_OK},
    {.name = "tags", .type = REEVE_FIELD_STRV, .offset = AT(tags), .min = 1, .max = 3},
    {.name = "argv",
     .type = REEVE_FIELD_STRV,
     .offset = AT(argv),
     .flags = REEVE_FIELD_LIST_ONLY | REEVE_FIELD_SCALAR_OK},
    {.name = "env", .type = REEVE_FIELD_MAP, .offset = AT(env)},
    {.name = "tree", .type = REEVE_FIELD_VALUE, .offset = AT(tree)},
    {.name = "keys", .type = REEVE_FIELD_MAP, .offset = AT(keys), .flags = REEVE_FIELD_SECRET},
    {.name = "part", .type = REEVE_FIELD_RECORD, .offset = AT(part), .record = &part_record, .scalar_member = "colour"},
    {.name = "parts", .type = REEVE_FIELD_RECORDS, .offset = AT(parts), .record = &part_record, .min = 0, .max = 3},
    {.name = "password", .type = REEVE_FIELD_STR, .offset = AT(password), .flags = REEVE_FIELD_SECRET},
    {.name = "old", .type = REEVE_FIELD_STR, .offset = AT(old), .flags = REEVE_FIELD_INERT},
};
static const struct reeve_record thing_record = REEVE_RECORD("thing", struct thing, thing_fields, "A thing.");

// ---- helpers ------------------------------------------------------------------------------------------

static struct reeve_value *yaml_value(const char *text)
{
    struct reeve_value *value = NULL;
    struct reeve_why why = {0};
    char message[700];
    if (reeve_yaml_read(text, strlen(text), &reeve_limits_file, NULL, &value, &why) != REEVE_OK) {
        fail_msg("%s: %s", text, reeve_why_format(&why, message, sizeof(message)));
    }
    return value;
}

static struct reeve_errors errors; // 28 KiB, not for the stack

static enum reeve_err decode(const char *yaml, struct thing *ret)
{
    REEVE_VALUE_AUTO value = yaml_value(yaml);
    reeve_errors_init(&errors, "f");
    return reeve_record_decode(&thing_record, value, "", ret, &errors);
}

// A decode that must go well; its thing is the caller's.
static struct thing decoded(const char *yaml)
{
    struct thing thing;
    char text[600];
    if (decode(yaml, &thing) != REEVE_OK) {
        fail_msg("%s: %s", yaml, errors.len > 0 ? reeve_error_format(&errors, 0, text, sizeof(text)) : "");
    }
    return thing;
}

static void done(struct thing *thing)
{
    reeve_record_done(&thing_record, thing);
}

static void refuses_as(const char *yaml, const char *const *wants, size_t len)
{
    struct thing thing;
    char text[600];
    enum reeve_err err = decode(yaml, &thing);
    if (err != REEVE_INVALID || errors.errors != len || errors.len < len) {
        fail_msg("%s: %s, %zu errors, the first is %s", yaml, reeve_err_text(err), errors.errors,
                 errors.len > 0 ? reeve_error_format(&errors, 0, text, sizeof(text)) : "-");
    }
    for (size_t i = 0; i < len; i++) {
        assert_string_equal(reeve_error_format(&errors, i, text, sizeof(text)), wants[i]);
    }
}

// ---- decoding -------------------------------------------------------------------------------------------

static void presets_fill_what_is_absent(void **state)
{
    struct thing thing = decoded("name: a");
    (void)state;
    assert_true(thing.on);
    assert_int_equal(thing.count, 8);
    assert_true(thing.ratio == 0.5);
    assert_null(thing.title);
    assert_string_equal(thing.name, "a");
    assert_int_equal(thing.wait_ms, 5000);
    assert_int_equal(thing.pause_ms, 0);
    assert_int_equal(thing.size, 0);
    assert_int_equal(thing.colour, RED);
    assert_int_equal(thing.tags.len, 0);
    assert_null(thing.env);
    assert_int_equal(thing.part.colour, GREEN);
    assert_int_equal(thing.part.weight, 100);
    assert_int_equal(thing.parts.len, 0);
    done(&thing);
}

static void presets_alone(void **state)
{
    struct thing thing;
    (void)state;
    assert_int_equal(reeve_record_preset(&thing_record, &thing), REEVE_OK);
    assert_int_equal(thing.count, 8);
    assert_int_equal(thing.part.weight, 100);
    assert_null(thing.name);
    done(&thing);
}

static void every_type_is_read(void **state)
{
    struct thing thing = decoded("on: false\ncount: 64\nratio: 2\ntitle: \"12\"\nname: a-1\nwait: 1m\npause_ms: 250\n"
                                 "max_size: 1K\ncolour: azure\nlevel: 2\ntags: [x, y]\nargv: [sleep, 5, true]\n"
                                 "env: {A: text, B: 5, C: false}\ntree: [1, {a: 2}]\nkeys: {k: v}\n"
                                 "part: {weight: 10, note: hm}\nparts: [{colour: red}, {}]\npassword: pw\n");
    (void)state;
    assert_false(thing.on);
    assert_int_equal(thing.count, 64);
    assert_true(thing.ratio == 2);
    assert_string_equal(thing.title, "12");
    assert_int_equal(thing.wait_ms, 60000);
    assert_int_equal(thing.pause_ms, 250);
    assert_int_equal(thing.size, 1024);
    assert_int_equal(thing.colour, BLUE);
    assert_int_equal(thing.level, BLUE);
    assert_int_equal(thing.tags.len, 2);
    assert_string_equal(thing.argv.items[1], "5");
    assert_string_equal(thing.argv.items[2], "true");
    assert_string_equal(reeve_get_str(thing.env, "B"), "5");
    assert_string_equal(reeve_get_str(thing.env, "C"), "false");
    assert_int_equal(reeve_value_kind(thing.tree), REEVE_LIST);
    assert_int_equal(thing.part.weight, 10);
    assert_int_equal(thing.part.colour, GREEN);
    assert_string_equal(thing.part.note, "hm");
    assert_int_equal(thing.parts.len, 2);
    assert_int_equal(((struct part *)thing.parts.items)[0].colour, RED);
    assert_int_equal(((struct part *)thing.parts.items)[1].weight, 100);
    done(&thing);
}

static void other_spellings_of_a_value(void **state)
{
    static const struct {
        const char *yaml;
        int64_t wait_ms, count, size;
    } rows[] = {
        {"wait: 0\ncount: \"5\"\nsize: 100", 0, 5, 100},
        {"wait: 0\ncount: 5\nsize: 5\non: \"false\"\nratio: \"1.5e0\"", 0, 5, 5},
        {"wait: \"0\"\ncount: 5.0\nsize: \"1.5K\"", 0, 5, 1536},
        {"wait: ~\ncount:\nsize: null", 5000, 8, 0}, // without a value = absent
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char yaml[200];
        (void)snprintf(yaml, sizeof(yaml), "name: a\n%s", rows[i].yaml);
        struct thing thing = decoded(yaml);
        assert_int_equal(thing.wait_ms, rows[i].wait_ms);
        assert_int_equal(thing.count, rows[i].count);
        assert_int_equal(thing.size, rows[i].size);
        assert_int_equal(thing.on, strstr(yaml, "false") == NULL);
        assert_true(thing.ratio == (strstr(yaml, "ratio") != NULL ? 1.5 : 0.5));
        done(&thing);
    }
}

static void a_single_text_is_a_list_of_one(void **state)
{
    struct thing thing = decoded("name: a\ntags: x");
    (void)state;
    assert_int_equal(thing.tags.len, 1);
    assert_string_equal(thing.tags.items[0], "x");
    done(&thing);
}

static void a_scalar_goes_to_the_member_of_a_record(void **state)
{
    struct thing thing = decoded("name: a\npart: blue");
    (void)state;
    assert_int_equal(thing.part.colour, BLUE);
    assert_int_equal(thing.part.weight, 100);
    done(&thing);
}

static void every_type_is_refused_with_what_was_expected(void **state)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        {"on: yes", "f:2:5: on: \"yes\" is text, expected true or false"},
        {"on: 1", "f:2:5: on: 1 is a whole number, expected true or false"},
        {"count: many", "f:2:8: count: \"many\" is text, expected a whole number from 1 to 64"},
        {"count: 1.5", "f:2:8: count: 1.5 is a number, expected a whole number from 1 to 64"},
        {"count: 65", "f:2:8: count: 65 is above the maximum of 64"},
        {"count: 0", "f:2:8: count: 0 is below the minimum of 1"},
        {"count: [1]", "f:2:8: count: this is a list, expected a whole number from 1 to 64"},
        {"ratio: 0x10", "f:2:8: ratio: 16 is out of bounds, expected a number from 0 to 2"},
        {"ratio: nan", "f:2:8: ratio: \"nan\" is text, expected a number from 0 to 2"},
        {"ratio: \"0x1\"", "f:2:8: ratio: \"0x1\" is text, expected a number from 0 to 2"},
        {"title: 12", "f:2:8: title: 12 is a whole number, expected text (write it in quotes)"},
        {"title: 1.5", "f:2:8: title: 1.5 is a number, expected text (write it in quotes)"},
        {"title: true", "f:2:8: title: true is a boolean, expected text (write it in quotes)"},
        {"title: {a: 1}", "f:2:8: title: this is a map, expected text"},
        {"title: x", "f:2:8: title: has 1 bytes, expected 2 to 5"},
        {"title: xxxxxx", "f:2:8: title: has 6 bytes, expected 2 to 5"},
        {"wait: 30", "f:2:7: wait: 30 has no unit, did you mean 30s or 30ms?"},
        {"wait: soon", "f:2:7: wait: \"soon\" is no duration, expected one such as 250ms, 30s, 5m or 1h30m"},
        {"wait: 61s", "f:2:7: wait: 1m1s is above the maximum of 1m"},
        {"wait: true", "f:2:7: wait: true is a boolean, expected a duration from 0 to 1m such as 30s, 5m or 1h30m"},
        {"pause_ms: -1", "f:2:11: pause_ms: -1 is negative"},
        {"size: 2G", "f:2:7: size: 2G is above the maximum of 1G"},
        {"size: 12 apples", "f:2:7: size: \"12 apples\" is no size, expected one such as 512M, 1G or 64KiB"},
        {"size: -5", "f:2:7: size: -5 is negative"},
        {"size: [1]", "f:2:7: size: this is a list, expected a size from 0 to 1G such as 512M or 1G"},
        {"colour: geren",
         "f:2:9: colour: \"geren\" is not known, did you mean green?, expected one of red, green, blue"},
        {"colour: GREEN",
         "f:2:9: colour: \"GREEN\" is not known, did you mean green?, expected one of red, green, blue"},
        {"colour: 1", "f:2:9: colour: 1 is a whole number, expected one of red, green, blue"},
        {"level: 7", "f:2:8: level: 7 is a whole number, expected one of red, green, blue"},
        {"tags: []", "f:2:7: tags: has 0 entries, expected 1 to 3"},
        {"tags: [a, b, c, d]", "f:2:7: tags: has 4 entries, expected 1 to 3"},
        {"tags: [a, 5]", "f:2:11: tags[1]: 5 is a whole number, expected text (write it in quotes)"},
        {"tags: 5", "f:2:7: tags: 5 is a whole number, expected a list of texts such as [one, two]"},
        {"argv: sleep 10", "f:2:7: argv: \"sleep 10\" is text, expected a list of texts such as [one, two] "
                           "(no shell splits the words)"},
        {"argv: [a, 1.10]", "f:2:11: argv[1]: 1.1 is a number, expected text (write it in quotes)"},
        {"argv: [a, [b]]", "f:2:11: argv[1]: this is a list, expected text"},
        {"env: x", "f:2:6: env: \"x\" is text, expected a map such as {KEY: text}"},
        {"env: {A: 1.10}", "f:2:10: env.A: 1.1 is a number, expected text (write it in quotes)"},
        {"env: {A: }", "f:2:10: env.A: this is nothing, expected text"},
        {"keys: {A: [secret]}", "f:2:11: keys.A: this is a list, expected text"},
        {"keys: {A: 1.5}", "f:2:11: keys.A: this is a number, expected text (write it in quotes)"},
        {"keys: {A: \"***\"}", "f:2:11: keys.A: *** stands for a secret that was left out, expected the secret itself"},
        {"password: \"***\"",
         "f:2:11: password: *** stands for a secret that was left out, expected the secret itself"},
        {"password: 5", "f:2:11: password: this is a whole number, expected text (write it in quotes)"},
        {"part: [blue]", "f:2:7: part: this is a list, expected a map of colour, weight, note"},
        {"part: bleu",
         "f:2:7: part.colour: \"bleu\" is not known, did you mean blue?, expected one of red, green, blue"},
        {"parts: {}", "f:2:8: parts: this is a map, expected a list of maps of colour, weight, note"},
        {"parts: [{}, 5]", "f:2:13: parts[1]: 5 is a whole number, expected a map of colour, weight, note"},
        {"parts: [{}, {}, {}, {}]", "f:2:8: parts: has 4 entries, expected 0 to 3"},
        {"parts: [{weight: 5}]", "f:2:18: parts[0].weight: 5 is below the minimum of 10"},
        {"part: {wieght: 50}", "f:2:8: part.wieght: unknown key, did you mean weight?"},
        {"zzzzzzzz: 1",
         "f:2:1: zzzzzzzz: unknown key, expected a map of on, count, ratio, title, name, wait, pause_ms, "
         "size, colour, level, tags"},
        {"size: 5\nmax_size: 5", "f:3:1: max_size: says the same as size, which is given too: keep one of them"},
        {"max_size: 5\nsize: 5", "f:3:1: size: says the same as max_size, which is given too: keep one of them"},
    };
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        char yaml[200];
        (void)snprintf(yaml, sizeof(yaml), "name: a\n%s\n", rows[i].yaml);
        refuses_as(yaml, &rows[i].want, 1);
    }
}

static void names_are_refused_with_the_character(void **state)
{
    static const char *const wants[] = {"f:1:7: name: name \"Mm.1\": 'M' at 1 is not allowed (a-z 0-9 _ -)"};
    (void)state;
    refuses_as("name: Mm.1", wants, 1);
}

static void a_required_key_that_is_missing_is_named(void **state)
{
    static const char *const wants[] = {"f:1:1: name: is missing, expected a name of a-z 0-9 _ -"};
    (void)state;
    refuses_as("count: 5", wants, 1);
    refuses_as("name: ~", wants, 1);
}

static void no_map_at_all(void **state)
{
    static const char *const wants[] = {"f:1:1: this is a list, expected a map of on, count, ratio, title, name, wait, "
                                        "pause_ms, size, colour, level, tags"};
    (void)state;
    refuses_as("[1]", wants, 1);
}

static void all_mistakes_come_in_one_pass(void **state)
{
    static const char *const wants[] = {
        "f:1:8: count: 99 is above the maximum of 64",
        "f:2:7: name: name \"A\": 'A' at 1 is not allowed (a-z 0-9 _ -)",
        "f:4:11: part.weight: \"heavy\" is no size, expected one such as 512M, 1G or 64KiB",
        "f:5:3: part.nota: unknown key, did you mean note?",
        "f:6:18: parts[0].colour: 7 is a whole number, expected one of red, green, blue",
        "f:6:31: parts[1].weight: true is a boolean, expected a size from 10 to 1000 such as 512M or 1G",
        "f:7:1: cuont: unknown key, did you mean count?",
    };
    (void)state;
    refuses_as("count: 99\nname: A\npart:\n  weight: heavy\n  nota: 1\n"
               "parts: [{colour: 7}, {weight: true}]\ncuont: 5\n",
               wants, REEVE_ARRAY_LEN(wants));
}

static void open_records_skip_what_they_do_not_know(void **state)
{
    struct reeve_record open = part_record;
    struct part part;
    REEVE_VALUE_AUTO value = yaml_value("colour: red\nshape: round");
    (void)state;
    open.open = true;
    reeve_errors_init(&errors, NULL);
    assert_int_equal(reeve_record_decode(&open, value, "", &part, &errors), REEVE_OK);
    assert_int_equal(part.colour, RED);
    reeve_record_done(&open, &part);
}

static void inert_fields_are_named_in_a_warning(void **state)
{
    char text[600];
    struct thing thing = decoded("name: a\nold: x");
    (void)state;
    assert_int_equal(errors.warnings, 1);
    assert_int_equal(errors.errors, 0);
    assert_string_equal(reeve_error_format(&errors, 0, text, sizeof(text)),
                        "f:2:6: old: warning: is accepted, but not acted upon yet");
    assert_string_equal(thing.old, "x");
    done(&thing);
}

static void numbers_without_bounds(void **state)
{
    static const struct reeve_field fields[] = {
        {.name = "count", .type = REEVE_FIELD_INT, .offset = offsetof(struct thing, count)},
        {.name = "ratio", .type = REEVE_FIELD_REAL, .offset = offsetof(struct thing, ratio)},
    };
    static const struct reeve_record record = REEVE_RECORD("free", struct thing, fields, NULL);
    REEVE_VALUE_AUTO value = yaml_value("count: -9223372036854775808\nratio: -1e300");
    REEVE_VALUE_AUTO wrong = yaml_value("count: x");
    struct thing thing;
    (void)state;
    reeve_errors_init(&errors, NULL);
    assert_int_equal(reeve_record_decode(&record, value, "", &thing, &errors), REEVE_OK);
    assert_true(thing.count == INT64_MIN && thing.ratio == -1e300);
    reeve_record_done(&record, &thing);
    assert_int_equal(reeve_record_decode(&record, wrong, "", &thing, &errors), REEVE_INVALID);
    assert_string_equal(errors.items[0].text, "\"x\" is text, expected a whole number");
}

static void check_part(const void *object, const struct reeve_value *value, const char *path, struct reeve_errors *to)
{
    const struct part *part = object;
    char buf[REEVE_PATH_SIZE];
    if (part->colour == RED && part->weight == 100) {
        reeve_errors_add(to, value, reeve_path_join(buf, path, "weight"), "red ones weigh less");
    }
}

static void rules_across_fields_run_beside_other_mistakes(void **state)
{
    struct reeve_record checked = part_record;
    struct part part;
    REEVE_VALUE_AUTO value = yaml_value("colour: red\nweight: lots");
    (void)state;
    checked.check = check_part;
    reeve_errors_init(&errors, NULL);
    assert_int_equal(reeve_record_decode(&checked, value, "p", &part, &errors), REEVE_INVALID);
    assert_int_equal(errors.errors, 2); // the failed weight holds its preset
    assert_string_equal(errors.items[1].path, "p.weight");
    assert_true(reeve_errors_has(&errors, "p.weight"));
    assert_false(reeve_errors_has(&errors, "p.colour"));
}

// ---- the list of errors ---------------------------------------------------------------------------------

static void errors_are_bounded_and_counted(void **state)
{
    struct reeve_why why = {0};
    (void)state;
    reeve_errors_init(&errors, "f");
    for (int i = 0; i < 100; i++) {
        reeve_errors_warn(&errors, NULL, "w", "w%d", i);
    }
    assert_int_equal(reeve_errors_result(&errors, &why), REEVE_OK);
    assert_int_equal(errors.len, REEVE_ERRORS_MAX / 2); // the other half is for errors
    for (int i = 0; i < 100; i++) {
        reeve_errors_add(&errors, NULL, "e", "e%d", i);
    }
    assert_int_equal(errors.len, REEVE_ERRORS_MAX);
    assert_int_equal(errors.errors, 100);
    assert_int_equal(errors.warnings, 100);
    assert_int_equal(reeve_errors_result(&errors, &why), REEVE_INVALID);
    assert_string_equal(why.place, "f: e");
    assert_string_equal(why.text, "e0 (and 99 more)");
}

static void errors_know_their_prefix_and_order(void **state)
{
    char text[600];
    (void)state;
    reeve_errors_init(&errors, NULL);
    strcpy(errors.path_prefix, "workers[2]");
    reeve_errors_add_at(&errors, (struct reeve_mark){9, 1}, "a", "late");
    reeve_errors_add_at(&errors, (struct reeve_mark){2, 5}, "b\n", "second");
    reeve_errors_add_at(&errors, (struct reeve_mark){2, 1}, "", "first");
    reeve_errors_sort(&errors);
    assert_string_equal(reeve_error_format(&errors, 0, text, sizeof(text)), "2:1: workers[2]: first");
    assert_string_equal(reeve_error_format(&errors, 1, text, sizeof(text)), "2:5: workers[2].b?: second");
    assert_string_equal(reeve_error_format(&errors, 2, text, sizeof(text)), "9:1: workers[2].a: late");
    reeve_errors_add_at(&errors, (struct reeve_mark){2, 1}, "", "found later, the same place");
    reeve_errors_sort(&errors);
    assert_string_equal(errors.items[1].text, "found later, the same place");
    for (size_t size = 1; size < sizeof(text); size++) { // cut where it does not fit, never past it
        char *exact = malloc(size);
        assert_non_null(exact);
        size_t want = size <= strlen("2:1: workers[2]: first") ? size - 1 : strlen("2:1: workers[2]: first");
        assert_int_equal(strlen(reeve_error_format(&errors, 0, exact, size)), want);
        free(exact);
    }
    char small[10];
    assert_string_equal(reeve_error_format(&errors, 0, small, sizeof(small)), "2:1: work");
}

static void an_error_without_a_place_is_its_text(void **state)
{
    char text[600];
    (void)state;
    reeve_errors_init(&errors, NULL);
    reeve_errors_add(&errors, NULL, "", "is wrong");
    assert_string_equal(reeve_error_format(&errors, 0, text, sizeof(text)), "is wrong");
}

// ---- encoding -------------------------------------------------------------------------------------------

static void secrets_stay_unless_asked_for(void **state)
{
    struct thing thing = decoded("name: a\npassword: pw\nkeys: {k: v}");
    REEVE_VALUE_AUTO masked = NULL;
    REEVE_VALUE_AUTO plain = NULL;
    (void)state;
    assert_int_equal(reeve_record_encode(&thing_record, &thing, REEVE_ENCODE_SKIP_PRESETS, &masked), REEVE_OK);
    assert_string_equal(reeve_get_str(masked, "password"), "***");
    assert_string_equal(reeve_get_str(reeve_value_get(masked, "keys"), "k"), "***");
    assert_int_equal(reeve_record_encode(&thing_record, &thing, REEVE_ENCODE_WITH_SECRETS, &plain), REEVE_OK);
    assert_string_equal(reeve_get_str(plain, "password"), "pw");
    assert_string_equal(reeve_get_str(reeve_value_get(plain, "keys"), "k"), "v");
    done(&thing);
}

static void encoded_as_a_person_would_write_it(void **state)
{
    struct thing thing = decoded("name: a\nwait: 60s\nsize: 1048576\npause_ms: 5\nratio: 1\ncolour: azure\n"
                                 "part: {weight: 20}\ncount: 8");
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    (void)state;
    assert_int_equal(reeve_record_encode(&thing_record, &thing, REEVE_ENCODE_SKIP_PRESETS, &value), REEVE_OK);
    assert_int_equal(reeve_json_write(value, 0, &buf), REEVE_OK);
    assert_string_equal(
        reeve_buf_str(&buf),
        "{\"ratio\":1,\"name\":\"a\",\"wait\":\"1m\",\"pause_ms\":5,\"size\":\"1M\",\"colour\":\"blue\","
        "\"part\":{\"weight\":\"20\"}}");
    done(&thing);
}

// ---- random tables -------------------------------------------------------------------------------------

static uint64_t dice_state;

static uint64_t dice(uint64_t sides) // xorshift64
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % sides;
}

static char *random_text(size_t len_min, char *buf)
{
    static const char letters[] = "abcxyz019_- :#\"'{}[]*&!|>%@,\xc3\xa4\n";
    size_t len = len_min + dice(6);
    size_t at = 0;
    while (at < len) {
        char c = letters[dice(sizeof(letters) - 1)];
        buf[at++] = (c & 0x80) != 0 ? 'A' : c;
    }
    buf[at] = '\0';
    return buf;
}

static struct reeve_value *random_tree(int depth)
{
    char text[16];
    switch (dice(depth > 0 ? 6 : 4)) {
    case 0:
        return reeve_value_int((int64_t)dice(UINT64_MAX));
    case 1:
        return reeve_value_bool(dice(2) == 0);
    case 2:
        return reeve_value_float((double)dice(1000) / 7);
    case 3:
        return reeve_value_str(random_text(0, text));
    default:
        break;
    }
    bool map = dice(2) == 0;
    struct reeve_value *tree = map ? reeve_value_map() : reeve_value_list();
    for (uint64_t i = dice(4); i > 0; i--) {
        struct reeve_value *item = random_tree(depth - 1);
        assert_int_equal(map ? reeve_value_put(tree, random_text(1, text), item) : reeve_value_add(tree, item),
                         REEVE_OK);
    }
    return tree;
}

// What a file could hold for the field of this index in thing_fields. NULL = leave it out.
static struct reeve_value *random_for(const struct reeve_field *field)
{
    char text[32];
    struct reeve_value *value;
    switch (field->type) {
    case REEVE_FIELD_BOOL:
        return reeve_value_bool(dice(2) == 0);
    case REEVE_FIELD_INT:
        return reeve_value_int(field->min + (int64_t)dice((uint64_t)(field->max - field->min + 1)));
    case REEVE_FIELD_REAL:
        return reeve_value_float((double)dice(1001) / 1000 * (double)field->max);
    case REEVE_FIELD_STR:
        return reeve_value_str(field->max > 0 ? "abc" : random_text(0, text));
    case REEVE_FIELD_NAME:
        (void)snprintf(text, sizeof(text), "n%llu", (unsigned long long)dice(1000));
        return reeve_value_str(text);
    case REEVE_FIELD_DURATION:
        (void)snprintf(text, sizeof(text), "%llums", (unsigned long long)dice(60001));
        return reeve_value_str(text);
    case REEVE_FIELD_SIZE:
        return reeve_value_int(field->min + (int64_t)dice((uint64_t)(field->max - field->min + 1)));
    case REEVE_FIELD_CHOICE:
        return reeve_value_str(field->choices[dice(4)].text);
    case REEVE_FIELD_STRV:
        value = reeve_value_list();
        for (uint64_t i = 1 + dice(3); i > 0; i--) {
            assert_int_equal(reeve_value_add(value, reeve_value_str(random_text(0, text))), REEVE_OK);
        }
        return value;
    case REEVE_FIELD_MAP:
        value = reeve_value_map();
        for (uint64_t i = dice(4); i > 0; i--) {
            assert_int_equal(reeve_value_put(value, random_text(1, text), reeve_value_str(random_text(0, text))),
                             REEVE_OK);
        }
        return value;
    case REEVE_FIELD_VALUE:
        return random_tree(3);
    case REEVE_FIELD_RECORD:
    case REEVE_FIELD_RECORDS:
        break;
    }
    return NULL;
}

static struct reeve_value *random_object(const struct reeve_record *record)
{
    struct reeve_value *map = reeve_value_map();
    for (size_t i = 0; i < record->fields_len; i++) {
        const struct reeve_field *field = &record->fields[i];
        bool wanted = (field->flags & REEVE_FIELD_REQUIRED) != 0 || dice(3) > 0;
        struct reeve_value *value = NULL;
        if (field->alias_of != NULL || !wanted) {
            continue;
        }
        if (field->type == REEVE_FIELD_RECORD) {
            value = random_object(field->record);
        } else if (field->type == REEVE_FIELD_RECORDS) {
            value = reeve_value_list();
            for (uint64_t n = dice(4); n > 0; n--) {
                assert_int_equal(reeve_value_add(value, random_object(field->record)), REEVE_OK);
            }
        } else {
            value = random_for(field);
        }
        assert_int_equal(reeve_value_put(map, field->name, value), REEVE_OK);
    }
    return map;
}

// A random choice of the fields of thing, in another order.
static size_t random_fields(struct reeve_field *fields)
{
    size_t len = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(thing_fields); i++) {
        if (thing_fields[i].alias_of == NULL && dice(3) > 0) {
            fields[len++] = thing_fields[i];
        }
    }
    for (size_t i = len; i > 1; i--) {
        size_t other = dice(i);
        struct reeve_field moving = fields[i - 1];
        fields[i - 1] = fields[other];
        fields[other] = moving;
    }
    return len;
}

// The tree as one of the formats writes and reads it.
static struct reeve_value *through(const struct reeve_value *value, uint64_t format)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_value *back = NULL;
    struct reeve_why why = {0};
    enum reeve_err err;
    if (format == 0) {
        assert_int_equal(reeve_msgpack_write(value, &buf), REEVE_OK);
        err = reeve_msgpack_read(buf.data, buf.len, &reeve_limits_wire, NULL, &back, &why);
    } else if (format == 1) {
        assert_int_equal(reeve_json_write(value, 0, &buf), REEVE_OK);
        err = reeve_json_read(buf.data, buf.len, &reeve_limits_wire, NULL, &back, &why);
    } else {
        assert_int_equal(reeve_yaml_write(value, &buf), REEVE_OK);
        err = reeve_yaml_read(buf.data, buf.len, &reeve_limits_wire, NULL, &back, &why);
    }
    if (err != REEVE_OK) {
        fail_msg("%s: %s in\n%s", why.place, why.text, reeve_buf_str(&buf));
    }
    return back;
}

static void decode_random(const struct reeve_record *record, const struct reeve_value *value, struct thing *ret)
{
    char text[600];
    reeve_errors_init(&errors, NULL);
    if (reeve_record_decode(record, value, "", ret, &errors) != REEVE_OK) {
        fail_msg("%s", reeve_error_format(&errors, 0, text, sizeof(text)));
    }
}

// What the encoder alone can't show: it might lose the same on both sides.
static bool scalars_equal(const struct thing *a, const struct thing *b)
{
    return a->on == b->on && a->count == b->count && a->ratio == b->ratio && a->wait_ms == b->wait_ms &&
           a->pause_ms == b->pause_ms && a->size == b->size && a->colour == b->colour && a->level == b->level &&
           reeve_str_eq(a->title, b->title) && reeve_str_eq(a->name, b->name) &&
           reeve_str_eq(a->password, b->password) && a->tags.len == b->tags.len && a->argv.len == b->argv.len &&
           a->parts.len == b->parts.len && a->part.colour == b->part.colour && a->part.weight == b->part.weight &&
           reeve_str_eq(a->part.note, b->part.note);
}

static void what_is_encoded_decodes_equal(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        struct reeve_field fields[REEVE_ARRAY_LEN(thing_fields)];
        dice_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        struct reeve_record record = thing_record;
        record.fields_len = random_fields(fields);
        record.fields = fields;
        REEVE_VALUE_AUTO input = random_object(&record);
        struct thing first;
        decode_random(&record, input, &first);
        unsigned flags = REEVE_ENCODE_WITH_SECRETS | (dice(2) == 0 ? REEVE_ENCODE_SKIP_PRESETS : 0);
        REEVE_VALUE_AUTO encoded = NULL;
        assert_int_equal(reeve_record_encode(&record, &first, flags, &encoded), REEVE_OK);
        REEVE_VALUE_AUTO carried = through(encoded, dice(3));
        struct thing second;
        decode_random(&record, carried, &second);
        REEVE_VALUE_AUTO full_first = NULL;
        REEVE_VALUE_AUTO full_second = NULL;
        assert_int_equal(reeve_record_encode(&record, &first, REEVE_ENCODE_WITH_SECRETS, &full_first), REEVE_OK);
        assert_int_equal(reeve_record_encode(&record, &second, REEVE_ENCODE_WITH_SECRETS, &full_second), REEVE_OK);
        if (!reeve_value_equal(full_first, full_second) || !scalars_equal(&first, &second) ||
            reeve_value_digest(full_first) != reeve_value_digest(full_second)) {
            fail_msg("seed %llu", (unsigned long long)seed);
        }
        reeve_record_done(&record, &first);
        reeve_record_done(&record, &second);
    }
}

// Garbage in the place of good values: errors, never a crash, never a leak, never a half-made object.
static void garbage_is_refused_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        dice_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        REEVE_VALUE_AUTO input = random_object(&thing_record);
        for (int i = 0; i < 3; i++) {
            const struct reeve_field *field = &thing_fields[dice(REEVE_ARRAY_LEN(thing_fields))];
            assert_int_equal(reeve_value_put(input, field->name, random_tree(3)), REEVE_OK);
        }
        struct thing thing;
        reeve_errors_init(&errors, NULL);
        enum reeve_err err = reeve_record_decode(&thing_record, input, "", &thing, &errors);
        assert_true((err == REEVE_OK) == (errors.errors == 0));
        if (err == REEVE_OK) {
            done(&thing);
        }
    }
}

static void the_reference_page_has_every_field(void **state)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    (void)state;
    assert_int_equal(reeve_record_markdown(&thing_record, 2, &buf), REEVE_OK);
    const char *page = reeve_buf_str(&buf);
    static const char *const lines[] = {
        "## thing\n\nA thing.\n\n| key | value | default | |\n",
        "| `on` | true or false | `true` | Whether. |\n",
        "| `name` | a name of a-z 0-9 _ - | required |  |\n",
        "| `size` or `max_size` | a size from 0 to 1G such as 512M or 1G | `0` |  |\n",
        "| `part` | map, see part below; a single value is its `colour` |  |  |\n",
        "| `password` | text |  |  Secret: shown as `***`. |\n",
        "| `old` | text |  |  Accepted, not acted upon yet. |\n",
        "### part\n",
    };
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lines); i++) {
        if (strstr(page, lines[i]) == NULL) {
            fail_msg("no %s in\n%s", lines[i], page);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_fill_what_is_absent),
        cmocka_unit_test(presets_alone),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(other_spellings_of_a_value),
        cmocka_unit_test(a_single_text_is_a_list_of_one),
        cmocka_unit_test(a_scalar_goes_to_the_member_of_a_record),
        cmocka_unit_test(every_type_is_refused_with_what_was_expected),
        cmocka_unit_test(names_are_refused_with_the_character),
        cmocka_unit_test(a_required_key_that_is_missing_is_named),
        cmocka_unit_test(no_map_at_all),
        cmocka_unit_test(all_mistakes_come_in_one_pass),
        cmocka_unit_test(open_records_skip_what_they_do_not_know),
        cmocka_unit_test(inert_fields_are_named_in_a_warning),
        cmocka_unit_test(numbers_without_bounds),
        cmocka_unit_test(rules_across_fields_run_beside_other_mistakes),
        cmocka_unit_test(errors_are_bounded_and_counted),
        cmocka_unit_test(errors_know_their_prefix_and_order),
        cmocka_unit_test(an_error_without_a_place_is_its_text),
        cmocka_unit_test(secrets_stay_unless_asked_for),
        cmocka_unit_test(encoded_as_a_person_would_write_it),
        cmocka_unit_test(what_is_encoded_decodes_equal),
        cmocka_unit_test(garbage_is_refused_whole),
        cmocka_unit_test(the_reference_page_has_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
