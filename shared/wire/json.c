// JSON: read with jansson, after a walk over the text that checks the bounds jansson has none for and
// beside a second walk that gives each value its line and column; written by hand.
// Must not: hand unchecked text to jansson, which recurses.
#include "reading.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>

// A walk over the tokens of JSON text. Right up to the first fault of syntax, where jansson stops too.
struct cursor {
    const char *at;
    const char *end;
    struct reeve_mark mark; // of `at`; columns count characters
};

static void cursor_step(struct cursor *cursor)
{
    unsigned char c = (unsigned char)*cursor->at++;
    if (c == '\n') {
        cursor->mark.line++;
        cursor->mark.col = 1;
    } else if ((c & 0xc0) != 0x80) {
        cursor->mark.col++;
    }
}

static bool cursor_on(const struct cursor *cursor, const char *set)
{
    return cursor->at < cursor->end && *cursor->at != '\0' && strchr(set, *cursor->at) != NULL;
}

static void string_skip(struct cursor *cursor)
{
    while (cursor->at < cursor->end && *cursor->at != '"') {
        if (*cursor->at == '\\' && cursor->at + 1 < cursor->end) {
            cursor_step(cursor);
        }
        cursor_step(cursor);
    }
    if (cursor->at < cursor->end) {
        cursor_step(cursor);
    }
}

// Steps over the next token; brackets are tokens, commas and colons are not. Returns its first
// character, '\0' at the end, and where it began.
static char token_next(struct cursor *cursor, struct reeve_mark *ret_mark)
{
    while (cursor_on(cursor, " \t\r\n,:")) {
        cursor_step(cursor);
    }
    *ret_mark = cursor->mark;
    if (cursor->at >= cursor->end) {
        return '\0';
    }
    char first = *cursor->at;
    cursor_step(cursor);
    if (first == '"') {
        string_skip(cursor);
    } else if (strchr("{}[]", first) == NULL || first == '\0') {
        while (cursor->at < cursor->end && !cursor_on(cursor, " \t\r\n,:{}[]\"")) {
            cursor_step(cursor);
        }
    }
    return first == '\0' ? '?' : first;
}

struct reader {
    struct cursor cursor;
    const struct reeve_limits *limits;
    const char *source;
    struct reeve_why *why;
};

struct level {
    size_t tokens;
    bool map;
};

// One token more at this level; in a map every second one is a key.
static enum reeve_err level_count(struct reader *reader, struct level *level, struct reeve_mark mark)
{
    size_t tokens_max = reader->limits->entries_max * (level->map ? 2 : 1);
    if (level->tokens++ < tokens_max) {
        return REEVE_OK;
    }
    return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark, "a container of more than %zu entries",
                           reader->limits->entries_max);
}

static enum reeve_err bounds_check(struct reader *reader)
{
    struct level levels[REEVE_DEPTH_HARD_MAX + 1] = {{.tokens = 0}};
    struct reeve_mark mark;
    unsigned depth = 0;
    size_t values_left = reeve_limits_values(reader->limits);
    for (char c = token_next(&reader->cursor, &mark); c != '\0'; c = token_next(&reader->cursor, &mark)) {
        if (c == '}' || c == ']') {
            if (depth == 0) {
                break; // jansson says what is wrong
            }
            depth--;
            continue;
        }
        enum reeve_err err = depth == 0 ? REEVE_OK : level_count(reader, &levels[depth], mark);
        if (err != REEVE_OK) {
            return err;
        }
        bool key = depth > 0 && levels[depth].map && levels[depth].tokens % 2 == 1;
        if (!key && values_left-- == 0) {
            return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark, "more than %zu values",
                                   reeve_limits_values(reader->limits));
        }
        if (c == '{' || c == '[') {
            if (depth == reeve_limits_depth(reader->limits)) {
                return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark,
                                       "nested deeper than %u containers", depth);
            }
            levels[++depth] = (struct level){.map = c == '{'};
        }
    }
    return REEVE_OK;
}

static enum reeve_err tree_make(struct reader *reader, json_t *json, struct reeve_value **ret);

