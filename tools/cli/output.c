// Writing for people and for programs; see output.h.
// Must not: let a byte of foreign text obey a terminal.
#include "output.h"

#include <errno.h>
#include <reeve/codec.h>
#include <reeve/str.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool stdout_tty, stderr_tty, colours;

void output_init(const struct invocation *inv)
{
    const char *term = getenv("TERM");
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    stdout_tty = isatty(STDOUT_FILENO) == 1;
    stderr_tty = isatty(STDERR_FILENO) == 1;
    colours = stdout_tty && !dumb && getenv("NO_COLOR") == NULL && !opt_given(inv, OPT_JSON);
}

bool output_is_tty(void)
{
    return stdout_tty;
}

bool output_has_colour(void)
{
    return colours;
}

size_t output_width(void)
{
    struct winsize size = {0};
    if (!stdout_tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
        return 0;
    }
    return size.ws_col;
}

// ---- text -----------------------------------------------------------------------------------------------------

// One code point of valid UTF-8; the length in bytes.
static size_t decode(const char *text, uint32_t *ret)
{
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] < 0x80) {
        *ret = at[0];
        return 1;
    }
    size_t len = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    *ret = at[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        *ret = (*ret << 6) | (at[i] & 0x3fu);
    }
    return len;
}

static bool is_harmless(uint32_t point)
{
    bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    // Line separators, and marks that turn the direction of writing: "Trojan source".
    bool turning = (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
                   (point >= 0x2060 && point <= 0x2069) || point == 0xfeff || point == 0x61c;
    return !control && !turning;
}

static void escape_point(struct reeve_buf *out, uint32_t point)
{
    static const char letters[] = "\nn\tt\rr";
    for (size_t i = 0; i + 1 < sizeof letters; i += 2) {
        if (point == (unsigned char)letters[i]) {
            reeve_buf_printf(out, "\\%c", letters[i + 1]);
            return;
        }
    }
    reeve_buf_printf(out, point < 0x100 ? "\\x%02x" : "\\u%04x", point);
}

void output_escape(struct reeve_buf *out, const char *text, size_t len)
{
    bool valid = reeve_utf8_valid(text, len);
    for (size_t i = 0; i < len;) {
        uint32_t point = (unsigned char)text[i];
        size_t used = 1;
        if (valid) {
            used = decode(text + i, &point);
        }
        if (is_harmless(point) && (valid || point < 0x80)) {
            reeve_buf_append(out, text + i, used);
        } else {
            escape_point(out, point);
        }
        i += used;
    }
}

size_t output_columns(const char *text)
{
    size_t columns = 0;
    for (; *text != '\0'; text++) {
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return columns;
}

static const char *const colour_codes[] = {
    [COLOUR_NONE] = "",          [COLOUR_GOOD] = "\033[32m", [COLOUR_WARN] = "\033[33m",
    [COLOUR_BAD] = "\033[1;31m", [COLOUR_DIM] = "\033[2m",   [COLOUR_BOLD] = "\033[1m",
};

static void put_coloured(struct reeve_buf *out, bool on, enum colour colour, const char *text, size_t len)
{
    bool paint = on && colour != COLOUR_NONE;
    reeve_buf_puts(out, paint ? colour_codes[colour] : "");
    reeve_buf_append(out, text, len);
    reeve_buf_puts(out, paint ? "\033[0m" : "");
}

void output_colour(struct reeve_buf *out, enum colour colour, const char *text)
{
    put_coloured(out, colours, colour, text, strlen(text));
}

// ---- tables ---------------------------------------------------------------------------------------------------

void table_init(struct table *table, const struct table_column *columns, size_t columns_len)
{
    REEVE_ASSERT(columns_len > 0 && columns_len <= TABLE_COLUMNS_MAX);
    *table = (struct table){.columns = columns, .columns_len = columns_len};
}

void table_add(struct table *table, enum colour colour, const char *text)
{
    REEVE_BUF_AUTO escaped = REEVE_BUF_INIT(64u << 10);
    const char *shown = text != NULL && text[0] != '\0' ? text : "-";
    output_escape(&escaped, shown, strlen(shown));
    if (table->len == table->cap) {
        size_t cap = table->cap > 0 ? 2 * table->cap : 64;
        struct table_cell *cells = realloc(table->cells, cap * sizeof *cells);
        if (cells == NULL) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->cap = cap;
    }
    char *copy = reeve_buf_take(&escaped, NULL);
    table->failed |= copy == NULL;
    table->cells[table->len++] = (struct table_cell){.text = copy, .colour = colour};
}

void table_addf(struct table *table, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    table_add(table, COLOUR_NONE, text);
}

size_t table_rows(const struct table *table)
{
    return table->columns_len > 0 ? table->len / table->columns_len : 0;
}

static const char *cell_text(const struct table_cell *cell)
{
    return cell->text != NULL ? cell->text : "?";
}

static void measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
    REEVE_ASSERT(table->columns_len > 0);
    for (size_t col = 0; col < table->columns_len; col++) {
        widths[col] = strlen(table->columns[col].title);
    }
    for (size_t i = 0; i < table->len; i++) {
        size_t columns = output_columns(cell_text(&table->cells[i]));
        size_t *width = &widths[i % table->columns_len];
        *width = columns > *width ? columns : *width;
    }
}

// Bytes of `text` that fill `columns` columns.
static size_t bytes_of(const char *text, size_t columns)
{
    size_t at = 0;
    while (text[at] != '\0') {
        if (((unsigned char)text[at] & 0xc0) != 0x80 && columns-- == 0) {
            break;
        }
        at++;
    }
    return at;
}

static void put_spaces(struct reeve_buf *out, size_t count)
{
    for (; count > 0; count--) {
        reeve_buf_append(out, " ", 1);
    }
}

static void put_cell(struct reeve_buf *out, const struct table_column *column, bool last, size_t width, size_t room,
                     bool on, enum colour colour, const char *text)
{
    size_t columns = output_columns(text);
    if (last && room > 0 && columns > room) {
        put_coloured(out, on, colour, text, bytes_of(text, room - 1));
        reeve_buf_puts(out, "…");
        return;
    }
    size_t pad = columns < width ? width - columns : 0;
    put_spaces(out, column->right ? pad : 0);
    put_coloured(out, on, colour, text, strlen(text));
    put_spaces(out, column->right || last ? 0 : pad);
}

static void put_row(const struct table *table, const size_t *widths, size_t width, bool on, size_t row,
                    struct reeve_buf *out)
{
    size_t used = 0;
    for (size_t col = 0; col < table->columns_len; col++) {
        bool last = col + 1 == table->columns_len;
        const struct table_cell title = {.text = NULL, .colour = COLOUR_BOLD};
        const struct table_cell *cell = row == 0 ? &title : &table->cells[(row - 1) * table->columns_len + col];
        const char *text = row == 0 ? table->columns[col].title : cell_text(cell);
        size_t room = width > used + 8 ? width - used : 0; // a terminal too narrow to be useful is not cut for
        put_cell(out, &table->columns[col], last, widths[col], width > 0 ? room : 0, on, cell->colour, text);
        reeve_buf_puts(out, last ? "\n" : "  ");
        used += widths[col] + 2;
    }
}

void table_write(const struct table *table, size_t width, bool on, struct reeve_buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    measure(table, widths);
    for (size_t row = 0; row <= table_rows(table); row++) {
        put_row(table, widths, width, on, row, out);
    }
    if (table->failed) {
        reeve_buf_puts(out, "(out of memory: the table is not complete)\n");
    }
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->len; i++) {
        free(table->cells[i].text);
    }
    free(table->cells);
    *table = (struct table){0};
}

