// YAML: read from libyaml's events straight into the tree, with bounds, scalars by the 1.2 core schema
// (yaml.org/spec/1.2.2, section 10.3) and no anchors, aliases or tags; written through libyaml's emitter.
// Must not: build what libyaml's document loader would (it expands aliases and knows no bounds).
#include "reading.h"

#include <errno.h>
#include <math.h>
#include <reeve/str.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t len;
    const struct reeve_limits *limits;
    size_t values_left;
    const char *source;
    struct reeve_why *why;
};

static void reader_done(struct reader *reader)
{
    yaml_parser_delete(&reader->parser);
}

static struct reeve_mark mark_of(yaml_mark_t mark)
{
    return (struct reeve_mark){.line = (uint32_t)mark.line + 1, .col = (uint32_t)mark.column + 1};
}

static enum reeve_err fail_nomem(const struct reader *reader)
{
    return reeve_fail_at(reader->why, REEVE_NOMEM, reader->source == NULL ? "" : reader->source, "out of memory");
}

// The byte at a line and column of the text, '\0' past its end.
static char byte_at(const struct reader *reader, yaml_mark_t mark)
{
    const char *at = reader->text;
    const char *end = reader->text + reader->len;
    for (size_t line = 0; line < mark.line && at != NULL; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at == NULL ? NULL : at + 1;
    }
    for (size_t col = 0; at != NULL && at < end && col < mark.column; col++) {
        at++;
        while (at < end && ((unsigned char)*at & 0xc0) == 0x80) {
            at++;
        }
    }
    return at != NULL && at < end ? *at : '\0';
}

// Where bytes can't be read at all libyaml knows only their offset.
static struct reeve_mark mark_of_offset(const struct reader *reader, size_t offset)
{
    struct reeve_mark mark = {.line = 1, .col = 1};
    for (size_t i = 0; i < offset && i < reader->len; i++) {
        unsigned char c = (unsigned char)reader->text[i];
        mark.line += c == '\n';
        mark.col = c == '\n' ? 1 : mark.col + ((c & 0xc0) != 0x80);
    }
    return mark;
}

static enum reeve_err fail_syntax(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;
    if (parser->error == YAML_MEMORY_ERROR) {
        return fail_nomem(reader);
    }
    if (parser->error == YAML_READER_ERROR) {
        return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source,
                               mark_of_offset(reader, parser->problem_offset), "%s", problem);
    }
    struct reeve_mark mark = mark_of(parser->problem_mark);
    if (byte_at(reader, parser->problem_mark) == '\t') {
        return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark,
                               "a tab in the indentation; YAML is indented with spaces");
    }
    struct reeve_mark context = mark_of(parser->context_mark);
    if (parser->context == NULL || (context.line == mark.line && context.col == mark.col)) {
        return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark, "%s", problem);
    }
    return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark, "%s %s that began at %u:%u", problem,
                           parser->context, context.line, context.col);
}

static enum reeve_err event_next(struct reader *reader, yaml_event_t *ret)
{
    return yaml_parser_parse(&reader->parser, ret) == 1 ? REEVE_OK : fail_syntax(reader);
}

static enum reeve_err fail_event(const struct reader *reader, const yaml_event_t *event, const char *text)
{
    return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark_of(event->start_mark), "%s", text);
}

// What a value may not carry.
static enum reeve_err event_check(const struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        return fail_event(reader, event, "aliases (*name) are not allowed; a value that begins with * needs quotes");
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL) {
        return fail_event(reader, event, "anchors (&name) are not allowed; a value that begins with & needs quotes");
    }
    if (tag != NULL) {
        return fail_event(reader, event, "tags (!name) are not allowed; a value that begins with ! needs quotes");
    }
    return REEVE_OK;
}

