// A job as it is enqueued: its keys, and the digest of its body.
// Must not: allocate, know queues, parse requirements; the manager does.
#include "fields.h"

#include <stdio.h>
#include <string.h>

#define ID_TEXT       "1 to 80 of A-Z a-z 0-9 _ -"
#define AFTER_TEXT    "a list of ids of jobs"
#define REQUIRES_TEXT "a map such as {type: trading}, or a list of texts such as cpus>=4"

// ---- keys that have something inside -------------------------------------------------------------------------

static enum reeve_err read_backoff_kind(struct reeve_cursor *cursor, const char *path, void *object,
                                        struct reeve_why *why)
{
    static const char expected[] = "fixed or exponential";
    struct reeve_job_backoff *backoff = object;
    char quoted[JOB_QUOTED_SIZE];
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return job_refuse_kind(cursor, path, expected, why);
    }
    struct reeve_span kind = reeve_cursor_str(cursor);
    if (reeve_span_is(kind, "fixed")) {
        backoff->kind = REEVE_JOB_BACKOFF_FIXED;
    } else if (reeve_span_is(kind, "exponential")) {
        backoff->kind = REEVE_JOB_BACKOFF_EXPONENTIAL;
    } else {
        return reeve_fail_at(why, REEVE_INVALID, path, "is %s, expected %s", job_quote(kind, quoted), expected);
    }
    return REEVE_OK;
}

#define AT(member) offsetof(struct reeve_job_backoff, member)
static const struct job_field backoff_fields[] = {
    {JOB_FIELD("kind"), .type = JOB_FIELD_OWN, .read = read_backoff_kind},
    {JOB_FIELD("delay_ms"), .type = JOB_FIELD_INT, .offset = AT(delay_ms), .min = 0, .max = JOB_DELAY_MAX,
     .expected = JOB_DELAY_TEXT},
    {JOB_FIELD("max_ms"), .type = JOB_FIELD_INT, .offset = AT(max_ms), .min = 0, .max = JOB_DELAY_MAX,
     .expected = JOB_DELAY_TEXT},
    {JOB_FIELD("jitter"), .type = JOB_FIELD_REAL, .offset = AT(jitter), .min = 0, .max = 1,
     .expected = "a number from 0 to 1"},
};
#undef AT
static const struct job_record backoff_record =
    JOB_RECORD("a map of kind, delay_ms, max_ms, jitter", true, backoff_fields);

static enum reeve_err read_backoff(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    struct reeve_job_backoff *backoff = &((struct reeve_job_spec *)object)->backoff;
    enum reeve_err err = job_record_read(cursor, &backoff_record, path, backoff, NULL, why);
    if (err == REEVE_OK && backoff->max_ms > 0 && backoff->max_ms < backoff->delay_ms) {
        return reeve_fail_at(why, REEVE_INVALID, path, "max_ms %lld is below delay_ms %lld", (long long)backoff->max_ms,
                             (long long)backoff->delay_ms);
    }
    return err;
}

#define AT(member) offsetof(struct reeve_job_spec, member)
static const struct job_field dedupe_fields[] = {
    {JOB_FIELD("key"), .type = JOB_FIELD_TEXT, .required = true, .offset = AT(dedupe_key), .min = 1,
     .max = REEVE_JOB_KEY_SIZE - 1, .expected = "1 to 128 bytes of printable text"},
    {JOB_FIELD("window_ms"), .type = JOB_FIELD_INT, .required = true, .offset = AT(dedupe_ms), .min = 1,
     .max = JOB_DELAY_MAX, .expected = "whole milliseconds from 1 to 315619200000 (10 years)"},
};
static const struct job_record dedupe_record = JOB_RECORD("a map of key and window_ms", true, dedupe_fields);

static enum reeve_err read_dedupe(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    return job_record_read(cursor, &dedupe_record, path, object, NULL, why);
}

static bool is_empty(struct reeve_span container)
{
    struct reeve_cursor cursor = REEVE_CURSOR(container.data, container.len);
    enum reeve_kind kind = reeve_cursor_kind(&cursor);
    return kind == REEVE_LIST ? reeve_cursor_list(&cursor) == 0 : kind == REEVE_MAP && reeve_cursor_map(&cursor) == 0;
}

