// A machine of four states, byte ranges in, lines and a result out. A line is held back only while it may be one for
// us; the result is never looked at twice. Must not: believe that a read ends where a line ends.
#include "output.h"

#include <inttypes.h>
#include <math.h>
#include <reeve/codec.h>
#include <reeve/job.h>
#include <stdlib.h>
#include <string.h>

enum state {
    AT_START, // of a line: what is in `line` is the beginning of a word for us, or nothing
    IN_LINE,  // of ours: in `line` until its newline
    IN_TEXT,  // of the result, until its newline
    TOO_LONG, // a line for us beyond OUTPUT_LINE_MAX: dropped until its newline
};

static const struct {
    const char *word;
    enum output_kind kind;
} words[] = {{"::progress", OUTPUT_PROGRESS}, {"::checkpoint", OUTPUT_CHECKPOINT}, {"::no_return", OUTPUT_NO_RETURN}};

void output_init(struct output *output, size_t result_max, void (*on_line)(struct output_line *line, void *arg),
                 void *arg)
{
    *output = (struct output){.on_line = on_line,
                              .arg = arg,
                              .result = REEVE_BUF_INIT(result_max),
                              .result_max = result_max,
                              .line = REEVE_BUF_INIT(OUTPUT_LINE_MAX),
                              .state = AT_START};
}

void output_done(struct output *output)
{
    reeve_buf_done(&output->result);
    reeve_buf_done(&output->line);
}

// ---- lines for us --------------------------------------------------------------------------------------------------

bool output_read_fraction(const char *text, double *ret)
{
    char *end = NULL;
    if (text[0] != '.' && (text[0] < '0' || text[0] > '9')) {
        return false; // no sign, no space, no "nan"
    }
    double number = strtod(text, &end);
    if (*end == '%') {
        end++;
        number /= 100;
    }
    if (*end != '\0' || !isfinite(number) || number > 1) {
        return false;
    }
    *ret = number;
    return true;
}

static void read_progress(char *rest, struct output_line *line)
{
    char *text = rest + strcspn(rest, " \t");
    if (*text != '\0') {
        *text++ = '\0';
        text += strspn(text, " \t");
    }
    line->text = text;
    if (!output_read_fraction(rest, &line->progress)) {
        line->mistake = "expected ::progress and a number from 0 to 1, then a text if there is one";
    }
}

static const struct reeve_limits data_limits = {
    .bytes_max = OUTPUT_LINE_MAX, .depth_max = REEVE_JOB_VALUE_DEPTH_MAX, .entries_max = 4096};

static void read_data(const char *rest, struct output_line *line, struct reeve_why *why)
{
    if (rest[0] == '\0') {
        line->mistake = line->kind == OUTPUT_CHECKPOINT ? "expected ::checkpoint and a value in JSON" : NULL;
    } else if (reeve_json_read(rest, strlen(rest), &data_limits, NULL, &line->data, why) != REEVE_OK) {
        line->mistake = why->text;
    }
}

// Which word the line begins with, by itself or with a space behind it; -1 = none.
static int find_word(const char *text)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(words); i++) {
        const size_t len = strlen(words[i].word);
        if (strncmp(text, words[i].word, len) == 0 && (text[len] == '\0' || strchr(" \t\r\n", text[len]) != NULL)) {
            return (int)i;
        }
    }
    return -1;
}

static void tell_line(struct output *output, char *text)
{
    const int word = find_word(text);
    struct reeve_why why = {0};
    struct output_line line = {.text = ""};
    REEVE_ASSERT(word >= 0);
    text[strcspn(text, "\r\n")] = '\0';
    char *rest = text + strlen(words[word].word);
    rest += strspn(rest, " \t");
    line.kind = words[word].kind;
    if (line.kind == OUTPUT_PROGRESS) {
        read_progress(rest, &line);
    } else {
        read_data(rest, &line, &why);
    }
    output->on_line(&line, output->arg);
    reeve_value_free(line.data);
}

static void tell_mistake(struct output *output, const char *mistake)
{
    const int word = find_word(reeve_buf_str(&output->line));
    struct output_line line = {.text = "", .mistake = mistake};
    if (word >= 0) {
        line.kind = words[word].kind;
        output->on_line(&line, output->arg);
    }
}

// ---- states --------------------------------------------------------------------------------------------------------

static void keep(struct output *output, const char *data, size_t len)
{
    const size_t room = output->result_max - output->result.len;
    output->result_bytes += len;
    reeve_buf_append(&output->result, data, len < room ? len : room); // out of memory: cut, as if it were the bound
}

enum guess { NOT_OURS, MAYBE_OURS, OURS };