static const struct {
    const char *text;
    enum reeve_kind kind;
    bool on;
} words[] = {
    {"", REEVE_NULL, false},      {"~", REEVE_NULL, false},     {"null", REEVE_NULL, false},
    {"Null", REEVE_NULL, false},  {"NULL", REEVE_NULL, false},  {"true", REEVE_BOOL, true},
    {"True", REEVE_BOOL, true},   {"TRUE", REEVE_BOOL, true},   {"false", REEVE_BOOL, false},
    {"False", REEVE_BOOL, false}, {"FALSE", REEVE_BOOL, false},
};

static size_t digits_skip(const char **text)
{
    size_t len = strspn(*text, "0123456789");
    *text += len;
    return len;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?; an INT has neither point nor exponent.
static enum reeve_kind decimal_kind(const char *text)
{
    enum reeve_kind kind = REEVE_INT;
    text += *text == '-' || *text == '+';
    size_t digits = digits_skip(&text);
    if (*text == '.') {
        text++;
        digits += digits_skip(&text);
        kind = REEVE_FLOAT;
    }
    if (digits == 0) {
        return REEVE_STR;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        if (digits_skip(&text) == 0) {
            return REEVE_STR;
        }
        kind = REEVE_FLOAT;
    }
    return *text == '\0' ? kind : REEVE_STR;
}

static bool is_infinite_word(const char *text)
{
    static const char *const inf[] = {".inf", ".Inf", ".INF"};
    static const char *const nan[] = {".nan", ".NaN", ".NAN"};
    const char *unsigned_text = text + (*text == '-' || *text == '+');
    for (size_t i = 0; i < REEVE_ARRAY_LEN(inf); i++) {
        if (strcmp(unsigned_text, inf[i]) == 0 || strcmp(text, nan[i]) == 0) {
            return true;
        }
    }
    return false;
}

// The base of 0o17 and 0x1f, 0 for everything else.
static int based(const char *text)
{
    const char *digits = text[0] == '0' && text[1] == 'o'   ? "01234567"
                         : text[0] == '0' && text[1] == 'x' ? "0123456789abcdefABCDEF"
                                                            : "";
    size_t len = *digits == '\0' ? 0 : strspn(text + 2, digits);
    return len == 0 || text[2 + len] != '\0' ? 0 : *digits == '0' && text[1] == 'o' ? 8 : 16;
}

// What a plain scalar means.
static enum reeve_kind plain_kind(const char *text)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(words); i++) {
        if (strcmp(text, words[i].text) == 0) {
            return words[i].kind;
        }
    }
    if (based(text) != 0) {
        return REEVE_INT;
    }
    return is_infinite_word(text) ? REEVE_FLOAT : decimal_kind(text);
}

static enum reeve_err whole_make(const char *text, struct reeve_value **ret)
{
    int base = based(text);
    errno = 0;
    int64_t number = base == 0 ? strtoll(text, NULL, 10) : strtoll(text + 2, NULL, base);
    if (errno != 0) {
        return REEVE_INVALID;
    }
    *ret = reeve_value_int(number);
    return REEVE_OK;
}

static enum reeve_err real_make(const char *text, struct reeve_value **ret)
{
    double number = is_infinite_word(text) ? (double)INFINITY : strtod(text, NULL);
    if (!isfinite(number)) {
        return REEVE_INVALID;
    }
    *ret = reeve_value_float(number);
    return REEVE_OK;
}

static bool word_on(const char *text)
{
    return text[0] == 't' || text[0] == 'T';
}

static enum reeve_err plain_make(const struct reader *reader, const yaml_event_t *event, struct reeve_value **ret)
{
    const char *text = (const char *)event->data.scalar.value;
    enum reeve_err err = REEVE_OK;
    switch (plain_kind(text)) {
    case REEVE_NULL:
        *ret = reeve_value_null();
        break;
    case REEVE_BOOL:
        *ret = reeve_value_bool(word_on(text));
        break;
    case REEVE_INT:
        err = whole_make(text, ret);
        break;
    case REEVE_FLOAT:
        err = real_make(text, ret);
        break;
    case REEVE_STR:
    case REEVE_BIN:
    case REEVE_LIST:
    case REEVE_MAP:
        *ret = reeve_value_strn(text, event->data.scalar.length);
        break;
    }
    if (err != REEVE_OK) {
        return fail_event(reader, event, "the number is out of range; quote it if it is text");
    }
    return *ret == NULL ? REEVE_NOMEM : REEVE_OK;
}

