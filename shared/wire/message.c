// Commands and replies: the forms of [payload-3], the envelope of [cmd-2], phases of [cmd-3].
// A command that is wrong keeps what was readable of its id and reply address, so that its sender hears why.
// Must not: know any op, or look at clocks for a command's age: that is its receiver's.
#include <reeve/id.h>
#include <reeve/log.h>
#include <reeve/message.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ISSUER_LEN_MAX 128
#define PRIORITY_MAX   9
#define QUOTED_LEN     64

// ---- phases ---------------------------------------------------------------------------------------

static const struct phase {
    const char *text;
    bool terminal;
} phases[] = {
#define X(id, text, terminal) [REEVE_PHASE_##id] = {text, terminal},
    REEVE_PHASE_LIST(X)
#undef X
};

const char *reeve_phase_text(enum reeve_phase phase)
{
    REEVE_ASSERT((size_t)phase < REEVE_ARRAY_LEN(phases));
    return phases[phase].text;
}

bool reeve_phase_parse(const char *text, enum reeve_phase *ret)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(phases); i++) {
        if (reeve_str_eq(phases[i].text, text)) {
            *ret = (enum reeve_phase)i;
            return true;
        }
    }
    return false;
}

bool reeve_phase_terminal(enum reeve_phase phase)
{
    REEVE_ASSERT((size_t)phase < REEVE_ARRAY_LEN(phases));
    return phases[phase].terminal;
}

// ---- the envelope's parts: one row per key ----------------------------------------------------------

static enum reeve_err fail_kind(struct reeve_why *why, const char *key, const struct reeve_value *value,
                                const char *expected)
{
    return reeve_fail_at(why, REEVE_INVALID, key, "%s given, expected %s", reeve_kind_text(reeve_value_kind(value)),
                         expected);
}

static enum reeve_err take_text(const char *text, char **slot)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return REEVE_NOMEM;
    }
    free(*slot);
    *slot = copy;
    return REEVE_OK;
}

static enum reeve_err take_id(const struct reeve_value *value, struct reeve_command *command, struct reeve_why *why)
{
    char quoted[QUOTED_LEN];
    if (reeve_value_kind(value) != REEVE_STR) {
        return fail_kind(why, "id", value, "text such as a ULID");
    }
    if (!reeve_id_valid(reeve_value_text(value))) {
        return reeve_fail_at(why, REEVE_INVALID, "id", "%s is no id, expected 1 to 64 of A-Z a-z 0-9 _ -",
                             reeve_log_quote(reeve_value_text(value), quoted, sizeof(quoted)));
    }
    enum reeve_err err = take_text(reeve_value_text(value), &command->id);
    command->id_given = err == REEVE_OK;
    return err;
}

static enum reeve_err check_reply_to(const char *topic, const char *place, struct reeve_why *why)
{
    char quoted[QUOTED_LEN];
    if (reeve_topic_valid(topic)) {
        return REEVE_OK;
    }
    return reeve_fail_at(why, REEVE_INVALID, place,
                         "%s is no topic to answer on, expected 1 to %d bytes without + and #",
                         reeve_log_quote(topic, quoted, sizeof(quoted)), REEVE_TOPIC_LEN_MAX);
}

static enum reeve_err take_reply_to(const struct reeve_value *value, struct reeve_command *command,
                                    struct reeve_why *why)
{
    if (reeve_value_kind(value) != REEVE_STR) {
        return fail_kind(why, "reply_to", value, "a topic");
    }
    enum reeve_err err = check_reply_to(reeve_value_text(value), "reply_to", why);
    return err == REEVE_OK ? take_text(reeve_value_text(value), &command->reply_to) : err;
}

// INT, or a FLOAT without fraction: JavaScript knows no other numbers.
static bool whole_number(const struct reeve_value *value, int64_t *ret)
{
    *ret = reeve_value_number(value, 0);
    return *ret == reeve_value_number(value, 1); // the fallback shows through in one of them only
}