// A word for us ends in a space or with its line: until then more letters may follow.
static enum guess guess(const struct reeve_buf *line)
{
    static const char ends[] = {' ', '\t', '\r', '\n'};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(words); i++) {
        const size_t len = strlen(words[i].word);
        if (strncmp(line->data, words[i].word, line->len < len ? line->len : len) != 0) {
            continue;
        }
        if (line->len <= len) {
            return MAYBE_OURS;
        }
        return memchr(ends, line->data[len], sizeof ends) != NULL ? OURS : NOT_OURS; // a byte 0 is none of them
    }
    return NOT_OURS;
}

static size_t feed_start(struct output *output, const char *data)
{
    const bool ends = data[0] == '\n';
    reeve_buf_append(&output->line, data, 1);
    const enum guess ours = output->line.err == REEVE_OK ? guess(&output->line) : NOT_OURS;
    if (ours == MAYBE_OURS) {
        return 1;
    }
    output->state = ends ? AT_START : ours == OURS ? IN_LINE : IN_TEXT;
    if (ours == OURS && ends) {
        tell_line(output, output->line.data);
    } else if (ours == NOT_OURS) {
        keep(output, reeve_buf_str(&output->line), output->line.len);
    }
    if (output->state != IN_LINE) {
        reeve_buf_reset(&output->line);
    }
    return 1;
}

static size_t feed_line(struct output *output, const char *data, size_t len)
{
    const char *newline = memchr(data, '\n', len);
    const size_t part = newline == NULL ? len : (size_t)(newline - data) + 1;
    if (output->state == IN_LINE) {
        reeve_buf_append(&output->line, data, part);
        if (output->line.err != REEVE_OK) {
            tell_mistake(output, "longer than 64 KiB");
            output->state = TOO_LONG;
        } else if (newline != NULL) {
            tell_line(output, output->line.data);
        }
    }
    if (newline != NULL) {
        reeve_buf_reset(&output->line);
        output->state = AT_START;
    }
    return part;
}

static size_t feed_text(struct output *output, const char *data, size_t len)
{
    const char *newline = memchr(data, '\n', len);
    const size_t part = newline == NULL ? len : (size_t)(newline - data) + 1;
    keep(output, data, part);
    output->state = newline == NULL ? IN_TEXT : AT_START;
    return part;
}

void output_feed(struct output *output, const char *data, size_t len)
{
    while (len > 0) {
        size_t part = 0;
        switch ((enum state)output->state) {
        case AT_START:
            part = feed_start(output, data);
            break;
        case IN_LINE:
        case TOO_LONG:
            part = feed_line(output, data, len);
            break;
        case IN_TEXT:
            part = feed_text(output, data, len);
            break;
        }
        data += part;
        len -= part;
    }
}

void output_end(struct output *output)
{
    // `::no_return` and the end is a line as well.
    if (output->state == IN_LINE || (output->state == AT_START && find_word(reeve_buf_str(&output->line)) >= 0)) {
        tell_line(output, output->line.data);
    } else if (output->state == AT_START) {
        keep(output, reeve_buf_str(&output->line), output->line.len);
    }
    reeve_buf_reset(&output->line);
    output->state = AT_START;
}

// ---- the result ----------------------------------------------------------------------------------------------------

static enum reeve_err text_result(const struct output *output, struct reeve_value **ret)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(output->result_max + 128);
    size_t len = output->result.len;
    while (!output_is_cut(output) && len > 0 && strchr("\r\n", output->result.data[len - 1]) != NULL) {
        len--;
    }
    if (len == 0 && !output_is_cut(output)) {
        return REEVE_OK;
    }
    reeve_buf_append(&text, output->result.data, len);
    if (output_is_cut(output)) {
        reeve_buf_printf(&text, "\n... cut: %zu of %" PRIu64 " bytes", output->result.len, output->result_bytes);
    }
    *ret = reeve_value_strn(reeve_buf_str(&text), text.len);
    return *ret == NULL || text.err != REEVE_OK ? REEVE_NOMEM : REEVE_OK;
}

enum reeve_err output_result(const struct output *output, enum output_as as, struct reeve_value **ret)
{
    const struct reeve_limits limits = {
        .bytes_max = output->result_max, .depth_max = REEVE_JOB_VALUE_DEPTH_MAX, .entries_max = 4096};
    *ret = NULL;
    if (as == OUTPUT_AUTO && output->result.len > 0 && !output_is_cut(output) &&
        reeve_json_read(output->result.data, output->result.len, &limits, NULL, ret, NULL) == REEVE_OK) {
        return REEVE_OK;
    }
    return text_result(output, ret);
}