static enum reeve_err scalar_make(const struct reader *reader, const yaml_event_t *event, struct reeve_value **ret)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (!reeve_utf8_valid(text, len)) {
        return fail_event(reader, event, "the string has a NUL inside");
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        return plain_make(reader, event, ret);
    }
    *ret = reeve_value_strn(text, len);
    return *ret == NULL ? REEVE_NOMEM : REEVE_OK;
}

static enum reeve_err value_make(struct reader *reader, const yaml_event_t *event, unsigned depth,
                                 struct reeve_value **ret);

static enum reeve_err fail_entries(const struct reader *reader, const yaml_event_t *event)
{
    return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark_of(event->start_mark),
                           "a container of more than %zu entries", reader->limits->entries_max);
}

#define EVENT_AUTO __attribute__((cleanup(yaml_event_delete))) yaml_event_t

static enum reeve_err list_make(struct reader *reader, unsigned depth, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO list = reeve_value_list();
    for (;;) {
        EVENT_AUTO event = {.type = YAML_NO_EVENT};
        enum reeve_err err = event_next(reader, &event);
        if (err == REEVE_OK && event.type == YAML_SEQUENCE_END_EVENT) {
            *ret = reeve_value_take(&list);
            return REEVE_OK;
        }
        if (err == REEVE_OK && reeve_value_len(list) == reader->limits->entries_max) {
            return fail_entries(reader, &event);
        }
        struct reeve_value *item = NULL;
        if (err == REEVE_OK) {
            err = value_make(reader, &event, depth, &item);
        }
        if (err == REEVE_OK) {
            err = reeve_value_add(list, item);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
}

static enum reeve_err key_check(const struct reader *reader, const yaml_event_t *event)
{
    enum reeve_err err = event_check(reader, event);
    if (err != REEVE_OK) {
        return err;
    }
    if (event->type != YAML_SCALAR_EVENT) {
        return fail_event(reader, event, "a map's key must be a string");
    }
    const char *text = (const char *)event->data.scalar.value;
    if (!reeve_utf8_valid(text, event->data.scalar.length)) {
        return fail_event(reader, event, "the key has a NUL inside");
    }
    enum reeve_kind kind = plain_kind(text);
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && kind != REEVE_STR) {
        return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark_of(event->start_mark),
                               "a map's key must be a string, this is %s%s; quote it", kind == REEVE_NULL ? "" : "a ",
                               kind == REEVE_BOOL ? "boolean" : reeve_kind_text(kind));
    }
    return REEVE_OK;
}

// The value of the key `event`, into the map.
static enum reeve_err entry_make(struct reader *reader, const yaml_event_t *key, unsigned depth,
                                 struct reeve_value *map)
{
    EVENT_AUTO event = {.type = YAML_NO_EVENT};
    struct reeve_value *item = NULL;
    enum reeve_err err = event_next(reader, &event);
    if (err == REEVE_OK) {
        err = value_make(reader, &event, depth, &item);
    }
    if (err != REEVE_OK) {
        return err;
    }
    const char *text = (const char *)key->data.scalar.value;
    size_t len = key->data.scalar.length;
    struct reeve_mark mark = mark_of(key->start_mark);
    struct reeve_mark first = {0};
    err = reeve_value_insert(map, text, len, mark, item, &first);
    if (err == REEVE_CONFLICT) {
        char shown[REEVE_SHOWN_SIZE];
        return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark,
                               "key \"%s\" is given twice, first at %u:%u", reeve_shown(text, len, shown), first.line,
                               first.col);
    }
    return err;
}

