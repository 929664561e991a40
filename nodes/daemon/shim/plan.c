// The files of a run, read and written: tables of keys over NUL-ended `key=value` strings.
// Must not: allocate, assert on what a file holds, or need anything but libc.
#include "plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum field_kind { FIELD_STR, FIELD_I64, FIELD_U64, FIELD_I32, FIELD_BOOL, FIELD_CHARS, FIELD_LIST };

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset;
    size_t max; // CHARS: size; LIST: how many
};

#define PLAN_FIELD(key, kind, max)                                                                                     \
    {                                                                                                                  \
#key, FIELD_##kind, offsetof(struct plan, key), max                                                            \
    }
static const struct field plan_fields[] = {
    PLAN_FIELD(worker, STR, 0),
    PLAN_FIELD(boot_id, STR, 0),
    PLAN_FIELD(token, STR, 0),
    PLAN_FIELD(cwd, STR, 0),
    PLAN_FIELD(log_dir, STR, 0),
    PLAN_FIELD(cgroup_oom, STR, 0),
    PLAN_FIELD(cgroup_kill, STR, 0),
    PLAN_FIELD(run, I64, 0),
    PLAN_FIELD(uid, I64, 0),
    PLAN_FIELD(gid, I64, 0),
    PLAN_FIELD(nofile, I64, 0),
    PLAN_FIELD(stop_signal, I64, 0),
    PLAN_FIELD(stop_grace_ms, I64, 0),
    PLAN_FIELD(watchdog_ms, I64, 0),
    PLAN_FIELD(lease_until_ms, I64, 0),
    PLAN_FIELD(lease_grace_ms, I64, 0),
    PLAN_FIELD(ready, I64, 0),
    PLAN_FIELD(log_bytes_max, I64, 0),
    PLAN_FIELD(log_files_max, I64, 0),
    PLAN_FIELD(argv, LIST, PLAN_ARGS_MAX),
    PLAN_FIELD(env, LIST, PLAN_ENV_MAX),
    PLAN_FIELD(groups, LIST, PLAN_GROUPS_MAX),
    PLAN_FIELD(cgroup_procs, LIST, PLAN_CGROUPS_MAX),
    {NULL, FIELD_STR, 0, 0},
};

static const struct field start_fields[] = {
    {"pid", FIELD_I64, offsetof(struct plan_start, pid), 0},
    {"start_time", FIELD_U64, offsetof(struct plan_start, start_time), 0},
    {"boot_id", FIELD_CHARS, offsetof(struct plan_start, boot_id), PLAN_BOOT_SIZE},
    {NULL, FIELD_STR, 0, 0},
};

static const struct field exit_fields[] = {
    {"cause", FIELD_CHARS, offsetof(struct shim_outcome, cause), SHIM_CAUSE_SIZE},
    {"code", FIELD_I32, offsetof(struct shim_outcome, code), 0},
    {"signal", FIELD_I32, offsetof(struct shim_outcome, signal), 0},
    {"core", FIELD_BOOL, offsetof(struct shim_outcome, core), 0},
    {"oom", FIELD_BOOL, offsetof(struct shim_outcome, oom), 0},
    {"ended_at", FIELD_I64, offsetof(struct shim_outcome, ended_at), 0},
    {"ran_ms", FIELD_I64, offsetof(struct shim_outcome, ran_ms), 0},
    {"error", FIELD_CHARS, offsetof(struct shim_outcome, error), SHIM_ERROR_SIZE},
    {NULL, FIELD_STR, 0, 0},
};

static bool parse_i64(const char *text, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0) {
        return false;
    }
    *ret = number;
    return true;
}

static bool parse_u64(const char *text, uint64_t *ret)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || *text == '-') {
        return false;
    }
    *ret = number;
    return true;
}

static bool store_small(const struct field *field, const char *value, void *at)
{
    int64_t number = 0;
    if (!parse_i64(value, &number) || number < INT32_MIN || number > INT32_MAX) {
        return false;
    }
    if (field->kind == FIELD_BOOL) {
        *(uint8_t *)at = number != 0;
    } else {
        *(int32_t *)at = (int32_t)number;
    }
    return true;
}

static bool store_item(const struct field *field, const char *value, struct plan_list *list)
{
    if (list->len >= field->max) {
        return false;
    }
    list->items[list->len++] = value;
    return true;
}

static bool store(const struct field *field, const char *value, void *base)
{
    void *at = (char *)base + field->offset;
    switch (field->kind) {
    case FIELD_STR:
        *(const char **)at = value;
        return true;
    case FIELD_I64:
        return parse_i64(value, at);
    case FIELD_U64:
        return parse_u64(value, at);
    case FIELD_I32:
    case FIELD_BOOL:
        return store_small(field, value, at);
    case FIELD_CHARS:
        (void)snprintf(at, field->max, "%s", value); // cut at its bound
        return true;
    case FIELD_LIST:
        return store_item(field, value, at);
    }
    return false;
}

