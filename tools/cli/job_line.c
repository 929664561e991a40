// Lines to jobs; see job_line.h.
// Must not: let a line pass that the manager would refuse for what it says.
#include "job_line.h"

#include <inttypes.h>
#include <reeve/codec.h>
#include <reeve/id.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ID, KEY_DELAY = 3, KEY_RUN_AT };
static const char *const keys[JOB_KEYS] = {"id",       "type",     "payload", "delay_ms",   "run_at",
                                           "priority", "attempts", "backoff", "timeout_ms", "key",
                                           "requires", "after",    "dedupe"};

// Under the message's map, its args and their list.
static const struct reeve_limits line_limits = {
    .bytes_max = JOB_LINE_TEXT_MAX, .depth_max = JSON_PACK_DEPTH_MAX + 1, .entries_max = JSON_PACK_ITEMS_MAX};

static bool is_batch_id(const char *text)
{
    struct reeve_span span = {.data = text, .len = strlen(text)};
    return span.len <= JOB_BATCH_ID_LEN_MAX && reeve_job_id_valid(span);
}

enum reeve_err job_line_init(struct job_line *how, const struct reeve_value *given, const char *batch_id,
                             struct reeve_why *why)
{
    *how = (struct job_line){.given = given};
    if (!is_batch_id(batch_id)) {
        return reeve_fail(why, REEVE_INVALID, "--batch-id: '%.80s' given, expected 1 to %d of A-Z a-z 0-9 _ -",
                          batch_id, JOB_BATCH_ID_LEN_MAX);
    }
    (void)snprintf(how->batch_id, sizeof how->batch_id, "%s", batch_id);
    enum reeve_err err = REEVE_OK;
    for (size_t i = 0; err == REEVE_OK && i < JOB_KEYS; i++) {
        const struct reeve_value *value = reeve_value_get(given, keys[i]);
        how->pairs[i].at = how->defaults.len;
        if (value != NULL) {
            reeve_pack_str(&how->defaults, keys[i]);
            err = reeve_msgpack_write(value, &how->defaults);
        }
        how->pairs[i].len = how->defaults.len - how->pairs[i].at;
    }
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "out of memory");
}

void job_line_done(struct job_line *how)
{
    reeve_buf_done(&how->defaults);
}

bool job_line_is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') {
            return false;
        }
    }
    return true;
}

// Digits by hand: this is once per job.
const char *job_line_id(const struct job_line *how, uint64_t line, char buf[REEVE_JOB_ID_SIZE])
{
    char digits[20];
    size_t len = 0;
    size_t at = strlen(how->batch_id);
    memcpy(buf, how->batch_id, at);
    buf[at++] = '-';
    do {
        digits[len++] = (char)('0' + line % 10);
        line /= 10;
    } while (line > 0 && at + len < REEVE_JOB_ID_SIZE - 1);
    while (len > 0) {
        buf[at++] = digits[--len];
    }
    buf[at] = '\0';
    return buf;
}

// ---- in one pass
// ------------------------------------------------------------------------------------------------------

// Of a key that was just packed, with its one byte of header; JOB_KEYS for any other.
static size_t key_index(const unsigned char *packed, size_t len)
{
    for (size_t i = 0; i < JOB_KEYS; i++) {
        if (strlen(keys[i]) + 1 == len && memcmp(packed + 1, keys[i], len - 1) == 0) {
            return i;
        }
    }
    return JOB_KEYS;
}

// The pairs of the line but those without a value; *seen gets a bit for each.
static bool pack_pairs(struct json_pack *pack, unsigned *seen, unsigned *ret_count)
{
    for (char c = ','; c == ',';) {
        unsigned char *start = pack->out;
        json_pack_space(pack);
        if (pack->at == pack->end || *pack->at != '"' || !json_pack_string(pack)) {
            return false;
        }
        size_t key = key_index(start, (size_t)(pack->out - start));
        json_pack_space(pack);
        if (key == JOB_KEYS || (*seen >> key & 1) != 0 || pack->at == pack->end || *pack->at++ != ':') {
            return false;
        }
        json_pack_space(pack);
        unsigned char *value = pack->out;
        if (!json_pack_value(pack, JSON_PACK_DEPTH_MAX)) {
            return false;
        }
        *seen |= 1u << key;
        if (pack->out == value + 1 && *value == 0xc0) { // null: as if it were not said
            pack->out = start;
            *seen &= ~(1u << key);
        } else {
            (*ret_count)++;
        }
        json_pack_space(pack);
        c = pack->at < pack->end ? *pack->at++ : '\0';
        if (c != ',' && c != '}') {
            return false;
        }
    }
    json_pack_space(pack);
    return pack->at == pack->end;
}

// A time of its own keeps the other kind away, too.
static unsigned with_times(unsigned seen)
{
    const unsigned times = 1u << KEY_DELAY | 1u << KEY_RUN_AT;
    return (seen & times) != 0 ? seen | times : seen;
}

static unsigned put_defaults(const struct job_line *how, unsigned seen, struct json_pack *pack)
{
    unsigned count = 0;
    seen = with_times(seen);
    for (size_t i = 0; i < JOB_KEYS; i++) {
        if (how->pairs[i].len > 0 && (seen >> i & 1) == 0) {
            memcpy(pack->out, how->defaults.data + how->pairs[i].at, how->pairs[i].len);
            pack->out += how->pairs[i].len;
            count++;
        }
    }
    return count;
}