// ---- leaving --------------------------------------------------------------------------------------------------

int output_write(const struct reeve_buf *out)
{
    if (out->err != REEVE_OK) {
        (void)fprintf(stderr, "reeve: %s\n", out->err == REEVE_NOMEM ? "out of memory" : "too much to write");
        return EXIT_REFUSED;
    }
    if (fwrite(reeve_buf_str(out), 1, out->len, stdout) != out->len || fflush(stdout) != 0) {
        if (errno != EPIPE) { // the reader has seen enough: no news
            (void)fprintf(stderr, "reeve: standard output: %s\n", strerror(errno));
        }
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

int output_json(const struct reeve_value *value, bool pretty)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    enum reeve_err err = reeve_value_built(value);
    if (err == REEVE_OK) {
        err = reeve_json_write(value, pretty ? REEVE_JSON_PRETTY : 0, &out);
    }
    if (err != REEVE_OK) {
        (void)fprintf(stderr, "reeve: JSON can't be written: %s\n", reeve_err_text(err));
        return EXIT_REFUSED;
    }
    reeve_buf_puts(&out, "\n");
    return output_write(&out);
}

static void put_error(const char *text)
{
    REEVE_BUF_AUTO line = REEVE_BUF_INIT(16u << 10);
    // A message may have lines of its own; what else would obey the terminal does not.
    while (true) {
        size_t len = strcspn(text, "\n");
        output_escape(&line, text, len);
        reeve_buf_puts(&line, "\n");
        if (text[len] == '\0') {
            break;
        }
        text += len + 1;
    }
    bool paint = stderr_tty && getenv("NO_COLOR") == NULL;
    (void)fprintf(stderr, "%s%s", paint ? "\033[1;31mreeve:\033[0m " : "reeve: ", reeve_buf_str(&line));
}

static const char *const exit_classes[] = {"ok", "failed", "usage", "unreachable"};

static void put_json_error(int exit_code, const char *code, const char *text)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *error = reeve_value_map();
    reeve_put_str(error, "code", code != NULL ? code : exit_classes[exit_code & 3]);
    reeve_put_str(error, "message", text);
    reeve_put_int(error, "exit", exit_code);
    (void)reeve_value_put(map, "error", error); /* remembered: reeve_value_built() */
    (void)output_json(map, false);              /* on the way out already */
}