static enum reeve_err take_time(const char *key, const struct reeve_value *value, int64_t *slot, struct reeve_why *why)
{
    int64_t at;
    if (!whole_number(value, &at)) {
        return fail_kind(why, key, value, "milliseconds since 1970, a whole number");
    }
    if (at <= 0) {
        return reeve_fail_at(why, REEVE_INVALID, key, "%lld is no time, expected milliseconds since 1970",
                             (long long)at);
    }
    *slot = at;
    return REEVE_OK;
}

static enum reeve_err take_issued_at(const struct reeve_value *value, struct reeve_command *command,
                                     struct reeve_why *why)
{
    return take_time("issued_at", value, &command->issued_at, why);
}

static enum reeve_err take_expires_at(const struct reeve_value *value, struct reeve_command *command,
                                      struct reeve_why *why)
{
    return take_time("expires_at", value, &command->expires_at, why);
}

static enum reeve_err take_issuer(const struct reeve_value *value, struct reeve_command *command, struct reeve_why *why)
{
    size_t len = reeve_value_len(value);
    if (reeve_value_kind(value) != REEVE_STR) {
        return fail_kind(why, "issuer", value, "text");
    }
    if (len == 0 || len > ISSUER_LEN_MAX) {
        return reeve_fail_at(why, REEVE_INVALID, "issuer", "has %zu bytes, expected 1 to %d", len, ISSUER_LEN_MAX);
    }
    return take_text(reeve_value_text(value), &command->issuer);
}

// What `expect` may hold. A key that is none of these is refused: a misspelt guard must not be skipped.
static const struct guard {
    const char *key;
    bool text_ok;
    bool number_ok;
} guards[] = {{"epoch", false, true}, {"run", false, true}, {"version", true, true}, {"state", true, false}};

static enum reeve_err check_guard(const char *key, const struct reeve_value *value, struct reeve_why *why)
{
    char quoted[QUOTED_LEN];
    char place[QUOTED_LEN];
    int64_t number;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(guards); i++) {
        if (strcmp(guards[i].key, key) != 0) {
            continue;
        }
        bool usable = (guards[i].number_ok && whole_number(value, &number)) ||
                      (guards[i].text_ok && reeve_value_kind(value) == REEVE_STR);
        (void)snprintf(place, sizeof(place), "expect.%s", guards[i].key);
        return usable ? REEVE_OK
                      : fail_kind(why, place, value, guards[i].number_ok ? "a whole number" : "the name of a state");
    }
    return reeve_fail_at(why, REEVE_INVALID, "expect", "unknown key %s, expected epoch, run, version or state",
                         reeve_log_quote(key, quoted, sizeof(quoted)));
}