static void put_id(const struct job_line *how, uint64_t line, struct json_pack *pack)
{
    static const unsigned char key[] = {0xa2, 'i', 'd'};
    char id[REEVE_JOB_ID_SIZE];
    size_t len = strlen(job_line_id(how, line, id));
    memcpy(pack->out, key, sizeof key);
    pack->out += sizeof key;
    if (len < 32) {
        *pack->out++ = (unsigned char)(0xa0 | len);
    } else {
        *pack->out++ = 0xd9;
        *pack->out++ = (unsigned char)len;
    }
    memcpy(pack->out, id, len);
    pack->out += len;
}

static bool pack_fast(const struct job_line *how, const char *text, size_t len, uint64_t line, unsigned char *out,
                      size_t *ret_len)
{
    struct json_pack pack = {.at = text, .end = text + len, .out = out + 1};
    unsigned seen = 0;
    unsigned count = 0;
    json_pack_space(&pack);
    if (pack.at == pack.end || *pack.at++ != '{' || !pack_pairs(&pack, &seen, &count)) {
        return false;
    }
    if ((seen >> KEY_ID & 1) == 0) {
        put_id(how, line, &pack);
        count++;
    }
    count += put_defaults(how, seen, &pack);
    *out = (unsigned char)(0x80 | count); // at most JOB_KEYS
    *ret_len = (size_t)(pack.out - out);
    return true;
}

// ---- with all rules
// ---------------------------------------------------------------------------------------------------

// The place of a reader is "1:<col>", or nothing.
static enum reeve_err fail_line(uint64_t line, enum reeve_err err, const struct reeve_why *reason,
                                struct reeve_why *why)
{
    char place[64];
    const char *col = strchr(reason->place, ':');
    (void)snprintf(place, sizeof place, "%" PRIu64 "%.24s", line, col != NULL ? col : "");
    return reeve_fail_at(why, err, place, "%s", reason->text);
}

static void put_missing(const struct job_line *how, uint64_t line, struct reeve_value *job)
{
    char id[REEVE_JOB_ID_SIZE];
    bool timed = reeve_value_kind(reeve_value_get(job, keys[KEY_DELAY])) != REEVE_NULL ||
                 reeve_value_kind(reeve_value_get(job, keys[KEY_RUN_AT])) != REEVE_NULL;
    if (reeve_value_kind(reeve_value_get(job, keys[KEY_ID])) == REEVE_NULL) {
        reeve_put_str(job, keys[KEY_ID], job_line_id(how, line, id));
    }
    for (size_t i = 0; i < reeve_value_len(how->given); i++) {
        const char *key = reeve_value_key(how->given, i);
        bool is_time = strcmp(key, keys[KEY_DELAY]) == 0 || strcmp(key, keys[KEY_RUN_AT]) == 0;
        if (reeve_value_kind(reeve_value_get(job, key)) == REEVE_NULL && !(is_time && timed)) {
            (void)reeve_value_put(job, key, reeve_value_clone(reeve_value_at(how->given, i))); /* remembered */
        }
    }
}

static enum reeve_err pack_slow(const struct job_line *how, const char *text, size_t len, uint64_t line,
                                unsigned char *out, size_t *ret_len, struct reeve_why *why)
{
    REEVE_VALUE_AUTO job = NULL;
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(JOB_LINE_BOUND(how, len));
    struct reeve_why reason = {0};
    enum reeve_err err = reeve_json_read(text, len, &line_limits, NULL, &job, &reason);
    if (err == REEVE_OK && reeve_value_kind(job) != REEVE_MAP) {
        err = reeve_fail(&reason, REEVE_INVALID, "%s given, expected a job: {\"type\": ..., \"payload\": ...}",
                         reeve_kind_text(reeve_value_kind(job)));
    }
    if (err != REEVE_OK) {
        return fail_line(line, err, &reason, why);
    }
    put_missing(how, line, job);
    err = reeve_value_built(job);
    if (err == REEVE_OK) {
        err = reeve_msgpack_write(job, &buf);
    }
    if (err != REEVE_OK) {
        (void)reeve_fail(&reason, err, "can't be written as a job: %s", reeve_err_text(err));
        return fail_line(line, err, &reason, why);
    }
    memcpy(out, buf.data, buf.len);
    *ret_len = buf.len;
    return REEVE_OK;
}

// "type: is missing", as the manager would say it.
static enum reeve_err check(const unsigned char *job, size_t len, uint64_t line, struct reeve_job_spec *ret,
                            struct reeve_why *why)
{
    struct reeve_cursor cursor = REEVE_CURSOR(job, len);
    struct reeve_why reason = {0};
    char place[24];
    enum reeve_err err = reeve_job_spec_read(&cursor, ret, &reason);
    if (err == REEVE_OK && len > JOB_LINE_BYTES_MAX) {
        err = reeve_fail(&reason, REEVE_LIMIT, "a job of %zu bytes, expected at most %u", len, JOB_LINE_BYTES_MAX);
    }
    if (err == REEVE_OK) {
        return err;
    }
    (void)snprintf(place, sizeof place, "%" PRIu64, line);
    return reeve_fail_at(why, err, place, "%s%s%s", reason.place, reason.place[0] != '\0' ? ": " : "", reason.text);
}

enum reeve_err job_line_pack(const struct job_line *how, const char *text, size_t len, uint64_t line,
                             unsigned char *out, struct reeve_job_spec *ret, struct reeve_why *why)
{
    size_t out_len = 0;
    enum reeve_err err =
        pack_fast(how, text, len, line, out, &out_len) ? REEVE_OK : pack_slow(how, text, len, line, out, &out_len, why);
    return err == REEVE_OK ? check(out, out_len, line, ret, why) : err;
}