int output_fail(const struct invocation *inv, int exit_code, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put_error(text);
    if (opt_given(inv, OPT_JSON)) {
        put_json_error(exit_code, NULL, text);
    }
    return exit_code;
}

int output_exit_of(enum reeve_err err)
{
    switch (err) {
    case REEVE_OK:
        return EXIT_DONE;
    case REEVE_INVALID:
    case REEVE_UNSUPPORTED:
        return EXIT_USAGE;
    case REEVE_OFFLINE:
    case REEVE_TIMEOUT:
        return EXIT_AWAY;
    case REEVE_NOENT:
    case REEVE_CONFLICT:
    case REEVE_LIMIT:
    case REEVE_NOMEM:
    case REEVE_IO:
    case REEVE_DENIED:
    case REEVE_CORRUPT:
    case REEVE_CANCELLED:
    case REEVE_INTERNAL:
        break;
    }
    return EXIT_REFUSED;
}

int output_fail_why(const struct invocation *inv, enum reeve_err err, const struct reeve_why *why)
{
    char text[sizeof *why];
    int exit_code = output_exit_of(err);
    put_error(reeve_why_format(why, text, sizeof text));
    if (opt_given(inv, OPT_JSON)) {
        put_json_error(exit_code, reeve_err_text(err), text);
    }
    return exit_code;
}

void output_note(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put_error(text);
}

void output_print(const char *fmt, ...)
{
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    REEVE_BUF_AUTO line = REEVE_BUF_INIT(0);
    va_list ap;
    va_start(ap, fmt);
    reeve_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    const char *at = reeve_buf_str(&text);
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        output_escape(&line, at, len);
        reeve_buf_puts(&line, at[len] == '\n' ? "\n" : "");
        at += len + (at[len] == '\n' ? 1 : 0);
    }
    (void)fputs(reeve_buf_str(&line), stdout);
}