// "after[3]" in place of the list's own path.
static enum reeve_err fail_entry(enum reeve_err err, const char *path, size_t index, struct reeve_why *why)
{
    if (why != NULL) {
        (void)snprintf(why->place, sizeof(why->place), "%s[%zu]", path, index); /* cut where too long */
    }
    return err;
}

typedef enum reeve_err entry_check(struct reeve_cursor *cursor, struct reeve_why *why);

static enum reeve_err check_id(struct reeve_cursor *cursor, struct reeve_why *why)
{
    char quoted[JOB_QUOTED_SIZE];
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return job_refuse_kind(cursor, "", "the id of a job", why);
    }
    struct reeve_span id = reeve_cursor_str(cursor);
    return reeve_job_id_valid(id) ? REEVE_OK
                                  : reeve_fail(why, REEVE_INVALID, "is %s, expected " ID_TEXT, job_quote(id, quoted));
}

static enum reeve_err check_requirement(struct reeve_cursor *cursor, struct reeve_why *why)
{
    if (reeve_cursor_kind(cursor) != REEVE_STR) {
        return job_refuse_kind(cursor, "", "text such as cpus>=4", why);
    }
    (void)reeve_cursor_str(cursor); /* checked already */
    return REEVE_OK;
}

// `list` has been skipped, so that its bytes are known to be right.
static enum reeve_err check_entries(struct reeve_span list, entry_check *check, const char *path, struct reeve_why *why)
{
    struct reeve_cursor cursor = REEVE_CURSOR(list.data, list.len);
    size_t len = reeve_cursor_list(&cursor);
    for (size_t i = 0; i < len; i++) {
        enum reeve_err err = check(&cursor, why);
        if (err != REEVE_OK) {
            return fail_entry(err, path, i, why);
        }
    }
    return REEVE_OK;
}

static enum reeve_err read_after(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    struct reeve_job_spec *spec = object;
    if (reeve_cursor_kind(cursor) != REEVE_LIST) {
        return job_refuse_kind(cursor, path, AFTER_TEXT, why);
    }
    struct reeve_span list = reeve_cursor_skip(cursor);
    enum reeve_err err = cursor->err == REEVE_OK ? check_entries(list, check_id, path, why) : cursor->err;
    if (err == REEVE_OK && !is_empty(list)) {
        spec->after = list;
    }
    return err;
}

static enum reeve_err read_requires(struct reeve_cursor *cursor, const char *path, void *object, struct reeve_why *why)
{
    struct reeve_job_spec *spec = object;
    enum reeve_kind kind = reeve_cursor_kind(cursor);
    if (kind != REEVE_MAP && kind != REEVE_LIST && kind != REEVE_STR) {
        return job_refuse_kind(cursor, path, REQUIRES_TEXT, why);
    }
    struct reeve_span requires = reeve_cursor_skip(cursor);
    enum reeve_err err = cursor->err;
    if (err == REEVE_OK && kind == REEVE_LIST) {
        err = check_entries(requires, check_requirement, path, why);
    }
    if (err == REEVE_OK && !is_empty(requires)) {
        spec->requires = requires;
    }
    return err;
}

// ---- the job --------------------------------------------------------------------------------------------------

// In the order that writers use, which makes reading fast.
static const struct job_field spec_fields[] = {
    {JOB_FIELD("id"), .type = JOB_FIELD_ID, .offset = AT(id), .max = REEVE_JOB_ID_SIZE - 1, .expected = ID_TEXT},
    {JOB_FIELD("type"), .type = JOB_FIELD_NAME, .required = true, .offset = AT(type),
     .expected = "1 to 63 of A-Z a-z 0-9 _ - ."},
    {JOB_FIELD("payload"), .type = JOB_FIELD_VALUE, .offset = AT(payload)},
    {JOB_FIELD("priority"), .type = JOB_FIELD_INT, .offset = AT(priority), .min = 0, .max = REEVE_JOB_PRIORITY_MAX,
     .expected = "a whole number from 0 to 9"},
    {JOB_FIELD("key"), .type = JOB_FIELD_TEXT, .offset = AT(key), .min = 1, .max = REEVE_JOB_KEY_SIZE - 1,
     .expected = "1 to 128 bytes of printable text"},
    {JOB_FIELD("delay_ms"), .type = JOB_FIELD_INT, .offset = AT(delay_ms), .min = 0, .max = JOB_DELAY_MAX,
     .expected = JOB_DELAY_TEXT},
    {JOB_FIELD("run_at"), .type = JOB_FIELD_INT, .offset = AT(run_at), .min = 1, .max = JOB_AT_MAX - 1,
     .expected = "milliseconds since 1970, a whole number"},
    {JOB_FIELD("attempts"), .type = JOB_FIELD_INT, .offset = AT(attempts), .min = 1, .max = REEVE_JOB_ATTEMPTS_MAX,
     .expected = "a whole number from 1 to 1000"},
    {JOB_FIELD("backoff"), .type = JOB_FIELD_OWN, .read = read_backoff},
    {JOB_FIELD("timeout_ms"), .type = JOB_FIELD_INT, .offset = AT(timeout_ms), .min = 0, .max = JOB_DELAY_MAX,
     .expected = JOB_DELAY_TEXT},
    {JOB_FIELD("requires"), .type = JOB_FIELD_OWN, .read = read_requires},
    {JOB_FIELD("after"), .type = JOB_FIELD_OWN, .read = read_after},
    {JOB_FIELD("dedupe"), .type = JOB_FIELD_OWN, .read = read_dedupe},
};
#undef AT
static const struct job_record spec_record = JOB_RECORD("a job: a map with its type", true, spec_fields);

