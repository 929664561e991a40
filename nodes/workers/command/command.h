// Configuration: which queues, and which command for which type of job. Decoded into a set that attempts hold on to, so
// that a new configuration changes nothing under a command that runs. Must not: know of the SDK, start anything.
#ifndef REEVE_COMMAND_COMMAND_H
#define REEVE_COMMAND_COMMAND_H

#include <reeve/record.h>

#include "exits.h"
#include "limits.h"
#include "output.h"

#define COMMANDS_MAX 64

enum command_input { INPUT_JSON, INPUT_RAW, INPUT_NONE };
struct command {
    struct reeve_strv argv, reconcile; // templates
    int input;                         // enum command_input
    int output;                        // enum output_as
    struct reeve_value *env;           // MAP of texts
    struct reeve_strv inherit;
    char *cwd;
    int64_t timeout_ms, grace_ms, output_max_bytes;
    struct exits_config exit;
    struct limits limits;
};
struct command_queue {
    char *queue;
    int64_t concurrency, prefetch;
};
struct command_config {
    char *queue; // short for one of `queues`
    int64_t concurrency, prefetch;
    struct reeve_records queues;  // struct command_queue
    struct reeve_value *commands; // MAP of type -> command; NULL = `any`
    struct command any;           // short for commands: {"*": ...}
};
extern const struct reeve_record command_record; // one command
extern const struct reeve_record command_config_record;

struct command_row {
    char *type; // "*" = any other
    struct command command;
    struct exits exits;
};
struct commands {
    size_t refs, len;
    struct command_row rows[];
};
// `config` and `tree` are the same configuration, decoded without mistakes and as it was given. NOMEM.
enum reeve_err commands_make(const struct command_config *config, const struct reeve_value *tree, struct commands **ret,
                             struct reeve_why *why);
struct commands *commands_ref(struct commands *commands);
void commands_unref(struct commands *commands);                                             // NULL allowed
const struct command_row *commands_find(const struct commands *commands, const char *type); // NULL = none
// Whether both do the same types, and reconcile the same ones.
bool commands_same_types(const struct commands *a, const struct commands *b);

// The queues, `queue` among them; item i of the number that is returned.
size_t command_queues_len(const struct command_config *config);
struct command_queue command_queue_at(const struct command_config *config, size_t index); // borrowed

#endif
