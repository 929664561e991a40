// `job add --file`: a job a line, from a file or a pipe, batched as it comes. See job_line.h for the lines and
// job_feed.h for the commands. Must not: hold more of the input than the commands on their way and one more.
#ifndef REEVE_CLI_JOB_IMPORT_H
#define REEVE_CLI_JOB_IMPORT_H

#include "options.h"

#include <reeve/value.h>

int job_import(const struct invocation *inv); // exit code
// What a job that was waited for has come to: a result to stdout when `result` is wanted, a failure to stderr.
// `record` NULL: it is forgotten.
void job_import_tell_ended(const char *id, const struct reeve_value *record, bool result);

#endif