static enum reeve_err list_make(struct reader *reader, json_t *json, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO list = reeve_value_list();
    struct reeve_mark mark;
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct reeve_value *item = NULL;
        enum reeve_err err = tree_make(reader, json_array_get(json, i), &item);
        if (err == REEVE_OK) {
            err = reeve_value_add(list, item);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    (void)token_next(&reader->cursor, &mark); // the closing bracket
    *ret = reeve_value_take(&list);
    return REEVE_OK;
}

static enum reeve_err map_make(struct reader *reader, json_t *json, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_mark mark;
    struct reeve_mark first;
    const char *key = NULL;
    json_t *member = NULL;
    json_object_foreach(json, key, member) // in the order of the text, since jansson 2.8
    {
        struct reeve_value *item = NULL;
        (void)token_next(&reader->cursor, &mark); // the key
        enum reeve_err err = tree_make(reader, member, &item);
        if (err == REEVE_OK) {
            err = reeve_value_insert(map, key, strlen(key), mark, item, &first);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    (void)token_next(&reader->cursor, &mark); // the closing bracket
    *ret = reeve_value_take(&map);
    return REEVE_OK;
}

static struct reeve_value *scalar_make(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_TRUE:
        return reeve_value_bool(true);
    case JSON_FALSE:
        return reeve_value_bool(false);
    case JSON_INTEGER:
        return reeve_value_int(json_integer_value(json));
    case JSON_REAL:
        return reeve_value_float(json_real_value(json));
    case JSON_STRING:
        return reeve_value_strn(json_string_value(json), json_string_length(json));
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return reeve_value_null();
}

static enum reeve_err tree_make(struct reader *reader, json_t *json, struct reeve_value **ret)
{
    struct reeve_mark mark;
    (void)token_next(&reader->cursor, &mark);
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = REEVE_OK;
    if (json_is_object(json)) {
        err = map_make(reader, json, &value);
    } else if (json_is_array(json)) {
        err = list_make(reader, json, &value);
    } else {
        value = scalar_make(json);
    }
    if (err == REEVE_OK && value != NULL) {
        err = reeve_bin_unwrap(&value);
        if (err == REEVE_INVALID) {
            return reeve_fail_mark(reader->why, err, reader->source, mark, "\"" REEVE_BIN_KEY "\" holds no base64");
        }
    }
    if (err != REEVE_OK || value == NULL) {
        return err == REEVE_OK ? REEVE_NOMEM : err;
    }
    reeve_value_set_mark(value, mark);
    *ret = reeve_value_take(&value);
    return REEVE_OK;
}

// The mark of the token that ends at byte `end` of the text, or of what follows it.
static struct reeve_mark token_before(struct cursor cursor, size_t end)
{
    const char *stop = cursor.at + end;
    struct reeve_mark mark = cursor.mark;
    while (cursor.at < stop && token_next(&cursor, &mark) != '\0') {
    }
    return mark;
}

// jansson tells a failed allocation as whatever syntax it was looking for, or, where its token buffer
// can't grow, not at all: it loses the byte and goes on. This remembers the truth.
static _Thread_local bool jansson_starved;

static void *jansson_malloc(size_t size)
{
    void *fresh = malloc(size);
    jansson_starved = jansson_starved || fresh == NULL;
    return fresh;
}

static void jansson_prepare(void)
{
    json_set_alloc_funcs(jansson_malloc, free);
}

static enum reeve_err fail_jansson(const struct reader *reader, const json_error_t *error)
{
    if (jansson_starved) {
        return reeve_fail_at(reader->why, REEVE_NOMEM, reader->source == NULL ? "" : reader->source, "out of memory");
    }
    struct reeve_mark mark = {.line = error->line < 1 ? 1 : (uint32_t)error->line,
                              .col = error->column < 1 ? 1 : (uint32_t)error->column};
    size_t end = error->position < 0 ? 0 : (size_t)error->position;
    if (end <= (size_t)(reader->cursor.end - reader->cursor.at)) {
        mark = token_before(reader->cursor, end);
    }
    return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark, "%s", error->text);
}

enum reeve_err reeve_json_read(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                               struct reeve_value **ret, struct reeve_why *why)
{
    enum reeve_err err = reeve_limits_bytes(limits, len, source, why);
    if (err != REEVE_OK) {
        return err;
    }
    const struct reader fresh = {.cursor = {.at = text, .end = text + len, .mark = {.line = 1, .col = 1}},
                                 .limits = limits,
                                 .source = source,
                                 .why = why};
    struct reader reader = fresh;
    err = bounds_check(&reader);
    if (err != REEVE_OK) {
        return err;
    }
    static pthread_once_t prepared = PTHREAD_ONCE_INIT;
    (void)pthread_once(&prepared, jansson_prepare); // fails only for a bad pointer
    jansson_starved = false;
    json_error_t error = {.text = ""};
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL || jansson_starved) {
        json_decref(json);
        return fail_jansson(&fresh, &error);
    }
    reader = fresh;
    struct reeve_value *value = NULL;
    err = tree_make(&reader, json, &value);
    json_decref(json);
    if (err == REEVE_NOMEM) {
        return reeve_fail_at(why, err, source == NULL ? "" : source, "out of memory");
    }
    if (err == REEVE_OK) {
        *ret = value;
    }
    return err;
}

struct writer {
    struct reeve_buf *buf;
    bool pretty;
    bool bad; // a number that is not finite
};

static void indent_write(struct writer *writer, unsigned depth)
{
    if (writer->pretty) {
        reeve_buf_puts(writer->buf, "\n");
        for (unsigned i = 0; i < depth; i++) {
            reeve_buf_puts(writer->buf, "  ");
        }
    }
}

// Escaped beside what JSON demands: characters that terminals obey (U+007F..U+009F) or take for an end of line.
static const struct {
    const char *first, *last; // of as many bytes
} escaped_ranges[] = {{"\x01", "\x1f"},
                      {"\"", "\""},
                      {"\\", "\\"},
                      {"\x7f", "\x7f"},
                      {"\xc2\x80", "\xc2\x9f"},
                      {"\xe2\x80\xa8", "\xe2\x80\xa9"}};

// The bytes at `text` that are one character to escape, 0 when there is none.
static size_t escape_len(const char *text, size_t left)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(escaped_ranges); i++) {
        size_t len = strlen(escaped_ranges[i].first);
        if (len <= left && memcmp(text, escaped_ranges[i].first, len) >= 0 &&
            memcmp(text, escaped_ranges[i].last, len) <= 0) {
            return len;
        }
    }
    return 0;
}

