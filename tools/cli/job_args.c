// From options to a job or a filter; see job_args.h.
// Must not: judge what only the manager knows (queues, types, other jobs).
#include "job_args.h"

#include <reeve/codec.h>
#include <reeve/file.h>
#include <reeve/job.h>
#include <reeve/match.h>
#include <reeve/units.h>
#include <string.h>
#include <time.h>

#define DEDUPE_WINDOW_PRESET_MS INT64_C(3600000)
#define PAYLOAD_BYTES_MAX       (1u << 20)

static struct reeve_span span_of(const char *text)
{
    return (struct reeve_span){.data = text, .len = strlen(text)};
}

enum reeve_err job_args_queue(const struct invocation *inv, struct reeve_why *why)
{
    struct reeve_why reason;
    return reeve_name_check(inv->args[0], &reason) == REEVE_OK
               ? REEVE_OK
               : reeve_fail(why, REEVE_INVALID, "QUEUE: %s", reason.text);
}

static enum reeve_err check_id(const char *id, const char *what, struct reeve_why *why)
{
    return reeve_job_id_valid(span_of(id))
               ? REEVE_OK
               : reeve_fail(why, REEVE_INVALID, "%s: '%.90s' given, expected 1 to %d of A-Z a-z 0-9 _ -", what, id,
                            REEVE_JOB_ID_SIZE - 1);
}

enum reeve_err job_args_check_id(const char *id, struct reeve_why *why)
{
    return check_id(id, "ID", why);
}

enum reeve_err job_args_number(const struct invocation *inv, enum option_id id, int64_t min, int64_t max, int64_t *ret,
                               struct reeve_why *why)
{
    const char *text = opt_value(inv, id);
    int64_t number;
    if (text == NULL) {
        return REEVE_OK;
    }
    if (reeve_parse_i64(text, &number, NULL) != REEVE_OK || number < min || number > max) {
        if (max == INT64_MAX) {
            return reeve_fail(why, REEVE_INVALID, "--%s: '%.40s' given, expected a whole number from %lld",
                              option_table[id].name, text, (long long)min);
        }
        return reeve_fail(why, REEVE_INVALID, "--%s: '%.40s' given, expected %lld to %lld", option_table[id].name, text,
                          (long long)min, (long long)max);
    }
    *ret = number;
    return REEVE_OK;
}

static enum reeve_err put_number(const struct invocation *inv, enum option_id id, int64_t min, int64_t max,
                                 const char *key, struct reeve_value *args, struct reeve_why *why)
{
    int64_t number = 0;
    enum reeve_err err = job_args_number(inv, id, min, max, &number, why);
    if (err == REEVE_OK && opt_given(inv, id)) {
        reeve_put_int(args, key, number);
    }
    return err;
}

enum reeve_err job_args_put_ms(const struct invocation *inv, enum option_id id, const char *key,
                               struct reeve_value *args, struct reeve_why *why)
{
    const char *text = opt_value(inv, id);
    struct reeve_why reason;
    int64_t ms;
    if (text == NULL) {
        return REEVE_OK;
    }
    if (reeve_duration_parse(text, &ms, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--%s: %s", option_table[id].name, reason.text);
    }
    reeve_put_int(args, key, ms);
    return REEVE_OK;
}

// ---- times ------------------------------------------------------------------------------------------------------

// ".5" of a second in ms; *text is moved behind it.
static int64_t read_fraction(const char **text)
{
    int64_t ms = 0;
    if (**text != '.') {
        return 0;
    }
    (*text)++;
    for (int64_t unit = 100; **text >= '0' && **text <= '9'; (*text)++, unit /= 10) {
        ms += (**text - '0') * unit;
    }
    return ms;
}

static bool two_digits(const char *text, int64_t max, int64_t *ret)
{
    bool digits = text[0] >= '0' && text[0] <= '9' && text[1] >= '0' && text[1] <= '9';
    *ret = digits ? (text[0] - '0') * 10 + (text[1] - '0') : 0;
    return digits && *ret <= max;
}

// "Z", "+01:00", "-0330", "+01": the offset in seconds. False for anything else.
static bool read_zone(const char *text, int64_t *ret_s)
{
    int64_t hours = 0;
    int64_t minutes = 0;
    *ret_s = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0) {
        return true;
    }
    if ((text[0] != '+' && text[0] != '-') || !two_digits(text + 1, 14, &hours)) {
        return false;
    }
    const char *rest = text + 3;
    rest += *rest == ':' ? 1 : 0;
    if (rest[0] != '\0' && (!two_digits(rest, 59, &minutes) || rest[2] != '\0')) {
        return false;
    }
    *ret_s = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_time(const char *text, int64_t *ret_at)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"};
    int64_t offset_s = 0;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(forms); i++) {
        struct tm parts = {.tm_isdst = -1};
        const char *rest = strptime(text, forms[i], &parts);
        if (rest == NULL) {
            continue;
        }
        int64_t ms = read_fraction(&rest);
        if (*rest == '\0') {
            *ret_at = (int64_t)mktime(&parts) * 1000 + ms;
            return true;
        }
        if (read_zone(rest, &offset_s)) {
            *ret_at = ((int64_t)timegm(&parts) - offset_s) * 1000 + ms;
            return true;
        }
    }
    return false;
}

