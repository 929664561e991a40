// What a person sees: tables, colour, escaped foreign text, JSON, errors.
// Colour and redrawing only on a terminal, and no colour with NO_COLOR. Text that came from the network or a worker
// never reaches a terminal unescaped. Must not: know what it prints.
#ifndef REEVE_CLI_OUTPUT_H
#define REEVE_CLI_OUTPUT_H

#include "options.h"

#include <reeve/value.h>

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_DIM, COLOUR_BOLD };

void output_init(const struct invocation *inv); // looks at stdout and the environment once
bool output_is_tty(void);
bool output_has_colour(void);
size_t output_width(void); // columns of the terminal; 0 = not one, cut nothing

// Control characters, also those beyond ASCII that turn the direction of writing, become \n \t \x1b \u202e; the rest
// stays.
void output_escape(struct reeve_buf *out, const char *text, size_t len);
void output_colour(struct reeve_buf *out, enum colour colour, const char *text); // text as it is
size_t output_columns(const char *text);                                         // code points

// ---- tables: cells are copied and escaped; the last column is cut to what is left of `width` --------------------

#define TABLE_COLUMNS_MAX 20
struct table_column {
    const char *title;
    bool right; // numbers
};
struct table_cell {
    char *text;
    enum colour colour;
};
struct table {
    const struct table_column *columns;
    size_t columns_len;
    struct table_cell *cells; // rows of columns_len
    size_t len, cap;
    bool failed; // out of memory: printing says so
};
void table_init(struct table *table, const struct table_column *columns, size_t columns_len);
void table_add(struct table *table, enum colour colour, const char *text); // the next cell; NULL and "" show as "-"
void table_addf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t table_rows(const struct table *table);
void table_write(const struct table *table, size_t width, bool colours, struct reeve_buf *out);
void table_done(struct table *table);
#define TABLE_AUTO __attribute__((cleanup(table_done))) struct table

// ---- leaving ------------------------------------------------------------------------------------------------------

// To stdout, whole. EXIT_DONE, or EXIT_REFUSED when it can't be written (a full disk; a closed pipe ends the program).
int output_write(const struct reeve_buf *out);
int output_json(const struct reeve_value *value, bool pretty); // with a newline
// "reeve: ..." on stderr, and {"error":{...}} on stdout with --json. Returns exit_code.
int output_fail(const struct invocation *inv, int exit_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int output_fail_why(const struct invocation *inv, enum reeve_err err, const struct reeve_why *why); // exit by exit_of()
int output_exit_of(enum reeve_err err); // of what happened on the way to an answer
void output_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  // to stderr
void output_print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // to stdout, escaped but for newlines

#endif