// The number of a character of one to three bytes.
static unsigned code_point(const char *text, size_t len)
{
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f};
    unsigned code = (unsigned char)text[0] & lead_bits[len];
    for (size_t i = 1; i < len; i++) {
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    }
    return code;
}

static void escape_write(struct reeve_buf *buf, const char *text, size_t len)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; // character, letter
    unsigned code = code_point(text, len);
    for (const char *pair = named; *pair != '\0'; pair += 2) {
        if ((unsigned char)*pair == code) {
            reeve_buf_printf(buf, "\\%c", pair[1]);
            return;
        }
    }
    reeve_buf_printf(buf, "\\u%04x", code);
}

static void string_write(struct reeve_buf *buf, const char *text, size_t len)
{
    reeve_buf_puts(buf, "\"");
    size_t from = 0;
    for (size_t at = 0; at < len;) {
        size_t escaped = escape_len(text + at, len - at);
        if (escaped == 0) {
            at++;
            continue;
        }
        reeve_buf_append(buf, text + from, at - from);
        escape_write(buf, text + at, escaped);
        at += escaped;
        from = at;
    }
    reeve_buf_append(buf, text + from, len - from);
    reeve_buf_puts(buf, "\"");
}

static void bin_write(struct writer *writer, const char *data, size_t len)
{
    if (reeve_utf8_valid(data, len)) {
        string_write(writer->buf, data, len);
        return;
    }
    reeve_buf_puts(writer->buf, writer->pretty ? "{\"" REEVE_BIN_KEY "\": \"" : "{\"" REEVE_BIN_KEY "\":\"");
    reeve_base64_write(data, len, writer->buf);
    reeve_buf_puts(writer->buf, "\"}");
}

static void value_write(struct writer *writer, const struct reeve_value *value, unsigned depth);

static void container_write(struct writer *writer, const struct reeve_value *value, unsigned depth)
{
    bool map = reeve_value_kind(value) == REEVE_MAP;
    size_t len = reeve_value_len(value);
    reeve_buf_puts(writer->buf, map ? "{" : "[");
    for (size_t i = 0; i < len && writer->buf->err == REEVE_OK; i++) {
        reeve_buf_puts(writer->buf, i == 0 ? "" : ",");
        indent_write(writer, depth + 1);
        if (map) {
            const char *key = reeve_value_key(value, i);
            string_write(writer->buf, key, strlen(key));
            reeve_buf_puts(writer->buf, writer->pretty ? ": " : ":");
        }
        value_write(writer, reeve_value_at(value, i), depth + 1);
    }
    if (len > 0) {
        indent_write(writer, depth);
    }
    reeve_buf_puts(writer->buf, map ? "}" : "]");
}

static void real_write(struct writer *writer, double number)
{
    char text[REEVE_REAL_SIZE];
    writer->bad = writer->bad || !isfinite(number);
    reeve_buf_puts(writer->buf, reeve_real_format(number, text));
}

static void value_write(struct writer *writer, const struct reeve_value *value, unsigned depth)
{
    size_t len = 0;
    const char *data = reeve_value_data(value, &len);
    switch (reeve_value_kind(value)) {
    case REEVE_NULL:
        reeve_buf_puts(writer->buf, "null");
        break;
    case REEVE_BOOL:
        reeve_buf_puts(writer->buf, reeve_value_truth(value, false) ? "true" : "false");
        break;
    case REEVE_INT:
        reeve_buf_printf(writer->buf, "%lld", (long long)reeve_value_number(value, 0));
        break;
    case REEVE_FLOAT:
        real_write(writer, reeve_value_real(value, 0));
        break;
    case REEVE_STR:
        string_write(writer->buf, data, len);
        break;
    case REEVE_BIN:
        bin_write(writer, data, len);
        break;
    case REEVE_LIST:
    case REEVE_MAP:
        container_write(writer, value, depth);
        break;
    }
}

enum reeve_err reeve_json_write(const struct reeve_value *value, unsigned flags, struct reeve_buf *buf)
{
    struct writer writer = {.buf = buf, .pretty = (flags & REEVE_JSON_PRETTY) != 0};
    value_write(&writer, value, 0);
    if (buf->err != REEVE_OK) {
        return buf->err;
    }
    return writer.bad ? REEVE_INVALID : REEVE_OK;
}
