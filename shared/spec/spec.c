// One worker spec: decoding, encoding, comparing, and what a daemon derives from it.
// Must not: read files, or look at the host.
#include "spec_internal.h"

#include <stdio.h>
#include <string.h>

// Keys that a running process does not notice: a change of them needs no restart.
static const char *const unnoticed_keys[] = {"desired", "labels", "attributes",    "pool",
                                             "account", "fence",  "capabilities",  "restart",
                                             "stop",    "ttl",    "cleanup_delay", "probes"};

// What follows from more than one field. Only on a spec that was decoded without error.
static void settle(const struct reeve_value *value, struct reeve_spec *spec)
{
    if (reeve_value_kind(reeve_value_get(value, "auto_restart")) != REEVE_NULL) {
        spec->restart.policy = spec->auto_restart ? REEVE_RESTART_ALWAYS : REEVE_RESTART_NEVER;
    }
    spec->auto_restart = spec->restart.policy != REEVE_RESTART_NEVER;
    if (spec->ready.log != NULL) {
        spec->ready.mode = REEVE_READY_LOG;
    } else if (spec->ready.tcp != 0) {
        spec->ready.mode = REEVE_READY_TCP;
    }
}

enum reeve_err reeve_spec_decode(const struct reeve_value *value, const char *path, struct reeve_spec *ret,
                                 struct reeve_errors *errors)
{
    struct reeve_spec spec;
    enum reeve_err err = reeve_record_decode(&reeve_spec_record, value, path, &spec, errors);
    if (err != REEVE_OK) {
        return err;
    }
    settle(value, &spec);
    *ret = spec;
    return REEVE_OK;
}

enum reeve_err reeve_spec_encode(const struct reeve_spec *spec, unsigned flags, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_record_encode(&reeve_spec_record, spec, flags, &value);
    if (err != REEVE_OK) {
        return err;
    }
    // Said by restart.policy; both together would not read back.
    (void)reeve_value_remove(value, "auto_restart");
    if (spec->ttl_ms == 0) {
        (void)reeve_value_remove(value, "cleanup_delay"); // does not count, and would be warned about on reading
    }
    *ret = reeve_value_take(&value);
    return REEVE_OK;
}

enum reeve_err reeve_spec_copy(const struct reeve_spec *spec, struct reeve_spec *ret)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_errors errors;
    enum reeve_err err = reeve_spec_encode(spec, REEVE_ENCODE_WITH_SECRETS, &value);
    if (err != REEVE_OK) {
        return err;
    }
    reeve_errors_init(&errors, NULL);
    err = reeve_spec_decode(value, "", ret, &errors);
    REEVE_ASSERT(err == REEVE_OK || err == REEVE_NOMEM); // a valid spec encodes to one
    return err;
}

void reeve_spec_done(struct reeve_spec *spec)
{
    reeve_record_done(&reeve_spec_record, spec);
}

static struct reeve_value *canonical(const struct reeve_spec *spec)
{
    struct reeve_value *value = NULL;
    enum reeve_err err = reeve_spec_encode(spec, REEVE_ENCODE_WITH_SECRETS | REEVE_ENCODE_SKIP_PRESETS, &value);
    return err == REEVE_OK ? value : NULL;
}

// 0 is kept for "out of memory".
static uint64_t digest_of(const struct reeve_value *value)
{
    uint64_t digest = reeve_value_digest(value);
    return value == NULL ? 0 : digest != 0 ? digest : 1;
}

uint64_t reeve_spec_digest(const struct reeve_spec *spec)
{
    REEVE_VALUE_AUTO value = canonical(spec);
    return digest_of(value);
}

uint64_t reeve_spec_run_digest(const struct reeve_spec *spec)
{
    REEVE_VALUE_AUTO value = canonical(spec);
    for (size_t i = 0; i < REEVE_ARRAY_LEN(unnoticed_keys); i++) {
        (void)reeve_value_remove(value, unnoticed_keys[i]);
    }
    return digest_of(value);
}

bool reeve_spec_equal(const struct reeve_spec *a, const struct reeve_spec *b)
{
    REEVE_VALUE_AUTO value_a = canonical(a);
    REEVE_VALUE_AUTO value_b = canonical(b);
    return value_a != NULL && value_b != NULL && reeve_value_equal(value_a, value_b);
}

enum reeve_err reeve_spec_argv(const struct reeve_spec *spec, const char *worker_dir, struct reeve_strv *ret)
{
    if (spec->command.len > 0) {
        return reeve_strv_copy(&spec->command, ret);
    }
    REEVE_ASSERT(spec->type != NULL); // one of both is there after decoding
    REEVE_BUF_AUTO path = REEVE_BUF_INIT(8192);
    REEVE_STRV_AUTO argv = {0};
    if (worker_dir != NULL) {
        reeve_buf_printf(&path, "%s/", worker_dir);
    }
    reeve_buf_printf(&path, REEVE_SPEC_PROGRAM_PREFIX "%s", spec->type);
    enum reeve_err err = path.err != REEVE_OK ? path.err : reeve_strv_add(&argv, reeve_buf_str(&path));
    if (err == REEVE_OK) {
        *ret = argv;
        argv = (struct reeve_strv){0};
    }
    return err;
}

struct reeve_backoff_policy reeve_spec_backoff(const struct reeve_spec *spec)
{
    const struct reeve_spec_restart *restart = &spec->restart;
    return (struct reeve_backoff_policy){
        .restart = (enum reeve_restart_policy)restart->policy,
        .initial_ms = restart->initial_ms,
        .max_ms = restart->max_ms,
        .factor = restart->factor,
        .jitter = restart->jitter,
        .healthy_ms = restart->healthy_ms,
        .restarts_max = restart->limit,
        .window_ms = restart->window_ms,
    };
}
