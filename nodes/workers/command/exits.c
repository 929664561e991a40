// Lists of codes and ranges into one table of 256 entries; a list that is given wins over the preset of another.
// Must not: know of processes or of the SDK.
#include "exits.h"

#include <assert.h>

#define LIST_MAX 64

static const struct {
    const char *name;
    size_t offset;
    enum exit_meaning meaning;
    const char *presets[3]; // applied when the list is empty
} lists[] = {
    {"done", offsetof(struct exits_config, done), MEANS_DONE, {"0", NULL, NULL}},
    {"retry", offsetof(struct exits_config, retry), MEANS_RETRY, {NULL, NULL, NULL}},
    {"fail", offsetof(struct exits_config, fail), MEANS_FAIL, {"64", "65", NULL}},
    {"not_done", offsetof(struct exits_config, not_done), MEANS_NOT_DONE, {"66", NULL, NULL}},
};

static const struct reeve_strv *list_of(const struct exits_config *config, size_t index)
{
    return (const struct reeve_strv *)(const void *)((const char *)config + lists[index].offset);
}

static bool read_code(const char **at, int *ret)
{
    int code = 0;
    const char *text = *at;
    while (**at >= '0' && **at <= '9' && code <= 255) {
        code = code * 10 + (**at - '0');
        (*at)++;
    }
    *ret = code;
    return *at != text && code <= 255;
}

// "75", "1-63"
static bool read_range(const char *text, int *ret_from, int *ret_to)
{
    if (!read_code(&text, ret_from)) {
        return false;
    }
    *ret_to = *ret_from;
    if (*text == '-') {
        text++;
        return read_code(&text, ret_to) && *text == '\0' && *ret_from <= *ret_to;
    }
    return *text == '\0';
}

static void apply(unsigned char *meanings, const char *text, enum exit_meaning meaning)
{
    int from = 0, to = -1;
    (void)read_range(text, &from, &to); /* checked */
    for (int code = from; code <= to; code++) {
        meanings[code] = (unsigned char)meaning;
    }
}

static void apply_presets(const struct exits_config *config, size_t index, unsigned char *meanings)
{
    for (size_t i = 0; list_of(config, index)->len == 0 && lists[index].presets[i] != NULL; i++) {
        apply(meanings, lists[index].presets[i], lists[index].meaning);
    }
}

static void apply_given(const struct exits_config *config, size_t index, unsigned char *meanings)
{
    const struct reeve_strv *list = list_of(config, index);
    for (size_t i = 0; i < list->len; i++) {
        apply(meanings, list->items[i], lists[index].meaning);
    }
}

void exits_make(const struct exits_config *config, struct exits *ret)
{
    static_assert(MEANS_RETRY == 0, "what no list names is a retry");
    *ret = (struct exits){0};
    unsigned char *const tables[] = {ret->meanings, ret->reconcile};
    for (size_t table = 0; table < REEVE_ARRAY_LEN(tables); table++) {
        // An ordinary attempt can't say that nothing had happened: not_done is of the other table alone.
        const size_t len = REEVE_ARRAY_LEN(lists) - (table == 0 ? 1 : 0);
        for (size_t i = 0; i < len; i++) {
            apply_presets(config, i, tables[table]);
        }
        for (size_t i = 0; i < len; i++) {
            apply_given(config, i, tables[table]);
        }
    }
}

enum exit_meaning exits_of(const struct exits *exits, int code, bool reconciling)
{
    const unsigned char *meanings = reconciling ? exits->reconcile : exits->meanings;
    return code >= 0 && code <= 255 ? (enum exit_meaning)meanings[code] : MEANS_RETRY;
}

// ---- the record ----------------------------------------------------------------------------------------------------

static void check_list(const struct reeve_strv *list, const char *path, const struct reeve_value *value,
                       unsigned char seen[256], struct reeve_errors *errors)
{
    for (size_t i = 0; i < list->len; i++) {
        int from, to;
        if (!read_range(list->items[i], &from, &to)) {
            reeve_errors_add(errors, value, path,
                             "\"%.40s\" is no exit code, expected 0 to 255 or a range such as \"1-63\"",
                             list->items[i]);
            continue;
        }
        for (int code = from; code <= to; code++) {
            if (seen[code]++ == 1) {
                reeve_errors_add(errors, value, path, "exit code %d is named twice", code);
            }
        }
    }
}

static void check(const void *object, const struct reeve_value *value, const char *path, struct reeve_errors *errors)
{
    unsigned char seen[256] = {0};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(lists); i++) {
        char place[REEVE_PATH_SIZE];
        check_list(list_of(object, i), reeve_path_join(place, path, lists[i].name),
                   reeve_value_get(value, lists[i].name), seen, errors);
    }
}

#define LIST(member_, doc_)                                                                                            \
    {                                                                                                                  \
        .name = #member_, .type = REEVE_FIELD_STRV, .flags = REEVE_FIELD_SCALAR_OK,                                    \
        .offset = offsetof(struct exits_config, member_), .min = 1, .max = LIST_MAX, .doc = (doc_)                     \
    }
static const struct reeve_field fields[] = {
    LIST(done, "The job is done. Preset: 0."),
    LIST(retry, "The attempt failed, another is made. Preset: every code that no list names."),
    LIST(fail, "The job failed for good. Preset: 64 (EX_USAGE) and 65 (EX_DATAERR)."),
    LIST(not_done, "From `reconcile`: nothing had happened, an ordinary attempt does it. Preset: 66."),
};
const struct reeve_record exits_record = {
    .name = "exit",
    .size = sizeof(struct exits_config),
    .fields = fields,
    .fields_len = REEVE_ARRAY_LEN(fields),
    .doc = "What exit codes mean. Codes and ranges (`\"1-63\"`); a list that is given replaces its preset, and wins "
           "over the "
           "presets of the others.",
    .check = check,
};
