// From options to what a queue's ops take: a job, a filter over jobs, ids.
// Must not: ask anybody, read standard input or files but for a payload.
#ifndef REEVE_CLI_JOB_ARGS_H
#define REEVE_CLI_JOB_ARGS_H

#include "options.h"

#include <reeve/value.h>

// The queue that is the first argument. INVALID names it.
enum reeve_err job_args_queue(const struct invocation *inv, struct reeve_why *why);
// A job as `enqueue` takes it: TYPE (`type`, NULL = not said), --payload, --id, --key ... into `args`. INVALID names
// the option.
enum reeve_err job_args_put_spec(const struct invocation *inv, const char *type, struct reeve_value *args,
                                 struct reeve_why *why);
// {state type key error older_than_ms limit} into `filter`: what was said of it.
enum reeve_err job_args_put_filter(const struct invocation *inv, struct reeve_value *filter, struct reeve_why *why);
// A job's id as the second or a later argument.
enum reeve_err job_args_check_id(const char *id, struct reeve_why *why);
// "2026-11-23T08:00", "2026-11-23 08:00:01.5Z", "...+01:00", milliseconds since 1970. Without a zone it is local time.
enum reeve_err job_args_time(const char *text, int64_t *ret_at, struct reeve_why *why);
// A whole number of min..max from option `id`; *ret is not touched when it was not given.
enum reeve_err job_args_number(const struct invocation *inv, enum option_id id, int64_t min, int64_t max, int64_t *ret,
                               struct reeve_why *why);
// A duration of option `id` in ms under `key`, when it was given.
enum reeve_err job_args_put_ms(const struct invocation *inv, enum option_id id, const char *key,
                               struct reeve_value *args, struct reeve_why *why);

#endif