static enum reeve_err map_make(struct reader *reader, unsigned depth, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    for (;;) {
        EVENT_AUTO key = {.type = YAML_NO_EVENT};
        enum reeve_err err = event_next(reader, &key);
        if (err == REEVE_OK && key.type == YAML_MAPPING_END_EVENT) {
            break;
        }
        if (err == REEVE_OK && reeve_value_len(map) == reader->limits->entries_max) {
            return fail_entries(reader, &key);
        }
        if (err == REEVE_OK) {
            err = key_check(reader, &key);
        }
        if (err == REEVE_OK) {
            err = entry_make(reader, &key, depth, map);
        }
        if (err != REEVE_OK) {
            return err;
        }
    }
    *ret = reeve_value_take(&map);
    return REEVE_OK;
}

static enum reeve_err container_make(struct reader *reader, const yaml_event_t *event, unsigned depth,
                                     struct reeve_value **ret)
{
    struct reeve_mark mark = mark_of(event->start_mark);
    if (depth == reeve_limits_depth(reader->limits)) {
        return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark, "nested deeper than %u containers",
                               depth);
    }
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        return list_make(reader, depth + 1, ret);
    }
    enum reeve_err err = map_make(reader, depth + 1, ret);
    if (err == REEVE_OK && *ret != NULL) {
        err = reeve_bin_unwrap(ret);
        if (err == REEVE_INVALID) {
            return fail_event(reader, event, "\"" REEVE_BIN_KEY "\" holds no base64");
        }
    }
    return err;
}

static enum reeve_err value_make(struct reader *reader, const yaml_event_t *event, unsigned depth,
                                 struct reeve_value **ret)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = event_check(reader, event);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_mark mark = mark_of(event->start_mark);
    if (reader->values_left-- == 0) {
        return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark, "more than %zu values",
                               reeve_limits_values(reader->limits));
    }
    err = event->type == YAML_SCALAR_EVENT ? scalar_make(reader, event, &value)
                                           : container_make(reader, event, depth, &value);
    if (err != REEVE_OK || value == NULL) {
        return err == REEVE_OK ? REEVE_NOMEM : err;
    }
    reeve_value_set_mark(value, mark);
    *ret = reeve_value_take(&value);
    return REEVE_OK;
}

// The document of a DOCUMENT_START event, with the events up to its end.
static enum reeve_err document_make(struct reader *reader, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO value = NULL;
    EVENT_AUTO first = {.type = YAML_NO_EVENT};
    EVENT_AUTO end = {.type = YAML_NO_EVENT};
    enum reeve_err err = event_next(reader, &first);
    if (err == REEVE_OK) {
        err = value_make(reader, &first, 0, &value);
    }
    if (err == REEVE_OK) {
        err = event_next(reader, &end);
    }
    if (err == REEVE_OK) {
        *ret = reeve_value_take(&value);
    }
    return err;
}

// The next document; *ret stays NULL at the end of the stream. *ret_mark is where it begins.
static enum reeve_err document_next(struct reader *reader, struct reeve_value **ret, struct reeve_mark *ret_mark)
{
    EVENT_AUTO event = {.type = YAML_NO_EVENT};
    enum reeve_err err = event_next(reader, &event);
    if (err == REEVE_OK && event.type == YAML_STREAM_START_EVENT) {
        yaml_event_delete(&event);
        err = event_next(reader, &event);
    }
    *ret_mark = mark_of(event.start_mark);
    if (err != REEVE_OK || event.type != YAML_DOCUMENT_START_EVENT) {
        return err;
    }
    return document_make(reader, ret);
}

static enum reeve_err stream_read(struct reader *reader, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO list = reeve_value_list();
    for (;;) {
        struct reeve_value *document = NULL;
        struct reeve_mark mark;
        enum reeve_err err = document_next(reader, &document, &mark);
        if (err != REEVE_OK) {
            return err;
        }
        if (document == NULL) {
            *ret = reeve_value_take(&list);
            return *ret == NULL ? REEVE_NOMEM : REEVE_OK;
        }
        if (reeve_value_len(list) == reader->limits->entries_max) {
            reeve_value_free(document);
            return reeve_fail_mark(reader->why, REEVE_LIMIT, reader->source, mark, "more than %zu documents",
                                   reader->limits->entries_max);
        }
        err = reeve_value_add(list, document);
        if (err != REEVE_OK) {
            return err;
        }
    }
}