static bool waits_for(const struct reeve_job_spec *spec, struct reeve_span id)
{
    struct reeve_cursor cursor = REEVE_CURSOR(spec->after.data, spec->after.len);
    for (size_t left = spec->after.len > 0 ? reeve_cursor_list(&cursor) : 0; left > 0; left--) {
        if (reeve_span_eq(reeve_cursor_str(&cursor), id)) {
            return true;
        }
    }
    return false;
}

enum reeve_err reeve_job_spec_read(struct reeve_cursor *cursor, struct reeve_job_spec *ret, struct reeve_why *why)
{
    struct reeve_job_spec spec = {.priority = REEVE_JOB_PRIORITY_PRESET, .delay_ms = -1, .backoff = {.jitter = -1}};
    const char *from = (const char *)cursor->at;
    enum reeve_err err = job_record_read(cursor, &spec_record, "", &spec, NULL, why);
    if (err != REEVE_OK) {
        return err;
    }
    if (spec.delay_ms >= 0 && spec.run_at > 0) {
        return reeve_fail_at(why, REEVE_INVALID, "run_at", "is given beside delay_ms: keep one of them");
    }
    if (spec.id.len > 0 && waits_for(&spec, spec.id)) {
        return reeve_fail_at(why, REEVE_INVALID, "after", "the job waits for itself");
    }
    spec.delay_ms = spec.delay_ms < 0 ? 0 : spec.delay_ms;
    spec.raw = (struct reeve_span){from, (size_t)((const char *)cursor->at - from)};
    *ret = spec;
    return REEVE_OK;
}

// ---- digest ---------------------------------------------------------------------------------------------------

// Two 64-bit words multiplied to 128 bits and folded, 16 bytes a step (Wang Yi's wyhash, public domain): 4 KiB cost
// less than 0.3 µs. It lies on disk, so it must never change.
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return a ^ b ^ (uint64_t)product ^ (uint64_t)(product >> 64); // a zero on one side leaves the other
}

static uint64_t load(const unsigned char *bytes, size_t len)
{
    uint64_t word = 0;
    if (len == sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        return word;
    }
    for (size_t i = 0; i < len; i++) {
        word |= (uint64_t)bytes[i] << 8 * i;
    }
    return word;
}

static uint64_t absorb(uint64_t hash, struct reeve_span span)
{
    static const uint64_t secret[] = {UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db),
                                      UINT64_C(0x8ebc6af09c88c6e3)};
    const unsigned char *at = (const unsigned char *)span.data;
    size_t left = span.len;
    for (; left > 16; left -= 16, at += 16) {
        hash = fold(load(at, 8) ^ secret[0], load(at + 8, 8) ^ hash);
    }
    uint64_t first = load(at, left < 8 ? left : 8);
    uint64_t last = left > 8 ? load(at + 8, left - 8) : 0;
    hash = fold(first ^ secret[0], last ^ hash);
    return fold(hash ^ secret[1], span.len ^ secret[2]); // the length parts this span from the next
}

uint64_t reeve_job_spec_digest(const struct reeve_job_spec *spec)
{
    return absorb(absorb(absorb(UINT64_C(0x589965cc75374cc3), spec->type), spec->key), spec->payload);
}