static enum reeve_err take_expect(const struct reeve_value *value, struct reeve_command *command, struct reeve_why *why)
{
    if (reeve_value_kind(value) != REEVE_MAP) {
        return fail_kind(why, "expect", value, "a map of epoch, run, version, state");
    }
    for (size_t i = 0; i < reeve_value_len(value); i++) {
        enum reeve_err err = check_guard(reeve_value_key(value, i), reeve_value_at(value, i), why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    command->expect = reeve_value_clone(value);
    return command->expect != NULL ? REEVE_OK : REEVE_NOMEM;
}

static enum reeve_err take_priority(const struct reeve_value *value, struct reeve_command *command,
                                    struct reeve_why *why)
{
    int64_t priority;
    if (!whole_number(value, &priority)) {
        return fail_kind(why, "priority", value, "a whole number from 0 to 9");
    }
    if (priority < 0 || priority > PRIORITY_MAX) {
        return reeve_fail_at(why, REEVE_INVALID, "priority", "is %lld, expected 0 to %d", (long long)priority,
                             PRIORITY_MAX);
    }
    command->priority = priority;
    return REEVE_OK;
}

// Never guessed: a dry run that is misread is a real one.
static enum reeve_err take_dry_run(const struct reeve_value *value, struct reeve_command *command,
                                   struct reeve_why *why)
{
    if (reeve_value_kind(value) != REEVE_BOOL) {
        return fail_kind(why, "dry_run", value, "true or false");
    }
    command->dry_run = reeve_value_truth(value, false);
    return REEVE_OK;
}

static enum reeve_err take_args(const struct reeve_value *value, struct reeve_command *command, struct reeve_why *why)
{
    if (reeve_value_kind(value) != REEVE_MAP) {
        return fail_kind(why, "args", value, "a map");
    }
    reeve_value_free(command->args);
    command->args = reeve_value_clone(value);
    return command->args != NULL ? REEVE_OK : REEVE_NOMEM;
}

static const struct part {
    const char *key;
    enum reeve_err (*take)(const struct reeve_value *value, struct reeve_command *command, struct reeve_why *why);
} parts[] = {
    // The address first: whatever is wrong behind it can be answered.
    {"id", take_id},
    {"reply_to", take_reply_to},
    {"issued_at", take_issued_at},
    {"expires_at", take_expires_at},
    {"issuer", take_issuer},
    {"expect", take_expect},
    {"priority", take_priority},
    {"dry_run", take_dry_run},
    {"args", take_args},
};

static bool is_envelope_key(const char *key)
{
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        if (strcmp(parts[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

// ---- decoding -------------------------------------------------------------------------------------

// Without `args` the other keys of the map are the arguments.
static enum reeve_err take_bare_args(const struct reeve_value *map, struct reeve_command *command)
{
    for (size_t i = 0; i < reeve_value_len(map); i++) {
        const char *key = reeve_value_key(map, i);
        if (!is_envelope_key(key)) {
            (void)reeve_value_put(command->args, key, reeve_value_clone(reeve_value_at(map, i))); /* remembered */
        }
    }
    return reeve_value_built(command->args);
}

// All parts are tried, so that a later one is there although an earlier one is wrong; the first error counts.
static enum reeve_err take_map(const struct reeve_value *map, struct reeve_command *command, struct reeve_why *why)
{
    enum reeve_err first = REEVE_OK;
    if (reeve_value_get(map, "signed") != NULL && reeve_value_get(map, "sig") != NULL) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "signed commands are not supported here");
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(parts); i++) {
        const struct reeve_value *value = reeve_value_get(map, parts[i].key);
        if (reeve_value_kind(value) == REEVE_NULL) {
            continue;
        }
        enum reeve_err err = parts[i].take(value, command, first == REEVE_OK ? why : NULL);
        first = first == REEVE_OK ? err : first;
    }
    if (first == REEVE_OK && reeve_value_kind(reeve_value_get(map, "args")) == REEVE_NULL) {
        first = take_bare_args(map, command);
    }
    return first;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *topic_op(const char *topic)
{
    const char *slash = strrchr(topic, '/');
    return slash != NULL ? slash + 1 : topic;
}

// mosquitto_pub -m text, or echo text | mosquitto_pub -s: the newline is not meant.
static enum reeve_err take_text_form(const struct reeve_delivery *delivery, const char *main_arg,
                                     struct reeve_command *command, struct reeve_why *why)
{
    const char *text = delivery->payload;
    size_t len = delivery->payload_len;
    char quoted[QUOTED_LEN];
    if (!reeve_utf8_valid(text, len)) {
        return reeve_fail(why, REEVE_INVALID,
                          "payload begins with 0x%02x: no msgpack map, no JSON object and no UTF-8 text",
                          (unsigned)(unsigned char)text[0]);
    }
    for (; len > 0 && is_space(text[len - 1]); len--) {
    }
    for (; len > 0 && is_space(text[0]); len--) {
        text++;
    }
    if (len == 0) {
        return REEVE_OK;
    }
    if (main_arg == NULL) {
        return reeve_fail(why, REEVE_INVALID, "%s takes no text, expected nothing, a JSON object or a msgpack map",
                          reeve_log_quote(topic_op(delivery->topic), quoted, sizeof(quoted)));
    }
    return reeve_value_put(command->args, main_arg, reeve_value_strn(text, len));
}

static bool is_msgpack_map(unsigned char first)
{
    return (first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf;
}

static enum reeve_err take_payload(const struct reeve_delivery *delivery, const char *main_arg,
                                   struct reeve_command *command, struct reeve_why *why)
{
    REEVE_VALUE_AUTO map = NULL;
    const struct reeve_limits *limits = &reeve_limits_wire;
    size_t len = delivery->payload_len;
    enum reeve_err err;
    if (len == 0) {
        return REEVE_OK;
    }
    if (len > limits->bytes_max) {
        return reeve_fail(why, REEVE_LIMIT, "payload has %zu bytes, at most %zu are allowed", len, limits->bytes_max);
    }
    unsigned char first = *(const unsigned char *)delivery->payload;
    if (is_msgpack_map(first)) {
        err = reeve_msgpack_read(delivery->payload, len, limits, NULL, &map, why);
    } else if (first == '{') {
        err = reeve_json_read(delivery->payload, len, limits, NULL, &map, why);
    } else {
        return take_text_form(delivery, main_arg, command, why);
    }
    return err == REEVE_OK ? take_map(map, command, why) : err;
}

static enum reeve_err take_transport(const struct reeve_delivery *delivery, struct reeve_command *command,
                                     struct reeve_why *why)
{
    if (delivery->response_topic != NULL && delivery->response_topic[0] != '\0') {
        enum reeve_err err = check_reply_to(delivery->response_topic, "response topic", why);
        err = err == REEVE_OK ? take_text(delivery->response_topic, &command->reply_to) : err;
        if (err != REEVE_OK) {
            return err;
        }
    }
    if (delivery->correlation_len > 0) {
        command->correlation = malloc(delivery->correlation_len);
        if (command->correlation == NULL) {
            return REEVE_NOMEM;
        }
        memcpy(command->correlation, delivery->correlation, delivery->correlation_len);
        command->correlation_len = delivery->correlation_len;
    }
    return REEVE_OK;
}

// The id that the receiver answers under, whatever became of the rest.
static enum reeve_err make_id(struct reeve_command *command)
{
    char id[REEVE_ULID_SIZE];
    return command->id != NULL ? REEVE_OK : take_text(reeve_ulid_new(id), &command->id);
}

enum reeve_err reeve_command_decode(const struct reeve_delivery *delivery, const char *main_arg,
                                    struct reeve_command *ret, struct reeve_why *why)
{
    *ret = (struct reeve_command){.args = reeve_value_map()};
    if (ret->args == NULL) {
        return REEVE_NOMEM;
    }
    struct reeve_why later = {0};
    enum reeve_err err = take_transport(delivery, ret, why);
    // The payload is read even when the transport's part is wrong: it may hold id and address.
    enum reeve_err payload_err = take_payload(delivery, main_arg, ret, err == REEVE_OK ? why : &later);
    err = err == REEVE_OK ? payload_err : err;
    if (err == REEVE_OK && delivery->retained) {
        err = reeve_fail(why, REEVE_DENIED, "retained: a command must not be kept by the broker"); // [cmd-1]
    }
    if (ret->args == NULL) {
        ret->args = reeve_value_map();
    }
    enum reeve_err id_err = make_id(ret);
    return err == REEVE_OK && ret->args == NULL ? REEVE_NOMEM : err == REEVE_OK ? id_err : err;
}

void reeve_command_done(struct reeve_command *command)
{
    free(command->id);
    free(command->issuer);
    free(command->reply_to);
    free(command->correlation);
    reeve_value_free(command->args);
    reeve_value_free(command->expect);
    *command = (struct reeve_command){0};
}

// ---- encoding -------------------------------------------------------------------------------------

static void put_int_opt(struct reeve_value *map, const char *key, int64_t number)
{
    if (number != 0) {
        reeve_put_int(map, key, number);
    }
}

static void put_tree_opt(struct reeve_value *map, const char *key, const struct reeve_value *tree)
{
    if (tree != NULL) {
        (void)reeve_value_put(map, key, reeve_value_clone(tree)); /* remembered: reeve_value_built() */
    }
}

struct reeve_value *reeve_command_value(const struct reeve_command *command)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    if (map == NULL) {
        return NULL;
    }
    reeve_put_str_opt(map, "id", command->id);
    put_tree_opt(map, "args", command->args);
    put_int_opt(map, "issued_at", command->issued_at);
    put_int_opt(map, "expires_at", command->expires_at);
    reeve_put_str_opt(map, "issuer", command->issuer);
    reeve_put_str_opt(map, "reply_to", command->reply_to);
    put_tree_opt(map, "expect", command->expect);
    put_int_opt(map, "priority", command->priority);
    if (command->dry_run) {
        reeve_put_bool(map, "dry_run", true);
    }
    return reeve_value_built(map) == REEVE_OK ? reeve_value_take(&map) : NULL;
}

enum reeve_err reeve_command_encode(const struct reeve_command *command, struct reeve_buf *buf)
{
    REEVE_VALUE_AUTO map = reeve_command_value(command);
    return map != NULL ? reeve_msgpack_write(map, buf) : REEVE_NOMEM;
}

uint64_t reeve_command_digest(const char *topic, const struct reeve_command *command)
{
    const uint64_t parts_of_it[] = {
        reeve_hash64(topic, strlen(topic)),
        reeve_value_digest(command->args),
        reeve_value_digest(command->expect),
        command->dry_run,
    };
    return reeve_hash64(parts_of_it, sizeof(parts_of_it));
}

// ---- replies --------------------------------------------------------------------------------------

enum reeve_err reeve_reply_encode(const struct reeve_reply *reply, struct reeve_buf *buf)
{
    REEVE_VALUE_AUTO map = reeve_value_map();
    if (map == NULL) {
        return REEVE_NOMEM;
    }
    reeve_put_str_opt(map, "id", reply->id);
    reeve_put_int(map, "seq", reply->seq);
    reeve_put_str(map, "phase", reeve_phase_text(reply->phase));
    reeve_put_str_opt(map, "code", reply->code);
    reeve_put_str_opt(map, "message", reply->message);
    put_tree_opt(map, "result", reply->result);
    reeve_put_str_opt(map, "by", reply->by);
    put_int_opt(map, "epoch", reply->epoch);
    put_int_opt(map, "at", reply->at);
    enum reeve_err err = reeve_value_built(map);
    return err == REEVE_OK ? reeve_msgpack_write(map, buf) : err;
}

enum reeve_err reeve_reply_decode(const struct reeve_value *value, struct reeve_reply *ret, struct reeve_why *why)
{
    char quoted[QUOTED_LEN];
    const char *phase = reeve_get_str(value, "phase");
    struct reeve_reply reply = {
        .id = reeve_get_str(value, "id"),
        .seq = reeve_get_int(value, "seq", 0),
        .code = reeve_get_str(value, "code"),
        .message = reeve_get_str(value, "message"),
        .result = reeve_value_get(value, "result"),
        .by = reeve_get_str(value, "by"),
        .epoch = reeve_get_int(value, "epoch", 0),
        .at = reeve_get_int(value, "at", 0),
    };
    if (reeve_value_kind(value) != REEVE_MAP) {
        return reeve_fail(why, REEVE_INVALID, "%s given, expected a reply: a map",
                          reeve_kind_text(reeve_value_kind(value)));
    }
    if (reply.id == NULL || phase == NULL) {
        return reeve_fail(why, REEVE_INVALID, "a reply without %s", reply.id == NULL ? "id" : "phase"); // [payload-2]
    }
    if (!reeve_phase_parse(phase, &reply.phase)) {
        return reeve_fail_at(why, REEVE_INVALID, "phase", "%s is not known",
                             reeve_log_quote(phase, quoted, sizeof(quoted)));
    }
    *ret = reply;
    return REEVE_OK;
}
