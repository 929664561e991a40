// Cuts lines, counts credit, holds back what comes too fast in a ring.
// Must not: lose a line without saying so.
#include "lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lines_init(struct lines *lines, void (*say)(const char *line, void *arg),
                void (*keep)(const char *line, void *arg), void *arg, int64_t now_mono)
{
    *lines = (struct lines){
        .say = say, .keep = keep, .arg = arg, .credit_mono = now_mono - (int64_t)LINES_BURST * LINES_EVERY_MS};
}

static void keep_first(struct lines *lines)
{
    char *line = lines->waiting[lines->first];
    if (lines->left_out > 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "... %" PRIu64 " lines are left out here", lines->left_out); // fits
        lines->left_out = 0;
        lines->keep(text, lines->arg);
    }
    lines->keep(line, lines->arg);
    free(line);
    lines->first = (lines->first + 1) % LINES_WAIT_MAX;
    lines->waiting_len--;
}

static void leave_out_first(struct lines *lines)
{
    free(lines->waiting[lines->first]);
    lines->first = (lines->first + 1) % LINES_WAIT_MAX;
    lines->waiting_len--;
    lines->left_out++;
}

static void add(struct lines *lines, const char *line)
{
    char *copy = strdup(line);
    if (copy == NULL) {
        lines->left_out++;
        return;
    }
    if (lines->waiting_len == LINES_WAIT_MAX) {
        leave_out_first(lines);
    }
    lines->waiting[(lines->first + lines->waiting_len) % LINES_WAIT_MAX] = copy;
    lines->waiting_len++;
}

static void keep_some(struct lines *lines, int64_t now_mono)
{
    const int64_t earliest = now_mono - (int64_t)LINES_BURST * LINES_EVERY_MS;
    lines->credit_mono = lines->credit_mono < earliest ? earliest : lines->credit_mono;
    while (lines->waiting_len > 0 && now_mono - lines->credit_mono >= LINES_EVERY_MS) {
        lines->credit_mono += LINES_EVERY_MS;
        keep_first(lines);
    }
}

static void end_line(struct lines *lines)
{
    if (lines->len > 0 && lines->line[lines->len - 1] == '\r') {
        lines->len--;
    }
    lines->line[lines->len] = '\0';
    if (lines->cut) {
        (void)memcpy(lines->line + LINES_LEN_MAX - 3, "...", 3);
    }
    lines->say(lines->line, lines->arg);
    add(lines, lines->line);
    if (lines->line[strspn(lines->line, " \t")] != '\0') {
        (void)snprintf(lines->last, sizeof lines->last, "%s", lines->line); // cut where it has to be
    }
    lines->len = 0;
    lines->cut = false;
}

void lines_feed(struct lines *lines, const char *data, size_t len, int64_t now_mono)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            end_line(lines);
            keep_some(lines, now_mono);
        } else if (lines->len < LINES_LEN_MAX) {
            lines->line[lines->len++] = data[i] == '\0' ? ' ' : data[i];
        } else {
            lines->cut = true;
        }
    }
}

void lines_end(struct lines *lines)
{
    if (lines->len > 0) {
        end_line(lines);
    }
    while (lines->waiting_len > 0) {
        keep_first(lines);
    }
}
