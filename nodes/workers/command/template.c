// Reads a template left to right: text, `{{`, or a name in braces that a row of a table or a path stands for.
// Must not: split an argument, or leave out what has no value.
#include "template.h"

#include <reeve/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 255

// One piece of a template: literal text, or a name.
struct piece {
    const char *text;
    size_t len;
    bool name;
};

static bool take_literal(const char **at, struct piece *ret)
{
    const char *text = *at;
    if ((text[0] == '{' && text[1] == '{') || (text[0] == '}' && text[1] == '}')) {
        *ret = (struct piece){.text = text, .len = 1};
        *at = text + 2;
        return true;
    }
    const size_t len = text[0] == '}' ? 1 : strcspn(text, "{}");
    *ret = (struct piece){.text = text, .len = len};
    *at = text + len;
    return len > 0;
}

// The next piece; not at the end.
static enum reeve_err take_piece(const char *whole, const char **at, struct piece *ret, struct reeve_why *why)
{
    if (take_literal(at, ret)) {
        return REEVE_OK;
    }
    const char *name = *at + 1;
    const size_t len = strcspn(name, "{}");
    const long col = (long)(*at - whole) + 1;
    if (name[len] != '}') {
        return reeve_fail(why, REEVE_INVALID, "'{' at %ld is never closed; write {{ for a brace", col);
    }
    if (len == 0 || len > NAME_MAX_LEN) {
        return reeve_fail(why, REEVE_INVALID, "the name in braces at %ld is %s; write {{ for a brace", col,
                          len == 0 ? "empty" : "too long");
    }
    *ret = (struct piece){.text = name, .len = len, .name = true};
    *at = name + len + 1;
    return REEVE_OK;
}

// ---- names ---------------------------------------------------------------------------------------------------------

enum root { ROOT_ID, ROOT_TYPE, ROOT_QUEUE, ROOT_ATTEMPT, ROOT_PAYLOAD, ROOT_CHECKPOINT };
static const struct {
    const char *name;
    enum root root;
    bool path; // may go on with `.key`
} roots[] = {
    {"id", ROOT_ID, false},          {"type", ROOT_TYPE, false},
    {"queue", ROOT_QUEUE, false},    {"attempt", ROOT_ATTEMPT, false},
    {"fence", ROOT_ATTEMPT, false}, // the attempt is the fencing number [job-4]
    {"payload", ROOT_PAYLOAD, true}, {"checkpoint", ROOT_CHECKPOINT, true},
};

// Which root a name begins with; *ret_path is what follows its dot, NULL = nothing.
static enum reeve_err find_root(const char *name, enum root *ret, const char **ret_path, struct reeve_why *why)
{
    const size_t len = strcspn(name, ".");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(roots); i++) {
        if (strlen(roots[i].name) != len || strncmp(roots[i].name, name, len) != 0) {
            continue;
        }
        if (name[len] == '.' && !roots[i].path) {
            return reeve_fail(why, REEVE_INVALID, "{%s}: %s has no parts", name, roots[i].name);
        }
        *ret = roots[i].root;
        *ret_path = name[len] == '.' ? name + len + 1 : NULL;
        return REEVE_OK;
    }
    return reeve_fail(
        why, REEVE_INVALID,
        "{%s} is not known: id, type, queue, attempt, fence, payload.KEY or checkpoint.KEY; write {{ for a "
        "brace",
        name);
}

static bool has_empty_part(const char *path)
{
    return path != NULL &&
           (path[0] == '\0' || path[0] == '.' || strstr(path, "..") != NULL || path[strlen(path) - 1] == '.');
}

// From the root down the path; NULL when there is nothing.
static const struct reeve_value *find_value(const struct reeve_value *value, const char *path)
{
    char part[NAME_MAX_LEN + 1];
    while (path != NULL && value != NULL) {
        const size_t len = strcspn(path, ".");
        (void)snprintf(part, sizeof part, "%.*s", (int)len, path); /* fits: names are bounded */
        int64_t number;
        if (reeve_value_kind(value) == REEVE_LIST) {
            const bool is_number = reeve_parse_i64(part, &number, NULL) == REEVE_OK && number >= 0;
            value = is_number ? reeve_value_at(value, (size_t)number) : NULL;
        } else {
            value = reeve_value_get(value, part);
        }
        path = path[len] == '.' ? path + len + 1 : NULL;
    }
    return value;
}

