// Where a value comes from: places in errors, bounds of a message, files by their extension.
// Must not: parse.
#include "reading.h"

#include <errno.h>
#include <reeve/file.h>
#include <reeve/str.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct reeve_limits reeve_limits_wire = {.bytes_max = 1u << 20, .depth_max = 16, .entries_max = 4096};
const struct reeve_limits reeve_limits_file = {.bytes_max = 256u << 10, .depth_max = 64, .entries_max = 4096};

// 4,096 jobs of 64 fields each fit into one message.
#define VALUES_PER_ENTRY 64u

enum reeve_err reeve_fail_mark(struct reeve_why *why, enum reeve_err err, const char *source, struct reeve_mark mark,
                               const char *fmt, ...)
{
    char place[sizeof(why->place)];
    char text[sizeof(why->text)];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); // cut at its bound
    va_end(ap);
    if (source == NULL) {
        (void)snprintf(place, sizeof(place), "%u:%u", mark.line, mark.col);
    } else {
        (void)snprintf(place, sizeof(place), "%.190s:%u:%u", source, mark.line, mark.col);
    }
    return reeve_fail_at(why, err, place, "%s", text);
}

const char *reeve_shown(const char *text, size_t len, char buf[REEVE_SHOWN_SIZE])
{
    static const char more[] = "...";
    size_t room = REEVE_SHOWN_SIZE - sizeof(more);
    size_t shown = len <= room ? len : room;
    while (shown > 0 && shown < len && ((unsigned char)text[shown] & 0xc0) == 0x80) {
        shown--; // not in the middle of a character
    }
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text[i];
        buf[i] = c < ' ' || c == 0x7f ? '?' : text[i];
    }
    memcpy(buf + shown, more, sizeof(more));
    if (shown == len) {
        buf[shown] = '\0';
    }
    return buf;
}

unsigned reeve_limits_depth(const struct reeve_limits *limits)
{
    return limits->depth_max < REEVE_DEPTH_HARD_MAX ? limits->depth_max : REEVE_DEPTH_HARD_MAX;
}

size_t reeve_limits_values(const struct reeve_limits *limits)
{
    return limits->entries_max * VALUES_PER_ENTRY;
}

enum reeve_err reeve_limits_bytes(const struct reeve_limits *limits, size_t len, const char *source,
                                  struct reeve_why *why)
{
    if (len <= limits->bytes_max) {
        return REEVE_OK;
    }
    return reeve_fail_at(why, REEVE_LIMIT, source == NULL ? "" : source, "%zu bytes, at most %zu are allowed", len,
                         limits->bytes_max);
}

// Up to the bound of the buffer.
static enum reeve_err stdin_read(struct reeve_buf *ret_buf, struct reeve_why *why)
{
    char chunk[16 * 1024];
    for (;;) {
        ssize_t got = read(STDIN_FILENO, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return reeve_fail_errno(why, "reading standard input");
        }
        if (got == 0) {
            return REEVE_OK;
        }
        reeve_buf_append(ret_buf, chunk, (size_t)got);
        if (ret_buf->err == REEVE_LIMIT) {
            return reeve_fail(why, REEVE_LIMIT, "standard input is longer than %zu bytes", ret_buf->len_max);
        }
        if (ret_buf->err != REEVE_OK) {
            return reeve_fail(why, ret_buf->err, "reading standard input: %s", reeve_err_text(ret_buf->err));
        }
    }
}

typedef enum reeve_err reader_fn(const char *text, size_t len, const struct reeve_limits *limits, const char *source,
                                 struct reeve_value **ret, struct reeve_why *why);

static enum reeve_err msgpack_reader(const char *text, size_t len, const struct reeve_limits *limits,
                                     const char *source, struct reeve_value **ret, struct reeve_why *why)
{
    return reeve_msgpack_read(text, len, limits, source, ret, why);
}

// YAML reads JSON too, but then the places and limits of its errors are YAML's.
static const struct {
    const char *extension;
    reader_fn *read;
} readers[] = {
    {".json", reeve_json_read},
    {".msgpack", msgpack_reader},
    {".mp", msgpack_reader},
};

static reader_fn *reader_of(const char *path)
{
    const char *name = strrchr(path, '/');
    const char *extension = strrchr(name == NULL ? path : name, '.');
    for (size_t i = 0; i < REEVE_ARRAY_LEN(readers); i++) {
        if (extension != NULL && strcmp(extension, readers[i].extension) == 0) {
            return readers[i].read;
        }
    }
    return reeve_yaml_read;
}

// Both kinds of reading: `yaml` is what a file with no known extension is read by.
static enum reeve_err file_read(const char *path, const struct reeve_limits *limits, reader_fn *yaml,
                                struct reeve_value **ret, bool *ret_yaml, struct reeve_why *why)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(limits->bytes_max);
    bool from_stdin = strcmp(path, "-") == 0;
    enum reeve_err err = from_stdin ? stdin_read(&buf, why) : reeve_file_read(path, limits->bytes_max, &buf, why);
    if (err != REEVE_OK) {
        return err;
    }
    reader_fn *read = reader_of(path);
    *ret_yaml = read == reeve_yaml_read;
    return (*ret_yaml ? yaml : read)(reeve_buf_str(&buf), buf.len, limits, from_stdin ? "standard input" : path, ret,
                                     why);
}

enum reeve_err reeve_file_read_value(const char *path, const struct reeve_limits *limits, struct reeve_value **ret,
                                     struct reeve_why *why)
{
    bool yaml;
    return file_read(path, limits, reeve_yaml_read, ret, &yaml, why);
}

enum reeve_err reeve_file_read_documents(const char *path, const struct reeve_limits *limits, struct reeve_value **ret,
                                         struct reeve_why *why)
{
    REEVE_VALUE_AUTO value = NULL;
    bool yaml;
    enum reeve_err err = file_read(path, limits, reeve_yaml_read_all, &value, &yaml, why);
    if (err != REEVE_OK || yaml) {
        *ret = err == REEVE_OK ? reeve_value_take(&value) : *ret;
        return err;
    }
    REEVE_VALUE_AUTO list = reeve_value_list();
    if (list == NULL || reeve_value_add(list, reeve_value_take(&value)) != REEVE_OK) {
        return REEVE_NOMEM;
    }
    *ret = reeve_value_take(&list);
    return REEVE_OK;
}
