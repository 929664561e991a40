// A line on a terminal that tells how far something long has come: how many, how fast, and how long it will still take.
// Must not: write anything elsewhere than on a terminal; a script wants the end.
#ifndef REEVE_CLI_PROGRESS_H
#define REEVE_CLI_PROGRESS_H

#include <reeve/buf.h>
#include <stdint.h>

struct progress {     // plain memory; zeroed but for `what`
    const char *what; // "jobs"
    int64_t started_mono, shown_mono;
    bool line; // one stands there
};
void progress_begin(struct progress *progress, const char *what);
// `share` of all there is to do, 0..1; < 0 = nobody knows. At most five times a second. `note` (NULL) stands behind.
void progress_show(struct progress *progress, uint64_t count, double share, const char *note);
void progress_end(struct progress *progress); // takes the line away
// What stands there, for tests: "41200 jobs  [####......]  42%  63120/s  1s left".
void progress_text(const char *what, uint64_t count, double share, int64_t elapsed_ms, struct reeve_buf *out);

#endif
