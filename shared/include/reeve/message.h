// Messages: commands and their replies as every receiver and sender sees them [payload-3] [cmd-1..4].
#ifndef REEVE_MESSAGE_H
#define REEVE_MESSAGE_H

#include <reeve/codec.h>
#include <reeve/record.h>
#include <reeve/topic.h>

#define REEVE_COMMAND_TTL_MS 60000 // of a command that does not say [cmd-2]

// id, text, terminal. One terminal phase ends every command, always [cmd-3].
#define REEVE_PHASE_LIST(X)                                                                                            \
    X(ACCEPTED, "accepted", false)                                                                                     \
    X(RUNNING, "running", false)                                                                                       \
    X(DONE, "done", true)                                                                                              \
    X(FAILED, "failed", true)                                                                                          \
    X(REJECTED, "rejected", true)                                                                                      \
    X(EXPIRED, "expired", true)                                                                                        \
    X(CANCELLED, "cancelled", true)                                                                                    \
    X(SUPERSEDED, "superseded", true)                                                                                  \
    X(DUPLICATE, "duplicate", true)
enum reeve_phase {
#define X(id, text, terminal) REEVE_PHASE_##id,
    REEVE_PHASE_LIST(X)
#undef X
};
const char *reeve_phase_text(enum reeve_phase phase);
bool reeve_phase_parse(const char *text, enum reeve_phase *ret);
bool reeve_phase_terminal(enum reeve_phase phase);

// What the sender said; everything optional by hand. Owned by the command.
struct reeve_command {
    char *id;         // given, or made on receipt (then id_given is false)
    bool id_given;
    struct reeve_value *args; // a MAP, never NULL after decoding
    int64_t issued_at;        // 0 = not said
    int64_t expires_at;       // 0 = not said: the receiver uses arrival + REEVE_COMMAND_TTL_MS
    char *issuer;             // NULL = not said
    char *reply_to;           // full topic; from the payload, or the MQTT 5 response topic; NULL = nobody listens
    void *correlation;        // MQTT 5 correlation data, echoed
    size_t correlation_len;
    struct reeve_value *expect; // MAP {epoch, run, version, state}, or NULL
    int64_t priority;
    bool dry_run;
};

// What travels with a payload on the wire, as the bus hands it over.
struct reeve_delivery {
    const char *topic;
    const void *payload;
    size_t payload_len;
    bool retained;
    const char *response_topic; // MQTT 5; NULL
    const void *correlation;    // MQTT 5; NULL
    size_t correlation_len;
};

// Decode [payload-3]: a msgpack map (first byte 0x80..0x8f, 0xde, 0xdf), `{` = JSON, nothing = no
// arguments, anything else = UTF-8 text, which becomes args[main_arg] (trimmed). main_arg NULL: text is INVALID
// ("'stop' takes no text"). A map without `args` carries the arguments beside the envelope's own keys, so that '{"size":5}'
// works; with `args` other keys are skipped. Missing id: a ULID is made.
// One that arrives retained is DENIED [cmd-1]; a signed one UNSUPPORTED [cmd-8]. `reply_to` is a topic that can be published to;
// whether it may be is reeve_topic_reply_allowed().
// On failure *ret still carries id and reply address as far as they were readable, so that the sender can be answered;
// free it in both cases.
enum reeve_err reeve_command_decode(const struct reeve_delivery *delivery, const char *main_arg,
                                    struct reeve_command *ret, struct reeve_why *why);
void reeve_command_done(struct reeve_command *command);
// msgpack for sending. `id` and `args` as they are; zero and NULL parts left out.
enum reeve_err reeve_command_encode(const struct reeve_command *command, struct reeve_buf *buf);
struct reeve_value *reeve_command_value(const struct reeve_command *command); // the same as a tree; caller frees
// Digest of what makes two commands the same: topic, args, expect and dry_run; the order of keys does not count. For
// [cmd-4] conflict.
uint64_t reeve_command_digest(const char *topic, const struct reeve_command *command);

struct reeve_reply {
    const char *id;
    int64_t seq; // from 1 per command
    enum reeve_phase phase;
    const char *code;    // class of error ("not_found"), or NULL
    const char *message; // for people, or NULL
    const struct reeve_value *result; // or NULL; borrowed
    const char *by;      // node or worker that answers
    int64_t epoch;
    int64_t at;          // wall ms
};
enum reeve_err reeve_reply_encode(const struct reeve_reply *reply, struct reeve_buf *buf);
// The strings and `result` of *ret point into `value`, which must outlive it.
enum reeve_err reeve_reply_decode(const struct reeve_value *value, struct reeve_reply *ret, struct reeve_why *why);

#endif
