// What an exit code means for a job: done, retry, fail; for a reconciling attempt also "nothing had happened".
// Must not: know of processes or of the SDK.
#ifndef REEVE_COMMAND_EXITS_H
#define REEVE_COMMAND_EXITS_H

#include <reeve/record.h>

enum exit_meaning { MEANS_RETRY, MEANS_DONE, MEANS_FAIL, MEANS_NOT_DONE };

// As configured: codes and ranges, "0" or "1-63". A list that is not given is its preset: done 0, fail 64 (EX_USAGE)
// and 65 (EX_DATAERR), not_done 66 (EX_NOINPUT, looked at in reconciling attempts only); whatever no list names is a
// retry.
struct exits_config {
    struct reeve_strv done, retry, fail, not_done;
};
extern const struct reeve_record exits_record; // checks the lists: also that no two of them name one code

struct exits {
    unsigned char meanings[256], reconcile[256]; // enum exit_meaning
};
void exits_make(const struct exits_config *config, struct exits *ret); // `config` passed the record's check
enum exit_meaning exits_of(const struct exits *exits, int code, bool reconciling);

#endif
