// encode and decode: JSON (or YAML) to msgpack and back, on standard input and output, for mosquitto_pub and
// mosquitto_sub. Must not: connect.
#include "commands.h"
#include "output.h"
#include "payload.h"

#include <errno.h>
#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct reeve_limits limits = {.bytes_max = 1 << 20, .depth_max = 16, .entries_max = 4096}; // [payload-4]

static enum reeve_err read_all(struct reeve_buf *ret, struct reeve_why *why)
{
    char data[65536];
    while (true) {
        ssize_t len = read(STDIN_FILENO, data, sizeof data);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0) {
            return reeve_fail_errno(why, "standard input");
        }
        if (len == 0) {
            return REEVE_OK;
        }
        reeve_buf_append(ret, data, (size_t)len);
        if (ret->err != REEVE_OK) {
            return reeve_fail(why, REEVE_INVALID, "standard input is larger than a message can be");
        }
    }
}

int cmd_encode(const struct invocation *inv)
{
    REEVE_BUF_AUTO in = REEVE_BUF_INIT(1 << 20);
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(4 << 20);
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_why why = {0};
    enum reeve_err err = read_all(&in, &why);
    if (err == REEVE_OK) {
        err = opt_given(inv, OPT_YAML) ? reeve_yaml_read(reeve_buf_str(&in), in.len, &limits, "stdin", &value, &why)
                                       : reeve_json_read(reeve_buf_str(&in), in.len, &limits, "stdin", &value, &why);
    }
    if (err == REEVE_OK) {
        err = reeve_msgpack_write(value, &out);
        err = err == REEVE_OK ? err : reeve_fail(&why, err, "it can't be written as msgpack");
    }
    if (err != REEVE_OK) {
        return output_fail(inv, err == REEVE_NOMEM || err == REEVE_IO ? EXIT_REFUSED : EXIT_USAGE, "%s%s%s", why.place,
                           why.place[0] != '\0' ? ": " : "", why.text);
    }
    return output_write(&out);
}

// ---- decode ---------------------------------------------------------------------------------------------------

static enum reeve_err write_value(const struct invocation *inv, const struct reeve_value *value, struct reeve_buf *out)
{
    if (opt_given(inv, OPT_YAML)) {
        return reeve_yaml_write(value, out);
    }
    enum reeve_err err = reeve_json_write(value, opt_given(inv, OPT_PRETTY) ? REEVE_JSON_PRETTY : 0, out);
    reeve_buf_puts(out, "\n");
    return err;
}

static int bad(const struct invocation *inv, const struct reeve_why *why)
{
    char text[sizeof *why];
    return output_fail(inv, EXIT_USAGE, "%s", reeve_why_format(why, text, sizeof text));
}

static int decode_message(const struct invocation *inv, const struct reeve_buf *in)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_why why = {0};
    if (reeve_msgpack_read(reeve_buf_str(in), in->len, &limits, "stdin", &value, &why) != REEVE_OK) {
        return bad(inv, &why);
    }
    enum reeve_err err = write_value(inv, value, &out);
    return err == REEVE_OK ? output_write(&out) : output_fail(inv, EXIT_REFUSED, "it can't be written");
}

// "topic hex" or "hex" per line. A topic has no spaces among Reeve's; other people's may, so the last word is the
// message.
static enum reeve_err decode_line(const struct invocation *inv, const char *line, size_t len, struct reeve_buf *out,
                                  struct reeve_why *why)
{
    REEVE_BUF_AUTO bytes = REEVE_BUF_INIT(1 << 20);
    REEVE_VALUE_AUTO map = reeve_value_map();
    const char *space = memrchr(line, ' ', len);
    const char *hex = space != NULL ? space + 1 : line;
    enum reeve_err err = payload_unhex(hex, len - (size_t)(hex - line), &bytes, why);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_value *payload = payload_value(reeve_buf_str(&bytes), bytes.len);
    if (space == NULL) {
        err = write_value(inv, payload, out);
        reeve_value_free(payload);
        return err;
    }
    (void)reeve_value_put(map, "topic", reeve_value_strn(line, (size_t)(space - line))); /* remembered below */
    (void)reeve_value_put(map, "payload", payload);                                      /* remembered below */
    err = reeve_value_built(map);
    return err == REEVE_OK ? write_value(inv, map, out) : reeve_fail(why, err, "out of memory");
}

// Line by line, as they come from mosquitto_sub.
static int decode_lines(const struct invocation *inv)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int exit_code = EXIT_DONE;
    for (size_t number = 1; exit_code == EXIT_DONE && (len = getline(&line, &cap, stdin)) >= 0; number++) {
        REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
        struct reeve_why why = {0};
        len -= len > 0 && line[len - 1] == '\n' ? 1 : 0;
        if (len == 0) {
            continue;
        }
        if (decode_line(inv, line, (size_t)len, &out, &why) != REEVE_OK) {
            exit_code = output_fail(inv, EXIT_USAGE, "line %zu: %s", number, why.text);
        } else {
            exit_code = output_write(&out);
        }
    }
    free(line);
    return exit_code;
}

int cmd_decode(const struct invocation *inv)
{
    REEVE_BUF_AUTO in = REEVE_BUF_INIT(1 << 20);
    struct reeve_why why = {0};
    if (opt_given(inv, OPT_HEX)) {
        return decode_lines(inv);
    }
    enum reeve_err err = read_all(&in, &why);
    return err == REEVE_OK ? decode_message(inv, &in) : bad(inv, &why);
}