static const struct field *find(const struct field *fields, const char *key)
{
    for (; fields->key != NULL; fields++) {
        if (strcmp(fields->key, key) == 0) {
            return fields;
        }
    }
    return NULL;
}

// Every entry into its field. A record is whole only with `end=1` as its last entry.
static bool record_read(char *data, size_t len, const struct field *fields, void *base)
{
    const char *end = data + len;
    while (data < end) {
        char *nul = memchr(data, '\0', (size_t)(end - data));
        char *equals = nul != NULL ? strchr(data, '=') : NULL;
        if (equals == NULL) {
            return false;
        }
        *equals = '\0';
        if (strcmp(data, "end") == 0) {
            return nul + 1 == end;
        }
        const struct field *field = find(fields, data);
        if (field != NULL && !store(field, equals + 1, base)) {
            return false;
        }
        data = nul + 1;
    }
    return false;
}

static const char *plan_lacks(const struct plan *plan)
{
    const struct {
        bool lacks;
        const char *error;
    } needs[] = {
        {plan->worker == NULL, "no worker"},
        {plan->run <= 0, "no run"},
        {plan->token == NULL || strlen(plan->token) >= PLAN_TOKEN_SIZE, "no token"},
        {plan->boot_id == NULL || strlen(plan->boot_id) >= PLAN_BOOT_SIZE, "no boot_id"},
        {plan->argv.len == 0, "no argv"},
        {plan->log_dir == NULL, "no log_dir"},
        {plan->stop_signal < 1 || plan->stop_signal > 64, "stop_signal is not a signal"},
        {plan->stop_grace_ms < 0 || plan->watchdog_ms < 0 || plan->lease_until_ms < 0 || plan->lease_grace_ms < 0,
         "a time is negative"},
        {plan->log_bytes_max <= 0 || plan->log_files_max < 0, "a bound of the logs is missing"},
        {plan->uid < -1 || plan->uid > UINT32_MAX || plan->gid < -1 || plan->gid > UINT32_MAX, "uid or gid"},
    };
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        if (needs[i].lacks) {
            return needs[i].error;
        }
    }
    return NULL;
}

bool plan_read(char *data, size_t len, struct plan *ret, const char **ret_error)
{
    memset(ret, 0, sizeof(*ret));
    ret->uid = -1;
    ret->gid = -1;
    ret->argv.items = ret->argv_items;
    ret->env.items = ret->env_items;
    ret->groups.items = ret->groups_items;
    ret->cgroup_procs.items = ret->cgroup_items;
    if (!record_read(data, len, plan_fields, ret)) {
        *ret_error = "damaged or incomplete";
        return false;
    }
    *ret_error = plan_lacks(ret);
    return *ret_error == NULL;
}

struct writer {
    char *data;
    size_t len;
};

// Entries that don't fit are left out; PLAN_RECORD_MAX holds every record there is (static_assert below).
static void put(struct writer *writer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *writer, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(writer->data + writer->len, PLAN_RECORD_MAX - writer->len, fmt, ap);
    va_end(ap);
    if (len > 0 && (size_t)len < PLAN_RECORD_MAX - writer->len) {
        writer->len += (size_t)len + 1;
    }
}

static_assert(SHIM_ERROR_SIZE + SHIM_CAUSE_SIZE + 8 * 32 < PLAN_RECORD_MAX, "`exit` fits");
static_assert(PLAN_BOOT_SIZE + 4 * 32 < PLAN_RECORD_MAX, "`start` fits");

size_t plan_start_write(const struct plan_start *start, char buf[PLAN_RECORD_MAX])
{
    struct writer writer = {.data = buf};
    put(&writer, "pid=%lld", (long long)start->pid);
    put(&writer, "start_time=%llu", (unsigned long long)start->start_time);
    put(&writer, "boot_id=%s", start->boot_id);
    put(&writer, "end=1");
    return writer.len;
}

bool plan_start_read(char *data, size_t len, struct plan_start *ret)
{
    struct plan_start start = {0};
    if (!record_read(data, len, start_fields, &start) || start.pid <= 0 || start.pid > INT32_MAX) {
        return false;
    }
    *ret = start;
    return true;
}

size_t plan_exit_write(const struct shim_outcome *outcome, char buf[PLAN_RECORD_MAX])
{
    struct writer writer = {.data = buf};
    put(&writer, "cause=%s", outcome->cause);
    put(&writer, "code=%d", outcome->code);
    put(&writer, "signal=%d", outcome->signal);
    put(&writer, "core=%d", outcome->core);
    put(&writer, "oom=%d", outcome->oom);
    put(&writer, "ended_at=%lld", (long long)outcome->ended_at);
    put(&writer, "ran_ms=%lld", (long long)outcome->ran_ms);
    put(&writer, "error=%s", outcome->error);
    put(&writer, "end=1");
    return writer.len;
}

bool plan_exit_read(char *data, size_t len, struct shim_outcome *ret)
{
    struct shim_outcome outcome = {.code = -1};
    if (!record_read(data, len, exit_fields, &outcome) || outcome.cause[0] == '\0') {
        return false;
    }
    *ret = outcome;
    return true;
}
