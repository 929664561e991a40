// What a command writes to stderr, line by line: every line for the worker's own log, and so many as a manager can take
// for the job's. What comes faster waits; of what waits too long the oldest is left out, and said so. Must not: know of
// processes or of the SDK.
#ifndef REEVE_COMMAND_LINES_H
#define REEVE_COMMAND_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_LEN_MAX  1024 // of one; longer ones are cut
#define LINES_BURST    50   // kept at once
#define LINES_EVERY_MS 100  // then one each
#define LINES_WAIT_MAX 50

struct lines {
    void (*say)(const char *line, void *arg);  // each
    void (*keep)(const char *line, void *arg); // some, in order
    void *arg;
    char line[LINES_LEN_MAX + 1];
    size_t len;
    bool cut;
    char *waiting[LINES_WAIT_MAX];
    size_t first, waiting_len;
    uint64_t left_out;
    int64_t credit_mono; // credit is counted from then on
    char last[256];      // line that is not empty, for a reason; "" = none
};
void lines_init(struct lines *lines, void (*say)(const char *line, void *arg),
                void (*keep)(const char *line, void *arg), void *arg, int64_t now_mono);
void lines_feed(struct lines *lines, const char *data, size_t len, int64_t now_mono);
void lines_end(struct lines *lines); // keeps what waits, whatever the time; frees

#endif