enum reeve_err job_args_time(const char *text, int64_t *ret_at, struct reeve_why *why)
{
    bool known = strspn(text, "0123456789") == strlen(text) && strlen(text) > 10
                     ? reeve_parse_i64(text, ret_at, NULL) == REEVE_OK
                     : read_time(text, ret_at);
    return known && *ret_at > 0
               ? REEVE_OK
               : reeve_fail(
                     why, REEVE_INVALID,
                     "'%.40s' given, expected a time such as 2026-11-23T08:00, with Z or +01:00 unless it is local",
                     text);
}

// ---- a job ------------------------------------------------------------------------------------------------------

static enum reeve_err read_whole(FILE *file, struct reeve_buf *ret, struct reeve_why *why)
{
    char chunk[64u << 10];
    size_t len;
    while ((len = fread(chunk, 1, sizeof chunk, file)) > 0) {
        reeve_buf_append(ret, chunk, len);
    }
    if (ferror(file) != 0) {
        return reeve_fail_errno(why, "--payload: standard input");
    }
    return ret->err == REEVE_OK ? REEVE_OK
                                : reeve_fail(why, REEVE_INVALID, "--payload: longer than %u bytes", PAYLOAD_BYTES_MAX);
}

static enum reeve_err put_payload(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    REEVE_BUF_AUTO read = REEVE_BUF_INIT(PAYLOAD_BYTES_MAX);
    const char *text = opt_value(inv, OPT_PAYLOAD);
    const char *source = "--payload";
    struct reeve_value *payload = NULL;
    enum reeve_err err = REEVE_OK;
    if (text == NULL) {
        return REEVE_OK;
    }
    if (strcmp(text, "-") == 0) {
        source = "standard input";
        err = read_whole(stdin, &read, why);
    } else if (text[0] == '@') {
        source = text + 1;
        err = reeve_file_read(source, PAYLOAD_BYTES_MAX, &read, why);
    } else {
        reeve_buf_puts(&read, text);
    }
    if (err != REEVE_OK) {
        return err;
    }
    err = reeve_json_read(reeve_buf_str(&read), read.len, &reeve_limits_wire, source, &payload, why);
    if (err != REEVE_OK) {
        return err;
    }
    (void)reeve_value_put(args, "payload", payload); /* remembered: reeve_value_built() */
    return REEVE_OK;
}

static enum reeve_err put_type(const char *type, struct reeve_value *args, struct reeve_why *why)
{
    if (type != NULL && !reeve_job_type_valid(span_of(type))) {
        return reeve_fail(why, REEVE_INVALID, "TYPE: '%.70s' given, expected 1 to %d of A-Z a-z 0-9 _ . -", type,
                          REEVE_JOB_TYPE_SIZE - 1);
    }
    reeve_put_str_opt(args, "type", type);
    return REEVE_OK;
}

static enum reeve_err put_time(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_RUN_AT);
    struct reeve_why reason;
    int64_t at;
    if (text != NULL && opt_given(inv, OPT_DELAY)) {
        return reeve_fail(why, REEVE_INVALID, "--delay and --run-at: which of them?");
    }
    if (text == NULL) {
        return job_args_put_ms(inv, OPT_DELAY, "delay_ms", args, why);
    }
    if (job_args_time(text, &at, &reason) != REEVE_OK) {
        return reeve_fail(why, REEVE_INVALID, "--run-at: %s", reason.text);
    }
    reeve_put_int(args, "run_at", at);
    return REEVE_OK;
}

static enum reeve_err put_requirements(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *list = NULL;
    const char *text;
    enum reeve_err err = REEVE_OK;
    for (size_t at = 0; err == REEVE_OK && (text = opt_next(inv, OPT_REQUIRE, &at)) != NULL;) {
        struct reeve_requirement requirement;
        struct reeve_why reason;
        list = list != NULL ? list : reeve_value_list();
        (void)reeve_value_add(list, reeve_value_str(text)); /* remembered: reeve_value_built() */
        if (reeve_requirement_parse(text, &requirement, &reason) != REEVE_OK) {
            err = reeve_fail(why, REEVE_INVALID, "--require: %s", reason.text);
        }
    }
    if (list != NULL) {
        (void)reeve_value_put(args, "requires", list); /* remembered: reeve_value_built() */
    }
    return err;
}

