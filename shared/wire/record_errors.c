// The list of all mistakes of one document: adding, formatting, the first one as a why.
// Must not: allocate, or print.
#include <reeve/record.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Warnings may take half the room: they never push an error out.
#define WARNINGS_KEPT_MAX (REEVE_ERRORS_MAX / 2)

void reeve_errors_init(struct reeve_errors *errors, const char *source)
{
    memset(errors, 0, sizeof(*errors));
    errors->source = source;
}

const char *reeve_path_join(char buf[REEVE_PATH_SIZE], const char *parent, const char *name)
{
    const char *dot = parent[0] == '\0' || name[0] == '[' || name[0] == '\0' ? "" : ".";
    int len = snprintf(buf, REEVE_PATH_SIZE, "%s%s%s", parent, dot, name);
    if (len >= REEVE_PATH_SIZE) {
        memcpy(buf + REEVE_PATH_SIZE - sizeof("..."), "...", sizeof("..."));
    }
    for (char *c = buf; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    return buf;
}

__attribute__((format(printf, 5, 0))) static void add(struct reeve_errors *errors, bool warning, struct reeve_mark mark,
                                                      const char *path, const char *fmt, va_list ap)
{
    REEVE_ASSERT(errors != NULL); // a preset or a table that does not decode is a programmer's mistake
    size_t *count = warning ? &errors->warnings : &errors->errors;
    bool kept = errors->len < REEVE_ERRORS_MAX && (!warning || errors->warnings < WARNINGS_KEPT_MAX);
    (*count)++;
    if (!kept) {
        return;
    }
    struct reeve_error *error = &errors->items[errors->len++];
    error->warning = warning;
    error->mark = mark;
    (void)reeve_path_join(error->path, errors->path_prefix, path);
    (void)vsnprintf(error->text, sizeof(error->text), fmt, ap);
}

void reeve_errors_add(struct reeve_errors *errors, const struct reeve_value *value, const char *path, const char *fmt,
                      ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(errors, false, reeve_value_mark(value), path, fmt, ap);
    va_end(ap);
}

void reeve_errors_add_at(struct reeve_errors *errors, struct reeve_mark mark, const char *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(errors, false, mark, path, fmt, ap);
    va_end(ap);
}

void reeve_errors_warn(struct reeve_errors *errors, const struct reeve_value *value, const char *path, const char *fmt,
                       ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(errors, true, reeve_value_mark(value), path, fmt, ap);
    va_end(ap);
}

// The reader's place `source:line:col` as a mark; one of another form gives none.
static struct reeve_mark mark_of_place(const char *place)
{
    struct reeve_mark mark = {0};
    const char *col = strrchr(place, ':');
    const char *line = col;
    while (line != NULL && line > place && line[-1] != ':') {
        line--;
    }
    unsigned line_number;
    unsigned col_number;
    if (line != NULL && sscanf(line, "%u:%u", &line_number, &col_number) == 2) {
        mark = (struct reeve_mark){.line = line_number, .col = col_number};
    }
    return mark;
}

void reeve_errors_add_why(struct reeve_errors *errors, const struct reeve_why *why)
{
    reeve_errors_add_at(errors, mark_of_place(why->place), "", "%s", why->text);
}

static bool before(struct reeve_mark a, struct reeve_mark b)
{
    return a.line != b.line ? a.line < b.line : a.col < b.col;
}

// By insertion: stable, and 64 at most.
void reeve_errors_sort(struct reeve_errors *errors)
{
    for (size_t i = 1; i < errors->len; i++) {
        struct reeve_error moving = errors->items[i];
        size_t to = i;
        for (; to > 0 && before(moving.mark, errors->items[to - 1].mark); to--) {
            errors->items[to] = errors->items[to - 1];
        }
        errors->items[to] = moving;
    }
}

bool reeve_errors_has(const struct reeve_errors *errors, const char *path)
{
    char full[REEVE_PATH_SIZE];
    if (errors == NULL) {
        return false;
    }
    (void)reeve_path_join(full, errors->path_prefix, path);
    for (size_t i = 0; i < errors->len; i++) {
        if (!errors->items[i].warning && strcmp(errors->items[i].path, full) == 0) {
            return true;
        }
    }
    return false;
}

__attribute__((format(printf, 4, 5))) static size_t put(char *buf, size_t buf_len, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(buf + at, buf_len - at, fmt, ap);
    va_end(ap);
    return (size_t)len < buf_len - at ? at + (size_t)len : buf_len - 1;
}

// `source:line:col: path`, each part only where it is known. Returns its length.
static size_t put_place(const struct reeve_errors *errors, const struct reeve_error *error, char *buf, size_t buf_len)
{
    size_t len = put(buf, buf_len, 0, "%s", errors->source != NULL ? errors->source : "");
    if (error->mark.line > 0) {
        len = put(buf, buf_len, len, "%s%u:%u", len > 0 ? ":" : "", error->mark.line, error->mark.col);
    }
    if (error->path[0] != '\0') {
        len = put(buf, buf_len, len, "%s%s", len > 0 ? ": " : "", error->path);
    }
    return len;
}

const char *reeve_error_format(const struct reeve_errors *errors, size_t index, char *buf, size_t buf_len)
{
    REEVE_ASSERT(index < errors->len && buf_len > 0);
    const struct reeve_error *error = &errors->items[index];
    size_t len = put_place(errors, error, buf, buf_len);
    (void)put(buf, buf_len, len, "%s%s%s", len > 0 ? ": " : "", error->warning ? "warning: " : "", error->text);
    return buf;
}

enum reeve_err reeve_errors_result(const struct reeve_errors *errors, struct reeve_why *why)
{
    if (errors->errors == 0) {
        return REEVE_OK;
    }
    const struct reeve_error *first = NULL;
    for (size_t i = 0; i < errors->len && first == NULL; i++) {
        first = errors->items[i].warning ? NULL : &errors->items[i];
    }
    REEVE_ASSERT(first != NULL); // warnings leave room for it
    char place[sizeof(why->place)];
    (void)put_place(errors, first, place, sizeof(place));
    if (errors->errors == 1) {
        return reeve_fail_at(why, REEVE_INVALID, place, "%s", first->text);
    }
    return reeve_fail_at(why, REEVE_INVALID, place, "%s (and %zu more)", first->text, errors->errors - 1);
}
