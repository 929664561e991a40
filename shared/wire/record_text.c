// Words about fields: what one expects, how its bounds read. For messages and for the reference page.
// Must not: decode anything.
#include "record_fields.h"

#include <reeve/units.h>

#include <stdio.h>
#include <string.h>

#define LISTED_MAX 12 // choices or keys in one message; the reference page has them all

bool reeve_text_ends(const char *text, const char *end)
{
    size_t text_len = strlen(text);
    size_t end_len = strlen(end);
    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

const char *reeve_field_number_text(const struct reeve_field *field, int64_t number, char buf[40])
{
    if (field->type == REEVE_FIELD_DURATION) {
        return reeve_duration_format(number, buf);
    }
    if (field->type == REEVE_FIELD_SIZE) {
        return reeve_size_format(number, buf);
    }
    (void)snprintf(buf, 40, "%lld", (long long)number);
    return buf;
}

static void append(char buf[REEVE_EXPECT_SIZE], const char *text)
{
    size_t len = strlen(buf);
    (void)snprintf(buf + len, REEVE_EXPECT_SIZE - len, "%s", text);
}

static void append_bounds(const struct reeve_field *field, char buf[REEVE_EXPECT_SIZE])
{
    char min[40];
    char max[40];
    char text[100];
    if (field->min >= field->max) {
        return;
    }
    if (field->max == INT64_MAX) {
        (void)snprintf(text, sizeof(text), " of at least %s", reeve_field_number_text(field, field->min, min));
    } else {
        (void)snprintf(text, sizeof(text), " from %s to %s", reeve_field_number_text(field, field->min, min),
                       reeve_field_number_text(field, field->max, max));
    }
    append(buf, text);
}

// A second spelling of a value that is listed already.
static bool choice_repeated(const struct reeve_choice *choices, const struct reeve_choice *choice)
{
    for (; choices < choice; choices++) {
        if (choices->value == choice->value) {
            return true;
        }
    }
    return false;
}

static void append_choices(const struct reeve_field *field, char buf[REEVE_EXPECT_SIZE])
{
    size_t listed = 0;
    for (const struct reeve_choice *choice = field->choices; choice->text != NULL; choice++) {
        if (choice_repeated(field->choices, choice)) {
            continue;
        }
        if (listed == LISTED_MAX) {
            append(buf, " ...");
            return;
        }
        append(buf, listed++ > 0 ? ", " : "one of ");
        append(buf, choice->text);
    }
}

static void append_keys(const struct reeve_field *field, char buf[REEVE_EXPECT_SIZE])
{
    const struct reeve_record *record = field->record;
    for (size_t i = 0; i < record->fields_len && i < LISTED_MAX; i++) {
        if (record->fields[i].alias_of == NULL) {
            append(buf, i > 0 ? ", " : "");
            append(buf, record->fields[i].name);
        }
    }
}

static const char *const expect_texts[] = {
    [REEVE_FIELD_BOOL] = "true or false",
    [REEVE_FIELD_INT] = "a whole number",
    [REEVE_FIELD_REAL] = "a number",
    [REEVE_FIELD_STR] = "text",
    [REEVE_FIELD_NAME] = "a name of a-z 0-9 _ -",
    [REEVE_FIELD_DURATION] = "a duration",
    [REEVE_FIELD_SIZE] = "a size",
    [REEVE_FIELD_CHOICE] = "",
    [REEVE_FIELD_STRV] = "a list of texts such as [one, two]",
    [REEVE_FIELD_MAP] = "a map such as {KEY: text}",
    [REEVE_FIELD_VALUE] = "anything",
    [REEVE_FIELD_RECORD] = "a map of ",
    [REEVE_FIELD_RECORDS] = "a list of maps of ",
};

// An example where the words alone do not show how it is written.
static const char *const example_texts[] = {
    [REEVE_FIELD_DURATION] = " such as 30s, 5m or 1h30m",
    [REEVE_FIELD_SIZE] = " such as 512M or 1G",
    [REEVE_FIELD_RECORDS] = NULL,
};

const char *reeve_field_expect(const struct reeve_field *field, char buf[REEVE_EXPECT_SIZE])
{
    (void)snprintf(buf, REEVE_EXPECT_SIZE, "%s", expect_texts[field->type]);
    switch (field->type) {
    case REEVE_FIELD_INT:
    case REEVE_FIELD_REAL:
    case REEVE_FIELD_DURATION:
    case REEVE_FIELD_SIZE:
        append_bounds(field, buf);
        break;
    case REEVE_FIELD_CHOICE:
        append_choices(field, buf);
        break;
    case REEVE_FIELD_RECORD:
    case REEVE_FIELD_RECORDS:
        append_keys(field, buf);
        break;
    case REEVE_FIELD_BOOL:
    case REEVE_FIELD_STR:
    case REEVE_FIELD_NAME:
    case REEVE_FIELD_STRV:
    case REEVE_FIELD_MAP:
    case REEVE_FIELD_VALUE:
        break;
    }
    append(buf, example_texts[field->type] != NULL ? example_texts[field->type] : "");
    for (const struct reeve_choice *word = field->choices;
         field->type == REEVE_FIELD_DURATION && word != NULL && word->text != NULL; word++) {
        append(buf, ", or ");
        append(buf, word->text);
    }
    return buf;
}