static enum reeve_err put_after(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    struct reeve_value *list = NULL;
    const char *text;
    enum reeve_err err = REEVE_OK;
    for (size_t at = 0; err == REEVE_OK && (text = opt_next(inv, OPT_AFTER, &at)) != NULL;) {
        list = list != NULL ? list : reeve_value_list();
        (void)reeve_value_add(list, reeve_value_str(text)); /* remembered: reeve_value_built() */
        err = check_id(text, "--after", why);
    }
    if (list != NULL) {
        (void)reeve_value_put(args, "after", list); /* remembered: reeve_value_built() */
    }
    return err;
}

static enum reeve_err put_dedupe(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *key = opt_value(inv, OPT_DEDUPE);
    if (key == NULL) {
        return opt_given(inv, OPT_DEDUPE_WINDOW)
                   ? reeve_fail(why, REEVE_INVALID, "--dedupe-window: of which key? give --dedupe KEY, too")
                   : REEVE_OK;
    }
    struct reeve_value *dedupe = reeve_value_map();
    reeve_put_str(dedupe, "key", key);
    reeve_put_int(dedupe, "window_ms", DEDUPE_WINDOW_PRESET_MS);
    enum reeve_err err = job_args_put_ms(inv, OPT_DEDUPE_WINDOW, "window_ms", dedupe, why);
    (void)reeve_value_put(args, "dedupe", dedupe); /* remembered: reeve_value_built() */
    return err;
}

static enum reeve_err put_id(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *id = opt_value(inv, OPT_ID);
    reeve_put_str_opt(args, "id", id);
    return id != NULL ? check_id(id, "--id", why) : REEVE_OK;
}

static enum reeve_err put_key(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    const char *key = opt_value(inv, OPT_KEY);
    if (key != NULL && (key[0] == '\0' || strlen(key) >= REEVE_JOB_KEY_SIZE)) {
        return reeve_fail(why, REEVE_INVALID, "--key: %zu bytes given, expected 1 to %d", strlen(key),
                          REEVE_JOB_KEY_SIZE - 1);
    }
    reeve_put_str_opt(args, "key", key);
    return REEVE_OK;
}

static enum reeve_err put_limits(const struct invocation *inv, struct reeve_value *args, struct reeve_why *why)
{
    enum reeve_err err = put_number(inv, OPT_PRIORITY, 0, REEVE_JOB_PRIORITY_MAX, "priority", args, why);
    if (err == REEVE_OK) {
        err = put_number(inv, OPT_ATTEMPTS, 1, INT32_MAX, "attempts", args, why);
    }
    return err == REEVE_OK ? job_args_put_ms(inv, OPT_JOB_TIMEOUT, "timeout_ms", args, why) : err;
}

enum reeve_err job_args_put_spec(const struct invocation *inv, const char *type, struct reeve_value *args,
                                 struct reeve_why *why)
{
    static enum reeve_err (*const steps[])(const struct invocation *, struct reeve_value *, struct reeve_why *) = {
        put_id, put_key, put_time, put_limits, put_requirements, put_after, put_dedupe, put_payload};
    enum reeve_err err = put_type(type, args, why);
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(steps); i++) {
        err = steps[i](inv, args, why);
    }
    return err == REEVE_OK && reeve_value_built(args) != REEVE_OK ? reeve_fail(why, REEVE_NOMEM, "out of memory") : err;
}

// ---- a filter -----------------------------------------------------------------------------------------------------

static enum reeve_err put_state(const struct invocation *inv, struct reeve_value *filter, struct reeve_why *why)
{
    const char *text = opt_value(inv, OPT_STATE);
    enum reeve_job_state state;
    if (text != NULL && !reeve_job_state_parse(text, &state)) {
        return reeve_fail(
            why, REEVE_INVALID,
            "--state: '%.40s' given, expected one of waiting delayed active unknown completed failed cancelled", text);
    }
    reeve_put_str_opt(filter, "state", text);
    return REEVE_OK;
}

enum reeve_err job_args_put_filter(const struct invocation *inv, struct reeve_value *filter, struct reeve_why *why)
{
    enum reeve_err err = put_state(inv, filter, why);
    reeve_put_str_opt(filter, "type", opt_value(inv, OPT_TYPE));
    reeve_put_str_opt(filter, "error", opt_value(inv, OPT_ERROR));
    if (err == REEVE_OK) {
        err = put_key(inv, filter, why);
    }
    if (err == REEVE_OK) {
        err = job_args_put_ms(inv, OPT_OLDER_THAN, "older_than_ms", filter, why);
    }
    if (err == REEVE_OK) {
        err = put_number(inv, OPT_LIMIT, 1, INT64_MAX, "limit", filter, why);
    }
    return err == REEVE_OK && reeve_value_built(filter) != REEVE_OK ? reeve_fail(why, REEVE_NOMEM, "out of memory")
                                                                    : err;
}