// An empty stream is a document that holds nothing.
static enum reeve_err single_read(struct reader *reader, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO value = NULL;
    REEVE_VALUE_AUTO other = NULL;
    struct reeve_mark mark;
    enum reeve_err err = document_next(reader, &value, &mark);
    if (err == REEVE_OK && value == NULL) {
        *ret = reeve_value_null();
        reeve_value_set_mark(*ret, (struct reeve_mark){.line = 1, .col = 1});
        return *ret == NULL ? REEVE_NOMEM : REEVE_OK;
    }
    if (err == REEVE_OK) {
        err = document_next(reader, &other, &mark);
    }
    if (err == REEVE_OK && other != NULL) {
        return reeve_fail_mark(reader->why, REEVE_INVALID, reader->source, mark,
                               "a second document begins here; only one is allowed");
    }
    if (err == REEVE_OK) {
        *ret = reeve_value_take(&value);
    }
    return err;
}

static enum reeve_err yaml_read(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                enum reeve_err (*read)(struct reader *reader, struct reeve_value **ret),
                                struct reeve_value **ret, struct reeve_why *why)
{
    __attribute__((cleanup(reader_done))) struct reader reader = {.text = text,
                                                                  .len = len,
                                                                  .limits = limits,
                                                                  .values_left = reeve_limits_values(limits),
                                                                  .source = source,
                                                                  .why = why};
    enum reeve_err err = reeve_limits_bytes(limits, len, source, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (yaml_parser_initialize(&reader.parser) == 0) {
        return fail_nomem(&reader);
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    struct reeve_value *value = NULL;
    err = read(&reader, &value);
    if (err == REEVE_OK) {
        *ret = value;
    }
    return err == REEVE_NOMEM ? fail_nomem(&reader) : err;
}

enum reeve_err reeve_yaml_read(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                               struct reeve_value **ret, struct reeve_why *why)
{
    return yaml_read(text, len, limits, source, single_read, ret, why);
}

enum reeve_err reeve_yaml_read_all(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                   struct reeve_value **ret, struct reeve_why *why)
{
    return yaml_read(text, len, limits, source, stream_read, ret, why);
}

struct writer {
    yaml_emitter_t emitter;
    struct reeve_buf *buf;
    bool bad; // a number that is not finite
};

static void writer_done(struct writer *writer)
{
    yaml_emitter_delete(&writer->emitter);
}

static int buf_sink(void *buf, unsigned char *data, size_t len)
{
    reeve_buf_append(buf, data, len);
    return ((const struct reeve_buf *)buf)->err == REEVE_OK;
}

// Text that would be something else without quotes, here or in a reader of YAML 1.1 (yes, 1:30, 0777, 1_000).
static bool needs_quotes(const char *text)
{
    static const char *const words11[] = {"y", "n", "yes", "no", "on", "off", "=", "<<"};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(words11); i++) {
        if (strcasecmp(text, words11[i]) == 0) {
            return true;
        }
    }
    return plain_kind(text) != REEVE_STR || text[strspn(text, "0123456789:_.,+-")] == '\0';
}

// The emitter takes the event in any case.
static bool emit(struct writer *writer, int made, yaml_event_t *event)
{
    return made == 1 && yaml_emitter_emit(&writer->emitter, event) == 1;
}

static bool scalar_emit(struct writer *writer, const char *text, size_t len, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int made = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len, 1, 1, style);
    return emit(writer, made, &event);
}

static bool string_emit(struct writer *writer, const char *text, size_t len)
{
    return scalar_emit(writer, text, len, needs_quotes(text) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);
}

static bool plain_emit(struct writer *writer, const char *text)
{
    return scalar_emit(writer, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
}

static bool map_begin(struct writer *writer)
{
    yaml_event_t event;
    return emit(writer, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE), &event);
}

