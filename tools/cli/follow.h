// Following records and events as they come, until Ctrl-C, --timeout or --count: what `fleet watch` and `pool watch`
// are made of. Must not: give commands, or end because of what others publish.
#ifndef REEVE_CLI_FOLLOW_H
#define REEVE_CLI_FOLLOW_H

#include "output.h"
#include "session.h"

#include <reeve/topic.h>

struct follow {
    const struct invocation *inv;
    const char *const *filters; // below the root, NULL-terminated
    // Shows what came (with --json the line {topic retained at record} is written here, when it returns true). `record`
    // is NULL for a tombstone. False: not what is looked for.
    bool (*take)(struct follow *follow, const struct reeve_topic *topic, const struct reeve_value *record, void *arg);
    void *arg;

    bool json;
    int64_t left; // messages until the end; -1 = no end
    bool failed;
    const char *root;
};
int follow_run(struct follow *follow); // exit code

// --count of watch and its like: -1 = not given. INVALID names it.
enum reeve_err follow_count(const struct invocation *inv, int64_t *ret, struct reeve_why *why);
void follow_put_time(struct reeve_buf *out, int64_t at); // "12:03:04 ", local; nothing for 0
// Escaped, with `before` in front; nothing for NULL.
void follow_put_text(struct reeve_buf *out, const char *text, const char *before);

#endif
