// Any bytes as the payload of a command: answered or refused, and what is accepted is encoded, decoded and the same.
#include "fuzz.h"

#include <reeve/id.h>
#include <reeve/message.h>

#include <string.h>

#define TOPIC "reeve/v1/local/worker/alpha/mm-1/cmd/stop"

// Whatever became of it: it can be answered, and holds nothing that was not checked.
static void check(const struct reeve_command *command, enum reeve_err err, const struct reeve_why *why)
{
    REEVE_ASSERT(err == REEVE_OK || why->text[0] != '\0');
    REEVE_ASSERT(reeve_id_valid(command->id));
    REEVE_ASSERT(reeve_value_kind(command->args) == REEVE_MAP);
    REEVE_ASSERT(command->reply_to == NULL || reeve_topic_valid(command->reply_to));
    REEVE_ASSERT(command->priority >= 0 && command->issued_at >= 0 && command->expires_at >= 0);
}

static void round_trip(const struct reeve_command *command)
{
    REEVE_BUF_AUTO buf = REEVE_BUF_INIT(0);
    struct reeve_command back;
    struct reeve_why why = {.text = ""};
    REEVE_ASSERT(reeve_command_encode(command, &buf) == REEVE_OK);
    if (buf.len > reeve_limits_wire.bytes_max) {
        return;
    }
    struct reeve_delivery delivery = {.topic = TOPIC, .payload = buf.data, .payload_len = buf.len};
    enum reeve_err err = reeve_command_decode(&delivery, NULL, &back, &why);
    // `args` adds one level to what stood bare in the map: only that may be refused
    REEVE_ASSERT(err == REEVE_OK || err == REEVE_LIMIT);
    if (err == REEVE_OK) {
        REEVE_ASSERT(strcmp(command->id, back.id) == 0 && back.id_given);
        REEVE_ASSERT(reeve_command_digest(TOPIC, command) == reeve_command_digest(TOPIC, &back));
    }
    reeve_command_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reeve_delivery delivery = {.topic = TOPIC, .payload = data, .payload_len = len};
    static const char *const main_args[] = {"workers", NULL};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(main_args); i++) {
        struct reeve_command command;
        struct reeve_why why = {.text = ""};
        enum reeve_err err = reeve_command_decode(&delivery, main_args[i], &command, &why);
        check(&command, err, &why);
        if (err == REEVE_OK) {
            round_trip(&command);
        }
        reeve_command_done(&command);
    }
    return 0;
}