static bool map_end(struct writer *writer)
{
    yaml_event_t event;
    return emit(writer, yaml_mapping_end_event_initialize(&event), &event);
}

static bool bin_emit(struct writer *writer, const char *data, size_t len)
{
    if (reeve_utf8_valid(data, len)) {
        return string_emit(writer, data, len);
    }
    REEVE_BUF_AUTO base64 = REEVE_BUF_INIT(len * 2 + 8);
    reeve_base64_write(data, len, &base64);
    if (base64.err != REEVE_OK) {
        writer->buf->err = base64.err;
        return false;
    }
    return map_begin(writer) && string_emit(writer, REEVE_BIN_KEY, strlen(REEVE_BIN_KEY)) &&
           scalar_emit(writer, base64.data, base64.len, YAML_DOUBLE_QUOTED_SCALAR_STYLE) && map_end(writer);
}

static bool value_emit(struct writer *writer, const struct reeve_value *value);

static bool list_emit(struct writer *writer, const struct reeve_value *list)
{
    yaml_event_t event;
    bool good =
        emit(writer, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE), &event);
    for (size_t i = 0; good && i < reeve_value_len(list); i++) {
        good = value_emit(writer, reeve_value_at(list, i));
    }
    return good && emit(writer, yaml_sequence_end_event_initialize(&event), &event);
}

static bool map_emit(struct writer *writer, const struct reeve_value *map)
{
    bool good = map_begin(writer);
    for (size_t i = 0; good && i < reeve_value_len(map); i++) {
        const char *key = reeve_value_key(map, i);
        good = string_emit(writer, key, strlen(key)) && value_emit(writer, reeve_value_at(map, i));
    }
    return good && map_end(writer);
}

static bool real_emit(struct writer *writer, double number)
{
    char text[REEVE_REAL_SIZE];
    writer->bad = !isfinite(number);
    return !writer->bad && plain_emit(writer, reeve_real_format(number, text));
}

static bool whole_emit(struct writer *writer, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)number); // at most 20 characters
    return plain_emit(writer, text);
}

static bool value_emit(struct writer *writer, const struct reeve_value *value)
{
    size_t len = 0;
    const char *data = reeve_value_data(value, &len);
    switch (reeve_value_kind(value)) {
    case REEVE_NULL:
        return plain_emit(writer, "null");
    case REEVE_BOOL:
        return plain_emit(writer, reeve_value_truth(value, false) ? "true" : "false");
    case REEVE_INT:
        return whole_emit(writer, reeve_value_number(value, 0));
    case REEVE_FLOAT:
        return real_emit(writer, reeve_value_real(value, 0));
    case REEVE_STR:
        return string_emit(writer, data, len);
    case REEVE_BIN:
        return bin_emit(writer, data, len);
    case REEVE_LIST:
        return list_emit(writer, value);
    case REEVE_MAP:
        return map_emit(writer, value);
    }
    return false;
}

static bool document_emit(struct writer *writer, const struct reeve_value *value)
{
    yaml_event_t event;
    yaml_emitter_set_output(&writer->emitter, buf_sink, writer->buf);
    yaml_emitter_set_unicode(&writer->emitter, 1);
    yaml_emitter_set_width(&writer->emitter, -1);
    return emit(writer, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
           emit(writer, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event) &&
           value_emit(writer, value) && emit(writer, yaml_document_end_event_initialize(&event, 1), &event) &&
           emit(writer, yaml_stream_end_event_initialize(&event), &event);
}

enum reeve_err reeve_yaml_write(const struct reeve_value *value, struct reeve_buf *buf)
{
    __attribute__((cleanup(writer_done))) struct writer writer = {.buf = buf};
    if (yaml_emitter_initialize(&writer.emitter) == 0) {
        return REEVE_NOMEM;
    }
    bool good = document_emit(&writer, value);
    if (good) {
        return REEVE_OK;
    }
    if (writer.bad) {
        return REEVE_INVALID;
    }
    return buf->err != REEVE_OK ? buf->err : REEVE_NOMEM;
}
