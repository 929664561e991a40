// What a command writes to stdout: lines for us (`::progress 0.4 text`, `::checkpoint {...}`, `::no_return {...}`) and
// everything else, which is the result. Cut into pieces anywhere. Must not: know of processes or of the SDK.
#ifndef REEVE_COMMAND_OUTPUT_H
#define REEVE_COMMAND_OUTPUT_H

#include <reeve/buf.h>
#include <reeve/value.h>

#define OUTPUT_LINE_MAX   65536  // of a line for us, with its newline
#define OUTPUT_RESULT_MAX 131072 // whatever is made of it (U+FFFD, numbers of nine bytes) fits into a job's result

enum output_kind { OUTPUT_PROGRESS, OUTPUT_CHECKPOINT, OUTPUT_NO_RETURN };
struct output_line {
    enum output_kind kind;
    const char *mistake;      // what is wrong with it; NULL = nothing, and only then the rest holds
    double progress;          // 0..1
    const char *text;         // "" = none
    struct reeve_value *data; // CHECKPOINT, NO_RETURN: the callee takes it (sets NULL) or leaves it; NULL = none given
};
struct output {
    void (*on_line)(struct output_line *line, void *arg); // must not free the output
    void *arg;
    struct reeve_buf result; // at most result_max bytes of it
    size_t result_max;
    uint64_t result_bytes; // what came, kept or not
    struct reeve_buf line; // a line that may be one for us
    int state;
};
void output_init(struct output *output, size_t result_max, void (*on_line)(struct output_line *line, void *arg),
                 void *arg);
void output_feed(struct output *output, const char *data, size_t len);
void output_end(struct output *output); // nothing more comes; a last line needs no newline
void output_done(struct output *output);

// A number 0..1, or `40%`. False: it is neither.
bool output_read_fraction(const char *text, double *ret);

enum output_as { OUTPUT_AUTO, OUTPUT_TEXT };
// AUTO: JSON if it is, else text. Of text the newlines at its end are dropped; a text that was cut says so at its end.
// *ret is NULL for an empty output. NOMEM.
enum reeve_err output_result(const struct output *output, enum output_as as, struct reeve_value **ret);
static inline bool output_is_cut(const struct output *output)
{
    return output->result_bytes > output->result.len;
}

#endif