static enum reeve_err append_value(const char *name, const struct reeve_value *value, struct reeve_buf *buf,
                                   struct reeve_why *why)
{
    const enum reeve_kind kind = reeve_value_kind(value);
    if (kind == REEVE_NULL) {
        return reeve_fail(why, REEVE_NOENT, "{%s}: the job has no such value", name);
    }
    if (kind != REEVE_STR && kind != REEVE_BIN) {
        return reeve_json_write(value, 0, buf);
    }
    size_t len = 0;
    const void *data = reeve_value_data(value, &len);
    if (len > 0 && memchr(data, '\0', len) != NULL) {
        return reeve_fail(why, REEVE_INVALID, "{%s}: has a byte 0, which no argument can have", name);
    }
    reeve_buf_append(buf, data, len);
    return REEVE_OK;
}

static enum reeve_err append_named(const char *name, const struct template_values *values, struct reeve_buf *buf,
                                   struct reeve_why *why)
{
    enum root root;
    const char *path;
    enum reeve_err err = find_root(name, &root, &path, why);
    if (err != REEVE_OK) {
        return err;
    }
    switch (root) {
    case ROOT_ID:
        reeve_buf_puts(buf, values->id);
        return REEVE_OK;
    case ROOT_TYPE:
        reeve_buf_puts(buf, values->type);
        return REEVE_OK;
    case ROOT_QUEUE:
        reeve_buf_puts(buf, values->queue);
        return REEVE_OK;
    case ROOT_ATTEMPT:
        reeve_buf_printf(buf, "%lld", (long long)values->attempt);
        return REEVE_OK;
    case ROOT_PAYLOAD:
        return append_value(name, find_value(values->payload, path), buf, why);
    case ROOT_CHECKPOINT:
        return append_value(name, find_value(values->checkpoint, path), buf, why);
    }
    return REEVE_OK;
}

// ---- what the others call
// --------------------------------------------------------------------------------------------

static const char *name_of(const struct piece *piece, char buf[NAME_MAX_LEN + 1])
{
    (void)snprintf(buf, NAME_MAX_LEN + 1, "%.*s", (int)piece->len, piece->text); /* bounded by take_piece() */
    return buf;
}

enum reeve_err template_check(const char *text, struct reeve_why *why)
{
    char name[NAME_MAX_LEN + 1];
    for (const char *at = text; *at != '\0';) {
        struct piece piece = {0};
        enum root root;
        const char *path = NULL;
        enum reeve_err err = take_piece(text, &at, &piece, why);
        if (err == REEVE_OK && piece.name) {
            err = find_root(name_of(&piece, name), &root, &path, why);
        }
        if (err == REEVE_OK && piece.name && has_empty_part(path)) {
            err = reeve_fail(why, REEVE_INVALID, "{%s} has an empty part", name);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    return REEVE_OK;
}

enum reeve_err template_fill(const char *text, const struct template_values *values, char **ret, struct reeve_why *why)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(TEMPLATE_ARG_MAX);
    char name[NAME_MAX_LEN + 1];
    enum reeve_err err = REEVE_OK;
    for (const char *at = text; err == REEVE_OK && *at != '\0';) {
        struct piece piece = {0};
        err = take_piece(text, &at, &piece, why);
        if (err == REEVE_OK && piece.name) {
            err = append_named(name_of(&piece, name), values, &buf, why);
        } else if (err == REEVE_OK) {
            reeve_buf_append(&buf, piece.text, piece.len);
        }
    }
    if (buf.err == REEVE_LIMIT) {
        return reeve_fail(why, REEVE_LIMIT, "longer than %d bytes, which no argument can be", TEMPLATE_ARG_MAX);
    }
    if (err != REEVE_OK) {
        return err;
    }
    reeve_buf_puts(&buf, ""); // an empty argument is one as well
    char *filled = reeve_buf_take(&buf, NULL);
    if (filled == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for an argument");
    }
    *ret = filled;
    return REEVE_OK;
}

enum reeve_err template_fill_all(const struct reeve_strv *argv, const struct template_values *values,
                                 struct reeve_strv *ret, struct reeve_why *why)
{
    REEVE_STRV_AUTO made = {0};
    for (size_t i = 0; i < argv->len; i++) {
        REEVE_AUTO_FREE char *text = NULL;
        enum reeve_err err = template_fill(argv->items[i], values, &text, why);
        if (err == REEVE_OK) {
            err = reeve_strv_add(&made, text);
        }
        if (err != REEVE_OK) {
            if (why != NULL) {
                (void)snprintf(why->place, sizeof why->place, "argument %zu", i); /* fits */
            }
            return err;
        }
    }
    *ret = made;
    made = (struct reeve_strv){0};
    return REEVE_OK;
}
